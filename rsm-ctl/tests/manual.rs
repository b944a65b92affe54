//! The manual page and the completions name every command.

use std::process::Command;

fn output(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rsm-ctl")).args(arguments).output().expect("rsm-ctl runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

const COMMANDS: [&str; 12] =
    ["run", "up", "down", "exec", "env", "ls", "nodes", "segments", "connections", "links", "completions", "man"];

#[test]
fn the_manual_has_a_section_for_every_command_and_the_exit_codes() {
    let page = output(&["man"]);
    for command in COMMANDS {
        assert!(page.contains(&format!(".SH {}\n", command.to_uppercase())), "{command}");
    }
    assert!(page.contains("124") && page.contains("tag\\-output"), "{page}");
}

#[test]
fn every_shell_completes_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = output(&["completions", shell]);
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}
