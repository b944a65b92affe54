//! Packets and descriptors over Unix sockets, and what the kernel says about who sent them.
#![allow(unsafe_code)]

use crate::error::from_errno;
use rsm_core::access::Credentials;
use rsm_core::message::MAX_MESSAGE;
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Most descriptors beside one packet.
pub const MAX_DESCRIPTORS: usize = 5;

/// A packet that arrived.
#[derive(Debug)]
pub struct Packet {
    /// Bytes of the packet; one more than [`MAX_MESSAGE`] means that it was longer.
    pub bytes: Vec<u8>,
    /// Descriptors that came with it, close-on-exec.
    pub descriptors: Vec<OwnedFd>,
    /// Some descriptors could not be received: this process has no room for them.
    pub descriptors_lost: bool,
}

/// Creates a packet socket.
///
/// # Errors
/// INSUFFICIENT_RESOURCES without a free descriptor.
pub fn packet_socket(flags: SocketFlags) -> Result<OwnedFd> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | flags, None)
        .map_err(|e| from_errno(e, "cannot create a socket"))
}

/// Creates a connected pair of packet sockets.
///
/// # Errors
/// INSUFFICIENT_RESOURCES without free descriptors.
pub fn packet_pair() -> Result<(OwnedFd, OwnedFd)> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .map_err(|e| from_errno(e, "cannot create a socket pair"))
}

/// Sends one packet.
///
/// # Errors
/// As `sendmsg(2)`, but for a kernel that has no memory: it is waited for, or EAGAIN.
pub fn send(
    socket: impl AsFd,
    bytes: &[u8],
    descriptors: &[BorrowedFd<'_>],
    flags: SendFlags,
) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)), "at most MAX_DESCRIPTORS");
    }
    let at_once = flags.contains(SendFlags::DONTWAIT);
    outlast(at_once, || {
        loop {
            let sent = rustix::net::sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, flags | SendFlags::NOSIGNAL);
            match sent {
                Err(Errno::INTR) if !at_once => {} // nothing was sent, and room will come
                sent => return sent.map(drop),
            }
        }
    })
}

/// Receives one packet; `None` when the other end is gone. Descriptors beyond [`MAX_DESCRIPTORS`] are closed.
///
/// # Errors
/// As `recvmsg(2)`, but for a kernel that has no memory: it is waited for, or EAGAIN.
pub fn receive(socket: impl AsFd, flags: RecvFlags) -> rustix::io::Result<Option<Packet>> {
    let mut bytes = vec![0; MAX_MESSAGE + 1];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let message = outlast(flags.contains(RecvFlags::DONTWAIT), || {
        let (buffer, flags) = (&mut [IoSliceMut::new(&mut bytes)], flags | RecvFlags::CMSG_CLOEXEC);
        rustix::net::recvmsg(&socket, buffer, &mut control, flags)
    })?;
    let mut descriptors = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            descriptors.extend(rights);
        }
    }
    if message.bytes == 0 && descriptors.is_empty() {
        return Ok(None);
    }
    bytes.truncate(message.bytes);
    Ok(Some(Packet { bytes, descriptors, descriptors_lost: message.flags.contains(ReturnFlags::CTRUNC) }))
}

/// Makes a call that moves one packet, or nothing.
///
/// A kernel that has no memory for a packet says so before anything has happened: that is no end of a socket, but a
/// reason to try again in a moment. What must not wait is told so, and tries again when it looks at the socket next.
fn outlast<T>(at_once: bool, mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(Errno::NOMEM | Errno::NOBUFS | Errno::INTR) if at_once => return Err(Errno::AGAIN),
            Err(Errno::NOMEM | Errno::NOBUFS) => std::thread::sleep(Duration::from_millis(1)),
            done => return done,
        }
    }
}

/// Credentials of who connected, as the kernel noted them at that moment: effective ids, supplementary groups, process id. The id is 0 for
/// a process that this process's PID namespace does not show.
///
/// # Errors
/// INTERNAL_ERROR when the kernel does not say.
pub fn peer(socket: impl AsFd) -> Result<(Credentials, u32)> {
    let cred = peer_cred(socket.as_fd()).map_err(|e| from_errno(e, "the kernel does not name the peer"))?;
    let groups = peer_groups(socket.as_fd())?;
    Ok((Credentials { uid: cred.uid, gid: cred.gid, groups }, u32::try_from(cred.pid).unwrap_or(0)))
}

/// By hand: the type that rustix gives cannot hold the process id 0.
fn peer_cred(socket: BorrowedFd<'_>) -> std::result::Result<libc::ucred, Errno> {
    let mut cred = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut bytes = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `bytes` bytes, one structure, of integers.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &raw mut bytes,
        )
    };
    if rc == 0 { Ok(cred) } else { Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)) }
}

fn peer_groups(socket: BorrowedFd<'_>) -> Result<Vec<u32>> {
    let mut groups = vec![0u32; 64];
    loop {
        let mut bytes = libc::socklen_t::try_from(size_of_val(&groups[..])).unwrap_or(libc::socklen_t::MAX);
        // SAFETY: the kernel writes at most `bytes` bytes into the vector and the length into `bytes`.
        let rc = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        let count = bytes as usize / size_of::<u32>();
        if rc == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        match std::io::Error::last_os_error().raw_os_error() {
            // Too small: the kernel said how much it takes. NGROUPS_MAX bounds it.
            Some(libc::ERANGE) if count > groups.len() && count <= 65536 => groups.resize(count, 0),
            Some(libc::ENODATA) => return Ok(Vec::new()),
            e => {
                return Err(from_errno(Errno::from_raw_os_error(e.unwrap_or(0)), "the kernel does not say the groups"));
            }
        }
    }
}

/// A descriptor of the process that connected, from the kernel (Linux 6.5); `None` where the kernel has no such option.
///
/// # Errors
/// CONN_ABORTED when the process is gone already.
pub fn peer_pidfd(socket: impl AsFd) -> Result<Option<OwnedFd>> {
    const SO_PEERPIDFD: libc::c_int = 77;
    let mut fd: libc::c_int = -1;
    let mut bytes = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one int.
    let rc = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &raw mut bytes,
        )
    };
    if rc == 0 {
        // SAFETY: the kernel just gave us this descriptor, close-on-exec.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }));
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::ENOPROTOOPT) => Ok(None),
        Some(libc::ESRCH | libc::EINVAL | libc::ENODATA) => {
            Err(Error::with(Code::ConnAborted, "the process that connected is gone"))
        }
        e => Err(from_errno(Errno::from_raw_os_error(e.unwrap_or(0)), "the kernel does not name the process")),
    }
}

/// Makes a socket, and those that a listening one accepts, refuse descriptors; `false` where the kernel
/// cannot (before 6.16).
pub fn refuse_descriptors(socket: impl AsFd) -> bool {
    const SO_PASSRIGHTS: libc::c_int = 83;
    let off: libc::c_int = 0;
    // SAFETY: the kernel reads one int.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PASSRIGHTS,
            (&raw const off).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    rc == 0
}
