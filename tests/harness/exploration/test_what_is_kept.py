"""What explore keeps of its schedules: the finding shown, counts and tokens; who gives up."""

from types import SimpleNamespace

import pytest

from harness import Completion, Mutex, Scenario, Verdict, explore, replay
from harness.exploration.dependency import STEP
from harness.exploration.stable_ids import Names, Taken
from harness.exploration.strategies import PCT, DepthFirst, first_difference


def once(lock):
    def role():
        with lock:
            pass
    return role


def test_the_first_of_equally_grave_findings_is_shown():
    """Both orders fail; that of the roles as they are named comes first."""
    def world():
        seen, a = [], Mutex("a")

        def appends(name):
            def role():
                with a:
                    seen.append(name)
            return role

        def check():
            raise KeyError("".join(seen))

        return Scenario({name: appends(name) for name in "xy"}, check=check)

    assert "xy" in explore(world, strategy="dfs", all=True).finding.text


def test_a_shorter_schedule_fails_in_the_same_way():
    """The first that fails is 1212; 2112 has a switch less and fails, too, but otherwise."""
    def world():
        a, order = Mutex("a"), []

        def twice(name):
            def role():
                for _ in range(2):
                    with a:
                        order.append(name)
            return role

        def check():
            if order in ([1, 2, 1, 2], [2, 1, 1, 2]):
                raise KeyError("".join(map(str, order)))

        return Scenario({"one": twice(1), "two": twice(2)}, check=check)

    result = explore(world, strategy="dfs")
    assert "1212" in result.finding.text and result.coverage["replayed"] == "10 of 10"


def test_who_gave_up_once_may_have_the_next():
    def world():
        a, c, got = Mutex("a"), Mutex("c"), []

        def one():
            if a.acquire(timeout=1):
                a.release()
            got.append(c.acquire(timeout=1))
            if got[0]:
                c.release()

        def check():
            assert got == [True]

        return Scenario({"one": one, "two": once(a)}, check=check)

    assert explore(world, engine=False).verdict is Verdict.CLEAN


def test_switches_of_those_who_end_or_wait_are_free():
    """Three that take a, then b. No switch but at an end: 3! = 6 orders.

    With one more switch x is left where another can go on: between its locks, or with b in hand.
    Between them, to y: first x (3), y (2), then x or z (2), or after another (3 * 2): 18. With b,
    to y, which comes to b: then x, or z, which comes to b as well, and in both cases y or z (4
    orders of each of 3 * 2), or after another (3 * 2): 30.
    """
    def world():
        a, b = Mutex("a"), Mutex("b")

        def role():
            once(a)()
            once(b)()

        return dict.fromkeys("xyz", role)

    assert explore(world, strategy="bounded", preemptions=0).coverage["schedules"] == 6
    assert explore(world, strategy="bounded", preemptions=1).coverage["schedules"] == 6 + 18 + 30


def test_token_of_a_schedule_that_gives_up_is_followed():
    def world():
        a, b, c = Mutex("a"), Mutex("b"), Mutex("c")

        def one():
            with c:
                if not a.acquire(timeout=1):
                    raise KeyError("it gave up")
                a.release()

        def two():
            with a:
                once(b)()

        return {"one": one, "two": two}

    found = explore(world)
    again = replay(found.replay, world)
    assert (found.verdict, again.verdict, again.outcome.notes) == (Verdict.ERROR, Verdict.ERROR, [])


def violates(name):
    def world():
        a = Mutex(name)

        def role():
            once(a)()
            raise KeyError("spoon")

        return {"role": role}
    return world


def waits_last_for(last):
    def world():
        locks, never, c = {name: Mutex(name) for name in "ab"}, Completion("never"), Mutex("c")

        def one():
            with locks["a"], locks["b"]:
                never.wait()

        def two():
            with c:
                locks[last].acquire()

        return {"one": one, "two": two}
    return world


@pytest.mark.parametrize("world", [violates, waits_last_for], ids=["takes", "waits for"])
def test_token_says_that_the_locks_are_others(world):
    again = replay(explore(world("a")).replay, world("b"))
    assert any("the steps are others" in note for note in again.outcome.notes)
    again = replay(explore(world("a")).replay, world("a"))
    assert not any("the steps are others" in note for note in again.outcome.notes)


def test_who_falls_is_below_all_and_priorities_are_drawn_anew():
    """Depth 2: one falls; of a first schedule, whose length is not known, at its first step."""
    way, run = PCT(seed=1, depth=2), SimpleNamespace(steps=[], tasks=[1, 2, 3])
    way.begin()
    assert (way._priority, way._falls) == ({}, {0})
    first = way.choose(run, [0, 2, 4])
    lowest = min(way._priority, key=way._priority.get)
    assert lowest != first and way._priority[lowest] < 0
    way.begin()
    assert way._priority == {}


def test_two_failures_are_the_same_only_if_the_same_roles_wait():
    """One and another, or one and a third, wait for each other, for the same two locks."""
    def world():
        a, b = Mutex("a"), Mutex("b")

        def takes(first, second):
            def role():
                with first, second:
                    pass
            return role

        return {"one": takes(a, b), "two": takes(b, a), "three": takes(b, a)}

    assert explore(world, all=True).coverage["distinct_reports"] == 2


def test_who_falls_later_falls_below_who_fell_before():
    way, run, moves = PCT(seed=1, depth=3), SimpleNamespace(steps=[], tasks=[1, 2, 3]), [0, 2, 4]
    way.begin()
    way._falls, way._priority = {0, 1}, {0: 0.1, 2: 0.3, 4: 0.2}
    assert way.choose(run, moves) == 4    # the best has fallen
    run.steps.append(None)
    assert way.choose(run, moves) == 0    # and now the second
    assert sorted(moves, key=way._priority.get) == [4, 2, 0]


def test_schedules_tried_before_the_search_began_anew_are_not_counted():
    """The reduced search begins anew when it meets a limit that runs out twice."""
    def world():
        a = Mutex("a")

        def asks():
            while not a.acquire(timeout=1):
                pass
            a.release()

        return {"asks": asks, "keeps": once(a)}

    counts = {strategy: explore(world, strategy=strategy, engine=False, all=True).coverage
              for strategy in ("dpor", "dfs")}
    assert counts["dpor"]["schedules"] == counts["dfs"]["schedules"] == 4
    assert counts["dpor"]["complete"] and counts["dfs"]["complete"]


@pytest.mark.parametrize("before, now", [([0, 2], [0, 2, 4]), ([0, 2, 4], [0, 2]), ([0, 2], [0])])
def test_plain_search_stops_where_others_could_go_on_the_first_time(before, now):
    """Though who is to go on now may be among them."""
    way = DepthFirst()
    run = SimpleNamespace(steps=[], goes_round=False, names=SimpleNamespace(roles="abc"))
    assert way.choose(run, before) == 0
    run.steps.append(SimpleNamespace(label=0))
    assert way.advance(run) and not way.changed
    run.steps.clear()
    assert way.choose(run, now) == -1
    assert way.changed.startswith("at step 1 a or b") and not way.advance(run)


def test_first_difference_of_two_schedules_is_a_step_or_else_their_length():
    names = Names()
    role, other, lock = names.role("one"), names.role("two"), names.lock("step x")
    one, two = (Taken(2 * who, lock, STEP, STEP) for who in (role, other))
    said = f"step 2 was one's step {names.shown[lock]} and is now two's step {names.shown[lock]}"
    for before, after, difference in [
            ([one, two], [one, two], ""), ([one, one, two], [one, two, two], said),
            ([one], [one, two], "it had 1 steps and now has 2"),
            ([one, two], [], "it had 2 steps and now has 0")]:
        assert first_difference(names, before, after) == difference
