"""Arguments of public functions are checked at the door: whatever is given, it is of use, or one
line names the argument and says what was expected. Nothing fails in the middle, or hangs.
"""

import inspect
import math
from fractions import Fraction

import pytest

import harness
from harness import (At, Completion, LockClass, Meet, Mutex, RWSemaphore, Scenario, ScenarioError,
                     explore, force, predict, replay, run, step, stress, vocabulary)
from harness.exploration.token import encode
from pcimodel.lab.scenarios import scenario as scenario_of_the_model


class Nothing:
    pass


async def coroutine():
    pass


def generator():
    yield


class Unspeakable:
    """Whose `repr` raises."""

    def __repr__(self):
        raise RuntimeError("no")


def world():
    lock = Mutex("lock")
    return {"one": lock.locked}


def looks():
    Mutex("lock").locked()


ODD = {"None": None, "5": 5, "-1": -1, "0": 0, "x": "x", "empty": "", "[]": [], "{}": {},
       "object": object(), "class": Nothing, "coroutine": coroutine, "generator": generator,
       "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "True": True, "False": False,
       "huge": 10**400, "1e308": 1e308, "bytes": b"x", "1.5": 1.5, "fraction": Fraction(1, 2),
       "unspeakable": Unspeakable(),
       "function": looks, "half": "\ud800", "null": "a\0b", "[1]": [1], "lock": Mutex("a lock")}
TOKEN = encode(("nowhere:world", {}), "1/0", ["one"])
OF_A_SCENARIO = {"meet", "check", "invariants", "title", "lock_classes", "program", "at",
                 "function_name", "inner_locks", "roles"}


def of_a_world(tool, **more):
    def call(**arguments):
        return tool(lambda: Scenario(**{"roles": {"one": looks}, **arguments}), timeout=0.5, **more)
    return call


def released(make, name):
    """Return what calls a method of a new lock that no thread holds."""
    return lambda **arguments: getattr(make("lock"), name)(**arguments)


def completed(**arguments):
    done = Completion("done")
    done.complete()
    return done.wait(**arguments)


# What is called, with which good arguments, which are tried, and which values are good of each.
NONE, WHOLE, TIME, WORDS = {"None"}, {"5"}, {"5", "1.5"}, {"x", "empty", "half", "null"}
FLAG, CALLABLE = {"True", "False"}, {"class", "coroutine", "generator", "function"}
TIMES = TIME | NONE
SHORT = {"runs": 1, "timeout": 0.5}
LIMIT = (*TIME, "-1", "0", "True", "False", "-inf")
DOORS = [
    (run, {"scenario": world, **SHORT}, {
        "scenario": (), "runs": WHOLE | NONE, "seconds": TIMES, "timeout": TIME, "detect": (),
        "observers": ()}),
    (force, {"scenario": world, **SHORT}, {
        "scenario": (), "runs": WHOLE, "seconds": TIMES, "timeout": TIME, "detect": ()}),
    (predict, {"scenario": world, "timeout": 0.5}, {
        "scenario": (), "runs": WHOLE | NONE, "seconds": TIMES, "timeout": TIME, "detect": (),
        "lockdep": FLAG, "baseline": NONE | {"{}"}}),
    (stress, {"scenario": world, **SHORT}, {
        "scenario": (), "runs": WHOLE | NONE, "seconds": TIMES, "timeout": TIME, "detect": (),
        "seed": NONE | {"5", "-1", "0"}, "progress": FLAG}),
    (explore, {"scenario": world, "timeout": 0.5}, {
        "scenario": (), "strategy": (), "max_schedules": WHOLE | NONE, "seconds": TIMES,
        "seed": NONE | {"5", "-1", "0"}, "all": FLAG, "timeout": TIME, "check_determinism": FLAG,
        "trust_locks": FLAG, "engine": FLAG, "progress": FLAG, "fresh": FLAG,
        "preemptions": NONE, "depth": NONE}),
    (replay, {"token": TOKEN, "scenario": world, "timeout": 0.5}, {
        "token": (), "timeout": TIME}),
    (Mutex, {}, {"name": WORDS | NONE, "lock_class": WORDS | NONE}),
    (Completion, {}, {"name": WORDS | NONE, "lock_class": WORDS | NONE}),
    (RWSemaphore, {}, {"name": WORDS | NONE, "lock_class": WORDS | NONE, "policy": ()}),
    (LockClass, {"name": "c"}, {"name": WORDS, "exempt": WORDS, "novalidate": WORDS, "why": WORDS,
                                "order": NONE}),
    (LockClass, {"name": "c", "why": "so"}, {"order": CALLABLE | NONE}),
    (At, {"role": "r", "lock": "l"}, {
        "role": WORDS, "lock": WORDS | {"lock"}, "mode": NONE, "function": WORDS | NONE,
        "holding": WORDS | {"lock", "[]"}}),
    (lambda points: Meet(points, At("b", "l")), {}, {"points": ()}),
    (lambda writers: Meet(At("a", "l"), At("b", "l"), writers=writers), {}, {"writers": {"[]"}}),
    (step, {}, {"on": WORDS}),
    (vocabulary, {}, {"verbs": WORDS | {"coroutine", "generator", "function"}}),
    (released(Mutex, "acquire"), {"nested": 1, "why": "so"}, {
        "nested": {"None", "5", "0", "empty", "[]", "{}", "False"}, "why": {"x", "half", "null"}}),
    (released(Mutex, "set_class"), {}, {"lock_class": WORDS}),
    (released(RWSemaphore, "down_read"), {"nested": 1, "why": "so"}, {
        "nested": {"None", "5", "0", "empty", "[]", "{}", "False"}, "why": {"x", "half", "null"}}),
    (released(RWSemaphore, "down_read_timeout"), {}, {"timeout": LIMIT}),
    (released(RWSemaphore, "down_write_timeout"), {}, {"timeout": LIMIT}),
    (completed, {}, {"timeout": (*LIMIT, "None")}),
    (of_a_world(run, runs=1), {}, {
        "meet": NONE | {"[]"}, "check": NONE | {"class", "function"}, "title": {"{}"},
        "invariants": {"{}"}, "lock_classes": {"[]"}, "program": NONE, "at": CALLABLE | NONE,
        "function_name": CALLABLE | NONE, "inner_locks": FLAG, "roles": ()}),
    (of_a_world(explore), {}, {"check": NONE | {"class", "function"}, "roles": ()}),
    (scenario_of_the_model, {"name": "probe-vs-aer"}, {
        "name": (), "kernel": (), "fixes": {"[]"}, "policy": (), "machine": NONE}),
]
CASES = [(function, good, argument, set(fine)) for function, good, arguments in DOORS
         for argument, fine in arguments.items()]
# What says no by a rule of the standard library's, or in words that name it otherwise.
NAMED = {"scenario": "scenario", "points": "At", "roles": "role", "name": "name",
         "holding": "", "check": "check", "token": "token"}


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("function, good, argument, fine", CASES,
                         ids=[f"{getattr(case[0], '__name__', '')}-{case[2]}" for case in CASES])
def test_whatever_is_given_is_of_use_or_refused_in_one_line_that_names_it(
        function, good, argument, fine):
    for name, value in ODD.items():
        try:
            function(**{**good, argument: value})
            accepted = True
        except (ScenarioError, TypeError, ValueError, OverflowError) as exc:
            accepted, said = False, str(exc)
            assert NAMED.get(argument, argument) in said and "\n" not in said, (name, said)
            assert "no attribute" not in said, (name, said)
            assert "object is not" not in said or said.startswith("observers raised"), (name, said)
        assert accepted == (name in fine), name


def test_no_argument_of_a_public_function_is_left_out():
    tried = {}
    for function, good, arguments in DOORS:
        tried.setdefault(getattr(function, "__name__", ""), set()).update(good, arguments)
    for name in harness.__all__:
        thing = getattr(harness, name)
        if name in ("run", "force", "predict", "explore", "stress", "replay", "Mutex", "Completion",
                    "RWSemaphore", "LockClass", "At", "step", "vocabulary"):
            assert {*inspect.signature(thing).parameters} <= tried[name], name
    assert {*inspect.signature(Scenario).parameters} == OF_A_SCENARIO


@pytest.mark.parametrize("nested, is_one", [(0, True), (1, True), (7, True), (8, False),
                                            (-1, False)])
@pytest.mark.parametrize("make, take", [(Mutex, "acquire"), (RWSemaphore, "down_read"),
                                        (RWSemaphore, "down_write")])
def test_the_subclasses_of_a_request_go_from_1_to_7(make, take, nested, is_one):
    """As in lockdep; 0 is a request without one."""
    def ask():
        getattr(make("lock"), take)(nested=nested, why="so")

    if is_one:
        ask()
        return
    with pytest.raises(ScenarioError, match=f"nested is {nested}, expected a subclass from 1 to 7"):
        ask()
