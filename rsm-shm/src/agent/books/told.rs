//! What the agent tells whoever started it: whom it killed, and how long the passes of its loop are.

use crate::memory::tables::RecordMap;
use rsm_core::lens::gate::Called;
use rsm_core::lens::record::RecordRow;
use rsm_core::lens::ring::{Cursor, Read};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Most kills that are remembered.
const MOST_KILLS: usize = 4096;

/// Processes that steering killed, each with its node: told by the agent to whoever started it.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Kills(Arc<Mutex<Vec<(u32, u32)>>>);

impl Kills {
    /// Before the signal is sent, so that whoever reaps the process finds it here.
    pub(in crate::agent) fn add(&self, node: u32, pid: u32) {
        let mut kills = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kills.len() < MOST_KILLS {
            kills.push((node, pid));
        }
    }

    /// It could not be sent.
    pub(in crate::agent) fn take_back(&self, node: u32, pid: u32) {
        let mut kills = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kills.iter().rposition(|&kill| kill == (node, pid)) {
            kills.remove(at);
        }
    }

    /// Node and process id of each, in that order.
    pub(in crate::agent) fn list(&self) -> Vec<(u32, u32)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Whether each of two hosts knows what the other has; why not, where that is so.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Bridged(Arc<(Mutex<Option<String>>, Condvar)>);

impl Bridged {
    pub(in crate::agent) fn tell(&self, trouble: Option<String>) {
        let (told, changed) = &*self.0;
        *told.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
        changed.notify_all();
    }

    /// Waits until it is so, for at most `patience`; otherwise gives why it is not.
    pub(in crate::agent) fn wait(&self, patience: Duration) -> Option<String> {
        let (told, changed) = &*self.0;
        let until = Instant::now().checked_add(patience);
        let mut trouble = told.lock().unwrap_or_else(PoisonError::into_inner);
        while trouble.is_some() {
            let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            (trouble, _) = changed.wait_timeout(trouble, left).unwrap_or_else(PoisonError::into_inner);
        }
        trouble.clone()
    }
}

/// Most records that are kept; of more processes, the oldest go.
const MOST_RECORDS: usize = 256;

/// What processes say of what they have seen through the cluster's lens, also those that have ended.
#[derive(Clone, Debug, Default)]
pub(in crate::agent) struct Records(Arc<Mutex<VecDeque<Record>>>);

#[derive(Debug)]
struct Record {
    membership: u64,
    node: u32,
    pid: u32,
    map: RecordMap,
    /// How far its ring was read.
    cursor: Cursor,
    /// The process writes no more.
    ended: bool,
    /// That was told, and there is nothing more to read.
    done: bool,
}

/// What a process noted of its calls since it was last asked for.
#[derive(Clone, Debug)]
pub struct Noted {
    /// Number of its membership: no two processes of a cluster have the same.
    pub membership: u64,
    /// The node that it is of.
    pub node: u32,
    /// Its process id.
    pub pid: u32,
    /// What it noted.
    pub read: Read,
    /// It has left the cluster, or is dead: this is all.
    pub ended: bool,
}

impl Records {
    fn all(&self) -> MutexGuard<'_, VecDeque<Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process of a node has joined.
    pub(in crate::agent) fn add(&self, membership: u64, (node, pid): (u32, u32), map: RecordMap) {
        let mut records = self.all();
        if records.len() == MOST_RECORDS {
            // One that was read to its end, if there is any.
            let done = records.iter().position(|record| record.done).unwrap_or(0);
            records.remove(done);
        }
        records.push_back(Record { membership, node, pid, map, cursor: Cursor::default(), ended: false, done: false });
    }

    /// It has left, or is dead.
    pub(in crate::agent) fn ended(&self, membership: u64) {
        if let Some(record) = self.all().iter_mut().find(|record| record.membership == membership) {
            record.ended = true;
        }
    }

    /// What processes noted since this was last asked, where they do. The memory of those that have ended is given back.
    pub(in crate::agent) fn noted(&self) -> Vec<Noted> {
        let read = |record: &mut Record| {
            let Record { membership, node, pid, ended, .. } = *record;
            if record.done {
                return None;
            }
            let read = record.map.ring()?.read(&mut record.cursor, ended);
            if ended {
                record.done = true;
                record.map.free_ring();
            }
            Some(Noted { membership, node, pid, read, ended })
        };
        self.all().iter_mut().filter_map(read).collect()
    }

    /// Node, process id and calls of each, where they are noted.
    pub(in crate::agent) fn calls(&self) -> Vec<(u32, u32, Called)> {
        let of = |record: &Record| Some((record.node, record.pid, record.map.calls()?.read()));
        self.all().iter().filter_map(of).collect()
    }

    /// Node and process id of those that were killed at the gate.
    pub(in crate::agent) fn died_at_gate(&self) -> Vec<(u32, u32)> {
        let died = |record: &&Record| record.map.calls().is_some_and(|calls| calls.died_before().is_some());
        self.all().iter().filter(died).map(|record| (record.node, record.pid)).collect()
    }

    /// Node and process id of each, in the order in which they joined, and what its record says by this.
    pub(in crate::agent) fn list<T>(&self, what: impl Fn(&RecordRow) -> T) -> Vec<(u32, u32, T)> {
        self.all().iter().map(|record| (record.node, record.pid, what(record.map.row()))).collect()
    }
}

/// The longest pass of the agent's loop, in nanoseconds of its processor time: how long somebody who asks may have to
/// wait for others. Nobody measures until somebody has asked.
#[derive(Clone, Debug)]
pub(in crate::agent) struct LongestPass(Arc<AtomicU64>);

/// Nobody has asked.
const UNASKED: u64 = u64::MAX;

/// When a pass began.
pub(in crate::agent) struct Pass(Option<Duration>);

fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

impl LongestPass {
    pub(in crate::agent) fn new() -> LongestPass {
        LongestPass(Arc::new(AtomicU64::new(UNASKED)))
    }

    // Relaxed, here and below: a number to look at.
    pub(in crate::agent) fn begin(&self) -> Pass {
        Pass((self.0.load(Relaxed) != UNASKED).then(processor_time))
    }

    pub(in crate::agent) fn end(&self, pass: Pass) {
        if let Pass(Some(began)) = pass {
            let took = processor_time().saturating_sub(began).as_nanos();
            self.0.fetch_max(u64::try_from(took).unwrap_or(0), Relaxed);
        }
    }

    /// The longest since this was last asked; zero at first.
    pub(in crate::agent) fn take(&self) -> Duration {
        match self.0.swap(0, Relaxed) {
            UNASKED => Duration::ZERO,
            longest => Duration::from_nanos(longest),
        }
    }
}
