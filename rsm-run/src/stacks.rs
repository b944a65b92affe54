//! Where every thread of the nodes is: what `--on-timeout stacks` tells before they are ended.
//!
//! With gdb, where there is one that may look; else with what the kernel tells in `/proc`. It is a thread of the warden that
//! asks, because a debugger takes its time.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::process::{ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::deadline::until;
use crate::program;
use crate::{descriptor, process};

/// How long all of it may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// How long one process may take.
const EACH: Duration = Duration::from_secs(10);
/// Most processes that are asked.
const MOST: usize = 128;
/// Most bytes of one process.
const MOST_BYTES: usize = 64 * 1024;
/// Most bytes of a message.
const PIECE: usize = 8 * 1024;

/// System calls that sleep, by the names people know.
const CALLS: [(libc::c_long, &str); 17] = [
    (libc::SYS_futex, "futex"),
    (libc::SYS_futex_waitv, "futex_waitv"),
    (libc::SYS_ppoll, "ppoll"),
    (libc::SYS_pselect6, "pselect6"),
    (libc::SYS_epoll_pwait, "epoll_pwait"),
    (libc::SYS_read, "read"),
    (libc::SYS_write, "write"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_accept4, "accept4"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_wait4, "wait4"),
    (libc::SYS_waitid, "waitid"),
    (libc::SYS_rt_sigsuspend, "rt_sigsuspend"),
    (libc::SYS_nanosleep, "nanosleep"),
    (libc::SYS_clock_nanosleep, "clock_nanosleep"),
];

/// Somebody who asks.
pub(crate) struct Stacks {
    /// Readable when everybody was asked.
    done: OwnedFd,
    thread: JoinHandle<Vec<String>>,
}

impl Stacks {
    /// Begins to ask these processes, each under what it is called.
    pub(crate) fn ask(processes: Vec<(String, Pid)>) -> io::Result<Stacks> {
        let done = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let told = done.try_clone()?;
        let thread = thread::Builder::new().name("stacks".into()).spawn(move || {
            let all = all(&processes);
            descriptor::ring(&told);
            all
        })?;
        Ok(Stacks { done, thread })
    }

    /// Whether everybody was asked.
    pub(crate) fn is_done(&self) -> bool {
        poll(&mut [PollFd::new(&self.done, PollFlags::IN)], Some(&Default::default())) == Ok(1)
    }

    /// What they are doing, a text for each.
    pub(crate) fn told(self) -> Vec<String> {
        self.thread.join().unwrap_or_default()
    }
}

impl AsFd for Stacks {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.done.as_fd()
    }
}

/// Whole lines, in pieces that fit a message however they are written there.
pub(crate) fn pieces(texts: &[String]) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let line: String = line.chars().take(PIECE / 8).collect();
        match pieces.last_mut().filter(|piece| piece.len() + line.len() < PIECE) {
            Some(piece) => {
                piece.push('\n');
                piece.push_str(&line);
            }
            None => pieces.push(line),
        }
    }
    pieces
}

fn all(processes: &[(String, Pid)]) -> Vec<String> {
    let end = Instant::now() + LIMIT;
    let gdb = program::find(OsStr::new("gdb"), None).ok();
    let told = |(name, process): &(String, Pid)| {
        let limit = end.min(Instant::now() + EACH);
        let seen = gdb.as_ref().and_then(|gdb| debugged(gdb, *process, limit)).unwrap_or_else(|| of_kernel(*process));
        format!("rsm-ctl: where {name} is\n{seen}")
    };
    let mut all: Vec<String> = processes.iter().take(MOST).map(told).collect();
    if processes.len() > MOST {
        all.push(format!("rsm-ctl: and {} more processes, which were not asked", processes.len() - MOST));
    }
    all
}

/// What gdb says; `None` where it may not look, or takes too long.
fn debugged(gdb: &PathBuf, process: Pid, limit: Instant) -> Option<String> {
    let mut command = Command::new(gdb);
    command.args(["-nx", "-batch", "-ex", "set pagination off", "-ex", "thread apply all backtrace 64", "-p"]);
    command.arg(process.as_raw_pid().to_string());
    // It would fetch symbols from far away.
    command.env_remove("DEBUGINFOD_URLS").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    process::begin_as_dependant(&mut command);
    let mut child = command.spawn().ok()?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).ok()?;
    let said = child.stdout.take().and_then(|stdout| until_end(stdout, limit));
    // It has ended unless it took too long; the warden reaps it.
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
    let said = said?;
    let frames = |line: &&str| line.starts_with("Thread ") || line.starts_with('#') || line.starts_with("    ");
    let lines: String = said.lines().filter(frames).fold(String::new(), |mut lines, line| {
        let _ = writeln!(lines, "  {line}");
        lines
    });
    lines.contains("  #0").then(|| lines.trim_end().to_owned())
}

/// All that comes before the limit; `None` if there is more then.
fn until_end(mut stdout: ChildStdout, limit: Instant) -> Option<String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let left = until(limit, Instant::now());
        if poll(&mut [PollFd::new(&stdout, PollFlags::IN)], Some(&left)) != Ok(1) {
            return None;
        }
        match stdout.read(&mut piece).ok()? {
            0 => return Some(String::from_utf8_lossy(&bytes).into_owned()),
            length if bytes.len() < MOST_BYTES => bytes.extend_from_slice(&piece[..length]),
            _ => {}
        }
    }
}

/// What the kernel says of each thread.
fn of_kernel(process: Pid) -> String {
    let folder = format!("/proc/{}/task", process.as_raw_pid());
    let threads = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut threads: Vec<i32> = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    threads.sort_unstable();
    let mut text = String::new();
    for thread in threads {
        let read = |file: &str| fs::read_to_string(format!("{folder}/{thread}/{file}")).unwrap_or_default();
        let status = read("status");
        let state = status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or(" gone").trim();
        let name = read("comm");
        let _ = write!(text, "  thread {thread} ({}): {state}", crate::printable::name(name.trim_end()));
        if let Some(call) = read("syscall").split(' ').next().and_then(|number| number.parse::<libc::c_long>().ok()) {
            match CALLS.iter().find(|(number, _)| *number == call) {
                Some((_, name)) => _ = write!(text, ", in {name}"),
                None if call >= 0 => _ = write!(text, ", in system call {call}"),
                None => {}
            }
        }
        match read("wchan").as_str() {
            "" | "0" => {}
            place => _ = write!(text, ", at {place}"),
        }
        text.push('\n');
        // Root may see more.
        for frame in read("stack").lines() {
            let _ = writeln!(text, "    {frame}");
        }
    }
    if text.is_empty() { "  it has gone".to_owned() } else { text.trim_end().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_whole_lines_and_not_long() {
        let text: String = (0..3000).map(|n| format!("line {n}\n")).collect();
        let pieces = pieces(&[text.clone(), "x".repeat(100_000)]);
        assert!(pieces.len() > 3 && pieces.iter().all(|piece| piece.len() < PIECE));
        assert_eq!(pieces.join("\n"), format!("{text}{}", "x".repeat(PIECE / 8)));
    }

    #[test]
    fn a_thread_that_sleeps_is_seen_to() {
        let (told, tell) = std::sync::mpsc::channel::<()>();
        let sleeper = thread::Builder::new().name("a-sleeper".into()).spawn(move || tell.recv()).unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while !of_kernel(rustix::process::getpid()).contains("(a-sleeper): S (sleeping)") {
            assert!(Instant::now() < end, "{}", of_kernel(rustix::process::getpid()));
            thread::yield_now();
        }
        drop(told);
        assert!(sleeper.join().unwrap().is_err());
    }
}
