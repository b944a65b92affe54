//! Moving an export's memory away from somebody who does not let go of it.
#![allow(unsafe_code)]

use super::super::control::unexpected;
use super::super::{fork, lock, room};
use super::Segment;
use crate::memory::adopt;
use crate::memory::inspect;
use crate::memory::memfd;
use rsm_core::crash_point;
use rsm_core::message::{Answer, Ask};
use rsm_core::{Code, Result};
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;

impl Segment {
    /// Somebody does not let go: moves the memory away from it, into a fresh object at the same addresses. What the
    /// unwilling reach then is the old one, which nobody looks at. What the application has put there itself meanwhile
    /// stays (D-79); of the segment's memory nothing does, whatever it has done with parts of it.
    ///
    /// Called in the export's turn, and in that of its range: two exports of one range would move it to two places.
    pub(super) fn move_memory(&self) -> Result<()> {
        let name = self.name;
        if lock(&self.backing).as_ref().is_none_or(|backing| backing.object().is_none()) {
            return Ok(());
        }
        // The old memory stays until all is moved, and with whoever does not let go for longer. Before forks are held off:
        // it may have to be waited for.
        self.membership.check_room(|| room::check(self.length as u64))?;
        let mut backing = lock(&self.backing);
        let _moving = fork::hold_for_move();
        let Some((backing, from)) = backing.as_mut().and_then(|b| b.object().map(|object| (b, object))) else {
            return Ok(());
        };
        let start = self.start.load(Ordering::Relaxed);
        let memory = match self.membership.ask(Ask::Replace { segment: name })? {
            (Answer::Memory, mut descriptors) if !descriptors.is_empty() => descriptors.swap_remove(0),
            (other, _) => return Err(unexpected(&other)),
        };
        memfd::check_solid(&memory, self.length as u64)?;
        crash_point!(MoveGiven);
        let mut strays = lock(&self.strays);
        let object = inspect::identity(memory.as_fd());
        let moved = object.clone().and_then(|object| {
            for &from in strays.iter().chain([&from]) {
                // SAFETY: what maps an object of this segment's is the segment's; what is put there has the same contents.
                unsafe { adopt::move_to(start, self.length, from, memory.as_fd()) }?;
            }
            Ok(object)
        });
        crash_point!(MoveDone);
        match (&moved, object) {
            (Ok(_), _) => strays.clear(),
            // Memory may have run out for the way back as well. Without /proc nothing was begun.
            (Err(error), Ok(object))
                if error.code() != Code::CtlrNotPresent && !self.maps(start, &memory, |bytes| bytes == 0) =>
            {
                strays.push(object);
                backing.split();
            }
            _ => {}
        }
        drop(strays);
        // Noted before the agent is asked, who may be gone: who gives the range back must know what it maps.
        if let Ok(object) = &moved {
            backing.moved(*object);
        }
        // Only now is the new object the segment's: a move that failed leaves everything where it was.
        let settle = || Ask::Settle { segment: name, moved: moved.is_ok() };
        self.membership.ask_done(settle()).inspect_err(|_| self.membership.ask_later(settle()))?;
        crash_point!(MoveSettled);
        if moved.is_ok() {
            // The new object's pages are ordinary ones. That it stays so when huge ones are used up is no failure of the
            // withdrawal, which has been done.
            let _ = self.pages.make(start, self.length);
        }
        moved.map(drop)
    }

    /// Brings all of the memory into one object again, if a move that failed has left it in several: who imports the segment
    /// would share a part of it only.
    ///
    /// # Errors
    /// As a withdrawal whose memory cannot be moved; SEG_ALREADY_PUBLISHED while it is being taken back.
    pub(super) fn gather(&self) -> Result<()> {
        if lock(&self.strays).is_empty() { Ok(()) } else { self.move_memory() }
    }

    /// Gives back what strays of the application's memory map, before the rest is given back.
    ///
    /// # Errors
    /// As [`adopt::give_back`].
    pub(super) fn give_strays_back(&self) -> Result<()> {
        let mut strays = lock(&self.strays);
        while let Some(&stray) = strays.last() {
            let start = self.start.load(Ordering::Relaxed);
            // SAFETY: what maps an object of this segment's is the segment's.
            unsafe { adopt::give_back(start, self.length, stray, adopt::Within::Range) }?;
            strays.pop();
        }
        Ok(())
    }
}
