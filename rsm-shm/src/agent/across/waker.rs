//! Threads that sleep until something is posted for a waiter on the other host, and then tell the agent.
//!
//! They sleep on the bells themselves, as whoever waits does: who posts finds a sleeper there and wakes, and has nothing to know.
//! The kernel lets a thread sleep on 128 words, so there is one for each 127 bells.

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
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Most bells of one thread: `FUTEX_WAITV_MAX` is 128, and one is the thread's own word.
const MOST: usize = 127;
/// How often it looks where the kernel cannot sleep on so many words, or not on several at all.
const LOOK_AGAIN: Duration = Duration::from_millis(1);
/// How long it waits for an agent that was told, before it tells it again.
const TELL_AGAIN: Duration = Duration::from_millis(10);

/// Tells the agent, for as long as this is there.
#[derive(Debug)]
pub(super) struct Waker {
    due: Arc<OwnedFd>,
    /// One, and others where that has as many bells as it can sleep on.
    watches: Vec<Watch>,
    /// Which of them sleeps on a bell.
    of: BTreeMap<(u32, u32), usize>,
}

/// A thread, and what it sleeps on.
#[derive(Debug)]
struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// By node and number.
    bells: Mutex<BTreeMap<(u32, u32), Arc<Bells>>>,
    /// Steps when these change, and when the agent has taken what was posted.
    changed: AtomicU32,
    /// The agent was told, and has not taken it yet.
    told: AtomicBool,
    over: AtomicBool,
    due: Arc<OwnedFd>,
}

impl Waker {
    /// Started by the agent's thread: it has the same descriptors.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(super) fn start() -> Result<Waker> {
        let due = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| from_errno(e, "cannot make an eventfd"))?;
        let due = Arc::new(due);
        Ok(Waker { watches: vec![Watch::start(&due)?], due, of: BTreeMap::new() })
    }

    /// Readable when something was posted.
    pub(super) fn due(&self) -> BorrowedFd<'_> {
        self.due.as_fd()
    }

    /// Sleeps on this bell as well; called by the agent's thread.
    pub(super) fn add(&mut self, node: u32, number: u32, bells: &Arc<Bells>) {
        let room = self.watches.iter().position(|watch| watch.shared.bells().len() < MOST);
        // Without room for another thread one has more than it can sleep on, and looks now and then.
        let at = room.unwrap_or_else(|| {
            self.watches.extend(Watch::start(&self.due));
            self.watches.len() - 1
        });
        let shared = &self.watches[at].shared;
        shared.bells().insert((node, number), Arc::clone(bells));
        self.of.insert((node, number), at);
        shared.step();
    }

    /// Does not any more.
    pub(super) fn remove(&mut self, node: u32, number: u32) {
        if let Some(at) = self.of.remove(&(node, number)) {
            let shared = &self.watches[at].shared;
            shared.bells().remove(&(node, number));
            shared.step();
        }
    }

    /// Where something was posted, as far as the agent was told since this was last asked, among others; it takes that next, and
    /// says [`so`](Self::taken).
    pub(super) fn told(&self) -> Option<Vec<(u32, u32)>> {
        rustix::io::read(&self.due, &mut [0; 8]).ok()?;
        // Acquire: pairs with the Release of `run`.
        let told = self.watches.iter().filter(|watch| watch.shared.told.load(Acquire));
        Some(told.flat_map(|watch| watch.shared.bells().keys().copied().collect::<Vec<_>>()).collect())
    }

    /// What was posted was taken.
    pub(super) fn taken(&self) {
        // Relaxed: one that has told since is told so too early, and tells again.
        self.watches
            .iter()
            .filter(|watch| watch.shared.told.swap(false, Relaxed))
            .for_each(|watch| watch.shared.step());
    }
}

impl Watch {
    fn start(due: &Arc<OwnedFd>) -> Result<Watch> {
        let (bells, due) = (Mutex::default(), Arc::clone(due));
        let (told, over) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { bells, changed: AtomicU32::new(0), told, over, due });
        let theirs = Arc::clone(&shared);
        let thread = private_table::spawn_quiet("rsm-relay", move || theirs.run())?;
        Ok(Watch { shared, thread: Some(thread) })
    }
}

impl Drop for Watch {
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
                // Release: pairs with the Acquire of `told`.
                self.told.store(true, Release);
                let _ = rustix::io::write(&self.due, &1u64.to_ne_bytes());
                futex::sleep(&self.changed, changed, Some(Instant::now() + TELL_AGAIN));
            } else if bells.len() > MOST || !futex::sleep_on_any(&words) {
                futex::sleep(&self.changed, changed, Some(Instant::now() + LOOK_AGAIN));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::books::node::NodeBells;
    use crate::parking::Poster;
    use rsm_core::bell::Accumulate;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    const DEADLINE: Duration = Duration::from_secs(30);

    /// How often threads that wait for bells have gone to sleep; they have ended where they are not found any more.
    fn sleeps() -> u64 {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let texts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("status")).ok());
        let ours = texts.filter(|text| text.starts_with("Name:\trsm-relay\n"));
        let count = |text: String| {
            let count = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            count.map_or(0, |count| count.trim().parse::<u64>().unwrap())
        };
        ours.map(count).sum()
    }

    /// As many as there are, who waits for them sleeps, and wakes for each.
    #[test]
    fn many_bells_are_waited_for_asleep() {
        const BELLS: u32 = 300;
        if !futex::sleep_on_any(&[futex::Watched::word(&AtomicU32::new(0), 1)]) {
            println!("-- skipped: many bells: this kernel does not sleep on several words (futex_waitv, Linux 5.16)");
            return;
        }
        let map = NodeBells::create(BELLS).unwrap().map;
        let mut waker = Waker::start().unwrap();
        let epochs: Vec<u32> = (0..BELLS).map(|number| map.bell(number).unwrap().renew_relayed()).collect();
        (0..BELLS).for_each(|number| waker.add(1, number, &map));
        assert_eq!(waker.watches.len(), 3);
        let (began, mut before) = (Instant::now(), u64::MAX);
        while before != sleeps() {
            assert!(began.elapsed() < DEADLINE, "they do not sleep");
            before = sleeps();
            // Long enough for who looks each millisecond to be seen.
            std::thread::sleep(Duration::from_millis(50));
        }
        for number in [0, MOST as u32, BELLS - 1] {
            let bell = map.bell(number).unwrap();
            bell.post(epochs[number as usize], Accumulate::Yes, &Poster).unwrap();
            // Told again, where taking it takes longer than that.
            while !waker.told().is_some_and(|told| told.contains(&(1, number)) && told.len() < BELLS as usize) {
                waker.taken();
                let limit = Timespec { tv_sec: DEADLINE.as_secs().cast_signed(), tv_nsec: 0 };
                assert_eq!(poll(&mut [PollFd::new(&waker.due(), PollFlags::IN)], Some(&limit)), Ok(1));
            }
            assert_eq!(bell.take_relayed().signals, 1);
            waker.taken();
        }
        (0..BELLS).for_each(|number| waker.remove(1, number));
        assert!(waker.of.is_empty() && waker.watches.iter().all(|watch| watch.shared.bells().is_empty()));
    }
}
