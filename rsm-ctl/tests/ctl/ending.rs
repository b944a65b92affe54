//! How a run is cut short: by the clock, by Ctrl-C, by Ctrl-Z for a while, by a node that fails.

use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};

use crate::rig::{eventually, expect_state, run, state};

/// A node that says that it is ready and then what it is asked. It does not run `sleep` itself: dash loses a signal that comes
/// while it is in the `vfork` of a command.
const ASKED: &str = "for s in HUP INT QUIT TERM; do trap \"echo asked $s; exit 0\" $s; done; echo ready; while :; do sleep 0.05 & wait; done";

/// A node that cannot be asked.
const DEAF: &str = "trap '' HUP INT QUIT TERM; echo ready; while :; do sleep 0.05; done";

#[test]
fn time_out() {
    let script = "test $RSM_NODE_ID = 2 || exec sleep 600";
    let finished = run(&["-n", "3", "--timeout", "4s"], script).finish();
    assert_eq!(finished.code(), 124);
    let told = "rsm-ctl: timed out after 4s; nodes 1, 3 were still running\n";
    assert!(finished.stderr.starts_with(told), "{}", finished.stderr);
    assert_eq!(run(&["-q", "-n", "3", "--timeout", "300ms"], script).finish().stderr, "");
}

#[test]
fn time_out_asks_first_and_kills_the_deaf() {
    let finished = run(&["-n", "2", "--timeout", "4s", "--grace", "60s"], ASKED).finish();
    assert_eq!((finished.code(), finished.sorted()), (124, vec!["asked TERM", "asked TERM", "ready", "ready"]));
    let finished = run(&["-n", "2", "--timeout", "1s", "--grace", "100ms"], DEAF).finish();
    assert_eq!(finished.code(), 124);
}

#[test]
fn time_out_is_not_held_up_by_a_reader_that_takes_nothing() {
    let mut running =
        run(&["-n", "1", "--timeout", "200ms", "--grace", "100ms"], "exec head -c 100000000 /dev/zero").start();
    let unread = running.stdout();
    assert_eq!(running.finish().code(), 124);
    drop(unread);
}

#[test]
fn each_signal_asks_in_its_way() {
    for (sent, asked, code) in [
        (Signal::INT, "INT", 130),
        (Signal::QUIT, "QUIT", 131),
        (Signal::TERM, "TERM", 143),
        (Signal::HUP, "TERM", 129),
    ] {
        let mut running = run(&["-n", "2", "--grace", "60s"], ASKED).start();
        assert_eq!((running.line(), running.line()), ("ready".into(), "ready".into()));
        running.signal(sent);
        let finished = running.finish();
        let asked = format!("asked {asked}");
        assert_eq!((finished.code(), finished.sorted()), (code, vec![&*asked, &*asked, "ready", "ready"]));
        // The nodes' shells may have their own remarks.
        assert!(!finished.stderr.contains("rsm-ctl"), "{}", finished.stderr);
    }
}

#[test]
fn the_deaf_are_killed_after_the_grace() {
    let mut running = run(&["-n", "2", "--grace", "200ms"], DEAF).start();
    running.line();
    running.line();
    running.signal(Signal::INT);
    assert_eq!(running.finish().code(), 130);
}

#[test]
fn a_second_signal_kills_at_once() {
    // The nodes answer the first one, so that the second is one of its own and not merged with it.
    let script = "trap 'echo heard' INT; echo ready; while :; do sleep 0.05 & wait; done";
    let mut running = run(&["-n", "2", "--grace", "1h"], script).start();
    running.line();
    running.line();
    running.signal(Signal::INT);
    assert_eq!(running.line(), "heard");
    running.signal(Signal::INT);
    assert_eq!(running.finish().code(), 130);
}

#[test]
fn a_warden_that_does_not_listen_is_killed_the_third_time() {
    let mut running = run(&["-n", "2", "--grace", "1h"], ASKED).start();
    running.line();
    running.line();
    let warden = running.warden();
    kill_process(warden, Signal::STOP).unwrap();
    expect_state(warden, 'T');
    // Signals of one kind merge while they wait, so three kinds.
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        running.signal(signal);
    }
    assert!(matches!(running.finish().code(), 129 | 130 | 143));
}

#[test]
fn daemons_are_asked_and_ended_too() {
    let script = "setsid sh -c 'trap \"echo daemon asked; exit\" TERM; echo ready; while :; do sleep 0.05 & wait; done' & exit 0";
    let mut running = run(&["-n", "2", "--grace", "60s"], script).start();
    running.line();
    running.line();
    running.signal(Signal::TERM);
    let finished = running.finish();
    assert_eq!(finished.code(), 143);
    assert_eq!(finished.text().matches("daemon asked").count(), 2, "{}", finished.text());
}

#[test]
fn daemons_whose_parent_lives_on_are_asked_too() {
    let daemon =
        "setsid sh -c 'trap \"echo daemon asked; exit\" TERM; echo ready; while :; do sleep 0.05 & wait; done' &";
    let script = format!("trap 'wait; exit 0' TERM; {daemon} wait");
    let mut running = run(&["-n", "2", "--grace", "60s"], &script).start();
    running.line();
    running.line();
    running.signal(Signal::TERM);
    let finished = running.finish();
    assert_eq!(finished.text().matches("daemon asked").count(), 2, "{}", finished.text());
}

#[test]
fn a_failure_gives_the_others_time_and_then_asks_them() {
    let script = format!("if [ $RSM_NODE_ID = 1 ]; then read go; exit 5; fi; {ASKED}");
    let mut running = run(&["-n", "3", "--grace", "2s"], &script).stdin(std::process::Stdio::piped()).start();
    running.line();
    running.line();
    let failed = Instant::now();
    drop(running.stdin());
    assert_eq!(running.line(), "asked TERM");
    assert!(failed.elapsed() >= Duration::from_secs(2));
    assert_eq!(running.finish().code(), 5);
}

#[test]
fn a_stopped_node_is_no_failure() {
    let mut running =
        run(&["-n", "2", "--grace", "0"], "trap 'exit 0' USR1; echo $$; while :; do sleep 0.05 & wait; done").start();
    let nodes = [running.pid_line(), running.pid_line()];
    kill_process(nodes[0], Signal::STOP).unwrap();
    expect_state(nodes[0], 'T');
    kill_process(nodes[1], Signal::USR1).unwrap();
    eventually("the end of the other", || state(nodes[1]).is_none().then_some(()));
    assert_eq!(state(nodes[0]), Some('T'));
    kill_process(nodes[0], Signal::USR1).unwrap();
    kill_process(nodes[0], Signal::CONT).unwrap();
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn ctrl_z_stops_everybody_but_the_agent() {
    let script = "setsid sleep 600 & echo $!; echo $$; while :; do sleep 0.05; done";
    let mut running = run(&["-n", "2", "--grace", "0"], script).job().start();
    let processes: Vec<_> = (0..4).map(|_| running.pid_line()).collect();
    let warden = running.warden();
    for _ in 0..2 {
        running.signal(Signal::TSTP);
        expect_state(running.pid(), 'T');
        for &process in &processes {
            // A shell that waits for a stopped child to execute something shows as D; it runs as little.
            eventually("a process that is stopped", || matches!(state(process)?, 'T' | 'D').then_some(()));
        }
        // It sleeps, or is about to.
        expect_state(warden, 'S');
        running.signal(Signal::CONT);
        for &process in &processes {
            eventually("a process that goes on", || matches!(state(process)?, 'R' | 'S').then_some(()));
        }
    }
    running.signal(Signal::TERM);
    assert_eq!(running.finish().code(), 143);
}

#[test]
fn a_stop_that_is_taken_back_stops_nobody() {
    let script = "trap 'echo here' USR1; echo ready; while :; do sleep 0.05 & wait; done";
    let mut running = run(&["-n", "2"], script).job().start();
    running.line();
    running.line();
    for round in 0..200_u32 {
        running.signal(Signal::TSTP);
        // As soon as can be, and when the nodes are being stopped.
        for _ in 0..(round % 50) * 400 {
            std::hint::spin_loop();
        }
        running.signal(Signal::CONT);
        if round % 20 == 19 {
            running.signal(Signal::USR1);
            assert_eq!((running.line(), running.line()), ("here".into(), "here".into()), "after {round}");
        }
    }
    running.signal(Signal::TERM);
    assert_eq!(running.finish().code(), 143);
}

#[test]
fn who_was_stopped_before_ctrl_z_stays_stopped() {
    let script = "trap 'echo here' USR1; echo $$; while :; do sleep 0.05 & wait; done";
    let mut running = run(&["-n", "2"], script).job().start();
    let (stopped, other) = (running.pid_line(), running.pid_line());
    kill_process(stopped, Signal::STOP).unwrap();
    expect_state(stopped, 'T');
    running.signal(Signal::TSTP);
    expect_state(running.pid(), 'T');
    running.signal(Signal::CONT);
    running.signal(Signal::USR1);
    assert_eq!(running.line(), "here");
    assert!(state(other).is_some_and(|state| state != 'T'));
    assert_eq!(state(stopped), Some('T'));
    kill_process(stopped, Signal::CONT).unwrap();
    assert_eq!(running.line(), "here");
    running.signal(Signal::TERM);
    assert_eq!(running.finish().code(), 143);
}

#[test]
fn what_is_stopped_can_be_ended() {
    let mut running = run(&["-n", "2", "--grace", "60s"], &format!("echo $$; {ASKED}")).start();
    let mut lines: Vec<String> = (0..4).map(|_| running.line()).collect();
    lines.retain(|line| line != "ready");
    for line in &lines {
        let node = crate::rig::pid(line).unwrap();
        kill_process(node, Signal::STOP).unwrap();
        expect_state(node, 'T');
    }
    running.signal(Signal::TERM);
    let finished = running.finish();
    assert_eq!(finished.code(), 143);
    assert_eq!(finished.text().matches("asked TERM").count(), 2);
}

#[test]
fn user_signals_are_passed_on() {
    let mut running = run(&["-n", "2"], "trap 'exit 0' USR1; echo ready; while :; do sleep 0.05 & wait; done").start();
    running.line();
    running.line();
    running.signal(Signal::USR1);
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn what_nohup_ignores_stays_ignored() {
    let mut running = crate::rig::shell("trap '' HUP; exec $CTL run -n 1 -- sh -c \"$SCRIPT\"")
        .env("SCRIPT", "trap 'exit 0' USR1; echo ready; while :; do sleep 0.05 & wait; done")
        .start();
    running.line();
    running.signal(Signal::HUP);
    running.signal(Signal::USR1);
    assert_eq!(running.finish().code(), 0);
}
