//! Output to a terminal: nodes have terminals too.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::rig::{DEADLINE, Running, run};

const SIZE: Winsize = Winsize { ws_row: 31, ws_col: 97, ws_xpixel: 0, ws_ypixel: 0 };

/// Both sides of a new terminal, the first ours.
fn terminal() -> (File, OwnedFd) {
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
fn rest(mut terminal: File) -> String {
    let mut text = Vec::new();
    let mut bytes = [0; 4096];
    while let length @ 1.. = some(&mut terminal, &mut bytes) {
        text.extend_from_slice(&bytes[..length]);
    }
    String::from_utf8(text).unwrap()
}

/// Reads until this is there.
fn until(terminal: &mut File, wanted: &str) -> String {
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
