//! Starting and stopping an agent.

use super::Agent;
use super::across::Across;
use super::books::Books;
use super::books::held::{Held, HeldSegment};
use super::books::limits::{Limits, total_memory};
use super::books::token::Token;
use super::books::told::{Bridged, Kills, LongestPass, Noted, Records};
use super::config::Config;
use super::naming::Naming;
use super::shm_driver::ShmDriver;
use super::wakes::Wakes;
use crate::address::{Address, random_secret};
use crate::capabilities::{Capabilities, Feature};
use crate::error::from_errno;
use crate::guest::Guest;
use crate::memory::memfd::{self, Sealing};
use crate::memory::races::RaceMap;
use crate::memory::region::Region;
use crate::memory::tables::{Parts, RegistryMap};
use crate::private_table::{self, Stdio};
use rsm_core::access::Permission;
use rsm_core::crash_point;
use rsm_core::driver::WindowKind;
use rsm_core::lens::Faults;
use rsm_core::lens::gate::Called;
use rsm_core::lens::inject::Injected;
use rsm_core::lens::log::Delivered;
use rsm_core::lens::record::RecordRow;
use rsm_core::message::Secret;
use rsm_core::peer::nodes::Nodes;
use rsm_core::registry::{ControllerKind, Layout, Writer};
use rsm_core::{Code, Error, Result};
use rsm_race::report::Looked;
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

/// After this an agent that has lost its socket is made to look again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What the agent tells whoever started it.
#[derive(Clone)]
struct Told {
    kills: Kills,
    records: Records,
    held: Held,
    races: Arc<OnceLock<Arc<RaceMap>>>,
    longest_pass: LongestPass,
    bridged: Bridged,
}

/// A running agent, on a thread of this process. Dropping the handle ends the cluster.
///
/// # Crash
/// The agent's descriptors are in its thread's private table and end with the process: every member's events socket
/// ends, and nothing of the cluster is left but what its members map.
#[derive(Debug)]
pub struct AgentHandle {
    address: Address,
    keys: Vec<Secret>,
    /// Shutting it down stops the agent. That it is closed does not: the program may close what it likes, and who never
    /// ends the cluster needs it no more.
    stop: Option<Guest>,
    /// Says the same to an agent that looks: for who has lost the other.
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    process: u32,
    longest_pass: LongestPass,
    kills: Kills,
    records: Records,
    held: Held,
    bridged: Bridged,
    races: Arc<OnceLock<Arc<RaceMap>>>,
}

impl AgentHandle {
    /// Starts an agent and returns when it serves.
    ///
    /// # Errors
    /// BAD_CONF for a bad name or one that is taken, BAD_LENGTH for bad numbers, CTLR_NOT_PRESENT where the kernel
    /// lacks a feature, INSUFFICIENT_RESOURCES and INSUFFICIENT_MEM.
    pub fn start(config: &Config) -> Result<AgentHandle> {
        #[cfg(rsm_crash_points)]
        crate::crash::from_environment();
        crate::log::from_environment();
        config.check()?;
        let address = Address::new(&config.name, rustix::process::geteuid().as_raw())?.ours();
        let keys = (0..=config.node_count).map(|_| random_secret()).collect::<Result<Vec<_>>>()?;
        let no_socket = |e| from_errno(e, "cannot make a socket to stop the agent by");
        let (stop, stopped) = crate::socket::packet_pair()?;
        let (stop, stopped) = (Guest::new(stop).map_err(no_socket)?, Guest::new(stopped).map_err(no_socket)?);
        // On its way to the agent's own table: with both ends there it sees no end that was not meant.
        crate::socket::send(&stop, b"stop", &[stop.as_fd()], SendFlags::empty()).map_err(no_socket)?;
        let ending = Arc::new(AtomicBool::new(false));
        let (started, start) = mpsc::channel();
        let told = Told {
            kills: Kills::default(),
            records: Records::default(),
            held: Held::default(),
            races: Arc::default(),
            longest_pass: LongestPass::new(),
            bridged: Bridged::default(),
        };
        let thread = {
            let (config, address, keys) = (config.clone(), address.clone(), keys.clone());
            let (ending, told) = (Arc::clone(&ending), told.clone());
            let stdio = if config.dedicated { Stdio::Keep } else { Stdio::Null };
            private_table::spawn("rsm-agent", stopped, stdio, move |stopped| {
                run(&config, address, keys, told, &stopped, &ending, &started);
            })?
        };
        match start.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let _ = thread.join();
                return Err(error);
            }
            Err(_) => return Err(Error::with(Code::InternalError, "the agent's thread ended at once")),
        }
        let Told { kills, records, held, races, longest_pass, bridged } = told;
        let (stop, thread, process) = (Some(stop), Some(thread), std::process::id());
        Ok(AgentHandle {
            address,
            keys,
            stop,
            ending,
            thread,
            process,
            longest_pass,
            kills,
            records,
            held,
            races,
            bridged,
        })
    }

    /// Node and process id of each process that steering has killed, in that order.
    pub fn kills(&self) -> Vec<(u32, u32)> {
        self.kills.list()
    }

    /// What processes say of what they have seen through the cluster's lens, with node and process id, in the order in which
    /// they joined.
    pub fn records(&self) -> Vec<(u32, u32, Delivered)> {
        self.records.list(RecordRow::read)
    }

    /// Which faults were injected into them, by their own account; likewise.
    pub fn faults(&self) -> Vec<(u32, u32, Injected)> {
        self.records.list(RecordRow::read_faults)
    }

    /// How long their calls would have taken, where that is only added up; likewise.
    pub fn modelled(&self) -> Vec<(u32, u32, Duration)> {
        self.records.list(RecordRow::read_modelled)
    }

    /// What they say of their calls, where the lens has a gate: the last ones as above.
    pub fn calls(&self) -> Vec<(u32, u32, Called)> {
        self.records.calls()
    }

    /// The memory of segments, where the lens notes bytes; of each that is gone, once.
    pub fn held(&self) -> Vec<HeldSegment> {
        self.held.list()
    }

    /// The accesses of processes that nothing orders, and how they were looked for, where the lens has that done.
    pub fn races(&self) -> Option<Looked> {
        self.races.get().map(|map| Looked::at(map.table()))
    }

    /// What they noted of their calls since this was last asked, where the lens traces. One caller at a time.
    pub fn noted(&self) -> Vec<Noted> {
        self.records.noted()
    }

    /// Node and process id of each process that was killed at the gate, from before it is dead.
    pub fn died_at_gate(&self) -> Vec<(u32, u32)> {
        self.records.died_at_gate()
    }

    /// Waits until this host and the other one of the cluster know what each has, for at most `patience`. `None` when they do,
    /// and in a cluster of one host; otherwise why not.
    pub fn await_bridge(&self, patience: Duration) -> Option<String> {
        self.bridged.wait(patience)
    }

    /// Address at which members find the agent.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Nodes: ids 1 to this number.
    pub fn node_count(&self) -> u32 {
        u32::try_from(self.keys.len()).unwrap_or(0).saturating_sub(1)
    }

    /// Lets the agent serve until the process ends.
    pub(crate) fn never_end(&mut self) {
        // Nothing of it stands in the program's table from here on.
        self.stop = None;
    }

    /// The key that makes a process part of `node`; `None` when there is no such node.
    pub fn key(&self, node: u32) -> Option<&Secret> {
        if node == 0 { None } else { self.keys.get(node as usize) }
    }

    /// The longest pass of the agent's loop, in its processor time, since this was last asked; zero at first. So long,
    /// and no longer, can whatever others do keep it from serving somebody.
    pub fn longest_pass(&self) -> Duration {
        self.longest_pass.take()
    }
}

impl Drop for AgentHandle {
    fn drop(&mut self) {
        // A forked child has no such thread: the agent is its parent's.
        if self.process != std::process::id() {
            return;
        }
        let Some(thread) = self.thread.take() else { return };
        if let Some(stop) = self.stop.take() {
            // Not by closing: a forked child may have a copy.
            if rustix::net::shutdown(&stop, rustix::net::Shutdown::Both).is_err() {
                self.end_without_socket(&thread);
            }
        }
        let _ = thread.join();
    }
}

impl AgentHandle {
    /// The program has closed the socket: the agent is told by a word, and made to look by a connection.
    fn end_without_socket(&self, agent: &JoinHandle<()>) {
        // Release: pairs with the Acquire of `Agent::serve`.
        self.ending.store(true, Ordering::Release);
        let Ok(place) = self.address.socket_address() else { return };
        // The system may have no thread or no socket for it just now.
        while !agent.is_finished() {
            let place = place.clone();
            // In a table of its own, for this one may be full; an agent that accepts nobody just now looks by itself.
            let _ = private_table::aside(move || {
                let socket = crate::socket::packet_socket(SocketFlags::NONBLOCK)?;
                let _ = rustix::net::connect(&socket, &place);
                Ok(())
            });
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

fn run(
    config: &Config,
    address: Address,
    keys: Vec<Secret>,
    told: Told,
    stopped: &OwnedFd,
    ending: &AtomicBool,
    started: &mpsc::Sender<Result<()>>,
) {
    // The other end of `stopped`, for as long as this runs. It is there; what stays in the socket would be taken for the end.
    let other = loop {
        match crate::socket::receive(stopped, RecvFlags::empty()) {
            Err(Errno::INTR) => {}
            other => break other,
        }
    };
    if let Err(error) = other {
        let _ = started.send(Err(from_errno(error, "cannot receive the agent's end of a socket")));
        return;
    }
    match Agent::new(config, address, keys, told, stopped) {
        Ok(mut agent) => {
            if started.send(Ok(())).is_ok() {
                crash_point!(AgentServing);
                agent.serve(ending);
            }
        }
        Err(error) => {
            let _ = started.send(Err(error));
        }
    }
}

impl Agent {
    fn new(config: &Config, address: Address, keys: Vec<Secret>, told: Told, stopped: &OwnedFd) -> Result<Agent> {
        let Told { kills, records, held, races: told_races, longest_pass, bridged } = told;
        let capabilities = Capabilities::of(&Feature::OF_AGENT);
        capabilities.check()?;
        if !capabilities.has(Feature::Leases) {
            tracing::warn!("the kernel gives no leases: every unpublish of a segment with importers moves its memory");
        }
        // With descriptors refused, a process that the kernel cannot name could not join.
        let named = capabilities.has(Feature::PeerProcessDescriptor);
        let naming = (!named).then(Naming::open);
        if config.dedicated {
            // A same-uid process could otherwise write the registry through /proc/PID/mem or take its descriptor.
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
                .map_err(|e| from_errno(e, "cannot protect the agent"))?;
        }
        let listener = listen(&address)?;
        if named && capabilities.has(Feature::RefuseDescriptors) {
            // Connections take the option over. Nothing sent to the agent then has to be closed by it.
            crate::socket::refuse_descriptors(&listener);
        }
        let limits = Limits::new(config.dedicated, config.node_count)?;
        let layout = Layout::of(config.geometry);
        let object = memfd::create("rsm-registry", layout.bytes as u64)?;
        let region = Region::map(&object, 0, layout.bytes, Permission::ReadWrite)?;
        // A forked child of an embedding process must not be able to write the registry.
        region.dont_fork()?;
        memfd::seal(&object, Sealing::SizeAndFutureWrites)?;
        let registry = memfd::reopen(&object, Permission::Read)?;
        let map = RegistryMap::create(region, config.geometry);
        let who = (std::process::id(), address.uid());
        let writer =
            Writer::open(map.registry(), config.geometry, &config.name, config.node_count, who, config.lens.as_ref());
        let segments = limits.max_segments().min(config.geometry.segments.into());
        let numbers = (total_memory(), segments, config.geometry.connections.into());
        writer.add_controller(0, "loopback", ControllerKind::Loopback, numbers, |_, _| true);
        let here = config.here.unwrap_or(Nodes::up_to(config.node_count));
        let bridge = config.bridge_controller();
        for (index, name) in (1..).zip(&config.all_controllers()) {
            // Which nodes of the other host reach each other is that one's business.
            let joins = |from, to| {
                let near = [from, to].map(|node| here.has(node));
                near == [true, true] || near != [false, false] && bridge == Some(index)
            };
            writer.add_controller(index, name, ControllerKind::Shared, numbers, joins);
        }
        if bridge.is_some() {
            // The host with the lowest node is the first.
            let host = |node| if here.has(node) == here.has(1) { 1 } else { 2 };
            (1..=config.node_count).for_each(|node| writer.set_host(node, host(node)));
        }
        let looked_in = match config.lens.is_some_and(|lens| lens.race) {
            true => {
                let (map, object) = RaceMap::create()?;
                Some((Arc::clone(told_races.get_or_init(|| Arc::new(map))), object))
            }
            false => None,
        };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| from_errno(e, "cannot create an epoll"))?;
        let agent = Agent {
            address,
            node_count: config.node_count,
            allow: (config.allow_uids.clone(), config.allow_gids.clone()),
            keys,
            naming,
            epoll,
            listener,
            accepting: true,
            accept_again: None,
            books: Books::new(limits, config.geometry, config.node_count),
            map,
            registry,
            driver: ShmDriver,
            window: if config.lens.is_some_and(|lens| !lens.only_watches()) {
                WindowKind::Lensed
            } else {
                WindowKind::Coherent
            },
            here,
            bridge,
            across: Across::open(config, bridged)?,
            faults: config.lens.map_or(Faults::NONE, |lens| lens.faults),
            gate: config.lens.and_then(|lens| lens.gate),
            parts: config.lens.map_or_else(Parts::default, |lens| Parts::of(&lens)),
            held: config.lens.and_then(|lens| lens.trace).filter(|trace| trace.bytes).map(|_| held),
            races: looked_in,
            appointed: false,
            wakes: Wakes::default(),
            waking: false,
            attended: BTreeSet::new(),
            changed: false,
            longest_pass,
            kills,
            records,
        };
        agent.watch(&agent.listener, Token::Listener, epoll::EventFlags::IN)?;
        agent.watch(stopped, Token::Stop, epoll::EventFlags::IN)?;
        for events in agent.across.iter().filter_map(Across::events).flatten() {
            agent.watch(events, Token::Bridge, epoll::EventFlags::IN)?;
        }
        crash_point!(AgentBound);
        Ok(agent)
    }
}

/// The error for a name that somebody has, which anybody may take: says who, by the kernel's word.
fn taken(address: &Address) -> Error {
    let name = address.name();
    // At once or not at all: who listens need not answer.
    let ask = || {
        let socket = crate::socket::packet_socket(SocketFlags::NONBLOCK)?;
        rustix::net::connect(&socket, &address.socket_address()?).map_err(|e| from_errno(e, "nobody listens"))?;
        crate::socket::peer(&socket)
    };
    let text = match ask() {
        Ok((who, process)) if who.uid == address.uid() => {
            format!("a cluster named {name:?} is already running: its agent is process {process}")
        }
        Ok((who, process)) => format!(
            "the name {name:?} is taken by process {process} of user {}, whose cluster it cannot be: take another name",
            who.uid
        ),
        Err(_) => format!("the name {name:?} is taken by a process that does not answer: take another name"),
    };
    Error::with(Code::BadConf, text)
}

/// Whether anybody can be let in at all, asked while nobody can knock: where that is refused for good, processes would
/// wait for an agent that never answers.
fn lets_in(socket: &OwnedFd) -> Result<()> {
    match rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Err(errno @ (Errno::NOSYS | Errno::PERM | Errno::ACCESS)) => {
            Err(from_errno(errno, "cannot let processes join the cluster (accept4)"))
        }
        // Nobody listens yet (EINVAL); what is short is waited for when somebody knocks.
        _ => Ok(()),
    }
}

/// Binds the cluster's name, which makes it known.
fn listen(address: &Address) -> Result<OwnedFd> {
    let socket = crate::socket::packet_socket(SocketFlags::NONBLOCK)?;
    rustix::net::bind(&socket, &address.socket_address()?).map_err(|e| match e {
        Errno::ADDRINUSE => taken(address),
        e => from_errno(e, "cannot bind the cluster's socket"),
    })?;
    lets_in(&socket)?;
    rustix::net::listen(&socket, 4096).map_err(|e| from_errno(e, "cannot listen on the cluster's socket"))?;
    Ok(socket)
}
