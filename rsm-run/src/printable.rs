//! Text of others on its way to a terminal.
//!
//! Names of files, programs and controllers, and what an agent answers, may hold anything, sequences that a terminal obeys
//! included. Nothing of that kind leaves `rsm-ctl`: each such character is shown as an escape. What programs of a run write
//! is theirs, and passes as it is.

use std::borrow::Cow;
use std::ffi::OsStr;

use crate::colour;

/// A name as part of a line.
pub fn name(text: &str) -> String {
    escaped(text, |_, _| false).into_owned()
}

/// The name of a file or program, likewise.
pub fn path(path: impl AsRef<OsStr>) -> String {
    name(&path.as_ref().to_string_lossy())
}

/// Whole lines: their ends, and tabs, stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character, _| matches!(character, '\n' | '\t'))
}

/// Whole lines in which our own colours stay, too.
pub fn coloured(text: &str) -> Cow<'_, str> {
    escaped(text, |character, rest| match character {
        '\x1b' => colour::CODES.iter().any(|code| rest.starts_with(code)),
        _ => matches!(character, '\n' | '\t'),
    })
}

/// Escapes what a terminal would obey, unless it is wanted; `wanted` is told the character and the text from there on.
fn escaped(text: &str, wanted: impl Fn(char, &str) -> bool) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (at, character) in text.char_indices() {
        if is_obeyed(character) && !wanted(character, &text[at..]) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// Whether a terminal does something else with it than showing it: control characters, and marks that turn the direction
/// of writing, which can make a line read as another one.
pub fn is_obeyed(character: char) -> bool {
    let turns =
        matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns || matches!(character, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::colour::{Palette, Tone};

    #[test]
    fn names_stay_in_their_line_and_do_nothing() {
        assert_eq!(name("a b é\"\\"), "a b é\"\\");
        assert_eq!(name("a\x1b[31m\r\n\x07\x7f\u{9b}2J\u{202e}"), r"a\u{1b}[31m\r\n\u{7}\u{7f}\u{9b}2J\u{202e}");
        assert_eq!(path("x\ty"), r"x\ty");
    }

    #[test]
    fn only_our_own_colours_pass() {
        for tone in [Tone::Good, Tone::Warning, Tone::Bad, Tone::Faint] {
            let own = Palette(true).paint(tone, "word") + "\tand\n";
            assert_eq!(coloured(&own), own);
            assert!(!lines(&own).contains('\x1b'));
        }
        assert_eq!(coloured("\x1b[2J\x1b]0;title\x07\x1b[31;1m"), r"\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}[31;1m");
    }
}
