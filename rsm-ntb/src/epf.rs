//! A bridge whose functions have the registers of `ntb_hw_epf`.

use crate::attached::{Attached, Limits};
use crate::enable::enable;
use crate::event::{Event, Events};
use crate::function::{Bar, PciFunction, Reach};
use crate::iova;
use crate::job::{Job, Piece, Worker};
use crate::registers::{Command, Doorbell, check_window, close, command, link};
use crate::vector::Vector;
use crate::words::Words;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rustix::rand::{GetRandomFlags, getrandom};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Memory that is attached before the link comes up.
#[derive(Clone, Copy, Debug)]
pub struct Control<'a> {
    /// Offset in the window, in bytes.
    pub at: u64,
    /// A memory object.
    pub memory: BorrowedFd<'a>,
    /// How much of it, from its beginning, in bytes.
    pub length: u64,
    /// What the other host may do with it.
    pub permission: Permission,
}

/// A function, driven.
///
/// Nothing waits but what says so: the ends of jobs, doorbells and changes of the link are taken as [`Event`]s. When it is dropped
/// the link goes down first, so that the other host is told.
#[derive(Debug)]
pub struct Epf<F: PciFunction + 'static> {
    function: Arc<F>,
    words: Words<F>,
    worker: Worker,
    events: Events,
    doorbells: [Doorbell; 3],
    limits: Limits,
    /// Where offset 0 of what the other host can reach is, for the function.
    base: u64,
    /// The job that brings control pages.
    renewing: Option<Job>,
    /// They are there, and the bridge may be offered.
    ready: bool,
    attached: Attached,
}

impl<F: PciFunction + 'static> Epf<F> {
    /// Takes over a function in whatever state it is, closes it to the other host and has its interrupts: a driver that died
    /// leaves the link up and its memory reachable. Then [`renew`](Self::renew) and [`offer`](Self::offer) open it.
    ///
    /// Waits up to a second for each of three commands.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when the function is gone, is none of its kind or does not obey; INSUFFICIENT_RESOURCES without descriptors,
    /// vectors or a thread.
    pub fn take_over(function: F) -> Result<Epf<F>> {
        let function = Arc::new(function);
        enable(&*function)?;
        close(&*function)?;
        check_window(&*function)?;
        let bytes = function.bytes(Bar::Window)?;
        if !bytes.is_power_of_two() {
            let text = format!("the bridge's window has {bytes} bytes, which is no power of two");
            return Err(Error::with(Code::CtlrNotPresent, text));
        }
        let limits = Limits { window: bytes, granule: rustix::param::page_size() as u64 };
        let worker = Worker::start(Arc::clone(&function))?;
        let events = Events::new(Arc::clone(worker.done()))?;
        let (vectors, error) = events.descriptors();
        function.set_interrupts(&vectors, error)?;
        command(&*function, Command::ConfigureDoorbells(vectors.len() as u32))?;
        let [messages, signals, spare] = Vector::ALL;
        let of = |vector| Doorbell::of(&*function, vector);
        let doorbells = [of(messages)?, of(signals)?, of(spare)?];
        let (words, attached) = (Words::new(Arc::clone(&function), bytes), Attached::default());
        Ok(Epf { function, words, worker, events, doorbells, limits, base: 0, renewing: None, ready: false, attached })
    }

    /// Begins to close the bridge to the other host. Once the job is done, the other host knows, and reaches nothing of what is
    /// attached.
    ///
    /// # Errors
    /// INTERNAL_ERROR. The job's: CTLR_NOT_PRESENT when the function is gone.
    pub fn close(&mut self) -> Result<Job> {
        (self.ready, self.renewing) = (false, None);
        self.worker.close()
    }

    /// Begins to close the bridge and to begin anew, with control pages that the other host does not reach before
    /// [`offer`](Self::offer). The order is what keeps the other host, which may be storing all the while, from what it is not
    /// to have yet: the link goes down, the window leads nowhere; then `control` is attached, at an address that is drawn anew.
    /// The descriptors may be closed at once.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES while other memory is attached: it is detached first; BAD_LENGTH and BAD_PERMS for control pages that
    /// cannot be; CTLR_NOT_PRESENT for a function without addresses. The job's: CTLR_NOT_PRESENT when the function is gone, and what
    /// [`PciFunction::map_dma`] says. The bridge is closed then.
    pub fn renew(&mut self, control: &[Control<'_>]) -> Result<Job> {
        (self.ready, self.renewing) = (false, None);
        if self.attached.count() > 0 {
            let text = format!(
                "{} pieces of memory are attached to the bridge still: they are detached first",
                self.attached.count()
            );
            return Err(Error::with(Code::InsufficientResources, text));
        }
        self.attached.control.clear();
        self.base = iova::base(self.limits.window, &self.function.addresses(), random()?)?;
        let mut pieces = Vec::with_capacity(control.len());
        for piece in control {
            self.attached.check(self.limits, piece.at, piece.length, piece.permission)?;
            self.attached.control.push((piece.at, piece.length));
            pieces.push(Piece::new(self.base + piece.at, piece.memory, piece.length, piece.permission)?);
        }
        let job = self.worker.renew(pieces)?;
        self.renewing = Some(job);
        Ok(job)
    }

    /// Begins to let the other host reach what is attached, and to say that this side is ready. By then all that it is to see first
    /// stands in the control pages.
    ///
    /// # Errors
    /// BAD_CONF before [`renew`](Self::renew) is done. The job's: CTLR_NOT_PRESENT when the function is gone.
    pub fn offer(&mut self) -> Result<Job> {
        self.check_ready()?;
        self.worker.offer(self.base, self.limits.window)
    }

    fn check_ready(&self) -> Result<()> {
        if self.ready {
            return Ok(());
        }
        Err(Error::with(Code::BadConf, "a bridge has to have control pages first, and they are not there yet"))
    }

    /// What the bridge can carry.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Begins to attach the first `length` bytes of a memory object at an offset of the window, so that the other host can load
    /// them, and store to them if `permission` says so. Once the job is done, it can. The descriptor may be closed at once;
    /// what was stored to the memory before is seen.
    ///
    /// # Errors
    /// BAD_LENGTH for what does not fit, BAD_PERMS for nothing to load; INSUFFICIENT_RESOURCES where other memory is attached, and
    /// without a descriptor; BAD_CONF before [`renew`](Self::renew). The job's: as [`PciFunction::map_dma`]; then nothing is
    /// attached.
    pub fn attach(&mut self, at: u64, memory: BorrowedFd<'_>, length: u64, permission: Permission) -> Result<Job> {
        self.attached.check(self.limits, at, length, permission)?;
        self.check_ready()?;
        let job = self.worker.map(Piece::new(self.base + at, memory, length, permission)?)?;
        self.attached.attaching(at, length, job);
        Ok(job)
    }

    /// Begins to detach what is, or is being, attached at an offset. Once the job is done, the other host's stores do not
    /// arrive there any more and its loads fail; the offset is free.
    ///
    /// # Errors
    /// BAD_ADDR where nothing is attached, where it is being detached, and for control pages. The job's: as
    /// [`PciFunction::unmap_dma`]; then it still is.
    pub fn detach(&mut self, at: u64) -> Result<Job> {
        let length = self.attached.detachable(at)?;
        let job = self.worker.unmap(self.base + at, length)?;
        self.attached.detaching(at, job);
        Ok(job)
    }

    /// Readable while there are events to take; its owner polls it.
    pub fn events(&self) -> BorrowedFd<'_> {
        self.events.descriptor()
    }

    /// Takes the next event, if there is one.
    pub fn take(&mut self) -> Option<Event> {
        let event = self.events.take();
        if let Some(Event::Done(job, outcome)) = &event {
            self.attached.ended(*job, outcome.is_ok());
            if self.renewing == Some(*job) {
                (self.ready, self.renewing) = (outcome.is_ok(), None);
            }
        }
        event
    }

    /// Says that all that the link carried has been ended, after [`Event::Link`]. What happens to the link from here on is a new
    /// event; whether it is up is asked after this.
    pub fn link_answered(&mut self) {
        self.events.link_answered();
    }

    /// What the last [`Event::Error`] asked for is done. Others are told from here on.
    pub fn error_answered(&mut self) {
        self.events.error_answered();
    }

    /// A descriptor that is readable from when the link may have changed until [`link_answered`](Self::link_answered), and from an
    /// error until [`error_answered`](Self::error_answered): for those who have to know before they believe what they loaded.
    /// It keeps nothing of the bridge open.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub fn sentinel(&self) -> Result<OwnedFd> {
        self.events.sentinel()
    }

    /// Rings a doorbell of the other host. What is rung for has been stored, fenced and loaded back by then.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT.
    pub fn ring(&self, vector: Vector) -> Result<()> {
        self.doorbells[vector as usize - 1].ring(&*self.function)
    }

    /// Says whether this side is ready. Waits up to a second.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT.
    pub fn set_link(&mut self, up: bool) -> Result<()> {
        command(&*self.function, if up { Command::LinkUp } else { Command::LinkDown })
    }

    /// Whether both sides are ready; that the other one lives it does not say.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT.
    pub fn link_is_up(&self) -> Result<bool> {
        link(&*self.function)
    }

    /// What a process of this host maps to reach `length` bytes at an offset of the window; it reaches all of the window by it, and
    /// whatever the other host has attached there. It goes on to after the end of this.
    ///
    /// # Errors
    /// BAD_OFFSET outside of the window; as [`PciFunction::reach`].
    pub fn reach(&self, at: u64, length: u64) -> Result<Reach> {
        let window = self.limits.window;
        if at.checked_add(length).is_none_or(|end| end > window) {
            let text = format!("{length} bytes at offset {at:#x} are outside of a bridge's window of {window} bytes");
            return Err(Error::with(Code::BadOffset, text));
        }
        let reach = self.function.reach()?;
        Ok(Reach { offset: reach.offset + at, ..reach })
    }

    /// The memory of the other host, in words.
    pub fn words(&self) -> &Words<F> {
        &self.words
    }
}

impl<F: PciFunction> Drop for Epf<F> {
    fn drop(&mut self) {
        // What it was asked for and has not begun might open the bridge again.
        self.worker.end();
        // A function that is gone has no link.
        let _ = close(&*self.function);
    }
}

/// A number that nobody can guess.
fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(8) => Ok(u64::from_ne_bytes(bytes)),
        outcome => Err(Error::with(Code::InternalError, format!("the kernel gives no random numbers: {outcome:?}"))),
    }
}
