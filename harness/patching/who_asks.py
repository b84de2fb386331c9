"""Who makes a lock while ours stand in: the interpreter for itself, the tools, or the program.

The interpreter makes locks for each import, and an event for each thread; a test runner and its
plugins have threads of their own. These must not meet at locks that a schedule holds back.
"""

from __future__ import annotations

import _frozen_importlib as import_system
import logging
import threading
from types import CodeType, FrameType
from typing import Any

from ..locks import raw
from ..standard import stands_in

# Packages that keep the interpreter's own: they run the program, and are no part of it.
TOOLS = {"harness", "pytest_lock_harness", "_pytest", "pytest", "pluggy", "pytest_timeout",
         "execnet", "xdist", "faulthandler"}
STANDARD = "harness.standard."    # makes parts of a lock that was asked for
_AFTER_FORK: Any = threading._after_fork    # type: ignore[attr-defined]
# What `threading` makes for itself.
_OF_THREADS: set[CodeType] = {threading.Thread.__init__.__code__, _AFTER_FORK.__code__}
_WAIT = threading.Condition.wait.__code__
_STANDS_IN = stands_in.StandsIn.__new__.__code__
_TIMER = threading.Timer.__init__.__code__


def is_tool(module: Any) -> bool:
    """Say whether a module of that name keeps the interpreter's own."""
    return type(module) is str and module.partition(".")[0] in TOOLS


def wants_real(frame: FrameType) -> bool:
    """Say whether what is made in *frame* is to be the interpreter's own."""
    names = frame.f_globals
    if frame.f_code in _OF_THREADS or names is vars(import_system):
        return True
    back = frame.f_back
    if names is vars(threading):    # a part of what was asked for, or of a wait for it
        if back is not None and back.f_code is _STANDS_IN:
            return True
        if frame.f_code is _WAIT:
            return type(frame.f_locals["self"]._lock) in (raw.LOCK, raw.RLOCK)
    name: Any = names.get("__name__")
    if is_tool(name):
        return not name.startswith(STANDARD)
    # `functools.cached_property` has a lock before 3.12; a timer of a tool has an event.
    return (name == "functools" or frame.f_code is _TIMER) and back is not None \
        and is_tool(back.f_globals.get("__name__"))


def is_of_tool(kind: type) -> bool:
    """Say whether what instances of *kind* have is a tool's; but a handler has what is logged."""
    return is_tool(kind.__module__) and not issubclass(kind, logging.Handler)
