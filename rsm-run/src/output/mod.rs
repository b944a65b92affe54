//! The nodes' output on its way to the front's own: many streams in, two out, line by line.
//!
//! Each node has a pipe or terminal for its standard output and one for its standard error ([`stream`]); or one for both,
//! where both lead to the same place and nobody wants them apart, because between two of them the order of what a program
//! writes is lost. What arrives is cut into whole lines ([`lines`]), tagged if wanted and put in order ([`composer`]), and written by a thread of its own per output
//! ([`sink`]), because a terminal or pipe that takes nothing must not keep the front from hearing Ctrl-C. While an output
//! takes nothing its streams are not read, so the nodes wait in their writes and memory stays bounded. The last lines of each
//! process are kept ([`tail`]), and all of them in files if wanted ([`logs`]).

mod composer;
mod lines;
mod logs;
mod outlet;
mod sink;
mod stream;
mod tail;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fstat, open};
use rustix::io::Errno;
use rustix::stdio::{stderr, stdout};

use composer::{Composer, Tags};
pub(crate) use logs::LogFiles;
use logs::Logs;
use outlet::Outlet;
use sink::Sink;
use stream::{Progress, Stream};
pub(crate) use tail::{KEPT, KEPT_FOR_REPORT};

/// Where a process's standard output and error go: the far ends of what the front reads.
pub(crate) struct Ends {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

impl Ends {
    /// The same ends once more, for a process that starts again.
    pub(crate) fn try_clone(&self) -> io::Result<Ends> {
        Ok(Ends { stdout: self.stdout.try_clone()?, stderr: self.stderr.try_clone()? })
    }
}

/// The front's own outputs, and the order in which things about them are kept here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Stdout,
    Stderr,
}

impl Output {
    const ALL: [Output; 2] = [Output::Stdout, Output::Stderr];

    /// For messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Output::Stdout => "standard output",
            Output::Stderr => "standard error",
        }
    }

    fn descriptor(self) -> BorrowedFd<'static> {
        match self {
            Output::Stdout => stdout(),
            Output::Stderr => stderr(),
        }
    }
}

/// The near ends of all streams, before anything reads them.
pub(crate) struct Streams {
    near: Vec<Stream>,
    together: bool,
}

/// Whether both of our outputs lead to the same place, so that a node needs but one stream.
pub(crate) fn are_one() -> bool {
    let [one, other] = Output::ALL.map(Output::descriptor);
    let way = |output| fcntl_getfl(output).map(|flags| flags & OFlags::ACCMODE);
    // One that was closed is not open for writing.
    is_same_file(one, other) && way(one).is_ok_and(|way_of_one| way(other) == Ok(way_of_one))
}

/// Makes the streams of this many processes: near ends for the front, which keep that many bytes each, and far ends for
/// them. Starts no thread.
pub(crate) fn open_streams(processes: usize, kept: usize, together: bool) -> io::Result<(Streams, Vec<Ends>)> {
    let mut near = Vec::new();
    let mut far = Vec::new();
    for process in 0..processes {
        let (out, stdout) = Stream::open(process, Output::Stdout, kept)?;
        near.push(out);
        let stderr = if together {
            stdout.try_clone()?
        } else {
            let (err, stderr) = Stream::open(process, Output::Stderr, kept)?;
            near.push(err);
            stderr
        };
        far.push(Ends { stdout, stderr });
    }
    Ok((Streams { near, together }, far))
}

/// Moves the output of all nodes.
pub(crate) struct Forwarder {
    streams: Vec<Stream>,
    /// Whether a process has but one stream, the one of its standard output.
    together: bool,
    /// The stream whose turn it is: reading starts behind the last one read, so that a few that write without end do
    /// not keep the others from being heard.
    turn: usize,
    outlets: [Outlet; 2],
    logs: Option<Logs>,
    /// Counts up when an output has taken something or failed.
    moved: Arc<OwnedFd>,
}

impl Forwarder {
    /// Starts the writing threads.
    pub(crate) fn new(streams: Streams, tags: Option<Tags>, logs: Option<LogFiles>) -> io::Result<Forwarder> {
        let moved = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        // Two threads writing to the same terminal or pipe take turns by whole lines.
        let turn = Arc::new(Mutex::new(()));
        let same = are_same(Output::Stdout.descriptor(), Output::Stderr.descriptor());
        let outlet = |output: Output| {
            let turn = if same { turn.clone() } else { Arc::default() };
            let composer = Composer::new(tags.clone(), stream::line_end(output.descriptor()));
            Ok::<_, io::Error>(Outlet::new(composer, Sink::start(output.descriptor(), moved.clone(), turn)?))
        };
        Ok(Forwarder {
            outlets: [outlet(Output::Stdout)?, outlet(Output::Stderr)?],
            logs: logs.map(|files| Logs::start(files, moved.clone())).transpose()?,
            streams: streams.near,
            together: streams.together,
            turn: 0,
            moved,
        })
    }

    /// Readable when an output has taken something or failed: time to look at the streams again.
    pub(crate) fn moved(&self) -> BorrowedFd<'_> {
        self.moved.as_fd()
    }

    /// Makes [`moved`](Self::moved) unreadable until something moves again.
    pub(crate) fn clear_moved(&self) {
        let _ = rustix::io::read(&*self.moved, &mut [0_u8; 8]);
    }

    /// The streams to wait for now, in the order of their turns: open, and with room where they lead.
    pub(crate) fn wanted(&self) -> Vec<usize> {
        let kept = self.logs.as_ref().is_none_or(Logs::has_room);
        let wanted = |stream: &Stream| kept && stream.source().is_some() && self.outlet(stream.output).has_room();
        let all = (self.turn..self.streams.len()).chain(0..self.turn);
        all.filter(|&index| wanted(&self.streams[index])).collect()
    }

    /// What to wait on for a [`wanted`](Self::wanted) stream.
    pub(crate) fn source(&self, index: usize) -> BorrowedFd<'_> {
        self.streams[index].source().expect("only open streams are wanted")
    }

    /// Reads each of these streams once, as long as there is room.
    pub(crate) fn read(&mut self, ready: &[usize]) {
        for &index in ready {
            let stream = &mut self.streams[index];
            let outlet = &mut self.outlets[stream.output as usize];
            if outlet.has_room() {
                stream.advance(outlet, self.logs.as_ref());
                self.turn = index + 1;
            }
        }
    }

    /// Reads what is left, when nobody can write any more, as far as the outputs take it.
    ///
    /// A stream that has nothing is closed even if it has not ended: some process that is none of ours may have been
    /// given its far end and keep it for ever.
    pub(crate) fn drain(&mut self) {
        for stream in &mut self.streams {
            let outlet = &mut self.outlets[stream.output as usize];
            while stream.source().is_some() && outlet.has_room() && self.logs.as_ref().is_none_or(Logs::has_room) {
                if stream.advance(outlet, self.logs.as_ref()) == Progress::Nothing {
                    stream.close(outlet);
                }
            }
        }
        if let (Some(logs), true) = (&self.logs, self.is_read()) {
            logs.close();
        }
    }

    /// Whether nothing more will be read.
    pub(crate) fn is_read(&self) -> bool {
        self.streams.iter().all(|stream| stream.source().is_none())
    }

    /// Whether nothing more will be read and everything that was is written.
    pub(crate) fn is_done(&self) -> bool {
        self.is_read() && self.outlets.iter().all(Outlet::is_idle) && self.logs.as_ref().is_none_or(Logs::is_closed)
    }

    /// Bytes written so far, to tell a slow reader from one that takes nothing.
    pub(crate) fn written(&self) -> u64 {
        self.outlets.iter().map(Outlet::written).chain(self.logs.iter().map(Logs::written)).sum()
    }

    /// The first output that failed, and how.
    pub(crate) fn failure(&self) -> Option<(Output, Errno)> {
        Output::ALL.into_iter().find_map(|output| Some((output, self.outlet(output).failure()?)))
    }

    /// The log that could not be written, and why.
    pub(crate) fn log_failure(&self) -> Option<String> {
        self.logs.as_ref().and_then(Logs::failure)
    }

    /// The last lines that the process with this index wrote there.
    pub(crate) fn last_lines(&self, process: usize, output: Output) -> Vec<String> {
        let output = if self.together { Output::Stdout } else { output };
        self.stream(process, output).map(|stream| stream.tail().lines()).unwrap_or_default()
    }

    /// The last of what it wrote there, as much as was kept. All is standard output where nothing tells them apart.
    pub(crate) fn last_text(&self, process: usize, output: Output) -> String {
        self.stream(process, output).map(|stream| stream.tail().text()).unwrap_or_default()
    }

    /// What an output of a node is called.
    pub(crate) fn name_of(&self, output: Output) -> &'static str {
        if self.together { "output" } else { output.name() }
    }

    fn stream(&self, process: usize, output: Output) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.process == process && stream.output == output)
    }

    /// Adds a line of our own to standard error, after what came before it where that is the same place.
    pub(crate) fn say(&mut self, line: &str) {
        let output = if self.together { Output::Stdout } else { Output::Stderr };
        self.outlets[output as usize].say(line);
    }

    /// Tells the nodes' terminals that the front's has another size now.
    pub(crate) fn resize(&self) {
        for stream in &self.streams {
            stream.resize();
        }
    }

    fn outlet(&self, output: Output) -> &Outlet {
        &self.outlets[output as usize]
    }
}

/// A new descriptor of /dev/null.
pub(crate) fn null() -> io::Result<OwnedFd> {
    Ok(open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?)
}

/// Whether two descriptors lead to the same place in which writes mix. A regular file keeps its own order.
fn are_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let regular = fstat(one).is_ok_and(|one| FileType::from_raw_mode(one.st_mode) == FileType::RegularFile);
    !regular && is_same_file(one, other)
}

fn is_same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let (Ok(one), Ok(other)) = (fstat(one), fstat(other)) else { return false };
    (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)
}
