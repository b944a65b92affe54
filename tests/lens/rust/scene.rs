//! What the programs share and none of them is about: a segment of each node's own, the way to the others, deadlines, and
//! an end at which nobody leaves while another still needs it.

use rsm::{AccessList, BarrierMode, Code, Controller, Error, Export, Import, LinkState, Memory, Permission, SegmentId};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::Ordering::Acquire;
use std::time::{Duration, Instant};

/// Under which number every node publishes its segment.
pub(crate) const ID: SegmentId = SegmentId::new(0x40_0000);
/// Bytes of each segment; a multiple of any page size.
pub(crate) const SEGMENT: usize = 65536;
/// Where a program's own part of a segment begins. Before it there is a word for each node.
pub(crate) const ROOM: u64 = 4096;
/// For anything that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
/// Words of a record, which is some lines long.
pub(crate) const WORDS: u64 = 32;
/// Its bytes.
pub(crate) const RECORD_BYTES: u64 = 8 * WORDS;

/// Why a node ends other than well.
pub(crate) enum Failure {
    /// The bug shows, or somebody did not come.
    Bug(String),
    /// The program was started in a wrong way.
    Start(String),
    /// A call has failed that has no reason to.
    Call(Error),
}

pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Call(error)
    }
}

/// The bug shows.
macro_rules! bug {
    ($($format:tt)*) => { return Err($crate::scene::Failure::Bug(format!($($format)*))) };
}
pub(crate) use bug;

/// A node and what it needs.
pub(crate) struct Scene {
    pub(crate) good: bool,
    pub(crate) rounds: u64,
    /// This node.
    pub(crate) me: u32,
    nodes: u32,
    pub(crate) controller: Controller,
    /// The segment of this node.
    pub(crate) export: Export,
    /// The other nodes' segments, in implicit mode.
    lobby: RefCell<Vec<Option<Rc<Import>>>>,
    /// How often all nodes have met.
    met: Cell<u64>,
    /// When this node's segment was last published anew, or tried.
    renewed: Cell<Instant>,
    /// Whether this node publishes its segment again, while it waits, when it was taken back.
    pub(crate) renews: Cell<bool>,
}

impl Scene {
    /// Joins, exports a segment to everybody, and finds out who this is.
    pub(crate) fn begin(wanted: u32, good: bool, rounds: u64) -> Result<Scene> {
        let controller = Controller::open("shm0")?;
        let (me, nodes) = (controller.node().id(), controller.node().node_count());
        if nodes != wanted {
            return Err(Failure::Start(format!("this is for {wanted} nodes: rsm-ctl run -n {wanted} -- ..")));
        }
        let export = controller.export(SEGMENT)?;
        export.publish(ID, &AccessList::everyone())?;
        let lobby = RefCell::new((0..=nodes).map(|_| None).collect());
        let (met, renewed, renews) = (Cell::new(0), Cell::new(Instant::now()), Cell::new(false));
        Ok(Scene { good, rounds, me, nodes, controller, export, lobby, met, renewed, renews })
    }

    pub(crate) fn memory(&self) -> Memory<'_> {
        self.export.memory()
    }

    /// A word of this node's segment, as it is now.
    pub(crate) fn look(&self, offset: u64) -> Result<u64> {
        Ok(self.memory().load_u64(offset, Acquire)?)
    }

    /// Waits until a word of this node's segment is another than it was.
    pub(crate) fn await_change(&self, offset: u64, from: u64) -> Result<u64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for _ in 0..1000 {
                match self.look(offset)? {
                    now if now == from => std::hint::spin_loop(),
                    now => return Ok(now),
                }
            }
            self.rest(deadline, || format!("at offset {offset}, where {from} stands"))?;
        }
    }

    /// Waits until it has come to a value, or beyond.
    pub(crate) fn await_word(&self, offset: u64, value: u64) -> Result<()> {
        let mut now = self.look(offset)?;
        while now < value {
            now = self.await_change(offset, now)?;
        }
        Ok(())
    }

    /// Lets others run, between two looks.
    pub(crate) fn rest(&self, deadline: Instant, whereof: impl FnOnce() -> String) -> Result<()> {
        if self.renews.get() && self.renewed.get().elapsed() > Duration::from_millis(5) {
            self.renewed.set(Instant::now());
            self.renew()?;
        }
        if Instant::now() > deadline {
            bug!("node {} has waited for {PATIENCE:?} {}", self.me, whereof());
        }
        spend(10);
        Ok(())
    }

    /// Takes a signal that another node posted to this node's segment.
    pub(crate) fn await_signal(&self) -> Result<()> {
        loop {
            match self.export.wait(Some(PATIENCE)) {
                Err(error) if error.code() == Code::Interrupted => {}
                Err(error) if error.code() == Code::Timeout => {
                    bug!("node {} has waited for {PATIENCE:?} for a signal", self.me)
                }
                taken => return Ok(taken?),
            }
        }
    }

    /// Connects to the segment of a node, waiting until it is there. In explicit mode.
    pub(crate) fn import_from(&self, node: u32) -> Result<Import> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.controller.connect(node, ID, Permission::ReadWrite) {
                Ok(import) => {
                    import.set_mode(BarrierMode::Explicit);
                    return Ok(import);
                }
                Err(error) if may_come(error.code()) => self.rest(deadline, || format!("for node {node}"))?,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The way to a node's segment for what is told and asked.
    fn visit(&self, node: u32) -> Result<Rc<Import>> {
        if let Some(import) = &self.lobby.borrow()[node as usize] {
            return Ok(Rc::clone(import));
        }
        let import = Rc::new(self.import_from(node)?);
        import.set_mode(BarrierMode::Implicit);
        self.lobby.borrow_mut()[node as usize] = Some(Rc::clone(&import));
        Ok(import)
    }

    /// Gives the way to a node up; the next who tells it something connects anew.
    pub(crate) fn turn_away(&self, node: u32) {
        self.lobby.borrow_mut()[node as usize] = None;
    }

    /// Stores a word in another node's segment, in implicit mode: a span of its own, which has arrived when this returns
    /// and says nothing of others. A link that had an error is tried again.
    pub(crate) fn tell(&self, node: u32, offset: u64, value: u64) -> Result<()> {
        let import = self.visit(node)?;
        Ok(again(|| import.put_u64(offset, value))?)
    }

    /// Loads a word of another node's segment.
    pub(crate) fn ask(&self, node: u32, offset: u64) -> Result<u64> {
        let import = self.visit(node)?;
        Ok(again(|| import.get_u64(offset))?)
    }

    /// Signals to another node's segment.
    pub(crate) fn signal(&self, node: u32) -> Result<()> {
        Ok(self.visit(node)?.signal()?)
    }

    /// Whether a node has processes.
    pub(crate) fn is_there(&self, node: u32) -> Result<bool> {
        let topology = self.controller.node().topology()?;
        let mut paths = topology.controllers.iter().flat_map(|controller| &controller.remotes);
        Ok(paths.any(|path| path.node == node && path.state == LinkState::Active))
    }

    /// Publishes this node's segment again, if it was taken back.
    fn renew(&self) -> Result<()> {
        match self.export.publish(ID, &AccessList::everyone()) {
            Ok(_) => Ok(()),
            Err(error) if matches!(error.code(), Code::SegAlreadyPublished | Code::InsufficientResources) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Goes on when every node has come as far. At the end some may have gone on, and ended: they were told all the same.
    pub(crate) fn meet(&self) -> Result<()> {
        self.met.set(self.met.get() + 1);
        let others = || (1..=self.nodes).filter(|&node| node != self.me);
        for node in others() {
            match self.tell(node, u64::from(8 * self.me), self.met.get()) {
                Err(Failure::Call(error)) if error.code() == Code::ConnAborted => {}
                told => told?,
            }
        }
        others().try_for_each(|node| self.await_word(u64::from(8 * node), self.met.get()))
    }

    /// That a record of this node's segment is the one with the number, and no other.
    pub(crate) fn expect(&self, offset: u64, number: u64) -> Result<()> {
        let mut bytes = [0; RECORD_BYTES as usize];
        self.memory().read(offset, &mut bytes)?;
        let words = bytes.as_chunks().0.iter().map(|&word| u64::from_ne_bytes(word));
        match words.enumerate().find(|&(_, word)| word != number) {
            Some((i, word)) => bug!("record {number} is torn: word {i} is of record {word}"),
            None => Ok(()),
        }
    }
}

/// A record: all words are its number.
pub(crate) fn record(number: u64) -> Vec<u8> {
    number.to_ne_bytes().repeat(WORDS as usize)
}

/// Does something else for a while.
pub(crate) fn spend(microseconds: u64) {
    std::thread::sleep(Duration::from_micros(microseconds));
}

/// Whether what was not there may still come.
fn may_come(code: Code) -> bool {
    matches!(code, Code::SegNotPublished | Code::RemoteNodeUnreachable | Code::Interrupted)
}

/// Does a transfer until the link had no error meanwhile.
fn again<T>(mut transfer: impl FnMut() -> rsm::Result<T>) -> rsm::Result<T> {
    loop {
        match transfer() {
            Err(error) if error.code() == Code::BarrierFailure => {}
            done => return done,
        }
    }
}

/// Numbers in no order, the same in each run of a node.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}
