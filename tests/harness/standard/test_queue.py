"""What is found of `harness.queue` with the one changed import."""

import queue as standard
import weakref

import pytest

from harness import Mutex, Scenario, explore, force, predict, queue, run
from harness.standard import queue_node

KINDS = queue.Queue, queue.LifoQueue, queue.PriorityQueue
ALL = (*KINDS, queue.SimpleQueue)
needs_shutdown = pytest.mark.skipif(not hasattr(standard, "ShutDown"), reason="before 3.13")


def schedules(world, strategy="dfs"):
    result = explore(world, strategy=strategy, all=True)
    assert result.coverage["complete"]
    return result.coverage["schedules"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_queue_is_the_standard_class_and_its_exceptions_are_the_standard_ones(kind):
    assert issubclass(kind, getattr(standard, kind.__name__))
    assert queue.Empty is standard.Empty and queue.Full is standard.Full
    assert getattr(queue, "ShutDown", None) is getattr(standard, "ShutDown", None)


# Each operation of a queue is one step. Queue(1): put 1, get 1, put 2, get 2; there is no other
# order, as a put waits for room and a get for an item.
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_two_items_through_room_for_one_have_one_order(kind, strategy):
    def world():
        jobs, got = kind(1), []

        def consumer():
            got.extend([jobs.get(), jobs.get()])

        def check():
            assert got == [1, 2]

        return Scenario({"producer": lambda: [jobs.put(1), jobs.put(2)], "consumer": consumer},
                        check=check)
    assert schedules(world, strategy) == 1


# Unbounded: ppgg, pgpg.
@pytest.mark.parametrize("kind", ALL)
def test_two_items_without_a_bound_have_two_orders(kind):
    def world():
        jobs = kind()
        return {"producer": lambda: [jobs.put(1), jobs.put(2)],
                "consumer": lambda: [jobs.get(), jobs.get()]}
    assert schedules(world) == 2


# Two puts and their two orders; who looks before, between or after sees 0, 1 or 2: 3 * 2 = 6.
@pytest.mark.parametrize("kind", ALL)
def test_a_look_sees_every_size(kind):
    sizes = set()

    def world():
        jobs = kind()
        return {"a": lambda: jobs.put(1), "b": lambda: jobs.put(2),
                "looker": lambda: sizes.add((jobs.qsize(), ))}
    assert schedules(world) == 6
    assert sizes == {(0,), (1,), (2,)}


# A get with a limit, alone: it gives up. With a put: the put first (1), or the limit first (1).
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_a_limit_may_run_out_before_a_put_and_not_after_it(kind, strategy):
    seen = set()

    def world():
        jobs = kind()

        def getter():
            try:
                seen.add(jobs.get(timeout=60))
            except queue.Empty:
                seen.add("empty")
        return {"getter": getter, "putter": lambda: jobs.put(1)}
    assert schedules(world, strategy) == 2
    assert seen == {1, "empty"}


@pytest.mark.parametrize("tool, kind", [*((explore, kind) for kind in ALL), (run, queue.Queue),
                                        (predict, queue.SimpleQueue), (force, queue.LifoQueue)])
def test_a_get_that_nobody_ends_is_a_hang_that_names_the_queue(tool, kind):
    def world():
        jobs = kind()
        return {"worker": lambda: [jobs.get(), jobs.get()], "main": lambda: jobs.put(1)}
    result = tool(world)
    assert str(result.verdict) == "hang"
    assert "get(jobs)" in str(result) and "test_queue.py:" in str(result)


@pytest.mark.parametrize("tool", [explore, run])
def test_a_join_without_task_done_is_a_hang(tool):
    def world():
        jobs = queue.Queue()
        return {"worker": jobs.get, "main": lambda: [jobs.put(1), jobs.join()]}
    result = tool(world)
    assert str(result.verdict) == "hang" and "join(jobs)" in str(result)


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_waits_for_room_goes_on_when_there_is_some(kind):
    def world():
        jobs = kind(1)

        def consumer():
            for _ in range(4):
                jobs.get()
                jobs.task_done()

        def producer():
            jobs.put(1)
            jobs.put(2)
        return {"p": producer, "q": producer, "consumer": consumer, "main": jobs.join}
    assert str(run(world, runs=10).verdict) == "clean"


def test_join_waits_for_every_task():
    done = []

    def world():
        jobs, story = queue.Queue(), []

        def worker():
            jobs.get()
            story.append("done")
            jobs.task_done()

        def main():
            jobs.put(1)
            jobs.put(2)
            jobs.join()
            done.append(list(story))
        return {"w1": worker, "w2": worker, "main": main}
    assert str(explore(world, all=True).verdict) == "clean"
    assert done and all(each == ["done", "done"] for each in done)


def test_a_task_done_too_many_is_the_standard_error():
    jobs = queue.Queue()
    jobs.put(1)
    jobs.task_done()
    with pytest.raises(ValueError, match="task_done"):
        jobs.task_done()


class Filtered(queue.Queue):
    """Overrides a hook: it is the standard class over our locks."""

    lock = None

    def _put(self, item):
        if self.lock is not None:
            with self.lock:
                super()._put(item)


def test_what_runs_in_a_hook_runs_with_the_lock_of_the_queue():
    def world():
        jobs, lock = Filtered(), Mutex("lock")
        jobs.lock = lock

        def putter():
            jobs.put(1)

        def looker():
            with lock:
                jobs.qsize()
        return {"putter": putter, "looker": looker}
    assert str(explore(world).verdict) == "deadlock"


def test_a_comparison_of_the_users_runs_with_the_lock_of_the_queue():
    class Item:
        def __init__(self, lock):
            self.lock = lock

        def __lt__(self, other):
            with self.lock:
                return True

    def world():
        jobs, lock = queue.PriorityQueue(), Mutex("lock")

        def putter():
            jobs.put(Item(lock))
            jobs.put(Item(lock))

        def looker():
            with lock:
                jobs.qsize()
        return {"putter": putter, "looker": looker}
    assert str(explore(world).verdict) == "deadlock"


@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_whoever_waits_goes_on_when_the_lock_is_asked_for(strategy):
    """A getter waits already when another looks into the queue: no schedule is lost, none hangs."""
    def world():
        jobs, got = queue.Queue(), []

        def insider():
            with jobs.mutex:
                jobs._put("in")
                jobs.not_empty.notify()

        def check():
            assert got == ["in"]
        return Scenario({"getter": lambda: got.append(jobs.get()), "insider": insider},
                        check=check)
    result = explore(world, strategy=strategy, all=True)
    assert str(result.verdict) == "clean" and result.coverage["schedules"] > 1
    assert str(run(world, runs=20).verdict) == "clean"


# The lock of a real queue is held then; the put of a SimpleQueue is one call in C.
@pytest.mark.parametrize("tool", [explore, run])
@pytest.mark.parametrize("kind, verdict", [(queue.Queue, "deadlock"), (queue.SimpleQueue, "clean")])
def test_a_put_in_the_middle_of_a_put_waits_for_itself_if_a_lock_is_held(kind, verdict, tool,
                                                                         monkeypatch):
    ask, interrupts = queue_node.ask, []

    def interrupted(*how):
        if interrupts:
            interrupts.pop()()    # as a finalizer would
        return ask(*how)
    monkeypatch.setattr(queue_node, "ask", interrupted)

    def world():
        jobs = kind()
        interrupts[:] = [lambda: jobs.put("gone")]
        return {"app": lambda: jobs.put("event")}
    result = tool(world)
    assert str(result.verdict) == verdict, str(result)
    assert verdict == "clean" or "app waits for itself" in str(result)


@needs_shutdown
@pytest.mark.parametrize("strategy", ["dfs", "dpor"])
def test_a_shutdown_ends_waits(strategy):
    seen = set()

    def world():
        jobs = queue.Queue()

        def getter():
            try:
                seen.add(jobs.get())
            except queue.ShutDown:
                seen.add("shut down")
        return {"getter": getter, "main": lambda: jobs.shutdown()}
    assert schedules(world, strategy) == 1    # the get waits for it
    assert seen == {"shut down"}


def test_a_queue_goes_with_its_last_reference():
    jobs = queue.Queue()
    jobs.put(1)
    gone = weakref.ref(jobs)
    del jobs
    assert gone() is None
