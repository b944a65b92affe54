//! Counting the calls of this process, and dying before one of them: what a [gate](rsm_core::lens::gate) asks for.
//!
//! Calls about data tell of themselves where they leave the plain path, which all imports of a cluster with a lens do;
//! requests where they are asked; waits where they look at the taps. Errors are noted where a call is left
//! with one, in C each call, in Rust transfers, requests and connects. Nobody else pays for it.
#![allow(unsafe_code)]

use super::{Membership, fork};
use crate::caller::{Modules, Stack};
use crate::cancel::Shield;
use crate::memory::tables::RecordMap;
use rsm_core::bell::Bell;
use rsm_core::lens::gate::{Call, CallsRow, Failed, Frame, Gate, MOST_FRAMES, Point, may_befall};
use rsm_core::message::Ask;
use rsm_core::{Code, Result};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// Calls of a membership in a cluster with a gate.
#[derive(Debug)]
pub(super) struct Calls {
    gate: Gate,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    /// Where they are noted, and [`fork::count`] of the process whose that is.
    row: Option<(u32, RecordMap)>,
    modules: Modules,
    /// The points that stand there.
    known: HashSet<(Call, u32, u32, Vec<Frame>)>,
    /// The errors that do.
    failed: HashSet<(i32, Vec<Frame>)>,
}

/// Those of all memberships of the process, and whether there were any: who has no membership at hand tells them all.
static ALL: Mutex<Vec<Weak<Calls>>> = Mutex::new(Vec::new());
static ANY: AtomicBool = AtomicBool::new(false);

/// A call is left with an error: noted in a cluster with a gate, if it says that the call was wrong.
#[cold]
#[inline(never)]
pub fn failed(code: Code) {
    // Relaxed: a thread whose calls count has joined, or was started by one that had.
    if !ANY.load(Relaxed) || may_befall(code) || fork::is_unannounced() {
        return;
    }
    let _shield = Shield::raise();
    // A child must not inherit a lock in the hands of another thread.
    let _hold = fork::hold();
    let all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
    all.iter().filter_map(Weak::upgrade).for_each(|calls| calls.fail(code));
}

impl Calls {
    /// None are counted yet.
    pub(super) fn new(gate: Gate) -> Arc<Calls> {
        let (known, failed) = Default::default();
        let noted = Noted { row: None, modules: Modules::default(), known, failed };
        let calls = Arc::new(Calls { gate, noted: Mutex::new(noted) });
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|calls| calls.strong_count() > 0);
        all.push(Arc::downgrade(&calls));
        ANY.store(true, Relaxed);
        calls
    }

    /// A call was answered with an error. Forks are held off.
    fn fail(&self, code: Code) {
        let noted = &mut *self.noted();
        let Some((_, record)) = noted.row.as_ref().filter(|(process, _)| *process == fork::count()) else { return };
        let Some(row) = record.calls() else { return };
        let failed = Failed { code: code.number(), frames: frames(row, &mut noted.modules) };
        if noted.failed.insert((failed.code, failed.frames.clone())) {
            row.fail(&failed);
        }
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes calls there from now on. The caller holds forks off.
    pub(super) fn note_in(&self, record: RecordMap) {
        self.noted().row = Some((fork::count(), record));
    }

    /// What was called last goes on with a wait.
    fn wait(&self, timeout: Duration) {
        if fork::is_unannounced() {
            return;
        }
        let _hold = fork::hold();
        if let Some((process, record)) = &self.noted().row
            && *process == fork::count()
            && let Some(row) = record.calls()
        {
            row.note_wait(milliseconds(timeout));
        }
    }

    /// A call is about to be made.
    fn begin(&self, call: Call, (node, id): (u32, u32), timeout: Option<Duration>) {
        if fork::is_unannounced() {
            return;
        }
        let _shield = Shield::raise();
        // A child must not inherit the lock in the hands of another thread.
        let _hold = fork::hold();
        let noted = &mut *self.noted();
        // In a forked child that the agent does not know yet, it is the parent's.
        let Some((_, record)) = noted.row.as_ref().filter(|(process, _)| *process == fork::count()) else { return };
        let Some(row) = record.calls() else { return };
        let number = if row.counts() { row.count() } else { 0 };
        let (dies, explored) = (number != 0 && number == self.gate.call, number != 0 && self.gate.call == 0);
        let frames = match dies || explored || (number == 0 && !call.is_of_data()) {
            true => frames(row, &mut noted.modules),
            false => Vec::new(),
        };
        let patience = timeout.map(milliseconds);
        row.note_patience(patience.unwrap_or(0));
        let point = Point { number, call, node, id, patience, frames };
        if explored && noted.known.insert((call, node, id, point.frames.clone())) {
            row.add(&point);
        }
        row.note(&point);
        if dies {
            row.end(number);
            die();
        }
    }
}

/// Who called rsm, from the inside out. Where rsm is a library of its own: where its function was that was called, and who
/// called that. Otherwise all return addresses there is room for: only names tell where rsm ends and the program begins.
#[inline(never)]
fn frames(row: &CallsRow, modules: &mut Modules) -> Vec<Frame> {
    let stack = Stack::here();
    let mut own = None;
    let mut frames: Vec<Frame> = Vec::new();
    // The first two are of this file.
    for &address in stack.addresses().iter().skip(2) {
        let Some((path, offset)) = modules.find(address) else { break };
        let is_library = path.rsplit(|&byte| byte == b'/').next().is_some_and(|name| name.starts_with(b"librsm."));
        let Some(module) = row.module(path) else { break };
        let library = *own.get_or_insert(is_library.then_some(module));
        if library == Some(module) {
            frames.clear();
        }
        frames.push(Frame { module, offset });
        if library.is_some_and(|library| library != module) || frames.len() == MOST_FRAMES {
            break;
        }
    }
    frames
}

/// As a record has it; a little longer than that for what is not whole.
fn milliseconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(u32::MAX)
}

/// Kills this process, as a crash of its node would.
fn die() -> ! {
    loop {
        // SAFETY: a plain call, which does not come back.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

impl Membership {
    /// Where calls are counted: this one is about to be made.
    #[cold]
    #[inline(never)]
    pub(super) fn called(&self, call: Call, node: u32, id: u32) {
        if let Some(calls) = &self.shared.calls {
            calls.begin(call, (node, id), None);
        }
    }

    /// Notes the error that a call is left with.
    #[inline]
    pub(super) fn noted<T>(result: Result<T>) -> Result<T> {
        result.inspect_err(|error| failed(error.code()))
    }

    /// The same for a wait.
    #[cold]
    #[inline(never)]
    pub fn called_to_wait(&self, bell: &Bell, timeout: Option<Duration>) {
        self.race_waits();
        self.begin_wait();
        if let Some(calls) = &self.shared.calls {
            calls.begin(Call::Wait, self.number_of(bell), timeout);
        }
    }

    /// A wait that is part of another call is about to begin.
    pub(super) fn will_wait(&self, timeout: Duration) {
        if let Some(calls) = &self.shared.calls {
            calls.wait(timeout);
        }
    }

    /// The same for a request, if it is one that counts by itself: connecting may take several.
    pub(super) fn called_to_ask(&self, ask: &Ask) {
        if self.shared.calls.is_none() {
            return;
        }
        let me = self.node().unwrap_or(0);
        // A segment of one's own is known by its row from its creation on, whether it is published or not.
        let (call, node, id) = match *ask {
            Ask::Create { .. } => (Call::Create, me, 0),
            Ask::Publish { segment, .. } => (Call::Publish, me, segment.row),
            Ask::Republish { segment, .. } => (Call::Republish, me, segment.row),
            Ask::Unpublish { segment } => (Call::Unpublish, me, segment.row),
            Ask::BeginRebind { segment } => (Call::Rebind, me, segment.row),
            Ask::Destroy { segment, .. } => (Call::Destroy, me, segment.row),
            Ask::Disconnect { connection } => (Call::Disconnect, me, connection.row),
            _ => return,
        };
        self.called(call, node, id);
    }

    /// Whose bell it is, and which.
    pub(super) fn number_of(&self, bell: &Bell) -> (u32, u32) {
        let address = std::ptr::from_ref(bell).addr();
        let peers = self.shared.peers.iter().enumerate().filter_map(|(node, bells)| Some((node as u32, bells.get()?)));
        let own = self.node().ok().zip(self.shared.bells.as_ref());
        let number = |bells: &crate::memory::tables::Bells| {
            let region = bells.region();
            let from = address.checked_sub(region.as_ptr().addr()).filter(|from| *from < region.len())?;
            Some((from / size_of::<Bell>()) as u32)
        };
        own.into_iter().chain(peers).find_map(|(node, bells)| Some((node, number(bells)?))).unwrap_or_default()
    }
}
