"""A standstill is judged by what the threads could have done, not by the clock on the wall."""

import os
import pdb
import queue
import socket
import sys
import threading
from functools import partial
from itertools import product
from types import SimpleNamespace

import pytest

from harness import Completion, Mutex, Observer, RWSemaphore, Verdict, explore, run
from harness.exploration import start_points
from harness.runtime import free_run, standstill
from harness.runtime.standstill import COMPUTES, Reading, Standstill

WAITS = Reading(cpu=1.0, kept=0.0, at="x.py:7")


def of(**readings):
    return lambda before: readings


nobody = of()


def looks_of(*seen, limit=4.0):
    """Return the looks at one thread, one for each of (seconds since the one before, reading)."""
    looks, now = Standstill(limit, 100.0), 100.0
    looks.look(now, 1, nobody)    # something moved, and nothing has since
    for after, reading in seen:
        now += after
        looks.look(now, 1, of(role=reading))
    return looks


# -- the judge, by hand ----------------------------------------------------------------------------


def test_who_waits_for_the_whole_limit_hangs():
    first, slices = (0.5, WAITS), [(0.5, WAITS)] * 7
    assert not looks_of(first, *slices).hangs    # the first look sees a place, and no time there
    assert looks_of(first, *slices, (0.5, WAITS)).hangs


def test_a_look_that_comes_late_is_one_slice():
    looks = looks_of((0.5, WAITS), (0.5, WAITS), (3600, WAITS), (3600, WAITS))
    assert (looks.silence, looks.quiet) == (2.0, 1.5)
    assert not looks.hangs and not looks.still_runs


def test_a_first_look_that_comes_late_is_one_slice():
    looks = looks_of((3600, WAITS), limit=0.2)
    assert looks.silence == looks.slice == 0.05


@pytest.mark.parametrize("other", [WAITS._replace(cpu=1.000001), WAITS._replace(at="x.py:8")],
                         ids=["processor time", "place"])
def test_who_has_done_something_does_not_hang(other):
    """Used a little, or only come to another place, and back: not even after an hour of looks."""
    looks = looks_of(*[(0.5, WAITS), (0.5, other)] * 3600)
    assert not looks.hangs and looks.still_runs


@pytest.mark.parametrize("does", ["sleeps", "waits for input", "waits with a time limit"])
def test_what_ends_by_itself_does_not_hang(does):
    sleeps = WAITS._replace(does=does, place="x.py:7")
    looks = looks_of(*[(0.5, sleeps)] * 9)
    assert not looks.hangs and looks.still_runs


def test_who_still_runs_is_named_with_what_it_does_and_where():
    looks = Standstill(1, 0)
    looks.look(0, 1, nobody)
    class Named:
        def __init__(self, name):
            self.name = name
    who = [Named(name) for name in ("alice", "bob", "carol", "dave", "eve")]
    seen = {role: Reading(1, 0, 1, *said) for role, said in zip(
        who, [("sleeps", "x.py:7"), ("sleeps", "y.py:8"), ("sleeps", ""), ("sleeps",),
              ("sleeps",)])}
    looks.look(1, 1, lambda _: seen)
    seen = {**seen, who[1]: seen[who[1]]._replace(cpu=2)}    # it did something else meanwhile
    looks.look(2, 1, lambda _: seen)
    assert str(looks) == "alice still runs: it sleeps, at x.py:7; bob still runs, at y.py:8; " \
                         "carol still runs: it sleeps; and 2 more"


def test_the_limit_begins_again_when_one_has_computed():
    computes = WAITS._replace(cpu=2.0)
    looks = looks_of(*[(0.5, WAITS)] * 8, *[(0.5, computes)] * 8)
    assert (looks.quiet, looks.hangs, looks.still_runs) == (3.5, False, False)
    assert looks_of(*[(0.5, WAITS)] * 8, *[(0.5, computes)] * 9).hangs


def test_who_is_kept_from_a_processor_neither_hangs_nor_runs():
    """Eight processes on one processor: it is not this one's fault that nothing moves."""
    for does in (COMPUTES, "sleeps"):    # the latter now and then, when it is looked at
        looks = looks_of(*[(0.5, Reading(1.0, 0.5 * n, "x.py:7", does)) for n in range(100)])
        assert looks.silence <= 0.5    # of the time before the first look nobody knows
        assert not looks.hangs and not looks.still_runs


def test_how_long_a_thread_has_wanted_a_processor_is_told_when_it_gets_it_so_it_is_not_asked_for():
    """Till then the kernel says that it was kept from it for no time at all."""
    looks = looks_of(*[(0.5, Reading(1.0, 0.0, "x.py:7", COMPUTES))] * 100)
    assert looks.silence == 0 and not looks.still_runs


def test_who_gets_little_of_a_processor_still_runs_after_as_much_of_it():
    """The looks come late, too: each after a second, of which it had a tenth."""
    had = [(1.0, Reading(0.1 * n, 0.9 * n, "x.py:7", COMPUTES)) for n in range(100)]
    assert not looks_of(*had[:40]).still_runs
    assert looks_of(*had[:42]).still_runs    # the first is only seen, then tenths


def test_threads_that_take_the_processor_from_each_other_still_run():
    looks, now = Standstill(4.0, 0.0), 0.0
    looks.look(now, 1, nobody)
    for n in range(10):    # two, of which now one and now the other has it
        now += 0.5
        looks.look(now, 1, of(**dict.fromkeys("ab", Reading(
            0.25 * n, 0.25 * n, "x.py:7", COMPUTES))))
    assert looks.still_runs


def test_one_that_is_new_has_not_been_seen_to_wait():
    looks = looks_of(*[(0.5, WAITS)] * 8)
    looks.look(104.5, 1, of(role=WAITS, thread=WAITS))
    assert not looks.hangs and list(looks.running) == ["thread"]


def test_what_moves_is_not_looked_at():
    looks = Standstill(1.0, 0.0)
    for moves in range(10):
        looks.look(float(moves), moves, pytest.fail)
    assert looks.silence == 0


def test_what_moves_ends_the_silence_before_it():
    """After seven slices of eight something moves: the next look sees a place, then eight more."""
    looks = looks_of(*[(0.5, WAITS)] * 8)
    looks.look(104.5, 2, pytest.fail)
    assert (looks.silence, looks.quiet) == (0, 0)
    for n in range(1, 9):
        looks.look(104.5 + n / 2, 2, of(role=WAITS))
        assert not looks.hangs
    looks.look(109.0, 2, of(role=WAITS))
    assert looks.hangs


def test_what_is_taken_and_what_is_given_back_moves_something():
    """A role that only gives back what it took, or is told, is none that stands still."""
    seen = []

    class Counts(Observer):
        def attach(self, run):
            self.run = run

        def lock_acquired(self, task, lock, mode):
            seen.append((f"{lock} {mode}", self.run.moves))

        def lock_release(self, task, lock, mode):
            seen.append((f"-{lock} {mode}", self.run.moves))

    def world():
        a, s, done = Mutex("a"), RWSemaphore("s"), Completion("done")

        def role():
            with a, s.down_read():
                done.complete()
            done.wait()

        return {"role": role}

    assert run(world, runs=1, observers=lambda: [Counts()]).verdict is Verdict.CLEAN
    assert seen == [("a exclusive", 1), ("s shared", 2), ("-done wait", 3), ("-s shared", 3),
                    ("-a exclusive", 4), ("done wait", 6)]    # when it is done


def test_where_none_is_at_large_the_silence_alone_decides():
    """All wait in locks of ours: their account says so, no look is needed."""
    looks = Standstill(1.0, 0.0)
    looks.look(0, 1, nobody)
    for n in range(4):
        assert not looks.hangs
        looks.look((n + 1) / 4, 1, nobody)
    assert looks.hangs


# -- what is seen of threads -----------------------------------------------------------------------


class Role:
    """A role that does *what* until `end` is called."""

    def __init__(self, what, end):
        self.what, self.end = what, end
        self.thread = None

    def world(self):
        lock = Mutex("a")

        def stands():
            self.thread = threading.current_thread()
            lock.locked()
            self.what()

        return {"role": stands}


def a_lock():
    lock = threading.Lock()
    lock.acquire()
    return lock.acquire, lock.release


def a_with_block():
    lock = threading.Lock()
    lock.acquire()

    def enters():
        with lock:
            pass

    return enters, lock.release


def a_queue():
    items = queue.Queue()
    return items.get, partial(items.put, 1)


def a_simple_queue():
    items = queue.SimpleQueue()
    return partial(next, iter(items.get, None)), partial(items.put, 1)


def a_socket():
    here, there = socket.socketpair()

    def receives():
        with here, there:
            here.recv(1)

    return receives, partial(there.send, b"x")


def a_pipe():
    read, write = os.pipe()

    def reads():
        os.read(read, 1)
        os.close(read)
        os.close(write)

    return reads, partial(os.write, write, b"x")


def sleeps():
    sleep, wake = a_lock()
    return lambda: sleep(), wake    # as the source has it: a real one could not be ended


def a_limit():
    gone = threading.Event()
    return partial(gone.wait, 60), gone.set


def computes():
    gone = []

    def counts():
        while not gone:
            pass

    return counts, partial(gone.append, 1)


def polls():
    gone = threading.Event()

    def looks():
        while not gone.wait(0.001):
            pass

    return looks, gone.set


def a_debugger():
    read, write = os.pipe()

    def breaks():
        with open(read) as commands, open(os.devnull, "w") as nowhere:
            pdb.Pdb(stdin=commands, stdout=nowhere, nosigint=True, readrc=False).set_trace()
            before = sys.gettrace()
            sys.settrace(None)
            assert before is not None
        os.close(write)

    return breaks, partial(os.write, write, b"next\n" * 3 + b"continue\n")


def an_input():
    read, write = os.pipe()

    def asks():
        before = sys.stdin
        try:
            with open(read) as sys.stdin:
                input()
        finally:
            sys.stdin = before
            os.close(write)

    return asks, partial(os.write, write, b"\n")


WAIT_FOR_EVER = a_lock, a_with_block, a_queue, a_simple_queue, a_socket, a_pipe
LIMIT = "waits with a time limit"
STILL_RUN = {(sleeps, run): "sleeps", (sleeps, explore): "sleeps",
             (a_limit, run): LIMIT, (a_limit, explore): LIMIT,
             (a_debugger, run): "waits for input", (an_input, run): "waits for input"}
BUSY = (computes, run), (polls, explore)    # each by itself: they would take it from the others


def played(kind, call):
    """Return what comes of a role of that kind, which is ended then."""
    role = Role(*kind())
    try:
        return call(role.world, timeout=0.2)
    finally:
        role.end()
        if role.thread is not None:
            role.thread.join(120)
            assert not role.thread.is_alive()


@pytest.fixture(scope="module")
def came_to(at_once):
    """What comes of each kind, by call: all of them wait together."""
    both = [*product(WAIT_FOR_EVER, (run, explore)), *STILL_RUN]
    return dict(zip(both, at_once(*(partial(played, *each) for each in both))))


@pytest.mark.parametrize("call", [run, explore])
@pytest.mark.parametrize("kind", WAIT_FOR_EVER)
def test_who_waits_for_what_nobody_brings_hangs_and_is_named(kind, call, came_to):
    result = came_to[kind, call].result()
    assert (result.verdict, result.how) == (Verdict.HANG, "timed out"), str(result)
    [stuck] = result.outcome.stuck
    assert stuck.startswith("role at "), stuck


def still_runs(result, does):
    assert (result.verdict, result.verdict.exit_status) == (Verdict.INCONCLUSIVE, 3), str(result)
    text = result.finding.text
    assert text.startswith(f"nothing moved for 0.2 s, but role still runs{does and f': it {does}'}")
    assert "test_standstill.py:" in text


@pytest.mark.parametrize("kind, call", STILL_RUN)
def test_who_sleeps_or_is_asked_still_runs(kind, call, came_to):
    if kind is a_limit and not os.path.exists("/proc/self/task"):
        pytest.skip("only the kernel tells")
    still_runs(came_to[kind, call].result(), STILL_RUN[kind, call])


@pytest.mark.parametrize("kind, call", BUSY)
def test_who_computes_or_polls_still_runs(kind, call, monkeypatch):
    monkeypatch.setattr(start_points, "PATIENCE", 0.2)    # the trace is slow
    still_runs(played(kind, call), "")


def test_without_the_kernel_the_source_says_who_sleeps(monkeypatch):
    monkeypatch.setattr(standstill, "_proc", lambda number, name: "")
    result = played(sleeps, run)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "it sleeps, at test_standstill.py:" in result.finding.text


def test_an_ended_thread_can_be_looked_at():
    """`pthread_getcpuclockid` of one ends the process."""
    thread = threading.Thread(target=str)
    thread.start()
    thread.join()
    assert standstill.read_thread(thread.native_id, sys._getframe()).cpu < 60


def test_who_has_done_nothing_is_not_asked_again_unless_it_wants_a_processor(monkeypatch):
    monkeypatch.setattr(standstill, "_cpu", lambda number: 1.0)
    frame = sys._getframe()
    at = frame.f_code, frame.f_lasti
    waits = Reading(1.0, 0.0, at, "waits for somebody")
    lasti = SimpleNamespace(f_code=frame.f_code, f_lasti=at[1])
    assert standstill.read_thread(0, lasti, waits) is waits
    monkeypatch.setattr(standstill, "caller_at", lambda frame, of_the_user: "")
    monkeypatch.setattr(standstill, "_does", lambda number, frame: "sleeps")
    for other in (waits._replace(does=COMPUTES), waits._replace(cpu=0.9),
                  waits._replace(at=(frame.f_code, -1))):
        assert standstill.read_thread(0, lasti, other).does == "sleeps"


@pytest.mark.parametrize("machine, call, words", [
    ("x86_64", "202 0x5 0x189 0x0 0x0 0x0 0xffffffff 0x7f 0x7f", ""),
    ("x86_64", "202 0x5 0x189 0x0 0x7fa 0x0 0xffffffff 0x7f 0x7f", LIMIT),
    ("x86_64", "230 0x1 0x1 0x7f65 0x0 0x0 0x7f 0x7f 0x7f", "sleeps"),
    ("x86_64", "7 0x7f 0x1 0xffffffff 0x0 0x0 0x7f 0x7f 0x7f", ""),
    ("x86_64", "7 0x7f 0x1 0xffffffffffffffff 0x0 0x0 0x7f 0x7f 0x7f", ""),
    ("x86_64", "7 0x7f 0x1 0x2710 0x0 0x0 0x7f 0x7f 0x7f", LIMIT),
    ("x86_64", "0 0x3 0x7f 0x1 0x0 0x0 0x7f 0x7f 0x7f", ""),
    ("aarch64", "98 0x5 0x189 0x0 0x0 0x0 0xffffffff 0x7f 0x7f", ""),
    ("aarch64", "98 0x5 0x189 0x0 0x7fa 0x0 0xffffffff 0x7f 0x7f", LIMIT),
    ("riscv64", "98 0x5 0x189 0x0 0x7fa 0x0 0xffffffff 0x7f 0x7f", ""),
    ("x86_64", "running", ""), ("x86_64", "", ""), ("x86_64", "-1 0x7f 0x7f", "")])
def test_whether_a_call_of_the_kernel_has_a_limit(machine, call, words, monkeypatch):
    monkeypatch.setattr(standstill.platform, "machine", lambda: machine)
    assert standstill._limit_of(call.split()) == words


def test_what_moves_while_stacks_are_taken_is_not_judged(monkeypatch):
    """To take them is slow; a role that waited outside our locks may have come on meanwhile."""
    go, has_moved, judged = threading.Event(), threading.Event(), threading.Event()
    stacks_of, judge = free_run.all_stacks, free_run.FreeRun._judge

    def slowly(tasks):
        go.set()
        assert has_moved.wait(20)
        return stacks_of(tasks)

    def judging(*how):
        judge(*how)
        judged.set()

    def world():
        lock = Mutex("lock")

        def mover():
            go.wait(20)
            with lock:
                pass
            has_moved.set()
            judged.wait(20)

        return {"mover": mover}

    monkeypatch.setattr(free_run, "all_stacks", slowly)
    monkeypatch.setattr(free_run.FreeRun, "_judge", judging)
    assert run(world, runs=1, timeout=0.2).verdict is Verdict.CLEAN


def test_the_stacks_are_of_who_has_not_ended():
    def world():
        done, ended = Completion("never"), threading.Event()
        return {"early": ended.set, "late": lambda: ended.wait(20) and done.wait()}

    text = str(run(world, runs=1))
    assert "Thread late (most recent call first)" in text and "Thread early" not in text
