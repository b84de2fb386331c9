"""A stranger's fix: FILE.py:NAME, or MODULE:NAME, found in the current directory first."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from harness.locks.callsite import first_line, here, is_installed, raised_at
from harness.locks.errors import ScenarioError, unknown_name
from harness.programs.for_tokens import texts
from harness.programs.loading import here_first
from harness.programs.named import defines, may_be_named
from harness.runtime.text_file import MOST_SOURCE, read_text

from ..fixes import FIXES


def fix_named(name: str) -> type:
    """Return the fix that a command line names: one of the laboratory, or a class in a file.

    Raises:
        ScenarioError: there is no such fix, file or class, or the file cannot be loaded.
    """
    place, colon, attribute = name.rpartition(":")
    if name in FIXES:
        return FIXES[name]
    if not place:
        if colon or name.endswith(".py"):
            raise ScenarioError(f"fix {name!r} is not of the form FILE.py:NAME")
        raise unknown_name("unknown fix", name, list(FIXES))
    module = _from_file(place) if place.endswith(".py") else _imported(place)
    fix = getattr(module, attribute, None)
    if fix is None:
        classes = [key for key, value in vars(module).items()
                   if isinstance(value, type) and value.__module__ == module.__name__]
        raise unknown_name(f"{place} has no fix", attribute, classes or ["no classes in it"])
    if not isinstance(fix, type):
        raise ScenarioError(f"fix {name!r} is {fix!r}, not a class")
    return fix


def fixes_here(names: Any) -> str:
    """Rule for what a token gives: fixes of the laboratory, or of files below the current
    directory.
    """
    if texts(names):
        return texts(names)
    for name in names:
        place, _, attribute = name.rpartition(":")
        if place.endswith(".py"):
            root = os.path.join(os.path.realpath(here()), "") if here() else ""    # it was deleted
            is_here = bool(root) and (path := os.path.realpath(place)).startswith(root) \
                and not is_installed(path) and defines(path, attribute)
        else:
            is_here = not place or may_be_named(name)
        if not is_here:
            return f"and {name!r} is not in a file of the current directory"
    return ""


def _from_file(place: str) -> ModuleType:
    path = Path(place)
    read_text(place, "the fix in", MOST_SOURCE)    # it is a file, not a pipe
    changed = path.stat().st_mtime_ns
    return _loaded(str(path.resolve()), place, changed)


@lru_cache
def _loaded(path: str, place: str, changed: int) -> ModuleType:
    """Execute the file at *path* as a module of its own; once, while it does not change."""
    name = f"fix in {path}"    # no import has this name
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module    # dataclasses look their module up there
    here_first()
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        del sys.modules[name]
        raise _broken(place, exc) from None
    return module


def _imported(place: str) -> ModuleType:
    here_first()
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as exc:
        if exc.name is not None and f"{place}.".startswith(f"{exc.name}."):
            raise ScenarioError(f"no module named {place!r} here or on the path") from None
        raise _broken(place, exc) from None
    except (Exception, SystemExit) as exc:
        raise _broken(place, exc) from None


def _broken(place: str, exc: BaseException) -> ScenarioError:
    """Return the refusal of a file that raises *exc* when it is executed."""
    where, text = f", at {raised_at(exc)}", first_line(exc)
    if isinstance(exc, SyntaxError):
        where = f", line {exc.lineno}" if exc.lineno else ""
        text = f"{type(exc).__name__}: {exc.msg}"
    return ScenarioError(f"the fix in {place} cannot be loaded: {text}{where}")
