//! Trash pages: what lies under an import's mapping once its connection was cut.
//!
//! The mapping is replaced in place, in one system call, by private memory with the same protection. Threads that
//! store or load meanwhile never fault; what they store vanishes, what they load is unspecified (reference 3.2).
//!
//! A program that was given the addresses may have unmapped them itself, and have other memory there by now. So what is
//! there is looked at before it is covered, and again before it is unmapped. Between the look and the call the kernel has
//! no room for a condition: a program that unmaps an import's memory itself at that very moment can lose what it gets
//! there. To be known again, trash is memory of `/dev/zero` at an offset that nobody else maps.
#![allow(unsafe_code)]

use super::inspect;
use super::ours::MARK;
use super::region::Region;
use crate::error::from_errno;
use crate::guest::Guest;
use rsm_core::Result;
use rsm_core::access::Permission;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::cell::OnceCell;

thread_local! {
    static ZEROS: OnceCell<Guest> = const { OnceCell::new() };
}

fn open_zeros() -> Result<Guest, Errno> {
    rustix::fs::open("/dev/zero", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).and_then(Guest::new)
}

/// Lets the calling thread, whose descriptors are its own, mark trash for as long as it lives; if there is a device.
///
/// # Errors
/// As `open(2)`, where it may be possible the next time.
pub(crate) fn keep_marking() -> Result<()> {
    match open_zeros() {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::PERM | Errno::NXIO | Errno::NODEV) => Ok(()),
        zeros => zeros
            .map(|zeros| ZEROS.with(|kept| drop(kept.set(zeros))))
            .map_err(|e| from_errno(e, "cannot open /dev/zero")),
    }
}

/// Puts private zeroed memory over all of the region that is still ours.
///
/// # Errors
/// INSUFFICIENT_MEM; INSUFFICIENT_RESOURCES, CTLR_NOT_PRESENT when what is there cannot be looked at. The old mapping then
/// still stands, in part at least.
pub(crate) fn cover(region: &Region, permission: Permission) -> Result<()> {
    let (start, length) = (region.as_ptr().addr(), region.len());
    let Some(object) = region.object() else {
        let mut protection = ProtFlags::empty();
        protection.set(ProtFlags::READ, permission.reads());
        protection.set(ProtFlags::WRITE, permission.writes());
        return put(region, 0, length, protection);
    };
    for piece in inspect::present(start, length)?.iter().filter(|piece| piece.is_of(object)) {
        let mut protection = ProtFlags::empty();
        protection.set(ProtFlags::READ, piece.readable);
        protection.set(ProtFlags::WRITE, piece.writable);
        protection.set(ProtFlags::EXEC, piece.executable);
        put(region, piece.start - start, piece.bytes(), protection)?;
    }
    Ok(())
}

fn put(region: &Region, offset: usize, length: usize, protection: ProtFlags) -> Result<()> {
    let place = region.as_ptr().wrapping_add(offset).cast();
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: the range is part of `region`, which stays its owner, and maps what the region is made of. Whoever holds
    // pointers into it holds them as raw pointers or references to atomics, for which any content is valid; both go on
    // pointing to mapped memory.
    let marked =
        |zeros: &Guest| unsafe { rustix::mm::mmap(place, length, protection, flags, zeros, MARK + offset as u64) };
    // A thread that ends has let go of its own already.
    let put = match ZEROS.try_with(|kept| kept.get().map(marked)) {
        Ok(Some(put)) => put,
        Ok(None) | Err(_) => open_zeros().and_then(|zeros| marked(&zeros)),
    };
    let put = match put {
        Err(Errno::NOMEM) => Err(Errno::NOMEM),
        // Without the device, or a descriptor for it.
        Err(_) => {
            region.expect_plain_trash();
            // SAFETY: as above.
            unsafe { rustix::mm::mmap_anonymous(place, length, protection, flags) }
        }
        put => put,
    };
    put.map(|_| ()).map_err(|e| from_errno(e, "cannot cut a mapping off"))
}

#[cfg(test)]
mod tests {
    use super::super::inspect::Kind;
    use super::super::memfd;
    use super::super::page_size;
    use super::*;
    use crate::refused;

    fn import(pages: usize) -> (Region, std::os::fd::OwnedFd) {
        let length = pages * page_size();
        let object = memfd::create("rsm-segment", length as u64).unwrap();
        let region = Region::map(&object, 0, length, Permission::ReadWrite).unwrap();
        let identity = inspect::identity(&object).unwrap();
        (region.given_to_program(identity), object)
    }

    /// Whether this process is the test's alone. Where it is not, the test of that name runs in one that is: what is
    /// unmapped in this one, the next test may map.
    fn alone(test: &str) -> bool {
        const MARK: &str = "RSM_TEST_ALONE";
        if std::env::var_os(MARK).is_some() {
            return true;
        }
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        let name = format!("memory::trash::tests::{test}");
        let ran = child.args(["--exact", &name, "--test-threads=1", "--nocapture"]).env(MARK, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&ran.stderr));
        false
    }

    fn kinds(region: &Region) -> Vec<Kind> {
        inspect::present(region.as_ptr().addr(), region.len()).unwrap().iter().map(|p| p.kind).collect()
    }

    /// The program's own memory of one page in the place of a region's.
    fn mine(region: &Region, page: usize, word: u64) -> *mut u64 {
        let place = region.as_ptr().wrapping_add(page * page_size()).cast();
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: memory of the test's.
        unsafe {
            let mine = rustix::mm::mmap_anonymous(place, page_size(), rw, MapFlags::PRIVATE | MapFlags::FIXED).unwrap();
            mine.cast::<u64>().write_volatile(word);
            mine.cast()
        }
    }

    #[test]
    fn what_the_program_put_there_is_neither_covered_nor_unmapped() {
        if !alone("what_the_program_put_there_is_neither_covered_nor_unmapped") {
            return;
        }
        let page = page_size();
        let (region, object) = import(4);
        // SAFETY: memory of the test's.
        unsafe { region.as_ptr().cast::<u64>().write_volatile(7) };
        let before = mine(&region, 1, 11);
        cover(&region, Permission::ReadWrite).unwrap();
        let after = mine(&region, 3, 12);
        assert_eq!(kinds(&region), [Kind::PrivateFile, Kind::Anonymous, Kind::PrivateFile, Kind::Anonymous]);
        // SAFETY: as above; trash is mapped as its memory was.
        let (trash, words) = unsafe {
            region.as_ptr().cast::<u64>().write_volatile(8);
            (region.as_ptr().cast::<u64>().read_volatile(), (before.read_volatile(), after.read_volatile()))
        };
        assert_eq!((trash, words), (8, (11, 12)));
        let mut word = [0; 8];
        rustix::io::pread(&object, &mut word, 0).unwrap();
        assert_eq!(u64::from_ne_bytes(word), 7, "nothing arrives");
        let start = region.as_ptr().addr();
        drop(region);
        let left: Vec<_> = inspect::present(start, 4 * page).unwrap().iter().map(|p| p.start - start).collect();
        assert_eq!(left, [page, 3 * page]);
        // SAFETY: as above.
        assert_eq!(unsafe { (before.read_volatile(), after.read_volatile()) }, (11, 12));
        // SAFETY: the test's own.
        unsafe {
            rustix::mm::munmap(before.cast(), page).unwrap();
            rustix::mm::munmap(after.cast(), page).unwrap();
        }
    }

    /// Of an import that is gone.
    #[test]
    fn what_nobody_can_look_at_now_stays_mapped() {
        let (region, _object) = import(3);
        let start = region.as_ptr().addr();
        let mine = mine(&region, 1, 11);
        // With which every look at /proc begins, on each processor.
        refused::on_a_thread(libc::SYS_statfs, Errno::NOMEM, || drop(region));
        // SAFETY: memory of the test's, or of the region's that nobody unmapped.
        unsafe {
            let left = inspect::present(start, 3 * page_size()).unwrap();
            assert_eq!(left.iter().map(|p| p.kind).collect::<Vec<_>>(), [Kind::Object, Kind::Anonymous, Kind::Object]);
            assert_eq!(mine.read_volatile(), 11);
            rustix::mm::munmap(std::ptr::with_exposed_provenance_mut(start), 3 * page_size()).unwrap();
        }
    }

    #[test]
    fn trash_keeps_the_protection_of_what_it_covers() {
        let (region, _object) = import(2);
        // SAFETY: memory of the test's.
        unsafe { rustix::mm::mprotect(region.as_ptr().cast(), page_size(), rustix::mm::MprotectFlags::READ).unwrap() };
        cover(&region, Permission::ReadWrite).unwrap();
        let pieces = inspect::present(region.as_ptr().addr(), region.len()).unwrap();
        assert_eq!(pieces.iter().map(|p| p.writable).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_whole_region_goes_whole() {
        if !alone("a_whole_region_goes_whole") {
            return;
        }
        for covered in [false, true] {
            let (region, _object) = import(3);
            if covered {
                cover(&region, Permission::ReadWrite).unwrap();
            }
            let (start, length) = (region.as_ptr().addr(), region.len());
            drop(region);
            assert!(inspect::present(start, length).unwrap().is_empty());
        }
    }
}
