//! Two agents over the driver: the stories that they play over a bridge of one machine, and those of a device that fails.

use crate::host::{Host, Import, ended, granted, open, segment, until};
use crate::world::{Watched, World};
use rsm_core::Code;
use rsm_core::access::Permission;
use rsm_core::peer::life::Stage;
use rsm_ntb::{PciFunction, Socket};
use rsm_ntb_emu::Options;
use rsm_shm::agent::far::host::{At, Event};
use rsm_shm::agent::far::{Carrier, Peering};
use std::sync::Arc;
use std::time::Duration;

const BOTH: Permission = Permission::ReadWrite;

fn pair(world: &World) -> (Host<Socket>, Host<Socket>) {
    (Host::new(world.socket("a"), "1-2"), Host::new(world.socket("b"), "3-4"))
}

fn met<F: PciFunction, G: PciFunction>(one: &mut Host<F>, other: &mut Host<G>) {
    let mut opened = (false, false);
    until("they meet", (one, other), |one, other| {
        opened.0 |= one.event(open).is_some();
        opened.1 |= other.event(open).is_some();
        (opened == (true, true)).then_some(())
    });
}

#[test]
fn agents_meet_and_know_each_other() {
    for first in [0, 1] {
        let world = World::new(Options::default());
        let (mut one, mut other) = pair(&world);
        (0..40).for_each(|row| one.publish(row, 1));
        other.publish(0, 1);
        if first == 0 {
            one.turn();
        } else {
            other.turn();
        }
        let text = if first == 0 { one.far.bridge().trouble() } else { other.far.bridge().trouble() };
        assert!(text.is_some_and(|text| text.contains("nobody is at the other end")));
        met(&mut one, &mut other);
        until("they know", (&mut one, &mut other), |one, other| (one.knows(1) && other.knows(40)).then_some(()));
        assert_eq!((one.event(ended), other.event(ended)), (None, None), "the first time");
        // More than a ring takes at a time.
        (40..90).for_each(|row| one.publish(row, 1));
        (0..30).for_each(|row| drop(one.withdraw(row)));
        other.withdraw(0);
        until("they know", (&mut one, &mut other), |one, other| (one.knows(0) && other.knows(60)).then_some(()));
    }
}

/// Over a bridge at its best, and one whose stores are late and overtaken by doorbells.
#[test]
fn a_put_across_is_vouched_for_until_it_is_withdrawn() {
    let late = Duration::from_millis(3);
    for options in [Options::default(), Options { delay: late, doorbells_overtake: true, ..Options::default() }] {
        let world = World::new(options);
        let (mut one, mut other) = pair(&world);
        one.publish(0, 5);
        met(&mut one, &mut other);
        until("it knows", (&mut one, &mut other), |_, other| other.knows(1).then_some(()));
        other.ask(1, 0, BOTH);
        other.ask(2, 0, Permission::Read);
        let (number, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(1)));
        let (_, to_read) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(2)));
        assert_ne!((grant.offset, grant.slot), (to_read.offset, to_read.slot));
        let reach = other.far.bridge().reach(grant.offset, 4096, BOTH).unwrap_err();
        assert_eq!(reach.code(), Code::MapFailed, "only a machine can map a window");
        let (writes, reads) = (Import::new(&other, grant), Import::new(&other, to_read));
        assert_eq!((writes.get(0), reads.get(0)), (5, 5));
        for at in 1..100 {
            assert_eq!(writes.put(8 * at, at), Ok(()));
            assert_eq!(one.word(0, 8 * at), at, "it is there once it is vouched for");
        }
        assert_eq!(reads.put(8, 77), Ok(()));
        assert!(one.word(0, 8) != 77, "it is granted for reading");
        one.set_word(0, 16, 78);
        assert_eq!(reads.get(16), 78);
        // What the other host does not know yet the seal tells at once.
        let memory = one.withdraw(0);
        assert_eq!((writes.put(0, 9), reads.put(0, 9)), (Err(Code::ConnAborted), Err(Code::ConnAborted)));
        let free = |event: &Event<u32>| (*event == Event::Free(segment(0))).then_some(());
        until("it is free", (&mut one, &mut other), |one, _| {
            (one.far.is_free(segment(0)) || one.event(free).is_some()).then_some(())
        });
        let word = crate::world::word(&memory, 0);
        let late = Import::new(&other, grant);
        assert_eq!((late.put(0, word + 1), late.get(0)), (Err(Code::ConnAborted), u64::MAX));
        assert_eq!(crate::world::word(&memory, 0), word, "nobody reaches it");
        let cut = |event: &Event<u32>| if let Event::Cut(numbers) = event { Some(numbers.clone()) } else { None };
        let numbers = until("it is cut", (&mut one, &mut other), |_, other| other.event(cut));
        assert_eq!(numbers.first(), Some(&number));
    }
}

/// A bridge whose stores never come by themselves: what pushes them is the load of the seal. Without it the same program is told
/// that all is well, and nothing is there.
#[test]
fn the_read_back_is_what_makes_a_verdict_true() {
    let options = Options { delay: Duration::from_secs(3600), doorbells_overtake: true, ..Options::default() };
    let world = World::new(options);
    let (mut one, mut other) = pair(&world);
    one.publish(0, 5);
    met(&mut one, &mut other);
    until("it knows", (&mut one, &mut other), |_, other| other.knows(1).then_some(()));
    other.ask(1, 0, BOTH);
    let (_, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(1)));
    let before = world.emulator().stats().sides[1].loads;
    let twin = Import::new(&other, grant).that_does_not_read_back();
    assert_eq!((twin.put(8, 7), one.word(0, 8)), (Ok(()), 0), "it is vouched for, and not there");
    assert_eq!(world.emulator().stats().sides[1].loads, before);
    let import = Import::new(&other, grant);
    for word in 8..18 {
        assert_eq!((import.put(8, word), one.word(0, 8)), (Ok(()), word));
    }
    assert_eq!(world.emulator().stats().sides[1].loads, before + 10, "one load a verdict");
}

/// Neither agent has its turn before a span ends whose stores were lost in a flap: who is told that the link went is asked.
#[test]
fn a_flap_in_the_middle_of_a_span_is_found_before_any_agent_has_its_turn() {
    let world = World::new(Options::default());
    let (mut one, mut other) = pair(&world);
    one.publish(0, 5);
    met(&mut one, &mut other);
    until("it knows", (&mut one, &mut other), |_, other| other.knows(1).then_some(()));
    other.ask(1, 0, BOTH);
    let (_, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(1)));
    let import = Import::new(&other, grant);
    assert_eq!(import.put(8, 1), Ok(()));
    world.emulator().flap(Duration::ZERO);
    assert!(world.emulator().link_is_up());
    // The seal is the one that was granted, and the store arrives: those before the flap may not have.
    assert_eq!((import.get(0), import.put(8, 2)), (5, Err(Code::BarrierFailure)));
}

#[test]
fn signals_cross_and_none_is_lost_or_doubled() {
    let options = Options { delay: Duration::from_millis(1), doorbells_overtake: true, ..Options::default() };
    let world = World::new(options);
    let (mut one, mut other) = pair(&world);
    one.publish(0, 5);
    met(&mut one, &mut other);
    until("it knows", (&mut one, &mut other), |_, other| other.knows(1).then_some(()));
    other.ask(1, 0, BOTH);
    let (number, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(1)));
    let signal = rsm_core::peer::lane::Counts { signals: 1, ..Default::default() };
    let signalled = |event: &Event<u32>| match event {
        Event::Signalled { end: At::Export, counts, .. } => Some(counts.signals),
        _ => None,
    };
    let mut taken = 0;
    for round in 1..=50 {
        assert_eq!(Import::new(&other, grant).put(0, round), Ok(()));
        other.far.post(At::Import, number, signal).unwrap();
        one.turn();
        while let Some(count) = one.event(signalled) {
            taken += count;
        }
        // What was put before is there with its signal.
        assert!(one.word(0, 0) >= u64::from(taken));
    }
    until("all have come", (&mut one, &mut other), |one, _| {
        while let Some(count) = one.event(signalled) {
            taken += count;
        }
        (taken >= 50).then_some(())
    });
    assert_eq!(taken, 50);
}

/// However short: what was lost in between nobody vouches for.
#[test]
fn a_flap_ends_what_the_link_carried_and_agents_meet_again() {
    for time in [Duration::ZERO, Duration::from_millis(30)] {
        let world = World::new(Options::default());
        let (mut one, mut other) = pair(&world);
        one.publish(0, 5);
        met(&mut one, &mut other);
        until("it knows", (&mut one, &mut other), |_, other| other.knows(1).then_some(()));
        other.ask(1, 0, BOTH);
        let (_, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(1)));
        assert_eq!(Import::new(&other, grant).put(8, 1), Ok(()));
        world.emulator().flap(time);
        // Whoever has its turn first: the exporter's agent is enough for everybody.
        one.turn();
        let verdict = Import::new(&other, grant).put(8, 2).unwrap_err();
        assert!([Code::ConnAborted, Code::BarrierFailure].contains(&verdict), "{verdict:?}");
        let why = until("it ends", (&mut one, &mut other), |_, other| other.event(ended));
        assert!(why.contains("link") || why.contains("answer"), "{why}");
        met(&mut one, &mut other);
        until("it knows", (&mut one, &mut other), |_, other| other.knows(1).then_some(()));
        assert!(Import::new(&other, grant).put(8, 3).is_err(), "what was granted before holds no more");
        other.ask(2, 0, BOTH);
        let (_, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(2)));
        assert_eq!(Import::new(&other, grant).put(8, 4), Ok(()));
        assert_eq!(one.word(0, 8), 4);
    }
}

#[test]
fn an_error_of_the_function_ends_a_life() {
    let world = World::new(Options::default());
    let (mut one, mut other) = pair(&world);
    met(&mut one, &mut other);
    assert_eq!(world.emulator().raise_error(), 2);
    let why = until("it ends", (&mut one, &mut other), |one, _| one.event(ended));
    assert!(why.contains("link") || why.contains("answer"), "{why}");
    met(&mut one, &mut other);
}

#[test]
fn hosts_that_do_not_fit_are_told_why() {
    let world = World::new(Options::default());
    let (mut one, mut other) = (Host::new(world.socket("a"), "1-2"), Host::new(world.socket("b"), "2-4"));
    let text = until("it is told", (&mut one, &mut other), |one, other| {
        let told = [one.far.bridge().trouble(), other.far.bridge().trouble()];
        told.into_iter().flatten().find(|text| text.contains("both hosts claim nodes 2"))
    });
    assert!(text.contains("1-2") && text.contains("2-4"), "{text}");
    assert!(one.events.is_empty() && other.events.is_empty(), "{:?} {:?}", one.events, other.events);
}

/// Its last words come with the end of the link, and are heard.
#[test]
fn an_end_in_order_is_told_with_its_reason() {
    let world = World::new(Options { delay: Duration::from_millis(3), ..Options::default() });
    let (mut one, mut other) = pair(&world);
    met(&mut one, &mut other);
    other.far.close(&other.land, "this host goes down for repairs");
    drop(other);
    let mut nobody = Host::new(World::new(Options::default()).socket("a"), "3-4");
    let why = until("it is told", (&mut one, &mut nobody), |one, _| one.event(ended));
    assert!(why.contains("this host goes down for repairs"), "{why}");
}

/// An agent's function lives on after it, with its link up: the successor is another one.
#[test]
fn an_agent_that_dies_is_missed_and_its_successor_met() {
    let world = World::new(Options::default());
    let inner = Arc::new(world.socket("b"));
    let mut one = Host::new(world.socket("a"), "1-2");
    one.publish(0, 5);
    for round in 1..=3 {
        let function = Arc::new(Watched::new(&inner, &[], |_| ()));
        let mut other = Host::new(Arc::clone(&function), "3-4");
        met(&mut one, &mut other);
        until("it knows", (&mut one, &mut other), |_, other| other.knows(1).then_some(()));
        other.ask(1, 0, BOTH);
        let (_, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(1)));
        assert_eq!(Import::new(&other, grant).put(8, round), Ok(()));
        // As SIGKILL leaves it: what was mapped is unmapped by the kernel, and nobody tells the function.
        std::mem::forget(other.far);
        function.forget_mapped();
        assert!(world.emulator().link_is_up());
        let mut nobody = Host::new(World::new(Options::default()).socket("a"), "3-4");
        let why = until("it is missed", (&mut one, &mut nobody), |one, _| one.event(ended));
        assert!(why.contains("does not answer"), "{why}");
        assert!(one.far.mirror().is_none() && one.word(0, 8) == round);
    }
}

/// Memory that the machine does not let go of: the bridge is closed, so that nobody reaches it, and opened when it has.
#[test]
fn memory_that_cannot_be_detached_closes_the_bridge() {
    let world = World::new(Options::default());
    let inner = Arc::new(world.socket("a"));
    let function = Arc::new(Watched::new(&inner, &[], |_| ()));
    let mut one = Host::new(Arc::clone(&function), "1-2");
    let mut other = Host::new(world.socket("b"), "3-4");
    one.publish(0, 5);
    one.publish(1, 6);
    met(&mut one, &mut other);
    until("it knows", (&mut one, &mut other), |_, other| other.knows(2).then_some(()));
    other.ask(1, 0, BOTH);
    let (_, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(1)));
    assert_eq!(Import::new(&other, grant).put(8, 1), Ok(()));
    function.refuse_unmaps(2);
    let memory = one.withdraw(0);
    until("it is free", (&mut one, &mut other), |one, _| one.far.is_free(segment(0)).then_some(()));
    // The machine has it mapped still, and the other host does not reach it.
    let before = crate::world::word(&memory, 8);
    let late = Import::new(&other, grant);
    assert_eq!((late.put(8, before + 1).is_err(), crate::world::word(&memory, 8)), (true, before));
    let why = until("it ends", (&mut one, &mut other), |one, _| one.event(ended));
    assert!(why.contains("went down"), "{why}");
    met(&mut one, &mut other);
    other.ask(2, 1, BOTH);
    let (_, grant) = until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(2)));
    assert_eq!((Import::new(&other, grant).put(8, 1), one.word(1, 8)), (Ok(()), 1));
    assert_eq!(crate::world::word(&memory, 8), before);
}

/// The function goes, in the middle: the agent is told, waits for nothing, and says why.
#[test]
fn a_bridge_that_goes_leaves_its_agent_alive() {
    let mut world = World::new(Options::default());
    let (mut one, mut other) = pair(&world);
    one.publish(0, 5);
    met(&mut one, &mut other);
    until("it knows", (&mut one, &mut other), |_, other| other.knows(1).then_some(()));
    other.ask(1, 0, BOTH);
    until("it is granted", (&mut one, &mut other), |_, other| other.event(granted(1)));
    drop(world.emulator.take());
    until("both are told", (&mut one, &mut other), |one, other| {
        let closed = |stage: Option<Stage>| stage.is_none_or(|stage| stage == Stage::Hello);
        (closed(one.far.bridge().stage()) && closed(other.far.bridge().stage())).then_some(())
    });
    one.withdraw(0);
    until("it is free", (&mut one, &mut other), |one, _| one.far.is_free(segment(0)).then_some(()));
    let told = |text: Option<String>| text.is_some_and(|text| text.contains("emulated bridge"));
    until("it is told", (&mut one, &mut other), |one, _| told(one.far.bridge().trouble()).then_some(()));
}

const _: fn() = || {
    fn is_send<T: Send>() {}
    // Agents are threads.
    is_send::<rsm_ntb::Ntb<Socket>>();
    is_send::<rsm_ntb::Ntb<rsm_ntb::Vfio>>();
};
