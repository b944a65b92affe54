//! What a program needs to be executed besides itself: the interpreter that its first line names, or its loader. When
//! that is missing the kernel's "No such file" is about another file than the one that was named.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::io::Errno;

use crate::printable;

/// As much of a first line as the kernel looks at.
const LOOKED_AT: usize = 256;

/// Why a file that is there was refused by the kernel with this error, if that is about something that it needs.
pub(super) fn lacks(file: &Path, errno: Errno) -> Option<String> {
    let start = start_of(file)?;
    let (what, needed) = match interpreter(&start) {
        Some(name) if name.ends_with(b"\r") => return Some(CRLF.to_owned()),
        Some(name) => ("interpreter", name.to_vec()),
        None => ("loader", loader(&File::open(file).ok()?, &start)?),
    };
    let needed = Path::new(OsStr::from_bytes(&needed));
    let refused = access(needed, Access::EXEC_OK) == Err(errno);
    let how = if errno == Errno::NOENT { "does not exist" } else { "may not be executed" };
    refused.then(|| format!("its {what} \"{}\" {how}", printable::path(needed)))
}

/// What to say of a script whose first line keeps it from running as it should, although it was executed.
pub(super) fn hint(file: &Path) -> Option<String> {
    let start = start_of(file)?;
    if start.starts_with("\u{feff}#!".as_bytes()) {
        return Some("it begins with a byte order mark, which hides its first line: it was run by /bin/sh".to_owned());
    }
    let line = start.split(|&byte| byte == b'\n').next()?;
    (line.starts_with(b"#!") && line.ends_with(b"\r")).then(|| CRLF.to_owned())
}

const CRLF: &str = "its first line ends with CR and LF, and CR is taken for a part of what the line says: have its lines end \
                    with LF alone (sed -i 's/\\r$//')";

fn start_of(file: &Path) -> Option<Vec<u8>> {
    let mut start = vec![0; LOOKED_AT];
    let length = File::open(file).ok()?.read_at(&mut start, 0).ok()?;
    start.truncate(length);
    Some(start)
}

/// The interpreter's name in the first line of a script, as the kernel reads it.
fn interpreter(start: &[u8]) -> Option<&[u8]> {
    let line = start.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    line.split(blank).find(|word| !word.is_empty())
}

/// The loader that an executable of this machine's word size names.
fn loader(file: &File, start: &[u8]) -> Option<Vec<u8>> {
    const LITTLE_64: &[u8] = b"\x7fELF\x02\x01";
    const INTERPRETER: u32 = 3;
    let word = |bytes: &[u8], at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let half = |at: usize| Some(u16::from_le_bytes(start.get(at..at + 2)?.try_into().ok()?));
    if !start.starts_with(LITTLE_64) {
        return None;
    }
    let (table, size, count) = (word(start, 32)?, half(54)?, half(56)?);
    for index in 0..u64::from(count) {
        let mut header = [0; 40];
        file.read_exact_at(&mut header, table.checked_add(index * u64::from(size))?).ok()?;
        if header.starts_with(&INTERPRETER.to_le_bytes()) {
            // Longer than any path the kernel takes is none.
            let length = word(&header, 32)?.min(4096);
            let mut name = vec![0; usize::try_from(length).ok()?];
            file.read_exact_at(&mut name, word(&header, 8)?).ok()?;
            return Some(name.split(|&byte| byte == 0).next()?.to_vec());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines_as_the_kernel_reads_them() {
        for (start, name) in [
            (&b"#!/bin/sh\nx"[..], Some(&b"/bin/sh"[..])),
            (b"#! \t/bin/sh -e\n", Some(b"/bin/sh")),
            (b"#!/bin/sh\r\n", Some(b"/bin/sh\r")),
            (b"#!/bin/sh -e\r\n", Some(b"/bin/sh")),
            (b"#!\n/bin/sh\n", None),
            (b"echo #!/bin/sh\n", None),
            (b"", None),
        ] {
            assert_eq!(interpreter(start), name, "{start:?}");
        }
    }

    #[test]
    fn this_program_has_a_loader_or_needs_none() {
        let file = std::env::current_exe().unwrap();
        let named = loader(&File::open(&file).unwrap(), &start_of(&file).unwrap());
        assert!(named.is_none_or(|name| Path::new(OsStr::from_bytes(&name)).exists()));
        assert_eq!((lacks(&file, Errno::NOENT), hint(&file)), (None, None));
    }
}
