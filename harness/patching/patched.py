"""Standing in: ours in place of the interpreter's primitives, and back."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..locks import afresh, raw
from ..runtime.process_state import aside, surely
from . import hashes
from .made_before import MadeBefore
from .names import Names

_lock = afresh.module_lock(raw.RLock())
_under_way: list[Patch] = []    # one, while ours stand in

_to_be_put_back: list[MadeBefore] = []    # of which some were in use at the end


class Patch:
    """What ours stand in for.

    Attributes:
        left: what was not replaced, a sentence each.
    """

    def __init__(self) -> None:
        self.times = 0
        self._names, self._before = Names(), MadeBefore()

    @property
    def left(self) -> list[str]:
        """What was not replaced, and why, in words."""
        return [*self._names.left, *(f"{name}: {why}" for _, name, why in self._before.left)]

    def why_left(self, lock: Any) -> str:
        """Return why *lock*, of the interpreter's own, was not replaced; "" if that is not known.
        """
        return next((why for each, _, why in self._before.left if each is lock), "")

    def begin(self) -> None:
        """Put ours in place."""
        with _all_known():
            self._before.replace()    # first: later what we make would be the interpreter's
            self._names.replace()
        hashes.begin()

    def end(self) -> None:
        """Put back what was there; what is in use stays ours, and goes on working."""
        hashes.end()
        with _all_known():
            try:
                self._names.put_back()
            finally:
                _to_be_put_back.append(self._before)
                for before in _to_be_put_back:
                    before.put_back()
                _to_be_put_back[:] = [each for each in _to_be_put_back if each.replaced]


@contextmanager
def _all_known() -> Iterator[None]:
    """Let the collector know all objects, also those that somebody had it forget."""
    frozen = gc.get_freeze_count()
    if frozen:
        gc.unfreeze()
    try:
        yield
    finally:
        if frozen:
            gc.freeze()


def current_patch() -> Patch | None:
    """Return what ours stand in for now, None if they do not."""
    return _under_way[0] if _under_way else None


def begin() -> Patch:
    """Have ours stand in, once more if they do."""
    with _lock:
        if not _under_way:
            patch = Patch()
            try:
                patch.begin()
            except BaseException:
                patch.end()
                raise
            _under_way.append(patch)
        _under_way[0].times += 1
        return _under_way[0]


def end() -> None:
    """Have ours stand in once less; with the last, put back what was there."""
    with _lock:
        if _under_way:
            patch = _under_way[0]
            patch.times -= 1
            if not patch.times:
                _under_way.clear()
                patch.end()


@contextmanager
def patched() -> Iterator[Patch]:
    """Have ours stand in for the locks of `threading` and `queue` while the block runs.

    Whatever the program or the standard library makes in it is one of `harness.threading`; so are,
    meanwhile, locks that were made before. What cannot be replaced is in `left` of what it yields.
    """
    # There, no signal handler raises in the middle of it.
    patch: Patch = aside(begin)
    try:
        yield patch
    finally:
        surely(lambda: aside(end))

