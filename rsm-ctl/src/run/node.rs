//! A node's process: how it is started.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Rlimit, getpid};

use super::program::Program;
use crate::process;

/// Where a node's standard output and error go: the far ends of what the front reads.
pub(crate) struct Ends {
    pub(crate) stdout: OwnedFd,
    pub(crate) stderr: OwnedFd,
}

/// What is the same for all nodes of a run.
pub(crate) struct Starter<'a> {
    pub(crate) program: &'a Program,
    /// The user's own descriptor limit.
    pub(crate) descriptors: Rlimit,
}

impl Starter<'_> {
    /// Executes the program as a child of this thread. Returns when the program is running in it, or cannot be.
    ///
    /// # Crash
    /// The child asks to be killed with its parent before it becomes the program, and is a descendant of ours before
    /// that: whoever of front and warden is left ends it.
    pub(crate) fn start(&self, environment: Vec<(&'static str, String)>, stdin: Stdio, ends: Ends) -> io::Result<Pid> {
        let mut command = Command::new(&self.program.path);
        command.arg0(&self.program.name).args(&self.program.arguments).envs(environment);
        command.stdin(stdin).stdout(ends.stdout).stderr(ends.stderr);
        process::begin_as_node(&mut command, getpid(), self.descriptors);
        // Not waited for here: the warden reaps all its children in one place, whoever forked them.
        command.spawn().map(|child| Pid::from_child(&child))
    }
}
