"""The long check of limits that run out again: the reduced search finds what the plain one does.

The scenarios and the comparison are of the tests (tests/harness/random_limits.py). The truth is the
graph of all states, and a search without the rule, in which limits run out a few times at most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

from . import oracle

SCENARIOS = 100


def compared(cases: Iterator[int], seed: int | None) -> tuple[str, list[str]]:
    """Compare the searches, on one random scenario for each of *cases*.

    Half of them must be searched with the reduction, and a fifth must fail: else the comparison is
    worth little.
    """
    random_limits = oracle.module("random_limits")
    seeds = count(1 if seed is None else seed)
    done: list[Any] = []
    for _ in cases:
        done.append(next(filter(None, map(random_limits.compare, seeds))))
    reduced, fail = sum(case.is_reduced for case in done), sum(case.fails for case in done)
    has: Counter[str] = Counter()
    for case in done:
        has.update(case.has.keys())
    said = f"{len(done):,}; {reduced:,} searched with the reduction, {fail:,} fail; " \
           f"{sum(case.graph.begun for case in done):,} schedules through all states, " \
           f"{sum(case.reduced.begun for case in done):,} of the reduced search, " \
           f"{sum(case.reduced.rounds for case in done):,} of them go round; with " \
           + ", ".join(f"{kind} {n}" for kind, n in sorted(has.items()))
    differs = [f"scenario {case.seed}: {line}" for case in done for line in case.differs]
    if len(done) >= SCENARIOS and (reduced < len(done) / 2 or fail < len(done) / 5):
        differs.append("too few are searched with the reduction, or too few fail")
    return said, differs
