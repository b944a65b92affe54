"""Forked children: other processes of the node."""

import multiprocessing
import os
import threading
import traceback

import numpy
import rsmapi


def in_child(story):
    """Runs a story in a forked child; its traceback is the test's."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            story()
            code = 0
        except BaseException:
            os.write(writable, traceback.format_exc().encode()[-60_000:])
            code = 1
        os._exit(code)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        told = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    assert (os.waitstatus_to_exitcode(status), told) == (0, "")


def test_a_child_uses_what_it_inherits(pair):
    view = memoryview(pair.export)
    mapping = numpy.frombuffer(pair.import_.map(), "u8")

    def story():
        pair.import_.put(0, b"child")
        mapping[1] = 7
        pair.import_.signal()
        try:
            pair.export.unpublish()
        except rsmapi.NotCreator:
            pass
        else:
            raise AssertionError("a child took its parent's segment back")

    in_child(story)
    pair.export.wait(30)
    assert bytes(view[:5]) == b"child" and mapping[1] == 7
    assert not pair.import_.is_aborted


def test_a_child_gives_nothing_of_its_parents_back(pair):
    def story():
        # What the child drops, it has no part in.
        pair.import_.disconnect()
        for thing in (pair.export.destroy, pair.export.publish):
            try:
                thing()
            except rsmapi.RsmError:
                pass

    in_child(story)
    pair.import_.put(0, b"still")
    pair.cluster.node(1).controller().export(65536).destroy()


def test_forks_beside_threads_that_call(pair):
    stop = threading.Event()

    def call():
        while not stop.is_set():
            pair.import_.put_u64(0, 1)
            pair.import_.map().unmap()
            try:
                pair.export.wait(0)
            except rsmapi.Timeout:
                pass

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(10):
            in_child(lambda: pair.import_.put_u64(8, number))
            assert pair.import_.get_u64(8) == number
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_child_of_a_parent_that_waits_in_another_thread(pair, eventually):
    waiter = threading.Thread(target=pair.export.wait, args=(120,))
    waiter.start()

    def destroyed():
        try:
            pair.export.destroy()
        except rsmapi.RsmError as error:
            return type(error)

    eventually(lambda: pair.cluster.steering().observer().waits(), "a wait")

    def story():
        assert destroyed() is rsmapi.NotCreator

    try:
        in_child(story)
        assert destroyed() is rsmapi.SegInUse
    finally:
        pair.import_.signal()
        waiter.join()


def test_a_child_disconnects_what_its_parent_waits_on_in_another_thread(pair, eventually):
    waiter = threading.Thread(target=pair.import_.wait, args=(120,))
    waiter.start()
    eventually(lambda: pair.cluster.steering().observer().waits(), "a wait")

    def story():
        with pair.import_ as import_:
            import_.put(0, b"child")
        try:
            import_.put(0, b"after")
        except rsmapi.BadSegHndl:
            pass
        else:
            raise AssertionError("the child's import was disconnected")

    try:
        in_child(story)
        assert pair.import_.get(0, 5) == b"child"
        try:
            pair.import_.disconnect()
        except rsmapi.SegInUse:
            pass
        else:
            raise AssertionError("the parent's thread waits on it")
    finally:
        pair.export.signal()
        waiter.join()


def worker(number, environment):
    os.environ.update(environment)
    controller = rsmapi.Controller()
    import_ = controller.connect(1, 0x400000, within=30)
    import_.put_u64(8 * number, controller.node.id * 100 + number)
    import_.signal()


def test_multiprocessing(cluster):
    """Processes of other nodes, by the environment that makes them that."""
    export = cluster.node(1).controller().export(65536)
    export.publish(0x400000)
    for method in ("spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        workers = [context.Process(target=worker, args=(number, cluster.environment(2))) for number in range(2)]
        for process in workers:
            process.start()
        for process in workers:
            export.wait(60)
            process.join(60)
            assert process.exitcode == 0
        assert [export.load_u64(0), export.load_u64(8)] == [200, 201]
