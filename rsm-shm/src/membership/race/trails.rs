//! Where in the program a call was made, from anywhere inside of the library: of what lies inside only the outermost frame counts.
//!
//! As in [`super::place`], what was found by the rules of the unwinder is found again where each return address stands as it
//! stood the last time.
#![allow(unsafe_code)]

use super::Racing;
use crate::caller::{Modules, Stack, stack_word};
use rsm_race::process::Process;
use rsm_race::site::MOST_FRAMES;
use std::cell::RefCell;
use std::ffi::CStr;
use std::ops::Range;
use std::sync::OnceLock;

/// Trails that a thread remembers.
const TRAILS: usize = 32;
/// Frames that are looked at: those of the library, and of the program as many as are kept.
const FRAMES: usize = 24 + MOST_FRAMES;
/// Frames of the library that are never a program's: [`Racing`]'s and those who ask it to look. Where it is part of the program, others are
/// told by their names; where it is optimized too, these may be parts of others.
const INNER: usize = if cfg!(debug_assertions) { 4 } else { 0 };

/// A trail: by which calls a thread came to a look.
struct Trail {
    process: usize,
    site: u16,
    /// Return addresses, and how far above the frame of [`site`] each stood.
    frames: Vec<(usize, usize)>,
}

thread_local! {
    /// The trails, and which is forgotten next.
    static KNOWN: RefCell<(Vec<Trail>, usize)> = const { RefCell::new((Vec::new(), 0)) };
}

/// Where the library's own code is, if it is a module of its own.
fn library() -> Option<&'static Range<usize>> {
    static CODE: OnceLock<Option<Range<usize>>> = OnceLock::new();
    let find = || {
        let (modules, here) = (Modules::now(), site as *const () as usize);
        let mut parts = modules.parts();
        let program = parts.next()?.0;
        let own = modules.parts().find(|(_, start, end, _)| (*start..*end).contains(&here))?;
        (own.0 != program).then_some(own.1..own.2)
    };
    CODE.get_or_init(find).as_ref()
}

/// How many of the innermost frames do not count.
fn inner(frames: &[(usize, usize)]) -> usize {
    let count = match library() {
        Some(code) => frames.iter().take_while(|(frame, _)| code.contains(frame)).count().saturating_sub(1),
        None => INNER,
    };
    count.min(frames.len().saturating_sub(1))
}

/// Whether the module that the library is in is its own in C: in a module for Python there is more, and what that calls stands among
/// the innermost frames.
fn is_for_c() -> bool {
    static IS: OnceLock<bool> = OnceLock::new();
    *IS.get_or_init(|| {
        let mut found = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: an address of code; it fills in what it is given where it gives anything but 0.
        let name = unsafe {
            if libc::dladdr((site as *const ()).cast(), found.as_mut_ptr()) == 0
                || found.assume_init().dli_fname.is_null()
            {
                return false;
            }
            CStr::from_ptr(found.assume_init().dli_fname)
        };
        name.to_bytes().rsplit(|byte| *byte == b'/').next().is_some_and(|name| name.starts_with(b"librsm"))
    })
}

/// Whether these are the library's, and say nothing of who has called it: there are more than are kept.
pub(super) fn is_inside(frames: &[(usize, usize)]) -> bool {
    frames.len() >= MOST_FRAMES
        && is_for_c()
        && library().is_some_and(|code| frames.iter().all(|(frame, _)| code.contains(frame)))
}

/// The frames of the thread from who asks outwards: the innermost, and then from that on by which the library was called. What lies
/// in between is the same wherever these stand where they stood before.
#[inline(never)]
pub(super) fn from_outside() -> Vec<(usize, usize)> {
    // The first two are of this function, and of who asks.
    let stack = Stack::some(FRAMES + 2);
    let mut frames: Vec<(usize, usize)> = stack.with_slots().skip(1).collect();
    let from = inner(&frames);
    frames.drain(1.min(from)..from);
    frames
}

/// The place that has called the library.
#[inline(never)]
pub(super) fn site(racing: &Racing, process: Process<'_>) -> u16 {
    let anchor = 0u8;
    let anchor = std::hint::black_box(&raw const anchor).addr();
    // SAFETY: each address says where in the stack the next stands, by the same rules as the last time.
    let stands = |&(frame, slot): &(usize, usize)| unsafe { stack_word(anchor.wrapping_add(slot)) } == frame;
    let is_again = |trail: &&Trail| trail.process == process.id() && trail.frames.iter().all(stands);
    let known = KNOWN.try_with(|known| Some(known.try_borrow().ok()?.0.iter().find(is_again)?.site));
    if let Ok(Some(site)) = known {
        return site;
    }
    let stack = Stack::some(FRAMES + 1);
    let frames: Vec<(usize, usize)> =
        stack.with_slots().map(|(frame, slot)| (frame, slot.wrapping_sub(anchor))).collect();
    let from = inner(&frames);
    let outer: Vec<u64> = frames[from..].iter().take(MOST_FRAMES).map(|(frame, _)| *frame as u64).collect();
    let site = racing.site_of(process, &outer);
    let is_known = !frames.is_empty() && frames.iter().all(|(_, slot)| (*slot as isize) > 0);
    if is_known {
        let kept = frames[..frames.len().min(from + MOST_FRAMES)].to_vec();
        let trail = Trail { process: process.id(), site, frames: kept };
        let _ = KNOWN.try_with(|known| {
            let Ok(mut known) = known.try_borrow_mut() else { return };
            let (trails, next) = &mut *known;
            if trails.len() < TRAILS {
                trails.push(trail);
            } else {
                trails[*next % TRAILS] = trail;
                *next = next.wrapping_add(1);
            }
        });
    }
    site
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::races::RaceMap;
    use std::collections::BTreeSet;

    #[test]
    fn ways_are_told_from_each_other_whether_they_are_remembered_or_not() {
        let (map, _object) = RaceMap::create().unwrap();
        let racing = Racing::begin(map, 1, 1, (false, false));
        let process = racing.process().expect("the first has a clock");
        #[inline(never)]
        fn deep(racing: &Racing, process: Process<'_>, depth: usize) -> u16 {
            // Not as the last thing that it does, or it is not there any more.
            std::hint::black_box(if depth == 0 { site(racing, process) } else { deep(racing, process, depth - 1) })
        }
        let sites = || (INNER..INNER + 5).map(|depth| deep(racing, process, depth)).collect::<Vec<_>>();
        let first = sites();
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 5, "{first:?}");
        assert_eq!(sites(), first, "remembered");
        for depth in 0..2 * TRAILS {
            deep(racing, process, depth);
        }
        assert_eq!(sites(), first, "forgotten");
    }
}
