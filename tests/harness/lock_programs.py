"""Small programs of lock operations as text, and the truth about them from the engine.

One thread a line, ``name: operation target [argument]; ...``, in the operations of
harness/checker/program.py.
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
    return (op, target, *(int(part) if part.isdigit() else part for part in more))


def truth(program):
    """Say whether some order of *program* hangs: as it is, only with a further writer queued at
    each of its semaphores, or not at all. All states are gone through.
    """
    threads = dict(program.threads)
    writers = {f"writer of {lock}": (Op("down_write", lock), Op("up_write", lock))
               for lock, kind in program.locks.items() if kind in ("rwsem", "percpu_ref")}
    for verdict, more in ((HANGS, {}), (NEEDS_WRITER, writers)):
        if more or verdict == HANGS:
            answer = search(replace(program, threads={**threads, **more}))
            assert answer.complete and not answer.misuse
            if answer.deadlocks:
                return verdict
    return SAFE


def predicted(result):
    """Return what *result* of predict comes to, in the words of `truth`.

    A finding that could not be settled is neither: it is returned by its status.
    """
    statuses = {finding.status for finding in result.predictions}
    if str(result.verdict) in ("deadlock", "hang"):
        return HANGS
    if str(result.verdict) not in ("clean", "predicted"):
        return str(result.verdict)
    return next((status for status in ("unconfirmed", NEEDS_WRITER) if status in statuses), SAFE)


def predict_program(program):
    """Predict on real threads what *program* can come to."""
    return predict(scenario_of(program), timeout=2)


def statuses(result):
    """Return cycle of classes -> status."""
    return {finding.key: finding.status for finding in result.predictions}


def reasons(result):
    """Return cycle of classes -> the reason for its status."""
    return {finding.key: finding.reason for finding in result.predictions}


def bare(program):
    """Return the scenario factory of *program* that does not say that it is a program: what
    prediction knows of it is then what it saw.
    """
    factory = scenario_of(program)
    return lambda: replace(factory(), program=None)
