"""The example of docs/failover.md: a table that outlives the node that serves it."""

import contextlib
import os
import pathlib
import re
import subprocess
import sys

import pytest
import rsmapi

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "failover.py"
#: Far more than a run takes, on a machine that does much else besides.
DEADLINE = 120


class Ended:
    """What became of the nodes; each is at its number."""

    def __init__(self):
        self.codes, self.said = [None], [None]


def play(updates, disturb=lambda steering: None):
    """Runs the example on four nodes, and disturbs it when node 1 serves."""
    ended = Ended()
    with rsmapi.Cluster(4) as cluster, contextlib.ExitStack() as nodes:
        processes = []
        for node in range(1, 5):
            environment = {**os.environ, **cluster.environment(node)}
            process = subprocess.Popen(
                [sys.executable, EXAMPLE, str(updates)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            nodes.enter_context(process)
            nodes.callback(process.kill)
            processes.append(process)
        first = processes[0].stdout.readline()
        assert first == "node 1: serves\n", first + processes[0].communicate(timeout=DEADLINE)[0]
        disturb(cluster.steering())
        for process in processes:
            ended.said.append(process.communicate(timeout=DEADLINE)[0])
            ended.codes.append(process.returncode)
    return ended


def standby_led(updates, ended):
    """Whether the standby served updates that the primary did not: then no reader had seen the last one before."""
    led = re.search(r"^node 2: served from update (\d+) on$", ended.said[2], re.MULTILINE)
    return led is not None and int(led[1]) <= updates


def disturbed(disturb, is_in_time):
    """The same with more and more updates, until the disturbance came before the end."""
    for updates in (400, 4_000, 40_000):
        try:
            ended = play(updates, disturb)
        except rsmapi.RemoteNodeUnreachable:
            continue  # who was to be killed had ended
        if is_in_time(updates, ended):
            return updates, ended
    raise AssertionError("40,000 updates were over before anything was disturbed")


def test_nothing_to_survive():
    ended = play(20)
    lines = [None, "", "", *(f"node {node}: update 20, read from node 1\n" for node in (3, 4))]
    assert (ended.codes[1:], ended.said) == ([0] * 4, lines)


def test_the_primary_is_killed():
    updates, ended = disturbed(lambda steering: steering.node_kill(1), standby_led)
    assert ended.codes[1:] == [-9, 0, 0, 0], ended.said
    took_over = "node 2: takes over: the import of segment 0x400000 of node 1 was aborted: node 1 was killed from outside\n"
    assert re.fullmatch(re.escape(took_over) + r"node 2: served from update \d+ on\n", ended.said[2])
    for node in (3, 4):
        # One that was slow may have seen nothing of node 1.
        assert re.fullmatch(rf"node {node}: update {updates}, read from (node 1 and )?node 2\n", ended.said[node]), ended.said


def test_the_standby_is_killed():
    updates, ended = disturbed(lambda steering: steering.node_kill(2), lambda _updates, ended: ended.codes[2] == -9)
    assert ended.codes[1:] == [0, -9, 0, 0], ended.said
    assert ended.said[3:] == [f"node {node}: update {updates}, read from node 1\n" for node in (3, 4)]


def test_there_is_one_server_when_the_two_lose_each_other():
    updates, ended = disturbed(lambda steering: steering.link_down(1, 2), standby_led)
    assert ended.said[1].startswith("node 1: steps down: ") and ended.codes[1:] == [0] * 4, ended.said
    for node in (3, 4):
        assert re.fullmatch(rf"node {node}: update {updates}, read from (node 1 and )?node 2\n", ended.said[node]), ended.said


@pytest.mark.parametrize("arguments", [["0"], ["many"], ["1", "2"]])
def test_it_says_how_it_is_used(arguments):
    ran = subprocess.run([sys.executable, EXAMPLE, *arguments], capture_output=True, text=True, timeout=DEADLINE)
    assert (ran.returncode, ran.stdout, ran.stderr) == (2, "", "usage: failover.py [UPDATES]    1 or more\n")
