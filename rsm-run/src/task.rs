//! What runs where: programs and nodes as the user put them, laid out as processes to start.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};
use crate::input::Input;
use crate::node_set::NodeSet;
use crate::placement::Pin;
use crate::program::Program;
use crate::setting::Setting;

/// Most processes that one command starts: what is said about all of them fits between two processes unread.
pub const MOST_PROCESSES: usize = 256;

/// A process to start.
#[derive(Debug)]
pub struct Task {
    /// The node it is a process of.
    pub node: u32,
    /// How it is called in tags and messages: the node's id, and where a node has several a number after it.
    pub label: String,
    /// What it executes.
    pub program: Program,
    /// Variables besides those it inherits; the last one of a name counts.
    pub environment: Vec<(OsString, OsString)>,
    /// Variables that it does not inherit.
    pub without: Vec<OsString>,
    /// Where it starts; where this process is without one.
    pub directory: Option<PathBuf>,
    /// The processor it is bound to.
    pub cpu: Option<usize>,
}

/// A program and the nodes that run it.
#[derive(Debug)]
pub struct Part {
    /// The nodes that run it.
    pub nodes: NodeSet,
    /// What they run.
    pub program: Program,
    /// How many of it on each node.
    pub processes: u32,
    /// Variables of its processes.
    pub environment: Vec<(OsString, OsString)>,
    /// Variables that they do not inherit.
    pub without: Vec<OsString>,
    /// Where they start.
    pub directory: Option<PathBuf>,
    /// The processors they are bound to.
    pub pin: Option<Pin>,
}

/// What is said about all programs.
#[derive(Debug, Default)]
pub struct Common {
    /// Variables, of some nodes or all.
    pub environment: Vec<Setting>,
    /// Where processes start.
    pub directory: Option<PathBuf>,
    /// The processors they are bound to.
    pub pin: Option<Pin>,
}

impl Part {
    /// A program on these nodes, once on each, with nothing else said.
    pub fn plain(nodes: NodeSet, program: Program) -> Part {
        Part { nodes, program, processes: 1, environment: Vec::new(), without: Vec::new(), directory: None, pin: None }
    }
}

/// Lays parts out as processes, by node. A part's own word counts more than what is common to all, and what stands above
/// them more than both.
pub fn lay_out(nodes: u32, parts: Vec<Part>, common: &Common, above: &Common) -> Result<Vec<Task>, Failure> {
    let none = BTreeSet::new();
    let mut named = BTreeSet::new();
    for part in parts.iter().filter(|part| part.nodes != NodeSet::Others) {
        named.extend(part.nodes.resolve(nodes, &none).map_err(|text| Failure::usage(format!("--node: {text}")))?);
    }
    let mut by_node: BTreeMap<u32, Vec<(Task, Option<&Pin>)>> = BTreeMap::new();
    for part in &parts {
        let directory = [&above.directory, &part.directory, &common.directory].into_iter().flatten().next();
        let pin = [&above.pin, &part.pin, &common.pin].into_iter().flatten().next();
        directory.map_or(Ok(()), |directory| check_directory(directory))?;
        for node in part.nodes.resolve(nodes, &named).map_err(Failure::usage)? {
            for _ in 0..part.processes {
                let task = Task {
                    node,
                    label: String::new(),
                    program: part.program.clone(),
                    environment: environment(node, nodes, part, common, above)?,
                    without: part.without.clone(),
                    directory: directory.cloned(),
                    cpu: None,
                };
                by_node.entry(node).or_default().push((task, pin));
            }
        }
    }
    for (node, tasks) in &mut by_node {
        let several = tasks.len() > 1;
        for (number, (task, _)) in (1..).zip(tasks) {
            task.label = if several { format!("{node}.{number}") } else { node.to_string() };
        }
    }
    let tasks: Vec<_> = by_node.into_values().flatten().collect();
    if tasks.len() > MOST_PROCESSES {
        return Err(Failure::usage(format!("{} processes are too many: at most {MOST_PROCESSES}", tasks.len())));
    }
    place(tasks)
}

/// The index of the process that reads what is put in.
pub fn reader(input: Option<Input>, tasks: &[Task], nodes: u32) -> Result<Option<usize>, Failure> {
    let node = match input {
        Some(Input::Nobody) => return Ok(None),
        Some(Input::Node(node)) => node,
        None => return Ok((!tasks.is_empty()).then_some(0)),
    };
    match tasks.iter().position(|task| task.node == node) {
        Some(index) => Ok(Some(index)),
        None if node > nodes => {
            Err(Failure::usage(format!("--stdin: there is no node {node}: the cluster has 1 to {nodes}")))
        }
        None => Err(Failure::usage(format!("--stdin: no program runs on node {node}"))),
    }
}

/// Whether a directory can be one to start in.
pub fn check_directory(directory: &Path) -> Result<(), Failure> {
    let refused = |why: String| Failure {
        code: ExitCode::Failure,
        message: format!("cannot start in {:?}: {why}", directory.display().to_string()),
    };
    if directory.exists() && !directory.is_dir() {
        return Err(refused("Not a directory".into()));
    }
    access(directory, Access::EXEC_OK).map_err(|errno| refused(reason(&errno.into())))
}

/// The variables of a process; what is said later counts.
fn environment(
    node: u32,
    nodes: u32,
    part: &Part,
    common: &Common,
    above: &Common,
) -> Result<Vec<(OsString, OsString)>, Failure> {
    let fitting = |settings: &[Setting]| -> Result<Vec<(OsString, OsString)>, Failure> {
        let mut fitting = Vec::new();
        for setting in settings {
            let meant = setting.nodes.resolve(nodes, &BTreeSet::new());
            if meant.map_err(|text| Failure::usage(format!("--env: {text}")))?.contains(&node) {
                fitting.push((setting.name.clone(), setting.value.clone()));
            }
        }
        Ok(fitting)
    };
    let mut environment = fitting(&common.environment)?;
    environment.extend(part.environment.iter().cloned());
    environment.extend(fitting(&above.environment)?);
    Ok(environment)
}

/// Hands out CPUs in the order of the processes; those that are bound by the same words share one round.
fn place(tasks: Vec<(Task, Option<&Pin>)>) -> Result<Vec<Task>, Failure> {
    let mut rounds: Vec<(&Pin, std::iter::Cycle<std::vec::IntoIter<usize>>)> = Vec::new();
    let mut placed = Vec::new();
    for (mut task, pin) in tasks {
        if let Some(pin) = pin {
            let known = rounds.iter().position(|(known, _)| *known == pin);
            let round = match known {
                Some(known) => known,
                None => {
                    rounds.push((pin, pin.cpus()?.into_iter().cycle()));
                    rounds.len() - 1
                }
            };
            task.cpu = rounds[round].1.next();
        }
        placed.push(task);
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;

    fn part(nodes: &str, processes: u32) -> Part {
        let program = Program { path: "/bin/true".into(), name: nodes.into(), arguments: Vec::new() };
        Part { processes, ..Part::plain(NodeSet::parse(nodes).unwrap(), program) }
    }

    #[test]
    fn processes_are_laid_out_by_node() {
        let common = Common {
            environment: vec![crate::setting::parse(OsStr::new("2:A=b")).unwrap()],
            pin: Some(Pin::Auto),
            ..Common::default()
        };
        let none = Common::default();
        let tasks = lay_out(3, vec![part("2", 1), part("others", 1), part("2-3", 2)], &none, &common).unwrap();
        let labels: Vec<&str> = tasks.iter().map(|task| &*task.label).collect();
        assert_eq!(labels, ["1", "2.1", "2.2", "2.3", "3.1", "3.2"]);
        let set: Vec<bool> = tasks.iter().map(|task| !task.environment.is_empty()).collect();
        assert_eq!(set, [false, true, true, true, false, false]);
        assert!(tasks.iter().all(|task| task.cpu.is_some()));
        assert_eq!(tasks[1].program.name, "2");
        assert_eq!(lay_out(2, vec![part("3", 1)], &none, &common).unwrap_err().code, ExitCode::Usage);
        assert!(lay_out(63, vec![part("all", 5)], &none, &none).is_err(), "too many");
    }

    #[test]
    fn the_last_word_on_a_variable() {
        let set = |text: &str| crate::setting::parse(OsStr::new(text)).unwrap();
        let common = Common { environment: vec![set("A=common")], ..Common::default() };
        let above = Common { environment: vec![set("2:A=above")], ..Common::default() };
        let own = Part { environment: vec![("A".into(), "own".into())], ..part("2-3", 1) };
        let tasks = lay_out(3, vec![part("1", 1), own], &common, &above).unwrap();
        let last: Vec<&OsStr> = tasks.iter().map(|task| &*task.environment.last().unwrap().1).collect();
        assert_eq!(last, ["common", "above", "own"]);
    }

    #[test]
    fn who_reads() {
        let tasks = lay_out(3, vec![part("2-3", 1)], &Common::default(), &Common::default()).unwrap();
        assert_eq!(reader(None, &tasks, 3).unwrap(), Some(0));
        assert_eq!(reader(Some(Input::Nobody), &tasks, 3).unwrap(), None);
        assert_eq!(reader(Some(Input::Node(3)), &tasks, 3).unwrap(), Some(1));
        assert!(reader(Some(Input::Node(1)), &tasks, 3).unwrap_err().message.contains("no program"));
        assert!(reader(Some(Input::Node(4)), &tasks, 3).unwrap_err().message.contains("1 to 3"));
    }
}
