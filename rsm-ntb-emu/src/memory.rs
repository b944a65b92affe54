//! Memory of a client, as the function reaches it: a file of the client's, mapped whole.
//!
//! The client is believed nothing. What is accessed lies inside the mapping; and a file that its owner can shorten is
//! accessed by way of the kernel, which says so where a plain access would end this process. Files of other systems than
//! memory's are refused: who serves one, as by FUSE, could let an access wait, and with it the bridge.
#![allow(unsafe_code)]

use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// What `fstatfs` says of memory objects; of those of huge pages it says something else, and their pool may be empty.
const TMPFS: u64 = 0x0102_1994;
const HUGETLBFS: u64 = 0x9584_58f6;

/// A file, mapped from its beginning.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    length: u64,
    writable: bool,
    /// Nobody can shorten the file, and its pages come from ordinary memory: an access does not fail.
    solid: bool,
}

// SAFETY: the addresses are this mapping's until it is dropped, and all accesses are atomic or made by the kernel.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `length` bytes of a file, of which the caller has seen that it has them. Fails with EINVAL for one that is
    /// of no tmpfs or hugetlbfs.
    pub(crate) fn new(file: BorrowedFd<'_>, length: u64, writable: bool) -> io::Result<Mapping> {
        let bytes = usize::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        let mut protection = ProtFlags::READ;
        protection.set(ProtFlags::WRITE, writable);
        let system = rustix::fs::fstatfs(file)?.f_type as u64;
        if ![TMPFS, HUGETLBFS].contains(&system) {
            return Err(rustix::io::Errno::INVAL.into());
        }
        let sealed = rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        let solid = sealed && system == TMPFS;
        // SAFETY: without MAP_FIXED the kernel takes addresses that are free.
        let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, file, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { start, length, writable, solid })
    }

    /// Bytes that are mapped.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// The address of a range, if it lies inside.
    fn place(&self, at: u64, bytes: usize) -> Option<*mut u8> {
        let end = at.checked_add(bytes as u64)?;
        // SAFETY: `at` is at most the length of the mapping.
        (end <= self.length).then(|| unsafe { self.start.as_ptr().add(at as usize) })
    }

    /// Loads; false when a part of it is not there.
    pub(crate) fn load(&self, at: u64, into: &mut [u8]) -> bool {
        let Some(place) = self.place(at, into.len()) else { return false };
        if self.solid {
            // SAFETY: the range lies inside the mapping, and what is mapped cannot go away.
            unsafe { load_words(place, into) };
            return true;
        }
        by_the_kernel(into.as_mut_ptr(), place, into.len(), libc::process_vm_readv)
    }

    /// Stores; false when it may not, or a part of it is not there.
    pub(crate) fn store(&self, at: u64, bytes: &[u8]) -> bool {
        let Some(place) = self.place(at, bytes.len()).filter(|_| self.writable) else { return false };
        if self.solid {
            // SAFETY: as in `load`; the mapping is writable.
            unsafe { store_words(place, bytes) };
            return true;
        }
        by_the_kernel(bytes.as_ptr().cast_mut(), place, bytes.len(), libc::process_vm_writev)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has an address of it.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length as usize) };
    }
}

type Transfer = unsafe extern "C" fn(
    libc::pid_t,
    *const libc::iovec,
    libc::c_ulong,
    *const libc::iovec,
    libc::c_ulong,
    libc::c_ulong,
) -> libc::ssize_t;

/// Copies between memory of ours and a mapping, in the direction of `transfer`; false when a part of the mapping is not there.
fn by_the_kernel(ours: *mut u8, mapped: *mut u8, bytes: usize, transfer: Transfer) -> bool {
    let ours = libc::iovec { iov_base: ours.cast(), iov_len: bytes };
    let mapped = libc::iovec { iov_base: mapped.cast(), iov_len: bytes };
    // SAFETY: the kernel looks at every address before it touches it; `ours` is the caller's buffer, which is only read when
    // the direction is that of a store.
    let moved = unsafe { transfer(libc::getpid(), &raw const ours, 1, &raw const mapped, 1, 0) };
    usize::try_from(moved) == Ok(bytes)
}

/// The widest access that fits: a power of two to which the address is aligned.
fn width(address: usize, left: usize) -> usize {
    [8, 4, 2].into_iter().find(|width| address.is_multiple_of(*width) && left >= *width).unwrap_or(1)
}

/// Copies from shared memory, each aligned word of up to 8 bytes in one piece and the first one first.
///
/// # Safety
/// The range can be read.
unsafe fn load_words(from: *mut u8, into: &mut [u8]) {
    // Acquire: pairs with the Release of whoever stores there, on the host whose memory it is or in `store_words`.
    const ORDER: Ordering = Ordering::Acquire;
    let mut done = 0;
    while done < into.len() {
        // SAFETY: inside the range; shared memory is accessed atomically, with an aligned address.
        let bytes = unsafe {
            let place = from.add(done);
            match width(place.addr(), into.len() - done) {
                8 => &AtomicU64::from_ptr(place.cast()).load(ORDER).to_ne_bytes()[..],
                4 => &AtomicU32::from_ptr(place.cast()).load(ORDER).to_ne_bytes()[..],
                2 => &AtomicU16::from_ptr(place.cast()).load(ORDER).to_ne_bytes()[..],
                _ => &AtomicU8::from_ptr(place).load(ORDER).to_ne_bytes()[..],
            }
        };
        into[done..done + bytes.len()].copy_from_slice(bytes);
        done += bytes.len();
    }
}

/// Copies to shared memory, as `load_words` does from it.
///
/// # Safety
/// The range can be written.
unsafe fn store_words(to: *mut u8, bytes: &[u8]) {
    // Release: pairs with the Acquire of whoever polls it, on the host whose memory it is or in `load_words`; so stores
    // arrive in order on any machine.
    const ORDER: Ordering = Ordering::Release;
    let mut left = bytes;
    let mut place = to;
    while !left.is_empty() {
        // SAFETY: inside the range; shared memory is accessed atomically, with an aligned address.
        let done = unsafe {
            match width(place.addr(), left.len()) {
                8 => store_word(left, |word| AtomicU64::from_ptr(place.cast()).store(u64::from_ne_bytes(word), ORDER)),
                4 => store_word(left, |word| AtomicU32::from_ptr(place.cast()).store(u32::from_ne_bytes(word), ORDER)),
                2 => store_word(left, |word| AtomicU16::from_ptr(place.cast()).store(u16::from_ne_bytes(word), ORDER)),
                _ => store_word(left, |word: [u8; 1]| AtomicU8::from_ptr(place).store(word[0], ORDER)),
            }
        };
        left = &left[done..];
        // SAFETY: at most one past the range.
        place = unsafe { place.add(done) };
    }
}

/// Gives the first word of `bytes` to `store`; its length.
fn store_word<const N: usize>(bytes: &[u8], store: impl FnOnce([u8; N])) -> usize {
    // `width` has seen that there are as many.
    if let Some(word) = bytes.first_chunk() {
        store(*word);
    }
    N
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::MemfdFlags;
    use std::os::fd::{AsFd, OwnedFd};

    fn memory(bytes: u64, sealed: bool) -> OwnedFd {
        let file = rustix::fs::memfd_create("test", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, bytes).unwrap();
        if sealed {
            rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        }
        file
    }

    #[test]
    fn every_length_at_every_alignment_arrives_whole() {
        for sealed in [true, false] {
            let mapping = Mapping::new(memory(4096, sealed).as_fd(), 4096, true).unwrap();
            let bytes: Vec<u8> = (1..=40).collect();
            for at in 0..16 {
                for length in 0..bytes.len() {
                    assert!(mapping.store(at, &[0; 64]));
                    assert!(mapping.store(at, &bytes[..length]));
                    let mut back = [0xee; 64];
                    assert!(mapping.load(at, &mut back));
                    assert_eq!(back[..length], bytes[..length]);
                    assert!(back[length..].iter().all(|byte| *byte == 0), "nothing beyond it was stored");
                }
            }
        }
    }

    #[test]
    fn what_lies_outside_is_not_there() {
        let mapping = Mapping::new(memory(4096, true).as_fd(), 4096, true).unwrap();
        let mut word = [0; 8];
        assert!(mapping.load(4088, &mut word));
        for at in [4089, 4096, u64::MAX - 3, u64::MAX] {
            assert!(!mapping.load(at, &mut word) && !mapping.store(at, &word), "{at}");
        }
    }

    #[test]
    fn a_mapping_for_reading_is_not_stored_to() {
        let mapping = Mapping::new(memory(4096, true).as_fd(), 4096, false).unwrap();
        let mut word = [1; 8];
        assert!(!mapping.store(0, &word));
        assert!(mapping.load(0, &mut word));
        assert_eq!(word, [0; 8]);
    }

    #[test]
    fn files_that_somebody_may_serve_are_refused() {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        if rustix::fs::fstatfs(&file).unwrap().f_type as u64 == TMPFS {
            println!("-- skipped: files that somebody may serve: this program is in memory");
            return;
        }
        let error = Mapping::new(file.as_fd(), 4096, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_file_that_was_shortened_is_told() {
        let file = memory(8192, false);
        let mapping = Mapping::new(file.as_fd(), 8192, true).unwrap();
        let mut word = [1; 8];
        assert!(mapping.store(4096, &word));
        rustix::fs::ftruncate(&file, 4096).unwrap();
        assert!(!mapping.store(4096, &word) && !mapping.load(4096, &mut word));
        assert!(mapping.store(4088, &word));
    }
}
