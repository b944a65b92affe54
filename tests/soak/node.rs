//! A node: one process that does random verbs until its input ends, and says what it saw.
//!
//! Lines it writes: `ops N` now and then; `vouched PUBLICATION NODE SEQUENCE`, `found PUBLICATION NODE SEQUENCE`,
//! `posted EXPORT COUNT`, `taken EXPORT COUNT`, which the other side's lines are held against; `bad TEXT`.

use super::random::Random;
use super::record::{LENGTH, NODES, WORDS, check, offset, record};
use rsm::{AccessList, BarrierMode, Code, Controller, Error, Export, Import, Permission, SegmentId};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

const FIRST_ID: u32 = 0x40_0000;
const EXPORTS: u32 = 2;
/// What a wait may take beyond its deadline, on a machine with other work, the time of stops included.
const LATE: Duration = Duration::from_secs(10);
/// Sent when the node is to end.
static END: AtomicBool = AtomicBool::new(false);

fn say(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{line}").and_then(|()| out.flush()).is_err() {
        std::process::exit(3); // nobody listens
    }
}

macro_rules! say {
    ($($text:tt)*) => { say(format_args!($($text)*)) };
}

/// An export of this node.
struct Mine {
    export: Export,
    name: u64,
    slot: u32,
    publication: Option<u64>,
    taken: u64,
}

/// An import of somebody's.
struct Theirs {
    import: Import,
    /// 0 when the exporter had not said it yet.
    publication: u64,
    export: u64,
    sequence: u32,
    vouched: u32,
    posted: u64,
}

struct Node {
    id: u32,
    random: Random,
    controller: Controller,
    mine: Vec<Mine>,
    theirs: Vec<Theirs>,
    operations: u64,
}

pub(crate) fn run(seed: u64) {
    std::thread::spawn(|| {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0) {}
        END.store(true, Relaxed);
    });
    let controller = Controller::open("shm0").expect("a controller");
    let id = controller.node().id();
    let random = Random::new(seed);
    let mut node = Node { id, random, controller, mine: Vec::new(), theirs: Vec::new(), operations: 0 };
    let mut told = Instant::now();
    let result = loop {
        if END.load(Relaxed) {
            break node.end();
        }
        if let Err(text) = node.step() {
            break Err(text);
        }
        node.operations += 1;
        if told.elapsed() > Duration::from_millis(100) {
            told = Instant::now();
            say!("ops {}", std::mem::take(&mut node.operations));
        }
    };
    say!("ops {}", node.operations);
    if let Err(text) = result {
        say!("bad {text}");
        std::process::exit(1);
    }
    say!("ended");
}

/// Whether an error is one that deaths and faults of others explain.
fn is_trouble(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::ConnAborted
            | Code::BarrierFailure
            | Code::RemoteNodeUnreachable
            | Code::SegNotPublished
            | Code::SegNotPublishedToNode
            | Code::Timeout
            | Code::Interrupted
    )
}

fn fine<T>(what: &str, result: rsm::Result<T>) -> Result<Option<T>, String> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_trouble(&error) => Ok(None),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

impl Node {
    fn step(&mut self) -> Result<(), String> {
        match self.random.below(20) {
            0 => self.create(),
            1 => self.publish(),
            2 if self.random.one_in(4) => self.unpublish(),
            3 if self.random.one_in(8) => self.destroy(),
            4 | 5 => self.connect(),
            6 if self.random.one_in(4) => self.disconnect(),
            7..=11 => self.put(),
            12 | 13 => self.get(),
            14 => self.post(),
            15 => self.post_all(),
            16 => self.wait_export(),
            17 => self.wait_import(),
            18 => self.map(),
            _ => self.look(),
        }
    }

    fn some_of_mine(&mut self) -> Option<usize> {
        let count = self.mine.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn some_of_theirs(&mut self) -> Option<usize> {
        let count = self.theirs.len() as u64;
        (count > 0).then(|| self.random.below(count) as usize)
    }

    fn create(&mut self) -> Result<(), String> {
        let Some(slot) = (0..EXPORTS).find(|slot| self.mine.iter().all(|mine| mine.slot != *slot)) else {
            return Ok(());
        };
        let export = self.controller.export(LENGTH).map_err(|e| format!("export: {e}"))?;
        let name = self.random.next();
        self.mine.push(Mine { export, name, slot, publication: None, taken: 0 });
        Ok(())
    }

    fn publish(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_mine() else { return Ok(()) };
        if self.mine[at].publication.is_some() {
            return Ok(());
        }
        let publication = self.random.next() | 1;
        let mine = &mut self.mine[at];
        let memory = mine.export.memory();
        memory.write(0, &[0; LENGTH]).map_err(|e| format!("clear: {e}"))?;
        memory.write_volatile_u64(8, mine.name).map_err(|e| format!("name: {e}"))?;
        memory.write_volatile_u64(0, publication).map_err(|e| format!("number: {e}"))?;
        match mine.export.publish(SegmentId::new(FIRST_ID + mine.slot), &AccessList::everyone()) {
            Ok(_) => mine.publication = Some(publication),
            // The process of this node before this one is dead, and the agent may not have noticed yet.
            Err(error) if error.code() == Code::SegidInUse => {}
            Err(error) => return Err(format!("publish: {error}")),
        }
        Ok(())
    }

    /// When unpublish has returned, what stands there stays, and each record is one that its writer made for this
    /// publication.
    fn unpublish(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_mine() else { return Ok(()) };
        self.withdraw(at)
    }

    fn withdraw(&mut self, at: usize) -> Result<(), String> {
        let pause = self.random.millis(0, 3);
        let mine = &mut self.mine[at];
        let Some(publication) = mine.publication.take() else { return Ok(()) };
        mine.export.unpublish().map_err(|e| format!("unpublish: {e}"))?;
        let memory = mine.export.memory();
        let (mut before, mut after) = (vec![0; LENGTH], vec![0; LENGTH]);
        memory.read(0, &mut before).map_err(|e| format!("read: {e}"))?;
        std::thread::park_timeout(pause);
        memory.read(0, &mut after).map_err(|e| format!("read: {e}"))?;
        if let Some(place) = before.iter().zip(&after).position(|(b, a)| b != a) {
            return Err(format!("offset {place} changed after unpublish had returned"));
        }
        for writer in 1..=NODES {
            let words = words_at(&before, offset(writer));
            say!("found {publication} {writer} {}", check(publication, writer, &words)?);
        }
        while mine.export.wait(Some(Duration::ZERO)).is_ok() {
            mine.taken += 1;
        }
        Ok(())
    }

    fn destroy(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_mine() else { return Ok(()) };
        self.withdraw(at)?;
        let mine = self.mine.swap_remove(at);
        say!("taken {} {}", mine.name, mine.taken);
        mine.export.destroy().map_err(|e| format!("destroy: {e}"))
    }

    fn connect(&mut self) -> Result<(), String> {
        if self.theirs.len() >= 8 {
            return Ok(());
        }
        let from = 1 + self.random.below(u64::from(NODES)) as u32;
        let id = SegmentId::new(FIRST_ID + self.random.below(u64::from(EXPORTS)) as u32);
        // One import of a segment: its record has one writer.
        if self.theirs.iter().any(|theirs| theirs.import.node() == from) {
            return Ok(());
        }
        let began = Instant::now();
        let connected = if self.random.one_in(4) {
            let within = self.random.millis(1, 50);
            self.controller.connect_within(from, id, Permission::ReadWrite, within)
        } else {
            self.controller.connect(from, id, Permission::ReadWrite)
        };
        in_time("connect", began, Duration::from_millis(50))?;
        let Some(import) = fine("connect", connected)? else { return Ok(()) };
        // Implicit gets: what is read under a good verdict is of this publication.
        let Some(publication) = fine("get", import.get_u64(0))? else { return Ok(()) };
        let Some(export) = fine("get", import.get_u64(8))? else { return Ok(()) };
        let mut words = [0; WORDS];
        let Some(()) = fine("get", import.get_u64s(offset(self.id), &mut words))? else { return Ok(()) };
        // A process of this node may have written here before.
        let highest = words.iter().enumerate().try_fold(0, |highest: u32, (place, word)| {
            super::record::sequence(publication, self.id, place, *word).map(|sequence| highest.max(sequence))
        })?;
        self.theirs.push(Theirs { import, publication, export, sequence: highest, vouched: 0, posted: 0 });
        Ok(())
    }

    fn disconnect(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_theirs() else { return Ok(()) };
        self.give_back(at)
    }

    fn give_back(&mut self, at: usize) -> Result<(), String> {
        let theirs = self.theirs.swap_remove(at);
        say!("vouched {} {} {}", theirs.publication, self.id, theirs.vouched);
        say!("posted {} {}", theirs.export, theirs.posted);
        theirs.import.disconnect().map_err(|e| format!("disconnect: {e}"))
    }

    /// A put with a verdict, or a span; then the same record again, if the connection stands.
    fn put(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_theirs() else { return Ok(()) };
        let (span, id) = (self.random.one_in(2), self.id);
        let theirs = &mut self.theirs[at];
        theirs.sequence += 1;
        let words = record(theirs.publication, id, theirs.sequence);
        let stored = if span {
            theirs.import.set_mode(BarrierMode::Explicit);
            let stored = theirs.import.open_barrier().and_then(|span| {
                theirs.import.put_u64s(offset(id), &words)?;
                span.order()?;
                span.close()
            });
            theirs.import.set_mode(BarrierMode::Implicit);
            stored
        } else {
            theirs.import.put_u64s(offset(id), &words)
        };
        if fine("put", stored)?.is_none() {
            return self.trouble(at);
        }
        theirs.vouched = theirs.sequence;
        let mut back = [0; WORDS];
        match fine("get", theirs.import.get_u64s(offset(id), &mut back))? {
            Some(()) if back != words => {
                Err(format!("a vouched record of publication {:#x} reads back as {back:x?}", theirs.publication))
            }
            Some(()) => Ok(()),
            None => self.trouble(at),
        }
    }

    /// Something failed: gives a cut connection back; a link error passes.
    fn trouble(&mut self, at: usize) -> Result<(), String> {
        if self.theirs[at].import.is_aborted() { self.give_back(at) } else { Ok(()) }
    }

    /// Any node's record in a segment that is still connected is whole, and of this publication.
    fn get(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_theirs() else { return Ok(()) };
        let writer = 1 + self.random.below(u64::from(NODES)) as u32;
        let theirs = &self.theirs[at];
        let mut words = [0; WORDS];
        match fine("get", theirs.import.get_u64s(offset(writer), &mut words))? {
            Some(()) => check(theirs.publication, writer, &words).map(drop),
            None => self.trouble(at),
        }
    }

    fn post(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_theirs() else { return Ok(()) };
        if self.random.one_in(4) {
            return match fine("post", self.theirs[at].import.signal_no_accumulate())? {
                Some(()) => Ok(()),
                None => self.trouble(at),
            };
        }
        match fine("post", self.theirs[at].import.signal())? {
            Some(()) => {
                self.theirs[at].posted += 1;
                Ok(())
            }
            None => self.trouble(at),
        }
    }

    fn post_all(&mut self) -> Result<(), String> {
        self.mine.iter().try_for_each(|mine| mine.export.signal().map_err(|e| format!("post: {e}")))
    }

    fn wait_export(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_mine() else { return Ok(()) };
        let within = self.random.millis(0, 20);
        let began = Instant::now();
        if fine("wait", self.mine[at].export.wait(Some(within)))?.is_some() {
            self.mine[at].taken += 1;
        }
        in_time("wait on an export", began, within)
    }

    /// Now and then without a deadline: a post, the withdrawal or the exporter's death ends it. Only for exporters with
    /// lower numbers, so that nodes do not all wait for each other.
    fn wait_import(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_theirs() else { return Ok(()) };
        let lower = self.theirs[at].import.node() < self.id;
        let within = if self.random.one_in(20) && lower { None } else { Some(self.random.millis(0, 20)) };
        let began = Instant::now();
        match self.theirs[at].import.wait(within) {
            Err(error) if error.code() == Code::ConnAborted => self.give_back(at)?,
            other => drop(fine("wait", other)?),
        }
        in_time("wait on an import", began, within.unwrap_or(Duration::from_secs(30)))
    }

    fn map(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_theirs() else { return Ok(()) };
        let theirs = &mut self.theirs[at];
        let Some(mapping) = fine("map", theirs.import.map(0, LENGTH, Permission::ReadWrite))? else {
            return self.trouble(at);
        };
        theirs.sequence += 1;
        let words = record(theirs.publication, self.id, theirs.sequence);
        let span = mapping.open_barrier().map_err(|e| format!("open: {e}"))?;
        for (place, word) in words.iter().enumerate() {
            let at = offset(self.id) + 8 * place as u64;
            mapping.memory().write_volatile_u64(at, *word).map_err(|e| format!("store: {e}"))?;
        }
        match fine("close", span.close())? {
            Some(()) => {
                theirs.vouched = theirs.sequence;
                Ok(())
            }
            None => {
                drop(mapping);
                self.trouble(at)
            }
        }
    }

    /// The exporter's own look at what is published: whole words only.
    fn look(&mut self) -> Result<(), String> {
        let Some(at) = self.some_of_mine() else { return Ok(()) };
        let mine = &self.mine[at];
        let Some(publication) = mine.publication else { return Ok(()) };
        for writer in 1..=NODES {
            let memory = mine.export.memory();
            let mut words = [0; WORDS];
            for (place, word) in words.iter_mut().enumerate() {
                let at = offset(writer) + 8 * place as u64;
                *word = memory.read_volatile_u64(at).map_err(|e| format!("load: {e}"))?;
            }
            check(publication, writer, &words)?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        while !self.theirs.is_empty() {
            self.give_back(0)?;
        }
        while !self.mine.is_empty() {
            self.withdraw(0)?;
            let mine = self.mine.swap_remove(0);
            say!("taken {} {}", mine.name, mine.taken);
            mine.export.destroy().map_err(|e| format!("destroy: {e}"))?;
        }
        Ok(())
    }
}

fn words_at(bytes: &[u8], offset: u64) -> [u64; WORDS] {
    std::array::from_fn(|place| {
        let at = offset as usize + 8 * place;
        u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
    })
}

/// Whether a call kept its deadline, but for what a busy machine and the longest stop explain.
fn in_time(what: &str, began: Instant, within: Duration) -> Result<(), String> {
    let took = began.elapsed();
    if took > within + LATE { Err(format!("{what} took {took:?}, its deadline was {within:?}")) } else { Ok(()) }
}
