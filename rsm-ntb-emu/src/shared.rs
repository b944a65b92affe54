//! What the threads of an emulator share: the bridge, and that it ends.

use crate::bridge::Bridge;
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::io::Errno;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    bridge: Mutex<Bridge>,
    pub(crate) latency_read: Duration,
    ending: Mutex<Ending>,
    /// Woken when there is something to deliver, and at the end; waited for with `ending`.
    courier: Condvar,
    /// Readable from the end on.
    ended: OwnedFd,
}

/// How far the end has come.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// It has been told.
    pub(crate) ending: bool,
    /// The client of each side, to be cut off.
    pub(crate) clients: [Option<UnixStream>; 2],
    /// Stores wait for the courier that it has not seen.
    work: bool,
}

impl Shared {
    /// # Errors
    /// No descriptor.
    pub(crate) fn new(bridge: Bridge, latency_read: Duration) -> io::Result<Shared> {
        Ok(Shared {
            bridge: Mutex::new(bridge),
            latency_read,
            ending: Mutex::default(),
            courier: Condvar::new(),
            ended: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Tells all threads that it is the end, and cuts the clients off.
    pub(crate) fn end(&self) {
        {
            let mut ending = self.ending();
            ending.ending = true;
            for client in ending.clients.iter().flatten() {
                let _ = client.shutdown(Shutdown::Both);
            }
        }
        self.courier.notify_all();
        let _ = rustix::io::write(&self.ended, &1u64.to_ne_bytes());
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Bridge> {
        // Nothing that is done with it can end half-way.
        self.bridge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ending(&self) -> MutexGuard<'_, Ending> {
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake_courier(&self) {
        self.ending().work = true;
        self.courier.notify_all();
    }

    /// Waits for a client of a socket; `None` at the end.
    pub(crate) fn accept(&self, listener: &UnixListener) -> Option<UnixStream> {
        loop {
            let mut both = [PollFd::new(listener, PollFlags::IN), PollFd::new(&self.ended, PollFlags::IN)];
            match rustix::event::poll(&mut both, None) {
                Ok(_) if both[1].revents().is_empty() => {}
                Err(Errno::INTR) => continue,
                _ => return None,
            }
            match listener.accept() {
                Ok((stream, _)) => return Some(stream),
                // Out of descriptors, or a client that went at once.
                Err(_) if self.pause(Duration::from_millis(10)) => return None,
                Err(_) => {}
            }
        }
    }

    /// Waits for some time; true when it is the end.
    pub(crate) fn pause(&self, time: Duration) -> bool {
        let until = Instant::now() + time;
        let mut ending = self.ending();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if ending.ending || left.is_zero() {
                return ending.ending;
            }
            ending = self.courier.wait_timeout(ending, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Delivers stores when they are due, until the end.
    pub(crate) fn carry(&self) {
        loop {
            let next = self.lock().deliver_due(Instant::now());
            let mut ending = self.ending();
            while !ending.ending && !ending.work {
                ending = match next.map(|next| next.saturating_duration_since(Instant::now())) {
                    Some(left) if left.is_zero() => break,
                    Some(left) => self.courier.wait_timeout(ending, left).unwrap_or_else(PoisonError::into_inner).0,
                    None => self.courier.wait(ending).unwrap_or_else(PoisonError::into_inner),
                };
            }
            if ending.ending {
                return;
            }
            ending.work = false;
        }
    }

    /// Takes the cable out, and in again after some time; false when the end came first.
    pub(crate) fn flap(&self, time: Duration) -> bool {
        self.lock().set_cable(false);
        let ended = self.pause(time);
        self.lock().set_cable(true);
        !ended
    }
}
