//! A terminal as a whole screen: its size, its keys, and lines that are drawn on it. What stood there before is back when
//! it is given up.

use std::io;
use std::panic;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::print;

/// The other screen, without a cursor; and back.
const BEGIN: &str = "\x1b[?1049h\x1b[?25l";
const END: &str = "\x1b[?25h\x1b[?1049l";

/// How long the rest of a key's sequence may take. What a person types after ESC takes longer.
const REST: Duration = Duration::from_millis(20);

/// Commands for how letters look, to be put between `ESC [` and `m`.
pub(super) const BOLD: &str = "1";
pub(super) const DIM: &str = "2";
pub(super) const REVERSED: &str = "7";
pub(super) const BOLD_UNDERLINED: &str = "1;4";
pub(super) const GREEN: &str = "32";
pub(super) const YELLOW: &str = "33";
pub(super) const BOLD_RED: &str = "1;31";

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Char(u8),
    /// Together with the control key.
    Control(u8),
    Escape,
    Tab,
    BackTab,
    Left,
    Right,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Other,
}

/// A line of a screen, no longer than fits.
pub(super) struct Line {
    text: String,
    room: usize,
}

impl Line {
    pub(super) fn new(width: usize) -> Line {
        Line { text: String::new(), room: width }
    }

    /// Adds letters, as many as fit, that look so; plain without a style.
    pub(super) fn add(&mut self, style: Option<&str>, text: &str) -> &mut Line {
        let end = text.char_indices().nth(self.room).map_or(text.len(), |(at, _)| at);
        let fitting = &text[..end];
        self.room -= fitting.chars().count();
        match style {
            Some(style) if !fitting.is_empty() => self.text.extend(["\x1b[", style, "m", fitting, "\x1b[0m"]),
            _ => self.text.push_str(fitting),
        }
        self
    }
}

/// The terminal of this process, taken over.
pub(super) struct Terminal {
    before: Termios,
}

impl Terminal {
    /// Takes over the terminal that standard input and output are.
    ///
    /// # Errors
    /// That they are none, or gone.
    pub(super) fn take() -> io::Result<Terminal> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        let terminal = Terminal { before };
        print::letters(BEGIN)?;
        // A panic is told where it can be read.
        let (told, kept) = (panic::take_hook(), terminal.before.clone());
        panic::set_hook(Box::new(move |why| {
            give_back(&kept);
            told(why);
        }));
        Ok(terminal)
    }

    /// Columns and lines.
    pub(super) fn size(&self) -> (usize, usize) {
        match tcgetwinsize(stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
            _ => (80, 24),
        }
    }

    /// Shows these lines, as many as fit, from the top.
    ///
    /// # Errors
    /// That the terminal has gone.
    pub(super) fn draw(&self, lines: &[Line]) -> io::Result<()> {
        let (_, rows) = self.size();
        let mut text = String::from("\x1b[H");
        for (number, line) in lines.iter().take(rows).enumerate() {
            // An end of line behind the last one would scroll.
            text.push_str(if number > 0 { "\r\n" } else { "" });
            text.extend([&line.text, "\x1b[K"]);
        }
        text.push_str("\x1b[J");
        print::letters(&text)
    }

    /// The keys that were pressed, none within this time, or before a signal is handled.
    ///
    /// # Errors
    /// That the terminal has gone.
    pub(super) fn keys(&self, within: Duration) -> io::Result<Vec<Key>> {
        let mut typed = Vec::new();
        let mut patience = within;
        while typed.is_empty() || is_begun(&typed) {
            let time = Timespec::try_from(patience).unwrap_or_default();
            match poll(&mut [PollFd::new(&stdin(), PollFlags::IN)], Some(&time)) {
                Ok(0) | Err(Errno::INTR) => break,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            let mut bytes = [0; 64];
            match read(stdin(), &mut bytes) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => typed.extend_from_slice(&bytes[..length]),
                Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno.into()),
            }
            patience = REST;
        }
        Ok(keys_of(&typed))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(panic::take_hook());
        give_back(&self.before);
    }
}

/// There is nobody to tell when this fails.
fn give_back(before: &Termios) {
    let _ = print::letters(END);
    let _ = tcsetattr(stdin(), OptionalActions::Now, before);
}

/// Whether these bytes end within the sequence of a key.
fn is_begun(bytes: &[u8]) -> bool {
    let Some(at) = bytes.iter().rposition(|&byte| byte == 0x1b) else { return false };
    match &bytes[at + 1..] {
        [] | [b'['] | [b'O'] => true,
        [b'[', rest @ ..] => rest.iter().all(|byte| byte.is_ascii_digit() || *byte == b';'),
        _ => false,
    }
}

fn keys_of(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let [first, rest @ ..] = bytes {
        bytes = rest;
        keys.push(match first {
            0x1b => {
                let (key, after) = sequence(rest);
                bytes = after;
                key
            }
            b'\t' => Key::Tab,
            0x01..=0x1a => Key::Control(first + b'a' - 1),
            b' '..=b'~' => Key::Char(*first),
            _ => Key::Other,
        });
    }
    keys
}

/// The key whose sequence begins with ESC, and what comes after it.
fn sequence(bytes: &[u8]) -> (Key, &[u8]) {
    let [b'[' | b'O', rest @ ..] = bytes else { return (Key::Escape, bytes) };
    let Some(last) = rest.iter().position(|byte| !(byte.is_ascii_digit() || *byte == b';')) else {
        return (Key::Other, &[]);
    };
    // Shift, Alt and Control are a second number.
    let number = rest[..last].split(|&byte| byte == b';').next().unwrap_or_default();
    let key = match (rest[last], number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'Z', _) => Key::BackTab,
        (b'~', b"5") => Key::PageUp,
        (b'~', b"6") => Key::PageDown,
        _ => Key::Other,
    };
    (key, &rest[last + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_as_terminals_send_them() {
        assert_eq!(keys_of(b"q\t\x03 "), [Key::Char(b'q'), Key::Tab, Key::Control(b'c'), Key::Char(b' ')]);
        assert_eq!(keys_of(b"\x1b[A\x1bOB\x1b[1;5C\x1b[D"), [Key::Up, Key::Down, Key::Right, Key::Left]);
        assert_eq!(keys_of(b"\x1b[5~\x1b[6~\x1b[1~\x1b[F"), [Key::PageUp, Key::PageDown, Key::Home, Key::End]);
        assert_eq!(keys_of(b"\x1b[Z\x1b[15~\x1b"), [Key::BackTab, Key::Other, Key::Escape]);
        assert_eq!(keys_of("é".as_bytes()), [Key::Other, Key::Other]);
    }

    #[test]
    fn a_sequence_may_come_in_pieces() {
        assert!(is_begun(b"\x1b") && is_begun(b"q\x1b[1;5") && is_begun(b"\x1bO"));
        assert!(!is_begun(b"q") && !is_begun(b"\x1b[A") && !is_begun(b"\x1bq") && !is_begun(b"\x1b[6~"));
    }

    #[test]
    fn lines_end_where_the_screen_does() {
        let mut line = Line::new(5);
        line.add(None, "éa").add(Some(BOLD), "bcde").add(Some(DIM), "f");
        assert_eq!(line.text, "éa\x1b[1mbcd\x1b[0m");
    }
}
