//! What VFIO is asked with `ioctl(2)`, and what it answers (`linux/vfio.h`).
#![allow(unsafe_code)]

use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The first of its numbers.
const BASE: libc::Ioctl = 0x3b64;
const GET_API_VERSION: libc::Ioctl = BASE;
const CHECK_EXTENSION: libc::Ioctl = BASE + 1;
const SET_IOMMU: libc::Ioctl = BASE + 2;
const GROUP_GET_STATUS: libc::Ioctl = BASE + 3;
const GROUP_SET_CONTAINER: libc::Ioctl = BASE + 4;
const GROUP_GET_DEVICE: libc::Ioctl = BASE + 6;
const REGION_INFO: libc::Ioctl = BASE + 8;
const IRQ_INFO: libc::Ioctl = BASE + 9;
const SET_IRQS: libc::Ioctl = BASE + 10;
const IOMMU_INFO: libc::Ioctl = BASE + 12;
const MAP_DMA: libc::Ioctl = BASE + 13;
const UNMAP_DMA: libc::Ioctl = BASE + 14;

/// The kind of IOMMU that is driven: type 1, whose mappings are unmapped as they were mapped.
const TYPE1V2: usize = 3;
const VIABLE: u32 = 1;
const DMA_READ: u32 = 1;
const DMA_WRITE: u32 = 2;
const IRQ_EVENTFD: u32 = 1 << 2;
const IRQ_TRIGGER: u32 = 1 << 5;

fn check(returned: libc::c_int) -> Result<libc::c_int, Errno> {
    if returned < 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO));
    }
    Ok(returned)
}

/// Asks with a number, or with nothing.
fn number(of: BorrowedFd<'_>, request: libc::Ioctl, argument: usize) -> Result<libc::c_int, Errno> {
    // SAFETY: these requests take a number and touch no memory of ours.
    check(unsafe { libc::ioctl(of.as_raw_fd(), request, argument) })
}

/// Asks with words that the kernel reads, and may write as many of as the first one says that there are bytes.
fn words(of: BorrowedFd<'_>, request: libc::Ioctl, words: &mut [u32]) -> Result<(), Errno> {
    assert!(
        words.first().is_some_and(|bytes| *bytes as usize <= size_of_val(words)),
        "the kernel believes the first word"
    );
    // SAFETY: these requests take a structure of words, of which the kernel accesses no more than its first one says; that is
    // at most what there is.
    check(unsafe { libc::ioctl(of.as_raw_fd(), request, words.as_mut_ptr()) }).map(drop)
}

fn halves(word: u64) -> [u32; 2] {
    if cfg!(target_endian = "big") { [(word >> 32) as u32, word as u32] } else { [word as u32, (word >> 32) as u32] }
}

fn whole(halves: &[u32]) -> u64 {
    let (first, second) = (u64::from(halves[0]), u64::from(halves[1]));
    if cfg!(target_endian = "big") { first << 32 | second } else { second << 32 | first }
}

/// Whether this is VFIO as it is known here, with an IOMMU of type 1.
pub(super) fn is_known(container: impl AsFd) -> Result<bool, Errno> {
    let container = container.as_fd();
    Ok(number(container, GET_API_VERSION, 0)? == 0 && number(container, CHECK_EXTENSION, TYPE1V2)? == 1)
}

/// Whether nobody but VFIO drives functions of a group.
pub(super) fn is_viable(group: impl AsFd) -> Result<bool, Errno> {
    let mut status = [8, 0];
    words(group.as_fd(), GROUP_GET_STATUS, &mut status)?;
    Ok(status[1] & VIABLE != 0)
}

/// Puts a group into a container, and an IOMMU behind it.
pub(super) fn enter(group: impl AsFd, container: impl AsFd) -> Result<(), Errno> {
    let number_of = container.as_fd().as_raw_fd();
    // SAFETY: the kernel reads one number, of a descriptor.
    check(unsafe { libc::ioctl(group.as_fd().as_raw_fd(), GROUP_SET_CONTAINER, &raw const number_of) })?;
    number(container.as_fd(), SET_IOMMU, TYPE1V2).map(drop)
}

/// A descriptor of a function of a group, by its address.
pub(super) fn device(group: impl AsFd, address: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel reads a string, which ends.
    let device = check(unsafe { libc::ioctl(group.as_fd().as_raw_fd(), GROUP_GET_DEVICE, address.as_ptr()) })?;
    // SAFETY: the kernel made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(device as RawFd) })
}

/// Size in bytes of a region of a function, and where it is in the function's descriptor.
pub(super) fn region(device: impl AsFd, index: u32) -> Result<(u64, u64), Errno> {
    let mut info = [32, 0, index, 0, 0, 0, 0, 0];
    words(device.as_fd(), REGION_INFO, &mut info)?;
    Ok((whole(&info[4..6]), whole(&info[6..8])))
}

/// How many interrupts of a kind a function has.
pub(super) fn interrupts(device: impl AsFd, index: u32) -> Result<u32, Errno> {
    let mut info = [16, 0, index, 0];
    words(device.as_fd(), IRQ_INFO, &mut info)?;
    Ok(info[3])
}

/// Says what they raise, from the first on.
pub(super) fn set_interrupts(device: impl AsFd, index: u32, events: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut set = vec![20 + 4 * events.len() as u32, IRQ_EVENTFD | IRQ_TRIGGER, index, 0, events.len() as u32];
    set.extend(events.iter().map(|event| event.as_raw_fd().cast_unsigned()));
    words(device.as_fd(), SET_IRQS, &mut set)
}

/// What the kernel says of an IOMMU, as words: information, then capabilities.
pub(super) fn iommu(container: impl AsFd) -> Result<Vec<u32>, Errno> {
    const SMALL: usize = 6;
    let mut info = vec![0; SMALL];
    info[0] = 4 * SMALL as u32;
    words(container.as_fd(), IOMMU_INFO, &mut info)?;
    // It says how much it would have said.
    let wanted = info[0].clamp(4 * SMALL as u32, 1 << 16).div_ceil(4) as usize;
    let mut info = vec![0; wanted];
    info[0] = 4 * wanted as u32;
    words(container.as_fd(), IOMMU_INFO, &mut info)?;
    Ok(info)
}

/// Lets a function reach memory of this process at an address of its own, and pins it.
///
/// # Safety
/// `start` is the beginning of `length` bytes that are mapped shared from a memory object, and which nothing but the function
/// accesses: it accesses them from here on, whatever is mapped there later.
pub(super) unsafe fn map_dma(
    container: impl AsFd,
    start: *mut u8,
    address: u64,
    length: u64,
    writable: bool,
) -> Result<(), Errno> {
    let flags = DMA_READ | if writable { DMA_WRITE } else { 0 };
    let [from, to, bytes] = [start.expose_provenance() as u64, address, length].map(halves);
    let mut map = [32, flags, from[0], from[1], to[0], to[1], bytes[0], bytes[1]];
    words(container.as_fd(), MAP_DMA, &mut map)
}

/// Takes that back; how many bytes it was.
pub(super) fn unmap_dma(container: impl AsFd, address: u64, length: u64) -> Result<u64, Errno> {
    let [at, bytes] = [address, length].map(halves);
    let mut unmap = [24, 0, at[0], at[1], bytes[0], bytes[1]];
    words(container.as_fd(), UNMAP_DMA, &mut unmap)?;
    Ok(whole(&unmap[4..6]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_64_bits_are_as_the_kernel_has_them() {
        for word in [0, 1, 0x1122_3344_5566_7788, u64::MAX] {
            let halves = halves(word);
            assert_eq!(whole(&halves), word);
            let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_ne_bytes()).collect();
            assert_eq!(bytes, word.to_ne_bytes());
        }
    }

    #[test]
    fn what_is_not_vfio_is_told() {
        let other = std::fs::File::open("/dev/null").unwrap();
        assert!(is_known(&other).is_err() && is_viable(&other).is_err() && region(&other, 0).is_err());
        assert!(iommu(&other).is_err() && unmap_dma(&other, 0, 4096).is_err());
        assert!(enter(&other, &other).is_err() && device(&other, c"0000:00:00.0").is_err());
        assert!(set_interrupts(&other, 2, &[other.as_fd()]).is_err());
    }
}
