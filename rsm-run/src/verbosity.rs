//! How much is said.

/// How much `rsm-ctl` says on its own account. Errors of its own are always said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Nothing.
    Quiet,
    /// What failed, and what was done.
    Normal,
    /// Every step.
    Verbose,
}
