//! What the race detector is told of words of the library's own.

use crate::job::Job;
use crate::job::peer::Peer;
use crate::region::HEAP;
use rsm_shm::membership::connection::Connection;

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
