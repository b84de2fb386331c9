"""defer-vf-add-notify: what Wei Yang's notification would do, and where it is a trap."""

from __future__ import annotations

import errno

import pytest

from harness.locks.errors import RecursiveAcquire
from pcimodel.device import device_lock
from pcimodel.fixes import apply
from pcimodel.hardware import Endpoint, Machine, RootPort, Sriov
from pcimodel.pci import PciDriver
from pcimodel.trees.v4_14 import V4_14

PF = "0000:01:00.0"


def boot(unreadable_vfs, with_callback=True):
    """Boot with a PF that enables 3 VFs in probe; return kernel, worker, PF, driver, calls."""
    sriov = Sriov(unreadable_vfs=frozenset(unreadable_vfs))
    machine = Machine({"03.0": RootPort({"00.0": Endpoint(device=0x10, sriov=sriov)})})
    kernel = apply(V4_14, ["defer-vf-add-notify"])(machine)
    worker, calls = kernel.create_worker(0), []
    driver = PciDriver("pf", [(0x8086, 0x10)], remove=lambda pf: kernel.pci_disable_sriov(pf),
                       probe=lambda pf, id: kernel.pci_enable_sriov(pf, 3))
    if with_callback:
        driver.virtfn_failed = lambda pf, id, err: calls.append((id, err, pf.mutex.locked()))
    pf = kernel.bus_find_device_by_name(PF)
    kernel.pci_dev_put(pf)
    kernel.pci_register_driver(driver)
    return kernel, worker, pf, driver, calls


def test_driver_is_told_of_each_failure_under_the_lock_of_the_pf():
    kernel, worker, pf, driver, calls = boot({0, 2})
    worker.worker_thread()
    assert calls == [(0, -errno.EIO, True), (2, -errno.EIO, True)]
    assert not pf.mutex.locked()


def test_failure_is_logged_and_next_vf_is_added_as_without_the_callback():
    for with_callback in (True, False):
        kernel, worker, pf, driver, calls = boot({1}, with_callback)
        worker.worker_thread()
        assert [dev.name for dev in pf.bus.devices if dev.is_virtfn] == [
            "0000:01:10.0", "0000:01:10.4"]
        assert any("VF 1 enabled but not added" in line for line in kernel.dmesg)


def test_driver_that_is_gone_is_not_told():
    kernel, worker, pf, driver, calls = boot({0, 1, 2})
    driver.remove = None
    kernel.pci_unregister_driver(driver)
    worker.worker_thread()
    assert calls == []


def test_worker_that_tells_a_failure_wants_the_lock_under_which_it_is_waited_for():
    kernel, worker, pf, driver, calls = boot({0})
    # Whoever disables VFs holds this lock and waits for the worker; here one thread plays both.
    with device_lock(pf), pytest.raises(RecursiveAcquire, match=PF):
        worker.worker_thread()
    assert calls == []


def test_worker_without_a_failure_to_tell_does_not_want_it():
    kernel, worker, pf, driver, calls = boot(())
    with device_lock(pf):
        worker.worker_thread()
    assert sum(dev.is_virtfn for dev in pf.bus.devices) == 3
