//! A mapped registry, mapped bells and a mapped tally as records of atomics.
#![allow(unsafe_code)]

use super::memfd::{self, Sealing};
use super::region::Region;
use super::view::Memory;
use rsm_core::access::Permission;
use rsm_core::bell::Bell;
use rsm_core::lens::event::{SLOTS, SLOTS_WITH_BYTES};
use rsm_core::lens::gate::CallsRow;
use rsm_core::lens::record::RecordRow;
use rsm_core::lens::ring::{Ring, RingHead, Slot};
use rsm_core::lens::{Lens, Trace};
use rsm_core::registry::{Geometry, Header, Layout, Registry};
use rsm_core::tally::TallyRow;
use rsm_core::{Code, Error, Result};
use std::os::fd::{AsFd, OwnedFd};

/// A registry in mapped memory.
#[derive(Debug)]
pub struct RegistryMap {
    region: Region,
    layout: Layout,
}

impl RegistryMap {
    /// Maps a registry that somebody else writes, after checking that it is one that this library reads.
    ///
    /// # Errors
    /// BAD_LIBRARY_VERSION, saying what does not fit; INSUFFICIENT_MEM.
    pub fn open(fd: impl AsFd) -> Result<RegistryMap> {
        let bad = |text: String| Error::with(Code::BadLibraryVersion, text);
        let length = usize::try_from(memfd::length(&fd)?).unwrap_or(usize::MAX);
        if !(size_of::<Header>()..=Layout::MAX_BYTES).contains(&length) {
            return Err(bad(format!("{length} bytes are no rsm registry")));
        }
        memfd::check_solid(&fd, length as u64).map_err(|error| match error.code() {
            Code::InternalError => bad(format!("no rsm registry: {}", error.detail())),
            _ => error, // the kernel did not say
        })?;
        let region = Region::map(fd, 0, length, Permission::Read)?;
        // SAFETY: the mapping is aligned to a page and, by the test above, holds a Header, which is made of atomics
        // only: any bytes are a valid one, and other processes may write it.
        let header = unsafe { &*region.as_ptr().cast::<Header>() };
        let layout = Layout::check(header, length)?;
        Ok(RegistryMap { region, layout })
    }

    /// Takes a zeroed, writable mapping that holds the tables of a geometry that was checked; for the agent.
    pub(crate) fn create(region: Region, geometry: Geometry) -> RegistryMap {
        let layout = Layout::of(geometry);
        assert!(region.len() >= layout.bytes, "the mapping holds every table");
        RegistryMap { region, layout }
    }

    /// Tables of the registry.
    pub fn registry(&self) -> Registry<'_> {
        let l = &self.layout;
        let g = &l.geometry;
        // SAFETY: (this and the calls below) `layout` was computed from a checked geometry, its tables lie inside
        // `bytes` bytes (asserted or compared at construction), at offsets that are multiples of 64, as is the
        // alignment of every record. Records are made of atomics only. The references live no longer than the region.
        let header = unsafe { &*self.region.as_ptr().cast::<Header>() };
        Registry {
            header,
            nodes: self.table(l.nodes, g.nodes as usize),
            controllers: self.table(l.controllers, g.controllers as usize),
            links: self.table(l.links, l.link_words),
            buckets: self.table(l.buckets, g.buckets as usize),
            segments: self.table(l.segments, g.segments as usize),
            connections: self.table(l.connections, g.connections as usize),
            paths: self.table(l.paths, g.connections as usize),
        }
    }

    fn table<T>(&self, offset: usize, rows: usize) -> &[T] {
        debug_assert!(offset + rows * size_of::<T>() <= self.region.len() && offset.is_multiple_of(align_of::<T>()));
        // SAFETY: see `registry`.
        unsafe { std::slice::from_raw_parts(self.region.as_ptr().add(offset).cast(), rows) }
    }
}

/// The bells of a node.
#[derive(Debug)]
pub struct Bells {
    region: Region,
}

impl Bells {
    /// Of the largest geometry.
    const MAX_BYTES: usize = Geometry::MAX_BELLS as usize * size_of::<Bell>();

    /// Maps the bell memory of a node.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM; INTERNAL_ERROR when it is no bell memory.
    pub fn open(fd: impl AsFd) -> Result<Bells> {
        let length = usize::try_from(memfd::length(&fd)?).unwrap_or(0);
        if !(size_of::<Bell>()..=Self::MAX_BYTES).contains(&length) {
            return Err(Error::with(Code::InternalError, format!("{length} bytes are no bell memory")));
        }
        memfd::check_solid(&fd, length as u64)?;
        Ok(Bells { region: Region::map(fd, 0, length, Permission::ReadWrite)? })
    }

    /// The bell with this number.
    ///
    /// # Errors
    /// INTERNAL_ERROR when there is none: the number came from elsewhere.
    pub fn bell(&self, number: u32) -> Result<&Bell> {
        let count = self.region.len() / size_of::<Bell>();
        if number as usize >= count {
            return Err(Error::with(Code::InternalError, format!("bell {number} of {count}")));
        }
        // SAFETY: inside the mapping by the test above, aligned because mappings and records are to 128 bytes. A Bell
        // is made of atomics only, so whatever another process stores there is a Bell.
        Ok(unsafe { &*self.region.as_ptr().cast::<Bell>().add(number as usize) })
    }

    /// The mapping.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }
}

/// The tally of a process.
#[derive(Debug)]
pub struct TallyMap {
    region: Region,
}

impl TallyMap {
    /// Makes the memory of a tally and maps it; the descriptor is for the process.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub(crate) fn create() -> Result<(TallyMap, OwnedFd)> {
        let object = memfd::create("rsm-tally", size_of::<TallyRow>() as u64)?;
        memfd::seal(&object, Sealing::Size)?;
        Ok((TallyMap::open(&object)?, object))
    }

    /// Maps a tally.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM; INTERNAL_ERROR when it is none.
    pub fn open(fd: impl AsFd) -> Result<TallyMap> {
        let length = memfd::length(&fd)?;
        if length != size_of::<TallyRow>() as u64 {
            return Err(Error::with(Code::InternalError, format!("{length} bytes are no tally")));
        }
        memfd::check_solid(&fd, length)?;
        Ok(TallyMap { region: Region::map(fd, 0, size_of::<TallyRow>(), Permission::ReadWrite)? })
    }

    /// The row.
    pub fn row(&self) -> &TallyRow {
        // SAFETY: the mapping holds one row, aligned to a page, that lives as long as `self`. A TallyRow is made of
        // atomics only, so whatever another process stores there is one.
        unsafe { &*self.region.as_ptr().cast::<TallyRow>() }
    }

    /// The mapping.
    pub(crate) fn region(&self) -> &Region {
        &self.region
    }
}

/// The memory of a segment, to be read by who started the agent.
#[derive(Debug)]
pub struct SegmentView(Region);

impl SegmentView {
    /// Maps it.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM; INTERNAL_ERROR when it is not solid.
    pub(crate) fn open(memory: impl AsFd) -> Result<SegmentView> {
        let length = memfd::length(&memory)?;
        memfd::check_solid(&memory, length)?;
        let region = Region::map(memory, 0, usize::try_from(length).unwrap_or(usize::MAX), Permission::Read)?;
        region.dont_fork()?;
        Ok(SegmentView(region))
    }

    /// How long it is, in bytes.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// Reads all of it, while others may write.
    pub fn read(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.0.len()];
        // SAFETY: the region stays mapped as long as this, readable, and nothing of it is ever a reference to plain data.
        let memory = unsafe { Memory::new(self.0.as_ptr(), self.0.len(), Permission::Read) };
        // What is read is as long as the memory.
        let _ = memory.read(0, &mut bytes);
        bytes
    }
}

/// What a process says of what it has seen through a lens, mapped; see [`rsm_core::lens::record`]. Where the lens has a gate,
/// what it says of its calls follows on a page of its own, see [`rsm_core::lens::gate`]; and where it traces, at the end, a
/// [ring](rsm_core::lens::ring).
#[derive(Debug)]
pub struct RecordMap {
    region: Region,
    parts: Parts,
}

/// What a record has beside its row, and how long its ring is: each combination has a length of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) calls: bool,
    pub(crate) slots: usize,
}

/// Where calls are in a record that has them.
const CALLS: usize = 4096;
const _: () = assert!(size_of::<RecordRow>() <= CALLS && CALLS.is_multiple_of(align_of::<CallsRow>()));

impl Parts {
    /// Those that a lens asks for.
    pub(crate) fn of(lens: &Lens) -> Parts {
        Parts { calls: lens.gate.is_some(), slots: lens.trace.map_or(0, Parts::slots_for) }
    }

    /// How long a ring is for what a trace has.
    pub(crate) fn slots_for(trace: Trace) -> usize {
        if trace.bytes { SLOTS_WITH_BYTES } else { SLOTS }
    }

    fn all() -> impl Iterator<Item = Parts> {
        let slots = [0, SLOTS, SLOTS_WITH_BYTES];
        slots.into_iter().flat_map(|slots| [false, true].map(|calls| Parts { calls, slots }))
    }

    /// Where the ring begins: at a page.
    fn ring(self) -> usize {
        let before = if self.calls { CALLS + size_of::<CallsRow>() } else { size_of::<RecordRow>() };
        before.next_multiple_of(CALLS)
    }

    fn length(self) -> usize {
        match (self.slots, self.calls) {
            (0, false) => size_of::<RecordRow>(),
            (0, true) => CALLS + size_of::<CallsRow>(),
            (slots, _) => self.ring() + CALLS + slots * size_of::<Slot>(),
        }
    }
}

impl RecordMap {
    /// Makes the memory of a record and maps it; the descriptor is for the process.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub(crate) fn create(parts: Parts) -> Result<(RecordMap, OwnedFd)> {
        let object = memfd::create("rsm-record", parts.length() as u64)?;
        memfd::seal(&object, Sealing::Size)?;
        let map = RecordMap::open(&object)?;
        map.region.dont_fork()?;
        Ok((map, object))
    }

    /// Maps a record.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM; INTERNAL_ERROR when it is none.
    pub fn open(fd: impl AsFd) -> Result<RecordMap> {
        RecordMap::map(fd, Permission::ReadWrite)
    }

    /// Maps one whose [`ring`](Self::ring) is only read: nothing else of it is to be used.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_to_read(fd: impl AsFd) -> Result<RecordMap> {
        RecordMap::map(fd, Permission::Read)
    }

    fn map(fd: impl AsFd, permission: Permission) -> Result<RecordMap> {
        let length = memfd::length(&fd)?;
        let Some(parts) = Parts::all().find(|parts| parts.length() as u64 == length) else {
            return Err(Error::with(Code::InternalError, format!("{length} bytes are no record")));
        };
        memfd::check_solid(&fd, length)?;
        Ok(RecordMap { region: Region::map(fd, 0, length as usize, permission)?, parts })
    }

    /// The row.
    pub fn row(&self) -> &RecordRow {
        // SAFETY: the mapping holds one row, aligned to a page, that lives as long as `self`. It is made of atomics only, so
        // whatever another process stores there is one.
        unsafe { &*self.region.as_ptr().cast::<RecordRow>() }
    }

    /// What it says of its calls, where the lens has a gate.
    pub fn calls(&self) -> Option<&CallsRow> {
        // SAFETY: as above; the row begins with a page, and the length says that it is there.
        self.parts.calls.then(|| unsafe { &*self.region.as_ptr().add(CALLS).cast::<CallsRow>() })
    }

    /// Its calls themselves, where the lens traces.
    pub fn ring(&self) -> Option<Ring<'_>> {
        let slots = Some(self.parts.slots).filter(|slots| *slots > 0)?;
        // SAFETY: as above; the head begins with a page, and the slots with the next, of which the length says how many are
        // there.
        unsafe {
            let head = self.region.as_ptr().add(self.parts.ring());
            Some(Ring::new(
                &*head.cast::<RingHead>(),
                std::slice::from_raw_parts(head.add(CALLS).cast::<Slot>(), slots),
            ))
        }
    }

    /// How long its ring is; 0 without one.
    pub(crate) fn slots(&self) -> usize {
        self.parts.slots
    }

    /// Whether its ring is one for bytes.
    pub(crate) fn has_bytes(&self) -> bool {
        self.parts.slots == SLOTS_WITH_BYTES
    }

    /// Frees the memory of the ring, whose process has ended: it is empty from now on.
    pub(crate) fn free_ring(&self) {
        self.free_from(self.parts.ring());
    }

    /// Frees what stands in the ring, of which nobody reads any more; how far it was written stays known.
    pub(crate) fn free_slots(&self) {
        self.free_from(self.parts.ring() + CALLS);
    }

    fn free_from(&self, from: usize) {
        if self.parts.slots > 0 {
            let start = self.region.as_ptr().wrapping_add(from);
            let length = self.region.len() - from;
            // SAFETY: the range lies inside of the mapping, of which only atomics are ever used, which are 0 from then on. That
            // it fails costs memory.
            let _ = unsafe { rustix::mm::madvise(start.cast(), length, rustix::mm::Advice::LinuxRemove) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_core::lens::ring::Cursor;

    #[test]
    fn every_kind_of_record_is_told_by_its_length() {
        let lengths: std::collections::BTreeSet<usize> = Parts::all().map(Parts::length).collect();
        assert_eq!(lengths.len(), Parts::all().count());
    }

    #[test]
    fn a_ring_that_was_freed_goes_on_where_it_was() {
        let parts = Parts { calls: false, slots: SLOTS };
        let (map, object) = RecordMap::create(parts).unwrap();
        let ring = map.ring().unwrap();
        (0..5).for_each(|number| ring.append([number; 4], &[]));
        map.free_slots();
        let reader = RecordMap::open_to_read(&object).unwrap();
        let mut cursor = Cursor::at(reader.ring().unwrap().end());
        ring.append([5; 4], &[]);
        let read = reader.ring().unwrap().read(&mut cursor, false);
        assert_eq!((read.lost, read.torn, read.slots.len(), read.slots[0][1]), (0, 0, 1, 5));
        let old = reader.ring().unwrap().read(&mut Cursor::default(), true);
        assert_eq!((old.torn, old.slots.len()), (5, 6), "what stood there is gone");
    }

    #[test]
    fn a_record_has_what_it_was_made_with() {
        for parts in Parts::all() {
            let (map, object) = RecordMap::create(parts).unwrap();
            let other = RecordMap::open(&object).unwrap();
            assert_eq!((map.calls().is_some(), map.ring().is_some()), (parts.calls, parts.slots > 0));
            let (Some(ring), Some(theirs)) = (map.ring(), other.ring()) else { continue };
            let mut cursor = Cursor::default();
            (0..parts.slots as u64 + 1).for_each(|number| theirs.append([number; 4], &[]));
            let read = ring.read(&mut cursor, false);
            assert_eq!((read.lost, read.torn, read.slots.len()), (1, 0, parts.slots + 1));
            assert_eq!(read.slots.last().unwrap()[1], parts.slots as u64);
            map.free_ring();
            assert_eq!(theirs.read(&mut Cursor::default(), true).slots.len(), 0);
        }
    }
}
