"""Puts the docstrings of the extension into its stub: ``python stubs.py``, with the package installed.

Signatures are the stub's own. ``python stubs.py --check`` only says whether something is to be done.
"""

import ast
import inspect
import pathlib
import sys
from typing import Any, List, Tuple

STUB = pathlib.Path(__file__).parent / "lib" / "rsmapi" / "_native.pyi"


def _doc(thing: Any, indent: str) -> List[str]:
    text = inspect.getdoc(thing)
    if not text or '"""' in text or "\\" in text:
        return []
    lines = [f"{indent}{line}" if line else "" for line in text.split("\n")]
    lines[0] = f'{indent}"""{text.split(chr(10))[0]}'
    if len(lines) == 1:
        return [f'{lines[0]}"""']
    return [*lines, f'{indent}"""']


def filled(stub: str, module: Any) -> str:
    """The stub with the docstrings that the module has now."""
    lines = stub.split("\n")
    # From the end, so that line numbers before stay right.
    places: List[Tuple[ast.AST, Any, str]] = []
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ClassDef):
            cls = getattr(module, node.name)
            places.append((node, cls, "    "))
            for part in node.body:
                setter = isinstance(part, ast.FunctionDef) and any(isinstance(d, ast.Attribute) for d in part.decorator_list)
                if isinstance(part, ast.FunctionDef) and not part.name.startswith("__") and not setter:
                    places.append((part, getattr(cls, part.name), "        "))
        elif isinstance(node, ast.FunctionDef):
            places.append((node, getattr(module, node.name), "    "))
    for node, thing, indent in reversed(places):
        body = node.body
        doc = _doc(thing, indent)
        first = body[0]
        if isinstance(node, ast.ClassDef):
            if _is_doc(first):
                del lines[first.lineno - 1 : first.end_lineno]
            at = node.lineno
            lines[at:at] = doc
        elif _is_doc(first):
            lines[first.lineno - 1 : first.end_lineno] = doc
        elif doc:
            last = first.end_lineno - 1
            assert lines[last].endswith(": ..."), lines[last]
            lines[last] = lines[last][: -len(" ...")]
            lines[last + 1 : last + 1] = doc
    return "\n".join(lines)


def _is_doc(statement: ast.stmt) -> bool:
    value = getattr(statement, "value", None)
    return isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str)


def main() -> int:
    from rsmapi import _native

    old = STUB.read_text(encoding="utf-8")
    new = filled(old, _native)
    if old == new:
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{STUB.name} has other docstrings than the extension: run stubs.py", file=sys.stderr)
        return 1
    STUB.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
