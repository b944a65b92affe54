//! Mappings.
#![allow(unsafe_code)]

use super::huge::huge_page_size;
use super::inspect::{Identity, Piece};
use super::ours::ours;
use super::populate::{Use, populate};
use crate::error::from_errno;
use crate::guest::Guest;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, MremapFlags, ProtFlags};
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};

/// A mapped range of addresses, unmapped when dropped.
///
/// Holding one proves that the range is reserved for it; what is mapped there may change ([`super::trash`]), which
/// never makes an access fault that did not before.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    length: usize,
    /// What it maps, when the program knows its addresses: only what still maps it is touched.
    object: Option<Identity>,
    /// Trash without a mark lies in it ([`super::trash`]).
    plain_trash: AtomicBool,
    /// What it maps, and from where on: kept only where that cannot be mapped again without ([`super::twice`]).
    kept: Option<(Guest, u64)>,
    /// It maps a window of a device, which has no pages to be made present.
    is_window: bool,
}

// SAFETY: a Region owns an address range, not a thread's data; every access goes through raw pointers or atomics.
unsafe impl Send for Region {}
// SAFETY: as above; shared methods only read the two fields.
unsafe impl Sync for Region {}

/// How often addresses for huge pages are looked for before others will do.
const ATTEMPTS: u32 = 8;

fn protection(permission: Permission) -> ProtFlags {
    let mut flags = ProtFlags::empty();
    if permission.reads() {
        flags |= ProtFlags::READ;
    }
    if permission.writes() {
        flags |= ProtFlags::WRITE;
    }
    flags
}

fn failed(e: Errno, length: usize) -> Error {
    match e {
        Errno::NOMEM => Error::with(Code::InsufficientMem, format!("no address space for a mapping of {length} bytes")),
        e => from_errno(e, "cannot map memory"),
    }
}

impl Region {
    /// Maps `length` bytes of a memory object from `offset`, shared; where huge pages fit, at addresses where they can
    /// be had.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM without address space, PERM_DENIED when the description does not allow `permission`.
    pub fn map(fd: impl AsFd, offset: u64, length: usize, permission: Permission) -> Result<Region> {
        let at = |place: *mut u8, flags: MapFlags| {
            // SAFETY: with a null hint the kernel chooses free addresses, and where a place is given it is asked to
            // replace nothing. So no existing object is touched.
            unsafe {
                rustix::mm::mmap(place.cast(), length, protection(permission), MapFlags::SHARED | flags, &fd, offset)
            }
        };
        for _ in 0..if length >= huge_page_size() { ATTEMPTS } else { 0 } {
            // Free again as soon as they are found: who maps over what it reserved cannot tell, when that fails, whether
            // the reservation is still its own.
            let place = Region::reserve_for_huge(length, offset, Region::reserve)?.as_ptr();
            match at(place, MapFlags::FIXED_NOREPLACE) {
                Err(Errno::EXIST) => {} // taken by another thread in between
                start => return Region::from_mmap(start, length),
            }
        }
        Region::from_mmap(at(std::ptr::null_mut(), MapFlags::empty()), length)
    }

    /// Maps once more, to be read, what a program has mapped shared at `start`, and what comes behind that in the same
    /// object. What that is has to be looked at.
    ///
    /// # Errors
    /// As [`map`](Self::map); where nothing is mapped there, too.
    pub(crate) fn of_program(start: *mut u8, length: usize) -> Result<Region> {
        // SAFETY: an old size of 0 leaves a shared mapping as it is, and makes another one at addresses that the kernel
        // chooses; any other mapping is refused.
        let again = unsafe { rustix::mm::mremap(start.cast(), 0, length, MremapFlags::MAYMOVE) };
        let region = Region::from_mmap(again.map_err(|e| if e == Errno::FAULT { Errno::INVAL } else { e }), length)?;
        // SAFETY: a mapping of ours, of which nobody else knows.
        unsafe { rustix::mm::mprotect(region.as_ptr().cast(), length, MprotectFlags::READ) }
            .map_err(|e| failed(e, length))?;
        Ok(region)
    }

    /// Reserves `length` bytes of addresses that lie towards multiples of a huge page as `offset` does.
    fn reserve_for_huge(length: usize, offset: u64, reserve: impl Fn(usize) -> Result<Region>) -> Result<Region> {
        let size = huge_page_size();
        let whole = length.checked_next_multiple_of(super::page_size());
        let room = whole.and_then(|whole| Some((whole, whole.checked_add(size)?)));
        let (length, room) = room.ok_or_else(|| failed(Errno::NOMEM, length))?;
        let reserved = reserve(room)?;
        let first = reserved.start.as_ptr();
        let before = ((offset % size as u64) as usize).wrapping_sub(first.addr()) % size;
        let object = reserved.object;
        std::mem::forget(reserved);
        // SAFETY: all three pieces lie in what was reserved just now; the two around the one that is returned go.
        unsafe {
            let start = first.add(before);
            let _ = rustix::mm::munmap(start.add(length).cast(), size - before);
            if before > 0 {
                let _ = rustix::mm::munmap(first.cast(), before);
            }
            let mut region = Region::at(NonNull::new_unchecked(start), length);
            region.object = object;
            Ok(region)
        }
    }

    /// Reserves `length` bytes of addresses that nobody may touch.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM without address space.
    pub fn reserve(length: usize) -> Result<Region> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: as in `map`.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), length, ProtFlags::empty(), flags) };
        Region::from_mmap(start, length)
    }

    const fn at(start: NonNull<u8>, length: usize) -> Region {
        Region { start, length, object: None, plain_trash: AtomicBool::new(false), kept: None, is_window: false }
    }

    /// Says that the program is given the addresses of what maps this object. It may unmap them and have other memory
    /// there: from here on nothing is covered or unmapped that is not the object's or trash.
    pub(crate) fn given_to_program(mut self, object: Identity) -> Region {
        self.object = Some(object);
        self
    }

    pub(super) fn object(&self) -> Option<Identity> {
        self.object
    }

    /// Notes that private memory in it is trash.
    pub(super) fn expect_plain_trash(&self) {
        // Relaxed: read by whoever drops the region, which all that others did with it comes before.
        self.plain_trash.store(true, Ordering::Relaxed);
    }

    fn from_mmap(start: rustix::io::Result<*mut std::ffi::c_void>, length: usize) -> Result<Region> {
        let start = start.map_err(|e| failed(e, length))?;
        let start = NonNull::new(start.cast()).ok_or_else(|| Error::with(Code::MapFailed, "mapping at address 0"))?;
        Ok(Region::at(start, length))
    }

    /// Maps as [`map`](Self::map) does, memory of which parts will be [mapped again](Self::duplicate). It is for threads with
    /// the process's descriptors.
    ///
    /// # Errors
    /// As [`map`](Self::map); INSUFFICIENT_RESOURCES without a descriptor, where one must be kept.
    pub fn map_to_duplicate(fd: impl AsFd, offset: u64, length: usize, permission: Permission) -> Result<Region> {
        let mut region = Region::map(&fd, offset, length, permission)?;
        if !super::twice::is_possible() {
            region.keep(fd, offset)?;
        }
        Ok(region)
    }

    /// The same of a window of a device, which the kernel never maps a second time by itself.
    ///
    /// # Errors
    /// As [`map_to_duplicate`](Self::map_to_duplicate).
    pub(crate) fn map_window(fd: impl AsFd, offset: u64, length: usize, permission: Permission) -> Result<Region> {
        let mut region = Region::map(&fd, offset, length, permission)?;
        region.keep(fd, offset)?;
        region.is_window = true;
        super::copy::avoid_strings();
        Ok(region)
    }

    fn keep(&mut self, fd: impl AsFd, offset: u64) -> Result<()> {
        // Above the numbers of standard streams that the program has closed (D-69).
        let kept = rustix::io::fcntl_dupfd_cloexec(&fd, 3).and_then(Guest::new);
        self.kept = Some((kept.map_err(|e| from_errno(e, "cannot keep a segment's memory"))?, offset));
        Ok(())
    }

    /// Finds `length` bytes of free addresses, at `hint` if they are free there, and keeps them from others until
    /// something is mapped over them.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM without address space.
    pub(crate) fn reserve_at(hint: *mut u8, length: usize) -> Result<Region> {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: without MAP_FIXED the hint is no more than that: nothing that exists is touched.
        let start = unsafe { rustix::mm::mmap_anonymous(hint.cast(), length, ProtFlags::empty(), flags) };
        Region::from_mmap(start, length)
    }

    /// What of it is still ours; `None` where all of it is, or nobody can ever tell.
    ///
    /// # Errors
    /// Nobody can tell now.
    fn ours(&self) -> Result<Option<Vec<Piece>>> {
        let Some(object) = self.object else { return Ok(None) };
        // Relaxed: see `expect_plain_trash`.
        let plain = self.plain_trash.load(Ordering::Relaxed);
        ours(self.start.as_ptr().addr(), self.length, object, plain)
    }

    /// Unmaps what is still a mapping of the region's object; what is not is somebody else's by now, and so is all of it
    /// where nobody can tell.
    fn unmap_what_is_ours(self) {
        match self.ours() {
            Ok(Some(_)) => drop(self),
            Ok(None) | Err(_) => std::mem::forget(self),
        }
    }

    /// Maps part of what this region maps a second time, with `permission`, without its descriptor; at `place`, where
    /// whatever is mapped is replaced, or where the kernel likes.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    ///
    /// # Safety
    /// The caller owns the range of addresses at `place`.
    pub unsafe fn duplicate(
        &self,
        offset: usize,
        length: usize,
        permission: Permission,
        place: Option<*mut u8>,
    ) -> Result<Region> {
        assert!(offset <= self.length && length <= self.length - offset, "a duplicate lies inside its original");
        if let Some((object, first)) = &self.kept {
            let from = first + offset as u64;
            let mut region = match place {
                None => Region::map(object, from, length, permission)?,
                Some(place) => {
                    let flags = MapFlags::SHARED | MapFlags::FIXED;
                    // SAFETY: the addresses are the caller's.
                    let start =
                        unsafe { rustix::mm::mmap(place.cast(), length, protection(permission), flags, object, from) };
                    Region::from_mmap(start, length)?
                }
            };
            region.object = self.object;
            region.is_window = self.is_window;
            return Ok(region);
        }
        // SAFETY: the source lies inside our mapping; an old size of 0 leaves a shared mapping where it is and makes
        // another one at addresses the kernel chooses.
        let source = unsafe { self.start.as_ptr().add(offset) };
        // SAFETY: as above.
        let somewhere = |length| unsafe { rustix::mm::mremap(source.cast(), 0, length, MremapFlags::MAYMOVE) };
        let reserved = match (place, self.object) {
            // Addresses that lie as they should are reserved by a mapping of the object, which can be told from what
            // another thread may have there when the call that was to replace it fails.
            (None, Some(_)) if length >= huge_page_size() => {
                let reserve = |length| {
                    let mut region = Region::from_mmap(somewhere(length), length)?;
                    region.object = self.object;
                    Ok(region)
                };
                Some(Region::reserve_for_huge(length, source.addr() as u64, reserve)?)
            }
            _ => None,
        };
        let start = match place.or(reserved.as_ref().map(Region::as_ptr)) {
            None => somewhere(length),
            // SAFETY: the addresses are the caller's, or were reserved here.
            Some(place) => unsafe {
                rustix::mm::mremap_fixed(source.cast(), 0, length, MremapFlags::MAYMOVE, place.cast())
            },
        };
        match reserved {
            Some(reserved) if start.is_err() => reserved.unmap_what_is_ours(),
            // It is the mapping's from here on.
            reserved => std::mem::forget(reserved),
        }
        let mut region = Region::from_mmap(start, length)?;
        region.object = self.object;
        let mut flags = MprotectFlags::empty();
        flags.set(MprotectFlags::READ, permission.reads());
        flags.set(MprotectFlags::WRITE, permission.writes());
        // SAFETY: the range is the mapping just made, which nothing uses yet.
        unsafe { rustix::mm::mprotect(region.start.as_ptr().cast(), length, flags) }.map_err(|e| failed(e, length))?;
        Ok(region)
    }

    /// Lets what is still ours of it map another object, of which `other` is a mapping of the same length.
    ///
    /// # Errors
    /// As [`duplicate`](Self::duplicate), and where nobody can tell what is ours; a part of it may map the other object
    /// already then.
    pub(crate) fn become_of(&mut self, other: &Region) -> Result<()> {
        assert_eq!(self.length, other.length, "one takes the place of the other");
        let start = self.start.as_ptr();
        for piece in self.ours()?.unwrap_or_default() {
            let (offset, length) = (piece.start - start.addr(), piece.bytes().min(self.length));
            // SAFETY: the range is ours; whoever stores there meanwhile stores to one of the two.
            let over = unsafe { other.duplicate(offset, length, Permission::ReadWrite, Some(start.add(offset))) }?;
            // It is this region's from here on.
            std::mem::forget(over);
        }
        self.object = other.object;
        Ok(())
    }

    /// First address of the region.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no bytes; the kernel never maps none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Keeps the mapping out of forked children: for what only this process may write.
    ///
    /// # Errors
    /// INTERNAL_ERROR, which no kernel is known to give.
    pub fn dont_fork(&self) -> Result<()> {
        // SAFETY: the advice changes what a child inherits and nothing in this process; the range is ours.
        unsafe { rustix::mm::madvise(self.start.as_ptr().cast(), self.length, Advice::LinuxDontFork) }
            .map_err(|e| from_errno(e, "cannot keep a mapping from children"))
    }

    /// Makes every page of a range present now, so that no later access waits for it. A page that is being read only
    /// is made present for reading.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM.
    pub fn populate(&self, offset: usize, length: usize, permission: Permission) -> Result<()> {
        assert!(offset <= self.length && length <= self.length - offset, "populates its own pages");
        if length == 0 || permission == Permission::None || self.is_window {
            return Ok(());
        }
        let page = super::page_size();
        let start = offset & !(page - 1);
        let end = (offset + length).next_multiple_of(page).min(self.length.next_multiple_of(page));
        let purpose = match (permission.reads(), permission.writes()) {
            (_, false) => Use::Load,
            (true, true) => Use::Store,
            (false, true) => Use::StoreOnly,
        };
        // Our mapping's pages reach to the end of the last one.
        populate(self.start.as_ptr().wrapping_add(start), end - start, purpose)
            .map_err(|e| Error::with(Code::InsufficientMem, format!("no memory for {length} bytes: {e}")))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let pieces = match self.ours() {
            Ok(None) => vec![(self.start.as_ptr(), self.length)],
            Ok(Some(pieces)) => pieces.iter().map(|p| (self.start.as_ptr().with_addr(p.start), p.bytes())).collect(),
            Err(error) => {
                tracing::warn!(%error, "{} bytes stay mapped: they may be the program's by now", self.length);
                return;
            }
        };
        for (start, length) in pieces {
            // SAFETY: the range was mapped by us, or is what trash replaced it by, and, as `self` is going, nothing
            // refers to it any more. The only failure munmap knows here, too many mappings after a split, cannot happen: a
            // mapping is unmapped whole.
            let _ = unsafe { rustix::mm::munmap(start.cast(), length) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{inspect, memfd, page_size};
    use super::*;

    /// A region of two huge pages, whose addresses the program has, and what it maps.
    fn given() -> (Region, Identity) {
        let length = 2 * huge_page_size();
        let object = memfd::create("rsm-segment", length as u64).unwrap();
        let region = Region::map_to_duplicate(&object, 0, length, Permission::ReadWrite).unwrap();
        let identity = inspect::identity(&object).unwrap();
        (region.given_to_program(identity), identity)
    }

    fn mapped(object: Identity) -> usize {
        inspect::all_of(object).unwrap().iter().map(Piece::bytes).sum()
    }

    /// As after closefrom(3), and a file of the program's at the number.
    #[test]
    fn what_is_kept_of_a_window_may_be_the_programs_by_now() {
        use std::os::fd::{FromRawFd, OwnedFd};
        let memory = memfd::create("window", 8192).unwrap();
        let window = Region::map_window(&memory, 0, 8192, Permission::ReadWrite).unwrap();
        // SAFETY: the kernel chooses the addresses.
        let duplicate = || unsafe { window.duplicate(4096, 4096, Permission::Read, None) };
        assert!(duplicate().is_ok());
        let number = window.kept.as_ref().unwrap().0.number();
        // SAFETY: the number is open, and given to nobody else by this test; closed once the window leaves it alone.
        let mut taken = unsafe { OwnedFd::from_raw_fd(number) };
        rustix::io::dup2(memfd::create("theirs", 8192).unwrap(), &mut taken).unwrap();
        let error = duplicate().unwrap_err();
        assert_eq!(error.code(), Code::InsufficientResources);
        assert!(error.detail().contains("closed or replaced a descriptor of the library's"), "{error}");
        drop(window);
        assert!(rustix::io::fcntl_getfd(&taken).is_ok(), "the program's");
    }

    #[test]
    fn a_duplicate_lies_towards_huge_pages_as_its_original_does() {
        let huge = huge_page_size();
        let (region, object) = given();
        for offset in [page_size(), 3 * page_size(), huge - page_size(), huge] {
            // SAFETY: the kernel chooses the addresses.
            let again = unsafe { region.duplicate(offset, huge, Permission::ReadWrite, None) }.unwrap();
            let apart = again.as_ptr().addr().wrapping_sub(region.as_ptr().addr() + offset);
            assert_eq!(apart % huge, 0, "{offset}");
            assert_eq!(mapped(object), region.len() + huge, "no more is mapped than was asked for");
            // SAFETY: mapped by the lines above.
            let word = unsafe {
                again.as_ptr().cast::<u64>().write_volatile(offset as u64);
                region.as_ptr().add(offset).cast::<u64>().read_volatile()
            };
            assert_eq!(word, offset as u64);
        }
        assert_eq!(mapped(object), region.len());
    }

    /// From here on `mremap(2)` to a place that is given fails in the calling thread; `false` where that cannot be had.
    fn refuse_fixed() -> bool {
        let step = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        let (load, equal) = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K);
        let fourth_argument = 16 + 3 * 8 + if cfg!(target_endian = "big") { 4 } else { 0 };
        let fixed = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED).cast_unsigned();
        let mut filter = [
            step(load, 0, 0, 0),
            step(equal, 0, 3, libc::SYS_mremap as u32),
            step(load, 0, 0, fourth_argument),
            step(equal, 0, 1, fixed),
            step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOMEM.cast_unsigned()),
            step(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: a filter for this thread, which the kernel copies.
        unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        }
    }

    #[test]
    fn a_duplicate_that_fails_gives_back_what_it_reserved() {
        let (region, object) = given();
        let failing = || {
            if !super::super::twice::is_possible() || !refuse_fixed() {
                println!("skipped: nothing is reserved here, or no call can be made to fail");
                return;
            }
            // SAFETY: the kernel chooses the addresses.
            let failed = unsafe { region.duplicate(page_size(), huge_page_size(), Permission::ReadWrite, None) };
            assert_eq!(failed.unwrap_err().code(), Code::InsufficientMem);
        };
        std::thread::scope(|scope| scope.spawn(failing).join().unwrap());
        assert_eq!(mapped(object), region.len());
    }
}
