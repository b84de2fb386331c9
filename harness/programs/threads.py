"""Programs on real threads: each thread of a `Program` as a role, each operation on a real lock.

Everything is made of the harness's own locks, so whatever observes those sees programs too:
mutexes and semaphores, completions for flags and the ends of threads. A thread becomes one function
whose statements stand where its operations stand in the file they come from (source_lines.py), so that
reports name that place.

Some operations are several steps here: see `_Role`. Which operations there are, and what they mean,
is said in program.py; nothing is checked again here.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..checker.program import MUTEXES, Op, Program, SEMAPHORES, THREAD_OPS
from ..locks.errors import LockMisuse
from ..locks.node import Node
from ..locks.parking import enter, leave, unpark
from ..locks.task import Task, Unwind, current
from ..locks.rwsem import RWSemaphore
from ..runtime.scenario import Scenario
from .locks import Condition, Flag, ProgramMutex, ReentrantMutex, References
from .source_lines import compiled

THE_END = 1 << 30    # skipping that many operations ends every thread
Lines = Mapping[str, Sequence[int]]   # thread -> line of each operation


def scenario_of(program: Program, name: str = "program", file: str = "", lines: Lines | None = None,
                reference: tuple[str, dict[str, Any]] | None = None) -> Callable[[], Scenario]:
    """Return the scenario factory whose roles perform *program*, in a fresh world for each call.

    Args:
        name: what reports call the scenario.
        file: where the program stands; its places are ``FILE:LINE``. Default: the name.
        lines: the line of each operation there. Default: its number in its thread, from 1 on.
        reference: how another process finds the factory (see `scenario.reference_of`).

    The factory has the attributes `program` and `scenario_name`, and `reference` if it is given.
    """
    functions = {thread: compiled(thread, len(ops), file or name, lines[thread] if lines else ())
                 for thread, ops in program.threads.items()}

    def factory() -> Scenario:
        world = _World(program)
        return Scenario({thread: functools.partial(functions[thread], role, role.steps())
                         for thread, role in world.roles.items()}, program=program,
                        at=lambda name: world.roles[name].at)

    factory.program, factory.scenario_name = program, name    # type: ignore[attr-defined]
    if reference is not None:
        factory.reference = reference                         # type: ignore[attr-defined]
    return factory


# -- the world and its roles ----------------------------------------------------------------------


class _World:
    """The locks, flags and threads of one run."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._escapes = [op for ops in program.threads.values() for op in ops
                         if op.op == "lock_unless"]
        self.locks = {name: self._lock(name, kind) for name, kind in program.locks.items()}
        self.flags = {name: self._flag(name) for name in dict.fromkeys(
            op.flag for ops in program.threads.values() for op in ops if op.flag is not None)}
        self.roles = {name: _Role(name, ops, self) for name, ops in program.threads.items()}
        for condition in (*(each for flag in self.flags.values() for each in flag.conditions),
                          *(each for role in self.roles.values() for each in role.conditions)):
            condition.cancellers = self.cancellers
            condition.is_cancelled = self.is_cancelled

    def _lock(self, name: str, kind: str) -> Node:
        if kind in SEMAPHORES:
            return RWSemaphore(name, policy=self.program.policy_of(name))
        if kind in MUTEXES:
            made = ReentrantMutex if kind == "mutex_re" else ProgramMutex
            return made(name, any(op.target == name for op in self._escapes))
        # A drain keeps new references out, as a queued writer does; `srcu_sync` does not.
        return References(name, "writer" if kind == "kernfs" else "reader")

    def _flag(self, name: str) -> Flag:
        return Flag(name, name in self.program.flags, self.count("wait_clear", name) > 0,
                    any(op.flag == name for op in self._escapes),
                    functools.partial(self.before, "set", name),
                    functools.partial(self.before, "clear", name), self._waited_for_before_begin(name))

    def _waited_for_before_begin(self, flag: str) -> str | None:
        """Return the thread that may be cancelled while it waits for *flag*, if there is one, as
        `_Role` calls what it shares.
        """
        for name, ops in self.program.threads.items():
            before = itertools.takewhile(lambda op: op.op != "begin", ops)
            if self.count("sync", name) and any(op.flag == flag for op in before):
                return f"thread {name}"
        return None

    def count(self, operation: str, target: str) -> int:
        """Return how often this operation is in the program."""
        return sum(op[:2] == (operation, target)
                   for ops in self.program.threads.values() for op in ops)

    def cancellers(self, task: Task) -> list[Task]:
        """Return who may yet end a wait of *task* by cancelling it."""
        role = self.roles.get(task.name)
        if role is None or role.begun.passes:
            return []
        return self.before("sync", role.name, task.run)

    def is_cancelled(self, task: Task) -> bool:
        """Say whether *task* goes no further, whatever it waits for."""
        role = self.roles.get(task.name)
        return role is not None and role.cancelled

    def before(self, operation: str, target: str, run: Any) -> list[Task]:
        """Return the tasks that have the operation before them still."""
        return [task for name, ops in self.program.threads.items()
                if any(op[:2] == (operation, target) for op in ops[self.roles[name].at:])
                for task in self.roles[name].task(run)]


class _Role:
    """One thread of the program: an operation is the method of that name.

    These are several steps each:

    - ``kn_drain``, ``srcu_sync``: to write, and to release at once.
    - ``sync``: look whether it has begun, and wait for its end. A thread that is cancelled goes no
      further once it has what it waits for (it waits for nothing if it begins first of all).
    - ``set`` and ``clear`` of a flag that somebody waits to be clear.

    Attributes:
        at: index of the operation it is at.
        begun, ended: for those who ask or wait for it.
        cancelled: it goes no further.
    """

    def __init__(self, name: str, ops: Sequence[Op], world: _World) -> None:
        self.name, self._ops, self._world = name, ops, world
        self.at = 0
        syncs = world.count("sync", name)
        shares = f"thread {name}" if syncs else None    # who looks whether it has begun may cancel it
        self.begun = Condition(f"begin of {name}", self.task, shares)
        self.ended = Condition(name, self.task, shares)
        self.cancel = Condition(f"cancel of {name}", lambda run: world.before("sync", name, run), shares)
        self._may_be_cancelled = syncs > 0
        self._awaited_by = syncs + world.count("join", name)
        self.cancelled = False
        self._steps: list[Callable[[], int | None]] = []

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What others wait for."""
        return self.begun, self.ended

    def steps(self) -> list[Callable[[], int | None]]:
        """Return its operations, ready to be called."""
        self._steps = [self._step(op) for op in self._ops]
        return self._steps

    def _step(self, op: Op) -> Callable[[], int | None]:
        world = self._world
        if op.op in THREAD_OPS:
            target: Any = world.roles.get(op.target, self)    # "-" is the own one
        else:
            target = world.flags[op.target] if op.flag == op.target else world.locks[op.target]
        more: list[Any] = [op.skip] if op.arg is not None else []
        if op.op == "lock_unless":
            more.append(world.flags[op.flag or ""])
        step = functools.partial(getattr(self, op.op), target, *more)
        return functools.partial(self._unless_cancelled, step) if self._may_be_cancelled else step

    def _unless_cancelled(self, step: Callable[[], int | None]) -> int | None:
        """Do *step*, unless it was cancelled; until it has begun that is for others to say."""
        if not self.begun.passes and self.cancel.poll():
            return THE_END
        return step()
    def task(self, run: Any) -> list[Task]:
        """Return its task in *run*, unless it is over."""
        task = None if run is None or self.ended.passes else run.find(self.name)
        return [task] if task is not None and not task.ended else []

    def exit(self) -> None:
        """Tell those who wait for its end."""
        self.at = len(self._ops)
        for lock, _, _ in current().held:
            if isinstance(lock, ReentrantMutex):
                lock.leave_once()
        if self._awaited_by and not self.cancelled:
            self.ended.complete_all()

    def is_cancelled(self) -> bool:
        """Let it go no further if it has not begun; return whether that is so."""
        self.cancel.complete_all()
        enter()
        self.cancelled = self.cancelled or not self.begun.passes
        if self.cancelled:
            for task in self.task(current().run):
                task.interrupt = Unwind()    # it goes no further, if it waits or is about to
                if task.waits_on is not None:
                    unpark(task)
            self.ended.finish()
        leave()
        if self.cancelled and self._awaited_by > 1:
            self.ended.complete_all()
        return self.cancelled

    # exclusive locks

    def lock(self, mutex: ProgramMutex) -> None:
        mutex.acquire()

    def unlock(self, mutex: ProgramMutex) -> None:
        mutex.release()

    def trylock(self, mutex: ProgramMutex, skip: int) -> int:
        return 0 if mutex.acquire(False) else skip

    def lock_unless(self, mutex: ProgramMutex, skip: int, flag: Flag) -> int:
        return 0 if mutex.acquire_unless(flag) else skip

    def take(self, mutex: ProgramMutex) -> None:
        self._taken(mutex.acquire(False))

    # reader/writer locks

    def down_read(self, semaphore: RWSemaphore) -> None:
        semaphore.down_read()

    def up_read(self, semaphore: RWSemaphore) -> None:
        semaphore.up_read()

    def down_write(self, semaphore: RWSemaphore) -> None:
        semaphore.down_write()

    def up_write(self, semaphore: RWSemaphore) -> None:
        semaphore.up_write()

    def down_read_trylock(self, semaphore: RWSemaphore, skip: int) -> int:
        return 0 if semaphore.down_read_trylock() else skip

    def down_write_trylock(self, semaphore: RWSemaphore, skip: int) -> int:
        return 0 if semaphore.down_write_trylock() else skip

    def take_read(self, semaphore: RWSemaphore) -> None:
        self._taken(semaphore.down_read_trylock())

    def take_write(self, semaphore: RWSemaphore) -> None:
        self._taken(semaphore.down_write_trylock())

    def _taken(self, taken: bool) -> None:
        if not taken:
            raise LockMisuse(f"{self.name} has left the recorded path: its operation "
                             f"{self.at} ({self._ops[self.at]}) succeeded when it was recorded")

    # references

    def kn_get(self, references: References) -> int:
        if not references.down_read_trylock():
            return THE_END
        if references.dead:
            references.up_read()
            return THE_END
        return 0

    def kn_put(self, references: References) -> None:
        references.up_read()

    def kn_drain(self, references: References) -> None:
        references.down_write()
        references.dead = True
        references.up_write()

    def srcu_read(self, references: References) -> None:
        references.down_read()

    def srcu_unread(self, references: References) -> None:
        references.up_read()

    def srcu_sync(self, references: References) -> None:
        references.down_write()
        references.up_write()

    # flags

    def set(self, flag: Flag) -> None:
        flag.set()

    def clear(self, flag: Flag) -> None:
        flag.clear()

    def wait(self, flag: Flag) -> None:
        flag.when_set.wait()

    def wait_clear(self, flag: Flag) -> None:
        flag.when_clear.wait()

    def jump_if(self, flag: Flag, skip: int) -> int:
        return skip if flag.when_set.poll() else 0

    def jump_unless(self, flag: Flag, skip: int) -> int:
        return 0 if flag.when_set.poll() else skip

    # threads

    def begin(self, role: _Role) -> int:
        if role._may_be_cancelled:
            role.begun.complete_all()
        return THE_END if self.cancelled else 0

    def join(self, role: _Role) -> None:
        role.ended.wait()

    def sync(self, role: _Role) -> None:
        if role.begun.poll() or not role.is_cancelled():
            role.ended.wait()
