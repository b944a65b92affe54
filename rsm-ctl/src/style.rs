//! Colour for people, where there is a person to see it.

use std::env;

use rustix::fd::AsFd;
use rustix::termios::isatty;

/// Whether and how to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    colour: bool,
}

impl Style {
    /// No colour.
    #[cfg(test)]
    pub(crate) const PLAIN: Style = Style { colour: false };

    /// Colour on a terminal that has some, unless NO_COLOR (no-color.org) asks for none.
    pub(crate) fn of(output: impl AsFd) -> Style {
        let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
        Style { colour: isatty(output) && !unwanted && !dumb }
    }

    /// For what went wrong.
    pub(crate) fn alarm(self, text: &str) -> String {
        self.wrapped("1;31", text)
    }

    /// For what stands beside the main thing.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrapped("2", text)
    }

    /// For what to do next.
    pub(crate) fn advice(self, text: &str) -> String {
        self.wrapped("36", text)
    }

    fn wrapped(self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
