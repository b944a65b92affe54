//! What was released to the processes of a node: by who put something into its memory, or signalled.

use crate::clock::{Row, grow, merge};
use crate::table::{IDS, NODES, Table, Word};
use rsm_core::sync::{AtomicU64, Ordering::Relaxed};

/// Words of a node, after its vectors.
const MAPPED_BY: usize = 3 * IDS;
const MAPS: usize = MAPPED_BY + 1;
const HAS_HIDDEN: usize = MAPS + 1;
const PROCESSES: usize = HAS_HIDDEN + 1;
const APART: usize = PROCESSES + 1;
const TOGETHER: usize = APART + 1;
const REACHED: usize = TOGETHER + 1;

/// What is released to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Inbox {
    /// By what is put into its memory: known to who reads it.
    Put = 0,
    /// By signals to its exports, and by who gives an import from it back.
    Signal = 1,
    /// By signals of its exports: known to who imports from it.
    SignalToAll = 2,
}

/// A node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'a> {
    table: Table<'a>,
    node: u32,
    words: &'a [AtomicU64],
}

impl<'a> Node<'a> {
    pub(crate) fn of(table: Table<'a>, node: u32) -> Node<'a> {
        Node { table, node, words: table.node(node) }
    }

    pub(crate) fn inbox(self, inbox: Inbox) -> &'a [AtomicU64] {
        let start = inbox as usize * IDS;
        &self.words[start..start + IDS]
    }

    /// A process tells what it knows and has done.
    pub(crate) fn tell(self, inbox: Inbox, process: Row<'_>) {
        let into = self.inbox(inbox);
        merge(self.table, into, process.vector());
        grow(&into[process.id], process.told());
    }

    /// And that a clock has come so far.
    pub(crate) fn tell_of(self, inbox: Inbox, id: usize, clock: u64) {
        grow(&self.inbox(inbox)[id % IDS], clock);
    }

    /// A process of it has come, which was built to be looked at, or not.
    pub(crate) fn comes(self, whole: bool) {
        self.words[PROCESSES].fetch_add(1, Relaxed);
        if !whole {
            self.words[HAS_HIDDEN].store(1, Relaxed);
        }
    }

    /// Whether its process, or each of them, was built to be looked at: no memory of it is ever compared. That does not
    /// change any more, as one that comes later is one of several.
    pub(crate) fn is_whole(self) -> bool {
        self.words[PROCESSES].load(Relaxed) > 0 && self.words[HAS_HIDDEN].load(Relaxed) == 0
    }

    /// What is done with memory there is hidden.
    pub(crate) fn hides(self) {
        self.words[HAS_HIDDEN].store(1, Relaxed);
    }

    /// Whether it had more than one process, or threads of which it is not known any more what orders them: of them all, what
    /// one knows the others do.
    pub(crate) fn has_several(self) -> bool {
        self.words[PROCESSES].load(Relaxed) > 1 || self.words[TOGETHER].load(Relaxed) != 0
    }

    /// Its threads have clocks of their own from now on.
    pub(crate) fn tells_threads_apart(self) {
        self.words[APART].store(1, Relaxed);
    }

    /// And do not any more.
    pub(crate) fn takes_threads_together(self) {
        self.words[TOGETHER].store(1, Relaxed);
    }

    /// Whether its threads are told apart.
    pub(crate) fn is_apart(self) -> bool {
        self.words[APART].load(Relaxed) != 0 && !self.has_several()
    }

    /// A process of it has mapped memory of this node, where what it does is hidden.
    pub(crate) fn maps(self, target: u32) {
        self.words[MAPS].fetch_or(1 << (target % 64), Relaxed);
        Node::of(self.table, target).words[MAPPED_BY].fetch_or(1 << (self.node % 64), Relaxed);
        self.table.word(Word::Maps).store(1, Relaxed);
    }

    /// A process of whichever node reaches memory of it by itself, or is about to.
    pub(crate) fn is_reached_from_now_on(self) {
        self.words[REACHED].store(1, Relaxed);
    }

    /// Whether any ever did: what changes there need not be its owner's doing.
    pub(crate) fn was_reached(self) -> bool {
        self.words[REACHED].load(Relaxed) != 0
    }

    /// The nodes whose processes may have told each other something by way of this one's memory, itself among them: a bit
    /// for each.
    pub(crate) fn around(self) -> u64 {
        let mut nodes = 1 << (self.node % 64);
        if self.table.word(Word::Maps).load(Relaxed) == 0 {
            return nodes;
        }
        loop {
            let further = bits(nodes).fold(nodes, |all, node| {
                let words = self.table.node(node);
                all | words[MAPS].load(Relaxed) | words[MAPPED_BY].load(Relaxed)
            });
            if further == nodes {
                return nodes;
            }
            nodes = further;
        }
    }
}

/// The nodes of a set.
pub(crate) fn bits(set: u64) -> impl Iterator<Item = u32> {
    (0..NODES as u32).filter(move |node| set >> node & 1 == 1)
}

/// Those of them where what is done with memory is hidden.
pub(crate) fn hidden_of(table: Table<'_>, nodes: u64) -> u64 {
    bits(nodes).filter(|&node| table.node(node)[HAS_HIDDEN].load(Relaxed) != 0).fold(0, |set, node| set | 1 << node)
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::table::tests::memory;

    #[test]
    fn mappings_lead_from_node_to_node() {
        let memory = memory(0);
        let table = Table::new(&memory);
        let node = |node| Node::of(table, node);
        assert_eq!(node(1).around(), 0b10);
        node(1).maps(2);
        node(3).maps(2);
        assert_eq!((node(1).around(), node(4).around()), (0b1110, 0b1_0000));
        node(4).comes(false);
        node(1).comes(true);
        assert_eq!(hidden_of(table, 0b1_1110), 0b1_0000);
        assert!(!node(4).has_several());
        node(4).comes(true);
        assert!(node(4).has_several());
    }
}
