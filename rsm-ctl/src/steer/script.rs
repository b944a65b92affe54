//! `script`: reads it, carries it out, and says line by line what was done.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use clap::ValueEnum;
use rsm_lab::{RunError, Script};
use rsm_run::verbosity::Verbosity;

use super::args::ScriptArgs;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};
use crate::{print, printable};

/// Longer ones were not written by people, and not by programs for this.
const MOST_BYTES: u64 = 1 << 20;

/// Carries out a script.
pub(crate) fn perform(args: &ScriptArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    let script = match (&args.file, args.random) {
        (Some(file), _) => parsed(file)?.1,
        (None, seed) => {
            let text = chance(args, seed.unwrap_or_default());
            Script::parse(&text).map_err(|error| Failure::new(error.to_string()))?
        }
    };
    if args.check {
        return Ok(ExitCode::Success);
    }
    let steering = args.target.steering()?;
    let mut unread = None;
    let ended = script.run(&steering, args.timeout, |event| {
        if verbosity == Verbosity::Quiet {
            return ControlFlow::Continue(());
        }
        match print::answer(&format!("{event}\n")) {
            Ok(ExitCode::Success) => ControlFlow::Continue(()),
            unwritten => {
                unread = Some(unwritten);
                ControlFlow::Break(())
            }
        }
    });
    match (ended, unread) {
        (_, Some(unwritten)) => unwritten,
        (Err(stopped), None) => Err(failure(args, &stopped)),
        (Ok(()), None) => {
            if steering.observer().is_gone() && verbosity == Verbosity::Verbose {
                print::remark("the cluster has ended, and the script with it");
            }
            Ok(ExitCode::Success)
        }
    }
}

fn failure(args: &ScriptArgs, stopped: &RunError) -> Failure {
    let name = args.file.as_deref().map_or_else(|| "--random".to_owned(), shown);
    let code = if stopped.over_limit { ExitCode::TimedOut } else { ExitCode::Failure };
    Failure { code, message: format!("{name}: {stopped}") }
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { printable::path(file) }
}

/// What a script is called in messages, and the script.
///
/// # Errors
/// That it cannot be read, or where it is not understood.
pub(crate) fn parsed(file: &Path) -> Result<(String, Script), Failure> {
    let (name, text) = read(file)?;
    match Script::parse(&text) {
        Ok(script) => Ok((name, script)),
        Err(error) => Err(Failure::new(format!("{name}:{error}\n{}", error.excerpt()))),
    }
}

/// The file's name for messages, and its text.
fn read(file: &Path) -> Result<(String, String), Failure> {
    let name = shown(file);
    let cannot = |error: io::Error| Failure::new(format!("cannot read {name}: {}", reason(&error)));
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(cannot)?)
    };
    let mut bytes = Vec::new();
    source.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Failure::new(format!("{name} is longer than {MOST_BYTES} bytes: no script")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(_) => Err(Failure::new(format!("{name} is no text (UTF-8): no script"))),
    }
}

/// The script that `--random` stands for.
fn chance(args: &ScriptArgs, seed: u64) -> String {
    let time = |time: Duration| format!("{}ms", time.as_secs_f64() * 1e3);
    let mut text = format!("random seed {seed}");
    if let Some(length) = args.length {
        text += &format!(" for {}", time(length));
    }
    if let Some(every) = args.every {
        text += &format!(" every {}", time(every));
    }
    let kinds: Vec<_> = args.of.iter().filter_map(ValueEnum::to_possible_value).collect();
    if !kinds.is_empty() {
        text += &format!(" : {}", kinds.iter().map(|kind| kind.get_name()).collect::<Vec<_>>().join(", "));
    }
    text
}
