"""Classes that may stand in place of the interpreter's own: who makes one gets what is for him.

While they do (`harness.patched()`), the interpreter itself and the harness call them, too. What
these make for themselves stays the interpreter's own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

real: dict[type, Callable[..., Any]] = {}    # of each class that stands in: what makes the real one
wants_real: list[Callable[[FrameType], bool]] = []    # says so of a frame that makes one; if any


class StandsIn:
    """The base of a class that may stand in for one of the interpreter's."""

    __slots__ = ()

    def __new__(cls, *args: Any, **more: Any) -> Any:
        if cls in real and wants_real[0](sys._getframe(1)):
            return real[cls](*args, **more)
        return object.__new__(cls)
