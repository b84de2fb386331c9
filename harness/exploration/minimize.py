"""A failing schedule: follow it again, and make it as simple as it can be.

A schedule is simple when the roles are switched seldom. `shrink` takes one switch after another out
of it, by letting one of the two roles go on without the other in between, as long as the same
failure comes of it; when it returns no single switch can be taken out any more.

This file knows nothing of why a schedule was tried.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain, groupby, pairwise

from .follower import Failure, World, follow
from ..runtime.workers import Workers


def shrink(world: World, workers: Workers, labels: list[int], failure: Failure,
           deadline: float | None = None) -> tuple[list[int], bool]:
    """Return a schedule that fails in the same way, and whether no switch can be taken out of it.

    Args:
        deadline: by time.monotonic(); then the simplest so far is returned.
    """
    while True:
        for candidate in simpler(labels):
            if deadline is not None and time.monotonic() >= deadline:
                return labels, False
            run, outcome = follow(world, workers, candidate, strictly=False)
            taken = [step.label for step in run.steps]
            if switches(taken) < switches(labels) and Failure.of(run, outcome) == failure:
                labels = taken
                break
        else:
            return labels, True


def switches(labels: Sequence[int]) -> int:
    """Return how often one role follows another."""
    return sum(a >> 1 != b >> 1 for a, b in pairwise(labels))


def simpler(labels: Sequence[int]) -> Iterator[list[int]]:
    """Yield the schedules that come of *labels* when one switch is taken out: the role before it
    goes on to its next stretch first, the role after it comes before the other's stretch, or a
    stretch is left out (what then cannot go on is left out as well).
    """
    stretches = [list(stretch) for _, stretch in groupby(labels, lambda label: label >> 1)]
    for i, stretch in enumerate(stretches[:-1]):
        before, after = stretches[:i], stretches[i + 1:]
        again = next((j for j, other in enumerate(after) if other[0] >> 1 == stretch[0] >> 1), 0)
        orders = [[*before, after[0], stretch, *after[1:]], [*before, *after]]
        if again:
            orders.insert(0, [*before, stretch, after[again], *after[:again], *after[again + 1:]])
        for order in orders:
            yield [*chain(*order)]
