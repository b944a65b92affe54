//! What the words of a compiler's command line say, as far as it matters here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What they say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    /// Something is linked.
    pub(super) links: bool,
    /// It is a shared library.
    pub(super) shared: bool,
    /// The language of files is said.
    pub(super) has_language: bool,
    /// What a debugger is to know is said.
    pub(super) has_debug: bool,
    /// Something goes through the assembler, if only within a link.
    pub(super) is_assembled: bool,
    /// What the assembler is to take, or the machine that it is for, may be other than is usual.
    pub(super) is_otherwise: bool,
    /// libstdc++ becomes part of what is linked.
    pub(super) has_libstdcxx: bool,
    /// Where libraries are, in that order.
    pub(super) folders: Vec<PathBuf>,
}

/// Options whose value is the next word.
const APART: [&str; 29] = [
    "-o",
    "-I",
    "-D",
    "-U",
    "-l",
    "-x",
    "-include",
    "-imacros",
    "-isystem",
    "-idirafter",
    "-iquote",
    "-iprefix",
    "-iwithprefix",
    "-isysroot",
    "-MF",
    "-MT",
    "-MQ",
    "-Xlinker",
    "-Xassembler",
    "-Xpreprocessor",
    "-Xclang",
    "-T",
    "-u",
    "-z",
    "-e",
    "-A",
    "-target",
    "-mllvm",
    "--param",
];

/// Options with which nothing is linked, or not for good.
const UNLINKED: [&str; 8] = ["-c", "-S", "-E", "-M", "-MM", "-fsyntax-only", "-r", "--precompile"];

/// Those with which nothing is assembled.
const UNASSEMBLED: [&str; 6] = ["-S", "-E", "-M", "-MM", "-fsyntax-only", "--precompile"];

/// Beginnings of options by which it is not certain what the assembler is given, for which machine, or which one it is.
const OTHERWISE: [&str; 10] = [
    "-m32",
    "-mx32",
    "-m16",
    "-masm=",
    "-mcmodel=",
    "-target",
    "--target",
    "-integrated-as",
    "-fintegrated-as",
    "-xassembler",
];

/// Ends of names of files that somebody has written for the assembler.
const ASSEMBLER: [&[u8]; 4] = [b".s", b".S", b".sx", b".asm"];

impl Words {
    /// Reads them.
    ///
    /// # Errors
    /// What cannot be built so, in a sentence.
    pub(super) fn of(words: &[OsString]) -> Result<Words, String> {
        let mut read = Words::default();
        let (mut has_input, mut is_linked, mut is_assembled) = (false, true, true);
        let mut words = words.iter().map(OsString::as_os_str);
        let (mut linker, mut of_linker) = (Linker::default(), false);
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            if std::mem::take(&mut of_linker) {
                linker.take(bytes);
                continue;
            }
            of_linker = bytes == b"-Xlinker";
            if let Some(options) = bytes.strip_prefix(b"-Wl,") {
                options.split(|byte| *byte == b',').for_each(|option| linker.take(option));
            }
            if bytes == b"-" || !bytes.starts_with(b"-") {
                // One that begins with @ is a file of words.
                has_input = true;
                read.has_libstdcxx |= bytes.ends_with(b"libstdc++.a");
                read.is_otherwise |= bytes.starts_with(b"@") || ASSEMBLER.iter().any(|end| bytes.ends_with(end));
                continue;
            }
            read.take(word)?;
            read.has_libstdcxx |= linker.is_static && word == "-lstdc++";
            is_linked &= !UNLINKED.iter().any(|option| word == *option);
            is_assembled &= !UNASSEMBLED.iter().any(|option| word == *option);
            read.is_otherwise |= OTHERWISE.iter().any(|option| bytes.starts_with(option.as_bytes()));
            read.has_language |= bytes.starts_with(b"-x");
            if word == "-L" {
                read.folders.extend(words.next().map(PathBuf::from));
            } else if let Some(folder) = bytes.strip_prefix(b"-L") {
                read.folders.push(OsStr::from_bytes(folder).into());
            } else if !of_linker && APART.iter().any(|option| word == *option) {
                let its_value = words.next();
                read.has_libstdcxx |= linker.is_static && word == "-l" && its_value.is_some_and(|x| x == "stdc++");
                read.is_otherwise |= word == "-x" && its_value.is_some_and(|x| x.as_bytes().starts_with(b"assembler"));
            }
            // `-lm` is an input as well, but nobody links that alone.
        }
        read.links = has_input && is_linked;
        read.is_assembled = has_input && is_assembled;
        Ok(read)
    }

    fn take(&mut self, word: &OsStr) -> Result<(), String> {
        let bytes = word.as_bytes();
        if bytes.starts_with(b"-fsanitize=") && bytes[11..].split(|byte| *byte == b',').any(|one| one == b"thread") {
            return Err(
                "-fsanitize=thread brings a library of its own in; leave it out, rsm-ctl cc has the same calls made"
                    .to_owned(),
            );
        }
        if word == "-static" || word == "-static-pie" {
            return Err("a program without a dynamic loader cannot be watched: leave -static out".to_owned());
        }
        self.has_libstdcxx |= word == "-static-libstdc++" || word == "-l:libstdc++.a";
        self.shared |= word == "-shared";
        self.has_debug |= bytes.starts_with(b"-g") && !bytes.starts_with(b"-gcc");
        Ok(())
    }
}

/// How the linker takes libraries, as far as it was told.
#[derive(Default)]
struct Linker {
    /// Into what it links.
    is_static: bool,
    /// As it was before, where it is to go back to that.
    before: Vec<bool>,
}

impl Linker {
    fn take(&mut self, option: &[u8]) {
        match option {
            b"-Bstatic" | b"-dn" | b"-non_shared" | b"-static" => self.is_static = true,
            b"-Bdynamic" | b"-dy" | b"-call_shared" => self.is_static = false,
            b"--push-state" => self.before.push(self.is_static),
            b"--pop-state" => self.is_static = self.before.pop().unwrap_or(self.is_static),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Words, String> {
        Words::of(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_linked_is_told() {
        for (line, links) in [
            ("a.c -o a", true),
            ("-O2 a.o -L lib -lrsm", true),
            ("-c a.c", false),
            ("-o a -I include", false),
            ("-E -", false),
            ("-x c -", true),
            ("--version", false),
            ("-MMD -MF a.d a.c", true),
            ("-M a.c", false),
        ] {
            assert_eq!(read(line).unwrap().links, links, "{line}");
        }
        let words = read("-shared -g3 -La -L b a.o").unwrap();
        assert!(words.shared && words.has_debug && !words.has_language);
        assert_eq!(words.folders, [PathBuf::from("a"), PathBuf::from("b")]);
        assert!(read("-x c a").unwrap().has_language);
        for (line, has_it) in [
            ("a.o -static-libstdc++", true),
            ("a.o /usr/lib/libstdc++.a", true),
            ("a.o -l:libstdc++.a", true),
            ("a.o -lstdc++ -static-libgcc", false),
            ("a.o -Wl,-Bstatic -lstdc++ -Wl,-Bdynamic", true),
            ("a.o -Xlinker -Bstatic -l stdc++", true),
            ("a.o -Wl,--push-state,-Bstatic,--as-needed -lstdc++ -Wl,--pop-state", true),
            ("a.o -Wl,--push-state,-Bstatic -lm -Wl,--pop-state -lstdc++", false),
            ("a.o -Wl,-Bstatic -lm -Xlinker -Bdynamic -lstdc++", false),
            ("a.o -Wl,-Bstatic -o -lstdc++", false),
        ] {
            assert_eq!(read(line).unwrap().has_libstdcxx, has_it, "{line}");
        }
    }

    #[test]
    fn what_is_assembled_as_usual_is_told() {
        for (line, is_usual) in [
            ("-O2 -c a.c", true),
            ("-x c -pipe -", true),
            ("a.c b.o -o a", true),
            ("-S a.c", false),
            ("-MM a.c", false),
            ("--version", false),
            ("-c a.c b.S", false),
            ("-c -x assembler-with-cpp a", false),
            ("-masm=intel -c a.c", false),
            ("-c a.c --target=aarch64-linux-gnu", false),
            ("-fintegrated-as -c a.c", false),
            ("@words", false),
        ] {
            let words = read(line).unwrap();
            assert_eq!(words.is_assembled && !words.is_otherwise, is_usual, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_watched_is_refused() {
        assert!(read("-fsanitize=thread a.c").unwrap_err().contains("leave it out"));
        assert!(read("-fsanitize=undefined,thread a.c").unwrap_err().contains("leave it out"));
        assert!(read("-static a.c").unwrap_err().contains("leave -static out"));
        assert!(read("-fsanitize=undefined a.c").is_ok());
    }
}
