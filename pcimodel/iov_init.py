"""drivers/pci/iov.c (v4.14), first and last part: the SR-IOV capability is found, asked, released.

Lock order: none of its own.
"""

from __future__ import annotations

import errno
from typing import cast

from .device import NULL, KernelOops
from .hardware import PhysicalFunction
from .pci import PciBus, PciDev, PciSriov, Resource
from .pci_core import Pci
from .pci_regs import (PCI_EXT_CAP_ID_SRIOV, PCI_SRIOV_CAP, PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE,
                       PCI_SRIOV_FUNC_LINK, PCI_SRIOV_INITIAL_VF, PCI_SRIOV_NUM_VF,
                       PCI_SRIOV_TOTAL_VF, PCI_SRIOV_VF_OFFSET, PCI_SRIOV_VF_STRIDE)
from .timer import Timer


class IovInit(Pci, Timer):
    """The functions of drivers/pci/iov.c around the capability itself."""

    def pci_iov_init(self, dev: PciDev) -> int:
        """Find out whether *dev* is a PF.

        Kernel: pci_iov_init(), drivers/pci/iov.c
        Locks:  none
        Called with: as pci_device_add
        Returns: 0, -ENODEV without the capability, -EIO if the capability makes no sense
        Left out: nothing
        """
        pos = self.pci_find_ext_capability(dev, PCI_EXT_CAP_ID_SRIOV)
        return self.sriov_init(dev, pos) if pos else -errno.ENODEV

    def sriov_init(self, dev: PciDev, pos: int) -> int:
        """Read the SR-IOV capability at *pos* and make *dev* a PF.

        If the capability makes no sense, v4.14 forgets its reference on the first PF of the bus.

        Kernel: sriov_init(), drivers/pci/iov.c
        Locks:  none
        Called with: as pci_device_add; nothing that protects the list of the bus, as in C
        Returns: 0, or -EIO if offset or stride are out of order
        Left out: ARI, page sizes
        """
        if self.pci_read_config_word(dev, pos + PCI_SRIOV_CTRL) & PCI_SRIOV_CTRL_VFE:
            self.pci_write_config_word(dev, pos + PCI_SRIOV_CTRL, 0)
            self.msleep(1000)
        total = self.pci_read_config_word(dev, pos + PCI_SRIOV_TOTAL_VF)
        if not total:
            return 0
        iov = PciSriov(pos, dev)
        iov.resource = self.sriov_vf_bars(dev)
        iov.nres = len(iov.resource)
        iov.cap = self.pci_read_config_dword(dev, pos + PCI_SRIOV_CAP)
        iov.total_VFs = total
        iov.initial_VFs = self.pci_read_config_word(dev, pos + PCI_SRIOV_INITIAL_VF)
        iov.link = self.pci_read_config_byte(dev, pos + PCI_SRIOV_FUNC_LINK)
        first = next((other for other in dev.bus.devices if other.is_physfn), None)
        if first is not None:
            iov.dev = self.pci_dev_get(first)
        dev.sriov, dev.is_physfn = iov, True
        rc = self.compute_max_vf_buses(dev)
        if rc:
            dev.sriov, dev.is_physfn = NULL, False
        return rc

    def sriov_vf_bars(self, dev: PciDev) -> list[Resource]:
        """Size the VF BARs, and find what room the bridge above gave each.

        Kernel: sriov_init(), drivers/pci/iov.c (its loop over PCI_SRIOV_BAR)
        Locks:  none
        Called with: as pci_device_add
        Returns: one resource for each BAR
        Left out: sizes and addresses
        """
        cap = cast(PhysicalFunction, dev.config).sriov
        return [Resource(at >= cap.bars_without_room, at < cap.bars_without_address)
                for at in range(cap.bars)]

    def compute_max_vf_buses(self, dev: PciDev) -> int:
        """Find out how many bus numbers all VFs of *dev* would need.

        Kernel: compute_max_vf_buses(), drivers/pci/iov.c
        Locks:  none
        Called with: as pci_device_add
        Returns: 0, or -EIO if offset or stride are out of order
        Left out: nothing
        """
        iov = dev.sriov
        for nr_virtfn in range(1, iov.total_VFs + 1):
            self.pci_iov_set_numvfs(dev, nr_virtfn)
            if not iov.offset or (nr_virtfn > 1 and not iov.stride):
                self.pci_iov_set_numvfs(dev, 0)
                return -errno.EIO
            busnr = self.pci_iov_virtfn_bus(dev, nr_virtfn - 1)
            iov.max_VF_buses = max(iov.max_VF_buses, busnr)
        self.pci_iov_set_numvfs(dev, 0)
        return 0

    def pci_iov_bus_range(self, bus: PciBus) -> int:
        """Tell how many bus numbers after its own the VFs on *bus* may need.

        Kernel: pci_iov_bus_range(), drivers/pci/iov.c
        Locks:  none
        Called with: &pci_rescan_remove_lock
        Returns: the number
        Left out: nothing
        """
        highest = max((dev.sriov.max_VF_buses for dev in bus.devices if dev.is_physfn), default=0)
        return highest - bus.number if highest else 0

    def pci_iov_release(self, dev: PciDev) -> None:
        """Release the SR-IOV side of a function that is about to be freed.

        Kernel: pci_iov_release(), drivers/pci/iov.c
        Locks:  none
        Called with: the last reference on *dev* gone
        Returns: nothing
        Left out: nothing
        """
        if dev.is_physfn:
            self.sriov_release(dev)

    def sriov_release(self, dev: PciDev) -> None:
        """Free the SR-IOV struct.

        Kernel: sriov_release(), drivers/pci/iov.c
        Locks:  none
        Called with: as pci_iov_release
        Returns: nothing; a BUG if there still are VFs
        Left out: nothing
        """
        if dev.sriov.num_VFs:
            raise KernelOops(f"kernel BUG at drivers/pci/iov.c: {dev.name} is freed with VFs on")
        if dev.sriov.dev is not dev:
            self.pci_dev_put(dev.sriov.dev)
        dev.sriov = NULL

    def pci_num_vf(self, dev: PciDev) -> int:
        """Return how many VFs *dev* has.

        Kernel: pci_num_vf(), drivers/pci/iov.c
        Locks:  none
        Called with: the PF's lock, or nothing for a value that may be old
        Returns: the number, 0 if *dev* is not a PF
        Left out: nothing
        """
        return dev.sriov.num_VFs if dev.is_physfn else 0

    def pci_sriov_set_totalvfs(self, dev: PciDev, numvfs: int) -> int:
        """Let a driver limit how many VFs user space may ask for.

        Kernel: pci_sriov_set_totalvfs(), drivers/pci/iov.c
        Locks:  none
        Called with: the PF's lock (probe)
        Returns: 0, -ENOSYS if *dev* is not a PF, -EINVAL if too many, -EBUSY with VFs on
        Left out: nothing
        """
        if not dev.is_physfn:
            return -errno.ENOSYS
        if numvfs > dev.sriov.total_VFs:
            return -errno.EINVAL
        if dev.sriov.ctrl & PCI_SRIOV_CTRL_VFE:
            return -errno.EBUSY
        dev.sriov.driver_max_VFs = numvfs
        return 0

    def pci_sriov_get_totalvfs(self, dev: PciDev) -> int:
        """Return how many VFs user space may ask for.

        Kernel: pci_sriov_get_totalvfs(), drivers/pci/iov.c
        Locks:  none
        Called with: no lock required
        Returns: the driver's limit, else the hardware's; 0 if *dev* is not a PF
        Left out: nothing
        """
        if not dev.is_physfn:
            return 0
        return dev.sriov.driver_max_VFs or dev.sriov.total_VFs

    def pci_iov_virtfn_bus(self, dev: PciDev, vf_id: int) -> int:
        """Compute the bus number of a VF.

        Kernel: pci_iov_virtfn_bus(), drivers/pci/iov.c
        Locks:  none
        Called with: the PF's lock
        Returns: the bus number, -EINVAL if *dev* is not a PF
        Left out: nothing
        """
        if not dev.is_physfn:
            return -errno.EINVAL
        rid = dev.devfn + dev.sriov.offset + dev.sriov.stride * vf_id
        return dev.bus.number + (rid >> 8)

    def pci_iov_virtfn_devfn(self, dev: PciDev, vf_id: int) -> int:
        """Compute the slot and function number of a VF.

        Kernel: pci_iov_virtfn_devfn(), drivers/pci/iov.c
        Locks:  none
        Called with: the PF's lock
        Returns: the devfn, -EINVAL if *dev* is not a PF
        Left out: nothing
        """
        if not dev.is_physfn:
            return -errno.EINVAL
        return dev.devfn + dev.sriov.offset + dev.sriov.stride * vf_id & 0xFF

    def pci_iov_set_numvfs(self, dev: PciDev, nr_virtfn: int) -> None:
        """Write the NumVFs register; First VF Offset and VF Stride may change with it.

        Kernel: pci_iov_set_numvfs(), drivers/pci/iov.c
        Locks:  none
        Called with: the PF's lock
        Returns: nothing
        Left out: nothing
        """
        iov = dev.sriov
        self.pci_write_config_word(dev, iov.pos + PCI_SRIOV_NUM_VF, nr_virtfn)
        iov.offset = self.pci_read_config_word(dev, iov.pos + PCI_SRIOV_VF_OFFSET)
        iov.stride = self.pci_read_config_word(dev, iov.pos + PCI_SRIOV_VF_STRIDE)

    def pcibios_sriov_enable(self, dev: PciDev, num_vfs: int) -> int:
        """Let the platform prepare for *num_vfs* VFs.

        Kernel: pcibios_sriov_enable(), drivers/pci/iov.c (arch code may replace it)
        Locks:  none
        Called with: the PF's lock
        Returns: 0 or what the platform of the machine answers
        Left out: what the platform does
        """
        return cast(PhysicalFunction, dev.config).sriov.arch_error

    def pcibios_sriov_disable(self, dev: PciDev) -> int:
        """Let the platform clean up after VFs.

        Kernel: pcibios_sriov_disable(), drivers/pci/iov.c (arch code may replace it)
        Locks:  none
        Called with: the PF's lock
        Returns: 0
        Left out: what the platform does
        """
        return 0
