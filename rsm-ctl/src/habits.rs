//! The number of nodes as hands that know `srun`, `make` and `mpirun` type it: `-n2`, `-n=2`, `-np 2`.
//!
//! Whatever begins with a hyphen may be the word of a program, so clap takes only an option that stands alone for certain.
//! These forms are written as such before it reads the command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The commands that have the option.
const COMMANDS: [&str; 3] = ["run", "up", "explore"];

/// The same command line, with the number of nodes as `-n N`. Nothing behind the beginning of a program is touched.
pub(crate) fn translated(words: impl Iterator<Item = OsString>, command: &clap::Command) -> Vec<OsString> {
    let mut words = words.peekable();
    let mut all: Vec<OsString> = words.next().into_iter().collect();
    // Options before the command have no values.
    while let Some(option) = words.next_if(|word| word.as_bytes().starts_with(b"-")) {
        all.push(option);
    }
    let called = words.next();
    let known = called.as_deref().filter(|name| COMMANDS.iter().any(|command| name == command));
    let Some(command) = known.and_then(|name| command.find_subcommand(name)) else {
        return all.into_iter().chain(called).chain(words).collect();
    };
    all.extend(called);
    while let Some(word) = words.next_if(|word| word.as_bytes().starts_with(b"-") && word != "--") {
        let values = match number_of_nodes(&word) {
            Some((option, value)) => {
                all.push(option);
                let apart = value.is_none();
                all.extend(value);
                usize::from(apart)
            }
            None => {
                let Some(values) = values_apart(&word, command) else {
                    all.push(word);
                    break;
                };
                all.push(word);
                values
            }
        };
        all.extend(words.by_ref().take(values));
    }
    all.extend(words);
    all
}

/// Whether the number of nodes stands somewhere in a translated command line, where it may be a program's.
pub(crate) fn has_number(words: &[OsString]) -> bool {
    words.iter().any(|word| number_of_nodes(word).is_some())
}

/// A word that says how many nodes: the option as clap knows it, and the number, unless that is the next word.
fn number_of_nodes(word: &OsStr) -> Option<(OsString, Option<OsString>)> {
    let bytes = word.as_bytes();
    let (flags, rest) = if let Some(rest) = bytes.strip_prefix(b"--np") {
        (&b""[..], rest)
    } else {
        let letters = bytes.strip_prefix(b"-")?;
        let n = letters.iter().position(|letter| !matches!(letter, b'v' | b'q')).filter(|&at| letters[at] == b'n')?;
        let rest = &letters[n + 1..];
        (&letters[..n], rest.strip_prefix(b"p").unwrap_or(rest))
    };
    let option = OsString::from_vec([b"-", flags, b"n"].concat());
    match rest {
        [] => Some((option, None)),
        [b'=', number @ ..] | number @ [b'0'..=b'9', ..] => Some((option, Some(OsString::from_vec(number.to_vec())))),
        _ => None,
    }
}

/// How many words behind an option belong to it; nothing where the word is no option.
fn values_apart(word: &OsStr, command: &clap::Command) -> Option<usize> {
    let Some(name) = word.as_bytes().strip_prefix(b"--") else {
        // Switches; that these are known is not for here.
        return Some(0);
    };
    if name.contains(&b'=') {
        return Some(0);
    }
    let name = std::str::from_utf8(name).ok()?;
    let Some(option) = command.get_arguments().find(|option| option.get_long() == Some(name)) else {
        return matches!(name, "quiet" | "verbose").then_some(0);
    };
    // Where a value may be left out it is not looked for: what follows may be the program.
    let needed = option.get_num_args().is_none_or(|count| count.min_values() > 0);
    Some(usize::from(option.get_action().takes_values() && needed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[track_caller]
    fn becomes(line: &str, expected: &str) {
        let words = line.split(' ').map(OsString::from);
        let translated = translated(std::iter::once("rsm-ctl".into()).chain(words), &Cli::command());
        assert_eq!(translated[1..].join(OsStr::new(" ")), *expected, "{line}");
    }

    #[test]
    fn the_number_in_every_form() {
        for form in ["-n2", "-n=2", "-np 2", "-np2", "-np=2", "--np 2", "--np=2", "-n 2"] {
            becomes(&format!("run {form} prog -n3"), "run -n 2 prog -n3");
            becomes(&format!("run {form} -- prog -np 3"), "run -n 2 -- prog -np 3");
            becomes(&format!("-v up --name n2 {form}"), "-v up --name n2 -n 2");
            becomes(&format!("run --env A=b --pin {form} --tag-output x"), "run --env A=b --pin -n 2 --tag-output x");
        }
        becomes("run -vn2 prog", "run -vn 2 prog");
        becomes("run --log-dir -n2 -n2", "run --log-dir -n2 -n 2");
        becomes("run -n2 -np=3 x", "run -n 2 -n 3 x");
    }

    #[test]
    fn what_is_another_word_stays() {
        for line in [
            "run -n 2 -- sh -np 3",
            "run prog -n2",
            "run -- -n2",
            "run --wrong -n2",
            "run -nix 2",
            "exec --node 1 -- make -n2",
            "perf -n2",
            "help run",
            "-n2",
        ] {
            becomes(line, line);
        }
    }
}
