//! Whole agents with their members at the two ends of an emulated bridge, opened by what it is called.

use crate::world::{PATIENCE, World};
use rsm_core::Code;
use rsm_core::access::{AccessList, Level, Permission};
use rsm_core::message::Claim;
use rsm_core::peer::nodes::Nodes;
use rsm_core::registry::Found;
use rsm_ntb_emu::Options;
use rsm_shm::agent::config::Bridge;
use rsm_shm::agent::{AgentHandle, Config};
use rsm_shm::membership::Membership;
use rsm_shm::memory::huge::Pages;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const SEGMENT: u32 = 0x50_0000;
/// Of the bridge, behind that of this host.
const CONTROLLER: u32 = 2;

fn config(socket: &Path, here: &str) -> Config {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Relaxed: tests at the same time only need different ones.
    let name = format!("whole-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    Config {
        here: Some(Nodes::parse(here).unwrap()),
        bridge: Some(Bridge::parse(&format!("ntb0=epf:{}", socket.display())).unwrap()),
        opener: Some(rsm_ntb::open),
        ..Config::new(&name, 4)
    }
}

fn join(agent: &AgentHandle, node: u32) -> Arc<Membership> {
    let key = *agent.key(node).unwrap();
    Membership::join(agent.address(), Some(Claim { node, key })).unwrap()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn agents_of_two_hosts_show_one_cluster() {
    let world = World::new(Options { delay: Duration::from_millis(1), ..Options::default() });
    let one = AgentHandle::start(&config(&world.path("a"), "1-2")).unwrap();
    let other = AgentHandle::start(&config(&world.path("b"), "3-4")).unwrap();
    assert_eq!((one.await_bridge(PATIENCE), other.await_bridge(PATIENCE)), (None, None));
    let (first, third) = (join(&one, 1), join(&other, 3));
    let segment = third.create(CONTROLLER, 8192, Level::Guarded, Pages::AsWished).unwrap();
    segment.publish(SEGMENT, &AccessList::everyone()).unwrap();
    let joined = |node: u32| first.registry().nodes[node as usize].is_joined();
    let found = || matches!(first.registry().find(3, SEGMENT), Found::Segment { .. });
    until("it knows the other host", || joined(3) && found());
    assert!(joined(1) && !joined(4));
    // Everything was agreed on, the memory is attached, and only a machine could map it.
    let error = first.connect(CONTROLLER, 3, SEGMENT, Permission::ReadWrite).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::MapFailed);
    assert!(error.detail().contains("cannot be mapped without a machine"), "{error}");
    until("it is given back", || other_has_nothing(&third));
    // What one host had is forgotten with the link, and known again.
    world.emulator().flap(Duration::from_millis(5));
    until("they meet again", || {
        first.bridge().unwrap().is_some_and(|bridge| bridge.lives >= 2 && bridge.state == "open")
    });
    until("it knows the other host again", || joined(3) && found());
    drop(segment);
    drop((third, other));
    until("the other host is gone", || !joined(3) && !found());
    assert!(joined(1), "this one goes on");
}

fn other_has_nothing(member: &Membership) -> bool {
    member.bridge().unwrap().is_some_and(|bridge| bridge.slots == 0 && bridge.exports == 0)
}

#[test]
fn a_bridge_that_cannot_be_opened_is_told_and_no_cluster_starts() {
    let world = World::new(Options::default());
    let nowhere = world.path("c");
    let error = AgentHandle::start(&config(&nowhere, "1-2")).map(drop).unwrap_err();
    assert_eq!(error.code(), Code::CtlrNotPresent);
    assert!(error.detail().contains(nowhere.to_str().unwrap()), "{error}");
    let mut other = config(&nowhere, "1-2");
    other.bridge = Some(Bridge::parse("ntb0=vfio:0000:ff:1f.7").unwrap());
    let error = AgentHandle::start(&other).map(drop).unwrap_err();
    assert!(error.detail().contains("no PCI function 0000:ff:1f.7"), "{error}");
    // One whose window has no room for segments beside control pages.
    let small = World::new(Options { window: 1 << 18, ..Options::default() });
    let error = AgentHandle::start(&config(&small.path("a"), "1-2")).map(drop).unwrap_err();
    assert!(error.detail().contains("segments have no room"), "{error}");
}
