//! The order of it all: the gate alone, then the cases, then what is left.

use super::matrix::{self, Matrix};
use super::{commands, controls};
use libtest_mimic::{Arguments, Trial};
use rsm_stories::gate::{self, Holdings};
use rsm_stories::node;
use std::sync::Arc;

pub(crate) fn main() {
    if rsm_stories::is_node() {
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
