//! The examples, run as their users run them: as real processes, one for each node of a cluster that lives in this
//! test. And the parts of `sort` that need no cluster, called directly.

mod logic;
mod nodes;
mod small;
mod sort;
mod trouble;

/// What the modules of the example expect to find where they live.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[path = "../../examples/sort/board.rs"]
#[allow(dead_code, reason = "what talks to other nodes is tested by running it")]
mod board;
#[path = "../../examples/sort/lines.rs"]
mod lines;
#[path = "../../examples/sort/report.rs"]
#[allow(dead_code, reason = "what talks to other nodes is tested by running it")]
mod report;
#[path = "../../examples/sort/slice.rs"]
#[allow(dead_code, reason = "what talks to other nodes is tested by running it")]
mod slice;
#[path = "../../examples/sort/splitters.rs"]
#[allow(dead_code, reason = "what talks to other nodes is tested by running it")]
mod splitters;
