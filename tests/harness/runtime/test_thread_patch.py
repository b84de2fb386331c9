"""Threads that roles start: part of the run, waited for in the graph; the interpreter's own
functions put back.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness import Completion, Mutex, Verdict, run

START, JOIN = threading.Thread.start, threading.Thread.join


@pytest.fixture(autouse=True)
def the_interpreters_own_functions_are_put_back():
    yield
    assert (threading.Thread.start, threading.Thread.join) == (START, JOIN)


def test_a_thread_started_by_a_role_is_a_daemon_of_the_run_under_its_name():
    lock, story = Mutex("a"), []

    def worker():
        with lock:
            story.append(threading.current_thread().daemon)

    def boss():
        threading.Thread(target=worker, name="worker").start()

    result = run(lambda: {"boss": boss}, runs=1)
    assert (result.verdict, story, [(e["role"], e["event"]) for e in result.trace]) == (
        Verdict.CLEAN, [True], [("worker", "lock_acquire"), ("worker", "lock_acquired"),
                                ("worker", "lock_release")])


def test_threads_of_the_same_name_get_names_of_their_own():
    lock = Mutex("a")

    def worker():
        with lock:
            pass

    def boss():
        for _ in range(3):
            thread = threading.Thread(target=worker, name="worker")
            thread.start()
            thread.join()

    result = run(lambda: {"boss": boss})
    assert [e["role"] for e in result.trace if e["event"] == "lock_release"] \
        == ["worker", "worker#2", "worker#3"]


def test_the_run_ends_when_the_last_thread_has_ended_not_the_last_role():
    go, story = Completion("go"), []

    def worker():
        go.wait(by="second")
        story.append("worker ended")

    def first():
        threading.Thread(target=worker, name="worker").start()

    result = run(lambda: {"first": first, "second": go.complete}, runs=1)
    assert (result.verdict, story) == (Verdict.CLEAN, ["worker ended"])


def joins_holding(lock):
    def boss():
        def worker():
            with lock:
                pass
        thread = threading.Thread(target=worker, name="worker")
        with lock:
            thread.start()
            thread.join()
    return {"boss": boss}


def test_joining_a_thread_that_needs_what_one_holds_is_a_deadlock():
    result = run(lambda: joins_holding(Mutex("lock")))
    assert (result.verdict, result.how, [(leg["role"], leg["wants"], leg["mode"], leg["holds"])
                                         for leg in result.cycle]) == (
        Verdict.DEADLOCK, "observed",
        [("boss", "thread (worker)", "wait", [["lock", "exclusive"]]),
         ("worker", "lock", "exclusive", [])])


def test_two_threads_that_join_each_other_are_a_deadlock():
    threads, ready = {}, Completion("ready")

    def joiner(other):
        def join():
            ready.wait(by="boss")
            threads[other].join()
        return join

    def boss():
        for name, other in (("A", "B"), ("B", "A")):
            threads[name] = threading.Thread(target=joiner(other), name=name)
        for thread in threads.values():
            thread.start()
        ready.complete_all()

    result = run(lambda: {"boss": boss})
    assert (result.verdict, {leg["role"]: leg["wants"] for leg in result.cycle}) == (
        Verdict.DEADLOCK, {"A": "thread (B)", "B": "thread (A)"})


def test_a_join_with_a_limit_expires_and_is_no_deadlock():
    lock, story = Mutex("lock"), []

    def boss():
        def worker():
            with lock:
                pass
        thread = threading.Thread(target=worker, name="worker")
        with lock:
            thread.start()
            thread.join(0.01)
            story.append(thread.is_alive())
        thread.join()
        story.append(thread.is_alive())

    result = run(lambda: {"boss": boss}, runs=1)
    assert (result.verdict, story) == (Verdict.CLEAN, [True, False])


def test_an_error_in_a_thread_of_a_role_is_an_error_of_the_run():
    def worker():
        raise KeyError("spoon")

    def boss():
        thread = threading.Thread(target=worker, name="worker")
        thread.start()
        thread.join()

    result = run(lambda: {"boss": boss})
    line = worker.__code__.co_firstlineno + 1
    assert (result.verdict, result.finding.text) == (
        Verdict.ERROR, f"worker raised KeyError: 'spoon', at test_thread_patch.py:{line}")


def test_a_join_of_a_thread_outside_the_run_waits_as_ever():
    go, story = threading.Event(), []
    outsider = threading.Thread(target=lambda: (go.wait(), story.append("outsider")))
    outsider.start()

    def role():
        go.set()
        outsider.join()
        story.append("role")

    result = run(lambda: {"role": role, "other": Mutex("a").locked}, runs=1)
    assert (result.verdict, story) == (Verdict.CLEAN, ["outsider", "role"])


def test_starting_a_thread_twice_is_refused_as_ever():
    def role():
        thread = threading.Thread(target=lambda: None, name="once")
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError):
            thread.start()

    result = run(lambda: {"role": role, "other": Mutex("a").locked})
    assert result.verdict is Verdict.CLEAN, str(result)


def test_a_subclass_with_a_run_method_of_its_own_joins_the_run():
    lock = Mutex("a")

    class Worker(threading.Thread):
        def run(self):
            with lock:
                pass

    def boss():
        Worker(name="worker").start()

    result = run(lambda: {"boss": boss})
    assert {e["role"] for e in result.trace} == {"worker"}


def test_runs_side_by_side_keep_their_threads_apart_and_put_everything_back_once():
    inside, results = threading.Barrier(2, timeout=120), {}

    def world(name):
        lock = Mutex(f"lock of {name}")

        def boss():
            inside.wait()   # both runs are under way
            joins_holding(lock)["boss"]()
        return {"boss": boss}

    def call(name):
        results[name] = run(lambda: world(name))

    calls = [threading.Thread(target=call, args=(name,)) for name in "AB"]
    for thread in calls:
        thread.start()
    for thread in calls:
        thread.join()
    assert {name: (result.verdict, result.cycle[1]["wants"]) for name, result in results.items()} \
        == {name: (Verdict.DEADLOCK, f"lock of {name}") for name in "AB"}


def test_threads_started_outside_while_a_run_goes_on_are_left_alone():
    started, story = threading.Event(), []
    lock = Mutex("lock")

    def role():
        started.set()
        outside.join()

    def outsider():
        started.wait()
        thread = threading.Thread(target=lambda: lock.__enter__() and lock.release())
        thread.start()
        thread.join()
        story.append(thread.daemon)

    outside = threading.Thread(target=outsider)
    outside.start()
    result = run(lambda: {"role": role, "other": lock.locked})
    assert (result.verdict, story) == (Verdict.CLEAN, [False])
    assert [event["event"] for event in result.trace] == ["look"]


def test_a_pool_that_is_left_idle_is_no_hang():
    """The interpreter ends its workers; a later world may use them, so no further run is begun."""
    before, pools = set(threading.enumerate()), []

    def world():
        lock, pool = Mutex("m"), ThreadPoolExecutor(1)
        pools.append(pool)

        def role():
            pool.submit(lambda: lock.acquire() and lock.release()).result()

        return {"role": role}

    result = run(world, runs=5, timeout=0.2)
    for pool in pools:
        pool.shutdown()
    assert (result.verdict, len(pools)) == (Verdict.INCONCLUSIVE, 1)
    assert result.outcome.gravest.text == "roles have ended; ThreadPoolExecutor-1_0 of a pool " \
                                          "that is not shut down may get more work"
    assert set(threading.enumerate()) == before


def test_a_worker_of_a_pool_that_waits_in_its_work_is_a_hang():
    go, before, pools = threading.Event(), set(threading.enumerate()), []

    def world():
        pool, lock = ThreadPoolExecutor(1), Mutex("m")
        pools.append(pool)

        def role():
            with lock:
                pool.submit(go.wait)

        return {"role": role}

    result = run(world, runs=1, timeout=0.2)
    go.set()
    pools[0].shutdown()
    assert result.verdict is Verdict.HANG and set(threading.enumerate()) == before
