"""Lock: what `threading.Lock` makes. Any thread may release it, and whoever has it may wait for it.

So it is used in two ways. As a lock, whoever took it releases it. As a *signal*, some thread waits
for it until another releases it; nobody knows who that will be. It is taken for a lock until a
thread that did not take it releases it.
"""

from __future__ import annotations

from typing import Any

from ..locks.exclusive import Exclusive
from ..locks.node import Node, drop
from ..locks.task import EXCLUSIVE, NOBODY, Task, WAIT, this_thread
from ..locks.waitgraph import Likely
from .plain import allocate_lock, get_ident, kind_of
from .stands_in import StandsIn


class Lock(StandsIn, Exclusive):
    """`threading.Lock`: not recursive, released by anyone.

    Attributes:
        is_signal: a thread that did not have it released it once.
    """

    __slots__ = ("is_signal",)
    may_stay_held = True

    def __init__(self) -> None:
        Node.__init__(self, None, None)
        self._lock = allocate_lock()
        self._owner: Any = None
        self._waiters: Any = NOBODY
        self.is_signal = False

    acquire_lock = Exclusive.acquire
    locked_lock = Exclusive.locked

    def release(self) -> None:
        """Give it up, whoever has it.

        Raises:
            RuntimeError: nobody has it.
        """
        Exclusive.release(self)

    release_lock = release

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return who has it; of a signal nobody is known.

        Unless it was taken by a ``with`` statement, another may release it as well, as long as
        there is another.
        """
        if self.is_signal:
            return []
        owners = Exclusive.blockers(self, task, mode)
        return owners if not owners or _by_block(owners[0], self) else Likely(owners)

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether nobody has it."""
        return not self.is_held

    def _release(self) -> None:
        task = this_thread.task
        run = task.run
        if run is None:
            self._release_here(task)
            return
        if self._owner is task and not self.is_signal:
            for hook in run.on_release:
                hook(task, self, EXCLUSIVE)
            if self._owner is task and not self.is_signal:    # still
                self._give_up(task)
                return
        else:
            task.tells = "complete"
            for hook in run.on_release:
                hook(task, self, WAIT)
            if run.unwinding and not self.is_held:
                return    # what was to be given back was not taken: it ends anyway
        self._release_here(task)

    def _release_here(self, task: Task) -> None:
        """Release it as *task*, the caller's, which need not have it."""
        if not self.is_held:
            raise RuntimeError("release unlocked lock")
        owner, self._owner = self._owner, None
        if owner is not None and owner is not task and owner != get_ident():
            self.is_signal = True
            if isinstance(owner, Task):
                drop(owner, self)
        self._lock.release()
        if task.run is None:
            self._released_outside()
        elif self._waiters:
            self._hand_over()

    def __repr__(self) -> str:
        state = "locked" if self.is_held else "unlocked"
        return f"<{state} {kind_of(self)} object at {id(self):#x}>"


def _by_block(task: Task, lock: Node) -> bool:
    """Say whether *task* holds *lock* by a ``with`` statement, whose end releases it."""
    chain: Any = next((chain for held, _, chain in reversed(task.held[:]) if held is lock), None)
    if not chain:
        return False
    while chain and chain[0].co_name == "_acquire_in_run":
        chain = chain[2]
    return not chain or chain[0].co_name != "acquire"
