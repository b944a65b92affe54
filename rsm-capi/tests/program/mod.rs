//! A C program that is linked with the library, in a directory of its own.

use crate::library::library;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The directory, which goes at the end.
pub(crate) struct Program(PathBuf);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Program {
    /// Builds it.
    pub(crate) fn build(name: &str, source: &str) -> Program {
        let program = Program(std::env::temp_dir().join(format!("rsm-{name}-{}", std::process::id())));
        std::fs::create_dir(&program.0).expect("a directory");
        std::fs::copy(library(), program.0.join("librsm.so.2")).expect("the library");
        std::fs::write(program.0.join("program.c"), source).expect("written");
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
        let mut cc = Command::new("cc");
        cc.current_dir(&program.0).args(["-Wall", "-Werror", "-o", "program", "program.c", "-I"]).arg(include);
        assert!(cc.args(["-L.", "-l:librsm.so.2"]).status().expect("cc runs").success());
        program
    }

    /// A run of it as a process of a node.
    pub(crate) fn command(&self, cluster: &rsm::Cluster, node: u32) -> Command {
        let mut command = Command::new(self.0.join("program"));
        command.env("LD_LIBRARY_PATH", &self.0).envs(cluster.environment(node).expect("a node"));
        command
    }
}
