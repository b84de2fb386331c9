"""The function that a token names: found before anything is imported, and only where it may be.

A token comes from a mail, and what it names is imported and called. So it may name a function that
stands in a file of the current directory, by the name of its module: ``a.b:f`` is the function f of
./a/b.py. It is called without arguments. Of the laboratory itself, and with arguments, a token may
name what is marked for it (`from_token`), and nothing else. The file is read, not run, to see that
it has such a function; Python's import system is asked, without importing, whether that is the file
it would import by that name: the standard library, an installed package or another folder of the
path may have a module of the same name.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder
from types import FunctionType
from typing import Any

from ..locks.callsite import here, is_installed, shown
from ..locks.errors import ScenarioError
from ..locks.exits import Refused
from ..locks.user_code import call
from ..runtime.text_file import MOST_SOURCE, read_text
from .for_tokens import rules_of
from .loading import here_first, imported

LABORATORY = "harness", "pcimodel"
_OUR_FOLDER = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def scenario_named(reference: str, arguments: dict[str, Any]) -> Callable[..., Any]:
    """Return the scenario that a token names: MODULE:NAME, and the arguments of a function that
    makes it.

    Raises:
        ScenarioError: it names what no token may name, or that cannot be used so.
    """
    if not reference:
        raise ScenarioError("this token names no scenario: call harness.replay(token, scenario)")
    path = _path_of(reference)
    module, _, name = reference.partition(":")
    with Refused():
        function = imported(module)
        for part in name.split("."):
            function = inspect.getattr_static(function, part, None)
    function = function.__func__ if type(function) is staticmethod else function
    is_function = type(function) is FunctionType
    rules = rules_of(function) if is_function else None
    if rules is None and not (is_function and path and function.__module__ == module):
        what = f"is {shown(function)}, no function that was defined there" if path \
            else "is of the laboratory, and none of what a token may name there"
        raise _refused(reference, what)
    if rules is None and not arguments:
        return function
    for name, value in arguments.items():
        rule = (rules or {}).get(name)
        if rule is None or rule(value):
            raise ScenarioError(f"this token gives {reference} {shown(name)}: {shown(value)}, "
                                f"{rule(value) if rule else 'which no token may give it'}")
    scenario: Callable[..., Any] = call(f"{reference} cannot be built as this token asks: it",
                                        function, **arguments)
    return scenario


def may_be_named(reference: str) -> bool:
    """Say whether a token may name *reference*, as far as can be seen without importing it."""
    try:
        _path_of(reference)
    except ScenarioError:
        return False
    return True


def _refused(reference: str, why: str) -> ScenarioError:
    return ScenarioError(f"this token names {shown(reference)}, which {why}; if you know it, name "
                         f"it yourself: replay TOKEN SCENARIO")


def _path_of(reference: str) -> str:
    """Return the file in the current directory where *reference* stands, "" in the laboratory.

    Raises:
        ScenarioError: no token may name it.
    """
    module, colon, function = reference.partition(":")
    parts = module.split(".")
    if not colon or not all(part.isidentifier() and not part.startswith("__")
                            for part in [*parts, *function.split(".")]):
        raise _refused(reference, "is not of the form MODULE:NAME")
    here_first()
    if parts[0] in LABORATORY and _is_ours(parts[0]):
        return ""
    path = file_of(module)
    if not path:
        raise _refused(reference, f"is not in a file {os.path.join(*parts)}.py of the current "
                                  f"directory, from which Python imports it")
    if not defines(path, function.partition(".")[0]):
        raise _refused(reference, f"is no function in {os.path.relpath(path)}")
    return path


def defines(path: str, name: str) -> bool:
    """Say whether a file of Python has a function or class *name*, or calls something to make it;
    what it only imports it does not define.
    """
    try:
        tree = ast.parse(read_text(path, most=MOST_SOURCE))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name or
        isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets)
        for node in ast.walk(tree))


def _is_ours(package: str) -> bool:
    spec = _spec(package, None)
    expected = os.path.join(_OUR_FOLDER, package, "__init__.py")
    return spec is not None and os.path.realpath(spec.origin or "") == expected


def file_of(module: str) -> str:
    """Return the real path of the file of the current directory that Python imports as *module*, ""
    if that is another one. Nothing is imported for it.
    """
    if not here():    # it was deleted
        return ""
    place, expected = os.path.realpath(here()), ""
    folders: Any = None
    parts = module.split(".")
    for i, part in enumerate(parts):
        spec = _spec(".".join(parts[:i + 1]), folders)
        place = os.path.join(place, part)
        folders = getattr(spec, "submodule_search_locations", None)
        expected = f"{place}.py" if folders is None else os.path.join(place, "__init__.py")
        origin = getattr(spec, "origin", None)    # a package without an __init__ has none
        if origin is None and folders is None or \
                origin is not None and os.path.realpath(origin) != expected:
            return ""
    return "" if is_installed(expected) else expected


def _spec(name: str, folders: Any) -> ModuleSpec | None:
    """Return what Python would import as *name*, or has imported, in the *folders* of a package."""
    if name in sys.modules:
        return getattr(sys.modules[name], "__spec__", None)
    if folders is not None:    # a package in a package asks for it by name, and it is not imported
        return PathFinder.find_spec(name.rpartition(".")[2], list(folders))
    specs = (finder.find_spec(name, None) for finder in sys.meta_path)
    return next((spec for spec in specs if spec is not None), None)
