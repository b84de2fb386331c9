"""Controlled running: the roles of a scenario on real threads, one at a time, in an order that a
chooser decides.

A role runs until it comes to its next *stop*: a request for a lock, a release, a wait, a
`complete`, a look, a `harness.step()`. There it says what it is about to do and asks the chooser,
in its own thread, who goes next; it hands over to that one directly and waits (scheduled_run.py).
So the threads are real and the locks are taken for real, but nothing happens that was not chosen. A
schedule goes on until every role has ended or nobody can be chosen.

The file is long because it says in one place how such a run ends: each way has its own words.
"""

from __future__ import annotations

import re
import threading
import time
from typing import Any

from ..locks.mutex import Mutex
from ..locks.parking import guarded
from ..locks.task import WAIT, Expired, Task, Unwind, current
from ..locks.waitgraph import deadlock_among
from ..runtime import thread_patch
from ..runtime.recorder import all_stacks
from ..runtime.scenario import Scenario
from ..runtime.standstill import Standstill
from ..runtime.verdict import Verdict
from ..runtime.workers import Workers
from .kinds import OF_MUTEX, asks
from .round_words import judged
from .chooser import Chooser
from .controlled_task import ControlledTask
from .scheduled_run import ScheduledRun
from .dependency import COMPLETE, COMPLETE_ALL, LOOK, START, STEP, STEP_UNNAMED
from .stable_ids import Names, after_start_of, start_of

_UNNAMED = re.compile(r"Thread-\d+( \(|$)")    # the name of a thread that was given none


class ControlledRun(ScheduledRun):
    """One schedule of one scenario.

    Attributes:
        cut: whether it was ended before its end: by the chooser, or for its length.
        round: whether it ended where all that can be done was done before in the same state.
        stuck: the roles that could not go on at the end, if it is no clean end.
        deadlocked: those of them that wait for each other.

    Args:
        full: record events with their call chains, as for a report.
        numbered: a thread that nobody named is called by its number, as in a free run; else after
            its parent, which means the same in every schedule.
        together: roles begin together, as in a free run, where one may wait for another outside our
            locks before its first stop; else one after the other.
    """

    def __init__(self, scenario: Scenario, chooser: Chooser, names: Names, timeout: float = 5.0,
                 deadline: float | None = None, full: bool = False, to_the_end: bool = False,
                 numbered: bool = False, together: bool = False) -> None:
        self.stuck: list[ControlledTask] = []
        self.deadlocked: tuple[ControlledTask, ...] = ()
        self.workers: Any = None
        self.round = self._asks_outside = False    # nobody can go on but who is outside
        self._full = self.reported = full
        self._numbered, self._together = numbered, together
        super().__init__(scenario, chooser, names, timeout, deadline, to_the_end)

    def new_task(self, name: str, thread: threading.Thread | None = None) -> ControlledTask:
        key = name
        if thread is not None:    # which the caller, a role, is about to start
            parent: Any = current()
            siblings = sum(task.parent == parent.key for task in self.tasks)
            key = f"{parent.key}/{siblings + 1}"
            while key in self.scenario.roles:
                key += "'"
            if _UNNAMED.match(name) and not self._numbered:
                name = key
        task = ControlledTask(name, self, thread, key, self.names.role(key))
        if thread is not None:
            task.birth, task.parent, task.starter = len(self.steps) - 1, parent.key, parent
            task.turn = self.workers.lend()
        self.by_label[task.label] = task
        return task

    def connect(self) -> None:
        """Events are stops, and are recorded for a report alone: recording costs most of a step."""
        look = tuple([invariants.look for invariants in self.invariants])
        recorder = self.recorder
        asks, waits, has, gives, lacks = (
            (recorder.lock_acquire,), (recorder.lock_contended,), (recorder.lock_acquired,),
            (recorder.lock_release,), (recorder.lock_refused,)) if self._full else ((),) * 5
        self.on_acquire = (*asks, self._at_acquire, *look)
        self.ask_in_turn = None if self._full or look else self._ask_in_turn
        self.on_contended = waits
        self.on_acquired = (*has, *look)
        self.on_release = (self._at_release, *gives, *look)    # when its turn has come, not before
        self.on_refused = lacks
        self.on_start = look
        self.on_thread = self.on_end = self.on_idle = ()

    # -- in the thread that called explore() ------------------------------------------------

    def start_roles(self, workers: Workers) -> None:
        self.workers = workers
        for task, function in zip(self.tasks, self.scenario.roles.values(), strict=True):
            task.turn = workers.assign(self, task, function, task.name if self._full else "")
        begin = [self.unstarted.popleft() for _ in self.tasks[:None if self._together else 1]]
        self.arriving = len(begin) if self._together else 0
        for task in begin:
            task.turn.hand_over()

    @property
    def moves(self) -> int:
        return len(self.steps)

    def saw_operation(self) -> bool:
        for lock in self._lock_numbers:
            if lock not in self.names.points and not isinstance(lock, thread_patch.ThreadEnd):
                return True
        return False

    def is_late(self, now: float) -> bool:
        return super().is_late(now) and not self.findings

    def cut_short(self) -> None:
        self.cut = True
        with guarded:
            if not self.unwinding and self.unfinished:
                self._let_all_go()

    def at_large(self) -> list[Task]:
        # Who stands at a stop may be choosing, or on its way to wait there.
        return [] if self._asks_outside else [task for task in self.tasks if not task.ended]

    def judge_silence(self, looks: Standstill) -> bool:
        if not looks.hangs and not looks.still_runs:
            return False
        self.aside(lambda: self._judge_standstill(looks))
        return self.unwinding

    def _judge_standstill(self, looks: Standstill) -> None:
        """Name the role that does not come back: it waits, or works, outside our locks."""
        stacks = all_stacks(self.tasks)
        verdict, text = self._standstill(looks)    # it looks at locks, which takes the guard, too
        with guarded:
            if not self.unwinding and self.unfinished and self.moves == looks.moves:
                self.show_waits()
                self.stop(self.finding(verdict, "timed out", f"nothing moved for {self.timeout:g} s"
                                       f"{text}{self.who_may_act()}", stacks))

    def _standstill(self, looks: Standstill) -> tuple[Verdict, str]:
        outside = next((task for task in self.tasks if (self.arriving or task is self.last_task)
                        and task.lock is None and not task.ended), None)
        able = [task.name for task in self.tasks if task is not outside and self._is_able(task)]
        if outside is None and not looks.running:
            return Verdict.HANG, " and no cycle explains it"
        text = f", but {looks}" if looks.running or outside is None else \
            f": {outside.name} waits outside our locks"
        if not able:
            return (Verdict.INCONCLUSIVE, text) if looks.running else (
                Verdict.HANG, f"{text} and no other role can go on")
        return Verdict.INCONCLUSIVE, (
            f"{text} while {' and '.join(able)} {'is' if len(able) == 1 else 'are'} held back; "
            f"such waits cannot be explored")

    def _is_able(self, task: ControlledTask) -> bool:
        """Say whether *task* could go on if it were its turn."""
        if task.ended or task.lock is None or isinstance(task.lock, str):
            return not task.ended     # it has not begun yet, or stands at a step
        self.look_again(task)
        return bool(task.kind or task.give_up)

    def show_waits(self) -> None:
        """Let it be seen who waits for what. Called with the guard held, before all are let go."""
        for task in self.tasks:
            if task.lock is not None and not task.kind and not task.ended:
                task.waits_on = task.lock

    # -- in the roles' threads --------------------------------------------------------------

    def begin(self, task: Any) -> None:
        """Begin *task*, whose turn to start has come."""
        self.last_task = task
        if self.unwinding:
            raise Unwind
        if self.names.points:
            self._start_at(task, start_of(task.key))
        for hook in self.on_start:
            hook(task)

    def started(self, task: Any) -> None:
        """Wait until the thread of *task*, just started, stands at its first stop or has ended."""
        starter: Any = current()
        starter.turn.wait()
        self.last_task = starter
        self._start_at(starter, after_start_of(task.key))

    def _start_at(self, task: Any, point: str) -> None:
        """Stop *task* if this start is a point."""
        if point in self.names.points:
            self._pass_point(task, point, START)

    def disown(self, task: Task) -> None:
        """Forget a thread that could not be started."""
        with guarded:
            task.ended = True
            self.unfinished -= 1

    def _go_on(self) -> None:
        if self.unwinding:
            raise Unwind

    def step(self, task: Any, on: str) -> None:
        """Stop *task* at a point of its own."""
        self._pass_point(task, f"step {on}", STEP if on else STEP_UNNAMED)
        if self._full:
            self.recorder.point(task, "step", on)
        self.ask_invariants(task)

    def look(self, task: Any, lock: Any) -> None:
        """Stop *task* before it looks: what it sees depends on who went before."""
        self._pass_point(task, lock, LOOK)
        if self._full:
            self.recorder.point(task, "look", lock)

    def _pass_point(self, task: Any, lock: Any, ask: int) -> None:
        self._go_on()
        self._stop_untimed(task, lock, ask)
        self._go_on()

    def _stop_untimed(self, task: Any, lock: Any, ask: int) -> None:
        task.ask, task.mode, task.timed = ask, WAIT, False
        self.stop_at(task, lock)

    def _at_acquire(self, task: Any, lock: Any, mode: str) -> None:
        if not self._ask_in_turn(task, lock, mode):
            raise Expired

    def _ask_in_turn(self, task: Any, lock: Any, mode: str) -> bool:
        task.ask = (OF_MUTEX if type(lock) is Mutex else asks(lock, mode))[task.trylock]
        task.mode = mode
        self.stop_at(task, lock)
        if self.unwinding:
            raise Unwind
        return not task.expired

    def _at_release(self, task: Any, lock: Any, mode: str) -> None:
        task.ask = (OF_MUTEX if type(lock) is Mutex else asks(lock, mode))[2]
        task.mode, task.timed = mode, False
        self.stop_at(task, lock)
        if task.ask == COMPLETE and not self.unwinding:
            self.completing = lock

    def contended(self, task: Task, again: bool) -> bool:
        """See that a real lock is taken which the account had granted; let *task* go.

        A role waits at its stops, never for a lock. Called with the guard held.
        """
        if not self.unwinding:
            self.stop_for_disagreement(task, task.waits_on, f"the account let {task.name} have it, "
                                                            f"but the real lock is taken")
        return False

    def quiescent(self) -> None:
        """Nothing: roles do not park here, and who cannot go on is seen when one is chosen."""

    # -- the end of roles and of the schedule -----------------------------------------------

    def end(self, task: Any) -> None:
        if task.held:
            self.release_held(task)
        thread_end = thread_patch.end_of(task.thread)
        if thread_end is not None and not self.unwinding:
            self._stop_untimed(task, thread_end, COMPLETE_ALL)
        if len(task.held) != task.due >= 0 and not self.unwinding:
            self.refused(task)
        with guarded:
            task.lock = None
            self.leave_run(task)
            # Nobody hands over to one that has ended: its baton stays free for the next run.
            task.turn.go = False
            last = not self.unfinished
        if last:
            self.name_completion()
            self._done.release()
        elif not self.unwinding or task.starter is not None:
            heir = self.heir_of(task)
            if heir is not None:
                heir.turn.hand_over()

    def nobody(self, goes_round: bool = False) -> bool:
        blocked = self.chooser.came_to_wait([task for task in self.tasks if not task.ended])
        others = goes_round    # a thread outside might have acted since it was looked
        while True:
            with guarded:
                if self.unwinding:    # the timeout has judged
                    return True
                for task in blocked:
                    task.waits_on = None if task.kind else task.lock
                before, others = others, \
                    not deadlock_among(blocked) and self.others_may_act(blocked)
                if not others and not before:
                    self._judge(blocked, goes_round)
                    return True
                for task in blocked:
                    task.waits_on = None
                self._asks_outside = True
            time.sleep(0.001)     # the timeout judges, if it comes to that
            with guarded:
                free = not self.unwinding and (goes_round and self.again.changed() or any(
                    not t.kind and t.lock.is_free_for(t, t.mode) for t in blocked))
            if free:
                self._asks_outside = False
                for task in blocked:
                    self.look_again(task)
                return False

    def _judge(self, blocked: list[ControlledTask], goes_round: bool) -> None:
        """End the run, since none of *blocked* can go on. Called with the guard held."""
        self.stuck = blocked
        for task in blocked:
            if not task.kind:
                self.note_wait(task)
        deadlock = deadlock_among(blocked, not goes_round)
        if not deadlock and self.is_left_waiting():
            self._let_all_go()
        elif deadlock:
            self.deadlocked = tuple([task for task in deadlock.cycle if task.run is self])
            self.stop(self.deadlock(deadlock, "observed"))
        else:
            self.round, self.left = goes_round, goes_round and self.has_left_daemons()
            self.stop(self.finding(*judged(self, blocked, goes_round),
                                   all_stacks(self.tasks) if self._together else ""))
