//! A client of such a function: what a driver outside of any machine needs.

use crate::socket::{receive, send};
use crate::wire::{self, Body, Command, Fields};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// What a function may do with memory that is mapped for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DmaAccess {
    /// Load only: the other host's stores do not arrive.
    Read,
    /// Load and store.
    ReadWrite,
}

/// A connection to one function of a bridge. Every call asks and waits for the answer.
///
/// # Errors
/// Of all calls: what the function answers, as an error with its errno; what the socket says; `InvalidData` for an answer that
/// is none. After one of the latter two the connection is of no use.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    next: u16,
}

impl Client {
    /// Connects to the socket of a function, which waits while the function has another client.
    ///
    /// # Errors
    /// As for all calls, and where nobody listens.
    pub fn connect(path: &Path) -> io::Result<Client> {
        Client::begin(UnixStream::connect(path)?)
    }

    /// Connects, and from then on waits for each answer no longer than `patience`.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); `WouldBlock` when no answer comes in time, such as while the function has another
    /// client. Then the connection is of no use any more.
    pub fn connect_within(path: &Path, patience: Duration) -> io::Result<Client> {
        let stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Client::begin(stream)
    }

    fn begin(stream: UnixStream) -> io::Result<Client> {
        let mut client = Client { stream, next: 0 };
        let mut body = Body::words(&[1 << 16]);
        body.0.extend(b"{\"capabilities\":{}}\0");
        let answer = client.ask(Command::Version, body, &[])?;
        let mut fields = Fields(&answer);
        match fields.u16() {
            Ok(0) => Ok(client),
            _ => {
                Err(io::Error::new(io::ErrorKind::InvalidData, "the device speaks another version of vfio-user than 0"))
            }
        }
    }

    /// Asks, and waits for what the reply says after its header.
    fn ask(&mut self, command: Command, body: Body, descriptors: &[BorrowedFd<'_>]) -> io::Result<Vec<u8>> {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let nonsense =
            || io::Error::new(io::ErrorKind::InvalidData, format!("the device's answer to {command:?} is none"));
        send(&self.stream, &wire::message(number, command as u16, 0, 0, &body.0), descriptors)?;
        let reply = receive(&self.stream)?.ok_or(Errno::CONNRESET)?;
        let header = reply.header;
        if header.number != number || header.command != command as u16 || header.flags & wire::KIND != wire::REPLY {
            return Err(nonsense());
        }
        if header.flags & wire::FAILED == 0 {
            return Ok(reply.body);
        }
        // Zero is no error, and numbers above 4095 are none of any system's.
        match i32::try_from(header.error) {
            Ok(errno @ 1..4096) => Err(io::Error::from_raw_os_error(errno)),
            _ => Err(nonsense()),
        }
    }

    /// Loads from a region ([`map`](crate::map)), at an offset in bytes. More than [`wire::MOST_DATA`] bytes are several loads.
    ///
    /// # Errors
    /// As for all calls; EINVAL outside of the region.
    pub fn read(&mut self, region: u32, at: u64, into: &mut [u8]) -> io::Result<()> {
        for (at, into) in (at..).step_by(wire::MOST_DATA).zip(into.chunks_mut(wire::MOST_DATA)) {
            let count = into.len() as u32;
            let answer = self.ask(Command::RegionRead, access(at, region, count), &[])?;
            let bytes = answer.get(16..).filter(|bytes| bytes.len() == into.len());
            let bytes = bytes.ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, "the device answered with another number of bytes")
            })?;
            into.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Stores to a region; more than [`wire::MOST_DATA`] bytes are several stores. That it returns says nothing about
    /// arrival.
    ///
    /// # Errors
    /// As for all calls; EINVAL outside of the region.
    pub fn write(&mut self, region: u32, at: u64, bytes: &[u8]) -> io::Result<()> {
        for (at, bytes) in (at..).step_by(wire::MOST_DATA).zip(bytes.chunks(wire::MOST_DATA)) {
            let mut body = access(at, region, bytes.len() as u32);
            body.0.extend(bytes);
            self.ask(Command::RegionWrite, body, &[])?;
        }
        Ok(())
    }

    /// Bytes of a region; 0 where there is none.
    ///
    /// # Errors
    /// As for all calls.
    pub fn region_bytes(&mut self, region: u32) -> io::Result<u64> {
        let answer = self.ask(Command::RegionInfo, Body::words(&[32, 0, region, 0]).and(&[0, 0]), &[])?;
        let mut fields = Fields(answer.get(16..).unwrap_or_default());
        Ok(fields.u64()?)
    }

    /// Number of interrupts of a kind: [`wire::MSIX`], [`wire::ERROR`].
    ///
    /// # Errors
    /// As for all calls.
    pub fn interrupts(&mut self, index: u32) -> io::Result<u32> {
        let answer = self.ask(Command::IrqInfo, Body::words(&[16, 0, index, 0]), &[])?;
        let mut fields = Fields(answer.get(12..).unwrap_or_default());
        Ok(fields.u32()?)
    }

    /// Says what raises interrupts of a kind: an event descriptor for each, the first for vector 0. They are made non-blocking.
    /// Without any, nothing is raised from here on.
    ///
    /// # Errors
    /// As for all calls; EINVAL for more than there are and for what is no event descriptor.
    pub fn set_interrupts(&mut self, index: u32, events: &[BorrowedFd<'_>]) -> io::Result<()> {
        let flags = wire::SET_TRIGGER | if events.is_empty() { wire::SET_NONE } else { wire::SET_EVENTFD };
        self.ask(Command::SetIrqs, Body::words(&[20, flags, index, 0, events.len() as u32]), events).map(drop)
    }

    /// Maps `length` bytes of a memory object, from `offset` on, at an address of the function's. All three are multiples of 4096.
    ///
    /// # Errors
    /// As for all calls; EINVAL for a range that cannot be, EEXIST for one that overlaps another, ENOSPC for more than 2^20
    /// ranges, 1024 files, or files of more than 1 TiB in all.
    pub fn map_dma(
        &mut self,
        address: u64,
        memory: impl AsFd,
        offset: u64,
        length: u64,
        access: DmaAccess,
    ) -> io::Result<()> {
        let flags = match access {
            DmaAccess::Read => wire::DMA_READ,
            DmaAccess::ReadWrite => wire::DMA_READ | wire::DMA_WRITE,
        };
        let body = Body::words(&[32, flags]).and(&[offset, address, length]);
        self.ask(Command::DmaMap, body, &[memory.as_fd()]).map(drop)
    }

    /// Unmaps what was mapped within `length` bytes from an address; how many bytes that was. When it returns, the function
    /// reaches none of it.
    ///
    /// # Errors
    /// As for all calls; EINVAL for a part of what was mapped.
    pub fn unmap_dma(&mut self, address: u64, length: u64) -> io::Result<u64> {
        let answer = self.ask(Command::DmaUnmap, Body::words(&[24, 0]).and(&[address, length]), &[])?;
        let mut fields = Fields(answer.get(16..).unwrap_or_default());
        Ok(fields.u64()?)
    }

    /// Resets the function.
    ///
    /// # Errors
    /// As for all calls.
    pub fn reset(&mut self) -> io::Result<()> {
        self.ask(Command::Reset, Body::default(), &[]).map(drop)
    }
}

fn access(at: u64, region: u32, count: u32) -> Body {
    let mut body = Body::default().and(&[at]);
    body.0.extend(Body::words(&[region, count]).0);
    body
}
