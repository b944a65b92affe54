//! A look at running clusters: what is asked is fetched here, [`table`] and [`json`] render it.

mod json;
mod table;

use rsm::observe::{self, ClusterInfo, ConnectionInfo, LinkInfo, NodeInfo, Observer, SegmentInfo};

use crate::cli::QueryArgs;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// What there is to look at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Table {
    Clusters,
    Nodes,
    Segments,
    Connections,
    Links,
}

/// What was found.
pub(crate) enum Rows {
    Clusters(Vec<ClusterInfo>),
    Nodes(Vec<NodeInfo>),
    Segments(Vec<SegmentInfo>),
    Connections(Vec<ConnectionInfo>),
    Links(Vec<LinkInfo>),
}

/// Fetches one table and writes it to standard output.
pub(crate) fn perform(table: Table, args: &QueryArgs) -> Result<ExitCode, Failure> {
    let rows = fetch(table, args.cluster.as_deref())?;
    print::answer(&if args.json { json::render(&rows) } else { table::render(&rows) })
}

fn fetch(table: Table, cluster: Option<&str>) -> Result<Rows, Failure> {
    let attach = || Observer::attach(cluster).map_err(Failure::from);
    Ok(match table {
        Table::Clusters => Rows::Clusters(clusters(cluster)?),
        Table::Nodes => Rows::Nodes(attach()?.nodes()),
        Table::Segments => Rows::Segments(attach()?.segments()),
        Table::Connections => Rows::Connections(attach()?.connections()),
        Table::Links => Rows::Links(attach()?.links()),
    })
}

/// All running clusters this user may look at, or the named one. That none runs is an answer here, not an error.
fn clusters(name: Option<&str>) -> Result<Vec<ClusterInfo>, Failure> {
    if name.is_some() {
        return Ok(vec![Observer::attach(name)?.cluster()]);
    }
    let running = observe::clusters()?;
    // One that ended since it was listed is no longer to be shown.
    Ok(running
        .iter()
        .filter_map(|cluster| Observer::attach(Some(&cluster.name)).ok())
        .map(|one| one.cluster())
        .collect())
}
