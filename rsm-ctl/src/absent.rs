//! What stands in for the parts of this program that it was built without: each says so, and how it is had.

use std::ffi::OsString;

use clap::Args;

use crate::exit_code::ExitCode;
use crate::failure::Failure;

/// Whatever is told to a command that is not there.
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(crate) struct AbsentArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<OsString>,
}

fn refused(what: &str, feature: &str) -> Failure {
    Failure::new(format!(
        "this rsm-ctl has no `{what}`: have cargo build it without --no-default-features, or with --features {feature}"
    ))
}

#[cfg(not(feature = "manual"))]
pub(crate) mod manual {
    use super::{AbsentArgs, ExitCode, Failure, refused};

    pub(crate) type CompletionsArgs = AbsentArgs;
    pub(crate) type ManArgs = AbsentArgs;

    pub(crate) fn perform(_: &ManArgs, _: clap::Command) -> Result<ExitCode, Failure> {
        Err(refused("man", "manual"))
    }

    pub(crate) fn completions(_: &CompletionsArgs, _: clap::Command) -> Result<ExitCode, Failure> {
        Err(refused("completions", "manual"))
    }
}

#[cfg(not(feature = "perf"))]
pub(crate) mod perf {
    use super::{AbsentArgs, ExitCode, Failure, refused};

    pub(crate) type PerfArgs = AbsentArgs;

    pub(crate) fn perform(_: &PerfArgs) -> Result<ExitCode, Failure> {
        Err(refused("perf", "perf"))
    }
}

#[cfg(not(feature = "races"))]
pub(crate) mod explore {
    use super::{AbsentArgs, ExitCode, Failure, refused};
    use crate::run::words::Options;
    use rsm_run::verbosity::Verbosity;

    pub(crate) mod args {
        pub(crate) type ExploreArgs = super::AbsentArgs;
    }

    pub(crate) fn perform(_: args::ExploreArgs, _: Verbosity, _: Options) -> Result<ExitCode, Failure> {
        Err(refused("explore", "races"))
    }
}

#[cfg(not(feature = "races"))]
pub(crate) mod race {
    use super::{ExitCode, Failure, refused};
    use rsm::lens::Lens;
    use rsm_run::races::Looked;
    use rsm_run::verbosity::Verbosity;
    use std::path::Path;

    /// That nothing is looked for.
    #[derive(Debug)]
    pub(crate) struct Looking;

    impl Looking {
        pub(crate) fn asked(is_asked: bool, _: Option<&Path>) -> Result<Looking, Failure> {
            if is_asked { Err(refused("run --race", "races")) } else { Ok(Looking) }
        }

        pub(crate) fn through(self, _: Option<Lens>) -> Looking {
            self
        }
    }

    pub(crate) fn judge(_: &Looked, _: &Looking, _: Verbosity, code: ExitCode) -> ExitCode {
        code
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    /// Whatever follows such a command is read without complaint, and then it is said that it is not there.
    #[test]
    fn what_is_absent_takes_all_words() {
        let absent: &[&[&str]] = &[
            #[cfg(not(feature = "manual"))]
            &["man", "--dir", "x"],
            #[cfg(not(feature = "manual"))]
            &["completions", "bash"],
            #[cfg(not(feature = "perf"))]
            &["perf", "--list", "--help"],
            #[cfg(not(feature = "races"))]
            &["explore", "-n", "2", "--kill", "1", "--", "prog"],
        ];
        for words in absent {
            let command = Cli::try_parse_from(["rsm-ctl"].iter().chain(*words)).expect("any words");
            let failure = match command.command {
                #[cfg(not(feature = "manual"))]
                crate::cli::Command::Man(args) => super::manual::perform(&args, clap::Command::new("rsm-ctl")),
                #[cfg(not(feature = "manual"))]
                crate::cli::Command::Completions(args) => {
                    super::manual::completions(&args, clap::Command::new("rsm-ctl"))
                }
                #[cfg(not(feature = "perf"))]
                crate::cli::Command::Perf(args) => super::perf::perform(&args),
                #[cfg(not(feature = "races"))]
                crate::cli::Command::Explore(args) => {
                    super::explore::perform(args, rsm_run::verbosity::Verbosity::Normal, Vec::new)
                }
                other => panic!("{other:?} is there"),
            };
            let message = failure.expect_err("it is not there").message;
            assert!(message.starts_with(&format!("this rsm-ctl has no `{}`", words[0])), "{message}");
        }
    }

    #[test]
    #[cfg(not(feature = "races"))]
    fn a_run_that_is_to_find_races_is_refused() {
        assert!(super::race::Looking::asked(true, None).is_err());
        assert!(super::race::Looking::asked(false, None).is_ok());
    }
}
