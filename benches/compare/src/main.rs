//! `compare`: rsm beside what one would pick instead, in one run, on the same two processors, in turns.
//!
//! Each contender is a pair of processes that does the same raw operations as all others beside its own; what is compared
//! is each operation's ratio to the raw one of the same pair and the same moment. See `benches/measuring.md`.

mod parties;
mod peers;
mod plot;
mod table;
mod targets;

use clap::Parser;
use rsm_perf::machine::{self, Machine};
use rsm_perf::measure::{Outcome, measure};
use rsm_perf::ops::OPS;
use rsm_perf::pair::{Broken, Pair};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Compares rsm with what one would pick instead, in one run
#[derive(Debug, Parser)]
#[command(name = "compare")]
struct Args {
    /// Only these contenders: --only rsm,iceoryx2
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these operations
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    op: Vec<String>,
    /// Milliseconds for each contender, operation and size
    #[arg(long, value_name = "MS", default_value_t = 60)]
    time: u64,
    /// Measure and print the targets T1 to T23, with rsm alone
    #[arg(long)]
    targets: bool,
    /// Where to write the numbers
    #[arg(long, value_name = "FILE", default_value = "target/compare.json")]
    json: PathBuf,
    /// Where to draw them
    #[arg(long, value_name = "FILE", default_value = "target/compare.svg")]
    svg: PathBuf,
    /// What contenders are started with
    #[arg(long, hide = true, value_name = "NAME")]
    party: Option<String>,
    /// What the nodes of a target's cluster are started with
    #[arg(long, hide = true, value_name = "WHAT", num_args = 1..)]
    node: Vec<String>,
}

/// Raised when a field of the JSON goes or changes its meaning.
const VERSION: u32 = 1;
/// The largest data of an operation, for each direction.
const ROOM: usize = 2 << 20;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(name) = &args.party {
        return rsm_perf::serve::serve(|pairing| parties::make(name, pairing));
    }
    let done = if args.node.is_empty() { conduct(&args) } else { targets::node(&args.node) };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("compare: {text}");
            ExitCode::FAILURE
        }
    }
}

fn conduct(args: &Args) -> Result<(), String> {
    if let Some(name) = args.only.iter().find(|name| peers::PEERS.iter().all(|peer| peer.name != **name)) {
        let names: Vec<&str> = peers::PEERS.iter().map(|peer| peer.name).collect();
        return Err(format!("there is no contender {name:?}; there are: {}", names.join(", ")));
    }
    if let Some(name) = args.op.iter().find(|name| rsm_perf::ops::find(name).is_none()) {
        return Err(format!("there is no operation {name:?}; rsm-ctl perf --list has them"));
    }
    let cpus = machine::choose();
    let mut clusters = Vec::new();
    let mut pairs = Vec::new();
    let mut skipped = Vec::new();
    let wanted = |name: &str| match &args.only[..] {
        [] => !args.targets || name.starts_with("rsm"),
        only => only.iter().any(|wanted| wanted == name),
    };
    for peer in peers::PEERS.iter().filter(|peer| wanted(peer.name)) {
        let mut environment = [Vec::new(), Vec::new()];
        if peer.is_rsm() {
            // A cluster for each: waits do not spin where there are more processes than processors.
            let cluster = rsm::Cluster::new(2).map_err(|e| e.to_string())?;
            for (node, environment) in (1..).zip(&mut environment) {
                let of = cluster.environment(node).map_err(|e| e.to_string())?;
                environment.extend(of.into_iter().map(|(name, value)| (name.to_owned(), value)));
            }
            clusters.push(cluster);
        }
        let started = peer
            .prepare(environment)
            .and_then(|program| Pair::start(&program, cpus, ROOM).map_err(|Broken(text)| text));
        match started {
            Ok(pair) => pairs.push(pair),
            Err(reason) => {
                println!("# skipped: {}: {reason}", peer.name);
                skipped.push(json!({ "contender": peer.name, "reason": reason }));
            }
        }
    }
    // After everything is built and started: what others do now is what disturbs.
    let machine = Machine::look(cpus);
    println!("# {}", machine.line());
    for warning in &machine.warnings {
        println!("# warning: {warning}");
    }
    let outcomes = compare(args, &mut pairs, &mut skipped);
    print!("{}", table::render(&outcomes));
    println!("# load average afterwards: {:.2}", machine::load());
    drop(pairs);
    // What iceoryx2 leaves.
    let _ = std::fs::remove_dir_all(Path::new(env!("CARGO_MANIFEST_DIR")).join("target/iceoryx2"));
    let targets = if args.targets { targets::measure(&outcomes)? } else { Vec::new() };
    print!("{}", targets::render(&targets));
    let json = json!({
        "version": VERSION, "machine": machine, "load_after": machine::load(), "skipped": skipped,
        "compare": outcomes, "targets": targets,
    });
    write(&args.json, &format!("{json:#}\n"))?;
    write(&args.svg, &plot::render(&outcomes, &machine))
}

/// Every operation at every size, by all that know it. Who breaks is left out from there on.
fn compare(args: &Args, pairs: &mut Vec<Pair>, skipped: &mut Vec<serde_json::Value>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let chosen = OPS.iter().filter(|op| args.op.is_empty() || args.op.iter().any(|name| name == op.name));
    for op in chosen {
        for &size in op.sizes {
            loop {
                // One broken pair must not take the others with it: it is found by trying each before.
                let broken = pairs.iter_mut().position(|pair| {
                    pair.can(op.name)
                        && pair.run(op.name, size, 1, 0, 1).inspect_err(|e| report(pair.name(), e, skipped)).is_err()
                });
                match broken {
                    Some(index) => drop(pairs.remove(index)),
                    None => break,
                }
            }
            let mut turn: Vec<&mut Pair> = pairs.iter_mut().collect();
            match measure(&mut turn, op, size, Duration::from_millis(args.time), || Ok(())) {
                Ok(found) => outcomes.extend(found),
                Err(Broken(text)) => println!("# {} at {size} bytes was not measured: {text}", op.name),
            }
        }
    }
    outcomes
}

fn report(name: &str, Broken(text): &Broken, skipped: &mut Vec<serde_json::Value>) {
    println!("# left out from here on: {text}");
    skipped.push(json!({ "contender": name, "reason": text }));
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let path = if path.is_absolute() { path.to_owned() } else { PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path) };
    std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("# written: {}", path.display());
    Ok(())
}
