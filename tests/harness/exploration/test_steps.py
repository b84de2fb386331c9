"""Steps of one's own, named and not: which of them are tried in both orders."""

import random
import threading
from itertools import combinations

import pytest
from explored import explored

from harness import Mutex, Scenario, ScenarioError, explore, replay, step
from harness.exploration.dpor import Reduced
from harness.exploration.strategies import DepthFirst


def stepping(*roles):
    """Return a scenario whose roles take one step each of these names."""
    return lambda: {f"r{i}": lambda names=names: [step(name) for name in names]
                    for i, names in enumerate(roles)}


@pytest.mark.parametrize("roles, classes", [
    ([["x"], [""]], 2),
    ([[""], ["x"]], 2),
    ([[""], [""]], 2),
    ([["x"], ["x"]], 2),
    ([["x"], ["y"]], 1),
    ([["x"], [""], ["y"]], 4),        # the unnamed one before or after each of the others
    ([["x"], [""], [""]], 6),         # any two depend on each other: every order
    ([["x", "y"], [""]], 3),          # before, between, after
    ([["x", "y"], ["y", "x"]], 3),    # x y | y x: not both pairs can be the other way round; 4 - 1
    ([["x", ""], ["y"]], 2),          # x and y are free; the unnamed one and y are not
])
def test_an_unnamed_step_depends_on_every_step_and_named_ones_on_their_name(roles, classes):
    found = explored(stepping(*roles), Reduced())
    assert (len(found.orders), found.cut) == (classes, 0)


def flag_then_locks(first, second):
    """Two roles: one changes a list after a step, the other looks at it after another; only where
    it was changed do they take the two locks in opposite orders.
    """
    def world():
        a, b, box = Mutex("a"), Mutex("b"), []

        def one():
            step(*first)
            box.append(1)
            with a, b:
                pass

        def two():
            step(*second)
            if box:
                with b, a:
                    pass

        return {"two": two, "one": one}

    return world


@pytest.mark.parametrize("first, second", [((), ("box",)), (("box",), ()), ((), ()),
                                           (("box",), ("box",))])
def test_a_deadlock_behind_a_flag_is_found_whoever_names_the_step(first, second):
    world = flag_then_locks(first, second)
    assert explore(world, engine=False).verdict.value == "deadlock"
    assert explore(world, strategy="dfs").verdict.value == "deadlock"


def in_a_thread():
    """A thread that a role starts takes the unnamed step."""
    a, b, box = Mutex("a"), Mutex("b"), []

    def child():
        step()
        box.append(1)

    def parent():
        thread = threading.Thread(target=child)
        thread.start()
        with a, b:
            pass
        thread.join()

    def other():
        step("box")
        if box:
            with b, a:
                pass

    return {"other": other, "parent": parent}


def test_the_unnamed_step_of_a_thread_that_a_role_starts_depends_on_named_ones():
    assert explore(in_a_thread, engine=False).verdict.value == "deadlock"


def test_a_step_named_like_a_lock_is_independent_of_the_lock():
    def world():
        lock = Mutex("m")

        def locks():
            with lock:
                pass

        def looks():
            lock.locked()

        return {"steps": lambda: step("m"), "locks": locks, "looks": looks}

    # The look comes before, inside or after the section; the step makes no difference.
    assert len(explored(world, Reduced()).orders) == 3


@pytest.mark.parametrize("name", [3, None, ["x"], Mutex("m")])
def test_what_a_step_is_on_is_a_name(name):
    with pytest.raises(ScenarioError, match="^step: on is .*, expected the name of what is used"):
        step(name)


def random_world(seed):
    """Return the factory of a world of steps, and the names of its steps by role."""
    rng = random.Random(seed)
    lengths = rng.choice([(3, 3), (4, 2), (2, 2, 2), (3, 2, 1)])
    names = [[rng.choice(["x", "y", "", ""]) for _ in range(length)] for length in lengths]
    used = [[name or rng.choice("xy") for name in steps] for steps in names]
    branches = [rng.choice("xy") for _ in names]

    def world():
        trail = world.trail = {"x": [], "y": []}

        def role(me):
            for name, what in zip(names[me], used[me]):
                step(name)
                trail[what].append(me)
                if not name:     # then it may use both
                    trail[branches[me]].append(-me)

        return {f"r{me}": lambda me=me: role(me) for me in range(len(names))}

    return world, names


class WithEndings(Reduced):
    """Keeps what the trails were at the end of each schedule."""

    def advance(self, run):
        if not run.cut:
            self.endings.add(repr(self.world.trail))
        return super().advance(run)


class AllWithEndings(DepthFirst):
    """The same of the plain search."""

    def advance(self, run):
        self.endings.add(repr(self.world.trail))
        return super().advance(run)


def class_of(order, names):
    """Return the order of every two steps that depend on each other."""
    at, steps = dict.fromkeys(range(len(names)), 0), []
    for role in order:
        me = int(role[1:])
        steps.append((me, at[me], names[me][at[me]]))
        at[me] += 1
    return frozenset((one[:2], other[:2]) for one, other in combinations(steps, 2)
                     if one[0] == other[0] or not one[2] or not other[2] or one[2] == other[2])


@pytest.mark.parametrize("seeds", [range(0, 12), range(12, 24)], ids=str)
def test_one_schedule_of_each_class_of_random_steps_and_the_endings_of_the_plain_search(seeds):
    for seed in seeds:
        world, names = random_world(seed)
        found = []
        for strategy in (WithEndings(), AllWithEndings()):
            strategy.endings, strategy.world = set(), world
            found.append((explored(world, strategy), strategy.endings))
        (reduced, endings), (plain, all_endings) = found
        classes = {class_of(order, names) for order in plain.orders}
        assert {class_of(order, names) for order in reduced.orders} == classes, seed
        assert len(reduced.orders) == len(classes), seed
        assert endings == all_endings, seed


def lost_update():
    """Two roles count without a lock, and name no step."""
    count = [0]

    def add():
        step()
        value = count[0]
        step()
        count[0] = value + 1

    def check():
        assert count[0] == 2, f"the count is {count[0]}"

    return Scenario({"one": add, "two": add}, check=check)


# Made when an unnamed step was of the kind of a named one.
OLD_TOKEN = ("eNqLNtJRKkktLokvLkktKLbKyQcySwtSEktSlXSqa3WUTI0sLcxNzS0NlXSi"
             "lfLzgKJKJeX5SrE60QY6RkBoEBsLAPDAFGA")


def test_a_token_of_unnamed_steps_from_before_they_were_a_kind_of_their_own_replays():
    result = replay(OLD_TOKEN, lost_update)
    assert result.verdict.value == "violation" and result.outcome.notes == []
