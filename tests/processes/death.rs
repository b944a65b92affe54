//! Processes that die, and what is left: nothing.

use rsm::Code;
use rsm::observe::Observer;
use rsm_stories::{NodeProcess, cluster, environment_of, kill_grandchild, refused_as, story, wait_for};

story!(a_killed_exporter_aborts_its_importers);
fn a_killed_exporter_aborts_its_importers() {
    let cluster = cluster(2);
    for _ in 0..20 {
        let mut exporter = NodeProcess::start(&cluster, 1);
        let mut importer = NodeProcess::start(&cluster, 2);
        exporter.ok("export e 4096");
        exporter.ok("publish e 0x400000");
        importer.ok("connect i 1 0x400000 rw");
        importer.ok("map i");
        importer.ok("go w waitimport i forever");
        importer.until("asleep w", "ok true");
        assert_eq!(importer.ok("why i"), "none");
        exporter.kill();
        let told = importer.ok("join w");
        assert!(
            refused_as(&told, Code::ConnAborted) && told.contains("0x400000 of node 1 was aborted: the process"),
            "{told}"
        );
        assert_eq!(importer.ok("why i"), "ExporterEnded");
        let told = importer.fails("put i 0 1", Code::ConnAborted);
        assert!(told.contains("the process that exported it has ended"), "{told}");
        importer.ok("store i 0 1");
        importer.ok("unmap i");
        importer.ok("disconnect i");
        importer.end();
    }
}

story!(a_killed_importer_does_not_hold_the_exporter_up);
fn a_killed_importer_does_not_hold_the_exporter_up() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    exporter.ok("export e 4096");
    for _ in 0..20 {
        exporter.ok("publish e 0x400000");
        let mut importer = NodeProcess::start(&cluster, 2);
        importer.ok("connect i 1 0x400000 rw");
        importer.ok("map i");
        importer.kill();
        exporter.ok("unpublish e");
    }
    exporter.ok("destroy e");
}

story!(an_exporter_hears_of_the_death_of_its_importers);
fn an_exporter_hears_of_the_death_of_its_importers() {
    let cluster = cluster(3);
    let mut exporter = NodeProcess::start(&cluster, 1);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    exporter.ok("watch e");
    for round in 0..20 {
        let mut two = NodeProcess::start(&cluster, 2);
        let mut three = NodeProcess::start(&cluster, 3);
        two.ok("connect i 1 0x400000 rw");
        three.ok("connect i 1 0x400000 rw");
        let (second, third) = (two.pid(), three.pid());
        exporter.ok("go w waitwhile e forever");
        exporter.until("asleep w", "ok true");
        two.kill();
        assert_eq!(exporter.ok("running w"), "true", "node 3 is there still");
        // Its last words are heard, then its end.
        three.ok("post i");
        assert_eq!(exporter.ok("join w"), "ok");
        three.ok("post i");
        if round % 2 == 0 {
            three.kill();
        } else {
            three.end();
        }
        exporter.ok("waitwhile e forever");
        let told = exporter.fails("waitwhile e forever", Code::SegNotConnected);
        assert!(told.contains("nobody is left who could signal segment 0x400000 of node 1"), "{told}");
        assert_eq!(exporter.ok("event e 20000"), format!("connected 2 {second}"));
        assert_eq!(exporter.ok("event e 20000"), format!("left 2 {second} Some(ImporterEnded)"));
        assert_eq!(exporter.ok("event e 20000"), format!("connected 3 {third}"));
        let left = exporter.ok("event e 20000");
        assert!(left.starts_with(&format!("left 3 {third} Some(")), "{left}");
    }
}

story!(an_id_is_free_when_its_exporter_is_dead);
fn an_id_is_free_when_its_exporter_is_dead() {
    let cluster = cluster(2);
    let mut first = NodeProcess::start(&cluster, 1);
    let mut second = NodeProcess::start(&cluster, 1);
    first.ok("export e 4096");
    first.ok("publish e 0x400000");
    second.ok("export e 4096");
    second.fails("publish e 0x400000", Code::SegidInUse);
    first.kill();
    second.until("publish e 0x400000", "ok");
}

story!(exec_beside_a_living_child_ends_the_membership);
fn exec_beside_a_living_child_ends_the_membership() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    let child = exporter.ok("forkidle").parse().expect("a process id");
    exporter.tell("execsleep");
    importer.until_fails("put i 0 1", Code::ConnAborted);
    assert_eq!(importer.ok("why i"), "ExporterEnded");
    importer.fails("connect j 1 0x400000 rw", Code::SegNotPublished);
    kill_grandchild(child);
    exporter.kill();
}

story!(exit_beside_a_living_child_ends_the_membership);
fn exit_beside_a_living_child_ends_the_membership() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    let child = exporter.ok("forkidle").parse().expect("a process id");
    exporter.tell("exit 0");
    exporter.reap();
    importer.until_fails("put i 0 1", Code::ConnAborted);
    kill_grandchild(child);
}

story!(a_daemon_loses_its_exports_and_joins_anew);
fn a_daemon_loses_its_exports_and_joins_anew() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    let answer = exporter.ok("daemonize");
    let (rc, daemon) = answer.split_once(' ').expect("two words");
    let daemon = daemon.parse().expect("a process id");
    assert_eq!(rc, "0");
    // The creator is gone; its segment with it.
    importer.until_fails("put i 0 1", Code::ConnAborted);
    exporter.fails("publish e 0x400001", Code::NotCreator);
    // The daemon is another process of node 1 and goes on as one.
    exporter.ok("export f 4096");
    exporter.ok("publish f 0x400000");
    importer.ok("connect j 1 0x400000 rw");
    importer.ok("put j 0 4");
    assert_eq!(exporter.ok("read f 0"), "4");
    kill_grandchild(daemon);
    exporter.reap();
}

/// A cluster hosted by a process of its own, and how to join it.
pub(crate) fn hosted(nodes: u32) -> (NodeProcess, Vec<Vec<(&'static str, String)>>) {
    let mut host = NodeProcess::with(Vec::new());
    let words = host.ok(&format!("host {nodes}"));
    (host, words.split(' ').map(environment_of).collect())
}

story!(the_death_of_the_agent_is_told);
fn the_death_of_the_agent_is_told() {
    let (host, environments) = hosted(2);
    let mut exporter = NodeProcess::with(environments[0].clone());
    let mut importer = NodeProcess::with(environments[1].clone());
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    importer.ok("go w waitimport i forever");
    importer.ok("go c connect l 1 0x400009 rw 60000");
    exporter.ok("go w waitexport e forever");
    importer.until("asleep w", "ok true");
    importer.until("asleep c", "ok true");
    exporter.until("asleep w", "ok true");
    host.kill();
    // Sleepers are told; mapped memory goes on; what needs the agent says that the cluster has ended.
    assert!(refused_as(&importer.ok("join w"), Code::CtlrNotPresent));
    assert!(refused_as(&importer.ok("join c"), Code::CtlrNotPresent));
    assert!(refused_as(&exporter.ok("join w"), Code::CtlrNotPresent));
    importer.ok("put i 0 6");
    importer.ok("store i 8 7");
    assert_eq!(exporter.ok("read e 0"), "6");
    assert_eq!(exporter.ok("read e 8"), "7");
    importer.ok("post i");
    exporter.ok("waitexport e 1000");
    let text = importer.fails("export x 4096", Code::CtlrNotPresent);
    assert!(text.contains("has ended"), "{text}");
    exporter.fails("unpublish e", Code::CtlrNotPresent);
    importer.end();
    exporter.end();
}

story!(a_private_cluster_through_fork_exec_and_exit);
fn a_private_cluster_through_fork_exec_and_exit() {
    // Of this process: others come and go on the machine.
    let runs = |pid: i32| {
        let begin = format!("private-{pid}-");
        rsm::observe::clusters().expect("a list").iter().any(|cluster| cluster.name.starts_with(&begin))
    };
    let mut alone = NodeProcess::with(Vec::new());
    alone.ok("export e 4096");
    alone.ok("publish e 0x400000");
    alone.ok("connect i 1 0x400000 rw");
    alone.ok("put i 0 1");
    assert_eq!(alone.ok("forkcall put i 0 2"), "ok");
    assert_eq!(alone.ok("read e 0"), "2");
    assert!(refused_as(&alone.ok("forkcall unpublish e"), Code::NotCreator));
    assert_eq!(alone.ok("forkcall export x 4096"), "ok", "the child joins its parent's cluster (D-88)");
    alone.ok("unpublish e");
    assert!(runs(alone.pid()));
    // An exec ends it, even beside a child.
    let child = alone.ok("forkidle").parse().expect("a process id");
    alone.tell("execsleep");
    wait_for("the private cluster to end", || !runs(alone.pid()));
    kill_grandchild(child);
    alone.kill();
    // A daemon outlives its cluster and is told.
    let mut daemon = NodeProcess::with(Vec::new());
    let parent = daemon.pid();
    daemon.ok("export e 4096");
    assert!(runs(parent));
    let answer = daemon.ok("daemonize");
    daemon.fails("export f 4096", Code::CtlrNotPresent);
    daemon.ok("write e 0 3");
    kill_grandchild(answer.split_once(' ').expect("two words").1.parse().expect("a process id"));
    daemon.reap();
    wait_for("the private cluster to end", || !runs(parent));
}

story!(two_processes_of_one_node_are_told_apart);
fn two_processes_of_one_node_are_told_apart() {
    let cluster = cluster(2);
    let mut first = NodeProcess::start(&cluster, 1);
    let mut second = NodeProcess::start(&cluster, 1);
    first.ok("export e 4096");
    second.ok("export f 4096");
    first.ok("publish e 0x400000");
    second.ok("connect i 1 0x400000 rw");
    second.ok("put i 0 9");
    assert_eq!(first.ok("read e 0"), "9");
    let observer = Observer::attach(Some(cluster.name())).expect("our cluster");
    assert_eq!(observer.nodes()[0].processes, 2);
    second.kill();
    wait_for("the process to be gone", || observer.nodes()[0].processes == 1);
    assert_eq!(observer.segments().len(), 1);
    assert_eq!(observer.connections().len(), 0);
    first.ok("unpublish e");
}

story!(a_cluster_ends_beside_a_forked_child);
fn a_cluster_ends_beside_a_forked_child() {
    let mut node = NodeProcess::with(Vec::new());
    node.ok("cluster c 2");
    let child = node.ok("forkidle").parse().expect("a process id");
    node.ok("endcluster c");
    kill_grandchild(child);
}

story!(a_stopped_agent_holds_up_only_who_asks_it);
fn a_stopped_agent_holds_up_only_who_asks_it() {
    let (host, environments) = hosted(2);
    let mut exporter = NodeProcess::with(environments[0].clone());
    let mut importer = NodeProcess::with(environments[1].clone());
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    importer.ok("handler");
    host.stop();
    // Data, signals and time-outs need no agent.
    importer.ok("put i 0 6");
    importer.ok("span i 8 7");
    importer.ok("store i 16 8");
    assert_eq!(exporter.ok("read e 16"), "8");
    importer.ok("post i");
    exporter.ok("waitexport e 10000");
    exporter.fails("waitexport e 20", Code::Timeout);
    // What asks for something can be given up by a signal handler.
    importer.ok("go c connect k 1 0x400000 rw");
    wait_for("the request to be interrupted", || {
        importer.ok("poke c");
        importer.ok("running c") == "false"
    });
    assert!(refused_as(&importer.ok("join c"), Code::Interrupted));
    // What gives something back waits for the agent, and is done when it goes on.
    exporter.ok("go u unpublish e");
    exporter.until("asleep u", "ok true");
    host.signal(rustix::process::Signal::CONT);
    assert_eq!(exporter.ok("join u"), "ok");
    importer.fails("put i 0 7", Code::ConnAborted);
    // If it dies instead, who waits is told.
    exporter.ok("publish e 0x400000");
    host.stop();
    exporter.ok("go u unpublish e");
    exporter.until("asleep u", "ok true");
    host.kill();
    assert!(refused_as(&exporter.ok("join u"), Code::CtlrNotPresent));
    exporter.fails("publish e 0x400000", Code::CtlrNotPresent);
    importer.end();
    exporter.end();
}

story!(a_stopped_agent_holds_up_no_forked_child);
fn a_stopped_agent_holds_up_no_forked_child() {
    let (host, environments) = hosted(2);
    let mut exporter = NodeProcess::with(environments[0].clone());
    let mut importer = NodeProcess::with(environments[1].clone());
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    host.stop();
    // What a child inherited is valid whether or not the agent knows it.
    for (at, step) in ["put i 0 1", "span i 0 2", "get i 0", "post i"].into_iter().enumerate() {
        let told = importer.ok(&format!("forkcall {step}"));
        assert!(told.starts_with("ok"), "{at} {step}: {told}");
    }
    assert!(refused_as(&importer.ok("forkcall waitimport i 50"), Code::Timeout), "a time-out is a time-out");
    exporter.ok("postall e");
    assert_eq!(importer.ok("forkcall waitimport i 10000"), "ok");
    // One that has gone on without is one of the node when the agent goes on, and is told.
    let child: u32 = importer.ok("forkstay i").parse().expect("a process id");
    host.signal(rustix::process::Signal::CONT);
    let cluster: rsm_shm::address::Address = environments[0][0].1.parse().expect("its address");
    let observer = Observer::attach(Some(&cluster.to_string())).expect("the cluster runs");
    let is_member = || observer.processes().expect("the agent runs").iter().any(|p| p.pid == child);
    wait_for("the child to be one of the node", || is_member() && observer.segments().len() == 2);
    let held = || observer.connections().len();
    importer.ok("disconnect i");
    assert_eq!(held(), 1, "the child's share");
    exporter.ok("unpublish e");
    wait_for("the child to be told, and to end", || !is_member());
    wait_for("its share to go", || held() == 0);
    assert_eq!(importer.ok("forkexit"), "0", "told that the connection was cut");
}

story!(a_join_under_way_holds_up_no_fork);
fn a_join_under_way_holds_up_no_fork() {
    let (host, environments) = hosted(2);
    let mut node = NodeProcess::with(environments[0].clone());
    host.stop();
    node.ok("go j export e 4096");
    node.until("asleep j", "ok true");
    // It would be over when the join is, which then has waited in vain.
    assert!(node.ok("forkcall pid").starts_with("ok "));
    host.signal(rustix::process::Signal::CONT);
    assert_eq!(node.ok("join j"), "ok");
    // Threads that come while another joins wait for it, and a child begins anew.
    node.ok("write e 0 1");
    let mut other = NodeProcess::with(environments[1].clone());
    host.stop();
    for thread in ["a", "b", "c"] {
        other.ok(&format!("go {thread} export {thread} 4096"));
        other.until(&format!("asleep {thread}"), "ok true");
    }
    other.ok("forkexport");
    host.signal(rustix::process::Signal::CONT);
    for thread in ["a", "b", "c"] {
        assert_eq!(other.ok(&format!("join {thread}")), "ok");
    }
    assert_eq!(other.ok("forkexit"), "0", "the child exported");
}
