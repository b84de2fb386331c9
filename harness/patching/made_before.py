"""Locks of the interpreter's own that were made before ours stood in: found, and replaced.

What belongs together (a lock, the conditions over it, the event around that) is replaced together,
in every place where it stands, or not at all: two threads that use two locks for one exclude
nothing. What cannot be replaced is named, with the reason.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from queue import Empty
from typing import Any, NamedTuple

from ..locks import raw
from ..locks.node import ImpliedClass
from ..standard.condition import Condition
from ..standard.event import Event
from ..standard.lock import Lock
from ..standard.rlock import RLock
from ..standard.semaphore import BoundedSemaphore, Semaphore
from ..standard.simple_queue import SimpleQueue
from .places import Place
from .search import Ref, Search

_WHOLE: dict[Any, str] = {    # what a thing is around, by the attribute that has it
    raw.Condition: "_lock", raw.Event: "_cond", raw.Semaphore: "_cond",
    raw.BoundedSemaphore: "_cond"}
_KINDS: set[Any] = {raw.LOCK, raw.RLOCK, raw.SimpleQueue, *_WHOLE}


class Change(NamedTuple):
    """One reference that is another: where, what stood there, what stands there."""

    place: Place
    before: Any
    now: Any

    def undo(self) -> None:
        """Put back what stood there, unless it was changed meanwhile."""
        if self.place.get() is self.now:
            self.place.put(self.before)


class Replaced(NamedTuple):
    """A thing of the interpreter's own, *before*, and ours in its places."""

    before: Any
    now: Any


class MadeBefore:
    """The locks that there are now, and ours in their places.

    Attributes:
        left: of each that was not replaced: (it, what it is called, why).
        replaced: the others.
        changes: what was changed for them.
    """

    def __init__(self) -> None:
        self.left: list[tuple[Any, str, str]] = []
        self.replaced: list[Replaced] = []
        self.changes: list[Change] = []
        self._names: Counter[str] = Counter()

    def replace(self) -> None:
        """Find what there is, and put ours in its places."""
        probe: dict[str, Any] = {"lock": raw.Lock()}
        probe["method"] = probe["lock"].acquire
        self._search = search = Search(_all_of_kinds())    # of the probe, too
        groups: dict[int, list[Any]] = {}
        counts = search.unknown
        # What is beside those of one of which all are known.
        self._unknown = {id(thing) for thing in _things(search)
                         if counts[id(thing)] > counts[id(probe["lock"])]}
        self._unknown |= {id(method.__self__) for method in search.methods.values()
                          if counts[id(method)] > counts[id(probe["method"])]}
        for thing in _things(search):
            if thing is not probe["lock"]:
                groups.setdefault(id(_innermost(thing, search)), []).append(thing)
        for group in groups.values():
            self._replace(group)
        del self._search, self._unknown

    def _replace(self, group: list[Any]) -> None:
        """Replace the things of *group*, the innermost first; or say why not."""
        group.sort(key=_depth)
        refs = [(thing, ref) for thing in group for ref in self._refs(thing, group)
                if ref.of_tool != "kept"]
        if not refs or any(ref.of_tool for _, ref in refs):
            return    # a tool, or the interpreter, has it for itself
        name = next((ref.name for _, ref in refs if ref.place is not None and ref.name), "")
        why = next((ref.name for _, ref in refs if ref.place is None), "")
        if not why and any(id(thing) in self._unknown for thing in group):
            why = "a running function has it, or C code"
        if any(map(_is_busy, group)):
            why = "it is in use now"
        if why:
            self.left.append((group[0], name or f"a {type(group[0]).__name__}", why))
            return
        ours: dict[int, Any] = {}
        name = name or type(group[0]).__name__
        called = self._unique(name)
        for thing in group:
            own = next((ref.name for each, ref in refs if each is thing and ref.name), name)
            ours[id(thing)] = now = _ours(thing, ours)
            _call(now, called if own == name else self._unique(own))
            self.replaced.append(Replaced(thing, now))
        for thing, ref in refs:
            assert ref.place is not None
            before = ref.place.get()
            now = ours[id(thing)]
            if before is not thing:    # a bound method of it
                now = getattr(now, before.__name__)
            ref.place.put(now)
            self.changes.append(Change(ref.place, before, now))

    def _refs(self, thing: Any, group: list[Any]) -> list[Ref]:
        """Return who refers to *thing*, or to a bound method of it, but for others of *group*."""
        search = self._search
        inside = {id(each) for each in group} | {id(vars(each)) for each in group
                                                if type(each) in _WHOLE}
        methods = [method for method in search.methods.values() if method.__self__ is thing]
        inside |= set(map(id, methods))
        return [ref for each in (thing, *methods) for ref in search.refs[id(each)]
                if id(ref.holder) not in inside]

    def _unique(self, name: str) -> str:
        self._names[name] += 1
        return f"{name}#{self._names[name]}" if self._names[name] > 1 else name

    def put_back(self) -> None:
        """Put back what was there; what is in use stays, in `replaced`."""
        busy = {id(each.now) for each in self.replaced if _is_ours_busy(each.now)}
        todo = [each for each in self.replaced if id(each.now) not in busy]
        for before, now in todo:
            _copy_back(before, now)
        for change in reversed(self.changes):
            if id(getattr(change.now, "__self__", change.now)) not in busy:
                change.undo()
        self._put_back_copies(todo)
        self.changes = [change for change in self.changes
                        if id(getattr(change.now, "__self__", change.now)) in busy]
        self.replaced[:] = [each for each in self.replaced if id(each.now) in busy]

    def _put_back_copies(self, replaced: list[Replaced]) -> None:
        """Put back in places to which the program copied ours meanwhile."""
        search = Search([each.now for each in replaced])
        for before, now in replaced:
            for ref in search.refs[id(now)]:
                if ref.place is not None and not ref.of_tool:
                    ref.place.put(before)


def _all_of_kinds() -> list[Any]:
    return [each for each in gc.get_objects() if type(each) in _KINDS]


def _things(search: Search) -> list[Any]:
    return list(search.wanted.values())


def _innermost(thing: Any, search: Search) -> Any:
    """Return what *thing* is around, of what is found; itself if it is around nothing."""
    while type(thing) in _WHOLE:
        inner = vars(thing).get(_WHOLE[type(thing)])
        if id(inner) not in search.wanted:
            break
        thing = inner
    return thing


def _depth(thing: Any) -> int:
    return 0 if type(thing) not in _WHOLE else 1 if type(thing) is raw.Condition else 2


def _is_busy(thing: Any) -> bool:
    """Say whether a thread has, or waits for, *thing* of the interpreter's own."""
    kind: Any = type(thing)
    if kind is raw.LOCK:
        return bool(thing.locked())
    if kind is raw.RLOCK:
        if thing._is_owned() or not thing.acquire(False):
            return True
        thing.release()
        return False
    return kind is raw.Condition and bool(thing._waiters)


def _is_ours_busy(thing: Any) -> bool:
    if isinstance(thing, (Lock, RLock)):
        return thing._lock.locked()
    return bool(getattr(thing, "_one", thing)._waiters)


_MAKERS: dict[type, Callable[[Any], Any]] = {
    raw.LOCK: lambda thing: Lock(), raw.RLOCK: lambda thing: RLock(),
    raw.Semaphore: lambda thing: Semaphore(thing._value),
    raw.BoundedSemaphore: lambda thing: BoundedSemaphore(thing._initial_value)}


def _call(lock: Any, name: str) -> None:
    """Call *lock* so, and its class, of which no more is known."""
    node: Any = getattr(lock, "_one", lock)
    node._name, node._class, node.origin = name, ImpliedClass(name), None


def _ours(thing: Any, ours: dict[int, Any]) -> Any:
    """Return one of ours in the state of *thing*; *ours* has what it is around."""
    kind: Any = type(thing)
    if kind is raw.Condition:
        return Condition(ours.get(id(thing._lock), thing._lock))
    if kind is raw.Event:
        event = Event()
        if thing._flag:
            event.set()
        return event
    if kind is raw.SimpleQueue:
        return _moved(thing, SimpleQueue())
    now = _MAKERS[type(thing)](thing)
    for _ in range(getattr(now, "_value", 0) - getattr(thing, "_value", 0)):
        now.acquire()    # by whom is not known
    return now


def _copy_back(before: Any, now: Any) -> None:
    if isinstance(now, Event):
        before._flag = now.is_set()
    elif isinstance(now, Semaphore):
        before._value = now._value
    elif isinstance(now, SimpleQueue):
        _moved(now, before)


def _moved(old: Any, new: Any) -> Any:
    """Return *new* with the items of *old*."""
    with suppress(Empty):
        while True:
            new.put(old.get_nowait())
    return new
