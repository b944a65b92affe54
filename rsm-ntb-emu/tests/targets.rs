//! What stores and loads lead to, and what becomes of those that lead nowhere.

mod common;

use common::{ADDRESS, BYTES, Host, Pair, event, memory, start, taken, word_of};
use rsm_ntb_emu::{Client, DmaAccess, Options, map, wire};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

/// What a load yields that fails.
const ALL_ONES: u64 = u64::MAX;

#[test]
fn only_mapped_memory_is_reached() {
    let mut pair = Pair::new(Options::default());
    pair.b.translate(ADDRESS, 2 * BYTES);
    pair.a.store(BYTES, 5);
    assert_eq!(pair.a.load(BYTES), ALL_ONES);
    assert_eq!(pair.emulator.stats().sides[0].lost_stores, 1);
    let more = memory(BYTES);
    pair.b.client.dma_map(0, ADDRESS + BYTES, BYTES, more.as_raw_fd()).unwrap();
    assert_eq!(pair.a.load(BYTES), 0, "what was lost does not come later");
    pair.a.store(BYTES, 6);
    assert_eq!(word_of(&more, 0), 6);
    pair.b.client.dma_unmap(ADDRESS + BYTES, BYTES).unwrap();
    pair.a.store(BYTES, 7);
    assert_eq!((pair.a.load(BYTES), word_of(&more, 0)), (ALL_ONES, 6));
    pair.check();
}

#[test]
fn an_access_over_the_edge_reaches_what_is_mapped() {
    let mut pair = Pair::new(Options::default());
    pair.b.translate(ADDRESS, 2 * BYTES);
    pair.a.store(BYTES - 4, 0x2222_2222_1111_1111);
    assert_eq!(pair.b.word(BYTES - 8) >> 32, 0x1111_1111);
    assert_eq!(pair.a.load(BYTES - 4), 0xffff_ffff_1111_1111);
    let counts = pair.emulator.stats().sides[0];
    assert_eq!((counts.lost_stores, counts.failed_loads), (1, 1));
}

#[test]
fn a_translation_bounds_what_is_reached() {
    let mut pair = Pair::new(Options::default());
    pair.b.translate(ADDRESS + 4096, 8192);
    pair.a.store(8184, 1);
    assert_eq!(pair.b.word(4096 + 8184), 1);
    for at in [8185, 8192, 1 << 19] {
        pair.a.store(at, 2);
        assert_eq!(pair.a.load(at), ALL_ONES, "{at}");
    }
    assert_eq!(pair.b.word(4096 + 8192), 0);
    pair.b.command(map::TEARDOWN_WINDOW, 0);
    pair.a.store(0, 3);
    assert_eq!((pair.a.load(0), pair.b.word(4096)), (ALL_ONES, 0));
    assert!(pair.a.link(), "a window without a translation is no broken link");
}

#[test]
fn memory_mapped_for_reading_is_not_stored_to() {
    let folder = common::Folder::new();
    let (emulator, paths) = start(&folder, Options::default());
    let mut a = Host::up(&paths[0]);
    let shown = memory(BYTES);
    let mut b = Client::connect(&paths[1]).unwrap();
    b.write(map::CONFIG, 4, &6u16.to_le_bytes()).unwrap();
    b.map_dma(ADDRESS, &shown, 0, BYTES, DmaAccess::Read).unwrap();
    // A page of the same object that may be stored to, beside it.
    b.map_dma(ADDRESS + BYTES, &shown, 0, 4096, DmaAccess::ReadWrite).unwrap();
    for (at, value) in [
        (map::LOWER_ADDRESS, ADDRESS as u32),
        (map::UPPER_ADDRESS, (ADDRESS >> 32) as u32),
        (map::LOWER_SIZE, 2 * BYTES as u32),
        (map::COMMAND, map::CONFIGURE_WINDOW),
        (map::COMMAND, map::LINK_UP),
    ] {
        b.write(map::REGISTERS, at, &value.to_le_bytes()).unwrap();
    }
    for word in 0..1000 {
        a.store(word * 8, 5);
    }
    assert_eq!((a.load(0), word_of(&shown, 0)), (0, 0));
    assert_eq!(emulator.stats().sides[0].lost_stores, 1000);
    a.store(BYTES, 6);
    assert_eq!(a.load(0), 6);
}

#[test]
fn a_link_that_is_down_carries_nothing() {
    let mut pair = Pair::new(Options::default());
    pair.emulator.set_cable(false);
    assert_eq!((pair.a.interrupts(0), pair.b.interrupts(0)), (1, 1));
    assert!(!pair.a.link() && !pair.b.link());
    pair.a.store(0, 5);
    pair.a.ring(3);
    assert_eq!((pair.a.load(0), pair.b.word(0), pair.b.interrupts(3)), (ALL_ONES, 0, 0));
    pair.emulator.set_cable(false);
    assert_eq!(pair.a.interrupts(0), 0, "nothing changed");
    pair.emulator.set_cable(true);
    assert_eq!((pair.a.interrupts(0), pair.b.interrupts(0)), (1, 1));
    pair.check();
    pair.b.command(map::LINK_DOWN, 0);
    assert_eq!((pair.a.interrupts(0), pair.b.interrupts(0)), (1, 1));
    assert_eq!(pair.a.load(0), ALL_ONES);
}

#[test]
fn a_function_that_is_not_enabled_neither_answers_nor_reaches_its_host() {
    let mut pair = Pair::new(Options::default());
    // Memory without bus master.
    pair.b.client.region_write(map::CONFIG, 4, &2u16.to_le_bytes()).unwrap();
    pair.a.store(0, 5);
    pair.a.ring(3);
    assert_eq!((pair.a.load(0), pair.b.word(0), pair.b.interrupts(3)), (ALL_ONES, 0, 0));
    assert_eq!(pair.b.load(0), 0, "its own accesses are answered");
    // Bus master without memory.
    pair.b.client.region_write(map::CONFIG, 4, &4u16.to_le_bytes()).unwrap();
    pair.b.store(0, 5);
    assert_eq!((pair.b.load(0), pair.b.register(map::WINDOW_COUNT)), (ALL_ONES, u32::MAX));
    pair.b.client.region_write(map::CONFIG, 4, &6u16.to_le_bytes()).unwrap();
    assert_eq!(pair.a.word(0), 0);
    pair.check();
}

#[test]
fn memory_that_its_owner_shortens_is_not_reached_any_more() {
    let mut pair = Pair::new(Options::default());
    let file = File::from(rustix::fs::memfd_create("short", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(2 * 4096).unwrap();
    pair.b.client.dma_map(0, ADDRESS + BYTES, 2 * 4096, file.as_raw_fd()).unwrap();
    pair.b.translate(ADDRESS + BYTES, 2 * 4096);
    pair.a.store(4096, 5);
    assert_eq!(word_of(&file, 4096), 5);
    file.set_len(4096).unwrap();
    pair.a.store(4096, 6);
    assert_eq!(pair.a.load(4096), ALL_ONES);
    pair.a.store(0, 7);
    assert_eq!((pair.a.load(0), file.metadata().unwrap().len()), (7, 4096));
}

#[test]
fn memory_may_be_mapped_page_by_page() {
    let mut pair = Pair::new(Options::default());
    let pages = 3000;
    let big = memory(pages * 4096);
    // As behind an IOMMU: the pages lie anyhow.
    for page in 0..pages {
        let place = ADDRESS + BYTES + (pages - 1 - page) * 4096;
        pair.b.client.dma_map(page * 4096, place, 4096, big.as_raw_fd()).unwrap();
    }
    pair.b.translate(ADDRESS + BYTES, pages * 4096);
    let bytes: Vec<u8> = (0..=250).cycle().take(40_000).collect();
    pair.a.client.region_write(map::WINDOW, 100, &bytes).unwrap();
    let mut back = vec![0; bytes.len()];
    pair.a.client.region_read(map::WINDOW, 100, &mut back).unwrap();
    assert_eq!(back, bytes);
    assert_eq!(word_of(&big, (pages - 1) * 4096 + 100), u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7]));
    pair.b.client.dma_unmap(ADDRESS + BYTES, pages * 4096).unwrap();
    assert_eq!(pair.a.load(0), ALL_ONES);
    assert_eq!(pair.emulator.stats().sides[1].dma_maps, pages + 1);
}

#[test]
fn an_error_is_told_to_who_has_an_interrupt_for_it() {
    let folder = common::Folder::new();
    let (emulator, paths) = start(&folder, Options::default());
    let mut b = Client::connect(&paths[1]).unwrap();
    assert_eq!(emulator.raise_error(), 0);
    let told = event();
    b.set_interrupts(wire::ERROR, &[told.as_fd()]).unwrap();
    assert_eq!((emulator.raise_error(), taken(&told, false)), (1, 1));
    b.set_interrupts(wire::ERROR, &[]).unwrap();
    assert_eq!((emulator.raise_error(), taken(&told, false)), (0, 0));
}
