//! Whether this machine has what rsm uses: features of the kernel, found by the library ([`rsm::Capabilities`]) and
//! explained by [`features`], and [`conditions`] under which it runs. For what is missing there is a [`remedy`].

mod around;
mod bridges;
mod conditions;
mod features;
mod remedy;
mod started;
mod text;
mod version;

use clap::Args;
use rsm::{Capabilities, Feature};
use serde::Serialize;

use crate::colour::Palette;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;
use crate::query::json;
use around::Around;
use conditions::Condition;
use remedy::Here;

/// What `doctor` can be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Each feature is tried as the current user, not looked up by version; at last a cluster of one process is started, and
ended. Ends with 0 when rsm works here, whatever it
must do without, and with 4 when something is missing that it needs.")]
pub(crate) struct DoctorArgs {
    /// Write JSON (see docs/json.md)
    #[arg(long)]
    json: bool,
    /// What the process of its own cluster is started with
    #[arg(long, hide = true, conflicts_with = "json")]
    as_node: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// `ok`, `limited` (something optional is missing or in the way), or `broken` (something required is missing).
    verdict: &'static str,
    kernel: String,
    features: Vec<Finding>,
    conditions: Vec<Condition>,
}

/// A feature of the kernel, or what takes several: a run.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    feature: &'static str,
    present: bool,
    required: bool,
    /// The first Linux that has it, on this architecture.
    since: &'static str,
    what: &'static str,
    /// What rsm does without it.
    without: String,
    /// Why it is missing.
    error: Option<String>,
    /// What gives it.
    remedy: Option<String>,
}

/// Looks, and tells.
pub(crate) fn perform(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    if args.as_node {
        return started::as_node();
    }
    let report = examine();
    let text = if args.json { json::document("doctor", &report) } else { text::render(&report, Palette::of_stdout()) };
    match print::answer(&text)? {
        ExitCode::Success if report.verdict == "broken" => Ok(ExitCode::Missing),
        done => Ok(done),
    }
}

fn examine() -> Report {
    let uname = rustix::system::uname();
    let kernel = uname.release().to_string_lossy().into_owned();
    let capabilities = Capabilities::probe();
    let around = Around::look();
    let here = Here::look(&kernel, &around, capabilities.has(Feature::WriteProtection));
    let found = capabilities.found().map(|(feature, error)| finding(feature, error, &capabilities, &here));
    let mut features: Vec<Finding> = found.collect();
    features.push(started::finding(&here));
    let mut conditions = conditions::look(&kernel, capabilities.has(Feature::PeerProcessDescriptor), &around);
    conditions.extend(bridges::look(&kernel));
    let broken = features.iter().any(|f| f.required && !f.present) || conditions.iter().any(|c| c.status == "bad");
    let limited = features.iter().any(|f| !f.present) || conditions.iter().any(|c| c.status == "warning");
    let verdict = if broken {
        "broken"
    } else if limited {
        "limited"
    } else {
        "ok"
    };
    Report { verdict, kernel, features, conditions }
}

fn finding(feature: Feature, error: Option<&rsm::Error>, capabilities: &Capabilities, here: &Here) -> Finding {
    let text = features::of(feature);
    Finding {
        feature: feature.name(),
        present: error.is_none(),
        required: feature.is_required(),
        since: feature.since(),
        what: text.what,
        without: text.without(|other| capabilities.has(other)),
        error: error.map(|error| crate::failure::plain(error.detail())),
        remedy: error.map(|error| here.remedy(feature, error.code())),
    }
}
