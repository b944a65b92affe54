//! A thread that sleeps until something is posted for a waiter on the other host, and then tells the agent.
//!
//! It sleeps on the bells themselves, as whoever waits does: who posts finds a sleeper there and wakes, and has nothing to know.

use crate::error::from_errno;
use crate::futex;
use crate::memory::tables::Bells;
use crate::private_table;
use rsm_core::Result;
use rsm_core::sync::{AtomicU32, acquire32};
use rustix::event::{EventfdFlags, eventfd};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// `FUTEX_WAITV_MAX` is 128; one is the thread's own word.
const MOST: usize = 127;
/// How often it looks where the kernel cannot sleep on so many words, or not on several at all.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How long it waits for an agent that was told, before it tells it again.
const TELL_AGAIN: Duration = Duration::from_millis(10);

/// Tells the agent, for as long as this is there.
#[derive(Debug)]
pub(super) struct Waker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// By node and number.
    bells: Mutex<BTreeMap<(u32, u32), Arc<Bells>>>,
    /// Steps when these change, and when the agent has taken what was posted.
    changed: AtomicU32,
    over: AtomicBool,
    due: OwnedFd,
}

impl Waker {
    /// Started by the agent's thread: it has the same descriptors.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(super) fn start() -> Result<Waker> {
        let due = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| from_errno(e, "cannot make an eventfd"))?;
        let (bells, over) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { bells, changed: AtomicU32::new(0), over, due });
        let theirs = Arc::clone(&shared);
        let thread = private_table::spawn_quiet("rsm-relay", move || theirs.run())?;
        Ok(Waker { shared, thread: Some(thread) })
    }

    /// Readable when something was posted.
    pub(super) fn due(&self) -> BorrowedFd<'_> {
        self.shared.due.as_fd()
    }

    /// Sleeps on this bell as well.
    pub(super) fn add(&self, node: u32, number: u32, bells: &Arc<Bells>) {
        self.shared.bells().insert((node, number), Arc::clone(bells));
        self.shared.step();
    }

    /// Does not any more.
    pub(super) fn remove(&self, node: u32, number: u32) {
        self.shared.bells().remove(&(node, number));
        self.shared.step();
    }

    /// Whether the agent was told since this was last asked; it takes what was posted next, and says [`so`](Self::taken).
    pub(super) fn was_told(&self) -> bool {
        rustix::io::read(&self.shared.due, &mut [0; 8]).is_ok()
    }

    /// What was posted was taken.
    pub(super) fn taken(&self) {
        self.shared.step();
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `run`.
        self.shared.over.store(true, Release);
        self.shared.step();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn bells(&self) -> MutexGuard<'_, BTreeMap<(u32, u32), Arc<Bells>>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step(&self) {
        // Release: pairs with the Acquire in `run`.
        self.changed.fetch_add(1, Release);
        futex::wake(&self.changed, 1);
    }

    fn run(&self) {
        loop {
            // Acquire: pairs with the Release of `step`.
            let changed = acquire32(&self.changed);
            // Acquire: pairs with the Release of whoever ends it.
            if self.over.load(Acquire) {
                return;
            }
            let bells: Vec<(u32, Arc<Bells>)> =
                self.bells().iter().map(|(&(_, number), bells)| (number, Arc::clone(bells))).collect();
            let mut words = vec![futex::Watched::word(&self.changed, changed)];
            let mut due = false;
            for (number, bells) in &bells {
                let Ok(bell) = bells.bell(*number) else { continue };
                let (posted, low) = bell.look_relayed();
                due |= posted;
                if words.len() <= MOST {
                    words.push(futex::Watched::low(bell.word(), low));
                }
            }
            if due {
                let _ = rustix::io::write(&self.due, &1u64.to_ne_bytes());
                futex::sleep(&self.changed, changed, Some(Instant::now() + TELL_AGAIN));
            } else if bells.len() > MOST || !futex::sleep_on_any(&words) {
                futex::sleep(&self.changed, changed, Some(Instant::now() + LOOK_AGAIN));
            }
        }
    }
}
