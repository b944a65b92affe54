//! What happens to a bridge, as an agent's loop is told.

use crate::job::{Done, Job};
use crate::raised::{drain, no_room, raisable};
use crate::vector::{VECTORS, Vector};
use rsm_core::Result;
use rustix::event::epoll::{self, EventData, EventFlags};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// The other host rang; it may have more than once. Early, late and doubled ones are normal.
    Doorbell(Vector),
    /// The link may have changed: whoever is told ends what the link carried, then says so with
    /// [`link_answered`](crate::Epf::link_answered), and looks whether it is up.
    Link,
    /// The machine found an error of the function: stores may have been lost. Whoever is told ends what the link carried, then
    /// says so with [`error_answered`](crate::Epf::error_answered).
    Error,
    /// A job is done, or failed.
    Done(Job, Result<()>),
}

/// Numbers of what is waited for, behind those of the vectors.
const ERROR: u64 = VECTORS as u64;
const DONE: u64 = ERROR + 1;

/// One descriptor for all that may happen.
#[derive(Debug)]
pub(crate) struct Events {
    epoll: OwnedFd,
    vectors: Vec<OwnedFd>,
    error: OwnedFd,
    done: Arc<Done>,
    /// The link's vector, or an error, was told and not answered: its descriptor stays raised until it is.
    link_told: bool,
    error_told: bool,
    ready: VecDeque<Event>,
}

impl Events {
    pub(crate) fn new(done: Arc<Done>) -> Result<Events> {
        let vectors = (0..VECTORS).map(|_| raisable()).collect::<Result<Vec<_>>>()?;
        let (epoll, error) = (waiter()?, raisable()?);
        let waited = vectors.iter().zip(0..).chain([(&error, ERROR), (done.event(), DONE)]);
        for (descriptor, number) in waited {
            epoll::add(&epoll, descriptor, EventData::new_u64(number), EventFlags::IN).map_err(no_room)?;
        }
        Ok(Events { epoll, vectors, error, done, link_told: false, error_told: false, ready: VecDeque::new() })
    }

    /// What each vector raises, and what an error does.
    pub(crate) fn descriptors(&self) -> (Vec<BorrowedFd<'_>>, BorrowedFd<'_>) {
        (self.vectors.iter().map(|vector| vector.as_fd()).collect(), self.error.as_fd())
    }

    /// Readable while there is something to take.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    /// Takes the next event, if there is one; never waits.
    pub(crate) fn take(&mut self) -> Option<Event> {
        if self.ready.is_empty() {
            self.look();
        }
        self.ready.pop_front()
    }

    fn look(&mut self) {
        let mut raised = Vec::with_capacity(VECTORS + 2);
        let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // Interrupted, it is looked at again when the loop comes round: the descriptor stays readable.
        let _ = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut raised), Some(&at_once));
        for event in &raised {
            match event.data.u64() {
                0 if self.link_told => {}
                0 => {
                    self.link_told = true;
                    // Raised until it is answered, it would keep the loop from sleeping.
                    self.watch(0, EventFlags::empty());
                    self.ready.push_back(Event::Link);
                }
                ERROR if self.error_told => {}
                ERROR => {
                    self.error_told = true;
                    self.watch(ERROR, EventFlags::empty());
                    self.ready.push_back(Event::Error);
                }
                DONE => {
                    let done = self.done.take();
                    self.ready.extend(done.into_iter().map(|(job, outcome)| Event::Done(job, outcome)));
                }
                number => {
                    let Some(vector) = Vector::ALL.into_iter().find(|vector| *vector as u64 == number) else {
                        continue;
                    };
                    drain(&self.vectors[vector as usize]);
                    self.ready.push_back(Event::Doorbell(vector));
                }
            }
        }
    }

    /// What the last link event asked for is done.
    pub(crate) fn link_answered(&mut self) {
        self.link_told = false;
        drain(&self.vectors[0]);
        // What is raised from here on is seen, also before this: the kernel looks when it is told to.
        self.watch(0, EventFlags::IN);
    }

    /// What the last error asked for is done.
    pub(crate) fn error_answered(&mut self) {
        self.error_told = false;
        drain(&self.error);
        self.watch(ERROR, EventFlags::IN);
    }

    /// Looks at the link's vector, or at errors, or not any more.
    fn watch(&self, number: u64, flags: EventFlags) {
        let descriptor = if number == ERROR { &self.error } else { &self.vectors[0] };
        let watched = epoll::modify(&self.epoll, descriptor, EventData::new_u64(number), flags);
        debug_assert!(watched.is_ok(), "the descriptor is in the set");
    }

    /// A descriptor that is readable from when the link may have changed, or an error was found, until that is answered.
    pub(crate) fn sentinel(&self) -> Result<OwnedFd> {
        let sentinel = waiter()?;
        for (descriptor, number) in [(&self.vectors[0], 0), (&self.error, ERROR)] {
            epoll::add(&sentinel, descriptor, EventData::new_u64(number), EventFlags::IN).map_err(no_room)?;
        }
        Ok(sentinel)
    }
}

fn waiter() -> Result<OwnedFd> {
    epoll::create(epoll::CreateFlags::CLOEXEC).map_err(no_room)
}
