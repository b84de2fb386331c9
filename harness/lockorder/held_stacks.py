"""The stacks of held locks that one role was seen with, as a tree; and what it did, in sections."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from ..checker.program import Op
from ..locks.calls import Chain
from ..locks.callsite import pass_signal
from ..locks.node import LockClass, Node
from ..locks.one_line import one_line
from ..locks.parking import guarded
from ..locks.task import EXCLUSIVE, Task
from ..locks.user_code import Quiet

MOST_OPERATIONS = 20_000   # kept of one role; sections that were seen before do not count
UNTOLD = 10_000            # operations of a task before it is looked at how much is kept
_NONE: Any = None


class Place(NamedTuple):
    """A lock as one role held it or asked for it."""

    name: str
    lock_class: str       # with /n for a subclass, as lockdep writes it
    mode: str
    chain: Chain

    def __repr__(self) -> str:
        return one_line(self, f"{self.name} of {self.lock_class} ({self.mode})")


@dataclass(slots=True, eq=False)
class Act:
    """An operation that was seen; compared by identity, which is cheap."""

    op: Op


NOTHING = Act(Op("", ""))


class Held:
    """Locks that a role holds: one, and those *below* it; without what keeps the locks alive.

    Attributes:
        key: what is equal, in any run, for the same locks held so in the same order. (A digest:
            what it is made of grows with the locks.)
    """

    __slots__ = ("name", "mode", "below", "key")
    key: bytes

    def __init__(self, name: str, mode: str, below: Held | None) -> None:
        self.name, self.mode, self.below = name, mode, below
        self.key = b"" if below is None else hashlib.blake2b(
            below.key + f"{mode} {name}".encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def __iter__(self) -> Iterator[Held]:
        """Yield each lock, the last first."""
        held = self
        while held.below is not None:
            yield held
            held = held.below


NOTHING_HELD = Held("", "", None)


@dataclass(slots=True, eq=False)
class Stack:
    """One lock on top of those a role holds; or the empty stack, which is below itself.

    Attributes:
        append: takes down what the role does.
        known: what was said of the class of the lock.
        held: this lock and those below, by name.
        key: what was asked for, and how; the parent has this in `above` by it.
        acquire, take, release: what is done with the lock; it is taken where there was a way out.
        asked: it was asked for without a way out, and has its edges.
        tried: it was asked for with one.
        end: of the empty stack, what is done as the last lock is given back.
    """

    role: Role
    append: Callable[[Act], None]
    lock: Node
    place: Place
    known: LockClass
    held: Held
    key: object
    parent: Stack
    acquire: Act = NOTHING
    take: Act = NOTHING
    release: Act = NOTHING
    asked: bool = False
    tried: bool = False
    end: Callable[[], None] | None = None
    above: dict[object, Stack] = field(default_factory=dict)

    def below(self) -> Iterator[Stack]:
        """Yield what it holds from this lock down, the last first."""
        node = self
        while node.parent is not node:
            yield node
            node = node.parent


class Broken:
    """A stack from the middle of which locks were given back, and no lock was asked for since.

    Attributes:
        top: the last of it that is held.
        gone: what of it is not, below that.
    """

    def __init__(self, top: Stack) -> None:
        self.top, self.gone = top, set[Stack]()
        self._of: dict[tuple[Node, str], list[Stack]] = {}
        for node in self.left():
            self._of.setdefault((node.lock, node.place.mode), []).append(node)

    def left(self) -> list[Stack]:
        """Return what is held, the last last."""
        return [node for node in self.top.below() if node not in self.gone][::-1]

    def lose(self, lock: Node, mode: str) -> bool:
        """Take down that the latest hold of *lock* ends; say whether there is one."""
        holds = self._of.get((lock, mode))
        if not holds:
            return False
        node = holds.pop()
        node.append(node.release)
        self.gone.add(node)
        while self.top in self.gone:
            self.gone.remove(self.top)
            self.top = self.top.parent
        return True


@dataclass(slots=True)
class Position:
    """Where a thread stands in the tree of its role: what it holds, and what it asked for last."""

    stack: Stack
    asked: Stack
    broken: Broken | None = None    # what is held, while `stack` is hollow
    lost: tuple[Node, ...] = ()     # what another thread released: it is on the stack still

    def give_up_lost(self) -> None:
        """Take in what another thread released."""
        lost, self.lost = self.lost, ()
        for lock in lost:
            self.release_below(lock, EXCLUSIVE)

    def lose(self, lock: Node) -> None:
        """See another thread release *lock*; the one whose this is takes it in when it comes."""
        nodes = self.stack.below() if self.broken is None else self.broken.left()
        if lock not in self.lost and any(node.lock is lock for node in nodes):
            self.lost += lock,

    def release_below(self, lock: Node, mode: str) -> None:
        """Take in that *lock*, which is not known to be the last, was given back."""
        broken = self.broken or Broken(self.stack)
        if not broken.lose(lock, mode):
            return    # a release of what is not held: the lock itself refuses it
        hollow = self.stack.role.hollow
        self.stack, self.broken = (hollow, broken) if broken.gone else (broken.top, None)
        if self.stack.end is not None:
            self.stack.end()

    def mended(self) -> Stack:
        """Return the stack of what is held now, after locks left the middle of one."""
        at = self.stack.role.root
        for hold in self.broken.left() if self.broken is not None else ():
            if hold.parent is not at:    # one below it is gone
                known = at.above.get(hold.key)
                if known is None:
                    held = Held(hold.held.name, hold.held.mode, at.held)
                    known = at.above[hold.key] = replace(hold, parent=at, held=held, asked=False,
                                                         above={})
                hold = known
            at = hold
        self.stack, self.broken = at, None
        return at


class Role:
    """What is kept of one role."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acts: list[Act] = []
        self.began = 0            # where the section under way begins in `acts`
        self.plain = True         # no wait in it: a repetition tells nothing new
        self.seen: set[tuple[Act, ...]] = set()
        self.last: list[Act] = []    # the last section, of which another tells nothing new
        self.cut = False
        self.bound = 2 * MOST_OPERATIONS    # on `acts` while a section does not end
        self.waits: tuple[int, Act] | None = None   # how much was done at its last wait, and which
        self.root = Stack(self, self.acts.append, _NONE, Place("", "", "", ()), _NONE,
                          NOTHING_HELD, None, _NONE)
        self.root.parent, self.root.end = self.root, self.end_section
        # Where a thread stands that holds what is left of a stack: on nothing that is known.
        self.hollow = replace(self.root, end=None, above={})
        self.hollow.parent = self.hollow

    def end_section(self) -> None:
        """Forget the section that just ended if it was seen before, or there is no room for it."""
        acts, began = self.acts, self.began
        if self.plain and acts[began:] == self.last:
            del acts[began:]    # as most often
            return
        if not self.plain:
            self.seen.clear()   # after a wait, or the end of one, the same section is another
            self.plain = True
        self.last = acts[began:]
        section = tuple(self.last)
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


def in_order(task: Task, known: LockClass, held: Node, wanted: Node) -> bool:
    """Ask the order of the class *known* whether *wanted* may be taken by who holds *held*."""
    assert known.order is not None
    what = f"the order of lock class {known}"
    try:
        return bool(Quiet().call(what, known.order, held, wanted))
    except BaseException as exc:    # not left to the role, which may swallow it
        pass_signal(exc)
        with guarded:
            task.run.complain(what, exc)
        return False
