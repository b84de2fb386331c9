"""Follow a schedule of labels on real threads, and say how it failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..runtime.scenario import build
from ..runtime.verdict import Outcome, Verdict
from .controlled_run import ControlledRun
from ..runtime.workers import Workers
from .stable_ids import Names
from .strategies import Strategy, ahead

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


def follow(world: World, workers: Workers, labels: Sequence[int], full: bool = False,
           strictly: bool = True) -> tuple[ControlledRun, Outcome]:
    """Run one schedule in a fresh world.

    Args:
        full: record its events, for a report.
    """
    made = build(world.scenario, world.name)
    run = ControlledRun(made, Follower(labels, strictly), world.names, world.timeout, full=full)
    return run, run.play(workers)
