//! The Rust API by its rules, on nodes that share this process. Numbers A-nnn and D-nn are the reference's.
#![allow(unsafe_code)] // memory of the program's own

use rsm::lens::{Lens, Model, Strength};
use rsm::{
    AccessList, BarrierMode, BarrierType, Cluster, Code, Controller, EndCause, Export, Import, Importer, ImporterEvent,
    ImporterEvents, LinkState, Permission, Result, SegmentId,
};
use rsm_core::lens::draw::{Draws, scale};
use rsm_stories::Told;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Whole pages of every machine: they have 4, 16 or 64 KiB.
const PAGE: usize = 1 << 16;
const SIZE: usize = 4 * PAGE;
const SOON: Option<Duration> = Some(Duration::from_secs(20));

/// Two nodes and their shm0 controllers.
fn two_nodes() -> (Cluster, Controller, Controller) {
    let cluster = Cluster::new(2).unwrap();
    let one = cluster.node(1).unwrap().controller("shm0").unwrap();
    let two = cluster.node(2).unwrap().controller("shm0").unwrap();
    (cluster, one, two)
}

/// E and I of the reference's section 6: four pages exported by node 1, imported by node 2.
fn pair() -> (Cluster, Export, Import) {
    let (cluster, one, two) = two_nodes();
    let export = one.export(SIZE).unwrap();
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let import = two.connect(1, id, Permission::ReadWrite).unwrap();
    (cluster, export, import)
}

#[track_caller]
fn fails<T: std::fmt::Debug>(result: Result<T>, code: Code) {
    let error = result.expect_err("must fail");
    assert_eq!(error.code(), code, "{error}");
}

#[test]
fn controllers_and_attributes() {
    let (cluster, one, _two) = two_nodes();
    let node = cluster.node(1).unwrap();
    assert_eq!(node.controller("LOOPBACK7").unwrap().name(), "loopback");
    assert_eq!(node.controller("SHM").unwrap().name(), "shm0");
    for name in ["", "0", "shm1", &"x".repeat(300)] {
        fails(node.controller(name), Code::CtlrNotPresent);
    }
    let a = one.attributes();
    assert_eq!((a.direct_access_sizes, a.atomic_sizes), (0xf, 0xf), "A-030");
    assert_ne!(a.page_size & rsm_page_mask(), 0, "A-029");
    assert!(a.max_export_segment_size > SIZE && a.max_export_segments > 0 && a.max_import_segments > 0);
    fails(one.export(a.max_export_segment_size + PAGE), Code::BadLength);
}

/// Of what crosses a bridge nothing reads and writes in one step; words are stored and loaded in order all the same.
#[test]
fn memory_of_another_host_has_no_atomics() {
    let bridge = format!("local:api-atomics-{}", std::process::id());
    let host =
        |here: u32, controller: &str| Cluster::builder(2).here([here]).bridge(controller, &bridge).start().unwrap();
    let (one, other) = (host(1, "ntb0"), host(2, "ntb0"));
    for cluster in [&one, &other] {
        cluster.await_bridge(SOON.unwrap()).unwrap();
    }
    let (first, second) = (one.node(1).unwrap(), other.node(2).unwrap());
    let controller = second.controller("ntb0").unwrap();
    let sizes = |controller: &str| second.controller(controller).unwrap().attributes().atomic_sizes;
    assert_eq!([sizes("ntb0"), sizes("shm0"), sizes("loopback")], [0, 0xf, 0xf]);
    let export = first.controller("ntb0").unwrap().export(PAGE).unwrap();
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let import = controller.connect_within(1, id, Permission::ReadWrite, SOON.unwrap()).unwrap();
    let far = import.map(0, PAGE, Permission::ReadWrite).unwrap();
    fails(far.memory().atomic_u64(8).map(drop), Code::PermDenied);
    let error = far.memory().atomic_u32(8).unwrap_err();
    assert!(error.to_string().contains("memory of another host has no atomics"), "{error}");
    far.memory().store_u64(8, 7, Ordering::Release).unwrap();
    assert_eq!(export.memory().load_u64(8, Ordering::Acquire).unwrap(), 7);
    export.memory().atomic_u64(8).unwrap().fetch_add(1, Ordering::AcqRel);
    assert_eq!(far.memory().load_u64(8, Ordering::Acquire).unwrap(), 8);
    fails(import.map(0, PAGE, Permission::Read).unwrap().memory().atomic_u64(8).map(drop), Code::PermDenied);
    // Near memory has them, by whatever controller.
    let near = controller.export(PAGE).unwrap();
    let id = near.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let import = controller.connect(2, id, Permission::ReadWrite).unwrap();
    import.map(0, PAGE, Permission::ReadWrite).unwrap().memory().atomic_u64(8).unwrap().store(1, Ordering::Release);
}

fn rsm_page_mask() -> usize {
    rustix::param::page_size() >> 10
}

#[test]
fn the_topology_lists_every_node_once() {
    let cluster = Cluster::new(3).unwrap();
    let node = cluster.node(1).unwrap();
    cluster.node(2).unwrap();
    let topology = node.topology().unwrap();
    assert_eq!(topology.local_node, 1);
    assert_eq!(topology.controllers.len(), 1, "loopback is absent (D-08)");
    let shm = &topology.controllers[0];
    assert_eq!(shm.name, "shm0");
    let seen: Vec<_> = shm.remotes.iter().map(|r| (r.node, r.state)).collect();
    assert_eq!(seen, [(1, LinkState::Active), (2, LinkState::Active), (3, LinkState::Up)], "D-89");
}

#[test]
fn publishing() {
    let (_cluster, one, two) = two_nodes();
    let (e, f) = (one.export(SIZE).unwrap(), one.export(SIZE).unwrap());
    let everyone = AccessList::everyone();
    fails(e.unpublish(), Code::SegNotPublished);
    fails(e.republish(&everyone), Code::SegNotPublished);
    let auto = e.publish(SegmentId::any(), &everyone).unwrap();
    assert!(auto.get() >= 0x8000_0000, "A-069");
    fails(e.publish(SegmentId::any(), &everyone), Code::SegAlreadyPublished);
    assert_ne!(f.publish(SegmentId::any(), &everyone).unwrap(), auto, "A-070");
    e.unpublish().unwrap();
    fails(e.unpublish(), Code::SegNotPublished);
    f.unpublish().unwrap();
    for id in [0x40_0000, 0x7fff_ffff, 0x50_0000] {
        assert_eq!(e.publish(SegmentId::new(id), &everyone).unwrap().get(), id);
        fails(f.publish(SegmentId::new(id), &everyone), Code::SegidInUse);
        e.unpublish().unwrap();
        fails(two.connect(1, SegmentId::new(id), Permission::Read), Code::SegNotPublished);
    }
    // The same id on another node is another segment.
    let g = two.export(SIZE).unwrap();
    e.publish(SegmentId::new(0x40_0000), &everyone).unwrap();
    g.publish(SegmentId::new(0x40_0000), &everyone).unwrap();
}

#[test]
fn access_lists_filter_nodes() {
    let (_cluster, one, two) = two_nodes();
    let e = one.export(SIZE).unwrap();
    let id = e.publish(SegmentId::any(), &AccessList::new().node(1, 0o666)).unwrap();
    fails(two.connect(1, id, Permission::Read), Code::SegNotPublishedToNode);
    one.connect(1, id, Permission::ReadWrite).unwrap();
    e.republish(&AccessList::new().node(2, 0o666)).unwrap();
    let i = two.connect(1, id, Permission::ReadWrite).unwrap();
    fails(one.connect(1, id, Permission::Read), Code::SegNotPublishedToNode);
    fails(e.republish(&AccessList::new().node(2, 0o777)), Code::BadAcl);
    two.connect(1, id, Permission::Read).unwrap();
    e.republish(&AccessList::new().node(1, 0o600)).unwrap();
    i.put_u64(0, 1).unwrap(); // what exists stays
    fails(two.connect(1, id, Permission::Read), Code::SegNotPublishedToNode);
}

#[test]
fn loopback_reaches_the_local_node_only() {
    let (cluster, one, two) = two_nodes();
    let loopback = cluster.node(1).unwrap().controller("loopback").unwrap();
    let e = loopback.export(SIZE).unwrap();
    fails(e.publish(SegmentId::any(), &AccessList::new().node(2, 0o600)), Code::BadAcl);
    fails(e.publish(SegmentId::any(), &AccessList::new().node(1, 0o600).node(1, 0o600)), Code::BadAcl);
    let id = e.publish(SegmentId::any(), &AccessList::new().node(1, 0o600)).unwrap();
    fails(loopback.connect(2, id, Permission::Read), Code::CtlrNotPresent);
    loopback.connect(1, id, Permission::ReadWrite).unwrap().put_u8(0, 1).unwrap();
    one.connect(1, id, Permission::Read).unwrap(); // the exporting controller is not compared locally
    fails(two.connect(1, id, Permission::Read), Code::SegNotPublishedToNode);
}

#[test]
fn transfers_of_every_width() {
    let (_cluster, e, i) = pair();
    for mode in [BarrierMode::Implicit, BarrierMode::Explicit] {
        i.set_mode(mode);
        assert_eq!(i.mode(), mode);
        i.put_u8(1, 0x11).unwrap();
        i.put_u16(2, 0x2222).unwrap();
        i.put_u32(4, 0x3333_3333).unwrap();
        i.put_u64(8, 0x4444_4444_4444_4444).unwrap();
        assert_eq!(i.get_u8(1).unwrap(), 0x11);
        assert_eq!(i.get_u16(2).unwrap(), 0x2222);
        assert_eq!(i.get_u32(4).unwrap(), 0x3333_3333);
        assert_eq!(i.get_u64(8).unwrap(), 0x4444_4444_4444_4444);
        let values: Vec<u64> = (0..100).collect();
        i.put_u64s(PAGE as u64, &values).unwrap();
        let mut back = [0; 100];
        i.get_u64s(PAGE as u64, &mut back).unwrap();
        assert_eq!(values, back);
        i.put_u16s(64, &[1, 2, 3]).unwrap();
        assert_eq!(e.memory().read_volatile_u16(68).unwrap(), 3);
        i.put_i32s(72, &[-1, 5]).unwrap();
        assert_eq!((i.get_i32(76).unwrap(), e.memory().read_volatile_u32(72).unwrap()), (5, u32::MAX));
        i.put_i64(80, i64::MIN).unwrap();
        assert_eq!(e.memory().read_volatile_u64(80).unwrap(), 1 << 63);
        i.put_f32(88, -1.5).unwrap();
        assert_eq!(f32::from_bits(e.memory().read_volatile_u32(88).unwrap()), -1.5);
        // Bits come back as they were, those of a NaN too.
        let numbers = [0.1, -0.0, f64::INFINITY, f64::from_bits(0x7ff8_0000_dead_beef)];
        i.put_f64s(128, &numbers).unwrap();
        let mut back = [0.0; 4];
        i.get_f64s(128, &mut back).unwrap();
        assert_eq!(back.map(f64::to_bits), numbers.map(f64::to_bits));
        assert_eq!(e.memory().read_volatile_u64(152).unwrap(), 0x7ff8_0000_dead_beef);
        i.put(101, b"odd").unwrap();
        let mut around = [0; 5];
        e.memory().read(100, &mut around).unwrap();
        assert_eq!(&around, b"\0odd\0", "A-146");
        e.memory().write(200, b"back").unwrap();
        let mut back = [0; 4];
        i.get(200, &mut back).unwrap();
        assert_eq!(&back, b"back", "A-160");
        i.put(101, &[0; 3]).unwrap();
    }
}

#[test]
fn an_export_of_at_least_so_many_bytes_has_whole_pages() {
    let (_cluster, one, _two) = two_nodes();
    let page = rsm_shm::memory::page_size();
    for (bytes, pages) in [(0, 1), (1, 1), (page, 1), (page + 1, 2)] {
        assert_eq!(one.export_at_least(bytes).unwrap().len(), pages * page);
    }
    fails(one.export_at_least(usize::MAX), Code::BadLength);
}

#[test]
fn transfers_outside_the_segment_or_out_of_line() {
    let (_cluster, _e, i) = pair();
    let size = SIZE as u64;
    i.put_u8(size - 1, 1).unwrap();
    fails(i.put_u8(size, 1), Code::BadOffset);
    i.put(0, &vec![0; SIZE]).unwrap();
    fails(i.put(0, &vec![0; SIZE + 1]), Code::BadOffset);
    i.put(size, &[]).unwrap();
    fails(i.put(size + 1, &[]), Code::BadOffset);
    fails(i.get(u64::MAX, &mut [0; 2]), Code::BadOffset); // D-34
    fails(i.put_u64(u64::MAX - 7, 0), Code::BadOffset);
    fails(i.put_u64s(size - 8, &[0, 0]), Code::BadOffset);
    fails(i.put_u16(1, 0), Code::BadMemAlignment);
    fails(i.get_u32(2), Code::BadMemAlignment);
    fails(i.put_u64(4, 0), Code::BadMemAlignment);
    fails(i.put_u64(size + 4, 0), Code::BadMemAlignment); // alignment comes first
}

#[test]
fn permissions_of_connections() {
    let (_cluster, one, two) = two_nodes();
    let e = one.export(SIZE).unwrap();
    let id = e.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let r = two.connect(1, id, Permission::Read).unwrap();
    fails(r.put_u64(0, 1), Code::PermDenied);
    r.get_u64(0).unwrap();
    fails(r.map(0, PAGE, Permission::ReadWrite), Code::BadPerms);
    let w = two.connect(1, id, Permission::Write).unwrap();
    fails(w.get_u64(0), Code::PermDenied);
    w.put_u64(0, 1).unwrap();
    let none = two.connect(1, id, Permission::None).unwrap(); // D-27
    fails(none.put_u64(0, 1), Code::PermDenied);
    fails(none.get_u64(0), Code::PermDenied);
    fails(none.map(0, PAGE, Permission::Read), Code::BadPerms);
    none.signal().unwrap();
    e.wait(SOON).unwrap();
    e.unpublish().unwrap();
    fails(none.signal(), Code::ConnAborted);
}

#[test]
fn mappings() {
    let (_cluster, e, i) = pair();
    fails(i.map(0, PAGE, Permission::None), Code::BadPerms);
    fails(i.map(0, 0, Permission::Read), Code::BadLength);
    fails(i.map(PAGE as u64, SIZE, Permission::Read), Code::BadLength);
    fails(i.map(!(PAGE as u64 - 1), PAGE, Permission::Read), Code::BadLength);
    fails(i.map(1, PAGE, Permission::Read), Code::BadMemAlignment);
    let odd = i.map(PAGE as u64, 3000, Permission::ReadWrite).unwrap();
    assert_eq!(odd.len(), 3000);
    fails(odd.memory().write(2999, &[1, 2]), Code::BadOffset);
    let span = odd.open_barrier().unwrap();
    odd.memory().atomic_u64(8).unwrap().store(7, Ordering::Release);
    span.close().unwrap();
    assert_eq!(e.memory().read_volatile_u64(PAGE as u64 + 8).unwrap(), 7);
    assert_eq!(odd.memory().atomic_u64(8).unwrap().fetch_add(1, Ordering::AcqRel), 7);
    // Narrower than the connection: a mapping of its own, which is cut off like the others.
    let narrow = i.map(PAGE as u64, PAGE, Permission::Read).unwrap();
    assert_eq!(narrow.memory().read_volatile_u64(8).unwrap(), 8);
    assert!(narrow.memory().atomic_u64(8).is_err() && narrow.memory().write(0, &[1]).is_err());
    fails(i.disconnect(), Code::SegStillMapped);
    drop(odd);
    e.unpublish().unwrap();
    assert_eq!(narrow.memory().read_volatile_u64(8).unwrap(), 0, "a trash page");
    fails(narrow.open_barrier().unwrap().close(), Code::ConnAborted);
    e.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
}

#[test]
fn barriers_are_spans() {
    let (_cluster, e, i) = pair();
    i.set_mode(BarrierMode::Explicit);
    for _ in 0..3 {
        let span = i.open_barrier().unwrap();
        i.put_u64(0, 1).unwrap();
        span.order().unwrap();
        i.put_u64(8, 2).unwrap();
        span.close().unwrap();
    }
    let (outer, inner) = (i.open_barrier().unwrap(), i.open_barrier().unwrap());
    inner.close().unwrap();
    outer.close().unwrap();
    let across = i.open_barrier().unwrap();
    e.unpublish().unwrap();
    across.order().unwrap(); // D-50
    fails(across.close(), Code::ConnAborted);
    let after = i.open_barrier().unwrap();
    fails(after.close(), Code::ConnAborted);
    i.put_u64(0, 9).unwrap();
    assert_eq!(e.memory().read_volatile_u64(0).unwrap(), 1);
    i.set_mode(BarrierMode::Implicit);
    fails(i.put_u64(0, 9), Code::ConnAborted);
    fails(i.get_u64(0), Code::ConnAborted);
    fails(i.map(0, PAGE, Permission::Read), Code::ConnAborted);
    assert!(i.is_aborted());
    i.disconnect().unwrap();
}

#[test]
fn signals_to_the_exporter() {
    let (_cluster, e, i) = pair();
    fails(e.wait(Some(Duration::ZERO)), Code::Timeout);
    let began = Instant::now();
    fails(e.wait(Some(Duration::from_millis(50))), Code::Timeout);
    assert!(began.elapsed() >= Duration::from_millis(50), "A-226");
    for _ in 0..3 {
        i.signal().unwrap();
    }
    i.signal_no_accumulate().unwrap();
    for _ in 0..3 {
        e.wait(Some(Duration::ZERO)).unwrap();
    }
    fails(e.wait(Some(Duration::ZERO)), Code::Timeout);
    i.signal_no_accumulate().unwrap();
    i.signal_no_accumulate().unwrap();
    e.wait(SOON).unwrap();
    fails(e.wait(Some(Duration::ZERO)), Code::Timeout);
    i.signal().unwrap();
    e.unpublish().unwrap();
    e.wait(Some(Duration::ZERO)).unwrap();
    fails(i.signal(), Code::ConnAborted);
}

#[test]
fn signals_to_importers() {
    let (_cluster, one, two) = two_nodes();
    let e = one.export(SIZE).unwrap();
    e.signal().unwrap();
    let id = e.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let a = two.connect(1, id, Permission::Read).unwrap();
    e.signal().unwrap();
    let b = two.connect(1, id, Permission::Read).unwrap();
    fails(b.wait(Some(Duration::ZERO)), Code::Timeout);
    e.signal().unwrap();
    e.signal_no_accumulate().unwrap();
    for _ in 0..2 {
        a.wait(SOON).unwrap();
    }
    b.wait(SOON).unwrap();
    fails(a.wait(Some(Duration::ZERO)), Code::Timeout);
    fails(b.wait(Some(Duration::ZERO)), Code::Timeout);
    // Many connections come and go around those that stay: each gets every signal once.
    for round in 0..50 {
        let passing = two.connect(1, id, Permission::Read).unwrap();
        e.signal().unwrap();
        passing.wait(SOON).unwrap();
        a.wait(SOON).unwrap();
        b.wait(SOON).unwrap();
        fails(a.wait(Some(Duration::ZERO)), Code::Timeout);
        assert!(round < 50);
    }
}

#[test]
fn signals_wake_sleepers_and_release_one_each() {
    let (_cluster, e, i) = pair();
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| e.wait(SOON))).collect();
        for _ in 0..4 {
            i.signal().unwrap();
        }
        for waiter in waiters {
            waiter.join().unwrap().unwrap();
        }
    });
    fails(e.wait(Some(Duration::ZERO)), Code::Timeout);
}

#[test]
fn connect_within_sleeps_until_published() {
    let (cluster, one, two) = two_nodes();
    let id = SegmentId::new(0x40_0000);
    let error = two.connect_within(1, id, Permission::Read, Duration::from_millis(30)).unwrap_err();
    assert_eq!(error.code(), Code::Timeout);
    assert!(error.to_string().contains("node 1 publishes no segment 0x400000"), "{error}");
    fails(two.connect_within(3, id, Permission::Read, Duration::from_secs(60)), Code::RemoteNodeUnreachable);
    std::thread::scope(|scope| {
        let importer = scope.spawn(|| two.connect_within(1, id, Permission::ReadWrite, Duration::from_secs(20)));
        let e = one.export(SIZE).unwrap();
        // First to the wrong node only: the importer goes on sleeping.
        e.publish(id, &AccessList::new().node(1, 0o666)).unwrap();
        e.republish(&AccessList::everyone()).unwrap();
        let import = importer.join().unwrap().unwrap();
        import.put_u64(0, 5).unwrap();
        assert_eq!(e.memory().read_volatile_u64(0).unwrap(), 5);
    });
    // A node that has not joined yet is waited for as well.
    let three = Cluster::new(2).unwrap();
    let late = three.node(1).unwrap().controller("shm0").unwrap();
    std::thread::scope(|scope| {
        let importer = scope.spawn(|| late.connect_within(2, id, Permission::Read, Duration::from_secs(20)));
        let exporter = three.node(2).unwrap().controller("shm0").unwrap();
        let e = exporter.export(SIZE).unwrap();
        e.publish(id, &AccessList::everyone()).unwrap();
        importer.join().unwrap().unwrap();
    });
    drop(cluster);
}

#[test]
fn objects_outlive_controllers_and_nodes() {
    let (_cluster, e, i) = pair(); // controllers are gone already (D-05)
    i.put_u64(0, 3).unwrap();
    let m = i.map(0, PAGE, Permission::ReadWrite).unwrap();
    drop(i);
    m.memory().atomic_u64(8).unwrap().store(4, Ordering::SeqCst);
    assert_eq!(e.memory().read_volatile_u64(8).unwrap(), 4);
    drop(m);
    e.unpublish().unwrap();
    e.destroy().unwrap();
}

#[test]
fn threads_on_one_cluster() {
    let (_cluster, one, two) = two_nodes();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (one, two) = (&one, &two);
            scope.spawn(move || {
                for round in 0..40 {
                    let e = one.export(SIZE).unwrap();
                    let id = e.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
                    let i = two.connect(1, id, Permission::ReadWrite).unwrap();
                    i.put_u64(0, thread << 32 | round).unwrap();
                    i.signal().unwrap();
                    e.wait(SOON).unwrap();
                    assert_eq!(e.memory().read_volatile_u64(0).unwrap(), thread << 32 | round);
                    if round % 2 == 0 {
                        i.disconnect().unwrap();
                        e.unpublish().unwrap();
                    } else {
                        e.unpublish().unwrap();
                        fails(i.put_u64(0, 0), Code::ConnAborted);
                    }
                    e.destroy().unwrap();
                }
            });
        }
    });
}

#[test]
fn words_are_never_torn() {
    let (_cluster, e, i) = pair();
    i.set_mode(BarrierMode::Explicit);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _told = Told(&done);
            for n in 0..200_000u64 {
                i.put_u64(0, n | n << 32).unwrap();
            }
        });
        while !done.load(Ordering::Acquire) {
            let word = e.memory().read_volatile_u64(0).unwrap();
            assert_eq!(word >> 32, word & 0xffff_ffff, "A-161");
        }
    });
}

/// Whether a descriptor is readable now, as poll(2) with POLLRDNORM says; and whether it hung up.
fn polled(descriptor: &impl std::os::fd::AsFd, patience: i64) -> (bool, bool) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(descriptor, PollFlags::RDNORM)];
    poll(&mut fds, Some(&Timespec { tv_sec: patience, tv_nsec: 0 })).unwrap();
    (fds[0].revents().contains(PollFlags::RDNORM), fds[0].revents().contains(PollFlags::HUP))
}

#[test]
fn poll_descriptors_follow_the_signals() {
    let (_cluster, e, i) = pair();
    let (of_export, of_import) = (e.poll_descriptor().unwrap(), i.poll_descriptor().unwrap());
    assert_eq!(polled(&of_export, 0), (false, false));
    for _ in 0..200 {
        i.signal().unwrap();
        i.signal().unwrap();
        assert_eq!(polled(&of_export, 20), (true, false));
        e.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(polled(&of_export, 20), (true, false), "one is left");
        e.wait(Some(Duration::ZERO)).unwrap();
        assert_eq!(polled(&of_export, 0), (false, false));
    }
    e.signal().unwrap();
    assert_eq!(polled(&of_import, 20), (true, false));
    i.wait(Some(Duration::ZERO)).unwrap();
    e.unpublish().unwrap();
    assert!(polled(&of_import, 20).1, "an aborted import hangs up (D-60)");
}

#[test]
fn a_waiting_thread_is_not_robbed_by_the_poll_descriptor() {
    let (_cluster, e, i) = pair();
    let _descriptor = e.poll_descriptor().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| (0..2000).try_for_each(|_| e.wait(SOON)));
        for _ in 0..2000 {
            i.signal().unwrap();
        }
        waiter.join().unwrap().unwrap();
    });
}

#[cfg(feature = "tokio-tests")]
#[tokio::test]
async fn who_comes_and_goes_can_be_awaited() {
    let (_cluster, one, two) = two_nodes();
    let export = one.export(SIZE).unwrap();
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let mut events = export.watch_importers().unwrap();
    for round in 0..200 {
        // On a thread of its own: now before the task has looked, now while it does, now after.
        let connecting = {
            let two = two.clone();
            tokio::task::spawn_blocking(move || drop(two.connect(1, id, Permission::Read).unwrap()))
        };
        let mut next =
            async || tokio::time::timeout(SOON.unwrap(), events.next_async()).await.expect("in time").unwrap();
        let ImporterEvent::Connected(importer) = next().await else { panic!("round {round}") };
        assert_eq!(next().await, ImporterEvent::Left(importer, Some(EndCause::Disconnected)));
        connecting.await.unwrap();
    }
    assert!(tokio::time::timeout(Duration::from_millis(20), events.next_async()).await.is_err());
}

#[cfg(feature = "tokio-tests")]
#[tokio::test]
async fn signals_are_awaited() {
    let (_cluster, e, i) = pair();
    for _ in 0..100 {
        let (taken, posted) = tokio::join!(tokio::time::timeout(Duration::from_secs(20), e.wait_async()), async {
            tokio::task::yield_now().await;
            i.signal()
        });
        posted.unwrap();
        taken.unwrap().unwrap();
    }
    // Two tasks on one handle; a future that is dropped takes nothing.
    assert!(tokio::time::timeout(Duration::from_millis(20), e.wait_async()).await.is_err());
    i.signal().unwrap();
    i.signal().unwrap();
    let (a, b) = tokio::join!(e.wait_async(), e.wait_async());
    a.unwrap();
    b.unwrap();
    e.unpublish().unwrap();
    fails(i.wait_async().await, Code::ConnAborted);
}

#[test]
fn vectors_stop_at_the_first_failure() {
    let (_cluster, e, i) = pair();
    i.put_vectored(&[(0, b"ab"), (10, b"cd")]).unwrap();
    let (mut one, mut two) = ([0; 2], [0; 2]);
    i.get_vectored(&mut [(0, &mut one), (10, &mut two)]).unwrap();
    assert_eq!((&one, &two), (b"ab", b"cd"));
    let stopped = i.put_vectored(&[(0, b"x"), (SIZE as u64, b"y"), (1, b"z")]).unwrap_err();
    assert_eq!((stopped.completed, stopped.error.code()), (1, Code::BadOffset));
    assert_eq!(e.memory().read_volatile_u8(1).unwrap(), b'b', "what comes after was not done");
}

/// Page-aligned memory of the program's own, given back when dropped.
struct Pages(*mut u8, usize);

impl Pages {
    fn new(length: usize) -> Pages {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: fresh memory at addresses the kernel chooses.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, flags) }.unwrap();
        Pages(start.cast(), length)
    }
    fn store(&self, at: usize, value: u8) {
        assert!(at < self.1);
        // SAFETY: inside the pages.
        unsafe { self.0.add(at).write_volatile(value) };
    }
    fn load(&self, at: usize) -> u8 {
        assert!(at < self.1);
        // SAFETY: inside the pages.
        unsafe { self.0.add(at).read_volatile() }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: mapped by us; the exports over it are gone.
        unsafe { rustix::mm::munmap(self.0.cast(), self.1) }.unwrap();
    }
}

#[test]
fn memory_of_the_program_is_adopted_rebound_and_given_back() {
    let (_cluster, one, two) = two_nodes();
    let (a, b) = (Pages::new(SIZE), Pages::new(SIZE));
    a.store(0, 1);
    b.store(0, 2);
    // SAFETY: the pages outlive the export and are used through raw pointers only.
    let mut e = unsafe { one.adopt(a.0, SIZE) }.unwrap();
    assert_eq!(a.load(0), 1);
    let id = e.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let i = two.connect(1, id, Permission::ReadWrite).unwrap();
    let m = i.map(0, PAGE, Permission::Read).unwrap();
    assert_eq!(i.get_u8(0).unwrap(), 1);
    i.put_u8(1, 9).unwrap();
    assert_eq!(a.load(1), 9);
    // SAFETY: as above.
    unsafe { e.rebind(b.0, SIZE) }.unwrap();
    assert_eq!((i.get_u8(0).unwrap(), m.memory().read_volatile_u8(0).unwrap()), (2, 2), "A-117");
    i.put_u8(0, 3).unwrap();
    assert_eq!((a.load(0), b.load(0)), (1, 3), "A-118");
    a.store(0, 7);
    assert_eq!(i.get_u8(0).unwrap(), 3);
    // The same range once more, and one that overlaps.
    // SAFETY: as above.
    let same = unsafe { two.adopt(b.0, SIZE) };
    fails(same, Code::BadAddr); // another node's segment over the same pages
    // SAFETY: as above.
    let same = unsafe { one.adopt(b.0, SIZE) }.unwrap();
    // SAFETY: as above.
    fails(unsafe { one.adopt(b.0, PAGE) }, Code::BadAddr);
    let other = same.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let j = two.connect(1, other, Permission::ReadWrite).unwrap();
    j.put_u8(5, 5).unwrap();
    assert_eq!(i.get_u8(5).unwrap(), 5, "A-058");
    e.destroy().unwrap();
    fails(i.put_u8(0, 0), Code::ConnAborted);
    j.put_u8(6, 6).unwrap();
    assert_eq!(b.load(6), 6, "the other one goes on (D-80)");
    same.unpublish().unwrap();
    drop(same);
    b.store(6, 8);
    assert_eq!((b.load(5), b.load(6)), (5, 8), "A-063");
    // SAFETY: never used: the arguments are refused.
    unsafe {
        fails(one.adopt(std::ptr::null_mut(), SIZE), Code::BadAddr);
        fails(one.adopt(b.0, 0), Code::BadLength);
        fails(one.adopt(b.0.add(1), SIZE), Code::BadMemAlignment);
        fails(one.adopt(b.0, SIZE + 1), Code::BadMemAlignment);
    }
}

#[test]
fn a_range_beyond_the_last_address_is_refused() {
    let (_cluster, one, _two) = two_nodes();
    let loopback = one.node().controller("loopback").unwrap();
    let pages = Pages::new(SIZE);
    // SAFETY: the pages outlive the export and are used through raw pointers only.
    let _first = unsafe { one.adopt(pages.0, SIZE) }.unwrap(); // with which others are compared
    let start = Pages::new(PAGE).0.addr();
    // Loopback knows no limit but what memory there is (D-07).
    for (start, length) in [(start, usize::MAX - PAGE + 1), (usize::MAX - PAGE + 1, PAGE)] {
        // SAFETY: refused before the memory is touched.
        let refused = unsafe { loopback.adopt(std::ptr::without_provenance_mut(start), length) };
        fails(refused, Code::BadAddr);
    }
}

/// The next event, which must be one of coming.
#[track_caller]
fn came(events: &mut ImporterEvents) -> Importer {
    match events.next(SOON).unwrap() {
        ImporterEvent::Connected(importer) => importer,
        other => panic!("{other:?}"),
    }
}

/// The next event, which must be one of going.
#[track_caller]
fn left(events: &mut ImporterEvents) -> (Importer, EndCause) {
    match events.next(SOON).unwrap() {
        ImporterEvent::Left(importer, Some(cause)) => (importer, cause),
        other => panic!("{other:?}"),
    }
}

fn is_readable(fd: &impl std::os::fd::AsFd, patience: Duration) -> bool {
    let fd = &mut [rustix::event::PollFd::new(fd, rustix::event::PollFlags::IN)];
    let timeout = patience.try_into().unwrap();
    rustix::event::poll(fd, Some(&timeout)).unwrap() == 1
}

#[test]
fn an_exporter_is_told_who_comes_and_who_goes() {
    let (cluster, one, two) = two_nodes();
    let export = one.export(SIZE).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let connect = || two.connect(1, id, Permission::ReadWrite).unwrap();
    // Whoever is there when the watching begins comes first; who had left before does not come at all.
    drop(connect());
    let first = connect();
    let mut events = export.watch_importers().unwrap();
    let old = came(&mut events);
    assert_eq!((old.node, old.pid), (2, std::process::id()));
    fails(events.next(Some(Duration::ZERO)), Code::Timeout);
    assert!(!is_readable(&events, Duration::ZERO));
    // Several, asked for one after another.
    let (second, third) = (connect(), connect());
    assert!(is_readable(&events, SOON.unwrap()));
    let (a, b) = (came(&mut events), came(&mut events));
    assert!(old.connection < a.connection && a.connection < b.connection);
    second.disconnect().unwrap();
    assert_eq!(left(&mut events), (a, EndCause::Disconnected));
    // Those that come and go while nobody asks are told of, in order, and do not hide who was there.
    for _ in 0..20 {
        drop(connect());
    }
    drop(third);
    assert_eq!(left(&mut events), (b, EndCause::Disconnected));
    for _ in 0..20 {
        let brief = came(&mut events);
        assert_eq!(left(&mut events), (brief, EndCause::Disconnected));
    }
    fails(events.next(Some(Duration::from_millis(20))), Code::Timeout);
    assert!(!is_readable(&events, Duration::ZERO));
    // A thread that sleeps is woken; causes are those that the importer is told.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| left(&mut events));
        cluster.steering().unwrap().link_down(&rsm::steer::Links::one_way(2, 1)).unwrap();
        assert_eq!(waiting.join().unwrap(), (old, EndCause::LinkDown));
    });
    assert_eq!(first.why_aborted(), Some(EndCause::LinkDown));
    cluster.steering().unwrap().link_up(&rsm::steer::Links::one_way(2, 1)).unwrap();
    let (fourth, _kept) = (connect(), connect());
    let (d, e) = (came(&mut events), came(&mut events));
    drop(fourth);
    export.unpublish().unwrap();
    assert_eq!([left(&mut events), left(&mut events)], [(d, EndCause::Disconnected), (e, EndCause::Withdrawn)]);
    export.publish(id, &AccessList::everyone()).unwrap();
    let _again = connect();
    let f = came(&mut events);
    export.destroy().unwrap();
    assert_eq!(left(&mut events), (f, EndCause::Withdrawn));
    fails(events.next(SOON), Code::BadSegHndl);
}

#[test]
fn events_end_with_the_cluster() {
    let (cluster, one, two) = two_nodes();
    let export = one.export(SIZE).unwrap();
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let _import = two.connect(1, id, Permission::ReadWrite).unwrap();
    let mut events = export.watch_importers().unwrap();
    came(&mut events);
    fails(events.next(Some(Duration::ZERO)), Code::Timeout);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| export.wait_while_imported(SOON));
        drop(cluster);
        fails(waiting.join().unwrap(), Code::CtlrNotPresent);
    });
    assert!(is_readable(&events, SOON.unwrap()));
    fails(events.next(SOON), Code::CtlrNotPresent);
}

#[test]
fn a_wait_ends_when_nobody_is_left_to_signal() {
    let (_cluster, one, two) = two_nodes();
    let export = one.export(SIZE).unwrap();
    let deserted = |words: &str| {
        let error = export.wait_while_imported(SOON).unwrap_err();
        assert_eq!(error.code(), Code::SegNotConnected, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    };
    deserted("nobody is left who could signal a segment of node 1 that is not published");
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let connect = || two.connect(1, id, Permission::ReadWrite).unwrap();
    // Whoever has not come yet is waited for.
    fails(export.wait_while_imported(Some(Duration::from_millis(20))), Code::Timeout);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| export.wait_while_imported(SOON));
        let import = connect();
        import.signal().unwrap();
        waiting.join().unwrap().unwrap();
        // One goes, one stays: the wait goes on.
        drop(connect());
        fails(export.wait_while_imported(Some(Duration::from_millis(20))), Code::Timeout);
        // What it signals last is taken before its end is told.
        import.signal().unwrap();
        import.signal().unwrap();
        drop(import);
        export.wait_while_imported(SOON).unwrap();
        export.wait_while_imported(SOON).unwrap();
        deserted("nobody is left who could signal segment 0x400000 of node 1");
        // Threads that sleep are woken, all of them.
        let import = connect();
        let waiting: Vec<_> = (0..3).map(|_| scope.spawn(|| export.wait_while_imported(None))).collect();
        drop(import);
        waiting.into_iter().for_each(|thread| fails(thread.join().unwrap(), Code::SegNotConnected));
    });
    // A segment that is published anew waits for those who have not come to it.
    export.unpublish().unwrap();
    export.publish(id, &AccessList::everyone()).unwrap();
    fails(export.wait_while_imported(Some(Duration::from_millis(20))), Code::Timeout);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| export.wait_while_imported(None));
        export.unpublish().unwrap();
        fails(waiting.join().unwrap(), Code::SegNotConnected);
    });
}

/// Many times: an importer that comes, signals and goes loses no signal, whenever the exporter looks.
#[test]
fn no_signal_of_somebody_who_left_is_lost() {
    let (_cluster, one, two) = two_nodes();
    let export = one.export(SIZE).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    for round in 0..200 {
        std::thread::scope(|scope| {
            let import = two.connect(1, id, Permission::ReadWrite).unwrap();
            scope.spawn(move || {
                import.signal().unwrap();
                drop(import);
            });
            export.wait_while_imported(SOON).unwrap_or_else(|error| panic!("round {round}: {error}"));
            fails(export.wait_while_imported(SOON), Code::SegNotConnected);
        });
    }
}

/// E and I through a lens that holds nearly everything back for a while.
fn lensed(model: Model) -> (Cluster, Export, Import) {
    let cluster = Cluster::builder(2).lens(Lens::chaos(late()).model(model).strength(Strength::Storm)).start().unwrap();
    let controller = |node| cluster.node(node).unwrap().controller("shm0").unwrap();
    let export = controller(1).export(SIZE).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let import = controller(2).connect(1, id, Permission::ReadWrite).unwrap();
    import.set_mode(BarrierMode::Explicit);
    (cluster, export, import)
}

/// A seed whose first span, for the two nodes and the segment, is one of the longest, and that of a second import one without delay.
fn late() -> u64 {
    let first = |seed, import| scale(Draws::of_import([seed, 2, 1, 0x40_0000, import], 0).number());
    (0..).find(|&seed| first(seed, 1) == 40_000_000 && first(seed, 2) == 0).unwrap()
}

/// What is late is so for a while only, which may have passed, on a busy machine nearly always: once in many times it has not.
fn sooner_or_later(mut seen: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(60);
    (0..).take_while(|&time| time < 100 || Instant::now() < deadline).any(|_| seen())
}

const LINES: u64 = 32;

/// Puts a word into each of some lines.
fn put_lines(import: &Import, value: u64) {
    for line in 0..LINES {
        import.put_u64(line * 64, value).unwrap();
    }
}

/// In how many of them it is.
fn arrived(export: &Export, value: u64) -> usize {
    let memory = export.memory();
    (0..LINES).filter(|line| memory.load_u64(line * 64, Ordering::Acquire).unwrap() == value).count()
}

#[test]
fn through_a_lens_what_is_put_arrives_when_the_span_is_closed() {
    for (_, model) in Model::ALL {
        let (_cluster, export, import) = lensed(model);
        let late = sooner_or_later(|| {
            let (_cluster, export, import) = lensed(model);
            put_lines(&import, 2);
            let late = arrived(&export, 2) < LINES as usize;
            assert_eq!(import.get_u64(64), Ok(2), "a get sees what the import has put");
            late
        });
        assert!(late, "{model}: nothing is late");
        let span = import.open_barrier().unwrap();
        put_lines(&import, 2);
        let mut bytes = [0; 16];
        import.get(60, &mut bytes).unwrap();
        assert_eq!(bytes[4..12], 2u64.to_ne_bytes());
        span.order().unwrap();
        import.put_u64(0, 3).unwrap();
        span.close().unwrap();
        assert_eq!((arrived(&export, 2), arrived(&export, 3)), (LINES as usize - 1, 1));
        import.signal().unwrap();
        export.wait(SOON).unwrap();
        import.set_mode(BarrierMode::Implicit);
        put_lines(&import, 4);
        assert_eq!(arrived(&export, 4), LINES as usize, "in implicit mode each put is a span");
        import.set_mode(BarrierMode::Explicit);
        put_lines(&import, 5);
        assert_eq!((import.is_aborted(), import.why_aborted()), (false, None));
        import.disconnect().unwrap();
        assert_eq!(arrived(&export, 5), LINES as usize);
    }
}

#[test]
fn what_is_on_its_way_when_a_connection_is_cut_goes_nowhere() {
    for (_, model) in Model::ALL {
        let late = sooner_or_later(|| {
            let (_cluster, export, import) = lensed(model);
            let span = import.open_barrier().unwrap();
            put_lines(&import, 7);
            export.unpublish().unwrap();
            let before = arrived(&export, 7);
            assert_eq!((import.is_aborted(), import.why_aborted()), (true, Some(EndCause::Withdrawn)));
            fails(span.close(), Code::ConnAborted);
            fails(import.signal(), Code::ConnAborted);
            put_lines(&import, 7);
            drop(import);
            assert_eq!(arrived(&export, 7), before, "a store came after the segment was taken back");
            before < LINES as usize
        });
        assert!(late, "{model}: nothing was on its way");
    }
}

#[test]
fn a_barrier_waits_for_what_its_type_says() {
    let narrow = sooner_or_later(|| {
        let (cluster, export, first) = lensed(Model::Pcie);
        let second = cluster.node(2).unwrap().controller("shm0").unwrap();
        let second = second.connect(1, SegmentId::new(0x40_0000), Permission::ReadWrite).unwrap();
        second.set_mode(BarrierMode::Explicit);
        put_lines(&first, 1);
        second.open_barrier_of(BarrierType::Segment).unwrap().close().unwrap();
        let narrow = arrived(&export, 1) < LINES as usize;
        second.open_barrier_of(BarrierType::Node).unwrap().close().unwrap();
        assert_eq!(arrived(&export, 1), LINES as usize);
        narrow
    });
    assert!(narrow, "a barrier of a segment waits for another import");
}

/// Looks until something is so, or too long.
fn soon(is_so: impl Fn() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

#[test]
fn through_a_lens_what_is_stored_to_a_mapping_arrives_when_the_span_is_closed() {
    for model in [Model::Pcie, Model::Sci] {
        let late = sooner_or_later(|| {
            let (_cluster, export, import) = lensed(model);
            let mapping = import.map(0, SIZE, Permission::ReadWrite).unwrap();
            let (far, near) = (mapping.memory(), export.memory());
            let span = import.open_barrier().unwrap();
            for line in 0..LINES {
                far.write_volatile_u64(line * 64, 7).unwrap();
            }
            let late = arrived(&export, 7) < LINES as usize;
            assert_eq!(far.read_volatile_u64(64), Ok(7));
            span.close().unwrap();
            assert_eq!(arrived(&export, 7), LINES as usize);
            // Bytes beside those that were stored are left alone.
            near.write_volatile_u8(4096 + 1, 9).unwrap();
            far.write_volatile_u8(4096, 5).unwrap();
            let span = import.open_barrier().unwrap();
            near.write_volatile_u8(4096 + 2, 8).unwrap();
            span.close().unwrap();
            assert_eq!(near.read_volatile_u32(4096).map(u32::to_ne_bytes), Ok([5, 9, 8, 0]));
            // What others store is seen sooner or later, and at once when a signal was taken.
            near.write_volatile_u64(8192, 11).unwrap();
            assert!(soon(|| far.read_volatile_u64(8192) == Ok(11)));
            near.write_volatile_u64(8200, 12).unwrap();
            export.signal().unwrap();
            import.wait(SOON).unwrap();
            assert_eq!(far.read_volatile_u64(8200), Ok(12));
            // A put is seen in the mapping at once, and what was stored to it before a put comes before.
            import.put_u64(64, 21).unwrap();
            assert_eq!(far.read_volatile_u64(64), Ok(21));
            far.write_volatile_u64(128, 1).unwrap();
            import.put_u64(128, 2).unwrap();
            assert_eq!(import.get_u64(128), Ok(2));
            drop(mapping);
            import.disconnect().unwrap();
            assert_eq!((near.read_volatile_u64(64), near.read_volatile_u64(128)), (Ok(21), Ok(2)));
            late
        });
        assert!(late, "{model}: nothing is late");
    }
}

#[test]
fn atomics_of_a_mapping_are_of_the_segment_itself() {
    let (_cluster, export, import) = lensed(Model::Sci);
    let mapping = import.map(PAGE as u64, PAGE, Permission::ReadWrite).unwrap();
    let (far, near) = (mapping.memory().atomic_u64(8).unwrap(), export.memory());
    far.store(3, Ordering::Release);
    assert_eq!(near.load_u64(PAGE as u64 + 8, Ordering::Acquire), Ok(3));
    near.atomic_u64(PAGE as u64 + 8).unwrap().fetch_add(1, Ordering::AcqRel);
    assert_eq!(far.load(Ordering::Acquire), 4);
}

#[test]
fn what_a_mapping_holds_when_the_connection_is_cut_goes_nowhere() {
    let late = sooner_or_later(|| {
        let (_cluster, export, import) = lensed(Model::Pcie);
        let mapping = import.map(0, SIZE, Permission::ReadWrite).unwrap();
        let span = import.open_barrier().unwrap();
        for line in 0..LINES {
            mapping.memory().write_volatile_u64(line * 64, 7).unwrap();
        }
        export.unpublish().unwrap();
        let before = arrived(&export, 7);
        fails(span.close(), Code::ConnAborted);
        mapping.memory().write_volatile_u64(0, 8).unwrap();
        drop(mapping);
        drop(import);
        assert_eq!(
            (arrived(&export, 7), arrived(&export, 8)),
            (before, 0),
            "a store came after the segment was taken back"
        );
        before < LINES as usize
    });
    assert!(late, "nothing was on its way");
}

/// A value that is lost is reported, but where the program has said that this is meant.
#[test]
fn what_is_said_to_be_meant_is_no_race() {
    let cluster = Cluster::builder(3).lens(Lens::clear(1).race()).start().unwrap();
    let controller = |node| cluster.node(node).unwrap().controller("shm0").unwrap();
    let export = controller(3).export(SIZE).unwrap();
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).unwrap();
    let [one, two] = [1, 2].map(|node| controller(node).connect(3, id, Permission::ReadWrite).unwrap());
    let memory = export.memory();
    rsm::annotate::benign(&memory, 64, 8).unwrap();
    rsm::annotate::benign(&memory, SIZE as u64, 0).unwrap();
    for (offset, length) in [(SIZE as u64, 1), (SIZE as u64 + 1, 0), (1, SIZE), (u64::MAX, 2), (0, usize::MAX)] {
        fails(rsm::annotate::benign(&memory, offset, length), Code::BadOffset);
    }
    for (offset, lost) in [(64, 0), (128, 1)] {
        one.put_u64(offset, 1).unwrap();
        two.put_u64(offset, 2).unwrap();
        let found = cluster.races().unwrap().races;
        let places: Vec<(u64, u64)> = found.iter().map(|race| (race.offset, race.length)).collect();
        assert_eq!(places, [(128, 8)][..lost], "{found:?}");
    }
}

/// Large enough that the kernel is asked which pages were stored to, where it can say.
#[test]
fn stores_to_a_large_mapping_are_found() {
    const LARGE: usize = 16 << 20;
    let cluster = Cluster::builder(2).lens(Lens::chaos(1)).start().unwrap();
    let controller = |node| cluster.node(node).unwrap().controller("shm0").unwrap();
    let export = controller(1).export(LARGE).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let import = controller(2).connect(1, id, Permission::ReadWrite).unwrap();
    import.set_mode(BarrierMode::Explicit);
    let mapping = import.map(0, LARGE, Permission::ReadWrite).unwrap();
    let last = LARGE as u64 - 8;
    for (value, offset) in (1..).zip([0, 8, PAGE as u64 * 3, LARGE as u64 / 2, last]) {
        let span = import.open_barrier().unwrap();
        mapping.memory().write_volatile_u64(offset, value).unwrap();
        span.close().unwrap();
        assert_eq!(export.memory().read_volatile_u64(offset), Ok(value));
    }
    export.memory().write_volatile_u64(last, 99).unwrap();
    export.signal().unwrap();
    import.wait(SOON).unwrap();
    assert_eq!(mapping.memory().read_volatile_u64(last), Ok(99));
}

/// A barrier waits for what came before it, and for nothing that other threads go on putting.
#[test]
fn a_close_ends_while_others_go_on() {
    let cluster = Cluster::builder(2).lens(Lens::chaos(3).model(Model::Tso)).start().unwrap();
    let controller = |node| cluster.node(node).unwrap().controller("shm0").unwrap();
    let export = controller(1).export(SIZE).unwrap();
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).unwrap();
    let import = controller(2).connect(1, id, Permission::ReadWrite).unwrap();
    import.set_mode(BarrierMode::Explicit);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                import.put_u64(0, 1).unwrap();
            }
        });
        let _told = Told(&stop);
        for round in 1..50 {
            let span = import.open_barrier().unwrap();
            import.put_u64(64, round).unwrap();
            span.close().unwrap();
            assert_eq!(export.memory().read_volatile_u64(64), Ok(round));
        }
    });
}

/// All of a mapping is stored to at once, other than what is stored beside it.
#[test]
fn a_mapping_is_filled_at_once() {
    let (_cluster, export, import) = lensed(Model::Pcie);
    let mapping = import.map(0, SIZE, Permission::ReadWrite).unwrap();
    let own = mapping.memory();
    for value in 1..5u8 {
        let span = import.open_barrier().unwrap();
        own.write(1, &vec![value; SIZE - 3]).unwrap();
        export.memory().write_volatile_u8(0, value + 10).unwrap();
        span.close().unwrap();
        let mut held = vec![0; SIZE];
        export.memory().read(0, &mut held).unwrap();
        assert!(held[1..SIZE - 2].iter().all(|&byte| byte == value));
        assert_eq!((held[0], held[SIZE - 2]), (value + 10, 0));
    }
    // Counts that begin while a put to the same word is on its way are not taken back by it.
    import.put_u64(128, 1).unwrap();
    for count in 2..2000u64 {
        let before = own.read_volatile_u64(128).unwrap();
        assert_eq!(before, count - 1);
        own.write_volatile_u64(128, before + 1).unwrap();
    }
    import.open_barrier().unwrap().close().unwrap();
    assert_eq!(export.memory().read_volatile_u64(128), Ok(1999));
}
