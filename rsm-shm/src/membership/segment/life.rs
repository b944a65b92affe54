//! The life of an export: published, taken back, destroyed.

use super::super::backing::{self, Backing};
use super::super::control::unexpected;
use super::super::lock;
use super::super::turn::{Turn, Wait};
use super::{Segment, nobodys_bell};
use rsm_core::access::AccessList;
use rsm_core::crash_point;
use rsm_core::message::{Answer, Ask};
use rsm_core::registry::{SegmentRow, Withdrawal, Withdrawn};
use rsm_core::sync::acquire32;
use rsm_core::{Code, Error, Result};
use std::sync::atomic::Ordering;

/// How far a segment has been destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Not at all.
    Alive,
    /// The agent has been asked, and what it told to wait for is under way.
    Withdrawing(u32),
    /// No importer reaches it but one that does not let go; another export of its memory has to move away from that one.
    ToMove,
    /// Its memory is to be given back.
    Withdrawn,
    /// It is.
    Gone,
}

impl Segment {
    /// Makes it importable.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_publish`, reference 1.9.
    pub fn publish(&self, id: u32, access: &AccessList) -> Result<u32> {
        self.membership.delay_again();
        let wait = Wait::Interruptible(&self.membership);
        let (_own, _range) = (self.take_turn(wait)?, self.take_range(wait)?);
        self.race_leaves();
        let _looks = self.looks_unsettled();
        let ask = || Ask::Publish { segment: self.name, id, access: access.cut() };
        match self.gather() {
            // What is being taken back is gathered when that is over.
            Err(error) if error.code() == Code::SegAlreadyPublished => {}
            gathered => gathered?,
        }
        self.looks_begin();
        let mut answer = self.request(ask())?;
        if let Answer::Withdrawing { number } = answer {
            // It was revoked, or could not be moved away from everybody when it was taken back, or it was published by
            // a call that was interrupted. What an interrupted unpublish waited for is over.
            *lock(&self.unfinished) = None;
            self.looks_end();
            match self.await_withdrawal_through_handlers(number)? {
                Withdrawn::Free => self.gather()?,
                Withdrawn::Held => self.move_memory()?,
            }
            self.looks_begin();
            answer = self.request(ask())?;
        }
        match answer {
            Answer::Published { id: published } if id != 0 && published != id => {
                Err(unexpected(&Answer::Published { id: published }))
            }
            Answer::Published { id } => {
                // What was not waited for is over: the agent publishes only what is not being withdrawn.
                *lock(&self.unfinished) = None;
                self.race_publishes(id);
                Ok(id)
            }
            Answer::Withdrawing { .. } => {
                let text = "an importer of the segment's last publication still reaches its memory";
                Err(Error::with(Code::InsufficientResources, text))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Replaces the access list.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_republish`, reference 1.11.
    pub fn republish(&self, access: &AccessList) -> Result<()> {
        match self.request(Ask::Republish { segment: self.name, access: access.cut() })? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes it back: when this returns `Ok`, no importer reaches the memory.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_unpublish`, reference 1.10. INTERRUPTED leaves the withdrawal under way; calling
    /// again waits for its end. When somebody that does not run, or hides, still reaches the memory after 100 ms, it is
    /// moved away; INSUFFICIENT_MEM when there is none to move it to. Then too, calling again goes on.
    pub fn unpublish(&self) -> Result<()> {
        self.membership.delay_no_more();
        let wait = Wait::Interruptible(&self.membership);
        let (_own, _range) = (self.take_turn(wait)?, self.take_range(wait)?);
        self.race_leaves();
        let _looks = self.looks_unsettled();
        let unfinished = if self.is_creator() { lock(&self.unfinished).take() } else { None };
        let number = match unfinished {
            Some(number) => number,
            None => match self.request(Ask::Unpublish { segment: self.name })? {
                Answer::Done => return Ok(()),
                Answer::Withdrawing { number } => number,
                other => return Err(unexpected(&other)),
            },
        };
        let done = match self.await_withdrawal(number) {
            // Should that fail, the agent looks again whether it has to be moved when it is asked again.
            Ok(Withdrawn::Held) => return self.move_memory(),
            Ok(Withdrawn::Free) => self.gather(),
            interrupted => interrupted.map(drop),
        };
        if done.is_err() {
            // To the agent this is over, or it has told what to wait for.
            *lock(&self.unfinished) = Some(number);
        }
        done
    }

    /// Keeps other threads from publishing, taking back, rebinding or destroying this export. None in a forked child,
    /// whose every attempt the agent refuses.
    pub(super) fn take_turn(&self, wait: Wait<'_>) -> Result<Option<Turn<'_>>> {
        if !self.is_creator() {
            return Ok(None);
        }
        let turn = self.turns.take(wait)?;
        // What a rebind could not ask for any more is asked for first.
        let _ = self.resume();
        Ok(Some(turn))
    }

    /// Keeps other threads from doing anything with the range, if the memory is the application's: exporting it once
    /// more, publishing or taking back another export of it, moving it or giving it back.
    pub(super) fn take_range(&self, wait: Wait<'_>) -> Result<Option<backing::Turn>> {
        if !self.is_creator() {
            return Ok(None);
        }
        let start = match &*lock(&self.backing) {
            Some(Backing::Adopted(_)) => self.start.load(Ordering::Relaxed).addr(),
            _ => return Ok(None),
        };
        backing::take(start, wait)
    }

    /// Tells the agent that a rebind is over, if it does not know: its importers are vouched for again.
    pub(super) fn resume(&self) -> Result<()> {
        if self.suspended.load(Ordering::Relaxed) {
            self.cut_if_nowhere()?;
            self.membership.ask_done(Ask::EndRebind { segment: self.name })?;
            self.suspended.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Waits for the end of a withdrawal, after cutting off this process's own imports.
    fn await_withdrawal(&self, number: u32) -> Result<Withdrawn> {
        crash_point!(WithdrawalAwaited);
        // What cannot be cut off now is by the events thread, or the memory moves away from it.
        let _ = self.membership.shared.sweep();
        let registry = self.membership.registry();
        let row = registry.segments.get(self.name.row as usize);
        let word = row.map(SegmentRow::withdrawal).ok_or(Error::new(Code::InternalError))?;
        loop {
            // Acquire: pairs with the Release of `Writer::end_withdrawal`.
            let seen = acquire32(word);
            if let Some(how) = Withdrawal::from_word(seen).outcome(number) {
                rsm_core::verdict::begin_owning();
                self.membership.race_takes_back();
                return Ok(how);
            }
            self.membership.sleep(word, seen, None)?;
        }
    }

    /// The same, whatever signal handlers run meanwhile: importers get the time they are promised.
    fn await_withdrawal_through_handlers(&self, number: u32) -> Result<Withdrawn> {
        loop {
            match self.await_withdrawal(number) {
                Err(error) if error.code() == Code::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Withdraws it and gives its memory up. When this returns `Ok`, willing importers are on trash pages, and the others
    /// share the memory with nobody.
    ///
    /// # Errors
    /// When the memory cannot be given back, with all of its contents in place: INSUFFICIENT_MEM without memory, address
    /// space or mappings for it (limits of the process and for locked memory included), INSUFFICIENT_RESOURCES without
    /// descriptors, CTLR_NOT_PRESENT without /proc. Nobody can import the segment any more then, but an importer that does
    /// not let go may still reach the memory; [`is_gone`](Self::is_gone) says no, and calling again goes on.
    ///
    /// When an importer does not let go of memory that another export has on, and it cannot be moved away, what
    /// [`unpublish`](Self::unpublish) says then: the segment stands, unpublished, and can be destroyed later.
    ///
    /// CTLR_NOT_PRESENT when the cluster has ended, and the segment with it: then it is gone. In a forked child only the
    /// child's mapping goes, and that is SUCCESS (D-76).
    pub fn destroy(&self) -> Result<()> {
        self.end(false)
    }

    /// `insist`: whoever still reaches memory that another export has on.
    fn end(&self, insist: bool) -> Result<()> {
        // Another thread of the creator may have held the locks when this process was forked.
        self.membership.delay_no_more();
        if !self.is_creator() {
            return Ok(());
        }
        // Nobody shares, moves or publishes anything of it from here to the end.
        let _own = self.take_turn(Wait::Through)?;
        let range = self.take_range(Wait::Through)?;
        self.race_leaves();
        self.looks_end();
        let mut ending = lock(&self.ending);
        if *ending == Ending::Gone {
            return Ok(());
        }
        // An end of the cluster is told when the memory is the process's own again.
        let withdrawn = match self.withdraw(&mut ending, insist) {
            Err(error) if *ending != Ending::Withdrawn => return Err(error),
            told => told,
        };
        let mut backing = lock(&self.backing);
        if let Some(memory) = &mut *backing {
            if range.is_some() {
                self.give_strays_back()?;
            }
            memory.let_go(range.as_ref())?;
        }
        *backing = None;
        *ending = Ending::Gone;
        self.race_ends();
        withdrawn
    }

    /// Whether it has been destroyed and its memory given back, or is another process's.
    pub fn is_gone(&self) -> bool {
        !self.is_creator() || *lock(&self.ending) == Ending::Gone
    }

    /// Goes on to where the memory can be given back.
    fn withdraw(&self, ending: &mut Ending, insist: bool) -> Result<()> {
        let ask = |insist| {
            self.membership.ask(Ask::Destroy { segment: self.name, insist }).map(|(answer, _)| match answer {
                Answer::Withdrawing { number } => Ending::Withdrawing(number),
                _ => Ending::Withdrawn,
            })
        };
        loop {
            let step = match *ending {
                Ending::Alive => {
                    crash_point!(DestroyBegun);
                    *lock(&self.unfinished) = None;
                    ask(insist)
                }
                Ending::Withdrawing(number) => self.await_withdrawal_through_handlers(number).map(|how| match how {
                    Withdrawn::Free => Ending::Withdrawn,
                    Withdrawn::Held => Ending::ToMove,
                }),
                // Another export has the memory on, and somebody that did not let go of this one reaches it.
                Ending::ToMove => match self.move_memory() {
                    Err(error) if !insist => {
                        // It stands, and is an export like any other that was taken back.
                        *ending = Ending::Alive;
                        return Err(error);
                    }
                    _ => ask(true),
                },
                Ending::Withdrawn | Ending::Gone => return Ok(()),
            };
            let over = match &step {
                Ok(_) => None,
                // It went with the cluster; or with a request that was answered and not heard.
                Err(error) if error.code() == Code::CtlrNotPresent => Some(step.clone().map(drop)),
                Err(error) if error.code() == Code::BadSegHndl => Some(Ok(())),
                Err(_) => return step.map(drop),
            };
            *ending = step.unwrap_or(Ending::Withdrawn);
            if *ending == Ending::Withdrawn {
                // The agent gives the bell to the next segment.
                self.bell.store(nobodys_bell().as_ptr(), Ordering::Relaxed);
            }
            if let Some(told) = over {
                return told;
            }
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // What can fail here is told by whatever is asked of the cluster next; memory that cannot be given back now is when
        // its range is exported again.
        if self.end(false).is_err()
            && let Err(error) = self.end(true)
            && error.code() != Code::CtlrNotPresent
            && !matches!(*lock(&self.ending), Ending::Withdrawn | Ending::Gone)
        {
            self.membership.ask_later(Ask::Destroy { segment: self.name, insist: true });
        }
    }
}
