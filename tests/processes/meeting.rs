//! Operations that meet: on one range, on one export, and with importers that put all the while.
#![allow(unsafe_code)] // memory that is exported in place

use rsm::{AccessList, Code, Controller, Error, Permission, Result, SegmentId};
use rsm_core::bell::Accumulate;
use rsm_shm::membership::segment::Segment;
use rsm_shm::memory::page_size;
use rsm_stories::command::{Field, Words};
use rsm_stories::node::{Things, pages};
use rsm_stories::{NodeProcess, cluster, environment_of, patience, refused_as, story, wait_for};
use rustix::process::Signal;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

/// An export through the interface that the C library uses, which several threads may call at the same time.
struct Shared {
    segment: Segment,
    length: usize,
    /// The ranges that it had, the last one being the one that it has.
    ranges: Mutex<Vec<usize>>,
}

static SHARED: Mutex<Option<HashMap<String, Arc<Shared>>>> = Mutex::new(None);

/// The thread that takes something back has done so.
static OVER: AtomicBool = AtomicBool::new(false);

fn adopt(start: *mut u8, length: usize) -> Result<Segment> {
    let controller = Controller::open("shm0")?;
    // SAFETY: memory that is never unmapped, used through exports and volatile accesses only.
    unsafe { controller.node().membership().adopt(controller.index(), start, length, true) }
}

fn publish(segment: &Segment, id: u32) -> Result<u32> {
    segment.publish(id, &AccessList::everyone())
}

/// Exports a range under a name.
fn enter(name: &str, start: *mut u8, length: usize) -> Result<String> {
    let segment = adopt(start, length)?;
    let shared = Arc::new(Shared { segment, length, ranges: Mutex::new(vec![start.expose_provenance()]) });
    SHARED.lock().unwrap().get_or_insert_default().insert(name.to_owned(), shared);
    Ok(String::new())
}

impl Shared {
    fn rebind(&self) -> Result<()> {
        let fresh = pages(self.length);
        self.ranges.lock().unwrap().push(fresh.expose_provenance());
        // SAFETY: as in `adopt`.
        unsafe { self.segment.rebind(fresh, self.length) }
    }

    /// In how many of its ranges the word `slot` is what it was put to, its own number.
    fn found(&self, slot: usize) -> usize {
        let at = |start: &&usize| {
            let place = std::ptr::with_exposed_provenance::<u64>(**start + slot * 8);
            // SAFETY: inside memory that is never unmapped.
            let value = unsafe { place.read_volatile() };
            value == slot as u64
        };
        self.ranges.lock().unwrap().iter().filter(at).count()
    }
}

fn shared(name: &str) -> Arc<Shared> {
    Arc::clone(&SHARED.lock().unwrap().as_ref().expect("exported")[name])
}

/// Runs of slots, first and last, as `numbers` tells them: `-1-5,8-8`, and `-` for none.
#[derive(Clone, Debug)]
struct Runs(Vec<(usize, usize)>);

impl Field for Runs {
    fn take(words: &mut Words<'_>, what: &str) -> std::result::Result<Runs, String> {
        let word = words.next(what)?;
        let run = |run: &str| {
            let (first, last) = run.split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        };
        let runs = word.strip_prefix('-').map(|runs| runs.split(',').filter(|run| !run.is_empty()).map(run).collect());
        runs.flatten().map(Runs).ok_or_else(|| format!("its {what} {word:?} are no runs"))
    }
}

rsm_stories::choices! {
    /// How a word is put.
    enum How {
        /// By a put in implicit mode.
        Put "put"
        /// By a put in a span.
        Span "span"
        /// By a store through a mapping, in a span.
        Store "store"
    }
}

rsm_stories::commands! {
    /// What nodes of these stories can do beyond the common commands.
    enum Command {
        /// Exports fresh memory, for several threads.
        Seg "seg" { name: String, bytes: usize }
        /// The same with the one range that is kept for it.
        SegRoom "segroom" { name: String }
        /// Publishes it for everybody.
        SegPublish "segpublish" { name: String, id: u32 }
        /// Takes it back, which ends `exportstorm`.
        SegUnpublish "segunpublish" { name: String }
        /// Rebinds it again and again.
        SegRebinds "segrebinds" { name: String, rounds: usize }
        /// In how many of its ranges slots are what was put, but for these runs of them.
        SegOnce "segonce" { name: String, slots: usize, not: Runs }
        /// Puts its number to each slot; says which were to be done again.
        Numbers "numbers" { name: String, slots: usize, rounds: usize, how: How }
        /// Exports its range once more, again and again.
        ExportStorm "exportstorm" { name: String }
        /// Threads that export, publish and take back at the same time.
        Meet "meet" { threads: usize, rounds: usize }
        /// The same with one export.
        MeetOne "meetone" { rounds: usize }
    }
}

pub(crate) fn more(things: &Things, words: &[String]) -> Option<Result<String>> {
    let done = |()| String::new();
    Some(match Command::read(words)? {
        Command::Seg { name, bytes } => enter(&name, pages(bytes), bytes),
        Command::SegRoom { name } => {
            static ROOM: OnceLock<usize> = OnceLock::new();
            let room = *ROOM.get_or_init(|| pages(1 << 16).expose_provenance());
            enter(&name, std::ptr::with_exposed_provenance_mut(room), 1 << 16)
        }
        Command::SegPublish { name, id } => publish(&shared(&name).segment, id).map(|_| String::new()),
        Command::SegUnpublish { name } => {
            let told = shared(&name).segment.unpublish().map(done);
            OVER.store(told.is_ok(), SeqCst);
            told
        }
        Command::SegRebinds { name, rounds } => rebinds(&shared(&name), rounds).map(done),
        Command::SegOnce { name, slots, not } => Ok(once(&shared(&name), slots, &not)),
        Command::Numbers { name, slots, rounds, how } => numbers(things, &name, slots, rounds, how),
        Command::ExportStorm { name } => export_storm(&shared(&name)).map(|rounds| rounds.to_string()),
        Command::Meet { threads, rounds } => meet(threads, rounds),
        Command::MeetOne { rounds } => meet_on_one(rounds),
    })
}

/// Rebinds a segment to fresh memory, again and again. Each time its importer begins at the same moment.
fn rebinds(shared: &Shared, rounds: usize) -> Result<()> {
    for _ in 0..rounds {
        shared.segment.post(Accumulate::Yes)?;
        shared.rebind()?;
        shared.segment.wait(Some(patience()))?;
    }
    Ok(())
}

/// Puts its number to each slot, some of them in each round; says which of them were to be done again, as runs.
fn numbers(things: &Things, name: &str, slots: usize, rounds: usize, how: How) -> Result<String> {
    let import = Arc::clone(&things.imports.lock().unwrap()[name]);
    let mapping = import.map(0, import.len(), Permission::ReadWrite)?;
    let mut again: Vec<(usize, usize)> = Vec::new();
    let put = |slot: usize| -> Result<()> {
        let (offset, value) = (slot as u64 * 8, slot as u64);
        if how == How::Put {
            return import.put_u64(offset, value);
        }
        let span = import.open_barrier()?;
        if how == How::Span {
            import.put_u64(offset, value)?;
        } else {
            mapping.memory().atomic_u64(offset)?.store(value, Relaxed);
        }
        span.close()
    };
    for round in 0..rounds {
        import.wait(Some(patience()))?;
        for slot in (1 + round * slots / rounds)..(1 + (round + 1) * slots / rounds).min(slots) {
            match put(slot) {
                Ok(()) => {}
                Err(error) if error.code() == Code::BarrierFailure => match again.last_mut() {
                    Some((_, last)) if *last + 1 == slot => *last = slot,
                    _ => again.push((slot, slot)),
                },
                Err(error) => return Err(error),
            }
            // So that the round lasts about as long as the rebind.
            for _ in 0..slot % 64 {
                std::hint::spin_loop();
            }
        }
        import.signal()?;
    }
    let runs: Vec<String> = again.iter().map(|(first, last)| format!("{first}-{last}")).collect();
    Ok(format!("-{}", runs.join(",")))
}

/// Looks for every number but those of some runs: how many are in no range of a segment, in one, in more.
fn once(shared: &Shared, slots: usize, not: &Runs) -> String {
    let mut counts = [0; 3];
    for slot in (1..slots).filter(|slot| !not.0.iter().any(|(first, last)| (*first..=*last).contains(slot))) {
        counts[shared.found(slot).min(2)] += 1;
    }
    format!("none {} more {} one {}", counts[0], counts[2], counts[1])
}

/// Exports a range once more, again and again, until the first export of it was taken back. Whatever is put through the
/// second one must be in the range.
fn export_storm(first: &Shared) -> Result<u64> {
    let start = std::ptr::with_exposed_provenance_mut::<u8>(first.ranges.lock().unwrap()[0]);
    let mut rounds = 0;
    while !OVER.load(SeqCst) {
        rounds += 1;
        let segment = adopt(start, first.length)?;
        publish_and_put(&segment, start, rounds % 512, rounds)?;
        segment.destroy()?;
    }
    Ok(rounds)
}

/// Publishes a segment, connects to it, puts, and looks whether that is in the range that it exports.
fn publish_and_put(segment: &Segment, start: *mut u8, slot: u64, value: u64) -> Result<()> {
    let controller = Controller::open("shm0")?;
    let id = SegmentId::new(publish(segment, 0)?);
    let import = controller.connect(controller.node().id(), id, Permission::ReadWrite)?;
    import.put_u64(slot * 8, value)?;
    // SAFETY: inside memory that is never unmapped.
    let found = unsafe { start.cast::<u64>().add(slot as usize).read_volatile() };
    if found != value {
        return Err(Error::with(
            Code::InternalError,
            format!("a put of {value} succeeded, and {found} is in the range"),
        ));
    }
    import.disconnect()
}

/// Threads that export one range at the same time, each time anew, and look for what they put.
fn meet(threads: usize, rounds: usize) -> Result<String> {
    let start = pages(1 << 16).expose_provenance();
    let work = |thread: usize| -> Result<()> {
        let start = std::ptr::with_exposed_provenance_mut::<u8>(start);
        for round in 0..rounds {
            let segment = adopt(start, 1 << 16)?;
            publish_and_put(&segment, start, thread as u64, round as u64 + 1)?;
            if (round + thread).is_multiple_of(3) {
                segment.unpublish()?;
                publish_and_put(&segment, start, thread as u64, round as u64)?;
            }
            segment.destroy()?;
        }
        Ok(())
    };
    let told: Result<()> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    });
    // All of them have let go: it is ordinary memory, and can be exported as anything.
    told.and_then(|()| adopt(std::ptr::with_exposed_provenance_mut::<u8>(start).wrapping_add(page_size()), page_size()))
        .and_then(|segment| segment.destroy())
        .map(|()| String::new())
}

/// Threads that publish, take back, rebind and republish one export, while another imports it and puts numbers.
fn meet_on_one(rounds: usize) -> Result<String> {
    const SLOTS: usize = 1 << 15;
    let start = pages(SLOTS * 8);
    let ranges = Mutex::new(vec![start.expose_provenance()]);
    let shared = &Shared { segment: adopt(start, SLOTS * 8)?, length: SLOTS * 8, ranges };
    let (done, next, refused) = (&AtomicBool::new(false), &AtomicU64::new(1), &AtomicU64::new(0));
    let allowed = |told: Result<()>, codes: &[Code]| match told {
        Err(error) if codes.contains(&error.code()) => {
            refused.fetch_add(1, Relaxed);
            Ok(())
        }
        told => told,
    };
    let put = || -> Result<Vec<usize>> {
        let controller = Controller::open("shm0")?;
        let mut good = Vec::new();
        while !done.load(SeqCst) {
            let Ok(import) =
                controller.connect(controller.node().id(), SegmentId::new(0x40_0000), Permission::ReadWrite)
            else {
                continue;
            };
            while !done.load(SeqCst) {
                let slot = next.fetch_add(1, Relaxed) as usize;
                if slot >= SLOTS {
                    return Ok(good);
                }
                match import.put_u64(slot as u64 * 8, slot as u64) {
                    Ok(()) => good.push(slot),
                    Err(error) if error.code() == Code::BarrierFailure => std::thread::yield_now(),
                    Err(error) if error.code() == Code::ConnAborted => break,
                    Err(error) => return Err(error),
                }
                std::thread::yield_now();
            }
            import.disconnect()?;
        }
        Ok(good)
    };
    let again = |work: &dyn Fn() -> Result<()>| (0..rounds).try_for_each(|_| work());
    let good = std::thread::scope(|scope| -> Result<Vec<usize>> {
        let importer = scope.spawn(put);
        let published = || allowed(publish(&shared.segment, 0x40_0000).map(drop), &[Code::SegAlreadyPublished]);
        let threads = [
            scope.spawn(move || again(&published)),
            scope.spawn(move || again(&published)),
            scope.spawn(move || again(&|| allowed(shared.segment.unpublish(), &[Code::SegNotPublished]))),
            scope.spawn(move || again(&|| shared.rebind())),
            scope.spawn(move || again(&|| shared.rebind())),
            scope.spawn(move || {
                let republish = || shared.segment.republish(&AccessList::everyone());
                again(&|| allowed(republish(), &[Code::SegNotPublished]))
            }),
        ];
        let told: Vec<Result<()>> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        done.store(true, SeqCst);
        let good = importer.join().expect("no panic");
        told.into_iter().collect::<Result<()>>()?;
        good
    })?;
    let mut lost: Vec<usize> = good.clone();
    lost.retain(|slot| shared.found(*slot) != 1);
    if !lost.is_empty() {
        let text = format!("{} of {} puts are not in exactly one range: {lost:?}", lost.len(), good.len());
        return Err(Error::with(Code::InternalError, text));
    }
    Ok(format!("{} puts, {} refusals", good.len(), refused.load(Relaxed)))
}

/// All words of a MiB but the last: no multiple of 4096, which would be taken for a number of pages.
const SLOTS: usize = (1 << 17) - 1;
const ROUNDS: usize = 24;

/// An exporter that rebinds and an importer that puts, each in a process of its own; `meanwhile` goes on until both are
/// ready. Then every put that succeeded is in one range.
fn rebind_under(how: &str, mut meanwhile: impl FnMut(&NodeProcess)) {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok(&format!("seg e {}", (SLOTS + 1) * 8));
    exporter.ok("segpublish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    exporter.ok(&format!("go r segrebinds e {ROUNDS}"));
    importer.ok(&format!("go p numbers i {SLOTS} {ROUNDS} {how}"));
    let deadline = std::time::Instant::now() + patience();
    while exporter.ok("running r") == "true" {
        meanwhile(&importer);
        assert!(std::time::Instant::now() < deadline, "the rebinds do not end");
    }
    assert_eq!(exporter.ok("join r"), "ok");
    let answer = importer.ok("join p");
    let again = answer.strip_prefix("ok ").unwrap_or_else(|| panic!("{answer}"));
    let found = exporter.ok(&format!("segonce e {SLOTS} {again}"));
    println!("{how}: {found}; {} runs to be done again", again.split(',').filter(|run| run.len() > 1).count());
    assert!(found.starts_with("none 0 more 0 "), "{how}: {found}");
    // And what is put now is in the last one.
    importer.ok("put i 0 5");
    exporter.ok("segunpublish e");
    importer.fails("put i 0 6", Code::ConnAborted);
}

story!(each_put_during_a_rebind_is_in_one_range_or_to_be_done_again);
fn each_put_during_a_rebind_is_in_one_range_or_to_be_done_again() {
    for how in ["put", "span", "store"] {
        rebind_under(how, |_| std::thread::yield_now());
    }
}

story!(each_put_of_an_importer_that_is_stopped_during_rebinds_is_in_one_range);
fn each_put_of_an_importer_that_is_stopped_during_rebinds_is_in_one_range() {
    rebind_under("put", |importer| {
        importer.stop();
        importer.signal(Signal::CONT);
    });
}

story!(an_export_of_memory_that_moves_away_has_the_new_memory);
fn an_export_of_memory_that_moves_away_has_the_new_memory() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("seg e 8388608");
    for _ in 0..5 {
        exporter.ok("segpublish e 0x400000");
        importer.ok("connect i 1 0x400000 rw");
        importer.stop();
        exporter.ok("go s exportstorm e");
        // Not while the other export has importers; that is said, and it is asked again.
        loop {
            let answer = exporter.ask("segunpublish e");
            if answer.starts_with("ok") {
                break;
            }
            assert!(refused_as(&answer, Code::InsufficientResources), "{answer}");
        }
        let storm = exporter.ok("join s");
        assert!(storm.starts_with("ok"), "{storm}");
        importer.signal(Signal::CONT);
        importer.fails("put i 0 1", Code::ConnAborted);
        importer.ok("disconnect i");
    }
}

story!(threads_that_export_one_range_do_not_hinder_each_other);
fn threads_that_export_one_range_do_not_hinder_each_other() {
    let cluster = cluster(1);
    let mut node = NodeProcess::start(&cluster, 1);
    for _ in 0..6 {
        node.ok("meet 4 10");
    }
}

story!(who_waits_for_a_range_sleeps_and_can_be_interrupted);
fn who_waits_for_a_range_sleeps_and_can_be_interrupted() {
    let mut host = NodeProcess::with(Vec::new());
    let mut node = NodeProcess::with(environment_of(&host.ok("host 1")));
    node.ok("handler");
    node.ok("export x 4096");
    host.stop();
    // One thread is in the middle of exporting the range, for as long as the agent does not answer.
    node.ok("go a segroom a");
    node.until("asleep a", "ok true");
    node.ok("go b segroom b");
    node.until("asleep b", "ok true");
    wait_for("the other to be interrupted", || {
        node.ok("poke b");
        node.ok("running b") == "false"
    });
    assert!(refused_as(&node.ok("join b"), Code::Interrupted));
    node.ok("go b segroom b");
    host.signal(Signal::CONT);
    assert_eq!((node.ok("join a"), node.ok("join b")), ("ok".to_owned(), "ok".to_owned()));
    host.kill();
}

story!(operations_on_one_export_wait_for_each_other);
fn operations_on_one_export_wait_for_each_other() {
    let cluster = cluster(1);
    let mut node = NodeProcess::start(&cluster, 1);
    // Threads that hand on to each other get far apart on a busy machine: each answer has a time limit of its own.
    for _ in 0..10 {
        println!("{}", node.ok("meetone 4"));
    }
}
