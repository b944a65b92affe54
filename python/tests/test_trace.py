"""A trace of Python programs: what their calls are noted as, by rsm-ctl."""

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
    import_ = controller.connect(1, 0x400001, timeout=60)
    import_.mode = "explicit"
    with import_.barrier() as span:
        import_.put(64, b"from Python")
        span.order()
        import_.put_u64(0, 7)
    assert import_.get_u64(0) == 7
    import_.signal()
    import_.wait(timeout=60)
    import_.disconnect()
    controller.connect(1, 0x400001).signal()
"""


@pytest.mark.skipif(CTL is None, reason="RSM_CTL names no rsm-ctl (ci/python.sh does)")
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
        if event["ph"] == "X" and event["args"].get("segment") == "1:0x400001":
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
