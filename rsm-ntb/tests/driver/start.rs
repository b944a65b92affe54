//! The start, after whatever was there before.

use crate::world::{ALL_ONES, Act, Agent, FREE, PIECE, Watched, World, control, end, memory, open, word};
use rsm_core::Code;
use rsm_core::access::Permission;
use rsm_ntb::{Bar, Control, Epf, Event, PciFunction};
use rsm_ntb_emu::{Options, map};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;

const LINK_UP: u32 = map::LINK_UP;
const LINK_DOWN: u32 = map::LINK_DOWN;
const TEARDOWN: u32 = map::TEARDOWN_WINDOW;
const CONFIGURE: u32 = map::CONFIGURE_WINDOW;

#[test]
fn nothing_is_reachable_before_its_turn() {
    let world = World::new(Options::default());
    let function = Arc::new(Watched::new(&Arc::new(world.socket("b")), &[], |_| ()));
    let _b = Agent::open(Arc::clone(&function));
    let acts = function.acts.lock().unwrap().clone();
    let order: Vec<Option<u32>> = acts
        .iter()
        .map(|act| match act {
            Act::Command(command) => Some(*command),
            Act::Map { .. } => None,
        })
        .collect();
    let doorbells = Some(map::CONFIGURE_DOORBELLS);
    let (down, teardown) = (Some(LINK_DOWN), Some(TEARDOWN));
    let opened = [down, teardown, doorbells, down, teardown, None, None, Some(CONFIGURE), Some(LINK_UP)];
    assert_eq!(order, opened);
    let mut control = [0; 2];
    function.load(Bar::Config, 0x68, &mut control).unwrap();
    assert_eq!(u16::from_le_bytes(control) & 0x10, 0, "relaxed ordering");
    function.load(Bar::Config, 4, &mut control).unwrap();
    assert_eq!(u16::from_le_bytes(control) & 6, 6, "memory and bus master");
}

#[test]
fn agents_choose_other_addresses_than_those_before_them() {
    let world = World::new(Options::default());
    let inner = Arc::new(world.socket("b"));
    let bases: std::collections::BTreeSet<u64> = (0..8)
        .map(|_| {
            let function = Arc::new(Watched::new(&inner, &[], |_| ()));
            let agent = Agent::open(Arc::clone(&function));
            let acts = function.acts.lock().unwrap().clone();
            drop(agent);
            let maps = acts.iter().filter_map(|act| match act {
                Act::Map { address, length } => Some((*address, *length)),
                Act::Command(_) => None,
            });
            let maps: Vec<(u64, u64)> = maps.collect();
            for (address, length) in &maps {
                inner.unmap_dma(*address, *length).unwrap();
            }
            assert_eq!(maps, [(maps[0].0, PIECE), (maps[0].0 + PIECE, PIECE)]);
            assert_eq!(maps[0].0 % crate::world::WINDOW, 0);
            maps[0].0
        })
        .collect();
    assert_eq!(bases.len(), 8);
}

/// An agent dies, and another takes its function over, while the other host stores all the time to where the control pages are.
/// As long as the successor is not `until` done, nothing of that arrives in its pages.
fn successor(deaf: &'static [u32], until: u32) {
    const HELLO: u64 = 7;
    const BAD: u64 = 0xbad;
    let world = World::new(Options::default());
    let a = Arc::new(Agent::open(world.socket("a")));
    let inner = Arc::new(world.socket("b"));
    let first = Arc::new(Watched::new(&inner, &[], |_| ()));
    let dead = Agent::open(Arc::clone(&first));
    a.bridge.words().store(PIECE, 5).unwrap();
    assert_eq!((a.bridge.words().load(PIECE).unwrap(), word(&dead.theirs, 0)), (5, 5));
    // As SIGKILL leaves it: what was mapped is unmapped by the kernel, and nobody tells the function.
    std::mem::forget(dead.bridge);
    for act in first.acts.lock().unwrap().iter() {
        if let Act::Map { address, length } = act {
            inner.unmap_dma(*address, *length).unwrap();
        }
    }
    assert_eq!((world.emulator().link_is_up(), a.bridge.words().load(PIECE).unwrap()), (true, ALL_ONES));

    let (ours, theirs) = (memory(PIECE, HELLO), memory(PIECE, HELLO));
    let seen = theirs.try_clone().unwrap();
    let peer = Arc::clone(&a);
    let look = move |acts: &[Act]| {
        for at in [0, 8, PIECE, PIECE + 8] {
            peer.bridge.words().store(at, BAD).unwrap();
        }
        peer.bridge.words().load(0).unwrap();
        if !acts.contains(&Act::Command(until)) {
            assert_eq!(word(&seen, 0), HELLO, "{acts:x?}");
        }
    };
    let second = Watched::new(&inner, deaf, look);
    let (b, _) = open(second, &control(&ours, &theirs)).unwrap();
    a.bridge.words().store(PIECE, 6).unwrap();
    assert_eq!(
        (a.bridge.words().load(PIECE).unwrap(), word(&theirs, 0), word(&ours, 0)),
        (6, 6, HELLO),
        "then it does arrive"
    );
    drop(b);
}

#[test]
fn a_dead_agents_successor_is_not_reached_before_its_hello() {
    successor(&[], LINK_UP);
}

#[test]
fn a_function_that_keeps_link_and_translation_does_not_lead_to_the_successor() {
    // What is left then is that nobody knows where its memory is.
    successor(&[LINK_DOWN, TEARDOWN], CONFIGURE);
}

#[test]
fn control_pages_that_cannot_be_are_refused_and_the_function_is_left_closed() {
    let world = World::new(Options::default());
    let a = Agent::open(world.socket("a"));
    let inner = Arc::new(world.socket("b"));
    let page = memory(PIECE, 1);
    let piece = |at, length| Control { at, memory: page.as_fd(), length, permission: Permission::Read };
    for (pieces, code) in [
        (&[piece(0, 100)][..], Code::BadLength),
        (&[piece(0, PIECE), piece(4096, PIECE)], Code::InsufficientResources),
        (&[piece(1 << 26, 4096)], Code::BadLength),
        // Longer than the memory.
        (&[piece(0, 2 * PIECE)], Code::BadAddr),
    ] {
        assert_eq!(open(Arc::clone(&inner), pieces).unwrap_err().code(), code);
        assert!(!world.emulator().link_is_up());
    }
    drop(inner);
    let _b = Agent::open(world.socket("b"));
    assert_eq!(a.bridge.words().load(0).unwrap(), 7);
}

#[test]
fn a_bridge_begins_anew_with_pages_that_are_not_reached_before_they_are_offered() {
    let world = World::new(Options::default());
    let (mut a, mut b) = world.pair();
    let kept = memory(4096, 1);
    b.attach(FREE, &kept, Permission::ReadWrite);
    let (ours, theirs) = (memory(PIECE, 8), memory(PIECE, 8));
    let error = b.bridge.renew(&control(&ours, &theirs)).unwrap_err();
    assert_eq!(error.code(), Code::InsufficientResources);
    assert!(error.detail().starts_with("1 pieces"), "{error}");
    b.close();
    assert!(matches!(a.next(), Event::Link), "it is told");
    a.bridge.link_answered();
    assert_eq!(a.bridge.words().load(FREE).unwrap(), ALL_ONES);
    assert_eq!(b.bridge.offer().unwrap_err().code(), Code::BadConf, "with the pages that were");
    assert!(matches!(b.next(), Event::Link));
    b.bridge.link_answered();
    let job = b.bridge.detach(FREE).unwrap();
    b.end(job).unwrap();
    b.renew(&ours, &theirs);
    // The other host says that it is ready as often as it likes, and stores.
    a.offer();
    a.bridge.words().store(PIECE, 0xbad).unwrap();
    assert_eq!((a.bridge.words().load(0).unwrap(), word(&theirs, 0), word(&b.theirs, 0)), (ALL_ONES, 8, 0));
    b.offer();
    assert!(matches!(b.next(), Event::Link));
    a.bridge.words().store(PIECE, 5).unwrap();
    assert_eq!((a.bridge.words().load(0).unwrap(), word(&theirs, 0), word(&b.theirs, 0)), (8, 5, 0));
    b.attach(FREE, &kept, Permission::ReadWrite);
    assert_eq!(a.bridge.words().load(FREE).unwrap(), 1);
}

#[test]
fn nothing_is_offered_or_attached_before_there_are_control_pages() {
    let world = World::new(Options::default());
    let mut bridge = Epf::take_over(world.socket("a")).unwrap();
    let page = memory(4096, 1);
    assert_eq!(bridge.offer().unwrap_err().code(), Code::BadConf);
    assert_eq!(bridge.attach(FREE, page.as_fd(), 4096, Permission::Read).unwrap_err().code(), Code::BadConf);
    assert_eq!(bridge.detach(FREE).unwrap_err().code(), Code::BadAddr);
    // Nor after some that could not be.
    let short = Control { at: 0, memory: page.as_fd(), length: 8192, permission: Permission::Read };
    let whole = Control { at: 8192, length: 4096, ..short };
    let mut early = VecDeque::new();
    let job = bridge.renew(&[whole, short]).unwrap();
    assert_eq!(bridge.offer().unwrap_err().code(), Code::BadConf, "nor before they are there");
    assert_eq!(end(&mut bridge, &mut early, job).unwrap_err().code(), Code::BadAddr);
    assert_eq!(bridge.offer().unwrap_err().code(), Code::BadConf);
    let job = bridge.renew(&[whole]).unwrap();
    end(&mut bridge, &mut early, job).unwrap();
    let job = bridge.offer().unwrap();
    end(&mut bridge, &mut early, job).unwrap();
    assert!(early.is_empty(), "{early:?}");
}

#[test]
fn what_was_asked_for_does_not_open_a_bridge_after_its_end() {
    let world = World::new(Options::default());
    let mut a = Agent::open(world.socket("a"));
    let inner = Arc::new(world.socket("b"));
    let page = memory(PIECE, 1);
    for _ in 0..20 {
        let mut bridge = Epf::take_over(Arc::clone(&inner)).unwrap();
        let piece = Control { at: 0, memory: page.as_fd(), length: PIECE, permission: Permission::Read };
        let job = bridge.renew(&[piece]).unwrap();
        end(&mut bridge, &mut VecDeque::new(), job).unwrap();
        bridge.offer().unwrap();
        drop(bridge);
        assert_eq!((world.emulator().link_is_up(), a.bridge.words().load(0).unwrap()), (false, ALL_ONES));
    }
    assert!(matches!(a.next(), Event::Link));
}
