//! Contexts: transfers that are ordered and completed apart from others.
#![allow(unsafe_code)] // who destroys a context promises that nobody uses it

use crate::job::{self, Job, job};
use crate::kept::Kept;
use crate::local::{Local, Sym};
use crate::region::Region;
use crate::target::{Peer, Spot, Target};
use crate::team::{self, Team};
use crate::{Call, end as job_end};
use std::ffi::{c_int, c_long};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// `shmem_ctx_t`: 0 for none, 1 for the default one, otherwise slot and generation.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Handle(usize);

impl Handle {
    fn slot(self) -> usize {
        self.0 >> 1 & (MOST - 1)
    }
}

/// SHMEM_CTX_INVALID.
const INVALID: Handle = Handle(0);
/// SHMEM_CTX_DEFAULT.
pub(crate) const DEFAULT: Handle = Handle(1);
/// Contexts at a time, but for the default one.
const MOST: usize = 1024;
/// Bits of a handle below its generation: a slot, and 0, which the default context has not.
const SLOT_BITS: usize = 11;
/// SHMEM_CTX_SERIALIZED, SHMEM_CTX_PRIVATE and SHMEM_CTX_NOSTORE.
const OPTIONS: c_long = 1 | 2 | 4;

/// A context.
pub(crate) struct Context {
    pub(crate) handle: Handle,
    pub(crate) team: Arc<Team>,
    /// The team's PEs.
    pub(crate) targets: Box<[Target]>,
    /// This PE's symmetric memory, here because every transfer looks at it.
    pub(crate) regions: [Region; 2],
}

/// The contexts that there are.
pub(crate) struct Table {
    slots: Box<[Kept<Context>]>,
    /// For handles that are never given out twice.
    generation: AtomicUsize,
    /// Who makes or ends one.
    turn: Mutex<()>,
}

impl Default for Table {
    fn default() -> Table {
        let slots = (0..MOST).map(|_| Kept::default()).collect();
        Table { slots, generation: AtomicUsize::new(1), turn: Mutex::default() }
    }
}

impl Context {
    pub(crate) fn for_team(
        (peers, regions): (&[Peer], [Region; 2]),
        team: &Arc<Team>,
        handle: Option<Handle>,
    ) -> Context {
        let targets = team.members.iter().map(|&pe| Target::new(peers[pe])).collect();
        Context { handle: handle.unwrap_or(DEFAULT), team: Arc::clone(team), targets, regions }
    }

    /// A PE of it, or the end of the job.
    #[inline(always)]
    pub(crate) fn target(&self, call: &Call, pe: c_int) -> &Target {
        // A negative number is a large one.
        match self.targets.get(pe as usize) {
            Some(target) => target,
            None => self.fail_pe(call, pe),
        }
    }

    #[cold]
    #[inline(never)]
    extern "C" fn fail_pe(&self, call: &Call, pe: c_int) -> ! {
        let (last, whose) =
            (self.targets.len() - 1, if self.handle == DEFAULT { "" } else { " of the context's team" });
        job_end::fail(call, format_args!("pe {pe} does not exist: PEs{whose} are 0 to {last}"))
    }

    /// A spot, looked up with all that can be wrong with it.
    pub(crate) fn spot(
        &self,
        (job, call): (&Job, &Call),
        argument: &str,
        (sym, bytes, align): (Sym, usize, usize),
        pe: c_int,
    ) -> Spot<'_> {
        let target = self.target(call, pe);
        let (place, side, offset) = job.on(call, argument, sym, bytes, align, target.peer.pe);
        Spot { target, side, offset, place }
    }
}

/// The context of a handle, if it is one: for the short way of transfers, which leaves what is wrong to the other one.
#[inline(always)]
pub(crate) fn find(handle: Handle) -> Option<&'static Context> {
    let job = job::current()?;
    if handle == DEFAULT { Some(&job.default) } else { job.contexts.find(handle) }
}

/// The default context.
#[inline(always)]
pub(crate) fn default(call: &'static Call) -> &'static Context {
    &job(call).default
}

/// The context of a handle, or the end of the job.
#[inline(always)]
pub(crate) fn of(call: &'static Call, handle: Handle) -> &'static Context {
    let job = job(call);
    if handle == DEFAULT {
        return &job.default;
    }
    match job.contexts.find(handle) {
        Some(context) => context,
        None => fail_handle(call, handle),
    }
}

/// The same, where SHMEM_CTX_INVALID asks for nothing.
#[inline(always)]
pub(crate) fn unless_invalid(call: &'static Call, handle: Handle) -> Option<&'static Context> {
    if handle == INVALID {
        job(call);
        return None;
    }
    Some(of(call, handle))
}

#[cold]
#[inline(never)]
extern "C" fn fail_handle(call: &Call, handle: Handle) -> ! {
    if handle == INVALID {
        job_end::fail(call, "ctx is SHMEM_CTX_INVALID");
    }
    job_end::fail(call, format_args!("ctx {:#x} is no context, or one that was destroyed", handle.0))
}

impl Table {
    fn find(&self, handle: Handle) -> Option<&'static Context> {
        self.slots[handle.slot()].get().filter(|context| context.handle == handle)
    }

    /// A new context; `None` where there are as many as there can be.
    pub(crate) fn enter(&self, job: &Job, team: &Arc<Team>) -> Option<Handle> {
        let _turn = job::lock(&self.turn);
        let free = self.slots.iter().position(|slot| slot.get().is_none())?;
        // Relaxed: only to be another number each time.
        let handle = Handle(self.generation.fetch_add(1, Relaxed) << SLOT_BITS | free << 1);
        self.slots[free].put(Context::for_team((&job.peers, job.regions), team, Some(handle)));
        Some(handle)
    }

    /// The contexts that there are.
    pub(crate) fn all(&self) -> Vec<Handle> {
        self.slots.iter().filter_map(Kept::get).map(|context| context.handle).collect()
    }

    /// Ends a context. Its handle is of no use from then on, and told if it is used again.
    pub(crate) fn leave(&self, handle: Handle) {
        let _turn = job::lock(&self.turn);
        if self.find(handle).is_some() {
            // SAFETY: it is an error of the program, by the standard, to use a context that is destroyed at the same time.
            unsafe { self.slots[handle.slot()].remove() };
        }
    }
}

/// `shmem_ctx_create`.
pub(crate) fn create(call: &'static Call, options: c_long, ctx: Local) -> c_int {
    make(call, &Arc::clone(&job(call).world), options, ctx)
}

/// `shmem_team_create_ctx`.
pub(crate) fn create_for(call: &'static Call, team: team::Handle, options: c_long, ctx: Local) -> c_int {
    match team::of(call, "team", team) {
        Some(team) => make(call, &team, options, ctx),
        None => {
            give(call, ctx, INVALID);
            -1
        }
    }
}

fn make(call: &'static Call, team: &Arc<Team>, options: c_long, ctx: Local) -> c_int {
    if options & !OPTIONS != 0 {
        job_end::fail(
            call,
            format_args!("options {options:#x} are none of SHMEM_CTX_SERIALIZED, _PRIVATE and _NOSTORE"),
        );
    }
    let job = job(call);
    match job.contexts.enter(job, team) {
        Some(handle) => {
            job::lock(&team.contexts).push(handle);
            give(call, ctx, handle);
            0
        }
        None => {
            give(call, ctx, INVALID);
            -1
        }
    }
}

fn give(call: &Call, ctx: Local, handle: Handle) {
    if ctx.is_null() {
        job_end::fail(call, "ctx is NULL");
    }
    ctx.write(0, handle);
}

/// `shmem_ctx_destroy`.
pub(crate) fn destroy(call: &'static Call, handle: Handle) {
    if handle == INVALID {
        return;
    }
    if handle == DEFAULT {
        job_end::fail(call, "ctx is SHMEM_CTX_DEFAULT, which cannot be destroyed");
    }
    let context = of(call, handle);
    job::lock(&context.team.contexts).retain(|other| *other != handle);
    end(call, handle);
}

/// Completes what was begun through a context, and ends it.
pub(crate) fn end(call: &'static Call, handle: Handle) {
    crate::order::quiet(of(call, handle), call);
    job(call).contexts.leave(handle);
}

/// `shmem_ctx_get_team`.
pub(crate) fn get_team(call: &'static Call, handle: Handle, team: Local) -> c_int {
    if team.is_null() {
        job_end::fail(call, "team is NULL");
    }
    if handle == INVALID {
        team.write(0, team::INVALID);
        return -1;
    }
    team.write(0, of(call, handle).team.handle);
    0
}
