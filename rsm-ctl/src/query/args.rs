//! What a look at running clusters can be told.

use clap::Args;

/// What a look at running clusters can be told.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Write JSON: an object with a "version" and one array (see docs/json.md)
    #[arg(long)]
    pub(crate) json: bool,
    /// The cluster to look at; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
}
