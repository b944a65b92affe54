//! The report that build servers read: a test case for each process.
//!
//! The file is emptied when the run starts, so that nobody takes the report of an earlier one for this one's, and written
//! when it ends, however it does.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::account::Account;
use super::output::Output;
use super::summary::LastLines;
use super::supervision::Blame;
use super::task::Task;
use crate::failure::{Failure, reason};

/// The file of a report.
pub(crate) struct Report {
    path: PathBuf,
    file: File,
}

/// What became of a process, in the words of the format.
enum Outcome {
    Passed,
    /// The process's own fault.
    Failure(&'static str, String),
    /// Something else kept it from ending.
    Error(&'static str, String),
    /// Ended because of another.
    Skipped(String),
}

impl Report {
    /// Makes the file, or empties it.
    pub(crate) fn create(path: &Path) -> Result<Report, Failure> {
        match File::create(path) {
            Ok(file) => Ok(Report { path: path.to_owned(), file }),
            Err(error) => {
                let why = reason(&error);
                Err(Failure::new(format!("cannot write the report {:?}: {why}", path.display().to_string())))
            }
        }
    }

    /// Writes how the run went.
    pub(crate) fn write(self, tasks: &[Task], account: &Account, written: &impl LastLines) -> Result<(), Failure> {
        self.put(&text(tasks, account, written))
    }

    /// Writes that nothing could be started.
    pub(crate) fn write_refusal(self, why: &str) -> Result<(), Failure> {
        let mut text = head("start", 1, 0, 1, 0, Duration::ZERO);
        let _ = writeln!(text, "    <testcase classname=\"rsm-ctl\" name=\"start\" time=\"0.000\">");
        let _ = writeln!(text, "      <error type=\"start\" message=\"{}\"/>", escaped(why));
        text.push_str("    </testcase>\n  </testsuite>\n</testsuites>\n");
        self.put(&text)
    }

    fn put(mut self, text: &str) -> Result<(), Failure> {
        let file = &mut self.file;
        let done = file.rewind().and_then(|()| file.set_len(0)).and_then(|()| file.write_all(text.as_bytes()));
        done.map_err(|error| {
            Failure::new(format!("cannot write the report {:?}: {}", self.path.display().to_string(), reason(&error)))
        })
    }
}

fn text(tasks: &[Task], account: &Account, written: &impl LastLines) -> String {
    let outcomes: Vec<Outcome> = (0..tasks.len()).map(|index| outcome(account, index)).collect();
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    let name = account.cluster.as_deref().unwrap_or("start");
    let mut text = head(
        name,
        tasks.len(),
        count(|outcome| matches!(outcome, Outcome::Failure(..))),
        count(|outcome| matches!(outcome, Outcome::Error(..))),
        count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        account.elapsed(),
    );
    for (index, (task, outcome)) in tasks.iter().zip(&outcomes).enumerate() {
        let after = account.ends[index].map_or_else(|| account.elapsed(), |end| end.after);
        let _ = writeln!(
            text,
            "    <testcase classname=\"{}\" name=\"node {}\" time=\"{:.3}\">",
            escaped(&task.program.name.to_string_lossy()),
            task.label,
            after.as_secs_f64()
        );
        if matches!(outcome, Outcome::Passed) {
            text.push_str("    </testcase>\n");
            continue;
        }
        let errors = written.last_lines(index, Output::Stderr);
        let said = written.last_lines(index, Output::Stdout);
        let last = escaped(&if errors.is_empty() { &said } else { &errors }.join("\n"));
        let _ = match outcome {
            Outcome::Failure(kind, message) => {
                writeln!(text, "      <failure type=\"{kind}\" message=\"{}\">{last}</failure>", escaped(message))
            }
            Outcome::Error(kind, message) => {
                writeln!(text, "      <error type=\"{kind}\" message=\"{}\">{last}</error>", escaped(message))
            }
            Outcome::Skipped(message) => writeln!(text, "      <skipped message=\"{}\"/>", escaped(message)),
            Outcome::Passed => Ok(()),
        };
        for (element, lines) in [("system-out", said), ("system-err", errors)] {
            if !lines.is_empty() {
                let _ = writeln!(text, "      <{element}>{}</{element}>", escaped(&lines.join("\n")));
            }
        }
        text.push_str("    </testcase>\n");
    }
    text.push_str("  </testsuite>\n</testsuites>\n");
    text
}

fn head(name: &str, tests: usize, failures: usize, errors: usize, skipped: usize, time: Duration) -> String {
    let name = escaped(name);
    let numbers = format!("tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\"");
    let time = format!("time=\"{:.3}\"", time.as_secs_f64());
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"rsm-ctl\" {numbers} {time}>\n  \
         <testsuite name=\"{name}\" {numbers} skipped=\"{skipped}\" {time}>\n"
    )
}

fn outcome(account: &Account, index: usize) -> Outcome {
    let how = account.ends[index].map(|end| end.status.to_string());
    let then = how.as_deref().map(|how| format!("; then it {how}")).unwrap_or_default();
    if account.timed_out.as_ref().is_some_and(|running| running.contains(&index)) {
        return Outcome::Failure("timeout", format!("was still running when the time was up{then}"));
    }
    if let Some(why) = &account.refused {
        return Outcome::Error("start", why.clone());
    }
    match account.ends[index].map(|end| end.blame) {
        Some(Blame::Nobody) => Outcome::Passed,
        Some(Blame::Cause) => Outcome::Failure("exit", how.unwrap_or_default()),
        Some(Blame::Consequence) => {
            Outcome::Failure("consequence", format!("{} after another process had failed", how.unwrap_or_default()))
        }
        Some(Blame::Asked) if !account.ended(Blame::Cause).is_empty() => {
            Outcome::Skipped(format!("ended by rsm-ctl because another process had failed{then}"))
        }
        Some(Blame::Asked) | None => match (&account.interrupted, &account.cluster_ended) {
            (Some(signal), _) => {
                let signal = super::signals::name(signal.as_raw());
                Outcome::Error("interrupted", format!("the run was ended by {signal}{then}"))
            }
            (None, Some(why)) => Outcome::Error("cluster", format!("{why}{then}")),
            (None, None) => Outcome::Error("lost", format!("rsm-ctl could not go on{then}")),
        },
    }
}

/// Text as it may stand between tags and in attributes. What XML cannot hold at all is written out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(character),
            '\0'..='\x1f' | '\x7f'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => out.extend(character.escape_default()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_escapes() {
        assert_eq!(
            escaped("a<b>&\"c\"\n\x1b[1m\0\u{ffff}é"),
            "a&lt;b&gt;&amp;&quot;c&quot;\n\\u{1b}[1m\\u{0}\\u{ffff}é"
        );
    }
}
