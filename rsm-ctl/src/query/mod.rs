//! A look at running clusters: what is asked is fetched here, [`table`] and [`json`] render it.

pub(crate) mod args;
pub(crate) mod bridge;
pub(crate) mod cluster;
pub(crate) mod json;
pub(crate) mod process;
mod rows;
pub(crate) mod show;
pub(crate) mod table;
pub(crate) mod topology;

use rsm::Code;
use rsm::observe::{self, ClusterInfo, ClusterRef};

use args::QueryArgs;
use cluster::attach;
use rows::{ClusterRow, Rows};

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

/// Fetches one table and writes it to standard output.
pub(crate) fn perform(table: Table, args: &QueryArgs) -> Result<ExitCode, Failure> {
    let rows = fetch(table, args.cluster.as_deref())?;
    print::answer(&if args.json { json::render(&rows) } else { table::render(&rows) })
}

fn fetch(table: Table, cluster: Option<&str>) -> Result<Rows, Failure> {
    Ok(match table {
        Table::Clusters => Rows::Clusters(clusters(cluster)?),
        Table::Nodes => Rows::Nodes(attach(cluster)?.nodes()),
        Table::Segments => Rows::Segments(attach(cluster)?.segments()),
        Table::Connections => Rows::Connections(attach(cluster)?.connections()),
        Table::Links => Rows::Links(attach(cluster)?.links()),
    })
}

/// All running clusters, or the named one. That none runs is an answer here, not an error.
fn clusters(name: Option<&str>) -> Result<Vec<ClusterRow>, Failure> {
    if name.is_some() {
        return Ok(vec![ClusterRow::Open(attach(name)?.cluster())]);
    }
    let clusters = observe::clusters()?;
    let looks = observe::look_at(&clusters);
    Ok(clusters.into_iter().zip(looks).filter_map(|(cluster, look)| row(cluster, look)).collect())
}

/// What is shown of a listed cluster; `None` if it has ended since.
fn row(cluster: ClusterRef, look: rsm::Result<ClusterInfo>) -> Option<ClusterRow> {
    match look {
        Ok(info) => Some(ClusterRow::Open(info)),
        Err(error) if error.code() == Code::CtlrNotPresent => None,
        // One that refuses, speaks another version, or does not answer, is there all the same.
        Err(_) => Some(ClusterRow::Closed(cluster)),
    }
}
