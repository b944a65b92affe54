//! A line of a script as words, and what is wrong with it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Error of a script that cannot be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line of the script, from 1.
    pub line: usize,
    /// Column of the line, in characters from 1.
    pub column: usize,
    /// Message that says what is wrong there, and what may stand there instead.
    pub message: String,
    source: String,
}

impl ParseError {
    /// The line of the script, with a mark under the place.
    pub fn excerpt(&self) -> String {
        // Tabs stay, so that the mark is where the place is.
        let blank = |c: char| if c == '\t' { '\t' } else { ' ' };
        let before: String = self.source.chars().take(self.column - 1).map(blank).collect();
        format!("{}\n{before}^", self.source)
    }
}

/// `line:column: message`.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for ParseError {}

#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    /// In bytes.
    start: usize,
}

/// The words of a line, read from left to right.
pub(super) struct Words<'a> {
    line: usize,
    source: &'a str,
    words: Vec<Word<'a>>,
    next: usize,
    /// What might have stood where the reading is, besides what is asked for.
    tried: Vec<&'static str>,
}

impl<'a> Words<'a> {
    /// Splits a line; `None` when it has no words. Colons and commas are words.
    pub(super) fn of(line: usize, source: &'a str) -> Option<Words<'a>> {
        let code = &source[..source.find('#').unwrap_or(source.len())];
        let mut words: Vec<Word<'_>> = Vec::new();
        let mut start = None;
        for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
            let mark = c == ':' || c == ',';
            if (mark || c.is_whitespace())
                && let Some(start) = start.take()
            {
                words.push(Word { text: &code[start..at], start });
            }
            if mark {
                words.push(Word { text: &code[at..=at], start: at });
            } else if !c.is_whitespace() {
                start = start.or(Some(at));
            }
        }
        (!words.is_empty()).then_some(Words { line, source, words, next: 0, tried: Vec::new() })
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// The number of words read: where [`fail_at`](Self::fail_at) finds the next one.
    pub(super) fn place(&self) -> usize {
        self.next
    }

    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).map(|word| word.text)
    }

    fn take(&mut self) {
        self.next += 1;
        self.tried.clear();
    }

    /// Reads this word if it comes next.
    pub(super) fn eat(&mut self, word: &'static str) -> bool {
        let found = self.peek() == Some(word);
        if found {
            self.take();
        } else {
            self.tried.push(word);
        }
        found
    }

    /// Reads one of these words; gives its number.
    pub(super) fn one_of(&mut self, words: &[&'static str]) -> Result<usize, ParseError> {
        let found = self.peek().and_then(|next| words.iter().position(|&word| word == next));
        match found {
            Some(number) => {
                self.take();
                Ok(number)
            }
            None => {
                self.tried.extend(words);
                Err(self.expected(None))
            }
        }
    }

    pub(super) fn need(&mut self, word: &'static str) -> Result<(), ParseError> {
        self.one_of(&[word]).map(drop)
    }

    /// Reads a word as a value.
    pub(super) fn value<T: FromStr>(&mut self, what: &str) -> Result<T, ParseError> {
        // A sign would pass for part of a number.
        let value = self.peek().filter(|text| !text.starts_with('+')).and_then(|text| text.parse().ok());
        let value = value.ok_or_else(|| self.expected(Some(what)))?;
        self.take();
        Ok(value)
    }

    /// Reads a time if one comes next.
    pub(super) fn eat_time(&mut self) -> Option<Duration> {
        let time = time(self.peek()?)?;
        self.take();
        Some(time)
    }

    pub(super) fn time(&mut self) -> Result<Duration, ParseError> {
        self.eat_time().ok_or_else(|| self.expected(Some("a time such as 500ms, 1.5s, 2m, 1h")))
    }

    /// Reads a number if one comes next and this word follows it.
    pub(super) fn eat_count(&mut self, unit: &'static str) -> Result<Option<u64>, ParseError> {
        let Some(count) = self.peek().filter(|text| !text.starts_with('+')).and_then(|text| text.parse().ok()) else {
            self.tried.push("N times");
            return Ok(None);
        };
        self.take();
        self.need(unit)?;
        Ok(Some(count))
    }

    /// The rest of the line as it stands.
    pub(super) fn rest(&mut self) -> Result<String, ParseError> {
        let Some(first) = self.words.get(self.next) else { return Err(self.expected(Some("a text"))) };
        let code = &self.source[..self.source.find('#').unwrap_or(self.source.len())];
        self.next = self.words.len();
        Ok(code[first.start..].trim_end().to_owned())
    }

    pub(super) fn at_end(&self) -> bool {
        self.next == self.words.len()
    }

    /// Nothing more may come.
    pub(super) fn end(&self) -> Result<(), ParseError> {
        if self.at_end() { Ok(()) } else { Err(self.expected(Some("the end of the line"))) }
    }

    /// The error for what comes next.
    pub(super) fn expected(&self, what: Option<&str>) -> ParseError {
        let mut wanted: Vec<String> = self.tried.iter().map(|word| format!("{word:?}")).collect();
        wanted.extend(what.map(str::to_owned));
        let last = wanted.pop().unwrap_or_default();
        let wanted = if wanted.is_empty() { last } else { format!("{} or {last}", wanted.join(", ")) };
        let found = self.peek().map_or_else(|| "the end of the line".to_owned(), |word| format!("{word:?}"));
        self.fail_at(self.next, format!("expected {wanted}, found {found}"))
    }

    /// An error at a word, counted from 0.
    pub(super) fn fail_at(&self, word: usize, message: String) -> ParseError {
        let start = self
            .words
            .get(word)
            .map_or_else(|| self.words.last().map_or(0, |last| last.start + last.text.len()), |word| word.start);
        let column = self.source[..start].chars().count() + 1;
        ParseError { line: self.line, column, message, source: self.source.to_owned() }
    }
}

/// Longest time that can be written, 136 years: a clock still says when it is over.
const LONGEST: Duration = Duration::from_secs(u32::MAX as u64);

/// Reads `500ms`, `1.5s`, `2m`, `1h`.
fn time(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let seconds = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return None,
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok().filter(|time| *time <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, milliseconds) in [("500ms", 500), ("1.5s", 1500), ("2m", 120_000), ("1h", 3_600_000), ("0s", 0)] {
            assert_eq!(time(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in
            ["", "5", "ms", "-1s", "+1s", "1d", "1e3s", "infs", "1.2.3s", "99999999999999999999h", "5000000000000000h"]
        {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
