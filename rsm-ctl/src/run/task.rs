//! What runs where: programs and nodes as the user put them, laid out as processes to start.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::input::Input;
use super::node_set::NodeSet;
use super::placement::Pin;
use super::program::{self, Program};
use super::setting::Setting;
use crate::cli;
use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};

/// Most processes that one command starts: what is said about all of them fits between two processes unread.
pub(crate) const MOST_PROCESSES: usize = 256;

/// A process to start.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) node: u32,
    /// How it is called in tags and messages: the node's id, and where a node has several a number after it.
    pub(crate) label: String,
    pub(crate) program: Program,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) cpu: Option<usize>,
}

/// A program and the nodes that run it.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) nodes: NodeSet,
    pub(crate) program: Program,
    /// How many of it on each node.
    pub(crate) processes: u32,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) pin: Option<Pin>,
}

/// What is said about all programs.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) environment: Vec<Setting>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) pin: Option<Pin>,
}

impl Part {
    /// A program on these nodes, once on each, with nothing else said.
    pub(crate) fn plain(nodes: NodeSet, program: Program) -> Part {
        Part { nodes, program, processes: 1, environment: Vec::new(), directory: None, pin: None }
    }
}

/// Cuts the words of a command line with several programs apart. Only where the first one was given nodes do the three
/// words `--node NODES --` start another.
pub(crate) fn split(first: Option<NodeSet>, words: Vec<OsString>) -> Result<Vec<(NodeSet, Vec<OsString>)>, Failure> {
    let Some(first) = first else { return Ok(vec![(NodeSet::All, words)]) };
    let mut parts = vec![(first, Vec::new())];
    let mut rest = words.into_iter().peekable();
    while let Some(word) = rest.next() {
        let mut ahead = rest.clone();
        let nodes = if word == "--node" { ahead.next().zip(ahead.next()).filter(|(_, end)| end == "--") } else { None };
        match nodes {
            Some((nodes, _)) => {
                let nodes =
                    NodeSet::parse(&nodes.to_string_lossy()).map_err(|text| usage(format!("--node: {text}")))?;
                parts.push((nodes, Vec::new()));
                rest = ahead;
            }
            None => parts.last_mut().expect("there is a first part").1.push(word),
        }
    }
    Ok(parts)
}

/// Finds the program that words of a command line name.
pub(crate) fn program_of(words: Vec<OsString>) -> Result<Program, Failure> {
    let mut words = words.into_iter();
    let name = words.next().ok_or_else(|| usage("--node NODES -- needs a program after it".into()))?;
    if name.is_empty() {
        return Err(usage("the name of the program to run is empty".into()));
    }
    if name.as_encoded_bytes().starts_with(b"-") {
        return Err(usage(no_option(&name.to_string_lossy())));
    }
    Ok(Program { path: program::find(&name, None)?, name, arguments: words.collect() })
}

/// What stands where a program should: a mistyped option.
fn no_option(word: &str) -> String {
    let word = word.split('=').next().unwrap_or_default();
    let near = cli::options().into_iter().map(|option| (strsim::damerau_levenshtein(&option, word), option)).min();
    match near {
        Some((1..=2, near)) => format!("there is no option {word} here; did you mean {near}?"),
        _ => format!("there is no option {word} here, and no program is called like that"),
    }
}

/// Lays parts out as processes, by node. A part's own word counts more than what is common to all, and what stands above
/// them more than both.
pub(crate) fn lay_out(nodes: u32, parts: Vec<Part>, common: &Common, above: &Common) -> Result<Vec<Task>, Failure> {
    let none = BTreeSet::new();
    let mut named = BTreeSet::new();
    for part in parts.iter().filter(|part| part.nodes != NodeSet::Others) {
        named.extend(part.nodes.resolve(nodes, &none).map_err(|text| usage(format!("--node: {text}")))?);
    }
    let mut by_node: BTreeMap<u32, Vec<(Task, Option<&Pin>)>> = BTreeMap::new();
    for part in &parts {
        let directory = [&above.directory, &part.directory, &common.directory].into_iter().flatten().next();
        let pin = [&above.pin, &part.pin, &common.pin].into_iter().flatten().next();
        directory.map_or(Ok(()), |directory| check_directory(directory))?;
        for node in part.nodes.resolve(nodes, &named).map_err(usage)? {
            for _ in 0..part.processes {
                let task = Task {
                    node,
                    label: String::new(),
                    program: part.program.clone(),
                    environment: environment(node, nodes, part, common, above)?,
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
        return Err(usage(format!("{} processes are too many: at most {MOST_PROCESSES}", tasks.len())));
    }
    place(tasks)
}

/// The index of the process that reads what is put in.
pub(crate) fn reader(input: Option<Input>, tasks: &[Task], nodes: u32) -> Result<Option<usize>, Failure> {
    let node = match input {
        Some(Input::Nobody) => return Ok(None),
        Some(Input::Node(node)) => node,
        None => return Ok((!tasks.is_empty()).then_some(0)),
    };
    match tasks.iter().position(|task| task.node == node) {
        Some(index) => Ok(Some(index)),
        None if node > nodes => Err(usage(format!("--stdin: there is no node {node}: the cluster has 1 to {nodes}"))),
        None => Err(usage(format!("--stdin: no program runs on node {node}"))),
    }
}

/// Whether a directory can be one to start in.
pub(crate) fn check_directory(directory: &Path) -> Result<(), Failure> {
    let refused = |why: String| Failure {
        code: ExitCode::Failure,
        message: format!("cannot start in {:?}: {why}", directory.display().to_string()),
    };
    if directory.exists() && !directory.is_dir() {
        return Err(refused("Not a directory".into()));
    }
    access(directory, Access::EXEC_OK).map_err(|errno| refused(reason(&errno.into())))
}

/// A command line that was parsed and makes no sense.
pub(crate) fn usage(message: String) -> Failure {
    Failure { code: ExitCode::Usage, message }
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
            if meant.map_err(|text| usage(format!("--env: {text}")))?.contains(&node) {
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

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn part(nodes: &str, processes: u32) -> Part {
        let program = Program { path: "/bin/true".into(), name: nodes.into(), arguments: Vec::new() };
        Part { processes, ..Part::plain(NodeSet::parse(nodes).unwrap(), program) }
    }

    #[test]
    fn programs_are_cut_apart_only_where_nodes_were_given() {
        let line = "a --node 2 b -- --node 2-3 -- c --node";
        let one = split(None, words(line)).unwrap();
        assert_eq!(one, [(NodeSet::All, words(line))]);
        let two = split(Some(NodeSet::one(1)), words(line)).unwrap();
        assert_eq!(
            two,
            [(NodeSet::one(1), words("a --node 2 b --")), (NodeSet::parse("2-3").unwrap(), words("c --node"))]
        );
        assert!(split(Some(NodeSet::one(1)), words("a --node x -- b")).is_err());
        assert!(program_of(Vec::new()).is_err());
    }

    #[test]
    fn processes_are_laid_out_by_node() {
        let common = Common {
            environment: vec![super::super::setting::parse(OsStr::new("2:A=b")).unwrap()],
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
        let set = |text: &str| super::super::setting::parse(OsStr::new(text)).unwrap();
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
