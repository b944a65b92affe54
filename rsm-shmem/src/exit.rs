//! The end of the job that a PE orders for all.
#![allow(unsafe_code)] // signals of a thread are blocked by libc

use crate::control::EXITS;
use crate::job::{self, Job};
use crate::{Call, end};
use rsm_shm::futex;
use std::sync::atomic::Ordering::{Acquire, Release};

/// `shmem_global_exit`. The launcher is told first, so that the job ends with this status whatever becomes of the PEs; each of
/// them is told, too, so that it writes its streams and ends by itself, also where there is no launcher.
pub(crate) fn global_exit(_call: &'static Call, status: i32) -> ! {
    // Without one there is nobody to tell, and one that has heard of another end before keeps to that.
    let _ = rsm_shm::run::end((status & 0xff) as u8);
    if let Some(job) = job::current() {
        for peer in job.peers.iter().filter(|peer| peer.pe != job.me) {
            let word = &peer.control.exit.0;
            // Release: pairs with the Acquire in `ordered_to`. Only what a process can end with is told.
            word.store(EXITS | (status & 0xff) as u32, Release);
            futex::wake(word, i32::MAX);
        }
    }
    end::leave(status)
}

/// The status with which another PE has ended the job.
fn ordered_to(job: &Job) -> Option<i32> {
    // Acquire: pairs with the Release in `global_exit`.
    let word = job.control().exit.0.load(Acquire);
    (word & EXITS != 0).then_some((word & 0xff) as i32)
}

/// Ends this PE if another one has ended the job.
pub(crate) fn follow(job: &Job) {
    if let Some(status) = ordered_to(job) {
        end::leave(status);
    }
}

/// Starts the thread that ends this PE when another one ends the job, whatever its own threads do meanwhile.
///
/// # Errors
/// What the system says.
pub(crate) fn watch(job: &'static Job) -> std::io::Result<()> {
    let wait = move || {
        loop {
            follow(job);
            futex::sleep(&job.control().exit.0, 0, None);
        }
    };
    // A thread inherits what is blocked: signals are for the program's own threads.
    let before = block_signals();
    let started = std::thread::Builder::new().name("shmem-exit".to_owned()).spawn(wait);
    restore_signals(&before);
    started.map(drop)
}

/// Blocks every signal for this thread; gives what was blocked.
fn block_signals() -> libc::sigset_t {
    let (mut all, mut before) = (std::mem::MaybeUninit::uninit(), std::mem::MaybeUninit::zeroed());
    // SAFETY: both are written by the calls before they are read; an all-zero set is one as well.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        before.assume_init()
    }
}

fn restore_signals(before: &libc::sigset_t) {
    // SAFETY: a set that the system gave.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut()) };
}
