//! A stream socket, and the descriptors that come with its bytes.

use crate::wire::{HEADER, Header, MOST_BYTES, MOST_DESCRIPTORS};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// A message that arrived.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) body: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// More descriptors came along than may, or than there is room for in this process.
    pub(crate) descriptors_lost: bool,
}

/// Receives one message; `None` where the stream ends between two.
///
/// # Errors
/// As `recvmsg(2)`; EPROTO for a length that no message has, ECONNRESET where the stream ends within one.
pub(crate) fn receive(stream: &UnixStream) -> Result<Option<Message>, Errno> {
    let mut message = Message {
        header: Header { number: 0, command: 0, size: 0, flags: 0, error: 0 },
        body: Vec::new(),
        descriptors: Vec::new(),
        descriptors_lost: false,
    };
    let mut header = [0; HEADER];
    match fill(stream, &mut header, &mut message)? {
        HEADER => {}
        0 => return Ok(None),
        _ => return Err(Errno::CONNRESET),
    }
    message.header = Header::from_bytes(&header);
    let size = message.header.size as usize;
    if !(HEADER..=MOST_BYTES).contains(&size) {
        return Err(Errno::PROTO);
    }
    let mut body = vec![0; size - HEADER];
    if fill(stream, &mut body, &mut message)? != body.len() {
        return Err(Errno::CONNRESET);
    }
    message.body = body;
    Ok(Some(message))
}

/// Receives until `bytes` is full or the stream ends; how much it was.
fn fill(stream: &UnixStream, bytes: &mut [u8], message: &mut Message) -> Result<usize, Errno> {
    let mut done = 0;
    while done < bytes.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let into = &mut [IoSliceMut::new(&mut bytes[done..])];
        let received = match rustix::net::recvmsg(stream, into, &mut control, RecvFlags::CMSG_CLOEXEC) {
            Err(Errno::INTR) => continue,
            received => received?,
        };
        message.descriptors_lost |= received.flags.contains(ReturnFlags::CTRUNC);
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = part {
                message.descriptors.extend(rights);
            }
        }
        // What is too much is closed at once, however often it comes.
        message.descriptors_lost |= message.descriptors.len() > MOST_DESCRIPTORS;
        message.descriptors.truncate(MOST_DESCRIPTORS);
        if received.bytes == 0 {
            break;
        }
        done += received.bytes;
    }
    Ok(done)
}

/// Sends all bytes, with the first of them the descriptors.
///
/// # Errors
/// As `sendmsg(2)`.
pub(crate) fn send(stream: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut done = 0;
    while done < bytes.len() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let pushed = done > 0 || descriptors.is_empty() || control.push(SendAncillaryMessage::ScmRights(descriptors));
        if !pushed {
            return Err(Errno::INVAL);
        }
        match rustix::net::sendmsg(stream, &[IoSlice::new(&bytes[done..])], &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => {}
            sent => done += sent?,
        }
    }
    Ok(())
}
