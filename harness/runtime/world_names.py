"""What the locks of one world are called: by where they hang, as a reader finds them.

A lock that was given no name is looked for when somebody asks, never while it is made: from the
variables that the functions of the roles see, through attributes, elements and keys. A name that
means one thing to one role and another to the next (an argument, say) is no name.
"""

from __future__ import annotations

import functools
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from ..locks import raw
from ..locks.assigned import whose
from ..locks.callsite import function_name
from ..locks.node import Node
from ..locks.origin import Origin
from .reach import Found, Roots, children

MOST_OBJECTS = 20_000    # that are looked at for the names of one world


class NamesOfWorld:
    """The names of the locks of one world.

    Attributes:
        file: of what makes the world, as its `scope`: whose variables need no more than their
            names.
        sure: names of locks made by roles that mean the same lock in every run.
        doubtful: names that depend on which of several locks was asked for first.
    """

    def __init__(self, factory: Any) -> None:
        while isinstance(factory, functools.partial):
            factory = factory.func
        self._code = code = getattr(factory, "__code__", None)
        self.file = code.co_filename if code is not None else ""
        self.sure: set[str] = set()
        self.doubtful: set[str] = set()
        self._taken: dict[str, int] = {}    # name -> a number: all from its own to that are
        self._left = MOST_OBJECTS
        self._scenario: Callable[[], Any] = _nobody
        self._one = raw.RLock()    # two roles may ask at once

    @property
    def scope(self) -> str:
        """What makes the world, and its file."""
        return f"{function_name(self._code)}/{self.file}" if self._code is not None else ""

    def of(self, scenario: Any) -> None:
        """Take note of the scenario that the world became."""
        self._scenario = weakref.ref(scenario)    # its locks know this: no circle

    def look(self) -> None:
        """Name every lock that can be found and has no name yet."""
        with self._one:
            self._look()

    def _look(self) -> None:
        scenario = self._scenario()
        if scenario is None or self._left <= 0:
            return
        roots = Roots(scenario)
        for lock, path, sure in self._reached(roots.known):
            self._name(lock, path, sure)
        for lock, path, _ in self._reached(roots.ambiguous):
            if not Origin(*lock.origin).kept.text:
                self._name(lock, path, False)

    def name_of(self, lock: Node) -> str:
        """Return the name of *lock*, which has none yet."""
        with self._one:
            if lock._name is None:
                self._look()
            return lock._name or self._claim(lock, lock.own_name(), by_touch=True)

    def _reached(self, roots: list[Found]) -> Iterator[Found]:
        """Yield each lock without a name that can be reached, the nearest first."""
        seen: set[int] = set()
        queue = deque(roots)
        alive = []    # what was made on the way: its identity must not be used again
        while queue and self._left > 0:
            thing, path, sure = queue.popleft()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            alive.append(thing)
            self._left -= 1
            if Node not in type(thing).__mro__:
                queue += children(thing, path, sure)
            elif thing._name is None:
                yield thing, path, sure

    def _name(self, lock: Node, path: str, sure: bool) -> None:
        made = Origin(*lock.origin)
        kept, place = made.kept, (id(made.code), made.lasti)
        once = not lock.maker.key and lock.maker.made.get(place) == 1
        if once and kept.is_variable and (kept.scope == self.scope or not whose(kept.scope)[0]):
            path = kept.text    # the variable it was made for
        if lock.maker.world is None and kept.text and "*" not in kept.text:
            path = lock.own_name()    # as a module's is called elsewhere
        name = self._claim(lock, path)
        if sure and name == path:
            self.sure.add(name)
        lock._name = name

    def _claim(self, lock: Node, name: str, by_touch: bool = False) -> str:
        """Return *name*, with a number if another lock is called so."""
        base, numbered, number = name.rpartition("#")
        if not numbered or not number.isdigit():
            base, number = name, "1"
        passed, alone, nth = [], name, int(number)
        while alone in self._taken:
            passed.append(alone)
            nth = self._taken[alone] + 1
            alone = f"{base}#{nth}"
        if by_touch and alone != name:
            self.doubtful.add(alone)
        self._taken.update(dict.fromkeys([*passed, alone], nth))
        return alone


def _nobody() -> None:
    return None
