//! Clusters of real processes that are disturbed: what each of them is told, and what is not disturbed.

use super::death::hosted;
use rsm::steer::Links;
use rsm::{Code, SegmentId};
use rsm_stories::{NodeProcess, cluster, patience, refused_as, state_of, story, wait_for};
use rustix::process::Signal;
use std::time::Instant;

const ID: SegmentId = SegmentId::new(0x40_0000);

fn exporter(cluster: &rsm::Cluster, node: u32) -> NodeProcess {
    let mut exporter = NodeProcess::start(cluster, node);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    exporter
}

fn importer(cluster: &rsm::Cluster, node: u32) -> NodeProcess {
    let mut importer = NodeProcess::start(cluster, node);
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    importer
}

story!(a_put_loop_is_told_of_an_error_and_of_the_end);
fn a_put_loop_is_told_of_an_error_and_of_the_end() {
    let cluster = cluster(2);
    let steering = cluster.steering().expect("to steer");
    let mut exporter = exporter(&cluster, 1);
    let mut importer = importer(&cluster, 2);
    importer.ok("go loop putloop i");
    // A transfer must be under way at the very moment: once in a while one is.
    let deadline = Instant::now() + patience();
    while importer.ok("running loop") == "true" {
        assert!(Instant::now() < deadline, "no put was hit");
        for _ in 0..100 {
            steering.link_error(&Links::between(1, 2)).expect("a link");
        }
    }
    assert!(refused_as(&importer.ok("join loop"), Code::BarrierFailure));
    importer.ok("put i 0 5");
    assert_eq!(exporter.ok("read e 0"), "5");
    importer.ok("go loop putloop i");
    assert_eq!(steering.link_down(&Links::between(1, 2)), Ok(1));
    assert!(refused_as(&importer.ok("join loop"), Code::ConnAborted));
    importer.fails("connect j 1 0x400000 rw", Code::RemoteNodeUnreachable);
    importer.ok("go wait connect j 1 0x400000 rw 30000");
    importer.until("asleep wait", "ok true");
    steering.link_up(&Links::between(1, 2)).expect("a link");
    assert_eq!(importer.ok("join wait"), "ok");
    importer.ok("go loop putloop j");
    assert_eq!(steering.revoke_segment(1, ID), Ok(1));
    assert!(refused_as(&importer.ok("join loop"), Code::ConnAborted));
    importer.fails("connect k 1 0x400000 rw", Code::SegNotPublished);
    exporter.ok("unpublish e");
}

story!(a_stopped_importer_on_a_down_link_costs_the_others_nothing);
fn a_stopped_importer_on_a_down_link_costs_the_others_nothing() {
    let cluster = cluster(4);
    let steering = cluster.steering().expect("to steer");
    let mut exporter = exporter(&cluster, 1);
    let mut stopped = importer(&cluster, 2);
    let mut cut = importer(&cluster, 3);
    let mut spared = importer(&cluster, 4);
    stopped.stop();
    spared.ok("go w waitimport i forever");
    spared.until("asleep w", "ok true");
    spared.ok("go loop putloop i");
    for node in [2, 3] {
        assert_eq!(steering.link_down(&Links::between(1, node)), Ok(1));
    }
    cut.fails("put i 0 1", Code::ConnAborted);
    for _ in 0..100 {
        cut.fails("span i 0 1", Code::ConnAborted);
    }
    assert_eq!(spared.ok("running loop"), "true");
    assert_eq!(spared.ok("asleep w"), "true");
    exporter.ok("postall e");
    assert_eq!(spared.ok("join w"), "ok");
    // The stopped one still reaches the memory; when the exporter takes the segment back, it is moved away.
    exporter.ok("write e 8 1");
    exporter.ok("unpublish e");
    assert!(refused_as(&spared.ok("join loop"), Code::ConnAborted));
    exporter.ok("write e 8 2");
    stopped.signal(Signal::CONT);
    stopped.ok("store i 8 3");
    assert_eq!(exporter.ok("read e 8"), "2");
    stopped.fails("put i 8 4", Code::ConnAborted);
    stopped.ok("unmap i");
    stopped.ok("disconnect i");
}

story!(a_revoked_segment_leaves_a_stopped_importer_behind);
fn a_revoked_segment_leaves_a_stopped_importer_behind() {
    let cluster = cluster(3);
    let steering = cluster.steering().expect("to steer");
    let mut exporter = exporter(&cluster, 1);
    let mut stopped = importer(&cluster, 2);
    let mut running = importer(&cluster, 3);
    exporter.ok("write e 0 1");
    stopped.stop();
    assert_eq!(steering.revoke_segment(1, ID), Ok(2));
    running.fails("put i 0 9", Code::ConnAborted);
    // Published anew it is the running ones' alone: the memory has moved away from the stopped one.
    exporter.ok("publish e 0x400000");
    running.ok("connect j 1 0x400000 rw");
    running.ok("put j 0 2");
    stopped.signal(Signal::CONT);
    stopped.ok("store i 0 3");
    stopped.fails("put i 0 3", Code::ConnAborted);
    assert_eq!(exporter.ok("read e 0"), "2");
    stopped.ok("connect j 1 0x400000 rw");
    stopped.ok("put j 0 4");
    assert_eq!(exporter.ok("read e 0"), "4");
    exporter.ok("unpublish e");
    exporter.ok("destroy e");
}

story!(equal_ranges_are_not_taken_back_from_who_did_not_hear);
/// Where importers of an equal range reach the memory rightly, only their word tells that the others do not: somebody who
/// was cut off from outside has not given it.
fn equal_ranges_are_not_taken_back_from_who_did_not_hear() {
    for revoke in [true, false] {
        let cluster = cluster(3);
        let steering = cluster.steering().expect("to steer");
        let mut exporter = NodeProcess::start(&cluster, 1);
        exporter.ok("adopt e 4096");
        exporter.ok("adoptagain f e");
        exporter.ok("publish e 0x400000");
        exporter.ok("publish f 0x400001");
        let mut stopped = importer(&cluster, 2);
        let mut other = NodeProcess::start(&cluster, 3);
        other.ok("connect j 1 0x400001 rw");
        stopped.stop();
        let cut = if revoke { steering.revoke_segment(1, ID) } else { steering.link_down(&Links::between(1, 2)) };
        assert_eq!(cut, Ok(1));
        // However often it is asked.
        exporter.fails("unpublish e", Code::InsufficientResources);
        exporter.fails("unpublish e", Code::InsufficientResources);
        stopped.signal(Signal::CONT);
        stopped.fails("put i 0 3", Code::ConnAborted);
        exporter.ok("unpublish e");
        other.ok("put j 0 4");
        assert_eq!(exporter.ok("read e 0"), "4");
    }
}

story!(a_node_is_stopped_goes_on_and_is_killed);
fn a_node_is_stopped_goes_on_and_is_killed() {
    let cluster = cluster(2);
    let steering = cluster.steering().expect("to steer");
    let mut first = exporter(&cluster, 1);
    let mut second = NodeProcess::start(&cluster, 1);
    let mut importer = importer(&cluster, 2);
    second.ok("export f 4096"); // joins
    assert_eq!(steering.node_stop(1), Ok(2));
    for pid in [first.pid(), second.pid()] {
        wait_for("a process to stop", || state_of(pid) == Some('T'));
    }
    // Its memory is there all the same.
    importer.ok("connect j 1 0x400000 rw");
    importer.ok("put j 0 7");
    assert_eq!(steering.node_cont(1), Ok(2));
    assert_eq!(first.ok("read e 0"), "7");
    importer.ok("go w waitimport i forever");
    importer.until("asleep w", "ok true");
    assert_eq!(steering.node_stop(1), Ok(2));
    assert_eq!(steering.node_kill(1), Ok(2), "stopped processes die too");
    let told = importer.ok("join w");
    assert!(
        refused_as(&told, Code::ConnAborted) && told.contains("0x400000 of node 1 was aborted: node 1 was killed"),
        "{told}"
    );
    assert_eq!([importer.ok("why i"), importer.ok("why j")], ["NodeKilled", "NodeKilled"]);
    first.reap();
    second.reap();
    wait_for("the node to be gone", || {
        steering.node_kill(1).is_err_and(|error| error.code() == Code::RemoteNodeUnreachable)
    });
    importer.fails("connect k 1 0x400000 rw", Code::SegNotPublished);
    importer.end();
}

story!(a_kill_that_is_refused_has_killed_nobody);
fn a_kill_that_is_refused_has_killed_nobody() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to be two users");
        return;
    }
    let (mut host, mut nodes) = hosted(2);
    let (two, one) = (nodes.remove(1), nodes.remove(0));
    let name = one[0].1.clone();
    let (mut exporter, mut importer) = (NodeProcess::with(one), NodeProcess::with(two));
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    let steering = rsm::steer::Steering::attach(Some(&name)).expect("to steer");
    assert_eq!(host.ok("become 65534"), "0");
    let refused = steering.node_kill(1).unwrap_err();
    assert_eq!(refused.code(), Code::PermDenied, "{refused}");
    importer.ok("put i 0 1");
    // Somebody else does.
    exporter.kill();
    importer.until_fails("put i 0 1", Code::ConnAborted);
    assert_eq!(importer.ok("why i"), "ExporterEnded");
}

story!(a_process_joins_with_the_key_it_was_handed);
fn a_process_joins_with_the_key_it_was_handed() {
    let cluster = cluster(2);
    let steering = cluster.steering().expect("to steer");
    let mut exporter = NodeProcess::with(steering.environment(1).expect("a node"));
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    let mut importer = importer(&cluster, 2);
    importer.ok("put i 0 1");
    assert_eq!(exporter.ok("read e 0"), "1");
}

story!(forked_children_of_importers_are_cut_off_too);
fn forked_children_of_importers_are_cut_off_too() {
    let cluster = cluster(2);
    let steering = cluster.steering().expect("to steer");
    let mut exporter = exporter(&cluster, 1);
    let mut importer = importer(&cluster, 2);
    let child = importer.ok("forkstore i 0").parse().expect("a process id");
    wait_for("the child to store", || exporter.ok("read e 0") != "0");
    assert_eq!(steering.link_down(&Links::between(1, 2)), Ok(1));
    importer.fails("put i 8 1", Code::ConnAborted);
    // The child never calls the library and cannot be asked to let go: the memory moves away from it.
    exporter.ok("unpublish e");
    let value = exporter.ok("read e 0");
    for _ in 0..200 {
        assert_eq!(exporter.ok("read e 0"), value);
    }
    rsm_stories::kill_grandchild(child);
}
