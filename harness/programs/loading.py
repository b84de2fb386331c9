"""From what a command line names, MODULE:NAME or FILE.json, to a scenario."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..locks.errors import ScenarioError
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
    try:
        target: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (module_name + ".").startswith(exc.name + "."):
            raise ScenarioError(f"no module named {module_name!r} here or on the path") from None
        raise ScenarioError(f"module {module_name!r} cannot be imported: {exc}") from exc
    except Exception as exc:
        raise ScenarioError(f"module {module_name!r} cannot be imported: "
                            f"{type(exc).__name__}: {exc}") from exc
    for part in attribute.split("."):
        if not hasattr(target, part):
            raise ScenarioError(f"module {module_name!r} has no {attribute!r}")
        target = getattr(target, part)
    if not callable(target):
        raise ScenarioError(f"{reference} is {target!r}, not a callable that returns roles")
    if reference_of(target) != (reference, {}) and not hasattr(target, "reference"):
        # Made by another function, say: this is how it was found, and can be found again.
        with suppress(AttributeError, TypeError):
            target.reference = (reference, {})
    factory: Callable[[], Any] = target
    return factory
