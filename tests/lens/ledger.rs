//! What the runs have shown: a table at the end, a line for each program.

use crate::pairs::{Language, Model, Pair};
use crate::play::Play;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

/// The runs of a program under a model.
#[derive(Debug, Default)]
struct Cell {
    runs: usize,
    /// How long those took in which the bug showed.
    found: Vec<Duration>,
}

/// A program under a model: its name, its language, whether it is the repaired one.
type Column = (&'static str, Language, bool, Model);

/// All runs with a lens.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    cells: Mutex<BTreeMap<Column, Cell>>,
}

impl Ledger {
    /// Enters a run with a lens, in which the bug showed after a time or not at all.
    pub(crate) fn enter(&self, play: &Play, found: Option<Duration>) {
        let Some(lens) = play.lens else { return };
        let mut cells = self.cells.lock().expect("no thread panics here");
        let cell = cells.entry((play.pair.name, play.language, play.good, lens.model)).or_default();
        cell.runs += 1;
        cell.found.extend(found);
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.cells.lock().expect("no thread panics here");
        let cell = |good, pair: &Pair, language, model| {
            let Some(cell) = cells.get(&(pair.name, language, good, model)) else { return "-".to_owned() };
            let mut found = cell.found.clone();
            found.sort();
            match found.get(found.len() / 2) {
                Some(median) => {
                    let longest = found.last().unwrap_or(median);
                    format!("{}/{} {}..{} ms", found.len(), cell.runs, median.as_millis(), longest.as_millis())
                }
                None => format!("0/{}", cell.runs),
            }
        };
        writeln!(
            f,
            "runs in which a bug showed, and after how long (median and longest, with the start of the cluster)\n"
        )?;
        write!(f, "{:13} {:8} {:5}", "pair", "about", "in")?;
        for which in ["bad", "good"] {
            for model in Model::ALL {
                write!(f, " {:19}", format!("{which}, {model}"))?;
            }
        }
        for (pair, language) in Pair::all() {
            write!(f, "\n{:13} {:8} {language:5}", pair.name, format!("{:?}", pair.kind).to_lowercase())?;
            for good in [false, true] {
                for model in Model::ALL {
                    write!(f, " {:19}", cell(good, pair, language, model))?;
                }
            }
        }
        Ok(())
    }
}
