"""What the documents show is what happens."""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent.parent


def blocks(document):
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize(("document", "name"), [("README.md", "test_neighbours"), ("docs/python.md", "test_ring")])
def test_tests_of_documents(pytester, document, name):
    (block,) = [block for block in blocks(document) if f"def {name}()" in block]
    pytester.makepyfile(block)
    result = pytester.runpytest_subprocess("--cluster-chaos=7", timeout=120)
    result.assert_outcomes(passed=1)


def test_the_program_of_the_guide(tmp_path):
    program = tmp_path / "app.py"
    program.write_text(blocks("docs/python.md")[0])
    command = [sys.executable, "-m", "rsmapi.run", "-n", "2", "--timeout", "60", str(program)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "b'hello'\n", "")


def test_the_team_of_the_guide(tmp_path):
    program = tmp_path / "app.py"
    (block,) = [block for block in blocks("docs/python.md") if "Team.join()" in block]
    program.write_text(block)
    command = [sys.executable, "-m", "rsmapi.run", "-n", "3", "--timeout", "60", str(program)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_the_tests_of_the_guide(tmp_path):
    guide = (ROOT / "docs/testing-with-faults.md").read_text(encoding="utf-8")
    server = guide.split("## On a build server")[1].split("```sh\n")[1].split("```")[0]
    (command,) = [line for line in server.splitlines() if line.startswith("pytest ")]
    shutil.copy(ROOT / "examples/testing/test_gather.py", tmp_path)
    arguments = [sys.executable, "-m", *shlex.split(command), "-p", "no:cacheprovider"]
    ran = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert ran.returncode == 0 and "3 passed" in ran.stdout, ran.stdout + ran.stderr
    (report,) = tmp_path.glob(command.split("--junit-xml=")[1])
    assert 'failures="0"' in report.read_text(encoding="utf-8")


def test_the_front_pages():
    for text in (blocks("python/README.md")[0], (ROOT / "python/lib/rsmapi/__init__.py").read_text(encoding="utf-8")):
        if text.startswith('"""'):
            lines = text.split('"""')[1].split("\n    import rsmapi\n")[1].split("\n\nErrors are")[0].split("\n")
            text = "import rsmapi\n" + "\n".join(line[4:] for line in lines)
        exec(compile(text, "front page", "exec"), {})
