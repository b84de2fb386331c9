"""`harness.patched()`: ours in place of the interpreter's locks, and everything put back."""

import _thread
import concurrent.futures
import concurrent.futures.thread
import functools
import importlib
import logging
import sys
import tempfile
import threading

import pytest

import harness
from harness.locks import raw
from harness.locks.node import Node

from . import made_before
from .made_before import IN_TUPLE

NAMES = ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier")


@pytest.fixture(scope="module")
def patch():
    """Patched once: the tests that use it come after those that do it themselves."""
    with harness.patched() as patch:
        yield patch


def state():
    """Return what the names and the locks are, by identity."""
    names = [(module.__name__, name, id(value)) for module in (threading, _thread, functools,
             logging, concurrent.futures.thread, tempfile) for name, value in vars(module).items()]
    locks = {what: id(thing) for what, thing in made_before.replaced().items()
             if not what.startswith("made by")}
    return names, locks, made_before.METHOD.__self__ is made_before.KEPT


def test_a_module_that_is_imported_meanwhile_has_ours_and_the_interpreters_after(tmp_path,
                                                                                 monkeypatch):
    (tmp_path / "came_under_the_patch.py").write_text(
        "from threading import Lock, Event\nimport threading\nfrom _thread import allocate_lock\n"
        "class Keeps:\n    make = Lock\nlock = Lock()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with harness.patched():
        module = importlib.import_module("came_under_the_patch")
        assert isinstance(module.Lock(), Node) and isinstance(module.Event(), Node)
    assert (module.Lock, module.Event) == (threading.Lock, threading.Event)
    assert type(module.Keeps.make()) is raw.LOCK and type(module.allocate_lock()) is raw.LOCK
    monkeypatch.delitem(sys.modules, "came_under_the_patch")    # no other test has it
    with module.lock:    # one of ours that stays goes on working
        assert not module.lock.acquire(False)


def test_a_lock_that_is_held_is_named_and_stays():
    with made_before.HELD, harness.patched() as patch:
        assert type(made_before.HELD) is raw.RLOCK
        assert any("HELD" in text and "in use" in text for text in patch.left)


def test_a_lock_of_which_only_a_running_function_knows_stays():
    lock = threading.Lock()
    held_here_alone = [lock]
    with harness.patched() as patch:
        assert type(held_here_alone[0]) is raw.LOCK and "running" in patch.why_left(lock)


@pytest.mark.parametrize("how", ["plainly", "by an error", "by Ctrl-C", "one in another"])
def test_everything_is_put_back(how):
    before = state()
    try:
        with harness.patched():
            assert isinstance(made_before.MUTEX, Node)
            if how == "one in another":
                with harness.patched():
                    pass
                assert isinstance(made_before.MUTEX, Node)
            elif how != "plainly":
                raise ValueError if how == "by an error" else KeyboardInterrupt
    except (ValueError, KeyboardInterrupt):
        pass
    assert state() == before


def test_what_was_changed_meanwhile_is_as_it_was_changed():
    with harness.patched():
        made_before.UNSET.set()
        made_before.PERMITS.acquire()
    try:
        assert made_before.UNSET.is_set() and made_before.PERMITS._value == 1
        assert type(made_before.UNSET) is raw.Event
    finally:
        made_before.UNSET.clear()
        made_before.PERMITS.release()


def test_a_lock_that_somebody_has_at_the_end_stays_ours_until_it_is_free():
    with harness.patched():
        made_before.RECURSIVE.acquire()
    assert isinstance(made_before.RECURSIVE, Node)    # whoever has it gives up this one
    made_before.RECURSIVE.release()
    with harness.patched():
        pass
    assert type(made_before.RECURSIVE) is raw.RLOCK


def test_a_place_to_which_one_of_ours_was_copied_has_the_first_one_after():
    with harness.patched():
        made_before.OWNER.copy = made_before.MUTEX
    assert made_before.OWNER.copy is made_before.MUTEX and type(made_before.MUTEX) is raw.LOCK
    del made_before.OWNER.copy


def test_a_thread_that_still_runs_goes_on_with_ours():
    go, ended = [], []
    with harness.patched():
        event = threading.Event()
        thread = threading.Thread(target=lambda: ended.append(event.wait(30)))
        thread.start()
    go.append(event)
    event.set()
    thread.join()
    assert ended == [True]


@pytest.mark.parametrize("name", NAMES)
def test_each_name_of_threading_is_ours(patch, name):
    ours = importlib.import_module("harness.threading")
    assert getattr(threading, name) is getattr(ours, name)


@pytest.mark.parametrize("make", ["threading.Lock", "threading.RLock", "_thread.allocate_lock",
                                  "_thread.RLock", "functools.RLock", "threading._allocate_lock",
                                  "threading.Condition", "tempfile._allocate_lock"])
def test_whoever_makes_one_under_whatever_name_gets_ours(patch, make):
    module, _, name = make.partition(".")
    function = getattr(sys.modules[module], name, None)
    assert function is None or isinstance(function(), Node)

@pytest.mark.parametrize("what", made_before.replaced())
def test_a_lock_that_was_there_before_is_ours(patch, what):
    assert isinstance(made_before.replaced()[what], Node)


def test_what_was_in_a_state_is_in_that_state(patch):
    assert made_before.EVENT.is_set() and not made_before.UNSET.is_set()
    assert made_before.PERMITS._value == 2
    made_before.PERMITS.release()
    with pytest.raises(ValueError):
        made_before.PERMITS.release()
    made_before.PERMITS.acquire()


def test_a_condition_is_over_the_lock_that_took_the_place_of_its_own(patch):
    assert made_before.OVER_MUTEX._lock is made_before.MUTEX
    with made_before.OVER_MUTEX:
        assert not made_before.MUTEX.acquire(False)


@pytest.mark.parametrize("what", ["in a tuple", "in a set", "in a partial", "elsewhere in a tuple",
                                  "over one in a tuple"])
def test_what_cannot_be_replaced_everywhere_is_replaced_nowhere_and_named(patch, what):
    lock = made_before.left()[what]
    assert type(lock) in (raw.LOCK, raw.Condition)
    assert patch.why_left(getattr(lock, "_lock", lock))
    if what == "elsewhere in a tuple":
        assert any("IN_TUPLE_TOO" in text and "in a tuple" in text for text in patch.left)


def test_locks_of_the_standard_library_that_were_there_are_ours(patch):
    handlers = [ref() for ref in logging._handlerList]
    assert isinstance(logging._lock, Node)
    assert all(isinstance(handler.lock, Node) for handler in handlers if handler and handler.lock)
    assert isinstance(concurrent.futures.thread._global_shutdown_lock, Node)
    assert isinstance(tempfile._once_lock, Node)

def test_a_thread_has_the_interpreters_own_for_itself(patch):
    thread = threading.Thread(target=int)
    assert type(thread._started) is raw.Event
    assert type(thread._started._cond) is raw.Condition
    assert type(thread._started._cond._lock) is raw.LOCK
    thread.start()
    thread.join()
    assert type(threading._active_limbo_lock) is raw.RLOCK
    assert type(threading.main_thread()._started) is raw.Event


def test_a_timer_has_an_event_of_ours(patch):
    assert isinstance(threading.Timer(1, int).finished, Node)


def test_the_import_system_has_its_own(patch, tmp_path, monkeypatch):
    (tmp_path / "while_it_is_imported.py").write_text(
        "import importlib._bootstrap as system\n"
        "locks = [ref() for ref in system._module_locks.values()]\n"
        "kinds = {type(lock.lock) for lock in locks}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("while_it_is_imported").kinds <= {raw.LOCK, raw.RLOCK}


def test_no_lock_of_the_harness_is_ours(patch):
    def transfer(a, b):
        with a, b:
            pass

    def scenario():
        a, b = threading.Lock(), threading.Lock()
        return {"one": lambda: transfer(a, b), "two": lambda: transfer(b, a)}

    assert harness.explore(scenario).verdict.value == "deadlock"
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "harness":
            for key, value in vars(module).items():
                assert not isinstance(value, Node) or key == "OUTSIDE", f"{name}.{key}"
                assert not isinstance(getattr(value, "__self__", None), Node), f"{name}.{key}"
            for cls in vars(module).values():
                for value in vars(cls).values() if isinstance(cls, type) else ():
                    if isinstance(value, functools.cached_property):
                        assert not isinstance(getattr(value, "lock", None), Node)


# -- and back --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [harness.explore, harness.run])
def test_a_role_that_uses_what_was_not_replaced_is_not_clean(patch, method):
    def scenario():
        lock = threading.Lock()

        def role():
            with lock, IN_TUPLE[0]:
                pass
        return {"one": role, "two": role}

    result = method(scenario)
    assert result.verdict.value == "inconclusive" and "IN_TUPLE" in str(result)
