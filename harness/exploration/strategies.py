"""Ways through the schedules of a scenario: what to choose at each stop, and what to try next.

A strategy is a chooser (controlled_run.py) that lives through many schedules: `begin` before each,
`advance` after it. Those here know nothing of locks: they see moves, numbers that stand for a role
that can take its next step. The one that looks at what steps do is in dpor.py.
"""

from __future__ import annotations

import math
import random
from typing import Any

from .controlled_run import ControlledRun
from .dependency import NAMES
from .stable_ids import Names, Taken


class Strategy:
    """Chooses, schedule after schedule.

    Attributes:
        complete: whether, once `advance` has returned False, every schedule was tried (or one of
            each class).
        bound: what keeps it from being complete, in words.
        changed: how a role behaved differently under the same schedule, or "".
        restarted: whether the last `advance` forgot all schedules before, to begin anew.
    """

    name = ""
    complete = False
    bound = ""
    changed = ""
    restarted = False

    def begin(self) -> None:
        """Prepare for the next schedule."""

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        """Return one of *moves*, or -1 to end the schedule."""
        raise NotImplementedError

    def advance(self, run: ControlledRun) -> bool:
        """Take note of a schedule that ended; return whether there is another."""
        return True

    def fraction(self) -> float:
        """Return what part of the schedules has been tried, as a guess; 0 if there is none."""
        return 0.0

    def summary(self) -> dict[str, Any]:
        """Return what the coverage says of it."""
        return {}


def ahead(run: ControlledRun, moves: list[int]) -> list[int]:
    """Return *moves*, with the role that went last first."""
    if run.steps and run.steps[-1].label in moves[1:]:
        last = run.steps[-1].label
        return [last, *(move for move in moves if move != last)]
    return moves


def first_difference(names: Names, one: list[Taken], other: list[Taken]) -> str:
    """Say where two runs of one schedule differ first, or "" if they do not."""
    for number, (a, b) in enumerate(zip(one, other), 1):
        if a != b:
            return f"step {number} was {told(names, a)} and is now {told(names, b)}"
    if len(one) != len(other):
        return f"it had {len(one)} steps and now has {len(other)}"
    return ""


def who(run: ControlledRun, moves: list[int]) -> str:
    """Return the names of those who can go on."""
    return " or ".join(dict.fromkeys(run.names.roles[label >> 1] for label in moves))


def told(names: Names, step: Taken) -> str:
    """Return what a step did, in words."""
    return f"{names.roles[step.label >> 1]}'s {NAMES[step.kind]} {names.shown[step.lock]}".rstrip()


class DepthFirst(Strategy):
    """Every schedule, depth first."""

    name = "dfs"
    complete = True

    def __init__(self) -> None:
        # [what to try, index of the one being tried, what could be chosen] at each step
        self._path: list[list[Any]] = []
        self._depth = 0

    def begin(self) -> None:
        self._depth = 0

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        depth, path = self._depth, self._path
        self._depth = depth + 1
        if depth == len(path):
            path.append([self._order(run, moves), 0, moves])
        options, index, before = path[depth]
        if moves != before:
            self.changed = f"at step {depth + 1} {who(run, before)} could go on before, and now " \
                           f"{who(run, moves)}"
            return -1
        return int(options[index])

    def _order(self, run: ControlledRun, moves: list[int]) -> list[int]:
        """Return which of *moves* to try, in order."""
        return ahead(run, moves)

    def advance(self, run: ControlledRun) -> bool:
        if self.changed:
            return False
        path = self._path
        del path[self._depth:]
        while path and path[-1][1] + 1 == len(path[-1][0]):
            path.pop()
        if path:
            path[-1][1] += 1
        return bool(path)

    def fraction(self) -> float:
        done, share = 0.0, 1.0
        for options, index, _ in self._path:
            share /= len(options)
            done += share * index
        return done


class PreemptionBounded(DepthFirst):
    """Every schedule in which at most *preemptions* times a role that could go on has to wait."""

    name = "bounded"

    def __init__(self, preemptions: int) -> None:
        super().__init__()
        self._most = preemptions
        self._used: list[int] = []     # how many there were before each step of the path
        self._free: list[bool] = []    # whether the role that went last could have gone on there
        self._pruned = False

    def _order(self, run: ControlledRun, moves: list[int]) -> list[int]:
        depth, moves = self._depth - 1, ahead(run, moves)
        used = 0
        if depth:
            options, index, _ = self._path[depth - 1]
            used = self._used[depth - 1] + (index > 0 and self._free[depth - 1])
        could = bool(run.steps) and moves[0] == run.steps[-1].label
        self._used[depth:], self._free[depth:] = [used], [could]
        if could and used >= self._most:
            self._pruned = self._pruned or len(moves) > 1
            moves = moves[:1]
        return moves

    @property
    def complete(self) -> bool:   # type: ignore[override]
        """Whether no schedule was left out for its number of preemptions."""
        return not self._pruned

    @property
    def bound(self) -> str:   # type: ignore[override]
        """The bound, if it was met."""
        many = f"{self._most} preemption{'' if self._most == 1 else 's'}"
        return f"schedules with more than {many} were left out" if self._pruned else ""


class Random(Strategy):
    """At each stop any move, each as likely as the others."""

    name = "random"
    bound = "schedules are drawn at random"

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed).random

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        if len(moves) == 1:
            return moves[0]
        return moves[int(self._draw() * len(moves))]


class PCT(Strategy):
    """Probabilistic concurrency testing (Burckhardt and others, ASPLOS 2010).

    Each role has a priority, drawn anew for each schedule; the highest that can go on goes. At
    *depth* - 1 steps, drawn as well, the one that goes falls below all others.
    """

    name = "pct"
    bound = "schedules are drawn at random"

    def __init__(self, seed: int, depth: int) -> None:
        self._random = random.Random(seed)
        self._bug_depth = depth
        self._longest = self._most_roles = 0
        self._priority: dict[int, float] = {}
        self._falls: set[int] = set()

    def begin(self) -> None:
        self._priority = {}
        steps = range(max(self._longest, 1))
        self._falls = set(self._random.sample(steps, min(self._bug_depth - 1, len(steps))))

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        priority = self._priority
        for move in moves:
            if move not in priority:
                priority[move] = self._random.random()
        first = max(moves, key=priority.__getitem__)
        if len(run.steps) in self._falls:
            # The later it falls the lower, as in the paper: -1, -2, ...
            priority[first] = -1.0 - len(run.steps)
            first = max(moves, key=priority.__getitem__)
        return first

    def advance(self, run: ControlledRun) -> bool:
        self._longest = max(self._longest, len(run.steps))
        self._most_roles = max(self._most_roles, len(run.tasks))
        return True

    def summary(self) -> dict[str, Any]:
        n, k, d = self._most_roles, self._longest, self._bug_depth
        if not k:
            return {}
        d = min(d, k + 1)    # no bug needs more orderings than there are steps
        power = math.log10(n) + (d - 1) * math.log10(k)
        chance = f"1/{n * k ** (d - 1):,}" if power < 12 else f"1e-{math.ceil(power)}"
        return {"depth": d, "guarantee": f"a bug of depth {d} is found by one schedule with a "
                                         f"probability of at least {chance} ({n} roles, {k} steps)"}
