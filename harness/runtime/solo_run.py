"""What the calling thread does for a scenario while no role runs: above all, build its world.

It is a run of one task, so that the rules of locks hold there as they do in roles: a request that
can never be granted is found as it is made, a lock that is left held is a broken rule, and the
report says who holds what, since where. The calling thread does it and no worker: a factory may set
signal handlers, and use what belongs to the thread that made it or is local to it; and handing over
costs as much as building a small world. What waits outside our locks is for the `Watcher` of the
call (watcher.py).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from ..locks.calls import BASE, call_role, capture
from ..locks.callsite import is_a
from ..locks.errors import LockMisuse, ScenarioError
from ..locks.outsiders import Member, handlers
from ..locks.parking import recover, unpark
from ..locks.task import Maker, Task, Unwind, this_thread
from ..locks.waitgraph import Likely, deadlock_among, deadlock_from, flat
from .our_thread import main_thread, other_threads
from .run import Run, unwind
from .verdict import Finding, Outcome, Verdict


class Unfinished(ScenarioError):
    """What was to be done before or after the roles came to no good end.

    Attributes:
        outcome: what was found.
    """

    def __init__(self, outcome: Outcome) -> None:
        gravest = outcome.gravest
        super().__init__(gravest.text if gravest is not None else "")
        self.outcome = outcome

    def __reduce__(self) -> Any:
        return type(self), (self.outcome,)


class SoloRun(Run):
    """One task, whose thread nobody else of the run can help.

    Args:
        name: of the task, in reports.
        maker: who makes the locks that it makes.

    Attributes:
        members: the threads that it starts, which are outside every run.
        inside: it is at what it is to do: `Unwind` may be raised there.
    """

    alone = inside = True

    def __init__(self, name: str, maker: Maker | None = None) -> None:
        self.members: list[Member] = []
        what: Any = SimpleNamespace(roles=(name,), family=self.members, lock_names=None)
        super().__init__(what, ())
        self.task, = self.tasks
        self._maker = maker or this_thread.maker
        self.outer: Task | None = None    # what the thread is otherwise

    def connect(self) -> None:
        """Keep of each request where it was made, and nothing more: a world takes many locks."""
        self.on_acquire: tuple[Any, ...] = (_note_place,)
        self.on_contended = self.on_acquired = self.on_release = self.on_refused = ()
        self.on_start = self.on_thread = self.on_end = self.on_idle = ()

    def perform_alone(self, function: Callable[[], Any]) -> Any:
        """Return what *function* returns, called in this thread.

        Raises:
            Unfinished: a rule of locks was broken, or it was ended because it waits for ever; else
                what *function* raises.
        """
        task = self.task
        task.signals = threading.get_ident() == main_thread().ident
        self.outer = before = this_thread.task
        this_thread.task = task
        task.thread = task.thread or before.thread
        maker, this_thread.maker = this_thread.maker, self._maker
        this_thread.family = self.members
        answer, raised = None, False
        try:
            with self.outsiders:
                answer = call_role(function)
        except Unwind:
            pass
        except BaseException as exc:
            raised = True
            self.failed(task, exc)
            if not self.findings:
                raise
        finally:
            self.inside = False    # first: a handler may run after any call
            recover()
            if task.held:
                self._give_back(raised)
            task.ended = True
            this_thread.maker, this_thread.family = maker, None
            this_thread.task = before
        if self.findings:
            raise Unfinished(self.outcome())
        return answer

    def _give_back(self, raised: bool) -> None:
        """Release what is held still, which is a broken rule unless an exception is why."""
        if raised:
            self.unwinding = True    # nobody is to be blamed any more
        self.release_held(self.task)

    def outcome(self) -> Outcome:
        """Return what was found, with the requests that it rests on for its events."""
        return Outcome(self.findings, self.recorder.log, self.notes)

    # -- what its task does with locks -----------------------------------------------------

    def contended(self, task: Task, again: bool) -> bool:
        """Find out at once if *task* waits for ever. Called with the guard held."""
        if self.unwinding:
            return False
        if task.timed:
            return True
        deadlock = deadlock_from(task)
        if not deadlock and self._others_may_act():
            return True
        deadlock = deadlock or deadlock_among([task], nobody_else=True)
        self._keep_requests()
        self.stop(self.deadlock(deadlock, "observed") if deadlock else self.finding(
            Verdict.HANG, "observed", f"{task.name} waits for {task.waits_on} for ever: no other "
                                      f"thread is there"))
        return False

    def _others_may_act(self) -> bool:
        """Say whether there is a thread, none of ours, that might let its task go on."""
        lock, mode = self.task.waits_on, self.task.mode
        me = self.task.thread.ident if self.task.thread is not None else threading.get_ident()
        known: dict[int, threading.Thread] = threading._active   # type: ignore[attr-defined]
        others = [ident for ident in other_threads()
                  if ident != me and not hasattr(known.get(ident), "_harness_own")]
        wait, mine = lock.blockers(self.task, mode), {self.task, self.outer}
        if not isinstance(wait, Likely) and (getattr(lock, "_owner", None) == me or wait and all(
                blocker in mine for blocker in flat(wait))):
            return False
        return bool(others or handlers())

    def judge(self, verdict: Verdict, text: str, stacks: str) -> None:
        """End its task from another thread, unless it has ended. Called with the guard held."""
        if self.unwinding or self.task.ended:
            return
        deadlock = deadlock_from(self.task)
        self._keep_requests()
        found = self.deadlock(deadlock, "timed out", stacks) if deadlock \
            else self.finding(verdict, "timed out", text, stacks)
        self.stop(replace(found, alone=True))

    def _keep_requests(self) -> None:
        """Make events of what it holds and waits for, which is all that a finding rests on."""
        for lock, mode, chain in self.task.held:
            self.recorder.notes.append((self.task, "lock_acquire", lock, mode, chain))
            self.recorder.notes.append((self.task, "lock_acquired", lock, mode, chain))
        lock, mode, chain = self.task.waits_on, self.task.mode, self.task.chain
        if lock is not None:
            self.recorder.notes.append((self.task, "lock_acquire", lock, mode, chain))
            self.recorder.notes.append((self.task, "lock_contended", lock, mode, chain))

    def stop(self, finding: Finding) -> None:
        self.findings.append(finding)
        self.unwinding = True
        self.on_acquire = (unwind,)
        unpark(self.task)

    def failed(self, task: Task, exc: BaseException) -> None:
        if is_a(exc, LockMisuse):    # anything else is for the caller to tell
            super().failed(task, exc)

    def quiescent(self) -> None:
        """Nothing: `contended` has looked."""

    def step(self, task: Task, on: str) -> None: ...    # nobody is there to go first
    def look(self, task: Task, lock: Any) -> None: ...
    def disown(self, task: Task) -> None: ...

    def perform(self, task: Task, function: Callable[[], Any]) -> None:
        function()    # a thread that it started: outside


def _note_place(task: Task, lock: Any, mode: str) -> None:
    task.chain = capture(sys._getframe(2))    # from the lock on: past `ask`


def is_of_call(exc: BaseException) -> bool:
    """Say whether *exc* was raised by the call of what was performed, and not in it."""
    tb = exc.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    return tb is not None and tb.tb_frame.f_code is BASE
