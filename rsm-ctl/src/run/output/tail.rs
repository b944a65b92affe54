//! The last of what a process wrote, kept for when it fails.

/// Bytes kept of each stream.
const KEPT: usize = 4096;
/// Most lines shown of them.
const LINES: usize = 8;
/// Most characters shown of a line.
const WIDTH: usize = 200;

/// The end of a stream.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    /// Takes note of what was written.
    pub(crate) fn note(&mut self, bytes: &[u8]) {
        let bytes = &bytes[bytes.len().saturating_sub(KEPT)..];
        let over = (self.0.len() + bytes.len()).saturating_sub(KEPT);
        self.0.drain(..over);
        self.0.extend_from_slice(bytes);
    }

    /// The last lines, without what terminals make of control characters.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0);
        let mut lines: Vec<&str> = text.lines().collect();
        if self.0.len() == KEPT && lines.len() > 1 {
            // Its beginning may be missing.
            lines.remove(0);
        }
        let mut lines: Vec<String> = lines.into_iter().map(shown).collect();
        while lines.last().is_some_and(|line| line.trim().is_empty()) {
            lines.pop();
        }
        lines.split_off(lines.len().saturating_sub(LINES))
    }
}

/// A line as it can be shown anywhere: no colours or other commands to a terminal, and not endless.
fn shown(line: &str) -> String {
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
    if plain.chars().count() > WIDTH {
        plain = plain.chars().take(WIDTH).chain(['…']).collect();
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut tail = Tail::default();
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
    fn nothing_in_them_commands_a_terminal() {
        let shown = lines(&[b"\x1b[1;31mred\x1b[0m \x07 tab\there\r\n10%\r20%\r30%\n\xff\n"]);
        assert_eq!(shown, ["red \\u{7} tab    here", "30%", "\u{fffd}"]);
    }
}
