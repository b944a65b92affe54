//! What an operation brings over a bridge between two hosts: loads, stores and doorbells.
//!
//! Agents count theirs, words of 8 bytes. What processes load and store is counted as the processor does it, by the
//! [instruction](crate::window): a verdict's load of the seal, and each store of a put, however wide.

use crate::ops::Op;
use serde::Serialize;

/// What agents have done over a bridge, or do for one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Agents {
    /// Loads of words.
    pub loads: f64,
    /// Stores of words.
    pub stores: f64,
    /// Doorbells that were rung.
    pub doorbells: f64,
}

/// What the two processes do for one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Processes {
    /// Instructions that load, seals among them.
    pub loads: f64,
    /// Instructions that store.
    pub stores: f64,
}

/// What one operation brings over a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// By both agents, as they count it.
    pub agents: Agents,
    /// By both processes; `None` on processors on which it cannot be counted.
    pub processes: Option<Processes>,
}

/// Whether an operation can be done between two hosts: words of another host have no atomic operations.
pub fn crosses(op: &Op) -> bool {
    op.name != "fetch-add"
}

/// What the columns are.
pub const ABOUT: &str = "\
# over the bridge, for one operation: loads and stores, instructions of both processes and words of both agents; doorbells of \
agents\n";

/// The names of the columns beside those of times.
pub const COLUMNS: &str = "      loads     stores  doorbells";

/// The cells of a row.
pub fn cells(crossing: &Crossing) -> String {
    let Crossing { agents, processes } = crossing;
    let number = |number: f64| format!("{number:>11.2}");
    let both = |of: fn(&Processes) -> f64, agents: f64| {
        processes.as_ref().map_or_else(|| format!("{:>11}", "-"), |processes| number(of(processes) + agents))
    };
    let (loads, stores) = (both(|p| p.loads, agents.loads), both(|p| p.stores, agents.stores));
    [loads, stores, number(agents.doorbells)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::find;

    #[test]
    fn cells_line_up_with_their_columns() {
        let agents = Agents { loads: 0.5, stores: 1.25, doorbells: 1.0 };
        let shown = |processes, expected: [&str; 3]| {
            let text = cells(&Crossing { agents, processes });
            assert_eq!((text.len(), text.split_whitespace().collect::<Vec<_>>()), (COLUMNS.len(), expected.to_vec()));
        };
        shown(Some(Processes { loads: 1.0, stores: 1.0 }), ["1.50", "2.25", "1.00"]);
        shown(None, ["-", "-", "1.00"]);
        assert!(!crosses(find("fetch-add").unwrap()));
    }
}
