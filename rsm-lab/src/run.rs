//! Carrying a script out: one thread, asleep whenever there is nothing to do.

use super::action::Action;
use super::beside::{Beside, Running};
use super::condition::Condition;
use super::random::{Draw, Draws, Kinds};
use super::statement::{Attempt, Limit, Line, Statement, When};
use rsm::steer::Steering;
use rsm::{Code, Error};
use rsm_core::registry::check_node;
use std::fmt;
use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{Duration, Instant};

/// Something that a script did.
#[derive(Clone, Debug)]
pub struct Event {
    /// Time since the script began.
    pub at: Duration,
    /// Line of the script, from 1.
    pub line: usize,
    /// The action, as it is written in a script.
    pub action: String,
    /// Outcome in words; or the error, which the script passed over.
    pub outcome: Result<Option<String>, Error>,
}

/// As in `0.512s line 3: link down 1 2: 2 imports aborted`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}s line {}: {}", self.at.as_secs_f64(), self.line, self.action)?;
        match &self.outcome {
            Ok(None) => Ok(()),
            Ok(Some(outcome)) => write!(f, ": {outcome}"),
            Err(error) => write!(f, ": failed: {}", error.detail()),
        }
    }
}

/// Reason why a script stopped before its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunError {
    /// The line that was being carried out.
    pub line: usize,
    /// The line as it is written.
    pub text: String,
    /// The error.
    pub error: Error,
    /// Whether it was only the time limit of the whole script that ended it.
    pub over_limit: bool,
}

/// As in `line 3: link down 1 9: there is no node 9: nodes are 1 to 3`.
impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}: {}", self.line, self.text, self.error.detail())
    }
}

impl std::error::Error for RunError {}

type Done<T = ()> = Result<T, RunError>;

/// Whether the script goes on.
type Flow = ControlFlow<()>;

struct Runner<'a, F, R> {
    steering: &'a Steering,
    tell: F,
    /// Starts the processes of a node again; what cannot is refused before anything is done.
    restart: Option<R>,
    began: Instant,
    /// When the script must have ended.
    deadline: Option<Instant>,
    limit: Option<Duration>,
    beside: Vec<Beside<'a>>,
    /// What is under way has no end but the cluster's.
    endless: bool,
}

pub(super) fn run(
    lines: &[Line],
    steering: &Steering,
    limit: Option<Duration>,
    restart: Option<impl FnMut(u32) -> Result<u32, Error>>,
    tell: impl FnMut(&Event) -> ControlFlow<()>,
) -> Result<(), RunError> {
    check(lines, steering, restart.is_some())?;
    let began = Instant::now();
    let deadline = limit.and_then(|limit| began.checked_add(limit));
    let mut runner = Runner { steering, tell, restart, began, deadline, limit, beside: Vec::new(), endless: false };
    let ended = runner.body(lines, began).and_then(|flow| if flow.is_continue() { runner.finish() } else { Ok(()) });
    match ended {
        Err(stopped) if runner.endless && stopped.error.code() == Code::CtlrNotPresent => Ok(()),
        other => other,
    }
}

/// Whether the cluster has what the script names: waiting for what cannot come would be a long wait.
pub(super) fn check(lines: &[Line], steering: &Steering, may_restart: bool) -> Done {
    for line in lines {
        let (mut nodes, mut controllers, mut lacks) = (Vec::new(), Vec::new(), false);
        let mut action = |attempt: &Attempt| {
            nodes.extend(attempt.action.nodes());
            controllers.extend(attempt.action.controller().map(str::to_owned));
            lacks |= !may_restart && matches!(attempt.action, Action::Restart(_));
        };
        match &line.statement {
            Statement::Once { then, .. } => then.iter().for_each(&mut action),
            Statement::Every { then, .. } => action(then),
            Statement::Repeat { body, .. } => check(body, steering, may_restart)?,
            Statement::Random { .. } | Statement::Stop => {}
        }
        if lacks {
            let text = "only the script of a run can start a node again: rsm-ctl run --script FILE";
            return Err(failed(line, Error::with(Code::PermDenied, text)));
        }
        if let Some(condition) = line.statement.condition() {
            nodes.extend(condition.nodes());
            controllers.extend(condition.controllers().map(str::to_owned));
        }
        let membership = steering.membership();
        let count = membership.registry().header.node_count();
        let known = nodes.iter().try_for_each(|&node| check_node(node, count));
        let known = known.and_then(|()| controllers.iter().try_for_each(|name| membership.controller(name).map(drop)));
        known.map_err(|error| failed(line, error))?;
    }
    Ok(())
}

fn failed(line: &Line, error: Error) -> RunError {
    RunError { line: line.number, text: line.text.clone(), error, over_limit: false }
}

impl<'a, F, R> Runner<'a, F, R>
where
    F: FnMut(&Event) -> ControlFlow<()>,
    R: FnMut(u32) -> Result<u32, Error>,
{
    /// Carries lines out in order. `from` is when their times begin to count.
    fn body(&mut self, lines: &'a [Line], from: Instant) -> Done<Flow> {
        for line in lines {
            if self.line(line, from)?.is_break() {
                return Ok(Break(()));
            }
        }
        Ok(Continue(()))
    }

    fn line(&mut self, line: &'a Line, from: Instant) -> Done<Flow> {
        // Not every line sleeps, and a repeat may have many of them.
        self.check_limit(line)?;
        match &line.statement {
            Statement::Once { when, then } => {
                match when {
                    When::Now => {}
                    When::At(time) => self.sleep(line, from.checked_add(*time), None).map(drop)?,
                    When::After(time) => self.sleep(line, Instant::now().checked_add(*time), None).map(drop)?,
                    When::Holds(condition, within) => self.hold(line, condition, *within)?,
                }
                then.as_ref().map_or(Ok(()), |attempt| self.attempt(line, attempt))?;
            }
            Statement::Every { .. } => self.beside.extend(Beside::of(line)),
            Statement::Repeat { limit, body } => {
                let mut passes = Running::new(limit);
                let outer = self.endless;
                self.endless |= passes.is_endless();
                while !passes.is_over(self.steering, Instant::now()) {
                    if self.body(body, Instant::now())?.is_break() {
                        return Ok(Break(()));
                    }
                    passes.count();
                }
                self.endless = outer;
            }
            Statement::Random { seed, period, limit, kinds } => self.random(line, *seed, *period, limit, *kinds)?,
            Statement::Stop => return Ok(Break(())),
        }
        Ok(Continue(()))
    }

    /// What goes on after the last line.
    fn finish(&mut self) -> Done {
        loop {
            let Some(last) = self.beside.iter().find(|b| !b.is_endless()).or(self.beside.first()) else {
                return Ok(());
            };
            self.endless = last.is_endless();
            let line = last.line;
            let next = self.beside.iter().map(Beside::next).min();
            self.sleep(line, next, None)?;
        }
    }

    /// Waits for a condition.
    fn hold(&mut self, line: &Line, condition: &Condition, within: Option<Duration>) -> Done {
        let until = within.and_then(|within| Instant::now().checked_add(within));
        if self.sleep(line, until, Some(condition))? {
            return Ok(());
        }
        let text = format!("it did not come to that within {:?}", within.unwrap_or_default());
        Err(failed(line, Error::with(Code::Timeout, text)))
    }

    /// Sleeps until a time, for ever without one, or until a condition holds, and does meanwhile what goes on beside.
    /// Says whether the condition held.
    fn sleep(&mut self, line: &Line, until: Option<Instant>, condition: Option<&Condition>) -> Done<bool> {
        let membership = self.steering.membership();
        loop {
            // Before looking: what changes from here on ends the wait below.
            let seen = membership.changes();
            self.act_beside()?;
            if condition.is_some_and(|condition| condition.holds(self.steering)) {
                return Ok(true);
            }
            if until.is_some_and(|until| until <= Instant::now()) {
                return Ok(false);
            }
            self.check_limit(line)?;
            let next = self.beside.iter().map(Beside::next).chain(until).chain(self.deadline).min();
            match membership.wait_for_change(seen, next) {
                Err(error) if !matches!(error.code(), Code::Timeout | Code::Interrupted) => {
                    return Err(failed(line, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
    }

    fn check_limit(&self, line: &Line) -> Done {
        if self.deadline.is_none_or(|deadline| Instant::now() < deadline) {
            return Ok(());
        }
        let text = format!("the script has not ended within {:?}", self.limit.unwrap_or_default());
        Err(RunError { over_limit: true, ..failed(line, Error::with(Code::Timeout, text)) })
    }

    /// Does what is due beside.
    fn act_beside(&mut self) -> Done {
        let mut at = 0;
        while let Some(beside) = self.beside.get_mut(at) {
            let now = Instant::now();
            if beside.is_over(self.steering, now) {
                self.beside.remove(at);
                continue;
            }
            at += 1;
            if beside.due <= now {
                beside.acted(now);
                let (line, then) = (beside.line, beside.then);
                self.attempt(line, then)?;
            }
        }
        Ok(())
    }

    fn attempt(&mut self, line: &Line, attempt: &Attempt) -> Done {
        self.act(line, &attempt.action, attempt.tolerant)
    }

    /// Does something and tells of it; what fails is passed over or ends the script. Without a cluster all ends.
    fn act(&mut self, line: &Line, action: &Action, tolerant: bool) -> Done {
        let restart = &mut self.restart;
        let nobody = || Error::with(Code::PermDenied, "nobody here starts nodes");
        let outcome = action.perform(self.steering, |node| restart.as_mut().ok_or_else(nobody)?(node));
        let error = outcome.as_ref().err().filter(|e| !tolerant || e.code() == Code::CtlrNotPresent).cloned();
        self.tell(line, action.to_string(), outcome)?;
        error.map_or(Ok(()), |error| Err(failed(line, error)))
    }

    fn tell(&mut self, line: &Line, action: String, outcome: Result<Option<String>, Error>) -> Done {
        match (self.tell)(&Event { at: self.began.elapsed(), line: line.number, action, outcome }) {
            Continue(()) => Ok(()),
            Break(()) => Err(failed(line, Error::with(Code::Interrupted, "nobody wants to hear how it goes on"))),
        }
    }

    fn random(&mut self, line: &Line, seed: Option<u64>, period: Duration, limit: &Limit, kinds: Kinds) -> Done {
        let seed = match seed {
            Some(seed) => seed,
            None => {
                let bytes = rsm_shm::address::random_secret().map_err(|error| failed(line, error))?;
                let [a, b, c, d, ..] = bytes;
                let seed = u32::from_le_bytes([a, b, c, d]).into();
                // So that what it finds can be found again.
                self.tell(line, format!("random seed {seed}"), Ok(None))?;
                seed
            }
        };
        let registry = self.steering.membership().registry();
        let controllers = self.steering.membership().shared_controllers();
        let names = controllers.into_iter().map(|index| registry.controllers[index as usize].name());
        let mut draws = Draws::new(seed, registry.header.node_count(), names.collect(), kinds);
        let ended = self.draw_all(line, &mut draws, period, limit);
        if !ended.as_ref().is_err_and(|stopped| stopped.error.code() == Code::CtlrNotPresent) {
            for action in draws.undo() {
                // As far as it can be done: what fails here was told.
                let _ = self.act(line, &action, true);
            }
        }
        ended
    }

    fn draw_all(&mut self, line: &Line, draws: &mut Draws, period: Duration, limit: &Limit) -> Done {
        let mut steps = Running::new(limit);
        let outer = self.endless;
        self.endless |= steps.is_endless();
        loop {
            let next = Instant::now().checked_add(period);
            let until = next.into_iter().chain(steps.end()).min();
            self.sleep(line, until, None)?;
            if steps.is_over(self.steering, Instant::now()) {
                self.endless = outer;
                return Ok(());
            }
            match draws.next() {
                Draw::Do(action) => self.act(line, &action, true)?,
                Draw::RevokeAny(node, number) => {
                    let segments = self.steering.observer().segments();
                    let ids: Vec<_> = segments.iter().filter(|s| s.node == node).filter_map(|s| s.id).collect();
                    if ids.is_empty() {
                        self.tell(line, format!("segment revoke {node}"), Ok(Some("it publishes none".to_owned())))?;
                    } else {
                        let id = ids[(number % ids.len() as u64) as usize];
                        self.act(line, &Action::Revoke(node, rsm::SegmentId::new(id)), true)?;
                    }
                }
            }
            steps.count();
        }
    }
}
