//! What the user sees besides the lines: progress, if standard error is a terminal, and the summary. Both come from
//! node 1.

use crate::Result;
use rsm_team::Team;
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

/// What a node did.
pub(crate) struct Row {
    /// Bytes it has read from the file.
    pub(crate) read: u64,
    /// Bytes of lines it has put into partitions.
    pub(crate) put: u64,
    /// Bytes of lines it has received in its own.
    pub(crate) received: u64,
    /// Bytes of lines it has sorted.
    pub(crate) sorted: u64,
    /// Lines it has sorted.
    pub(crate) lines: u64,
}

/// On node 1 what every node did, and nothing on the others.
pub(crate) fn gather(team: &Team, row: &Row) -> Result<Option<Vec<Row>>> {
    let told = team.gather(0, &[row.read, row.put, row.received, row.sorted, row.lines])?;
    let row = |told: Vec<u64>| match told[..] {
        [read, put, received, sorted, lines] => Ok(Row { read, put, received, sorted, lines }),
        _ => Err("another node told other numbers".into()),
    };
    told.map(|rows| rows.into_iter().map(row).collect()).transpose()
}

/// What every node did, and how fast it was. Moved are the bytes put into partitions and those `fetched` from them.
pub(crate) fn summary(rows: &[Row], size: u64, fetched: u64, time: Duration) -> Result<String> {
    let mut text =
        format!("{:>4}{:>15}{:>15}{:>15}{:>15}{:>13}\n", "node", "bytes read", "put", "received", "sorted", "lines");
    let (mut put, mut lines) = (0, 0);
    for (node, row) in (1..).zip(rows) {
        write!(text, "{node:>4}")?;
        for bytes in [row.read, row.put, row.received, row.sorted] {
            write!(text, "{bytes:>15}")?;
        }
        writeln!(text, "{:>13}", row.lines)?;
        put += row.put;
        lines += row.lines;
    }
    let nodes = match rows.len() {
        1 => "1 node".to_owned(),
        nodes => format!("{nodes} nodes"),
    };
    let seconds = time.as_secs_f64();
    let speed = (put + fetched) as f64 / 1e9 / seconds.max(1e-9);
    write!(text, "{size} bytes, {lines} lines, {nodes}, {seconds:.3} s, {speed:.2} GB/s moved")?;
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
