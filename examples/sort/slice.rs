//! A node's slice of the file: whole lines, close to one Nth of the bytes.
//!
//! Node K's *share* is the bytes from `size * (K-1) / N` to `size * K / N`; its slice is the lines that *start* in
//! its share. So a slice begins a little after its share does, and runs over its end until its last line does.
//! Where, only the node behind knows: it is where that one's first line starts. So each node looks for the first
//! line in its own share (and if none starts there, as inside a line that is longer than a share, it has no slice
//! and reads no further), they tell each other, and then each knows where to stop.
//!
//! Nobody reads more than its share and the rest of its last line, and no byte twice, except for the one byte
//! before a share that tells whether a line starts with it, and the last of the file, which tells that it is there.

use crate::Result;
use crate::report::{Progress, shown};
use rsm_team::Team;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes to look through at a time for the start of the first line: most lines are shorter.
const LOOK: usize = 64 << 10;

/// Bytes to read at a time: between them is time to show progress.
const STEP: usize = 8 << 20;

/// As a place: no line starts in my share.
const NONE: u64 = u64::MAX;

/// Lines of the file, each with its newline, also the last.
pub(crate) struct Slice {
    pub(crate) text: Vec<u8>,
    /// Where in the file the text starts.
    pub(crate) position: u64,
}

/// Reads this node's slice, together with all the others.
pub(crate) fn read(team: &Team, reader: &mut Reader, progress: &mut Progress) -> Result<Slice> {
    let own = team.node(team.rank());
    let share = share(reader.size, own, team.size() as u32);
    let first = reader.first_line(share)?;
    let told = team.all_gather(&[reader.size, first.unwrap_or(NONE)])?;

    let mut firsts = Vec::new();
    for (node, told) in (1..).zip(told) {
        let [size, first] = told[..] else { return Err(format!("node {node} told other numbers").into()) };
        if size != reader.size {
            let (file, own) = (&reader.name, reader.size);
            return Err(format!(
                "{file} has {own} bytes here, but {size} for node {node}: it changes, or is not the same file"
            )
            .into());
        }
        firsts.push(first);
    }
    reader.load(slice(&firsts, reader.size, own)?, progress)
}

/// The bytes of a file of `size` bytes that are `node`'s to begin with.
pub(crate) fn share(size: u64, node: u32, nodes: u32) -> Range<u64> {
    let cut = |node: u32| (u128::from(size) * u128::from(node) / u128::from(nodes)) as u64;
    cut(node - 1)..cut(node)
}

/// The bytes of `node`'s slice, from where every node's first line starts.
pub(crate) fn slice(firsts: &[u64], size: u64, node: u32) -> Result<Range<u64>> {
    let (own, behind) = (firsts[node as usize - 1], &firsts[node as usize..]);
    if own == NONE {
        return Ok(0..0);
    }
    let end = behind.iter().copied().find(|&first| first != NONE).unwrap_or(size);
    if own > end || end > size {
        return Err("the nodes have looked at different files".into());
    }
    Ok(own..end)
}

/// The input file, and how much of it this node has read.
pub(crate) struct Reader {
    name: String,
    /// Nothing where all of it is in `head`.
    file: Option<File>,
    size: u64,
    bytes_read: u64,
    /// What was read of the slice while looking for where it starts.
    head: Vec<u8>,
}

/// Whether a regular file is as long as it says.
fn tells_its_size(file: &File, size: u64) -> io::Result<bool> {
    // The last byte there should be, or the first there should not be.
    let bytes = file.read_at(&mut [0], size.saturating_sub(1))?;
    Ok((bytes > 0) == (size > 0))
}

impl Reader {
    /// Opens the file of `nodes` nodes.
    pub(crate) fn open(path: &Path, nodes: u32) -> Result<Reader> {
        let name = shown(path);
        let open = || {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            Ok((file, metadata))
        };
        let (mut file, metadata) = open().map_err(|error: io::Error| format!("cannot open {name}: {error}"))?;
        let cannot_read = |error| format!("cannot read {name}: {error}");
        let mut reader =
            Reader { name: name.clone(), size: metadata.len(), bytes_read: 0, head: Vec::new(), file: None };
        let why = if !metadata.is_file() {
            // A pipe has no middle where the second node could start.
            "is not a regular file"
        } else if !tells_its_size(&file, metadata.len()).map_err(cannot_read)? {
            // Nor has a file of /proc or /sys, whose text is made while it is read.
            "does not tell its size"
        } else {
            reader.file = Some(file);
            return Ok(reader);
        };
        if metadata.is_dir() {
            return Err(format!("{name} is a directory").into());
        }
        if nodes > 1 {
            return Err(format!("{name} {why}, so only one node can read it: sort a copy, or with -n 1").into());
        }
        file.read_to_end(&mut reader.head).map_err(cannot_read)?;
        reader.size = reader.head.len() as u64;
        reader.bytes_read = reader.size;
        Ok(reader)
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Where the first line starts that starts in `share`.
    pub(crate) fn first_line(&mut self, share: Range<u64>) -> Result<Option<u64>> {
        if share.is_empty() || share.start == 0 {
            return Ok((!share.is_empty()).then_some(0));
        }
        // A line starts behind a newline, so its newline is in the share moved down by one.
        let mut bytes = vec![0; LOOK.min((share.end - share.start) as usize)];
        let mut position = share.start - 1;
        while position < share.end - 1 {
            let step = bytes.len().min((share.end - 1 - position) as usize);
            self.fill(&mut bytes[..step], position)?;
            let line = line_length(&bytes[..step]);
            if bytes[line - 1] == b'\n' {
                self.head.extend_from_slice(&bytes[line..step]);
                return Ok(Some(position + line as u64));
            }
            position += step as u64;
        }
        Ok(None)
    }

    /// Reads the slice.
    pub(crate) fn load(&mut self, slice: Range<u64>, progress: &mut Progress) -> Result<Slice> {
        let length = usize::try_from(slice.end - slice.start).map_err(|_| "the file does not fit in memory")?;
        // One byte more: the last line of the file may have no newline.
        let mut text = zeroed(length.saturating_add(1))?;
        let mut done = self.head.len().min(length);
        text[..done].copy_from_slice(&self.head[..done]);
        self.head = Vec::new();
        while done < length {
            progress.bytes("reading", done as u64, length as u64);
            let step = STEP.min(length - done);
            self.fill(&mut text[done..done + step], slice.start + done as u64)?;
            done += step;
        }
        if length == 0 || text[length - 1] == b'\n' {
            text.truncate(length);
        } else {
            text[length] = b'\n';
        }
        Ok(Slice { text, position: slice.start })
    }

    fn fill(&mut self, bytes: &mut [u8], position: u64) -> Result<()> {
        self.bytes_read += bytes.len() as u64;
        let read = self.file.as_ref().map_or(Ok(()), |file| file.read_exact_at(bytes, position));
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                format!("{} is shorter than its size was, it must have changed", self.name).into()
            }
            _ => format!("cannot read {}: {error}", self.name).into(),
        })
    }
}

/// Bytes to the end of the first line of `text`, its newline included, or of the text if there is none.
pub(crate) fn line_length(mut text: &[u8]) -> usize {
    // The standard library's memchr, under another name; reading from memory does not fail.
    text.skip_until(b'\n').unwrap_or(0)
}

/// Memory for a large part of a file. If there is not enough, that is an error to report, not the end of the process.
fn zeroed(length: usize) -> Result<Vec<u8>> {
    // Asked for and given back; `vec!` then gets the same, and gets it zeroed by the kernel rather than by writing
    // to it.
    Vec::<u8>::new().try_reserve_exact(length).map_err(|_| format!("there is no memory for {length} bytes"))?;
    Ok(vec![0; length])
}
