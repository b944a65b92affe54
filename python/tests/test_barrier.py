"""Barriers and modes."""

import pytest
import rsmapi
from rsmapi import Permission


def test_a_with_statement_is_a_span(pair):
    pair.import_.mode = "explicit"
    assert pair.import_.mode == "explicit"
    with pair.import_.barrier() as barrier:
        assert barrier.is_open
        pair.import_.put(0, b"data")
        barrier.order()
        pair.import_.put_u32(64, 1)
    assert not barrier.is_open and bytes(memoryview(pair.export)[:4]) == b"data"
    with barrier:
        pair.import_.put(0, b"more")
    with pytest.raises(rsmapi.BadMode, match='a mode is "implicit" or "explicit", not "loud"'):
        pair.import_.mode = "loud"
    with pytest.raises(TypeError):
        pair.import_.mode = 1


@pytest.mark.parametrize("of", ["node", "segment"])
def test_a_failed_link_is_told_at_the_close(pair, of):
    steering = pair.cluster.steering()
    pair.import_.mode = "explicit"
    with pytest.raises(rsmapi.BarrierFailure, match="the link from node 2 to node 1 through shm0 had an error"):
        with pair.import_.barrier(of):
            pair.import_.put(0, b"lost?")
            steering.link_error(1, 2)
    with pair.import_.barrier(of):
        pair.import_.put(0, b"again")


def test_what_the_block_raises_is_raised(pair):
    barrier = pair.import_.barrier()
    with pytest.raises(KeyError):
        with barrier:
            pair.export.unpublish()
            raise KeyError("mine")
    assert not barrier.is_open
    with barrier as again:
        with pytest.raises(rsmapi.ConnAborted) as raised:
            again.close()
    assert isinstance(raised.value, ConnectionAbortedError)


def test_misuse_is_told(pair):
    barrier = pair.import_.barrier()
    for use in (barrier.order, barrier.close):
        with pytest.raises(rsmapi.BarrierNotOpened, match="open it, or use it in a with statement"):
            use()
    barrier.open()
    with pytest.raises(rsmapi.BarrierOpenFailed, match="open already"):
        barrier.open()
    with pytest.raises(rsmapi.SegInUse, match="a barrier of it is open"):
        pair.import_.disconnect()
    barrier.close()
    pair.import_.disconnect()
    with pytest.raises(rsmapi.BadSegHndl):
        barrier.open()
    with pytest.raises(ValueError, match='a "segment" or a "node"'):
        pair.import_.barrier("link")


def test_an_open_barrier_keeps_its_import(cluster):
    export = cluster.node(1).controller().export(65536)
    barrier = cluster.node(2).controller().connect(1, export.publish()).barrier()
    barrier.open()
    import gc

    gc.collect()
    barrier.order()
    barrier.close()


def test_late_stores_by_seed():
    """What is not ordered arrives in any order; what is, does not."""
    with rsmapi.Cluster(2, chaos=7, model="sci") as cluster:
        export = cluster.node(1).controller().export(65536)
        import_ = cluster.node(2).controller().connect(1, export.publish(), Permission.READ_WRITE)
        import_.mode = "explicit"
        for _ in range(50):
            with import_.barrier():
                for offset in range(0, 512, 64):
                    import_.put_u64(offset, 1)
        assert sum(pieces for _, _, pieces, _ in cluster.deliveries()) >= 400
        assert sum(late for _, _, _, late in cluster.deliveries()) > 0
    for words, sentence in (
        ({"chaos": "x"}, '"x" is no seed'),
        ({"chaos": -1}, "a seed is 0 to"),
        ({"model": "arm"}, 'there is no model "arm"'),
        ({"faults": "all,"}, "there is no fault"),
        ({"profile": "x"}, "x"),
        ({"virtual_time": True}, "virtual time needs a profile"),
    ):
        with pytest.raises(rsmapi.BadConf, match=sentence):
            rsmapi.Cluster(2, **words)


def test_faults_and_virtual_time():
    with rsmapi.Cluster(2, faults="error", chaos=3) as cluster:
        export = cluster.node(1).controller().export(65536)
        import_ = cluster.node(2).controller().connect(1, export.publish())
        import_.mode = "explicit"
        lost = 0
        for _ in range(200):
            try:
                with import_.barrier():
                    import_.put_u64(0, 1)
            except rsmapi.BarrierFailure:
                lost += 1
        told = {node: (count, last) for node, _, count, last in cluster.faults()}
        assert lost > 0 and told[2][0] == lost and told[2][1].startswith("error ")
    with rsmapi.Cluster(2, profile="dolphin-ntb", virtual_time=True) as cluster:
        export = cluster.node(1).controller().export(65536)
        node = cluster.node(2)
        node.controller().connect(1, export.publish()).put(0, b"x")
        assert node.modelled() > 0 and any(seconds > 0 for _, _, seconds in cluster.modelled())
