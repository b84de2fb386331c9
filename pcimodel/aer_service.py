"""drivers/pci/pcie/aer/aerdrv.c (v4.14): the AER service of a root port, down to its interrupt.

The interrupt only notes what the port says and queues a work item; aer.py has what that does.
In C the service is bound to a child device of the port; here the port itself stands for it, and its
driver (portdrv.py) binds and unbinds the service.

Lock order: e_lock, a spinlock, is held for a few list operations and never while anything sleeps.
The service leaves under the port's device lock, and waits there for the work item.
"""

from __future__ import annotations

import errno
import threading
from collections import deque

from .aer import Aer
from .aerdrv import (AER_ERROR_SOURCES_MAX, ROOT_PORT_INTR_ON_MESG_MASK, AerErrSource, AerRpc,
                     DpcHandler)
from .pci import PciDev, pci_pcie_type
from .pci_regs import (PCI_ERR_COR_STATUS, PCI_ERR_ROOT_COMMAND, PCI_ERR_ROOT_COR_RCV,
                       PCI_ERR_ROOT_ERR_SRC, PCI_ERR_ROOT_STATUS, PCI_ERR_ROOT_UNCOR_RCV,
                       PCI_ERR_UNCOR_STATUS, PCI_EXP_TYPE_DOWNSTREAM, PCI_EXP_TYPE_ROOT_PORT,
                       PCI_EXP_TYPE_UPSTREAM)
from .workqueue import WorkStruct


class Aerdrv(Aer):
    """The functions of drivers/pci/pcie/aer/aerdrv.c."""

    def aer_service_init(self) -> None:
        """Set up the service driver, which serves no port yet, and the ring of APEI errors.

        Kernel: aer_service_init(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  none
        Called with: nothing running yet
        Returns: nothing
        Left out: the bus of port services; pci=noaer
        """
        self.aer_services = {}
        self.aer_recover_ring = deque()
        self.aer_recover_work = WorkStruct("aer_recover_work", self.aer_recover_work_func)
        # Stands in for aer_recover_ring_lock, a spinlock.
        self._aer_recover_ring_lock = threading.Lock()

    def aer_probe(self, port: PciDev) -> int:
        """Bind the AER service to the root port *port*.

        Kernel: aer_probe(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), to turn on reporting below the port
        Called with: the port's device lock (in C the service device's too)
        Returns: 0, or -EBUSY if the port has the service already
        Left out: lack of memory and of an interrupt
        """
        if port in self.aer_services:
            return -errno.EBUSY
        rpc = self.aer_alloc_rpc(port)
        rpc.isr = True
        self.aer_enable_rootport(rpc)
        return 0

    def aer_alloc_rpc(self, port: PciDev) -> AerRpc:
        """Make the service's data for *port*.

        Kernel: aer_alloc_rpc(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  none
        Called with: no lock required
        Returns: the new struct aer_rpc
        Left out: lack of memory
        """
        rpc = AerRpc(port)
        rpc.dpc_handler = DpcHandler(rpc, self.aer_isr)
        self.aer_services[port] = rpc
        return rpc

    def aer_remove(self, port: PciDev) -> None:
        """Unbind the AER service from *port*, once all errors it has noted are handled.

        Kernel: aer_remove(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  via flush_work: (work_completion)(&rpc->dpc_handler) (wait), only if it is pending;
                via pci_walk_bus: &pci_bus_sem (read), to turn off reporting below the port
        Called with: the port's device lock (in C the service device's too), and
            &pci_rescan_remove_lock if the port itself goes; no lock that aer_isr() can want
        Returns: nothing
        Left out: nothing
        """
        rpc = self.get_service_data(port)
        if rpc is None:
            return
        # free_irq(): from here on nothing is noted, and the handler that runs has queued its work.
        with rpc.irq_lock:
            rpc.isr = False
        self.flush_work(rpc.dpc_handler)
        self.aer_disable_rootport(rpc)
        del self.aer_services[port]

    def aer_enable_rootport(self, rpc: AerRpc) -> None:
        """Forget old errors, turn on reporting below the port and the port's interrupt.

        Kernel: aer_enable_rootport(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read)
        Called with: no lock required
        Returns: nothing
        Left out: the PCI Express status and root control registers
        """
        port, aer_pos = rpc.rpd, rpc.rpd.aer_cap
        for register in (PCI_ERR_ROOT_STATUS, PCI_ERR_COR_STATUS, PCI_ERR_UNCOR_STATUS):
            self._clear_status(port, aer_pos + register)
        self.set_downstream_devices_error_reporting(port, True)
        command = self.pci_read_config_dword(port, aer_pos + PCI_ERR_ROOT_COMMAND)
        command |= ROOT_PORT_INTR_ON_MESG_MASK
        self.pci_write_config_dword(port, aer_pos + PCI_ERR_ROOT_COMMAND, command)

    def aer_disable_rootport(self, rpc: AerRpc) -> None:
        """Turn off reporting below the port and the port's interrupt.

        Kernel: aer_disable_rootport(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read)
        Called with: no lock required
        Returns: nothing
        Left out: nothing
        """
        port, aer_pos = rpc.rpd, rpc.rpd.aer_cap
        self.set_downstream_devices_error_reporting(port, False)
        command = self.pci_read_config_dword(port, aer_pos + PCI_ERR_ROOT_COMMAND)
        command &= ~ROOT_PORT_INTR_ON_MESG_MASK
        self.pci_write_config_dword(port, aer_pos + PCI_ERR_ROOT_COMMAND, command)
        self._clear_status(port, aer_pos + PCI_ERR_ROOT_STATUS)

    def set_downstream_devices_error_reporting(self, dev: PciDev, enable: bool) -> None:
        """Turn error reporting of *dev* and of all ports below it on or off.

        Kernel: set_downstream_devices_error_reporting(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read)
        Called with: no lock required
        Returns: nothing
        Left out: nothing
        """
        self.set_device_error_reporting(dev, enable)
        if dev.subordinate is not None:
            self.pci_walk_bus(dev.subordinate, self.set_device_error_reporting, enable)

    def set_device_error_reporting(self, dev: PciDev, enable: bool) -> int:
        """Turn error reporting of *dev* on or off if it is a port; endpoints' drivers do it.

        Kernel: set_device_error_reporting(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  none
        Called with: any locks
        Returns: 0, the walk goes on
        Left out: end-to-end CRC
        """
        ports = (PCI_EXP_TYPE_ROOT_PORT, PCI_EXP_TYPE_UPSTREAM, PCI_EXP_TYPE_DOWNSTREAM)
        if pci_pcie_type(dev) in ports:
            if enable:
                self.pci_enable_pcie_error_reporting(dev)
            else:
                self.pci_disable_pcie_error_reporting(dev)
        return 0

    def aer_irq(self, port: PciDev) -> bool:
        """Note what the root port *port* reports and queue the work that handles it.

        Kernel: aer_irq(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  none (e_lock is a spinlock)
        Called with: any locks; in C from the port's hard interrupt
        Returns: whether there was an error; one that finds the ring full is dropped silently
        Left out: nothing
        """
        rpc = self.get_service_data(port)
        if rpc is None:
            return False
        with rpc.irq_lock:
            return rpc.isr and self._note_error(rpc)

    def _note_error(self, rpc: AerRpc) -> bool:
        """Put what the port says into the ring and queue the work: the handler's body."""
        port, pos = rpc.rpd, rpc.rpd.aer_cap
        with rpc.e_lock:
            status = self.pci_read_config_dword(port, pos + PCI_ERR_ROOT_STATUS)
            if not status & (PCI_ERR_ROOT_UNCOR_RCV | PCI_ERR_ROOT_COR_RCV):
                return False
            source = self.pci_read_config_dword(port, pos + PCI_ERR_ROOT_ERR_SRC)
            self.pci_write_config_dword(port, pos + PCI_ERR_ROOT_STATUS, status)

            next_prod_idx = (rpc.prod_idx + 1) % AER_ERROR_SOURCES_MAX
            if next_prod_idx == rpc.cons_idx:
                # A storm: whatever this was, the errors before it were of the same kind.
                return True
            rpc.e_sources[rpc.prod_idx] = AerErrSource(status, source)
            rpc.prod_idx = next_prod_idx
        self.schedule_work(rpc.dpc_handler)
        return True

    def _clear_status(self, dev: PciDev, where: int) -> None:
        """Clear the status bits at *where* that are set now."""
        status = self.pci_read_config_dword(dev, where)
        self.pci_write_config_dword(dev, where, status)
