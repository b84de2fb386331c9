"""From what a command line names, MODULE:NAME, FILE.py:NAME or FILE.json, to a scenario."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..locks.callsite import here, pass_signal, raised, raised_at, shown
from ..locks.errors import ScenarioError
from ..locks.exits import Refused
from ..locks.user_code import call
from ..runtime.scenario import reference_of
from .format import load_case


def load(reference: str, policy: str | None = None) -> Callable[[], Any]:
    """Return the scenario factory that *reference* names: MODULE:NAME, looked up in the current
    directory first, the same as FILE.py:NAME, or FILE.json with a case (see format.py).

    Args:
        policy: of the reader/writer locks of a case of a file; a module makes its own locks.

    Raises:
        ScenarioError: there is no such module or name, or file or case.
    """
    if reference.endswith(".json") or ".json:" in reference:
        return load_case(reference, policy)
    if policy is not None:
        raise ScenarioError(f"a policy goes with FILE.json only: {reference} makes its own locks")
    module_name, _, attribute = reference.rpartition(":")
    if not module_name or not attribute:
        raise ScenarioError(f"{shown(reference)} is not of the form MODULE:NAME, FILE.py:NAME or "
                            f"FILE.json")
    path, module_name = module_name, _module_of(module_name)
    reference = f"{module_name}:{attribute}"
    here_first()
    with Refused():
        target = imported(module_name)
        if path != module_name:
            _check_file(path, module_name, target)
        factory: Callable[[], Any] = call(f"{reference} cannot be looked up: it", _find, target,
                                          reference, attribute)
        return factory


def here_first() -> None:
    """Let modules be looked for in the current directory, too: before all others, if it was not on
    the path.
    """
    if here() not in ("", *sys.path):    # "": it was deleted
        sys.path.insert(0, here())


def _module_of(name: str) -> str:
    """Return the name of the module that *name* means: it is that, or the path of its file."""
    parts = name.split(".")
    by_path = "/" in name or os.sep in name
    if parts[-1] == "py" and not by_path:
        by_path = os.path.isfile(name) or not os.path.isfile(os.path.join(*parts) + ".py")
    if by_path:
        if not name.endswith(".py") or not os.path.isfile(name):
            raise ScenarioError(f"there is no Python file {shown(name)}")
        parts = os.path.relpath(name.removesuffix(".py"), here() or os.sep).split(os.sep)
    if not all(map(str.isidentifier, parts)):
        raise ScenarioError(f"{shown(name)} is no module of the current directory: go where it can "
                            f"be imported, and give MODULE:NAME" if by_path else
                            f"{shown(name)} is not the name of a module")
    return ".".join(parts)


def _check_file(path: str, name: str, module: Any) -> None:
    """Refuse the module *name* if Python has another one of that name than the file at *path*."""
    with suppress(AttributeError, TypeError, ValueError, OSError):    # it is of no file
        if os.path.samefile(module.__file__, path):
            return
    raise ScenarioError(f"{shown(path)} cannot be imported: {name!r} is another module of Python's "
                        f"or on the path; give the file another name")


def imported(module_name: str) -> Any:
    """Return the module of that name.

    Raises:
        ScenarioError: there is none, or it cannot be imported.
    """
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (module_name + ".").startswith(exc.name + "."):
            raise ScenarioError(f"no module named {module_name!r} here or on the path") from None
        place = raised_at(exc)
        raise ScenarioError(f"module {module_name!r} cannot be imported: {exc}"
                            f"{f', at {place}' if place else ''}") from exc
    except BaseException as exc:
        pass_signal(exc)
        raise ScenarioError(f"module {module_name!r} cannot be imported: it "
                            f"{raised(exc)}") from exc


def _find(target: Any, reference: str, attribute: str) -> Callable[[], Any]:
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise ScenarioError(f"module {reference.partition(':')[0]!r} has no {attribute!r}")
        target = getattr(target, part)
    if not callable(target):
        raise ScenarioError(f"{reference} is {shown(target)}, not a callable that returns roles")
    if reference_of(target) != (reference, {}) and not hasattr(target, "reference"):
        # Made by another function, say: this is how it was found, and can be found again.
        with suppress(AttributeError, TypeError):
            target.reference = (reference, {})
    factory: Callable[[], Any] = target
    return factory
