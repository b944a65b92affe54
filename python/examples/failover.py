"""A table that outlives the node that serves it. docs/failover.md explains it; examples/failover.rs is the same in Rust.

    rsm-ctl run -n 4 --name demo --keep-going -- python examples/failover.py 3000 &
    rsm-ctl node kill 1 --cluster demo           # node 2 takes over, and the readers go on there

Node 1 is the primary, node 2 the standby, all others read. The primary serves the table in sealed memory, which readers map:
reading it asks nobody. An update goes to the standby first, and to the readers when it has arrived there; so what anybody has
read, the standby has.
"""

import struct
import sys
import time
from typing import List, Optional, Tuple, Union

import rsmapi

TABLE = 0x400000  # the table, of whoever serves it
LOG = 0x400001  # where the standby receives updates
LENGTH = 65536  # a multiple of any page size Linux knows
PRIMARY, STANDBY = 1, 2
PATIENCE = 30.0
MOMENT = 0.02  # how long it is waited for one server before the other one is tried

# Update number N writes N to each entry, so that whoever sees different ones has seen half an update.
ENTRIES = struct.Struct("=64Q")
COUNT = ENTRIES.size // 8
LOCK, FIRST = 0, 64  # in the table: the lock, then the entries
NUMBER = 0  # in the log: the number of the last update, then two places for updates in turn

# Why a standby can serve nobody, and never will.
GONE = ("the exporting process has ended", "the node was killed from outside")


def lead(shm: rsmapi.Controller, updates: int) -> None:
    """The primary."""
    nodes = shm.node.node_count
    log: Optional[rsmapi.Import] = shm.connect(STANDBY, LOG, "w", within=PATIENCE)
    table = serve(shm, [0] * COUNT)
    # The standby and every reader say that they are there.
    for _ in range(2, nodes + 1):
        table.wait(PATIENCE)
    print(f"node {PRIMARY}: serves", flush=True)
    for number in range(1, updates + 1):
        if log is not None:
            try:
                record(log, number, [number] * COUNT)
            except rsmapi.ConnAborted as aborted:
                if log.why_aborted not in GONE:
                    # It has taken over, or may: whoever is cut off from the standby must not serve.
                    print(f"node {PRIMARY}: steps down: {aborted.sentence}", flush=True)
                    return
                log = None
        write(table, [number] * COUNT)
        time.sleep(0.001)
    see_off(table, nodes - 2)
    # Nobody is left but the standby, which hears that all is over.
    table.signal()


def stand_by(shm: rsmapi.Controller, updates: int) -> None:
    """The standby."""
    log = shm.export(LENGTH)
    log.publish(LOG)
    primary = shm.connect(PRIMARY, TABLE, "r", within=PATIENCE)
    primary.signal()
    try:
        # For ever: it ends with the signal at the end, or with the connection.
        primary.wait()
        return
    except rsmapi.ConnAborted as aborted:
        print(f"node {STANDBY}: takes over: {aborted.sentence}", flush=True)
    # From here on no put of the old primary arrives, should it be alive behind a broken link.
    log.unpublish()
    last = log.load_u64(NUMBER)
    entries = list(ENTRIES.unpack_from(log, place(last)))
    table = serve(shm, entries)
    for number in range(last + 1, updates + 1):
        write(table, [number] * COUNT)
        time.sleep(0.001)
    print(f"node {STANDBY}: served from update {last + 1} on", flush=True)
    see_off(table, shm.node.node_count - 2)


def place(number: int) -> int:
    """Where an update is in the log. The one before it stays whole until this one is."""
    return 4096 * (1 + number % 2)


def record(standby: rsmapi.Import, number: int, entries: List[int]) -> None:
    """Sends an update to the standby, until it has arrived or the connection is lost."""
    while True:
        try:
            # Two puts in implicit mode: the second is not made before the first has arrived.
            standby.put(place(number), ENTRIES.pack(*entries))
            return standby.put_u64(NUMBER, number)
        except rsmapi.BarrierFailure:
            pass


def serve(shm: rsmapi.Controller, entries: List[int]) -> rsmapi.Export:
    table = shm.export(LENGTH, sealed=True)
    write(table, entries)
    table.publish(TABLE, "readers")
    return table


def see_off(table: rsmapi.Export, readers: int) -> None:
    """Waits until each reader has said good-bye. Who died does not: so not for ever."""
    try:
        for _ in range(readers):
            table.wait(PATIENCE)
    except rsmapi.Timeout:
        pass


def write(table: rsmapi.Export, entries: List[int]) -> None:
    """Changes the table under its sequence lock: odd while it is changed. Each store releases what was stored before it."""
    before = table.load_u64(LOCK)
    table.store_u64(LOCK, before + 1)
    for index, entry in enumerate(entries):
        table.store_u64(FIRST + 8 * index, entry)
    table.store_u64(LOCK, before + 2)


def look(table: rsmapi.Mapping) -> Optional[List[int]]:
    """The table as it was at one moment; None when it was being changed."""
    before = table.load_u64(LOCK)
    entries = [table.load_u64(FIRST + 8 * index) for index in range(COUNT)]
    return entries if before % 2 == 0 and table.load_u64(LOCK) == before else None


def read(shm: rsmapi.Controller, updates: int) -> None:
    """A reader: reads until it has seen the last update, from whoever serves."""
    seen = 0
    servers: List[int] = []
    is_known = False
    while seen < updates:
        server, import_ = find(shm)
        if servers[-1:] != [server]:
            servers.append(server)
        try:
            # The primary waits for everybody before it begins.
            if server == PRIMARY and not is_known:
                import_.signal()
                is_known = True
            with import_.map(permission="r") as table:
                while seen < updates:
                    # Memory of a server that is gone leads to trash: what was read counts only if the barrier says that it
                    # was the table.
                    with table.barrier():
                        entries = look(table)
                    # A server that dies at its change leaves it half done, and the barrier says so soon: never wait for the
                    # lock alone.
                    if entries is None:
                        continue
                    assert entries == entries[:1] * COUNT, f"half an update: {entries}"
                    assert entries[0] >= seen, f"update {entries[0]} after update {seen}"
                    seen = entries[0]
            # Good-bye.
            import_.signal()
        except rsmapi.ConnAborted:
            pass
    print(f"node {shm.node.id}: update {seen}, read from node {' and node '.join(map(str, servers))}", flush=True)


def find(shm: rsmapi.Controller) -> Tuple[int, rsmapi.Import]:
    """Connects to whoever serves the table."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for server in (PRIMARY, STANDBY):
            try:
                return server, shm.connect(server, TABLE, "r", within=MOMENT / 2)
            except rsmapi.Timeout:
                pass
    raise rsmapi.Timeout("nobody serves the table")


def main(arguments: List[str]) -> Union[None, int, str]:
    if len(arguments) > 1 or not all(word.isdecimal() and int(word) > 0 for word in arguments):
        print("usage: failover.py [UPDATES]    1 or more", file=sys.stderr)
        return 2
    updates = int(arguments[0]) if arguments else 2000
    shm = rsmapi.Controller()
    if shm.node.node_count < 3:
        return "failover.py: a primary, a standby and a reader are three nodes"
    if shm.node.id == PRIMARY:
        lead(shm, updates)
    elif shm.node.id == STANDBY:
        stand_by(shm, updates)
    else:
        read(shm, updates)
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
