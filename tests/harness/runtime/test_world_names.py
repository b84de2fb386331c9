"""What the locks of a world are called that were given no name: as a reader finds them."""

import functools
import threading
import weakref
from collections import defaultdict, namedtuple
from dataclasses import dataclass, field
from enum import Enum

import pytest

from harness import Completion, Mutex, RWSemaphore, Scenario, run
from harness.locks.task import this_thread
from harness.runtime.building import build
from harness.runtime.world_names import NamesOfWorld

GLOBAL, MANY = Mutex(), {"x": Mutex(), "y": Mutex()}
Pair = namedtuple("Pair", "left right")


class Colour(Enum):
    RED = 1


@dataclass
class Node:
    lock: Mutex = field(default_factory=Mutex)
    table: RWSemaphore = field(default_factory=RWSemaphore)


class Account:
    def __init__(self):
        self._lock = Mutex()


class Slotted:
    __slots__ = ("lock", "unset")

    def __init__(self):
        self.lock = Mutex()


def named(factory):
    """Return what *factory*'s roles return, each role a lock, by role; named when all are there."""
    world = build(factory, "world")
    locks = {role: body() for role, body in world.roles.items()}
    return [lock.name for lock in locks.values()]


def test_variables():
    def world():
        a, b = Mutex(), Mutex()
        c, d = (Mutex() for _ in range(2))
        done = Completion()
        return {"1": lambda: a, "2": lambda: b, "3": lambda: c, "4": lambda: d, "5": lambda: done}

    assert named(world) == ["a", "b", "c", "d", "done"]


def test_elements_and_keys():
    def world():
        locks = [Mutex() for _ in range(3)]
        by_key = {key: Mutex() for key in ("x", 7, (1, "y"), Colour.RED)}
        pair = Pair(Mutex(), Mutex())
        late = defaultdict(Mutex)
        return {"1": lambda: locks[0], "2": lambda: locks[2], "3": lambda: by_key["x"],
                "4": lambda: by_key[7], "5": lambda: by_key[1, "y"],
                "6": lambda: by_key[Colour.RED], "7": lambda: pair.left, "8": lambda: pair[1],
                "9": lambda: late["k"]}

    assert named(world) == ["locks[0]", "locks[2]", "by_key['x']", "by_key[7]", "by_key[1, 'y']",
                            "by_key[Colour.RED]", "pair.left", "pair.right", "late['k']"]


def test_a_variable_that_held_several_is_no_name_of_what_hangs_elsewhere():
    def world():
        locks = []
        for _ in range(2):
            lock = Mutex()
            locks.append(lock)
        return {"1": lambda: locks[0], "2": lambda: locks[1]}

    assert named(world) == ["locks[0]", "locks[1]"]


def test_attributes_by_their_owners():
    def world():
        accounts, nodes = [Account(), Account()], {"root": Node()}
        alice, slotted = Account(), Slotted()
        return {"1": lambda: accounts[1]._lock, "2": lambda: nodes["root"].lock,
                "3": lambda: nodes["root"].table, "4": lambda: alice._lock,
                "5": lambda: slotted.lock}

    assert named(world) == ["accounts[1]._lock", "nodes['root'].lock", "nodes['root'].table",
                            "alice._lock", "slotted.lock"]


def test_an_owner_without_one_name_is_called_by_its_class():
    # What is `source` to one role is `target` to the next: no name.
    def world():
        def transfer(source, target):
            return lambda: (source, target)[0]._lock

        one, two = Account(), Account()
        return {"1": transfer(one, two), "2": transfer(two, one)}

    assert named(world) == ["Account._lock", "Account._lock#2"]


def test_arguments_of_roles_are_no_names_of_what_has_one():
    def world():
        forks = [Mutex() for _ in range(2)]
        a, b = Mutex(), Mutex()
        return {"1": lambda left=forks[0], right=forks[1]: left,
                "2": functools.partial(lambda left, right: left, a, b)}

    assert named(world) == ["forks[*]", "a"]


def test_what_helpers_and_lambdas_made_is_called_by_where_it_hangs():
    def world():
        def make():
            return Mutex()

        def hidden():
            lock = Mutex()
            return lambda: lock

        make_one = lambda: Mutex()    # noqa: E731
        first, second, third = make(), make_one(), [make()]
        return {"1": lambda: first, "2": lambda: second, "3": lambda: third[0], "4": hidden()}

    assert named(world) == ["first", "second", "third[0]", "lock"]


def test_methods_of_objects_see_their_own():
    class Bank:
        rules = Mutex()

        def __init__(self):
            self.lock = Mutex()

        def own(self):
            return self.lock

        def shared(self):
            return Bank.rules

        def __call__(self):
            return self.lock

    def world():
        bank = Bank()
        return {"1": bank.own, "2": bank.shared, "3": Bank()}

    assert named(world) == ["Bank.lock", "Bank.rules", "Bank.lock#2"]


def test_modules_and_what_lives_longer_than_a_world():
    def world():
        return {"1": lambda: GLOBAL, "2": lambda: MANY["x"]}

    assert named(world) == named(world) == ["test_world_names.GLOBAL", "test_world_names.MANY['x']"]


def test_threads_and_weak_references_hold_locks_too():
    def world():
        weak = weakref.WeakValueDictionary()
        weak["x"] = strong = Account()
        made = [Mutex()]
        thread = threading.Thread(target=lambda: made)
        made.append([Mutex()].pop())
        return {"1": lambda kept=strong: weak["x"]._lock, "2": lambda: thread._target()[1]}

    assert named(world) == ["weak['x']._lock", "made[1]"]


def test_two_of_one_name_are_told_apart_by_number():
    def world():
        def make(name):
            lock = Mutex()
            return lambda: name and lock

        return {"1": make("a"), "2": make("b")}

    assert named(world) == ["make.lock", "make.lock#2"]


def test_a_number_that_depends_on_who_asked_first_says_nothing_of_another_run():
    def world():
        def make(which):
            lock = Mutex() if which else Mutex()
            return [lock]

        hidden = functools.cache(make)
        locks = hidden(True) + hidden(False)
        return {"1": functools.partial(lambda lock: lock, locks[0]),
                "2": functools.partial(lambda lock: lock, locks[1])}

    scenario = build(world, "world")
    one, two = (body() for body in scenario.roles.values())
    assert (two.name, one.name) == ("make.lock", "make.lock#2")
    assert (two.lasts, one.lasts) == (True, False)


def test_what_builds_a_world_counts_by_itself():
    before = this_thread.maker
    build(lambda: {"1": Mutex}, "world")
    assert this_thread.maker is before


def test_no_code_of_the_user_runs_while_a_name_is_looked_for():
    class Angry:
        def __init__(self):
            object.__setattr__(self, "lock", Mutex())

        def __getattribute__(self, name):
            raise SystemExit(name)

        __eq__ = __hash__ = __iter__ = __len__ = __bool__ = __repr__ = __call__ = __getattribute__

    class AngryDict(dict):
        items = values = keys = __iter__ = __getitem__ = __len__ = Angry.__getattribute__

    def world():
        angry, mapping = Angry(), AngryDict(x=Mutex())
        return {"1": lambda: object.__getattribute__(angry, "lock"),
                "2": lambda: dict.__getitem__(mapping, "x")}

    assert named(world) == ["angry.lock", "mapping['x']"]


def test_a_world_without_end_is_looked_at_up_to_a_bound(monkeypatch):
    monkeypatch.setattr("harness.runtime.world_names.MOST_OBJECTS", 50)

    def world():
        chain = last = [None]
        for _ in range(1000):
            last[0] = last = [None]
        last.append(Mutex())
        return {"1": lambda: (chain, None)[1], "2": functools.partial(lambda lock: lock, last[1])}

    scenario = build(world, "world")
    assert scenario.roles["2"]().name.startswith("mutex@test_world_names.py:")


def test_a_world_is_freed_although_its_locks_know_what_they_are_called():
    def world():
        a = Mutex()
        return Scenario({"1": lambda: a})

    scenario = build(world, "world")
    lock = scenario.roles["1"]()
    seen = weakref.ref(scenario)
    del scenario
    assert seen() is None and lock.name == "a"


PROGRAM = """
from harness import Mutex, predict, explore
def make():
    return Mutex()
def world():
    locks = {{key: make() for key in {keys}}}
    a, b = make(), Mutex()
    def one():
        with a, locks["x"], b: pass
    def two():
        with b, locks["x"], a: pass
    return {{"one": one, "two": two}}
print(predict(world), explore(world))
"""


def test_another_process_prints_the_same_and_code_without_source_has_names(in_another_process):
    texts = [in_another_process("-c", PROGRAM.format(keys=keys)).stdout
             for keys in ("'xyz'", "'xyz'")]
    assert texts[0] == texts[1] and "lock(locks['x']);" in texts[0]
    assert "Cycle: a -> locks[*] -> a" in texts[0] and "mutex@" not in texts[0]


@pytest.mark.parametrize("kind", [Mutex, RWSemaphore, Completion])
def test_every_kind_has_a_name_in_a_run(kind):
    names = []

    def world():
        made = {}

        def role():
            made["x"] = kind()
            names.append(made["x"].name)
            own = kind()
            names.append(own.name)

        return {"role": role}

    run(world, runs=2)
    # Once more under trace, since no run saw anything done with them.
    assert names == ["made['x']", "role.own"] * 3


def test_a_name_that_is_taken_gets_the_next_free_number_from_its_own_on():
    names = NamesOfWorld(None)
    said = [names._claim(None, name) for name in ("m", "m#3", "m", "m", "m", "m#3", "m#2", "n#2")]
    assert said == ["m", "m#3", "m#2", "m#4", "m#5", "m#6", "m#7", "n#2"]
