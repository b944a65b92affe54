//! Whether this machine has what rsm uses: features of the kernel, found by the library ([`rsm::Capabilities`]), and
//! [`conditions`] under which it runs.

mod conditions;
mod text;

use clap::Args;
use rsm::{Capabilities, Feature};
use serde::Serialize;

use crate::colour::Palette;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;
use crate::query::json;
use conditions::Condition;

/// What `doctor` can be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Every feature is tried, not looked up by version, as the user who asks. Ends with 0 when rsm works here, whatever it
must do without, and with 4 when something is missing that it needs.")]
pub(crate) struct DoctorArgs {
    /// Write JSON (see docs/json.md)
    #[arg(long)]
    json: bool,
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

/// A feature of the kernel.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    feature: &'static str,
    present: bool,
    required: bool,
    /// The first Linux that has it.
    since: &'static str,
    what: &'static str,
    /// What rsm does without it.
    without: &'static str,
    /// Why it is missing.
    error: Option<String>,
    /// What gives it.
    remedy: Option<String>,
}

/// Looks, and tells.
pub(crate) fn perform(args: &DoctorArgs) -> Result<ExitCode, Failure> {
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
    let found = capabilities.found().map(|(feature, error)| finding(feature, error, &kernel));
    let features: Vec<Finding> = found.collect();
    let conditions = conditions::look();
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

fn finding(feature: Feature, error: Option<&rsm::Error>, kernel: &str) -> Finding {
    Finding {
        feature: feature.name(),
        present: error.is_none(),
        required: feature.is_required(),
        since: feature.since(),
        what: feature.what(),
        without: feature.without(),
        error: error.map(|error| crate::failure::plain(error.detail())),
        remedy: error.map(|error| remedy(feature, error.code(), kernel)),
    }
}

/// What gives a feature that is missing.
fn remedy(feature: Feature, code: rsm::Code, kernel: &str) -> String {
    if code == rsm::Code::InsufficientResources {
        return "ulimit -n 4096 (there was no descriptor to try it with)".to_owned();
    }
    match feature.remedy() {
        Some(remedy) => remedy.to_owned(),
        None if !is_at_least(kernel, feature.since()) => format!("boot Linux {} or later", feature.since()),
        // The version has it, and yet it was refused.
        None => "this kernel's version has it: it was built without, or a filter refuses it; in a container: \
                 docker run --security-opt seccomp=unconfined ..."
            .to_owned(),
    }
}

/// Whether a version such as `6.18.2-arch1` is at least one such as `6.5`.
fn is_at_least(kernel: &str, since: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("").parse().unwrap_or(0);
        text.split('.').take(2).map(number).collect()
    };
    numbers(kernel) >= numbers(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (kernel, since, is) in [
            ("6.18.44-fc", "6.5", true),
            ("6.4.0", "6.5", false),
            ("5.10.0-9-amd64", "5.9", true),
            ("6.5", "6.5", true),
            ("7.0-rc1", "6.16", true),
            ("4.19.0", "5.1", false),
            ("6.1.0", "any", true),
        ] {
            assert_eq!(is_at_least(kernel, since), is, "{kernel} {since}");
        }
    }

    #[test]
    fn remedies() {
        let missing = rsm::Code::CtlrNotPresent;
        assert_eq!(remedy(Feature::Leases, missing, "6.18.0"), "sysctl -w fs.leases-enable=1");
        assert_eq!(remedy(Feature::RefuseDescriptors, missing, "6.1.0"), "boot Linux 6.16 or later");
        assert!(remedy(Feature::RefuseDescriptors, missing, "6.18.0").contains("seccomp"));
        assert!(remedy(Feature::Futex, rsm::Code::InsufficientResources, "6.18.0").contains("ulimit"));
    }
}
