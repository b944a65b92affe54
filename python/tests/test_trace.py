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
    names = {event["pid"]: event["args"]["name"] for event in events if event["ph"] == "M"}
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
    # Who woke whom: an arrow from each signal to its wait.
    flows = {kind: sorted(event["id"] for event in events if event["ph"] == kind) for kind in "sf"}
    assert len(flows["s"]) == 3 and flows["s"] == flows["f"]


@needs_ctl
def test_races_of_python_programs_are_found(tmp_path):
    program = tmp_path / "app.py"
    program.write_text(RACE)
    command = [CTL, "run", "-n", "3", "--timeout", "100s", "--race=strict", "--", sys.executable, program, tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 5, ran.stderr
    lines = [line.split() for line in ran.stderr.splitlines()]
    assert "rsm-ctl: race: 0x400001 of node 1, [8,+8): nothing orders" in ran.stderr
    assert [line[:4] for line in lines if line[0] == "put"] == [["put", "by", "node", "2"], ["put", "by", "node", "3"]]
    assert "rsm-ctl: 1 race found between the calls of 3 processes" in ran.stderr
