//! `rsm-ctl run`: a cluster, a program on each node, and nothing left behind.
//!
//! Two processes do it. The *front* ([`front`]) is the one the user started: terminal, signals, exit code, output of the
//! nodes ([`output`]). The *warden* ([`warden`]), forked from it before anything else runs, hosts the agent and is the
//! parent of all nodes ([`node`]). They talk through [`link`] in the few messages of [`message`]. Each holds a pidfd of
//! the other and both are subreapers, so whichever is SIGKILLed, the other finds every process of every node among its
//! own descendants and ends them ([`descendants`]). When to end what is decided in [`supervision`], which knows no
//! processes.

mod descendants;
mod ending;
mod example;
mod front;
mod link;
mod message;
mod node;
mod notice;
mod output;
mod program;
pub(crate) mod signals;
mod status;
mod supervision;
mod warden;

use std::time::Duration;

use rustix::process::{Resource, Rlimit, Signal, getrlimit};

use crate::cli::{RunArgs, Verbosity};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::process;
use program::Program;

/// Everything there is to know about a run before it starts.
pub(crate) struct Plan {
    nodes: u32,
    name: Option<String>,
    program: Program,
    tag_output: bool,
    keep_going: bool,
    grace: Duration,
    timeout: Option<Duration>,
    verbosity: Verbosity,
    /// The user's limit, before front and warden raise theirs: what nodes start with.
    descriptors: Rlimit,
}

/// Starts a cluster, runs the program on every node, and says how it went.
pub(crate) fn perform(args: RunArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    process::use_default_action(Signal::CHILD);
    let program = match &args.example {
        Some(example) => {
            Program { path: example::build(example, verbosity)?, name: example.clone(), arguments: args.words }
        }
        None => {
            let mut words = args.words.into_iter();
            let name = words.next().expect("the command line was refused without a program");
            Program { path: program::find(&name)?, name, arguments: words.collect() }
        }
    };
    front::run(Plan {
        nodes: args.n,
        name: args.name,
        program,
        tag_output: args.tag_output,
        keep_going: args.keep_going,
        grace: args.grace,
        timeout: args.timeout,
        verbosity,
        descriptors: getrlimit(Resource::Nofile),
    })
}
