//! Whoever is SIGKILLed: nothing is left.

use rustix::process::{Pid, Signal, kill_process};

use crate::rig::{Ctl, Refusal, Running, Scratch, eventually, expect_state, pid, run, shell, state};

/// Nodes that do everything to survive: new sessions, double forks, deaf ears, a chain of processes each of which forks
/// the next and ends. The last line of each node says that all of it is running.
const TOUGH: &str = r#"
trap '' HUP INT QUIT TERM
for i in 1 2; do setsid sh -c 'trap "" HUP INT TERM; (setsid sleep 600 &) ; (sleep 600 & sleep 600) &'; done
setsid sh -c 'chain() { sleep 0.01; chain & }; chain' &
echo running
while :; do sleep 600; done
"#;

fn tough(nodes: &str, more: &[&str]) -> Running {
    toughened(run(&[&["-n", nodes], more].concat(), TOUGH), nodes.parse().unwrap())
}

fn toughened(ctl: Ctl, nodes: u32) -> Running {
    let mut running = ctl.start();
    for _ in 0..nodes {
        assert_eq!(running.line(), "running");
    }
    // Front, warden, and per node itself with its sleeper, two times three daemons and the chain, at least.
    assert!(running.processes().len() >= 2 + 3 * 7, "{:?}", running.processes());
    running
}

#[test]
fn the_front_is_killed() {
    let mut running = tough("3", &[]);
    let warden = running.warden();
    running.signal(Signal::KILL);
    running.expect_gone();
    // Its environment, which carries the mark, is not for everybody to read.
    eventually("the end of the warden", || state(warden).is_none().then_some(()));
    assert_eq!(running.finish().status.code(), None);
}

#[test]
fn the_warden_is_killed() {
    let running = tough("3", &[]);
    kill_process(running.warden(), Signal::KILL).unwrap();
    let finished = running.finish();
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.starts_with("rsm-ctl: the agent (pid "), "{}", finished.stderr);
    assert!(finished.stderr.contains("was killed by signal 9 (SIGKILL)"), "{}", finished.stderr);
}

#[test]
fn the_front_is_killed_while_it_is_stopped() {
    let mut running = toughened(run(&["-n", "3"], TOUGH).job(), 3);
    running.signal(Signal::TSTP);
    expect_state(running.pid(), 'T');
    running.signal(Signal::KILL);
    running.expect_gone();
}

#[test]
fn a_node_is_killed_with_its_daemons_still_there() {
    let mut running = run(&["-n", "2", "--grace", "100ms"], &TOUGH.replace("echo running", "echo $$")).start();
    let node = running.pid_line();
    running.line();
    kill_process(node, Signal::KILL).unwrap();
    let finished = running.finish();
    assert_eq!(finished.code(), 128 + 9);
    assert!(finished.stderr.contains(&format!("(pid {node}) was killed by signal 9 (SIGKILL)")), "{}", finished.stderr);
}

#[test]
fn all_nodes_are_killed() {
    let mut running = run(&["-n", "4"], "echo $$; exec sleep 600").start();
    let nodes: Vec<Pid> = (0..4).map(|_| running.pid_line()).collect();
    for node in nodes {
        // All but the first may be on their way out already: nothing says how fast the run ends.
        let _ = kill_process(node, Signal::KILL);
    }
    assert_eq!(running.finish().code(), 128 + 9);
}

#[test]
fn ending_it_ends_all_of_it() {
    let running = tough("3", &["--grace", "100ms"]);
    running.signal(Signal::TERM);
    assert_eq!(running.finish().code(), 143);
}

#[test]
fn children_that_were_there_before_are_nobodys_business() {
    // The shell turns into rsm-ctl, which so inherits a child that it did not start.
    let script = "sleep 600 & echo $!; exec $CTL run -n 1 -- sh -c 'echo $$; exec sleep 600'";
    let mut running = shell(script).start();
    let (stranger, _node) = (running.pid_line(), running.pid_line());
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.pid())).unwrap();
    let warden = children.split_ascii_whitespace().filter_map(pid).find(|&child| child != stranger).unwrap();
    kill_process(warden, Signal::KILL).unwrap();
    eventually("the end of rsm-ctl", || state(running.pid()).is_none().then_some(()));
    assert!(state(stranger).is_some());
    kill_process(stranger, Signal::KILL).unwrap();
    eventually("the end of the stranger", || state(stranger).is_none().then_some(()));
    assert_eq!(running.finish().code(), 1);
}

#[test]
fn a_run_that_cannot_see_who_was_there_before_does_not_begin() {
    let list = Refusal { call: libc::SYS_getdents64, argument: None, errno: libc::ENOMEM };
    let script = "sleep 600 & echo $!; exec $CTL run -n 1 -- echo here";
    let mut running = shell(script).refusing(&[list]).start();
    let stranger = running.pid_line();
    eventually("the end of rsm-ctl", || state(running.pid()).is_none().then_some(()));
    assert!(state(stranger).is_some());
    kill_process(stranger, Signal::KILL).unwrap();
    eventually("the end of the stranger", || state(stranger).is_none().then_some(()));
    let finished = running.finish();
    assert_eq!((finished.code(), finished.text()), (1, &*format!("{stranger}\n")));
    assert_eq!(finished.stderr, "rsm-ctl: cannot start a run: /proc: Cannot allocate memory\n");
}

#[test]
fn a_run_that_cannot_begin_leaves_not_even_a_zombie() {
    // No thread starts, which is found out when the warden is there already.
    let thread = Refusal { call: libc::SYS_clone3, argument: None, errno: libc::EPERM };
    let script = "$CTL run -n 2 -- sleep 600; echo $?; cat /proc/$$/task/$$/children; echo .";
    let finished = shell(script).refusing(&[thread]).adopting().finish();
    assert_eq!(finished.text().split_whitespace().next(), Some("1"), "{}", finished.stderr);
    // `cat` itself is a child.
    assert_eq!(finished.text().split_whitespace().count(), 3, "{}", finished.text());
    assert_eq!(
        finished.stderr,
        "rsm-ctl: cannot start a run: a thread that writes output (clone3): Operation not permitted; `rsm-ctl doctor` \
         tells what this machine lacks\n"
    );
}

/// CAP_KILL: without it root is an ordinary user for those it would signal.
const KILL_OTHERS: libc::c_ulong = 5;

/// A run whose node becomes another user, as with `sudo`, under somebody who may not end such processes.
fn becoming_another(words: &[&str]) -> Option<(Running, Pid)> {
    let tried = std::process::Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "true"]).status();
    if !tried.is_ok_and(|status| status.success()) {
        return None;
    }
    let script = "echo $$; exec setpriv --reuid=65534 --clear-groups sleep 600";
    let mut running = run(words, script).without_capability(KILL_OTHERS).start();
    let node = running.pid_line();
    eventually("another user", || {
        let status = std::fs::read_to_string(format!("/proc/{node}/status")).ok()?;
        status.contains("Name:\tsleep").then_some(())
    });
    Some((running, node))
}

#[test]
fn who_has_become_another_user_is_named_and_left() {
    let scratch = Scratch::new("left");
    let report = scratch.path("report.xml");
    let words = ["-n", "1", "--timeout", "6s", "--grace", "100ms", "--junit", report.to_str().unwrap()];
    let Some((running, node)) = becoming_another(&words) else { return };
    eventually("the end of rsm-ctl", || state(running.pid()).is_none().then_some(()));
    assert!(state(node).is_some());
    kill_process(node, Signal::KILL).unwrap();
    eventually("the end of the node", || state(node).is_none().then_some(()));
    let finished = running.finish();
    assert_eq!(finished.code(), 124);
    let told = format!(
        "rsm-ctl: left running, as only root can end what has become another user's: process {node} (sleep, of user 65534)\n"
    );
    assert!(finished.stderr.contains(&told), "{}", finished.stderr);
    assert!(std::fs::read_to_string(report).unwrap().contains("was still running when the time was up"));
}

#[test]
fn who_has_become_another_user_does_not_keep_a_front_without_its_warden() {
    let Some((running, node)) = becoming_another(&["-n", "1"]) else { return };
    kill_process(running.warden(), Signal::KILL).unwrap();
    eventually("the end of rsm-ctl", || state(running.pid()).is_none().then_some(()));
    kill_process(node, Signal::KILL).unwrap();
    eventually("the end of the node", || state(node).is_none().then_some(()));
    let finished = running.finish();
    assert_eq!(finished.code(), 1);
    assert!(finished.stderr.contains(&format!("process {node} (sleep, of user 65534)")), "{}", finished.stderr);
}
