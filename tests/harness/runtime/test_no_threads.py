"""The system gives no more threads, processes or descriptors: one line, or the role's own error;
nothing hangs, and nothing is left.
"""

import _thread
import errno
import os
import resource
import sys
import threading

import hanging_worlds
import pytest

from harness import Mutex, ScenarioError, explore, force, predict, replay, run, stress
from harness.exploration.token import encode
from harness.runtime import process_state

NO_MORE = RuntimeError("can't start new thread")
STARTS = [name for name in ("_start_new_thread", "_start_joinable_thread")
          if hasattr(threading, name)]


def crossed():
    """Two roles that take two locks crosswise."""
    a, b = Mutex("a"), Mutex("b")

    def take(one, other):
        with one, other:
            pass

    return {"left": lambda: take(a, b), "right": lambda: take(b, a)}


def parent():
    """Two roles, one of which starts a thread."""
    lock = Mutex("lock")

    def start():
        thread = threading.Thread(target=lock.locked)
        thread.start()
        thread.join()

    return {"start": start, "other": lock.locked}


def again(scenario, **arguments):
    return replay(encode(("test_no_threads:x", {}), "0", []), scenario, **arguments)


def cold(scenario, **arguments):
    return explore(scenario, fresh=True, **arguments)


def drawn(scenario, **arguments):
    return explore(scenario, strategy="random", max_schedules=3, seed=1)


CALLS = {call.__name__: (call, more) for call, more in (
    (run, {"runs": 3}), (force, {}), (predict, {}), (explore, {}), (cold, {}), (drawn, {}),
    (stress, {"runs": 3, "seed": 1}), (again, {}))}


@pytest.fixture
def threads_up_to(monkeypatch):
    """Return a function after which only so many threads more can be started: those of `_thread`,
    which does things aside, among them unless *aside* is false.
    """
    def limit(most, exc=NO_MORE, aside=True):
        left = [most]

        def limited(start):
            def starts(*args, **more):
                if left[0] <= 0:
                    raise exc
                left[0] -= 1
                return start(*args, **more)
            return starts

        for name in STARTS:
            monkeypatch.setattr(threading, name, limited(getattr(threading, name)))
        if aside:
            monkeypatch.setattr(_thread, "start_new_thread", limited(_thread.start_new_thread))
    return limit


def state():
    """Return what a call changes in the process, and puts back."""
    return (threading.Thread.start, threading.Thread.join, sys.getswitchinterval(),
            os.sched_getaffinity(0), len(os.listdir("/proc/self/fd")), os._exit)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux tells what is left")
@pytest.mark.parametrize("scenario", [crossed, parent])
@pytest.mark.parametrize("name", CALLS)
def test_each_call_ends_whichever_thread_cannot_be_started(name, scenario, threads_up_to,
                                                           monkeypatch):
    call, more = CALLS[name]
    before, plain = state(), _thread.start_new_thread
    said = []
    for most in range(len(scenario()) + 8):
        with monkeypatch.context():
            threads_up_to(most)
            try:
                result = call(scenario, **more)
                said.append(str(result.verdict))
            except ScenarioError as exc:
                said.append(str(exc))
            monkeypatch.undo()
        assert _thread.start_new_thread is plain and state() == before, (most, said)
        if said[-1] in ("clean", "deadlock") or said.count("error") == 2:    # enough for our own:
            break                                                # in the first run, and in a later
    assert "the system gave no thread for the harness watcher" in said[0]
    assert any(f"need {len(scenario()) + 2} threads; the system gave 2" in line for line in said)
    assert "\n" not in "".join(said)
    assert not any(map(str.isdecimal, said[-1])), said    # enough for all: a verdict


def test_how_many_are_missing_is_said_in_one_line(threads_up_to, monkeypatch):
    def scenario():
        return {f"role {i}": lambda: None for i in range(10)}

    for exc in (RuntimeError("can't start new thread"), MemoryError()):
        threads_up_to(8, exc, aside=False)
        with pytest.raises(ScenarioError, match="^10 roles need 12 threads; the system gave 9$"):
            run(scenario)
        monkeypatch.undo()


def test_a_start_in_a_role_that_fails_is_the_error_of_that_role(threads_up_to):
    threads_up_to(3, aside=False)
    result = run(parent, runs=1)
    assert result.verdict == "error" and "can't start new thread" in result.finding.text
    assert "start" in result.finding.text and "test_no_threads.py" in result.finding.detail


def test_beside_those_of_roles_a_call_starts_its_watcher_and_two_for_what_it_changes(monkeypatch):
    started = []

    def counted(start):
        return lambda *args, **how: started.append(args) or start(*args, **how)

    for module, name in [(threading, name) for name in STARTS] + [(_thread, "start_new_thread")]:
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    run(crossed, runs=3)
    assert len(started) == len(crossed()) + 3


def test_where_no_signal_handler_runs_nothing_is_done_aside(at_once):
    def identifiers():
        return threading.get_ident(), process_state.aside(threading.get_ident)

    [other] = at_once(identifiers)
    assert len(set(other.result())) == 1 and len(set(identifiers())) == 2


def test_what_is_to_be_done_aside_is_done_though_there_is_no_thread_for_it(threads_up_to):
    threads_up_to(0)
    assert process_state.aside(lambda: threading.get_ident()) == threading.get_ident()
    with pytest.raises(KeyError):
        process_state.aside(lambda: {}["missing"])


def test_a_hang_is_judged_though_no_thread_can_be_started_for_it(threads_up_to):
    waits = threading.Event()

    def scenario():
        lock = Mutex("lock")

        def role():
            with lock:
                waits.wait()
        return {"role": role}

    threads_up_to(3)    # one for what is done aside as the call begins, the watcher, and the role
    result = run(scenario, runs=1, timeout=0.08)
    assert result.verdict == "hang" and result.outcome.stuck
    waits.set()
    for thread in threading.enumerate():
        if thread.name == "role":
            thread.join()


def test_no_descriptor_left_is_one_line():
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(os.listdir("/proc/self/fd"))

    def scenario():
        lock = Mutex("lock")
        return {f"role {i}": lambda: lock.acquire() and lock.release() for i in range(20)}

    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 10, descriptors[1]))
    try:
        for call in (run, force, predict, stress):
            with pytest.raises(ScenarioError, match="20 roles need 20 descriptors, one each"):
                call(scenario)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
    assert len(os.listdir("/proc/self/fd")) == used


def test_a_process_that_cannot_be_forked_leaves_a_call_that_says_so(monkeypatch):
    def no_fork():
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(os, "fork", no_fork)
    result = cold(lambda: hanging_worlds._two(Mutex("lock")))
    assert result.verdict == "inconclusive" and "could be forked" in result.finding.text
    assert explore(crossed).verdict == "deadlock"


def test_the_time_that_is_up_while_roles_get_their_threads_is_told():
    def scenario():
        return {f"role {i}": lambda: None for i in range(300)}

    result = run(scenario, seconds=1e-6)
    assert result.verdict == "inconclusive"
    assert "when 0 of 300 roles had a thread" in result.finding.text


def test_a_thread_whose_start_failed_may_be_started_again():
    done = []

    def scenario():
        lock = Mutex("lock")

        def role():
            thread = threading.Thread(target=lambda: lock.acquire() and lock.release())
            starts = {name: getattr(threading, name) for name in STARTS}

            def refused(*args, **more):
                raise RuntimeError("can't start new thread")
            for name in STARTS:
                setattr(threading, name, refused)
            try:
                thread.start()
            except RuntimeError:
                done.append("refused")
            for name, start in starts.items():
                setattr(threading, name, start)
            thread.start()
            thread.join()
            done.append("joined")
        return {"role": role}

    assert run(scenario, runs=1).verdict == "clean"
    assert explore(scenario).verdict == "clean"
    assert done[:2] == ["refused", "joined"] and done[-1] == "joined"
