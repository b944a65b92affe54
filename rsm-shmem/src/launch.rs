//! Joining: the PE exports its symmetric memory where it lies, and imports that of the others.

use crate::control::{self, Control};
use crate::job::peer::{Peer, Side};
use crate::local::Sym;
use crate::place::Place;
use crate::region::Region;
use crate::settings::Settings;
use crate::wait;
use crate::{arena, image};
use rsm_core::Code;
use rsm_core::access::{AccessList, Permission};
use rsm_core::registry::ControllerKind;
use rsm_shm::address::ENV_CLUSTER;
use rsm_shm::membership::connection::{BarrierMode, Connection};
use rsm_shm::membership::race::layer::is_whole;
use rsm_shm::membership::segment::Segment;
use rsm_shm::membership::{Membership, default};
use rsm_shm::memory::page_size;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::time::{Duration, Instant};

/// Ids of the segments: the heap with the library's own words before it, and the program's global variables.
const IDS: [u32; 2] = [0x5348_0001, 0x5348_0002];
/// For the others to come. They are started together, and a launcher whose program fails ends the rest.
const PATIENCE: Duration = Duration::from_secs(120);
/// For the agent to clear away what the program before has left.
const CLEARED: Duration = Duration::from_secs(5);
/// Between two looks at something that nobody tells of.
const A_MOMENT: Duration = Duration::from_millis(2);

/// What a PE has when it has joined.
pub(crate) struct Launched {
    pub(crate) me: usize,
    pub(crate) regions: [Region; 2],
    pub(crate) peers: Vec<Peer>,
    pub(crate) exports: Vec<Segment>,
    pub(crate) is_lensed: bool,
    pub(crate) closes_all: bool,
    pub(crate) tells: bool,
}

/// The memory of this PE.
struct Own {
    /// From the library's words on.
    segment: Place,
    segment_bytes: usize,
    data: Option<(Place, usize)>,
    /// Which program this is.
    program: u64,
}

/// Joins.
///
/// # Errors
/// In words, with what may be done.
pub(crate) fn launch(settings: &Settings) -> Result<Launched, String> {
    let heap = settings.heap.next_multiple_of(page_size());
    let segment_bytes = control::BYTES + heap;
    let segment = arena::reserve(control::BYTES, segment_bytes)
        .map_err(|error| format!("no {heap} bytes of addresses for the symmetric heap: {error}"))?;
    let variables = image::variables();
    let own = Own {
        segment,
        segment_bytes,
        data: variables.as_ref().map(|found| (found.place, found.bytes)),
        program: variables.as_ref().map_or(0, |found| found.program),
    };
    let control = Control::at(segment);
    control.begin();
    // Relaxed: before anybody else knows of them.
    control.heap_bytes.store(heap as u64, Relaxed);
    control.processors.store(settings.processors.unwrap_or_else(wait::processors) as u64, Relaxed);
    control.data_bytes.store(own.data.map_or(0, |(_, bytes)| bytes as u64), Relaxed);
    control.program.store(own.program, Relaxed);
    if std::env::var_os(ENV_CLUSTER).is_none() {
        let peers = vec![own.peer(0)];
        return Ok(Launched {
            me: 0,
            regions: own.regions(),
            peers,
            exports: Vec::new(),
            is_lensed: false,
            closes_all: false,
            tells: false,
        });
    }
    own.join(heap)
}

impl Own {
    /// This PE, as it reaches itself.
    fn peer(&self, pe: usize) -> Peer {
        let side = |base: *mut u8| Side { base, connection: None };
        let data = self.data.map_or(std::ptr::null_mut(), |(place, _)| place.pointer());
        let heap = self.segment.at(control::BYTES).pointer();
        Peer { pe, control: Control::at(self.segment), sides: [side(heap), side(data)], is_told_of: false }
    }

    fn regions(&self) -> [Region; 2] {
        let region = |place: Place, length, first| Region::new(Sym::of(place.pointer()).address(), length, first);
        let heap = region(self.segment.at(control::BYTES), self.segment_bytes - control::BYTES, control::BYTES);
        let data = self.data.map_or(Region::none(), |(place, bytes)| region(place, bytes, 0));
        [heap, data]
    }

    fn join(&self, heap: usize) -> Result<Launched, String> {
        let membership = default::membership().map_err(|error| format!("cannot join the cluster: {error}"))?;
        let node = membership.node().map_err(|error| error.to_string())?;
        let registry = membership.registry();
        let count = registry.header.node_count();
        let host = |node: u32| registry.nodes[node as usize].fields().host;
        if let Some(far) = (1..=count).find(|&other| host(other) != host(node)) {
            return Err(format!(
                "PE {} (node {far}) is on another host than PE {} (node {node}): barriers, locks, waits and shmem_*_atomic_* are \
                 atomic operations on the memory of other PEs, which a bridge between hosts does not carry. Start all {count} PEs \
                 on one host, without --here and --bridge",
                far - 1,
                node - 1
            ));
        }
        let lens = registry.header.lens().map_err(|error| error.to_string())?;
        let (is_lensed, closes_all) = (lens.is_some(), lens.is_some_and(|lens| !lens.only_watches() || lens.race));
        let tells = lens.is_some_and(|lens| lens.race) && is_whole();
        let controller = registry.controllers.iter().position(|row| row.kind() == Some(ControllerKind::Shared));
        let controller = controller.ok_or("the cluster has no controller that reaches other nodes")? as u32;
        // One segment may be as long as the machine has memory; all PEs are here.
        let (most, ..) = registry.controllers[controller as usize].limits();
        let all = (self.segment_bytes as u64).saturating_mul(count.into());
        if all > most {
            return Err(format!(
                "SHMEM_SYMMETRIC_SIZE: {count} PEs with {heap} bytes each need more memory than this machine has, {most} bytes"
            ));
        }
        let me = node as usize - 1;
        let ranges = [Some((self.segment, self.segment_bytes)), self.data];
        let mut exports = Vec::new();
        // The heap last: where that is found the variables are this program's, too.
        let ranges = ranges.iter().zip(IDS).rev();
        for ((place, bytes), id) in ranges.filter_map(|(range, id)| range.map(|range| (range, id))) {
            exports.push(export(&membership, controller, place, bytes, id)?);
        }
        let mut peers = Vec::new();
        for other in 1..=count {
            let pe = other as usize - 1;
            let own = || Peer { is_told_of: tells, ..self.peer(pe) };
            peers.push(if pe == me { own() } else { self.import(&membership, controller, (other, pe), heap)? });
        }
        // The membership, and what came through it, lasts as long as the process.
        std::mem::forget(membership);
        Ok(Launched { me, regions: self.regions(), peers, exports, is_lensed, closes_all, tells })
    }

    /// Another PE's memory.
    fn import(
        &self,
        membership: &Arc<Membership>,
        controller: u32,
        (node, pe): (u32, usize),
        heap: usize,
    ) -> Result<Peer, String> {
        let segment = find(membership, controller, (node, pe))?;
        let control = Control::at(Place::of_import(segment));
        // Relaxed: stored before it was published, and that is behind.
        let theirs = control.heap_bytes.load(Relaxed);
        if theirs != heap as u64 || segment.length() != self.segment_bytes as u64 {
            return Err(format!(
                "SHMEM_SYMMETRIC_SIZE is not the same everywhere: PE {pe} has {theirs} bytes, this one {heap}"
            ));
        }
        let base = Place::of_import(segment).at(control::BYTES).pointer();
        let heap = Side { base, connection: Some(segment) };
        // Another program has other variables, and no symmetric ones.
        let same = self.data.is_some_and(|(_, bytes)| bytes as u64 == control.data_bytes.load(Relaxed))
            && self.program == control.program.load(Relaxed);
        let data = if same { Some(connect(membership, controller, (node, pe), IDS[1])?) } else { None };
        let base = data.map_or(std::ptr::null_mut(), |data| Place::of_import(data).pointer());
        Ok(Peer { pe, control, sides: [heap, Side { base, connection: data }], is_told_of: false })
    }
}

/// Exports memory of this process where it lies.
fn export(
    membership: &Arc<Membership>,
    controller: u32,
    place: Place,
    bytes: usize,
    id: u32,
) -> Result<Segment, String> {
    let segment = place.adopt(membership, controller, bytes);
    let segment = segment.map_err(|error| format!("cannot share {bytes} bytes of this PE's memory: {error}"))?;
    let began = Instant::now();
    loop {
        match segment.publish(id, &AccessList::default_permissions()) {
            // By the program before, which the agent has yet to clear away.
            Err(error) if error.code() == Code::SegidInUse && began.elapsed() < CLEARED => std::thread::sleep(A_MOMENT),
            Err(error) => {
                return Err(format!(
                    "cannot publish this PE's memory (a PE is one process, and has a node of its own): {error}"
                ));
            }
            Ok(_) => return Ok(segment),
        }
    }
}

/// Connects to the heap of another PE; not to that of the program which ran before this one on its node, and is about to end.
fn find(membership: &Arc<Membership>, controller: u32, at: (u32, usize)) -> Result<&'static Connection, String> {
    let began = Instant::now();
    loop {
        let segment = connect(membership, controller, at, IDS[0])?;
        // Acquire: pairs with the Release in `setup::finalize`.
        if Control::at(Place::of_import(segment)).over.load(Acquire) == 0 && !segment.is_aborted() {
            return Ok(segment);
        }
        while !segment.is_aborted() {
            if began.elapsed() >= PATIENCE {
                return Err(format!("cannot reach PE {}: the program that ran on its node before has not ended", at.1));
            }
            std::thread::sleep(A_MOMENT);
        }
    }
}

/// Connects to a segment of another PE, for as long as the process runs.
fn connect(
    membership: &Arc<Membership>,
    controller: u32,
    (node, pe): (u32, usize),
    id: u32,
) -> Result<&'static Connection, String> {
    let connection = membership
        .connect_within(controller, node, id, Permission::ReadWrite, PATIENCE)
        .map_err(|error| format!("cannot reach PE {pe}: {error}"))?;
    connection.set_mode(BarrierMode::Explicit);
    connection.race_reaches();
    Ok(Box::leak(Box::new(connection)))
}
