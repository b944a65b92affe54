//! Which lines go to which node.
//!
//! Each node takes samples of its slice, evenly by bytes, and gives them to node 1. Node 1 sorts them all, picks the
//! N-1 that cut their bytes into N equal parts, the *splitters*, and gives them to all.
//!
//! Lines alone cannot be cut evenly when many are equal. So what is ordered here are lines with their position in
//! the file, of which no two are equal: a splitter also cuts through a file of one line, a million times repeated.
//! Equal lines are the same bytes, so the output does not tell which of them went where.
//!
//! A sample is cut off after [`KEY`] bytes. Any bytes do for a splitter, as all nodes use the same; only lines that
//! differ after the first [`KEY`] bytes alone may be divided unevenly.

use crate::Result;
use crate::lines;
use crate::slice::{Slice, line_length};
use rsm_team::Team;
use std::cmp::Ordering;

/// Samples of a node. With 255 from each of N nodes the parts differ by about one in sixteen.
const COUNT: usize = 255;

/// Bytes of a sample that count.
pub(crate) const KEY: usize = 1000;

/// A line of the file, or its first [`KEY`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) key: Vec<u8>,
    /// Where in the file its line starts.
    pub(crate) position: u64,
    /// How many bytes of the slice it stands for.
    pub(crate) weight: u64,
}

impl Sample {
    fn order(&self) -> (&[u8], u64) {
        (&self.key, self.position)
    }
}

/// Chooses the splitters, together with all the others.
pub(crate) fn agree(team: &Team, slice: &Slice) -> Result<Splitters> {
    let mut text = encode(&samples(slice));
    if let Some(texts) = team.gather(0, &text)? {
        let all: Vec<Vec<Sample>> = texts.iter().map(|text| decode(text)).collect::<Result<_>>()?;
        text = encode(&choose(all.concat(), team.size() as u32));
    }
    team.broadcast(0, &mut text)?;
    let chosen = decode(&text)?;
    if chosen.len() >= team.size() {
        return Err("node 1 sent more splitters than there are nodes".into());
    }
    Ok(Splitters::new(chosen))
}

/// The lines at evenly spread bytes of the slice.
pub(crate) fn samples(slice: &Slice) -> Vec<Sample> {
    let text = &slice.text[..];
    let stride = text.len().div_ceil(COUNT).max(1);
    let mut samples: Vec<Sample> = Vec::new();
    let mut end = 0;
    for place in (0..text.len()).step_by(stride) {
        // The last stride may be a short one.
        let weight = stride.min(text.len() - place) as u64;
        if place < end {
            // Still in the line sampled last, which is longer than a stride.
            samples.last_mut().expect("`end` is the end of a sample").weight += weight;
            continue;
        }
        // The line with this byte; it starts behind the sample before it, so that no byte is searched twice.
        let start = text[end..place].iter().rposition(|&byte| byte == b'\n').map_or(end, |newline| end + newline + 1);
        end = place + line_length(&text[place..]);
        let line = &text[start..end - 1];
        samples.push(Sample {
            key: line[..line.len().min(KEY)].to_vec(),
            position: slice.position + start as u64,
            weight,
        });
    }
    samples
}

/// Picks from everybody's samples those where the parts of all nodes but the first begin.
pub(crate) fn choose(mut samples: Vec<Sample>, nodes: u32) -> Vec<Sample> {
    samples.sort_unstable_by(|a, b| a.order().cmp(&b.order()));
    let total: u128 = samples.iter().map(|sample| u128::from(sample.weight)).sum();
    let mut chosen = Vec::new();
    let (mut before, mut at) = (0, 0);
    for node in 1..nodes {
        let wanted = total * u128::from(node) / u128::from(nodes);
        // On to the sample that has the wanted byte, or to the next one if that begins closer to it.
        while let Some(sample) = samples.get(at)
            && wanted.saturating_sub(before) * 2 > u128::from(sample.weight)
            && at + 1 < samples.len()
        {
            before += u128::from(sample.weight);
            at += 1;
        }
        chosen.extend(samples.get(at).cloned());
    }
    chosen
}

/// The splitters, ready for use.
pub(crate) struct Splitters {
    /// Ascending; the part of node K+1 begins with the Kth.
    ascending: Vec<(u64, Sample)>,
}

impl Splitters {
    /// Of samples in ascending order.
    pub(crate) fn new(ascending: Vec<Sample>) -> Splitters {
        Splitters { ascending: ascending.into_iter().map(|sample| (lines::prefix(&sample.key), sample)).collect() }
    }

    /// The node that gets the line `line` (without its newline) that starts at `position` in the file.
    pub(crate) fn node_of(&self, line: &[u8], position: u64) -> u32 {
        let prefix = lines::prefix(line);
        let before = self.ascending.partition_point(|(first, sample)| {
            // Nearly always the first eight bytes decide.
            match first.cmp(&prefix) {
                Ordering::Equal => sample.order() <= (line, position),
                order => order == Ordering::Less,
            }
        });
        before as u32 + 1
    }

    /// How many nodes can get lines.
    pub(crate) fn nodes(&self) -> usize {
        self.ascending.len() + 1
    }
}

/// Samples as they travel: position, weight, length, and bytes of each.
pub(crate) fn encode(samples: &[Sample]) -> Vec<u8> {
    let mut text = Vec::new();
    for sample in samples {
        for number in [sample.position, sample.weight, sample.key.len() as u64] {
            text.extend_from_slice(&number.to_ne_bytes());
        }
        text.extend_from_slice(&sample.key);
    }
    text
}

/// What [`encode`] made; or, as it comes from another process, anything at all.
pub(crate) fn decode(mut text: &[u8]) -> Result<Vec<Sample>> {
    let mut samples = Vec::new();
    while !text.is_empty() {
        let (Some(position), Some(weight), Some(length)) = (number(&mut text), number(&mut text), number(&mut text))
        else {
            return Err("another node sent samples that break off".into());
        };
        let key =
            usize::try_from(length).ok().filter(|&length| length <= KEY).and_then(|length| text.split_off(..length));
        let key = key.ok_or("another node sent a sample that is too long")?.to_vec();
        samples.push(Sample { key, position, weight });
    }
    Ok(samples)
}

fn number(text: &mut &[u8]) -> Option<u64> {
    let (bytes, rest) = text.split_first_chunk()?;
    *text = rest;
    Some(u64::from_ne_bytes(*bytes))
}
