//! Errno numbers as RSMERR numbers (D-01).

use rsm_core::{Code, Error};
use rustix::io::Errno;

/// As `from_errno`, of what the standard library tried.
pub fn from_io(error: &std::io::Error, tried: &str) -> Error {
    match Errno::from_io_error(error) {
        Some(errno) => from_errno(errno, tried),
        None => Error::with(Code::InternalError, format!("{tried}: {error}")),
    }
}

/// The error for a system call that failed, with a sentence that says what was tried.
pub(crate) fn from_errno(errno: Errno, tried: &str) -> Error {
    let code = match errno {
        Errno::NOMEM => Code::InsufficientMem,
        Errno::AGAIN
        | Errno::MFILE
        | Errno::NFILE
        | Errno::NOSPC
        | Errno::NOBUFS
        | Errno::DQUOT
        | Errno::TOOMANYREFS => Code::InsufficientResources,
        // Asked again it opens another.
        Errno::BADF => Code::InsufficientResources,
        Errno::INTR => Code::Interrupted,
        Errno::FAULT => Code::BadAddr,
        Errno::ACCESS | Errno::PERM => Code::PermDenied,
        Errno::NODEV | Errno::NXIO | Errno::STALE => Code::ConnAborted,
        Errno::NOENT | Errno::NOSYS => Code::CtlrNotPresent,
        _ => Code::InternalError,
    };
    let why = match errno {
        Errno::MFILE => "the process's limit of open descriptors is reached (see ulimit -n)".into(),
        Errno::NFILE => "the system's limit of open files is reached".into(),
        Errno::NOSYS => "the kernel has no such call, or a filter refuses it (see rsm-ctl doctor)".into(),
        Errno::BADF => "the program closed or replaced a descriptor of the library's meanwhile".into(),
        other => std::io::Error::from(other).to_string(),
    };
    Error::with(code, format!("{tried}: {why}"))
}
