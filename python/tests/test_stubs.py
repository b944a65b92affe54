"""The stub says what the extension does."""

import ast
import importlib.util
import inspect
import pathlib

import pytest
import rsmapi
from rsmapi import _native

PYTHON = pathlib.Path(__file__).parent.parent


def stubs():
    spec = importlib.util.spec_from_file_location("stubs", PYTHON / "stubs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_docstrings_are_the_extensions():
    text = stubs().STUB.read_text(encoding="utf-8")
    assert stubs().filled(text, _native) == text, "run python/stubs.py"


def parts():
    for node in ast.parse(stubs().STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.FunctionDef):
                    yield f"{node.name}.{part.name}", part
        elif isinstance(node, ast.FunctionDef):
            yield node.name, node


def test_everything_is_in_the_stub():
    told = {name for name, _ in parts()}
    for name, cls in vars(_native).items():
        if inspect.isclass(cls):
            public = {f"{name}.{part}" for part in vars(cls) if not part.startswith("_")}
            assert public <= told, public - told
        elif callable(cls) and not name.startswith("_"):
            assert name in told


@pytest.mark.parametrize(("name", "part"), [p for p in parts() if "__" not in p[0]])
def test_signatures_and_docstrings(name, part):
    thing = _native
    for word in name.split("."):
        thing = inspect.getattr_static(thing, word) if inspect.isclass(thing) else getattr(thing, word)
    assert inspect.getdoc(thing), "has a docstring"
    if any(isinstance(d, ast.Name) and d.id == "property" or isinstance(d, ast.Attribute) for d in part.decorator_list):
        return
    signature = inspect.signature(thing.__func__ if isinstance(thing, staticmethod) else thing)
    arguments = part.args
    assert list(signature.parameters) == [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]]
    needed = [p.name for p in signature.parameters.values() if p.default is p.empty]
    defaults = len(arguments.defaults)
    said = [a.arg for a in (arguments.args[:-defaults] if defaults else arguments.args)]
    said += [a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults) if default is None]
    assert needed == said


def test_the_package_is_typed():
    assert (pathlib.Path(rsmapi.__file__).parent / "py.typed").exists()
    assert all(hasattr(rsmapi, name) for name in rsmapi.__all__)
    assert rsmapi.Export.wait.__doc__.count("Raises Timeout") == 1
