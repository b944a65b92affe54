"""put and get, in every form."""

import array
import mmap

import numpy
import pytest
import rsmapi

PAGE = 65536


def test_the_front_page(pair):
    pair.import_.put(0, b"hello")
    pair.import_.signal()
    pair.export.wait(timeout=30)
    assert bytes(memoryview(pair.export)[:5]) == b"hello"
    assert pair.import_.get(1, 3) == b"ell"
    assert len(pair.export) == len(pair.import_) == PAGE
    assert (pair.import_.node, pair.import_.segment_id) == (1, pair.segment)
    assert pair.import_.permission == rsmapi.Permission.READ_WRITE


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda b: array.array("B", b), lambda b: numpy.frombuffer(b, "u4")])
def test_any_buffer_is_put(pair, make):
    data = bytes(range(128))
    pair.import_.put(8, make(data))
    assert pair.import_.get(8, 128) == data


@pytest.mark.parametrize("length", [0, 1, 7, 128, 129, 4096, PAGE])
def test_any_length(pair, length):
    data = bytes(i * 7 % 256 for i in range(length))
    pair.import_.put(PAGE - length, data)
    into = bytearray(length)
    pair.import_.get_into(PAGE - length, into)
    assert into == data == pair.import_.get(PAGE - length, length)


def test_numpy_arrays_are_filled(pair):
    numbers = numpy.arange(1000, dtype="f8").reshape(10, 100)
    pair.import_.put(0, numbers)
    back = numpy.zeros((10, 100))
    pair.import_.get_into(0, back)
    assert (back == numbers).all()
    with pytest.raises(BufferError, match="not contiguous: copy it first"):
        pair.import_.put(0, numbers[:, ::2])


def test_numbers_of_numpy(pair):
    number = numpy.array(2.5)
    pair.import_.put(8, number)
    pair.import_.put(16, numpy.uint16(7))
    back = numpy.array(0.0)
    pair.import_.get_into(8, back)
    assert (back, pair.import_.get_u16(16)) == (2.5, 7)
    pair.import_.put_words(24, numpy.array(0x1122334455667788, "u8"))
    assert pair.import_.get_u64(24) == 0x1122334455667788
    with pytest.raises(rsmapi.BadMemAlignment):
        pair.import_.put_words(28, number)  # one word of 64 bits, not eight bytes
    back.setflags(write=False)
    with pytest.raises(BufferError):
        pair.import_.get_into(8, back)


def test_a_segment_is_put_into_itself(pair):
    memory = memoryview(pair.export)
    memory[:6] = b"abcdef"
    with pair.import_.map() as mapping:
        view = memoryview(mapping)
        pair.import_.put(2, view[:6])
        assert bytes(memory[:8]) == b"ababcdef"
        view.release()


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_words(pair, bits):
    put, get = getattr(pair.import_, f"put_u{bits}"), getattr(pair.import_, f"get_u{bits}")
    most = 2**bits - 1
    for value in (0, 1, most):
        put(bits, value)
        assert get(bits) == value
        assert int.from_bytes(memoryview(pair.export)[bits : bits + bits // 8], __import__("sys").byteorder) == value
    for value in (-1, most + 1, 10**5000):
        with pytest.raises(OverflowError, match=f"a word of {bits} bits is 0 to {most}, not "):
            put(0, value)
    if bits > 8:
        with pytest.raises(rsmapi.BadMemAlignment, match=f"offset 1 is no multiple of {bits // 8}"):
            put(1, 0)
        with pytest.raises(rsmapi.BadMemAlignment):
            get(1)


def test_arrays_of_words(pair):
    words = array.array("H", [1, 2, 65535])
    pair.import_.put_words(2, words)
    back = numpy.zeros(3, "u2")
    pair.import_.get_words(2, back)
    assert list(back) == [1, 2, 65535]
    with pytest.raises(rsmapi.BadMemAlignment):
        pair.import_.put_words(1, words)
    with pytest.raises(rsmapi.BadLength, match="words have 1, 2, 4 or 8 bytes, not 16"):
        pair.import_.put_words(0, numpy.zeros(1, "c16"))


def test_vectors(pair):
    pair.import_.putv([(0, b"one"), (100, bytearray(b"two")), (200, numpy.frombuffer(b"four", "u4"))])
    buffers = [bytearray(3), bytearray(3), numpy.zeros(1, "u4")]
    pair.import_.getv(zip([0, 100, 200], buffers))
    assert [bytes(b) for b in buffers] == [b"one", b"two", b"four"]
    with pytest.raises(rsmapi.BadOffset) as raised:
        pair.import_.putv([(0, b"1"), (1, b"2"), (PAGE, b"3"), (2, b"4")])
    assert raised.value.completed == 2 and pair.import_.get(0, 4) == b"12e\0"
    with pytest.raises(TypeError, match="a tuple of an offset and a buffer"):
        pair.import_.putv([b"abc"])


def test_access_lists(cluster):
    export = cluster.node(1).controller().export(PAGE)
    importer = cluster.node(2).controller()
    assert export.publish(0x400000, {2: 0o600}) == 0x400000
    with pytest.raises(rsmapi.SegAlreadyPublished):
        export.publish()
    importer.connect(1, 0x400000).disconnect()
    export.republish({1: 0o600})
    with pytest.raises(rsmapi.SegNotPublishedToNode):
        importer.connect(1, 0x400000)
    export.republish("everyone")
    importer.connect(1, 0x400000, "r").disconnect()
    export.unpublish()
    with pytest.raises(rsmapi.SegNotPublished):
        importer.connect(1, 0x400000)
    for bad in ({2: 0o777}, {-1: 0o600}, {2: 2**40}, {}, "nobody"):
        with pytest.raises(rsmapi.BadAcl):
            export.publish(0x400000, bad)
    with pytest.raises(TypeError, match="an access list is"):
        export.publish(0x400000, 7)


def test_permissions(pair):
    reader = pair.cluster.node(2).controller().connect(1, pair.segment, rsmapi.Permission.READ)
    assert reader.permission == rsmapi.Permission.READ
    with pytest.raises(rsmapi.PermDenied, match="put through an import with permission r") as raised:
        reader.put(0, b"x")
    assert isinstance(raised.value, PermissionError)
    assert reader.get(0, 1) == b"\0"


def test_a_connect_waits_for_the_publication(cluster):
    import threading

    export = cluster.node(1).controller().export(PAGE)
    importer = cluster.node(2).controller()
    with pytest.raises(rsmapi.Timeout, match=r"node 1 publishes no segment.*\(waited 10ms\)"):
        importer.connect(1, 0x400000, within=0.01)
    publish = threading.Thread(target=lambda: export.publish(0x400000))
    publish.start()
    importer.connect(1, 0x400000, within=30).put(0, b"there")
    publish.join()


def test_memory_of_the_program(pair):
    def memory(text):
        made = mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        made[: len(text)] = text
        return made

    controller = pair.cluster.node(1).controller()
    first, second = memory(b"first"), memory(b"second")
    export = controller.adopt(first)
    import_ = pair.cluster.node(2).controller().connect(1, export.publish())
    assert import_.get(0, 5) == b"first"
    with pytest.raises(BufferError):
        first.close()
    import_.put(0, b"FIRST")
    assert first[:5] == b"FIRST"
    export.rebind(second)
    first.close()
    assert import_.get(0, 6) == b"second"
    export.destroy()
    second.close()
    with pytest.raises(rsmapi.BadAddr, match="writable and contiguous"):
        controller.adopt(bytes(PAGE))
    with pytest.raises(rsmapi.RsmError):
        controller.adopt(bytearray(100))
    with pytest.raises(TypeError, match="object with a buffer"):
        controller.adopt(7)
    with pytest.raises(rsmapi.RebindNotAllowed):
        pair.export.rebind(memory(b""))


def test_sealed_segments(cluster):
    export = cluster.node(1).controller().export(PAGE, sealed=True)
    memoryview(export)[:1] = b"s"
    with pytest.raises(rsmapi.BadAcl):
        export.publish()
    segment = export.publish(access="readers")
    assert cluster.node(2).controller().connect(1, segment, "r").get(0, 1) == b"s"
    with pytest.raises(rsmapi.PermDenied):
        cluster.node(2).controller().connect(1, segment)
