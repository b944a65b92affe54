//! Who reads what `rsm-ctl` is given to read, and how a terminal's lines get there.
//!
//! A pipe or file becomes the process's standard input itself. A terminal cannot: it belongs to the session of the front,
//! which no node is in. So the front reads it, line by line as the terminal gives them, while it is in the foreground,
//! and passes them on through a pipe. Ctrl-D ends that pipe; Ctrl-C and Ctrl-Z are heard by the front as always.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use rustix::event::{PollFlags, Timespec};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::getpgrp;
use rustix::stdio::{dup2_stdin, stdin};
use rustix::termios::{isatty, tcgetpgrp};

use crate::deadline::MOMENT;
use crate::node_set::MOST_NODES;
use crate::output;

/// Who reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// No process.
    Nobody,
    /// The first process of this node.
    Node(u32),
}

impl Input {
    /// Reads the id of a node, or `none`.
    pub fn parse(text: &str) -> Result<Input, String> {
        match text.parse() {
            Ok(node @ 1..=MOST_NODES) => Ok(Input::Node(node)),
            _ if text == "none" => Ok(Input::Nobody),
            _ => Err(format!("write the id of a node, 1 to {MOST_NODES}, or \"none\"")),
        }
    }
}

/// How long after to look whether the terminal is ours again.
pub(crate) const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 300_000_000 };

/// Passes on what a terminal gives.
pub(crate) struct Feeder {
    terminal: OwnedFd,
    pipe: OwnedFd,
    pending: Vec<u8>,
}

/// Takes standard input out of the way: one process alone may hold it, so that whoever writes there notices when that
/// process goes. Answers what that process reads, and the feeder if that needs one.
pub(crate) fn take(from_terminal: bool) -> io::Result<(OwnedFd, Option<Feeder>)> {
    let null = output::null()?;
    let taken = stdin().try_clone_to_owned();
    dup2_stdin(&null)?;
    let taken = match taken {
        Ok(taken) => taken,
        // Closed by whoever started us: as good as empty.
        Err(error) if error.raw_os_error() == Some(Errno::BADF.raw_os_error()) => return Ok((null, None)),
        Err(error) => return Err(error),
    };
    if !isatty(&taken) {
        return Ok((taken, None));
    }
    if !from_terminal {
        return Ok((null, None));
    }
    let (near, pipe) = pipe_with(PipeFlags::CLOEXEC)?;
    ioctl_fionbio(&pipe, true)?;
    Ok((near, Some(Feeder { terminal: taken, pipe, pending: Vec::new() })))
}

impl Feeder {
    /// What to wait for: room in the pipe, or something typed. In the background what is typed is somebody else's: nothing
    /// is waited for, but to [look again](LOOK_AGAIN), since nobody tells a running job that it was brought back.
    pub(crate) fn wanted(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        if !self.pending.is_empty() {
            return Some((self.pipe.as_fd(), PollFlags::OUT));
        }
        let foreground = tcgetpgrp(&self.terminal).is_ok_and(|group| group == getpgrp());
        foreground.then(|| (self.terminal.as_fd(), PollFlags::IN))
    }

    /// Moves something on; answers whether there can be more.
    pub(crate) fn advance(&mut self) -> bool {
        if self.pending.is_empty() {
            let mut bytes = [0; 4096];
            match read(&self.terminal, &mut bytes) {
                // Ctrl-D at the start of a line, or the terminal has gone.
                Ok(0) | Err(Errno::IO) => return false,
                Ok(length) => self.pending.extend_from_slice(&bytes[..length]),
                Err(_) => return true,
            }
        }
        match write(&self.pipe, &self.pending) {
            Ok(length) => {
                self.pending.drain(..length);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            // There is room, and to wait for that would be no wait.
            Err(Errno::NOMEM) => {
                thread::sleep(MOMENT);
                true
            }
            // The reader has gone.
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads() {
        assert_eq!(Input::parse("3"), Ok(Input::Node(3)));
        assert_eq!(Input::parse("none"), Ok(Input::Nobody));
        for text in ["", "0", "64", "all", "-1"] {
            assert!(Input::parse(text).is_err(), "{text}");
        }
    }
}
