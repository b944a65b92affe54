//! A node's process: how it is started.

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Rlimit, getpid};

use crate::on_nodes;
use crate::output::Ends;
use crate::placement;
use crate::process;
use crate::task::Task;

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
    descriptors: Rlimit,
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
    if task.environment.iter().any(|(name, _)| name == on_nodes::PLACE) {
        command.env(on_nodes::PARENT, getpid().as_raw_pid().to_string());
    }
    let directory = task.directory.as_ref().map(|directory| CString::new(directory.as_os_str().as_bytes()));
    command.stdin(stdin).stdout(ends.stdout).stderr(ends.stderr);
    process::begin_as_node(&mut command, getpid(), descriptors, directory.transpose()?, task.cpu.map(placement::only));
    // Not waited for here: the warden reaps all its children in one place, whoever forked them.
    command.spawn().map(|child| Pid::from_child(&child))
}
