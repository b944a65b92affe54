//! What comes before what.

mod common;

use common::{NEVER, Pair, until};
use rsm_ntb_emu::{Options, map};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

fn late() -> Options {
    Options { delay: NEVER, ..Options::default() }
}

#[test]
fn a_load_pushes_the_stores_of_its_direction() {
    let mut pair = Pair::new(late());
    for word in 1..=3 {
        pair.a.store(8 * word, word);
    }
    assert_eq!(pair.b.load(0), 0, "a load the other way");
    assert_eq!(pair.b.word(8), 0, "on its way still");
    pair.a.load(512);
    assert_eq!([8, 16, 24].map(|at| pair.b.word(at)), [1, 2, 3]);
    // The last store to a word is what is there.
    pair.a.store(8, 10);
    pair.a.store(8, 11);
    assert_eq!(pair.a.load(8), 11);
}

#[test]
fn a_doorbell_pushes_unless_it_overtakes() {
    for overtake in [false, true] {
        let mut pair = Pair::new(Options { doorbells_overtake: overtake, ..late() });
        pair.a.store(0, 5);
        pair.a.ring(2);
        assert_eq!(pair.b.interrupts(2), 1);
        assert_eq!(pair.b.word(0), if overtake { 0 } else { 5 });
        pair.a.load(0);
        assert_eq!(pair.b.word(0), 5);
    }
}

#[test]
fn registers_overtake_the_window() {
    let mut pair = Pair::new(late());
    pair.a.store(0, 5);
    pair.a.set_register(map::PEER_SCRATCHPADS, 1);
    assert_eq!((pair.b.register(map::OWN_SCRATCHPADS), pair.b.word(0)), (1, 0));
}

#[test]
fn stores_arrive_by_themselves_in_order() {
    let delay = Duration::from_millis(5);
    let mut pair = Pair::new(Options { delay, ..Options::default() });
    let began = Instant::now();
    for word in 1..=100 {
        pair.a.store(8 * word, word);
    }
    until("the last store arrives", || pair.b.word(800) == 100);
    assert!(began.elapsed() >= delay);
    assert!((1..100).all(|word| pair.b.word(8 * word) == word), "the others came before");
    // And again, from rest.
    pair.a.store(0, 1);
    until("a later store arrives", || pair.b.word(0) == 1);
}

#[test]
fn a_bridge_holds_only_so_much() {
    let mut pair = Pair::new(late());
    let mib = vec![7; 1 << 20];
    pair.a.client.region_write(map::WINDOW, 0, &mib).unwrap();
    for _ in 1..16 {
        assert_eq!(pair.b.word(0), 0);
        pair.a.client.region_write(map::WINDOW, 0, &mib).unwrap();
    }
    assert_eq!(pair.b.word(0), 0);
    pair.a.store(8, 1);
    assert_eq!(pair.b.word(0), 0x0707_0707_0707_0707, "the oldest was pushed");
    assert_eq!(pair.a.load(8), 1, "and the youngest is the last");
}

#[test]
fn what_is_on_its_way_when_the_link_goes_down_is_lost() {
    let mut pair = Pair::new(late());
    pair.a.store(0, 5);
    pair.emulator.set_cable(false);
    pair.emulator.set_cable(true);
    assert_eq!(pair.a.load(0), 0);
    assert_eq!(pair.emulator.stats().sides[0].lost_stores, 1);
    pair.check();
}

#[test]
fn the_seed_says_which_stores_are_dropped() {
    let arrived = |seed| {
        let mut pair = Pair::new(Options { drop: NonZeroU32::new(3), seed, ..Options::default() });
        let words = 300;
        for word in 0..words {
            pair.a.store(8 * word, 1);
        }
        let arrived: Vec<bool> = (0..words).map(|word| pair.b.word(8 * word) == 1).collect();
        let lost = arrived.iter().filter(|arrived| !**arrived).count() as u64;
        assert_eq!(pair.emulator.stats().sides[0].lost_stores, lost);
        assert!((50..150).contains(&lost), "{lost} of 300");
        arrived
    };
    assert_eq!(arrived(1), arrived(1));
    assert_ne!(arrived(1), arrived(2));
}

#[test]
fn a_load_takes_its_time() {
    let latency_read = Duration::from_millis(20);
    let mut pair = Pair::new(Options { latency_read, ..Options::default() });
    let began = Instant::now();
    pair.a.load(0);
    assert!(began.elapsed() >= latency_read);
}
