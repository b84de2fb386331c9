"""A failing schedule: follow it again, and make it as simple as it can be.

A schedule is simple when the roles are switched seldom. `shrink` takes one switch after another out
of it, by letting one of the two roles go on without the other in between, as long as the same
failure comes of it; when it returns no single switch can be taken out any more.

This file knows nothing of why a schedule was tried.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .controlled import ControlledRun
from .hands import Hands
from .numbering import Names
from .scenario import build
from .search import Strategy, ahead
from .verdict import Outcome, Verdict


_ADDRESS = re.compile(r"\b0x[0-9a-f]+\b")    # another in each world


class World(Protocol):
    """What a schedule is a schedule of."""

    scenario: Callable[..., Any]
    name: str
    names: Names
    timeout: float


@dataclass(frozen=True)
class Failure:
    """What makes two failures the same: the verdict, and who waits for what, or the text."""

    verdict: Verdict
    what: Any

    @classmethod
    def of(cls, run: ControlledRun, outcome: Outcome) -> Failure:
        """Return the failure of one schedule; its verdict may be clean."""
        verdict = outcome.verdict
        if verdict in (Verdict.DEADLOCK, Verdict.HANG):
            tasks = run.deadlocked or run.stuck
            return cls(verdict, frozenset((task.label, task.lock_number, task.ask)
                                          for task in tasks))
        return cls(verdict, _ADDRESS.sub("", outcome.gravest.text) if outcome.gravest else "")


class Follower(Strategy):
    """Follows a schedule: the labels of its steps, in order.

    Args:
        strictly: stop following at the first label that cannot be chosen (`diverged` says which);
            else leave out what cannot be chosen now.
    """

    name = "replay"

    def __init__(self, labels: Sequence[int], strictly: bool = True) -> None:
        self._labels = list(labels)
        self._strictly = strictly
        self.passed = 0
        self.diverged = ""

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        labels = self._labels
        for at, label in enumerate(labels):
            if label in moves:
                del labels[at]
                self.passed += 1
                return label
            if self._strictly:
                self.diverged = f"step {len(run.steps) + 1} is {run.names.roles[label >> 1]}'s, " \
                                f"which cannot go on there"
                labels.clear()
                break
        return ahead(run, moves)[0]


def follow(world: World, hands: Hands, labels: Sequence[int], full: bool = False,
           strictly: bool = True) -> tuple[ControlledRun, Outcome]:
    """Run one schedule in a fresh world.

    Args:
        full: record its events, for a report.
    """
    made = build(world.scenario, world.name)
    run = ControlledRun(made, Follower(labels, strictly), world.names, world.timeout, full=full)
    return run, run.play(hands)


def shrink(world: World, hands: Hands, labels: list[int], failure: Failure,
           deadline: float | None = None) -> tuple[list[int], bool]:
    """Return a schedule that fails in the same way, and whether no switch can be taken out of it.

    Args:
        deadline: by time.monotonic(); then the simplest so far is returned.
    """
    while True:
        for candidate in simpler(labels):
            if deadline is not None and time.monotonic() >= deadline:
                return labels, False
            run, outcome = follow(world, hands, candidate, strictly=False)
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
