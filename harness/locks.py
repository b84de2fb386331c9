"""Mutex and Completion: real locks that know who has them, and tell the run of the thread that uses
them.

Outside a run a `Mutex` is a `threading.Lock` that knows its owner. Inside one, four events go to
the observers of the run (see events.py), and a thread that must wait does so in the parking lot of
task.py, where it can be let go.

A mutex is held when its raw lock is locked. Release unlocks the raw lock first and looks for
waiters after; a waiter queues first and tries the raw lock after. One of the two always sees the
other.

This file knows nothing of detection. Do not add features here: write an Observer.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import Any

from .errors import (ForeignRelease, HeldLockFreed, RecursiveAcquire, ReleaseWithoutHold,
                     ScenarioError)
from .place import place_of
from .task import (EXCLUSIVE, WAIT, Expired, Task, Unwind, _local, current, enter, leave, park, unpark)

get_ident = threading.get_ident

# True while some run is under way in this process; the fast path of every lock is one test of it.
_active = False

OUTSIDE = Task("a thread outside the run")


def set_active(active: bool) -> None:
    """Tell the locks whether any run is under way. Called by the runner alone."""
    global _active
    _active = active


def nested_request(nested: int, why: str, ask: Any, *args: Any) -> Any:
    """Call *ask* with its request marked as of subclass *nested* (lockdep's mutex_lock_nested)."""
    if nested not in range(8) or not why:
        raise ScenarioError(f"nested is {nested!r}, why is {why!r}: expected a subclass from 1 to 7, "
                            f"and a reason")
    task = current()
    before, task.nested = task.nested, (nested, why)
    try:
        return ask(*args)
    finally:
        task.nested = before


def label(name: str, lock_class: str) -> str:
    """Return what reports call a lock: its class and its own name, or one of them where that says
    both.
    """
    if name.startswith(lock_class):
        return name
    return lock_class if lock_class.endswith(f"(&{name})") else f"{lock_class} ({name})"


class Node:
    """What a task can wait for: a name, a class, and who must act before the wait can end.

    Attributes:
        name: what the verbs print, as in ``device_lock(0000:01:00.0)``. Default: the place of
            creation.
        lock_class: what all locks of one kind share, as in lockdep. Default: the name.
        nth: among the locks of its name and class made in one world, in that thread.
    """

    __slots__ = ("_name", "_class", "nth", "__weakref__")

    def __init__(self, name: str | None, lock_class: str | None, depth: int = 2) -> None:
        if name is None:
            frame = sys._getframe(depth)
            key = id(frame.f_code), frame.f_lasti
            _local.created[key] = number = _local.created.get(key, 0) + 1
            self._name: Any = (frame.f_code, frame.f_lasti, number)
            self.nth = 1
        else:
            self._name = name
            named = _local.named
            if named is None:
                self.nth = 1
            else:
                named[name, lock_class] = self.nth = named.get((name, lock_class), 0) + 1
        self._class = lock_class

    @property
    def name(self) -> str:
        """Name of this one lock."""
        if not isinstance(self._name, str):
            code, lasti, number = self._name
            nth = f"#{number}" if number > 1 else ""
            self._name = f"{type(self).__name__.lower()}@{place_of(code, lasti)}{nth}"
        return self._name

    @property
    def lock_class(self) -> str:
        """Name of the class of locks it belongs to."""
        return self._class if self._class is not None else self.name

    def set_class(self, lock_class: str) -> None:
        """Give it another class, or say more about the one it has (a `LockClass`)."""
        self._class = lock_class

    def __str__(self) -> str:
        return label(self.name, self.lock_class)

    def release_verb(self, mode: str) -> str:
        """Return what reports call the end of a `with` block."""
        return "release"

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the tasks that must act before *task* can have this in *mode*.

        The one answer to "who blocks this request?". Called with the guard held.
        """
        raise NotImplementedError

    @property
    def shares(self) -> Any:
        """Itself; or what several nodes have in common of which one's change may let a role pass
        another: any object that is equal in each fresh world. For the explorer.
        """
        return self

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether *task* can have this in *mode* now. Called with the guard held."""
        return not self.blockers(task, mode)


def unique_name(lock: Node) -> str:
    """Return what reports call *lock*, with a number if others are called the same."""
    return f"{lock}#{lock.nth}" if lock.nth > 1 else str(lock)


def wait(task: Task, node: Node, mode: str, timeout: float, again: bool = False) -> bool:
    """Park *task* until it is granted *node*; the caller has queued it. Called with the guard held.

    Args:
        timeout: seconds; negative waits for ever.
        again: this wait goes on with a request whose `lock_contended` was told already.

    Returns:
        Whether it was granted. If not, the time is up, the run is being unwound, or
        `task.interrupt` holds what a signal handler raised.
    """
    run = task.run
    if run is not None:
        if task.interrupt is not None:
            return False
        task.waits_on, task.mode, task.timed = node, mode, timeout >= 0
        if not run.contended(task, again):
            task.waits_on = None
            return False
    woken = False
    try:
        woken = park(task, timeout)
    except BaseException as exc:
        task.interrupt = exc
    if run is None:
        return woken
    granted = task.waits_on is None   # else it was let go to unwind
    task.waits_on = None
    return granted


def _tell_look(node: Node) -> None:
    """Let the run know that the caller looks at *node*: others may change what it sees."""
    task = _local.task
    if task.run is not None:
        task.run.look(task, node)


def grant(task: Task) -> None:
    """End the wait of *task*: it has what it asked for. Called with the guard held."""
    task.waits_on = None
    unpark(task)


def ended_wait(task: Task) -> bool:
    """Say False for a wait that ended without a grant, or raise what ended it."""
    if task.run is not None and task.run.unwinding:
        raise Unwind
    if task.interrupt is not None:
        exc, task.interrupt = task.interrupt, None
        raise exc
    return False


class Mutex(Node):
    """A `threading.Lock` with an owner: the kernel's mutex, or a drop-in for `Lock`.

    Not recursive: asking again without a time limit raises outside a run and is a deadlock of one
    inside. Costs about 1.8 times a bare lock while no run is under way. Cannot see what happens to
    other locks.
    """

    __slots__ = ("_lock", "_owner", "_waiters")

    def __init__(self, name: str | None = None, lock_class: str | None = None) -> None:
        Node.__init__(self, name, lock_class)
        self._lock = threading.Lock()
        # The owner's task inside a run, the thread's identifier outside, None while it is free.
        self._owner: Any = None
        self._waiters: deque[Task] = deque()   # parked roles, in order of arrival

    def __enter__(self) -> bool:
        if _active or self._owner is not None:
            task = _local.task
            return self._acquire_in_run(task, True, -1) if task.run is not None else self.acquire()
        self._lock.acquire()
        self._owner = get_ident()
        return True

    def __exit__(self, a: Any, b: Any, c: Any) -> None:
        if self._owner != get_ident():
            self._release()
        else:
            self._owner = None
            self._lock.release()
            # A role that waits has looked at the raw lock since it queued, and its run began
            # before.
            if _active and self._waiters:
                self._hand_over()

    def acquire(self, blocking: bool = True, timeout: float = -1, *, nested: int = 0,
                why: str = "") -> bool:
        """Take the lock, waiting up to *timeout* seconds (negative: for ever) if *blocking*.

        Args:
            nested: subclass of the request: says to prediction that it may nest inside a lock of the
                same class (lockdep's mutex_lock_nested).
            why: the reason, which *nested* needs.

        Returns:
            Whether it was taken.

        Raises:
            RecursiveAcquire: the caller holds it, and asks without a time limit, outside a run.
            ValueError, OverflowError: as `threading.Lock.acquire`.
        """
        if nested:
            return nested_request(nested, why, self.acquire, blocking, timeout)
        if _active:
            task = _local.task
            if task.run is not None:
                return self._acquire_in_run(task, blocking, timeout)
        me = get_ident()
        if self._owner == me and blocking and timeout == -1:
            raise RecursiveAcquire(f"{self} is not recursive and this thread holds it already")
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner = me
        return True

    def release(self) -> None:
        """Give the lock up.

        Raises:
            ForeignRelease: another thread holds it.
            ReleaseWithoutHold: nobody holds it.
        """
        self.__exit__(None, None, None)

    def locked(self) -> bool:
        """Say whether anyone holds it."""
        _tell_look(self)
        return self._lock.locked()

    def nested(self, nested: int, why: str) -> _Nested:
        """Return what takes the lock with a subclass in a ``with`` statement: see `acquire`."""
        return _Nested(self, nested, why)

    def destroy(self) -> None:
        """Tell that its memory is freed or initialised again.

        Raises:
            HeldLockFreed: somebody holds it.
        """
        if self._lock.locked():
            owner = self._owner
            raise HeldLockFreed(f"{self} is freed, but "
                                f"{owner.name if isinstance(owner, Task) else 'a thread'} holds it")

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the owner, if there is one."""
        owner = self._owner
        if owner is None:
            # No role can be between taking the raw lock and noting it while another is asked who
            # blocks it for good: it runs. A thread outside can.
            return [OUTSIDE] if task.waits_on is self else []
        return [owner] if isinstance(owner, Task) else [OUTSIDE]

    def _acquire_in_run(self, task: Task, blocking: bool, timeout: float) -> bool:
        if timeout != -1:
            threading.Lock().acquire(blocking, timeout)   # the argument rules of a plain lock
        run = task.run
        task.trylock, task.timed = not blocking, timeout >= 0
        try:
            for hook in run.on_acquire:
                hook(task, self, EXCLUSIVE)
        except Expired:
            return False
        if not self._lock.acquire(False):
            if not blocking:
                return False
            if not self._contend(task, timeout):
                if not run.over or task.interrupt is not None:
                    return ended_wait(task)
                if not self._lock.acquire(True, timeout):
                    return False
        self._owner = task
        task.held.append((self, EXCLUSIVE, task.chain))
        for hook in run.on_acquired:
            hook(task, self, EXCLUSIVE)
        return True

    def _contend(self, task: Task, timeout: float) -> bool:
        enter()
        if task.run.over:   # no longer parked here: nobody may look for waiters
            leave()
            return False
        self._waiters.append(task)
        granted = self._lock.acquire(False) or wait(task, self, EXCLUSIVE, timeout)
        if task in self._waiters:
            self._waiters.remove(task)
        leave()
        return granted

    def _release(self) -> None:
        """Release inside a run, or refuse."""
        task, owner = _local.task, self._owner
        if owner is not task:
            if owner is None:
                raise ReleaseWithoutHold(f"{self} is released, but nobody holds it")
            holder = owner.name if isinstance(owner, Task) else "another thread"
            raise ForeignRelease(f"{self} is released by {task.name}, but {holder} holds it")
        for hook in task.run.on_release:
            hook(task, self, EXCLUSIVE)
        drop(task, self)
        self._owner = None
        self._lock.release()
        if self._waiters:
            self._hand_over()

    def _hand_over(self) -> None:
        enter()
        if self._waiters and self._lock.acquire(False):
            heir = self._waiters.popleft()
            self._owner = heir
            grant(heir)
        leave()

    def __repr__(self) -> str:
        state = "locked" if self._lock.locked() else "unlocked"
        return f"<{state} {type(self).__module__}.{type(self).__qualname__} object " \
               f"{self.name!r} at {id(self):#x}>"

    def _at_fork_reinit(self) -> None:
        self._lock._at_fork_reinit()   # type: ignore[attr-defined]
        self._owner = None
        self._waiters.clear()


class _Nested:
    """A request with a subclass: entering takes the lock, leaving releases it."""

    __slots__ = ("_mutex", "_nested", "_why")

    def __init__(self, mutex: Mutex, nested: int, why: str) -> None:
        self._mutex, self._nested, self._why = mutex, nested, why

    def __enter__(self) -> bool:
        return self._mutex.acquire(nested=self._nested, why=self._why)

    def __exit__(self, a: Any, b: Any, c: Any) -> None:
        self._mutex.release()


def drop(task: Task, lock: Node) -> None:
    """Forget the latest hold of *lock* by *task*."""
    held = task.held
    if held[-1][0] is lock:
        del held[-1]
        return
    for i in range(len(held) - 1, -1, -1):
        if held[i][0] is lock:
            del held[i]
            return


class Completion(Node):
    """The kernel's completion: `wait` returns once `complete` was called for it.

    A wait may name the thread that is expected to end it; then it is an edge of the wait-for graph
    like any other. A wait that names nobody can only end as a hang.
    """

    __slots__ = ("_done", "_waiters", "_by")

    def __init__(self, name: str | None = None, lock_class: str | None = None) -> None:
        Node.__init__(self, name, lock_class)
        self._done: float = 0              # how many waits may pass; infinite after complete_all
        self._waiters: deque[Task] = deque()
        self._by: dict[Task, Any] = {}     # whom each waiting task expects to end its wait

    def complete(self) -> None:
        """Let one wait pass: the one that came first, else the next to come."""
        self._tell_release("complete")
        enter()
        if self._waiters:
            grant(self._waiters.popleft())
        else:
            self._done += 1
        leave()

    def complete_all(self) -> None:
        """Let every wait pass, from now on."""
        self._tell_release("set")
        enter()
        self.finish()
        leave()

    def finish(self) -> None:
        """Do what `complete_all` does. Called with the guard held."""
        self._done = float("inf")
        while self._waiters:
            grant(self._waiters.popleft())

    def reinit(self) -> None:
        """Make it as new: later waits wait again."""
        self._tell_release("clear")
        self._done = 0

    def _tell_release(self, how: str) -> None:
        task = current()
        task.tells = how
        if task.run is not None:
            for hook in task.run.on_release:
                hook(task, self, WAIT)

    @property
    def passes(self) -> float:
        """How many waits would pass at once; infinite after `complete_all`."""
        return self._done

    def done(self) -> bool:
        """Say whether a wait would pass at once."""
        _tell_look(self)
        return self._done > 0

    def wait(self, timeout: float | None = None, by: Any = None) -> bool:
        """Wait until completed.

        Args:
            timeout: seconds; None waits for ever, a negative number not at all.
            by: who is expected to complete it: a role's name, a `threading.Thread`, or a callable
                that returns one of them or None when asked (at detection; it must take no lock).

        Returns:
            False if the time was up.
        """
        task = current()
        run = task.run
        if run is None:
            return self._wait(task, timeout, by) or ended_wait(task)
        task.trylock, task.timed = False, timeout is not None
        self._by[task] = by   # an observer may hold the task here, and be asked whom it waits for
        try:
            for hook in run.on_acquire:
                hook(task, self, WAIT)
            granted = self._wait(task, timeout, by)
        except Expired:
            return False
        finally:
            self._by.pop(task, None)
        if not granted:
            return ended_wait(task)
        for hook in run.on_acquired:
            hook(task, self, WAIT)
        return True

    def _wait(self, task: Task, timeout: float | None, by: Any) -> bool:
        enter()
        if self._done > 0:
            self._done -= 1
            leave()
            return True
        self._waiters.append(task)
        self._by[task] = by
        granted = wait(task, self, WAIT, -1 if timeout is None else max(timeout, 0))
        if task in self._waiters:
            self._waiters.remove(task)
        self._by.pop(task, None)
        leave()
        return granted

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the task expected to complete it, if the wait named one that has not ended."""
        by = self._by.get(task)
        if callable(by):
            try:
                by = by()
            except Exception as exc:   # the guard is held: it must come out as a finding, not from here
                self._by[task] = by = None
                task.run.complain(f"{task.name} waits for {self}, and asking who is to end that raised", exc)
        bringer = task.run.find(by) if by is not None and task.run is not None else None
        return [bringer] if bringer is not None and not bringer.ended else []

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether a wait would pass at once."""
        return self._done > 0

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {'done' if self._done else 'not done'}>"
