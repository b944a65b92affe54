//! The nodes of a cluster and what connects them: [`text`], [`dot`], [`svg`], or JSON.

mod dot;
mod graph;
mod svg;
mod text;

use clap::Args;

use super::cluster::attach;
use super::json;
use crate::colour::Palette;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;
use graph::Topology;

/// What `topology` can be told.
#[derive(Debug, Args)]
pub(crate) struct TopologyArgs {
    /// Write a graph for Graphviz: `rsm-ctl topology --dot | circo -Tpng > topology.png`
    #[arg(long, group = "form")]
    dot: bool,
    /// Write a picture that a browser shows
    #[arg(long, group = "form")]
    svg: bool,
    /// Write JSON (see docs/json.md)
    #[arg(long, group = "form")]
    json: bool,
    /// The cluster to look at; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// Writes the topology in the form that was asked for.
pub(crate) fn perform(args: &TopologyArgs) -> Result<ExitCode, Failure> {
    let topology = Topology::of(attach(args.cluster.as_deref())?.snapshot());
    print::answer(&if args.json {
        json::document("topology", &topology)
    } else if args.dot {
        dot::render(&topology)
    } else if args.svg {
        svg::render(&topology)
    } else {
        text::render(&topology, Palette::of_stdout())
    })
}
