"""The names of the interpreter's primitives, wherever a module, a class, a function has them.

A module that came before may have one under another name, in a class, a list, as the default of an
argument (``condition_cls=threading.Condition``). One that comes meanwhile takes what it finds.
"""

from __future__ import annotations

import _thread
import queue
import threading
from typing import Any

from ..locks import raw
from ..queue import OURS as QUEUES
from ..standard import stands_in
from ..standard.lock import Lock
from ..standard.rlock import RLock
from ..threading import OURS as LOCKS
from .made_before import Change
from .search import Search
from .who_asks import wants_real


def _table() -> list[tuple[Any, Any]]:
    """Return each of the interpreter's, and ours."""
    pairs: list[tuple[Any, Any]] = [(raw.LOCK, Lock), (raw.RLOCK, RLock)]
    pairs += [(getattr(_thread, name), Lock) for name in ("allocate_lock", "allocate")]
    pairs += [(getattr(threading, name), mine) for name, mine in LOCKS.items()]
    pairs += [(getattr(queue, name), mine) for name, mine in QUEUES.items()]
    return pairs


class Names:
    """The names as they are, and ours in their places.

    Attributes:
        left: what was not replaced, in words.
    """

    def __init__(self) -> None:
        self.left: list[str] = []
        self.changes: list[Change] = []
        self._table = _table()
        self._real = {mine: real for real, mine in self._table}    # the last: of `threading`
        self._ours_before: list[tuple[Any, Any]] = []    # holder and key of places that had ours

    def replace(self) -> None:
        """Put ours wherever the interpreter's are."""
        stands_in.wants_real[:] = [wants_real]
        stands_in.real |= {mine: real for mine, real in self._real.items()
                           if issubclass(mine, stands_in.StandsIn)}
        # Not the function of that name, which would look up what is ours by now.
        stands_in.real[RLock] = raw.RLock
        mine_of = {id(real): mine for real, mine in self._table}
        search = Search([*{id(each): each for pair in self._table for each in pair}.values()],
                        self._table)
        for _, mine in self._table:
            for ref in search.refs[id(mine)]:
                if ref.place is not None:
                    self._ours_before.append((ref.place.holder, ref.place.key))
        for real in {id(real): real for real, _ in self._table}.values():
            for ref in search.refs[id(real)]:
                if ref.of_tool and ref.holder is not vars(threading):
                    continue
                if ref.place is None:
                    name = getattr(real, "__name__", "")
                    self.left.append(f"{real.__module__}.{name} {ref.name}")
                    continue
                ref.place.put(mine_of[id(real)])
                self.changes.append(Change(ref.place, real, mine_of[id(real)]))

    def put_back(self) -> None:
        """Put the interpreter's back, also in modules that came meanwhile."""
        for change in reversed(self.changes):
            change.undo()
        search = Search(list(self._real))
        for mine, real in self._real.items():
            for ref in search.refs[id(mine)]:
                place = ref.place
                if place is not None and not ref.of_tool and not any(
                        place.holder is holder and place.key == key
                        for holder, key in self._ours_before):
                    place.put(real)
        stands_in.real.clear()
        for kept in (self.changes, self._table, self._real, self._ours_before):
            kept.clear()
