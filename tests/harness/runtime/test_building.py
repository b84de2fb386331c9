"""The world is built under the same watch as the roles: what waits for ever there, or breaks a rule
of locks, is a finding with holder and place, and every call comes to its end.
"""

import re
import signal
import threading
import time
from contextlib import suppress
from types import SimpleNamespace

import hanging_worlds
import pytest

from harness import (Completion, Mutex, Observer, RWSemaphore, Scenario, ScenarioError, explore,
                     force, predict, replay, run, stress)
from harness.exploration.token import encode
from harness.methods.ctrl_c import Interrupted
from harness.runtime.solo_run import SoloRun
from harness.runtime.standstill import SLICES, Reading, Standstill
from harness.runtime.verdict import Verdict
from harness.runtime.watcher import LONGEST, Watcher

SHORT = 0.08    # seconds of silence that are judged


def again(scenario, **arguments):
    """Replay a token, of no steps, of *scenario*."""
    return replay(encode((f"hanging_worlds:{scenario.__name__}", {}), "0", []), scenario,
                  **arguments)


def cold(scenario, **arguments):
    return explore(scenario, fresh=True, **arguments)


def swept(scenario, **arguments):
    return explore(scenario, strategy="dfs", all=True, **arguments)


CALLS = run, force, predict, explore, swept, cold, stress, again


def line_of(scenario, text):
    """Return "file:line" of the line of *scenario* with *text* in it."""
    code = scenario.__code__
    with open(code.co_filename) as file:
        lines = file.read().splitlines()
    return next(f"hanging_worlds.py:{number}" for number, line in enumerate(lines, 1)
                if number > code.co_firstlineno and text in line)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("scenario, said", [
    (hanging_worlds.mutex_taken_twice, "with table"),
    (hanging_worlds.upgraded_reader, "with sem.down_write")], ids=lambda each: str(each)[10:25])
def test_who_builds_a_world_and_waits_for_itself_is_a_deadlock_at_once(call, scenario, said):
    result = call(scenario)
    assert result.verdict == "deadlock" and result.how == "observed"
    [state] = result.cycle
    assert state["role"] == "the world" and state["at"].endswith(line_of(scenario, said))
    assert state["holds"][0][0] == state["wants"]
    assert "No role ran" in str(result) and "the world waits for" in str(result)
    assert f"\n{scenario.__name__}()\n" in str(result)    # a diagram of its calls


@pytest.mark.parametrize("call", CALLS)
def test_a_lock_that_a_factory_forgets_to_release_is_a_violation_with_its_place(call):
    result = call(hanging_worlds.forgotten_up_read)
    assert result.verdict == "violation" and "HeldAtEnd" in result.finding.text
    assert "sem" in result.finding.text
    assert line_of(hanging_worlds.forgotten_up_read, "sem.down_read()") in result.finding.text


def test_each_lock_that_is_held_at_the_end_is_named_and_free_afterwards():
    locks = []

    def scenario():
        locks[:] = Mutex("first"), Mutex("second")
        for lock in locks:
            lock.acquire()
        return {"role": lambda: None}

    assert re.search("holding first .* and second ", run(scenario).finding.text)
    assert [lock.locked() for lock in locks] == [False, False]


def test_another_rule_that_is_broken_there_is_a_violation():
    result = run(hanging_worlds.released_twice)
    assert result.verdict == "violation" and "ReleaseWithoutHold" in result.finding.text


def raises_with_a_lock_held():
    Mutex("lock").acquire()
    raise KeyError("oops")


def test_what_raises_with_a_lock_held_is_told_as_what_it_raised_and_nothing_stays_held():
    lock = RWSemaphore("lock")

    def scenario():
        lock.down_write()
        raise KeyError("oops")

    with pytest.raises(ScenarioError, match="could not build its world: it raised KeyError"):
        run(scenario)
    assert lock.down_write_trylock()
    lock.up_write()


def test_a_wait_that_nobody_is_there_to_end_is_a_hang_at_once():
    result = run(hanging_worlds.never_completed)
    assert result.verdict == "hang" and result.how == "observed"
    assert "the world waits for firmware for ever" in result.finding.text


def test_a_lock_that_its_thread_took_before_the_call_is_waited_for_by_nobody_else():
    lock, sem = Mutex("lock"), RWSemaphore("sem")

    def taking(take):
        def scenario():
            take()
            return {"role": lambda: None}
        return scenario

    with lock, sem.down_read():
        for take in (lock.acquire, sem.down_write):
            result = run(taking(take))
            assert result.verdict == "hang" and result.how == "observed"


def test_a_thread_that_the_factory_started_may_end_its_wait():
    def scenario():
        done, free = Completion("done"), Mutex("free")
        thread = threading.Thread(target=done.complete)
        thread.start()
        done.wait()
        thread.join()
        return {"role": free.locked}

    assert run(scenario, runs=5).verdict == "clean"


def test_a_circle_through_a_thread_that_the_factory_started_is_a_deadlock():
    result = run(hanging_worlds.crosswise_with_a_thread, timeout=SHORT)
    assert result.verdict == "deadlock"
    assert [state["wants"] for state in result.cycle] == ["b", "a"]
    for thread in threading.enumerate():
        if thread.name == "other":
            thread.join()


OUTSIDE = {hanging_worlds.bare_lock: "lock.acquire()", hanging_worlds.empty_queue: ".get()",
           hanging_worlds.silent_peer: ".recv(1)", hanging_worlds.stubborn: "lock.acquire()"}


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="the main thread cannot be ended")
@pytest.mark.parametrize("scenario", OUTSIDE)
def test_what_waits_outside_our_locks_is_a_hang_with_its_stack(scenario):
    result = run(scenario, timeout=SHORT)
    assert result.verdict == "hang" and result.how == "timed out"
    assert f"{scenario.__name__}" in result.finding.detail
    assert "hanging_worlds.py" in result.finding.text


@pytest.mark.parametrize("call", CALLS)
def test_every_call_ends_with_what_there_is_to_say(call):
    assert call(hanging_worlds.empty_queue, timeout=SHORT).verdict == "hang"


@pytest.mark.parametrize("call", [run, force, predict, explore, stress])
def test_the_time_given_bounds_the_building_too(call):
    def scenario():
        while True:
            pass

    result = call(scenario, seconds=SHORT)
    assert result.verdict == "inconclusive" and "the time given was up" in str(result)


@pytest.mark.parametrize("call", [run, predict, explore, stress])
def test_what_was_found_before_a_world_could_not_be_built_is_kept(call):
    worlds = []

    def scenario():
        worlds.append(1)
        if len(worlds) == 3:
            threading.Event().wait()
        return hanging_worlds._two(Mutex("free"))

    result = call(scenario, timeout=SHORT)
    assert result.verdict == "hang" and "No role ran" in str(result)
    assert result.coverage.get("runs", result.coverage.get("schedules")) >= 1


def test_a_deadlock_of_the_roles_stays_the_answer_if_a_later_world_hangs():
    worlds = []

    def scenario():
        worlds.append(1)
        if len(worlds) > 2:
            threading.Event().wait()
        a, b = Mutex("a"), Mutex("b")

        def take(one, other):
            with one, other:
                pass

        return {"left": lambda: take(a, b), "right": lambda: take(b, a)}

    for call in (predict, explore):
        worlds.clear()
        assert call(scenario, timeout=SHORT).verdict in ("deadlock", "hang")


def test_a_check_that_waits_outside_our_locks_is_a_hang():
    result = run(hanging_worlds.checked_by_a_bare_wait, timeout=SHORT, runs=1)
    assert result.verdict == "hang" and "the check at the end" in result.finding.text


def test_a_check_that_swallows_what_ends_its_wait_is_a_hang_all_the_same():
    def check():
        with suppress(BaseException):
            threading.Event().wait()

    result = run(lambda: Scenario(hanging_worlds._two(Mutex("free")), check=check), timeout=SHORT,
                 runs=1)
    assert result.verdict == "hang" and "the check at the end" in result.finding.text


def test_observers_that_are_made_for_ever_are_a_hang():
    class Late(Observer):
        def attach(self, run):
            threading.Event().wait()

    for observers in (threading.Event().wait, lambda: [Late()]):
        result = run(lambda: hanging_worlds._two(Mutex("free")), timeout=SHORT, runs=1,
                     observers=observers)
        assert result.verdict == "hang" and "observer" in result.finding.text


def test_off_the_main_thread_it_is_left_behind_and_named(at_once):
    locked = threading.Lock()
    locked.acquire()
    threads = []

    def scenario():
        threads.append(threading.current_thread())
        locked.acquire()

    [future] = at_once(lambda: run(scenario, timeout=SHORT))
    result = future.result()
    assert result.verdict == "hang" and result.outcome.stuck
    locked.release()
    for thread in threads:
        thread.join()


def test_off_the_main_thread_the_rules_are_the_same(at_once):
    futures = at_once(*(lambda each=each: run(each) for each in (
        hanging_worlds.mutex_taken_twice, hanging_worlds.forgotten_unlocks, lambda: 1,
        raises_with_a_lock_held)))
    assert futures[0].result().verdict == "deadlock"
    assert futures[1].result().verdict == "violation"
    with pytest.raises(ScenarioError, match="returned no roles"):
        futures[2].result()
    with pytest.raises(ScenarioError, match="could not build its world: it raised KeyError"):
        futures[3].result()


def test_the_calling_thread_builds_the_world_and_checks_it_if_it_can_be_ended():
    seen = []

    def scenario():
        seen.append(threading.current_thread())
        return {"role": lambda: None}

    for call in (run, predict, explore, stress):
        call(scenario)
    assert {*seen} == {threading.main_thread()}


def test_handlers_of_signals_are_as_they_were():
    before = [signal.getsignal(number) for number in signal.valid_signals()]
    run(hanging_worlds.bare_lock, timeout=SHORT)
    assert [signal.getsignal(number) for number in signal.valid_signals()] == before


@pytest.mark.usefixtures("ctrl_c_interrupts")
@pytest.mark.parametrize("call", [run, predict, explore, stress])
def test_ctrl_c_says_where_the_world_stood(call):
    def scenario():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        threading.Event().wait()

    with pytest.raises(Interrupted) as caught:
        call(scenario)
    assert "test_building.py" in str(caught.value.result)


# -- how a silence is judged: by looks, not by the clock -------------------------------------------


class Looks(Standstill):
    """Sees a thread that does what it is told to do."""

    does = ""

    def look(self, now, moves, read):
        super().look(now, moves, lambda before: {"thread": Reading(0.0, 0.0, 0, self.does)})


@pytest.fixture
def watched(monkeypatch):
    """A clock, and what judges a run whenever that is moved on."""
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    watcher, clock.run = Watcher(1.0, None), SoloRun("the world")
    watcher._watched, clock.looks = clock.run, Looks(1.0, clock.now)

    def after(seconds, does=""):
        clock.now, clock.looks.does = clock.now + seconds, does
        return watcher._judge(clock.run, clock.looks)

    clock.after = after
    yield clock
    monkeypatch.undo()


def test_a_silence_is_judged_after_so_many_looks_however_late_they_come(watched):
    assert not any(watched.after(30) for _ in range(SLICES + 1))    # the process was stopped
    assert watched.after(30) and watched.run.findings[0].verdict is Verdict.HANG


def test_what_works_on_and_on_is_ended_without_being_called_a_hang(watched):
    assert not any(watched.after(0.25, "sleeps") for _ in range(4 * LONGEST))
    assert watched.after(10, "sleeps")
    assert watched.run.findings[0].verdict is Verdict.INCONCLUSIVE
