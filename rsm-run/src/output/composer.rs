//! The order of what goes to one output: tags before lines of nodes, lines of our own between them.

use std::sync::Arc;

use super::lines::LineEnd;

/// What stands before the lines of each process.
pub(crate) type Tags = Arc<[String]>;

/// Composes the text of one output from the lines of many processes.
pub(crate) struct Composer {
    tags: Option<Tags>,
    end: LineEnd,
    state: State,
}

/// How the text so far ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// With the end of a line.
    Clean,
    /// With a carriage return of this process, which a line feed may follow.
    Returned(usize),
    /// In the middle of a line of this process: the last of a stream and without its end, or a piece of an endless one.
    Open(usize),
}

impl Composer {
    pub(crate) fn new(tags: Option<Tags>, end: LineEnd) -> Composer {
        Composer { tags, end, state: State::Clean }
    }

    /// Appends lines of the process with this index.
    pub(crate) fn lines(&mut self, text: &mut Vec<u8>, process: usize, lines: &[u8]) {
        let Some(tags) = self.tags.clone() else {
            text.extend_from_slice(lines);
            self.state = self.state_after(lines, process);
            return;
        };
        let mut rest = lines;
        while !rest.is_empty() {
            let (line, behind) = rest.split_at(self.line_length(rest));
            if !self.continues(process, line) {
                self.close_line(text);
                text.extend_from_slice(tags[process].as_bytes());
            }
            text.extend_from_slice(line);
            self.state = self.state_after(line, process);
            rest = behind;
        }
    }

    /// A stream of a process has ended. With tags every line gets an end, this one too.
    pub(crate) fn end(&mut self, text: &mut Vec<u8>, process: usize) {
        if self.tags.is_some() && self.state == State::Open(process) {
            self.close_line(text);
        }
    }

    /// Appends a line of our own, which never becomes part of a node's.
    pub(crate) fn say(&mut self, text: &mut Vec<u8>, line: &str) {
        self.close_line(text);
        text.extend_from_slice(line.as_bytes());
        text.push(b'\n');
    }

    fn close_line(&mut self, text: &mut Vec<u8>) {
        if matches!(self.state, State::Open(_)) {
            text.push(b'\n');
        }
        self.state = State::Clean;
    }

    /// Whether this belongs to the line that the text ends with.
    fn continues(&self, process: usize, line: &[u8]) -> bool {
        match self.state {
            State::Open(writer) => writer == process,
            State::Returned(writer) => writer == process && line == b"\n",
            State::Clean => false,
        }
    }

    /// Length of the first line with its end; a carriage return and the line feed after it are one end.
    fn line_length(&self, lines: &[u8]) -> usize {
        match lines.iter().position(|&byte| self.end.is(byte)) {
            Some(end) if lines[end..].starts_with(b"\r\n") => end + 2,
            Some(end) => end + 1,
            None => lines.len(),
        }
    }

    fn state_after(&self, lines: &[u8], process: usize) -> State {
        match lines.last() {
            None => self.state,
            Some(b'\n') => State::Clean,
            Some(&byte) if self.end.is(byte) => State::Returned(process),
            Some(_) => State::Open(process),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn composed(tag: bool, end: LineEnd, compose: impl FnOnce(&mut Composer, &mut Vec<u8>)) -> String {
        let mut text = Vec::new();
        let tags = tag.then(|| (0..20).map(|node| format!("[{node}] ")).collect());
        compose(&mut Composer::new(tags, end), &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn tags() {
        let text = composed(true, LineEnd::Feed, |composer, text| {
            composer.lines(text, 1, b"a\r\n\nb\n");
            composer.lines(text, 12, b"c\rd\n");
        });
        assert_eq!(text, "[1] a\r\n[1] \n[1] b\n[12] c\rd\n");
    }

    #[test]
    fn tags_on_a_terminal_go_before_each_state_of_a_progress_line() {
        let text = composed(true, LineEnd::FeedOrReturn, |composer, text| {
            composer.lines(text, 1, b"10%\r20%\r\n");
            composer.lines(text, 1, b"30%\r");
            composer.lines(text, 1, b"\n");
        });
        assert_eq!(text, "[1] 10%\r[1] 20%\r\n[1] 30%\r\n");
    }

    #[test]
    fn open_lines_are_closed_before_others_speak_when_tagged() {
        let compose = |composer: &mut Composer, text: &mut Vec<u8>| {
            composer.lines(text, 1, b"piece,");
            composer.lines(text, 1, b" more,");
            composer.lines(text, 2, b"x\n");
            composer.lines(text, 1, b" last");
            composer.end(text, 1);
            composer.end(text, 2);
        };
        assert_eq!(composed(true, LineEnd::Feed, compose), "[1] piece, more,\n[2] x\n[1]  last\n");
        assert_eq!(composed(false, LineEnd::Feed, compose), "piece, more,x\n last", "untagged bytes are not changed");
    }

    #[test]
    fn our_own_lines_start_on_a_line_of_their_own() {
        let text = composed(false, LineEnd::Feed, |composer, text| {
            composer.lines(text, 1, b"no end");
            composer.say(text, "ours");
            composer.say(text, "ours too");
        });
        assert_eq!(text, "no end\nours\nours too\n");
    }
}
