"""The stacks of held locks that one role was seen with, as a tree; and what it did, in sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..checker.program import Op
from ..locks.callsite import Chain
from ..locks.node import Node

MOST_OPERATIONS = 20_000   # kept of one role; sections that were seen before do not count
_NO_LOCK: Any = None


class Stack:
    """One lock on top of those a role holds; or the empty stack, which is below itself."""

    __slots__ = ("lock", "name", "lock_class", "mode", "key", "parent", "asked", "tried", "acquire",
                 "take", "release", "chain", "above", "append", "role")

    def __init__(self, role: Role, lock: Node, name: str, lock_class: str, mode: str, key: object,
                 parent: Stack | None) -> None:
        self.role, self.lock, self.name, self.lock_class = role, lock, name, lock_class
        self.mode, self.key, self.parent = mode, key, parent or self
        self.asked = False        # whether it was asked for without a way out: it has its edges
        self.tried = False        # whether it was asked for with one
        self.chain: Chain = ()
        self.above: dict[object, Stack] = {}     # by their keys: what was asked for, and how
        self.append = role.acts.append
        self.acquire = self.take = self.release = NOTHING

    def below(self) -> Iterator[Stack]:
        """Yield what it holds from this lock down, the last first."""
        node = self
        while node.parent is not node:
            yield node
            node = node.parent


class Position:
    """Where a thread stands in the tree of its role: what it holds, and what it asked for last.

    Threads of one name are one role; where each stands is its own.
    """

    __slots__ = ("stack", "asked")

    def __init__(self, root: Stack) -> None:
        self.stack = self.asked = root


class Act:
    """An operation that was seen; compared by identity, which is cheap."""

    __slots__ = ("op",)

    def __init__(self, op: str, target: str) -> None:
        self.op = Op(op, target)


NOTHING = Act("", "")


class Role:
    """What is kept of one role."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acts: list[Act] = []
        self.began = 0            # where the section under way begins in `acts`
        self.plain = True         # no wait in it: a repetition tells nothing new
        self.seen: set[tuple[Act, ...]] = set()
        self.cut = False
        self.bound = 2 * MOST_OPERATIONS    # on `acts` while a section does not end
        self.waits: tuple[int, Act] | None = None   # how much was done at its last wait, and which
        self.root = Stack(self, _NO_LOCK, "", "", "", None, None)

    def end_section(self) -> None:
        """Forget the section that just ended if it was seen before, or there is no room for it."""
        acts, began = self.acts, self.began
        if not self.plain:
            self.seen.clear()   # after a wait, or the end of one, the same section is another
            self.plain = True
        section = tuple(acts[began:])
        if section in self.seen:
            del acts[began:]
            return
        self.seen.add(section)
        if self.cut or len(acts) > MOST_OPERATIONS:
            self.cut = True
            del acts[began:]
        self.began = len(acts)

    def trim(self) -> None:
        """Cut a section that does not end: what is kept of it stays unfinished."""
        self.cut = True
        del self.acts[MOST_OPERATIONS:]
