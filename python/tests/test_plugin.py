"""The pytest plugin: tests on real nodes."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
import rsmapi

# The shortest test with real processes; it is one itself, and runs on this file's own nodes.


@pytest.mark.cluster(nodes=3, timeout=60)
def test_a_ring():
    controller = rsmapi.Controller()
    node, count = controller.node.id, controller.node.node_count
    export = controller.export(65536)
    export.publish(0x400000)
    neighbour = controller.connect(node % count + 1, 0x400000, within=30)
    neighbour.put_u64(0, node)
    neighbour.signal()
    export.wait(30)
    assert export.load_u64(0) == (node - 2) % count + 1
    neighbour.disconnect()
    with pytest.raises(rsmapi.SegNotConnected):
        export.wait_while_imported(30)


@pytest.mark.cluster(nodes=2, timeout=60, chaos="3:calm", model="sci")
@pytest.mark.parametrize("value", [1, 2])
def test_fixtures_and_parameters_are_the_nodes(rsm_node, tmp_path, value):
    assert rsm_node.node_count == 2 and value in (1, 2)
    (tmp_path / "mine").write_text("x")


@pytest.fixture
def story(pytester, monkeypatch):
    """Runs tests in a pytest of their own; answers its result."""
    # Under these pytest repeats each failure whole in its summary: what a test counts would be twice there.
    for variable in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(variable, raising=False)

    def run(text, *arguments):
        head = "import os, pytest, rsmapi, sys\nnode = lambda: rsmapi.Node.current().id\n"
        pytester.makepyfile(head + textwrap.dedent(text))
        return pytester.runpytest_subprocess("-p", "no:randomly", *arguments, timeout=120)

    return run


def test_one_report_with_each_nodes_output(story):
    result = story(
        """
        @pytest.mark.cluster(nodes=3, grace=0.2)
        def test_fails():
            print(f"this is node {node()}")
            print("a complaint", file=sys.stderr)
            controller = rsmapi.Controller()
            if node() == 2:
                for other in (1, 3):
                    controller.connect(other, 0x400000, within=60)
                assert node() == 22
            export = controller.export(65536)
            export.publish(0x400000)
            export.wait()
        """
    )
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    assert text.count("node 2 of 3 failed:") == 1 and "assert 2 == 22" in text
    for node in (1, 2, 3):
        assert f"node {node} stdout" in text and f"this is node {node}\n" in text
    # Those that were ended say where they were.
    assert "node 1 of 3 was ended: was killed by signal 15 (SIGTERM)" in text
    assert "Current thread" in text and "in test_fails" in text and "a complaint" in text
    # And nothing of the pytests that run them.
    assert text.count("test session starts") == 1 and "pytest_pyfunc_call" not in text


def test_a_time_that_is_up(story):
    # On a busy machine even the start of an interpreter may take longer than that.
    for seconds in (3, 20, 60):
        result = story(
            f"""
            @pytest.mark.cluster(nodes=2, timeout={seconds}, grace=0.2)
            def test_hangs():
                if node() == 2:
                    export = rsmapi.Controller().export(65536)
                    export.publish(0x400001)
                    export.wait()
            """
        )
        result.assert_outcomes(failed=1)
        text = result.stdout.str()
        if "waits for a signal" in text and "node 1 of 2" not in text:
            break
    assert f"node 2 of 2 still ran after {seconds} s: it waits for a signal to its segment 0x400001" in text
    assert "node 1 of 2" not in text and "in test_hangs" in text


def test_ends_of_every_kind(story):
    result = story(
        """
        @pytest.mark.cluster(grace=0.2)
        def test_exits():
            os._exit(0 if node() == 1 else 3)

        @pytest.mark.cluster(grace=0.2)
        def test_is_killed():
            os.kill(os.getpid(), 9)

        @pytest.mark.cluster(grace=0.2)
        def test_leaves_early():
            os._exit(0)

        @pytest.mark.cluster
        def test_kills_on_purpose():
            if node() == 1:
                rsmapi.Controller().connect(2, 0x400000, within=30)
                rsmapi.Steering().node_kill(2)
            else:
                export = rsmapi.Controller().export(65536)
                export.publish(0x400000)
                export.wait()

        @pytest.mark.cluster
        def test_skips():
            if node() == 2:
                pytest.skip("not here")

        @pytest.mark.cluster
        @pytest.mark.xfail(strict=True)
        def test_is_expected_to_fail():
            assert node() == 1

        @pytest.mark.skip(reason="by its marker")
        @pytest.mark.cluster
        def test_is_skipped():
            assert False

        @pytest.fixture
        def broken():
            assert node() == 1, "no fixture here"

        @pytest.mark.cluster(grace=0.2)
        def test_has_a_broken_fixture(broken):
            pass
        """,
        "-rs",
    )
    result.assert_outcomes(passed=1, failed=4, skipped=2, xfailed=1)
    text = result.stdout.str()
    assert "node 2 of 2 ended with exit code 3" in text
    assert "was killed by signal 9 (SIGKILL)" in text
    assert "node 1 of 2 ended before the test did" in text
    assert "node 2: Skipped: not here" in text and "by its marker" in text
    assert "node 2 of 2 failed in setup:" in text and "no fixture here" in text


def test_who_died_comes_before_who_tells_of_it(story):
    result = story(
        """
        @pytest.mark.cluster(nodes=4, grace=60)
        def test_everybody_meets():
            with rsmapi.Team.join() as team:
                if node() == 2:
                    os.abort()
                team.barrier()
        """
    )
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    died = text.index("node 2 of 4 was killed by signal 6 (SIGABRT)")
    assert all(text.index(f"node {node} of 4 failed:") > died for node in (1, 3, 4)), text


def test_markers_that_make_no_sense(story):
    markers = ["nodes=0", "nodes=64", "nodes='two'", "timeout=-1", "timeout=float('nan')", "chaos=[]", "sides=2", "chaos='x'", "model='arm'"]
    result = story(
        "\n".join(f"@pytest.mark.cluster({marker})\ndef test_{n}():\n    pass\n" for n, marker in enumerate(markers))
        + """
import unittest

@pytest.mark.cluster
class TestOld(unittest.TestCase):
    def test_old(self):
        pass
"""
    )
    text = result.stdout.str()
    result.assert_outcomes(failed=len(markers), errors=1)
    for sentence in (
        "nodes is 1 to 63, not 0",
        "nodes is 1 to 63, not 'two'",
        "timeout is a number of seconds above 0, not -1",
        "chaos names no seed",
        "unexpected keyword argument 'sides'",
        "the nodes were not started: \"x\" is no seed",
        "there is no model \"arm\"",
        "not unittest.TestCase",
    ):
        assert sentence in text, sentence
    assert "PytestUnknownMarkWarning" not in text


def test_the_seed_that_fails_is_named(story):
    text = """
        @pytest.mark.cluster(chaos=range(20), model="sci", grace=0.2, nodes=1)
        def test_has_no_barrier(request):
            seed = int(rsmapi.Observer().snapshot().cluster["lens"].split()[1].strip(","))
            assert seed != 2
        """
    result = story(text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["chaos seed 2 after 2 of 20 that passed; the same again: pytest --cluster-chaos=2 *::test_has_no_barrier"])
    story(text, "--cluster-chaos=1", "--cluster-chaos", "3:storm").assert_outcomes(passed=1)


def test_nodes_run_what_pytest_runs(story, pytester):
    pytester.makeini("[pytest]\naddopts = --strict-markers -x\npythonpath = lib\n")
    (pytester.path / "lib").mkdir()
    (pytester.path / "lib" / "helper.py").write_text("ANSWER = 42\n")
    pytester.makeconftest(
        """
        import pytest

        @pytest.fixture(scope="module", autouse=True)
        def where():
            return []

        @pytest.fixture(params=["a::b", "c"])
        def letter(request):
            return request.param
        """
    )
    result = story(
        """
        import helper

        def test_plain(where):
            where.append(1)

        class TestSome:
            @pytest.mark.cluster(nodes=2)
            def test_method(self, letter, where, capsys, tmp_path, cache):
                print("caught")
                assert capsys.readouterr().out == "caught\\n"
                assert helper.ANSWER == 42 and letter in ("a::b", "c") and where == []
                assert os.environ.get("PYTHONPATH") is None or "lib" not in os.environ["PYTHONPATH"].split("/")

        def test_plain_again(where):
            assert where == [1]
        """
    )
    result.assert_outcomes(passed=4)


def test_output_is_seen_at_once(story):
    result = story(
        """
        @pytest.mark.cluster(nodes=2)
        def test_prints():
            print(f"this is node {node()}")
        """,
        "-s",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines_random(["*[[]1[]] this is node 1", "*[[]2[]] this is node 2"])


def test_a_launcher_that_is_killed(story):
    result = story(
        """
        @pytest.mark.cluster(nodes=2)
        def test_kills_its_launcher():
            # The parent of the node's parent.
            with open(f"/proc/{os.getppid()}/stat") as stat:
                launcher = int(stat.read().rsplit(")", 1)[1].split()[1])
            os.kill(launcher, 9)
            rsmapi.Controller().export(65536).wait()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["the launcher ended before it could tell how the run went*"])


HANGS = """
import os, pathlib, rsmapi, pytest

@pytest.mark.cluster(nodes=2, timeout=600, grace=0.2)
def test_hangs():
    me = pathlib.Path(os.environ["PIDS"]) / str(rsmapi.Node.current().id)
    me.with_suffix(".part").write_text(f"{os.getpid()} {os.getppid()}")
    me.with_suffix(".part").rename(me)
    rsmapi.Controller().export(65536).wait()
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_pytest_that_is_ended(tmp_path, how, eventually):
    (tmp_path / "test_hangs.py").write_text(HANGS)
    pids, files = tmp_path / "pids", tmp_path / "tmp"
    pids.mkdir()
    files.mkdir()
    environment = {**os.environ, "PIDS": str(pids), "TMPDIR": str(files)}
    clusters = rsmapi.clusters()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path / "test_hangs.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        eventually(lambda: (pids / "1").exists() and (pids / "2").exists(), "nodes run")
        process.send_signal(how)
        try:
            process.wait(60)
        finally:
            process.kill()
    processes = {pid for node in "12" for pid in (pids / node).read_text().split()}
    eventually(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in processes), "all have ended")
    eventually(lambda: not list(files.glob("rsmapi-pytest-*")), "no files are left")
    eventually(lambda: len(rsmapi.clusters()) <= len(clusters), "no cluster is left")
