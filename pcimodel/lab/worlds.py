"""The worlds of the scenarios: a machine, a booted kernel, and the parts that roles are made of.

The canonical machine has two root ports: below 0000:00:03.0 a network card with SR-IOV (PF
0000:01:00.0), below 0000:00:04.0 a disk. With random numbers, for stress, vary: the number of VFs,
whether they sit on a bus number of their own, a switch, a second function beside the PF, the device
that reports the error, and its severity.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from functools import cache
from typing import Any, cast

from harness import LockClass

from ..aerdrv import AER_FATAL, AER_NONFATAL
from ..device import NULL, Device
from ..err import PCI_ERS_RESULT_CAN_RECOVER
from ..hardware import Endpoint, Machine, RootPort, Sriov, Switch
from ..kernel import Kernel
from ..pci import PciDev, PciDriver
from ..pci_regs import PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE, PCI_SRIOV_NUM_VF
from . import drivers

OVERFLOW = 0x100   # a VF offset that puts every VF on the next bus number


@cache
def _with_owners(tree: type[Kernel]) -> type[Kernel]:
    """Return *tree* as a kernel that remembers whose mutex is whose."""

    def device_initialize(self: Kernel, dev: Device) -> None:
        tree.device_initialize(self, dev)
        vars(self).setdefault("mutex_owners", {})[dev.mutex] = dev

    namespace = {"device_initialize": device_initialize}
    return cast("type[Kernel]", type(tree.__name__, (tree,), namespace))


def may_nest(held: Device, wanted: Device) -> bool:
    """Say whether the lock of *wanted* may be taken inside that of *held*: an ancestor before what
    is below it, a PF before its VFs.
    """
    if isinstance(wanted, PciDev) and wanted.is_virtfn and wanted.physfn is held:
        return True
    above = wanted.parent
    while above is not None and above is not held:
        above = above.parent
    return above is held


class World:
    """One booted kernel, and what scenarios do with it.

    Args:
        tree: the kernel's class, fixes included.
        rng: random numbers for a random machine; None for the canonical one.
        overflow: the VFs' routing ids spill over to another bus number.
        switch: PF and another device sit behind two ports of one switch.
        unreadable_vfs: VFs whose config space does not answer.
    """

    def __init__(self, tree: type[Kernel], policy: str, rng: random.Random | None, *,
                 overflow: bool = False, switch: bool = False,
                 unreadable_vfs: Collection[int] = ()) -> None:
        self.rng = rng
        switch = switch or self._perhaps(0.3)
        overflow = overflow or self._perhaps(0.2)
        sriov = Sriov(offset=OVERFLOW if overflow else 0x80,
                      unreadable_vfs=frozenset(unreadable_vfs))
        card, disk = Endpoint(*drivers.IGB, sriov=sriov), Endpoint(*drivers.NVME)
        if switch:
            below: dict[str, Any] = {"00.0": Switch({"00.0": card}, {"00.0": disk},
                                                    spare_buses=int(overflow))}
        else:
            below = {"00.0": card}
            if self._perhaps(0.3):
                below["00.1"] = disk
        ports = {"03.0": RootPort(below, spare_buses=int(overflow)),
                 "04.0": RootPort({"00.0": disk})}
        kernel = _with_owners(tree)    # type: ignore[arg-type]    # python/mypy#11469
        self.kernel = kernel(Machine(ports), policy=policy)
        self.kernel.pci_register_driver(drivers.nvme(self.kernel))
        endpoints = [dev for dev in self.kernel.for_each_pci_dev() if dev.subordinate is None]
        self.pf = next(dev for dev in endpoints if dev.is_physfn)
        disks = [dev for dev in endpoints if not dev.is_physfn]
        self.sibling, self.other = disks[0], disks[-1]
        self.pf_driver: PciDriver = NULL

    def _perhaps(self, chance: float) -> bool:
        """Throw the dice in a random world; in the canonical one nothing is left to chance."""
        return self.rng is not None and self.rng.random() < chance

    def lock_classes(self) -> list[LockClass]:
        """Return what prediction is to know of classes of locks."""
        owners = vars(self.kernel)["mutex_owners"]
        return [LockClass(
            "&dev->mutex", order=lambda held, wanted: may_nest(owners[held], owners[wanted]),
            why="the driver core locks a device's ancestors before it, SR-IOV a PF before its VFs")]

    # -- before the roles start -----------------------------------------------------------

    def load_igb(self) -> None:
        """Bind the PF, without VFs; load the VFs' driver."""
        self._load(self.igb())
        self.kernel.pci_register_driver(drivers.igbvf(self.kernel))

    def load_igb_with_vfs(self) -> None:
        """Bind the PF, and enable VFs that are bound as well."""
        self.load_igb()
        self._enable()

    def load_igb_with_bare_vfs(self) -> None:
        """Bind the PF and enable VFs for which there is no driver yet."""
        self._load(self.igb())
        self._enable()

    def load_igb_that_looks_around(self) -> None:
        """Take the disk out, and bind the PF with a driver whose error handler looks a bus up:
        that reads the bus lists.
        """
        def igb_io_error_detected(pdev: PciDev, state: int) -> int:
            self.kernel.pci_find_bus(0, pdev.bus.number)
            return PCI_ERS_RESULT_CAN_RECOVER

        self.remove_disk()
        self._load(drivers.igb(self.kernel, error_detected=igb_io_error_detected))

    def remove_disk(self) -> None:
        """Take the disk out, so that a rescan adds it again."""
        self.kernel.pci_stop_and_remove_bus_device_locked(self.other)

    def _load(self, driver: PciDriver) -> None:
        self.pf_driver = driver
        self.kernel.pci_register_driver(driver)

    def _enable(self) -> None:
        self.kernel.sriov_numvfs_store(self.pf, str(self.number_of_vfs()))
        # A kernel with a fix may add VFs in the background: the world is ready when they are there.
        work = getattr(self.pf.sriov, "add_work", None)
        if work is not None:
            self.kernel.flush_work(work)

    def number_of_vfs(self) -> int:
        """Return how many VFs this world enables."""
        return self.rng.randint(1, 4) if self.rng is not None else 2

    # -- what roles are made of -----------------------------------------------------------

    def igb(self, max_vfs: int = 0) -> PciDriver:
        """Return the PF's driver, which enables *max_vfs* VFs in its probe."""
        self.pf_driver = drivers.igb(self.kernel, max_vfs)
        return self.pf_driver

    def igb_that_looks_around(self) -> PciDriver:
        """Return a driver of the PF whose probe looks for another function of its slot, as drivers
        of multi-port cards do.
        """
        self.pf_driver = drivers.igb(self.kernel, looks_around=True)
        return self.pf_driver

    def igbvf(self) -> PciDriver:
        """Return the VFs' driver."""
        return drivers.igbvf(self.kernel)

    def numvfs(self, number: int) -> Callable[[], object]:
        """Return the role that writes *number* into the PF's sriov_numvfs (0 stays 0 in any
        world).
        """
        text = str(number and self.number_of_vfs())

        return lambda: self.kernel.sriov_numvfs_store(self.pf, text)

    def rescan(self) -> Callable[[], object]:
        """Return the role that rescans the machine."""
        return lambda: self.kernel.bus_rescan_store("1")

    def recovery(self, dev: PciDev | None = None, fatal: bool = False) -> Callable[[], None]:
        """Return the role of the CPU that gets the interrupt for an error of *dev* (the PF) and
        recovers.

        The interrupt queues the work; then the role is that CPU's kworker.
        """
        dev = dev or self._reporter()
        fatal = fatal or self._perhaps(0.3)
        worker = self.kernel.create_worker(1)

        def CPU1() -> None:
            self.kernel.set_cpu(1)
            self.kernel.aer_inject(dev, AER_FATAL if fatal else AER_NONFATAL)
            worker.worker_thread()

        return CPU1

    def _reporter(self) -> PciDev:
        """Return who reports the error: the PF, or in a random world perhaps the port above it."""
        if self._perhaps(0.3):
            return self.kernel.pcie_find_root_port(self.pf) or self.pf
        return self.pf

    # -- at the end -----------------------------------------------------------------------

    def check(self) -> None:
        """Assert what holds at rest of the PF, its registers and its references (KERNEL.md 10:
        I12, I15, I16).
        """
        pf, sriov = self.pf, self.pf.sriov
        if pf not in pf.bus.devices:
            return   # removed with all it had
        vfs = [dev for dev in self.kernel.for_each_pci_dev() if dev.physfn is pf]
        failed = sum("enabled but not added" in str(line) for line in self.kernel.dmesg)
        enabled = bool(pf.config.read(sriov.pos + PCI_SRIOV_CTRL, 2) & PCI_SRIOV_CTRL_VFE)
        register = pf.config.read(sriov.pos + PCI_SRIOV_NUM_VF, 2)
        number = sriov.num_VFs
        assert number == register, f"num_VFs is {number}, the register NumVFs {register}"
        assert enabled == bool(number), f"num_VFs is {number}, but VF Enable is {enabled}"
        assert len(vfs) <= number <= len(vfs) + failed, \
            f"num_VFs is {number}, but {len(vfs)} VFs exist and {failed} failures were logged"
        for vf in vfs:
            assert vf.config.responds, f"{vf.name} is a device, but gone from the hardware"
        expected = 1 + (pf.driver is not None) + len(vfs)
        assert pf.refcount == expected, \
            f"{pf.name} has {pf.refcount} references: expected 1 for its creation, " \
            f"{int(pf.driver is not None)} for its driver, {len(vfs)} for its VFs"
