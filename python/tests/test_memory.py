"""Views of segment memory: what keeps it, and what becomes of it."""

import gc
import os
import sys
import threading
import weakref

import numpy
import pytest
import rsmapi

PAGE = 65536


def test_views_are_the_memory(pair):
    array = numpy.frombuffer(pair.export, "u8")
    mapping = pair.import_.map()
    other = numpy.frombuffer(mapping, "u8")
    array[5] = 7
    assert other[5] == 7
    other[6] = 8
    assert array[6] == 8 and len(other) == PAGE // 8
    assert pair.export.load_u64(48) == mapping.load_u64(48) == 8
    mapping.store_u32(48, 9)
    assert pair.export.load_u32(48) == 9
    pair.export.store_u64(0, 2**64 - 1)
    assert mapping.load_u64(0) == 2**64 - 1


def test_a_view_outlives_every_name(pair):
    import_ = pair.cluster.node(2).controller().connect(1, pair.segment)
    view = memoryview(import_.map())
    array = numpy.frombuffer(view, "u1")
    del import_
    gc.collect()
    view[0] = 1
    assert memoryview(pair.export)[0] == 1
    view.release()
    gc.collect()
    array[1] = 2
    assert memoryview(pair.export)[1] == 2


def test_a_view_outlives_its_cluster():
    cluster = rsmapi.Cluster(2)
    export = cluster.node(1).controller().export(PAGE)
    mapping = cluster.node(2).controller().connect(1, export.publish()).map()
    mine, theirs = memoryview(export), memoryview(mapping)
    cluster.close()
    del cluster, export, mapping
    gc.collect()
    # When the agent dies mapped memory goes on working.
    mine[0] = theirs[1] = 5
    assert (mine[0], theirs[1]) == (5, 5)
    assert (len(bytes(mine)), len(bytes(theirs))) == (PAGE, PAGE)


@pytest.mark.parametrize("order", range(6))
def test_any_order_of_collection(order):
    names = ["view", "mapping", "import_", "export", "node", "cluster"]
    names = names[order:] + names[:order]
    with rsmapi.Cluster(2) as cluster:
        export = cluster.node(1).controller().export(PAGE)
        node = cluster.node(2)
        import_ = node.controller().connect(1, export.publish())
        mapping = import_.map()
        held = {"view": memoryview(mapping), "mapping": mapping, "import_": import_, "export": export, "node": node}
        held["cluster"] = cluster
        del export, node, import_, mapping
        for name in names:
            if name == "cluster":
                held[name].close()
            del held[name]
            gc.collect()
            if "view" in held:
                held["view"][0] = 1
                bytes(held["view"])


def test_unmapping_under_a_view_is_refused(pair):
    mapping = pair.import_.map()
    array = numpy.frombuffer(mapping, "u1")
    view = memoryview(mapping)
    with pytest.raises(rsmapi.SegStillMapped, match=r"2 views of the memory of this mapping \(memoryview, numpy array\) still there"):
        mapping.unmap()
    view.release()
    with pytest.raises(rsmapi.SegStillMapped, match="a view of the memory"):
        mapping.unmap()
    array[0] = 1
    del array
    mapping.unmap()
    for use in (lambda: memoryview(mapping), lambda: mapping.unmap(), lambda: mapping.load_u64(0)):
        with pytest.raises((rsmapi.BadSegHndl, BufferError), match="the mapping was unmapped"):
            use()


def test_disconnecting_under_a_mapping_is_refused(pair):
    first, second = pair.import_.map(), pair.import_.map(0, 4096, "r")
    with pytest.raises(rsmapi.SegStillMapped, match="2 mappings of this import are left: unmap them first"):
        pair.import_.disconnect()
    first.unmap()
    del second
    gc.collect()
    pair.import_.disconnect()
    for use in (pair.import_.disconnect, pair.import_.map, pair.import_.signal, lambda: pair.import_.put(0, b"")):
        with pytest.raises(rsmapi.BadSegHndl, match="the import was disconnected"):
            use()
    assert "disconnected" in repr(pair.import_)


def test_destroying_under_a_view_is_refused(pair):
    view = memoryview(pair.export)
    with pytest.raises(rsmapi.SegStillMapped, match="this export"):
        pair.export.destroy()
    view[0] = 1
    view.release()
    pair.export.destroy()
    with pytest.raises(BufferError, match="the export was destroyed"):
        memoryview(pair.export)
    with pytest.raises(rsmapi.BadSegHndl, match="the export was destroyed"):
        pair.export.publish()
    assert len(pair.export) == PAGE


def test_what_may_be_read_only_is_not_written(pair):
    reader = pair.cluster.node(2).controller().connect(1, pair.segment, "r")
    for mapping in (reader.map(), pair.import_.map(permission="r")):
        view = memoryview(mapping)
        assert view.readonly
        with pytest.raises(TypeError):
            view[0] = 1
        array = numpy.frombuffer(mapping, "u1")
        assert not array.flags.writeable
        with pytest.raises(BufferError):
            pair.import_.get_into(0, mapping)
        with pytest.raises(rsmapi.PermDenied):
            mapping.store_u64(0, 1)
        assert view[0] == mapping.load_u32(0) == 0
    with pytest.raises(rsmapi.BadPerms):
        reader.map(permission="rw")


def test_withdrawn_memory_never_faults(pair):
    mapping = pair.import_.map()
    view, array = memoryview(mapping), numpy.frombuffer(mapping, "u8")
    view[:4] = b"here"
    stop = threading.Event()

    def hammer():
        while not stop.is_set():
            array[:] = array + 1
            bytes(view)

    threads = [threading.Thread(target=hammer) for _ in range(2)]
    for thread in threads:
        thread.start()
    pair.export.unpublish()
    after = bytes(memoryview(pair.export))
    view[:4] = b"gone"
    bytes(view)
    stop.set()
    for thread in threads:
        thread.join()
    assert bytes(memoryview(pair.export)) == after, "nobody reaches it any more"
    assert pair.import_.is_aborted and pair.import_.why_aborted == "the exporter took the segment back"
    with pytest.raises(rsmapi.ConnAborted, match="node 1 took the segment back"):
        with mapping.barrier():
            array[0] = 1
    with pytest.raises(rsmapi.ConnAborted):
        pair.import_.map()
    del view, array
    mapping.unmap()
    pair.import_.disconnect()


def test_a_call_in_another_thread_holds_what_it_uses(pair, eventually):
    waiting = threading.Thread(target=pair.export.wait)
    observer = rsmapi.Observer(pair.cluster.name)
    waiting.start()
    eventually(lambda: any(w["on"] == "export" for w in observer.waits()), "the thread waits")
    with pytest.raises(rsmapi.SegInUse, match="another thread is in a call of it"):
        pair.export.destroy()
    pair.import_.signal()
    waiting.join()
    pair.export.destroy()


def test_threads_that_are_told_at_once(pair):
    """Exceptions are made by Python, which may turn to another thread meanwhile: nothing of the object is locked then."""
    barrier = pair.import_.barrier()
    mapping = pair.import_.map()
    mapping.unmap()
    calls = [(barrier.order, rsmapi.BarrierNotOpened), (barrier.close, rsmapi.BarrierNotOpened)]
    calls += [(mapping.unmap, rsmapi.BadSegHndl), (lambda: mapping.load_u64(0), rsmapi.BadSegHndl)]
    told = []

    def call():
        for _ in range(200):
            for function, error in calls:
                with pytest.raises(error):
                    function()
        told.append(1)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=call, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert len(told) == 4


def test_objects_are_collected(pair):
    class Probe:
        pass

    probe = Probe()
    gone = weakref.ref(probe)
    pair.import_.putv([(0, memoryview(bytearray(8)))])
    mapping = pair.import_.map()
    holder = [probe, mapping, memoryview(mapping)]
    holder.append(holder)
    del probe, holder, mapping
    gc.collect()
    assert gone() is None
    pair.import_.disconnect()


def test_nothing_is_kept(cluster):
    """Of objects that are gone: no mapping, descriptor, or reference."""
    exporter, importer = cluster.node(1).controller(), cluster.node(2).controller()

    def use(number):
        export = exporter.export(PAGE)
        import_ = importer.connect(1, export.publish())
        mapping = import_.map(permission="r" if number % 2 else None)
        alone = sys.getrefcount(mapping), sys.getrefcount(export)
        views = [memoryview(mapping), numpy.frombuffer(export, "u8"), memoryview(export)[5:9]]
        assert (sys.getrefcount(mapping), sys.getrefcount(export)) == (alone[0] + 1, alone[1] + 2)
        import_.put(0, views[2])
        with pytest.raises(rsmapi.SegStillMapped):
            export.destroy()
        if number % 3:
            del views
            mapping.unmap()
            import_.disconnect()
            export.destroy()

    def held():
        gc.collect()
        with open("/proc/self/maps", encoding="ascii") as maps:
            memory = sum("/memfd:" in line for line in maps)
        return memory, len(os.listdir("/proc/self/fd"))

    for number in range(6):
        use(number)
    before = held()
    for number in range(60):
        use(number)
    assert held() == before


def test_mapping_arguments(pair):
    with pytest.raises(rsmapi.BadMemAlignment):
        pair.import_.map(1, 10)
    with pytest.raises(rsmapi.BadLength):
        pair.import_.map(0, PAGE + 1)
    with pytest.raises(rsmapi.BadLength):
        pair.import_.map(PAGE)
    with pytest.raises(rsmapi.BadLength):
        pair.import_.map(0, 0)
    with pytest.raises(rsmapi.BadPerms, match='a permission is "r", "w", "rw", "-" or a Permission, not \'x\''):
        pair.import_.map(permission="x")
    with pytest.raises(rsmapi.BadPerms, match="0o777"):
        pair.import_.map(permission=0o777)
    assert len(pair.import_.map(0, 100)) == 100
