"""Errors: one class for each RSMERR number."""

import pickle

import pytest
import rsmapi
from rsmapi import _native, errors


@pytest.mark.parametrize(("number", "name", "meaning"), _native.codes())
def test_each_number_has_its_class(number, name, meaning):
    cls = errors.BY_CODE[number]
    assert (cls.code, cls.name, cls.meaning) == (number, name, meaning)
    words = name[len("RSMERR_") :].split("_")
    assert cls.__name__ == "".join(word.capitalize() for word in words)
    assert getattr(rsmapi, cls.__name__) is cls and cls.__doc__.lower() == f"{meaning}.".lower()
    error = cls("what happened")
    assert str(error) == f"what happened ({name} {number})" and error.sentence == "what happened"
    assert str(cls()) == f"{meaning} ({name} {number})"
    assert isinstance(error, rsmapi.RsmError) and error.completed is None
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls and str(again) == str(error)


def test_there_are_no_others():
    assert sorted(errors.BY_CODE) == [number for number, _, _ in _native.codes()]
    assert set(errors.__all__) == {"RsmError", *(cls.__name__ for cls in errors.BY_CODE.values())}
    assert set(errors.__all__) <= set(rsmapi.__all__)
    assert issubclass(rsmapi.Timeout, TimeoutError)


def raised(call, *arguments, **words):
    with pytest.raises(rsmapi.RsmError) as told:
        call(*arguments, **words)
    return type(told.value)


def test_what_the_library_answers_has_its_class(pair):
    """Those that a program of one process can meet, one after the other."""
    cluster, controller = pair.cluster, pair.cluster.node(1).controller()
    importer = cluster.node(2).controller()
    met = {
        raised(cluster.node(1).controller, "wrsm0"): rsmapi.CtlrNotPresent,
        raised(controller.export, 0): rsmapi.BadLength,
        raised(controller.export, 100): rsmapi.BadMemAlignment,
        raised(controller.export(65536).publish, 1): rsmapi.ReservedSegid,
        raised(controller.export(65536).publish, 2**32): rsmapi.BadSegid,
        raised(controller.export(65536).publish, 0x400000, {2: 0o7777}): rsmapi.BadAcl,
        raised(pair.export.publish): rsmapi.SegAlreadyPublished,
        raised(controller.export(65536).unpublish): rsmapi.SegNotPublished,
        raised(importer.connect, 3, 0x400000): rsmapi.RemoteNodeUnreachable,
        raised(importer.connect, 1, pair.segment, 0o111): rsmapi.BadPerms,
        raised(pair.import_.put, 65536, b"x"): rsmapi.BadOffset,
        raised(pair.export.wait, 0): rsmapi.Timeout,
        raised(pair.import_.barrier().close): rsmapi.BarrierNotOpened,
        raised(rsmapi.Cluster, 2, name="a b"): rsmapi.BadConf,
        raised(rsmapi.reserved_segment_ids, "nobody"): rsmapi.BadConf,
        raised(cluster.steering().node_kill, 1): rsmapi.PermDenied,
    }
    for got, expected in met.items():
        assert got is expected
    first = controller.export(65536)
    first.publish(0x400000)
    assert raised(controller.export(65536).publish, 0x400000) is rsmapi.SegidInUse
    loopback = cluster.node(2).controller("loopback")
    assert raised(loopback.connect, 1, 0x400000) is rsmapi.CtlrNotPresent
    pair.export.unpublish()
    assert raised(pair.import_.signal) is rsmapi.ConnAborted
    cluster.close()
    assert raised(controller.export, 65536) is rsmapi.CtlrNotPresent
    assert raised(cluster.node, 1) is rsmapi.BadSegHndl


def test_reserved_ids(tmp_path, monkeypatch):
    path = tmp_path / "rsm.segmentid"
    path.write_text("reserved dbase 0x600000 100\n")
    monkeypatch.setenv("RSM_SEGMENTID_FILE", str(path))
    assert rsmapi.reserved_segment_ids("DBASE") == (0x600000, 100)
    assert raised(rsmapi.reserved_segment_ids, "other") is rsmapi.BadAppid
