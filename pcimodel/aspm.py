"""drivers/pci/pcie/aspm.c and slot.c (v4.14): the locks that adding and removing devices takes.

Link power states and physical slots themselves are left out.

Lock order: pci_bus_sem (read), then aspm_lock; pci_slot_mutex alone.  Both are taken under device
locks when a driver adds or removes VFs.
"""

from __future__ import annotations

from .locking import Mutex, down_read, mutex_lock
from .pci import PciDev
from .pci_core import Pci


class Aspm(Pci):
    """The functions of aspm.c and slot.c that enumeration calls."""

    aspm_lock: Mutex
    pci_slot_mutex: Mutex

    def pcie_aspm_init_link_state(self, pdev: PciDev) -> None:
        """Note that the port *pdev* has a link below it.

        Kernel: pcie_aspm_init_link_state(), drivers/pci/pcie/aspm.c
        Locks:  &pci_bus_sem (read); &aspm_lock (mutex), inside it
        Called with: not &pci_bus_sem
        Returns: nothing
        Left out: everything but the fact
        """
        if pdev.link_state:
            return
        with down_read(self.pci_bus_sem):
            if pdev.subordinate is None or not pdev.subordinate.devices:
                return
            with mutex_lock(self.aspm_lock):
                pdev.link_state = True

    def pcie_aspm_exit_link_state(self, pdev: PciDev) -> None:
        """Forget the link above *pdev* if it is the last function behind it.

        Kernel: pcie_aspm_exit_link_state(), drivers/pci/pcie/aspm.c
        Locks:  &pci_bus_sem (read), only if the port above has a link; &aspm_lock (mutex), inside
        Called with: not &pci_bus_sem; a PF's lock if *pdev* is its VF
        Returns: nothing
        Left out: everything but the fact
        """
        parent = pdev.bus.self
        if parent is None or not parent.link_state:
            return
        with down_read(self.pci_bus_sem), mutex_lock(self.aspm_lock):
            # Not the first function alone goes: the others still use the link.
            if pdev.bus.devices and pdev.bus.devices[0] is pdev is pdev.bus.devices[-1]:
                parent.link_state = False

    def pci_dev_assign_slot(self, dev: PciDev) -> None:
        """Look for the physical slot that *dev* is in.

        Kernel: pci_dev_assign_slot(), drivers/pci/slot.c
        Locks:  &pci_slot_mutex (mutex)
        Called with: a PF's lock if *dev* is its VF
        Returns: nothing
        Left out: slots: none is found
        """
        with mutex_lock(self.pci_slot_mutex):
            return
