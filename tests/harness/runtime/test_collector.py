"""The collector works by itself where roles run freely, nowhere else, and is as it was after."""

import gc
import sys
import threading

import pytest

from harness import Completion, Mutex, explore, force, run
from harness.locks import parking, task
from harness.locks.errors import LockTaken
from harness.runtime import collector
from harness.runtime.observer import Observer


def world_that(act):
    def build():
        m = Mutex("m")

        def role():
            with m:
                act()
        return {"alice": role, "bob": m.locked}
    return build


@pytest.fixture(autouse=True)
def collector_is_as_it_was():
    hook, callbacks, functions = sys.unraisablehook, gc.callbacks[:], (gc.enable, gc.disable)
    yield
    after = gc.isenabled()
    gc.enable()
    assert (sys.unraisablehook, gc.callbacks, (gc.enable, gc.disable), after) == (
        hook, callbacks, functions, True)
    assert not parking._automatic


@pytest.mark.parametrize("tool, works", [(run, True), (force, False), (explore, False)])
def test_it_works_by_itself_in_free_runs_alone_and_no_role_sees_a_difference(tool, works):
    seen = []
    tool(world_that(lambda: seen.append((parking._automatic, gc.isenabled()))))
    assert set(seen) == {(works, True)}


@pytest.mark.parametrize("tool", [run, explore])
def test_it_is_put_back_also_after_an_exception_and_stays_off_if_a_role_wants_it_off(tool):
    with pytest.raises(ValueError):
        tool(lambda: 1 / 0)
    assert gc.isenabled()
    tool(world_that(lambda: gc.disable()))
    assert not gc.isenabled()
    tool(world_that(lambda: None))
    assert not gc.isenabled()    # as it was
    gc.enable()
    tool(world_that(lambda: (gc.disable(), gc.enable())))
    assert gc.isenabled()


def test_it_is_off_under_the_guard_and_on_again_after_it():
    parking.collect_automatically(True)
    seen = []

    def passes():
        with parking.guarded:
            pass

    def looks():
        with parking.guarded:
            seen.append(gc.isenabled())
            passes()
            seen.append(gc.isenabled())
        seen.append(gc.isenabled())

    try:
        for run_it in (looks, lambda: (thread := threading.Thread(target=looks)).start()
                       or thread.join()):
            run_it()
    finally:
        parking.collect_automatically(False, True)
    assert seen == [False, False, True] * 2


def test_what_completes_in_the_middle_of_a_section_does_so_after_it():
    """A trace function, say; and what would have to wait there is refused."""
    done, m = Completion("done"), Mutex("m")

    def waits():
        with parking.guarded:
            parking.park(task.current())

    with parking.guarded:
        done.complete()
        assert not done.done()
        with pytest.raises(LockTaken, match="interrupts"):
            waits()
        with m:
            pass
    assert done.done() and not m.locked()


def test_what_ends_a_finalizer_after_a_verdict_is_not_printed(monkeypatch):
    printed = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: printed.append(args.exc_type))

    def build():
        a, b = Mutex("a"), Mutex("b")
        has = Completion("a is held"), Completion("b is held")

        class Noisy:
            def __del__(self):
                with a, b:
                    pass

        def role(one, two, mine, other):
            noisy = Noisy()
            with one:
                mine.complete()
                other.wait()
                with two:
                    pass
            del noisy

        return {"alice": lambda: role(a, b, *has), "bob": lambda: role(b, a, *has[::-1])}
    assert str(run(build, runs=3).verdict) == "deadlock"
    assert printed == []


def test_what_another_finalizer_raises_is_told_to_whom_it_was_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: told.append(args.exc_type))

    class Raises:
        def __del__(self):
            raise KeyError

    assert str(run(world_that(Raises), runs=1).verdict) == "clean"
    assert told == [KeyError] * len(told) and told


def test_a_request_is_as_it_was_after_a_collection_in_the_middle_of_it():
    """Whose finalizer makes a request of another kind, in the same thread."""
    tried, seen = Mutex("tried"), []

    class Collects(Observer):
        __module__ = "harness.tests"    # as if it were one of ours, which may use locks

        def lock_acquire(self, task, lock, mode):
            if lock is not tried:
                gc.collect(0)
            seen.append((str(lock), task.trylock, task.nested[0]))

    class Garbage:
        def __init__(self):
            self.me = self

        def __del__(self):
            tried.acquire(False)
            tried.release()

    def build():
        m = Mutex("m")

        def role():
            Garbage()
            with m.nested(1, "a child"):
                pass
        return {"alice": role}

    assert str(run(build, runs=1, observers=lambda: [Collects()]).verdict) == "clean"
    assert seen == [("tried", True, 0), ("m", False, 1)]


def test_what_interrupts_the_making_of_a_thread_s_task_finds_it_made(monkeypatch):
    """A finalizer that takes a lock, while the thread takes its first."""
    seen = []
    make = task.Task

    def interrupted(*args, **more):
        if not seen:
            seen.append(None)
            seen.append(task.current())
        return make(*args, **more)

    monkeypatch.setattr(task, "Task", interrupted)
    thread = threading.Thread(target=lambda: seen.append(task.current()))
    thread.start()
    thread.join()
    assert seen[1] is seen[2]


def test_calls_side_by_side_leave_it_off_until_the_last_has_ended():
    """Where one of them chooses an order it works by itself in none of them."""
    began, may_end, seen = threading.Event(), threading.Event(), []

    def runs_freely():
        run(world_that(lambda: (began.set(), may_end.wait(120), seen.append(parking._automatic))),
            runs=1)

    thread = threading.Thread(target=runs_freely)
    thread.start()
    assert began.wait(120)
    explore(world_that(lambda: seen.append(parking._automatic)), max_schedules=1, engine=False)
    assert (gc.isenabled is collector._plain_isenabled, parking._automatic) == (False, True)
    may_end.set()
    thread.join()
    assert (set(seen[:-1]), seen[-1]) == ({False}, True)
    assert gc.isenabled is collector._plain_isenabled


def test_explorations_of_worlds_that_make_garbage_are_alike_at_any_threshold():
    """Else finalizers that take a lock come at another step in each schedule."""
    def build():
        a, b = Mutex("a"), Mutex("b")

        class Noisy:
            def __init__(self):
                self.me = self

            def __del__(self):
                with b:
                    pass

        def role():
            for turn in range(2):
                if not turn:
                    Noisy()
                for _ in range(60):
                    [[]].append([])
                with a:
                    pass
        return {"one": role, "two": role}

    before = gc.get_threshold()
    gc.set_threshold(20, 2, 2)
    try:
        seen = {(str(result.verdict), *sorted(result.coverage.items()))
                for result in (explore(build, engine=False) for _ in range(10))}
    finally:
        gc.set_threshold(*before)
    [(verdict, *coverage)] = seen
    assert (verdict, dict(coverage)["complete"]) == ("clean", True)
