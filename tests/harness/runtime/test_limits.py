"""A time limit in a free run is a choice, not a clock: where nobody acts, it runs out at once."""

import itertools
import re
import threading
import time
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace

import pytest

from harness import At, Completion, Meet, Mutex, RWSemaphore, Scenario, Verdict, force, predict, run
from harness.locks.task import Task
from harness.runtime.limits import MOST_THINGS, MOST_TIMES, Limits

HOUR = 3600
BOTH_WAYS = pytest.mark.parametrize("detect", ("block", "timeout"))


def once(world, **more):
    return run(world, runs=1, **more)


# -- which limit runs out, and when ----------------------------------------------------------------


@BOTH_WAYS
def test_the_limit_that_ends_first_runs_out_first_without_waiting_for_it(detect):
    story = []

    def world():
        def role(name, *limits):
            for limit in limits:
                assert not Completion(name).wait(limit * HOUR)
                story.append(name)

        return {"often": lambda: role("often", 2, 2, 2), "once": lambda: role("once", 5)}

    assert once(world, detect=detect).verdict is Verdict.CLEAN
    assert story == ["often", "often", "once", "often"]    # after 2, 4, 5 and 6 hours


def kinds_of_waits():
    def mutex(lock, sem, never, other):
        return lock.acquire(timeout=HOUR)

    def read(lock, sem, never, other):
        return sem.down_read_timeout(HOUR)

    def write(lock, sem, never, other):
        return sem.down_write_timeout(HOUR)

    def join(lock, sem, never, other):
        other.join(HOUR)
        return not other.is_alive()

    return [mutex, read, write, join]


@pytest.mark.parametrize("wait", kinds_of_waits())
def test_every_kind_of_wait_with_a_limit_ends_so(wait):
    story = []

    def world():
        lock, sem, never, release = Mutex("m"), RWSemaphore("s"), Completion("n"), Completion("r")

        def holder():
            with lock, sem.down_write():
                never.complete()
                release.wait(by="waiter")

        def waiter():
            other = threading.Thread(target=holder)
            other.start()
            never.wait()
            story.append(wait(lock, sem, never, other))
            release.complete()
            other.join()

        return {"waiter": waiter}

    assert (once(world).verdict, story) == (Verdict.CLEAN, [False])
    assert threading.active_count() == 1


def test_while_a_role_computes_the_clock_goes_on():
    story = []

    def world():
        done = Completion("done")

        def computes():
            while not done._waiters:
                pass
            time.sleep(0.01)    # nobody could go on by himself meanwhile
            done.complete()

        return {"waits": lambda: story.append(done.wait(HOUR)), "computes": computes}

    assert (once(world).verdict, story) == (Verdict.CLEAN, [True])


def test_while_a_thread_outside_may_act_the_clock_goes_on():
    story = []

    def world():
        done = Completion("done")

        def outside():
            while not done._waiters:
                pass
            time.sleep(0.01)
            done.complete()

        threading.Thread(target=outside, daemon=True).start()
        return {"waits": lambda: story.append(done.wait(HOUR))}

    assert (once(world).verdict, story) == (Verdict.CLEAN, [True])


def test_who_was_granted_is_not_taken_for_one_that_waits():
    """The last to wait, with a limit, comes before the one it let go has gone on."""
    story = []

    def world():
        ping, pong = Completion("ping"), Completion("pong")

        def first():
            for _ in range(200):
                ping.complete()
                story.append(pong.wait(HOUR))

        def second():
            for _ in range(200):
                story.append(ping.wait(HOUR))
                pong.complete()

        return {"first": first, "second": second}

    assert (once(world).verdict, set(story)) == (Verdict.CLEAN, {True})


# -- limits that run out again ---------------------------------------------------------------------


def event_that_nobody_sets():
    done, lock = Completion("done"), Mutex("m")

    def polls():
        while not done.wait(HOUR):
            with lock:
                pass

    return {"polls": polls}


def lock_that_nobody_gives_back():
    lock, never = Mutex("m"), Completion("never")

    def retries():
        while not lock.acquire(timeout=0.001):
            pass
        lock.release()

    def holds():
        with lock:
            never.wait()

    return {"holds": holds, "retries": retries}


def two_who_wait_for_each_other():
    ready, steady = Completion("ready"), Completion("steady")

    def polls(mine, other):
        while not other.wait(0.5):
            pass
        mine.complete_all()

    return {"one": lambda: polls(ready, steady), "two": lambda: polls(steady, ready)}


@pytest.mark.parametrize("call", (run, predict))
@pytest.mark.parametrize("world", (event_that_nobody_sets, two_who_wait_for_each_other))
def test_a_limit_that_runs_out_twice_in_one_state_is_a_hang_known_at_once(call, world):
    result = call(world)
    assert (result.verdict, result.how) == (Verdict.HANG, "observed")
    assert "its time limit runs out again and again, and nothing changes" in \
        result.outcome.gravest.text
    assert "_let_a_limit" not in str(result)    # the stacks are those of the roles
    assert threading.active_count() == 1


def test_who_retries_for_a_lock_that_is_never_given_back_hangs_by_prediction_too():
    assert predict(lock_that_nobody_gives_back).verdict is Verdict.HANG


def test_another_limit_may_change_what_one_cannot():
    def world():
        done = Completion("done")

        def polls():
            while not done.wait(1):
                pass

        def sets():
            assert not Completion("late").wait(100_000)
            done.complete_all()

        return {"polls": polls, "sets": sets}

    assert once(world).verdict is Verdict.CLEAN


class Client:
    failed = 0


@pytest.mark.parametrize("count", ("local", "attribute"))
def test_a_counter_of_retries_is_no_repetition(count):
    def world():
        done, client = Completion("done"), Client()

        def in_a_local():
            failed = 0
            while failed < 500 and not done.wait(HOUR):
                failed += 1

        def in_an_attribute():
            while client.failed < 500 and not done.wait(HOUR):
                client.failed += 1

        return {"retries": in_a_local if count == "local" else in_an_attribute}

    assert once(world).verdict is Verdict.CLEAN


def test_a_loop_that_looks_at_a_clock_does_not_hang():
    def world():
        done, end = Completion("done"), time.monotonic() + 0.1

        def role():
            while time.monotonic() < end:
                done.wait(0.01)

        return {"role": role}

    assert once(world).verdict is Verdict.CLEAN


@pytest.mark.parametrize("way", ("attribute", "hour", "name"))
def test_who_looks_at_a_clock_is_not_told_that_time_has_passed_which_has_not(way):
    def world():
        def by_an_attribute():
            began = time.monotonic()
            assert not Completion("a").wait(0.05) and time.monotonic() - began >= 0.05

        def by_the_hour():
            began = time.time()
            assert not Completion("c").wait(0.05) and time.time() - began >= 0.04

        def by_a_name_outside():
            began = perf_counter()
            waits()
            assert perf_counter() - began >= 0.05

        def waits():
            assert not Completion("b").wait(0.05)

        return {"role": {"attribute": by_an_attribute, "hour": by_the_hour,
                         "name": by_a_name_outside}[way]}

    assert [tool(world).verdict for tool in (once, force)] == [Verdict.CLEAN, Verdict.NOT_REACHED]


def test_where_roles_are_held_back_a_limit_is_a_choice_for_who_looks_at_a_clock_too():
    limits, [task] = states(object(), (), "a clock"), waiting("a")
    task.thread, began = threading.current_thread(), time.monotonic()
    assert [limits.next([task], held) for held in (True, False)] == [[task], []]
    assert limits.clock == [task] and time.monotonic() >= began


def test_states_that_are_not_known_are_left_to_the_clock_and_then_to_the_bound():
    """What a counter in C says is not known; each limit takes no time, so the clock is no help."""
    ticks = itertools.count()

    def world():
        done, lock = Completion("done"), Mutex("m")

        def polls():
            for _ in map(str, ticks):
                done.wait(0)
                with lock:
                    pass
                assert not done.wait(0.001)

        return {"polls": polls}

    result = once(world, timeout=0.2)
    assert (result.verdict, result.coverage["runs"]) == (Verdict.INCONCLUSIVE, 1)
    assert re.match(r"polls \(at test_limits.py:\d+\) still runs, as only time limits run out",
                    result.outcome.gravest.text)


# -- the choice, by hand ---------------------------------------------------------------------------


def waiting(*names):
    tasks = [Task(name) for name in names]
    for number, task in enumerate(tasks):
        task.timed, task.until, task.chain = True, float(number), (task.name, 0, ())
    return tasks


def states(value, things=("one",), why_not=""):
    return Limits(lambda: SimpleNamespace(value=value, things=things, why_not=why_not))


def choices(limits, tasks, times):
    return [[task.name for task in limits.next(tasks, held=False)] for _ in range(times)]


def test_what_no_limit_changes_alone_is_tried_with_all_of_them_together():
    limits, tasks = states("the same"), waiting("a", "b")
    tasks[1].until = tasks[0].until = 0.0
    assert choices(limits, tasks, 7) == [["a"], ["a"], ["b"], ["b"], *[["a", "b"]] * 3]
    assert choices(limits, tasks, 2) == [[], []] and limits.repeats == tasks and not limits.clock


def test_where_others_went_on_too_a_limit_has_not_shown_what_comes_of_it():
    limits, (one, other) = states("the same"), waiting("one", "other")
    other.timed = False
    assert choices(limits, [one, other], 2) == [["one"], ["one"]]
    other.chain = tuple(list(other.chain))    # equal, and another: it asked again
    assert choices(limits, [one, other], 2) == [["one"], []]


def test_who_went_on_since_another_limit_ran_out_says_nothing_of_the_one_before():
    limits, (one, two) = states("the same"), waiting("one", "two")
    assert choices(limits, [one, two], 3) == [["one"], ["one"], ["two"]]
    one.chain = tuple(list(one.chain))    # it asked again: of its own limit that was to be expected
    assert choices(limits, [one, two], 1) == [["two"]]


def test_the_clock_decides_where_no_state_is_known():
    limits, tasks = states(object(), (), "a clock"), waiting("a")
    assert choices(limits, tasks, MOST_TIMES + 1) == [["a"]] * MOST_TIMES + [[]]
    assert limits.clock == tasks


def test_no_states_are_taken_once_they_had_too_many_things_in_all():
    taken, tasks = [], waiting("a")

    def large():
        taken.append(1)
        return SimpleNamespace(value=len(taken), things=range(MOST_THINGS // 10), why_not="")

    assert choices(Limits(large), tasks, MOST_TIMES + 1)[-2:] == [["a"], []] and len(taken) == 10


# -- forcing ---------------------------------------------------------------------------------------


def behind_three_retries(meet=()):
    a, b, done = Mutex("a"), Mutex("b"), Completion("done")

    def retries():
        failed = 0
        while failed < 3:
            if done.wait(HOUR):
                return
            failed += 1
        with b, a:
            pass

    def main():
        with a, b:
            pass
        done.complete_all()

    return Scenario({"retries": retries, "main": main}, meet=meet)


def behind_a_semaphore(meet=()):
    a, b, sem = Mutex("a"), Mutex("b"), RWSemaphore("sem")

    def gives_up():
        if sem.down_read_timeout(HOUR):
            sem.up_read()
        else:
            with b, a:
                pass

    def main():
        with sem.down_write(), a, b:
            pass

    return Scenario({"gives up": gives_up, "main": main}, meet=meet)


@pytest.mark.parametrize("world, role", ((behind_three_retries, "retries"),
                                         (behind_a_semaphore, "gives up")))
def test_a_deadlock_behind_a_limit_is_forced(world, role):
    predicted = predict(world)
    assert predicted.verdict is Verdict.DEADLOCK
    assert [each.status for each in predicted.predictions] == ["forced"]
    assert force(world, runs=3).coverage["verdicts"] == {"deadlock": 3}
    meet = Meet(At("main", "b", holding="a"), At(role, "a", holding="b"))
    assert force(lambda: world(meet), runs=3).coverage["verdicts"] == {"deadlock": 3}


def test_a_meeting_is_given_up_whose_partner_polls_for_what_comes_after_it():
    def world():
        lock, done = Mutex("m"), Completion("done")

        def polls():
            while not done.wait(HOUR):
                pass
            with lock:
                pass

        def main():
            with lock:
                pass
            done.complete_all()

        return Scenario({"polls": polls, "main": main},
                        meet=Meet(At("main", "m"), At("polls", "m")))

    assert force(world).verdict is Verdict.NOT_REACHED


def while_it_is_held_for_a_moment():
    a, b, lock = Mutex("a"), Mutex("b"), Mutex("m")

    def gives_up():
        if not lock.acquire(timeout=HOUR):
            with b, a:
                pass
        else:
            lock.release()

    def main():
        with lock:
            pass
        with a, b:
            pass

    return {"gives up": gives_up, "main": main}


def before_it_is_set(meet=()):
    a, b, done = Mutex("a"), Mutex("b"), Completion("done")

    def waits():
        if not done.wait(HOUR):
            with b, a:
                pass

    def sets():
        done.complete_all()
        with a, b:
            pass

    return Scenario({"waits": waits, "sets": sets}, meet=meet)


def before_it_is_read(meet=()):
    a, b, sem, there = Mutex("a"), Mutex("b"), RWSemaphore("sem"), Completion("there")

    def writes():
        there.wait()
        if sem.down_write_timeout(HOUR):
            sem.up_write()
        else:
            with b, a:
                pass

    def reads():
        with sem.down_read():
            there.complete()
            Completion("a moment").wait(1)
        with a, b:
            pass

    return Scenario({"writes": writes, "reads": reads}, meet=meet)


@pytest.mark.parametrize("world, roles", ((before_it_is_set, ("sets", "waits")),
                                          (before_it_is_read, ("reads", "writes"))))
def test_a_limit_may_run_out_before_others_go_on(world, roles):
    """In no order of start do they meet if whoever can go on goes first."""
    meet = Meet(At(roles[0], "b", holding="a"), At(roles[1], "a", holding="b"))
    assert force(lambda: world(meet), runs=2).coverage["verdicts"] == {"deadlock": 2}
    assert force(world).verdict is Verdict.DEADLOCK
    predicted = predict(world)
    assert [each.status for each in predicted.predictions] == ["forced"]
    assert not predicted.replay    # a meeting did it, no exploration


def test_what_no_meeting_can_hold_is_explored_when_forced():
    result = force(while_it_is_held_for_a_moment)
    assert result.verdict is Verdict.DEADLOCK
    assert [each.status for each in predict(while_it_is_held_for_a_moment).predictions] == \
        ["forced"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="nothing tells what a wait is")
def test_who_waits_with_a_limit_while_a_thread_outside_may_act_is_not_taken_for_one_who_hangs():
    over = threading.Event()

    def world():
        done = Completion("done")
        helpers.append(threading.Thread(target=over.wait))
        helpers[0].start()
        return {"role": lambda: done.wait(60)}

    helpers = []
    result = once(world, timeout=0.2)
    over.set()
    helpers[0].join()
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "role still runs: it waits with a time limit" in result.finding.text
