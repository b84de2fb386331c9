"""Whatever is raised, and whoever comes in between, the guard of the account is given up."""

import ast
import threading
from pathlib import Path

import pytest

from harness import Completion, Mutex, Verdict, run
from harness.locks import parking
from harness.meetings.one_by_one import OneByOne
from harness.runtime.observer import Observer

HARNESS = Path(parking.__file__).parent.parent


@pytest.fixture(autouse=True)
def guard_is_free_and_no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert (parking._guard.locked(), parking._owner, parking._depth, list(parking._woken)) == (
        False, 0, 0, [])
    assert [thread for thread in threading.enumerate() if thread not in before] == []


# -- one shape -------------------------------------------------------------------------------------


def unprotected(source):
    """Return the lines of calls of enter or leave that are not ``enter()``, ``try: ...``,
    ``finally: leave()``.
    """
    tree, allowed, called = ast.parse(source), set(), set()

    def is_call(statement, name):
        value = getattr(statement, "value", None)
        calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)] if value else []
        return any(isinstance(call.func, ast.Name) and call.func.id == name for call in calls)

    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) \
                and node.func.id in ("enter", "leave"):
            called.add(node.lineno)
        body = getattr(node, "body", None)
        for first, then in zip(body, body[1:]) if isinstance(body, list) else ():
            if is_call(first, "enter") and isinstance(then, ast.Try) and len(then.finalbody) == 1 \
                    and is_call(then.finalbody[0], "leave"):
                allowed |= {first.lineno, then.finalbody[0].lineno}
    return sorted(called - allowed)


@pytest.mark.parametrize("source, lines", [
    ("enter()\ntry:\n    x()\nfinally:\n    leave()", []),
    ("again = enter()\ntry:\n    x()\nfinally:\n    leave()", []),
    ("enter()\nx()\nleave()", [1, 3]),
    ("enter()\nx()\ntry:\n    y()\nfinally:\n    leave()", [1, 6]),
    ("enter()\ntry:\n    x()\n    leave()\nexcept OSError:\n    leave()", [1, 4, 6]),
])
def test_shape_of_a_section_is_told_from_others(source, lines):
    assert unprotected(source) == lines


def test_every_section_under_the_guard_gives_it_up_whatever_is_raised():
    found = {str(path.relative_to(HARNESS)): lines for path in sorted(HARNESS.rglob("*.py"))
             if path.name != "parking.py" and (lines := unprotected(path.read_text("utf-8")))}
    assert found == {}


# -- what is raised in a section -------------------------------------------------------------------

RAISED = [SystemExit, KeyboardInterrupt, GeneratorExit, MemoryError, RecursionError, ValueError]


def crossing(by=None):
    def world():
        a, b, done = Mutex("a"), Mutex("b"), Completion("done")

        def alice():
            with a, b:
                pass
            done.wait(by=by)

        def bob():
            with a:
                done.complete()
        return {"alice": alice, "bob": bob}
    return world


def alice_first():
    return [OneByOne((0, 1))]


@pytest.mark.parametrize("exc", RAISED)
def test_asking_by_whom_a_wait_is_ended_may_raise_anything(exc):
    def by():
        raise exc
    result = run(crossing(by), timeout=30, observers=alice_first)
    assert (result.verdict, f"raised {exc.__name__}" in result.finding.text) == (
        Verdict.ERROR, True)


@pytest.mark.parametrize("exc", RAISED)
@pytest.mark.parametrize("hook", ["lock_contended", "role_end", "hold_back", "idle", "lock_acquire",
                                  "lock_acquired", "lock_release", "role_start"])
def test_an_observer_may_raise_anything(hook, exc):
    def raises(self, *args):
        raise exc

    class Ours(Observer):    # as if it were one of ours: nothing is between it and the run
        __module__ = "harness.tests"
    setattr(Ours, hook, raises)
    result = run(crossing(), runs=1, timeout=30, observers=lambda: [Ours(), *alice_first()])
    assert (result.verdict, f"raised {exc.__name__}" in result.finding.text) == (
        Verdict.ERROR, True)
