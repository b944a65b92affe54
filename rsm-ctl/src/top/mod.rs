//! What a cluster does, again and again: [`sample`] looks, [`table`] makes rows of it, [`screen`] shows them on a
//! [`terminal`] that can do more than lines; elsewhere they are printed.

pub(crate) mod args;
mod sample;
mod screen;
mod table;
mod terminal;

use std::io::IsTerminal;
use std::time::Duration;

use rsm::observe::Observer;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::query::cluster::attach;
use crate::{colour, print};
use args::TopArgs;
use sample::{Sample, gone, has_hosts};
use table::{Order, Table};

/// Shows until told to end, or the cluster ends.
pub(crate) fn perform(args: &TopArgs) -> Result<ExitCode, Failure> {
    let order = |hosts| Order::named(args.view, hosts, args.sort.as_deref()).map_err(Failure::usage);
    order(true)?;
    let observer = attach(args.cluster.as_deref())?;
    let order = order(has_hosts(&observer.nodes()))?;
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
