"""What prediction did not judge is not called impossible; what it judged holds for what it saw."""

import pytest
from crossing import nested

from harness import Completion, Mutex, Verdict, predict, stress
from harness.lockorder import cycles, held_stacks
from harness.methods import exhaust, judging


def guarded_pairs():
    """Two cycles by instance of one cycle of classes, both behind a gate."""
    gate = Mutex("gate")
    a, b = ([Mutex(f"{name}{i}", lock_class=name) for i in (1, 2)] for name in "ab")

    def in_order(first, second):
        return lambda: [nested(gate, first[i], second[i])() for i in (0, 1)]

    return {"one": in_order(a, b), "two": in_order(b, a)}


def guarded_and_more():
    """The gate of a and b, and further operations of one."""
    gate, a, b = Mutex("gate"), Mutex("a"), Mutex("b")
    more = [Mutex(f"m{i}") for i in range(40)]

    def one():
        nested(gate, a, b)()
        for lock in more:
            nested(lock)()

    return {"one": one, "two": nested(gate, b, a)}


@pytest.mark.parametrize("module, limit, most, world", [
    (judging, "MOST_TRIED", 1, guarded_pairs),
    (held_stacks, "MOST_OPERATIONS", 20, guarded_and_more)])
def test_what_was_not_judged_is_not_called_guarded(module, limit, most, world, monkeypatch):
    monkeypatch.setattr(exhaust, "MOST_EVENTS", 1)    # else all schedules prove it in the end
    assert [each.status for each in predict(world).predictions] == ["guarded"]
    monkeypatch.setattr(module, limit, most)
    assert [each.status for each in predict(world).predictions] == ["unconfirmed"]


def test_cycles_that_are_left_out_are_told(monkeypatch):
    monkeypatch.setattr(cycles, "MOST_CYCLES", 1)

    def world():
        gate = Mutex("gate")
        a, b, c, d = (Mutex(name) for name in "abcd")
        return {"one": lambda: (nested(gate, a, b)(), nested(gate, c, d)()),
                "two": lambda: (nested(gate, b, a)(), nested(gate, d, c)())}

    result = predict(world)
    assert (result.verdict, result.coverage.get("cycles_left_out")) == (
        Verdict.INCONCLUSIVE, "some")


def test_a_completion_that_was_done_before_the_start_guards_nothing(monkeypatch):
    monkeypatch.setattr(exhaust, "MOST_EVENTS", 1)    # else schedules show it in the end

    def world():
        a, b, done = Mutex("a"), Mutex("b"), Completion("done")
        done.complete()

        def one():
            done.wait()
            nested(a, b)()

        def two():
            nested(b, a)()
            done.complete()

        return {"one": one, "two": two}

    assert [each.status for each in predict(world).predictions] == ["forced"]


@pytest.mark.parametrize("runs", [{"runs": 1}, {"runs": 3}, {}], ids=["one", "three", "default"])
def test_a_known_deadlock_that_happens_in_a_clean_run_is_known(runs):
    def world():
        a, b, ones, twos = Mutex("a"), Mutex("b"), Completion("one has"), Completion("two has")

        def one():
            with a:
                ones.complete()
                twos.wait()
                nested(b)()

        def two():
            with b:
                twos.complete()
                ones.wait()
                nested(a)()

        return {"one": one, "two": two}

    first = predict(world)
    assert first.verdict is Verdict.DEADLOCK
    known = {each.key: "a ticket" for each in first.predictions}
    again = predict(world, baseline=known, **runs)
    assert (again.verdict, {each.status for each in again.predictions}) == (
        Verdict.CLEAN, {"known"})


def test_seed_of_nothing_is_a_seed():
    assert stress(lambda: {"role": lambda: None}, runs=1, seed=0).coverage["seed"] == 0
