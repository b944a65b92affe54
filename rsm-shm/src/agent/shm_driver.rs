//! Segment memory of this host: one memory object for each export.

use crate::memory::lease;
use crate::memory::memfd::{self, Sealing};
use rsm_core::Result;
use rsm_core::access::{Level, Permission};
use rsm_core::driver::Driver;
use std::os::fd::OwnedFd;

/// The driver of `shm` and loopback controllers.
///
/// Memory is created by the agent, so its owner is the agent's user: members that run as another one cannot take
/// leases on it or change its mode. The exporter is sent the description it was created with; every grant is another description, opened for
/// exactly what it allows, which is what [`lease::only_original`] tells apart.
#[derive(Debug)]
pub(super) struct ShmDriver;

impl Driver for ShmDriver {
    type Memory = OwnedFd;
    type Grant = OwnedFd;

    fn allocate(&mut self, length: u64, level: Level) -> Result<OwnedFd> {
        let memory = memfd::create("rsm-segment", length)?;
        match level {
            Level::Guarded => memfd::seal(&memory, Sealing::Size)?,
            Level::Sealed => memfd::seal(&memory, Sealing::SizeForNow)?,
        }
        Ok(memory)
    }

    fn enforce(&mut self, memory: &OwnedFd, level: Level) -> Result<()> {
        match level {
            Level::Guarded => Ok(()),
            // Until now the exporter had the only descriptors, and its mapping stays writable.
            Level::Sealed => memfd::seal_once(memory, Sealing::SizeAndFutureWrites),
        }
    }

    fn grant(&mut self, memory: &OwnedFd, permission: Permission) -> Result<OwnedFd> {
        memfd::reopen(memory, permission)
    }

    fn all_returned(&mut self, memory: &OwnedFd) -> Result<bool> {
        lease::only_original(memory)
    }
}
