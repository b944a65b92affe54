//! What a cluster does, again and again: [`sample`] looks, [`table`] makes rows of it, [`screen`] shows them on a
//! terminal that can do more than lines; elsewhere they are printed.

mod sample;
mod screen;
mod table;

use std::io::IsTerminal;
use std::time::Duration;

use clap::{Args, ValueEnum};
use rsm::observe::Observer;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::query::attach;
use crate::{colour, duration, print, query};
use sample::Sample;
use table::{Order, Table};

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
    plain: bool,
    /// Print one table, of what happens within one interval
    #[arg(long)]
    once: bool,
    /// Time from one look to the next: 500ms, 2s, or seconds; at least 50ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// What to show
    #[arg(long, value_enum, default_value = "nodes")]
    view: View,
    /// The column to sort by, such as memory; the largest come first
    #[arg(long, value_name = "COLUMN")]
    sort: Option<String>,
    /// The cluster to look at; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// Reads a time that does not keep a processor busy with looking.
fn interval(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        time if time < Duration::from_millis(50) => Err("too short; at least 50ms".to_owned()),
        time if time > Duration::from_secs(3600) => Err("too long; at most 1h".to_owned()),
        time => Ok(time),
    }
}

/// Shows until told to end, or the cluster ends.
pub(crate) fn perform(args: &TopArgs) -> Result<ExitCode, Failure> {
    let order = Order::named(args.view, args.sort.as_deref()).map_err(Failure::usage)?;
    let observer = attach(args.cluster.as_deref())?;
    let can = std::io::stdout().is_terminal() && std::io::stdin().is_terminal() && !colour::is_dumb();
    if args.plain || args.once || !can { plain(args, &observer, order) } else { screen::run(args, &observer, order) }
}

fn plain(args: &TopArgs, observer: &Observer, order: Order) -> Result<ExitCode, Failure> {
    print::end_with_reader();
    let mut before = Sample::take(observer);
    loop {
        if sleep(observer, args.interval) {
            return Err(gone(observer, &before));
        }
        let now = Sample::take(observer);
        if observer.is_gone() {
            return Err(gone(observer, &before));
        }
        let table = Table::of(args.view, &before, &now, order);
        let text = format!("{}\n{}", now.summary(&before).join("\n"), table.text());
        match print::answer(&if args.once { text } else { text + "\n" })? {
            ExitCode::Success if !args.once => before = now,
            done => return Ok(done),
        }
    }
}

/// Sleeps, and says whether the cluster ended meanwhile.
fn sleep(observer: &Observer, time: Duration) -> bool {
    let start = std::time::Instant::now();
    loop {
        let left = time.saturating_sub(start.elapsed());
        if observer.is_gone() || left.is_zero() {
            return observer.is_gone();
        }
        std::thread::sleep(left.min(Duration::from_millis(50)));
    }
}

fn gone(observer: &Observer, last: &Sample) -> Failure {
    query::ended(observer, &last.seen.cluster.name)
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
