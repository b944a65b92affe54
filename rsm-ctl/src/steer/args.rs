//! What the commands that disturb a cluster can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rsm::SegmentId;

use crate::{duration, number};

/// Which cluster is meant.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The cluster to disturb, another user's as rsm:UID:NAME; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
}

/// What `link` can be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Down aborts the imports through the link: their transfers, barriers and waits say CONN_ABORTED, connects say
REMOTE_NODE_UNREACHABLE. It stays down, whoever leaves and joins, until it is brought up; imports that were aborted stay
so. An error fails the spans and implicit transfers that are under way with BARRIER_FAILURE; connections go on.")]
pub(crate) struct LinkArgs {
    /// What to do with the link
    pub(crate) verb: LinkVerb,
    /// A node
    #[arg(value_name = "A", value_parser = number::node)]
    pub(crate) from: u32,
    /// The other node; a node has a link to itself as well
    #[arg(value_name = "B", value_parser = number::node)]
    pub(crate) to: u32,
    /// Only imports of node A from node B; without it both directions
    #[arg(long)]
    pub(crate) one_way: bool,
    /// Only through this controller; without it through all but loopback
    #[arg(long, value_name = "NAME")]
    pub(crate) controller: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What can be done with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LinkVerb {
    /// Take it down until it is brought up
    Down,
    /// Bring it up
    Up,
    /// Count an error on it
    Error,
}

/// What `node` can be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Acts on the processes that have joined as the node, not on others that they have started.")]
pub(crate) struct NodeArgs {
    /// What to do with its processes
    pub(crate) verb: NodeVerb,
    /// The node
    #[arg(value_name = "K", value_parser = number::node)]
    pub(crate) node: u32,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What can be done with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NodeVerb {
    /// SIGKILL
    Kill,
    /// SIGSTOP
    Stop,
    /// SIGCONT
    Cont,
}

/// What `segment` can be told.
#[derive(Debug, Args)]
#[command(after_help = "\
A revoked segment is no longer published: its imports are aborted and its id is free. The exporter keeps the memory and
may publish it again.")]
pub(crate) struct SegmentArgs {
    /// What to do with it
    pub(crate) verb: SegmentVerb,
    /// The exporting node
    #[arg(value_parser = number::node)]
    pub(crate) node: u32,
    /// Its id: 0x400001, or decimal
    #[arg(value_parser = segment_id)]
    pub(crate) id: SegmentId,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What can be done with a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SegmentVerb {
    /// Take it from its exporter
    Revoke,
}

fn segment_id(text: &str) -> Result<SegmentId, String> {
    text.parse().map_err(|error: rsm::Error| error.detail().to_owned())
}

/// What `script` can be told.
#[derive(Debug, Args)]
#[command(after_help = "\
One statement to a line, carried out one after the other; # starts a comment.

  at TIME [ACTION]          waits until TIME after the script, or the pass of the repeat around it, began
  after TIME [ACTION]       waits that long
  when CONDITION [within TIME] [then ACTION]   waits until it holds
  ACTION                    at once
  every TIME ACTION [LIMIT] again and again, beside what follows; or: every TIME LIMIT ACTION
  repeat [LIMIT] ... end    the lines between, again and again
  random [seed N] [LIMIT] [every TIME] [: link, node, segment, kill]   what chance decides
  stop                      ends the script

LIMIT      N times | for TIME | until CONDITION
ACTION     [try] link down|up|error A B [one-way] [through CONTROLLER] | [try] node kill|stop|cont|restart K
           [try] segment revoke K ID | say TEXT            (try: a failure is told and passed over)
           node restart: only in the script of a run (`rsm-ctl run --script FILE`), which starts the node's programs again
CONDITION  node K has [not] joined | node K has left | node K has [not] published ID | all nodes have joined
           node K has [not] connected to J | link A B [one-way] [through CONTROLLER] is [not] down|up|active
           joined by \"and\"
TIME       500ms, 1.5s, 2m, 1h

Example:
  when node 2 has published 0x400001 then link down 1 2
  after 500ms link up 1 2
  every 200ms link error 1 2 for 5s

Every action is a line on standard output, with its time. The script ends with its last line and the last \"every\" that
has a LIMIT; one without goes on until the cluster ends. An action that fails, and a cluster that ends before the script,
are failures.")]
pub(crate) struct ScriptArgs {
    /// The script; - is standard input
    #[arg(value_name = "FILE", required_unless_present = "random", conflicts_with = "random")]
    pub(crate) file: Option<PathBuf>,
    /// Disturb at random instead of by a script; the same SEED gives the same sequence
    #[arg(long, value_name = "SEED", value_parser = number::seed)]
    pub(crate) random: Option<u64>,
    /// With --random: for how long; without it until the cluster ends
    #[arg(long = "for", value_name = "TIME", requires = "random", conflicts_with = "file", value_parser = duration::parse_positive)]
    pub(crate) length: Option<Duration>,
    /// With --random: how often; without it every 100ms
    #[arg(long, value_name = "TIME", requires = "random", conflicts_with = "file", value_parser = duration::parse_positive)]
    pub(crate) every: Option<Duration>,
    /// With --random: what may happen; without it link,node,segment
    #[arg(long, value_name = "KINDS", requires = "random", conflicts_with = "file", value_delimiter = ',')]
    pub(crate) of: Vec<Kind>,
    /// End the script after this time, as a failure
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    pub(crate) timeout: Option<Duration>,
    /// Only say whether the script is understood
    #[arg(long)]
    pub(crate) check: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What chance may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Links go down and up, and have errors
    Link,
    /// Nodes stop and go on
    Node,
    /// Segments are revoked
    Segment,
    /// Nodes are killed
    Kill,
}
