"""A state tells apart what may go on differently; what it cannot know is equal to nothing."""

import itertools
import os
import sys
import threading
import time
import weakref

import pytest

from harness import Completion, Mutex, RWSemaphore
from harness.locks.task import Task
from harness.locks.calls import call_role
from harness.runtime.state import State
from harness.runtime.thing_kinds import kind_of_thing

CALLS = 0
SETTINGS = type(threading)("settings")
SETTINGS.tries = SETTINGS.__tries__ = 0


class Kind(type):
    tries = 0


class Client(metaclass=Kind):
    tries = __tries__ = 0


class Odd:
    """Compares as it likes, and says so."""

    def __eq__(self, other):
        raise AssertionError("user code was called")

    __hash__ = __repr__ = __bool__ = __eq__


class Ends:
    def __del__(self):
        pass


# What is of the harness is no part of a state. So it is with this, as if a lock took the state.
OURS = """
def states(role, number, how):
    global taken, most, task, more
    taken, most, task, more = [], number, Task("role"), how
    thread = threading.Thread(target=perform, args=(role,))
    thread.start()
    thread.join()
    return taken

def perform(role):
    task.thread = threading.current_thread()
    call_role(lambda: role(at))

def change(name):
    setattr(task, name, not getattr(task, name))

def at():
    if len(taken) < most:
        taken.append(State([task], **{"codes": None} | more))
    return len(taken) == most
"""
SPACE = {"__name__": "harness", "Task": Task, "State": State, "threading": threading,
         "call_role": call_role}
exec(compile(OURS, call_role.__code__.co_filename, "exec"), SPACE)


def states_of(role, number=3, **how):
    """Return the states of a thread that performs *role*, at the first calls of its argument."""
    return SPACE["states"](role, number, how)


def distinct(role, number=3):
    return len({state.value for state in states_of(role, number)})


@pytest.mark.parametrize("what", ["timed", "trylock", "mode"])
def test_a_request_with_a_limit_or_that_only_tries_or_in_another_mode_is_another_state(what):
    change = SPACE["change"]

    def role(at):
        while not at():
            change(what)

    _, first, second, third = [state.roles["role"][:6] for state in states_of(role, 4)]
    assert first == third != second


def test_state_of_a_loop_that_changes_nothing_comes_again():
    def role(at):
        while True:
            if at():
                return
            made = [1, {"a": 2.5}, None]
            made.append(made)

    assert distinct(role, 4) == 2    # before the first list, and after it


def _local(at):
    tries = 0
    while not at():
        tries += 1


def _attribute(at):
    client = Client()
    while not at():
        client.tries += 1


def _of_the_class(at):
    while not at():
        Client.tries += 1


def _global(at):
    global CALLS
    while not at():
        CALLS += 1


def _of_a_module(at):
    while not at():
        SETTINGS.tries += 1


def _under_lines_of_the_class(at):
    while not at():
        Client.__tries__ += 1


def _of_the_metaclass(at):
    kind = Client
    while not at():
        type(kind).tries += 1


def _under_lines_of_a_module(at):
    modules = [SETTINGS]
    while not at():
        modules[0].__tries__ += 1


def _cell(at):
    tries = 0

    def count():
        nonlocal tries
        tries += 1
    while not at():
        count()


def _of_a_function(at):
    _local.tries = 0
    while not at():
        _local.tries += 1


def _of_the_thread(at):
    threading.current_thread().tries = 0
    while not at():
        threading.current_thread().tries += 1


def _list(at):
    tries = []
    while not at():
        tries.append(None)


def _deep(at):
    world = {"a": [({"b": Client()},)]}
    while not at():
        world["a"][0][0]["b"].tries += 1


def _iterator(at):
    tries = iter(range(9))
    while not at():
        next(tries)


def _numbers(at):
    tries = itertools.count()
    while not at():
        next(tries)


def _default(at):
    def more(tries=[]):    # noqa: B006
        tries.append(1)
    while not at():
        more()


def _clock(at):
    began = time.monotonic()
    while not at():
        began += time.monotonic()


def _setting_of_the_interpreter(at):
    while not at():
        sys.setrecursionlimit(sys.getrecursionlimit())


def _loop(at):
    for _ in range(3):
        if at():
            return


def _nested(at):
    [at() for _ in range(3)]


def _in_a_generator(at):
    any(at() for _ in range(3))


def _in_c(at):
    list(map(lambda _: at(), [0] * 3))


def _expression(at):
    total = 0
    while total < 3:
        total = 0 + (total + (at() or 1))


def _generator(at):
    def numbers():
        yield from range(9)
    tries = numbers()
    while not at():
        next(tries)


def _order(at):
    first, waiting = "c", {"a": 1, "b": 1, "c": 1}
    while not at():
        first = next(iter(waiting))
        waiting[first] = waiting.pop(first)


def _sharing(at):
    one, other = [], []
    pairs = [[one, other], [one, one], [other, one]]
    while not at():
        both = pairs.pop()
        del both


def _file(at):
    while not at():
        os.path.exists("there")


def _weak(at):
    kept = Client()
    looks = weakref.ref(kept)
    while not at():
        looks()


def _finalized(at):
    kept = Ends()
    while not at():
        kept.n = 0


def _passes(at):
    done = Completion("done")
    while not at():
        done.complete()


@pytest.mark.parametrize("role", [
    _local, _attribute, _of_the_class, _under_lines_of_the_class, _of_the_metaclass, _global,
    _of_a_module, _under_lines_of_a_module, _cell, _of_a_function, _of_the_thread, _list, _deep,
    _iterator, _numbers, _default, _order, _sharing, _passes], ids=lambda role: role.__name__[1:])
def test_what_is_counted_anywhere_tells_states_apart(role):
    assert (distinct(role), [state.why_not for state in states_of(role)]) == (3, [""] * 3)


@pytest.mark.parametrize("role, why", [
    (_setting_of_the_interpreter, "recursionlimit` is used"),
    (_clock, "`time.monotonic` is used"), (_file, "`genericpath.exists` is used"),
    (_loop, "a loop"), (_nested, " is at"), (_in_a_generator, " is at"), (_in_c, "not Python"),
    (_expression, "an expression"), (_generator, "generator"), (_weak, "weakref"),
    (_finalized, "Ends")],
    ids=lambda value: getattr(value, "__name__", "")[1:])
def test_what_cannot_be_known_is_equal_to_nothing(role, why):
    taken = states_of(role)
    assert [why in state.why_not for state in taken] == [True] * 3, taken[0].why_not
    assert len({state.value for state in taken}) == 3


def test_code_of_the_user_is_not_called():
    odd = Odd()

    def role(at):
        table = {"odd": odd, 1: [odd, (odd,)]}
        while not at():
            table[1] = [odd, (odd,)]

    taken = states_of(role, 4)
    assert [state.why_not for state in taken] == [""] * 4
    assert len({state.value for state in taken[1:]}) == 1


def test_who_holds_a_lock_that_is_in_reach_tells_states_apart():
    lock, sem = Mutex("lock"), RWSemaphore("sem")
    holder, reader = Task("holder"), Task("reader")

    def role(at):
        while not at():
            if lock._owner is None:
                lock._owner = holder
            elif not sem._readers:
                sem._readers[reader] = None, None
            else:
                lock._owner = None
                sem._readers.clear()

    values = [state.value for state in states_of(role, 7)]
    assert (len(set(values[1:])), values[2:4], values[1:4]) == (3, values[5:7], values[4:7])


def test_manager_of_a_with_block_is_not_known_unless_it_is_a_lock_that_is_held():
    lock = Mutex("lock")

    def role(at):
        with lock:
            at()

    assert "a `with` block" in states_of(role, 1)[0].why_not    # a role of no run holds nothing


def test_state_is_of_bounded_size():
    def role(at):
        many = [[i] for i in range(100)]
        at()
        return many

    assert [states_of(role, 1, most=most)[0].why_not for most in (200, 100)] == [
        "", "more than 100 things are in reach"]


def test_a_class_that_has_the_identity_of_one_that_is_gone_is_looked_at_anew(monkeypatch):
    class Slotted:
        __slots__ = ("tries",)

    class Plain:
        pass

    known = {id(Plain): kind_of_thing(Slotted)}    # as if that had been there before
    monkeypatch.setattr("harness.runtime.thing_kinds._kinds", known)
    assert kind_of_thing(Plain).has_dict and kind_of_thing(Plain).of() is Plain


def test_a_plain_lock_is_told_by_whether_it_is_locked():
    def role(at):
        lock = threading.Lock()
        while not at():
            if lock.locked():
                lock.release()
            else:
                lock.acquire()

    _, locked, free, again = [state.value for state in states_of(role, 4)]
    assert locked == again != free
