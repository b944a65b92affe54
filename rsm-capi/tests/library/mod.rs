//! The shared library that programs in C are linked with here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The library of the profile that this test is built in, up to date.
pub(crate) fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut build = Command::new("sh");
        build.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/library.sh")).stderr(Stdio::inherit());
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let output = build.output().expect("a shell runs");
        let said = String::from_utf8(output.stdout).expect("a path");
        assert!(output.status.success() && !said.is_empty(), "librsm.so is not built: {}", output.status);
        PathBuf::from(said.trim_end())
    })
}
