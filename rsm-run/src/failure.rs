//! Why a command could not be done.

use std::io;

use crate::exit_code::ExitCode;
use crate::printable;

/// A sentence for the person and a number for the shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What to end with.
    pub code: ExitCode,
    /// A line, without an end of line.
    pub message: String,
}

impl Failure {
    /// A failure of `rsm-ctl` itself.
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { code: ExitCode::Failure, message: message.into() }
    }

    /// Words that clap let pass and that cannot be understood.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { code: ExitCode::Usage, message: message.into() }
    }

    /// This machine lacks something `rsm-ctl` needs; there is a command that tells more.
    pub fn lacking(message: impl std::fmt::Display) -> Failure {
        Failure::new(format!("{message}; `rsm-ctl doctor` tells what this machine lacks"))
    }

    /// The system refused a call that `rsm-ctl` needs. One that it refuses as such, rather than this time, is a lack.
    pub fn call(what: &str, call: &str, error: io::Error) -> Failure {
        let message = format!("{what}: {call}: {}", reason(&error));
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Failure::lacking(message),
            _ => Failure::new(message),
        }
    }

    /// The system refused something `rsm-ctl` needs.
    pub fn system(what: &str, error: impl Into<io::Error>) -> Failure {
        Failure::new(format!("{what}: {}", reason(&error.into())))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<rsm::Error> for Failure {
    /// Only the sentence: the RSMERR number means something to programs, not on a command line.
    fn from(error: rsm::Error) -> Failure {
        // It may be an agent's, which may be anybody's.
        Failure::new(printable::name(error.detail()))
    }
}

/// The kernel's word for an error, without the number that [`io::Error`] appends.
pub fn reason(error: &io::Error) -> String {
    plain(&error.to_string())
}

/// A text that ends with such a word, without the number.
pub fn plain(text: &str) -> String {
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_have_no_numbers() {
        assert_eq!(reason(&io::Error::from_raw_os_error(libc::ENOENT)), "No such file or directory");
        assert_eq!(reason(&io::Error::other("odd")), "odd");
    }
}
