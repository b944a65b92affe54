//! What the lines of a script say.

use super::action::Action;
use super::condition::Condition;
use super::random::Kinds;
use std::time::Duration;

/// A statement and the line it stands in.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) number: usize,
    /// The line as it was written, for messages.
    pub(super) text: String,
    pub(super) statement: Statement,
}

#[derive(Clone, Debug)]
pub(super) enum Statement {
    /// Waits and acts.
    Once { when: When, then: Option<Attempt> },
    /// Acts again and again, beside the statements that follow.
    Every { period: Duration, then: Attempt, limit: Limit },
    /// Carries out what stands in it, again and again.
    Repeat { limit: Limit, body: Vec<Line> },
    /// Acts as chance decides.
    Random { seed: Option<u64>, period: Duration, limit: Limit, kinds: Kinds },
    /// Ends the script.
    Stop,
}

/// An action, and whether the script goes on when it fails.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) action: Action,
    pub(super) tolerant: bool,
}

#[derive(Clone, Debug)]
pub(super) enum When {
    Now,
    /// This long after the script, or the pass of the innermost repeat, began.
    At(Duration),
    After(Duration),
    Holds(Condition, Option<Duration>),
}

/// When something that goes on ends.
#[derive(Clone, Debug)]
pub(super) enum Limit {
    None,
    Times(u64),
    For(Duration),
    Until(Condition),
}

impl Statement {
    /// What it waits for or ends with.
    pub(super) fn condition(&self) -> Option<&Condition> {
        match self {
            Statement::Once { when: When::Holds(condition, _), .. }
            | Statement::Every { limit: Limit::Until(condition), .. }
            | Statement::Repeat { limit: Limit::Until(condition), .. }
            | Statement::Random { limit: Limit::Until(condition), .. } => Some(condition),
            _ => None,
        }
    }

    /// Whether it acts at once, and on no node.
    pub(super) fn needs_no_node(&self) -> bool {
        let Statement::Once { when: When::Now, then } = self else { return false };
        let on_node = |then: &Attempt| matches!(then.action, Action::Node(..) | Action::Restart(_));
        !then.as_ref().is_some_and(on_node)
    }

    /// Whether carrying it out takes time: something that is repeated must.
    pub(super) fn pauses(&self) -> bool {
        match self {
            Statement::Once { when: When::At(time) | When::After(time), .. } => !time.is_zero(),
            Statement::Repeat { body, .. } => body.iter().any(|line| line.statement.pauses()),
            Statement::Random { .. } | Statement::Stop => true,
            Statement::Once { .. } | Statement::Every { .. } => false,
        }
    }
}

/// Whether any of these lines starts a node again.
pub(super) fn restart(lines: &[Line]) -> bool {
    lines.iter().any(|line| match &line.statement {
        Statement::Once { then: Some(then), .. } | Statement::Every { then, .. } => {
            matches!(then.action, Action::Restart(_))
        }
        Statement::Repeat { body, .. } => restart(body),
        Statement::Once { then: None, .. } | Statement::Random { .. } | Statement::Stop => false,
    })
}
