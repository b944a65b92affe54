//! Watching a cluster: what changed is told, once, and nobody sleeps through a last state.

use rsm::lens::{Lens, Trace};
use rsm::observe::{Change, Observer, Snapshot};
use rsm::{AccessList, Cluster, Code, Permission, SegmentId};
use rsm_core::lens::event::{Event, Kind};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(60);

/// Looks until a change that `wanted` takes is there; everything on the way is in the answer.
fn until(observer: &Observer, seen: &mut Snapshot, wanted: impl Fn(&Change) -> bool) -> Vec<Change> {
    let start = Instant::now();
    let mut all = Vec::new();
    loop {
        let now = observer.snapshot();
        all.extend(now.changes_since(seen));
        *seen = now;
        if all.iter().any(&wanted) {
            return all;
        }
        let left = DEADLINE.checked_sub(start.elapsed()).unwrap_or_else(|| panic!("waited too long after {all:?}"));
        observer.wait(seen, Some(left)).unwrap();
    }
}

fn names(changes: &[Change]) -> Vec<String> {
    let name = |change| serde_json::to_value(change).unwrap()["event"].as_str().unwrap().to_owned();
    changes.iter().map(name).filter(|name| name != "link_state").collect()
}

#[test]
fn the_life_of_a_segment() {
    let cluster = Cluster::new(2).unwrap();
    let observer = Observer::attach(Some(cluster.name())).unwrap();
    let mut seen = Snapshot::empty();
    until(&observer, &mut seen, |c| matches!(c, Change::LinkState { was: None, .. }));

    let exporter = cluster.node(1).unwrap().controller("shm0").unwrap();
    let importer = cluster.node(2).unwrap().controller("shm0").unwrap();
    let joined = until(&observer, &mut seen, |c| matches!(c, Change::NodeJoined(n) if n.node == 2));
    assert!(joined.iter().any(|c| matches!(c, Change::ProcessJoined(p) if p.pid == std::process::id())), "{joined:?}");
    let active = |c: &Change| match c {
        Change::LinkState { was: Some(was), link } => {
            (was.as_str(), link.state.as_str(), link.from, link.to) == ("up", "active", 1, 2)
        }
        _ => false,
    };
    assert!(joined.iter().any(active), "{joined:?}");

    let export = exporter.export(65536).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let import = importer.connect(1, id, Permission::Read).unwrap();
    let made = until(&observer, &mut seen, |c| matches!(c, Change::ConnectionMade(_)));
    assert_eq!(names(&made), ["segment_created", "segment_published", "connection_made"]);
    let Change::ConnectionMade(connection) = &made[2] else { unreachable!() };
    assert_eq!((connection.importer, connection.exporter, connection.segment), (2, 1, 0x40_0000));
    assert_eq!((&*connection.state, &*connection.permission), ("connected", "r"));

    export.unpublish().unwrap();
    let cut = until(&observer, &mut seen, |c| matches!(c, Change::SegmentWithdrawn(_)));
    assert_eq!(names(&cut), ["connection_cut", "segment_withdrawn"]);
    assert!(
        matches!(&cut[0], Change::ConnectionCut(c) if c.generation == connection.generation && c.segment == 0x40_0000)
    );
    assert!(matches!(&cut[1], Change::SegmentWithdrawn(s) if s.id == Some(0x40_0000) && !s.published));
    let held = observer.connections();
    assert_eq!((held.len(), &*held[0].state), (1, "cut"), "its importer holds it");

    drop(import);
    drop(export);
    let gone = until(&observer, &mut seen, |c| matches!(c, Change::SegmentDestroyed(_)));
    assert_eq!(names(&gone), ["connection_released", "segment_destroyed"]);
    assert!(matches!(&gone[0], Change::ConnectionReleased(c) if c.generation == connection.generation));
    assert_eq!(observer.connections(), []);
}

#[test]
fn the_end_of_a_cluster_wakes_who_watches() {
    let cluster = Cluster::new(1).unwrap();
    let observer = Observer::attach(Some(cluster.name())).unwrap();
    let watcher = std::thread::spawn(move || {
        loop {
            let seen = observer.snapshot();
            if let Err(error) = observer.wait(&seen, Some(DEADLINE)) {
                return (error.code(), observer.ended_in_order());
            }
        }
    });
    drop(cluster);
    assert_eq!(watcher.join().unwrap(), (Code::CtlrNotPresent, true));
}

#[test]
fn whoever_looks_does_not_wake_itself() {
    let cluster = Cluster::new(1).unwrap();
    cluster.node(1).unwrap();
    let observer = Observer::attach(Some(cluster.name())).unwrap();
    let end = std::time::Instant::now() + DEADLINE;
    // Who wakes itself does so each time; what else changes, and is noticed late on a busy machine, comes to an end.
    loop {
        let seen = observer.snapshot();
        assert_eq!(seen.processes.as_ref().map(Vec::len), Some(1));
        observer.processes().unwrap();
        match observer.wait(&seen, Some(Duration::from_millis(20))) {
            Err(error) => return assert_eq!(error.code(), Code::Timeout),
            Ok(()) => assert!(std::time::Instant::now() < end, "every look is followed by another"),
        }
    }
}

#[test]
fn no_last_state_is_missed() {
    let cluster = Cluster::new(2).unwrap();
    let controller = cluster.node(1).unwrap().controller("shm0").unwrap();
    let observer = Observer::attach(Some(cluster.name())).unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let watcher = std::thread::spawn(move || {
        loop {
            let seen = observer.snapshot();
            let lengths: Vec<u64> = seen.segments.iter().map(|s| s.length).collect();
            if tell.send(lengths).is_err() || observer.wait(&seen, Some(DEADLINE)).is_err() {
                return seen;
            }
        }
    });
    for round in 1..200_u64 {
        let export = controller.export((round * 65536).try_into().unwrap()).unwrap();
        let start = Instant::now();
        while told.recv_timeout(DEADLINE).expect("a look at the last state") != [round * 65536] {
            assert!(start.elapsed() < DEADLINE, "round {round}");
        }
        drop(export);
    }
    drop(told);
    drop(controller);
    drop(cluster);
    watcher.join().unwrap();
}

/// Looks until what is waited for is this, in the words for people.
fn until_waits(observer: &Observer, wanted: &[&str]) -> Vec<rsm::observe::WaitInfo> {
    let start = Instant::now();
    loop {
        let waits = observer.waits().unwrap();
        let mut told: Vec<String> = waits.iter().map(|wait| format!("{}: {wait}", wait.node)).collect();
        told.sort();
        if told == wanted {
            return waits;
        }
        assert!(start.elapsed() < DEADLINE, "waited too long for {wanted:?}: {told:?}");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_waited_for() {
    let cluster = Cluster::new(2).unwrap();
    let observer = Observer::attach(Some(cluster.name())).unwrap();
    let exporter = cluster.node(1).unwrap().controller("shm0").unwrap();
    let importer = cluster.node(2).unwrap().controller("shm0").unwrap();
    let export = exporter.export(65536).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let (import, missing) = (std::sync::OnceLock::new(), SegmentId::new(0x40_0009));
    until_waits(&observer, &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| export.wait(Some(DEADLINE)).unwrap());
        let alone = until_waits(&observer, &["1: a signal to its segment 0x400000, none pending, no importer left"]);
        assert_eq!((alone[0].pid, &*alone[0].on, alone[0].exporter), (std::process::id(), "export", 1));
        // More than one request looks at, and the one that is waited on comes last.
        let imports: Vec<_> = (0..2100).map(|_| importer.connect(1, id, Permission::Read).unwrap()).collect();
        let import = import.get_or_init(|| importer.connect(1, id, Permission::ReadWrite).unwrap());
        let to_export = "1: a signal to its segment 0x400000, none pending, 2101 importers";
        until_waits(&observer, &[to_export]);
        scope.spawn(|| import.wait(Some(DEADLINE)).unwrap());
        let to_import = "2: a signal from node 1 to its import of 0x400000, none pending";
        until_waits(&observer, &[to_export, to_import]);
        drop(imports);
        let wanting =
            scope.spawn(|| importer.connect_within(1, missing, Permission::Read, DEADLINE).map(drop).unwrap());
        let for_segment = "2: segment 0x400009 of node 1, which is not published";
        until_waits(&observer, &[&to_export.replace("2101 importers", "1 importer"), to_import, for_segment]);
        let other = exporter.export(65536).unwrap();
        other.publish(missing, &AccessList::everyone()).unwrap();
        wanting.join().unwrap();
        import.signal().unwrap();
        until_waits(&observer, &[to_import]);
        export.signal().unwrap();
        until_waits(&observer, &[]);
    });
}

/// Names that say nothing: taken, listened to or not, with room for who connects or without.
fn silent_names(count: usize) -> Vec<std::os::fd::OwnedFd> {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
    let socket = || socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::NONBLOCK, None).unwrap();
    let uid = rustix::process::geteuid().as_raw();
    let mut kept = Vec::new();
    for at in 0..count {
        let name = format!("rsm/{uid}/silent-{}-{at}", std::process::id());
        let place = SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap();
        let listener = socket();
        bind(&listener, &place).unwrap();
        listen(&listener, 0).unwrap();
        if at % 2 == 0 {
            // Its queue is full.
            loop {
                let guest = socket();
                if connect(&guest, &place).is_err() {
                    break;
                }
                kept.push(guest);
            }
        }
        kept.push(listener);
    }
    kept
}

#[test]
fn names_that_say_nothing_delay_nobody() {
    let silent = silent_names(150);
    let cluster = Cluster::new(2).unwrap();
    let one = cluster.node(1).unwrap();
    let clusters = rsm::observe::clusters().unwrap();
    let start = Instant::now();
    let looks = rsm::observe::look_at(&clusters);
    // One after the other they would take five minutes.
    assert!(start.elapsed() < DEADLINE, "{:?} for {} names", start.elapsed(), clusters.len());
    println!("{:?} for {} names", start.elapsed(), clusters.len());
    let mut told = 0;
    for (cluster_ref, look) in clusters.iter().zip(&looks) {
        if cluster_ref.name == cluster.name() {
            let info = look.as_ref().unwrap();
            assert_eq!((info.nodes, info.joined, info.name.as_str()), (2, 1, cluster.name()));
        } else if cluster_ref.name.starts_with(&format!("silent-{}-", std::process::id())) {
            assert_eq!(look.as_ref().unwrap_err().code(), Code::Timeout);
            told += 1;
        }
    }
    assert_eq!(told, 150);
    drop(silent);
    // Whoever looked has gone again.
    let observer = Observer::attach(Some(cluster.name())).unwrap();
    assert_eq!(observer.processes().unwrap().len(), 1);
    drop(one);
    let none = rsm::observe::look_at(&[]);
    assert!(none.is_empty());
}

/// What goes to another host takes a short way; not while somebody watches.
#[test]
fn transfers_to_another_host_are_tallied_and_noted() {
    for traced in [false, true] {
        let bridge = format!("local:observe-{}-{traced}", std::process::id());
        let hosts = [1, 2].map(|node| {
            let builder = Cluster::builder(2).here([node]).bridge("shm0", &bridge);
            let trace = Lens::clear(0).trace(Trace { bytes: false });
            if traced { builder.lens(trace) } else { builder }.start().unwrap()
        });
        hosts.iter().for_each(|host| host.await_bridge(DEADLINE).unwrap());
        let [exporter, importer] =
            [1, 2].map(|node| hosts[node as usize - 1].node(node).unwrap().controller("shm0").unwrap());
        let export = exporter.export(65536).unwrap();
        let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
        let import = importer.connect(1, id, Permission::ReadWrite).unwrap();
        let observer = Observer::attach(Some(hosts[1].name())).unwrap();
        let (start, mut times) = (Instant::now(), 0);
        loop {
            import.put_u64(0, 5).unwrap();
            assert_eq!(import.get_u64(0), Ok(5));
            times += 1;
            // From the first time that somebody asks.
            let all = observer.activity().unwrap();
            if all.iter().any(|process| process.activity.puts > 0 && process.activity.got_bytes >= 8) {
                break;
            }
            assert!(start.elapsed() < DEADLINE, "{all:?}");
        }
        let noted = hosts[1].noted();
        let events = noted.iter().flat_map(|noted| &noted.read.slots).filter_map(|slot| Event::of(*slot));
        let puts = events.filter(|event| event.kind == Kind::Put).count();
        assert_eq!(puts, if traced { times } else { 0 });
    }
}
