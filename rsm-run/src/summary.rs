//! What is said at the end of a run that failed: who began, who followed, their last lines, what to do next.

use std::fmt::Write;
use std::time::Duration;

use crate::account::{Account, End};
use crate::colour::{Palette, Tone};
use crate::hint;
use crate::output::{Forwarder, Output};
use crate::supervision::Blame;
use crate::task::Task;

/// Most processes of a kind that are shown with their last lines.
const SHOWN: usize = 10;

/// What the processes wrote last.
pub(crate) trait LastLines {
    fn last_lines(&self, process: usize, output: Output) -> Vec<String>;

    /// As much as was kept.
    fn last_text(&self, process: usize, output: Output) -> String;

    /// What that output is called.
    fn name_of(&self, output: Output) -> &'static str {
        output.name()
    }
}

impl LastLines for Forwarder {
    fn last_lines(&self, process: usize, output: Output) -> Vec<String> {
        Forwarder::last_lines(self, process, output)
    }

    fn last_text(&self, process: usize, output: Output) -> String {
        Forwarder::last_text(self, process, output)
    }

    fn name_of(&self, output: Output) -> &'static str {
        Forwarder::name_of(self, output)
    }
}

/// The summary, if it has more to say than the lines before it had.
pub(crate) fn of(tasks: &[Task], account: &Account, written: &impl LastLines, palette: Palette) -> Option<String> {
    let causes = account.ended(Blame::Cause);
    let running = account.timed_out.clone().unwrap_or_default();
    let first = causes.first().map(|(_, end)| end.after).unwrap_or_default();
    let mut details = String::new();
    for (index, end) in causes.iter().take(SHOWN) {
        failed(&mut details, tasks, account, *index, end, None, written, palette);
    }
    if let Some(more @ [_, ..]) = causes.get(SHOWN..) {
        let more: Vec<String> =
            more.iter().map(|(index, end)| format!("{} {}", name(tasks, *index), end.status)).collect();
        let _ = writeln!(details, "  and {} more: {}", more.len(), more.join(", "));
    }
    for &index in running.iter().take(SHOWN) {
        let mut lines = String::new();
        for hang in account.hangs(index, tasks[index].node).into_iter().take(SHOWN) {
            let _ = writeln!(lines, "    it {hang}");
        }
        last_lines(&mut lines, tasks, index, written, palette);
        if !lines.is_empty() {
            let _ = write!(details, "  {} was still running\n{lines}", palette.paint(Tone::Bad, &name(tasks, index)));
        }
    }
    for (index, end) in account.ended(Blame::Consequence).into_iter().take(SHOWN) {
        failed(&mut details, tasks, account, index, &end, Some(end.after.saturating_sub(first)), written, palette);
    }
    let is_news = causes.len() > 1 || details.lines().count() > causes.len();
    if !is_news || (causes.is_empty() && running.is_empty()) {
        return None;
    }
    let mut asked: Vec<usize> = account.ended(Blame::Asked).iter().map(|(index, _)| *index).collect();
    asked.sort_unstable();
    let asked: Vec<&str> = asked.into_iter().map(|index| &*tasks[index].label).collect();
    if !asked.is_empty() && !causes.is_empty() {
        // After, not because of: with --keep-going it was the time-out or Ctrl-C that ended them.
        let ended = format!("  ended by rsm-ctl after that: {} {}", plural("node", asked.len()), asked.join(", "));
        let _ = writeln!(details, "{}", palette.paint(Tone::Faint, &ended));
    }
    let count = causes.len() + account.ended(Blame::Consequence).len();
    let all = tasks.len();
    let head = match count {
        0 => format!("{} of {all} {} did not end in time", running.len(), plural("process", all)),
        count => format!("{count} of {all} {} failed", plural("process", all)),
    };
    Some(format!("rsm-ctl: {}\n{}", palette.paint(Tone::Bad, &head), details.trim_end_matches('\n')))
}

#[expect(clippy::too_many_arguments, reason = "one paragraph of one summary")]
fn failed(
    text: &mut String,
    tasks: &[Task],
    account: &Account,
    index: usize,
    end: &End,
    later: Option<Duration>,
    written: &impl LastLines,
    palette: Palette,
) {
    let (name, status) = (name(tasks, index), end.status);
    let _ = match later {
        None => writeln!(text, "  {} {status} after {}", palette.paint(Tone::Bad, &name), seconds(end.after)),
        Some(later) => writeln!(text, "  afterwards, {} later: {name} {status}", seconds(later)),
    };
    last_lines(text, tasks, index, written, palette);
    if later.is_some() {
        return;
    }
    let stderr = written.last_lines(index, Output::Stderr);
    if let Some(hint) = hint::of(tasks, index, account.processes.get(index).copied(), end, &stderr) {
        let _ = writeln!(text, "    {}", palette.paint(Tone::Good, &hint));
    }
}

/// The last lines of a process: of standard error, or where that has none of standard output. With one process alone
/// they stand right above.
fn last_lines(text: &mut String, tasks: &[Task], index: usize, written: &impl LastLines, palette: Palette) {
    if tasks.len() == 1 {
        return;
    }
    for output in [Output::Stderr, Output::Stdout] {
        let lines = written.last_lines(index, output);
        if !lines.is_empty() {
            let _ = writeln!(text, "    its {} ended with", written.name_of(output));
            for line in lines {
                let _ = writeln!(text, "    {} {line}", palette.paint(Tone::Faint, "|"));
            }
            return;
        }
    }
}

fn name(tasks: &[Task], index: usize) -> String {
    format!("node {}", tasks[index].label)
}

fn plural(word: &str, count: usize) -> String {
    match (count, word) {
        (1, word) => word.to_owned(),
        (_, "process") => "processes".to_owned(),
        (_, word) => format!("{word}s"),
    }
}

/// A time as people say it.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds < 0.1 => format!("{:.0} ms", seconds * 1e3),
        seconds if seconds < 100.0 => format!("{seconds:.1} s"),
        seconds => format!("{:.0} min", seconds / 60.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::ToFront;
    use crate::node_set::NodeSet;
    use crate::program::Program;
    use crate::status::Status;
    use crate::task::{Common, Part, lay_out};

    struct Said(&'static [(usize, &'static str)]);

    impl LastLines for Said {
        fn last_lines(&self, process: usize, output: Output) -> Vec<String> {
            let said = self.0.iter().filter(|(who, _)| *who == process && output == Output::Stderr);
            said.map(|(_, line)| (*line).to_owned()).collect()
        }

        fn last_text(&self, process: usize, output: Output) -> String {
            self.last_lines(process, output).join("\n")
        }
    }

    fn summary(nodes: u32, ends: &[(usize, Status, Blame)], said: &'static [(usize, &'static str)]) -> Option<String> {
        let program = Program { path: "/bin/prog".into(), name: "prog".into(), arguments: Vec::new() };
        let tasks =
            lay_out(nodes, vec![Part::plain(NodeSet::All, program)], &Common::default(), &Common::default()).unwrap();
        let mut account = Account::new(tasks.len());
        for &(index, status, blame) in ends {
            account.note(&ToFront::Ended { index, process: 7, status, core: false, blame });
        }
        of(&tasks, &account, &Said(said), Palette(false))
    }

    #[test]
    fn who_began_comes_first() {
        let ends = [
            (2, Status::Exited(1), Blame::Cause),
            (0, Status::Exited(3), Blame::Consequence),
            (1, Status::Killed(15), Blame::Asked),
        ];
        let text = summary(3, &ends, &[(0, "lost my peer"), (2, "no such file")]).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "rsm-ctl: 2 of 3 processes failed");
        assert!(lines[1].starts_with("  node 3 ended with exit code 1 after "), "{text}");
        assert_eq!(lines[2..4], ["    its standard error ended with", "    | no such file"]);
        assert!(lines[4].ends_with("later: node 1 ended with exit code 3"), "{text}");
        assert_eq!(lines[7], "  ended by rsm-ctl after that: node 2");
    }

    #[test]
    fn nothing_is_said_twice() {
        assert_eq!(summary(2, &[(0, Status::Exited(1), Blame::Cause)], &[]), None);
        assert_eq!(summary(1, &[(0, Status::Exited(1), Blame::Cause)], &[(0, "right above")]), None);
        assert!(summary(1, &[(0, Status::Killed(11), Blame::Cause)], &[]).unwrap().contains("gdb"));
        assert_eq!(summary(2, &[(0, Status::Exited(0), Blame::Nobody)], &[(0, "fine")]), None);
    }
}
