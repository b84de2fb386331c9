"""drivers/pci/iov.c (v4.14): a driver turns the virtual functions of its device on and off.

The driver calls from its probe, from sriov_configure or from its remove, so the PF's lock is held
from the first line to the last, over the making and the removing of other devices.

Lock order: PF's device lock, then pci_bus_sem (read and write), the config access lock, and the
VF's device lock for the whole probe or remove of the VF's driver.
"""

from __future__ import annotations

import errno

from .access import pci_cfg_access_lock
from .pci import PciBus, PciDev, pci_domain_nr
from .pci_regs import (PCI_SRIOV_CAP_VFM, PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_MSE, PCI_SRIOV_CTRL_VFE,
                       PCI_SRIOV_INITIAL_VF, PCI_SRIOV_VF_DID)
from .probe import Probe
from .remove import Remove


class Iov(Probe, Remove):
    """The functions of drivers/pci/iov.c that make and remove VFs; iov_init.py has the rest."""

    def virtfn_add_bus(self, bus: PciBus, busnr: int) -> PciBus | None:
        """Find the bus for a VF, or make a virtual one.

        Kernel: virtfn_add_bus(), drivers/pci/iov.c
        Locks:  via pci_find_next_bus: &pci_bus_sem (read), only if *busnr* is not that of *bus*;
                via pci_add_new_bus: &pci_bus_sem (write), only if there is no such bus
        Called with: the PF's lock
        Returns: the bus, or None
        Left out: nothing
        """
        if bus.number == busnr:
            return bus
        child = self.pci_find_bus(pci_domain_nr(bus), busnr)
        if child is not None:
            return child
        child = self.pci_add_new_bus(bus, None, busnr)
        if child is not None:
            self.pci_bus_insert_busn_res(child, busnr, busnr)
        return child

    def virtfn_remove_bus(self, physbus: PciBus, virtbus: PciBus) -> None:
        """Remove a virtual bus that has lost its last VF.

        Kernel: virtfn_remove_bus(), drivers/pci/iov.c
        Locks:  via pci_remove_bus: &pci_bus_sem (write), only if the bus is virtual and empty
        Called with: the PF's lock
        Returns: nothing
        Left out: nothing
        """
        if physbus is not virtbus and not virtbus.devices:
            self.pci_remove_bus(virtbus)

    def pci_iov_add_virtfn(self, dev: PciDev, vf_id: int, reset: int = 0) -> int:
        """Make the device of one VF: find it a bus, read its header, add it, find it a driver.

        A VF driver that fails is no error here.  If the header cannot be read, v4.14 leaks the
        VF's struct and its reference on the bus.

        Kernel: pci_iov_add_virtfn(), drivers/pci/iov.c
        Locks:  via virtfn_add_bus: &pci_bus_sem (read), only if the VF is on another bus number;
                via virtfn_add_bus: &pci_bus_sem (write), only if that bus does not exist yet;
                via pci_device_add: &pci_bus_sem (write);
                via pci_bus_add_device: &dev->mutex (mutex), of the VF, for all of its probe;
                via pci_dev_assign_slot: &pci_slot_mutex (mutex)
        Called with: the PF's lock
        Returns: 0, -ENOMEM without a bus or memory, -EIO for a bad header, or a link's errno
        Left out: BARs; *reset*, which is always 0
        """
        rc = -errno.ENOMEM
        bus = self.virtfn_add_bus(dev.bus, self.pci_iov_virtfn_bus(dev, vf_id))
        if bus is None:
            return rc
        virtfn = self.pci_alloc_dev(bus)
        if virtfn is not None:
            virtfn.devfn = self.pci_iov_virtfn_devfn(dev, vf_id)
            virtfn.vendor = dev.vendor
            virtfn.device = self.pci_read_config_word(dev, dev.sriov.pos + PCI_SRIOV_VF_DID)
            rc = self.pci_setup_device(virtfn)
        if virtfn is not None and rc == 0:
            virtfn.parent = dev.parent
            virtfn.physfn = self.pci_dev_get(dev)
            virtfn.is_virtfn = True
            virtfn.multifunction = False
            self.pci_device_add(virtfn, virtfn.bus)
            rc = self.pci_iov_link_virtfn(dev, virtfn, vf_id)
            if rc == 0:
                self.kobject_uevent(virtfn, "change")
                self.pci_bus_add_device(virtfn)
                return 0
            self.pci_dev_put(dev)
            self.pci_stop_and_remove_bus_device(virtfn)
        self.virtfn_remove_bus(dev.bus, bus)
        return rc

    def pci_iov_link_virtfn(self, dev: PciDev, virtfn: PciDev, vf_id: int) -> int:
        """Make the links from PF to VF and back: both, or none.

        Kernel: pci_iov_add_virtfn(), drivers/pci/iov.c (its two links)
        Locks:  none
        Called with: the PF's lock
        Returns: 0 or the errno of the link that failed
        Left out: nothing
        """
        rc = self.sysfs_create_link(dev, virtfn, f"virtfn{vf_id}")
        if rc:
            return rc
        rc = self.sysfs_create_link(virtfn, dev, "physfn")
        if rc:
            self.sysfs_remove_link(dev, f"virtfn{vf_id}")
        return rc

    def pci_iov_remove_virtfn(self, dev: PciDev, vf_id: int, reset: int = 0) -> None:
        """Remove the device of one VF; not safe if somebody else removes it at the same time.

        Kernel: pci_iov_remove_virtfn(), drivers/pci/iov.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), of the VF;
                via pci_destroy_dev: &pci_bus_sem (write);
                via pci_remove_bus: &pci_bus_sem (write), only if a virtual bus became empty;
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex)
        Called with: the PF's lock
        Returns: nothing; a VF that does not exist is no error
        Left out: *reset*, which is always 0
        """
        virtfn = self.pci_get_domain_bus_and_slot(
            pci_domain_nr(dev.bus), self.pci_iov_virtfn_bus(dev, vf_id),
            self.pci_iov_virtfn_devfn(dev, vf_id))
        if virtfn is None:
            return
        self.sysfs_remove_link(dev, f"virtfn{vf_id}")
        if virtfn.kobj_parent is not None:
            self.sysfs_remove_link(virtfn, "physfn")
        self.pci_stop_and_remove_bus_device(virtfn)
        self.virtfn_remove_bus(dev.bus, virtfn.bus)
        # The reference of the lookup, then the one that the VF had on its PF.
        self.pci_dev_put(virtfn)
        self.pci_dev_put(dev)

    def sriov_enable(self, dev: PciDev, nr_virtfn: int) -> int:
        """Turn *nr_virtfn* VFs on in the hardware and make their devices.

        ``num_VFs`` stays 0 until all VFs exist and user space was told.

        Kernel: sriov_enable(), drivers/pci/iov.c
        Locks:  via pci_get_slot: &pci_bus_sem (read), only if the PF depends on another function;
                dev->block_cfg_access (mutex), while VF Enable is set and settles, and again when
                it is cleared after a failure;
                via sriov_add_vfs: &pci_bus_sem (write), once for each VF;
                via sriov_add_vfs: &dev->mutex (mutex), of each VF, for all of its probe;
                via pcie_aspm_exit_link_state: &aspm_lock (mutex);
                via pci_dev_assign_slot: &pci_slot_mutex (mutex)
        Called with: the PF's lock
        Returns: 0; -EINVAL, -EIO, -ENOMEM, -ENODEV, -ENOSYS for the PF's own reasons; what the
            platform answers; the errno of the first VF that could not be added
        Left out: nothing
        """
        iov = dev.sriov
        if nr_virtfn == 0:
            return 0
        rc = self.sriov_check(dev, nr_virtfn) or self.sriov_add_dep_link(dev)
        if rc:
            return rc
        iov.initial_VFs = self.pci_read_config_word(dev, iov.pos + PCI_SRIOV_INITIAL_VF)
        initial = min(nr_virtfn, iov.initial_VFs)
        rc = self.pcibios_sriov_enable(dev, initial)
        if rc:
            self.dev_err(dev, f"failure {rc} from pcibios_sriov_enable()")
        else:
            self.pci_iov_set_numvfs(dev, nr_virtfn)
            iov.ctrl |= PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE
            with pci_cfg_access_lock(dev):
                self.pci_write_config_word(dev, iov.pos + PCI_SRIOV_CTRL, iov.ctrl)
                self.msleep(100)
            rc = self.sriov_add_vfs(dev, initial)
        if rc:
            self.sriov_turn_off(dev)
            return rc
        self.kobject_uevent(dev, "change")
        iov.num_VFs = nr_virtfn
        return 0

    def sriov_check(self, dev: PciDev, nr_virtfn: int) -> int:
        """Check that *nr_virtfn* VFs are possible, and enable their BARs.

        Kernel: sriov_enable(), drivers/pci/iov.c (its checks)
        Locks:  none
        Called with: the PF's lock
        Returns: 0, -EINVAL, -EIO or -ENOMEM
        Left out: nothing
        """
        iov = dev.sriov
        if iov.num_VFs:
            return -errno.EINVAL
        initial = self.pci_read_config_word(dev, iov.pos + PCI_SRIOV_INITIAL_VF)
        migration = iov.cap & PCI_SRIOV_CAP_VFM
        if initial > iov.total_VFs or (not migration and initial != iov.total_VFs):
            return -errno.EIO
        if nr_virtfn < 0 or nr_virtfn > iov.total_VFs or (not migration and nr_virtfn > initial):
            return -errno.EINVAL
        if sum(res.has_parent for res in iov.resource) != iov.nres:
            self.dev_err(dev, "not enough MMIO resources for SR-IOV")
            return -errno.ENOMEM
        bus = self.pci_iov_virtfn_bus(dev, nr_virtfn - 1)
        if bus > dev.bus.busn_res_end:
            self.dev_err(dev, f"can't enable {nr_virtfn} VFs (bus {bus:02x} out of range of "
                              f"[bus {dev.bus.number:02x}-{dev.bus.busn_res_end:02x}])")
            return -errno.ENOMEM
        if self.pci_enable_resources(dev, iov.resource):
            self.dev_err(dev, "SR-IOV: IOV BARS not allocated")
            return -errno.ENOMEM
        return 0

    def sriov_add_dep_link(self, dev: PciDev) -> int:
        """Link the PF to the function that it depends on, if any.

        Kernel: sriov_enable(), drivers/pci/iov.c (its dep_link)
        Locks:  via pci_get_slot: &pci_bus_sem (read), only if the PF depends on another function
        Called with: the PF's lock
        Returns: 0, -ENODEV, -ENOSYS, or the errno of the link
        Left out: nothing
        """
        iov = dev.sriov
        if iov.link == dev.devfn:
            return 0
        pdev = self.pci_get_slot(dev.bus, iov.link)
        if pdev is None:
            return -errno.ENODEV
        rc = -errno.ENOSYS
        if pdev.is_physfn:
            rc = self.sysfs_create_link(dev, pdev, "dep_link")
        self.pci_dev_put(pdev)
        return rc

    def sriov_turn_off(self, dev: PciDev) -> None:
        """Clear VF Enable in the hardware and undo what came before it.

        Kernel: sriov_enable() and sriov_disable(), drivers/pci/iov.c (the end of both)
        Locks:  dev->block_cfg_access (mutex), while VF Enable is cleared and settles
        Called with: the PF's lock
        Returns: nothing
        Left out: nothing
        """
        iov = dev.sriov
        iov.ctrl &= ~(PCI_SRIOV_CTRL_VFE | PCI_SRIOV_CTRL_MSE)
        with pci_cfg_access_lock(dev):
            self.pci_write_config_word(dev, iov.pos + PCI_SRIOV_CTRL, iov.ctrl)
            self.msleep(1000)
        self.pcibios_sriov_disable(dev)
        if iov.link != dev.devfn:
            self.sysfs_remove_link(dev, "dep_link")
        iov.num_VFs = 0
        self.pci_iov_set_numvfs(dev, 0)

    def sriov_add_vfs(self, dev: PciDev, num_vfs: int) -> int:
        """Make the devices of VFs 0 to *num_vfs* - 1: all, or none.

        After a failure those that were made are removed, the last one first.

        Kernel: sriov_enable(), drivers/pci/iov.c (its loop; sriov_add_vfs() since v5.0)
        Locks:  via pci_iov_add_virtfn: &pci_bus_sem (write), once for each VF;
                via pci_iov_add_virtfn: &dev->mutex (mutex), of each VF, for all of its probe;
                via pci_iov_add_virtfn: as pci_iov_add_virtfn;
                via pci_iov_remove_virtfn: as pci_iov_remove_virtfn
        Called with: the PF's lock
        Returns: 0 or the errno of the first VF that could not be added
        Left out: nothing
        """
        for vf_id in range(num_vfs):
            rc = self.pci_iov_add_virtfn(dev, vf_id, 0)
            if rc:
                while vf_id:
                    vf_id -= 1
                    self.pci_iov_remove_virtfn(dev, vf_id, 0)
                return rc
        return 0

    def sriov_del_vfs(self, dev: PciDev) -> None:
        """Remove the devices of all VFs, in ascending order.

        Kernel: sriov_disable(), drivers/pci/iov.c (its loop; sriov_del_vfs() since v5.0)
        Locks:  via pci_iov_remove_virtfn: &dev->mutex (mutex), of each VF, one at a time;
                via pci_iov_remove_virtfn: &pci_bus_sem (write), once for each VF;
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex)
        Called with: the PF's lock
        Returns: nothing
        Left out: nothing
        """
        for vf_id in range(dev.sriov.num_VFs):
            self.pci_iov_remove_virtfn(dev, vf_id, 0)

    def sriov_disable(self, dev: PciDev) -> None:
        """Remove all VFs and turn them off in the hardware.

        Kernel: sriov_disable(), drivers/pci/iov.c
        Locks:  via sriov_del_vfs: &dev->mutex (mutex), of each VF, one at a time;
                via sriov_del_vfs: &pci_bus_sem (write), once for each VF;
                via sriov_turn_off: dev->block_cfg_access (mutex);
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex)
        Called with: the PF's lock
        Returns: nothing
        Left out: nothing
        """
        if not dev.sriov.num_VFs:
            return
        self.sriov_del_vfs(dev)
        self.sriov_turn_off(dev)

    def pci_enable_sriov(self, dev: PciDev, nr_virtfn: int) -> int:
        """Enable *nr_virtfn* VFs of *dev*: for its driver to call.

        Kernel: pci_enable_sriov(), drivers/pci/iov.c
        Locks:  via sriov_enable: dev->block_cfg_access (mutex);
                via sriov_enable: &pci_bus_sem (write), once for each VF;
                via sriov_enable: &dev->mutex (mutex), of each VF, for all of its probe;
                via sriov_enable: as sriov_enable
        Called with: the PF's lock (probe, sriov_configure)
        Returns: 0, -ENOSYS if *dev* is not a PF, or the errno of sriov_enable
        Left out: nothing
        """
        if not dev.is_physfn:
            return -errno.ENOSYS
        return self.sriov_enable(dev, nr_virtfn)

    def pci_disable_sriov(self, dev: PciDev) -> None:
        """Disable all VFs of *dev*: for its driver to call.

        Kernel: pci_disable_sriov(), drivers/pci/iov.c
        Locks:  via sriov_disable: &dev->mutex (mutex), of each VF, one at a time;
                via sriov_disable: &pci_bus_sem (write), once for each VF;
                via sriov_disable: dev->block_cfg_access (mutex);
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex)
        Called with: the PF's lock (remove, sriov_configure)
        Returns: nothing; nothing is done if *dev* is not a PF
        Left out: nothing
        """
        if dev.is_physfn:
            self.sriov_disable(dev)
