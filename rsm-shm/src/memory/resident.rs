//! Which pages of this process's memory are there, and nobody else's.

use super::page_size;
use crate::procfs;

/// What `/proc/self/pagemap` says of a page: it is in memory, of a file or shared, mapped by nobody else.
const PRESENT: u64 = 1 << 63;
const OF_FILE: u64 = 1 << 61;
const EXCLUSIVE: u64 = 1 << 56;
/// Pages read of at once.
const AT_ONCE: usize = 4096;

/// Bytes of a range that are not in private pages of this process's own: so much memory more is needed when the range
/// moves elsewhere page by page. All of it where the kernel does not say.
pub(crate) fn absent(start: usize, length: usize) -> u64 {
    let page = page_size();
    let mut left = length / page;
    let mut absent = length as u64;
    let Ok(map) = procfs::open("self/pagemap") else { return absent };
    let mut entries = vec![0u8; AT_ONCE * 8];
    let mut at = (start / page * 8) as u64;
    while left > 0 {
        let wanted = left.min(AT_ONCE) * 8;
        let read = match rustix::io::pread(&map, &mut entries[..wanted], at) {
            Ok(read) if read >= 8 => read / 8,
            _ => return absent,
        };
        let own = |entry: &[u8]| {
            let word = entry.try_into().map_or(0, u64::from_le_bytes);
            word & (PRESENT | OF_FILE | EXCLUSIVE) == PRESENT | EXCLUSIVE
        };
        let there = entries[..read * 8].chunks_exact(8).filter(|entry| own(entry)).count();
        absent -= (there * page) as u64;
        left -= read;
        at += (read * 8) as u64;
    }
    absent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::memfd;
    use crate::memory::region::Region;
    use rsm_core::access::Permission;

    #[test]
    fn only_touched_pages_of_ones_own_are_there() {
        let page = page_size();
        // Not a multiple of a huge page, and not where the allocator has touched it.
        let mut own: Vec<u8> = Vec::with_capacity(6000 * page);
        let start = own.as_mut_ptr().addr().next_multiple_of(page);
        let before = absent(start, 5000 * page);
        assert!(before >= (4900 * page) as u64, "{before}");
        own.resize(6000 * page, 1);
        assert_eq!(absent(start, 5000 * page), 0);
        let object = memfd::create("rsm-test", page as u64).unwrap();
        let shared = Region::map(&object, 0, page, Permission::ReadWrite).unwrap();
        shared.populate(0, page, Permission::ReadWrite).unwrap();
        assert_eq!(absent(shared.as_ptr().addr(), page), page as u64, "the object's");
    }
}
