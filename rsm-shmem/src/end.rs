//! The end of this PE, and by that of the job: what is wrong is told.
#![allow(unsafe_code)] // stdio and the end of the process are libc's

use crate::Call;
use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicI32, Ordering::Relaxed};
use std::time::Duration;

/// For stdio streams to be written; one that another thread uses for longer is not.
const WRITING: Duration = Duration::from_secs(1);

/// Number of the PE, as soon as it is known.
static ME: AtomicI32 = AtomicI32::new(-1);

/// The PE learns its number.
pub(crate) fn this_is(pe: usize) {
    // Relaxed: a number for messages.
    ME.store(pe as i32, Relaxed);
}

/// Says a line on standard error, in one write.
pub(crate) fn say(what: impl Display) {
    let me = ME.load(Relaxed);
    let line = if me < 0 { format!("shmem: {what}\n") } else { format!("shmem: PE {me}: {what}\n") };
    // Where it leads nowhere there is nobody to tell.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Says what is wrong with a call, and ends this PE, and by that the job.
#[cold]
pub(crate) fn fail(call: &Call, what: impl Display) -> ! {
    say(format_args!("{call}: {what}"));
    leave(1)
}

/// Ends this process as it is, with what stdio streams hold written.
pub(crate) fn leave(status: i32) -> ! {
    let (written, told) = std::sync::mpsc::sync_channel(1);
    let write = move || {
        // SAFETY: NULL stands for every stream. Standard output first, in case that one of the others is in use.
        unsafe {
            libc::fflush(stdout);
            libc::fflush(std::ptr::null_mut());
        }
        let _ = written.send(());
    };
    // By a thread of its own: a thread of the program that waits for input has its stream's lock until there is some.
    if std::thread::Builder::new().spawn(write).is_ok() {
        let _ = told.recv_timeout(WRITING);
    }
    // SAFETY: does not return. Not exit(3): its handlers are of a program that has not come to its end, and may wait for PEs that
    // are gone.
    unsafe { libc::_exit(status) }
}

unsafe extern "C" {
    static stdout: *mut libc::FILE;
}

/// Has `end` called when the program ends by exit(3), or by returning from main, with status 0; where libc does not tell the
/// status, with any.
pub(crate) fn at_exit(end: extern "C" fn()) {
    #[cfg(target_env = "gnu")]
    {
        extern "C" fn ended(status: libc::c_int, end: *mut libc::c_void) {
            if status == 0 {
                // SAFETY: the function that `at_exit` was given.
                let end: extern "C" fn() = unsafe { std::mem::transmute(end) };
                end();
            }
        }
        // SAFETY: as libc declares it.
        unsafe { on_exit(ended, end as *mut libc::c_void) };
    }
    #[cfg(not(target_env = "gnu"))]
    // SAFETY: as libc declares it.
    unsafe {
        libc::atexit(end);
    }
}

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    fn on_exit(called: extern "C" fn(libc::c_int, *mut libc::c_void), with: *mut libc::c_void) -> libc::c_int;
}
