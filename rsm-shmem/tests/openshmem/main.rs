//! OpenSHMEM on rsm: programs in C, compiled against `shmem.h` and run by `rsm-ctl run`, as users do it.
//!
//! `values` runs the suite (`tests/suite`), which calls every function of the table; `errors` what is wrong with a call; `ends`
//! how a job ends; `hosts` PEs of two hosts; `jobs` several programs and threads; `lens` what is late and what is cut; `races` what nothing orders, `pages` of what is not looked for there; `names` compares the table with library and header; `install` uses
//! what install.sh installs.

mod ends;
mod errors;
mod hosts;
mod install;
mod jobs;
mod lens;
mod names;
mod pages;
mod programs;
mod races;
mod values;
