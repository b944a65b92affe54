"""Teams: calls of all nodes, words, locks, messages, and deaths."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import threading
from array import array

import numpy
import pytest
import rsmapi

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "sort.py"
PATIENCE = 60


@pytest.fixture
def play():
    """Has each node of a cluster do the same, in a thread of its own; the outcomes by rank."""

    def run(nodes, act):
        outcomes = [None] * nodes
        with rsmapi.Cluster(nodes) as cluster:

            def node(rank):
                try:
                    with rsmapi.Team.join(cluster.node(rank + 1).controller(), PATIENCE) as team:
                        outcomes[rank] = act(team)
                except BaseException as error:
                    outcomes[rank] = error

            threads = [threading.Thread(target=node, args=[rank]) for rank in range(nodes)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(PATIENCE)
                assert not thread.is_alive()
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return outcomes

    return run


@pytest.mark.parametrize("nodes", [1, 2, 3, 5])
def test_values_of_all(play, nodes):
    def act(team):
        rank, size = team.rank, team.size
        assert (size, team.controller.node.id) == (nodes, rank + 1)
        team.barrier()
        # In place, and of any length.
        field = numpy.arange(5.0) if rank == size - 1 else numpy.zeros(5)
        assert team.broadcast(size - 1, field) is field and list(field) == [0, 1, 2, 3, 4]
        assert team.broadcast(0, b"of any length" if rank == 0 else None) == b"of any length"
        # Numbers for numbers, items for items.
        assert team.all_reduce(rank + 1) == size * (size + 1) // 2
        assert team.all_reduce(0.5) == size / 2 and team.all_reduce(-rank, "min") == 1 - size
        sums = numpy.asarray(team.all_reduce(numpy.array([[rank, 1]], "i2")))
        assert sums.dtype == "i2" and list(sums) == [size * (size - 1) // 2, size]
        assert list(team.all_reduce(array("f", [rank, -1]), "max")) == [size - 1, -1]
        assert list(team.all_reduce(bytes([1 << rank]), "xor")) == [(1 << size) - 1]
        assert list(team.all_reduce(numpy.uint32(2), "prod")) == [2**size]
        assert numpy.isnan(team.all_reduce(float("nan") if rank == 0 else 1.0, "max"))
        # Of different lengths.
        expected = [[float(other)] * other for other in range(size)]
        own = numpy.full(rank, rank, "f8")
        assert [list(values) for values in team.all_gather(own)] == expected
        gathered = team.gather(size - 1, own)
        assert (gathered and [list(values) for values in gathered]) == (expected if rank == size - 1 else None)
        parts = team.all_to_all([array("H", [rank * 100 + to] * to) for to in range(size)])
        assert [list(part) for part in parts] == [[other * 100 + rank] * rank for other in range(size)]
        # What memoryviews do not know, they have as bytes.
        complex_ = team.all_gather(numpy.array([rank + 1j]))[0]
        assert complex_.format == "B" and numpy.frombuffer(complex_, "c16")[0] == 1j

    play(nodes, act)


def test_long_values(play):
    def act(team):
        values = numpy.arange(50_000, dtype="u8") * 3 + team.rank
        for rank, got in enumerate(team.all_gather(values)):
            assert numpy.array_equal(got, values - team.rank + rank)

    play(3, act)


@pytest.mark.cluster(nodes=3, timeout=120, chaos="2:storm", model="sci")
def test_shared_memory_and_words():
    with rsmapi.Team.join() as team, team.share(4096) as shared:
        rank, size = team.rank, team.size
        field = numpy.frombuffer(shared.memory, "f8")
        data = numpy.arange(8.0)
        for round_ in range(1, 4):
            for other in range(size):
                team.put_signal(shared, other, rank * 64, data + 10 * round_ + rank, 7)
            assert team.wait_until(7, lambda arrived: arrived >= round_ * size, PATIENCE) == round_ * size
            for other in range(size):
                assert list(field[other * 8 : other * 8 + 8]) == list(data + 10 * round_ + other)
            team.barrier()
        team.raise_((rank + 1) % size, 63, 1 << 40)
        assert team.wait_until(63, bool) == team.word(63) == 1 << 40
        del field


@pytest.mark.cluster(nodes=2, timeout=120)
def test_locks_and_messages():
    with rsmapi.Team.join() as team, team.share(8) as shared:
        other = 1 - team.rank
        counter = shared.at(0)
        for _ in range(30):
            with team.lock(1, 3, PATIENCE) as lock:
                assert lock.died_holding is None
                counter.put_u64(0, counter.get_u64(0) + 1)
        team.barrier()
        assert counter.get_u64(0) == 60
        # One that is forgotten is let go of.
        forgotten = team.lock(team.rank, 0)
        with pytest.raises(rsmapi.PermDenied):
            team.lock(team.rank, 0)
        with pytest.raises(rsmapi.SegInUse, match="a lock is held|memory of it is still shared"):
            team.leave()
        del forgotten
        team.lock(team.rank, 0, 0).unlock()

        for number in range(200):
            team.send(other, bytes([number]) * (number * 40), PATIENCE)
            assert team.receive(other, PATIENCE) == bytes([number]) * (number * 40)
        with pytest.raises(rsmapi.Timeout, match=f"node {other + 1} has sent nothing within 10ms"):
            team.receive(other, 0.01)
        with pytest.raises(rsmapi.BadLength, match=f"above {team.longest_message}"):
            team.send(other, bytes(team.longest_message + 1))


@pytest.mark.cluster(nodes=3, timeout=120)
def test_who_dies_is_named():
    team = rsmapi.Team.join()
    dies = "node 3 has ended too early: the node was killed"
    # All have joined before one dies.
    team.barrier()
    if team.rank == 2:
        held = team.lock(0, 5)
        team.raise_(0, 1)
        team.receive(0)
        raise AssertionError(f"nobody sends, and {held} is held")
    if team.rank == 0:
        team.wait_until(1, lambda raised: raised == 1)
        rsmapi.Steering().node_kill(3)
    with pytest.raises(rsmapi.ConnAborted, match=dies):
        team.wait_until(2, lambda raised: raised > 0)
    with pytest.raises(ConnectionAbortedError, match=dies):
        team.barrier()
    with pytest.raises(rsmapi.ConnAborted, match=dies):
        team.receive(2)
    # Locks and messages go on, and the first who gets the lock is told.
    other = 1 - team.rank
    with team.lock(0, 5) as lock:
        died = lock.died_holding
    # The other one may have taken it, and closed its team, before it was vouched for and the bell was rung.
    with contextlib.suppress(rsmapi.ConnAborted):
        team.send(other, b"" if died is None else bytes([died]))
    assert sorted([team.receive(other), b"" if died is None else bytes([died])]) == [b"", b"\2"]
    team.close()


def test_who_gives_up_is_named(play):
    def act(team):
        if team.rank == 1:
            # The other one has joined.
            team.wait_until(0, bool)
            with pytest.raises(KeyError), team:
                raise KeyError("of mine")
        else:
            team.raise_(1, 0)
            with pytest.raises(rsmapi.ConnAborted, match="node 2 has ended too early: it gave the team up"):
                team.barrier()
            team.close()
        with pytest.raises(rsmapi.BadSegHndl, match="left or closed"):
            team.barrier()

    play(2, act)


@pytest.mark.parametrize(
    "wait",
    ["team.barrier()", "team.receive(1)", "team.wait_until(0, lambda raised: raised)", "rsmapi.Team.join(third, None)"],
)
def test_ctrl_c_ends_a_wait(wait):
    program = f"""
import rsmapi, signal, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGUSR1, lambda *_: print("called", flush=True))
cluster, apart = rsmapi.Cluster(2), rsmapi.Cluster(3)
controllers = [cluster.node(1).controller(), cluster.node(2).controller()]
third = apart.node(3).controller()
teams = []
other = threading.Thread(target=lambda: teams.append(rsmapi.Team.join(controllers[1])))
other.start()
team = rsmapi.Team.join(controllers[0])
other.join()
try:
    print("waiting", flush=True)
    while True:
        {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        # Its handler raises nothing, and ends nothing.
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == "called\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(30) == 0


def test_a_handler_that_raises_nothing_ends_no_call_of_all_nodes():
    node = """
import os, signal, time
import rsmapi

agent = os.getppid()
handled = 0

def handle(*_):
    global handled
    handled += 1
    if handled == 3:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.kill(agent, signal.SIGCONT)

signal.signal(signal.SIGALRM, handle)
with rsmapi.Team.join() as team:
    os.kill(agent, signal.SIGSTOP)
    try:
        deadline = time.monotonic() + 60
        while open(f"/proc/{agent}/stat").read().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < deadline
        signal.setitimer(signal.ITIMER_REAL, 0.1, 0.02)
        team.share(4096).close()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.kill(agent, signal.SIGCONT)
assert handled >= 3, handled
"""
    cluster = """
import os, subprocess, sys
import rsmapi

with rsmapi.Cluster(1) as cluster:
    node = [sys.executable, "-c", sys.argv[1]]
    sys.exit(subprocess.run(node, env={**os.environ, **cluster.environment(1)}).returncode)
"""
    with subprocess.Popen([sys.executable, "-c", cluster, node], stderr=subprocess.PIPE, text=True) as process:
        try:
            said = process.communicate(timeout=2 * PATIENCE)[1]
        finally:
            process.kill()
    assert process.returncode == 0, said


def test_what_a_condition_raises_is_raised(play):
    def act(team):
        with pytest.raises(ZeroDivisionError):
            team.wait_until(0, lambda raised: 1 // raised)
        with pytest.raises(rsmapi.SegInUse, match="another call of the team is under way"):
            team.wait_until(0, lambda _: team.word(0) == 0)
        with pytest.raises(TypeError, match="a condition is a function"):
            team.wait_until(0, 3)
        with pytest.raises(rsmapi.Timeout, match="word 0 is 0"):
            team.wait_until(0, lambda _: False, 0.01)

    play(2, act)


def test_one_thread_at_a_time(play):
    def act(team):
        if team.rank == 0:
            waiting = threading.Event()
            condition = lambda raised: waiting.set() or raised == 1
            waiter = threading.Thread(target=lambda: team.wait_until(0, condition, PATIENCE))
            waiter.start()
            assert waiting.wait(PATIENCE)
            for call in (team.barrier, team.leave, team.close, lambda: team.send(1, b"")):
                with pytest.raises(rsmapi.SegInUse, match="another call of the team is under way"):
                    call()
            # Forgotten in the middle of it, a lock is let go of at its end.
            raised.set()
            waiter.join(PATIENCE)
            assert not waiter.is_alive()
        else:
            assert raised.wait(PATIENCE)
            team.raise_(0, 0)

    raised = threading.Event()
    play(2, act)


def test_a_lock_that_is_forgotten_during_a_call_is_let_go_of_after_it(play):
    def act(team):
        held = [team.lock(0, 0)]
        team.wait_until(0, lambda _: held.clear() is None)
        team.lock(0, 0, 0).unlock()

    play(1, act)


def test_a_team_that_is_left(play):
    def act(team):
        shared = team.share(8)
        view = memoryview(shared.memory)
        with pytest.raises(rsmapi.SegInUse, match="memory of it is still shared"):
            team.leave()
        with pytest.raises(rsmapi.SegStillMapped):
            shared.close()
        view.release()
        shared.close()
        shared.close()
        with pytest.raises(rsmapi.BadSegHndl, match="the import was disconnected"):
            team.put_signal(shared, 0, 0, b"x", 0)
        with team.lock(0, 0, PATIENCE) as lock, pytest.raises(rsmapi.SegInUse, match="a lock is held"):
            team.leave()
        with pytest.raises(rsmapi.BadSegHndl, match="unlocked already"):
            lock.unlock()
        assert "closed" in repr(shared) and "not held" in repr(lock)
        team.leave()
        with pytest.raises(rsmapi.BadSegHndl, match="left or closed"):
            team.leave()
        team.close()
        assert "left or closed" in repr(team)
        # At once, on the same node.
        again = rsmapi.Team.join(team.controller, PATIENCE)
        again.leave()

    play(2, act)


def test_a_child_has_no_part_in_it(play):
    def act(team):
        lock = team.lock(0, 0, 0)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for call in (team.barrier, team.leave, team.close, lock.unlock):
                    with pytest.raises(rsmapi.NotCreator):
                        call()
                del lock
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(rsmapi.PermDenied):
            team.lock(0, 0, 0)
        lock.unlock()

    play(1, act)


def test_what_cannot_be_meant(play):
    def act(team):
        with team.share(16) as shared, team.share(16) as closed:
            ranks = "there is no rank 1 in a team of 1, whose last is 0"
            for error, match, call in [
                (rsmapi.BadAddr, ranks, lambda: team.send(1, b"")),
                (rsmapi.BadAddr, ranks, lambda: team.broadcast(1, bytearray(1))),
                (rsmapi.BadAddr, ranks, lambda: shared.at(1)),
                (rsmapi.BadAddr, ranks, lambda: team.put_signal(shared, 1, 0, b"", 0)),
                (rsmapi.BadAddr, "a rank is 0 to", lambda: team.receive(-1)),
                (TypeError, "a rank is an int, not str", lambda: team.gather("0", b"")),
                (TypeError, "the root gives the values", lambda: team.broadcast(0)),
                (TypeError, "an object with a buffer", lambda: team.all_gather("text")),
                (TypeError, "items of the format", lambda: team.all_reduce(numpy.array([True]))),
                (TypeError, "items of the format \">", lambda: team.all_reduce(numpy.array([1], ">i4"))),
                (TypeError, "for whole numbers", lambda: team.all_reduce(1.5, "and")),
                (TypeError, "several sizes", lambda: team.all_to_all([b"", array("d")])),
                (ValueError, "an operation is .* not \"mean\"", lambda: team.all_reduce(1, "mean")),
                (OverflowError, None, lambda: team.all_reduce(1 << 63)),
                (OverflowError, "a word of 64 bits", lambda: team.raise_(0, 0, -1)),
                (rsmapi.BadOffset, "0 to 63", lambda: team.raise_(0, 64)),
                (rsmapi.BadOffset, "0 to 63", lambda: team.word(64)),
                (rsmapi.BadOffset, "0 to 15", lambda: team.lock(0, 16)),
                (rsmapi.BadOffset, "offset", lambda: team.put_signal(shared, 0, 1 << 30, b"x", 0)),
                (rsmapi.BadLength, "2 elements in a team of 1", lambda: team.all_to_all([b"", b""])),
                (BufferError, "not contiguous", lambda: team.all_gather(numpy.arange(4)[::2])),
                (ValueError, "a timeout is", lambda: rsmapi.Team.join(team.controller, -1)),
                (rsmapi.SegidInUse, "another process of this node is in a team", lambda: rsmapi.Team.join(team.controller, 0)),
                (ValueError, "another team", lambda: alone.put_signal(shared, 0, 0, b"", 0)),
            ]:
                with pytest.raises(error, match=match):
                    call()
            closed.close()

    with rsmapi.Cluster(1) as other:
        alone = rsmapi.Team.join(other.node(1).controller())
        play(1, act)


def test_calls_that_differ(play):
    def act(team):
        buffer = bytearray(b"as it was")
        if team.rank == 0:
            team.broadcast(0, b"longer than that")
        else:
            with pytest.raises(rsmapi.BadLength, match="node 1 gives 16 bytes, for which there is a buffer of 9"):
                team.broadcast(0, buffer)
            assert buffer == b"as it was"
        with pytest.raises(rsmapi.BadLength, match="node . calls all_"):
            team.all_gather(b"") if team.rank == 0 else team.all_reduce(1)
        team.close()

    play(2, act)


@pytest.mark.parametrize("options", [["-n", 1], ["-n", 4], ["-n", 3, "--chaos", "7:storm", "--model", "sci"]])
def test_the_sort_example(options):
    command = [sys.executable, "-m", "rsmapi.run", *map(str, options), "--timeout", "60", str(EXAMPLE)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    lines = sorted(ran.stdout.splitlines())
    nodes = options[1]
    assert len(lines) == nodes and all(line.endswith(f"of {nodes * 5000} numbers") for line in lines)
    assert sum(int(line.split()[2]) for line in lines) == nodes * 5000
