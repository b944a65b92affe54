//! Reading this process's mappings.
//!
//! With Linux 6.11 one `ioctl` for each mapping answers (`PROCMAP_QUERY`, half a microsecond); before, the text of
//! `/proc/self/maps` is read. What the mappings are of is for [`inspect`](super::inspect) to say.
#![allow(unsafe_code)]

use crate::error::from_errno;
use crate::guest::Guest;
use crate::procfs;
use rsm_core::{Code, Result};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

/// A mapping as the kernel describes it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) executable: bool,
    pub(super) shared: bool,
    pub(super) page: u64,
    pub(super) offset: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) name: Vec<u8>,
}

/// The mappings that overlap a range of addresses, in ascending order.
///
/// # Errors
/// INSUFFICIENT_RESOURCES without a free descriptor; CTLR_NOT_PRESENT without /proc.
pub(super) fn overlapping(start: usize, end: usize) -> Result<Vec<Mapping>> {
    let look = |maps: BorrowedFd<'_>| match query_all(maps, start, end) {
        Err(Errno::NOTTY | Errno::INVAL | Errno::NOSYS | Errno::PERM) => read_all(maps, start, end),
        other => other,
    };
    // A thread that ends has let go of its own already.
    let looked = match KEPT.try_with(|kept| kept.get().map(|maps| look(maps.as_fd()))) {
        Ok(Some(looked)) => looked,
        Ok(None) | Err(_) => look(procfs::open("self/maps")?.as_fd()),
    };
    looked.map_err(|e| from_errno(e, "cannot look at this process's mappings"))
}

thread_local! {
    static KEPT: OnceCell<Guest> = const { OnceCell::new() };
}

/// Lets the calling thread, whose descriptors are its own, look for as long as it lives, whatever the process does to
/// its descriptors, its root directory or its limits. Where nobody can look now, it looks like any other.
///
/// # Errors
/// As [`procfs::open`], where it may be possible the next time.
pub(crate) fn keep_looking() -> Result<()> {
    match procfs::open("self/maps") {
        Err(error) if matches!(error.code(), Code::CtlrNotPresent | Code::PermDenied) => Ok(()),
        maps => maps.map(|maps| KEPT.with(|kept| drop(kept.set(maps)))),
    }
}

/// Whether this process has memory that others may have too, and writes there or may come to, but for what is the library's. So it is
/// where that cannot be known.
pub(crate) fn shares_with_others() -> bool {
    let is_other = |mapping: &&Mapping| mapping.shared && !mapping.name.starts_with(b"/memfd:rsm-");
    let Ok(all) = overlapping(0, usize::MAX) else { return true };
    let mut others = all.iter().filter(is_other).peekable();
    if others.peek().is_none() {
        return false;
    }
    let Ok(text) = procfs::open("self/smaps").map_err(drop).and_then(|maps| text_of(maps.as_fd()).map_err(drop)) else {
        return true;
    };
    let fixed = never_written(&text);
    others.any(|mapping| mapping.writable || !fixed.contains(&(mapping.start, mapping.end)))
}

/// Mappings that nobody can make writable, of the text of `/proc/self/smaps`: of files that were opened to be read.
fn never_written(text: &[u8]) -> Vec<(usize, usize)> {
    let mut fixed = Vec::new();
    let mut at = None;
    for line in text.split(|&b| b == b'\n') {
        if let Some(flags) = line.strip_prefix(b"VmFlags:") {
            if !flags.split(|&b| b == b' ').any(|flag| flag == b"mw") {
                fixed.extend(at);
            }
            at = None;
        } else if let Some(mapping) = parse(line) {
            at = Some((mapping.start, mapping.end));
        }
    }
    fixed
}

/// Whether any of these addresses can be written to; `None`: that cannot be known.
pub(crate) fn is_written(start: usize, end: usize) -> Option<bool> {
    overlapping(start, end).ok().map(|all| all.iter().any(|mapping| mapping.writable))
}

/// Whether this kernel answers for one mapping.
///
/// # Errors
/// ENOTTY where it does not, and the text of all mappings is read instead; ENOENT without /proc.
pub(crate) fn probe() -> Result<(), Errno> {
    let maps = procfs::open("self/maps").map_err(|_| Errno::NOENT)?;
    query(maps.as_fd(), std::ptr::from_ref(&maps).addr()).map(drop)
}

/// `struct procmap_query`.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

const PROCMAP_QUERY: u64 = rustix::ioctl::opcode::read_write::<Query>(b'f', 17) as u64;
const QUERY_READABLE: u64 = 0x01;
const QUERY_WRITABLE: u64 = 0x02;
const QUERY_EXECUTABLE: u64 = 0x04;
const QUERY_SHARED: u64 = 0x08;
const QUERY_COVERING_OR_NEXT: u64 = 0x10;

/// Longest name that is looked at; longer ones are of files, whose names do not matter here.
const NAME: usize = 256;

fn query_all(maps: BorrowedFd<'_>, start: usize, end: usize) -> Result<Vec<Mapping>, Errno> {
    let mut mappings = Vec::new();
    let mut at = start;
    while at < end {
        match query(maps, at)? {
            Some(mapping) if mapping.start < end => {
                at = mapping.end;
                mappings.push(mapping);
            }
            _ => break,
        }
    }
    Ok(mappings)
}

/// The mapping that covers an address, or the next one.
fn query(maps: BorrowedFd<'_>, address: usize) -> Result<Option<Mapping>, Errno> {
    let mut name = [0u8; NAME];
    let mut named = true;
    loop {
        let mut q = Query {
            size: size_of::<Query>() as u64,
            query_flags: QUERY_COVERING_OR_NEXT,
            query_addr: address as u64,
            vma_name_size: if named { NAME as u32 } else { 0 },
            vma_name_addr: if named { name.as_mut_ptr() as u64 } else { 0 },
            ..Query::default()
        };
        // SAFETY: the argument is one `struct procmap_query` that says its size; the kernel writes it and at most
        // `vma_name_size` bytes to `name`, both of which outlive the call.
        let done = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY as _, &raw mut q) };
        if done != 0 {
            match Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO) {
                Errno::NOENT => return Ok(None),
                Errno::NAMETOOLONG if named => named = false,
                Errno::INTR => {}
                e => return Err(e),
            }
            continue;
        }
        let length = if named { (q.vma_name_size as usize).clamp(1, NAME) - 1 } else { 0 };
        return Ok(Some(Mapping {
            start: q.vma_start as usize,
            end: q.vma_end as usize,
            readable: q.vma_flags & QUERY_READABLE != 0,
            writable: q.vma_flags & QUERY_WRITABLE != 0,
            executable: q.vma_flags & QUERY_EXECUTABLE != 0,
            shared: q.vma_flags & QUERY_SHARED != 0,
            page: q.vma_page_size,
            offset: q.vma_offset,
            device: rustix::fs::makedev(q.dev_major, q.dev_minor),
            inode: q.inode,
            name: name[..length].to_vec(),
        }));
    }
}

fn read_all(maps: BorrowedFd<'_>, start: usize, end: usize) -> Result<Vec<Mapping>, Errno> {
    let text = text_of(maps)?;
    let mappings = text.split(|&b| b == b'\n').filter_map(parse);
    Ok(mappings.filter(|m| m.start < end && m.end > start).collect())
}

fn text_of(maps: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let mut text = Vec::new();
    let mut part = [0; 4096];
    loop {
        match rustix::io::pread(maps, &mut part, text.len() as u64) {
            Ok(0) => break,
            Ok(bytes) => text.extend_from_slice(&part[..bytes]),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(text)
}

/// One line: `start-end perms offset major:minor inode   name`.
pub(super) fn parse(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |&b| b == b' ');
    let mut field = || fields.next().and_then(|f| std::str::from_utf8(f).ok());
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (start, end) = field()?.split_once('-')?;
    let permissions = field()?.as_bytes();
    let offset = hex(field()?)?;
    let (major, minor) = field()?.split_once(':')?;
    let inode = field()?.parse().ok()?;
    let name = fields.next().unwrap_or_default().trim_ascii_start();
    Some(Mapping {
        start: hex(start)? as usize,
        end: hex(end)? as usize,
        readable: permissions.first() == Some(&b'r'),
        writable: permissions.get(1) == Some(&b'w'),
        executable: permissions.get(2) == Some(&b'x'),
        shared: permissions.get(3) == Some(&b's'),
        // The text does not tell; huge pages of no file are known by their name.
        page: 0,
        offset,
        device: rustix::fs::makedev(hex(major)? as u32, hex(minor)? as u32),
        inode,
        name: name.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::memfd;
    use super::super::region::Region;
    use super::*;
    use rsm_core::access::Permission;

    #[test]
    fn the_text_and_the_query_agree() {
        let maps = procfs::open("self/maps").unwrap();
        let page = super::super::page_size();
        let object = memfd::create("rsm-segment", 16 * page as u64).unwrap();
        let region = Region::map(&object, 4 * page as u64, 8 * page, Permission::ReadWrite).unwrap();
        let (start, end) = (region.as_ptr() as usize, region.as_ptr() as usize + region.len());
        let text = read_all(maps.as_fd(), start, end).unwrap();
        assert_eq!(text.len(), 1);
        match query_all(maps.as_fd(), start, end) {
            // The text does not tell the size of pages.
            Ok(asked) => {
                assert_eq!(asked.into_iter().map(|m| Mapping { page: 0, ..m }).collect::<Vec<_>>(), text);
            }
            Err(e) => println!("this kernel has no PROCMAP_QUERY: {e}"),
        }
    }

    #[test]
    fn what_may_be_written_later_is_known() {
        let page = super::super::page_size();
        let is_fixed = |file: &std::fs::File| {
            // SAFETY: new memory, of which nothing is used.
            let start = unsafe {
                libc::mmap(std::ptr::null_mut(), page, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0)
            };
            assert_ne!(start, libc::MAP_FAILED);
            let (at, end) = (start.addr(), start.addr() + page);
            assert_eq!(is_written(at, end), Some(false));
            let text = text_of(procfs::open("self/smaps").unwrap().as_fd()).unwrap();
            // Neighbours that are alike are one mapping.
            let fixed = never_written(&text).iter().any(|(first, last)| *first <= at && end <= *last);
            // SAFETY: mapped above.
            unsafe { libc::munmap(start, page) };
            fixed
        };
        let path = std::env::temp_dir().join(format!("rsm-maps-{}", std::process::id()));
        let written = std::fs::File::create_new(&path).unwrap();
        written.set_len(page as u64).unwrap();
        let read = std::fs::File::open(&path).unwrap();
        let both = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(is_fixed(&read) && !is_fixed(&both));
    }

    #[test]
    fn lines_that_are_none_are_passed_over() {
        assert!(parse(b"").is_none());
        assert!(parse(b"nonsense").is_none());
    }
}
