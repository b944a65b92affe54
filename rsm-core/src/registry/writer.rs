//! The agent's side: every change of the registry, one function each.
//!
//! There is one writer per cluster. It may be descheduled or killed between any two stores; readers find the rows it
//! was not working on in order, and the one it was working on marked.

use super::lookup::bucket;
use super::{
    CLUSTER, ControllerKind, Geometry, LinkChange, LinkState, LinkWord, NONE, Registry, SegmentFields, SegmentRow,
    SegmentState, Withdrawal, Withdrawn,
};
use crate::generation::{EndCause, Generation};
use crate::lens::Lens;
use crate::lens::event::LateTrace;
use crate::seq;
use crate::sync::Ordering::{Relaxed, Release, SeqCst};
use crate::sync::{AtomicU32, fence, mutated};
use crate::verdict;

/// The registry, writable.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a>(Registry<'a>);

/// Fields of a new connection.
#[derive(Clone, Copy, Debug)]
pub struct NewConnection {
    /// Serial number, higher than every earlier one.
    pub serial: u64,
    /// Row of the segment.
    pub segment: u32,
    /// Bell for signals to the importer.
    pub bell: u32,
    /// Epoch of that bell.
    pub epoch: u32,
    /// Importing node.
    pub importer: u32,
    /// Importing process.
    pub pid: u32,
    /// Controller index.
    pub controller: u32,
    /// Permission bits.
    pub permission: u32,
    /// The segment's memory is being replaced: no verdict vouches for anything until [`Writer::resume`].
    pub suspended: bool,
}

impl<'a> Writer<'a> {
    /// Takes zeroed tables and makes them a valid registry of a cluster of `node_count` nodes, seen through `lens`.
    pub fn open(
        tables: Registry<'a>,
        geometry: Geometry,
        name: &str,
        node_count: u32,
        agent: (u32, u32),
        lens: Option<&Lens>,
    ) -> Writer<'a> {
        tables.header.set_geometry(geometry);
        super::name::write_name(&tables.header.name, name);
        tables.header.node_count.store(node_count, Relaxed);
        tables.header.agent_pid.store(agent.0, Relaxed);
        tables.header.agent_uid.store(agent.1, Relaxed);
        if let Some(lens) = lens {
            tables.header.set_lens(lens);
        }
        tables.header.store_magic();
        Writer(tables)
    }

    /// The registry that [`open`](Self::open) made valid, writable: for the agent, which holds nothing that borrows.
    pub fn over(tables: Registry<'a>) -> Writer<'a> {
        Writer(tables)
    }

    /// The same registry, to read.
    pub fn read(&self) -> Registry<'a> {
        self.0
    }

    /// Says which host a node is on.
    pub fn set_host(&self, node: u32, host: u32) {
        // Relaxed: before anybody is shown the registry.
        self.0.nodes[node as usize].host.store(host, Relaxed);
    }

    /// Fills a controller row and its links: none but those that it `joins`, the importing node and the exporting one, which
    /// are up. Those to what the cluster itself owns are always active.
    pub fn add_controller(
        &self,
        index: u32,
        name: &str,
        kind: ControllerKind,
        limits: (u64, u64, u64),
        joins: impl Fn(u32, u32) -> bool,
    ) {
        let nodes = self.0.header.node_count();
        for from in 1..=nodes {
            if kind == ControllerKind::Shared
                && let Some(link) = self.0.link(index, from, CLUSTER)
            {
                link.store(LinkWord::new(LinkState::Active).word(), Relaxed);
            }
            for to in 1..=nodes {
                if joins(from, to)
                    && (kind == ControllerKind::Shared || from == to)
                    && let Some(link) = self.0.link(index, from, to)
                {
                    link.store(LinkWord::new(LinkState::Up).word(), Relaxed);
                }
            }
        }
        self.0.controllers[index as usize].set(name, kind, limits.0, limits.1, limits.2);
    }

    /// Steps the revision: importers have something to look at.
    pub fn step_revision(&self) -> u64 {
        let next = self.0.header.revision.load(Relaxed) + 1;
        // Release: pairs with `Header::revision`; who sees the number sees the generations stepped before.
        self.0.header.revision.store(next, Release);
        next
    }

    /// Steps the word that watchers sleep on; the caller wakes them.
    pub fn step_changes(&self) -> &'a AtomicU32 {
        let word = &self.0.header.changes;
        // Release: pairs with the acquire of a watcher, which looks at the rows after it.
        word.store(word.load(Relaxed).wrapping_add(1), if mutated("changes_relaxed") { Relaxed } else { Release });
        word
    }

    /// Notes the processes of a node; the first one brings it up, the last one takes it down. Returns whether the
    /// links changed. `first` is process id and user id of the node's oldest process.
    pub fn set_processes(&self, node: u32, processes: u32, first: (u32, u32)) -> bool {
        let row = &self.0.nodes[node as usize];
        let before = row.processes.load(Relaxed);
        row.pid.store(first.0, Relaxed);
        row.uid.store(first.1, Relaxed);
        if before == 0 && processes > 0 {
            row.incarnation.store(row.incarnation.load(Relaxed) + 1, Relaxed);
        }
        // Release: pairs with the acquire of `NodeRow::is_joined`; of a node with a process it is known which is its oldest.
        row.processes.store(processes, Release);
        let total = self.0.header.processes.load(Relaxed).wrapping_add(processes).wrapping_sub(before);
        self.0.header.processes.store(total, Relaxed);
        let changed = (before == 0) != (processes == 0);
        if changed {
            let (from, to) =
                if processes > 0 { (LinkState::Up, LinkState::Active) } else { (LinkState::Active, LinkState::Up) };
            // The links of imports *from* the node follow its life; a link that was taken down stays down.
            for controller in 0..self.0.controllers.len() as u32 {
                for importer in 0..self.0.nodes.len() as u32 {
                    if let Some(link) = self.0.link(controller, importer, node) {
                        let word = LinkWord::from_word(link.load(Relaxed));
                        if word.exists() && word.state() == from {
                            link.store(word.with_state(to).word(), Release);
                        }
                    }
                }
            }
        }
        changed
    }

    /// Changes a link from outside; `false` when there is none, or nothing to change. Its connections follow, one by one
    /// ([`change_path`](Self::change_path)).
    pub fn change_link(&self, controller: u32, from: u32, to: u32, change: LinkChange) -> bool {
        let Some(link) = self.0.link(controller, from, to) else { return false };
        let before = LinkWord::from_word(link.load(Relaxed));
        let joined = self.0.nodes[to as usize].processes.load(Relaxed) > 0;
        let after = before.changed(change, joined);
        if !before.exists() || after == before {
            return false;
        }
        link.store(after.word(), Relaxed);
        true
    }

    /// What was changed of a link, for one of its connections. A link that goes down takes them along, so that one that
    /// comes up meets none that lives. Ends with a full fence.
    pub fn change_path(&self, row: u32, change: LinkChange) {
        let path = &self.0.paths[row as usize];
        let exporter = self.0.connections[row as usize].exporter.load(Relaxed);
        let joined = self.0.nodes[exporter as usize].processes.load(Relaxed) > 0;
        path.store(LinkWord::from_word(path.load(Relaxed)).changed(change, joined).word(), Relaxed);
        // Pairs with the full fence of the importer before `Snapshot::judge`: a span that finds the old word here came
        // before whatever this thread does next.
        if !mutated("link_agent_fence") {
            fence(SeqCst);
        }
    }

    /// The memory that a connection leads to is about to be replaced: no span that is open from here on, until
    /// [`resume`](Self::resume), is vouched for. Ends with a full fence.
    pub fn suspend(&self, row: u32) {
        verdict::suspend(&self.0.paths[row as usize]);
    }

    /// The memory stands again: spans that open from here on are vouched for.
    pub fn resume(&self, row: u32) {
        verdict::resume(&self.0.paths[row as usize]);
    }

    /// Steps the word that `connect_within` sleeps on; the caller wakes who sleeps there.
    pub fn step_published(&self, node: u32) -> &'a AtomicU32 {
        let word = &self.0.nodes[node as usize].published;
        // Release: pairs with the acquire of a `connect_within` that sees the new number.
        word.store(word.load(Relaxed).wrapping_add(1), if mutated("published_relaxed") { Relaxed } else { Release });
        word
    }

    /// Fills a free row with a segment that is not published.
    pub fn add_segment(&self, row: u32, fields: &SegmentFields) {
        let r = &self.0.segments[row as usize];
        r.first_connection.store(0, Relaxed);
        r.importers.store(0, Relaxed);
        r.earlier.store(r.arrivals.load(Relaxed), Relaxed);
        seq::write(&r.seq, || {
            r.incarnation.store(fields.incarnation, Relaxed);
            r.length.store(fields.length, Relaxed);
            r.id.store(0, Relaxed);
            r.node.store(fields.node, Relaxed);
            r.state.store(SegmentState::Bound as u32, Relaxed);
            r.controller.store(fields.controller, Relaxed);
            r.pid.store(fields.pid, Relaxed);
            r.uid.store(fields.uid, Relaxed);
            r.bell.store(fields.bell, Relaxed);
            r.next_in_bucket.store(0, Relaxed);
        });
        raise(&self.0.header.segment_high, row + 1);
        count(&self.0.nodes[fields.node as usize].exports, 1);
    }

    /// Frees a row whose segment is not published.
    pub fn remove_segment(&self, row: u32) {
        let r = &self.0.segments[row as usize];
        count(&self.0.nodes[r.node.load(Relaxed) as usize].exports, -1);
        seq::write(&r.seq, || r.state.store(SegmentState::Free as u32, Relaxed));
        step_comings(r);
    }

    /// Makes the segment findable as `id`. It enters at the head of its bucket; gives the one it stands before.
    pub fn publish(&self, row: u32, id: u32) -> Option<u32> {
        let r = &self.0.segments[row as usize];
        let head = &self.0.buckets[bucket(r.node.load(Relaxed), id, self.0.buckets.len())];
        seq::write(&r.seq, || {
            r.id.store(id, Relaxed);
            r.state.store(SegmentState::Published as u32, Relaxed);
            r.next_in_bucket.store(head.load(Relaxed), Relaxed);
        });
        r.earlier.store(r.arrivals.load(Relaxed), Relaxed);
        // Release: pairs with the acquire in `Registry::find`; the row is filled when the head leads to it.
        head.store(row + 1, Release);
        step_comings(r);
        follower(r.next_in_bucket.load(Relaxed))
    }

    /// Takes the segment out of its chain: nobody finds it any more. `newer` is the one before it in its bucket; gives
    /// the one after it.
    ///
    /// # Crash
    /// Between the two writes the row is marked bound but still linked: walks that meet it start over.
    pub fn withdraw(&self, row: u32, newer: Option<u32>) -> Option<u32> {
        let r = &self.0.segments[row as usize];
        let head = &self.0.buckets[bucket(r.node.load(Relaxed), r.id.load(Relaxed), self.0.buckets.len())];
        let next = r.next_in_bucket.load(Relaxed);
        seq::write(&r.seq, || {
            r.state.store(SegmentState::Bound as u32, Relaxed);
            r.id.store(0, Relaxed);
        });
        step_comings(r);
        match newer {
            None => {
                debug_assert_eq!(head.load(Relaxed), row + 1, "it stands at the head");
                head.store(next, Release);
            }
            Some(newer) => {
                let link = &self.0.segments[newer as usize];
                debug_assert_eq!(link.next_in_bucket.load(Relaxed), row + 1, "it stands after this one");
                seq::write(&link.seq, || link.next_in_bucket.store(next, Relaxed));
            }
        }
        follower(next)
    }

    /// Begins a withdrawal on the row and returns its number.
    pub fn begin_withdrawal(&self, row: u32) -> u32 {
        let word = &self.0.segments[row as usize].withdrawal;
        // 30 bits count; a ticket would have to sleep through a thousand million withdrawals to be mistaken.
        let number = Withdrawal::from_word(word.load(Relaxed)).number().wrapping_add(1) & (u32::MAX >> 2);
        word.store(Withdrawal::pending(number).word(), Release);
        number
    }

    /// Ends the row's withdrawal; the caller wakes who sleeps on the word.
    pub fn end_withdrawal(&self, row: u32, how: Withdrawn) -> &'a AtomicU32 {
        let word = &self.0.segments[row as usize].withdrawal;
        let how = if mutated("withdrawal_always_done") { Withdrawn::Free } else { how };
        let ended = Withdrawal::from_word(word.load(Relaxed)).ended(how);
        // Release: pairs with the acquire of the one who waits; it sees everything the withdrawal did.
        word.store(ended.word(), if mutated("withdrawal_relaxed") { Relaxed } else { Release });
        word
    }

    /// Fills a free row with a live connection and puts it at the head of its segment's chain.
    pub fn link_connection(&self, row: u32, new: &NewConnection) {
        let r = &self.0.connections[row as usize];
        let segment = &self.0.segments[new.segment as usize];
        let before = Generation::from_word(r.generation.load(Relaxed)).serial();
        let serial = if before != 0 && mutated("serial_used_again") { before } else { new.serial };
        let path = &self.0.paths[row as usize];
        let state = if new.suspended { LinkState::Up } else { LinkState::Active };
        path.store(LinkWord::from_word(path.load(Relaxed)).with_state(state).word(), Relaxed);
        seq::write(&r.seq, || {
            r.generation.store(Generation::live(serial).word(), Relaxed);
            r.segment_incarnation.store(segment.incarnation.load(Relaxed), Relaxed);
            r.segment.store(new.segment, Relaxed);
            r.next.store(segment.first_connection.load(Relaxed), Relaxed);
            r.bell.store(new.bell, Relaxed);
            r.epoch.store(new.epoch, Relaxed);
            r.importer.store(new.importer, Relaxed);
            r.pid.store(new.pid, Relaxed);
            r.controller.store(new.controller, Relaxed);
            r.permission.store(new.permission, Relaxed);
            r.exporter.store(segment.node.load(Relaxed), Relaxed);
            r.id.store(segment.id.load(Relaxed), Relaxed);
        });
        // Release: pairs with the acquire in `walk_connections`.
        segment.first_connection.store(row + 1, Release);
        raise(&self.0.header.connection_high, row + 1);
        if !mutated("arrival_first") {
            count(&segment.importers, 1);
        }
        // Release: pairs with the acquire in `SegmentRow::is_deserted` and `arrivals`; who is counted here is counted
        // there.
        segment.arrivals.store(segment.arrivals.load(Relaxed).wrapping_add(1), Release);
        if mutated("arrival_first") {
            count(&segment.importers, 1);
        }
        step_comings(segment);
        count(&self.0.nodes[new.importer as usize].imports, 1);
    }

    /// Takes a connection out of its segment's chain, where `newer` stands before it. It was cut before, so that who
    /// misses it there finds out why.
    pub fn unlink_connection(&self, row: u32, newer: Option<u32>) {
        let r = &self.0.connections[row as usize];
        let segment = &self.0.segments[r.segment.load(Relaxed) as usize];
        let next = r.next.load(Relaxed);
        match newer {
            None => {
                debug_assert_eq!(segment.first_connection.load(Relaxed), row + 1, "it stands at the head");
                // Release: pairs with the acquire in `walk_connections`; who does not meet it finds it cut.
                segment.first_connection.store(next, Release);
            }
            Some(newer) => {
                let link = &self.0.connections[newer as usize];
                debug_assert_eq!(link.next.load(Relaxed), row + 1, "it stands after this one");
                seq::write(&link.seq, || link.next.store(next, Relaxed));
            }
        }
        // Release: pairs with the acquire in `SegmentRow::is_deserted`; what the importer signalled before is seen.
        segment.importers.store(segment.importers.load(Relaxed).wrapping_sub(1), Release);
        step_comings(segment);
    }

    /// Cuts a connection: every barrier, transfer and post that looks from now on is told. Ends with a full fence.
    pub fn abort_connection(&self, row: u32, cause: EndCause) {
        verdict::abort(&self.0.connections[row as usize].generation, cause);
    }

    /// Marks a connection that nobody holds any more; the row may be filled again.
    pub fn remove_connection(&self, row: u32) {
        self.abort_connection(row, EndCause::Disconnected);
        let r = &self.0.connections[row as usize];
        seq::write(&r.seq, || r.exporter.store(NONE, Relaxed));
        let importer = r.importer.load(Relaxed);
        count(&self.0.nodes[importer as usize].imports, -1);
    }

    /// Says whether processes are to tally what they do; they are told to look.
    pub fn set_tallied(&self, on: bool) {
        // Relaxed: the look that follows is a message, which orders it.
        self.0.header.tallied.store(u32::from(on), Relaxed);
    }

    /// Says for which trace processes are to note their calls; likewise.
    pub fn set_traced(&self, late: Option<LateTrace>) {
        // Relaxed: as above.
        self.0.header.traced.store(late.map_or(0, LateTrace::word), Relaxed);
    }

    /// Marks the cluster as ended in order.
    pub fn end(&self) {
        self.0.header.ended.store(1, SeqCst);
        fence(SeqCst);
    }

    /// The connections of a segment, newest first; for the agent, which is alone with its own writes.
    pub fn connections_of(&self, segment: u32) -> Vec<u32> {
        let mut rows = Vec::new();
        let mut at = self.0.segments[segment as usize].first_connection.load(Relaxed).wrapping_sub(1);
        while at != NONE {
            rows.push(at);
            at = self.0.connections[at as usize].next.load(Relaxed).wrapping_sub(1);
        }
        rows
    }
}

/// The row that a link leads to, which holds it plus one.
fn follower(link: u32) -> Option<u32> {
    link.checked_sub(1)
}

fn raise(word: &AtomicU32, to: u32) {
    if word.load(Relaxed) < to {
        // Release: pairs with the acquire of who reads the mark, which saves it from meeting rows that are being filled
        // for the first time; what a row says is read under its sequence number in any case.
        word.store(to, Release);
    }
}

/// Tells who watches a segment; the caller wakes them.
fn step_comings(segment: &SegmentRow) {
    let next = segment.comings.load(Relaxed).wrapping_add(1);
    // Release: pairs with the acquire of who looks at the connections after it.
    segment.comings.store(next, if mutated("comings_relaxed") { Relaxed } else { Release });
}

fn count(word: &AtomicU32, by: i32) {
    word.store(word.load(Relaxed).wrapping_add_signed(by), Relaxed);
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::super::heap::{Heap, SMALL};
    use super::super::{Found, walk_connections};
    use super::*;

    fn writer(heap: &Heap) -> Writer<'_> {
        let writer = Writer::open(heap.registry(), SMALL, "test", 2, (1, 2), None);
        writer.add_controller(0, "loopback", ControllerKind::Loopback, (1, 1, 1), |_, _| true);
        writer.add_controller(1, "shm0", ControllerKind::Shared, (1, 1, 1), |_, _| true);
        writer
    }

    fn segment(incarnation: u64, node: u32) -> SegmentFields {
        SegmentFields {
            incarnation,
            length: 4096,
            id: 0,
            node,
            state: SegmentState::Bound,
            controller: 1,
            pid: 9,
            uid: 0,
            bell: 0,
            next_in_bucket: 0,
        }
    }

    fn connection(serial: u64, segment: u32) -> NewConnection {
        NewConnection {
            serial,
            segment,
            bell: 0,
            epoch: 0,
            importer: 1,
            pid: 3,
            controller: 1,
            permission: 0o600,
            suspended: false,
        }
    }

    #[test]
    fn published_segments_are_found_until_withdrawn() {
        let heap = Heap::new(SMALL);
        let w = writer(&heap);
        let r = heap.registry();
        // Three rows in two buckets: at least one chain has two. Who stands before whom.
        let mut before = std::collections::BTreeMap::new();
        for row in 0..3 {
            w.add_segment(row, &segment(u64::from(row) + 1, 1));
            assert_eq!(r.find(1, 0x40_0000 + row), Found::Nothing);
            let older = w.publish(row, 0x40_0000 + row);
            before.extend(older.map(|older| (older, row)));
        }
        for gone in [1, 0, 2] {
            assert!(matches!(r.find(1, 0x40_0000 + gone), Found::Segment(row, f) if row == gone && f.length == 4096));
            assert_eq!(r.find(2, 0x40_0000 + gone), Found::Nothing, "another node's");
            let newer = before.remove(&gone);
            if let Some(older) = w.withdraw(gone, newer) {
                before.remove(&older);
                before.extend(newer.map(|newer| (older, newer)));
            }
            assert_eq!(r.find(1, 0x40_0000 + gone), Found::Nothing);
        }
        w.publish(1, 0x40_0007);
        assert!(matches!(r.find(1, 0x40_0007), Found::Segment(1, _)));
    }

    #[test]
    fn a_walk_meets_each_live_connection_once() {
        let heap = Heap::new(SMALL);
        let w = writer(&heap);
        w.add_segment(0, &segment(1, 1));
        for row in 0..3 {
            w.link_connection(row, &connection(u64::from(row) + 10, 0));
        }
        let visit = |progress: &mut u64| {
            let mut met = Vec::new();
            assert!(walk_connections(&heap.registry(), 0, 1, progress, |f| met.push(f.generation.serial())));
            met
        };
        assert_eq!(visit(&mut u64::MAX.clone()), [12, 11, 10]);
        assert_eq!(visit(&mut 12), [11, 10], "a walk that starts over goes on where it was");
        w.abort_connection(1, EndCause::Withdrawn);
        assert_eq!(visit(&mut u64::MAX.clone()), [12, 10]);
        w.unlink_connection(1, Some(2));
        w.remove_connection(1);
        w.link_connection(1, &connection(13, 0));
        assert_eq!(visit(&mut 12), [10], "a row used again is not met by a walk that had passed it");
        assert_eq!(w.connections_of(0), [1, 2, 0]);
    }

    #[test]
    fn links_follow_the_nodes() {
        let heap = Heap::new(SMALL);
        let w = writer(&heap);
        let state = |c, f, t| LinkWord::from_word(heap.registry().link(c, f, t).unwrap().load(Relaxed)).state();
        assert_eq!(state(1, 1, 2), LinkState::Up);
        assert!(w.set_processes(2, 1, (5, 0)));
        assert!(!w.set_processes(2, 2, (5, 0)));
        assert_eq!(state(1, 1, 2), LinkState::Active);
        assert_eq!(state(1, 2, 1), LinkState::Up);
        assert_eq!(state(0, 2, 2), LinkState::Active);
        assert_eq!(state(0, 1, 2), LinkState::Down, "loopback reaches only the node itself");
        assert_eq!(heap.header.processes(), 2);
        assert!(w.set_processes(2, 0, (0, 0)));
        assert_eq!(state(1, 1, 2), LinkState::Up);
        assert!(heap.registry().link(9, 0, 0).is_none() && heap.registry().link(0, 3, 0).is_none());
    }

    #[test]
    fn a_link_taken_down_stays_down_until_it_is_brought_up() {
        let heap = Heap::new(SMALL);
        let w = writer(&heap);
        let word = |f, t| LinkWord::from_word(heap.registry().link(1, f, t).unwrap().load(Relaxed));
        w.set_processes(2, 1, (5, 0));
        assert!(w.change_link(1, 1, 2, LinkChange::Down));
        assert!(!w.change_link(1, 1, 2, LinkChange::Down), "nothing to change");
        for processes in [0, 1, 0] {
            w.set_processes(2, processes, (5, 0));
            assert_eq!(word(1, 2).state(), LinkState::Down, "whoever comes and goes");
        }
        assert_eq!(word(2, 1).state(), LinkState::Up, "the other direction is another link");
        assert!(w.change_link(1, 1, 2, LinkChange::Error));
        assert!(w.change_link(1, 1, 2, LinkChange::Up));
        assert_eq!((word(1, 2).state(), word(1, 2).errors()), (LinkState::Up, 1), "node 2 has left");
        w.set_processes(2, 1, (5, 0));
        w.change_link(1, 1, 2, LinkChange::Down);
        w.change_link(1, 1, 2, LinkChange::Up);
        assert_eq!((word(1, 2).state(), word(1, 2).errors()), (LinkState::Active, 1));
        for (controller, from, to) in [(0, 1, 2), (9, 1, 2), (1, 0, 1), (1, 3, 1)] {
            assert!(!w.change_link(controller, from, to, LinkChange::Error), "no link {controller} {from} {to}");
        }
    }

    #[test]
    fn controllers_are_found_as_the_original_does() {
        let heap = Heap::new(SMALL);
        writer(&heap);
        let find = |name| heap.registry().controller(name);
        assert_eq!(
            [find("loopback"), find("LOOPBACK7"), find("shm0"), find("SHM"), find("shm1"), find("")],
            [Some(0), Some(0), Some(1), Some(1), None, None]
        );
    }
}
