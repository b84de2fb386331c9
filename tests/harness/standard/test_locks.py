"""Lock, RLock, Condition, Semaphore and Event: what CPython's tests do not ask of ours."""

import copy
import pickle
import re
import threading as standard
import typing
import weakref

import pytest

from harness import Scenario, Verdict, explore, force, predict, replay, run, threading
from harness.pytest_support.watched_run import WatchedRun

LOCKS = [threading.Lock, threading.RLock]
ALL = [*LOCKS, threading.Condition, threading.Semaphore, threading.BoundedSemaphore,
       threading.Event]


def in_thread(function):
    thread = standard.Thread(target=function)
    thread.start()
    thread.join()


# -- the module ------------------------------------------------------------------------------------


def test_every_name_of_the_standard_module_is_there():
    assert set(dir(standard)) <= set(dir(threading))
    assert threading.__all__ == standard.__all__
    names = [name for name in dir(standard) if not name.startswith("__")]
    ours = {name for name in names if getattr(threading, name) is not getattr(standard, name)}
    assert ours == {"Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event",
                    "Barrier", "Timer"}


def test_what_is_set_there_is_set_in_the_standard_module(monkeypatch):
    hook = standard.excepthook
    monkeypatch.setattr(threading, "excepthook", print)
    assert standard.excepthook is print
    monkeypatch.undo()
    assert standard.excepthook is hook
    with pytest.raises(AttributeError, match="harness.threading.* no attribute 'Mutex'"):
        print(threading.Mutex)


def test_a_star_import_brings_ours():
    space = {}
    exec("from harness.threading import *", space)
    assert space["Lock"] is threading.Lock and space["Thread"] is standard.Thread


# -- a lock is an object ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_it_is_a_class_whose_objects_are_themselves_alone(kind):
    one, other = kind(), kind()
    assert typing.get_args(kind | None)[0] is kind and isinstance(one, kind)
    assert {one, other} == {other, one} and one != other and weakref.ref(one)() is one
    for copies in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            copies(one)


# -- locks and signals -----------------------------------------------------------------------------


def armed(*before):
    """The world takes the lock; one role waits for it, the other gives it."""
    def world():
        gate, door = threading.Lock(), threading.Lock()
        gate.acquire()

        def waits():
            if before:
                with door:
                    gate.acquire()
            else:
                gate.acquire()
                with door:
                    pass

        def gives():
            with door:
                pass
            gate.release()

        return {"waits": waits, "gives": gives}
    return world


@pytest.mark.parametrize("tool", [explore, run, predict])
def test_a_lock_that_another_thread_releases_is_a_signal(tool):
    """All that is wrong in `armed`, as of two locks, is that it would be an order of locks."""
    assert tool(armed()).verdict is Verdict.CLEAN


@pytest.mark.parametrize("tool", [explore, run, predict])
def test_who_waits_for_a_signal_with_what_its_giver_needs_waits_for_ever(tool):
    assert tool(armed("the door")).verdict in (Verdict.DEADLOCK, Verdict.HANG)


def test_no_order_is_concluded_from_what_turned_out_to_be_a_signal():
    """Roles one and two take `a` and `b` in opposite orders, but `a` counts what there is to do:
    each of them gives it back for the other, and never holds `b` meanwhile.
    """
    def world():
        a, b = threading.Lock(), threading.Lock()
        a.acquire()

        def one():
            for _ in range(2):
                a.acquire()
                with b:
                    pass

        def two():
            with b:
                a.release()
            told.wait()
            a.release()

        told = threading.Event()
        return {"one": lambda: (one(), None), "two": two, "three": told.set}

    result = predict(world)
    assert result.verdict is not Verdict.PREDICTED, str(result)


def test_nobody_holds_a_signal():
    """Once the other has given it, whoever took it is not said to hold it."""
    def world():
        gate, never = threading.Lock(), threading.Event()
        gate.acquire()
        return {"waits": lambda: gate.acquire() and never.wait(), "gives": gate.release}

    result = explore(world)
    assert result.verdict is Verdict.HANG and "and holds" not in str(result)


def test_a_second_acquire_waits_outside_a_run_and_is_a_deadlock_of_one_inside():
    lock = threading.Lock()
    assert lock.acquire() and not lock.acquire(timeout=0.001)
    in_thread(lock.release)
    assert not lock.locked()

    def world():
        lock = threading.Lock()
        return {"one": lambda: (lock.acquire(), lock.acquire())}

    for tool in (explore, run):
        result = tool(world)
        assert result.verdict is Verdict.DEADLOCK and "waits for itself" in result.finding.text


@pytest.mark.parametrize("kind", LOCKS)
def test_a_role_may_end_while_it_holds_a_lock_and_who_wants_it_waits_for_ever(kind):
    """The one who comes second: two orders, a hang each."""
    def world():
        lock = kind()
        return {name: lambda: (lock.acquire(), None)[1] for name in ("one", "two")}

    result = explore(world, all=True)
    assert result.coverage["verdicts"] == {"hang": 2}


def test_after_a_verdict_all_is_free_again():
    locks = []

    def world():
        locks[:] = threading.RLock(), threading.Condition(threading.Lock())

        def takes(first, then):
            with first, first if first is locks[0] else threading.Lock(), then:
                pass

        return {"one": lambda: takes(*locks), "two": lambda: takes(*locks[::-1])}

    assert force(world).verdict is Verdict.DEADLOCK
    assert locks[0].acquire(False) and locks[1].acquire(False)


@pytest.mark.parametrize("kind", LOCKS)
def test_a_thread_of_a_test_that_waits_for_a_lock_goes_on_when_the_test_has_ended(kind):
    lock, threads = kind(), []

    def takes():
        with lock:
            pass

    def body():
        lock.acquire()
        threads.append(standard.Thread(target=takes, daemon=True))
        threads[0].start()
        while not lock._waiters:
            pass

    WatchedRun("test").watch(body)
    lock.release()
    threads[0].join(30)
    assert not threads[0].is_alive()


def test_only_the_first_acquire_of_an_rlock_and_its_last_release_are_operations():
    """Two roles that take it twice: as two that take it once, two schedules."""
    def world():
        lock = threading.RLock()

        def role():
            with lock, lock:
                lock.acquire()
                lock.release()

        return {"one": role, "two": role}

    result = explore(world, strategy="dfs", engine=False)
    assert (result.verdict, result.coverage["longest"]) == (Verdict.CLEAN, 4)


# -- semaphores ------------------------------------------------------------------------------------


def test_a_release_of_several_permits_is_one_step():
    """Who looks twice sees none or both: of two permits given at once nobody sees one alone."""
    seen = set()

    def world():
        permits, saw = threading.Semaphore(0), []

        def looks():
            saw.append([permits.acquire(False), permits.acquire(False)])

        return Scenario({"gives": lambda: permits.release(2), "looks": looks},
                        check=lambda: seen.add(tuple(saw[0])))

    for strategy in ("dfs", "dpor"):
        seen.clear()
        assert explore(world, strategy=strategy, engine=False).verdict is Verdict.CLEAN
        assert seen == {(False, False), (False, True), (True, True)}


def test_who_gives_more_than_there_were_is_told_so_in_each_order_in_which_that_is():
    """Two give, one has taken: whoever comes second raises, in both orders."""
    def world():
        permits = threading.BoundedSemaphore()
        permits.acquire()
        return {"one": permits.release, "two": permits.release}

    result = explore(world, all=True, engine=False)
    assert result.coverage["verdicts"] == {"error": 2}


def test_a_timer_fires_in_some_schedule_and_is_cancelled_in_another():
    seen = set()

    def world():
        fired = []
        timer = threading.Timer(60, lambda: fired.append(1))

        def role():
            timer.start()
            timer.cancel()
            timer.join()

        return Scenario({"role": role}, check=lambda: seen.add(len(fired)))

    result = explore(world)
    assert (result.verdict, seen) == (Verdict.CLEAN, {0, 1}) and result.coverage["complete"]


# -- tokens, names ---------------------------------------------------------------------------------


class Queue:
    def __init__(self):
        self.mutex = threading.Lock()
        self.not_empty = threading.Condition(self.mutex)
        self.own = threading.Condition()

    def get(self):
        with self.not_empty:
            self.not_empty.wait()


def test_a_wait_and_the_lock_of_a_condition_are_called_as_it_is():
    def world():
        jobs = Queue()
        return {"one": jobs.get, "two": lambda: jobs.own.acquire() and jobs.get()}

    text = str(explore(world))
    assert "wait(jobs.not_empty)  <-- waits" in text
    assert "and holds jobs.own" in text


def test_two_queues_have_locks_of_two_names():
    """In opposite orders, by who has which: no class of locks is made of them."""
    def world():
        jobs, results = Queue(), Queue()

        def moves(one, other):
            with one.mutex, other.mutex:
                pass

        return {"one": lambda: moves(jobs, results), "two": lambda: moves(jobs, results)}

    assert predict(world).verdict is Verdict.CLEAN


def test_a_token_replays():
    def world():
        box = Queue()
        return {"one": box.get, "two": lambda: None}

    found = explore(world)
    assert found.verdict is Verdict.HANG
    token = re.search(r"replay\('(\S+)'", str(found))[1]
    assert replay(token, world).verdict is Verdict.HANG
