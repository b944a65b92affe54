//! The house rules that cargo can tell: who may depend on whom, and the oldest supported Rust.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

/// What each crate of the workspace may use of the others, whatever the kind of dependency.
fn allowed() -> BTreeMap<&'static str, &'static [&'static str]> {
    BTreeMap::from([
        ("rsm-core", &[][..]),
        ("rsm-shm", &["rsm-core", "rsm-race"][..]),
        ("rsm-race", &["rsm-core"][..]),
        ("rsm", &["rsm-core", "rsm-ntb", "rsm-shm"][..]),
        ("rsm-perf", &["rsm"][..]),
        ("rsm-benches", &["rsm", "rsm-core", "rsm-shm"][..]),
        ("rsm-examples", &["rsm", "rsm-team"][..]),
        ("rsm-examples-testing", &["rsm", "rsm-run"][..]),
        ("rsm-race-cc", &[][..]),
        ("rsm-run", &["rsm", "rsm-lab"][..]),
        ("rsm-lab", &["rsm", "rsm-core", "rsm-shm"][..]),
        ("rsm-ntb", &["rsm-core", "rsm-shm"][..]),
        ("rsm-ctl", &["rsm", "rsm-lab", "rsm-perf", "rsm-run"][..]),
        ("rsm-capi", &["rsm", "rsm-core", "rsm-shm"][..]),
        ("rsm-inputs", &["rsm", "rsm-capi", "rsm-core", "rsm-shm"][..]),
        ("rsm-litmus", &["rsm"][..]),
        ("rsm-team", &["rsm", "rsm-core"][..]),
        ("rsm-shmem", &["rsm", "rsm-core", "rsm-shm", "rsm-shmem-table"][..]),
        ("rsm-shmem-table", &[][..]),
        ("rsm-stories", &["rsm", "rsm-core", "rsm-shm"][..]),
    ])
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn dependencies_point_downwards() {
    let metadata = metadata();
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
    let packages = metadata["packages"].as_array().unwrap();
    let house: Vec<&Value> = packages.iter().filter(|p| members.contains(text(p, "id"))).collect();
    let names: BTreeSet<&str> = house.iter().map(|p| text(p, "name")).collect();
    let allowed = allowed();
    assert_eq!(names, allowed.keys().copied().collect(), "every crate of the workspace has a rule");
    for package in house {
        let name = text(package, "name");
        for dependency in package["dependencies"].as_array().unwrap() {
            let on = text(dependency, "name");
            // Tests of any crate may tell stories.
            let tells = on == "rsm-stories" && dependency["kind"] == "dev";
            let fine = !names.contains(on) || allowed[name].contains(&on) || tells;
            assert!(fine, "{name} must not depend on {on}");
        }
    }
}

#[test]
fn the_core_knows_no_operating_system() {
    let metadata = metadata();
    let core = metadata["packages"].as_array().unwrap().iter().find(|p| text(p, "name") == "rsm-core").unwrap();
    for dependency in core["dependencies"].as_array().unwrap() {
        let on = text(dependency, "name");
        assert!(["loom", "postcard", "proptest", "serde"].contains(&on), "rsm-core depends on {on}");
    }
}

#[test]
fn dependencies_support_the_oldest_rust_we_state() {
    let number = |version: &str| -> Vec<u32> { version.split('.').map(|part| part.parse().unwrap()).collect() };
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let stated = number(text(packages.iter().find(|p| text(p, "name") == "rsm").unwrap(), "rust_version"));
    for package in packages {
        if let Some(needed) = package["rust_version"].as_str() {
            assert!(number(needed)[..2] <= stated[..2], "{} needs Rust {needed}", text(package, "name"));
        }
    }
}

/// What a registry shows of a crate, and what it asks for before it takes one.
#[test]
fn what_is_published_says_what_it_is() {
    let metadata = metadata();
    let members = metadata["workspace_members"].as_array().unwrap();
    let house = metadata["packages"].as_array().unwrap().iter().filter(|p| members.contains(&p["id"]));
    let (published, others): (Vec<&Value>, Vec<&Value>) = house.partition(|p| p["publish"].is_null());
    let words = |package: &Value, key: &str| -> Vec<String> {
        package[key].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    assert!(published.len() > 10, "{}", published.len());
    for package in published {
        let name = text(package, "name");
        assert!(!text(package, "description").is_empty() && !text(package, "license").is_empty(), "{name}");
        assert!(text(package, "documentation").starts_with("https://docs.rs/"), "{name} says where its pages are");
        let folder = std::path::Path::new(text(package, "manifest_path")).parent().unwrap();
        let readme = std::fs::read_to_string(folder.join(text(package, "readme")));
        let readme = readme.unwrap_or_else(|error| panic!("the readme of {name}: {error}"));
        // The project's own leads to its guides; a registry has nothing beside the others.
        let leads = readme.split("](").skip(1).find(|link| !link.starts_with("https://"));
        assert!(name == "rsm" || leads.is_none(), "the readme of {name} leads to {leads:?}");
        let (keywords, categories) = (words(package, "keywords"), words(package, "categories"));
        assert!((1..=5).contains(&keywords.len()) && (1..=5).contains(&categories.len()), "{name}");
        assert!(keywords.iter().all(|word| word.len() <= 20), "{name}: {keywords:?}");
        for dependency in package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"] != "dev") {
            let on = text(dependency, "name");
            assert!(others.iter().all(|other| text(other, "name") != on), "{name} needs {on}, which is not published");
        }
    }
}

/// Words of code, without comments and without its tests at the end: what orders accesses to memory, also in assembler.
fn orders(text: &str) -> bool {
    const ORDERS: [&str; 7] = ["Acquire", "Release", "AcqRel", "SeqCst", "dmb", "ldaxp", "cmpxchg16b"];
    const FENCES: [&str; 5] = ["fence", "acquire", "acquire32", "fence_after_rmw", "_mm_sfence"];
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    let code = text.split("mod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.filter(|line| !line.trim_start().starts_with("use ")).any(|line| {
        let has_order = line.split(|c| !is_of_word(c)).any(|word| ORDERS.contains(&word));
        let is_call = |fence: &str| {
            line.match_indices(fence).any(|(at, _)| {
                let (before, after) = (line[..at].chars().next_back(), &line[at + fence.len()..]);
                !before.is_some_and(is_of_word) && (after.starts_with('(') || after.starts_with("::full("))
            })
        };
        has_order || FENCES.iter().any(|fence| is_call(fence))
    })
}

/// What docs/ordering.md says of words and fences it says of all of them.
#[test]
fn every_file_that_orders_memory_is_named_with_what_is_ordered() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).expect("the workspace") {
        let folder = entry.expect("an entry").path();
        let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let source = if name == "src" { folder.clone() } else { folder.join("src") };
        if (name == "src" || name == "python" || name.starts_with("rsm-")) && source.is_dir() {
            sources(&source, &mut files);
        }
    }
    let is_of_tests =
        |place: &std::path::Path| place.ends_with("tests.rs") || place.iter().any(|part| part == "models");
    let mut found = BTreeSet::new();
    for file in files {
        let place = file.strip_prefix(root).expect("below the root");
        if !is_of_tests(place) && orders(&std::fs::read_to_string(&file).expect("a source file")) {
            found.insert(place.to_string_lossy().into_owned());
        }
    }
    let guide = std::fs::read_to_string(root.join("docs/ordering.md")).expect("the guide");
    let (_, list) = guide.split_once("## Where it stands").expect("the list of files");
    let listed: BTreeSet<String> = list.split('`').filter(|word| word.ends_with(".rs")).map(str::to_owned).collect();
    let listed = listed.into_iter().filter(|file| file != "tests/house.rs").collect::<BTreeSet<_>>();
    let (unnamed, stale) = (found.difference(&listed), listed.difference(&found));
    assert_eq!(
        (unnamed.collect::<Vec<_>>(), stale.collect::<Vec<_>>()),
        (vec![], vec![]),
        "not named, and without any"
    );
}

/// The registry is mapped for reading only, and of such memory Rust promises relaxed loads only (`rsm_core::sync`).
#[test]
fn the_registry_is_loaded_relaxed() {
    // What the records lend of their words.
    const LENT: [&str; 6] = ["withdrawal()", "comings()", "changes()", "published()", "generation()", "link_word()"];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut records, mut users) = (Vec::new(), Vec::new());
    sources(&root.join("rsm-core/src/registry"), &mut records);
    for folder in ["src", "rsm-shm/src", "rsm-capi/src", "rsm-ctl/src", "rsm-lab/src", "rsm-run/src", "rsm-shmem/src"] {
        sources(&root.join(folder), &mut users);
    }
    assert!(records.len() > 5 && users.len() > 100, "{} {}", records.len(), users.len());
    let is_relaxed = |after: &str| after.starts_with("Relaxed)") || after.starts_with("Ordering::Relaxed)");
    for file in records.iter().chain(&users) {
        let text: String = std::fs::read_to_string(file).expect("a source file").split_whitespace().collect();
        for (at, load) in text.match_indices(".load(") {
            let is_record = records.contains(file) || LENT.iter().any(|lent| text[..at].ends_with(lent));
            let after = &text[at + load.len()..];
            let shown: String = after.chars().take(20).collect();
            assert!(!is_record || is_relaxed(after), "{} loads a word of the registry with {shown}", file.display());
        }
    }
}

/// The files of Rust source below a folder.
fn sources(folder: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// What two crates need is a crate, and compiled once.
#[test]
fn no_file_is_taken_in_by_its_path() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(root).expect("the workspace") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, &mut files);
        }
    }
    assert!(files.len() > 500, "{}", files.len());
    let mark = concat!("#[", "path");
    let by_path = |file: &&std::path::PathBuf| {
        // Side workspaces build into directories of their own.
        let is_built = file.components().any(|part| part.as_os_str() == "target");
        !is_built && std::fs::read_to_string(file).expect("a source file").contains(mark)
    };
    assert_eq!(files.iter().filter(by_path).collect::<Vec<_>>(), [] as [&std::path::PathBuf; 0]);
}

#[test]
fn every_crash_point_has_one_place() {
    let mut files = Vec::new();
    for folder in ["rsm-core/src", "rsm-shm/src", "src"] {
        sources(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut files);
    }
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for file in files.iter().filter(|f| !f.ends_with("rsm-core/src/crash.rs")) {
        let text = std::fs::read_to_string(file).expect("a source file");
        for after in text.split("crash_point!(").skip(1) {
            let name = after.split(')').next().unwrap_or_default();
            *places.entry(name.to_owned()).or_default() += 1;
        }
    }
    // That every place names a point is what the compiler checks.
    let listed = rsm_core::crash::POINTS.iter().map(|(_, name, _)| ((*name).to_owned(), 1));
    assert_eq!(places, listed.collect());
}

/// A room of `rsm-shm`, and what its files may not name.
const ROOMS: &[(&str, &[&str])] = &[
    // What the agent knows does not act.
    ("agent/books", &["Agent", "crate::membership"]),
    ("agent", &["crate::membership"]),
    ("memory", &["crate::agent", "crate::membership"]),
];

#[test]
fn rooms_name_only_what_is_below_them() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rsm-shm/src");
    for &(room, never) in ROOMS {
        let mut files = Vec::new();
        sources(&root.join(room), &mut files);
        assert!(!files.is_empty(), "{room} has files");
        for file in files {
            let text = std::fs::read_to_string(&file).expect("a source file");
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            for (line, never) in code.flat_map(|line| never.iter().map(move |never| (line, never))) {
                assert!(!line.contains(never), "{} names {never}: {line}", file.display());
            }
        }
    }
}

/// The files of what users have, by their places, with their text.
fn product_code() -> Vec<(std::path::PathBuf, String)> {
    const FOLDERS: [&str; 15] = [
        "src",
        "python/src",
        "rsm-capi/src",
        "rsm-core/src",
        "rsm-ctl/src",
        "rsm-lab/src",
        "rsm-ntb/src",
        "rsm-ntb-emu/src",
        "rsm-perf/src",
        "rsm-race/src",
        "rsm-race-cc/src",
        "rsm-run/src",
        "rsm-shm/src",
        "rsm-shmem/src",
        "rsm-team/src",
    ];
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    FOLDERS.iter().for_each(|folder| sources(&root.join(folder), &mut files));
    let read = |file: std::path::PathBuf| {
        let text = std::fs::read_to_string(&file).expect("a source file");
        (file.strip_prefix(root).expect("below the root").to_owned(), text)
    };
    files.into_iter().map(read).collect()
}

/// Product code that may be unsafe: what Linux and the devices are, and the bindings to them, to C and to Python. The agent
/// is none of that, nor is the core, nor what disturbs and judges.
const MAY_BE_UNSAFE: &[&str] = &[
    "python/src/export.rs",
    "python/src/interpreter.rs",
    "python/src/local.rs",
    "python/src/mapping.rs",
    "python/src/span.rs",
    "python/src/view.rs",
    "rsm-shm/src",
    "rsm-capi/src",
    "rsm-ctl/src/outset.rs",
    "rsm-ntb/src/vfio/ioctl.rs",
    "rsm-ntb/src/vfio/mapping.rs",
    "rsm-ntb-emu/src/memory.rs",
    "rsm-ntb-emu/src/raise.rs",
    "rsm-ntb-emu/src/signals.rs",
    "rsm-perf/src/raw",
    "rsm-perf/src/region.rs",
    "rsm-perf/src/rsm_party.rs",
    "rsm-perf/src/window.rs",
    "rsm-race-cc/src",
    "rsm-run/src/descriptor.rs",
    "rsm-run/src/owned/entry.rs",
    "rsm-run/src/process.rs",
    "rsm-shmem/src/arena.rs",
    "rsm-shmem/src/control.rs",
    "rsm-shmem/src/end.rs",
    "rsm-shmem/src/exit.rs",
    "rsm-shmem/src/exports.rs",
    "rsm-shmem/src/folding.rs",
    "rsm-shmem/src/image.rs",
    "rsm-shmem/src/job/context.rs",
    "rsm-shmem/src/job/peer.rs",
    "rsm-shmem/src/job/target.rs",
    "rsm-shmem/src/kept.rs",
    "rsm-shmem/src/local.rs",
    "rsm-shmem/src/long_double.rs",
    "rsm-shmem/src/place.rs",
    "rsm-shmem/src/symmetric.rs",
    "rsm-shmem/src/wait.rs",
    "src/controller.rs",
    "src/export.rs",
    "src/poll.rs",
    "src/raw.rs",
];

#[test]
fn only_linux_devices_and_bindings_are_unsafe() {
    for (place, text) in product_code() {
        let may = MAY_BE_UNSAFE.iter().any(|may| place.starts_with(may)) && !place.starts_with("rsm-shm/src/agent");
        assert!(may || !text.contains("allow(unsafe_code)"), "{} is unsafe", place.display());
    }
}

/// What makes a program a process of a node has its name in one place, which every layer above uses.
#[test]
fn the_environment_of_nodes_is_named_once() {
    use rsm::run::{ENV_CLUSTER, ENV_NODE_COUNT, ENV_NODE_ID, ENV_NODE_KEY, ENV_RUN};
    let mut places: BTreeMap<&str, Vec<std::path::PathBuf>> = BTreeMap::new();
    for (place, text) in product_code() {
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for name in [ENV_CLUSTER, ENV_NODE_COUNT, ENV_NODE_ID, ENV_NODE_KEY, ENV_RUN] {
            if code.contains(&format!("\"{name}\"")) || code.contains(&format!("\"{name}=")) {
                places.entry(name).or_default().push(place.clone());
            }
        }
    }
    let owners = |name| if name == ENV_RUN { "rsm-shm/src/run.rs" } else { "rsm-shm/src/address.rs" };
    assert_eq!(places.len(), 5, "{places:?}");
    assert!(places.iter().all(|(name, places)| *places == [std::path::Path::new(owners(*name))]), "{places:?}");
}

#[test]
fn ways_do_not_name_each_other() {
    let room = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rsm-shm/src/membership/way");
    let mut files = Vec::new();
    sources(&room, &mut files);
    files.retain(|file| *file != room.join("mod.rs"));
    // A file or a folder each.
    let way = |file: &std::path::Path| {
        let first = file.strip_prefix(&room).expect("below the room").iter().next().expect("a name");
        std::path::Path::new(first).file_stem().unwrap().to_string_lossy().into_owned()
    };
    let names: BTreeSet<String> = files.iter().map(|file| way(file)).collect();
    assert!(!files.is_empty(), "there are ways");
    for file in &files {
        let text = std::fs::read_to_string(file).expect("a source file");
        let uses: Vec<&str> = text.lines().filter(|line| line.trim_start().starts_with("use ")).collect();
        for name in names.iter().filter(|name| **name != way(file)) {
            assert!(!uses.iter().any(|line| line.contains(&format!("{name}::"))), "{} names {name}", file.display());
        }
    }
}
