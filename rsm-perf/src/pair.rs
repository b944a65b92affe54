//! The conductor's side of a pair: starting two parties, telling them what to do, and ending them.

use crate::machine;
use crate::ops::Op;
use crate::protocol::{Command, ENV_MEETING, ENV_SIDE, Job, Meeting, Place};
use crate::region;
use crate::window::Accesses;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A pair could not be started, or is of no use any more; one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken(pub String);

/// How the two processes of a pair come into being.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// The command is a launcher that starts both; otherwise it is started twice.
    pub launcher: bool,
    /// Environment of each side.
    pub environment: [Vec<(String, String)>; 2],
}

/// Two parties that are ready.
#[derive(Debug)]
pub struct Pair {
    name: String,
    ops: Vec<String>,
    parties: Vec<Party>,
    channels: [Channel; 2],
    stamps: u64,
    patience: Duration,
}

#[derive(Debug)]
struct Party {
    child: Child,
    pidfd: OwnedFd,
    complaints: File,
    launcher: bool,
}

#[derive(Debug)]
struct Channel {
    commands: Option<File>,
    answers: File,
    read: Vec<u8>,
}

/// For parties to set up what they need.
const SETUP: Duration = Duration::from_secs(60);

impl Pair {
    /// Starts a pair on these processors, with `room` bytes for data, and waits until both are ready.
    ///
    /// # Errors
    /// What the system or a party says.
    pub fn start(program: &Program, cpus: Option<[usize; 2]>, room: usize) -> Result<Pair, Broken> {
        let system = |what: &str, error: &dyn std::fmt::Display| Broken(format!("{what}: {error}"));
        let memory = region::create(room as u64).map_err(|e| system("shared memory", &e))?;
        let mut pipes = Vec::new();
        for _ in 0..4 {
            let made = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| system("a pipe", &e))?;
            pipes.push(made);
        }
        let place = |side: usize| Place {
            commands: pipes[2 * side].0.as_raw_fd(),
            answers: pipes[2 * side + 1].1.as_raw_fd(),
            cpu: cpus.map_or(-1, |cpus| cpus[side] as i32),
        };
        let directory = format!("/proc/{}/fd", std::process::id());
        let sides = [place(0), place(1)];
        let meeting = Meeting { directory, memory: memory.as_raw_fd(), sides, room: room as u64 };
        let sides: &[usize] = if program.launcher { &[0] } else { &[0, 1] };
        let mut parties = Vec::new();
        for &side in sides {
            match Party::start(program, side, &meeting) {
                Ok(party) => parties.push(party),
                Err(error) => {
                    let name = program.command.first().map_or_else(String::new, |name| name.display().to_string());
                    // What has been started goes again with the vector.
                    return Err(system(&format!("cannot run {name:?}"), &error));
                }
            }
        }
        let mut ends = pipes.into_iter();
        let mut channel = || {
            let (commands, answers) = (ends.next().expect("four pipes"), ends.next().expect("four pipes"));
            // The far ends stay open here until both parties have opened them for themselves.
            (
                Channel { commands: Some(commands.1.into()), answers: answers.0.into(), read: Vec::new() },
                commands.0,
                answers.1,
            )
        };
        let ((active, c0, a0), (passive, c1, a1)) = (channel(), channel());
        let mut pair = Pair {
            name: String::new(),
            ops: Vec::new(),
            parties,
            channels: [active, passive],
            stamps: 0,
            patience: SETUP,
        };
        for side in 0..2 {
            let hello = pair.hear(side)?;
            let mut words = hello.split_ascii_whitespace();
            if words.next() != Some("hello") {
                return Err(Broken(format!("a party began with {hello:?} and not with hello")));
            }
            pair.name = words.next().unwrap_or_default().to_owned();
            pair.ops = words.map(str::to_owned).collect();
        }
        drop((c0, a0, c1, a1, memory));
        Ok(pair)
    }

    /// What the parties call themselves.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the parties know the operation.
    pub fn can(&self, op: &str) -> bool {
        self.ops.iter().any(|known| known == op)
    }

    /// Leaves out what does not go through a library: limits, and round trips of cache lines.
    pub fn forget_raw(&mut self) {
        self.ops.retain(|op| !op.starts_with("raw-"));
    }

    /// Has an operation done; returns nanoseconds for each sample, of `batch` operations.
    ///
    /// # Errors
    /// When a party complains, ends, or does not answer.
    pub fn run(&mut self, op: &str, size: usize, batch: u64, warm: u64, samples: u64) -> Result<Vec<u64>, Broken> {
        let [answer, _] =
            self.have_done(Job { op: op.to_owned(), size, batch, warm, samples, first: 0 }, Command::Run)?;
        let numbers = answer.split_ascii_whitespace().skip(1).map(str::parse).collect::<Result<Vec<u64>, _>>();
        match numbers {
            Ok(numbers) if numbers.len() as u64 == samples => Ok(numbers),
            _ => Err(Broken(format!(
                "{}: {op} was answered with {:?}",
                self.name,
                answer.chars().take(60).collect::<String>()
            ))),
        }
    }

    /// Has an operation done so many times, and counts what both parties load and store of another host's memory; `None` where
    /// they cannot.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn count(&mut self, op: &str, size: usize, times: u64) -> Result<Option<Accesses>, Broken> {
        let job = Job { op: op.to_owned(), size, batch: 1, warm: 0, samples: times, first: 0 };
        let answers = self.have_done(job, Command::Count)?;
        let mut all = Accesses::default();
        // Who only looks afterwards has said nothing more than that it is right.
        for answer in answers.iter().take(if together(op) { 2 } else { 1 }) {
            let numbers = answer.split_ascii_whitespace().skip(1).map(str::parse);
            match numbers.collect::<Result<Vec<u64>, _>>().as_deref() {
                Ok([]) => return Ok(None),
                Ok(&[loads, stores]) => (all.loads, all.stores) = (all.loads + loads, all.stores + stores),
                _ => return Err(Broken(format!("{}: {op} was counted as {answer:?}", self.name))),
            }
        }
        Ok(Some(all))
    }

    /// Has a job done, with the stamps that come next; gives the answer of each.
    fn have_done(&mut self, job: Job, command: fn(Job) -> Command) -> Result<[String; 2], Broken> {
        let job = Job { first: self.stamps, ..job };
        let (op, size, last) = (job.op.clone(), job.size, job.last());
        self.stamps = last;
        let (together, command) = (together(&op), command(job));
        if together {
            self.tell(1, &command)?;
        }
        self.tell(0, &command)?;
        let active = self.hear(0)?;
        if !together {
            self.tell(1, &Command::Check { op, size, last })?;
        }
        Ok([active, self.hear(1)?])
    }

    fn tell(&mut self, side: usize, command: &Command) -> Result<(), Broken> {
        let line = format!("{command}\n");
        let told = self.channels[side].commands.as_mut().map(|commands| commands.write_all(line.as_bytes()));
        match told {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) if error.kind() != ErrorKind::BrokenPipe => {
                Err(self.broken(&format!("cannot tell a party what to do: {error}")))
            }
            // It has gone; what it said before, or how it ended, is the better thing to say.
            _ => match self.hear(side) {
                Err(broken) => Err(broken),
                Ok(line) => Err(Broken(format!("{}: a party ended after {line:?}", self.name))),
            },
        }
    }

    /// The next line of a party; its complaint is an error.
    fn hear(&mut self, side: usize) -> Result<String, Broken> {
        let deadline = Instant::now() + self.patience;
        loop {
            let channel = &mut self.channels[side];
            if let Some(end) = channel.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = channel.read.drain(..=end).collect();
                let line = String::from_utf8_lossy(&line).trim_end().to_owned();
                return match line.strip_prefix("err ") {
                    Some(complaint) => Err(self.broken(complaint)),
                    None => Ok(line),
                };
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.broken(&format!("no answer for {} s", self.patience.as_secs())));
            }
            let mut events = vec![PollFd::new(&channel.answers, PollFlags::IN)];
            events.extend(self.parties.iter().map(|party| PollFd::new(&party.pidfd, PollFlags::IN)));
            let timeout = left.try_into().ok();
            match poll(&mut events, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Broken(format!("poll: {error}"))),
            }
            let (answers, ended) = (events[0].revents(), events[1..].iter().position(|e| !e.revents().is_empty()));
            if answers.contains(PollFlags::IN) {
                let mut bytes = [0; 65536];
                match channel.answers.read(&mut bytes) {
                    Ok(count) => channel.read.extend_from_slice(&bytes[..count]),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(Broken(format!("reading an answer: {error}"))),
                }
            } else if let Some(party) = ended {
                return Err(self.ended(party));
            } else if answers.contains(PollFlags::HUP) {
                return Err(self.broken("a party closed its answers"));
            }
        }
    }

    /// A party has ended: the other may have said why.
    fn ended(&mut self, party: usize) -> Broken {
        let status = self.parties[party].child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        for channel in &mut self.channels {
            let ready = poll(&mut [PollFd::new(&channel.answers, PollFlags::IN)], Some(&Default::default()));
            let mut bytes = [0; 4096];
            if ready.is_ok_and(|n| n > 0)
                && let Ok(count) = channel.answers.read(&mut bytes)
            {
                channel.read.extend_from_slice(&bytes[..count]);
            }
            let text = String::from_utf8_lossy(&channel.read).into_owned();
            if let Some(complaint) = text.lines().find_map(|line| line.strip_prefix("err ")) {
                return self.broken(complaint);
            }
        }
        self.broken(&format!("a party ended early ({status})"))
    }

    fn broken(&mut self, what: &str) -> Broken {
        let name = if self.name.is_empty() { String::new() } else { format!("{}: ", self.name) };
        let said = self
            .parties
            .iter_mut()
            .find_map(Party::last_words)
            .map_or_else(String::new, |words| format!("; it said: {words}"));
        Broken(format!("{name}{what}{said}"))
    }
}

/// Whether both parties take part in an operation.
fn together(op: &str) -> bool {
    match crate::ops::find(op) {
        Some(Op { together, .. }) => *together,
        // A raw operation is the limit of one that says so.
        None => crate::ops::OPS.iter().any(|known| known.together && known.limits.contains(&op)),
    }
}

impl Party {
    fn start(program: &Program, side: usize, meeting: &Meeting) -> std::io::Result<Party> {
        let complaints = File::from(rustix::fs::memfd_create("complaints", rustix::fs::MemfdFlags::CLOEXEC)?);
        let name = program.command.first().ok_or_else(|| std::io::Error::other("no program"))?;
        let mut command = std::process::Command::new(name);
        command.args(&program.command[1..]).envs(program.environment[side].iter().map(|(k, v)| (k, v)));
        command.env(ENV_MEETING, meeting.to_string());
        if program.launcher {
            command.process_group(0);
        } else {
            command.env(ENV_SIDE, side.to_string());
        }
        let out = complaints.try_clone()?;
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let mut child = command.spawn()?;
        match pidfd_open(Pid::from_child(&child), PidfdFlags::empty()) {
            Ok(pidfd) => Ok(Party { child, pidfd, complaints, launcher: program.launcher }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error.into())
            }
        }
    }

    /// The last line on its standard streams.
    fn last_words(&mut self) -> Option<String> {
        let mut said = Vec::new();
        self.complaints.rewind().ok()?;
        self.complaints.read_to_end(&mut said).ok()?;
        let said = String::from_utf8_lossy(&said).into_owned();
        said.lines().rev().map(str::trim).find(|line| line.chars().any(char::is_alphanumeric)).map(str::to_owned)
    }

    /// Whether it has ended within `time`.
    fn ends_within(&mut self, time: Duration) -> bool {
        let mut event = [PollFd::from_borrowed_fd(self.pidfd.as_fd(), PollFlags::IN)];
        let ended = poll(&mut event, time.try_into().ok().as_ref()).is_ok_and(|n| n > 0);
        ended && self.child.wait().is_ok()
    }
}

/// Closes the commands, which parties understand, and ends those that do not.
impl Drop for Pair {
    fn drop(&mut self) {
        for channel in &mut self.channels {
            channel.commands = None;
        }
        for party in &mut self.parties {
            party.ends_within(Duration::from_secs(2));
        }
    }
}

/// Ended politely if it is a launcher, and in any case.
impl Drop for Party {
    fn drop(&mut self) {
        if self.ends_within(Duration::ZERO) {
            return;
        }
        let process = Pid::from_child(&self.child);
        if self.launcher {
            let _ = kill_process(process, Signal::TERM);
            if !self.ends_within(Duration::from_secs(3)) {
                let _ = kill_process_group(process, Signal::KILL);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether pinning to these processors is possible.
///
/// # Errors
/// Which one is not, and which are.
pub fn can_pin(cpus: [usize; 2]) -> Result<(), String> {
    let allowed = machine::allowed();
    match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
        None => Ok(()),
        Some(cpu) => Err(format!("CPU {cpu} may not be used; allowed: {}", list(&allowed))),
    }
}

fn list(numbers: &[usize]) -> String {
    numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Program {
        let command = ["sh", "-c", script].map(OsString::from).to_vec();
        Program { command, launcher: false, environment: [Vec::new(), Vec::new()] }
    }

    #[test]
    fn a_program_that_is_not_there_or_ends_at_once_is_told() {
        let missing = Program { command: vec!["/no/such/program".into()], ..sh("") };
        let Broken(text) = Pair::start(&missing, None, 4096).expect_err("nothing to run");
        assert!(text.contains("/no/such/program"), "{text}");
        let Broken(text) = Pair::start(&sh("echo out of tune >&2; exit 3"), None, 4096).expect_err("it ended");
        assert!(text.contains("ended early (exit status: 3)") && text.contains("out of tune"), "{text}");
    }

    #[test]
    fn what_is_alone_and_what_is_not() {
        assert!(together("latency") && together("raw-latency") && together("raw-ack-nt") && together("raw-descriptor"));
        assert!(!together("put") && !together("raw-copy") && !together("raw-ordered"));
    }

    #[test]
    fn processors_that_are_not_there() {
        assert!(can_pin([4096, 0]).is_err_and(|text| text.contains("4096")));
    }
}
