//! The wire between front and warden: a socket pair that keeps message boundaries, and what comes over it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_send_buffer_size;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair};
use serde::{Serialize, de::DeserializeOwned};

use crate::deadline::MOMENT;

/// Longest message. The longest in use, a refusal with its reason, is far below.
const LONGEST: usize = 64 * 1024;

/// What may wait to be read.
const ROOM: usize = 1 << 20;

/// One end of it.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: OwnedFd,
}

/// What [`Wire::receive`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<T> {
    Message(T),
    /// Nothing for now.
    Nothing,
    /// The other end is closed and everything it sent was read.
    Gone,
}

impl Wire {
    pub(crate) fn pair() -> io::Result<(Wire, Wire)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (one, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Wire::over(one), Wire::over(other)))
    }

    /// Talks over a connected, non-blocking packet socket.
    pub(crate) fn over(socket: OwnedFd) -> Wire {
        // Room for the last words of every process of the largest run, unread. The kernel gives what it allows.
        let _ = set_socket_send_buffer_size(&socket, ROOM);
        Wire { socket }
    }

    /// Sends without waiting for who reads; a kernel that has no memory for it is waited for.
    ///
    /// A message that finds no room, or no other end, is dropped. The warden sends about as many as there are
    /// processes in its whole life, which always has room. The front repeats what the user asks for, so only a warden that does not run
    /// misses something, and the front's last word for that one is SIGKILL.
    pub(crate) fn send<T: Serialize>(&self, message: &T) {
        let bytes = serde_json::to_vec(message).expect("messages are numbers and text");
        loop {
            match send(&self.socket, &bytes, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                Err(Errno::NOMEM | Errno::NOBUFS) => thread::sleep(MOMENT),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Waits until there is room for a message, not for long; answers whether there is.
    pub(crate) fn has_room(&self) -> bool {
        self.is_writable(&Timespec { tv_sec: 2, tv_nsec: 0 })
    }

    /// Whether most of the room is free: what may be left out is not to take the place of what may not.
    pub(crate) fn is_roomy(&self) -> bool {
        // A socket can be written to while a quarter of its room is taken, or less.
        self.is_writable(&Timespec::default())
    }

    /// Whether something can be written within this time. Where the kernel does not let us ask, sending says the rest.
    fn is_writable(&self, within: &Timespec) -> bool {
        match poll(&mut [PollFd::new(&self.socket, PollFlags::OUT)], Some(within)) {
            Ok(ready) => ready > 0,
            Err(errno) => !matches!(errno, Errno::INTR | Errno::NOMEM | Errno::AGAIN),
        }
    }

    /// Takes the next message if there is one.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> Received<T> {
        let mut bytes = vec![0; LONGEST];
        loop {
            match recv(&self.socket, &mut *bytes, RecvFlags::empty()) {
                // Told once, when the other end went with something of ours unread; what it had said before is still here.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                // The message stays where it is.
                Err(Errno::NOMEM | Errno::NOBUFS) => thread::sleep(MOMENT),
                Err(Errno::AGAIN) => return Received::Nothing,
                Ok((0, _)) | Err(_) => return Received::Gone,
                Ok((length, _)) => {
                    // Both ends are the same program, so the only thing to do with what cannot be read is to skip it.
                    if let Ok(message) = serde_json::from_slice(&bytes[..length]) {
                        return Received::Message(message);
                    }
                }
            }
        }
    }
}

impl From<Wire> for OwnedFd {
    fn from(wire: Wire) -> OwnedFd {
        wire.socket
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;
    use crate::message::ToFront;
    use crate::status::Status;
    use crate::supervision::Blame;
    use crate::task::MOST_PROCESSES;

    #[test]
    fn messages_arrive_whole_and_in_order_and_outlive_the_sender() {
        let (front, warden) = Wire::pair().unwrap();
        assert_eq!(front.receive::<ToFront>(), Received::Nothing);
        warden.send(&ToFront::Started { cluster: "c".into(), processes: (1..64).collect() });
        warden.send(&ToFront::Finished { code: ExitCode::Node(7) });
        drop(warden);
        let started = ToFront::Started { cluster: "c".into(), processes: (1..64).collect() };
        assert_eq!(front.receive(), Received::Message(started));
        assert_eq!(front.receive(), Received::Message(ToFront::Finished { code: ExitCode::Node(7) }));
        assert_eq!(front.receive::<ToFront>(), Received::Gone);
        front.send(&ToFront::Suspended);
    }

    #[test]
    fn what_the_sender_did_not_read_costs_nothing_that_it_said() {
        let (front, warden) = Wire::pair().unwrap();
        warden.send(&ToFront::Finished { code: ExitCode::Success });
        front.send(&ToFront::Suspended);
        drop(warden);
        assert_eq!(front.receive(), Received::Message(ToFront::Finished { code: ExitCode::Success }));
        assert_eq!(front.receive::<ToFront>(), Received::Gone);
    }

    #[test]
    fn every_message_of_the_largest_run_fits_unread() {
        let (front, warden) = Wire::pair().unwrap();
        for index in 0..MOST_PROCESSES {
            let (status, blame) = (Status::Exited(0), Blame::Nobody);
            warden.send(&ToFront::Ended { index, process: 4_000_000, status, core: false, blame });
        }
        warden.send(&ToFront::Finished { code: ExitCode::Success });
        let mut last = None;
        while let Received::Message(message) = front.receive::<ToFront>() {
            last = Some(message);
        }
        assert_eq!(last, Some(ToFront::Finished { code: ExitCode::Success }));
    }
}
