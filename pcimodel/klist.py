"""lib/klist.c (v4.14): lists that are walked without a lock while others change them.

An entry that is deleted while a walk stands on it stays in place, marked dead, until the walk has
moved on; a walk never returns dead entries.

Lock order: the list's own spinlock is taken alone and never held while anything else is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")
NO_ENTRY: Any = None


class KlistNode(Generic[T]):
    """struct klist_node: one entry; *walkers* counts the walks that stand on it.

    *prev* and *next* are its ``n_node``.  A list's own node, its ``k_list``, has no entry.
    """

    __slots__ = ("item", "walkers", "dead", "prev", "next")

    def __init__(self, item: T) -> None:
        self.item = item
        self.walkers = 0
        self.dead = False
        self.prev = self.next = self


class Klist(Generic[T]):
    """struct klist: entries in the order in which they were added.

    Invariant: a dead node is linked only while its *walkers* are not 0.
    """

    def __init__(self) -> None:
        self.k_list: KlistNode[T] = KlistNode(NO_ENTRY)
        self.k_lock = threading.Lock()
        # In C an entry has its node inside it: this leads from the one to the other. An entry that
        # was added twice has two, the one that was added first comes first.
        self._live: dict[T, list[KlistNode[T]]] = {}

    @property
    def nodes(self) -> list[KlistNode[T]]:
        """The nodes that are linked now, dead ones too.  Called with k_lock, or nothing running."""
        nodes, node = [], self.k_list.next
        while node is not self.k_list:
            nodes.append(node)
            node = node.next
        return nodes

    def items(self) -> list[T]:
        """Return the live entries of this moment."""
        with self.k_lock:
            return [node.item for node in self.nodes if not node.dead]

    def last(self, get: Callable[[T], object]) -> T | None:
        """Return the live entry that was added last, with a reference from *get*, or None."""
        with self.k_lock:
            node = self.k_list.prev
            while node.dead:
                node = node.prev
            if node is self.k_list:
                return None
            get(node.item)
            return node.item

    def add_tail(self, item: T) -> None:
        """Append *item*: klist_add_tail()."""
        with self.k_lock:
            node, head = KlistNode(item), self.k_list
            node.prev, node.next = head.prev, head
            head.prev.next = head.prev = node
            self._live.setdefault(item, []).append(node)

    def remove(self, item: T) -> None:
        """Delete *item* if it is there: klist_del()."""
        with self.k_lock:
            if item not in self._live:
                return
            node, *others = self._live.pop(item)
            if others:
                self._live[item] = others
            node.dead = True
            self._drop_unused(node)

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
            node = (last or self.k_list).next
            while node.dead:
                node = node.next
            if node is not self.k_list:
                node.walkers += 1
                # Under the list's lock: an entry of the list is alive, so the reference is safe.
                get(node.item)
            if last is not None:
                last.walkers -= 1
                self._drop_unused(last)
            return node if node is not self.k_list else None

    def _leave(self, node: KlistNode[T]) -> None:
        """End a walk that stands on *node*."""
        with self.k_lock:
            node.walkers -= 1
            self._drop_unused(node)

    def _drop_unused(self, node: KlistNode[T]) -> None:
        """Take a dead node off the list once no walk stands on it."""
        if node.dead and node.walkers == 0:
            node.prev.next, node.next.prev = node.next, node.prev
