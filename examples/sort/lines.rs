//! Sorting lines in the order of their bytes.
//!
//! The lines stay where they are; what is sorted is an index of them, 16 bytes for each: where a line is, and eight
//! of its bytes as a number, so that most comparisons look at nothing else. Lines whose eight bytes are equal are
//! sorted by the next eight that differ, and so on.

use crate::slice::line_length;
use std::ops::Range;

/// A line of a text.
#[derive(Clone, Copy)]
pub(crate) struct Line {
    /// Eight of its bytes, from where the lines it is sorted with begin to differ.
    prefix: u64,
    place: Place,
}

impl Line {
    /// The line, with its newline, in the text that the index is of.
    pub(crate) fn bytes<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        let start = self.place.start();
        &text[start..start + self.place.length(text)]
    }

    /// What there is of the line from its byte `depth` on, without the newline.
    fn rest<'a>(&self, text: &'a [u8], depth: usize) -> &'a [u8] {
        let line = self.bytes(text);
        &line[depth..line.len() - 1]
    }
}

/// Start and length of a line in one word.
#[derive(Clone, Copy)]
struct Place(u64);

impl Place {
    /// Bits for the length, with the newline; 48 are left for the start, enough for 256 TiB.
    const BITS: u32 = 16;
    /// Stands for this length and all above.
    const LONG: usize = (1 << Place::BITS) - 1;

    fn new(start: usize, length: usize) -> Place {
        Place(((start as u64) << Place::BITS) | length.min(Place::LONG) as u64)
    }

    fn start(self) -> usize {
        (self.0 >> Place::BITS) as usize
    }

    fn length(self, text: &[u8]) -> usize {
        match self.0 as usize & Place::LONG {
            // The first bytes of a long line have no newline; look on behind them.
            Place::LONG => Place::LONG - 1 + line_length(&text[self.start() + Place::LONG - 1..]),
            length => length,
        }
    }
}

/// The first eight bytes as a number that orders as they do; zeros take the place of missing ones.
pub(crate) fn prefix(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => {
            let mut first = [0; 8];
            first[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(first)
        }
    }
}

/// The lines of `text`, which ends with a newline or is empty, in ascending order.
pub(crate) fn sorted(text: &[u8]) -> Vec<Line> {
    let mut index = Vec::new();
    let mut start = 0;
    while start < text.len() {
        let length = line_length(&text[start..]);
        index.push(Line { prefix: prefix(&text[start..start + length - 1]), place: Place::new(start, length) });
        start += length;
    }
    index.sort_unstable_by_key(|line| line.prefix);

    // Work that is left: lines that have the bytes before `depth` in common, and the same prefix. A list, not a
    // recursion: with lines of nothing but zeros, of all lengths, it would go as deep as there are lines.
    let mut left = Vec::new();
    equal_runs(&index, 0, 0, &mut left);
    while let Some((range, depth)) = left.pop() {
        let first = range.start;
        let run = &mut index[range];
        if run.len() < 16 {
            run.sort_unstable_by(|a, b| a.rest(text, depth).cmp(b.rest(text, depth)));
            continue;
        }
        let depth = depth + common(run, text, depth);
        let ended = ended_first(run, text, depth);
        let rest = &mut run[ended..];
        for line in &mut *rest {
            line.prefix = prefix(line.rest(text, depth));
        }
        rest.sort_unstable_by_key(|line| line.prefix);
        equal_runs(rest, first + ended, depth, &mut left);
    }
    index
}

/// Adds to `left` the runs of equal prefixes in `lines`, whose first is number `first` of the index.
fn equal_runs(lines: &[Line], first: usize, depth: usize, left: &mut Vec<(Range<usize>, usize)>) {
    let mut start = first;
    for run in lines.chunk_by(|a, b| a.prefix == b.prefix) {
        if run.len() > 1 {
            left.push((start..start + run.len(), depth));
        }
        start += run.len();
    }
}

/// How many bytes, from `depth` on, all lines of the run have in common. At least one, if their prefixes at `depth`
/// are equal and none ends there: that is why [`sorted`] comes to an end.
fn common(run: &[Line], text: &[u8], depth: usize) -> usize {
    let mut common = run[0].rest(text, depth);
    for line in &run[1..] {
        let rest = line.rest(text, depth);
        if !rest.starts_with(common) {
            let differs = common.iter().zip(rest).position(|(a, b)| a != b);
            common = &common[..differs.unwrap_or(rest.len())];
        }
    }
    common.len()
}

/// Moves the lines that end at `depth` to the front, where they belong: all that precedes is common, so they are
/// equal, and less than the others. Returns how many they are.
fn ended_first(run: &mut [Line], text: &[u8], depth: usize) -> usize {
    let mut ended = 0;
    for at in 0..run.len() {
        if run[at].rest(text, depth).is_empty() {
            run.swap(at, ended);
            ended += 1;
        }
    }
    ended
}
