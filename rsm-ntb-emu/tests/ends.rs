//! What is left when something ends: a client, a reset, the bridge.

mod common;

use common::{ADDRESS, BYTES, Folder, Host, Pair, start, taken, until};
use rsm_ntb_emu::{Client, Emulator, Options, map};
use std::os::unix::net::UnixStream;
use std::time::Duration;

const ALL_ONES: u64 = u64::MAX;

#[test]
fn the_end_of_a_client_takes_the_link_down_and_is_told() {
    let Pair { mut a, b, emulator, paths, folder } = Pair::new(Options::default());
    drop(b);
    assert_eq!(taken(&a.events[0], true), 1, "vector 0");
    a.store(0, 5);
    a.ring(1);
    assert_eq!((a.link(), a.load(0)), (false, ALL_ONES));
    // Whoever comes next begins anew, and both go on.
    let b = Host::up(&paths[1]);
    assert_eq!((taken(&a.events[0], true), taken(&b.events[0], true)), (1, 1));
    let mut pair = Pair { a, b, emulator, paths, folder };
    assert_eq!(pair.b.word(0), 0);
    pair.check();
}

#[test]
fn a_function_that_was_closed_leads_nowhere() {
    let Pair { mut a, b, emulator, paths, folder: _folder } = Pair::new(Options::default());
    a.set_register(map::PEER_SCRATCHPADS, 7);
    let Host { client, events: _events, memory } = b;
    drop(client);
    assert_eq!(taken(&a.events[0], true), 1);
    // The next client says no more than that it is ready.
    let mut b = Host::connect(&paths[1]);
    assert_eq!(b.register(map::OWN_SCRATCHPADS), 0);
    b.command(map::LINK_UP, 0);
    assert!(emulator.link_is_up());
    a.store(0, 5);
    assert_eq!((a.load(0), b.word(0), common::word_of(&memory, 0)), (ALL_ONES, 0, 0));
    b.translate(ADDRESS, BYTES);
    a.store(0, 6);
    assert_eq!((b.word(0), common::word_of(&memory, 0)), (6, 0));
}

#[test]
fn a_reset_takes_the_link_and_the_translation_and_is_told() {
    let mut pair = Pair::new(Options::default());
    pair.b.client.reset().unwrap();
    assert_eq!((pair.a.interrupts(0), pair.b.interrupts(0)), (1, 1));
    assert!(!pair.a.link());
    let mut command = [0; 2];
    pair.b.client.region_read(map::CONFIG, 4, &mut command).unwrap();
    assert_eq!(command, [0, 0]);
    pair.b.client.region_write(map::CONFIG, 4, &6u16.to_le_bytes()).unwrap();
    pair.b.command(map::LINK_UP, 0);
    assert_eq!(pair.a.interrupts(0), 1);
    pair.a.store(0, 5);
    assert_eq!((pair.a.load(0), pair.b.word(0)), (ALL_ONES, 0));
    pair.b.translate(ADDRESS, BYTES);
    pair.check();
    // Of a function that was not up it is not worth telling.
    pair.b.command(map::LINK_DOWN, 0);
    assert_eq!(pair.a.interrupts(0), 1);
    pair.b.client.reset().unwrap();
    assert_eq!(pair.a.interrupts(0), 0);
}

#[test]
fn a_flap_is_told_twice() {
    let mut pair = Pair::new(Options::default());
    pair.emulator.flap(Duration::from_millis(1));
    assert_eq!((pair.a.interrupts(0), pair.b.interrupts(0)), (2, 2));
    pair.check();
    assert_eq!(pair.emulator.stats().link_changes, 3);
}

#[test]
fn a_function_has_one_client_at_a_time() {
    let Pair { a, mut b, emulator, paths, folder: _folder } = Pair::new(Options::default());
    let path = paths[0].clone();
    let next = std::thread::spawn(move || Client::connect(&path).map(drop));
    // Served or not, nobody else's function is disturbed.
    b.store(0, 5);
    assert_eq!(a.word(0), 5);
    assert!(!next.is_finished(), "it waits for its turn");
    drop(a);
    next.join().unwrap().unwrap();
    until("the link is down", || !emulator.link_is_up());
}

#[test]
fn the_end_of_the_bridge_cuts_its_clients_off() {
    let Pair { mut a, b: _b, emulator, paths, folder } =
        Pair::new(Options { delay: common::NEVER, ..Options::default() });
    a.store(0, 5);
    let idle = UnixStream::connect(&paths[1]).unwrap();
    drop(emulator);
    assert!(a.client.region_write(map::WINDOW, 0, &[0; 8]).is_err());
    assert!(paths.iter().all(|path| !path.exists()));
    drop(idle);
    // And there can be another at the same place.
    let (emulator, paths) = start(&folder, Options::default());
    let (a, b) = (Host::up(&paths[0]), Host::up(&paths[1]));
    assert_eq!((taken(&a.events[0], true), taken(&b.events[0], true)), (1, 1));
    drop(emulator);
}

#[test]
fn a_place_that_cannot_be_listened_at_is_named() {
    let folder = Folder::new();
    let (emulator, [a, b]) = start(&folder, Options::default());
    let (file, left_over) = (folder.join("file"), folder.join("left-over"));
    std::fs::write(&file, "kept").unwrap();
    drop(std::os::unix::net::UnixListener::bind(&left_over).unwrap());
    let refused =
        |paths: [&std::path::Path; 2], options: Options| Emulator::start(paths, options).unwrap_err().to_string();
    assert!(refused([&a, &b], Options::default()).contains("another process does"));
    assert!(refused([&left_over, &file], Options::default()).contains(file.to_str().unwrap()));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert!(!left_over.exists(), "nobody listened there");
    for window in [0, 5 << 20, 4096, 1 << 40] {
        let refused = refused([&left_over, &file], Options { window, ..Options::default() });
        assert!(refused.contains("a power of two from 64K to 64G"), "{refused}");
    }
    let options = Options { trace: Some(folder.join("no/trace")), ..Options::default() };
    assert!(refused([&left_over, &file], options).contains("no/trace"));
    assert!(a.exists() && b.exists(), "the first bridge goes on");
    drop(emulator);
}

#[test]
fn the_end_of_a_bridge_waits_for_no_load() {
    let folder = Folder::new();
    let (emulator, paths) = start(&folder, Options { latency_read: common::NEVER, ..Options::default() });
    let loading = std::thread::spawn(move || {
        let mut client = Client::connect(&paths[0]).unwrap();
        client.write(map::CONFIG, 4, &[6, 0]).unwrap();
        client.read(map::WINDOW, 0, &mut [0; 8])
    });
    until("the load is on its way", || emulator.stats().sides[0].loads == 1);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        drop(emulator);
        tell.send(()).unwrap();
    });
    told.recv_timeout(common::PATIENCE).expect("the bridge ends");
    let _ = loading.join().unwrap();
}
