//! The text of a cluster file, and complaints that show the place in it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::exit_code::ExitCode;
use crate::failure::{Failure, reason};

/// A file and its text.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn read(path: &Path) -> Result<Source, Failure> {
        match std::fs::read_to_string(path) {
            Ok(text) => Ok(Source { path: path.to_owned(), text }),
            Err(error) => {
                let path = path.display().to_string();
                Err(Failure::new(format!("cannot read the cluster file {path:?}: {}", reason(&error))))
            }
        }
    }

    /// The directory that relative paths in the file start from.
    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// A complaint about what stands at these bytes: line, column, and the line with a mark under it.
    pub(crate) fn complain(&self, place: Range<usize>, what: &str) -> Failure {
        let start = floor(&self.text, place.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |feed| feed + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |feed| start + feed);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let number = self.text[..line_start].matches('\n').count() + 1;
        let before = self.text[line_start..start].chars().count();
        let marked = self.text[start..floor(&self.text, place.end.clamp(start, line_end))].chars().count().max(1);
        let margin = " ".repeat(number.to_string().len());
        Failure {
            code: ExitCode::Usage,
            message: format!(
                "{}:{number}:{}: {what}\n{margin} |\n{number} | {}\n{margin} | {}{}",
                self.path.display(),
                before + 1,
                line.replace('\t', " "),
                " ".repeat(before),
                "^".repeat(marked)
            ),
        }
    }
}

/// The start of the character that byte `at` is part of.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str, place: Range<usize>) -> String {
        let source = Source { path: "c.toml".into(), text: text.to_owned() };
        source.complain(place, "wrong").message
    }

    #[test]
    fn the_place_is_shown() {
        assert_eq!(complaint("a = 1\nbé = \"x\"\n", 12..15), "c.toml:2:6: wrong\n  |\n2 | bé = \"x\"\n  |      ^^^");
        assert_eq!(complaint("\ta", 1..2), "c.toml:1:2: wrong\n  |\n1 |  a\n  |  ^");
    }

    #[test]
    fn places_at_and_beyond_the_edges() {
        for (text, place) in [("", 0..0), ("", 5..9), ("a", 1..1), ("a\n", 2..2), ("é", 1..1), ("a\nb", 0..3)] {
            assert!(complaint(text, place.clone()).contains('^'), "{text:?} {place:?}");
        }
    }
}
