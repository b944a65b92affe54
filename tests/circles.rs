//! Files of a crate do not name each other in circles: what two of them need is below both.
//!
//! Read from the text: `use` and paths from `crate` or `super` on, outside of tests. What a folder passes on is named where it
//! is used, and what a file names of the folders that it is in does not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Its place below the folder of sources: `["agent", "books", "rows"]`; none for the root.
type Module = Vec<String>;

/// The modules below a folder, with the text of their files.
fn modules(folder: &Path, at: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("a source folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
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

fn circles(files: &BTreeMap<Module, String>) -> BTreeSet<(Module, Module)> {
    let all: Crate = files.iter().map(|(module, code)| (module.clone(), paths(code))).collect();
    let mut arrows = BTreeSet::new();
    for (from, named) in &all {
        let used = named.iter().filter(|named| named.passed_on.is_none());
        let to = used.filter_map(|named| leads_to(&named.path, from, &all)).filter(|to| !from.starts_with(to));
        arrows.extend(to.map(|to| (from.clone(), to)));
    }
    peel(&mut arrows);
    arrows
}

#[test]
fn no_files_name_each_other_in_circles() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut crates = vec![root.join("src")];
    let entries = std::fs::read_dir(root).expect("the workspace").map(|entry| entry.expect("an entry").path());
    crates.extend(entries.map(|path| path.join("src")).filter(|path| path.join("lib.rs").is_file()));
    assert!(crates.len() > 12, "{crates:?}");
    let mut told = Vec::new();
    for folder in &crates {
        let mut all = BTreeMap::new();
        modules(folder, &Module::new(), &mut all);
        let place = folder.strip_prefix(root).expect("below the root").display();
        let arrow = |(from, to): (Module, Module)| format!("{place}: {} names {}", from.join("/"), to.join("/"));
        told.extend(circles(&all).into_iter().map(arrow));
    }
    assert!(told.is_empty(), "what both need belongs into a file below them:\n{}", told.join("\n"));
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
