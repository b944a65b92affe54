//! Segments of the cluster: whoever made them, they stay.

use rsm::lens::{Faults, Lens, Model};
use rsm::observe::Observer;
use rsm::steer::Links;
use rsm::{AccessList, CLUSTER_NODE, Cluster, Code, Permission, SegmentId};
use rsm_stories::{NodeProcess, cluster, story};
use rustix::param::page_size;

const ID: &str = "0x400000";

story!(memory_of_the_cluster_outlives_whoever_made_it);
fn memory_of_the_cluster_outlives_whoever_made_it() {
    let cluster = cluster(3);
    let mut early = NodeProcess::start(&cluster, 3);
    early.fails(&format!("connect i 0 {ID} rw"), Code::SegNotPublished);
    early.ok(&format!("go c connect i 0 {ID} rw 30000"));
    early.until("asleep c", "ok true");
    let mut maker = NodeProcess::start(&cluster, 1);
    maker.ok(&format!("common i {ID} 65536 rw"));
    assert_eq!(early.ok("join c"), "ok");
    maker.ok("put i 8 5");
    maker.kill();
    assert_eq!(early.ok("get i 8"), "5");
    early.ok("put i 8 6");
    drop(early);
    // With nobody there it is there.
    let mut late = NodeProcess::start(&cluster, 2);
    late.ok(&format!("common i {ID} 65536 r"));
    assert_eq!(late.ok("get i 8"), "6");
    late.fails("put i 8 7", Code::PermDenied);
    late.fails(&format!("common j {ID} 131072 rw"), Code::BadLength);
    // Mapped, in a span, and in a child.
    late.ok(&format!("connect j 0 {ID} rw"));
    late.ok("map j");
    late.ok("mapspan j 16 8");
    late.ok("span j 24 9");
    assert_eq!(late.ok("forkcall get j 16"), "ok 8");
    assert_eq!(late.ok("get i 24"), "9");
}

story!(nobody_can_take_memory_of_the_cluster_away);
fn nobody_can_take_memory_of_the_cluster_away() {
    let cluster = cluster(2);
    let steering = cluster.steering().expect("to steer");
    let mut user = NodeProcess::start(&cluster, 1);
    // A page, as stories have it.
    user.ok(&format!("common i {ID} 4096 rw"));
    // A node's own segment of that id is another one.
    user.ok("export e 4096");
    user.ok(&format!("publish e {ID}"));
    user.ok(&format!("connect own 1 {ID} rw"));
    user.ok("put i 0 1");
    user.ok("put own 0 2");
    assert_eq!((user.ok("get i 0"), user.ok("read e 0")), ("1".to_owned(), "2".to_owned()));
    let told = steering.revoke_segment(CLUSTER_NODE, SegmentId::new(0x40_0000)).unwrap_err();
    assert_eq!(told.code(), Code::RemoteNodeUnreachable);
    // Of two nodes each link that there is.
    for links in [Links::between(1, 2), Links::between(1, 1)] {
        steering.link_down(&links).expect("a link");
    }
    user.fails("put own 0 3", Code::ConnAborted);
    user.ok("put i 0 4");
    assert_eq!(user.ok("get i 0"), "4");
    user.fails("post i", Code::ConnAborted);
    user.fails("waitimport i forever", Code::ConnAborted);
    // Observers see it, as a segment of node 0.
    let observer = Observer::attach(Some(cluster.name())).expect("our cluster");
    let common = |node| observer.segments().into_iter().filter(move |segment| segment.node == node);
    let row = common(CLUSTER_NODE).next().expect("it is there");
    assert_eq!((row.id, row.length, row.importers, row.published), (Some(0x40_0000), page_size() as u64, 1, true));
    assert_eq!(common(1).count(), 1);
    assert!(observer.nodes().iter().all(|node| node.node != CLUSTER_NODE));
    let held = observer.connections().into_iter().filter(|held| held.exporter == CLUSTER_NODE).count();
    assert_eq!(held, 1);
    assert_eq!(observer.cluster().segments, 2);
    user.ok("disconnect i");
    assert_eq!(common(CLUSTER_NODE).next().map(|segment| segment.importers), Some(0));
}

story!(what_may_be_asked_of_memory_of_the_cluster);
fn what_may_be_asked_of_memory_of_the_cluster() {
    let cluster = Cluster::new(2).expect("a cluster");
    let shm = |node| cluster.node(node).unwrap().controller("shm0").unwrap();
    let (first, second, everyone) = (shm(1), shm(2), AccessList::everyone());
    let ask = |id, length, access: &AccessList| first.common(SegmentId::new(id), length, Permission::ReadWrite, access);
    let told = |id, length, access: &AccessList, code| assert_eq!(ask(id, length, access).unwrap_err().code(), code);
    let page = page_size();
    told(0, page, &everyone, Code::ReservedSegid);
    told(7, page, &everyone, Code::ReservedSegid);
    told(0x8000_0000, page, &everyone, Code::ReservedSegid);
    told(0x40_0000, 0, &everyone, Code::BadLength);
    told(0x40_0000, page + 1, &everyone, Code::BadMemAlignment);
    told(0x40_0000, page, &AccessList::new().node(99, 0o666), Code::BadAcl);
    let loopback = cluster.node(1).unwrap().controller("loopback").unwrap();
    let id = SegmentId::new(0x40_0000);
    let refused = loopback.common(id, page, Permission::ReadWrite, &everyone).unwrap_err();
    assert_eq!(refused.code(), Code::CtlrNotPresent);
    // The list of who makes it is the one that counts, also for who made it.
    let list = AccessList::new().node(2, 0o444);
    told(0x40_0000, page, &list, Code::SegNotPublishedToNode);
    let of_second = |permission| second.common(id, page, permission, &everyone).map(drop).map_err(|e| e.code());
    assert_eq!(of_second(Permission::Read), Ok(()));
    // Root may what it likes.
    if !rustix::process::geteuid().is_root() {
        assert_eq!(of_second(Permission::ReadWrite), Err(Code::PermDenied));
    }
    // They stay, so there are no more than so many.
    let mut made = 1;
    let full = loop {
        match ask(0x40_0000 + made, page, &everyone) {
            Ok(import) => drop(import),
            Err(error) => break error,
        }
        made += 1;
        assert!(made < 10_000);
    };
    assert_eq!((full.code(), made), (Code::InsufficientResources, 256));
    // What there is can be had.
    ask(0x40_0000 + 255, page, &everyone).expect("it is there");
    first.export(page).expect("what nodes export is none of it");
}

story!(memory_of_the_cluster_through_a_lens);
fn memory_of_the_cluster_through_a_lens() {
    for (_, model) in Model::ALL {
        let faults = Faults::parse("all").expect("faults");
        let cluster = Cluster::builder(2).lens(Lens::chaos(5).model(model).faults(faults)).start().expect("a cluster");
        let shm = |node| cluster.node(node).unwrap().controller("shm0").unwrap();
        let common = |node| {
            // Refused now and then.
            let make =
                || shm(node).common(SegmentId::new(0x40_0000), 65536, Permission::ReadWrite, &AccessList::everyone());
            std::iter::repeat_with(make).take(1000).find_map(Result::ok).expect("not refused each time")
        };
        let (one, other) = (common(1), common(2));
        for round in 1..200u64 {
            // Lost now and then, and never cut.
            let put = || {
                let span = one.open_barrier()?;
                one.put_u64(round % 100 * 8, round)?;
                span.close()
            };
            while let Err(error) = put() {
                assert_eq!(error.code(), Code::BarrierFailure, "{model:?} {round}");
            }
            assert_eq!(other.get_u64(round % 100 * 8), Ok(round), "{model:?} {round}");
        }
        assert!(!one.is_aborted() && !other.is_aborted());
    }
}
