//! The manual page and the completions name every command.

use std::process::Command;

fn output(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rsm-ctl")).args(arguments).output().expect("rsm-ctl runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

const COMMANDS: [&str; 23] = [
    "run",
    "up",
    "down",
    "exec",
    "env",
    "ls",
    "nodes",
    "segments",
    "connections",
    "links",
    "topology",
    "show",
    "watch",
    "top",
    "doctor",
    "perf",
    "explore",
    "link",
    "node",
    "segment",
    "script",
    "completions",
    "man",
];

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

#[test]
fn a_page_for_every_command() {
    let dir = std::env::temp_dir().join(format!("rsm-ctl-man-{}", std::process::id()));
    output(&["man", "--dir", dir.to_str().unwrap()]);
    let whole = std::fs::read_to_string(dir.join("rsm-ctl.1")).unwrap();
    assert_eq!(whole, output(&["man"]));
    for command in COMMANDS {
        let page = std::fs::read_to_string(dir.join(format!("rsm-ctl-{command}.1"))).unwrap();
        assert_eq!(page, output(&["man", command]));
        assert!(page.contains(".SH NAME\n") && page.contains("SEE ALSO"), "{page}");
    }
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn wrong_names_of_pages_are_told() {
    let run = |arguments: &[&str]| Command::new(env!("CARGO_BIN_EXE_rsm-ctl")).args(arguments).output().unwrap();
    let refused = run(&["man", "woman"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(2) && said.contains("the commands are: run, "), "{said}");
    let refused = run(&["man", "--dir", "/dev/null/pages"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.starts_with("rsm-ctl: cannot make /dev/null/pages: "), "{said}");
}

#[test]
fn bash_completes_the_names_of_clusters() {
    assert!(output(&["completions", "bash"]).contains("rsm-ctl ls"));
}
