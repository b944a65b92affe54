//! Huge pages in shared memory: those that the processor finds with one entry of its translation buffer.
//!
//! A huge page begins at a multiple of its size in memory and in the object alike, so [`Region::map`](super::region::Region)
//! gives large mappings addresses where it can. The pages themselves are the object's: who made it collapses small ones
//! into huge ones once (`MADV_COLLAPSE`, Linux 6.1), whatever the machine's setting for transparent huge pages is (but
//! for `deny`), and every other mapping of it finds them.
#![allow(unsafe_code)]

use super::page_size;
use super::populate::{Use, populate};
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use std::sync::OnceLock;

/// Environment variable that asks for huge pages wherever they can be had, with any value but `0`.
pub const ENV_HUGE_PAGES: &str = "RSM_HUGE_PAGES";

/// `MADV_COLLAPSE`, which libc and rustix do not name for every system.
const COLLAPSE: libc::c_int = 25;
/// The kernel gives up when it meets a page that is just being used; it asks to be called again.
const ATTEMPTS: usize = 10;

/// Pages that a segment is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pages {
    /// Huge ones where the environment asks for them and they can be had: it wishes, it does not demand.
    AsWished,
    /// Huge ones, or an error.
    Huge,
}

impl Pages {
    /// Makes a mapping's pages what they are to be.
    ///
    /// # Errors
    /// Those of [`collapse`], when they must be huge.
    pub(crate) fn make(self, start: *mut u8, length: usize) -> Result<()> {
        let size = huge_page_size();
        match self {
            Pages::Huge => return collapse(start, length),
            Pages::AsWished if is_wanted() && length >= size && start.addr().is_multiple_of(size) => {
                if let Err(error) = collapse(start, length) {
                    tracing::debug!("{length} bytes stay in ordinary pages: {error}");
                }
            }
            Pages::AsWished => {}
        }
        Ok(())
    }
}

/// Bytes of a huge page: what one table of the lowest level maps.
pub fn huge_page_size() -> usize {
    page_size() / size_of::<u64>() * page_size()
}

/// Whether the environment asks for huge pages. Read once.
fn is_wanted() -> bool {
    static WANTED: OnceLock<bool> = OnceLock::new();
    *WANTED.get_or_init(|| crate::rights::setting(ENV_HUGE_PAGES).is_some_and(|value| value != "0"))
}

/// Whether the kernel knows how to make huge pages of ordinary ones, asked of no bytes: what costs nothing, and says nothing of
/// what memory they can be made of.
///
/// # Errors
/// EINVAL where it does not; what a filter says that refuses it.
pub(crate) fn is_known() -> rustix::io::Result<()> {
    // SAFETY: of a range without a byte nothing is done.
    match unsafe { libc::madvise(std::ptr::without_provenance_mut(page_size()), 0, COLLAPSE) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Makes huge pages of all ordinary ones in a range that begins at a multiple of their size, in memory and in the object;
/// what is behind the last whole one stays ordinary. Contents stay, and other threads may use the range meanwhile.
///
/// # Errors
/// CTLR_NOT_PRESENT where the kernel has no huge pages for shared memory, BAD_LENGTH and BAD_MEM_ALIGNMENT for a range
/// where none fits, INSUFFICIENT_MEM without free ones.
pub fn collapse(start: *mut u8, length: usize) -> Result<()> {
    let size = huge_page_size();
    let whole = length - length % size;
    if whole == 0 {
        return Err(Error::with(Code::BadLength, format!("{length} bytes, where a huge page has {size}")));
    }
    if !start.addr().is_multiple_of(size) {
        let text = format!("address {start:p} is no multiple of {size}, the size of a huge page");
        return Err(Error::with(Code::BadMemAlignment, text));
    }
    for piece in (0..whole).step_by(size) {
        // A piece without any page is refused: one is enough.
        let there = populate(start.wrapping_add(piece), page_size(), Use::Store);
        there.map_err(|e| Error::with(Code::InsufficientMem, format!("no memory for {length} bytes: {e}")))?;
    }
    let mut tried = 0;
    loop {
        // SAFETY: the advice moves contents to other pages and changes none; the kernel checks that the range is mapped.
        if unsafe { libc::madvise(start.cast(), whole, COLLAPSE) } == 0 {
            return Ok(());
        }
        let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
        tried += 1;
        match errno {
            Errno::AGAIN | Errno::BUSY | Errno::INTR if tried < ATTEMPTS => {}
            Errno::AGAIN | Errno::BUSY | Errno::INTR | Errno::NOMEM => {
                let text = format!("no huge pages for {length} bytes (MADV_COLLAPSE): {errno}");
                return Err(Error::with(Code::InsufficientMem, text));
            }
            errno => {
                let text = "this kernel has no huge pages for shared memory (MADV_COLLAPSE, Linux 6.1)";
                return Err(Error::with(Code::CtlrNotPresent, format!("{text}: {errno}")));
            }
        }
    }
}
