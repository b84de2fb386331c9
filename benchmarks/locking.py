"""What a lock costs: outside any run, and inside one with everything recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from readerwriterlock.rwlock import RWLockWrite

from harness import Mutex, Observer, RWSemaphore, Verdict, predict, run
from harness.lockorder.graph import LockOrder
from harness.runtime.process_state import settled

from .measure import BATCHES, LENGTH, Rounds, Row, percentile, ratio_row, ratio_row_of, scaled

DEPTHS = 1, 9, 40    # calls from the role to the lock; 9 is about what a kernel path has
HELD = 10, 100, 300  # locks held at once


def rows(scale: float) -> list[Row]:
    """Return the rows of this file; pinned to one CPU."""
    with settled():
        outside = [_mutex(scale), _read_pair(scale), _fasteners(scale)]
    return outside + _in_runs(scale)


def pairs_of(lock: Any) -> Rounds:
    """Return what takes and gives back *lock*."""
    def pairs(n: int) -> None:
        for _ in range(n):
            with lock:
                pass
    return pairs


def _mutex(scale: float) -> Row:
    return ratio_row("with Mutex, no run under way / with threading.Lock", 1.8,
                     pairs_of(Mutex("m")), pairs_of(threading.Lock()), scale)


def _read_pair(scale: float) -> Row:
    ours, theirs = RWSemaphore("s"), RWLockWrite()

    def read(n: int) -> None:
        for _ in range(n):
            with ours.down_read():
                pass

    def gen_rlock(n: int) -> None:
        for _ in range(n):
            with theirs.gen_rlock():
                pass

    return ratio_row("RWSemaphore read, no run under way / with gen_rlock()", 1.2,
                     read, gen_rlock, scale)


def _fasteners(scale: float) -> Row:
    what = "RWSemaphore read, no run under way / fasteners.ReaderWriterLock"
    try:
        from fasteners import ReaderWriterLock    # type: ignore[import-not-found]
    except ImportError:
        return Row(what, "x", None, None, note="not available: fasteners is not installed")
    ours, theirs = RWSemaphore("s"), ReaderWriterLock()

    def read(n: int) -> None:
        for _ in range(n):
            with ours.down_read():
                pass

    def read_lock(n: int) -> None:
        for _ in range(n):
            with theirs.read_lock():
                pass

    return ratio_row(what, None, read, read_lock, scale)


class _Edges(Observer):
    """Look up the lock-order edge of each acquisition made with a lock held: the check of the full
    record.
    """

    def __init__(self) -> None:
        self.edges: set[tuple[Any, Any]] = set()

    def lock_acquired(self, task: Any, lock: Any, mode: str) -> None:
        held = task.held
        if len(held) > 1:
            edge = held[-2][0], lock
            if edge not in self.edges:
                self.edges.add(edge)


class _Asks(Observer):
    def lock_acquire(self, task: Any, lock: Any, mode: str) -> None:
        pass


class _Has(Observer):
    def lock_acquired(self, task: Any, lock: Any, mode: str) -> None:
        pass


class _Gives(Observer):
    def lock_release(self, task: Any, lock: Any, mode: str) -> None:
        pass


def _three() -> list[Observer]:
    return [_Asks(), _Has(), _Gives()]


def _in_runs(scale: float) -> list[Row]:
    rows = [_in_run(f"with Mutex in {call.__name__}, as it is called, {depth} deep / with Lock",
                    goal, scale, call=call, chain=depth)
            for call, goal in ((run, 5.5), (predict, 8.0)) for depth in DEPTHS]
    told = _in_run("the same in run, with an observer of each acquisition", None, scale,
                   call=lambda scenario, **more: run(scenario, observers=_observers, **more))
    return [*rows, told, *map(_held, HELD)]


def _held(number: int) -> Row:
    """Measure what it costs to take *number* locks inside each other, and to give them back in the
    same order, with the order of locks watched.
    """
    locks = [Mutex(f"lock {n}") for n in range(number)]
    took: list[float] = []

    def role() -> None:
        began = time.perf_counter()
        for lock in locks:
            lock.acquire()
        for lock in locks:
            lock.release()
        took.append(time.perf_counter() - began)

    for _ in range(3):
        result = run(lambda: {"role": role}, runs=1, observers=lambda: [LockOrder()])
        assert result.verdict is Verdict.CLEAN, result
    return Row(f"{number:,} locks held at once: each of them", "us", None,
               percentile(took, 50) / number * 1e6)


def _observers() -> list[Observer]:
    return [_Edges(), *_three()]


def _in_run(what: str, goal: float | None, scale: float, chain: int = 1,
            call: Callable[..., Any] | None = None) -> Row:
    """Measure in the only role of a run of *call*, by default `run`, with another mutex held: every
    acquisition has an edge.

    The lock is taken in the role itself, which makes a call chain of one; *chain* says how long it
    is to be.
    """
    outer, inner, bare = Mutex("outer"), Mutex("inner"), threading.Lock()
    pairs: list[tuple[float, float]] = []
    batches, length = scaled(BATCHES, scale, 10), scaled(LENGTH, scale, 50)
    clock = time.perf_counter

    def role() -> None:
        with outer:
            for _ in range(batches):
                began = clock()
                for _ in range(length):
                    with inner:
                        pass
                between = clock()
                for _ in range(length):
                    with bare:
                        pass
                pairs.append((between - began, clock() - between))

    for _ in range(chain - 1):
        role = _calls(role)
    result = (call or run)(lambda: {"role": role}, runs=1)
    assert result.verdict is Verdict.CLEAN, result
    return ratio_row_of(what, goal, pairs, length)


def _calls(function: Callable[[], None]) -> Callable[[], None]:
    return lambda: function()
