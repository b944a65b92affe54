//! A trace file: what was noted, as it was read, so that writing it costs little and a file that was cut is good up to there.
//!
//! Eight bytes that say what it is, a version, then pieces: kind, length, checksum, and so many bytes. All numbers are
//! little-endian. [`super::story`] makes sense of them.

use rsm::observe::Standing;
use rsm_core::lens::ring::Read;
use std::io::{self, Write};

const MAGIC: &[u8; 8] = b"rsmtrace";
/// That of a file which begins with its cluster, and of one that begins later.
const VERSIONS: [u32; 2] = [3, 2];
/// Of the first kind as well, where looks do not say when they were over.
const WITHOUT_ENDS: u32 = 1;
/// Bytes before the first piece.
const START: usize = MAGIC.len() + 4;
/// Bytes before the contents of a piece.
const HEAD: usize = 12;

/// What a trace begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// Name of the cluster.
    pub name: String,
    /// Number of its nodes.
    pub nodes: u32,
    /// Whether the bytes of puts were noted.
    pub bytes: bool,
    /// The count of the processor's clock.
    pub ticks: u64,
    /// Nanoseconds since 1970.
    pub wall: u64,
    /// The cluster was there already: what was done before is not in it.
    pub late: bool,
}

/// A piece of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// The first one.
    Begins(Beginning),
    /// A process of a node, by the number of its membership. In a trace that begins late those that were there come before the
    /// first clock.
    Process {
        /// That number.
        membership: u64,
        /// Its node.
        node: u32,
        /// Its process id.
        pid: u32,
    },
    /// What it noted.
    Slots {
        /// Which process.
        membership: u64,
        /// As a ring gives them.
        slots: Vec<[u64; 4]>,
    },
    /// What is missing, found at this time.
    Missing {
        /// Which process.
        membership: u64,
        /// When.
        ticks: u64,
        /// How many were written over before they were read.
        lost: u64,
        /// How many were half written.
        torn: u64,
    },
    /// The processor's clock, and nanoseconds since the beginning.
    Clock {
        /// That clock's count.
        ticks: u64,
        /// Nanoseconds.
        ns: u64,
    },
    /// A process left the cluster, or died.
    Left {
        /// Which.
        membership: u64,
        /// When that was seen.
        ticks: u64,
    },
    /// A process of the run ended.
    Ended {
        /// Its node.
        node: u32,
        /// Its process id.
        pid: u32,
        /// The signal that killed it, or 0.
        signal: u32,
        /// Its exit code.
        code: u32,
        /// When that was seen.
        ticks: u64,
    },
    /// What differs in the memory of a segment from when it was last looked at; it is zeroes at first.
    Look {
        /// The exporting node.
        node: u32,
        /// The segment's row, and which of those that had it.
        row: u32,
        /// See `row`.
        incarnation: u64,
        /// Before it was looked at.
        ticks: u64,
        /// And after; `None`: the file is of a version that does not say so.
        end: Option<u64>,
        /// How long it is.
        length: u64,
        /// Where, and what stands there.
        runs: Vec<(u64, Vec<u8>)>,
    },
    /// A segment that was there before a trace that begins late.
    Standing(Standing),
    /// The last one.
    Ends,
}

/// Makes a trace file.
#[derive(Debug)]
pub(super) struct Writer<W>(W);

fn checksum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let (mut value, mut bit) = (at as u32, 0);
            while bit < 8 {
                value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |sum, byte| sum >> 8 ^ TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize])
}

impl<W: Write> Writer<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn new(mut to: W, late: bool) -> io::Result<Writer<W>> {
        to.write_all(MAGIC)?;
        to.write_all(&VERSIONS[usize::from(late)].to_le_bytes())?;
        Ok(Writer(to))
    }

    /// Adds a piece.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn add(&mut self, piece: &Piece) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut number = |value: u64| bytes.extend(value.to_le_bytes());
        let kind: u32 = match piece {
            Piece::Begins(Beginning { name, nodes, bytes: with, ticks, wall, late: _ }) => {
                [u64::from(*nodes), u64::from(*with), *ticks, *wall].into_iter().for_each(number);
                bytes.extend(name.as_bytes());
                1
            }
            Piece::Process { membership, node, pid } => {
                [*membership, u64::from(*node), u64::from(*pid)].into_iter().for_each(number);
                2
            }
            Piece::Slots { membership, slots } => {
                number(*membership);
                slots.iter().flatten().copied().for_each(number);
                3
            }
            Piece::Missing { membership, ticks, lost, torn } => {
                [*membership, *ticks, *lost, *torn].into_iter().for_each(number);
                4
            }
            Piece::Clock { ticks, ns } => {
                [*ticks, *ns].into_iter().for_each(number);
                5
            }
            Piece::Left { membership, ticks } => {
                [*membership, *ticks].into_iter().for_each(number);
                6
            }
            Piece::Ended { node, pid, signal, code, ticks } => {
                [*node, *pid, *signal, *code].map(u64::from).into_iter().for_each(&mut number);
                number(*ticks);
                7
            }
            Piece::Ends => 8,
            Piece::Standing(Standing { node, row, incarnation, length, id, bell, importers }) => {
                let numbers =
                    [u64::from(*node), u64::from(*row), *incarnation, *length, u64::from(*id), u64::from(*bell)];
                numbers.into_iter().chain(importers.iter().map(|bell| u64::from(*bell))).for_each(number);
                10
            }
            Piece::Look { node, row, incarnation, ticks, end, length, runs } => {
                let numbers = [u64::from(*node), u64::from(*row), *incarnation, *ticks, *length];
                numbers.into_iter().chain(*end).for_each(number);
                for (offset, run) in runs {
                    bytes.extend(offset.to_le_bytes());
                    bytes.extend((run.len() as u64).to_le_bytes());
                    bytes.extend(run);
                }
                9
            }
        };
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a piece of a trace is too long"))?;
        for word in [kind, length, checksum(&bytes)] {
            self.0.write_all(&word.to_le_bytes())?;
        }
        self.0.write_all(&bytes)
    }

    /// Adds what a process noted, in pieces that are not too long.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn add_read(&mut self, membership: u64, ticks: u64, read: &Read) -> io::Result<()> {
        for slots in read.slots.chunks(1 << 16) {
            self.add(&Piece::Slots { membership, slots: slots.to_vec() })?;
        }
        if read.lost + read.torn > 0 {
            self.add(&Piece::Missing { membership, ticks, lost: read.lost, torn: read.torn })?;
        }
        Ok(())
    }

    /// Gives out what was written.
    ///
    /// # Errors
    /// Those of writing.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The pieces of a file, and what is wrong with it from where they end.
///
/// # Errors
/// That it is no trace, or one of another version, in a sentence.
pub(super) fn read(bytes: &[u8]) -> Result<(Vec<Piece>, Option<String>), String> {
    if bytes.len() < START || &bytes[..MAGIC.len()] != MAGIC {
        return Err("it is no trace: one begins with the letters \"rsmtrace\"".to_owned());
    }
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
    let version = word(MAGIC.len());
    if version != WITHOUT_ENDS && !VERSIONS.contains(&version) {
        return Err(format!("it is a trace of version {version}; this rsm-ctl reads versions 1 to 3"));
    }
    let (mut pieces, mut at) = (Vec::new(), START);
    while at < bytes.len() {
        let left = bytes.len() - at;
        let length = if left < HEAD { usize::MAX } else { word(at + 4) as usize };
        if length > left.saturating_sub(HEAD) {
            return Ok((pieces, Some(format!("it was cut: its last {left} bytes are no whole piece"))));
        }
        let (kind, contents) = (word(at), &bytes[at + HEAD..at + HEAD + length]);
        let damaged = || format!("it is damaged from byte {at} on, and is shown up to there");
        match piece(kind, contents, version).filter(|_| word(at + 8) == checksum(contents)) {
            Some(Piece::Ends) if at + HEAD == bytes.len() => return Ok((pieces, None)),
            Some(piece) if pieces.is_empty() == matches!(piece, Piece::Begins(_)) && piece != Piece::Ends => {
                pieces.push(piece);
            }
            _ => return Ok((pieces, Some(damaged()))),
        }
        at += HEAD + length;
    }
    Ok((pieces, Some("it has no end: whoever wrote it was killed, or writes it still".to_owned())))
}

fn piece(kind: u32, contents: &[u8], version: u32) -> Option<Piece> {
    // The first numbers of a piece that ends with bytes.
    let count = match kind {
        1 => 4,
        9 if version == VERSIONS[0] => 6,
        9 => 5,
        _ => contents.len() / 8,
    };
    let numbers: Vec<u64> = contents
        .chunks_exact(8)
        .take(count)
        .map(|eight| u64::from_le_bytes(std::array::from_fn(|i| eight[i])))
        .collect();
    let small = |at: usize| numbers.get(at).and_then(|&value| u32::try_from(value).ok());
    if !matches!(kind, 1 | 9) && !contents.len().is_multiple_of(8) {
        return None;
    }
    Some(match (kind, &numbers[..]) {
        (1, &[_, with, ticks, wall]) => {
            let name = String::from_utf8(contents[32..].to_vec()).ok()?;
            let late = version == VERSIONS[1];
            Piece::Begins(Beginning { name, nodes: small(0)?, bytes: with != 0, ticks, wall, late })
        }
        (2, &[membership, _, _]) => Piece::Process { membership, node: small(1)?, pid: small(2)? },
        (3, &[membership, ref slots @ ..]) if slots.len().is_multiple_of(4) => {
            let slots = slots.chunks_exact(4).map(|four| std::array::from_fn(|i| four[i])).collect();
            Piece::Slots { membership, slots }
        }
        (4, &[membership, ticks, lost, torn]) => Piece::Missing { membership, ticks, lost, torn },
        (5, &[ticks, ns]) => Piece::Clock { ticks, ns },
        (6, &[membership, ticks]) => Piece::Left { membership, ticks },
        (7, &[_, _, _, _, ticks]) => {
            Piece::Ended { node: small(0)?, pid: small(1)?, signal: small(2)?, code: small(3)?, ticks }
        }
        (8, &[]) => Piece::Ends,
        (9, &[_, _, incarnation, ticks, length, ref end @ ..]) => {
            let (runs, end) = (runs(contents.get(count * 8..)?, length)?, end.first().copied());
            Piece::Look { node: small(0)?, row: small(1)?, incarnation, ticks, end, length, runs }
        }
        (10, &[_, _, incarnation, length, _, _, ref importers @ ..]) => {
            let importers = importers.iter().map(|&bell| u32::try_from(bell)).collect::<Result<_, _>>().ok()?;
            let (node, row, id, bell) = (small(0)?, small(1)?, small(4)?, small(5)?);
            Piece::Standing(Standing { node, row, incarnation, length, id, bell, importers })
        }
        _ => return None,
    })
}

/// Offset, length and bytes of each, which lie inside of `whole` bytes.
fn runs(mut contents: &[u8], whole: u64) -> Option<Vec<(u64, Vec<u8>)>> {
    let mut runs = Vec::new();
    while !contents.is_empty() {
        let (offset, rest) = contents.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (offset, length) = (u64::from_le_bytes(*offset), u64::from_le_bytes(*length));
        if offset > whole || length > whole - offset {
            return None;
        }
        let (run, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        runs.push((offset, run.to_vec()));
        contents = rest;
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(end: Option<u64>) -> Piece {
        let runs = vec![(0, vec![1]), (5, vec![2; 4])];
        Piece::Look { node: 1, row: 2, incarnation: 3, ticks: 4, end, length: 9, runs }
    }

    fn pieces() -> Vec<Piece> {
        let begins = Beginning { name: "c".to_owned(), nodes: 2, bytes: true, ticks: 7, wall: 9, late: false };
        vec![
            Piece::Begins(begins),
            Piece::Process { membership: 3, node: 1, pid: 4711 },
            Piece::Slots { membership: 3, slots: vec![[1, 2, 3, 4], [u64::MAX; 4]] },
            Piece::Missing { membership: 3, ticks: 8, lost: 1, torn: 2 },
            Piece::Clock { ticks: 10, ns: 11 },
            Piece::Left { membership: 3, ticks: 12 },
            Piece::Ended { node: 1, pid: 4711, signal: 9, code: 0, ticks: 13 },
            look(Some(8)),
            Piece::Standing(Standing {
                node: 1,
                row: 2,
                incarnation: 3,
                length: 9,
                id: 5,
                bell: 6,
                importers: vec![7, 8],
            }),
        ]
    }

    fn written(pieces: &[Piece]) -> Vec<u8> {
        let mut file = Vec::new();
        let mut writer = Writer::new(&mut file, false).unwrap();
        pieces.iter().for_each(|piece| writer.add(piece).unwrap());
        file
    }

    #[test]
    fn what_was_written_is_read() {
        let mut all = pieces();
        all.push(Piece::Ends);
        assert_eq!(read(&written(&all)), Ok((pieces(), None)));
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926, "as everybody else's CRC-32");
    }

    #[test]
    fn a_file_that_is_cut_or_damaged_is_good_up_to_there() {
        let mut all = pieces();
        all.push(Piece::Ends);
        let file = written(&all);
        let mut seen = 0;
        for end in START..file.len() {
            let (pieces, wrong) = read(&file[..end]).unwrap();
            assert!(pieces.len() >= seen && all.starts_with(&pieces));
            seen = pieces.len();
            let says = wrong.unwrap();
            assert!(says.contains("it was cut") || says.contains("it has no end"), "{says}");
        }
        for at in START..file.len() {
            let mut file = file.clone();
            file[at] ^= 0x10;
            let (pieces, wrong) = read(&file).unwrap();
            assert!(all.starts_with(&pieces) && wrong.is_some(), "byte {at}");
        }
        for (bytes, says) in [(&b""[..], "no trace"), (b"rsmtrac", "no trace"), (b"<!doctype html>", "no trace")] {
            assert!(read(bytes).unwrap_err().contains(says));
        }
        let mut other = file;
        other[8] = 9;
        assert!(read(&other).unwrap_err().contains("version 9; this rsm-ctl reads versions 1 to 3"));
    }

    #[test]
    fn an_older_file_does_not_say_when_a_look_was_over() {
        let mut all = vec![pieces().swap_remove(0), look(None), Piece::Ends];
        let mut file = written(&all);
        file[8..12].copy_from_slice(&WITHOUT_ENDS.to_le_bytes());
        all.pop();
        assert_eq!(read(&file), Ok((all, None)));
    }
}
