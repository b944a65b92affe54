//! `perf`: what operations cost between two nodes. The measuring is in the crate `rsm_perf`; here are the cluster, the
//! two processes that are this program started again, and the answers.

mod args;
mod json;

use std::cell::RefCell;
use std::ffi::OsString;

use rsm::lens::Lens;
use rsm::observe::Observer;
use rsm::steer::Steering;
use rsm_perf::machine::{self, Machine};
use rsm_perf::measure::{Outcome, measure};
use rsm_perf::modelled::{self, MODELLED};
use rsm_perf::ops::{OPS, Op};
use rsm_perf::pair::{Broken, Pair, Program};
use rsm_perf::report;

pub(crate) use args::PerfArgs;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// Does what was asked.
pub(crate) fn perform(args: &PerfArgs) -> Result<ExitCode, Failure> {
    if args.party {
        let code = rsm_perf::serve::serve(|link| Ok(Box::new(rsm_perf::rsm_party::RsmParty::join(link)?)));
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
    let chosen = chosen(args)?;
    let plan: Vec<(&Op, Vec<usize>)> = chosen.into_iter().map(|op| (op, op.sizes(&args.sizes))).collect();
    let room = plan.iter().flat_map(|(_, sizes)| sizes).copied().max().unwrap_or(8);

    // A pair most often breaks because the cluster has ended, and then that is the better thing to say.
    let broken = |Broken(text): Broken| Failure::new(stage.still_there().map_or_else(|Broken(gone)| gone, |()| text));
    let mut pairs = vec![Pair::start(&stage.program(&own_program()?)?, cpus, room).map_err(broken)?];
    for program in &args.also {
        pairs.push(Pair::start(&stage.program(&[program.into()])?, cpus, room).map_err(broken)?);
    }
    if args.profile.is_some() {
        // What does not go through the cluster takes as long as it does, or no time at all.
        pairs.iter_mut().for_each(Pair::forget_raw);
    }
    if !args.json {
        let columns = if args.profile.is_some() { modelled::COLUMNS } else { report::COLUMNS };
        let code = print::answer(&format!("# {}\n# {}\n{columns}\n", stage.line, machine.line()))?;
        if code != ExitCode::Success {
            return Ok(code);
        }
    }
    let mut outcomes = Vec::new();
    for (op, sizes) in plan {
        let mut text = if args.profile.is_some() { String::new() } else { report::heading(op) + "\n" };
        for size in sizes {
            let mut turn: Vec<&mut Pair> = pairs.iter_mut().collect();
            let found = measure(&mut turn, op, size, args.time, || stage.still_there()).map_err(broken)?;
            for outcome in &found {
                text += &match args.profile {
                    Some(profile) => modelled::row(profile, op, outcome),
                    None => report::row(op, outcome),
                };
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
        return print::answer(&json::render(machine, machine::load(), args.profile, outcomes));
    }
    Ok(ExitCode::Success)
}

/// The operations that are to be measured.
fn chosen(args: &PerfArgs) -> Result<Vec<&'static Op>, Failure> {
    let all: Vec<&'static Op> = if args.op.is_empty() { OPS.iter().collect() } else { args.op.clone() };
    if args.profile.is_none() {
        return Ok(all);
    }
    let (modelled, other): (Vec<&Op>, Vec<&Op>) = all.into_iter().partition(|op| MODELLED.contains(&op.name));
    match other.first().filter(|_| !args.op.is_empty()) {
        Some(op) => {
            let names = MODELLED.join(", ");
            Err(Failure::usage(format!("no profile says what {:?} takes; of these it does: {names}", op.name)))
        }
        None => Ok(modelled),
    }
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

/// Where to measure.
struct Stage {
    nodes: [u32; 2],
    /// What it is, for the first line.
    line: String,
    /// A cluster that runs; otherwise each pair gets a private one, which ends with this. Pairs that wait for their turn
    /// would otherwise count as processes of the same cluster, and waits do not spin where there are more of those than
    /// processors.
    running: Option<(Steering, Observer)>,
    private: RefCell<Vec<rsm::Cluster>>,
    /// What private ones are seen through.
    lens: Option<Lens>,
}

impl Stage {
    fn set(args: &PerfArgs) -> Result<Stage, Failure> {
        let nodes = args.nodes;
        let attach = |name: &String| {
            let steering = Steering::attach(Some(name))?;
            let observer = steering.observer();
            Ok::<_, Failure>((steering, observer))
        };
        let running = args.cluster.as_ref().map(attach).transpose()?;
        let place = match &running {
            Some((_, observer)) => format!("cluster {}", observer.cluster().name),
            None => "a private cluster".to_owned(),
        };
        let lens = args.profile.map(|profile| Lens { is_virtual: args.is_virtual, ..Lens::clear(0).profile(profile) });
        let place = match args.profile {
            Some(profile) if args.is_virtual => {
                format!("{place} with profile {profile}, all times modelled, by virtual clocks")
            }
            Some(profile) => format!("{place} with profile {profile}, all times modelled"),
            None => place,
        };
        let line = format!("{place}: node {} imports from node {}", nodes[0], nodes[1]);
        Ok(Stage { nodes, line, running, private: RefCell::default(), lens })
    }

    /// The program as two processes, one for each node.
    fn program(&self, command: &[OsString]) -> Result<Program, Failure> {
        let [a, b] = self.nodes;
        let environment = match &self.running {
            Some((steering, _)) => [owned(steering.environment(a)?), owned(steering.environment(b)?)],
            None => {
                let mut builder = rsm::Cluster::builder(a.max(b));
                if let Some(lens) = self.lens {
                    builder = builder.lens(lens);
                }
                let cluster = builder.start()?;
                let environment = [owned(cluster.environment(a)?), owned(cluster.environment(b)?)];
                self.private.borrow_mut().push(cluster);
                environment
            }
        };
        Ok(Program { command: command.to_vec(), launcher: false, environment })
    }

    /// Whether the cluster has ended meanwhile, which the data path does not notice.
    fn still_there(&self) -> Result<(), Broken> {
        match &self.running {
            Some((_, observer)) if observer.is_gone() => {
                let name = observer.cluster().name;
                Err(Broken(format!("the cluster {name:?} has ended in the middle of the measurement")))
            }
            _ => Ok(()),
        }
    }
}

/// An environment as programs are given it.
fn owned(environment: Vec<(&'static str, String)>) -> Vec<(String, String)> {
    environment.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
