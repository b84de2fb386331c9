"""Time limits in a free run: a choice, not a clock.

Where every role waits, and one of them with a limit, nothing but a limit can change anything: the
one that ends first runs out then, at once, though it were an hour. Where a role computes or sleeps,
or a thread outside may act, the clock goes on.

In one state of all roles (state.py) a limit runs out once: if it came back to that state nothing
will ever change. What state they are in may not be known: then a limit is left to the clock after
it ran out some times. It is left to the clock at once where who waits looks at one, as in ``while
time.monotonic() < end: done.wait(0.1)``, and may blame the wait for having been too short.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import FrameType
from typing import Any

from ..locks.calls import calls_of
from ..locks.callsite import frames_of_threads
from ..locks.task import Task
from .state import State
from .thing_kinds import names_in
from .waiting_frames import frames_of_role

MOST_TIMES = 100       # that a limit runs out at one place by choice, in states that are not known
MOST_THINGS = 500_000  # in all states that are taken in one run: seconds
MOST_TOGETHER = 3      # times that all run out together, where none changes anything alone
_UNKNOWN = 3           # times that no state was known at a place, after which none is taken there
_UNKNOWN_THINGS = 1000     # that one which is not known counts for
_CLOCKS = {"monotonic", "perf_counter", "monotonic_ns", "perf_counter_ns", "time_ns", "now"}


class Limits:
    """The limits of one run.

    Args:
        state: takes the state of all roles.

    Attributes:
        repeats: whose limits ran out in this very state before.
        clock: whose limits only the clock ends.
    """

    def __init__(self, state: Callable[[], State]) -> None:
        self.repeats: list[Task] = []
        self.clock: list[Task] = []
        self._take_state, self._things = state, 0
        self._state: Hashable | None = None    # the one now, () if it was not taken
        self._times: Counter[Any] = Counter()    # by place, or by state
        self._unknown: Counter[Any] = Counter()
        self._together = 0
        # Of the last that ran out: whose it was and in which state, and where the others waited.
        self._last: Any = None
        self._others: list[tuple[Task, Any]] = []

    def next(self, waiting: Sequence[Task], held: bool) -> list[Task]:
        """Return the tasks whose limits run out now, of those that wait; none if no choice is left.

        Called with the guard held, when nobody goes on by himself.

        Args:
            held: somebody holds roles back, and sees to it that this has an end.
        """
        limited = sorted((task for task in waiting if task.timed), key=lambda task: task.until)
        self.repeats, self.clock, self._state = [], [], ()
        self._forget_a_race()
        if not held:
            frames = frames_of_threads()
            self.clock = [task for task in limited if _looks_at_a_clock(task, frames)]
            if self.clock:
                return []
        for task in limited:
            if held or self._may_run_out(task):
                passed = max(0.0, task.until - time.monotonic())
                for other in limited:
                    other.until -= passed
                self._others = [(other, other.chain) for other in waiting if other is not task]
                return [task]
        if len(self.repeats) == len(limited) > 1 and self._together < MOST_TOGETHER:
            self._together += 1
            return limited    # what none of them changes alone, they might together
        return []

    def _forget_a_race(self) -> None:
        """See whether others went on, too, since the last limit ran out: another time they might
        do so in another order, and get elsewhere.
        """
        if self._last is not None and any(task.chain is not chain for task, chain in self._others):
            del self._times[self._last]
        self._last = None

    def _may_run_out(self, task: Task) -> bool:
        place = task, task.waits_on, *calls_of(task.chain)
        self._times[place] += 1
        if self._times[place] == 1:
            return True    # it was in no state here before
        known = self._known_state(place)
        if known is None and self._times[place] > MOST_TIMES:
            self.clock.append(task)
            return False
        if known is not None:
            if (task, known) in self._times:
                self.repeats.append(task)
                return False
            self._last = task, known
            self._times[self._last] = 1
        return True

    def _known_state(self, place: Hashable) -> Hashable | None:
        """Return the state now, taken once for all limits; None if it is not known."""
        if self._state == () and self._unknown[place] < _UNKNOWN and self._things < MOST_THINGS:
            state = self._take_state()
            self._things += len(state.things) or _UNKNOWN_THINGS
            self._state = None if state.why_not else state.value
            self._unknown[place] += self._state is None
        return self._state or None


def _looks_at_a_clock(task: Task, frames: Mapping[int, FrameType]) -> bool:
    """Say whether a function in which *task* waits names a clock."""
    ident = task.thread.ident if task.thread is not None else None
    for frame, _ in frames_of_role(frames.get(ident or 0)):
        used, attributes, _ = names_in(frame.f_code)
        if "time" in attributes or not _CLOCKS.isdisjoint(used + attributes):
            return True
    return False
