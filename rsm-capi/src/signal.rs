//! Signals, and polling for them.

use crate::entry::{entry, fail};
use crate::export::ExportObject;
use crate::import::{ImportObject, connection};
use crate::polled::{Polled, registered};
use crate::table;
use libc::{POLLHUP, POLLIN, POLLRDNORM, nfds_t, pollfd};
use rsm_core::bell::{Accumulate, Bell};
use rsm_core::{Code, Error, Result};
use rsm_shm::futex::Nap;
use rsm_shm::membership::Membership;
use rsm_shm::membership::connection::Connection;
use rsm_shm::membership::wait::Waiting;
use std::ffi::{c_int, c_uint};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NO_ACCUMULATE: c_uint = 2;

/// An export or an import, as signals see it.
enum Side {
    Export(&'static ExportObject),
    Import(&'static ImportObject),
}

impl Side {
    fn find(handle: u64) -> Result<Side> {
        match table::find(handle, Code::BadSegHndl) {
            Ok(import) => Ok(Side::Import(import)),
            Err(_) => table::find(handle, Code::BadSegHndl).map(Side::Export),
        }
    }

    fn membership(&self) -> &Arc<Membership> {
        match self {
            Side::Export(export) => export.segment.membership(),
            Side::Import(import) => import.connection.membership(),
        }
    }

    fn bell(&self) -> &Bell {
        match self {
            Side::Export(export) => export.segment.bell(),
            Side::Import(import) => import.connection.bell(),
        }
    }

    fn polled(&self) -> &Polled {
        match self {
            Side::Export(export) => &export.polled,
            Side::Import(import) => &import.polled,
        }
    }

    fn post(&self, accumulate: Accumulate) -> Result<()> {
        match self {
            Side::Export(export) => export.segment.post(accumulate),
            Side::Import(import) => import.connection.post(accumulate),
        }
    }

    /// A step of a wait; whatever ends it, the descriptor follows.
    fn wait_step(&self, waiting: &mut Waiting, errno: c_int) -> Result<Option<Nap>> {
        let step = self.membership().wait_step(self.bell(), waiting, errno);
        if !matches!(step, Ok(Some(_))) {
            self.polled().follow();
        }
        step
    }
}

/// Milliseconds as C counts them: negative is for ever.
pub(crate) fn timeout(milliseconds: c_int) -> Option<Duration> {
    u64::try_from(milliseconds).ok().map(Duration::from_millis)
}

/// Posts: to the export of an import, or to every import of an export. Reference 1.32.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_intr_signal_post(memseg: u64, flags: c_uint) -> c_int {
    // To the export of an import: a few instructions. Everything else is the last thing that is done.
    if let Ok(connection) = connection(memseg)
        && let Some(owes_wake) = connection.post_plainly(accumulate(flags))
    {
        return if owes_wake { wake(connection) } else { 0 };
    }
    post_otherwise(memseg, flags)
}

fn accumulate(flags: c_uint) -> Accumulate {
    if flags & NO_ACCUMULATE != 0 { Accumulate::No } else { Accumulate::Yes }
}

#[cold]
#[inline(never)]
extern "C" fn wake(connection: &Connection) -> c_int {
    connection.wake_exporter();
    0
}

#[cold]
#[inline(never)]
extern "C" fn post_otherwise(memseg: u64, flags: c_uint) -> c_int {
    entry(|| Side::find(memseg)?.post(accumulate(flags)))
}

/// Takes one signal. Reference 1.33; D-59, D-60, D-77.
#[unsafe(no_mangle)]
pub extern "C-unwind" fn rsm_intr_signal_wait(memseg: u64, milliseconds: c_int) -> c_int {
    match take_at_once(memseg) {
        Some(polled) if polled.is_after_take() => followed(polled),
        Some(_) => 0,
        None => wait_longer(memseg, milliseconds),
    }
}

/// Takes a signal that is pending, and says which descriptor, if any, has to follow. Each kind of handle has its own few
/// instructions: what is the same for both costs more than the taking.
#[inline(always)]
fn take_at_once(memseg: u64) -> Option<&'static Polled> {
    if let Ok(import) = table::find::<ImportObject>(memseg, Code::BadSegHndl) {
        let connection = &import.connection;
        return connection.membership().take(connection.bell()).then_some(&import.polled);
    }
    let export = table::find::<ExportObject>(memseg, Code::BadSegHndl).ok()?;
    let segment = &export.segment;
    segment.membership().take(segment.bell()).then_some(&export.polled)
}

/// The rest of a take where there is a descriptor.
#[cold]
#[inline(never)]
fn followed(polled: &Polled) -> c_int {
    entry(|| {
        polled.follow();
        Ok(())
    })
}

/// The rest of a wait. It holds nothing while it sleeps, where the thread may be cancelled: not even a frame here that
/// would have to be left in order.
#[cold]
#[inline(never)]
extern "C-unwind" fn wait_longer(memseg: u64, milliseconds: c_int) -> c_int {
    let mut waiting = Waiting::new(timeout(milliseconds));
    let mut errno = 0;
    loop {
        let mut nap = None;
        let done = entry(|| {
            nap = Side::find(memseg)?.wait_step(&mut waiting, errno)?;
            Ok(())
        });
        match nap {
            // SAFETY: a bell's word, which stays mapped, and see above.
            Some(nap) if done == 0 => errno = unsafe { nap.nap() },
            _ => return done,
        }
    }
}

/// Gives the handle's descriptor to poll. Reference 1.35; D-02, D-63.
///
/// # Safety
/// `fd` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_get_pollfd(memseg: u64, fd: *mut pollfd) -> c_int {
    entry(|| {
        let side = Side::find(memseg)?;
        if fd.is_null() {
            return fail(Code::BadAddr);
        }
        let number = side.polled().hold(memseg, side.membership(), side.bell())?;
        // SAFETY: writable by the caller's promise; `revents` is left alone.
        unsafe {
            (*fd).fd = number;
            (*fd).events = POLLRDNORM;
        }
        Ok(())
    })
}

/// Gives a hold on the descriptor back. Reference 1.36.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_memseg_release_pollfd(memseg: u64) -> c_int {
    entry(|| {
        Side::find(memseg)?.polled().release(memseg);
        Ok(())
    })
}

/// poll(2) over descriptors of handles and of anything else; takes one signal of each handle that was ready. Reference
/// 1.34; D-65.
///
/// # Safety
/// `fds` is NULL or has `count` entries; `ready` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn rsm_intr_signal_wait_pollfd(
    fds: *mut pollfd,
    count: nfds_t,
    milliseconds: c_int,
    ready: *mut c_int,
) -> c_int {
    // As in `wait_longer`: the thread may be cancelled in poll(2), where nothing is held.
    let mut polling = Polling { fds, count, ready, deadline: None, polled: None };
    loop {
        let mut left = None;
        let done = entry(|| {
            // SAFETY: the caller's promise.
            left = unsafe { polling.step(milliseconds) }?;
            Ok(())
        });
        match left {
            // SAFETY: the entries are the caller's promise.
            Some(left) if done == 0 => polling.polled = Some(unsafe { poll(fds, count, left) }),
            _ => return done,
        }
    }
}

unsafe extern "C-unwind" {
    // As the libc crate has it, but for saying that a thread can be unwound from here.
    fn poll(fds: *mut pollfd, count: nfds_t, milliseconds: c_int) -> c_int;
}

/// A poll under way. Nothing has to be done when it is given up.
#[derive(Clone, Copy)]
struct Polling {
    fds: *mut pollfd,
    count: nfds_t,
    ready: *mut c_int,
    deadline: Option<Instant>,
    /// What the kernel said last.
    polled: Option<c_int>,
}

impl Polling {
    /// Ends with `Ok(None)` or an error; otherwise the caller polls for so many milliseconds.
    ///
    /// # Safety
    /// As [`rsm_intr_signal_wait_pollfd`].
    unsafe fn step(&mut self, milliseconds: c_int) -> Result<Option<c_int>> {
        match self.polled {
            None => {
                // SAFETY: the caller's promise.
                unsafe { self.begin() }?;
                self.deadline = timeout(milliseconds).and_then(|t| Instant::now().checked_add(t));
            }
            Some(polled) if polled < 0 => {
                return fail(match std::io::Error::last_os_error().raw_os_error() {
                    Some(libc::EINTR) => Code::Interrupted,
                    Some(libc::EAGAIN | libc::ENOMEM) => Code::InsufficientResources,
                    Some(libc::EFAULT) => Code::BadAddr,
                    _ => Code::BadArgsErrors,
                });
            }
            Some(_) => {
                // SAFETY: the caller's promise.
                let found = unsafe { take_ready(self.fds, self.count) };
                if found > 0 {
                    if !self.ready.is_null() {
                        // SAFETY: writable by the caller's promise.
                        unsafe { self.ready.write(found) };
                    }
                    return Ok(None);
                }
                if self.deadline.is_some_and(|at| Instant::now() >= at) {
                    return Err(Error::new(Code::Timeout));
                }
            }
        }
        Ok(Some(match self.deadline {
            None => -1,
            // Rounded up: returning before the time is over would be a TIMEOUT too early.
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                c_int::try_from(left.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX)
            }
        }))
    }

    /// Checks the arguments.
    ///
    /// # Safety
    /// `ready` is NULL or writable.
    unsafe fn begin(&self) -> Result<()> {
        if !self.ready.is_null() {
            // SAFETY: writable by the caller's promise.
            unsafe { self.ready.write(0) };
        }
        // The kernel takes 32 bits of the count, and would look at a few of absurdly many.
        if u32::try_from(self.count).is_err() {
            return fail(Code::BadArgsErrors);
        }
        if self.fds.is_null() && self.count > 0 {
            return fail(Code::BadAddr);
        }
        Ok(())
    }
}

/// Takes a signal for each entry of a handle that is ready; says how many entries have something to tell.
unsafe fn take_ready(fds: *mut pollfd, count: nfds_t) -> c_int {
    let mut found = 0;
    for i in 0..count as usize {
        // SAFETY: inside the entries by the caller's promise.
        let entry = unsafe { &mut *fds.add(i) };
        let owner = registered(entry.fd);
        let side = owner.filter(|_| entry.revents != 0).and_then(|owner| Side::find(owner).ok());
        // A descriptor that a forked child inherited is its parent's: it says what it says.
        let Some(side) = side.filter(|side| side.polled().ready().is_some()) else {
            found += c_int::from(entry.revents != 0);
            continue;
        };
        side.membership().called_to_wait(side.bell(), Some(Duration::ZERO));
        entry.revents = match side.membership().take_or_tell(side.bell()) {
            Ok(true) => POLLRDNORM,
            // Another thread was faster.
            Ok(false) => 0,
            Err(_) if rsm_shm::strict::is_on() => 0,
            Err(_) => POLLHUP,
        };
        side.polled().follow();
        found += c_int::from(entry.revents != 0);
    }
    found
}

const _: () = assert!(POLLRDNORM == 0x40 && POLLIN == 1);
