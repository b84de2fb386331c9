"""Where a reference to a thing can stand, and be another: an item, an attribute, a variable.

Nothing of the user's is called: a collection is changed by its own type's functions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import CellType, FunctionType, MemberDescriptorType
from typing import Any, NamedTuple

from ..runtime.reach import is_of


class Place(NamedTuple):
    """One reference: *kind* says what *key* is in *holder*."""

    kind: str
    holder: Any
    key: Any

    def get(self) -> Any:
        """Return what stands there; None if there is no such place any more."""
        holder, key = self.holder, self.key
        with suppress(KeyError, IndexError, AttributeError, ValueError):
            if self.kind == "item":
                return dict.__getitem__(holder, key)
            if self.kind == "element":
                return list.__getitem__(holder, key)
            if self.kind == "of deque":
                return deque.__getitem__(holder, key)
            if self.kind == "class attribute":
                return vars(holder)[key]
            if self.kind == "attribute":
                return object.__getattribute__(holder, key)
            if self.kind == "slot":
                return key.__get__(holder)
            if self.kind == "variable":
                return holder.cell_contents
            return holder.__defaults__[key]
        return None

    def put(self, value: Any) -> None:
        """Have *value* stand there."""
        holder, key = self.holder, self.key
        if self.kind == "item":
            dict.__setitem__(holder, key, value)
        elif self.kind == "element":
            list.__setitem__(holder, key, value)
        elif self.kind == "of deque":
            deque.__setitem__(holder, key, value)
        elif self.kind == "class attribute":
            type.__setattr__(holder, key, value)
        elif self.kind == "attribute":
            object.__setattr__(holder, key, value)
        elif self.kind == "slot":
            key.__set__(holder, value)
        elif self.kind == "variable":
            holder.cell_contents = value
        else:
            before = holder.__defaults__
            holder.__defaults__ = (*before[:key], value, *before[key + 1:])


def places_in(holder: Any, thing: Any) -> Iterator[Place]:
    """Yield the places in *holder*, one step from it, where *thing* stands and can be replaced."""
    if is_of(holder, dict):
        yield from (Place("item", holder, key) for key, value in list(dict.items(holder))
                    if value is thing)
    elif is_of(holder, list):
        yield from (Place("element", holder, i) for i, value in enumerate(list.__iter__(holder))
                    if value is thing)
    elif is_of(holder, deque):
        yield from (Place("of deque", holder, i) for i, value in enumerate(
            list(deque.__iter__(holder))) if value is thing)
    elif is_of(holder, CellType):
        yield Place("variable", holder, None)
    elif is_of(holder, type):
        yield from (Place("class attribute", holder, name) for name, value in list(
            vars(holder).items()) if value is thing)
        return
    if not is_of(holder, CellType, FunctionType):
        yield from _attributes(holder, thing)


def _attributes(holder: Any, thing: Any) -> Iterator[Place]:
    """Yield the attributes of *holder* that are *thing*."""
    with suppress(AttributeError):
        inside = object.__getattribute__(holder, "__dict__")
        if type(inside) is dict:
            yield from (Place("attribute", holder, name) for name, value in list(inside.items())
                        if value is thing)
    for base in type(holder).__mro__:
        for slot in list(vars(base).values()):
            if is_of(slot, MemberDescriptorType):
                with suppress(AttributeError):    # not set
                    if slot.__get__(holder) is thing and _is_writable(slot, holder, thing):
                        yield Place("slot", holder, slot)


def _is_writable(slot: Any, holder: Any, thing: Any) -> bool:
    try:
        slot.__set__(holder, thing)
        return True
    except (AttributeError, TypeError):
        return False
