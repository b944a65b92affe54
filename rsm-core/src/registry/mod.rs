//! The registry: one read-only picture of the cluster in every process.
//!
//! The agent writes it, everybody else maps it without write permission and the kernel enforces that. It holds what
//! must be known without asking: who is there, what is published, which connections are alive, how the links stand.
//! Records are made of atomics of at most 64 bits and never move; fields that belong together are read under a row's
//! sequence number (`seq`). Rows are found by index ([`Registry`]) or, for published segments, by hash (`lookup`).
//!
//! The layout is an interface between processes that may have been built from different versions: it has a version
//! word, its sizes are asserted here, and [`Layout::check`] refuses what does not fit.

mod connection;
mod controller;
mod header;
mod lookup;
mod name;
mod node;
mod segment;
mod writer;

pub use connection::{ConnectionFields, ConnectionLink, ConnectionRow};
pub use controller::{ControllerKind, ControllerRow, check_controllers};
pub use header::{ClusterState, Geometry, Header, LAYOUT_VERSION, Layout};
pub use lookup::{Absence, Found, walk_connections};
pub use node::{CLUSTER, NodeFields, NodeRow, check_node, no_such_node};
pub use segment::{SegmentFields, SegmentRow, SegmentState, Withdrawal, Withdrawn};
pub use writer::{NewConnection, Writer};

pub use crate::link::{LinkChange, LinkState, LinkWord};

use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// "No row": rows are numbered from 0.
pub const NONE: u32 = u32::MAX;

/// The records of a registry, wherever they lie.
#[derive(Clone, Copy, Debug)]
pub struct Registry<'a> {
    /// Header: what the cluster is.
    pub header: &'a Header,
    /// By node id.
    pub nodes: &'a [NodeRow],
    /// By controller index.
    pub controllers: &'a [ControllerRow],
    /// By controller, importing node, exporting node; see [`Registry::link`].
    pub links: &'a [AtomicU64],
    /// Heads of the chains of published segments.
    pub buckets: &'a [AtomicU32],
    /// By segment row.
    pub segments: &'a [SegmentRow],
    /// By connection row.
    pub connections: &'a [ConnectionRow],
    /// By connection row: the connection's own word of its link, which spans compare; see [`crate::verdict`].
    pub paths: &'a [AtomicU64],
}

impl<'a> Registry<'a> {
    /// The link word of imports of node `from` from node `to` through `controller`; `None` outside the geometry.
    pub fn link(&self, controller: u32, from: u32, to: u32) -> Option<&'a AtomicU64> {
        let nodes = self.nodes.len();
        let (controller, from, to) = (controller as usize, from as usize, to as usize);
        if from >= nodes || to >= nodes {
            return None;
        }
        self.links.get((controller * nodes + from) * nodes + to)
    }

    /// What it says now; `None` where the controller has no path there.
    pub fn link_now(&self, controller: u32, from: u32, to: u32) -> Option<LinkWord> {
        // Relaxed: true by itself, at some moment.
        let word = LinkWord::from_word(self.link(controller, from, to)?.load(Relaxed));
        word.exists().then_some(word)
    }
}

#[cfg(test)]
pub(crate) mod heap {
    //! A registry on the heap, for tests, miri and loom.
    use super::*;

    pub(crate) struct Heap {
        pub(crate) header: Header,
        pub(crate) nodes: Vec<NodeRow>,
        pub(crate) controllers: Vec<ControllerRow>,
        pub(crate) links: Vec<AtomicU64>,
        pub(crate) buckets: Vec<AtomicU32>,
        pub(crate) segments: Vec<SegmentRow>,
        pub(crate) connections: Vec<ConnectionRow>,
        pub(crate) paths: Vec<AtomicU64>,
    }

    impl Heap {
        pub(crate) fn new(geometry: Geometry) -> Heap {
            let n = geometry.nodes as usize;
            Heap {
                header: Header::new(geometry),
                nodes: (0..n).map(|_| NodeRow::new()).collect(),
                controllers: (0..geometry.controllers).map(|_| ControllerRow::new()).collect(),
                links: (0..geometry.controllers as usize * n * n).map(|_| AtomicU64::new(0)).collect(),
                buckets: (0..geometry.buckets).map(|_| AtomicU32::new(0)).collect(),
                segments: (0..geometry.segments).map(|_| SegmentRow::new()).collect(),
                connections: (0..geometry.connections).map(|_| ConnectionRow::new()).collect(),
                paths: (0..geometry.connections).map(|_| AtomicU64::new(0)).collect(),
            }
        }

        pub(crate) fn registry(&self) -> Registry<'_> {
            Registry {
                header: &self.header,
                nodes: &self.nodes,
                controllers: &self.controllers,
                links: &self.links,
                buckets: &self.buckets,
                segments: &self.segments,
                connections: &self.connections,
                paths: &self.paths,
            }
        }
    }

    #[cfg(not(rsm_loom))]
    pub(crate) const SMALL: Geometry =
        Geometry { nodes: 3, controllers: 2, segments: 3, connections: 3, buckets: 2, bells: 4 };
}
