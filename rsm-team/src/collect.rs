//! Calls that all nodes make together.
//!
//! Each is a pattern of messages; the messages of one call go out and come in all at once, as there is room in the
//! pipes, so no order of them can stop. A message begins with what its sender takes it for, which is compared.

use crate::Team;
use crate::board::{Board, Watch, node};
use crate::layout::{Pipe, Row};
use crate::plain::{Plain, append, values};
use rsm::{Code, Error, Result};

/// Which call a message belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Broadcast = 1,
    AllReduce,
    Gather,
    AllGather,
    AllToAll,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Broadcast, Kind::AllReduce, Kind::Gather, Kind::AllGather, Kind::AllToAll];

    fn name(self) -> &'static str {
        match self {
            Kind::Broadcast => "broadcast",
            Kind::AllReduce => "all_reduce",
            Kind::Gather => "gather",
            Kind::AllGather => "all_gather",
            Kind::AllToAll => "all_to_all",
        }
    }
}

/// A call, as it stands at the head of its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Call {
    kind: Kind,
    /// Bytes of a value.
    size: usize,
    /// From whom, or to whom, where that is one.
    root: usize,
    /// The how manieth collective call of the team it is, modulo 2^32.
    turn: u32,
}

/// Bytes before those of a message: the call, and how many follow.
const HEAD: usize = 16;

impl Call {
    fn word(self) -> u64 {
        let small = [self.kind as u8, self.size as u8, self.root as u8].map(u64::from);
        small[0] | small[1] << 8 | small[2] << 16 | u64::from(self.turn) << 32
    }

    fn told(word: u64) -> String {
        let [kind, size, root, ..] = word.to_le_bytes();
        match Kind::ALL.into_iter().find(|&known| known as u8 == kind) {
            Some(kind) => format!("{} (root {root}, values of {size} bytes, turn {})", kind.name(), word >> 32),
            None => format!("a call that there is not ({word:#x})"),
        }
    }

    /// A message of this call.
    fn message<T: Plain>(self, values: &[T]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + size_of_val(values));
        append(&[self.word(), size_of_val(values) as u64], &mut bytes);
        append(values, &mut bytes);
        bytes
    }
}

/// A message that comes in.
struct Coming {
    from: usize,
    /// Bytes that follow, once the head is here.
    length: Option<u64>,
    bytes: Vec<u8>,
}

impl Coming {
    fn is_whole(&self) -> bool {
        self.length.is_some_and(|length| self.bytes.len() as u64 == length)
    }
}

impl Team {
    /// Waits until every node has called this. What any of them has put before, and knows to have arrived (by a closed
    /// barrier, or in implicit mode), is in everybody's sight then.
    ///
    /// # Errors
    /// CONN_ABORTED, with the node that has ended, or left; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn barrier(&self) -> Result<()> {
        self.meet(Watch::All)
    }

    /// By dissemination: in the round r each tells the one 2^r ahead, and hears from the one 2^r behind.
    pub(crate) fn meet(&self, watch: Watch) -> Result<()> {
        let (turn, size) = (self.barriers.get().wrapping_add(1), self.size());
        self.barriers.set(turn);
        let mut distance = 1;
        while distance < size {
            let (ahead, behind) = ((self.rank() + distance) % size, (self.rank() + size - distance) % size);
            match self.board.tell(ahead, Row::Barrier, turn) {
                // In the last barrier of a team: it has heard it, for it has left.
                Err(_) if watch == Watch::AllButLeft && self.board.has_left(ahead) => {}
                told => told?,
            }
            let what = || format!("node {} has not come to the barrier", node(behind));
            // Ahead by one at most, and the counts wrap.
            let look = || Ok((self.board.told(behind, Row::Barrier)?.wrapping_sub(turn) <= 1).then_some(()));
            self.board.until(watch, None, what, look)?;
            distance *= 2;
        }
        Ok(())
    }

    /// Gives everybody the values that `root` has: on other ranks `values` is replaced, however many it has.
    ///
    /// # Errors
    /// CONN_ABORTED, with the node that has ended, or left; BAD_LENGTH when nodes make different calls; BAD_ADDR for a
    /// rank that there is not; INSUFFICIENT_MEM; CTLR_NOT_PRESENT when the cluster has ended.
    pub fn broadcast<T: Plain>(&self, root: usize, values: &mut Vec<T>) -> Result<()> {
        self.check(root)?;
        let call = self.call::<T>(Kind::Broadcast, root);
        let size = self.size();
        // A binomial tree: who has a number r of its own hears from r without its highest bit, and tells r with each
        // higher one.
        let number = (self.rank() + size - root) % size;
        let rank = |number: usize| (number + root) % size;
        let mut distance = 1;
        if number > 0 {
            let highest = 1 << number.ilog2();
            let got = self.exchange(call, Vec::new(), &[rank(number - highest)])?;
            *values = got.into_iter().next().map(|bytes| crate::plain::values(&bytes)).unwrap_or_default();
            distance = highest * 2;
        }
        let targets = std::iter::successors(Some(distance), |distance| Some(distance * 2))
            .map(|distance| number + distance)
            .take_while(|&target| target < size);
        let message = call.message(values);
        self.exchange(call, targets.map(|target| (rank(target), message.clone())).collect(), &[])?;
        Ok(())
    }

    /// Combines everybody's values, place by place, and gives everybody the result, which is the same to the last bit
    /// on every rank. `combine` is associative and commutative; of floating numbers it need not be to the last bit.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast); BAD_LENGTH also when ranks have different numbers of values.
    pub fn all_reduce<T: Plain>(&self, values: &[T], combine: impl Fn(T, T) -> T) -> Result<Vec<T>> {
        let call = self.call::<T>(Kind::AllReduce, 0);
        let (rank, size) = (self.rank(), self.size());
        let merge =
            |lower: &[T], upper: &[T]| lower.iter().zip(upper).map(|(&l, &u)| combine(l, u)).collect::<Vec<T>>();
        let even = 1 << size.ilog2();
        let mut own = values.to_vec();
        // Ranks beyond a power of two give theirs to one below, and are given the result.
        if rank >= even {
            let below = rank - even;
            self.exchange(call, vec![(below, call.message(&own))], &[])?;
            return self.combined(call, below, values.len());
        }
        let beyond = (rank + even < size).then_some(rank + even);
        if let Some(beyond) = beyond {
            own = merge(&own, &self.combined(call, beyond, values.len())?);
        }
        let mut distance = 1;
        while distance < even {
            let other = rank ^ distance;
            let got = self.exchange(call, vec![(other, call.message(&own))], &[other])?;
            let theirs = self.as_many(other, got.into_iter().next().unwrap_or_default(), values.len())?;
            // The same order on both sides, so that both have the same bits.
            own = if rank < other { merge(&own, &theirs) } else { merge(&theirs, &own) };
            distance *= 2;
        }
        if let Some(beyond) = beyond {
            self.exchange(call, vec![(beyond, call.message(&own))], &[])?;
        }
        Ok(own)
    }

    /// Gives `root` the values of every rank, in the order of ranks; ranks may have different numbers of them. `None`
    /// on others.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn gather<T: Plain>(&self, root: usize, values: &[T]) -> Result<Option<Vec<Vec<T>>>> {
        self.check(root)?;
        let call = self.call::<T>(Kind::Gather, root);
        if self.rank() != root {
            self.exchange(call, vec![(root, call.message(values))], &[])?;
            return Ok(None);
        }
        let others: Vec<usize> = (0..self.size()).filter(|&rank| rank != root).collect();
        let got = self.exchange(call, Vec::new(), &others)?;
        Ok(Some(self.with_own(values.to_vec(), got)))
    }

    /// Gives everybody the values of every rank, in the order of ranks; ranks may have different numbers of them.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast).
    pub fn all_gather<T: Plain>(&self, values: &[T]) -> Result<Vec<Vec<T>>> {
        let call = self.call::<T>(Kind::AllGather, 0);
        let message = call.message(values);
        let others = self.others();
        let out = others.iter().map(|&rank| (rank, message.clone())).collect();
        Ok(self.with_own(values.to_vec(), self.exchange(call, out, &others)?))
    }

    /// Gives the rank K `values[K]` of every rank, in the order of ranks; they may differ in length.
    ///
    /// # Errors
    /// As [`broadcast`](Self::broadcast); BAD_LENGTH also when `values` has not one element for each rank.
    pub fn all_to_all<T: Plain>(&self, values: &[Vec<T>]) -> Result<Vec<Vec<T>>> {
        if values.len() != self.size() {
            let text = format!("all_to_all of {} elements in a team of {}", values.len(), self.size());
            return Err(Error::with(Code::BadLength, text));
        }
        let call = self.call::<T>(Kind::AllToAll, 0);
        let others = self.others();
        let out = others.iter().map(|&rank| (rank, call.message(&values[rank]))).collect();
        let got = self.exchange(call, out, &others)?;
        Ok(self.with_own(values[self.rank()].clone(), got))
    }

    /// Every rank but the own one, beginning behind it: so that not all send to the same one first.
    fn others(&self) -> Vec<usize> {
        (1..self.size()).map(|distance| (self.rank() + distance) % self.size()).collect()
    }

    /// What came from the [others](Self::others), or from all others in order, with the own values, by rank.
    fn with_own<T: Plain>(&self, own: Vec<T>, got: Vec<Vec<u8>>) -> Vec<Vec<T>> {
        let mut all: Vec<Vec<T>> = got.iter().map(|bytes| values(bytes)).collect();
        all.insert(self.rank(), own);
        all
    }

    fn call<T: Plain>(&self, kind: Kind, root: usize) -> Call {
        let turn = self.calls.get();
        self.calls.set(turn.wrapping_add(1));
        Call { kind, size: size_of::<T>(), root, turn }
    }

    fn combined<T: Plain>(&self, call: Call, from: usize, count: usize) -> Result<Vec<T>> {
        let got = self.exchange(call, Vec::new(), &[from])?;
        self.as_many(from, got.into_iter().next().unwrap_or_default(), count)
    }

    fn as_many<T: Plain>(&self, from: usize, bytes: Vec<u8>, count: usize) -> Result<Vec<T>> {
        let got = values::<T>(&bytes);
        if got.len() == count {
            return Ok(got);
        }
        let (own, from) = (node(self.rank()), node(from));
        let text = format!("all_reduce of {count} values by node {own} and of {} by node {from}", got.len());
        Err(Error::with(Code::BadLength, text))
    }

    /// Sends messages, and receives one from each rank of `from`, in any order; returns them by ascending rank.
    fn exchange(&self, call: Call, out: Vec<(usize, Vec<u8>)>, from: &[usize]) -> Result<Vec<Vec<u8>>> {
        let mut out: Vec<(usize, Vec<u8>, usize)> = out.into_iter().map(|(rank, bytes)| (rank, bytes, 0)).collect();
        let mut coming: Vec<Coming> =
            from.iter().map(|&from| Coming { from, length: None, bytes: Vec::new() }).collect();
        let what = || format!("{} has not ended", call.kind.name());
        loop {
            let mut moved = false;
            for (rank, bytes, at) in out.iter_mut().filter(|(_, bytes, at)| *at < bytes.len()) {
                let room = self.board.room(&self.ends[*rank], Pipe::Collective, *rank)?.min(bytes.len() - *at);
                if room > 0 {
                    self.board.push(&self.ends[*rank], Pipe::Collective, *rank, &bytes[*at..*at + room])?;
                    *at += room;
                    moved = true;
                }
            }
            for message in coming.iter_mut().filter(|message| !message.is_whole()) {
                moved |= self.receive_more(call, message)?;
            }
            if out.iter().all(|(_, bytes, at)| *at == bytes.len()) && coming.iter().all(Coming::is_whole) {
                coming.sort_unstable_by_key(|message| message.from);
                return Ok(coming.into_iter().map(|message| message.bytes).collect());
            }
            if !moved {
                self.board.until(Watch::All, None, what, || {
                    for (rank, bytes, at) in &out {
                        if *at < bytes.len() && self.board.room(&self.ends[*rank], Pipe::Collective, *rank)? > 0 {
                            return Ok(Some(()));
                        }
                    }
                    for message in coming.iter().filter(|message| !message.is_whole()) {
                        let least = if message.length.is_none() { HEAD } else { 1 };
                        let ends = &self.ends[message.from];
                        if self.board.waiting(ends, Pipe::Collective, message.from)? >= least {
                            return Ok(Some(()));
                        }
                    }
                    Ok(None)
                })?;
            }
        }
    }

    /// Takes what has come of a message; whether anything has.
    fn receive_more(&self, call: Call, message: &mut Coming) -> Result<bool> {
        let (from, ends) = (message.from, &self.ends[message.from]);
        let mut waiting = self.board.waiting(ends, Pipe::Collective, from)?;
        let mut moved = false;
        if message.length.is_none() {
            if waiting < HEAD {
                return Ok(false);
            }
            let mut head = [0; HEAD];
            self.board.pull(ends, Pipe::Collective, from, &mut head)?;
            let head: Vec<u64> = values(&head);
            if head[0] != call.word() {
                let (theirs, own) = (Call::told(head[0]), Call::told(call.word()));
                let text = format!("node {} calls {theirs} where node {} calls {own}", node(from), node(self.rank()));
                return Err(Error::with(Code::BadLength, text));
            }
            if !head[1].is_multiple_of(call.size as u64) {
                return Err(Board::nonsense(from, "a part of a value"));
            }
            message.length = Some(head[1]);
            waiting -= HEAD;
            moved = true;
        }
        let missing = message.length.unwrap_or(0) - message.bytes.len() as u64;
        let now = waiting.min(usize::try_from(missing).unwrap_or(usize::MAX));
        if now > 0 {
            let start = message.bytes.len();
            // By what has come, not by what is announced.
            let more = message.bytes.try_reserve(now);
            more.map_err(|_| Error::with(Code::InsufficientMem, "no memory for what the other nodes send"))?;
            message.bytes.resize(start + now, 0);
            self.board.pull(ends, Pipe::Collective, from, &mut message.bytes[start..])?;
            moved = true;
        }
        Ok(moved)
    }
}
