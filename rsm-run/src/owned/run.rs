//! A run that is under way, as its owner holds it.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, getpid, pidfd_open};

use crate::account::Account;
use crate::deadline::{MOMENT, until};
use crate::failure::Failure;
use crate::message::{ToFront, ToOwned};
use crate::sleep;
use crate::wire::{Received, Wire};

use super::helper::{Handed, Told, hand};
use super::job::Job;
use super::report::Report;
use super::words::Words;
use super::{HELPER, entry, standard};

/// How long a front may take to end what it was told to kill, before it is killed itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// Processes on nodes, which end when this is dropped: they are killed then, with all that they have started.
#[derive(Debug)]
pub struct Run {
    /// The process whose run it is. A forked child of it has a copy, and no say.
    owner: Pid,
    front: Child,
    /// Refers to the front until it is reaped.
    pidfd: OwnedFd,
    wire: Wire,
    /// Nothing more will be heard.
    wire_is_closed: bool,
    told: File,
    /// Two for each process: of its standard output and of its standard error.
    logs: Vec<File>,
    /// Node and label of each process.
    titles: Vec<(u32, String)>,
    timeout: Option<Duration>,
    account: Account,
    ended: Option<Result<Report, Failure>>,
}

impl Run {
    /// Starts a front for this, and waits until it says that all processes run.
    pub(super) fn begin(job: &Job, helper: Option<&Words>) -> Result<Run, Failure> {
        let failed = |call: &'static str| move |error: io::Error| Failure::call("cannot start a run", call, error);
        let mut command = front(helper)?;
        let memory = || {
            let memory = memfd_create("rsm-run", MemfdFlags::CLOEXEC).map_err(io::Error::from);
            memory.and_then(standard::beyond).map(File::from).map_err(failed("memfd_create"))
        };
        let (mut written, told) = (memory()?, memory()?);
        let bytes = serde_json::to_vec(job).map_err(|error| failed("its description")(error.into()))?;
        written.write_all(&bytes).map_err(failed("write"))?;
        let logs = (0..2 * job.tasks.len()).map(|_| memory()).collect::<Result<Vec<_>, _>>()?;
        // Opened by its owner and handed over: it cannot mean anybody else.
        let owner = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|errno| failed("pidfd_open")(errno.into()))?;
        let (wire, there) = Wire::pair().map_err(failed("socketpair"))?;
        let wire = standard::beyond(wire).map(Wire::over).map_err(failed("fcntl"))?;
        let handed = Handed {
            job: written.as_fd(),
            told: told.as_fd(),
            owner: owner.as_fd(),
            logs: logs.iter().map(AsFd::as_fd).collect(),
        };
        hand(&wire, &handed).map_err(failed("sendmsg"))?;
        command.stdin(OwnedFd::from(there)).env(HELPER, "1");
        if !job.shown {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        if helper.is_none() {
            command.arg0("rsm-run");
        }
        let mut front = command.spawn().map_err(failed("execve"))?;
        // Not reaped yet, so the number is still its.
        let pidfd = pidfd_open(Pid::from_child(&front), PidfdFlags::empty()).map_err(io::Error::from);
        let pidfd = match pidfd.and_then(standard::beyond) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                let _ = front.kill();
                let _ = front.wait();
                return Err(failed("pidfd_open")(error));
            }
        };
        let mut run = Run {
            owner: getpid(),
            front,
            pidfd,
            wire,
            wire_is_closed: false,
            told,
            logs,
            titles: job.tasks.iter().map(super::job::Process::title).collect(),
            timeout: job.timeout,
            account: Account::new(job.tasks.len()),
            ended: None,
        };
        while run.account.cluster.is_none() {
            run.hear(None);
            if let Some(ended) = &run.ended {
                // One that refuses to begin says so, and ends; a short one may have begun and ended.
                match ended {
                    Err(failure) => return Err(failure.clone()),
                    Ok(_) => break,
                }
            }
        }
        Ok(run)
    }

    /// Name of the cluster, as [`rsm::steer::Steering::attach`] and [`rsm::observe::Observer::attach`] take it.
    pub fn cluster(&self) -> &str {
        self.account.cluster.as_deref().unwrap_or_default()
    }

    /// Node and process id of each process, in the order of the nodes. What a fault script started again is another one, as far
    /// as that has been heard ([`is_over`](Self::is_over) hears).
    pub fn processes(&self) -> Vec<(u32, i32)> {
        let nodes = self.titles.iter().map(|(node, _)| *node);
        nodes.zip(self.account.processes.iter().copied()).collect()
    }

    /// What processes of a node have written to their standard output and their standard error so far; the first 64 MiB of
    /// each. Bytes that are no UTF-8 are replaced.
    pub fn written(&self, node: u32) -> (String, String) {
        let mut all = (String::new(), String::new());
        for (index, _) in self.titles.iter().enumerate().filter(|(_, (of, _))| *of == node) {
            let (stdout, stderr) = self.outputs(index);
            all.0 += &stdout;
            all.1 += &stderr;
        }
        all
    }

    /// Whether the run is over; hears what happened to it, and waits for nothing.
    pub fn is_over(&mut self) -> bool {
        self.hear(Some(Instant::now()));
        self.ended.is_some()
    }

    /// Waits for the end of the run: until every process of every node has ended, children included.
    ///
    /// # Errors
    /// That the run could not be started, or that somebody killed what carries it out.
    pub fn wait(&mut self) -> Result<Report, Failure> {
        loop {
            if let Some(ended) = &self.ended {
                return ended.clone();
            }
            self.hear(None);
        }
    }

    /// Waits for the end of the run for this long at most; `None` when it goes on.
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    pub fn wait_within(&mut self, time: Duration) -> Result<Option<Report>, Failure> {
        let end = Instant::now().checked_add(time);
        while self.ended.is_none() && end.is_none_or(|end| Instant::now() < end) {
            self.hear(end);
        }
        self.ended.clone().transpose()
    }

    /// Asks every process to end (SIGTERM), and kills those that have not after the grace. Waits for nothing.
    pub fn end(&mut self) {
        self.wire.send(&ToOwned::End);
    }

    /// Kills every process of the run and what they started, at once. Waits for nothing.
    pub fn kill(&mut self) {
        self.wire.send(&ToOwned::Kill);
    }

    /// Sleeps until the front says something, goes, or the time has come; notes what it says.
    fn hear(&mut self, end: Option<Instant>) {
        let gone = {
            let mut events = [PollFd::new(&self.pidfd, PollFlags::IN), PollFd::new(&self.wire, PollFlags::IN)];
            // Its end is closed when it has gone, and a moment before.
            let events = if self.wire_is_closed { &mut events[..1] } else { &mut events[..] };
            let waited = sleep::until_ready(events, end.map(|end| until(end, Instant::now())).as_ref());
            if let Err(errno) = waited {
                self.cannot_wait(errno);
                return;
            }
            !events[0].revents().is_empty()
        };
        loop {
            match self.wire.receive::<ToFront>() {
                Received::Message(message) => self.account.note(&message),
                Received::Nothing => break,
                Received::Gone => {
                    self.wire_is_closed = true;
                    break;
                }
            }
        }
        if gone && self.ended.is_none() {
            let _ = self.front.wait();
            self.ended = Some(self.outcome());
        }
    }

    /// Ends the run, which cannot be waited for as it should: by a clock, and by force when it takes too long.
    fn cannot_wait(&mut self, errno: Errno) {
        if self.ended.is_some() {
            return;
        }
        self.kill();
        let end = Instant::now() + PATIENCE;
        while matches!(self.front.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(MOMENT);
        }
        let _ = self.front.kill();
        let _ = self.front.wait();
        self.ended = Some(Err(sleep::refused("cannot watch a run", errno)));
    }

    /// What the front left behind.
    fn outcome(&self) -> Result<Report, Failure> {
        match serde_json::from_slice::<Told>(&contents(&self.told)) {
            Ok(Ok(trial)) => Ok(Report::of(trial, self.timeout, |index| self.outputs(index))),
            Ok(Err((code, message))) => Err(Failure { code, message }),
            Err(_) => Err(Failure::new("what carried out the run was killed before it could tell how that went")),
        }
    }

    /// What the process with this index has written.
    fn outputs(&self, index: usize) -> (String, String) {
        let text = |which: usize| {
            let bytes = self.logs.get(2 * index + which).map(contents).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (text(0), text(1))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if self.ended.is_some() || self.owner != getpid() {
            return;
        }
        self.kill();
        let end = Instant::now() + PATIENCE;
        while self.ended.is_none() && Instant::now() < end {
            self.hear(Some(end));
        }
        if self.ended.is_none() {
            // Stopped, perhaps. What it leaves is ended by the warden.
            let _ = self.front.kill();
            let _ = self.front.wait();
        }
    }
}

/// The command that becomes the front of a run.
fn front(helper: Option<&Words>) -> Result<Command, Failure> {
    if std::env::var_os(HELPER).is_some() {
        return Err(Failure::new(format!(
            "this process was started to be the front of a run, and is none: is {HELPER} set?"
        )));
    }
    match helper {
        Some(words) => Ok(words.command()),
        // The file itself, whatever has become of its name.
        None if entry::is_in_program() => Ok(Command::new("/proc/self/exe")),
        None => Err(Failure::new(
            "rsm-run is in a shared library here, and executing this program once more does not lead to it: name a program \
             that calls rsm_run::owned::serve, with Launch::helper",
        )),
    }
}

/// All that is in a file, wherever those who write it are.
fn contents(file: &File) -> Vec<u8> {
    let length = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => bytes,
        Err(_) => Vec::new(),
    }
}
