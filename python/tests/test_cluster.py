"""Clusters: controllers, topology, observing, steering."""

import os
import select
import subprocess
import sys

import pytest
import rsmapi


def test_a_cluster_and_its_nodes():
    with rsmapi.Cluster(3, name=f"python-{os.getpid()}", controllers=["shm0", "shm1"]) as cluster:
        assert (cluster.name, cluster.node_count) == (f"python-{os.getpid()}", 3)
        node = cluster.node(2)
        assert (node.id, node.node_count, node.modelled()) == (2, 3, None)
        controller = node.controller("SHM1")
        assert controller.name == "shm1" and controller.node.id == 2
        attributes = controller.attributes
        assert attributes.atomic_sizes == 0xF and attributes.max_export_segments > 0
        topology = node.topology()
        assert topology.local_node == 2 and [c.name for c in topology.controllers] == ["shm0", "shm1"]
        states = {remote.node: remote.state for remote in topology.controllers[0].remotes}
        assert states == {1: "up", 2: "active", 3: "up"}
        assert set(cluster.environment(1)) >= {"RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_KEY"}
        assert (cluster.name, os.getuid()) in [(name, uid) for name, uid, _ in rsmapi.clusters()]
    cluster.close()
    assert cluster.name not in [name for name, _, _ in rsmapi.clusters()]
    with pytest.raises(rsmapi.CtlrNotPresent):
        rsmapi.Observer(cluster.name)


def test_memory_that_no_node_owns():
    with rsmapi.Cluster(2) as cluster:
        first, second = (cluster.node(node).controller("shm0") for node in (1, 2))
        with pytest.raises(rsmapi.SegNotPublished):
            second.connect(rsmapi.CLUSTER_NODE, 0x400000)
        first.common(0x400000, 65536, access={1: 0o600, 2: 0o400}).put_u64(8, 5)
        reader = second.common(0x400000, 65536, "r")
        assert reader.get_u64(8) == 5
        with pytest.raises(rsmapi.PermDenied):
            reader.put_u64(8, 6)
        with pytest.raises(rsmapi.ConnAborted) as told:
            reader.wait()
        assert "nobody exports it" in told.value.sentence
        for wrong, error in [((0, 65536), rsmapi.ReservedSegid), ((0x400000, 4096), rsmapi.BadLength)]:
            with pytest.raises(error):
                first.common(*wrong)
        with pytest.raises(rsmapi.CtlrNotPresent):
            rsmapi.end_run(1)
        for code, error in [(256, rsmapi.BadArgsErrors), (-1, rsmapi.BadArgsErrors), ("1", TypeError)]:
            with pytest.raises(error):
                rsmapi.end_run(code)


def test_what_a_cluster_holds(pair, eventually):
    observer = rsmapi.Observer(pair.cluster.name)
    before = observer.snapshot()
    assert before.cluster["name"] == pair.cluster.name and before.cluster["connections"] == 1
    (segment,) = before.segments
    assert (segment["node"], segment["id"], segment["length"], segment["importers"]) == (1, pair.segment, 65536, 1)
    (connection,) = before.connections
    assert (connection["importer"], connection["exporter"], connection["permission"]) == (2, 1, "rw")
    assert len(before.nodes) == 2 and {c["controller"] for c in before.controllers} >= {"shm0", "loopback"}
    assert len(before.processes) == len(observer.processes()) == 2
    assert all(link["state"] == "active" for link in before.links)
    pair.import_.disconnect()
    observer.wait(before, 30)
    events = [change["event"] for change in observer.snapshot().changes_since(before)]
    assert events == ["connection_released"]
    everything = {change["event"] for change in before.changes_since(rsmapi.Snapshot.empty())}
    assert everything >= {"node_joined", "segment_published", "connection_made"}
    assert observer.waits() == [] and not observer.is_gone
    with pytest.raises(rsmapi.Timeout):
        observer.wait(observer.snapshot(), 0)
    pair.cluster.close()
    eventually(lambda: observer.is_gone, "the observer notices")


def test_what_processes_do(pair, eventually):
    observer = rsmapi.Observer(pair.cluster.name)
    observer.activity()

    def puts():
        pair.import_.put(0, b"12345678")
        return sum(process["put_bytes"] for process in observer.activity())

    eventually(lambda: puts() >= 80, "puts are counted")


def test_who_comes_and_goes(pair):
    events = pair.export.watch_importers()
    first = events.next(30)
    assert (first.what, first.node, first.pid, first.reason) == ("connected", 2, os.getpid(), None)
    with pytest.raises(rsmapi.Timeout):
        events.next(0)
    pair.import_.disconnect()
    assert select.select([events], [], [], 30)[0] == [events]
    left = events.next(30)
    assert (left.what, left.connection, left.reason) == ("left", first.connection, "the importer gave the connection back")
    pair.export.destroy()
    with pytest.raises(rsmapi.BadSegHndl, match="the export is gone"):
        events.next(30)


def test_links(pair):
    steering = pair.cluster.steering()
    importer = pair.cluster.node(2).controller()
    assert steering.link_down(1, 2) == 1
    assert pair.import_.why_aborted == "the link was taken down"
    with pytest.raises(rsmapi.ConnAborted, match="the link from node 2 to node 1 through shm0 was taken down"):
        pair.import_.put(0, b"")
    with pytest.raises(rsmapi.RemoteNodeUnreachable):
        importer.connect(1, pair.segment)
    assert {r.state for r in pair.cluster.node(2).topology().controllers[0].remotes if r.node == 1} == {"down"}
    steering.link_up(1, 2, controller="shm0")
    again = importer.connect(1, pair.segment)
    again.put(0, b"up")
    assert steering.link_down(1, 2, one_way=True) == 0, "node 1 imports nothing"
    assert steering.revoke_segment(1, pair.segment) == 1
    assert again.why_aborted == "the segment was revoked from outside"
    for call in (steering.link_down, steering.link_error):
        with pytest.raises(rsmapi.RemoteNodeUnreachable):
            call(1, 63)
        with pytest.raises(rsmapi.CtlrNotPresent):
            call(1, 2, controller="wrsm0")
    assert steering.environment(1)["RSM_NODE_ID"] == "1"
    assert steering.observer().snapshot().cluster["name"] == pair.cluster.name


NODE = """
import rsmapi, sys
export = rsmapi.Controller().export(65536)
export.publish(0x400000)
print("ready", flush=True)
export.wait()
"""


def test_nodes_are_stopped_and_killed(cluster):
    environment = {**os.environ, **cluster.environment(2)}
    process = subprocess.Popen([sys.executable, "-c", NODE], env=environment, stdout=subprocess.PIPE)
    with process:
        assert process.stdout.readline() == b"ready\n"
        import_ = cluster.node(1).controller().connect(2, 0x400000)
        view = memoryview(import_.map())
        steering = cluster.steering()
        assert steering.node_stop(2) == 1
        view[:7] = b"stopped"
        assert import_.get(0, 7) == b"stopped"
        assert steering.node_cont(2) == 1
        assert steering.node_kill(2) == 1
        assert process.wait(30) == -9 and cluster.kills() == [(2, process.pid)]
        with pytest.raises(rsmapi.ConnAborted):
            import_.wait(30)
        # It never faults.
        view[:7] = b"nothing"


def test_a_private_cluster():
    program = "import rsmapi; n = rsmapi.Node.current(); print(n.id, n.node_count, n.controller().node.id)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RSM_")}
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert (told.stdout, told.stderr) == ("1 1 1\n", "")
    environment["RSM_CLUSTER"] = "rsm:1:nowhere"
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert told.returncode == 1 and "rsmapi.errors.CtlrNotPresent" in told.stderr


def test_what_is_shown(pair):
    assert repr(pair.cluster) == f'<rsmapi.Cluster "{pair.cluster.name}" of 2 nodes>'
    assert repr(pair.cluster.node(1)) == "<rsmapi.Node 1 of 2>"
    assert repr(pair.export) == "<rsmapi.Export of 65536 bytes>"
    assert repr(pair.import_) == f"<rsmapi.Import of segment {pair.segment:#x} of node 1, 65536 bytes, rw>"
    pair.export.destroy()
    assert "destroyed" in repr(pair.export) and "aborted" in repr(pair.import_)
