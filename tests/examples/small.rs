//! `hello` and `ring`.

use crate::nodes::{example, run, run_well};
use std::process::Command;

#[test]
fn hello_greets_the_right_neighbour() {
    for nodes in [1, 2, 5] {
        for (node, ended) in (1..).zip(run_well(nodes, "hello", &[])) {
            let left = if node == 1 { nodes } else { node - 1 };
            let expected = format!("node {node} was told: hello, node {node}, this is node {left}\n");
            assert_eq!(String::from_utf8_lossy(&ended.stdout), expected);
            assert_eq!(ended.stderr, "");
        }
    }
}

#[test]
fn hello_without_a_cluster_is_a_cluster_of_one() {
    let output = Command::new(example("hello")).output().expect("hello runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "node 1 was told: hello, node 1, this is node 1\n");
}

#[test]
fn ring_counts_whole_rounds() {
    for (nodes, expected) in [(1, "100 hops, 1 node, "), (2, "100 hops, 2 nodes, "), (7, "105 hops, 7 nodes, ")] {
        let all = run_well(nodes, "ring", &["100".as_ref()]);
        let said = String::from_utf8_lossy(&all[0].stdout);
        assert!(said.starts_with(expected) && said.ends_with(" hops/s\n"), "{said}");
        assert!(all[1..].iter().all(|ended| ended.stdout.is_empty()));
    }
}

#[test]
fn ring_works_with_all_nodes_there_can_be() {
    let all = run_well(63, "ring", &["630".as_ref()]);
    assert!(all[0].stdout.starts_with(b"630 hops, 63 nodes, "));
}

#[test]
fn ring_refuses_what_is_no_number() {
    for arguments in [&["many".as_ref()][..], &["1".as_ref(), "2".as_ref()], &["-1".as_ref()]] {
        let all = run(1, "ring", arguments);
        assert_eq!(all[0].status.code(), Some(2));
        assert_eq!(all[0].stderr, "usage: ring [HOPS]\n");
    }
}
