"""A schedule that was run, as a program of lock operations: what the fast engine is asked about.

What each role did in one schedule is taken for what it does in every one. That is so unless a role
branches on data; then exploring on real threads decides. What a program cannot say (a trylock that
failed, a wait that gave up) makes it none.
"""

from __future__ import annotations

from collections import Counter

from ..checker.program import Op, Program
from .controlled_run import ControlledRun
from .dependency import (ASK_TRY, ASK_TRY_READ, ASK_TRY_WRITE, COMPLETE, COMPLETE_ALL, LOCK, NAMES,
                         PASS, PASS_ALL, QUEUEING, READ, STEP, UNLOCK, UP_READ, UP_WRITE, WRITE)
from .stable_ids import Taken

_OPERATIONS = {LOCK: "lock", READ: "down_read", WRITE: "down_write", UNLOCK: "unlock",
               UP_READ: "up_read", UP_WRITE: "up_write", PASS: "wait", PASS_ALL: "wait",
               COMPLETE: "set", COMPLETE_ALL: "set"}
_START = "start of "
_TAKEN = {ASK_TRY: "take", ASK_TRY_READ: "take_read", ASK_TRY_WRITE: "take_write"}


def program_of(run: ControlledRun) -> Program | str:
    """Return what the roles did in *run*, or, in words, why that makes no program."""
    why = _no_program(run)
    if why:
        return why
    threads: dict[str, list[tuple[str, str]]] = {task.key: [] for task in run.tasks}
    for task in run.tasks:
        if task.parent:
            threads[task.key].append(("wait", _START + task.key))
    _tell_births(run, threads, -1)
    for number, step in enumerate(run.steps):
        operation = _TAKEN.get(step.ask) or _OPERATIONS.get(step.kind)
        if operation is not None:
            threads[run.names.roles[step.label >> 1]].append((operation, f"lock {step.lock}"))
        _tell_births(run, threads, number)
    policies = set(run.names.policies.values()) - {""}
    given = {f"lock {number}" for number, done in run.names.done.items() if done}
    return Program({}, threads, frozenset(given), policies.pop() if policies else "writer")


def is_start(op: Op) -> bool:
    """Say whether *op* stands for the start of a thread, which is no step on real threads."""
    return op.target.startswith(_START)


def _tell_births(run: ControlledRun, threads: dict[str, list[tuple[str, str]]],
                 number: int) -> None:
    """Let the threads begin that were started after step *number*."""
    for task in run.tasks:
        if task.parent and task.birth == number:
            threads[task.parent].append(("set", _START + task.key))


def _no_program(run: ControlledRun) -> str:
    """Say what a program cannot say of *run*."""
    if run.names.unknown:
        return "it is not known of all locks who has them"
    if len(set(run.names.policies.values()) - {""}) > 1:
        return "the semaphores have several policies"
    known = {*_OPERATIONS, *QUEUEING, STEP}
    for step in run.steps:
        if step.kind not in known or step.timed:
            what = "a request with a time limit" if step.timed else f"'{NAMES[step.kind]}'"
            return f"{run.names.roles[step.label >> 1]} did what a program cannot say: {what}"
    return _counting(run.steps)


def _counting(steps: list[Taken]) -> str:
    """Say whether a completion counts: a program has flags."""
    done, passed = Counter[int](), Counter[int]()
    for step in steps:
        done[step.lock] += step.kind == COMPLETE
        passed[step.lock] += step.kind == PASS
    counts = any(done[lock] > 1 or passed[lock] > 1 for lock in {*done, *passed})
    return "a completion is completed, or waited for, more than once" if counts else ""
