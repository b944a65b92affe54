//! The crash matrix: a process is SIGKILLed at every step that has a name (`rsm_core::crash`), in every role that takes
//! it, and the survivors, the ids, the memory and what is left are looked at.
//!
//! Each story is told once with everybody alive, which shows the steps that each role takes in it, and then once for
//! each of them, with that role dying there. A step that no story takes fails the matrix. Run as a node
//! (`RSM_TEST_NODE`), the program does what its standard input says, as in `tests/processes`.
//!
//! `cargo test --features crash-points --test crash`

mod commands;
mod controls;
mod gate;
mod matrix;
#[path = "../processes/node.rs"]
mod node;
mod pieces;
mod scene;
mod stories;
#[allow(dead_code)] // what only the other stories use
#[path = "../processes/story.rs"]
mod story;

use gate::Holdings;
use libtest_mimic::{Arguments, Trial};
use matrix::Matrix;
use std::sync::Arc;

/// Reads what the command `hostwarm` said of one node.
fn environment_of(word: &str) -> Vec<(&'static str, String)> {
    let names = ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"];
    let values: Vec<&str> = word.split(',').map(|pair| pair.split_once('=').expect("a pair").1).collect();
    names.into_iter().zip(values).map(|(name, value)| (name, value.to_owned())).collect()
}

fn main() {
    if std::env::var_os("RSM_TEST_NODE").is_some() {
        return node::run(commands::more);
    }
    let mut arguments = Arguments::from_args();
    // Those whose parent dies come to us, to be counted.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("a subreaper");
    std::fs::create_dir_all(gate::temporary()).expect("a folder for temporary files");
    let threads = arguments.test_threads;

    // The gate alone first: nothing else may come and go meanwhile.
    arguments.test_threads = Some(1);
    let controls = controls::CONTROLS.iter().map(|&(kind, named)| {
        Trial::test(format!("the gate names a leaked {kind}"), move || Ok(controls::control(kind, named)?))
    });
    let controls = libtest_mimic::run(&arguments, controls.collect());

    let charged = gate::charged();
    let began = std::time::Instant::now();
    // Mostly they wait for each other.
    arguments.test_threads = threads.or(Some(6));
    let matrix = Arc::new(Matrix::rehearse(6));
    let trials = matrix::trials(&matrix);
    let all = trials.len();
    let cases = libtest_mimic::run(&arguments, trials);
    let mut failed = controls.has_failed() || cases.has_failed();
    if cases.num_passed + cases.num_failed == all as u64 {
        println!("{}", matrix.table());
        println!("{all} cases in {:.1} s", began.elapsed().as_secs_f64());
        let missing = matrix.missing();
        if !missing.is_empty() {
            println!("nobody died at {}", missing.join(", "));
            failed = true;
        }
    }
    gate::reap();
    if let Err(left) = Holdings::default().is_again("after everything", Holdings::of_everything) {
        println!("{left}");
        failed = true;
    }
    if let (Some(before), Some(after)) = (charged, gate::charged()) {
        println!("shared memory charged to the control group: {before} bytes before, {after} after");
        failed |= after > before + (1 << 20);
    }
    let _ = std::fs::remove_dir_all(gate::temporary());
    std::process::exit(if failed { 101 } else { 0 });
}
