"""A test that uses harness locks by itself: its body and its threads are watched as one run.

There is no scenario, so nothing is forced and nothing is run again. The body stays in its own
thread, which is the one that gets signals. Only a deadlock that really happens is cut short: the
threads of the circle are unwound, nobody else. All other things are as they are outside a run:
exceptions pass, threads keep being daemons or not, a mutex that its owner asks for again refuses.

When the body has ended the run is over: threads that go on are told to nobody any more, wait for
mutexes as any thread outside a run does, and keep nothing of the run installed.

pytest has no part in this: see watch.py. The file is long because a test must get its own threads,
locks and exceptions back as if nobody had watched: all that is changed and put back stands here.
"""

from __future__ import annotations

import copy
import os
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any

from ..lockorder.graph import LockOrder
from ..lockorder.record import Record
from ..locks import exits
from ..locks.calls import call_role
from ..locks.callsite import first_line, function_name
from ..locks.errors import RecursiveAcquire
from ..locks.exclusive import Exclusive
from ..locks.mutex import Mutex
from ..locks.parking import guarded, recover, unpark
from ..locks.task import Maker, Task, Unwind, WAIT, become, current, this_thread
from ..locks.waitgraph import deadlock_from
from ..methods.tally import Tally
from ..report.proof import proof
from ..report.result import Result
from ..runtime import collector, thread_patch
from ..runtime.recorder import place
from ..runtime.run import Run
from ..runtime.scenario import Scenario
from ..runtime.verdict import Finding, Outcome, Verdict
from ..runtime.workers import GRACE
from .offline_predict import OfflineJudge

ROLE = "test"       # what reports call the thread of the body
_KEPT = ("name", "run", "held", "chain", "nested", "signals", "seen", "untold", "enough")
_STDLIB = os.path.dirname(threading.__file__) + os.sep
_MACHINERY = re.compile(r"[\\/](_pytest|pluggy)[\\/]")


class WatchedRun(Run):
    """What one test does with locks; see the module.

    Args:
        name: what reports call the test.
    """

    watched = True
    waits = ""     # who waited for whom when the body raised

    def __init__(self, name: str) -> None:
        self._me = current()
        self._names = {ROLE: 1}
        self._unwound: list[Task] = []
        self.order = LockOrder()
        self._tally = Tally(name)
        super().__init__(Scenario({ROLE: _nothing}, function_name=_function_name), [self.order])
        self.on_acquire = (self._refuse_recursion, *self.on_acquire)
        self.on_acquired = (*self.on_acquired, self._interrupt)
        self.on_release = (self._take_note, *self.on_release)

    def new_task(self, name: str, thread: threading.Thread | None = None) -> Task:
        return self._me if thread is None else super().new_task(name, thread)

    # -- the body -------------------------------------------------------------------------

    def watch(self, body: Callable[[], Any]) -> None:
        """Call *body* in this thread as part of the run; what it raises passes.

        Raises:
            Unwind: it was part of a deadlock.
        """
        __tracebackhide__ = True
        me = self._me
        before = [getattr(me, name) for name in _KEPT]
        thread_patch.install()
        exits.install()
        collector.install()
        try:
            me.signals = me.thread is threading.main_thread()
            me.name, me.run, me.held = ROLE, self, []
            for hook in self.on_start:
                hook(me)
            with collector.automatic():
                call_role(body)
        except BaseException:
            recover()
            self.waits = self._who_waits()
            raise
        finally:
            recover()
            self._end_body()
            for name, value in zip(_KEPT, before):
                setattr(me, name, value)
            me.request = None
            collector.uninstall()
            exits.uninstall()
            thread_patch.uninstall()
            for task in self._unwound:
                if task is not me and task.thread is not None:
                    thread_patch.plain_join(task.thread, GRACE)   # one of a pool goes on

    def _end_body(self) -> None:
        """Let everybody go on as if there were no run."""
        me = self._me
        self._let_go(me)
        with guarded:
            self.over = True
            self.on_acquire = self.on_contended = self.on_acquired = self.on_release = ()
            self.on_refused = ()
            self.on_start = self.on_thread = self.on_end = ()
            for task in self.tasks:
                if isinstance(task.waits_on, Exclusive):
                    unpark(task)   # to wait outside: soon nobody looks for it here

    def _let_go(self, task: Task) -> None:
        """Release what *task*, the caller's, holds still if it was unwound; else keep it, as held
        outside a run.
        """
        for lock, mode, _ in reversed(list(task.held)):
            if task in self._unwound:
                lock.release_hold(mode)
            else:
                lock.held_outside()
        task.held = []

    # -- its threads ----------------------------------------------------------------------

    def unique(self, name: str) -> str:
        """Return *name*, with a number if a thread of the test was called so before."""
        self._names[name] = number = self._names.get(name, 0) + 1
        return name if number == 1 else f"{name}#{number}"

    def perform(self, task: Task, function: Callable[[], Any]) -> None:
        """Run one thread of the test; what it raises passes."""
        vars(task.thread).pop("run", None)   # ours; it would keep the thread alive
        before = become(task)
        try:
            for hook in self.on_start:
                hook(task)
            call_role(function)
        except Unwind:
            pass   # the report is the test's
        finally:
            self._end(task)
            become(before)

    def _end(self, task: Task) -> None:
        self._let_go(task)
        with guarded:
            self.leave_run(task)
            self.forget(task)   # a test may start any number

    def disown(self, task: Task) -> None:
        """Forget a thread that could not be started."""
        self._end(task)

    # -- events ---------------------------------------------------------------------------

    def _refuse_recursion(self, task: Task, lock: Any, mode: str) -> None:
        """Refuse what a mutex refuses outside a run."""
        if type(lock) is Mutex and not task.trylock and not task.timed \
                and lock._owner in (task, threading.get_ident()):
            raise RecursiveAcquire(f"{lock} is not recursive and this thread holds it already")

    def _interrupt(self, task: Task, lock: Any, mode: str) -> None:
        """Raise what a signal handler raised while *task* was being granted *lock*."""
        exc, task.interrupt = task.interrupt, None
        if exc is not None:
            if mode != WAIT:
                lock.release_hold(mode)
            raise exc

    def _take_note(self, task: Task, lock: Any, mode: str) -> None:
        """Know of a lock taken before the test began: it is about to be released."""
        if mode != WAIT and not any(held is lock for held, _, _ in task.held):
            task.held.append((lock, mode, ()))

    def quiescent(self) -> None:
        """Judge nothing: a thread outside the run, or a signal, may let the test go on."""

    def contended(self, task: Task, again: bool) -> bool:
        """Look for a deadlock, unless the test has ended. Called with the guard held."""
        if self.over:
            return True
        if not again:
            self.tell(self.on_contended, task, task.waits_on, task.mode)
        deadlock = deadlock_from(task)
        if deadlock is None:
            return True
        self.stop(self.deadlock(deadlock, "observed"))
        # Each by an exception of its own; nobody else is let go.
        for member in (*deadlock.cycle, *deadlock.others):
            if member.run is self:
                self._unwound.append(member)
                member.interrupt = Unwind()
                unpark(member)
        return False

    def stop(self, finding: Finding) -> None:
        """Keep *finding*; the test goes on."""
        self.findings.append(finding)

    # -- what it comes to -----------------------------------------------------------------

    def observed(self, raised: BaseException | None) -> Result:
        """Return the deadlock that happened; *raised* is what the body raised in the end."""
        notes = [] if raised is None or isinstance(raised, Unwind) \
            else [f"The test itself ended with {first_line(raised)}"]
        self._tally.add(Outcome(self.findings, self._log(), notes), self.scenario)
        return self._tally.result()

    def _who_waits(self) -> str:
        """Return who waits for whom, or "" if nobody does, now that the body has raised."""
        with guarded:
            waiting = any(task.waits_on is not None for task in self.tasks)
            finding = self.finding(Verdict.INCONCLUSIVE, "observed", "")
            last = next((event for event in reversed(self.recorder.log)
                         if event[0] is self._me), None)
        lines = proof(finding) if waiting else []
        if last is not None and last[1] == "lock_contended" and not self._me.timed:
            lines.append(f"{ROLE} waited for {last[2]} ({last[3]}) at {place(last[4])}")
        return "\n".join(lines)

    def _log(self) -> list[Any]:
        """Return what was recorded; the thread of the body goes on under its own name."""
        test = Task(ROLE)
        test.serial = self._me.serial
        return [(test, *event[1:]) if event[0] is self._me else event
                for event in self.recorder.log]

    def predict(self, baseline: Mapping[str, str], deadline: float | None) -> Result | None:
        """Return what the lock order of the test allows; None if no lock was asked for inside
        another.
        """
        if not self.order.edges:
            return None
        self._tally.add(Outcome([], self._log()), self.scenario)
        self._tally.deadline = deadline
        judge = OfflineJudge(self._tally, baseline, Record([_at_rest(self.order)]))
        judge.conclude()
        judge.gravest_first()
        return judge.result()


def _at_rest(order: LockOrder) -> LockOrder:
    """Return a copy of *order* that threads which go on do not change."""
    copied = copy.copy(order)
    for name, value in list(vars(order).items()):
        if isinstance(value, (dict, set)):
            setattr(copied, name, value.copy())   # in one step
    return copied


def _nothing() -> None:
    """The body is called by `watch`."""


def _function_name(code: Any) -> str:
    """Return the name of a function; "" for what runs tests and threads."""
    file = code.co_filename
    ours = file.startswith(_STDLIB) and "site-packages" not in file
    return "" if ours or _MACHINERY.search(file) else function_name(code)


def count_unnamed_locks_afresh() -> None:
    """Let unnamed locks of this thread be counted from 1 again, so that a test's are called the
    same whatever ran before it.
    """
    this_thread.maker = Maker()
