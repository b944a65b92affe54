//! Writes one output on a thread of its own, so that only that thread ever waits for a reader.
//!
//! Two pieces of memory take turns: one is filled while the other is written. Both keep their size, so a long run of
//! output allocates nothing, and neither grows much above [`ROOM`].

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, write};

use crate::deadline::MOMENT;
use crate::descriptor;
use crate::sleep;

/// How much may wait to be written before streams are no longer read for it.
const ROOM: usize = 1 << 20;

/// The filling end.
pub(crate) struct Sink {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Told when there is something to write.
    filled: Condvar,
    /// An eventfd, told when there is room again, when everything is written, and when writing failed.
    moved: Arc<OwnedFd>,
}

#[derive(Default)]
struct Queue {
    /// What waits for its turn.
    text: Vec<u8>,
    /// Whether the other piece of memory is being written.
    writing: bool,
    written: u64,
    failure: Option<Errno>,
}

impl Sink {
    /// Starts the thread. Threads with the same `turn` never write at the same time.
    pub(crate) fn start(to: BorrowedFd<'static>, moved: Arc<OwnedFd>, turn: Arc<Mutex<()>>) -> io::Result<Sink> {
        let shared = Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new(), moved });
        let sink = Sink { shared: shared.clone() };
        // Not joined: it may wait for a reader for ever, and ends with the process.
        thread::Builder::new().name("output".into()).spawn(move || shared.write_for_ever(to, &turn))?;
        Ok(sink)
    }

    /// Has `add` append to what is written next. After a failure it is thrown away.
    pub(crate) fn fill(&self, add: impl FnOnce(&mut Vec<u8>)) {
        let mut queue = self.shared.queue();
        add(&mut queue.text);
        if queue.failure.is_some() {
            queue.text.clear();
        } else if !queue.text.is_empty() {
            self.shared.filled.notify_one();
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.shared.queue().text.len() < ROOM
    }

    pub(crate) fn is_idle(&self) -> bool {
        let queue = self.shared.queue();
        queue.text.is_empty() && !queue.writing
    }

    pub(crate) fn written(&self) -> u64 {
        self.shared.queue().written
    }

    pub(crate) fn failure(&self) -> Option<Errno> {
        self.shared.queue().failure
    }
}

impl Shared {
    fn write_for_ever(&self, to: BorrowedFd<'_>, turn: &Mutex<()>) {
        let mut text = Vec::new();
        loop {
            let mut queue = self.queue();
            while queue.text.is_empty() {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut text, &mut queue.text);
            queue.writing = true;
            drop(queue);
            // There is room in the other piece of memory now.
            self.tell();
            let failure = {
                let _mine = turn.lock().unwrap_or_else(PoisonError::into_inner);
                self.write_all(to, &text).err()
            };
            text.clear();
            let mut queue = self.queue();
            queue.writing = false;
            if failure.is_some() {
                queue.failure = failure;
                queue.text.clear();
            }
            drop(queue);
            self.tell();
        }
    }

    fn write_all(&self, to: BorrowedFd<'_>, mut text: &[u8]) -> Result<(), Errno> {
        while !text.is_empty() {
            match write(to, text) {
                Ok(0) => return Err(Errno::IO),
                Ok(length) => {
                    text = &text[length..];
                    self.queue().written += length as u64;
                }
                Err(Errno::INTR) => {}
                Err(Errno::NOMEM) => thread::sleep(MOMENT),
                // Whoever shares this output with us made it non-blocking.
                Err(Errno::AGAIN) => {
                    sleep::until_ready(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None)?;
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn tell(&self) {
        descriptor::ring(&*self.moved);
    }

    /// The lock is held for single steps that cannot panic half-way, so a poisoned one is as good as any.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
