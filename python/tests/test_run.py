"""Programs on real nodes, started by ``python -m rsmapi.run``."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"


def launch(*arguments, **words):
    command = [sys.executable, "-m", "rsmapi.run", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **words)


@pytest.mark.parametrize("options", [["-n", 1], ["-n", 4], ["-n", 3, "--chaos", "7:storm", "--model", "sci"]])
def test_the_halo_example(options):
    ran = launch(*options, "--timeout", 60, EXAMPLES / "halo.py")
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    lines = sorted(ran.stdout.splitlines())
    assert len(lines) == options[1] and all(f"node {k}: 32 cells after 50 steps" in lines[k - 1] for k in range(1, options[1] + 1))


@pytest.mark.parametrize("options", [["-n", 1], ["-n", 4, "--chaos", "7", "--model", "sci"]])
def test_the_neighbours_example(options):
    ran = launch(*options, "--timeout", 60, EXAMPLES / "neighbours.py")
    assert (ran.returncode, ran.stderr) == (0, ""), ran.stderr
    size = options[1]
    lines = [
        f"rank {rank} of {size}: {left} and {10 * left} from rank {left}, {11 * size * (size - 1) // 2} in all"
        for rank, left in ((rank, (rank - 1) % size) for rank in range(size))
    ]
    assert sorted(ran.stdout.splitlines()) == lines


def test_modules_commands_and_input():
    ran = launch("-n", 2, "--tag-output", "-m", "rsmapi.run", "--help")
    assert ran.returncode == 0 and "[2] " in ran.stdout and "--chaos SEED" in ran.stdout
    ran = launch("-n", 2, "--", "sh", "-c", "echo $RSM_NODE_ID; cat", input="text\n")
    assert ran.returncode == 0 and sorted(ran.stdout.split()) == ["1", "2", "text"]


@pytest.mark.parametrize("code", [0, 9])
def test_a_process_ends_the_run(tmp_path, code):
    program = tmp_path / "app.py"
    program.write_text(
        "import rsmapi, sys\n"
        "shared = rsmapi.Controller().common(0x400000, 65536)\n"
        "if rsmapi.Node.current().id == 2:\n"
        "    while shared.get_u64(0) == 0:\n"
        "        pass\n"
        f"    rsmapi.end_run({code})\n"
        "    sys.exit(3)\n"
        "shared.put_u64(0, 1)\n"
        "rsmapi.Controller().export(65536).wait()\n"
    )
    ran = launch("-n", 3, "--grace", 0.2, program)
    assert ran.returncode == code, ran.stderr
    assert ("ends the run with exit code 9" in ran.stderr) == (code == 9), ran.stderr


def test_the_first_that_fails_decides(tmp_path):
    program = tmp_path / "app.py"
    program.write_text(
        "import rsmapi, sys\n"
        "export = rsmapi.Controller().export(65536)\n"
        "if rsmapi.Node.current().id == 2:\n"
        "    sys.exit(7)\n"
        "export.wait()\n"
    )
    ran = launch("-n", 3, "--grace", 0.2, "--log-dir", tmp_path / "logs", "--junit", tmp_path / "report.xml", program)
    assert ran.returncode == 7 and "node 2" in ran.stderr
    assert (tmp_path / "logs" / "node-3.err").exists() and "<testsuite" in (tmp_path / "report.xml").read_text()
    ran = launch("-n", 2, "--timeout", 0.5, "--grace", 0.2, "--", "sleep", "60")
    assert ran.returncode == 124


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "the following arguments are required: -n"),
        (["-n", "2"], "there is no program to run"),
        (["-n", "2", "-m"], "there is no program to run"),
        (["-n", "x", "app.py"], "a cluster has 1 to 63 nodes, not x"),
        (["-n", "0", "app.py"], "a cluster has 1 to 63 nodes, not 0"),
        (["-n", "64", "app.py"], "a cluster has 1 to 63 nodes, not 64"),
        (["-n", "-1", "app.py"], "a cluster has 1 to 63 nodes, not -1"),
        (["-n", "2", "--", "/no/such/program"], 'cannot run "/no/such/program"'),
        (["-n", "2", "--chaos", "x", "app.py"], '"x" is no seed'),
        (["-n", "2", "--timeout", "-1", "app.py"], "a number of seconds above 0, such as 0.5 or 60, not "),
        (["-n", "2", "--timeout", "nan", "app.py"], "a number of seconds above 0, such as 0.5 or 60, not "),
        (["-n", "2", "--virtual", "app.py"], "virtual time needs a profile"),
    ],
)
def test_what_cannot_be_meant(arguments, says):
    ran = launch(*arguments)
    assert ran.returncode != 0 and says in ran.stderr and "Traceback" not in ran.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind(tmp_path, how, eventually):
    program = f"echo $$ > {tmp_path}/$RSM_NODE_ID; exec sleep 600"
    command = [sys.executable, "-m", "rsmapi.run", "-n", "2", "--grace", "0.2", "--", "sh", "-c", program]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        files = [tmp_path / "1", tmp_path / "2"]
        eventually(lambda: all(file.exists() and file.read_text().strip() for file in files), "nodes run")
        process.send_signal(how)
        try:
            process.wait(60)
        finally:
            process.kill()
    nodes = [int(file.read_text()) for file in files]
    eventually(lambda: not any(os.path.exists(f"/proc/{node}") for node in nodes), "nodes have ended")


@pytest.mark.parametrize(
    ("closed", "code", "stdout", "complaint"),
    [
        ("2>&-", 0, "out\n", ""),
        ("<&- 2>&-", 0, "out\n", ""),
        ("<&- >&-", 1, "", "rsm-ctl: cannot write standard output: Bad file descriptor\n"),
    ],
)
def test_standard_descriptors_that_are_closed(closed, code, stdout, complaint):
    node = ["--", "sh", "-c", "echo err >&2; echo out"]
    command = [sys.executable, "-m", "rsmapi.run", "-n", "1", *node]
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", *command]
    ran = subprocess.run(shell, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    # What the node wrote to its other output comes before it or after it.
    assert (ran.returncode, ran.stdout) == (code, stdout) and complaint in ran.stderr, ran
