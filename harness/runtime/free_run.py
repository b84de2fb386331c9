"""A free run: roles start together, race, and end together.

Its account of who runs (`running`) falls to zero exactly when nobody can go on by himself; that,
and a thread that begins to wait, are the two moments at which it looks for a deadlock. After a
verdict every role that waits is let go with `Unwind`, its locks are released on the way out, and
`play` returns when the last has ended.

The file is long because it says in one place how such a run ends: each way has its own words.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

from ..locks.callsite import caller_at
from ..locks.parking import guarded, pause, unpark
from ..locks.task import Task, Unwind
from ..locks.waitgraph import deadlock_among, deadlock_from
from .enders import Enders
from .endless import LOOKED_AT, Endless, goes_on
from .limits import Limits
from .observer import Observer, overridden, spares_all
from .played_run import PlayedRun
from .recorder import all_stacks, place
from .run import unwind
from .scenario import Scenario
from .standstill import Standstill
from .state import State
from .thread_patch import is_idle_worker
from .verdict import Finding, Verdict, for_ever
from .workers import Workers

MANY = 1 << 29       # more operations than any run has
MOST_ROUNDS = 100    # states that are remembered of one who goes on alone


class FreeRun(PlayedRun):
    """One run in which roles race.

    Args:
        detect: "block" looks for a cycle when a thread begins to wait; "timeout" lets the threads
            hang and judges when nothing has moved for *timeout* seconds.
        patience: the part of the bounds in endless.py that holds.
        enders: who was seen to end waits in earlier runs.

    Attributes:
        endless: those bounds.
        rationed: somebody sees to it how much a task does untold.
    """

    def __init__(self, scenario: Scenario, observers: Iterable[Observer], detect: str = "block",
                 timeout: float = 5.0, deadline: float | None = None,
                 patience: float = 1.0, enders: Enders | None = None) -> None:
        self.detect, self._enders = detect, enders
        self.endless = Endless(timeout, patience)
        self._limits: Limits | None = None    # as long as nobody needs them
        self._rounds: set[Hashable] | None = None    # states of one who goes on alone, likewise
        observers = list(observers)
        self.rationed = any([observer.rations for observer in observers])
        super().__init__(scenario, observers, timeout, deadline)
        self._starting = len(self.tasks)
        self.on_pause: tuple[Callable[[Task], None], ...] = ()   # where it may be another's turn
        self._hold_back = overridden(self.observers, "hold_back")
        self._on_standstill = overridden(self.observers, "standstill")

    def enders(self, lock: Any) -> list[Task]:
        if not self._enders:
            return []
        still = self._enders.still(str(lock), self._ended_waits(str(lock)))
        return [task for task in self.tasks if task.name in still and not task.ended]

    def why_nobody(self, lock: Any) -> str:
        return self._enders.why_nobody(
            str(lock), self._ended_waits(str(lock)),
            [task.name for task in self.tasks if task.ended]) if self._enders else ""

    def _ended_waits(self, name: str) -> list[str]:
        return [who for what, who in self.recorder.ends_of_waits() if what == name]

    def connect(self) -> None:
        super().connect()
        self.in_turns = self.orders
        if spares_all(self.observers):
            self.noting, self.recorder.is_short = self.recorder.notes.append, True
            self.note = None if self.in_turns else self.noting

    def new_task(self, name: str, thread: threading.Thread | None = None) -> Task:
        task = super().new_task(name, thread)
        task.enough = 0 if self.rationed else MANY
        return task

    # -- in the thread that called run() ---------------------------------------------------

    def start_roles(self, workers: Workers) -> None:
        # Not strict: a role that has begun may have started threads, which are tasks too.
        for task, function in zip(self.tasks, self.scenario.roles.values(), strict=False):
            workers.assign(self, task, function, task.name).hand_over()

    @property
    def moves(self) -> int:
        return self.recorder.moves(self.tasks)

    def cut_short(self) -> None:
        self._judge(Verdict.INCONCLUSIVE, "the time given was up while roles still ran")

    def at_large(self) -> list[Task]:
        return [task for task in self.tasks if not task.ended and (not task.parked or task.timed)]

    def judge_silence(self, looks: Standstill) -> bool:
        too_long = self.endless.look(time.monotonic(), looks.slice, self.recorder.latest(LOOKED_AT),
                                      self.moves)
        if too_long:
            self.aside(lambda: self._judge(Verdict.INCONCLUSIVE, self._goes_on(too_long)))
            return self.unwinding
        if self.endless.nothing_new and self._rounds is None and self.running == 1:
            self.aside(self._look_for_rounds)
        if looks.silence <= looks.slice:    # a look that came late is one slice
            return False
        left = [task for task in self.tasks if not task.ended]
        if not looks.running and all(is_idle_worker(task.thread) for task in left):
            names = " and ".join(task.name for task in left)
            text = f"roles have ended; {names} of a pool that is not shut down may get more work"
            self.aside(lambda: self._judge(Verdict.INCONCLUSIVE, text, looks.moves))
            return self.unwinding
        self.silent = True
        if looks.silence < self.timeout:
            self.aside(lambda: self._ask_to_let_go(self._on_standstill))
            return False
        if not looks.hangs and not looks.still_runs:
            return False
        if self.aside(lambda: self._ask_to_let_go(self.on_idle)):   # who is held may be the cause
            looks.begin_again()
            return False
        verdict, text = (Verdict.INCONCLUSIVE, f", but {looks}") if looks.running else (
            Verdict.HANG, " and no cycle explains it")
        self.aside(lambda: self._judge(verdict, f"nothing moved for {self.timeout:g} s{text}",
                                  looks.moves))
        return self.unwinding

    def _goes_on(self, why: str) -> str:
        """Say who goes on, and who does no more, where a bound was met."""
        return f"{goes_on(self.scenario.roles, self.tasks)}, {why}"

    def _ask_to_let_go(self, hooks: tuple[Any, ...]) -> bool:
        """Call *hooks* of observers that hold roles back; say whether one let a role go."""
        with guarded:
            let_go = not self.unwinding and any([self.tell((hook,)) for hook in hooks])
        return let_go

    def _judge(self, verdict: Verdict, text: str, moves: int = -1) -> None:
        """End the run: with the deadlock there is, else with *verdict*; not if there were more than
        so many *moves* since.
        """
        stacks = all_stacks(self.tasks)
        with guarded:
            if not self.unwinding and self.unfinished and moves in (-1, self.moves):
                waiting, may_act = self._waiting_for_ever(), self.who_may_act()
                deadlock = deadlock_among(self.tasks, bool(waiting) and not may_act)
                if waiting and not may_act and verdict is Verdict.INCONCLUSIVE:
                    # Time would change nothing.
                    verdict, text = Verdict.HANG, for_ever(len(waiting))
                self.stop(self.deadlock(deadlock, "timed out", stacks) if deadlock
                          else self.finding(verdict, "timed out", f"{text}{may_act}", stacks))

    # -- in the roles' threads -------------------------------------------------------------

    def begin(self, task: Task) -> None:
        if self._starting:    # else it is a thread that a role started
            self._start_together(task)
        super().begin(task)

    def _start_together(self, task: Task) -> None:
        """Wait at the start barrier; the last to arrive opens it, in the order of the roles."""
        with guarded:
            self._starting -= 1
            if self._starting:
                pause(task)
            else:
                held_back = [held for hook in self._hold_back
                             for held in self.tell((hook,), self.tasks) or ()]
                for other in self.tasks:
                    if other not in held_back:
                        unpark(other)
                if task in held_back:
                    pause(task)

    def step(self, task: Task, on: str) -> None:
        self.looked = True
        self.ask_invariants(task)
        for hook in self.on_pause:
            hook(task)
        self.recorder.point(task, "step", on)

    def look(self, task: Task, lock: Any) -> None:
        self.looked = True
        for hook in self.on_pause:
            hook(task)
        self.recorder.point(task, "look", lock)

    def disown(self, task: Task) -> None:
        self.end(task)

    def contended(self, task: Task, again: bool) -> bool:
        if self.unwinding:
            return False
        if not again:
            self.tell(self.on_contended, task, task.waits_on, task.mode)
            if self.unwinding:
                return False
        if self.detect == "block":    # one in a timed wait blocks itself for a while only
            deadlock = deadlock_from(task)
            if deadlock:
                self.stop(self.deadlock(deadlock, "observed"))
                return False
        return True

    def quiescent(self) -> None:
        """Judge, or let someone go on: no role can go on by itself. Called with the guard held."""
        if self.unwinding or not self.unfinished:
            return
        if any(self.tell((hook,)) for hook in self.on_idle) or self.unwinding:
            return
        if self.timed:
            self._let_a_limit_run_out()
            return
        waiting = self._waiting_for_ever()
        if waiting is None or self.detect == "timeout":
            return
        others = self.others_may_act(waiting)
        deadlock = deadlock_among(waiting, not others)
        if not deadlock and others:
            return   # what is outside the run may still let us go on: the timeout judges
        if not deadlock and self.is_left_waiting():
            self._let_all_go()
            return
        self.stop(self.deadlock(deadlock, "observed") if deadlock
                  else self.finding(Verdict.HANG, "observed", for_ever(len(waiting)),
                                    all_stacks(self.tasks)))

    def _let_a_limit_run_out(self) -> None:
        """Let time pass, as nobody goes on by himself. Called with the guard held."""
        waiting = [task for task in self.tasks if task.waits_on is not None]
        if self.outsiders.may_act(self, waiting):
            return   # the clock decides
        if self._limits is None:
            self._limits = Limits(lambda: State(self.tasks))
        over = self._limits.next(waiting, any(task.paused for task in self.tasks))
        # What a signal handler may tell, it may tell as late as it likes.
        others = not over and self.others_may_act(waiting)
        self.endless.limits = not over and (others or bool(self._limits.clock))
        if over:
            for task in over:
                unpark(task)
        elif self.is_left_waiting():
            self._let_all_go()
        elif not self._limits.clock and not others:
            one = self._limits.repeats[0]
            self.stop(self.finding(Verdict.HANG, "observed", (
                f"{one.name} waits for {one.waits_on} at {place(one.chain)}; its time limit runs "
                f"out again and again, and nothing changes"), all_stacks(self.tasks)))

    def _go_on_without_roles(self) -> None:
        """Count what daemon threads do, from now on. Called with the guard held."""
        self.endless.left = True
        self.tell_of_all()
        self.on_acquire = (*self.on_acquire, self._count)
        self.on_pause = (*self.on_pause, self._count)

    def _count(self, task: Task, lock: Any = None, mode: str = "") -> None:
        """See a thread go on that is left; end the run if that goes on for ever."""
        too_many = self.endless.too_many(task, lock)
        if too_many:
            with guarded:
                if not self.unwinding:
                    self.stop(self.finding(Verdict.INCONCLUSIVE, "observed",
                                           self._goes_on(too_many)))
            raise Unwind

    def _look_for_rounds(self) -> None:
        """Look, from now on, whether the one who goes on comes back to where all were before."""
        with guarded:
            if not self.unwinding:
                self._rounds = set()
                self.tell_of_all()
                self.on_acquire = (*self.on_acquire, self._come_round)
                self.on_pause = (*self.on_pause, self._come_round)

    def _come_round(self, task: Task, lock: Any = None, mode: str = "") -> None:
        """End the run if *task* goes on alone and all were in this very state before."""
        rounds = self._rounds
        if rounds is None or len(rounds) >= MOST_ROUNDS:
            return
        with guarded:
            if self.unwinding or not self._goes_on_alone():
                return
            state = State(self.tasks).value
            if state not in rounds:
                rounds.add(state)
                return
            what = "goes on" if lock is None else f"asks for {lock}"
            where = caller_at(sys._getframe(1), of_the_user=True)
            self.stop(self.finding(Verdict.HANG, "observed", (
                f"{task.name} {what} again and again at {where}, and nothing changes"),
                all_stacks(self.tasks)))
        raise Unwind

    def _goes_on_alone(self) -> bool:
        """Say whether one task goes on, and no other does or will. Called with the guard held."""
        return self.running == 1 and not self.timed and not self.endless.left \
            and not any([task.paused for task in self.tasks]) \
            and not self.others_may_act(self.tasks)

    def _waiting_for_ever(self) -> list[Task] | None:
        """Return who waits, or None if one goes on by itself. Called with the guard held."""
        return None if self.running else [task for task in self.tasks
                                          if task.waits_on is not None]

    def end(self, task: Task) -> None:
        if task.held:
            self.release_held(task)
        with guarded:
            self.leave_run(task)
            if not self.unfinished:
                self._done.release()
                return
            if len(self.tasks) > len(self.scenario.roles) and not self.unwinding \
                    and self.has_left_daemons():
                self._go_on_without_roles()
            if self.running <= self.timed:
                self.quiescent()

    def stop(self, finding: Finding) -> None:
        """Keep *finding* and let every role go. Called with the guard held."""
        self.findings.append(finding)
        self._let_all_go()

    def _let_all_go(self) -> None:
        """Unwind every thread of the run. Called with the guard held."""
        self.unwinding = True
        self.tell_of_all()
        self.on_acquire = self.on_acquired = (unwind,)
        self.on_contended = self.on_release = self.on_start = self.on_idle = ()
        self.on_pause = (unwind,)
        for task in self.tasks:
            unpark(task)
