//! Races of which one place is no call: what an owner has stored into its own memory, somewhere between two.

use std::fmt::Write;

use rsm_run::races::{Access, Race};

use super::{end, line};
use crate::places::{Caller, Places};

/// The calls between which an access was made, where it is none itself.
pub(super) type Time = Option<(Caller, Caller)>;

/// Those of the two accesses of a race.
pub(super) fn times(places: &mut Places, race: &Race) -> [Time; 2] {
    [&race.first, &race.second].map(|access| {
        let (from, to) = access.between.as_ref()?;
        let [from, to] = [from, to].map(|frames| places.caller_in(frames, &race.modules));
        Some((from, to))
    })
}

/// The two ends of one.
pub(super) fn ends(time: &Time) -> impl Iterator<Item = &Caller> {
    time.iter().flat_map(|(from, to)| [from, to])
}

/// The text of such a race.
pub(super) fn text(race: &Race, callers: &[Caller; 2], times: &[Time; 2]) -> String {
    let (node, id) = race.segment;
    let mut text =
        format!("rsm-ctl: race: {id:#x} of node {node}, [{},+{}): nothing orders\n", race.offset, race.length);
    for ((access, caller), time) in [&race.first, &race.second].into_iter().zip(callers).zip(times) {
        match time {
            Some(time) => stored(&mut text, access, time, pages(race)),
            None => line(&mut text, access, caller, ""),
        }
    }
    let (owner, putter) = match times {
        [Some(_), _] => (race.first.node, race.second.node),
        _ => (race.second.node, race.first.node),
    };
    let why = match times {
        [Some(_), _] => format!(
            "node {owner} told node {putter} nothing after that: before node {putter} puts there it has to wait for a \
             signal or a word that says so"
        ),
        _ => format!(
            "node {owner} stored there before anything of the put had come, and told node {putter} nothing of it before: which \
             of the two comes last is left to chance. One has to wait for a signal or a word of the other"
        ),
    };
    end(&mut text, race, &why);
    text
}

/// The pages that a race is in, as bytes of the segment: first and end.
fn pages(race: &Race) -> (u64, u64) {
    let page = rustix::param::page_size() as u64;
    let last = race.offset + race.length.max(1) - 1;
    (race.offset / page * page, (last / page + 1) * page)
}

fn stored(text: &mut String, access: &Access, (from, to): &(Caller, Caller), (first, last): (u64, u64)) {
    let Access { node, pid, .. } = access;
    let _ = writeln!(
        text,
        "    stored by node {node} (pid {pid})  somewhere in page [{first},+{}), between its {} and its {}",
        last - first,
        call(from),
        call(to)
    );
}

/// A call, and where it was made.
fn call(caller: &Caller) -> String {
    let name = caller.api.as_deref().unwrap_or("call");
    format!("{name} at {}", caller.place.as_deref().unwrap_or("a place that is not known"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_run::races::Reason;

    #[test]
    fn a_store_is_told_with_its_page_and_the_calls_around_it() {
        let access = |node: u32| Access {
            node,
            pid: 100 + node,
            writes: true,
            is_word: false,
            through_import: node == 1,
            frames: Vec::new(),
            between: None,
        };
        let (owner, putter) = (access(2), access(1));
        let page = rustix::param::page_size() as u64;
        let race = |first: &Access, second: &Access| Race {
            segment: (2, 0x40_0002),
            offset: page + 8,
            length: 64,
            first: first.clone(),
            second: second.clone(),
            reason: Reason::Untold,
            times: 1,
            modules: Vec::new(),
        };
        let caller = |api: &str, place: &str| Caller {
            api: Some(api.to_owned()),
            function: Some("main".to_owned()),
            place: Some(place.to_owned()),
            key: Vec::new(),
        };
        let time = || Some((caller("rsm_intr_signal_wait", "a.c:10"), caller("rsm_memseg_import_put64", "a.c:20")));
        let put = caller("rsm_memseg_import_put", "a.c:30");
        let nobody = Caller { api: None, function: None, place: None, key: Vec::new() };
        let stored = format!(
            "    stored by node 2 (pid 102)  somewhere in page [{page},+{page}), between its rsm_intr_signal_wait at a.c:10 and \
             its rsm_memseg_import_put64 at a.c:20"
        );
        let put_line = "    put   by node 1 (pid 101)  main  a.c:30";
        let callers = [nobody.clone(), put.clone()];
        let first = text(&race(&owner, &putter), &callers, &[time(), None]);
        let lines: Vec<&str> = first.lines().collect();
        assert!(
            lines[0].starts_with("rsm-ctl: race: 0x400002 of node 2, [") && lines[1..3] == [&*stored, put_line],
            "{first}"
        );
        assert!(lines[3].contains("node 2 told node 1 nothing after that"), "{first}");
        let second = text(&race(&putter, &owner), &[put, nobody], &[None, time()]);
        let lines: Vec<&str> = second.lines().collect();
        assert_eq!(lines[1..3], [put_line, &*stored]);
        assert!(lines[3].contains("node 2 stored there before anything of the put had come"), "{second}");
    }
}
