//! What of its host's memory a function may reach: ranges of addresses, each a part of a file and with rights.

use crate::memory::Mapping;
use crate::wire::{DMA_READ, DMA_WRITE};
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

/// Granule of addresses and lengths, in bytes.
const PAGE: u64 = 4096;
/// Most ranges: a client with an IOMMU of its own may map 4 GiB page by page.
const MOST_RANGES: usize = 1 << 20;
/// Most mappings of files, and most bytes of all of them: a machine has a few, and this process has addresses and mappings
/// for both clients and itself. Files may have holes, so their length costs a client nothing.
const MOST_FILES: usize = 1 << 10;
const MOST_MAPPED: u64 = 1 << 40;

/// The last address of a range; one may reach to the end of all addresses, as the unmapping of everything does.
fn last(address: u64, size: u64) -> Result<u64, Errno> {
    size.checked_sub(1).and_then(|more| address.checked_add(more)).ok_or(Errno::INVAL)
}

/// A request to map.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// First address, as the function sees it.
    pub(crate) address: u64,
    pub(crate) size: u64,
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// `DMA_READ`, `DMA_WRITE`.
    pub(crate) flags: u32,
}

#[derive(Debug)]
struct Range {
    size: u64,
    /// The file and where in it the range begins; `None` for memory that could be reached by messages only, which this
    /// device does not send.
    memory: Option<(Arc<Mapping>, u64)>,
    flags: u32,
}

/// The ranges, by their first address.
#[derive(Debug, Default)]
pub(crate) struct Dma {
    ranges: BTreeMap<u64, Range>,
    /// Files that are mapped already, by device, number and whether for writing.
    files: HashMap<(u64, u64, bool), Weak<Mapping>>,
    /// All mappings: also those of a file that has been mapped again since, when it was longer.
    mappings: Vec<Weak<Mapping>>,
}

impl Dma {
    /// Maps a range. Fails without a change.
    pub(crate) fn map(&mut self, request: Request, file: Option<OwnedFd>) -> Result<(), Errno> {
        let Request { address, size, offset, flags } = request;
        let last = last(address, size)?;
        let aligned = [address, size, offset].iter().all(|number| number.is_multiple_of(PAGE));
        if !aligned || flags == 0 || flags & !(DMA_READ | DMA_WRITE) != 0 {
            return Err(Errno::INVAL);
        }
        if self.ranges.range(..=last).next_back().is_some_and(|(start, range)| start + (range.size - 1) >= address) {
            return Err(Errno::EXIST);
        }
        if self.ranges.len() >= MOST_RANGES {
            return Err(Errno::NOSPC);
        }
        let memory = file.map(|file| Ok((self.file(request, &file)?, offset))).transpose()?;
        self.ranges.insert(address, Range { size, memory, flags });
        Ok(())
    }

    /// The mapping of a file that has what is asked for.
    fn file(&mut self, request: Request, file: &OwnedFd) -> Result<Arc<Mapping>, Errno> {
        let stat = rustix::fs::fstat(file)?;
        let length = u64::try_from(stat.st_size).map_err(|_| Errno::INVAL)?;
        let end = request.offset.checked_add(request.size).ok_or(Errno::INVAL)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile || end > length {
            return Err(Errno::INVAL);
        }
        let writes = request.flags & DMA_WRITE != 0;
        let access = rustix::fs::fcntl_getfl(file)? & OFlags::ACCMODE;
        if access == OFlags::WRONLY || writes && access != OFlags::RDWR {
            return Err(Errno::ACCESS);
        }
        let key = (stat.st_dev, stat.st_ino, writes);
        let known = self.files.get(&key).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|mapping| mapping.len() >= end) {
            return Ok(known);
        }
        self.mappings.retain(|mapping| mapping.strong_count() > 0);
        let mapped = self.mappings.iter().filter_map(Weak::upgrade).map(|mapping| mapping.len());
        if self.mappings.len() >= MOST_FILES || length > MOST_MAPPED - mapped.sum::<u64>() {
            return Err(Errno::NOSPC);
        }
        let mapping = Mapping::new(file.as_fd(), length, writes);
        let mapping = Arc::new(mapping.map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::NOMEM))?);
        self.files.retain(|_, mapping| mapping.strong_count() > 0);
        self.files.insert(key, Arc::downgrade(&mapping));
        self.mappings.push(Arc::downgrade(&mapping));
        Ok(mapping)
    }

    /// Unmaps the ranges that lie in `size` bytes from `address`; how many bytes these were. A range that lies there only in
    /// part is an error, and nothing is changed.
    pub(crate) fn unmap(&mut self, address: u64, size: u64) -> Result<u64, Errno> {
        let last = last(address, size)?;
        let is_split = |at: u64| self.covers(at).is_some_and(|(start, _)| start < at);
        let aligned = address.is_multiple_of(PAGE) && size.is_multiple_of(PAGE);
        if !aligned || is_split(address) || last.checked_add(1).is_some_and(is_split) {
            return Err(Errno::INVAL);
        }
        let within: Vec<u64> = self.ranges.range(address..=last).map(|(start, _)| *start).collect();
        Ok(within.iter().filter_map(|start| self.ranges.remove(start)).map(|range| range.size).sum())
    }

    /// Unmaps everything; how many bytes these were.
    pub(crate) fn clear(&mut self) -> u64 {
        // All addresses together are one too many for a number.
        std::mem::take(self).ranges.values().fold(0, |sum, range| sum.saturating_add(range.size))
    }

    /// The range that an address lies in, with its first address.
    fn covers(&self, address: u64) -> Option<(u64, &Range)> {
        let (start, range) = self.ranges.range(..=address).next_back()?;
        (address - start < range.size).then_some((*start, range))
    }

    /// Calls `each` for every part of an access that lies in one range, or in none, with the bytes of the access that it
    /// is; whether all of them said yes.
    fn parts(
        &self,
        address: u64,
        bytes: usize,
        mut each: impl FnMut(std::ops::Range<usize>, Option<(&Range, u64)>) -> bool,
    ) -> bool {
        let (mut done, mut whole) = (0, true);
        while done < bytes {
            let left = (bytes - done) as u64;
            // An address space ends somewhere.
            let Some(at) = address.checked_add(done as u64) else { return each(done..bytes, None) && whole };
            let (length, range) = match self.covers(at) {
                Some((start, range)) => (range.size - (at - start), Some((range, at - start))),
                None => (self.ranges.range(at..).next().map_or(left, |(next, _)| next - at), None),
            };
            let next = done + length.min(left) as usize;
            whole &= each(done..next, range);
            done = next;
        }
        whole
    }

    /// Loads; where nothing can be loaded stays what `into` has. Whether all of it was.
    pub(crate) fn load(&self, address: u64, into: &mut [u8]) -> bool {
        self.parts(address, into.len(), |part, range| {
            let Some((range, at)) = range.filter(|(range, _)| range.flags & DMA_READ != 0) else { return false };
            range.memory.as_ref().is_some_and(|(mapping, offset)| {
                let mut bytes = vec![0; part.len()];
                let loaded = mapping.load(offset + at, &mut bytes);
                if loaded {
                    into[part].copy_from_slice(&bytes);
                }
                loaded
            })
        })
    }

    /// Stores; whether all of it was.
    pub(crate) fn store(&self, address: u64, bytes: &[u8]) -> bool {
        self.parts(address, bytes.len(), |part, range| {
            let Some((range, at)) = range.filter(|(range, _)| range.flags & DMA_WRITE != 0) else { return false };
            range.memory.as_ref().is_some_and(|(mapping, offset)| mapping.store(offset + at, &bytes[part]))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::MemfdFlags;

    const BOTH: u32 = DMA_READ | DMA_WRITE;

    fn memory(bytes: u64) -> OwnedFd {
        let file = rustix::fs::memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&file, bytes).unwrap();
        file
    }

    fn request(address: u64, size: u64, offset: u64, flags: u32) -> Request {
        Request { address, size, offset, flags }
    }

    #[test]
    fn an_access_over_several_ranges_reaches_what_is_there() {
        let file = memory(4 * PAGE);
        let mut dma = Dma::default();
        // The pages of the file the other way round, a hole, and one that may only be read.
        dma.map(request(0x10000, PAGE, PAGE, BOTH), Some(file.try_clone().unwrap())).unwrap();
        dma.map(request(0x11000, PAGE, 0, BOTH), Some(file.try_clone().unwrap())).unwrap();
        dma.map(request(0x13000, PAGE, 2 * PAGE, DMA_READ), Some(file)).unwrap();
        assert!(dma.store(0x10ffc, &[1, 2, 3, 4, 5, 6, 7, 8]));
        assert!(!dma.store(0x11ffc, &[9; 8]), "half of it lies in the hole");
        assert!(!dma.store(0x13000, &[9; 8]), "it may only be read");
        let mut all = vec![0xff; 4 * PAGE as usize];
        assert!(!dma.load(0x10000, &mut all));
        assert_eq!(all[0xffc..0x1004], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(all[0x1ffc..0x2004], [9, 9, 9, 9, 0xff, 0xff, 0xff, 0xff]);
        assert!(all[0x3000..].iter().all(|byte| *byte == 0));
        assert_eq!(dma.files.len(), 2, "one mapping for writing, one for reading");
    }

    #[test]
    fn what_cannot_be_mapped_is_refused_and_changes_nothing() {
        let mut dma = Dma::default();
        let file = memory(2 * PAGE);
        let mut refused = |request, file: Option<&OwnedFd>, why| {
            let file = file.map(|file| file.try_clone().unwrap());
            assert_eq!(dma.map(request, file), Err(why), "{request:?}");
            assert!(dma.ranges.is_empty());
        };
        refused(request(0, 0, 0, BOTH), None, Errno::INVAL);
        refused(request(u64::MAX - 4095, 2 * PAGE, 0, BOTH), None, Errno::INVAL);
        refused(request(1, PAGE, 0, BOTH), None, Errno::INVAL);
        refused(request(0, PAGE + 1, 0, BOTH), None, Errno::INVAL);
        refused(request(0, PAGE, 0, 0), None, Errno::INVAL);
        refused(request(0, PAGE, 0, 8), None, Errno::INVAL);
        refused(request(0, PAGE, 2 * PAGE, BOTH), Some(&file), Errno::INVAL);
        refused(request(0, PAGE, u64::MAX - 4095, BOTH), Some(&file), Errno::INVAL);
        let (pipe, _other) = std::io::pipe().unwrap();
        let pipe = OwnedFd::from(pipe);
        refused(request(0, PAGE, 0, BOTH), Some(&pipe), Errno::INVAL);
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file));
        let read_only = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty()).unwrap();
        refused(request(0, PAGE, 0, BOTH), Some(&read_only), Errno::ACCESS);
        dma.map(request(0, PAGE, 0, DMA_READ), Some(read_only)).unwrap();
        for (address, size) in [(0, PAGE), (0, 2 * PAGE)] {
            assert_eq!(dma.map(request(address, size, 0, BOTH), None), Err(Errno::EXIST));
        }
    }

    #[test]
    fn ranges_are_unmapped_whole() {
        let mut dma = Dma::default();
        for address in [PAGE, 4 * PAGE] {
            dma.map(request(address, 2 * PAGE, 0, BOTH), None).unwrap();
        }
        for (address, size) in [(PAGE, PAGE), (2 * PAGE, PAGE), (0, 5 * PAGE), (0, 0), (u64::MAX, 2)] {
            assert_eq!(dma.unmap(address, size), Err(Errno::INVAL), "{address:#x} {size:#x}");
        }
        assert_eq!(dma.ranges.len(), 2);
        assert_eq!(dma.unmap(0, PAGE), Ok(0));
        // To the end of all addresses, as an IOMMU is emptied.
        assert_eq!(dma.unmap(0x10_0000, 0u64.wrapping_sub(0x10_0000)), Ok(0));
        assert_eq!(dma.unmap(4 * PAGE, 0u64.wrapping_sub(4 * PAGE)), Ok(2 * PAGE));
        dma.map(request(0u64.wrapping_sub(PAGE), PAGE, 0, BOTH), None).unwrap();
        assert_eq!(dma.map(request(0u64.wrapping_sub(2 * PAGE), 2 * PAGE, 0, BOTH), None), Err(Errno::EXIST));
        assert_eq!(dma.unmap(6 * PAGE, 0u64.wrapping_sub(6 * PAGE)), Ok(PAGE));
        assert_eq!(dma.clear(), 2 * PAGE);
        for half in [0, 1 << 63] {
            dma.map(request(half, 1 << 63, 0, BOTH), None).unwrap();
        }
        assert_eq!(dma.clear(), u64::MAX);
        for address in [PAGE, 4 * PAGE] {
            dma.map(request(address, 2 * PAGE, 0, BOTH), None).unwrap();
        }
        assert_eq!(dma.unmap(0, 4 * PAGE), Ok(2 * PAGE));
        assert_eq!(dma.clear(), 2 * PAGE);
        assert_eq!(dma.unmap(0, 10 * PAGE), Ok(0));
    }

    #[test]
    fn files_take_no_more_mappings_and_addresses_than_one_client_may() {
        let mut dma = Dma::default();
        let one = memory(PAGE);
        // A mapping for each length, as long as a range of it is left.
        for pages in 1..=MOST_FILES as u64 {
            rustix::fs::ftruncate(&one, pages * PAGE).unwrap();
            let last = request(pages * PAGE, PAGE, (pages - 1) * PAGE, BOTH);
            dma.map(last, Some(one.try_clone().unwrap())).unwrap();
        }
        let other = memory(MOST_MAPPED - PAGE);
        let all = |dma: &mut Dma| dma.map(request(0, PAGE, 0, BOTH), Some(other.try_clone().unwrap()));
        assert_eq!(all(&mut dma), Err(Errno::NOSPC), "too many");
        assert_eq!(dma.unmap(3 * PAGE, PAGE), Ok(PAGE));
        assert_eq!(all(&mut dma), Err(Errno::NOSPC), "too long");
        dma.clear();
        all(&mut dma).unwrap();
        let more = |pages| dma.map(request(PAGE, PAGE, 0, BOTH), Some(memory(pages * PAGE)));
        assert_eq!([2, 1].map(more), [Err(Errno::NOSPC), Ok(())]);
    }

    #[test]
    fn memory_without_a_file_and_the_end_of_the_addresses_are_not_reached() {
        let mut dma = Dma::default();
        dma.map(request(0, PAGE, 0, BOTH), None).unwrap();
        let mut word = [0xff; 8];
        assert!(!dma.load(0, &mut word) && !dma.store(0, &word));
        assert!(!dma.load(u64::MAX - 3, &mut word) && !dma.store(u64::MAX - 3, &word));
        assert_eq!(word, [0xff; 8]);
    }
}
