"""Reports, as text: each case against a file in tests/reports, written anew by REGEN=1 and
reviewed as text.
"""

import json
import threading

import pytest
import small_worlds
from golden import REPORTS, compare

from harness import At, Completion, Meet, Mutex, RWSemaphore, Scenario, force, replay, run
from harness.exploration.token import encode


@pytest.mark.parametrize("file", sorted(REPORTS.glob("*.txt")), ids=lambda file: file.stem)
def test_no_report_is_wider_than_100_columns(file):
    assert [line for line in file.read_text(encoding="utf-8").splitlines() if len(line) > 100] == []


@pytest.mark.parametrize("name", ["abba", "philosophers", "nested_read", "handoff"])
def test_the_deadlocks_of_the_claim(name):
    compare(name, force(getattr(small_worlds, name)))


def test_many_runs_say_how_many_of_what():
    compare("many_runs", force(small_worlds.abba, runs=25))


def test_a_clean_run_says_what_it_covers():
    compare("clean", run(small_worlds.in_order, runs=1))


def test_many_clean_runs_say_how_many():
    compare("clean_many", run(small_worlds.in_order, runs=1200))


def test_a_met_race_that_comes_to_nothing():
    lock = Mutex("lock")

    def role():
        with lock:
            pass

    def met():
        return Scenario({"A": role, "B": role}, meet=Meet(At("A", lock), At("B", lock)))

    met.scenario_name = "met"
    compare("met", force(met))


def test_a_hang():
    compare("hang", run(small_worlds.waits_for_nobody))


def test_an_error():
    compare("error", run(small_worlds.raises))


def test_a_lock_held_at_the_end():
    compare("held_at_end", run(small_worlds.forgets))


def test_a_race_that_cannot_be_set_up():
    compare("not_reached", force(small_worlds.in_order))


def titled():
    """Roles with a word on what they are."""
    scenario = small_worlds.abba()
    scenario.title = {"left": "modprobe", "right": "aer_isr"}
    return scenario


def test_roles_with_titles():
    compare("titles", force(titled))


def test_every_event_in_full():
    result = force(small_worlds.handoff)
    result.full = True
    compare("full", result)


def test_every_event_of_a_clean_run_in_full():
    result = run(lambda: {"only": small_worlds.in_order()["first"]}, runs=1)
    result.scenario, result.full = "in_order, one role", True
    compare("clean_full", result)


def crowd():
    """More philosophers than fit side by side."""
    forks = [Mutex(f"fork {i}", "fork") for i in range(8)]

    def philosopher(i):
        def dine():
            with forks[i]:
                with forks[(i + 1) % 8]:
                    pass
        return dine

    return {f"philosopher {i}": philosopher(i) for i in range(8)}


def test_more_roles_than_fit_go_below_each_other():
    compare("crowd", force(crowd))


def every_kind():
    """A cycle through a mutex, a read behind a queued writer, a completion and a thread that is
    joined.
    """
    sem, lock, done = RWSemaphore("&sem"), Mutex("0000:01:00.0", "&dev->mutex"), Completion("done")

    def holder():
        with sem.down_read():
            done.wait(by="finisher")

    def writer():
        with sem.down_write():
            pass

    def worker():
        with sem.down_read():
            pass

    def finisher():
        with lock:
            thread = threading.Thread(target=worker, name="worker")
            thread.start()
            thread.join()
        done.complete()

    return Scenario({"holder": holder, "writer": writer, "finisher": finisher},
                    meet=Meet(At("holder", done), At("writer", sem), At("worker", sem)))


def test_every_kind_of_wait_in_one_cycle():
    compare("every_kind", force(every_kind))


def self_deadlock():
    """One asks again for what it holds."""
    lock = Mutex("lock")

    def careless():
        with lock:
            with lock:
                pass

    return {"careless": careless}


def test_a_deadlock_of_one():
    compare("self_deadlock", run(self_deadlock))


def test_a_deadlock_that_was_waited_for_says_so_and_shows_stacks():
    result = force(small_worlds.abba, detect="timeout", timeout=0.2)
    text = str(result)
    assert text.startswith("DEADLOCK: 2 threads wait for each other (timed out: the threads hung, "
                           "nothing moved any more)\n")
    assert "Thread left (most recent call first):" in text and " in park" in text


@pytest.mark.usefixtures("beside_the_worlds")
def test_a_replay_that_was_left_says_where():
    token = encode(("small_worlds:in_order", {}), "1", ["second", "third", "second"])
    result = replay(token)
    result.again = ""
    compare("diverged", result)


def test_json_has_the_promised_fields_and_kinds():
    data = json.loads(json.dumps(force(small_worlds.handoff, runs=3).as_dict()))
    kinds = {key: type(value).__name__ for key, value in data.items()}
    assert kinds == {"scenario": "str", "verdict": "str", "how": "str", "coverage": "dict",
                     "cycle": "list", "members": "list", "findings": "list", "trace": "list",
                     "replay": "str", "seconds": "float"}
    assert [set(leg) for leg in data["cycle"]] == [{"role", "wants", "mode", "holds", "at"}] * 2
    assert {frozenset(event) for event in data["trace"]} == {
        frozenset({"role", "event", "lock", "mode", "verb", "function"})}


def test_json_tells_the_cycle_with_places():
    result = force(small_worlds.abba)
    line = small_worlds.abba.__code__.co_firstlineno
    assert result.as_dict()["cycle"] == [
        {"role": "left", "wants": "b", "mode": "exclusive", "holds": [["a", "exclusive"]],
         "at": f"small_worlds.py:{line + 6}"},
        {"role": "right", "wants": "a", "mode": "exclusive", "holds": [["b", "exclusive"]],
         "at": f"small_worlds.py:{line + 11}"}]


def test_a_trace_row_says_role_event_lock_mode_verb_and_function():
    row = force(small_worlds.handoff).trace[0]
    assert row == {"role": "reader1", "event": "lock_acquire", "lock": "sem", "mode": "shared",
                   "verb": "down_read", "function": "reader1"}


def test_the_trace_ends_with_the_finding():
    assert force(small_worlds.abba).trace[-1]["event"] == "lock_contended"


def test_of_an_error_before_any_event_there_is_nothing_to_draw():
    lock = Mutex("lock")

    def raises():
        raise KeyError("spoon")

    def locks():
        with lock:
            pass

    result = force(lambda: {"A": raises, "B": locks})     # one after the other, A first
    assert result.outcome.events and result.finding.events == 0
    plain = str(result)
    result.full = True
    assert str(result) == plain
