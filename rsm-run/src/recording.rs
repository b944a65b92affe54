//! A trace that is written down while a run goes on.

use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

use rsm::Cluster;
use rsm_lab::trace::{EVERY, Recorder};
use rustix::process::Pid;

use crate::failure::{Failure, reason};
use crate::printable;
use crate::status::Status;

/// Where a run's trace is written; only where the cluster is a new one, whose lens traces.
#[derive(Debug, Clone)]
pub struct TraceFile {
    /// It is made anew.
    pub path: PathBuf,
    /// Whether the bytes of puts are written too.
    pub bytes: bool,
}

/// A trace being written. When that fails it ends there, and the run goes on.
pub(crate) struct Recording {
    recorder: Option<Recorder>,
    next: Instant,
    path: PathBuf,
}

impl Recording {
    pub(crate) fn begin(trace: &TraceFile, cluster: &Cluster) -> Result<Recording, Failure> {
        let path = trace.path.clone();
        let file = File::create(&path).and_then(|file| Recorder::begin(file, cluster, trace.bytes));
        let recorder =
            file.map_err(|error| Failure::system(&format!("cannot write {}", printable::path(&path)), error))?;
        Ok(Recording { recorder: Some(recorder), next: Instant::now() + EVERY, path })
    }

    /// When to go on.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.recorder.as_ref().map(|_| self.next)
    }

    /// Writes down what was noted, if it is time; what failed.
    pub(crate) fn go_on(&mut self, cluster: &Cluster) -> Option<String> {
        if Instant::now() < self.next {
            return None;
        }
        self.next = Instant::now() + EVERY;
        self.work(|recorder| recorder.go_on(cluster))
    }

    /// A process that was started has ended.
    pub(crate) fn ended(&mut self, node: u32, pid: Pid, status: Status) -> Option<String> {
        let (signal, code) = match status {
            Status::Exited(code) => (0, code),
            Status::Killed(signal) => (signal, 0),
        };
        let pid = pid.as_raw_pid().unsigned_abs();
        self.work(|recorder| recorder.ended(node, pid, signal.into(), code.into()))
    }

    /// The last look; what failed.
    pub(crate) fn end(&mut self, cluster: &Cluster) -> Option<String> {
        let ended = self.recorder.take().map_or(Ok(()), |recorder| recorder.end(cluster));
        ended.err().map(|error| self.failed(&error))
    }

    fn work(&mut self, write: impl FnOnce(&mut Recorder) -> std::io::Result<()>) -> Option<String> {
        let error = write(self.recorder.as_mut()?).err()?;
        self.recorder = None;
        Some(self.failed(&error))
    }

    fn failed(&self, error: &std::io::Error) -> String {
        format!("the trace ends here: cannot write {}: {}", printable::path(&self.path), reason(error))
    }
}
