"""What the search over the states of a lock program answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Step(NamedTuple):
    """One step of a schedule.

    Attributes:
        kind: ``acquire``, ``queue``, ``release``; ``busy`` (a trylock that failed, or a lock no
            longer wanted); ``pass`` (a wait that ended); ``tell`` (a flag or a beginning made
            known); ``jump``; ``cancel`` (of the thread that was to be waited for); ``refused`` (a
            reference that is not given any more: the thread ends); ``misuse``.
        op: index of the operation in its thread.
    """

    thread: str
    kind: str
    op: int


class Waiting(NamedTuple):
    """A thread that can never go on.

    Attributes:
        op: index of the operation it stands at.
        wants: the lock, flag or thread it waits for.
        mode: ``exclusive``, ``shared`` or ``wait``.
        blockers: who would have to act first. One of them that has ended has kept its locks.
        holds: what it holds, with mode.
    """

    thread: str
    op: int
    wants: str
    mode: str
    blockers: tuple[str, ...]
    holds: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Stuck:
    """A state in which threads wait that can never go on.

    Attributes:
        waits: those threads.
        circle: threads of them that wait for each other, in order; () if it is no deadlock.
        members: these and those that can go on no more than they.
        schedule: a shortest way there.
    """

    waits: tuple[Waiting, ...]
    circle: tuple[str, ...]
    members: tuple[str, ...]
    schedule: tuple[Step, ...]

    @property
    def places(self) -> frozenset[tuple[str, int]]:
        """Which thread waits at which operation."""
        return frozenset((waiting.thread, waiting.op) for waiting in self.waits)


@dataclass(frozen=True)
class Misuse:
    """A thread releases what it does not hold, and there the schedule ends; or it ends while it
    holds something, which is released then.

    Attributes:
        op: index of the release; the number of its operations if it ended.
        schedule: a shortest way there; its last step is the release, or the one that ends it.
    """

    thread: str
    op: int
    text: str
    schedule: tuple[Step, ...]


@dataclass(frozen=True)
class Answer:
    """What the search found.

    Attributes:
        verdict: ``deadlock`` (threads wait for each other), ``hang`` (threads wait for what will
            not come), ``violation`` (a lock is misused); if none of these, ``clean`` if all states
            were gone through and ``inconclusive`` if not.
        states: how many states were found.
        complete: whether those are all there are.
        deadlocks: one for each stuck state, nearest first; with `first` at most one.
        misuse: one for each operation that is misused in some order.
        left_path: how many states there are in which nobody goes on and some thread stands at a
            recorded trylock that would fail: what would follow is not in the program.
        seconds: how long it took.
    """

    verdict: str
    states: int
    complete: bool
    deadlocks: tuple[Stuck, ...]
    misuse: tuple[Misuse, ...]
    left_path: int
    seconds: float
