//! Memory that belongs to the library, and who writes there.

use crate::spots::{Spots, Written};
use loom::thread;
use rsm_core::explore::explore_less;
use std::sync::Arc;

static ONE: u8 = 1;
static TWO: u8 = 2;

/// Bytes of a source.
const LENGTH: usize = 16;

/// A source comes, and then another one in its place, while a store hits whatever is there.
///
/// Mutations: `spots_look_unfenced`, `spots_change_unfenced`, `spots_number_unreleased`, `spots_number_relaxed`.
#[test]
fn a_source_is_found_whole() {
    explore_less(1, || {
        let spots = Arc::new(Spots::new());
        let to_hit = Arc::clone(&spots);
        let stores = thread::spawn(move || {
            for hit in to_hit.hits(1, 0, usize::MAX) {
                let found = (std::ptr::from_ref(&ONE) == hit.whose, hit.from, hit.to);
                assert!([(true, 0, LENGTH), (false, 0, 2 * LENGTH)].contains(&found), "{found:?}");
                assert!(!hit.whose.is_null());
            }
        });
        spots.put(0, 1, 4096, 4096 + LENGTH, &ONE);
        spots.put(0, 2, 8192, 8192 + 2 * LENGTH, &TWO);
        stores.join().unwrap();
    });
}

/// A store hits a source that is over before it is noted, while two places of the program write to the one that has come since: of that
/// one nothing is noted but what was written there, by each for itself, and the first note stays.
///
/// Mutations: `spots_late_takes`, `spots_late_covers`.
#[test]
fn what_comes_late_takes_nothing() {
    explore_less(1, || {
        let spots = Arc::new(Spots::new());
        spots.put(0, 1, 4096, 4096 + LENGTH, &ONE);
        let late = Arc::clone(&spots);
        let late = thread::spawn(move || late.hits(1, 4096, 4098).for_each(|hit| hit.note(3, 7)));
        let write = |from: usize, site| {
            spots.hits(1, 4096 + from, 4096 + from + 1).for_each(|hit| hit.note(3, site));
        };
        spots.put(0, 2, 4096, 4096 + LENGTH, &TWO);
        write(4, 1);
        write(12, 2);
        late.join().unwrap();
        // It may have hit the new one.
        let mut known = spots.written(0, 2);
        let wrote = |site, from, to| Written { process: 3, site, from, to };
        let note = known.next().expect("somebody is known to have written");
        assert!([wrote(1, 4, 5), wrote(7, 0, 2)].contains(&note), "{note:?}");
    });
}
