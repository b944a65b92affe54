//! What takes long is done by a thread: an agent's loop must not wait for memory to be pinned.

use crate::event::{drain, raisable, raise};
use crate::function::PciFunction;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

/// Something that a bridge has been asked for and tells the end of. No two of a bridge are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Job(u64);

impl Job {
    /// Its number.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Jobs that have ended.
#[derive(Debug)]
pub(crate) struct Done {
    ended: Mutex<Vec<(Job, Result<()>)>>,
    event: OwnedFd,
}

impl Done {
    /// Readable while there are some.
    pub(crate) fn event(&self) -> &OwnedFd {
        &self.event
    }

    fn ended(&self) -> MutexGuard<'_, Vec<(Job, Result<()>)>> {
        // Nothing that is done with it can end half-way.
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, job: Job, outcome: Result<()>) {
        self.ended().push((job, outcome));
        raise(&self.event);
    }

    /// Takes all of them.
    pub(crate) fn take(&self) -> Vec<(Job, Result<()>)> {
        drain(&self.event);
        std::mem::take(&mut *self.ended())
    }
}

#[derive(Debug)]
enum Task {
    Map { address: u64, memory: OwnedFd, length: u64, permission: Permission },
    Unmap { address: u64, length: u64 },
}

/// The thread, and what it is asked.
#[derive(Debug)]
pub(crate) struct Worker {
    /// `None` from the end on.
    ask: Option<Sender<(Job, Task)>>,
    thread: Option<JoinHandle<()>>,
    next: u64,
    done: Arc<Done>,
}

impl Worker {
    /// Starts it; it does one job after another, in the order in which they were asked for.
    pub(crate) fn start(function: Arc<impl PciFunction + 'static>) -> Result<Worker> {
        let done = Arc::new(Done { ended: Mutex::default(), event: raisable()? });
        let (ask, asked) = mpsc::channel();
        let told = Arc::clone(&done);
        let work = move || {
            let mut mapped = BTreeSet::new();
            for (job, task) in asked {
                told.add(job, carry_out(&*function, task, &mut mapped));
            }
        };
        let thread = std::thread::Builder::new().name("rsm-ntb".to_owned()).spawn(work);
        let thread =
            thread.map_err(|e| Error::with(Code::InsufficientResources, format!("no thread for a bridge: {e}")))?;
        Ok(Worker { ask: Some(ask), thread: Some(thread), next: 0, done })
    }

    pub(crate) fn done(&self) -> &Arc<Done> {
        &self.done
    }

    /// Maps memory at an address of the function's.
    pub(crate) fn map(&mut self, address: u64, memory: impl AsFd, length: u64, permission: Permission) -> Result<Job> {
        let memory = memory.as_fd().try_clone_to_owned();
        let memory = memory.map_err(|e| {
            Error::with(Code::InsufficientResources, format!("no descriptor to attach memory to a bridge with: {e}"))
        })?;
        self.begin(Task::Map { address, memory, length, permission })
    }

    /// Unmaps what was mapped there; nothing, where that failed.
    pub(crate) fn unmap(&mut self, address: u64, length: u64) -> Result<Job> {
        self.begin(Task::Unmap { address, length })
    }

    fn begin(&mut self, task: Task) -> Result<Job> {
        let job = Job(self.next);
        let asked = self.ask.as_ref().is_some_and(|ask| ask.send((job, task)).is_ok());
        if !asked {
            return Err(Error::with(Code::InternalError, "the thread of a bridge has ended"));
        }
        self.next += 1;
        Ok(job)
    }
}

impl Drop for Worker {
    /// Waits for what it was asked: a function is not let go of while it is being worked at.
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry_out(function: &impl PciFunction, task: Task, mapped: &mut BTreeSet<u64>) -> Result<()> {
    match task {
        Task::Map { address, memory, length, permission } => {
            function.map_dma(address, memory.as_fd(), length, permission)?;
            mapped.insert(address);
            Ok(())
        }
        Task::Unmap { address, length } => {
            if mapped.contains(&address) {
                function.unmap_dma(address, length)?;
                mapped.remove(&address);
            }
            Ok(())
        }
    }
}
