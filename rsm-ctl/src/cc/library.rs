//! Where librsm_race.a is.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::words::Words;
use crate::failure::Failure;

const NAME: &str = "librsm_race.a";

/// Finds it: where the words look for libraries, beside this program, as installed with it or with librsm, or where the
/// system has libraries.
pub(super) fn find(words: &Words) -> Result<PathBuf, Failure> {
    let mut folders = words.folders.clone();
    if let Some(here) = std::env::current_exe().ok().as_deref().and_then(|program| program.parent()) {
        folders.push(here.to_owned());
        folders.extend(["lib", "lib64"].map(|name| here.with_file_name(name)));
    }
    folders.extend(std::env::var_os("LIBRARY_PATH").iter().flat_map(std::env::split_paths));
    folders.extend(of_librsm());
    folders.extend(["/usr/local/lib", "/usr/lib"].map(PathBuf::from));
    let found = folders.iter().map(|folder| folder.join(NAME)).find(|file| file.is_file());
    found.ok_or_else(|| {
        Failure::new(format!(
            "{NAME} is not found, neither where -L says nor where rsm-ctl or librsm are installed; rsm-capi/install.sh installs it"
        ))
    })
}

/// Where pkg-config says that librsm is.
fn of_librsm() -> Option<PathBuf> {
    let mut command = Command::new("pkg-config");
    let output = command.args(["--variable=libdir", "rsm"]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let folder = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(folder.trim())).filter(|folder| folder.is_absolute())
}
