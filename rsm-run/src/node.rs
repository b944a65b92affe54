//! A node's process: how it is started.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Rlimit, getpid};

use crate::output::Ends;
use crate::placement;
use crate::process;
use crate::task::Task;

/// Where a node of a test is to run the body ([`on_nodes`](mod@crate::on_nodes)): place, how many times that is come to, and how
/// many nodes.
pub(crate) const PLACE: &str = "RSM_RUN_ON_NODES";
/// The process that started such a node. A node's own children inherit both variables and are none, nor is anybody else whose
/// environment has them by chance.
pub(crate) const PARENT: &str = "RSM_RUN_PARENT";

/// Executes a program as a child of this thread; `place` are the variables that make it a process of its node. Returns
/// when the program is running in it, or cannot be. `descriptors` is the user's own descriptor limit.
///
/// # Errors
/// What exec says; what failed before it is told apart by [`process::failed_before_exec`].
///
/// # Crash
/// The child asks to be killed with its parent before it becomes the program, and is a descendant of ours before
/// that: whoever of front and warden is left ends it.
pub(crate) fn start(
    task: &Task,
    place: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
    stdin: Stdio,
    ends: Ends,
    descriptors: Option<Rlimit>,
) -> io::Result<Pid> {
    let mut command = Command::new(&task.program.path);
    command.arg0(&task.program.name).args(&task.program.arguments);
    for name in &task.without {
        command.env_remove(name);
    }
    command.envs(task.environment.iter().map(|(name, value)| (name, value)));
    for (name, value) in place {
        command.env(name.as_ref(), value.as_ref());
    }
    if task.environment.iter().any(|(name, _)| name == PLACE) {
        command.env(PARENT, getpid().as_raw_pid().to_string());
    }
    let directory = task.directory.as_ref().map(|directory| CString::new(directory.as_os_str().as_bytes()));
    command.stdin(stdin).stdout(ends.stdout).stderr(ends.stderr);
    process::begin_as_node(&mut command, getpid(), descriptors, directory.transpose()?, task.cpu.map(placement::only));
    // Not waited for here: the warden reaps all its children in one place, whoever forked them.
    command.spawn().map(|child| Pid::from_child(&child))
}
