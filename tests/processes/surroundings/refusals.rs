//! System calls that a sandbox refuses, each that the library makes for something.

use super::{Change, Expected, Needs, RIGHT, Row};
use rustix::io::Errno;

const fn row(name: &'static str, call: i64, errno: i32, cells: [Expected; 4]) -> Row {
    Row { name, needs: Needs::Nothing, change: Change::Refuse(call, errno), cells }
}

/// What fails where a call is refused, by the number of the error and a part of its text.
macro_rules! cells {
    // The program cannot begin.
    (open $code:literal $text:literal) => {
        [Some(&[("open", $code, $text)]), RIGHT, Some(&[("open", $code, $text)]), RIGHT]
    };
    // It cannot have an agent.
    (agent $code:literal $text:literal) => {
        [RIGHT, RIGHT, Some(&[("open", $code, $text)]), RIGHT]
    };
    // Its agent cannot make memory.
    (memory $code:literal $text:literal) => {
        [
            RIGHT,
            RIGHT,
            Some(&[("open", $code, $text)]),
            Some(&[("export-again", $code, $text), ("adopt-again", $code, $text)]),
        ]
    };
    // The program's memory cannot be exported, nor be given back.
    (adopt $code:literal $text:literal) => {
        [
            Some(&[("adopt", $code, $text), ("adopt-again", $code, $text)]),
            Some(&[("adopt-again", $code, $text), ("destroy-adopted", $code, $text)]),
            Some(&[("adopt", $code, $text), ("adopt-again", $code, $text)]),
            Some(&[("adopt-again", $code, $text), ("destroy-adopted", $code, $text)]),
        ]
    };
    // Memory can be exported, but what was exported cannot be given back.
    (back $code:literal $text:literal) => {
        [
            Some(&[("destroy-adopted-again", $code, $text), ("destroy-adopted", $code, $text)]),
            Some(&[("adopt-again", $code, $text), ("destroy-adopted", $code, $text)]),
            Some(&[("destroy-adopted-again", $code, $text), ("destroy-adopted", $code, $text)]),
            Some(&[("adopt-again", $code, $text), ("destroy-adopted", $code, $text)]),
        ]
    };
    (poll $code:literal $text:literal) => {
        [
            Some(&[("poll", $code, $text), ("poll-own", $code, $text)]),
            RIGHT,
            Some(&[("poll", $code, $text), ("poll-own", $code, $text)]),
            RIGHT,
        ]
    };
    // Memory cannot be made present.
    (present $code:literal $text:literal) => {
        [
            Some(&[("export", 32, ""), ("adopt", $code, ""), ("export-again", 32, ""), ("adopt-again", $code, "")]),
            Some(&[("export-again", 32, ""), ("adopt-again", $code, ""), ("destroy-adopted", $code, "")]),
            Some(&[("open", $code, $text)]),
            Some(&[("export-again", 32, ""), ("adopt-again", $code, ""), ("destroy-adopted", $code, "")]),
        ]
    };
    (nothing $code:literal $text:literal) => {
        [RIGHT; 4]
    };
}

/// A row for each call that the kernel does not have, and one for each that is not permitted.
macro_rules! rows {
    ($($name:literal $call:ident: $absent:ident $number:literal, $forbidden:ident $other:literal $text:literal;)*) => {
        pub(super) const ROWS: &[Row] = &[$(
            row(concat!($name, " is ENOSYS"), libc::$call, libc::ENOSYS, cells!($absent $number $text)),
            row(concat!($name, " is EPERM"), libc::$call, libc::EPERM, cells!($forbidden $other $text)),
        )*];
    };
}

rows! {
    // libc knows other ways, but takes EPERM for the answer to its question.
    "clone3" SYS_clone3: nothing 0, open 31 "a filter of system calls refuses clone3";
    "close_range" SYS_close_range: open 4, open 27 "own descriptors";
    "connect" SYS_connect: open 4, open 27 "cannot reach the cluster's agent";
    "epoll_create1" SYS_epoll_create1: agent 4, agent 27 "cannot create an epoll";
    "fchmod" SYS_fchmod: memory 4, memory 27 "cannot protect a memory object";
    "futex_waitv" SYS_futex_waitv: nothing 0, nothing 0 "";
    "getrandom" SYS_getrandom: agent 4, agent 27 "no random numbers";
    "getsockopt" SYS_getsockopt: open 4, open 27 "the kernel does not name the peer";
    "ioctl" SYS_ioctl: nothing 0, nothing 0 "";
    "madvise" SYS_madvise: present 4, present 27 "cannot keep a mapping from children";
    "memfd_create" SYS_memfd_create: memory 4, memory 27 "memory object";
    "mremap" SYS_mremap: back 4, back 27 "move a segment's contents";
    "pidfd_open" SYS_pidfd_open: nothing 0, nothing 0 "";
    "pipe2" SYS_pipe2: poll 4, poll 27 "cannot make a poll descriptor";
    "setsockopt" SYS_setsockopt: open 4, open 27 "cannot set up the control connection";
    "socket" SYS_socket: open 4, open 27 "cannot create a socket";
    "socketpair" SYS_socketpair: agent 4, agent 27 "cannot create a socket pair";
    "statfs" SYS_statfs: adopt 4, adopt 27 "cannot look at /proc";
    "statx" SYS_statx: nothing 0, nothing 0 "";
    "unshare" SYS_unshare: nothing 0, nothing 0 "";
    "userfaultfd" SYS_userfaultfd: nothing 0, nothing 0 "";
}

/// Makes a system call fail in every thread of this process from now on.
pub(super) fn refuse(call: i64, errno: i32) -> rustix::io::Result<()> {
    let last = || Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    let op = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    let (load, equal, answer) =
        (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_RET);
    let mut program = [
        op(load, 0, 0, 0), // the call's number
        op(equal, 0, 1, u32::try_from(call).expect("a number")),
        op(answer, 0, 0, libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()),
        op(answer, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: a filter of four instructions, which the kernel copies.
    unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(last());
        }
        let flags = libc::SECCOMP_FILTER_FLAG_TSYNC;
        match libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) {
            0 => Ok(()),
            _ => Err(last()),
        }
    }
}
