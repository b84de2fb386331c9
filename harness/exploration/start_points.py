"""Starts as points of a schedule: where what comes before a first operation is shared.

A role runs from its start to its first stop in one piece, and so does one that starts a thread from
there to its next stop. Such a stretch is no step of its own, unless it touches what another role's
stretches write, or writes what they touch: then the start is a point like any other, and its step
depends on the steps of the other role: on each behind which that was seen to touch the same, and on
each that was not seen. Which starts are points is found out by tracing the first schedule
(tracing.py).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ..runtime import thread_patch
from ..runtime.standstill import Standstill
from .controlled_run import ControlledRun
from .controlled_task import ControlledTask
from .scheduled_run import TimeUp
from .dependency import START
from .stable_ids import Names, after_start_of, start_of
from .stretches import Stretches, Touch, Touches, conflicts, writes
from .tracing import Outside, Tracing
from .untaken import add_untaken

MOST_SHOWN = 3    # shared things of one pair that are named
PATIENCE = 1.0     # seconds without a step after which a schedule is traced no further


@dataclass
class StartPoints:
    """Which starts are points.

    Attributes:
        known: a schedule was traced.
        depends: what `Names.start_at` takes.
        shared: what roles share before a first operation, in words.
        keys: of the roles, and threads of theirs, that were traced.
        outside: what the roles of the traced schedule used beside our locks.
    """

    known: bool = False
    depends: dict[str, dict[str, frozenset[tuple[int, int]]]] = field(default_factory=dict)
    shared: list[str] = field(default_factory=list)
    outside: list[Outside] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)

    def merged(self, other: StartPoints) -> StartPoints:
        """Return what both say, of two schedules."""
        depends = {point: dict(roles) for point, roles in self.depends.items()}
        for point, roles in other.depends.items():
            for key, apart in roles.items():
                known = depends.setdefault(point, {})
                known[key] = apart & known.get(key, apart)
        return StartPoints(
            True, depends, [*dict.fromkeys(self.shared + other.shared)],
            [*dict.fromkeys(self.outside + other.outside)], self.keys | other.keys)

    @classmethod
    def of(cls, run: TracedRun) -> StartPoints:
        """Return what *run* shows.

        Raises:
            TimeUp: the deadline of the run was met meanwhile.
        """
        starts = cls(known=True, keys={task.key for task in run.tasks})
        if run.scenario.program is None:    # else its roles are ours, and do nothing else
            starts.outside = [*run.tracer.outside.values()]
            for stretches in run.tracer.of.values():
                add_untaken(stretches, run.tracer)
            starts._find(run)
        return starts

    def _find(self, run: TracedRun) -> None:
        of, names = run.tracer.of, run.names
        # Of many roles there are many pairs: most have nothing that one of both writes.
        writers = [key for key, stretches in of.items() if writes(stretches.all)]
        for key, stretches in of.items():
            if run.is_late(time.monotonic()):    # each is compared with each
                raise TimeUp
            self._add(of, names, start_of(key), key, stretches.first,
                      [other for other in (of if writes(stretches.first) else writers)
                       if key not in _line(of, other)])
            for child, after in stretches.after.items():
                self._add(of, names, after_start_of(child), key, after,
                          [other for other in (of if writes(after) else writers)
                           if child in _line(of, other)])

    def _add(self, of: Mapping[str, Stretches], names: Names, point: str, key: str, ours: Touches,
             others: Iterable[str]) -> None:
        """Make *point* one if *ours*, of *key*, conflicts with what one of *others* touched."""
        depends: dict[str, frozenset[tuple[int, int]]] = {}
        for other in others:
            theirs = of[other]
            heirs = [child for child in _line(of, key) if child in theirs.since]
            # What came before it was started is in order with it.
            shared = list(conflicts(ours, theirs.since[heirs[0]] if heirs else theirs.all))
            if shared:
                depends[other] = frozenset(
                    operation for operation, touches in _operations(theirs, names)
                    if not any(conflicts(ours, touches)))
                self.shared.append(_in_words(key, other, point, shared))
        if depends:
            self.depends[point] = depends


def _operations(stretches: Stretches, names: Names) -> Iterator[tuple[tuple[int, int], Touches]]:
    """Yield each operation that a role was seen to do, with what it touched behind it."""
    yield from stretches.behind.items()
    yield (names.lock(start_of(stretches.key)), START), stretches.first
    for child, after in stretches.after.items():
        yield (names.lock(after_start_of(child)), START), after


class TracedRun(Tracing, ControlledRun):
    """A schedule of which it is found out what the stretches between its steps touch."""

    @cached_property
    def starts(self) -> StartPoints:
        """Which starts are points, by what was traced."""
        return StartPoints.of(self)

    _gave_up = False    # it goes on without a trace

    @property
    def moves(self) -> int:
        return len(self.steps) + self._gave_up

    def judge_silence(self, looks: Standstill) -> bool:
        """Judge as ever who waits; of one who runs the trace, which is slow, may be the cause."""
        if not looks.still_runs or self._gave_up:
            return super().judge_silence(looks)
        if looks.silence >= PATIENCE:
            self._gave_up = True
            self.tracer.give_up()
        return False

    def started(self, task: Any) -> None:
        super().started(task)
        if task.parent in self.tracer.of:
            self.tracer.of[task.parent].start(task.key)

    def stop_at(self, task: ControlledTask, lock: Any) -> None:
        stretches = self.tracer.of.get(task.key)
        if stretches is not None:
            stretches.stop()
        trace = self.tracer.rest(task.key)
        try:
            super().stop_at(task, lock)
        finally:
            if trace is not None:
                sys.settrace(trace)
        if stretches is not None:
            stretches.go_on((task.lock_number, task.ask))
        if stretches is not None and isinstance(lock, thread_patch.ThreadEnd) \
                and lock.task.ended and lock.task is not task:
            stretches.join(getattr(lock.task, "key", ""))


def _line(of: Mapping[str, Stretches], key: str) -> Iterator[str]:
    """Yield *key*, who started it, who started that one, ..."""
    while key in of:
        yield key
        key = of[key].parent


def _in_words(key: str, other: str, point: str, shared: list[Touch]) -> str:
    names = ", ".join(map(str, shared[:MOST_SHOWN])) + (", ..." if shared[MOST_SHOWN:] else "")
    what = "before its first operation" if point == start_of(key) else \
        f"after it starts {point.removeprefix(after_start_of(''))}"
    which = "Its start" if point == start_of(key) else "That"
    return f"Outside locks, {key} and {other} share {names}, which {key} uses {what}. {which} " \
           f"was tried before and after each step of {other} that may matter to it."
