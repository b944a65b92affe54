//! Programs that follow each other on the same nodes.

use crate::running::Running;
use rsm_stories::{cluster, story};

story!(programs_follow_each_other_at_once);
fn programs_follow_each_other_at_once() {
    const NODES: u32 = 3;
    const PROGRAMS: u32 = 15;
    let cluster = cluster(NODES);
    // Each node starts its next program when its own has ended, whatever the others are doing.
    std::thread::scope(|scope| {
        for node in 1..=NODES {
            let cluster = &cluster;
            scope.spawn(move || {
                for _ in 0..PROGRAMS {
                    Running::start(cluster, node, &["once"]).ends_well();
                }
            });
        }
    });
}

story!(who_is_about_to_end_is_not_taken_for_one_who_joins);
fn who_is_about_to_end_is_not_taken_for_one_who_joins() {
    let cluster = cluster(2);
    let [first, second] = [1, 2].map(|node| Running::start(&cluster, node, &["sit", "word"]));
    second.hears("sits");
    first.hears("sits");
    // The new program of node 1 begins while that of node 2 has yet to notice.
    first.kill();
    let first = Running::start(&cluster, 1, &["once"]);
    let ended = second.end();
    assert!(!ended.status.success() && ended.said[0].contains("node 1 has ended too early"), "{ended:?}");
    let second = Running::start(&cluster, 2, &["once"]);
    first.ends_well();
    second.ends_well();
}

story!(all_nodes_there_can_be);
fn all_nodes_there_can_be() {
    let cluster = cluster(63);
    for _ in 0..2 {
        let all: Vec<Running> = (1..=63).map(|node| Running::start(&cluster, node, &["once"])).collect();
        all.into_iter().for_each(|running| drop(running.ends_well()));
    }
}
