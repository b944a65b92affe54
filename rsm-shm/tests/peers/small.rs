//! Two agents over a bridge with a small window, and segments that are larger; and over one that is taken for a device.

use crate::agents::{BASE, export, has, is_there, join, until};
use crate::bridge;
use crate::side::DEADLINE;
use rsm_core::access::{AccessList, Level, Permission};
use rsm_core::peer::Near;
use rsm_core::peer::control::CONTROL_BYTES;
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::report::Report;
use rsm_core::{Code, Error, Result};
use rsm_shm::agent::config::Bridge;
use rsm_shm::agent::far::local::Local;
use rsm_shm::agent::far::paged::{Host, Paged};
use rsm_shm::agent::far::{Carrier, Crossing, Device, Job, Limits, Reach, Stir};
use rsm_shm::agent::{AgentHandle, Config};
use rsm_shm::membership::Membership;
use rsm_shm::membership::connection::BarrierMode;
use rsm_shm::membership::segment::Segment;
use rsm_shm::memory::huge::Pages;
use rsm_shm::memory::page_size;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Segments that are too large, on each host: more than messages that may be none, one after the other.
const MANY: u32 = 120;

/// What a segment may have.
fn room() -> u64 {
    16 * page_size() as u64
}

/// A bridge of one machine, whose window is small.
#[derive(Debug)]
struct Small {
    local: Local,
    /// Importers are told that it is a device; what would tell them of link events, of which there are none.
    device: Option<OwnedFd>,
}

impl Small {
    fn told(&self, reach: Reach) -> Reach {
        Reach { device: self.device.is_some(), ..reach }
    }
}

impl Carrier for Small {
    fn limits(&self) -> Limits {
        Limits { window: CONTROL_BYTES + room(), ..self.local.limits() }
    }
    fn attach(&mut self, at: u64, memory: BorrowedFd<'_>, length: u64, access: Permission) -> Result<Job> {
        self.local.attach(at, memory, length, access)
    }
    fn detach(&mut self, at: u64) -> Result<Job> {
        self.local.detach(at)
    }
    fn done(&mut self) -> Option<(Job, Result<()>)> {
        self.local.done()
    }
    fn reach(&self, at: u64, length: u64, permission: Permission) -> Result<Reach> {
        self.local.reach(at, length, permission).map(|reach| self.told(reach))
    }
}

impl Device for Small {
    type Far = <Local as Device>::Far;

    fn let_go(&mut self) {
        self.local.let_go();
    }
    fn renew(&mut self) -> Result<()> {
        self.local.renew()
    }
    fn offer(&mut self) -> Result<()> {
        self.local.offer()
    }
    fn near(&self) -> Near<'_> {
        self.local.near()
    }
    fn far(&self) -> Option<&Self::Far> {
        self.local.far()
    }
    fn seals(&self) -> Result<Reach> {
        Device::seals(&self.local).map(|reach| self.told(reach))
    }
    fn sentinel(&self) -> Result<Option<OwnedFd>> {
        let sentinel = self.device.as_ref().map(OwnedFd::try_clone).transpose();
        sentinel.map_err(|error| Error::with(Code::InsufficientResources, error.to_string()))
    }
    fn ring(&self) {
        self.local.ring();
    }
    fn events(&self) -> BorrowedFd<'_> {
        self.local.events()
    }
    fn stir(&mut self) -> Stir {
        self.local.stir()
    }
    fn catch_up(&mut self) {
        self.local.catch_up();
    }
}

fn open(device: &str, host: Host) -> Option<Result<Box<dyn Crossing>>> {
    let (kind, name) = device.split_once(':')?;
    let sentinel = || rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let device = match kind {
        "small" => None,
        "device" => Some(sentinel()),
        _ => return None,
    };
    let peering = Local::new(name).and_then(|local| Paged::new(Small { local, device }, host));
    Some(peering.map(|peering| Box::new(peering) as Box<dyn Crossing>))
}

fn agent(bridge: &str, host: &str, here: &str) -> AgentHandle {
    agent_of("small", bridge, host, here)
}

fn agent_of(kind: &str, bridge: &str, host: &str, here: &str) -> AgentHandle {
    let config = Config {
        here: Some(Nodes::parse(here).unwrap()),
        bridge: Some(Bridge::parse(&format!("shm0={kind}:{bridge}")).unwrap()),
        opener: Some(open),
        ..Config::new(&format!("{bridge}-{host}"), 4)
    };
    AgentHandle::start(&config).unwrap()
}

fn large(member: &Arc<Membership>, id: u32, access: &AccessList) -> Segment {
    let segment = member.create(1, room() + page_size() as u64, Level::Guarded, Pages::AsWished).unwrap();
    segment.publish(BASE + id, access).unwrap();
    segment
}

fn report(member: &Membership) -> Report {
    member.bridge().unwrap().unwrap()
}

/// What somebody is told who wants the segment.
fn refused(member: &Arc<Membership>, node: u32, id: u32) -> Error {
    let error = member.connect(1, node, BASE + id, Permission::Read).map(drop).unwrap_err();
    // Nor does it become another by waiting.
    let waited = member.connect_within(1, node, BASE + id, Permission::Read, DEADLINE).map(drop);
    assert_eq!(waited.unwrap_err().to_string(), error.to_string());
    error
}

fn check_told(member: &Arc<Membership>, node: u32) {
    for id in [0, MANY - 1] {
        let error = refused(member, node, id);
        assert_eq!(error.code(), Code::InsufficientResources, "{error}");
        let (length, room) = (room() + page_size() as u64, room());
        assert!(error.to_string().contains(&format!("has {length} bytes")), "{error}");
        assert!(error.to_string().contains(&format!("has room for {room}")), "{error}");
    }
}

pub(crate) fn what_is_larger_than_the_window_is_told_and_ends_nothing() {
    let bridge = bridge("small");
    let (one, other) = (agent(&bridge, "a", "1-2"), agent(&bridge, "b", "3-4"));
    let (first, second, third) = (join(&one, 1).unwrap(), join(&one, 2).unwrap(), join(&other, 3).unwrap());
    until("they know each other", || is_there(&first, 3) && is_there(&third, 1));
    let everyone = AccessList::everyone();
    let all = |member| (0..MANY).map(|id| large(member, id, &everyone)).collect::<Vec<_>>();
    let (_ours, theirs) = (all(&first), all(&third));
    // Nobody's business on the other host.
    let _near = large(&first, MANY, &AccessList::new().node(2, 0o666));
    let small = [export(&first, 200, &everyone), export(&third, 200, &everyone)];
    until("what comes last is known", || has(&first, 3, 200) && has(&third, 1, 200));
    check_told(&first, 3);
    check_told(&third, 1);
    let error = third.connect(1, 1, BASE + MANY, Permission::Read).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::SegNotPublishedToNode, "{error}");
    // What fits is reached, and on one host all is.
    first.connect(1, 3, BASE + 200, Permission::ReadWrite).unwrap().put(0, b"fits").unwrap();
    for id in [0, MANY] {
        second.connect(1, 1, BASE + id, Permission::ReadWrite).unwrap().put(0, b"near").unwrap();
    }
    let told = |member: &Membership| (report(member).mirrors_too_large, report(member).exports_too_large);
    assert_eq!((told(&first), told(&third)), ((MANY, MANY), (MANY, MANY)));
    assert_eq!((report(&first).lives, report(&third).lives), (1, 1), "nothing has ended the link");
    // Another agent is told all of it at once.
    drop((theirs, small, third, other));
    let other = agent(&bridge, "c", "3-4");
    let third = join(&other, 3).unwrap();
    let _last = export(&first, 201, &everyone);
    until("it knows what there is", || has(&third, 1, 201));
    check_told(&third, 1);
    assert_eq!((told(&first), told(&third)), ((0, MANY), (MANY, 0)));
    assert_eq!((report(&first).lives, report(&third).lives), (2, 1), "nothing has ended the link");
}

/// What is moved through a device in pieces, or in words, is what is there, whatever it is.
pub(crate) fn what_goes_through_a_device_is_what_is_there() {
    let bridge = bridge("device");
    let agents = [("a", "1-2"), ("b", "3-4")].map(|(host, here)| agent_of("device", &bridge, host, here));
    let (first, third) = (join(&agents[0], 1).unwrap(), join(&agents[1], 3).unwrap());
    let segment = export(&first, 7, &AccessList::everyone());
    let import = third.connect_within(1, 1, BASE + 7, Permission::ReadWrite, DEADLINE).unwrap();
    for mode in [BarrierMode::Implicit, BarrierMode::Explicit] {
        import.set_mode(mode);
        let bytes: Vec<u8> = (0..3001u32).map(|at| (at % 251) as u8).collect();
        for (offset, length) in [(0, 3001), (5, 700), (63, 2), (62, 131), (7, 1)] {
            import.put(offset, &bytes[..length]).unwrap();
            let mut got = vec![0; length];
            import.get(offset, &mut got).unwrap();
            assert!(got == bytes[..length], "{length} bytes at {offset}");
        }
        import.put(8, &[0xff; 4096]).unwrap();
        let (mut ones, mut words) = ([0; 4096], [0u64; 600]);
        import.get(8, &mut ones).unwrap();
        import.get_words(0, &mut words).unwrap();
        assert!(ones == [0xff; 4096] && words[1..513] == [u64::MAX; 512]);
        assert_eq!(import.get_word::<u16>(10), Ok(u16::MAX));
        import.put_words(16, &[1u32, 2, 3]).unwrap();
        import.get_words(16, &mut words[..1]).unwrap();
        assert_eq!(words[0], 1 | 2 << 32);
    }
    drop(segment);
    until("it is told", || import.is_aborted());
}
