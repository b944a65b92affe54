//! A cluster described in a file: nodes, controllers, links, programs.
//!
//! The form is in docs/cluster-file.md. Nothing in a file is ignored: what is not known, or not possible, is shown with
//! its line and column.

mod fields;
mod source;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use toml::de::{DeTable, DeValue};

use rsm::Bridge;
use rsm_run::input::Input;
use rsm_run::node_set::{MOST_NODES, NodeSet};
use rsm_run::placement::Pin;
use rsm_run::plan::CutLink;
use rsm_run::program::{self, Program};
use rsm_run::setting::{self, Setting};
use rsm_run::task::{self, Common, MOST_PROCESSES, Part};

use super::args::OnTimeout;
use super::lens::{self, LensArgs, Seed};
use crate::duration;
use crate::failure::Failure;
use fields::{Fields, Value, list, number, parsed, table, text, truth, wrong};
use source::Source;

/// Keys of the whole file.
const KEYS: [&str; 25] = [
    "nodes",
    "name",
    "controllers",
    "here",
    "bridge",
    "chaos",
    "model",
    "faults",
    "profile",
    "virtual",
    "program",
    "link",
    "env",
    "cwd",
    "pin",
    "log-dir",
    "grace",
    "timeout",
    "on-timeout",
    "script",
    "stdin",
    "tag-output",
    "keep-going",
    "junit",
    "junit-name",
];
/// Those that only say something about a `run`.
const OF_RUN: [&str; 8] =
    ["timeout", "on-timeout", "script", "stdin", "tag-output", "keep-going", "junit", "junit-name"];
/// Keys of a program.
const PROGRAM: [&str; 6] = ["nodes", "run", "processes", "env", "cwd", "pin"];
/// Keys of a bridge.
const BRIDGE: [&str; 2] = ["controller", "device"];
/// Keys of a link.
const LINK: [&str; 5] = ["between", "from", "to", "controller", "state"];

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Description {
    pub(crate) nodes: u32,
    pub(crate) name: Option<String>,
    pub(crate) controllers: Vec<String>,
    /// Nodes of this host, and how those of the other one are reached.
    pub(crate) here: Option<NodeSet>,
    pub(crate) bridge: Option<Bridge>,
    /// Said by the command line alone.
    pub(crate) bridge_wait: Option<Duration>,
    pub(crate) parts: Vec<Part>,
    pub(crate) links: Vec<CutLink>,
    pub(crate) lens: LensArgs,
    pub(crate) common: Common,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) grace: Option<Duration>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) on_timeout: Option<OnTimeout>,
    pub(crate) script: Option<PathBuf>,
    pub(crate) stdin: Option<Input>,
    pub(crate) tag_output: bool,
    pub(crate) keep_going: bool,
    pub(crate) junit: Option<PathBuf>,
    pub(crate) junit_name: Option<String>,
}

/// For whom a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    Run,
    Up,
}

/// Reads a file.
pub(crate) fn read(path: &Path, reader: Reader) -> Result<Description, Failure> {
    describe(&Source::read(path)?, reader)
}

fn describe(source: &Source, reader: Reader) -> Result<Description, Failure> {
    let parsed_file = DeTable::parse(&source.text).map_err(|error| {
        let place = error.span().unwrap_or(0..0);
        source.complain(place, error.message())
    })?;
    // What stands nowhere is complained about at the first line.
    let file = Fields::new(source, parsed_file.get_ref(), 0..0, &KEYS)?;
    if reader == Reader::Up
        && let Some((key, value)) = OF_RUN.iter().find_map(|key| Some((key, file.get(key)?)))
    {
        return Err(source.complain(value.span(), &format!("{key:?} means nothing to `up`, only to `run`")));
    }
    let nodes = number(source, file.require("nodes", "nodes = 4")?, 1, MOST_NODES)?;
    let place = |source: &Source, value: &Value<'_>| Ok(source.directory().join(text(source, value)?));
    let controllers = file.take("controllers", names)?.unwrap_or_default();
    let here = file.take("here", |source, value| node_set(source, value, nodes))?;
    let tables = |key: &str| match file.get(key) {
        None => Ok(&[][..]),
        Some(value) => list(source, value, &format!("[[{key}]] above its keys")),
    };
    let bridge = match tables("bridge")? {
        [] => None,
        [one] => Some(bridge(source, one)?),
        [_, more, ..] => return Err(source.complain(more.span(), "a host has one bridge")),
    };
    let mut linked = if controllers.is_empty() { vec!["shm0".to_owned()] } else { controllers.clone() };
    linked.extend(bridge.iter().map(|bridge| bridge.controller.clone()));
    Ok(Description {
        nodes,
        name: file.take("name", |source, value| Ok(text(source, value)?.to_owned()))?,
        parts: tables("program")?.iter().map(|value| part(source, value, nodes)).collect::<Result<_, _>>()?,
        links: tables("link")?.iter().map(|value| cut_link(source, value, nodes, &linked)).collect::<Result<_, _>>()?,
        common: Common {
            environment: file
                .take("env", variables)?
                .unwrap_or_default()
                .into_iter()
                .map(|(name, value)| Setting { nodes: NodeSet::All, name, value })
                .collect(),
            directory: file.take("cwd", directory)?,
            pin: file.take("pin", pin)?,
        },
        lens: LensArgs {
            chaos: file.take("chaos", seed)?,
            model: file.take("model", parsed(lens::model))?,
            faults: file.take("faults", parsed(lens::faults))?,
            profile: file.take("profile", parsed(lens::profile))?,
            is_virtual: file.take("virtual", truth)?.unwrap_or(false),
        },
        controllers,
        here,
        bridge,
        bridge_wait: None,
        log_dir: file.take("log-dir", place)?,
        grace: file.take("grace", parsed(duration::parse))?,
        timeout: file.take("timeout", parsed(duration::parse_positive))?,
        on_timeout: file.take("on-timeout", parsed(|text| OnTimeout::from_str(text, false)))?,
        script: file.take("script", place)?,
        stdin: file.take("stdin", |source, value| input(source, value, nodes))?,
        tag_output: file.take("tag-output", truth)?.unwrap_or(false),
        keep_going: file.take("keep-going", truth)?.unwrap_or(false),
        junit: file.take("junit", place)?,
        junit_name: file.take("junit-name", |source, value| Ok(text(source, value)?.to_owned()))?,
    })
}

fn seed(source: &Source, value: &Value<'_>) -> Result<Seed, Failure> {
    match value.get_ref() {
        DeValue::Boolean(true) => Ok(Seed::DRAWN),
        DeValue::Integer(number) if number.radix() == 10 => {
            Seed::parse(number.as_str()).map_err(|why| source.complain(value.span(), &why))
        }
        DeValue::String(_) => parsed(Seed::parse)(source, value),
        _ => Err(wrong(source, value, "a seed such as 7 or \"7:storm\", or true for one that is drawn")),
    }
}

fn part(source: &Source, value: &Value<'_>, nodes: u32) -> Result<Part, Failure> {
    let fields = Fields::new(source, table(source, value, "[[program]] above its keys")?, value.span(), &PROGRAM)?;
    let run = fields.require("run", "run = [\"./prog\", \"argument\"]")?;
    let most = u32::try_from(MOST_PROCESSES).unwrap_or(u32::MAX);
    Ok(Part {
        nodes: fields.take("nodes", |source, value| node_set(source, value, nodes))?.unwrap_or(NodeSet::All),
        program: program(source, run)?,
        processes: fields.take("processes", |source, value| number(source, value, 1, most))?.unwrap_or(1),
        environment: fields.take("env", variables)?.unwrap_or_default(),
        without: Vec::new(),
        directory: fields.take("cwd", directory)?,
        pin: fields.take("pin", pin)?,
    })
}

fn program(source: &Source, value: &Value<'_>) -> Result<Program, Failure> {
    let wanted = "a list: [\"./prog\", \"argument\"]";
    let words = match value.get_ref() {
        DeValue::String(word) if !word.contains(char::is_whitespace) => vec![word.as_ref()],
        DeValue::Array(_) => {
            let words = list(source, value, wanted)?;
            words.iter().map(|word| text(source, word)).collect::<Result<_, _>>()?
        }
        _ => return Err(wrong(source, value, wanted)),
    };
    let [name, arguments @ ..] = &words[..] else { return Err(wrong(source, value, wanted)) };
    let path = program::find(name.as_ref(), Some(source.directory()))
        .map_err(|failure| Failure { code: failure.code, ..source.complain(value.span(), &failure.message) })?;
    Ok(Program { path, name: name.into(), arguments: arguments.iter().map(OsString::from).collect() })
}

fn node_set(source: &Source, value: &Value<'_>, nodes: u32) -> Result<NodeSet, Failure> {
    let wanted = "a node, a list of nodes, or \"1,4-6\", \"all\", \"others\"";
    let set = match value.get_ref() {
        DeValue::Integer(_) => NodeSet::one(number(source, value, 1, nodes)?),
        DeValue::Array(_) => {
            let list = list(source, value, wanted)?.iter();
            NodeSet::Listed(
                list.map(|node| number(source, node, 1, nodes).map(|node| node..=node)).collect::<Result<_, _>>()?,
            )
        }
        DeValue::String(_) => parsed(NodeSet::parse)(source, value)?,
        _ => return Err(wrong(source, value, wanted)),
    };
    set.resolve(nodes, &Default::default()).map_err(|why| source.complain(value.span(), &why))?;
    Ok(set)
}

fn bridge(source: &Source, value: &Value<'_>) -> Result<Bridge, Failure> {
    let fields = Fields::new(source, table(source, value, "[[bridge]] above its keys")?, value.span(), &BRIDGE)?;
    let controller = text(source, fields.require("controller", "controller = \"ntb0\"")?)?.to_owned();
    let device = text(source, fields.require("device", "device = \"local:NAME\"")?)?.to_owned();
    Ok(Bridge { controller, device })
}

fn cut_link(source: &Source, value: &Value<'_>, nodes: u32, known: &[String]) -> Result<CutLink, Failure> {
    let fields = Fields::new(source, table(source, value, "[[link]] above its keys")?, value.span(), &LINK)?;
    let state = fields.require("state", "state = \"down\"")?;
    if text(source, state)? != "down" {
        return Err(source.complain(state.span(), "a link starts up, or here \"down\""));
    }
    let controller = fields.take("controller", |source, value| {
        let name = text(source, value)?;
        if known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            return Ok(name.to_owned());
        }
        let why = format!("there is no controller {name:?} with links; there are: {}", known.join(", "));
        Err(source.complain(value.span(), &why))
    })?;
    let (from, to, both) = match (fields.get("between"), fields.get("from"), fields.get("to")) {
        (Some(between), None, None) => {
            let [one, other] = list(source, between, "a list of two nodes: [1, 2]")? else {
                return Err(source.complain(between.span(), "a link is between two nodes: [1, 2]"));
            };
            (number(source, one, 1, nodes)?, number(source, other, 1, nodes)?, true)
        }
        (None, Some(from), Some(to)) => (number(source, from, 1, nodes)?, number(source, to, 1, nodes)?, false),
        _ => {
            let why = "write between = [1, 2], or for one direction from = 1 and to = 2";
            return Err(source.complain(value.span(), why));
        }
    };
    Ok(CutLink { from, to, both, controller })
}

fn names(source: &Source, value: &Value<'_>) -> Result<Vec<String>, Failure> {
    let names = list(source, value, "a list: [\"shm0\", \"shm1\"]")?.iter();
    names.map(|name| Ok(text(source, name)?.to_owned())).collect()
}

fn variables(source: &Source, value: &Value<'_>) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut variables = Vec::new();
    for (name, value) in table(source, value, "a table: { NAME = \"value\" }")? {
        let word = OsString::from(name.get_ref().as_ref());
        setting::check_name(&word).map_err(|why| source.complain(name.span(), &why))?;
        variables.push((word, text(source, value)?.into()));
    }
    Ok(variables)
}

fn directory(source: &Source, value: &Value<'_>) -> Result<PathBuf, Failure> {
    let directory = source.directory().join(text(source, value)?);
    let refused = |failure: Failure| Failure { code: failure.code, ..source.complain(value.span(), &failure.message) };
    task::check_directory(&directory).map_err(refused)?;
    Ok(directory)
}

fn pin(source: &Source, value: &Value<'_>) -> Result<Pin, Failure> {
    match value.get_ref() {
        DeValue::Array(_) => {
            let most = u32::try_from(rustix::thread::CpuSet::MAX_CPU - 1).unwrap_or(u32::MAX);
            let list = list(source, value, "a list of CPUs")?.iter();
            let list: Vec<usize> =
                list.map(|cpu| Ok(number(source, cpu, 0, most)? as usize)).collect::<Result<_, Failure>>()?;
            if list.is_empty() { Err(wrong(source, value, "at least one CPU")) } else { Ok(Pin::List(list)) }
        }
        DeValue::String(_) => parsed(Pin::parse)(source, value),
        _ => Err(wrong(source, value, "\"auto\", \"0,2-3\", or a list of CPUs")),
    }
}

fn input(source: &Source, value: &Value<'_>, nodes: u32) -> Result<Input, Failure> {
    match value.get_ref() {
        DeValue::String(_) => parsed(Input::parse)(source, value),
        _ => number(source, value, 1, nodes).map(Input::Node),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit_code::ExitCode;

    fn described(text: &str) -> Result<Description, Failure> {
        describe(&Source { path: "c.toml".into(), text: text.to_owned() }, Reader::Run)
    }

    #[test]
    fn everything() {
        let file = "
            name = 'demo'
            nodes = 4
            chaos = 7
            model = 'sci'
            controllers = ['shm0', 'shm1']
            timeout = '5s'
            grace = '100ms'
            stdin = 2
            script = 'faults.txt'
            keep-going = true
            tag-output = true
            log-dir = 'logs'
            junit = 'report.xml'
            env = { A = 'b' }
            cwd = '/'
            pin = 'auto'
            here = '1-2'
            [[bridge]]
            controller = 'ntb0'
            device = 'local:lab'
            [[program]]
            nodes = 1
            run = ['sh', '-c', 'true']
            [[program]]
            nodes = 'others'
            run = 'true'
            processes = 2
            env = { A = 'c' }
            cwd = '/tmp'
            pin = [0]
            [[link]]
            between = [1, 2]
            state = 'down'
            [[link]]
            from = 3
            to = 1
            controller = 'shm1'
            state = 'down'
        ";
        let file = described(file).map_err(|failure| failure.message).unwrap();
        assert_eq!((file.nodes, file.name.as_deref()), (4, Some("demo")));
        assert_eq!(file.controllers, ["shm0", "shm1"]);
        assert_eq!(file.here.as_ref().unwrap().resolve(4, &Default::default()).unwrap(), [1, 2]);
        assert_eq!(file.bridge, Some(Bridge { controller: "ntb0".into(), device: "local:lab".into() }));
        assert_eq!(file.lens.lens(), Some(rsm::lens::Lens::chaos(7).model(rsm::lens::Model::Sci)));
        assert_eq!((file.timeout, file.grace), (Some(Duration::from_secs(5)), Some(Duration::from_millis(100))));
        assert_eq!((file.stdin, file.keep_going, file.tag_output), (Some(Input::Node(2)), true, true));
        assert_eq!((file.log_dir.unwrap(), file.script.unwrap()), ("./logs".into(), "./faults.txt".into()));
        assert_eq!(file.parts.len(), 2);
        assert_eq!((file.parts[1].processes, file.parts[1].pin.clone()), (2, Some(Pin::List(vec![0]))));
        assert_eq!(file.links[1], CutLink { from: 3, to: 1, both: false, controller: Some("shm1".into()) });
        assert_eq!(file.links[0], CutLink { from: 1, to: 2, both: true, controller: None });
        assert_eq!(described("nodes = 1").unwrap().parts.len(), 0);
    }

    #[test]
    fn what_is_wrong_is_shown_where_it_stands() {
        for (text, place, what) in [
            ("", "1:1", "\"nodes\" is missing"),
            ("nodes = 0", "1:9", "0 is not possible here: 1 to 63"),
            ("nodes = 64", "1:9", "1 to 63"),
            ("nodes = -1", "1:9", "1 to 63"),
            ("nodes = '2'", "1:9", "this is text; write a number, 1 to 63"),
            ("nodes = 2\nnodse = 3", "2:1", "did you mean \"nodes\"?"),
            ("nodes = 2\nkeep_going = true", "2:1", "did you mean \"keep-going\"?"),
            ("nodes = 2\nelephant = 1", "2:1", "there are: nodes, name"),
            ("nodes = 2\nnodes = 3", "2:1", "duplicate key"),
            ("nodes = ", "1:9", ""),
            ("nodes = 2\n[[program]]\nrun = 'no such'", "3:7", "write a list"),
            ("nodes = 2\n[[program]]\nrun = ['no-such-program']", "3:7", "No such file"),
            ("nodes = 2\n[[program]]\nrun = []", "3:7", "write a list"),
            ("nodes = 2\n[[program]]\nnodes = 1", "2:1", "\"run\" is missing"),
            ("nodes = 2\n[[program]]\nrun = 'true'\nnodes = [1, 3]", "4:13", "3 is not possible here: 1 to 2"),
            ("nodes = 2\n[[program]]\nrun = 'true'\nnodes = '1-3'", "4:9", "there is no node 3"),
            ("nodes = 2\n[[program]]\nrun = 'true'\ncwd = '/no/such'", "4:7", "No such file"),
            ("nodes = 2\nprogram = 'true'", "2:11", "[[program]]"),
            ("nodes = 2\nenv = { RSM_NODE_ID = '1' }", "2:9", "set by rsm-ctl"),
            ("nodes = 2\nchaos = 'x'", "2:9", "is no seed"),
            ("nodes = 2\nchaos = [1]", "2:9", "write a seed such as 7"),
            ("nodes = 2\nmodel = 'sic'", "2:9", "tso, pcie or sci"),
            ("nodes = 2\nprofile = 'ethernet'", "2:11", "dolphin-ntb, dolphin-ix"),
            ("nodes = 2\nenv = { A = 1 }", "2:13", "write text"),
            ("nodes = 2\ntimeout = '5d'", "2:11", "unknown unit"),
            ("nodes = 2\npin = 'x'", "2:7", "no CPU"),
            ("nodes = 2\nstdin = 3", "2:9", "1 to 2"),
            ("nodes = 2\nhere = 3", "2:8", "1 to 2"),
            ("nodes = 2\nhere = 1\n[[bridge]]\ndevice = 'local:a'", "3:1", "\"controller\" is missing"),
            ("nodes = 2\n[bridge]\ncontroller = 'ntb0'", "2:1", "[[bridge]]"),
            ("nodes = 2\n[[bridge]]\ncontroller = 'ntb0'\ndevice = 'local:a'\n[[bridge]]", "5:1", "one bridge"),
            ("nodes = 2\n[[link]]\nbetween = [1, 2]", "2:1", "\"state\" is missing"),
            ("nodes = 2\n[[link]]\nbetween = [1, 2]\nstate = 'up'", "4:9", "\"down\""),
            ("nodes = 2\n[[link]]\nbetween = [1]\nstate = 'down'", "3:11", "two nodes"),
            ("nodes = 2\n[[link]]\nfrom = 1\nstate = 'down'", "2:1", "one direction"),
            ("nodes = 2\n[[link]]\nbetween = [1, 2]\ncontroller = 'shm1'\nstate = 'down'", "4:14", "there are: shm0"),
        ] {
            let failure = described(text).map(|file| panic!("{text}: {file:?}")).unwrap_err();
            assert!(failure.message.starts_with(&format!("c.toml:{place}: ")), "{text}: {}", failure.message);
            assert!(failure.message.contains(what) && failure.message.contains('^'), "{text}: {}", failure.message);
        }
        assert_eq!(described("").unwrap_err().code, ExitCode::Usage);
        assert_eq!(described("nodes = 1\n[[program]]\nrun = ['./none']").unwrap_err().code, ExitCode::NotFound);
    }
}
