//! A node is killed: the others are told which.

use crate::running::Running;
use rsm_stories::{cluster, story};

const NODES: u32 = 3;

/// Has the last node killed, or leave without a word, while the others wait for it in some way.
fn told(how: &str, sentence: &str) {
    let cluster = cluster(NODES);
    let mut all: Vec<Running> = (1..=NODES).map(|node| Running::start(&cluster, node, &["sit", how])).collect();
    all.iter().for_each(|running| running.hears("sits"));
    all.pop().expect("the last").kill();
    for running in all {
        let ended = running.end();
        assert!(!ended.status.success(), "{how}: {ended:?}");
        let last = ended.said.last().map(String::as_str).unwrap_or_default();
        // One may hear of another that has ended by what it heard.
        let ended_too = last.contains("has ended too early");
        assert!(last.contains(sentence) || ended_too, "{how}: {ended:?}");
        assert!(last.contains("node 3") || ended_too, "{how}: {ended:?}");
    }
}

story!(every_wait_ends_with_the_name_of_who_died);
fn every_wait_ends_with_the_name_of_who_died() {
    for how in ["barrier", "word", "mail", "reduce", "full", "keeper"] {
        told(how, "node 3 has ended too early: the exporting process has ended");
    }
}

story!(who_goes_without_leaving_is_told);
fn who_goes_without_leaving_is_told() {
    let cluster = cluster(2);
    let [first, second] = [1, 2].map(|node| Running::start(&cluster, node, &["sit", "leave"]));
    // The team of node 1 is dropped, and its process ends.
    first.ends_well();
    let ended = second.end();
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.said.last().expect("a sentence").contains("node 1 has ended too early"), "{ended:?}");
}

story!(a_lock_survives_its_holder);
fn a_lock_survives_its_holder() {
    const NODES: u32 = 4;
    let cluster = cluster(NODES);
    let mut all: Vec<Running> = (1..=NODES).map(|node| Running::start(&cluster, node, &["hold"])).collect();
    all[3].hears("holds");
    all[..3].iter().for_each(|running| running.hears("waits"));
    all.pop().expect("the last").kill();
    // One is told, as the next holder; those after it find all in order.
    let mut said: Vec<Vec<String>> = all.into_iter().map(Running::ends_well).collect();
    said.sort_unstable();
    assert_eq!(said, [["None"], ["None"], ["Some(3)"]]);
}
