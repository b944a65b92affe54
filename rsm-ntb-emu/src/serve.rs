//! The clients of a side, one after another: what each asks is answered, in the order in which it asks.

use crate::bridge::Side;
use crate::function::region_bytes;
use crate::shared::Shared;
use crate::socket::{Message, receive, send};
use crate::wire::{self, Body, Command, Fields};
use crate::{dma, interrupts, map};
use rustix::io::Errno;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};

/// What a client may count on; more it need not know.
const CAPABILITIES: &[u8] = br#"{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576}}"#;

/// Serves one client after another, until the end.
pub(crate) fn serve(shared: &Shared, side: Side, listener: &UnixListener) {
    while let Some(stream) = shared.accept(listener) {
        {
            let mut ending = shared.ending();
            if ending.ending {
                return;
            }
            // Without it the client could not be cut off.
            let Ok(client) = stream.try_clone() else { continue };
            ending.clients[side as usize] = Some(client);
        }
        shared.lock().open(side);
        // Why it ended is the client's to know.
        let _ = converse(&stream, side, shared);
        shared.ending().clients[side as usize] = None;
        let gone = shared.lock().close(side);
        drop(gone);
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// Serves a client until it goes, or until it sends what is no message.
fn converse(stream: &UnixStream, side: Side, shared: &Shared) -> Result<(), Errno> {
    let mut greeted = false;
    while let Some(message) = receive(stream)? {
        let header = message.header;
        let command = Command::from_number(header.command);
        // Versions first: what else comes first is no client.
        if header.flags & wire::KIND != 0 || !greeted && command != Some(Command::Version) {
            return Err(Errno::PROTO);
        }
        let answer = match command {
            None => Err(Errno::OPNOTSUPP),
            Some(Command::Version) if greeted => Err(Errno::INVAL),
            Some(command) => answer(command, message, side, shared),
        };
        greeted |= command == Some(Command::Version) && answer.is_ok();
        if header.flags & wire::NO_REPLY != 0 {
            continue;
        }
        let (flags, error, body) = match answer {
            Ok(body) => (wire::REPLY, 0, body.0),
            Err(errno) => (wire::REPLY | wire::FAILED, errno.raw_os_error().cast_unsigned(), Vec::new()),
        };
        send(stream, &wire::message(header.number, header.command, flags, error, &body), &[])?;
    }
    Ok(())
}

/// Carries out a command; what is in its reply.
fn answer(command: Command, message: Message, side: Side, shared: &Shared) -> Result<Body, Errno> {
    let Message { body, mut descriptors, descriptors_lost, .. } = message;
    // Without one that it came with a command would mean something else.
    if descriptors_lost {
        return Err(Errno::MFILE);
    }
    let takes = match command {
        Command::DmaMap => 1,
        Command::SetIrqs => wire::MOST_DESCRIPTORS,
        _ => 0,
    };
    if descriptors.len() > takes {
        return Err(Errno::INVAL);
    }
    let mut fields = Fields(&body);
    match command {
        Command::Version => {
            let (major, _minor) = (fields.u16()?, fields.u16()?);
            if major != 0 {
                return Err(Errno::OPNOTSUPP);
            }
            let mut body = Body::words(&[0]);
            body.0.extend(CAPABILITIES);
            body.0.push(0);
            Ok(body)
        }
        Command::DeviceInfo => {
            let (_size, _flags, _regions, _irqs) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
            fields.end()?;
            Ok(Body::words(&[16, wire::DEVICE_RESETS | wire::DEVICE_PCI, wire::REGIONS, wire::IRQS]))
        }
        Command::RegionInfo => {
            let (_size, _flags, region, _offset) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
            let (_bytes, _offset) = (fields.u64()?, fields.u64()?);
            fields.end()?;
            if region >= wire::REGIONS {
                return Err(Errno::INVAL);
            }
            let bytes = region_bytes(region, shared.lock().window);
            let flags = if bytes == 0 { 0 } else { wire::REGION_READ_WRITE };
            Ok(Body::words(&[32, flags, region, 0]).and(&[bytes, 0]))
        }
        Command::IrqInfo => {
            let (_size, _flags, index, _count) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
            fields.end()?;
            if index >= wire::IRQS {
                return Err(Errno::INVAL);
            }
            Ok(Body::words(&[16, wire::IRQ_EVENTFD | wire::IRQ_NORESIZE, index, interrupts::count(index)]))
        }
        Command::SetIrqs => {
            let (_size, flags) = (fields.u32()?, fields.u32()?);
            let (index, start, count) = (fields.u32()?, fields.u32()?, fields.u32()?);
            fields.end()?;
            let request = interrupts::Request { index, flags, start, count };
            shared.lock().set_interrupts(side, request, descriptors)?;
            Ok(Body::default())
        }
        Command::DmaMap => {
            let (_size, flags) = (fields.u32()?, fields.u32()?);
            let (offset, address, size) = (fields.u64()?, fields.u64()?, fields.u64()?);
            fields.end()?;
            let request = dma::Request { address, size, offset, flags };
            shared.lock().map_dma(side, request, descriptors.pop())?;
            Ok(Body::default())
        }
        Command::DmaUnmap => {
            let (size, flags) = (fields.u32()?, fields.u32()?);
            let (address, bytes) = (fields.u64()?, fields.u64()?);
            fields.end()?;
            let unmapped = shared.lock().unmap_dma(side, address, bytes, flags)?;
            Ok(Body::words(&[size, flags]).and(&[address, unmapped]))
        }
        Command::RegionRead => {
            let (at, region, count) = (fields.u64()?, fields.u32()?, fields.u32()?);
            fields.end()?;
            if count as usize > wire::MOST_DATA {
                return Err(Errno::INVAL);
            }
            let mut into = vec![0; count as usize];
            shared.lock().region_load(side, region, at, &mut into)?;
            if region == map::WINDOW && !shared.latency_read.is_zero() {
                // Its answer takes as long; whatever else goes over the bridge does not wait for it, nor does the end.
                shared.pause(shared.latency_read);
            }
            let mut body = Body::default().and(&[at]);
            body.0.extend(Body::words(&[region, count]).0);
            body.0.extend(into);
            Ok(body)
        }
        Command::RegionWrite => {
            let (at, region, count) = (fields.u64()?, fields.u32()?, fields.u32()?);
            let bytes = fields.rest();
            if bytes.len() != count as usize {
                return Err(Errno::INVAL);
            }
            if shared.lock().region_store(side, region, at, bytes)? {
                shared.wake_courier();
            }
            let mut body = Body::default().and(&[at]);
            body.0.extend(Body::words(&[region, count]).0);
            Ok(body)
        }
        Command::Reset => {
            fields.end()?;
            shared.lock().reset(side);
            Ok(Body::default())
        }
    }
}
