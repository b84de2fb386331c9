"""Every run has an end of its own: who goes on for ever is named, and no role that ends is cut off.
"""

import itertools
import random
import re
import threading
import time

import pytest

from harness import Completion, Mutex, RWSemaphore, Verdict, explore, force, predict, replay, run, \
    step, stress
from harness.runtime import endless
from harness.runtime.endless import Endless

CALLS = run, force, predict
every_call = pytest.mark.parametrize("call", CALLS)


def text_of(result):
    return result.outcome.gravest.text


def starts(loop, daemon=True):
    """Return a world in which a thread is started and left behind."""
    def world():
        lock, sem = Mutex("m"), RWSemaphore("sem")

        def main():
            threading.Thread(target=loop, args=(lock, sem), name="loop", daemon=daemon).start()
            with lock:
                pass

        return {"main": main}

    return world


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(endless, "LEFT", 300)


# -- daemon threads that are left ------------------------------------------------------------------


def polls_by_trylock(lock, sem):
    while True:
        if sem.down_read_trylock():
            sem.up_read()


def looks(lock, sem):
    while not lock.locked() or True:
        pass


def steps(lock, sem):
    while True:
        step("x")


def swallows(lock, sem):
    while True:
        try:
            with lock:
                pass
        except Exception:
            pass


LOOPS = polls_by_trylock, looks, steps, swallows


@every_call
@pytest.mark.parametrize("loop", LOOPS)
def test_a_daemon_thread_that_loops_when_the_roles_have_ended_is_named_and_ended(call, loop, small):
    result = call(starts(loop))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert re.fullmatch(r"main has ended; loop \(at test_endless\.py:\d+\) still runs, "
                        r"after 300 operations", text_of(result))
    assert threading.active_count() == 1


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("strategy", ("dpor", "random"))
def test_explore_names_it_too_and_goes_on_with_other_schedules(loop, strategy):
    result = explore(starts(loop), strategy=strategy, seed=1, max_schedules=4)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert re.search(r"main has ended; loop \(at test_endless\.py:\d+\) still runs, and nothing "
                     r"changes$", text_of(result)), text_of(result)
    assert threading.active_count() == 1


def crossing(a, b, ends):
    """Return a world of a role that takes *a* and *b* in turn and one that does so for ever."""
    def world():
        locks, never = {name: Mutex(name) for name in "ab"}, Completion("never")

        def loop():
            while True:
                with locks[b], locks[a]:
                    pass

        def main():
            threading.Thread(target=loop, name="loop", daemon=True).start()
            with locks["a"], locks["b"]:
                pass
            if not ends:
                never.wait()

        return {"main": main}

    return world


def test_what_such_a_thread_does_with_roles_is_explored():
    assert explore(crossing("a", "b", ends=True)).verdict is Verdict.DEADLOCK
    assert explore(crossing("b", "a", ends=True)).verdict is Verdict.INCONCLUSIVE
    assert explore(crossing("b", "a", ends=False)).verdict is Verdict.HANG


def test_a_token_of_a_hang_is_none_where_the_thread_is_a_daemon_now():
    hang = explore(starts(steps, daemon=False))
    again = replay(hang.replay, starts(steps, daemon=False))
    assert hang.verdict is again.verdict is Verdict.HANG and again.outcome.notes == []
    assert replay(hang.replay, starts(steps)).verdict is Verdict.INCONCLUSIVE


def test_one_that_sleeps_is_given_the_timeout():
    def naps(lock, sem):
        while True:
            with lock:
                time.sleep(0.001)

    result = run(starts(naps), timeout=0.1)
    assert (result.verdict, result.coverage["runs"]) == (Verdict.INCONCLUSIVE, 1)
    assert re.search(r"main has ended; loop .* still runs, after \d+ s with nothing new",
                     text_of(result))
    assert threading.active_count() == 1


def test_a_finding_that_was_there_comes_first(small):
    def world():
        lock = Mutex("m")

        def main():
            threading.Thread(target=polls_by_trylock, args=(lock, RWSemaphore()),
                             daemon=True).start()
            lock.acquire()

        return {"main": main}

    result = run(world)
    assert (result.verdict, len(result.outcome.findings)) == (Verdict.VIOLATION, 2)


def test_the_runs_after_one_that_met_a_bound_have_less_patience(small):
    counts = []

    def world():
        lock, number = Mutex("m"), len(counts)
        counts.append(0)

        def loop():
            while True:
                with lock:
                    counts[number] += 1

        return {"main": threading.Thread(target=loop, daemon=True).start}

    result = stress(world, runs=20, seed=1)
    assert result.coverage["verdicts"] == {"inconclusive": 20}
    assert counts[0] > 290 and max(counts[1:]) < 30


def waits_for_a_task():
    work = Completion("work")
    return {"main": threading.Thread(target=work.wait, name="worker", daemon=True).start}


def waits_with_a_limit():
    stop, lock = Completion("stop"), Mutex("m")

    def beats():
        while not stop.wait(3600):
            with lock:
                pass

    return {"main": threading.Thread(target=beats, name="worker", daemon=True).start}


@pytest.mark.parametrize("world", (waits_for_a_task, waits_with_a_limit))
def test_a_daemon_thread_that_waits_when_all_others_have_ended_is_left_waiting(world):
    for call in (run, force):
        result = call(world)
        assert result.verdict in (Verdict.CLEAN, Verdict.NOT_REACHED)
        assert re.match("worker, a daemon thread, was left waiting for (work|stop) at ",
                        result.outcome.notes[0])
    assert explore(world).verdict is Verdict.CLEAN
    assert threading.active_count() == 1


def test_a_thread_that_is_no_daemon_is_not_left():
    def world():
        work = Completion("work")
        return {"main": lambda: threading.Thread(target=work.wait).start()}

    assert run(world).verdict is explore(world).verdict is Verdict.HANG


def test_what_a_thread_that_is_no_daemon_starts_is_none():
    def world():
        work = Completion("work")

        def middle():
            threading.Thread(target=work.wait).start()

        return {"main": lambda: threading.Thread(target=middle).start()}

    assert run(world).verdict is Verdict.HANG


def test_daemon_threads_that_wait_for_a_lock_are_not_left_waiting():
    def world():
        lock, has, never = Mutex("m"), Completion("has"), Completion("never")

        def holds():
            with lock:
                has.complete()
                never.wait()

        def asks():
            has.wait()
            with lock:
                pass

        def main():
            for body in (holds, asks):
                threading.Thread(target=body, daemon=True).start()

        return {"main": main}

    assert run(world, runs=1).verdict is Verdict.HANG


@pytest.mark.parametrize("poll", (step, lambda: Completion("done").done()))
def test_who_looks_and_steps_for_ever_is_ended_by_the_verdict_on_others(poll):
    def world():
        lock = Mutex("m")

        def polls():
            while True:
                poll()

        def waits_for_itself():
            with lock, lock:
                pass

        return {"polls": polls, "waits": waits_for_itself}

    assert run(world).verdict is Verdict.DEADLOCK
    assert threading.active_count() == 1


# -- what is long and ends -------------------------------------------------------------------------


@pytest.mark.parametrize("who", ("role", "thread", "daemon that does something new"))
def test_who_does_much_and_ends_is_not_cut_off(who, small):
    def world():
        lock = Mutex("m")

        def much(lock=lock):
            for _ in range(endless.LEFT + 100):
                with lock:
                    pass

        def ever_new():
            for _ in range(120):
                with Mutex("another"):
                    pass
                for _ in range(10):
                    with lock:
                        pass

        def main():
            body, daemon = (much, False) if who == "thread" else (ever_new, True)
            threading.Thread(target=body, daemon=daemon).start()

        return {"main": much if who == "role" else main}

    assert run(world, runs=1).verdict is Verdict.CLEAN


# -- roles that go on for ever ---------------------------------------------------------------------


def random_polls():
    lock, draw = Mutex("m"), random.Random(1).random    # whose state is never the same

    def polls():
        while draw() < 2:
            with lock:
                pass

    return {"polls": polls, "main": lock.locked}


def two_that_let_each_other_in():
    sem, turn = RWSemaphore("sem"), [0]

    def polls(me):
        while turn[0] != 2:
            with sem.down_write():
                turn[0] = me

    return {"zero": lambda: polls(0), "one": lambda: polls(1)}


@every_call
@pytest.mark.parametrize("world", (random_polls, two_that_let_each_other_in))
def test_roles_that_poll_for_ever_meet_the_large_bound(call, world, monkeypatch):
    monkeypatch.setattr(endless, "MOST", 5_000)
    result = call(world, timeout=0.4)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert re.search(r"(polls|zero|one) \(at .*\) still runs?, after [\d,]+ times that a lock was "
                     r"taken or released", text_of(result))
    assert threading.active_count() == 1


# -- the bounds, by hand ---------------------------------------------------------------------------

OLD = [("task", "event", "lock", "mode", ())]
SHORT = 4.0, 1.0    # timeout, patience
MOVES = itertools.count(1)


def look_at(bounds, *passed, log=OLD, moves=None):
    said = []
    for seconds in passed:
        bounds.now = getattr(bounds, "now", time.monotonic()) + seconds
        said.append(bounds.look(bounds.now, 1.0, log, moves or next(MOVES)))
    return said


def test_nothing_new_for_ten_timeouts_is_too_long_however_much_moves():
    bounds = Endless(*SHORT)
    assert not any(look_at(bounds, *[1.0] * 39))
    assert look_at(bounds, 1.0) == ["after 40 s with nothing new"] and bounds.met


def test_what_stands_still_is_for_another_to_judge():
    assert not any(look_at(Endless(*SHORT), *[1.0] * 100, moves=1))


def test_a_look_that_comes_late_counts_for_one_slice():
    bounds = Endless(*SHORT)
    assert not any(look_at(bounds, *[1000.0] * 39))


def test_what_is_new_begins_all_anew():
    bounds = Endless(*SHORT)
    bounds.left = bounds.limits = True
    new = ((i, "event", "lock", "mode", ()) for i in itertools.count())
    assert not any(look_at(bounds, 1.0, log=[*OLD, next(new)])[0] for _ in range(100))
    assert look_at(bounds, *[1.0] * 3, log=OLD) == ["", "", "after 4 s with nothing new"]


def test_limits_alone_have_one_timeout_in_which_nothing_else_happens():
    bounds = Endless(*SHORT)
    bounds.limits = True
    assert not any(look_at(bounds, 1.0, 1.0, 1.0))
    bounds.limits = False
    assert not any(look_at(bounds, 1.0))
    bounds.limits = True
    assert look_at(bounds, *[1.0] * 4) == [
        "", "", "", "as only time limits run out, again and again"]


def test_less_patience_is_less_of_each_bound():
    bounds = Endless(4.0, 0.01)
    assert not any(look_at(bounds, 0.1, moves=endless.MOST // 100 - 1))
    assert look_at(bounds, 0.1, moves=endless.MOST // 100)[0].startswith("after 20,000 times")


def test_what_is_known_has_a_bound(monkeypatch):
    monkeypatch.setattr(endless, "_KEPT", 2)
    bounds = Endless(1.0, 1.0)
    bounds.left = True
    new = [(i, "event", "lock", "mode", ()) for i in range(5)]
    assert look_at(bounds, 0.5, 0.5, log=new[:2]) == ["", "after 1 s with nothing new"]
    bounds = Endless(1.0, 1.0)
    bounds.left = True
    assert [look_at(bounds, 0.5, log=[each])[0][:5] for each in new] == ["", "", "after"] + \
        ["after"] * 2
