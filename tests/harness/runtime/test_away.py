"""User code that is called with the guard held, and does not come back, ends its run and no more.

Each kind goes through every command in a process of its own (never_back.py), all side by side.
"""

import ast
import json
import os
import re
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import never_back
import pytest
from never_back import HOOKS, WORLDS

from harness import Completion, Mutex
from harness.locks import away, parking
from harness.locks.task import Task, current
from harness.locks.user_code import Quiet

HERE = Path(never_back.__file__).parent
LIMIT = 120.0    # seconds: a program that takes longer stays for ever
KINDS = [*WORLDS, *HOOKS]
LAST = 9    # programs that are under way at once
# Those that compute need a processor each.
COMPUTE = ["by", "building", "dropped", "role_end", "standstill"]
CASES = [(kind, "waits") for kind in KINDS] + [(kind, "computes") for kind in COMPUTE]
FREE = [False, 0, 0, 0, 0]
# Of what is asked for a report alone the verdict is that of the run.
TOLD = {"function_name": {"deadlock", "error", "inconclusive"}}
CALLED = {"by": "`by` of a wait", "text_of_an_exception": "the text of an exception",
          "building": "`by` of a wait", "checking": "`by` of a wait",
          "dropped": "finalizer|__del__"}    # of who calls, or of a role whose thread collects


@pytest.fixture(scope="module")
def came_to():
    """What each program came to: exit status, and a dictionary for each call."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent.parent, HERE)))}
    todo, programs, done = CASES[:], {}, {}
    while todo or programs:
        while todo and len(programs) < LAST:
            kind, way = todo.pop(0)
            programs[kind, way] = subprocess.Popen(
                [sys.executable, "never_back.py", kind, way], cwd=HERE, env=env, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        case = next(iter(programs))
        program = programs.pop(case)
        try:
            lines, status = program.communicate(timeout=LIMIT)[0], program.returncode
        except subprocess.TimeoutExpired:
            program.kill()
            lines, status = program.communicate()[0], "it stays"
        done[case] = status, [json.loads(line) if line.startswith("{") else line
                              for line in lines.splitlines()]
    return done


@pytest.mark.parametrize("kind, way", CASES)
def test_every_call_ends_and_names_it_and_the_next_one_is_as_ever(kind, way, came_to):
    status, calls = came_to[kind, way]
    assert status == 3, calls
    some = 2 if way == "computes" or kind in HOOKS else 5 if kind == "dropped" else 6
    assert len(calls) == some, calls
    for call in calls:
        assert (call["again"], call["guard"]) == ("clean", FREE), call
        verdict, report = call["verdict"], " ".join(call["report"].split())
        assert verdict in TOLD.get(kind, {"hang" if way == "waits" else "inconclusive"}), call
        assert "never_back.py:" in report, call
        assert re.search(CALLED.get(kind, kind), report) or verdict in TOLD.get(kind, ()), call


@pytest.mark.parametrize("way, verdict", [("waits", "hang"), ("computes", "inconclusive")])
def test_a_run_beside_it_is_not_to_blame(way, verdict, in_another_process):
    done = in_another_process("never_back.py", "beside", way, timeout=LIMIT)
    assert (done.stdout.split(), done.returncode) == (["clean", verdict], 3), done


# -- one of two gets the guard ---------------------------------------------------------------------


class Asked:
    """A thread that has the guard, and calls what comes back when it is told to."""

    def __init__(self):
        self.begun, self.go, self.answer = threading.Event(), threading.Event(), []
        self.thread = threading.Thread(target=self._ask)

    def _ask(self):
        with parking.guarded:
            self.answer.append(Quiet().call("a question", self._wait))
            self.answer.append(parking._owner)

    def _wait(self):
        self.begun.set()
        self.go.wait()
        return "an answer"

    def __enter__(self):
        self.thread.start()
        self.begun.wait()
        return self

    def __exit__(self, *exc):
        self.go.set()
        self.thread.join()

    def stands_in(self, function):
        """Wait until the thread stands in *function*."""
        while sys._current_frames()[self.thread.ident].f_code is not function.__code__:
            pass


def test_what_has_come_back_cannot_be_given_up():
    with Asked() as asked:
        call = away.under_way()
    with away.InPlaceOf(call) as mine:
        assert not mine
    assert asked.answer == ["an answer", asked.thread.ident]
    assert (call.given_up, away.under_way(), parking._owner) == (False, None, 0)


def test_whoever_lent_the_guard_waits_for_it_and_has_it_again():
    with Asked() as asked:
        call = away.under_way()
        for _ in range(2):
            with away.InPlaceOf(call, lend=True) as mine:
                assert mine
            assert away.under_way() is call
        with away.InPlaceOf(call, lend=True):
            asked.go.set()
            asked.stands_in(away.Call._come_back)
            assert asked.answer == []
    assert asked.answer == ["an answer", asked.thread.ident]
    assert parking._owner == 0 and not parking._guard.locked()


def test_nobody_is_asked_anything_in_place_of_who_does_not_come_back():
    asks = []
    with Asked(), away.InPlaceOf(away.under_way(), lend=True):
        with pytest.raises(away.NotAsked):
            Quiet().call("another question", asks.append, 1)
        done = Completion("done")
        done._by[current()] = lambda: asks.append(2)
        assert done.blockers(current(), "wait") == []

        class Named(Mutex):
            name = property(lambda self: asks.append(3))
        assert str(Named()).startswith("<")
    assert asks == []


def test_a_task_whose_thread_is_given_up_neither_waits_nor_has_ended():
    class Counted:
        running = timed = unfinished = 0
        in_turns = False

    for parked, baton, ended, counts in [
            (True, True, False, (1, 0, 0)), (True, False, False, (0, -1, 0)),
            (False, False, True, (1, 0, 1)), (False, False, False, (0, 0, 0))]:
        task = Task("one", Counted())
        task.parked, task.baton, task.ended = parked, baton, ended
        with parking.guarded:
            away.give_up(task)
        assert (task.parked, task.ended) == (False, False)
        assert (task.run.running, task.run.timed, task.run.unfinished) == counts


def test_a_task_that_was_woken_is_not_handed_the_guard_when_it_is_given_up():
    class Counted:
        running = timed = unfinished = 0
        in_turns = False

    task = Task("one", Counted())
    task.parked = task.baton = True
    with parking.guarded:
        parking.unpark(task)
        away.give_up(task)
    assert not parking._guard.locked() and task.gate.locked()


def test_no_lock_is_handed_to_a_task_whose_thread_is_given_up():
    lock, done = Mutex("lock"), Completion("done")
    gone, waits = Task("gone"), Task("waits")
    lock._waiters = deque([gone, waits])
    done._waiters.extend([gone, waits])
    with parking.guarded:
        away.give_up(gone)
    lock._hand_over()
    done.complete()
    assert (lock._owner, list(lock._waiters), list(done._waiters)) == (waits, [], [])


# -- one door --------------------------------------------------------------------------------------

_HOLD_USER_CODE = {"order", "fget", "_asked", "_guest", "function_name"}


def calls_of_user_code(source):
    """Return the functions in which what a user wrote is called by the name it is kept under."""
    found = set()
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef):
            for node in ast.walk(function):
                target = node.func if isinstance(node, ast.Call) else None
                if isinstance(target, ast.Attribute) and target.attr in _HOLD_USER_CODE \
                        or isinstance(target, ast.Name) and target.id == "by":
                    found.add(function.name)
                if isinstance(target, ast.Call) and getattr(target.func, "id", "") == "getattr" \
                        and getattr(target.args[0], "id", "") == "guest":
                    found.add(function.name)
    return found


@pytest.mark.parametrize("source, found", [
    ("def f(): known.order(a, b)", {"f"}), ("def f(): quiet.call('', known.order, a)", set()),
    ("def f(): by()", {"f"}), ("def f(): getattr(guest, hook)()", {"f"})])
def test_a_call_of_user_code_is_told_from_what_hands_it_on(source, found):
    assert calls_of_user_code(source) == found


def test_user_code_is_called_through_one_door():
    """The two are what `Quiet.call` is to call; the third calls a class of ours so."""
    harness = Path(away.__file__).parent.parent
    found = {(path.name, name) for path in harness.rglob("*.py") for name in
             calls_of_user_code(path.read_text("utf-8"))}
    assert found == {("completion.py", "_named"), ("guest.py", "_call_hook"),
                     ("follower.py", "_following")}
