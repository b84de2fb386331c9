"""Programs on real threads: each thread of a `Program` as a role, each operation on a real lock.

Mutexes and semaphores are the harness's own. What else a program waits for (flags, ends of threads,
references) is a `Completion` that passes while something holds of the world. A thread becomes one
compiled function whose statements stand where its operations stand in the file they come from, so
that reports name that place.

Which operations there are, and what they mean, is said in program.py; nothing is checked again here.
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .errors import LockMisuse, ReleaseWithoutHold
from .locks import Completion, Mutex, Node, drop, ended_wait, grant, wait
from .program import MUTEXES, SEMAPHORES, Op, Program
from .rwsem import RWSemaphore
from .scenario import Scenario
from .task import EXCLUSIVE, SHARED, WAIT, Task, current, enter, leave

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
                         for thread, role in world.roles.items()}, program=program)

    factory.program, factory.scenario_name = program, name    # type: ignore[attr-defined]
    if reference is not None:
        factory.reference = reference                         # type: ignore[attr-defined]
    return factory


def compiled(name: str, count: int, file: str, lines: Sequence[int] = ()) -> Callable[..., None]:
    """Return a function called *name* that performs *count* steps, each at its line of *file*.

    It is called with a role, told before each step where it is (`role.at`) and when it ends
    (`role.exit`), and with the steps. A step returns how many of the next ones to skip; None is none.
    """
    body = "\n".join(f"  role.at = {i}; skip = skip - 1 if skip else steps[{i}]() or 0"
                     for i in range(count))
    tree = ast.parse(f"def role(role, steps):\n skip = 0\n try:\n{body}\n finally:\n  role.exit()\n")
    function: Any = tree.body[0]
    guarded = function.body[1]
    wanted = list(lines) or list(range(1, count + 1))
    for i, line in enumerate(wanted):
        for statement in guarded.body[2 * i:2 * i + 2]:
            _put_at(statement, line)
    for statement in (function, function.body[0], guarded, function.args):
        _put_at(statement, wanted[0], deep=False)
    _put_at(guarded.finalbody[0], wanted[-1])
    namespace: dict[str, Any] = {}
    exec(compile(tree, file, "exec"), namespace)
    made = namespace["role"]
    made.__code__ = made.__code__.replace(co_name=name, co_qualname=name)
    return made


def _put_at(node: ast.AST, line: int, deep: bool = True) -> None:
    for each in ast.walk(node) if deep else [node]:
        if hasattr(each, "lineno"):
            each.lineno = each.end_lineno = line   # type: ignore[attr-defined]


# -- what threads wait for ------------------------------------------------------------------------


def _either(candidates: Iterable[Task], what: str = " or ") -> list[Task]:
    """Return who blocks a wait that any one of *candidates* could end: one task that stands for all
    of them, which waits for nobody. So no cycle leads through it: it would be none while one can go
    on. When nobody can, that is a hang.
    """
    found = list(dict.fromkeys(candidates))
    return found[:1] if len(found) < 2 else [Task(what.join(task.name for task in found), found[0].run)]


class _Condition(Completion):
    """A completion that is done while *holds* says so; `bringers` says who can make it so."""

    __slots__ = ("_holds", "_bringers")

    def __init__(self, name: str, holds: Callable[[], bool],
                 bringers: Callable[[Any], list[Task]], lock_class: str | None = None) -> None:
        super().__init__(name, lock_class)
        self._holds, self._bringers = holds, bringers
        self.refresh()

    def refresh(self) -> None:
        """Look again, and let those go who waited for it. Called with the guard held."""
        if self._holds():
            self.finish()
        else:
            self._done = 0

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return who must act before the wait can end."""
        return [] if self._holds() else self._bringers(task.run)


def _tell(node: Node) -> None:
    """Say that the calling task is about to change who may pass *node*."""
    task = current()
    for hook in task.run.on_release:
        hook(task, node, WAIT)


def _change(nodes: Sequence[Node], act: Callable[[], Any]) -> None:
    """Do *act*, which may end waits for *nodes*, as one step; say so before."""
    for node in nodes:
        _tell(node)
    enter()
    act()
    for node in nodes:
        if isinstance(node, _Condition):
            node.refresh()
    leave()


def _look(node: Node) -> None:
    """Say that the calling task is about to look at *node*, without waiting: like a trylock, this is
    an event, since what it sees depends on others.
    """
    task = current()
    task.trylock, task.timed = True, False
    for hook in task.run.on_acquire:
        hook(task, node, WAIT)


class _Flag:
    """A flag: one node for those who wait until it is set, one for those who wait until it is clear.

    `unless` holds those who wait for a mutex or the flag: task -> mutex.
    """

    def __init__(self, name: str, world: _World) -> None:
        self.is_set = name in world.program.flags
        self.unless: dict[Task, _Exclusive] = {}
        self.setters = functools.partial(world.threads_with, "set", name)
        clearers = functools.partial(world.threads_with, "clear", name)
        self.when_set = _Condition(name, lambda: self.is_set, lambda run: _either(self.setters(run)))
        self.when_clear = _Condition(f"not {name}", lambda: not self.is_set,
                                     lambda run: _either(clearers(run)))
        # Only what somebody asks for: each is a step of its own to those who observe.
        self._nodes: list[Node] = [world.nodes[op.target] for op in world.operations()
                                   if op.op == "lock_unless" and op.flag == name]
        self._nodes += [self.when_clear] if world.uses("wait_clear", name) else []
        self._nodes.append(self.when_set)

    def change(self, to: bool) -> None:
        """Set or clear it."""
        def act() -> None:
            self.is_set = to
            for task, mutex in list(self.unless.items()) if to else ():
                mutex.give_up_waiting(task)
        _change(list(dict.fromkeys(self._nodes)), act)


class _Exclusive(Mutex):
    """A mutex that can be waited for unless a flag is set, and says ``unlock``."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._unless: dict[Task, _Flag] = {}

    def release_verb(self, mode: str) -> str:
        """Return the operation that releases it."""
        return "unlock"

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the owner; with a flag, who else could let *task* go on."""
        owners, flag = super().blockers(task, mode), self._unless.get(task)
        if flag is None or not owners:
            return owners
        return [] if flag.is_set else _either([*owners, *flag.setters(task.run)])

    def acquire_unless(self, flag: _Flag) -> bool:
        """Take it, or return False once *flag* is set and it is not free."""
        task = current()
        task.trylock = task.timed = False
        self._unless[task] = flag
        try:
            for hook in task.run.on_acquire:
                hook(task, self, EXCLUSIVE)
            go_on = self._take_or_wait(task, flag)
        finally:
            del self._unless[task]
        if not go_on:
            return ended_wait(task)
        if self._owner is not task:
            return False
        task.held.append((self, EXCLUSIVE, task.chain))
        for hook in task.run.on_acquired:
            hook(task, self, EXCLUSIVE)
        return True

    def _take_or_wait(self, task: Task, flag: _Flag) -> bool:
        """Return whether *task* may go on: as the owner, or without it for the flag's sake."""
        enter()
        self._waiters.append(task)     # before the lock is tried: see the header of locks.py
        flag.unless[task] = self
        go_on = True
        if self._lock.acquire(False):
            self._owner = task
        elif not flag.is_set:
            go_on = wait(task, self, EXCLUSIVE, -1)
        del flag.unless[task]
        if task in self._waiters:
            self._waiters.remove(task)
        leave()
        return go_on

    def give_up_waiting(self, task: Task) -> None:
        """Let *task* go on without it. Called with the guard held."""
        if task in self._waiters and task.waits_on is self:
            self._waiters.remove(task)
            grant(task)


class _Reentrant(_Exclusive):
    """A mutex that its holder may take again: that is no event."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._depth = 0

    def _again(self) -> bool:
        if self._owner is not current():
            return False
        self._depth += 1
        return True

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Take it, once more if the caller holds it."""
        return self._again() or super().acquire(*args, **kwargs)

    def acquire_unless(self, flag: _Flag) -> bool:
        """Take it, once more if the caller holds it, unless *flag* is set."""
        return self._again() or super().acquire_unless(flag)

    def release(self) -> None:
        """Give it up, if this is the last hold."""
        if self._depth and self._owner is current():
            self._depth -= 1
        else:
            super().release()


class _References(Node):
    """Active references, as lockdep sees them: a reader that never waits, a drain that writes.

    Who takes a reference does not wait for a drain (once one has begun, none is given); a drain waits
    until all have been given back.
    """

    __slots__ = ("_holders", "_waiters", "_draining")

    def __init__(self, name: str) -> None:
        super().__init__(name, None)
        self._holders: list[Task] = []
        self._waiters: list[Task] = []
        self._draining = False

    def release_verb(self, mode: str) -> str:
        """Return what reports call the end of a hold."""
        return "drained" if mode == EXCLUSIVE else "put"

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the holders for a drain, nobody for a new reference."""
        return list(self._holders) if mode == EXCLUSIVE else []

    def get(self) -> bool:
        """Take a reference; False once a drain has begun."""
        task = current()
        task.trylock, task.timed = True, False
        for hook in task.run.on_acquire:
            hook(task, self, SHARED)
        enter()
        refused = self._draining
        if not refused:
            self._holders.append(task)
        leave()
        return not refused and self._taken(task, SHARED)

    def _taken(self, task: Task, mode: str) -> bool:
        task.held.append((self, mode, task.chain))
        for hook in task.run.on_acquired:
            hook(task, self, mode)
        return True

    def up_read(self) -> None:
        """Give a reference back.

        Raises:
            ReleaseWithoutHold: the caller has none.
        """
        task = current()
        if task not in self._holders:
            raise ReleaseWithoutHold(f"{self}: {task.name} has no reference to give back")
        self._dropped(task, SHARED)
        enter()
        self._holders.remove(task)
        if not self._holders:
            for waiter in self._waiters:
                grant(waiter)
            self._waiters.clear()
        leave()

    def _dropped(self, task: Task, mode: str) -> None:
        for hook in task.run.on_release:
            hook(task, self, mode)
        drop(task, self)

    def begin_drain(self) -> None:
        """Give no references from now on."""
        _change([self], lambda: setattr(self, "_draining", True))

    def drain(self) -> None:
        """Wait until there are none."""
        task = current()
        task.trylock = task.timed = False
        for hook in task.run.on_acquire:
            hook(task, self, EXCLUSIVE)
        enter()
        drained = not self._holders
        if not drained:
            self._waiters.append(task)
            drained = wait(task, self, EXCLUSIVE, -1)
            if task in self._waiters:
                self._waiters.remove(task)
        leave()
        if drained:
            self._taken(task, EXCLUSIVE)
            self.up_write()
        else:
            ended_wait(task)

    def up_write(self) -> None:
        """End the drain."""
        self._dropped(current(), EXCLUSIVE)


# -- the world and its roles ----------------------------------------------------------------------


class _World:
    """The locks, flags and threads of one run."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.nodes = {name: self._lock(name, kind) for name, kind in program.locks.items()}
        self.roles = {name: _Role(name, ops, self) for name, ops in program.threads.items()}
        flags = {op.flag for ops in program.threads.values() for op in ops if op.flag is not None}
        self.flags = {name: _Flag(name, self) for name in flags}

    def _lock(self, name: str, kind: str) -> Node:
        if kind in SEMAPHORES:
            return RWSemaphore(name, policy=self.program.policy)
        if kind in MUTEXES:
            return _Reentrant(name) if kind == "mutex_re" else _Exclusive(name)
        return _References(name)

    def operations(self) -> Iterator[Op]:
        """Yield every operation of every thread."""
        return itertools.chain.from_iterable(self.program.threads.values())

    def uses(self, operation: str, target: str) -> bool:
        """Say whether any thread has this operation."""
        return any(op[:2] == (operation, target) for op in self.operations())

    def threads_with(self, operation: str, target: str, run: Any) -> list[Task]:
        """Return the tasks that have the operation before them still."""
        return [task for name, ops in self.program.threads.items()
                if any(op[:2] == (operation, target) for op in ops[self.roles[name].at:])
                for task in self.roles[name].bringers(run)]


class _Role:
    """One thread of the program: an operation is the method of that name.

    Attributes:
        at: index of the operation it is at.
        begun: node for those who ask whether it has begun; nobody waits for that.
        ended: node for those who wait for its end.
    """

    def __init__(self, name: str, ops: Sequence[Op], world: _World) -> None:
        self.name, self._ops, self._world = name, ops, world
        self.at = 0
        self._has_begun = self._is_over = self._cancelled = False
        self.begun = _Condition(f"begin of {name}", lambda: True, lambda run: [])
        self.ended = _Condition(name, lambda: self._is_over, self.bringers)
        self._may_be_cancelled = world.uses("sync", name)
        self._is_awaited = self._may_be_cancelled or world.uses("join", name)
        self._steps: list[Callable[[], int | None]] = []

    def steps(self) -> list[Callable[[], int | None]]:
        """Return its operations, ready to be called."""
        self._steps = [self._step(op) for op in self._ops]
        return self._steps

    def _step(self, op: Op) -> Callable[[], int | None]:
        world = self._world
        if op.target in world.roles and op.op in ("begin", "join", "sync") or op.target == "-":
            target: Any = world.roles.get(op.target, self)
        else:
            target = world.flags[op.target] if op.flag == op.target else world.nodes[op.target]
        more: list[Any] = [op.skip] if op.arg is not None else []
        if op.op == "lock_unless":
            more.append(world.flags[op.flag or ""])
        return functools.partial(getattr(self, op.op), target, *more)

    def bringers(self, run: Any) -> list[Task]:
        """Return its task, unless it is over."""
        task = None if run is None or self._is_over else run.find(self.name)
        return [task] if task is not None and not task.ended else []

    def has_begun_or_is_cancelled(self) -> bool:
        """Let it go no further if it has not begun; return whether it had.

        To those who observe this is a request, so that it can be held up until the thread has begun,
        and that is met only if it has.
        """
        task = current()
        task.trylock = task.timed = False
        for hook in task.run.on_acquire:
            hook(task, self.begun, WAIT)
        enter()
        begun = self._has_begun
        if not begun:
            self._cancelled = self._is_over = True
            self._steps[:] = [lambda: THE_END] * len(self._steps)
            self.ended.refresh()
        leave()
        if begun:
            for hook in task.run.on_acquired:
                hook(task, self.begun, WAIT)
        return begun

    def exit(self) -> None:
        """Tell those who wait for its end."""
        self.at = len(self._ops)
        if self._is_awaited and not self._cancelled:
            _change([self.ended], lambda: setattr(self, "_is_over", True))

    # exclusive locks

    def lock(self, mutex: _Exclusive) -> None:
        mutex.acquire()

    def unlock(self, mutex: _Exclusive) -> None:
        mutex.release()

    def trylock(self, mutex: _Exclusive, skip: int) -> int:
        return 0 if mutex.acquire(False) else skip

    def lock_unless(self, mutex: _Exclusive, skip: int, flag: _Flag) -> int:
        return 0 if mutex.acquire_unless(flag) else skip

    def take(self, mutex: _Exclusive) -> None:
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

    def kn_get(self, node: _References) -> int:
        return 0 if node.get() else THE_END

    def kn_put(self, node: _References) -> None:
        node.up_read()

    def kn_drain(self, node: _References) -> None:
        node.begin_drain()
        node.drain()

    def srcu_read(self, node: _References) -> None:
        node.get()

    def srcu_unread(self, node: _References) -> None:
        node.up_read()

    def srcu_sync(self, node: _References) -> None:
        node.drain()

    # flags

    def set(self, flag: _Flag) -> None:
        flag.change(True)

    def clear(self, flag: _Flag) -> None:
        flag.change(False)

    def wait(self, flag: _Flag) -> None:
        flag.when_set.wait()

    def wait_clear(self, flag: _Flag) -> None:
        flag.when_clear.wait()

    def jump_if(self, flag: _Flag, skip: int) -> int:
        _look(flag.when_set)
        return skip if flag.is_set else 0

    def jump_unless(self, flag: _Flag, skip: int) -> int:
        _look(flag.when_set)
        return 0 if flag.is_set else skip

    # threads

    def begin(self, role: _Role) -> int:
        if role._may_be_cancelled:
            _change([role.begun], lambda: setattr(role, "_has_begun", True))
        return THE_END if self._cancelled else 0

    def join(self, role: _Role) -> None:
        role.ended.wait()

    def sync(self, role: _Role) -> None:
        if role.has_begun_or_is_cancelled():
            role.ended.wait()
