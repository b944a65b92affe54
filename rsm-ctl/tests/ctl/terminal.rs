//! Output to a terminal: nodes have terminals too.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::rig::{DEADLINE, Running, Scratch, Standing, run, shell};

const SIZE: Winsize = Winsize { ws_row: 31, ws_col: 97, ws_xpixel: 0, ws_ypixel: 0 };

/// Both sides of a new terminal, the first ours.
pub(crate) fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags).unwrap();
    unlockpt(&near).unwrap();
    let far = ioctl_tiocgptpeer(&near, flags).unwrap();
    tcsetwinsize(&near, SIZE).unwrap();
    (File::from(near), far)
}

/// Reads something; nothing when the other side is closed, which a terminal reports as an error.
fn some(terminal: &mut File, bytes: &mut [u8]) -> usize {
    let deadline = Timespec::try_from(DEADLINE).unwrap();
    let ready = poll(&mut [PollFd::new(terminal, PollFlags::IN)], Some(&deadline)).unwrap();
    assert!(ready > 0, "waited too long for output to the terminal");
    terminal.read(bytes).unwrap_or(0)
}

/// Reads until the other side is closed.
pub(crate) fn rest(mut terminal: File) -> String {
    let mut text = Vec::new();
    let mut bytes = [0; 4096];
    while let length @ 1.. = some(&mut terminal, &mut bytes) {
        text.extend_from_slice(&bytes[..length]);
    }
    String::from_utf8(text).unwrap()
}

/// Reads until this is there.
pub(crate) fn until(terminal: &mut File, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let mut byte = [0];
        assert_eq!(some(terminal, &mut byte), 1, "{text}");
        text.push(char::from(byte[0]));
    }
    text
}

fn started(words: &[&str], script: &str) -> (Running, File) {
    let (near, far) = terminal();
    (run(words, script).on_terminal(far).start(), near)
}

#[test]
fn nodes_have_one_of_the_same_size() {
    let (running, terminal) = started(&["-n", "2"], "test -t 1 && test -t 2 && stty size <&1 && stty size <&2");
    let text = rest(terminal);
    assert_eq!((running.finish().code(), &*text), (0, &*"31 97\r\n".repeat(4)));
}

#[test]
fn nodes_cannot_read_it() {
    let (near, far) = terminal();
    let input = far.try_clone().unwrap();
    let running = run(&["-n", "2"], "test -t 0 || cat").stdin(input).on_terminal(far).start();
    assert_eq!(rest(near), "");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn progress_is_shown_as_it_comes() {
    let (running, mut terminal) = started(&["-n", "1", "--tag-output"], r"printf '10%%\r'; sleep 600");
    assert_eq!(until(&mut terminal, "\r"), "[1] 10%\r");
    running.signal(Signal::TERM);
    assert_eq!(running.finish().code(), 143);
}

#[test]
fn a_new_size_is_passed_on() {
    let script = "echo ready; exec 3>&1; until [ \"$(stty size <&3)\" = '40 120' ]; do sleep 0.02; done; echo seen";
    let (running, mut terminal) = started(&["-n", "2"], script);
    until(&mut terminal, "ready");
    tcsetwinsize(&terminal, Winsize { ws_row: 40, ws_col: 120, ..SIZE }).unwrap();
    running.signal(Signal::WINCH);
    assert_eq!(rest(terminal).matches("seen").count(), 2);
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn everything_written_before_the_end_is_shown() {
    let script = "i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done";
    let (running, terminal) = started(&["-n", "2"], script);
    assert_eq!(rest(terminal).lines().count(), 4000);
    assert_eq!(running.finish().code(), 0);
}

/// A shell script that has a terminal, all to itself, as a user has.
fn at_the_terminal(script: &str) -> (Running, File) {
    let (near, far) = terminal();
    let script = format!("exec setsid --ctty sh -c '{script}'");
    (shell(&script).stdin(far.try_clone().unwrap()).on_terminal(far).start(), near)
}

#[test]
fn the_reader_gets_what_is_typed() {
    let script = r#"exec $CTL run -n 3 --stdin 2 -- sh -c "echo ready; sed s/^/node\$RSM_NODE_ID:/""#;
    let (running, mut terminal) = at_the_terminal(script);
    for _ in 0..3 {
        until(&mut terminal, "ready\r\n");
    }
    terminal.write_all(b"one\ntwo\n\x04").unwrap();
    let text = rest(terminal);
    assert!(text.contains("node2:one\r\n") && text.contains("node2:two\r\n"), "{text}");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_job_that_is_brought_back_gets_what_is_typed() {
    let scratch = Scratch::new("job");
    let script = r#"set -m
        $CTL run -n 1 --stdin 1 -- sh -c "touch there; sed s/^/got:/" &
        until [ -e there ]; do sleep 0.05; done
        echo back; fg"#;
    let (near, far) = terminal();
    let words = format!("cd {} && exec setsid --ctty sh -c '{script}'", scratch.path("").display());
    let running = shell(&words).stdin(far.try_clone().unwrap()).on_terminal(far).start();
    let mut terminal = near;
    until(&mut terminal, "back\r\n");
    terminal.write_all(b"text\n\x04").unwrap();
    let text = rest(terminal);
    assert!(text.contains("got:text"), "{text}");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn ctrl_z_stops_a_job_and_fg_brings_it_back() {
    let scratch = Scratch::new("stopped");
    let script = r#"set -m
        $CTL run -n 2 -- sh -c "echo ready; until [ -e go ]; do sleep 0.05; done; echo gone on"
        echo stopped $?; fg; echo ended $?"#;
    let (near, far) = terminal();
    let words = format!("cd {} && exec setsid --ctty sh -c '{script}'", scratch.path("").display());
    let running = shell(&words).stdin(far.try_clone().unwrap()).on_terminal(far).start();
    let mut terminal = near;
    for _ in 0..2 {
        until(&mut terminal, "ready\r\n");
    }
    terminal.write_all(b"\x1a").unwrap();
    // As any program that Ctrl-Z stops.
    until(&mut terminal, &format!("stopped {}\r\n", 128 + libc::SIGTSTP));
    scratch.file("go", "");
    let text = rest(terminal);
    assert_eq!(text.matches("gone on\r\n").count(), 2, "{text}");
    assert!(text.contains("ended 0"), "{text}");
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn exec_gets_what_is_typed_and_ctrl_c() {
    let cluster = Standing::up(&["-n", "1"]);
    let script = format!(
        "exec $CTL exec --cluster {} --node 1 -- sh -c \"read line; echo got \\$line; exec sleep 600\"",
        cluster.name
    );
    let (running, mut terminal) = at_the_terminal(&script);
    terminal.write_all(b"text\n").unwrap();
    until(&mut terminal, "got text");
    terminal.write_all(b"\x03").unwrap();
    rest(terminal);
    assert_eq!(running.finish().code(), 130);
    cluster.down();
}

#[test]
fn colours_where_they_are_wanted() {
    let shown = |name: &str, value: &str| {
        let (near, far) = terminal();
        let script = "test $RSM_NODE_ID = 1 || { echo why >&2; exit 1; }";
        let running = run(&["-n", "2"], script).env("TERM", "xterm").env(name, value).on_terminal(far).start();
        let text = rest(near);
        assert_eq!(running.finish().code(), 1);
        assert!(text.contains("1 of 2 processes failed"), "{text}");
        text.contains('\x1b')
    };
    assert!(shown("NO_COLOR", ""), "an empty NO_COLOR is none");
    assert!(!shown("NO_COLOR", "1"));
    assert!(!shown("TERM", "dumb"));
    assert!(!shown("TERM", ""));
}
