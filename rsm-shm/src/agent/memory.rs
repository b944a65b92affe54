//! Memory objects of segments, each with those that share it.

use super::aside::Aside;
use rsm_core::Result;
use std::cell::{Ref, RefCell};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Most segments over the same addresses: what is done to one is done to all, at once.
pub(super) const MAX_SHARERS: usize = 256;

/// The memory of a segment, and of others over the same addresses (D-80).
#[derive(Debug)]
pub(super) struct Memory {
    object: Option<OwnedFd>,
    length: u64,
    /// Rows of the segments whose memory this is.
    sharers: RefCell<BTreeSet<u32>>,
    /// Where the exporter moves the contents: all segments over the addresses wait for the outcome, those that come
    /// meanwhile too.
    moving: RefCell<Option<Rc<Memory>>>,
    ledger: Ledger,
}

/// How many memory objects there are, and who closes them.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    alive: Rc<()>,
    aside: Rc<Aside>,
}

impl Ledger {
    pub(super) fn new(aside: Rc<Aside>) -> Ledger {
        Ledger { alive: Rc::new(()), aside }
    }

    /// Memory objects that are open.
    pub(super) fn count(&self) -> u64 {
        // One is ours. Each memory has one.
        Rc::strong_count(&self.alive) as u64 - 1 + self.closing()
    }

    /// Memory objects that nobody has any more and that are still open.
    pub(super) fn closing(&self) -> u64 {
        self.aside.closing()
    }
}

impl Memory {
    pub(super) fn new(object: OwnedFd, length: u64, ledger: &Ledger) -> Rc<Memory> {
        let (sharers, moving) = (RefCell::default(), RefCell::default());
        Rc::new(Memory { object: Some(object), length, sharers, moving, ledger: ledger.clone() })
    }

    /// Another descriptor of the object, to be sent.
    pub(super) fn duplicate(&self) -> Result<OwnedFd> {
        super::members::duplicate(self.object())
    }

    /// The object.
    pub(super) fn object(&self) -> &OwnedFd {
        self.object.as_ref().expect("open until this is dropped")
    }

    /// Rows of the segments whose memory this is.
    pub(super) fn sharers(&self) -> Ref<'_, BTreeSet<u32>> {
        self.sharers.borrow()
    }

    pub(super) fn is_moving(&self) -> bool {
        self.moving.borrow().is_some()
    }

    /// Notes where it is moving to; memory that nobody moved to goes.
    pub(super) fn move_to(&self, other: Rc<Memory>) {
        self.moving.replace(Some(other));
    }

    /// Takes the memory that it was moving to.
    pub(super) fn take_move(&self) -> Option<Rc<Memory>> {
        self.moving.take()
    }

    /// Notes that a segment has this memory from now on, or no more.
    pub(super) fn shared_by(&self, row: u32, shared: bool) {
        let mut sharers = self.sharers.borrow_mut();
        if shared {
            sharers.insert(row)
        } else {
            sharers.remove(&row)
        };
    }
}

impl AsFd for Memory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.object().as_fd()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Some(object) = self.object.take() {
            self.ledger.aside.close(object, self.length);
        }
    }
}
