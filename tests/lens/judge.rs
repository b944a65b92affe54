//! The litmus programs under the lens: each is a bug that memory of one machine hides, and its repair.
//!
//! ```text
//! cargo test -p rsm-litmus                        each program, and with a seed under the model pcie
//! cargo test -p rsm-litmus -- message             one pair
//! RSM_LENS=all cargo test -p rsm-litmus           200 runs of each repaired program under each model, 20 of each bug
//! RSM_LENS=5 cargo test -p rsm-litmus             five seeds for everything, under each model
//! RSM_LENS_SEED=41 cargo test -p rsm-litmus       other seeds, from this one on
//! ```
//!
//! A repaired program must be silent, always: without a lens, and with any seed under any model. A bug must show under the
//! models that permit it, as often as the table ([`pairs`]) says, and must not under the others. What was seen is
//! printed at the end.

mod deaths;
mod excerpts;
mod ledger;
mod pairs;
mod play;
mod programs;
mod races;
mod trials;

use ledger::Ledger;
use libtest_mimic::Arguments;
use programs::Programs;
use std::sync::Arc;

fn main() {
    let mut arguments = Arguments::from_args();
    // Now and then they wait for each other.
    arguments.test_threads = arguments.test_threads.or(Some(6));
    let programs = Arc::new(Programs::new());
    let ledger = Arc::new(Ledger::default());
    let trials = trials::all(&programs, &ledger);
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("{ledger}");
    }
    drop(programs);
    conclusion.exit();
}
