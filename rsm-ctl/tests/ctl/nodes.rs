//! What a node's process finds when it starts.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use crate::rig::{Scratch, ctl, in_time, inherited_descriptors, run, shell};

#[test]
fn its_place_in_the_cluster() {
    let finished =
        run(&["-n", "3"], "echo $RSM_NODE_ID of $RSM_NODE_COUNT; test -n \"$RSM_CLUSTER$RSM_NODE_KEY\"").finish();
    assert_eq!((finished.code(), finished.sorted()), (0, vec!["1 of 3", "2 of 3", "3 of 3"]));
}

#[test]
fn directory_environment_and_arguments() {
    let scratch = Scratch::new("directory");
    let finished = ctl(&["run", "-n", "2", "--", "sh", "-c", "echo $(pwd -P) $COLOUR \"$@\"", "sh", "a b", "", "-n"])
        .directory(&scratch.path(""))
        .env("COLOUR", "green")
        .finish();
    let line = format!("{} green a b  -n", scratch.path("").canonicalize().unwrap().display());
    assert_eq!((finished.code(), finished.sorted()), (0, vec![&*line, &*line]));
}

#[test]
fn default_signals_even_if_the_front_was_told_to_ignore_some() {
    let finished =
        shell("trap '' HUP INT USR2; exec $CTL run -n 2 -- grep -E '^Sig(Ign|Blk)' /proc/self/status").finish();
    assert_eq!(finished.code(), 0);
    assert_eq!(finished.text().lines().count(), 4);
    assert!(finished.text().lines().all(|line| line.ends_with("\t0000000000000000")), "{}", finished.text());
}

#[test]
fn the_users_own_limits_which_do_not_limit_the_cluster() {
    let finished = shell("ulimit -Sn 100; exec $CTL run -n 63 -- sh -c 'ulimit -Sn'").finish();
    assert_eq!((finished.code(), &*finished.stderr), (0, ""));
    assert_eq!(finished.text(), "100\n".repeat(63));
}

#[test]
fn more_nodes_than_descriptors() {
    let finished = shell("ulimit -n 100; exec $CTL run -n 63 -- true").finish();
    assert_eq!(finished.code(), 1);
    assert_eq!(finished.stderr, "rsm-ctl: cannot make the output streams of 63 processes: Too many open files\n");
}

#[test]
fn no_descriptors_of_ours() {
    let finished = run(&["-n", "2"], "ls /proc/self/fd; echo").finish();
    let expected = format!("{}\n", inherited_descriptors());
    assert_eq!(
        finished.sorted(),
        { expected.repeat(2) }.lines().collect::<std::collections::BinaryHeap<_>>().into_sorted_vec()
    );
}

#[test]
fn a_session_of_its_own() {
    let finished = run(&["-n", "2"], "set -- $(cat /proc/$$/stat); test $1 = $5 && test $1 = $6 && echo own").finish();
    assert_eq!(finished.sorted(), ["own", "own"]);
}

#[test]
fn input_is_node_1s() {
    let finished = run(&["-n", "3", "--tag-output"], "cat").stdin(Scratch::new("in").open("in", b"for one\n")).finish();
    assert_eq!((finished.code(), finished.text()), (0, "[1] for one\n"));
}

#[test]
fn whoever_writes_to_node_1_notices_when_it_goes() {
    let mut running =
        run(&["-n", "2"], "test $RSM_NODE_ID = 1 || { echo $$; exec sleep 600; }").stdin(Stdio::piped()).start();
    let sleeper = running.pid_line();
    let mut input = running.stdin();
    let error = in_time("an end of node 1's input", move || {
        loop {
            if let Err(error) = input.write_all(&[b'x'; 65536]) {
                return error;
            }
        }
    });
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
    rustix::process::kill_process(sleeper, rustix::process::Signal::TERM).unwrap();
    assert_eq!(running.finish().code(), 128 + 15);
}

#[test]
fn sixty_three_of_them() {
    let finished = run(&["-n", "63"], "echo $RSM_NODE_ID").finish();
    let mut ids: Vec<u32> = finished.text().lines().map(|line| line.parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!((finished.code(), ids), (0, (1..=63).collect()));
}

impl Scratch {
    /// A file with these contents, open for reading. It has no name any more once the scratch directory is dropped.
    fn open(&self, name: &str, contents: &[u8]) -> File {
        File::open(self.file(name, contents)).unwrap()
    }
}
