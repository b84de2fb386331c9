"""The interpreter: what one thread does in order on the harness's own locks, in either notation.

Whatever observes those locks sees programs too. Which operations programs have, and what they mean,
is said in program.py; those of a lock validator's cases are in threads.py. Nothing is checked again
here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from ..locks.callsite import nameless
from ..locks.errors import LockMisuse
from ..locks.mutex import Mutex
from ..locks.node import Node
from ..locks.parking import guarded, unpark
from ..locks.task import EXCLUSIVE, SHARED, Task, Unwind, current
from ..locks.rwsem import RWSemaphore
from .locks import (ESCAPING, ActiveReferences, Cancellers, Completers, Flag, ProgramCompletion,
                    ProgramMutex, ReentrantMutex, nobody)

THE_END = 1 << 30    # skipping that many operations ends every thread
Step = Callable[[], int | None]    # does one operation; returns how many to skip, None for none
_REASON = "the case says so"       # why a lock of a validator's case is nested


class Interpreter:
    """One thread: an operation is the method of that name, here or of the lock or flag it is about.

    The name is the verb of the reports too. These are several steps each:

    - ``kn_drain``, ``srcu_sync``: to write, and to release at once.
    - ``sync``: look whether it has begun, and wait for its end. A thread that is cancelled goes no
      further: it never gets what it waits for (it waits for nothing if it begins first of all).
    - ``set`` and ``clear`` of a flag that somebody waits to be clear.

    Args:
        syncs, joins: how many operations wait for its end; the first cancel it if it has not begun.
        syncers: who has such a ``sync`` before them still.
        escapable: somebody may be cancelled waiting for its end.
        ends: False for the task of a validator's case: what it holds last it may hold for ever.

    Attributes:
        at: index of the operation it is at.
        begun, ended: for those who ask or wait for it.
        cancelled: it goes no further.
    """

    def __init__(self, name: str, operations: Sequence[object], syncs: int = 0, joins: int = 0,
                 syncers: Completers = nobody, cancellers: Cancellers = nobody,
                 ends: bool = True, escapable: bool = False) -> None:
        self.name, self._operations, self._ends = name, operations, ends
        self.at = 0
        # Who looks whether it has begun may cancel it: that changes what the others come to.
        shares = ESCAPING if syncs or escapable else None
        self.begun = ProgramCompletion(f"begin of {name}", self.tasks, shares, cancellers)
        self.ended = ProgramCompletion(name, self.tasks, shares, cancellers)
        self._cancel = ProgramCompletion(f"cancel of {name}", syncers, shares, cancellers)
        self._may_be_cancelled, self._awaited_by = syncs > 0, syncs + joins
        self.cancelled = False
        self._subclass: dict[Node, int] = {}
        self._last_mode: dict[Node, str] = {}    # how a lock was taken last

    def step(self, operation: str, target: object, *more: object) -> Step:
        """Return an operation on *target*, ready to be called."""
        if hasattr(self, operation):
            step: Step = functools.partial(getattr(self, operation), target, *more)
        else:
            step = getattr(target, operation)
        return functools.partial(self._unless_cancelled, step) if self._may_be_cancelled else step

    @nameless
    def _unless_cancelled(self, step: Step) -> int | None:
        """Do *step*, unless it was cancelled; until it has begun that is for others to say.

        What it got while it was cancelled it never had: it is given back.
        """
        if not self.begun.passes and self._cancel.poll():
            return THE_END
        held = len(current().held)
        skip = step()
        if self.cancelled:
            for lock, mode, _ in reversed(current().held[held:]):
                lock.release_hold(mode)
        return skip

    def tasks(self, waiter: Task) -> list[Task]:
        """Return its task in the run of *waiter*, unless it is over."""
        run = waiter.run
        task: Task | None = None if run is None or self.ended.passes else run.find(self.name)
        return [] if task is None or task.ended else [task]

    def exit(self) -> None:
        """Tell those who wait for its end."""
        self.at = len(self._operations)
        for lock, _, _ in reversed(list(current().held)):
            if not self._ends:
                self.release(lock)
            elif isinstance(lock, ReentrantMutex):
                lock.depth = 0    # the next release is the last
        if self._awaited_by and not self.cancelled:
            self.ended.complete_all()

    def _try_cancel(self) -> bool:
        """Let it go no further if it has not begun; return whether that is so."""
        # Told before it is decided: the event lets others go on, and it may begin meanwhile. Under
        # the guard it neither begins, nor begins to wait, between the look and the interrupt.
        self._cancel.complete_all()
        with guarded:
            self.cancelled = self.cancelled or not self.begun.passes
            if self.cancelled:
                for task in self.tasks(current()):
                    task.interrupt = Unwind()    # it goes no further, if it waits or is about to
                    if task.waits_on is not None:
                        unpark(task)
                self.ended.finish()    # after `tasks`, which has none of a thread that is over
        if self.cancelled and self._awaited_by > 1:
            self.ended.complete_all()
        return self.cancelled

    # exclusive locks

    def lock(self, mutex: ProgramMutex) -> None:
        mutex.acquire()

    def unlock(self, mutex: ProgramMutex) -> None:
        mutex.release()

    def trylock(self, lock: Mutex | RWSemaphore, skip: int = 0, mode: str = EXCLUSIVE) -> int:
        if isinstance(lock, Mutex):
            taken = lock.acquire(False)
        else:
            taken = lock.down_write_trylock() if mode == EXCLUSIVE else lock.down_read_trylock()
        if taken:
            self._last_mode[lock] = mode
        return 0 if taken else skip

    def lock_unless(self, mutex: ProgramMutex, skip: int, flag: Flag) -> int:
        return 0 if mutex.acquire_unless(flag) else skip

    def take(self, mutex: ProgramMutex) -> None:
        self._taken(mutex.acquire(False))

    # reader/writer locks

    def down_read(self, semaphore: RWSemaphore) -> None:
        semaphore.down_read()

    def down_write(self, semaphore: RWSemaphore) -> None:
        semaphore.down_write()

    def down_read_trylock(self, semaphore: RWSemaphore, skip: int) -> int:
        return 0 if semaphore.down_read_trylock() else skip

    def down_write_trylock(self, semaphore: RWSemaphore, skip: int) -> int:
        return 0 if semaphore.down_write_trylock() else skip

    def take_read(self, semaphore: RWSemaphore) -> None:
        self._taken(semaphore.down_read_trylock())

    def take_write(self, semaphore: RWSemaphore) -> None:
        self._taken(semaphore.down_write_trylock())

    def _taken(self, taken: bool) -> None:
        if not taken:
            raise LockMisuse(f"{self.name} has left the recorded path: its operation {self.at} "
                             f"({self._operations[self.at]}) succeeded when it was recorded")

    # references

    def kn_get(self, references: ActiveReferences) -> int:
        if not references.down_read_trylock():
            return THE_END
        if references.dead:
            references.up_read()
            return THE_END
        return 0

    def kn_drain(self, references: ActiveReferences) -> None:
        references.down_write()
        references.dead = True
        references.up_write()

    def srcu_read(self, references: ActiveReferences) -> None:
        references.down_read()

    def srcu_sync(self, references: ActiveReferences) -> None:
        references.down_write()
        references.up_write()

    # flags

    def wait(self, flag: Flag) -> None:
        flag.when_set.wait()

    def wait_clear(self, flag: Flag) -> None:
        flag.when_clear.wait()

    def jump_if(self, flag: Flag, skip: int) -> int:
        return skip if flag.when_set.poll() else 0

    def jump_unless(self, flag: Flag, skip: int) -> int:
        return 0 if flag.when_set.poll() else skip

    # threads

    def begin(self, thread: Interpreter) -> int:
        if thread._may_be_cancelled:
            thread.begun.complete_all()
        return THE_END if self.cancelled else 0

    def join(self, thread: Interpreter) -> None:
        thread.ended.wait()

    def sync(self, thread: Interpreter) -> None:
        if thread.begun.poll() or not thread._try_cancel():
            thread.ended.wait()

    # locks of a validator's case; `trylock` is above

    def write(self, lock: Mutex | RWSemaphore) -> None:
        nested = self._subclass.get(lock, 0)
        if isinstance(lock, Mutex):
            lock.acquire(nested=nested, why=_REASON)
        else:
            lock.down_write(nested=nested, why=_REASON)
        self._last_mode[lock] = EXCLUSIVE

    def read(self, lock: RWSemaphore) -> None:
        lock.down_read(nested=self._subclass.get(lock, 0), why=_REASON)
        self._last_mode[lock] = SHARED

    def release(self, lock: Mutex | RWSemaphore) -> None:
        modes = [mode for held, mode, _ in current().held if held is lock]
        lock.release_hold(modes[-1] if modes else self._last_mode.get(lock, EXCLUSIVE))

    def init(self, lock: Mutex | RWSemaphore) -> None:
        lock.destroy()
        self._subclass.pop(lock, None)

    def subclass(self, lock: Node, number: int = 1) -> None:
        self._subclass[lock] = number
