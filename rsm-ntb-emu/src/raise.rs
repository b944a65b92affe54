//! Raising an event descriptor that others have too, without ever waiting.
//!
//! A write to one whose count is full waits, unless the descriptor is marked not to; and whoever shares it can take the mark
//! away, between any look at it and the write. The kernel itself never waits: it raises a descriptor when a transfer is done
//! that was begun with it (`IOCB_FLAG_RESFD` of io_submit(2)). So a byte is read that nobody wants, which is done at once.
#![allow(unsafe_code)]

use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;

/// Operations and flags of the kernel's `linux/aio_abi.h`.
const PREAD: u16 = 0;
const RAISES: u32 = 1;
/// Most that are begun at a time.
const MOST: libc::c_long = 64;

/// `struct iocb`.
#[repr(C)]
struct Transfer {
    data: u64,
    key_and_flags: [u32; 2],
    operation: u16,
    priority: i16,
    descriptor: u32,
    buffer: u64,
    bytes: u64,
    offset: i64,
    reserved: u64,
    flags: u32,
    raised: u32,
}

const _: () = assert!(size_of::<Transfer>() == 64);

/// `struct io_event`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Done([u64; 4]);

/// Where transfers are begun, and what is read.
struct Raiser {
    context: libc::c_ulong,
    source: OwnedFd,
}

impl Raiser {
    fn new() -> Result<Raiser, Errno> {
        let source = rustix::fs::memfd_create("rsm-ntb-emu-raise", MemfdFlags::CLOEXEC)?;
        rustix::fs::ftruncate(&source, 1)?;
        let mut context: libc::c_ulong = 0;
        // SAFETY: the kernel writes the context's number.
        outcome(unsafe { libc::syscall(libc::SYS_io_setup, MOST, &raw mut context) })?;
        Ok(Raiser { context, source })
    }

    fn raise(&self, descriptor: &OwnedFd) -> Result<(), Errno> {
        let mut byte = 0u8;
        let descriptors = [&self.source, descriptor].map(|fd| fd.as_raw_fd().cast_unsigned());
        let mut transfer = Transfer {
            data: 0,
            key_and_flags: [0; 2],
            operation: PREAD,
            priority: 0,
            descriptor: descriptors[0],
            buffer: (&raw mut byte).expose_provenance() as u64,
            bytes: 1,
            offset: 0,
            reserved: 0,
            flags: RAISES,
            raised: descriptors[1],
        };
        let mut begun: *mut Transfer = &raw mut transfer;
        // SAFETY: one transfer, which the kernel copies. It reads memory, so it is done when the call returns, and the byte is
        // there for as long.
        outcome(unsafe { libc::syscall(libc::SYS_io_submit, self.context, 1, &raw mut begun) })?;
        self.forget();
        Ok(())
    }

    /// Takes what is done, of this thread's and others', to make room for more.
    fn forget(&self) {
        let mut done = [Done::default(); MOST as usize];
        let mut at_once = [0 as libc::c_long; 2];
        // SAFETY: the kernel writes as many as there is room for, and does not wait.
        unsafe {
            let (done, at_once) = (done.as_mut_ptr(), at_once.as_mut_ptr());
            libc::syscall(libc::SYS_io_getevents, self.context, 0, MOST, done, at_once);
        }
    }
}

fn outcome(result: libc::c_long) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}

/// Raises an event descriptor; `None` where the kernel has no such transfers, or a filter refuses them.
pub(crate) fn raise(descriptor: &OwnedFd) -> Option<Result<(), Errno>> {
    static RAISER: OnceLock<Option<Raiser>> = OnceLock::new();
    let raiser = RAISER.get_or_init(|| Raiser::new().ok()).as_ref()?;
    Some(match raiser.raise(descriptor) {
        // Others have begun as many as there is room for, which are done by now.
        Err(Errno::AGAIN) => {
            raiser.forget();
            raiser.raise(descriptor)
        }
        other => other,
    })
}
