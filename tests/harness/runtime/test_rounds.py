"""Who goes on alone and comes back to a state of all roles will do so for ever: a hang, at once.

What is outside of the roles (a thread, a file, a clock) may still change something: no hang then.
"""

import os
import random
import signal
import threading
import time

import pytest

from harness import (Completion, Mutex, Observer, RWSemaphore, Verdict, explore, force, predict,
                     run, step)

TIMEOUT = 0.04    # seconds; whether there is something new is looked at four times as often


def flag_under_a_lock():
    lock, done = Mutex("lock"), [False]

    def polls():
        while True:
            with lock:
                if done[0]:
                    return

    return {"polls": polls, "other": lambda: None}


def trylock():
    lock, held, never = Mutex("lock"), Completion("held"), Completion("never")

    def keeps():
        with lock:
            held.complete()
            never.wait()

    def tries():
        held.wait()
        while not lock.acquire(False):
            pass

    return {"keeps": keeps, "polls": tries}


def semaphore_and_steps():
    sem, done = RWSemaphore("sem"), {}

    def polls():
        while "done" not in done:
            with sem.down_read():
                pass
            step("done")

    return {"polls": polls}


@pytest.mark.parametrize("world", [flag_under_a_lock, trylock, semaphore_and_steps])
def test_polling_of_what_nobody_will_change_is_a_hang(world):
    for call in (run, predict, force):
        # Much: whoever looks has to get the interpreter from who polls, and ten looks are all.
        result = call(world, timeout=20 * TIMEOUT, **({} if call is force else {"runs": 1}))
        assert result.verdict is Verdict.HANG
        assert "polls " in result.finding.text and "again and again" in result.finding.text
    assert threading.active_count() == 1


class After(Observer):
    """Call *change* some requests after the run began to compare states."""

    def __init__(self, change):
        self.left, self.change = 5, change

    def attach(self, run):
        self.run = run

    def lock_acquire(self, task, lock, mode):
        self.left -= self.run._rounds is not None
        if not self.left:
            self.change()


def counts():
    lock = Mutex("lock")

    def role():
        for _ in range(5_000):
            with lock:
                pass

    return {"counts": role}


def asks_a_clock():
    lock, end = Mutex("lock"), time.monotonic() + 5 * TIMEOUT

    def role():
        while time.monotonic() < end:
            with lock:
                pass

    return {"asks": role}


def draws():
    lock, draw = Mutex("lock"), random.Random(1).random

    def role():
        while draw() > 1 / 5_000:
            with lock:
                pass

    return {"draws": role}


@pytest.mark.parametrize("world", [counts, asks_a_clock, draws], ids=lambda world: world.__name__)
def test_what_is_another_each_time_is_no_hang(world):
    result = run(world, timeout=TIMEOUT, runs=1)
    assert result.verdict is not Verdict.HANG, str(result)


def test_a_file_may_still_come(tmp_path):
    file = tmp_path / "there"

    def world():
        lock, path = Mutex("lock"), str(file)

        def role():
            while not os.path.exists(path):
                with lock:
                    pass

        return {"looks": role}

    result = run(world, timeout=TIMEOUT, runs=1, observers=lambda: [After(file.touch)])
    assert result.verdict is not Verdict.HANG and file.exists(), str(result)


def test_a_thread_outside_may_still_tell():
    go, threads = threading.Event(), []

    def world():
        lock, told = Mutex("lock"), []

        def role():
            while not told:
                with lock:
                    pass

        threads.append(threading.Thread(target=lambda: go.wait() and told.append(True)))
        threads[-1].start()
        return {"told": role}

    result = run(world, timeout=TIMEOUT, runs=1, observers=lambda: [After(go.set)])
    go.set()
    for thread in threads:
        thread.join()
    assert result.verdict is not Verdict.HANG, str(result)


def told_by_a_handler(world, told):
    """Run *world* with a handler that appends to *told*, and tells it after some requests."""
    before = signal.signal(signal.SIGUSR1, lambda *_: told.append(True))
    try:
        return run(world, timeout=TIMEOUT, runs=1, observers=lambda: [
            After(lambda: os.kill(os.getpid(), signal.SIGUSR1))])
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_who_waits_with_a_limit_for_a_handler_is_not_judged():
    told = []

    def world():
        never = Completion("never")

        def role():
            while not told:
                never.wait(timeout=TIMEOUT / 20)

        return {"told": role}

    result = told_by_a_handler(world, told)
    assert result.verdict is not Verdict.HANG, str(result)


def test_a_signal_handler_may_still_tell():
    told = []

    def world():
        lock = Mutex("lock")

        def role():
            while not told:
                with lock:
                    pass

        return {"told": role}

    result = told_by_a_handler(world, told)
    assert result.verdict is not Verdict.HANG and told, str(result)


@pytest.mark.parametrize("strategy", ["dpor", "random", "pct"])
@pytest.mark.parametrize("world", [flag_under_a_lock, trylock])
def test_exploring_ends_what_goes_round_by_steps_without_a_limit_and_says_so(world, strategy):
    result = explore(world, strategy=strategy, engine=False)
    assert (result.verdict, result.coverage["rounds"]) == (Verdict.HANG, 1)
    assert "polls asks for lock again and again" in result.finding.text
