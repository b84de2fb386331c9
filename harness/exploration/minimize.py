"""A failing schedule: follow it again, and make it as simple as it can be.

A schedule is simple when the roles are switched seldom. `shrink` takes one switch after another out
of it, by letting one of the two roles go on without the other in between, as long as the same
failure comes of it; when it returns no single switch can be taken out any more.

This file knows nothing of why a schedule was tried.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

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
            got = [step.label for step in run.steps]
            if switches(got) < switches(labels) and Failure.of(run, outcome) == failure:
                labels = got
                break
        else:
            return labels, True


def switches(labels: Sequence[int]) -> int:
    """Return how often one role follows another."""
    return sum(a >> 1 != b >> 1 for a, b in zip(labels, labels[1:]))


def simpler(labels: Sequence[int]) -> Iterator[list[int]]:
    """Yield the schedules that come of *labels* when one switch is taken out: the role before it
    goes on to its next stretch first, the role after it comes before the other's stretch, or a
    stretch is left out (what then cannot go on is left out as well).
    """
    stretches: list[list[int]] = []
    for label in labels:
        if stretches and stretches[-1][-1] >> 1 == label >> 1:
            stretches[-1].append(label)
        else:
            stretches.append([label])
    for i in range(len(stretches) - 1):
        role = stretches[i][0] >> 1
        after = next((j for j in range(i + 2, len(stretches))
                      if stretches[j][0] >> 1 == role), None)
        if after is not None:
            order = [*range(i + 1), after, *range(i + 1, len(stretches))]
            del order[order.index(after, i + 2)]
            yield [label for j in order for label in stretches[j]]
        order = [*range(i), i + 1, i, *range(i + 2, len(stretches))]
        yield [label for j in order for label in stretches[j]]
        yield [label for j in range(len(stretches)) if j != i for label in stretches[j]]
