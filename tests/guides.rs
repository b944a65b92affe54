//! What README and the pages of `docs` show and link to is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// README and its like, and every page below `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("python/README.md")];
    for folder in [root().to_owned(), root().join("docs")] {
        let entries = fs::read_dir(folder).expect("a folder of pages").map(|entry| entry.expect("an entry").path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    pages
}

/// The lines of a page that are no code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    page.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Where the links of a line lead.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(link, _)| link))
}

/// The name by which a heading can be linked to.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().trim().to_lowercase().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut wrong = Vec::new();
    for page in pages() {
        let text = read(&page);
        for link in prose(&text).flat_map(links).filter(|link| !link.contains("://")) {
            let (path, part) = link.split_once('#').map_or((link, None), |(path, part)| (path, Some(part)));
            let target = if path.is_empty() { page.clone() } else { page.parent().expect("a folder").join(path) };
            let is_there = match part {
                None => target.exists(),
                Some(part) => {
                    target.is_file() && {
                        let text = read(&target);
                        prose(&text).any(|line| line.starts_with('#') && anchor(line.trim_start_matches('#')) == part)
                    }
                }
            };
            if !is_there {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "these lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn excerpts_stand_in_their_files() {
    let mut files = BTreeSet::new();
    for page in pages() {
        let text = read(&page);
        // A comment that names the file, and then the block. Other tests look at excerpts of their own.
        for part in text.split("<!-- ").skip(1) {
            let Some((file, rest)) = part.split_once(" -->\n```") else { continue };
            if !root().join(file).is_file() {
                panic!("{} shows {file}, which is not there", page.display());
            }
            let block = rest.split_once('\n').and_then(|(_, rest)| rest.split_once("```")).map(|(block, _)| block);
            let block = block.unwrap_or_else(|| panic!("{}: the block of {file} does not end", page.display()));
            // How far all of it is indented is the page's matter.
            let indent = |text: &str| {
                let depths =
                    text.lines().filter(|line| !line.is_empty()).map(|line| line.len() - line.trim_start().len());
                depths.min().unwrap_or(0)
            };
            let shown: Vec<&str> = block.lines().collect();
            let source = read(root().join(file));
            // The marks of lines that races are told by are for tests.
            let source: Vec<&str> = source.lines().map(|line| line.trim_end_matches(" /* SITE */")).collect();
            let stands = !shown.is_empty()
                && source.windows(shown.len()).any(|window| {
                    let (from, to) = (indent(&window.join("\n")), indent(block));
                    window.iter().zip(&shown).all(|(a, b)| a.get(from..).unwrap_or("") == b.get(to..).unwrap_or(""))
                });
            assert!(stands, "{} shows what {file} does not have:\n{block}", page.display());
            files.insert(file.to_owned());
        }
    }
    let shown = [
        "examples/failover.rs",
        "examples/halo/halo.c",
        "examples/halo/halo.rs",
        "examples/neighbours/neighbours.c",
        "examples/neighbours/neighbours.rs",
        "examples/testing/CMakeLists.txt",
        "examples/testing/faults.txt",
        "examples/testing/gather.rs",
        "examples/testing/nextest.toml",
        "examples/testing/test_gather.py",
        "python/examples/failover.py",
        "python/examples/halo.py",
        "python/examples/neighbours.py",
    ];
    for file in shown {
        assert!(files.contains(file), "no guide shows {file}: {files:?}");
    }
}

#[test]
fn every_page_can_be_found() {
    let all: BTreeSet<PathBuf> = pages().iter().map(|page| page.canonicalize().expect("a page")).collect();
    let fronts = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "CHANGELOG.md", "python/README.md"];
    let mut found: BTreeSet<PathBuf> =
        fronts.iter().map(|name| root().join(name).canonicalize().expect("a page")).collect();
    let mut next: Vec<PathBuf> = found.iter().cloned().collect();
    while let Some(page) = next.pop() {
        let text = read(&page);
        for link in prose(&text).flat_map(links) {
            let path = page.parent().expect("a folder").join(link.split('#').next().unwrap_or_default());
            if let Some(target) = path.canonicalize().ok().filter(|target| all.contains(target))
                && found.insert(target.clone())
            {
                next.push(target);
            }
        }
    }
    let lost: Vec<&PathBuf> = all.difference(&found).collect();
    assert!(lost.is_empty(), "no page that can be reached links to {lost:?}");
}

/// The front pages lead to all guides: README, and the documentation of the library, which cannot link to them.
#[test]
fn the_documentation_names_the_guides_of_readme() {
    let readme = read(root().join("README.md"));
    let table = readme.split("\n## Guides\n").nth(1).expect("guides").split("\n## ").next().unwrap_or_default();
    let linked: BTreeSet<&str> = table.lines().flat_map(links).map(|link| link.trim_start_matches("docs/")).collect();
    let source = read(root().join("src/lib.rs"));
    let front = source.split("//! # Guides").nth(1).and_then(|rest| rest.split("//! # ").next()).expect("guides");
    let named: BTreeSet<&str> =
        front.split('`').skip(1).step_by(2).filter(|word: &&str| word.ends_with(".md")).collect();
    let missing: Vec<&&str> = linked.difference(&named).collect();
    assert!(linked.len() > 15 && missing.is_empty(), "src/lib.rs does not name {missing:?}");
    for page in named {
        assert!(root().join("docs").join(page).is_file(), "src/lib.rs names {page}, which is not there");
    }
}

/// What `docs/attacks.md` says of another host it says by the names of tests.
#[test]
fn tests_that_show_attacks_from_another_host_are_there() {
    let text = read(root().join("docs/attacks.md"));
    let after = text.split("## From another host").nth(1).expect("the part about other hosts");
    let rows = after.split("\n## ").next().unwrap_or_default().lines().filter(|line| line.starts_with("| "));
    let mut sources = String::new();
    for folder in ["rsm-ntb/tests/driver", "rsm-shm/tests/peers", "rsm-shm/src/memory"] {
        let entries =
            fs::read_dir(root().join(folder)).expect("a folder of tests").map(|entry| entry.expect("an entry").path());
        entries.filter(|path| path.is_file()).for_each(|path| sources += &read(path));
    }
    let mut named = 0;
    for test in rows
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter(|word| word.contains('_') && !word.contains([' ', '.', ':']))
    {
        assert!(sources.contains(&format!("fn {test}()")), "there is no test {test}");
        named += 1;
    }
    assert!(named >= 12, "{named}");
}
