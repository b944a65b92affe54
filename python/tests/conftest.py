"""What tests share: two nodes in one process, and deadlines."""

import signal
import time
from typing import Callable, Iterator, NamedTuple

import pytest
import rsmapi

#: How long anything may take that has to happen.
SOON = 30.0
PAGE = 65536  # a multiple of every page size


# Shells have their background jobs ignore it, and whatever tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


class Pair(NamedTuple):
    """Node 1 exports what node 2 imports."""

    cluster: rsmapi.Cluster
    export: rsmapi.Export
    import_: rsmapi.Import
    segment: int


@pytest.fixture
def cluster() -> Iterator[rsmapi.Cluster]:
    with rsmapi.Cluster(2) as cluster:
        yield cluster


@pytest.fixture
def pair(cluster: rsmapi.Cluster) -> Pair:
    export = cluster.node(1).controller().export(PAGE)
    segment = export.publish()
    return Pair(cluster, export, cluster.node(2).controller().connect(1, segment), segment)


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + SOON
    while not condition():
        assert time.monotonic() < deadline, f"not within {SOON} s: {what}"
        time.sleep(0.005)


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool], str], None]:
    return until
