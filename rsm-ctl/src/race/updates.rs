//! Atomic updates of another node's memory over a mapping: no races, but a find under a profile of hardware that carries none.

use rsm::lens::Profile;
use rsm_run::races::Race;

use super::named;
use crate::number::counted;
use crate::places::Caller;

/// What would do.
pub(super) const INSTEAD: &str =
    "Give each node a word of its own, which the owner adds up, or have the owner update it when it is signalled";

/// What is said of one: a line, and what would do.
pub(super) fn text(race: &Race, caller: &Caller, profile: Option<Profile>) -> String {
    let ((node, id), by, times) = (race.segment, &race.first, race.times);
    let (function, place) = named(caller);
    let hardware = profile.map_or_else(|| "the hardware".to_owned(), |profile| format!("the hardware of {profile}"));
    let often = if times > 1 { format!(" ({times} times)") } else { String::new() };
    format!(
        "rsm-ctl: atomic update: {id:#x} of node {node}, [{},+{}), over a mapping of node {} (pid {})  {function}  {place}{often}: \
         {hardware} carries none. {INSTEAD}\n",
        race.offset, race.length, by.node, by.pid
    )
}

/// What the last line says of so many.
pub(super) fn count(updates: usize) -> String {
    match updates {
        0 => String::new(),
        1 => "; 1 atomic update that is not carried".to_owned(),
        count => format!("; {} that are not carried", counted(count as u64, "atomic update", "atomic updates")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_run::races::{Access, Reason};

    #[test]
    fn an_update_is_told_on_one_line() {
        let access = Access {
            node: 1,
            pid: 77,
            writes: true,
            is_word: true,
            through_import: true,
            frames: Vec::new(),
            between: None,
        };
        let (first, second, modules) = (access.clone(), access, Vec::new());
        let race = Race {
            segment: (2, 0x40_0000),
            offset: 8,
            length: 8,
            first,
            second,
            reason: Reason::Update,
            times: 3,
            modules,
        };
        let place = Some("count.c:21".to_owned());
        let caller = Caller { api: None, function: Some("add_one".to_owned()), place, key: Vec::new() };
        let told = text(&race, &caller, Some(Profile::IntelNtb));
        assert_eq!(told.matches('\n').count(), 1);
        let says = "rsm-ctl: atomic update: 0x400000 of node 2, [8,+8), over a mapping of node 1 (pid 77)  add_one  count.c:21 \
                    (3 times): the hardware of intel-ntb carries none. ";
        assert!(told.starts_with(says), "{told}");
        assert_eq!([count(0), count(1)], ["", "; 1 atomic update that is not carried"]);
    }
}
