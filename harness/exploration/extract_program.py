"""What threads were seen to do, as a program of lock operations: what the engine is asked about.

What each did in one run is taken for what it does in every one. That is so unless it branches on
data; then real threads decide. `program_from` makes it of operations, as prediction keeps them;
`program_of` of an explored schedule, unless a step is none (a trylock that failed, a wait that gave
up).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from ..checker.program import Op, Program
from ..locks.operations import TAKEN, names
from .controlled_run import ControlledRun
from .dependency import (ASK_TRY, ASK_TRY_READ, ASK_TRY_WAIT, ASK_TRY_WRITE, COMPLETE,
                         COMPLETE_ALL, LOCK, NAMES, PASS, PASS_ALL, QUEUEING, READ, REINIT, START,
                         STEPS, UNLOCK, UP_READ, UP_WRITE, WRITE)

_OPERATIONS = {LOCK: "lock", READ: "down_read", WRITE: "down_write", UNLOCK: "unlock",
               UP_READ: "up_read", UP_WRITE: "up_write", PASS: "wait", PASS_ALL: "wait",
               COMPLETE: "complete", COMPLETE_ALL: "set", REINIT: "clear"}
TRYING = (ASK_TRY, ASK_TRY_READ, ASK_TRY_WRITE, ASK_TRY_WAIT)
_TAKEN = {**TAKEN, "wait": "pass"}
ENDING, PASSING = names(counterpart="wait"), frozenset(["wait", "pass"])
_START = "start of "


def started(thread: str) -> str:
    """Return the flag that says that *thread* was started."""
    return f"{_START}{thread}"


def is_start(op: Op) -> bool:
    """Say whether *op* stands for the start of a thread, which is no step on real threads."""
    return op.target.startswith(_START)


def program_from(paths: Mapping[str, Sequence[Op]], done: Mapping[str, float],
                 policies: Mapping[str, str], kinds: Mapping[str, str] | None = None,
                 others: bool = False) -> Program:
    """Return the program of threads that do what is in *paths*.

    Args:
        done: wait -> how many would have passed from the start.
        policies: semaphore -> its policy.
        kinds: lock -> its kind, where its operations leave that open.
        others: whether threads that are not in *paths* may end waits: what nobody here ends is then
            taken to have ended.
    """
    ops = [op for path in paths.values() for op in path]
    waited, ended = {op.target for op in ops if op.op in PASSING}, \
        {op.target for op in ops if op.op in ENDING}
    given = {flag for flag in waited
             if done.get(flag, 0) == float("inf") or others and flag not in ended}
    passes = {flag: int(n) for flag, n in done.items() if flag in waited - given and n}
    return Program(kinds or {}, {thread: tuple(path) for thread, path in paths.items()},
                   frozenset(given), policies=policies, passes=passes)


# -- from an explored schedule --------------------------------------------------------------------


def program_of(run: ControlledRun) -> Program | str:
    """Return what the roles did in *run*, or, in words, why that makes no program."""
    if why := _no_program(run):
        return why
    begun: dict[int, list[tuple[str, str]]] = defaultdict(list)   # step -> who starts whom then
    threads: dict[str, list[Op]] = {}
    for task in run.tasks:
        threads[task.key] = [Op("wait", started(task.key))] if task.parent else []
        if task.parent:
            begun[task.birth].append((task.parent, task.key))
    for number, step in enumerate([None, *run.steps], -1):
        if step is not None and step.kind in _OPERATIONS:
            operation = _OPERATIONS[step.kind]
            threads[run.names.roles[step.label >> 1]].append(
                Op(_TAKEN[operation] if step.ask in TRYING else operation, f"lock {step.lock}"))
        for parent, thread in begun[number]:
            threads[parent].append(Op("set", started(thread)))
    done = {f"lock {number}": done for number, done in run.names.done.items()}
    policies = {f"lock {number}": policy for number, policy in run.names.policies.items() if policy}
    return program_from(threads, done, policies)


def _no_program(run: ControlledRun) -> str:
    """Say what a program cannot say of *run*."""
    if run.names.unknown:
        return "it is not known of all locks who has them"
    if len(set(run.names.policies.values()) - {""}) > 1:
        return "the semaphores have several policies"
    if run.names.unsaid:
        return "who is woken by a condition depends on who waits"
    if run.names.taken:
        return "a lock was held when the roles began"
    holders: dict[int, int] = {}
    for step in run.steps:
        if step.kind == LOCK:
            holders[step.lock] = step.label >> 1
        elif step.kind == UNLOCK and holders.get(step.lock) != step.label >> 1:
            return "a lock was released by a thread that did not have it"
    known = {*_OPERATIONS, *QUEUEING, START, *STEPS}
    for step in run.steps:
        if step.kind not in known or step.timed:
            what = "a request with a time limit" if step.timed else f"'{NAMES[step.kind]}'"
            return f"{run.names.roles[step.label >> 1]} did what a program cannot say: {what}"
    return ""
