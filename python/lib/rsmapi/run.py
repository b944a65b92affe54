"""Runs a program on the nodes of a cluster: ``python -m rsmapi.run -n 4 app.py args``.

What ``rsm-ctl run`` does, without having it installed: a process for each node, one cluster, and nothing left behind
whoever is killed. ``app.py`` and ``-m module`` are run by this Python; after ``--`` stands any command.
"""

import argparse
import json
import math
import os
import sys
from typing import List, NoReturn, Optional, Sequence


def _nodes(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 63:
        raise argparse.ArgumentTypeError(f"a cluster has 1 to 63 nodes, not {text}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError(f"a number of seconds above 0, such as 0.5 or 60, not {text}")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rsmapi.run",
        description="Runs a program on each node of a new cluster; ends with the exit code of the first node that failed.",
        usage="python -m rsmapi.run -n NODES [options] (app.py | -m module | -- command) [arguments ..]",
    )
    parser.add_argument("-n", dest="nodes", type=_nodes, required=True, help="number of nodes, 1 to 63")
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="end everything after this time (exit code 124)")
    parser.add_argument("--grace", type=_seconds, metavar="SECONDS", help="how long nodes have to end by themselves [2]")
    parser.add_argument("--keep-going", action="store_true", help="a node that fails does not end the others")
    parser.add_argument("--tag-output", action="store_true", help="each line of output with the id of its node before it")
    parser.add_argument("--log-dir", metavar="DIR", help="keep what each node writes there as well")
    parser.add_argument("--junit", metavar="FILE", help="write a report for build servers")
    parser.add_argument("--chaos", metavar="SEED", help="late stores and signals, in any order that is permitted: 7, 7:storm")
    parser.add_argument("--model", metavar="MODEL", help="which orders are permitted: tso, pcie or sci [pcie]")
    parser.add_argument("--faults", metavar="FAULTS", help="let things go wrong now and then: names with commas, or all")
    parser.add_argument("--profile", metavar="NAME", help="let calls take as long as on this interconnect")
    parser.add_argument("--virtual", dest="virtual_time", action="store_true", help="wait for none of that, add it up")
    parser.add_argument("-m", dest="module", metavar="module", nargs=argparse.REMAINDER, help="run a module")
    parser.add_argument("words", metavar="app.py", nargs=argparse.REMAINDER, help="the program and its arguments")
    return parser


def _command(module: Optional[List[str]], words: List[str]) -> List[str]:
    if module is not None:
        return [sys.executable, "-m", *module] if module else []
    if words[:1] == ["--"]:
        return words[1:]
    return [sys.executable, *words] if words else []


def _keep_standard_descriptors() -> None:
    """Opens what of 0, 1 and 2 is closed: else the run's own descriptors stand there, and what nodes write goes into them."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # An output that is closed is told when a node writes; that there is nowhere to complain need not be.
            os.open(os.devnull, os.O_RDWR if number == 2 else os.O_RDONLY)


def main(arguments: Optional[Sequence[str]] = None) -> NoReturn:
    """What ``python -m rsmapi.run`` does with its arguments."""
    _keep_standard_descriptors()
    from . import _native

    parser = _parser()
    asked = vars(parser.parse_args(arguments))
    command = _command(asked.pop("module"), asked.pop("words"))
    if not command:
        parser.error("there is no program to run: name a file such as app.py, -m and a module, or -- and a command")
    settings = {name: value for name, value in asked.items() if value is not None}
    code, failure = _native.run(command, json.dumps({**settings, "input": True}))
    if failure is not None:
        print(f"rsmapi.run: {failure}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
