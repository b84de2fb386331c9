"""Whatever is raised, and whoever comes in between, the guard of the account is given up."""

import ast
import itertools
import os
import sys
import threading
from pathlib import Path

import pytest

from harness import Completion, Mutex, RWSemaphore, Verdict, run
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
    """Return the lines that use the guard in another way than ``with guarded:``."""
    tree = ast.parse(source)
    blocks = {item.context_expr for node in ast.walk(tree) if isinstance(node, ast.With)
              for item in node.items}
    lines, names = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").endswith("parking"):
            names |= {alias.name for alias in node.names}
            if names & {"enter", "leave", "_guard"}:
                lines.add(node.lineno)
        elif isinstance(node, ast.Attribute) and node.attr in ("enter", "leave", "_guard") \
                and isinstance(node.value, ast.Name) and node.value.id == "parking":
            lines.add(node.lineno)
    return sorted(lines | {node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name)
                           and node.id in names & {"guarded"} and node not in blocks})


@pytest.mark.parametrize("source, lines", [
    ("from .parking import guarded\nwith guarded:\n    x()", []),
    ("from ..locks.parking import guarded\nwith a, guarded as interrupts:\n    x()", []),
    ("from .parking import enter, leave\nenter()\nx()\nleave()", [1]),
    ("parking.enter()\ntry:\n    x()\nfinally:\n    parking.leave()", [1, 5]),
    ("x = parking._guard\nwith x: pass", [1]),
    ("from .parking import guarded\nwith nullcontext(guarded):\n    guarded.__enter__()", [2, 3]),
    ("with guarded: pass\nenter()\nguarded(1)", []),    # of somebody else
])
def test_shape_of_a_section_is_told_from_others(source, lines):
    assert unprotected(source) == lines


def test_every_section_under_the_guard_gives_it_up_whatever_is_raised():
    found = {str(path.relative_to(HARNESS)): lines for path in sorted(HARNESS.rglob("*.py"))
             if path.name not in ("parking.py", "away.py")    # which has it in place of another
             and (lines := unprotected(path.read_text("utf-8")))}
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


# -- raised at each call ---------------------------------------------------------------------------


class Injected(RecursionError):
    """What a call of ours raises as it begins, as where the stack is at its end."""


# They run at the depth at which the guard was taken; the first call of a thread.
NEVER = {"leave", "_leave_specially", "enter", "_enter_specially", "_is_under_way", "_loop",
         "<lambda>"}
# What is called from these has the room: see `parking.room`.
ROOMY = {"room", "_call_package", "_hand_over", "_add"}
ours = tuple(f"{HARNESS / package}{os.sep}" for package in ("locks", "runtime"))


def mutexes():
    a, b = Mutex("a"), Mutex("b")

    def role():
        with a, b:
            pass
    return {"alice": role, "bob": role}


def readers_and_a_writer():
    s = RWSemaphore("s")

    def reads():
        with s.down_read():
            pass

    def writes():
        with s.down_write():
            pass
    return {"alice": reads, "bob": writes}


def wait_and_complete():
    done, m = Completion("done"), Mutex("m")

    def waits():
        done.wait()    # for ever, if bob could not get so far
        with m:
            pass

    def completes():
        with m:
            done.complete()
    return {"alice": waits, "bob": completes}


def a_thread():
    m = Mutex("m")

    def starts():
        thread = threading.Thread(target=lambda: m.acquire() and m.release())
        thread.start()
        with m:
            pass
        thread.join()
    return {"alice": starts, "bob": lambda: None}


def raising_at(number, call):
    """Return what *call* returns, with the given call of ours in a role's thread raising; None if
    there are not so many.
    """
    seen = 0

    def profile(frame, event, arg):
        nonlocal seen
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(ours) or code.co_name in NEVER:
            return
        if code.co_name == "perform" and frame.f_back.f_code.co_name != "_loop":
            return
        around, names = frame, set()
        while around is not None:
            names.add(around.f_code.co_name)
            around = around.f_back
        if names & ROOMY or "perform" not in names:
            return
        seen += 1
        if seen == number:
            sys.setprofile(None)
            threading.setprofile(None)
            raise Injected("no room")

    threading.setprofile(profile)
    try:
        result = call()
    finally:
        threading.setprofile(None)
    return result if seen >= number else None


@pytest.mark.parametrize("world", [mutexes, readers_and_a_writer, wait_and_complete, a_thread])
def test_raised_at_any_call_of_ours_it_is_an_error_that_is_told_at_once(world, monkeypatch):
    """Nothing is judged by the time. The guard is free then, and a run after finds all in order."""
    monkeypatch.setattr(sys, "unraisablehook", lambda args: None)    # of a generator that is closed
    for number in itertools.count(1):
        # In the world with a thread the other role does nothing: to hold it back costs a look each.
        result = raising_at(number, lambda: run(world, runs=1, timeout=20, observers=list
                                                if world is a_thread else alice_first))
        if result is None:
            break
        findings = result.outcome.findings
        assert [finding.text for finding in findings if finding.how != "observed"] == [], number
        assert not findings or any("Injected" in finding.text for finding in findings), number
        assert not parking._guard.locked() and not parking._depth
    assert number > 60
    assert run(world, runs=1).verdict is Verdict.CLEAN


@pytest.mark.parametrize("name", ["leave", "park", "without_guard"])
def test_a_profile_function_that_uses_a_lock_where_none_is_to_be_had_keeps_no_guard(name):
    """What it is refused is raised where it stands: as `leave` begins, say, which then never ran.
    """
    waiting = []

    def crosses():
        a, b = Mutex("a"), Mutex("b")
        done = Completion("done")

        def alice():
            waiting[:] = [a, b]
            with a, b:
                done.complete()

        def bob():
            done.wait()
            with b, a:
                pass
        return {"alice": alice, "bob": bob}

    def profile(frame, event, arg):
        if event == "call" and frame.f_code is getattr(parking, name).__code__ and waiting:
            del waiting[0]
            with parking.guarded:
                parking.refuse_to_wait()

    threading.setprofile(profile)
    try:
        result = run(crosses, runs=1, timeout=20)
    finally:
        threading.setprofile(None)
    assert [text for text in (finding.text for finding in result.outcome.findings)
            if "internal error" in text or "nothing moved" in text] == []
    assert run(mutexes, runs=1).verdict is Verdict.CLEAN


@pytest.mark.parametrize("world", [mutexes, readers_and_a_writer, wait_and_complete])
def test_a_lock_taken_at_the_edge_of_the_stack_is_an_error_of_the_role(world):
    """At each depth near the limit; what was taken is free again."""
    def deep(levels, role):
        return deep(levels - 1, role) if levels else role()

    def at(levels):
        def build():
            roles = world()
            return {name: lambda role=role: deep(levels, role) for name, role in roles.items()}
        return build

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(220)
    try:
        kinds = set()
        for levels in range(100, 215):
            result = run(at(levels), runs=1, timeout=20)
            findings = result.outcome.findings
            kinds.add(str(result.verdict))
            assert [finding.text for finding in findings if finding.how != "observed"] == []
            assert not findings or any(
                "RecursionError" in finding.text and finding.text.startswith(("alice", "bob"))
                for finding in findings), (levels, findings)
    finally:
        sys.setrecursionlimit(limit)
    assert {"clean", "error"} <= kinds <= {"clean", "error", "hang"}
