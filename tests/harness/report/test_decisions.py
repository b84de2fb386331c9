"""What decided on the way: refusals, steps and looks have rows where they matter, only there."""

import threading
from types import SimpleNamespace

import pytest
import refusing_worlds
from golden import compare, portable
from lock_programs import program

from harness import (At, Meet, Mutex, RWSemaphore, Scenario, explore, force, predict, replay, run)
from harness.exploration.token import schedule_of, token_of
from harness.locks.task import Task
from harness.meetings.refusal import Refusal
from harness.programs.threads import scenario_of
from harness.report.decisions import telling, whys
from harness.runtime.recorder import Event


def explored(world, **more):
    return explore(world, engine=False, **more)


@pytest.mark.parametrize("name", ["trylock", "timeout", "semaphore", "by_a_flag"])
def test_what_decided_the_way_of_a_role_is_in_the_picture(name):
    result = explored(getattr(refusing_worlds, name))
    result.again = ""
    compare(f"decided_{name}", result)


LOST_UPDATE = """
alice            bob
----------------------------------------------------------------------------------------------------
deposit()
  step(balance)  at refusing_worlds.py:106
                 deposit()
                   step(balance)  at refusing_worlds.py:106
                   step(balance)  at refusing_worlds.py:108
  step(balance)  at refusing_worlds.py:108
"""


def test_a_schedule_that_breaks_a_check_is_shown_unasked_with_the_places_of_its_steps():
    assert LOST_UPDATE in portable(str(explored(refusing_worlds.lost_update)))


def test_a_wait_that_ran_out_has_its_row_behind_the_one_that_says_it_waited():
    def world():
        lock = Mutex("lock")

        def waits():
            lock.acquire(timeout=0.001)

        def has():
            with lock:
                thread = threading.Thread(target=waits, name="waits")
                thread.start()
                thread.join()

        return {"has": has}

    result = run(world)
    result.full = True
    text = [line.strip() for line in str(result).splitlines() if "(lock)" in line]
    assert text == ["acquire(lock)", "acquire(lock)  <-- had to wait",
                    "acquire(lock)  <-- timed out, has holds it", "release(lock)"]


def test_a_free_run_has_the_rows_of_steps_and_looks():
    result = force(refusing_worlds.stepping)
    assert [(row["event"], row["verb"], row["lock"]) for row in result.trace] == [
        ("step", "step", "box"), ("look", "locked", "lock"), ("look", "done", "done")]
    result.full = True
    assert "\nstep(box)  at refusing_worlds.py:" in str(result)


def test_a_free_run_has_the_row_of_a_refusal_too():
    compare("decided_spins", force(refusing_worlds.spins))


def test_a_role_that_is_refused_again_and_again_has_one_row_for_it_in_full():
    result = force(refusing_worlds.spins)
    result.full = True
    assert str(result).count("refused, holder holds it, 3 times") == 1


def test_of_a_long_schedule_the_last_rows_are_shown_and_how_many_come_before():
    text = str(explored(refusing_worlds.many_steps))
    assert text.count("step(balance)") == 40
    assert "(after 22 earlier events, which --full shows)" in text    # 62 steps


@pytest.mark.usefixtures("beside_the_worlds")
def test_a_replay_draws_the_steps_as_the_exploration_did():
    found = explored(refusing_worlds.lost_update)
    again = replay(found.replay)

    def drawn(result):
        return str(result).partition("\n\n")[2].partition("\n\n")[0]

    assert drawn(found).count("step(balance)  at ") == 4
    assert drawn(again) == drawn(found)


def test_a_run_that_is_not_scheduled_draws_no_order_for_a_violation():
    def world():
        lock = Mutex("lock")

        def leaves():
            lock.acquire()

        return {"leaves": leaves}

    assert "acquire(lock)" not in str(run(world))


# -- the JSON -------------------------------------------------------------------------------------


def rows(result, *events):
    return [(row["role"], row["event"], row["lock"], row["mode"], row["verb"], row["function"])
            for row in result.trace if row["event"] in events]


def test_the_trace_has_refusals_steps_and_looks():
    semaphore = explored(refusing_worlds.semaphore)
    inside = "writer"
    assert rows(semaphore, "lock_refused", "lock_timed_out") == [
        ("writer", "lock_timed_out", "done", "wait", "wait", inside),
        ("writer", "lock_refused", "0000:01:00.0", "exclusive", "device_trylock", inside),
        ("writer", "lock_refused", "sem", "exclusive", "down_write_trylock", inside)]
    assert rows(explored(refusing_worlds.lost_update), "step")[0] == (
        "alice", "step", "balance", "", "step", "deposit")
    assert rows(explored(refusing_worlds.by_a_flag), "look") == [
        ("looks", "look", "a", "", "locked", "looks")]


def test_in_a_schedule_a_release_stands_where_its_turn_came():
    def world():
        lock, saw = Mutex("lock"), []

        def holds():
            with lock:
                pass

        def tries():
            if lock.acquire(False):
                lock.release()
            else:
                saw.append("busy")

        def check():
            assert not saw

        return Scenario({"holds": holds, "tries": tries}, check=check)

    events = [row["event"] for row in explored(world).trace if row["event"] != "lock_acquire"]
    assert events == ["lock_acquired", "lock_refused", "lock_release"]


def tries_a_semaphore(how):
    def world():
        sem = RWSemaphore("sem")

        def holds():
            with sem.down_write():
                thread = threading.Thread(target=tries, name="tries")
                thread.start()
                thread.join()

        def tries():
            how(sem)

        return {"holds": holds}
    return world


@pytest.mark.parametrize("call", [run, explored], ids=["run", "explore"])
@pytest.mark.parametrize("how, told", [
    (lambda sem: sem.down_read_trylock(), ["lock_refused"]),
    (lambda sem: sem.down_write_trylock(), ["lock_refused"]),
    (lambda sem: sem.down_read_timeout(0.001), ["lock_timed_out"]),
    (lambda sem: sem.down_write_timeout(0.001), ["lock_timed_out"])])
def test_a_semaphore_tells_what_it_refuses(call, how, told):
    def world():
        made = tries_a_semaphore(how)()
        return Scenario(made, check=lambda: False)    # then explore has a schedule to show

    assert [row["event"] for row in call(world).trace
            if row["role"] == "tries" and row["event"] in ("lock_refused", "lock_timed_out",
                                                           "lock_acquired")] == told


@pytest.mark.parametrize("how", [lambda sem: sem.down_read_trylock(),
                                 lambda sem: sem.down_write_timeout(1)])
def test_what_an_observer_refuses_is_told_too(how):
    def world():
        sem = RWSemaphore("sem")
        return {"role": lambda: how(sem)}

    result = run(world, runs=1, observers=lambda: [Refusal({"sem"})])
    assert [row["event"] for row in result.trace][:1] == ["lock_acquire"]
    assert result.trace[1]["event"] in ("lock_refused", "lock_timed_out")


def test_a_step_of_ours_has_no_row():
    def world():
        sem = RWSemaphore("sem")

        def reader():
            with sem.down_read():
                with sem.down_read():
                    pass

        return Scenario({"reader": reader},
                        meet=Meet(At("reader", sem, holding=sem), writers=["sem"]))

    result = force(world)
    result.full = True
    assert result.verdict.value == "deadlock"
    assert "writer of sem" in str(result) and "(writer of sem)" not in str(result)


def test_a_lock_that_is_not_had_though_it_was_granted_is_told_in_words():
    def world():
        lock = Mutex("lock")
        lock._lock.acquire()     # behind the back of the account
        return {"role": lambda: (lock.acquire(False), lock.acquire(False))}

    assert "role was to do 'lock' and the real lock did otherwise" in explored(world).finding.text


def test_a_wait_that_ran_out_is_followed_by_no_acquired():
    events = [row["event"] for row in explored(refusing_worlds.timeout).trace
              if row["role"] == "CPU1" and row["lock"] == "a"]
    assert events == ["lock_acquire", "lock_timed_out", "lock_acquire", "lock_contended"]


def test_what_is_refused_is_no_edge_of_the_lock_order():
    def world():
        a, b = Mutex("a"), Mutex("b")

        def tries():
            got = a.acquire(False)
            if got:
                a.release()
            else:
                with b:       # a is not held here
                    pass

        def both():
            with b:
                with a:
                    pass

        return {"both": both, "tries": tries}

    result = predict(world)
    assert result.verdict.value == "clean" and result.coverage["cycles"] == 0


# -- who held it -----------------------------------------------------------------------------------

ALICE, BOB, CAROL = (Task(name) for name in ("alice", "bob", "carol"))
LOCK, SEM = Mutex("lock"), RWSemaphore("sem")


def told(*events):
    """Return what is said of the last of *events*, each (task, event, lock, mode)."""
    events = [Event(task, event, lock, mode, ()) for task, event, lock, mode in events]
    return whys(events)[len(events) - 1]


@pytest.mark.parametrize("said, events", [
    ("refused, alice holds it",
     [(ALICE, "lock_acquired", LOCK, "exclusive"), (BOB, "lock_refused", LOCK, "exclusive")]),
    ("refused, it itself holds it",
     [(BOB, "lock_acquired", LOCK, "exclusive"), (BOB, "lock_refused", LOCK, "exclusive")]),
    ("timed out, alice holds it",
     [(ALICE, "lock_acquired", LOCK, "exclusive"), (BOB, "lock_contended", LOCK, "exclusive"),
      (BOB, "lock_timed_out", LOCK, "exclusive")]),
    ("refused, alice holds it for read, carol holds it for read",
     [(ALICE, "lock_acquired", SEM, "shared"), (CAROL, "lock_acquired", SEM, "shared"),
      (BOB, "lock_refused", SEM, "exclusive")]),
    ("refused, carol is queued for it before",      # readers do not keep a reader out
     [(ALICE, "lock_acquired", SEM, "shared"), (CAROL, "lock_contended", SEM, "exclusive"),
      (BOB, "lock_refused", SEM, "shared")]),
    ("refused, carol holds it",                     # no longer queued
     [(CAROL, "lock_contended", SEM, "exclusive"), (CAROL, "lock_acquired", SEM, "exclusive"),
      (BOB, "lock_refused", SEM, "shared")]),
    ("refused, carol held it",                      # neither queued nor holding any more
     [(CAROL, "lock_contended", SEM, "exclusive"), (CAROL, "lock_acquired", SEM, "exclusive"),
      (CAROL, "lock_release", SEM, "exclusive"), (BOB, "lock_refused", SEM, "shared")]),
    ("refused, alice held it",                      # a release is told before the lock is free
     [(ALICE, "lock_acquired", LOCK, "exclusive"), (ALICE, "lock_release", LOCK, "exclusive"),
      (BOB, "lock_refused", LOCK, "exclusive")]),
    ("refused", [(BOB, "lock_refused", LOCK, "exclusive")]),     # by somebody outside the run
    ("timed out", [(BOB, "lock_timed_out", LOCK, "wait")]),
])
def test_the_events_before_a_refusal_say_who_held_the_lock(said, events):
    assert told(*events) == said


def test_shown_are_the_last_refusal_of_a_role_and_its_last_for_each_lock_of_the_knot():
    a, b, other, last = (Mutex(name) for name in ("a", "b", "other", "last"))
    events = [Event(task, "lock_refused", lock, "exclusive", ()) for task, lock in (
        (ALICE, a), (ALICE, a), (ALICE, other), (ALICE, b), (ALICE, last), (BOB, other),
        (CAROL, a))]
    shown = {"alice": SimpleNamespace(wants="a", holds=()),
             "bob": SimpleNamespace(wants="", holds=[SimpleNamespace(lock="b")])}
    assert telling(enumerate(events), shown) == {1, 3, 4, 5}


# -- tokens of stress ------------------------------------------------------------------------------


def events_of(*events):
    return [Event(task, event, lock, "exclusive", ()) for task, event, lock in events]


def test_in_a_token_a_refused_trylock_stands_where_it_was_refused():
    other = Mutex("other")
    assert schedule_of(events_of(
        (ALICE, "lock_acquire", LOCK), (ALICE, "lock_acquired", LOCK),
        (BOB, "lock_acquire", LOCK), (BOB, "lock_refused", LOCK),
        (ALICE, "lock_release", LOCK),      # a trylock that stood after this would be granted
        (BOB, "lock_acquire", other), (BOB, "lock_acquired", other))) == [
            "alice", "bob", "alice", "bob"]


def test_in_a_token_a_refusal_stands_behind_the_request_that_it_lost_to():
    assert schedule_of(events_of(
        (ALICE, "lock_acquire", LOCK), (BOB, "lock_acquire", LOCK),
        (BOB, "lock_refused", LOCK),        # alice has it, and has not said so yet
        (ALICE, "lock_acquired", LOCK), (ALICE, "lock_release", LOCK))) == [
            "alice", "bob", "alice"]


def test_in_a_token_a_wait_that_ran_out_is_one_operation():
    assert schedule_of(events_of(
        (ALICE, "lock_acquire", LOCK), (ALICE, "lock_acquired", LOCK),
        (BOB, "lock_acquire", LOCK), (BOB, "lock_contended", LOCK), (BOB, "lock_timed_out", LOCK),
        (ALICE, "lock_release", LOCK))) == ["alice", "bob", "alice"]


@pytest.mark.usefixtures("beside_the_worlds")
@pytest.mark.parametrize("name", ["trylock", "timeout", "semaphore"])
def test_a_recorded_run_with_refusals_replays_to_the_same_deadlock(name):
    world = getattr(refusing_worlds, name)
    found = explored(world)
    token = token_of(world, "", found.outcome.events[:found.finding.events])
    again = replay(token)
    assert again.verdict.value == "deadlock" and again.outcome.notes == []
    assert {member["role"] for member in again.cycle} == {member["role"] for member in found.cycle}


# -- releases and verbs ----------------------------------------------------------------------------


def functions_of_releases(world):
    return [row["function"].rpartition(".")[2] for row in run(world).trace
            if row["event"] == "lock_release"]


def test_a_release_stands_under_the_function_that_releases():
    def world():
        lock = Mutex("lock")

        def takes():
            lock.acquire()

        def gives():
            lock.release()

        def within():
            with lock:
                pass

        def role():
            takes()
            gives()
            within()

        return {"role": role}

    assert functions_of_releases(world) == ["gives", "within"]


def test_the_exit_of_ones_own_context_manager_is_where_it_releases():
    def world():
        lock = Mutex("lock")

        class Holding:
            def __enter__(self):
                lock.acquire()

            def __exit__(self, *exc):
                lock.release()

        def role():
            with Holding():
                pass

        return {"role": role}

    assert functions_of_releases(world) == ["__exit__"]


def test_the_wrapper_of_a_cancelled_thread_is_no_verb():
    result = run(scenario_of(program("""
        a: lock m; unlock m
        b: join a; sync a""")))
    assert {row["verb"] for row in result.trace if row["lock"] == "m"} == {"lock", "unlock"}
