"""Roles on real threads: start together, end together, leave nothing behind.

A `Run` is one run of one scenario. Its account of who runs (`running`) falls to zero exactly when
nobody can go on by himself; that, and a thread that begins to wait, are the two moments at which it
looks for a deadlock. After a verdict every role that waits is let go with `Unwind`, its locks are
released on the way out, and `Run.play` returns when the last has ended.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from . import thread_patch
from ..locks.callsite import first_line, place_of, raised_at, user_traceback
from ..locks.errors import HeldAtEnd, LockMisuse
from ..locks.mutex import Mutex
from ..locks.node import OUTSIDE
from ..locks.parking import (EXCLUSIVE, Task, Unwind, _local, become, current, enter, leave, pause,
                             unpark)
from ..locks.waitgraph import blockers, find_cycle
from .observer import Observer, overridden
from .process_state import aside
from .recorder import Recorder, freeze, place
from .scenario import Scenario
from .stacks import all_stacks
from .verdict import Finding, Outcome, Verdict
from .workers import Crew, GRACE

_NUMBERED = re.compile(r"(Thread|ThreadPoolExecutor)-(\d+)((?:_\d+)?(?: \(.*\))?)$", re.DOTALL)
SLICES = 4    # how finely the watcher looks within the timeout


def _perform(task: Task, function: Callable[[], Any]) -> None:
    """Run a role. Its frame is where every recorded call chain ends."""
    function()


def _unwind(task: Task, lock: Any, mode: str) -> None:
    raise Unwind


def _release(lock: Any, mode: str) -> None:
    """Release *lock* for the calling task, whatever kind it is."""
    if isinstance(lock, Mutex):
        lock.release()
    elif mode == EXCLUSIVE:
        lock.up_write()
    else:
        lock.up_read()


class Run:
    """One run: its tasks, its observers, what was found.

    Attributes:
        ambient: whether it is made of what a test does by itself: see watched_run.py.
        over: whether that test has ended; threads of it that go on are left alone.
    """

    ambient = over = False

    def __init__(self, scenario: Scenario, observers: list[Observer], detect: str = "block",
                 timeout: float = 5.0, deadline: float | None = None) -> None:
        self.scenario = scenario
        self.detect = detect
        self.timeout = timeout
        self.deadline = deadline     # by time.monotonic()
        self.recorder = Recorder(_perform.__code__)
        self.observers = [self.recorder, *observers]
        self._on_return: tuple[Any, ...] = ()    # what looks once more when a role's function returns
        if scenario.invariants:
            self.observers.append(_Invariants(scenario.invariants))
            self._on_return = (self.observers[-1]._look,)   # type: ignore[attr-defined]
        self.tasks = [self._new_task(name) for name in scenario.roles]
        self.unwinding = False
        self.running = self.unfinished = len(self.tasks)
        self.timed = 0     # how many of those that run are in a wait with a time limit
        self._numbers: dict[str, dict[str, int]] = {}   # of threads that nobody named
        self.findings: list[Finding] = []
        self.notes: list[str] = []
        self._silent = False
        self._starting = len(self.tasks)
        self._done = threading.Lock()
        self._done.acquire()
        for observer in self.observers:
            observer.attach(self)
        self._connect()

    def _new_task(self, name: str, thread: threading.Thread | None = None) -> Task:
        return Task(name, self, thread)

    def _connect(self) -> None:
        """Look up whom to tell of what."""
        self.on_acquire = overridden(self.observers, "lock_acquire")
        self.on_contended = overridden(self.observers, "lock_contended")
        self.on_acquired = overridden(self.observers, "lock_acquired")
        self.on_release = overridden(self.observers, "lock_release")
        self._on_start = overridden(self.observers, "role_start")
        self._on_thread = overridden(self.observers, "thread_start")
        self._on_end = overridden(self.observers, "role_end")
        self._on_idle = overridden(self.observers, "idle")
        self._hold_back = overridden(self.observers, "hold_back")
        self._on_standstill = overridden(self.observers, "standstill")

    # -- in the thread that called run() -------------------------------------------------

    def play(self, crew: Crew) -> Outcome:
        """Run every role to its end, on the threads of *crew*, and return what was found."""
        began = time.perf_counter()
        thread_patch.install()
        try:
            for task, function in zip(self.tasks, self.scenario.roles.values()):
                crew.start(self, task, function)
            self._watch()
            stuck = self._stuck()
            crew.finish(self.tasks)
        except BaseException as exc:
            try:
                aside(lambda: self._abandon(crew))
            except BaseException as again:   # interrupted once more: what ends the call is the later one
                exc = again
            exc.outcome = Outcome(self.findings, list(self.recorder.log))   # type: ignore
            raise exc
        finally:
            thread_patch.uninstall()
        if not self.findings and self.scenario.check is not None:
            self._check()
        return Outcome(self.findings, list(self.recorder.log), self.notes, stuck,
                       self._silent, seconds=time.perf_counter() - began)

    def _watch(self) -> None:
        """Wait until every role has ended; judge when nothing has moved for the timeout."""
        last = -1
        moved = time.monotonic()    # when something was last seen to move
        while not self._done.acquire(True, self._patience()):
            now = time.monotonic()
            if self.recorder.moves != last:
                last, moved = self.recorder.moves, now
            if self.deadline is not None and now >= self.deadline:
                aside(lambda: self._judge(Verdict.INCONCLUSIVE,
                                          "the time given was up while roles still ran"))
                break
            self._silent = self._silent or now - moved >= self.timeout / SLICES
            if now - moved >= self.timeout and aside(self._last_resort):
                moved = now
            elif now - moved >= self.timeout:
                aside(lambda: self._judge(Verdict.HANG, f"nothing moved for {self.timeout:g} s "
                                                        f"and no cycle explains it"))
                break
            elif now - moved >= self.timeout / SLICES:
                aside(self._stop_holding_back)
        else:
            return
        self._done.acquire(True, min(GRACE, self.timeout))

    def _stop_holding_back(self) -> None:
        """Tell observers that hold roles back that someone seems to wait for those outside our
        locks.
        """
        enter()
        if not self.unwinding:
            self._tell(self._on_standstill)
        leave()

    def _last_resort(self) -> bool:
        """Let roles go that an observer holds before anyone is judged: it may be the cause of the
        standstill.
        """
        enter()
        gone = not self.unwinding and any([self._tell((hook,)) for hook in self._on_idle])
        leave()
        return gone

    def _patience(self) -> float:
        """Return how long to wait before the next look.

        Never long: a signal that arrives just before the wait begins is seen only after it.
        """
        slice_ = min(self.timeout / SLICES, 0.5)
        if self.deadline is None:
            return slice_
        return min(slice_, max(0.0, self.deadline - time.monotonic()))

    def _judge(self, verdict: Verdict, text: str) -> None:
        """End the run: with the deadlock there is, else with *verdict*."""
        stacks = all_stacks(self.tasks)
        enter()
        if not self.unwinding and self.unfinished:
            waiting = [task for task in self.tasks if blockers(task)]
            cycle = next(filter(None, map(find_cycle, reversed(waiting))), None)
            if cycle:
                self._stop(self._deadlock(cycle, "timed out", stacks))
            else:
                self._stop(self._finding(verdict, "timed out", text, detail=stacks))
        leave()

    def _stuck(self) -> tuple[str, ...]:
        stuck = []
        for task in self.tasks:
            if not task.ended:
                frame = sys._current_frames().get(task.thread.ident) if task.thread else None
                where = f" at {place_of(frame.f_code, frame.f_lasti)}" if frame else ""
                stuck.append(f"{task.name}{where}")
        return tuple(stuck)

    def _abandon(self, crew: Crew) -> None:
        """Unwind because the caller is being interrupted; keep what a report needs."""
        enter()
        if not self.unwinding and self.unfinished:
            self._stop(self._finding(Verdict.INCONCLUSIVE, "observed", "interrupted"))
        leave()
        if self.unfinished:
            self._done.acquire(True, GRACE)
        crew.finish(self.tasks)

    def _check(self) -> None:
        try:
            self.scenario.check()
        except AssertionError as exc:
            self.findings.append(self._finding(
                Verdict.VIOLATION, "observed", f"the check at the end failed: {_said(exc)}",
                detail=user_traceback(exc)))
        except Exception as exc:
            self.findings.append(self._finding(
                Verdict.ERROR, "observed", f"the check at the end raised {first_line(exc)}",
                detail=user_traceback(exc)))

    # -- in the roles' threads -----------------------------------------------------------

    def perform(self, task: Task, function: Callable[[], Any]) -> None:
        """Run one role in the calling thread, from the start barrier to its end."""
        before = become(task)
        _local.created, _local.named = {}, {}
        try:
            self._begin(task)
            _perform(task, function)
            for hook in self._on_return:
                hook(task)
        except Unwind:
            pass
        except BaseException as exc:
            self._failed(task, exc)
        finally:
            self._end(task)
            become(before)

    def _begin(self, task: Task) -> None:
        """Tell those that hear of it that *task* starts in the calling thread."""
        for hook in self._on_start:
            hook(task)

    def start_together(self, task: Task) -> None:
        """Wait at the start barrier; the last to arrive opens it, in the order of the roles."""
        enter()
        self._starting -= 1
        if self._starting:
            pause(task)
        else:
            held_back = [held for hook in self._hold_back
                         for held in self._tell((hook,), self.tasks) or ()]
            for other in self.tasks:
                if other not in held_back:
                    unpark(other)
            if task in held_back:
                pause(task)
        leave()

    def adopt(self, thread: threading.Thread, name: str) -> Task:
        """Make a thread that a role is about to start part of the run."""
        enter()
        name = self._stable(name)
        taken = {task.name for task in self.tasks}
        unique = next(n for n in [name, *(f"{name}#{i}" for i in range(2, len(taken) + 3))]
                      if n not in taken)
        task = self._new_task(unique, thread)
        self.tasks.append(task)
        self.running += 1
        self.unfinished += 1
        self._tell(self._on_thread, current(), task)
        leave()
        return task

    def started(self, task: Task) -> None:
        """See that the thread of *task*, which `adopt` made part of the run, runs."""

    def step(self, task: Task, on: str) -> None:
        """See *task* at a point of its own: see scheduling_point.py."""

    def _stable(self, name: str) -> str:
        """Return *name* with a number of this run for the interpreter's own, which goes on counting
        from run to run: a thread that nobody named has the same name in every world.
        """
        found = _NUMBERED.match(name)
        if found is None:
            return name
        kind, number, rest = found.groups()
        mine = self._numbers.setdefault(kind, {})
        return f"{kind}-{mine.setdefault(number, len(mine) + 1)}{rest}"

    def disown(self, task: Task) -> None:
        """Forget a thread that could not be started."""
        self._end(task)

    def find(self, who: Any) -> Task | None:
        """Return the task of a role name, a thread or a task; None if it is not in this run."""
        for task in self.tasks:
            if who is task or who == task.name or (who is task.thread and who is not None):
                return task
        return OUTSIDE if isinstance(who, threading.Thread) else None

    def look(self, task: Task, lock: Any) -> None:
        """See *task* look whether *lock* is free, or a wait is over, without asking for it."""

    def contended(self, task: Task, again: bool) -> bool:
        """Take note that *task* begins to wait; False if it must unwind. Called with the guard
        held.
        """
        if self.unwinding:
            return False
        if not again:
            self._tell(self.on_contended, task, task.waits_on, task.mode)
            if self.unwinding:
                return False
        if self.detect == "block" and not task.timed:
            cycle = find_cycle(task)
            if cycle:
                self._stop(self._deadlock(cycle, "observed"))
                return False
        return True

    def _tell(self, hooks: tuple[Any, ...], *what: Any) -> Any:
        """Call hooks that run with the guard held; one that raises must not keep it."""
        answer = None
        try:
            for hook in hooks:
                answer = hook(*what)
        except Exception as exc:
            if not self.unwinding:
                self._stop(self._finding(
                    Verdict.ERROR, "observed", f"an observer raised {first_line(exc)}",
                    user_traceback(exc)))
        return answer

    def complain(self, text: str, exc: Exception) -> None:
        """Take note of an error in what a scenario has us call. Called with the guard held."""
        self.findings.append(self._finding(Verdict.ERROR, "observed", f"{text} {first_line(exc)}",
                                           user_traceback(exc)))

    def quiescent(self) -> None:
        """Judge, or let someone go on: no role can go on by itself. Called with the guard held."""
        if self.unwinding or self._starting or not self.unfinished:
            return
        if any(self._tell((hook,)) for hook in self._on_idle) or self.running:
            return
        if self.detect == "timeout" or self.unwinding:
            return
        waiting = [task for task in self.tasks if task.waits_on is not None]
        if any(blocker.run is not self for task in waiting for blocker in blockers(task)):
            return   # a thread outside the run may still let us go on: the timeout judges
        cycle = next(filter(None, map(find_cycle, reversed(waiting))), None)
        if cycle:
            self._stop(self._deadlock(cycle, "observed"))
        else:
            text = f"{_count(len(waiting), 'role')} wait{'s' if len(waiting) == 1 else ''} for ever " \
                   f"and no cycle explains it"
            self._stop(self._finding(Verdict.HANG, "observed", text, detail=all_stacks(self.tasks)))

    def violated(self, task: Task, text: str, detail: str = "") -> None:
        """Take note of a broken rule or invariant, and end the run."""
        enter()
        if not self.unwinding:
            self._stop(self._finding(Verdict.VIOLATION, "observed", text, detail=detail))
        leave()

    def _failed(self, task: Task, exc: BaseException) -> None:
        if self.unwinding:
            return
        if isinstance(exc, LockMisuse):
            verdict, text = Verdict.VIOLATION, f"{task.name} broke a rule of locks: " \
                                               f"{first_line(exc)}, at {raised_at(exc)}"
        else:
            verdict, text = Verdict.ERROR, f"{task.name} raised {first_line(exc)}"
        enter()
        self.findings.append(self._finding(verdict, "observed", text, user_traceback(exc),
                                           headline=getattr(exc, "headline", "")))
        leave()

    def _end(self, task: Task) -> None:
        if task.held:
            self._clean_up(task)
        enter()
        task.ended = True
        self._tell(self._on_end, task)
        thread_patch.ended(task)
        self.running -= 1
        self.unfinished -= 1
        if not self.unfinished:
            self._done.release()
        elif self.running <= self.timed:
            self.quiescent()
        leave()

    def _clean_up(self, task: Task) -> None:
        """Release what a role still holds; unless it was unwound or raised, that breaks a rule."""
        left = [(str(lock), place(chain)) for lock, _, chain in task.held]
        enter()
        blamed = self.unwinding or any(found.text.startswith(f"{task.name} ")
                                       for found in self.findings)
        if not blamed:
            what = " and ".join(f"{lock} (taken at {at})" for lock, at in left)
            self.findings.append(self._finding(
                Verdict.VIOLATION, "observed",
                f"{task.name} broke a rule of locks: {HeldAtEnd.__name__}: it ended holding {what}",
                headline=HeldAtEnd.headline))
        leave()
        for lock, mode, _ in reversed(list(task.held)):
            try:
                _release(lock, mode)
            except BaseException as exc:   # of an observer; the lock is held still
                self._failed(task, exc)
                self.on_release = ()
                _release(lock, mode)

    # -- findings; called with the guard held --------------------------------------------

    def _stop(self, finding: Finding) -> None:
        """Keep *finding* and let every role go."""
        self.findings.append(finding)
        self.unwinding = True
        self.on_acquire = self.on_acquired = (_unwind,)
        self.on_contended = self.on_release = self._on_start = self._on_idle = ()
        for task in self.tasks:
            if task.waits_on is not None or task.paused:
                unpark(task)

    def _finding(self, verdict: Verdict, how: str, text: str, detail: str = "",
                 cycle: Iterable[Task] = (), headline: str = "") -> Finding:
        states = {task: freeze(task) for task in self.tasks}
        # A cycle may lead through another run that uses the same locks.
        in_cycle = tuple([states.get(task) or freeze(task) for task in cycle])
        return Finding(verdict, how, text, in_cycle, tuple(states.values()), detail,
                       len(self.recorder.log), headline)

    def _deadlock(self, cycle: list[Task], how: str, detail: str = "") -> Finding:
        first = next((cycle.index(task) for task in self.tasks if task in cycle), 0)
        cycle = cycle[first:] + cycle[:first]
        if len(cycle) == 1:
            text = f"{cycle[0].name} waits for itself"
        else:
            text = f"{len(cycle)} threads wait for each other"
        return self._finding(Verdict.DEADLOCK, how, text, detail, cycle)


def said_of_invariant(exc: Exception) -> str:
    """Say how an invariant failed: it is broken, or could not be asked."""
    return f"is broken: {_said(exc)}" if isinstance(exc, AssertionError) else f"raised {first_line(exc)}"


def _said(exc: AssertionError) -> str:
    return str(exc).partition("\n")[0] or "it raised AssertionError"


class _Invariants(Observer):
    """Call each invariant after each event; the first that fails ends the run."""

    def __init__(self, invariants: Any) -> None:
        self._invariants = invariants

    def attach(self, run: Run) -> None:
        self._run = run

    def _look(self, task: Task, lock: Any = None, mode: str = "") -> None:
        for name, invariant in self._invariants.items():
            try:
                invariant()
            except Exception as exc:
                self._run.violated(task, f"invariant {name!r} {said_of_invariant(exc)}",
                                   user_traceback(exc))
                raise Unwind from None

    lock_acquire = lock_acquired = lock_release = _look
    role_start = _look


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
