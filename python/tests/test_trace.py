"""What rsm-ctl tells of Python programs: a trace of their calls, and races."""

import collections
import json
import os
import subprocess
import sys

import pytest

CTL = os.environ.get("RSM_CTL")

#: Node 1 exports; node 2 puts in a span, gets, and signals, and is signalled.
APP = """
import rsmapi

controller = rsmapi.Controller()
if rsmapi.Node.current().id == 1:
    export = controller.export(65536)
    export.publish(0x400001)
    export.wait(timeout=60)
    export.signal()
    export.wait(timeout=60)
else:
    import_ = controller.connect(1, 0x400001, within=60)
    import_.mode = "explicit"
    with import_.barrier() as barrier:
        import_.put(64, b"from Python")
        barrier.order()
        import_.put_u64(0, 7)
    assert import_.get_u64(0) == 7
    import_.signal()
    import_.wait(timeout=60)
    import_.disconnect()
    controller.connect(1, 0x400001).signal()
"""


#: Nodes 2 and 3 put to one word of node 1, one after the other, as only files say.
RACE = """
import os, sys, time, rsmapi

def say(name):
    open(os.path.join(sys.argv[1], name), "w").close()

def until(name):
    while not os.path.exists(os.path.join(sys.argv[1], name)):
        time.sleep(0.001)

controller = rsmapi.Controller()
me = rsmapi.Node.current().id
if me == 1:
    export = controller.export(65536)
    export.publish(0x400001)
    export.wait(timeout=60)
else:
    import_ = controller.connect(1, 0x400001, within=60)
    if me == 3:
        say("connected")
        until("put")
    else:
        until("connected")
    import_.put_u64(8, me)
    if me == 2:
        say("put")
        until("both")
    else:
        say("both")
        import_.signal()
"""

needs_ctl = pytest.mark.skipif(CTL is None, reason="RSM_CTL names no rsm-ctl (ci/python.sh does)")


@needs_ctl
def test_the_calls_of_a_python_program_are_noted(tmp_path):
    program, trace = tmp_path / "app.py", tmp_path / "t.json"
    program.write_text(APP)
    command = [CTL, "run", "-n", "2", "--timeout", "100s", "--trace", trace, "--", sys.executable, program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    events = json.loads(trace.read_text())["traceEvents"]
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    calls = collections.defaultdict(list)
    for event in events:
        # Without those that failed: a connect that waits asks until the segment is there.
        if event["ph"] == "X" and event["args"].get("segment") == "1:0x400001" and "error" not in event["args"]:
            bytes_ = (event["args"]["offset"], event["args"]["length"]) if "offset" in event["args"] else ()
            calls[names[event["pid"]].split(" (")[0]].append((event["name"], *bytes_))
    assert calls["node 2"] == [
        ("connect",),
        ("put", 64, 11),
        ("order",),
        ("put", 0, 8),
        ("close",),
        ("get", 0, 8),
        ("post",),
        ("wait",),
        ("disconnect",),
        ("connect",),
        ("post",),
        ("disconnect",),
    ]
    assert [name for name, *_ in calls["node 1"]][:4] == ["publish", "wait", "post all", "wait"]
    # Who woke whom: an arrow from each signal to its wait; and one from each put in a span to its end.
    for category, count in (("signal", 3), ("close", 2)):
        own = [event for event in events if event.get("cat") == category]
        flows = {kind: sorted(event["id"] for event in own if event["ph"] == kind) for kind in "sf"}
        assert len(flows["s"]) == count and flows["s"] == flows["f"], category


def unknown(message):
    """Fields of a message, or of one in it, that its schema does not have."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    found = [(message.DESCRIPTOR.full_name, field.field_number) for field in UnknownFieldSet(message)]
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            # One message or many.
            for one in [value] if hasattr(value, "ListFields") else value:
                found += unknown(one)
    return found


@needs_ctl
def test_a_trace_for_perfetto_is_one_by_its_schema(tmp_path):
    try:
        import google.protobuf.unknown_fields  # noqa: F401
        import perfetto.protos.perfetto.trace.perfetto_trace_pb2 as schema
    except Exception as why:  # it is not there, or does not go with the protobuf that is
        pytest.skip(f"the package perfetto has the schema: {why}")
    program, trace = tmp_path / "app.py", tmp_path / "t.pftrace"
    program.write_text(APP)
    command = [CTL, "run", "-n", "2", "--timeout", "100s", "--trace", trace, "--", sys.executable, program]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, "")
    read = schema.Trace()
    read.ParseFromString(trace.read_bytes())
    assert unknown(read) == []
    packets = list(read.packet)
    assert {packet.trusted_packet_sequence_id for packet in packets} == {1}

    # Tracks: a process for each node, and its threads under it.
    described = [packet.track_descriptor for packet in packets if packet.HasField("track_descriptor")]
    tracks = {track.uuid: track for track in described}
    processes = {uuid: track.process for uuid, track in tracks.items() if track.HasField("process")}
    assert sorted(process.process_name for process in processes.values()) == ["node 1", "node 2"]
    threads = {uuid: track for uuid, track in tracks.items() if track.HasField("thread")}
    assert len(threads) >= 2 and len(tracks) == len(processes) + len(threads)
    for track in threads.values():
        assert track.thread.pid == processes[track.parent_uuid].pid and track.thread.thread_name.startswith("thread ")

    # Names are told once.
    (interned,) = (packet.interned_data for packet in packets if packet.HasField("interned_data"))
    cleared = [packet.sequence_flags for packet in packets if packet.HasField("interned_data")]
    assert cleared == [schema.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED]
    names = {name.iid: name.name for name in interned.event_names}
    told = {name.iid: name.name for name in interned.debug_annotation_names}

    # Slices: each one ends, on the track where it began, and none while another is open there.
    event = schema.TrackEvent
    open_, slices, flows, ends = {}, collections.defaultdict(list), {}, {}
    last = 0
    for packet in packets:
        if not packet.HasField("track_event"):
            continue
        assert packet.timestamp >= last and packet.sequence_flags == schema.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        last, this = packet.timestamp, packet.track_event
        if this.type == event.TYPE_INSTANT:
            assert this.track_uuid in processes and names[this.name_iid] in ("left", "ended")
            continue
        assert this.track_uuid in threads
        if this.type == event.TYPE_SLICE_BEGIN:
            assert this.track_uuid not in open_
            notes = {told[note.name_iid]: note.string_value or note.uint_value for note in this.debug_annotations}
            open_[this.track_uuid] = names[this.name_iid]
            process = processes[threads[this.track_uuid].parent_uuid].process_name
            # Without those that failed.
            if notes.get("segment") == "1:0x400001" and "error" not in notes:
                place = (notes[key] for key in ("offset", "length") if key in notes)
                slices[process].append((names[this.name_iid], *place))
            flows.update((flow, names[this.name_iid]) for flow in this.flow_ids)
        else:
            assert this.type == event.TYPE_SLICE_END
            ends.update((flow, open_[this.track_uuid]) for flow in this.terminating_flow_ids)
            del open_[this.track_uuid]
    assert open_ == {}
    assert slices["node 2"][:6] == [
        ("connect",),
        ("put", 64, 11),
        ("order",),
        ("put", 0, 8),
        ("close",),
        ("get", 0, 8),
    ]
    assert [name for name, *_ in slices["node 1"]][:4] == ["publish", "wait", "post all", "wait"]

    # Flows: from each signal to the wait that took it, and from each put of the span to its end.
    assert flows.keys() == ends.keys()
    led = sorted((flows[flow], ends[flow]) for flow in flows)
    assert led == [("post", "wait")] * 2 + [("post all", "wait")] + [("put", "close")] * 2


@needs_ctl
def test_races_of_python_programs_are_found(tmp_path):
    program = tmp_path / "app.py"
    program.write_text(RACE)
    command = [CTL, "run", "-n", "3", "--timeout", "100s", "--race", "--", sys.executable, program, tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 5, ran.stderr
    lines = [line.split() for line in ran.stderr.splitlines()]
    assert "rsm-ctl: race: 0x400001 of node 1, [8,+8): nothing orders" in ran.stderr
    assert [line[:4] for line in lines if line[0] == "put"] == [["put", "by", "node", "2"], ["put", "by", "node", "3"]]
    assert "rsm-ctl: 1 race found between the calls of 3 processes" in ran.stderr


#: What may be said of the race of `RACE`: by whom, and where in the program.
ANNOTATED = {
    "happens_before": (
        '        say("put")',
        '        rsmapi.annotate.happens_before(TOKEN)\n        say("put")',
        '        until("put")',
        '        until("put")\n        rsmapi.annotate.happens_after(TOKEN)',
    ),
    "benign": (
        "    export.wait(timeout=60)",
        "    rsmapi.annotate.benign(memoryview(export)[8:16])\n    export.wait(timeout=60)",
    ),
    "elsewhere": (
        "    export.wait(timeout=60)",
        "    rsmapi.annotate.benign(memoryview(export)[16:65536])\n    export.wait(timeout=60)",
    ),
    "another token": (
        '        say("put")',
        '        rsmapi.annotate.happens_before(TOKEN)\n        say("put")',
        '        until("put")',
        '        until("put")\n        rsmapi.annotate.happens_after(TOKEN - 1)',
    ),
}


@needs_ctl
@pytest.mark.parametrize(
    "said, races", [("happens_before", 0), ("benign", 0), ("elsewhere", 1), ("another token", 1)]
)
def test_what_a_program_annotates_is_heard(tmp_path, said, races):
    text = RACE.replace("controller =", "TOKEN = 2**64 - 1\ncontroller =", 1)
    words = ANNOTATED[said]
    for before, after in zip(words[::2], words[1::2]):
        assert text.count(before) == 1
        text = text.replace(before, after)
    # The exporter has said it before anybody puts.
    if said in ("benign", "elsewhere"):
        text = text.replace("    export.wait(timeout=60)", '    say("annotated")\n    export.wait(timeout=60)', 1)
        text = text.replace("    import_.put_u64(8, me)", '    until("annotated")\n    import_.put_u64(8, me)', 1)
    program = tmp_path / "app.py"
    program.write_text(text)
    command = [CTL, "run", "-n", "3", "--timeout", "100s", "--race", "--", sys.executable, program, tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = "1 race" if races else "no races"
    assert f"rsm-ctl: {found} found between the calls of 3 processes" in ran.stderr, ran.stderr
    assert ran.returncode == (5 if races else 0), ran.stderr
