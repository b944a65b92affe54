"""A node of a test: ``python _pytest_node.py ORDER`` runs the item in a pytest of its own, and writes how it went to
``node-N.json`` in the order's directory.

ORDER is a JSON file: ``directory``; ``arguments`` for pytest; ``path`` and ``pythonpath``, where the pytest that asked finds
modules. It is run as a file: the package is pytest's to import, when it does.
"""

import faulthandler
import io
import json
import os
import signal
import sys
import time
from typing import Any, Dict, List

import pytest
from _pytest._io import TerminalWriter


class NodeSide:
    """Notes reports, and keeps pytest quiet about them: what the item writes is the node's output."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.reports: List[Dict[str, Any]] = []

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: Any) -> None:
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter._tw = TerminalWriter(open(os.devnull, "w", encoding="utf-8"))

    def note(self, when: str, outcome: str, text: str, sections: List[Any]) -> None:
        self.reports.append({"at": time.time(), "when": when, "outcome": outcome, "text": text, "sections": sections})
        node = os.environ["RSM_NODE_ID"]
        part = os.path.join(self.directory, f"node-{node}.part")
        with open(part, "w", encoding="utf-8", errors="backslashreplace") as file:
            json.dump(self.reports, file)
        # Whole, or not there.
        os.rename(part, os.path.join(self.directory, f"node-{node}.json"))

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.note("collection", "failed", _text(report), [])

    def pytest_runtest_logreport(self, report: Any) -> None:
        text = report.longrepr[2] if isinstance(report.longrepr, tuple) else _text(report)
        self.note(report.when, report.outcome, text, [list(section) for section in report.sections])

    def pytest_internalerror(self, excrepr: Any) -> None:
        self.note("pytest itself", "failed", str(excrepr), [])


def _text(report: Any) -> str:
    """What pytest would show of a failure, with the indentation of its first line."""
    if not report.longrepr:
        return ""
    file = io.StringIO()
    report.toterminal(TerminalWriter(file))
    return file.getvalue().strip("\n")


def main(order_file: str) -> int:
    with open(order_file, encoding="utf-8") as file:
        order = json.load(file)
    # The modules that the pytest which asked would find, and no others.
    sys.path[:] = order["path"]
    if order["pythonpath"] is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = order["pythonpath"]
    # For the plugin of this process, and of none that it starts.
    os.environ["RSMAPI_PYTEST_NODE"] = str(os.getpid())
    # One that has to be ended says where each of its threads is.
    faulthandler.register(signal.SIGTERM, all_threads=True, chain=True)
    return int(pytest.main(order["arguments"], plugins=[NodeSide(order["directory"])]))


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stdout.flush()
    sys.stderr.flush()
    sys.exit(code)
