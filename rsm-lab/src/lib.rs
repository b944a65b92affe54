//! Fault scripts for clusters of [rsm](https://crates.io/crates/rsm): they disturb a cluster at times and on conditions.
//!
//! One statement to a line; `#` starts a comment. Statements are carried out one after the other:
//!
//! ```text
//! at 500ms link down 1 2                 # half a second after the script began
//! after 200ms link up 1 2                # and 200 ms later
//! when node 2 has published 0x400001 then link error 1 2
//! when all nodes have joined within 10s then node stop 3
//! every 200ms link error 1 2 for 5s      # goes on beside the lines that follow
//! repeat 3 times
//!   after 1s segment revoke 2 0x400001
//!   when node 2 has published 0x400001 then say published again
//! end
//! try node kill 3                        # a failure is reported and passed over
//! random seed 7 for 10s every 50ms: link, node, segment
//! ```
//!
//! | statement | |
//! |---|---|
//! | `at TIME [ACTION]` | waits until TIME after the script, or the pass of the `repeat` around it, began |
//! | `after TIME [ACTION]` | waits that long |
//! | `when CONDITION [within TIME] [then ACTION]` | waits until it holds; that it does not within TIME ends the script |
//! | `ACTION` | at once |
//! | `every TIME ACTION [LIMIT]`, `every TIME LIMIT ACTION` | again and again, beside what follows |
//! | `repeat [LIMIT]` … `end` | the lines between, again and again; a pass that has begun is finished |
//! | `random [seed N] [LIMIT] [every TIME] [: KINDS]` | what chance decides; without a limit for ever, without a time every 100 ms |
//! | `stop` | ends the script and every `every` |
//!
//! A LIMIT is `N times`, `for TIME`, or `until CONDITION`. The script ends with its last line and the last `every` that
//! has a limit; one without goes on until the cluster ends.
//!
//! Actions: `link down|up|error A B [one-way] [through CONTROLLER]`, `node kill|stop|cont|restart K`, `segment revoke K ID`,
//! `say TEXT`; before all but the last `try`, which passes over failures. Conditions, joined by `and`: `node K has [not]
//! joined`, `node K has left`, `node K has [not] published ID`, `node K has [not] connected to J`, `all nodes have
//! joined`, `link A B [one-way] [through CONTROLLER] is [not] down|up|active`. Times have a unit: `500ms`, `1.5s`, `2m`, `1h`.
//!
//! `node restart K` kills what is left of a node and starts its programs again. Only who runs them can:
//! [`Script::run_with_restarts`], which is what `rsm-ctl run --script` uses.
//!
//! Kinds of `random` are `link` (down, and up again; errors), `node` (stop, and continue again), `segment` (revoke one of
//! those that are published) and `kill` (a node); without any all but `kill`. The same seed draws the same sequence for
//! clusters of the same nodes and controllers, whatever happens in them meanwhile. At its end it brings up the links that
//! it took down, and continues the nodes that it stopped.
//!
//! Conditions are looked at whenever the registry changes: what holds only for a moment may be missed.
//!
//! ```
//! use rsm_lab::Script;
//! use std::ops::ControlFlow;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = rsm::Cluster::new(2)?;
//! let script = Script::parse("when node 1 has joined then link error 1 2\n after 10ms link down 1 2")?;
//! let node = cluster.node(1)?;
//! let mut lines = Vec::new();
//! script.run(&cluster.steering()?, None, |event| {
//!     lines.push(event.to_string());
//!     ControlFlow::Continue(())
//! })?;
//! assert!(lines[1].ends_with("link down 1 2: 0 imports aborted"));
//!
//! let error = Script::parse("link dawn 1 2").unwrap_err();
//! assert_eq!(error.to_string(), "1:6: expected \"down\", \"up\" or \"error\", found \"dawn\"");
//! # Ok(())
//! # }
//! ```

mod action;
mod beside;
mod condition;
mod parse;
mod random;
mod run;
mod statement;
pub mod trace;
mod words;

pub use run::{Event, RunError};
pub use words::ParseError;

use rsm::steer::Steering;
use statement::Line;
use std::ops::ControlFlow;
use std::time::Duration;

/// A script that has been parsed.
#[derive(Clone, Debug)]
pub struct Script {
    lines: Vec<Line>,
}

impl Script {
    /// Parses a script.
    ///
    /// # Errors
    /// Where it is not understood: line, column, and what may stand there.
    pub fn parse(text: &str) -> Result<Script, ParseError> {
        parse::script(text).map(|lines| Script { lines })
    }

    /// Carries the script out and tells of every action, for as long as `tell` wants to go on. Returns at the script's end, or,
    /// when nothing is left but what has no limit, at the cluster's; sleeps in between.
    ///
    /// # Errors
    /// Says at which line, and what: a node or controller that the cluster does not have (before anything is done), an
    /// action that failed, a `within` that was over, a `node restart` (before anything is done as well: see
    /// [`run_with_restarts`](Self::run_with_restarts)). The code is that of the call that failed, TIMEOUT when `limit` is
    /// over, CTLR_NOT_PRESENT when the cluster has ended before the script, INTERRUPTED when `tell` broke it off.
    pub fn run(
        &self,
        steering: &Steering,
        limit: Option<Duration>,
        tell: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), RunError> {
        run::run(&self.lines, steering, limit, None::<fn(u32) -> rsm::Result<u32>>, tell)
    }

    /// Carries the script out as [`run`](Self::run) does, for somebody who runs the processes of the nodes: `restart` ends
    /// those of a node that are left, starts them again, and says how many.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub fn run_with_restarts(
        &self,
        steering: &Steering,
        limit: Option<Duration>,
        restart: impl FnMut(u32) -> rsm::Result<u32>,
        tell: impl FnMut(&Event) -> ControlFlow<()>,
    ) -> Result<(), RunError> {
        run::run(&self.lines, steering, limit, Some(restart), tell)
    }

    /// Whether the cluster has all that the script names, whatever it can start again.
    ///
    /// # Errors
    /// As [`run`](Self::run) before anything is done.
    pub fn check(&self, steering: &Steering) -> Result<(), RunError> {
        run::check(&self.lines, steering, true)
    }

    /// The script in two: what it does to links and segments before it first waits or does anything to a node, and the rest. Who
    /// starts nodes carries out the first before any of them is there.
    pub fn split(mut self) -> (Script, Script) {
        let head = self.lines.iter().take_while(|line| line.statement.needs_no_node()).count();
        let rest = self.lines.split_off(head);
        (self, Script { lines: rest })
    }

    /// Whether the script may start a node again.
    pub fn restarts(&self) -> bool {
        statement::restart(&self.lines)
    }
}
