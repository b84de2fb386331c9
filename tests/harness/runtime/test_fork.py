"""A process that a role forks is outside any run: what the harness keeps of one is fresh in it, and
nothing that it does is felt where it came from. A lock that is held at the fork stays held.
"""

import gc
import importlib
import multiprocessing
import os
import pkgutil
import subprocess
import sys
import threading
from functools import partial
from unittest.mock import Mock

import pytest

import harness
from harness import Completion, Mutex, Observer, RWSemaphore, Scenario, ScenarioError, Verdict, \
    explore, force, predict, run, stress
from harness.locks import afresh, outsiders
from harness.locks.parking import guarded
from harness.locks.task import Task, current
from harness.runtime.workers import Baton

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
START, JOIN = threading.Thread.start, threading.Thread.join
SWITCH = sys.getswitchinterval()
LIMIT = 120.0    # seconds: a child that takes longer hangs


def in_child(body):
    """Fork; return whether *body*, called in the child, came back with True."""
    child = os.fork()
    if not child:
        try:
            os._exit(0 if body() is True else 1)
        except BaseException:
            os._exit(2)
    return status_of(child) == 0


def status_of(child):
    """Return how *child* ended; one that hangs is ended here."""
    timer = threading.Timer(LIMIT, os.kill, (child, 9))
    START(timer)    # none of the run
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        timer.cancel()
        JOIN(timer)


def process_state():
    """Return what a call changes of the process, and puts back."""
    return (os._exit, threading.Thread.start, threading.Thread.join, gc.isenabled, gc.isenabled(),
            gc.callbacks[:], sys.unraisablehook)


def uses_everything():
    """Use each kind of lock, and threads, as one does outside a run."""
    mutex, semaphore, done = Mutex("own"), RWSemaphore("own"), Completion("own")
    with mutex, semaphore.down_read():
        thread = threading.Thread(target=done.complete)
        thread.start()
        done.wait()
        thread.join()
    with semaphore.down_write():
        return semaphore.down_read_trylock() is False and not mutex.locked()


def test_a_world_that_computes_for_ever_in_a_process_of_ours_is_no_hang():
    def world():
        while True:
            pass
    result = explore(world, fresh=True, timeout=0.05)
    assert result.verdict is Verdict.INCONCLUSIVE, str(result)


# -- what other threads do at the fork is half done in the child for ever --------------------------


def test_the_guard_that_another_thread_has_at_the_fork_is_free_in_the_child():
    has, may = threading.Event(), threading.Event()

    def holds():
        with guarded:
            has.set()
            may.wait()

    thread = threading.Thread(target=holds)
    thread.start()
    has.wait()
    try:
        assert in_child(uses_everything)
    finally:
        may.set()
        thread.join()


def hammered(children):
    """Return a scenario in which a role forks *children* while two others use locks."""
    def world():
        a, b = Mutex("a"), RWSemaphore("b")

        def hammer():
            for _ in range(2):
                with a, b.down_read():
                    pass

        def forks():
            for _ in range(children):
                assert in_child(uses_everything)

        return {"one": hammer, "two": hammer, "forks": forks}
    return world


@pytest.mark.parametrize("call", [
    partial(run, runs=3), partial(stress, runs=3, seed=1),
    partial(explore, max_schedules=10, strategy="random", seed=1), predict, force])
def test_each_child_that_is_forked_beside_two_who_hammer_locks_ends(call):
    result = call(hammered(2 if getattr(call, "func", None) in (run, stress) else 1))
    assert not result.outcome.findings or result.verdict in (
        Verdict.INCONCLUSIVE, Verdict.NOT_REACHED), str(result)


# -- what is held, and who waits -------------------------------------------------------------------


def test_what_the_role_holds_at_the_fork_is_held_in_the_child_which_may_give_it_up():
    mutex, semaphore, told = Mutex("mutex"), RWSemaphore("semaphore"), []

    def child():
        was = mutex.locked(), semaphore.down_write_trylock()
        mutex.release()
        semaphore.up_read()
        with mutex, semaphore.down_write():
            return was == (True, False)

    def role():
        with mutex, semaphore.down_read():
            told.append(in_child(child))

    assert (run(lambda: {"role": role}, runs=1).verdict, told) == (Verdict.CLEAN, [True])


def test_what_another_role_holds_at_the_fork_stays_held_in_the_child():
    lock, has, may, told = Mutex("lock"), Completion("has"), Completion("may"), []

    def holds():
        with lock:
            has.complete()
            may.wait(by="forks")

    def forks():
        has.wait(by="holds")
        told.append(in_child(lambda: not lock.acquire(timeout=0.01)))
        may.complete()

    assert (run(lambda: {"holds": holds, "forks": forks}, runs=1).verdict, told) \
        == (Verdict.CLEAN, [True])


@pytest.mark.parametrize("in_the_child", ["plain", "in a run of its own"])
def test_a_lock_given_up_in_the_child_goes_to_nobody_that_waits_where_it_came_from(in_the_child):
    lock, told = Mutex("lock"), []

    def again():
        with lock:
            pass

    def child():
        lock.release()
        if in_the_child != "plain":
            return run(lambda: {"one": again, "two": again}, runs=2).verdict is Verdict.CLEAN
        if not lock.acquire(timeout=LIMIT):
            return False
        lock.release()
        return True

    class WhenItWaits(Observer):
        def lock_contended(self, task, asked, mode):
            waits.complete_all()

    waits = threading.Event()
    waits.complete_all = waits.set

    def forks():
        with lock:
            go.complete()
            waits.wait()
            told.append(in_child(child))

    def waiter():
        go.wait(by="forks")
        again()

    go = Completion("go")
    result = run(lambda: {"forks": forks, "waiter": waiter}, runs=1,
                 observers=lambda: [WhenItWaits()])
    assert (result.verdict, told) == (Verdict.CLEAN, [True]), str(result)


def test_a_completion_in_the_child_lets_pass_whom_there_is():
    done, told, waits = Completion("done"), [], threading.Event()

    class WhenItWaits(Observer):
        def lock_contended(self, task, asked, mode):
            waits.set()

    def child():
        done.complete()
        return done.wait(LIMIT)

    def forks():
        waits.wait()
        told.append(in_child(child))
        done.complete()

    result = run(lambda: {"waiter": lambda: done.wait(by="forks"), "forks": forks}, runs=1,
                 observers=lambda: [WhenItWaits()])
    assert (result.verdict, told) == (Verdict.CLEAN, [True]), str(result)


# -- the child is outside --------------------------------------------------------------------------


def test_what_the_call_changed_of_the_process_is_put_back_in_the_child():
    plain = process_state()
    allowed = getattr(os, "sched_getaffinity", id)(0)
    told = []

    def as_before():
        return process_state() == plain \
            and not (outsiders.listeners or outsiders.by_ident) \
            and getattr(os, "sched_getaffinity", id)(0) == allowed \
            and sys.getswitchinterval() == SWITCH and sys.gettrace() is None

    def role():
        Mutex("a").locked()
        told.append(in_child(as_before))

    assert stress(lambda: {"role": role}, runs=1).verdict is Verdict.CLEAN
    assert explore(lambda: {"role": role, "other": Mutex("b").locked}).verdict is Verdict.CLEAN
    assert set(told) == {True}


@pytest.mark.parametrize("call", [partial(run, runs=1), explore])
def test_a_call_in_the_child_works(call):
    told = []

    def crosswise():
        a, b = Mutex("a"), Mutex("b")

        def take(first, second):
            with first, second:
                pass
        return {"one": lambda: take(a, b), "two": lambda: take(b, a)}

    def role():
        with Mutex("lock"):
            told.append(in_child(lambda: explore(crosswise).verdict is Verdict.DEADLOCK))

    assert call(lambda: {"role": role}).verdict is Verdict.CLEAN
    assert set(told) == {True}


@pytest.mark.parametrize("call", [partial(run, runs=3), partial(explore, max_schedules=3)])
def test_a_child_that_comes_back_from_its_role_ends_and_the_run_goes_on(call, monkeypatch):
    told_in, told_to = os.pipe()
    monkeypatch.setattr(threading, "excepthook",
                        lambda what: os.write(told_to, what.exc_type.__name__.encode()))

    def world():
        lock, children, parent = Mutex("lock"), [], os.getpid()

        def role(raises=False):
            with lock:
                children.append(os.fork())
                if children[-1]:
                    assert status_of(children[-1]) == 0
                elif raises:
                    raise KeyError("spoon")

        def boss():
            thread = threading.Thread(target=role)
            thread.start()
            thread.join()

        def here():
            if os.getpid() != parent:
                os.write(told_to, b"asked")

        return Scenario({"comes back": role, "raises": partial(role, True), "boss": boss},
                        invariants={"here": here})

    result = call(world)
    assert result.verdict is (Verdict.CLEAN if call.func is run else Verdict.INCONCLUSIVE)
    os.close(told_to)
    with open(told_in, "rb") as told:
        text = told.read()
    assert text and not text.replace(b"KeyError", b"")


def test_a_child_that_comes_back_from_an_invariant_is_outside():
    parent, children, lock = os.getpid(), [], Mutex("lock")

    def invariant():
        if not children:
            children.append(os.fork())

    def role():
        if os.getpid() != parent:
            os._exit(0 if current().run is None else 1)
        lock.locked()

    result = run(lambda: Scenario({"role": role}, invariants={"forks": invariant}), runs=1)
    assert (result.outcome.findings, status_of(children[0])) == ([], 0)


def test_a_call_goes_on_in_the_process_alone_in_which_it_began():
    parent, children = os.getpid(), []

    def factory():
        children.append(os.fork())
        return {"role": Mutex("a").locked}

    try:
        assert run(factory, runs=1).verdict is Verdict.CLEAN
    except ScenarioError as exc:    # and the next call there is as any other
        patched = []
        run(lambda: {"role": lambda: patched.append(threading.Thread.start is not START)}, runs=1)
        os._exit("forked in the middle of a call" in str(exc) and os.getpid() != parent
                 and set(patched) == {True} and threading.Thread.start is START)
    finally:
        if os.getpid() != parent:
            os._exit(2)
    assert status_of(children[0]) == 1


def test_a_child_cannot_take_the_turn_of_a_thread_where_it_came_from(monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(OSError, match="no more"):
        for name in ("eventfd", "pipe"):    # a baton that came to nothing keeps none from it
            patch.setattr(os, name, Mock(side_effect=OSError("no more")), raising=False)
        Baton()
    baton = Baton()
    baton.hand_over()

    def takes():
        with pytest.raises(OSError):
            baton.go = False
            baton.wait()
        with pytest.raises(OSError):
            baton.hand_over()
        return True

    assert in_child(takes)
    baton.wait()
    baton.close()


def forks_in(place):
    """Return a scenario in which code of the user's at *place* forks a child that uses locks."""
    def fork():
        assert in_child(uses_everything)

    def world():
        lock = Mutex("lock")

        def role():
            with lock:
                pass
            if place == "thread":
                thread = threading.Thread(target=fork)
                thread.start()
                thread.join()
        if place == "factory":
            fork()
        return Scenario({"role": role, "other": lock.locked},
                        check=fork if place == "check" else None,
                        invariants={"fork": fork} if place == "invariant" else {})
    return world


@pytest.mark.parametrize("place", ["factory", "thread", "check", "invariant"])
@pytest.mark.parametrize("call", [partial(run, runs=1, timeout=LIMIT),
                                  partial(explore, max_schedules=3, timeout=LIMIT)])
def test_who_forks_may_be_any_code_of_the_users(call, place):
    result = call(forks_in(place))
    assert not result.outcome.findings, str(result)


@pytest.mark.parametrize("call", [partial(run, runs=1, timeout=LIMIT),
                                  partial(explore, max_schedules=2, timeout=LIMIT)])
def test_the_ways_of_the_standard_library_to_fork_work(call):
    def world():
        lock = Mutex("lock")

        def of_multiprocessing():
            process = multiprocessing.get_context("fork").Process(target=uses_everything)
            process.start()
            process.join()
            assert process.exitcode == 0

        def of_subprocess():
            with lock:
                subprocess.run(["true"], preexec_fn=uses_everything, check=True)

        return {"multiprocessing": of_multiprocessing, "subprocess": of_subprocess}

    result = call(world)
    assert not result.outcome.findings, str(result)


# -- what modules keep -----------------------------------------------------------------------------


def test_no_module_keeps_a_lock_that_a_forked_process_would_find_taken():
    """Each is made by `module_lock`; what a task waits in is taken, and the task's own."""
    locks = type(threading.Lock()), type(threading.RLock()), threading.Condition, \
        threading.Semaphore, threading.Event
    found, modules = [], 0
    for module in pkgutil.walk_packages(harness.__path__, "harness."):
        if ".pytest_" in module.name or module.name.endswith("__main__"):
            continue
        modules += 1
        for name, value in vars(importlib.import_module(module.name)).items():
            inside = [value]
            if getattr(type(value), "__module__", "").startswith("harness.") \
                    and not isinstance(value, Task):
                inside += [*getattr(value, "__dict__", {}).values(),
                           *(getattr(value, slot, None) for cls in type(value).__mro__
                             for slot in getattr(cls, "__slots__", ()))]
            if isinstance(value, type) and value.__module__ == module.name:
                inside += vars(value).values()
            found += [f"{module.name}.{name}" for each in inside
                      if isinstance(each, locks) and not afresh.is_registered(each)]
    assert (found, modules > 80) == ([], True)


def test_in_the_child_the_thread_that_forked_is_one_that_a_completion_lets_pass():
    def child():
        done = Completion("done")

        def completes():
            while not done._waiters:
                pass
            done.complete()

        thread = threading.Thread(target=completes)
        thread.start()
        passed = done.wait(20)
        thread.join()
        return passed

    assert in_child(child)


def test_a_process_is_ours_only_if_ours_forked_it_and_not_because_ours_forked_one_before():
    child = afresh.fork()
    if not child:
        os._exit(0)
    assert status_of(child) == 0
    assert in_child(lambda: not afresh.is_ours())
