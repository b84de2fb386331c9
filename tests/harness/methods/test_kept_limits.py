"""The time given bounds everything that a call does: each loop that may be long asks whether it is
up. Looks and runs are counted here; no time is waited for.
"""

import mmap
import threading
from itertools import permutations

import pytest
import small_worlds
from lock_programs import program

from harness import Mutex, Verdict, explore, force, predict, run
from harness.checker import search as search_module
from harness.exploration.controlled_run import ControlledRun
from harness.exploration.start_points import TracedRun
from harness.lockorder.cycles import groups
from harness.lockorder.feasibility import Budget, Judgement, judge
from harness.lockorder.graph import LockOrder
from harness.lockorder.record import Record
from harness.meetings.one_by_one import OneByOne
from harness.methods import engine_first, exhaust, outside
from harness.programs.threads import scenario_of
from harness.runtime.free_run import FreeRun
from harness.runtime import played_run
from harness.runtime.building import build
from harness.runtime.workers import Workers


def recorded(world):
    """Let the roles of *world* go one after the other; return the record."""
    made, order = build(world, "a scenario"), LockOrder()
    with Workers() as workers:
        FreeRun(made, [OneByOne(range(len(made.roles))), order]).play(workers)
    return Record([order])


def in_every_order(n):
    """A world of *n* locks, each pair of which is taken in both orders, each time by another."""
    locks = [Mutex(f"lock {i}") for i in range(n)]

    def takes(first, then):
        with first, then:
            pass

    return {f"role {i}": lambda pair=pair: takes(*pair)
            for i, pair in enumerate(permutations(locks, 2))}


# -- schedules -------------------------------------------------------------------------------------


class Cut:
    """Runs under control of which the *first* one, and all after it, end at the deadline."""

    def __init__(self, monkeypatch):
        self.played, self.first = mmap.mmap(-1, 4), 0    # of forked processes, too
        play = ControlledRun.play

        def plays(run, workers):
            self.played[0] += 1
            self.played[1] += run.deadline is None
            outcome = play(run, workers)
            if self.first and self.played[0] >= self.first and not outcome.findings:
                run.late = run.cut = True
            return outcome

        monkeypatch.setattr(ControlledRun, "play", plays)

    def __call__(self, world, first, **more):
        """Explore; return the result, how many runs there were, and how many without deadline."""
        self.played[0] = self.played[1] = 0
        self.first = first
        result = explore(world, seconds=600, **more)
        return result, self.played[0], self.played[1]


@pytest.fixture
def cut(monkeypatch):
    return Cut(monkeypatch)


def logs_once():
    """A world that does something else the first time in a process."""
    lock, cache = Mutex("lock"), small_worlds.__dict__.setdefault("_seen", [])

    def role():
        if not cache:
            cache.append(1)
            with lock:
                pass
        with lock:
            pass

    return {"one": role, "other": role}


@pytest.fixture
def nothing_seen_yet():
    small_worlds.__dict__.pop("_seen", None)
    yield
    small_worlds.__dict__.pop("_seen", None)


@pytest.mark.usefixtures("nothing_seen_yet")
@pytest.mark.parametrize("world, more", [
    (small_worlds.in_order, {}), (small_worlds.in_order, {"engine": False}),
    (small_worlds.in_order, {"check_determinism": True}), (small_worlds.in_order, {"fresh": True}),
    (logs_once, {})], ids=["in order", "without engine", "twice each", "fresh", "worlds differ"])
def test_whichever_schedule_the_time_cuts_explore_ends_with_it_and_says_so(world, more, cut):
    whole, runs, free = cut(world, 0, **more)
    assert free == 0, "each run has the deadline of the call"
    for first in range(1, runs + 1, 1 + runs // 8):
        small_worlds.__dict__.pop("_seen", None)
        result, tried, _ = cut(world, first, **more)
        assert result.verdict is Verdict.INCONCLUSIVE, (first, runs, str(result))
        assert "stopped after 600 s" in str(result), (first, str(result))
        assert tried <= first + 3, first    # where worlds differ: one more of each kind, at once


def test_a_finding_stays_one_though_the_time_is_up_before_it_is_run_again(cut):
    """What comes again is shown as ever; so here no run that is cut comes to anything."""
    def world():
        asked.append(1)
        return small_worlds.abba() if len(asked) <= left else small_worlds.in_order()

    asked, left = [], 10_000
    whole, runs, free = cut(world, 0, engine=False)
    assert (whole.verdict, free) == (Verdict.DEADLOCK, 0)
    found = whole.coverage["schedules"] + 1    # the traced one is run once more
    asked, left = [], next(n for n in range(1, runs) if n >= found)
    result, tried, _ = cut(world, left + 1, engine=False)
    assert result.verdict is Verdict.DEADLOCK and result.replay
    assert "It was not run again, to be shown: the time was up." in str(result)
    assert tried < runs


def test_what_starts_share_is_compared_until_the_time_is_up(monkeypatch):
    """Each start with each: of two thousand roles that takes minutes."""
    monkeypatch.setattr(TracedRun, "is_late", lambda run, now: not run.unfinished)
    for more in ({}, {"fresh": True}):
        result = explore(small_worlds.in_order, seconds=600, **more)
        assert (result.verdict, result.coverage["schedules"]) == (Verdict.INCONCLUSIVE, 0)
        assert "stopped after 600 s" in str(result)


# -- the engine ------------------------------------------------------------------------------------


def test_the_engine_looks_at_the_clock_the_more_often_the_more_threads_there_are(monkeypatch):
    for threads, states in ((2, 48), (16, 12)):    # of twice as many as FEW a quarter
        monkeypatch.setattr(search_module, "CHUNK", 48)
        looks = iter([0, 0, 10, 10, 10])    # when it begins, before the first chunk, then it is up
        monkeypatch.setattr(search_module.time, "perf_counter", looks.__next__)
        many = program("\n".join(f"t{i}: {'lock a; unlock a; ' * 9}" for i in range(threads)))
        assert search_module.search(many, seconds=5).states == states
        monkeypatch.undo()


@pytest.mark.parametrize("module, call", [(exhaust, predict), (engine_first, explore)])
def test_the_engine_gets_the_time_that_is_left(module, call, monkeypatch):
    given = []
    whole = module.search
    monkeypatch.setattr(module, "search", lambda *args, seconds, **more:
                        given.append(seconds) or whole(*args, seconds=seconds, **more))
    call(scenario_of(program("t: lock a; unlock a\nu: lock a; unlock a")), seconds=600)
    call(scenario_of(program("t: lock a; unlock a\nu: lock a; unlock a")))
    assert given[1] is None and 0 < given[0] <= 600


# -- the order of locks ----------------------------------------------------------------------------


def test_what_threads_must_have_had_before_they_end_is_found_in_one_pass(monkeypatch):
    """Of a thousand started threads each was held against the requests of each, at each join."""
    def world(n):
        shared = Mutex("shared")

        def works():
            with shared:
                pass

        def main():
            threads = [threading.Thread(target=works) for _ in range(n)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return {"main": main}

    asked = []
    asks = Record._asks
    monkeypatch.setattr(Record, "_asks", lambda *args: asked.append(1) or asks(*args))
    looks = {}
    for n in (3, 6, 12):
        asked.clear()
        brought = [leg for leg in recorded(lambda n=n: world(n)).legs if leg.brings]
        assert len(brought) == n    # each has had the shared lock when it is joined
        looks[n] = len(asked)
    assert looks[12] == 2 * looks[6] == 4 * looks[3]


def test_cycles_are_looked_for_until_the_time_is_up():
    record = recorded(lambda: in_every_order(4))
    whole = groups(record)
    assert len(whole) > 5 and not record.too_many
    looks = iter([False] * 9)
    some = groups(record, lambda: next(looks, True))
    assert record.too_many and len(some) < len(whole)
    assert groups(record, lambda: True) == [], "nor by class"


def test_where_there_is_nothing_to_look_for_the_end_of_the_time_leaves_nothing_out():
    record = recorded(small_worlds.in_order)
    record.edges.clear()
    assert groups(record, lambda: True) == [] and not record.too_many


def test_no_judgement_is_begun_when_the_time_is_up():
    record = recorded(lambda: in_every_order(2))
    [group] = groups(record)
    [candidate] = group.candidates
    assert judge(record, candidate, Budget()).stuck
    assert judge(record, candidate, Budget(deadline=0.0)) == Judgement()


def test_what_is_used_beside_is_looked_for_in_a_moment(monkeypatch):
    made = []
    traced = outside._TracedRun
    monkeypatch.setattr(outside, "_TracedRun", lambda *args: made.append(traced(*args)) or made[-1])
    run(lambda: {"role": threading.Lock().locked}, runs=1)
    assert [each.deadline is not None for each in made] == [True]


# -- what the end of the time does not decide ------------------------------------------------------


def test_a_world_that_the_time_cuts_is_not_compared_with_the_first(monkeypatch):
    """The first run goes to its end; the one that looks whether the next world does the same is cut
    before its roles have done anything.
    """
    builds, held = [], Mutex("lock")

    def world():
        builds.append(1)
        lock = held if len(builds) == 3 else Mutex("lock")

        def role():
            with lock, Mutex("inner"):
                pass

        return {"role": role}

    monkeypatch.setattr(FreeRun, "is_late", lambda run, now: len(builds) == 3 and not run.running)
    monkeypatch.setattr(played_run, "GRACE", 20)
    with held:
        result = predict(world, runs=1, seconds=600, timeout=20)
    assert len(builds) > 3 and "differ" not in str(result), str(result)


def test_force_does_not_say_that_there_is_no_cycle_when_it_had_no_time_to_look(monkeypatch):
    monkeypatch.setattr(Budget, "spent", property(lambda self: True))
    result = force(lambda: in_every_order(2), seconds=600)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the time was up before one was found" in str(result)
