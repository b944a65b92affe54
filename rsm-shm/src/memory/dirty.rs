//! Which pages of a mapping were stored to, told by the kernel.
//!
//! Write protection that the kernel lifts by itself and remembers (`UFFD_FEATURE_WP_ASYNC`), and a request that gives the
//! pages and protects them again in one step (`PAGEMAP_SCAN`): both since Linux 6.7. A first store to a page then costs a
//! fault of about a microsecond, and a look costs what was stored to. Without them, or for less than 128 KiB, comparing
//! everything is as good.
#![allow(unsafe_code)]

use super::copy::Word;
use super::inspect::{self, Identity, Piece};
use super::region::Region;
use super::uffd::AsyncProtection;
use super::{memfd, page_size};
use crate::guest::Guest;
use rsm_core::access::Permission;
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::OnceLock;

/// Less than this is compared whole.
const LEAST: usize = 128 << 10;

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

/// `struct pm_scan_arg`.
#[repr(C)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vector: u64,
    vector_length: u64,
    most_pages: u64,
    category_inverted: u64,
    category: u64,
    category_any: u64,
    returned: u64,
}

const PAGEMAP_SCAN: u64 = rustix::ioctl::opcode::read_write::<Scan>(b'f', 16) as u64;
const WRITTEN: u64 = 1 << 1;
const PROTECT_MATCHING: u64 = 1;
const CHECK_ASYNC: u64 = 1 << 1;

/// What tells the pages of this process.
struct Teller {
    /// The process that it tells of: a forked child has another memory.
    process: u32,
    protection: AsyncProtection,
    pagemap: Guest,
}

/// `None` where the kernel cannot, or does not let us. Descriptors that the program closed tell nothing from then on.
fn teller() -> Option<&'static Teller> {
    static TELLER: OnceLock<Option<Teller>> = OnceLock::new();
    TELLER.get_or_init(|| Teller::open().ok()).as_ref().filter(|teller| teller.process == std::process::id())
}

/// Tries it, once and without traces.
///
/// # Errors
/// What the kernel says where it cannot.
pub(crate) fn probe() -> Result<(), Errno> {
    Teller::open().map(drop)
}

impl Teller {
    /// Opens what it needs, and sees that it works: some kernels have the one and not the other.
    fn open() -> Result<Teller, Errno> {
        let pagemap = crate::procfs::open("self/pagemap").map_err(|_| Errno::NOENT)?;
        let teller = Teller { process: std::process::id(), protection: AsyncProtection::open()?, pagemap };
        let object = memfd::create("rsm-probe", page_size() as u64).map_err(|_| Errno::NOMEM)?;
        let page = Region::map(object, 0, page_size(), Permission::ReadWrite).map_err(|_| Errno::NOMEM)?;
        teller.watch(&page)?;
        // SAFETY: a page of ours.
        unsafe { u64::store(page.as_ptr(), 1) };
        let told = teller.scan(page.as_ptr().addr(), page_size())?;
        if told.len() == 1 { Ok(teller) } else { Err(Errno::NOSYS) }
    }

    fn watch(&self, region: &Region) -> Result<(), Errno> {
        self.protection.watch(region.as_ptr().addr(), region.len())
    }

    /// The ranges that were stored to, protected anew.
    fn scan(&self, start: usize, length: usize) -> Result<Vec<Range<usize>>, Errno> {
        const MOST: usize = 256;
        let (mut found, end) = (Vec::new(), (start + length) as u64);
        let mut from = start as u64;
        while from < end {
            let mut vector = [PageRegion::default(); MOST];
            let mut scan = Scan {
                size: size_of::<Scan>() as u64,
                flags: PROTECT_MATCHING | CHECK_ASYNC,
                start: from,
                end,
                walk_end: 0,
                vector: vector.as_mut_ptr().addr() as u64,
                vector_length: MOST as u64,
                most_pages: 0,
                category_inverted: 0,
                category: WRITTEN,
                category_any: 0,
                returned: WRITTEN,
            };
            // SAFETY: the argument is one `struct pm_scan_arg`, whose vector has room for as many as it says. Protecting
            // changes no contents, and stores go on: the kernel lifts it by itself.
            let told = unsafe {
                libc::ioctl(self.pagemap.as_fd().as_raw_fd(), PAGEMAP_SCAN as _, std::ptr::from_mut(&mut scan))
            };
            let told = usize::try_from(told)
                .map_err(|_| Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))?;
            found.extend(vector[..told.min(MOST)].iter().map(|page| page.start as usize..page.end as usize));
            if scan.walk_end <= from {
                break;
            }
            from = scan.walk_end;
        }
        Ok(found)
    }
}

/// The pages of a mapping that were stored to since they were last asked for.
#[derive(Debug)]
pub(crate) struct Dirty {
    start: usize,
    length: usize,
}

impl Dirty {
    /// Watches a mapping of a memory object, if it is large enough that it pays, and possible.
    pub(crate) fn watch(region: &Region) -> Option<Dirty> {
        if region.len() < LEAST {
            return None;
        }
        teller()?.watch(region).ok()?;
        Some(Dirty { start: region.as_ptr().addr(), length: region.len() })
    }

    /// Watches memory that the program has mapped, likewise. Until [`leave`](Self::leave) nobody else can protect it.
    pub(crate) fn watch_program(start: usize, length: usize) -> Option<Dirty> {
        if length < LEAST {
            return None;
        }
        teller()?.protection.watch(start, length).ok()?;
        Some(Dirty { start, length })
    }

    /// Watches it no more, as far as it is still this object that is mapped there: what the program has mapped since may be
    /// watched by itself.
    pub(crate) fn leave(self, object: Identity) {
        let Some(teller) = teller() else { return };
        let pieces = inspect::present(self.start, self.length).unwrap_or_default();
        let is_there = |piece: &&Piece| piece.is_of(object) && piece.offset == (piece.start - self.start) as u64;
        for piece in pieces.iter().filter(is_there) {
            teller.protection.leave(piece.start, piece.bytes());
        }
    }

    /// The words of these pages, of `words` that there are; all of them where nobody can tell now.
    pub(crate) fn take(&mut self, words: usize) -> Vec<Range<usize>> {
        let told = teller().and_then(|teller| teller.scan(self.start, self.length).ok());
        let Some(pages) = told else { return std::iter::once(0..words).collect() };
        let word = |address: usize| ((address - self.start) / size_of::<u64>()).min(words);
        pages.into_iter().map(|page| word(page.start)..word(page.end)).collect()
    }
}
