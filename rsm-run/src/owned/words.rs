//! Commands, as they are kept and sent.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::node_set::NodeSet;
use crate::program::{self, Program};
use crate::task::Part;

use super::HELPER;

/// A command, without what only [`Command`] itself can do.
#[derive(Clone, Debug)]
pub(super) struct Words {
    program: OsString,
    arguments: Vec<OsString>,
    /// Those set, and those taken away.
    variables: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
}

impl Words {
    pub(super) fn of(command: &Command) -> Words {
        Words {
            program: command.get_program().to_owned(),
            arguments: command.get_args().map(OsStr::to_owned).collect(),
            variables: command.get_envs().map(|(name, value)| (name.to_owned(), value.map(OsStr::to_owned))).collect(),
            directory: command.get_current_dir().map(Into::into),
        }
    }

    /// The command that starts a front.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        for (name, value) in &self.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        command
    }

    /// The processes of these nodes that it stands for.
    pub(super) fn part(&self, nodes: NodeSet) -> Result<Part, Failure> {
        let Words { program, arguments, variables, directory } = self.clone();
        let (set, gone): (Vec<_>, Vec<_>) = variables.into_iter().partition(|(_, value)| value.is_some());
        let path = program::find(&program, None)?;
        let ours = OsString::from(HELPER);
        Ok(Part {
            environment: set.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
            without: gone.into_iter().map(|(name, _)| name).chain([ours]).collect(),
            directory,
            ..Part::plain(nodes, Program { path, name: program, arguments })
        })
    }
}
