//! The examples, run as their users run them: as real processes, one for each node of a cluster that lives in this
//! test. The parts of `sort` that need no cluster are tested where they are.

mod guides;
mod nodes;
mod numbers;
mod small;
mod sort;
mod trouble;
