//! A thread for what takes the kernel long: giving back the pages of a large memory object that nobody has any more.
//!
//! It shares the agent's descriptor table, starts with the first large object, and ends with the agent.

use crate::private_table;
use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// From here on a memory object is closed aside: a page takes the kernel 0.1 us.
const LARGE: u64 = 256 << 10;

#[derive(Debug, Default)]
pub(in crate::agent) struct Aside {
    thread: RefCell<Option<(Sender<OwnedFd>, JoinHandle<()>)>>,
    /// Objects on their way.
    closing: Arc<AtomicU64>,
}

impl Aside {
    /// Closes a memory object of so many bytes.
    pub(in crate::agent) fn close(&self, object: OwnedFd, length: u64) {
        if length < LARGE {
            return;
        }
        let mut thread = self.thread.borrow_mut();
        if thread.is_none() {
            let (sender, receiver) = channel::<OwnedFd>();
            let closing = Arc::clone(&self.closing);
            // Started by the agent's thread: it has the same descriptors.
            let started = private_table::spawn_quiet("rsm-aside", move || {
                for object in receiver {
                    drop(object);
                    // Relaxed: a count of descriptors; the number itself is free when the kernel says so.
                    closing.fetch_sub(1, Relaxed);
                }
            });
            // Without a thread it takes its time here.
            *thread = started.ok().map(|started| (sender, started));
        }
        if let Some((sender, _)) = &*thread {
            self.closing.fetch_add(1, Relaxed);
            if sender.send(object).is_err() {
                self.closing.fetch_sub(1, Relaxed);
            }
        }
    }

    /// Objects that are still open.
    pub(in crate::agent) fn closing(&self) -> u64 {
        self.closing.load(Relaxed)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}
