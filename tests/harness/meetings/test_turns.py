"""One role at a time: who goes on for long lets others go first; nobody is refused for ever."""

import threading
from collections import Counter

import pytest

from harness import (At, Completion, Meet, Mutex, RWSemaphore, Scenario, Verdict, force, predict,
                     run)
from harness.locks.task import Expired, Task
from harness.meetings import one_by_one
from harness.meetings.one_by_one import OneByOne, attempts
from harness.meetings.refusal import MOST_REFUSED, Refusal
from harness.runtime.observer import Observer
from harness.runtime.verdict import Outcome


class Watched(Observer):
    """Writes down who asks, each once as long as nobody else does."""

    def __init__(self, story):
        self.story = story

    def lock_acquire(self, task, lock, mode):
        if self.story[-1:] != [task.name]:
            self.story.append(task.name)


def by_trylock():
    lock, flag = Mutex("m"), []

    def polls():
        while not flag:
            if lock.acquire(False):
                lock.release()

    def sets():
        with lock:
            flag.append(1)

    return {"polls": polls, "sets": sets}


def by_looks():
    done = Completion("done")

    def polls():
        while not done.done():
            pass

    return {"polls": polls, "sets": done.complete_all}


def two_pollers_and_a_setter():
    sem, flag = RWSemaphore("sem"), []

    def polls():
        while True:
            with sem.down_read():
                if flag:
                    return

    def sets():
        with sem.down_write():
            flag.append(1)

    return {"one": polls, "two": polls, "sets": sets}


def a_thread_that_polls():
    lock, flag = Mutex("m"), []

    def polls():
        while not flag:
            with lock:
                pass

    def main():
        thread = threading.Thread(target=polls)
        thread.start()
        with lock:
            flag.append(1)
        thread.join()

    return {"main": main}


WORLDS = by_trylock, by_looks, two_pollers_and_a_setter, a_thread_that_polls


@pytest.mark.parametrize("world", WORLDS)
def test_what_is_polled_for_comes_in_every_order_of_start(world, monkeypatch):
    monkeypatch.setattr(one_by_one, "TURN", 50)
    for order in ((0, 1, 2), (2, 1, 0)):
        for threads in ("first", "last", "turns"):
            ways = lambda order=order, threads=threads: [OneByOne(order, threads)]    # noqa: E731
            assert run(world, runs=1, observers=ways).verdict is Verdict.CLEAN
    assert force(world).verdict is Verdict.NOT_REACHED
    assert threading.active_count() == 1


def test_who_only_looks_ends_his_turn_too(monkeypatch):
    monkeypatch.setattr(one_by_one, "TURN", 50)
    looks = []

    def world():
        done = Completion("done")

        def polls():
            while not done.done():
                looks.append(1)

        return {"polls": polls, "sets": done.complete_all}

    ways = lambda: [OneByOne((0, 1))]    # noqa: E731
    assert run(world, runs=1, observers=ways).verdict is Verdict.CLEAN
    assert len(looks) == 49


def test_a_turn_is_passed_on_to_each_of_the_others_before_it_comes_again(monkeypatch):
    monkeypatch.setattr(one_by_one, "TURN", 5)
    story = []

    def world():
        lock = Mutex("m")

        def role():
            for _ in range(12):
                with lock:
                    pass

        return dict.fromkeys("abc", role)

    ways = lambda: [OneByOne((1, 0, 2)), Watched(story)]    # noqa: E731
    assert run(world, runs=1, observers=ways).verdict is Verdict.CLEAN
    assert "".join(story)[:6] == "bacbac"


def test_who_tries_until_he_succeeds_is_refused_so_often_and_no_more():
    tries = []

    def world():
        lock, other = Mutex("m"), Mutex("other")

        def role():
            while not lock.acquire(False):
                tries.append(1)
            while not other.acquire(timeout=1):
                tries.append(2)
            lock.release()
            other.release()

        return {"role": role}

    refuse = lambda: [Refusal({"m", "other"})]    # noqa: E731
    assert run(world, runs=1, observers=refuse).verdict is Verdict.CLEAN
    for lock in (1, 2):    # a loop may begin with a request of its own
        assert 0 <= Counter(tries)[lock] - MOST_REFUSED <= 1


def test_prediction_sees_what_comes_after_many_refusals():
    def world():
        a, b, lock = Mutex("a"), Mutex("b"), Mutex("m")

        def gives_up():
            for _ in range(50):
                if lock.acquire(False):
                    lock.release()
                    return
            with b, a:
                pass

        def main():
            with lock, a, b:
                pass

        return {"gives up": gives_up, "main": main}

    assert [each.status for each in predict(world).predictions] == ["forced"]


def test_once_everybody_goes_because_one_waits_outside_nobody_is_held_any_more():
    """The second would stand still at each of its requests again."""
    class Counts(OneByOne):
        opened = 0

        def standstill(self):
            self.opened += 1
            super().standstill()

    order = Counts([0, 1])

    def world():
        lock, event = Mutex("lock"), threading.Event()

        def second():
            for _ in range(3):
                with lock:
                    pass
            event.set()

        return {"first": lambda: event.wait(20) and None, "second": second}

    result = run(world, runs=1, timeout=1, observers=lambda: [order])
    assert (result.verdict, order.opened) == (Verdict.CLEAN, 1)


def test_each_place_is_refused_so_often_and_not_once_less_or_more():
    lock, task = Mutex("lock"), Task("role")
    task.trylock, refusal = True, Refusal({"lock"})
    code = by_trylock.__code__
    for task.chain in ((code, 0, ()), (code, 2, ())):
        for _ in range(MOST_REFUSED):
            with pytest.raises(Expired):
                refusal.lock_acquire(task, lock, "exclusive")
        refusal.lock_acquire(task, lock, "exclusive")


@pytest.mark.parametrize("limited, runs", [([], 2), ([0], 4), ([1], 4), ([0, 1], 4)])
def test_limits_run_out_early_in_a_second_round_if_somebody_waited_with_one_in_any_order(
        limited, runs):
    played = []

    def play(world, observers):
        observers[0].limited = len(played) in limited
        played.append(observers[0])
        return Outcome([], [])

    world = Scenario({"one": print, "two": print}, meet=Meet(At("one", "a"), At("two", "b")))
    assert len([*attempts(world, None, lambda: world, play)]) == len(played) == runs
