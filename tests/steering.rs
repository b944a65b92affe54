//! Disturbing a cluster, and what its programs are told (reference 3.2, 3.9), on nodes that share this process.

use rsm::observe::Change;
use rsm::steer::{Links, Steering};
use rsm::{
    AccessList, BarrierMode, Cluster, Code, Controller, EndCause, Export, Import, LinkState, Permission, Result,
    SegmentId,
};
use rsm_stories::Told;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PAGE: usize = 1 << 16;
const SIZE: usize = 4 * PAGE;
const SOON: Option<Duration> = Some(Duration::from_secs(20));
const ID: SegmentId = SegmentId::new(0x40_0000);

#[track_caller]
fn fails<T: std::fmt::Debug>(result: Result<T>, code: Code) -> String {
    let error = result.expect_err("must fail");
    assert_eq!(error.code(), code, "{error}");
    error.to_string()
}

fn shm0(cluster: &Cluster, node: u32) -> Controller {
    cluster.node(node).unwrap().controller("shm0").unwrap()
}

fn published(controller: &Controller, id: SegmentId) -> Export {
    let export = controller.export(SIZE).unwrap();
    export.publish(id, &AccessList::everyone()).unwrap();
    export
}

/// What the topology of a node says of its link to another.
fn state(cluster: &Cluster, node: u32, to: u32) -> LinkState {
    let topology = cluster.node(node).unwrap().topology().unwrap();
    topology.controllers[0].remotes.iter().find(|r| r.node == to).unwrap().state
}

/// Three nodes; node 1 exports, the others import.
fn three() -> (Cluster, Steering, Export, Import, Import) {
    let cluster = Cluster::new(3).unwrap();
    let export = published(&shm0(&cluster, 1), ID);
    let two = shm0(&cluster, 2).connect(1, ID, Permission::ReadWrite).unwrap();
    let three = shm0(&cluster, 3).connect(1, ID, Permission::ReadWrite).unwrap();
    let steering = cluster.steering().unwrap();
    (cluster, steering, export, two, three)
}

#[test]
fn a_link_that_goes_down_aborts_the_imports_through_it_and_no_others() {
    let (cluster, steering, export, two, three) = three();
    let mapping = two.map(0, PAGE, Permission::ReadWrite).unwrap();
    let back = published(&shm0(&cluster, 2), ID);
    let other_way = shm0(&cluster, 1).connect(2, ID, Permission::ReadWrite).unwrap();
    let across = two.open_barrier().unwrap();
    assert_eq!(steering.link_down(&Links::one_way(2, 1)).unwrap(), 1);
    fails(across.close(), Code::ConnAborted);
    fails(two.put_u64(0, 1), Code::ConnAborted);
    fails(two.get_u64(0), Code::ConnAborted);
    fails(two.wait(SOON), Code::ConnAborted);
    fails(two.signal(), Code::ConnAborted);
    fails(two.map(0, PAGE, Permission::Read), Code::ConnAborted);
    mapping.memory().write_volatile_u64(0, 7).unwrap(); // no fault, and nowhere
    two.set_mode(BarrierMode::Explicit);
    two.put_u64(0, 7).unwrap();
    fails(two.open_barrier().unwrap().close(), Code::ConnAborted);
    let told = fails(shm0(&cluster, 2).connect(1, ID, Permission::Read), Code::RemoteNodeUnreachable);
    assert!(told.contains("the link from node 2 to node 1 through shm0 is down"), "{told}");
    // The path is looked at before the segment.
    fails(shm0(&cluster, 2).connect(1, SegmentId::new(0x40_0001), Permission::Read), Code::RemoteNodeUnreachable);
    assert_eq!([state(&cluster, 2, 1), state(&cluster, 1, 2)], [LinkState::Down, LinkState::Active]);
    // The exporter's signals go to who is left; the others go on, with no new epoch or generation.
    export.signal().unwrap();
    three.wait(SOON).unwrap();
    three.put_u64(0, 3).unwrap();
    three.signal().unwrap();
    export.wait(SOON).unwrap();
    assert_eq!(export.memory().read_volatile_u64(0).unwrap(), 3);
    other_way.put_u64(0, 4).unwrap();
    assert_eq!(back.memory().read_volatile_u64(0).unwrap(), 4);
    // Once more is no error and concerns nobody.
    assert_eq!(steering.link_down(&Links::one_way(2, 1)).unwrap(), 0);
    // Both ways: the direction that was left.
    assert_eq!(steering.link_down(&Links::between(2, 1)).unwrap(), 1);
    fails(other_way.put_u64(0, 4), Code::ConnAborted);
    steering.link_up(&Links::between(1, 2)).unwrap();
    two.set_mode(BarrierMode::Implicit);
    fails(two.put_u64(0, 1), Code::ConnAborted);
    let again = shm0(&cluster, 2).connect(1, ID, Permission::ReadWrite).unwrap();
    again.put_u64(8, 5).unwrap();
    assert_eq!(export.memory().read_volatile_u64(8).unwrap(), 5);
    assert_eq!(state(&cluster, 2, 1), LinkState::Active);
    drop(mapping);
    two.disconnect().unwrap();
    export.unpublish().unwrap();
    fails(three.put_u64(0, 3), Code::ConnAborted);
}

#[test]
fn an_error_fails_what_is_under_way_and_nothing_else() {
    let (_cluster, steering, export, two, three) = three();
    let (hit, spared) = (two.open_barrier().unwrap(), three.open_barrier().unwrap());
    steering.link_error(&Links::one_way(2, 1)).unwrap();
    fails(hit.close(), Code::BarrierFailure);
    spared.close().unwrap();
    // The connection goes on: the next span is a new one.
    let next = two.open_barrier().unwrap();
    two.put_u64(0, 1).unwrap();
    next.close().unwrap();
    let hit = two.open_barrier().unwrap();
    hit.order().unwrap();
    steering.link_error(&Links::between(1, 2)).unwrap();
    fails(hit.close(), Code::BarrierFailure);
    assert!(!two.is_aborted());
    // The other direction only.
    let spared = two.open_barrier().unwrap();
    steering.link_error(&Links::one_way(1, 2)).unwrap();
    spared.close().unwrap();
    let errors = |from, to| {
        let links = steering.observer().links();
        links.into_iter().find(|l| l.controller == "shm0" && (l.from, l.to) == (from, to)).unwrap().errors
    };
    assert_eq!([errors(2, 1), errors(1, 2), errors(3, 1)], [2, 2, 0]);
    // An abort wins over an error (D-56).
    let both = two.open_barrier().unwrap();
    steering.link_error(&Links::between(1, 2)).unwrap();
    export.unpublish().unwrap();
    fails(both.close(), Code::ConnAborted);
}

#[test]
fn an_implicit_transfer_in_flight_is_hit_by_an_error() {
    let (_cluster, steering, _export, two, _three) = three();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                steering.link_error(&Links::one_way(2, 1)).unwrap();
            }
        });
        let _told = Told(&done);
        // Until one is hit; each is a span of its own, so most are not.
        let bytes = vec![1; SIZE];
        let until = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            match two.put(0, &bytes) {
                Ok(()) => assert!(std::time::Instant::now() < until, "none of the transfers was hit"),
                Err(error) => break assert_eq!(error.code(), Code::BarrierFailure),
            }
        }
    });
    two.put(0, &[2; 100]).unwrap();
}

#[test]
fn waiters_are_woken_when_the_link_goes_down_and_when_it_comes_up() {
    let (cluster, steering, export, two, three) = three();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| two.wait(SOON));
        let spared = scope.spawn(|| three.wait(SOON));
        steering.link_down(&Links::between(1, 2)).unwrap();
        fails(waiting.join().unwrap(), Code::ConnAborted);
        export.signal().unwrap();
        spared.join().unwrap().unwrap();
    });
    let controller = shm0(&cluster, 2);
    let error = fails(controller.connect_within(1, ID, Permission::Read, Duration::from_millis(20)), Code::Timeout);
    assert!(error.contains("the link from node 2 to node 1 through shm0 is down"), "{error}");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| controller.connect_within(1, ID, Permission::Read, SOON.unwrap()));
        steering.link_up(&Links::between(1, 2)).unwrap();
        waiting.join().unwrap().unwrap();
    });
}

#[test]
fn a_node_that_joins_does_not_bring_its_links_up() {
    let cluster = Cluster::new(2).unwrap();
    let steering = cluster.steering().unwrap();
    steering.link_down(&Links::one_way(1, 2)).unwrap();
    let one = shm0(&cluster, 1);
    let export = published(&shm0(&cluster, 2), ID);
    fails(one.connect(2, ID, Permission::Read), Code::RemoteNodeUnreachable);
    assert_eq!([state(&cluster, 1, 2), state(&cluster, 2, 1)], [LinkState::Down, LinkState::Active]);
    steering.link_up(&Links::one_way(1, 2)).unwrap();
    one.connect(2, ID, Permission::Read).unwrap();
    drop(export);
    // Up before anybody joins is up, not active.
    let cluster = Cluster::new(2).unwrap();
    let steering = cluster.steering().unwrap();
    steering.link_down(&Links::between(1, 2)).unwrap();
    steering.link_up(&Links::between(1, 2)).unwrap();
    cluster.node(1).unwrap();
    assert_eq!([state(&cluster, 1, 2), state(&cluster, 1, 1)], [LinkState::Up, LinkState::Active]);
}

#[test]
fn each_controller_has_links_of_its_own() {
    let cluster = Cluster::builder(2).controllers(["shm0", "shm1", "wrsm0"]).start().unwrap();
    let names: Vec<_> = cluster.node(2).unwrap().topology().unwrap().controllers.into_iter().map(|c| c.name).collect();
    assert_eq!(names, ["shm0", "shm1", "wrsm0"]);
    let two = |name| cluster.node(2).unwrap().controller(name).unwrap();
    let export = published(&shm0(&cluster, 1), ID);
    let through: Vec<Import> =
        ["shm0", "SHM1", "wrsm"].map(|name| two(name).connect(1, ID, Permission::ReadWrite).unwrap()).into();
    let steering = cluster.steering().unwrap();
    assert_eq!(steering.link_down(&Links::between(1, 2).through("shm1")).unwrap(), 1);
    fails(through[1].put_u64(8, 1), Code::ConnAborted);
    fails(two("shm1").connect(1, ID, Permission::Read), Code::RemoteNodeUnreachable);
    // No failover, and no harm: another controller still reaches the node (D-74).
    through[0].put_u64(0, 2).unwrap();
    let again = two("wrsm0").connect(1, ID, Permission::ReadWrite).unwrap();
    again.put_u64(0, 3).unwrap();
    let span = through[0].open_barrier().unwrap();
    steering.link_error(&Links::between(1, 2).through("wrsm0")).unwrap();
    span.close().unwrap();
    // Without a name: all of them.
    assert_eq!(steering.link_down(&Links::one_way(2, 1)).unwrap(), 3);
    for import in &through {
        fails(import.put_u64(8, 1), Code::ConnAborted);
    }
    assert_eq!(export.memory().read_volatile_u64(0).unwrap(), 3);
    // Loopback has a link of each node to itself.
    let loopback = cluster.node(1).unwrap().controller("loopback").unwrap();
    let import = loopback.connect(1, ID, Permission::ReadWrite).unwrap();
    assert_eq!(steering.link_down(&Links::one_way(1, 1).through("loopback")).unwrap(), 1);
    fails(import.put_u64(0, 1), Code::ConnAborted);
    fails(loopback.connect(1, ID, Permission::Read), Code::RemoteNodeUnreachable);
    fails(loopback.connect(2, ID, Permission::Read), Code::CtlrNotPresent);
    shm0(&cluster, 1).connect(1, ID, Permission::Read).unwrap();
}

#[test]
fn bad_controllers_are_refused_when_the_cluster_starts() {
    let start = |names: &[&str]| Cluster::builder(1).controllers(names.iter().copied()).start();
    for (names, told) in [
        (&[][..], "0 controllers beside loopback, must be 1 to 7"),
        (&["shm0", "shm00"], "\"shm00\" is named twice"),
        (&["loopback"], "every cluster has loopback"),
        (&["1"], "\"1\" is no controller name"),
    ] {
        let error = fails(start(names), Code::BadConf);
        assert!(error.contains(told), "{error}");
    }
    start(&["a", "b", "c", "d", "e", "f", "g"]).unwrap();
}

#[test]
fn a_revoked_segment_is_nobodys_until_it_is_published_again() {
    let (cluster, steering, export, two, three) = three();
    let spared = published(&shm0(&cluster, 1), SegmentId::new(0x40_0001));
    let spared_import = shm0(&cluster, 2).connect(1, SegmentId::new(0x40_0001), Permission::ReadWrite).unwrap();
    two.put_u64(0, 1).unwrap();
    assert_eq!(steering.revoke_segment(1, ID).unwrap(), 2);
    for import in [&two, &three] {
        // Told at once; where the bytes went is another matter until the importer has let go.
        fails(import.put_u64(8, 2), Code::ConnAborted);
        fails(import.wait(SOON), Code::ConnAborted);
    }
    fails(shm0(&cluster, 3).connect(1, ID, Permission::Read), Code::SegNotPublished);
    fails(export.republish(&AccessList::everyone()), Code::SegNotPublished);
    assert_eq!(export.memory().read_volatile_u64(0).unwrap(), 1);
    spared_import.put_u64(0, 4).unwrap();
    assert_eq!(spared.memory().read_volatile_u64(0).unwrap(), 4);
    let told = fails(steering.revoke_segment(1, ID), Code::SegNotPublished);
    assert!(told.contains("node 1 publishes no segment 0x400000; it publishes: 0x400001"), "{told}");
    let told = fails(steering.revoke_segment(2, ID), Code::SegNotPublished);
    assert!(told.contains("node 2 publishes no segment 0x400000, nor any other"), "{told}");
    // Published again, at once: former importers have let go by then, or are made to.
    for _ in 0..50 {
        export.publish(ID, &AccessList::everyone()).unwrap();
        let import = shm0(&cluster, 2).connect(1, ID, Permission::ReadWrite).unwrap();
        import.put_u64(0, 5).unwrap();
        steering.revoke_segment(1, ID).unwrap();
        fails(import.put_u64(8, 6), Code::ConnAborted);
    }
    assert_eq!(export.memory().read_volatile_u64(0).unwrap(), 5);
    // Its exporter need not know that it was revoked.
    export.unpublish().unwrap();
    fails(export.unpublish(), Code::SegNotPublished);
    export.publish(ID, &AccessList::everyone()).unwrap();
    steering.revoke_segment(1, ID).unwrap();
    export.destroy().unwrap();
}

#[test]
fn what_is_not_there_is_named() {
    let cluster = Cluster::new(2).unwrap();
    cluster.node(1).unwrap();
    let steering = cluster.steering().unwrap();
    for (told, wanted, code) in [
        (steering.link_down(&Links::between(1, 3)), "no node 3: nodes are 1 to 2", Code::RemoteNodeUnreachable),
        (steering.link_down(&Links::between(0, 1)), "no node 0: nodes are 1 to 2", Code::RemoteNodeUnreachable),
        (
            steering.link_down(&Links::between(1, 2).through("shm9")),
            "no controller \"shm9\"; there are: loopback, shm0",
            Code::CtlrNotPresent,
        ),
        (
            steering.link_down(&Links::between(1, 2).through("loopback")),
            "no link from node 1 to node 2 through loopback",
            Code::RemoteNodeUnreachable,
        ),
        (steering.node_kill(3), "no node 3: nodes are 1 to 2", Code::RemoteNodeUnreachable),
        (steering.node_stop(2), "no process of node 2 has joined", Code::RemoteNodeUnreachable),
        (steering.node_kill(1), "which is also the cluster's agent", Code::PermDenied),
        (steering.revoke_segment(3, ID), "no node 3: nodes are 1 to 2", Code::RemoteNodeUnreachable),
    ] {
        let told = fails(told, code);
        assert!(told.contains(wanted), "{told}");
    }
    fails(steering.environment(3), Code::RemoteNodeUnreachable);
    assert_eq!(steering.environment(2).unwrap(), cluster.environment(2).unwrap());
    // Half of what was asked for is not done.
    assert!(steering.observer().links().iter().all(|link| link.state != "down"));
    drop(cluster);
    fails(steering.link_down(&Links::between(1, 2)), Code::CtlrNotPresent);
}

#[test]
fn processes_of_nodes_do_not_steer() {
    use rsm_core::message::NodeSignal;
    use rsm_core::registry::LinkChange;
    let (cluster, _steering, _export, two, _three) = three();
    let node = cluster.node(2).unwrap();
    let membership = node.membership();
    fails(membership.set_link(1, 1, 2, true, LinkChange::Down), Code::PermDenied);
    fails(membership.signal_node(1, NodeSignal::Kill), Code::PermDenied);
    fails(membership.revoke(1, ID.get()), Code::PermDenied);
    fails(membership.node_key(1), Code::PermDenied);
    two.put_u64(0, 1).unwrap();
}

#[test]
fn observers_see_what_was_done() {
    let (_cluster, steering, _export, _two, _three) = three();
    let observer = steering.observer();
    let before = observer.snapshot();
    steering.link_error(&Links::one_way(2, 1)).unwrap();
    steering.link_down(&Links::one_way(2, 1)).unwrap();
    steering.revoke_segment(1, ID).unwrap();
    observer.wait(&before, SOON).unwrap();
    let now = observer.snapshot();
    let changes: Vec<Change> = now.changes_since(&before);
    let seen = |wanted: fn(&Change) -> bool| changes.iter().filter(|change| wanted(change)).count();
    assert_eq!(seen(|c| matches!(c, Change::LinkState { link, .. } if (link.from, link.to) == (2, 1))), 1);
    assert_eq!(seen(|c| matches!(c, Change::LinkError { new_errors: 1, .. })), 1);
    assert_eq!(seen(|c| matches!(c, Change::ConnectionCut(_))), 2);
    assert_eq!(seen(|c| matches!(c, Change::SegmentWithdrawn(s) if s.node == 1)), 1);
}

/// What everything says that can say that an import was aborted.
fn told(import: &Import) -> Vec<String> {
    let mapping = import.map(0, PAGE, Permission::Read);
    let of = |result: Result<()>| fails(result, Code::ConnAborted);
    import.set_mode(BarrierMode::Implicit);
    let mut said = vec![
        of(import.put_u64(0, 1)),
        of(import.put(0, &[1])),
        of(import.get_u64(0).map(drop)),
        of(import.get(0, &mut [0])),
        of(import.put_vectored(&[(0, &[1])]).map_err(Into::into)),
        of(import.signal()),
        of(import.signal_no_accumulate()),
        of(import.wait(Some(Duration::ZERO))),
        of(import.wait(SOON)),
        of(mapping.map(drop)),
        of(import.map(0, PAGE, Permission::ReadWrite).map(drop)),
    ];
    said.push(of(import.open_barrier().unwrap().close()));
    said
}

#[test]
fn who_lost_a_connection_is_told_why() {
    let lost = |cause: EndCause, words: &str, act: &dyn Fn(&Steering, Export)| {
        let (cluster, steering, export, two, three) = three();
        assert_eq!((two.why_aborted(), two.segment_id()), (None, ID));
        act(&steering, export);
        assert_eq!(two.why_aborted(), Some(cause));
        for said in told(&two) {
            let expected =
                format!("the import of segment 0x400000 of node 1 was aborted: {words} (RSMERR_CONN_ABORTED 40)");
            assert_eq!(said, expected);
        }
        if cause == EndCause::LinkDown {
            // The first cause is the one that counts, also when the exporter goes later.
            assert_eq!(three.why_aborted(), Some(EndCause::Withdrawn));
        }
        drop(cluster);
    };
    lost(EndCause::Withdrawn, "node 1 took the segment back", &|_, export| export.unpublish().unwrap());
    lost(EndCause::Withdrawn, "node 1 took the segment back", &|_, export| export.destroy().unwrap());
    lost(EndCause::Revoked, "the segment was revoked from outside", &|steering, export| {
        assert_eq!(steering.revoke_segment(1, ID).unwrap(), 2);
        export.unpublish().unwrap();
    });
    lost(EndCause::LinkDown, "the link from node 2 to node 1 through shm0 was taken down", &|steering, export| {
        assert_eq!(steering.link_down(&Links::one_way(2, 1)).unwrap(), 1);
        export.unpublish().unwrap();
    });
}

#[test]
fn what_was_waited_for_in_vain_is_named() {
    let (cluster, steering, export, two, three) = three();
    let waited = Some(Duration::from_millis(20));
    let of = |result: Result<()>| fails(result, Code::Timeout);
    assert_eq!(
        of(export.wait(waited)),
        "no signal on segment 0x400000 of node 1, which has 2 importers (waited 20ms) (RSMERR_TIMEOUT 42)"
    );
    drop(three);
    assert!(of(export.wait(waited)).contains("which has 1 importer ("));
    assert_eq!(of(two.wait(waited)), "no signal from node 1 on its segment 0x400000 (waited 20ms) (RSMERR_TIMEOUT 42)");
    drop(two);
    assert!(of(export.wait(waited)).contains("which nobody imports"));
    export.unpublish().unwrap();
    assert!(of(export.wait(waited)).contains("a segment of node 1 that is not published, which nobody imports"));
    // A look at a moment's notice says no more than the code: loops that poll pay nothing for words.
    assert_eq!(of(export.wait(Some(Duration::ZERO))), "timed out (RSMERR_TIMEOUT 42)");
    // What keeps a connect waiting is what keeps it at the end, not at the beginning.
    let within = |id| shm0(&cluster, 2).connect_within(3, id, Permission::Read, Duration::from_millis(300)).map(drop);
    let joined = OnceLock::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let export = published(&shm0(&cluster, 3), SegmentId::new(0x40_0001));
            joined.get_or_init(Instant::now);
            export
        });
        loop {
            let ends = Instant::now() + Duration::from_millis(300);
            let said = of(within(ID));
            match joined.get() {
                Some(&at) if at < ends => {
                    assert!(said.contains("node 3 publishes no segment 0x400000 (waited 300ms)"), "{said}");
                    break;
                }
                _ => assert!(
                    said.contains("node 3 ") && said.contains(", so it") || said.contains(" no segment"),
                    "{said}"
                ),
            }
        }
    });
    steering.link_down(&Links::one_way(2, 3)).unwrap();
    let said = of(within(ID));
    assert!(said.contains("the link from node 2 to node 3 through shm0 is down (waited 300ms)"), "{said}");
}

#[test]
fn a_span_that_failed_names_the_link() {
    let (_cluster, steering, _export, two, _three) = three();
    let span = two.open_barrier().unwrap();
    steering.link_error(&Links::between(1, 2)).unwrap();
    let said = fails(span.close(), Code::BarrierFailure);
    let expected = "transfers to segment 0x400000 of node 1 may be lost: the link from node 2 to node 1 through shm0";
    assert!(said.starts_with(expected), "{said}");
}
