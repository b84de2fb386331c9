"""A call of `harness` inside another is refused in one line, wherever the user's code that makes it
is called; side by side, in threads that no role started, calls are as they are alone.
"""

import os
import threading
from functools import partial

import pytest

from harness import Completion, Mutex, Observer, Scenario, ScenarioError, Verdict, explore, force, \
    predict, replay, run, stress

START, JOIN = threading.Thread.start, threading.Thread.join
CALLS = {"run": partial(run, runs=1), "force": force, "predict": predict, "explore": explore,
         "stress": partial(stress, runs=1)}


def crosswise():
    a, b = Mutex("a"), Mutex("b")

    def take(first, second):
        with first, second:
            pass
    return {"one": lambda: take(a, b), "two": lambda: take(b, a)}


def world_with(**places):
    """Return a scenario that calls the functions given at the places given."""
    def nothing():
        pass

    def world():
        lock = Mutex("lock")

        def role():
            with lock:
                places.get("role", nothing)()

        def other():
            thread = threading.Thread(target=places.get("thread", nothing), name="started")
            thread.start()
            thread.join()
            with lock:
                pass

        places.get("factory", nothing)()
        return Scenario({"role": role, "other": other}, check=places.get("check"),
                        invariants={"asks": places["invariant"]} if "invariant" in places else {})
    return world


@pytest.fixture(autouse=True)
def threads_are_the_interpreters():
    yield
    assert (threading.Thread.start, threading.Thread.join) == (START, JOIN)


@pytest.mark.parametrize("inner", [*CALLS, "replay"])
@pytest.mark.parametrize("place, words", [
    ("role", "role raised ScenarioError: {}() is called inside role, a role of another call, at"),
    ("thread", "started raised ScenarioError: {}() is called inside started, a role of"),
    ("check", "the check at the end raised ScenarioError: {}() is called inside what another"),
    ("invariant", "invariant 'asks' raised ScenarioError: {}() is called inside invariant 'asks'")])
def test_a_call_inside_what_a_run_calls_is_an_error_of_it_with_its_place(place, words, inner):
    token = explore(crosswise, engine=False).replay if inner == "replay" else ""
    inner_call = (lambda: replay(token, crosswise)) if token else partial(CALLS[inner], crosswise)
    result = run(world_with(**{place: lambda: inner_call() and None}), runs=1)
    assert result.verdict is Verdict.ERROR, str(result)
    assert words.format(inner) in result.finding.text
    assert "test_nested_calls.py:" in result.finding.text and "\n" not in result.finding.text


@pytest.mark.parametrize("outer", CALLS)
@pytest.mark.parametrize("place", ["role", "thread", "check", "invariant"])
def test_so_it_is_in_each_method(outer, place):
    result = CALLS[outer](world_with(**{place: lambda: run(crosswise) and None}))
    assert result.verdict is Verdict.ERROR, str(result)
    assert "ScenarioError: run() is called inside" in result.finding.text


@pytest.mark.parametrize("outer", CALLS)
def test_a_call_in_the_factory_is_refused_and_nothing_is_run(outer):
    with pytest.raises(ScenarioError, match=r"^explore\(\) is called inside what another call of "
                                            r"harness asks at test_nested_calls.py:\d+; "):
        CALLS[outer](world_with(factory=lambda: explore(crosswise)))


def test_so_it_is_where_the_outer_call_is_not_in_the_main_thread(at_once):
    outer = at_once(lambda: run(world_with(factory=lambda: explore(crosswise))))[0]
    with pytest.raises(ScenarioError, match=r"^explore\(\) is called inside what another call of"):
        outer.result()


class Calls(Observer):
    """Makes a call at the hook given."""

    def __init__(self, hook):
        self.hook = hook

    def attach(self, of):
        if self.hook == "attach":
            run(crosswise)

    def lock_acquire(self, task, lock, mode):
        if self.hook == "lock_acquire":
            run(crosswise)

    def role_end(self, task):
        if self.hook == "role_end":
            run(crosswise)


@pytest.mark.parametrize("hook", ["lock_acquire", "role_end"])
def test_a_call_in_an_observer_is_an_error_of_that(hook):
    result = run(world_with(), runs=1, observers=lambda: [Calls(hook)])
    assert f"{hook} of observer Calls raised ScenarioError: run() is called inside {hook} of " \
           f"observer Calls at" in result.finding.text


@pytest.mark.parametrize("observers", [lambda: [Calls("attach")], lambda: run(crosswise)])
def test_a_call_in_what_makes_observers_is_refused(observers):
    with pytest.raises(ScenarioError, match=r"run\(\) is called inside what another call"):
        run(world_with(), runs=1, observers=observers)


def test_a_call_in_by_is_an_error_of_the_wait():
    def world():
        done = Completion("done")
        return {"waits": lambda: done.wait(by=lambda: run(crosswise)), "completes": done.complete}

    result = run(world, runs=20)
    assert result.verdict is Verdict.CLEAN or "run() is called inside `by` of a wait" \
        in str(result), str(result)


def test_after_a_refused_call_the_next_is_as_ever():
    with pytest.raises(ScenarioError):
        run(world_with(factory=lambda: run(crosswise)))
    assert explore(crosswise).verdict is Verdict.DEADLOCK


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_a_factory_forks_may_call():
    def world():
        child = os.fork()
        if not child:
            try:
                os._exit(0 if explore(crosswise).verdict is Verdict.DEADLOCK else 1)
            finally:
                os._exit(2)
        assert os.waitpid(child, 0)[1] == 0
        return {"role": Mutex("a").locked}

    assert run(world, runs=1).verdict is Verdict.CLEAN


def test_calls_side_by_side_in_threads_of_ones_own_are_as_alone(at_once):
    inside = threading.Barrier(3, timeout=120)

    def meets():
        lock = Mutex("lock")
        return {"role": lambda: lock.locked() or inside.wait(), "other": lock.locked}

    calls = at_once(lambda: run(meets, runs=1), lambda: stress(meets, runs=1),
                    lambda: run(meets, runs=1, detect="timeout"))
    assert {call.result().verdict for call in calls} == {Verdict.CLEAN}


def test_calls_from_threads_that_a_factory_started_work():
    results = []

    def world():
        thread = threading.Thread(target=lambda: results.append(explore(crosswise)))
        thread.start()
        thread.join()
        return {"role": Mutex("a").locked}

    assert run(world, runs=1).verdict is Verdict.CLEAN
    assert [result.verdict for result in results] == [Verdict.DEADLOCK]
