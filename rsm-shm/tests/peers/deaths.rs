//! The other host's agent dies, stands still, or does not fit, while members of this one go on.

use crate::agents::{BASE, agent, config, export, has, is_there, join, until};
use crate::side::DEADLINE;
use crate::{Other, bridge};
use rsm_core::access::{AccessList, Permission};
use rsm_core::bell::Accumulate;
use rsm_core::generation::EndCause;
use rsm_core::message::Claim;
use rsm_core::registry::LinkChange;
use rsm_core::{Code, Error};
use rsm_shm::address::{secret_from_text, secret_to_text};
use rsm_shm::agent::{AgentHandle, Config};
use rsm_shm::membership::Membership;
use rustix::process::Signal;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A host in another process: its node 3 publishes segment 7, imports segment 5 of node 1 once it is there, and answers
/// each signal by a word put and a signal, until it is killed. It says how to join as node 4.
pub(crate) fn play(bridge: &str) {
    let agent = agent(bridge, "other", "3-4");
    let member = join(&agent, 3).unwrap();
    let own = export(&member, 7, &AccessList::everyone());
    println!("up");
    println!("cluster {} {}", agent.address(), secret_to_text(agent.key(4).unwrap()));
    let import = member.connect_within(1, 1, BASE + 5, Permission::ReadWrite, DEADLINE).unwrap();
    println!("connected");
    for turn in 1u64.. {
        // Taken back from a host that stood still, it has nothing left to do.
        let answered =
            own.wait(None).and_then(|()| import.put_word(0, turn)).and_then(|()| import.post(Accumulate::Yes));
        if answered.is_err() {
            return;
        }
    }
}

fn connect(member: &Arc<Membership>) -> Arc<rsm_shm::membership::connection::Connection> {
    member.connect_within(1, 3, BASE + 7, Permission::ReadWrite, DEADLINE).unwrap()
}

pub(crate) fn a_killed_agent_takes_nothing_of_this_host_along() {
    let bridge = bridge("killed-host");
    let one = agent(&bridge, "a", "1-2");
    let (first, second) = (join(&one, 1).unwrap(), join(&one, 2).unwrap());
    let segment = export(&first, 5, &AccessList::everyone());
    let near = second.connect(1, 1, BASE + 5, Permission::ReadWrite).unwrap();
    for _ in 0..2 {
        let mut other = Other::start_members(&bridge);
        other.says("connected");
        let import = connect(&first);
        import.put(8, b"before").unwrap();
        import.post(Accumulate::Yes).unwrap();
        segment.wait(Some(DEADLINE)).unwrap();
        until("both import it", || segment.importer_count() == 2);
        other.signal(Signal::KILL);
        // What is put is vouched for or not, and soon it is known why.
        until("it is missed", || import.put(8, b"after!").is_err_and(|error| error.code() == Code::ConnAborted));
        assert!(import.is_aborted());
        assert_eq!(import.end_cause(), Some(EndCause::LinkDown));
        assert_eq!(import.post(Accumulate::Yes).map_err(|e| e.code()), Err(Code::ConnAborted));
        until("its nodes are gone", || !is_there(&first, 3) && !has(&first, 3, 7) && segment.importer_count() == 1);
        let gone = first.connect(1, 3, BASE + 7, Permission::Read).map(drop).unwrap_err();
        assert_eq!(gone.code(), Code::SegNotPublished, "{gone}");
        // This host goes on.
        near.put(16, b"near").unwrap();
        near.post(Accumulate::Yes).unwrap();
        segment.wait(Some(DEADLINE)).unwrap();
    }
    segment.unpublish().unwrap();
}

pub(crate) fn a_stopped_agent_keeps_nobody_from_the_memory() {
    let bridge = bridge("stopped-host");
    let one = agent(&bridge, "a", "1-2");
    let first = join(&one, 1).unwrap();
    let segment = export(&first, 5, &AccessList::everyone());
    let mut other = Other::start_members(&bridge);
    other.says("connected");
    let import = connect(&first);
    until("it imports", || segment.importer_count() == 1);
    other.stop();
    // Its memory is reached, and vouched for, while nobody there runs.
    for _ in 0..100 {
        import.put(8, b"quiet").unwrap();
    }
    import.post(Accumulate::Yes).unwrap();
    let late = segment.wait(Some(Duration::from_millis(50))).unwrap_err();
    assert_eq!(late.code(), Code::Timeout);
    // What it has of ours is taken back, and it finds that out when it goes on.
    let began = Instant::now();
    segment.unpublish().unwrap();
    assert!(began.elapsed() < DEADLINE, "whatever it does");
    segment.publish(BASE + 5, &AccessList::everyone()).unwrap();
    other.signal(Signal::CONT);
    until("it goes on", || import.put(8, b"again").is_ok() || import.is_aborted());
    // Its program has failed by now, as nobody vouches for what it stores.
    until("its node leaves", || !is_there(&first, 3));
}

/// The agent of the importer's own host, so that only the other host's word says that the connection is cut: no call finds it
/// whole after it was.
pub(crate) fn what_is_taken_back_is_not_mapped_while_an_agent_is_stopped() {
    let bridge = bridge("stopped-here");
    let one = agent(&bridge, "a", "1-2");
    let first = join(&one, 1).unwrap();
    let segment = export(&first, 5, &AccessList::everyone());
    let mut other = Other::start_members(&bridge);
    let line = other.says("cluster ");
    let [_, cluster, key] = line.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{line}") };
    let claim = Claim { node: 4, key: secret_from_text(key).unwrap() };
    let importer = Membership::join(&cluster.parse().unwrap(), Some(claim)).unwrap();
    let import = importer.connect_within(1, 1, BASE + 5, Permission::ReadWrite, DEADLINE).unwrap();
    other.says("connected");
    drop(import.part(0, 4096, Permission::ReadWrite).unwrap());
    other.stop();
    segment.unpublish().unwrap();
    let is_told = import.is_aborted();
    let mapped = import.part(0, 4096, Permission::ReadWrite).map(drop);
    // Before anything fails: members leave by way of their agent.
    other.signal(Signal::CONT);
    assert!(!is_told, "nobody here has said so");
    assert!(mapped.is_err_and(|error| error.code() == Code::ConnAborted));
    until("it is cut", || import.is_aborted());
}

/// Who asks it is told so, and who waits until he can connect does when it goes on.
pub(crate) fn a_stopped_agent_is_waited_for_only_so_long() {
    let bridge = bridge("slow");
    let config = Config { patience: Duration::from_millis(500), ..config(&bridge, "a", "1-2") };
    let one = AgentHandle::start(&config).unwrap();
    let (first, second) = (join(&one, 1).unwrap(), join(&one, 2).unwrap());
    let _segment = export(&first, 5, &AccessList::everyone());
    let mut other = Other::start_members(&bridge);
    other.says("connected");
    drop(connect(&first));
    other.stop();
    let waits = std::thread::spawn(move || connect(&second).put(8, b"late"));
    // What is there by what is known, and what may be there by now.
    let ask =
        |member: &Arc<Membership>, id| member.connect(1, 3, BASE + id, Permission::ReadWrite).map(drop).unwrap_err();
    let beside = join(&one, 2).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| trouble(&ask(&beside, 8), "does not answer: it may be stopped"));
        trouble(&ask(&first, 7), "does not answer: it may be stopped");
    });
    other.signal(Signal::CONT);
    waits.join().unwrap().unwrap();
    // On a busy machine not each time.
    until("it answers", || ask(&beside, 8).code() == Code::SegNotPublished);
}

/// What happened to a link while an agent stood still is heard in one go, and the last of it holds.
pub(crate) fn a_link_is_on_both_hosts_what_was_said_last() {
    let bridge = bridge("flap");
    let one = agent(&bridge, "a", "1-2");
    let first = join(&one, 1).unwrap();
    let segment = export(&first, 5, &AccessList::everyone());
    let mut other = Other::start_members(&bridge);
    other.says("connected");
    let import = connect(&first);
    let steering = Membership::join(one.address(), None).unwrap();
    let set = |change| steering.set_link(1, 3, 1, true, change).unwrap();
    other.stop();
    for change in [LinkChange::Down, LinkChange::Up, LinkChange::Down, LinkChange::Up] {
        set(change);
    }
    assert!(import.is_aborted() && segment.importer_count() == 0);
    other.signal(Signal::CONT);
    // The other host's agent lets the connection through where its link is up.
    until("it is up there", || first.connect(1, 3, BASE + 7, Permission::ReadWrite).is_ok());
}

fn trouble(error: &Error, text: &str) {
    assert_eq!(error.code(), Code::RemoteNodeUnreachable);
    assert!(error.to_string().contains(text), "{error}");
}

pub(crate) fn hosts_that_do_not_fit_stay_by_themselves() {
    let bridge = bridge("misfit");
    let (one, other) = (agent(&bridge, "a", "1-2"), agent(&bridge, "b", "2-4"));
    for agent in [&one, &other] {
        // They go on trying, so that it is not told at every moment.
        until("it is told why", || {
            let why = agent.await_bridge(Duration::from_millis(20)).unwrap_or_default();
            why.contains("both") && why.contains("node")
        });
    }
    // Each is a cluster that works.
    let (first, second) = (join(&one, 1).unwrap(), join(&one, 2).unwrap());
    let _segment = export(&first, 5, &AccessList::everyone());
    let near = second.connect(1, 1, BASE + 5, Permission::ReadWrite).unwrap();
    near.put(16, b"near").unwrap();
    let far = first.connect(1, 3, BASE + 7, Permission::Read).map(drop).unwrap_err();
    assert_eq!(far.code(), Code::SegNotPublished, "{far}");
    // One that fits takes the place of the one that does not.
    drop(other);
    let other = agent(&bridge, "c", "3-4");
    assert_eq!((one.await_bridge(DEADLINE), other.await_bridge(DEADLINE)), (None, None));
}
