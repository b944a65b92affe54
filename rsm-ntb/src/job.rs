//! What takes long is done by a thread: an agent's loop must not wait for memory to be pinned, nor for a function that does not
//! answer a command.

use crate::function::PciFunction;
use crate::raised::{drain, raisable, raise};
use crate::registers::{Command, close, command};
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
    Map(Piece),
    Unmap {
        address: u64,
        length: u64,
    },
    /// The other host reaches nothing any more.
    Close,
    /// The same, and other control pages are there than before.
    Renew(Vec<Piece>),
    /// The other host reaches what is at an address, and is told so.
    Offer {
        address: u64,
        bytes: u64,
    },
}

/// Memory that is to be mapped at an address of the function's.
#[derive(Debug)]
pub(crate) struct Piece {
    address: u64,
    memory: OwnedFd,
    length: u64,
    permission: Permission,
}

impl Piece {
    /// Holds the memory by a descriptor of its own.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES.
    pub(crate) fn new(address: u64, memory: impl AsFd, length: u64, permission: Permission) -> Result<Piece> {
        let memory = memory.as_fd().try_clone_to_owned();
        let memory = memory.map_err(|e| {
            Error::with(Code::InsufficientResources, format!("no descriptor to attach memory to a bridge with: {e}"))
        })?;
        Ok(Piece { address, memory, length, permission })
    }

    fn map(&self, function: &impl PciFunction) -> Result<()> {
        function.map_dma(self.address, self.memory.as_fd(), self.length, self.permission)
    }
}

/// What is mapped, as the thread knows it.
#[derive(Debug, Default)]
struct Mapped {
    pieces: BTreeSet<u64>,
    /// Addresses and lengths of control pages.
    control: Vec<(u64, u64)>,
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
            let mut mapped = Mapped::default();
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

    /// Maps memory.
    pub(crate) fn map(&mut self, piece: Piece) -> Result<Job> {
        self.begin(Task::Map(piece))
    }

    /// Unmaps what was mapped there; nothing, where that failed.
    pub(crate) fn unmap(&mut self, address: u64, length: u64) -> Result<Job> {
        self.begin(Task::Unmap { address, length })
    }

    /// Closes the function to the other host.
    pub(crate) fn close(&mut self) -> Result<Job> {
        self.begin(Task::Close)
    }

    /// The same, then unmaps the control pages that there were and maps others.
    pub(crate) fn renew(&mut self, control: Vec<Piece>) -> Result<Job> {
        self.begin(Task::Renew(control))
    }

    /// Lets the other host reach a range of the function's addresses, and tells it.
    pub(crate) fn offer(&mut self, address: u64, bytes: u64) -> Result<Job> {
        self.begin(Task::Offer { address, bytes })
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

    /// Waits for what it was asked, and takes nothing more.
    pub(crate) fn end(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Worker {
    /// A function is not let go of while it is being worked at.
    fn drop(&mut self) {
        self.end();
    }
}

fn carry_out(function: &impl PciFunction, task: Task, mapped: &mut Mapped) -> Result<()> {
    match task {
        Task::Map(piece) => {
            piece.map(function)?;
            mapped.pieces.insert(piece.address);
            Ok(())
        }
        Task::Unmap { address, length } => {
            if mapped.pieces.contains(&address) {
                function.unmap_dma(address, length)?;
                mapped.pieces.remove(&address);
            }
            Ok(())
        }
        Task::Close => close(function),
        Task::Renew(control) => {
            close(function)?;
            while let Some(&(address, length)) = mapped.control.last() {
                function.unmap_dma(address, length)?;
                mapped.control.pop();
            }
            for piece in control {
                piece.map(function)?;
                mapped.control.push((piece.address, piece.length));
            }
            Ok(())
        }
        Task::Offer { address, bytes } => {
            command(function, Command::ConfigureWindow { address, bytes })?;
            command(function, Command::LinkUp)
        }
    }
}
