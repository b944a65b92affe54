//! Faults that a lens injects: what goes wrong on an interconnect and never in memory.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// Something that goes wrong now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Fault {
    /// Some of what a span posted is lost.
    Error,
    /// The link goes down and comes back.
    Abort,
    /// The exporter's publication is revoked.
    Revoke,
    /// A signal is late by much.
    LateSignal,
    /// Two signals that do not accumulate arrive as one.
    MergeSignal,
    /// A signal arrives that nobody posted.
    Spurious,
    /// A vector put stops in the middle.
    Partial,
    /// The agent takes its time.
    SlowAgent,
    /// Requests are refused for want of resources.
    Refuse,
}

/// A row of the table of faults.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The fault.
    pub fault: Fault,
    /// What it is called.
    pub name: &'static str,
    /// At which calls it is drawn.
    pub at: &'static str,
    /// What the program is told; `None`: nothing.
    pub code: Option<Code>,
    /// It happens once in so many times.
    pub one_in: u64,
    /// What happens, as a sentence.
    pub text: &'static str,
}

impl Row {
    /// What the program is told, by name; "-" for nothing.
    fn says(&self) -> &'static str {
        self.code.map_or("-", Code::name)
    }

    /// The cells of its line in `docs/faults.md`.
    pub fn cells(&self) -> [String; 5] {
        let texts = [&format!("`{}`", self.name), self.at, self.text, self.says()].map(str::to_owned);
        let [name, at, text, says] = texts;
        [name, at, text, says, self.one_in.to_string()]
    }
}

/// The table of faults as lines for people, each with its name first.
pub fn lines() -> String {
    let told = |row: &Row| row.code.map_or(String::new(), |code| format!(": {}", code.name()));
    let line = |row: &Row| format!("{}: {} ({}, 1 in {}{})\n", row.name, row.text, row.at, row.one_in, told(row));
    FAULTS.iter().map(line).collect()
}

/// The table of faults: what is parsed, documented, drawn and tested is this.
pub const FAULTS: [Row; 9] = [
    Row {
        fault: Fault::Error,
        name: "error",
        at: "close of a span in which something was put",
        code: Some(Code::BarrierFailure),
        one_in: 50,
        text: "the link has an error, and some of what is on its way is lost, with all that was ordered after it",
    },
    Row {
        fault: Fault::Abort,
        name: "abort",
        at: "close of a span in which something was put",
        code: Some(Code::ConnAborted),
        one_in: 200,
        text: "the link between the two nodes goes down, which cuts all connections through it, and comes back",
    },
    Row {
        fault: Fault::Revoke,
        name: "revoke",
        at: "close of a span in which something was put",
        code: Some(Code::ConnAborted),
        one_in: 200,
        text: "the segment is taken from its exporter, and back from all its importers",
    },
    Row {
        fault: Fault::LateSignal,
        name: "late-signal",
        at: "post of a signal by an import",
        code: None,
        one_in: 10,
        text: "the signal arrives 20 to 60 ms later",
    },
    Row {
        fault: Fault::MergeSignal,
        name: "merge-signal",
        at: "post of a signal by an import that does not accumulate",
        code: None,
        one_in: 4,
        text: "the signal waits for the next one of the import, up to 20 ms, and arrives with it as one",
    },
    Row {
        fault: Fault::Spurious,
        name: "spurious",
        at: "post of a signal by an import",
        code: None,
        one_in: 10,
        text: "up to 2 ms later a second signal arrives that nobody posted",
    },
    Row {
        fault: Fault::Partial,
        name: "partial",
        at: "each entry of a putv",
        code: Some(Code::BarrierFailure),
        one_in: 40,
        text: "it stops before the entry, with what is left as the residual count",
    },
    Row {
        fault: Fault::SlowAgent,
        name: "slow-agent",
        at: "requests to the agent",
        code: None,
        one_in: 10,
        text: "the answer comes 10 to 50 ms later",
    },
    Row {
        fault: Fault::Refuse,
        name: "refuse",
        at: "connect, create and map",
        code: Some(Code::InsufficientResources),
        one_in: 20,
        text: "the request is refused: INSUFFICIENT_RESOURCES for connect, INSUFFICIENT_MEM for create, MAP_FAILED for map",
    },
];

impl Fault {
    /// Its row of the table.
    pub const fn row(self) -> &'static Row {
        &FAULTS[self as usize]
    }

    /// What it is called.
    pub const fn name(self) -> &'static str {
        self.row().name
    }
}

/// A set of faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults(u32);

impl Faults {
    /// None of them.
    pub const NONE: Faults = Faults(0);

    /// The set with this one too.
    #[must_use]
    pub const fn with(self, fault: Fault) -> Faults {
        Faults(self.0 | 1 << fault as u32)
    }

    /// Whether it is among them.
    pub const fn has(self, fault: Fault) -> bool {
        self.0 & 1 << fault as u32 != 0
    }

    /// As a word of the registry.
    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// And back; `None` for what this library does not know.
    pub(super) fn from_bits(bits: u32) -> Option<Faults> {
        (bits < 1 << FAULTS.len()).then_some(Faults(bits))
    }

    /// Reads names with commas between, or `all`.
    ///
    /// # Errors
    /// BAD_CONF, which says what may be given.
    pub fn parse(text: &str) -> Result<Faults> {
        if text == "all" {
            return Ok(FAULTS.iter().fold(Faults::NONE, |set, row| set.with(row.fault)));
        }
        text.split(',').try_fold(Faults::NONE, |set, name| {
            let row = FAULTS.iter().find(|row| row.name == name).ok_or_else(|| {
                let names: Vec<&str> = FAULTS.iter().map(|row| row.name).collect();
                Error::with(Code::BadConf, format!("there is no fault {name:?}: {}, or all", names.join(", ")))
            })?;
            Ok(set.with(row.fault))
        })
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = FAULTS.iter().filter(|row| self.has(row.fault)).map(|row| row.name).collect();
        f.write_str(&names.join(","))
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    #[test]
    fn lines_have_everything() {
        let lines = lines();
        for (row, line) in FAULTS.iter().zip(lines.lines()) {
            let [name, at, text, says, one_in] = row.cells();
            let all = [name.trim_matches('`'), &at, &text, &format!("1 in {one_in}")];
            assert!(all.iter().all(|part| line.contains(part)), "{line}");
            assert!(row.code.is_none() || line.ends_with(&format!(": {says})")), "{line}");
        }
    }

    #[test]
    fn names_come_back() {
        for (at, row) in FAULTS.iter().enumerate() {
            assert_eq!(row.fault as usize, at, "the table is in the order of the bits");
            let set = Faults::parse(row.name).unwrap();
            assert!(set.has(row.fault) && set.to_string() == row.name);
            assert_eq!(Faults::from_bits(set.bits()), Some(set));
        }
        let all = Faults::parse("all").unwrap();
        assert_eq!(Faults::parse(&all.to_string()), Ok(all));
        assert_eq!(Faults::from_bits(all.bits() + 1), None);
        for text in ["", "errors", "error,", "error, abort"] {
            let error = Faults::parse(text).unwrap_err();
            assert!(error.code() == Code::BadConf && error.detail().contains("late-signal"), "{text}: {error}");
        }
    }
}
