"""The stacks of held locks that one role was seen with, as a tree; and what it did, in sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..checker.program import Op
from ..locks.callsite import Chain

MOST_OPERATIONS = 20_000   # kept of one role; sections that were seen before do not count


class Stack:
    """One lock on top of those a role holds, or the empty stack."""

    __slots__ = ("lock", "name", "lock_class", "mode", "parent", "asked", "tried", "acquire", "take",
                 "release", "chain", "exclusive", "others", "append", "role")

    def __init__(self, role: Role, lock: Any, name: str, lock_class: str, mode: str,
                 parent: Stack | None) -> None:
        self.role, self.lock, self.name, self.lock_class = role, lock, name, lock_class
        self.mode, self.parent = mode, parent
        self.asked = False        # whether it was asked for without a way out: it has its edges
        self.tried = False        # whether it was asked for with one
        self.chain: Chain = ()
        self.exclusive: dict[Any, Stack] = {}
        self.others: dict[Any, Stack] = {}
        self.append = role.acts.append
        self.acquire = self.take = self.release = NOTHING

    def below(self) -> Iterator[Stack]:
        """Yield what it holds from this lock down, the last first."""
        node = self
        while node.parent is not None:
            yield node
            node = node.parent


class Act:
    """An operation that was seen; compared by identity, which is cheap."""

    __slots__ = ("op",)

    def __init__(self, op: str, target: str) -> None:
        self.op = Op(op, target)


NOTHING = Act("", "")
TAKE = {"lock": "take", "down_read": "take_read", "down_write": "take_write"}
UP = {"lock": "unlock", "down_read": "up_read", "down_write": "up_write"}


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
        self.waits: tuple[int, Act] | None = None   # how much was done at its last wait, and for what
        self.root = Stack(self, None, "", "", "", None)

    def end_section(self) -> None:
        """Forget the section that just ended if it was seen before, or if there is no room for it."""
        acts, began = self.acts, self.began
        if not self.plain:
            self.seen.clear()   # after a wait, or the end of one, the same section is another matter
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
