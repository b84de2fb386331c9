"""The worlds of the scenarios: a machine, a booted kernel, and the parts that roles are made of.

The canonical machine has two root ports: below 0000:00:03.0 a network card with SR-IOV (PF
0000:01:00.0), below 0000:00:04.0 a disk. machines.py has others, by name; with random numbers, for
stress, vary: the number of VFs, whether they sit on a bus number of their own, a switch, a second
function beside the PF, the device that reports the error, and its severity.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Collection, Iterator
from functools import cache
from typing import Any, cast

from harness import LockClass
from harness.locks.task import EXCLUSIVE, current

from ..aerdrv import AER_FATAL, AER_NONFATAL
from ..device import NULL, Device, KernelOops
from ..hardware import Endpoint, Machine, RootPort, Sriov, Switch
from ..kernel import Kernel
from ..pci import PciBus, PciDev, PciDriver, pci_is_bridge
from ..pci_regs import PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET
from . import drivers
from .journal import Journal
from .machines import setup_of

VFS = 2            # how many are enabled, but in random worlds
OVERFLOW = 0x100   # a VF offset that puts every VF on the next bus number


class _FreedDevice(PciDev):
    """A device after its final put: whoever follows a pointer to it oopses."""

    _LEFT = frozenset({"name", "refcount", "freed", "__class__", "__dict__"})

    def __getattribute__(self, name: str) -> Any:
        if name not in _FreedDevice._LEFT:
            raise KernelOops(f"use after free: {vars(self)['name']}, field {name}, in "
                             f"{sys._getframe(1).f_code.co_name}()")
        return super().__getattribute__(name)


class _BusList(list[Any]):
    """A list of a bus; whoever changes it without `pci_bus_sem` held for writing is noted."""

    def __init__(self, kernel: Kernel, bus: PciBus) -> None:
        super().__init__()
        self._kernel, self._bus = kernel, bus

    def look(self, function: str) -> None:
        """Note that *function* changes it without the lock, if it is so, and a role's doing."""
        task, sem = current(), self._kernel.pci_bus_sem
        by_a_role = task.run is not None and not task.run.alone    # else the kernel boots
        if by_a_role and not any(lock is sem and mode == EXCLUSIVE for lock, mode, _ in task.held):
            unlocked_changes(self._kernel).append(
                f"{function}() changed a list of bus {self._bus.dev.name} and did not hold "
                f"{sem.name} for writing")


def _looking(change: Callable[..., Any]) -> Callable[..., Any]:
    def method(self: _BusList, *arguments: Any) -> Any:
        self.look(sys._getframe(1).f_code.co_name)
        return change(self, *arguments)

    return method


for _name in ("append", "remove", "insert", "extend", "pop", "clear", "reverse", "sort",
              "__iadd__", "__setitem__", "__delitem__"):
    setattr(_BusList, _name, _looking(getattr(list, _name)))


def unlocked_changes(kernel: Kernel) -> list[str]:
    """Return what was said of changes of the bus lists without their lock, in order."""
    changes: list[str] = vars(kernel).setdefault("unlocked_changes", [])
    return changes


@cache
def _watched(tree: type[Kernel]) -> type[Kernel]:
    """Return *tree* as a kernel that remembers whose mutex is whose, whose freed devices nobody may
    look at, and whose bus lists nobody may change without their lock.
    """

    def device_initialize(self: Kernel, dev: Device) -> None:
        tree.device_initialize(self, dev)
        vars(self).setdefault("mutex_owners", {})[dev.mutex] = dev

    def pci_release_dev(self: Kernel, dev: PciDev) -> None:
        tree.pci_release_dev(self, dev)
        dev.__class__ = _FreedDevice

    def pci_alloc_bus(self: Kernel, parent: PciBus | None, busnr: int) -> PciBus | None:
        bus = tree.pci_alloc_bus(self, parent, busnr)
        if bus is not None:
            bus.devices, bus.children = _BusList(self, bus), _BusList(self, bus)
        return bus

    namespace = {each.__name__: each for each in (device_initialize, pci_release_dev,
                                                  pci_alloc_bus)}
    return cast("type[Kernel]", type(tree.__name__, (tree,), namespace))


def may_nest(held: Device, wanted: Device) -> bool:
    """Say whether the lock of *wanted* may be taken inside that of *held*: an ancestor before what
    is below it, a PF before its VFs.
    """
    fields = vars(wanted)    # as they were, of a device that is freed by now
    if fields.get("is_virtfn") and fields["physfn"] is held:
        return True
    above = fields["parent"]
    while above is not None and above is not held:
        above = vars(above)["parent"]
    return above is held


def affected(reporter: PciDev) -> Iterator[PciDev]:
    """Yield the devices that an error of *reporter* affects: what is below a bridge, and all that
    shares the link with an endpoint (KERNEL.md 2.4).
    """
    yield from _below(reporter.subordinate if pci_is_bridge(reporter) else reporter.bus)


def _below(bus: PciBus) -> Iterator[PciDev]:
    for dev in list(bus.devices):    # others may change it meanwhile
        yield dev
        if dev.subordinate is not None:
            yield from _below(dev.subordinate)


class _Port:
    """Notes in the journal when the link below a port is reset: what its config space is written.
    """

    def __init__(self, port: PciDev, journal: Journal) -> None:
        self._port, self._journal = port, journal
        self._write = port.config.write
        vars(port.config)["write"] = self

    def __call__(self, where: int, value: int) -> None:
        if where == PCI_BRIDGE_CONTROL and value & PCI_BRIDGE_CTL_BUS_RESET:
            self._journal.note("reset", self._port)
        self._write(where, value)


class World:
    """One booted kernel, and what scenarios do with it.

    Args:
        tree: the kernel's class, fixes included.
        rng: random numbers for a random machine; None for one that is not.
        machine: the name of a machine; None for the canonical one, or a random one.
        switch: PF and another device sit behind two ports of one switch, on any machine.
        unreadable_vfs: VFs whose config space does not answer.

    Attributes:
        journal: what the drivers saw.
        affected_before: the functions that the error affects, when it is reported.
    """

    def __init__(self, tree: type[Kernel], policy: str, rng: random.Random | None = None, *,
                 machine: str | None = None, switch: bool = False,
                 unreadable_vfs: Collection[int] = ()) -> None:
        self.rng = rng if machine is None else None
        self.setup = setup = setup_of(machine)
        self.unreadable_vfs = frozenset(unreadable_vfs)
        switch = switch or setup.switch or self._perhaps(0.3)
        far_vfs = setup.far_vfs or self._perhaps(0.2)
        sriov = Sriov(offset=OVERFLOW if far_vfs else 0x80, unreadable_vfs=self.unreadable_vfs)
        card, disk = Endpoint(*drivers.IGB, sriov=sriov), Endpoint(*drivers.NVME)
        if switch:
            below: dict[str, Any] = {"00.0": Switch({"00.0": card}, {"00.0": disk},
                                                    spare_buses=int(far_vfs))}
        else:
            below = {"00.0": card}
            if setup.shared_slot or self._perhaps(0.3):
                below["00.1"] = disk
        ports = {"03.0": RootPort(below, spare_buses=int(far_vfs)),
                 "04.0": RootPort({"00.0": disk})}
        self.journal = Journal()
        kernel = _watched(tree)    # type: ignore[arg-type]    # python/mypy#11469
        self.kernel = kernel(Machine(ports), policy=policy)
        self.kernel.pci_register_driver(drivers.nvme(self.kernel, self.journal))
        devices = list(self.kernel.for_each_pci_dev())
        endpoints = [dev for dev in devices if dev.subordinate is None]
        self.pf = next(dev for dev in endpoints if dev.is_physfn)
        disks = [dev for dev in endpoints if not dev.is_physfn]
        self.sibling, self.other = disks[0], disks[-1]
        self.other_name = self.other.name
        self.pf_driver: PciDriver = NULL
        self.vf_driver: PciDriver | None = None
        self.affected_before: list[PciDev] = []
        for dev in devices:
            if pci_is_bridge(dev):
                _Port(dev, self.journal)

    def _perhaps(self, chance: float) -> bool:
        """Throw the dice in a random world; in the canonical one nothing is left to chance."""
        return self.rng is not None and self.rng.random() < chance

    def lock_classes(self) -> list[LockClass]:
        """Return what prediction is to know of classes of locks."""
        owners = self._mutex_owners
        return [LockClass(
            "&dev->mutex", order=lambda held, wanted: may_nest(owners[held], owners[wanted]),
            why="the driver core locks a device's ancestors before it, SR-IOV a PF before its VFs")]

    @property
    def _mutex_owners(self) -> dict[Any, Device]:
        owners: dict[Any, Device] = vars(self.kernel)["mutex_owners"]
        return owners

    def devices(self) -> list[Device]:
        """Return every device that there was, those that were removed included."""
        return list(self._mutex_owners.values())

    def vfs(self) -> list[PciDev]:
        """Return the VFs that exist as devices."""
        return [dev for dev in self.kernel.for_each_pci_dev() if dev.physfn is self.pf]

    # -- before the roles start -----------------------------------------------------------

    def load_igb(self) -> None:
        """Bind the PF, without VFs; load the VFs' driver."""
        self._load(self.igb())
        self.kernel.pci_register_driver(self.igbvf())

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
        self.remove_disk()
        self._load(drivers.igb(
            self.kernel, looks_up=lambda pdev: self.kernel.pci_find_bus(0, pdev.bus.number),
            journal=self.journal))

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
        return self.rng.randint(1, 4) if self.rng is not None else VFS

    # -- what roles are made of -----------------------------------------------------------

    def igb(self, loads_vfs: bool = False) -> PciDriver:
        """Return the PF's driver, which enables VFs in its probe if it *loads_vfs*."""
        max_vfs = VFS if loads_vfs else 0
        self.pf_driver = drivers.igb(self.kernel, max_vfs, journal=self.journal)
        return self.pf_driver

    def igb_that_looks_around(self) -> PciDriver:
        """Return a driver of the PF whose probe looks for another function of its slot, as drivers
        of multi-port cards do.
        """
        self.pf_driver = drivers.igb(self.kernel, looks_around=True, journal=self.journal)
        return self.pf_driver

    def igbvf(self) -> PciDriver:
        """Return the VFs' driver."""
        self.vf_driver = drivers.igbvf(self.kernel, self.journal)
        return self.vf_driver

    def numvfs(self, number: int) -> Callable[[], None]:
        """Return the role that writes *number* into the PF's sriov_numvfs (0 stays 0 in any
        world).
        """
        text = str(number and self.number_of_vfs())

        def write() -> None:
            written = self.kernel.sriov_numvfs_store(self.pf, text)
            self.journal.note("sriov_numvfs", self.pf, written)

        return write

    def unbind(self) -> None:
        """Write the PF's name into its driver's unbind."""
        written = self.kernel.unbind_store(self.pf_driver, self.pf.name)
        self.journal.note("unbind", self.pf, written)

    def rescan(self) -> Callable[[], object]:
        """Return the role that rescans the machine."""
        return lambda: self.kernel.bus_rescan_store("1")

    def recovery(self, dev: PciDev | None = None, fatal: bool = False) -> Callable[[], None]:
        """Return the role of the CPU that gets the interrupt for an error of *dev* (the PF) and
        recovers.

        The interrupt queues the work; then the role is that CPU's kworker.
        """
        dev = dev or self._reporter()
        fatal = fatal or self.setup.fatal or self._perhaps(0.3)
        worker = self.kernel.create_worker(1)

        def CPU1() -> None:
            self.kernel.set_cpu(1)
            self.affected_before = [each for each in affected(dev)
                                    if not pci_is_bridge(each)]
            self.journal.note("error", dev, fatal)
            self.kernel.aer_inject(dev, AER_FATAL if fatal else AER_NONFATAL)
            worker.worker_thread()

        return CPU1

    def _reporter(self) -> PciDev:
        """Return who reports the error: the PF, or in a random world perhaps the port above it."""
        if self.setup.port_reports or self._perhaps(0.3):
            return self.kernel.pcie_find_root_port(self.pf) or self.pf
        return self.pf
