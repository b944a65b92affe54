//! The process that means ill.
#![allow(unsafe_code)] // it stores where it should not, forks, and becomes others

use super::command::{Command, Kind, Step};
use rsm::{AccessList, Cluster, Controller, Permission, Result, SegmentId};
use rsm_core::access::Level;
use rsm_core::message::{Answer, Ask, ConnectionName, SegmentName};
use rsm_shm::memory::region::Region;
use rsm_stories::raw::{Member, Raw, claim};
use rustix::net::{RecvFlags, SendFlags, Shutdown};
use std::os::fd::{AsFd, OwnedFd};

/// What it has got hold of.
#[derive(Default)]
pub(crate) struct Loot {
    members: Vec<Member>,
    strangers: Vec<Raw>,
    segments: Vec<(SegmentName, OwnedFd)>,
    /// Memory it may write: its segments, its bells, bells of others.
    regions: Vec<Region>,
    export: Option<rsm::Export>,
    host: Option<Cluster>,
    /// The attack table's: the memory of another node's segment, as granted for reading.
    pub(crate) grant: Option<super::attacks::Grant>,
}

/// Reads commands until standard input ends.
pub(crate) fn run() {
    let mut loot = Loot::default();
    rsm_stories::node::serve(|words| match Command::read(words) {
        Some(command) => carry_out(&mut loot, command),
        None => rsm_stories::node::no_command(words),
    });
}

fn create(length: u64) -> Ask {
    Ask::Create { controller: 1, length, default_mode: 0o666, level: Level::Guarded, share: None }
}

/// What is refused without any consequence.
fn nonsense() -> Ask {
    Ask::Disconnect { connection: ConnectionName { row: u32::MAX, generation: u64::MAX } }
}

fn carry_out(loot: &mut Loot, command: Command) -> Result<String> {
    match command {
        Command::Join {} => {
            loot.members.push(Member::of_environment()?);
            Ok(String::new())
        }
        Command::Members { most } => {
            for held in 0..most {
                match Member::of_environment() {
                    Ok(member) => loot.members.push(member),
                    Err(error) => return Ok(format!("{held} {error}")),
                }
            }
            Ok("all".to_owned())
        }
        Command::Strangers { count } => {
            for _ in 0..count {
                loot.strangers.push(Raw::connect()?);
            }
            let told = loot.strangers.iter().filter_map(|raw| {
                let flags = RecvFlags::DONTWAIT;
                let packet = rsm_shm::socket::receive(&raw.socket, flags).ok()??;
                Some(String::from_utf8_lossy(&packet.bytes).into_owned())
            });
            Ok(told.collect::<Vec<_>>().join(" "))
        }
        Command::Connections { count } => {
            for _ in 0..count {
                drop(Raw::connect()?);
            }
            Ok(String::new())
        }
        Command::Segments { most } => create_all(loot, most),
        Command::Replace { rounds } => {
            let (member, segments) = (&mut loot.members[0].control, &loot.segments);
            let mut refused = String::new();
            for _ in 0..rounds {
                for (segment, _) in segments {
                    if let Err(error) = member.ask(Ask::Replace { segment: *segment }) {
                        refused = error.to_string();
                    }
                }
            }
            Ok(refused)
        }
        Command::ReplaceShared { rounds } => {
            for _ in 0..rounds {
                replace_while_shared(&mut loot.members[0].control, loot.segments[0].0)?;
            }
            Ok(String::new())
        }
        Command::Crowd { importers } => {
            create_all(loot, 1)?;
            let (segment, control) = (loot.segments[0].0, &mut loot.members[0].control);
            let id = 0x40_0000;
            control.ask(Ask::Publish { segment, id, access: AccessList::everyone() })?;
            for _ in 0..importers {
                let permission = Permission::None;
                control.ask(Ask::Connect { controller: 1, node: claim().node, id, permission, has_bells: true })?;
            }
            Ok(segment.row.to_string())
        }
        Command::TellUnpublish {} => {
            let segment = loot.segments[0].0;
            loot.members[0].control.tell(Ask::Unpublish { segment }).expect("sent");
            Ok(String::new())
        }
        Command::HearUnpublished {} => {
            let (reply, _) = loot.members[0].control.hear().expect("an answer");
            reply.outcome.map(|answer| format!("{answer:?}"))
        }
        Command::ConnectAll { node, id } => {
            let ask = |_| Ask::Connect { controller: 1, node, id, permission: Permission::Read, has_bells: true };
            for made in 0.. {
                if let Err(error) = loot.members[0].control.ask(ask(made)) {
                    return Ok(format!("{made} {error}"));
                }
            }
            unreachable!("connections end somewhere")
        }
        Command::Scribble { node, id, rounds } => {
            gather(loot, node, id)?;
            Ok(scribble(&loot.regions, rounds).to_string())
        }
        Command::Rescribble { rounds } => Ok(scribble(&loot.regions, rounds).to_string()),
        Command::Flood { most } => Ok(flood(loot, most).to_string()),
        Command::Descriptors {} => Ok(throw_descriptors(loot).to_string()),
        Command::Garbage {} => {
            throw_garbage(loot);
            Ok(String::new())
        }
        Command::Halves {} => {
            for end in [Shutdown::Read, Shutdown::Write, Shutdown::Both] {
                for events in [false, true] {
                    let member = Member::of_environment()?;
                    let socket = if events { &member.events } else { &member.control.socket };
                    rustix::net::shutdown(socket, end).expect("our socket");
                    loot.members.push(member);
                }
            }
            Ok(String::new())
        }
        Command::Close {} => {
            loot.members.clear();
            loot.strangers.clear();
            loot.segments.clear();
            loot.regions.clear();
            Ok(String::new())
        }
        Command::KeepInChild {} => Ok(rsm_stories::node::fork_idle_child().to_string()),
        Command::Publish { id } => {
            let (segment, _) = *loot.segments.last().map(|(s, m)| (s, m)).as_ref().expect("created");
            let ask = Ask::Publish { segment: *segment, id, access: AccessList::everyone() };
            loot.members[0].control.ask(ask).map(|_| String::new())
        }
        Command::Become { user } => {
            become_user(user);
            Ok(String::new())
        }
        Command::Host { nodes } => {
            let cluster = Cluster::builder(nodes).dedicated().start()?;
            let mut environments = Vec::new();
            for node in 1..=cluster.node_count() {
                let pairs: Vec<String> = cluster.environment(node)?.iter().map(|(k, v)| format!("{k}={v}")).collect();
                environments.push(pairs.join(","));
            }
            loot.host = Some(cluster);
            Ok(environments.join(" "))
        }
        Command::Export { kind, id } => {
            let controller = Controller::open("shm0")?;
            let export = match kind {
                Kind::Sealed => controller.export_sealed(65536)?,
                Kind::Open | Kind::Guarded => controller.export(65536)?,
            };
            let access = if kind == Kind::Open { AccessList::everyone() } else { AccessList::readers() };
            export.publish(SegmentId::new(id), &access)?;
            loot.export = Some(export);
            Ok(String::new())
        }
        Command::Unpublish {} => loot.export.as_ref().expect("exported").unpublish().map(|()| String::new()),
        Command::Read { offset } => {
            let export = loot.export.as_ref().expect("exported");
            export.memory().read_volatile_u64(offset).map(|v| v.to_string())
        }
        Command::Write { offset, value } => {
            let export = loot.export.as_ref().expect("exported");
            export.memory().write_volatile_u64(offset, value).map(|()| String::new())
        }
        Command::ConnectOwn {} => {
            let import = Controller::open("shm0")?.connect(1, SegmentId::new(0x40_0000), Permission::Read)?;
            import.get_u64(8).map(|v| v.to_string())
        }
        Command::Pending {} => {
            let export = loot.export.as_ref().expect("exported");
            Ok(export.wait(Some(std::time::Duration::ZERO)).is_ok().to_string())
        }
        Command::Where {} => Ok((loot.export.as_ref().expect("exported").memory().as_ptr().addr()).to_string()),
        Command::Attack { name, exporter, agent, place } => {
            super::attacks::carry_out(loot, &name, exporter, agent, place)
        }
        Command::Visit { step } => visit(step),
        Command::Pid {} => Ok(std::process::id().to_string()),
    }
}

/// Uses the library as any program would, up to the named step.
fn visit(step: Step) -> Result<String> {
    if step == Step::Look {
        return rsm::observe::Observer::attach(None).map(|o| format!("{:?}", o.cluster()));
    }
    if matches!(step, Step::Processes | Step::Activity) {
        let observer = rsm::observe::Observer::attach(None)?;
        let count = if step == Step::Processes { observer.processes()?.len() } else { observer.activity()?.len() };
        return Ok(count.to_string());
    }
    install_handler();
    let shm = Controller::open("shm0")?;
    if step == Step::Join {
        return Ok(shm.name());
    }
    if step == Step::Connect {
        let import = shm.connect(1, SegmentId::new(0x40_0000), Permission::ReadWrite)?;
        import.put_u64(0, 1)?;
        import.put_u64(import.len() as u64 - 8, 1)?;
        import.signal()?;
        return Ok(import.len().to_string());
    }
    if step == Step::Twice {
        let connect = || shm.connect(1, SegmentId::new(0x40_0000), Permission::ReadWrite);
        let (first, second) = (connect()?, connect());
        // Whatever it says: its memory is still there.
        let _ = first.put_u64(0, 1);
        return second.map(|import| import.len().to_string());
    }
    if step == Step::Adopt {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a fresh mapping that nothing refers to, exported and kept.
        return unsafe {
            let own = libc::mmap(std::ptr::null_mut(), 65536, access, flags, -1, 0);
            shm.adopt(own.cast(), 65536).map(|export| export.len().to_string())
        };
    }
    let export = shm.export(65536)?;
    export.memory().write_volatile_u64(65528, 1)?;
    let wanted = if step == Step::Published { SegmentId::new(0x40_0000) } else { SegmentId::any() };
    let id = export.publish(wanted, &AccessList::everyone())?;
    export.unpublish()?;
    Ok(id.to_string())
}

/// Handlers run, and calls are interrupted by them.
fn install_handler() {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: a handler that does nothing.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
        libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
    }
}

/// Drops all rights of the user this process has, and stays a process that others of the new user may trace: what
/// `setpriv --reuid --regid --clear-groups` and an exec give.
fn become_user(uid: u32) {
    // SAFETY: plain calls.
    unsafe {
        assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
        assert_eq!(libc::setresgid(uid, uid, uid), 0);
        assert_eq!(libc::setresuid(uid, uid, uid), 0);
        assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0), 0);
    }
}

fn create_all(loot: &mut Loot, most: u64) -> Result<String> {
    let control = &mut loot.members[0].control;
    for made in 0..most {
        match control.ask(create(65536)) {
            Ok((Answer::Created { segment, .. }, descriptors)) => {
                // The agent's descriptors are what counts; ours are closed.
                let memory = descriptors.into_iter().next().expect("memory");
                if loot.segments.len() < 4 {
                    loot.segments.push((segment, memory));
                }
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => return Ok(format!("{made} {error}")),
        }
    }
    Ok("all".to_owned())
}

/// What once made the agent count a descriptor that it had not: memory to move to is asked for twice, with another
/// export of the same range made in between.
fn replace_while_shared(control: &mut rsm_stories::raw::Raw, first: SegmentName) -> Result<()> {
    control.ask(Ask::Replace { segment: first })?;
    let share =
        Ask::Create { controller: 1, length: 65536, default_mode: 0o666, level: Level::Guarded, share: Some(first) };
    let (Answer::Created { segment: second, .. }, _) = control.ask(share)? else { panic!("a segment") };
    control.ask(Ask::Replace { segment: first })?;
    control.ask(Ask::Settle { segment: first, moved: false })?;
    control.ask(Ask::Destroy { segment: second, insist: true }).map(drop)
}

/// Collects everything this process may write: its node's bells, a segment of its own, and the bells of a node that it
/// connects to.
fn gather(loot: &mut Loot, node: u32, id: u32) -> Result<()> {
    create_all(loot, 1)?;
    let member = &mut loot.members[0];
    let ask = Ask::Connect { controller: 1, node, id, permission: Permission::ReadWrite, has_bells: false };
    let (_, granted) = member.control.ask(ask)?;
    assert_eq!(granted.len(), 2, "memory and bells");
    let own = loot.segments.iter().map(|(_, memory)| memory);
    for memory in granted.iter().chain(&member.bells).chain(own) {
        let length = usize::try_from(rsm_shm::memory::memfd::length(memory)?).expect("it is mapped");
        loot.regions.push(Region::map(memory, 0, length, Permission::ReadWrite)?);
    }
    Ok(())
}

/// Stores over and over all of it: noise, all ones, nothing. Gives how many words there were.
fn scribble(regions: &[Region], rounds: u64) -> usize {
    let mut noise = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..rounds {
        for region in regions {
            // The first pages are those in use; the rest of the bells is sparse, and stays so.
            let words = region.len().min(1 << 16) / 8;
            for at in 0..words {
                noise = noise.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                let value = [noise, u64::MAX, 0][round as usize % 3];
                // SAFETY: inside a mapping of ours, written as volatile words.
                unsafe { region.as_ptr().cast::<u64>().add(at).write_volatile(value) };
            }
        }
    }
    regions.iter().map(|r| r.len().min(1 << 16) / 8).sum()
}

/// Asks on and on over every membership and reads nothing; gives how many requests went out before nothing went.
fn flood(loot: &mut Loot, most: u64) -> u64 {
    let mut sent = 0;
    let bells = loot.members.len();
    let packets: Vec<Vec<u8>> = [nonsense(), create(65536), Ask::Leave]
        .into_iter()
        .take(2)
        .map(|ask| rsm_core::message::encode(&rsm_core::message::Request { number: 1, ask }).expect("a message"))
        .collect();
    for member in loot.members.iter().take(bells) {
        for at in 0..most {
            let packet = &packets[at as usize % packets.len()];
            if rustix::net::send(&member.control.socket, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_err() {
                break;
            }
            sent += 1;
        }
    }
    sent
}

/// Sends descriptors that nobody asked for on every connection there is; gives how many packets went out with them.
fn throw_descriptors(loot: &mut Loot) -> u32 {
    let mut sent = 0;
    let (one, _two) = rsm_shm::socket::packet_pair().expect("a pair");
    let four = [one.as_fd(); 4];
    let stranger = Raw::connect().expect("the agent listens");
    let member = &mut loot.members[0];
    for _ in 0..50 {
        sent += u32::from(member.control.tell_with(nonsense(), &four).is_ok());
        sent +=
            u32::from(rsm_shm::socket::send(&member.events, &0u64.to_le_bytes(), &four, SendFlags::DONTWAIT).is_ok());
        sent += u32::from(rsm_shm::socket::send(&stranger.socket, b"?", &four, SendFlags::DONTWAIT).is_ok());
    }
    sent
}

/// Half messages, messages that are too long, and noise, on control sockets and events sockets.
fn throw_garbage(loot: &mut Loot) {
    let whole =
        rsm_core::message::encode(&rsm_core::message::Request { number: 9, ask: create(65536) }).expect("a message");
    let noise: Vec<u8> = (0..100_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let mut pieces: Vec<&[u8]> = (0..whole.len()).map(|n| &whole[..n]).collect();
    pieces.extend([&noise[..1], &noise[..7], &noise[..4096], &noise[..4097], &noise[..]]);
    for piece in pieces {
        let Ok(member) = Member::of_environment() else { continue };
        let _ = rsm_shm::socket::send(&member.events, piece, &[], SendFlags::empty());
        let _ = rsm_shm::socket::send(&member.control.socket, piece, &[], SendFlags::empty());
        let _ = rsm_shm::socket::send(&member.control.socket, piece, &[], SendFlags::empty());
        loot.members.push(member);
        loot.members.truncate(30);
    }
}

/// The attack table's: joins as another than it is.
pub(crate) fn join_as(node: u32, key: rsm_core::message::Secret) -> Result<Member> {
    Member::join(Some(rsm_core::message::Claim { node, key }))
}

/// The attack table's: this process's own claim.
pub(crate) fn own_claim() -> rsm_core::message::Claim {
    claim()
}
