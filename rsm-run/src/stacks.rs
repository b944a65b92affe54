//! Where every thread of the nodes is: what `--on-timeout stacks` tells before they are ended.
//!
//! With gdb, where there is one that may look; else with what the kernel tells in `/proc`. That is asked first: a debugger
//! stops whom it looks at, and one that was not done in time leaves nothing to see but how it held them. It is a thread of the
//! warden that asks, because a debugger takes its time.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use crate::deadline::until;
use crate::program;
use crate::{descriptor, process};

/// How long all of it may take.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// How long one process may take.
const EACH: Duration = Duration::from_secs(10);
/// How long a debugger that was killed may take to let go of whom it looked at.
const LET_GO: Duration = Duration::from_secs(5);
/// Most processes that are asked.
const MOST: usize = 128;
/// Most bytes of one process.
const MOST_BYTES: usize = 64 * 1024;
/// Most bytes of a message.
const PIECE: usize = 8 * 1024;

/// System calls that sleep, by the names people know.
const CALLS: [(libc::c_long, &str); 18] = [
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
    // One of these, which a stop interrupted.
    (libc::SYS_restart_syscall, "restart_syscall"),
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
        format!("rsm-ctl: where {name} is\n{}", seen(gdb.as_deref(), *process, limit))
    };
    let mut all: Vec<String> = processes.iter().take(MOST).map(told).collect();
    if processes.len() > MOST {
        all.push(format!("rsm-ctl: and {} more processes, which were not asked", processes.len() - MOST));
    }
    all
}

/// Where the threads of a process are.
fn seen(gdb: Option<&Path>, process: Pid, limit: Instant) -> String {
    let kernel = of_kernel(process);
    let Some(gdb) = gdb.filter(|_| Instant::now() < limit) else { return kernel };
    match debugged(gdb, process, limit) {
        Ok(frames) => frames,
        Err(Unseen::Refused) => kernel,
        Err(Unseen::TooLong) => format!("{kernel}\n  (as the kernel says: gdb was not done in time)"),
    }
}

/// Why gdb said nothing.
enum Unseen {
    /// It may not look, or cannot.
    Refused,
    /// It takes too long.
    TooLong,
}

/// What gdb says. It has let go of the process when this returns.
fn debugged(gdb: &Path, process: Pid, limit: Instant) -> Result<String, Unseen> {
    let refused = |_| Unseen::Refused;
    let looked_at = pidfd_open(process, PidfdFlags::empty()).map_err(refused)?;
    let is_stopped = state(process).starts_with('T');
    let mut command = Command::new(gdb);
    command.args(["-nx", "-batch", "-ex", "set pagination off", "-ex", "thread apply all backtrace 64", "-p"]);
    command.arg(process.as_raw_pid().to_string());
    // It would fetch symbols from far away.
    command.env_remove("DEBUGINFOD_URLS").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    process::begin_as_dependant(&mut command);
    let mut child = command.spawn().map_err(|_| Unseen::Refused)?;
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).map_err(refused)?;
    let said = child.stdout.take().and_then(|stdout| until_end(stdout, limit));
    // It has ended unless it took too long.
    let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&until(Instant::now() + LET_GO, Instant::now())));
    if ended == Ok(1) {
        // The warden may have been faster.
        let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }
    let Some(said) = said else {
        // It asked for a stop to begin with. One that it did not live to see is the process's own now.
        if !is_stopped {
            let _ = pidfd_send_signal(looked_at, Signal::CONT);
        }
        return Err(Unseen::TooLong);
    };
    let frames = |line: &&str| line.starts_with("Thread ") || line.starts_with('#') || line.starts_with("    ");
    let lines: String = said.lines().filter(frames).fold(String::new(), |mut lines, line| {
        let _ = writeln!(lines, "  {line}");
        lines
    });
    if lines.contains("  #0") { Ok(lines.trim_end().to_owned()) } else { Err(Unseen::Refused) }
}

/// What the kernel calls the state of a process's first thread, such as `S (sleeping)`.
fn state(process: Pid) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_pid())).unwrap_or_default();
    state_of(&status).to_owned()
}

fn state_of(status: &str) -> &str {
    status.lines().find_map(|line| line.strip_prefix("State:")).unwrap_or(" gone").trim()
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
        let (state, name) = (state_of(&status), read("comm"));
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

    /// A program that sleeps, and does not outlive the test.
    struct Sleeper(std::process::Child);

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn a_debugger_that_is_not_done_in_time_is_not_what_is_seen() {
        let long = Duration::from_secs(60);
        let sleeper = Sleeper(Command::new("sleep").arg("600").spawn().unwrap());
        let process = Pid::from_child(&sleeper.0);
        let wait_until = |what: &dyn Fn() -> bool| {
            let end = Instant::now() + long;
            while !what() {
                assert!(Instant::now() < end, "{}", of_kernel(process));
                thread::yield_now();
            }
        };
        wait_until(&|| of_kernel(process).contains("(sleep): S (sleeping), in clock_nanosleep"));

        // One that says nothing.
        let folder = std::env::temp_dir().join(format!("rsm-stacks-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let script = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
            path
        };
        let silent = script("silent", "#!/bin/sh\nexec sleep 600\n");
        let seen_so = |gdb: &Path, time: Duration| seen(Some(gdb), process, Instant::now() + time);
        let told = seen_so(&silent, Duration::from_millis(100));
        assert!(told.contains("(sleep): S (sleeping), in clock_nanosleep"), "{told}");
        assert!(told.ends_with("\n  (as the kernel says: gdb was not done in time)"), "{told}");

        // A real one, which stops the process and waits for commands that nobody gives.
        let gdb = program::find(OsStr::new("gdb"), None).ok().filter(|gdb| seen_so(gdb, long).contains("#0"));
        if gdb.is_none() {
            let _ = std::io::Write::write_all(&mut io::stderr(), b"gdb skipped: there is none, or it may not look\n");
        }
        if let Some(gdb) = gdb {
            let text = format!(
                "#!/bin/sh\nfor last; do :; done\nmkfifo \"$0.$$\"\nexec '{}' -nx -q -p \"$last\" <>\"$0.$$\"\n",
                gdb.display()
            );
            let patient = script("patient", &text);
            // On a machine that has much to do it takes long to come so far.
            let held = [1, 4, 16, 64].into_iter().any(|seconds| {
                let (is_held, told) = thread::scope(|threads| {
                    let asking = threads.spawn(|| seen_so(&patient, Duration::from_secs(seconds)));
                    let mut is_held = false;
                    while !asking.is_finished() {
                        is_held |= state(process).starts_with('t');
                        thread::yield_now();
                    }
                    (is_held, asking.join().unwrap())
                });
                assert!(told.contains("(sleep): S (sleeping), in ") && !told.contains("ptrace"), "{told}");
                // And the process is as it was.
                wait_until(&|| state(process) == "S (sleeping)");
                is_held
            });
            assert!(held, "the debugger never stopped the process");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
