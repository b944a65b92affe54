//! What addresses of this process are mapped to, as the kernel tells.
//!
//! With Linux 6.11 one `ioctl` for each mapping answers (`PROCMAP_QUERY`, half a microsecond); before, the text of
//! `/proc/self/maps` is read. The answer holds until somebody maps something else there.
#![allow(unsafe_code)]

use crate::error::from_errno;
use crate::guest::Guest;
use crate::procfs;
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use std::cell::OnceCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::OnceLock;

/// What a mapping is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Private memory of no file: the heap, a stack, `MAP_PRIVATE | MAP_ANONYMOUS`.
    Anonymous,
    /// A file mapped `MAP_PRIVATE`: initialised data of a program, or `mmap`.
    PrivateFile,
    /// `MAP_SHARED | MAP_ANONYMOUS`, or `/dev/zero` mapped shared: forked relatives share it.
    SharedAnonymous,
    /// A System V segment; the inode is its `shmid`.
    SysV,
    /// A memory object that has the name rsm gives to segment memory. Which one, inode and device tell.
    Object,
    /// A file mapped `MAP_SHARED`, one in tmpfs and a memory object of somebody else included, or a device.
    SharedFile,
    /// Huge pages, which cannot be replaced in pieces.
    HugePages,
    /// Memory of the kernel's that programs see, such as `[vdso]`.
    Special,
}

/// A part of a range, mapped to one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First address.
    pub start: usize,
    /// One past the last address.
    pub end: usize,
    /// What is mapped.
    pub kind: Kind,
    /// Whether the process may load.
    pub readable: bool,
    /// Whether the process may store.
    pub writable: bool,
    /// Whether the process may run it.
    pub executable: bool,
    /// Device of the file, as `st_dev`; 0 without one: no file system has that number.
    pub device: u64,
    /// Inode of the file; 0 without one, and for the first System V segment of a namespace too.
    pub inode: u64,
    /// Where in the file the piece starts.
    pub offset: u64,
}

impl Piece {
    /// Its length in bytes; never 0.
    pub fn bytes(&self) -> usize {
        self.end - self.start
    }

    /// Whether it maps this object.
    pub fn is_of(&self, object: Identity) -> bool {
        self.kind == Kind::Object && (self.device, self.inode) == object
    }
}

/// What tells a memory object from every other: device and inode.
pub type Identity = (u64, u64);

/// A mapping as the kernel describes it.
struct Mapping {
    start: usize,
    end: usize,
    readable: bool,
    writable: bool,
    executable: bool,
    shared: bool,
    page: u64,
    offset: u64,
    device: u64,
    inode: u64,
    name: Vec<u8>,
}

impl Mapping {
    fn kind(&self) -> Kind {
        let name = self.name.as_slice();
        // A user may call a file what the kernel calls its objects; those are all on one device that has no path. The
        // device also tells whether there is a file, as 0 is none; an inode of 0 is one like any other.
        let of_kernel = self.device == kernel_device();
        let page = crate::memory::page_size() as u64;
        if self.page > page || name.starts_with(b"/anon_hugepage") {
            Kind::HugePages
        } else if name.starts_with(b"[v") || name == b"[uprobes]" {
            Kind::Special
        } else if self.device == 0 {
            if self.shared { Kind::SharedFile } else { Kind::Anonymous }
        } else if !self.shared {
            Kind::PrivateFile
        } else if !of_kernel {
            Kind::SharedFile
        } else if name.starts_with(b"/SYSV") {
            Kind::SysV
        } else if name.starts_with(b"/dev/zero") || name.starts_with(b"[anon_shmem:") {
            Kind::SharedAnonymous
        } else if name == b"/memfd:rsm-segment (deleted)" {
            Kind::Object
        } else {
            Kind::SharedFile
        }
    }
}

/// What `length` bytes from `start` are mapped to, in ascending order, without a hole.
///
/// # Errors
/// BAD_LENGTH for no bytes; BAD_ADDR when part of the range is not mapped, or runs past the last address;
/// INSUFFICIENT_RESOURCES without a free descriptor; CTLR_NOT_PRESENT without /proc.
pub fn pieces(start: usize, length: usize) -> Result<Vec<Piece>> {
    let pieces = present(start, length)?;
    let mut reached = start;
    for piece in &pieces {
        if piece.start > reached {
            return Err(hole(reached, piece.start));
        }
        reached = piece.end;
    }
    if reached < start + length { Err(hole(reached, start + length)) } else { Ok(pieces) }
}

/// The same, whatever holes the range has.
///
/// # Errors
/// As [`pieces`], but for holes.
pub fn present(start: usize, length: usize) -> Result<Vec<Piece>> {
    if length == 0 {
        return Err(Error::with(Code::BadLength, "a range of no bytes"));
    }
    let end = start.checked_add(length).ok_or_else(|| hole(start, usize::MAX))?;
    let mut pieces = mapped(start, end)?;
    for piece in &mut pieces {
        let before = start.saturating_sub(piece.start);
        piece.offset += before as u64;
        piece.start += before;
        piece.end = piece.end.min(end);
    }
    Ok(pieces)
}

/// All that this process maps of an object.
///
/// # Errors
/// As [`present`].
pub fn all_of(object: Identity) -> Result<Vec<Piece>> {
    let mut pieces = mapped(0, usize::MAX)?;
    pieces.retain(|piece| piece.is_of(object));
    Ok(pieces)
}

/// What overlaps a range of addresses.
fn mapped(start: usize, end: usize) -> Result<Vec<Piece>> {
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
/// its descriptors, its root directory or its limits.
pub(crate) fn keep_looking() {
    KEPT.with(|kept| procfs::open("self/maps").ok().map(|maps| kept.set(maps)));
}

/// The pieces of a range, when it is memory that may become a segment: mapped, not a file mapped shared, and readable
/// and writable, checked in this order (reference 1.6).
///
/// # Errors
/// BAD_ADDR for holes, files mapped shared, memory that is a segment already, huge pages and the kernel's own;
/// PERM_DENIED for what the process may not both read and write; and as [`pieces`].
pub fn exportable(start: usize, length: usize) -> Result<Vec<Piece>> {
    let pieces = pieces(start, length)?;
    for piece in &pieces {
        let why = match piece.kind {
            Kind::Anonymous | Kind::PrivateFile | Kind::SharedAnonymous | Kind::SysV => continue,
            Kind::Object => "is memory of a segment already; only the same range can be exported again (D-80)",
            Kind::SharedFile => "is a file mapped MAP_SHARED; map it MAP_PRIVATE",
            Kind::HugePages => "consists of huge pages, which cannot be exported",
            Kind::Special => "belongs to the kernel",
        };
        return Err(Error::with(Code::BadAddr, format!("memory at {:#x} {why}", piece.start)));
    }
    match pieces.iter().find(|p| !(p.readable && p.writable)) {
        None => Ok(pieces),
        Some(piece) => Err(Error::with(
            Code::PermDenied,
            format!("memory at {:#x} is not mapped for both reading and writing", piece.start),
        )),
    }
}

/// Whether a range may become a segment's: [`exportable`] without its answer.
///
/// # Errors
/// As [`exportable`].
pub fn check_exportable(start: usize, length: usize) -> Result<()> {
    exportable(start, length).map(|_| ())
}

/// Whether all of a range still maps the object with this device and inode, in one piece of it, readable and writable:
/// whether nobody unmapped, protected or reused it since we mapped it there (D-79).
///
/// # Errors
/// As [`pieces`], except that a hole is no error.
pub fn maps_object(start: usize, length: usize, device: u64, inode: u64) -> Result<bool> {
    let pieces = match pieces(start, length) {
        Err(error) if error.code() == Code::BadAddr => return Ok(false),
        other => other?,
    };
    let first = pieces[0].offset;
    Ok(pieces.iter().all(|p| {
        p.kind == Kind::Object
            && (p.device, p.inode) == (device, inode)
            && p.offset == first + (p.start - start) as u64
            && p.readable
            && p.writable
    }))
}

/// Whether this kernel answers for one mapping.
///
/// # Errors
/// ENOTTY where it does not, and the text of all mappings is read instead; ENOENT without /proc.
pub(crate) fn probe() -> Result<(), Errno> {
    let maps = procfs::open("self/maps").map_err(|_| Errno::NOENT)?;
    query(maps.as_fd(), std::ptr::from_ref(&maps).addr()).map(drop)
}

/// Device and inode of an open file.
///
/// # Errors
/// As `fstat` says.
pub fn identity(fd: impl AsFd) -> Result<Identity> {
    let stat = rustix::fs::fstat(fd).map_err(|e| from_errno(e, "cannot look at a memory object"))?;
    #[allow(clippy::useless_conversion)] // Its width differs between architectures.
    Ok((u64::from(stat.st_dev), u64::from(stat.st_ino)))
}

fn hole(start: usize, end: usize) -> Error {
    Error::with(Code::BadAddr, format!("nothing is mapped from {start:#x} to {end:#x}"))
}

/// The device that the kernel keeps its unnamed memory objects on.
fn kernel_device() -> u64 {
    static DEVICE: OnceLock<u64> = OnceLock::new();
    if let Some(&device) = DEVICE.get() {
        return device;
    }
    let probe = rustix::fs::memfd_create("rsm-probe", rustix::fs::MemfdFlags::CLOEXEC);
    match probe.and_then(Guest::new).map_err(|e| from_errno(e, "")).and_then(identity) {
        Ok((device, _)) => *DEVICE.get_or_init(|| device),
        // Without a descriptor: what it is on every kernel whose first mount is this one. Asked again next time.
        Err(_) => rustix::fs::makedev(0, 1),
    }
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

fn query_all(maps: BorrowedFd<'_>, start: usize, end: usize) -> Result<Vec<Piece>, Errno> {
    let mut pieces = Vec::new();
    let mut at = start;
    while at < end {
        match query(maps, at)? {
            Some(mapping) if mapping.start < end => {
                at = mapping.end;
                pieces.push(piece(&mapping));
            }
            _ => break,
        }
    }
    Ok(pieces)
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

fn read_all(maps: BorrowedFd<'_>, start: usize, end: usize) -> Result<Vec<Piece>, Errno> {
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
    let mappings = text.split(|&b| b == b'\n').filter_map(parse);
    Ok(mappings.filter(|m| m.start < end && m.end > start).map(|m| piece(&m)).collect())
}

/// One line: `start-end perms offset major:minor inode   name`.
fn parse(line: &[u8]) -> Option<Mapping> {
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

fn piece(mapping: &Mapping) -> Piece {
    Piece {
        start: mapping.start,
        end: mapping.end,
        kind: mapping.kind(),
        readable: mapping.readable,
        writable: mapping.writable,
        executable: mapping.executable,
        device: mapping.device,
        inode: mapping.inode,
        offset: mapping.offset,
    }
}

#[cfg(test)]
mod tests {
    use super::super::memfd;
    use super::super::region::Region;
    use super::*;
    use rsm_core::access::Permission;

    fn maps() -> Guest {
        procfs::open("self/maps").unwrap()
    }

    #[test]
    fn the_text_and_the_query_agree() {
        let page = super::super::page_size();
        let length = 8 * page;
        let object = memfd::create("rsm-segment", 16 * page as u64).unwrap();
        let region = Region::map(&object, 4 * page as u64, length, Permission::ReadWrite).unwrap();
        let (start, end) = (region.as_ptr() as usize, region.as_ptr() as usize + region.len());
        let text = read_all(maps().as_fd(), start, end).unwrap();
        match query_all(maps().as_fd(), start, end) {
            Ok(asked) => assert_eq!(asked, text),
            Err(e) => println!("this kernel has no PROCMAP_QUERY: {e}"),
        }
        let (device, inode) = identity(&object).unwrap();
        let whole = Piece {
            start,
            end,
            kind: Kind::Object,
            readable: true,
            writable: true,
            executable: false,
            device,
            inode,
            offset: 4 * page as u64,
        };
        assert_eq!(text, std::slice::from_ref(&whole));
        let part = Piece { start: start + page, end: end - page, offset: 5 * page as u64, ..whole };
        assert_eq!(pieces(start + page, length - 2 * page).unwrap(), [part]);
        assert!(maps_object(start, length, device, inode).unwrap());
        assert!(!maps_object(start, length, device, inode + 1).unwrap());
        drop(region);
        assert!(!maps_object(start, length, device, inode).unwrap());
    }

    #[test]
    fn lines_become_kinds() {
        let (major, minor) = (rustix::fs::major(kernel_device()), rustix::fs::minor(kernel_device()));
        let kernel = format!("{major:02x}:{minor:02x}");
        for (permissions, device, inode, name, kind) in [
            ("rw-p", "00:00", 0, "", Kind::Anonymous),
            ("rw-p", "00:00", 0, "[heap]", Kind::Anonymous),
            ("rw-p", "00:00", 0, "[stack]", Kind::Anonymous),
            ("r-xp", "00:00", 0, "[vdso]", Kind::Special),
            ("rw-p", "fe:00", 7, "/usr/lib/a b", Kind::PrivateFile),
            ("rw-s", "fe:00", 7, "/dev/zero (deleted)", Kind::SharedFile),
            ("rw-s", &kernel, 7, "/dev/zero (deleted)", Kind::SharedAnonymous),
            ("rw-s", &kernel, 7, "[anon_shmem:x]", Kind::SharedAnonymous),
            ("rw-s", &kernel, 7, "/SYSV00000000 (deleted)", Kind::SysV),
            ("rw-s", &kernel, 0, "/SYSV00000000 (deleted)", Kind::SysV),
            ("rw-p", "fe:00", 0, "/usr/lib/a b", Kind::PrivateFile),
            ("rw-s", "fe:00", 0, "/SYSV00000000 (deleted)", Kind::SharedFile),
            ("rw-s", "00:00", 0, "", Kind::SharedFile),
            ("rw-s", &kernel, 7, "/memfd:rsm-segment (deleted)", Kind::Object),
            ("rw-s", &kernel, 7, "/memfd:other (deleted)", Kind::SharedFile),
            ("rw-p", "00:0f", 7, "/anon_hugepage (deleted)", Kind::HugePages),
        ] {
            let line = format!("7f0000000000-7f0000002000 {permissions} 00001000 {device} {inode}      {name}");
            let mapping = parse(line.as_bytes()).unwrap();
            assert_eq!(mapping.kind(), kind, "{line}");
            assert_eq!((mapping.start, mapping.end, mapping.offset), (0x7f00_0000_0000, 0x7f00_0000_2000, 0x1000));
            assert_eq!((mapping.readable, mapping.writable), (true, permissions.as_bytes()[1] == b'w'));
        }
        assert!(parse(b"").is_none());
        assert!(parse(b"nonsense").is_none());
    }
}
