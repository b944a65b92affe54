//! What a trace says: the calls of all processes in the order in which they began, which segment each was about, and which
//! signal woke which wait.

use super::file::{Beginning, Piece};
use rsm::observe::Standing;
use rsm_core::Code;
use rsm_core::lens::event::{Event, Kind};
use rsm_core::lens::inject::Last;
use rsm_core::lens::ring::{self, BEGINS, BYTES, GAP};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

const TIMEOUT: u32 = Code::Timeout.number().unsigned_abs();

/// How long what is no wait took at least, where its record says that it took so long.
const MOST_TOLD: u64 = u32::MAX as u64;

/// A time that is not noted.
const UNKNOWN: u64 = u64::MAX;

/// A process of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Number of its membership.
    pub membership: u64,
    /// Its node.
    pub node: u32,
    /// Its process id.
    pub pid: u32,
    /// Records that were written over before they were read, and that were half written.
    pub lost: u64,
    /// See [`lost`](Self::lost).
    pub torn: u64,
    /// The numbers of its threads that made calls, modulo 16: a bit for each.
    pub threads: u16,
}

impl Process {
    /// Whether several of its threads made calls, as far as their numbers tell.
    pub fn has_threads(&self) -> bool {
        self.threads.count_ones() > 1
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When it began, in nanoseconds since the trace did.
    pub at: u64,
    /// How long it took.
    pub took: u64,
    /// Index of the process.
    pub process: usize,
    /// What it was.
    pub what: What,
}

impl Happening {
    /// When it was over.
    pub fn end(&self) -> u64 {
        self.at.saturating_add(self.took)
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A call.
    Call(Call),
    /// The process left the cluster, or died; seen at this time.
    Left,
    /// The process ended, as a launcher saw it: the signal that killed it, or 0, and its exit code.
    Ended(u32, u32),
    /// So many records were written over before they were read, and so many were half written.
    Missing(u64, u64),
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What was called.
    pub kind: Kind,
    /// The node whose segment it was about.
    pub node: u32,
    /// The id of the segment, where it is known: one that is not published has none.
    pub id: Option<u32>,
    /// What the record has in its place: a row, the number of a bell.
    pub number: u32,
    /// See [`Kind`].
    pub offset: u64,
    /// Likewise.
    pub length: u64,
    /// The number of the error that it returned; 0 for none.
    pub code: u32,
    /// Which thread of the process, modulo 16.
    pub thread: u32,
    /// The bytes of a put, where they were noted: where they are in [`Story::bytes`].
    pub bytes: Option<(usize, usize)>,
    /// Of a wait: the index of the signal that it took, where that is known.
    pub from: Option<usize>,
    /// Of a transfer: whether it was made in explicit mode, so that the end of a span says whether it arrived.
    pub in_span: bool,
    /// Of a put that was: the index of the end of that span, where it is known.
    pub close: Option<usize>,
}

/// A look at the memory of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// When looking began, in nanoseconds since the trace did.
    pub at: u64,
    /// When it was over: each byte was read between the two.
    pub end: u64,
    /// The exporting node.
    pub node: u32,
    /// The segment's row.
    pub row: u32,
    /// A number that no two segments have.
    pub incarnation: u64,
    /// The process of the segment that looked, at the call that it noted next; none: whoever wrote the trace down.
    pub by: Option<usize>,
    /// It has all there is: what is in none of its runs is zeroes.
    pub whole: bool,
    /// The process looked at no call of its own, but at some time in between.
    pub between: bool,
    /// Where it differs from the look before of who looked, or from zeroes, and what stands there.
    pub runs: Vec<(u64, Vec<u8>)>,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Story {
    /// What it begins with.
    pub beginning: Beginning,
    /// The processes, in the order in which they joined.
    pub processes: Vec<Process>,
    /// What happened, in the order in which it began.
    pub happenings: Vec<Happening>,
    /// The bytes of all puts.
    pub bytes: Vec<u8>,
    /// What was seen in the memory of segments, in that order.
    pub looks: Vec<Look>,
    /// Segments that were there before, in a trace that begins late.
    pub standing: Vec<Standing>,
    /// What is wrong with the file.
    pub wrong: Option<String>,
    /// From when on all processes note their calls that were there when the trace began; `None`: of one that is not known.
    pub noted_from: Option<u64>,
    /// While it is read: which process notes its calls from when on, as it says itself.
    notes: Vec<(usize, u64)>,
    /// While it is read: processes, and incarnations of segments, of whose looks none is missing since the last whole one.
    unbroken: HashSet<(usize, u64)>,
    /// Processes of which something is missing before the next record.
    broken: HashSet<usize>,
    /// Where that is: which process, and when the next record begins.
    gaps: Vec<(usize, u64)>,
    /// When what comes next in the file had been read from the rings.
    read: u64,
}

/// A record whose bytes are still to come: what it is of, how many they are, and those that came.
struct Pending {
    of: Of,
    length: usize,
    bytes: Vec<u8>,
}

/// What bytes are of: the happening at an index, or a look.
enum Of {
    Put(usize),
    Look(Look),
}

/// The runs in the bytes of a [look](Kind::Look), where they begin in bytes.
fn runs_of(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut runs = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<8>() {
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| head[at + i]));
        let length = (number(4) as usize).saturating_mul(8).min(rest.len());
        let (run, rest) = rest.split_at(length);
        runs.push((u64::from(number(0)) * 8, run.to_vec()));
        bytes = rest;
    }
    runs
}

/// The processor's clock in nanoseconds since the beginning.
struct Clock {
    began: u64,
    /// Of a whole run.
    last: (u64, u64),
}

impl Clock {
    fn of(pieces: &[Piece], began: u64) -> Clock {
        let last = pieces.iter().rev().find_map(|piece| match piece {
            Piece::Clock { ticks, ns } => Some((ticks.wrapping_sub(began) & ring::MASK, *ns)),
            _ => None,
        });
        Clock { began, last: last.filter(|(ticks, _)| *ticks > 0).unwrap_or((1, 1)) }
    }

    fn length(&self, ticks: u64) -> u64 {
        let (all, ns) = self.last;
        u64::try_from(u128::from(ticks) * u128::from(ns) / u128::from(all)).unwrap_or(u64::MAX)
    }

    /// When something began that took so long, and how long that was. The end is as exact as the time of what comes then.
    fn times(&self, began: u64, took: u64) -> (u64, u64) {
        let at = self.time(began);
        (at, self.time(began.wrapping_add(took)).saturating_sub(at))
    }

    fn time(&self, ticks: u64) -> u64 {
        let since = ticks.wrapping_sub(self.began) & ring::MASK;
        // What seems to be before the beginning was at it.
        if since > ring::MASK / 2 { 0 } else { self.length(since) }
    }
}

impl Call {
    /// The fault that this is, where it is one of the lens and no call.
    pub fn fault(&self) -> Option<Last> {
        let of_fault = self.kind == Kind::Fault;
        of_fault.then(|| Last::of(self.offset, self.length, self.node, self.number)).flatten()
    }
}

impl Story {
    /// Reads the bytes of a trace file.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn read(file: &[u8]) -> Result<Story, String> {
        let (pieces, wrong) = super::file::read(file)?;
        let Some(Piece::Begins(beginning)) = pieces.first() else {
            return Err(format!("nothing of it can be read: {}", wrong.unwrap_or_default()));
        };
        let clock = Clock::of(&pieces, beginning.ticks);
        let (processes, happenings, bytes, looks, standing) = Default::default();
        let (unbroken, broken, gaps, notes, read) = Default::default();
        let (beginning, noted_from) = (beginning.clone(), None);
        let mut story = Story {
            beginning,
            processes,
            happenings,
            bytes,
            looks,
            standing,
            wrong,
            noted_from,
            notes,
            unbroken,
            broken,
            gaps,
            read,
        };
        let mut pending = HashMap::new();
        for piece in &pieces[1..] {
            story.take(piece, &clock, &mut pending);
        }
        story.find_ends(&pieces, &clock);
        // Stable: what a process noted at one time stays in its order.
        story.happenings.sort_by_key(|happening| happening.at);
        story.looks.sort_by_key(|look| look.at);
        story.find_ends_of_looks();
        story.name_segments();
        let before = pieces.iter().take_while(|piece| !matches!(piece, Piece::Clock { .. }));
        let there = before.filter(|piece| matches!(piece, Piece::Process { .. })).count();
        story.noted_from = story.all_note(there);
        story.find_signals();
        story.find_closes();
        Ok(story)
    }

    fn index(&self, membership: u64) -> Option<usize> {
        self.processes.iter().position(|process| process.membership == membership)
    }

    fn take(&mut self, piece: &Piece, clock: &Clock, pending: &mut HashMap<usize, Pending>) {
        let mut tell = |process: Option<usize>, ticks: u64, what| {
            if let Some(process) = process {
                self.happenings.push(Happening { at: clock.time(ticks), took: 0, process, what });
            }
        };
        match *piece {
            Piece::Process { membership, node, pid } => {
                self.processes.push(Process { membership, node, pid, ..Process::default() });
            }
            Piece::Left { membership, ticks } => {
                let process = self.processes.iter().position(|process| process.membership == membership);
                tell(process, ticks, What::Left);
            }
            Piece::Missing { membership, ticks, lost, torn } => {
                let process = self.processes.iter().position(|process| process.membership == membership);
                tell(process, ticks, What::Missing(lost, torn));
                if let Some(process) = process {
                    self.processes[process].lost += lost;
                    self.processes[process].torn += torn;
                }
            }
            Piece::Slots { membership, ref slots } => {
                if let Some(process) = self.index(membership) {
                    slots.iter().for_each(|slot| self.take_slot(process, *slot, clock, pending));
                }
            }
            Piece::Look { node, row, incarnation, ticks, end, ref runs, .. } => {
                let (at, end) = (clock.time(ticks), end.map_or(UNKNOWN, |end| clock.time(end)));
                let (by, runs) = (None, runs.clone());
                self.looks.push(Look { at, end, node, row, incarnation, by, whole: false, between: true, runs });
            }
            Piece::Standing(ref standing) => self.standing.push(standing.clone()),
            Piece::Clock { ticks, .. } => self.read = clock.time(ticks),
            // Who ended is found when all are known.
            Piece::Begins(_) | Piece::Ended { .. } | Piece::Ends => {}
        }
    }

    fn take_slot(&mut self, process: usize, slot: [u64; 4], clock: &Clock, pending: &mut HashMap<usize, Pending>) {
        if slot == GAP {
            pending.remove(&process);
            self.unbroken.retain(|(by, _)| *by != process);
            self.broken.insert(process);
        } else if slot[0] & BEGINS == 0 {
            let Some(Pending { length, bytes, .. }) = pending.get_mut(&process) else { return };
            let left = *length - bytes.len();
            bytes.extend(ring::bytes_of(slot).take(left.min(BYTES)));
            if bytes.len() == *length {
                self.keep(pending.remove(&process));
            }
        } else if let Some(event) = Event::of(slot) {
            pending.remove(&process);
            let (at, took) = clock.times(event.began, event.took);
            if self.broken.remove(&process) {
                self.gaps.push((process, at));
            }
            let length = event.length as usize;
            if event.kind == Kind::Notes {
                self.notes.push((process, at));
                return;
            }
            if event.kind == Kind::Look {
                let (node, row, incarnation, by) = (event.node, event.id, event.offset, Some(process));
                let (whole, between, runs) = (event.code & 1 != 0, event.code & 2 != 0, Vec::new());
                // The record has no more than that; it was over when it was read.
                let end = if event.took == MOST_TOLD { self.read.max(at) } else { at + took };
                let look = Look { at, end, node, row, incarnation, by, whole, between, runs };
                let look = Pending { of: Of::Look(look), length, bytes: Vec::new() };
                if event.has_bytes {
                    pending.insert(process, look);
                } else {
                    self.keep(Some(look));
                }
                return;
            }
            if event.has_bytes {
                pending.insert(process, Pending { of: Of::Put(self.happenings.len()), length, bytes: Vec::new() });
            }
            self.processes[process].threads |= 1 << (event.thread & 15);
            self.happenings.push(Happening {
                at,
                took,
                process,
                what: What::Call(Call {
                    kind: event.kind,
                    node: event.node,
                    id: None,
                    number: event.id,
                    offset: event.offset,
                    length: event.length.into(),
                    code: event.code,
                    thread: event.thread,
                    bytes: None,
                    from: None,
                    in_span: event.in_span,
                    close: None,
                }),
            });
        }
    }

    /// Takes in bytes, all of which have come.
    fn keep(&mut self, complete: Option<Pending>) {
        let Some(Pending { of, bytes, .. }) = complete else { return };
        match of {
            Of::Put(happening) => {
                if let What::Call(call) = &mut self.happenings[happening].what {
                    call.bytes = Some((self.bytes.len(), bytes.len()));
                }
                self.bytes.extend(bytes);
            }
            Of::Look(look) => self.keep_look(look, &bytes),
        }
    }

    /// Takes in a look of a process. What differs from one that is missing says nothing: until there is a whole one again, there is
    /// none.
    fn keep_look(&mut self, mut look: Look, bytes: &[u8]) {
        let Some(by) = look.by else { return };
        look.runs = runs_of(bytes);
        let last = (by, look.incarnation);
        if look.whole {
            self.unbroken.insert(last);
        }
        if self.unbroken.contains(&last) {
            self.looks.push(look);
        }
    }

    /// Finds the processes of the ends that their launcher saw: it may have seen one before anything was read that the process had
    /// noted. Of two with one id the one that was known last had it, if it had not ended already.
    fn find_ends(&mut self, pieces: &[Piece], clock: &Clock) {
        // By their index, as long as they have not ended.
        let mut known: Vec<Option<(u32, u32)>> = Vec::new();
        let mut early: Vec<((u32, u32), Happening)> = Vec::new();
        for piece in pieces {
            match *piece {
                Piece::Process { node, pid, .. } => {
                    let process = known.len();
                    let ended = early.iter().position(|(of, _)| *of == (node, pid)).map(|at| early.remove(at));
                    known.push(ended.is_none().then_some((node, pid)));
                    self.happenings.extend(ended.map(|(_, end)| Happening { process, ..end }));
                }
                Piece::Ended { node, pid, signal, code, ticks } => {
                    let what = What::Ended(signal, code);
                    let end = Happening { at: clock.time(ticks), took: 0, process: 0, what };
                    match known.iter().rposition(|known| *known == Some((node, pid))) {
                        Some(process) => {
                            known[process] = None;
                            self.happenings.push(Happening { process, ..end });
                        }
                        None => early.push(((node, pid), end)),
                    }
                }
                _ => {}
            }
        }
    }

    /// Finds when those looks were over at the latest of which that is not noted: each one who looks does one look after the other.
    fn find_ends_of_looks(&mut self) {
        let mut next: HashMap<Option<usize>, u64> = HashMap::new();
        for look in self.looks.iter_mut().rev() {
            let next = next.entry(look.by).or_insert(UNKNOWN);
            look.end = look.end.min(*next);
            if look.end == UNKNOWN {
                look.end = look.at;
            }
            *next = look.at;
        }
    }

    /// Who did what has this index.
    pub fn process_of(&self, index: usize) -> &Process {
        &self.processes[self.happenings[index].process]
    }

    /// The calls, with their indices among all happenings.
    pub fn calls(&self) -> impl Iterator<Item = (usize, &Happening, &Call)> {
        self.happenings.iter().enumerate().filter_map(|(index, happening)| match &happening.what {
            What::Call(call) => Some((index, happening, call)),
            _ => None,
        })
    }

    fn call_mut(&mut self, index: usize) -> Option<&mut Call> {
        match &mut self.happenings[index].what {
            What::Call(call) => Some(call),
            _ => None,
        }
    }

    /// The waits that took each signal, where it was taken: one that went to all importers may have been by several.
    pub(super) fn takers(&self) -> HashMap<usize, Vec<usize>> {
        let mut takers: HashMap<usize, Vec<usize>> = HashMap::new();
        for (index, from) in self.calls().filter_map(|(index, _, call)| Some((index, call.from?))) {
            takers.entry(from).or_default().push(index);
        }
        takers
    }

    /// Finds the id of the segment that each call was about.
    fn name_segments(&mut self) {
        // By row, as published last; by the number of a bell, as somebody connected.
        let (mut rows, mut bells) = (HashMap::new(), HashMap::new());
        for Standing { node, row, id, bell, importers, .. } in self.standing.iter().filter(|standing| standing.id != 0)
        {
            rows.insert((*node, u64::from(*row)), *id);
            bells.extend(importers.iter().chain([bell]).map(|bell| ((*node, u64::from(*bell)), *id)));
        }
        // Waits that began before anybody had connected.
        let mut early = Vec::new();
        for index in 0..self.happenings.len() {
            let Some(call) = self.call_mut(index) else { continue };
            let (node, number) = (call.node, call.number);
            call.id = match call.kind {
                Kind::Put | Kind::Get | Kind::Order | Kind::Close | Kind::Disconnect | Kind::Map | Kind::Unmap => {
                    Some(number)
                }
                Kind::Fault => (node != 0).then_some(number),
                // None of the happenings is one.
                Kind::Look | Kind::Notes => None,
                Kind::Post => {
                    bells.insert((node, call.offset), number);
                    Some(number)
                }
                Kind::Connect => {
                    if call.code == 0 {
                        bells.insert((node, call.offset & 0xff_ffff), number);
                        bells.insert((node, call.offset >> 24), number);
                    }
                    Some(number)
                }
                Kind::Publish => {
                    if call.code == 0 {
                        rows.insert((node, call.offset), number);
                    }
                    Some(number)
                }
                Kind::Wait => {
                    let id = bells.get(&(node, u64::from(number))).copied();
                    if id.is_none() {
                        early.push(index);
                    }
                    id
                }
                Kind::Create => {
                    // What was published from this row before is another segment.
                    rows.remove(&(node, u64::from(number)));
                    None
                }
                Kind::Republish | Kind::Unpublish | Kind::Rebind | Kind::Destroy | Kind::PostAll => {
                    rows.get(&(node, u64::from(number))).copied()
                }
            };
        }
        for index in early {
            if let Some(call) = self.call_mut(index) {
                call.id = bells.get(&(call.node, u64::from(call.number))).copied();
            }
        }
    }

    /// From when on each of the first so many processes has noted a call, or said that it does, or is gone; `None`: one has not.
    fn all_note(&self, there: usize) -> Option<u64> {
        let mut first = vec![None; there];
        for (process, at) in &self.notes {
            if let Some(first @ None) = first.get_mut(*process) {
                *first = Some(*at);
            }
        }
        for Happening { at, process, what, .. } in &self.happenings {
            if let (Some(first @ None), What::Call(_) | What::Left) = (first.get_mut(*process), what) {
                *first = Some(*at);
            }
        }
        first.into_iter().try_fold(0, |latest, first| Some(first?.max(latest)))
    }

    /// Finds the signal that each wait took: of those that its bell had, the oldest. How many a bell had before the trace began
    /// is not known: of one that was there, no wait is told of until the bell is known to have been empty, and all of those that were
    /// there when the trace began note what they do with it.
    fn find_signals(&mut self) {
        let all_note = self.noted_from;
        let mut listeners: HashMap<(u32, u32), Vec<u64>> = HashMap::new();
        let mut doubtful: HashSet<(u32, u64)> = HashSet::new();
        for Standing { node, id, bell, importers, .. } in &self.standing {
            doubtful.extend(importers.iter().chain([bell]).map(|bell| (*node, u64::from(*bell))));
            listeners.entry((*node, *id)).or_default().extend(importers.iter().map(|bell| u64::from(*bell)));
        }
        // Signals at their beginning, waits at their end; a signal that came at the same time came first.
        let mut order: BTreeMap<(u64, bool, usize), ()> = BTreeMap::new();
        for (index, happening, call) in self.calls() {
            match (call.kind, call.code) {
                (Kind::Post | Kind::PostAll | Kind::Connect, 0) => drop(order.insert((happening.at, false, index), ())),
                (Kind::Wait, 0 | TIMEOUT) => drop(order.insert((happening.end(), true, index), ())),
                _ => {}
            }
        }
        let mut pending: HashMap<(u32, u64), VecDeque<usize>> = HashMap::new();
        for (_, _, index) in order.into_keys() {
            let What::Call(call) = &self.happenings[index].what else { continue };
            let adds = call.length > 0;
            let mut post = |bell: (u32, u64)| {
                let signals = pending.entry(bell).or_default();
                if adds || signals.is_empty() {
                    signals.push_back(index);
                }
            };
            match (call.kind, call.id) {
                (Kind::Post, _) => post((call.node, call.offset)),
                (Kind::PostAll, Some(id)) => {
                    let bells = listeners.get(&(call.node, id));
                    bells.into_iter().flatten().for_each(|bell| post((call.node, *bell)));
                }
                (Kind::Connect, Some(id)) => {
                    let bells = listeners.entry((call.node, id)).or_default();
                    let bell = call.offset >> 24;
                    // Whoever had it before is gone, and its signals with it.
                    bells.retain(|other| *other != bell);
                    bells.push(bell);
                    pending.remove(&(call.node, bell));
                    doubtful.remove(&(call.node, bell));
                }
                (Kind::Wait, _) => {
                    let bell = (call.node, u64::from(call.number));
                    if call.code == TIMEOUT {
                        // It found nothing: what had been posted before had been taken. What came while it waited may have been
                        // taken by another wait, or not have been there yet.
                        let wait = &self.happenings[index];
                        let signals = pending.entry(bell).or_default();
                        let is_empty = signals.iter().all(|signal| self.happenings[*signal].at < wait.at);
                        if is_empty && all_note.is_some_and(|time| time <= wait.end()) && doubtful.remove(&bell) {
                            signals.clear();
                        }
                        continue;
                    }
                    if doubtful.contains(&bell) {
                        continue;
                    }
                    let from = pending.get_mut(&bell).and_then(VecDeque::pop_front);
                    if let Some(call) = self.call_mut(index) {
                        call.from = from;
                    }
                }
                _ => {}
            }
        }
    }
}

mod closes;
#[cfg(test)]
mod tests;
