//! Runs of real processes, one Python for each node: what `python -m rsmapi.run` and the pytest plugin stand on.
//!
//! Only for a process that has no other threads, because the launcher forks: both start a Python of its own for it.

use crate::args::LensWords;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rsm_run::failure::Failure;
use rsm_run::junit::Report;
use rsm_run::node_set::{MOST_NODES, NodeSet};
use rsm_run::plan::{Home, NewCluster, Plan};
use rsm_run::program::{self, Program};
use rsm_run::task::{self, Common, Part};
use rsm_run::trial::{self, Trial};
use rsm_run::verbosity::Verbosity;
use rsm_run::{front, process};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What a run is asked for, besides what it executes.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    nodes: u32,
    #[serde(default)]
    timeout: Option<f64>,
    #[serde(default)]
    grace: Option<f64>,
    #[serde(default)]
    chaos: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    faults: Option<String>,
    #[serde(default)]
    profile: Option<String>,
    #[serde(default)]
    virtual_time: bool,
    #[serde(default)]
    controllers: Vec<String>,
    #[serde(default)]
    log_dir: Option<PathBuf>,
    #[serde(default)]
    junit: Option<PathBuf>,
    #[serde(default)]
    tag_output: bool,
    #[serde(default)]
    keep_going: bool,
    /// Whether the first node reads what this process is given to read.
    #[serde(default)]
    input: bool,
}

/// How a run went, or why there was none.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Facts {
    Trial(Box<Trial>),
    Refused(String),
}

fn seconds(value: Option<f64>, what: &str) -> Result<Option<Duration>, Failure> {
    let good = |seconds: f64| Duration::try_from_secs_f64(seconds).ok().filter(|time| !time.is_zero());
    match value {
        None => Ok(None),
        Some(seconds) => match good(seconds) {
            Some(time) => Ok(Some(time)),
            None => Err(Failure::usage(format!("{what} is a number of seconds above 0, not {seconds}"))),
        },
    }
}

fn plan(command: Vec<OsString>, settings: Settings) -> Result<Plan, Failure> {
    if !(1..=MOST_NODES).contains(&settings.nodes) {
        return Err(Failure::usage(format!("a cluster has 1 to {MOST_NODES} nodes, not {}", settings.nodes)));
    }
    let mut words = command.into_iter();
    let name = words.next().ok_or_else(|| Failure::usage("there is no program to run"))?;
    let program = Program { path: program::find(&name, None)?, name, arguments: words.collect() };
    let parts = vec![Part::plain(NodeSet::All, program)];
    let tasks = task::lay_out(settings.nodes, parts, &Common::default(), &Common::default())?;
    let Settings { chaos, model, faults, profile, virtual_time: is_virtual, .. } = settings;
    let lens = LensWords { chaos, model, faults, profile, is_virtual }.lens();
    let lens = lens.map_err(|error| Failure::usage(error.detail().to_owned()))?;
    let controllers = settings.controllers;
    let cluster = NewCluster { nodes: settings.nodes, controllers, lens, ..NewCluster::default() };
    let mut plan = Plan::plain(Home::New(cluster), tasks, Verbosity::Normal);
    plan.reader = if settings.input { task::reader(None, &plan.tasks, settings.nodes)? } else { None };
    plan.tag_output = settings.tag_output;
    plan.keep_going = settings.keep_going;
    plan.timeout = seconds(settings.timeout, "a timeout")?;
    plan.log_dir = settings.log_dir;
    if let Some(grace) = seconds(settings.grace, "a grace")? {
        plan.grace = grace;
    }
    Ok(plan)
}

fn read(settings: &str) -> PyResult<Settings> {
    serde_json::from_str(settings).map_err(|error| PyValueError::new_err(format!("settings of a run: {error}")))
}

/// Runs a command on the nodes of a new cluster. Answers what to end with and, where there was no run, why.
#[pyfunction]
pub(crate) fn run(command: Vec<OsString>, settings: &str) -> PyResult<(u8, Option<String>)> {
    let settings = read(settings)?;
    process::use_default_action(Signal::CHILD);
    let junit = settings.junit.clone();
    let ran = plan(command, settings).and_then(|plan| {
        let report = junit.map(|path| Report::create(&path, plan.suite())).transpose()?;
        front::run(plan, report)
    });
    Ok(match ran {
        Ok(code) => (code.number(), None),
        Err(Failure { code, message }) => (code.number(), Some(message)),
    })
}

/// Runs a command on the nodes of a new cluster, and answers how it went, as JSON.
#[pyfunction]
pub(crate) fn run_for_facts(command: Vec<OsString>, settings: &str) -> PyResult<String> {
    let settings = read(settings)?;
    process::use_default_action(Signal::CHILD);
    let facts = match plan(command, settings).and_then(trial::shown) {
        Ok(trial) => Facts::Trial(Box::new(trial)),
        Err(failure) => Facts::Refused(failure.message),
    };
    serde_json::to_string(&facts).map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Has this process asked to end (SIGTERM) when its parent ends. Answers whether that is still the parent.
#[pyfunction]
pub(crate) fn end_with_parent(parent: i32) -> PyResult<bool> {
    set_parent_process_death_signal(Some(Signal::TERM)).map_err(std::io::Error::from)?;
    Ok(getppid().is_some_and(|now| now.as_raw_nonzero().get() == parent))
}
