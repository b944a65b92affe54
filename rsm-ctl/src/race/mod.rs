//! Races of a run: what is said of them, and which are left out.

mod pages;
mod shmem;
mod suppressed;
mod updates;

use std::fmt::Write;
use std::path::Path;

use rsm::lens::{Lens, Profile};
use rsm_run::races::{Access, Looked, Race, Reason};
use rsm_run::verbosity::Verbosity;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::number::counted;
use crate::places::{Caller, Places};
use suppressed::Suppressed;

/// Ends a report of races that something may order of which nothing is known.
const OUTSIDE: &str = "rsm-ctl: what files, pipes or sockets order is not known: --race=outside counts it, \
                       RSM_ANNOTATE_HAPPENS_BEFORE says it\n";

/// How a run looks for races, and which it does not tell of.
#[derive(Debug, Default)]
pub(crate) struct Looking {
    suppressed: Suppressed,
    /// What nodes tell each other beside the RSMAPI is known.
    outside: bool,
    /// Which hardware is meant.
    profile: Option<Profile>,
}

impl Looking {
    /// As a command line asks for it, if it does: without those that a file says nobody wants to hear of.
    pub(crate) fn asked(is_asked: bool, suppressions: Option<&Path>) -> Result<Looking, Failure> {
        let suppressions = suppressions.filter(|_| is_asked);
        let suppressed = suppressions.map(Suppressed::read).transpose()?.unwrap_or_default();
        Ok(Looking { suppressed, ..Looking::default() })
    }

    /// The same in a cluster with this lens.
    pub(crate) fn through(self, lens: Option<Lens>) -> Looking {
        let (outside, profile) = (lens.is_some_and(|lens| lens.race_outside), lens.and_then(|lens| lens.profile));
        Looking { outside, profile, ..self }
    }
}

/// Says which races were found; answers what the run ends with, which would end with this code.
pub(crate) fn judge(
    looked: &Looked,
    Looking { suppressed, outside, profile }: &Looking,
    verbosity: Verbosity,
    code: ExitCode,
) -> ExitCode {
    let mut places = Places::new();
    let callers = |places: &mut Places, race: &Race| {
        [&race.first, &race.second].map(|access| places.caller_in(&access.frames, &race.modules))
    };
    let told: Vec<(&Race, [Caller; 2], [pages::Time; 2])> = looked
        .races
        .iter()
        .map(|race| (race, callers(&mut places, race), pages::times(&mut places, race)))
        .filter(|(_, callers, times)| {
            !callers.iter().chain(times.iter().flat_map(pages::ends)).any(|caller| suppressed.has(caller))
        })
        .collect();
    let mut variables = shmem::Variables::default();
    for (race, callers, times) in &told {
        let text = match times {
            _ if race.reason == Reason::Update => updates::text(race, &callers[0], *profile),
            [None, None] if shmem::is_one(race, callers) => text_of_pes(race, callers, &mut variables),
            [None, None] => text(race, callers),
            _ => pages::text(race, callers, times),
        };
        eprint!("{text}");
    }
    if verbosity > Verbosity::Quiet {
        let updates = told.iter().filter(|(race, ..)| race.reason == Reason::Update).count();
        eprint!("{}", summary(looked, told.len() - updates, updates));
        if !outside && told.iter().any(|(race, ..)| may_be_ordered(race)) {
            eprint!("{OUTSIDE}");
        }
    }
    match code {
        ExitCode::Success | ExitCode::Node(_) if !told.is_empty() => ExitCode::Found,
        code => code,
    }
}

/// Whether something beside the RSMAPI may order the two. It orders what nodes do, and no part of what is still on its way; what
/// a process does by itself it does not have to be told.
fn may_be_ordered(race: &Race) -> bool {
    let process = |access: &Access| (access.node, access.pid);
    matches!(race.reason, Reason::Untold | Reason::Unseen) && process(&race.first) != process(&race.second)
}

/// What was found, how it was looked for, and what kept it from being found.
fn summary(looked: &Looked, told: usize, updates: usize) -> String {
    let suppressed = looked.races.len() - told - updates;
    let pages = if looked.by_pages > 0 { " and pages of their own memory" } else { "" };
    let mut text = match told {
        0 => "rsm-ctl: no races found".to_owned(),
        count => format!("rsm-ctl: {} found", counted(count as u64, "race", "races")),
    };
    let _ = match (looked.by_calls, looked.whole) {
        (0, 0) => write!(text, ": no process has joined"),
        (calls, 0) => write!(text, " between the calls of {}{pages}", counted(calls, "process", "processes")),
        (0, whole) => write!(text, ", with all that {} did with segments", counted(whole, "process", "processes")),
        (calls, whole) => write!(
            text,
            " between the calls of {}{pages}, and all that {} did with segments",
            counted(calls, "process", "processes"),
            counted(whole, "process", "processes")
        ),
    };
    text += &updates::count(updates);
    if suppressed > 0 {
        let _ = write!(text, "; {suppressed} left out");
    }
    text.push('\n');
    for lack in &looked.lacks {
        let _ = writeln!(text, "rsm-ctl: some may be missing: {lack}");
    }
    text
}

/// A race: both accesses, what orders them not, and what would.
fn text(race: &Race, [first, second]: &[Caller; 2]) -> String {
    let (node, id) = race.segment;
    let (one, other) = (race.first.node, race.second.node);
    let mut text =
        format!("rsm-ctl: race: {id:#x} of node {node}, [{},+{}): nothing orders\n", race.offset, race.length);
    let open =
        if matches!(race.reason, Reason::Open | Reason::Source) { "  in a span that was still open" } else { "" };
    line(&mut text, &race.first, first, open);
    line(&mut text, &race.second, second, "");
    let are_threads = (race.first.node, race.first.pid) == (race.second.node, race.second.pid);
    let why = match race.reason {
        Reason::Source => "the memory from which the one puts belongs to the library until the end of the span, and the other \
             changes it before: what arrives is the one or the other. Close the span first, or change other memory"
            .to_owned(),
        Reason::Open if are_threads => "both are threads of one process, and neither comes after what the other has put has \
             arrived: the end of the span has to come before a thread gives a lock back, or otherwise lets the other go on"
            .to_owned(),
        Reason::Update => updates::INSTEAD.to_owned(),
        _ if are_threads => "both are threads of one process, and nothing lets one come after the other: a lock that both \
             take, or waiting for the end of the other"
            .to_owned(),
        Reason::Open => format!(
            "before node {one} tells node {other} of it has to come the end of the span, or an order barrier if it tells it by a \
             word through the same import"
        ),
        // What it put itself, and has to arrive.
        Reason::Untold if race.first.writes && race.first.through_import => format!(
            "node {other} was told of nothing that node {one} did after it. After it has to come the end of the span and then a \
             signal or a word that says so, or an order barrier and then a word through the same import; and node {other} has \
             to wait for that"
        ),
        Reason::Untold if race.first.writes => format!(
            "node {other} was told of nothing that node {one} did after it: a signal or a word that says so has to come after \
             it, and node {other} has to wait for that"
        ),
        Reason::Untold => {
            format!("node {one} has to tell node {other} that it has read this before node {other} writes there again")
        }
        Reason::Unseen => format!(
            "both store to a word, and node {other} had not seen what node {one} stored there: one of two values is \
             lost. Take turns, or give each node a word of its own"
        ),
    };
    end(&mut text, race, &why);
    text
}

/// The same of an OpenSHMEM program.
fn text_of_pes(race: &Race, [first, second]: &[Caller; 2], variables: &mut shmem::Variables) -> String {
    let mut text = format!("rsm-ctl: race: {}: nothing orders\n", shmem::memory(race, variables));
    for (access, caller) in [(&race.first, first), (&race.second, second)] {
        let what = caller.api.as_deref().unwrap_or_else(|| what(access, caller));
        let (function, place) = named(caller);
        let _ = writeln!(text, "    {what} by PE {} (pid {})  {function}  {place}", shmem::pe(access.node), access.pid);
    }
    end(&mut text, race, &shmem::why(race));
    text
}

fn end(text: &mut String, race: &Race, why: &str) {
    let _ = writeln!(text, "  {why}");
    if race.times > 1 {
        let _ = writeln!(text, "  met {} times", race.times);
    }
}

fn what(access: &Access, caller: &Caller) -> &'static str {
    match (access.writes, access.through_import) {
        (true, true) if caller.is_api() => "put",
        (true, _) if access.is_word => "store",
        (true, _) => "write",
        (false, _) if caller.is_api() => "get",
        (false, _) => "read",
    }
}

/// Function and place.
fn named(caller: &Caller) -> (&str, &str) {
    let function = caller.function.as_deref().unwrap_or("?");
    (function, caller.place.as_deref().unwrap_or("somewhere that is not known"))
}

fn line(text: &mut String, access: &Access, caller: &Caller, more: &str) {
    let what = what(access, caller);
    let (function, place) = named(caller);
    let Access { node, pid, .. } = access;
    let _ = writeln!(text, "    {what:<6}by node {node} (pid {pid})  {function}  {place}{more}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(node: u32, writes: bool) -> Access {
        Access {
            node,
            pid: 100 + node,
            writes,
            is_word: false,
            through_import: writes,
            frames: Vec::new(),
            between: None,
        }
    }

    fn race(reason: Reason) -> Race {
        let (first, second, modules) = (access(1, true), access(2, false), Vec::new());
        Race { segment: (2, 0x40_0002), offset: 0, length: 256, first, second, reason, times: 3, modules }
    }

    fn looked(races: Vec<Race>) -> Looked {
        Looked { races, by_calls: 2, whole: 0, by_pages: 0, lacks: vec!["it was late".to_owned()] }
    }

    #[test]
    fn a_race_is_told_with_both_places() {
        let caller = |api: Option<&str>, place: &str| Caller {
            api: api.map(str::to_owned),
            function: Some("main".to_owned()),
            place: Some(place.to_owned()),
            key: Vec::new(),
        };
        let callers = [caller(Some("rsm_memseg_import_put"), "pipe.c:21"), caller(None, "pipe.c:32")];
        let text = text(&race(Reason::Open), &callers);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "rsm-ctl: race: 0x400002 of node 2, [0,+256): nothing orders");
        assert_eq!(lines[1], "    put   by node 1 (pid 101)  main  pipe.c:21  in a span that was still open");
        assert_eq!(lines[2], "    read  by node 2 (pid 102)  main  pipe.c:32");
        assert!(lines[3].contains("an order barrier") && lines[4].contains("met 3 times"), "{text}");
    }

    /// A put has to arrive first, by either of two ways; what a node stored into its own memory is there.
    #[test]
    fn what_would_order_a_write_is_told_by_how_it_was_made() {
        for (through_import, told) in [
            (
                true,
                "After it has to come the end of the span and then a signal or a word that says so, or an order barrier and then \
                 a word through the same import; and node 2 has to wait for that",
            ),
            (
                false,
                "node 2 was told of nothing that node 1 did after it: a signal or a word that says so has to come after it, and \
                 node 2 has to wait for that",
            ),
        ] {
            let nobody = || Caller { api: None, function: None, place: None, key: Vec::new() };
            let mut race = race(Reason::Untold);
            race.first.through_import = through_import;
            let text = text(&race, &[nobody(), nobody()]);
            assert!(text.contains(told) && text.contains("the end of the span") == through_import, "{text}");
        }
    }

    #[test]
    fn two_threads_of_a_process_are_told_what_orders_threads() {
        for (reason, told) in [(Reason::Untold, "a lock that both take"), (Reason::Open, "the end of the span")] {
            let nobody = || Caller { api: None, function: None, place: None, key: Vec::new() };
            let (mut race, callers) = (race(reason), [nobody(), nobody()]);
            race.second = Access { pid: race.first.pid, ..access(1, true) };
            let text = text(&race, &callers);
            assert!(text.contains("both are threads of one process") && text.contains(told), "{text}");
        }
    }

    #[test]
    fn the_code_is_that_of_a_find() {
        let none = Looking::default();
        let judged = |races, code| judge(&looked(races), &none, Verbosity::Quiet, code);
        assert_eq!(judged(vec![], ExitCode::Success), ExitCode::Success);
        assert_eq!(judged(vec![race(Reason::Untold)], ExitCode::Success), ExitCode::Found);
        assert_eq!(judged(vec![race(Reason::Unseen)], ExitCode::Node(1)), ExitCode::Found);
        assert_eq!(judged(vec![race(Reason::Untold)], ExitCode::TimedOut), ExitCode::TimedOut);
        assert_eq!(judged(vec![race(Reason::Update)], ExitCode::Success), ExitCode::Found, "it is a find as any other");
    }

    #[test]
    fn other_means_are_told_of_only_where_they_may_order() {
        assert!(may_be_ordered(&race(Reason::Untold)) && may_be_ordered(&race(Reason::Unseen)));
        assert!(!may_be_ordered(&race(Reason::Open)), "what was put had not arrived, whoever was told of it");
        assert!(!may_be_ordered(&race(Reason::Source)), "it is one node's own doing");
        let mut threads = race(Reason::Untold);
        threads.second = Access { pid: threads.first.pid, ..access(1, true) };
        assert!(!may_be_ordered(&threads));
        assert_eq!(OUTSIDE.matches('\n').count(), 1);
        assert!(OUTSIDE.len() < 140, "it is one short line");
    }

    fn summary_of_updates() -> String {
        summary(&Looked { lacks: Vec::new(), ..looked(vec![race(Reason::Update); 3]) }, 0, 2)
    }

    #[test]
    fn how_was_looked_is_said() {
        let summary = summary(&looked(vec![race(Reason::Untold); 2]), 1, 0);
        assert_eq!(
            summary,
            "rsm-ctl: 1 race found between the calls of 2 processes; 1 left out\n\
             rsm-ctl: some may be missing: it was late\n"
        );
        let updates = summary_of_updates();
        assert_eq!(
            updates,
            "rsm-ctl: no races found between the calls of 2 processes; 2 atomic updates that are not carried; 1 left out\n"
        );
        let by_pages = Looked { by_pages: 2, lacks: Vec::new(), ..looked(Vec::new()) };
        let text = super::summary(&by_pages, 0, 0);
        assert_eq!(text, "rsm-ctl: no races found between the calls of 2 processes and pages of their own memory\n");
    }
}
