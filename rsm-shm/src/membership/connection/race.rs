//! What is told of an import where races are looked for.

use super::Connection;
use crate::membership::fork;
use crate::membership::race::{
    Passing, Racing, Watched, abi, fails, is_word, name, name_in, posted, seen, sources, word_of,
};
use crate::membership::way::Diverted;
use crate::memory::carry::Move;
use rsm_core::access::Permission;
use rsm_core::transfer::Direction;
use rsm_core::verdict::BarrierType;
use rsm_race::marks::Closing;
use rsm_race::place::{NO_LINES, Place, Range};
use rsm_race::process::Process;
use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

impl Connection {
    fn racing(&self) -> Option<(&'static Racing, Process<'static>)> {
        let racing = self.membership().shared.taps.racing?;
        Some((racing, racing.process()?))
    }

    /// Whether races are looked for.
    #[inline(always)]
    pub(super) fn is_raced(&self) -> bool {
        self.membership().shared.taps.racing.is_some()
    }

    /// The clock of this import, in this process.
    fn import(&self, process: Process<'_>) -> Option<usize> {
        let word = &self.tie.raced.import;
        name_in(word).filter(|&id| id != 0).or_else(|| {
            let id = process.connect(self.node)?;
            name(word, id);
            // It has told others something: what it stores from now on is no part of that.
            let _ = self.racing();
            Some(id)
        })
    }

    /// It has been made.
    pub(super) fn race_begins(&self) {
        if let Some((_, process)) = self.racing() {
            self.import(process);
        }
    }

    fn place(&self, racing: &Racing) -> Place {
        // Relaxed: a number, which leads to nothing by itself.
        let known = self.tie.raced.lines.load(Relaxed);
        let named = (self.node, self.tie.id);
        if known != 0 {
            return Place { lines: known - 1, node: named.0, id: named.1 };
        }
        let registry = self.membership().registry();
        let row = registry.connections.get(self.name().row as usize);
        let fields = row.and_then(rsm_core::registry::ConnectionRow::fields);
        // Not that of another, which has the row when this one is gone.
        let incarnation = fields.map(|fields| fields.segment_incarnation).filter(|_| !self.is_aborted());
        let none = Place { lines: NO_LINES, node: named.0, id: named.1 };
        let place = incarnation.map_or(none, |incarnation| racing.place(incarnation, self.length, named));
        if place.lines != NO_LINES {
            self.tie.raced.lines.store(place.lines + 1, Relaxed);
        }
        place
    }

    /// A transfer whose checks have passed is about to be made. What is stored through a connection that was cut arrives
    /// nowhere.
    pub(super) fn race_begins_transfer<M: Move>(&self, offset: u64, explicit: bool, moved: &mut M) -> Option<Passing> {
        let (racing, process) = self.racing()?;
        let place = self.place(racing);
        let is_aborted = self.is_aborted();
        if M::DIRECTION == Direction::Put && racing.is_by_pages() && (is_aborted || place.lines == NO_LINES) {
            // It may be stored there all the same, as long as this process has not noticed.
            process.reaches(self.node);
        }
        if is_aborted {
            return None;
        }
        let length = moved.bytes();
        let site = racing.site(process);
        let range = Range { place, offset, length, site };
        let width = is_word(offset, length);
        let import = match M::DIRECTION {
            Direction::Put => {
                let import = self.import(process)?;
                let word = (width > 0).then(|| word_of(offset, width, moved));
                if racing.is_by_pages() {
                    let waits = explicit && self.diverted.as_ref().is_some_and(Diverted::posts_late);
                    if waits {
                        let _hold = fork::hold();
                        posted::note(self.base, racing.table(), range.place);
                    }
                    process.begin_put_to_pages(import, range, waits, !explicit);
                }
                process.put(import, range, word, !explicit);
                Some(import)
            }
            Direction::Get => None,
        };
        let width = if M::DIRECTION == Direction::Get { width } else { 0 };
        Some(Passing { range, import, width, got: Cell::new(None) })
    }

    /// It was made.
    pub(super) fn race_ends_transfer(&self, race: Option<Passing>, explicit: bool, well: bool) {
        let Some((racing, process)) = self.racing() else { return };
        if let Some(Passing { range, import, got, .. }) = race {
            match import {
                Some(import) if !explicit => process.put_arrived(import),
                Some(_) => {}
                None if well => process.get(range, got.get()),
                None => {}
            }
            if let Some(import) = import.filter(|_| racing.is_by_pages()) {
                process.end_put_to_pages(import, !explicit && well);
            }
        }
        if !well {
            fails(process);
        }
    }

    /// What was put into an open span was taken from there, and belongs to the library until that is closed.
    ///
    /// # Safety
    /// As many bytes as were put can be read there.
    pub(super) unsafe fn race_keeps(&self, race: &Passing, source: *const u8) {
        let Some((racing, _)) = self.racing() else { return };
        if race.import.is_some() && seen::is_whole() {
            // Relaxed: it has been named.
            let import = self.tie.raced.import.load(Relaxed);
            // SAFETY: the caller's promise.
            unsafe { sources::keep(racing, import, source, race.range) };
        }
    }

    /// What is stored from now on comes after what has been.
    pub(super) fn race_orders(&self, kind: BarrierType) {
        if let Some((_, process)) = self.racing()
            && let Some(import) = self.import(process)
        {
            process.order(import, kind == BarrierType::Node);
        }
    }

    /// It is about to be waited for that what has been stored arrives.
    pub(super) fn race_will_close(&self, kind: BarrierType) -> Option<Closing> {
        let (racing, process) = self.racing()?;
        let import = self.import(process).filter(|_| racing.is_by_pages())?;
        Some(process.begin_close(import, kind == BarrierType::Node))
    }

    /// What has been stored has arrived, or has nowhere to go.
    pub(super) fn race_closes(&self, kind: BarrierType, closing: Option<Closing>, well: bool) {
        if let Some((_, process)) = self.racing()
            && let Some(import) = self.import(process)
        {
            if well {
                // Relaxed: it has been named.
                let own = self.tie.raced.import.load(Relaxed);
                let is_with_it = |word: u64| {
                    let is_ours = kind == BarrierType::Node && word >> 32 == own >> 32;
                    is_ours && process.is_beside(import, word as u32 as usize)
                };
                sources::closed(|word| word == own || is_with_it(word));
            }
            process.close(import, kind == BarrierType::Node);
            if let Some(closing) = closing.filter(|_| well) {
                process.end_close(&closing);
            }
            if !well {
                fails(process);
            }
        }
    }

    /// A signal is about to be posted.
    pub(super) fn race_posts(&self) {
        if let Some((_, process)) = self.racing() {
            process.post(self.node);
            // What the program stores from now on is no part of what was told.
            let _ = self.racing();
        }
    }

    /// The program has asked whether it was cut: it was, and that may tell anything.
    pub fn race_hears(&self, cut: bool) {
        if cut && let Some((_, process)) = self.racing() {
            fails(process);
        }
    }

    /// A part of it is mapped at these addresses, or not any more.
    pub(in crate::membership) fn race_maps(
        &self,
        (start, length): (*mut u8, usize),
        (offset, permission): (u64, Permission),
        comes: bool,
    ) {
        let Some((racing, process)) = self.racing() else { return };
        let (start, end) = (start.addr(), start.addr() + length);
        if comes {
            process.maps(self.node);
            if racing.is_by_pages() && permission.writes() {
                process.reaches_part(self.place(racing), offset, length as u64);
            }
            let Some(import) = self.import(process) else { return };
            let word = self.tie.raced.import.load(Relaxed);
            debug_assert_eq!(word as u32 as usize, import);
            let watched =
                Watched { start, end, racing, place: self.place(racing), offset, import: word, incarnation: 0 };
            abi::watch(watched);
        } else {
            abi::unwatch(start, end);
        }
    }

    /// A word there is about to be changed atomically, by this process itself.
    pub(in crate::membership) fn race_changes(&self, offset: u64, length: u64) {
        if let Some((racing, process)) = self.racing() {
            let range = Range { place: self.place(racing), offset, length, site: racing.site(process) };
            process.store(range, None, true, None);
        }
    }

    /// A layer above reaches the memory itself: what it does there, and when, is not seen.
    pub fn race_maps_unseen(&self) {
        if let Some((_, process)) = self.racing() {
            process.hides(self.node);
        }
    }
}
