//! Looking for races, in a cluster whose lens has that done: what of a process's calls is told to [`rsm_race`].
//!
//! One of the taps (`membership/taps.rs`). As for a trace, imports of such a cluster are diverted, and waits and requests look at the
//! taps. What a program does with memory itself is told only by one that was built so ([`abi`]).

pub mod abi;
pub mod cxx;
pub mod granules;
pub mod layer;
pub(super) mod outside;
mod pages;
mod place;
pub(super) mod posted;
mod ranges;
pub(super) mod seen;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod slots;
pub(super) mod sources;
pub mod threads;
pub mod token;
mod trails;

use super::segment::Segment;
use super::{Membership, fork};
use crate::memory::races::RaceMap;
use pages::Pages;
pub(super) use place::{Passing, is_word, word_of};
pub(super) use ranges::Watched;
use rsm_core::Code;
use rsm_core::bell::Bell;
use rsm_core::message::Ask;
use rsm_race::clock::Who;
use rsm_race::place::{NO_LINES, Place};
use rsm_race::process::Process;
use rsm_race::table::Table;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Where this process tells what it does. It stays as long as the process: who was built to be looked at may look there
/// whenever.
#[derive(Debug)]
pub(super) struct Racing {
    map: RaceMap,
    node: u32,
    /// The name of the process's clock, and above it [`fork::count`] of the process. 0: it has none.
    id: AtomicU64,
    pages: Pages,
    /// The hardware that is meant carries no atomic updates to other nodes.
    no_atomics: bool,
}

/// What is known of an import where races are looked for.
#[derive(Debug, Default)]
pub(super) struct Raced {
    /// The name of its clock, and above it [`fork::count`] of the process whose it is.
    pub(super) import: AtomicU64,
    /// Its segment's first line and one more; 0: not known yet.
    pub(super) lines: AtomicU64,
}

/// A name, in this process.
fn named(id: usize) -> u64 {
    u64::from(fork::count()) << 32 | id as u64
}

/// The name in a word, if it is one of this process.
pub(super) fn name_in(word: &AtomicU64) -> Option<usize> {
    // Acquire: pairs with the Release of who stores it; then what it names is there.
    let word = word.load(Acquire);
    (word >> 32 == u64::from(fork::count())).then_some(word as u32 as usize)
}

/// Stores a name.
pub(super) fn name(word: &AtomicU64, id: usize) {
    // Release: pairs with the Acquire of `name_in`.
    word.store(named(id), Release);
}

/// A call has failed: that may tell of anything, and may have ended any span.
pub(super) fn fails(process: Process<'_>) {
    sources::forget();
    process.failed();
}

impl Racing {
    /// The process of a membership begins to tell.
    /// `pages`: what it stores into its own memory is looked for.
    /// `no_atomics`: the hardware that is meant carries no atomic updates to other nodes.
    pub(super) fn begin(
        map: RaceMap,
        node: u32,
        membership: u64,
        (pages, no_atomics): (bool, bool),
    ) -> &'static Racing {
        let racing =
            Box::leak(Box::new(Racing { map, node, id: AtomicU64::new(0), pages: Pages::new(pages), no_atomics }));
        racing.join_again(membership);
        if pages
            && !seen::is_whole()
            && let Some(process) = racing.process()
        {
            process.look_at_pages();
        }
        threads::joins(racing);
        racing
    }

    /// A forked child does, as another process.
    pub(super) fn join_again(&self, membership: u64) {
        let who = Who { node: self.node, pid: std::process::id() };
        let process = Process::join(self.table(), who, membership, seen::is_whole());
        name(&self.id, process.map_or(0, Process::id));
    }

    pub(super) fn table(&self) -> Table<'_> {
        self.map.table()
    }

    /// The process, or the thread of it that this is, if it has a clock. What one does that has none yet cannot be known.
    pub(super) fn process(&self) -> Option<Process<'_>> {
        match name_in(&self.id) {
            Some(0) => None,
            Some(id) => {
                let process = Process::with_id(self.table(), threads::current(self, id));
                abi::learn_of_reads(process);
                self.look_at_pages(process);
                Some(process)
            }
            None => {
                self.table().give_up();
                None
            }
        }
    }

    /// Where a segment is looked at.
    pub(super) fn place(&self, incarnation: u64, bytes: u64, (node, id): (u32, u32)) -> Place {
        let lines = self.table().lines_of(incarnation, bytes).unwrap_or(NO_LINES);
        Place { lines, node, id }
    }
}

/// What a request is about, for what is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Its memory is nobody else's when this is done.
    Withdrawal,
    Other,
}

impl Membership {
    pub(super) fn racing(&self) -> Option<&'static Racing> {
        self.shared.taps.racing
    }

    pub(super) fn racer(&self) -> Option<Process<'static>> {
        self.racing()?.process()
    }

    /// A request is about to be made.
    pub(super) fn race_asks(&self, ask: &Ask) -> Option<Asked> {
        let process = self.racer()?;
        process.heard();
        Some(match ask {
            Ask::Publish { .. } => {
                // Somebody may have taken it back by force since.
                process.taken_back();
                Asked::Other
            }
            Ask::Unpublish { .. } | Ask::Destroy { .. } => Asked::Withdrawal,
            _ => Asked::Other,
        })
    }

    /// It was answered.
    pub(super) fn race_answered(&self, asked: Option<Asked>, well: bool) {
        let (Some(asked), Some(process)) = (asked, self.racer()) else { return };
        match asked {
            _ if !well => fails(process),
            Asked::Withdrawal => process.taken_back(),
            Asked::Other => {}
        }
    }

    /// A withdrawal has come to its end, or importers have gone.
    pub(super) fn race_takes_back(&self) {
        if let Some(process) = self.racer() {
            process.taken_back();
        }
    }

    /// A signal was taken from this bell.
    pub(super) fn race_waited(&self, bell: &Bell) {
        if let Some(process) = self.racer() {
            process.waited(self.number_of(bell).0);
        }
    }

    /// A wait has failed; that a connection was cut may tell anything.
    pub(super) fn race_wait_failed(&self, code: Code) {
        if code == Code::ConnAborted
            && let Some(process) = self.racer()
        {
            fails(process);
        }
    }

    /// The program has looked how many import what it exports.
    pub(super) fn race_hears(&self) {
        if let Some(process) = self.racer() {
            process.heard();
        }
    }

    /// A signal is about to be posted to all importers of an export.
    pub(super) fn race_posts_to_all(&self) {
        if let Some(process) = self.racer() {
            process.post_to_all();
            self.race_has_told();
        }
    }

    /// It has told others something: what it stores from now on is no part of that.
    fn race_has_told(&self) {
        let _ = self.racer();
    }

    /// The program is given a descriptor that says when there is a signal.
    pub(super) fn race_polls(&self) {
        if let Some(process) = self.racer() {
            process.polls();
        }
    }

    /// A wait begins: what was stored before is of the time before.
    pub(super) fn race_waits(&self) {
        let _ = self.racer();
    }

    /// An import is given back.
    pub(super) fn race_disconnects(&self, raced: &Raced, node: u32) {
        if let (Some(process), Some(import)) = (self.racer(), name_in(&raced.import)) {
            sources::forget();
            process.disconnect(import, node);
            self.race_has_told();
            // Relaxed: nobody uses the import any more.
            raced.import.store(0, Relaxed);
        }
    }
}

impl Segment {
    /// It has been published under this id.
    pub(super) fn race_publishes(&self, id: u32) {
        let (Some(racing), Ok(node)) = (self.membership().racing(), self.membership().node()) else { return };
        let memory = self.memory();
        let incarnation = self.name().incarnation;
        let place = racing.place(incarnation, memory.len() as u64, (node, id));
        let start = memory.as_ptr().addr();
        let watched = Watched { start, end: start + memory.len(), racing, place, offset: 0, import: 0, incarnation };
        ranges::change(|all| {
            all.retain(|watched| watched.incarnation != incarnation || watched.import != 0);
            ranges::add(all, watched.clone());
        });
        if racing.is_by_pages()
            && let (Some(process), Some(object)) = (racing.process(), self.object())
            && let Some(watched) = ranges::find(start)
        {
            racing.copy(process, (incarnation, watched.place), (memory.as_ptr(), memory.len()), object);
        }
    }

    /// Something is about to become of its memory, or it to be published once more: it is not compared meanwhile, nor
    /// another one that has the same memory.
    pub(super) fn race_leaves(&self) {
        if let Some(racing) = self.membership().racing() {
            let memory = self.memory();
            racing.pages.leave(self.name().incarnation, (memory.as_ptr().addr(), memory.len()));
        }
    }

    /// It is about to be given other memory.
    pub(super) fn race_rebinds(&self) {
        self.race_leaves();
        if let Some(racing) = self.membership().racing().filter(|racing| racing.is_by_pages())
            && let Some(process) = racing.process()
        {
            process.exchanges_its_memory();
        }
    }

    /// It is gone.
    pub(super) fn race_ends(&self) {
        if self.membership().racing().is_some() {
            let incarnation = self.name().incarnation;
            ranges::change(|all| all.retain(|watched| watched.incarnation != incarnation || watched.import != 0));
        }
    }
}
