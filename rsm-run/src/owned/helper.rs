//! The process between an owner and its run.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Signal, setsid};
use rustix::stdio::{dup2_stdin, stdin};

use crate::course::Trial;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::front::{self, Owner};
use crate::output::{self, LogFiles};
use crate::process;
use crate::wire::Wire;

use super::job::Job;
use super::standard;

/// Most bytes that are kept of each output of a process.
const MOST_KEPT: u64 = 64 << 20;
/// Most descriptors in one packet.
const IN_A_PACKET: usize = 128;
/// What a packet says besides: whether another one follows.
const MORE: u8 = b'+';
const LAST: u8 = b'.';

/// What comes of a run.
pub(super) type Told = Result<Trial, (ExitCode, String)>;

/// What is handed to the process, before it is started: descriptors, in this order.
pub(super) struct Handed<'a> {
    /// A [`Job`].
    pub(super) job: BorrowedFd<'a>,
    /// Where [`Told`] is to be written.
    pub(super) told: BorrowedFd<'a>,
    /// Refers to the owner.
    pub(super) owner: BorrowedFd<'a>,
    /// Two for each process: where its standard output and its standard error are kept.
    pub(super) logs: Vec<BorrowedFd<'a>>,
}

/// Sends that; nobody has to receive it yet.
pub(super) fn hand(socket: impl AsFd, handed: &Handed<'_>) -> io::Result<()> {
    let all: Vec<BorrowedFd<'_>> =
        [handed.job, handed.told, handed.owner].into_iter().chain(handed.logs.iter().copied()).collect();
    let packets = all.chunks(IN_A_PACKET);
    let last = packets.len() - 1;
    for (number, descriptors) in packets.enumerate() {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(IN_A_PACKET))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        // There is room for as many as are in a packet.
        control.push(SendAncillaryMessage::ScmRights(descriptors));
        let said = [if number == last { LAST } else { MORE }];
        sendmsg(&socket, &[IoSlice::new(&said)], &mut control, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

fn receive(socket: impl AsFd) -> io::Result<Vec<OwnedFd>> {
    let mut all = Vec::new();
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(IN_A_PACKET))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut said = [0];
        let received = recvmsg(&socket, &mut [IoSliceMut::new(&mut said)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                all.extend(descriptors);
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::Error::other("there is no room for all descriptors that were handed over"));
        }
        match said {
            [MORE] if received.bytes == 1 => {}
            [LAST] if received.bytes == 1 => return Ok(all),
            _ => return Err(io::Error::other("what was handed over is cut off")),
        }
    }
}

/// Carries out the run of another process: what a program does that [`Launch::helper`](super::Launch::helper) names. Its
/// standard input is the tie to the owner, and it has no other threads. Never returns.
pub fn serve() -> ! {
    // Rust's own start-up does the first two, and who started it may have left the last.
    if standard::fill().is_err() {
        std::process::exit(1);
    }
    process::ignore(Signal::PIPE);
    process::ignore(Signal::XFSZ);
    process::use_default_action(Signal::CHILD);
    let _ = rustix::thread::set_name(c"rsm-run");
    // What the terminal sends is for the owner, with which all of this ends.
    let _ = setsid();
    std::process::exit(i32::from(carry_out().is_err()));
}

fn carry_out() -> io::Result<()> {
    let socket = stdin().try_clone_to_owned()?;
    dup2_stdin(output::null()?)?;
    let mut handed = receive(&socket)?.into_iter();
    let mut next = || handed.next().ok_or_else(|| io::Error::other("something was not handed over"));
    let (mut job, mut told, process) = (File::from(next()?), File::from(next()?), next()?);
    let logs = LogFiles::given(handed.map(File::from).collect(), MOST_KEPT);
    let mut bytes = Vec::new();
    job.rewind()?;
    job.read_to_end(&mut bytes)?;
    let job: Job = serde_json::from_slice(&bytes)?;
    let owner = Owner { wire: Wire::over(socket), process };
    let outcome: Told = job
        .plan()
        .and_then(|plan| front::owned(plan, owner, logs))
        .map_err(|Failure { code, message }| (code, message));
    told.write_all(&serde_json::to_vec(&outcome)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{EventfdFlags, eventfd};

    #[test]
    fn any_number_of_descriptors_arrives_in_order() {
        let (here, there) = Wire::pair().unwrap();
        let events: Vec<OwnedFd> =
            (0..2 * IN_A_PACKET as u32).map(|n| eventfd(n, EventfdFlags::CLOEXEC).unwrap()).collect();
        let (first, logs) = events.split_at(3);
        let logs = logs.iter().map(AsFd::as_fd).collect();
        let handed = Handed { job: first[0].as_fd(), told: first[1].as_fd(), owner: first[2].as_fd(), logs };
        hand(&here, &handed).unwrap();
        let received = receive(&there).unwrap();
        assert_eq!(received.len(), events.len());
        for (number, event) in received.iter().enumerate().skip(1) {
            let mut count = [0; 8];
            rustix::io::read(event, &mut count).unwrap();
            assert_eq!(u64::from_ne_bytes(count), number as u64);
        }
    }

    #[test]
    fn descriptors_that_get_lost_are_an_error() {
        let (here, there) = Wire::pair().unwrap();
        let all = vec![here.as_fd(); IN_A_PACKET + 16];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(IN_A_PACKET + 16))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&all)));
        sendmsg(&here, &[IoSlice::new(&[LAST])], &mut control, SendFlags::NOSIGNAL).unwrap();
        assert!(receive(&there).is_err());
    }

    #[test]
    fn half_of_it_is_an_error() {
        let (here, there) = Wire::pair().unwrap();
        drop(here);
        assert!(receive(&there).is_err());
    }
}
