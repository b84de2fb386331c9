"""A role that waits outside our locks is a hang only if no other one could go on."""

import threading

import pytest

from harness import Mutex, Verdict, explore


@pytest.mark.parametrize("limits, verdict, said", [
    ((), Verdict.HANG, "and no other role can go on"),
    ((True, 60), Verdict.INCONCLUSIVE, "while other is held back")])
def test_who_could_give_up_is_held_back_and_who_could_not_waits(limits, verdict, said):
    """He wants the lock of the one that waits outside."""
    free, before = threading.Event(), set(threading.enumerate())

    def world():
        lock = Mutex("lock")

        def outside():
            with lock:
                free.wait()

        def other():
            if lock.acquire(*limits):
                lock.release()

        return {"outside": outside, "other": other}

    try:
        result = explore(world, timeout=0.05, engine=False)
    finally:
        free.set()
        for thread in set(threading.enumerate()) - before:
            thread.join()
    assert result.verdict is verdict and said in " ".join(str(result).split())
