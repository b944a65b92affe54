//! Parts: parts of an import's memory, mapped for the program.
//!
//! The whole segment is mapped once when the connection is made; a part is a view of that, or, where other addresses
//! or fewer rights are wanted, a second mapping made from it, which is cut off with the first.
#![allow(unsafe_code)]

use super::connection::Connection;
use super::faults::refusal;
use super::taps::Tap;
use super::way::Diverted;
use super::{fork, lock};
use crate::memory::page_size;
use crate::memory::region::Region;
use crate::memory::shadow::Shadow;
use crate::memory::view::Memory;
use rsm_core::access::Permission;
use rsm_core::lens::event::Kind;
use rsm_core::{Code, Error, Result};
use std::sync::Arc;

/// Part of an import's memory, mapped. The connection lives at least as long.
#[derive(Debug)]
pub struct Part {
    connection: Arc<Connection>,
    /// A mapping of its own, where fewer rights were wanted than the connection has.
    narrowed: Option<Arc<Region>>,
    /// What the program is given is a shadow of the part, which the way keeps.
    shadowed: bool,
    start: *mut u8,
    length: usize,
    permission: Permission,
    /// Where it begins in the segment.
    offset: u64,
    /// Where the segment's memory is: elsewhere, if it is shadowed.
    real: *mut u8,
    /// What it allows there in one step.
    updates: Permission,
}

// SAFETY: as for Connection, which is kept alive.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

impl Connection {
    /// Maps part of the segment a second time, at `place`, where whatever is mapped is replaced, or where the kernel
    /// likes (preferably at `hint`). Arguments were checked by [`check_part`](Self::check_part). Asks the agent for
    /// nothing, and is called while [forks are held off](crate::membership::without_forks): a forked child has called
    /// [`adopt_process`](Self::adopt_process) before.
    ///
    /// # Errors
    /// CONN_ABORTED, BAD_PERMS, MAP_FAILED, INSUFFICIENT_MEM.
    ///
    /// # Safety
    /// With a `place`, the caller owns that range of addresses.
    pub unsafe fn part_at(
        self: &Arc<Connection>,
        place: Option<*mut u8>,
        hint: *mut u8,
        range: (u64, usize),
        permission: Permission,
    ) -> Result<Part> {
        self.check_live(permission)?;
        self.check_map_refused()?;
        let (offset, length) = (range.0 as usize, range.1);
        if let Some(way) = self.shadow_for(permission) {
            // SAFETY: the place is the caller's, if one is named; the range was checked.
            return unsafe { self.shadow(way, (place, hint), range, permission) };
        }
        let hinted = place.is_none() && !hint.is_null();
        let reserved = if hinted { Some(Region::reserve_at(hint, length)?) } else { None };
        let registry = self.membership().registry();
        let state = &self.membership().shared.state;
        // SAFETY: the place is the caller's, if one is named.
        let region = unsafe {
            lock(state).table.add_part(&registry, self.name(), (offset, length), permission, place, reserved)
        };
        let region = region.map_err(|error| self.told(error))?;
        let start = region.as_ptr();
        let (connection, updates) = (Arc::clone(self), self.updates(permission));
        let offset = offset as u64;
        let part = Part {
            connection,
            narrowed: Some(region),
            shadowed: false,
            start,
            length,
            permission,
            offset,
            real: start,
            updates,
        };
        part.note_direct(true);
        part.note_mapped(true);
        part.populate()?;
        Ok(part)
    }

    /// What gives the program memory of its own in place of a mapping.
    fn shadow_for(&self, permission: Permission) -> Option<&Diverted> {
        self.diverted().filter(|way| permission.writes() && way.shadows())
    }

    /// Maps such memory. The caller holds forks off.
    ///
    /// # Safety
    /// The caller owns the addresses at the place, if one is named; the range lies inside of the segment.
    unsafe fn shadow(
        self: &Arc<Connection>,
        way: &Diverted,
        (place, hint): (Option<*mut u8>, *mut u8),
        (offset, length): (u64, usize),
        permission: Permission,
    ) -> Result<Part> {
        if let Some(place) = place {
            way.map_over(place, length);
        }
        // SAFETY: the caller's promise.
        let shadow = unsafe { Shadow::new(place, hint, length) }?;
        let (start, real) = (shadow.start(), self.base().wrapping_add(offset as usize));
        // SAFETY: the caller's promise; `drop` gives it back.
        unsafe { way.shadow(offset, shadow) };
        self.membership().shared.taps.set(Tap::Lens, true);
        let (connection, updates) = (Arc::clone(self), self.updates(permission));
        let part =
            Part { connection, narrowed: None, shadowed: true, start, real, length, permission, offset, updates };
        part.note_mapped(true);
        Ok(part)
    }

    /// What is wrong with a wish to map, as far as the arguments tell.
    ///
    /// # Errors
    /// BAD_PERMS, BAD_LENGTH, BAD_MEM_ALIGNMENT, in the order of reference 1.26.
    pub fn check_part(&self, offset: u64, length: usize, permission: Permission) -> Result<()> {
        if permission == Permission::None {
            return Err(Error::with(Code::BadPerms, "a mapping needs a permission"));
        }
        if length == 0 {
            return Err(Error::with(Code::BadLength, "a mapping needs a length"));
        }
        let inside = (length as u64) <= self.length() && offset <= self.length() - length as u64;
        if !inside {
            let text = format!("{length} bytes at offset {offset} of a segment of {} bytes", self.length());
            return Err(Error::with(Code::BadLength, text));
        }
        if !offset.is_multiple_of(page_size() as u64) {
            let text = format!("offset {offset} is no multiple of the page size {}", page_size());
            return Err(Error::with(Code::BadMemAlignment, text));
        }
        Ok(())
    }

    /// What a mapping with this permission may do with atomics.
    fn updates(&self, permission: Permission) -> Permission {
        // Of what crosses a bridge nothing reads and writes in one step.
        if matches!(self.diverted(), Some(Diverted::Posted(_))) { Permission::None } else { permission }
    }

    /// The caller holds forks off.
    fn check_map_refused(&self) -> Result<()> {
        let refused = self.diverted().is_some_and(Diverted::refuses_map);
        if refused { Err(refusal(Code::MapFailed)) } else { Ok(()) }
    }

    fn check_live(&self, permission: Permission) -> Result<()> {
        if self.has_ended() {
            return Err(self.told(Error::new(Code::ConnAborted)));
        }
        if !self.permission().covers(permission) {
            let text = format!("mapping with {permission}, connected with {}", self.permission());
            return Err(Error::with(Code::BadPerms, text));
        }
        Ok(())
    }

    /// Maps part of the segment.
    ///
    /// # Errors
    /// Those of `rsm_memseg_import_map`, reference 1.26, in its order.
    pub fn part(self: &Arc<Connection>, offset: u64, length: usize, permission: Permission) -> Result<Part> {
        self.check_part(offset, length, permission)?;
        self.adopt_process()?;
        self.check_live(permission)?;
        if self.diverted().is_some() {
            let _hold = fork::hold();
            self.check_map_refused()?;
        }
        if let Some(way) = self.shadow_for(permission) {
            let _hold = fork::hold();
            // SAFETY: no place is named; the range was checked.
            return unsafe { self.shadow(way, (None, std::ptr::null_mut()), (offset, length), permission) };
        }
        // Checked to lie inside a mapping, so it fits.
        let offset = offset as usize;
        let shared = &self.membership().shared;
        let (narrowed, start) = if permission == self.permission() {
            // SAFETY: inside the mapping of the whole segment.
            (None, unsafe { self.base().add(offset) })
        } else {
            let registry = self.membership().registry();
            // SAFETY: no place is named, so nothing is replaced.
            let region = unsafe {
                lock(&shared.state).table.add_part(&registry, self.name(), (offset, length), permission, None, None)
            };
            let region = region.map_err(|error| self.told(error))?;
            let start = region.as_ptr();
            (Some(region), start)
        };
        let (connection, offset, updates) = (Arc::clone(self), offset as u64, self.updates(permission));
        let part =
            Part { connection, narrowed, shadowed: false, start, length, permission, offset, real: start, updates };
        part.note_direct(true);
        part.note_mapped(true);
        part.populate()?;
        Ok(part)
    }
}

impl Part {
    /// The mapped memory.
    #[inline]
    pub fn memory(&self) -> Memory<'_> {
        // SAFETY: the connection keeps the whole segment mapped, or `narrowed` its own mapping; cutting the connection
        // off replaces what is mapped but leaves it mapped with the same permission.
        unsafe { Memory::new(self.start, self.length, self.permission).with_atomics_at(self.real, self.updates) }
    }

    /// The import it belongs to.
    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Tells the way of a mapping through which the program stores past it.
    fn note_direct(&self, comes: bool) {
        if let Some(way) = self.connection.diverted().filter(|_| !self.shadowed && self.permission.writes()) {
            way.map_directly(comes);
        }
    }

    /// Notes it, where calls are noted.
    fn note_mapped(&self, comes: bool) {
        let membership = self.connection.membership();
        self.connection.race_maps((self.start, self.length), (self.offset, self.permission), comes);
        if self.real != self.start {
            // Where the atomics of a mapping through a lens are.
            self.connection.race_maps((self.real, self.length), (self.offset, self.permission), comes);
        }
        let began = membership.begin_note();
        if began.is_some() {
            let kind = if comes { Kind::Map } else { Kind::Unmap };
            membership.note_number(began, self.connection.what(kind, self.offset, self.length as u64), 0);
        }
    }

    /// Makes its pages present, so that no access waits for one. The exporter has them, so finding them for reading is
    /// enough: stores need no fault then, and the kernel finds sixteen at a time, which takes a third of the time.
    fn populate(&self) -> Result<()> {
        let permission = if self.permission.reads() { Permission::Read } else { self.permission };
        match &self.narrowed {
            Some(region) => region.populate(0, self.length, permission),
            None => {
                let shared = &self.connection.membership().shared;
                let whole = lock(&shared.state).table.whole(self.connection.name());
                let offset = self.start.addr() - self.connection.base().addr();
                whole.map_or(Ok(()), |whole| whole.populate(offset, self.length, permission))
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.note_mapped(false);
        self.note_direct(false);
        if let Some(way) = self.connection.diverted().filter(|_| self.shadowed) {
            // The tap stays: another thread may be making another.
            way.unshadow(self.start);
        }
        // Before the connection, which asks for all parts to be gone when it ends.
        if let Some(region) = self.narrowed.take() {
            let state = &self.connection.membership().shared.state;
            lock(state).table.remove_part(self.connection.name(), &region);
        }
    }
}
