"""drivers/pci/probe.c (v4.14): finding out what is there, and making a struct for it.

Bus numbers are as the firmware left them.  A device is on the list of its bus, and so visible to
every walk, from the middle of pci_device_add on; its driver comes much later.

Lock order: lists are changed under pci_bus_sem held for writing, for the moment of the change.
Rescans hold pci_rescan_remove_lock around it all; SR-IOV comes here with the PF's lock instead.
"""

from __future__ import annotations

import errno

from . import pci_regs as regs
from .access import BLOCK_CFG_ACCESS
from .aspm import Aspm
from .bus import Bus
from .core import DeviceCore
from .device import NULL, Device
from .hardware import BUS_END, Hardware
from .iov_init import IovInit
from .locking import down_write, mutex_init
from .pci import PciBus, PciDev, pci_domain_nr, pci_is_bridge
from .search import Search


class Probe(DeviceCore, Bus, Search, Aspm, IovInit):
    """The functions of drivers/pci/probe.c."""

    hardware: Hardware

    def pci_register_host_bridge(self, busnr: int) -> PciBus:
        """Make the host bridge and its root bus.

        Kernel: pci_register_host_bridge(), drivers/pci/probe.c
        Locks:  &pci_bus_sem (write)
        Called with: no lock required
        Returns: the root bus
        Left out: resources, failures
        """
        bridge = Device(f"pci0000:{busnr:02x}")
        self.device_register(bridge)
        bus = self.pci_alloc_bus(None, busnr) or NULL
        bus.busn_res_end = BUS_END
        bus.bridge = self.get_device(bridge)
        bus.dev.parent = bridge
        self.device_register(bus.dev)
        with down_write(self.pci_bus_sem):
            self.pci_root_buses.append(bus)
        return bus

    def pci_scan_root_bus(self, busnr: int) -> PciBus:
        """Enumerate everything below one host bridge.

        Kernel: pci_scan_root_bus(), drivers/pci/probe.c
        Locks:  via pci_register_host_bridge: as pci_register_host_bridge;
                via pci_scan_child_bus: as pci_scan_child_bus
        Called with: no lock required
        Returns: the root bus; its devices still have to be added for drivers
        Left out: resources
        """
        bus = self.pci_register_host_bridge(busnr)
        self.pci_scan_child_bus(bus)
        return bus

    def pci_alloc_bus(self, parent: PciBus | None, busnr: int) -> PciBus | None:
        """Make the struct of a bus.

        Kernel: pci_alloc_bus(), drivers/pci/probe.c
        Locks:  none
        Called with: any locks
        Returns: the bus, None where the machine has no room for it
        Left out: nothing
        """
        if busnr in self.hardware.machine.no_room_for_bus:
            return None
        bus = PciBus(busnr, parent)
        bus.dev.name = f"0000:{busnr:02x}"
        bus.dev.release = lambda dev: self.release_pcibus_dev(bus)
        return bus

    def release_pcibus_dev(self, bus: PciBus) -> None:
        """Free the struct of a bus: nobody has a reference on it any more.

        Kernel: release_pcibus_dev(), drivers/pci/probe.c
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: nothing
        """
        self.put_device(bus.bridge)

    def pci_alloc_child_bus(self, parent: PciBus, bridge: PciDev | None,
                            busnr: int) -> PciBus | None:
        """Make a bus below *parent*; without a bridge it is a virtual one.

        Kernel: pci_alloc_child_bus(), drivers/pci/probe.c
        Locks:  none
        Called with: the PF's lock if it is for VFs, else &pci_rescan_remove_lock
        Returns: the bus, or None
        Left out: legacy files, speeds
        """
        child = self.pci_alloc_bus(parent, busnr)
        if child is None:
            return None
        child.dev.parent = parent.bridge
        if bridge is not None:
            child.self = bridge
            child.bridge = self.get_device(bridge)
            child.dev.parent = bridge
            bridge.subordinate = child
        if (ret := self.device_register(child.dev)) < 0:
            self.WARN(f"device_register of bus {child.dev.name} failed ({ret})")
        return child

    def pci_add_new_bus(self, parent: PciBus, dev: PciDev | None, busnr: int) -> PciBus | None:
        """Make a bus and link it into its parent's list.

        Kernel: pci_add_new_bus(), drivers/pci/probe.c
        Locks:  &pci_bus_sem (write), for the change of the list
        Called with: the PF's lock if it is for VFs, else &pci_rescan_remove_lock
        Returns: the bus, or None
        Left out: nothing
        """
        child = self.pci_alloc_child_bus(parent, dev, busnr)
        if child is not None:
            with down_write(self.pci_bus_sem):
                parent.children.append(child)
        return child

    def pci_bus_insert_busn_res(self, bus: PciBus, first: int, last: int) -> None:
        """Note which bus numbers belong to *bus* and what is below it.

        Kernel: pci_bus_insert_busn_res(), drivers/pci/probe.c
        Locks:  none
        Called with: as pci_add_new_bus
        Returns: nothing
        Left out: the tree of resources, conflicts
        """
        bus.number, bus.busn_res_end = first, last

    def pci_alloc_dev(self, bus: PciBus) -> PciDev | None:
        """Make the struct of a device, with a reference on its bus.

        Kernel: pci_alloc_dev(), drivers/pci/probe.c
        Locks:  none
        Called with: any locks
        Returns: the device; None without memory, which this model never lacks by itself
        Left out: nothing
        """
        return PciDev(self.pci_bus_get(bus))

    def pci_release_dev(self, dev: PciDev) -> None:
        """Free the struct of a device: nobody has a reference on it any more.

        Kernel: pci_release_dev(), drivers/pci/probe.c
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: nothing
        """
        self.pci_iov_release(dev)
        self.pci_bus_put(dev.bus)

    def pci_setup_device(self, dev: PciDev) -> int:
        """Read the header of *dev* and fill in its struct.

        Kernel: pci_setup_device(), drivers/pci/probe.c
        Locks:  via pci_dev_assign_slot: &pci_slot_mutex (mutex)
        Called with: the PF's lock if it is a VF, else &pci_rescan_remove_lock
        Returns: 0, or -EIO for a header that makes no sense (all ones: nobody answers)
        Left out: BARs, interrupts, quirks
        """
        dev.name = f"0000:{dev.bus.number:02x}:{dev.devfn >> 3:02x}.{dev.devfn & 7}"
        dev.config = self.hardware.config(dev.bus.number, dev.devfn) or NULL
        dev.cfg_lock = mutex_init(f"block_cfg_access({dev.name})", BLOCK_CFG_ACCESS)
        hdr_type = self.pci_read_config_byte(dev, regs.PCI_HEADER_TYPE)
        dev.parent = dev.bus.bridge
        dev.class_ = self.pci_read_config_dword(dev, regs.PCI_CLASS_REVISION) >> 8
        dev.hdr_type = hdr_type & 0x7F
        dev.multifunction = bool(hdr_type & regs.PCI_HEADER_TYPE_MULTIFUNC)
        self.pci_dev_assign_slot(dev)
        if dev.hdr_type not in (regs.PCI_HEADER_TYPE_NORMAL, regs.PCI_HEADER_TYPE_BRIDGE):
            self.dev_err(dev, f"unknown header type {dev.hdr_type:02x}, ignoring device")
            return -errno.EIO
        dev.pcie_type = dev.config.pcie_type
        return 0

    def pci_init_capabilities(self, dev: PciDev) -> None:
        """Find the capabilities of *dev* that the kernel itself uses.

        Kernel: pci_init_capabilities(), drivers/pci/probe.c
        Locks:  none
        Called with: as pci_device_add
        Returns: nothing
        Left out: all but SR-IOV and AER
        """
        self.pci_iov_init(dev)
        dev.aer_cap = self.pci_find_ext_capability(dev, regs.PCI_EXT_CAP_ID_ERR)

    def pci_device_add(self, dev: PciDev, bus: PciBus) -> None:
        """Put *dev* on the list of its bus and register it, still out of reach of drivers.

        Kernel: pci_device_add(), drivers/pci/probe.c
        Locks:  &pci_bus_sem (write), for the change of the list;
                via _device_attach: &dev->mutex (mutex), of *dev*, for a moment
        Called with: the PF's lock if it is a VF, else &pci_rescan_remove_lock; not &pci_bus_sem
        Returns: nothing: a failed device_add is a warning
        Left out: fixups, DMA, MSI domains
        """
        self.device_initialize(dev)
        dev.release = self.pci_release_dev
        dev.state_saved = False
        self.pci_init_capabilities(dev)
        # From here on every walk can see it, and it has no driver.
        with down_write(self.pci_bus_sem):
            bus.devices.append(dev)
        dev.match_driver = False
        if (ret := self.device_add(dev)) < 0:
            self.WARN(f"device_add of {dev.name} failed ({ret})")

    def pci_scan_device(self, bus: PciBus, devfn: int) -> PciDev | None:
        """Ask whether a function answers at *devfn*, and make its struct.

        Kernel: pci_scan_device(), drivers/pci/probe.c
        Locks:  via pci_setup_device: &pci_slot_mutex (mutex), only if one answers
        Called with: &pci_rescan_remove_lock
        Returns: the device, or None
        Left out: waiting for a device that is not ready
        """
        config = self.hardware.config(bus.number, devfn)
        vendor = 0xFFFF if config is None else config.read(regs.PCI_VENDOR_ID, 2)
        dev = self.pci_alloc_dev(bus) if vendor != 0xFFFF else None
        if dev is None or config is None:
            return None
        dev.devfn, dev.vendor, dev.device = devfn, vendor, config.read(regs.PCI_DEVICE_ID, 2)
        if self.pci_setup_device(dev):
            self.pci_bus_put(dev.bus)
            return None
        return dev

    def pci_scan_single_device(self, bus: PciBus, devfn: int) -> PciDev | None:
        """Find the function at *devfn*, new or known.

        Kernel: pci_scan_single_device(), drivers/pci/probe.c
        Locks:  via pci_get_slot: &pci_bus_sem (read);
                via pci_setup_device: &pci_slot_mutex (mutex), only if one answers;
                via pci_device_add: as pci_device_add, only if it is new
        Called with: &pci_rescan_remove_lock
        Returns: the device without a reference, or None
        Left out: nothing
        """
        dev = self.pci_get_slot(bus, devfn)
        if dev is not None:
            self.pci_dev_put(dev)
            return dev
        dev = self.pci_scan_device(bus, devfn)
        if dev is not None:
            self.pci_device_add(dev, bus)
        return dev

    def only_one_child(self, bus: PciBus) -> bool:
        """Tell whether only slot 0 of *bus* can have something: it is the far end of a link.

        Kernel: only_one_child(), drivers/pci/probe.c
        Locks:  none
        Called with: &pci_rescan_remove_lock
        Returns: True or False
        Left out: quirks
        """
        return bus.self is not None and bus.self.pcie_type in (
            regs.PCI_EXP_TYPE_ROOT_PORT, regs.PCI_EXP_TYPE_DOWNSTREAM)

    def pci_scan_slot(self, bus: PciBus, devfn: int) -> int:
        """Find the functions of one slot.

        Kernel: pci_scan_slot(), drivers/pci/probe.c
        Locks:  via pci_scan_single_device: as pci_scan_single_device;
                via pcie_aspm_init_link_state: as pcie_aspm_init_link_state, only if any is new
        Called with: &pci_rescan_remove_lock
        Returns: how many are new
        Left out: functions beyond 7 (ARI)
        """
        if self.only_one_child(bus) and devfn > 0:
            return 0
        dev = self.pci_scan_single_device(bus, devfn)
        if dev is None:
            return 0
        found = [dev]
        if dev.multifunction:
            found += [fn for at in range(devfn + 1, devfn + 8)
                      if (fn := self.pci_scan_single_device(bus, at)) is not None]
            for dev in found:
                dev.multifunction = True
        new = sum(not dev.is_added for dev in found)
        if bus.self is not None and new:
            self.pcie_aspm_init_link_state(bus.self)
        return new

    def pci_scan_bridge(self, bus: PciBus, dev: PciDev) -> int:
        """Enumerate what is behind the bridge *dev*.

        Kernel: pci_scan_bridge(), drivers/pci/probe.c
        Locks:  via pci_find_bus: as pci_find_bus; via pci_scan_child_bus: as pci_scan_child_bus;
                via pci_add_new_bus: &pci_bus_sem (write), only if the bus is new
        Called with: &pci_rescan_remove_lock
        Returns: the highest bus number behind it
        Left out: giving out bus numbers; the firmware did
        """
        secondary = self.pci_read_config_byte(dev, regs.PCI_SECONDARY_BUS)
        subordinate = self.pci_read_config_byte(dev, regs.PCI_SUBORDINATE_BUS)
        child = self.pci_find_bus(pci_domain_nr(bus), secondary)
        if child is None:
            child = self.pci_add_new_bus(bus, dev, secondary)
            if child is None:
                return subordinate
            self.pci_bus_insert_busn_res(child, secondary, subordinate)
        self.pci_scan_child_bus(child)
        return subordinate

    def pci_scan_child_bus(self, bus: PciBus) -> int:
        """Enumerate *bus* and everything below it.

        Kernel: pci_scan_child_bus(), drivers/pci/probe.c
        Locks:  via pci_scan_slot: as pci_scan_slot; via pci_scan_bridge: as pci_scan_bridge
        Called with: &pci_rescan_remove_lock
        Returns: the highest bus number found
        Left out: the second pass, which gives out bus numbers
        """
        for devfn in range(0, 0x100, 8):
            self.pci_scan_slot(bus, devfn)
        highest = bus.number + self.pci_iov_bus_range(bus)
        for dev in bus.devices:
            if pci_is_bridge(dev):
                highest = max(highest, self.pci_scan_bridge(bus, dev))
        return highest

    def pci_rescan_bus(self, bus: PciBus) -> int:
        """Enumerate *bus* again and give what is new to its drivers.

        Kernel: pci_rescan_bus(), drivers/pci/probe.c
        Locks:  via pci_scan_child_bus: as pci_scan_child_bus;
                via pci_bus_add_devices: as pci_bus_add_devices
        Called with: &pci_rescan_remove_lock
        Returns: the highest bus number found
        Left out: resources
        """
        highest = self.pci_scan_child_bus(bus)
        self.pci_bus_add_devices(bus)
        return highest
