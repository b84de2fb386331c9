"""Steps that were taken, and numbers for who took them on what, for one scenario.

Each schedule has a fresh world, with other objects for the same roles and locks. What is known from
one schedule to the next is known of numbers.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from ..locks.counted import Counted
from ..locks.exclusive import Exclusive
from ..locks.mutex import Mutex
from ..locks.node import Node
from ..locks.rwsem import RWSemaphore
from ..runtime.enders import Enders
from .dependency import COMPLETE, COMPLETE_ALL

_KNOWN = (Exclusive, RWSemaphore, Counted)
ENDING = (COMPLETE, COMPLETE_ALL)


class Taken(NamedTuple):
    """One step of a schedule that was taken.

    Attributes:
        label: who, and whether by giving up: twice the number of the role, plus 1 if so.
        lock: number of the lock (see `Names`).
        kind: what was done, see dependency.py.
        ask: what was asked for.
    """

    label: int
    lock: int
    kind: int
    ask: int
    timed: bool = False


def start_of(key: str) -> str:
    """Return what stands for a lock where the start of a role, or thread, is a point."""
    return f"start of {key}"


def after_start_of(key: str) -> str:
    """Return the same for what the role that started a thread does next."""
    return f"after the start of {key}"


_UNKNOWN = -1, None


def _place_of(lock: Mutex) -> Hashable:
    """Return what is the same for a mutex of the same maker and place, with the same number; None
    if that is not at hand.
    """
    if lock._class is not None:
        return None
    if lock.origin is None:
        return lock.maker.key, lock._name, lock.nth
    code, lasti, number, more = lock.origin
    return None if more is not None else (lock.maker.key, id(code), lasti, number)


class Names:
    """Numbers for roles and locks that mean the same in every schedule of one scenario.

    A role is known by its name, a thread that a role starts by its parent and which of its threads
    it is, a lock by who made it, and which it was of those with that name, or from that place
    (`Node.identity`). In two schedules the same number may stand for two locks, where a role has
    taken another way before; never in what comes to the same. Locks of which nobody can say who
    made them may share a number, as do nodes of which one's change lets others pass
    (`Node.shares`); what stands where on such a number cannot be told from the steps: `unknown` has
    it.

    Attributes:
        unnamed: numbers of locks that were given no name.
        policies: of semaphores, by number.
        done: how often one could pass a completion at the start, by number.
        unsaid: numbers of what no program of lock operations can say.
        taken: numbers of locks that were held at the start, by none of the roles.
        points: the starts that are points of a schedule, as strings that stand for locks.
        every: no step may be done twice in a state (see `Again`): schedules were seen to go round.
        enders: keys of those who were seen to end waits in earlier schedules.
        starts: the roles on whose steps each of these depends, with the operations (lock, request)
            on which it does not; all by number.
    """

    def __init__(self) -> None:
        self.roles: list[str] = []
        self._role_numbers: dict[str, int] = {}
        self.policies: dict[int, str] = {}
        self.shown: dict[int, str] = {}
        self.done: dict[int, float] = {}
        self.unknown: set[int] = set()
        self.unsaid: set[int] = set()
        self.taken: set[int] = set()
        self.unnamed: set[int] = set()
        self.every = False
        self.points: tuple[str, ...] = ()
        self.enders = Enders()
        self.starts: dict[int, dict[int, frozenset[tuple[int, int]]]] = {}
        self._lock_numbers: dict[Hashable, int] = {}
        self._places: dict[Hashable, tuple[int, Any]] = {}    # see `mutex`

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_places": {}}    # code has another identity in another process

    def start_at(self, points: Mapping[str, Mapping[str, frozenset[tuple[int, int]]]]) -> None:
        """Make starts points (see `start_of`), each with the keys of the roles on whose steps it
        depends, and the operations of those, by number, on which it does not.
        """
        self.points = tuple(points)
        self.starts = {self.lock(point): {self.role(key): apart for key, apart in roles.items()}
                       for point, roles in points.items()}

    def learn_enders(self, steps: Iterable[Taken]) -> None:
        """Take note of who ended waits in a schedule."""
        self.enders.learn((self.shown[step.lock], self.roles[step.label >> 1])
                          for step in steps if step.kind in ENDING)

    def ends_of_waits(self, lock: Node, steps: Iterable[Taken]) -> tuple[str, list[str]]:
        """Return what is shown of *lock*, and who ended waits for it by *steps*, each time."""
        number = self.lock(lock)
        return self.shown[number], [self.roles[step.label >> 1] for step in steps
                                    if step.lock == number and step.kind in ENDING]

    def role(self, key: str) -> int:
        """Return the number of a role."""
        number = self._role_numbers.get(key)
        if number is None:
            number = self._role_numbers[key] = len(self.roles)
            self.roles.append(key)
        return number

    def mutex(self, lock: Mutex) -> int:
        """Return the number of a plain mutex, and find it by what is at hand from now on."""
        number, key = self.lock(lock), _place_of(lock)
        if key is not None:    # the code is kept, so that none has its identity later
            self._places[key] = number, lock.origin
        return number

    def known_mutex(self, lock: Mutex) -> int:
        """Return the number of a plain mutex if that of its place is known, else -1."""
        return self._places.get(_place_of(lock), _UNKNOWN)[0]

    def lock(self, lock: Node | str) -> int:
        """Return the number of a lock, or of a string: for a `harness.step`, or a thread's end."""
        key: Hashable = lock if isinstance(lock, str) else lock.shares
        unnamed = isinstance(key, Node) and key.origin is not None
        if isinstance(key, Node):
            kind = type(key)    # by its names: each world may define the class anew
            key = kind.__module__, kind.__qualname__, key.identity(), getattr(key, "policy", "")
        if key in self._lock_numbers:
            return self._lock_numbers[key]
        number = self._lock_numbers[key] = len(self._lock_numbers)
        self.policies[number] = getattr(lock, "policy", "")
        self.done[number] = getattr(lock, "_done", 0)
        self.shown[number] = str(lock)    # whose truth value may be anything
        if unnamed:
            self.unnamed.add(number)
        if not isinstance(lock, str) and (lock.shares is not lock or not isinstance(lock, _KNOWN)):
            self.unknown.add(number)
        if isinstance(lock, Exclusive) and lock.is_held:
            self.taken.add(number)
        if not isinstance(lock, str) and not lock.in_programs:
            self.unsaid.add(number)
        return number


_ASK, _WIDTH = 7, 64    # bits of a request; of a lock and a request


def habits(steps: Iterable[Taken]) -> set[int]:
    """Return who asked for what right after what, each in one number: it is done of each schedule.
    """
    last: dict[int, int] = {}
    found = set()
    for label, lock, _, ask, _ in steps:
        role, now = label >> 1, lock + 1 << _ASK | ask
        found.add((role << _WIDTH | last.get(role, 0)) << _WIDTH | now)
        last[role] = now
    return found
