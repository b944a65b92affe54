//! The link, doorbells, and ends of all kinds.

use crate::world::{ALL_ONES, Agent, PATIENCE, PIECE, World, readable, word};
use rsm_core::Code;
use rsm_core::peer::life::REST;
use rsm_ntb::{Event, Ntb, Socket, Vector};
use rsm_ntb_emu::Options;
use rsm_shm::agent::far::{Carrier, Device};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[test]
fn each_doorbell_is_told_apart() {
    let world = World::new(Options::default());
    let (mut a, mut b) = world.pair();
    for vector in Vector::ALL {
        a.bridge.ring(vector).unwrap();
        assert!(readable(b.bridge.events(), false));
        assert!(matches!(b.next(), Event::Doorbell(rung) if rung == vector));
    }
    // Rung twice before anybody looked is once.
    a.bridge.ring(Vector::Messages).unwrap();
    a.bridge.ring(Vector::Messages).unwrap();
    assert!(matches!(b.next(), Event::Doorbell(Vector::Messages)));
    assert!(b.bridge.take().is_none() && a.bridge.take().is_none());
    assert!(!readable(b.bridge.events(), false));
}

#[test]
fn what_was_loaded_back_is_there_when_the_doorbell_is() {
    let never = Duration::from_secs(3600);
    let world = World::new(Options { delay: never, doorbells_overtake: true, ..Options::default() });
    let (a, mut b) = world.pair();
    a.bridge.words().store(PIECE, 5).unwrap();
    a.bridge.ring(Vector::Messages).unwrap();
    assert!(matches!(b.next(), Event::Doorbell(Vector::Messages)));
    assert_eq!(word(&b.theirs, 0), 0, "a doorbell alone says nothing");
    a.bridge.words().fence();
    a.bridge.words().load(PIECE).unwrap();
    a.bridge.ring(Vector::Messages).unwrap();
    assert!(matches!(b.next(), Event::Doorbell(Vector::Messages)));
    assert_eq!(word(&b.theirs, 0), 5);
}

#[test]
fn a_flap_is_told_until_it_is_answered() {
    let world = World::new(Options::default());
    let (mut a, mut b) = world.pair();
    let sentinel = a.bridge.sentinel().unwrap();
    assert!(!readable(sentinel.as_fd(), false));
    world.emulator().flap(Duration::ZERO);
    for agent in [&mut a, &mut b] {
        assert!(matches!(agent.next(), Event::Link));
        assert!(agent.bridge.take().is_none(), "told once");
    }
    assert!(readable(sentinel.as_fd(), false), "and not answered yet");
    a.bridge.link_answered();
    assert!(!readable(sentinel.as_fd(), false));
    assert!(a.bridge.link_is_up().unwrap());
    // The next one is a new event.
    b.bridge.set_link(false).unwrap();
    assert!(readable(sentinel.as_fd(), false) && matches!(a.next(), Event::Link));
    a.bridge.link_answered();
    assert_eq!((a.bridge.link_is_up().unwrap(), a.bridge.words().load(0).unwrap()), (false, ALL_ONES));
    b.bridge.set_link(true).unwrap();
    assert!(matches!(a.next(), Event::Link));
    a.bridge.link_answered();
    assert_eq!((a.bridge.link_is_up().unwrap(), a.bridge.words().load(0).unwrap()), (true, 7));
}

#[test]
fn an_end_in_order_is_told_to_the_other_host() {
    let world = World::new(Options::default());
    let mut a = Agent::open(world.socket("a"));
    // The function lives on: its end tells the other host, too.
    let function = Arc::new(world.socket("b"));
    let b = Agent::open(Arc::clone(&function));
    assert!(matches!(a.next(), Event::Link));
    a.bridge.link_answered();
    drop(b.bridge);
    assert!(matches!(a.next(), Event::Link));
    a.bridge.link_answered();
    assert_eq!((a.bridge.link_is_up().unwrap(), a.bridge.words().load(0).unwrap()), (false, ALL_ONES));
    let _b = Agent::open(function);
    assert!(matches!(a.next(), Event::Link));
    assert_eq!(a.bridge.words().load(0).unwrap(), 7);
}

#[test]
fn an_error_of_the_function_is_told() {
    let world = World::new(Options::default());
    let (mut a, mut b) = world.pair();
    let sentinel = a.bridge.sentinel().unwrap();
    assert_eq!(world.emulator().raise_error(), 2);
    assert!(matches!(a.next(), Event::Error) && matches!(b.next(), Event::Error));
    assert!(a.bridge.take().is_none(), "told once");
    assert!(!readable(a.bridge.events(), false) && readable(sentinel.as_fd(), false), "and not answered yet");
    a.bridge.error_answered();
    assert!(!readable(sentinel.as_fd(), false));
    assert_eq!(world.emulator().raise_error(), 2);
    assert!(readable(sentinel.as_fd(), false) && matches!(a.next(), Event::Error));
}

/// What happens between the end of one life and the next is answered by that: who had what the link carried is to know until
/// then that it is gone.
#[test]
fn what_happens_to_a_link_that_was_let_go_of_stays_unanswered() {
    let world = World::new(Options::default());
    let mut devices = ["a", "b"].map(|host| Ntb::take_over(world.socket(host)).unwrap());
    let happenings: [fn(&World); 2] =
        [|world| world.emulator().flap(Duration::ZERO), |world| assert_eq!(world.emulator().raise_error(), 2)];
    for happens in happenings {
        devices.iter_mut().for_each(|device| device.renew().unwrap());
        let (began, mut offered) = (Instant::now(), None);
        let sentinel = devices[0].sentinel().unwrap().unwrap();
        while devices.iter().any(|device| device.far().is_none()) || readable(sentinel.as_fd(), false) {
            assert!(began.elapsed() < PATIENCE, "they do not meet");
            // As often as an agent does.
            if offered.is_none_or(|at: Instant| at.elapsed() >= REST) {
                devices.iter_mut().for_each(|device| device.offer().unwrap());
                offered = Some(Instant::now());
            }
            devices.iter_mut().for_each(|device| drop((device.stir(), device.done())));
            std::thread::yield_now();
        }
        // Not by an event: what its agent has heard made no sense.
        devices[0].let_go();
        happens(&world);
        assert!(readable(sentinel.as_fd(), true));
        // Whatever is done with the device before its agent has ended what there was.
        drop((devices[0].stir(), devices[0].done(), devices[0].stir()));
        assert!(readable(sentinel.as_fd(), false), "nobody has ended anything yet");
    }
}

#[test]
fn a_function_that_is_gone_is_told_and_nobody_waits_for_it() {
    let mut world = World::new(Options::default());
    let (mut a, _b) = world.pair();
    drop(world.emulator.take());
    let memory = crate::world::memory(4096, 1);
    let job = a.bridge.attach(1 << 20, memory.as_fd(), 4096, rsm_core::access::Permission::Read).unwrap();
    let outcome = loop {
        match a.next() {
            Event::Done(ended, outcome) if ended == job => break outcome,
            // Whether the other side went first is the emulator's.
            Event::Link => a.bridge.link_answered(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(outcome.unwrap_err().code(), Code::CtlrNotPresent);
    let code = |outcome: rsm_core::Result<()>| outcome.unwrap_err().code();
    assert_eq!(code(a.bridge.words().store(0, 1)), Code::CtlrNotPresent);
    assert_eq!(code(a.bridge.words().load(0).map(drop)), Code::CtlrNotPresent);
    assert_eq!(code(a.bridge.ring(Vector::Messages)), Code::CtlrNotPresent);
    assert_eq!(code(a.bridge.set_link(true)), Code::CtlrNotPresent);
    assert_eq!(code(a.bridge.link_is_up().map(drop)), Code::CtlrNotPresent);
}

#[test]
fn a_bridge_that_is_not_there_is_named() {
    let world = World::new(Options::default());
    for path in [world.path("c"), std::path::PathBuf::from("/dev/null")] {
        let error = Socket::open(&path).unwrap_err();
        assert_eq!(error.code(), Code::CtlrNotPresent);
        assert!(error.detail().contains(path.to_str().unwrap()), "{error}");
        assert!(error.detail().contains("rsm-ntb-emu A.sock B.sock"), "{error}");
    }
}
