//! The tracks on which calls are slices, in formats where the slices of a track have to nest.
//!
//! A process notes the number of a thread modulo 16. Where two threads of the same number are in calls at once, the calls of the one
//! are put on a track of their own.

use super::story::Story;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// A track of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Track {
    /// Index of the process.
    pub(super) process: usize,
    /// The number of the thread, modulo 16.
    pub(super) thread: u32,
    /// How many tracks of that thread come before.
    pub(super) further: usize,
}

impl Track {
    /// Its name in its process.
    pub(super) fn name(self) -> String {
        match self.further {
            0 => format!("thread {}", self.thread),
            further => format!("thread {} ({})", self.thread, further + 1),
        }
    }
}

/// Slices: when each begins and ends, and its index.
type Slices = Vec<(u64, Reverse<u64>, usize)>;

/// When a slice ends: it is as long as a nanosecond at least, so that it ends behind its beginning.
pub(super) fn end(at: u64, took: u64) -> u64 {
    at.saturating_add(took.max(1))
}

/// The track of each call, by its index.
pub(super) fn tracks(story: &Story) -> HashMap<usize, Track> {
    let mut of_thread: BTreeMap<(usize, u32), Slices> = BTreeMap::new();
    for (index, happening, call) in story.calls() {
        let slice = (happening.at, Reverse(end(happening.at, happening.took)), index);
        of_thread.entry((happening.process, call.thread)).or_default().push(slice);
    }
    let mut tracks = HashMap::new();
    for ((process, thread), mut slices) in of_thread {
        // Of what begins at once the longest first: the others are in it.
        slices.sort_unstable();
        // Of each track the ends of those slices that are under way, each in the one before.
        let mut open: Vec<Vec<u64>> = Vec::new();
        for (at, Reverse(end), index) in slices {
            let mut fits = |ends: &mut Vec<u64>| {
                while ends.pop_if(|end| *end <= at).is_some() {}
                ends.last().is_none_or(|outer| end <= *outer)
            };
            let further = open.iter_mut().position(&mut fits).unwrap_or(open.len());
            if further == open.len() {
                open.push(Vec::new());
            }
            open[further].push(end);
            tracks.insert(index, Track { process, thread, further });
        }
    }
    tracks
}
