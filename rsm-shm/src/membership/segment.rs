//! One export.
//!
//! How it comes to be is in `segment/make.rs`, how it gets other memory in `segment/rebind.rs`.
#![allow(unsafe_code)]

mod make;
mod rebind;

use super::backing::{self, Backing};
use super::control::unexpected;
use super::taps::Event;
use super::turn::{Turns, Wait};
use super::{Membership, fork, lock, room};
use crate::memory::adopt;
use crate::memory::huge::Pages;
use crate::memory::inspect;
use crate::memory::memfd;
use crate::memory::view::Memory;
use crate::parking::Poster;
use rsm_core::access::{AccessList, Permission};
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::crash_point;
use rsm_core::message::{Answer, Ask, SegmentName};
use rsm_core::registry::{SegmentRow, SegmentState, Withdrawal, walk_connections};
use rsm_core::sync::acquire32;
use rsm_core::{Code, Error, Result};
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// An export segment with memory of its own. It is withdrawn and gone when this is dropped.
#[derive(Debug)]
pub struct Segment {
    membership: Arc<Membership>,
    name: SegmentName,
    /// Start of the memory; moves only with a rebind.
    start: AtomicPtr<u8>,
    length: usize,
    rebindable: bool,
    /// Publish, unpublish and rebind, one at a time. Who has the turn of the range as well took this one first.
    turns: Turns,
    /// A rebind is over, and the agent does not know. Changes in the export's turn.
    suspended: AtomicBool,
    /// `None` for ever when the memory could not be moved back into its object half-way through a rebind.
    backing: Mutex<Option<Backing>>,
    pages: Pages,
    /// In the node's bells; [`nobodys_bell`] when the segment is gone and its memory is not given back yet.
    bell: AtomicPtr<Bell>,
    /// [`fork::count`] of the creating process; no other may steer the segment.
    process: u32,
    /// A withdrawal whose wait was interrupted.
    unfinished: Mutex<Option<u32>>,
    ending: Mutex<Ending>,
}

/// How far a segment has been destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
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
    /// Its memory.
    pub fn memory(&self) -> Memory<'_> {
        // SAFETY: memory of our own stays mapped until the segment is destroyed, after which the caller asks for no view
        // nor uses one; for the application's it has promised that, and a rebind, which moves the start, leaves what lay
        // there mapped.
        unsafe { Memory::new(self.start.load(Ordering::Relaxed), self.length, Permission::ReadWrite) }
    }

    /// Whether it is published now, as the registry says.
    pub fn is_published(&self) -> bool {
        let registry = self.membership.registry();
        let fields = registry.segments.get(self.name.row as usize).and_then(SegmentRow::fields);
        fields.is_some_and(|f| f.incarnation == self.name.incarnation && f.state == SegmentState::Published)
    }

    /// The name the agent knows it by.
    pub(super) fn name(&self) -> SegmentName {
        self.name
    }

    /// Its row, while it is this segment's.
    fn row(&self) -> Option<&SegmentRow> {
        let row = self.membership.shared.map.registry().segments.get(self.name.row as usize)?;
        row.fields().is_some_and(|fields| fields.incarnation == self.name.incarnation).then_some(row)
    }

    /// The id that it is published under, as the registry says.
    pub fn id(&self) -> Option<u32> {
        let fields = self.row().and_then(SegmentRow::fields)?;
        (fields.state == SegmentState::Published).then_some(fields.id)
    }

    /// Connections to it now.
    pub fn importer_count(&self) -> u32 {
        self.row().map_or(0, SegmentRow::importers)
    }

    /// The bell that importers post to, for who waits on many.
    pub fn bell(&self) -> &Bell {
        // Relaxed: both bells were there before the segment was.
        // SAFETY: in the node's bells, which `membership` keeps mapped, or one that lives for ever.
        unsafe { &*self.bell.load(Ordering::Relaxed) }
    }

    /// The membership it was made through.
    pub fn membership(&self) -> &Arc<Membership> {
        &self.membership
    }

    fn is_creator(&self) -> bool {
        self.process == fork::count()
    }

    /// Asks for a change. The agent makes all the checks, that for the creator in its place among them (3.10).
    fn steer(&self, ask: Ask) -> Result<Answer> {
        match self.membership.ask(ask) {
            Ok((answer, _)) => Ok(answer),
            // The creator is gone, and the segment with it; this process was forked from it.
            Err(error) if error.code() == Code::BadSegHndl && !self.is_creator() => Err(Error::new(Code::NotCreator)),
            Err(error) => Err(error),
        }
    }

    /// Makes it importable.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_publish`, reference 1.9.
    pub fn publish(&self, id: u32, access: &AccessList) -> Result<u32> {
        let wait = Wait::Interruptible(&self.membership);
        let (_own, _range) = (self.take_turn(wait)?, self.take_range(wait)?);
        let ask = || Ask::Publish { segment: self.name, id, access: access.cut() };
        let mut answer = self.steer(ask())?;
        if let Answer::Withdrawing { number } = answer {
            // It was revoked, or could not be moved away from everybody when it was taken back, or it was published by
            // a call that was interrupted. What an interrupted unpublish waited for is over.
            *lock(&self.unfinished) = None;
            if !self.await_withdrawal_through_handlers(number)? {
                self.move_memory()?;
            }
            answer = self.steer(ask())?;
        }
        match answer {
            Answer::Published { id: published } if id != 0 && published != id => {
                Err(unexpected(&Answer::Published { id: published }))
            }
            Answer::Published { id } => {
                // What was not waited for is over: the agent publishes only what is not being withdrawn.
                *lock(&self.unfinished) = None;
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
        match self.steer(Ask::Republish { segment: self.name, access: access.cut() })? {
            Answer::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes it back: when this returns `Ok`, no importer reaches the memory.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_unpublish`, reference 1.10. INTERRUPTED leaves the withdrawal under way; calling
    /// again waits for its end. When somebody that does not run, or hides, still reaches the memory after 100 ms, it is
    /// moved away; INSUFFICIENT_MEM when there is none to move it to.
    pub fn unpublish(&self) -> Result<()> {
        let wait = Wait::Interruptible(&self.membership);
        let (_own, _range) = (self.take_turn(wait)?, self.take_range(wait)?);
        let unfinished = if self.is_creator() { lock(&self.unfinished).take() } else { None };
        let number = match unfinished {
            Some(number) => number,
            None => match self.steer(Ask::Unpublish { segment: self.name })? {
                Answer::Done => return Ok(()),
                Answer::Withdrawing { number } => number,
                other => return Err(unexpected(&other)),
            },
        };
        match self.await_withdrawal(number) {
            Ok(true) => Ok(()),
            Ok(false) => self.move_memory(),
            Err(error) => {
                if error.code() == Code::Interrupted {
                    *lock(&self.unfinished) = Some(number);
                }
                Err(error)
            }
        }
    }

    /// Keeps other threads from publishing, taking back, rebinding or destroying this export. None in a forked child,
    /// whose every attempt the agent refuses.
    fn take_turn(&self, wait: Wait<'_>) -> Result<Option<super::turn::Turn<'_>>> {
        if !self.is_creator() {
            return Ok(None);
        }
        let turn = self.turns.take(wait)?;
        // What a rebind could not ask for any more is asked for first.
        let _ = self.resume();
        Ok(Some(turn))
    }

    /// Tells the agent that a rebind is over, if it does not know: its importers are vouched for again.
    fn resume(&self) -> Result<()> {
        if self.suspended.load(Ordering::Relaxed) {
            self.membership.ask_done(Ask::EndRebind { segment: self.name })?;
            self.suspended.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Keeps other threads from doing anything with the range, if the memory is the application's: exporting it once
    /// more, publishing or taking back another export of it, moving it or giving it back.
    fn take_range(&self, wait: Wait<'_>) -> Result<Option<backing::Turn>> {
        if !self.is_creator() {
            return Ok(None);
        }
        let start = match &*lock(&self.backing) {
            Some(Backing::Adopted(_)) => self.start.load(Ordering::Relaxed).addr(),
            _ => return Ok(None),
        };
        backing::take(start, wait)
    }

    /// Somebody does not let go: moves the memory away from it, into a fresh object at the same addresses. What the
    /// unwilling reach then is the old one, which nobody looks at. What the application has put there itself meanwhile
    /// stays (D-79); of the segment's memory nothing does, whatever it has done with parts of it.
    ///
    /// Called in the export's turn, and in that of its range: two exports of one range would move it to two places.
    fn move_memory(&self) -> Result<()> {
        let name = self.name;
        let mut backing = lock(&self.backing);
        let _moving = fork::hold_for_move();
        let Some((backing, from)) = backing.as_mut().and_then(|b| b.object().map(|object| (b, object))) else {
            return Ok(());
        };
        let start = self.start.load(Ordering::Relaxed);
        // The old memory stays until all is moved, and with whoever does not let go for longer.
        self.membership.check_room(|| room::check(self.length as u64))?;
        let memory = match self.membership.ask(Ask::Replace { segment: name })? {
            (Answer::Memory, mut descriptors) if !descriptors.is_empty() => descriptors.swap_remove(0),
            (other, _) => return Err(unexpected(&other)),
        };
        memfd::check_solid(&memory, self.length as u64)?;
        crash_point!(MoveGiven);
        let moved = inspect::identity(memory.as_fd()).and_then(|object| {
            // SAFETY: what maps this segment's object is the segment's; what is put there has the same contents.
            unsafe { adopt::move_to(start, self.length, from, memory.as_fd()) }.map(|_| object)
        });
        crash_point!(MoveDone);
        // Noted before the agent is asked, who may be gone: who gives the range back must know what it maps.
        if let Ok(object) = &moved {
            backing.moved(*object);
        }
        // Only now is the new object the segment's: a move that failed leaves everything where it was.
        self.membership.ask_done(Ask::Settle { segment: name, moved: moved.is_ok() })?;
        crash_point!(MoveSettled);
        if moved.is_ok() {
            // The new object's pages are ordinary ones. That it stays so when huge ones are used up is no failure of the
            // withdrawal, which has been done.
            let _ = self.pages.make(start, self.length);
        }
        moved.map(drop)
    }

    /// Waits for the end of a withdrawal, after cutting off this process's own imports; says whether memory is free.
    fn await_withdrawal(&self, number: u32) -> Result<bool> {
        crash_point!(WithdrawalAwaited);
        self.membership.shared.sweep();
        let registry = self.membership.registry();
        let row = registry.segments.get(self.name.row as usize);
        let word = row.map(SegmentRow::withdrawal).ok_or(Error::new(Code::InternalError))?;
        loop {
            // Acquire: pairs with the Release of `Writer::end_withdrawal`.
            let seen = acquire32(word);
            if let Some(freed) = Withdrawal::from_word(seen).outcome(number) {
                rsm_core::verdict::begin_owning();
                return Ok(freed);
            }
            self.membership.sleep(word, seen, None)?;
        }
    }

    /// The same, whatever signal handlers run meanwhile: importers get the time they are promised.
    fn await_withdrawal_through_handlers(&self, number: u32) -> Result<bool> {
        loop {
            match self.await_withdrawal(number) {
                Err(error) if error.code() == Code::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Posts a signal to every import there is now.
    ///
    /// # Errors
    /// None while the cluster runs; a segment without importers is posted to without effect.
    pub fn post(&self, accumulate: Accumulate) -> Result<()> {
        if self.membership.shared.taps.is_any() {
            self.membership.tell(Event::Posted);
        }
        let registry = self.membership.registry();
        let bells = self.membership.bells_of(self.membership.node()?, None)?;
        let mut below = u64::MAX;
        let complete = walk_connections(&registry, self.name.row, self.name.incarnation, &mut below, |connection| {
            if let Ok(bell) = bells.bell(connection.bell) {
                // An import that was cut meanwhile tells its own waiter.
                let _ = bell.post(connection.epoch, accumulate, &Poster);
            }
        });
        if complete {
            return Ok(());
        }
        let accumulate = accumulate == Accumulate::Yes;
        self.membership.ask_done(Ask::PostImporters { segment: self.name, below, accumulate })
    }

    /// Takes one signal that importers posted; waits for at most `timeout`.
    ///
    /// # Errors
    /// TIMEOUT; INTERRUPTED; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<()> {
        self.membership.wait_on(self.bell(), timeout)
    }
}

impl Segment {
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
        if !self.is_creator() {
            return Ok(());
        }
        // Nobody shares, moves or publishes anything of it from here to the end.
        let _own = self.take_turn(Wait::Through)?;
        let range = self.take_range(Wait::Through)?;
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
            memory.let_go(range.as_ref())?;
        }
        *backing = None;
        *ending = Ending::Gone;
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
                    ask(insist)
                }
                Ending::Withdrawing(number) => self
                    .await_withdrawal_through_handlers(number)
                    .map(|freed| if freed { Ending::Withdrawn } else { Ending::ToMove }),
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

/// What waits on a segment that is gone listen to.
fn nobodys_bell() -> NonNull<Bell> {
    static BELL: std::sync::OnceLock<Bell> = std::sync::OnceLock::new();
    let bell = BELL.get_or_init(|| {
        let bell = Bell::new();
        bell.abort(&Poster);
        bell
    });
    NonNull::from(bell)
}

impl Drop for Segment {
    fn drop(&mut self) {
        // What can fail here is told by whatever is asked of the cluster next; memory that cannot be given back now is when
        // its range is exported again.
        if self.end(false).is_err() {
            let _ = self.end(true);
        }
    }
}
