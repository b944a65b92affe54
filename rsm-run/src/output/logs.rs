//! What each process writes, kept in files of its own.
//!
//! One thread writes all of them, so that a disk that takes its time does not keep the front from hearing Ctrl-C. While
//! much waits to be written the streams are not read, as with an output.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{io, mem, thread};

use super::Output;
use crate::descriptor;
use crate::failure::{Failure, reason};

/// How much may wait to be written.
const ROOM: usize = 4 << 20;

/// The files, made and still empty.
pub(crate) struct LogFiles(Vec<LogFile>);

struct LogFile {
    /// What it is called in messages.
    path: PathBuf,
    file: File,
    /// How many bytes it still takes.
    room: u64,
}

/// The filling end.
pub(crate) struct Logs {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<Queue>,
    filled: Condvar,
    /// An eventfd, told when something moved.
    moved: Arc<OwnedFd>,
}

#[derive(Default)]
struct Queue {
    /// Pieces, each for the file with this index.
    pieces: Vec<(usize, Vec<u8>)>,
    bytes: usize,
    writing: bool,
    /// Nothing more will come.
    ending: bool,
    /// Everything is written, and the files are closed.
    closed: bool,
    written: u64,
    failure: Option<String>,
}

impl LogFiles {
    /// Makes the directory and in it two files for each process. None of them may be there.
    pub(crate) fn create<'a>(directory: &Path, labels: impl Iterator<Item = &'a str>) -> Result<LogFiles, Failure> {
        let refused = |path: &Path, error: &io::Error| {
            let why = match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    "it is there already; logs are never overwritten, name another directory".to_owned()
                }
                _ => reason(error),
            };
            Failure::new(format!("cannot create {:?}: {why}", path.display().to_string()))
        };
        fs::create_dir_all(directory).map_err(|error| refused(directory, &error))?;
        let mut files = LogFiles(Vec::new());
        for label in labels {
            for suffix in ["out", "err"] {
                let path = directory.join(format!("node-{label}.{suffix}"));
                match OpenOptions::new().write(true).create_new(true).open(&path) {
                    Ok(file) => files.0.push(LogFile { path, file, room: u64::MAX }),
                    Err(error) => {
                        files.discard();
                        return Err(refused(&path, &error));
                    }
                }
            }
        }
        Ok(files)
    }

    /// Files that somebody else has made: for each process that of its standard output and that of its standard error, each
    /// of which takes `most` bytes.
    pub(crate) fn given(files: Vec<File>, most: u64) -> LogFiles {
        LogFiles(
            files.into_iter().map(|file| LogFile { path: "what a node writes".into(), file, room: most }).collect(),
        )
    }

    /// Removes what was made: nothing will be written.
    fn discard(&self) {
        for LogFile { path, .. } in &self.0 {
            let _ = fs::remove_file(path);
        }
    }
}

impl Logs {
    /// Starts the thread.
    pub(crate) fn start(files: LogFiles, moved: Arc<OwnedFd>) -> io::Result<Logs> {
        let shared = Arc::new(Shared { queue: Mutex::default(), filled: Condvar::new(), moved });
        let logs = Logs { shared: shared.clone() };
        // Not joined: a disk may keep it for ever, and it ends with the process.
        thread::Builder::new().name("logs".into()).spawn(move || shared.write_all(files))?;
        Ok(logs)
    }

    /// Keeps what the process with this index wrote.
    pub(crate) fn write(&self, process: usize, output: Output, bytes: &[u8]) {
        let mut queue = self.shared.queue();
        if queue.failure.is_none() {
            queue.pieces.push((2 * process + output as usize, bytes.to_vec()));
            queue.bytes += bytes.len();
            self.shared.filled.notify_one();
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.shared.queue().bytes < ROOM
    }

    /// Nothing more will come: closes the files, which is where some file systems say that they kept nothing.
    pub(crate) fn close(&self) {
        self.shared.queue().ending = true;
        self.shared.filled.notify_one();
    }

    /// Whether everything is written and the files are closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.shared.queue().closed
    }

    pub(crate) fn written(&self) -> u64 {
        self.shared.queue().written
    }

    /// Why nothing is kept any more.
    pub(crate) fn failure(&self) -> Option<String> {
        self.shared.queue().failure.clone()
    }
}

impl Shared {
    /// Writes until nothing more will come.
    fn write_all(&self, mut files: LogFiles) {
        loop {
            let mut queue = self.queue();
            while queue.pieces.is_empty() && !queue.ending {
                queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            if queue.pieces.is_empty() {
                drop(queue);
                return self.close(files);
            }
            let pieces = mem::take(&mut queue.pieces);
            queue.bytes = 0;
            queue.writing = true;
            drop(queue);
            let mut failure = None;
            let mut written = 0;
            for (index, bytes) in &pieces {
                let LogFile { path, file, room } = &mut files.0[*index];
                match write_all_but(file, bytes, room) {
                    Ok(()) => written += bytes.len() as u64,
                    Err(error) => {
                        failure = Some(why(path, &error));
                        break;
                    }
                }
            }
            let mut queue = self.queue();
            queue.writing = false;
            queue.written += written;
            if failure.is_some() {
                queue.failure = failure;
                queue.pieces.clear();
                queue.bytes = 0;
            }
            drop(queue);
            self.tell();
        }
    }

    fn close(&self, files: LogFiles) {
        let mut failure = None;
        for LogFile { path, file, .. } in files.0 {
            if let Err(error) = descriptor::close(file) {
                failure.get_or_insert_with(|| why(&path, &error));
            }
        }
        let mut queue = self.queue();
        queue.closed = true;
        if queue.failure.is_none() {
            queue.failure = failure;
        }
        drop(queue);
        self.tell();
    }

    fn tell(&self) {
        descriptor::ring(&*self.moved);
    }

    /// The lock is held for single steps that cannot panic half-way, so a poisoned one is as good as any.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is said of a log that is not kept.
fn why(path: &Path, error: &io::Error) -> String {
    format!("{:?}: {}", path.display().to_string(), reason(error))
}

/// What stands where a file took no more.
const CUT: &[u8] = b"\n[what came after is left out]\n";

/// Writes as much as there is room for, and at its end that something is missing.
fn write_all_but(file: &mut File, bytes: &[u8], room: &mut u64) -> io::Result<()> {
    let length = bytes.len() as u64;
    if length <= *room {
        *room -= length;
        return file.write_all(bytes);
    }
    let fits = usize::try_from(std::mem::take(room)).unwrap_or(usize::MAX);
    match fits {
        0 => Ok(()),
        fits => file.write_all(&bytes[..fits]).and_then(|()| file.write_all(CUT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::{Read, Seek};

    #[test]
    fn a_file_takes_no_more_than_it_has_room_for_and_says_so_once() {
        let mut file = File::from(memfd_create("rsm-test", MemfdFlags::CLOEXEC).unwrap());
        let mut room = 8;
        for piece in ["abcd", "efgh-", "ijkl"] {
            write_all_but(&mut file, piece.as_bytes(), &mut room).unwrap();
        }
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).unwrap();
        assert_eq!(text, format!("abcdefgh{}", str::from_utf8(CUT).unwrap()));
    }
}
