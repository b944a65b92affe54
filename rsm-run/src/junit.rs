//! The report that build servers read: a test case for each process.
//!
//! The file is emptied when the run starts, so that nobody takes the report of an earlier one for this one's, and written
//! when it ends, however it does. Where it is one of our own outputs (`/dev/stdout`), the report comes after everything that
//! nodes wrote there.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::fstat;
use rustix::stdio::{stderr, stdout};

use crate::account::Account;
use crate::descriptor;
use crate::failure::{Failure, reason};
use crate::output::Output;
use crate::summary::LastLines;
use crate::supervision::Blame;
use crate::task::Task;

/// The file of a report.
pub struct Report {
    path: PathBuf,
    place: Place,
    /// What the suite is called in it.
    name: String,
}

/// Where it goes.
enum Place {
    File(File),
    /// An output of ours, opened at the end only: the warden is not to keep its reader waiting.
    Own(BorrowedFd<'static>),
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
    /// Makes the file, or empties it. The suite is called the same in every run of the same programs, so that a build
    /// server knows it again.
    pub fn create(path: &Path, name: String) -> Result<Report, Failure> {
        let own = [stdout(), stderr()].into_iter().find(|&own| leads_to(path, own));
        let place = match own {
            Some(own) => Place::Own(own),
            None => Place::File(File::create(path).map_err(|error| cannot_write(path, &error))?),
        };
        Ok(Report { path: path.to_owned(), place, name })
    }

    /// With another name, as more is known.
    pub fn named(self, name: String) -> Report {
        Report { name, ..self }
    }

    /// Writes how the run went.
    pub(crate) fn write(self, tasks: &[Task], account: &Account, written: &impl LastLines) -> Result<(), Failure> {
        let text = text(&self.name, tasks, account, written);
        self.put(&text)
    }

    /// Writes that nothing could be started.
    pub fn write_refusal(self, why: &str) -> Result<(), Failure> {
        let mut text = head(&self.name, 1, 0, 1, 0, Duration::ZERO);
        let _ = writeln!(text, "    <testcase classname=\"rsm-ctl\" name=\"start\" time=\"0.000\">");
        let _ = writeln!(text, "      <error type=\"start\" message=\"{}\"/>", escaped(why));
        text.push_str("    </testcase>\n  </testsuite>\n</testsuites>\n");
        self.put(&text)
    }

    fn put(self, text: &str) -> Result<(), Failure> {
        written(self.place, text).map_err(|error| cannot_write(&self.path, &error))
    }
}

fn written(place: Place, text: &str) -> io::Result<()> {
    let mut file = match place {
        Place::File(file) => file,
        Place::Own(own) => own.try_clone_to_owned()?.into(),
    };
    file.write_all(text.as_bytes())?;
    // Some file systems say only now that they did not keep it.
    descriptor::close(file)
}

/// Whether a path names what one of our outputs leads to.
fn leads_to(path: &Path, own: BorrowedFd<'_>) -> bool {
    let (Ok(there), Ok(here)) = (fs::metadata(path), fstat(own)) else { return false };
    (there.dev(), there.ino()) == (here.st_dev, here.st_ino)
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write the report {:?}: {}", path.display().to_string(), reason(error)))
}

fn text(name: &str, tasks: &[Task], account: &Account, written: &impl LastLines) -> String {
    let outcomes: Vec<Outcome> = (0..tasks.len()).map(|index| outcome(account, index, tasks[index].node)).collect();
    let count = |wanted: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| wanted(outcome)).count();
    // One that went as it should is no case: it is there so that the others show something.
    let script = account.script_failed.iter().count();
    let mut text = head(
        name,
        tasks.len() + script,
        count(|outcome| matches!(outcome, Outcome::Failure(..))),
        count(|outcome| matches!(outcome, Outcome::Error(..))) + script,
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
        for (element, output) in [("system-out", Output::Stdout), ("system-err", Output::Stderr)] {
            let all = written.last_text(index, output);
            if !all.is_empty() {
                let _ = writeln!(text, "      <{element}>{}</{element}>", escaped(&all));
            }
        }
        text.push_str("    </testcase>\n");
    }
    if let Some(why) = &account.script_failed {
        let time = account.elapsed().as_secs_f64();
        let _ = writeln!(text, "    <testcase classname=\"rsm-ctl\" name=\"script\" time=\"{time:.3}\">");
        let _ = writeln!(text, "      <error type=\"script\" message=\"{}\"/>\n    </testcase>", escaped(why));
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

fn outcome(account: &Account, index: usize, node: u32) -> Outcome {
    let how = account.ends[index].map(|end| end.status.to_string());
    let then = how.as_deref().map(|how| format!("; then it {how}")).unwrap_or_default();
    if account.timed_out.as_ref().is_some_and(|running| running.contains(&index)) {
        let hangs: String =
            account.hangs(index, node).into_iter().flat_map(|hang| ["; it ".to_owned(), hang]).collect();
        return Outcome::Failure("timeout", format!("was still running when the time was up{hangs}{then}"));
    }
    if let Some(why) = &account.refused {
        return Outcome::Error("start", why.clone());
    }
    match account.ends[index].map(|end| end.blame) {
        Some(Blame::Nobody) => Outcome::Passed,
        Some(Blame::Purpose) => Outcome::Skipped(format!("{} on purpose", how.unwrap_or_default())),
        Some(Blame::Cause) => Outcome::Failure("exit", how.unwrap_or_default()),
        Some(Blame::Consequence) => {
            Outcome::Failure("consequence", format!("{} after another process had failed", how.unwrap_or_default()))
        }
        None if account.escaped => {
            Outcome::Error("left", "could not be ended: it has become another user's".to_owned())
        }
        Some(Blame::Asked) if !account.ended(Blame::Cause).is_empty() => {
            Outcome::Skipped(format!("ended by rsm-ctl because another process had failed{then}"))
        }
        Some(Blame::Asked) if account.ended_by.is_some() => {
            let why = account.ended_by.as_deref().unwrap_or_default();
            Outcome::Skipped(format!("ended by rsm-ctl because {why}{then}"))
        }
        Some(Blame::Asked) if account.script_failed.is_some() => {
            Outcome::Skipped(format!("ended by rsm-ctl because its script had failed{then}"))
        }
        Some(Blame::Asked) | None => match (&account.interrupted, &account.cluster_ended) {
            (Some(signal), _) => {
                let signal = crate::signals::name(signal.as_raw());
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
