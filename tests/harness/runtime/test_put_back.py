"""What a call changes of the process is as it was when the call has ended, however it ends."""

import atexit
import faulthandler
import gc
import os
import signal
import sys
import threading
import warnings
from contextlib import suppress
from functools import partial

import pytest

from harness import Mutex, ScenarioError, explore, force, predict, replay, run, stress
from harness.locks import afresh, exits, exclusive, outsiders, replaced
from harness.locks.task import current, this_thread
from harness.runtime import collector, cpus, thread_patch
from harness.runtime.process_state import surely

CALLS = {"run": partial(run, runs=2), "force": force, "predict": predict, "explore": explore,
         "fresh": partial(explore, fresh=True), "stress": partial(stress, runs=2)}
FUNCTIONS = {os: ("_exit", "execv", "execve", "fork", "abort"), gc: ("enable", "disable",
             "isenabled", "collect"), threading: ("_start_new_thread", "excepthook"),
             threading.Thread: ("start", "join", "run"), sys: ("excepthook", "unraisablehook",
             "displayhook", "stdout", "stderr", "stdin"), signal: ("signal",), warnings:
             ("showwarning",)}


def snapshot():
    """Return what a call might change of the process, by name."""
    return {
        "functions": {f"{where.__name__}.{name}": getattr(where, name, None)    # 3.13 has not all
                      for where, names in FUNCTIONS.items() for name in names},
        # The timer of pytest-timeout is set before this, and put back before, too.
        "handlers": {number: signal.getsignal(number)
                     for number in signal.valid_signals() - {signal.SIGALRM}},
        "affinity": {thread.name: os.sched_getaffinity(thread.native_id) for thread
                     in threading.enumerate()} if hasattr(os, "sched_getaffinity") else {},
        "switch interval": sys.getswitchinterval(),
        "collector": (gc.isenabled(), gc.get_threshold(), gc.get_debug(), gc.callbacks[:]),
        "trace": (sys.gettrace(), sys.getprofile(), threading._trace_hook,
                  threading._profile_hook),
        "path": sys.path[:], "meta path": sys.meta_path[:], "hooks": sys.path_hooks[:],
        "warnings": warnings.filters[:], "atexit": atexit._ncallbacks(),
        "faulthandler": faulthandler.is_enabled(), "directory": os.getcwd(),
        "recursion": sys.getrecursionlimit(),
        "descriptors": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
        "threads": threading.enumerate(),
        "ours": (current().run, this_thread.family, this_thread.maker, this_thread.in_call,
                 exclusive._active, outsiders.listeners[:], thread_patch._runs, exits._under_way,
                 exits._callers[:], collector._calls, collector._off, cpus._calls, cpus._claim)}


def differences(before, after):
    """Return what differs, as (what, before, after), one part at a time."""
    found = []
    for what in before:
        parts = before[what], after[what]
        if all(isinstance(part, dict) for part in parts):
            found += [(f"{what} {key}", parts[0].get(key), parts[1].get(key))
                      for key in {**parts[0], **parts[1]} if parts[0].get(key) != parts[1].get(key)]
        elif parts[0] != parts[1]:
            found.append((what, *parts))
    return found


@pytest.fixture(autouse=True)
def nothing_changed(tmp_path):    # which is made, and known at the end, before
    """Compare the process before and after the test."""
    before = snapshot()
    yield
    found = differences(before, snapshot())
    assert not found, found


def crosswise():
    a, b = Mutex("a"), Mutex("b")

    def take(first, second):
        with first, second:
            pass
    return {"one": lambda: take(a, b), "two": lambda: take(b, a)}


def alone():
    lock = Mutex("lock")

    def role():
        with lock:
            thread = threading.Thread(target=Mutex("other").locked)
            thread.start()
            thread.join()
    return {"role": role}


def broken():
    raise KeyError("spoon")


@pytest.mark.parametrize("world", [crosswise, alone])
@pytest.mark.parametrize("call", CALLS)
def test_after_each_method(call, world):
    CALLS[call](world)


def test_after_replay():
    replay(explore(crosswise, engine=False).replay, crosswise)


@pytest.mark.parametrize("call", CALLS)
def test_after_a_world_that_could_not_be_built(call):
    with pytest.raises(ScenarioError):
        CALLS[call](broken)


@pytest.mark.parametrize("call", CALLS)
def test_after_ctrl_c(call, ctrl_c_interrupts):
    def world():
        if call != "fresh" or os.getpid() == here:
            signal.raise_signal(signal.SIGINT)
        return crosswise()

    here = os.getpid()
    with suppress(KeyboardInterrupt):
        CALLS[call](world)


@pytest.mark.parametrize("first, second", [("run", "stress"), ("stress", "explore"),
                                           ("explore", "run")])
def test_after_calls_side_by_side_that_end_in_the_order_in_which_they_began(first, second, at_once):
    began, ended = threading.Event(), threading.Event()
    worlds = {"first": [], "second": []}

    def world(which):
        if not worlds[which]:
            worlds[which].append(1)
            if which == "first":
                began.wait(120)
            else:
                began.set()
                ended.wait(120)
        return crosswise()

    def whole():
        CALLS[first](partial(world, "first"))
        ended.set()

    for done in at_once(whole, lambda: CALLS[second](partial(world, "second"))):
        done.result()


def test_in_a_module_that_is_imported_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "came_meanwhile.py").write_text(
        "from os import _exit\nfrom gc import disable\nfrom _thread import start_new_thread\n")
    monkeypatch.syspath_prepend(tmp_path)

    def world():
        import came_meanwhile
        modules.append(came_meanwhile)
        return crosswise()

    modules = []
    run(world, runs=1)
    monkeypatch.delitem(sys.modules, "came_meanwhile")
    import _thread
    assert (modules[0]._exit, modules[0].disable, modules[0].start_new_thread) == (
        os._exit, gc.disable, _thread.start_new_thread)


def test_no_process_is_forked_while_another_call_has_changed_the_filters(monkeypatch, at_once):
    """Each would put back what the other had set."""
    both, forks, plain = threading.Barrier(2), [], afresh.fork

    def fork():
        try:
            both.wait(0.2)
            forks.append("two at once")
        except threading.BrokenBarrierError:
            forks.append("one at a time")
        return plain()

    monkeypatch.setattr(afresh, "fork", fork)
    at_once(*[lambda: explore(alone)] * 2)
    assert forks == ["one at a time"] * 2


@pytest.mark.parametrize("call", ["run", "explore", "stress"])
def test_what_is_changed_is_changed_and_put_back_where_no_signal_handler_runs(call):
    """A handler that raises, Ctrl-C for one, does so in the main thread, between any two lines."""
    changing = [cpus, exits, thread_patch, collector, replaced]
    changing = {module.__file__ for module in changing}
    names = {"install", "uninstall", "pin", "unpin", "_put", "_look", "_put_back"}
    called = set()

    def trace(frame, event, arg):
        code = frame.f_code
        if code.co_filename in changing and code.co_name in names:
            called.add((code.co_filename, code.co_name))

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        CALLS[call](alone)
    finally:
        sys.settrace(before)
    assert called == set()


def test_an_interrupt_in_what_must_be_done_is_raised_when_it_is_done():
    left = [KeyboardInterrupt("first"), KeyboardInterrupt("again")]

    def step():
        if left:
            raise left.pop(0)
        left.append("done")

    with pytest.raises(KeyboardInterrupt, match="again"):
        surely(step)
    assert left == ["done"]


@pytest.mark.parametrize("seconds", [0.1, 0.0003, 1e-6])
def test_a_switch_interval_is_put_back_to_the_microsecond(seconds):
    before = sys.getswitchinterval()
    sys.setswitchinterval(seconds)
    try:
        told = sys.getswitchinterval()
        stress(lambda: {"role": Mutex("a").locked}, runs=1)
        assert sys.getswitchinterval() == told
    finally:
        sys.setswitchinterval(before + 5e-7)
