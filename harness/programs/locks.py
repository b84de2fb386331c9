"""What the threads of a program lock and wait for: the harness's own locks, with more to say.

Whatever observes mutexes, semaphores and completions sees these too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..locks.completion import Completion
from ..locks.mutex import Mutex
from ..locks.node import ask, grant, wait
from ..locks.parking import guarded
from ..locks.task import EXCLUSIVE, Task, WAIT, current
from ..locks.rwsem import RWSemaphore
from ..locks.waitgraph import AnyOf, but_for

# Given a task that waits, who in its run could end that.
Completers = Callable[[Task], list[Task]]
# Who may yet end a task's wait, whatever it waits for, by cancelling it; None if that was done.
Cancellers = Callable[[Task], list[Task] | None]
# What all share of which one may let a role go that waits for another: locks and flags of
# ``lock_unless``, threads that may be cancelled, and what they may be cancelled waiting for.
ESCAPING = "what may let a role go"


def nobody(task: Task) -> list[Task]:
    """Return no task."""
    return []


def any_of(candidates: Iterable[Task], waiter: Task) -> list[Task]:
    """Return who blocks a wait that any one of *candidates* could end."""
    return AnyOf(but_for(waiter, candidates))


class ProgramMutex(Mutex):
    """A mutex that says ``unlock``, and that one can want unless a flag is set.

    Args:
        escapable: whether anyone does, or may be cancelled waiting for it.
    """

    def __init__(self, name: str, escapable: bool = False) -> None:
        super().__init__(name)
        self._escapable = escapable
        self._unless: dict[Task, Flag] = {}

    @property
    def shares(self) -> object:
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
        if flag.when_set.passes > 0:
            return []
        return any_of([*owners, *flag.when_set.completers(task)], task)

    def acquire_unless(self, flag: Flag) -> bool:
        """Take it, waiting if it is not free; return False once *flag* is set and it is not."""
        task = current()
        self._unless[task] = flag
        try:
            return self._acquire_in_run(task, True, -1)
        finally:
            del self._unless[task]

    def _contend(self, task: Task, mode: str, timeout: float) -> bool:
        """Wait for it, in `acquire_unless` for the flag too; return whether *task* has it."""
        flag = self._unless.get(task)
        if flag is None:
            return super()._contend(task, mode, timeout)
        with guarded:
            # Queued before the lock is tried: a release frees the lock first and looks for waiters
            # after, so either it sees the waiter or the waiter sees the lock free.
            self._queue(task)
            taken = self._lock.acquire(False)
            # The guard is held from here to the wait. Who sets the flag completes it under the
            # guard and looks at `escaping` after: it sees this entry, or the flag is seen set here.
            if not taken and not flag.when_set.passes:
                is_owner = self._owner is task    # then it can only go on for the flag's sake
                flag.escaping[task] = self
                taken = wait(task, self, EXCLUSIVE, -1) and self._owner is task and not is_owner
                del flag.escaping[task]
            self._unqueue(task)
        return taken

    def give_up(self, task: Task) -> None:
        """Let *task* go on, which waits for it or a flag. Called with the guard held."""
        if task in self._waiters and task.waits_on is self:
            self._waiters.remove(task)
            grant(task)


class ReentrantMutex(ProgramMutex):
    """A mutex that its holder may take again, which is no event; `depth`: how often he did."""

    def __init__(self, name: str, escapable: bool = False) -> None:
        super().__init__(name, escapable)
        self.depth = 0

    def _acquire_in_run(self, task: Task, blocking: bool, timeout: float) -> bool:
        """Take it, once more if *task* holds it."""
        if self._owner is not task:
            return super()._acquire_in_run(task, blocking, timeout)
        self.depth += 1
        return True

    def release(self) -> None:
        """Give it up, if this is the last hold."""
        if self.depth and self._owner is current():
            self.depth -= 1
        else:
            super().release()


class ProgramSemaphore(RWSemaphore):
    """A semaphore; `escapable`: somebody may be cancelled waiting for it."""

    def __init__(self, name: str, policy: str, escapable: bool = False) -> None:
        super().__init__(name, policy=policy)
        self._escapable = escapable

    @property
    def shares(self) -> object:
        """What may let a role pass it: itself alone, or the end of a thread too."""
        return ESCAPING if self._escapable else self


class ActiveReferences(ProgramSemaphore):
    """Active references, as lockdep sees them: each a reader, who waits for them a writer.

    `dead`: they have been waited for, and none is given any more.
    """

    kn_put = srcu_unread = RWSemaphore.up_read

    def __init__(self, name: str, policy: str, escapable: bool = False) -> None:
        super().__init__(name, policy, escapable)
        self.dead = False

    def release_verb(self, mode: str) -> str:
        """Return what reports call the end of a hold."""
        return "waited" if mode == EXCLUSIVE else "put"


class ProgramCompletion(Completion):
    """A completion that knows who could complete it, or cancel the thread that waits for it.

    Args:
        shares: what else may let a role pass it. Default: nothing.
    """

    ended_by_any = False    # the program says who ends a wait

    def __init__(self, name: str, completers: Completers, shares: str | None,
                 cancellers: Cancellers) -> None:
        super().__init__(name)
        self.completers = completers
        self._shares, self._cancellers = shares, cancellers

    @property
    def shares(self) -> object:
        """What may let a role pass it."""
        return self if self._shares is None else self._shares

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether a wait would end at once."""
        return super().is_free_for(task, mode) or self._cancellers(task) is None

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return who could end the wait: see `any_of`."""
        cancellers = self._cancellers(task)
        if cancellers is None:
            return []
        return any_of([*self.completers(task), *cancellers], task)

    def poll(self) -> bool:
        """Say whether it is done. To those who observe this is a wait that gives up at once, since
        what it comes to depends on others.
        """
        task = current()
        if not ask(task, self, WAIT, timed=True) or not self.passes:
            return False
        for hook in task.run.on_acquired:
            hook(task, self, WAIT)
        return True


class Flag:
    """A flag: one completion for those who wait until it is set, one for ``wait_clear``.

    Args:
        waits_for_clear: whether anyone waits so. Nobody is told of what nobody asks for: it would
            be one more step to try in all orders.

    `escaping` says who waits for which mutex unless this is set.
    """

    def __init__(self, when_set: ProgramCompletion, when_clear: ProgramCompletion, is_set: bool,
                 waits_for_clear: bool) -> None:
        self.when_set, self.when_clear = when_set, when_clear
        (when_set if is_set else when_clear).finish()
        self.escaping: dict[Task, ProgramMutex] = {}
        self._waits_for_clear = waits_for_clear

    def set(self) -> None:
        """Set it."""
        if self._waits_for_clear:
            self.when_clear.reinit()
        self.when_set.complete_all()    # before the look at `escaping`: see `ProgramMutex._contend`
        if self.escaping:
            with guarded:
                for task, mutex in list(self.escaping.items()):
                    mutex.give_up(task)

    def clear(self) -> None:
        """Clear it."""
        self.when_set.reinit()
        if self._waits_for_clear:
            self.when_clear.complete_all()
