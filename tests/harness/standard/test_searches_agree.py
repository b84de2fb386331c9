"""Whatever the plain search sees of the primitives, the reduced one sees, and nothing else."""

import pytest
from random_primitives import compare

from harness import Scenario, explore, threading
from harness.runtime.workers import Workers

SEEDS = 3, 9, 18, 32, 37, 44, 52, 73, 113, 120


@pytest.mark.parametrize("seed", SEEDS)
def test_random_worlds(seed):
    with Workers() as workers:
        wrong, ends = compare(seed, workers, most=60)
    assert wrong == [] and ends > 1


@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_who_is_told_when_his_time_was_up_is_not_told_again(strategy):
    """Two waits with a limit, and one `notify`, in the order in which they have the lock (n: told;
    T, F: what a wait came to). It comes before both; to the first; to the first, late; to the
    second; to the second, late, or after both. Nobody is woken by what came before he waited.
    """
    seen = set()

    def world():
        ready, story = threading.Condition(), []

        def waits():
            with ready:
                for _ in range(2):
                    story.append("T" if ready.wait(1) else "F")

        def tells():
            with ready:
                ready.notify()
                story.append("n")

        return Scenario({"waits": waits, "tells": tells}, check=lambda: seen.add("".join(story)))

    assert explore(world, strategy=strategy, engine=False).coverage["complete"]
    assert seen == {"nFF", "nTF", "FnT", "FnF", "FFn"}


class Box:
    """Items under a condition; `seen`: who got one."""

    def __init__(self, shared=False):
        self.ready = threading.Condition(threading.Lock() if shared else None)
        self.items, self.seen = [], []

    def get(self, name, timeout):
        with self.ready:
            while not self.items:
                self.ready.wait(timeout)
            self.items.pop()
            self.seen.append(name)

    def put(self, number=1):
        with self.ready:
            self.items += [1] * number
            self.ready.notify()


def one_waits(box):
    return {"g": lambda: box.get("g", 1), "p": box.put}


def two_wait(box):
    """Only the first of the queue is told, and may be late: which is first changes all the time."""
    return {"g": lambda: box.get("g", 1), "h": lambda: box.get("h", None), "p": lambda: box.put(2)}


@pytest.mark.parametrize("shared, roles", [
    (False, one_waits), (True, one_waits), (True, two_wait)])
def test_loops_that_wait_with_a_limit(shared, roles):
    found = {}
    for strategy in ("dfs", "dpor"):
        seen = found[strategy] = set()

        def world(seen=seen):
            box = Box(shared)
            return Scenario(roles(box), check=lambda: seen.add((*box.seen, len(box.items))))

        result = explore(world, strategy=strategy, engine=False, all=True)
        assert result.coverage["complete"]
        seen.update(result.coverage.get("verdicts", ["clean"]))
    assert found["dfs"] == found["dpor"]
