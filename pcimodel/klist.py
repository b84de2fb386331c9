"""lib/klist.c (v4.14): lists that are walked without a lock while others change them.

An entry that is deleted while a walk stands on it stays in place, marked dead, until the walk has
moved on; a walk never returns dead entries.

Lock order: the list's own spinlock is taken alone and never held while anything else is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")


class KlistNode(Generic[T]):
    """struct klist_node: one entry; *walkers* counts the walks that stand on it."""

    __slots__ = ("item", "walkers", "dead")

    def __init__(self, item: T) -> None:
        self.item = item
        self.walkers = 0
        self.dead = False


class Klist(Generic[T]):
    """struct klist: entries in the order in which they were added.

    Invariant: a dead node is in *nodes* only while its *walkers* are not 0.
    """

    def __init__(self) -> None:
        self.nodes: list[KlistNode[T]] = []
        self.k_lock = threading.Lock()

    def items(self) -> list[T]:
        """Return the live entries of this moment."""
        with self.k_lock:
            return [node.item for node in self.nodes if not node.dead]

    def add_tail(self, item: T) -> None:
        """Append *item*: klist_add_tail()."""
        with self.k_lock:
            self.nodes.append(KlistNode(item))

    def remove(self, item: T) -> None:
        """Delete *item* if it is there: klist_del()."""
        with self.k_lock:
            for node in self.nodes:
                if node.item is item and not node.dead:
                    node.dead = True
                    self._drop_unused(node)
                    return

    def walk(self, get: Callable[[T], object],
             put: Callable[[T], object]) -> Generator[T, None, None]:
        """Yield the entries in order, each with a reference from *get* while it is current.

        klist_iter_init(), klist_next(), klist_iter_exit().  Close the iterator to end early.
        """
        node: KlistNode[T] | None = None
        try:
            while True:
                last, node = node, self._step(node, get)
                if last is not None:
                    put(last.item)
                if node is None:
                    return
                yield node.item
        finally:
            if node is not None:
                self._leave(node)
                put(node.item)

    def _step(self, last: KlistNode[T] | None,
              get: Callable[[T], object]) -> KlistNode[T] | None:
        """Move one walk from *last* to the next live node."""
        with self.k_lock:
            start = 0 if last is None else self.nodes.index(last) + 1
            found = next((n for n in self.nodes[start:] if not n.dead), None)
            if found is not None:
                found.walkers += 1
                # Under the list's lock: an entry of the list is alive, so the reference is safe.
                get(found.item)
            if last is not None:
                last.walkers -= 1
                self._drop_unused(last)
            return found

    def _leave(self, node: KlistNode[T]) -> None:
        """End a walk that stands on *node*."""
        with self.k_lock:
            node.walkers -= 1
            self._drop_unused(node)

    def _drop_unused(self, node: KlistNode[T]) -> None:
        """Take a dead node off the list once no walk stands on it."""
        if node.dead and node.walkers == 0:
            self.nodes.remove(node)
