//! What is run: `rsm-ctl`, the pairs in Rust, and those in C, each of which is built when it is first asked for.

use crate::pairs::{Language, Pair};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

/// What the compiler is told of every program.
const STRICT: &[&str] = &["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"];

/// How a line in C ends that is one of a race's.
pub(crate) const SITE: &str = " /* SITE */";

/// How a program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Built {
    Plainly,
    /// By `rsm-ctl cc`, so that all that it does with segments is looked at; in C, where there is a compiler for that.
    Seen,
}

/// A program of a pair in C.
type Which = (&'static str, Built);

/// Where a program is, or why it is not there.
type Made = Result<PathBuf, String>;

/// The programs, in a directory that goes at the end.
pub(crate) struct Programs {
    directory: PathBuf,
    built: OnceLock<Made>,
    /// Whether there is a compiler that `rsm-ctl cc` takes.
    sees: OnceLock<Result<bool, String>>,
    in_c: Mutex<BTreeMap<Which, Result<PathBuf, String>>>,
}

impl Programs {
    pub(crate) fn new() -> Programs {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("lens-{}", std::process::id()));
        Programs { directory, built: OnceLock::new(), sees: OnceLock::new(), in_c: Mutex::default() }
    }

    /// `rsm-ctl`; the one that `RSM_CTL` names, or one that is up to date.
    pub(crate) fn ctl(&self) -> Result<PathBuf, String> {
        let profile = self.built()?;
        Ok(std::env::var_os("RSM_CTL").map_or_else(|| profile.join("rsm-ctl"), PathBuf::from))
    }

    /// Builds what no test depends on, so that cargo has not seen to it. Gives the directory of the profile.
    fn built(&self) -> Result<PathBuf, String> {
        let build = || {
            let test = std::env::current_exe().map_err(|e| e.to_string())?;
            let profile = test.parent().and_then(Path::parent).ok_or("the test is in no target directory")?;
            let (mut cargo, mut librsm) = (Command::new(env!("CARGO")), Command::new("sh"));
            cargo.args(["build", "--quiet", "-p", "rsm-ctl"]).current_dir(root());
            librsm.arg(root().join("rsm-capi/tests/library.sh"));
            if profile.ends_with("release") {
                cargo.arg("--release");
                librsm.arg("--release");
            }
            succeed(&mut cargo)?;
            let library = succeed(&mut librsm)?;
            std::fs::create_dir_all(&self.directory).map_err(|e| e.to_string())?;
            std::fs::copy(library.trim_end(), self.directory.join("librsm.so.2")).map_err(|e| e.to_string())?;
            symlink("librsm.so.2", self.directory.join("librsm.so")).map_err(|e| e.to_string())?;
            Ok(profile.to_owned())
        };
        self.built.get_or_init(build).clone()
    }

    /// Whether programs in C can be built so that all that they do with segments is seen.
    pub(crate) fn sees(&self) -> Result<bool, String> {
        let make = || {
            let profile = self.built()?;
            if succeed(Command::new(self.ctl()?).args(["cc", "gcc", "--version"])).is_err() {
                eprintln!(
                    "there is no gcc that rsm-ctl cc takes: programs in C are looked at between their calls only"
                );
                return Ok(false);
            }
            let mut library = Command::new("sh");
            library.arg(root().join("rsm-race-cc/library.sh")).arg(self.directory.join("librsm_race.a"));
            library.env("CARGO", env!("CARGO"));
            if profile.ends_with("release") {
                library.arg("--release");
            }
            succeed(&mut library).map(|_| true)
        };
        self.sees.get_or_init(make).clone()
    }

    /// A program of a pair, as the words that run it on each node.
    pub(crate) fn words(
        &self,
        pair: &Pair,
        language: Language,
        good: bool,
        built: Built,
    ) -> Result<Vec<OsString>, String> {
        let variant = if good { "good" } else { "bad" };
        match language {
            Language::C => Ok(vec![self.in_c(pair, built)?.into(), variant.into()]),
            Language::Rust => Ok(vec![env!("CARGO_BIN_EXE_litmus").into(), pair.name.into(), variant.into()]),
        }
    }

    fn in_c(&self, pair: &Pair, built: Built) -> Result<PathBuf, String> {
        self.built()?;
        let is_seen = built == Built::Seen && self.sees()?;
        let compile = || {
            let (folder, mut cc) = match is_seen {
                // They tell their names, which are the same.
                true => (self.directory.join("seen"), Command::new(self.ctl()?)),
                false => (self.directory.clone(), Command::new("cc")),
            };
            if is_seen {
                std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
                cc.args(["cc", "gcc"]);
            }
            let program = folder.join(pair.name);
            cc.args(STRICT).arg("-I").arg(root().join("rsm-capi/include")).arg("-o").arg(&program);
            cc.arg(source(pair.name, Language::C)).arg("-L").arg(&self.directory).arg("-lrsm");
            cc.arg(format!("-Wl,-rpath,{}", self.directory.display()));
            succeed(&mut cc).map(|_| program)
        };
        let built = if is_seen { Built::Seen } else { Built::Plainly };
        let mut all = self.in_c.lock().expect("no thread panics here");
        all.entry((pair.name, built)).or_insert_with(compile).clone()
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The source of a program.
pub(crate) fn source(name: &str, language: Language) -> PathBuf {
    let (folder, extension) = if language == Language::C { ("c", "c") } else { ("rust", "rs") };
    Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name).with_extension(extension)
}

/// Runs a command that has to end well, and gives what it printed.
fn succeed(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}
