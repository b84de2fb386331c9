"""kernel/workqueue.c (v4.14): work items, the pools that run them, and waiting for them.

Each CPU has a pool.  A pool gets worker threads when there is work and no worker is free, and they
end when the pool is empty; or a thread of the caller's choice is its only worker (create_worker).
A work item never runs twice at the same time; queued while it runs, it runs once more.

Lock order: whoever flushes or cancels a work item under a lock makes that lock come before every
lock the item takes.  The pools' own lock is a spinlock in C; it is held for list changes only.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from threading import Thread
from typing import Any

from .device import NULL
from .locking import Completion, complete_all, init_completion, wait_for_completion


class WorkStruct:
    """struct work_struct.  States: idle, pending (on a list), running; pending and running.

    ``func(work)`` is called once for each time the item was queued while not pending.
    """

    def __init__(self, name: str, func: Callable[[Any], object]) -> None:
        self.name = name
        self.func = func
        self.pending = False
        self.pool: WorkerPool = NULL
        """Where it is pending or was last."""
        self.worker: Worker | None = None
        """Who runs it."""
        self.canceling = 0
        """How many cancel_work_sync are under way; nobody can queue it meanwhile."""
        self.pending_barriers: list[Completion] = []
        self.running_barriers: list[Completion] = []

    def __repr__(self) -> str:
        return f"<WorkStruct {self.name}>"


class WorkerPool:
    """struct worker_pool: what waits to run on one CPU, and who may run it."""

    def __init__(self, cpu: int) -> None:
        self.cpu = cpu
        self.worklist: deque[WorkStruct] = deque()
        self.idle: list[Worker] = []
        """Workers that will look at the worklist before they end."""
        self.serial = 0
        self.only_worker: Worker | None = None


class Worker:
    """struct worker: one thread, or one to be, that runs the items of a pool."""

    def __init__(self, workqueues: Workqueues, pool: WorkerPool) -> None:
        self.workqueues = workqueues
        self.pool = pool
        self.task: Thread = NULL
        self.scheduled: deque[WorkStruct] = deque()
        """Items that were queued again while this worker runs them."""

    def worker_thread(self) -> None:
        """Run what is queued in the pool until nothing is left.

        Kernel: worker_thread(), kernel/workqueue.c
        Locks:  none
        Called with: no lock required
        Returns: nothing, once the pool is empty
        Left out: idling; the thread ends instead
        """
        self.task = threading.current_thread()
        self.workqueues.set_cpu(self.pool.cpu)
        while (work := self.workqueues.next_work(self)) is not None:
            self.workqueues.process_one_work(self, work)


class Workqueues:
    """The functions of kernel/workqueue.c, for the system's one queue."""

    def workqueue_init(self) -> None:
        """Set up the pools, which are empty.

        Kernel: workqueue_init(), kernel/workqueue.c
        Locks:  none
        Called with: nothing running yet
        Returns: nothing
        Left out: unbound queues, priorities, rescuers, freezing
        """
        self.worker_pools: dict[int, WorkerPool] = {}
        self._pool_lock = threading.Lock()
        self._percpu = threading.local()

    def smp_processor_id(self) -> int:
        """Return the CPU that the calling thread runs on.

        Kernel: smp_processor_id(), include/linux/smp.h
        Locks:  none
        Called with: any locks
        Returns: the number given to set_cpu, else 0
        Left out: migration
        """
        return getattr(self._percpu, "cpu", 0)

    def set_cpu(self, cpu: int) -> None:
        """Bind the calling thread to *cpu*.

        Kernel: set_cpus_allowed_ptr(), kernel/sched/core.c
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: everything but the number
        """
        self._percpu.cpu = cpu

    def create_worker(self, cpu: int) -> Worker:
        """Make a worker that will be the only one of the pool of *cpu*.

        Kernel: create_worker(), kernel/workqueue.c
        Locks:  none
        Called with: nothing queued on that CPU yet
        Returns: the worker; some thread must call its worker_thread()
        Left out: in C the pool starts a thread for it and has as many as it needs
        """
        pool = self._pool(cpu)
        pool.only_worker = Worker(self, pool)
        return pool.only_worker

    def schedule_work(self, work: WorkStruct) -> bool:
        """Queue *work* on the CPU of the caller.

        Kernel: schedule_work(), include/linux/workqueue.h
        Locks:  none
        Called with: any locks, also from an interrupt
        Returns: False if it was pending already (or is being cancelled)
        Left out: nothing
        """
        return self.queue_work_on(self.smp_processor_id(), work)

    def queue_work_on(self, cpu: int, work: WorkStruct) -> bool:
        """Queue *work* on *cpu*; if a worker runs it right now, behind that worker.

        Kernel: queue_work_on(), kernel/workqueue.c
        Locks:  none
        Called with: any locks, also from an interrupt
        Returns: False if it was pending already (or is being cancelled)
        Left out: nothing
        """
        started: Worker | None = None
        with self._pool_lock:
            if work.pending or work.canceling:
                return False
            work.pending = True
            work.pool = pool = self._pool(cpu)
            if work.worker is not None:
                # Never two instances at once: who runs it now runs it again.
                work.worker.scheduled.append(work)
            else:
                pool.worklist.append(work)
                started = self._needed_worker(pool)
        if started is not None:
            started.task.start()
        return True

    def flush_work(self, work: WorkStruct) -> bool:
        """Wait until the instance of *work* that is queued or running now has finished.

        Kernel: flush_work(), kernel/workqueue.c
        Locks:  (work_completion)(&work) (wait), only if it is queued or running
        Called with: no lock that *work* takes
        Returns: True if it had to wait
        Left out: nothing
        """
        with self._pool_lock:
            barriers = self._barriers_of(work)
            if barriers is None:
                return False
            done = init_completion(work.name, f"(work_completion)(&{work.name})")
            barriers.append(done)
        wait_for_completion(done, by=lambda: self._who_runs(work))
        return True

    def cancel_work_sync(self, work: WorkStruct) -> bool:
        """Take *work* off its queue and wait until it does not run any more.

        Kernel: cancel_work_sync(), kernel/workqueue.c
        Locks:  via flush_work: (work_completion)(&work) (wait), only if it is running
        Called with: no lock that *work* takes
        Returns: True if it was pending
        Left out: nothing
        """
        with self._pool_lock:
            work.canceling += 1
            was_pending, barriers = work.pending, work.pending_barriers
            if was_pending:
                self._dequeue(work)
        for done in barriers:
            complete_all(done)
        try:
            self.flush_work(work)
        finally:
            with self._pool_lock:
                work.canceling -= 1
        return was_pending

    def work_on_cpu(self, cpu: int, fn: Callable[[Any], int], arg: Any) -> int:
        """Call ``fn(arg)`` on a worker of *cpu* and wait for its answer.

        Kernel: work_on_cpu(), kernel/workqueue.c
        Locks:  via flush_work: (work_completion)(&wfc.work) (wait)
        Called with: no lock that *fn* takes
        Returns: what *fn* returned
        Left out: nothing
        """
        answers: list[int] = []
        work = WorkStruct("wfc.work", lambda work: answers.append(fn(arg)))
        self.queue_work_on(cpu, work)
        self.flush_work(work)
        return answers[0]

    def next_work(self, worker: Worker) -> WorkStruct | None:
        """Give *worker* its next item and mark it running.

        Kernel: worker_thread(), kernel/workqueue.c (the head of its loop)
        Locks:  none
        Called with: no lock required
        Returns: the item, or None if nothing is left
        Left out: nothing
        """
        with self._pool_lock:
            queue = worker.scheduled or worker.pool.worklist
            # Busy from here on, or gone: either way it will not look at the worklist.
            if worker in worker.pool.idle:
                worker.pool.idle.remove(worker)
            if not queue:
                return None
            work = queue.popleft()
            work.pending, work.worker = False, worker
            work.running_barriers, work.pending_barriers = work.pending_barriers, []
            return work

    def process_one_work(self, worker: Worker, work: WorkStruct) -> None:
        """Call the function of *work*, then wake those who flush it.

        Kernel: process_one_work(), kernel/workqueue.c
        Locks:  the work item's
        Called with: no lock required
        Returns: nothing
        Left out: lockdep's map of the work item
        """
        barriers: list[Completion] = []
        try:
            work.func(work)
            barriers = work.running_barriers
        finally:
            # If the item died its barriers stay: nobody ever wakes those who wait for it.
            with self._pool_lock:
                work.worker = None
        for done in barriers:
            complete_all(done)
        with self._pool_lock:
            if worker.pool.only_worker is not worker:
                worker.pool.idle.append(worker)

    def _pool(self, cpu: int) -> WorkerPool:
        """Return the pool of *cpu*; called under the pools' lock."""
        return self.worker_pools.setdefault(cpu, WorkerPool(cpu))

    def _needed_worker(self, pool: WorkerPool) -> Worker | None:
        """Return a new worker if an item would have to wait for a busy one; under the lock."""
        if pool.only_worker is not None or len(pool.worklist) <= len(pool.idle):
            return None
        worker = Worker(self, pool)
        worker.task = Thread(target=worker.worker_thread, daemon=True,
                             name=f"kworker/{pool.cpu}:{pool.serial}")
        pool.serial += 1
        pool.idle.append(worker)
        return worker

    def _dequeue(self, work: WorkStruct) -> None:
        """Take a pending item off its list; called under the pools' lock."""
        queue = work.pool.worklist
        if work.worker is not None and work in work.worker.scheduled:
            queue = work.worker.scheduled
        queue.remove(work)
        work.pending = False
        work.pending_barriers = []

    def _barriers_of(self, work: WorkStruct) -> list[Completion] | None:
        """Return where to wait for the last instance of *work*; called under the pools' lock."""
        if work.pending:
            return work.pending_barriers
        return None if work.worker is None else work.running_barriers

    def _who_runs(self, work: WorkStruct) -> Thread | None:
        """Name the thread that runs *work* or will; None while nobody can tell.  Takes no lock."""
        worker, pool = work.worker, work.pool
        if worker is None and pool is not None:
            worker = pool.only_worker or next(iter(pool.idle), None)
        return None if worker is None else worker.task
