//! What a process has posted through the lens of its cluster: the log, who delivers, and when.
//!
//! Everything that is on its way through the imports of a membership lies in one log ([`rsm_core::lens::log`]). Whoever
//! works with it delivers what is due; the *courier*, a thread that is there while there are imports, does when nobody
//! else comes by.
//!
//! Pieces are delivered through the mapping that the import itself uses. So a withdrawal needs to know nothing of them: what
//! is delivered later lands on trash pages, as does what a plain import stores. No piece outlives its import.
//!
//! # Crash
//!
//! What is on its way when the process is killed, calls `_exit`, or executes another program, is lost; an end by `exit`
//! delivers it. A forked child has no part in it: its parent delivers. One that no hook ran for posts nothing, for it must
//! not wait for a lock that it may have inherited.
#![allow(unsafe_code)]

use super::pace::Pace;
use super::twin::{Follow, Stored, Twin};
use crate::futex;
use crate::membership::fork;
use crate::membership::race::posted;
use crate::membership::trace::Tracing;
use crate::memory::copy::Word;
use crate::memory::tables::RecordMap;
use crate::parking::Poster;
use crate::private_table;
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::lens::Lens;
use rsm_core::lens::fault::Fault;
use rsm_core::lens::inject::{Injector, Place};
use rsm_core::lens::log::{Key, Log, Piece, Posted, Target};
use rsm_core::lens::record::RecordRow;
use rsm_core::sync::{AtomicU32, fence};
use rsm_core::verdict::BarrierType;
use rsm_core::{Code, Error, Result};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Longer than this is slept; shorter is waited for.
const SPIN: Duration = Duration::from_micros(100);

/// How often the courier looks at mappings while something changes, and at last when nothing does.
const SHORTEST_TICK: u64 = 50_000;
const LONGEST_TICK: u64 = 5_000_000;

/// Which mappings are meant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mapped {
    All,
    /// Those of an import.
    Of(Key),
    /// Those of all imports from a node.
    From(u32),
}

impl Mapped {
    fn has(self, twin: &Twin) -> bool {
        match self {
            Mapped::All => true,
            Mapped::Of(key) => twin.key == key,
            Mapped::From(node) => twin.node == node,
        }
    }
}

/// Nanoseconds since the process first asked.
pub(in crate::membership) fn now() -> u64 {
    start().elapsed().as_nanos() as u64
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

/// Returns when it is `due`.
pub(in crate::membership) fn pause_until(due: u64) {
    loop {
        match Duration::from_nanos(due.saturating_sub(now())) {
            Duration::ZERO => return,
            left if left > SPIN => std::thread::sleep(left - SPIN / 2),
            _ => std::thread::yield_now(),
        }
    }
}

/// What a piece carries.
#[derive(Clone, Debug)]
pub(super) enum Cargo {
    /// The words that the bytes lie in, for the memory at `base`.
    Words { base: *mut u8, words: Box<[u64]> },
    /// Bytes of the program's that are read when they are delivered, as a device would.
    Source { base: *mut u8, from: *const u8 },
    /// A signal.
    Signal { bell: NonNull<Bell>, epoch: u32, accumulate: Accumulate, arrival: u64 },
}

// SAFETY: the pointers lead into mappings that outlive the piece, by the promise of `Posting::enter`, or are only read in a
// way that reports what cannot be.
unsafe impl Send for Cargo {}

/// The log of a membership.
#[derive(Debug)]
pub(in crate::membership) struct Posting {
    lens: Lens,
    posted: Posted<Cargo>,
    /// Imports, each with what was put through it and could not be read any more when it was to be delivered; no barrier has
    /// told yet. Under the lock of the log.
    unread: Mutex<Vec<Key>>,
    /// The mappings of its imports; under the lock of the log.
    twins: Mutex<Vec<Twin>>,
    /// How long calls take.
    pace: Option<Pace>,
    /// What goes wrong, and when.
    faults: Mutex<Injector>,
    /// Where that is noted.
    tracing: Option<Arc<Tracing>>,
    /// Where this process says what became of what it posted, and [`fork::count`] of it; locked last.
    record: Mutex<Option<(u32, RecordMap)>>,
    /// [`fork::count`] of the process whose pieces it holds. Changes under [`fork::hold`], as the two below.
    process: AtomicU32,
    courier: AtomicBool,
    /// When the courier will look next; changes under the lock of the log.
    next_look: AtomicU64,
    /// The courier sleeps on it.
    word: AtomicU32,
}

/// The posting of each membership of the process: what its end delivers.
static ALL: Mutex<Vec<Weak<Posting>>> = Mutex::new(Vec::new());

impl Posting {
    /// Nothing is posted by `node`.
    pub(in crate::membership) fn new(lens: Lens, node: u32, tracing: Option<Arc<Tracing>>) -> Arc<Posting> {
        static HOOKS: Once = Once::new();
        HOOKS.call_once(|| {
            fork::end_with(after_fork);
            // SAFETY: a function that is never unloaded before it is called: the C library knows whose it is. Without
            // memory for it, what is on its way at the end is lost.
            unsafe { libc::atexit(deliver_all) };
        });
        let posting = Arc::new(Posting {
            lens,
            posted: Posted::new(Log::new(&lens, node)),
            unread: Mutex::default(),
            twins: Mutex::default(),
            pace: Pace::of(&lens),
            faults: Mutex::new(Injector::new(&lens, node)),
            tracing,
            record: Mutex::default(),
            process: AtomicU32::new(fork::count()),
            courier: AtomicBool::new(false),
            next_look: AtomicU64::new(u64::MAX),
            word: AtomicU32::new(0),
        });
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|posting| posting.strong_count() > 0);
        all.push(Arc::downgrade(&posting));
        posting
    }

    /// The lens.
    pub(super) fn lens(&self) -> &Lens {
        &self.lens
    }

    /// Works with the log. Forks are held off: a child must not inherit the lock in the hands of another thread. `None` in
    /// a child that no hook ran for.
    pub(super) fn with<T>(&self, work: impl FnOnce(&Posted<Cargo>) -> T) -> Option<T> {
        if fork::is_unannounced() {
            return None;
        }
        let _hold = fork::hold();
        self.with_held(work)
    }

    /// [`with`](Self::with) for who holds forks off already.
    fn with_held<T>(&self, work: impl FnOnce(&Posted<Cargo>) -> T) -> Option<T> {
        if fork::is_unannounced() {
            return None;
        }
        // Relaxed: under `hold`.
        if self.process.load(Relaxed) != fork::count() {
            self.posted.lock().forget_all();
            self.unread().clear();
            self.twins().iter_mut().for_each(Twin::forget);
            self.faults().forget_told();
            self.courier.store(false, Relaxed);
            self.process.store(fork::count(), Relaxed);
        }
        Some(work(&self.posted))
    }

    /// Takes an import in, and sees that there is a courier. Gives too which import of its segment this is, from 1.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without room for a thread.
    ///
    /// # Safety
    /// What is posted with the key names memory that is mapped until [`leave`](Self::leave) returns.
    pub(super) unsafe fn enter(self: &Arc<Posting>, node: u32, id: u32) -> Result<(Key, u64)> {
        let begin = |posted: &Posted<Cargo>| {
            let mut log = posted.lock();
            let key = log.enter(node, id);
            self.faults().loud();
            self.keep_courier().map(|()| (key, log.nth(key))).inspect_err(|_| log.leave(key))
        };
        self.with(begin).unwrap_or_else(|| Err(Error::new(Code::CtlrNotPresent)))
    }

    /// Starts a courier, if there is none in this process. Under [`fork::hold`].
    fn keep_courier(self: &Arc<Posting>) -> Result<()> {
        if self.courier.load(Relaxed) {
            return Ok(());
        }
        let posting = Arc::clone(self);
        private_table::spawn_quiet("rsm-courier", move || posting.carry_on())?;
        self.courier.store(true, Relaxed);
        Ok(())
    }

    /// Sees that there is a courier where there are mappings to be looked at: also in a forked child, which has none at first.
    /// Under [`fork::hold`].
    pub(super) fn keep_looking(self: &Arc<Posting>) {
        if !self.twins().is_empty() {
            // Without one, whoever comes by next looks.
            let _ = self.keep_courier();
        }
    }

    /// Delivers what is due, for as long as there are imports.
    fn carry_on(&self) {
        // SAFETY: a plain call. Sleeps end when they should, not when the kernel has something else to do as well.
        unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1000) };
        let mut tick = SHORTEST_TICK;
        loop {
            // Acquire: pairs with the Release of `wake_courier`.
            let seen = self.word.load(Acquire);
            let turn = |posted: &Posted<Cargo>| {
                let mut log = posted.lock();
                let changed = self.look(&mut log, Mapped::All, Follow::Slice);
                let log = self.turn(log, posted, now());
                if log.is_idle() {
                    self.courier.store(false, Relaxed);
                    return None;
                }
                let mut next = log.next_due().unwrap_or(u64::MAX);
                if !self.twins().is_empty() {
                    tick = if changed { SHORTEST_TICK } else { (tick * 2).min(LONGEST_TICK) };
                    next = next.min(now() + tick);
                }
                self.next_look.store(next, Relaxed);
                Some(next)
            };
            let Some(next) = self.with(turn).flatten() else { return };
            let deadline = (next != u64::MAX).then(|| start() + Duration::from_nanos(next));
            let _ = futex::sleep(&self.word, seen, deadline);
        }
    }

    /// Posts pieces, after what was stored through `mapped`; those that are due at once are delivered when this returns.
    /// Gives them back in a child that no hook ran for.
    pub(super) fn post(
        self: &Arc<Posting>,
        key: Key,
        mapped: Mapped,
        pieces: Vec<(Target, Cargo)>,
    ) -> Option<Vec<(Target, Cargo)>> {
        let mut pieces = Some(pieces);
        self.enter_pieces(mapped, |log, now| {
            for (target, cargo) in pieces.take().into_iter().flatten() {
                let mut twins = self.twins();
                for twin in twins.iter_mut().filter(|twin| twin.key == key) {
                    twin.note_posted(target);
                    show(twin, target, &cargo);
                }
                log.post(key, target, cargo, now);
            }
        });
        pieces
    }

    /// Posts signals likewise, each so much later, and waiting for the next one or not.
    pub(super) fn signal(self: &Arc<Posting>, key: Key, mapped: Mapped, signals: &[(Cargo, u64, bool)]) {
        self.enter_pieces(mapped, |log, now| {
            for (cargo, by, waits) in signals {
                log.signal(key, cargo.clone(), now, *by, *waits);
            }
        });
    }

    /// Enters pieces into the log, after what was stored through `mapped`; not in a child that no hook ran for.
    fn enter_pieces(self: &Arc<Posting>, mapped: Mapped, enter: impl FnOnce(&mut Log<Cargo>, u64)) {
        let post = |posted: &Posted<Cargo>| {
            let mut log = posted.lock();
            self.look(&mut log, mapped, Follow::Nothing);
            let now = now();
            enter(&mut log, now);
            let log = self.turn(log, posted, now);
            let next = log.next_due().unwrap_or(u64::MAX);
            // In a forked child it may be another's; without one, whoever comes by next delivers.
            let _ = self.keep_courier();
            next < self.next_look.load(Relaxed)
        };
        if self.with(post) == Some(true) {
            self.wake_courier();
        }
    }

    fn wake_courier(&self) {
        // Release: pairs with the Acquire of `carry_on`.
        self.word.fetch_add(1, Release);
        futex::wake(&self.word, 1);
    }

    /// What goes wrong. Under [`with`](Self::with).
    pub(super) fn faults(&self) -> MutexGuard<'_, Injector> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fault is to happen at this call, which is noted; if so, a number to draw from how much of it. Never where
    /// the cluster has no such fault, nor in a child that no hook ran for.
    pub(in crate::membership) fn meets(&self, fault: Fault, place: Place) -> Option<u64> {
        if !self.lens.faults.has(fault) {
            return None;
        }
        self.with(|_| self.draw(fault, place)).flatten()
    }

    /// [`meets`](Self::meets) for who holds forks off already.
    pub(super) fn meets_held(&self, fault: Fault, place: Place) -> Option<u64> {
        if !self.lens.faults.has(fault) {
            return None;
        }
        self.with_held(|_| self.draw(fault, place)).flatten()
    }

    fn draw(&self, fault: Fault, place: Place) -> Option<u64> {
        let number = self.faults().draw(fault, place)?;
        self.note(fault, place);
        Some(number)
    }

    /// A fault has happened. Under [`with`](Self::with).
    pub(super) fn note(&self, fault: Fault, place: Place) {
        let mut faults = self.faults();
        faults.note(fault, place);
        if let Some(tracing) = &self.tracing {
            tracing.note_fault(fault, place);
        }
        self.write(|row| row.write_faults(faults.injected()));
    }

    /// How long calls take, where the cluster has a profile.
    pub(in crate::membership) fn pace(&self) -> Option<&Pace> {
        self.pace.as_ref()
    }

    /// Says how long they would have taken.
    pub(in crate::membership) fn note_modelled(&self) {
        if let Some(time) = self.pace.as_ref().and_then(Pace::modelled) {
            let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            self.with(|_| self.write(|row| row.write_modelled(time)));
        }
    }

    /// Writes to the record of this process.
    fn write(&self, what: impl FnOnce(&RecordRow)) {
        if let Some((process, record)) = &*self.record.lock().unwrap_or_else(PoisonError::into_inner)
            && *process == fork::count()
        {
            what(record.row());
        }
    }

    fn twins(&self) -> MutexGuard<'_, Vec<Twin>> {
        self.twins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts what the program has stored through mappings, and lets them follow. Whether anything
    /// had changed.
    pub(super) fn look(&self, log: &mut Log<Cargo>, mapped: Mapped, follow: Follow) -> bool {
        let (mut twins, now) = (self.twins(), now());
        let (mut changed, mut stored) = (false, Vec::new());
        for twin in twins.iter_mut().filter(|twin| mapped.has(twin)) {
            changed |= twin.find_stores(&mut stored);
        }
        let model = self.lens.model.unwrap_or_default();
        for Stored { key, base, offset, length, words } in stored {
            let first = offset & !7;
            for (at, length) in model.cuts(offset, length) {
                let target = Target::Bytes { offset: at, length };
                let range = ((at - first) / 8) as usize..((at + length - first).div_ceil(8)) as usize;
                twins.iter_mut().filter(|twin| twin.key == key).for_each(|twin| twin.note_posted(target));
                log.post_found(key, target, Cargo::Words { base, words: words[range].into() }, now);
            }
        }
        for twin in twins.iter_mut().filter(|twin| mapped.has(twin)) {
            changed |= twin.follow_some(follow);
        }
        changed
    }

    /// [`look`](Self::look), for who has no other business with the log.
    pub(in crate::membership) fn look_at_all(&self) {
        self.with(|posted| self.look(&mut posted.lock(), Mapped::All, Follow::All));
    }

    /// Lets mappings of an import show what was put through it and has arrived.
    pub(super) fn follow_bytes(&self, key: Key, target: Target) {
        self.with(|posted| {
            let _log = posted.lock();
            self.twins().iter_mut().filter(|twin| twin.key == key).for_each(|twin| twin.follow_bytes(target));
        });
    }

    /// Executes a piece.
    pub(super) fn deliver(&self, piece: &Piece<Cargo>) {
        if !execute(piece.target, &piece.cargo) {
            self.unread().push(piece.import);
        }
        self.note_end(piece);
    }

    fn unread(&self) -> MutexGuard<'_, Vec<Key>> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something that a barrier of this type waited for could not be read any more; from now on it is told.
    pub(super) fn take_unread(&self, log: &Log<Cargo>, key: Key, kind: BarrierType) -> bool {
        self.unread().extract_if(.., |other| log.reaches(key, kind, *other)).count() > 0
    }

    /// Loses some of what is on its way through an import; `number` draws which. Under [`with`](Self::with).
    pub(super) fn lose(&self, log: &mut Log<Cargo>, key: Key, number: u64) {
        log.lose(key, number).iter().for_each(|piece| self.note_end(piece));
    }

    /// A piece is on its way no more.
    fn note_end(&self, piece: &Piece<Cargo>) {
        let mut twins = self.twins();
        twins.iter_mut().filter(|twin| twin.key == piece.import).for_each(|twin| twin.note_arrival(piece.target));
    }

    /// Says what becomes of what is posted here from now on. The caller holds forks off.
    pub(in crate::membership) fn record_in(&self, record: RecordMap) {
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = Some((fork::count(), record));
    }

    /// Delivers what is due, and says so.
    fn turn<'a>(
        &self,
        log: MutexGuard<'a, Log<Cargo>>,
        posted: &'a Posted<Cargo>,
        now: u64,
    ) -> MutexGuard<'a, Log<Cargo>> {
        let log = posted.turn_with(log, now, |piece| self.deliver(piece));
        self.write(|row| row.write(log.delivered()));
        log
    }

    /// Delivers what is due; gives when the last store is that a barrier waits for, of the `first` pieces.
    pub(super) fn settle(
        &self,
        posted: &Posted<Cargo>,
        (key, kind, first): (Key, BarrierType, u64),
        now: u64,
    ) -> Option<u64> {
        self.turn(posted.lock(), posted, now).last_due_of(key, kind, first)
    }

    /// Takes in a mapping, for which the courier will look from now on. The caller holds forks off.
    pub(super) fn enter_twin(self: &Arc<Posting>, mut twin: Twin) {
        self.with_held(|posted| {
            let log = posted.lock();
            let (offset, length) = twin.range();
            for piece in log.over(twin.key, offset, length) {
                twin.note_posted(piece.target);
                show(&mut twin, piece.target, &piece.cargo);
            }
            self.twins().push(twin);
            self.keep_looking();
        });
        self.wake_courier();
    }

    /// Before something else is mapped at these addresses: looks at all mappings, and relies no more on what the kernel tells
    /// of those that lie there. The caller holds forks off.
    pub(super) fn map_over(&self, start: *mut u8, length: usize) {
        self.with_held(|posted| {
            self.look(&mut posted.lock(), Mapped::All, Follow::Nothing);
            self.twins().iter_mut().for_each(|twin| twin.map_over(start, length));
        });
    }

    /// Forgets the mapping of an import that begins here, after a last look.
    pub(super) fn leave_twin(&self, key: Key, start: *mut u8) {
        let leave = |posted: &Posted<Cargo>| {
            let mut log = posted.lock();
            self.look(&mut log, Mapped::All, Follow::Nothing);
            let gone: Vec<Twin> =
                self.twins().extract_if(.., |twin| twin.key == key && twin.start() == start).collect();
            drop(self.turn(log, posted, now()));
            drop(gone);
        };
        self.with(leave);
    }

    /// Forgets an import. What is still on its way through it is delivered.
    pub(super) fn leave(&self, key: Key) {
        let leave = |posted: &Posted<Cargo>| {
            let mut log = posted.lock();
            for piece in log.take_all(key) {
                self.deliver(&piece);
            }
            log.leave(key);
            self.unread().retain(|other| *other != key);
        };
        self.with(leave);
        // The courier ends when the last import has gone.
        self.wake_courier();
    }

    /// Delays nothing and injects nothing from now on, until something is exported or imported again.
    pub(in crate::membership) fn quiet(&self) {
        self.with(|posted| {
            posted.lock().quiet();
            self.faults().quiet();
        });
    }

    /// Delivers signals, due or not.
    pub(in crate::membership) fn deliver_signals(&self) {
        self.with(|posted| posted.lock().take_signals().iter().for_each(|piece| self.deliver(piece)));
    }

    /// Delays and injects again.
    pub(in crate::membership) fn loud(&self) {
        self.with(|posted| {
            posted.lock().loud();
            self.faults().loud();
        });
    }
}

/// In a forked child, before its program goes on: what it has inherited is its parent's.
fn after_fork() {
    // One that another thread of the parent held is nobody's here; then the first call finds out by itself.
    let Ok(all) = ALL.try_lock() else { return };
    for posting in all.iter().filter_map(Weak::upgrade) {
        posting.with(|_| {});
    }
}

/// Lets a mapping show what is put through its import, if that is known already.
fn show(twin: &mut Twin, target: Target, cargo: &Cargo) {
    // What is read late is not.
    let Cargo::Words { words, .. } = cargo else { return };
    let Target::Bytes { offset, .. } = target else { return };
    twin.show(target, |word: u64| words.get(((word - (offset & !7)) / 8) as usize).copied());
}

/// At the end of the process.
extern "C" fn deliver_all() {
    let all: Vec<_> = ALL.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect();
    for posting in all {
        let last = |posted: &Posted<Cargo>| {
            let mut log = posted.lock();
            posting.look(&mut log, Mapped::All, Follow::Nothing);
            drop(posting.turn(log, posted, u64::MAX));
        };
        posting.with(last);
    }
}

/// Executes what was to be posted; `false` where the program has no longer what it is to be read from.
pub(super) fn execute(target: Target, cargo: &Cargo) -> bool {
    // One after the other as they are due: pairs with the acquire by which the exporter's program looks at what came last, as
    // after a store of its own. Posts have one too.
    fence(Release);
    let (offset, length) = match (cargo, target) {
        (Cargo::Signal { bell, epoch, accumulate, arrival }, _) => {
            // SAFETY: the bell is in memory that outlives the import. One whose export has ended says so to who waits.
            let bell = unsafe { bell.as_ref() };
            if *arrival > 0 {
                bell.arrives(*arrival);
            }
            let _ = bell.post(*epoch, *accumulate, &Poster);
            return true;
        }
        (_, Target::Bytes { offset, length }) => (offset, length),
        (_, Target::Bell) => return true,
    };
    if let Cargo::Words { base, .. } | Cargo::Source { base, .. } = cargo {
        posted::deliver(*base, offset, length);
    }
    match cargo {
        // SAFETY: inside of the segment, which was checked when it was posted and stays mapped and writable.
        Cargo::Words { base, words } => unsafe { store(*base, offset, length, words) },
        Cargo::Source { base, from } => {
            let Some(words) = fetch(*from, offset, length) else { return false };
            // SAFETY: as above.
            unsafe { store(*base, offset, length, &words) };
        }
        Cargo::Signal { .. } => {}
    }
    true
}

/// The words that these bytes lie in, read from the program's memory; `None` where there is none any more.
pub(super) fn fetch(from: *const u8, offset: u64, length: u64) -> Option<Box<[u64]>> {
    let mut words = room(offset, length);
    let into = place_in(&mut words, offset);
    let (local, remote) = (
        libc::iovec { iov_base: into.cast(), iov_len: length as usize },
        libc::iovec { iov_base: from.cast_mut().cast(), iov_len: length as usize },
    );
    // SAFETY: the room is as large as told; what cannot be read is reported, not touched.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    (read == length as isize).then_some(words)
}

/// Whether the program's memory can be read so that what is not there is reported: some filters refuse it.
pub(super) fn can_fetch() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    let byte = 0u8;
    *CAN.get_or_init(|| fetch(&raw const byte, 0, 1).is_some())
}

/// Words for bytes at this place of a segment.
pub(super) fn room(offset: u64, length: u64) -> Box<[u64]> {
    vec![0; ((offset + length).div_ceil(8) - offset / 8) as usize].into()
}

/// Where the first of the bytes is in their words: at the same place in its word as in the segment.
pub(super) fn place_in(words: &mut [u64], offset: u64) -> *mut u8 {
    words.as_mut_ptr().cast::<u8>().wrapping_add((offset % 8) as usize)
}

/// Stores bytes, each word of them with one access, and what is less than a word with the widest that fit.
///
/// # Safety
/// They lie inside of the segment at `base`, which may be written; `words` are those that they lie in.
unsafe fn store(base: *mut u8, offset: u64, length: u64, words: &[u64]) {
    let bytes = words.as_ptr().cast::<u8>().wrapping_sub((offset & !7) as usize);
    let (mut at, end) = (offset, offset + length);
    while at < end {
        let widest = 1 << (at | 8).trailing_zeros();
        let width = if widest <= end - at { widest } else { 1 << (end - at).ilog2() };
        let (from, to) = (bytes.wrapping_add(at as usize), base.wrapping_add(at as usize));
        // SAFETY: inside of the words and of the segment, at a multiple of the width in both.
        unsafe {
            match width {
                8 => u64::store(to, from.cast::<u64>().read()),
                4 => u32::store(to, from.cast::<u32>().read()),
                2 => u16::store(to, from.cast::<u16>().read()),
                _ => u8::store(to, from.read()),
            }
        }
        at += width;
    }
}
