//! What the library has to say of itself, for whoever asks for it: `RSM_LOG=debug ./program`.
//!
//! Events are `tracing`'s, so a Rust program reads them as it reads all others. Everybody else gets lines on standard
//! error. Nobody is kept waiting by them: a line is left out where it would not be taken at once. They go to the file
//! that was standard error when the library was first called; what a program opens later in its place is not written to.
#![allow(unsafe_code)]

use crate::identity::{self, Identity};
use crate::rights;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::fmt::{self, Write};
use std::os::fd::BorrowedFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Metadata, Subscriber};

/// Environment variable with how much is said: `off`, `error`, `warn`, `info` or `debug`.
pub const ENV_LOG: &str = "RSM_LOG";

/// Amount of what is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What should never happen.
    Error,
    /// What does not work as it should, and what costs more than it should.
    Warn,
    /// What others were refused.
    Info,
    /// Who comes and goes.
    Debug,
}

impl Level {
    const NAMES: [(&str, Level); 4] =
        [("error", Level::Error), ("warn", Level::Warn), ("info", Level::Info), ("debug", Level::Debug)];

    /// Reads the value of `RSM_LOG`: nothing for `off` and no text at all.
    ///
    /// # Errors
    /// What is wrong with it.
    fn read(text: &str) -> Result<Option<Level>, String> {
        if matches!(text, "" | "off") {
            return Ok(None);
        }
        let named = Level::NAMES.iter().find(|(name, _)| *name == text);
        named
            .map(|&(_, level)| Some(level))
            .ok_or_else(|| format!("{ENV_LOG}={text:?} is none of off, error, warn, info and debug; nothing is logged"))
    }

    fn of(level: tracing::Level) -> Level {
        match level {
            tracing::Level::ERROR => Level::Error,
            tracing::Level::WARN => Level::Warn,
            tracing::Level::INFO => Level::Info,
            _ => Level::Debug,
        }
    }
}

/// Where lines go, once somebody wants them.
static LINES: OnceLock<Option<Lines>> = OnceLock::new();
/// Lines that were not taken since the last one that was.
static LOST: AtomicU64 = AtomicU64::new(0);

#[derive(Debug)]
struct Lines {
    /// What every line begins with; the process is added to it.
    prefix: &'static str,
    /// Which file standard error is.
    place: Identity,
}

/// Has the environment decide. Nothing happens where it does not name a level, or a subscriber for events is there.
pub(crate) fn from_environment() {
    LINES.get_or_init(|| {
        let text = if rights::are_raised() { None } else { std::env::var_os(ENV_LOG) }?;
        let lines = |level| begin("rsm", level);
        match Level::read(&text.to_string_lossy()) {
            Ok(level) => level.and_then(lines),
            Err(what) => {
                let told = Lines { prefix: "rsm", place: place()? };
                told.put("warn", &what);
                None
            }
        }
    });
}

/// Has lines say this much, whatever the environment says; each begins with `prefix`. For a program whose own words they
/// are, before its first call.
pub fn show(prefix: &'static str, level: Level) {
    LINES.get_or_init(|| begin(prefix, level));
}

/// Whether there are lines, to standard error.
pub(crate) fn is_on() -> bool {
    LINES.get().is_some_and(Option::is_some)
}

fn begin(prefix: &'static str, level: Level) -> Option<Lines> {
    let place = place()?;
    // A program that has a subscriber hears it all.
    tracing::dispatcher::set_global_default(Dispatch::new(Printer(level))).ok()?;
    Some(Lines { prefix, place })
}

/// What standard error leads to now; nothing where it is closed.
fn place() -> Option<Identity> {
    rustix::fs::fstat(rustix::stdio::stderr()).ok().map(|stat| identity::of(&stat))
}

impl Lines {
    fn put(&self, level: &str, text: &str) {
        let lost = match LOST.swap(0, Relaxed) {
            0 => String::new(),
            lines => format!(" ({lines} lines before this one were not taken)"),
        };
        let text: String = text.chars().flat_map(fit).take(800).collect();
        let line = format!("{}[{}]: {level}: {text}{lost}\n", self.prefix, std::process::id());
        if place() != Some(self.place) || !write_now(rustix::stdio::stderr(), line.as_bytes()) {
            LOST.fetch_add(1, Relaxed);
        }
    }
}

/// A character as it may go to a terminal.
fn fit(character: char) -> impl Iterator<Item = char> {
    let plain = (!character.is_control()).then_some(character);
    plain.into_iter().chain(character.is_control().then(|| character.escape_default()).into_iter().flatten())
}

/// Writes a line if it is taken at once, whole or not at all as far as that can be, and without SIGPIPE.
fn write_now(to: BorrowedFd<'_>, line: &[u8]) -> bool {
    without_sigpipe(|| {
        is_taken(
            || poll(&mut [PollFd::from_borrowed_fd(to, PollFlags::OUT)], Some(&Timespec::default())),
            || rustix::io::write(to, line),
        )
    })
}

/// Whether a line is taken by who is ready for it. A signal handler in between says nothing of that: it is looked again, since what was
/// ready before may not be any more.
fn is_taken(ready: impl Fn() -> rustix::io::Result<usize>, write: impl Fn() -> rustix::io::Result<usize>) -> bool {
    loop {
        match ready() {
            // A pipe that is ready takes 4096 bytes.
            Ok(1) => {}
            Err(Errno::INTR) => continue,
            _ => return false,
        }
        match write() {
            Err(Errno::INTR) => {}
            done => return done.is_ok(),
        }
    }
}

/// Does something in which a SIGPIPE of this thread is lost, unless one was on its way before.
fn without_sigpipe<T>(act: impl FnOnce() -> T) -> T {
    // SAFETY: plain libc calls on initialised sets of this function's own. The mask that the thread had is put back; a
    // signal that comes of `act` is this thread's alone, so that nobody else's is taken out.
    unsafe {
        let mut pipe: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        let mut pending: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut pipe);
        libc::sigaddset(&raw mut pipe, libc::SIGPIPE);
        libc::sigpending(&raw mut pending);
        let waited = libc::sigismember(&raw const pending, libc::SIGPIPE) == 1;
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const pipe, &raw mut before);
        let done = act();
        let at_once: libc::timespec = std::mem::zeroed();
        if !waited {
            libc::sigtimedwait(&raw const pipe, std::ptr::null_mut(), &raw const at_once);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        done
    }
}

/// Makes lines of events: of those of this library, as a program may have others.
struct Printer(Level);

impl Subscriber for Printer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && Level::of(*metadata.level()) <= self.0 && metadata.target().starts_with("rsm")
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let name = Level::NAMES[Level::of(*event.metadata().level()) as usize].0;
        // Set before the first event: lines begin with the subscriber.
        if let Some(Some(lines)) = LINES.get() {
            lines.put(name, &text.line());
        }
    }

    // There are no spans.
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The words of an event, and its values by name.
#[derive(Default)]
struct Text {
    words: String,
    values: String,
}

impl Text {
    fn line(self) -> String {
        if self.values.is_empty() { self.words } else { format!("{} ({})", self.words, self.values) }
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.words, "{value:?}")
        } else {
            let comma = if self.values.is_empty() { "" } else { ", " };
            write!(self.values, "{comma}{} {value:?}", field.name())
        };
        written.expect("a String takes everything");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn levels() {
        assert_eq!((Level::read(""), Level::read("off")), (Ok(None), Ok(None)));
        for (name, level) in Level::NAMES {
            assert_eq!(Level::read(name), Ok(Some(level)));
            assert_eq!(Level::NAMES[level as usize].0, name);
        }
        assert!(Level::read("loud\n").is_err_and(|what| what.starts_with("RSM_LOG=\"loud\\n\" is none of")));
        assert!(Level::of(tracing::Level::WARN) < Level::of(tracing::Level::INFO));
    }

    #[test]
    fn a_line_does_nothing_to_a_terminal() {
        assert_eq!("a\x1b[2J\u{9b}\né".chars().flat_map(fit).collect::<String>(), r"a\u{1b}[2J\u{9b}\né");
    }

    #[test]
    fn a_handler_in_between_takes_no_line() {
        let turns = Cell::new(0);
        let turn = || turns.replace(turns.get() + 1);
        let interrupted = |times: usize| if turn() < times { Err(Errno::INTR) } else { Ok(1) };
        assert!(is_taken(|| Ok(1), || interrupted(3)) && turns.get() == 4);
        turns.set(0);
        assert!(is_taken(|| interrupted(2), || Ok(1)) && turns.get() == 3);
        turns.set(0);
        assert!(!is_taken(|| Ok(usize::from(turn() == 0)), || Err(Errno::INTR)), "it is not ready any more");
        assert!(!is_taken(|| Ok(1), || Err(Errno::PIPE)) && !is_taken(|| Ok(0), || Ok(1)));
    }

    #[test]
    fn nobody_waits_for_a_reader_and_nobody_dies_of_none() {
        use std::os::fd::AsFd;
        // SAFETY: this process installs no handlers; the default action is what is to be seen not to come.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        while write_now(writer.as_fd(), &[b'x'; 1000]) {}
        assert!(!write_now(writer.as_fd(), b"full"));
        drop(reader);
        assert!(!write_now(writer.as_fd(), b"nobody"));
        assert!(!write_now(writer.as_fd(), b"and again"), "the signal is not kept either");
    }
}
