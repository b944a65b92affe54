//! What the memory of a segment held, and who wrote it.
//!
//! A trace with bytes has the puts, and looks at memory: those of whoever wrote it down now and then, and of the process of the
//! segment at its calls. A look takes time: what it saw was there at some time between its beginning and its end. So it is of use
//! from its end on; what was stored before its beginning it has seen, and what was stored meanwhile it may have. What was stored past
//! the library, by the owner or through mappings, is known to lie between the beginning of one look and the end of another. At any
//! time memory holds what the last look saw, and over it the puts that have returned since that look began; [`Seen`] says how old
//! that is. What a put and a store did to the same bytes between two looks is right again at the next look.

use super::story::{Call, Happening, Look, Story, What};
use rsm::observe::Standing;
use rsm_core::lens::event::Kind;
use std::collections::HashMap;

/// One that was exported, published as this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The exporting node.
    pub node: u32,
    /// Its id.
    pub id: u32,
}

/// Who wrote a byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Nobody: it is what it was when the segment was created.
    Nobody,
    /// Nobody since the trace began, which the segment is older than, or may be.
    Before,
    /// A put: its index.
    Put(usize),
    /// A store of the owner or through a mapping, after the first time and before the second, in nanoseconds.
    Store(u64, u64),
}

/// How old what is known of a segment's memory at a time is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// It was looked at in the event that is asked about, or nobody stored anything since it was.
    Then,
    /// The last look at it that was over began at this time, in nanoseconds. Since then puts are known, and no other stores.
    Before(u64),
    /// Nobody had looked at it.
    Never,
}

/// One segment in time.
struct Life<'a> {
    /// When it was published, or connected to if that is missing.
    began: u64,
    /// When it was created, which is what its owner's stores may go back to.
    created: u64,
    incarnation: Option<u64>,
    /// It is older than the trace, or may be: what it held then only a look tells.
    stood: bool,
    length: u64,
    /// Puts that were done right, with the time at which they returned, in that order.
    puts: Vec<(u64, usize, &'a Call)>,
    /// Those that had begun and not returned.
    under_way: Vec<(usize, &'a Call)>,
    looks: Vec<&'a Look>,
}

impl Life<'_> {
    fn new((created, began): (u64, u64), incarnation: Option<u64>, length: u64) -> Self {
        let (puts, under_way, looks) = Default::default();
        Life { began, created, incarnation, stood: false, length, puts, under_way, looks }
    }
}

impl Call {
    /// Of a put: whether this byte of the segment is one of its.
    fn covers(&self, offset: u64) -> bool {
        (self.offset..self.offset.saturating_add(self.length)).contains(&offset)
    }
}

impl Story {
    /// The time of a happening: when it was over.
    pub fn end_of(&self, index: usize) -> u64 {
        self.happenings[index].end()
    }

    /// The segment that a name meant at a time.
    fn life(&self, Segment { node, id }: Segment, time: u64) -> Result<Life<'_>, String> {
        let mut incarnations: HashMap<u32, (u64, u64, u64)> = HashMap::new();
        let mut life: Option<Life<'_>> = None;
        for standing in self.standing.iter().filter(|standing| standing.node == node) {
            incarnations.insert(standing.row, (standing.incarnation, standing.length, 0));
            if standing.id == id && id != 0 {
                let (incarnation, length) = (Some(standing.incarnation), standing.length);
                life = Some(Life::new((0, 0), incarnation, length));
            }
        }
        for (_, happening, call) in self.calls().take_while(|(_, happening, _)| happening.at <= time) {
            if call.code != 0 || call.node != node {
                continue;
            }
            match call.kind {
                Kind::Create => _ = incarnations.insert(call.number, (call.offset, call.length, happening.at)),
                Kind::Publish if call.number == id => {
                    let row = u32::try_from(call.offset).unwrap_or(u32::MAX);
                    let created = incarnations.get(&row).copied();
                    // Published once more it is still the same.
                    let same = life.as_ref().is_some_and(|life| life.incarnation == created.map(|of| of.0));
                    if !same {
                        let (incarnation, length) = (created.map(|of| of.0), created.map_or(0, |of| of.1));
                        let times = (created.map_or(happening.at, |of| of.2), happening.at);
                        life = Some(Life::new(times, incarnation, length));
                    }
                }
                Kind::Connect if call.number == id => {
                    let length = call.length;
                    let life = life.get_or_insert_with(|| Life::new((0, 0), None, length));
                    life.length = life.length.max(length);
                }
                _ => {}
            }
        }
        let mut life = life.ok_or_else(|| {
            let known = self.published();
            let known = if known.is_empty() { "none was".to_owned() } else { known.join(", ") };
            format!("there was no segment {} then; published at some time: {known}", super::text::segment(node, id))
        })?;
        // No segment has no bytes.
        if life.length == 0 {
            let name = super::text::segment(node, id);
            let why = "its creation is not in the trace, and no connection to it before that time";
            return Err(format!("how long the segment {name} was then is not known: {why}"));
        }
        let stood = |standing: &Standing| Some(standing.incarnation) == life.incarnation;
        // One whose creation was not noted may be older than a trace that begins late.
        let is_unknown = self.beginning.late && life.incarnation.is_none();
        life.stood = is_unknown || self.standing.iter().any(stood);
        let is_it = |call: &Call| call.kind == Kind::Put && (call.node, call.number, call.code) == (node, id, 0);
        for (index, happening, call) in self.calls().take_while(|(_, happening, _)| happening.at <= time) {
            match happening.end() {
                _ if !is_it(call) || happening.at < life.began => {}
                end if end <= time => life.puts.push((end, index, call)),
                _ => life.under_way.push((index, call)),
            }
        }
        life.puts.sort_by_key(|(end, index, _)| (*end, *index));
        life.looks = self
            .looks
            .iter()
            .filter(|look| Some(look.incarnation) == life.incarnation && look.node == node && look.end <= time)
            .collect();
        Ok(life)
    }

    /// Names of the segments that were published, each once.
    pub fn published(&self) -> Vec<String> {
        let standing = self.standing.iter().filter(|standing| standing.id != 0).map(|of| (of.node, of.id));
        let ids = self.calls().filter(|(.., call)| call.kind == Kind::Publish && call.code == 0);
        let mut names: Vec<String> = Vec::new();
        for (node, id) in standing.chain(ids.map(|(.., call)| (call.node, call.number))) {
            let name = super::text::segment(node, id);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What the segment held at a time, in nanoseconds since the trace began.
    ///
    /// # Errors
    /// That there is no such segment, that its length is not known, or that no bytes are in the trace, in a sentence.
    pub fn bytes_at(&self, segment: Segment, time: u64) -> Result<Vec<u8>, String> {
        if !self.beginning.bytes {
            return Err("the trace has no bytes: run it again with --trace-bytes".to_owned());
        }
        let life = self.life(segment, time)?;
        let length = usize::try_from(life.length).map_err(|_| "the segment is too long".to_owned())?;
        // Each one looks for what differs from what it has seen itself.
        let mut seen: HashMap<Option<usize>, Vec<u8>> = HashMap::new();
        for look in &life.looks {
            let bytes = seen.entry(look.by).or_insert_with(|| vec![0; length]);
            if look.whole {
                bytes.fill(0);
            }
            for (offset, run) in &look.runs {
                let start = *offset as usize;
                if let Some(place) = bytes.get_mut(start..start.saturating_add(run.len())) {
                    place.copy_from_slice(run);
                }
            }
        }
        let last = life.looks.last();
        let mut bytes = last.and_then(|look| seen.remove(&look.by)).unwrap_or_else(|| vec![0; length]);
        let looked = last.map_or(0, |look| look.at);
        // What a put did that had not returned then it may not have seen.
        for (_, _, call) in life.puts.iter().filter(|(end, ..)| *end >= looked) {
            let start = call.offset as usize;
            if let Some(put) = self.put_bytes(call)
                && let Some(place) = bytes.get_mut(start..start + put.len())
            {
                place.copy_from_slice(put);
            }
        }
        Ok(bytes)
    }

    /// The bytes of a put, where they were noted.
    pub fn put_bytes(&self, call: &Call) -> Option<&[u8]> {
        let (start, length) = call.bytes?;
        self.bytes.get(start..start + length)
    }

    /// Who wrote the byte at an offset of the segment last, at a time.
    ///
    /// # Errors
    /// That there is no such segment, that its length is not known, or that it has no such byte, in a sentence.
    pub fn who(&self, segment: Segment, offset: u64, time: u64) -> Result<Writer, String> {
        let life = self.life(segment, time)?;
        if offset >= life.length {
            return Err(format!("the segment has {} bytes: the last one is at {}", life.length, life.length - 1));
        }
        let last = life.puts.iter().rev().find(|(.., call)| call.covers(offset)).copied();
        let byte_of = |call: &Call| Some(self.put_bytes(call)?[(offset - call.offset) as usize]);
        // The values that looks saw which began after the last put.
        let put = last.map(|(end, ..)| end);
        let mut value = last.and_then(|(_, _, call)| byte_of(call));
        if last.is_none() && !life.stood {
            value = Some(0);
        }
        // A store may have come as soon as the put had arrived, which was some time before it returned.
        let mut seen = last.map_or(life.created, |(_, index, _)| self.happenings[index].at);
        let before = if life.stood { Writer::Before } else { Writer::Nobody };
        let mut writer = last.map_or(before, |(_, index, _)| Writer::Put(index));
        // What each one who looks has seen itself.
        let mut last_seen: HashMap<Option<usize>, u8> = HashMap::new();
        for (at, look) in life.looks.iter().enumerate() {
            let now = last_seen.entry(look.by).or_insert(0);
            if look.whole {
                *now = 0;
            }
            for (start, run) in &look.runs {
                if let Some(byte) = offset.checked_sub(*start).and_then(|at| run.get(at as usize)) {
                    *now = *byte;
                }
            }
            // Of two looks at the same time nobody knows which one saw what is newer: the one counts that began later.
            let is_overtaken = life.looks.get(at + 1).is_some_and(|next| next.by != look.by && next.at <= look.end);
            if is_overtaken || put.is_some_and(|put| look.at <= put) {
                continue;
            }
            if value.is_some_and(|value| value != *now) {
                let by_put = life.under_way.iter().find(|(_, call)| call.covers(offset) && byte_of(call) == Some(*now));
                writer = by_put.map_or(Writer::Store(seen, look.end), |(index, _)| Writer::Put(*index));
            }
            (value, seen) = (Some(*now), look.at);
        }
        Ok(writer)
    }

    /// How old what is known of the segment's memory is, at the end of an event, or without one at the end of the trace.
    ///
    /// # Errors
    /// That there is no such segment, or that its length is not known, in a sentence.
    pub fn seen(&self, segment: Segment, event: Option<usize>) -> Result<Seen, String> {
        let life = self.life(segment, event.map_or_else(|| self.end(), |index| self.end_of(index)))?;
        let Some(look) = life.looks.last() else { return Ok(Seen::Never) };
        let in_it = event.is_some_and(|index| {
            let happening = &self.happenings[index];
            look.by == Some(happening.process) && look.at >= happening.at && !look.between
        });
        let is_over = self.over(look.incarnation).is_some_and(|over| over <= look.at);
        // That of who writes the trace down is its end. What a process does after its own last one nobody looks at.
        let is_last = event.is_none() && look.by.is_none() && self.wrong.is_none() && self.after(look.at).is_none();
        Ok(if in_it || is_over || is_last { Seen::Then } else { Seen::Before(look.at) })
    }

    /// When a segment was destroyed, or its process had left.
    fn over(&self, incarnation: u64) -> Option<u64> {
        let is_it = |call: &Call| (call.kind, call.code, call.offset) == (Kind::Create, 0, incarnation);
        let (created, happening, create) = self.calls().find(|(.., call)| is_it(call))?;
        let later = self.happenings[created..].iter().filter(|later| later.process == happening.process);
        let ends = |what: &What| match what {
            What::Call(call) => (call.kind, call.code, call.number) == (Kind::Destroy, 0, create.number),
            What::Left => true,
            What::Ended(..) | What::Missing(..) => false,
        };
        later.filter(|later| ends(&later.what)).map(Happening::end).min()
    }

    /// The last happening that had begun at a time.
    pub fn before(&self, time: u64) -> Option<usize> {
        self.happenings.partition_point(|happening| happening.at <= time).checked_sub(1)
    }

    /// The first one that began after a time.
    pub fn after(&self, time: u64) -> Option<usize> {
        let index = self.happenings.partition_point(|happening| happening.at <= time);
        (index < self.happenings.len()).then_some(index)
    }

    /// When the trace ends: the end of what was over last, looks included.
    pub fn end(&self) -> u64 {
        let happenings = (0..self.happenings.len()).map(|index| self.end_of(index));
        happenings.chain(self.looks.iter().map(|look| look.end)).max().unwrap_or(0)
    }
}
