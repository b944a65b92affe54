//! The function of an emulated bridge, reached by its socket: for tests, and for trying things out without machines.

use crate::function::{Bar, PciFunction, Reach};
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rsm_ntb_emu::{Client, DmaAccess, map, wire};
use std::io;
use std::ops::RangeInclusive;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the emulator may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// A function of `rsm-ntb-emu`.
#[derive(Debug)]
pub struct Socket {
    client: Mutex<Client>,
    /// Bytes of the ranges, by the numbers of the regions.
    bytes: [u64; wire::REGIONS as usize],
}

impl Socket {
    /// Connects to a socket of `rsm-ntb-emu`.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT where nobody listens, where something else does, and where the function has another client.
    pub fn open(path: &Path) -> Result<Socket> {
        let named = |e: io::Error| {
            let why = match e.kind() {
                io::ErrorKind::WouldBlock => "the function has another client".to_owned(),
                _ => e.to_string(),
            };
            let text = format!("no emulated bridge at {}: {why} (rsm-ntb-emu A.sock B.sock is one)", path.display());
            Error::with(Code::CtlrNotPresent, text)
        };
        let mut client = Client::connect_within(path, PATIENCE).map_err(named)?;
        let mut bytes = [0; wire::REGIONS as usize];
        for (region, bytes) in (0..).zip(&mut bytes) {
            *bytes = client.region_bytes(region).map_err(named)?;
        }
        Ok(Socket { client: Mutex::new(client), bytes })
    }

    fn client(&self) -> MutexGuard<'_, Client> {
        // A client that was left in the middle of something says so itself.
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn region(bar: Bar) -> u32 {
    match bar {
        Bar::Registers => map::REGISTERS,
        Bar::Doorbells => map::DOORBELLS,
        Bar::Window => map::WINDOW,
        Bar::Config => map::CONFIG,
    }
}

/// The error for what the function said to something; `wrong` is the code for what it does not take.
fn said(error: &io::Error, tried: &str, wrong: Code) -> Error {
    use rustix::io::Errno;
    let code = match Errno::from_io_error(error) {
        Some(Errno::INVAL | Errno::EXIST) => wrong,
        Some(Errno::NOMEM) => Code::InsufficientMem,
        Some(Errno::NOSPC | Errno::MFILE | Errno::NFILE) => Code::InsufficientResources,
        Some(Errno::ACCESS | Errno::PERM) => Code::PermDenied,
        _ => Code::CtlrNotPresent,
    };
    Error::with(code, format!("{tried} the emulated bridge: {error}"))
}

impl PciFunction for Socket {
    fn bytes(&self, bar: Bar) -> Result<u64> {
        Ok(self.bytes[region(bar) as usize])
    }

    fn load(&self, bar: Bar, at: u64, into: &mut [u8]) -> Result<()> {
        self.client().read(region(bar), at, into).map_err(|e| said(&e, "cannot load from", Code::BadOffset))
    }

    fn store(&self, bar: Bar, at: u64, bytes: &[u8]) -> Result<()> {
        self.client().write(region(bar), at, bytes).map_err(|e| said(&e, "cannot store to", Code::BadOffset))
    }

    fn addresses(&self) -> Vec<RangeInclusive<u64>> {
        // As a machine's IOMMU has them, above what it keeps for itself.
        vec![1 << 32..=(1 << 47) - 1]
    }

    fn map_dma(&self, address: u64, memory: BorrowedFd<'_>, length: u64, permission: Permission) -> Result<()> {
        let access = if permission.writes() { DmaAccess::ReadWrite } else { DmaAccess::Read };
        let mapped = self.client().map_dma(address, memory, 0, length, access);
        mapped.map_err(|e| said(&e, "cannot map memory for", Code::BadAddr))
    }

    fn unmap_dma(&self, address: u64, length: u64) -> Result<()> {
        let unmapped = self.client().unmap_dma(address, length);
        match unmapped.map_err(|e| said(&e, "cannot unmap memory of", Code::BadAddr))? {
            bytes if bytes == length => Ok(()),
            bytes => {
                let text = format!("the emulated bridge had {bytes} bytes mapped at {address:#x}, and not {length}");
                Err(Error::with(Code::BadAddr, text))
            }
        }
    }

    fn reach(&self) -> Result<Reach> {
        let text = "the window of an emulated bridge is reached by messages, and cannot be mapped without a machine";
        Err(Error::with(Code::MapFailed, text))
    }

    fn set_interrupts(&self, vectors: &[BorrowedFd<'_>], error: BorrowedFd<'_>) -> Result<()> {
        let mut client = self.client();
        let tried = "cannot set interrupts of";
        let there = client.interrupts(wire::MSIX).map_err(|e| said(&e, tried, Code::InternalError))?;
        if vectors.len() > there as usize {
            let text = format!("the bridge's function has {there} interrupt vectors, and not {}", vectors.len());
            return Err(Error::with(Code::InsufficientResources, text));
        }
        client.set_interrupts(wire::MSIX, vectors).map_err(|e| said(&e, tried, Code::InternalError))?;
        client.set_interrupts(wire::ERROR, &[error]).map_err(|e| said(&e, tried, Code::InternalError))
    }
}
