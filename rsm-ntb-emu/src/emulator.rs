//! Sockets and threads around a bridge.

use crate::bridge::{Bridge, Side};
use crate::control;
use crate::count::Stats;
use crate::options::Options;
use crate::serve::serve;
use crate::shared::Shared;
use crate::trace::Trace;
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

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
        let bridge = Bridge::new(&options, trace.transpose()?);
        let shared = Arc::new(Shared::new(bridge, options.latency_read)?);
        // From here on it is dropped, and cleans up, whatever fails.
        let mut emulator = Emulator { shared, threads: Vec::new(), sockets: Vec::new() };
        for (side, path) in Side::BOTH.into_iter().zip(paths) {
            let listener = emulator.listen(path)?;
            emulator.spawn(&format!("ntb-{side}"), move |shared| serve(shared, side, &listener))?;
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
        self.shared.end();
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
