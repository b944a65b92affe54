"""A program for clusters and its tests, which docs/testing-with-faults.md explains: every node sends node 1 a number, and
nobody leaves before all numbers are there. gather.rs is the same in Rust, gather.c in C.

    pytest test_gather.py
"""

import time

import pytest
import rsmapi

BOARD = 0x400000
PATIENCE = 60.0
AGAIN = 0.1


def slots(node):
    """Where on the board a node's number is, and whether it is about to leave."""
    return 8 * node, 512 + 8 * node


def gather(shm, nodes):
    """Gathers numbers; what they are, by node."""
    with shm.export(65536) as board:
        board.publish(BOARD)
        others = range(2, nodes + 1)
        end = time.monotonic() + PATIENCE
        while not all(board.load_u64(slots(node)[1]) for node in others):
            assert time.monotonic() < end, "too few numbers"
            # Again and again: whose link was down has not heard it.
            if all(board.load_u64(slots(node)[0]) for node in others):
                board.signal()
            try:
                board.wait(AGAIN)
            except rsmapi.Timeout:
                pass
        return [board.load_u64(slots(node)[0]) for node in others]


def put(board, slot, number):
    """Puts a number, until it has arrived or the connection is lost."""
    while True:
        try:
            return board.put_u64(slot, number)
        except rsmapi.BarrierFailure:
            pass


def send(shm, number):
    """Sends node 1 a number, and leaves when it has all; again when the connection is lost."""
    number_slot, leaving_slot = slots(shm.node.id)
    end = time.monotonic() + PATIENCE
    has_all = False  # node 1: it stays until it has seen that everybody is about to leave
    while True:
        try:
            with shm.connect(1, BOARD, within=None if has_all else PATIENCE) as board:
                put(board, number_slot, number)
                board.signal()
                board.wait(PATIENCE)
                has_all = True
                put(board, leaving_slot, 1)
                return board.signal()
        except rsmapi.SegNotPublished:
            # It has left, so it has seen it: what is lost is only the answer.
            assert has_all
            return None
        except (rsmapi.ConnAborted, rsmapi.RemoteNodeUnreachable):
            assert time.monotonic() < end, "node 1 cannot be reached"
            time.sleep(AGAIN / 10)


def program(shm):
    me, nodes = shm.node.id, shm.node.node_count
    if me > 1:
        send(shm, 10 * me)
    else:
        assert gather(shm, nodes) == [10 * node for node in range(2, nodes + 1)]


@pytest.mark.cluster(nodes=4, timeout=120, chaos=range(3))
def test_gathers():
    program(rsmapi.Controller())


@pytest.mark.cluster(nodes=3, timeout=120, chaos=range(3), model="sci", faults="error,abort")
def test_gathers_whatever_fails():
    program(rsmapi.Controller())


@pytest.mark.cluster(nodes=3, timeout=120)
def test_survives_a_link():
    shm = rsmapi.Controller()
    if shm.node.id == 3:
        # Until there was a connection to cut; nobody leaves before node 3 has sent its number.
        steering = rsmapi.Steering()
        while not steering.link_down(1, 2):
            steering.link_up(1, 2)
            time.sleep(AGAIN / 10)
        steering.link_up(1, 2)
    program(shm)
