//! The control segments: how nodes tell each other numbers, and meet.
//!
//! Every node exports one, its *board*, with a row for every node. A node writes only into its own row of any
//! board, and every word is written once in the life of the program: so nobody can overwrite what somebody has not
//! read yet, and no lock is needed.
//!
//! A board's owner signals through its export, which reaches everyone connected to it; everyone waits on their own
//! import of it. That direction has two advantages. Each connection counts its own signals, so that "I have heard
//! from node 3 twice" can be told from "from node 3 and node 4 once each". And a wait on an import ends with
//! `ConnAborted` when the exporter dies, so that a dead node is noticed at once, by everybody, without a time
//! limit.

use crate::Result;
use rsm::{AccessList, Code, Controller, Export, Import, Permission, SegmentId};
use std::time::{Duration, Instant};

/// The board of a node.
const BOARD: SegmentId = SegmentId::new(0x40_0000);

/// Lengths of segments are multiples of the page size; this is one of any page size Linux knows.
const GRAIN: usize = 64 << 10;

/// How long to wait for the other nodes to be started.
const JOINING: Duration = Duration::from_secs(60);

/// How often to look meanwhile whether those that were found are still there.
const LOOKING: Duration = Duration::from_millis(500);

/// Bytes from row to row: a row shares no cache line with another.
const ROW: u64 = 128;

/// What a node says in its row of a board.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(crate) enum Word {
    /// The size of the file, as the writer of the row sees it.
    Size,
    /// Where the first line of the writer's share of the file starts.
    FirstLine,
    /// How many bytes the writer has for the owner of the board.
    Coming,
    /// Where the owner of the board shall put its bytes in the writer's partition.
    Place,
    /// Bytes the writer has read from the file (like all that follow: for the summary).
    Read,
    /// Bytes of lines it has put into partitions.
    Put,
    /// Bytes of lines it has received in its own.
    Received,
    /// Bytes of lines it has sorted.
    Sorted,
    /// Lines it has sorted.
    Lines,
}

/// A node's own board, and its connections to all boards.
pub(crate) struct Board {
    controller: Controller,
    own: Export,
    /// The board of node K at K-1, the own one included: nothing below needs to treat it differently.
    all: Vec<Import>,
}

impl Board {
    /// Joins the cluster; returns when every node has.
    pub(crate) fn open(controller: Controller) -> Result<Board> {
        let nodes = controller.node().node_count();
        let own = controller.export(segment_length(u64::from(nodes) * ROW)?)?;
        own.publish(BOARD, &AccessList::everyone())?;

        let mut all = Vec::new();
        let deadline = Instant::now() + JOINING;
        for node in 1..=nodes {
            let import = join(&all, deadline, |time| controller.connect_within(node, BOARD, Permission::Write, time))?
                .ok_or_else(|| format!("node {node} has not joined within {JOINING:?}"))?;
            all.push(import);
        }
        // A signal reaches those who are connected, so everybody has to be before the first one that counts.
        for (node, import) in (1..).zip(&all) {
            import.signal().map_err(|error| gone(node, error))?;
        }
        for missing in (1..=nodes).rev() {
            join(&all, deadline, |time| own.wait(Some(time)))?
                .ok_or_else(|| format!("{missing} of {nodes} nodes have not joined within {JOINING:?}"))?;
        }
        Ok(Board { controller, own, all })
    }

    pub(crate) fn controller(&self) -> &Controller {
        &self.controller
    }

    pub(crate) fn node(&self) -> u32 {
        self.controller.node().id()
    }

    /// All nodes, this one included.
    pub(crate) fn nodes(&self) -> std::ops::RangeInclusive<u32> {
        1..=self.controller.node().node_count()
    }

    /// Writes a number on the board of `node`. What matters about it is known after the next [`meet`](Board::meet) or
    /// [`announce`](Board::announce).
    pub(crate) fn tell(&self, node: u32, word: Word, value: u64) -> Result<()> {
        // Implicit mode, the default of an import: the put is its own barrier, and its result the verdict. Right
        // for single words; for many bytes see `exchange`.
        self.import(node).put_u64(place(self.node(), word), value).map_err(|error| gone(node, error))
    }

    /// Writes a number on every board.
    pub(crate) fn tell_all(&self, word: Word, value: u64) -> Result<()> {
        self.nodes().try_for_each(|node| self.tell(node, word, value))
    }

    /// What `node` has written on this node's board.
    pub(crate) fn told_by(&self, node: u32, word: Word) -> Result<u64> {
        Ok(self.own.memory().read_volatile_u64(place(node, word))?)
    }

    /// Waits until every node has come to this point. Everything that any of them has put before is here then, in
    /// everybody's sight.
    pub(crate) fn meet(&self) -> Result<()> {
        self.announce()?;
        self.nodes().try_for_each(|node| self.hear_from(node))
    }

    /// Tells everybody that this node has done something; everybody has to [hear](Board::hear_from) it.
    pub(crate) fn announce(&self) -> Result<()> {
        Ok(self.own.signal()?)
    }

    /// Waits until `node` announces something, once for every time.
    pub(crate) fn hear_from(&self, node: u32) -> Result<()> {
        loop {
            match self.import(node).wait(None) {
                // A UNIX signal handler ran in this thread: no news of the other node.
                Err(error) if error.code() == Code::Interrupted => {}
                result => return result.map_err(|error| gone(node, error)),
            }
        }
    }

    fn import(&self, node: u32) -> &Import {
        &self.all[node as usize - 1]
    }
}

/// Does what `wait` waits for, or gives up at the deadline.
///
/// Nobody is told of the death of a node that nobody is connected to, nor can it be told from one that is yet to be
/// started; hence the deadline. But the nodes that this one has found already should not die unnoticed, so it looks.
fn join<T>(all: &[Import], deadline: Instant, wait: impl Fn(Duration) -> rsm::Result<T>) -> Result<Option<T>> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match wait(left.min(LOOKING)) {
            Err(error) if error.code() == Code::Timeout && left.is_zero() => return Ok(None),
            Err(error) if error.code() == Code::Timeout || error.code() == Code::Interrupted => {}
            result => return Ok(Some(result?)),
        }
        if let Some(dead) = all.iter().find(|import| import.is_aborted()) {
            return Err(format!("node {} has ended too early", dead.node()).into());
        }
    }
}

/// The error of something done to a segment of `node`, in this program's words.
pub(crate) fn gone(node: u32, error: rsm::Error) -> Box<dyn std::error::Error> {
    match error.code() {
        Code::ConnAborted | Code::SegNotPublished | Code::RemoteNodeUnreachable => {
            format!("node {node} has ended too early ({error})").into()
        }
        _ => error.into(),
    }
}

/// The length of a segment with room for `bytes`.
pub(crate) fn segment_length(bytes: u64) -> Result<usize> {
    usize::try_from(bytes)
        .ok()
        .and_then(|bytes| bytes.max(1).checked_next_multiple_of(GRAIN))
        .ok_or_else(|| format!("a segment of {bytes} bytes does not fit in memory").into())
}

/// Where the row of `node` has `word`.
fn place(node: u32, word: Word) -> u64 {
    u64::from(node - 1) * ROW + word as u64 * 8
}
