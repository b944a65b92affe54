//! `sort FILE [-o OUT]`: a distributed sample sort, as a model of a program that runs on a cluster.
//!
//! ```text
//! rsm-ctl run -n 4 --example sort -- Cargo.lock -o sorted.txt       four nodes
//! cargo run --release --example sort -- Cargo.lock                  alone: a cluster of one node
//! ```
//!
//! The output is byte for byte that of `LC_ALL=C sort FILE`. Node 1 writes it, to OUT or to its standard output,
//! and nothing else goes there; the summary goes to standard error. OUT may be FILE: nothing is written before
//! everything was read.
//!
//! # How it works
//!
//! Every node runs this same program. What they do together, and the file that does it:
//!
//! 1. `rsm_team` joins the nodes to a team, in which they can tell each other numbers, share memory, and meet.
//! 2. `slice`: each node reads its share of FILE, cut where lines start.
//! 3. `splitters`: each gives node 1 a sample of its lines, which chooses the N-1 lines that cut the whole into N parts
//!    of about the same size, one for each node.
//! 4. `exchange`: each exports a segment of the size of its part, and puts its lines into the segments of the nodes
//!    they belong to.
//! 5. `lines`: each sorts what it received, and writes it back into its segment, in order.
//! 6. `output`: node 1 gets part after part from the others and writes them out.
//!
//! # What it needs
//!
//! FILE must be a regular file that fits in memory; one node alone also reads a pipe. All nodes together use about twice
//! its size (the slices or what they turn into, and the segments) and 16 bytes for every line.
//!
//! It also needs a standard output, or OUT. Where that is closed (`sort FILE >&-`) Rust's runtime has opened /dev/null in
//! its place before the program begins, and what is written there is lost without an error: the exit code is 0.
//! `rsm-ctl`, which promises that no failure is 0, looks earlier (`rsm-ctl/src/descriptor.rs`); for a program that shows
//! how nodes work together that would be more than it is worth.
//!
//! # When something fails
//!
//! A node that cannot go on says why and ends; that takes its segments away, and every other node learns of it in
//! its next wait or at the end of its next barrier, and ends too. So no wait needs a time limit once everybody has
//! joined: a node that lives may be slow, or stopped with Ctrl-Z, for as long as it likes.

mod closing;
mod exchange;
mod lines;
mod output;
mod report;
mod slice;
mod splitters;
#[cfg(test)]
mod tests;

use output::Output;
use report::{Progress, shown};
use rsm::Controller;
use rsm_team::Team;
use std::error::Error;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// What can go wrong here is only ever told to the user, so one boxed error with a good sentence is enough.
type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How long to wait for the other nodes to be started.
const JOINING: Duration = Duration::from_secs(60);

const USAGE: &str = "usage: sort FILE [-o OUT]";

/// The command line.
struct Arguments {
    file: PathBuf,
    output: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = match parse(std::env::args_os().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            say(USAGE);
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            say(&format!("sort: {error}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("sort: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// `None` when help was asked for.
fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Option<Arguments>> {
    let (mut file, mut output, mut options) = (None, None, true);
    while let Some(argument) = arguments.next() {
        if options && argument == "--" {
            options = false;
        } else if options && (argument == "-h" || argument == "--help") {
            return Ok(None);
        } else if options && argument == "-o" {
            let name = PathBuf::from(arguments.next().ok_or("-o needs the name of a file")?);
            if output.replace(name.clone()).is_some_and(|before| before != name) {
                return Err(format!("one output only, please, not also {}", shown(&name)).into());
            }
        } else if options && argument.as_encoded_bytes().starts_with(b"-") {
            return Err(format!("unknown option {}", shown(&argument)).into());
        } else if file.replace(PathBuf::from(&argument)).is_some() {
            return Err(format!("one file only, please, not also {}", shown(&argument)).into());
        }
    }
    let file = file.ok_or("which file?")?;
    Ok(Some(Arguments { file, output }))
}

/// The whole program, as seen by one node.
fn run(arguments: &Arguments) -> Result<()> {
    let started = Instant::now();
    let controller = Controller::open("shm0")?;
    let node = controller.node().id();
    let here = |error: Box<dyn Error>| format!("node {node}: {error}");
    let team = Team::join(&controller, JOINING).map_err(|error| here(error.into()))?;

    // The input first: when OUT is FILE and does not exist, nothing must be created.
    let mut reader = slice::Reader::open(&arguments.file, team.size() as u32).map_err(here)?;
    let mut output = match node {
        1 => Some(Output::open(arguments.output.as_deref()).map_err(here)?),
        _ => None,
    };
    let mut progress = Progress::new(node == 1);
    let slice = slice::read(&team, &mut reader, &mut progress).map_err(here)?;

    progress.phase("choosing splitters");
    let splitters = splitters::agree(&team, &slice).map_err(here)?;

    progress.phase("exchanging");
    let partition = exchange::exchange(&team, slice, &splitters).map_err(here)?;

    progress.phase("sorting");
    let order = lines::sorted(&partition.text);

    let (sorted, fetched) = match &mut output {
        Some(output) => output.collect(&team, &partition, &order, reader.size(), &mut progress).map_err(here)?,
        None => (output::deliver(&team, &partition, &order).map_err(here)?, 0),
    };
    let row = report::Row {
        read: reader.bytes_read(),
        put: partition.put,
        received: partition.text.len() as u64,
        sorted,
        lines: order.len() as u64,
    };
    let rows = report::gather(&team, &row).map_err(here)?;
    // Every segment stays until node 1 has all that is in it.
    partition.shared.close().map_err(|error| here(error.into()))?;
    progress.clear();
    if let Some(rows) = rows {
        say(&report::summary(&rows, reader.size(), fetched, started.elapsed()).map_err(here)?);
    }
    Ok(team.leave().map_err(|error| here(error.into()))?)
}

/// To standard error, for as long as somebody listens there.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
