//! Runs of an exploration: the one that counts, and those in which the node dies.

use std::time::Duration;

use rsm::lens::gate::Called;
use rsm::lens::{Gate, Lens};
use rsm_run::plan::Home;
use rsm_run::signals::SignalQueue;
use rsm_run::trial::{self, Trial};
use rsm_run::verbosity::Verbosity;

use super::files::Names;
use super::judge::{self, Allowed, Finding};
use super::{Explorer, Stop, ended_by};
use crate::failure::Failure;

/// How long the run that counts may take, where nobody says.
const COUNTING: Duration = Duration::from_secs(60);
/// How long the others may take: this, and so many times as long as that one. Where somebody waits with a time-out then, who is
/// to end by himself, also as long as the longest that there was; up to this.
const LEAST: Duration = Duration::from_secs(2);
const TIMES: u32 = 10;
const MOST_PATIENCE: Duration = Duration::from_secs(30);

/// What the run that counts found.
pub(super) struct Counted {
    pub(super) called: Called,
    /// How long the others may take.
    pub(super) limits: Limits,
}

/// How long a run may take: where nobody waits with a time-out, and where somebody does.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) short: Duration,
    pub(super) long: Duration,
}

impl Explorer {
    /// Has the plan carried out with the node killed before this call.
    pub(super) fn set(&mut self, call: u64, timeout: Duration) {
        self.plan.timeout = Some(timeout);
        self.plan.keep_going = true;
        if let Home::New(cluster) = &mut self.plan.home {
            let lens = cluster.lens.unwrap_or(Lens::clear(0));
            cluster.lens = Some(lens.gate(Gate { node: self.node, call }));
        }
    }

    /// Makes a run that nobody sees.
    fn attempt(&mut self, call: u64, timeout: Duration, signals: &SignalQueue) -> Result<Trial, Failure> {
        self.set(call, timeout);
        let verbosity = std::mem::replace(&mut self.plan.verbosity, Verbosity::Quiet);
        let logs = self.plan.log_dir.take();
        let names = Names::now();
        let trial = trial::quietly(&mut self.plan, signals);
        (self.plan.verbosity, self.plan.log_dir) = (verbosity, logs);
        completed(trial?, &names)
    }

    /// The same, and once more with more time where somebody waits who would end by himself.
    pub(super) fn attempt_within(
        &mut self,
        call: u64,
        limits: Limits,
        signals: &SignalQueue,
    ) -> Result<Trial, Failure> {
        let trial = self.attempt(call, limits.short, signals)?;
        if trial.interrupted.is_none() && limits.long > limits.short && judge::has_patience(&trial) {
            return self.attempt(call, limits.long, signals);
        }
        Ok(trial)
    }

    /// The run that counts.
    pub(super) fn count(&mut self, timeout: Option<Duration>, signals: &SignalQueue) -> Result<Counted, Stop> {
        let trial = self.attempt(0, timeout.unwrap_or(COUNTING), signals)?;
        if let Some(signal) = trial.interrupted {
            return Err(Stop::With(ended_by(signal)));
        }
        if let Some(finding) = judge::findings(&trial, None, &Allowed::default(), &mut self.places).first() {
            let Finding { text, details, said, .. } = finding;
            let mut text = format!("with nobody killed, {text}; what does not end well cannot be explored");
            text.extend(details.iter().map(|detail| format!("\n  it {detail}")));
            text.extend(said.iter().map(|line| format!("\n  | {line}")));
            return Err(Failure::new(text).into());
        }
        self.allowed.usual = judge::errors(&trial);
        let patience = trial.calls.iter().map(|calls| calls.called.patience).max().unwrap_or_default();
        let patience = Duration::from_millis(patience.into()).min(MOST_PATIENCE);
        let short = timeout.unwrap_or(LEAST + trial.took * TIMES);
        let limits = Limits { short, long: timeout.unwrap_or(short + patience) };
        let called = trial.calls.into_iter().map(|calls| calls.called).find(|called| called.counts && called.calls > 0);
        let none = || Failure::new(format!("node {} makes no call of rsm before which it could be killed", self.node));
        Ok(Counted { called: called.ok_or_else(none)?, limits })
    }
}

/// A run, with what it left in /dev/shm.
pub(super) fn completed(mut trial: Trial, before: &Names) -> Result<Trial, Failure> {
    trial.leftovers.extend(before.left_since());
    match &trial.cluster_ended {
        Some(why) => Err(Failure::new(why.clone())),
        None => Ok(trial),
    }
}
