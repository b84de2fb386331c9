"""A limit may not run out twice in one state: loops that wait for a while at a time have an end,
and what they count is seen.
"""

import itertools
import re
import threading
import time

import pytest

from harness import Completion, Mutex, Scenario, Verdict, explore, replay
from harness.exploration import again, cut_off, scheduled_run
from harness.exploration.controlled_run import ControlledRun
from harness.exploration.dpor import Reduced
from harness.exploration.stable_ids import Names
from harness.exploration.strategies import DepthFirst
from harness.locks.outsiders import Outsiders
from harness.methods.going_round import GoingRound
from harness.runtime.building import build
from harness.runtime.process_state import settled
from harness.runtime.workers import Workers

BOTH = pytest.mark.parametrize("strategy", ["dfs", "dpor"])
CLEAN, HANG, DEADLOCK = Verdict.CLEAN, Verdict.HANG, Verdict.DEADLOCK
TRIES = 0


def found(world, strategy="dpor", **more):
    return explore(world, strategy=strategy, engine=False, **more)


def text_of(result):
    return " ".join(str(result).split())


class Client:
    tries = 0


# -- loops that come to an end ---------------------------------------------------------------------


def background():
    """The commonest background thread."""
    done, lock = Completion("done"), Mutex("lock")

    def worker():
        while not done.wait(.1):
            with lock:
                pass

    def main():
        with lock:
            pass
        done.complete_all()

    return {"worker": worker, "main": main}


def flag_under_a_lock():
    lock, tick, flag = Mutex("lock"), Completion("tick"), []

    def polls():
        while True:
            with lock:
                if flag:
                    break
            tick.wait(.1)

    def sets():
        with lock:
            flag.append(1)

    return {"polls": polls, "sets": sets}


def two_that_wait():
    done = Completion("done")

    def polls():
        while not done.wait(.1):
            pass

    return {"one": polls, "two": polls, "sets": done.complete_all}


def two_that_take_turns():
    """Each passes on to the other, which waits for a while at a time."""
    turns, lock = [Completion("first"), Completion("second")], Mutex("lock")

    def role(mine):
        def waits():
            while not turns[mine].wait(.1):
                with lock:
                    pass
            turns[1 - mine].complete()
        return waits

    return {"one": role(0), "two": role(1), "starts": turns[0].complete}


def spins():
    lock, flag = Mutex("lock"), []

    def polls():
        while True:
            with lock:
                if flag:
                    break

    def sets():
        with lock:
            flag.append(1)

    return {"polls": polls, "sets": sets}


@pytest.mark.parametrize("world, strategy", [
    (world, strategy) for world in (background, flag_under_a_lock, two_that_wait, spins)
    for strategy in ("dfs", "dpor")] + [(two_that_take_turns, "dpor")],
    ids=lambda value: getattr(value, "__name__", value))
def test_loop_that_waits_for_what_comes_is_clean_and_complete(world, strategy):
    result = found(world, strategy, max_schedules=800)
    assert (result.verdict, result.coverage["complete"]) == (CLEAN, True), text_of(result)


def test_reduction_is_one_for_loops_too():
    """The lock is taken before, between or after the worker's, if that is not the last; and the
    wait passes at once, after one limit, or after two.
    """
    plain, reduced = (found(background, strategy).coverage for strategy in ("dfs", "dpor"))
    assert (reduced["schedules"] < plain["schedules"] / 4, "reduction" in reduced) == (True, False)


@BOTH
def test_what_is_completed_after_a_schedule_was_cut_short_is_none_of_its_steps(strategy):
    def world():
        first, done, a, b = Completion("first"), Completion("done"), Mutex("a"), Mutex("b")

        def waits():
            first.complete()
            while True:
                with b:
                    if done.wait(.1):
                        break

        def sets():
            with a:
                pass
            done.complete_all()

        return {"sets": sets, "waits": waits}

    result = found(world, strategy)
    assert (result.verdict, result.coverage["complete"]) == (CLEAN, True), text_of(result)


@BOTH
def test_two_that_give_up_and_try_again_go_round_but_not_for_ever(strategy):
    def world():
        locks = [Mutex("a"), Mutex("b")]

        def role(mine):
            def tries():
                while True:
                    with locks[mine]:
                        if locks[1 - mine].acquire(timeout=.1):
                            locks[1 - mine].release()
                            return
            return tries

        return {"one": role(0), "two": role(1)}

    result = found(world, strategy, max_schedules=60)
    assert result.verdict in (CLEAN, Verdict.INCONCLUSIVE)
    assert result.coverage["rounds"] > 0
    if strategy == "dpor":
        assert (result.verdict, result.coverage["complete"]) == (CLEAN, True)


# -- what is counted is seen -----------------------------------------------------------------------


def retries(gives_up):
    """After some tries the worker takes the locks in the other order: a deadlock, but only if all
    of them are in vain while main is between its locks.
    """
    def world():
        ready, a, b = Completion("ready"), Mutex("a"), Mutex("b")

        def worker():
            if gives_up(lambda: ready.wait(.1)):
                with b, a:
                    pass

        def main():
            with a, b:
                pass
            ready.complete_all()

        return {"worker": worker, "main": main}
    return world


def _local(wait):
    tries = 0
    while tries < 3:
        if wait():
            return False
        tries += 1
    return True


def _attribute(wait):
    client = Client()
    while client.tries < 3:
        if wait():
            return False
        client.tries += 1
    return True


def _cell(wait):
    tries = 0

    def count():
        nonlocal tries
        tries += 1
    while tries < 3:
        if wait():
            return False
        count()
    return True


def _global(wait):
    global TRIES
    TRIES = 0
    while TRIES < 3:
        if wait():
            return False
        TRIES += 1
    return True


def _list(wait):
    tries = []
    while len(tries) < 3:
        if wait():
            return False
        tries.append(None)
    return True


def _loop(wait):
    return all(not wait() for _ in range(3))


def _for(wait):
    for _ in range(3):    # noqa: SIM110
        if wait():
            return False
    return True


def _iterator(wait):
    tries = iter(range(3))
    while next(tries, None) is not None:
        if wait():
            return False
    return True


def _numbers(wait):
    tries = itertools.count()
    while next(tries) < 3:
        if wait():
            return False
    return True


@BOTH
@pytest.mark.parametrize("gives_up", [_local, _attribute, _cell, _global, _list, _loop, _for,
                                      _iterator, _numbers], ids=lambda each: each.__name__[1:])
def test_deadlock_behind_three_tries_is_found(gives_up, strategy):
    assert found(retries(gives_up), strategy).verdict is DEADLOCK


def test_loop_by_the_clock_is_not_called_clean_nor_a_hang(monkeypatch):
    monkeypatch.setattr(scheduled_run, "MOST_STEPS", 150)
    monkeypatch.setattr(again, "FIRST_LOOK", 100)

    def world():
        done = Completion("done")

        def waits():
            began = time.monotonic()
            while not done.wait(.1) and time.monotonic() - began < 3_600:
                pass

        return {"waits": waits}

    assert [found(world, strategy).verdict for strategy in ("dfs", "dpor")] == [
        Verdict.INCONCLUSIVE] * 2


def test_deadlock_behind_what_another_counts_by_looking_is_found():
    """The worker is where it was each time its limit runs out; who looks at its lock is not."""
    def world():
        lock, done, a, b = Mutex("lock"), Completion("done"), Mutex("a"), Mutex("b")

        def worker():
            while not done.wait(.1):
                with lock:
                    pass
            with a, b:
                pass

        def looks():
            seen = lock.locked() and not lock.locked() and lock.locked() \
                and not lock.locked() and lock.locked()
            done.complete_all()
            if seen:
                with b, a:
                    pass

        return {"worker": worker, "looks": looks}

    assert found(world).verdict is DEADLOCK


def test_threads_that_a_loop_starts_are_not_cut_off(monkeypatch):
    """The third takes the locks in the other order; what they do is in no order with the loop."""
    monkeypatch.setattr(cut_off, "MOST_AGAIN", 3)
    monkeypatch.setattr(scheduled_run, "MOST_STEPS", 40)
    monkeypatch.setattr(again, "FIRST_LOOK", 20)

    def world():
        done, lock, a, b = Completion("done"), Mutex("lock"), Mutex("a"), Mutex("b")
        started = Client()

        def child():
            with lock:
                started.tries += 1
                third = started.tries == 3
            if third:
                with b, a:
                    pass

        def starts():
            while not done.wait(.1):
                threading.Thread(target=child).start()

        def main():
            with a, b:
                pass
            done.complete_all()

        return {"starts": starts, "main": main}

    assert found(world, max_schedules=50).verdict is not CLEAN


def test_state_that_is_not_known_says_nothing_of_threads_outside():
    """What is cut off in the reduced search needs no state of the role in its `for` loop."""
    def world():
        go, ready, done = Completion("go"), Completion("ready"), Completion("done")

        def worker():
            while not done.wait(.1):
                if go.wait(.1):
                    ready.complete()

        def main():
            for _ in range(2):
                go.complete()
                ready.wait()
            done.complete_all()

        return {"worker": worker, "main": main}

    assert "thread outside" not in text_of(found(world, max_schedules=5))


def test_passes_that_a_loop_uses_up_are_counted():
    """The worker is where it was each time, and has changed nothing that it can reach; after its
    third round no pass is left.
    """
    def world():
        passes, done, a, b = Completion("passes"), Completion("done"), Mutex("a"), Mutex("b")
        for _ in range(3):
            passes.complete()

        def worker():
            while not done.wait(.1):
                passes.wait(.1)

        def looks():
            if not passes.done():
                with b, a:
                    pass

        def main():
            with a, b:
                pass
            done.complete_all()

        return {"worker": worker, "looks": looks, "main": main}

    assert found(world).verdict is DEADLOCK


# -- what never ends -------------------------------------------------------------------------------


def never():
    done, lock = Completion("done"), Mutex("lock")

    def waits():
        while not done.wait(.1):
            pass

    def other():
        with lock:
            pass

    return {"waits": waits, "other": other}


@pytest.mark.parametrize("strategy", ["dfs", "dpor", "random", "pct", "bounded"])
def test_event_that_nobody_sets_is_a_hang_which_says_where_it_waits(strategy):
    result = found(never, strategy)
    words = text_of(result)
    assert (result.verdict, result.how, result.coverage["replayed"]) == (
        HANG, "observed", "10 of 10"), words
    assert re.search(r"the limit of waits's wait for done runs out again and again at \S*"
                     r"test_explore_limits.py:\d+, and nothing changes", words), words


def test_hang_of_limits_is_replayed_from_its_token():
    def set_at_last():
        roles = never()
        world = roles["waits"].__closure__[0].cell_contents
        return roles | {"other": world.complete_all}

    result = found(never)
    again = replay(result.replay, never)
    assert (again.verdict, again.finding.text) == (HANG, result.finding.text)
    changed = replay(result.replay, set_at_last)
    assert changed.verdict is not HANG


@pytest.mark.parametrize("strategy", ["dpor", "random"])
def test_who_polls_does_not_hide_that_others_wait_for_each_other(strategy):
    def world():
        a, b, done = Mutex("a"), Mutex("b"), Completion("done")

        def role(one, other):
            def takes():
                with one, other:
                    pass
                done.complete()
            return takes

        def polls():
            while not done.wait(.1):
                pass

        return {"one": role(a, b), "two": role(b, a), "polls": polls}

    result = found(world, strategy)
    assert (result.verdict, sorted(wait["role"] for wait in result.cycle)) == (
        DEADLOCK, ["one", "two"])


@BOTH
@pytest.mark.parametrize("request_", ["lock.acquire(False)", "lock.acquire(timeout=.1)"])
def test_who_asks_for_ever_for_what_is_held_for_ever_is_a_hang(strategy, request_):
    asks = eval(f"lambda lock: {request_}")

    def world():
        lock, done = Mutex("lock"), Completion("done")

        def holder():
            with lock:
                done.wait(by="asks")

        def asks_again():
            while not asks(lock):
                pass
            lock.release()
            done.complete()

        return {"holder": holder, "asks": asks_again}

    result = found(world, strategy)
    assert (result.verdict, "and nothing changes; holder waits for ever" in text_of(result)) == (
        HANG, True)


@BOTH
def test_where_no_schedule_ends_nothing_is_clean(strategy, monkeypatch):
    """As if a way out of a round had been seen that is none."""
    monkeypatch.setattr(GoingRound, "way_out", lambda *_: True)
    result = found(never, strategy)
    assert (result.verdict, result.coverage["schedules"]) == (Verdict.INCONCLUSIVE, 0)


def test_hang_is_found_where_each_world_is_the_first_of_its_process():
    assert found(never, fresh=True).verdict is HANG


# -- where the reduction cannot know ---------------------------------------------------------------


def test_flag_that_no_lock_orders_is_searched_without_the_reduction():
    """The plain search finds that the loop ends; that what was cut off would have gone on otherwise
    is seen.
    """
    def world():
        stop, lock, tick = [], Mutex("lock"), Completion("tick")

        def polls():
            while not stop:
                tick.wait(.1)

        def sets():
            with lock:
                pass
            stop.append(1)
            with lock:
                pass

        return {"polls": polls, "sets": sets}

    result, plain = found(world), found(world, "dfs")
    assert (result.verdict, result.coverage["schedules"]) == (CLEAN, plain.coverage["schedules"])
    assert "polls does not go on as before" in result.coverage["reduction"]


def test_role_that_never_is_where_it_was_is_searched_without_the_reduction(monkeypatch):
    monkeypatch.setattr(cut_off, "MOST_AGAIN", 4)

    def world():
        done = Completion("done")

        def waits():
            made = []
            while not done.wait(.1):
                made = [[]]
            return made

        return {"waits": waits, "sets": done.complete_all}

    result = found(world)
    assert (result.verdict, result.coverage["complete"]) == (CLEAN, True)
    assert "waits waits for done again and again" in result.coverage["reduction"]


@BOTH
def test_without_limits_no_state_is_taken(strategy, monkeypatch):
    def state(*_):
        raise AssertionError("a state was taken")

    monkeypatch.setattr(again, "State", state)

    def world():
        a, b, done = Mutex("a"), Mutex("b"), Completion("done")

        def one():
            with a, b:
                done.complete()

        def two():
            done.wait()
            if a.acquire(False):
                a.release()

        return {"one": one, "two": two}

    assert found(world, strategy).verdict is CLEAN


@pytest.mark.parametrize("strategy", [DepthFirst, Reduced])
@pytest.mark.parametrize("lives", [False, True])
def test_what_goes_round_is_looked_at_again_where_a_thread_outside_may_have_acted(
        strategy, lives, monkeypatch):
    """It may set a flag that no lock guards, and then end, or go on with something else."""
    flag = []

    def act(self, run, waiting):
        flag.append(1)
        return ["a thread"] if lives else []

    def scenario():
        done = Completion("done")

        def poll():
            while not flag:
                done.wait(1)
            done.complete()

        return {"poller": poll, "waiter": done.wait}

    monkeypatch.setattr(Outsiders, "may_act", act)
    chooser = strategy()
    with Workers() as workers, settled():
        for _ in range(2):    # the reduced search asks for states once it has seen a limit
            chooser.begin()
            run = ControlledRun(build(scenario, "s"), chooser, Names())
            outcome = run.play(workers)
            if not chooser.restarted:
                break
    assert flag and outcome.verdict is CLEAN
    assert strategy is DepthFirst or chooser.hopeless


@pytest.mark.parametrize("more", [{"engine": False}, {"strategy": "dfs", "all": True}])
def test_the_world_is_not_checked_where_a_schedule_was_cut_short(more):
    """One in which a limit runs out again in the same state ends there, and nobody has ended."""
    def world():
        lock, done, ended = Mutex("lock"), Completion("done"), []

        def waits():
            while not done.wait(0.1):
                pass
            ended.append("waits")

        def completes():
            with lock:
                pass
            done.complete_all()
            ended.append("completes")

        return Scenario({"waits": waits, "completes": completes},
                        check=lambda: sorted(ended) == ["completes", "waits"])

    result = explore(world, **more)
    assert (result.verdict, result.coverage["complete"]) == ("clean", True)
