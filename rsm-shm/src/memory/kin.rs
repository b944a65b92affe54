//! Whether forked children live that share this process's memory.
//!
//! Pages of a segment may be freed for everybody only when nobody else has a right to what they hold. Forked children
//! have, and map the very description that the exporter maps, which a lease does not tell; nor do hooks of the C library
//! know of a child made by `clone(2)` itself. The kernel does: a private page that is never stored to stays the same
//! page in parent and child, and `/proc/self/pagemap` says whether it is mapped once. It is again when the last child
//! has ended, or executed another program.
//!
//! The page is locked. A process that may lock none when it first shares memory does without for good: one that is made
//! later would not tell of children forked before it, and they have a right to memory from before as well.
#![allow(unsafe_code)]

use crate::error::from_errno;
use crate::guest::Guest;
use crate::procfs;
use rsm_core::Result;
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
use std::cell::OnceCell;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// The process that made the page: a child needs one of its own, as its parent shares the first.
static MAKER: AtomicU32 = AtomicU32::new(0);
/// Its address; 0 when there could be none.
static PAGE: AtomicUsize = AtomicUsize::new(0);

/// `PM_PRESENT` and `PM_MMAP_EXCLUSIVE`: mapped here, and nowhere else.
const MAPPED_ONCE: u64 = 1 << 63 | 1 << 56;

/// From here on children are seen, where the process may lock a page. Called before it has memory that it might share with
/// them.
///
/// # Errors
/// INSUFFICIENT_MEM.
pub(crate) fn watch() -> Result<()> {
    let me = std::process::id();
    // Acquire: pairs with the Release below. Two threads that both find nothing make two pages, of which either will do.
    if MAKER.load(Ordering::Acquire) != me {
        PAGE.store(make_page()?.unwrap_or(0), Ordering::Relaxed);
        MAKER.store(me, Ordering::Release);
    }
    Ok(())
}

/// A page that only children share, and that stays in memory: one that was swapped out would count as mapped once while
/// a child has its entry for it. `None` where the process may lock none.
fn make_page() -> Result<Option<usize>> {
    let size = super::page_size();
    let (none, rw) = (ProtFlags::empty(), MprotectFlags::READ | MprotectFlags::WRITE);
    let failed = |e| from_errno(e, "no memory for the page that tells of forked children");
    // SAFETY: the kernel chooses the addresses; the page is stored to once, while nobody else knows it, and never unmapped
    // when it has become what is looked at.
    unsafe {
        // Locked from the start: `mlock` does not tell a limit from a lack of memory, which is over sooner.
        let flags = MapFlags::PRIVATE | MapFlags::LOCKED;
        let page = match rustix::mm::mmap_anonymous(std::ptr::null_mut(), size, none, flags) {
            Err(e @ (Errno::NOMEM | Errno::NFILE)) => return Err(failed(e)),
            Err(_) => return Ok(None),
            Ok(page) => page,
        };
        // Not a piece of a larger page together with its neighbours, and unlike any other, so that nothing merges it.
        let _ = rustix::mm::madvise(page, size, rustix::mm::Advice::LinuxNoHugepage);
        let made = rustix::mm::mprotect(page, size, rw).and_then(|()| {
            page.cast::<u64>().write_volatile(page.addr() as u64);
            rustix::mm::mprotect(page, size, MprotectFlags::READ)
        });
        if let Err(e) = made {
            let _ = rustix::mm::munmap(page, size);
            return Err(failed(e));
        }
        Ok(Some(page.expose_provenance()))
    }
}

/// Asks the kernel, any number of times.
#[derive(Debug, Default)]
pub(crate) struct Kin {
    pagemap: OnceCell<Option<Guest>>,
}

impl Kin {
    /// Whether there is surely none: where the kernel does not tell, there may be.
    pub(crate) fn is_none(&self) -> bool {
        // Acquire: as in `watch`.
        let maker = MAKER.load(Ordering::Acquire);
        let page = PAGE.load(Ordering::Relaxed);
        if page == 0 || maker != std::process::id() {
            return false;
        }
        let open = || procfs::open("self/pagemap").ok();
        let Some(pagemap) = self.pagemap.get_or_init(open) else { return false };
        let mut entry = [0; 8];
        let at = (page / super::page_size() * entry.len()) as u64;
        let read = rustix::io::pread(pagemap, &mut entry, at);
        read == Ok(entry.len()) && u64::from_ne_bytes(entry) & MAPPED_ONCE == MAPPED_ONCE
    }
}
