//! What `top` can be told.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::duration;

/// Tables to choose from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    Nodes,
    Segments,
    Connections,
    Links,
}

/// What `top` can be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Keys: q quit; 1-4 or Tab nodes, segments, connections, links; < > column to sort by; r reverse; arrows and pages scroll.

Signals and transfers are counted by each process for as long as somebody looks, which takes it a few nanoseconds for
each; loads and stores through mappings are not seen. Without a terminal, or on a dumb one, a table is printed each time.
Ends with code 3 when the cluster ends.")]
pub(crate) struct TopArgs {
    /// Print tables, as without a terminal
    #[arg(long)]
    pub(super) plain: bool,
    /// Print one table, of what happens within one interval
    #[arg(long)]
    pub(super) once: bool,
    /// Time from one look to the next: 500ms, 2s, or seconds; at least 50ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(super) interval: Duration,
    /// What to show
    #[arg(long, value_enum, default_value = "nodes")]
    pub(super) view: View,
    /// The column to sort by, such as memory; the largest come first
    #[arg(long, value_name = "COLUMN")]
    pub(super) sort: Option<String>,
    /// The cluster to look at; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    pub(super) cluster: Option<String>,
}

/// Reads a time that does not keep a processor busy with looking.
fn interval(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        time if time < Duration::from_millis(50) => Err("too short; at least 50ms".to_owned()),
        time if time > Duration::from_secs(3600) => Err("too long; at most 1h".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals() {
        assert_eq!(interval("500ms"), Ok(Duration::from_millis(500)));
        for bad in ["0", "10ms", "2h", "soon", "-1s"] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}
