//! Stores and signals that are on their way: what a node has posted and its memory has not seen.
//!
//! A put is cut into pieces, each of which is *due* at a time that the seed draws; whoever holds the log delivers what is
//! due, the earliest first. When a piece is due says everything about order: a [model](super::model) raises the time
//! above that of pieces which have to come before. A span is closed when no piece of it is left.
//!
//! # The argument
//!
//! *Who finds the log empty of an import's pieces knows that every store it has posted has been executed*, whichever
//! thread executed it: pieces leave the log and are delivered under one lock, so who finds none under the lock comes after
//! the last delivery. The verdict of a span settles first, then executes its full fence and compares, and so is as good
//! as if the stores had been made where they were asked for: they are stores of this process, made after the span opened
//! and before its fence ([`crate::verdict`]). The loom model `a_posted_store_that_is_vouched_for_came_first` fails when a
//! piece is delivered outside of the lock, and when the verdict compares before it settles.
//!
//! # Crash
//!
//! The log is memory of the process. What it held when it died is lost, as with a store in the buffer of a bridge; nobody
//! was told that it arrived.

use super::draw::{Draws, scale};
use super::model::{Model, WORD};
use super::{Lens, Strength};
use crate::sync::{Mutex, MutexGuard, mutated};
use crate::verdict::BarrierType;
use std::collections::BTreeMap;

/// Pieces that are held at most; more, and the earliest are delivered before they are due.
const MOST_PIECES: usize = if cfg!(rsm_loom) { 2 } else { 512 };
/// Bytes likewise.
const MOST_BYTES: u64 = 64 << 20;

/// An import, as the log knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(u64);

/// Where a piece goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// So many bytes of the segment from an offset on.
    Bytes {
        /// In bytes from the start of the segment.
        offset: u64,
        /// In bytes.
        length: u64,
    },
    /// The exporter's bell.
    Bell,
}

impl Target {
    fn shares_a_word(self, other: Target) -> bool {
        let words = |target| match target {
            Target::Bytes { offset, length } => offset / WORD..(offset + length).div_ceil(WORD),
            Target::Bell => 0..0,
        };
        let (a, b) = (words(self), words(other));
        a.start < b.end && b.start < a.end
    }

    fn bytes(self) -> u64 {
        match self {
            Target::Bytes { length, .. } => length,
            Target::Bell => 0,
        }
    }
}

/// Something on its way.
#[derive(Debug)]
pub struct Piece<C> {
    /// Through which import.
    pub import: Key,
    /// Where to.
    pub target: Target,
    /// What it carries.
    pub cargo: C,
    /// Grows with each piece of the node.
    number: u64,
    /// It comes after what its own import, and all imports of its node, had posted up to these numbers.
    after: After,
}

/// Numbers of the last pieces that order barriers have put before what is posted from then on.
#[derive(Clone, Copy, Debug, Default)]
struct After {
    own: u64,
    node: u64,
}

/// What the log knows of an import.
#[derive(Debug)]
struct Import {
    node: u32,
    id: u32,
    /// Which import of this segment, from 1.
    nth: u64,
    draws: Numbers,
    after: After,
    /// Something was stored since the last span ended.
    stores: bool,
    /// When the signal is due, and its number, that waits for the next one.
    held: Option<(u64, u64)>,
    /// What is posted from now on is not due before this.
    floor: u64,
    /// Of the present span: the longest delay, and whether what is posted later comes first.
    scale: u64,
    backwards: bool,
}

/// What an import draws from. How many stores are found in a mapping, and when, depends on who looks: were they to share
/// a sequence with what the program puts, or this one with spans, the same seed would delay the same puts otherwise.
#[derive(Debug)]
struct Numbers {
    spans: Draws,
    calls: Draws,
    mapped: Draws,
}

impl Numbers {
    fn of(import: [u64; 5]) -> Numbers {
        let [spans, calls, mapped] = [0, 1, 2].map(|which| Draws::of_import(import, which));
        Numbers { spans, calls, mapped }
    }

    fn delays(&mut self, source: Source) -> &mut Draws {
        match source {
            Source::Call => &mut self.calls,
            Source::Mapping => &mut self.mapped,
        }
    }
}

/// How something comes to be posted.
#[derive(Clone, Copy, Debug)]
enum Source {
    Call,
    /// A store through a mapping was found.
    Mapping,
}

impl Import {
    fn begin_span(&mut self, strength: Strength) {
        self.scale = strength.of(scale(self.draws.spans.number()));
        // A flag that says that data is there is stored last: it arrives first in such a span.
        self.backwards = self.draws.spans.one_in(4);
    }
}

/// A piece that arrived before one that was posted earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overtaking {
    /// The node, the segment's id and the place of who came too early.
    pub early: (u32, u32, Target),
    /// The same of who was posted before.
    pub late: (u32, u32, Target),
}

/// What has become of pieces so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Pieces that have been delivered.
    pub pieces: u64,
    /// Those among them that came before one which was posted earlier.
    pub out_of_order: u64,
    /// The last of these.
    pub last: Option<Overtaking>,
}

/// What a node's process has posted.
#[derive(Debug)]
pub struct Log<C> {
    model: Model,
    is_late: bool,
    strength: Strength,
    seed: u64,
    own_node: u32,
    /// By the time at which they are due, then in the order in which they were posted.
    pieces: BTreeMap<(u64, u64), Piece<C>>,
    bytes: u64,
    /// What is lost and not told yet: of which import, and the piece's number.
    untold: Vec<(Key, u64)>,
    imports: BTreeMap<Key, Import>,
    /// How many imports of a segment there were.
    made: BTreeMap<(u32, u32), u64>,
    /// The last barrier that ordered all that goes to a node: up to which number, and when the last of that is due.
    ordered: BTreeMap<u32, (u64, u64)>,
    next_key: u64,
    next_number: u64,
    /// When the last piece of the node is due, where all are in order.
    last: u64,
    quiet: bool,
    delivered: Delivered,
}

impl<C> Log<C> {
    /// Nothing is on its way from `own_node`.
    pub fn new(lens: &Lens, own_node: u32) -> Log<C> {
        Log {
            // Where nothing is late, everything is due at once.
            model: lens.model.unwrap_or(Model::Tso),
            is_late: lens.model.is_some(),
            strength: lens.strength,
            seed: lens.seed,
            own_node,
            pieces: BTreeMap::new(),
            bytes: 0,
            untold: Vec::new(),
            imports: BTreeMap::new(),
            made: BTreeMap::new(),
            ordered: BTreeMap::new(),
            next_key: 0,
            next_number: 0,
            last: 0,
            quiet: false,
            delivered: Delivered::default(),
        }
    }

    /// Takes an import in. Its numbers are its own: they follow from the seed, the two nodes, the segment, and how many
    /// imports of it this process has made.
    pub fn enter(&mut self, node: u32, id: u32) -> Key {
        let made = self.made.entry((node, id)).or_default();
        *made += 1;
        let nth = *made;
        let draws = Numbers::of([self.seed, self.own_node.into(), node.into(), id.into(), nth]);
        // A barrier for all that goes to the node binds what is posted later, through whichever import.
        let (number, floor) = self.ordered.get(&node).copied().unwrap_or_default();
        let after = After { own: number, node: number };
        let (stores, held) = (false, None);
        let mut import = Import { node, id, nth, draws, after, stores, held, floor, scale: 0, backwards: false };
        import.begin_span(self.strength);
        self.next_key += 1;
        let key = Key(self.next_key);
        self.imports.insert(key, import);
        self.quiet = false;
        key
    }

    /// Which import of its segment this is, of those that were made, from 1.
    pub fn nth(&self, key: Key) -> u64 {
        self.imports.get(&key).map_or(0, |import| import.nth)
    }

    /// Forgets an import, and what is on its way through it.
    pub fn leave(&mut self, key: Key) {
        self.forget(key);
        self.imports.remove(&key);
    }

    /// Forgets what is on its way through an import: it would arrive nowhere.
    pub fn forget(&mut self, key: Key) {
        self.pieces.retain(|_, piece| piece.import != key);
        self.bytes = self.pieces.values().map(|piece| piece.target.bytes()).sum();
    }

    /// Takes out everything that is on its way through an import, in the order in which it is due.
    pub fn take_all(&mut self, key: Key) -> Vec<Piece<C>> {
        let due: Vec<_> = self.pieces.iter().filter(|(_, piece)| piece.import == key).map(|(due, _)| *due).collect();
        let pieces: Vec<_> = due.iter().filter_map(|due| self.pieces.remove(due)).collect();
        self.bytes -= pieces.iter().map(|piece| piece.target.bytes()).sum::<u64>();
        pieces
    }

    /// Takes out all signals that are on their way, in the order in which they are due.
    pub fn take_signals(&mut self) -> Vec<Piece<C>> {
        let is_signal = |(_, piece): &(&(u64, u64), &Piece<C>)| piece.target == Target::Bell;
        let due: Vec<_> = self.pieces.iter().filter(is_signal).map(|(due, _)| *due).collect();
        due.iter().filter_map(|due| self.pieces.remove(due)).collect()
    }

    /// Forgets everything that is on its way: in a forked child, whose parent delivers it.
    pub fn forget_all(&mut self) {
        self.pieces.clear();
        self.bytes = 0;
        self.untold.clear();
        self.delivered = Delivered::default();
    }

    /// Whether there is no import.
    pub fn is_idle(&self) -> bool {
        self.imports.is_empty()
    }

    /// Delays nothing from now on, until the next import is entered or [`loud`](Self::loud): for the end of a program,
    /// whose last checks are about what is there and not about when.
    pub fn quiet(&mut self) {
        self.quiet = true;
    }

    /// Delays again.
    pub fn loud(&mut self) {
        self.quiet = false;
    }

    /// What has become of what was posted.
    pub fn delivered(&self) -> &Delivered {
        &self.delivered
    }

    /// When a piece is due that is posted now.
    fn due(&mut self, key: Key, target: Target, now: u64, source: Source) -> u64 {
        let (quiet, in_order, number) = (self.quiet || !self.is_late, self.model.is_in_order(), self.next_number);
        if !self.is_late {
            return now;
        }
        let Some(import) = self.imports.get_mut(&key) else { return now };
        let scale = if quiet { 0 } else { import.scale };
        let draws = import.draws.delays(source);
        let mut due = now + draws.below(scale);
        if in_order {
            due = due.max(self.last + 1);
            self.last = due;
            return due;
        }
        if matches!(target, Target::Bell) {
            return due;
        }
        let (floor, backwards) = (import.floor, import.backwards && scale > 0);
        // Drawn in any case: what is drawn does not depend on the time.
        let again = draws.below(scale / 4);
        if due < floor {
            due = floor + again;
        }
        let own = || self.pieces.iter().filter(|(_, piece)| piece.import == key);
        if backwards && let Some(earliest) = own().map(|((due, _), _)| *due).find(|due| *due >= floor) {
            due = due.min(earliest.saturating_sub(1).max(now)).max(floor);
        }
        let same_words = own().filter(|(_, piece)| piece.target.shares_a_word(target));
        // Of two that are due at the same time the one posted first comes first.
        let after = same_words.map(|((due, before), _)| if *before < number { *due } else { *due + 1 }).max();
        due.max(after.unwrap_or(0))
    }

    /// Posts a piece.
    pub fn post(&mut self, key: Key, target: Target, cargo: C, now: u64) {
        self.insert(key, target, cargo, now, Source::Call);
    }

    /// Posts a piece that the program has stored through a mapping.
    pub fn post_found(&mut self, key: Key, target: Target, cargo: C, now: u64) {
        self.insert(key, target, cargo, now, Source::Mapping);
    }

    /// Posts a signal, which is `by` later than others, and `waits` for the next one: it is lost then, or has arrived.
    /// Another one that waits is lost now.
    pub fn signal(&mut self, key: Key, cargo: C, now: u64, by: u64, waits: bool) {
        if let Some(held) = self.imports.get_mut(&key).and_then(|import| import.held.take()) {
            self.pieces.remove(&held);
        }
        let at = self.insert(key, Target::Bell, cargo, now + by, Source::Call);
        if waits && let Some(import) = self.imports.get_mut(&key) {
            import.held = Some(at);
        }
    }

    /// Enters a piece; gives when it is due, and its number.
    fn insert(&mut self, key: Key, target: Target, cargo: C, now: u64, source: Source) -> (u64, u64) {
        let due = self.due(key, target, now, source);
        self.next_number += 1;
        let number = self.next_number;
        self.bytes += target.bytes();
        let mut after = After::default();
        if let Some(import) = self.imports.get_mut(&key) {
            import.stores |= target != Target::Bell;
            after = import.after;
        }
        self.pieces.insert((due, number), Piece { import: key, target, cargo, number, after });
        (due, number)
    }

    /// Something was stored through an import without being posted.
    pub fn note_store(&mut self, key: Key) {
        if let Some(import) = self.imports.get_mut(&key) {
            import.stores = true;
        }
    }

    /// Whether something was stored through an import since the last span ended.
    pub fn has_stored(&self, key: Key) -> bool {
        self.imports.get(&key).is_some_and(|import| import.stores)
    }

    /// Whether a piece comes after another, whatever else happens.
    fn comes_after(&self, later: &Piece<C>, earlier: &Piece<C>) -> bool {
        let node = |piece: &Piece<C>| self.imports.get(&piece.import).map(|import| import.node);
        let own = later.import == earlier.import && later.after.own >= earlier.number;
        let near = node(later) == node(earlier) && later.after.node >= earlier.number;
        own || near || (self.model.is_in_order() && later.number > earlier.number)
    }

    /// Loses some of the stores that are on their way through an import, and never all of them if they are several; `number`
    /// draws which. Nothing arrives that was ordered after what is lost: of two stores with an order barrier between nobody
    /// ever sees the later one alone. Barriers that would have waited for it wait until that [is told](Self::told_loss).
    pub fn lose(&mut self, key: Key, number: u64) -> Vec<Piece<C>> {
        let mut draws = Draws::of(&[number]);
        let stores = || self.pieces.iter().filter(|(_, piece)| piece.target != Target::Bell);
        let mut own: Vec<_> = stores().filter(|(_, piece)| piece.import == key).collect();
        own.sort_by_key(|(_, piece)| piece.number);
        // What another import has ordered after one would come without it.
        own.retain(|(_, one)| !stores().any(|(_, other)| other.import != key && self.comes_after(other, one)));
        let Some(last) = own.len().checked_sub(1) else { return Vec::new() };
        let first = if last > 0 { 1 + draws.below(last as u64) as usize } else { 0 };
        if last == 0 && draws.one_in(2) {
            return Vec::new();
        }
        let mut lost: Vec<usize> = Vec::new();
        for at in first..own.len() {
            let behind = lost.iter().any(|&before| self.comes_after(own[at].1, own[before].1));
            // Drawn for each, so that the numbers do not depend on what was ordered.
            let drawn = draws.one_in(2);
            if at == first || behind || drawn {
                lost.push(at);
            }
        }
        let lost: Vec<(u64, u64)> = lost.into_iter().map(|at| *own[at].0).collect();
        let lost: Vec<Piece<C>> = lost.iter().filter_map(|due| self.pieces.remove(due)).collect();
        self.bytes -= lost.iter().map(|piece| piece.target.bytes()).sum::<u64>();
        self.untold.extend(lost.iter().map(|piece| (piece.import, piece.number)));
        lost
    }

    /// It has been told that something of an import was lost: barriers wait for that no more.
    pub fn told_loss(&mut self, key: Key) {
        self.untold.retain(|(import, _)| *import != key);
    }

    /// What is posted from now on comes after what has been, as far as a barrier of this type reaches.
    pub fn order(&mut self, key: Key, kind: BarrierType) {
        let Some(node) = self.imports.get(&key).map(|import| import.node) else { return };
        let floor = self.last_of(key, kind, u64::MAX).map_or(0, |last| last + 1);
        if kind == BarrierType::Node {
            let (number, before) = self.ordered.entry(node).or_default();
            (*number, *before) = (self.next_number, floor.max(*before));
        }
        for (other, import) in &mut self.imports {
            if kind == BarrierType::Node && import.node == node {
                import.after.node = self.next_number;
            }
            if *other == key || (kind == BarrierType::Node && import.node == node) {
                import.after.own = self.next_number;
                import.floor = import.floor.max(floor);
            }
        }
        if let Some(import) = self.imports.get_mut(&key) {
            import.begin_span(self.strength);
        }
    }

    /// Ends a span of an import: what comes next has delays of its own. Gives how long the answer is on its way.
    pub fn end_span(&mut self, key: Key) -> u64 {
        let (quiet, strength) = (self.quiet || !self.is_late, self.strength);
        let Some(import) = self.imports.get_mut(&key) else { return 0 };
        import.stores = false;
        let drawn = import.draws.spans.below(import.scale);
        let delay = if quiet { 0 } else { drawn };
        import.begin_span(strength);
        delay
    }

    /// How many pieces have been posted.
    pub fn posted(&self) -> u64 {
        self.next_number
    }

    /// When the last store of the first `posted` pieces is due that a barrier of an import has to wait for: it waits for
    /// nothing that came later. `None`: they have all been executed, whichever thread executed them.
    pub fn last_due_of(&self, key: Key, kind: BarrierType, posted: u64) -> Option<u64> {
        // No verdict before it is told that something was lost.
        let untold = |&(other, number): &(Key, u64)| number <= posted && self.reaches(key, kind, other);
        if self.untold.iter().any(untold) { Some(u64::MAX) } else { self.last_of(key, kind, posted) }
    }

    fn last_of(&self, key: Key, kind: BarrierType, posted: u64) -> Option<u64> {
        let is_meant = |piece: &Piece<C>| piece.target != Target::Bell && piece.number <= posted;
        let mut meant = self.pieces.iter().rev().filter(|(_, piece)| is_meant(piece));
        meant.find(|(_, piece)| self.reaches(key, kind, piece.import)).map(|((due, _), _)| *due)
    }

    /// Whether a barrier of an import waits for what was stored through another.
    pub fn reaches(&self, key: Key, kind: BarrierType, other: Key) -> bool {
        let node = |key| self.imports.get(&key).map(|import| import.node);
        // Where everything is in order, what comes last comes after all the rest.
        other == key || self.model.is_in_order() || (kind == BarrierType::Node && node(key) == node(other))
    }

    /// When the next piece is due.
    pub fn next_due(&self) -> Option<u64> {
        self.pieces.first_key_value().map(|((due, _), _)| *due)
    }

    /// Takes out the piece that is to be delivered next: the earliest of those that are due, and of all where too much is
    /// held.
    fn take(&mut self, now: u64) -> Option<Piece<C>> {
        let full = self.pieces.len() > MOST_PIECES || self.bytes > MOST_BYTES;
        let first = self.pieces.first_entry().filter(|first| first.key().0 <= now || full)?;
        let piece = first.remove();
        self.bytes -= piece.target.bytes();
        self.note(&piece);
        Some(piece)
    }

    /// Counts a piece, and notes whom it overtook.
    fn note(&mut self, piece: &Piece<C>) {
        self.delivered.pieces += 1;
        let place =
            |piece: &Piece<C>| self.imports.get(&piece.import).map(|import| (import.node, import.id, piece.target));
        let Some(early) = place(piece) else { return };
        let earlier = self.pieces.values().filter(|other| other.number < piece.number && other.target != Target::Bell);
        let late = earlier.filter_map(place).find(|(node, ..)| *node == early.0);
        if let Some(late) = late {
            self.delivered.out_of_order += 1;
            self.delivered.last = Some(Overtaking { early, late });
        }
    }

    /// What is on its way to these bytes through an import, in the order in which it was posted.
    pub fn over(&self, key: Key, offset: u64, length: u64) -> Vec<&Piece<C>> {
        let range = offset..offset + length;
        let touches = |piece: &&Piece<C>| match piece.target {
            Target::Bytes { offset, length } => offset < range.end && range.start < offset + length,
            Target::Bell => false,
        };
        let mut over: Vec<_> = self.pieces.values().filter(|piece| piece.import == key).filter(touches).collect();
        over.sort_by_key(|piece| piece.number);
        over
    }
}

/// A log that threads share.
#[derive(Debug)]
pub struct Posted<C>(Mutex<Log<C>>);

impl<C> Posted<C> {
    /// Shares a log.
    pub fn new(log: Log<C>) -> Posted<C> {
        Posted(Mutex::new(log))
    }

    /// The log. What is delivered is delivered while this is held.
    pub fn lock(&self) -> MutexGuard<'_, Log<C>> {
        // A delivery that panicked delivered what it did.
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Delivers what is due, and gives when the next piece is.
    pub fn turn(&self, now: u64, deliver: impl FnMut(&Piece<C>)) -> Option<u64> {
        self.turn_with(self.lock(), now, deliver).next_due()
    }

    /// [`turn`](Self::turn) for who holds the log already, and goes on to.
    pub fn turn_with<'a>(
        &'a self,
        mut log: MutexGuard<'a, Log<C>>,
        now: u64,
        mut deliver: impl FnMut(&Piece<C>),
    ) -> MutexGuard<'a, Log<C>> {
        while let Some(piece) = log.take(now) {
            if mutated("lens_delivers_unlocked") {
                drop(log);
                deliver(&piece);
                log = self.lock();
                continue;
            }
            deliver(&piece);
        }
        log
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BYTES: usize = 1024;

    fn bytes(offset: u64, length: u64) -> Target {
        Target::Bytes { offset, length }
    }

    fn log(seed: u64, model: Model) -> Log<u8> {
        Log::new(&Lens::chaos(seed).model(model), 1)
    }

    /// What a node does.
    #[derive(Clone, Debug)]
    enum Step {
        Put(usize, u64, u64),
        Order(usize, bool),
        Close(usize, bool),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0usize..3, 0u64..500, 1u64..300).prop_map(|(i, offset, length)| Step::Put(i, offset, length)),
            1 => (0usize..3, any::<bool>()).prop_map(|(i, all)| Step::Order(i, all)),
            1 => (0usize..3, any::<bool>()).prop_map(|(i, all)| Step::Close(i, all)),
            2 => (0u64..100_000).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 0..60)
    }

    /// A put, as the one who watches the memory knows it.
    struct Put {
        import: usize,
        pieces: usize,
        arrived: usize,
        /// How many order barriers of this import came before; a barrier of its node counts for all of its imports.
        epoch: u64,
    }

    proptest! {
        /// Whatever the model and the seed: words end as the last put left them, who settles has everything, and nothing
        /// overtakes an order barrier; under `tso` nothing overtakes anything.
        #[test]
        fn no_model_permits_more_than_it_says(seed: u64, which in 0usize..3, steps in steps()) {
            let model = Model::ALL[which].1;
            let posted = Posted::new(log(seed, model));
            // Imports 0 and 1 lead to the same node.
            let keys = [(2, 7), (2, 8), (3, 7)].map(|(node, id)| posted.lock().enter(node, id));
            let same_node = |a: usize, b: usize| a == b || (a < 2 && b < 2);
            let (mut wanted, mut held) = (vec![[0u8; BYTES]; 3], vec![[0u8; BYTES]; 3]);
            let (mut puts, mut epochs): (Vec<Put>, _) = (Vec::new(), [0u64; 3]);
            let mut now = 0;
            let mut problem = None;
            for step in steps {
                let mut deliver = |piece: &Piece<u8>, puts: &mut Vec<Put>| {
                    let import = keys.iter().position(|key| *key == piece.import).unwrap();
                    let Target::Bytes { offset, length } = piece.target else { return };
                    held[import][offset as usize..(offset + length) as usize].fill(piece.cargo);
                    let at = usize::from(piece.cargo) - 1;
                    puts[at].arrived += 1;
                    let epoch = puts[at].epoch;
                    for (other, put) in puts[..at].iter().enumerate() {
                        let ordered = model.is_in_order() || (put.import == import && put.epoch < epoch);
                        if ordered && put.arrived < put.pieces {
                            problem = Some(format!("put {at} overtook put {other}"));
                        }
                    }
                };
                match step {
                    Step::Put(import, offset, length) if puts.len() < 250 => {
                        let cargo = puts.len() as u8 + 1;
                        wanted[import][offset as usize..(offset + length) as usize].fill(cargo);
                        let mut pieces = 0;
                        let mut log = posted.lock();
                        for (offset, length) in model.cuts(offset, length) {
                            log.post(keys[import], bytes(offset, length), cargo, now);
                            pieces += 1;
                        }
                        puts.push(Put { import, pieces, arrived: 0, epoch: epochs[import] });
                        drop(posted.turn_with(log, now, |piece| deliver(piece, &mut puts)));
                    }
                    Step::Put(..) => {}
                    Step::Order(import, all) => {
                        let kind = if all { BarrierType::Node } else { BarrierType::Segment };
                        posted.lock().order(keys[import], kind);
                        for (other, epoch) in epochs.iter_mut().enumerate() {
                            *epoch += u64::from(other == import || (all && same_node(other, import)));
                        }
                    }
                    Step::Close(import, all) => {
                        let kind = if all { BarrierType::Node } else { BarrierType::Segment };
                        loop {
                            let log = posted.turn_with(posted.lock(), now, |p| deliver(p, &mut puts));
                            let Some(due) = log.last_due_of(keys[import], kind, u64::MAX) else { break };
                            prop_assert!(due > now);
                            now = due;
                        }
                        now += posted.lock().end_span(keys[import]);
                        for put in &puts {
                            let closed = put.import == import || (all && same_node(put.import, import));
                            prop_assert!(!closed || put.arrived == put.pieces, "a closed put is on its way");
                        }
                    }
                    Step::Pass(time) => {
                        now += time;
                        posted.turn(now, |piece| deliver(piece, &mut puts));
                    }
                }
                prop_assert!(problem.is_none(), "{problem:?}");
            }
            posted.turn(u64::MAX, |piece| {
                let import = keys.iter().position(|key| *key == piece.import).unwrap();
                if let Target::Bytes { offset, length } = piece.target {
                    held[import][offset as usize..(offset + length) as usize].fill(piece.cargo);
                }
            });
            prop_assert_eq!(held, wanted);
            prop_assert!(posted.lock().bytes == 0 && posted.lock().next_due().is_none());
        }
    }

    /// The order in which twenty words arrive that are put in one span.
    fn order(seed: u64, model: Model) -> Vec<u64> {
        let posted = Posted::new(log(seed, model));
        let key = posted.lock().enter(2, 7);
        let mut order = Vec::new();
        for i in 0..20 {
            posted.lock().post(key, bytes(i * 64, 8), 1, i);
        }
        posted.turn(u64::MAX, |piece| {
            if let Target::Bytes { offset, .. } = piece.target {
                order.push(offset / 64);
            }
        });
        order
    }

    /// Without this the lens would show nothing.
    /// What is found in a mapping depends on who looks when; what is put is delayed alike.
    #[test]
    fn stores_that_are_found_change_no_delay_of_what_is_put() {
        let dues = |found: u64| {
            let mut log = log(11, Model::Pcie);
            let key = log.enter(2, 7);
            let mut dues = Vec::new();
            for i in 0..40 {
                for j in 0..found {
                    log.post_found(key, bytes(4096 + (i * found + j) * 8, 8), 0, 0);
                }
                log.post(key, bytes(i * 64, 64), 1, 0);
                dues.extend(log.pieces.iter().filter(|(_, piece)| piece.cargo == 1).map(|((due, _), _)| *due));
                log.forget(key);
                log.end_span(key);
            }
            dues
        };
        let alone = dues(0);
        assert!(alone.iter().any(|due| *due > 0));
        assert_eq!(alone.len(), dues(3).len());
        // What is stored backwards is put before whatever is there.
        let same = alone.iter().zip(dues(3)).filter(|(one, other)| *one == other).count();
        assert!(same * 10 >= alone.len() * 7, "{same} of {}", alone.len());
    }

    #[test]
    fn an_order_of_all_that_goes_to_a_node_binds_imports_that_are_made_later() {
        for seed in 0..200 {
            let posted = Posted::new(log(seed, Model::Sci));
            let mut log = posted.lock();
            let (one, far) = (log.enter(2, 7), log.enter(3, 7));
            log.post(one, bytes(0, 8), 1, 0);
            log.order(one, BarrierType::Node);
            let later = log.enter(2, 8);
            log.post(later, bytes(0, 8), 2, 0);
            log.post(far, bytes(0, 8), 3, 0);
            drop(log);
            let mut arrived = Vec::new();
            posted.turn(u64::MAX, |piece| arrived.push(piece.cargo));
            let at = |cargo| arrived.iter().position(|arrived| *arrived == cargo).unwrap();
            assert!(at(1) < at(2), "seed {seed}: {arrived:?}");
        }
    }

    #[test]
    fn order_is_drawn_by_the_seed() {
        for (_, model) in Model::ALL {
            let in_order = (0..100).filter(|&seed| order(seed, model).is_sorted()).count();
            assert_eq!(order(7, model), order(7, model));
            assert!((0..100).all(|seed| order(seed, model).len() == 20));
            if model == Model::Tso {
                assert_eq!(in_order, 100);
            } else {
                assert!(in_order < 60, "{model}: {in_order} of 100 seeds in order");
            }
            // What was put last comes first in some spans.
            let backwards = (0..100).filter(|&seed| order(seed, model)[0] == 19).count();
            assert!(model == Model::Tso || backwards > 5, "{model}: {backwards}");
        }
    }

    #[test]
    fn what_overtook_whom_is_told() {
        let told = (0..200).filter(|&seed| {
            let posted = Posted::new(log(seed, Model::Pcie));
            let key = posted.lock().enter(2, 7);
            posted.lock().post(key, bytes(0, 64), 1, 0);
            posted.lock().post(key, bytes(4096, 8), 1, 1);
            let mut first = None;
            posted.turn(u64::MAX, |piece| first = first.or(Some(piece.target)));
            let delivered = *posted.lock().delivered();
            assert_eq!(delivered.pieces, 2);
            let overtaken = first == Some(bytes(4096, 8));
            let wanted = Overtaking { early: (2, 7, bytes(4096, 8)), late: (2, 7, bytes(0, 64)) };
            assert_eq!(delivered.last, overtaken.then_some(wanted));
            assert_eq!(delivered.out_of_order, u64::from(overtaken));
            overtaken
        });
        assert!(told.count() > 20);
    }

    #[test]
    fn signals_overtake_where_they_may() {
        let overtakes = |seed, model| {
            let posted = Posted::new(log(seed, model));
            let key = posted.lock().enter(2, 7);
            posted.lock().post(key, bytes(0, 64), 1, 0);
            posted.lock().post(key, Target::Bell, 2, 0);
            let mut first = None;
            posted.turn(u64::MAX, |piece| first = first.or(Some(piece.target)));
            first == Some(Target::Bell)
        };
        let count = |model| (0..200).filter(|&seed| overtakes(seed, model)).count();
        assert_eq!(count(Model::Tso), 0);
        assert!(count(Model::Pcie) > 20 && count(Model::Sci) > 20);
    }

    /// Stores in three epochs, some of which are lost.
    #[test]
    fn what_is_lost_takes_along_what_was_ordered_after_it() {
        for (_, model) in Model::ALL {
            let (mut some, mut kept) = (0, 0);
            for seed in 0..200 {
                let mut log = log(seed, model);
                let (key, near) = (log.enter(2, 7), log.enter(2, 8));
                for epoch in 0..3 {
                    for i in 0..4 {
                        log.post(key, bytes(epoch * 512 + i * 64, 8), epoch as u8, 0);
                    }
                    log.order(key, BarrierType::Segment);
                }
                let lost = log.lose(key, seed);
                let of = |epoch| lost.iter().filter(|piece| u64::from(piece.cargo) == epoch).count();
                assert!(!lost.is_empty() && lost.len() < 12, "some, not all: {}", lost.len());
                for epoch in 0..2 {
                    assert!(of(epoch) == 0 || (epoch + 1..3).all(|later| of(later) == 4), "{model}: {seed}");
                }
                if model.is_in_order() {
                    let first = lost.iter().map(|piece| piece.number).min().unwrap();
                    assert!(lost.len() as u64 == 13 - first, "nothing overtakes what is lost");
                }
                some += usize::from(of(0) > 0);
                // What another import has ordered after it keeps it.
                let before = log.pieces.len();
                log.order(key, BarrierType::Node);
                log.post(near, bytes(0, 8), 9, 0);
                assert!(log.lose(key, seed).is_empty());
                assert_eq!(log.pieces.len(), before + 1);
                let one = log.lose(near, seed).len();
                kept += 1 - one;
                let bytes: u64 = log.pieces.values().map(|piece| piece.target.bytes()).sum();
                assert_eq!(log.bytes, bytes);
            }
            assert!(some > 20 && (60..140).contains(&kept), "{model}: {some}, {kept}");
        }
    }

    #[test]
    fn a_signal_that_waits_is_lost_with_the_next_one_or_arrives_alone() {
        for lens in [Lens::clear(1), Lens::chaos(1).model(Model::Tso), Lens::chaos(1).model(Model::Sci)] {
            let posted = Posted::new(Log::new(&lens, 1));
            let key = posted.lock().enter(2, 7);
            let arrive = |now| {
                let mut arrived = Vec::new();
                posted.turn(now, |piece| arrived.push(piece.cargo));
                arrived
            };
            posted.lock().signal(key, 1, 0, 1000, true);
            posted.lock().signal(key, 2, 0, 0, false);
            assert_eq!(arrive(u64::MAX), [2]);
            posted.lock().signal(key, 3, 0, 1000, true);
            assert_eq!(arrive(999), []);
            assert_eq!(arrive(u64::MAX), [3]);
            posted.lock().signal(key, 4, 0, 0, false);
            assert_eq!(arrive(u64::MAX), [4]);
        }
    }

    #[test]
    fn spans_know_whether_something_was_stored() {
        let mut log = log(1, Model::Pcie);
        let key = log.enter(2, 7);
        log.signal(key, 0, 0, 0, false);
        assert!(!log.has_stored(key));
        log.post(key, bytes(0, 8), 1, 0);
        assert!(log.has_stored(key));
        log.end_span(key);
        assert!(!log.has_stored(key));
        log.note_store(key);
        assert!(log.has_stored(key));
        let again = log.enter(2, 7);
        assert_eq!((log.nth(key), log.nth(again)), (1, 2));
    }

    /// Otherwise the barrier of another import could vouch for it meanwhile.
    #[test]
    fn barriers_that_reach_a_loss_wait_until_it_is_told() {
        let lost = (0..100).any(|seed| {
            let posted = Posted::new(log(seed, Model::Sci));
            let [one, near, far] = [(2, 7), (2, 8), (3, 7)].map(|(node, id)| posted.lock().enter(node, id));
            posted.lock().post(one, bytes(0, 8), 1, 0);
            posted.lock().post(one, bytes(64, 8), 1, 0);
            let before = posted.lock().posted();
            let lost = !posted.lock().lose(one, seed).is_empty();
            posted.turn(u64::MAX, |_| {});
            let waits = |key, kind| posted.lock().last_due_of(key, kind, before).is_some();
            assert_eq!(waits(near, BarrierType::Node), lost);
            assert!(!waits(near, BarrierType::Segment) && !waits(far, BarrierType::Node));
            posted.lock().told_loss(one);
            assert!(!waits(near, BarrierType::Node) && !waits(one, BarrierType::Node));
            lost
        });
        assert!(lost, "nothing was ever lost");
    }

    #[test]
    fn a_quiet_end_delays_nothing_and_an_import_makes_it_loud() {
        let held = |log: &mut Log<u8>, key| {
            (0..200)
                .filter(|&i| {
                    log.end_span(key);
                    log.post(key, bytes(0, 8), 1, i);
                    let held = log.take(i).is_none();
                    log.forget_all();
                    held
                })
                .count()
        };
        let mut log = log(5, Model::Pcie);
        let key = log.enter(2, 7);
        assert!(held(&mut log, key) > 50);
        log.quiet();
        assert_eq!(held(&mut log, key), 0);
        let other = log.enter(2, 8);
        assert!(held(&mut log, other) > 50);
    }

    #[test]
    fn not_more_is_held_than_there_is_room_for() {
        let posted = Posted::new(log(1, Model::Sci));
        let key = posted.lock().enter(2, 7);
        for i in 0..2 * MOST_PIECES as u64 {
            posted.lock().post(key, bytes(i * 8, 8), 1, 0);
            posted.turn(0, |_| {});
        }
        assert!(posted.lock().pieces.len() <= MOST_PIECES);
        posted.lock().post(key, bytes(0, 2 * MOST_BYTES), 1, 0);
        posted.turn(0, |_| {});
        assert!(posted.lock().bytes <= MOST_BYTES);
        posted.lock().leave(key);
        assert!(posted.lock().is_idle() && posted.lock().bytes == 0 && posted.lock().next_due().is_none());
    }
}
