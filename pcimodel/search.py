"""drivers/pci/search.c (v4.14): finding buses and devices.

Lock order: pci_get_slot and pci_find_next_bus take pci_bus_sem for reading, for a moment.  They are
called under device locks (SR-IOV does), so the order device lock, pci_bus_sem starts here too.
"""

from __future__ import annotations

from collections.abc import Iterator

from .base_bus import BaseBus
from .locking import down_read
from .pci import PciBus, PciDev, pci_domain_nr
from .pci_core import Pci


class Search(BaseBus, Pci):
    """The functions of drivers/pci/search.c."""

    def pci_find_next_bus(self, bus: PciBus | None) -> PciBus | None:
        """Return the root bus after *bus*, or the first one.

        Kernel: pci_find_next_bus(), drivers/pci/search.c
        Locks:  &pci_bus_sem (read), for the step only
        Called with: neither &pci_bus_sem nor a spinlock
        Returns: a bus without a reference, or None at the end
        Left out: nothing
        """
        with down_read(self.pci_bus_sem):
            at = 0 if bus is None else self.pci_root_buses.index(bus) + 1
            return self.pci_root_buses[at] if at < len(self.pci_root_buses) else None

    def pci_do_find_bus(self, bus: PciBus, busnr: int) -> PciBus | None:
        """Look for bus number *busnr* on *bus* and below it.

        Kernel: pci_do_find_bus(), drivers/pci/search.c
        Locks:  none
        Called with: nothing that protects the lists of buses that it walks, as in C
        Returns: the bus without a reference, or None
        Left out: nothing
        """
        if bus.number == busnr:
            return bus
        for child in bus.children:
            found = self.pci_do_find_bus(child, busnr)
            if found:
                return found
        return None

    def pci_find_bus(self, domain: int, busnr: int) -> PciBus | None:
        """Find a bus by its number.

        Kernel: pci_find_bus(), drivers/pci/search.c
        Locks:  via pci_find_next_bus: &pci_bus_sem (read), once for each root bus it steps to
        Called with: neither &pci_bus_sem nor a spinlock
        Returns: the bus without a reference, or None
        Left out: nothing
        """
        bus = self.pci_find_next_bus(None)
        while bus is not None:
            if pci_domain_nr(bus) == domain:
                found = self.pci_do_find_bus(bus, busnr)
                if found:
                    return found
            bus = self.pci_find_next_bus(bus)
        return None

    def pci_get_slot(self, bus: PciBus, devfn: int) -> PciDev | None:
        """Find the function *devfn* of *bus*.

        Kernel: pci_get_slot(), drivers/pci/search.c
        Locks:  &pci_bus_sem (read), while it looks
        Called with: neither &pci_bus_sem nor a spinlock
        Returns: the device with a reference, or None
        Left out: nothing
        """
        with down_read(self.pci_bus_sem):
            found = next((dev for dev in bus.devices if dev.devfn == devfn), None)
            return self.pci_dev_get(found)

    def pci_get_domain_bus_and_slot(self, domain: int, busnr: int,
                                    devfn: int) -> PciDev | None:
        """Find a function by its address, whether or not it has left the list of its bus.

        Kernel: pci_get_domain_bus_and_slot(), drivers/pci/search.c
        Locks:  none
        Called with: any locks; it walks the klist of all PCI devices, not the bus lists
        Returns: the device with a reference, or None
        Left out: nothing
        """
        def match(dev: PciDev) -> bool:
            return (pci_domain_nr(dev.bus), dev.bus.number, dev.devfn) == (domain, busnr, devfn)
        return self.bus_find_device(match)

    def for_each_pci_dev(self) -> Iterator[PciDev]:
        """Walk all PCI devices.

        Kernel: for_each_pci_dev(), include/linux/pci.h
        Locks:  none
        Called with: any locks
        Returns: an iterator that holds a reference on its current device
        Left out: nothing
        """
        return self.bus_for_each_dev()
