"""run: roles that start together and give way to each other, again and again.

That roles are let go together is not enough: on one processor each was done before the next began,
and ten thousand runs of a broken program found nothing. So a run is held to two things: nobody
begins before all stand at the start, and each gives way before it begins and before each request.
"""

import json
import math
import threading
import types

import pytest
import small_worlds

from harness import (At, Completion, Meet, Mutex, Scenario, ScenarioError, force, predict, run,
                     step, stress)
from harness.cli import main
from harness.locks.task import Task
from harness.methods import noise, run as run_module, stress as stress_module, tally
from harness.methods.noise import MANNERS, Manner, Noise
from harness.runtime import played_run
from harness.runtime.free_run import FreeRun
from pcimodel.__main__ import main as pcimodel


@pytest.fixture(autouse=True)
def a_patient_clock(monkeypatch):
    """How many runs there are is not to depend on how busy the machine is."""
    monkeypatch.setattr(run_module, "ENOUGH", math.inf)


# -- how many ---------------------------------------------------------------------------------


def now_and_then(*fail):
    """Return a scenario whose runs of these numbers fail."""
    runs = iter(range(10_000))

    def world():
        if next(runs) in fail:
            return small_worlds.raises()
        return small_worlds.in_order()

    return world


def test_a_call_that_says_nothing_makes_many_runs_and_says_how_many():
    result = run(small_worlds.in_order)
    assert (result.verdict.value, result.coverage) == ("clean", {"runs": run_module.RUNS})
    assert run_module.RUNS == 100


def test_a_call_that_says_nothing_ends_with_the_first_run_that_finds_something():
    result = run(now_and_then(2, 3))
    assert (result.verdict.value, result.coverage["runs"], result.coverage["verdicts"]) == (
        "error", 3, {"clean": 2, "error": 1})


def test_a_call_that_says_how_many_makes_as_many_whatever_they_find():
    assert run(now_and_then(2, 3), runs=6).coverage["verdicts"] == {"clean": 4, "error": 2}


def test_a_call_that_says_nothing_begins_no_further_run_when_some_seconds_have_passed(monkeypatch):
    monkeypatch.setattr(run_module, "ENOUGH", 0.0)
    assert run(small_worlds.in_order).coverage["runs"] == 1
    assert run(small_worlds.in_order, runs=7).coverage["runs"] == 7


@pytest.mark.parametrize("tool", [run, stress])
def test_seconds_are_filled_with_runs(tool, monkeypatch):
    """A clock that jumps: a look for the end, one before each run but the first, then it is up."""
    looks, real = iter([0] * 4 + [1000] * 9), tally.time
    clock = types.SimpleNamespace(monotonic=lambda: real.monotonic() + next(looks),
                                  perf_counter=real.perf_counter)
    monkeypatch.setattr(tally, "time", clock)
    found = 4 if tool is run else 3    # one run at least, whatever the time
    result = tool(now_and_then(0, 1), seconds=600)
    assert result.coverage["runs"] == found and result.coverage["verdicts"]["error"] == 2


@pytest.mark.parametrize("clean, verdict", [(0, "inconclusive"), (1, "clean"), (2, "clean")])
def test_a_run_that_the_time_cuts_counts_if_there_is_no_other(clean, verdict, monkeypatch):
    """After the clean ones comes one in which a role asks for what is held outside, and is cut."""
    lock, builds = Mutex("lock"), []

    def takes(wanted):
        with wanted:
            pass

    def world():
        builds.append(1)
        wanted = lock if len(builds) > clean else Mutex("another")
        return {"asker": lambda: takes(wanted), "other": lambda: takes(Mutex("its own"))}

    def is_late(self, now):
        return len(builds) > clean and not self.running

    monkeypatch.setattr(FreeRun, "is_late", is_late)
    monkeypatch.setattr(tally.Tally, "late", property(lambda self: len(builds) > clean))
    monkeypatch.setattr(played_run, "GRACE", 20)
    with lock:
        result = run(world, seconds=600, timeout=20)
    assert (result.verdict, result.coverage["runs"]) == (verdict, max(1, clean))


@pytest.mark.parametrize("tool", [run, stress])
def test_a_run_that_the_time_cuts_decides_nothing_whoever_is_left_of_it(tool, monkeypatch):
    """Two runs are clean, in the third a role waits at a lock that is none of ours."""
    gone, threads, builds = threading.Lock(), [], []

    def stays():
        threads.append(threading.current_thread())
        with gone:
            pass

    def world():
        builds.append(1)
        return {"role": stays if len(builds) == 3 else lambda: None,
                "other": small_worlds.in_order()["first"]}

    monkeypatch.setattr(FreeRun, "is_late", lambda self, now: len(threads) > 0)
    monkeypatch.setattr(played_run, "GRACE", 0.01)
    with gone:
        result = tool(world, seconds=600, timeout=20)
    threads[0].join()
    assert (result.verdict, result.coverage["runs"]) == ("clean", 2)
    assert "Outside our locks, and left running: role at test_run.py:" in str(result)


@pytest.mark.parametrize("tool, complete, verdict", [
    (force, 0, "inconclusive"), (force, 2, "clean"), (predict, 0, "inconclusive"),
    (predict, 1, "clean")])
def test_what_the_time_cuts_of_other_calls_decides_nothing_either(tool, complete, verdict,
                                                                  monkeypatch):
    """After so many complete runs comes one in which a role cannot go on before the time is up."""
    lock, builds = Mutex("lock"), []

    def takes(wanted):
        with wanted:
            pass

    def world():
        builds.append(1)
        wanted = lock if len(builds) > complete else Mutex("lock")
        roles = {"asker": lambda: takes(wanted), "other": lambda: takes(Mutex("its own"))}
        return Scenario(roles, meet=Meet(At("asker", "lock"), At("other", "its own"))) \
            if tool is force else roles

    monkeypatch.setattr(FreeRun, "is_late", lambda self, now: len(builds) > complete
                        and not self.running and not self._starting)
    monkeypatch.setattr(tally.Tally, "late", property(lambda self: len(builds) > complete))
    monkeypatch.setattr(played_run, "GRACE", 20)
    with lock:
        result = tool(world, runs=3, seconds=600, timeout=20)
    assert (result.verdict, result.coverage["runs"]) == (verdict, max(1, complete)), str(result)
    if not complete:
        assert "the time given was up while roles still ran" in str(result)


@pytest.mark.parametrize("tool", [run, stress])
def test_runs_that_come_to_no_answer_by_themselves_are_counted(tool):
    """Else as many as were asked for would never be there: a role asks in vain, and is ended."""
    lock = Mutex("lock")

    def asks():
        while not lock.acquire(False):
            pass

    with lock:
        result = tool(lambda: {"asks": asks}, runs=2, timeout=0.05)
    assert (result.verdict, result.coverage["runs"]) == ("inconclusive", 2)


@pytest.mark.parametrize("tool", [run, stress])
def test_a_run_in_which_all_wait_for_ever_is_a_hang_though_the_time_cuts_it(tool, monkeypatch):
    """With `detect="timeout"` it is not known at once; more time would show nothing else."""
    builds = []

    def world():
        builds.append(1)
        done = Completion("done")
        return {"waits": done.wait if len(builds) == 3 else lambda: None,
                "other": small_worlds.in_order()["first"]}

    def is_late(self, now):
        return len(builds) == 3 and not self.running and not self._starting

    monkeypatch.setattr(FreeRun, "is_late", is_late)
    result = tool(world, runs=3, seconds=600, timeout=20, detect="timeout")
    assert (result.verdict, result.coverage["verdicts"]) == ("hang", {"clean": 2, "hang": 1})
    assert result.finding.text == "1 role waits for ever and no cycle explains it"


def test_of_runs_and_seconds_the_first_reached_ends_it():
    assert run(small_worlds.in_order, runs=3, seconds=60).coverage["runs"] == 3


@pytest.mark.parametrize("wrong", [{"runs": 0}, {"seconds": 0}, {"runs": -1, "seconds": 5}])
def test_a_number_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ScenarioError):
        run(small_worlds.in_order, **wrong)


@pytest.mark.parametrize("words, expected", [
    ([], 3), (["--runs", "2"], 2), (["--runs", "2", "--seconds", "60"], 2)])
@pytest.mark.parametrize("command, scenario", [
    (main, ["small_worlds:in_order"]),
    (pcimodel, ["probe-vs-aer", "--fix", "collect-then-lock"])])
def test_both_command_lines_make_as_many_as_the_function(command, scenario, words, expected,
                                                         monkeypatch, capsys):
    monkeypatch.setattr(run_module, "RUNS", 3)
    assert command(["run", *scenario, *words, "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["coverage"] == {"runs": expected}


# -- together ---------------------------------------------------------------------------------


@pytest.mark.parametrize("late", range(3))
def test_no_role_does_its_first_operation_before_all_stand_at_the_start(late, monkeypatch):
    """One role comes to the start when the others have paused there, or have gone past it."""
    went, before = [], {}

    def world():
        lock = Mutex("lock")

        def role():
            went.append(1)
            with lock:
                pass

        return {name: role for name in ("0", "1", "2")}

    def begin(self, task):
        others = [other for other in self.tasks if other is not task]
        while task.name == str(late) and not (went or all(other.paused for other in others)):
            pass
        before[task.name] = len(went)
        honest(self, task)

    honest = FreeRun.begin
    monkeypatch.setattr(FreeRun, "begin", begin)
    assert run(world, runs=1) and before == {"0": 0, "1": 0, "2": 0} and len(went) == 3


def naps_of(world, monkeypatch, manner=MANNERS[0], tool=run, **more):
    """Return how long each thread gave way, in its order; nobody sleeps really."""
    naps = {}
    monkeypatch.setattr(noise.time, "sleep", lambda seconds: naps.setdefault(
        threading.current_thread().name, []).append(seconds))
    monkeypatch.setattr(run_module, "MANNERS", [manner])
    tool(world, runs=1, **more)
    monkeypatch.undo()
    return naps


def twice():
    """Two roles that take two locks each, one after the other."""
    def role():
        for name in "ab":
            with Mutex(name):
                pass
    return {"one": role, "two": role}


def test_a_role_gives_way_before_it_begins_and_before_each_request(monkeypatch):
    assert {name: len(naps) for name, naps in naps_of(twice, monkeypatch).items()} == {
        "one": 3, "two": 3}


def test_a_thread_that_a_role_starts_gives_way_and_so_does_the_role_from_then_on(monkeypatch):
    def world():
        def main():
            with Mutex("before"):
                pass
            worker = threading.Thread(target=twice()["one"], name="worker")
            worker.start()
            worker.join()
        return {"main": main}

    assert {name: len(naps) for name, naps in naps_of(world, monkeypatch).items()} == {
        "worker": 3, "main": 1}    # before it waits for the end of the other


def test_a_role_gives_way_before_a_step_and_before_it_looks(monkeypatch):
    def world():
        lock, done = Mutex("lock"), Completion("done")

        def role():
            step("on something")
            lock.locked(), done.done()

        return {"one": role, "two": role}

    assert {name: len(naps) for name, naps in naps_of(world, monkeypatch).items()} == {
        "one": 4, "two": 4}


def test_roles_in_step_lose_an_update_that_a_step_lays_open(monkeypatch):
    def world():
        counter = [0]

        def add():
            value = counter[0]
            step("counter")
            counter[0] = value + 1

        return Scenario({"one": add, "two": add}, check=lambda: counter[0] == 2)

    in_step(2, monkeypatch)
    result = run(world)
    assert (result.verdict, result.coverage["runs"]) == ("violation", 1)
    assert "it returned False: lambda at test_run.py:" in result.finding.text


def test_a_role_alone_gives_way_to_nobody(monkeypatch):
    assert naps_of(lambda: {"one": twice()["one"]}, monkeypatch) == {}


@pytest.mark.parametrize("manner", [MANNERS[0], noise.STRESS])
def test_who_has_given_way_a_thousand_times_does_so_ever_more_seldom(manner, monkeypatch):
    """A nap takes the system a tenth of a millisecond: a role of 100,000 requests is no hang."""
    naps = []
    monkeypatch.setattr(noise.time, "sleep", naps.append)
    quiet, task = Noise("seed", manner), Task("role", None)
    asked = [len(naps) for _ in range(100_000) if quiet.give_way(task) is None]
    often = manner.nap + manner.offer
    assert 0.9 * often * noise.OFTEN < asked[noise.OFTEN] <= noise.OFTEN + 1
    assert asked[10 * noise.OFTEN] < asked[-1] < 10 * often * noise.OFTEN    # it never ends


def test_stress_varies_who_begins_too(monkeypatch):
    always = Manner(1.0, 0.0, 1e-6)
    monkeypatch.setattr(stress_module, "Noise", lambda seed: Noise(seed, always))
    naps = naps_of(twice, monkeypatch, tool=stress, seed=1)
    assert {name: len(naps) for name, naps in naps.items()} == {"one": 3, "two": 3}


def test_each_run_gives_way_in_another_manner_and_the_same_again_in_the_next_call(monkeypatch):
    made = []

    class Noted(Noise):
        def __init__(self, seed, manner):
            made.append((seed, manner))
            super().__init__(seed, manner)

    monkeypatch.setattr(run_module, "Noise", Noted)
    run(small_worlds.in_order, runs=9)
    first, made[:] = made[:], []
    run(small_worlds.in_order, runs=9)
    assert made == first and len({seed for seed, _ in made}) == 9
    assert [manner for _, manner in made] == [*MANNERS, *MANNERS, MANNERS[0]]
    assert all(manner.nap >= 0.5 for manner in MANNERS)


def in_step(parties, monkeypatch):
    """Let giving way mean that all *parties* have come to their next request, or can no more."""
    together = threading.Barrier(parties)

    def give_way(seconds):
        together.wait(120)

    monkeypatch.setattr(noise.time, "sleep", give_way)


def ring(number):
    """Return a scenario of philosophers, each of whom takes the left fork first."""
    def world():
        forks = [Mutex(f"fork {i}") for i in range(number)]

        def dine(i):
            with forks[i], forks[(i + 1) % number]:
                pass

        return {f"philosopher {i}": lambda i=i: dine(i) for i in range(number)}
    return world


@pytest.mark.parametrize("number", [2, 3, 5])
def test_roles_in_step_take_their_first_locks_before_any_asks_for_its_second(number, monkeypatch):
    in_step(number, monkeypatch)
    result = run(ring(number))
    assert (result.verdict.value, result.coverage["runs"], len(result.cycle)) == (
        "deadlock", 1, number)
