"""The long check of prediction where permits are taken: is what it calls clean clean?

The worlds and the comparison are of the tests (tests/harness/permit_worlds.py), as is the truth:
exploration of real threads, without the engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import count
from typing import Any

from . import oracle

WORLDS = 400


def compared(cases: Iterator[int], seed: int | None) -> tuple[str, list[str]]:
    """Compare prediction with the truth, one random world for each of *cases*.

    A quarter of the worlds must hang, and a third must branch: else the comparison is worth little.
    """
    permit_worlds = oracle.module("permit_worlds")
    seeds = count(1 if seed is None else seed)
    done: list[Any] = []
    for _ in cases:
        done.append(next(filter(None, map(permit_worlds.compare, seeds))))
    stuck = sum(case.stuck for case in done)
    branch = sum(case.branches for case in done)
    statuses = Counter(status for case in done for status in case.statuses)
    alarms = sum(not case.stuck and str(case.predicted) == "predicted" for case in done)
    said = f"{len(done):,}; {stuck:,} hang, {branch:,} may branch; findings: " \
           + ", ".join(f"{n:,} {status}" for status, n in sorted(statuses.items())) \
           + f"; {alarms:,} that do not hang are predicted to"
    differs = [f"world {case.seed}: {case.wrong}" for case in done if case.wrong]
    if len(done) >= WORLDS and (stuck < len(done) / 4 or branch < len(done) / 3):
        differs.append("too few hang, or too few may branch")
    return said, differs
