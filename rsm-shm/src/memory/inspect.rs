//! What addresses of this process are mapped to, as the kernel tells.
//!
//! The kinds of mappings, and the rules about them: what may become a segment, what is one. The answer holds until
//! somebody maps something else there.

use super::maps::{self, Mapping};
use crate::error::from_errno;
use crate::guest::Guest;
use crate::identity;
use rsm_core::{Code, Error, Result};
use std::os::fd::AsFd;
use std::sync::OnceLock;

pub use crate::identity::Identity;

/// Kind of what is mapped.
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
    /// Kind of what is mapped.
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
    /// Offset in the file, in bytes, at which the piece starts.
    pub offset: u64,
}

impl Piece {
    /// Length in bytes; never 0.
    pub fn bytes(&self) -> usize {
        self.end - self.start
    }

    /// Whether it maps this object.
    pub fn is_of(&self, object: Identity) -> bool {
        self.kind == Kind::Object && (self.device, self.inode) == object
    }
}

/// Kind of what is mapped.
fn kind_of(mapping: &Mapping) -> Kind {
    let name = mapping.name.as_slice();
    // A user may call a file what the kernel calls its objects; those are all on one device that has no path. The
    // device also tells whether there is a file, as 0 is none; an inode of 0 is one like any other.
    let of_kernel = mapping.device == kernel_device();
    let page = crate::memory::page_size() as u64;
    if mapping.page > page || name.starts_with(b"/anon_hugepage") {
        Kind::HugePages
    } else if name.starts_with(b"[v") || name == b"[uprobes]" {
        Kind::Special
    } else if mapping.device == 0 {
        if mapping.shared { Kind::SharedFile } else { Kind::Anonymous }
    } else if !mapping.shared {
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

/// Pieces that `length` bytes from `start` are mapped to, in ascending order, without a hole.
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

/// Pieces as of [`pieces`], whatever holes the range has.
///
/// # Errors
/// As [`pieces`], but for holes.
pub fn present(start: usize, length: usize) -> Result<Vec<Piece>> {
    if length == 0 {
        return Err(Error::with(Code::BadLength, "a range of no bytes"));
    }
    let end = start.checked_add(length).ok_or_else(|| hole(start, usize::MAX))?;
    let mut pieces: Vec<Piece> = maps::overlapping(start, end)?.iter().map(piece).collect();
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
    let all = maps::overlapping(0, usize::MAX)?;
    Ok(all.iter().map(piece).filter(|piece| piece.is_of(object)).collect())
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

/// Device and inode of an open file.
///
/// # Errors
/// As `fstat` says.
pub fn identity(fd: impl AsFd) -> Result<Identity> {
    let stat = rustix::fs::fstat(fd).map_err(|e| from_errno(e, "cannot look at a memory object"))?;
    Ok(identity::of(&stat))
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

fn piece(mapping: &Mapping) -> Piece {
    Piece {
        start: mapping.start,
        end: mapping.end,
        kind: kind_of(mapping),
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

    #[test]
    fn a_part_of_an_object_is_told() {
        let page = super::super::page_size();
        let length = 8 * page;
        let object = memfd::create("rsm-segment", 16 * page as u64).unwrap();
        let region = Region::map(&object, 4 * page as u64, length, Permission::ReadWrite).unwrap();
        let (start, end) = (region.as_ptr() as usize, region.as_ptr() as usize + region.len());
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
        assert_eq!(pieces(start, region.len()).unwrap(), std::slice::from_ref(&whole));
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
            let mapping = maps::parse(line.as_bytes()).unwrap();
            assert_eq!(kind_of(&mapping), kind, "{line}");
            assert_eq!((mapping.start, mapping.end, mapping.offset), (0x7f00_0000_0000, 0x7f00_0000_2000, 0x1000));
            assert_eq!((mapping.readable, mapping.writable), (true, permissions.as_bytes()[1] == b'w'));
        }
    }
}
