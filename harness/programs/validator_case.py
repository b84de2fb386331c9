"""Cases of a lock validator on real threads: one task, one role, real locks.

A validator learns from what one task does in program order. So does prediction here: the role does
it all, one section after the other, and its run is what is judged. A sequence that no thread can do
(it takes a mutex twice) is what it would be in a kernel: a thread that waits for itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..locks.mutex import Mutex
from ..locks.task import EXCLUSIVE, SHARED, current
from ..locks.rwsem import RWSemaphore
from ..runtime.scenario import Scenario
from .source_lines import compiled

# What acquires, with its mode; with a T before it, only if that is possible at once.
_ACQUIRE = {"W": EXCLUSIVE, "R": SHARED, "RR": SHARED}
OPERATIONS = (*_ACQUIRE, *(f"T{name}" for name in _ACQUIRE), "U", "I", "SUBCLASS")
ROLE = "task"
_REASON = "the case says so"


def sequence_of(operations: Sequence[tuple[Any, ...]], locks: dict[str, tuple[str, str]], name: str,
                file: str, lines: Sequence[int], policy: str = "writer",
                reference: tuple[str, dict[str, Any]] | None = None) -> Callable[[], Scenario]:
    """Return the scenario factory whose one role, `ROLE`, does *operations* in order.

    A lock that is ever read is a semaphore, any other a mutex, whatever its type is called. One
    that is read recursively lets readers in past writers that wait.

    Args:
        operations: (operation, lock), and a number for ``SUBCLASS``.
        locks: name -> (type, class).
        file, lines: where each operation stands.
        policy: of the semaphores that are not read recursively.
        reference: how another process finds the factory.
    """
    function = compiled(ROLE, len(operations), file, lines)

    def factory() -> Scenario:
        made = {lock: _make(lock, kind, lock_class, _used(operations, lock), policy)
                for lock, (kind, lock_class) in locks.items()}
        task = _Task()
        steps = [functools.partial(*_method(task, operation), made[lock], *more)
                 for operation, lock, *more in operations]
        return Scenario({ROLE: functools.partial(function, task, steps)})

    factory.scenario_name = name            # type: ignore[attr-defined]
    if reference is not None:
        factory.reference = reference       # type: ignore[attr-defined]
    return factory


def _used(operations: Iterable[tuple[Any, ...]], lock: str) -> set[str]:
    return {operation.removeprefix("T") for operation, name, *_ in operations if name == lock}


def _make(name: str, kind: str, lock_class: str, used: set[str], policy: str) -> Any:
    if kind == "rwlock" or "RR" in used:
        return RWSemaphore(name, lock_class, "reader")
    if kind == "rwsem" or "R" in used:
        return RWSemaphore(name, lock_class, policy)
    return Mutex(name, lock_class)


def _method(task: _Task, operation: str) -> tuple[Any, ...]:
    mode = _ACQUIRE.get(operation.removeprefix("T"))
    if mode is None:
        return ({"U": task.release, "I": task.init, "SUBCLASS": task.subclass}[operation],)
    if operation.startswith("T"):
        return task.trylock, mode
    return (task.write if mode == EXCLUSIVE else task.read,)


class _Task:
    """The task: an operation is a method."""

    def __init__(self) -> None:
        self.at = 0
        self._subclass: dict[Any, int] = {}
        self._taken: dict[Any, str] = {}    # how each lock was taken last

    def write(self, lock: Any) -> None:
        self._acquire(lock, EXCLUSIVE)

    def read(self, lock: Any) -> None:
        self._acquire(lock, SHARED)

    def _acquire(self, lock: Any, mode: str) -> None:
        number = self._subclass.get(lock, 0)
        nested = {"nested": number, "why": _REASON} if number else {}
        if isinstance(lock, Mutex):
            lock.acquire(**nested)
        else:
            (lock.down_write if mode == EXCLUSIVE else lock.down_read)(**nested)
        self._taken[lock] = mode

    def trylock(self, mode: str, lock: Any) -> None:
        if isinstance(lock, Mutex):
            taken = lock.acquire(False)
        else:
            taken = (lock.down_write_trylock if mode == EXCLUSIVE else lock.down_read_trylock)()
        if taken:
            self._taken[lock] = mode

    def release(self, lock: Any) -> None:
        held = [mode for each, mode, _ in current().held if each is lock]
        mode = held[-1] if held else self._taken.get(lock, EXCLUSIVE)
        if isinstance(lock, Mutex):
            lock.release()
        elif mode == EXCLUSIVE:
            lock.up_write()
        else:
            lock.up_read()

    def init(self, lock: Any) -> None:
        lock.destroy()
        self._subclass.pop(lock, None)

    def subclass(self, lock: Any, number: int = 1) -> None:
        self._subclass[lock] = number

    def exit(self) -> None:
        """Release what is held still: a task of a validator's case does not end, a thread does."""
        for lock, _, _ in reversed(list(current().held)):
            self.release(lock)
