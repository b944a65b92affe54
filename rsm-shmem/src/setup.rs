//! Begin and end of the library, and what it is asked about itself.

use crate::job::context::{self, Context};
use crate::job::team::{self, Team};
use crate::job::{self, Job, job};
use crate::local::{Local, Sym};
use crate::mutex::lock;
use crate::region::{DATA, HEAP};
use crate::settings::Settings;
use crate::spin::Spinning;
use crate::{Call, collective, contexts, end, exit, launch, wait};
use std::ffi::{c_int, c_void};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, Mutex};

/// Name of the library: SHMEM_VENDOR_STRING.
const VENDOR: &[u8] = b"rsm\0";
/// SHMEM_THREAD_SINGLE to SHMEM_THREAD_MULTIPLE.
const THREAD_LEVELS: std::ops::RangeInclusive<c_int> = 0..=3;
/// SHMEM_THREAD_MULTIPLE.
const MULTIPLE: c_int = 3;

/// How far this process is.
static STAGE: AtomicU32 = AtomicU32::new(BEFORE);
const BEFORE: u32 = 0;
const RUNS: u32 = 1;
const OVER: u32 = 2;

/// `shmem_init`.
pub(crate) fn init(call: &'static Call) {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = lock(&TURN);
    // Acquire: pairs with the Release below.
    match STAGE.load(Acquire) {
        RUNS => return,
        OVER => end::fail(call, "the library was finalized, and cannot be set up again"),
        _ => {}
    }
    let job = begin(call);
    STAGE.store(RUNS, Release);
    drop(turn);
    // Everybody is there; nobody puts anything before.
    collective::sync_all(call);
    tell_of(job);
}

fn begin(call: &'static Call) -> &'static Job {
    let settings = Settings::read().unwrap_or_else(|what| end::fail(call, what));
    let launched = launch::launch(&settings).unwrap_or_else(|what| end::fail(call, what));
    end::this_is(launched.me);
    wait::can_order_everywhere();
    let peers = launched.peers.into_boxed_slice();
    let predefined = Team::predefined(peers.len(), launched.me);
    let world = Arc::clone(&predefined[0]);
    // Relaxed: written before PE 0's memory was published, which this one has found.
    let spinning = Spinning::new(peers.len(), peers[0].control.processors.load(Relaxed));
    let job = job::enter(Job {
        me: launched.me,
        regions: launched.regions,
        default: Context::for_team((&peers, launched.regions), &world, None),
        peers,
        contexts: context::Table::default(),
        world,
        teams: team::Table::new(predefined),
        heap: Mutex::default(),
        locks: Default::default(),
        sleepers: Default::default(),
        spinning,
        is_lensed: launched.is_lensed,
        closes_all: launched.closes_all,
        tells: launched.tells,
        settings,
        _exports: launched.exports,
    });
    if job.count() > 1
        && let Err(error) = exit::watch(job)
    {
        end::fail(call, format_args!("no thread for shmem_global_exit: {error}"));
    }
    job
}

/// What SHMEM_INFO, SHMEM_VERSION and SHMEM_DEBUG ask for.
fn tell_of(job: &Job) {
    let settings = &job.settings;
    if job.me == 0 && settings.version {
        println!("OpenSHMEM 1.5, rsm {}", env!("CARGO_PKG_VERSION"));
    }
    if job.me == 0 && settings.info {
        println!("SHMEM_SYMMETRIC_SIZE={} bytes of symmetric heap on each PE; 64M if not set", settings.heap);
        println!("SHMEM_INFO: set, this text");
        println!("SHMEM_VERSION: {}, the versions", if settings.version { "set" } else { "not set" });
        println!("SHMEM_DEBUG: {}, what each PE does", if settings.debug { "set" } else { "not set" });
    }
    if settings.debug {
        let (heap, data) = (job.regions[HEAP], job.regions[DATA]);
        end::say(format_args!(
            "one of {} PEs; heap {:#x}, {} bytes; global variables {:#x}, {} bytes",
            job.count(),
            heap.start,
            heap.length,
            data.start,
            data.length
        ));
    }
}

/// `shmem_init_thread`.
pub(crate) fn init_thread(call: &'static Call, requested: c_int, provided: Local) -> c_int {
    if !THREAD_LEVELS.contains(&requested) {
        return -1;
    }
    init(call);
    query_thread(call, provided);
    0
}

/// `shmem_query_thread`.
pub(crate) fn query_thread(call: &'static Call, provided: Local) {
    job(call);
    if provided.is_null() {
        end::fail(call, "provided is NULL");
    }
    provided.write(0, MULTIPLE);
}

/// `shmem_finalize`.
pub(crate) fn finalize(call: &'static Call) {
    let job = job(call);
    // AcqRel would order nothing more: what is done after is ordered by the barrier. Of two threads one does it.
    if STAGE.swap(OVER, Acquire) == OVER {
        return;
    }
    for context in job.contexts.all() {
        contexts::end(call, context);
    }
    // Before the barrier: no PE of this program ends, and so makes room for one of the next, before all have said so.
    // Release: pairs with the Acquire in `launch::find`.
    job.control().over.store(1, Release);
    collective::barrier_all(call);
    for peer in &job.peers {
        // Release: pairs with the Acquire in `wait`, for whom being cut off comes after it.
        peer.control.departed.fetch_or(1 << job.me, Release);
    }
}

/// `start_pes`: the oldest programs never finalize.
pub(crate) fn start_pes(call: &'static Call, npes: c_int) {
    extern "C" fn ended() {
        // Relaxed: of the thread that ends the process, which began it.
        if STAGE.load(Relaxed) == RUNS {
            finalize(&Call("exit"));
        }
    }
    // Relaxed: as above.
    let is_first = STAGE.load(Relaxed) == BEFORE;
    init(call);
    let count = job(call).count();
    if npes != 0 && npes as usize != count && job(call).settings.debug {
        end::say(format_args!("{call}: npes is {npes}; the launcher has started {count}"));
    }
    if is_first {
        end::at_exit(ended);
    }
}

pub(crate) fn my_pe(call: &'static Call) -> c_int {
    job(call).me as c_int
}

pub(crate) fn n_pes(call: &'static Call) -> c_int {
    job(call).count() as c_int
}

pub(crate) fn pe_accessible(call: &'static Call, pe: c_int) -> c_int {
    // A negative number is a large one.
    ((pe as usize) < job(call).count()).into()
}

pub(crate) fn addr_accessible(call: &'static Call, addr: Sym, pe: c_int) -> c_int {
    (!ptr(call, addr, pe).is_null()).into()
}

/// `shmem_ptr`.
pub(crate) fn ptr(call: &'static Call, dest: Sym, pe: c_int) -> *mut c_void {
    let job = job(call);
    let found = job.peers.get(pe as usize).zip(job.find(dest, 1));
    let reached = found.and_then(|(peer, (side, _))| peer.sides[side].connection);
    if let Some(connection) = reached.filter(|_| job.is_lensed) {
        connection.race_maps_unseen();
    }
    let base = found.map(|(peer, (side, offset))| (peer.sides[side].base, offset));
    base.filter(|(base, _)| !base.is_null())
        .map_or(std::ptr::null_mut(), |(base, offset)| base.wrapping_add(offset).cast())
}

pub(crate) fn version(call: &'static Call, major: Local, minor: Local) {
    for (name, place, number) in [("major", major, 1), ("minor", minor, 5)] {
        if place.is_null() {
            end::fail(call, format_args!("{name} is NULL"));
        }
        place.write::<c_int>(0, number);
    }
}

pub(crate) fn name(call: &'static Call, name: Local) {
    if name.is_null() {
        end::fail(call, "name is NULL");
    }
    name.bytes_mut(VENDOR.len()).copy_from_slice(VENDOR);
}

pub(crate) fn pcontrol(call: &'static Call, level: c_int) {
    if job::current().is_some_and(|job| job.settings.debug) {
        end::say(format_args!("{call}: level {level}; no tool has taken its place"));
    }
}

/// Functions about caches, which are coherent.
pub(crate) fn coherent(call: &'static Call) {
    job(call);
}

/// The same, of a line.
pub(crate) fn coherent_at(call: &'static Call, dest: Sym) {
    job(call).own(call, "dest", dest, 1, 1);
}
