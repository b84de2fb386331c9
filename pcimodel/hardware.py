"""The machine: what enumeration finds, and the registers that answer.

A ``Machine`` is a description and never changes; it is written as nested dictionaries from "slot"
or "slot.function" to what sits there.  ``Hardware`` is such a machine with the power on: config
spaces with registers, bus numbers as the firmware gives them out (depth first, from 1).

No kernel file stands behind this module, and it takes no lock.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import pci_regs as regs

AER_POS = 0x100
"""Where each function has its AER capability."""
SRIOV_POS = 0x160
"""Where each physical function has its SR-IOV capability."""
BUS_END = 0xFF

WRITE_ONE_TO_CLEAR = {
    AER_POS + regs.PCI_ERR_UNCOR_STATUS, AER_POS + regs.PCI_ERR_COR_STATUS,
    AER_POS + regs.PCI_ERR_ROOT_STATUS,
}


@dataclass(frozen=True)
class Sriov:
    """The SR-IOV capability of a physical function.  The default is an igb: VFs at slot 10."""

    total_vfs: int = 7
    initial_vfs: int | None = None
    """None: the same as total_vfs, as the standard asks for without VF migration."""
    offset: int = 0x80
    stride: int = 2
    vf_device: int = 0x1520
    vf_migration: bool = False
    link: int | None = None
    """devfn of the function that this one depends on; None: itself."""
    bars: int = 2
    bars_without_room: int = 0
    """VF BARs for which the bridge above has no memory window."""
    bars_without_address: int = 0
    unreadable_vfs: frozenset[int] = frozenset()
    """VFs whose config space does not answer."""
    arch_error: int = 0
    """What the platform's hook returns when VFs are to be enabled (a negative errno)."""
    aer: bool = True
    """Whether the VFs have AER."""


@dataclass(frozen=True)
class Endpoint:
    """A function without anything below it; with *sriov* it is a physical function."""

    vendor: int = 0x8086
    device: int = 0x10C9
    sriov: Sriov | None = None
    aer: bool = True


@dataclass(frozen=True)
class Port:
    """A bridge: a root port, or a port of a switch.  *spare_buses* are bus numbers kept free."""

    below: Mapping[str, Port | Endpoint] = field(default_factory=dict)
    kind: int = regs.PCI_EXP_TYPE_ROOT_PORT
    spare_buses: int = 0
    vendor: int = 0x8086
    device: int = 0x3420
    aer: bool = True


def RootPort(below: Mapping[str, Port | Endpoint] | None = None, **fields: Any) -> Port:
    """Describe a root port with *below* behind it."""
    return Port(below or {}, regs.PCI_EXP_TYPE_ROOT_PORT, **fields)


def Switch(*downstream: Mapping[str, Port | Endpoint], spare_buses: int = 0) -> Port:
    """Describe a switch: its upstream port, with one downstream port for each mapping."""
    ports = {f"{slot:02x}.0": Port(below, regs.PCI_EXP_TYPE_DOWNSTREAM, spare_buses)
             for slot, below in enumerate(downstream)}
    return Port(ports, regs.PCI_EXP_TYPE_UPSTREAM)


@dataclass(frozen=True)
class Machine:
    """Everything below one host bridge, and what goes wrong there.

    *no_room_for_bus*: bus numbers for which the kernel cannot make a bus.
    """

    root: Mapping[str, Port | Endpoint] = field(default_factory=dict)
    no_room_for_bus: frozenset[int] = frozenset()


def parse_devfn(text: str) -> int:
    """Turn "10.2" (slot and function in hexadecimal) into a devfn.

    Raises:
        ValueError: *text* is no such pair, or one of the two is out of range.
    """
    slot, _, function = text.partition(".")
    if int(slot, 16) > 0x1F or int(function or "0", 16) > 7:
        raise ValueError(f"slot {text!r}: a slot is at most 1f and a function at most 7")
    return int(slot, 16) << 3 | int(function or "0", 16)


class ConfigSpace:
    """The config space of one function.  While *responds* is False all reads give all ones."""

    def __init__(self, registers: dict[int, int]) -> None:
        self.registers = registers
        self.capabilities: dict[int, int] = {}
        self.pcie_type = regs.PCI_EXP_TYPE_ENDPOINT
        self.responds = True
        # A status register may be written by the device and by a CPU at the same time.
        self._register_lock = threading.Lock()

    def read(self, where: int, size: int) -> int:
        """Return the register at *where*, *size* bytes wide."""
        ones = (1 << 8 * size) - 1
        return self.registers.get(where, 0) & ones if self.responds else ones

    def write(self, where: int, value: int) -> None:
        """Write a register as a CPU does: status bits are cleared by writing 1."""
        if not self.responds:
            return
        with self._register_lock:
            if where in WRITE_ONE_TO_CLEAR:
                value = self.registers.get(where, 0) & ~value
            self.registers[where] = value

    def raise_bits(self, where: int, bits: int) -> None:
        """Set status bits, as the device itself does."""
        with self._register_lock:
            self.registers[where] = self.registers.get(where, 0) | bits


class PhysicalFunction(ConfigSpace):
    """The config space of a PF: its control register makes VFs appear and disappear."""

    def __init__(self, registers: dict[int, int], rid: int, sriov: Sriov) -> None:
        super().__init__(registers)
        self.rid = rid
        self.sriov = sriov
        self.vfs: dict[int, ConfigSpace] = {}
        """The VFs that exist, by routing id; empty while VF Enable is clear."""
        self.capabilities[regs.PCI_EXT_CAP_ID_SRIOV] = SRIOV_POS
        initial = sriov.total_vfs if sriov.initial_vfs is None else sriov.initial_vfs
        link = rid & 0xFF if sriov.link is None else sriov.link
        for where, value in {
                regs.PCI_SRIOV_CAP: regs.PCI_SRIOV_CAP_VFM if sriov.vf_migration else 0,
                regs.PCI_SRIOV_INITIAL_VF: initial, regs.PCI_SRIOV_TOTAL_VF: sriov.total_vfs,
                regs.PCI_SRIOV_FUNC_LINK: link, regs.PCI_SRIOV_VF_OFFSET: sriov.offset,
                regs.PCI_SRIOV_VF_STRIDE: sriov.stride,
                regs.PCI_SRIOV_VF_DID: sriov.vf_device}.items():
            registers[SRIOV_POS + where] = value

    def write(self, where: int, value: int) -> None:
        """Write a register; VF Enable makes NumVFs functions appear, or all disappear."""
        super().write(where, value)
        if where == SRIOV_POS + regs.PCI_SRIOV_CTRL:
            if not value & regs.PCI_SRIOV_CTRL_VFE:
                self._remove_vfs()
            elif not self.vfs:
                self._create_vfs(self.registers.get(SRIOV_POS + regs.PCI_SRIOV_NUM_VF, 0))

    def _create_vfs(self, count: int) -> None:
        """Let *count* virtual functions answer."""
        for number in range(count):
            # A VF's vendor and device registers read as all ones: only its PF knows them.
            vf = ConfigSpace({regs.PCI_VENDOR_ID: 0xFFFF, regs.PCI_DEVICE_ID: 0xFFFF})
            if self.sriov.aer:
                vf.capabilities[regs.PCI_EXT_CAP_ID_ERR] = AER_POS
            vf.responds = number not in self.sriov.unreadable_vfs
            self.vfs[self.rid + self.sriov.offset + self.sriov.stride * number] = vf

    def _remove_vfs(self) -> None:
        """Let all virtual functions fall silent."""
        for vf in self.vfs.values():
            vf.responds = False
        self.vfs = {}


class Hardware:
    """A machine that is running: config spaces by routing id (bus number and devfn)."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.functions: dict[int, ConfigSpace] = {}
        self.root_bus_end = self._power_on(machine.root, 0)

    def config(self, busnr: int, devfn: int) -> ConfigSpace | None:
        """Return the config space that answers at this address, None if nothing is there."""
        rid = busnr << 8 | devfn
        if rid in self.functions:
            return self.functions[rid]
        return next((pf.vfs[rid] for pf in self.physical_functions() if rid in pf.vfs), None)

    def physical_functions(self) -> Iterator[PhysicalFunction]:
        """Yield the functions that can have VFs."""
        return (fn for fn in self.functions.values() if isinstance(fn, PhysicalFunction))

    def _power_on(self, below: Mapping[str, Port | Endpoint], busnr: int) -> int:
        """Give config spaces to everything on bus *busnr*; return the last bus number used."""
        last = busnr
        devfns = {parse_devfn(text): part for text, part in below.items()}
        for devfn, part in sorted(devfns.items()):
            rid = busnr << 8 | devfn
            if isinstance(part, Port):
                config = self._bridge(part)
                secondary, last = last + 1, self._power_on(part.below, last + 1)
                last = min(last + part.spare_buses, BUS_END)
                config.registers[regs.PCI_SECONDARY_BUS] = secondary
                config.registers[regs.PCI_SUBORDINATE_BUS] = last
            else:
                config = self._endpoint(part, rid)
            if any(other >> 3 == devfn >> 3 for other in devfns if other != devfn):
                config.registers[regs.PCI_HEADER_TYPE] |= regs.PCI_HEADER_TYPE_MULTIFUNC
            if part.aer:
                config.capabilities[regs.PCI_EXT_CAP_ID_ERR] = AER_POS
            self.functions[rid] = config
        return last

    def _bridge(self, port: Port) -> ConfigSpace:
        """Make the config space of a port."""
        config = ConfigSpace({
            regs.PCI_VENDOR_ID: port.vendor, regs.PCI_DEVICE_ID: port.device,
            regs.PCI_CLASS_REVISION: regs.PCI_CLASS_BRIDGE_PCI << 16,
            regs.PCI_HEADER_TYPE: regs.PCI_HEADER_TYPE_BRIDGE})
        config.pcie_type = port.kind
        return config

    def _endpoint(self, endpoint: Endpoint, rid: int) -> ConfigSpace:
        """Make the config space of an endpoint."""
        registers = {
            regs.PCI_VENDOR_ID: endpoint.vendor, regs.PCI_DEVICE_ID: endpoint.device,
            regs.PCI_HEADER_TYPE: regs.PCI_HEADER_TYPE_NORMAL}
        if endpoint.sriov is None:
            return ConfigSpace(registers)
        return PhysicalFunction(registers, rid, endpoint.sriov)
