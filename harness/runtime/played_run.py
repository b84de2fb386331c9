"""A run whose roles are performed by workers, from their start to the outcome.

The file is long because each way in which such a run may end, by our own fault too, is here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from functools import cached_property, partial
from typing import Any

from ..locks import raw
from ..locks.away import Call, InPlaceOf, give_up
from ..locks.calls import call_role
from ..locks.callsite import (frames_of_threads, is_a, pass_signal, place_of, raised,
                              user_traceback)
from ..locks.errors import LockTaken
from ..locks.node import OUTSIDE
from ..locks.outsiders import handlers
from ..locks.parking import guarded, recover
from ..locks.task import Maker, Task, Unwind, this_thread
from ..locks.user_code import call_at_rest
from . import collector
from .asking import Invariants, ask, failure, words_of_work
from .observer import Observer
from .process_state import aside
from .guard_watch import GuardWatch
from .recorder import all_stacks
from .run import Run
from .scenario import Scenario
from .solo_run import Unfinished
from .standstill import Reading, Standstill, readings
from .verdict import Finding, Outcome, Verdict
from .watcher import alone
from .workers import GRACE, Workers

_AS_IT_IS = nullcontext()
THE_CHECK, A_FINALIZER = "the check at the end", "a finalizer"


class PlayedRun(Run):
    """Start the roles, watch that something moves, take the workers back.

    Args:
        timeout: seconds of a standstill, after which what there is is judged.
        deadline: when the run is cut short, by time.monotonic(); None for never.
        to_the_end: a broken invariant does not end the run.
    """

    scheduled = False    # the order was chosen
    late = False      # it was ended by the deadline
    cut = False       # it was ended before its end: the check of the world would say nothing
    _left_behind: tuple[str, ...] = ()    # what was asked at the end, in a thread of its own
    silent = False    # nothing moved for a while though roles ran: they waited outside our locks

    def __init__(self, scenario: Scenario, observers: Iterable[Observer], timeout: float,
                 deadline: float | None, to_the_end: bool = False) -> None:
        self.timeout, self.deadline = timeout, deadline
        self.outside: dict[str, str] = {}    # see `Outsiders.used`
        self._done = raw.Lock()
        self._done.acquire()
        self.invariants = \
            [Invariants(scenario.invariants, to_the_end)] if scenario.invariants else []
        super().__init__(scenario, [*observers, *self.invariants])

    # -- in the thread that called ---------------------------------------------------------

    def play(self, workers: Workers) -> Outcome:
        """Run every role to its end on the threads of *workers*; return what was found.

        An exception that ends the call carries the outcome so far as its `outcome`.
        """
        began, roles = time.perf_counter(), len(self.tasks)
        engaged = workers.engage(roles, self.deadline)
        if engaged < roles:
            self.late = True
            self.cut_short()
            self.findings[:] = [Finding(Verdict.INCONCLUSIVE, "observed", f"the time given was up "
                                        f"when {engaged:,} of {roles:,} roles had a thread")]
            return self._outcome()
        try:
            with self.outsiders, _AS_IT_IS if self.orders else collector.automatic():
                self.start_roles(workers)
                self._watch()
                self.outside = self.outsiders.used(self.locks_used)
            stuck = self._stuck() if self.unfinished else ()
            self.notes += workers.finish(self.tasks, self._left_over())
        except BaseException as exc:
            try:
                self.guard_watch.impatient = True
                self.aside(lambda: self._abandon(workers))
            except BaseException as again:   # interrupted once more: the later one ends the call
                again.outcome = self._outcome()   # type: ignore[attr-defined]
                raise
            exc.outcome = self._outcome()   # type: ignore[attr-defined]
            raise
        if not self.findings and not self.cut and self.scenario.check is not None:
            self._check(self.scenario.check)
        if not stuck:
            self._collect()
        outcome = self._outcome()
        outcome.stuck, outcome.seconds = stuck + self._left_behind, time.perf_counter() - began
        return outcome

    @cached_property
    def guard_watch(self) -> GuardWatch:
        """The watch over user code that has the guard; most runs end before it is needed."""
        return GuardWatch(self)

    def _outcome(self) -> Outcome:
        for text, exc in self.misnamed.items():
            self.findings.append(Finding(Verdict.ERROR, "observed", text,
                                         detail=user_traceback(exc)))
        return Outcome(self.findings, list(self.recorder.notes), self.notes, silent=self.silent,
                       outside=self.outside, scheduled=self.scheduled,
                       cut_off=self.late, operated=self.saw_operation(), left=self.left)

    def locks_used(self) -> Iterable[Any]:
        """Return the locks that roles used."""
        return [event[2] for event in self.recorder.log]

    def start_roles(self, workers: Workers) -> None:
        """Assign the roles to workers, and let the run begin."""
        raise NotImplementedError

    @property
    def orders(self) -> bool:
        """Whether an order is chosen, in which nothing may come by itself."""
        if not self.scheduled:
            for observer in self.observers:
                if observer.orders:
                    return True
        return self.scheduled

    @property
    def moves(self) -> int:
        """How often something has moved."""
        raise NotImplementedError

    def is_late(self, now: float) -> bool:
        """Say whether the run is to be cut short, at *now* by time.monotonic()."""
        return self.deadline is not None and now >= self.deadline

    def cut_short(self) -> None:
        """End the run because its time is up."""
        raise NotImplementedError

    def at_large(self) -> Iterable[Task]:
        """Return the tasks that may do something by themselves: all but those that wait for what
        these do.
        """
        raise NotImplementedError

    def judge_silence(self, looks: Standstill) -> bool:
        """Do what the silence that was seen asks for; say whether it was judged."""
        raise NotImplementedError

    def _watch(self) -> None:
        """Wait until every role has ended; judge what stands still."""
        looks = Standstill(self.timeout, time.monotonic())
        while not self._done.acquire(True, self._patience(looks)):
            now = time.monotonic()
            if self.guard_watch.look(now):
                break
            looks.look(now, self.moves, self._read)
            if self.is_late(now):
                self.late = self.guard_watch.impatient = True
                self.aside(self.cut_short)
                break
            if self.judge_silence(looks):
                break
        else:
            return
        # They get a while to end in, by the same measure.
        looks = Standstill(min(GRACE, self.timeout), time.monotonic())
        while looks.silence < looks.limit and not self._done.acquire(True, looks.slice):
            looks.look(time.monotonic(), 0, self._read)

    def aside(self, step: Callable[[], Any]) -> Any:
        """Do *step* aside, and give up user code that has the guard and does not come back."""
        return aside(step, self.guard_watch)

    def give_up(self, call: Call, verdict: Verdict, text: str) -> None:
        """End the run because *call*, of user code with the guard held, does not come back."""
        with InPlaceOf(call) as mine:
            if mine:
                if call.task.run is self:
                    give_up(call.task)
                self.gave_up = True
                self.stop(self.finding(verdict, "timed out", text, all_stacks(self.tasks)))

    def _read(self, before: Mapping[Task, Reading]) -> dict[Task, Reading]:
        return readings(self.at_large(), before)

    def _patience(self, looks: Standstill) -> float:
        """Return how long to wait before the next look, in seconds."""
        left = looks.limit if self.deadline is None else self.deadline - time.monotonic()
        return min(looks.slice, max(0.0, left))

    def _stuck(self) -> tuple[str, ...]:
        """Return who has not ended, each with where it is."""
        stuck = []
        for task in self.tasks:
            if not task.ended:
                ident = task.thread and task.thread.ident
                frame = frames_of_threads().get(ident or 0)
                where = f" at {place_of(frame.f_code, frame.f_lasti)}" if frame else ""
                stuck.append(f"{task.name}{where}")
        return tuple(stuck)

    def others_may_act(self, waiting: list[Any]) -> bool:
        """Say whether what is outside may let one of *waiting* go on. Called with the guard held.
        """
        return bool(self.outsiders.may_act(self, waiting)) or bool(handlers()) and not all(
            task.daemon for task in waiting)

    def who_may_act(self) -> str:
        """Return words on threads outside that may act, "" if none may. Called with the guard held.
        """
        words = " and ".join([*self.outsiders.may_act(self, self.tasks), *handlers()])
        beside = "" if words == OUTSIDE.name else ", outside the run,"
        return f"; {words}{beside} may still act" if words else ""

    def _abandon(self, workers: Workers) -> None:
        """Unwind because the caller is being interrupted; keep what a report needs."""
        with guarded:
            if not self.unwinding and self.unfinished:
                self.show_waits()
                self.stop(self.finding(Verdict.INCONCLUSIVE, "observed", "interrupted"))
        if self.unfinished:
            self._done.acquire(True, GRACE)
        self.notes += workers.finish(self.tasks, self._left_over())

    def _left_over(self) -> Iterable[threading.Thread]:
        """Return threads of the world for which nobody may come any more: roles were unwound."""
        if not self.unwinding:
            return ()
        return [member.thread for member in self.scenario.family
                if member.thread is not None and member.is_alive]

    def show_waits(self) -> None:
        """Let it be seen who waits for what. Called with the guard held, before all are let go."""

    def _collect(self) -> None:
        """Collect what garbage is due, of this and of earlier worlds."""
        generation = collector.due()
        if generation < 0:
            return
        try:
            call_at_rest(A_FINALIZER, alone, A_FINALIZER, partial(collector.collect, generation))
        except Unfinished as exc:
            self.findings += exc.outcome.findings
            self._left_behind += exc.outcome.stuck
        except BaseException as exc:
            pass_signal(exc)
            self.findings.append(self.finding(Verdict.ERROR, "observed", f"{A_FINALIZER}, run "
                                              f"when every role had ended, {raised(exc)}"))

    def _check(self, check: Callable[[], Any]) -> None:
        """Ask the scenario whether the world is as it should be when all have ended."""
        try:
            call_at_rest(THE_CHECK, alone, THE_CHECK, partial(ask, check))
        except Unfinished as exc:
            self.findings += exc.outcome.findings
            self._left_behind += exc.outcome.stuck
        except BaseException as exc:
            pass_signal(exc)
            verdict, text, detail = failure(exc, "failed")
            self.findings.append(self.finding(verdict, "observed", f"{THE_CHECK} {text}",
                                              detail))

    # -- in the roles' threads -------------------------------------------------------------

    def perform(self, task: Task, function: Callable[[], Any]) -> None:
        """Run one role in the calling thread, from its start to its end."""
        before = None
        try:
            before, this_thread.task = this_thread.task, task
            this_thread.maker = Maker(getattr(task, "key", task.name), self.scenario.lock_names)
            try:
                self.begin(task)
                self._play_role(task, function)
            except Unwind:
                pass
            recover()
            if task.run is not None:
                self.end(task)
        except BaseException as exc:
            if task.run is None:
                raise
            self.lose(task, exc)
        finally:
            if before is not None:
                this_thread.task = before

    def _play_role(self, task: Task, function: Callable[[], Any]) -> None:
        try:
            left = call_role(function)
            if task.run is not None:    # else the role forked this process
                if left is not None:
                    self._expect_nothing(task, left)
                if self.invariants:
                    self.ask_invariants(task)
        except Unwind:
            raise
        except BaseException as exc:
            if task.run is None:
                raise
            self.failed(task, exc)

    def lose(self, task: Task, exc: BaseException) -> None:
        """End the run, and *task* with it: what we did for it in this thread raised *exc*."""
        recover()
        what = f"{task.name}: {exc}" if is_a(exc, LockTaken) else \
            f"internal error of the harness, at work for {task.name}: it {raised(exc)}"
        detail = user_traceback(exc)    # it may ask *exc*: not with the guard held
        with guarded:
            self.stop(Finding(Verdict.ERROR, "observed", what, detail=detail))
            if not task.ended:
                self.leave_run(task)
        for lock, mode, _ in reversed(list(task.held)):
            with suppress(BaseException):
                lock.release_hold(mode)
        if not self.unfinished and self._done.locked():
            self._done.release()

    def ask_invariants(self, task: Task) -> None:
        """Ask each of them what it says of the world as it is now, in the thread of *task*."""
        for invariants in self.invariants:
            invariants.look(task)

    def _expect_nothing(self, task: Task, left: Any) -> None:
        """Blame a role for what it returned if that is its work, and nobody has begun it."""
        if words := words_of_work(left):
            with guarded:
                self.findings.append(self.finding(Verdict.ERROR, "observed",
                                                  f"{task.name} returned {words}"))

    def begin(self, task: Task) -> None:
        """Tell those that hear of it that *task* starts in the calling thread."""
        for hook in self.on_start:
            hook(task)

    def end(self, task: Task) -> None:
        """Take *task*, the caller's, out of the run."""
        raise NotImplementedError
