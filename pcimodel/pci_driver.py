"""drivers/pci/pci-driver.c (v4.14): what the PCI bus does when a driver comes and goes.

Where the machine has NUMA nodes the driver's probe runs on a worker thread while the thread that
holds the device's mutex waits for it: owner and executor differ.  ``probe_on_worker`` of the world
says so; by default the probe runs on the calling thread, as on a machine without nodes.

Lock order: with ``probe_on_worker``, device lock, then the work item.
"""

from __future__ import annotations

import errno

from .base_bus import BaseBus
from .pci import PCI_ANY_ID, PciDev, PciDeviceId, PciDriver, to_pci_driver
from .pci_core import Pci
from .workqueue import Workqueues


class PciDriverCore(BaseBus, Pci, Workqueues):
    """The functions of drivers/pci/pci-driver.c."""

    probe_on_worker: bool

    def pci_register_driver(self, drv: PciDriver) -> int:
        """Register *drv*: what loading its module does.

        Kernel: pci_register_driver(), include/linux/pci.h
        Locks:  via _driver_attach: &dev->mutex (mutex), of parent and device;
                via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: no device lock
        Returns: 0, or -EBUSY if there is a driver of that name
        Left out: dynamic ids
        """
        return self.driver_register(drv)

    def pci_unregister_driver(self, drv: PciDriver) -> None:
        """Unregister *drv*: what removing its module does.

        Kernel: pci_unregister_driver(), drivers/pci/pci-driver.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), of parent and device;
                the driver's
        Called with: no device lock
        Returns: nothing
        Left out: dynamic ids
        """
        self.driver_unregister(drv)

    def pci_match_device(self, drv: PciDriver, dev: PciDev) -> PciDeviceId | None:
        """Find the line of the driver's table that fits *dev*.

        Kernel: pci_match_device(), drivers/pci/pci-driver.c
        Locks:  none
        Called with: no lock required
        Returns: the line, or None
        Left out: driver_override, dynamic ids, subsystem ids
        """
        for line in drv.id_table:
            if (line.vendor in (PCI_ANY_ID, dev.vendor) and line.device in (PCI_ANY_ID, dev.device)
                    and not (line.class_ ^ dev.class_) & line.class_mask):
                return line
        return None

    def pci_bus_match(self, dev: PciDev, drv: PciDriver) -> int:
        """Tell whether *drv* is for *dev*; never before pci_bus_add_device allowed it.

        Kernel: pci_bus_match(), drivers/pci/pci-driver.c
        Locks:  none
        Called with: no lock required
        Returns: 1 or 0
        Left out: nothing
        """
        if not dev.match_driver:
            return 0
        return int(self.pci_match_device(drv, dev) is not None)

    def pci_device_can_probe(self, dev: PciDev) -> bool:
        """Tell whether *dev* may have a driver: a VF only if its PF lets VFs be probed.

        Kernel: pci_device_can_probe(), drivers/pci/pci-driver.c
        Locks:  none
        Called with: the device lock
        Returns: True or False
        Left out: nothing
        """
        return not dev.is_virtfn or dev.physfn.sriov.drivers_autoprobe

    def pci_device_probe(self, dev: PciDev) -> int:
        """Probe *dev* with the driver that the core chose; keep a reference while it is bound.

        A device that may have no driver is bound all the same: its driver is not asked.

        Kernel: pci_device_probe(), drivers/pci/pci-driver.c
        Locks:  via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: the device lock
        Returns: 0, or the errno of __pci_device_probe()
        Left out: interrupts
        """
        error = 0
        self.pci_dev_get(dev)
        if self.pci_device_can_probe(dev):
            error = self._pci_device_probe(to_pci_driver(dev.dev_driver), dev)
            if error:
                self.pci_dev_put(dev)
        return error

    def _pci_device_probe(self, drv: PciDriver, dev: PciDev) -> int:
        """Call the driver's probe if its table has *dev*.

        Kernel: __pci_device_probe(), drivers/pci/pci-driver.c
        Locks:  via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: the device lock
        Returns: 0, -ENODEV, or the driver's errno
        Left out: nothing
        """
        if dev.driver is not None or drv.probe is None:
            return 0
        pci_id = self.pci_match_device(drv, dev)
        if pci_id is None:
            return -errno.ENODEV
        return self.pci_call_probe(drv, dev, pci_id)

    def pci_physfn_is_probed(self, dev: PciDev) -> bool:
        """Tell whether *dev* is a VF whose PF is inside its own probe.

        Kernel: pci_physfn_is_probed(), drivers/pci/pci-driver.c
        Locks:  none
        Called with: the device lock
        Returns: True or False
        Left out: nothing
        """
        return dev.is_virtfn and dev.physfn.is_probed

    def pci_call_probe(self, drv: PciDriver, dev: PciDev, pci_id: PciDeviceId) -> int:
        """Call the driver's probe on the right thread.

        Kernel: pci_call_probe(), drivers/pci/pci-driver.c
        Locks:  via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: the device lock
        Returns: 0 or the driver's errno
        Left out: which CPU is near the device: the worker is one of the caller's CPU
        """
        dev.is_probed = True
        ddi = (drv, dev, pci_id)
        # A VF of a PF that is being probed on a worker is probed right there: one level only.
        if self.probe_on_worker and not self.pci_physfn_is_probed(dev):
            error = self.work_on_cpu(self.smp_processor_id(), self.local_pci_probe, ddi)
        else:
            error = self.local_pci_probe(ddi)
        dev.is_probed = False
        return error

    def local_pci_probe(self, ddi: tuple[PciDriver, PciDev, PciDeviceId]) -> int:
        """Call the driver's probe on this thread.

        Kernel: local_pci_probe(), drivers/pci/pci-driver.c
        Locks:  the driver's
        Called with: the device lock, held by this thread or by the one that waits for it
        Returns: 0 or the driver's errno; a positive answer counts as 0
        Left out: runtime power management
        """
        drv, dev, pci_id = ddi
        dev.driver = drv
        rc = drv.probe(dev, pci_id)
        if rc < 0:
            dev.driver = None
            return rc
        if rc > 0:
            self.dev_warn(dev, f"Driver probe function unexpectedly returned {rc}")
        return 0

    def pci_device_remove(self, dev: PciDev) -> None:
        """Call the driver's remove and drop the reference of the binding.

        Kernel: pci_device_remove(), drivers/pci/pci-driver.c
        Locks:  the driver's
        Called with: the device lock
        Returns: nothing
        Left out: interrupts, runtime power management
        """
        drv = dev.driver
        if drv is not None:
            if drv.remove is not None:
                drv.remove(dev)
            dev.driver = None
        self.pci_dev_put(dev)
