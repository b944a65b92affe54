//! One run of a program, with a lens or without, and what became of it.

use crate::pairs::{Language, Model, Pair};
use crate::programs::{Built, Programs};
use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// For a run. A program gives up after ten seconds without progress by itself.
const TIMEOUT: &str = "60s";

/// What a program is run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lens {
    pub(crate) model: Model,
    pub(crate) seed: u64,
}

/// A program, and how it is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) pair: &'static Pair,
    pub(crate) language: Language,
    pub(crate) good: bool,
    pub(crate) lens: Option<Lens>,
    /// As many as the program thinks right, without it.
    pub(crate) rounds: Option<u64>,
    /// Whether races are looked for, in C of all that the program does with segments. None may be found.
    pub(crate) race: bool,
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    /// With the start of the cluster.
    pub(crate) took: Duration,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every node ended with 0.
    Silent,
    /// The bug showed: what the program said.
    Found(String),
    /// Anything else, with all that was said.
    Broken(String),
}

impl Play {
    /// The words of `rsm-ctl` for it.
    fn arguments(&self, programs: &Programs) -> Result<Vec<OsString>, String> {
        let mut words: Vec<OsString> = vec!["run".into(), "-n".into(), self.pair.nodes.to_string().into()];
        if let Some(Lens { model, seed }) = self.lens {
            words.extend(["--chaos".into(), seed.to_string().into(), "--model".into(), model.to_string().into()]);
            if let Some(faults) = self.pair.faults() {
                words.extend(["--faults".into(), faults.into()]);
            }
        }
        if self.race {
            words.push("--race".into());
        }
        words.push("--".into());
        let built = if self.race { Built::Seen } else { Built::Plainly };
        words.extend(programs.words(self.pair, self.language, self.good, built)?);
        words.extend(self.rounds.map(|rounds| rounds.to_string().into()));
        Ok(words)
    }

    /// The command that runs it once more, for people.
    pub(crate) fn again(&self, programs: &Programs) -> String {
        let words = self.arguments(programs).unwrap_or_default();
        words.iter().fold("rsm-ctl".to_owned(), |line, word| line + " " + &word.to_string_lossy())
    }

    /// Runs it.
    pub(crate) fn run(&self, programs: &Programs) -> Result<Ended, String> {
        let mut command = Command::new(programs.ctl()?);
        let mut words = self.arguments(programs)?;
        // Nodes that wait for one that has failed are of no more use.
        words.splice(1..1, ["--timeout", TIMEOUT, "--grace", "0"].map(OsString::from));
        command.args(words).stdin(Stdio::null());
        for variable in ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"] {
            command.env_remove(variable);
        }
        let began = Instant::now();
        let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
        let took = began.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        let prefix = format!("{}: ", self.pair.name);
        let sentence = said.lines().find_map(|line| line.strip_prefix(&prefix));
        let outcome = match (output.status.code(), sentence) {
            (Some(0), None) => Outcome::Silent,
            (Some(1), Some(sentence)) => Outcome::Found(sentence.to_owned()),
            (_, _) => Outcome::Broken(format!("{}\n{said}", output.status)),
        };
        Ok(Ended { outcome, took })
    }
}
