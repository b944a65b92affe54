//! `halo` and `failover`, of the guides.

use crate::nodes::{Ended, Running, run, run_well};
use rsm::steer::Links;
use std::io::{BufRead, BufReader, pipe};

#[test]
fn halo_computes_what_one_node_alone_does() {
    for nodes in [1, 2, 3, 6] {
        for (node, ended) in (1..).zip(run_well(nodes, "halo", &[])) {
            let said = String::from_utf8_lossy(&ended.stdout).into_owned();
            assert!(said.starts_with(&format!("node {node}: 32 cells after 50 steps, sum ")), "{said}");
        }
    }
}

fn text(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

/// Runs `failover` on four nodes, and disturbs it when all of them are there; what became of them.
fn disturbed(updates: u32, disturb: impl FnOnce(&mut Running)) -> (String, Vec<Ended>) {
    let (reader, writer) = pipe().expect("a pipe");
    let updates = updates.to_string();
    let mut running = Running::start(4, "failover", &[updates.as_ref()], Some(writer.into()));
    let mut lines = BufReader::new(reader);
    let mut first = String::new();
    lines.read_line(&mut first).expect("what node 1 says");
    if first != "node 1: serves\n" {
        let all = running.wait();
        panic!("node 1 said {first:?} and {:?}", all.iter().map(|ended| &ended.stderr).collect::<Vec<_>>());
    }
    disturb(&mut running);
    let all = running.wait();
    let rest = lines.lines().map_while(Result::ok).collect();
    (rest, all)
}

/// The same with more and more updates, until the disturbance came before the end.
fn disturbed_in_time(
    disturb: impl Fn(&mut Running),
    is_in_time: impl Fn(u32, &[Ended]) -> bool,
) -> (u32, String, Vec<Ended>) {
    for updates in [400, 4_000, 40_000] {
        let (first, all) = disturbed(updates, &disturb);
        if is_in_time(updates, &all) {
            return (updates, first, all);
        }
    }
    panic!("40,000 updates were over before anything was disturbed");
}

/// Whether the standby served updates that the primary did not: then no reader had seen the last one before.
fn standby_led(updates: u32, all: &[Ended]) -> bool {
    let said = text(&all[1]);
    let first = said.lines().find_map(|line| line.strip_prefix("node 2: served from update ")?.strip_suffix(" on"));
    first.is_some_and(|first| first.parse::<u32>().expect("a number of an update") <= updates)
}

fn readers_are_served(updates: u32, all: &[Ended], server: &str) {
    for (node, ended) in (3..).zip(&all[2..]) {
        assert!(ended.status.success(), "node {node}: {}", ended.stderr);
        assert_eq!(text(ended), format!("node {node}: update {updates}, read from node {server}\n"));
    }
}

#[test]
fn failover_with_nothing_to_survive() {
    let (_, all) = disturbed(20, |_| {});
    assert!(all.iter().all(|ended| ended.status.success()), "{}", all[0].stderr);
    readers_are_served(20, &all, "1");
}

#[test]
fn failover_survives_its_primary() {
    let (updates, _, all) = disturbed_in_time(|nodes| nodes.kill(1), standby_led);
    assert!(!all[0].status.success() && all[1].status.success(), "{}", all[1].stderr);
    let said = text(&all[1]);
    assert!(said.starts_with("node 2: takes over: ") && said.contains("\nnode 2: served from update "), "{said}");
    // One that was slow may have seen nothing of node 1.
    for (node, ended) in (3..).zip(&all[2..]) {
        assert!(ended.status.success(), "node {node}: {}", ended.stderr);
        let said = text(ended);
        assert!(said.starts_with(&format!("node {node}: update {updates}, read from node ")), "{said}");
        assert!(said.ends_with("node 2\n"), "{said}");
    }
}

#[test]
fn failover_survives_its_standby() {
    let (updates, _, all) = disturbed_in_time(|nodes| nodes.kill(2), |_, all| !all[1].status.success());
    assert!(all[0].status.success(), "{}", all[0].stderr);
    readers_are_served(updates, &all, "1");
}

#[test]
fn failover_has_one_server_when_the_two_lose_each_other() {
    let cut = |nodes: &mut Running| {
        nodes.steering().link_down(&Links::between(1, 2)).expect("a link to take down");
    };
    let (updates, first, all) = disturbed_in_time(cut, standby_led);
    assert!(first.starts_with("node 1: steps down: "), "{first}");
    assert!(all.iter().all(|ended| ended.status.success()), "{first} {}", all[1].stderr);
    let said = text(&all[2]);
    assert!(said.starts_with(&format!("node 3: update {updates}, ")) && said.ends_with("node 2\n"), "{said}");
}

#[test]
fn failover_says_how_it_is_used() {
    for arguments in [&["0".as_ref()][..], &["many".as_ref()], &["1".as_ref(), "2".as_ref()]] {
        let all = run(1, "failover", arguments);
        assert_eq!(all[0].status.code(), Some(2));
        assert_eq!(all[0].stderr, "usage: failover [UPDATES]    1 or more\n");
    }
    let all = run(2, "failover", &[]);
    assert!(all.iter().all(|ended| ended.status.code() == Some(1)), "{}", all[0].stderr);
}
