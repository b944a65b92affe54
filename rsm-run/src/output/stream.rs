//! One stream of a process: the pipe or terminal between its standard output or error and the front.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ioctl_fionbio, read};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use super::Output;
use super::lines::{LineEnd, Lines};
use super::logs::Logs;
use super::outlet::Outlet;
use super::tail::Tail;

/// How much is read at a time. A pipe is asked to hold as much: 63 nodes' pipes then stay below what one user may have
/// in all pipes together before the kernel gives out small ones.
const READ: usize = 256 * 1024;

/// The near end of a process's standard output or error.
pub(crate) struct Stream {
    /// Index of the process.
    pub(crate) process: usize,
    pub(crate) output: Output,
    /// `None` when it has ended.
    source: Option<OwnedFd>,
    lines: Lines,
    tail: Tail,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Something, or the end.
    Some,
    /// Nothing for now.
    Nothing,
}

impl Stream {
    /// Makes a stream for a process and the descriptor that becomes its output. It is a terminal where the front's own
    /// output is one, so that programs show what they show to people. The last `kept` bytes are remembered.
    pub(crate) fn open(process: usize, output: Output, kept: usize) -> io::Result<(Stream, OwnedFd)> {
        let own = output.descriptor();
        let (source, far) = match terminal(own) {
            Some(pair) => pair,
            None => pipe()?,
        };
        // The front must never wait for one node while others speak. This end's flag is not shared with the node's.
        ioctl_fionbio(&source, true)?;
        let lines = Lines::new(line_end(own));
        Ok((Stream { process, output, source: Some(source), lines, tail: Tail::new(kept) }, far))
    }

    /// What to wait on, while there is something to come.
    pub(crate) fn source(&self) -> Option<BorrowedFd<'_>> {
        self.source.as_ref().map(OwnedFd::as_fd)
    }

    /// The last of what came.
    pub(crate) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Reads once and passes whole lines on.
    pub(crate) fn advance(&mut self, outlet: &mut Outlet, logs: Option<&Logs>) -> Progress {
        let Some(source) = &self.source else { return Progress::Some };
        let bytes = self.lines.bytes();
        bytes.reserve(READ);
        let before = bytes.len();
        match read(source, spare_capacity(bytes)) {
            Ok(0) => self.close(outlet),
            Ok(_) => {
                let fresh = &self.lines.bytes()[before..];
                self.tail.note(fresh);
                if let Some(logs) = logs {
                    logs.write(self.process, self.output, fresh);
                }
                self.lines.take(|lines| outlet.write(self.process, lines));
            }
            Err(Errno::AGAIN) => return Progress::Nothing,
            Err(Errno::INTR) => {}
            // EIO is how a terminal says that nobody has its other side open any more.
            Err(_) => self.close(outlet),
        }
        Progress::Some
    }

    /// Passes on what is left and reads no more.
    pub(crate) fn close(&mut self, outlet: &mut Outlet) {
        self.source = None;
        self.lines.take_rest(|rest| outlet.write(self.process, rest));
        outlet.end(self.process);
    }

    /// Gives the node's terminal the size of the front's.
    pub(crate) fn resize(&self) {
        if let (Some(source), Ok(size)) = (&self.source, tcgetwinsize(self.output.descriptor())) {
            // Refused by pipes.
            let _ = tcsetwinsize(source, size);
        }
    }
}

/// What ends a line on this output.
pub(crate) fn line_end(output: BorrowedFd<'_>) -> LineEnd {
    if isatty(output) { LineEnd::FeedOrReturn } else { LineEnd::Feed }
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = pipe_with(PipeFlags::CLOEXEC)?;
    // Fewer and larger reads; the usual size does too.
    let _ = fcntl_setpipe_size(&pair.0, READ);
    Ok(pair)
}

/// A terminal like `own`, if that is one and another can be had.
fn terminal(own: BorrowedFd<'_>) -> Option<(OwnedFd, OwnedFd)> {
    if !isatty(own) {
        return None;
    }
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags).ok()?;
    unlockpt(&near).ok()?;
    let far = ioctl_tiocgptpeer(&near, flags).ok()?;
    // Raw: what the node writes is what arrives; the front's own terminal translates line ends, once.
    let mut attributes = tcgetattr(&far).ok()?;
    attributes.make_raw();
    tcsetattr(&far, OptionalActions::Now, &attributes).ok()?;
    if let Ok(size) = tcgetwinsize(own) {
        let _ = tcsetwinsize(&far, size);
    }
    Some((near, far))
}
