//! What each node reads, where lines go, and how they are ordered. What talks to other nodes is tested by running it.

use crate::report::Progress;
use crate::slice::{Reader, Slice, share, slice};
use crate::splitters::{KEY, Sample, Splitters, choose, decode, encode, samples};
use crate::{Result, lines};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Text of `length` bytes out of `alphabet` that looks random and is the same in every run.
fn random(seed: u32, length: usize, alphabet: &[u8]) -> Vec<u8> {
    let hash = |at: usize| {
        let mut hasher = DefaultHasher::new();
        (seed, at).hash(&mut hasher);
        hasher.finish() as usize
    };
    (0..length).map(|at| alphabet[hash(at) % alphabet.len()]).collect()
}

/// A file of the test's, removed at its end.
struct Input(PathBuf);

impl Input {
    fn new(name: &str) -> Input {
        Input(std::env::temp_dir().join(format!("rsm-sort-{name}-{}", std::process::id())))
    }

    fn holding(&self, text: &[u8]) -> &Path {
        std::fs::write(&self.0, text).expect("a file");
        &self.0
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Texts that differ in how long and how equal their lines are.
fn texts() -> Vec<Vec<u8>> {
    let mut texts = vec![Vec::new(), b"\n".to_vec(), b"a".to_vec(), b"\0\n\0\0\na\na\0\n\na".to_vec()];
    for alphabet in [&b"a\n"[..], b"ab\n", b"\0\n", b"\0\x01\xff\n", b"abcdefghijklmnopqrstuvwxyz\n"] {
        for length in [3, 10, 100, 5_000] {
            texts.push(random(texts.len() as u32, length, alphabet));
        }
    }
    // Equal for more than one prefix, longer than a short length can say, and of every length around that limit.
    texts.push((0..200).flat_map(|n| format!("{}{}\n", "same ".repeat(30), n * 7919 % 200).into_bytes()).collect());
    texts.push((65_530..65_540).rev().flat_map(|length| [vec![b'x'; length], b"\n".to_vec()].concat()).collect());
    texts.push((0..300).rev().flat_map(|length| [vec![0; length], b"\n".to_vec()].concat()).collect());
    texts
}

fn with_newline(mut text: Vec<u8>) -> Vec<u8> {
    if text.last().is_some_and(|&last| last != b'\n') {
        text.push(b'\n');
    }
    text
}

#[test]
fn lines_are_sorted_by_their_bytes() {
    for text in texts().into_iter().map(with_newline) {
        let mut expected: Vec<_> = text.split_inclusive(|&byte| byte == b'\n').collect();
        expected.sort_unstable_by_key(|line| &line[..line.len() - 1]);
        let sorted: Vec<_> = lines::sorted(&text).iter().map(|line| line.bytes(&text)).collect();
        assert!(sorted == expected, "{:?}", String::from_utf8_lossy(&text[..text.len().min(200)]));
    }
}

#[test]
fn shares_are_the_whole_file_and_equal() {
    for (size, nodes) in [(0, 3), (1, 4), (10, 3), (1 << 40, 63), (u64::MAX, 63)] {
        let shares: Vec<_> = (1..=nodes).map(|node| share(size, node, nodes)).collect();
        assert_eq!((shares[0].start, shares[shares.len() - 1].end), (0, size));
        assert!(shares.windows(2).all(|pair| pair[0].end == pair[1].start));
        assert!(shares.iter().all(|share| (share.end - share.start).abs_diff(size / u64::from(nodes)) <= 1));
    }
}

#[test]
fn slices_are_the_whole_file_and_nobody_reads_more() -> Result<()> {
    let input = Input::new("slices");
    for text in texts() {
        let (path, size) = (input.holding(&text), text.len() as u64);
        for nodes in 1..9 {
            let (mut readers, mut firsts) = (Vec::new(), Vec::new());
            for node in 1..=nodes {
                let mut reader = Reader::open(path, nodes)?;
                firsts.push(reader.first_line(share(size, node, nodes))?.unwrap_or(u64::MAX));
                readers.push(reader);
            }
            let mut read = Vec::new();
            for (node, reader) in (1..).zip(&mut readers) {
                let (share, slice) = (share(size, node, nodes), slice(&firsts, size, node)?);
                let end = share.end.max(slice.end);
                read.extend(reader.load(slice, &mut Progress::new(false))?.text);
                assert!(reader.bytes_read() <= end - share.start + 1);
            }
            assert!(read == with_newline(text.clone()), "{nodes} nodes, {size} bytes");
        }
    }
    Ok(())
}

#[test]
fn a_file_that_becomes_shorter_is_an_error() -> Result<()> {
    let input = Input::new("text");
    let mut reader = Reader::open(input.holding(b"some\nlines\n"), 2)?;
    input.holding(b"some\n");
    let error = reader.load(0..11, &mut Progress::new(false)).err().expect("an error").to_string();
    assert!(error.contains("is shorter than its size was, it must have changed"), "{error}");
    Ok(())
}

#[test]
fn samples_stand_for_every_byte() {
    for text in texts().into_iter().map(with_newline) {
        let length = text.len() as u64;
        let samples = samples(&Slice { text, position: 7 });
        assert!(samples.len() <= 255 && samples.iter().all(|sample| sample.key.len() <= KEY));
        assert_eq!(samples.iter().map(|sample| sample.weight).sum::<u64>(), length);
        assert!(samples.windows(2).all(|pair| pair[0].position < pair[1].position));
    }
}

#[test]
fn samples_travel_unchanged_and_nonsense_is_refused() -> Result<()> {
    let text = texts().into_iter().map(with_newline).max_by_key(Vec::len).expect("a text");
    let samples = samples(&Slice { text, position: 7 });
    let sent = encode(&samples);
    assert_eq!(decode(&sent)?, samples);
    assert!(decode(&sent[..sent.len() - 1]).is_err());
    assert!(decode(&sent[..20]).is_err());
    assert!(decode(&[0xff; 24]).is_err());
    Ok(())
}

#[test]
fn parts_follow_the_order_of_lines_and_are_balanced() {
    let equal = b"all the same\n".repeat(10_000);
    let few = random(1, 100_000, b"abc").into_iter().flat_map(|byte| [byte, b'\n']).collect();
    let mixed = with_newline(random(2, 200_000, b"abcdefghijklmnopqrstuvwxyz\n"));
    for text in [equal, few, mixed] {
        for nodes in [1, 2, 4, 7, 63] {
            let slice = Slice { text: text.clone(), position: 0 };
            let splitters = Splitters::new(choose(samples(&slice), nodes));
            assert_eq!(splitters.nodes(), nodes as usize);

            let mut position = 0;
            let mut all: Vec<(&[u8], u64)> = Vec::new();
            for line in text.split_inclusive(|&byte| byte == b'\n') {
                all.push((&line[..line.len() - 1], position));
                position += line.len() as u64;
            }
            all.sort_unstable();
            let mut bytes = vec![0; nodes as usize];
            let mut highest = 1;
            for (line, position) in all {
                let node = splitters.node_of(line, position);
                assert!(node >= highest);
                highest = node;
                bytes[node as usize - 1] += line.len() + 1;
            }
            let most = bytes.into_iter().max().expect("at least one part");
            // One slice of 255 samples for 63 parts is coarse; a cluster of 63 has 63 times as many.
            let limit = if nodes == 63 { 4 } else { 2 };
            assert!(most * nodes as usize <= text.len() * limit, "{most} of {} bytes for one of {nodes}", text.len());
        }
    }
}

#[test]
fn no_samples_make_one_part() {
    let splitters = Splitters::new(choose(Vec::new(), 4));
    assert_eq!((splitters.nodes(), splitters.node_of(b"line", 0)), (1, 1));
    let sample = Sample { key: b"m".to_vec(), position: 5, weight: 1 };
    let splitters = Splitters::new(choose(vec![sample], 2));
    assert_eq!((splitters.node_of(b"a", 9), splitters.node_of(b"m", 4), splitters.node_of(b"m", 5)), (1, 1, 2));
}
