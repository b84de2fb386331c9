"""Completion: a wait that another thread ends, and that may name that thread."""

import threading

import pytest

from harness import Completion, Observer, Verdict, run
from harness.locks.node import wait
from harness.locks.parking import guarded, park
from harness.locks.task import WAIT, Task


class OneByOne(Observer):
    """Open the next gate whenever nobody can go on."""

    def __init__(self, *gates):
        self.gates = list(gates)

    def idle(self):
        if self.gates:
            self.gates.pop(0).finish()
            return True
        return False


def test_complete_before_wait_lets_one_wait_pass():
    done = Completion("done")
    done.complete()
    assert [done.wait(), done.wait(timeout=0.01), done.done()] == [True, False, False]


def test_complete_counts():
    done = Completion("done")
    done.complete()
    done.complete()
    assert [done.wait(timeout=0), done.wait(timeout=0), done.wait(timeout=0)] == [True, True, False]


def test_complete_all_lets_every_wait_pass_until_reinit():
    done = Completion("done")
    done.complete_all()
    passed = [done.wait(), done.wait(), done.done()]
    done.reinit()
    assert (passed, done.done(), done.wait(timeout=0.01)) == ([True, True, True], False, False)


def test_reinit_takes_back_what_was_completed_once():
    done = Completion("done")
    done.complete()
    done.reinit()
    assert (done.done(), done.wait(timeout=0)) == (False, False)


def test_a_thread_outside_any_run_waits_until_it_is_completed():
    done, story = Completion("done"), []
    thread = threading.Thread(target=lambda: story.append(done.wait()))
    thread.start()
    done.complete()
    thread.join()
    assert (story, done.done()) == ([True], False)


def waiters(done, story, gates):
    def role(i):
        def wait():
            gates[i].wait()
            done.wait()
            story.append(i)
        return wait
    return {f"waiter {i}": role(i) for i in (2, 0, 1)}


def test_complete_wakes_the_one_that_came_first():
    done, story = Completion("done"), []
    gates = [Completion(f"gate {i}") for i in range(3)]
    turns = [Completion(f"turn {i}") for i in range(3)]

    def completer():
        for turn in turns:
            turn.wait()
            done.complete()

    result = run(lambda: {**waiters(done, story, gates), "completer": completer},
                 observers=lambda: [OneByOne(*gates, *turns)], runs=1)
    assert (result.verdict, story) == (Verdict.CLEAN, [0, 1, 2])


def test_complete_wakes_one_and_complete_all_the_rest():
    done, story, first = Completion("done"), [], Completion("first")
    gates = [Completion(f"gate {i}") for i in range(3)]

    def completer():
        first.wait()
        done.complete()
        done.complete_all()

    result = run(lambda: {**waiters(done, story, gates), "completer": completer},
                 observers=lambda: [OneByOne(*gates, first)], runs=1)
    assert (result.verdict, sorted(story), done.done()) == (Verdict.CLEAN, [0, 1, 2], True)


def test_a_timed_wait_in_a_run_expires_and_is_forgotten():
    done, story = Completion("done"), []

    def impatient():
        story.append(done.wait(timeout=0.01))
        story.append(len(done._waiters))

    result = run(lambda: {"impatient": impatient}, runs=1)
    assert (result.verdict, story) == (Verdict.CLEAN, [False, 0])


@pytest.mark.parametrize("by", [None, "nobody of that name"])
def test_a_wait_that_nobody_known_ends_is_a_hang(by):
    done = Completion("done")

    def waiter():
        done.wait(by=by)

    result = run(lambda: {"waiter": waiter, "bystander": lambda: None})
    assert (result.verdict, result.how, result.cycle) == (Verdict.HANG, "observed", [])


def test_that_nobody_is_called_so_is_said_of_a_name_and_of_nobody_who_is_asked_for_one():
    def notes(by):
        done = Completion("done")
        return run(lambda: {"waiter": lambda: done.wait(by=by)}, runs=1).outcome.notes

    assert notes(None) == notes(lambda: None) == []
    [said] = notes("waitre")
    assert said.endswith("no role or thread is called so (did you mean 'waiter'?).")


def test_who_joins_with_a_limit_below_zero_does_not_wait():
    def world():
        go = Completion("go")

        def role():
            thread = threading.Thread(target=go.wait)
            thread.start()
            thread.join(-1)
            alive.append(thread.is_alive())
            go.complete()

        return {"role": role}

    alive = []
    assert (run(world, runs=1).verdict, alive) == (Verdict.CLEAN, [True])


def test_the_longest_limit_that_a_thread_can_wait_for_is_one():
    done = Completion("done")
    done.complete_all()
    assert done.wait(timeout=threading.TIMEOUT_MAX)


def test_a_wait_for_a_role_that_has_ended_is_a_hang_and_no_deadlock():
    done = Completion("done")

    def waiter():
        done.wait(by="forgetful")

    result = run(lambda: {"waiter": waiter, "forgetful": lambda: None})
    states = {state.role: state.state for state in result.finding.roles}
    assert (result.verdict, result.cycle, states) == (
        Verdict.HANG, [], {"waiter": "waits", "forgetful": "ended"})


@pytest.mark.parametrize("naming", ["role", "callable", "thread", "callable to thread"])
def test_whoever_is_to_end_a_wait_can_be_named_in_four_ways(naming):
    first, second = Completion("first"), Completion("second")
    threads = {}

    def by():
        return {"role": "B", "callable": lambda: "B", "thread": threads["B"],
                "callable to thread": lambda: threads["B"]}[naming]

    started = Completion("started")

    def a():
        started.wait(by="B")
        first.wait(by=by())

    def b():
        threads["B"] = threading.current_thread()
        started.complete()
        second.wait(by="A")

    result = run(lambda: {"A": a, "B": b})
    assert (result.verdict, [(leg["role"], leg["wants"], leg["mode"]) for leg in result.cycle]) == (
        Verdict.DEADLOCK, [("A", "first", "wait"), ("B", "second", "wait")])


def test_waits_of_two_that_name_each_other_are_clean_when_completed():
    there, back = Completion("there"), Completion("back")

    def ping():
        there.complete()
        back.wait(by="pong")

    def pong():
        there.wait(by="ping")
        back.complete()

    result = run(lambda: {"ping": ping, "pong": pong}, runs=50)
    assert (result.verdict, result.coverage) == (Verdict.CLEAN, {"runs": 50})


def test_a_wait_that_could_not_be_told_of_is_none():
    """The run raises as it is told: say, that the stack has no room."""
    class Run:
        running = timed = 0

        def contended(self, task, again):
            raise RecursionError

    task = Task("role", Run())
    with guarded, pytest.raises(RecursionError):
        wait(task, Completion("done"), WAIT, -1)
    assert task.waits_on is None


@pytest.mark.parametrize("timeout", [-1, 0.01])
def test_a_wait_that_is_cut_short_as_it_begins_leaves_the_count_of_who_runs_as_it_was(timeout):
    class Run:
        running, timed, unwinding = 1, 0, False

        def quiescent(self):
            raise RecursionError

    run = Run()
    task = Task("role", run)
    with guarded, pytest.raises(RecursionError):
        park(task, timeout)
    assert (run.running, run.timed, task.parked) == (1, 0, False)
