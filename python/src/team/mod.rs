//! Teams: what programs on clusters write again and again, for one node of each.

mod keeper;
mod lock;
mod reduce;
mod shared;
mod values;

pub(crate) use lock::TeamLock;
pub(crate) use shared::Shared;

use crate::args::{self, Seconds};
use crate::controller::Controller;
use crate::errors::refused;
use crate::local::{self, Local};
use keeper::Keeper;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use reduce::{Operation, reducer};
use rsm::Code;
use std::sync::Arc;
use std::time::Duration;
use values::{Scalar, Values, by_width, view};

/// How long joining takes at most, if nothing is said.
const JOINED: Seconds = Seconds(Some(Duration::from_secs(60)));

/// All nodes of a cluster, as one of them sees them, from `Team.join()`: they meet, tell each other values, wait for each other and
/// take turns. A node's `rank` is its id less one.
///
/// Every wait ends with ConnAborted, whose sentence names the node, when a node that it is for has ended; none needs a time limit
/// for that. Waits let other threads go on, and Ctrl-C ends them. Nodes may be of Python, of Rust (the crate rsm-team), or mixed.
///
/// A call of all nodes that raises cannot be finished: then the team is to be closed. Locks and messages go on among those who are
/// left, and words can still be raised and read; what such a call had to tell, when Ctrl-C ended it, the next one to that node tells.
///
/// It is used by one thread at a time: a call beside another one raises SegInUse, one after `leave()` or `close()` BadSegHndl, one in
/// a forked child NotCreator. As a context manager it leaves at the end, or is closed when the block raises.
#[pyclass(frozen, module = "rsmapi")]
pub(crate) struct Team {
    keeper: Arc<Keeper>,
    controller: Py<Controller>,
    rank: usize,
    size: usize,
    longest: usize,
}

/// A rank; which ones there are, the team knows.
fn rank(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    args::number(value, "a rank", u32::MAX.into(), Code::BadAddr).map(|rank| rank as usize)
}

/// The number of a word; which ones there are, the team knows.
fn word_number(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    args::number(value, "the number of a word", u32::MAX.into(), Code::BadOffset).map(|word| word as usize)
}

#[pymethods]
impl Team {
    /// Joins the nodes of the cluster to a team; returns when every node has, in at most `timeout` seconds, for ever with None. One
    /// process of each node joins, and is in one team at a time. Without `controller` it opens shm0.
    ///
    /// Raises Timeout, which says who was missing; ConnAborted when a node that was joining has ended; SegidInUse when another
    /// process of this node is in a team; CtlrNotPresent; InsufficientMem, InsufficientResources.
    #[staticmethod]
    #[pyo3(signature = (controller=None, timeout=JOINED))]
    fn join(py: Python<'_>, controller: Option<Py<Controller>>, timeout: Seconds) -> PyResult<Team> {
        let controller = match controller {
            Some(controller) => controller,
            None => Py::new(py, Controller::open(py, "shm0")?)?,
        };
        let keeper = Keeper::join(py, controller.get().inner(), timeout.0)?;
        let (rank, size, longest) = keeper.call(py, |team| Ok((team.rank(), team.size(), team.longest_message())))?;
        Ok(Team { keeper: Arc::new(keeper), controller, rank, size, longest })
    }

    /// This node's place, 0 to `size` - 1: its id less one.
    #[getter]
    fn rank(&self) -> usize {
        self.rank
    }

    /// How many nodes there are.
    #[getter]
    fn size(&self) -> usize {
        self.size
    }

    /// The controller that it was joined through.
    #[getter]
    fn controller(&self, py: Python<'_>) -> Py<Controller> {
        self.controller.clone_ref(py)
    }

    /// Bytes that a message may have at most. So many, with eight for each message, are under way at a time to one rank.
    #[getter]
    fn longest_message(&self) -> usize {
        self.longest
    }

    /// Waits until every node has called this. What any of them has put before, and knows to have arrived (by a closed barrier of an
    /// import, or in implicit mode), is in everybody's sight then.
    ///
    /// Raises ConnAborted, with the node that has ended, or left; CtlrNotPresent when the cluster has ended.
    fn barrier(&self, py: Python<'_>) -> PyResult<()> {
        self.keeper.call(py, rsm_team::Team::barrier)
    }

    /// Gives everybody the values of the rank `root`, and returns them. On `root` `data` is an object with a contiguous buffer, which is
    /// returned. Elsewhere it is a writable one, as long and with items of the same size, which is filled and returned; or None, where
    /// items are of one byte, however many: then bytes are returned.
    ///
    /// Raises ConnAborted, with the node that has ended, or left; BadLength when nodes make different calls, or the buffer is of another
    /// length, which then stays as it was; BadAddr for a rank that there is not; InsufficientMem; CtlrNotPresent.
    #[pyo3(signature = (root, data=None))]
    fn broadcast<'py>(
        &self,
        root: &Bound<'py, PyAny>,
        data: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, root) = (root.py(), rank(root)?);
        if root == self.rank {
            let data = data.ok_or_else(|| PyTypeError::new_err("the root gives the values: data is missing"))?;
            let values = Values::of(data)?;
            self.keeper
                .call(py, |team| by_width!(values.width, T => team.broadcast::<T>(root, &mut values.numbers())))?;
            return Ok(data.clone());
        }
        let target = data.map(Local::writable).transpose()?;
        let width = target.as_ref().map_or(1, |target| values::width(target.items().0));
        let got = self.keeper.call(py, |team| {
            by_width!(width, T => {
                let mut numbers = Vec::<T>::new();
                team.broadcast(root, &mut numbers)?;
                Ok(values::bytes(&numbers))
            })
        })?;
        let (Some(data), Some(target)) = (data, target) else { return Ok(PyBytes::new(py, &got).into_any()) };
        let length = target.place().length();
        if length != got.len() {
            let text = format!("node {} gives {} bytes, for which there is a buffer of {length}", root + 1, got.len());
            return Err(refused(py, Code::BadLength, text));
        }
        target.fill(&got);
        Ok(data.clone())
    }

    /// Combines everybody's numbers, place by place, and gives everybody the result, the same to the last bit on every rank: a
    /// memoryview of items like those given (`numpy.asarray` makes an array of it, without a copy). `values` is a contiguous buffer of
    /// whole numbers of 8 to 64 bits, or of floats of 32 or 64; or an int or a float, and so is the result then.
    ///
    /// `op` is "sum", "prod", "min", "max", or of whole numbers "and", "or", "xor". Sums and products of whole numbers wrap around; an
    /// int is one of 64 bits with a sign. What is no number (nan) is the least and the greatest.
    ///
    /// Raises TypeError for other items; ValueError for other operations; OverflowError for an int of more bits; otherwise as
    /// `broadcast`, and BadLength also when ranks have different numbers of values.
    #[pyo3(signature = (values, op="sum"))]
    fn all_reduce<'py>(&self, values: &Bound<'py, PyAny>, op: &str) -> PyResult<Bound<'py, PyAny>> {
        let (py, operation) = (values.py(), Operation::named(op)?);
        let scalar = Scalar::of(values)?;
        let values = scalar.as_ref().map_or_else(|| Values::of(values), |scalar| Ok(scalar.values()))?;
        let reduce = reducer(&values, operation)?;
        let all = self.keeper.call(py, |team| reduce(team, &values))?;
        match scalar {
            Some(scalar) => scalar.told(py, &all),
            None => view(py, &all, &values.format),
        }
    }

    /// Gives the rank `root` the values of every rank, in the order of ranks: a list of memoryviews of items like those given, which
    /// `numpy.asarray` makes arrays of, without a copy. None on others. `data` is an object with a contiguous buffer; ranks may have
    /// different numbers of items.
    ///
    /// Raises as `broadcast`.
    fn gather<'py>(&self, root: &Bound<'py, PyAny>, data: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyList>>> {
        let (py, root, values) = (root.py(), rank(root)?, Values::of(data)?);
        let all = self
            .keeper
            .call(py, |team| by_width!(values.width, T => Ok(team.gather::<T>(root, &values.numbers())?.map(flat))))?;
        all.map(|all| listed(py, &all, &values.format)).transpose()
    }

    /// Gives everybody the values of every rank, in the order of ranks, as `gather` does.
    ///
    /// Raises as `broadcast`.
    fn all_gather<'py>(&self, data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let (py, values) = (data.py(), Values::of(data)?);
        let all = self
            .keeper
            .call(py, |team| by_width!(values.width, T => team.all_gather::<T>(&values.numbers()).map(flat)))?;
        listed(py, &all, &values.format)
    }

    /// Gives the rank K the K-th of `parts` of every rank, in the order of ranks: a list of memoryviews of items like those given.
    /// `parts` are as many objects with contiguous buffers as there are ranks, of items of one size; they may differ in length.
    ///
    /// Raises TypeError for items of several sizes; otherwise as `broadcast`, and BadLength also when `parts` is not one for each rank.
    fn all_to_all<'py>(&self, parts: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyList>> {
        let py = parts.py();
        let parts = parts.try_iter()?.map(|part| Values::of(&part?)).collect::<PyResult<Vec<Values>>>()?;
        let (width, format) = parts.first().map_or((1, "B"), |part| (part.width, &part.format));
        if parts.iter().any(|part| part.width != width) {
            return Err(PyTypeError::new_err("the parts have items of several sizes"));
        }
        let all = self.keeper.call(py, |team| {
            by_width!(width, T => {
                let parts: Vec<Vec<T>> = parts.iter().map(Values::numbers).collect();
                team.all_to_all(&parts).map(flat)
            })
        })?;
        listed(py, &all, format)
    }

    /// Exports at least `length` bytes, zeroed, and connects to what every other node exports in the same call; lengths may differ. All
    /// nodes call it together.
    ///
    /// Raises BadLength, InsufficientMem, InsufficientResources; ConnAborted, with the node that has ended, or left.
    #[pyo3(signature = (length))]
    fn share(&self, length: &Bound<'_, PyAny>) -> PyResult<Shared> {
        let (py, length) = (length.py(), args::length(length)?);
        let parts = self.keeper.call(py, |team| team.share(length).map(rsm_team::Shared::into_parts))?;
        Shared::new(py, Arc::clone(&self.keeper), parts)
    }

    /// Adds `by` to the word `word` of a rank, 0 to 63, and wakes it if it waits. The own rank has words, too. What this node has put
    /// before, and knows to have arrived, is there when the word is seen raised. Words have 64 bits, and wrap around.
    ///
    /// Raises BadOffset for a word, and BadAddr for a rank, that there is not; OverflowError for another `by`; ConnAborted, with the
    /// node that has ended, or left; BarrierFailure, with its name, when the link to it has failed for ten seconds: the next one
    /// counts for both.
    #[pyo3(signature = (rank, word, by=None))]
    fn raise_(&self, rank: &Bound<'_, PyAny>, word: &Bound<'_, PyAny>, by: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let (py, rank, word) = (rank.py(), self::rank(rank)?, word_number(word)?);
        let by = by.map_or(Ok(1), |by| args::word(by, 64))?;
        self.keeper.call(py, |team| team.raise(rank, word, by))
    }

    /// Stores the bytes of `data`, an object with a contiguous buffer, which is not copied, at an offset of what a rank shares, and when
    /// they have arrived adds one to a word of that rank.
    ///
    /// Raises as `raise_`; BadOffset outside of what the rank shares; BadSegHndl when `shared` was closed, ValueError when it is of another
    /// team.
    fn put_signal(
        &self,
        shared: &Bound<'_, Shared>,
        rank: &Bound<'_, PyAny>,
        offset: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        word: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (py, rank, word) = (rank.py(), self::rank(rank)?, word_number(word)?);
        if !shared.get().is_of(&self.keeper) {
            return Err(PyValueError::new_err("the memory is shared by another team"));
        }
        let import = shared.get().import(py, rank)?.get().get(py)?;
        let (offset, data) = (args::offset(offset)?, Local::readable(data)?);
        self.keeper
            .call(py, |team| team.signal_when_put(rank, &import, word, || local::put_aside(&import, offset, &data)))
    }

    /// The value of a word of this node.
    ///
    /// Raises BadOffset for a word that there is not.
    #[pyo3(signature = (word))]
    fn word(&self, word: &Bound<'_, PyAny>) -> PyResult<u64> {
        let (py, word) = (word.py(), word_number(word)?);
        self.keeper.call(py, |team| team.word(word))
    }

    /// Waits until `condition` holds of a word of this node; for at most `timeout` seconds, for ever with None. Returns its value.
    /// `condition` is a function that is called with the word's value, when that may have changed and now and then; it calls nothing of
    /// the team.
    ///
    ///     team.wait_until(0, lambda arrived: arrived >= 3)
    ///
    /// Raises ConnAborted when a node of the team has ended, or left, and the condition does not hold: with its name; Timeout;
    /// BadOffset for a word that there is not; CtlrNotPresent when the cluster has ended; whatever `condition` raises.
    #[pyo3(signature = (word, condition, timeout=None))]
    fn wait_until(
        &self,
        word: &Bound<'_, PyAny>,
        condition: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let (py, word, timeout) = (word.py(), word_number(word)?, args::timeout(timeout)?);
        if !condition.is_callable() {
            return Err(PyTypeError::new_err(
                "a condition is a function of the word's value, such as lambda n: n >= 3",
            ));
        }
        let (condition, told) = (condition.clone().unbind(), self.keeper.told());
        self.keeper.call(py, |team| team.wait_until(word, |value| keeper::holds(&condition, &told, value), timeout))
    }

    /// Takes the lock `number`, 0 to 15, that the rank `keeper` keeps; waits for at most `timeout` seconds, for ever with None, not at
    /// all with 0. Use it in a `with` statement. Who waits sleeps.
    ///
    ///     with team.lock(0, 3) as lock:
    ///         if lock.died_holding is not None:
    ///             ...                             # what the lock guards may be half done
    ///
    /// A holder that dies does not keep the lock: the next one gets it, and is told.
    ///
    /// Raises Timeout; ConnAborted when the keeper has ended, or left, or when a holder cannot be reached and may live; PermDenied when
    /// this node holds the lock; BadOffset for a lock, and BadAddr for a rank, that there is not; MapFailed on an interconnect whose
    /// memory cannot be mapped.
    #[pyo3(signature = (keeper, number, timeout=None))]
    fn lock(
        &self,
        keeper: &Bound<'_, PyAny>,
        number: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<TeamLock> {
        let (py, keeper, timeout) = (keeper.py(), rank(keeper)?, args::timeout(timeout)?);
        let number = args::number(number, "the number of a lock", u32::MAX.into(), Code::BadOffset)? as usize;
        let take = |team: &rsm_team::Team| {
            let held = team.lock(keeper, number, timeout)?;
            Ok((held.died_holding(), held.keep()))
        };
        let (died, kept) = self.keeper.call_or_undo(py, take, |(_, kept)| self.keeper.drop_lock(kept))?;
        Ok(TeamLock::new(Arc::clone(&self.keeper), kept, died))
    }

    /// Sends the bytes of `data`, an object with a contiguous buffer, to a rank, once there is room for all of them: waits for at most
    /// `timeout` seconds, for ever with None, not at all with 0. Messages of one node arrive in order, and whole.
    ///
    /// Raises Timeout, and nothing was sent; BadLength for more than `longest_message`; BadAddr for a rank that there is not;
    /// ConnAborted when the other node has ended, or left; BarrierFailure, with its name, when the link to it has failed for ten
    /// seconds: the message arrives with the next one at the latest, and once.
    #[pyo3(signature = (rank, data, timeout=None))]
    fn send(
        &self,
        rank: &Bound<'_, PyAny>,
        data: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let (py, rank, timeout) = (rank.py(), self::rank(rank)?, args::timeout(timeout)?);
        let bytes = Local::readable(data)?.copied();
        self.keeper.call(py, |team| team.send(rank, &bytes, timeout))
    }

    /// The next message of a rank; waits for at most `timeout` seconds, for ever with None, not at all with 0. What a node has sent
    /// before its end is received.
    ///
    /// Raises Timeout; ConnAborted when the other node has ended, or left, and has sent nothing more; BadAddr for a rank that there is
    /// not; CtlrNotPresent when the cluster has ended; BarrierFailure, with its name, when the link to it has failed for ten seconds, so
    /// that it cannot be told of the room: the next call has the message.
    #[pyo3(signature = (rank, timeout=None))]
    fn receive<'py>(
        &self,
        rank: &Bound<'py, PyAny>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (py, rank, timeout) = (rank.py(), self::rank(rank)?, args::timeout(timeout)?);
        let message = self.keeper.call(py, |team| team.receive(rank, timeout))?;
        Ok(PyBytes::new(py, &message))
    }

    /// Waits until every node has called this, and leaves. Another program can begin on the same nodes at once, or this one join again.
    ///
    /// Raises SegInUse while memory is shared that was not closed, or a lock is held, and has not left; otherwise as `barrier`, and has
    /// left all the same.
    fn leave(&self, py: Python<'_>) -> PyResult<()> {
        self.keeper.leave(py)
    }

    /// Gives the team up, if it was not left: waits of the others say so. Waits for nobody; again it does nothing.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.keeper.close(py)
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        raised: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !raised.is_none() {
            // What was raised is what is told.
            let _ = self.close(py);
            return Ok(());
        }
        if self.keeper.is_open() { self.leave(py) } else { Ok(()) }
    }

    fn __repr__(&self) -> String {
        let state = if self.keeper.is_open() { "" } else { ", left or closed" };
        format!("<rsmapi.Team, rank {} of {}{state}>", self.rank, self.size)
    }
}

/// The bytes of each rank's values.
fn flat<T: rsm_team::Plain>(all: Vec<Vec<T>>) -> Vec<Vec<u8>> {
    all.iter().map(|numbers| values::bytes(numbers)).collect()
}

/// Views of each rank's values.
fn listed<'py>(py: Python<'py>, all: &[Vec<u8>], format: &str) -> PyResult<Bound<'py, PyList>> {
    let views = all.iter().map(|bytes| view(py, bytes, format)).collect::<PyResult<Vec<_>>>()?;
    PyList::new(py, views)
}
