"""What is told of controllers and of the topology, and permissions."""

from dataclasses import dataclass
from enum import IntFlag
from typing import Optional, Tuple


class Permission(IntFlag):
    """Rights of a connection or a mapping, with the bits of ``rsm_permission_t``. ``"r"``, ``"w"``, ``"rw"`` and ``"-"`` do
    wherever one is asked for."""

    NONE = 0
    READ = 0o400
    WRITE = 0o200
    READ_WRITE = 0o600


@dataclass(frozen=True)
class ImporterEvent:
    """Something that happened to the connections of an export."""

    #: ``connected`` or ``left``.
    what: str
    #: The importing node.
    node: int
    #: The process that connected.
    pid: int
    #: Number of the connection, which no other connection of the cluster ever has.
    connection: int
    #: Why the connection is no more; ``None`` for one that came, or when the reason is forgotten.
    reason: Optional[str]


@dataclass(frozen=True)
class ControllerAttributes:
    """Limits of a controller. Sizes are in bytes, but for ``page_size``."""

    #: Bit n: accesses of 2**n bytes are possible through a mapping.
    direct_access_sizes: int
    #: Bit n: accesses of 2**n bytes are atomic.
    atomic_sizes: int
    #: Bit n: pages of 2**n KiB are supported: 0x4 for 4 KiB.
    page_size: int
    #: Largest segment that can be exported.
    max_export_segment_size: int
    #: Most memory that can be exported in all.
    tot_export_segment_size: int
    #: Most segments that can be exported.
    max_export_segments: int
    #: Largest part of a segment that can be mapped.
    max_import_map_size: int
    #: Most memory that can be mapped in all.
    tot_import_map_size: int
    #: Most imports.
    max_import_segments: int


@dataclass(frozen=True)
class RemoteController:
    """A controller at the other end of a path."""

    #: The node it belongs to.
    node: int
    #: Name of the controller there.
    name: str
    #: Its address, unique on the interconnect.
    address: int
    #: State of the path: ``active``, ``up`` (the node has not joined) or ``down``.
    state: str


@dataclass(frozen=True)
class LocalController:
    """A controller of the local node."""

    #: Name to open it with.
    name: str
    #: Its address, unique on the interconnect.
    address: int
    #: The controllers that it has a path to.
    remotes: Tuple[RemoteController, ...]


@dataclass(frozen=True)
class Topology:
    """Controllers of a node, and what each one reaches. Loopback is not listed."""

    #: The node that asked.
    local_node: int
    #: Its controllers.
    controllers: Tuple[LocalController, ...]
