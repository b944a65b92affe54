//! Gates: a node whose calls are counted, and before one of which it is killed; and what each process says of its calls.
//!
//! In a cluster with a gate the agent makes a [`CallsRow`] for each process, in memory of its own, so that what stands there
//! outlives a SIGKILL. The first process of the gated node *counts*; all others only note what they called last. As with
//! records, it is what a process says of itself, to be shown and not to be believed.
//!
//! # Crash
//!
//! A process that dies leaves what it had written: a point that was begun is not among those that are shown, and a last call
//! that was half written is none.

use crate::Code;
use crate::seq;
use crate::sync::{AtomicU64, Ordering::Relaxed, Ordering::Release, acquire};
use serde::{Deserialize, Serialize};

/// A node that is killed before one of its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The node.
    pub node: u32,
    /// Which of its calls, counted from 1; 0: none, its calls are only counted.
    pub call: u64,
}

/// A call that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Call {
    /// A put, or an entry of a vector put.
    Put,
    /// A get, or an entry of a vector get.
    Get,
    /// An order barrier.
    Order,
    /// The end of a span.
    Close,
    /// A signal is posted.
    Post,
    /// A signal is waited for.
    Wait,
    /// An export is created.
    Create,
    /// It is published.
    Publish,
    /// Its access list is replaced.
    Republish,
    /// It is taken back.
    Unpublish,
    /// It gets other memory.
    Rebind,
    /// It is destroyed.
    Destroy,
    /// A segment is connected to.
    Connect,
    /// A connection is given back.
    Disconnect,
}

impl Call {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Call); 14] = [
        ("put", Call::Put),
        ("get", Call::Get),
        ("order", Call::Order),
        ("close", Call::Close),
        ("post", Call::Post),
        ("wait", Call::Wait),
        ("create", Call::Create),
        ("publish", Call::Publish),
        ("republish", Call::Republish),
        ("unpublish", Call::Unpublish),
        ("rebind", Call::Rebind),
        ("destroy", Call::Destroy),
        ("connect", Call::Connect),
        ("disconnect", Call::Disconnect),
    ];

    /// Whether it is about data, and so made often.
    pub fn is_of_data(self) -> bool {
        self <= Call::Post
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(Call::ALL[*self as usize].0)
    }
}

/// An address of code: which module, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// Index among the [modules](Called::modules).
    pub module: u32,
    /// As its symbols count, a few bytes behind the start of the instruction that calls.
    pub offset: u64,
}

/// A call as a process notes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Point {
    /// Its number, from 1; 0 for a process that does not count.
    pub number: u64,
    /// What was called.
    pub call: Call,
    /// The exporting node, where one is known.
    pub node: u32,
    /// The segment's id; of waits, the number of the bell; of what is done with an export of one's own, its row.
    pub id: u32,
    /// Milliseconds that a wait takes at most; `None` for one without a time-out, and for what is no wait.
    pub patience: Option<u32>,
    /// Who called, from the inside out: return addresses, those in rsm first.
    pub frames: Vec<Frame>,
}

/// An error that a call was answered with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// Its number.
    pub code: i32,
    /// Who called, as in a [`Point`].
    pub frames: Vec<Frame>,
}

/// Whether an error may befall a program that does everything right: others are late, gone or in the way, or something is
/// scarce. All others say that a call was wrong, or came at the wrong time.
pub fn may_befall(code: Code) -> bool {
    matches!(
        code,
        Code::CtlrNotPresent
            | Code::SegNotPublished
            | Code::SegNotPublishedToNode
            | Code::PermDenied
            | Code::InsufficientResources
            | Code::InsufficientMem
            | Code::MapFailed
            | Code::BarrierFailure
            | Code::RemoteNodeUnreachable
            | Code::ConnAborted
            | Code::Interrupted
            | Code::Timeout
    )
}

/// What a process says of its calls.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Called {
    /// Whether it counts: the first process of the gated node.
    pub counts: bool,
    /// How many calls it made.
    pub calls: u64,
    /// The call before which it was killed; 0: none.
    pub died_before: u64,
    /// Points for which there was no room.
    pub lost: u64,
    /// The longest time-out that a wait had, in milliseconds.
    pub patience: u32,
    /// The last call of which it is known who made it. A call about data is, without frames, in a process that does not count.
    pub last: Option<Point>,
    /// The calls that differ from all before them in kind, object or caller.
    pub points: Vec<Point>,
    /// The errors that calls were answered with and that [may not befall](may_befall) a program which does everything right:
    /// the first ones that differ in number or caller.
    pub failed: Vec<Failed>,
    /// Paths of the executable and the libraries that frames are in.
    pub modules: Vec<String>,
}

/// Frames of a point.
pub const MOST_FRAMES: usize = 28;
/// Points of a process.
pub const MOST_POINTS: usize = 1024;
/// Errors of a process.
pub const MOST_FAILED: usize = 16;
/// Modules of a process, and bytes of the path of each.
pub const MOST_MODULES: usize = 64;
const PATH_WORDS: usize = 32;
/// Longer paths are cut at their beginning.
pub const LONGEST_PATH: usize = PATH_WORDS * 8;

/// Bits of a call's word that say which; those above, one more than its patience.
const PATIENCE: u32 = 8;
/// Bits of a frame's word that say where; those above, one more than the module.
const OFFSET: u32 = 48;

#[repr(C)]
#[derive(Debug)]
struct PointRow {
    /// Odd while the words below change.
    sequence: AtomicU64,
    number: AtomicU64,
    call: AtomicU64,
    place: AtomicU64,
    frames: [AtomicU64; MOST_FRAMES],
}

/// The words of one process.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct CallsRow {
    /// Written by the agent, before the process has it.
    counts: AtomicU64,
    calls: AtomicU64,
    died_before: AtomicU64,
    lost: AtomicU64,
    used: AtomicU64,
    modules_used: AtomicU64,
    patience: AtomicU64,
    failed_used: AtomicU64,
    last: PointRow,
    points: [PointRow; MOST_POINTS],
    /// Their numbers are those of errors.
    failed: [PointRow; MOST_FAILED],
    modules: [[AtomicU64; PATH_WORDS]; MOST_MODULES],
}

impl Failed {
    /// `None` for what no process of this library writes.
    fn of(row: Point) -> Option<Failed> {
        let code = Code::from_number(i32::try_from(row.number).ok()?)?;
        Some(Failed { code: code.number(), frames: row.frames })
    }
}

impl PointRow {
    fn write(&self, point: &Point) {
        seq::write(&self.sequence, || {
            self.number.store(point.number, Relaxed);
            let patience = point.patience.map_or(0, |patience| u64::from(patience) + 1);
            self.call.store(point.call as u64 | patience << PATIENCE, Relaxed);
            self.place.store(u64::from(point.node) << 32 | u64::from(point.id), Relaxed);
            for (at, word) in self.frames.iter().enumerate() {
                let frame = point.frames.get(at);
                let value = frame.map_or(0, |f| u64::from(f.module + 1) << OFFSET | f.offset & ((1 << OFFSET) - 1));
                word.store(value, Relaxed);
            }
        });
    }

    /// `None` while it changes, before it was first written, and for what no process of this library writes.
    fn read(&self, modules: usize) -> Option<Point> {
        // Relaxed: that it was written stays so.
        if self.sequence.load(Relaxed) == 0 {
            return None;
        }
        let (number, call, place, frames) = seq::read(&self.sequence, || {
            let frames: Vec<u64> = self.frames.iter().map(|word| word.load(Relaxed)).collect();
            (self.number.load(Relaxed), self.call.load(Relaxed), self.place.load(Relaxed), frames)
        })?;
        let patience = (call >> PATIENCE).checked_sub(1).map(|patience| u32::try_from(patience).unwrap_or(u32::MAX));
        let (_, call) = *Call::ALL.get((call & ((1 << PATIENCE) - 1)) as usize)?;
        let frame = |word: u64| Frame { module: (word >> OFFSET) as u32 - 1, offset: word & ((1 << OFFSET) - 1) };
        let known = |word: &u64| (1..=modules as u64).contains(&(word >> OFFSET));
        let frames = frames.into_iter().take_while(known).map(frame).collect();
        Some(Point { number, call, node: (place >> 32) as u32, id: place as u32, patience, frames })
    }
}

impl CallsRow {
    /// Says that the process it is for counts. The agent, before it gives it away.
    pub fn appoint(&self) {
        // Relaxed: the process gets the memory by way of the kernel afterwards.
        self.counts.store(1, Relaxed);
    }

    /// Whether the process counts.
    pub fn counts(&self) -> bool {
        self.counts.load(Relaxed) != 0
    }

    /// Counts a call; its number. One thread at a time, as all that follows.
    pub fn count(&self) -> u64 {
        let number = self.calls.load(Relaxed) + 1;
        self.calls.store(number, Relaxed);
        number
    }

    /// Notes the call that is made next.
    pub fn note(&self, point: &Point) {
        self.last.write(point);
    }

    /// What was called last goes on with a wait.
    pub fn note_wait(&self, patience: u32) {
        // One word, so nobody finds it half changed.
        let call = self.last.call.load(Relaxed) & ((1 << PATIENCE) - 1);
        self.last.call.store(call | (u64::from(patience) + 1) << PATIENCE, Relaxed);
        self.note_patience(patience);
    }

    /// A wait takes so many milliseconds at most.
    pub fn note_patience(&self, patience: u32) {
        let longest = self.patience.load(Relaxed).max(patience.into());
        self.patience.store(longest, Relaxed);
    }

    /// Adds a point.
    pub fn add(&self, point: &Point) {
        let used = self.used.load(Relaxed);
        match self.points.get(used as usize) {
            Some(row) => {
                row.write(point);
                // Release: pairs with the acquire of `read`.
                self.used.store(used + 1, Release);
            }
            None => self.lost.store(self.lost.load(Relaxed) + 1, Relaxed),
        }
    }

    /// Adds an error; what there is no room for is left out.
    pub fn fail(&self, failed: &Failed) {
        let used = self.failed_used.load(Relaxed);
        if let Some(row) = self.failed.get(used as usize) {
            let (number, frames) = (failed.code.cast_unsigned().into(), failed.frames.clone());
            row.write(&Point { number, call: Call::Put, node: 0, id: 0, patience: None, frames });
            // Release: pairs with the acquire of `read`.
            self.failed_used.store(used + 1, Release);
        }
    }

    /// The index of the module with this path, which is taken in if it is new; `None` without room.
    pub fn module(&self, path: &[u8]) -> Option<u32> {
        let path = &path[path.len().saturating_sub(LONGEST_PATH)..];
        let used = (self.modules_used.load(Relaxed) as usize).min(MOST_MODULES);
        let words = |at: usize| {
            let mut bytes = [0; 8];
            let part = path.get(at * 8..).unwrap_or_default();
            let length = part.len().min(8);
            bytes[..length].copy_from_slice(&part[..length]);
            u64::from_le_bytes(bytes)
        };
        let is_it = |row: &[AtomicU64; PATH_WORDS]| row.iter().enumerate().all(|(at, w)| w.load(Relaxed) == words(at));
        if let Some(index) = self.modules[..used].iter().position(is_it) {
            return Some(index as u32);
        }
        let row = self.modules.get(used)?;
        row.iter().enumerate().for_each(|(at, word)| word.store(words(at), Relaxed));
        // Release: pairs with the acquire of `read`.
        self.modules_used.store(used as u64 + 1, Release);
        Some(used as u32)
    }

    /// Says that the process is about to be killed before this call.
    pub fn end(&self, number: u64) {
        // Release: who sees this sees the last call.
        self.died_before.store(number, Release);
    }

    /// Whether the process was killed at the gate; before which call.
    pub fn died_before(&self) -> Option<u64> {
        Some(acquire(&self.died_before)).filter(|&number| number != 0)
    }

    /// Reads it.
    pub fn read(&self) -> Called {
        let died_before = acquire(&self.died_before);
        let used = (acquire(&self.used) as usize).min(MOST_POINTS);
        let points: Vec<&PointRow> = self.points[..used].iter().collect();
        let failed = (acquire(&self.failed_used) as usize).min(MOST_FAILED);
        // Modules are there before the points that name them.
        let modules = (acquire(&self.modules_used) as usize).min(MOST_MODULES);
        let path = |row: &[AtomicU64; PATH_WORDS]| {
            let bytes: Vec<u8> = row.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
            let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..length]).into_owned()
        };
        Called {
            counts: self.counts(),
            calls: self.calls.load(Relaxed),
            died_before,
            lost: self.lost.load(Relaxed),
            patience: u32::try_from(self.patience.load(Relaxed)).unwrap_or(u32::MAX),
            last: self.last.read(modules),
            points: points.into_iter().filter_map(|row| row.read(modules)).collect(),
            failed: self.failed[..failed].iter().filter_map(|row| row.read(modules)).filter_map(Failed::of).collect(),
            modules: self.modules[..modules].iter().map(path).collect(),
        }
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    fn row() -> Box<CallsRow> {
        let zero = |_| AtomicU64::new(0);
        let point = |_| PointRow {
            sequence: zero(0),
            number: zero(0),
            call: zero(0),
            place: zero(0),
            frames: std::array::from_fn(zero),
        };
        Box::new(CallsRow {
            counts: zero(0),
            calls: zero(0),
            died_before: zero(0),
            lost: zero(0),
            used: zero(0),
            modules_used: zero(0),
            patience: zero(0),
            failed_used: zero(0),
            last: point(0),
            points: std::array::from_fn(point),
            failed: std::array::from_fn(point),
            modules: std::array::from_fn(|_| std::array::from_fn(zero)),
        })
    }

    #[test]
    fn calls_stand_in_their_order() {
        for (at, (name, call)) in Call::ALL.into_iter().enumerate() {
            assert_eq!((call as usize, call.to_string().as_str()), (at, name));
        }
        assert!(Call::Post.is_of_data() && !Call::Wait.is_of_data() && !Call::Disconnect.is_of_data());
    }

    #[test]
    fn what_was_noted_is_read() {
        let row = row();
        assert_eq!(row.read(), Called::default());
        row.appoint();
        let long = "x".repeat(LONGEST_PATH) + "/tail";
        let modules = [b"/bin/prog".as_slice(), b"/lib/librsm.so.1", long.as_bytes()].map(|path| row.module(path));
        assert_eq!(modules, [Some(0), Some(1), Some(2)]);
        assert_eq!((row.module(b"/lib/librsm.so.1"), row.module(b"/bin/pro")), (Some(1), Some(3)));
        let frames = vec![Frame { module: 1, offset: 0x1234 }, Frame { module: 0, offset: (1 << 48) - 1 }];
        let point = |call| {
            let patience = (call == Call::Wait).then_some(u32::MAX);
            Point { number: row.count(), call, node: 2, id: 0x40_0001, patience, frames: frames.clone() }
        };
        let (put, wait) = (point(Call::Put), point(Call::Wait));
        row.add(&put);
        row.note(&wait);
        row.note_patience(20_000);
        row.note_patience(10);
        assert_eq!(row.died_before(), None);
        row.end(2);
        row.note_wait(7);
        let read = row.read();
        let wait = Point { patience: Some(7), ..wait };
        assert_eq!((read.points, read.last.clone()), (vec![put], Some(wait)));
        assert!(read.counts && (read.calls, read.died_before, read.lost) == (2, 2, 0));
        assert_eq!(read.patience, 20_000);
        assert_eq!((row.died_before(), &*read.modules[1], read.modules[2].len()), (Some(2), "/lib/librsm.so.1", 256));
        assert!(read.modules[2].ends_with("x/tail"));
        let failed = Failed { code: Code::BadSegHndl.number(), frames: frames.clone() };
        row.fail(&failed);
        assert_eq!(row.read().failed, [failed]);
        // As a process leaves it that dies while it writes.
        row.last.sequence.store(7, Relaxed);
        assert_eq!(row.read().last, None);
    }

    #[test]
    fn what_no_process_of_this_library_writes_is_not_shown() {
        let row = row();
        let get = |number| Point { number, call: Call::Get, node: 1, id: 1, patience: None, frames: Vec::new() };
        row.add(&get(1));
        row.points[0].frames[0].store(9 << OFFSET, Relaxed);
        assert_eq!(row.read().points[0].frames, [], "there is no such module");
        row.points[0].call.store(14, Relaxed);
        assert_eq!(row.read().points, []);
        row.fail(&Failed { code: 46, frames: Vec::new() });
        assert_eq!(row.read().failed, [], "there is no such error");
        let one = Failed { code: Code::BadLength.number(), frames: Vec::new() };
        (0..2 * MOST_FAILED).for_each(|_| row.fail(&one));
        assert_eq!(row.read().failed.len(), MOST_FAILED - 1);
        for words in [&row.used, &row.modules_used, &row.failed_used] {
            words.store(u64::MAX, Relaxed);
        }
        assert_eq!((row.read().points.len(), row.read().modules.len()), (0, MOST_MODULES));
        assert_eq!(row.module(b"/bin/more"), None);
        row.used.store(MOST_POINTS as u64, Relaxed);
        row.add(&get(2));
        assert_eq!(row.read().lost, 1);
    }
}
