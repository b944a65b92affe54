//! A live agent and what a few connections do to it, one after the other; afterwards it serves as before, and nothing
//! of the connections is left.

use crate::script::Script;
use rsm::observe::Observer;
use rsm::{AccessList, Cluster, Geometry, Permission, SegmentId};
use rsm_core::access::Level;
use rsm_core::driver::WindowKind;
use rsm_core::lens::event::Trace;
use rsm_core::message::{
    Answer, Ask, Claim, ConnectionName, Disturbance, NodeSignal, PROTOCOL, Reply, Request, Secret, SegmentName, decode,
    encode,
};
use rsm_core::registry::LinkChange;
use rsm_shm::address::{Address, secret_from_text};
use rsm_shm::memory::page_size;
use rsm_shm::socket::{packet_socket, receive, send};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Longest script, so that an input takes milliseconds.
const STEPS: usize = 64;
/// What the agent does at once takes no longer.
const SOON: Duration = Duration::from_secs(10);

/// A connection, and its events socket once it joined.
struct Party {
    control: Option<OwnedFd>,
    events: Option<OwnedFd>,
    number: u64,
}

/// What the parties have learned, and name again rightly or wrongly.
#[derive(Default)]
struct Names {
    segments: Vec<SegmentName>,
    connections: Vec<ConnectionName>,
    memberships: Vec<(u64, Secret)>,
}

/// Plays the input as a script.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let geometry = Geometry { nodes: 4, controllers: 2, segments: 12, connections: 12, buckets: 2, bells: 16 };
    let cluster = Cluster::builder(2).geometry(geometry).start().expect("a cluster");
    let environment = |node| cluster.environment(node).expect("a node");
    let address: Address = environment(1)[0].1.parse().expect("its address");
    let keys = [1, 2].map(|node| secret_from_text(&environment(node)[3].1).expect("its key"));
    let observer = Observer::attach(Some(&address.to_string())).expect("an observer");
    let mut parties: Vec<Party> = Vec::new();
    let mut names = Names::default();
    for _ in 0..STEPS {
        if script.is_over() {
            break;
        }
        step(&mut script, &mut parties, &mut names, &address, keys);
    }
    drop(parties);
    mend_links(&address, keys);
    let deadline = Instant::now() + SOON;
    let left = || {
        let joined = observer.nodes().iter().any(|node| node.joined);
        joined || !observer.segments().is_empty() || !observer.connections().is_empty()
    };
    while left() {
        assert!(Instant::now() < deadline, "left: {:?} {:?}", observer.segments(), observer.connections());
        std::thread::yield_now();
    }
    serves(&cluster);
}

/// Brings up whatever link was taken down.
fn mend_links(address: &Address, keys: [Secret; 2]) {
    let mut parties = Vec::new();
    // A connection that joins as an observer.
    step(&mut Script::new(&[0, 2]), &mut parties, &mut Names::default(), address, keys);
    for (from, to) in [(1, 1), (1, 2), (2, 2)] {
        let mend = Ask::SetLink { controller: 1, from, to, both: true, change: LinkChange::Up };
        parties[0].ask(mend, &mut Names::default());
    }
}

/// Everything works for those who keep the rules.
fn serves(cluster: &Cluster) {
    let [one, two] = [1, 2].map(|n| cluster.node(n).and_then(|node| node.controller("shm0")).expect("shm0"));
    let export = one.export(page_size()).expect("an export");
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).expect("published");
    let import = two.connect(1, id, Permission::ReadWrite).expect("connected");
    import.put_u64(8, 7).expect("put");
    import.signal().expect("posted");
    export.wait(Some(SOON)).expect("a signal");
    assert_eq!(export.memory().read_volatile_u64(8).expect("read"), 7);
    export.unpublish().expect("taken back");
}

fn step(script: &mut Script<'_>, parties: &mut Vec<Party>, names: &mut Names, address: &Address, keys: [Secret; 2]) {
    let at = script.below(4);
    if at >= parties.len() {
        let socket = packet_socket(SocketFlags::empty()).expect("a socket");
        let place = SocketAddrUnix::new_abstract_name(address.abstract_name().as_bytes()).expect("a name");
        rustix::net::connect(&socket, &place).expect("the agent listens");
        set_socket_timeout(&socket, Timeout::Recv, Some(SOON)).expect("a timeout");
        let mut party = Party { control: Some(socket), events: None, number: 0 };
        let what = script.below(8);
        let claim = [Some(Claim { node: 1, key: keys[0] }), Some(Claim { node: 2, key: keys[1] }), None][what % 3];
        if what < 6 {
            party.ask(Ask::Join { protocol: PROTOCOL, claim }, names);
        }
        parties.push(party);
        return;
    }
    let party = &mut parties[at];
    match script.below(16) {
        0 => party.control = None,
        1 => party.events = None,
        2 => {
            let end = [Shutdown::Read, Shutdown::Write, Shutdown::Both][script.below(3)];
            let socket = if script.below(2) == 0 { &party.control } else { &party.events };
            let _ = socket.as_ref().map(|socket| rustix::net::shutdown(socket, end));
        }
        3 => {
            let length = usize::from(script.byte());
            let packet = script.bytes(length);
            if let Some(control) = &party.control {
                let _ = send(control, packet, &[], SendFlags::DONTWAIT);
            }
        }
        4 => {
            let seen = script.word().to_le_bytes();
            let length = script.below(12).min(8);
            if let Some(events) = &party.events {
                let _ = send(events, &seen[..length], &[], SendFlags::DONTWAIT);
            }
        }
        5 => {
            drop(parties.swap_remove(at));
        }
        _ => {
            let ask = ask(script, names, keys);
            party.ask(ask, names);
        }
    }
}

/// A request of the right form, about things that exist, have existed, or never did.
fn ask(script: &mut Script<'_>, names: &Names, keys: [Secret; 2]) -> Ask {
    let segment = match names.segments.len() {
        0 => SegmentName { row: script.byte().into(), incarnation: 1 },
        n => names.segments[script.below(n)],
    };
    let connection = match names.connections.len() {
        0 => ConnectionName { row: script.byte().into(), generation: 2 },
        n => names.connections[script.below(n)],
    };
    let (membership, token) = match names.memberships.len() {
        0 => (script.word(), keys[0]),
        n => names.memberships[script.below(n)],
    };
    let id = script.among(&[0, 0x40_0000, 0x40_0001, 1, 0x7fff_ffff, 0x8000_0000]) as u32;
    let controller = script.among(&[1, 1, 1, 0, 2]) as u32;
    match script.below(24) {
        0 | 1 => Ask::Create {
            controller,
            length: script.among(&[page_size() as u64, 2 * page_size() as u64, 0, 1, 1 << 40, u64::MAX, 1 << 20]),
            default_mode: script.among(&[0o644, 0o666, 0, 0o7777]) as u32,
            level: [Level::Guarded, Level::Guarded, Level::Sealed][script.below(3)],
            share: [None, None, Some(segment)][script.below(3)],
        },
        2 | 3 => Ask::Publish { segment, id, access: access(script) },
        4 | 5 => Ask::Connect {
            controller,
            node: script.among(&[1, 2, 0, 3, 4]) as u32,
            id,
            permission: [Permission::ReadWrite, Permission::Read, Permission::Write, Permission::None][script.below(4)],
            has_bells: script.below(2) == 0,
        },
        6 => Ask::Republish { segment, access: access(script) },
        7 => Ask::Unpublish { segment },
        8 => Ask::Destroy { segment, insist: script.below(4) == 3 },
        9 if script.below(2) == 0 => Ask::BeginRebind { segment },
        9 => Ask::EndRebind { segment },
        10 => Ask::Replace { segment },
        11 => Ask::Settle { segment, moved: script.below(2) == 0 },
        12 if script.below(4) == 3 => Ask::Disturb { connection, how: Disturbance::ALL[script.below(3)] },
        12 => Ask::Disconnect { connection },
        13 => Ask::Inherit { connections: vec![connection; script.below(5)] },
        14 => Ask::PostImporters { segment, below: script.word(), accumulate: script.below(2) == 0 },
        15 => Ask::Attach { membership, token },
        16 if script.below(4) == 0 => Ask::Closing,
        16 => Ask::Waits { from: script.among(&[0, 1, 1 << 62, (1 << 62) + 3, 2 << 62, u64::MAX]) },
        17 => Ask::Processes { after: script.among(&[0, 1, u64::MAX]) },
        18 => Ask::SetLink {
            controller,
            from: script.below(4) as u32,
            to: script.below(4) as u32,
            both: script.below(2) == 0,
            change: [LinkChange::Down, LinkChange::Up, LinkChange::Error][script.below(3)],
        },
        // The nodes are this very process, which is the agent's as well: to be refused.
        19 => Ask::SignalNode {
            node: script.below(4) as u32,
            signal: [NodeSignal::Kill, NodeSignal::Stop, NodeSignal::Cont][script.below(3)],
        },
        20 => Ask::Revoke { node: script.below(4) as u32, id },
        21 => Ask::NodeKey { node: script.below(4) as u32 },
        22 if script.below(2) == 0 => {
            Ask::NextRing { after: script.among(&[0, 1, u64::MAX]), trace: Trace { bytes: script.below(2) == 0 } }
        }
        22 => Ask::Tallies { after: script.among(&[0, 1, u64::MAX]) },
        _ => match script.below(3) {
            0 => Ask::Leave,
            1 => Ask::Abandon { number: script.byte().into() },
            _ => Ask::Join { protocol: script.byte().into(), claim: Some(Claim { node: id, key: keys[1] }) },
        },
    }
}

fn access(script: &mut Script<'_>) -> AccessList {
    let modes = [0o666, 0o600, 0o444, 0, 0o777];
    let entries = script.below(3);
    let start = [AccessList::everyone(), AccessList::readers(), AccessList::new()][script.below(3)].clone();
    (0..entries).fold(start, |list, _| list.node(script.below(6) as u32, modes[script.below(5)]))
}

impl Party {
    /// Asks and reads the answer, if there is to be one.
    fn ask(&mut self, ask: Ask, names: &mut Names) {
        self.number += 1;
        let silent = matches!(ask, Ask::Leave | Ask::Abandon { .. });
        let packet = encode(&Request { number: self.number, ask }).expect("a message");
        let Some(control) = &self.control else { return };
        if send(control, &packet, &[], SendFlags::DONTWAIT).is_err() || silent {
            return;
        }
        match receive(control, RecvFlags::empty()) {
            Ok(Some(packet)) => {
                let reply: Reply = decode(&packet.bytes).expect("the agent speaks the protocol");
                self.note(reply, packet.descriptors, names);
            }
            Err(rustix::io::Errno::AGAIN) => panic!("the agent does not answer"),
            Ok(None) | Err(_) => self.control = None,
        }
    }

    fn note(&mut self, reply: Reply, descriptors: Vec<OwnedFd>, names: &mut Names) {
        match reply.outcome {
            Ok(Answer::Joined { membership, token, .. }) => {
                names.memberships.push((membership, token));
                self.events = descriptors.into_iter().nth(1);
            }
            Ok(Answer::Created { segment, .. }) => names.segments.push(segment),
            Ok(Answer::Connected(connected)) => {
                assert_eq!(connected.window, WindowKind::Coherent);
                names.connections.push(connected.connection);
            }
            Ok(_) => {}
            Err(error) => assert_ne!(error.code(), rsm::Code::InternalError, "{error}"),
        }
    }
}
