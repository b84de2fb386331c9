"""Locks that one thread can have at a time: real ones, that know who has them, and tell the run of
the thread that uses them.

Outside a run such a lock is a `threading.Lock` that knows its owner. Inside one, four events go to
the observers of the run (see observer.py), and a thread that must wait does so in the parking lot
of parking.py, where it can be let go.

It is held when its raw lock is locked. Release unlocks the raw lock first and looks for
waiters after; a waiter queues first and tries the raw lock after. One of the two always sees the
other. The file is long because a request and a release are told twice: outside a run, where speed
counts, and inside.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import Any

from . import raw
from .calls import Callers, capture, room
from .errors import ForeignRelease, ReleaseWithoutHold
from .node import Node, OUTSIDE, ask, drop, ended_wait, grant, refused, wait
from .outsiders import by_ident, listeners, saw, wait_outside
from .parking import afterwards, guarded
from .task import EXCLUSIVE, NOBODY, WAIT, Task, present, this_thread

get_ident, _getframe = threading.get_ident, sys._getframe

# True while some run is under way in this process; the fast path of every lock is one test of it.
_active = False


def set_active(active: bool) -> None:
    """Tell the locks whether any run is under way. Called by the runner alone."""
    global _active
    _active = active


class Exclusive(Node):
    """A lock that one thread can have at a time, and who that is.

    Costs about 1.8 times a bare lock while no run is under way. Cannot see what happens to other
    locks.

    Attributes:
        is_signal: those who wait for it wait for whoever releases it, who need not have it.
    """

    __slots__ = ("_lock", "_owner", "_waiters")
    is_signal = False

    def __init__(self, name: str | None = None, lock_class: str | None = None) -> None:
        Node.__init__(self, name, lock_class)
        self._lock = raw.Lock()
        # The owner's task inside a run, the thread's identifier outside, None while it is free.
        self._owner: Any = None
        self._waiters: Any = NOBODY    # parked roles, in order of arrival

    def __enter__(self) -> bool:
        if _active or self._owner is not None:
            task = this_thread.task
            run = task.run
            if run is None:
                return self.acquire()
            note, position = run.note, task.seen
            if note is None or task.untold >= task.enough or self.is_signal:
                return self._acquire_in_run(task, True, -1)
            if position is not None:
                stack = position.stack.above.get(self)
                if stack is None or not stack.asked:
                    return self._acquire_in_run(task, True, -1)
            if not self._lock.acquire(False):
                return self._acquire_in_run(task, True, -1)
            try:
                self._owner = task
                frame = _getframe(1)
                known: Any = frame.f_trace
                chain = (known.code, frame.f_lasti, known.chain) if known.__class__ is Callers \
                    else capture(frame, 0)
                task.held.append((self, EXCLUSIVE, chain))
                note((task, self, chain))
                task.untold += 1
                if position is not None:
                    stack.append(stack.acquire)
                    position.stack = stack
            except BaseException:
                self._take_back(task)
                raise
            return True
        self._lock.acquire()
        self._owner = get_ident()
        return True

    def __exit__(self, a: Any, b: Any, c: Any) -> None:
        owner = self._owner
        if owner.__class__ is Task:
            run, held, position = owner.run, owner.held, owner.seen
            note = run.note if run is not None else None
            if note is None or owner is not this_thread.task or self._waiters \
                    or self.is_signal:
                self._release()
                return
            hold = held[-1]
            if hold[0] is not self:
                self._release()
                return
            if position is not None:
                stack = position.stack
                if stack.lock is not self:
                    self._release()
                    return
                stack.append(stack.release)
                position.stack = parent = stack.parent
                if parent.end is not None:
                    parent.end()
            note((owner, hold))
            del held[-1]
            self._owner = None
            self._lock.release()
            if self._waiters:
                self._hand_over()
        elif owner != get_ident():
            self._release()
        else:
            self._owner = None
            self._lock.release()
            # A role that waits has looked at the raw lock since it queued; its run began before.
            if _active:
                self._released_outside()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, waiting up to *timeout* seconds (negative: for ever) if *blocking*.

        Returns:
            Whether it was taken.

        Raises:
            ValueError, OverflowError: as `threading.Lock.acquire`.
        """
        if _active:
            task = this_thread.task
            if task.run is not None:
                return self._acquire_in_run(task, blocking, timeout)
        return self._acquire_outside(blocking, timeout)

    def _acquire_outside(self, blocking: bool, timeout: float) -> bool:
        if listeners:
            task = this_thread.task
            if not wait_outside(task, self, EXCLUSIVE, not blocking or timeout >= 0,
                                self._lock.acquire, blocking, timeout):
                return ended_wait(task)
        elif not self._lock.acquire(blocking, timeout):
            return False
        self._owner = get_ident()
        return True

    def release(self) -> None:
        """Give the lock up.

        Raises:
            RuntimeError: it is not the caller's to release.
        """
        if self._owner != get_ident():
            self._release()
        else:
            self._owner = None
            self._lock.release()
            if _active:    # see `__exit__`: to call it would cost a call
                self._released_outside()

    def release_hold(self, mode: str) -> None:
        """Give up the one hold that a thread can have, whatever the *mode*."""
        self.release()

    def held_outside(self) -> None:
        self._owner = get_ident()

    @property
    def is_held(self) -> bool:
        """Whether anyone holds it, for the harness to ask; `locked` is for users."""
        return self._lock.locked()

    def locked(self) -> bool:
        """Say whether anyone holds it."""
        self._tell_look()
        return self._lock.locked()

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the owner, if there is one."""
        owner = self._owner
        if owner is None and task.waits_on is not self:
            return []
        # It may be waited for without an owner. No role can be between taking the raw lock and
        # noting it while another is asked who blocks it for good: it runs. A thread outside can.
        return [owner if isinstance(owner, Task) else by_ident.get(owner, OUTSIDE)]

    def _acquire_in_run(self, task: Task, blocking: bool, timeout: float) -> bool:
        if timeout != -1:
            raw.Lock().acquire(blocking, timeout)   # the argument rules of a plain lock
        mode = WAIT if self.is_signal else EXCLUSIVE
        run = task.run
        if run.ask_in_turn is not None:
            task.trylock, task.timed = not blocking, timeout >= 0
            if not run.ask_in_turn(task, self, mode):
                return refused(task, self, mode)
        elif not ask(task, self, mode, not blocking, timeout >= 0):
            return refused(task, self, mode)
        if not self._lock.acquire(False):
            if not blocking:
                return refused(task, self, mode)
            if not self._contend(task, mode, timeout):
                if not run.over or task.interrupt is not None:
                    return refused(task, self, mode)
                if not self._lock.acquire(True, timeout):
                    return False
        try:
            self._owner = task
            if self.is_signal:    # perhaps since a moment ago
                mode = WAIT
            else:
                task.held.append((self, EXCLUSIVE, task.chain))
            for hook in run.on_acquired:
                hook(task, self, mode)
        except BaseException:
            self._take_back(task)
            raise
        return True

    def _take_back(self, task: Task) -> None:
        """See that *task*, which hears of something else as it is given the lock, has it not."""
        if self._owner is task:
            drop(task, self)
            self._owner = None
            self._lock.release()
            self._hand_over()

    def _contend(self, task: Task, mode: str, timeout: float) -> bool:
        with guarded:
            if task.run.over:   # no longer parked here: nobody may look for waiters
                return False
            self._queue(task)
            try:
                return self._lock.acquire(False) or wait(task, self, mode, timeout)
            finally:
                self._unqueue(task)

    def _queue(self, task: Task) -> None:
        """Have *task* wait, as the last. Called with the guard held."""
        if self._waiters is NOBODY:
            self._waiters = deque()
        self._waiters.append(task)

    def _unqueue(self, task: Task) -> None:
        """Have *task* wait no more, if it does. Called with the guard held."""
        if task in self._waiters:
            self._waiters.remove(task)
        if not self._waiters:
            self._waiters = NOBODY    # as before: states are compared

    def _release(self) -> None:
        """Release inside a run, or refuse."""
        task, owner = this_thread.task, self._owner
        if owner is not task:
            self._release_of_another(task, owner)
            return
        for hook in task.run.on_release:
            hook(task, self, EXCLUSIVE)
        held = task.held
        if self._waiters or not held or held[-1][0] is not self:
            self._give_up(task)
            return
        del held[-1]
        self._owner = None
        self._lock.release()
        if self._waiters:
            self._hand_over()

    def _release_of_another(self, task: Task, owner: Any) -> None:
        """Release what *owner* has, or nobody; or refuse to."""
        if owner is None:
            raise ReleaseWithoutHold(f"{self} is released, but nobody holds it")
        holder = owner.name if isinstance(owner, Task) else "another thread"
        raise ForeignRelease(f"{self} is released by {task.name}, but {holder} holds it")

    def _give_up(self, task: Task) -> None:
        """Have *task*, the owner, have it no more."""
        if self._waiters:
            room()    # somebody is to be handed it
        if task.held and task.held[0][0] is self:    # it has it once: the first one is the latest
            del task.held[0]
        else:
            drop(task, self)
        self._owner = None
        self._lock.release()
        if self._waiters:
            self._hand_over()

    def _released_outside(self) -> None:
        if listeners:
            saw(this_thread.task, self, releases=True)
        if self._waiters:
            self._hand_over()

    def _hand_over(self) -> None:
        with guarded as interrupts:
            if interrupts:
                afterwards(self._hand_over)
            elif present(self._waiters) and self._lock.acquire(False):
                heir = self._waiters.popleft()
                self._owner = heir
                grant(heir)

    def __repr__(self) -> str:
        state = "locked" if self._lock.locked() else "unlocked"
        return f"<{state} {type(self).__module__}.{type(self).__qualname__} object " \
               f"{self.name!r} at {id(self):#x}>"

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()   # type: ignore[attr-defined]
        self._owner = None    # and `present` forgets who waits where this process was forked
