"""What may not be done again in a schedule, since it was done in the same state before.

A limit may not run out twice in one state (runtime/state.py): what could come of it the second time
can come of it the first time, in a schedule that is shorter. So the schedules that leave it out
stand for those that have it, and a loop that waits for a while at a time has an end. The same holds
of any other step. To know the state after each costs too much, so other steps are looked at
(`every`) only where a schedule was seen to go round by such steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Any

from ..runtime.state import State, codes_of

FIRST_LOOK = 500    # steps of a schedule after which it is looked whether it goes round
LOOKS = 60          # steps in which it must come back to a state then
_OFTEN = 4          # times that a step was among the last ones, if it goes round

_NOT_YET = object()


class Again:
    """What was done in which state, in one schedule of *run*.

    Attributes:
        every: all steps are looked at; else those by which a limit runs out.
        look_at: how long the schedule must be for the next look.
        states: that before each step, if the chooser `watches`.
        others_acted: a thread outside the run changed what roles look at.
    """

    def __init__(self, run: Any, chooser: Any) -> None:
        self._run, self._chooser = run, chooser
        self.every: bool = (chooser.every or run.names.every) and not chooser.own_rule
        self.others_acted = False
        self.states: list[State] = []
        self.look_at = FIRST_LOOK
        self._began = -1       # the length at which a look began, if one is under way
        self._taken: set[tuple[int, Hashable]] = set()
        self._rough: set[tuple[int, Hashable]] = set()    # the same, of states as told at a glance
        self._at = -1
        self._value: Hashable = None
        self._codes: Any = _NOT_YET

    def watch(self) -> None:
        """Keep the state before the next step."""
        if len(self.states) == len(self._run.steps):
            self.states.append(self._now())

    def open(self, moves: list[int]) -> list[int]:
        """Return those of *moves* that are not spent."""
        rough = self._at_a_glance()
        spent = [label for label in moves if (label & 1 or self.every)
                 and (label, rough) in self._rough and (label, self.state()) in self._taken]
        if spent and self._began >= 0:
            self._run.goes_round, self._began = True, -1
        if not spent or self._chooser.repeats:
            return moves
        return [label for label in moves if label not in spent]

    def took(self, label: int) -> None:
        """Take note of a step that is about to be taken."""
        if len(self._run.steps) >= self._chooser.since and (
                self._began >= 0 or not self._chooser.own_rule):
            self._taken.add((label, self.state()))
            self._rough.add((label, self._at_a_glance()))

    def look(self) -> None:
        """Begin to look whether the schedule, which has come to `look_at`, goes round; or end it.
        """
        length = len(self._run.steps)
        if self._began >= 0:
            self.every, self.look_at = False, 2 * self._began
            self._chooser.saw_an_end(self._began)
            self._began = -1
        elif length <= self._chooser.looked or self.every or not self._repeats():
            self.look_at = 2 * length
        else:
            self.every, self.look_at, self._began = True, length + LOOKS, length

    def _repeats(self) -> bool:
        """Say whether some step is taken again and again."""
        last = Counter([step[:3] for step in self._run.steps[-LOOKS:]])
        return max(last.values()) >= _OFTEN

    def _at_a_glance(self) -> Hashable:
        """Return what is equal in equal states, and costs little."""
        return tuple([(task.lock_number, task.ask, task.queued, len(task.held))
                      for task in self._run.tasks if not task.ended])

    def state(self) -> Hashable:
        """Return the state before the next step."""
        if self._at != len(self._run.steps):
            self._at, self._value = len(self._run.steps), self._now().value
        return self._value

    def changed(self) -> bool:
        """Say whether the state is known to be another by now: a thread outside the run has acted.
        """
        before = self.states[-1].value if self._chooser.watches else self.state()
        self._at, self._value = len(self._run.steps), self._now().value
        changed = type(before) is type(self._value) is tuple and before != self._value
        self.others_acted = self.others_acted or changed
        return changed

    def _now(self) -> State:
        scenario = self._run.scenario    # what it asks at the end may tell states apart, too
        asks = scenario.check, *scenario.invariants.values()
        if self._codes is _NOT_YET:    # of all: one that has ended here may elsewhere have not
            self._codes = codes_of((*asks, *scenario.roles.values()))
        return State(self._run.tasks, asks, codes=self._codes)
