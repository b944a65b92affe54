//! loom models of what processes share without a lock: see `rsm-core/src/models` for what a model is, and `ci/loom.sh`, which
//! shows that each of them can fail.
//!
//! | words | models, or why there is none |
//! |---|---|
//! | header: ids | names are given by a read-modify-write; what a name's row says is read by who was given the name |
//! | header: ended; row: flags | `clocks::who_knows_of_an_end_knows_all_that_was_done` |
//! | header: hidden, lacks, by calls, whole, maps; node: all but its vectors | numbers and marks that only grow, each true by itself |
//! | header: lines; segments | `tables::a_segment_has_the_same_lines_for_all` |
//! | row: clock, told, ordered, hidden at, by | one process's; who reads them while they change finds what was not told yet |
//! | row: vector; node: vectors | `clocks::who_was_told_knows_what_was_done` |
//! | tokens; vectors of all, when a process tells outside | `clocks::who_learns_by_a_token_knows_what_was_done`, `who_was_told_outside_knows_what_was_done` |
//! | row: learned, learning, snapshots made; snapshots | `clocks::*` |
//! | row: owner; a thread's flags | a compare and exchange: one of those who look for a row has it |
//! | lines: cells | `tables::no_cell_is_lost` |
//! | lines: marks; row: going, arrived | `marks::*` |
//! | row: late | an import's; only grows. Who finds less than there is takes nothing for arrived by that |
//! | stretches | `marks::what_was_put_to_a_stretch_is_looked_at` |
//! | histories | `tables::a_store_is_found_whole`; the key is exchanged once; what a node has seen is a single word |
//! | places, modules | `tables::a_place_is_found_whole`, `tables::a_module_is_found_whole` |
//! | within a process: sources of vector puts; notes of who wrote there | `spots::*` |
//! | reports | `tables::a_report_is_found_whole` |

mod clocks;
mod marks;
mod spots;
mod tables;

use crate::clock::Who;
use crate::process::Process;
use crate::table::{AT_LINES, CELLS, Table};
use rsm_core::sync::AtomicU64;
use std::sync::Arc;

/// The memory of a table with so many lines.
fn memory(lines: usize) -> Arc<Vec<AtomicU64>> {
    Arc::new((0..AT_LINES + lines * CELLS).map(|_| AtomicU64::new(0)).collect())
}

/// A process of a node, which was not built to be looked at.
fn look_at(table: Table<'_>, node: u32) -> Process<'_> {
    Process::join(table, Who { node, pid: 100 + node }, node.into(), false).expect("a name")
}

/// A process of a node, which was built to be looked at.
fn come(table: Table<'_>, node: u32) -> Process<'_> {
    Process::join(table, Who { node, pid: 100 + node }, node.into(), true).expect("a name")
}
