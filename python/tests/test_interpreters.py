"""Interpreters beside the first one of a process."""

import subprocess
import sys

PROGRAM = """
import rsmapi

try:
    import _interpreters as interpreters

    run = interpreters.exec
except ImportError:
    import _xxsubinterpreters as interpreters

    run = interpreters.run_string

IMPORT = '''
try:
    import rsmapi
except ImportError as error:
    print(error, flush=True)
else:
    print("imported", rsmapi.Cluster(1), flush=True)
'''
run(interpreters.create(), IMPORT)
with rsmapi.Cluster(1) as cluster:
    print(cluster.node_count)
"""


def test_another_interpreter_is_refused():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    refusal, count = ran.stdout.splitlines()
    assert "interpreter" in refusal and count == "1"
