"""What threads were seen to do, as a program of lock operations: what the engine is asked about.

What each did in one run is taken for what it does in every one. That is so unless it branches on
data; then real threads decide. `program_from` makes it of operations, as prediction keeps them;
`program_of` of an explored schedule, unless a step is none (a trylock that failed, a wait that gave
up).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ..checker.program import Op, Program
from ..locks.operations import TAKEN
from .controlled_run import ControlledRun
from .dependency import (ASK_TRY, ASK_TRY_READ, ASK_TRY_WRITE, COMPLETE, COMPLETE_ALL, LOCK, NAMES,
                         PASS, PASS_ALL, QUEUEING, READ, START, STEP, UNLOCK, UP_READ, UP_WRITE,
                         WRITE)

_OPERATIONS = {LOCK: "lock", READ: "down_read", WRITE: "down_write", UNLOCK: "unlock",
               UP_READ: "up_read", UP_WRITE: "up_write", PASS: "wait", PASS_ALL: "wait",
               COMPLETE: "complete", COMPLETE_ALL: "set"}
TRYING = (ASK_TRY, ASK_TRY_READ, ASK_TRY_WRITE)
_START = "start of "
_NUMBER = "\0"     # between the name of a completion and which of its waits a flag stands for


def started(thread: str) -> str:
    """Return the flag that says that *thread* was started."""
    return f"{_START}{thread}"


def is_start(op: Op) -> bool:
    """Say whether *op* stands for the start of a thread, which is no step on real threads."""
    return op.target.startswith(_START)


def real_name(flag: str) -> str:
    """Return the name of the wait that a flag of a program stands for."""
    return flag.partition(_NUMBER)[0]


def program_from(paths: Mapping[str, Sequence[Op]], done: Mapping[str, float],
                 policies: Mapping[str, str], kinds: Mapping[str, str] | None = None,
                 others: bool = False) -> Program:
    """Return the program of threads that do what is in *paths*: operations, ``complete`` too.

    A completion counts and a flag does not, so each call of `Completion.complete` and the wait that
    it lets pass get a flag of their own. Which wait that is is known where one thread completes and
    one waits; elsewhere a wait is taken to pass by any call.

    Args:
        done: wait -> how many would have passed from the start.
        policies: semaphore -> its policy.
        kinds: lock -> its kind, where its operations leave that open.
        others: whether threads that are not in *paths* may end waits: what nobody here ends is then
            taken to have ended.
    """
    users = Counter((target, verb) for target, verb, _ in {
        (op.target, op.op, thread) for thread, path in paths.items() for op in path})
    counted = {name for name, verb in users
               if verb == "complete" and users[name, verb] == users[name, "wait"] == 1
               and not users[name, "set"] and not users[name, "clear"]
               and done.get(name, 0) < float("inf")}
    threads = {thread: tuple(_with_flags(path, counted, done)) for thread, path in paths.items()}
    waited, ended = ({op.target for ops in threads.values() for op in ops if op.op == verb}
                     for verb in ("wait", "set"))
    given = {flag for flag in waited if _is_given(flag, done) or others and flag not in ended}
    return Program(kinds or {}, threads, frozenset(given), policies=policies)


def _is_given(flag: str, done: Mapping[str, float]) -> bool:
    """Say whether the wait that *flag* stands for would have passed from the start."""
    name, _, number = flag.partition(_NUMBER)
    return done.get(name, 0) >= int(number or 1)


def _with_flags(path: Sequence[Op], counted: set[str], done: Mapping[str, float]) -> Iterator[Op]:
    """Yield *path* with completions as flags; one that is *counted* gets another each time."""
    numbers = Counter({Op("complete", name): int(done.get(name, 0)) for name in counted})
    for op in path:
        target = op.target
        if target in counted:
            numbers[op] += 1
            target = f"{target}{_NUMBER}{numbers[op]}"
        yield Op("set" if op.op == "complete" else op.op, target)


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
                Op(TAKEN[operation] if step.ask in TRYING else operation, f"lock {step.lock}"))
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
    known = {*_OPERATIONS, *QUEUEING, START, STEP}
    for step in run.steps:
        if step.kind not in known or step.timed:
            what = "a request with a time limit" if step.timed else f"'{NAMES[step.kind]}'"
            return f"{run.names.roles[step.label >> 1]} did what a program cannot say: {what}"
    times = Counter((step.lock, step.kind) for step in run.steps if step.kind in (COMPLETE, PASS))
    if max(times.values(), default=0) > 1:    # then a wait may pass by any of several calls
        return "a completion is completed, or waited for, more than once"
    return ""
