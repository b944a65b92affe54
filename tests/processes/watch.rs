//! Observers that watch what processes do.

use super::leaks::tally_mappings;
use rsm::observe::{Activity, Observer};
use rsm::{Cluster, Code};
use rsm_stories::{NodeProcess, cluster, story, wait_for};

/// What the process `pid` does; `None` when no such process is a member.
fn activity(observer: &Observer, pid: i32) -> Option<Activity> {
    let all = observer.activity().expect("the cluster runs");
    all.into_iter().find(|p| i64::from(p.pid) == i64::from(pid)).map(|p| p.activity)
}

/// Two node processes, the second connected to the first one's segment, and an observer that watches.
fn watched() -> (Cluster, NodeProcess, NodeProcess, Observer) {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    assert_eq!(importer.ok("tallied"), "off");
    importer.ok("put i 0 1");
    let observer = Observer::attach(Some(cluster.name())).expect("our cluster");
    assert_eq!(importer.ok("tallied"), "off", "looking is not watching");
    observer.activity().expect("the cluster runs");
    importer.until("tallied", "ok on");
    exporter.until("tallied", "ok on");
    (cluster, exporter, importer, observer)
}

story!(a_process_tallies_while_somebody_watches);
fn a_process_tallies_while_somebody_watches() {
    let (cluster, mut exporter, mut importer, observer) = watched();
    let nothing = Activity::default();
    assert_eq!(activity(&observer, importer.pid()), Some(nothing), "what came before nobody saw");
    for mode in ["implicit", "explicit"] {
        importer.ok(&format!("mode i {mode}"));
        importer.ok("put i 8 5");
        importer.ok("get i 8");
    }
    importer.fails("put i 4096 5", Code::BadOffset);
    importer.ok("transfers i 10");
    importer.ok("post i");
    exporter.ok("waitexport e 0");
    exporter.ok("postall e");
    importer.ok("waitimport i 0");
    // Of `transfers`, each round: 2 x (1 word and 256 bytes) each way, a span of a word, two posts.
    let expected = Activity {
        puts: 2 + 10 * 5,
        gets: 2 + 10 * 4,
        put_bytes: 2 * 8 + 10 * (5 * 8 - 2 * 8 + 2 * 256),
        got_bytes: 2 * 8 + 10 * (2 * 8 + 2 * 256),
        posts: 10 * 2 + 1,
        waits: 1,
    };
    assert_eq!(activity(&observer, importer.pid()), Some(expected));
    assert_eq!(activity(&observer, exporter.pid()), Some(Activity { posts: 1, waits: 1, ..nothing }));

    // A connection that is made meanwhile, and a process that comes meanwhile, are seen as well.
    importer.ok("connect j 1 0x400000 rw");
    importer.ok("put j 0 1");
    assert_eq!(activity(&observer, importer.pid()).map(|a| a.puts), Some(expected.puts + 1));
    let mut late = NodeProcess::start(&cluster, 2);
    late.ok("connect i 1 0x400000 rw");
    late.until("tallied", "ok on");
    late.ok("put i 0 1");
    assert_eq!(activity(&observer, late.pid()).map(|a| a.puts), Some(1));

    // When nobody watches any more it stops, and goes on from there when somebody does again.
    let second = Observer::attach(Some(cluster.name())).expect("our cluster");
    second.activity().expect("the cluster runs");
    drop(observer);
    importer.ok("put i 0 1");
    assert_eq!(activity(&second, importer.pid()).map(|a| a.puts), Some(expected.puts + 2), "one is enough");
    drop(second);
    importer.until("tallied", "ok off");
    importer.ok("put i 0 1");
    importer.ok("post i");
    let third = Observer::attach(Some(cluster.name())).expect("our cluster");
    assert_eq!(activity(&third, importer.pid()).map(|a| (a.puts, a.posts)), Some((expected.puts + 2, expected.posts)));
    assert!(cluster.node(1).expect("a node").membership().watch().is_err(), "a node is no observer");
}

story!(a_forked_child_tallies_for_itself);
fn a_forked_child_tallies_for_itself() {
    let (_cluster, _exporter, mut importer, observer) = watched();
    importer.ok("put i 0 1");
    let before = activity(&observer, importer.pid());
    assert_eq!(importer.ok("forkcall post i"), "ok");
    assert_eq!(importer.ok("forkcall put i 0 2"), "ok");
    assert_eq!(activity(&observer, importer.pid()), before, "what its children do is not its doing");
    importer.ok("put i 0 3");
    assert_eq!(activity(&observer, importer.pid()).map(|a| a.puts), before.map(|a| a.puts + 1));
}

story!(dead_and_stopped_processes_hold_up_nobody_who_watches);
fn dead_and_stopped_processes_hold_up_nobody_who_watches() {
    let (cluster, mut exporter, importer, observer) = watched();
    let mappings = tally_mappings();
    let stopped = NodeProcess::start(&cluster, 2);
    stopped.stop();
    let pid = importer.pid();
    importer.kill();
    wait_for("the agent to notice", || activity(&observer, pid).is_none());
    // Ours is the agent's process: of the dead one's tally nothing is left.
    wait_for("the tally to go", || tally_mappings() < mappings);
    exporter.ok("postall e");
    assert_eq!(activity(&observer, exporter.pid()).map(|a| a.posts), Some(1));
    assert!(activity(&observer, stopped.pid()).is_none_or(|a| a == Activity::default()));
    drop((exporter, stopped, observer, cluster));
    wait_for("every tally to go", || tally_mappings() == 0);
}
