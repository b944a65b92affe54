//! One object, with everything known of it: [`details`] finds it and writes it down on a [`sheet`], here it is asked for.

mod details;
mod object;
mod sheet;

use clap::Args;

use super::cluster::attach;
use super::json;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;
use object::Object;

/// What `show` can be told.
#[derive(Debug, Args)]
#[command(after_help = object::HELP)]
pub(crate) struct ShowArgs {
    /// What to show: cluster, node K, segment NODE ID, connection GENERATION, link A B, controller NAME
    #[arg(required = true, value_name = "OBJECT", num_args = 1..=4)]
    words: Vec<String>,
    /// Write JSON (see docs/json.md)
    #[arg(long)]
    json: bool,
    /// The cluster to look at; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// Shows the object.
pub(crate) fn perform(args: &ShowArgs) -> Result<ExitCode, Failure> {
    // What cannot be understood is said before a cluster is looked for.
    let object = Object::parse(&args.words).map_err(Failure::usage)?;
    let observer = attach(args.cluster.as_deref())?;
    let details = details::find(&observer, &observer.snapshot(), &object).map_err(Failure::new)?;
    print::answer(&if args.json { json::document(details.kind, &details.json) } else { details.render() })
}
