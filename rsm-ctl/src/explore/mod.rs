//! `rsm-ctl explore`: kills a node before each of its calls, one run for each, and tells which of them others do not survive.
//!
//! Each run is an ordinary one, in a cluster whose lens has a gate: the node kills itself there. The first run has a gate
//! that counts ([`points`] chooses by what it found), the others kill. How they went is [judged](judge), and told with where
//! in the program it was ([`crate::places`]).

pub(crate) mod args;
mod attempts;
mod files;
mod judge;
mod points;
mod tally;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::time::Duration;

use rsm::lens::gate::{self, Called};
use rsm_run::input::Input;
use rsm_run::plan::{Home, NewCluster, Plan};
use rsm_run::signals::SignalQueue;
use rsm_run::trial::{self, Trial};
use rsm_run::verbosity::Verbosity;
use rustix::process::Signal;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::number::counted;
use crate::places::Places;
use crate::run::args::RunArgs;
use crate::run::words::Options;
use crate::run::{lens, plan};
use crate::{colour, print, process};
use args::ExploreArgs;
use attempts::{Counted, completed};
use files::Names;
use judge::{Allowed, Finding, Kind};
use points::New;
use tally::Tally;

/// The exploration.
struct Explorer {
    plan: Plan,
    node: u32,
    allowed: Allowed,
    verbosity: Verbosity,
    places: Places,
    /// The command line that repeats a run, but for the call.
    words: Vec<OsString>,
}

/// Why an exploration ends before its end.
enum Stop {
    /// With this code, and nothing more to say.
    With(ExitCode),
    Failure(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failure(failure)
    }
}

/// Explores.
pub(crate) fn perform(args: ExploreArgs, verbosity: Verbosity, options: Options) -> Result<ExitCode, Failure> {
    process::use_default_action(Signal::CHILD);
    let (at, timeout) = (args.at, args.timeout);
    let mut explorer = Explorer::of(args, verbosity, options)?;
    let timeout = timeout.or(explorer.plan.timeout);
    let done = match at {
        Some(call) => explorer.repeat(call, timeout),
        None => explorer.explore(timeout),
    };
    match done {
        Ok(code) | Err(Stop::With(code)) => Ok(code),
        Err(Stop::Failure(failure)) => Err(failure),
    }
}

/// The command line, of the command that people know.
fn named(words: &[OsString]) -> Vec<OsString> {
    std::iter::once("rsm-ctl".into()).chain(words.iter().skip(1).cloned()).collect()
}

impl Explorer {
    fn of(args: ExploreArgs, verbosity: Verbosity, options: Options) -> Result<Explorer, Failure> {
        let ExploreArgs { kill: node, at, timeout: _, allow, allow_errors, cluster, programs } = args;
        if programs.log_dir.is_some() && at.is_none() {
            return Err(Failure::usage("--log-dir is for one run: say which with --at"));
        }
        let run = RunArgs {
            cluster,
            programs,
            timeout: None,
            on_timeout: None,
            script: None,
            trace: None,
            trace_bytes: false,
            race: Vec::new(),
            race_suppressions: None,
            tag_output: false,
            keep_going: true,
            stdin: Some(Input::Nobody),
            junit: None,
            junit_name: None,
            example: None,
        };
        // What a file's script would break is not what is explored here.
        let plan = Plan { script: None, ..plan::of_run(run, verbosity, options)? };
        match plan.nodes() {
            nodes if node <= nodes => {}
            1 => return Err(Failure::usage(format!("there is no node {node} to kill: there is node 1 only"))),
            nodes => {
                return Err(Failure::usage(format!("there is no node {node} to kill: there are nodes 1 to {nodes}")));
            }
        }
        if !plan.tasks.iter().any(|task| task.node == node) {
            return Err(Failure::usage(format!("no program runs on node {node}, which is to be killed")));
        }
        let lens = match &plan.home {
            Home::New(cluster) => cluster.lens,
            Home::Running(_) => None,
        };
        let words: Vec<OsString> = std::env::args_os().collect();
        let words = lens.map_or_else(|| named(&words), |lens| lens::with_seed(words.clone(), &lens));
        let allowed = Allowed {
            codes: allow.unwrap_or_default(),
            errors: allow_errors.unwrap_or_default().0,
            ..Allowed::default()
        };
        Ok(Explorer { plan, node, allowed, verbosity, places: Places::new(), words })
    }

    /// Tries all points.
    fn explore(&mut self, timeout: Option<Duration>) -> Result<ExitCode, Stop> {
        let signals = heard()?;
        let Counted { called, limits } = self.count(timeout, &signals)?;
        let points = self.points(&called);
        if self.verbosity > Verbosity::Quiet {
            let (calls, runs) = (counted(called.calls, "call", "calls"), counted(points.len() as u64, "run", "runs"));
            // A run is made again, with that much time, where somebody waits who would end by himself.
            let again = if limits.long > limits.short {
                format!("; {} more where somebody waits with a time-out, which --timeout limits", seconds(limits.long))
            } else {
                String::new()
            };
            let short = seconds(limits.short);
            print::remark(&format!("node {} makes {calls}: {runs}, of {short} at most{again}", self.node));
            if called.lost > 0 {
                let most = gate::MOST_POINTS;
                print::remark(&format!("after {most} that differ, only calls at powers of two are tried"));
            }
        }
        let mut tally = Tally::of(points.len());
        for &call in &points {
            self.show_progress(&tally);
            let trial = self.attempt_within(call, limits, &signals);
            self.clear_progress();
            let trial = trial?;
            if let Some(signal) = trial.interrupted {
                self.tell(&format!("  interrupted; {}\n", self.summed(&tally)))?;
                return Ok(ended_by(signal));
            }
            let found = self.judged(call, &trial, false)?;
            tally.add(call, found);
        }
        self.tell(&format!("  {}\n", self.summed(&tally)))?;
        Ok(if tally.first.is_some() { ExitCode::Found } else { ExitCode::Success })
    }

    /// The calls to try.
    fn points(&mut self, called: &Called) -> Vec<u64> {
        let places = &mut self.places;
        let news = called.points.iter().map(|point| {
            let key = (point.call, point.node, point.id, places.caller(point, &called.modules).key);
            New { number: point.number, key }
        });
        points::chosen(called.calls, news)
    }

    /// Makes one run again, which everybody sees.
    fn repeat(&mut self, call: u64, timeout: Option<Duration>) -> Result<ExitCode, Stop> {
        // Which says how long it may take, and what survivors are told with nobody killed.
        let limit = self.count(timeout, &heard()?)?.limits.long;
        self.set(call, limit);
        let names = Names::now();
        let nothing = Plan::plain(Home::New(NewCluster::default()), Vec::new(), self.verbosity);
        let trial = completed(trial::shown(std::mem::replace(&mut self.plan, nothing))?, &names)?;
        if let Some(signal) = trial.interrupted {
            return Ok(ended_by(signal));
        }
        let found = self.judged(call, &trial, true)?;
        Ok(if found.is_some() { ExitCode::Found } else { ExitCode::Success })
    }

    /// Judges a run, and tells what is wrong with it, or also that nothing is; the first kind of what is.
    fn judged(&mut self, call: u64, trial: &Trial, alone: bool) -> Result<Option<Kind>, Stop> {
        let killed = judge::killed(trial, self.node, &mut self.places);
        let of_killed = killed.as_ref().map(|_| self.node);
        let findings = judge::findings(trial, of_killed, &self.allowed, &mut self.places);
        let head = killed.unwrap_or_else(|| format!("node {} made no call {call} this time, and lived", self.node));
        let mut lines = String::new();
        for (at, Finding { text, details, said, .. }) in findings.iter().enumerate() {
            match at {
                0 => lines.push_str(&format!("  {head}: {text}\n")),
                _ => lines.push_str(&format!("    and {text}\n")),
            }
            lines.extend(details.iter().map(|detail| format!("    it {detail}\n")));
            if self.verbosity == Verbosity::Verbose && !alone {
                lines.extend(said.iter().map(|line| format!("    | {line}\n")));
            }
        }
        if findings.is_empty() && (alone || self.verbosity == Verbosity::Verbose) {
            lines = format!("  {head}: nothing is wrong, after {}\n", seconds(trial.took));
        }
        self.tell(&lines)?;
        Ok(findings.iter().map(|finding| finding.kind).min())
    }

    /// How many points there were, and what is to be typed to see the first that was found.
    fn summed(&self, tally: &Tally) -> String {
        let mut words = self.words.clone();
        tally.summed(|call| {
            let at = words.iter().position(|word| word == "--kill").map_or_else(
                || words.iter().position(|word| word.as_encoded_bytes().starts_with(b"--kill=")).unwrap_or(1),
                |at| at + 1,
            );
            words.splice(at + 1..at + 1, ["--at".into(), call.to_string().into()]);
            lens::line(&words)
        })
    }

    /// Tells something to who wants to hear it.
    fn tell(&self, text: &str) -> Result<(), Stop> {
        if self.verbosity == Verbosity::Quiet || text.is_empty() {
            return Ok(());
        }
        match print::answer(text)? {
            ExitCode::Success => Ok(()),
            code => Err(Stop::With(code)),
        }
    }

    /// Says on a terminal how far it is.
    fn show_progress(&self, tally: &Tally) {
        if self.verbosity > Verbosity::Quiet && shows_progress() {
            let Tally { tried, points, .. } = tally;
            eprint!("\r  {tried} of {points} points, {} found\x1b[K", tally.found());
        }
    }

    fn clear_progress(&self) {
        if self.verbosity > Verbosity::Quiet && shows_progress() {
            eprint!("\r\x1b[K");
        }
    }
}

/// The signals that end an exploration.
fn heard() -> Result<SignalQueue, Failure> {
    SignalQueue::new(&[Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT])
        .map_err(|error| Failure::call("cannot explore", "signalfd", error))
}

fn shows_progress() -> bool {
    std::io::stderr().is_terminal() && !colour::is_dumb()
}

fn ended_by(signal: i32) -> ExitCode {
    ExitCode::Signal(u8::try_from(signal).unwrap_or(u8::MAX))
}

/// A time as people read it.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
