//! The events thread: looks at the registry when the agent says so, and notices the end of the cluster.
//!
//! Its socket is in a descriptor table of its own. So the end of this process, or its exec, ends the socket at once, even
//! while a forked child lives on, and nothing the application does to its descriptors breaks it. A look carries no
//! content: what there is to see is in the registry, and looking twice, or once for two, is the same. One may bring
//! memory along, for the tally of a process that is watched, or for the ring of one that is traced.

use super::Shared;
use crate::guest::Guest;
use crate::memory::{maps, trash};
use crate::parking::Parking;
use crate::private_table::{self, Stdio};
use crate::socket;
use rsm_core::message::LOOK_WITH_RING;
use rsm_core::{Code, Error, Result, crash_point};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};

/// After this what could not be done is tried again.
const TRY_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// So often this process's segments are looked at for whoever traces the bytes in them.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// Kinds of rings: without the bytes of puts, and with them.
const KINDS: usize = 2;

/// Starts the thread. It ends with its socket.
///
/// # Errors
/// As [`private_table::spawn`]; and where there is no room now for what imports are cut off with: it may be out of reach when
/// it is needed.
pub(super) fn start(socket: Guest, shared: Arc<Shared>, parking: Arc<Parking>) -> Result<()> {
    let (tell, told) = mpsc::channel();
    let thread = private_table::spawn("rsm-events", socket, Stdio::Null, move |socket| {
        let kept = maps::keep_looking().and_then(|()| trash::keep_marking());
        let ready = kept.is_ok();
        let _ = tell.send(kept);
        if ready {
            run(&socket, &shared, &parking);
        }
    })?;
    let kept = told.recv().unwrap_or_else(|_| Err(Error::with(Code::InternalError, "a thread ended at once")));
    if kept.is_err() {
        let _ = thread.join();
    }
    kept
}

fn run(events: &OwnedFd, shared: &Shared, parking: &Parking) {
    // What could not be mapped yet. Nobody else could close it, for it is in this thread's table.
    let (mut tally, mut rings) = (None, Vec::new());
    // Who cannot be cut off has not let go: without an answer the agent does not take it for that.
    let mut owed = false;
    loop {
        // This may take a while. The agent has been answered, if it was asked, and whoever was to be cut off is.
        shared.follow_tracing();
        let header = shared.map.registry().header;
        let unfinished =
            owed || tally.is_some() && header.is_tallied() || !rings.is_empty() && header.late_trace().is_some();
        let wait = match unfinished {
            true => Some(&TRY_AGAIN),
            false => shared.looks_between().then_some(&LOOK_AGAIN),
        };
        let readable = wait.is_none_or(|wait| is_readable(events, wait));
        if !readable {
            shared.look_between();
        }
        if !unfinished && !readable {
            continue;
        }
        if readable {
            match socket::receive(events, RecvFlags::empty()) {
                Ok(Some(look)) => {
                    crash_point!(LookTold);
                    let brought = look.descriptors.into_iter().next();
                    if look.bytes == [LOOK_WITH_RING] {
                        keep_ring(&mut rings, brought);
                    } else {
                        tally = brought.or(tally);
                    }
                    owed = true;
                }
                Err(Errno::INTR) => continue,
                Ok(None) | Err(_) => break,
            }
        }
        tally = tally.and_then(|fd| shared.take_tally(fd));
        rings = rings.into_iter().filter_map(|fd| shared.take_ring(fd)).collect();
        if let Some(seen) = shared.sweep()
            && owed
        {
            crash_point!(LookSwept);
            // An error shows as the end of the socket at the next receive.
            let _ = socket::send(events, &seen.to_le_bytes(), &[], SendFlags::empty());
            crash_point!(LookAnswered);
            owed = false;
        }
    }
    crash_point!(EndNoticed);
    parking.end();
    super::ready::pumps::notice_all();
    crash_point!(EndTold);
}

/// Keeps a ring that cannot be mapped yet. The agent sends one of each kind, once: that of one trace may come while that of another
/// still waits. Whatever else an agent sends, no more of them are kept.
fn keep_ring<Ring>(rings: &mut Vec<Ring>, brought: Option<Ring>) {
    rings.extend(brought);
    rings.drain(..rings.len().saturating_sub(KINDS));
}

/// Whether there is something to receive, within this time. Where nobody may ask, as a filter of system calls refuses it, there is:
/// then whoever receives waits for it, and does nothing meanwhile.
fn is_readable(events: &OwnedFd, wait: &Timespec) -> bool {
    match rustix::event::poll(&mut [PollFd::new(events, PollFlags::IN)], Some(wait)) {
        Ok(ready) => ready > 0,
        Err(Errno::INTR) => false,
        Err(Errno::NOMEM) => {
            // Should that fail, it is asked again at once.
            let _ = rustix::thread::nanosleep(&TRY_AGAIN);
            false
        }
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refused;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn a_ring_that_waits_is_kept_beside_one_of_the_other_kind() {
        let mut rings = Vec::new();
        keep_ring(&mut rings, Some("plain"));
        keep_ring(&mut rings, None);
        keep_ring(&mut rings, Some("with bytes"));
        assert_eq!(rings, ["plain", "with bytes"]);
        keep_ring(&mut rings, Some("one too many"));
        assert_eq!(rings, ["with bytes", "one too many"]);
    }

    #[test]
    fn who_may_not_ask_for_messages_waits_for_them() {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert!(!is_readable(&ours, &at_once));
        let refused = |errno| refused::on_a_thread(libc::SYS_ppoll, errno, || is_readable(&ours, &at_once));
        assert!(refused(Errno::PERM) && refused(Errno::NOSYS), "who receives waits");
        assert!(!refused(Errno::INTR) && !refused(Errno::NOMEM), "it is asked again");
        socket::send(&theirs, b"a look", &[], SendFlags::empty()).unwrap();
        assert!(is_readable(&ours, &at_once));
    }
}
