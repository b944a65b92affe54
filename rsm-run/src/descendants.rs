//! The processes below this one, however deep, and how to end them all.
//!
//! This process is a subreaper: a descendant whose parent ends becomes a child of ours instead of init's, so a double
//! fork, a new session or an ignored SIGTERM take nobody out of reach. What is listed may be outdated a moment later;
//! that only matters to [`end_all`] and to the warden, which list again after every death until no child is left.
//!
//! A look takes descriptors and memory, of which there may be none to spare. One that fails says nothing of who is there:
//! it is taken again. Only children need no look, since a child's number is its own until we reap it.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitOptions, getpgid, getpid, kill_process, kill_process_group,
    pidfd_open, pidfd_send_signal, wait, waitid,
};

use crate::deadline::until;
use crate::sleep;

/// How long after to look again, where a look failed or nobody tells that something has changed.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long those that may not be killed may take to end when everybody else has.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// How often a look is begun again because somebody ended meanwhile.
const MOST_LOOKS: usize = 16;

/// Whom a signal did not reach.
#[derive(Debug, Default)]
pub(crate) struct Unreached {
    /// They may not be signalled: they have become another user's, as `sudo` does.
    pub(crate) refused: Vec<Pid>,
    /// They could not be looked at.
    missed: Vec<Pid>,
}

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
///
/// When a process ends between the look at its parent and the look at itself, its children are in neither: they have become
/// ours, or a subreaper's that was looked at before. So it is looked again until nobody ended meanwhile.
///
/// # Errors
/// The look failed, or processes end all the time; there may be any.
pub(crate) fn list(except: &[Pid]) -> io::Result<Vec<Pid>> {
    // Who has ended stays on the list until somebody reaps it, and has had no children since.
    let mut known = HashSet::new();
    for _ in 0..MOST_LOOKS {
        let (found, ended) = look(except)?;
        if ended.is_subset(&known) {
            return Ok(found);
        }
        known = ended;
    }
    Err(Errno::AGAIN.into())
}

/// Processes below this one, for who looks again anyway: children of one that ends meanwhile may be missing.
///
/// # Errors
/// The look failed.
pub(crate) fn some(except: &[Pid]) -> io::Result<Vec<Pid>> {
    look(except).map(|(found, _)| found)
}

/// One look, and who of those that it found had ended when it came to them.
fn look(except: &[Pid]) -> io::Result<(Vec<Pid>, HashSet<Pid>)> {
    let children =
        if fs::exists("/proc/thread-self/children").unwrap_or(false) { listed_children } else { searched_children };
    let mut ended = HashSet::new();
    let mut found = children(getpid())?;
    found.retain(|child| !except.contains(child));
    // Somebody who becomes ours in between is found twice.
    let mut seen: HashSet<Pid> = found.iter().copied().collect();
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        match children(parent) {
            Err(error) if is_out_of_sight(&error) => {}
            below => found.extend(below?.into_iter().filter(|&child| seen.insert(child))),
        }
        if has_ended(parent)? {
            ended.insert(parent);
        }
        next += 1;
    }
    Ok((found, ended))
}

/// Sends a signal to these processes, as long as they are still below this one.
///
/// A grandchild may be reaped by its own parent at any time and its number given to a stranger. So each is pinned by a
/// pidfd first and its parent looked up after: if the parent is one of ours, so is what the pidfd refers to; if the
/// number has changed hands since the pidfd was opened, sending through it reaches nobody.
pub(crate) fn signal(processes: &[Pid], signal: Signal) -> Unreached {
    signal_some(processes, processes, &[signal])
}

/// Signals `some` of the processes below this one; `all` of them are looked at for parents.
fn signal_some(some: &[Pid], all: &[Pid], signals: &[Signal]) -> Unreached {
    let mut family: HashSet<Pid> = all.iter().copied().collect();
    family.insert(getpid());
    let mut unreached = Unreached::default();
    for &process in some {
        let send_all = |send: &dyn Fn(Signal) -> Result<(), Errno>| signals.iter().try_for_each(|&signal| send(signal));
        let sent = if is_child(process) {
            send_all(&|signal| kill_process(process, signal))
        } else {
            match (pidfd_open(process, PidfdFlags::empty()), parent(process)) {
                (Ok(pinned), Ok(Some(parent))) if family.contains(&parent) => {
                    send_all(&|signal| pidfd_send_signal(&pinned, signal))
                }
                // It has gone, or is none of ours.
                (Err(Errno::SRCH), _) | (Ok(_), Ok(_)) => Ok(()),
                (Err(_), _) | (_, Err(_)) => {
                    unreached.missed.push(process);
                    continue;
                }
            }
        };
        if sent == Err(Errno::PERM) {
            unreached.refused.push(process);
        }
    }
    unreached
}

/// Sends signals once to everybody: to the process groups of `leaders` (children of ours that were not yet reaped when this
/// was first called, so their numbers were theirs), and to each descendant that has left those groups. Notes who has
/// `heard` them. Answers whether that is everybody: if a look failed it is not, and this is to be called again.
pub(crate) fn signal_once(leaders: &[Pid], signals: &[Signal], heard: &mut HashSet<Pid>) -> bool {
    // Before: when who is asked has ended, its children are found nowhere until they are ours.
    let all = list(&[]);
    for &leader in leaders.iter().filter(|&&leader| heard.insert(leader)) {
        for &signal in signals {
            let _ = kill_process_group(leader, signal);
        }
    }
    let Ok(all) = all else { return false };
    let mut strays = all.clone();
    strays.retain(|&process| {
        !heard.contains(&process) && getpgid(Some(process)).is_ok_and(|group| !leaders.contains(&group))
    });
    let missed = signal_some(&strays, &all, signals).missed;
    heard.extend(strays.into_iter().filter(|process| !missed.contains(process)));
    missed.is_empty()
}

/// Stops every descendant, those too that are forked while this goes on. Notes which it has `stopped`: those that did not
/// run before stay as whoever stopped them wants them. Answers whether all are; if a look failed they are not, and this is
/// to be called again.
pub(crate) fn stop_all(stopped: &mut Vec<Pid>) -> bool {
    let mut seen = HashSet::new();
    loop {
        let Ok(all) = list(&[]) else { return false };
        let mut running = Vec::new();
        for process in all.iter().copied().filter(|&process| seen.insert(process)) {
            match state_and_parent(process) {
                Ok(Some((b'T' | b't', _)) | None) => {}
                Ok(Some(_)) => running.push(process),
                Err(_) => return false,
            }
        }
        if running.is_empty() {
            return true;
        }
        let missed = signal_some(&running, &all, &[Signal::STOP]).missed;
        stopped.extend(running.into_iter().filter(|process| !missed.contains(process)));
        if !missed.is_empty() {
            return false;
        }
    }
}

/// Continues the descendants that are `stopped`, and leaves there whom it did not reach. Answers whether that is nobody: if
/// a look failed it is not, and this is to be called again.
pub(crate) fn go_on(stopped: &mut Vec<Pid>) -> bool {
    let Ok(all) = list(&[]) else { return false };
    *stopped = signal_some(stopped, &all, &[Signal::CONT]).missed;
    stopped.is_empty()
}

/// SIGKILLs and reaps every descendant that is not in `except`; returns when none is left but those that may not be
/// killed, which it answers.
pub(crate) fn end_all(except: &[Pid]) -> Vec<Pid> {
    let mut give_up = None;
    while reap_all() {
        let mut dying: Vec<OwnedFd> = Vec::new();
        match living(except) {
            // The children that there are can be those.
            Ok(left) if left.is_empty() && !except.is_empty() => break,
            Ok(left) => {
                let now = Instant::now();
                let refused = signal(&left, Signal::KILL).refused;
                if left.is_empty() || refused.len() < left.len() {
                    give_up = None;
                } else if now >= *give_up.get_or_insert(now + PATIENCE) {
                    return refused;
                }
                // The others are dying. What was forked meanwhile is listed next.
                let others = left.iter().filter(|process| !refused.contains(process));
                dying.extend(others.filter_map(|&process| pidfd_open(process, PidfdFlags::empty()).ok()));
            }
            // Where processes come and go all the time, killing ends that.
            Err(_) => {
                if let Ok(some) = some(except) {
                    signal(&some, Signal::KILL);
                }
            }
        }
        let mut ends: Vec<PollFd<'_>> = dying.iter().map(|process| PollFd::new(process, PollFlags::IN)).collect();
        let now = Instant::now();
        let _ = sleep::until_ready(&mut ends, Some(&until(now + LOOK_AGAIN, now)));
    }
    Vec::new()
}

/// Reaps all children that have ended; answers whether there are others. Where there is no child there is no descendant:
/// one that is not a child has an ancestor that is one.
fn reap_all() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// As [`list`], without those that have ended and that somebody else has to reap.
pub(crate) fn living(except: &[Pid]) -> io::Result<Vec<Pid>> {
    let mut left = Vec::new();
    for process in list(except)? {
        let lives = match state_and_parent(process)? {
            Some((b'Z' | b'X', parent)) => parent == getpid(),
            Some(_) => true,
            None => is_child(process),
        };
        if lives {
            left.push(process);
        }
    }
    Ok(left)
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

/// Whether this is a child that was not reaped yet.
fn is_child(process: Pid) -> bool {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    retry_on_intr(|| waitid(WaitId::Pid(process), options)).is_ok()
}

/// Whether an error of a look at a process or thread says that it has gone, which is as good as an answer.
fn has_gone(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOENT | Errno::SRCH))
}

/// Whether it has gone, or is another user's and hidden from us (proc(5), `hidepid`), which another look will not change.
fn is_out_of_sight(error: &io::Error) -> bool {
    has_gone(error) || matches!(Errno::from_io_error(error), Some(Errno::ACCESS | Errno::PERM))
}

fn listed_children(of: Pid) -> io::Result<Vec<Pid>> {
    // Children of a thread that has ended are its process's first thread's, which was looked at before.
    for _ in 0..MOST_LOOKS {
        let (mut found, mut ended) = (Vec::new(), false);
        for thread in fs::read_dir(format!("/proc/{}/task", of.as_raw_pid()))? {
            match fs::read_to_string(thread?.path().join("children")) {
                Err(error) if has_gone(&error) => ended = true,
                list => found.extend(list?.split_ascii_whitespace().filter_map(pid)),
            }
        }
        if !ended {
            return Ok(found);
        }
    }
    Err(Errno::AGAIN.into())
}

/// For kernels without the `children` files: asks every process for its parent.
fn searched_children(of: Pid) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(process) = entry?.file_name().to_str().and_then(pid) else { continue };
        if parent(process)? == Some(of) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Whether it ran its last instruction, reaped or not. One that is hidden from us counts as running: that does not change.
fn has_ended(process: Pid) -> io::Result<bool> {
    match fs::read(format!("/proc/{}/stat", process.as_raw_pid())) {
        Err(error) if has_gone(&error) => Ok(true),
        Err(error) if is_out_of_sight(&error) => Ok(false),
        stat => Ok(matches!(state_and_parent_in(&stat?), Some((b'Z' | b'X', _)))),
    }
}

fn parent(process: Pid) -> io::Result<Option<Pid>> {
    Ok(state_and_parent(process)?.map(|(_, parent)| parent))
}

/// The letter for the state of a process, and its parent; `None` when it is out of sight.
fn state_and_parent(process: Pid) -> io::Result<Option<(u8, Pid)>> {
    match fs::read(format!("/proc/{}/stat", process.as_raw_pid())) {
        Err(error) if is_out_of_sight(&error) => Ok(None),
        stat => Ok(state_and_parent_in(&stat?)),
    }
}

fn state_and_parent_in(stat: &[u8]) -> Option<(u8, Pid)> {
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
        assert!(listed_children(getpid()).unwrap().contains(&sleeper.pid()));
        assert!(searched_children(getpid()).unwrap().contains(&sleeper.pid()));
        assert!(list(&[]).unwrap().contains(&sleeper.pid()));
        assert!(!list(&[sleeper.pid()]).unwrap().contains(&sleeper.pid()));
        assert_eq!(parent(sleeper.pid()).unwrap(), Some(getpid()));
        assert!(is_child(sleeper.pid()) && !is_child(getpid()));
    }

    /// A parent that ends while it is looked at takes nobody along: its child is in every look.
    #[test]
    fn orphans_are_in_every_look() {
        const CHILD: &str = "RSM_TEST_ORPHANS";
        if std::env::var_os(CHILD).is_none() {
            // In a process of its own: it becomes everybody's parent.
            let test = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "descendants::tests::orphans_are_in_every_look", "--nocapture"])
                .env(CHILD, "1")
                .status();
            assert!(test.unwrap().success());
            return;
        }
        rustix::process::set_child_subreaper(Some(getpid())).unwrap();
        for round in 0..200 {
            // The parent tells its child's number, and ends when nobody listens any more.
            let script = "sleep 600 >&- 2>&- & echo $!; read end";
            let mut parent = Command::new("sh")
                .args(["-c", script])
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = String::new();
            io::BufRead::read_line(&mut io::BufReader::new(parent.stdout.take().unwrap()), &mut line).unwrap();
            let child = pid(line.trim()).unwrap();
            drop(parent.stdin.take());
            while is_running(Pid::from_child(&parent)) {
                assert!(list(&[]).is_ok_and(|all| all.contains(&child)), "round {round}");
            }
            assert!(list(&[]).unwrap().contains(&child), "round {round}");
            parent.wait().unwrap();
            kill_process(child, Signal::KILL).unwrap();
            while !matches!(wait(WaitOptions::empty()), Ok(Some((ended, _))) if ended == child) {}
        }
    }

    fn is_running(process: Pid) -> bool {
        !matches!(state_and_parent(process), Ok(None | Some((b'Z' | b'X', _))))
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
