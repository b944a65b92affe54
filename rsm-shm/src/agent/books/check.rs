//! Whether the tables agree with each other, and with the registry.

use super::Books;
use rsm_core::registry::{Registry, Writer};

/// Tables up to this size are compared after every pass of the loop, larger ones now and then.
const SMALL: usize = 256;
const NOW_AND_THEN: u32 = 1000;

impl Books {
    /// Compares the tables with each other.
    ///
    /// # Panics
    /// When they do not agree, which is a fault of the agent's whatever was asked of it.
    pub(in crate::agent) fn check(&self, registry: Registry<'_>) {
        use rsm_core::sync::Ordering::Relaxed;
        let changes = registry.header.changes().load(Relaxed);
        if self.segments.len() + self.connections.len() > SMALL && !changes.is_multiple_of(NOW_AND_THEN) {
            return;
        }
        self.limits.check(self.held(), self.kept()).expect("what each node can count on is left");
        self.segment_rows.check();
        self.connection_rows.check();
        assert_eq!(self.segment_rows.in_use(), self.segments.len() as u64, "segments and their rows");
        assert_eq!(self.connection_rows.in_use(), self.connections.len() as u64, "connections and their rows");
        self.check_nodes();
        self.check_segments(registry);
        self.check_members();
        self.withdrawals.check(|row| self.segments.contains_key(&row));
        let waiting = self.members.iter().filter(|(_, m)| m.put_off.is_some()).map(|(&party, _)| party);
        assert!(waiting.clone().all(|party| self.members[&party].owed), "who is put off is owed an answer");
    }

    fn check_nodes(&self) {
        for (node, state) in (0..).zip(&self.nodes) {
            state.bell_rows.check();
            let exports = self.segments.values().filter(|s| s.node == node).count();
            let connections = self.connections.values().filter(|c| c.exporter == node).count();
            assert_eq!(state.bell_rows.in_use(), (exports + connections) as u64, "bells of node {node}");
            assert_eq!(self.segment_rows.of(node), exports as u64, "segments of node {node}");
            let imports = self.connections.iter().filter(|(_, c)| c.importer == node).map(|(&row, _)| row).collect();
            assert_eq!(state.imports, imports, "imports of node {node}");
            assert!(state.members.iter().all(|p| self.members[p].node == Some(node)), "members of node {node}");
        }
        let crossing = self.connections.values().filter(|c| c.across.is_some()).count();
        assert_eq!(self.crossing.len(), crossing, "connections between hosts");
        let mirrors = self.segments.values().filter(|s| s.far.is_some()).count();
        let theirs = self.connections.values().filter(|c| c.across.is_some() && c.is_theirs).count();
        assert_eq!(self.relayed.len(), mirrors + theirs, "bells of the other host");
        let departing: usize = self.nodes.iter().map(|s| s.departing.len()).sum();
        assert!(departing <= self.departing.len(), "members that depart");
    }

    fn check_segments(&self, registry: Registry<'_>) {
        let mut memories = std::collections::BTreeSet::new();
        for (&row, segment) in self.segments.iter() {
            assert!(segment.memory().sharers().contains(&row), "segment {row} is known to its memory");
            let shares = |&other: &u32| std::rc::Rc::ptr_eq(self.segments[&other].memory(), segment.memory());
            assert!(segment.memory().sharers().iter().all(shares), "those that share segment {row}'s memory");
            memories.insert(std::rc::Rc::as_ptr(segment.memory()));
            let chain = Writer::over(registry).connections_of(row);
            let known: Vec<u32> = segment.connections.values().rev().copied().collect();
            assert_eq!(chain, known, "connections of segment {row}");
            assert!(known.iter().all(|c| self.connections[c].segment == Some(row)), "connections of segment {row}");
            let owed =
                |(party, due): (&u64, &u64)| self.members.get(party).is_none_or(|m| m.owes.of(row) == Some(*due));
            assert!(segment.told.iter().all(owed), "who was told of segment {row}");
            if let Some(id) = segment.id {
                assert_eq!(self.published.get(&(segment.node, id)), Some(&row), "segment {row} is published");
            }
        }
        let listed = self.segments.values().filter(|s| s.id.is_some()).count();
        assert_eq!(self.published.len(), listed, "published segments");
        let alive = self.connections.values().filter(|c| c.segment.is_some()).count();
        let led_to: usize = self.segments.values().map(|s| s.connections.len()).sum();
        assert_eq!(alive, led_to, "connections that live");
        let moving = memories.len() as u64;
        let open = self.ledger.count();
        assert!((moving..=2 * moving + self.ledger.closing()).contains(&open), "{open} memory objects for {moving}");
    }

    fn check_members(&self) {
        for (party, member) in &self.members {
            let mine = |row: &u32| self.segments.get(row).is_some_and(|s| s.member == *party);
            assert!(member.segments.iter().all(mine), "segments of member {party}");
            let held = |row: &u32| self.connections.get(row).is_some_and(|c| c.holders.contains(party));
            assert!(member.connections.iter().all(held), "connections of member {party}");
        }
        let observers = self.members.iter().filter(|(_, m)| m.node.is_none()).map(|(&party, _)| party).collect();
        assert_eq!(self.observers, observers, "observers");
        assert!(self.watchers.is_subset(&self.observers), "watchers look");
        assert!(self.tracing.observer.is_none_or(|tracer| self.observers.contains(&tracer.party)), "who traces looks");
        let rings: u64 = self.members.values().map(|member| member.rings.count()).sum();
        assert_eq!(self.tracing.kept, rings, "rings of processes");
        assert_eq!(self.members_of.len(), self.members.len(), "members by process");
        assert_eq!(self.strangers_of.len(), self.strangers.len(), "strangers by process");
    }
}
