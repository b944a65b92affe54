//! Descriptors of the library's in the program's descriptor table, where they are guests.
//!
//! The program owns the table. It may close what is in it (`closefrom`), put files of its own at numbers that were ours
//! (`dup2`), and count on having the numbers 0, 1 and 2 to itself, closed or not (D-69). So whatever the library keeps
//! there, if only for a moment, is a [`Guest`]: never at one of the first three numbers, compared with the file that was
//! opened before each use and before it is closed. What is somebody else's by then is neither read, written nor closed;
//! the use fails as on a closed descriptor, and who can do without opens another.
//!
//! What can live where the program does not reach it does so instead ([`crate::private_table`]).
//!
//! What the kernel makes without a file (eventfd(2), epoll(7), devices of VFIO) has one inode for all of it. Such a guest is
//! marked, by the signal that its owner would be sent if anybody had asked for signals, of which each open file has its own.
//!
//! Between the comparison and the use lies part of a microsecond, in which another thread could replace the file: no
//! system call compares and uses in one step.
#![allow(unsafe_code)]

use crate::identity;
use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// A number that no table reaches (the kernel's limit, `fs.nr_open`, stays below it): every use says EBADF.
const NEVER_OPEN: RawFd = RawFd::MAX;

/// A descriptor in the program's table.
#[derive(Debug)]
pub struct Guest {
    number: RawFd,
    file: File,
}

/// Operations of `fcntl`, with a signal's number.
const F_SETSIG: libc::c_int = 10;
const F_GETSIG: libc::c_int = 11;
/// What marks a guest that has no inode of its own: a signal that nothing is sent by itself.
const MARKED: libc::c_int = libc::SIGSTKFLT;

/// What tells one open file from another: device, inode, and the access mode, for both ends of a pipe are one inode; the signal
/// where there is no file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct File {
    device: u64,
    inode: u64,
    access: u32,
    signal: Option<libc::c_int>,
}

impl File {
    fn of(fd: BorrowedFd<'_>) -> rustix::io::Result<File> {
        let stat = rustix::fs::fstat(fd)?;
        let access = rustix::fs::fcntl_getfl(fd)? & OFlags::RWMODE;
        let is_shared = FileType::from_raw_mode(stat.st_mode) == FileType::Unknown;
        // SAFETY: it reads a number of an open file.
        let signal = is_shared.then(|| told(unsafe { libc::fcntl(fd.as_raw_fd(), F_GETSIG) })).transpose()?;
        let (device, inode) = identity::of(&stat);
        Ok(File { device, inode, access: access.bits(), signal })
    }

    /// The same, after it was marked if it has to be.
    fn marked(fd: BorrowedFd<'_>) -> rustix::io::Result<File> {
        let file = File::of(fd)?;
        if file.signal.is_none() {
            return Ok(file);
        }
        // SAFETY: it changes a number of a file that was opened for the library. No signal is sent, as nobody asks for any.
        told(unsafe { libc::fcntl(fd.as_raw_fd(), F_SETSIG, MARKED) })?;
        File::of(fd)
    }
}

/// What a call said.
fn told(outcome: libc::c_int) -> rustix::io::Result<libc::c_int> {
    if outcome >= 0 {
        return Ok(outcome);
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::BADF))
}

impl Guest {
    /// Takes in a descriptor that was made a moment ago: moves it away from the standard streams and notes what it is.
    ///
    /// # Errors
    /// EMFILE where it has to move and there is no number to move to.
    pub fn new(fd: OwnedFd) -> rustix::io::Result<Guest> {
        let fd = if fd.as_raw_fd() > 2 { fd } else { rustix::io::fcntl_dupfd_cloexec(&fd, 3)? };
        let file = File::marked(fd.as_fd())?;
        Ok(Guest { number: fd.into_raw_fd(), file })
    }

    /// Its number, whoever's it is by now.
    pub(crate) fn number(&self) -> RawFd {
        self.number
    }

    /// Whether it is still what was taken in.
    pub fn is_ours(&self) -> bool {
        // SAFETY: whatever the number is, to look at it changes nothing.
        File::of(unsafe { BorrowedFd::borrow_raw(self.number) }) == Ok(self.file)
    }

    /// In a table that was copied from the program's: takes it out of it.
    ///
    /// # Errors
    /// EBADF when it is not what was taken in.
    ///
    /// # Safety
    /// The calling thread's table must be its own, and this called once there.
    pub(crate) unsafe fn in_private_table(number: RawFd, mark: Mark) -> rustix::io::Result<OwnedFd> {
        // SAFETY: to look at it changes nothing.
        if File::of(unsafe { BorrowedFd::borrow_raw(number) }) != Ok(mark.0) {
            return Err(Errno::BADF);
        }
        // SAFETY: open, in a table that nobody else uses, by the caller's promise.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    /// What [`in_private_table`](Self::in_private_table) compares.
    pub(crate) fn mark(&self) -> Mark {
        Mark(self.file)
    }
}

/// What a guest is, without being one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(File);

impl AsFd for Guest {
    /// The descriptor, or one that is not open when it is somebody else's file by now.
    fn as_fd(&self) -> BorrowedFd<'_> {
        let number = if self.is_ours() { self.number } else { NEVER_OPEN };
        // SAFETY: compared just now. That it stays open cannot be promised by anybody but the program; it is handed to
        // system calls only, which answer EBADF to a number that is not open.
        unsafe { BorrowedFd::borrow_raw(number) }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: ours, by the comparison.
            drop(unsafe { OwnedFd::from_raw_fd(self.number) });
        }
    }
}

/// Reads a file of text by way of a guest.
///
/// # Errors
/// As `open(2)` and `read(2)`; what is no text.
pub fn read_text(path: &std::path::Path) -> std::io::Result<String> {
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
    let bytes = read_to_end(&Guest::new(file)?)?;
    String::from_utf8(bytes).map_err(std::io::Error::other)
}

/// Reads from a guest to the end.
///
/// # Errors
/// As `read(2)`.
pub fn read_to_end(guest: &Guest) -> std::io::Result<Vec<u8>> {
    struct Reader<'a>(&'a Guest);
    impl Read for Reader<'_> {
        fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
            Ok(rustix::io::read(self.0, bytes)?)
        }
    }
    // What most files of the kernel's need. Without room for a beginning the first bytes are asked for apart, and each read
    // is compared.
    let mut all = Vec::with_capacity(4096);
    Reader(guest).read_to_end(&mut all)?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::io::FdFlags;

    fn is_open(number: RawFd) -> bool {
        // SAFETY: to look at it changes nothing.
        rustix::io::fcntl_getfd(unsafe { BorrowedFd::borrow_raw(number) }).is_ok()
    }

    /// All of these have one inode.
    #[test]
    fn what_has_no_file_is_told_from_others_of_its_kind() {
        use rustix::event::{EventfdFlags, epoll, eventfd};
        let event = || eventfd(7, EventfdFlags::CLOEXEC).unwrap();
        let ours = Guest::new(event()).unwrap();
        assert!(ours.is_ours() && Guest::new(rustix::io::dup(&ours).unwrap()).unwrap().is_ours());
        for theirs in [event(), epoll::create(epoll::CreateFlags::CLOEXEC).unwrap()] {
            // SAFETY: the number is open, and given to nobody else by this test.
            let mut number = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(ours.number()) });
            rustix::io::dup2(&theirs, &mut number).unwrap();
            assert!(!ours.is_ours());
            assert_eq!(rustix::io::read(&ours, &mut [0; 8]), Err(Errno::BADF));
        }
        let number = ours.number();
        drop(ours);
        assert!(is_open(number), "somebody else's by now");
        // SAFETY: opened by this test.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }

    #[test]
    fn what_is_not_ours_is_neither_used_nor_closed() {
        let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        let kept = rustix::io::dup(&write).unwrap();
        let (read, write) = (Guest::new(read).unwrap(), Guest::new(write).unwrap());
        assert_eq!(rustix::io::write(&write, b"1"), Ok(1));
        // The other end of the same pipe at its number, and then a file of somebody's.
        for other in [
            rustix::io::dup(&read).unwrap(),
            rustix::fs::memfd_create("theirs", rustix::fs::MemfdFlags::CLOEXEC).unwrap(),
        ] {
            // SAFETY: the number is open, and given to nobody else by this test.
            let mut number = std::mem::ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(write.number()) });
            rustix::io::dup2(&other, &mut number).unwrap();
            assert!(!write.is_ours() && read.is_ours());
            assert_eq!(rustix::io::write(&write, b"1"), Err(Errno::BADF));
            assert_eq!(rustix::fs::fstat(&other).unwrap().st_size, 0);
        }
        let number = write.number();
        drop(write);
        assert!(is_open(number), "somebody else's by now");
        // SAFETY: opened by this test.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
        assert_eq!(rustix::io::fcntl_getfd(&read), Ok(FdFlags::CLOEXEC));
        drop(read);
        // Its number may be another test's by now; what tells is that nobody reads any more, once children that other tests
        // have forked meanwhile are gone.
        let nobody_reads = &mut [PollFd::new(&kept, PollFlags::empty())];
        assert_eq!(poll(nobody_reads, Some(&Timespec { tv_sec: 30, tv_nsec: 0 })), Ok(1), "it was not closed");
    }
}
