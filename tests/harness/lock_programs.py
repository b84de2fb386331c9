"""Small programs of lock operations as text, and the truth about them from the engine.

One thread a line, ``name: operation target [argument]; ...``, in the operations of
harness/program.py.
"""

from dataclasses import replace

from harness.checker.search import search
from harness.programs.threads import scenario_of
from harness.methods.predict import predict
from harness.checker.program import Op, Program

HANGS, NEEDS_WRITER, SAFE = "hangs", "needs-writer", "safe"


def program(text, flags=(), policy="writer", **locks):
    """Return the program that *text* writes down; *locks* gives kinds where they are not plain."""
    threads = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, ops = line.partition(":")
        threads[name.strip()] = [_operation(op) for op in ops.split(";") if op.strip()]
    return Program(locks, threads, frozenset(flags), policy)


def _operation(text):
    op, target, *more = text.split()
    return (op, target, *(int(each) if each.isdigit() else each for each in more))


def truth(made):
    """Say whether some order of *made* hangs: as it is, only with a further writer queued at each
    of its semaphores, or not at all. All states are gone through.
    """
    threads = dict(made.threads)
    writers = {f"writer of {lock}": (Op("down_write", lock), Op("up_write", lock))
               for lock, kind in made.locks.items() if kind in ("rwsem", "percpu_ref")}
    for verdict, more in ((HANGS, {}), (NEEDS_WRITER, writers)):
        if more or verdict == HANGS:
            answer = search(Program(made.locks, {**threads, **more}, made.flags, made.policy))
            assert answer.complete and not answer.misuse
            if answer.deadlocks:
                return verdict
    return SAFE


def predicted(result):
    """Return what *result* of predict comes to, in the words of `truth`.

    A finding that could not be settled is neither: it is returned by its status.
    """
    statuses = {each.status for each in result.predictions}
    if str(result.verdict) in ("deadlock", "hang"):
        return HANGS
    if str(result.verdict) not in ("clean", "predicted"):
        return str(result.verdict)
    return next((each for each in ("unconfirmed", NEEDS_WRITER) if each in statuses), SAFE)


def predict_program(made):
    """Predict on real threads what *made* can come to."""
    return predict(scenario_of(made), timeout=2)


def statuses(result):
    """Return cycle of classes -> status."""
    return {each.key: each.status for each in result.predictions}


def reasons(result):
    """Return cycle of classes -> the reason for its status."""
    return {each.key: each.reason for each in result.predictions}


def bare(made):
    """Return the scenario factory of *made* that does not say that it is a program: what prediction
    knows of it is then what it saw.
    """
    factory = scenario_of(made)
    return lambda: replace(factory(), program=None)
