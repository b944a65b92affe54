//! What the race detector is told: of words of the library's own, and, in a program that was built to tell all that it does with memory
//! (`rsm-ctl cc`), of what the library does for it with the own PE's.

use crate::job::Job;
use crate::job::peer::Peer;
use crate::job::target::Spot;
use crate::place::Place;
use crate::region::HEAP;
use rsm_shm::membership::connection::Connection;
use rsm_shm::membership::race::layer::{Touch, touches};

impl Peer {
    /// It is about to be told, by a word of the library's, what stands for all that this PE has done.
    #[inline(always)]
    pub(crate) fn is_told(&self, job: &Job) {
        if job.is_lensed {
            self.races(Connection::race_tells);
        }
    }

    /// It has told this PE so.
    #[inline(always)]
    pub(crate) fn has_told(&self, job: &Job) {
        if job.is_lensed {
            self.races(Connection::race_is_told);
        }
    }

    /// A word there is changed, or looked at, by which PEs may tell each other anything: before and after.
    #[inline(always)]
    pub(crate) fn exchanges(&self, job: &Job) {
        if job.is_lensed {
            self.races(Connection::race_exchanges);
        }
    }

    /// What is told where races are looked for. Nothing of the own PE: what is done with its memory past librsm is hidden, and
    /// with each call it learns what others have put there.
    #[cold]
    #[inline(never)]
    fn races(&self, tell: impl Fn(&Connection)) {
        if let Some(connection) = self.sides[HEAP].connection {
            tell(connection);
        }
    }
}

impl Job {
    /// Memory of the own PE is touched: before it is written, after it was read.
    pub(crate) fn touches(&self, place: Place, bytes: usize, touch: Touch) {
        if self.tells {
            touches(place.pointer().addr(), bytes, touch);
        }
    }
}

impl Spot<'_> {
    /// The same, of a transfer, where that is the own PE's.
    pub(crate) fn touches(&self, job: &Job, bytes: usize, touch: Touch) {
        if self.connection().is_none() {
            job.touches(self.place, bytes, touch);
        }
    }

    /// A word is about to be changed by an atomic operation, or looked at by one, by which PEs may tell each other anything.
    pub(crate) fn is_updated(&self, job: &Job, bytes: usize, changes: bool) {
        self.target.peer.exchanges(job);
        match self.connection().filter(|_| job.tells && changes) {
            Some(connection) => connection.race_updates(self.in_segment(&job.regions), bytes as u64),
            None => self.touches(job, bytes, if changes { Touch::Update } else { Touch::Updated }),
        }
    }

    /// It was.
    pub(crate) fn was_updated(&self, job: &Job, bytes: usize) {
        self.target.peer.exchanges(job);
        self.touches(job, bytes, Touch::Updated);
    }
}
