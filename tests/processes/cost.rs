//! What the data path must not cost: system calls and allocations.
#![allow(unsafe_code)] // a counting allocator

use rsm::{BarrierMode, Result};
use rsm_stories::node::Things;
use rsm_stories::{NodeProcess, cluster, patience, story};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

rsm_stories::commands! {
    /// What nodes of these stories can do beyond the common commands.
    enum Command {
        /// Transfers in every way; says how often memory was allocated meanwhile.
        Transfers "transfers" { name: String, rounds: u64 }
    }
}

pub(crate) fn more(things: &Things, words: &[String]) -> Option<Result<String>> {
    let Command::Transfers { name, rounds } = Command::read(words)?;
    Some(transfers(things, &name, rounds))
}

/// Puts, gets, spans and posts, `rounds` times; says how often memory was allocated meanwhile.
fn transfers(things: &Things, name: &str, rounds: u64) -> Result<String> {
    let import = Arc::clone(&things.imports.lock().unwrap()[name]);
    let bytes = [7u8; 256];
    let mut back = [0u8; 256];
    let before = ALLOCATIONS.get();
    for round in 0..rounds {
        for mode in [BarrierMode::Explicit, BarrierMode::Implicit] {
            import.set_mode(mode);
            import.put_u64(0, round)?;
            import.put(64, &bytes)?;
            import.get(64, &mut back)?;
            assert_eq!(import.get_u64(0)?, round);
        }
        let span = import.open_barrier()?;
        import.put_u64(8, round)?;
        span.order()?;
        span.close()?;
        import.signal()?;
        import.signal_no_accumulate()?;
    }
    Ok((ALLOCATIONS.get() - before).to_string())
}

thread_local! {
    /// Allocations of this thread: others of the library may be about something.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands every call on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

story!(transfers_allocate_nothing);
fn transfers_allocate_nothing() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    assert_eq!(importer.ok("transfers i 10000"), "0");
}

/// Counts the system calls of a node that transfers `rounds` times, from start to end.
fn system_calls(rounds: u64) -> Option<u64> {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    let counts = std::env::temp_dir().join(format!("rsm-test-{}-{rounds}", std::process::id()));
    let strace = ["strace", "-f", "-qq", "-o", counts.to_str()?];
    let mut importer = NodeProcess::under(&strace, cluster.environment(2).expect("a node"))?;
    importer.ok("connect i 1 0x400000 rw");
    importer.ok(&format!("transfers i {rounds}"));
    importer.end();
    let text = std::fs::read_to_string(&counts).expect("strace wrote its trace");
    std::fs::remove_file(&counts).expect("our file");
    Some(text.lines().filter(|line| line.contains('(')).count() as u64)
}

story!(transfers_make_no_system_call);
fn transfers_make_no_system_call() {
    let (Some(few), Some(many)) = (system_calls(1), system_calls(20_000)) else {
        println!("skipped: strace is not installed");
        return;
    };
    // The rest of the two runs is the same but for chance: a futex more or less.
    assert!(many.abs_diff(few) < 200, "{few} system calls with 1 round, {many} with 20000");
}

story!(an_idle_cluster_uses_no_processor_time);
fn an_idle_cluster_uses_no_processor_time() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("go w waitimport i forever");
    importer.until("asleep w", "ok true");
    // Voluntary and other switches of every thread, agent included: a thread that polls cannot keep them still. What had
    // something to do before may still fall asleep, on a busy machine for long: then another look is taken.
    let deadline = std::time::Instant::now() + patience();
    loop {
        let before = (switches(exporter.pid()), switches(importer.pid()), agent_switches());
        std::thread::park_timeout(std::time::Duration::from_millis(500));
        let after = (switches(exporter.pid()), switches(importer.pid()), agent_switches());
        if before == after {
            break;
        }
        let late = std::time::Instant::now() > deadline;
        assert!(!late, "{before:?} -> {after:?}: somebody wakes up with nothing to do");
    }
}

fn switches(pid: i32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    tasks.map(|task| switches_of(&task.expect("a thread").path())).sum()
}

fn agent_switches() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("ourselves").map(|t| t.expect("a thread").path());
    let agents = tasks.filter(|t| std::fs::read_to_string(t.join("comm")).is_ok_and(|c| c.trim() == "rsm-agent"));
    agents.map(|t| switches_of(&t)).sum()
}

/// Processor time the agents in this process have used, in clock ticks of 10 ms.
pub(crate) fn agent_ticks() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("ourselves").map(|t| t.expect("a thread").path());
    let stats =
        tasks.filter_map(|t| std::fs::read_to_string(t.join("stat")).ok()).filter(|s| s.contains("(rsm-agent)"));
    let ticks = |stat: String| -> u64 {
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields[11..13].iter().map(|f| f.parse::<u64>().expect("ticks")).sum()
    };
    stats.map(ticks).sum()
}

fn switches_of(task: &std::path::Path) -> u64 {
    let status = std::fs::read_to_string(task.join("status")).unwrap_or_default();
    let counts = status.lines().filter_map(|l| l.split_once("_ctxt_switches:"));
    counts.map(|(_, n)| n.trim().parse::<u64>().expect("a number")).sum()
}
