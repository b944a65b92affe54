//! What the user sees besides the lines: progress, if standard error is a terminal, and the summary. Both come from
//! node 1.

use crate::Result;
use crate::board::{Board, Word};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

/// A line of a terminal that says how far the work is.
pub(crate) struct Progress {
    /// When it was last changed; nothing if there is nobody to show it to.
    shown: Option<Instant>,
}

impl Progress {
    /// Often enough to be seen moving, and seldom enough to cost nothing.
    const PERIOD: Duration = Duration::from_millis(50);

    pub(crate) fn new(wanted: bool) -> Progress {
        Progress { shown: (wanted && io::stderr().is_terminal()).then(Instant::now) }
    }

    /// A part of the work has begun.
    pub(crate) fn phase(&mut self, name: &str) {
        if self.shown.is_some() {
            self.show(name);
        }
    }

    /// So much of it is done.
    pub(crate) fn bytes(&mut self, name: &str, done: u64, total: u64) {
        if self.shown.is_some_and(|shown| shown.elapsed() >= Progress::PERIOD) {
            let percent = u128::from(done) * 100 / u128::from(total.max(1));
            self.show(&format!("{name} {percent} %"));
        }
    }

    /// All work is done, or has failed: leaves the line empty.
    pub(crate) fn clear(&mut self) {
        self.phase("");
        self.shown = None;
    }

    fn show(&mut self, text: &str) {
        const BACK_AND_CLEAR: &str = "\r\x1b[K";
        let _ = write!(io::stderr(), "{BACK_AND_CLEAR}{text}");
        self.shown = Some(Instant::now());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A name for messages: what a terminal would obey instead of showing it is escaped.
pub(crate) fn shown(name: impl AsRef<OsStr>) -> String {
    // Marks that turn the direction of writing can make a name read as another one.
    let turns =
        |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut text = String::new();
    for character in name.as_ref().to_string_lossy().chars() {
        if character.is_control() || turns(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// What every node did, and how fast it was. Moved are the bytes put into partitions and those `fetched` from them.
pub(crate) fn summary(board: &Board, fetched: u64, time: Duration) -> Result<String> {
    let mut text =
        format!("{:>4}{:>15}{:>15}{:>15}{:>15}{:>13}\n", "node", "bytes read", "put", "received", "sorted", "lines");
    let (mut put, mut lines) = (0, 0);
    for node in board.nodes() {
        write!(text, "{node:>4}")?;
        for word in [Word::Read, Word::Put, Word::Received, Word::Sorted] {
            write!(text, "{:>15}", board.told_by(node, word)?)?;
        }
        writeln!(text, "{:>13}", board.told_by(node, Word::Lines)?)?;
        put += board.told_by(node, Word::Put)?;
        lines += board.told_by(node, Word::Lines)?;
    }
    let nodes = match *board.nodes().end() {
        1 => "1 node".to_owned(),
        nodes => format!("{nodes} nodes"),
    };
    let bytes = board.told_by(1, Word::Size)?;
    let seconds = time.as_secs_f64();
    let speed = (put + fetched) as f64 / 1e9 / seconds.max(1e-9);
    write!(text, "{bytes} bytes, {lines} lines, {nodes}, {seconds:.3} s, {speed:.2} GB/s moved")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_nothing_to_a_terminal() {
        assert_eq!(shown("a b é"), "a b é");
        assert_eq!(shown("a\x1b[2J\n\u{9b}\u{202e}"), r"a\u{1b}[2J\n\u{9b}\u{202e}");
    }
}
