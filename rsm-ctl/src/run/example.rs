//! Builds a cargo example of the current directory's package and finds its executable.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rsm_run::verbosity::Verbosity;
use serde::Deserialize;

use crate::failure::{Failure, reason};
use crate::process;

/// The part that matters of what cargo says about each thing it made.
#[derive(Deserialize)]
struct Artifact {
    reason: String,
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// Has cargo build the example, in the profile this program was built in; cargo's own complaints go to standard error.
pub(crate) fn build(example: &OsStr, verbosity: Verbosity) -> Result<PathBuf, Failure> {
    // Set when we were started by cargo: then the same one.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(&cargo);
    command.args(["build", "--message-format=json-render-diagnostics", "--example"]).arg(example);
    if verbosity < Verbosity::Verbose {
        command.arg("--quiet");
    }
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    process::begin_as_dependant(&mut command);
    let built = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output().map_err(|error| {
        Failure::new(format!("cannot run \"{}\" to build an example: {}", cargo.display(), reason(&error)))
    })?;
    if !built.status.success() {
        return Err(Failure::new(format!(
            "cargo could not build the example \"{}\" ({})",
            example.display(),
            built.status
        )));
    }
    executable(example, &built.stdout)
        .ok_or_else(|| Failure::new(format!("cargo did not say where it put the example \"{}\"", example.display())))
}

/// Searches cargo's messages, one JSON object per line, for the example's executable.
fn executable(example: &OsStr, messages: &[u8]) -> Option<PathBuf> {
    messages
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<Artifact>(line).ok())
        .filter(|artifact| artifact.reason == "compiler-artifact")
        .filter(|artifact| {
            artifact.target.as_ref().is_some_and(|target| {
                OsStr::new(&target.name) == example && target.kind.iter().any(|kind| kind == "example")
            })
        })
        .find_map(|artifact| artifact.executable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_example_and_not_its_namesakes() {
        let messages = br#"
{"reason":"compiler-artifact","target":{"name":"sort","kind":["lib"]},"executable":null}
{"reason":"compiler-artifact","target":{"name":"sort","kind":["bin"]},"executable":"/t/debug/sort"}
{"reason":"compiler-artifact","target":{"name":"ring","kind":["example"]},"executable":"/t/debug/examples/ring"}
{"reason":"compiler-artifact","target":{"name":"sort","kind":["example"]},"executable":"/t/debug/examples/sort"}
{"reason":"build-finished","success":true}
"#;
        assert_eq!(executable(OsStr::new("sort"), messages), Some("/t/debug/examples/sort".into()));
        assert_eq!(executable(OsStr::new("hello"), messages), None);
    }
}
