"""RWSemaphore: a lock of `readerwriterlock` with the kernel's names, and an account of its own.

Who waits and who goes next is decided by the package's own code. We give it its inner locks
(`lock_factory`), so that a role that must wait does so in the parking lot of parking.py, where it
can be let go; the package then sees a failed acquire and rolls back. It never sees an exception,
which would break it for good.

Inside a run every call into the package is made with the guard held, so that it is never
interrupted half way: an inner lock that is taken means that someone waits or holds, not that a
thread was preempted. Owners are kept here, by task: the package's inner locks are taken by the
first reader and released by the last.

This file is long because every way to take it and to give it up has to keep the account in step
with the package.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from readerwriterlock.rwlock import RWLockFair, RWLockRead, RWLockWrite

from .arguments import limit, one_of
from .calls import is_deeper, room
from .errors import ForeignRelease, HeldLockFreed, ReleaseWithoutHold
from .node import Guard, Node, OUTSIDE, ask, drop, ended_wait, nested_request, refused
from .outsiders import listeners, saw, wait_outside
from .parking import afterwards, guarded, refuse_to_wait
from .task import EXCLUSIVE, SHARED, Task, this_thread
from .rwsem_inner import InnerLock, Request
from .policies import POLICIES
from .rwsem_policy import blocked_by

_SHALLOW = 30    # calls that led to a request: far from the end of any stack


check_policy = one_of(POLICIES)
_CLASSES = dict(zip(POLICIES, (RWLockWrite, RWLockFair, RWLockRead)))


class RWSemaphore(Node):
    """The kernel's rw_semaphore over a reader/writer lock of `readerwriterlock`.

    Args:
        policy: "writer" (default: a queued writer keeps every new reader out, also one that holds
            a read already), "fair" (in order of arrival) or "reader" (readers enter while readers
            hold).

    `down_read` and `down_write` acquire when called; use ``with sem.down_read():`` or call
    `up_read` later. Not recursive. Costs about 1.2 times the package's own lock while no run is
    under way.

    `queue`: roles that wait, here or elsewhere, and writers outside a run, by arrival. Roles enter
    and leave it with the guard held.
    """

    __slots__ = ("policy", "_rw", "_new_hold", "_inner", "_readers", "_writer", "_hold", "queue",
                 "_observed", "_read_guard", "_write_guard")

    def __init__(self, name: str | None = None, lock_class: str | None = None,
                 policy: str = "writer") -> None:
        Node.__init__(self, name, lock_class)
        if type(policy) is not str or policy not in POLICIES:
            check_policy("policy", policy)
        self.policy = policy
        self._inner: list[InnerLock] = []
        self._rw = _CLASSES[policy](lock_factory=self._make_inner)   # type: ignore
        self._new_hold = {SHARED: self._rw.gen_rlock, EXCLUSIVE: self._rw.gen_wlock}
        self._readers: dict[Task, tuple[Any, Any]] = {}   # latest hold, entry before it or None
        self._writer: Task | None = None
        self._hold: Any = None    # the writer's hold
        self.queue: list[tuple[Task, str]] = []
        self._observed = False
        self._read_guard = Guard(self.up_read)
        self._write_guard = Guard(self.up_write)

    def _make_inner(self) -> InnerLock:
        inner = InnerLock()
        self._inner.append(inner)
        return inner

    def down_read(self, *, nested: int = 0, why: str = "") -> Guard:
        """Take it for reading; *nested* and *why* as for `Mutex.acquire`."""
        if nested:
            nested_request(nested, why, self.down_read)
        else:
            self._down(SHARED, -1)
        return self._read_guard

    def down_write(self, *, nested: int = 0, why: str = "") -> Guard:
        """Take it for writing; *nested* and *why* as for `Mutex.acquire`."""
        if nested:
            nested_request(nested, why, self.down_write)
        else:
            self._down(EXCLUSIVE, -1)
        return self._write_guard

    def down_read_timeout(self, timeout: float) -> bool:
        """Take it for reading within *timeout* seconds; return whether that was possible."""
        limit("timeout", timeout)
        return self._down(SHARED, max(timeout, 0))

    def down_write_timeout(self, timeout: float) -> bool:
        """Take it for writing within *timeout* seconds; return whether that was possible."""
        limit("timeout", timeout)
        return self._down(EXCLUSIVE, max(timeout, 0))

    def _down(self, mode: str, timeout: float) -> bool:
        task = this_thread.task
        if task.run is not None:
            return self._acquire_in_run(task, mode, timeout)
        hold = self._new_hold[mode]()
        task.acquiring = True
        acquire, how = hold.acquire, (True, timeout)
        if listeners:
            acquire, how = wait_outside, (task, self, mode, timeout >= 0, acquire, *how)
        if mode == SHARED:
            acquired = acquire(*how)
        else:
            entry = (task, EXCLUSIVE)
            self.queue.append(entry)
            acquired = acquire(*how)
            # The writer is noted before the queue forgets it: a trylock must see one of the two.
            if acquired:
                self._writer = task
            self.queue.remove(entry)
        task.acquiring = False
        if not acquired:
            return ended_wait(task)
        self._add(task, mode, hold)
        return True

    def down_read_trylock(self) -> bool:
        """Take it for reading if that is possible now."""
        return self._try(SHARED)

    def down_write_trylock(self) -> bool:
        """Take it for writing if that is possible now."""
        return self._try(EXCLUSIVE)

    def _try(self, mode: str) -> bool:
        task = this_thread.task
        if task.run is None:
            if listeners:
                saw(task, self)
        elif not ask(task, self, mode, trylock=True):
            return refused(task, self, mode)
        while (answer := self._try_once(task, mode)) is None:
            time.sleep(0)   # a thread is inside the package: let it finish
        if task.run is not None:
            if not answer:
                return refused(task, self, mode)
            self._tell_acquired(task, mode)
        return answer

    def _try_once(self, task: Task, mode: str) -> bool | None:
        """Answer as the account says; None if the package refuses what the account allows."""
        with guarded:
            if self.blockers(task, mode):
                return False
            self._make_room(task)
            hold = self._new_hold[mode]()
            request = Request(self, mode, self.queue, may_park=False)   # the guard is held
            if not self._call_package(task, request, hold.acquire, False):
                return None
            self._add(task, mode, hold)
            return True

    def _acquire_in_run(self, task: Task, mode: str, timeout: float) -> bool:
        if not ask(task, self, mode, timed=timeout >= 0):
            return refused(task, self, mode)
        hold = self._new_hold[mode]()
        request = Request(self, mode, self.queue, may_park=True)
        self._make_room(task)
        with guarded:
            if not self._observed:
                # From the first use in a run on, releases look for roles that wait.
                self._observed = True
                for inner in self._inner:
                    inner.release = inner.observed_release
            acquired = self._call_package(task, request, hold.acquire, True, timeout)
            if request.queued:
                self.queue.remove((task, mode))
            if acquired:
                self._add(task, mode, hold)
        if not acquired:
            return refused(task, self, mode)
        self._tell_acquired(task, mode)
        return True

    def _call_package(self, task: Task, request: Request, call: Any, *how: Any) -> Any:
        """Call into the package. With the guard, but never in the middle of such a call."""
        if task.request is not None:
            refuse_to_wait()
        task.request = request
        try:
            return call(*how)
        finally:
            task.request = None

    def _tell_acquired(self, task: Task, mode: str) -> None:
        try:
            for hook in task.run.on_acquired:
                hook(task, self, mode)
        except BaseException:
            # Whoever hears of it does not have the lock.
            if self._writer is task if mode == EXCLUSIVE else task in self._readers:
                self._release(task, mode)
                drop(task, self)
            raise

    def _add(self, task: Task, mode: str, hold: Any) -> None:
        if mode == EXCLUSIVE:
            self._writer, self._hold = task, hold
        else:
            self._readers[task] = hold, self._readers.get(task)
        if task.run is not None:
            task.held.append((self, mode, task.chain))

    def up_read(self) -> None:
        """Give one read hold up.

        Raises:
            ForeignRelease: only other threads hold it for reading.
            ReleaseWithoutHold: nobody does.
        """
        self.release_hold(SHARED)

    def up_write(self) -> None:
        """Give the write hold up.

        Raises:
            ForeignRelease: another thread holds it for writing.
            ReleaseWithoutHold: nobody does.
        """
        self.release_hold(EXCLUSIVE)

    def release_hold(self, mode: str) -> None:
        """Give one hold in *mode* up: see `up_read` and `up_write`."""
        task = this_thread.task
        if self._writer is not task if mode == EXCLUSIVE else task not in self._readers:
            self._refuse(task, mode)
        if task.run is None:
            self._take_hold(task, mode).release()
            if listeners:
                saw(task, self, releases=True)
            if task.interrupt is not None:
                ended_wait(task)
            return
        for hook in task.run.on_release:
            hook(task, self, mode)
        self._make_room(task)
        self._release(task, mode)
        drop(task, self)

    def _make_room(self, task: Task) -> None:
        """See that the package is not stopped half way by the end of the stack."""
        if is_deeper(task.chain, _SHALLOW) or not task.chain:
            room()

    def _release(self, task: Task, mode: str) -> None:
        with guarded as interrupts:
            if interrupts:
                afterwards(partial(self._release, task, mode))
            else:
                request = Request(self, mode, self.queue, may_park=False)
                self._call_package(task, request, self._take_hold(task, mode).release)

    def _take_hold(self, task: Task, mode: str) -> Any:
        """Take the latest hold of *task* out of the account."""
        if mode == EXCLUSIVE:
            hold, self._writer, self._hold = self._hold, None, None
            return hold
        hold, before = self._readers.pop(task)
        if before is not None:
            self._readers[task] = before
        return hold

    def _refuse(self, task: Task, mode: str) -> None:
        refused = f"{self}: {RWSemaphore.release_verb(self, mode)} by {task.name}, but"
        who = ", ".join(holder.name for holder, held in self.holders() if held == mode)
        if who:
            raise ForeignRelease(f"{refused} {who} holds it")
        raise ReleaseWithoutHold(f"{refused} nobody holds it so")

    def destroy(self) -> None:
        """Tell that its memory is freed or initialised again.

        Raises:
            HeldLockFreed: somebody holds it.
        """
        who = ", ".join(task.name for task, _ in self.holders())
        if who:
            raise HeldLockFreed(f"{self} is freed, but {who} holds it")

    def release_verb(self, mode: str) -> str:
        """Return the kernel's name for giving it up."""
        return "up_write" if mode == EXCLUSIVE else "up_read"

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return who must act before *task* can have it in *mode*: see `blocked_by`."""
        blockers = blocked_by(self.policy, self._writer, self._readers, self.queue, task, mode)
        if not blockers and task.waits_on is self:
            return [OUTSIDE]   # about to take note of it, or to let it go: see Mutex.blockers
        return blockers

    def holders(self) -> list[tuple[Task, str]]:
        """Return who holds it, and how."""
        writer = [(self._writer, EXCLUSIVE)] if self._writer is not None else []
        return writer + [(task, SHARED) for task in self._readers]

    def __repr__(self) -> str:
        held = ", ".join(f"{task.name} ({mode})" for task, mode in self.holders()) or "free"
        return f"<RWSemaphore {self.name!r} {held}>"
