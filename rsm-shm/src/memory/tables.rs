//! A mapped registry, mapped bells and a mapped tally as records of atomics.
#![allow(unsafe_code)]

use super::memfd::{self, Sealing};
use super::region::Region;
use rsm_core::access::Permission;
use rsm_core::bell::Bell;
use rsm_core::lens::gate::CallsRow;
use rsm_core::lens::record::RecordRow;
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

/// What a process says of what it has seen through a lens, mapped; see [`rsm_core::lens::record`]. Where the lens has a gate,
/// what it says of its calls follows on a page of its own; see [`rsm_core::lens::gate`].
#[derive(Debug)]
pub struct RecordMap(Region);

/// Where calls are in a record that has them, and how long that is.
const CALLS: usize = 4096;
const WITH_CALLS: usize = CALLS + size_of::<CallsRow>();
const _: () = assert!(size_of::<RecordRow>() <= CALLS && CALLS.is_multiple_of(align_of::<CallsRow>()));

impl RecordMap {
    /// Makes the memory of a record and maps it; the descriptor is for the process.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub(crate) fn create(with_calls: bool) -> Result<(RecordMap, OwnedFd)> {
        let length = if with_calls { WITH_CALLS } else { size_of::<RecordRow>() };
        let object = memfd::create("rsm-record", length as u64)?;
        memfd::seal(&object, Sealing::Size)?;
        let map = RecordMap::open(&object)?;
        map.0.dont_fork()?;
        Ok((map, object))
    }

    /// Maps a record.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM; INTERNAL_ERROR when it is none.
    pub fn open(fd: impl AsFd) -> Result<RecordMap> {
        let length = memfd::length(&fd)?;
        if ![size_of::<RecordRow>() as u64, WITH_CALLS as u64].contains(&length) {
            return Err(Error::with(Code::InternalError, format!("{length} bytes are no record")));
        }
        memfd::check_solid(&fd, length)?;
        Ok(RecordMap(Region::map(fd, 0, length as usize, Permission::ReadWrite)?))
    }

    /// The row.
    pub fn row(&self) -> &RecordRow {
        // SAFETY: the mapping holds one row, aligned to a page, that lives as long as `self`. It is made of atomics only, so
        // whatever another process stores there is one.
        unsafe { &*self.0.as_ptr().cast::<RecordRow>() }
    }

    /// What it says of its calls, where the lens has a gate.
    pub fn calls(&self) -> Option<&CallsRow> {
        let has = self.0.len() == WITH_CALLS;
        // SAFETY: as above; the row begins with a page and ends with the mapping.
        has.then(|| unsafe { &*self.0.as_ptr().add(CALLS).cast::<CallsRow>() })
    }
}
