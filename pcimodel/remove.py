"""drivers/pci/remove.c (v4.14): taking devices away.

First everything below is stopped (drivers leave), children in reverse order of the list, so that
VFs go before their PF; then everything is removed, children in list order.

Lock order: pci_rescan_remove_lock, then device locks, then pci_bus_sem for writing.  SR-IOV comes
here with the PF's lock and without pci_rescan_remove_lock.
"""

from __future__ import annotations

from .aspm import Aspm
from .core import DeviceCore
from .device import NULL
from .locking import Mutex, MutexGuard, down_write, mutex_lock
from .pci import PciBus, PciDev


class Remove(DeviceCore, Aspm):
    """The functions of drivers/pci/remove.c, and the lock of rescan and removal (probe.c)."""

    pci_rescan_remove_lock: Mutex

    def pci_lock_rescan_remove(self) -> MutexGuard:
        """Keep everybody else from adding and removing devices.

        Kernel: pci_lock_rescan_remove(), drivers/pci/probe.c
        Locks:  &pci_rescan_remove_lock (mutex), until the guard's block ends
        Called with: no device lock
        Returns: the guard, which is pci_unlock_rescan_remove()
        Left out: nothing
        """
        return mutex_lock(self.pci_rescan_remove_lock)

    def pci_stop_dev(self, dev: PciDev) -> None:
        """Take the driver off *dev*.

        Kernel: pci_stop_dev(), drivers/pci/remove.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), for all of its remove;
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex);
                the driver's
        Called with: &pci_rescan_remove_lock, or the PF's lock if it is a VF
        Returns: nothing
        Left out: files in sysfs and proc (gone before the driver, in v4.14); wake-up events
        """
        if dev.is_added:
            self.device_release_driver(dev)
            dev.is_added = False
        if dev.bus.self is not None:
            self.pcie_aspm_exit_link_state(dev)

    def pci_destroy_dev(self, dev: PciDev) -> None:
        """Take *dev* out of the driver core and off the list of its bus, and let go of it.

        Kernel: pci_destroy_dev(), drivers/pci/remove.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), once more, in device_del;
                &pci_bus_sem (write), for the change of the list
        Called with: &pci_rescan_remove_lock, or the PF's lock if it is a VF; not &pci_bus_sem
        Returns: nothing; a device that was never added, or is already gone, is left alone
        Left out: resources
        """
        if dev.kobj_parent is None:
            return
        self.device_del(dev)
        with down_write(self.pci_bus_sem):
            dev.bus.devices.remove(dev)
        self.put_device(dev)

    def pci_remove_bus(self, bus: PciBus) -> None:
        """Take *bus* off the list that it is on and let go of it.

        Kernel: pci_remove_bus(), drivers/pci/remove.c
        Locks:  &pci_bus_sem (write), for the change of the list
        Called with: &pci_rescan_remove_lock, or the PF's lock if it was for VFs
        Returns: nothing
        Left out: legacy files
        """
        with down_write(self.pci_bus_sem):
            siblings = self.pci_root_buses if bus.parent is None else bus.parent.children
            siblings.remove(bus)
        self.device_unregister(bus.dev)

    def pci_stop_bus_device(self, dev: PciDev) -> None:
        """Stop *dev* and everything below it, children in reverse order.

        Kernel: pci_stop_bus_device(), drivers/pci/remove.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), of each, one at a time;
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex);
                the driver's
        Called with: &pci_rescan_remove_lock, or the PF's lock if it is a VF
        Returns: nothing
        Left out: nothing
        """
        if dev.subordinate is not None:
            # A PF that leaves takes its VFs off the list; in reverse order they come before it.
            for child in reversed(dev.subordinate.devices.copy()):
                self.pci_stop_bus_device(child)
        self.pci_stop_dev(dev)

    def pci_remove_bus_device(self, dev: PciDev) -> None:
        """Remove *dev* and everything below it, children in list order.

        Kernel: pci_remove_bus_device(), drivers/pci/remove.c
        Locks:  via pci_destroy_dev: &dev->mutex (mutex), of each, one at a time;
                via pci_destroy_dev: &pci_bus_sem (write), once for each
        Called with: &pci_rescan_remove_lock, or the PF's lock if it is a VF
        Returns: nothing
        Left out: nothing
        """
        bus = dev.subordinate
        if bus is not None:
            for child in bus.devices.copy():
                self.pci_remove_bus_device(child)
            self.pci_remove_bus(bus)
            # Outside pci_bus_sem, as in C: a walk may still step into a bus that is gone.
            dev.subordinate = NULL
        self.pci_destroy_dev(dev)

    def pci_stop_and_remove_bus_device(self, dev: PciDev) -> None:
        """Stop, then remove *dev* and everything below it.

        Kernel: pci_stop_and_remove_bus_device(), drivers/pci/remove.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), of each, one at a time;
                via pci_destroy_dev: &pci_bus_sem (write), once for each;
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex);
                the driver's
        Called with: &pci_rescan_remove_lock, or the PF's lock if it is a VF
        Returns: nothing
        Left out: nothing
        """
        self.pci_stop_bus_device(dev)
        self.pci_remove_bus_device(dev)

    def pci_stop_and_remove_bus_device_locked(self, dev: PciDev) -> None:
        """Stop and remove *dev* while nobody else adds or removes devices.

        Kernel: pci_stop_and_remove_bus_device_locked(), drivers/pci/remove.c
        Locks:  via pci_lock_rescan_remove: &pci_rescan_remove_lock (mutex), around all the rest;
                via device_release_driver_internal: &dev->mutex (mutex), of each, one at a time;
                via pci_destroy_dev: &pci_bus_sem (write), once for each;
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex);
                the driver's
        Called with: no device lock
        Returns: nothing
        Left out: nothing
        """
        with self.pci_lock_rescan_remove():
            self.pci_stop_and_remove_bus_device(dev)
