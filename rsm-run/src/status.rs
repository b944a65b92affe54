//! How a process ended.

use std::fmt;

use rustix::process::WaitStatus;
use serde::{Deserialize, Serialize};

use crate::exit_code::ExitCode;
use crate::signals;

/// The end of a process, as its parent learns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Exited(u8),
    Killed(u8),
}

impl Status {
    /// Reads what `wait` said; `None` if it was about a stop or a continuation, not an end.
    pub(crate) fn of(status: WaitStatus) -> Option<Status> {
        // Exit codes and signal numbers fit a byte: the kernel packs each of them into at most eight bits.
        let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Status::Exited(byte(code))),
            (_, Some(signal)) => Some(Status::Killed(byte(signal))),
            _ => None,
        }
    }

    pub(crate) fn is_success(self) -> bool {
        self == Status::Exited(0)
    }

    pub(crate) fn is_killed(self) -> bool {
        matches!(self, Status::Killed(_))
    }

    /// What `run` ends with when this is the first failure.
    pub(crate) fn exit_code(self) -> ExitCode {
        match self {
            Status::Exited(0) => ExitCode::Success,
            Status::Exited(code) => ExitCode::Node(code),
            Status::Killed(signal) => ExitCode::Signal(signal),
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Status::Exited(code) => write!(f, "ended with exit code {code}"),
            Status::Killed(signal) => {
                write!(f, "was killed by signal {signal} ({})", signals::name(i32::from(signal)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences() {
        assert_eq!(Status::Exited(7).to_string(), "ended with exit code 7");
        assert_eq!(Status::Killed(11).to_string(), "was killed by signal 11 (SIGSEGV)");
        assert_eq!(Status::Killed(36).to_string(), "was killed by signal 36 (SIGRTMIN+2)");
    }

    #[test]
    fn codes() {
        assert_eq!(Status::Exited(0).exit_code(), ExitCode::Success);
        assert_eq!(Status::Exited(7).exit_code().number(), 7);
        assert_eq!(Status::Killed(9).exit_code().number(), 137);
    }
}
