"""What a point of a meeting says, what force says of one that is missed, and what it counts."""

import threading

import pytest
from crossing import nested

from harness import At, Completion, Meet, Mutex, Observer, Scenario, Verdict, force, run


def takes(*locks):
    def role():
        for lock in locks:
            with lock:
                pass
    return role


def test_the_function_of_a_point_counts():
    """One asks for a twice; only late() is the point, which two waits for."""
    stories = []

    def world():
        a, b, story = Mutex("a"), Mutex("b"), []

        def early():
            with a:
                story.append("early")

        def late():
            with a:
                story.append("late")

        def two():
            with b:
                story.append("two")

        return Scenario({"one": lambda: (early(), late()), "two": two},
                        meet=Meet(At("two", b), At("one", a, function="late")),
                        check=lambda: stories.append(story))

    force(world)
    assert stories == [["early", "two", "late"]]


def test_a_method_is_the_function_of_a_point_by_its_name_alone():
    class Account:
        def __init__(self):
            self.lock = Mutex("lock")

        def deposit(self):
            with self.lock:
                pass

    def world():
        account, other = Account(), Mutex("other")
        return Scenario({"one": account.deposit, "two": takes(other)}, meet=Meet(
            At("one", account.lock, function="deposit"), At("two", other)))

    assert force(world, runs=1).verdict is Verdict.CLEAN


def test_of_orders_that_all_miss_the_first_says_why():
    def world():
        a, b = Mutex("a"), Mutex("b")
        return Scenario({"one": takes(a), "two": takes(b)},
                        meet=Meet(At("one", a, holding=b), At("two", b, holding=a)))

    result = force(world)
    assert result.verdict is Verdict.NOT_REACHED
    assert "in the first, one ended" in result.finding.text


def test_a_meeting_waits_for_one_whose_limit_runs_out():
    def world():
        a, b, never = Mutex("a"), Mutex("b"), Completion("never")

        def two():
            never.wait(timeout=0.01)
            with b:
                pass

        return Scenario({"one": takes(a), "two": two}, meet=Meet(At("one", a), At("two", b)))

    result = force(world)
    assert (result.verdict, result.coverage) == (Verdict.CLEAN, {"runs": 1})


def test_who_waited_before_and_has_it_now_is_no_row():
    seen = []

    class Waits(Observer):
        def __init__(self):
            self.for_c = threading.Event()

        def lock_contended(self, task, lock, mode):
            if lock.name == "c":
                self.for_c.set()

    def observers():
        seen.append(Waits())
        return seen[-1:]

    def world():
        a, b, c, zero_has = Mutex("a"), Mutex("b"), Mutex("c"), Completion("zero has c")
        one_has, two_has = Completion("one has a"), Completion("two has b")

        def zero():
            with c:
                zero_has.complete()
                seen[-1].for_c.wait()

        def one():
            zero_has.wait()
            takes(c)()
            with a:
                one_has.complete()
                two_has.wait()
                takes(b)()

        def two():
            with b:
                two_has.complete()
                one_has.wait()
                takes(a)()

        return {"zero": zero, "one": one, "two": two}

    result = run(world, runs=1, observers=observers)
    waited = [(event["role"], event["lock"]) for event in result.trace
              if event["event"] == "lock_contended" and event["lock"] == "c"]
    assert (result.verdict, waited) == (Verdict.DEADLOCK, [("one", "c")])
    assert "had to wait" not in str(result)


def test_runs_after_the_first_meet_at_once():
    """Three runs to find where the roles meet, and one for each run after that."""
    def world():
        a, b = Mutex("a"), Mutex("b")
        return {"one": nested(a, b), "two": nested(b, a)}

    assert force(world, runs=5).coverage["runs_to_get_there"] == 3 + 4


@pytest.mark.parametrize("worlds, reports", [(("ab", "cd"), 2), (("ab", "ab"), 1)])
def test_deadlocks_on_other_locks_are_other_reports(worlds, reports):
    names = iter(worlds * 2)

    def world():
        a, b = map(Mutex, next(names))
        return Scenario({"one": nested(a, b), "two": nested(b, a)},
                        meet=Meet(At("one", b, holding=a), At("two", a, holding=b)))

    assert force(world, runs=4).coverage["distinct_reports"] == reports


@pytest.mark.parametrize("name, met", [("a#1", True), ("a#2", True), ("a#3", False)])
def test_one_of_several_locks_of_a_name_is_meant_by_its_number(name, met):
    def world():
        locks = Mutex("a"), Mutex("a")
        return Scenario({"one": takes(locks[0]), "two": takes(locks[1])}, meet=Meet(
            At("one", "a#1"), At("two", name)) if name == "a#2" else Meet(
            At("one", name), At("two", "a#2")))

    assert force(world, runs=1).verdict == ("clean" if met else "not-reached")
