//! The table in which processes look for races, mapped: see [`rsm_race`].
#![allow(unsafe_code)]

use super::memfd::{self, Sealing};
use super::region::Region;
use rsm_core::access::Permission;
use rsm_core::sync::AtomicU64;
use rsm_core::{Code, Error, Result};
use rsm_race::table::{HEAD, Table, WORDS};
use rustix::mm::{Advice, madvise};
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of the whole table. Pages that nobody touches take no memory.
const BYTES: usize = WORDS * size_of::<AtomicU64>();

/// Such a table.
#[derive(Debug)]
pub struct RaceMap {
    region: Region,
}

impl RaceMap {
    /// Makes the memory of one, and maps of it what comes before the lines; the descriptor is for processes.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM, BAD_LENGTH where files may not be so long.
    pub(crate) fn create() -> Result<(RaceMap, OwnedFd)> {
        let object = memfd::create("rsm-races", BYTES as u64)?;
        memfd::seal(&object, Sealing::Size)?;
        let region = Region::map(&object, 0, HEAD * size_of::<AtomicU64>(), Permission::ReadWrite)?;
        region.dont_fork()?;
        Ok((RaceMap { region }, object))
    }

    /// Maps all of one.
    ///
    /// # Errors
    /// INSUFFICIENT_MEM; INTERNAL_ERROR when it is none.
    pub(crate) fn open(fd: impl AsFd) -> Result<RaceMap> {
        let length = memfd::length(&fd)?;
        if length != BYTES as u64 {
            return Err(Error::with(Code::InternalError, format!("{length} bytes are no table of races")));
        }
        memfd::check_solid(&fd, length)?;
        let region = Region::map(fd, 0, BYTES, Permission::ReadWrite)?;
        // SAFETY: nothing of it changes. A core file without it is as good.
        let _ = unsafe { madvise(region.as_ptr().cast(), BYTES, Advice::LinuxDontDump) };
        Ok(RaceMap { region })
    }

    /// The table.
    pub fn table(&self) -> Table<'_> {
        let count = self.region.len() / size_of::<AtomicU64>();
        // SAFETY: the mapping holds so many words, aligned to a page, and lives as long as `self`. Any bytes are atomics, which
        // other processes may write.
        Table::new(unsafe { std::slice::from_raw_parts(self.region.as_ptr().cast::<AtomicU64>(), count) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_race::clock::Who;
    use rsm_race::process::Process;
    use rsm_race::report::Looked;

    #[test]
    fn who_opens_it_finds_what_others_wrote() {
        let (made, object) = RaceMap::create().unwrap();
        let opened = RaceMap::open(object).unwrap();
        assert_eq!(opened.table().lines_of(7, 1 << 30), Some(0));
        assert!(Process::join(opened.table(), Who { node: 1, pid: 1 }, 1, false).is_some());
        let looked = Looked::at(made.table());
        assert_eq!((looked.by_calls, looked.whole, looked.races.len()), (1, 0, 0));
        let other = memfd::create("rsm-races", 8).unwrap();
        assert_eq!(RaceMap::open(other).unwrap_err().code(), Code::InternalError);
    }
}
