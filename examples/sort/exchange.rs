//! The exchange: every line goes to the node it belongs to.
//!
//! A node's *partition* is the segment that takes its lines, from every node, its own included. Nodes first tell
//! each other how many bytes they have for each other; with that each knows how long its partition is, exports it,
//! and tells the others where in it their lines go. From then on they all put at once, nobody in anybody's way,
//! straight from their slices into the segments: no line is copied anywhere between.

use crate::Result;
use crate::board::{Board, Word, gone, segment_length};
use crate::slice::{Slice, line_length};
use crate::splitters::Splitters;
use rsm::{AccessList, BarrierMode, Export, Import, Permission, SegmentId};

/// The partition of a node.
const PARTITION: SegmentId = SegmentId::new(0x40_0002);

/// The lines that belong to this node.
pub(crate) struct Partition {
    /// The segment they came in by, and leave by.
    pub(crate) segment: Export,
    /// The lines, in no order. A copy: memory that others can write is not for sorting in.
    pub(crate) text: Vec<u8>,
    /// The partitions of all nodes, node K's at K-1, on node 1; nothing on the others, whose business with them is
    /// done.
    pub(crate) all: Vec<Import>,
}

/// Sends the lines of `slice` where they belong, and receives what belongs here, together with all the others.
pub(crate) fn exchange(board: &Board, slice: Slice, splitters: &Splitters) -> Result<Partition> {
    let (runs, bytes) = route(&slice, splitters);
    for node in board.nodes() {
        board.tell(node, Word::Coming, bytes.get(node as usize - 1).copied().unwrap_or(0))?;
    }
    board.meet()?;

    let mut length = 0_u64;
    for node in board.nodes() {
        board.tell(node, Word::Place, length)?;
        length = length
            .checked_add(board.told_by(node, Word::Coming)?)
            .ok_or("the nodes have more bytes than there can be")?;
    }
    let segment = board.controller().export(segment_length(length)?)?;
    segment.publish(PARTITION, &AccessList::everyone())?;
    board.meet()?;

    let mut all = connect(board)?;
    put(board, &slice.text, &runs, &all)?;
    board.meet()?;

    // Here everything has arrived. The memory of the slice has done its work and takes the partition.
    let mut text = slice.text;
    let length = length as usize;
    text.try_reserve_exact(length.saturating_sub(text.len()))
        .map_err(|_| format!("there is no memory for {length} bytes"))?;
    text.resize(length, 0);
    segment.memory().read(0, &mut text)?;
    if text.last().is_some_and(|&last| last != b'\n') {
        return Err("what the other nodes sent are not whole lines".into());
    }
    board.tell(1, Word::Put, bytes.iter().sum())?;
    board.tell(1, Word::Received, length as u64)?;
    if board.node() != 1 {
        all.clear();
    }
    Ok(Partition { segment, text, all })
}

/// Bytes of the slice that follow each other and go to the same node. One word, as there may be one for every line.
struct Run(u64);

impl Run {
    const LENGTH: u32 = 56;

    fn new(node: u32, length: usize) -> Run {
        Run((u64::from(node) << Run::LENGTH) | length as u64)
    }

    fn node(&self) -> u32 {
        (self.0 >> Run::LENGTH) as u32
    }

    fn length(&self) -> usize {
        (self.0 & ((1 << Run::LENGTH) - 1)) as usize
    }
}

/// Cuts the slice into runs, and counts the bytes for each node.
fn route(slice: &Slice, splitters: &Splitters) -> (Vec<Run>, Vec<u64>) {
    let mut runs: Vec<Run> = Vec::new();
    let mut bytes = vec![0; splitters.nodes()];
    let mut start = 0;
    while start < slice.text.len() {
        let length = line_length(&slice.text[start..]);
        let line = &slice.text[start..start + length - 1];
        let node = splitters.node_of(line, slice.position + start as u64);
        match runs.last_mut() {
            Some(run) if run.node() == node => *run = Run::new(node, run.length() + length),
            _ => runs.push(Run::new(node, length)),
        }
        bytes[node as usize - 1] += length as u64;
        start += length;
    }
    (runs, bytes)
}

/// Connects to the partition of every node.
fn connect(board: &Board) -> Result<Vec<Import>> {
    // Node 1 reads from them later on, and only needs to connect once.
    let permission = if board.node() == 1 { Permission::ReadWrite } else { Permission::Write };
    let mut all = Vec::new();
    for node in board.nodes() {
        // All are published: the nodes have met since.
        let import = board.controller().connect(node, PARTITION, permission).map_err(|error| gone(node, error))?;
        // Explicit mode: a put is a bare copy, and the barrier around all of them says whether they arrived.
        import.set_mode(BarrierMode::Explicit);
        all.push(import);
    }
    Ok(all)
}

/// Puts every run into the partition of its node.
fn put(board: &Board, text: &[u8], runs: &[Run], all: &[Import]) -> Result<()> {
    let mut spans = Vec::new();
    let mut places = Vec::new();
    for (node, import) in board.nodes().zip(all) {
        spans.push(import.open_barrier().map_err(|error| gone(node, error))?);
        places.push(board.told_by(node, Word::Place)?);
    }
    let mut start = 0;
    for run in runs {
        let to = run.node() as usize - 1;
        let end = start + run.length();
        all[to].put(places[to], &text[start..end]).map_err(|error| gone(run.node(), error))?;
        places[to] += run.length() as u64;
        start = end;
    }
    for (node, span) in board.nodes().zip(spans) {
        span.close().map_err(|error| gone(node, error))?;
    }
    Ok(())
}
