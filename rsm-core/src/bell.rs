//! Bells: the counters that carry signals.
//!
//! A bell is 128 bytes in a node's bell memory: the longest cache line that processors have, and the pair of shorter ones
//! that others fetch together, so that pairs of processes that signal do not slow each other down. Word 0 packs an
//! *epoch* (32 bits), an *abort* flag and a *count* (31 bits); the futex is its low half, so both a post and an abort
//! change what a sleeper sleeps on. Word 1 counts sleepers. Several processes write here, each with atomic operations
//! only, and any of them may die between two instructions. The protocol keeps three promises whatever happens:
//!
//! * **The count is the truth, a wake is a hint.** A wake that is lost with its poster is made up by the next poster
//!   (sleepers are checked even when nothing was added) or by the agent when it reaps the dead process.
//! * **A signal carries what was put before it.** That holds for posts that add nothing as well: each of them writes the
//!   word, if with the value it had. A poster that only looked would be ordered with nobody: the waiter takes what is
//!   pending, does not see the data, and nobody comes again.
//! * **A post goes to the incarnation it was meant for.** A poster presents the epoch of its grant; a bell that was
//!   given to another connection, or whose export was withdrawn, has another epoch, and the compare-and-swap fails
//!   (D-62).
//!
//! # Sleeping without losing a wake
//!
//! A waiter raises `sleepers`, then the kernel compares the low half with "nothing pending" before it sleeps. A poster
//! raises the count, then looks at `sleepers`. Between the two steps of each stands a full fence, so at least one sees
//! the other: either the poster wakes, or the kernel refuses the sleep.
//!
//! # A waiter on another host
//!
//! Across a bridge nobody can add to a bell of the other host. The agent takes what is posted here, by a bell that it made for
//! it ([`renew_relayed`](Bell::renew_relayed)), and sends it there. It is counted as a sleeper for good, so a post comes
//! to the branch that wakes, and asks nothing more before that. At rest such a bell has a count of one, so that a post that
//! does not accumulate adds nothing by the rule that there is: whether anything is pending is known on the other host alone.
//! It notes itself with a bit of the count, once, if nothing else is on its way; which makes it the first of what the agent
//! takes next.
//!
//! # Crash
//!
//! A waiter killed asleep leaves `sleepers` one too high: later posts pay for a wake nobody needs. A poster killed
//! between count and wake leaves a sleeper asleep until the agent, reaping, wakes the bells the dead could post to.

use crate::crash_point;
use crate::error::{Code, Error, Result};
use crate::sync::{AtomicU32, AtomicU64, Ordering, fence, fence_after_rmw, mutated, spin_loop};
use Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

const ABORT: u64 = 1 << 31;
const COUNT: u64 = ABORT - 1;
/// Highest count; posts beyond it add nothing (D-58).
#[cfg(not(rsm_loom))]
pub const MAX_COUNT: u32 = COUNT as u32;
/// So low that models reach it.
#[cfg(rsm_loom)]
pub const MAX_COUNT: u32 = 3;

/// Count of a bell at rest whose waiter is on another host.
const AT_REST: u64 = 1;
/// The first of what is on its way there is a post that does not accumulate.
const SINGLE: u64 = 1 << 30;

/// Word 0 of a bell, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Word(u64);

impl Word {
    fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }
    fn is_aborted(self) -> bool {
        self.0 & ABORT != 0
    }
    fn count(self) -> u32 {
        (self.0 & COUNT) as u32
    }
    /// What is compared with the highest count, which is above the bit unless it is so low that models reach it.
    #[inline(always)]
    fn against_most(self) -> u32 {
        if cfg!(rsm_loom) { (self.0 & COUNT & !SINGLE) as u32 } else { self.count() }
    }
    fn low(self) -> u32 {
        self.0 as u32
    }
}

/// What was taken of a bell whose waiter is on another host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Posts that add to what is pending.
    pub signals: u32,
    /// Before all of these, one that adds only when nothing is.
    pub single: bool,
}

/// A bell in shared memory.
#[repr(C, align(128))]
#[derive(Debug)]
pub struct Bell {
    word: AtomicU64,
    sleepers: AtomicU32,
    /// 1: its waiter is on another host.
    relayed: AtomicU32,
    /// When the last signal arrives, where that is modelled; no part of what a bell is.
    arrival: AtomicU64,
    more: [AtomicU32; 26],
}

#[cfg(not(rsm_loom))]
const _: () = assert!(size_of::<Bell>() == 128);

/// Outcome of a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody woke us, or the word had changed already.
    Woken,
    /// The deadline passed.
    TimedOut,
    /// A signal handler ran.
    Interrupted,
    /// The cluster ended.
    Gone,
}

/// The system's part: sleeping on the low half of a word, and waking who sleeps there.
pub trait Park {
    /// Sleeps while the low half of `word` equals `expected`.
    fn sleep(&self, word: &AtomicU64, expected: u32) -> Wake;
    /// Wakes one sleeper.
    fn wake_one(&self, word: &AtomicU64);
    /// Wakes every sleeper.
    fn wake_all(&self, word: &AtomicU64);
}

/// Whether a post adds to what is already pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accumulate {
    /// Always adds one.
    Yes,
    /// Adds only when nothing is pending: `RSM_SIGPOST_NO_ACCUMULATE` (D-57).
    No,
}

impl Bell {
    /// A bell at rest, epoch 0: what fresh memory holds.
    pub fn new() -> Bell {
        Bell {
            word: AtomicU64::new(0),
            sleepers: AtomicU32::new(0),
            relayed: AtomicU32::new(0),
            arrival: AtomicU64::new(0),
            more: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    /// A signal that is posted next arrives at this time, if none arrives later.
    pub fn arrives(&self, time: u64) {
        // Relaxed: the post that follows releases it.
        self.arrival.fetch_max(time, Relaxed);
    }

    /// When the last of the signals arrives that were taken: an allegation.
    pub fn arrival(&self) -> u64 {
        // Relaxed: after the take, which acquires.
        self.arrival.load(Relaxed)
    }

    /// Adds one signal, if the bell is still in `epoch`, and wakes a sleeper. Where nothing is added, because something is
    /// pending already, who takes that sees what was put before this post all the same.
    ///
    /// # Errors
    /// CONN_ABORTED when the bell was aborted or went on to another epoch.
    ///
    /// # Crash
    /// Before the compare-and-swap: nothing happened. After it: see the module's last section.
    #[inline]
    pub fn post(&self, epoch: u32, accumulate: Accumulate, park: &impl Park) -> Result<()> {
        self.add(epoch, accumulate, || self.wake(park))
    }

    /// Wakes a sleeper, which who [adds](Self::add) a signal owes.
    pub fn wake(&self, park: &impl Park) {
        park.wake_one(&self.word);
    }

    /// [`post`](Self::post), but for the wake: where one is owed, `owed` is called.
    ///
    /// # Errors
    /// As there.
    #[inline(always)]
    pub fn add(&self, epoch: u32, accumulate: Accumulate, owed: impl FnOnce()) -> Result<()> {
        let mut seen = Word(self.word.load(Relaxed));
        loop {
            let stale = seen.epoch() != epoch && !mutated("bell_post_ignores_epoch");
            if stale || seen.is_aborted() {
                return Err(told_of_abort());
            }
            // The count from which on nothing is added.
            let full = match accumulate {
                Accumulate::Yes => MAX_COUNT,
                Accumulate::No => 1,
            };
            let adds = seen.against_most() < full;
            if !adds && mutated("bell_full_no_wake") {
                return Ok(());
            }
            if !adds && mutated("bell_full_unwritten") {
                break;
            }
            // Release: pairs with the Acquire of the take in `try_take`, so the waiter sees what was put before.
            let carry = if mutated("bell_release") { Relaxed } else { Release };
            if mutated("bell_blind_add") {
                self.word.fetch_add(1, carry);
                break;
            }
            // Written also when nothing is added: either the waiter that takes the pending signal reads this write, and
            // sees what was put before, or it took the signal already, and the word is another one by now.
            let next = seen.0 + u64::from(adds);
            match self.word.compare_exchange_weak(seen.0, next, carry, Relaxed) {
                Ok(_) => break,
                Err(now) => seen = Word(now),
            }
        }
        crash_point!(PostCounted);
        // Full fence; pairs with the one in `wait` between raising `sleepers` and sleeping.
        if !mutated("bell_post_fence") {
            fence_after_rmw();
        }
        // Looked at even when nothing was added: the poster of what is pending may have died owing the wake.
        if self.sleepers.load(Relaxed) != 0 {
            if accumulate == Accumulate::No {
                self.note_single(epoch);
            }
            owed();
        }
        crash_point!(PostDone);
        Ok(())
    }

    /// A post that does not accumulate has added nothing: where nothing is on its way to the waiter, on another host, it is.
    #[cold]
    #[inline(never)]
    fn note_single(&self, epoch: u32) {
        // Relaxed: written before the epoch was given to anybody.
        if self.relayed.load(Relaxed) == 0 {
            return;
        }
        let mut seen = Word(self.word.load(Relaxed));
        while seen.epoch() == epoch && !seen.is_aborted() && u64::from(seen.count()) == AT_REST {
            // Relaxed: after the full fence of the post, which so pairs with the Acquire in `take_relayed`.
            match self.word.compare_exchange_weak(seen.0, seen.0 | SINGLE, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => seen = Word(now),
            }
        }
    }

    /// Takes one signal if one is pending. Pending signals are delivered before an abort is told (D-60, D-90).
    ///
    /// # Errors
    /// CONN_ABORTED when nothing is pending and the bell was aborted.
    #[inline]
    pub fn try_take(&self) -> Result<bool> {
        match self.take() {
            Ok(()) => Ok(true),
            Err(seen) if seen.is_aborted() => Err(told_of_abort()),
            Err(_) => Ok(false),
        }
    }

    /// Takes one signal if one is pending, and says nothing of why there is none: for who asks then.
    #[inline(always)]
    pub fn take_pending(&self) -> bool {
        self.take().is_ok()
    }

    /// Takes one signal; gives the word that says that none is pending.
    #[inline(always)]
    fn take(&self) -> std::result::Result<(), Word> {
        let mut seen = Word(self.word.load(Relaxed));
        loop {
            if seen.count() == 0 || mutated("bell_abort_first") && seen.is_aborted() {
                return Err(seen);
            }
            // Acquire: pairs with the Release of `post`.
            match self.word.compare_exchange_weak(seen.0, seen.0 - 1, Acquire, Relaxed) {
                Ok(_) => {
                    crash_point!(TakeDone);
                    return Ok(());
                }
                Err(now) => seen = Word(now),
            }
        }
    }

    /// Takes one signal, spinning up to `spins` rounds and then sleeping as `park` allows.
    ///
    /// # Errors
    /// TIMEOUT, INTERRUPTED, CTLR_NOT_PRESENT as `park` says; CONN_ABORTED as in [`try_take`](Self::try_take).
    ///
    /// # Crash
    /// Killed asleep: `sleepers` stays one too high, see the module's last section.
    pub fn wait(&self, spins: u32, park: &impl Park) -> Result<()> {
        for _ in 0..spins {
            if self.try_take()? {
                return Ok(());
            }
            spin_loop();
        }
        loop {
            if self.try_take()? {
                return Ok(());
            }
            let wake = self.sleep(park);
            // A signal that came with the end of the sleep is not lost to it.
            if wake == Wake::Woken {
                continue;
            }
            if self.try_take()? {
                return Ok(());
            }
            return Err(Error::new(match wake {
                Wake::TimedOut => Code::Timeout,
                Wake::Interrupted => Code::Interrupted,
                Wake::Gone | Wake::Woken => Code::CtlrNotPresent,
            }));
        }
    }

    fn sleep(&self, park: &impl Park) -> Wake {
        // AcqRel, and the full fence: pairs with the one in `post` between count and `sleepers`.
        self.sleepers.fetch_add(1, AcqRel);
        if !mutated("bell_sleep_fence") {
            fence_after_rmw();
        }
        crash_point!(SleepCounted);
        let seen = Word(self.word.load(Relaxed));
        let wake =
            if seen.count() == 0 && !seen.is_aborted() { park.sleep(&self.word, seen.low()) } else { Wake::Woken };
        crash_point!(SleepOver);
        if !(mutated("bell_timeout_stays_counted") && wake == Wake::TimedOut) {
            self.sleepers.fetch_sub(1, Relaxed);
        }
        wake
    }

    /// State of the bell: signals pending, whether it was aborted, and the low half that a futex compares.
    pub fn look(&self) -> (u32, bool, u32) {
        // Acquire: pairs with the Release of `post`; who is told of a signal sees what was put before it.
        let word = Word(self.word.load(Acquire));
        (word.count(), word.is_aborted(), word.low())
    }

    /// Counts the caller as a sleeper for as long as it likes, so that every post wakes somebody; for who sleeps on
    /// many bells at once. It hands wakes on that were meant for another ([`look`](Self::look) says what is pending).
    pub fn enlist(&self) {
        self.sleepers.fetch_add(1, AcqRel);
        // Full fence: as in `sleep`, between counting and looking.
        if !mutated("bell_enlist_fence") {
            fence_after_rmw();
        }
    }

    /// Ends [`enlist`](Self::enlist).
    pub fn delist(&self) {
        self.sleepers.fetch_sub(1, Relaxed);
    }

    /// The word whose low half is the futex.
    pub fn word(&self) -> &AtomicU64 {
        &self.word
    }

    /// Signals pending now; for display.
    pub fn pending(&self) -> u32 {
        Word(self.word.load(Relaxed)).count()
    }

    // What follows is the agent's. It never loops on a word that others write.

    /// Tells every present and future waiter that the connection was cut.
    pub fn abort(&self, park: &impl Park) {
        if mutated("bell_abort_wakes_first") {
            park.wake_all(&self.word);
        }
        // Release: pairs with the fence of `told_of_abort`; who is told finds the generation stepped.
        self.word.fetch_or(ABORT, Release);
        if !mutated("bell_abort_no_wake") && !mutated("bell_abort_wakes_first") {
            park.wake_all(&self.word);
        }
    }

    /// Makes every grant given so far unable to post, keeping what is pending (D-62, D-64); returns the new epoch.
    pub fn step_epoch(&self) -> u32 {
        Word(self.word.fetch_add(1 << 32, AcqRel)).epoch().wrapping_add(1)
    }

    /// Prepares the bell for another connection: next epoch, nothing pending, not aborted; returns the epoch.
    pub fn renew(&self) -> u32 {
        let epoch = Word(self.word.load(Relaxed)).epoch().wrapping_add(1);
        // A plain store: a late post expects the old epoch, and its compare-and-swap fails against the new one.
        // Sleepers stay counted: a late one lowers the count itself, and one that died costs wakes and no more.
        self.word.store(u64::from(epoch) << 32, Release);
        if mutated("bell_renew_forgets_sleepers") {
            self.sleepers.store(0, Relaxed);
        }
        epoch
    }

    /// [`renew`](Self::renew) for a bell whose waiter is on another host: the agent counts as its sleeper.
    pub fn renew_relayed(&self) -> u32 {
        let epoch = Word(self.word.load(Relaxed)).epoch().wrapping_add(1);
        // Relaxed: before the epoch, which a poster is given by a message.
        self.relayed.store(1, Relaxed);
        self.sleepers.fetch_add(1, Relaxed);
        // A plain store: as in `renew`.
        self.word.store(u64::from(epoch) << 32 | AT_REST, Release);
        epoch
    }

    /// Takes what was posted for a waiter on another host, all of it.
    pub fn take_relayed(&self) -> Relayed {
        let posted = u64::from(Word(self.word.load(Relaxed)).count()).saturating_sub(AT_REST);
        if posted == 0 {
            return Relayed::default();
        }
        // Nobody else takes, and whoever posts adds. Acquire: pairs with the Release of `post`, and with its fence where
        // `note_single` came after it.
        self.word.fetch_sub(posted, if mutated("bell_relay_relaxed") { Relaxed } else { Acquire });
        let single = posted & SINGLE != 0 && !mutated("bell_relay_no_single");
        Relayed { signals: (posted & !SINGLE) as u32, single }
    }

    /// Whether [`take_relayed`](Self::take_relayed) would find something; and the low half that a futex compares.
    pub fn look_relayed(&self) -> (bool, u32) {
        let word = Word(self.word.load(Relaxed));
        (u64::from(word.count()) > AT_REST && !word.is_aborted(), word.low())
    }

    /// Ends [`renew_relayed`](Self::renew_relayed), after the epoch was stepped.
    pub fn end_relay(&self) {
        self.relayed.store(0, Relaxed);
        self.delist();
    }

    /// Posts as many signals at once as came from another host; the agent's, for whom every sleeper looks.
    ///
    /// # Errors
    /// CONN_ABORTED when the bell was aborted or went on to another epoch.
    pub fn post_many(&self, epoch: u32, signals: u32, park: &impl Park) -> Result<()> {
        let mut seen = Word(self.word.load(Relaxed));
        loop {
            if seen.epoch() != epoch || seen.is_aborted() {
                return Err(told_of_abort());
            }
            let more = signals.min(MAX_COUNT.saturating_sub(seen.count()));
            // Release: as in `post`, also when nothing is added.
            match self.word.compare_exchange_weak(seen.0, seen.0 + u64::from(more), Release, Relaxed) {
                Ok(_) => break,
                Err(now) => seen = Word(now),
            }
        }
        // Full fence; pairs with the one in `sleep`.
        fence_after_rmw();
        if self.sleepers.load(Relaxed) != 0 {
            if signals == 1 || mutated("bell_many_wakes_one") {
                park.wake_one(&self.word);
            } else {
                park.wake_all(&self.word);
            }
        }
        Ok(())
    }

    /// Makes every sleeper look again; for the reaper, who has learned of a death.
    pub fn nudge(&self, park: &impl Park) {
        // Full fence, between learning what the dead did and looking; pairs with the one in `sleep`.
        if !mutated("bell_nudge_fence") {
            fence(SeqCst);
        }
        if self.sleepers.load(Relaxed) != 0 && !mutated("bell_nudge_no_wake") {
            park.wake_all(&self.word);
        }
    }

    /// Whether waiting here can only end with CONN_ABORTED; for display.
    pub fn is_aborted(&self) -> bool {
        Word(self.word.load(Relaxed)).is_aborted()
    }

    /// Number of processes that sleep on the bell, leaked ones included.
    pub fn sleepers(&self) -> u32 {
        self.sleepers.load(Relaxed)
    }
}

/// The error for who finds the bell aborted, or gone on to another epoch.
#[cold]
fn told_of_abort() -> Error {
    // Acquire: pairs with the Release of `abort`, `step_epoch` and `renew`: what is asked of the connection next finds it
    // cut. Release: pairs with the fence of `Snapshot::judge_loads`: who is told of the cut here and stores to the memory
    // is in the place of `verdict::begin_owning`.
    if !mutated("bell_abort_acquire") {
        fence(if mutated("bell_abort_release") { Acquire } else { AcqRel });
    }
    Error::new(Code::ConnAborted)
}

impl Default for Bell {
    fn default() -> Bell {
        Bell::new()
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    /// Never sleeps: for paths that must not.
    struct NoPark;
    impl Park for NoPark {
        fn sleep(&self, _: &AtomicU64, _: u32) -> Wake {
            Wake::TimedOut
        }
        fn wake_one(&self, _: &AtomicU64) {}
        fn wake_all(&self, _: &AtomicU64) {}
    }

    #[test]
    fn counts_and_no_accumulate() {
        let bell = Bell::new();
        for _ in 0..3 {
            bell.post(0, Accumulate::Yes, &NoPark).unwrap();
        }
        bell.post(0, Accumulate::No, &NoPark).unwrap();
        for _ in 0..3 {
            bell.wait(0, &NoPark).unwrap();
        }
        assert_eq!(bell.wait(0, &NoPark).unwrap_err().code(), Code::Timeout);
        bell.post(0, Accumulate::No, &NoPark).unwrap();
        bell.post(0, Accumulate::No, &NoPark).unwrap();
        assert_eq!(bell.pending(), 1);
    }

    #[test]
    fn what_is_posted_for_another_host_is_taken_with_what_came_first() {
        let bell = Bell::new();
        let epoch = bell.renew_relayed();
        let post = |accumulate| bell.post(epoch, accumulate, &NoPark).unwrap();
        let taken = |signals, single| Relayed { signals, single };
        assert_eq!((bell.take_relayed(), bell.look_relayed().0), (taken(0, false), false));
        post(Accumulate::Yes);
        post(Accumulate::No);
        post(Accumulate::Yes);
        assert!(bell.look_relayed().0);
        assert_eq!(bell.take_relayed(), taken(2, false), "something was on its way");
        post(Accumulate::No);
        post(Accumulate::No);
        post(Accumulate::Yes);
        assert_eq!(bell.take_relayed(), taken(1, true));
        assert_eq!(bell.take_relayed(), taken(0, false));
        let next = bell.step_epoch();
        bell.end_relay();
        assert_eq!((bell.sleepers(), bell.renew()), (0, next + 1));
        bell.post(next + 1, Accumulate::No, &NoPark).unwrap();
        bell.post(next + 1, Accumulate::No, &NoPark).unwrap();
        assert_eq!(bell.pending(), 1);
    }

    #[test]
    fn many_are_posted_at_once() {
        let bell = Bell::new();
        bell.post_many(0, 3, &NoPark).unwrap();
        bell.post_many(0, u32::MAX, &NoPark).unwrap();
        assert_eq!(bell.pending(), MAX_COUNT);
        bell.abort(&NoPark);
        assert_eq!(bell.post_many(0, 1, &NoPark).unwrap_err().code(), Code::ConnAborted);
    }

    #[test]
    fn pending_signals_come_before_the_abort() {
        let bell = Bell::new();
        bell.post(0, Accumulate::Yes, &NoPark).unwrap();
        bell.abort(&NoPark);
        assert_eq!(bell.post(0, Accumulate::Yes, &NoPark).unwrap_err().code(), Code::ConnAborted);
        bell.wait(0, &NoPark).unwrap();
        assert_eq!(bell.wait(0, &NoPark).unwrap_err().code(), Code::ConnAborted);
    }

    #[test]
    fn an_epoch_step_keeps_what_is_pending_and_shuts_out_old_grants() {
        let bell = Bell::new();
        bell.post(0, Accumulate::Yes, &NoPark).unwrap();
        let epoch = bell.step_epoch();
        assert_eq!(bell.post(0, Accumulate::Yes, &NoPark).unwrap_err().code(), Code::ConnAborted);
        bell.post(epoch, Accumulate::Yes, &NoPark).unwrap();
        assert_eq!(bell.pending(), 2);
        let next = bell.renew();
        assert_ne!(next, epoch);
        assert_eq!(bell.pending(), 0);
        assert_eq!(bell.post(epoch, Accumulate::Yes, &NoPark).unwrap_err().code(), Code::ConnAborted);
    }

    /// Two posts that do not accumulate after each store: once they have returned, the taker has seen the store with a
    /// signal, or finds one. On real processors, which may let a load overtake an earlier store; with the look and no
    /// write about every second run of a release build fails. A million rounds take 0.2 s where both threads run.
    #[test]
    fn a_post_that_adds_nothing_is_not_lost() {
        const ROUNDS: u64 = if cfg!(miri) { 100 } else { 1_000_000 };
        const OVER: u64 = u64::MAX;
        let (bell, data) = (Bell::new(), AtomicU64::new(0));
        let (posted, answered) = (AtomicU64::new(0), AtomicU64::new(0));
        let pause = |looks: &mut u32| {
            *looks += 1;
            if looks.is_multiple_of(64) { std::thread::yield_now() } else { spin_loop() }
        };
        let began = std::time::Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1.. {
                    data.store(round, Relaxed);
                    bell.post(0, Accumulate::No, &NoPark).unwrap();
                    bell.post(0, Accumulate::No, &NoPark).unwrap();
                    posted.store(round, Release);
                    let mut looks = 0;
                    while answered.load(Acquire) < round {
                        pause(&mut looks);
                    }
                    if answered.load(Relaxed) == OVER {
                        return;
                    }
                }
            });
            let mut lost = 0;
            for round in 1.. {
                // Now and then just when the next store is on its way.
                for _ in 0..round % 7 {
                    spin_loop();
                }
                let mut looks = 0;
                loop {
                    let all_there = posted.load(Acquire) == round;
                    // Who has seen the store leaves what else is pending to the next round, whose posts find it there.
                    if bell.try_take().unwrap() {
                        if data.load(Relaxed) == round {
                            break;
                        }
                    } else if all_there {
                        lost += 1;
                        break;
                    }
                    pause(&mut looks);
                }
                if round == ROUNDS || round % 1024 == 0 && began.elapsed().as_secs() >= 2 {
                    answered.store(OVER, Release);
                    assert_eq!(lost, 0, "of {round} rounds");
                    return;
                }
                answered.store(round, Release);
            }
        });
    }

    #[test]
    fn the_count_saturates() {
        let bell = Bell::new();
        bell.word.store(u64::from(MAX_COUNT), Relaxed);
        bell.post(0, Accumulate::Yes, &NoPark).unwrap();
        assert_eq!(bell.pending(), MAX_COUNT);
        assert!(!bell.is_aborted());
    }

    proptest::proptest! {
        /// Epoch, abort flag and count do not run into each other, whatever is done to one of them.
        #[test]
        fn the_parts_of_a_word_do_not_mix(epoch: u32, count in 0..MAX_COUNT, aborted: bool) {
            let word = u64::from(epoch) << 32 | if aborted { ABORT } else { 0 } | u64::from(count);
            let parts = |word: Word| (word.epoch(), word.is_aborted(), word.count());
            assert_eq!(parts(Word(word)), (epoch, aborted, count));
            assert_eq!(Word(word).low(), word as u32);
            let bell = Bell::new();
            bell.word.store(word, Relaxed);
            assert_eq!(bell.post(epoch, Accumulate::Yes, &NoPark).is_ok(), !aborted);
            assert_eq!(parts(Word(bell.word.load(Relaxed))), (epoch, aborted, count + u32::from(!aborted)));
            bell.word.store(word, Relaxed);
            bell.abort(&NoPark);
            assert_eq!(bell.step_epoch(), epoch.wrapping_add(1));
            assert_eq!(parts(Word(bell.word.load(Relaxed))), (epoch.wrapping_add(1), true, count));
            assert_eq!(bell.renew(), epoch.wrapping_add(2));
            assert_eq!(parts(Word(bell.word.load(Relaxed))), (epoch.wrapping_add(2), false, 0));
        }
    }
}
