"""Whatever the plain search sees of queues, the reduced one sees, and nothing else."""

import pytest
from random_queues import compare

from harness import Mutex, Scenario, explore, queue
from harness.runtime.workers import Workers

SEEDS = range(25)


def test_random_worlds():
    """Some differ from one Python to the next: from 3.13 on there is `shutdown`."""
    with Workers() as workers:
        found = [found for seed in SEEDS if (found := compare(seed, workers, most=60)) is not None]
    assert [line for lines, *_ in found for line in lines] == []
    assert len(found) > 20 and sum(ends > 2 for _, ends, *_ in found) > len(found) / 2


class Hooked(queue.Queue):
    """The standard class over our lock, for a hook."""

    def _get(self):
        return super()._get()


@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_a_limit_that_ran_out_is_over_though_no_time_has_passed(strategy):
    seen = set()

    def world():
        jobs = Hooked()

        def getter():
            try:
                seen.add(jobs.get(timeout=3600))
            except queue.Empty:
                seen.add("empty")
        return {"getter": getter, "putter": lambda: jobs.put(1)}
    result = explore(world, strategy=strategy, all=True)
    assert str(result.verdict) == "clean" and result.coverage["complete"]
    assert seen == {1, "empty"}


# Who puts, and then looks whether the other has begun, may do both before that one begins, though
# it comes to another lock once that one has looked into the queue.
@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_what_comes_after_a_queue_was_looked_into_may_come_before_it(strategy):
    seen = set()

    def world():
        jobs, lock, told = queue.Queue(), Mutex("lock"), {"begun": False}

        def insider():
            with lock:
                told["begun"] = True
            with jobs.mutex:
                told["size"] = len(jobs.queue)

        def putter():
            jobs.put(1)
            with lock:
                told["saw"] = told["begun"]
        return Scenario({"insider": insider, "putter": putter},
                        check=lambda: seen.add((told["saw"], told["size"])))
    result = explore(world, strategy=strategy, engine=False, all=True)
    assert str(result.verdict) == "clean" and result.coverage["complete"]
    assert seen == {(True, 0), (True, 1), (False, 1)}
