"""Work items: who runs them and when, and waiting for them."""

import threading
from collections import deque

import pytest
from model_worlds import join_kworkers

from pcimodel.trees.v4_14 import V4_14
from pcimodel.workqueue import Worker, WorkStruct


@pytest.fixture
def kernel():
    yield V4_14()
    join_kworkers()


class Gate:
    """A work item that stands still in its function until it is opened."""

    def __init__(self, name="gate"):
        self.begun, self.open = threading.Event(), threading.Event()
        self.runs = []
        self.work = WorkStruct(name, self.func)

    def func(self, work):
        self.runs.append(threading.current_thread().name)
        self.begun.set()
        assert self.open.wait(120)


def in_thread(function, *arguments):
    """Call *function* on a thread; return the thread and the list its answer comes into."""
    answers = []
    thread = threading.Thread(target=lambda: answers.append(function(*arguments)))
    thread.start()
    return thread, answers


def flusher_waits(work):
    """Return once some thread waits for *work*."""
    while not (work.pending_barriers or work.running_barriers):
        threading.Event().wait(0.001)


def test_work_runs_on_the_cpu_of_its_caller(kernel):
    seen = []
    work = WorkStruct("work", lambda work: seen.append(
        (kernel.smp_processor_id(), threading.current_thread().name)))
    thread, _ = in_thread(lambda: (kernel.set_cpu(3), kernel.schedule_work(work),
                                   kernel.flush_work(work)))
    thread.join()
    kernel.flush_work(work)
    assert seen == [(3, "kworker/3:0")] and kernel.smp_processor_id() == 0


def test_work_that_ran_on_one_cpu_runs_on_another_when_it_is_queued_there(kernel):
    cpus = []
    work = WorkStruct("work", lambda work: cpus.append(kernel.smp_processor_id()))
    workers = [kernel.create_worker(cpu) for cpu in (1, 2)]
    for cpu in 2, 1, 2:
        assert kernel.queue_work_on(cpu, work)
        for worker in workers:
            worker.worker_thread()
    kernel.set_cpu(0)
    assert cpus == [2, 1, 2]


def test_function_gets_its_work_item(kernel):
    seen = []
    work = WorkStruct("work", seen.append)
    worker = kernel.create_worker(0)
    assert kernel.schedule_work(work)
    worker.worker_thread()
    assert seen == [work]


def test_work_that_is_pending_is_not_queued_again(kernel):
    worker, runs = kernel.create_worker(0), []
    work = WorkStruct("work", runs.append)
    assert [kernel.schedule_work(work) for _ in range(3)] == [True, False, False]
    worker.worker_thread()
    assert len(runs) == 1


def test_worker_of_its_own_runs_the_queue_in_order_and_comes_back(kernel):
    worker, runs = kernel.create_worker(1), []

    def more(work):
        runs.append(work.name)
        if work.name == "b":
            kernel.queue_work_on(1, works["c"])
    works = {name: WorkStruct(name, more) for name in "abc"}
    for name in "ab":
        kernel.queue_work_on(1, works[name])
    worker.worker_thread()
    assert runs == ["a", "b", "c"] and worker.worker_thread() is None
    assert worker.task is threading.current_thread()


def test_work_queued_while_it_runs_runs_once_more_and_never_beside_itself(kernel):
    gate = Gate()
    kernel.schedule_work(gate.work)
    gate.begun.wait(120)
    assert kernel.queue_work_on(5, gate.work) and not kernel.schedule_work(gate.work)
    other = WorkStruct("other", lambda work: None)
    kernel.queue_work_on(5, other)
    kernel.flush_work(other)
    assert len(gate.runs) == 1
    gate.open.set()
    kernel.flush_work(gate.work)
    assert gate.runs == ["kworker/0:0"] * 2


def test_work_never_waits_behind_a_blocked_one(kernel):
    gate, ran = Gate(), threading.Event()
    kernel.schedule_work(gate.work)
    gate.begun.wait(120)
    kernel.schedule_work(WorkStruct("other", lambda work: ran.set()))
    assert ran.wait(120)
    gate.open.set()


def test_pool_starts_a_worker_for_each_item_that_would_wait(kernel, monkeypatch):
    gates, go, worker_thread = [Gate(f"gate{n}") for n in range(3)], threading.Event(), \
        Worker.worker_thread
    monkeypatch.setattr(Worker, "worker_thread", lambda self: go.wait(120) and worker_thread(self))
    for gate in gates:
        kernel.schedule_work(gate.work)
    # Nobody has begun; whoever waits for one of them waits for one of the new workers.
    assert kernel._who_runs(gates[0].work).name == "kworker/0:0"
    go.set()
    for gate in gates:
        assert gate.begun.wait(120)
    assert len({gate.runs[0] for gate in gates}) == 3
    for gate in gates:
        gate.open.set()


def test_no_idle_thread_is_left(kernel):
    work = WorkStruct("work", lambda work: None)
    kernel.schedule_work(work)
    join_kworkers()
    assert kernel.worker_pools[0].idle == []
    assert kernel.schedule_work(work)


def test_flush_of_idle_work_returns_at_once(kernel):
    assert kernel.flush_work(WorkStruct("work", print)) is False


def test_flush_waits_for_the_instance_that_runs(kernel):
    gate = Gate()
    kernel.schedule_work(gate.work)
    gate.begun.wait(120)
    thread, answers = in_thread(kernel.flush_work, gate.work)
    flusher_waits(gate.work)
    assert answers == []
    gate.open.set()
    thread.join()
    assert answers == [True]


def test_flush_of_queued_work_waits_for_that_instance(kernel):
    worker, runs = kernel.create_worker(0), []
    work = WorkStruct("work", runs.append)
    kernel.schedule_work(work)
    thread, answers = in_thread(lambda: (kernel.flush_work(work), len(runs)))
    flusher_waits(work)
    worker.worker_thread()
    thread.join()
    assert answers == [(True, 1)]


def test_cancel_takes_pending_work_off_and_wakes_its_flusher(kernel):
    worker, runs = kernel.create_worker(0), []
    work = WorkStruct("work", runs.append)
    kernel.schedule_work(work)
    thread, answers = in_thread(kernel.flush_work, work)
    flusher_waits(work)
    assert kernel.cancel_work_sync(work) is True
    thread.join()
    worker.worker_thread()
    assert (runs, answers, work.pending_barriers, work.pool.worklist) == ([], [True], [], deque())


def test_cancel_waits_for_running_work_and_keeps_it_from_being_queued(kernel):
    gate = Gate()
    kernel.schedule_work(gate.work)
    gate.begun.wait(120)
    thread, answers = in_thread(kernel.cancel_work_sync, gate.work)
    flusher_waits(gate.work)
    assert kernel.schedule_work(gate.work) is False and answers == []
    gate.open.set()
    thread.join()
    assert answers == [False] and kernel.schedule_work(gate.work) is True
    kernel.flush_work(gate.work)
    assert len(gate.runs) == 2


def test_cancel_of_work_that_runs_and_is_pending_drops_the_second_run(kernel):
    gate = Gate()
    kernel.schedule_work(gate.work)
    gate.begun.wait(120)
    kernel.schedule_work(gate.work)
    thread, answers = in_thread(kernel.cancel_work_sync, gate.work)
    flusher_waits(gate.work)
    gate.open.set()
    thread.join()
    assert (answers, len(gate.runs)) == ([True], 1)


def test_waiter_knows_who_runs_the_work(kernel):
    gate, worker = Gate(), kernel.create_worker(1)
    kernel.schedule_work(gate.work)
    gate.begun.wait(120)
    assert kernel._who_runs(gate.work).name == gate.runs[0]
    gate.open.set()
    later = WorkStruct("later", print)
    kernel.queue_work_on(1, later)
    assert kernel._who_runs(later) is None
    worker.task = threading.current_thread()
    assert kernel._who_runs(later) is threading.current_thread()


def test_work_on_cpu_runs_there_and_brings_the_answer(kernel):
    assert kernel.work_on_cpu(2, lambda arg: (arg, kernel.smp_processor_id()), "x") == ("x", 2)


def test_work_that_dies_does_not_run_any_more(kernel):
    worker = kernel.create_worker(0)

    def die(work):
        raise ZeroDivisionError
    work = WorkStruct("work", die)
    kernel.schedule_work(work)
    with pytest.raises(ZeroDivisionError):
        worker.worker_thread()
    assert kernel.flush_work(work) is False
