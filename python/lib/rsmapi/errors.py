"""Errors: one class for each RSMERR number, below :class:`RsmError`.

``except rsmapi.ConnAborted`` is the one to connect again after, ``except rsmapi.BarrierFailure`` the one to do a span
again after. Some are what Python calls them, too: :class:`Timeout` is a ``TimeoutError``, :class:`ConnAborted` a
``ConnectionAbortedError``, :class:`PermDenied` a ``PermissionError``.
"""

from typing import ClassVar, Dict, Optional, Type


class RsmError(Exception):
    """What the library answers in place of a result.

    ``code`` is the number of ``rsm_common.h``, ``name`` its name there, ``meaning`` what it means in general, ``sentence``
    what happened. ``completed`` is, of a vector of transfers (``putv``, ``getv``), the number of parts that were completed
    before the one that failed, and ``None`` otherwise.
    """

    code: ClassVar[int] = 0
    name: ClassVar[str] = ""
    meaning: ClassVar[str] = "an error of the RSMAPI"

    def __init__(self, sentence: Optional[str] = None) -> None:
        self.sentence: str = self.meaning if sentence is None else sentence
        self.completed: Optional[int] = None
        super().__init__(self.sentence)

    def __str__(self) -> str:
        return f"{self.sentence} ({self.name} {self.code})" if self.name else self.sentence


class BadLibraryVersion(RsmError):
    """Library and agent do not fit together."""

    code = 1
    name = "RSMERR_BAD_LIBRARY_VERSION"
    meaning = "library and agent do not fit together"


class BadTopologyPtr(RsmError):
    """Bad topology pointer."""

    code = 2
    name = "RSMERR_BAD_TOPOLOGY_PTR"
    meaning = "bad topology pointer"


class BadCtlrHndl(RsmError):
    """Bad controller handle."""

    code = 3
    name = "RSMERR_BAD_CTLR_HNDL"
    meaning = "bad controller handle"


class CtlrNotPresent(RsmError):
    """Controller not present."""

    code = 4
    name = "RSMERR_CTLR_NOT_PRESENT"
    meaning = "controller not present"


class BadSegHndl(RsmError):
    """Bad segment handle."""

    code = 5
    name = "RSMERR_BAD_SEG_HNDL"
    meaning = "bad segment handle"


class SegAlreadyPublished(RsmError):
    """Segment is already published."""

    code = 6
    name = "RSMERR_SEG_ALREADY_PUBLISHED"
    meaning = "segment is already published"


class SegNotPublished(RsmError):
    """Segment is not published."""

    code = 7
    name = "RSMERR_SEG_NOT_PUBLISHED"
    meaning = "segment is not published"


class SegNotPublishedToNode(RsmError):
    """Segment is not published to this node."""

    code = 8
    name = "RSMERR_SEG_NOT_PUBLISHED_TO_NODE"
    meaning = "segment is not published to this node"


class SegAlreadyMapped(RsmError):
    """Segment is already mapped."""

    code = 9
    name = "RSMERR_SEG_ALREADY_MAPPED"
    meaning = "segment is already mapped"


class SegStillMapped(RsmError):
    """Segment is still mapped."""

    code = 10
    name = "RSMERR_SEG_STILL_MAPPED"
    meaning = "segment is still mapped"


class SegNotMapped(RsmError):
    """Segment is not mapped."""

    code = 11
    name = "RSMERR_SEG_NOT_MAPPED"
    meaning = "segment is not mapped"


class NotCreator(RsmError):
    """Only the creating process may do this."""

    code = 12
    name = "RSMERR_NOT_CREATOR"
    meaning = "only the creating process may do this"


class BadBarrierPtr(RsmError):
    """Bad barrier pointer."""

    code = 13
    name = "RSMERR_BAD_BARRIER_PTR"
    meaning = "bad barrier pointer"


class BadSgio(RsmError):
    """Bad scatter/gather structure."""

    code = 14
    name = "RSMERR_BAD_SGIO"
    meaning = "bad scatter/gather structure"


class BadLocalmemHndl(RsmError):
    """Bad local memory handle."""

    code = 15
    name = "RSMERR_BAD_LOCALMEM_HNDL"
    meaning = "bad local memory handle"


class BadAddr(RsmError):
    """Bad address."""

    code = 16
    name = "RSMERR_BAD_ADDR"
    meaning = "bad address"


class BadMemAlignment(RsmError):
    """Misaligned address, offset or length."""

    code = 17
    name = "RSMERR_BAD_MEM_ALIGNMENT"
    meaning = "misaligned address, offset or length"


class BadOffset(RsmError):
    """Offset outside the memory."""

    code = 18
    name = "RSMERR_BAD_OFFSET"
    meaning = "offset outside the memory"


class MisalignedOffset(RsmError):
    """Misaligned offset."""

    code = 19
    name = "RSMERR_MISALIGNED_OFFSET"
    meaning = "misaligned offset"


class BadLength(RsmError):
    """Bad length."""

    code = 20
    name = "RSMERR_BAD_LENGTH"
    meaning = "bad length"


class BadAcl(RsmError):
    """Bad access list."""

    code = 21
    name = "RSMERR_BAD_ACL"
    meaning = "bad access list"


class BadSegid(RsmError):
    """Bad segment id."""

    code = 22
    name = "RSMERR_BAD_SEGID"
    meaning = "bad segment id"


class ReservedSegid(RsmError):
    """Segment id is reserved."""

    code = 23
    name = "RSMERR_RESERVED_SEGID"
    meaning = "segment id is reserved"


class SegidInUse(RsmError):
    """Segment id is in use."""

    code = 24
    name = "RSMERR_SEGID_IN_USE"
    meaning = "segment id is in use"


class BadMode(RsmError):
    """Bad barrier mode."""

    code = 25
    name = "RSMERR_BAD_MODE"
    meaning = "bad barrier mode"


class BadPerms(RsmError):
    """Bad permissions."""

    code = 26
    name = "RSMERR_BAD_PERMS"
    meaning = "bad permissions"


class PermDenied(RsmError, PermissionError):
    """Permission denied."""

    code = 27
    name = "RSMERR_PERM_DENIED"
    meaning = "permission denied"


class LocksNotSupported(RsmError):
    """Locks are not supported."""

    code = 28
    name = "RSMERR_LOCKS_NOT_SUPPORTED"
    meaning = "locks are not supported"


class LocksNotEnabled(RsmError):
    """Locks are not enabled."""

    code = 29
    name = "RSMERR_LOCKS_NOT_ENABLED"
    meaning = "locks are not enabled"


class RebindNotAllowed(RsmError):
    """Segment does not allow rebind."""

    code = 30
    name = "RSMERR_REBIND_NOT_ALLOWED"
    meaning = "segment does not allow rebind"


class InsufficientResources(RsmError):
    """Insufficient resources."""

    code = 31
    name = "RSMERR_INSUFFICIENT_RESOURCES"
    meaning = "insufficient resources"


class InsufficientMem(RsmError):
    """Insufficient memory."""

    code = 32
    name = "RSMERR_INSUFFICIENT_MEM"
    meaning = "insufficient memory"


class MapFailed(RsmError):
    """Mapping failed."""

    code = 33
    name = "RSMERR_MAP_FAILED"
    meaning = "mapping failed"


class PollfdInUse(RsmError):
    """Poll descriptor is in use."""

    code = 34
    name = "RSMERR_POLLFD_IN_USE"
    meaning = "poll descriptor is in use"


class BarrierUninitialized(RsmError):
    """Barrier is not initialized."""

    code = 35
    name = "RSMERR_BARRIER_UNINITIALIZED"
    meaning = "barrier is not initialized"


class BarrierOpenFailed(RsmError):
    """Barrier could not be opened."""

    code = 36
    name = "RSMERR_BARRIER_OPEN_FAILED"
    meaning = "barrier could not be opened"


class BarrierNotOpened(RsmError):
    """Barrier is not open."""

    code = 37
    name = "RSMERR_BARRIER_NOT_OPENED"
    meaning = "barrier is not open"


class BarrierFailure(RsmError):
    """A transfer of the span may have failed."""

    code = 38
    name = "RSMERR_BARRIER_FAILURE"
    meaning = "a transfer of the span may have failed"


class RemoteNodeUnreachable(RsmError):
    """Remote node is unreachable."""

    code = 39
    name = "RSMERR_REMOTE_NODE_UNREACHABLE"
    meaning = "remote node is unreachable"


class ConnAborted(RsmError, ConnectionAbortedError):
    """Connection was aborted."""

    code = 40
    name = "RSMERR_CONN_ABORTED"
    meaning = "connection was aborted"


class Interrupted(RsmError):
    """Interrupted by a signal handler."""

    code = 41
    name = "RSMERR_INTERRUPTED"
    meaning = "interrupted by a signal handler"


class Timeout(RsmError, TimeoutError):
    """Timed out."""

    code = 42
    name = "RSMERR_TIMEOUT"
    meaning = "timed out"


class BadAppid(RsmError):
    """Application id is not listed."""

    code = 43
    name = "RSMERR_BAD_APPID"
    meaning = "application id is not listed"


class BadConf(RsmError):
    """Bad configuration."""

    code = 44
    name = "RSMERR_BAD_CONF"
    meaning = "bad configuration"


class SegNotConnected(RsmError):
    """Segment is not connected."""

    code = 45
    name = "RSMERR_SEG_NOT_CONNECTED"
    meaning = "segment is not connected"


class InternalError(RsmError):
    """Internal error."""

    code = 100
    name = "RSMERR_INTERNAL_ERROR"
    meaning = "internal error"


class BadDriverVersion(RsmError):
    """Bad driver version."""

    code = 101
    name = "RSMERR_BAD_DRIVER_VERSION"
    meaning = "bad driver version"


class UnsupportedVersion(RsmError):
    """Unsupported version."""

    code = 102
    name = "RSMERR_UNSUPPORTED_VERSION"
    meaning = "unsupported version"


class DriverNameInUse(RsmError):
    """Driver name is in use."""

    code = 103
    name = "RSMERR_DRIVER_NAME_IN_USE"
    meaning = "driver name is in use"


class DriverNotRegistered(RsmError):
    """Driver is not registered."""

    code = 104
    name = "RSMERR_DRIVER_NOT_REGISTERED"
    meaning = "driver is not registered"


class DriverThreadRunning(RsmError):
    """Driver thread is running."""

    code = 105
    name = "RSMERR_DRIVER_THREAD_RUNNING"
    meaning = "driver thread is running"


class NeedThreadInit(RsmError):
    """Thread needs initialization."""

    code = 106
    name = "RSMERR_NEED_THREAD_INIT"
    meaning = "thread needs initialization"


class ThreadNotInited(RsmError):
    """Thread is not initialized."""

    code = 107
    name = "RSMERR_THREAD_NOT_INITED"
    meaning = "thread is not initialized"


class CtlrsRegistered(RsmError):
    """Controllers are registered."""

    code = 108
    name = "RSMERR_CTLRS_REGISTERED"
    meaning = "controllers are registered"


class CtlrNotRegistered(RsmError):
    """Controller is not registered."""

    code = 109
    name = "RSMERR_CTLR_NOT_REGISTERED"
    meaning = "controller is not registered"


class CtlrAlreadyRegistered(RsmError):
    """Controller is already registered."""

    code = 110
    name = "RSMERR_CTLR_ALREADY_REGISTERED"
    meaning = "controller is already registered"


class CtlrInUse(RsmError):
    """Controller is in use."""

    code = 111
    name = "RSMERR_CTLR_IN_USE"
    meaning = "controller is in use"


class NameTooLong(RsmError):
    """Name is too long."""

    code = 112
    name = "RSMERR_NAME_TOO_LONG"
    meaning = "name is too long"


class SegPublished(RsmError):
    """Segment is published."""

    code = 113
    name = "RSMERR_SEG_PUBLISHED"
    meaning = "segment is published"


class SegNotPublishedToRsmAddr(RsmError):
    """Segment is not published to this address."""

    code = 114
    name = "RSMERR_SEG_NOT_PUBLISHED_TO_RSM_ADDR"
    meaning = "segment is not published to this address"


class SegInUse(RsmError):
    """Segment is in use."""

    code = 115
    name = "RSMERR_SEG_IN_USE"
    meaning = "segment is in use"


class BadSendqHndl(RsmError):
    """Bad send queue handle."""

    code = 116
    name = "RSMERR_BAD_SENDQ_HNDL"
    meaning = "bad send queue handle"


class BadArgsErrors(RsmError):
    """Bad arguments."""

    code = 117
    name = "RSMERR_BAD_ARGS_ERRORS"
    meaning = "bad arguments"


class BadMstype(RsmError):
    """Bad memory type."""

    code = 118
    name = "RSMERR_BAD_MSTYPE"
    meaning = "bad memory type"


class NoBackingMem(RsmError):
    """No backing memory."""

    code = 119
    name = "RSMERR_NO_BACKING_MEM"
    meaning = "no backing memory"


class NotMem(RsmError):
    """Not memory."""

    code = 120
    name = "RSMERR_NOT_MEM"
    meaning = "not memory"


class MemAlreadyBound(RsmError):
    """Memory is already bound."""

    code = 121
    name = "RSMERR_MEM_ALREADY_BOUND"
    meaning = "memory is already bound"


class MemNotBound(RsmError):
    """Memory is not bound."""

    code = 122
    name = "RSMERR_MEM_NOT_BOUND"
    meaning = "memory is not bound"


class HandlerNotRegistered(RsmError):
    """Handler is not registered."""

    code = 123
    name = "RSMERR_HANDLER_NOT_REGISTERED"
    meaning = "handler is not registered"


class NoHandler(RsmError):
    """No handler."""

    code = 124
    name = "RSMERR_NO_HANDLER"
    meaning = "no handler"


class UnbindRebindNotAllowed(RsmError):
    """Unbind and rebind are not allowed."""

    code = 125
    name = "RSMERR_UNBIND_REBIND_NOT_ALLOWED"
    meaning = "unbind and rebind are not allowed"


class CallbacksNotSupported(RsmError):
    """Callbacks are not supported."""

    code = 126
    name = "RSMERR_CALLBACKS_NOT_SUPPORTED"
    meaning = "callbacks are not supported"


class UnsupportedOperation(RsmError):
    """Unsupported operation."""

    code = 127
    name = "RSMERR_UNSUPPORTED_OPERATION"
    meaning = "unsupported operation"


class RsmAddrUnreachable(RsmError):
    """Address is unreachable."""

    code = 128
    name = "RSMERR_RSM_ADDR_UNREACHABLE"
    meaning = "address is unreachable"


class UnknownRsmAddr(RsmError):
    """Unknown address."""

    code = 129
    name = "RSMERR_UNKNOWN_RSM_ADDR"
    meaning = "unknown address"


class BadBarrierHndl(RsmError):
    """Bad barrier handle."""

    code = 130
    name = "RSMERR_BAD_BARRIER_HNDL"
    meaning = "bad barrier handle"


class CommErrMaybeDelivered(RsmError):
    """Message may have been delivered."""

    code = 131
    name = "RSMERR_COMM_ERR_MAYBE_DELIVERED"
    meaning = "message may have been delivered"


class CommErrNotDelivered(RsmError):
    """Message was not delivered."""

    code = 132
    name = "RSMERR_COMM_ERR_NOT_DELIVERED"
    meaning = "message was not delivered"


class QueueFenceUp(RsmError):
    """Queue fence is up."""

    code = 133
    name = "RSMERR_QUEUE_FENCE_UP"
    meaning = "queue fence is up"


class QueueFull(RsmError):
    """Queue is full."""

    code = 134
    name = "RSMERR_QUEUE_FULL"
    meaning = "queue is full"


#: The classes by their numbers.
BY_CODE: Dict[int, Type[RsmError]] = {cls.code: cls for cls in RsmError.__subclasses__()}

__all__ = [
    "RsmError",
    "BadLibraryVersion",
    "BadTopologyPtr",
    "BadCtlrHndl",
    "CtlrNotPresent",
    "BadSegHndl",
    "SegAlreadyPublished",
    "SegNotPublished",
    "SegNotPublishedToNode",
    "SegAlreadyMapped",
    "SegStillMapped",
    "SegNotMapped",
    "NotCreator",
    "BadBarrierPtr",
    "BadSgio",
    "BadLocalmemHndl",
    "BadAddr",
    "BadMemAlignment",
    "BadOffset",
    "MisalignedOffset",
    "BadLength",
    "BadAcl",
    "BadSegid",
    "ReservedSegid",
    "SegidInUse",
    "BadMode",
    "BadPerms",
    "PermDenied",
    "LocksNotSupported",
    "LocksNotEnabled",
    "RebindNotAllowed",
    "InsufficientResources",
    "InsufficientMem",
    "MapFailed",
    "PollfdInUse",
    "BarrierUninitialized",
    "BarrierOpenFailed",
    "BarrierNotOpened",
    "BarrierFailure",
    "RemoteNodeUnreachable",
    "ConnAborted",
    "Interrupted",
    "Timeout",
    "BadAppid",
    "BadConf",
    "SegNotConnected",
    "InternalError",
    "BadDriverVersion",
    "UnsupportedVersion",
    "DriverNameInUse",
    "DriverNotRegistered",
    "DriverThreadRunning",
    "NeedThreadInit",
    "ThreadNotInited",
    "CtlrsRegistered",
    "CtlrNotRegistered",
    "CtlrAlreadyRegistered",
    "CtlrInUse",
    "NameTooLong",
    "SegPublished",
    "SegNotPublishedToRsmAddr",
    "SegInUse",
    "BadSendqHndl",
    "BadArgsErrors",
    "BadMstype",
    "NoBackingMem",
    "NotMem",
    "MemAlreadyBound",
    "MemNotBound",
    "HandlerNotRegistered",
    "NoHandler",
    "UnbindRebindNotAllowed",
    "CallbacksNotSupported",
    "UnsupportedOperation",
    "RsmAddrUnreachable",
    "UnknownRsmAddr",
    "BadBarrierHndl",
    "CommErrMaybeDelivered",
    "CommErrNotDelivered",
    "QueueFenceUp",
    "QueueFull",
]
