//! Calls of a running cluster's processes, noted for an observer.

use super::Observer;
use crate::Result;
use crate::lens::{Noted, Trace};
use rsm_core::registry::walk_connections;
use rsm_shm::membership::rings::ReadRing;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Reads what processes note of their calls, in a cluster that began without a trace: all of them note while this is there,
/// those that come later too. One at a time in a cluster.
///
/// ```
/// # fn main() -> rsm::Result<()> {
/// # let cluster = rsm::Cluster::new(2)?;
/// # let name = cluster.name();
/// use rsm::observe::{Observer, Tracer};
///
/// let mut tracer = Tracer::begin(Observer::attach(Some(name))?)?;
/// for noted in tracer.noted()? {
///     println!("process {} of node {}: {} records", noted.pid, noted.node, noted.read.slots.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Tracer {
    observer: Observer,
    /// By membership.
    rings: BTreeMap<u64, ReadRing>,
    /// Number of the newest ring.
    last: u64,
    trace: Trace,
    /// The count of the processor's clock when calls began to be noted, and the time.
    began: (u64, Instant),
}

/// A segment that was there before calls were noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The exporting node.
    pub node: u32,
    /// Its row in the registry.
    pub row: u32,
    /// A number that no two segments have.
    pub incarnation: u64,
    /// Length in bytes.
    pub length: u64,
    /// Its id; 0 while it is not published.
    pub id: u32,
    /// Number of its bell, among those of the node.
    pub bell: u32,
    /// Those of its importers.
    pub importers: Vec<u32>,
}

impl Tracer {
    /// Has processes note their calls, until the tracer is dropped.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when another observer traces; BAD_CONF in a cluster whose [lens](crate::lens::Lens::trace) traces;
    /// TIMEOUT when the agent does not answer for 2 s; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn begin(observer: Observer) -> Result<Tracer> {
        Tracer::begin_with(observer, Trace::default())
    }

    /// Has processes note what this trace has, until the tracer is dropped: with [bytes](Trace::bytes) those of puts, and what
    /// each process finds in its own published segments of at most 1 MiB (4 MiB together) when it begins, at its calls, and about
    /// every 50 ms. Processes write them into rings of the agent's; nobody is given the memory of a segment.
    ///
    /// # Errors
    /// Those of [`begin`](Self::begin); with bytes PERM_DENIED for everybody but the user of the cluster and root.
    pub fn begin_with(observer: Observer, trace: Trace) -> Result<Tracer> {
        let began = (rsm_shm::ticks::now(), Instant::now());
        let mut tracer = Tracer { observer, rings: BTreeMap::new(), last: 0, trace, began };
        tracer.collect()?;
        Ok(tracer)
    }

    /// What processes note.
    pub fn trace(&self) -> Trace {
        self.trace
    }

    /// The observer.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }

    /// The count of the processor's clock from before anything was noted, and the same time as others count it.
    pub fn began(&self) -> (u64, Instant) {
        self.began
    }

    /// Takes in the rings that have been made since.
    fn collect(&mut self) -> Result<()> {
        while let Some(ring) = self.observer.membership.next_ring(self.last, self.trace)? {
            self.last = ring.of().number;
            self.rings.insert(ring.of().membership, ring);
        }
        Ok(())
    }

    /// What processes noted since this was last asked, or since the beginning. Who does not ask for long misses the oldest.
    ///
    /// # Errors
    /// TIMEOUT and CTLR_NOT_PRESENT as above: [`last`](Self::last) gives what there is all the same.
    pub fn noted(&mut self) -> Result<Vec<Noted>> {
        self.collect()?;
        // Those that are not there any more wrote their last before this.
        let there: BTreeSet<u64> = self.observer.membership.processes()?.iter().map(|p| p.membership).collect();
        let noted = read(&mut self.rings, |membership| !there.contains(&membership));
        self.rings.retain(|membership, _| there.contains(membership));
        Ok(noted)
    }

    /// The same for the last time, without asking the agent; `ended`: the cluster has ended, and its processes write no more.
    pub fn last(&mut self, ended: bool) -> Vec<Noted> {
        read(&mut self.rings, |_| ended)
    }

    /// Node and process id of processes that have nowhere to note calls, for want of memory or descriptors, or have just come.
    ///
    /// # Errors
    /// As [`noted`](Self::noted).
    pub fn unheard(&self) -> Result<Vec<(u32, u32)>> {
        let processes = self.observer.membership.processes()?;
        let unheard = processes.iter().filter(|process| !self.rings.contains_key(&process.membership));
        Ok(unheard.map(|process| (process.node, process.pid)).collect())
    }

    /// The segments that are there: calls that are noted later name some of them by their rows and bells.
    pub fn standing(&self) -> Vec<Standing> {
        let registry = self.observer.membership.registry();
        let mut all = Vec::new();
        for row in 0..registry.header.segment_high().min(registry.segments.len() as u32) {
            let Some(fields) = registry.segments[row as usize].fields().filter(|fields| !fields.is_free()) else {
                continue;
            };
            let (mut importers, mut below) = (Vec::new(), u64::MAX);
            // One that changes all the time is told as far as it was seen.
            let _ = walk_connections(&registry, row, fields.incarnation, &mut below, |c| importers.push(c.bell));
            importers.sort_unstable();
            importers.dedup();
            let (node, incarnation, length) = (fields.node, fields.incarnation, fields.length);
            all.push(Standing { node, row, incarnation, length, id: fields.id, bell: fields.bell, importers });
        }
        all
    }
}

fn read(rings: &mut BTreeMap<u64, ReadRing>, ended: impl Fn(u64) -> bool) -> Vec<Noted> {
    let read = |(&membership, ring): (&u64, &mut ReadRing)| {
        let ended = ended(membership);
        let read = ring.read(ended);
        let of = ring.of();
        Noted { membership, node: of.node, pid: of.pid, read, ended }
    };
    rings.iter_mut().map(read).collect()
}
