"""The rules of the kernel's lock validator (lockdep): classes, strong paths, recursion, misuse.

One task at a time tells what it does; the first finding of each kind is a headline in the kernel's
words. The rules are those of kernels 5.10 and later (lockdep-design.rst, kernel/locking/lockdep.c):
recursive readers are part of the graph, and a cycle counts only if it is strong.

This is what the kernel would say, blind spots included: it looks at classes, never at instances,
and adds edges from the locks held last only. Prediction proper is in graph.py and cycles.py, which
has the same `Validator` judge what was recorded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..locks.errors import HeldLockFreed, RecursiveAcquire, ReleaseWithoutHold, ScenarioError

CIRCULAR = "possible circular locking dependency detected"
RECURSIVE = RecursiveAcquire.headline
UNBALANCED = ReleaseWithoutHold.headline
FREED = HeldLockFreed.headline
WAIT_CONTEXT = "Invalid wait context"

WRITE, READ, RECURSIVE_READ = "W", "R", "RR"   # lockdep's read = 0, 1, 2

SUBCLASSES = 8          # of a class: MAX_LOCKDEP_SUBCLASSES
TYPES = ("mutex", "rtmutex", "rt_mutex", "ww_mutex", "spin", "spinlock", "raw_spin", "raw_spinlock",
         "local_lock", "rwsem", "percpu_rwsem", "rwlock", "seqlock", "rcu", "srcu", "map")

# What may sleep inside what: a lock is refused inside one of a lower level (wait types of lockdep).
_LEVELS = {"raw_spin": 2, "raw_spinlock": 2, "spin": 3, "spinlock": 3, "rwlock": 3, "mutex": 4,
           "rwsem": 4, "rtmutex": 4, "rt_mutex": 4, "ww_mutex": 4}

_At = tuple[Hashable, bool]     # a class, and whether only a recursive read leads to it


class Edge(NamedTuple):
    """A lock of class *source* was held while one of class *target* was asked for.

    `shared`: it was held by a reader. `recursive`: it was asked for by a recursive reader.
    """

    source: Hashable
    target: Hashable
    shared: bool
    recursive: bool


class ClassGraph:
    """Which class was asked for while which was held.

    A path is strong unless somewhere a recursive read is followed by a read hold of the same class:
    those two do not block each other.
    """

    def __init__(self) -> None:
        self._out: dict[Hashable, dict[Edge, None]] = {}

    def add(self, edge: Edge) -> None:
        """Add *edge*, once however often it is added."""
        self._out.setdefault(edge.source, {})[edge] = None

    def strong_path(self, closing: Edge) -> list[Edge] | None:
        """Return a shortest path that *closing* turns into a strong cycle, or None.

        It leads from the class asked for back to the class held. Each class is visited once with
        and once without the mark that only a recursive read leads to it.
        """
        start = closing.target, closing.recursive
        came: dict[_At, tuple[_At, Edge] | None] = {start: None}
        todo = deque([start])
        while todo:
            at = todo.popleft()
            lock_class, only_recursive = at
            if lock_class == closing.source and not (closing.shared and only_recursive):
                path = []
                while (step_back := came[at]) is not None:
                    at, edge = step_back
                    path.append(edge)
                return path[::-1]
            for edge in self._out.get(lock_class, ()):
                step = edge.target, edge.recursive
                if step not in came and not (only_recursive and edge.shared):
                    came[step] = at, edge
                    todo.append(step)
        return None


@dataclass
class Hold:
    """A lock on a task's stack of held locks."""

    lock: Hashable
    lock_class: Hashable
    mode: str
    trylock: bool = False
    level: int | None = None


class Report(NamedTuple):
    """What the validator would print: the headline and the classes of the cycle, in order."""

    headline: str
    classes: tuple[Hashable, ...]


@dataclass
class Validator:
    """The validator of one machine. It goes on after a finding; the kernel's turns itself off."""

    graph: ClassGraph = field(default_factory=ClassGraph)

    def acquire(self, held: list[Hold], new: Hold) -> Report | None:
        """Let the task whose stack is *held* ask for and get *new*; return what is wrong."""
        report = None if new.trylock else self._wait_context(held, new) or self._check(held, new)
        held.append(new)
        return report

    def release(self, held: list[Hold], lock: Hashable) -> Report | None:
        """Let the task release the latest hold of *lock*. Any order is legal."""
        for i in reversed(range(len(held))):
            if held[i].lock == lock:
                del held[i]
                return None
        return Report(UNBALANCED, (lock,))

    def free(self, held: list[Hold], lock: Hashable) -> Report | None:
        """Let the memory of *lock* be freed, or initialised again."""
        return Report(FREED, (lock,)) if any(hold.lock == lock for hold in held) else None

    def _wait_context(self, held: list[Hold], new: Hold) -> Report | None:
        levels = [hold.level for hold in held if hold.level is not None]
        refused = new.level is not None and any(new.level > level for level in levels)
        return Report(WAIT_CONTEXT, (new.lock_class,)) if refused else None

    def _check(self, held: list[Hold], new: Hold) -> Report | None:
        """Judge a request for *new*: inside what is held of its own class, then inside the rest."""
        judged = [hold for hold in reversed(held) if hold.lock_class == new.lock_class]
        for hold in reversed(held):
            if hold.lock_class != new.lock_class:
                judged.append(hold)
                if not hold.trylock:
                    break   # older locks are connected through this one
        reports = [self.judge(Edge(hold.lock_class, new.lock_class, hold.mode != WRITE,
                                   new.mode == RECURSIVE_READ)) for hold in judged]
        return next(filter(None, reports), None)

    def judge(self, edge: Edge) -> Report | None:
        """Take note of *edge*; return what is wrong with it.

        Inside its own class a lock is refused, but for a recursive read inside a read (lockdep,
        check_deadlock()). Between classes an edge is wrong if it closes a strong cycle.
        """
        if edge.source == edge.target:
            return None if edge.shared and edge.recursive else Report(RECURSIVE, (edge.target,))
        path = self.graph.strong_path(edge)
        self.graph.add(edge)
        return None if path is None else Report(
            CIRCULAR, (edge.source, *(further.source for further in path)))


def validate(operations: Iterable[Sequence[Any]], locks: dict[str, tuple[str, str]]) -> str | None:
    """Return the headline of the first finding in what one task does, or None.

    The task does not end: what it still holds is not judged.

    Args:
        operations: (operation, lock): ``W`` ``R`` ``RR`` acquire, with a ``T`` before it only if
            that is possible now (``TW``), ``U`` releases, ``I`` initialises again, ``SUBCLASS``
            gives the lock the subclass named third (default 1).
        locks: lock -> (type, class).
    """
    validator, held, subclasses = Validator(), list[Hold](), dict[str, int]()
    for operation, lock, *more in operations:
        if lock not in locks:
            raise ScenarioError(f"operation {operation} on unknown lock {lock!r}")
        kind, lock_class = locks[lock]
        report = None
        mode = operation.removeprefix("T")
        if mode in (WRITE, READ, RECURSIVE_READ):
            report = validator.acquire(held, Hold(
                lock, (lock_class, subclasses.get(lock, 0)), mode,
                trylock=mode != operation, level=_LEVELS.get(kind)))
        elif operation == "U":
            report = validator.release(held, lock)
        elif operation == "I":
            report = validator.free(held, lock)
            subclasses.pop(lock, None)
        elif operation == "SUBCLASS":
            subclasses[lock] = more[0] if more else 1
        else:
            raise ScenarioError(f"unknown operation {operation!r} on lock {lock!r}")
        if report is not None:
            return report.headline
    return None
