//! Starts `rsm-ctl` and looks at what it does.
//!
//! Nothing here sleeps for a guessed time: a condition is looked at again and again until it holds or [`DEADLINE`] has
//! passed, which on a loaded machine only means that a test takes longer. Every process of a run is recognised by a mark
//! in its environment, which daemons inherit too, so a test can say "nothing is left" without knowing what there was.

mod processes;
mod refusal;
mod standing;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs, process};

use rustix::process::{Pid, Signal, kill_process};

pub(crate) use processes::{GONE, expect_state, inherited_descriptors, pid, state};
use processes::{MARK, marked, names};
pub(crate) use refusal::Refusal;
pub(crate) use standing::Standing;

/// After this something hangs, on the busiest machine too.
pub(crate) const DEADLINE: Duration = Duration::from_secs(240);

/// A word that no other test, and no other run of the tests, uses.
pub(crate) fn unique(what: &str) -> String {
    static LAST: Mutex<u32> = Mutex::new(0);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    *last += 1;
    format!("{what}-{}-{last}", process::id())
}

/// Looks until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "waited too long: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Does something that waits for another process on a thread of its own, so that the wait has an end.
pub(crate) fn in_time<T: Send + 'static>(what: &str, act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(act()));
    receiver.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("waited too long: {what}"))
}

/// A directory that goes with the test.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(what: &str) -> Scratch {
        let path = env::temp_dir().join(unique(&format!("rsm-ctl-{what}")));
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and answers where it is.
    pub(crate) fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A command line of `rsm-ctl`, not started yet.
pub(crate) struct Ctl {
    command: Command,
    mark: String,
}

/// `rsm-ctl` with these words.
pub(crate) fn ctl(words: &[&str]) -> Ctl {
    Ctl::of(Command::new(env!("CARGO_BIN_EXE_rsm-ctl"))).words(words)
}

/// `rsm-ctl run` with these words and a script for the shell on each node.
pub(crate) fn run(words: &[&str], script: &str) -> Ctl {
    ctl(&["run"]).words(words).words(&["--", "/bin/sh", "-c", script])
}

/// A script for the shell that starts `rsm-ctl` as "$CTL" in circumstances of its own.
pub(crate) fn shell(script: &str) -> Ctl {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).env("CTL", env!("CARGO_BIN_EXE_rsm-ctl"));
    Ctl::of(command)
}

impl Ctl {
    fn of(mut command: Command) -> Ctl {
        let mark = unique("run");
        for inherited in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
            command.env_remove(inherited);
        }
        command.env(MARK, &mark).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ctl { command, mark }.hearing()
    }

    pub(crate) fn words(mut self, words: &[&str]) -> Ctl {
        self.command.args(words);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Ctl {
        self.command.env(name, value);
        self
    }

    pub(crate) fn env_remove(mut self, name: &str) -> Ctl {
        self.command.env_remove(name);
        self
    }

    pub(crate) fn directory(mut self, path: &Path) -> Ctl {
        self.command.current_dir(path);
        self
    }

    pub(crate) fn stdin(mut self, from: impl Into<Stdio>) -> Ctl {
        self.command.stdin(from);
        self
    }

    pub(crate) fn stdout(mut self, to: impl Into<Stdio>) -> Ctl {
        self.command.stdout(to);
        self
    }

    /// Writes both outputs to a terminal instead.
    pub(crate) fn on_terminal(mut self, terminal: OwnedFd) -> Ctl {
        self.command.stdout(terminal.try_clone().unwrap()).stderr(terminal);
        self
    }

    /// Puts it into a process group of its own, as a shell does with a job, so that Ctrl-Z's signal stops it.
    pub(crate) fn job(mut self) -> Ctl {
        self.command.process_group(0);
        self
    }

    /// Starts it with both outputs unread.
    pub(crate) fn start(mut self) -> Running {
        let mut child = self.command.spawn().unwrap();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Running { child, mark: self.mark, stdout, stderr, lines: None, said: Vec::new() }
    }

    /// Runs it to its end, and sees that nothing is left.
    pub(crate) fn finish(self) -> Finished {
        self.start().finish()
    }
}

/// A started `rsm-ctl`. A test that fails takes it, and all that belongs to it, along.
pub(crate) struct Running {
    child: Child,
    mark: String,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    lines: Option<Receiver<Vec<u8>>>,
    said: Vec<u8>,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Running {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The front's only child.
    pub(crate) fn warden(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.child.id());
        eventually("a warden", || pid(fs::read_to_string(&children).ok()?.split_ascii_whitespace().next()?))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// The next line on standard output.
    pub(crate) fn line(&mut self) -> String {
        if self.lines.is_none() {
            let (sender, receiver) = channel();
            let mut stdout = BufReader::new(self.stdout.take().expect("standard output is still ours"));
            thread::spawn(move || {
                let mut line = Vec::new();
                while stdout.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    let _ = sender.send(std::mem::take(&mut line));
                }
            });
            self.lines = Some(receiver);
        }
        let line = self.lines.as_ref().unwrap().recv_timeout(DEADLINE).expect("another line");
        self.said.extend(&line);
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    /// The next line on standard output, as the process id it is.
    pub(crate) fn pid_line(&mut self) -> Pid {
        let line = self.line();
        pid(&line).unwrap_or_else(|| panic!("{line:?} is no process id"))
    }

    /// The writing end of its standard input, if that was made a pipe.
    pub(crate) fn stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("standard input is a pipe and still ours")
    }

    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.stdout.take().expect("standard output is still ours")
    }

    pub(crate) fn stderr(&mut self) -> ChildStderr {
        self.stderr.take().expect("standard error is still ours")
    }

    /// Waits for the end, and sees that nothing is left.
    pub(crate) fn finish(mut self) -> Finished {
        let stderr = self.stderr.take().map(|stream| thread::spawn(move || all(stream)));
        let stdout = self.stdout.take().map(|stream| thread::spawn(move || all(stream)));
        let status = eventually("the end of rsm-ctl", || self.child.try_wait().unwrap());
        // `run` ends after the last process of the last node: these are looked at once, not until they are gone.
        let left = marked(&self.mark);
        if status.code().is_some() {
            assert_eq!(left, [], "processes are left: {:?}", names(&left));
        }
        self.expect_gone();
        let mut said = std::mem::take(&mut self.said);
        said.extend(self.lines.iter().flat_map(|lines| lines.iter()).flatten());
        said.extend(stdout.map(|reader| reader.join().unwrap()).unwrap_or_default());
        let stderr = stderr.map(|reader| reader.join().unwrap()).unwrap_or_default();
        Finished { status, stdout: said, stderr: String::from_utf8(stderr).unwrap() }
    }

    /// Waits until no process of the run is left, `rsm-ctl`'s own included.
    pub(crate) fn expect_gone(&mut self) {
        eventually("the end of all processes", || {
            let _ = self.child.try_wait();
            marked(&self.mark).is_empty().then_some(())
        });
    }

    /// Every process of the run, `rsm-ctl`'s own included.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        marked(&self.mark)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // Whatever broke may have broken the clean-up too. These carry our mark, so we started them.
            for process in marked(&self.mark) {
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }
}

impl Finished {
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| panic!("killed by signal {:?}: {}", self.status.signal(), self.stderr))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// The lines on standard output in an order that does not depend on who was faster.
    pub(crate) fn sorted(&self) -> Vec<&str> {
        let mut lines: Vec<&str> = self.text().lines().collect();
        lines.sort_unstable();
        lines
    }
}

/// Everything until the end.
pub(crate) fn all(mut stream: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}
