//! Cuts a stream of bytes into whole lines.

/// A line longer than this is passed on in pieces of at least this length.
pub(crate) const LONGEST: usize = 1 << 20;

/// What ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// A line feed.
    Feed,
    /// A carriage return too, as on a terminal, where progress is shown that way.
    FeedOrReturn,
}

impl LineEnd {
    pub(crate) fn is(self, byte: u8) -> bool {
        byte == b'\n' || (self == LineEnd::FeedOrReturn && byte == b'\r')
    }
}

/// What of a stream has not been passed on yet.
pub(crate) struct Lines {
    bytes: Vec<u8>,
    /// How many of `bytes` were searched and have no line end.
    searched: usize,
    end: LineEnd,
}

impl Lines {
    pub(crate) fn new(end: LineEnd) -> Lines {
        Lines { bytes: Vec::new(), searched: 0, end }
    }

    /// Where the next bytes are to be appended.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Passes on all whole lines at once, or a piece if there is only one line and that is too long.
    pub(crate) fn take(&mut self, pass: impl FnOnce(&[u8])) {
        let fresh = &self.bytes[self.searched..];
        let length = match fresh.iter().rposition(|&byte| self.end.is(byte)) {
            Some(last) => self.searched + last + 1,
            None if self.bytes.len() >= LONGEST => self.bytes.len(),
            None => 0,
        };
        if length > 0 {
            pass(&self.bytes[..length]);
            self.bytes.drain(..length);
        }
        self.searched = self.bytes.len();
    }

    /// Passes on what is left at the end of the stream: a line without its end, if anything.
    pub(crate) fn take_rest(&mut self, pass: impl FnOnce(&[u8])) {
        self.searched = 0;
        let rest = std::mem::take(&mut self.bytes);
        if !rest.is_empty() {
            pass(&rest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is passed on when the stream arrives in these pieces.
    fn passed(end: LineEnd, pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(end);
        let mut passed = Vec::new();
        for piece in pieces {
            lines.bytes().extend_from_slice(piece);
            lines.take(|whole| passed.push(whole.to_vec()));
        }
        lines.take_rest(|rest| passed.push(rest.to_vec()));
        passed
    }

    #[test]
    fn lines_wait_for_their_end() {
        assert_eq!(passed(LineEnd::Feed, &[b"one\ntw", b"o", b"\n", b"three"]), [&b"one\n"[..], b"two\n", b"three"]);
        assert_eq!(passed(LineEnd::Feed, &[b"a\nb\nc", b"\n"]), [&b"a\nb\n"[..], b"c\n"]);
    }

    #[test]
    fn carriage_returns_end_lines_of_terminals_only() {
        assert_eq!(passed(LineEnd::FeedOrReturn, &[b"10%\r20", b"%\r"]), [b"10%\r", b"20%\r"]);
        assert_eq!(passed(LineEnd::Feed, &[b"10%\r20", b"%\r"]), [b"10%\r20%\r"]);
    }

    #[test]
    fn endless_lines_go_in_pieces() {
        let half = vec![b'x'; LONGEST / 2];
        let passed = passed(LineEnd::Feed, &[&half, &half, &half, b"\nshort\n"]);
        assert_eq!(passed.iter().map(Vec::len).collect::<Vec<_>>(), [LONGEST, LONGEST / 2 + 7]);
    }

    #[test]
    fn nothing_is_lost_or_changed_however_the_pieces_fall() {
        let text: Vec<u8> = (0..5000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8).collect();
        for size in [1, 2, 3, 7, 64, 4999] {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            for end in [LineEnd::Feed, LineEnd::FeedOrReturn] {
                let passed = passed(end, &pieces);
                assert_eq!(passed.concat(), text);
                let (_, whole) = passed.split_last().unwrap();
                assert!(whole.iter().all(|lines| lines.last().is_some_and(|&byte| end.is(byte))));
            }
        }
    }
}
