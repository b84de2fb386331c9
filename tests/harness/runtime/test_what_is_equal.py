"""What makes two states equal and what unequal: a row for each kind of thing.

In a row every two differ in what a role could find out, so their states do; and each, made once
more, is the same again.
"""

import functools
import itertools
import logging
import random
import re
import threading
import time
import types
import weakref
from collections import OrderedDict, defaultdict, deque
from fractions import Fraction

import pytest

from harness import Completion, Mutex, RWSemaphore
from harness.locks.task import Task
from harness.runtime.state import State


class Plain:
    def __init__(self, **inside):
        self.__dict__.update(inside)

    def one(self):
        pass

    def other(self):
        pass


class Derived(Plain):
    pass


class Slotted:
    __slots__ = ("a", "b")


class DerivedSlotted(Slotted):
    __slots__ = ("c",)


class Callable:
    def __call__(self):
        pass


KINDS = {base: type(f"My{base.__name__}", (base,), {"__module__": __name__}) for base in (
    int, str, float, complex, bytes, bytearray, list, tuple, dict, set, frozenset, deque,
    OrderedDict, defaultdict, ValueError, types.SimpleNamespace)}


class Ends:
    def __del__(self):
        pass


def done(thing, *calls):
    """Return *thing* after *calls* of its methods: each a name and arguments."""
    for name, *arguments in calls:
        getattr(thing, name)(*arguments)
    return thing


def with_attribute(thing, **inside):
    for name, value in inside.items():
        setattr(thing, name, value)
    return thing


def advanced(iterator, times):
    for _ in range(times):
        next(iterator)
    return iterator


def raised(error, cause=None, context=None):
    error.__cause__, error.__context__ = cause, context
    return error


def shared():
    one = []
    return [one, one]


def in_itself(*first):
    return done(out := [*first], ("append", out))


def cell(*content):
    out = types.CellType()
    if content:
        out.cell_contents, = content
    return out


LIST_OF_INT = list[int]
CODE = {text: compile(text, "a file of the user's", "eval") for text in (
    "used", "other", "module.used", "module.deeper.used", "(module.used, again.used)",
    "lambda: used", "time.time()", "open()", "vars(module)")}


def function(text="used", defaults=None, keywords=None, attributes=(), **names):
    out = types.FunctionType(CODE[text], {"__name__": "users", **names}, "f", defaults)
    out.__kwdefaults__ = keywords
    out.__dict__.update(attributes)
    return out


def module(**inside):
    out = types.ModuleType("users_module")
    out.__dict__.update(inside)
    return out


def made_class(name="C", bases=(object,), kind=type, **inside):
    return kind(name, bases, {"__module__": "users", **inside})


class Kind(type):
    pass


def cached(*calls):
    out = functools.lru_cache(kept)
    for each in calls:
        out(each)
    return out


def kept(value):
    return value


def both(value=None):
    return value


ROWS = {
    "plain values": [lambda value=value: value for value in (
        None, 0, 1, -1, 2, 1 << 70, True, False, 0.0, -0.0, 1.0, 1j, 0j, "", "0", "a", b"", b"0",
        float("nan"), float("inf"), ..., NotImplemented, "@", ("@", 0), "bool")],
    "sequences": [list, tuple, lambda: [1], lambda: (1,), lambda: [1, 2], lambda: [2, 1],
                  lambda: [[1], 2], lambda: [(1,), 2], lambda: [None], deque,
                  lambda: deque([1]), lambda: deque(maxlen=1), lambda: deque(maxlen=2),
                  lambda: deque([1, 2]), lambda: deque([2, 1]), lambda: range(3),
                  lambda: range(4), lambda: range(0, 3, 2), lambda: slice(3), lambda: slice(3, 3),
                  lambda: bytearray(b"a"), lambda: bytearray(b"b")],
    "sharing": [shared, lambda: [[], []], lambda: in_itself(1), lambda: in_itself(2),
                lambda: [1, [1, []]]],
    "mappings and sets": [
        dict, set, frozenset, lambda: {1: 2}, lambda: {2: 1}, lambda: {1: 1}, lambda: {1: 2, 3: 4},
        lambda: {3: 4, 1: 2}, lambda: {1}, lambda: {2}, lambda: frozenset({1}),
        OrderedDict, lambda: OrderedDict(a=1, b=2), lambda: OrderedDict(b=2, a=1),
        lambda: OrderedDict(a=2, b=1), lambda: done(OrderedDict(a=1, b=2), ("move_to_end", "a")),
        lambda: defaultdict(int), lambda: defaultdict(list), defaultdict,
        lambda: defaultdict(int, {1: 2}), lambda: types.SimpleNamespace(a=1),
        lambda: types.SimpleNamespace(a=2), lambda: types.SimpleNamespace(b=1)],
    "objects": [
        Plain, Derived, lambda: Plain(a=1), lambda: Plain(a=2), lambda: Plain(b=1),
        lambda: Plain(a=Plain()), lambda: Derived(a=1), Slotted, DerivedSlotted, Callable, object,
        lambda: with_attribute(Slotted(), a=1), lambda: with_attribute(Slotted(), a=2),
        lambda: with_attribute(Slotted(), b=1), lambda: with_attribute(DerivedSlotted(), b=1),
        lambda: with_attribute(DerivedSlotted(), c=1)],
    **{f"what derives from {base.__name__}": [
        lambda base=base: base(1), lambda base=base: base(2),
        lambda base=base: KINDS[base](1), lambda base=base: KINDS[base](2),
        lambda base=base: with_attribute(KINDS[base](1), a=1)]
       for base in (int, str, float, complex, ValueError)},
    **{f"what derives from {base.__name__}": [
        lambda base=base: base(b"1"), lambda base=base: base(b"2"),
        lambda base=base: KINDS[base](b"1"), lambda base=base: KINDS[base](b"2"),
        lambda base=base: with_attribute(KINDS[base](b"1"), a=1)] for base in (bytes, bytearray)},
    **{f"what derives from {base.__name__}": [
        lambda base=base: base([(1, 2)]), lambda base=base: KINDS[base]([(1, 2)]), KINDS[base],
        lambda base=base: KINDS[base]([(1, 3)]), lambda base=base: KINDS[base]([(1, 2), (3, 4)]),
        lambda base=base: with_attribute(KINDS[base]([(1, 2)]), a=1)]
       for base in (list, tuple, dict, set, frozenset, deque, OrderedDict)},
    "what derives from defaultdict": [
        lambda: KINDS[defaultdict](int), lambda: KINDS[defaultdict](list),
        lambda: KINDS[defaultdict](int, {1: 2}), lambda: defaultdict(int)],
    "errors": [
        lambda: ValueError("a"), lambda: ValueError("b"), lambda: TypeError("a"),
        lambda: ValueError("a", "b"), lambda: raised(ValueError("a"), cause=KeyError()),
        lambda: raised(ValueError("a"), context=KeyError()),
        lambda: raised(ValueError("a"), KeyError(1)),
        lambda: with_attribute(ValueError("a"), n=1), KeyboardInterrupt,
        lambda: OSError(2, "a"), lambda: OSError(2, "a", "file"), lambda: OSError(2, "a", "other"),
        lambda: ImportError("a"), lambda: ImportError("a", name="b"),
        lambda: ImportError("a", path="b"), lambda: with_attribute(SystemExit(1), code=2),
        lambda: SystemExit(1), lambda: with_attribute(StopIteration(1), value=2),
        lambda: AttributeError("a", name="b", obj=1), lambda: AttributeError("a", name="b", obj=2),
        lambda: with_attribute(ValueError("a"), __suppress_context__=True)],
    "functions": [
        lambda: function(used=1), lambda: function(used=2), lambda: function("other", other=1),
        lambda: function(), lambda: function("lambda: used", used=1),
        lambda: function("lambda: used", used=2),
        lambda: function(used=1, defaults=(1,)), lambda: function(used=1, defaults=(2,)),
        lambda: function(used=1, keywords={"a": 1}), lambda: function(used=1, attributes={"a": 1}),
        lambda: both, lambda: kept],
    "what a function names in modules": [
        lambda: function("module.used", module=module(used=1)),
        lambda: function("module.used", module=module(used=2)),
        lambda: function("module.used", module=module()),
        lambda: function("module.deeper.used", module=module(deeper=module(used=1))),
        lambda: function("module.deeper.used", module=module(deeper=module(used=2))),
        lambda: function("(module.used, again.used)", module=module(used=1), again=module(used=2)),
        lambda: function("(module.used, again.used)", module=module(used=1), again=module(used=3))],
    "cells": [cell, lambda: cell(None), lambda: cell(1), lambda: cell(2)],
    "methods": [lambda: Plain().one, lambda: Plain().other, lambda: Plain(a=1).one,
                lambda: [].append, lambda: [].pop, lambda: [1].append,
                lambda: len, lambda: sorted, lambda: time.sleep,
                lambda: str.upper, lambda: str.lower, lambda: Slotted.a, lambda: Slotted.b],
    "partials": [lambda: functools.partial(both), lambda: functools.partial(kept),
                 lambda: functools.partial(both, 1), lambda: functools.partial(both, 2),
                 lambda: functools.partial(both, value=1), lambda: functools.partial(both, value=2),
                 lambda: functools.partialmethod(both)],
    "descriptors": [
        lambda: property(both), lambda: property(kept), lambda: property(None, both),
        lambda: property(None, None, both), lambda: staticmethod(both), lambda: classmethod(both),
        lambda: staticmethod(kept), lambda: classmethod(kept),
        lambda: functools.cached_property(both), lambda: functools.cached_property(kept)],
    "what is cached": [cached, lambda: cached(1), lambda: cached(1, 2),
                       lambda: cached(1, 2, 3), lambda: functools.lru_cache(both)],
    "iterators": [lambda make=make, n=n: advanced(make(), n) for n in (0, 1) for make in (
        lambda: iter([1, 2]), lambda: iter((1, 2)), lambda: iter(range(2)), lambda: iter("ab"),
        lambda: iter(b"ab"), lambda: reversed([1, 2]), lambda: enumerate([1, 2]),
        lambda: zip([1, 2]), lambda: map(abs, [1, 2]), lambda: filter(None, [1, 2]))],
    "counts": [itertools.count, lambda: itertools.count(1), lambda: itertools.count(0, 2),
               lambda: itertools.count(0.5)],
    "plain locks": [threading.Lock, lambda: done(threading.Lock(), ("acquire",))],
    "locks": [
        lambda: Mutex("a"), lambda: done(Mutex("a"), ("acquire",)), lambda: RWSemaphore("a"),
        lambda: Completion("a"), lambda: done(Completion("a"), ("complete",)),
        lambda: done(Completion("a"), ("complete",), ("complete",)),
        lambda: done(Completion("a"), ("complete_all",)),
        lambda: RWSemaphore("a", policy="fair"), lambda: RWSemaphore("a", policy="reader")],
    "threads": [
        lambda: threading.Thread(name="a"), lambda: threading.Thread(name="b"),
        lambda: threading.Thread(name="a", target=both),
        lambda: threading.Thread(name="a", target=kept),
        lambda: threading.Thread(name="a", target=both, args=(1,)),
        lambda: threading.Thread(name="a", target=both, kwargs={"value": 1}),
        lambda: threading.Thread(name="a", daemon=True),
        lambda: with_attribute(threading.Thread(name="a"), mine=1)],
    "classes": [
        made_class, lambda: made_class(a=1), lambda: made_class(a=2), lambda: made_class(b=1),
        lambda: made_class(bases=(Plain,)), lambda: made_class(bases=(Derived,)),
        lambda: made_class(bases=(Plain, Slotted)), lambda: made_class(kind=Kind),
        lambda: int, lambda: str, lambda: made_class(__call__=both),
        lambda: made_class(__init__=both)],
    "modules": [module, lambda: module(a=1), lambda: module(a=2), lambda: module(b=1),
                lambda: re, lambda: itertools],
    "what is the same one": [lambda: re.compile("a"), lambda: re.compile("b"), lambda: LIST_OF_INT,
                             lambda: CODE["used"], lambda: CODE["other"],
                             lambda: logging.getLogger("a"), lambda: logging.getLogger("b")],
    "roles": [lambda: Task("a"), lambda: Task("b")],
}

def state(thing):
    """Return a state from which *thing* is in reach: of one that is not changed it is the same."""
    taken, again = State((), [thing], codes=None), State((), [thing], codes=None)
    assert taken.why_not == ""
    assert (taken.roles, taken.things) == (again.roles, again.things)
    return taken.value


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.replace(" ", "-"))
def test_things_are_equal_if_they_are_made_alike_and_else_are_not(row):
    made = [(make(), make()) for make in ROWS[row]]    # all kept: none has the identity of another
    values = [tuple(map(state, pair)) for pair in made]
    assert [at for at, (one, again) in enumerate(values) if one != again] == []
    assert [(a, b) for (a, (one, _)), (b, (other, _))
            in itertools.combinations(enumerate(values), 2) if one == other] == []


@pytest.mark.parametrize("one, other", [
    (function(used=1, other=2), function(used=1, other=3)),
    (function("module.used", module=module(used=1, other=2)),
     function("module.used", module=module(used=1))),
    (cached(1), cached(1, 1)),
    (Mutex("a"), Mutex("b")),
    (module(a=1), with_attribute(module(a=1), __doc__="other", __file__="other")),
    (made_class("C"), made_class("D", __doc__="other")),
    (function("open()", open=both), function("open()", open=both)),
], ids=["global that is not used", "attribute that is not used", "hits of a cache",
        "name of a lock", "what the interpreter keeps in a module", "what it keeps in a class",
        "global in place of a builtin"])
def test_what_decides_nothing_is_no_difference(one, other):
    assert state(one) == state(other)


def kept_away(*arguments):
    raise AssertionError("user code was called")


CODE_OF_USERS = {"__module__": __name__, "__getattribute__": kept_away, **{
    name: kept_away for name in ("__eq__", "__hash__", "__repr__", "__bool__", "__iter__",
                                 "__len__", "__str__", "__index__", "__add__", "__getitem__")},
    **{name: property(kept_away) for name in ("args", "__cause__", "default_factory", "maxlen")}}


@pytest.mark.parametrize("base", [object, *KINDS], ids=lambda base: base.__name__)
def test_no_attribute_and_no_operation_of_a_class_of_the_user_is_asked_for(base):
    kind = type("Guarded", (base,), CODE_OF_USERS)
    one, other = kind(), kind()
    assert state(one) == state(other)


@pytest.mark.parametrize("make, why", [
    (lambda: (n for n in []), "generator"), (lambda: types.MappingProxyType({}), "mappingproxy"),
    (lambda: weakref.ref(Plain), "weakref"), (weakref.WeakSet, "WeakSet"),
    (weakref.WeakKeyDictionary, "WeakKeyDictionary"), (Ends, "Ends"),
    (weakref.WeakValueDictionary, "WeakValueDictionary"), (random.Random, "Random"),
    (lambda: open, "`_io.open` is used|`io.open` is used"),
    (lambda: time.time, "`time.time` is used"),
    (lambda: eval, "`builtins.eval` is used"), (lambda: random, "`random` is used"),
    (lambda: random.Random, "`random.Random` is used"), (lambda: random.choice, "Random"),
    (lambda: random.getstate, "Random"),
    (lambda: logging.os.path.exists, "exists"), (threading.local, "local"),
    (lambda: itertools.count(Fraction(1)), "itertools.count of something"),
    (lambda: OrderedDict({Plain(): 1}), "an ordered dict"),
    (lambda: memoryview(b""), "memoryview"), (lambda: itertools.cycle([1]), "cycle"),
    (lambda: function("open()", __builtins__=__builtins__), "`open` is used"),
    (lambda: function("time.time()", time=time), "`time.time` is used"),
    (lambda: function("vars(module)", module=module()), "it is asked by name what module"),
])
def test_what_may_say_something_new_each_time_is_equal_to_nothing(make, why):
    thing = make()
    one, again = State((), [thing, 1]), State((), [thing, 1])
    assert re.search(why, one.why_not), one.why_not
    assert one.value != again.value and one.value != one.value


@pytest.mark.parametrize("most", [0, 1, 2, 3, 10])
def test_a_state_has_as_many_things_as_are_allowed_and_is_not_known_with_one_more(most):
    inside = [[n] for n in range(most)]
    fits, more = State((), inside, most=most), State((), [*inside, []], most=most)
    assert (fits.why_not, len(fits.things)) == ("", most)
    assert more.why_not == f"more than {most:,} things are in reach"
    assert all(a != b for a, b in zip(more.things.values(), State((), [*inside, []],
                                                                  most=most).things.values()))
