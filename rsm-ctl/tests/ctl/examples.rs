//! `run --example`: cargo builds first.

use crate::rig::{Ctl, Scratch, ctl};

fn package() -> Scratch {
    let scratch = Scratch::new("package");
    scratch.file("Cargo.toml", "[package]\nname = \"tiny\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[workspace]\n");
    scratch.file("src/lib.rs", "");
    let example = "fn main() {
        let words: Vec<String> = std::env::args().skip(1).collect();
        println!(\"node {} {:?} {}\", std::env::var(\"RSM_NODE_ID\").unwrap(), words, cfg!(debug_assertions));
    }";
    scratch.file("examples/speak.rs", example);
    scratch
}

fn run_example(package: &Scratch, words: &[&str]) -> Ctl {
    ctl(&["run", "-n", "2"]).words(words).directory(&package.path("")).env_remove("CARGO_TARGET_DIR")
}

#[test]
fn is_built_in_our_profile_and_run() {
    let package = package();
    let finished = run_example(&package, &["--example", "speak", "--", "a b", "-x"]).finish();
    assert_eq!((finished.code(), &*finished.stderr), (0, ""));
    let line = |node: u32| format!("node {node} [\"a b\", \"-x\"] {}", cfg!(debug_assertions));
    assert_eq!(finished.sorted(), [line(1), line(2)]);
}

#[test]
fn that_does_not_exist() {
    let package = package();
    let finished = run_example(&package, &["--example", "spaek"]).finish();
    assert_eq!((finished.code(), finished.text()), (1, ""));
    assert!(finished.stderr.contains("no example target named `spaek`"), "cargo's own words: {}", finished.stderr);
    assert!(finished.stderr.contains("rsm-ctl: cargo could not build the example \"spaek\""), "{}", finished.stderr);
}

#[test]
fn that_does_not_compile() {
    let package = package();
    package.file("examples/broken.rs", "fn main() { let number: u32 = \"text\"; }");
    let finished = run_example(&package, &["--example", "broken"]).finish();
    assert_eq!((finished.code(), finished.text()), (1, ""));
    assert!(finished.stderr.contains("mismatched types"), "{}", finished.stderr);
}
