//! What connecting and publishing are made of: a socket to another process, descriptors, mappings.

use crate::party::{Pairing, Result, Side, Trouble};
use crate::protocol::Job;
use crate::region::{HEAD, Region, word};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

/// What connecting is made of: asking another process, a descriptor in the answer, a mapping, a store.
pub(super) fn descriptors(socket: &OwnedFd, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
    match pairing.side {
        Side::Active => job.collect(|stamp| {
            let began = Instant::now();
            say(socket, stamp, None)?;
            let (found, memory) = hear(socket)?;
            let memory = memory.filter(|_| found == stamp).ok_or_else(|| Trouble("no descriptor came".into()))?;
            let region = Region::map(&memory, HEAD + job.size, false)?;
            region.word(word::PING).store(stamp, Release);
            let taken = began.elapsed().as_nanos() as u64;
            drop(region);
            say(socket, stamp, None)?;
            hear(socket)?;
            Ok(taken)
        }),
        Side::Passive => {
            let memory = crate::region::create(job.size as u64)?;
            let region = Region::map(&memory, HEAD + job.size, true)?;
            job.repeat(|stamp| {
                hear(socket)?;
                say(socket, stamp, Some(&memory))?;
                hear(socket)?;
                let found = region.word(word::PING).load(Acquire);
                if found != stamp {
                    return Err(super::copies::wrong(8, stamp, &[found]));
                }
                say(socket, stamp, None)
            })
        }
    }
}

/// What exporting and publishing are made of: two questions to another process, memory, a mapping with pages.
pub(super) fn memfds(socket: &OwnedFd, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
    match pairing.side {
        Side::Active => job.collect(|stamp| {
            let began = Instant::now();
            say(socket, stamp, None)?;
            hear(socket)?;
            let memory = rustix::fs::memfd_create("rsm-perf", rustix::fs::MemfdFlags::CLOEXEC)?;
            rustix::fs::ftruncate(&memory, job.size as u64)?;
            let region = Region::map(&memory, job.size, true)?;
            say(socket, stamp, None)?;
            hear(socket)?;
            let taken = began.elapsed().as_nanos() as u64;
            drop(region);
            Ok(taken)
        }),
        Side::Passive => job.repeat(|stamp| {
            for _ in 0..2 {
                hear(socket)?;
                say(socket, stamp, None)?;
            }
            Ok(())
        }),
    }
}

/// The socket between the parties; made when first needed.
pub fn meet<'a>(socket: &'a mut Option<OwnedFd>, pairing: &Pairing) -> Result<&'a OwnedFd> {
    if socket.is_none() {
        let address = SocketAddrUnix::new_abstract_name(format!("rsm-perf-{}", pairing.name).as_bytes())?;
        let kind = SocketType::STREAM;
        let made = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)?;
        *socket = Some(match pairing.side {
            Side::Passive => {
                rustix::net::bind(&made, &address)?;
                rustix::net::listen(&made, 1)?;
                rustix::net::accept_with(&made, SocketFlags::CLOEXEC)?
            }
            Side::Active => {
                let began = Instant::now();
                while rustix::net::connect(&made, &address).is_err() {
                    pairing.worth_it(began)?;
                    std::thread::sleep(Duration::from_millis(1));
                }
                made
            }
        });
    }
    Ok(socket.as_ref().expect("made above"))
}

fn say(socket: &OwnedFd, stamp: u64, memory: Option<&OwnedFd>) -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = memory.map(|memory| [memory.as_fd()]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let sent = rustix::net::sendmsg(socket, &[IoSlice::new(&stamp.to_ne_bytes())], &mut control, SendFlags::NOSIGNAL)?;
    if sent == 8 { Ok(()) } else { Err(Trouble("a message was cut short".into())) }
}

fn hear(socket: &OwnedFd) -> Result<(u64, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 8];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let heard = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    if heard.bytes != 8 {
        return Err(Trouble("the partner has gone".into()));
    }
    let memory = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((u64::from_ne_bytes(bytes), memory))
}
