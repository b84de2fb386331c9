"""Which locks of several runs of one scenario are the same: those that are given one name here."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..locks.node import Node, unique_name

_NUMBER = re.compile(r"#\d+$")    # behind the name of a lock


class LocksOfRun:
    """Names for the locks of one run, each of one lock alone.

    Args:
        earlier: of other runs: a lock is called as in them if it is known to be the same, else as
            none of theirs is.

    Attributes:
        names: what was given a name.
        loose: names of locks that are not known to be the same as any of another run.
    """

    def __init__(self, earlier: Sequence[LocksOfRun]) -> None:
        self.names: dict[Node, str] = {}
        self.loose: set[str] = set()
        self._earlier = earlier
        self._of: dict[str, Node] = {}
        self._shared: set[str] = set()    # names that roles gave to more than one lock

    def name(self, lock: Node) -> str:
        """Return the name of *lock*, which it is given if it has none."""
        name = self.names.get(lock)
        if name is None:
            name = self.names[lock] = self._alone(lock)
            self._of[name] = lock
        return name

    def _alone(self, lock: Node) -> str:
        for run in self._earlier:
            if lock in run.names and run.names[lock] not in self._of:
                return run.names[lock]     # it outlives worlds
        name, base = unique_name(lock), str(lock)
        by_role = bool(lock.maker.key)
        shared = by_role and lock.nth > 1
        loose = not lock.lasts or by_role and any(base in run._shared for run in self._earlier)
        number = 1
        while name in self._of or any(name in run._of and (loose or name in run.loose)
                                      for run in self._earlier):
            shared = shared or name in self._of
            number += 1
            name = f"{_NUMBER.sub('', base)}#{number}"
        if shared:
            self._shared.add(base)
            if base in self._of and self._of[base].maker.key:
                self.loose.add(base)
        if loose or number > 1:
            self.loose.add(name)
        return name
