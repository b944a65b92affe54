//! What passes over a bridge that is a good one.

mod common;

use common::{ADDRESS, Pair, taken};
use rsm_ntb_emu::{Options, map};
use std::os::unix::fs::FileExt;

#[test]
fn stores_and_loads_reach_the_other_hosts_memory() {
    let mut pair = Pair::new(Options::default());
    pair.a.store(4096, 77);
    assert_eq!(pair.b.word(4096), 77);
    pair.b.memory.write_all_at(&78u64.to_le_bytes(), 4096).unwrap();
    assert_eq!(pair.a.load(4096), 78);
    pair.check();
    let stats = pair.emulator.stats();
    assert_eq!((stats.sides[0].stores, stats.sides[0].store_bytes, stats.sides[0].lost_stores), (2, 16, 0));
    assert_eq!((stats.sides[0].loads, stats.sides[0].failed_loads, stats.sides[0].dma_maps), (3, 0, 1));
    assert!(stats.link && stats.link_changes == 1);
}

#[test]
fn accesses_of_any_length_and_place_arrive_whole() {
    let mut pair = Pair::new(Options::default());
    let bytes: Vec<u8> = (0..=255).cycle().take(70_001).collect();
    for (at, length) in [(0, 1), (3, 2), (5, 7), (4093, 9), (8191, 70_001)] {
        pair.a.client.region_write(map::WINDOW, at, &bytes[..length]).unwrap();
        let mut there = vec![0; length];
        pair.b.memory.read_exact_at(&mut there, at).unwrap();
        assert_eq!(there, bytes[..length]);
        there.fill(0);
        pair.a.client.region_read(map::WINDOW, at, &mut there).unwrap();
        assert_eq!(there, bytes[..length]);
    }
}

#[test]
fn doorbells_raise_their_vector_and_no_other() {
    let mut pair = Pair::new(Options::default());
    for vector in 1..map::VECTORS {
        pair.a.ring(vector);
        let raised: Vec<u64> = pair.b.events.iter().map(|event| taken(event, false)).collect();
        let expected: Vec<u64> = (0..map::VECTORS).map(|other| u64::from(other == vector)).collect();
        assert_eq!(raised, expected);
    }
    // The registers say where and what; anything else rings nothing.
    let (stride, offset) = (pair.a.register(map::DOORBELL_STRIDE), pair.a.register(map::DOORBELL_OFFSET + 12));
    assert_eq!(u64::from(3 * stride + offset), map::doorbell(3).0);
    assert_eq!(pair.a.register(map::DOORBELL_DATA + 12), map::doorbell(3).1);
    for (at, bytes) in [(12, &[9, 0, 0, 0][..]), (12, &[3, 0]), (13, &[3, 0, 0, 0]), (400, &[100, 0, 0, 0])] {
        pair.a.client.region_write(map::DOORBELLS, at, bytes).unwrap();
    }
    assert!(pair.b.events.iter().all(|event| taken(event, false) == 0));
    assert!(pair.a.events.iter().all(|event| taken(event, false) == 0), "nothing comes back");
    let counts = pair.emulator.stats().sides[0];
    assert_eq!((counts.doorbells, counts.lost_doorbells), (11, 4));
}

#[test]
fn scratchpads_are_shared_by_both_sides() {
    let mut pair = Pair::new(Options::default());
    let (own, count) = (pair.a.register(map::SCRATCHPAD_OFFSET), pair.a.register(map::SCRATCHPAD_COUNT));
    assert_eq!((u64::from(own), count), (map::OWN_SCRATCHPADS, map::SCRATCHPADS));
    for pad in 0..u64::from(count) {
        pair.a.set_register(map::PEER_SCRATCHPADS + 4 * pad, 100 + pad as u32);
        pair.a.set_register(map::OWN_SCRATCHPADS + 4 * pad, 200 + pad as u32);
    }
    for pad in 0..u64::from(count) {
        assert_eq!(u64::from(pair.b.register(map::OWN_SCRATCHPADS + 4 * pad)), 100 + pad);
        assert_eq!(u64::from(pair.b.register(map::PEER_SCRATCHPADS + 4 * pad)), 200 + pad);
    }
}

#[test]
fn a_driver_finds_what_the_map_says() {
    let mut pair = Pair::new(Options { window: 1 << 22, ..Options::default() });
    let sizes: Vec<u64> = (0..9).map(|region| pair.a.client.region(region).unwrap().size).collect();
    assert_eq!(sizes, [map::REGISTERS_BYTES, 0, map::DOORBELLS_BYTES, 0, 1 << 22, 0, 0, map::CONFIG_BYTES, 0]);
    let vectors: Vec<u32> = (0..5).map(|index| pair.a.client.get_irq_info(index).unwrap().count).collect();
    assert_eq!(vectors, [0, 0, map::VECTORS, 1, 0]);
    assert_eq!((pair.a.register(map::WINDOW_COUNT), pair.a.register(map::WINDOW_OFFSET)), (1, 0));
    let mut config = [0; 0x40];
    pair.a.client.region_read(map::CONFIG, 0, &mut config).unwrap();
    assert_eq!(config[..4], [0x57, 0x19, 0x09, 0x08]);
    assert_eq!(config[4..6], [6, 0], "as the host set it");
    assert_eq!(config[9..12], [0, 0, 5], "the class that Linux looks for");
    // Registers as Linux reads them: 16 bits at 8 and 10, and any other way.
    let mut bytes = [0; 6];
    pair.a.client.region_read(map::REGISTERS, 7, &mut bytes).unwrap();
    assert_eq!(bytes, [0, 0, 0, 1, 0, 0]);
    pair.a.client.region_write(map::REGISTERS, map::LOWER_ADDRESS + 1, &[0xab]).unwrap();
    assert_eq!(pair.a.register(map::LOWER_ADDRESS), ADDRESS as u32 | 0xab00);
}

#[test]
fn commands_that_cannot_be_are_refused() {
    let mut pair = Pair::new(Options::default());
    assert_eq!(pair.a.status(map::CONFIGURE_DOORBELLS, 1 << 16 | map::VECTORS), map::STATUS_OK);
    for (command, argument) in
        [(map::CONFIGURE_DOORBELLS, map::VECTORS + 1), (map::CONFIGURE_WINDOW, 1), (map::TEARDOWN_WINDOW, 1), (99, 0)]
    {
        assert_eq!(pair.a.status(command, argument), map::STATUS_ERROR, "{command} {argument}");
    }
    pair.a.set_register(map::UPPER_SIZE, 1);
    assert_eq!(pair.a.status(map::CONFIGURE_WINDOW, 0), map::STATUS_ERROR, "larger than the window");
    pair.check();
}
