"""The collector of cyclic garbage while calls are under way.

By itself it works only where roles run freely, and never under the guard. Where an order is chosen
a finalizer would come at another step in each run; there, and between runs, garbage is collected
when a run has ended. What the process wants is known from what it calls: `gc.enable`, `disable` and
`isenabled` are ours meanwhile and mean what they always did; `gc.collect` is as it was.

What a finalizer does after a verdict ends with `Unwind`, as in the roles, and nobody is to read of
that on standard error: the hook for what finalizers raise is ours, too.
"""

from __future__ import annotations

import gc
import operator
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..locks import afresh, parking, raw
from ..locks.replaced import Replaced
from ..locks.task import NOT_NESTED, Task, Unwind, this_thread

_SHARE = 20    # a full collection may take one part in so many of the time

_plain_isenabled = gc.isenabled
# A finalizer may call `gc.disable` in the middle of this.
_lock = afresh.module_lock(raw.RLock())
_calls = 0          # under way
_off = 0            # of those: in which it must not work by itself
_wanted = True      # the process wants it to
_next_full = 0.0    # when a full collection may come, by time.monotonic()
_hook_before: Any = None


def _apply() -> None:
    parking.collect_automatically(_calls > 0 and not _off and _wanted, not _calls and _wanted)


def _enable() -> None:
    global _wanted
    with _lock:
        _wanted = True
        _apply()


def _disable() -> None:
    global _wanted
    with _lock:
        _wanted = False
        _apply()


def _isenabled() -> bool:
    return _wanted


_replaced = Replaced({gc.enable: _enable, gc.disable: _disable, gc.isenabled: _isenabled},
                     (__name__, "harness.locks.parking", "harness.locks.callsite"))


def _hook(unraisable: Any) -> None:
    if not issubclass(unraisable.exc_type, Unwind):
        _hook_before(unraisable)


# What a request under way has noted with its task: a finalizer in the middle makes requests, too.
_of_request = operator.attrgetter("trylock", "timed", "chain", "mode", "tells", "nested")
_kept: dict[Task, tuple[Any, ...]] = {}


def _begins(phase: str, info: Any) -> None:
    task = vars(this_thread).get("task")
    if phase == "start" and task is not None and task.run is not None:
        _kept[task] = _of_request(task)
        task.nested = NOT_NESTED


def _ends(phase: str, info: Any) -> None:
    task: Any = vars(this_thread).get("task")
    if phase == "stop" and task in _kept:
        kept = _kept.pop(task)
        task.trylock, task.timed, task.chain, task.mode, task.tells, task.nested = kept


def install() -> None:
    """Count one more call under way; the collector does not work by itself."""
    global _calls, _off, _wanted, _hook_before
    with _lock:
        if not _calls:
            _wanted = _plain_isenabled()
            _replaced.install()
            if sys.unraisablehook is not _hook:
                _hook_before, sys.unraisablehook = sys.unraisablehook, _hook
            gc.callbacks.insert(0, _begins)
            gc.callbacks.append(_ends)
        _calls += 1
        _off += 1
        _apply()


def uninstall() -> None:
    """Count one less; with the last one, it works again if the process wants it to."""
    global _calls, _off
    with _lock:
        if not _calls:    # this process was forked in the middle of the call
            return
        _calls -= 1
        _off -= 1
        _apply()
        if not _calls:
            _put_back()


def _put_back() -> None:
    _replaced.uninstall()
    if sys.unraisablehook is _hook:
        sys.unraisablehook = _hook_before
    for callback in (_begins, _ends):
        with suppress(ValueError):    # it was taken out
            gc.callbacks.remove(callback)


@afresh.in_child
def _forget() -> None:
    """Leave the collector alone in a process that somebody forked."""
    global _calls, _off
    if not afresh.is_ours() and _calls:
        _calls = _off = 0
        _kept.clear()
        _apply()
        _put_back()


@contextmanager
def automatic() -> Iterator[None]:
    """Let it work by itself in the block, as far as the call is concerned that runs it."""
    global _off
    with _lock:
        _off -= 1
        _apply()
    try:
        yield
    finally:
        with _lock:
            _off += 1
            _apply()


def due() -> int:
    """Return which generation would have been collected by now; -1 if none."""
    if not _wanted:
        return -1
    most = gc.get_threshold()
    if not most[0]:
        return -1
    count = gc.get_count()
    if most[2] and count[2] > most[2] and time.monotonic() >= _next_full:
        return 2
    if most[1] and count[1] > most[1]:
        return 1
    return 0 if count[0] > most[0] else -1


def young() -> int:
    """Return the generation in which nearly all is that a call has made, or an older one that is
    due; -1 if the process wants no collections.
    """
    return max(due(), 1) if _wanted and gc.get_threshold()[0] else -1


def collect(generation: int) -> None:
    """Collect it, and the younger ones. Finalizers run in the calling thread."""
    global _next_full
    began = time.monotonic()
    gc.collect(generation)
    if generation == 2:
        now = time.monotonic()
        _next_full = now + _SHARE * (now - began)
