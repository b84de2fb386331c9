"""What C protects by a spinlock is changed only by its holder: work items and pools, the registers
of errors, the messages of a port.  Each change is looked at, so no two threads have to collide.
"""

import threading

import pytest
from model_worlds import PF, PORT, boot, find

from pcimodel.aerdrv import AER_CORRECTABLE, AER_FATAL
from pcimodel.pci_regs import PCI_ERR_ROOT_STATUS
from pcimodel.trees.v4_14 import V4_14
from pcimodel.workqueue import Worker, WorkStruct


class Spinlock:
    """A lock that knows whether its caller holds it."""

    def __init__(self):
        self.lock, self.owner = threading.Lock(), None

    def __enter__(self):
        self.lock.acquire()
        self.owner = threading.get_ident()

    def __exit__(self, *error):
        self.owner = None
        self.lock.release()

    def held(self):
        return self.owner == threading.get_ident()


def guarded(monkeypatch, lock, cls, wrong):
    """Note in *wrong* each field of a *cls* that is changed without *lock*, but by its making."""
    def setattr_(self, name, value):
        if not lock.held() and name in vars(self) and name != "task":
            wrong.append(name)
        object.__setattr__(self, name, value)
    monkeypatch.setattr(cls, "__setattr__", setattr_, raising=False)


class Guarded(dict):
    """Registers that are written under *lock* only."""

    def __setitem__(self, where, value):
        assert self.lock.held()
        super().__setitem__(where, value)


class Idle(list):
    """Idle workers, looked at under *lock* only."""

    def append(self, worker):
        assert self.lock.held()
        super().append(worker)

    def remove(self, worker):
        assert self.lock.held()
        super().remove(worker)


@pytest.fixture
def pools(monkeypatch):
    kernel, wrong = V4_14(), []
    kernel._pool_lock = lock = Spinlock()
    guarded(monkeypatch, lock, WorkStruct, wrong)
    worker = Worker(kernel, kernel._pool(0))
    worker.pool.idle = Idle()
    worker.pool.idle.lock = lock
    yield kernel, worker
    assert wrong == []


def test_work_is_queued_run_and_queued_again_under_the_lock_of_its_pool(pools):
    kernel, worker = pools
    worker.pool.only_worker = worker

    def again(work):
        if len(ran) < 2:
            kernel.schedule_work(work)
        ran.append(work.name)
    ran = []
    kernel.schedule_work(WorkStruct("work", again))
    worker.worker_thread()
    assert len(ran) == 3 and not worker.pool.idle


def test_worker_becomes_idle_and_busy_under_the_lock_of_its_pool(pools):
    kernel, worker = pools
    for _ in range(2):
        kernel.process_one_work(worker, WorkStruct("work", lambda work: None))
        assert worker.pool.idle == [worker]
        assert kernel.next_work(worker) is None and worker.pool.idle == []


def test_work_is_cancelled_under_the_lock_of_its_pool(pools):
    kernel, worker = pools
    worker.pool.only_worker = worker
    work = WorkStruct("work", lambda work: None)
    kernel.schedule_work(work)
    assert [kernel.cancel_work_sync(work) for _ in range(2)] == [True, False]
    assert (work.pending, work.canceling, list(worker.pool.worklist)) == (False, 0, [])


def test_barriers_of_work_are_looked_at_under_the_lock_of_its_pool(pools):
    kernel, _ = pools
    plain, held = kernel._barriers_of, []
    kernel._barriers_of = lambda work: held.append(kernel._pool_lock.held()) or plain(work)
    assert not kernel.flush_work(WorkStruct("work", print))
    assert held == [True]


@pytest.mark.parametrize("severity", [AER_CORRECTABLE, AER_FATAL])
def test_error_is_raised_and_sent_under_the_locks_of_register_and_port(severity):
    kernel = boot()
    worker, port = kernel.create_worker(0), find(kernel, PORT)
    for dev in port, find(kernel, PF):
        dev.config._register_lock = Spinlock()
        dev.config.registers = Guarded(dev.config.registers)
        dev.config.registers.lock = dev.config._register_lock
    kernel._inject_lock = Spinlock()
    plain, held = port.config.raise_bits, []
    port.config.raise_bits = lambda where, bits: (
        held.append((where - port.aer_cap, kernel._inject_lock.held())), plain(where, bits))
    assert kernel.aer_inject(find(kernel, PF), severity) == 0
    worker.worker_thread()
    assert held == [(PCI_ERR_ROOT_STATUS, True)]


def test_place_for_an_error_of_the_firmware_is_taken_under_the_lock_of_the_ring():
    kernel, held = boot(), []
    worker = kernel.create_worker(0)
    kernel._aer_recover_ring_lock = lock = Spinlock()

    class Ring(type(kernel.aer_recover_ring)):
        def __len__(self):
            held.append(lock.held())
            return super().__len__()

        def append(self, entry):
            held.append(lock.held())
            super().append(entry)
    kernel.aer_recover_ring = Ring()
    kernel.aer_recover_queue(0, 1, 0, AER_FATAL)
    assert held == [True, True]
    worker.worker_thread()
