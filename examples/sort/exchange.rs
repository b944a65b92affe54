//! The exchange: every line goes to the node it belongs to.
//!
//! A node's *partition* is the segment that takes its lines, from every node, its own included. Nodes first tell
//! each other how many bytes they have for each other; with that each knows how long its partition is, exports it,
//! and tells the others where in it their lines go. From then on they all put at once, nobody in anybody's way,
//! straight from their slices into the segments: no line is copied anywhere between.

use crate::Result;
use crate::slice::{Slice, line_length};
use crate::splitters::Splitters;
use rsm::BarrierMode;
use rsm_team::{Shared, Team};

/// The lines that belong to this node.
pub(crate) struct Partition<'team> {
    /// The segment they came in by, and leave by, and those of the others.
    pub(crate) shared: Shared<'team>,
    /// The lines, in no order. A copy: memory that others can write is not for sorting in.
    pub(crate) text: Vec<u8>,
    /// Bytes that this node has put into partitions.
    pub(crate) put: u64,
}

/// Sends the lines of `slice` where they belong, and receives what belongs here, together with all the others.
pub(crate) fn exchange<'team>(team: &'team Team, slice: Slice, splitters: &Splitters) -> Result<Partition<'team>> {
    let (runs, mut bytes) = route(&slice, splitters);
    bytes.resize(team.size(), 0);
    let coming = team.all_to_all(&each(&bytes))?;

    let (mut length, mut places) = (0_u64, Vec::new());
    for bytes in one_each(coming)? {
        places.push(length);
        length = length.checked_add(bytes).ok_or("the nodes have more bytes than there can be")?;
    }
    let memory = |_| format!("a segment of {length} bytes does not fit in memory");
    let length = usize::try_from(length).map_err(memory)?;
    let shared = team.share(length)?;
    let places = one_each(team.all_to_all(&each(&places))?)?;

    put(team, &shared, &slice.text, &runs, places)?;
    team.barrier()?;

    // Here everything has arrived. The memory of the slice has done its work and takes the partition.
    let mut text = slice.text;
    text.try_reserve_exact(length.saturating_sub(text.len()))
        .map_err(|_| format!("there is no memory for {length} bytes"))?;
    text.resize(length, 0);
    shared.memory().read(0, &mut text)?;
    if text.last().is_some_and(|&last| last != b'\n') {
        return Err("what the other nodes sent are not whole lines".into());
    }
    Ok(Partition { shared, text, put: bytes.iter().sum() })
}

/// One number for each node, as they are sent.
fn each(numbers: &[u64]) -> Vec<Vec<u64>> {
    numbers.iter().map(|&number| vec![number]).collect()
}

/// One number from each node, as they are received.
fn one_each(told: Vec<Vec<u64>>) -> Result<Vec<u64>> {
    let one = |numbers: Vec<u64>| match numbers[..] {
        [number] => Ok(number),
        _ => Err("another node told other numbers".into()),
    };
    told.into_iter().map(one).collect()
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

/// Puts every run into the partition of its node, from the place on that it has there.
fn put(team: &Team, shared: &Shared<'_>, text: &[u8], runs: &[Run], mut places: Vec<u64>) -> Result<()> {
    let gone = |rank: usize| move |error| team.explain(rank, error);
    let mut spans = Vec::new();
    for rank in 0..team.size() {
        let import = shared.at(rank)?;
        // Explicit mode: a put is a bare copy, and the barrier around all of them says whether they arrived.
        import.set_mode(BarrierMode::Explicit);
        spans.push(import.open_barrier().map_err(gone(rank))?);
    }
    let mut start = 0;
    for run in runs {
        let to = run.node() as usize - 1;
        let end = start + run.length();
        shared.at(to)?.put(places[to], &text[start..end]).map_err(gone(to))?;
        places[to] += run.length() as u64;
        start = end;
    }
    for (rank, span) in spans.into_iter().enumerate() {
        span.close().map_err(gone(rank))?;
    }
    Ok(())
}
