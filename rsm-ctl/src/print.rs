//! The only places where `rsm-ctl` writes to its standard streams, output of nodes apart.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, poll};

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

/// Ends the process as soon as nobody reads standard output any more: for commands that may have nothing to write for
/// long. Nothing is lost by it: what they would still say has no reader.
pub(crate) fn end_with_reader() {
    let watch = || {
        let stdout = io::stdout();
        loop {
            // Nothing is asked for: what is told is that the other end is closed, which a file's never is.
            let mut descriptors = [PollFd::new(&stdout, PollFlags::empty())];
            match poll(&mut descriptors, None) {
                Ok(_) if descriptors[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL) => {
                    std::process::exit(ExitCode::OutputClosed.number().into());
                }
                Err(rustix::io::Errno::INTR) => {}
                // A terminal that hung up: its signal is on the way.
                _ => return,
            }
        }
    };
    // Without the thread the next write finds out.
    let _ = std::thread::Builder::new().name("reader".to_owned()).spawn(watch);
}

/// Says on standard error why a command failed.
pub(crate) fn complaint(failure: &Failure) {
    remark(&failure.message);
}

/// Says something on standard error. There is nobody to tell when that fails too.
pub(crate) fn remark(text: &str) {
    let _ = io::stderr().lock().write_all(format!("rsm-ctl: {text}\n").as_bytes());
}

/// Says on standard error what makes an answer doubtful.
pub(crate) fn warning(text: &str) {
    let _ = io::stderr().lock().write_all(format!("rsm-ctl: warning: {text}\n").as_bytes());
}
