"""Pools of threads whose queue and locks are ours: who waits for work at the end, how that ends."""

import concurrent.futures as futures
import concurrent.futures._base as base
import concurrent.futures.thread as pools
import sys
import threading as standard

import pytest

from harness import explore, queue, run, threading


@pytest.fixture(autouse=True)
def ours(monkeypatch):
    monkeypatch.setattr(pools, "queue", queue)
    monkeypatch.setattr(pools, "threading", threading)
    monkeypatch.setattr(base, "threading", threading)
    monkeypatch.setattr(pools, "_global_shutdown_lock", threading.Lock())


def kept(closed):
    def world():
        pool = futures.ThreadPoolExecutor(1)

        def main():
            assert pool.submit(int).result() == 0
            if closed:
                pool.shutdown()
        return {"main": main, "keeps": lambda: pool}
    return world


def test_a_worker_that_waits_for_work_at_the_end_is_left_waiting(caplog):
    result = run(kept(False), runs=3)
    assert str(result.verdict) == "clean"
    assert "a worker of a pool, was left waiting for ThreadPoolExecutor._work_queue" in str(result)


# The work is put before the worker waits for it, or while it does; and its result is waited for, or
# there already. From Python 3.12 on the worker of a pool that is to be closed looks for work
# without waiting first, before it is closed or after: twice as many.
CLOSED = 3 if sys.version_info < (3, 12) else 6


@pytest.mark.parametrize("closed", [True, False])
def test_a_pool_of_one_has_few_schedules(closed):
    result = explore(kept(closed), all=True)
    assert str(result.verdict) == "clean" and result.coverage["complete"]
    assert result.coverage["schedules"] == (CLOSED if closed else 3)


def test_two_pools_have_an_end():
    def world():
        one, two = futures.ThreadPoolExecutor(1), futures.ThreadPoolExecutor(1)

        def main():
            done = one.submit(int), two.submit(int)
            assert [each.result() for each in done] == [0, 0]
            one.shutdown()
            two.shutdown()
        return {"main": main}
    result = explore(world, all=True)
    assert (str(result.verdict), result.coverage["schedules"]) == ("clean", CLOSED * CLOSED)


@pytest.mark.parametrize("daemon, verdict", [(True, "clean"), (False, "hang")])
@pytest.mark.parametrize("tool", [explore, run])
def test_a_thread_that_waits_for_work_at_the_end_is_left_if_it_is_a_daemon(tool, daemon, verdict):
    def world():
        jobs = queue.Queue()

        def worker():
            while True:
                jobs.get()

        def main():
            standard.Thread(target=worker, name="worker", daemon=daemon).start()
            jobs.put(1)
        return {"main": main}
    result = tool(world)
    assert str(result.verdict) == verdict, str(result)


def test_a_pool_that_nobody_has_any_more_ends():
    """Its worker is told so when the pool goes: no frame of who made it is kept."""
    def world():
        def main():
            assert futures.ThreadPoolExecutor(1).submit(int).result() == 0
        return {"main": main}
    for _ in range(5):
        result = run(world, runs=1)
        assert str(result.verdict) == "clean" and "left waiting" not in str(result)
