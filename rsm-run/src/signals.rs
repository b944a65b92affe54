//! Signals as things to be read and named.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::Signal;

use crate::process;

/// Size of the kernel's `struct signalfd_siginfo`; its first word is the signal number.
const RECORD: usize = 128;

/// Some signals of this process, turned into a queue: they are blocked, and read when there is time for them.
pub struct SignalQueue {
    descriptor: OwnedFd,
}

impl SignalQueue {
    /// Blocks these signals (and no others) in this thread and those it starts, and queues them here.
    pub fn new(signals: &[Signal]) -> io::Result<SignalQueue> {
        SignalQueue::beside(signals, &[])
    }

    /// Blocks these signals and those `left` to others, and queues the first here.
    pub(crate) fn beside(signals: &[Signal], left: &[Signal]) -> io::Result<SignalQueue> {
        process::block_only(&[signals, left].concat())?;
        Ok(SignalQueue { descriptor: process::signal_descriptor(signals)? })
    }

    /// The next signal that came, or `None` for now.
    pub fn next(&self) -> Option<Signal> {
        let mut record = [0_u8; RECORD];
        loop {
            match rustix::io::read(&self.descriptor, &mut record) {
                Err(Errno::INTR) => {}
                Ok(RECORD) => {
                    let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
                    return i32::try_from(number).ok().and_then(Signal::from_named_raw);
                }
                _ => return None,
            }
        }
    }
}

/// SIGTSTP, noticed and left waiting until it may do what it does.
///
/// To take it and to stop by another signal later would be wrong: a SIGCONT that comes in between takes the first one
/// back, as the kernel has it for any program, and would be lost before the other.
pub(crate) struct StopSignal {
    descriptor: OwnedFd,
}

impl StopSignal {
    /// Readable while SIGTSTP waits; the caller has it blocked.
    pub(crate) fn new() -> io::Result<StopSignal> {
        Ok(StopSignal { descriptor: process::signal_descriptor(&[Signal::TSTP])? })
    }

    /// Stops this process, all its threads, if the signal still waits; returns when somebody continues it.
    pub(crate) fn obey(&self) {
        process::let_through(Signal::TSTP);
    }
}

impl AsFd for StopSignal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl AsFd for SignalQueue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The name of a signal as `kill -l` gives it, with its SIG.
pub(crate) fn name(signal: i32) -> Cow<'static, str> {
    const NAMES: [&str; 31] = [
        "SIGHUP",
        "SIGINT",
        "SIGQUIT",
        "SIGILL",
        "SIGTRAP",
        "SIGABRT",
        "SIGBUS",
        "SIGFPE",
        "SIGKILL",
        "SIGUSR1",
        "SIGSEGV",
        "SIGUSR2",
        "SIGPIPE",
        "SIGALRM",
        "SIGTERM",
        "SIGSTKFLT",
        "SIGCHLD",
        "SIGCONT",
        "SIGSTOP",
        "SIGTSTP",
        "SIGTTIN",
        "SIGTTOU",
        "SIGURG",
        "SIGXCPU",
        "SIGXFSZ",
        "SIGVTALRM",
        "SIGPROF",
        "SIGWINCH",
        "SIGIO",
        "SIGPWR",
        "SIGSYS",
    ];
    let first_realtime = libc::SIGRTMIN();
    match usize::try_from(signal) {
        Ok(index @ 1..=31) => NAMES[index - 1].into(),
        _ if (first_realtime..=libc::SIGRTMAX()).contains(&signal) => {
            format!("SIGRTMIN+{}", signal - first_realtime).into()
        }
        _ => "unknown".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_the_numbers_of_this_machine() {
        for (signal, expected) in [
            (libc::SIGHUP, "SIGHUP"),
            (libc::SIGUSR1, "SIGUSR1"),
            (libc::SIGCHLD, "SIGCHLD"),
            (libc::SIGTTOU, "SIGTTOU"),
            (libc::SIGSYS, "SIGSYS"),
            (libc::SIGRTMIN() + 1, "SIGRTMIN+1"),
            (0, "unknown"),
            (32, "unknown"),
            (99, "unknown"),
        ] {
            assert_eq!(name(signal), expected);
        }
    }
}
