"""What the stretches of roles between their operations touch: names, items, cells, containers.

A *location* is an owner and a key: an object and one of its attributes or items, a module's
dictionary and a name, a cell; the key `ALL` stands for the object as a whole. What the shadow of a
frame (shadow_frame.py) cannot tell is `ANY` object's. Two locations overlap if they may be one.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

from ..locks.callsite import function_name, place_of

ALL: tuple[str, Any] = ("all", None)    # of an object: it is touched as a whole
ANY = 0                                 # in place of the identity of an object that is not known
READ, WRITE = 1, 2
OWN, LENT, LOST = "cell of its own", "cell of a closure", "cell of an unknown closure"


@dataclass(slots=True)
class Touch:
    """That a location was touched: how, by what expression and where first."""

    bits: int
    text: str
    code: CodeType
    offset: int

    def __str__(self) -> str:
        return f"`{self.text}` ({function_name(self.code)}, {place_of(self.code, self.offset)})"


class Touches(dict[tuple[Any, Any], Touch]):
    """What was touched in one stretch: (owner, key) -> how.

    Attributes:
        taken: the instructions that were executed in it, by code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.taken: dict[CodeType, set[int]] = {}


@dataclass(slots=True)
class Stretches:
    """What one role, or thread of one, touched.

    Attributes:
        key: its name in tokens.
        all: on its whole way.
        first: before its first operation.
        since: thread that it started -> what it touched from then on, until it joined it.
        after: thread that it started -> what it touched before its next operation.
        behind: operation, as lock and request by number -> what it touched before the next one.
        frames: functions that it left: the function, its globals and variables then, by code.
        home: the files of the functions that it was given to perform.
        lost: it was not followed to its end.
        holds: locks of the standard library that it has: what it calls them, and where.
    """

    key: str
    parent: str = ""
    all: Touches = field(default_factory=Touches)
    first: Touches = field(default_factory=Touches)
    since: dict[str, Touches] = field(default_factory=dict)
    after: dict[str, Touches] = field(default_factory=dict)
    behind: dict[tuple[int, int], Touches] = field(default_factory=dict)
    open: list[Touches] = field(default_factory=list)
    frames: dict[CodeType, list[tuple[Any, dict[str, Any], dict[str, Any]]]] = \
        field(default_factory=dict)
    home: frozenset[str] = frozenset()
    lost: bool = False
    holds: dict[int, tuple[str, CodeType, int]] = field(default_factory=dict)
    _here: Any = None       # the code of the last instruction
    _taken: list[set[int]] = field(default_factory=list)    # and what was taken of it, where open

    def __post_init__(self) -> None:
        self.open = [self.all, self.first]

    def at(self, code: CodeType, offset: int) -> None:
        """Take note of an instruction that is executed."""
        if code is not self._here:    # it hashes slowly, and is the one before nearly always
            self._here = code
            self._taken = [touches.taken.setdefault(code, set()) for touches in self.open]
        for taken in self._taken:
            taken.add(offset)

    def each(self) -> Iterator[Touches]:
        """Yield every stretch."""
        yield from (self.all, self.first, *self.since.values(), *self.after.values(),
                    *self.behind.values())

    def touch(self, owner: Any, key: Any, bits: int, text: str, code: CodeType,
              offset: int) -> None:
        """Take note of a touch in every stretch that is under way."""
        for touches in self.open:
            known = touches.get((owner, key))
            if known is None:
                touches[owner, key] = Touch(bits, text, code, offset)
            elif bits & ~known.bits:
                known.bits |= bits

    def start(self, child: str) -> None:
        """Take note that it starts the thread *child*."""
        self.since[child], self.after[child] = Touches(), Touches()
        self.open += [self.since[child], self.after[child]]
        self._here = None

    def stop(self) -> None:
        """Take note that it has come to an operation."""
        for lock, (text, code, offset) in self.holds.items():    # others will wait for it
            self.touch(lock, ALL, WRITE, text, code, offset)
        ended = [*map(id, (self.first, *self.after.values(), *self.behind.values()))]
        self.open = [touches for touches in self.open if id(touches) not in ended]
        self._here = None

    def go_on(self, operation: tuple[int, int]) -> None:
        """Take note that it does *operation*, and goes on to the next."""
        self.open.append(self.behind.setdefault(operation, Touches()))
        self._here = None

    def join(self, child: str) -> None:
        """Take note that *child* has ended before what follows."""
        self.open = [touches for touches in self.open if touches is not self.since.get(child)]
        self._here = None


def writes(touches: Touches) -> bool:
    """Say whether one of *touches* writes."""
    return any(touch.bits & WRITE for touch in touches.values())


def conflicts(ours: Touches, theirs: Touches) -> Iterator[Touch]:
    """Yield the touches of *ours* that one of *theirs* may overlap, where one writes."""
    of_owner: dict[Any, list[tuple[Any, Touch]]] = {}
    named: list[tuple[tuple[Any, Any], Touch]] = []    # cells that are known by name alone
    for (owner, key), touch in theirs.items():
        of_owner.setdefault(owner, []).append((key, touch))
        if isinstance(owner, tuple):
            named.append(((owner, key), touch))
    for (owner, key), touch in ours.items():
        if isinstance(owner, tuple):
            others = [their for (other, code), their in named
                      if _same_cell(owner, key, other, code)]
        elif owner == ANY:
            others = [their for (other, their_key), their in theirs.items()
                      if not isinstance(other, tuple) and _overlap(key, their_key)]
        else:
            others = [their for their_key, their in of_owner.get(owner, []) + of_owner.get(ANY, [])
                      if _overlap(key, their_key)]
        if any((touch.bits | their.bits) & WRITE for their in others):
            yield touch


def _overlap(key: Any, other: Any) -> bool:
    return key == other or ALL in (key, other) or key[0] == other[0] == "item" and (
        None in (key[1], other[1]))


def _same_cell(one: tuple[str, str], code: CodeType, other: tuple[str, str],
               other_code: CodeType) -> bool:
    """Say whether two accesses to cells may be to one, which is not known of both."""
    (kind, name), (other_kind, other_name) = one, other
    if name != other_name or (kind == other_kind and kind != LOST):
        return False    # two of closures are known as objects, and two frames have two cells
    return LOST in (kind, other_kind) or _within(other_code, code) or _within(code, other_code)


@functools.lru_cache(4096)
def _within(outer: CodeType, inner: CodeType) -> bool:
    return any(const is inner or _within(const, inner) for const in outer.co_consts
               if isinstance(const, CodeType))
