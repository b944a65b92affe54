//! Threads with a descriptor table of their own.
//!
//! A library that keeps descriptors in its host's table is at its mercy: `closefrom` breaks it, every fork inherits
//! them, an exec beside a living child goes unnoticed. A thread that unshares its table has none of this: nobody else
//! can close or inherit what it holds, and the kernel closes it when the process execs or ends.
#![allow(unsafe_code)]

use crate::error::from_errno;
use crate::guest::Guest;
use rsm_core::{Code, Error, Result};
use rustix::event::epoll;
use rustix::io::Errno;
use std::cell::Cell;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Runs something on a thread with a table of its own that holds nothing but the standard streams: for work that needs
/// descriptors when the process has none left.
///
/// # Errors
/// What the work says; INSUFFICIENT_RESOURCES without room for a thread.
pub(crate) fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let (tell, told) = mpsc::channel();
    let thread = spawn_quiet("rsm-aside", move || {
        let done = close_range(3, RawFd::MAX, libc::CLOSE_RANGE_UNSHARE).and_then(|()| work());
        let _ = tell.send(done);
    })?;
    let done = told.recv().unwrap_or_else(|_| Err(Error::with(Code::InternalError, "a thread ended at once")));
    let _ = thread.join();
    done
}

/// Descriptors 0, 1 and 2 of a private table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// Placeholders: the application's terminal and pipes are not kept open, and nothing that prints by mistake
    /// prints into a memory object or a socket that happens to have such a number.
    Null,
    /// The process's own, for a process that exists for this thread.
    Keep,
}

/// Starts a thread with every signal blocked and a descriptor table of its own, which holds `keep` and what `stdio`
/// says. When this returns, `keep` is gone from the caller's table.
///
/// # Errors
/// CTLR_NOT_PRESENT where the kernel lacks `close_range`; INSUFFICIENT_RESOURCES without room for a thread.
pub fn spawn(
    name: &str,
    keep: Guest,
    stdio: Stdio,
    body: impl FnOnce(OwnedFd) + Send + 'static,
) -> Result<JoinHandle<()>> {
    let lost = |e| from_errno(e, "cannot give a descriptor to a thread of its own");
    let (number, mark) = (keep.number(), keep.mark());
    let (entered, outcome) = mpsc::channel();
    let thread = spawn_quiet(name, move || {
        let keep = enter(number, stdio).and_then(|()| {
            // SAFETY: the table is this thread's own by now, and only this asks for the number.
            unsafe { Guest::in_private_table(number, mark) }.map_err(lost)
        });
        match keep {
            Ok(keep) => {
                let _ = entered.send(Ok(()));
                body(keep);
            }
            Err(error) => {
                let _ = entered.send(Err(error));
            }
        }
    })?;
    let outcome = outcome.recv().unwrap_or_else(|_| Err(Error::with(Code::InternalError, "a thread ended at once")));
    drop(keep);
    match outcome {
        Ok(()) => Ok(thread),
        Err(error) => {
            let _ = thread.join();
            Err(error)
        }
    }
}

/// Gives the calling thread its own descriptor table that holds only `keep` and what `stdio` says.
///
/// The application's descriptors must not stay in it, or closing the write end of a pipe would not end it:
/// `close_range` with `CLOSE_RANGE_UNSHARE` drops them in the same step.
///
/// # Errors
/// CTLR_NOT_PRESENT where the kernel lacks `close_range` (before 5.9).
fn enter(keep: RawFd, stdio: Stdio) -> Result<()> {
    close_range(keep + 1, RawFd::MAX, libc::CLOSE_RANGE_UNSHARE)?;
    // From here on the table is the thread's own, and nothing fails that would leave the caller in doubt.
    let first = if stdio == Stdio::Keep { 3 } else { 0 };
    if stdio == Stdio::Null && crate::log::is_on() && keep > 2 {
        // Whoever wants lines gets them from here, too, and knows that standard error stays open as long.
        let _ = close_range(0, 1, 0);
        let _ = if keep > 3 { close_range(3, keep - 1, 0) } else { Ok(()) };
    } else if keep > first {
        let _ = close_range(first, keep - 1, 0);
    }
    if stdio == Stdio::Keep {
        return Ok(());
    }
    loop {
        // A descriptor that takes no bytes and gives none, and needs no file system.
        let Ok(placeholder) = epoll::create(epoll::CreateFlags::CLOEXEC) else { break };
        if placeholder.as_raw_fd() > 2 {
            break;
        }
        std::mem::forget(placeholder); // stays for the life of the table
    }
    Ok(())
}

fn close_range(first: RawFd, last: RawFd, flags: libc::c_uint) -> Result<()> {
    let last = if last == RawFd::MAX { u32::MAX } else { last.cast_unsigned() };
    // SAFETY: called on threads of ours that have just started; with the flag, or after a call with it, what is closed
    // is this thread's copy of descriptors that it does not use.
    let rc = unsafe { libc::syscall(libc::SYS_close_range, first.cast_unsigned(), last, flags) };
    if rc == 0 {
        return Ok(());
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::ENOSYS) => Err(Error::with(
            Code::CtlrNotPresent,
            "this kernel cannot give a thread its own descriptors (close_range, Linux 5.9)",
        )),
        e => Err(from_errno(Errno::from_raw_os_error(e.unwrap_or(0)), "cannot give a thread its own descriptors")),
    }
}

thread_local! {
    static IS_OF_LIBRARY: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is one of the library's, started here: nothing that it does is the program's doing.
pub(crate) fn is_of_library() -> bool {
    IS_OF_LIBRARY.try_with(Cell::get).unwrap_or(false)
}

/// Starts a thread with every signal blocked, so that no handler of the application ever runs on it.
///
/// # Errors
/// INSUFFICIENT_RESOURCES when the system has no room for a thread.
pub(crate) fn spawn_quiet<F>(name: &str, body: F) -> Result<JoinHandle<()>>
where
    F: FnOnce() + Send + 'static,
{
    let body = || {
        let _ = IS_OF_LIBRARY.try_with(|is| is.set(true));
        body();
    };
    // SAFETY: plain libc calls on initialised sets. The thread inherits the mask of its creator, which is put back.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(256 * 1024).spawn(body);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        thread.map_err(|e| {
            let why = match e.raw_os_error() {
                Some(libc::EAGAIN) => " (see ulimit -u, ulimit -v, and pids.max of the control group)",
                Some(libc::EINVAL) => {
                    " (after unshare(CLONE_NEWPID), with older kernels also of CLONE_NEWTIME, only children can start threads)"
                },
                Some(libc::EPERM) => " (a filter of system calls refuses clone3, see rsm-ctl doctor)",
                _ => "",
            };
            Error::with(Code::InsufficientResources, format!("cannot start a thread: {e}{why}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_the_library_know_that_they_are() {
        assert_eq!((aside(|| Ok(is_of_library())).unwrap(), is_of_library()), (true, false));
    }
}
