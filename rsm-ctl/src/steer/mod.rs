//! Disturbing a running cluster: what is asked is done here, one round trip to the agent each.

pub(crate) mod args;
pub(crate) mod script;

use rsm::steer::{Links, Steering};
use rsm_run::verbosity::Verbosity;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::number::counted;
use crate::print;
use args::{LinkArgs, LinkVerb, NodeArgs, NodeVerb, SegmentArgs, SegmentVerb, Target};

impl Target {
    fn steering(&self) -> Result<Steering, Failure> {
        Ok(Steering::attach(self.cluster.as_deref())?)
    }
}

/// Changes links.
pub(crate) fn link(args: &LinkArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    let steering = args.target.steering()?;
    let (from, to) = (args.from, args.to);
    let mut links = if args.one_way { Links::one_way(from, to) } else { Links::between(from, to) };
    if let Some(controller) = &args.controller {
        links = links.through(controller);
    }
    match args.verb {
        LinkVerb::Down => {
            let count = steering.link_down(&links)?;
            news(verbosity, &format!("link {links} is down: {}", aborted(count)))
        }
        LinkVerb::Up => {
            steering.link_up(&links)?;
            Ok(done(verbosity, &format!("link {links} is up")))
        }
        LinkVerb::Error => {
            steering.link_error(&links)?;
            Ok(done(verbosity, &format!("link {links} has one more error")))
        }
    }
}

/// Signals the processes of a node.
pub(crate) fn node(args: &NodeArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    let steering = args.target.steering()?;
    let (count, what) = match args.verb {
        NodeVerb::Kill => (steering.node_kill(args.node)?, "killed"),
        NodeVerb::Stop => (steering.node_stop(args.node)?, "stopped"),
        NodeVerb::Cont => (steering.node_cont(args.node)?, "continued"),
    };
    news(verbosity, &format!("node {}: {} {what}", args.node, counted(count, "process", "processes")))
}

/// Takes a segment from its exporter.
pub(crate) fn segment(args: &SegmentArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    let steering = args.target.steering()?;
    let SegmentVerb::Revoke = args.verb;
    let count = steering.revoke_segment(args.node, args.id)?;
    news(verbosity, &format!("segment {} of node {} is revoked: {}", args.id, args.node, aborted(count)))
}

fn aborted(count: u32) -> String {
    format!("{} aborted", counted(count, "import", "imports"))
}

/// Says what came of it, which one does not know beforehand.
fn news(verbosity: Verbosity, said: &str) -> Result<ExitCode, Failure> {
    if verbosity == Verbosity::Quiet { Ok(ExitCode::Success) } else { print::answer(&format!("{said}\n")) }
}

/// Nothing is said of what was done as asked, unless one wants to read it.
fn done(verbosity: Verbosity, said: &str) -> ExitCode {
    if verbosity == Verbosity::Verbose {
        print::remark(said);
    }
    ExitCode::Success
}
