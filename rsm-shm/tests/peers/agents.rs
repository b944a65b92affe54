//! Two agents, each with its registry and its members, of one cluster.

use crate::bridge;
use crate::raw::Raw;
use crate::side::DEADLINE;
use rsm_core::access::{AccessList, Level, Permission};
use rsm_core::bell::Accumulate;
use rsm_core::generation::EndCause;
use rsm_core::message::{Ask, Claim};
use rsm_core::peer::nodes::Nodes;
use rsm_core::registry::{Found, Geometry, LinkChange, LinkState};
use rsm_core::verdict::BarrierType;
use rsm_core::{Code, Result};
use rsm_shm::agent::config::Bridge;
use rsm_shm::agent::{AgentHandle, Config};
use rsm_shm::membership::Membership;
use rsm_shm::membership::connection::{BarrierMode, Connection};
use rsm_shm::membership::segment::Segment;
use rsm_shm::memory::huge::Pages;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Ids below are reserved.
pub(crate) const BASE: u32 = 0x50_0000;

pub(crate) fn agent(bridge: &str, host: &str, here: &str) -> AgentHandle {
    AgentHandle::start(&config(bridge, host, here)).unwrap()
}

fn agent_with(bridge: &str, host: &str, here: &str, geometry: Geometry) -> AgentHandle {
    AgentHandle::start(&Config { geometry, ..config(bridge, host, here) }).unwrap()
}

pub(crate) fn config(bridge: &str, host: &str, here: &str) -> Config {
    let here = Some(Nodes::parse(here).unwrap());
    let device = Some(Bridge::parse(&format!("shm0=local:{bridge}")).unwrap());
    Config { here, bridge: device, ..Config::new(&format!("{bridge}-{host}"), 4) }
}

pub(crate) fn join(agent: &AgentHandle, node: u32) -> Result<Arc<Membership>> {
    let key = *agent.key(node).unwrap();
    Membership::join(agent.address(), Some(Claim { node, key }))
}

pub(crate) fn export(member: &Arc<Membership>, id: u32, access: &AccessList) -> Segment {
    let segment = member.create(1, 8192, Level::Guarded, Pages::AsWished).unwrap();
    segment.publish(BASE + id, access).unwrap();
    segment
}

/// Looks until something is so.
pub(crate) fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::yield_now();
    }
}

pub(crate) fn is_there(member: &Membership, node: u32) -> bool {
    member.registry().nodes[node as usize].is_joined()
}

pub(crate) fn has(member: &Membership, node: u32, id: u32) -> bool {
    !matches!(member.registry().find(node, BASE + id), Found::Nothing | Found::Unsure)
}

pub(crate) fn registries_of_two_agents_show_one_cluster() {
    let bridge = bridge("agents");
    let (one, other) = (agent(&bridge, "a", "1-2"), agent(&bridge, "b", "3-4"));
    let first = join(&one, 1).unwrap();
    let third = join(&other, 3).unwrap();
    let elsewhere = join(&one, 3).map(drop).unwrap_err();
    assert_eq!(elsewhere.code(), Code::CtlrNotPresent);
    assert!(elsewhere.to_string().contains("node 3 is one of the other host, this one has 1-2"), "{elsewhere}");
    until("each shows the other's nodes", || is_there(&first, 3) && is_there(&third, 1));
    assert!(!is_there(&first, 4) && !is_there(&third, 2));
    let segment = export(&third, 7, &AccessList::everyone());
    let second = export(&third, 8, &AccessList::new().node(2, 0o666));
    until("each shows the other's segments", || has(&first, 3, 7) && has(&first, 3, 8));
    assert!(!has(&first, 3, 9));
    segment.unpublish().unwrap();
    until("it is withdrawn", || !has(&first, 3, 7));
    segment.publish(BASE + 9, &AccessList::everyone()).unwrap();
    until("it is published anew", || has(&first, 3, 9));
    drop((segment, second));
    drop(third);
    until("its node leaves", || !is_there(&first, 3) && !has(&first, 3, 9) && !has(&first, 3, 8));
    let fourth = join(&other, 4).unwrap();
    let _kept = export(&fourth, 7, &AccessList::everyone());
    until("another comes", || is_there(&first, 4) && has(&first, 4, 7));
    drop(other);
    until("the other host ends", || !is_there(&first, 4) && !has(&first, 4, 7));
    // The cluster of this host goes on, and another comes.
    let segment = export(&first, 5, &AccessList::everyone());
    let other = agent(&bridge, "c", "3-4");
    let third = join(&other, 3).unwrap();
    until("each shows the other's nodes", || is_there(&first, 3) && is_there(&third, 1) && has(&third, 1, 5));
    drop(segment);
}

pub(crate) fn members_of_two_agents_put_and_signal() {
    let bridge = bridge("members");
    let (one, other) = (agent(&bridge, "a", "1-2"), agent(&bridge, "b", "3-4"));
    let (first, third) = (join(&one, 1).unwrap(), join(&other, 3).unwrap());
    let segment = export(&first, 7, &AccessList::everyone());
    let import = third.connect_within(1, 1, BASE + 7, Permission::ReadWrite, DEADLINE).unwrap();
    import.put(16, b"across").unwrap();
    let mut seen = [0; 6];
    import.get(16, &mut seen).unwrap();
    assert_eq!(&seen, b"across");
    // A span.
    import.set_mode(BarrierMode::Explicit);
    let opened = import.snapshot();
    import.put_word(0, 7u64).unwrap();
    import.close_span(opened, BarrierType::Segment).unwrap();
    import.post(Accumulate::Yes).unwrap();
    import.post(Accumulate::Yes).unwrap();
    for _ in 0..2 {
        segment.wait(Some(DEADLINE)).unwrap();
    }
    until("its importer is known", || segment.importer_count() == 1);
    segment.post(Accumulate::Yes).unwrap();
    import.wait(Some(DEADLINE)).unwrap();
    assert_eq!(import.wait(Some(Duration::from_millis(1))).unwrap_err().code(), Code::Timeout);
    segment.unpublish().unwrap();
    let opened = import.snapshot();
    assert_eq!(import.close_span(opened, BarrierType::Segment).unwrap_err().code(), Code::ConnAborted);
    until("it is told", || import.is_aborted());
    let again = third.connect(1, 1, BASE + 7, Permission::Read).map(drop).unwrap_err();
    assert_eq!(again.code(), Code::SegNotPublished);
}

pub(crate) fn a_link_that_is_taken_down_on_one_host_is_down_on_both() {
    let bridge = bridge("links");
    let (one, other) = (agent(&bridge, "a", "1-2"), agent(&bridge, "b", "3-4"));
    let (first, third) = (join(&one, 1).unwrap(), join(&other, 3).unwrap());
    let segment = export(&first, 5, &AccessList::everyone());
    let connect = || third.connect(1, 1, BASE + 5, Permission::ReadWrite);
    let import = third.connect_within(1, 1, BASE + 5, Permission::ReadWrite, DEADLINE).unwrap();
    let steering = Membership::join(one.address(), None).unwrap();
    let state = |member: &Membership| member.registry().link_now(1, 3, 1).unwrap().state();
    let set = |change| steering.set_link(1, 3, 1, true, change).unwrap();
    set(LinkChange::Error);
    until("the error is told", || third.registry().link_now(1, 3, 1).unwrap().errors() == 1);
    import.put(0, b"here").unwrap();
    set(LinkChange::Down);
    until("both show it", || state(&first) == LinkState::Down && state(&third) == LinkState::Down);
    until("it is cut", || import.is_aborted());
    assert_eq!((import.end_cause(), segment.importer_count()), (Some(EndCause::LinkDown), 0));
    assert_eq!(connect().map(drop).unwrap_err().code(), Code::RemoteNodeUnreachable);
    // Nodes of one host are none of it.
    let fourth = join(&other, 4).unwrap();
    let beside = fourth.connect_within(1, 1, BASE + 5, Permission::ReadWrite, DEADLINE).unwrap();
    beside.put(0, b"four").unwrap();
    set(LinkChange::Up);
    until("it is up again", || connect().is_ok());
    // What belongs to the other host is steered there.
    let refused = steering.revoke(3, BASE + 7).map(drop).unwrap_err();
    assert!(refused.to_string().contains("node 3 is one of the other host"), "{refused}");
}

pub(crate) fn a_rebind_is_one_for_every_agent_that_comes() {
    let bridge = bridge("rebind");
    let (one, other) = (agent(&bridge, "a", "1-2"), agent(&bridge, "b", "3-4"));
    let mut exporter = Raw::join(&one, 1);
    let segment = exporter.publish(BASE + 5);
    let connect = |member: &Arc<Membership>| member.connect_within(1, 1, BASE + 5, Permission::ReadWrite, DEADLINE);
    let put = |import: &Connection| import.put(0, b"word").map_err(|error| error.code());
    let third = join(&other, 3).unwrap();
    let import = connect(&third).unwrap();
    assert_eq!(put(&import), Ok(()));
    exporter.ask(Ask::BeginRebind { segment }).unwrap();
    assert_eq!(put(&import), Err(Code::BarrierFailure));
    // Another agent comes in the middle of it.
    drop((import, third, other));
    let other = agent(&bridge, "c", "3-4");
    let third = join(&other, 3).unwrap();
    let import = connect(&third).unwrap();
    assert_eq!(put(&import), Err(Code::BarrierFailure), "the contents are still being replaced");
    exporter.ask(Ask::EndRebind { segment }).unwrap();
    until("it is over", || put(&import) == Ok(()));
}

pub(crate) fn what_the_tables_have_no_room_for_is_told() {
    let bridge = bridge("full");
    let small = Geometry { segments: 4, ..Geometry::default() };
    let (one, other) = (agent_with(&bridge, "a", "1-2", small), agent(&bridge, "b", "3-4"));
    let (first, third) = (join(&one, 1).unwrap(), join(&other, 3).unwrap());
    let mut segments: Vec<Segment> = (0..6).map(|id| export(&third, id, &AccessList::everyone())).collect();
    let connect = |id: u32| first.connect(1, 3, BASE + id, Permission::Read).map(drop);
    let is_told = |id: u32| connect(id).map_err(|error| error.code()) == Err(Code::InsufficientResources);
    let has_room = |id: &u32| match connect(*id) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!(error.code(), Code::InsufficientResources, "{error}");
            assert!(error.to_string().contains("on the other host, and there is no room"), "{error}");
            false
        }
    };
    until("all are known", || has(&first, 3, 3) && is_told(4) && is_told(5));
    let fits: Vec<u32> = (0..6).filter(has_room).collect();
    assert_eq!(fits, [0, 1, 2, 3]);
    // Where one goes there is room for another.
    segments.remove(0).destroy().unwrap();
    until("there is room", || connect(5).is_ok());
}
