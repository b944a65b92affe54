//! The processes below this one, however deep, and how to end them all.
//!
//! This process is a subreaper: a descendant whose parent ends becomes a child of ours instead of init's, so a double
//! fork, a new session or an ignored SIGTERM take nobody out of reach. What is listed may be outdated a moment later;
//! that only matters to [`end_all`] and to the warden, which list again after every death until no child is left.

use std::collections::HashSet;
use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpgid, getpid, kill_process, kill_process_group, pidfd_open,
    pidfd_send_signal, wait,
};

/// How long after to look again, where nobody tells that something has changed.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Why processes below this one could not be found: `/proc` is not there, or shows another PID namespace's.
pub(crate) fn can_be_found() -> Result<(), &'static str> {
    match fs::read_link("/proc/self") {
        Err(_) => Err("/proc is not mounted here, and the processes of a run are found in it"),
        Ok(own) if own.to_str().and_then(pid) != Some(getpid()) => {
            Err("/proc shows the processes of another PID namespace, and those of a run are found in it")
        }
        Ok(_) => Ok(()),
    }
}

/// Every process below this one, parents before their children, without those in `except` and what is below them.
pub(crate) fn list(except: &[Pid]) -> Vec<Pid> {
    let children =
        if fs::exists("/proc/thread-self/children").unwrap_or(false) { listed_children } else { searched_children };
    let mut found = children(getpid());
    found.retain(|child| !except.contains(child));
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(children(parent));
        next += 1;
    }
    found
}

/// Sends a signal to these processes, as long as they are still below this one. Answers those of them that may not be
/// signalled: they have become another user's, as `sudo` does.
///
/// A grandchild may be reaped by its own parent at any time and its number given to a stranger. So each is pinned by a
/// pidfd first and its parent looked up after: if the parent is one of ours, so is what the pidfd refers to; if the
/// number has changed hands since the pidfd was opened, sending through it reaches nobody.
pub(crate) fn signal(processes: &[Pid], signal: Signal) -> Vec<Pid> {
    signal_some(processes, processes, signal)
}

/// Signals `some` of the processes below this one; `all` of them are looked at for parents.
fn signal_some(some: &[Pid], all: &[Pid], signal: Signal) -> Vec<Pid> {
    let mut family: HashSet<Pid> = all.iter().copied().collect();
    family.insert(getpid());
    let mut refused = Vec::new();
    for &process in some {
        let pinned = pidfd_open(process, PidfdFlags::empty());
        let sent = match (pinned, parent(process)) {
            (Ok(pinned), Some(parent)) if family.contains(&parent) => pidfd_send_signal(&pinned, signal),
            // Without a descriptor to spare: a child's number is its own until we reap it.
            (Err(Errno::MFILE | Errno::NFILE), Some(parent)) if parent == getpid() => kill_process(process, signal),
            _ => Ok(()),
        };
        if sent == Err(Errno::PERM) {
            refused.push(process);
        }
    }
    refused
}

/// Sends a signal once to everybody: to the process groups of `leaders` (children of ours that were not yet reaped, so
/// their numbers are theirs), and to each descendant that has left those groups.
pub(crate) fn signal_groups(leaders: &[Pid], sent: Signal) {
    for &leader in leaders {
        let _ = kill_process_group(leader, sent);
    }
    let all = list(&[]);
    let mut strays = all.clone();
    strays.retain(|&process| getpgid(Some(process)).is_ok_and(|group| !leaders.contains(&group)));
    signal_some(&strays, &all, sent);
}

/// Stops every descendant, those too that are forked while this goes on. Answers which ran before: whoever stopped the
/// others wants them to stay so.
pub(crate) fn stop_all() -> Vec<Pid> {
    let (mut seen, mut stopped) = (HashSet::new(), Vec::new());
    loop {
        let all = list(&[]);
        let mut running = all.clone();
        running.retain(|&process| {
            seen.insert(process) && state_and_parent(process).is_some_and(|(state, _)| !matches!(state, b'T' | b't'))
        });
        if running.is_empty() {
            return stopped;
        }
        signal_some(&running, &all, Signal::STOP);
        stopped.extend(running);
    }
}

/// Continues these descendants.
pub(crate) fn go_on(stopped: &[Pid]) {
    signal_some(stopped, &list(&[]), Signal::CONT);
}

/// SIGKILLs and reaps every descendant that is not in `except`; returns when none is left but those that may not be
/// killed, which it answers.
pub(crate) fn end_all(except: &[Pid]) -> Vec<Pid> {
    loop {
        while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {}
        let left = living(except);
        let refused = signal(&left, Signal::KILL);
        if refused.len() == left.len() {
            return refused;
        }
        // The others are dying. What was forked meanwhile is listed next.
        let dying = left.iter().filter(|process| !refused.contains(process));
        let dying: Vec<OwnedFd> = dying.filter_map(|&process| pidfd_open(process, PidfdFlags::empty()).ok()).collect();
        let mut ends: Vec<PollFd<'_>> = dying.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
        let _ = poll(&mut ends, Some(&LOOK_AGAIN));
    }
}

/// As [`list`], without those that have ended and that somebody else has to reap.
pub(crate) fn living(except: &[Pid]) -> Vec<Pid> {
    let mut left = list(except);
    left.retain(|&process| match state_and_parent(process) {
        Some((b'Z' | b'X', parent)) => parent == getpid(),
        Some(_) => true,
        None => false,
    });
    left
}

/// A process for people: what it is called, and whose it is.
pub(crate) fn described(process: Pid) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", process.as_raw_pid())).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| Some(line.strip_prefix(name)?.trim()));
    let name = field("Name:").unwrap_or("?");
    let user = match field("Uid:").and_then(|ids| ids.split_ascii_whitespace().nth(1)) {
        Some("0") => "root".to_owned(),
        Some(id) => format!("user {id}"),
        None => "somebody else".to_owned(),
    };
    format!("{process} ({name}, of {user})")
}

fn listed_children(of: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", of.as_raw_pid())) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_ascii_whitespace().filter_map(pid).collect::<Vec<_>>()).collect()
}

/// For kernels without the `children` files: asks every process for its parent.
fn searched_children(of: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let processes = processes.flatten().filter_map(|entry| pid(entry.file_name().to_str()?));
    processes.filter(|&process| parent(process) == Some(of)).collect()
}

fn parent(process: Pid) -> Option<Pid> {
    state_and_parent(process).map(|(_, parent)| parent)
}

/// The letter for the state of a process, and its parent.
fn state_and_parent(process: Pid) -> Option<(u8, Pid)> {
    let stat = fs::read(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
    // "PID (NAME) STATE PARENT ...", where NAME may hold anything, blanks and parentheses too.
    let after_name = stat.iter().rposition(|&byte| byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
    Some((*fields.next()?.as_bytes().first()?, fields.next().and_then(pid)?))
}

fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> Sleeper {
            Sleeper(Command::new("sleep").arg("600").spawn().unwrap())
        }

        fn pid(&self) -> Pid {
            Pid::from_child(&self.0)
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    #[test]
    fn children_are_found_both_ways() {
        let sleeper = Sleeper::start();
        assert!(listed_children(getpid()).contains(&sleeper.pid()));
        assert!(searched_children(getpid()).contains(&sleeper.pid()));
        assert!(list(&[]).contains(&sleeper.pid()));
        assert!(!list(&[sleeper.pid()]).contains(&sleeper.pid()));
        assert_eq!(parent(sleeper.pid()), Some(getpid()));
    }

    #[test]
    fn only_descendants_are_signalled() {
        // Signalling ourselves would end the test: our parent is no member of the family.
        signal(&[getpid()], Signal::TERM);
        let mut sleeper = Sleeper::start();
        signal(&[sleeper.pid()], Signal::KILL);
        assert!(!sleeper.0.wait().unwrap().success());
    }
}
