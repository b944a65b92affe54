//! Runs that a program with many threads owns: what is started, how it ends, what it wrote.

use rsm::lens::Lens;
use rsm::steer::Links;
use rsm_run::Launch;
use rsm_run::exit_code::ExitCode;
use std::process::Command;
use std::time::Duration;

/// Longer than anything takes on the busiest machine.
const LONG: Duration = Duration::from_secs(100);

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn launch(nodes: u32, script: &str) -> Launch {
    Launch::new(nodes).timeout(LONG).program("all", &shell(script))
}

#[test]
fn what_processes_wrote_and_how_they_ended() {
    let report = launch(3, "echo out $RSM_NODE_ID; echo err >&2; exit $((RSM_NODE_ID - 1))").run().unwrap();
    assert!(report.code != 0 && !report.is_success() && !report.timed_out);
    for (process, node) in report.processes().iter().zip(1..) {
        assert_eq!((process.node, &*process.stdout), (node, &*format!("out {node}\n")));
        assert!(process.code == Some(u8::try_from(node - 1).unwrap()) || process.was_asked, "{process:?}");
        assert!(process.pid > 0);
    }
    assert_eq!(report.node(1).unwrap().stderr, "err\n");
    let report = launch(2, "kill -SEGV $$").run().unwrap();
    assert_eq!((report.code, report.processes()[0].signal.or(report.processes()[1].signal)), (139, Some(11)));
}

#[test]
fn much_output_is_whole_and_what_is_written_is_seen_meanwhile() {
    // More than any pipe holds, and no end of line.
    let report = launch(2, "head -c 3000000 /dev/zero | tr '\\0' x; echo; printf end").run().unwrap().expect_success();
    for process in report.processes() {
        assert_eq!(process.stdout.len(), 3_000_004);
        assert!(process.stdout.ends_with("x\nend"));
    }
    let mut run = launch(1, "echo begun; exec sleep 600").start().unwrap();
    let end = std::time::Instant::now() + LONG;
    while run.written(1).0 != "begun\n" {
        assert!(std::time::Instant::now() < end && !run.is_over());
        std::thread::yield_now();
    }
    assert_eq!(run.wait_within(Duration::from_millis(1)).unwrap().map(|report| report.code), None);
    assert_eq!(run.processes().len(), 1);
    run.end();
    let report = run.wait().unwrap();
    assert_eq!((report.processes()[0].signal, report.processes()[0].was_asked), (Some(15), true));
    assert_eq!(run.wait().unwrap().code, report.code, "asked again it says the same");
}

#[test]
fn variables_directories_and_programs_of_some_nodes() {
    let mut first = shell("echo $A-$B-$HOME; pwd; cat");
    first.env("A", "a b").env_remove("HOME").current_dir("/");
    let launch =
        Launch::new(3).timeout(LONG).program("1", &first).program("others", &shell("test -z \"$RSM_RUN_HELPER\""));
    let report = launch.run().unwrap().expect_success();
    assert_eq!(report.node(1).unwrap().stdout, "a b--\n/\n");
    assert_eq!(report.processes().len(), 3);
}

#[test]
fn one_that_fails_ends_the_others_unless_they_are_to_go_on() {
    let script = "test $RSM_NODE_ID = 1 && exit 9; exec sleep 600";
    let report = launch(2, script).grace(Duration::ZERO).run().unwrap();
    assert_eq!((report.code, report.processes()[1].was_asked), (9, true));
    assert!(report.processes()[0].is_cause() && !report.processes()[1].is_cause());
    let report = launch(2, "test $RSM_NODE_ID = 1 && exit 9; exit 0").keep_going(true).run().unwrap();
    assert_eq!((report.code, report.processes()[1].code), (9, Some(0)));
}

/// The environment variable that makes this test end its run with a code.
const END: &str = "RSM_TEST_END_RUN";

/// Given for a code, to be somebody else first.
const STRANGER: &str = "stranger";

/// Alone it has no run to end; of a run, which the test below makes it, it ends that.
#[test]
fn who_is_of_no_run_ends_none() {
    let Ok(code) = std::env::var(END) else {
        assert_eq!(rsm::end_run(1).unwrap_err().code(), rsm::Code::CtlrNotPresent);
        return;
    };
    if code == STRANGER {
        // Of this thread alone, which is who connects.
        rustix::thread::set_thread_uid(rustix::thread::Uid::from_raw(65534)).unwrap();
        // As often as it takes to come before the launcher looks, and after.
        for _ in 0..100 {
            let told = rsm::end_run(1).unwrap_err();
            assert_eq!(told.code(), rsm::Code::PermDenied, "{told}");
            assert!(told.to_string().contains("user 65534 may not end this run"), "{told}");
        }
        std::process::exit(0);
    }
    rsm::end_run(code.parse().unwrap()).unwrap();
    // What comes later, or is this process's own, changes nothing.
    rsm::end_run(99).unwrap();
    std::process::exit(5);
}

/// The name that a launcher listens at is no secret: the kernel shows it to everybody.
#[test]
fn another_user_ends_no_run() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: it takes root to be another user");
        return;
    }
    let mut tries = Command::new(std::env::current_exe().unwrap());
    tries.args(["who_is_of_no_run_ends_none", "--exact"]).env(END, STRANGER);
    let report = Launch::new(1).timeout(LONG).program("all", &tries).run().unwrap();
    assert!(report.is_success(), "{report}");
}

#[test]
fn a_process_ends_the_run_with_a_code() {
    let mut ends = Command::new(std::env::current_exe().unwrap());
    ends.args(["who_is_of_no_run_ends_none", "--exact"]);
    let sits = shell("trap 'exit 6' TERM; sleep 600 & wait");
    for (code, keep_going) in [(0, false), (3, false), (3, true)] {
        let launch = Launch::new(3).timeout(LONG).grace(Duration::ZERO).keep_going(keep_going);
        let report = launch.program("1,3", &sits).program("2", ends.env(END, code.to_string())).run().unwrap();
        assert_eq!((report.code, report.is_success()), (code, code == 0), "{report}");
        assert!(report.processes().iter().all(|process| !process.is_cause()), "{report}");
        assert!(report.processes()[0].was_asked || report.processes()[0].signal == Some(9), "{report}");
        if code != 0 {
            assert!(report.to_string().contains("has ended the run with exit code 3"), "{report}");
        }
    }
}

#[test]
fn the_time_is_up() {
    // As little as it takes the shell to be deaf.
    let report = (0..8).map(|doubled| Duration::from_secs(1 << doubled)).find_map(|time| {
        let deaf = shell("trap '' TERM; echo deaf; while :; do sleep 600; done");
        let launch = Launch::new(1).timeout(time).grace(Duration::ZERO).stacks(true).program("all", &deaf);
        let report = launch.run().unwrap();
        assert!(report.timed_out && report.code == ExitCode::TimedOut.number());
        let up = format!("timed out after {}.0 s; still running: node 1", time.as_secs());
        assert!(report.to_string().starts_with(&up), "{report}");
        (report.processes()[0].stdout == "deaf\n").then_some(report)
    });
    let report = report.expect("it is within two minutes");
    assert_eq!(report.processes()[0].signal, Some(9));
    assert!(report.stacks.concat().contains("where node 1 is"), "{report}");
}

#[test]
fn processes_come_and_go_in_a_cluster() {
    let cluster = Launch::new(2).timeout(LONG).lens(Lens::chaos(7)).cluster().unwrap();
    let script = "echo $RSM_NODE_ID of $RSM_NODE_COUNT";
    assert_eq!(cluster.spawn(2, &shell(script)).unwrap().wait().unwrap().node(2).unwrap().stdout, "2 of 2\n");
    let mut held = cluster.spawn(1, Command::new("sleep").arg("600")).unwrap();
    // Any number on a node, in any order, from any thread.
    let codes = std::thread::scope(|scope| {
        let spawn =
            |code: u32| cluster.spawn(1 + code % 2, &shell(&format!("exit {code}"))).unwrap().wait().unwrap().code;
        let threads: Vec<_> = (0..4).map(|code| scope.spawn(move || spawn(code))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(codes, [0, 1, 2, 3]);
    let steering = cluster.steering().unwrap();
    steering.link_error(&Links::between(1, 2)).unwrap();
    assert!(!held.is_over());
    held.kill();
    assert_eq!(held.wait().unwrap().processes()[0].signal, Some(9));
    let refused = |node: u32, program: &str| cluster.spawn(node, &Command::new(program)).unwrap_err();
    assert_eq!(refused(3, "true").message, "there is no node 3: the cluster has 1 to 2");
    assert_eq!(refused(1, "no-such-program").code, ExitCode::NotFound);
    // The cluster ends, and what runs in it.
    let mut last = cluster.spawn(2, Command::new("sleep").arg("600")).unwrap();
    assert!(cluster.end().unwrap().processes().is_empty());
    let report = last.wait().unwrap();
    assert!(report.cluster_ended.is_some() && report.processes()[0].signal == Some(15), "{report}");
    assert!(steering.link_error(&Links::between(1, 2)).is_err());
}

#[test]
fn what_cannot_be_started_says_why() {
    let refused = |launch: Launch| launch.run().unwrap_err();
    assert_eq!(refused(Launch::new(0).program("all", &shell(""))).message, "a cluster has 1 to 63 nodes, not 0");
    assert!(refused(Launch::new(2)).message.contains("there is no program to run"));
    let missing = refused(Launch::new(1).program("all", &Command::new("./no-such-program")));
    assert_eq!(
        (missing.code, &*missing.message),
        (ExitCode::NotFound, "cannot run \"./no-such-program\": No such file or directory")
    );
    assert!(
        refused(launch(1, "").script("node kill")).message.starts_with("script:1:10: expected the number of a node")
    );
    assert!(refused(Launch::new(2).program("3", &shell(""))).message.contains("there is no node 3"));
    assert!(refused(launch(1, "").controllers(["a b c"])).message.contains("controller"));
    assert_eq!(refused(Launch::new(1).program("all", &Command::new("/etc/passwd"))).code, ExitCode::NotExecutable);
    let helper = refused(launch(1, "").helper(&Command::new("/no/such/helper")));
    assert!(helper.message.contains("execve: No such file"), "{helper}");
    // One that is no helper says nothing.
    let helper = refused(launch(1, "").helper(&Command::new("true")));
    assert!(helper.message.contains("before it could tell how that went"), "{helper}");
}
