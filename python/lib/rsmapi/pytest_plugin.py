"""Tests on real nodes: ``@pytest.mark.cluster(nodes=4)`` runs a test once on each node of a cluster, in a process of its
own each, and makes one report of it.

The pytest that was started runs no fixture and no line of such a test itself. For each it starts a launcher, which starts
a cluster and, as its nodes, a pytest each that runs just this item, fixtures and all. When one fails, the others are ended.
What happened, and what each node wrote, is in the one report. Whoever is killed, nothing is left behind.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

import pytest

#: How much of a node's output a report shows.
MOST_OUTPUT = 64 * 1024

#: How long the launcher has beyond what it gives its nodes.
PATIENCE = 20.0


class Options(NamedTuple):
    """What a marker says."""

    nodes: int
    timeout: float
    seeds: Tuple[Optional[str], ...]
    model: Optional[str]
    faults: Optional[str]
    grace: float
    controllers: Tuple[str, ...]


def _options(
    nodes: int = 2,
    timeout: float = 60.0,
    chaos: Union[None, int, str, Iterable[Union[int, str]]] = None,
    model: Optional[str] = None,
    faults: Optional[str] = None,
    grace: float = 2.0,
    controllers: Sequence[str] = (),
) -> Options:
    if isinstance(nodes, bool) or not isinstance(nodes, int) or not 1 <= nodes <= 63:
        raise TypeError(f"nodes is 1 to 63, not {nodes!r}")
    for name, seconds in (("timeout", timeout), ("grace", grace)):
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= 1e6:
            raise TypeError(f"{name} is a number of seconds above 0, not {seconds!r}")
    if chaos is None:
        seeds: Tuple[Optional[str], ...] = (None,)
    elif isinstance(chaos, (int, str)):
        seeds = (str(chaos),)
    else:
        seeds = tuple(str(seed) for seed in chaos)
        if not seeds:
            raise TypeError("chaos names no seed")
    return Options(nodes, timeout, seeds, model, faults, grace, tuple(controllers))


def pytest_addoption(parser: Any) -> None:
    group = parser.getgroup("cluster", "tests on the nodes of a cluster")
    group.addoption(
        "--cluster-chaos",
        metavar="SEED",
        action="append",
        help="run tests that are marked with `cluster` under late stores and signals of this seed, whatever they say",
    )


def pytest_configure(config: Any) -> None:
    config.addinivalue_line(
        "markers",
        "cluster(nodes=2, timeout=60, chaos=None, model=None, faults=None, grace=2, controllers=()): run the test on each "
        "node of a cluster, a process each; timeout and grace in seconds; chaos: a seed, or several, one run for each",
    )
    # A node runs tests as they are.
    if os.environ.get("RSMAPI_PYTEST_NODE") != str(os.getpid()):
        config.pluginmanager.register(Runner(config), "rsmapi-runner")


@pytest.fixture
def rsm_node() -> Any:
    """The node that the test runs on, as an ``rsmapi.Node``."""
    from . import Node

    return Node.current()


class Runner:
    """The side of the pytest that was started."""

    def __init__(self, config: Any) -> None:
        self.config = config

    def pytest_collection_modifyitems(self, items: List[Any]) -> None:
        for item in items:
            if item.get_closest_marker("cluster") and isinstance(item, pytest.Function):
                # They are set up on the nodes.
                item.fixturenames = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: Any) -> None:
        from _pytest.unittest import TestCaseFunction

        if item.get_closest_marker("cluster"):
            if not isinstance(item, pytest.Function) or isinstance(item, TestCaseFunction):
                pytest.fail("cluster marks test functions and methods of plain classes, not unittest.TestCase", pytrace=False)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: Any) -> Optional[bool]:
        marker = pyfuncitem.get_closest_marker("cluster")
        if marker is None:
            return None
        try:
            options = _options(*marker.args, **marker.kwargs)
        except TypeError as error:
            pytest.fail(f"the marker cluster: {error}", pytrace=False)
        seeds = self.config.getoption("cluster_chaos") or options.seeds
        for count, seed in enumerate(seeds):
            verdict = self.run(pyfuncitem, options, seed, len(seeds) == 1)
            if verdict.skipped is not None:
                pytest.skip(verdict.skipped)
            if verdict.failed is not None:
                which = ""
                if seed is not None:
                    passed = f" after {count} of {len(seeds)} that passed" if count else ""
                    which = f"chaos seed {seed}{passed}; the same again: {_again(pyfuncitem, seed)}\n"
                pytest.fail(which + verdict.failed, pytrace=False)
        return True

    def run(self, item: Any, options: Options, seed: Optional[str], alone: bool) -> "Verdict":
        """Runs an item once, and judges; `alone` says that it is run but once."""
        directory = tempfile.mkdtemp(prefix="rsmapi-pytest-")
        # With -s, what nodes write is seen at once.
        live = self.config.getoption("capture", "fd") == "no"
        try:
            logs = os.path.join(directory, "logs")
            node_order = _written(
                directory,
                "node",
                {
                    "directory": directory,
                    "arguments": self.arguments(item, directory),
                    "path": [entry or os.getcwd() for entry in sys.path],
                    "pythonpath": os.environ.get("PYTHONPATH"),
                },
            )
            settings: Dict[str, Any] = {
                "nodes": options.nodes,
                "timeout": options.timeout,
                "grace": options.grace,
                "chaos": seed,
                "model": options.model,
                "faults": options.faults,
                "controllers": options.controllers,
                "log_dir": logs,
                "tag_output": live,
            }
            command = [sys.executable, os.path.join(os.path.dirname(__file__), "_pytest_node.py"), node_order]
            order = {"parent": os.getpid(), "directory": directory, "command": command, "settings": settings}
            complaints = _launched(_written(directory, "run", order), options, directory, live)
            verdict = _judged(directory, options, complaints)
            if verdict.failed is None and not alone:
                # Of many that passed the output is no news.
                return verdict
            for name, text in _sections(directory, logs, options.nodes, complaints) if not live else ():
                item.add_report_section("call", name, text)
            return verdict
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def arguments(self, item: Any, directory: str) -> List[str]:
        """What makes another pytest run this item as this one would."""
        option = self.config.option
        arguments = ["-s", "--runxfail", "--rootdir", str(self.config.rootpath)]
        if self.config.inipath is not None:
            arguments += ["-c", str(self.config.inipath)]
        if getattr(option, "confcutdir", None):
            arguments += ["--confcutdir", str(option.confcutdir)]
        if getattr(option, "importmode", None):
            arguments += ["--import-mode", str(option.importmode)]
        for plugin in getattr(option, "plugins", None) or []:
            arguments += ["-p", plugin]
        for warning in getattr(option, "pythonwarnings", None) or []:
            arguments += ["-W", warning]
        for setting in getattr(option, "override_ini", None) or []:
            arguments += ["-o", setting]
        # What is said for all tests stands in the options above.
        arguments += ["-o", "addopts="]
        if self.config.pluginmanager.has_plugin("cacheprovider"):
            # Its own is this pytest's alone.
            arguments += ["-o", f"cache_dir={os.path.join(directory, 'cache')}"]
        return [*arguments, f"{item.path}::{item.nodeid.split('::', 1)[1]}"]


def _again(item: Any, seed: str) -> str:
    return f"pytest --cluster-chaos={shlex.quote(seed)} {shlex.quote(item.nodeid)}"


def _written(directory: str, name: str, order: Dict[str, Any]) -> str:
    path = os.path.join(directory, f"{name}-order.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(order, file)
    return path


def _environment() -> Dict[str, str]:
    environment = dict(os.environ)
    for name in list(environment):
        if name == "PYTEST_ADDOPTS" or name == "PYTEST_CURRENT_TEST" or name.startswith("PYTEST_XDIST_"):
            del environment[name]
    # So that the launcher and the nodes find what this process finds; nodes then take it back.
    environment["PYTHONPATH"] = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    # What a node wrote before it was killed is there.
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def _launched(order: str, options: Options, directory: str, live: bool) -> str:
    """Runs the launcher to its end, and answers what was written to its standard error, if that is not seen `live`."""
    complaints = os.path.join(directory, "launcher.err")
    with open(complaints, "wb") as stderr:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "rsmapi._pytest_run", order],
            stdin=subprocess.DEVNULL,
            stdout=None if live else subprocess.DEVNULL,
            stderr=None if live else stderr,
            env=_environment(),
        )
        try:
            launcher.wait(options.timeout + 2 * options.grace + PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _end(launcher)
    return _text(complaints)


def _end(launcher: "subprocess.Popen[bytes]") -> None:
    """Ends the launcher and with it the run: asked twice it does not wait for nodes."""
    try:
        for patience in (1.0, 10.0):
            if launcher.poll() is None:
                launcher.send_signal(signal.SIGTERM)
                try:
                    launcher.wait(patience)
                except subprocess.TimeoutExpired:
                    pass
    finally:
        if launcher.poll() is None:
            # Its nodes end with it.
            launcher.kill()
            launcher.wait()


class Verdict(NamedTuple):
    """What became of an item: it failed, and why; it was skipped, and why; or neither."""

    failed: Optional[str] = None
    skipped: Optional[str] = None


def _judged(directory: str, options: Options, complaints: str) -> Verdict:
    facts = _read(os.path.join(directory, "facts.json"))
    if facts is None:
        return Verdict(failed=f"the launcher ended before it could tell how the run went:\n{complaints.strip()}")
    if "refused" in facts:
        return Verdict(failed=f"the nodes were not started: {facts['refused']}")
    trial = facts["trial"]
    failures: List[Tuple[float, str]] = []
    others: List[str] = []
    skips: List[str] = []
    for process in trial["processes"]:
        node, end = process["node"], process["end"]
        name = f"node {node} of {options.nodes}"
        reports = _read(os.path.join(directory, f"node-{node}.json")) or []
        failed = [report for report in reports if report["outcome"] == "failed"]
        for report in failed:
            when = "" if report["when"] == "call" else f" in {report['when']}"
            failures.append((report["at"], f"{name} failed{when}:\n{report['text']}"))
        if end is not None and end["on_purpose"]:
            others.append(f"{name} was killed on purpose")
        elif failed:
            pass
        elif process["was_running"]:
            hangs = " and ".join(f"it {sentence}" for sentence in process["hangs"])
            text = f"{name} still ran after {options.timeout:g} s"
            failures.append((float("inf"), f"{text}: {hangs}" if hangs else text))
        elif end is None:
            failures.append((float("inf"), f"{name} was not started"))
        elif end["asked"]:
            others.append(f"{name} was ended: {end['text']}")
        elif end["code"] != 0:
            # First, as what the others say is of this death as a rule.
            failures.append((float("-inf"), f"{name} {end['text']}"))
        elif not any(report["when"] == "teardown" for report in reports):
            failures.append((float("inf"), f"{name} ended before the test did"))
        skips += [f"node {node}: {report['text']}" for report in reports if report["outcome"] == "skipped"]
    failures.sort(key=lambda failure: failure[0])
    for leftover in trial["leftovers"]:
        failures.append((float("inf"), f"left behind: {leftover}"))
    if trial["interrupted"] is not None and not failures:
        failures.append((float("inf"), f"the run was ended by signal {trial['interrupted']}"))
    if trial["cluster_ended"] is not None:
        failures.append((float("inf"), f"the cluster ended: {trial['cluster_ended']}"))
    if failures:
        return Verdict(failed="\n".join([text for _, text in failures] + others))
    return Verdict(skipped="; ".join(skips)) if skips else Verdict()


def _sections(directory: str, logs: str, nodes: int, complaints: str) -> Iterable[Tuple[str, str]]:
    for node in range(1, nodes + 1):
        for suffix, name in (("out", "stdout"), ("err", "stderr")):
            text = _without_pytest(_text(os.path.join(logs, f"node-{node}.{suffix}")))
            if text:
                yield f"node {node} {name}", text
        for report in _read(os.path.join(directory, f"node-{node}.json")) or []:
            if report["when"] == "call":
                for title, text in report["sections"]:
                    yield f"node {node} {title}", text
    said = [line for line in complaints.splitlines() if line.startswith("rsm-ctl: ")]
    if said:
        yield "the run", "\n".join(line[len("rsm-ctl: ") :] for line in said)


def _without_pytest(text: str) -> str:
    """The text, and of stacks in it what is the test's: the frames of pytest below are the same in all of them."""
    lines: List[str] = []
    skipping = False
    for line in text.splitlines(keepends=True):
        skipping = skipping and line.startswith('  File "')
        skipping = skipping or (line.startswith('  File "') and line.rstrip().endswith(" in pytest_pyfunc_call"))
        if not skipping:
            lines.append(line)
    return "".join(lines)


def _text(path: str) -> str:
    """A file's text; of a long one, the end."""
    try:
        with open(path, "rb") as file:
            length = file.seek(0, os.SEEK_END)
            begin = max(0, length - MOST_OUTPUT)
            file.seek(begin)
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return f"({begin} bytes before this are not shown)\n{text}" if begin else text


def _read(path: str) -> Any:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
