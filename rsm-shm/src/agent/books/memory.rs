//! Memory objects of segments, each with those that share it.

use super::aside::Aside;
use rsm_core::{Code, Error, Result};
use std::cell::{Ref, RefCell};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// Most segments over the same addresses: what is done to one is done to all, at once.
pub(in crate::agent) const MAX_SHARERS: usize = 256;

/// The memory of a segment, and of others over the same addresses (D-80).
#[derive(Debug)]
pub(in crate::agent) struct Memory {
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
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Ledger {
    alive: Rc<()>,
    aside: Rc<Aside>,
}

impl Ledger {
    /// Memory objects that are open.
    pub(in crate::agent) fn count(&self) -> u64 {
        // One is ours. Each memory has one.
        Rc::strong_count(&self.alive) as u64 - 1 + self.closing()
    }

    /// Memory objects that nobody has any more and that are still open.
    pub(in crate::agent) fn closing(&self) -> u64 {
        self.aside.closing()
    }
}

impl Memory {
    pub(in crate::agent) fn new(object: OwnedFd, length: u64, ledger: &Ledger) -> Rc<Memory> {
        let (sharers, moving) = (RefCell::default(), RefCell::default());
        Rc::new(Memory { object: Some(object), length, sharers, moving, ledger: ledger.clone() })
    }

    /// Memory of a segment of another host: none here.
    pub(in crate::agent) fn elsewhere(length: u64, ledger: &Ledger) -> Rc<Memory> {
        let (sharers, moving) = (RefCell::default(), RefCell::default());
        Rc::new(Memory { object: None, length, sharers, moving, ledger: ledger.clone() })
    }

    /// Another descriptor of the object, to be sent.
    pub(in crate::agent) fn duplicate(&self) -> Result<OwnedFd> {
        duplicate(self.object())
    }

    /// The object.
    pub(in crate::agent) fn object(&self) -> &OwnedFd {
        self.object.as_ref().expect("open until this is dropped, and never asked for of another host's")
    }

    /// Rows of the segments whose memory this is.
    pub(in crate::agent) fn sharers(&self) -> Ref<'_, BTreeSet<u32>> {
        self.sharers.borrow()
    }

    pub(in crate::agent) fn is_moving(&self) -> bool {
        self.moving.borrow().is_some()
    }

    /// Notes where it is moving to; memory that nobody moved to goes.
    pub(in crate::agent) fn move_to(&self, other: Rc<Memory>) {
        self.moving.replace(Some(other));
    }

    /// Takes the memory that it was moving to.
    pub(in crate::agent) fn take_move(&self) -> Option<Rc<Memory>> {
        self.moving.take()
    }

    /// Notes that a segment has this memory from now on, or no more.
    pub(in crate::agent) fn shared_by(&self, row: u32, shared: bool) {
        let mut sharers = self.sharers.borrow_mut();
        if shared {
            sharers.insert(row)
        } else {
            sharers.remove(&row)
        };
    }
}

/// Another descriptor of the same description, to be sent.
pub(in crate::agent) fn duplicate(fd: &OwnedFd) -> Result<OwnedFd> {
    fd.try_clone()
        .map_err(|e| Error::with(Code::InsufficientResources, format!("the agent has no free descriptor: {e}")))
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
