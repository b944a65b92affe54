"""Remote shared memory on one machine or two: Sun's RSMAPI on Linux.

A *cluster* has nodes; a node is one process or several. A node exports a segment of memory and publishes it; other nodes
connect to it, and read and write it with ``put`` and ``get``, or map it and use it as a buffer: ``memoryview``, numpy.
Barriers say whether what was written has arrived; signals wake the other side. What is shared is real memory.

    import rsmapi

    with rsmapi.Cluster(2) as cluster:                  # two nodes in one process; real ones: python -m rsmapi.run -n 2 app.py
        export = cluster.node(1).controller().export(65536)
        segment = export.publish(0x400000)

        import_ = cluster.node(2).controller().connect(1, segment)
        import_.put(0, b"hello")                        # a verdict with every transfer: implicit mode
        import_.signal()

        export.wait(timeout=5)
        assert bytes(memoryview(export)[:5]) == b"hello"

Errors are classes below :class:`RsmError`, one for each RSMERR number. Offsets and lengths are in bytes, timeouts in
seconds. Calls that may take long let other threads go on, and Ctrl-C ends them.
"""

from . import annotate, errors
from ._native import (
    Barrier,
    Cluster,
    Controller,
    Export,
    Import,
    ImporterEvents,
    Mapping,
    Node,
    Observer,
    Shared,
    Snapshot,
    Steering,
    Team,
    TeamLock,
    clusters,
    end_run,
    reserved_segment_ids,
)
from .errors import *  # noqa: F403
from .records import ControllerAttributes, ImporterEvent, LocalController, Permission, RemoteController, Topology

#: First and last segment id that a program may choose; above are automatic ones.
FIRST_SEGMENT_ID = 0x400000
LAST_SEGMENT_ID = 0x7FFFFFFF
#: The node of segments that no node owns: the cluster itself (`Controller.common`).
CLUSTER_NODE = 0

__all__ = [
    "CLUSTER_NODE",
    "FIRST_SEGMENT_ID",
    "LAST_SEGMENT_ID",
    "Barrier",
    "Cluster",
    "Controller",
    "ControllerAttributes",
    "Export",
    "Import",
    "ImporterEvent",
    "ImporterEvents",
    "LocalController",
    "Mapping",
    "Node",
    "Observer",
    "Permission",
    "RemoteController",
    "Shared",
    "Snapshot",
    "Steering",
    "Team",
    "TeamLock",
    "Topology",
    "annotate",
    "clusters",
    "end_run",
    "errors",
    "reserved_segment_ids",
]
__all__ += errors.__all__
