"""A frame that waits for a call is known if it has nothing but its variables: each way to call."""

import functools
import sys

import pytest

from harness import Mutex
from harness.runtime.waiting_frames import hidden

SAID = []
LOCK, OTHER, NOT_HELD = Mutex("lock"), Mutex("other"), Mutex("not held")


way_of = [None]    # the function that is looked at


def at(*_, **__):
    """Say what may be hidden in the frame of the way that leads here."""
    called = sys._getframe()
    while called.f_back.f_code is not way_of[0].__code__:
        called = called.f_back
    SAID.append(hidden(called.f_back, called, [LOCK, OTHER]))
    return 1


class Ways:
    def __init__(self, calls=False):
        self.kept = at
        if calls:
            at()

    __call__ = method = __enter__ = at

    def __exit__(self, *_):
        at()

    def __getitem__(self, key):
        return at()

    def __add__(self, other):
        return at()

    def __str__(self):
        return str(at())

    def __next__(self):
        at()
        raise StopIteration

    @property
    def asked(self):
        return at()

    @staticmethod
    def static():
        at()

    @classmethod
    def of_class(cls):
        at()


class Slots:
    __slots__ = ("kept",)


class Key(str):
    """What equals it is asked of itself."""


class Quiet:
    def __enter__(self):
        pass

    def __exit__(self, *_):
        pass


WAYS, KEY, TABLE, SLOTS = Ways(), Key("a"), [None, at, {"a": at, 1: at}], Slots()
SLOTS.kept = at
PARTIAL = functools.partial(functools.partial(at, 1), a=2)


def numbers():
    yield at()


def passes(*_):
    pass


CALLS = """
at()
at(1, a=2)
at(*TABLE)
at(**{"a": 1})
at(*TABLE, **{"a": 1})
WAYS.kept()
WAYS.method(1)
WAYS.static()
WAYS.of_class()
WAYS()
WAYS.asked
SLOTS.kept()
Ways(True)
TABLE[1]()
TABLE[-2]()
TABLE[2]["a"]()
TABLE[2][1]()
PARTIAL()
next(numbers())
"""
KNOWN_WAYS = """
own = at; own()
own = WAYS.method; own()
own = at(1, 2); passes(own)
if at(): pass
if passes() or at(): pass
if not passes() and at(): pass
return at()
return passes() or at()
while at() and False: pass
try: at()\n  finally: passes()
try: passes()\n  finally: at()
with LOCK: at()
with LOCK, OTHER: at(1)
with OTHER:\n    with LOCK: WAYS.method()
with WAYS: pass
try: passes()\n  except KeyError: pass\n  at()
for each in TABLE: pass\n  at()
"""
UNKNOWN_WAYS = """
1 + at()
TABLE + [at()]
(1, at())
passes(1, at())
passes(at)(at()) if False else passes(passes, at())
[at() for _ in TABLE]
for _ in TABLE: at()
with Quiet(): at()
with NOT_HELD: at()
with LOCK, Quiet(): at()
with LOCK, NOT_HELD: at()
with LOCK: passes(1, at())
TABLE[2][KEY]()
WAYS + 1
WAYS[0]
f"{WAYS}"
next(WAYS, 0)
try: raise KeyError\n  except KeyError: at()
list(map(at, [1]))
sorted([1], key=at)
max(1, 2, key=at)
functools.reduce(at, [1, 2])
(at if WAYS is not None else passes)() + at()
"""


def lines(text):
    return text.replace("\n  ", "\r").replace("\n", "\0").replace("\r", "\n  ").strip("\0").split(
        "\0")


def said_on(line):
    """Return what is said of a function with this *line*, each time that it leads to `at`."""
    names = dict(globals())
    exec(f"def way():\n  {line}", names)
    way_of[0] = names["way"]
    SAID.clear()
    names["way"]()
    return list(SAID)


@pytest.mark.parametrize("line", lines(CALLS + KNOWN_WAYS.lstrip()))
def test_a_call_that_leaves_nothing_but_variables_is_known(line):
    said = said_on(line)
    assert said and set(said) == {""}, said


@pytest.mark.parametrize("line", lines(UNKNOWN_WAYS))
def test_a_frame_that_has_begun_something_else_is_not_known(line):
    said = said_on(line)
    assert said and "" not in said, said
    assert all(each.startswith("what way is at: ") for each in said), said


@pytest.mark.parametrize("begun", ["passes(1, {})", "[1, {}]", "len(TABLE) == {}",
                                   "[{} for _ in TABLE]"])
@pytest.mark.parametrize("call", lines(CALLS))
def test_no_such_call_hides_what_was_begun_before_it(call, begun):
    said = said_on(begun.format(call))
    assert said and "" not in said, said
