//! Memory that the other host reaches.

use crate::world::{ALL_ONES, Act, Agent, FREE, PIECE, WINDOW, Watched, World, memory, set_word, word};
use rsm_core::Code;
use rsm_core::access::Permission;
use rsm_ntb::{Event, Offsets, Vector};
use rsm_ntb_emu::Options;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

#[test]
fn control_pages_are_there_from_the_first() {
    let world = World::new(Options::default());
    let (a, b) = world.pair();
    assert_eq!((a.bridge.limits().window, a.bridge.limits().granule % 4096), (WINDOW, 0));
    assert_eq!((a.bridge.words().load(0).unwrap(), b.bridge.words().load(0).unwrap()), (7, 7), "what each has to say");
    a.bridge.words().store(PIECE + 8, 5).unwrap();
    assert_eq!(a.bridge.words().load(PIECE + 8).unwrap(), 5);
    assert_eq!(word(&b.theirs, 8), 5);
    // Theirs to load, not to store to.
    a.bridge.words().store(0, 9).unwrap();
    assert_eq!((a.bridge.words().load(0).unwrap(), word(&b.ours, 0)), (7, 7));
    set_word(&b.ours, 0, 8);
    assert_eq!(a.bridge.words().load(0).unwrap(), 8);
    assert_eq!(a.bridge.words().load(2 * PIECE).unwrap(), ALL_ONES, "nothing is attached there");
    assert_eq!(a.bridge.reach(0, 4096).unwrap_err().code(), Code::MapFailed, "nothing to be mapped without a machine");
    assert_eq!(a.bridge.reach(WINDOW - 4096, 8192).unwrap_err().code(), Code::BadOffset);
    for at in [1, WINDOW - 4, WINDOW, u64::MAX - 7] {
        let code = |outcome: rsm_core::Result<()>| outcome.unwrap_err().code();
        assert_eq!(code(a.bridge.words().store(at, 1)), Code::BadOffset, "{at:#x}");
        assert_eq!(code(a.bridge.words().load(at).map(drop)), Code::BadOffset, "{at:#x}");
    }
}

#[test]
fn memory_is_reached_from_attach_to_detach() {
    let world = World::new(Options::default());
    let (a, mut b) = world.pair();
    let mut offsets = Offsets::new(2 * PIECE, b.bridge.limits().window, b.bridge.limits().granule);
    let (one, two) = (memory(1 << 16, 1), memory(4 << 20, 2));
    let (first, second) = (offsets.take(1 << 16).unwrap(), offsets.take(4 << 20).unwrap());
    assert_eq!(a.bridge.words().load(first).unwrap(), ALL_ONES);
    b.attach(first, &one, Permission::ReadWrite);
    b.attach(second, &two, Permission::ReadWrite);
    assert_eq!((a.bridge.words().load(first).unwrap(), a.bridge.words().load(second).unwrap()), (1, 2));
    a.bridge.words().store(second + (4 << 20) - 8, 22).unwrap();
    assert_eq!((a.bridge.words().load(second).unwrap(), word(&two, (4 << 20) - 8)), (2, 22));
    let job = b.bridge.detach(first).unwrap();
    assert_eq!(b.bridge.detach(first).unwrap_err().code(), Code::BadAddr, "it is being detached");
    b.end(job).unwrap();
    a.bridge.words().store(first, 11).unwrap();
    assert_eq!((a.bridge.words().load(first).unwrap(), word(&one, 0)), (ALL_ONES, 1));
    assert_eq!(a.bridge.words().load(second).unwrap(), 2, "what is beside it stays");
    assert_eq!(offsets.give_back(first), Some(1 << 16));
    // The place is free for other memory.
    b.attach(first, &memory(1 << 16, 3), Permission::Read);
    assert_eq!(a.bridge.words().load(first).unwrap(), 3, "though its descriptor is closed");
}

#[test]
fn memory_attached_for_reading_is_not_stored_to() {
    let world = World::new(Options::default());
    let (a, mut b) = world.pair();
    let shown = memory(1 << 16, 1);
    b.attach(FREE, &shown, Permission::Read);
    b.attach(2 * FREE, &shown, Permission::ReadWrite);
    a.bridge.words().store(FREE, 5).unwrap();
    assert_eq!((a.bridge.words().load(FREE).unwrap(), word(&shown, 0)), (1, 1));
    a.bridge.words().store(2 * FREE, 6).unwrap();
    assert_eq!(a.bridge.words().load(FREE).unwrap(), 6);
}

#[test]
fn what_cannot_be_attached_is_refused_with_what_can() {
    let world = World::new(Options::default());
    let (_a, mut b) = world.pair();
    let some = memory(1 << 16, 1);
    b.attach(FREE, &some, Permission::ReadWrite);
    let mut refused = |at, length, permission| {
        let error = b.bridge.attach(at, some.as_fd(), length, permission).unwrap_err();
        assert!(!error.is_bare(), "{error}");
        error.code()
    };
    let both = Permission::ReadWrite;
    assert_eq!(refused(FREE, 4096, both), Code::InsufficientResources, "taken");
    assert_eq!(refused(FREE - 4096, 8192, both), Code::InsufficientResources, "taken in part");
    assert_eq!(refused(FREE + 0xf000, 4096, both), Code::InsufficientResources, "taken in part");
    assert_eq!(refused(0, 4096, both), Code::InsufficientResources, "control pages");
    assert_eq!(refused(PIECE - 4096, 8192, both), Code::InsufficientResources, "control pages");
    assert_eq!(refused(WINDOW - 4096, 8192, both), Code::BadLength, "past the end");
    assert_eq!(refused(u64::MAX - 4095, 8192, both), Code::BadLength);
    assert_eq!(refused(2 * FREE + 8, 4096, both), Code::BadLength, "within a page");
    assert_eq!(refused(2 * FREE, 0, both), Code::BadLength);
    assert_eq!(refused(2 * FREE, 100, both), Code::BadLength);
    assert_eq!(refused(2 * FREE, 4096, Permission::Write), Code::BadPerms);
    for at in [0, PIECE, FREE + 4096, 2 * FREE] {
        assert_eq!(b.bridge.detach(at).unwrap_err().code(), Code::BadAddr, "{at:#x}");
    }
}

#[test]
fn an_attachment_that_fails_leaves_nothing() {
    let world = World::new(Options::default());
    let (a, mut b) = world.pair();
    let short = memory(4096, 1);
    let job = b.bridge.attach(FREE, short.as_fd(), 8192, Permission::Read).unwrap();
    assert_eq!(b.end(job).unwrap_err().code(), Code::BadAddr, "it is longer than the memory");
    assert_eq!(b.bridge.detach(FREE).unwrap_err().code(), Code::BadAddr);
    // Detached before anybody knew that it had failed.
    let attach = b.bridge.attach(FREE, short.as_fd(), 8192, Permission::Read).unwrap();
    let detach = b.bridge.detach(FREE).unwrap();
    assert!(b.end(attach).is_err() && b.end(detach).is_ok());
    b.attach(FREE, &short, Permission::Read);
    assert_eq!(a.bridge.words().load(FREE).unwrap(), 1);
}

#[test]
fn the_loop_does_not_wait_for_memory() {
    let world = World::new(Options::default());
    let a = Agent::open(world.socket("a"));
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let look = move |acts: &[Act]| {
        // The third that is mapped comes after the control pages.
        if acts.iter().filter(|act| matches!(act, Act::Map { .. })).count() == 3
            && matches!(acts.last(), Some(Act::Map { .. }))
        {
            wait.lock().unwrap().recv_timeout(Duration::from_secs(30)).unwrap();
        }
    };
    let inner = Arc::new(world.socket("b"));
    let mut b = Agent::open(Watched::new(&inner, &[], look));
    assert!(matches!(b.next(), Event::Link));
    b.bridge.link_answered();
    let job = b.bridge.attach(FREE, memory(4096, 1).as_fd(), 4096, Permission::Read).unwrap();
    // The function is driven all the while.
    b.bridge.words().store(PIECE, 5).unwrap();
    assert_eq!((b.bridge.words().load(PIECE).unwrap(), word(&a.theirs, 0)), (5, 5));
    b.bridge.ring(Vector::Spare).unwrap();
    assert!(b.bridge.take().is_none());
    go.send(()).unwrap();
    b.end(job).unwrap();
    assert_eq!(a.bridge.words().load(FREE).unwrap(), 1);
}
