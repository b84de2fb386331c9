"""Lock programs and cases of a lock validator on real threads, each operation on a real lock.

Everything is made of the harness's own locks: mutexes and semaphores, completions for flags and the
ends of threads. A thread becomes one function whose statements stand where its operations stand in
the file they come from, so that reports name that place and not the line of ours that performs them
(interpreter.py).
"""

from __future__ import annotations

import ast
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..checker.program import FLAG_OPS, MUTEXES, Op, Program, SEMAPHORES, THREAD_OPS
from ..locks.mutex import Mutex
from ..locks.node import Node
from ..locks.task import SHARED, Task
from ..locks.rwsem import RWSemaphore
from ..runtime.scenario import Scenario
from .interpreter import Interpreter, Step
from .locks import (ESCAPING, ActiveReferences, Flag, ProgramCompletion, ProgramMutex,
                    ProgramSemaphore, ReentrantMutex)

Lines = Mapping[str, Sequence[int]]       # thread -> line of each operation
Factory = Callable[[], Scenario]
Reference = tuple[str, dict[str, str]]    # how another process finds a factory: see `reference_of`


def scenario_of(program: Program, name: str = "program", file: str = "", lines: Lines | None = None,
                reference: Reference | None = None) -> Factory:
    """Return the scenario factory whose roles perform *program*, in a fresh world for each call.

    Args:
        name: what reports call the scenario.
        file: where the program stands; its places are ``FILE:LINE``. Default: the name.
        lines: the line of each operation there. Default: its number in its thread, from 1 on.
        reference: how another process finds the factory.

    The factory has the attributes `program` and `scenario_name`, and `reference` if it is given.
    """
    functions = {thread: compiled(thread, len(ops), file or name, lines[thread] if lines else ())
                 for thread, ops in program.threads.items()}

    def factory() -> Scenario:
        world = World(program)
        roles = {thread: functools.partial(functions[thread], interpreter, world.steps(thread))
                 for thread, interpreter in world.threads.items()}
        return Scenario(roles, program=program, at=lambda thread: world.threads[thread].at)

    return _described(factory, scenario_name=name, reference=reference, program=program)


def _described(factory: Factory, **attributes: object) -> Factory:
    vars(factory).update({key: value for key, value in attributes.items() if value is not None})
    return factory


def compiled(name: str, count: int, file: str, lines: Sequence[int] = ()) -> Callable[..., None]:
    """Return a function called *name* that performs *count* steps, each at its line of *file*.

    It is called with a role, told before each step where it is (`role.at`) and when it ends
    (`role.exit`), and with the steps. A step returns how many of the next ones to skip, None for
    none.
    """
    body = "\n".join(f"  role.at = {i}; skip = skip - 1 if skip else steps[{i}]() or 0"
                     for i in range(count))
    tree = ast.parse(f"def role(role, steps):\n skip = 0\n try:\n{body or '  pass'}\n"
                     f" finally:\n  role.exit()\n")
    places = list(lines) or list(range(1, count + 1)) or [1]
    _put_at(tree, places[0])
    guarded: Any = tree.body[0].body[1]    # type: ignore[attr-defined]
    for number, statement in enumerate(guarded.body):    # two for each step
        _put_at(statement, places[number // 2])
    _put_at(guarded.finalbody[0], places[-1])
    namespace: dict[str, Any] = {}
    exec(compile(tree, file, "exec"), namespace)
    role: Callable[..., None] = namespace["role"]
    role.__code__ = role.__code__.replace(co_name=name, co_qualname=name)
    return role


def _put_at(tree: ast.AST, line: int) -> None:
    for node in ast.walk(tree):
        if hasattr(node, "lineno"):
            node.lineno = node.end_lineno = line   # type: ignore[attr-defined]


# -- cases of a validator -------------------------------------------------------------------------

Operation = tuple[str, str] | tuple[str, str, int]    # what, the lock; for SUBCLASS a number
TASK = "task"    # the role that does it all
# What acquires (with a T before it, only if that is possible at once), releases, initialises again
# and gives a subclass: the method of `Interpreter`, and what it needs besides the lock.
_METHODS: Mapping[str, tuple[str, *tuple[object, ...]]] = {
    "W": ("write",), "R": ("read",), "RR": ("read",), "TW": ("trylock",),
    "TR": ("trylock", 0, SHARED), "TRR": ("trylock", 0, SHARED),
    "U": ("release",), "I": ("init",), "SUBCLASS": ("subclass",)}
OPERATIONS = tuple(_METHODS)


def sequence_of(operations: Sequence[Operation], locks: Mapping[str, tuple[str, str]], name: str,
                file: str, lines: Sequence[int], policy: str = "writer",
                reference: Reference | None = None) -> Factory:
    """Return the scenario factory whose one role does *operations* in order.

    A validator learns from what one task does in program order. So does prediction here: the role
    does it all, one section after the other, and its run is what is judged. A sequence that no
    thread can do (it takes a mutex twice) is what it would be in a kernel: a thread that waits for
    itself.

    A lock that is ever read is a semaphore, any other a mutex, whatever its type is called. One
    that is read recursively lets readers in past writers that wait.

    Args:
        locks: name -> (type, class).
        policy: of the semaphores that are not read recursively.
        name, file, lines, reference: as for `scenario_of`.
    """
    function = compiled(TASK, len(operations), file, lines)
    used = {(lock, operation.removeprefix("T")) for operation, lock, *_ in operations}

    def make(lock: str, kind: str, lock_class: str) -> Mutex | RWSemaphore:
        recursive = kind == "rwlock" or (lock, "RR") in used
        if recursive or kind == "rwsem" or (lock, "R") in used:
            return RWSemaphore(lock, lock_class, "reader" if recursive else policy)
        return Mutex(lock, lock_class)

    def factory() -> Scenario:
        real = {lock: make(lock, *kind_and_class) for lock, kind_and_class in locks.items()}
        task = Interpreter(TASK, operations, ends=False)
        steps = []
        for operation, lock, *number in operations:
            method, *operands = _METHODS[operation]
            steps.append(task.step(method, real[lock], *operands, *number))
        return Scenario({TASK: functools.partial(function, task, steps)}, inner_locks=True)

    return _described(factory, scenario_name=name, reference=reference)


# -- programs -------------------------------------------------------------------------------------


class World:
    """The locks, flags and threads of one run, and who there could end whose wait."""

    def __init__(self, program: Program) -> None:
        self._program = program
        ops = [op for thread in program.threads.values() for op in thread]
        self._counts = Counter(op[:2] for op in ops)
        self._escapes = [op for op in ops if op.op == "lock_unless"]
        # In this order: locks of one name are numbered in the order in which they are made.
        self._locks = {name: self._lock(name, kind) for name, kind in program.locks.items()}
        self._flags = {name: self._flag(name)
                       for name in dict.fromkeys(op.flag for op in ops if op.flag is not None)}
        self.threads = {
            name: Interpreter(name, ops, self._counts["sync", name], self._counts["join", name],
                              functools.partial(self._before, "sync", name), self._cancellers,
                              escapable=self._cancelled_at(name))
            for name, ops in program.threads.items()}

    def _lock(self, name: str, kind: str) -> Node:
        escapable = self._cancelled_at(name) or any(op.target == name for op in self._escapes)
        if kind in SEMAPHORES:
            return ProgramSemaphore(name, self._program.policy_of(name), escapable)
        if kind in MUTEXES:
            mutex_type = ReentrantMutex if kind == "mutex_re" else ProgramMutex
            return mutex_type(name, escapable)
        # A drain keeps new references out, as a queued writer does; `srcu_sync` does not.
        return ActiveReferences(name, "writer" if kind == "kernfs" else "reader", escapable)

    def _flag(self, name: str) -> Flag:
        waits_for_clear = self._counts["wait_clear", name] > 0
        if self._cancelled_at(name) or any(op.flag == name for op in self._escapes):
            shares: str | None = ESCAPING
        else:
            shares = f"flag {name}" if waits_for_clear else None
        when_set, when_clear = (
            ProgramCompletion(text, functools.partial(self._before, operation, name), shares,
                              self._cancellers)
            for text, operation in ((name, "set"), (f"not {name}", "clear")))
        return Flag(when_set, when_clear, name in self._program.flags, waits_for_clear)

    def _cancelled_at(self, target: str) -> bool:
        """Say whether a thread may be cancelled waiting for the lock or flag *target*."""
        return any(self._counts["sync", name] and any(
            target in (op.target, op.flag)
            for op in itertools.takewhile(lambda op: op.op != "begin", ops))
            for name, ops in self._program.threads.items())

    def steps(self, thread: str) -> list[Step]:
        """Return the operations of *thread*, ready to be called."""
        interpreter = self.threads[thread]
        return [interpreter.step(op.op, *self._operands(thread, op))
                for op in self._program.threads[thread]]

    def _operands(self, thread: str, op: Op) -> Iterator[object]:
        if op.op in THREAD_OPS:
            yield self.threads[thread if op.target == "-" else op.target]
        else:
            yield (self._flags if op.op in FLAG_OPS else self._locks)[op.target]
        if op.arg is not None:
            yield op.skip
        if op.op == "lock_unless" and op.flag is not None:
            yield self._flags[op.flag]

    def _cancellers(self, task: Task) -> list[Task] | None:
        thread = self.threads.get(task.name)
        if thread is None:
            return []
        if thread.cancelled:
            return None
        return [] if thread.begun.passes else self._before("sync", task.name, task)

    def _before(self, operation: str, target: str, waiter: Task) -> list[Task]:
        """Return the tasks of the run of *waiter* that have the operation before them still."""
        return [task for name, ops in self._program.threads.items()
                if any(op[:2] == (operation, target) for op in ops[self.threads[name].at:])
                for task in self.threads[name].tasks(waiter)]
