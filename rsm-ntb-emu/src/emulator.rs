//! Sockets and threads around a bridge.

use crate::bridge::{Bridge, Side};
use crate::control;
use crate::count::Stats;
use crate::options::Options;
use crate::serve::serve;
use crate::trace::Trace;
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::io::Errno;
use std::io;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
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

#[derive(Debug, Default)]
struct Ending {
    ending: bool,
    /// The client of each side, to be cut off.
    clients: [Option<UnixStream>; 2],
    /// Stores wait for the courier that it has not seen.
    work: bool,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Bridge> {
        // Nothing that is done with it can end half-way.
        self.bridge.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> MutexGuard<'_, Ending> {
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

    /// Serves one client after another, until the end.
    fn serve_side(&self, side: Side, listener: &UnixListener) {
        while let Some(stream) = self.accept(listener) {
            {
                let mut ending = self.ending();
                if ending.ending {
                    return;
                }
                // Without it the client could not be cut off.
                let Ok(client) = stream.try_clone() else { continue };
                ending.clients[side as usize] = Some(client);
            }
            self.lock().open(side);
            // Why it ended is the client's to know.
            let _ = serve(&stream, side, self);
            self.ending().clients[side as usize] = None;
            let gone = self.lock().close(side);
            drop(gone);
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Delivers stores when they are due, until the end.
    fn carry(&self) {
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

/// A running bridge. It ends when this is dropped: its clients are cut off, its sockets removed.
#[derive(Debug)]
pub struct Emulator {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    sockets: Vec<PathBuf>,
}

impl Emulator {
    /// Starts a bridge with a socket for each host. Either may have one client at a time; when it goes, the next.
    ///
    /// # Errors
    /// Options that cannot be, and a path where no socket can be made, each in a sentence; no descriptors or threads.
    pub fn start(paths: [&Path; 2], options: Options) -> io::Result<Emulator> {
        options.check().map_err(|text| io::Error::new(io::ErrorKind::InvalidInput, text))?;
        let trace =
            options.trace.as_deref().map(|path| Trace::begin(path).map_err(|e| about(path, "cannot write", &e)));
        let shared = Arc::new(Shared {
            bridge: Mutex::new(Bridge::new(&options, trace.transpose()?)),
            latency_read: options.latency_read,
            ending: Mutex::default(),
            courier: Condvar::new(),
            ended: rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        // From here on it is dropped, and cleans up, whatever fails.
        let mut emulator = Emulator { shared, threads: Vec::new(), sockets: Vec::new() };
        for (side, path) in Side::BOTH.into_iter().zip(paths) {
            let listener = emulator.listen(path)?;
            emulator.spawn(&format!("ntb-{side}"), move |shared| shared.serve_side(side, &listener))?;
        }
        if let Some(path) = &options.control {
            let listener = emulator.listen(path)?;
            emulator.spawn("ntb-control", move |shared| control::serve(shared, &listener))?;
        }
        emulator.spawn("ntb-courier", Shared::carry)?;
        Ok(emulator)
    }

    fn listen(&mut self, path: &Path) -> io::Result<UnixListener> {
        let listener = match UnixListener::bind(path) {
            // One that nobody listens at is left over from somebody who was killed.
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => match UnixStream::connect(path) {
                Err(stale) if stale.kind() == io::ErrorKind::ConnectionRefused && is_socket(path) => {
                    std::fs::remove_file(path).and_then(|()| UnixListener::bind(path))
                }
                Ok(_) => return Err(about(path, "cannot listen at", &"another process does")),
                Err(_) => Err(e),
            },
            bound => bound,
        };
        let listener = listener.map_err(|e| about(path, "cannot listen at", &e))?;
        self.sockets.push(path.to_owned());
        // Who connects and goes at once does not keep anybody waiting.
        listener.set_nonblocking(true)?;
        Ok(listener)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce(&Shared) + Send + 'static) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || body(&shared))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Whether the link is up.
    pub fn link_is_up(&self) -> bool {
        self.shared.lock().link()
    }

    /// Pulls the cable, or puts it in. When this returns, both sides have been told if that changed the link.
    pub fn set_cable(&self, cable: bool) {
        self.shared.lock().set_cable(cable);
    }

    /// Pulls the cable and puts it in again after some time, for which it blocks.
    pub fn flap(&self, time: Duration) {
        self.shared.flap(time);
    }

    /// Tells both sides of an error of the device, as a machine does that found one on the link. Returns how many have an
    /// interrupt for it. QEMU stops a machine that is told so.
    pub fn raise_error(&self) -> usize {
        self.shared.lock().raise_error()
    }

    /// What went over the bridge since the start.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats()
    }

    /// Why the trace was ended early, if it was.
    pub fn trace_failure(&self) -> Option<String> {
        self.shared.lock().trace.as_ref().and_then(|trace| trace.failure.clone())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        {
            let mut ending = self.shared.ending();
            ending.ending = true;
            for client in ending.clients.iter().flatten() {
                let _ = client.shutdown(Shutdown::Both);
            }
        }
        self.shared.courier.notify_all();
        let _ = rustix::io::write(&self.shared.ended, &1u64.to_ne_bytes());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        for path in &self.sockets {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

fn about(path: &Path, what: &str, why: &dyn std::fmt::Display) -> io::Error {
    io::Error::other(format!("{what} {}: {why}", path.display()))
}
