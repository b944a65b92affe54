//! Colours on a terminal, unless <https://no-color.org> is asked for.

use std::io::IsTerminal;

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be: green.
    Good,
    /// Worth a look: yellow.
    Warning,
    /// Failed: red.
    Bad,
    /// Beside the point: dim.
    Faint,
}

/// What begins and ends each tone; nothing else is sent to a terminal to be obeyed.
pub const CODES: [&str; 5] = ["\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", END];
const END: &str = "\x1b[0m";

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette(
    /// Whether there are colours.
    pub bool,
);

impl Palette {
    /// For standard output: colours when it is a terminal that knows them and `NO_COLOR` is not set, or empty.
    pub fn of_stdout() -> Palette {
        Palette(std::io::stdout().is_terminal() && allowed())
    }

    /// For standard error, likewise.
    pub fn of_stderr() -> Palette {
        Palette(std::io::stderr().is_terminal() && allowed())
    }

    /// The text in a tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
        // In the order of the codes.
        let code = CODES[tone as usize];
        if self.0 && !text.is_empty() { format!("{code}{text}{END}") } else { text.to_owned() }
    }
}

/// Whether the environment lets a terminal be coloured.
pub fn allowed() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && !is_dumb()
}

/// Whether the terminal can do nothing but lines.
pub fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_colour_is_no_bytes() {
        assert_eq!(Palette(false).paint(Tone::Bad, "down"), "down");
        assert_eq!(Palette(true).paint(Tone::Bad, "down"), "\x1b[31mdown\x1b[0m");
        assert_eq!(Palette(true).paint(Tone::Bad, ""), "");
    }
}
