//! How this program, executed once more, comes to the same test.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::thread;

use rustix::process::getpid;
use rustix::thread::gettid;

/// The path of a function, from what the compiler calls a function in it: `tests::ring` of `my_crate::tests::ring::here`.
pub(super) fn function(here: &str) -> String {
    let path = here.rsplit_once("::").map_or("", |(path, _)| path);
    path.split("::").skip(1).filter(|part| *part != "{{closure}}").collect::<Vec<_>>().join("::")
}

/// What the harness calls the test, if this is a thread of a harness.
pub(super) fn test_name(function: &str) -> Option<String> {
    // A harness has tests and no `main` that calls them.
    if getpid() == gettid() || matches!(function, "" | "main") {
        return None;
    }
    let thread = thread::current();
    // Some generate several tests that call one function.
    let of_thread = thread.name().filter(|name| {
        let rest = name.strip_prefix(function);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    Some(of_thread.unwrap_or(function).to_owned())
}

/// This program: by its name where that is still its, since that is what debuggers and people know.
pub(super) fn this_program() -> PathBuf {
    let itself = PathBuf::from("/proc/self/exe");
    let is_it = |path: &PathBuf| {
        let id = |path: &PathBuf| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        id(path).is_some() && id(path) == id(&itself)
    };
    // The process that executes it is another one, and this program as well.
    std::env::current_exe().ok().filter(is_it).unwrap_or(itself)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_called_as_its_function_or_its_thread() {
        assert_eq!(function("ring::here"), "");
        assert_eq!(function("my_crate::here::here"), "here");
        assert_eq!(test_name("main"), None);
        assert_eq!(function("my_crate::tests::ring::here"), "tests::ring");
        assert_eq!(function("my_crate::ring::{{closure}}::{{closure}}::here"), "ring");
        let own = "on_nodes::program::tests::a_test_is_called_as_its_function_or_its_thread";
        assert_eq!(test_name(own).as_deref(), Some(own));
        let named = |name: &str| {
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(|| test_name("tests::ring")).unwrap().join().unwrap().unwrap()
        };
        assert_eq!(named("tests::ring::case_1"), "tests::ring::case_1");
        assert_eq!(named("tests::ring_of_two"), "tests::ring");
        assert_eq!(named("worker"), "tests::ring");
    }
}
