//! System calls that a sandbox refuses, each that the library makes for something.

use super::{Change, Expected, Needs, RIGHT, Row};
use rsm::Code;
use rustix::io::Errno;

const fn row(name: &'static str, call: i64, errno: i32, cells: [Expected; 4]) -> Row {
    Row { name, needs: Needs::Nothing, change: Change::Refuse(call, errno), cells }
}

/// What fails where a call is refused, by the number of the error and a part of its text.
macro_rules! cells {
    // The program cannot begin.
    (open $code:ident $text:literal) => {
        [Some(&[("open", Code::$code as i32, $text)]), RIGHT, Some(&[("open", Code::$code as i32, $text)]), RIGHT]
    };
    // It cannot have an agent.
    (agent $code:ident $text:literal) => {
        [RIGHT, RIGHT, Some(&[("open", Code::$code as i32, $text)]), RIGHT]
    };
    // Its agent cannot make memory.
    (memory $code:ident $text:literal) => {
        [
            RIGHT,
            RIGHT,
            Some(&[("open", Code::$code as i32, $text)]),
            Some(&[("export-again", Code::$code as i32, $text), ("adopt-again", Code::$code as i32, $text)]),
        ]
    };
    // The program's memory cannot be exported, nor be given back.
    (adopt $code:ident $text:literal) => {
        [
            Some(&[("adopt", Code::$code as i32, $text), ("adopt-again", Code::$code as i32, $text)]),
            Some(&[("adopt-again", Code::$code as i32, $text), ("destroy-adopted", Code::$code as i32, $text)]),
            Some(&[("adopt", Code::$code as i32, $text), ("adopt-again", Code::$code as i32, $text)]),
            Some(&[("adopt-again", Code::$code as i32, $text), ("destroy-adopted", Code::$code as i32, $text)]),
        ]
    };
    // Memory can be exported, but what was exported cannot be given back.
    (back $code:ident $text:literal) => {
        [
            Some(&[
                ("destroy-adopted-again", Code::$code as i32, $text),
                ("destroy-adopted", Code::$code as i32, $text),
            ]),
            Some(&[("adopt-again", Code::$code as i32, $text), ("destroy-adopted", Code::$code as i32, $text)]),
            Some(&[
                ("destroy-adopted-again", Code::$code as i32, $text),
                ("destroy-adopted", Code::$code as i32, $text),
            ]),
            Some(&[("adopt-again", Code::$code as i32, $text), ("destroy-adopted", Code::$code as i32, $text)]),
        ]
    };
    (poll $code:ident $text:literal) => {
        [
            Some(&[("poll", Code::$code as i32, $text), ("poll-own", Code::$code as i32, $text)]),
            RIGHT,
            Some(&[("poll", Code::$code as i32, $text), ("poll-own", Code::$code as i32, $text)]),
            RIGHT,
        ]
    };
    // Memory cannot be made present.
    (present $code:ident $text:literal) => {
        [
            Some(&[
                ("export", Code::InsufficientMem as i32, ""),
                ("adopt", Code::$code as i32, ""),
                ("export-again", Code::InsufficientMem as i32, ""),
                ("adopt-again", Code::$code as i32, ""),
            ]),
            Some(&[
                ("export-again", Code::InsufficientMem as i32, ""),
                ("adopt-again", Code::$code as i32, ""),
                ("destroy-adopted", Code::$code as i32, ""),
            ]),
            Some(&[("open", Code::$code as i32, $text)]),
            Some(&[
                ("export-again", Code::InsufficientMem as i32, ""),
                ("adopt-again", Code::$code as i32, ""),
                ("destroy-adopted", Code::$code as i32, ""),
            ]),
        ]
    };
    (nothing $text:literal) => {
        [RIGHT; 4]
    };
}

/// A row for each call that the kernel does not have, and one for each that is not permitted.
macro_rules! rows {
    ($($name:literal $call:ident: $absent:ident $($number:ident)?, $forbidden:ident $($other:ident)? $text:literal;)*) => {
        pub(super) const ROWS: &[Row] = &[$(
            row(concat!($name, " is ENOSYS"), libc::$call, libc::ENOSYS, cells!($absent $($number)? $text)),
            row(concat!($name, " is EPERM"), libc::$call, libc::EPERM, cells!($forbidden $($other)? $text)),
        )*];
    };
}

rows! {
    "close_range" SYS_close_range: open CtlrNotPresent, open PermDenied "own descriptors";
    "connect" SYS_connect: open CtlrNotPresent, open PermDenied "cannot reach the cluster's agent";
    "epoll_create1" SYS_epoll_create1: agent CtlrNotPresent, agent PermDenied "cannot create an epoll";
    "fchmod" SYS_fchmod: memory CtlrNotPresent, memory PermDenied "cannot protect a memory object";
    "futex_waitv" SYS_futex_waitv: nothing, nothing "";
    "getrandom" SYS_getrandom: agent CtlrNotPresent, agent PermDenied "no random numbers";
    "getsockopt" SYS_getsockopt: open CtlrNotPresent, open PermDenied "the kernel does not name the peer";
    "ioctl" SYS_ioctl: nothing, nothing "";
    "madvise" SYS_madvise: present CtlrNotPresent, present PermDenied "cannot keep a mapping from children";
    "memfd_create" SYS_memfd_create: memory CtlrNotPresent, memory PermDenied "memory object";
    "mremap" SYS_mremap: back CtlrNotPresent, back PermDenied "move a segment's contents";
    "pipe2" SYS_pipe2: poll CtlrNotPresent, poll PermDenied "cannot make a poll descriptor";
    "setsockopt" SYS_setsockopt: open CtlrNotPresent, open PermDenied "cannot set up the control socket";
    "socket" SYS_socket: open CtlrNotPresent, open PermDenied "cannot create a socket";
    "socketpair" SYS_socketpair: agent CtlrNotPresent, agent PermDenied "cannot create a socket pair";
    "statfs" SYS_statfs: adopt CtlrNotPresent, adopt PermDenied "cannot look at /proc";
    "statx" SYS_statx: nothing, nothing "";
    "unshare" SYS_unshare: nothing, nothing "";
    "userfaultfd" SYS_userfaultfd: nothing, nothing "";
}

/// Refusals of which kernels, or libcs, expect different things.
pub(super) const BY_MACHINE: &[Row] = &[
    of_process_descriptors("pidfd_open is ENOSYS", libc::ENOSYS, true),
    of_process_descriptors("pidfd_open is EPERM", libc::EPERM, true),
    of_process_descriptors("pidfd_open is ENOSYS, and joining takes it", libc::ENOSYS, false),
    of_process_descriptors("pidfd_open is EPERM, and joining takes it", libc::EPERM, false),
    // libc knows other ways, but, where it asks for this one, takes EPERM for the answer to its question.
    row("clone3 is ENOSYS", libc::SYS_clone3, libc::ENOSYS, [RIGHT; 4]),
    of_clone3("clone3 is EPERM", true),
    of_clone3("clone3 is EPERM, and libc does without", false),
];

/// All rows.
pub(super) fn all() -> impl Iterator<Item = &'static Row> {
    ROWS.iter().chain(BY_MACHINE)
}

const fn of_process_descriptors(name: &'static str, errno: i32, named: bool) -> Row {
    const NO_JOIN: [Expected; 4] =
        [Some(&[("open", Code::PermDenied as i32, "pidfd_open refused")]), RIGHT, RIGHT, RIGHT];
    let cells = if named { [RIGHT; 4] } else { NO_JOIN };
    Row { needs: Needs::NamedPeers(named), ..row(name, libc::SYS_pidfd_open, errno, cells) }
}

const fn of_clone3(name: &'static str, used: bool) -> Row {
    const NO_THREADS: [Expected; 4] = cells!(open InsufficientResources "a filter of system calls refuses clone3");
    let cells = if used { NO_THREADS } else { [RIGHT; 4] };
    Row { needs: Needs::ThreadsByClone3(used), ..row(name, libc::SYS_clone3, libc::EPERM, cells) }
}

/// Whether libc starts threads by clone3, and in no other way where that is not permitted.
pub(super) fn threads_by_clone3() -> bool {
    let fails =
        || refuse_with(libc::SYS_clone3, libc::EPERM, 0).is_ok() && std::thread::Builder::new().spawn(|| ()).is_err();
    std::thread::spawn(fails).join().expect("no panic")
}

/// Makes a system call fail in every thread of this process from now on.
pub(super) fn refuse(call: i64, errno: i32) -> rustix::io::Result<()> {
    refuse_with(call, errno, libc::SECCOMP_FILTER_FLAG_TSYNC)
}

/// As [`refuse`] does with `SECCOMP_FILTER_FLAG_TSYNC`; without it for this thread, and those that it starts.
fn refuse_with(call: i64, errno: i32, flags: libc::c_ulong) -> rustix::io::Result<()> {
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
        match libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) {
            0 => Ok(()),
            _ => Err(last()),
        }
    }
}
