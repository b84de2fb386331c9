"""State of the process that a call changes, and puts back.

Real-thread runs want all their threads on one CPU: a hand-over between two CPUs costs three to ten times as much.
Where `os.sched_setaffinity` does not exist nothing is changed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .errors import ScenarioError


@contextmanager
def settled(switch_interval: float | None = None) -> Iterator[None]:
    """Run the block, and the threads it starts, on one CPU of those allowed.

    Args:
        switch_interval: seconds between the interpreter's own thread switches; None leaves it.

    Raises:
        ScenarioError: this interpreter runs without its global lock, on which the account relies.
    """
    if not getattr(sys, "_is_gil_enabled", lambda: True)():
        raise ScenarioError("this Python runs without the global interpreter lock; the account of lock "
                            "owners relies on it: set PYTHON_GIL=1")
    allowed = None
    if hasattr(os, "sched_setaffinity"):
        try:
            allowed = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {min(allowed)})
        except OSError:
            allowed = None   # a sandbox forbids it: slower, nothing else
    interval = sys.getswitchinterval()
    if switch_interval is not None:
        sys.setswitchinterval(switch_interval)
    try:
        yield
    finally:
        if switch_interval is not None:
            sys.setswitchinterval(interval)
        if allowed is not None:
            os.sched_setaffinity(0, allowed)
