//! One export.
#![allow(unsafe_code)]

use super::control::unexpected;
use super::{Membership, fork, lock};
use crate::error::from_errno;
use crate::memory::region::Region;
use crate::memory::view::Memory;
use crate::parking::Poster;
use rsm_core::access::{AccessList, MAX_MODE, Permission};
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::message::{Answer, Ask, SegmentName};
use rsm_core::registry::{SegmentRow, Withdrawal, walk_connections};
use rsm_core::sync::acquire32;
use rsm_core::{Code, Error, Result};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// From this size on the memory that is left is looked at before a segment is created: making its pages present would
/// otherwise end with the kernel killing somebody.
const LOOK_FIRST: u64 = 64 << 20;

/// An export segment with memory of its own. It is withdrawn and gone when this is dropped.
#[derive(Debug)]
pub struct Segment {
    membership: Arc<Membership>,
    name: SegmentName,
    region: Region,
    bell: NonNull<Bell>,
    /// [`fork::count`] of the creating process; no other may steer the segment.
    process: u32,
    /// A withdrawal whose wait was interrupted.
    unfinished: Mutex<Option<u32>>,
    destroyed: bool,
}

// SAFETY: the bell lies in the node's bells, which `membership` keeps mapped, and is made of atomics.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Membership {
    /// Creates a segment of `length` zeroed bytes, all of them present.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_create`, reference 1.6.
    pub fn create(self: &Arc<Membership>, controller: u32, length: u64) -> Result<Segment> {
        if length >= LOOK_FIRST
            && let Some(available) = available_memory()
            && length > available
        {
            self.check_length(controller, length)?;
            let text = format!("a segment of {length} bytes, with {available} bytes of memory available");
            return Err(Error::with(Code::InsufficientMem, text));
        }
        let (answer, descriptors) = self.ask(Ask::Create { controller, length, default_mode: default_mode()? })?;
        let Answer::Created { segment: name, bell } = answer else { return Err(unexpected(&answer)) };
        let done = self.establish_segment(name, bell, length, descriptors);
        if done.is_err() {
            let _ = self.ask(Ask::Destroy { segment: name });
        }
        done
    }

    /// The agent's checks of a length, which come before the question whether there is so much memory.
    fn check_length(&self, controller: u32, length: u64) -> Result<()> {
        let row = self.registry().controllers.get(controller as usize);
        let (largest, _, _) = row.ok_or(Error::new(Code::CtlrNotPresent))?.limits();
        rsm_core::attr::check_export_length(length, crate::memory::page_size() as u64, largest)
    }

    fn establish_segment(
        self: &Arc<Membership>,
        name: SegmentName,
        bell: u32,
        length: u64,
        descriptors: Vec<std::os::fd::OwnedFd>,
    ) -> Result<Segment> {
        let memory = descriptors.into_iter().next();
        let memory = memory.ok_or_else(|| Error::with(Code::InternalError, "the agent's answer is incomplete"))?;
        let bytes = usize::try_from(length).map_err(|_| Error::new(Code::BadLength))?;
        let region = Region::map(memory, 0, bytes, Permission::ReadWrite)?;
        region.populate(0, bytes, Permission::ReadWrite)?;
        let bells = self.bells_of(self.node()?, None)?;
        Ok(Segment {
            bell: NonNull::from(bells.bell(bell)?),
            membership: Arc::clone(self),
            name,
            region,
            process: fork::count(),
            unfinished: Mutex::new(None),
            destroyed: false,
        })
    }
}

impl Segment {
    /// Its memory.
    pub fn memory(&self) -> Memory<'_> {
        // SAFETY: the region stays mapped readable and writable as long as `self`.
        unsafe { Memory::new(self.region.as_ptr(), self.region.len(), Permission::ReadWrite) }
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
        let ask = Ask::Publish { segment: self.name, id, access: access.cut() };
        match self.steer(ask)? {
            Answer::Published { id } => {
                // What was not waited for is over: the agent publishes only what is not being withdrawn.
                *lock(&self.unfinished) = None;
                Ok(id)
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
    /// again waits for its end. INSUFFICIENT_RESOURCES when every import was aborted but somebody that does not run,
    /// or hides, still reaches the memory after 100 ms.
    pub fn unpublish(&self) -> Result<()> {
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
            Ok(false) => Err(Error::with(
                Code::InsufficientResources,
                "every import was aborted, but a process that does not run or does not answer still reaches the memory",
            )),
            Err(error) => {
                if error.code() == Code::Interrupted {
                    *lock(&self.unfinished) = Some(number);
                }
                Err(error)
            }
        }
    }

    /// Waits for the end of a withdrawal, after cutting off this process's own imports; says whether memory is free.
    fn await_withdrawal(&self, number: u32) -> Result<bool> {
        self.membership.shared.sweep();
        let registry = self.membership.registry();
        let row = registry.segments.get(self.name.row as usize);
        let word = row.map(SegmentRow::withdrawal).ok_or(Error::new(Code::InternalError))?;
        loop {
            // Acquire: pairs with the Release of `Writer::end_withdrawal`.
            let seen = acquire32(word);
            if let Some(freed) = Withdrawal::from_word(seen).outcome(number) {
                return Ok(freed);
            }
            self.membership.sleep(word, seen, None)?;
        }
    }

    /// Posts a signal to every import there is now.
    ///
    /// # Errors
    /// None while the cluster runs; a segment without importers is posted to without effect.
    pub fn post(&self, accumulate: Accumulate) -> Result<()> {
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
        // SAFETY: in the node's bells, which `membership` keeps mapped.
        self.membership.wait_on(unsafe { self.bell.as_ref() }, timeout)
    }
}

impl Segment {
    /// Withdraws it and gives its memory up. When this returns, willing importers are on trash pages, and the others
    /// share the memory with nobody.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when the cluster has ended, and the segment with it. In a forked child only the child's
    /// mapping goes, and that is SUCCESS (D-76).
    pub fn destroy(mut self) -> Result<()> {
        self.destroyed = true;
        self.give_up()
    }

    fn give_up(&self) -> Result<()> {
        if !self.is_creator() {
            return Ok(());
        }
        let number = match self.membership.ask(Ask::Destroy { segment: self.name })? {
            (Answer::Withdrawing { number }, _) => number,
            _ => return Ok(()),
        };
        loop {
            match self.await_withdrawal(number) {
                // A handler that runs meanwhile does not shorten it: importers get the time they are promised.
                Err(error) if error.code() == Code::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        if !self.destroyed {
            // What can fail here is told by whatever is asked of the cluster next.
            let _ = self.give_up();
        }
    }
}

/// 0666 without the umask of this process, which only /proc tells without changing it.
fn default_mode() -> Result<u32> {
    let tried = "cannot tell the umask from /proc/thread-self/status";
    let unknown = || Error::with(Code::InternalError, tried);
    let status = std::fs::read_to_string("/proc/thread-self/status")
        .map_err(|e| rustix::io::Errno::from_io_error(&e).map_or_else(unknown, |e| from_errno(e, tried)))?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:")).ok_or_else(unknown)?;
    let umask = u32::from_str_radix(line.trim(), 8).map_err(|_| unknown())?;
    Ok(MAX_MODE & !umask)
}

/// Memory that can be had without pushing others out, as the kernel estimates it.
fn available_memory() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name| {
        let line = info.lines().find_map(|line: &str| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((field("MemAvailable:")? + field("SwapFree:").unwrap_or(0)) << 10)
}
