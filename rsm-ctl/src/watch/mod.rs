//! What changes in a cluster, as it changes: for people a line each ([`text`]), for programs an object each.
//!
//! Nothing is polled: the watcher sleeps until the agent says that something changed, looks, and compares with what it
//! saw before. Changes that follow one another faster than it looks are told together, and what comes and goes between
//! two looks is not told; the last state always is.

mod text;

use std::time::{Duration, Instant, SystemTime};

use clap::Args;
use rsm::Code;
use rsm::observe::{Change, Observer, Snapshot};

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::query::cluster::{self, attach};
use crate::query::json;
use crate::{clock, duration, print};

/// The shortest time between two looks: a cluster that changes all the time costs a few percent of a processor.
const PACE: Duration = Duration::from_millis(5);

/// How long after to ask an agent again that did not answer: nobody tells when it does.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// What `watch` can be told.
#[derive(Debug, Args)]
#[command(after_help = "\
Changes that follow one another faster than they are looked at (200 times a second) are told together; what comes and
goes in between is left out, the last state never is. Ends with code 3 when the cluster ends.")]
pub(crate) struct WatchArgs {
    /// Write JSON: an object on each line (see docs/json.md)
    #[arg(long)]
    json: bool,
    /// Tell first what is there, as if it came now
    #[arg(long)]
    initial: bool,
    /// End after this time: 500ms, 60s, 5m, 1h, or seconds
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse_positive)]
    time: Option<Duration>,
    /// The cluster to watch; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// Watches until the time is over, the reader goes, or the cluster ends.
pub(crate) fn perform(args: &WatchArgs) -> Result<ExitCode, Failure> {
    let observer = attach(args.cluster.as_deref())?;
    print::end_with_reader();
    let start = Instant::now();
    let mut seen = observer.snapshot();
    let mut silent = seen.processes.is_none();
    if args.initial {
        // Until the agent tells of others.
        seen.processes.get_or_insert_default();
        let all = seen.changes_since(&Snapshot::empty());
        if let Some(ended) = tell(&all, start, args.json)? {
            return Ok(ended);
        }
    }
    loop {
        let left = args.time.map(|time| time.saturating_sub(start.elapsed()));
        let again = silent.then_some(ASK_AGAIN).filter(|&again| left.is_none_or(|left| again < left));
        match observer.wait(&seen, again.or(left)) {
            Ok(()) => {}
            Err(error) if error.code() == Code::Interrupted => {}
            Err(error) if error.code() == Code::Timeout && again.is_some() => {}
            Err(error) if error.code() == Code::Timeout => return Ok(ExitCode::Success),
            Err(_) => return ended(&observer, seen, start, args.json),
        }
        let looked = Instant::now();
        let mut now = observer.snapshot();
        silent = now.processes.is_none();
        if silent {
            // What becomes of them is told when the agent answers.
            now.processes.clone_from(&seen.processes);
        }
        let changes = now.changes_since(&seen);
        seen = now;
        if let Some(ended) = tell(&changes, start, args.json)? {
            return Ok(ended);
        }
        std::thread::sleep(PACE.saturating_sub(looked.elapsed()));
    }
}

/// The last words: what the agent wrote before it ended, and that it ended.
fn ended(observer: &Observer, seen: Snapshot, start: Instant, as_json: bool) -> Result<ExitCode, Failure> {
    // Its processes are the agent's to know, and the agent is gone: what is left is what was written.
    let mut last = observer.snapshot();
    last.processes.clone_from(&seen.processes);
    if let Some(closed) = tell(&last.changes_since(&seen), start, as_json)? {
        return Ok(closed);
    }
    let in_order = observer.ended_in_order();
    let line = if as_json {
        json::line(serde_json::json!({
            "event": "cluster_ended",
            "time": clock::utc(SystemTime::now()),
            "cluster": last.cluster.name,
            "in_order": in_order,
        }))
    } else {
        String::new()
    };
    match print::answer(&line)? {
        ExitCode::Success => {}
        closed => return Ok(closed),
    }
    Err(cluster::ended(observer, &last.cluster.name))
}

/// Writes changes; says how to end when nobody reads them.
fn tell(changes: &[Change], start: Instant, as_json: bool) -> Result<Option<ExitCode>, Failure> {
    if changes.is_empty() {
        return Ok(None);
    }
    let lines: String = if as_json {
        let time = clock::utc(SystemTime::now());
        let line = |change: &Change| {
            let mut content = json::value(change);
            content["time"] = time.clone().into();
            json::line(content)
        };
        changes.iter().map(line).collect()
    } else {
        text::render(changes, start.elapsed())
    };
    match print::answer(&lines)? {
        ExitCode::Success => Ok(None),
        closed => Ok(Some(closed)),
    }
}
