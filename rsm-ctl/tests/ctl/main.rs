//! The real `rsm-ctl`, run by a test as a user would run it, with shell scripts as programs.
//!
//! The stories are in the files named after what they are about; [`rig`] is the stage: it starts `rsm-ctl`, reads what it
//! shows, finds every process of a run however it hides, and ends what a failed test leaves.

mod doctor;
mod ending;
mod examples;
mod exit_codes;
mod file;
mod hosts;
mod junit;
mod killed;
mod lens;
mod logs;
mod looking;
mod naming;
mod nodes;
mod output;
mod perf;
mod programs;
mod queries;
mod refused;
mod rig;
mod schema;
mod scripted;
mod standing;
mod steering;
mod summary;
mod survivors;
mod terminal;
mod tracing;
mod watching;
mod written;
