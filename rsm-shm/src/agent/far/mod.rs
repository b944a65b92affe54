//! The agent of another host: how two agents talk, and how memory reaches across.
//!
//! What two agents say to each other, and when one of them is believed to be there, is written once, without a device
//! (`rsm_core::peer`). What a fabric between hosts has to bring is two traits, because fabrics differ in each by
//! itself: [`Peering`], by which the agents talk and know of each other, and [`Carrier`], by which memory of one host is
//! offered to the other. Neither ever waits.
//!
//! | file | what |
//! |---|---|
//! | [`host`] | the other host as its agent knows it: what it has, what is wanted of it, what it was given |
//! | [`patience`] | how long it is waited for |
//! | [`paged`] | the peering of every fabric that has a window: control pages, rings and doorbells of a [`Device`] |
//! | [`local`] | a device between two agents of one machine |
//!
//! Whatever comes across is an allegation: what [`News`] carry has passed the checks of form, and is about what the peer may
//! speak of.

pub mod host;
pub mod local;
pub mod paged;
pub mod patience;

use rsm_core::access::Permission;
use rsm_core::peer::hello::Hello;
use rsm_core::peer::lane::Counts;
use rsm_core::peer::life::{End, Stage};
use rsm_core::peer::message::{Message, Terms};
use rsm_core::peer::outbox::{Facts, Outbox};
use rsm_core::peer::report::Traffic;
use rsm_core::peer::seal::Seal;
use rsm_core::peer::{Far, Near};
use rsm_core::sync::AtomicU64;
use rsm_core::{Error, Result};
use std::fmt::Debug;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Instant;

/// What is heard of the other host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It is there, and this was agreed on. What it has is told next.
    Met(Hello, Terms),
    /// It says something.
    Said(Message),
    /// Each knows what the other has.
    Open,
    /// It is gone, or cannot be believed any more: nothing that it said holds.
    Ended(End),
}

/// How the agents of two hosts talk and know of each other.
pub trait Peering {
    /// What happened next, if anything has.
    fn take(&mut self) -> Option<News>;

    /// Tells the peer what is in the outbox, as much as there is room for; the rest the next time.
    fn send(&mut self, outbox: &mut Outbox, facts: &dyn Facts);

    /// Something that [`take`](Self::take) gave makes no sense beside what was said before. Too many of these end it.
    fn refuse(&mut self, error: &Error);

    /// Stores the seal of a slot, which is granted next.
    fn seal(&mut self, slot: u32, seal: Seal);

    /// Breaks the seal of a slot: what is done next comes after every store that a verdict vouched for.
    fn break_seal(&mut self, slot: u32, dead: Seal);

    /// Posts signals by a lane, whose count this is, and rings for them.
    fn post(&mut self, outgoing: &AtomicU64, lane: u32, more: Counts);

    /// How many turns the peer says that it has had: after two more it has looked at all that was posted before.
    fn turns(&self) -> u64;

    /// The word of a lane that the peer posts by; `None` when there is no such lane.
    fn lane(&self, lane: u32) -> Option<&AtomicU64>;

    /// The peer's seals, for an importer to load.
    ///
    /// # Errors
    /// CONN_ABORTED without a peer, INSUFFICIENT_RESOURCES without a descriptor.
    fn seals(&self) -> Result<Reach>;

    /// A descriptor that is readable from when the link may have gone until all that it carried was ended, for an importer to ask
    /// after it has loaded a seal; `None` where a link that goes never comes back by itself.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    fn sentinel(&self) -> Result<Option<OwnedFd>>;

    /// Ends it, and tells the peer why if it listens. It may begin again by itself.
    fn close(&mut self, why: &str);

    /// How far it has come; `None` for the moment between the end and the next beginning.
    fn stage(&self) -> Option<Stage>;

    /// Why each does not know what the other has, for people; `None` when it does.
    fn trouble(&self) -> Option<String>;

    /// What it has loaded, stored and rung so far.
    fn traffic(&self) -> Traffic;

    /// Readable when there may be something to take.
    fn events(&self) -> BorrowedFd<'_>;

    /// When to look at the latest, whatever [`events`](Self::events) says.
    fn next(&self) -> Instant;
}

/// Something that a [`Carrier`] has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Job(pub u64);

/// What a fabric can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the window, control pages included.
    pub window: u64,
    /// What offsets and lengths are multiples of, in bytes.
    pub granule: u64,
}

/// What an importer is given to reach memory of the other host.
#[derive(Debug)]
pub struct Reach {
    /// To be mapped.
    pub memory: OwnedFd,
    /// Offset in bytes at which what is to be reached begins in it.
    pub offset: u64,
    /// It is a window of a device, and no memory object: nothing can be asked of it, and each mapping needs it again.
    pub device: bool,
}

/// How memory of one host is offered to the other. Offsets are from the beginning of a window.
pub trait Carrier {
    /// What it can carry.
    fn limits(&self) -> Limits;

    /// Begins to offer memory at an offset, for what `access` says and no more.
    ///
    /// # Errors
    /// BAD_LENGTH where it does not fit, INSUFFICIENT_RESOURCES where something is offered there, CONN_ABORTED without a
    /// peer.
    fn attach(&mut self, at: u64, memory: BorrowedFd<'_>, length: u64, access: Permission) -> Result<Job>;

    /// Begins to take it back. Once it is done nobody is given what is there.
    ///
    /// # Errors
    /// BAD_ADDR where nothing is offered.
    fn detach(&mut self, at: u64) -> Result<Job>;

    /// A job that is done, and what came of it.
    fn done(&mut self) -> Option<(Job, Result<()>)>;

    /// What an importer of this host is given for what the other offers.
    ///
    /// # Errors
    /// REMOTE_NODE_UNREACHABLE where it offers nothing, PERM_DENIED where it offers less.
    fn reach(&self, at: u64, length: u64, permission: Permission) -> Result<Reach>;
}

/// A way to the other host, whole.
pub trait Crossing: Peering + Carrier + Debug + Send {}

impl<T: Peering + Carrier + Debug + Send> Crossing for T {}

impl Peering for Box<dyn Crossing> {
    fn take(&mut self) -> Option<News> {
        (**self).take()
    }
    fn send(&mut self, outbox: &mut Outbox, facts: &dyn Facts) {
        (**self).send(outbox, facts);
    }
    fn refuse(&mut self, error: &Error) {
        (**self).refuse(error);
    }
    fn seal(&mut self, slot: u32, seal: Seal) {
        (**self).seal(slot, seal);
    }
    fn break_seal(&mut self, slot: u32, dead: Seal) {
        (**self).break_seal(slot, dead);
    }
    fn post(&mut self, outgoing: &AtomicU64, lane: u32, more: Counts) {
        (**self).post(outgoing, lane, more);
    }
    fn turns(&self) -> u64 {
        (**self).turns()
    }
    fn lane(&self, lane: u32) -> Option<&AtomicU64> {
        (**self).lane(lane)
    }
    fn seals(&self) -> Result<Reach> {
        (**self).seals()
    }
    fn sentinel(&self) -> Result<Option<OwnedFd>> {
        (**self).sentinel()
    }
    fn close(&mut self, why: &str) {
        (**self).close(why);
    }
    fn stage(&self) -> Option<Stage> {
        (**self).stage()
    }
    fn trouble(&self) -> Option<String> {
        (**self).trouble()
    }
    fn traffic(&self) -> Traffic {
        (**self).traffic()
    }
    fn events(&self) -> BorrowedFd<'_> {
        (**self).events()
    }
    fn next(&self) -> Instant {
        (**self).next()
    }
}

impl Carrier for Box<dyn Crossing> {
    fn limits(&self) -> Limits {
        (**self).limits()
    }
    fn attach(&mut self, at: u64, memory: BorrowedFd<'_>, length: u64, access: Permission) -> Result<Job> {
        (**self).attach(at, memory, length, access)
    }
    fn detach(&mut self, at: u64) -> Result<Job> {
        (**self).detach(at)
    }
    fn done(&mut self) -> Option<(Job, Result<()>)> {
        (**self).done()
    }
    fn reach(&self, at: u64, length: u64, permission: Permission) -> Result<Reach> {
        (**self).reach(at, length, permission)
    }
}

/// What opens bridges of kinds that this crate does not know, from what they are called; `None` for what is of none of its
/// kinds. Called on the agent's thread.
pub type Opener = fn(&str, paged::Host) -> Option<Result<Box<dyn Crossing>>>;

/// What stirred a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stir {
    /// A doorbell rang, or may have.
    pub rung: bool,
    /// The link went, since this was last asked, and why.
    pub lost: Option<Error>,
}

/// A device with a window and doorbells. What it is asked for it does at once, or begins.
pub trait Device: Carrier {
    /// The other host's control pages.
    type Far: Far;

    /// Lets go of the peer, which is told by the device, and does not let anybody in before [`renew`](Self::renew). Two that
    /// began anew as soon as each is ready, with the link as it was, would take each other's end for their own.
    fn let_go(&mut self);

    /// The same, and has fresh control pages of zeroes, which nobody reaches yet.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, also while memory of the last peer is being detached; INSUFFICIENT_MEM.
    fn renew(&mut self) -> Result<()>;

    /// Lets the peer reach the control pages, or looks for one; asked again until [`far`](Self::far) is there.
    ///
    /// # Errors
    /// BAD_CONF, naming what is wrong with the device or with who is at the other end; as [`renew`](Self::renew).
    fn offer(&mut self) -> Result<()>;

    /// The own control pages.
    fn near(&self) -> Near<'_>;

    /// The other host's; `None` without a peer.
    fn far(&self) -> Option<&Self::Far>;

    /// The peer's seals, for an importer to load.
    ///
    /// # Errors
    /// As [`Peering::seals`].
    fn seals(&self) -> Result<Reach>;

    /// What says that the link may have gone ([`Peering::sentinel`]).
    ///
    /// # Errors
    /// As there.
    fn sentinel(&self) -> Result<Option<OwnedFd>> {
        Ok(None)
    }

    /// Rings the peer. A hint: it may be lost.
    fn ring(&self);

    /// Readable when something may have stirred.
    fn events(&self) -> BorrowedFd<'_>;

    /// What stirred, since this was last asked.
    fn stir(&mut self) -> Stir;

    /// Messages of the peer were read: what it has attached before is here from now on. Nothing to do where it reaches this host by
    /// itself.
    fn catch_up(&mut self) {}
}
