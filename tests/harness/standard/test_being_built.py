"""What a world does while it is built, with locks that any thread may release."""

import os
import threading as plain

import pytest

from harness import Verdict, explore, run, threading

KINDS = {"lock": threading.Lock, "permit": lambda: threading.Semaphore(1)}


def twice(make, release=None):
    """Return a world that takes one twice while it is built, and what releases it meanwhile."""
    def world():
        lock = make()
        lock.acquire()
        if release is not None:
            plain.Thread(target=release, args=(lock,)).start()
        lock.acquire()
        return {"role": lock.release}
    return world


def once_it_is_waited_for(lock):
    while not lock._waiters:
        os.sched_yield()
    lock.release()


@pytest.mark.parametrize("call", [run, explore])
@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_who_waits_for_itself_and_nobody_else_is_there_is_a_deadlock(make, call):
    result = call(twice(make))
    assert (result.verdict, result.finding.text) == (
        Verdict.DEADLOCK, "the world waits for itself")


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
def test_who_waits_for_itself_is_none_while_another_thread_may_release_it(make):
    assert run(twice(make, once_it_is_waited_for), runs=1).verdict is Verdict.CLEAN
