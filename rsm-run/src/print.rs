//! The only places where `rsm-ctl` writes to its standard streams, output of nodes apart.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, write};
use rustix::stdio::{stderr, stdout};

use crate::colour::Palette;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::{descriptor, printable, sleep};

/// Writes an answer to standard output. A reader that went away (`| head`) ends the command quietly.
pub fn answer(text: &str) -> Result<ExitCode, Failure> {
    help(&if Palette::of_stdout().0 { printable::coloured(text) } else { printable::lines(text) })
}

/// Writes what is all our own, and may do with the terminal what it likes.
pub fn help(text: &str) -> Result<ExitCode, Failure> {
    match write_all(stdout(), text.as_bytes()) {
        Ok(()) => Ok(ExitCode::Success),
        Err(Errno::PIPE) => Ok(ExitCode::OutputClosed),
        Err(errno) => Err(unwritten("standard output", errno)),
    }
}

/// Writes to standard output, letters and what a terminal obeys.
///
/// # Errors
/// That nobody takes it.
pub fn letters(text: &str) -> io::Result<()> {
    Ok(write_all(stdout(), text.as_bytes())?)
}

/// The last thing that is done: a command whose output a file system took and then lost has failed.
pub fn finish(code: ExitCode) -> ExitCode {
    let outputs = [("standard output", stdout()), ("standard error", stderr())];
    let lost = outputs.into_iter().find_map(|(name, output)| match descriptor::settle(output) {
        // Without a descriptor to spare it cannot be asked.
        Err(error) if !matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
            Some(unwritten(name, error))
        }
        _ => None,
    });
    match lost {
        Some(failure) if code == ExitCode::Success => {
            complaint(&failure);
            failure.code
        }
        _ => code,
    }
}

fn unwritten(what: &str, error: impl Into<io::Error>) -> Failure {
    Failure::system(&format!("cannot write {what}"), error)
}

/// Not by way of [`io::Stdout`], which takes a closed descriptor for one that leads nowhere.
fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::INTR) => {}
            // Whoever shares this output with us made it non-blocking.
            Err(Errno::AGAIN) => {
                sleep::until_ready(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], None)?;
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Ends the process as soon as nobody reads standard output any more: for commands that may have nothing to write for
/// long. Nothing is lost by it: what they would still say has no reader.
pub fn end_with_reader() {
    let watch = || {
        let stdout = stdout();
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
pub fn complaint(failure: &Failure) {
    remark(&failure.message);
}

/// Says something on standard error. There is nobody to tell when that fails too.
pub fn remark(text: &str) {
    let _ = write_all(stderr(), format!("rsm-ctl: {}\n", printable::lines(text)).as_bytes());
}

/// Says on standard error what is wrong with the command line; the text is fit for a terminal.
pub fn usage(text: &str) {
    let _ = write_all(stderr(), text.as_bytes());
}

/// Says on standard error what makes an answer doubtful.
pub fn warning(text: &str) {
    remark(&format!("warning: {text}"));
}
