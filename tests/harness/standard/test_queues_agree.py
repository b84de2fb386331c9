"""Whatever the plain search sees of queues, the reduced one sees, and nothing else."""

import pytest
from random_queues import compare

from harness import explore, queue
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


@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_what_was_done_before_a_queue_was_looked_into_may_come_after_it(strategy):
    """Who looks into it is first, or the other one: it is empty then, or not."""
    seen = set()

    def world():
        jobs = queue.Queue()

        def insider():
            with jobs.mutex:
                seen.add(len(jobs.queue))
        return {"insider": insider, "putter": lambda: jobs.put(1)}
    assert str(explore(world, strategy=strategy, all=True).verdict) == "clean"
    assert seen == {0, 1}
