//! An exporter's walk over its importers while the agent connects, cuts and uses rows again.

use super::explore_less;
use super::tables::{agent, connection, heap, member, segment};
use crate::generation::EndCause;
use crate::registry::heap::Heap;
use crate::registry::walk_connections;
use std::sync::Arc;

fn walk(heap: &Heap) -> (bool, Vec<u64>) {
    let mut met = Vec::new();
    let mut below = u64::MAX;
    let complete = walk_connections(&heap.registry(), 0, 1, &mut below, |f| met.push(f.generation.serial()));
    (complete, met)
}

/// Segments 0 and 1; segment 0 has the connections 10 (row 0) and 11 (row 1).
fn two_connections() -> Arc<Heap> {
    let heap = heap();
    let writer = agent(&heap);
    writer.add_segment(0, &segment(1));
    writer.add_segment(1, &segment(2));
    writer.link_connection(0, &connection(10, 0));
    writer.link_connection(1, &connection(11, 0));
    heap
}

/// Mutations: `walk_ignores_progress`.
#[test]
fn a_walk_posts_to_nobody_twice() {
    explore_less(2, || {
        let heap = two_connections();
        let walk = member(&heap, walk);
        agent(&heap).unlink_connection(0, Some(1));
        agent(&heap).remove_connection(0);
        agent(&heap).link_connection(0, &connection(12, 0));
        let (_, met) = walk.join().unwrap();
        assert!(met.windows(2).all(|pair| pair[0] > pair[1]), "{met:?}");
    });
}

/// The newest connection goes, and its row to a connection of another segment: the one that stays is met, and nobody
/// else's.
///
/// Mutations: `walk_gives_up`, `walk_trusts_links`.
#[test]
fn a_walk_forgets_nobody_who_stays() {
    explore_less(2, || {
        let heap = two_connections();
        let walk = member(&heap, walk);
        agent(&heap).abort_connection(1, EndCause::Withdrawn);
        agent(&heap).unlink_connection(1, None);
        agent(&heap).remove_connection(1);
        agent(&heap).link_connection(1, &connection(12, 1));
        let (complete, met) = walk.join().unwrap();
        assert!(!complete || met.contains(&10), "{met:?}");
        assert!(!met.contains(&12), "a connection of another segment");
    });
}
