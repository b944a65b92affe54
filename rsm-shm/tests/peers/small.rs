//! Two agents over a bridge with a small window, and segments that are larger.

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
struct Small(Local);

impl Carrier for Small {
    fn limits(&self) -> Limits {
        Limits { window: CONTROL_BYTES + room(), ..self.0.limits() }
    }
    fn attach(&mut self, at: u64, memory: BorrowedFd<'_>, length: u64, access: Permission) -> Result<Job> {
        self.0.attach(at, memory, length, access)
    }
    fn detach(&mut self, at: u64) -> Result<Job> {
        self.0.detach(at)
    }
    fn done(&mut self) -> Option<(Job, Result<()>)> {
        self.0.done()
    }
    fn reach(&self, at: u64, length: u64, permission: Permission) -> Result<Reach> {
        self.0.reach(at, length, permission)
    }
}

impl Device for Small {
    type Far = <Local as Device>::Far;

    fn let_go(&mut self) {
        self.0.let_go();
    }
    fn renew(&mut self) -> Result<()> {
        self.0.renew()
    }
    fn offer(&mut self) -> Result<()> {
        self.0.offer()
    }
    fn near(&self) -> Near<'_> {
        self.0.near()
    }
    fn far(&self) -> Option<&Self::Far> {
        self.0.far()
    }
    fn seals(&self) -> Result<Reach> {
        Device::seals(&self.0)
    }
    fn sentinel(&self) -> Result<Option<OwnedFd>> {
        self.0.sentinel()
    }
    fn ring(&self) {
        self.0.ring();
    }
    fn events(&self) -> BorrowedFd<'_> {
        self.0.events()
    }
    fn stir(&mut self) -> Stir {
        self.0.stir()
    }
}

fn open(device: &str, host: Host) -> Option<Result<Box<dyn Crossing>>> {
    let name = device.strip_prefix("small:")?;
    let peering = Local::new(name).and_then(|local| Paged::new(Small(local), host));
    Some(peering.map(|peering| Box::new(peering) as Box<dyn Crossing>))
}

fn agent(bridge: &str, host: &str, here: &str) -> AgentHandle {
    let config = Config {
        here: Some(Nodes::parse(here).unwrap()),
        bridge: Some(Bridge::parse(&format!("shm0=small:{bridge}")).unwrap()),
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
