"""Values that nobody should give, and what is said of them."""

import pytest
import rsmapi

HUGE = [2**64, 10**30, 10**5000]
NO_INTS = ["1", 1.5, None, b"1", [1], object()]


def each_call_with_an_offset(pair):
    import_, mapping = pair.import_, pair.import_.map()
    return [
        lambda x: import_.put(x, b"1"),
        lambda x: import_.get(x, 1),
        lambda x: import_.get_into(x, bytearray(1)),
        lambda x: import_.putv([(x, b"1")]),
        lambda x: import_.getv([(x, bytearray(1))]),
        lambda x: import_.put_words(x, b"1"),
        lambda x: import_.get_words(x, bytearray(1)),
        lambda x: import_.put_u8(x, 1),
        import_.get_u8,
        lambda x: import_.put_u64(x, 1),
        import_.get_u64,
        mapping.load_u32,
        mapping.load_u64,
        lambda x: mapping.store_u64(x, 1),
        pair.export.load_u64,
        lambda x: pair.export.store_u32(x, 1),
    ]


def test_offsets(pair):
    for call in each_call_with_an_offset(pair):
        for value in [65536, 2**63, 2**64 - 8]:
            with pytest.raises(rsmapi.BadOffset):
                call(value)
        for value in [-1, -(2**70), *HUGE]:
            with pytest.raises(rsmapi.BadOffset, match="an offset is 0 to 18446744073709551615, not "):
                call(value)
        for value in NO_INTS:
            with pytest.raises(TypeError, match="an offset is an int, not "):
                call(value)


def test_lengths(pair):
    controller = pair.cluster.node(1).controller()
    for call in (lambda x: pair.import_.map(0, x), controller.export):
        for value in [-1, *HUGE, 2**63]:
            with pytest.raises(rsmapi.BadLength, match="a length is 0 to 9223372036854775807"):
                call(value)
        for value in ["1", 1.5, b"1", [1]]:
            with pytest.raises(TypeError, match="a length is an int, not "):
                call(value)
    # Nothing is allocated for what cannot be.
    for value in (65537, 2**40, 2**62):
        with pytest.raises(rsmapi.BadOffset, match=f"{value} bytes at offset 0 of a segment of 65536 bytes"):
            pair.import_.get(0, value)
    with pytest.raises(rsmapi.BadLength):
        controller.export(2**62)
    assert pair.import_.get(65536, 0) == b""


class Index:
    def __index__(self):
        return 8


def test_what_is_as_good_as_an_int(pair):
    import numpy

    for offset in (Index(), numpy.int64(8), numpy.uint8(8)):
        pair.import_.put_u64(offset, numpy.uint64(7))
        assert pair.import_.get_u64(8) == 7


def test_ids_and_nodes(pair):
    controller = pair.cluster.node(2).controller()
    for value in (-1, 2**32, *HUGE):
        with pytest.raises(rsmapi.BadSegid, match="a segment id is 0 to 4294967295"):
            controller.connect(1, value)
        with pytest.raises(rsmapi.RemoteNodeUnreachable, match="a node is 0 to 4294967295"):
            controller.connect(value, 0x400000)
        with pytest.raises(rsmapi.BadLength, match="a number of nodes is 0 to 4294967295"):
            rsmapi.Cluster(value)
    for value in (0, 64, 2**32 - 1):
        with pytest.raises(rsmapi.RsmError):
            rsmapi.Cluster(value)
    for value in ("1", 1.5):
        with pytest.raises(TypeError, match="a node is an int, not "):
            controller.connect(value, 0x400000)
    for value in (0, 3, 64):
        with pytest.raises(rsmapi.RsmError):
            pair.cluster.node(value)


@pytest.mark.parametrize("value", [-1, -0.001, float("nan"), float("-inf"), pytest.param(-(10**400), id="long")])
def test_times_that_are_none(pair, value):
    for call in (pair.export.wait, pair.import_.wait, pair.export.wait_while_imported):
        with pytest.raises(ValueError, match="a timeout is a number of seconds from 0 on, or None to wait for ever"):
            call(value)
    with pytest.raises(ValueError):
        pair.cluster.node(2).controller().connect(1, 0x400000, within=value)


def test_times_of_other_types(pair):
    for value in ("1", [1], True, b""):
        with pytest.raises(TypeError, match="a timeout is a number of seconds"):
            pair.export.wait(value)
    # For ever, and at once.
    for value in (None, float("inf"), 1e300, 10**15, 10**400, 30):
        pair.import_.signal()
        pair.export.wait(value)


@pytest.mark.parametrize("value", [None, 1, "text", object()])
def test_what_is_no_buffer(pair, value):
    for call in (lambda x: pair.import_.put(0, x), lambda x: pair.import_.get_into(0, x), lambda x: pair.import_.putv([(0, x)])):
        with pytest.raises(TypeError, match="bytes, or an object with a buffer such as bytearray"):
            call(value)
    with pytest.raises(BufferError, match="can only be read: give a bytearray"):
        pair.import_.get_into(0, b"12345678")


def test_classes_are_not_made_by_hand():
    for cls in (rsmapi.Node, rsmapi.Export, rsmapi.Import, rsmapi.Mapping, rsmapi.Barrier, rsmapi.Snapshot):
        with pytest.raises(TypeError):
            cls()
    with pytest.raises(TypeError):

        class Mine(rsmapi.Export):
            pass


def test_sealed_and_huge_do_not_go_together(cluster):
    with pytest.raises(ValueError, match="sealed or in huge pages, not both"):
        cluster.node(1).controller().export(65536, sealed=True, huge=True)


def test_tokens(pair):
    for call in (rsmapi.annotate.happens_before, rsmapi.annotate.happens_after):
        for value in [0, 17, 2**64 - 1]:
            assert call(value) is None
        for value in [-1, *HUGE]:
            with pytest.raises(OverflowError, match="a token is 0 to 18446744073709551615, not "):
                call(value)
        for value in NO_INTS:
            with pytest.raises(TypeError, match="a token is an int, not "):
                call(value)


def test_memory_of_which_no_race_is_wanted(pair):
    # Any contiguous buffer; what is no memory of a segment is left alone.
    for memory in [pair.export, memoryview(pair.export)[8:16], pair.import_.map(), b"", bytearray(8)]:
        assert rsmapi.annotate.benign(memory) is None
    for value in [1, None, "text"]:
        with pytest.raises(TypeError, match="bytes, or an object with a buffer"):
            rsmapi.annotate.benign(value)
    with pytest.raises(BufferError, match="not contiguous"):
        rsmapi.annotate.benign(memoryview(pair.export)[::2])
