//! What `install.sh --shmem` installs, used as its manual says.

use crate::programs::{ctl, directory, here, succeed, text};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The files below a directory, by their paths in it.
fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().expect("a kind").is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path().strip_prefix(root).expect("below").display().to_string());
            }
        }
    }
    found
}

#[test]
fn an_installation_compiles_and_runs_programs() {
    let prefix = directory().join("prefix");
    let install = |last: &str| {
        let mut command = Command::new("sh");
        command.arg(here("../rsm-capi/install.sh")).arg("--prefix").arg(&prefix).arg(last).env_remove("DESTDIR");
        if cfg!(debug_assertions) {
            command.arg("--debug");
        }
        command
    };
    succeed(&mut install("--shmem"));
    let installed = files(&prefix);
    for file in [
        "include/shmem.h",
        "include/mpp/shmem.h",
        "lib/librsm_shmem.so",
        "lib/librsm_shmem.so.1",
        "lib/librsm_shmem.a",
        "lib/pkgconfig/rsm-shmem.pc",
        "bin/oshcc",
        "bin/oshc++",
        "bin/oshrun",
        "share/man/man7/rsm_shmem.7",
        "share/man/man1/oshrun.1",
        "share/man/man1/oshcc.1",
        "share/man/man1/oshc++.1",
    ] {
        assert!(installed.contains(file), "{file} is not among {installed:?}");
    }

    let (hello, program) = (here("tests/programs/hello.c"), directory().join("installed-hello"));
    let oshrun = |arguments: &[&str]| {
        let mut command = Command::new(prefix.join("bin/oshrun"));
        command.args(arguments).env("RSM_CTL", ctl()).env("SHMEM_SYMMETRIC_SIZE", "4M").env_remove("RSM_CLUSTER");
        command
    };
    let greeted = |words: &[&str]| {
        let said = succeed(&mut oshrun(words));
        let lines: BTreeSet<&str> = said.lines().collect();
        let expected =
            ["PE 0 of 3 was greeted by PE 2", "PE 1 of 3 was greeted by PE 0", "PE 2 of 3 was greeted by PE 1"];
        assert_eq!(lines, BTreeSet::from(expected));
    };
    let name = program.display().to_string();
    succeed(Command::new(prefix.join("bin/oshcc")).args(["-Wall", "-Werror", "-o", &name]).arg(&hello));
    greeted(&["-n", "3", "--timeout", "60s", &name]);
    greeted(&["-np", "3", "--timeout", "60s", "--", &name]);
    // In two steps, as makefiles do it; and statically.
    let object = directory().join("installed-hello.o");
    succeed(Command::new(prefix.join("bin/oshcc")).arg("-c").arg("-o").arg(&object).arg(&hello));
    succeed(Command::new(prefix.join("bin/oshc++")).args(["-o", &name]).arg(&object));
    greeted(&["-n", "3", "--timeout", "60s", &name]);
    let shown = succeed(Command::new(prefix.join("bin/oshcc")).args(["--show", "-c", "x.c"]));
    assert_eq!(shown, format!("cc -I{} -c x.c\n", prefix.join("include").display()));
    let archive = prefix.join("lib/librsm_shmem.a");
    succeed(Command::new("cc").args(["-o", &name]).arg(&object).arg(&archive).args([
        "-lgcc_s",
        "-lutil",
        "-lrt",
        "-lpthread",
        "-lm",
        "-ldl",
    ]));
    greeted(&["-n", "3", "--timeout", "60s", &name]);

    // A tool before the library, whichever way it is linked.
    let tool = here("tests/programs/tool.c");
    succeed(Command::new(prefix.join("bin/oshcc")).args(["-o", &name]).arg(&tool));
    assert_eq!(succeed(&mut oshrun(&["-n", "2", &name])), "seen\nseen\n");
    succeed(
        Command::new("cc").arg("-I").arg(prefix.join("include")).args(["-o", &name]).arg(&tool).arg(&archive).args([
            "-lgcc_s",
            "-lutil",
            "-lrt",
            "-lpthread",
            "-lm",
            "-ldl",
        ]),
    );
    assert_eq!(succeed(&mut oshrun(&["-n", "2", &name])), "seen\nseen\n");

    // A program that tells what it does itself, whichever way it is linked.
    let touched = here("tests/programs/touched.c");
    let telling = |words: &[&str]| {
        let mut command = Command::new(ctl());
        command.arg("cc").args(words).args(["-g", "-o", &name]).arg("-L").arg(prefix.join("lib"));
        command
    };
    let is_found = |how: &str| {
        let output =
            oshrun(&["-n", "2", "--race", "--timeout", "60s", &name, "mail", "bad", "-"]).output().expect("it runs");
        let said = text(&output);
        assert_eq!(output.status.code(), Some(5), "{how}: {said}");
        assert!(said.contains("rsm-ctl: 1 race found, with all that 2 processes did"), "{how}: {said}");
    };
    let oshcc = prefix.join("bin/oshcc").display().to_string();
    succeed(telling(&[&oshcc]).arg(&touched));
    is_found("shared");
    let mut linked = telling(&["cc"]);
    linked.arg("-I").arg(prefix.join("include")).arg(&touched).arg(&archive);
    succeed(linked.args(["-lgcc_s", "-lutil", "-lrt", "-lpthread", "-lm", "-ldl"]));
    is_found("static");

    for (words, code) in [(&["--help"][..], 0), (&[], 2), (&["-n"], 2)] {
        let output = oshrun(words).output().expect("it runs");
        assert_eq!(output.status.code(), Some(code), "{words:?}: {}", text(&output));
    }
    succeed(&mut install("--uninstall"));
    assert_eq!(files(&prefix), BTreeSet::new(), "what --uninstall left");
}
