//! What front and warden have to tell each other.

use rustix::process::{Pid, RawPid, Signal};
use serde::{Deserialize, Serialize};

use crate::calls::ProcessCalls;
use crate::exit_code::ExitCode;
use crate::races::Looked;
use crate::status::Status;
use crate::supervision::Blame;

/// From the program that a run belongs to, to the front.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToOwned {
    /// End the run: politely the first time, firmly the second.
    End,
    /// Kill everything at once.
    Kill,
}

/// From the front, which hears the user.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToWarden {
    /// Ask every node to end with this signal; after the grace they are killed. `code` is the run's, if nothing came first.
    End { signal: Number, code: ExitCode },
    /// Kill everything at once.
    Kill { code: ExitCode },
    /// Pass a signal to the nodes' processes.
    Forward { signal: Number },
    /// Stop every process of every node, then say [`ToFront::Suspended`].
    Suspend,
    /// Continue them.
    Resume,
}

/// From the warden, which sees the nodes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToFront {
    /// The run cannot start.
    Refused { code: ExitCode, message: String },
    /// The cluster runs, and these are its processes in the order of the plan.
    Started { cluster: String, processes: Vec<RawPid> },
    /// The process with this index in the plan ended, with a core or without.
    Ended { index: usize, process: RawPid, status: Status, core: bool, blame: Blame },
    /// All nodes ended well, and these processes that they left go on.
    Left { processes: Vec<RawPid> },
    /// The time is up; the processes with these indices are being ended.
    TimedOut { running: Vec<usize>, hangs: Vec<Hang> },
    /// The processes of a node were ended and start again; the one with this index is another now.
    Restarted { index: usize, process: RawPid },
    /// The script did something.
    Scripted { line: String },
    /// The script failed, or could not be carried out to its end.
    ScriptFailed { why: String },
    /// The trace could not be written to its end.
    TraceFailed { why: String },
    /// Where the threads of a process are.
    Stacks { text: String },
    /// The cluster has ended, or somebody ends it, and so what this command started in it.
    ClusterEnds { why: String },
    /// The process with this index, or one that is none of the plan's, has the run end with this code.
    RunEnds { index: Option<usize>, process: RawPid, code: u8 },
    /// These processes are left and cannot be ended: number, name and user of each.
    Escaped { processes: Vec<String> },
    /// Every process of every node is stopped.
    Suspended,
    /// What nodes say of stores and signals that were late, in a run that failed.
    Late { lines: Vec<String> },
    /// How races were looked for, and one that was found; each in a message of its own.
    Looked { looked: Looked },
    /// How long calls of nodes would have taken, in a run that adds that up.
    Modelled { line: String },
    /// What a process says of its calls: the first message of it, or more points.
    Calls { calls: ProcessCalls, more: bool },
    /// What the cluster still had when all processes had ended.
    Leftovers { lines: Vec<String> },
    /// No process of any node is left and the cluster has ended: the last message.
    Finished { code: ExitCode },
}

/// What a process of a node waits for, as a sentence about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hang {
    pub(crate) node: u32,
    /// 0 where it is about the node.
    pub(crate) process: RawPid,
    pub(crate) text: String,
}

/// A signal on its way between two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Number(i32);

impl From<Signal> for Number {
    fn from(signal: Signal) -> Number {
        Number(signal.as_raw())
    }
}

impl From<Number> for Signal {
    fn from(number: Number) -> Signal {
        Signal::from_named_raw(number.0).unwrap_or(Signal::TERM)
    }
}

/// Process ids as messages carry them.
pub(crate) fn raw(processes: &[Pid]) -> Vec<RawPid> {
    processes.iter().map(|process| process.as_raw_pid()).collect()
}
