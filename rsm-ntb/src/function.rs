//! How a PCI function is reached.

use rsm_core::Result;
use rsm_core::access::Permission;
use std::fmt::Debug;
use std::ops::RangeInclusive;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// A range of a function's addresses that is loaded from and stored to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// Registers: BAR 0.
    Registers,
    /// Doorbells: BAR 2.
    Doorbells,
    /// The window: BAR 4.
    Window,
    /// The PCI configuration space.
    Config,
}

/// What a process of this host maps to reach memory of the other one.
#[derive(Debug)]
pub struct Reach {
    /// To be mapped shared, for loads and stores. What of it may be stored to is decided where the memory is.
    pub memory: OwnedFd,
    /// Offset in bytes to map it at.
    pub offset: u64,
    /// Whether the descriptor reaches the function's registers and interrupts too, and keeps the function from being taken over
    /// by another driver until it is closed and unmapped. Otherwise it is the window's alone.
    pub wide: bool,
}

/// A PCI function, as a driver outside of the kernel reaches it.
///
/// It is used by an agent's thread and by one that maps memory for it, at the same time. When it is dropped, the function reaches
/// no memory of this host any more.
///
/// # Errors
/// Of all operations: CTLR_NOT_PRESENT when the function is gone.
pub trait PciFunction: Debug + Send + Sync {
    /// Bytes of a range; 0 where there is none.
    ///
    /// # Errors
    /// As for all.
    fn bytes(&self, bar: Bar) -> Result<u64>;

    /// Loads 2, 4 or 8 bytes from an offset that is a multiple of as many, in one access.
    ///
    /// # Errors
    /// As for all; BAD_OFFSET outside of the range.
    fn load(&self, bar: Bar, at: u64, into: &mut [u8]) -> Result<()>;

    /// Stores as [`load`](Self::load) loads. To the window it is posted.
    ///
    /// # Errors
    /// As for all; BAD_OFFSET outside of the range.
    fn store(&self, bar: Bar, at: u64, bytes: &[u8]) -> Result<()>;

    /// Addresses that memory can be mapped at for the function, in bytes.
    fn addresses(&self) -> Vec<RangeInclusive<u64>>;

    /// Lets the function reach the first `length` bytes of a memory object at `address`; both are multiples of the page size.
    /// It takes long: blocks for up to a second for each GiB.
    ///
    /// # Errors
    /// As for all; INSUFFICIENT_MEM and INSUFFICIENT_RESOURCES, which name the limit that was met; BAD_ADDR for addresses that
    /// cannot be had; PERM_DENIED for memory that this process may not access so.
    fn map_dma(&self, address: u64, memory: BorrowedFd<'_>, length: u64, permission: Permission) -> Result<()>;

    /// Takes back what was mapped at `address` with this length. When it returns, the function reaches none of it, and what was
    /// on its way there has arrived or is lost.
    ///
    /// # Errors
    /// As for all; BAD_ADDR where nothing was mapped like this.
    fn unmap_dma(&self, address: u64, length: u64) -> Result<()>;

    /// What others map to reach the window, from its beginning. All of the window is reached by it.
    ///
    /// # Errors
    /// As for all; MAP_FAILED where the window cannot be mapped; INSUFFICIENT_RESOURCES without a descriptor.
    fn reach(&self) -> Result<Reach>;

    /// Says what the function's interrupt vectors raise: an event descriptor each, from vector 0 on; and what is raised when the
    /// machine finds an error of the function, where it can say so.
    ///
    /// # Errors
    /// As for all; INSUFFICIENT_RESOURCES where the function has not as many vectors.
    fn set_interrupts(&self, vectors: &[BorrowedFd<'_>], error: BorrowedFd<'_>) -> Result<()>;
}

/// So that a driver's successor can be given the function that it had.
impl<F: PciFunction + ?Sized> PciFunction for Arc<F> {
    fn bytes(&self, bar: Bar) -> Result<u64> {
        (**self).bytes(bar)
    }

    fn load(&self, bar: Bar, at: u64, into: &mut [u8]) -> Result<()> {
        (**self).load(bar, at, into)
    }

    fn store(&self, bar: Bar, at: u64, bytes: &[u8]) -> Result<()> {
        (**self).store(bar, at, bytes)
    }

    fn addresses(&self) -> Vec<RangeInclusive<u64>> {
        (**self).addresses()
    }

    fn map_dma(&self, address: u64, memory: BorrowedFd<'_>, length: u64, permission: Permission) -> Result<()> {
        (**self).map_dma(address, memory, length, permission)
    }

    fn unmap_dma(&self, address: u64, length: u64) -> Result<()> {
        (**self).unmap_dma(address, length)
    }

    fn reach(&self) -> Result<Reach> {
        (**self).reach()
    }

    fn set_interrupts(&self, vectors: &[BorrowedFd<'_>], error: BorrowedFd<'_>) -> Result<()> {
        (**self).set_interrupts(vectors, error)
    }
}
