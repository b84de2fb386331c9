"""include/linux/pci.h (v4.14): the structs, and what can be told from one at once.

Struct names are the kernel's in CamelCase, fields keep their names.  ``PciDev`` is a ``Device`` (in
C it contains one); where both have a field of one name, struct device's is called ``dev_driver``.

Lock order: none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from .device import NULL, Device, DeviceDriver
from .hardware import ConfigSpace
from .locking import Mutex
from .pci_regs import PCI_EXP_TYPE_ENDPOINT, PCI_HEADER_TYPE_BRIDGE, PCI_HEADER_TYPE_NORMAL

PCI_ANY_ID = 0xFFFFFFFF

# enum pci_channel_state: what may be done on the link of a device.
pci_channel_io_normal = 1
pci_channel_io_frozen = 2
pci_channel_io_perm_failure = 3


class PciDeviceId(NamedTuple):
    """struct pci_device_id: one line of a driver's id_table."""

    vendor: int = PCI_ANY_ID
    device: int = PCI_ANY_ID
    class_: int = 0
    class_mask: int = 0
    """The bits of the class that count; none by default."""


class PciErrorHandlers:
    """struct pci_error_handlers: what a driver does while a link is recovered; each may be None."""

    def __init__(self, error_detected: Callable[[PciDev, int], int] | None = None,
                 mmio_enabled: Callable[[PciDev], int] | None = None,
                 slot_reset: Callable[[PciDev], int] | None = None,
                 resume: Callable[[PciDev], None] | None = None) -> None:
        self.error_detected = error_detected
        self.mmio_enabled = mmio_enabled
        self.slot_reset = slot_reset
        self.resume = resume


class PciDriver(DeviceDriver):
    """struct pci_driver: plain callables, each may be None.

    ``probe(dev, id)`` and ``sriov_configure(dev, num_vfs)`` return 0 (or the number of VFs) or a
    negative errno; ``remove(dev)`` returns nothing.
    """

    def __init__(self, name: str, id_table: Sequence[tuple[int, ...]] = (), *,
                 probe: Callable[[PciDev, PciDeviceId], int] | None = None,
                 remove: Callable[[PciDev], None] | None = None,
                 sriov_configure: Callable[[PciDev, int], int] | None = None,
                 err_handler: PciErrorHandlers | None = None) -> None:
        super().__init__(name)
        self.id_table = [PciDeviceId(*line) for line in id_table]
        self.probe: Callable[[PciDev, PciDeviceId], int] = probe or NULL
        self.remove = remove
        self.sriov_configure = sriov_configure
        self.err_handler = err_handler


def to_pci_driver(drv: DeviceDriver) -> PciDriver:
    """Return the PCI driver that *drv* is part of: to_pci_driver(), include/linux/pci.h."""
    return cast(PciDriver, drv)


class Resource:
    """struct resource: one VF BAR.  *has_parent*: the bridge gave it room; *unset*: no address."""

    def __init__(self, has_parent: bool = True, unset: bool = False) -> None:
        self.has_parent = has_parent
        self.unset = unset


class PciSriov:
    """struct pci_sriov: the SR-IOV side of a physical function.

    Invariant, with no holder of the PF's lock: ``num_VFs`` is the NumVFs register, and is not 0
    exactly when VF Enable is set in ``ctrl``.
    """

    def __init__(self, pos: int, dev: PciDev) -> None:
        self.pos = pos
        self.nres = 0
        self.cap = 0
        self.ctrl = 0
        self.total_VFs = 0
        self.initial_VFs = 0
        self.num_VFs = 0
        """Set only after all VFs exist and user space was told."""
        self.offset = 0
        self.stride = 0
        self.driver_max_VFs = 0
        self.link = 0
        self.max_VF_buses = 0
        self.dev = dev
        """The lowest PF of the bus; holds a reference if that is another device."""
        self.drivers_autoprobe = True
        self.resource: list[Resource] = []


class PciDev(Device):
    """struct pci_dev: one PCI function, physical or virtual."""

    def __init__(self, bus: PciBus) -> None:
        super().__init__()
        self.bus = bus
        """Holds a reference on the bus's device until the function is freed."""
        self.subordinate: PciBus = NULL
        self.devfn = 0
        self.vendor = 0
        self.device = 0
        self.class_ = 0
        self.hdr_type = PCI_HEADER_TYPE_NORMAL
        self.pcie_type = PCI_EXP_TYPE_ENDPOINT
        self.multifunction = False
        self.driver: PciDriver | None = None
        """pci_dev->driver: set while a driver's probe runs and while it is bound."""
        self.error_state = pci_channel_io_normal
        self.enable_cnt = 0
        self.is_added = False
        self.is_probed = False
        self.match_driver = False
        self.state_saved = False
        self.link_state = False
        self.is_virtfn = False
        self.is_physfn = False
        self.physfn: PciDev = NULL
        """The VF's PF; a VF holds a reference on it from its creation to its removal."""
        self.sriov: PciSriov = NULL
        self.aer_cap = 0
        self.config: ConfigSpace = NULL
        self.cfg_lock: Mutex = NULL


class PciBus:
    """struct pci_bus.  ``self`` is the bridge above it: None for a root bus and for the virtual
    bus of VFs that left their PF's bus number; no ``subordinate`` points to the latter.

    ``devices`` and ``children`` are changed only under ``pci_bus_sem`` held for writing.
    """

    def __init__(self, number: int, parent: PciBus | None = None) -> None:
        self.number = number
        self.busn_res_end = number
        self.parent = parent
        self.self: PciDev = NULL
        self.bridge: Device | None = None
        self.dev = Device()
        self.devices: list[PciDev] = []
        self.children: list[PciBus] = []

    @property
    def refcount(self) -> int:
        """The references on the bus: its creation, and one for each function on it."""
        return self.dev.refcount

    def __repr__(self) -> str:
        return f"<PciBus {self.dev.name}>"


def PCI_DEVFN(slot: int, func: int) -> int:
    """Put a slot and a function number into one byte."""
    return (slot & 0x1F) << 3 | func & 0x07


def PCI_SLOT(devfn: int) -> int:
    """Return the slot number in *devfn*."""
    return devfn >> 3 & 0x1F


def PCI_FUNC(devfn: int) -> int:
    """Return the function number in *devfn*."""
    return devfn & 0x07


def pci_is_bridge(dev: PciDev) -> bool:
    """Tell whether *dev* has a bridge header.

    Kernel: pci_is_bridge(), include/linux/pci.h
    Locks:  none
    Called with: a reference on *dev*
    Returns: True for root and switch ports
    Left out: CardBus
    """
    return dev.hdr_type == PCI_HEADER_TYPE_BRIDGE


def pci_is_root_bus(bus: PciBus) -> bool:
    """Tell whether *bus* hangs directly on the host bridge.

    Kernel: pci_is_root_bus(), include/linux/pci.h
    Locks:  none
    Called with: a reference on *bus*
    Returns: True for a root bus; a virtual bus has a parent, so it is none
    Left out: nothing
    """
    return bus.parent is None


def pci_pcie_type(dev: PciDev) -> int:
    """Return the kind of PCI Express function that *dev* is.

    Kernel: pci_pcie_type(), include/linux/pci.h
    Locks:  none
    Called with: a reference on *dev*
    Returns: PCI_EXP_TYPE_*
    Left out: nothing
    """
    return dev.pcie_type


def pci_domain_nr(bus: PciBus) -> int:
    """Return the PCI segment of *bus*.

    Kernel: pci_domain_nr(), include/linux/pci.h
    Locks:  none
    Called with: a reference on *bus*
    Returns: 0
    Left out: machines with more than one segment
    """
    return 0
