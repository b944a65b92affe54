//! The last of what a process wrote, kept for when it fails, and for the report.

/// Bytes kept of each stream.
pub(crate) const KEPT: usize = 4096;
/// Bytes kept where a report is to hold them.
pub(crate) const KEPT_FOR_REPORT: usize = 64 * 1024;
/// Most lines shown of them.
const LINES: usize = 8;
/// Most characters shown of a line.
const WIDTH: usize = 200;

/// The end of a stream.
#[derive(Debug)]
pub(crate) struct Tail {
    bytes: Vec<u8>,
    kept: usize,
    /// Whether something was before it.
    cut: bool,
}

impl Tail {
    /// Keeps this many bytes.
    pub(crate) fn new(kept: usize) -> Tail {
        Tail { bytes: Vec::new(), kept, cut: false }
    }

    /// Takes note of what was written.
    pub(crate) fn note(&mut self, bytes: &[u8]) {
        let left = bytes.len().saturating_sub(self.kept);
        let bytes = &bytes[left..];
        let over = (self.bytes.len() + bytes.len()).saturating_sub(self.kept);
        self.cut |= left + over > 0;
        self.bytes.drain(..over);
        self.bytes.extend_from_slice(bytes);
    }

    /// The last lines, without what terminals make of control characters.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = self.all(WIDTH);
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        lines.split_off(lines.len().saturating_sub(LINES))
    }

    /// All of it, likewise, and whether something is missing before it.
    pub(crate) fn text(&self) -> String {
        let mut lines = self.all(usize::MAX);
        if self.cut {
            lines.insert(0, "[what came before is left out]".to_owned());
        }
        lines.join("\n")
    }

    fn all(&self, width: usize) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let mut lines: Vec<&str> = text.lines().collect();
        if self.cut && lines.len() > 1 {
            // Its beginning may be missing.
            lines.remove(0);
        }
        lines.into_iter().map(|line| shown(line, width)).collect()
    }
}

/// A line as it can be shown anywhere: no colours or other commands to a terminal, and not longer than that.
fn shown(line: &str, width: usize) -> String {
    // Of a progress line that was written over and over, what stood there last.
    let line = line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default();
    let mut plain = String::new();
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            // Commands as colours are: ESC [ ... up to a letter.
            '\x1b' if characters.peek() == Some(&'[') => {
                characters.next();
                let _ = characters.find(|c| ('@'..='~').contains(c));
            }
            '\t' => plain.push_str("    "),
            other if other.is_control() => plain.extend(other.escape_default()),
            other => plain.push(other),
        }
    }
    if plain.chars().count() > width {
        plain = plain.chars().take(width).chain(['…']).collect();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut tail = Tail::new(KEPT);
        for piece in pieces {
            tail.note(piece);
        }
        tail.lines()
    }

    #[test]
    fn the_last_lines_are_kept() {
        assert_eq!(lines(&[]), [""; 0]);
        assert_eq!(lines(&[b"one\ntw", b"o\n\n"]), ["one", "two"]);
        let many: String = (0..1000).map(|n| format!("line {n}\n")).collect();
        assert_eq!(lines(&[many.as_bytes()]), (992..1000).map(|n| format!("line {n}")).collect::<Vec<_>>());
        let many: Vec<&[u8]> = many.split_inclusive('\n').map(str::as_bytes).collect();
        assert_eq!(lines(&many).len(), LINES);
        assert!(lines(&[&[b'x'; 100_000]])[0].ends_with("x…"));
    }

    #[test]
    fn all_that_is_kept() {
        let mut tail = Tail::new(20);
        tail.note(b"one\n\x1b[1mtwo\x1b[0m\n");
        assert_eq!(tail.text(), "one\ntwo");
        tail.note(b"12345\n1234567890123\n");
        assert_eq!(tail.text(), "[what came before is left out]\n1234567890123");
        tail.note(&[b'x'; 30]);
        assert_eq!(tail.text(), format!("[what came before is left out]\n{}", "x".repeat(20)));
    }

    #[test]
    fn nothing_in_them_commands_a_terminal() {
        let shown = lines(&[b"\x1b[1;31mred\x1b[0m \x07 tab\there\r\n10%\r20%\r30%\n\xff\n"]);
        assert_eq!(shown, ["red \\u{7} tab    here", "30%", "\u{fffd}"]);
    }
}
