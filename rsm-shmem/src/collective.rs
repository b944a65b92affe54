//! Collective operations. Each PE takes what it needs from where the others have it: what is given is the time at which it is
//! there, and the time at which it is needed no more.

use crate::folding::{Elements, Folding};
use crate::group::Group;
use crate::job::job;
use crate::job::team::{Handle, Team};
use crate::local::{Local, Sym};
use crate::rma::{alignment, bytes_of};
use crate::{Call, control, order, team};
use std::ffi::c_int;
use std::sync::Arc;

/// Bytes of a reduction up to which every PE gets all contributions and folds them itself, after one sync.
const SHORT: usize = control::SHORT_WORDS * 8;
/// Bytes that are folded at a time.
const BLOCK: usize = 16 << 10;

/// `shmem_barrier_all`.
pub(crate) fn barrier_all(call: &'static Call) {
    let job = job(call);
    // No fence of its own: the nudges release what was stored.
    order::complete(&job.default, call);
    job.world.group(job, call).sync();
}

/// `shmem_sync_all`.
pub(crate) fn sync_all(call: &'static Call) {
    let job = job(call);
    job.world.group(job, call).sync();
}

/// Does something in a team: 0; -1 for SHMEM_TEAM_INVALID.
fn with(call: &'static Call, team: Handle, body: impl FnOnce(&Arc<Team>, &Group<'_>)) -> c_int {
    let Some(team) = team::of(call, "team", team) else { return -1 };
    body(&team, &team.group(job(call), call));
    0
}

pub(crate) fn team_sync(call: &'static Call, team: Handle) -> c_int {
    with(call, team, |_, group| group.sync())
}

pub(crate) fn broadcast(
    call: &'static Call,
    team: Handle,
    dest: Sym,
    source: Sym,
    nelems: usize,
    width: usize,
    root: c_int,
) -> c_int {
    with(call, team, |_, group| broadcast_in(group, dest, source, (nelems, width), root, true))
}

/// A tree: who has the data lets others have it, twice as many each time. Whether the root's dest gets it too is asked.
pub(crate) fn broadcast_in(
    group: &Group<'_>,
    dest: Sym,
    source: Sym,
    (nelems, width): (usize, usize),
    root: c_int,
    root_too: bool,
) {
    let count = group.len();
    let Some(root) = usize::try_from(root).ok().filter(|&root| root < count) else {
        group.fail(format_args!("PE_root {root} does not exist: the PEs are 0 to {}", count - 1));
    };
    let bytes = bytes_of(group.call, "nelems", nelems, 1, width);
    if bytes == 0 {
        return;
    }
    let align = alignment(width);
    let (from_root, member) = ((group.me + count - root) % count, |place: usize| (place + root) % count);
    // Steps below which this PE is given the data, and from which on it gives it.
    let mut step = 1;
    if from_root == 0 {
        let own = group.on("source", source, bytes, align, group.me);
        if root_too && dest != source {
            group.on("dest", dest, bytes, align, group.me).copy_from_place(own, bytes);
        }
    } else {
        let highest = 1 << (usize::BITS - 1 - from_root.leading_zeros());
        let giver = member(from_root - highest);
        let theirs = if giver == root { ("source", source) } else { ("dest", dest) };
        let to = group.on("dest", dest, bytes, align, group.me);
        group.take(giver);
        to.copy_from_place(group.on(theirs.0, theirs.1, bytes, align, giver), bytes);
        group.check(giver);
        // Theirs is needed no more.
        group.nudge(giver);
        step = highest * 2;
    }
    let takers = || std::iter::successors(Some(step), |step| Some(step * 2)).map(|step| from_root + step);
    takers().take_while(|&place| place < count).for_each(|place| group.nudge(member(place)));
    takers().take_while(|&place| place < count).for_each(|place| group.take(member(place)));
}

pub(crate) fn collect(call: &'static Call, team: Handle, dest: Sym, source: Sym, nelems: usize, width: usize) -> c_int {
    with(call, team, |_, group| collect_in(group, dest, source, nelems, width))
}

/// Everybody says how much, and takes what each has.
pub(crate) fn collect_in(group: &Group<'_>, dest: Sym, source: Sym, nelems: usize, width: usize) {
    let own = bytes_of(group.call, "nelems", nelems, 1, width);
    group.offer(own as u64);
    group.sync();
    let sizes: Vec<usize> = (0..group.len()).map(|member| group.offered(member) as usize).collect();
    gather(group, dest, source, &sizes, width);
    group.sync();
    // Who has come to the sync has read it.
    group.offer(0);
}

pub(crate) fn fcollect(
    call: &'static Call,
    team: Handle,
    dest: Sym,
    source: Sym,
    nelems: usize,
    width: usize,
) -> c_int {
    with(call, team, |team, group| fcollect_of(team, group, dest, source, nelems, width))
}

/// [`fcollect_in`], or an exchange of what is short.
pub(crate) fn fcollect_of(team: &Team, group: &Group<'_>, dest: Sym, source: Sym, nelems: usize, width: usize) {
    let bytes = bytes_of(group.call, "nelems", nelems, 1, width);
    if bytes == 0 || bytes > SHORT {
        return fcollect_in(group, dest, source, nelems, width);
    }
    let align = alignment(width);
    let to = group.on("dest", dest, bytes * group.len(), align, group.me);
    let mut own = Elements::new(bytes);
    group.on("source", source, bytes, align, group.me).copy_to(Local::within(own.words_mut()), bytes);
    let mut taken = Elements::new(bytes);
    let (words, mut member) = (bytes.div_ceil(8), 0);
    team.exchange(group, &own.words()[..words], |theirs| {
        taken.words_mut()[..words].copy_from_slice(theirs);
        to.at(member * bytes).copy_from(Local::within(taken.words_mut()), bytes);
        member += 1;
    });
}

/// Everybody takes what each has, of which there is as much.
pub(crate) fn fcollect_in(group: &Group<'_>, dest: Sym, source: Sym, nelems: usize, width: usize) {
    let sizes = vec![bytes_of(group.call, "nelems", nelems, 1, width); group.len()];
    group.sync();
    gather(group, dest, source, &sizes, width);
    group.sync();
}

/// Takes from each member so many bytes, one after the other; beginning with the next member, so that not all are at one.
fn gather(group: &Group<'_>, dest: Sym, source: Sym, sizes: &[usize], width: usize) {
    let align = alignment(width);
    let starts: Vec<usize> = sizes
        .iter()
        .scan(0usize, |start, size| {
            let here = *start;
            *start = start.saturating_add(*size);
            Some(here)
        })
        .collect();
    let total = sizes.iter().fold(0usize, |total, size| total.saturating_add(*size));
    if total == 0 {
        return;
    }
    let to = group.on("dest", dest, total, align, group.me);
    for further in 0..group.len() {
        let member = (group.me + further) % group.len();
        if sizes[member] > 0 {
            let from = group.on("source", source, sizes[member], align, member);
            to.at(starts[member]).copy_from_place(from, sizes[member]);
            group.check(member);
        }
    }
}

pub(crate) fn alltoall(
    call: &'static Call,
    team: Handle,
    dest: Sym,
    source: Sym,
    strides: (isize, isize),
    nelems: usize,
    width: usize,
) -> c_int {
    with(call, team, |_, group| alltoall_in(group, dest, source, strides, nelems, width))
}

/// Everybody takes its block of each.
pub(crate) fn alltoall_in(
    group: &Group<'_>,
    dest: Sym,
    source: Sym,
    (dst, sst): (isize, isize),
    nelems: usize,
    width: usize,
) {
    if dst < 1 || sst < 1 {
        group.fail(format_args!("dst is {dst} and sst is {sst}, and both must be at least 1"));
    }
    let (dst, sst, count, align) = (dst as usize, sst as usize, group.len(), alignment(width));
    let all = nelems.saturating_mul(count);
    let (to_bytes, from_bytes) =
        (bytes_of(group.call, "nelems", all, dst, width), bytes_of(group.call, "nelems", all, sst, width));
    if all > 0 {
        group.on("source", source, from_bytes, align, group.me);
    }
    group.sync();
    for further in (0..count).filter(|_| all > 0) {
        let member = (group.me + further) % count;
        let to = group.on("dest", dest, to_bytes, align, group.me).at(member * nelems * dst * width);
        let from = group.on("source", source, from_bytes, align, member).at(group.me * nelems * sst * width);
        if dst == 1 && sst == 1 {
            to.copy_from_place(from, nelems * width);
        } else {
            for i in 0..nelems {
                to.at(i * dst * width).copy_from_place(from.at(i * sst * width), width);
            }
        }
        group.check(member);
    }
    group.sync();
}

pub(crate) fn reduce(
    call: &'static Call,
    team: Handle,
    dest: Sym,
    source: Sym,
    nreduce: usize,
    folding: Folding,
) -> c_int {
    with(call, team, |team, group| reduce_of(team, group, dest, source, nreduce, folding))
}

/// [`reduce_in`], or an exchange of what is short.
pub(crate) fn reduce_of(team: &Team, group: &Group<'_>, dest: Sym, source: Sym, nreduce: usize, folding: Folding) {
    let bytes = bytes_of(group.call, "nreduce", nreduce, 1, folding.width);
    if bytes > 0 && bytes <= SHORT {
        reduce_short(team, group, dest, source, nreduce, folding);
    } else {
        reduce_in(group, dest, source, nreduce, folding);
    }
}

/// Everybody gives everybody its contribution, and folds all of them, in the same order.
fn reduce_short(team: &Team, group: &Group<'_>, dest: Sym, source: Sym, nreduce: usize, folding: Folding) {
    let (bytes, align) = (nreduce * folding.width, folding.align);
    let to = group.on("dest", dest, bytes, align, group.me);
    let from = group.on("source", source, bytes, align, group.me);
    let (mut own, mut folded) = (Elements::new(bytes), None::<Elements>);
    from.copy_to(Local::within(own.words_mut()), bytes);
    let words = bytes.div_ceil(8);
    team.exchange(group, &own.words()[..words], |taken| match &mut folded {
        None => {
            let mut first = Elements::new(bytes);
            first.words_mut()[..words].copy_from_slice(taken);
            folded = Some(first);
        }
        Some(folded) => folding.fold(folded.words_mut(), taken, nreduce),
    });
    if let Some(mut folded) = folded {
        to.copy_from(Local::within(folded.words_mut()), bytes);
    }
}

/// Each PE folds its share of the elements, of all sources in the same order, and takes the other shares from who folded them.
pub(crate) fn reduce_in(group: &Group<'_>, dest: Sym, source: Sym, nreduce: usize, folding: Folding) {
    let (count, width) = (group.len(), folding.width);
    let bytes = bytes_of(group.call, "nreduce", nreduce, 1, width);
    if bytes == 0 {
        return;
    }
    let align = folding.align;
    let share = |member: usize| (nreduce as u128 * member as u128 / count as u128) as usize;
    let to = group.on("dest", dest, bytes, align, group.me);
    group.on("source", source, bytes, align, group.me);
    group.sync();
    let (first, end) = (share(group.me), share(group.me + 1));
    let (mut folded, mut taken) = (Elements::new(BLOCK), Elements::new(BLOCK));
    // Of dest, which may be the source, this PE changes the share that nobody else reads.
    for start in (first..end).step_by(BLOCK / width) {
        let elements = (end - start).min(BLOCK / width);
        for member in 0..count {
            let from = group.on("source", source, bytes, align, member).at(start * width);
            if member == 0 {
                from.copy_to(Local::within(folded.words_mut()), elements * width);
            } else {
                from.copy_to(Local::within(taken.words_mut()), elements * width);
                folding.fold(folded.words_mut(), taken.words(), elements);
            }
            group.check(member);
        }
        to.at(start * width).copy_from(Local::within(folded.words_mut()), elements * width);
    }
    group.sync();
    for further in 1..count {
        let member = (group.me + further) % count;
        let (first, end) = (share(member), share(member + 1));
        let from = group.on("dest", dest, bytes, align, member).at(first * width);
        to.at(first * width).copy_from_place(from, (end - first) * width);
        group.check(member);
    }
    group.sync();
}
