//! `failover [UPDATES]`: a table that outlives the node that serves it. `docs/failover.md` explains it;
//! `failover.py` is the same in Python.
//!
//! ```text
//! rsm-ctl run -n 4 --example failover -- 5000 &
//! rsm-ctl node kill 1                              node 2 takes over, and the readers go on there
//! ```
//!
//! Node 1 is the primary, node 2 the standby, all others read. The primary serves the table in sealed memory, which readers
//! map: reading it asks nobody. An update goes to the standby first, and to the readers when it has arrived there; so what
//! anybody has read, the standby has.

use rsm::{AccessList, Code, Controller, EndCause, Error, Export, Import, Memory, Permission, Result, SegmentId};
use std::process::ExitCode;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// The table, of whoever serves it.
const TABLE: SegmentId = SegmentId::new(0x40_0000);
/// Where the standby receives updates.
const LOG: SegmentId = SegmentId::new(0x40_0001);
/// A multiple of any page size Linux knows.
const LENGTH: usize = 64 << 10;
const PRIMARY: u32 = 1;
const STANDBY: u32 = 2;
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it is waited for one server before the other one is tried.
const MOMENT: Duration = Duration::from_millis(20);

/// Entries of the table. Update number N writes N to each, so that whoever sees different ones has seen half an update.
const ENTRIES: usize = 64;
/// In the segment: the lock, then the entries.
const LOCK: u64 = 0;
const FIRST: u64 = 64;
/// In the log: the number of the last update, then two places for updates in turn.
const NUMBER: u64 = 0;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let updates = match &arguments[..] {
        [] => Some(2000),
        [updates] => updates.parse().ok().filter(|&updates| updates > 0),
        _ => None,
    };
    let Some(updates) = updates else {
        eprintln!("usage: failover [UPDATES]    1 or more");
        return ExitCode::from(2);
    };
    let run = || {
        let shm = Controller::open("shm0")?;
        match (shm.node().id(), shm.node().node_count()) {
            (_, ..3) => Err(Error::with(Code::CtlrNotPresent, "a primary, a standby and a reader are three nodes")),
            (PRIMARY, _) => lead(&shm, updates),
            (STANDBY, _) => stand_by(&shm, updates),
            (me, _) => read(&shm, me, updates),
        }
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("failover: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The primary.
fn lead(shm: &Controller, updates: u64) -> Result<()> {
    let mut log = Some(shm.connect_within(STANDBY, LOG, Permission::Write, PATIENCE)?);
    let table = serve(shm, [0; ENTRIES])?;
    // The standby and every reader say that they are there.
    for _ in 2..=shm.node().node_count() {
        table.wait(Some(PATIENCE))?;
    }
    println!("node {PRIMARY}: serves");
    for number in 1..=updates {
        let entries = [number; ENTRIES];
        if let Some(standby) = &log {
            match record(standby, number, &entries) {
                Err(error) if error.code() == Code::ConnAborted => match standby.why_aborted() {
                    // It serves nobody, and never will: safe to go on alone.
                    Some(EndCause::ExporterEnded | EndCause::NodeKilled) => log = None,
                    // It has taken over, or may: whoever is cut off from the standby must not serve.
                    _ => {
                        println!("node {PRIMARY}: steps down: {}", error.detail());
                        return Ok(());
                    }
                },
                other => other?,
            }
        }
        write(&table.memory(), &entries)?;
        std::thread::sleep(Duration::from_millis(1));
    }
    see_off(&table, shm.node().node_count() - 2)?;
    // Nobody is left but the standby, which hears that all is over.
    table.signal()
}

/// The standby.
fn stand_by(shm: &Controller, updates: u64) -> Result<()> {
    let log = shm.export(LENGTH)?;
    log.publish(LOG, &AccessList::everyone())?;
    let primary = shm.connect_within(PRIMARY, TABLE, Permission::Read, PATIENCE)?;
    primary.signal()?;
    // For ever: it ends with the signal at the end, or with the connection.
    match primary.wait(None) {
        Err(error) if error.code() == Code::ConnAborted => println!("node {STANDBY}: takes over: {}", error.detail()),
        other => return other,
    }
    // From here on no put of the old primary arrives, should it be alive behind a broken link.
    log.unpublish()?;
    let last = log.memory().load_u64(NUMBER, Ordering::Acquire)?;
    let mut entries = [0; ENTRIES];
    for (place, entry) in (slot(last)..).step_by(8).zip(&mut entries) {
        *entry = log.memory().read_volatile_u64(place)?;
    }
    let table = serve(shm, entries)?;
    for number in last + 1..=updates {
        write(&table.memory(), &[number; ENTRIES])?;
        std::thread::sleep(Duration::from_millis(1));
    }
    println!("node {STANDBY}: served from update {} on", last + 1);
    see_off(&table, shm.node().node_count() - 2)
}

/// Where an update is in the log. The one before it stays whole until this one is.
fn slot(number: u64) -> u64 {
    4096 * (1 + number % 2)
}

/// Sends an update to the standby, until it has arrived or the connection is lost.
fn record(standby: &Import, number: u64, entries: &[u64]) -> Result<()> {
    loop {
        // Two puts in implicit mode: the second is not made before the first has arrived.
        match standby.put_u64s(slot(number), entries).and_then(|()| standby.put_u64(NUMBER, number)) {
            Err(error) if error.code() == Code::BarrierFailure => {}
            other => return other,
        }
    }
}

fn serve(shm: &Controller, entries: [u64; ENTRIES]) -> Result<Export> {
    let table = shm.export_sealed(LENGTH)?;
    write(&table.memory(), &entries)?;
    table.publish(TABLE, &AccessList::readers())?;
    Ok(table)
}

/// Waits until each reader has said good-bye. Who died does not: so not for ever.
fn see_off(table: &Export, readers: u32) -> Result<()> {
    for _ in 0..readers {
        match table.wait(Some(PATIENCE)) {
            Err(error) if error.code() == Code::Timeout => return Ok(()),
            other => other?,
        }
    }
    Ok(())
}

/// Changes the table under its sequence lock: odd while it is changed.
fn write(table: &Memory<'_>, entries: &[u64]) -> Result<()> {
    let lock = table.atomic_u64(LOCK)?;
    let before = lock.load(Ordering::Relaxed); // there is one writer
    lock.store(before + 1, Ordering::Relaxed);
    // Pairs with the Acquire loads of entries in `look`: who sees a new entry sees the odd lock.
    fence(Ordering::Release);
    for (place, &entry) in (FIRST..).step_by(8).zip(entries) {
        table.atomic_u64(place)?.store(entry, Ordering::Relaxed);
    }
    // Pairs with the first Acquire load in `look`.
    lock.store(before + 2, Ordering::Release);
    Ok(())
}

/// The table as it was at one moment; nothing when it was being changed.
fn look(table: &Memory<'_>) -> Result<Option<[u64; ENTRIES]>> {
    let before = table.load_u64(LOCK, Ordering::Acquire)?;
    let mut entries = [0; ENTRIES];
    for (place, entry) in (FIRST..).step_by(8).zip(&mut entries) {
        *entry = table.load_u64(place, Ordering::Acquire)?;
    }
    let is_whole = before % 2 == 0 && table.load_u64(LOCK, Ordering::Relaxed)? == before;
    Ok(is_whole.then_some(entries))
}

/// A reader: reads until it has seen the last update, from whoever serves.
fn read(shm: &Controller, me: u32, updates: u64) -> Result<()> {
    let (mut seen, mut servers) = (0, Vec::new());
    let mut is_known = false;
    while seen < updates {
        let (server, import) = find(shm)?;
        // The primary waits for everybody before it begins.
        if server == PRIMARY && !is_known {
            is_known = import.signal().is_ok();
        }
        if servers.last() != Some(&server) {
            servers.push(server);
        }
        match follow(&import, &mut seen, updates) {
            Err(error) if error.code() == Code::ConnAborted => {}
            other => other?,
        }
    }
    let servers: Vec<String> = servers.iter().map(u32::to_string).collect();
    println!("node {me}: update {seen}, read from node {}", servers.join(" and node "));
    Ok(())
}

/// Connects to whoever serves the table, and says so.
fn find(shm: &Controller) -> Result<(u32, Import)> {
    for _ in 0..PATIENCE.as_millis() / MOMENT.as_millis() {
        for server in [PRIMARY, STANDBY] {
            match shm.connect_within(server, TABLE, Permission::Read, MOMENT / 2) {
                Err(error) if error.code() == Code::Timeout => {}
                other => return other.map(|import| (server, import)),
            }
        }
    }
    Err(Error::with(Code::Timeout, "nobody serves the table"))
}

fn follow(import: &Import, seen: &mut u64, updates: u64) -> Result<()> {
    let map = import.map(0, LENGTH, Permission::Read)?;
    while *seen < updates {
        // Memory of a server that is gone leads to trash: what was read counts only if the span says that it was the table.
        let span = map.open_barrier()?;
        let entries = look(&map.memory())?;
        span.close()?;
        // A server that dies at its change leaves it half done, and the span says so soon: never wait for the lock alone.
        let Some(entries) = entries else { continue };
        assert!(entries.iter().all(|&entry| entry == entries[0]), "half an update: {entries:?}");
        assert!(entries[0] >= *seen, "update {} after update {seen}", entries[0]);
        *seen = entries[0];
        std::thread::yield_now();
    }
    // Good-bye.
    import.signal()
}
