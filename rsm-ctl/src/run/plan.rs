//! What `run` and `up` are told, as a plan. What the command line says counts more than what a file says.

use std::collections::BTreeSet;
use std::path::Path;

use rsm::lens::{Lens, Trace};
use rsm_run::input::Input;
use rsm_run::node_set::NodeSet;
use rsm_run::plan::{FaultScript, GRACE, Home, NewCluster, Plan};
use rsm_run::program::Program;
use rsm_run::recording::TraceFile;
use rsm_run::task::{self, Common, Part};
use rsm_run::verbosity::Verbosity;

use super::args::{ClusterArgs, Depth, OnTimeout, ProgramArgs, RunArgs, UpArgs};
use super::example;
use super::file::{self, Description, Reader};
use super::lens;
use super::words::{self, Options};
use crate::failure::Failure;
use crate::steer::script;

/// The plan of `run`.
pub(crate) fn of_run(args: RunArgs, verbosity: Verbosity, options: Options) -> Result<Plan, Failure> {
    let RunArgs {
        cluster,
        mut programs,
        timeout,
        on_timeout,
        script,
        trace,
        trace_bytes,
        race,
        race_suppressions: _,
        tag_output,
        keep_going,
        stdin,
        junit: _,
        junit_name,
        example,
    } = args;
    let mut file = described(cluster, Reader::Run)?;
    let input = stdin.or(file.stdin);
    let example = match example {
        Some(name) => {
            let path = example::build(&name, verbosity)?;
            let arguments = std::mem::take(&mut programs.words);
            Some(Part::plain(NodeSet::All, Program { path, name, arguments }))
        }
        None => None,
    };
    file.parts.extend(example);
    let (timeout, tag_output) = (timeout.or(file.timeout), tag_output || file.tag_output);
    let keep_going = keep_going || file.keep_going;
    let stacks = on_timeout.or(file.on_timeout) == Some(OnTimeout::Stacks);
    if stacks && timeout.is_none() {
        return Err(Failure::usage("--on-timeout needs a --timeout"));
    }
    file.junit_name = junit_name.or(file.junit_name);
    let script = script.or(file.script.take()).map(|path| fault_script(&path)).transpose()?;
    let trace = trace.map(|target| TraceFile { path: target.raw(), bytes: trace_bytes });
    let mut plan = laid_out(file, programs, verbosity, options)?;
    if let (Some(trace), Home::New(cluster)) = (&trace, &mut plan.home) {
        let lens = cluster.lens.unwrap_or_else(|| Lens::clear(0));
        cluster.lens = Some(lens.trace(Trace { bytes: trace.bytes }));
    }
    if let (false, Home::New(cluster)) = (race.is_empty(), &mut plan.home) {
        let lens = cluster.lens.unwrap_or_else(|| Lens::clear(0));
        cluster.lens = Some(race.into_iter().fold(lens, |lens, depth| match depth {
            Depth::Calls => lens.race(),
            Depth::Pages => lens.race_pages(),
            Depth::Outside => lens.race_outside(),
        }));
    }
    if plan.tasks.is_empty() {
        let text = "there is no program to run: name one after --, or in a [[program]] of the file";
        return Err(Failure::usage(text));
    }
    let reader = task::reader(input, &plan.tasks, plan.nodes())?;
    Ok(Plan {
        reader,
        terminal: matches!(input, Some(Input::Node(_))),
        tag_output,
        keep_going,
        timeout,
        stacks,
        script,
        trace,
        ..plan
    })
}

/// A script that disturbs the run.
fn fault_script(path: &Path) -> Result<FaultScript, Failure> {
    let (name, script) = script::parsed(path)?;
    Ok(FaultScript { name, script })
}

/// The plan of `up`.
pub(crate) fn of_up(args: UpArgs, verbosity: Verbosity, options: Options) -> Result<Plan, Failure> {
    let UpArgs { cluster, programs, foreground: _ } = args;
    let file = described(cluster, Reader::Up)?;
    Ok(Plan { tag_output: true, keep_going: true, stays: true, ..laid_out(file, programs, verbosity, options)? })
}

/// The cluster: what its file says, or nothing more than its size.
fn described(args: ClusterArgs, reader: Reader) -> Result<Description, Failure> {
    let mut file = match &args.file {
        Some(path) => file::read(path, reader)?,
        None => Description { nodes: args.n.unwrap_or_default(), ..Description::default() },
    };
    if args.name.is_some() {
        file.name = args.name;
    }
    if !args.controllers.is_empty() {
        file.controllers = args.controllers;
    }
    if let Some(here) = &args.here {
        let set = NodeSet::parse(here).map_err(|why| Failure::usage(format!("--here: {why}")))?;
        set.resolve(file.nodes, &BTreeSet::new()).map_err(|why| Failure::usage(format!("--here: {why}")))?;
        file.here = Some(set);
    }
    file.bridge = args.bridge.or(file.bridge);
    file.bridge_wait = args.bridge_wait;
    match (&file.here, &file.bridge) {
        (Some(_), None) => {
            let why = "the nodes that are not of this host are reached over a bridge: --bridge ntb0=local:NAME";
            return Err(Failure::usage(why.to_owned()));
        }
        (None, Some(_)) => {
            let why = "a bridge leads to another host: say which nodes are of this one, such as --here 1-2";
            return Err(Failure::usage(why.to_owned()));
        }
        (None, None) if file.bridge_wait.is_some() => {
            let why = "--bridge-wait waits for another host, and this cluster has one: --here and --bridge make it two";
            return Err(Failure::usage(why.to_owned()));
        }
        _ => {}
    }
    file.lens = args.lens.or(file.lens);
    file.lens.check().map_err(Failure::usage)?;
    Ok(file)
}

/// The programs of a file and those that the words of a command line name, laid out.
fn laid_out(file: Description, programs: ProgramArgs, verbosity: Verbosity, options: Options) -> Result<Plan, Failure> {
    let mut parts = file.parts;
    if !programs.words.is_empty() {
        for (nodes, words) in words::split(programs.nodes, programs.words)? {
            parts.push(Part::plain(nodes, words::program_of(words, options)?));
        }
    }
    let above = Common { environment: programs.env, directory: programs.cwd, pin: programs.pin };
    let mut tasks = task::lay_out(file.nodes, parts, &file.common, &above)?;
    let here = file.here.map(|here| here.resolve(file.nodes, &BTreeSet::new())).transpose().map_err(Failure::usage)?;
    if let Some(here) = &here {
        let all = tasks.len();
        tasks.retain(|task| here.contains(&task.node));
        if tasks.is_empty() && all > 0 {
            let why = "no program is for a node of this host: the other one is to be given those of its nodes";
            return Err(Failure::usage(why.to_owned()));
        }
    }
    let lens = file.lens.lens();
    if let Some(lens) = lens.filter(|_| verbosity > Verbosity::Quiet) {
        eprint!("{}", lens::notice(&lens));
    }
    let Description { nodes, name, controllers, links, bridge, bridge_wait, .. } = file;
    let cluster = NewCluster { nodes, name, controllers, links, lens, here, bridge, bridge_wait };
    Ok(Plan {
        grace: programs.grace.or(file.grace).unwrap_or(GRACE),
        log_dir: programs.log_dir.or(file.log_dir),
        junit: file.junit,
        junit_name: file.junit_name,
        ..Plan::plain(Home::New(cluster), tasks, verbosity)
    })
}
