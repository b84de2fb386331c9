"""What is noted of an operation that nobody is told of, against a run in which somebody is."""

import random
import threading

import pytest

from harness import Completion, Mutex, Observer, RWSemaphore, Scenario, Verdict, run
from harness.locks.callsite import split
from harness.locks.task import current
from harness.lockorder.graph import LockOrder
from harness.meetings.one_by_one import TURN, OneByOne
from harness.runtime.building import build
from harness.runtime.free_run import FreeRun
from harness.runtime.recorder import verb
from harness.runtime.workers import Workers


class Told(Observer):
    """Has to be told of every operation."""

    def __init__(self):
        self.requests = 0

    def lock_acquire(self, task, lock, mode):
        self.requests += 1


class Turns(OneByOne):
    """Lets nobody out of turn, however long the machine leaves a role alone."""

    spares = True

    def standstill(self):
        pass


def played(world, told, threads="first"):
    """Return events, what is known of the order of locks, and how many were noted alone."""
    made, order = build(world, "a scenario"), LockOrder()
    observers = [Turns(range(len(made.roles)), threads), order, *([Told()] if told else [])]
    with Workers() as workers:
        free = FreeRun(made, observers)
        outcome = free.play(workers)
    assert outcome.verdict is Verdict.CLEAN, outcome.findings
    assert free.recorder.events == len(outcome.events)
    assert not any(task.held for task in free.tasks)
    events = [(event.task.name, event.event, event.lock.name, event.mode, verb(event),
               [code.co_name for code, _ in split(event.chain)[1]])
              for event in outcome.events]
    known = (order.operations, [tuple(leg)[:1] + (leg.held[:3], leg.wanted[:3], leg.gates)
                                for leg in order.edges.values()],
             list(order.asks), order.tried, order.cut)
    return events, known, sum(task.untold for task in free.tasks), free.moves


def drawn(seed, roles=1, statements=600):
    """Return a world whose role uses locks in the order of their names, in every manner."""
    def world():
        locks = [Mutex(f"lock {n}") for n in range(4)] + [RWSemaphore("sem")]
        done = Completion("done")

        def role(number):
            draw = random.Random(seed * 10 + number)
            left = [statements]

            def block(least):
                while left[0] > 0 and draw.random() < 0.8:
                    left[0] -= 1
                    act = draw.randrange(8)
                    if least >= len(locks):
                        return
                    which = draw.randrange(least, len(locks))
                    lock = locks[which]
                    if lock is locks[-1]:
                        with draw.choice([lock.down_read, lock.down_write])():
                            pass
                    elif act == 0 and lock.acquire(False):
                        block(which + 1)
                        lock.release()
                    elif act == 1:
                        lock.acquire()
                        block(which + 1)
                        lock.release()
                    elif act == 2:
                        with lock:
                            step(which)
                    elif act == 3:
                        lock.locked()
                    elif act == 4 and number == 0:
                        done.complete()
                    elif act == 5 and which + 1 < len(locks) - 1:
                        lock.acquire()    # given back in the order in which they were taken
                        with locks[which + 1]:
                            lock.release()
                    else:
                        with lock:
                            block(which + 1)

            def step(which):
                for _ in range(3):
                    if which + 1 < len(locks) - 1:
                        with locks[which + 1]:
                            pass

            while left[0] > 0:
                block(0)

        return Scenario({f"role {n}": lambda n=n: role(n) for n in range(roles)})
    return world


@pytest.mark.parametrize("seed", range(12))
def test_what_is_noted_alone_is_what_would_have_been_told(seed):
    threads = ("first", "last", "turns")[seed % 3]
    events, known, untold, moves = played(drawn(seed), False, threads)
    told_events, told_known, none, told_moves = played(drawn(seed), True, threads)
    assert events == told_events
    assert known == told_known
    assert moves == told_moves and none == 0 and untold > 20


def test_a_turn_ends_after_as_many_requests_whoever_was_told_of_them():
    def world():
        mine, other = Mutex("mine"), Mutex("other")

        def goes_first():
            for _ in range(3 * TURN):
                with mine:
                    pass

        def waits():
            with other:
                pass

        return Scenario({"first": goes_first, "second": waits})

    events, _, untold, _ = played(world, False)
    assert events == played(world, True)[0] and untold > 2 * TURN
    requests = [name for name, event, *_ in events if event == "lock_acquire"]
    assert requests.index("second") == TURN


def test_one_who_is_woken_is_told_of_before_the_one_who_woke_him_goes_on():
    def world():
        go, mine = Completion("go"), Mutex("mine")

        def wakes():
            for _ in range(5):
                with mine:
                    pass
            go.complete()
            for _ in range(5):
                with mine:
                    pass

        def woken():
            go.wait(by="wakes")
            for _ in range(5):
                with mine:
                    pass

        return Scenario({"woken": woken, "wakes": wakes})

    assert played(world, False)[0] == played(world, True)[0]


def test_who_starts_a_thread_is_told_of_before_he_goes_on():
    told = []

    def world():
        lock = Mutex("lock")

        def role():
            for _ in range(3):
                with lock:
                    pass
            told.append(current().run.note is None)
            thread = threading.Thread(target=lambda: None)
            thread.start()
            told.append(current().run.note is None)
            thread.join()

        return Scenario({"role": role})

    played(world, False)
    assert told == [False, True]


def test_a_hold_that_was_noted_alone_is_in_the_report():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def take():
            with a:
                with b:
                    a.acquire()

        return {"role": take}

    result = run(world, runs=1)
    assert [hold.lock for hold in result.outcome.gravest.cycle[0].holds] == ["a", "b"]
    assert [event.event for event in result.outcome.events][:4] == [
        "lock_acquire", "lock_acquired"] * 2
    assert result.outcome.gravest.events == 6


@pytest.mark.parametrize("misuse", ["release", "with"])
def test_a_lock_noted_alone_is_given_back_by_its_owner_only(misuse):
    taken, go = Mutex("lock"), Completion("go")

    def owner():
        with taken:
            go.complete()
            back.wait(by="other")

    back = Completion("back")

    def other():
        go.wait(by="owner")
        try:
            taken.release() if misuse == "release" else taken.__exit__(None, None, None)
        finally:
            back.complete()

    result = run(lambda: {"owner": owner, "other": other}, runs=1)
    assert result.verdict is Verdict.VIOLATION and "ForeignRelease" in str(result)
    assert not taken.locked()
