//! `rsm-ctl trace`: reads what `rsm-ctl run --trace` wrote, and [writes](attach) what a running cluster does.

pub(crate) mod args;
mod attach;

use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use rsm_lab::trace::{Seen, Segment, Story, Writer, text};
use rsm_run::printable;
use rsm_run::verbosity::Verbosity;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;
use args::{AtArgs, ShowArgs, TraceArgs, WhoArgs, Wish};

/// A file that a trace is to be written to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    path: PathBuf,
    format: Format,
}

/// What a trace can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// As it is noted.
    Raw,
    /// A page for a browser.
    Page,
    /// For Perfetto.
    Perfetto,
    /// JSON as Chrome's tracing has it.
    Chrome,
}

impl Format {
    const ALL: [(&'static str, Format); 4] =
        [("rsmtrace", Format::Raw), ("html", Format::Page), ("pftrace", Format::Perfetto), ("json", Format::Chrome)];
}

impl Target {
    /// Reads the name of a file, whose ending says what is to be in it.
    pub(crate) fn parse(name: OsString) -> Result<Target, String> {
        let path = PathBuf::from(name);
        let ending = path.extension().and_then(|ending| ending.to_str());
        match Format::ALL.into_iter().find(|(known, _)| ending == Some(*known)) {
            Some((_, format)) => Ok(Target { path, format }),
            None => {
                let known: Vec<String> = Format::ALL.iter().map(|(known, _)| format!(".{known}")).collect();
                Err(format!("the ending says what is written: {}", known.join(", ")))
            }
        }
    }

    /// Where the run writes what it notes.
    pub(crate) fn raw(&self) -> PathBuf {
        match self.format {
            Format::Raw => self.path.clone(),
            _ => {
                let mut name = self.path.clone().into_os_string();
                name.push(".rsmtrace");
                name.into()
            }
        }
    }

    /// The run is over: what it noted becomes what was asked for. If that fails, the notes stay.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let raw = self.raw();
        if self.format == Format::Raw || !raw.exists() {
            return Ok(());
        }
        self.write(&read(&raw)?)?;
        let _ = std::fs::remove_file(raw);
        Ok(())
    }

    fn write(&self, story: &Story) -> Result<(), Failure> {
        let bytes = match self.format {
            Format::Raw => return Err(Failure::usage("it is a .rsmtrace already")),
            Format::Page => rsm_lab::trace::page(story).into_bytes(),
            Format::Perfetto => rsm_lab::trace::perfetto(story),
            Format::Chrome => rsm_lab::trace::chrome(story).into_bytes(),
        };
        let name = printable::path(&self.path);
        std::fs::write(&self.path, bytes).map_err(|error| Failure::system(&format!("cannot write {name}"), error))
    }
}

/// Does what was asked.
pub(crate) fn perform(args: &TraceArgs, verbosity: Verbosity) -> Result<ExitCode, Failure> {
    let Some(wish) = &args.wish else { return attach::perform(&args.attach, verbosity) };
    match wish {
        Wish::Show(args) => show(args),
        Wish::Who(args) => who(args),
        Wish::At(args) => at(args),
        Wish::Export(args) => {
            let target = Target::parse(args.output.clone().into()).map_err(Failure::usage)?;
            target.write(&read(&args.file)?)?;
            Ok(ExitCode::Success)
        }
    }
}

/// Reads a trace; says what is wrong with it where something of it can be read.
fn read(path: &Path) -> Result<Story, Failure> {
    let name = printable::path(path);
    let bytes = std::fs::read(path).map_err(|error| Failure::system(&format!("cannot read {name}"), error))?;
    let story = Story::read(&bytes).map_err(|why| Failure::new(format!("cannot read {name}: {why}")))?;
    if let Some(wrong) = &story.wrong {
        print::warning(&format!("{name}: {wrong}"));
    }
    Ok(story)
}

fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let story = read(&args.file)?;
    let of_node = |index: &usize| args.node.is_none_or(|node| story.process_of(*index).node == node);
    let mut lines = text::beginning(&story).map_or_else(String::new, |beginning| format!("        {beginning}\n"));
    for index in (0..story.happenings.len()).filter(of_node) {
        let _ = writeln!(lines, "{}", text::line(&story, index));
    }
    print::answer(&lines)
}

/// The index of the event with a number.
fn index(story: &Story, event: Option<usize>) -> Result<Option<usize>, Failure> {
    let Some(number) = event else { return Ok(None) };
    let count = story.happenings.len();
    match number.checked_sub(1).filter(|index| *index < count) {
        Some(index) => Ok(Some(index)),
        None if count == 0 => Err(Failure::usage(format!("there is no event {number}: the trace has none"))),
        None => Err(Failure::usage(format!("there is no event {number}: the trace has 1 to {count}"))),
    }
}

/// When an event was over; without one, the end of the trace.
fn time(story: &Story, event: Option<usize>) -> u64 {
    event.map_or_else(|| story.end(), |index| story.end_of(index))
}

/// What is to be told of how old the bytes are; nothing where they are those of then.
fn age(story: &Story, segment: Segment, event: Option<usize>) -> Result<Option<String>, Failure> {
    let seen = story.seen(segment, event).map_err(Failure::new)?;
    let next = if let Seen::Before(time) = seen { story.after(time) } else { None };
    Ok(age_of(seen, next, event, story.beginning.late))
}

/// The same, where that event is the first one that began after it was last seen.
fn age_of(seen: Seen, next: Option<usize>, event: Option<usize>, late: bool) -> Option<String> {
    let asked = event.map_or_else(|| "the trace ends later".to_owned(), |index| format!("{} ended later", index + 1));
    let unknown = "what was stored since, by the owner or through mappings, is not known";
    let older = if late { "what it held when the trace began, in the middle, and " } else { "" };
    match seen {
        Seen::Then => None,
        Seen::Never => Some(format!("the segment had not been looked at by then: {older}{unknown}")),
        Seen::Before(_) => Some(match next {
            Some(index) if event == Some(index) => {
                format!("the segment was last seen before event {}: {unknown}", index + 1)
            }
            Some(index) => format!("the segment was last seen before event {}, and {asked}: {unknown}", index + 1),
            // There may be no event at all.
            None => format!(
                "the segment was last seen when all events that are in the trace had begun, and {asked}: {unknown}"
            ),
        }),
    }
}

fn who(args: &WhoArgs) -> Result<ExitCode, Failure> {
    let story = read(&args.file)?;
    let (segment, offset) = args.byte;
    let asked = index(&story, args.at)?;
    let writer = story.who(segment, offset, time(&story, asked)).map_err(Failure::new)?;
    let event = |index: Option<usize>| index.map_or("the end".to_owned(), |index| text::line(&story, index));
    let told = match writer {
        Writer::Nobody if story.beginning.bytes => {
            "nobody: it is what it was when the segment was created\n".to_owned()
        }
        Writer::Before if story.beginning.bytes => {
            "nobody since the trace began, in the middle, as far as was seen\n".to_owned()
        }
        Writer::Nobody | Writer::Before if story.beginning.late => {
            "no put since the trace began, in the middle; what else there was is not in it\n".to_owned()
        }
        Writer::Nobody | Writer::Before => {
            "no put; what else there was is not in a trace without bytes (--trace-bytes)\n".to_owned()
        }
        Writer::Put(index) => {
            let closed = text::closed(&story, index).map_or_else(String::new, |closed| format!(", {closed}"));
            format!("{}{closed}\n", text::line(&story, index))
        }
        Writer::Store(after, before) => {
            let writers = text::storers(&story, after);
            let (first, second) = (event(story.before(after)), event(story.after(before)));
            format!("{writers}, between\n{first}\nand\n{second}\n")
        }
    };
    let age = if story.beginning.bytes { age(&story, segment, asked)? } else { None };
    print::answer(&(told + &age.map_or_else(String::new, |age| age + "\n")))
}

fn at(args: &AtArgs) -> Result<ExitCode, Failure> {
    let story = read(&args.file)?;
    let (segment, offset) = args.place;
    let asked = index(&story, args.at)?;
    let bytes = story.bytes_at(segment, time(&story, asked)).map_err(Failure::new)?;
    let start = usize::try_from(offset).ok().filter(|start| *start <= bytes.len());
    let start = start.ok_or_else(|| Failure::usage(format!("the segment has {} bytes", bytes.len())))?;
    let most = args.length.unwrap_or(if args.output.is_some() { usize::MAX } else { 256 });
    if let Some(age) = age(&story, segment, asked)? {
        print::warning(&age);
    }
    let shown = &bytes[start..start.saturating_add(most).min(bytes.len())];
    match &args.output {
        Some(path) => {
            let name = printable::path(path);
            std::fs::write(path, shown).map_err(|error| Failure::system(&format!("cannot write {name}"), error))?;
            Ok(ExitCode::Success)
        }
        None => print::answer(&text::dump(start, shown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_old_bytes_are_is_told() {
        let told = |next, event| age_of(Seen::Before(5), next, event, true).unwrap();
        let unknown = "what was stored since, by the owner or through mappings, is not known";
        for (next, event, says) in [
            (Some(8), Some(8), "before event 9"),
            (Some(8), Some(11), "before event 9, and 12 ended later"),
            (Some(8), None, "before event 9, and the trace ends later"),
            (None, Some(11), "when all events that are in the trace had begun, and 12 ended later"),
            (None, None, "when all events that are in the trace had begun, and the trace ends later"),
        ] {
            assert_eq!(told(next, event), format!("the segment was last seen {says}: {unknown}"));
        }
        assert_eq!(age_of(Seen::Then, None, None, true), None);
    }
}
