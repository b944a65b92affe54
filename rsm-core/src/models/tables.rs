//! Small tables: corners are reached, and loom has few words to follow.

use crate::registry::heap::Heap;
use crate::registry::{ControllerKind, Geometry, NewConnection, SegmentFields, Writer};
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

pub(super) const TINY: Geometry =
    Geometry { nodes: 2, controllers: 2, segments: 2, connections: 2, buckets: 1, bells: 2 };

pub(super) fn heap() -> Arc<Heap> {
    let heap = Heap::new(TINY);
    Writer::open(heap.registry(), TINY, "m", 1, (1, 0), None).add_controller(
        1,
        "s",
        ControllerKind::Shared,
        (1, 1, 1),
        |_, _| true,
    );
    Arc::new(heap)
}

/// The agent, the one writer; the model's own thread.
pub(super) fn agent(heap: &Heap) -> Writer<'_> {
    Writer::over(heap.registry())
}

/// A process that reads.
pub(super) fn member<T: 'static>(heap: &Arc<Heap>, run: impl FnOnce(&Heap) -> T + 'static) -> JoinHandle<T> {
    let heap = Arc::clone(heap);
    thread::spawn(move || run(&heap))
}

/// A segment whose length, process, user and bell go with its incarnation, so that a torn read shows.
pub(super) fn segment(incarnation: u32) -> SegmentFields {
    let number = u64::from(incarnation);
    SegmentFields::bound(number, number << 12, 1, 1, (incarnation, incarnation), incarnation)
}

pub(super) fn is_whole(fields: &SegmentFields) -> bool {
    fields.length == fields.incarnation << 12
        && [fields.pid, fields.uid, fields.bell].iter().all(|f| u64::from(*f) == fields.incarnation)
}

pub(super) fn connection(serial: u64, segment: u32) -> NewConnection {
    NewConnection {
        serial,
        segment,
        bell: 0,
        epoch: 0,
        importer: 1,
        pid: 1,
        controller: 1,
        permission: 0,
        suspended: false,
    }
}
