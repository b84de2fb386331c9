"""defer-vf-add: what Bjorn Helgaas's question would do, and what it would break."""

from __future__ import annotations

import errno

import pytest

from harness import At, Meet, Scenario, force
from pcimodel.aerdrv import AER_NONFATAL
from pcimodel.device import KernelOops
from pcimodel.fixes import apply
from pcimodel.hardware import Endpoint, Machine, RootPort, Sriov
from pcimodel.pci import PciDriver
from pcimodel.pci_regs import PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE
from pcimodel.trees.v4_14 import V4_14

PF = "0000:01:00.0"
VFS = ["0000:01:10.0", "0000:01:10.2", "0000:01:10.4"]


class World:
    """A kernel whose kworker is the thread of the test, with a PF that enables its VFs in probe."""

    def __init__(self, tree=("defer-vf-add",), enable=3, **sriov):
        machine = Machine({"03.0": RootPort({"00.0": Endpoint(device=0x10, sriov=Sriov(**sriov))})})
        self.kernel = apply(V4_14, tree)(machine)
        self.worker = self.kernel.create_worker(0)
        self.pf = self.find(PF)
        self.returned = []
        self.driver = PciDriver("pf", [(0x8086, 0x10)], probe=self.probe, remove=self.remove)
        self.enable = enable

    def probe(self, pf, id):
        self.returned.append(self.kernel.pci_enable_sriov(pf, self.enable))
        return self.returned[-1]

    def remove(self, pf):
        self.kernel.pci_disable_sriov(pf)

    def find(self, name):
        dev = self.kernel.bus_find_device_by_name(name)
        self.kernel.pci_dev_put(dev)
        return dev

    def load(self):
        self.kernel.pci_register_driver(self.driver)
        return self

    def vfs(self):
        return [dev.name for dev in self.pf.bus.devices if dev.is_virtfn]

    def vfs_enabled(self):
        control = self.pf.sriov.pos + PCI_SRIOV_CTRL
        return bool(self.kernel.pci_read_config_word(self.pf, control) & PCI_SRIOV_CTRL_VFE)


def test_enable_returns_before_any_vf_exists():
    world = World().load()
    assert (world.returned, world.vfs(), world.pf.sriov.num_VFs) == ([0], [], 3)
    assert ("change", PF) in world.kernel.uevents
    world.worker.worker_thread()
    assert world.vfs() == VFS


def test_vfs_are_added_without_the_lock_of_the_pf():
    world, locked = World().load(), []
    world.kernel.pci_register_driver(PciDriver(
        "vf", [(0x8086, 0x1520)], probe=lambda vf, id: locked.append(
            (vf.mutex.locked(), world.pf.mutex.locked())) or 0))
    world.worker.worker_thread()
    assert locked == [(True, False)] * 3


@pytest.mark.parametrize("fixes, vf_error", [((), -errno.EIO), (("defer-vf-add",), 0)])
def test_virtfn_error_does_not_reach_pf_driver_when_deferred(fixes, vf_error):
    world = World(fixes, unreadable_vfs=frozenset({1})).load()
    world.worker.worker_thread()
    assert world.returned == [vf_error]
    assert (world.pf.driver is None) == bool(vf_error)


def test_failed_vf_leaves_hole_and_next_vf_is_added():
    world = World(unreadable_vfs=frozenset({1})).load()
    world.worker.worker_thread()
    assert world.vfs() == [VFS[0], VFS[2]]
    assert world.vfs_enabled()
    assert world.pf.sriov.num_VFs == 3
    assert f"pf {PF}: VF 1 enabled but not added (error {-errno.EIO})" in world.kernel.dmesg


@pytest.mark.parametrize("sriov, error", [
    ({"bars_without_room": 1}, -errno.ENOMEM), ({"bars_without_address": 1}, -errno.ENOMEM),
    ({"initial_vfs": 2}, -errno.EIO), ({"total_vfs": 2}, -errno.EINVAL),
    ({"offset": 0x200}, -errno.ENOMEM), ({"link": 3}, -errno.ENODEV),
    ({"arch_error": -errno.EBUSY}, -errno.EBUSY)])
def test_errors_of_sriov_enable_itself_still_reach_the_driver(sriov, error):
    world = World(**sriov).load()
    assert world.returned == [error]
    world.worker.worker_thread()
    assert (world.vfs(), world.pf.sriov.num_VFs) == ([], 0)


def test_disable_takes_back_what_was_not_added_yet():
    world = World().load()
    before = World().pf.refcount
    world.kernel.pci_unregister_driver(world.driver)
    world.worker.worker_thread()
    assert (world.vfs(), world.pf.sriov.num_VFs, world.vfs_enabled()) == ([], 0, False)
    assert world.pf.refcount == before


def test_worker_is_stopped_before_the_vfs_that_there_are_are_removed():
    world, order = World().load(), []
    cancel, remove = world.kernel.cancel_work_sync, world.kernel.pci_iov_remove_virtfn
    world.kernel.cancel_work_sync = lambda work: order.append("stop") or cancel(work)
    world.kernel.pci_iov_remove_virtfn = lambda pf, vf_id, reset=0: (
        order.append(vf_id), remove(pf, vf_id, reset))
    world.kernel.pci_unregister_driver(world.driver)
    assert order == ["stop", 0, 1, 2]


def test_disable_tolerates_holes_and_balances_references():
    world = World(unreadable_vfs=frozenset({0, 2}))
    before = world.pf.refcount
    world.load().worker.worker_thread()
    world.kernel.pci_unregister_driver(world.driver)
    assert (world.vfs(), world.pf.refcount) == ([], before)


def test_vfs_can_be_enabled_again():
    world = World().load()
    world.kernel.pci_unregister_driver(world.driver)
    world.load().worker.worker_thread()
    assert world.vfs() == VFS


def test_queued_worker_keeps_the_pf_alive():
    world = World()
    before = world.pf.refcount
    world.load()
    queued = world.pf.refcount
    world.worker.worker_thread()
    # A bound driver and three VFs hold one reference each; the worker has let go of its own.
    assert (queued, world.pf.refcount) == (before + 2, before + 4)


def test_pf_that_is_removed_with_vfs_queued_gets_no_vfs_any_more():
    world = World()
    world.driver.remove = None
    world.load()
    bus = world.pf.bus
    world.kernel.pci_stop_and_remove_bus_device_locked(world.pf)
    world.worker.worker_thread()
    assert (bus.devices, world.pf.freed) == ([], True)


def test_pf_freed_with_nothing_but_holes_is_a_bug_that_the_tree_cannot_reach():
    world = World(unreadable_vfs=frozenset({0, 1, 2}))
    world.driver.remove = None
    world.load().worker.worker_thread()
    with pytest.raises(KernelOops, match="freed with VFs on"):
        world.kernel.pci_stop_and_remove_bus_device_locked(world.pf)


def unbind_while_vfs_are_added_and_an_error_is_recovered(fixes):
    """Return the roles of the race that the cancel under the PF's lock opens, and their meeting."""
    machine = Machine({"03.0": RootPort({"00.0": Endpoint(device=0x10, sriov=Sriov())})})
    kernel = apply(V4_14, fixes)(machine)
    pf, recovery = kernel.bus_find_device_by_name(PF), kernel.create_worker(1)
    driver = PciDriver("pf", [(0x8086, 0x10)], remove=kernel.pci_disable_sriov,
                       probe=lambda pf, id: kernel.pci_enable_sriov(pf, 2))

    def CPU0():
        kernel.pci_register_driver(driver)
        kernel.unbind_store(driver, PF)

    def CPU1():
        kernel.set_cpu(1)
        kernel.aer_inject(pf, AER_NONFATAL)
        recovery.worker_thread()
    return Scenario({"CPU0": CPU0, "CPU1": CPU1}, meet=Meet(
        At("kworker/0:0", "&pci_bus_sem", "exclusive"),
        At("CPU0", "(work_completion)(&iov->add_work)", "wait", holding=PF),
        At("CPU1", PF, "exclusive", holding="&pci_bus_sem")))


@pytest.mark.parametrize("fixes, verdict, waiting", [
    (["defer-vf-add"], "deadlock", {"CPU0", "CPU1", "kworker/0:0"}),
    (["defer-vf-add", "collect-then-lock"], "not-reached", set())])
def test_unbinding_waits_for_a_worker_behind_a_recovery_that_wants_the_lock(
        fixes, verdict, waiting):
    result = force(lambda: unbind_while_vfs_are_added_and_an_error_is_recovered(fixes))
    assert result.verdict.value == verdict, str(result)
    assert {entry["role"] for entry in result.cycle} == waiting
