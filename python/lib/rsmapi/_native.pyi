# Signatures are written by hand; docstrings are those of the extension, put here by stubs.py, and tests/test_stubs.py looks
# whether both still say the same.

import sys
from typing import Any, Callable, Coroutine, Dict, Iterable, List, Literal, Mapping as AnyMapping, Optional, Tuple, Union

from .records import ControllerAttributes, ImporterEvent, Permission, Topology

if sys.version_info >= (3, 12):
    from collections.abc import Buffer, Buffer as WritableBuffer
else:
    Buffer = Any
    WritableBuffer = Any

_Permission = Union[Literal["r", "w", "rw", "-"], Permission, int]
_Access = Union[Literal["everyone", "readers", "default"], AnyMapping[int, int]]
_Mode = Literal["implicit", "explicit"]
_Of = Literal["node", "segment"]
_Model = Literal["tso", "pcie", "sci"]
_Operation = Literal["sum", "prod", "min", "max", "and", "or", "xor"]
_Record = Dict[str, Any]

def clusters() -> List[Tuple[str, int, str]]:
    """The clusters that run in this network namespace: name, user id, and the address that finds exactly this one.

    Raises CtlrNotPresent without /proc.
    """
def reserved_segment_ids(appid: str) -> Tuple[int, int]:
    """The segment ids reserved for the application `appid`, by /etc/rsm/rsm.segmentid or the file that RSM_SEGMENTID_FILE names:
    the first one and how many. Purely a look-up: nothing is reserved by it.

    Raises BadConf when the file cannot be read or a line before the match is malformed; BadAppid when no line names it.
    """
def happens_before(token: int) -> None:
    """What this process has done so far comes before what others do after :func:`happens_after` with the same token.

    Say it before that which lets the other process go on. Of what was put, that is part whose barrier was closed. The token is
    any number of 64 bits. Does not wait.
    """
def happens_after(token: int) -> None:
    """What this process does from now on comes after what others had done at :func:`happens_before` with the same token.

    Say it behind that which let this process go on. Does not wait.
    """
def benign(memory: Buffer) -> None:
    """Nobody wants to hear of races in this memory: the program makes sure by other means that what it read is whole.

    A view of a published export or of a mapping, whole or in part: ``benign(memoryview(export)[8:16])``, an array of numpy. Words
    of eight bytes that it touches are not reported from now on, as long as the segment is there. Other memory is left alone. Does
    not wait.
    """
def end_run(code: int) -> None:
    """Has the run that this process is part of end with an exit code, 0 to 255: all that `python -m rsmapi.run`, `rsm-ctl run` or a
    test on real nodes has started together, by the launcher's rules. It returns when the launcher has heard it; call `sys.exit`
    then. The others may end by themselves for the grace; the run ends with `code` however they end.

    Raises CtlrNotPresent when no launcher has started this process, or it has gone; PermDenied when this process has become
    another user's, whom it does not hear; Timeout when it does not answer within ten seconds; BadArgsErrors for another code.
    """
def codes() -> List[Tuple[int, str, str]]:
    """Every RSMERR number with its name in C and what it means."""
def run(command: List[str], settings: str) -> Tuple[int, Optional[str]]:
    """Runs a command on the nodes of a new cluster. Answers what to end with and, where there was no run, why."""
def run_for_facts(command: List[str], settings: str) -> str:
    """Runs a command on the nodes of a new cluster, and answers how it went, as JSON."""
def end_with_parent(parent: int) -> bool:
    """Has this process asked to end (SIGTERM) when its parent ends. Answers whether that is still the parent."""

class Cluster:
    """A cluster whose agent is a thread of this process: for tests, and for programs that are a whole cluster.

    `nodes` is their number, 1 to 63; ids are 1 to this number. `name` is what `rsm-ctl ls` shows, `controllers` the names of
    the controllers that reach every node, in place of `shm0` alone. With the others the cluster is seen through a lens:
    `chaos` is a seed (7, "7:storm") by which stores and signals are late and out of order, as far as `model` ("tso", "pcie"
    or "sci") permits; `faults` names what goes wrong now and then ("error,revoke", "all"); with `profile` calls take as long
    as on that interconnect, or, with `virtual_time`, only add it up.

    The cluster ends with `close()`, at the end of a `with` statement, or with the object: members keep what they have mapped,
    and every call that needs the agent raises CtlrNotPresent.

    Raises BadConf for a bad or taken name and for what is no seed, model, fault or profile; BadLength for a bad number of
    nodes; CtlrNotPresent where the kernel lacks a feature; InsufficientResources, InsufficientMem.
    """
    def __new__(
        cls,
        nodes: int,
        *,
        name: Optional[str] = None,
        controllers: Optional[List[str]] = None,
        chaos: Union[int, str, None] = None,
        model: Optional[_Model] = None,
        faults: Optional[str] = None,
        profile: Optional[str] = None,
        virtual_time: bool = False,
    ) -> Cluster: ...
    @property
    def name(self) -> str:
        """Name of the cluster, as `rsm-ctl ls` shows it."""
    @property
    def node_count(self) -> int:
        """Number of nodes; their ids are 1 to this number."""
    def node(self, node: int) -> Node:
        """Joins as `node` from inside this process. Called again, it gives the same membership.

        Raises CtlrNotPresent when there is no such node, or the cluster was closed; InsufficientResources, InsufficientMem.
        """
    def environment(self, node: int) -> Dict[str, str]:
        """The environment variables that make a program a process of `node`, its key included.

        Raises CtlrNotPresent when there is no such node.
        """
    def steering(self) -> Steering:
        """The right to disturb the cluster.

        Raises InsufficientResources, InsufficientMem.
        """
    def kills(self) -> List[Tuple[int, int]]:
        """Node and process id of each process that was killed on purpose, in that order."""
    def deliveries(self) -> List[Tuple[int, int, int, int]]:
        """What became of late stores and signals, in a cluster with a lens: node, process id, number of pieces delivered, and how
        many of them out of order.
        """
    def faults(self) -> List[Tuple[int, int, int, Optional[str]]]:
        """The faults that processes were given, in a cluster with any: node, process id, how many, and the last one in words."""
    def modelled(self) -> List[Tuple[int, int, float]]:
        """How long calls would have taken, where time is virtual: node, process id, seconds."""
    def close(self) -> None:
        """Ends the cluster. Once is enough; again it does nothing.

        Raises SegInUse while another thread is in a call of it.
        """
    def __enter__(self) -> Cluster: ...
    def __exit__(self, *_raised: object) -> None: ...

class Node:
    """Membership of this process in a cluster, as one of the processes of a node: from `Node.current()` or `Cluster.node()`."""
    @staticmethod
    def current() -> Node:
        """The node that this process is part of by its environment, as `python -m rsmapi.run` and `rsm-ctl run` set it. Without one, a
        private cluster of one node is started in this process. Waits for the agent, at most 30 s.

        Raises CtlrNotPresent when the environment names a cluster that does not run, or is incomplete.
        """
    @property
    def id(self) -> int:
        """Id of the node."""
    @property
    def node_count(self) -> int:
        """Number of nodes of the cluster; their ids are 1 to this number. Not all of them need to have joined."""
    def controller(self, name: str = "shm0") -> Controller:
        """Opens a controller: `shm0`, and others that the cluster was started with, reach every node, `loopback` the local one only.

        Raises CtlrNotPresent when there is no such controller.
        """
    def topology(self) -> Topology:
        """Nodes that this node reaches through each controller but loopback."""
    def modelled(self) -> Optional[float]:
        """How long calls of this process would have taken so far, in seconds, where time is virtual; None elsewhere."""

class Controller:
    """An interconnect adapter of the local node. `Controller("shm0")` opens one of the node that this process is part of by its
    environment, as `python -m rsmapi.run` and `rsm-ctl run` set it; without one, a private cluster of one node is started.

    Raises CtlrNotPresent when there is no such controller, or no cluster where the environment says. Joins: waits for the
    agent, at most 30 s.
    """
    def __new__(cls, name: str = "shm0") -> Controller: ...
    @property
    def name(self) -> str:
        """Name of the controller, such as `shm0`."""
    @property
    def node(self) -> Node:
        """The node that the controller belongs to."""
    @property
    def attributes(self) -> ControllerAttributes:
        """Limits of the controller. Sizes are in bytes, but for the page size."""
    def export(self, length: int, *, sealed: bool = False, huge: bool = False) -> Export:
        """Creates an export segment of `length` zeroed bytes, a multiple of the page size; private until published. `sealed`: others
        can only read it, whatever they try. `huge`: in huge pages, whose size it must have at least. Waits for the agent.

        Raises BadLength for 0 and above the controller's limit; BadMemAlignment when `length` is no multiple of the page size;
        InsufficientMem, InsufficientResources; CtlrNotPresent when the cluster has ended, or without huge pages.
        """
    def adopt(self, memory: WritableBuffer) -> Export:
        """Exports memory that the program has, in place: an object with a writable buffer that begins and ends with a page, such as
        `mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)`. Contents stay; the object cannot be closed or resized
        until the export is destroyed, which `destroy` alone does when the object refers to it. Waits for the agent, and until the
        memory has been moved.

        Raises BadLength, BadMemAlignment; BadAddr when it is mapped shared, overlaps another export without being equal to it, or
        cannot be written; otherwise as `export`.
        """
    def connect(
        self,
        node: int,
        segment_id: int,
        permission: Optional[_Permission] = None,
        *,
        within: Optional[float] = None,
    ) -> Import:
        """Connects to the segment that `node` publishes as `segment_id`, with `permission` ("r", "w", "rw" or a Permission; both
        rights without it). Fails at once when it is not published; with `within` it waits for at most so many seconds until it is,
        asleep. Lets other threads go on; Ctrl-C ends it.

        Raises SegNotPublished, SegNotPublishedToNode, PermDenied; RemoteNodeUnreachable when there is no such node, or the link to it
        is down; CtlrNotPresent for another node through loopback and when the cluster has ended; InsufficientResources,
        InsufficientMem; with `within` Timeout, which says what was missing.
        """
    def common(
        self,
        segment_id: int,
        length: int,
        permission: Optional[_Permission] = None,
        access: Optional[_Access] = None,
    ) -> Import:
        """Connects to a segment of the cluster, which no node owns: for flags, counters and barriers that outlive whoever made them.
        The first process that asks for an id makes the segment, of `length` zeroed bytes, a multiple of the page size; it stays until
        the cluster ends, and nobody can take it back. All ask for the same length. `access`, as for `Export.publish`, counts if this
        call makes it. What is returned is an import like any other, but that there is nobody to signal or to be signalled by. Who has
        to do with memory that is there already, or waits until it is, connects to node 0, `rsmapi.CLUSTER_NODE`. Waits for the agent.

        Raises BadLength, also when the segment is there with another length; BadMemAlignment; ReservedSegid, also for id 0; BadAcl;
        PermDenied, SegNotPublishedToNode; CtlrNotPresent through loopback and when the cluster has ended; InsufficientMem,
        InsufficientResources, also where there are 256 such segments.
        """

class Export:
    """An export segment: memory that other nodes may reach. It is a buffer: `memoryview(export)` and `numpy.frombuffer(export)`
    are the memory itself, which importers read and write at any time.

    The segment is destroyed with `destroy()`, at the end of a `with` statement, or with the object. In a forked child it can
    be read, written, waited and posted on; what changes it raises NotCreator.
    """
    def __len__(self) -> int: ...
    def publish(self, segment_id: Optional[int] = None, access: Optional[_Access] = None) -> int:
        """Makes the segment importable under `segment_id` (0x400000 to 0x7fffffff), or under an automatic id; returns the id.

        `access` says who may connect: "everyone" (the default: reading and writing, every user), "readers", "default" (as the
        umask says, which is what C programs get), or permissions by node, read like file modes: `{2: 0o600, 3: 0o444}` lets in
        nodes 2 and 3. Waits for the agent.

        Raises SegAlreadyPublished; ReservedSegid for other ids; SegidInUse on this node; BadAcl; NotCreator in a forked child;
        InsufficientResources when a former importer still reaches the memory; CtlrNotPresent when the cluster has ended.
        """
    def republish(self, access: _Access) -> None:
        """Replaces the access list. Connections that exist keep what they have. Waits for the agent.

        Raises SegNotPublished, NotCreator; BadAcl, and the old list stays.
        """
    def unpublish(self) -> None:
        """Takes the segment back: when this returns, nobody reaches its memory any more. Imports are aborted, and their mappings lead
        to trash pages. Sleeps until every importer has let go; from one that has not after 100 ms the memory is moved away, in
        place.

        Raises SegNotPublished, NotCreator; InsufficientMem when there is no memory to move to; InsufficientResources when the same
        range is published as another segment too.
        """
    def rebind(self, memory: WritableBuffer) -> None:
        """Replaces the memory of an export made with `adopt` by that of another such object, of the same length. Importers stay
        connected, and see the contents of the new one; the old one is ordinary memory again. Transfers that meet it raise
        BarrierFailure, and are to be done again.

        Raises BadAddr, BadLength, PermDenied; RebindNotAllowed when the memory was not adopted; NotCreator in a forked child;
        SegStillMapped while there is a view of the old memory; SegInUse while another thread is in a call of it.
        """
    def destroy(self) -> None:
        """Withdraws the segment if it is published, and gives its memory up. Waits as `unpublish` does.

        Raises SegStillMapped while there is a view of its memory (memoryview, numpy array); SegInUse while another thread is in a
        call of it; InsufficientMem, InsufficientResources when adopted memory cannot be given back, and it can be tried again;
        CtlrNotPresent when the cluster has ended, and the segment with it; BadSegHndl when it was destroyed already.
        """
    def signal(self, *, accumulate: bool = True) -> None:
        """Posts a signal to every import of the segment that there is now; with `accumulate=False` to those that have none pending.
        Without importers it does nothing.

        Raises CtlrNotPresent when the cluster has ended.
        """
    def wait(self, timeout: Optional[float] = None) -> None:
        """Takes one signal that an importer posted; waits for at most `timeout` seconds, for ever with None, not at all with 0. What
        an importer put before it posted is visible afterwards. Lets other threads go on; Ctrl-C ends it.

        Raises Timeout; CtlrNotPresent when the cluster has ended.
        """
    def wait_while_imported(self, timeout: Optional[float] = None) -> None:
        """Takes one signal as `wait` does, but waits no longer than there is somebody who could post one: ends when the segment was
        imported since it was last published and nobody imports it any more, or when it is not published. Lets other threads go on; Ctrl-C ends it.

        Raises SegNotConnected when nobody is left; Timeout; CtlrNotPresent when the cluster has ended.
        """
    def wait_async(self, timeout: Optional[float] = None) -> Coroutine[Any, Any, None]:
        """As `wait`, for asyncio: a coroutine that takes one signal while other tasks go on. One that is cancelled takes nothing.

        Raises as `wait`, and InsufficientResources without descriptors or room for the thread that serves them.
        """
    def fileno(self) -> int:
        """A descriptor that is readable while a signal is pending here: the object itself can be given to `select` and `selectors`. Polling
        takes nothing: `wait(0)` does. Read, write and close nothing through it; it is good for as long as the object.

        Raises InsufficientResources without descriptors or room for the thread that serves it.
        """
    def watch_importers(self) -> ImporterEvents:
        """Events of importers from now on, as they come and go; those that are connected already come first.

        Raises InsufficientResources without descriptors or room for the thread that serves it.
        """
    def load_u32(self, offset: int) -> int:
        """The word of 32 bits at `offset`, in the machine's byte order, with one atomic access; what its writer stored before it is
        visible afterwards (acquire).

        Raises BadMemAlignment when `offset` is no multiple of 4; BadOffset; PermDenied; BadSegHndl when the memory has gone.
        """
    def load_u64(self, offset: int) -> int:
        """The word of 64 bits at `offset`, in the machine's byte order, with one atomic access; what its writer stored before it is
        visible afterwards (acquire).

        Raises BadMemAlignment when `offset` is no multiple of 8; BadOffset; PermDenied; BadSegHndl when the memory has gone.
        """
    def store_u32(self, offset: int, value: int) -> None:
        """Stores a word of 32 bits at `offset`, in the machine's byte order, with one atomic access; what was stored before it is
        visible to who loads it (release).

        Raises OverflowError for what is no such word; otherwise as `load_u32`.
        """
    def store_u64(self, offset: int, value: int) -> None:
        """Stores a word of 64 bits at `offset`, in the machine's byte order, with one atomic access; what was stored before it is
        visible to who loads it (release).

        Raises OverflowError for what is no such word; otherwise as `load_u64`.
        """
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __enter__(self) -> Export: ...
    def __exit__(self, *_raised: object) -> None: ...

class ImporterEvents:
    """Events of an export's importers, as they come and go, from `Export.watch_importers()`.

    It is the difference of two looks, each made when an event is asked for: who came and went in between is told as having
    done both. What an importer put and signalled before it left is visible to who is told that it left.
    """
    def next(self, timeout: Optional[float] = None) -> ImporterEvent:
        """The next event, as an ImporterEvent; waits for at most `timeout` seconds, for ever with None, not at all with 0. Lets
        other threads go on; Ctrl-C ends it.

        Raises Timeout; BadSegHndl once the export is gone and all its importers were told to have left; SegInUse while another
        thread waits for these events; CtlrNotPresent when the cluster has ended.
        """
    def fileno(self) -> int:
        """A descriptor that is readable when there is an event to ask for, and at times when there is not: the object itself can
        be given to `select` and `selectors`. Read, write and close nothing through it.
        """

class Import:
    """A connection to a published segment, from `Controller.connect()`. Offsets are in bytes from the start of the segment. Any
    number of threads may use it.

    In implicit mode, the default, each transfer raises ConnAborted or BarrierFailure when it may not have arrived. In explicit
    mode transfers only move data, and a `barrier()` says whether it arrived.

    The connection ends with `disconnect()`, at the end of a `with` statement, or with the object.
    """
    def __len__(self) -> int: ...
    @property
    def node(self) -> int:
        """The exporting node."""
    @property
    def segment_id(self) -> int:
        """Id under which the segment was published when this import connected."""
    @property
    def permission(self) -> Permission:
        """Rights of the connection."""
    def put(self, offset: int, data: Buffer) -> None:
        """Stores bytes at `offset`: of bytes, or of any object with a contiguous buffer, which is not copied. No word of them is
        promised to be of one piece.

        Raises PermDenied; BadOffset outside the segment; in implicit mode ConnAborted and BarrierFailure.
        """
    def get(self, offset: int, length: int) -> bytes:
        """Loads `length` bytes from `offset` on. No word of them is promised to be of one piece.

        Raises PermDenied; BadOffset outside the segment; in implicit mode ConnAborted and BarrierFailure.
        """
    def get_into(self, offset: int, buffer: WritableBuffer) -> None:
        """Loads bytes from `offset` on into all of a writable buffer (bytearray, numpy array ..), without a copy between.

        Raises PermDenied; BadOffset outside the segment; in implicit mode ConnAborted and BarrierFailure. Then the buffer has whatever was loaded.
        """
    def putv(self, parts: Iterable[Tuple[int, Buffer]]) -> None:
        """Stores several pieces, in order: `[(offset, data), ..]`. In implicit mode each is a span of its own.

        Raises as `put`; `completed` of the error is the number of parts that were completed before.
        """
    def getv(self, parts: Iterable[Tuple[int, WritableBuffer]]) -> None:
        """Loads into several writable buffers, in order: `[(offset, buffer), ..]`. In implicit mode each is a span of its own.

        Raises as `get_into`; `completed` of the error is the number of parts that were completed before.
        """
    def put_words(self, offset: int, words: Buffer) -> None:
        """Stores the items of a buffer (array, numpy array ..) from `offset` on, in ascending order, each with one access of its
        width: 1, 2, 4 or 8 bytes.

        Raises BadMemAlignment when `offset`, or where the buffer lies, is no multiple of the width; BadLength for another width;
        otherwise as `put`.
        """
    def get_words(self, offset: int, words: WritableBuffer) -> None:
        """Loads items from `offset` on into all of a writable buffer, in ascending order, each with one access of its width.

        Raises as `put_words`.
        """
    def put_u8(self, offset: int, value: int) -> None:
        """Stores a word of 8 bits, an int from 0 on, at `offset`, in the machine's byte order, with one access of its width.

        Raises OverflowError for what is no such word; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
        """
    def put_u16(self, offset: int, value: int) -> None:
        """Stores a word of 16 bits, an int from 0 on, at `offset`, in the machine's byte order, with one access of its width.

        Raises OverflowError for what is no such word; BadMemAlignment when `offset` is no multiple of 2; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
        """
    def put_u32(self, offset: int, value: int) -> None:
        """Stores a word of 32 bits, an int from 0 on, at `offset`, in the machine's byte order, with one access of its width.

        Raises OverflowError for what is no such word; BadMemAlignment when `offset` is no multiple of 4; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
        """
    def put_u64(self, offset: int, value: int) -> None:
        """Stores a word of 64 bits, an int from 0 on, at `offset`, in the machine's byte order, with one access of its width.

        Raises OverflowError for what is no such word; BadMemAlignment when `offset` is no multiple of 8; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
        """
    def get_u8(self, offset: int) -> int:
        """Loads the word of 8 bits at `offset`, in the machine's byte order, with one access of its width.

        Raises PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
        """
    def get_u16(self, offset: int) -> int:
        """Loads the word of 16 bits at `offset`, in the machine's byte order, with one access of its width.

        Raises BadMemAlignment when `offset` is no multiple of 2; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
        """
    def get_u32(self, offset: int) -> int:
        """Loads the word of 32 bits at `offset`, in the machine's byte order, with one access of its width.

        Raises BadMemAlignment when `offset` is no multiple of 4; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
        """
    def get_u64(self, offset: int) -> int:
        """Loads the word of 64 bits at `offset`, in the machine's byte order, with one access of its width.

        Raises BadMemAlignment when `offset` is no multiple of 8; PermDenied; BadOffset; in implicit mode ConnAborted and BarrierFailure.
        """
    @property
    def mode(self) -> _Mode:
        """Who vouches for transfers: each of them ("implicit", the default), or a barrier ("explicit"). Can be set, which counts from
        the next transfer on.
        """
    @mode.setter
    def mode(self, mode: _Mode) -> None: ...
    def barrier(self, of: _Of = "node") -> Barrier:
        """A barrier, to be opened by a `with` statement or `open()`. `of` says which stores it waits for where they may be late: those
        of all imports from the same "node", or of this "segment" only.
        """
    def map(
        self,
        offset: Optional[int] = None,
        length: Optional[int] = None,
        permission: Optional[_Permission] = None,
    ) -> Mapping:
        """Maps `length` bytes from `offset` on, a multiple of the page size: all of the segment without arguments, with the rights of
        the connection unless `permission` says less.

        Raises BadPerms for none or more than the connection's; BadLength when empty or outside the segment; BadMemAlignment;
        ConnAborted; MapFailed; InsufficientMem.
        """
    def signal(self, *, accumulate: bool = True) -> None:
        """Posts a signal to the export; with `accumulate=False` unless one is pending there. Does not wait.

        Raises ConnAborted when the connection was cut.
        """
    def wait(self, timeout: Optional[float] = None) -> None:
        """Takes one signal that the exporter posted; waits for at most `timeout` seconds, for ever with None, not at all with 0. What
        the exporter put before it posted is visible afterwards. Lets other threads go on; Ctrl-C ends it.

        Raises Timeout; ConnAborted at once when nothing is pending and the connection was cut; CtlrNotPresent when the cluster has ended.
        """
    def wait_async(self, timeout: Optional[float] = None) -> Coroutine[Any, Any, None]:
        """As `wait`, for asyncio: a coroutine that takes one signal while other tasks go on. One that is cancelled takes nothing.

        Raises as `wait`, and InsufficientResources without descriptors or room for the thread that serves them.
        """
    def fileno(self) -> int:
        """A descriptor that is readable while a signal is pending here, or the connection was cut: the object itself can be given to `select` and `selectors`. Polling
        takes nothing: `wait(0)` does. Read, write and close nothing through it; it is good for as long as the object.

        Raises InsufficientResources without descriptors or room for the thread that serves it.
        """
    @property
    def is_aborted(self) -> bool:
        """Whether the connection was cut. A barrier tells the same, with the order that makes it a verdict."""
    @property
    def why_aborted(self) -> Optional[str]:
        """Why the connection was cut, as a sentence; None while it was not."""
    def disconnect(self) -> None:
        """Ends the connection. Waits for the agent.

        Raises SegStillMapped while there is a mapping; SegInUse while a barrier is open or another thread is in a call of it: it then
        stays. CtlrNotPresent when the cluster has ended; BadSegHndl when it was disconnected already.

        A forked child ends its own share, and its parent's stays. Threads that the parent had are not in the child, but calls that they
        were in hold the share: then no SegInUse is raised, and it ends with the child.
        """
    def __enter__(self) -> Import: ...
    def __exit__(self, *_raised: object) -> None: ...

class Mapping:
    """Memory of another node, mapped, from `Import.map()`. It is a buffer: `memoryview(mapping)` and `numpy.frombuffer(mapping)`
    are the memory itself; loads and stores go straight to it. It can be written if its permission allows that.

    When the exporter takes the segment back, the mapping stays where it is and leads to a trash page: nothing faults, stores
    vanish, loads give anything. A `barrier()` tells.

    It ends with `unmap()`, at the end of a `with` statement, or with the object and the last view of its memory.
    """
    def __len__(self) -> int: ...
    @property
    def import_(self) -> Import:
        """The import that it is of."""
    def barrier(self, of: _Of = "node") -> Barrier:
        """A barrier, to be opened by a `with` statement or `open()`. `of` says which stores it waits for where they may be late: those
        of all imports from the same "node", or of this "segment" only.

        The same as the import's.
        """
    def load_u32(self, offset: int) -> int:
        """The word of 32 bits at `offset`, in the machine's byte order, with one atomic access; what its writer stored before it is
        visible afterwards (acquire).

        Raises BadMemAlignment when `offset` is no multiple of 4; BadOffset; PermDenied; BadSegHndl when the memory has gone.
        """
    def load_u64(self, offset: int) -> int:
        """The word of 64 bits at `offset`, in the machine's byte order, with one atomic access; what its writer stored before it is
        visible afterwards (acquire).

        Raises BadMemAlignment when `offset` is no multiple of 8; BadOffset; PermDenied; BadSegHndl when the memory has gone.
        """
    def store_u32(self, offset: int, value: int) -> None:
        """Stores a word of 32 bits at `offset`, in the machine's byte order, with one atomic access; what was stored before it is
        visible to who loads it (release).

        Raises OverflowError for what is no such word; otherwise as `load_u32`.
        """
    def store_u64(self, offset: int, value: int) -> None:
        """Stores a word of 64 bits at `offset`, in the machine's byte order, with one atomic access; what was stored before it is
        visible to who loads it (release).

        Raises OverflowError for what is no such word; otherwise as `load_u64`.
        """
    def unmap(self) -> None:
        """Ends the mapping.

        Raises SegStillMapped while there is a view of its memory (memoryview, numpy array); BadSegHndl when it was unmapped already.
        """
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __enter__(self) -> Mapping: ...
    def __exit__(self, *_raised: object) -> None: ...

class Barrier:
    """A barrier of an import: says whether what was stored through the import while it was open has arrived.

        with import_.barrier() as barrier:
            import_.put(0, data)
            barrier.order()              # what follows becomes visible after what came before
            import_.put(4096, flag)

    The end of the `with` statement closes it, and raises ConnAborted when the connection was cut (connect again) and
    BarrierFailure when the link had an error or changed (do it again). When the block itself raises, that is what is raised.
    A barrier can be opened again when it is closed; any number of them may be open.
    """
    @property
    def is_open(self) -> bool:
        """Whether it is open."""
    def open(self) -> None:
        """Opens it. Succeeds on an aborted import, whose close then tells.

        Raises BarrierOpenFailed when it is open already; BadSegHndl when the import was disconnected.
        """
    def order(self) -> None:
        """Makes what was stored before it visible before what is stored after it. The barrier stays open.

        Raises BarrierNotOpened when it is not open.
        """
    def close(self) -> None:
        """Ends it, and says whether everything stored through the import since it was opened has reached the exporter's memory. Where
        stores may be late, waits for them.

        Raises ConnAborted when the connection was cut: connect again. BarrierFailure when the link had an error or changed its state
        meanwhile: do it again. BarrierNotOpened when it is not open.
        """
    def __enter__(self) -> Barrier: ...
    def __exit__(self, raised: object, _value: object, _traceback: object) -> None: ...

class Observer:
    """A look at a running cluster from outside: `name` is its name or address, and without one it is the cluster that
    RSM_CLUSTER names, or the only one that runs.

    Raises CtlrNotPresent when there is none, or more than one to choose from; PermDenied when its agent refuses; Timeout when
    its agent does not answer for 2 s.
    """
    def __new__(cls, name: Optional[str] = None) -> Observer: ...
    @property
    def is_gone(self) -> bool:
        """Whether the cluster has ended."""
    def snapshot(self) -> Snapshot:
        """A picture of everything at once. Asks the agent for the processes, 2 s at most."""
    def wait(self, seen: Snapshot, timeout: Optional[float] = None) -> None:
        """Sleeps until the cluster may look different from the snapshot `seen`, at most `timeout` seconds. Lets other threads go on; Ctrl-C ends it.

        Raises Timeout; CtlrNotPresent when the cluster has ended.
        """
    def processes(self) -> List[_Record]:
        """The processes of all nodes, in the order in which they joined. Asks the agent.

        Raises Timeout when the agent does not answer for 2 s, CtlrNotPresent when the cluster has ended.
        """
    def waits(self) -> List[_Record]:
        """What processes wait for: signals, and segments that are not published. Asks the agent.

        Raises Timeout when the agent does not answer for 2 s, CtlrNotPresent when the cluster has ended.
        """
    def activity(self) -> List[_Record]:
        """What each process has transferred and signalled since an observer first asked; loads and stores through mappings are not seen.
        Asks the agent, and has the processes count until this observer goes.

        Raises Timeout when the agent does not answer for 2 s, CtlrNotPresent when the cluster has ended.
        """

class Snapshot:
    """A cluster as it stood at one moment, from `Observer.snapshot()`. Its parts are dictionaries, as in docs/json.md."""
    @staticmethod
    def empty() -> Snapshot:
        """A cluster with nothing in it: everything there is counts as a change since."""
    @property
    def cluster(self) -> _Record:
        """The cluster as a whole."""
    @property
    def nodes(self) -> List[_Record]:
        """Its nodes."""
    @property
    def processes(self) -> Optional[List[_Record]]:
        """Its processes; None when the agent did not answer."""
    @property
    def controllers(self) -> List[_Record]:
        """Its controllers."""
    @property
    def segments(self) -> List[_Record]:
        """Its export segments."""
    @property
    def connections(self) -> List[_Record]:
        """Its connections, cut ones that importers still hold included."""
    @property
    def links(self) -> List[_Record]:
        """Its links, each direction by itself."""
    def changes_since(self, before: Snapshot) -> List[_Record]:
        """Changes since an earlier snapshot of the same cluster, in an order in which they can have happened. What came and went in
        between is not seen.
        """

class Steering:
    """The right to disturb a cluster: `Cluster.steering()`, or `Steering(name)` for one of your own that runs (another user's is
    named by its address, `rsm:UID:NAME`). What a call changes is in force when it returns; processes that sleep or are stopped
    learn of it when they run. Each call waits for the agent.

    Raises CtlrNotPresent when there is no such cluster, PermDenied when its agent refuses.
    """
    def __new__(cls, name: Optional[str] = None) -> Steering: ...
    def observer(self) -> Observer:
        """An observer of the same cluster."""
    def link_down(self, a: int, b: int, *, one_way: bool = False, controller: Optional[str] = None) -> int:
        """Takes the links between two nodes down until `link_up`: imports through them are aborted. Returns how many were.

        A direction belongs to the imports of one node from another: with `one_way` only those of node `a` from node `b`. Through
        every controller but loopback, or through `controller`.

        Raises CtlrNotPresent when there is no such controller; RemoteNodeUnreachable when there is no such node; PermDenied.
        """
    def link_up(self, a: int, b: int, *, one_way: bool = False, controller: Optional[str] = None) -> None:
        """Brings links up that were taken down: connects work again. What was aborted stays aborted.

        A direction belongs to the imports of one node from another: with `one_way` only those of node `a` from node `b`. Through
        every controller but loopback, or through `controller`.

        Raises CtlrNotPresent when there is no such controller; RemoteNodeUnreachable when there is no such node; PermDenied.
        """
    def link_error(self, a: int, b: int, *, one_way: bool = False, controller: Optional[str] = None) -> None:
        """Counts an error on links: every span and implicit transfer under way raises BarrierFailure.

        A direction belongs to the imports of one node from another: with `one_way` only those of node `a` from node `b`. Through
        every controller but loopback, or through `controller`.

        Raises CtlrNotPresent when there is no such controller; RemoteNodeUnreachable when there is no such node; PermDenied.
        """
    def node_kill(self, node: int) -> int:
        """Kills (SIGKILL) every process of a node. Returns how many there were.

        Raises RemoteNodeUnreachable when there is no such node, or no process of it has joined; PermDenied when the node lives in
        the agent's own process.
        """
    def node_stop(self, node: int) -> int:
        """Stops (SIGSTOP) every process of a node until `node_cont`. Returns how many there were.

        Raises RemoteNodeUnreachable when there is no such node, or no process of it has joined; PermDenied when the node lives in
        the agent's own process.
        """
    def node_cont(self, node: int) -> int:
        """Lets every process of a node go on (SIGCONT). Returns how many there were.

        Raises RemoteNodeUnreachable when there is no such node, or no process of it has joined; PermDenied when the node lives in
        the agent's own process.
        """
    def revoke_segment(self, node: int, segment_id: int) -> int:
        """Takes a segment from its exporter, who may publish it again: its imports are aborted. Returns how many were.

        Raises SegNotPublished, naming what the node publishes; RemoteNodeUnreachable when there is no such node.
        """
    def environment(self, node: int) -> Dict[str, str]:
        """The environment variables that make a program a process of `node`, its key included.

        Raises RemoteNodeUnreachable when there is no such node.
        """

class Team:
    """All nodes of a cluster, as one of them sees them, from `Team.join()`: they meet, tell each other values, wait for each other and
    take turns. A node's `rank` is its id less one.

    Every wait ends with ConnAborted, whose sentence names the node, when a node that it is for has ended; none needs a time limit
    for that. Waits let other threads go on, and Ctrl-C ends them. Nodes may be of Python, of Rust (the crate rsm-team), or mixed.

    A call of all nodes that raises cannot be finished: then the team is to be closed. Locks and messages go on among those who are
    left, and words can still be raised and read; what such a call had to tell, when Ctrl-C ended it, the next one to that node tells.

    It is used by one thread at a time: a call beside another one raises SegInUse, one after `leave()` or `close()` BadSegHndl, one in
    a forked child NotCreator. As a context manager it leaves at the end, or is closed when the block raises.
    """
    @staticmethod
    def join(controller: Optional[Controller] = None, timeout: Optional[float] = 60.0) -> Team:
        """Joins the nodes of the cluster to a team; returns when every node has, in at most `timeout` seconds, for ever with None. One
        process of each node joins, and is in one team at a time. Without `controller` it opens shm0.

        Raises Timeout, which says who was missing; ConnAborted when a node that was joining has ended; SegidInUse when another
        process of this node is in a team; CtlrNotPresent; InsufficientMem, InsufficientResources.
        """
    @property
    def rank(self) -> int:
        """This node's place, 0 to `size` - 1: its id less one."""
    @property
    def size(self) -> int:
        """How many nodes there are."""
    @property
    def controller(self) -> Controller:
        """The controller that it was joined through."""
    @property
    def longest_message(self) -> int:
        """Bytes that a message may have at most. So many, with eight for each message, are under way at a time to one rank."""
    def barrier(self) -> None:
        """Waits until every node has called this. What any of them has put before, and knows to have arrived (by a closed barrier of an
        import, or in implicit mode), is in everybody's sight then.

        Raises ConnAborted, with the node that has ended, or left; CtlrNotPresent when the cluster has ended.
        """
    def broadcast(self, root: int, data: Optional[Buffer] = None) -> Any:
        """Gives everybody the values of the rank `root`, and returns them. On `root` `data` is an object with a contiguous buffer, which is
        returned. Elsewhere it is a writable one, as long and with items of the same size, which is filled and returned; or None, where
        items are of one byte, however many: then bytes are returned.

        Raises ConnAborted, with the node that has ended, or left; BadLength when nodes make different calls, or the buffer is of another
        length, which then stays as it was; BadAddr for a rank that there is not; InsufficientMem; CtlrNotPresent.
        """
    def all_reduce(self, values: Union[int, float, Buffer], op: _Operation = "sum") -> Any:
        """Combines everybody's numbers, place by place, and gives everybody the result, the same to the last bit on every rank: a
        memoryview of items like those given (`numpy.asarray` makes an array of it, without a copy). `values` is a contiguous buffer of
        whole numbers of 8 to 64 bits, or of floats of 32 or 64; or an int or a float, and so is the result then.

        `op` is "sum", "prod", "min", "max", or of whole numbers "and", "or", "xor". Sums and products of whole numbers wrap around; an
        int is one of 64 bits with a sign. What is no number (nan) is the least and the greatest.

        Raises TypeError for other items; ValueError for other operations; OverflowError for an int of more bits; otherwise as
        `broadcast`, and BadLength also when ranks have different numbers of values.
        """
    def gather(self, root: int, data: Buffer) -> Optional[List[memoryview]]:
        """Gives the rank `root` the values of every rank, in the order of ranks: a list of memoryviews of items like those given, which
        `numpy.asarray` makes arrays of, without a copy. None on others. `data` is an object with a contiguous buffer; ranks may have
        different numbers of items.

        Raises as `broadcast`.
        """
    def all_gather(self, data: Buffer) -> List[memoryview]:
        """Gives everybody the values of every rank, in the order of ranks, as `gather` does.

        Raises as `broadcast`.
        """
    def all_to_all(self, parts: Iterable[Buffer]) -> List[memoryview]:
        """Gives the rank K the K-th of `parts` of every rank, in the order of ranks: a list of memoryviews of items like those given.
        `parts` are as many objects with contiguous buffers as there are ranks, of items of one size; they may differ in length.

        Raises TypeError for items of several sizes; otherwise as `broadcast`, and BadLength also when `parts` is not one for each rank.
        """
    def share(self, length: int) -> Shared:
        """Exports at least `length` bytes, zeroed, and connects to what every other node exports in the same call; lengths may differ. All
        nodes call it together.

        Raises BadLength, InsufficientMem, InsufficientResources; ConnAborted, with the node that has ended, or left.
        """
    def raise_(self, rank: int, word: int, by: int = 1) -> None:
        """Adds `by` to the word `word` of a rank, 0 to 63, and wakes it if it waits. The own rank has words, too. What this node has put
        before, and knows to have arrived, is there when the word is seen raised. Words have 64 bits, and wrap around.

        Raises BadOffset for a word, and BadAddr for a rank, that there is not; OverflowError for another `by`; ConnAborted, with the
        node that has ended, or left; BarrierFailure, with its name, when the link to it has failed for ten seconds: the next one
        counts for both.
        """
    def put_signal(self, shared: Shared, rank: int, offset: int, data: Buffer, word: int) -> None:
        """Stores the bytes of `data`, an object with a contiguous buffer, which is not copied, at an offset of what a rank shares, and when
        they have arrived adds one to a word of that rank.

        Raises as `raise_`; BadOffset outside of what the rank shares; BadSegHndl when `shared` was closed, ValueError when it is of another
        team.
        """
    def word(self, word: int) -> int:
        """The value of a word of this node.

        Raises BadOffset for a word that there is not.
        """
    def wait_until(self, word: int, condition: Callable[[int], bool], timeout: Optional[float] = None) -> int:
        """Waits until `condition` holds of a word of this node; for at most `timeout` seconds, for ever with None. Returns its value.
        `condition` is a function that is called with the word's value, when that may have changed and now and then; it calls nothing of
        the team.

            team.wait_until(0, lambda arrived: arrived >= 3)

        Raises ConnAborted when a node of the team has ended, or left, and the condition does not hold: with its name; Timeout;
        BadOffset for a word that there is not; CtlrNotPresent when the cluster has ended; whatever `condition` raises.
        """
    def lock(self, keeper: int, number: int, timeout: Optional[float] = None) -> TeamLock:
        """Takes the lock `number`, 0 to 15, that the rank `keeper` keeps; waits for at most `timeout` seconds, for ever with None, not at
        all with 0. Use it in a `with` statement. Who waits sleeps.

            with team.lock(0, 3) as lock:
                if lock.died_holding is not None:
                    ...                             # what the lock guards may be half done

        A holder that dies does not keep the lock: the next one gets it, and is told.

        Raises Timeout; ConnAborted when the keeper has ended, or left, or when a holder cannot be reached and may live; PermDenied when
        this node holds the lock; BadOffset for a lock, and BadAddr for a rank, that there is not; MapFailed on an interconnect whose
        memory cannot be mapped.
        """
    def send(self, rank: int, data: Buffer, timeout: Optional[float] = None) -> None:
        """Sends the bytes of `data`, an object with a contiguous buffer, to a rank, once there is room for all of them: waits for at most
        `timeout` seconds, for ever with None, not at all with 0. Messages of one node arrive in order, and whole.

        Raises Timeout, and nothing was sent; BadLength for more than `longest_message`; BadAddr for a rank that there is not;
        ConnAborted when the other node has ended, or left; BarrierFailure, with its name, when the link to it has failed for ten
        seconds: the message arrives with the next one at the latest, and once.
        """
    def receive(self, rank: int, timeout: Optional[float] = None) -> bytes:
        """The next message of a rank; waits for at most `timeout` seconds, for ever with None, not at all with 0. What a node has sent
        before its end is received.

        Raises Timeout; ConnAborted when the other node has ended, or left, and has sent nothing more; BadAddr for a rank that there is
        not; CtlrNotPresent when the cluster has ended; BarrierFailure, with its name, when the link to it has failed for ten seconds, so
        that it cannot be told of the room: the next call has the message.
        """
    def leave(self) -> None:
        """Waits until every node has called this, and leaves. Another program can begin on the same nodes at once, or this one join again.

        Raises SegInUse while memory is shared that was not closed, or a lock is held, and has not left; otherwise as `barrier`, and has
        left all the same.
        """
    def close(self) -> None:
        """Gives the team up, if it was not left: waits of the others say so. Waits for nobody; again it does nothing."""
    def __enter__(self) -> Team: ...
    def __exit__(self, raised: object, _value: object, _traceback: object) -> None: ...

class Shared:
    """A segment of every node of a team, and connections to all of them, from `Team.share()`.

    At the end of a `with` statement it is closed; when the block raises, the others lose the own segment at once.
    """
    @property
    def memory(self) -> Export:
        """The own segment, which others read and write at any time. It is a buffer: `numpy.frombuffer(shared.memory, "f8")`."""
    def at(self, rank: int) -> Import:
        """The connection to the segment of a rank, readable and writable; the own rank has one, too.

        Raises BadAddr for a rank that there is not.
        """
    def close(self) -> None:
        """Waits until every node has called this, and gives the memory and the connections back. Again it does nothing.

        Raises as `Team.barrier`; SegStillMapped while there is a view of the memory, or a mapping of a connection: without that,
        it can be called again, and waits for nobody any more.
        """
    def __enter__(self) -> Shared: ...
    def __exit__(self, raised: object, _value: object, _traceback: object) -> None: ...

class TeamLock:
    """A lock of a team that is held, from `Team.lock()`, until `unlock()`, the end of a `with` statement, or the end of the object.

    What was put under it is to have arrived before: close the barrier first.
    """
    @property
    def died_holding(self) -> Optional[int]:
        """The rank that died while it held the lock, if one did since somebody last let it go: what the lock guards may be half done."""
    def unlock(self) -> None:
        """Lets go. Says so that what the lock guards is in order again.

        Raises ConnAborted when the keeper has ended, and the lock with it; InternalError when somebody has taken it from this node;
        BadSegHndl when it was unlocked already.
        """
    def __enter__(self) -> TeamLock: ...
    def __exit__(self, *_raised: object) -> None: ...
