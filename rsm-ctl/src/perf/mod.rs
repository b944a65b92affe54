//! `perf`: what operations cost between two nodes. The measuring is in the crate `rsm_perf`; here are the cluster, the
//! two processes that are this program started again, and the answers.

mod args;
mod json;
mod stage;

use std::ffi::OsString;

use rsm_perf::machine::{self, Machine};
use rsm_perf::measure::{Outcome, measure};
use rsm_perf::modelled::{self, MODELLED};
use rsm_perf::ops::{OPS, Op};
use rsm_perf::pair::{Broken, Pair};
use rsm_perf::report;
use rsm_perf::{counting, crossing};

pub(crate) use args::PerfArgs;
use stage::Stage;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// Does what was asked.
pub(crate) fn perform(args: &PerfArgs) -> Result<ExitCode, Failure> {
    if args.party {
        let join = |link: &_| Ok(Box::new(rsm_perf::rsm_party::RsmParty::join(link, &args.controller)?) as Box<_>);
        let code = rsm_perf::serve::serve(join);
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
    let chosen = chosen(args, &stage)?;
    let plan: Vec<(&Op, Vec<usize>)> = chosen.into_iter().map(|op| (op, op.sizes(&args.sizes))).collect();
    let room = plan.iter().flat_map(|(_, sizes)| sizes).copied().max().unwrap_or(8);

    // A pair most often breaks because the cluster has ended, and then that is the better thing to say.
    let broken = |Broken(text): Broken| Failure::new(stage.still_there().map_or_else(|Broken(gone)| gone, |()| text));
    let mut pairs = vec![Pair::start(&stage.program(&own_program(&args.controller)?)?, cpus, room).map_err(broken)?];
    for program in &args.also {
        pairs.push(Pair::start(&stage.program(&[program.into()])?, cpus, room).map_err(broken)?);
    }
    if args.profile.is_some() {
        // What does not go through the cluster takes as long as it does, or no time at all.
        pairs.iter_mut().for_each(Pair::forget_raw);
    }
    if !args.json {
        let columns = if args.profile.is_some() { modelled::COLUMNS } else { report::COLUMNS };
        let (about, more) = if stage.crosses() { (crossing::ABOUT, crossing::COLUMNS) } else { ("", "") };
        let code = print::answer(&format!("# {}\n# {}\n{about}{columns}{more}\n", stage.line, machine.line()))?;
        if code != ExitCode::Success {
            return Ok(code);
        }
    }
    let mut outcomes = Vec::new();
    for (op, sizes) in plan {
        let mut text = if args.profile.is_some() { String::new() } else { report::heading(op) + "\n" };
        for size in sizes {
            let mut turn: Vec<&mut Pair> = pairs.iter_mut().collect();
            let mut found = measure(&mut turn, op, size, args.time, || stage.still_there()).map_err(broken)?;
            if stage.crosses() {
                for (pair, outcome) in pairs.iter_mut().zip(&mut found) {
                    let counted = counting::count(pair, op, outcome, args.time, || stage.agents());
                    outcome.crossing = Some(counted.map_err(broken)?);
                }
            }
            for outcome in &found {
                text += &match args.profile {
                    Some(profile) => modelled::row(profile, op, outcome),
                    None => report::row(op, outcome),
                };
                text += &outcome.crossing.as_ref().map(crossing::cells).unwrap_or_default();
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
fn chosen(args: &PerfArgs, stage: &Stage) -> Result<Vec<&'static Op>, Failure> {
    let mut all: Vec<&'static Op> = if args.op.is_empty() { OPS.iter().collect() } else { args.op.clone() };
    if stage.crosses() {
        if let Some(op) = all.iter().find(|op| !args.op.is_empty() && !crossing::crosses(op)) {
            let text = format!("{:?} cannot be measured over a bridge: memory of another host has no atomics", op.name);
            return Err(Failure::usage(text));
        }
        all.retain(|op| crossing::crosses(op));
    }
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
fn own_program(controller: &str) -> Result<Vec<OsString>, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::system("cannot find this program", error))?;
    Ok(vec![program.into(), "perf".into(), "--party".into(), "--controller".into(), controller.into()])
}
