//! The table beside what there is: library, header, manual, and what the suite calls.

use crate::programs::{compiler, directory, library, link, run, succeed, suite};
use rsm_shmem_table as table;
use std::collections::BTreeSet;
use std::process::Command;

/// What nm lists, by the letters of its kinds.
fn symbols(options: &[&str], path: &std::path::Path) -> BTreeSet<String> {
    let listed = succeed(Command::new("nm").args(options).arg(path));
    let name =
        |line: &str| line.split_whitespace().last().map(|name| name.split('@').next().unwrap_or(name).to_owned());
    // The version itself is a symbol too.
    listed.lines().filter(|line| !line.contains(" A ")).filter_map(name).collect()
}

#[test]
fn the_library_exports_what_the_table_has_and_nothing_else() {
    let exported = symbols(&["-D", "--defined-only"], &library().join("librsm_shmem.so.1"));
    let race = table::RACE.iter().map(|name| (*name).to_owned());
    assert_eq!(exported, table::names().into_iter().chain(race).collect());
    let header = std::fs::read_to_string(crate::programs::here("../rsm-capi/include/rsm/race.h")).expect("race.h");
    let declared =
        header.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()).filter(|word| word.starts_with("rsm_race_"));
    assert_eq!(declared.collect::<BTreeSet<_>>(), table::RACE.into(), "as librsm has it");
    // A tool may take the place of the one name of each, and never of the other.
    let weak = succeed(Command::new("nm").args(["-D", "--defined-only"]).arg(library().join("librsm_shmem.so.1")));
    let weak = weak.lines().filter(|line| line.contains(" W ")).count();
    assert_eq!(weak, table::functions().len());
}

#[test]
fn the_header_declares_the_functions_of_the_table() {
    // Each name is one, with the arguments of the table: a pointer to it has the type that is written out here.
    let mut source = "#include <shmem.h>\nint main(void) {\n    int count = 0;\n".to_owned();
    for function in table::functions() {
        for name in [function.name.clone(), function.profiled()] {
            let pointer = format!("(*pointer_to_{name})");
            let declared = table::header::declaration(&function, &pointer).replace(" RSM_SHMEM_NORETURN", "");
            source.push_str(&format!("    {declared} = ({name});\n    count += pointer_to_{name} != 0;\n"));
        }
    }
    source.push_str(&format!("    return count != {};\n}}\n", table::names().len()));
    let path = directory().join("names.c");
    std::fs::write(&path, source).expect("written");
    let program = directory().join("names");
    succeed(link(compiler().arg("-Wno-address").arg("-o").arg(&program).arg(&path)));
    succeed(&mut Command::new(program));
}

#[test]
fn the_suite_calls_every_function() {
    let called: BTreeSet<String> =
        suite().objects.iter().flat_map(|object| symbols(&["--undefined-only"], object)).collect();
    // The end of the job has a test of its own.
    let missing: Vec<String> = table::functions()
        .into_iter()
        .map(|function| function.name)
        .filter(|name| !called.contains(name) && name != "shmem_global_exit")
        .collect();
    assert!(missing.is_empty(), "not called: {missing:?}");
}

#[test]
fn programs_in_cxx_run() {
    let program = directory().join("cxx");
    let mut cxx = Command::new("c++");
    cxx.args(["-std=c++17", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I"]).arg(library()).arg("-o").arg(&program);
    match link(cxx.arg(crate::programs::here("tests/suite/cxx.cpp"))).output() {
        Err(error) => return println!("skipped: programs in C++: c++: {error}"),
        Ok(output) => assert!(output.status.success(), "{}", crate::programs::text(&output)),
    }
    for pes in [1, 3] {
        let output = run(pes, &[], &program, &[]).output().expect("it runs");
        assert!(output.status.success(), "{pes}: {}", crate::programs::text(&output));
    }
}

#[test]
fn the_manual_has_every_family() {
    let manual = std::fs::read_to_string(library().join("rsm_shmem.7")).expect("the manual");
    for family in table::FAMILIES {
        let name = family.name.replace("{T}", "TYPE").replace("{S}", "SIZE");
        assert!(manual.contains(&format!("{name}(")), "{name}");
    }
    assert!(manual.contains(&format!("There are {} functions", table::functions().len())));
}

/// How many functions the standard has, group by group, as docs/openshmem.md counts them.
#[test]
fn the_count_of_functions_is_what_the_documentation_says() {
    let documented = std::fs::read_to_string(crate::programs::here("../docs/openshmem.md")).expect("the documentation");
    let mut groups: Vec<(&str, usize, usize)> = Vec::new();
    for function in table::functions() {
        let old = usize::from(function.family.deprecated);
        match groups.iter_mut().find(|group| group.0 == function.family.group) {
            Some(group) => (group.1, group.2) = (group.1 + 1 - old, group.2 + old),
            None => groups.push((function.family.group, 1 - old, old)),
        }
    }
    for (group, current, old) in groups {
        let row = format!("| {group} | {current} | {old} |");
        assert!(documented.contains(&row), "docs/openshmem.md lacks the row {row}");
    }
}
