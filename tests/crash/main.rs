//! The crash matrix: a process is SIGKILLed at every step that has a name (`rsm_core::crash`), in every role that takes
//! it, and the survivors, the ids, the memory and what is left are looked at.
//!
//! Each story is told once with everybody alive, which shows the steps that each role takes in it, and then once for
//! each of them, with that role dying there. A step that no story takes fails the matrix. Run as a node
//! the program does what its standard input says (`rsm_stories::node`).
//!
//! `RUSTFLAGS='--cfg rsm_crash_points' CARGO_TARGET_DIR=target/crash cargo test --test crash`

#[cfg(rsm_crash_points)]
mod across;
#[cfg(rsm_crash_points)]
mod aftermath;
#[cfg(rsm_crash_points)]
mod commands;
#[cfg(rsm_crash_points)]
mod controls;
#[cfg(rsm_crash_points)]
mod host;
#[cfg(rsm_crash_points)]
mod matrix;
#[cfg(rsm_crash_points)]
mod play;
#[cfg(rsm_crash_points)]
mod scene;
#[cfg(rsm_crash_points)]
mod stories;

#[cfg(rsm_crash_points)]
fn main() {
    play::main();
}

#[cfg(not(rsm_crash_points))]
fn main() {
    println!("skipped: nobody can die at a step in a library without steps (--cfg rsm_crash_points)");
}
