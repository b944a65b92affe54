//! `rsm-ctl cc`: a compiler, told so that what it builds says which memory it reads and writes.
//!
//! The compiler puts a call before each access (`-fsanitize=thread`), and librsm_race answers the calls in place of the
//! library that it would link for that option. So the option is for the compiler proper alone: gcc is given a file of specs
//! that says so, clang has `-Xclang`.

mod cargo;
mod inline;
mod led;
mod library;
mod words;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Args;
use rsm_run::printable;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::exit_code::ExitCode;
use crate::failure::Failure;
pub(crate) use cargo::stand_in;
use led::COPIES;
use words::Words;

/// What `cc` can be told.
#[derive(Debug, Args)]
pub(crate) struct CcArgs {
    /// Have calls about threads told too, so that --race tells the threads of a program in C or C++ apart. It may report a right
    /// program whose threads are ordered by what it does not see
    #[arg(long)]
    threads: bool,
    /// The compiler, gcc, g++, clang or clang++ by whatever name, or cargo, and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMPILER ARGS", required = true)]
    words: Vec<OsString>,
}

/// For gcc's compiler proper, and no other part of it. Where functions begin and end is told to nobody.
const SPECS: &str = "*cc1:\n+ -fsanitize=thread --param tsan-distinguish-volatile=1 \
    --param tsan-instrument-func-entry-exit=0\n\n";

/// Likewise for clang.
const CLANG: [&str; 6] = [
    "-Xclang",
    "-fsanitize=thread",
    "-mllvm",
    "-tsan-distinguish-volatile=1",
    "-mllvm",
    "-tsan-instrument-func-entry-exit=0",
];

/// It has no calls for vectors of more than 16 bytes, which would not be told; and calls leave no vector in its register. To be said last:
/// an -O that comes later takes it back.
const NO_VECTORS: [&str; 2] = ["-fno-vectorize", "-fno-slp-vectorize"];

/// Which compiler it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Gcc,
    Clang,
}

/// Does what was asked: becomes the compiler.
pub(crate) fn perform(args: &CcArgs) -> Result<ExitCode, Failure> {
    let (compiler, words) = args.words.split_first().ok_or_else(|| Failure::usage("a compiler is missing"))?;
    if Path::new(compiler).file_name().is_some_and(|name| name == "cargo") {
        if args.threads {
            return Err(Failure::usage("threads of programs in Rust cannot be told apart: leave --threads out"));
        }
        return cargo::perform(compiler, words);
    }
    let words = Words::of(words).map_err(Failure::usage)?;
    if args.threads && words.links && words.has_libstdcxx {
        return Err(Failure::usage(
            "threads of a program that has libstdc++ in it cannot be told apart: let it be loaded, without -static-libstdc++ or -Bstatic, \
             or leave --threads out",
        ));
    }
    let family = family(compiler)?;
    let mut command = Command::new(compiler);
    // Files of the compiler's until it ends.
    let (specs, macros) = (file("rsm-race.specs", SPECS)?, file("rsm-race.s", &inline::macros(family))?);
    match family {
        // Fences are as strong as any here, and what they order is told by the words around them.
        Family::Gcc => command.arg(format!("-specs={}", path(&specs))).arg("-Wno-tsan"),
        Family::Clang => command.args(CLANG),
    };
    let is_inline = inline::is_possible(compiler, family, &words);
    if is_inline {
        command.args(["-fno-integrated-as"].iter().filter(|_| family == Family::Clang));
        command.arg(format!("-Wa,{}", path(&macros)));
    }
    // Reports name who called, which leaves no trace where its last call takes its place.
    command.arg("-fno-optimize-sibling-calls");
    command.arg("-D__RSM_RACE__=1").args(COPIES.map(|name| format!("-fno-builtin-{name}")));
    if !words.has_debug {
        // Reports name lines.
        command.arg("-g");
    }
    // With -pipe gcc names no file to an assembler that is given another one, which would then not read what is piped.
    command.args(args.words[1..].iter().filter(|word| !is_inline || *word != "-pipe"));
    command.args(NO_VECTORS.iter().filter(|_| family == Family::Clang));
    if words.links {
        command.args(link(&words, family, args.threads)?);
        if args.threads && is_for_cxx(compiler, &args.words) {
            // What calls are led to goes on there by references that do not have it loaded.
            command.args(["-Wl,--push-state,--no-as-needed", "-lstdc++", "-Wl,--pop-state"]);
        }
    }
    Err(unstarted(compiler, &command.exec()))
}

/// A file that the compiler and what it starts can read, and that goes with them.
fn file(name: &str, text: &str) -> Result<File, Failure> {
    let failed = |error: io::Error| Failure::system("cannot make a file for the compiler", error);
    let mut file = File::from(memfd_create(name, MemfdFlags::empty()).map_err(|error| failed(error.into()))?);
    file.write_all(text.as_bytes()).map_err(failed)?;
    Ok(file)
}

/// Its name for them.
fn path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// What is linked in addition.
fn link(words: &Words, family: Family, threads: bool) -> Result<Vec<OsString>, Failure> {
    let mut more: Vec<OsString> = Vec::new();
    if words.has_language {
        // The archive is in no language.
        more.extend(["-x", "none"].map(OsString::from));
    }
    let led = COPIES.iter().chain(&led::CHECKED).copied();
    let of_threads = led::THREADS.split_whitespace().chain(led::CXX.split_whitespace());
    let led = led.chain(of_threads.filter(|_| threads));
    more.extend(led.map(|name| led::option(name).into()));
    if words.shared {
        // The program has these names already, or does without.
        more.push("-Wl,--exclude-libs=librsm_race.a".into());
    }
    more.push(library::find(words)?.into());
    // What Rust unwinds with, and what is part of the C library by now.
    let of_threads = ["-Wl,--push-state,--no-as-needed", "-lpthread", "-Wl,--pop-state"];
    more.extend(["-ldl"].into_iter().chain(of_threads).chain(["-lgcc_s"]).map(OsString::from));
    if family == Family::Clang {
        more.insert(0, "-Qunused-arguments".into());
    }
    Ok(more)
}

/// Whether the compiler is one for C++ that links libstdc++.
fn is_for_cxx(compiler: &OsStr, words: &[OsString]) -> bool {
    const WITHOUT: [&str; 4] = ["-stdlib=libc++", "-nostdlib", "-nostdlib++", "-nodefaultlibs"];
    Path::new(compiler).file_name().is_some_and(|name| name.to_string_lossy().contains("++"))
        && !words.iter().any(|word| WITHOUT.iter().any(|without| word == *without))
        && inline::ask(compiler, "-print-file-name=libstdc++.so").is_some_and(|path| path.contains('/'))
}

/// Asks the compiler what it is.
fn family(compiler: &OsStr) -> Result<Family, Failure> {
    let name = printable::path(Path::new(compiler));
    let mut command = Command::new(compiler);
    command.arg("--version").stdin(Stdio::null()).env("LC_ALL", "C");
    let output = command.output().map_err(|error| unstarted(compiler, &error))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let known = if said.contains("clang version") {
        Some((Family::Clang, "clang", 14))
    } else if said.contains("see the source for copying conditions") {
        Some((Family::Gcc, "gcc", 12))
    } else {
        None
    };
    let lacking = |why: String| {
        Failure::new(format!(
            "{name} {why}; rsm-ctl cc takes gcc and g++ from 12, clang and clang++ from 14, and cargo"
        ))
    };
    let (family, called, oldest) = known.ok_or_else(|| lacking("is no compiler that is known here".to_owned()))?;
    let version = major(&said);
    match version {
        Some(version) if version >= oldest => Ok(family),
        Some(version) => Err(lacking(format!("is {called} {version}, which is too old"))),
        None => Err(lacking("does not say its version".to_owned())),
    }
}

/// The first number of a version, such as 12 of `gcc (Debian 12.2.0-14) 12.2.0`: that of the last word of the first line that
/// is one.
fn major(said: &str) -> Option<u32> {
    let line = said.lines().find(|line| line.contains("clang version")).or_else(|| said.lines().next())?;
    let version = |word: &str| {
        let (first, rest) = word.split_once('.')?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then(|| first.parse().ok())?
    };
    match line.split_once("clang version ") {
        Some((_, after)) => version(after.split_whitespace().next()?),
        None => line.split_whitespace().rev().find_map(version),
    }
}

/// That a compiler cannot be started, with the code that a shell has for it.
fn unstarted(compiler: &OsStr, error: &std::io::Error) -> Failure {
    let name = printable::path(Path::new(compiler));
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => ExitCode::NotFound,
        _ => ExitCode::NotExecutable,
    };
    Failure { code, ..Failure::new(format!("cannot run {name}: {}", rsm_run::failure::reason(error))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(major("gcc (Debian 12.2.0-14+deb12u1) 12.2.0\nCopyright"), Some(12));
        assert_eq!(major("g++-14 (Ubuntu 14.2.0-4ubuntu2) 14.2.0"), Some(14));
        assert_eq!(major("gcc (GCC) 13.3.1 20240611 (Red Hat 13.3.1-2)"), Some(13));
        assert_eq!(major("Debian clang version 14.0.6\nTarget: x86_64"), Some(14));
        assert_eq!(major("clang version 21.1.0-rc1 (https://example.org)"), Some(21));
        assert_eq!(major("no compiler"), None);
    }
}
