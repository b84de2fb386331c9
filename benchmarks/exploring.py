"""How fast schedules are run and states gone through, and how many schedules are run in vain."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain, islice
from typing import Any

from harness import Mutex, ScenarioError, Verdict, explore
from harness.checker.search import search
from harness.checker.program import Program
from harness.runtime.process_state import settled

from . import oracle
from .measure import Row, percentile, rate_row, ratio_row_of, scaled
from .worlds import NAMED, dining, on_threads, recovery

PAIRS = 5
LENGTHS = {20: 200, 200: 60, 800: 60, 2000: 20}    # of a schedule: how many are run for a figure
CLASSES = 2 ** PAIRS     # of `pairs`: who is first at each lock
# None is left out of the rate: the last has 80 deadlocks to tell of.
STATES = {"7 philosophers": dining(7), "5 PFs collected": recovery(5, collected=True),
          "5 PFs": recovery(5)}


def rows(scale: float) -> list[Row]:
    """Return the rows of this file; `explore` pins itself to one CPU."""
    with settled():
        engine = [_states(scale), _mail(scale)]
    drawn = [_drawn(scale, one), _drawn(scale, pairs)]
    return [*drawn, _driven(scale), *_lengths(scale), *_reduction(scale), *engine]


def one(times: int = PAIRS) -> dict[str, Callable[[], None]]:
    """Return two roles that take and give back one mutex."""
    mutex = Mutex("mutex")

    def role() -> None:
        for _ in range(times):
            with mutex:
                pass

    return {"CPU0": role, "CPU1": role}


def pairs() -> dict[str, Callable[[], None]]:
    """Return two roles that take and give back five mutexes, one after the other, in one order."""
    mutexes = [Mutex(f"mutex{i}") for i in range(PAIRS)]

    def role() -> None:
        for mutex in mutexes:
            with mutex:
                pass

    return {"CPU0": role, "CPU1": role}


def _drawn(scale: float, world: Callable[[], Any]) -> Row:
    def work(number: int) -> None:
        result = explore(world, strategy="random", seed=number, max_schedules=number)
        assert result.coverage["schedules"] == number, result

    which = "of one mutex" if world is one else "of five mutexes, all made anew"
    return rate_row(
        f"schedules, real threads, 2 roles x 5 pairs {which}, random", "/s", 8000, work,
        scaled(2000, scale, 20), note=f"a point at each release too, {4 * PAIRS} in all; peers, "
        "November 2026: frontrun 100, interleave-test 125-450, ploom 2.6")


def _driven(scale: float) -> Row:
    def work(number: int) -> None:
        for _ in range(number // CLASSES):
            result = explore(pairs, engine=False)
            assert (result.verdict, result.coverage["schedules"]) == (
                Verdict.CLEAN, CLASSES), result

    return rate_row("the same with the reduced search driving", "/s", 3000, work,
                    CLASSES * scaled(40, scale, 1),
                    note=f"a call for each {CLASSES}, all there are; its threads are in the time")


# -- how a schedule's cost grows with its length ---------------------------------------------------


def _lengths(scale: float) -> list[Row]:
    """Return what a schedule costs that the reduced search chooses, beside one that is drawn."""
    def both(length: int) -> tuple[float, float]:
        number = scaled(LENGTHS[length], scale, 2)
        return _a_schedule("dpor", length, number), _a_schedule("random", length, number)

    pairs = {length: [both(length) for _ in range(scaled(5, scale))] for length in LENGTHS}
    rows = [ratio_row_of(f"reduced search / random, a schedule of {length:,} operations", None,
                         pairs[length], 1) for length in LENGTHS]
    points = {length: [reduced / length for reduced, _ in pairs[length]] for length in (20, 800)}
    each = list(zip(points[800], points[20]))
    return [*rows, ratio_row_of("reduced search, a point of 800 operations / of 20", 1.5, each, 1)]


def _a_schedule(strategy: str, length: int, number: int) -> float:
    """Return the seconds of one of *number* schedules of so many requests and releases."""
    began = time.perf_counter()
    result = explore(partial(one, length // 4), strategy=strategy, seed=1, max_schedules=number,
                     engine=False)
    took = time.perf_counter() - began
    assert result.coverage["longest"] == length, result
    return took / result.coverage["schedules"]


# -- how close to one schedule for each class ------------------------------------------------------


def _reduction(scale: float) -> list[Row]:
    what = "schedules / equivalence classes, worst"
    try:
        brute, number = oracle.module("brute"), scaled(200, scale, 3)
        drawn = islice(chain.from_iterable(oracle.random_programs()), number)
    except ScenarioError as exc:
        return [Row(f"{what} {of}", "x", goal, None, note=f"not available: {exc}")
                for of, goal in (("named case", 1.1), ("random program", 1.3))]
    named = [_visited(brute, program) for program in NAMED.values()]
    note = ", ".join(f"{name} {tried}/{classes}" for name, (tried, classes) in zip(NAMED, named))
    random_ = [_visited(brute, program) for program in drawn]
    return [_worst(f"{what} named case", 1.1, named, note),
            _worst(f"{what} random program", 1.3, random_,
                   f"{number} programs: {sum(tried for tried, _ in random_):,} schedules, "
                   f"{sum(classes for _, classes in random_):,} classes")]


def _visited(brute: Any, program: Program) -> tuple[int, int]:
    """Return how many schedules are begun, and how many classes there are by complete search."""
    result = explore(on_threads(program), engine=False, all=True)
    assert result.coverage["complete"], result
    tried = result.coverage["schedules"] + result.coverage.get("cut_short", 0)
    classes = brute.count_classes(program)
    assert tried >= classes, (program, tried, classes)
    return tried, classes


def _worst(what: str, goal: float, counts: Iterable[tuple[int, int]], note: str) -> Row:
    ratios = [tried / classes for tried, classes in counts]
    return Row(what, "x", goal, max(ratios), (min(ratios), max(ratios)), note)


# -- the fast engine -------------------------------------------------------------------------------


def _states(scale: float) -> Row:
    """Return the rate of the slowest of several programs; what it takes to tell is in it."""
    rates = {name: _rate(program, scaled(12, scale)) for name, program in STATES.items()}
    best = {name: statistics.median(each) for name, each in rates.items()}
    slowest = min(best, key=best.__getitem__)
    return Row("fast engine, states", "/s", 200_000, best[slowest],
               (min(rates[slowest]), max(rates[slowest])),
               "; ".join(f"{name} {rate:,.0f}" for name, rate in best.items()), rate=True)


def _rate(program: Program, times: int) -> list[float]:
    rates = []
    for _ in range(times):
        began = time.perf_counter()
        answer = search(program)
        rates.append(answer.states / (time.perf_counter() - began))
        assert answer.complete, answer
    return rates


def _mail(scale: float) -> Row:
    times = []
    for _ in range(scaled(400, scale, 10)):
        began = time.perf_counter()
        answer = search(NAMED["mail"])
        times.append((time.perf_counter() - began) * 1000)
    return Row("fast engine, the mail's two paths", "ms", None, statistics.median(times),
               (percentile(times, 25), percentile(times, 75)),
               f"all {answer.states} states, and the deadlock told; a sketch took 0.05")
