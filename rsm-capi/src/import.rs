//! Imports: connecting, mapping, modes.

use crate::controller::ControllerObject;
use crate::entry::{entry, fail};
use crate::polled::Polled;
use crate::table::{self, Kind, Object, Slot};
use rsm::{Controller, Permission};
use rsm_core::{Code, Error, Result};
use rsm_shm::membership::connection::{BarrierMode, Connection};
use rsm_shm::membership::flags::Flags;
use rsm_shm::membership::part::Part;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const MAP_FIXED: c_uint = 1;

/// An import that a program has.
pub(crate) struct ImportObject {
    pub(crate) connection: Arc<Connection>,
    state: Mutex<State>,
    pub(crate) polled: Polled,
}

impl Object for ImportObject {
    const KIND: Kind = Kind::Import;
}

/// What is not in the slot, or must not change while something else does.
struct State {
    mapped: Mapped,
    /// The barrier storage that implicit transfers use; compared, never followed.
    barrier: usize,
}

enum Mapped {
    No,
    /// By a transfer, the whole segment.
    Implicitly,
    /// By `rsm_memseg_import_map`.
    Explicitly {
        _part: Part,
    },
}

impl ImportObject {
    /// Works on the state. Forks are held off: a child must not inherit the lock in the hands of another thread. So
    /// nothing here may need the agent: a forked child has tried to make itself known before.
    fn with_state<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let _hold = rsm_shm::membership::without_forks();
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Maps the whole segment because a transfer needs it (reference 1.14 step 6).
    pub(crate) fn map_implicitly(&self, slot: &Slot) -> Result<()> {
        self.connection.adopt_process()?;
        self.with_state(|state| {
            if !matches!(state.mapped, Mapped::No) {
                return Ok(());
            }
            if self.connection.has_ended() {
                return fail(Code::ConnAborted);
            }
            state.mapped = Mapped::Implicitly;
            show_part(
                slot,
                &self.connection,
                self.connection.base(),
                (0, self.connection.length()),
                self.connection.permission(),
            );
            Ok(())
        })
    }

    fn unmap(&self) -> Mapped {
        self.with_state(|state| {
            self.connection.flags().clear(Flags::PART);
            std::mem::replace(&mut state.mapped, Mapped::No)
        })
    }

    /// Makes `storage` the barrier of implicit transfers.
    pub(crate) fn set_barrier(&self, storage: usize) {
        self.with_state(|state| {
            state.barrier = storage;
            self.connection.flags().set(Flags::BARRIER);
        });
    }

    /// Takes it back, if it is the current one (D-51).
    pub(crate) fn clear_barrier(&self, storage: usize) {
        self.with_state(|state| {
            if state.barrier == storage {
                state.barrier = 0;
                self.connection.flags().clear(Flags::BARRIER);
            }
        });
    }
}

fn show_part(slot: &Slot, connection: &Connection, base: *mut u8, (start, length): (u64, u64), permission: Permission) {
    slot.base.store(base.expose_provenance(), Relaxed);
    slot.start.store(start, Relaxed);
    slot.length.store(length, Relaxed);
    slot.room.store(length.saturating_sub(8), Relaxed);
    let part = Flags::MAPPED.and(Flags::of_part(permission));
    connection.flags().show(if length >= 8 { part.and(Flags::READY) } else { part });
}

/// An import handle and its slot.
pub(crate) fn import(handle: u64) -> Result<(&'static ImportObject, &'static Slot)> {
    let slot = table::import(handle).ok_or(Error::new(Code::BadSegHndl))?;
    // SAFETY: an import's; releasing a handle in use is the caller's mistake (3.12).
    Ok((unsafe { slot.object() }, slot))
}

/// The connection of an import handle.
#[inline(always)]
pub(crate) fn connection(handle: u64) -> Result<&'static Connection> {
    let slot = table::import(handle).ok_or(Error::new(Code::BadSegHndl))?;
    // SAFETY: as above.
    Ok(unsafe { slot.connection() })
}

/// Connects. Reference 1.12.
///
/// # Safety
/// `im_memseg` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_connect(
    controller: u64,
    node: u32,
    segment_id: u32,
    permission: u32,
    im_memseg: *mut u64,
) -> c_int {
    // SAFETY: the caller's promise.
    entry(|| unsafe { connect(controller, (node, segment_id, permission), None, im_memseg) })
}

/// Connects at once, or within a time.
///
/// # Safety
/// As [`rsm_memseg_import_connect`].
pub(crate) unsafe fn connect(
    controller: u64,
    (node, segment_id, permission): (u32, u32, u32),
    within: Option<Duration>,
    im_memseg: *mut u64,
) -> Result<()> {
    let connect = |controller: &Controller, permission| {
        let (membership, index) = (controller.node().membership(), controller.index());
        match within {
            None => membership.connect(index, node, segment_id, permission),
            Some(within) => membership.connect_within(index, node, segment_id, permission, within),
        }
    };
    // SAFETY: the caller's promise.
    unsafe { connect_by(controller, permission, im_memseg, connect) }
}

/// Connects in whatever way, with the checks of what a program has given.
///
/// # Safety
/// `im_memseg` is NULL or writable.
pub(crate) unsafe fn connect_by(
    controller: u64,
    permission: u32,
    im_memseg: *mut u64,
    connect: impl FnOnce(&Controller, Permission) -> Result<Arc<Connection>>,
) -> Result<()> {
    let object = table::find::<ControllerObject>(controller, Code::BadCtlrHndl)?;
    if im_memseg.is_null() {
        return fail(Code::BadSegHndl);
    }
    // SAFETY: writable by the caller's promise.
    unsafe { im_memseg.write(0) };
    let Some(permission) = Permission::from_bits(permission) else { return fail(Code::PermDenied) };
    let connection = connect(&object.controller, permission)?;
    let state = Mutex::new(State { mapped: Mapped::No, barrier: 0 });
    let (handle, slot) = table::insert(ImportObject { connection, state, polled: Polled::default() })?;
    // SAFETY: inserted just now, and known to nobody yet.
    slot.set_connection(&unsafe { slot.object::<ImportObject>() }.connection);
    // SAFETY: as above.
    unsafe { im_memseg.write(handle) };
    Ok(())
}

/// Disconnects. Reference 1.13; an implicit mapping is gone even when a poll descriptor is in the way (D-48).
#[unsafe(no_mangle)]
pub extern "C" fn rsm_memseg_import_disconnect(im_memseg: u64) -> c_int {
    entry(|| {
        let (object, _) = import(im_memseg)?;
        if object.with_state(|state| matches!(state.mapped, Mapped::Explicitly { .. })) {
            return fail(Code::SegStillMapped);
        }
        object.unmap();
        object.polled.check_unused()?;
        let object = table::remove::<ImportObject>(im_memseg, Code::BadSegHndl)?;
        drop(object);
        Ok(())
    })
}

/// Maps. Reference 1.26.
///
/// # Safety
/// `address` is NULL or readable and writable; with RSM_MAP_FIXED the caller owns the range it names.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_map(
    im_memseg: u64,
    address: *mut *mut c_void,
    attr: c_uint,
    permission: u32,
    offset: i64,
    length: usize,
) -> c_int {
    entry(|| {
        let (object, slot) = import(im_memseg)?;
        if address.is_null() {
            return fail(Code::BadAddr);
        }
        object.connection.adopt_process()?;
        object.with_state(|state| {
            if !matches!(state.mapped, Mapped::No) {
                return fail(Code::SegAlreadyMapped);
            }
            let permission = match Permission::from_bits(permission) {
                Some(permission) if permission != Permission::None => permission,
                _ => return fail(Code::BadPerms),
            };
            if length == 0 {
                return fail(Code::BadLength);
            }
            let Ok(offset) = u64::try_from(offset) else { return fail(Code::BadOffset) };
            object.connection.check_part(offset, length, permission)?;
            // SAFETY: readable by the caller's promise.
            let wanted = unsafe { address.read() };
            let aligned = wanted.addr().is_multiple_of(rsm_shm::memory::page_size());
            let fixed = attr & MAP_FIXED != 0;
            if fixed && (!aligned || wanted.is_null()) {
                return fail(Code::BadMemAlignment);
            }
            let place = fixed.then_some(wanted.cast());
            let hint = if aligned { wanted.cast() } else { std::ptr::null_mut() };
            // SAFETY: the caller owns what it names with RSM_MAP_FIXED; that replaces what is mapped there.
            let part = unsafe { object.connection.part_at(place, hint, (offset, length), permission) }?;
            let start = part.memory().as_ptr();
            // A part of a connection that reads is readable, whatever less was asked for (D-38).
            let reads = permission.reads() || object.connection.permission().reads();
            let rights = if permission.writes() && reads { Permission::ReadWrite } else { permission };
            show_part(slot, &object.connection, start, (offset, length as u64), rights);
            state.mapped = Mapped::Explicitly { _part: part };
            // SAFETY: writable by the caller's promise.
            unsafe { address.write(start.cast()) };
            Ok(())
        })
    })
}

/// Unmaps, whoever mapped. Reference 1.27.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_memseg_import_unmap(im_memseg: u64) -> c_int {
    entry(|| {
        let (object, _) = import(im_memseg)?;
        match object.unmap() {
            Mapped::No => fail(Code::SegNotMapped),
            Mapped::Implicitly | Mapped::Explicitly { .. } => Ok(()),
        }
    })
}

/// Says who vouches for transfers: 0 explicit, 1 implicit. Reference 1.29.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_memseg_import_set_mode(im_memseg: u64, mode: c_uint) -> c_int {
    entry(|| {
        let (object, _) = import(im_memseg)?;
        let mode = match mode {
            0 => BarrierMode::Explicit,
            1 => BarrierMode::Implicit,
            _ => return fail(Code::BadMode),
        };
        object.connection.set_mode(mode);
        Ok(())
    })
}

/// Tells who vouches for transfers. Reference 1.29.
///
/// # Safety
/// `mode` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_memseg_import_get_mode(im_memseg: u64, mode: *mut c_uint) -> c_int {
    entry(|| {
        let (object, _) = import(im_memseg)?;
        if mode.is_null() {
            return fail(Code::BadAddr);
        }
        let explicit = object.connection.mode() == BarrierMode::Explicit;
        // SAFETY: writable by the caller's promise.
        unsafe { mode.write(c_uint::from(!explicit)) };
        Ok(())
    })
}
