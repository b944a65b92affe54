//! Waiting in steps: for threads that may be cancelled while they sleep.
//!
//! A thread that is cancelled leaves everything as it stood when it fell asleep. So the sleep is made in a frame that
//! holds nothing, the caller's; what counts and lists the sleeper is taken back by the next step, or by the end of the
//! thread if there is none.
#![allow(unsafe_code)]

use super::{Membership, deadline, gone};
use crate::futex::Nap;
use crate::parking::{Parking, Poster};
use rsm_core::bell::{Bell, Wake};
use rsm_core::sync::AtomicU64;
use rsm_core::{Code, Error, Result};
use std::cell::RefCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A wait under way. Nothing has to be done when it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    timeout: Option<Duration>,
    deadline: Option<Instant>,
    nap: Option<Nap>,
    spun: bool,
    counted: bool,
}

impl Waiting {
    /// A wait for at most `timeout`.
    pub fn new(timeout: Option<Duration>) -> Waiting {
        Waiting { timeout, deadline: deadline(timeout), nap: None, spun: false, counted: false }
    }
}

/// What stands in shared lists on behalf of a thread that sleeps.
#[derive(Debug)]
struct Counted {
    parking: Arc<Parking>,
    /// The bell it is counted at; none for a sleep that no bell ends.
    bell: Option<NonNull<Bell>>,
    /// Keeps the bell mapped.
    _membership: Arc<Membership>,
    over: bool,
}

/// How the beginning of a sleep ended.
enum Begun {
    /// Counted and listed; the word holds this.
    Asleep(u32),
    /// There is something to take, or to be told.
    Look,
    /// This thread is too near its end to remember anything.
    NoPlace,
}

impl Counted {
    fn word(&self) -> &AtomicU64 {
        // SAFETY: of the same membership as long as this is.
        self.bell.as_ref().map_or(&NOBODY_WAKES, |bell| unsafe { bell.as_ref() }.word())
    }

    /// Counts, lists and remembers the calling thread as a sleeper.
    fn begin(self) -> Begun {
        let here = self.parking.enter(self.word());
        // Full fence between counting and looking, as in `Bell::sleep`.
        // SAFETY: as in `word`.
        let (count, aborted, low) = self.bell.as_ref().map_or((0, false, 0), |bell| unsafe {
            bell.as_ref().enlist();
            bell.as_ref().look()
        });
        let mut counted = Some(self);
        // Kept where the end of the thread finds it. What is not kept is taken back here.
        if COUNTED.try_with(|place| place.replace(counted.take())).is_err() {
            return Begun::NoPlace;
        }
        if here && count == 0 && !aborted {
            return Begun::Asleep(low);
        }
        end_nap();
        Begun::Look
    }

    /// Takes back what `begin` did; `false` when the cluster is gone.
    fn end(&mut self) -> bool {
        self.over = true;
        if let Some(bell) = &self.bell {
            // SAFETY: as in `word`.
            unsafe { bell.as_ref() }.delist();
        }
        self.parking.leave(self.word())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if !self.over {
            self.end();
            // The thread may have been woken to take a signal that it did not take: somebody else has to.
            if let Some(bell) = &self.bell {
                // SAFETY: as in `word`.
                unsafe { bell.as_ref() }.nudge(&Poster);
            }
        }
    }
}

thread_local! {
    /// This thread's. Dropped at its end, a cancelled thread's too.
    static COUNTED: RefCell<Option<Counted>> = const { RefCell::new(None) };
}

/// Takes back what stands for a sleep of this thread that is over; `false` when the cluster is gone.
fn end_nap() -> bool {
    let counted = COUNTED.try_with(RefCell::take).ok().flatten();
    counted.is_none_or(|mut counted| counted.end())
}

/// Where a wait that is to be silent sleeps.
static NOBODY_WAKES: AtomicU64 = AtomicU64::new(0);

impl Membership {
    /// Goes on with a wait for a signal of `bell`, which ends with `Ok(None)` or an error. Otherwise the caller makes the
    /// nap, and gives its errno to the next call.
    ///
    /// # Errors
    /// Those of a wait: TIMEOUT, INTERRUPTED, CONN_ABORTED, CTLR_NOT_PRESENT.
    pub fn wait_step(self: &Arc<Self>, bell: &Bell, waiting: &mut Waiting, errno: i32) -> Result<Option<Nap>> {
        self.step(bell, waiting, errno).inspect_err(|error| self.note_wait_failed(bell, error.code()))
    }

    fn step(self: &Arc<Self>, bell: &Bell, waiting: &mut Waiting, errno: i32) -> Result<Option<Nap>> {
        if !waiting.counted {
            waiting.counted = true;
            self.called_to_wait(bell, waiting.timeout);
        }
        let (here, wake) = match waiting.nap.take() {
            Some(nap) => (end_nap(), nap.ended(errno)),
            None => {
                // What is found here was left by a cancelled wait: the thread is being unwound, and waits again.
                drop(COUNTED.try_with(RefCell::take));
                (true, Wake::Woken)
            }
        };
        loop {
            // A signal that came with the end of the sleep is not lost to it.
            let silent = match self.take_or_tell(bell) {
                Ok(true) => return Ok(None),
                Ok(false) => false,
                Err(error) if error.code() == Code::ConnAborted && crate::strict::is_on() => true,
                Err(error) => return Err(error),
            };
            if !here {
                return Err(gone(&self.shared.address));
            }
            match wake {
                Wake::TimedOut => return Err(Error::new(Code::Timeout)),
                Wake::Interrupted => return Err(Error::new(Code::Interrupted)),
                Wake::Woken | Wake::Gone => {}
            }
            if !silent && !waiting.spun && waiting.timeout != Some(Duration::ZERO) {
                waiting.spun = true;
                let processes = self.registry().header.processes();
                if self.shared.spinning.spin(processes, || bell.try_take())? {
                    self.tell_taken(bell);
                    return Ok(None);
                }
            }
            let parking = self.parking(waiting.deadline)?;
            if parking.is_gone() {
                return Err(gone(&self.shared.address));
            }
            let (word, there) = if silent { (&NOBODY_WAKES, None) } else { (bell.word(), Some(NonNull::from(bell))) };
            let counted = Counted { parking, bell: there, _membership: Arc::clone(self), over: false };
            let low = match counted.begin() {
                Begun::Asleep(low) => low,
                Begun::Look => continue,
                Begun::NoPlace => {
                    let left = waiting.deadline.map(|at| at.saturating_duration_since(Instant::now()));
                    return self.wait_on(bell, left).map(|()| None);
                }
            };
            let nap = Nap::low(word, low, waiting.deadline);
            if nap.is_none() {
                end_nap();
                return Err(Error::new(Code::Timeout));
            }
            waiting.nap = nap;
            return Ok(nap);
        }
    }
}
