//! Every call where stores are late and out of order, and where there are more nodes than processors.

use crate::running::Running;
use rsm::Cluster;
use rsm::lens::{Faults, Lens, Model};
use rsm_stories::story;

fn play(cluster: &Cluster, rounds: &str) {
    let all: Vec<Running> =
        (1..=cluster.node_count()).map(|node| Running::start(cluster, node, &["everything", rounds])).collect();
    all.into_iter().for_each(|running| drop(running.ends_well()));
}

story!(every_call_under_every_model);
fn every_call_under_every_model() {
    for (_, model) in Model::ALL {
        for seed in [7, 8] {
            let cluster = Cluster::builder(3).lens(Lens::chaos(seed).model(model)).start().expect("a cluster");
            play(&cluster, "1");
        }
    }
}

story!(spans_that_nobody_vouches_for_are_put_again);
fn spans_that_nobody_vouches_for_are_put_again() {
    let faults = Faults::parse("error").expect("a fault");
    let cluster = Cluster::builder(2).lens(Lens::clear(3).faults(faults)).start().expect("a cluster");
    let all: Vec<Running> = (1..=2).map(|node| Running::start(&cluster, node, &["reduce", "500"])).collect();
    all.into_iter().for_each(|running| drop(running.ends_well()));
    // Or nothing was shown.
    let injected: u64 = cluster.faults().iter().map(|(_, _, injected)| injected.count).sum();
    assert!(injected > 0);
}

story!(more_nodes_than_processors);
fn more_nodes_than_processors() {
    let cluster = rsm_stories::cluster(8);
    play(&cluster, "10");
}
