"""Noise: roles give way to each other before they begin, and wherever a schedule of explore may
switch before something is asked: a request for a lock, a look at one, a `harness.step`.

All threads of a call run on one processor, and a role is done in less time than the interpreter
gives it. Left alone, roles that start together run one after the other all the same, always in the
same order, and nothing happens between two requests of one of them: of 8,000 such runs of five
broken programs one deadlocked. A sleep, however short, lets the others run.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from typing import Any, NamedTuple

from ..locks.task import Task
from ..runtime.observer import Observer


class Manner(NamedTuple):
    """How likely a role that could go on sleeps, or only offers its turn; and for how long it
    sleeps at most, in seconds.
    """

    nap: float
    offer: float
    longest: float


MOMENT = 1e-6    # seconds; the system makes at least some fifty times as much of it
# By turns, so that what one manner never shows another does: all roles in step, and out of step.
MANNERS = (Manner(1.0, 0.0, MOMENT), Manner(0.5, 0.0, 200e-6), Manner(0.5, 0.0, MOMENT),
           Manner(1.0, 0.0, 200e-6))
STRESS = Manner(0.1, 0.3, 200e-6)
OFTEN = 1000    # times that a role is asked, after which it gives way the more seldom the longer it
#                 is: else one of 100,000 operations would sleep for a minute


class Noise(Observer):
    """Make each role give way at random; the same seed makes the same choices.

    It costs nothing as long as there is one thread alone.
    """

    rations = True

    def __init__(self, seed: str, manner: Manner = STRESS) -> None:
        self._seed, self._manner = seed, manner
        self._random: dict[Task, random.Random] = {}
        self._asked: Counter[Task] = Counter()
        self._untold: Counter[Task] = Counter()    # locks taken untold, as far as they are counted
        self._due: Counter[Task] = Counter()       # which time that it is asked it may give way
        self._begun = False

    def attach(self, run: Any) -> None:
        self._run = run

    def hold_back(self, tasks: list[Task]) -> list[Task]:
        if len(tasks) > 1:
            self._begin()
        else:
            tasks[0].enough = sys.maxsize
        return []

    def thread_start(self, task: Task, thread: Task) -> None:
        self._begin()

    def _begin(self) -> None:
        """See that there are two. Called with the guard held."""
        if not self._begun:
            self._begun = True
            for one in self._run.tasks:
                one.enough = 0
            self._run.on_start = (self.give_way, *self._run.on_start)
            self._run.on_acquire = (*self._run.on_acquire, self.give_way)
            self._run.on_pause = (*self._run.on_pause, self.give_way)

    def give_way(self, task: Task, lock: Any = None, mode: str = "") -> None:
        """Sleep, or offer the turn, or go on."""
        rng = self._random.get(task)
        if rng is None:
            rng = self._random[task] = random.Random(
                f"{self._seed}/{task.name}".encode("utf-8", "surrogatepass"))
        self._asked[task] = asked = self._asked[task] + 1 + task.untold - self._untold[task]
        self._untold[task] = task.untold
        if asked >= self._due[task]:
            self._due[task] = asked + 1
            if asked > OFTEN:
                self._due[task] += int(2 * (asked / OFTEN - 1) * rng.random())
            dice, manner = rng.random(), self._manner
            if dice < manner.nap:
                time.sleep(MOMENT + rng.random() * manner.longest)
            elif dice < manner.nap + manner.offer:
                time.sleep(0)
        task.enough = task.untold + self._due[task] - asked - 1    # it need not tell of these
