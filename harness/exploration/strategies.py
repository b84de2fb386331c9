"""Ways through the schedules of a scenario: what to choose at each stop, and what to try next.

A strategy is a chooser (controlled_run.py) that lives through many schedules: `begin` before each,
`advance` after it. Those here know nothing of locks: they see moves, numbers that stand for a role
that can take its next step. The one that looks at what steps do is in dpor.py.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..runtime.verdict import counted
from .controlled_run import ControlledRun
from .dependency import NAMES
from .controlled_task import ControlledTask
from .stable_ids import Names, Taken


class Strategy:
    """Chooses, schedule after schedule.

    Attributes:
        complete: whether every schedule (or one of each class) was tried once `advance` is False.
        bound: what keeps it from being complete, in words.
        drawn: it draws schedules, and never says that they are all.
        changed: how a role behaved differently under the same schedule, or "".
        restarted: whether the last `advance` forgot all schedules before, to begin anew.
        hopeless: why another strategy must be taken, or "".
        repeats, own_rule, watches, every, looked, since: see `Chooser`.
    """

    name = ""
    own_rule = watches = every = False
    looked = since = 0
    complete = False
    bound, drawn = "", False
    changed = hopeless = ""
    restarted = False

    def begin(self) -> None:
        """Prepare for the next schedule."""

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        """Return one of *moves*, or -1 to end the schedule."""
        raise NotImplementedError

    @property
    def repeats(self) -> bool:
        """See `Chooser`."""
        return self.own_rule

    def saw_an_end(self, length: int) -> None:
        """Take note that a schedule of this length does not go round."""
        self.looked = max(self.looked, length)

    def came_to_wait(self, blocked: list[ControlledTask]) -> list[ControlledTask]:
        """Return tasks that can never go on, in the order in which they came to wait."""
        return sorted(blocked, key=lambda task: task.since)

    def advance(self, run: ControlledRun) -> bool:
        """Take note of a schedule that ended; return whether there is another."""
        return True

    def tried(self) -> Iterable[tuple[int, int]]:
        """Yield for each step of the path how many moves have been tried, and of how many."""
        return ()

    def fraction(self) -> float:
        """Return what part of the schedules has been tried, as a guess; 0 if there is none."""
        done, share = 0.0, 1.0
        for tried, total in self.tried():
            share /= total
            done += share * tried
        return done

    def summary(self) -> dict[str, Any]:
        """Return what the coverage says of it."""
        return {}


def ahead(run: ControlledRun, moves: list[int]) -> list[int]:
    """Return *moves*, with the role that went last first."""
    last = run.steps[-1].label if run.steps else -1
    return [last, *(move for move in moves if move != last)] if last in moves else moves


def first_difference(names: Names, before: list[Taken], after: list[Taken]) -> str:
    """Say where two runs of one schedule differ first, or "" if they do not."""
    for number, (step, now) in enumerate(zip(before, after, strict=False), 1):
        if step != now:
            return f"step {number} was {_in_words(names, step)} and is now {_in_words(names, now)}"
    if len(before) != len(after):
        return f"it had {len(before)} steps and now has {len(after)}"
    return ""


def _in_words(names: Names, step: Taken) -> str:
    return f"{names.roles[step.label >> 1]}'s {NAMES[step.kind]} {names.shown[step.lock]}".rstrip()


@dataclass(slots=True)
class _Point:
    """Where a step is chosen: the moves, the same in the order of trying, and which is tried."""

    moves: list[int]
    options: list[int]
    index: int = 0


class DepthFirst(Strategy):
    """Every schedule, depth first.

    Args:
        prefix: the steps with which all of them begin, by label.
    """

    name = "dfs"
    complete = True

    def __init__(self, prefix: Sequence[int] = ()) -> None:
        self._path = [_Point([], [label]) for label in prefix]
        self.since = len(prefix)

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        depth = len(run.steps)
        if depth < self.since:
            return self._path[depth].options[0]
        if depth == len(self._path):
            self._path.append(_Point(moves, self._options(run, moves)))
        point = self._path[depth]
        if moves != point.moves:
            roles = run.names.roles
            before, now = (" or ".join(dict.fromkeys(roles[label >> 1] for label in labels))
                           for labels in (point.moves, moves))
            self.changed = f"at step {depth + 1} {before} could go on before, and now {now}"
            return -1
        return point.options[point.index]

    def _options(self, run: ControlledRun, moves: list[int]) -> list[int]:
        """Return which of *moves* to try, in order."""
        return ahead(run, moves)

    def advance(self, run: ControlledRun) -> bool:
        self.restarted = False
        if self.changed:
            return False
        path = self._path
        if run.goes_round and not self.every:
            self.every = self.restarted = run.names.every = True
            del path[self.since:]
            return True
        del path[len(run.steps):]
        while path and path[-1].index + 1 == len(path[-1].options):
            path.pop()
        if path:
            path[-1].index += 1
        return bool(path)

    def tried(self) -> Iterable[tuple[int, int]]:
        return ((point.index, len(point.options)) for point in self._path)


class PreemptionBounded(DepthFirst):
    """Every schedule in which at most *preemptions* times a role that could go on has to wait."""

    name = "bounded"

    def __init__(self, preemptions: int) -> None:
        super().__init__()
        self._most = preemptions
        self._used: list[int] = []    # how many there were before each step of the path

    def _options(self, run: ControlledRun, moves: list[int]) -> list[int]:
        depth, options, used = len(run.steps), ahead(run, moves), 0
        last = run.steps[-1].label if depth else -1
        if depth > 1:
            before = run.steps[-2].label
            preempted = before != last and before in self._path[-1].moves
            used = self._used[depth - 1] + preempted
        self._used[depth:] = [used]
        if used < self._most or options[0] != last:
            return options
        if len(options) > 1:
            many = counted(self._most, "preemption")
            self.complete, self.bound = False, f"schedules with more than {many} were left out"
        return options[:1]


class Random(Strategy):
    """At each stop any move, each as likely as the others."""

    name = "random"
    bound, drawn = "schedules are drawn at random", True

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed).random

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        return moves[int(self._draw() * len(moves))] if len(moves) > 1 else moves[0]


class PCT(Strategy):
    """Probabilistic concurrency testing (Burckhardt and others, ASPLOS 2010).

    Each role has a priority, drawn anew for each schedule; the highest that can go on goes. At
    *depth* - 1 steps, drawn as well, the one that goes falls below all others.
    """

    name = "pct"
    bound, drawn = "schedules are drawn at random", True

    def __init__(self, seed: int, depth: int) -> None:
        self._random = random.Random(seed)
        self._bug_depth = depth
        self._longest = self._most_roles = 0

    def begin(self) -> None:
        self._priority: dict[int, float] = {}
        steps = range(max(self._longest, 1))
        self._falls = set(self._random.sample(steps, min(self._bug_depth - 1, len(steps))))

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        priority = self._priority
        priority |= {move: self._random.random() for move in moves if move not in priority}
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
