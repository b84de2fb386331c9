"""From what a command line names, MODULE:NAME or FILE.json, to a scenario."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..locks.callsite import pass_signal, raised, raised_at, shown
from ..locks.errors import ScenarioError
from ..locks.exits import Refused
from ..locks.user_code import call
from ..runtime.scenario import reference_of
from .format import load_case


def load(reference: str, policy: str | None = None) -> Callable[[], Any]:
    """Return the scenario factory that *reference* names: MODULE:NAME, looked up in the current
    directory first, or FILE.json with a case (see format.py).

    Args:
        policy: of the reader/writer locks of a case of a file; a module makes its own locks.

    Raises:
        ScenarioError: there is no such module or name, or file or case.
    """
    if reference.endswith(".json") or ".json:" in reference:
        return load_case(reference, policy)
    if policy is not None:
        raise ScenarioError(f"a policy goes with FILE.json only: {reference} makes its own locks")
    module_name, colon, attribute = reference.partition(":")
    if not colon or not module_name or not attribute:
        raise ScenarioError(f"{reference!r} is not of the form MODULE:NAME")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    with Refused():
        target = _import(module_name)
        factory: Callable[[], Any] = call(f"{reference} cannot be looked up: it", _find, target,
                                          reference, attribute)
        return factory


def _import(module_name: str) -> Any:
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
