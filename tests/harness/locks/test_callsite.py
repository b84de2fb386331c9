"""Which functions are verbs of the locking vocabulary; where threads are."""

import gc
import threading
import weakref

import pytest

from harness import Mutex, run, vocabulary
from harness.locks.callsite import frames_of_threads


@vocabulary
def take(mutex):
    mutex.acquire()


def take_it_plainly(mutex):
    mutex.acquire()


def acquisition(take_it):
    """Return the row of the trace of a run in which a role takes a mutex through *take_it*."""
    def scenario():
        mutex = Mutex("m")

        def role():
            take_it(mutex)
            mutex.release()

        return {"role": role}

    return next(row for row in run(scenario).as_dict()["trace"] if row["event"] == "lock_acquire")


def test_a_declared_function_is_a_verb_and_its_caller_the_place():
    row = acquisition(take)
    assert (row["verb"], row["function"].rpartition(".")[2]) == ("take", "role")


def test_other_functions_of_the_same_file_are_places():
    row = acquisition(take_it_plainly)
    assert (row["verb"], row["function"]) == ("acquire", "take_it_plainly")


class _Thing:
    pass


def test_to_look_where_threads_are_keeps_nothing_alive_that_they_have():
    """Collections are off where the order is chosen: a pool whose role has ended would stay."""
    go, there = threading.Event(), threading.Event()

    def look():
        thing = _Thing()
        frames = frames_of_threads()
        return weakref.ref(thing), len(frames)

    def other():
        thing = _Thing()
        things.append(weakref.ref(thing))
        there.set()
        go.wait(120)

    things = []
    thread = threading.Thread(target=other)
    thread.start()
    assert there.wait(120)
    before = gc.isenabled()
    gc.disable()
    try:
        mine, seen = look()
        go.set()
        thread.join()
        assert seen >= 2 and not thread.is_alive()
        assert (mine(), things[0]()) == (None, None)
    finally:
        if before:
            gc.enable()


@pytest.mark.parametrize("on", [True, False])
def test_to_look_where_threads_are_leaves_the_collector_as_it_was(on):
    before = gc.isenabled()
    (gc.enable if on else gc.disable)()
    try:
        frames_of_threads()
        assert gc.isenabled() is on
    finally:
        (gc.enable if before else gc.disable)()
