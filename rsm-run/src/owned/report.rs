//! How a run went.

use std::fmt;
use std::time::Duration;

use crate::course::{self, Trial};
use crate::exit_code::ExitCode;
use crate::summary::seconds;

/// Most lines of an output that are shown, the last ones.
const SHOWN: usize = 40;

/// How a run went: what became of each process, and what it wrote.
///
/// Its `Display` says who failed first and why, and then what everybody wrote.
#[derive(Clone, Debug)]
pub struct Report {
    /// What `rsm-ctl run` would have ended with: 0 when every process ended well, else the code of the first that failed.
    pub code: u8,
    /// How long it took.
    pub took: Duration,
    /// How long it might have taken.
    pub timeout: Option<Duration>,
    /// Whether the time was up.
    pub timed_out: bool,
    /// Why the cluster ended under its processes, or who of them has ended the run with a code that is a failure.
    pub cluster_ended: Option<String>,
    /// What the fault script did, the last of it.
    pub script: Vec<String>,
    /// Why the fault script was not carried out to its end.
    pub script_failed: Option<String>,
    /// What was late, and what went wrong, in a run with a lens that failed.
    pub late: Vec<String>,
    /// Where threads were when the time was up, where that was asked for.
    pub stacks: Vec<String>,
    pub(crate) processes: Vec<ProcessReport>,
}

/// What became of a process.
#[derive(Clone, Debug)]
pub struct ProcessReport {
    /// Its node.
    pub node: u32,
    /// What it is called: the id of its node, and where that has several of them a number after it.
    pub label: String,
    /// Its process id; 0 for one that did not start.
    pub pid: i32,
    /// Its exit code; `None` when a signal killed it.
    pub code: Option<u8>,
    /// The signal that killed it.
    pub signal: Option<u8>,
    /// How it ended, as a sentence about it; empty when that is not known.
    pub end: String,
    /// How long after the start of the run it ended.
    pub after: Duration,
    /// Whether it had been asked to end before, because of others or because the time was up.
    pub was_asked: bool,
    /// Whether it failed after another one had.
    pub is_consequence: bool,
    /// Whether it was killed on purpose, by the fault script or by whoever else disturbs the cluster.
    pub on_purpose: bool,
    /// Whether the time was up before it had ended.
    pub was_running: bool,
    /// What it waited for then, as sentences about it.
    pub waits: Vec<String>,
    /// What it wrote to its standard output. Bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// What it wrote to its standard error.
    pub stderr: String,
}

impl ProcessReport {
    /// Whether it is to blame: it failed, and nothing that was known before explains that.
    pub fn is_cause(&self) -> bool {
        let failed = self.code != Some(0) && !self.end.is_empty();
        failed && !self.was_asked && !self.is_consequence && !self.on_purpose
    }

    /// What a panic, or an error that `main` returned, has said on standard error.
    fn last_words(&self) -> Option<String> {
        let mut lines = self.stderr.lines().skip_while(|line| !line.contains("panicked at "));
        let Some(first) = lines.next() else {
            return self.stderr.lines().rev().find(|line| line.starts_with("Error: ")).map(str::to_owned);
        };
        let place = first.split_once("panicked at ").map_or(first, |(_, place)| place);
        let message = lines.take_while(|line| !line.starts_with("note: ") && !line.starts_with("stack backtrace:"));
        let message: Vec<&str> = message.take(SHOWN).collect();
        Some(format!("panicked at {place}\n  {}", message.join("\n  ").trim_end()))
    }
}

impl Report {
    pub(super) fn of(trial: Trial, timeout: Option<Duration>, outputs: impl Fn(usize) -> (String, String)) -> Report {
        let Trial { code, took, processes, timed_out, script, script_failed, late, stacks, .. } = trial;
        let cluster_ended = trial.cluster_ended.or(trial.ended_by).or(trial.lost);
        let process = |(index, process): (usize, course::Process)| {
            let (stdout, stderr) = outputs(index);
            let end = process.end.as_ref();
            ProcessReport {
                node: process.node,
                label: process.label,
                pid: process.pid,
                code: end.and_then(|end| end.code),
                signal: end.and_then(|end| end.signal),
                after: end.map(|end| end.after).unwrap_or(took),
                was_asked: end.is_some_and(|end| end.asked),
                is_consequence: end.is_some_and(|end| end.is_consequence),
                on_purpose: end.is_some_and(|end| end.on_purpose),
                end: process.end.map(|end| end.text).unwrap_or_default(),
                was_running: process.was_running,
                waits: process.hangs,
                stdout,
                stderr,
            }
        };
        let processes = processes.into_iter().enumerate().map(process).collect();
        let code = code.number();
        Report { code, took, timeout, timed_out, cluster_ended, script, script_failed, late, stacks, processes }
    }

    /// Whether every process ended well, and the fault script if there was one.
    pub fn is_success(&self) -> bool {
        self.code == ExitCode::Success.number()
    }

    /// The processes, in the order of their nodes.
    pub fn processes(&self) -> &[ProcessReport] {
        &self.processes
    }

    /// The first process of a node.
    pub fn node(&self, node: u32) -> Option<&ProcessReport> {
        self.processes.iter().find(|process| process.node == node)
    }

    /// The report, if every process ended well.
    ///
    /// # Panics
    /// With all of it, if one did not.
    #[track_caller]
    pub fn expect_success(self) -> Report {
        assert!(self.is_success(), "{self}");
        self
    }

    /// In a line or a few: who failed first, and why.
    fn headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut causes: Vec<&ProcessReport> = self.processes.iter().filter(|process| process.is_cause()).collect();
        causes.sort_by_key(|process| process.after);
        if let [first, others @ ..] = &causes[..] {
            write!(f, "node {} {} after {}", first.label, first.end, seconds(first.after))?;
            for other in others {
                write!(f, ", node {} {}", other.label, other.end)?;
            }
            return first.last_words().map_or(Ok(()), |words| write!(f, "\n  {words}"));
        }
        if self.timed_out {
            let after = self.timeout.map(|time| format!(" after {}", seconds(time))).unwrap_or_default();
            let running: Vec<&str> =
                self.processes.iter().filter(|process| process.was_running).map(|process| &*process.label).collect();
            write!(f, "timed out{after}; still running: node {}", running.join(", "))?;
            for process in &self.processes {
                process.waits.iter().try_for_each(|wait| write!(f, "\n  node {} {wait}", process.label))?;
            }
            return Ok(());
        }
        match (&self.script_failed, &self.cluster_ended) {
            (Some(why), _) | (None, Some(why)) => write!(f, "{why}"),
            (None, None) if self.is_success() => write!(f, "every node ended well after {}", seconds(self.took)),
            (None, None) => write!(f, "the run was ended after {}", seconds(self.took)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        let first = |process: &&ProcessReport| !process.is_cause();
        let mut processes: Vec<&ProcessReport> = self.processes.iter().collect();
        processes.sort_by_key(first);
        for process in processes {
            // The headline has the others.
            if process.is_consequence || process.was_asked || process.on_purpose {
                let why = match () {
                    () if process.on_purpose => " on purpose",
                    () if process.was_asked => ", after it had been asked to",
                    () => " afterwards",
                };
                write!(f, "\nnode {} {}{why}", process.label, process.end)?;
            }
            for (name, text) in [("standard output", &process.stdout), ("standard error", &process.stderr)] {
                let lines: Vec<&str> = text.trim_end().trim_start_matches('\n').lines().collect();
                if lines.is_empty() {
                    continue;
                }
                write!(f, "\nnode {} wrote to its {name}:", process.label)?;
                let left = lines.len().saturating_sub(SHOWN);
                if left > 0 {
                    write!(f, "\n  | [{left} lines before]")?;
                }
                lines[left..].iter().try_for_each(|line| write!(f, "\n  | {line}"))?;
            }
        }
        self.script.iter().try_for_each(|line| write!(f, "\nscript: {line}"))?;
        self.late.iter().try_for_each(|line| write!(f, "\n{line}"))?;
        self.stacks.iter().try_for_each(|text| write!(f, "\n{text}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(node: u32, code: Option<u8>, end: &str, stderr: &str) -> ProcessReport {
        ProcessReport {
            node,
            label: node.to_string(),
            pid: 7,
            code,
            signal: None,
            end: end.to_owned(),
            after: Duration::from_millis(20),
            was_asked: false,
            is_consequence: false,
            on_purpose: false,
            was_running: false,
            waits: Vec::new(),
            stdout: String::new(),
            stderr: stderr.to_owned(),
        }
    }

    fn report(code: u8, processes: Vec<ProcessReport>) -> Report {
        Report {
            code,
            took: Duration::from_secs(1),
            timeout: Some(Duration::from_secs(30)),
            timed_out: false,
            cluster_ended: None,
            script: Vec::new(),
            script_failed: None,
            late: Vec::new(),
            stacks: Vec::new(),
            processes,
        }
    }

    #[test]
    fn who_failed_first_is_named_with_its_panic() {
        let panic = "thread 'ring' (9) panicked at tests/ring.rs:31:9:\nassertion `left == right` failed\n  left: 1\n right: 2\n\
                     note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        let mut late = process(1, Some(1), "ended with exit code 1", "Error: RSMERR_CONN_ABORTED\n");
        late.is_consequence = true;
        let told = report(101, vec![late, process(2, Some(101), "ended with exit code 101", panic)]).to_string();
        let expected = "node 2 ended with exit code 101 after 20 ms\n  panicked at tests/ring.rs:31:9:\n  \
                        assertion `left == right` failed\n    left: 1\n   right: 2\nnode 2 wrote to its standard error:\n  | thread";
        assert!(told.starts_with(expected), "{told}");
        assert!(
            told.contains(
                "\nnode 1 ended with exit code 1 afterwards\nnode 1 wrote to its standard error:\n  | Error: RSMERR"
            ),
            "{told}"
        );
    }

    #[test]
    fn what_is_waited_for_when_the_time_is_up() {
        let mut stuck = process(3, None, "was killed by signal 15 (SIGTERM)", "");
        (stuck.was_asked, stuck.was_running) = (true, true);
        stuck.waits = vec!["waits for a signal to its segment 0x400000".to_owned()];
        let told = Report { timed_out: true, ..report(124, vec![stuck]) }.to_string();
        let expected = "timed out after 30.0 s; still running: node 3\n  node 3 waits for a signal to its segment 0x400000\n\
                        node 3 was killed by signal 15 (SIGTERM), after it had been asked to";
        assert_eq!(told, expected);
    }

    #[test]
    fn a_long_output_is_cut_before_its_end() {
        let lines: String = (0..SHOWN + 5).map(|n| format!("line {n}\n")).collect();
        let told = report(0, vec![process(1, Some(0), "ended with exit code 0", &lines)]).to_string();
        assert!(told.starts_with("every node ended well after 1.0 s\n"), "{told}");
        assert!(told.contains("  | [5 lines before]\n  | line 5\n") && told.ends_with("  | line 44"), "{told}");
    }
}
