//! `rsm-ctl trace --attach`: a trace of a cluster that runs already.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use rsm::Code;
use rsm::lens::{Noted, Trace};
use rsm::observe::{Observer, Tracer};
use rsm_lab::trace::{EVERY, Recorder};
use rsm_run::printable;
use rsm_run::signals::SignalQueue;
use rsm_run::verbosity::Verbosity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;

use super::Target;
use super::args::AttachArgs;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// How a trace came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Somebody said so, or the time is over.
    Asked,
    /// The cluster's.
    Cluster,
}

/// Writes down what the cluster does until somebody says that it is enough.
pub(super) fn perform(args: &AttachArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    let [name, file] = &args.attach[..] else { return Err(Failure::usage("write --attach CLUSTER FILE")) };
    let target = Target::parse(file.clone()).map_err(Failure::usage)?;
    let name = text(name)?;
    // Before anybody notes anything: a signal ends the trace, and not this process.
    let signals = SignalQueue::new(&[Signal::INT, Signal::TERM, Signal::HUP]);
    let signals = signals.map_err(|error| Failure::call("cannot wait for a signal", "signalfd", error))?;
    let observer = Observer::attach(Some(name))?;
    let tracer = Tracer::begin_with(observer, Trace { bytes: args.trace_bytes })?;
    let until = args.time.and_then(|time| Instant::now().checked_add(time));
    let end = record(tracer, &target, &signals, until, verbosity)?;
    if end == End::Cluster && verbosity != Verbosity::Quiet {
        print::remark(&format!("the cluster {name:?} has ended, and the trace with it"));
    }
    target.finish()?;
    Ok(ExitCode::Success)
}

fn text(name: &OsStr) -> Result<&str, Failure> {
    name.to_str().ok_or_else(|| Failure::new(format!("no cluster named {name:?}: a name is text")))
}

fn record(
    mut tracer: Tracer,
    target: &Target,
    signals: &SignalQueue,
    until: Option<Instant>,
    verbosity: Verbosity,
) -> Result<End, Failure> {
    let path = target.raw();
    let cannot = |error: io::Error| Failure::system(&format!("cannot write {}", printable::path(&path)), error);
    let mut recorder = File::create(&path).and_then(|file| Recorder::begin_late(file, &tracer)).map_err(cannot)?;
    if verbosity != Verbosity::Quiet {
        let left = if until.is_some() { "Ctrl-C ends it sooner" } else { "Ctrl-C ends it" };
        print::remark(&format!("writing what the cluster does to {}; {left}", printable::path(&path)));
    }
    let end = loop {
        let asked = is_over(signals, until);
        let (noted, ended) = read(&mut tracer)?;
        recorder.go_on_with(noted).map_err(cannot)?;
        if ended {
            break End::Cluster;
        }
        if asked {
            break End::Asked;
        }
    };
    if end == End::Asked && verbosity != Verbosity::Quiet {
        for (node, pid) in tracer.unheard().unwrap_or_default() {
            let why = "it is not known to note its calls, for want of memory or descriptors, or has just come";
            print::warning(&format!("node {node} (pid {pid}) is not in the trace: {why}"));
        }
    }
    // What processes do from here on nobody reads any more.
    drop(tracer);
    recorder.end_late().map_err(cannot)?;
    Ok(end)
}

/// What was noted, and whether the cluster has ended.
fn read(tracer: &mut Tracer) -> Result<(Vec<Noted>, bool), Failure> {
    match tracer.noted() {
        Ok(noted) => Ok((noted, false)),
        Err(error) if error.code() == Code::CtlrNotPresent => Ok((tracer.last(true), true)),
        // The agent does not answer now, or somebody is short of descriptors or memory for a moment; what is noted needs neither,
        // and the rest is there the next time.
        Err(error) if matches!(error.code(), Code::Timeout | Code::InsufficientResources) => {
            Ok((tracer.last(false), false))
        }
        Err(error) => Err(error.into()),
    }
}

/// Waits until it is time to read again; whether it is for the last time.
fn is_over(signals: &SignalQueue, until: Option<Instant>) -> bool {
    let left = until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
    let wait = Timespec::try_from(left.min(EVERY)).ok();
    // That it fails, with EINTR, only means that it is looked sooner; where it is refused, not at once.
    if poll(&mut [PollFd::new(signals, PollFlags::IN)], wait.as_ref()).is_err() {
        std::thread::sleep(left.min(Duration::from_millis(1)));
    }
    signals.next().is_some() || until.is_some_and(|until| Instant::now() >= until)
}
