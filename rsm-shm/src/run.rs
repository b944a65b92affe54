//! The run that this process is part of: how its launcher is told to end it.
//!
//! A launcher ([`Hearer`]) listens on a socket whose name it gives to all that it starts. The kernel shows the names of such
//! sockets to everybody, so only root and the launcher's own user are heard. A packet there is a code, a packet back says that
//! it was heard, or that it will not be.

use crate::address::random_secret;
use crate::error::from_errno;
use crate::{private_table, rights, socket};
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{RecvFlags, SendFlags, Shutdown, SocketAddrUnix, SocketFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// Environment variable with the name of the launcher's socket, in the abstract namespace.
pub const ENV_RUN: &str = "RSM_RUN";

/// What names of such sockets begin with. It carries the version of what is said there.
const PREFIX: &str = "rsm-run-1/";

/// For the launcher, which answers at once if it runs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most that are being heard at a time.
const MOST: usize = 64;

/// What the launcher says when it has heard.
const HEARD: &[u8] = b"heard";

/// What it says to who is another user than it, and not root.
const REFUSED: &[u8] = b"not of you";

/// Has the run end with this code.
///
/// # Errors
/// CTLR_NOT_PRESENT without a launcher; PERM_DENIED when it is another user's; TIMEOUT when it does not answer;
/// INSUFFICIENT_RESOURCES.
pub fn end(code: u8) -> Result<()> {
    let nobody = |what: &str| {
        let text = format!("{what}: rsm-ctl run and its like end runs, for what they have started");
        Error::with(Code::CtlrNotPresent, text)
    };
    let Some(name) = rights::setting(ENV_RUN) else {
        return Err(nobody("this process is of no run (RSM_RUN is not set)"));
    };
    if !name.as_bytes().starts_with(PREFIX.as_bytes()) {
        return Err(nobody(&format!("{ENV_RUN}={name:?} is no run that this version can end")));
    }
    let address = SocketAddrUnix::new_abstract_name(name.as_bytes())
        .map_err(|_| nobody(&format!("{ENV_RUN}={name:?} is no name of a run")))?;
    // Where the program's own descriptors are not in the way, whatever it does with them meanwhile.
    let heard = private_table::aside(move || {
        let socket = socket::packet_socket(SocketFlags::empty())?;
        for which in [Timeout::Send, Timeout::Recv] {
            set_socket_timeout(&socket, which, Some(PATIENCE)).map_err(|e| from_errno(e, "cannot set up a socket"))?;
        }
        let asked = rustix::net::connect(&socket, &address)
            .and_then(|()| match socket::send(&socket, &[code], &[], SendFlags::empty()) {
                // It listens to nothing that this user says, and says so.
                Err(Errno::PIPE) => Ok(()),
                sent => sent,
            })
            .and_then(|()| socket::receive(&socket, RecvFlags::empty()));
        Ok(match asked {
            Ok(Some(packet)) if packet.bytes == HEARD => Heard::Yes,
            Ok(Some(packet)) if packet.bytes == REFUSED => Heard::Refused,
            Err(Errno::AGAIN) => Heard::NotYet,
            Ok(_) | Err(_) => Heard::Never,
        })
    })?;
    match heard {
        Heard::Yes => Ok(()),
        Heard::NotYet => {
            let text = format!("the launcher of this run does not answer (waited {PATIENCE:?})");
            Err(Error::with(Code::Timeout, text))
        }
        Heard::Refused => {
            let text = format!(
                "user {} may not end this run: only root may, and the user who has started it",
                rustix::process::geteuid().as_raw()
            );
            Err(Error::with(Code::PermDenied, text))
        }
        Heard::Never => Err(nobody("the launcher of this run has gone")),
    }
}

/// What became of it.
enum Heard {
    Yes,
    Refused,
    NotYet,
    Never,
}

/// The launcher's side.
#[derive(Debug)]
pub struct Hearer {
    name: String,
    listener: OwnedFd,
    /// Who has connected and not said anything yet.
    callers: Vec<OwnedFd>,
}

impl Hearer {
    /// Begins to listen, under a new name.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without a descriptor.
    pub fn open() -> Result<Hearer> {
        let secret: String = random_secret()?.iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{PREFIX}{secret}");
        let failed = |e| from_errno(e, "cannot listen for processes that end the run");
        let listener = socket::packet_socket(SocketFlags::NONBLOCK)?;
        let address = SocketAddrUnix::new_abstract_name(name.as_bytes()).map_err(failed)?;
        rustix::net::bind(&listener, &address).map_err(failed)?;
        rustix::net::listen(&listener, MOST as i32).map_err(failed)?;
        Ok(Hearer { name, listener, callers: Vec::new() })
    }

    /// What tells a program of it.
    pub fn variable(&self) -> (&'static str, &str) {
        (ENV_RUN, &self.name)
    }

    /// What to wait for.
    pub fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.callers.iter().map(AsFd::as_fd))
    }

    /// Hears whoever has something to say. The code of the first who wants the run to end, and its process id, 0 where this PID
    /// namespace does not show it.
    pub fn attend(&mut self) -> Option<(u8, u32)> {
        let own = rustix::process::geteuid().as_raw();
        // As many as may wait: who goes on connecting is heard in the next round.
        for _ in 0..MOST {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let Ok(caller) = rustix::net::accept_with(&self.listener, flags) else { break };
            // /proc/net/unix shows the name to everybody.
            if !socket::peer(&caller).is_ok_and(|(who, _)| who.uid == 0 || who.uid == own) {
                refuse(&caller);
                continue;
            }
            // Who connects and says nothing keeps nobody else out.
            if self.callers.len() == MOST {
                self.callers.remove(0);
            }
            self.callers.push(caller);
        }
        let mut heard = None;
        self.callers.retain(|caller| match socket::receive(caller, RecvFlags::DONTWAIT) {
            Ok(Some(packet)) => {
                if let [code] = packet.bytes[..] {
                    let process = socket::peer(caller).map_or(0, |(_, process)| process);
                    heard = heard.or(Some((code, process)));
                    // Who has gone meanwhile needs no answer.
                    let _ = socket::send(caller, HEARD, &[], SendFlags::DONTWAIT);
                }
                false
            }
            Err(Errno::AGAIN) => true,
            Ok(None) | Err(_) => false,
        });
        heard
    }
}

/// Says at once that nothing is heard, and waits for nothing: strangers take nobody's place.
fn refuse(caller: &OwnedFd) {
    // A packet that is there unread when the socket is closed, or comes then, would be all that the caller is told of.
    let _ = rustix::net::shutdown(caller, Shutdown::Read);
    for _ in 0..MOST {
        if !matches!(socket::receive(caller, RecvFlags::DONTWAIT), Ok(Some(_))) {
            break;
        }
    }
    // Who has gone meanwhile needs no answer.
    let _ = socket::send(caller, REFUSED, &[], SendFlags::DONTWAIT);
}
