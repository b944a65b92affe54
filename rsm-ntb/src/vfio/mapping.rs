//! Memory that is mapped for a moment, to be pinned, and the window of a function.
#![allow(unsafe_code)]

use super::ioctl;
use rsm_core::access::Permission;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;

/// A shared mapping.
#[derive(Debug)]
struct Mapping {
    start: NonNull<u8>,
    length: usize,
}

impl Mapping {
    fn new(of: BorrowedFd<'_>, offset: u64, length: u64, writable: bool) -> Result<Mapping, Errno> {
        let length = usize::try_from(length).map_err(|_| Errno::NOMEM)?;
        let mut protection = ProtFlags::READ;
        protection.set(ProtFlags::WRITE, writable);
        // SAFETY: without MAP_FIXED the kernel takes addresses that are free.
        let start =
            unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, protection, MapFlags::SHARED, of, offset) }?;
        Ok(Mapping { start: NonNull::new(start.cast()).ok_or(Errno::NOMEM)?, length })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody has an address of it any more.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.length) };
    }
}

/// Lets a function reach the first `length` bytes of a memory object. They are mapped here only until they are pinned: the IOMMU keeps
/// pages, and who asks the kernel whether anybody else has the object open is not told of this process.
pub(super) fn pin(
    container: impl AsFd,
    memory: BorrowedFd<'_>,
    address: u64,
    length: u64,
    permission: Permission,
) -> Result<(), Errno> {
    let mapping = Mapping::new(memory, 0, length, permission.writes())?;
    // SAFETY: mapped shared from the object, by the line above; nothing here accesses it.
    unsafe { ioctl::map_dma(container, mapping.start.as_ptr(), address, length, permission.writes()) }
}

/// The window of a function: addresses behind which another host's memory is, or nothing.
#[derive(Debug)]
pub(super) struct Window(Mapping);

// SAFETY: the addresses are the window's until it is dropped, and each access is a single load or store of a device.
unsafe impl Send for Window {}
// SAFETY: as above.
unsafe impl Sync for Window {}

impl Window {
    /// Maps it.
    pub(super) fn new(device: BorrowedFd<'_>, offset: u64, length: u64) -> Result<Window, Errno> {
        Mapping::new(device, offset, length, true).map(Window)
    }

    /// The address of an access of a width in bytes, if it lies inside and is aligned.
    fn place(&self, at: u64, width: usize) -> Option<*mut u8> {
        let at = usize::try_from(at).ok()?;
        let inside = at.is_multiple_of(width) && at.checked_add(width)? <= self.0.length;
        // SAFETY: `at` is inside of the mapping.
        inside.then(|| unsafe { self.0.start.as_ptr().add(at) })
    }

    /// Loads 2, 4 or 8 bytes in one access; `None` for any other range.
    pub(super) fn load(&self, at: u64, into: &mut [u8]) -> Option<()> {
        let place = self.place(at, into.len().max(1))?;
        // SAFETY: aligned and inside of the mapping, which is a device's: no reference to it exists, and a volatile access is
        // made once and as it is written. A load that fails yields all-ones.
        unsafe {
            match into.len() {
                2 => into.copy_from_slice(&place.cast::<u16>().read_volatile().to_ne_bytes()),
                4 => into.copy_from_slice(&place.cast::<u32>().read_volatile().to_ne_bytes()),
                8 => into.copy_from_slice(&place.cast::<u64>().read_volatile().to_ne_bytes()),
                _ => return None,
            }
        }
        Some(())
    }

    /// Stores as `load` loads.
    pub(super) fn store(&self, at: u64, bytes: &[u8]) -> Option<()> {
        let place = self.place(at, bytes.len().max(1))?;
        // SAFETY: as in `load`.
        unsafe {
            match bytes.len() {
                2 => place.cast::<u16>().write_volatile(u16::from_ne_bytes(bytes.try_into().ok()?)),
                4 => place.cast::<u32>().write_volatile(u32::from_ne_bytes(bytes.try_into().ok()?)),
                8 => place.cast::<u64>().write_volatile(u64::from_ne_bytes(bytes.try_into().ok()?)),
                _ => return None,
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::MemfdFlags;

    #[test]
    fn only_aligned_words_inside_are_accessed() {
        // Ordinary memory takes the same accesses.
        let memory = rustix::fs::memfd_create("window", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&memory, 4096).unwrap();
        let window = Window::new(memory.as_fd(), 0, 4096).unwrap();
        for width in [2, 4, 8] {
            let bytes: Vec<u8> = (1..=width as u8).collect();
            let mut back = vec![0; width];
            window.store(4096 - width as u64, &bytes).unwrap();
            window.load(4096 - width as u64, &mut back).unwrap();
            assert_eq!(back, bytes);
            for at in [1, 4096 - width as u64 / 2, 4096, u64::MAX - 1, u64::MAX - 7] {
                assert!(window.load(at, &mut back).is_none() && window.store(at, &bytes).is_none(), "{width} at {at}");
            }
        }
        for width in [0, 1, 3, 16] {
            let mut other = vec![0; width];
            assert!(window.load(0, &mut other).is_none() && window.store(0, &other).is_none(), "{width}");
        }
    }
}
