//! `hello`, `neighbours` and `ring`.

use crate::nodes::{example, run, run_well};
use std::path::Path;
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
fn neighbours_hand_on_what_they_say() {
    for size in [1, 2, 4] {
        for (rank, ended) in run_well(size, "neighbours", &[]).iter().enumerate() {
            let (size, left) = (size as usize, (rank + size as usize - 1) % size as usize);
            let (put, all) = (10 * left, 11 * size * (size - 1) / 2);
            let expected = format!("rank {rank} of {size}: {left} and {put} from rank {left}, {all} in all\n");
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

/// Runs `hello` from this file with a variable for what the library says; answers what was said.
fn said(program: &Path, wanted: Option<&str>) -> String {
    let mut command = Command::new(program);
    match wanted {
        Some(level) => command.env("RSM_LOG", level),
        None => command.env_remove("RSM_LOG"),
    };
    let output = command.output().expect("hello runs");
    assert!(output.status.success() && output.stdout.starts_with(b"node 1 was told"), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

#[test]
fn the_library_says_what_it_is_asked_for() {
    let program = example("hello");
    for silent in [None, Some(""), Some("off"), Some("error")] {
        assert_eq!(said(program, silent), "", "{silent:?}");
    }
    // The agent of the program's own cluster speaks from a thread that has nothing of the program's but this.
    let lines = said(program, Some("debug"));
    assert!(lines.starts_with("rsm[") && lines.contains("]: debug: joined (party 1, pid "), "{lines}");
    let lines = said(program, Some("loud"));
    let told = "]: warn: RSM_LOG=\"loud\" is none of off, error, warn, info and debug; nothing is logged\n";
    assert!(lines.starts_with("rsm[") && lines.ends_with(told), "{lines}");
}

#[test]
fn a_program_with_raised_rights_says_nothing_that_its_caller_asks_for() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can make a program that belongs to another user");
        return;
    }
    // The scratch directory is where another user may not go.
    let program = std::env::temp_dir().join(format!("rsm-hello-{}", std::process::id()));
    if let Some(why) = rsm_stories::no_raised_rights(&std::env::temp_dir()) {
        eprintln!("skipped: no set-user-id programs in {}: {why}", std::env::temp_dir().display());
        return;
    }
    let made = || -> std::io::Result<()> {
        rsm_stories::install(&program, &std::fs::read(example("hello"))?, 0o755);
        std::os::unix::fs::chown(&program, Some(65534), Some(65534))?;
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o4755))
    };
    let heard = match made() {
        Ok(()) => Some(said(&program, Some("debug"))),
        Err(error) => {
            eprintln!("skipped: no set-user-id program can be made at {}: {error}", program.display());
            None
        }
    };
    let _ = std::fs::remove_file(&program);
    assert!(heard.is_none_or(|lines| lines.is_empty()));
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
