//! What an operation brings over a bridge between two hosts: loads, stores and doorbells.
//!
//! Those of agents are [counted](crate::counting). What processes load and store is what the operation is made of: words of 8
//! bytes, and the seal that each verdict loads.

use crate::ops::Op;
use crate::raw::CREDIT;
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
    /// Loads of words of 8 bytes, seals among them.
    pub loads: f64,
    /// Stores of words of 8 bytes.
    pub stores: f64,
}

/// What one operation brings over a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Crossing {
    /// By both agents, as they count it.
    pub agents: Agents,
    /// By both processes, as the operation is made.
    pub processes: Processes,
}

/// Whether an operation can be done between two hosts: words of another host have no atomic operations.
pub fn crosses(op: &Op) -> bool {
    op.name != "fetch-add"
}

/// Loads and stores of the two processes for one operation, of those that [cross](crosses).
pub fn processes(op: &Op, bytes: usize) -> Processes {
    let words = bytes.div_ceil(8) as f64;
    let (loads, stores) = match op.name {
        "store" | "put64" | "connect" => (0.0, 1.0),
        "put64-implicit" | "barrier" => (1.0, 1.0),
        "get64" => (1.0, 0.0),
        // A word and a seal.
        "get64-implicit" | "publish" => (2.0, 0.0),
        "get" => (words, 0.0),
        "put" | "notify" => (0.0, words),
        // The word alone, or data and a word.
        "latency" => (0.0, if bytes > 8 { words + 1.0 } else { 1.0 }),
        "ack" => (0.0, words + 2.0),
        "rate" => (0.0, 1.0 + 1.0 / CREDIT as f64),
        "meet" => (0.0, 2.0),
        _ => (0.0, 0.0),
    };
    Processes { loads, stores }
}

/// What the columns are.
pub const ABOUT: &str = "\
# over the bridge, for one operation: loads and stores of 8 bytes of both processes and both agents, doorbells of the agents\n";

/// The names of the columns beside those of times.
pub const COLUMNS: &str = "      loads     stores  doorbells";

/// The cells of a row.
pub fn cells(crossing: &Crossing) -> String {
    let Crossing { agents, processes } = crossing;
    let number = |number: f64| format!("{number:>11.2}");
    [processes.loads + agents.loads, processes.stores + agents.stores, agents.doorbells].map(number).concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{OPS, find};

    #[test]
    fn cells_line_up_with_their_columns() {
        let agents = Agents { loads: 0.5, stores: 1.25, doorbells: 1.0 };
        let text = cells(&Crossing { agents, processes: processes(find("put64-implicit").unwrap(), 8) });
        assert_eq!(
            (text.len(), text.split_whitespace().collect::<Vec<_>>()),
            (COLUMNS.len(), vec!["1.50", "2.25", "1.00"])
        );
    }

    #[test]
    fn what_moves_memory_of_the_other_host_loads_or_stores() {
        for op in OPS.iter().filter(|op| crosses(op)) {
            let Processes { loads, stores } = processes(op, op.sizes[0]);
            let alone = ["post", "signal", "signal-asleep"].contains(&op.name);
            assert_eq!(loads + stores > 0.0, !alone, "{}", op.name);
        }
        let of = |name, bytes| processes(find(name).unwrap(), bytes);
        assert_eq!(of("put", 4096), Processes { loads: 0.0, stores: 512.0 });
        assert_eq!(of("latency", 8), Processes { loads: 0.0, stores: 1.0 });
        assert!(!crosses(find("fetch-add").unwrap()));
    }
}
