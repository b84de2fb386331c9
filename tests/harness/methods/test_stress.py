"""stress: many runs with noise, what they sum up to, and the first failure kept."""

import os
import signal
import sys
import threading
import types

import pytest
import small_worlds

from harness import Completion, Mutex, Scenario, ScenarioError, Verdict, stress
from harness.methods import stress as stress_loop, tally
from harness.methods.ctrl_c import Interrupted
from harness.exploration.token import decode
from harness.runtime import collector


def test_it_makes_as_many_runs_as_asked_and_says_so():
    result = stress(small_worlds.in_order, runs=25, seed=3)
    assert (result.verdict, result.coverage, result.replay) == (
        Verdict.CLEAN, {"runs": 25, "seed": 3}, "")


def test_it_makes_a_thousand_runs_if_nothing_is_said():
    assert stress(lambda: {"A": lambda: None}, seed=1).coverage["runs"] == stress_loop.RUNS == 1000


def test_it_ends_by_itself_after_the_time_given(monkeypatch):
    """A clock that jumps: a look for the end, one before each of three runs, then it is up."""
    looks, real = iter([0, 0, 0, 0, 1000]), tally.time
    clock = types.SimpleNamespace(monotonic=lambda: real.monotonic() + next(looks),
                                  sleep=real.sleep, perf_counter=real.perf_counter)
    monkeypatch.setattr(tally, "time", clock)
    result = stress(small_worlds.in_order, seconds=600)
    assert (result.verdict, result.coverage["runs"]) == (Verdict.CLEAN, 3)


def test_a_run_cut_by_the_end_of_the_time_counts_for_nothing_unless_it_is_the_only_one():

    lock = Mutex("lock")

    def world():
        return {"asker": lambda: lock.acquire() and lock.release()}

    with lock:   # held outside: the first run can only be cut
        result = stress(world, seconds=0.05)

    assert (result.verdict, result.coverage["runs"], result.replay) == (Verdict.INCONCLUSIVE, 1, "")


def never():
    """Wait outside our locks for what does not come."""
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def finalized():
    """A world whose finalizer stays, collected when its run has ended."""
    class Stays:
        def __del__(self):
            never()
    stays = Stays()
    stays.itself = stays
    return {"A": Mutex("a").locked}


@pytest.mark.parametrize("world", [
    lambda: Scenario({"A": Mutex("a").locked}, check=never), finalized])
def test_it_ends_with_the_first_run_after_which_what_no_role_does_stays(world, monkeypatch):
    """Each further run would stay as long; a role that hangs may do so by chance."""
    monkeypatch.setattr(collector, "due", lambda: 1)
    result = stress(world, runs=5, timeout=0.05)
    assert (result.verdict, result.coverage["runs"]) == (Verdict.HANG, 1)


def test_both_limits_hold_and_the_first_reached_ends_it():
    assert stress(small_worlds.in_order, runs=3, seconds=60).coverage["runs"] == 3


def test_a_seed_is_drawn_and_reported_if_none_is_given():
    seeds = {stress(small_worlds.in_order, runs=1).coverage["seed"] for _ in range(5)}
    assert len(seeds) > 1


def worlds_of(seed):
    """Return what a world that asks for it is given, run by run."""
    drawn = []

    def world(rng):
        drawn.append(rng.random())
        return {"A": Mutex("a").locked}

    stress(world, runs=5, seed=seed)
    return drawn


def test_the_same_seed_makes_the_same_worlds_and_another_seed_others():
    one, same, other = worlds_of(1), worlds_of(1), worlds_of(2)
    assert (one == same, len(set(one)), set(one) & set(other)) == (True, 5, set())


def noise_of(seed, monkeypatch):
    """Return how long each of two roles is delayed, operation by operation."""
    naps = {"A": [], "B": []}

    def nap(seconds):
        naps[threading.current_thread().name].append(seconds)

    monkeypatch.setattr(stress_loop.time, "sleep", nap)
    try:
        def role():
            for _ in range(50):
                with Mutex("own"):
                    pass
        stress(lambda: {"A": role, "B": role}, runs=1, seed=seed)
    finally:
        monkeypatch.undo()
    return naps


def test_the_same_seed_makes_the_same_noise_for_each_role_whoever_runs_first(monkeypatch):
    one, same, other = (noise_of(seed, monkeypatch) for seed in (1, 1, 2))
    assert (one == same, one == other, one["A"] == one["B"]) == (True, False, False)


def now_and_then(fail):
    """Return a scenario whose runs fail as *fail* says: run number -> what its role does."""
    runs = iter(range(1000))

    def world():
        return {"role": fail.get(next(runs), lambda: None)}

    return world


def raise_(error):
    raise error


def hang():
    Completion("never").wait()


def test_the_gravest_finding_is_reported_the_first_of_several():
    scenario = now_and_then({2: lambda: raise_(KeyError("first")), 4: hang, 5: hang,
                             7: lambda: raise_(KeyError("second"))})
    result = stress(scenario, runs=10, seed=1)
    assert (result.verdict, result.coverage) == (Verdict.HANG, {
        "runs": 10, "verdicts": {"clean": 6, "error": 2, "hang": 2}, "distinct_reports": 3,
        "seed": 1})


@pytest.mark.usefixtures("beside_the_worlds")
def test_the_token_is_of_the_run_that_is_reported(stressed):
    result = stressed["abba"]
    (reference, arguments), seed, schedule = decode(result.replay)
    requests = [event for event in result.trace if event["event"] == "lock_acquire"]
    assert (reference, arguments, seed.split("/")[0], len(schedule), len(requests),
            f"replay {result.replay}" in result.again) \
        == ("small_worlds:abba", {}, str(result.coverage["seed"]), 4, 4, True)


@pytest.mark.parametrize("wrong, text", [({"runs": 0}, "runs is 0"),
                                         ({"timeout": -1}, "timeout is -1"),
                                         ({"detect": "x"}, "detect is 'x'"),
                                         ({"seconds": 0}, "seconds is 0"),
                                         ({"seconds": float("nan")}, "seconds is nan")])
def test_wrong_arguments_are_refused_in_one_clear_line(wrong, text):
    with pytest.raises(ScenarioError, match=text):
        stress(small_worlds.abba, **{"runs": 1, **wrong})


def test_progress_is_a_line_on_standard_error(capsys):
    stress(small_worlds.in_order, runs=3, seed=1, progress=True)
    err = capsys.readouterr().err
    assert ("small_worlds:in_order: 1 of 3 runs" in err, err.endswith("\n")) == (True, True)


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="no signals to single threads here")
def test_ctrl_c_gives_the_summary_so_far(ctrl_c_interrupts):
    runs = iter(range(100))

    def world():
        number = next(runs)
        if number == 5:
            signal.raise_signal(signal.SIGINT)
        return small_worlds.abba()

    with pytest.raises(Interrupted) as caught:
        stress(world, runs=100, seed=1)
    result = caught.value.result
    assert (result.coverage["runs"], result.coverage["seed"]) == (5, 1)


def test_the_process_is_left_as_it_was():
    affinity = getattr(os, "sched_getaffinity", lambda pid: None)
    before = sys.getswitchinterval(), affinity(0)
    stress(small_worlds.abba, runs=20, seed=1)
    assert (sys.getswitchinterval(), affinity(0)) == before
