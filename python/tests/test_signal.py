"""Signals: waits that let others go on, that Ctrl-C ends, and asyncio."""

import asyncio
import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest
import rsmapi


def test_signals_are_counted(pair):
    for _ in range(3):
        pair.import_.signal()
    pair.import_.signal(accumulate=False)
    for _ in range(3):
        pair.export.wait(0)
    with pytest.raises(rsmapi.Timeout):
        pair.export.wait(0)
    pair.export.signal()
    pair.export.signal(accumulate=False)
    pair.import_.wait(30)
    with pytest.raises(TimeoutError):
        pair.import_.wait(0)


def test_a_timeout_says_what_was_waited_for(pair):
    began = time.monotonic()
    with pytest.raises(rsmapi.Timeout, match=rf"no signal on segment {pair.segment:#x} of node 1, which has 1 importer \(waited 700ms\)"):
        pair.export.wait(0.7)
    assert time.monotonic() - began >= 0.7
    with pytest.raises(rsmapi.Timeout, match="no signal from node 1"):
        pair.import_.wait(0.01)


def test_the_interpreter_goes_on_while_one_waits(pair):
    counted = []
    waiting = threading.Thread(target=lambda: counted.append(pair.export.wait(30)))
    waiting.start()
    # Would never be reached if the wait kept the interpreter.
    total = sum(range(100_000))
    pair.import_.signal()
    waiting.join(30)
    assert counted == [None] and total


def test_many_threads_take_each_signal_once(pair):
    taken = []

    def take():
        while True:
            try:
                pair.export.wait(2)
            except rsmapi.Timeout:
                return
            taken.append(1)
            if len(taken) == 200:
                # The others need not wait out their time.
                for _ in range(3):
                    pair.import_.signal()
                return
            if len(taken) > 200:
                return

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(200):
        pair.import_.signal()
    for thread in threads:
        thread.join()
    assert len(taken) == 203


@pytest.mark.parametrize(
    "wait",
    [
        "export.wait()",
        "export.wait(timeout=60)",
        "import_.wait()",
        "export.wait_while_imported()",
        "controller.connect(1, 0x400001, within=60)",
        "observer.wait(observer.snapshot())",
        "asyncio.run(export.wait_async())",
    ],
)
def test_ctrl_c_ends_a_wait(wait):
    program = f"""
import asyncio, rsmapi, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
cluster = rsmapi.Cluster(2)
export = cluster.node(1).controller().export(65536)
controller = cluster.node(2).controller()
import_ = controller.connect(1, export.publish(0x400000))
observer = rsmapi.Observer(cluster.name)
try:
    print("waiting", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert process.wait(30) == 0


def test_daemon_threads_that_wait_do_not_keep_a_program():
    program = """
import rsmapi, threading
cluster = rsmapi.Cluster(2)
export = cluster.node(1).controller().export(65536)
import_ = cluster.node(2).controller().connect(1, export.publish())

def wait(begun):
    while True:
        try:
            begun.set()
            export.wait(0.001)
        except rsmapi.Timeout:
            pass

for begun in [threading.Event() for _ in range(3)]:
    threading.Thread(target=wait, args=[begun], daemon=True).start()
    begun.wait()
threading.Thread(target=import_.wait, daemon=True).start()
view = memoryview(import_.map())
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_handler_that_raises_nothing_does_not_end_a_wait(pair):
    ran = []
    old = signal.signal(signal.SIGUSR1, lambda *_: ran.append(1))
    try:
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        with pytest.raises(rsmapi.Timeout, match="waited 300ms"):
            pair.export.wait(0.3)
        assert ran
    finally:
        signal.signal(signal.SIGUSR1, old)


def test_a_wait_ends_with_its_last_importer(pair):
    with pytest.raises(rsmapi.Timeout):
        pair.export.wait_while_imported(0.01)
    pair.import_.signal()
    pair.import_.disconnect()
    pair.export.wait_while_imported(30)
    with pytest.raises(rsmapi.SegNotConnected, match="nobody is left who could signal"):
        pair.export.wait_while_imported(30)


def test_an_aborted_import_ends_a_wait(pair, eventually):
    told = []
    waiting = threading.Thread(target=lambda: told.append(pytest.raises(rsmapi.ConnAborted, pair.import_.wait)))
    waiting.start()
    pair.export.unpublish()
    waiting.join(30)
    assert told


def test_poll_descriptors(pair):
    poll = select.poll()
    poll.register(pair.export, select.POLLIN)
    assert poll.poll(0) == []
    pair.import_.signal()
    assert poll.poll(30_000) == [(pair.export.fileno(), select.POLLIN)]
    pair.export.wait(0)
    assert poll.poll(0) == []
    poll = select.poll()
    poll.register(pair.import_, select.POLLIN)
    pair.export.unpublish()
    assert poll.poll(30_000)[0][1] & select.POLLHUP


def test_asyncio(pair):
    async def story():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        with pytest.raises(rsmapi.Timeout, match="waited 0.05 s"):
            await pair.export.wait_async(timeout=0.05)
        assert ticks > 1
        ticking.cancel()
        waits = [asyncio.ensure_future(pair.export.wait_async(30)) for _ in range(3)]
        await asyncio.sleep(0)
        for _ in waits:
            pair.import_.signal()
        await asyncio.gather(*waits)
        with pytest.raises(rsmapi.Timeout):
            pair.export.wait(0)
        # One that is cancelled takes nothing.
        wait = asyncio.ensure_future(pair.export.wait_async())
        await asyncio.sleep(0)
        wait.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wait
        pair.import_.signal()
        await pair.export.wait_async(30)
        wait = asyncio.ensure_future(pair.import_.wait_async())
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, pair.export.unpublish)
        with pytest.raises(rsmapi.ConnAborted):
            await wait

    descriptors = len(os.listdir("/proc/self/fd"))
    asyncio.run(story())
    # The poll descriptors of the two handles stay, a pipe each.
    assert len(os.listdir("/proc/self/fd")) <= descriptors + 4
    with pytest.raises(ValueError, match="a timeout is a number of seconds from 0 on"):
        pair.export.wait_async(-1)
