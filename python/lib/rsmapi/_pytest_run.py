"""The launcher of the pytest plugin: ``python -m rsmapi._pytest_run ORDER``, a process of its own without threads, because
the library forks. It ends with pytest, whatever happens to that, and then leaves no files either.

ORDER is a JSON file: ``parent``, the process id of pytest; ``command`` and ``settings``, as for
``rsmapi._native.run_for_facts``; ``directory``, where the facts go as ``facts.json``, beside what nodes leave.
"""

import json
import os
import shutil
import sys


def main(order_file: str) -> None:
    from . import _native

    with open(order_file, encoding="utf-8") as file:
        order = json.load(file)
    directory, parent = order["directory"], order["parent"]
    if _native.end_with_parent(parent):
        facts = _native.run_for_facts(order["command"], json.dumps(order["settings"]))
        part = os.path.join(directory, "facts.part")
        with open(part, "w", encoding="utf-8") as file:
            file.write(facts)
        os.rename(part, os.path.join(directory, "facts.json"))
    if os.getppid() != parent:
        # Nobody is left to read it.
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
