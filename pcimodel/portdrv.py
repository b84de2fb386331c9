"""drivers/pci/pcie/portdrv_pci.c and portdrv_core.c (v4.14): the driver of the ports.

The port driver is a PCI driver like any other: it comes and goes with the port, under the port's
device lock, and so does the AER service of a root port.

Lock order: port's device lock, then whatever stands in the way of the service: its probe takes
pci_bus_sem (read), its remove waits for the work item of the errors that are noted.
"""

from __future__ import annotations

import errno

from .aer_service import Aerdrv
from .pci import PCI_ANY_ID, PciDev, PciDeviceId, PciDriver, pci_pcie_type
from .pci_driver import PciDriverCore
from .pci_regs import (PCI_CLASS_BRIDGE_PCI, PCI_EXP_TYPE_DOWNSTREAM, PCI_EXP_TYPE_ROOT_PORT,
                       PCI_EXP_TYPE_UPSTREAM)


class Portdrv(PciDriverCore, Aerdrv):
    """The functions of portdrv_pci.c and portdrv_core.c."""

    pcie_portdriver: PciDriver

    def pcie_portdrv_init(self) -> None:
        """Register the port driver, which finds its ports by their class.

        The driver has no error handlers: a port has no vote of its own in a recovery.

        Kernel: pcie_portdrv_init(), drivers/pci/pcie/portdrv_pci.c
        Locks:  via _driver_attach: &dev->mutex (mutex), of the host bridge or port above each port;
                via pci_register_driver: as pci_register_driver;
                via pci_walk_bus: &pci_bus_sem (read), to turn on reporting below root ports
        Called with: no device lock
        Returns: nothing
        Left out: the bus of port services; the handlers that ask the service drivers, of which
            AER's own has none; pcie_ports=compat
        """
        line = PciDeviceId(PCI_ANY_ID, PCI_ANY_ID, PCI_CLASS_BRIDGE_PCI << 8, 0xFFFFFF)
        self.pcie_portdriver = PciDriver("pcieport", [line], probe=self.pcie_portdrv_probe,
                                         remove=self.pcie_portdrv_remove)
        self.pci_register_driver(self.pcie_portdriver)

    def pcie_portdrv_probe(self, dev: PciDev, pci_id: PciDeviceId) -> int:
        """Take the port *dev* and register its services.

        Kernel: pcie_portdrv_probe(), drivers/pci/pcie/portdrv_pci.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), only if it is a root port
        Called with: the port's device lock
        Returns: 0, -ENODEV if *dev* is no PCI Express port, or the errno of its services
        Left out: runtime power management
        """
        ports = (PCI_EXP_TYPE_ROOT_PORT, PCI_EXP_TYPE_UPSTREAM, PCI_EXP_TYPE_DOWNSTREAM)
        if pci_pcie_type(dev) not in ports:
            return -errno.ENODEV
        status = self.pcie_port_device_register(dev)
        if status:
            return status
        self.pci_save_state(dev)
        return 0

    def pcie_port_device_register(self, dev: PciDev) -> int:
        """Enable the port *dev* and bind the AER service to it if it is a root port with AER.

        Kernel: pcie_port_device_register(), drivers/pci/pcie/portdrv_core.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), only if it is a root port
        Called with: the port's device lock
        Returns: 0 or the errno of the service
        Left out: services other than AER; interrupts; the service's own device and its lock
        """
        self.pci_enable_device(dev)
        status = 0
        if pci_pcie_type(dev) == PCI_EXP_TYPE_ROOT_PORT and dev.aer_cap:
            status = self.aer_probe(dev)
        if status:
            self.pci_disable_device(dev)
        return status

    def pcie_portdrv_remove(self, dev: PciDev) -> None:
        """Unregister the services of the port *dev*, and leave it.

        Kernel: pcie_portdrv_remove(), drivers/pci/pcie/portdrv_pci.c
        Locks:  via flush_work: (work_completion)(&rpc->dpc_handler) (wait), only if it is pending;
                via pci_walk_bus: &pci_bus_sem (read), only if it is a root port
        Called with: the port's device lock; &pci_rescan_remove_lock if the port itself goes
        Returns: nothing
        Left out: nothing
        """
        self.pcie_port_device_remove(dev)

    def pcie_port_device_remove(self, dev: PciDev) -> None:
        """Unbind the AER service from the port *dev*, and disable it.

        Kernel: pcie_port_device_remove(), drivers/pci/pcie/portdrv_core.c
        Locks:  via flush_work: (work_completion)(&rpc->dpc_handler) (wait), only if it is pending;
                via pci_walk_bus: &pci_bus_sem (read), only if it is a root port
        Called with: the port's device lock
        Returns: nothing
        Left out: services other than AER; interrupts
        """
        self.aer_remove(dev)
        self.pci_disable_device(dev)
