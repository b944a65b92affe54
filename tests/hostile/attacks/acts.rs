//! The attacker's side: each attack in the words of the kernel's interface.
//!
//! An attack tries every way it knows, and says what the kernel or the agent answered. One that stores puts 0xdead at
//! offset 8 of the segment; what the exporter finds there decides.
#![allow(unsafe_code)] // it is what this is about

use super::super::intruder::{Loot, join_as, own_claim};
use rsm::{AccessList, Permission, Result};
use rsm_core::access::Level;
use rsm_core::message::{Answer, Ask, Connected, Disturbance, NodeSignal, SegmentName};
use rsm_core::registry::{Found, LinkChange};
use rsm_shm::address::{ENV_NODE_KEY, secret_from_text};
use rsm_shm::memory::region::Region;
use rsm_shm::memory::tables::RegistryMap;
use rsm_stories::raw::Member;
use rustix::fs::{FallocateFlags, Mode, OFlags, SealFlags};
use rustix::io::Errno;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

const LENGTH: usize = 65536;
const ID: u32 = 4_194_304;
const PLACE: u64 = 8;
const MARK: u64 = 0xdead;

/// A connection for reading, and what the attacker holds on to.
pub(crate) struct Grant {
    member: Member,
    connected: Connected,
    memory: Option<OwnedFd>,
    bells: OwnedFd,
    map: Option<Region>,
    pipe: Option<(OwnedFd, OwnedFd)>,
    path: Option<OwnedFd>,
}

impl Grant {
    fn take() -> Result<Grant> {
        let mut member = Member::of_environment()?;
        let ask = connect(Permission::Read);
        let (Answer::Connected(connected), descriptors) = member.control.ask(ask)? else { panic!("no connection") };
        let mut descriptors = descriptors.into_iter();
        let (memory, bells) = (descriptors.next().expect("memory"), descriptors.next().expect("bells"));
        Ok(Grant { member, connected, memory: Some(memory), bells, map: None, pipe: None, path: None })
    }

    fn memory(&self) -> &OwnedFd {
        self.memory.as_ref().expect("not given up yet")
    }
}

fn connect(permission: Permission) -> Ask {
    Ask::Connect { controller: 1, node: 1, id: ID, permission, has_bells: false }
}

fn create() -> Ask {
    Ask::Create { controller: 1, length: 65536, default_mode: 0o666, level: Level::Guarded, share: None }
}

/// Carries out one attack on what another process exports at a place; says what came of it.
pub(crate) fn carry_out(loot: &mut Loot, attack: &str, exporter: i32, agent: i32, place: usize) -> Result<String> {
    if attack == "look-again" {
        return Ok(look_again(loot.grant.as_mut().expect("an earlier attack")));
    }
    let before_connecting = match attack {
        "look" => Some(told(Member::join(None).map(drop))),
        "no-key" => Some(no_key()),
        "steer" => Some(steer(Member::join(None))),
        "steer-as-node" => Some(steer(Member::of_environment())),
        "inject" => Some(inject()?),
        "wrong-key" => Some(told(join_as(1, [7; 16]).map(drop))),
        "stolen-key" => Some(stolen_key(exporter)),
        _ => None,
    };
    if let Some(text) = before_connecting {
        return Ok(text);
    }
    let grant = loot.grant.insert(Grant::take()?);
    let mapped = || Region::map(grant.memory(), 0, LENGTH, Permission::Read);
    Ok(match attack {
        "mmap" => store_by_mapping(grant.memory()),
        "mprotect" => {
            let region = mapped()?;
            let flags = rustix::mm::MprotectFlags::READ | rustix::mm::MprotectFlags::WRITE;
            // SAFETY: our own mapping, all of it.
            match unsafe { rustix::mm::mprotect(region.as_ptr().cast(), LENGTH, flags) } {
                Ok(()) => store(&region),
                Err(e) => e.to_string(),
            }
        }
        "write" => store_by_writing(grant.memory()),
        "reopen" => store_reopened(&format!("/proc/self/fd/{}", grant.memory().as_raw_fd())),
        "chmod" => {
            let changed = rustix::fs::fchmod(grant.memory(), Mode::from_raw_mode(0o666));
            let stored = store_reopened(&format!("/proc/self/fd/{}", grant.memory().as_raw_fd()));
            format!("{changed:?}, {stored}")
        }
        "chmod-away" => format!("{:?}", rustix::fs::fchmod(grant.memory(), Mode::empty())),
        "destroy" => destroy(grant.memory()),
        "connect-to-write" => told(grant.member.control.ask(connect(Permission::ReadWrite)).map(drop)),
        "agent-descriptors" => agent_descriptors(agent),
        "agent-memory" => told_errno(rustix::fs::open(format!("/proc/{agent}/mem"), OFlags::RDWR, Mode::empty())),
        "registry" => change_registry(&grant.member.registry),
        "pidfd-getfd" => steal_control(exporter, agent, &grant.member.registry),
        "proc-mem" => {
            let memory = File::options().write(true).open(format!("/proc/{exporter}/mem"));
            let there = place as u64 + PLACE;
            format!("{:?}", memory.and_then(|m| m.write_all_at(&MARK.to_le_bytes(), there)))
        }
        "process-vm-writev" => write_into(exporter, place + PLACE as usize),
        "ptrace" => poke(exporter, place + PLACE as usize),
        "keep" => {
            grant.map = Some(mapped()?);
            "kept".to_owned()
        }
        "pin" => {
            grant.pipe = Some(pin(&mapped()?));
            let _ = grant.memory.take();
            "pinned".to_owned()
        }
        "o-path" => {
            let path = format!("/proc/self/fd/{}", grant.memory().as_raw_fd());
            let opened = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
            let text = format!("{opened:?}");
            grant.path = opened.ok();
            let _ = grant.memory.take();
            text
        }
        "lease" => {
            grant.map = Some(mapped()?);
            let fd = grant.memory().as_raw_fd();
            // SAFETY: plain fcntl commands on our descriptor; 10 is F_SETSIG, without which SIGIO would kill us.
            let leased = unsafe {
                libc::fcntl(fd, 10, libc::SIGURG);
                libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK)
            };
            format!("lease: {leased}")
        }
        "bells" => forge_signal(grant),
        other => panic!("no attack {other:?}"),
    })
}

fn told(result: Result<()>) -> String {
    result.map_or_else(|e| e.to_string(), |()| "reached".to_owned())
}

fn told_errno<T>(result: rustix::io::Result<T>) -> String {
    result.map_or_else(|e| e.to_string(), |_| "reached".to_owned())
}

fn store(region: &Region) -> String {
    // SAFETY: inside a mapping of ours that may be written; a volatile word.
    unsafe { region.as_ptr().add(PLACE as usize).cast::<u64>().write_volatile(MARK) };
    "stored".to_owned()
}

fn store_by_mapping(memory: impl AsFd) -> String {
    Region::map(memory, 0, LENGTH, Permission::ReadWrite).map_or_else(|e| e.to_string(), |region| store(&region))
}

fn store_by_writing(memory: impl AsFd) -> String {
    format!("{:?}", rustix::io::pwrite(memory, &MARK.to_le_bytes(), PLACE))
}

/// Opens a memory object for writing and tries both ways.
fn store_reopened(path: &str) -> String {
    match rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Ok(again) => format!("{}, {}", store_by_mapping(&again), store_by_writing(&again)),
        Err(e) => e.to_string(),
    }
}

/// Holes, sizes and seals: what takes memory away instead of changing it.
fn destroy(memory: &OwnedFd) -> String {
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let again = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).ok();
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let mut told = String::new();
    for memory in again.iter().chain([memory]) {
        let results = [
            rustix::fs::ftruncate(memory, 0),
            rustix::fs::ftruncate(memory, 1 << 30),
            rustix::fs::fallocate(memory, hole, 0, LENGTH as u64),
            rustix::fs::fcntl_add_seals(memory, SealFlags::WRITE),
        ];
        told += &format!("{results:?} ");
    }
    told
}

/// Goes through the descriptors of the agent, of all its threads, for the segment's memory.
fn agent_descriptors(agent: i32) -> String {
    let mut told = "none found".to_owned();
    for task in std::fs::read_dir(format!("/proc/{agent}/task")).into_iter().flatten().filter_map(|t| t.ok()) {
        let entries = match std::fs::read_dir(task.path().join("fd")) {
            Ok(entries) => entries,
            Err(e) => {
                told = e.to_string();
                continue;
            }
        };
        for entry in entries.filter_map(|e| e.ok()) {
            let names = std::fs::read_link(entry.path()).unwrap_or_default();
            if names.to_string_lossy().contains("rsm-segment") {
                told = store_reopened(&entry.path().to_string_lossy());
            }
        }
    }
    told
}

/// Every way to write the registry.
fn change_registry(registry: &OwnedFd) -> String {
    let path = format!("/proc/self/fd/{}", registry.as_raw_fd());
    let again = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let mut told = format!("reopen: {:?}; ", again.as_ref().map(drop));
    for fd in again.iter().chain([registry]) {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let tries = [
            Region::map(fd, 0, 65536, Permission::ReadWrite).is_ok(),
            rustix::io::pwrite(fd, &[0; 8], 64).is_ok(),
            rustix::fs::ftruncate(fd, 0).is_ok(),
            rustix::fs::fallocate(fd, hole, 0, 65536).is_ok(),
        ];
        if tries.contains(&true) {
            return "reached".to_owned();
        }
        told += &format!("{tries:?} ");
    }
    told
}

/// Takes the exporter's connection to the agent and has its segment withdrawn.
fn steal_control(exporter: i32, agent: i32, registry: &OwnedFd) -> String {
    let map = RegistryMap::open(registry).expect("the registry");
    let Found::Segment(row, fields) = map.registry().find(1, ID) else { panic!("not published") };
    let segment = SegmentName { row, incarnation: fields.incarnation };
    let pid = rustix::process::Pid::from_raw(exporter).expect("a process id");
    let process = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).expect("it lives");
    let mut told = "no connection found".to_owned();
    for number in 0..64 {
        let flags = rustix::process::PidfdGetfdFlags::empty();
        match rustix::process::pidfd_getfd(&process, number, flags) {
            Ok(stolen) => {
                let to_agent = rsm_shm::socket::peer(&stolen).is_ok_and(|(_, pid)| i32::try_from(pid) == Ok(agent));
                if to_agent {
                    let request = rsm_core::message::Request { number: 1 << 40, ask: Ask::Unpublish { segment } };
                    let packet = rsm_core::message::encode(&request).expect("a message");
                    rsm_shm::socket::send(&stolen, &packet, &[], rustix::net::SendFlags::empty()).expect("sent");
                    let reply = rsm_shm::socket::receive(&stolen, rustix::net::RecvFlags::empty()).expect("a reply");
                    let reply: rsm_core::message::Reply =
                        rsm_core::message::decode(&reply.expect("a reply").bytes).expect("a reply");
                    return reply.outcome.map_or_else(|e| e.to_string(), |_| "reached".to_owned());
                }
            }
            Err(Errno::BADF) => {}
            Err(e) => told = e.to_string(),
        }
    }
    told
}

fn write_into(process: i32, place: usize) -> String {
    let mark = MARK.to_le_bytes();
    let local = libc::iovec { iov_base: mark.as_ptr().cast_mut().cast(), iov_len: mark.len() };
    let remote = libc::iovec { iov_base: std::ptr::without_provenance_mut(place), iov_len: mark.len() };
    // SAFETY: the kernel reads eight bytes of ours and checks the rest.
    let written = unsafe { libc::process_vm_writev(process, &raw const local, 1, &raw const remote, 1, 0) };
    format!("{written} {}", std::io::Error::last_os_error())
}

fn poke(process: i32, place: usize) -> String {
    let address: *mut libc::c_void = std::ptr::without_provenance_mut(place);
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: traces another process; nothing of ours is touched.
    unsafe {
        if libc::ptrace(libc::PTRACE_ATTACH, process, nothing, nothing) != 0 {
            return std::io::Error::last_os_error().to_string();
        }
        let mut status = 0;
        libc::waitpid(process, &raw mut status, libc::__WALL);
        let data: *mut libc::c_void = std::ptr::without_provenance_mut(MARK as usize);
        let poked = libc::ptrace(libc::PTRACE_POKEDATA, process, address, data);
        libc::ptrace(libc::PTRACE_DETACH, process, nothing, nothing);
        format!("poked: {poked}")
    }
}

/// Joins without a key; whether anything but looking is possible then.
fn no_key() -> String {
    let mut member = match Member::join(None) {
        Ok(member) => member,
        Err(error) => return error.to_string(),
    };
    let publish =
        |row| Ask::Publish { segment: SegmentName { row, incarnation: 1 }, id: ID + 1, access: AccessList::everyone() };
    let destroy = Ask::Destroy { segment: SegmentName { row: 0, incarnation: 1 }, insist: false };
    let mut refusals = String::new();
    for ask in [create(), connect(Permission::Read), publish(0), destroy] {
        match member.control.ask(ask) {
            Ok(_) => return "reached".to_owned(),
            Err(error) => refusals += &format!("{error}; "),
        }
    }
    refusals
}

/// Asks for what steers a cluster: another node's key, its segment's end, its link, a signal to it.
fn steer(member: Result<Member>) -> String {
    let mut member = match member {
        Ok(member) => member,
        Err(error) => return error.to_string(),
    };
    let link = Ask::SetLink { controller: 1, from: 2, to: 1, both: true, change: LinkChange::Error };
    let asks = [
        Ask::NodeKey { node: 1 },
        link,
        Ask::SignalNode { node: 1, signal: NodeSignal::Cont },
        Ask::Revoke { node: 1, id: ID },
    ];
    let mut refusals = String::new();
    for ask in asks {
        match member.control.ask(ask) {
            Ok(_) => return "reached".to_owned(),
            Err(error) => refusals += &format!("{error}; "),
        }
    }
    refusals
}

/// Asks for what only a lens does, as a process that holds a connection.
fn inject() -> Result<String> {
    let Grant { mut member, connected, .. } = Grant::take()?;
    let mut refusals = String::new();
    for how in Disturbance::ALL {
        match member.control.ask(Ask::Disturb { connection: connected.connection, how }) {
            Ok(_) => return Ok("reached".to_owned()),
            Err(error) => refusals += &format!("{error}; "),
        }
    }
    Ok(refusals)
}

/// Reads the exporter's key from its environment and joins as its node.
fn stolen_key(exporter: i32) -> String {
    let environment = match std::fs::read(format!("/proc/{exporter}/environ")) {
        Ok(environment) => environment,
        Err(e) => return e.to_string(),
    };
    let name = format!("{ENV_NODE_KEY}=");
    let key = environment.split(|b| *b == 0).find_map(|pair| pair.strip_prefix(name.as_bytes()));
    let key = key.and_then(|key| secret_from_text(std::str::from_utf8(key).ok()?)).expect("the exporter's key");
    assert_ne!(key, own_claim().key);
    told(join_as(1, key).map(drop))
}

/// Puts the segment's pages into a pipe, which keeps them without a mapping or a descriptor of the object.
fn pin(region: &Region) -> (OwnedFd, OwnedFd) {
    let (reader, writer) = rustix::pipe::pipe().expect("a pipe");
    let piece = libc::iovec { iov_base: region.as_ptr().cast(), iov_len: 4096 };
    // SAFETY: the kernel takes a reference to the page, which is mapped.
    let taken = unsafe { libc::vmsplice(writer.as_raw_fd(), &raw const piece, 1, 0) };
    assert_eq!(taken, 4096);
    (reader, writer)
}

/// What the attacker sees now at the place, by whatever it held on to.
fn look_again(grant: &mut Grant) -> String {
    let mut word = [0; 8];
    if let Some((reader, _writer)) = &grant.pipe {
        let mut page = vec![0; 4096];
        let got = rustix::io::read(reader, &mut page[..]).expect("the pipe has a page");
        assert_eq!(got, 4096);
        word.copy_from_slice(&page[PLACE as usize..][..8]);
        return u64::from_le_bytes(word).to_string();
    }
    if let Some(path) = &grant.path {
        let path = format!("/proc/self/fd/{}", path.as_raw_fd());
        return match rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(again) => {
                rustix::io::pread(&again, &mut word[..], PLACE).expect("a read");
                u64::from_le_bytes(word).to_string()
            }
            Err(e) => e.to_string(),
        };
    }
    if let Some(region) = &grant.map {
        // SAFETY: inside a mapping of ours; a volatile word.
        let seen = unsafe { region.as_ptr().add(PLACE as usize).cast::<u64>().read_volatile() };
        rustix::io::pread(grant.memory(), &mut word[..], PLACE).expect("a read");
        assert_eq!(seen, u64::from_le_bytes(word), "mapping and descriptor show the same");
        return seen.to_string();
    }
    panic!("nothing was kept")
}

/// Raises the counter of the exporter's bell as if somebody had posted.
fn forge_signal(grant: &Grant) -> String {
    let length = usize::try_from(rsm_shm::memory::memfd::length(&grant.bells).expect("its length")).expect("mappable");
    let bells = match Region::map(&grant.bells, 0, length, Permission::ReadWrite) {
        Ok(bells) => bells,
        Err(error) => return error.to_string(),
    };
    // SAFETY: the bell lies inside the mapping; a volatile word.
    unsafe {
        let word = bells.as_ptr().add(grant.connected.export_bell as usize * 64).cast::<u64>();
        word.write_volatile(word.read_volatile() + 1);
    }
    "forged".to_owned()
}
