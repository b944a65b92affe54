//! Files of a crate do not name each other in circles, nor do its rooms: what two of them need is below both.
//!
//! A room is a folder. Of what lies side by side in one, files and folders, each stands for all that is in it. Looked at are the
//! libraries, programs, examples and benchmarks of every package that is kept here, in the workspace and beside it.
//!
//! Read from the text: `use` and paths from `crate` or `super` on, outside of tests. What a folder passes on is named where it
//! is used, and what a file names of the folders that it is in does not count.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its place below the folder of sources: `["agent", "books", "rows"]`; none for the root.
type Module = Vec<String>;

/// The modules below a folder, with the text of their files.
fn modules(folder: &Path, at: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        // As tests at the end of a file.
        if name == "tests" {
            continue;
        }
        let mut module = at.clone();
        if !matches!(&*name, "mod" | "lib" | "main") {
            module.push(name);
        }
        if path.is_dir() {
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // A program beside its library counts as its root, too.
            found.entry(module).or_default().push_str(&code(&std::fs::read_to_string(&path).expect("a source file")));
        }
    }
}

/// What of a file is neither comment nor its tests, which come last.
fn code(text: &str) -> String {
    let ends = ["\n#[cfg(test)]\nmod tests", "\n#[cfg(all(test"];
    let end = ends.iter().filter_map(|mark| text.find(mark)).min().unwrap_or(text.len());
    text[..end].lines().map(|line| line.split("//").next().unwrap_or_default()).flat_map(|line| [line, "\n"]).collect()
}

/// A path that is named in code.
struct Named {
    path: String,
    /// What it is known by where it is named, if that is a re-export.
    passed_on: Option<String>,
}

/// The paths that a tree of `use` stands for, each with its last word or another name for it.
fn expand(tree: &str, before: &str, paths: &mut Vec<(String, String)>) {
    let tree = tree.trim();
    let Some((prefix, rest)) = tree.split_once('{') else {
        let mut words = tree.split(" as ").map(str::trim);
        let path = format!("{before}{}", words.next().unwrap_or_default());
        let name = words.next().or(path.rsplit("::").next()).unwrap_or_default().to_owned();
        paths.push((path, name));
        return;
    };
    let before = format!("{before}{}", prefix.trim());
    let (mut depth, mut begin) = (0, 0);
    let inner = &rest[..rest.rfind('}').unwrap_or(rest.len())];
    for (at, sign) in inner.char_indices().chain([(inner.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[begin..at].trim().is_empty() {
                    expand(&inner[begin..at], &before, paths);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

/// The paths that are named in code.
fn paths(code: &str) -> Vec<Named> {
    let mut named = Vec::new();
    let is_word = |sign: char| sign.is_alphanumeric() || matches!(sign, '_' | ':' | '$');
    for statement in code.split(';') {
        let is_use = |at: usize| !statement[..at].ends_with(is_word);
        if let Some((at, _)) = statement.match_indices("use ").find(|(at, _)| is_use(*at)) {
            let line = statement[..at].rsplit('\n').next().unwrap_or_default().trim_start();
            let mut all = Vec::new();
            expand(&statement[at + 4..], "", &mut all);
            let is_passed_on = line.starts_with("pub");
            named.extend(all.into_iter().map(|(path, name)| Named { path, passed_on: is_passed_on.then_some(name) }));
        } else {
            let words = statement.split(|sign| !is_word(sign));
            let leads = |word: &&str| word.starts_with("crate::") || word.starts_with("super::");
            named.extend(words.filter(leads).map(|path| Named { path: path.to_owned(), passed_on: None }));
        }
    }
    named
}

/// A crate: what each of its modules names.
type Crate = BTreeMap<Module, Vec<Named>>;

/// The module that has what a path leads to, as it is named in another.
fn leads_to(path: &str, from: &Module, all: &Crate) -> Option<Module> {
    let mut words = path.split("::").map(str::trim).peekable();
    let mut at = match *words.peek()? {
        "crate" => Module::new(),
        "self" | "super" => from.clone(),
        child => {
            let mut module = from.clone();
            module.push(child.to_owned());
            all.contains_key(&module).then(|| from.clone())?
        }
    };
    while let Some(word) = words.next_if(|word| matches!(*word, "crate" | "self" | "super")) {
        if word == "super" {
            at.pop();
        }
    }
    for word in words {
        at.push(word.to_owned());
        if !all.contains_key(&at) {
            at.pop();
            // A folder may pass on what a file of it has.
            let passes = |named: &&Named| named.passed_on.as_deref() == Some(word);
            let passed = all.get(&at)?.iter().find(passes).and_then(|named| leads_to(&named.path, &at, all));
            return passed.or(Some(at));
        }
    }
    Some(at)
}

/// Takes away whatever leads to nothing that is left, until all that is left leads in circles, or to one.
fn peel(arrows: &mut BTreeSet<(Module, Module)>) {
    loop {
        let before = arrows.len();
        let begins: BTreeSet<Module> = arrows.iter().map(|(from, _)| from.clone()).collect();
        arrows.retain(|(_, to)| begins.contains(to));
        let ends: BTreeSet<Module> = arrows.iter().map(|(_, to)| to.clone()).collect();
        arrows.retain(|(from, _)| ends.contains(from));
        if arrows.len() == before {
            return;
        }
    }
}

/// What names what else.
fn arrows(files: &BTreeMap<Module, String>) -> BTreeSet<(Module, Module)> {
    let all: Crate = files.iter().map(|(module, code)| (module.clone(), paths(code))).collect();
    let mut arrows = BTreeSet::new();
    for (from, named) in &all {
        let used = named.iter().filter(|named| named.passed_on.is_none());
        let to = used.filter_map(|named| leads_to(&named.path, from, &all)).filter(|to| !from.starts_with(to));
        arrows.extend(to.map(|to| (from.clone(), to)));
    }
    arrows
}

/// The circles of files.
fn circles(files: &BTreeMap<Module, String>) -> BTreeSet<(Module, Module)> {
    let mut arrows = arrows(files);
    peel(&mut arrows);
    arrows
}

/// The circles of what lies side by side in a folder, the root's or any below it.
fn circles_of_rooms(files: &BTreeMap<Module, String>) -> BTreeSet<(Module, Module)> {
    let mut folders: BTreeMap<Module, BTreeSet<(Module, Module)>> = BTreeMap::new();
    for (from, to) in arrows(files) {
        let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
        // A folder that names what is in it is above that.
        if from.len() > shared && to.len() > shared {
            let beside = (from[..=shared].to_vec(), to[..=shared].to_vec());
            folders.entry(from[..shared].to_vec()).or_default().insert(beside);
        }
    }
    folders.values_mut().for_each(peel);
    folders.into_values().flatten().collect()
}

/// The manifests below a folder.
fn manifests(folder: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == "Cargo.toml" {
            found.insert(path);
        } else if name != "target" && !name.starts_with('.') && path.is_dir() {
            manifests(&path, found);
        }
    }
}

/// The packages of the workspace that a manifest is of.
fn packages(manifest: &Path) -> Vec<Value> {
    let ask = ["metadata", "--no-deps", "--offline", "--format-version=1", "--manifest-path"];
    let output = Command::new(env!("CARGO")).args(ask).arg(manifest).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    told["packages"].as_array().expect("packages").clone()
}

/// Where the sources of each package here begin: a folder, or a file where they are one. What only tests is left out.
fn sources(root: &Path) -> BTreeSet<PathBuf> {
    let mut left = BTreeSet::new();
    manifests(root, &mut left);
    let mut sources = BTreeSet::new();
    // That of the root is the first, so the others that are left are of workspaces of their own.
    while let Some(manifest) = left.first().cloned() {
        for package in packages(&manifest) {
            left.remove(Path::new(package["manifest_path"].as_str().expect("a path")));
            for target in package["targets"].as_array().expect("targets") {
                let path = Path::new(target["src_path"].as_str().expect("a path"));
                let is_folder = ["lib.rs", "main.rs"].iter().any(|name| path.ends_with(name));
                if !["test", "custom-build"].iter().any(|kind| target["kind"][0] == *kind) {
                    sources.insert(if is_folder { path.parent().expect("a folder") } else { path }.to_owned());
                }
            }
        }
        assert!(left.first() != Some(&manifest), "{} is of no package", manifest.display());
    }
    sources
}

/// Who names whom in a circle, among modules with their texts.
type Circles = fn(&BTreeMap<Module, String>) -> BTreeSet<(Module, Module)>;

/// What some circles are in all the sources.
fn told(circles: Circles) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut told = String::new();
    for source in sources(root).iter().filter(|source| source.is_dir()) {
        let mut all = BTreeMap::new();
        modules(source, &Module::new(), &mut all);
        let place = source.strip_prefix(root).expect("below the root").display();
        for (from, to) in circles(&all) {
            told += &format!("{place}: {} names {}\n", from.join("/"), to.join("/"));
        }
    }
    told
}

#[test]
fn no_files_name_each_other_in_circles() {
    assert_eq!(told(circles), "", "what both need belongs into a file below them");
}

#[test]
fn no_rooms_name_each_other_in_circles() {
    assert_eq!(told(circles_of_rooms), "", "what both need belongs into a room below them");
}

/// Of packages in the workspace, in folders of others, and in workspaces of their own; one may have nothing but tests.
#[test]
fn the_sources_of_every_package_are_looked_at() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = sources(root);
    for package in packages(&root.join("Cargo.toml")) {
        let folder = Path::new(package["manifest_path"].as_str().expect("a path")).parent().expect("a folder");
        if package["targets"].as_array().expect("targets").iter().all(|target| target["kind"][0] == "test") {
            continue;
        }
        assert!(sources.iter().any(|source| source.starts_with(folder)), "{}", folder.display());
    }
    for source in
        ["src", "rsm-ctl/src", "rsm-ntb-emu/src", "rsm-shmem/table", "benches/compare/src", "tests/stories/src"]
    {
        assert!(sources.contains(&root.join(source)), "{source}: {sources:?}");
    }
}

#[test]
fn a_circle_is_found_however_it_is_named() {
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let files = |files: &[(&str, &str)]| files.iter().map(|(path, text)| (module(path), code(text))).collect();
    let found = |all: BTreeMap<Module, String>| -> Vec<String> {
        circles(&all).into_iter().map(|(from, to)| format!("{} {}", from.join("/"), to.join("/"))).collect()
    };
    let open = &[
        ("a", "//! [`crate::c`]\nuse crate::{b::B, d::{self, D as E}};\n#[cfg(test)]\nmod tests { use crate::c; }"),
        ("b", "use super::d;"),
        ("c", "use crate::a::A; // crate::c"),
        ("d", "use e::G;\npub(crate) use f::{H, I as J};"),
        ("d/e", "use super::F;\nuse crate::d::F;"),
        ("d/f", "use crate::g::K;"),
        ("g", "use crate::d::I;"),
    ];
    assert_eq!(found(files(open)), [""; 0]);
    for (file, closing, arrow) in [
        ("d", "use crate::a::A;", "d a"),
        ("d", "use std::fmt;\nuse crate::{\n    a::{A, C},\n};", "d a"),
        ("d", "fn f() -> super::b::B { super::b::B }", "d b"),
        ("d", "fn f() { g(&crate::a::A) }", "d a"),
        ("d/e", "use crate::a::A;", "d/e a"),
        ("g", "use crate::d::{F, J};", "g d/f"),
    ] {
        let mut all: BTreeMap<Module, String> = files(open);
        all.entry(module(file)).or_default().push_str(&format!("\n{closing}"));
        let told = found(all);
        assert!(told.iter().any(|told| told == arrow), "{closing}: {told:?}");
        assert!(!told.iter().any(|told| told.contains('c')), "{told:?}");
    }
}

#[test]
fn a_circle_of_rooms_is_found() {
    let module = |path: &str| path.split('/').map(str::to_owned).collect::<Module>();
    let found = |files: &[(&str, &str)]| -> Vec<String> {
        let all = files.iter().map(|(path, text)| (module(path), code(text))).collect();
        assert_eq!(circles(&all), BTreeSet::new());
        circles_of_rooms(&all).into_iter().map(|(from, to)| format!("{} {}", from.join("/"), to.join("/"))).collect()
    };
    let open = ("a/b", "use crate::c::d::D;\nuse super::e::E;");
    assert_eq!(
        found(&[("a", "pub use b::B;"), open, ("a/e", ""), ("c", "use d::D;"), ("c/d", ""), ("c/f", "")]),
        [""; 0]
    );
    // Not of the files: who names the room is not whom it names.
    assert_eq!(
        found(&[("a", ""), open, ("a/e", ""), ("c", ""), ("c/d", ""), ("c/f", "use crate::a::e::E;")]),
        ["a c", "c a"]
    );
    let below = [("x", ""), ("x/a", ""), ("x/a/b", "use crate::x::c;"), ("x/a/e", ""), ("x/c", "use super::a::e::E;")];
    assert_eq!(found(&below), ["x/a x/c", "x/c x/a"]);
}
