"""What each primitive of `harness.threading` costs beside the standard one: outside any run, and in
the only role of one, with its operations recorded.
"""

from __future__ import annotations

import threading as standard
import time
from collections.abc import Callable
from typing import Any

from harness import Verdict, run, threading
from harness.runtime.process_state import settled

from .measure import BATCHES, LENGTH, Rounds, Row, ratio_row, ratio_row_of, scaled

Make = Callable[[Any], Rounds]


def _block(name: str) -> Make:
    def make(module: Any) -> Rounds:
        lock = getattr(module, name)()

        def pairs(n: int) -> None:
            for _ in range(n):
                with lock:
                    pass
        return pairs
    return make


def _calls(name: str) -> Make:
    def make(module: Any) -> Rounds:
        lock = getattr(module, name)()

        def pairs(n: int) -> None:
            for _ in range(n):
                lock.acquire()
                lock.release()
        return pairs
    return make


def _again(module: Any) -> Rounds:
    lock = module.RLock()

    def pairs(n: int) -> None:
        with lock:
            for _ in range(n):
                with lock:
                    pass
    return pairs


def _condition(module: Any) -> Rounds:
    condition = module.Condition()

    def waits(n: int) -> None:
        with condition:
            for _ in range(n):
                condition.wait(0)
                condition.notify()
    return waits


def _event(module: Any) -> Rounds:
    event = module.Event()

    def rounds(n: int) -> None:
        for _ in range(n):
            event.set()
            event.wait()
            event.clear()
    return rounds


def _barrier(module: Any) -> Rounds:
    barrier = module.Barrier(1)

    def waits(n: int) -> None:
        for _ in range(n):
            barrier.wait()
    return waits


MEASURED: dict[str, Make] = {
    "with Lock": _block("Lock"), "Lock.acquire, release": _calls("Lock"),
    "with RLock": _block("RLock"), "with RLock, held": _again,
    "with Condition": _block("Condition"), "Condition.wait(0), notify": _condition,
    "with Semaphore": _block("Semaphore"), "with BoundedSemaphore": _block("BoundedSemaphore"),
    "Event.set, wait, clear": _event, "Barrier.wait, of one": _barrier}


def rows(scale: float) -> list[Row]:
    """Return two rows for each primitive; pinned to one CPU."""
    with settled():
        outside = [ratio_row(f"{what}, no run under way / standard", None, make(threading),
                             make(standard), scale) for what, make in MEASURED.items()]
    return outside + [_in_run(f"{what}, in run / standard", make, scale)
                      for what, make in MEASURED.items()]


def _in_run(what: str, make: Make, scale: float) -> Row:
    ours, theirs = make(threading), make(standard)
    pairs: list[tuple[float, float]] = []
    batches, length = scaled(BATCHES, scale, 10), scaled(LENGTH, scale, 50)
    clock = time.perf_counter

    def role() -> None:
        for _ in range(batches):
            began = clock()
            ours(length)
            between = clock()
            theirs(length)
            pairs.append((between - began, clock() - between))

    result = run(lambda: {"role": role}, runs=1)
    assert result.verdict is Verdict.CLEAN, result
    return ratio_row_of(what, None, pairs, length)
