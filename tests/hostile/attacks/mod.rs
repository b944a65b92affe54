//! The table of attacks in `docs/attacks.md`, each cell a test: what the document says is what happens.
//!
//! Four processes to a cell: the agent, an exporter, an attacker that is connected for reading, and this one, which
//! asks the exporter what became of its memory. Guarded and sealed segments are attacked by a process of the same user;
//! with isolated nodes agent, exporter and attacker are three users. None of them is root, against whom nothing holds.

mod acts;

pub(crate) use acts::{Grant, carry_out};

use libtest_mimic::Trial;
use rsm_shm::address::{ENV_CLUSTER, ENV_NODE_COUNT, ENV_NODE_ID, ENV_NODE_KEY};
use rsm_stories::NodeProcess;
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../../docs/attacks.md");
const VARIABLES: [&str; 4] = [ENV_CLUSTER, ENV_NODE_ID, ENV_NODE_COUNT, ENV_NODE_KEY];
const LEVELS: [&str; 3] = ["guarded", "sealed", "isolated"];
/// Users of agent, exporter and attacker: of one user, and isolated.
const ONE_USER: [u32; 3] = [65534; 3];
const THREE_USERS: [u32; 3] = [65531, 65532, 65533];

/// How an attack ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Nothing of the exporter's, or of the cluster's, changed or was seen.
    Held,
    /// It got what it wanted.
    Reaches,
}

/// How to tell what came of an attack.
#[derive(Clone, Copy)]
enum Judge {
    /// The exporter finds another value in its memory.
    Memory,
    /// The attacker knows: it says `reached`.
    Attacker,
    /// After an unpublish the attacker is asked what it sees of what the exporter writes then.
    AfterUnpublish,
    /// The exporter finds a signal that nobody posted.
    Signal,
    /// Nobody can connect any more.
    Refused,
}

/// Every attack there is.
const ATTACKS: &[(&str, Judge)] = &[
    ("mmap", Judge::Memory),
    ("mprotect", Judge::Memory),
    ("write", Judge::Memory),
    ("reopen", Judge::Memory),
    ("chmod", Judge::Memory),
    ("destroy", Judge::Memory),
    ("chmod-away", Judge::Refused),
    ("connect-to-write", Judge::Attacker),
    ("agent-descriptors", Judge::Memory),
    ("agent-memory", Judge::Attacker),
    ("registry", Judge::Attacker),
    ("pidfd-getfd", Judge::Attacker),
    ("proc-mem", Judge::Memory),
    ("process-vm-writev", Judge::Memory),
    ("ptrace", Judge::Memory),
    ("look", Judge::Attacker),
    ("no-key", Judge::Attacker),
    ("steer", Judge::Attacker),
    ("steer-as-node", Judge::Attacker),
    ("inject", Judge::Attacker),
    ("wrong-key", Judge::Attacker),
    ("stolen-key", Judge::Attacker),
    ("keep", Judge::AfterUnpublish),
    ("pin", Judge::AfterUnpublish),
    ("o-path", Judge::AfterUnpublish),
    ("lease", Judge::AfterUnpublish),
    ("bells", Judge::Signal),
];

fn judge(attack: &str) -> Option<Judge> {
    ATTACKS.iter().find(|(name, _)| *name == attack).map(|(_, judge)| *judge)
}

/// The cells of the table: by attack, for each level what the document says.
fn table() -> BTreeMap<String, [String; 3]> {
    let mut rows = BTreeMap::new();
    for line in DOCUMENT.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", name, _what, guarded, sealed, isolated, ""] = cells[..]
            && let Some(name) = name.strip_prefix('`').and_then(|n| n.strip_suffix('`'))
        {
            let cells = [guarded, sealed, isolated].map(str::to_owned);
            assert!(rows.insert(name.to_owned(), cells).is_none(), "{name} stands there twice");
        }
    }
    rows
}

/// A test for each cell, and one for the table.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = vec![Trial::test("attacks::the_document_lists_every_attack", || {
        let listed: Vec<String> = table().into_keys().collect();
        let mut known: Vec<&str> = ATTACKS.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(listed, known);
        Ok(())
    })];
    for (attack, cells) in table() {
        for (level, cell) in LEVELS.into_iter().zip(cells) {
            let attack = attack.clone();
            trials.push(Trial::test(format!("attacks::{attack}::{level}"), move || {
                try_cell(&attack, level, &cell);
                Ok(())
            }));
        }
    }
    trials
}

/// What the document says of a cell, on this machine: `reaches*` is what a process that may trace others of its user
/// can do, and Yama can forbid.
fn documented(cell: &str) -> Outcome {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let may_trace = matches!(scope.trim(), "" | "0");
    match cell {
        "held" => Outcome::Held,
        "reaches" => Outcome::Reaches,
        "reaches*" => {
            if may_trace {
                Outcome::Reaches
            } else {
                Outcome::Held
            }
        }
        other => panic!("the document says {other:?}, which is no outcome"),
    }
}

fn try_cell(attack: &str, level: &str, cell: &str) {
    let root = rustix::process::geteuid().is_root();
    if level == "isolated" && !root {
        println!("skipped {attack} on isolated nodes: needs root to start processes of three users");
        return;
    }
    let (found, said) = Scene::set(level, root).play(attack);
    assert_eq!(found, documented(cell), "{attack} on {level}: the attacker said {said:?}");
}

/// Starts a process with the environment of a node, written as the host says it; as another user, if root does it.
pub(crate) fn start(environment: &str, user: Option<u32>) -> NodeProcess {
    let pairs = environment.split(',').filter_map(|pair| pair.split_once('='));
    let name = |name: &str| VARIABLES.into_iter().find(|n| *n == name).expect("a variable of ours");
    let mut process = NodeProcess::with(pairs.map(|(n, value)| (name(n), value.to_owned())).collect());
    if let Some(user) = user {
        process.ok(&format!("become {user}"));
    }
    process
}

/// The processes of a cell.
struct Scene {
    agent: NodeProcess,
    exporter: NodeProcess,
    attacker: NodeProcess,
}

impl Scene {
    fn set(level: &str, root: bool) -> Scene {
        let users = if level == "isolated" { THREE_USERS } else { ONE_USER };
        let user = |at: usize| root.then_some(users[at]);
        let mut agent = start("", user(0));
        let nodes = agent.ok("host 2");
        let nodes: Vec<&str> = nodes.split(' ').collect();
        let mut exporter = start(nodes[0], user(1));
        let kind = if level == "sealed" { "sealed" } else { "guarded" };
        exporter.ok(&format!("export {kind} 4194304"));
        exporter.ok("write 8 1");
        let attacker = start(nodes[1], user(2));
        Scene { agent, exporter, attacker }
    }

    fn play(mut self, attack: &str) -> (Outcome, String) {
        let place = self.exporter.ok("where");
        let (exporter, agent) = (self.exporter.pid(), self.agent.pid());
        let told = self.attacker.ok(&format!("attack {attack} {exporter} {agent} {place}"));
        let reached = match judge(attack).expect("a known attack") {
            Judge::Memory => self.exporter.ok("read 8") != "1",
            Judge::Attacker => told.starts_with("reached"),
            Judge::AfterUnpublish => {
                // Whatever the attacker holds on to, the exporter is not kept waiting for ever.
                self.exporter.ok("unpublish");
                self.exporter.ok("write 8 777");
                self.attacker.ok("attack look-again 0 0 0") == "777"
            }
            Judge::Refused => !self.exporter.ask("connectown").starts_with("ok"),
            Judge::Signal => self.exporter.ok("pending") == "true",
        };
        // The exporter and the agent are as well as before.
        self.exporter.ok("write 16 5");
        assert_eq!(self.exporter.ok("read 16"), "5");
        self.agent.ok("pid");
        (if reached { Outcome::Reaches } else { Outcome::Held }, told)
    }
}
