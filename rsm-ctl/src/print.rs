//! The only places where `rsm-ctl` writes to its standard streams, output of nodes apart.

use std::io::{self, Write};

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Writes an answer to standard output. A reader that went away (`| head`) ends the command quietly.
pub(crate) fn answer(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::Success),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::OutputClosed),
        Err(error) => Err(Failure::system("cannot write standard output", error)),
    }
}

/// Says on standard error why a command failed. There is nobody to tell when that fails too.
pub(crate) fn complaint(failure: &Failure) {
    let _ = io::stderr().lock().write_all(format!("rsm-ctl: {}\n", failure.message).as_bytes());
}
