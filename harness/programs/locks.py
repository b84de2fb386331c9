"""What the threads of a program lock and wait for: the harness's own locks, with more to say.

Whatever observes mutexes, semaphores and completions sees these too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..locks.completion import Completion
from ..locks.mutex import Mutex
from ..locks.node import ended_wait, grant, wait
from ..locks.parking import enter, leave
from ..locks.task import EXCLUSIVE, Expired, Task, WAIT, current
from ..locks.rwsem import RWSemaphore

Bringers = Callable[[Any], Iterable[Task]]   # given a run, who in it could complete something
ESCAPING = "a mutex or a flag"    # what all locks and flags of ``lock_unless`` share


def either(candidates: Iterable[Task], run: Any) -> list[Task]:
    """Return who blocks a wait that any one of *candidates* could end.

    Several are one task here, which stands for them and waits for nobody: a cycle through one of
    them would be no deadlock while another can go on. When none can, that is a hang.
    """
    found = list(dict.fromkeys(candidates))
    return found if len(found) < 2 else [Task(" or ".join(each.name for each in found), run)]


class ProgramMutex(Mutex):
    """A mutex that says ``unlock``, and that one can want unless a flag is set.

    Args:
        escapable: whether anyone does.
    """

    def __init__(self, name: str, escapable: bool = False) -> None:
        super().__init__(name)
        self._escapable = escapable
        self._unless: dict[Task, Flag] = {}

    @property
    def shares(self) -> Any:
        """What may let a role pass it: itself alone, or a flag too."""
        return ESCAPING if self._escapable else self

    def release_verb(self, mode: str) -> str:
        """Return the operation that releases it."""
        return "unlock"

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the owner, or who else could let *task* go on."""
        owners, flag = super().blockers(task, mode), self._unless.get(task)
        if flag is None or not owners:
            return owners
        return [] if flag.when_set.passes > 0 else either([*owners, *flag.setters(task.run)], task.run)

    def acquire_unless(self, flag: Flag) -> bool:
        """Take it, waiting if it is not free; return False once *flag* is set and it is not."""
        task = current()
        task.trylock = task.timed = False
        self._unless[task] = flag
        try:
            for hook in task.run.on_acquire:
                hook(task, self, EXCLUSIVE)
            taken, goes_on = self._take_or_wait(task, flag)
        finally:
            del self._unless[task]
        if not goes_on:
            return ended_wait(task)
        if taken:
            task.held.append((self, EXCLUSIVE, task.chain))
            for hook in task.run.on_acquired:
                hook(task, self, EXCLUSIVE)
        return taken

    def _take_or_wait(self, task: Task, flag: Flag) -> tuple[bool, bool]:
        """Return whether *task* has it, and whether it may go on."""
        enter()
        owner = self._owner
        self._waiters.append(task)     # before the lock is tried: see the header of mutex.py
        taken = self._lock.acquire(False)
        if taken:
            self._owner = task
        goes_on = taken or flag.when_set.passes > 0
        if not goes_on:
            flag.escaping[task] = self
            goes_on = wait(task, self, EXCLUSIVE, -1)
            # Its holder, who wants it again, can only go on for the flag's sake.
            taken = goes_on and self._owner is task and owner is not task
            flag.escaping.pop(task, None)
        if task in self._waiters:
            self._waiters.remove(task)
        leave()
        return taken, goes_on

    def give_up(self, task: Task) -> None:
        """Let *task* go on, which waits for it or a flag. Called with the guard held."""
        if task in self._waiters and task.waits_on is self:
            self._waiters.remove(task)
            grant(task)


class ReentrantMutex(ProgramMutex):
    """A mutex that its holder may take again: that is no event."""

    def __init__(self, name: str, escapable: bool = False) -> None:
        super().__init__(name, escapable)
        self._depth = 0

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Take it, once more if the caller holds it."""
        return self._again() or super().acquire(*args, **kwargs)

    def acquire_unless(self, flag: Flag) -> bool:
        """Take it, once more if the caller holds it; False once *flag* is set and it is taken."""
        return self._again() or super().acquire_unless(flag)

    def _again(self) -> bool:
        if self._owner is not current():
            return False
        self._depth += 1
        return True

    def release(self) -> None:
        """Give it up, if this is the last hold."""
        if self._depth and self._owner is current():
            self._depth -= 1
        else:
            super().release()

    def leave_once(self) -> None:
        """Make the next release the last: its holder ends."""
        self._depth = 0


class References(RWSemaphore):
    """Active references, as lockdep sees them: each a reader, who waits for them a writer.

    `dead`: they have been waited for, and none is given any more.
    """

    def __init__(self, name: str, policy: str) -> None:
        super().__init__(name, policy=policy)
        self.dead = False

    def release_verb(self, mode: str) -> str:
        """Return what reports call the end of a hold."""
        return "waited" if mode == EXCLUSIVE else "put"


class Condition(Completion):
    """A completion that knows who could complete it: *bringers*, given a run."""

    def __init__(self, name: str, bringers: Bringers, shares: Any = None) -> None:
        super().__init__(name)
        self._bringers, self._shares = bringers, shares
        # Who may yet cancel a task that waits, and whether that was done: the interpreter says.
        self.cancellers: Callable[[Task], Iterable[Task]] = lambda task: ()
        self.is_cancelled: Callable[[Task], bool] = lambda task: False

    @property
    def shares(self) -> Any:
        """What may let a role pass it."""
        return self if self._shares is None else self._shares

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether a wait would end at once."""
        return super().is_free_for(task, mode) or self.is_cancelled(task)

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return who could end the wait: see `either`."""
        if self.is_cancelled(task):
            return []
        return either([*self._bringers(task.run), *self.cancellers(task)], task.run)

    def poll(self) -> bool:
        """Say whether it is done. To those who observe this is a wait that gives up at once, since
        what it comes to depends on others.
        """
        task = current()
        task.trylock, task.timed = False, True
        try:
            for hook in task.run.on_acquire:
                hook(task, self, WAIT)
        except Expired:
            return False
        if not self.passes:
            return False
        for hook in task.run.on_acquired:
            hook(task, self, WAIT)
        return True


class Flag:
    """A flag: one completion for those who wait until it is set, one for ``wait_clear``.

    Args:
        waits_for_clear: whether anyone waits so. Nobody is told of what nobody asks for: it would
            be one more step to try in all orders.
        escapable: whether anyone wants a mutex unless it is set.
        setters, clearers: given a run, who in it still has that before them.
        shares: what else may let a role pass the flag.

    `escaping` says who waits for which mutex unless this is set.
    """

    def __init__(self, name: str, is_set: bool, waits_for_clear: bool, escapable: bool,
                 setters: Bringers, clearers: Bringers, shares: str | None = None) -> None:
        if shares is None or escapable:
            shares = ESCAPING if escapable else f"flag {name}" if waits_for_clear else None
        self.when_set = Condition(name, setters, shares)
        self.when_clear = Condition(f"not {name}", clearers, shares)
        (self.when_set if is_set else self.when_clear).finish()
        self.setters = setters
        self.escaping: dict[Task, ProgramMutex] = {}
        self._waits_for_clear = waits_for_clear

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What others wait for."""
        return self.when_set, self.when_clear

    def set(self) -> None:
        """Set it."""
        if self._waits_for_clear:
            self.when_clear.reinit()
        self.when_set.complete_all()
        if self.escaping:
            enter()
            for task, mutex in list(self.escaping.items()):
                mutex.give_up(task)
            leave()

    def clear(self) -> None:
        """Clear it."""
        self.when_set.reinit()
        if self._waits_for_clear:
            self.when_clear.complete_all()
