//! A cluster of one process, started here and ended again: whether it works is more than the sum of the features.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rsm::{AccessList, Controller, Permission, SegmentId};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, kill_process};

use super::{Finding, remedy::Here};
use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};
use crate::process;

/// How long the run may take, by its own clock: on a slow and busy machine it takes a second.
const TIME: &str = "20s";
/// How long it may take, with what it needs to end a process that has not.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to end what it has started, when it was asked to.
const GRACE: Duration = Duration::from_secs(5);
/// How often it is looked whether it has ended: by a clock, since a machine that refuses to start a cluster may refuse
/// what waits for one, too.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Bytes that a process sends itself.
const WORDS: &[u8] = b"rsm-ctl doctor";

/// What there is to say of it.
pub(super) fn finding(here: &Here) -> Finding {
    let error = attempt().err();
    Finding {
        feature: "run",
        present: error.is_none(),
        required: true,
        since: "any",
        what: "rsm-ctl run: a cluster starts, a process joins it, exports, imports, and ends",
        without: "no cluster starts, or no process joins it".to_owned(),
        remedy: error.as_ref().and_then(|_| here.remedy_of_run()),
        error,
    }
}

/// Has a process run on the node of a new cluster, with this program as both.
///
/// # Errors
/// What was said of it.
///
/// # Crash
/// The run goes with this process, and ends what it has started.
fn attempt() -> Result<(), String> {
    let failed = |call: &str, error: io::Error| format!("cannot start a run: {call}: {}", reason(&error));
    // Of a pipe nobody would read while the run goes on.
    let said = memfd_create("rsm-doctor", MemfdFlags::CLOEXEC).map_err(|errno| failed("memfd_create", errno.into()))?;
    let mut said = File::from(said);
    let copy = said.try_clone().map_err(|error| failed("fcntl", error))?;
    // The file itself, whatever has become of its name.
    let mut command = Command::new("/proc/self/exe");
    command.args(["run", "--quiet", "-n", "1", "--timeout", TIME, "--", "/proc/self/exe", "doctor", "--as-node"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(copy);
    // What is said is to be why it fails.
    command.env_remove(rsm::log::ENV_LOG);
    process::begin_as_dependant(&mut command);
    let run = command.spawn().map_err(|error| failed("a process", error))?;
    let status = ended(run).map_err(|error| failed("wait4", error))?;
    if status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let mut text = Vec::new();
    let read = said.rewind().and_then(|()| said.read_to_end(&mut text));
    let text = read.map(|_| sentence(&String::from_utf8_lossy(&text))).unwrap_or_default();
    Err(match status {
        _ if !text.is_empty() => text,
        Some(status) => how(status),
        None => format!("a run of one process had not ended after {PATIENCE:?}"),
    })
}

/// Waits until it has ended; ends it when that takes too long, and gives nothing then.
fn ended(mut run: Child) -> io::Result<Option<ExitStatus>> {
    let within = |run: &mut Child, time: Duration| {
        let end = Instant::now() + time;
        loop {
            match run.try_wait()? {
                None if Instant::now() < end => thread::sleep(LOOK_AGAIN),
                status => return Ok::<_, io::Error>(status),
            }
        }
    };
    let status = within(&mut run, PATIENCE)?;
    if status.is_none() {
        // Asked, it ends what it has started; the second time it does not wait for that.
        for _ in 0..2 {
            // Not reaped yet, so the number is still its.
            let _ = kill_process(Pid::from_child(&run), Signal::TERM);
            if within(&mut run, GRACE)?.is_some() {
                return Ok(None);
            }
        }
        run.kill()?;
        run.wait()?;
    }
    Ok(status)
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("a run of one process ended with exit code {code} and said nothing"),
        (_, signal) => format!("a run of one process was killed by signal {}", signal.unwrap_or_default()),
    }
}

/// What was said, in one line, without the advice to ask who asks already.
fn sentence(text: &str) -> String {
    let lines = text.lines().map(|line| line.strip_prefix("rsm-ctl: ").unwrap_or(line).trim());
    let advice = ["; `rsm-ctl doctor` tells what this machine lacks", " (see rsm-ctl doctor)", ", see rsm-ctl doctor"];
    let plain = |line: &str| advice.iter().fold(line.to_owned(), |line, advice| line.replace(advice, ""));
    let lines: Vec<String> = lines.filter(|line| !line.is_empty()).map(plain).collect();
    lines.join("; ")
}

/// Does on the node what a program does: exports memory, imports it, puts, signals, waits, and gets.
pub(super) fn as_node() -> Result<ExitCode, Failure> {
    if std::env::var_os(rsm::run::ENV_CLUSTER).is_none() {
        return Err(Failure::usage("--as-node is for the run that `rsm-ctl doctor` starts"));
    }
    let controller = Controller::open("shm0")?;
    let export = controller.export_at_least(WORDS.len())?;
    let id = export.publish(SegmentId::any(), &AccessList::everyone())?;
    let import = controller.connect(controller.node().id(), id, Permission::ReadWrite)?;
    import.put(0, WORDS)?;
    import.signal()?;
    export.wait(Some(PATIENCE))?;
    let mut words = [0; WORDS.len()];
    import.get(0, &mut words)?;
    import.disconnect()?;
    export.unpublish()?;
    export.destroy()?;
    match words == *WORDS {
        true => Ok(ExitCode::Success),
        false => Err(Failure::new("what was put into a segment is not what is got from it")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_said_is_one_sentence() {
        let said = "rsm-ctl: cannot start a run: signalfd: Operation not permitted; `rsm-ctl doctor` tells what this machine \
                    lacks\n\nrsm-ctl: it ended\n";
        assert_eq!(sentence(said), "cannot start a run: signalfd: Operation not permitted; it ended");
    }

    /// Nothing is left of what does not end by itself, nor is it waited for without end.
    #[test]
    fn ends_are_told() {
        let status = |words| Command::new("sh").args(["-c", words]).spawn().map(ended).unwrap().unwrap();
        assert_eq!(status("exit 3").map(how).unwrap(), "a run of one process ended with exit code 3 and said nothing");
        assert!(how(status("kill -KILL $$").unwrap()).ends_with("killed by signal 9"));
    }
}
