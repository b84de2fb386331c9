"""Finalizers (`__del__`) that run in the thread of a call when a world is dropped, and stay there.

Nobody calls them, so nothing says when they begin: that one is under way is seen from the frames of
the thread. One that waits is got out of it by a signal, as what a scenario asks for is: see
watcher.py. What is raised in a finalizer ends it and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from types import CodeType, FrameType
from typing import Any

from ..locks.callsite import caller_at, frames_of_threads, function_name
from .standstill import Reading, Standstill, read_thread
from .verdict import Finding, Verdict

_OURS = f"{__name__.partition('.')[0]}."


def finalizer_at(frame: FrameType | None) -> CodeType | None:
    """Return the code of the finalizer that a function of ours, by dropping something, led to and
    that led to *frame*; None if there is none.
    """
    found = None
    while frame is not None:
        if f"{frame.f_globals.get('__name__')}.".startswith(_OURS):
            return found
        if frame.f_code.co_name == "__del__":
            found = frame.f_code
        frame = frame.f_back
    return None


class Finalizers:
    """What was seen of them in the main thread, in one call.

    Args:
        timeout: seconds of a standstill.
        longest: as many of them may one compute, or sleep.

    Attributes:
        findings: on those that were ended.
    """

    def __init__(self, timeout: float, longest: int) -> None:
        self._timeout, self._longest = timeout, longest
        self.findings: list[Finding] = []
        self._ended: set[CodeType] = set()
        self._code: CodeType | None = None
        self._looks = Standstill(timeout, time.monotonic())

    def look(self) -> bool:
        """Look at the main thread; say whether it is at a finalizer that is to be ended."""
        code = finalizer_at(frames_of_threads().get(threading.main_thread().ident or 0))
        if code is None or code is not self._code:
            self._code, self._looks = code, Standstill(self._timeout, time.monotonic())
        if code is None or code in self._ended:
            return code is not None
        looks = self._looks
        looks.look(time.monotonic(), 0, self._read)
        if not looks.hangs and looks.silence < self._longest * self._timeout:
            return False
        at = caller_at(frames_of_threads().get(threading.main_thread().ident or 0), True)
        what, limit = f"{function_name(code)}, a finalizer,", f"{self._timeout:g} s"
        verdict, text = (Verdict.HANG, f"has not moved for {limit}") if looks.hangs else (
            Verdict.INCONCLUSIVE, f"was not ready in {self._longest} times {limit}")
        self._ended.add(code)
        self.findings.append(Finding(verdict, "timed out", f"{what} {text}{at and f', at {at}'}"))
        return True

    def is_to_end(self, frame: FrameType | None) -> bool:
        """Say whether *frame* is in one that is to be ended."""
        return finalizer_at(frame) in self._ended

    def _read(self, before: Mapping[Any, Reading]) -> dict[Any, Reading]:
        main = threading.main_thread()
        frame = frames_of_threads().get(main.ident or 0)
        if frame is None:
            return {}
        return {main: read_thread(main.native_id or 0, frame, before.get(main), True)}
