//! A registry that holds anything: it is refused, or everything that reads it comes to an end.

use crate::script::Script;
use rsm::observe::Observer;
use rsm_core::message::{Answer, Reply, Request, decode, encode};
use rsm_core::registry::{Found, Geometry, LAYOUT_VERSION, Layout, Registry, walk_connections};
use rsm_shm::address::Address;
use rsm_shm::memory::memfd::{self, Sealing};
use rsm_shm::memory::tables::RegistryMap;
use rsm_shm::socket::{packet_pair, packet_socket, receive, send};
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, SocketFlags};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const GEOMETRY: Geometry = Geometry { nodes: 4, controllers: 2, segments: 8, connections: 8, buckets: 4, bells: 16 };

/// Lays out a registry, changes it as the input says, and reads it.
pub fn run(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(image) = image(&mut script) else { return };
    let object = object(&image, script.below(16) != 15);
    if let Ok(map) = RegistryMap::open(&object) {
        read(&map.registry());
    }
    // Now and then the long way: an agent hands it out.
    if script.below(4) == 0 {
        observe(object);
    }
}

fn image(script: &mut Script<'_>) -> Option<Vec<u8>> {
    let layout = Layout::of(GEOMETRY);
    let mut image = vec![0; layout.bytes];
    let header = [
        LAYOUT_VERSION,
        GEOMETRY.nodes,
        GEOMETRY.controllers,
        GEOMETRY.segments,
        GEOMETRY.connections,
        GEOMETRY.buckets,
    ];
    image[..8].copy_from_slice(b"rsm\0regy");
    for (at, number) in header.into_iter().chain([GEOMETRY.bells, 3, 1, 0]).enumerate() {
        image[8 + at * 4..][..4].copy_from_slice(&number.to_le_bytes());
    }
    // Rows in use as far as the tables go, so that everything is looked at.
    for high in [72, 76] {
        image[high..high + 4].copy_from_slice(&8u32.to_le_bytes());
    }
    let tables = [layout.nodes, layout.controllers, layout.links, layout.buckets, layout.segments, layout.connections];
    for _ in 0..128 {
        if script.is_over() {
            break;
        }
        // A place is a table, a row and a word of it; or any.
        let place = match script.below(8) {
            7 => script.word() as usize,
            6 => script.below(24) * 8,
            table => tables[table] + usize::from(script.byte()) * 4,
        };
        let value = script.among(&[0, 1, 2, 3, 8, 9, 1 << 32, u64::MAX, 0x40_0000, 1 << 63, 0x8000_0000]);
        let width = [4, 8, 1][script.below(3)];
        let place = place % (image.len() - 8);
        image[place..place + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }
    let length = match script.below(16) {
        14 => script.word() as usize % (2 * image.len()),
        15 => 0,
        _ => image.len(),
    };
    image.resize(length, 0);
    Some(image)
}

fn object(image: &[u8], sealed: bool) -> OwnedFd {
    let object = memfd::create("rsm-fuzz", image.len() as u64).expect("a memory object");
    rustix::io::pwrite(&object, image, 0).expect("written");
    if sealed {
        memfd::seal(&object, Sealing::Size).expect("sealed");
    }
    object
}

/// Everything that the library reads from a registry.
fn read(registry: &Registry<'_>) {
    let header = registry.header;
    assert!(header.node_count() < 64, "checked when it was opened");
    let _ = (header.name(), header.state(), header.revision(), header.processes(), header.agent());
    for name in ["shm0", "loopback", "", "SHM7"] {
        let found = registry.controller(name);
        assert!(found.is_none_or(|at| (at as usize) < registry.controllers.len()));
    }
    for (node, id) in [(0, 0), (1, 0x40_0000), (2, 1), (3, u32::MAX), (u32::MAX, 8)] {
        if let Found::Segment(row, fields) = registry.find(node, id) {
            assert!((row as usize) < registry.segments.len() && fields.node == node && fields.id == id);
        }
    }
    for row in 0..=registry.segments.len() {
        let fields = registry.segments.get(row).and_then(|row| row.fields());
        let incarnation = fields.map_or(0, |f| f.incarnation);
        let (mut progress, mut last) = (u64::MAX, u64::MAX);
        walk_connections(registry, row as u32, incarnation, &mut progress, |connection| {
            assert!(connection.generation.serial() < last, "nobody is visited twice");
            last = connection.generation.serial();
        });
    }
    for row in registry.connections {
        let _ = row.fields();
    }
    for row in registry.nodes {
        let _ = (row.fields(), row.is_joined());
    }
    for at in [0, 1, 3, 4, u32::MAX] {
        let _ = registry.link(at, at, 1).map(|word| word.load(rsm_core::sync::Ordering::Relaxed));
    }
}

/// An agent that takes one observer in and shows it the registry.
fn observe(registry: OwnedFd) {
    static NAMES: AtomicU32 = AtomicU32::new(0);
    let name = format!("fuzz-{}-{}", std::process::id(), NAMES.fetch_add(1, Relaxed));
    let address = Address::new(&name, rsm_shm::address::current_uid()).expect("a name");
    let listener = packet_socket(SocketFlags::empty()).expect("a socket");
    let place = SocketAddrUnix::new_abstract_name(address.abstract_name().as_bytes()).expect("a name");
    rustix::net::bind(&listener, &place).expect("bound");
    rustix::net::listen(&listener, 1).expect("listening");
    let agent = std::thread::spawn(move || {
        let control = rustix::net::accept(&listener).expect("an observer");
        let packet = receive(&control, RecvFlags::empty()).expect("its join").expect("its join");
        let request: Request = decode(&packet.bytes).expect("a request");
        let (events, theirs) = packet_pair().expect("a pair");
        let outcome = Ok(Answer::Joined { membership: 1, token: [0; 16], ring: false });
        let reply = encode(&Reply { number: request.number, outcome }).expect("a reply");
        send(&control, &reply, &[registry.as_fd(), theirs.as_fd()], SendFlags::empty()).expect("sent");
        drop(theirs);
        // Until it leaves.
        while receive(&control, RecvFlags::empty()).is_ok_and(|packet| packet.is_some()) {}
        drop(events);
    });
    if let Ok(observer) = Observer::attach(Some(&address.to_string())) {
        let _ = (observer.cluster(), observer.nodes(), observer.segments(), observer.connections(), observer.links());
    }
    agent.join().expect("the agent does its part");
}
