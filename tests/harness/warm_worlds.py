"""Scenarios that keep something from world to world, outside of what the factory makes.

`crosswise` is the ground of most: one takes a, then b; two has b, and takes a if what it asks for
is not kept yet. In the first world of a process there is a deadlock, with both at their first lock;
when everything is kept there is none. Each keeps in another way.
"""

import functools
import importlib
import logging
import sys
import threading
import types

from harness import Mutex


def crosswise(two_inside, one_inside=lambda: None):
    """Return the roles; `two_inside` is given a, with b held."""
    a, b = Mutex("a"), Mutex("b")

    def one():
        with a, b:
            one_inside()

    def two():
        with b:
            two_inside(a)

    return {"one": one, "two": two}


def under(a):
    with a:
        return 1


kept = {}


def module_dict():
    def inside(a):
        if "x" not in kept:
            kept["x"] = under(a)
    return crosswise(inside)


@functools.lru_cache
def computed(key):
    return under(current.a)


current = types.SimpleNamespace()


def lru_cache():
    def inside(a):
        current.a = a
        computed("x")
    return crosswise(inside)


local = threading.local()


def thread_local():
    """Kept by the thread that performs the role, which performs it in the next world, too."""
    def inside(a):
        if not hasattr(local, "x"):
            local.x = under(a)
    return crosswise(inside)


class Asks(logging.Logger):
    """Its level is in a configuration that a lock guards; `isEnabledFor` keeps the answer."""

    def getEffectiveLevel(self):
        with current.a:
            return logging.WARNING


logger = Asks("warm")


def logs():
    def inside(a):
        current.a = a
        logger.debug("nothing")
    return crosswise(inside)


class Singleton:
    instance = None

    @classmethod
    def get(cls, a):
        if cls.instance is None:
            with a:
                cls.instance = cls()
        return cls.instance


def class_attribute():
    return crosswise(Singleton.get)


class Config:
    @functools.cached_property
    def loaded(self):
        return under(current.a)


config = Config()


def cached_property():
    def inside(a):
        current.a = a
        assert config.loaded == 1
    return crosswise(inside)


class Finder:
    """Imports the module `made_lazily`, whose body takes a lock."""

    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name == "made_lazily" else None

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        module.x = under(current.a)


def lazy_import():
    def inside(a):
        current.a = a
        if not any(isinstance(finder, Finder) for finder in sys.meta_path):
            sys.meta_path.append(Finder())
        import made_lazily
        assert made_lazily.x == 1
    return crosswise(inside)


KINDS = (module_dict, lru_cache, thread_local, logs, class_attribute, cached_property, lazy_import)


# -- where a look at the first schedule, or at the engine's, is not enough -------------------------


filled = {}


def filled_by_the_other():
    """What two looks for is filled by one, with both locks: in the first schedule one comes first,
    and two never takes a in any world of the process. Only where two comes first, in a process that
    ran none, it does.
    """
    def inside(a):
        if "x" not in filled:
            filled["x"] = under(a)
    return crosswise(inside, lambda: filled.setdefault("x", 1))


late = {}


def filled_late(late=late, only_roles=True):
    """Two looks only if one, which a flag of the world tells, has been there: never in the first
    schedule, where two comes first. Then it takes a with c held, and three crosswise.
    """
    a, b, c, seen = Mutex("a"), Mutex("b"), Mutex("c"), []

    def looks():
        with b:
            there = bool(seen)
        if there:
            with c:
                if "x" not in late:
                    late["x"] = under(a)

    def tells():
        with b:
            seen.append(1)

    def crosses():
        with a, c:
            pass

    roles = {"looks": looks, "tells": tells, "crosses": crosses}
    return roles if only_roles else (roles, a, c)


needs_third = {}


def third_order():
    """Neither the first schedule nor the engine's: the locks that are taken once are taken in one
    order, whoever comes first; a and b crosswise are taken if two has come before one (which a
    list of the world tells) and nothing is kept. One fills, at its end.
    """
    a, b, gate, order = Mutex("a"), Mutex("b"), Mutex("gate"), []

    def one():
        with gate:
            order.append("one")
        with a, b:
            needs_third["x"] = 1

    def two():
        with gate:
            order.append("two")
            first = order[0] == "two"
        if first and "x" not in needs_third:
            with b, a:
                pass

    return {"one": one, "two": two}


unconfirmed = {}


def the_engine_s():
    """One after the other, the roles do the same in all worlds: two takes b and a. Only if one has
    not been there, and nothing is kept, two takes a too: the engine's schedule, in a first world.
    """
    a, b, been = Mutex("a"), Mutex("b"), []

    def one():
        with a, b:
            been.append(1)

    def two():
        with b:
            if been or "x" not in unconfirmed:
                under(a)
        unconfirmed["x"] = 1

    return {"one": one, "two": two}


same_words = {}


def of_known_operations():
    """As filled_late, but looks asks for c, and for a, in every schedule: only not for a with c.
    And crosses comes first, so that no later schedule begins as the one that keeps.
    """
    roles, a, c = filled_late(same_words, only_roles=False)

    def looks():
        roles["looks"]()
        with c:
            pass
        with a:
            pass

    return {"crosses": roles["crosses"], "looks": looks, "tells": roles["tells"]}


# -- correct programs that keep something ----------------------------------------------------------

polite = {}


def correct():
    """One order of locks in all worlds; b only in the first."""
    a, b = Mutex("a"), Mutex("b")

    def role():
        with a:
            if "x" not in polite:
                polite["x"] = under(b)

    return {"one": role, "two": role}


polite_logger = Asks("polite")


def correct_logs():
    """Logs with a lock held, and the configuration's lock comes after it everywhere."""
    a, current.a = Mutex("outer"), Mutex("config")

    def role():
        with a:
            polite_logger.debug("nothing")

    return {"one": role, "two": role}
