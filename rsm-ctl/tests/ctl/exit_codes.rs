//! What `run` ends with, and the one line that says why.

use crate::rig::{Ctl, GONE, Scratch, Standing, ctl, run, shell, unique};

#[test]
fn all_well() {
    let finished = run(&["-n", "3"], "exit 0").finish();
    assert_eq!((finished.code(), &*finished.stderr, finished.text()), (0, "", ""));
}

#[test]
fn the_failing_nodes_code() {
    let finished = run(&["-n", "3"], "test $RSM_NODE_ID != 2 || exit 7").finish();
    assert_eq!(finished.code(), 7);
    let line = finished.stderr.trim_end();
    assert!(line.starts_with("rsm-ctl: node 2 (pid ") && line.ends_with(") ended with exit code 7"), "{line}");
}

#[test]
fn a_signal_counts_from_128() {
    let finished = run(&["-n", "2"], "test $RSM_NODE_ID = 2 || kill -SEGV $$").finish();
    assert_eq!(finished.code(), 128 + 11);
    assert!(finished.stderr.contains("was killed by signal 11 (SIGSEGV)"), "{}", finished.stderr);
}

#[test]
fn only_the_first_failure_counts() {
    let scratch = Scratch::new("first");
    let script = format!("{GONE} if [ $RSM_NODE_ID = 3 ]; then echo $$ > $FIRST; exit 3; fi; gone $FIRST; exit 9");
    let first = scratch.path("first");
    let finished = run(&["-n", "4", "--grace", "60s"], &script).env("FIRST", first.to_str().unwrap()).finish();
    assert_eq!(finished.code(), 3);
    let told = finished.stderr.lines().filter(|line| line.starts_with("rsm-ctl: node"));
    assert_eq!(told.count(), 1, "{}", finished.stderr);
}

#[test]
fn quiet_says_nothing_about_nodes_and_verbose_a_lot() {
    assert_eq!(run(&["-q", "-n", "1"], "exit 5").finish().stderr, "");
    let finished = run(&["-v", "-n", "2", "--name", &unique("verbose")], "exit 0").finish();
    assert_eq!(finished.stderr.lines().count(), 3, "{}", finished.stderr);
    assert!(finished.stderr.contains("rsm-ctl: cluster verbose-"), "{}", finished.stderr);
}

#[test]
fn not_found_and_not_executable() {
    let finished = ctl(&["run", "-n", "2", "--", "no-such-program-here"]).finish();
    assert_eq!(finished.code(), 127);
    assert_eq!(finished.stderr, "rsm-ctl: cannot run \"no-such-program-here\": No such file or directory\n");
    let finished = ctl(&["run", "-n", "2", "--", "/etc/passwd"]).finish();
    assert_eq!(finished.code(), 126);
    assert_eq!(finished.stderr, "rsm-ctl: cannot run \"/etc/passwd\": Permission denied\n");
}

#[test]
fn a_program_the_kernel_refuses_when_it_is_too_late() {
    let scratch = Scratch::new("interpreter");
    let program = scratch.path("program");
    rsm_stories::install(&program, b"#!/no/such/interpreter\n", 0o755);
    let finished = ctl(&["run", "-n", "3", "--", program.to_str().unwrap()]).finish();
    assert_eq!(finished.code(), 126);
    let why = "its interpreter \"/no/such/interpreter\" does not exist";
    assert!(finished.stderr.contains(why), "{}", finished.stderr);
}

#[test]
fn what_cannot_be_understood() {
    for words in [
        &["run", "-n", "0", "--", "true"][..],
        &["run", "-n", "64", "--", "true"],
        &["run", "-n", "2"],
        &["run", "-n", "2", "--", ""],
        &["run", "-n", "2", "--timeout", "soon", "--", "true"],
        &["dance"],
        &[],
    ] {
        let finished = ctl(words).finish();
        assert_eq!(finished.code(), 2, "{words:?}: {}", finished.stderr);
    }
    let finished = ctl(&["run", "-n", "64", "--", "true"]).finish();
    assert!(finished.stderr.contains("write a number of nodes, 1 to 63"), "{}", finished.stderr);
}

#[test]
fn a_name_that_is_taken() {
    let name = unique("taken");
    let mut first =
        run(&["-n", "1", "--name", &name], "echo ready; read line").stdin(std::process::Stdio::piped()).start();
    assert_eq!(first.line(), "ready");
    let second = run(&["-n", "1", "--name", &name], "echo never").finish();
    assert_eq!((second.code(), second.text()), (1, ""));
    assert!(second.stderr.contains(&name) && second.stderr.contains("already running"), "{}", second.stderr);
    drop(first.stdin());
    assert_eq!(first.finish().code(), 1, "read found the end of its input");
}

#[test]
fn keep_going_lets_the_others_finish() {
    let scratch = Scratch::new("keep-going");
    let mark = scratch.path("failed");
    let script = format!(
        "if [ $RSM_NODE_ID = 1 ]; then touch {0}; exit 4; fi; until [ -e {0} ]; do sleep 0.01; done; echo done $RSM_NODE_ID",
        mark.display()
    );
    let finished = run(&["-n", "3", "--grace", "0", "--keep-going"], &script).finish();
    assert_eq!((finished.code(), finished.sorted()), (4, vec!["done 2", "done 3"]));
}

/// A program of the examples.
fn example(name: &str) -> String {
    crate::steering::example(name).display().to_string()
}

/// Something that ends with each code of the table, in the table's words, and the cluster it ends if it does.
fn scenario(code: &str) -> (Ctl, i32, Option<Standing>) {
    let (scene, number) = match code {
        "0" => (run(&["-n", "2"], "exit 0"), 0),
        "1" => (ctl(&["nodes", "--cluster", "no-such-cluster"]), 1),
        "2" => (ctl(&["run", "-n", "0", "--", "true"]), 2),
        "3" => {
            // A process that ends the cluster it is in, which waits for it before it is gone itself.
            let cluster = Standing::up(&["-n", "1"]);
            let scene = cluster.exec(&["--node", "1", "--", "sh", "-c", "$CTL down $NAME & exec sleep 600"]);
            let scene = scene.env("CTL", env!("CARGO_BIN_EXE_rsm-ctl")).env("NAME", &cluster.name);
            return (scene, 3, Some(cluster));
        }
        // No cluster starts with so few descriptors; rsm-ctl itself does, with a few that it inherits.
        "4" => (shell("ulimit -n 30; exec $CTL doctor"), 4),
        // Its neighbour waits for a minute.
        "5" => {
            let words = ["explore", "-n", "2", "--kill", "2", "--at", "2", "--timeout", "6s", "--"];
            (ctl(&words).words(&[&example("hello")]), 5)
        }
        "124" => (run(&["-n", "2", "--timeout", "100ms"], "exec sleep 600"), 124),
        "126" => (ctl(&["run", "-n", "1", "--", "/etc/passwd"]), 126),
        "127" => (ctl(&["run", "-n", "1", "--", "no-such-program"]), 127),
        // The node sends it to its run: the parent of its parent.
        "130" => (run(&["-n", "1"], "kill -INT $(ps -o ppid= -p $PPID); exec sleep 600"), 130),
        "141" => {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            (run(&["-n", "2"], "while :; do echo line; done").stdout(writer), 141)
        }
        "other" => (run(&["-n", "3"], "test $RSM_NODE_ID != 2 || exit 77"), 77),
        code => panic!("no scenario for {code}: write one"),
    };
    (scene, number, None)
}

#[test]
fn every_row_of_the_documented_table() {
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/exit-codes.md")).unwrap();
    let rows = documented.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let codes: Vec<&str> = rows.map_while(|row| row.strip_prefix("| ")?.split(' ').next()).collect();
    assert_eq!(codes.len(), 12);
    let help = ctl(&["--help"]).finish();
    for code in codes {
        let (scene, number, ended) = scenario(code);
        let finished = scene.finish();
        ended.iter().for_each(Standing::expect_gone);
        assert_eq!(finished.code(), number, "{code}: {}", finished.stderr);
        assert!(help.text().contains(&format!("\n  {code} ")), "{code} is not in the help");
        assert!(number != 0 || finished.stderr.is_empty());
    }
}

#[test]
fn help_documents_the_codes() {
    let finished = ctl(&["--help"]).finish();
    assert_eq!(finished.code(), 0);
    for code in ["124 ", "126 ", "127 ", "130 "] {
        assert!(finished.text().contains(code), "{code}");
    }
}
