//! `perf`: what operations cost between two nodes. The measuring is in the crate `rsm_perf`; here are the cluster, the
//! two processes that are this program started again, and the answers.

mod args;
mod json;

use std::ffi::OsString;

use rsm::observe::Observer;
use rsm_perf::machine::{self, Machine};
use rsm_perf::measure::{Outcome, measure};
use rsm_perf::ops::{OPS, Op};
use rsm_perf::pair::{Broken, Pair, Program};
use rsm_perf::report;

pub(crate) use args::PerfArgs;

use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};
use crate::print;

/// Does what was asked.
pub(crate) fn perform(args: &PerfArgs) -> Result<ExitCode, Failure> {
    if args.party {
        let code = rsm_perf::party::serve(|link| Ok(Box::new(rsm_perf::rsm_party::RsmParty::join(link)?)));
        return Ok(if code == std::process::ExitCode::SUCCESS { ExitCode::Success } else { ExitCode::Failure });
    }
    if args.list {
        return print::answer(&list());
    }
    let cpus = if args.no_pin { None } else { args.cpus.or_else(machine::choose) };
    let machine = Machine::look(cpus);
    for warning in &machine.warnings {
        print::warning(warning);
    }
    let stage = Stage::set(args)?;
    let chosen: Vec<&'static Op> = if args.op.is_empty() { OPS.iter().collect() } else { args.op.clone() };
    let plan: Vec<(&Op, Vec<usize>)> = chosen.into_iter().map(|op| (op, op.sizes(&args.sizes))).collect();
    let room = plan.iter().flat_map(|(_, sizes)| sizes).copied().max().unwrap_or(8);

    // A pair most often breaks because the cluster has ended, and then that is the better thing to say.
    let broken = |Broken(text): Broken| Failure::new(stage.still_there().map_or_else(|Broken(gone)| gone, |()| text));
    let mut pairs = vec![Pair::start(&stage.program(&own_program()?), cpus, room).map_err(broken)?];
    for program in &args.also {
        pairs.push(Pair::start(&stage.program(&[program.into()]), cpus, room).map_err(broken)?);
    }
    if !args.json {
        let code = print::answer(&format!("# {}\n# {}\n{}\n", stage.line, machine.line(), report::COLUMNS))?;
        if code != ExitCode::Success {
            return Ok(code);
        }
    }
    let mut outcomes = Vec::new();
    for (op, sizes) in plan {
        let mut text = report::heading(op) + "\n";
        for size in sizes {
            let mut turn: Vec<&mut Pair> = pairs.iter_mut().collect();
            let found = measure(&mut turn, op, size, args.time, || stage.still_there()).map_err(broken)?;
            for outcome in &found {
                text += &report::row(op, outcome);
                text.push('\n');
            }
            outcomes.extend(found);
            if !args.json {
                let code = print::answer(&std::mem::take(&mut text))?;
                if code != ExitCode::Success {
                    return Ok(code);
                }
            }
        }
    }
    finish(args, &machine, &outcomes)
}

fn finish(args: &PerfArgs, machine: &Machine, outcomes: &[Outcome]) -> Result<ExitCode, Failure> {
    if args.json {
        return print::answer(&json::render(machine, machine::load(), outcomes));
    }
    Ok(ExitCode::Success)
}

/// The operations, a line each.
fn list() -> String {
    OPS.iter()
        .map(|op| {
            let sizes = if op.has_one_size() { String::new() } else { format!("  [{}]", sizes(op)) };
            format!("{:<16}{}{sizes}\n", op.name, op.what)
        })
        .collect()
}

fn sizes(op: &Op) -> String {
    op.sizes.iter().map(|&size| report::bytes(size)).collect::<Vec<_>>().join(", ")
}

/// This program as a party.
fn own_program() -> Result<Vec<OsString>, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::system("cannot find this program", error))?;
    Ok(vec![program.into(), "perf".into(), "--party".into()])
}

/// The cluster to measure in.
struct Stage {
    /// Each side's node, as its process's environment.
    environment: [Vec<(String, String)>; 2],
    /// What it is, for the first line.
    line: String,
    running: Option<Observer>,
    /// A private one; ends with this.
    _private: Option<rsm::Cluster>,
}

impl Stage {
    fn set(args: &PerfArgs) -> Result<Stage, Failure> {
        let [a, b] = args.nodes;
        if let Some(name) = &args.cluster {
            let observer = Observer::attach(Some(name))?;
            let environment = [environment_of(&observer, a)?, environment_of(&observer, b)?];
            let line = format!("cluster {}: node {a} imports from node {b}", observer.cluster().name);
            return Ok(Stage { environment, line, running: Some(observer), _private: None });
        }
        let cluster = rsm::Cluster::new(a.max(b))?;
        let environment = |node| -> Result<Vec<(String, String)>, Failure> {
            Ok(cluster.environment(node)?.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        };
        let environment = [environment(a)?, environment(b)?];
        let line = format!("a private cluster: node {a} imports from node {b}");
        Ok(Stage { environment, line, running: None, _private: Some(cluster) })
    }

    fn program(&self, command: &[OsString]) -> Program {
        Program { command: command.to_vec(), launcher: false, environment: self.environment.clone() }
    }

    /// Whether the cluster has ended meanwhile, which the data path does not notice.
    fn still_there(&self) -> Result<(), Broken> {
        match &self.running {
            Some(observer) if observer.is_gone() => {
                let name = observer.cluster().name;
                Err(Broken(format!("the cluster {name:?} has ended in the middle of the measurement")))
            }
            _ => Ok(()),
        }
    }
}

/// The environment that makes a process part of the node: that of a process which is.
fn environment_of(observer: &Observer, node: u32) -> Result<Vec<(String, String)>, Failure> {
    let info = observer.nodes().into_iter().find(|info| info.node == node);
    let Some(info) = info else {
        let cluster = observer.cluster();
        return Err(Failure::new(format!(
            "cluster {:?} has nodes 1 to {}, no node {node}",
            cluster.name, cluster.nodes
        )));
    };
    let Some(pid) = info.pid else {
        return Err(Failure::new(format!(
            "no process of node {node} has joined, so there is none to learn its key from"
        )));
    };
    let path = format!("/proc/{pid}/environ");
    let bytes = std::fs::read(&path).map_err(|e| Failure::new(format!("cannot read {path}: {}", reason(&e))))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let found: Vec<(String, String)> = text
        .split('\0')
        .filter(|entry| entry.starts_with("RSM_"))
        .filter_map(|entry| entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    if found.iter().any(|(name, _)| name == "RSM_NODE_KEY") {
        return Ok(found);
    }
    Err(Failure::new(format!(
        "process {pid} of node {node} was not started with the node's key; it joined from inside"
    )))
}
