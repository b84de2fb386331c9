"""Who is blamed for what, in which order, and how far the trace of a run goes."""

import os
import threading
from itertools import pairwise
from types import SimpleNamespace

import pytest
from crossing import nested

from harness import (At, Completion, Meet, Mutex, Observer, RWSemaphore, Scenario, Verdict, force,
                     predict, run)
from harness.locks.task import Expired, Task, current
from harness.runtime import recorder
from harness.runtime.free_run import FreeRun
from harness.runtime.recorder import freeze
from harness.runtime.verdict import Finding, Outcome

# The gravest first: the order of the table of verdicts.
GRAVEST_FIRST = ["deadlock", "hang", "violation", "error", "predicted", "not-reached",
                 "inconclusive", "clean"]


def crossed(check=None, **more):
    a, b = Mutex("a"), Mutex("b")
    return Scenario({**more, "one": nested(a, b), "two": nested(b, a)}, check=check,
                    meet=Meet(At("one", b, holding=a), At("two", a, holding=b)))


@pytest.mark.parametrize("graver, other", [*pairwise(GRAVEST_FIRST)])
def test_the_graver_verdict_is_the_outcome_wherever_it_stands(graver, other):
    one, two = (Finding(Verdict(word), "observed", word) for word in (graver, other))
    assert Verdict(graver).graveness > Verdict(other).graveness
    assert Outcome([one, two], []).gravest is Outcome([two, one], []).gravest is one


def test_every_verdict_has_its_place():
    assert sorted(GRAVEST_FIRST) == sorted(map(str, Verdict))


def test_of_equally_grave_findings_the_first_is_the_outcome():
    one, two = (Finding(Verdict.ERROR, "observed", word) for word in ("first", "second"))
    assert Outcome([one, two], []).gravest is one


def test_the_end_of_a_world_is_not_checked_after_a_deadlock():
    asked = []
    result = force(lambda: crossed(check=lambda: asked.append("asked")))
    assert (result.verdict, asked) == (Verdict.DEADLOCK, [])


class Ended(Observer):
    """Set `of` once the role *name* has ended."""

    def __init__(self, name):
        self.name, self.of = name, threading.Event()

    def role_end(self, task):
        if task.name == self.name:
            self.of.set()


def clumsy():
    raise KeyError("spoon")


@pytest.fixture
def run_after_the_clumsy():
    """Return a function that runs what a role does once *name* has raised, on a lock."""
    def call(after, name="clumsy", other="other"):
        seen = []

        def world():
            lock = Mutex("lock")

            def role():
                seen[-1].of.wait()
                after(lock)

            return {name: clumsy, other: role}

        def observers():
            seen.append(Ended(name))
            return seen[-1:]

        return run(world, observers=observers)

    return call


def test_the_trace_ends_at_the_finding(run_after_the_clumsy):
    def takes(lock):
        with lock:
            pass

    result = run_after_the_clumsy(takes)
    assert (result.verdict, [event for event in result.trace if event["lock"] == "lock"]) == (
        Verdict.ERROR, [])


@pytest.mark.parametrize("name, other", [("clumsy", "keeper"), ("r10", "r1"), ("r1", "r10")])
def test_each_role_is_blamed_for_its_own(name, other, run_after_the_clumsy):
    """Also where the name of one begins as that of the other."""
    found = run_after_the_clumsy(Mutex.acquire, name, other).findings
    assert [each["verdict"] for each in found] == ["violation", "error"]
    assert f"{other} " in found[0]["text"] and f"{name} " in found[1]["text"]


def test_what_is_held_at_the_end_is_released_last_first():
    told = []

    class Tell(Observer):
        def lock_release(self, task, lock, mode):
            told.append(lock.name)

    def world():
        a, b = Mutex("a"), Mutex("b")
        return {"role": lambda: (a.acquire(), b.acquire())}

    run(world, observers=lambda: [Tell()])
    assert told == ["b", "a"]


@pytest.mark.parametrize("others", [0, 1], ids=["on top", "below another"])
def test_a_release_gives_back_what_was_taken_last(others):
    """Of two reads the first is still held: the place in the report is its own."""
    def world():
        sem, never = RWSemaphore("sem", policy="reader"), Completion("never")

        def role():
            sem.down_read()
            sem.down_read()
            for _ in range(others):
                Mutex("other").acquire()
            sem.up_read()
            never.wait()

        return {"role": role}

    [state] = run(world).finding.roles
    [hold] = [hold for hold in state.holds if hold.lock == "sem"]
    assert hold.at.endswith(f":{world.__code__.co_firstlineno + 4}")


def test_a_release_out_of_turn_stands_where_it_was_made():
    """The block ends that took the first lock, while another is held that was taken elsewhere."""
    def world():
        a, b = Mutex("a"), Mutex("b")

        def elsewhere():
            b.acquire()

        def role():
            with a:
                elsewhere()
            b.release()

        return {"role": role}

    releases = [(row["lock"], row["function"]) for row in run(world, runs=1).trace
                if row["event"] == "lock_release"]
    assert releases == [("a", "role"), ("b", "role")]


def waits(ready):
    ready.complete()
    ready.wait()


@pytest.mark.parametrize("make, use, is_free", [
    (Mutex, Mutex.acquire, lambda mutex: not mutex.locked()),
    (RWSemaphore, RWSemaphore.down_read, lambda sem: sem.holders() == []),
    (RWSemaphore, RWSemaphore.down_write, lambda sem: sem.holders() == []),
    (Completion, waits, lambda ready: ready.passes == 1)])
def test_who_is_ended_as_he_is_told_that_he_has_it_does_not_have_it(make, use, is_free):
    thing = make("thing")

    class Raises(Observer):
        def lock_acquired(self, task, lock, mode):
            raise ValueError("no")

    result = run(lambda: {"role": lambda: use(thing)}, observers=lambda: [Raises()])
    assert result.verdict == "error" and is_free(thing)


@pytest.mark.parametrize("make, take, give", [
    (Mutex, Mutex.acquire, Mutex.release),
    (RWSemaphore, RWSemaphore.down_write, RWSemaphore.up_write),
    (Completion, Completion.wait, Completion.complete)])
def test_what_is_handed_to_one_who_ends_as_he_hears_of_it_goes_to_the_next(make, take, give):
    """The first in the queue raises as he is told that he has it; the run goes on."""
    is_held, both_wait, got = threading.Event(), threading.Event(), []

    def world():
        thing = make("thing")

        def giver():
            if make is not Completion:
                take(thing)
            is_held.set()
            both_wait.wait(10)
            give(thing)

        def waiter():
            is_held.wait(10)
            take(thing)
            got.append(current().name)
            if make is not Completion:
                give(thing)

        return {"giver": giver, "one": waiter, "two": waiter}

    class Ends(Observer):
        queued = []

        def lock_contended(self, task, lock, mode):
            self.queued.append(task.name)
            if len(self.queued) == 2:
                both_wait.set()

        def lock_acquired(self, task, lock, mode):
            if [task.name] == self.queued[:1]:
                raise Expired

    result = run(world, runs=1, observers=lambda: [Ends()])
    assert got == Ends.queued[1:] and result.verdict == "error"


@pytest.mark.parametrize("exc", [Expired, ValueError])
def test_what_is_held_at_the_end_is_free_after_the_run_though_who_hears_of_it_raises(exc):
    locks = Mutex("a"), RWSemaphore("b")

    class Raises(Observer):
        def lock_release(self, task, lock, mode):
            raise exc

    def role():
        locks[0].acquire()
        locks[1].down_write()

    result = run(lambda: {"role": role}, runs=1, observers=lambda: [Raises()])
    assert result.verdict == "violation"
    assert (locks[0].locked(), locks[1].holders()) == (False, [])


def test_what_a_role_holds_is_free_after_an_error_of_our_own_at_its_end(monkeypatch):
    locks = Mutex("a"), RWSemaphore("b")

    def fails(run, task):
        raise RuntimeError("ours")

    def role():
        locks[0].acquire()
        locks[1].down_read()

    monkeypatch.setattr(FreeRun, "end", fails)
    result = run(lambda: {"role": role}, runs=1)
    assert "internal error of the harness" in result.finding.text
    assert (locks[0].locked(), locks[1].holders()) == (False, [])


def test_who_would_end_the_process_is_told_of_once():
    [finding] = run(lambda: {"role": lambda: os._exit(3)}, runs=1).outcome.findings
    assert "called os._exit(3)" in finding.text


def test_who_blocks_a_request_is_named_once():
    task, other = Task("one"), Task("other")
    task.waits_on = SimpleNamespace(blockers=lambda task, mode: [other, other])
    assert freeze(task).waits_for == ("other",)


def test_a_lock_that_is_held_is_not_destroyed():
    def world():
        lock = Mutex("lock")

        def role():
            with lock:
                lock.destroy()

        return {"role": role}

    assert run(world).verdict is Verdict.VIOLATION


def test_who_waits_with_a_limit_is_told_so():
    def world():
        return crossed(timed=lambda: Completion("never").wait(timeout=3600))

    states = {state.role: state.state for state in force(world).finding.roles}
    assert states["timed"] == "waits with a time limit"


def test_a_nested_request_is_nested_alone():
    """The next one of the class is not: the two make a cycle of one class."""
    def world():
        first, inner, second = (Mutex(f"c{i}", lock_class="c") for i in range(3))

        def role():
            with first:
                inner.acquire(nested=1, why="because")
                inner.release()
                with second:
                    pass

        return {"role": role}

    assert len(predict(world).predictions) == 1


def test_a_record_has_a_limit(monkeypatch):
    monkeypatch.setattr(recorder, "LIMIT", 10)

    def world():
        a = Mutex("a")

        def role():
            for _ in range(20):
                with a:
                    pass

        return {"role": role}

    assert len(run(world).outcome.log) == 10


def test_unnamed_locks_of_roles_are_called_alike_in_every_run():
    names = []

    def world():
        def role():
            lock = Mutex()
            names.append(lock.name)
            with lock:
                pass

        return {"role": role}

    run(world, runs=2)
    assert len(names) == 2 and len(set(names)) == 1


def test_by_is_asked_anew_each_time():
    """Who brings what the waiter waits for is known after it began to wait."""
    seen = []

    class Waits(Observer):
        def __init__(self):
            self.on_done = threading.Event()

        def lock_contended(self, task, lock, mode):
            if lock.name == "done":
                self.on_done.set()

    def world():
        lock, done, who = Mutex("lock"), Completion("done"), [None]

        def waiter():
            with lock:
                done.wait(by=lambda: who[0])

        def bringer():
            seen[-1].on_done.wait()
            who[0] = "bringer"
            with lock:
                done.complete()

        return {"waiter": waiter, "bringer": bringer}

    def observers():
        seen.append(Waits())
        return seen[-1:]

    assert run(world, observers=observers).verdict is Verdict.DEADLOCK


def test_who_has_ended_is_not_named_as_who_ends_a_wait():
    def world():
        done, gate = Completion("done"), Completion("gate")

        def waiter():
            gate.wait(by="bringer")
            done.wait(by="bringer")

        return {"bringer": gate.complete, "waiter": waiter}

    result = run(world)
    assert (result.verdict, "bringer is to end the wait" in str(result)) == (Verdict.HANG, False)


def test_a_writer_waits_for_every_reader():
    """The reader that came first goes on; the second wants what the writer has."""
    def world():
        sem, lock, never = RWSemaphore("sem"), Mutex("lock"), Completion("never")
        first_in, second_in = Completion("first in"), Completion("second in")

        def first():
            with sem.down_read():
                first_in.complete()
                never.wait(timeout=3600)

        def second():
            first_in.wait(by="first")
            with sem.down_read():
                second_in.complete()
                with lock:
                    pass

        def writer():
            with lock:
                second_in.wait(by="second")
                with sem.down_write():
                    pass

        return {"first": first, "second": second, "writer": writer}

    result = run(world)
    assert (result.verdict, {each["role"] for each in result.cycle}) == (
        Verdict.DEADLOCK, {"second", "writer"})
