"""The seam: the kernel's locking verbs over the locks of the harness.

This is the only file of the model that imports the harness.  Every verb takes its lock when it is
called and returns a guard that gives the lock back at the end of a ``with`` block, which stands
where the unlock stands in C.  A thread that is made to leave by an exception lets go of its locks
on the way out, without a line of the model knowing about it.  Verbs on a struct stand beside it:
device_lock() in device.py, pci_cfg_access_lock() in access.py; ``vocabulary`` declares them.

Lock order: none of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Thread
from types import TracebackType

from harness import Completion, LockClass, Mutex, RWSemaphore, vocabulary

__all__ = [
    "Completion", "LockClass", "Mutex", "MutexGuard", "RWSemaphore", "complete_all", "down_read",
    "down_write", "init_completion", "init_rwsem", "lockdep_set_novalidate_class", "msleep",
    "mutex_init", "mutex_lock", "vocabulary", "wait_for_completion",
]

vocabulary(__file__)


class MutexGuard:
    """A mutex that is held: leaving the ``with`` block is mutex_unlock()."""

    __slots__ = ("mutex",)

    def __init__(self, mutex: Mutex) -> None:
        self.mutex = mutex

    def __enter__(self) -> MutexGuard:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.mutex.release()


def mutex_init(name: str, lock_class: str | None = None) -> Mutex:
    """Make a mutex: mutex_init(), or DEFINE_MUTEX() for a static one."""
    return Mutex(name, lock_class)


def lockdep_set_novalidate_class(mutex: Mutex) -> None:
    """Hide *mutex* from the kernel's lock validator: lockdep_set_novalidate_class(), lockdep.h."""
    mutex.set_class(LockClass(
        mutex.lock_class, novalidate="lockdep_set_novalidate_class() exempts it"))


def init_rwsem(name: str, lock_class: str | None = None, policy: str = "writer") -> RWSemaphore:
    """Make a reader/writer semaphore: init_rwsem(), or DECLARE_RWSEM() for a static one."""
    return RWSemaphore(name, lock_class, policy=policy)


def init_completion(name: str, lock_class: str | None = None) -> Completion:
    """Make a completion that is not done: init_completion()."""
    return Completion(name, lock_class)


def mutex_lock(mutex: Mutex) -> MutexGuard:
    """Take *mutex*, sleeping for it without limit: mutex_lock()."""
    mutex.acquire()
    return MutexGuard(mutex)


def down_read(sem: RWSemaphore) -> AbstractContextManager[object]:
    """Take *sem* as one of its readers: down_read(); the guard is up_read()."""
    return sem.down_read()


def down_write(sem: RWSemaphore) -> AbstractContextManager[object]:
    """Take *sem* as its only writer: down_write(); the guard is up_write()."""
    return sem.down_write()


def wait_for_completion(done: Completion, by: Callable[[], Thread | None] | None = None) -> None:
    """Sleep until *done* is completed, by the thread that *by* names: wait_for_completion()."""
    done.wait(by=by)


def complete_all(done: Completion) -> None:
    """Wake every thread that waits for *done*, now and later: complete_all()."""
    done.complete_all()


def msleep(milliseconds: float, time_scale: float) -> None:
    """Sleep by the clock of a world in which a second takes *time_scale* seconds."""
    # A scale of 0 still lets other threads run: a kernel sleep is a point where they do.
    time.sleep(milliseconds * time_scale / 1000)
