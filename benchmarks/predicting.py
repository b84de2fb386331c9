"""What it costs to record the order of locks, and to predict from it."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from harness import Mutex, Verdict, predict, run
from harness.lockorder.graph import LockOrder
from harness.runtime.process_state import settled

from .measure import BATCHES, LENGTH, Row, scaled

EVENTS = 1_000_000
PER_ROUND = 6        # a lock inside another: each asked for, had, given back


def rows(scale: float) -> list[Row]:
    """Return the rows of this file; pinned to one CPU."""
    with settled():
        return [_order(scale), *_million(scale), _predict(scale)]


def _order(scale: float) -> Row:
    """Measure what the order graph adds: the same pairs with it and without, in two runs."""
    with_it, base = _pairs(lambda: [LockOrder()], scale)
    without, _ = _pairs(list, scale)
    added = statistics.median(with_it) - statistics.median(without)
    return Row("the order graph, added to the record of a run / with Lock", "x", None,
               added / statistics.median(base), None,
               f"{added / scaled(LENGTH, scale, 50) * 1e9:,.0f} ns")


def _pairs(observers: Callable[[], list[Any]], scale: float) -> tuple[list[float], list[float]]:
    outer, inner, bare = Mutex("outer"), Mutex("inner"), threading.Lock()
    ours: list[float] = []
    base: list[float] = []
    length, clock = scaled(LENGTH, scale, 50), time.perf_counter

    def role() -> None:
        for _ in range(scaled(BATCHES, scale, 10)):
            began = clock()
            with outer:
                for _ in range(length):
                    with inner:
                        pass
            between = clock()
            for _ in range(length):
                with bare:
                    pass
            ours.append(between - began)
            base.append(clock() - between)

    result = run(lambda: {"role": role}, runs=1, observers=observers)
    assert result.verdict is Verdict.CLEAN, result
    return ours, base


def _million(scale: float) -> list[Row]:
    """Let one role produce a million lock events; what is kept must be the same as for a tenth."""
    events = scaled(EVENTS, scale, 6_000)
    seconds, kept = _events(events)
    _, kept_of_less = _events(events // 10)
    note = f"{kept:,} edges and operations kept, of {events // 10:,} events {kept_of_less:,}"
    return [Row("a million lock events with the lock order recorded", "s", 10.0,
                seconds * EVENTS / events, None, note)]


def _events(number: int) -> tuple[float, int]:
    orders: list[LockOrder] = []

    def observers() -> list[LockOrder]:
        orders.append(LockOrder())
        return orders[-1:]

    def scenario() -> dict[str, Callable[[], None]]:
        *first, last = [Mutex(f"lock{i}") for i in range(10)]

        def role() -> None:
            for i in range(number // PER_ROUND):
                with first[i % len(first)]:
                    with last:
                        pass
        return {"role": role}

    began = time.perf_counter()
    result = run(scenario, runs=1, observers=observers)
    seconds = time.perf_counter() - began
    assert result.verdict is Verdict.CLEAN, result
    [order] = orders
    return seconds, len(order.edges) + sum(map(len, order.operations.values()))


def _predict(scale: float) -> Row:
    what = "predict probe-vs-aer, from clean runs to the forced deadlock"
    try:
        from pcimodel.lab.scenarios import scenario
    except ImportError as exc:
        return Row(what, "ms", None, None, note=f"not available: {exc}")
    factory, times = scenario("probe-vs-aer"), []
    for _ in range(scaled(20, scale, 3)):
        began = time.perf_counter()
        assert predict(factory).verdict is Verdict.DEADLOCK
        times.append((time.perf_counter() - began) * 1000)
    return Row(what, "ms", None, statistics.median(times), (min(times), max(times)))
