"""Locks used by what interrupts: a signal handler in the thread that called, which watches."""

import signal
import threading
import time

import pytest

from harness import Completion, Mutex, RWSemaphore, explore, force, run
from harness.locks import outsiders
from harness.locks.errors import LockTaken
from harness.locks.task import EXCLUSIVE, current
from harness.runtime.our_thread import begin, our_thread
from harness.runtime.process_state import no_call_inside

MAIN = threading.main_thread().ident


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert [thread for thread in threading.enumerate() if thread not in before] == []
    assert (outsiders.listeners, outsiders.by_ident) == ([], {})


@pytest.fixture
def on_signal():
    """Call what is set of its `act` on SIGUSR1, in the main thread."""
    class Handler:
        act = staticmethod(lambda: None)

    before = signal.signal(signal.SIGUSR1, lambda *of: Handler.act())
    yield Handler
    signal.signal(signal.SIGUSR1, before)


def interrupts():
    signal.pthread_kill(MAIN, signal.SIGUSR1)


@pytest.mark.parametrize("tool", [run, explore])
def test_a_role_that_waits_for_what_a_handler_completes_does_not_hang(tool, on_signal):
    """It has sent the signal; the main thread has not been given the processor yet."""
    def build():
        done, m = Completion("done"), Mutex("m")
        on_signal.act = done.complete

        def role():
            with m:
                interrupts()
                done.wait()
        return {"alice": role}
    assert str(tool(build, timeout=30).verdict) in ("clean", "inconclusive")


def test_a_world_that_waits_for_what_a_handler_completes_is_built(on_signal):
    done, m = Completion("done"), Mutex("m")
    on_signal.act = done.complete

    def sends():
        while not done._waiters:
            time.sleep(0)
        interrupts()

    thread = our_thread(sends, "like one of the harness")

    def build():
        begin(thread)
        done.wait()
        return {"alice": lambda: m.acquire() and m.release()}
    assert str(run(build, timeout=30, runs=1).verdict) == "clean"
    thread.join()


@pytest.mark.parametrize("tool, waits", [
    (run, lambda m, s, never: m.acquire()), (explore, lambda m, s, never: s.down_read()),
    (force, lambda m, s, never: s.down_write()), (run, lambda m, s, never: never.wait())])
def test_a_handler_that_waits_for_ever_while_nobody_watches_is_refused(tool, waits, on_signal):
    """For a lock of a role that waits for the handler, or for what nobody completes."""
    made = []

    def build():
        m, s, never, done = Mutex("m"), RWSemaphore("s"), Completion("never"), Completion("done")
        made[:] = m, s, never

        def act():
            waits(m, s, never)
            done.complete()
        on_signal.act = act

        def role():
            with m, s.down_write():
                interrupts()
                done.wait()
        return {"alice": role}
    with pytest.raises(LockTaken, match="signal handler.* has waited 0.2 s for .* at .*test_inter"):
        tool(build, timeout=0.2)
    m, s, _ = made
    assert (m.locked(), s.holders(), s.queue) == (False, [], [])


def test_so_is_one_that_comes_between_the_runs_of_a_call():
    with no_call_inside():
        outsiders.listeners[0].limit = 0.01
        with pytest.raises(LockTaken, match="0.01 s"):
            Completion("never").wait()
        assert not Completion("never").wait(timeout=0)


def test_a_thread_that_watches_nothing_may_wait_as_long_as_it_likes():
    seen = []
    with outsiders.Outsiders([], 0.01):
        outsiders.wait_outside(current(), Mutex("m"), EXCLUSIVE, False, seen.append, -1)
    assert seen == [-1]


def test_a_handler_that_might_act_makes_a_hang_one_that_the_timeout_judges(on_signal):
    def build():
        never = Completion("never")
        return {"alice": never.wait}
    for tool in (run, explore):
        result = tool(build, timeout=0.2)
        assert (str(result.verdict), result.finding.text) == (
            "hang", "nothing moved for 0.2 s and no cycle explains it; <lambda>, a signal handler, "
                    "outside the run, may still act")


def test_a_deadlock_is_one_at_once_whoever_might_act(on_signal):
    def build():
        a = Mutex("a")
        return {"alice": lambda: a.acquire() and a.acquire()}
    for tool in (run, explore):
        assert (str(tool(build, timeout=30).verdict), tool(build, timeout=30).finding.how) == (
            "deadlock", "observed")


def test_daemon_threads_are_left_waiting_whoever_might_act(on_signal):
    def build():
        never = Completion("never")

        def role():
            threading.Thread(target=never.wait, daemon=True).start()
        return {"alice": role}
    assert [str(tool(build, timeout=30).verdict) for tool in (run, explore)] == ["clean"] * 2
