//! What is wrong with a run in which a node was killed. The end of that node is not.

use std::collections::BTreeSet;
use std::time::Duration;

use rsm::Code;
use rsm::lens::gate::{Call, Called, Failed, Point};
use rsm_run::trial::{Process, Trial};

use super::args::Codes;
use crate::places::Places;

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Somebody does not end.
    Hang,
    /// A survivor fails.
    Failure,
    /// A survivor is told that it made a wrong call.
    Mistake,
    /// Something is left.
    Leftover,
}

/// Something that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// Who does what.
    pub(super) text: String,
    /// More about it, as sentences about who.
    pub(super) details: Vec<String>,
    /// What that process wrote last.
    pub(super) said: Vec<String>,
}

impl Finding {
    fn new(kind: Kind, text: impl Into<String>) -> Finding {
        Finding { kind, text: text.into(), details: Vec::new(), said: Vec::new() }
    }
}

/// The call that the node was killed before, as a sentence has it; `None` where it was not killed.
pub(super) fn killed(trial: &Trial, node: u32, places: &mut Places) -> Option<String> {
    let called = trial.calls.iter().filter(|calls| calls.node == node).map(|calls| &calls.called);
    let called = called.into_iter().find(|called| called.died_before != 0)?;
    let what = called.last.as_ref().map(|last| format!(", {}", places.name(last, &called.modules)));
    Some(format!("node {node} before call {}{}", called.died_before, what.unwrap_or_default()))
}

/// What survivors may be told, and end with.
#[derive(Debug, Default)]
pub(super) struct Allowed {
    /// Exit codes beside 0.
    pub(super) codes: Codes,
    /// Errors, by number.
    pub(super) errors: BTreeSet<i32>,
    /// Those that calls of a node were answered with in the run that counted.
    pub(super) usual: BTreeSet<(u32, i32)>,
}

/// The errors of a run, by node.
pub(super) fn errors(trial: &Trial) -> BTreeSet<(u32, i32)> {
    let of = |calls: &rsm_run::trial::ProcessCalls| {
        let node = calls.node;
        calls.called.failed.iter().map(|failed| (node, failed.code)).collect::<Vec<_>>()
    };
    trial.calls.iter().flat_map(of).collect()
}

/// Everything that is wrong. `killed`: of this node nothing is asked but to be gone.
pub(super) fn findings(trial: &Trial, killed: Option<u32>, allowed: &Allowed, places: &mut Places) -> Vec<Finding> {
    let mut findings = Vec::new();
    for process in trial.processes.iter().filter(|process| Some(process.node) != killed) {
        if process.was_running {
            findings.push(hang(trial, process, places));
            continue;
        }
        let Some(end) = process.end.as_ref().filter(|end| !end.asked && !end.on_purpose) else { continue };
        if end.code != Some(0) && !end.code.is_some_and(|code| allowed.codes.has(code)) {
            let text = format!("node {} {}", process.label, end.text);
            findings.push(Finding { said: process.said.clone(), ..Finding::new(Kind::Failure, text) });
        }
    }
    if let Some(killed) = killed {
        findings.extend(mistakes(trial, killed, allowed, places));
    }
    if trial.timed_out && findings.iter().all(|finding| finding.kind == Kind::Mistake) {
        let of_killed = trial.processes.iter().find(|process| process.was_running);
        findings.push(match of_killed {
            Some(process) => {
                let text = format!("another process of node {} does not end", process.node);
                Finding { details: process.hangs.clone(), ..Finding::new(Kind::Hang, text) }
            }
            None => Finding::new(Kind::Hang, "processes that nodes had left do not end"),
        });
    }
    findings.extend(trial.leftovers.iter().map(|left| Finding::new(Kind::Leftover, format!("left behind: {left}"))));
    findings
}

/// The errors that say that a survivor made a wrong call, and that it did not have with nobody killed.
fn mistakes(trial: &Trial, killed: u32, allowed: &Allowed, places: &mut Places) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for calls in trial.calls.iter().filter(|calls| calls.node != killed) {
        for Failed { code, frames } in &calls.called.failed {
            if allowed.errors.contains(code) || allowed.usual.contains(&(calls.node, *code)) {
                continue;
            }
            // Who called is all that is known of the call.
            let point = Point { number: 0, call: Call::Put, node: 0, id: 0, patience: None, frames: frames.clone() };
            let name = Code::from_number(*code).map_or("an unknown error", Code::name);
            let place =
                places.site(&point, &calls.called.modules).map_or_else(String::new, |site| format!(" in {site}"));
            let text = format!("node {} was told {name} ({code}){place}", calls.node);
            if findings.iter().all(|finding| finding.text != text) {
                findings.push(Finding::new(Kind::Mistake, text));
            }
        }
    }
    findings
}

/// Whether somebody was still there when the time was up who waits with a time-out.
pub(super) fn has_patience(trial: &Trial) -> bool {
    let mut running = trial.processes.iter().filter(|process| process.was_running);
    running.any(|process| called(trial, process).and_then(patience).is_some())
}

/// The calls of a process: its own, or those of what it started.
fn called<'a>(trial: &'a Trial, process: &Process) -> Option<&'a Called> {
    let mut calls = trial.calls.iter().filter(|calls| calls.node == process.node);
    let own = calls.clone().find(|calls| calls.pid == process.pid);
    own.or_else(|| calls.next_back()).map(|calls| &calls.called)
}

/// How long the last call waits, if that is a wait with a time-out.
fn patience(called: &Called) -> Option<Duration> {
    let patience = called.last.as_ref()?.patience.filter(|&patience| patience > 0)?;
    Some(Duration::from_millis(patience.into()))
}

/// A survivor that was there when the time was up.
fn hang(trial: &Trial, process: &Process, places: &mut Places) -> Finding {
    let called = called(trial, process);
    let last = called.and_then(|called| last_place(called, places));
    let label = &process.label;
    let text = match (last, process.hangs.is_empty()) {
        (Some((last, false)), false) => match called.and_then(patience) {
            // It would have ended by itself, later than the run may take.
            Some(patience) => format!("node {label} still waits, for {patience:?} at most, in {last}"),
            None => format!("node {label} hangs in {last}"),
        },
        (Some((last, _)), _) => format!("node {label} does not end; its last call was {last}"),
        (None, false) => format!("node {label} hangs"),
        (None, true) => format!("node {label} does not end"),
    };
    let details = process.hangs.clone();
    Finding { details, said: process.said.clone(), ..Finding::new(Kind::Hang, text) }
}

/// The last call, and whether it is one about data, which no wait is.
fn last_place(called: &Called, places: &mut Places) -> Option<(String, bool)> {
    let last: &Point = called.last.as_ref()?;
    Some((places.name(last, &called.modules), last.call.is_of_data()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm::lens::gate::Call;
    use rsm_run::exit_code::ExitCode;
    use rsm_run::trial::{End, ProcessCalls};

    fn process(node: u32, code: Option<u8>) -> Process {
        let text =
            code.map_or_else(|| "was killed by signal 11 (SIGSEGV)".into(), |c| format!("ended with exit code {c}"));
        let (signal, after) = (code.is_none().then_some(11), Duration::ZERO);
        let end = Some(End { code, signal, text, after, is_consequence: false, asked: false, on_purpose: false });
        let (label, pid) = (node.to_string(), 100 + node as i32);
        Process { node, label, pid, end, was_running: false, hangs: Vec::new(), said: vec!["its words".into()] }
    }

    fn trial(processes: Vec<Process>) -> Trial {
        Trial {
            code: ExitCode::Success,
            took: Duration::ZERO,
            timed_out: processes.iter().any(|process| process.was_running),
            processes,
            interrupted: None,
            cluster_ended: None,
            ended_by: None,
            lost: None,
            script: Vec::new(),
            script_failed: None,
            stacks: Vec::new(),
            late: Vec::new(),
            calls: Vec::new(),
            leftovers: Vec::new(),
        }
    }

    fn judged(trial: &Trial, allowed: &[u8]) -> Vec<(Kind, String)> {
        let allowed = Allowed { codes: allowed.iter().copied().collect(), ..Allowed::default() };
        let found = findings(trial, Some(2), &allowed, &mut Places::new());
        found.into_iter().map(|finding| (finding.kind, finding.text)).collect()
    }

    #[test]
    fn who_survives_and_ends_well_is_not_told_nor_the_dead() {
        let killed = Process { end: None, ..process(2, None) };
        assert_eq!(judged(&trial(vec![process(1, Some(0)), killed, process(3, Some(7))]), &[7]), []);
        assert_eq!(judged(&trial(vec![process(1, Some(0)), process(2, Some(137))]), &[]), []);
    }

    #[test]
    fn failures_and_what_is_left_are_told() {
        let mut trial = trial(vec![process(1, Some(1)), process(2, None), process(3, None)]);
        trial.leftovers.push("2 segments in the cluster".into());
        let expected = [
            (Kind::Failure, "node 1 ended with exit code 1".to_owned()),
            (Kind::Failure, "node 3 was killed by signal 11 (SIGSEGV)".to_owned()),
            (Kind::Leftover, "left behind: 2 segments in the cluster".to_owned()),
        ];
        assert_eq!(judged(&trial, &[]), expected);
        assert_eq!(judged(&trial, &[1, 139]), expected[1..], "a crash is never allowed");
    }

    #[test]
    fn errors_that_say_that_a_call_was_wrong_are_told() {
        let (two, one) = (Code::BadSegHndl.number(), Code::BadLength.number());
        let failed = |codes: &[i32]| codes.iter().map(|&code| Failed { code, frames: Vec::new() }).collect();
        let calls = |node, codes: &[i32]| ProcessCalls {
            node,
            pid: 100 + node as i32,
            called: Called { failed: failed(codes), ..Called::default() },
        };
        let mut trial = trial(vec![process(1, Some(0)), process(2, Some(0))]);
        trial.calls = vec![calls(1, &[one, two, two]), calls(2, &[one])];
        let told = |allowed: &Allowed, killed| {
            let found = findings(&trial, killed, allowed, &mut Places::new());
            found.into_iter().map(|finding| (finding.kind, finding.text)).collect::<Vec<_>>()
        };
        let says = |name| (Kind::Mistake, format!("node 1 was told {name}"));
        let both = [says("RSMERR_BAD_LENGTH (20)"), says("RSMERR_BAD_SEG_HNDL (5)")];
        assert_eq!(told(&Allowed::default(), Some(2)), both);
        assert_eq!(told(&Allowed::default(), None), [], "of a run that counts it is what is usual");
        assert_eq!(errors(&trial), BTreeSet::from([(1, two), (1, one), (2, one)]));
        let usual = Allowed { usual: BTreeSet::from([(1, one), (3, two)]), ..Allowed::default() };
        assert_eq!(told(&usual, Some(2)), both[1..]);
        let allowed = Allowed { errors: BTreeSet::from([two]), ..Allowed::default() };
        assert_eq!(told(&allowed, Some(2)), both[..1]);
    }

    #[test]
    fn hangs_are_told_with_the_last_call() {
        let hanging = |node, hangs: &[&str]| Process {
            end: Some(End {
                code: None,
                signal: None,
                text: String::new(),
                after: Duration::ZERO,
                is_consequence: false,
                asked: true,
                on_purpose: false,
            }),
            was_running: true,
            hangs: hangs.iter().map(|&text| text.to_owned()).collect(),
            ..process(node, None)
        };
        let waiting = trial(vec![hanging(1, &["waits for a signal"]), process(2, None)]);
        assert_eq!(judged(&waiting, &[]), [(Kind::Hang, "node 1 hangs".to_owned())]);
        let with = |call| Trial {
            calls: vec![ProcessCalls {
                node: 1,
                pid: 101,
                called: Called {
                    last: Some(Point { number: 0, call, node: 0, id: 0, patience: None, frames: Vec::new() }),
                    ..Called::default()
                },
            }],
            ..trial(vec![hanging(1, &["waits for a signal"]), process(2, None)])
        };
        assert_eq!(judged(&with(Call::Wait), &[]), [(Kind::Hang, "node 1 hangs in wait".to_owned())]);
        let mut patient = with(Call::Wait);
        assert!(!has_patience(&patient));
        patient.calls[0].called.last.as_mut().unwrap().patience = Some(60_000);
        assert!(has_patience(&patient));
        let waits = (Kind::Hang, "node 1 still waits, for 60s at most, in wait".to_owned());
        assert_eq!(judged(&patient, &[]), [waits]);
        let polls = [(Kind::Hang, "node 1 does not end; its last call was get".to_owned())];
        assert_eq!(judged(&with(Call::Get), &[]), polls);
        let left = trial(vec![process(1, Some(0)), hanging(2, &[])]);
        assert_eq!(judged(&left, &[]), [(Kind::Hang, "another process of node 2 does not end".to_owned())]);
        let left = Trial { timed_out: true, ..trial(vec![process(1, Some(0)), process(2, None)]) };
        assert_eq!(judged(&left, &[]), [(Kind::Hang, "processes that nodes had left do not end".to_owned())]);
    }
}
