//! What programs leave in /dev/shm: POSIX shared memory of processes that are gone.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// Where the kernel keeps it.
const FOLDER: &str = "/dev/shm";

/// The names there are.
pub(super) struct Names(BTreeSet<OsString>);

impl Names {
    /// Now.
    pub(super) fn now() -> Names {
        Names(fs::read_dir(FOLDER).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect())
    }

    /// Those of this user's that have come since, and that no process has open or mapped.
    pub(super) fn left_since(&self) -> Vec<String> {
        let come = Names::now().0.into_iter().filter(|name| !self.0.contains(name));
        let paths: Vec<PathBuf> = come.map(|name| Path::new(FOLDER).join(name)).filter(|path| is_ours(path)).collect();
        if paths.is_empty() {
            return Vec::new();
        }
        let held = held();
        paths.into_iter().filter(|path| !held.contains(path)).map(|path| path.display().to_string()).collect()
    }
}

fn is_ours(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|file| file.uid() == geteuid().as_raw())
}

/// What processes that may be looked at have open or mapped there.
fn held() -> BTreeSet<PathBuf> {
    let entries = |path: PathBuf| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let processes = entries("/proc".into())
        .filter(|path| path.file_name().is_some_and(|n| n.as_encoded_bytes()[0].is_ascii_digit()));
    let links = processes.flat_map(|process| entries(process.join("fd")).chain(entries(process.join("map_files"))));
    links.filter_map(|link| fs::read_link(link).ok()).filter(|to| to.starts_with(FOLDER)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_is_left() {
        let before = Names::now();
        let path = PathBuf::from(format!("{FOLDER}/rsm-explore-{}", std::process::id()));
        let file = fs::File::create_new(&path).unwrap();
        let is_left = || before.left_since().contains(&path.display().to_string());
        let (held, left) = (is_left(), drop(file));
        let () = left;
        let alone = is_left();
        fs::remove_file(&path).unwrap();
        assert!(!held && alone && !is_left());
    }
}
