//! Finds the program to run before anything is started, as a shell would.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};
use crate::interpreter;
use crate::printable;

/// Where exec looks when there is no PATH.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// What a process executes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// The file.
    pub path: PathBuf,
    /// What the user called it: the program's own argument 0.
    pub name: OsString,
    /// Those after its name.
    pub arguments: Vec<OsString>,
}

/// The file that `name` means: itself if it has a slash, otherwise the first executable of that name along PATH. A name
/// with a slash is looked for in `base`, or where this process is, and not in the directory the program will start in.
pub fn find(name: &OsStr, base: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    let based = base.filter(|_| name.as_bytes().contains(&b'/')).map(|base| base.join(name).into_os_string());
    let found = find_along(based.as_deref().unwrap_or(name), &path).map_err(|errno| refusal(name, errno))?;
    // Fails where the current directory has gone; then nothing starts anywhere else either.
    Ok(std::path::absolute(&found).unwrap_or(found))
}

/// What a program is called, without the way to it.
pub fn short(name: &OsStr) -> String {
    printable::path(Path::new(name).file_name().unwrap_or(name))
}

/// The failure for a program that was found and that the kernel would not execute.
pub(crate) fn refused(program: &Program, errno: Errno) -> Failure {
    match interpreter::lacks(&program.path, errno) {
        // The program itself is there.
        Some(why) => {
            let message = format!("cannot run \"{}\": {why}", printable::path(&program.name));
            Failure { code: ExitCode::NotExecutable, message }
        }
        None => refusal(&program.name, errno),
    }
}

/// The failure for a program that was not found, or may not be executed.
fn refusal(name: &OsStr, errno: Errno) -> Failure {
    let code = if errno == Errno::NOENT { ExitCode::NotFound } else { ExitCode::NotExecutable };
    Failure { code, message: format!("cannot run \"{}\": {}", printable::path(name), reason(&errno.into())) }
}

fn find_along(name: &OsStr, path: &OsStr) -> Result<PathBuf, Errno> {
    if name.as_bytes().contains(&b'/') {
        executable(Path::new(name))?;
        return Ok(name.into());
    }
    let mut error = Errno::NOENT;
    for directory in env::split_paths(path) {
        // An empty entry means the current directory; the slash keeps exec from searching again.
        let directory = if directory.as_os_str().is_empty() { PathBuf::from(".") } else { directory };
        let candidate = directory.join(name);
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            // Found but not executable is the better thing to say, unless a later directory has one that is. In a directory
            // that may not be searched nothing was found.
            Err(_) if candidate.is_file() => error = Errno::ACCESS,
            Err(_) => {}
        }
    }
    Err(error)
}

fn executable(file: &Path) -> Result<(), Errno> {
    if file.is_dir() {
        return Err(Errno::ISDIR);
    }
    access(file, Access::EXEC_OK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn found_along_the_path() {
        assert_eq!(find_along(OsStr::new("sh"), OsStr::new("/nonexistent:/bin")), Ok("/bin/sh".into()));
        assert_eq!(find_along(OsStr::new("/bin/sh"), OsStr::new("")), Ok("/bin/sh".into()));
    }

    #[test]
    fn not_found_and_not_executable_differ() {
        assert_eq!(find_along(OsStr::new("no-such-program"), OsStr::new("/bin:/usr/bin")), Err(Errno::NOENT));
        assert_eq!(find_along(OsStr::new("/no/such/program"), OsStr::new("/bin")), Err(Errno::NOENT));
        assert_eq!(find_along(OsStr::new("/etc/passwd"), OsStr::new("/bin")), Err(Errno::ACCESS));
        assert_eq!(find_along(OsStr::new("passwd"), OsStr::new("/etc")), Err(Errno::ACCESS));
        assert_eq!(find_along(OsStr::new("/etc"), OsStr::new("/bin")), Err(Errno::ISDIR));
        assert_eq!(refusal(OsStr::new("x"), Errno::NOENT).code, ExitCode::NotFound);
        assert_eq!(refusal(OsStr::new("x"), Errno::ISDIR).code, ExitCode::NotExecutable);
        assert_eq!(refusal(OsStr::new("x"), Errno::NOENT).message, "cannot run \"x\": No such file or directory");
    }
}
