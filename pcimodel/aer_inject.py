"""drivers/pci/pcie/aer/aer_inject.c (v4.14): pretend that a device reported an error.

In C the module shadows the registers of the device and of its root port; here the registers
themselves get the bits, as if the device had set them.  Then the interrupt handler is called.

Lock order: inject_lock, a spinlock, is held for a few register accesses only.
"""

from __future__ import annotations

import errno
import threading

from .aer_service import Aerdrv
from .aerdrv import AER_CORRECTABLE, AER_FATAL, AER_NONFATAL
from .pci import PciDev, pci_pcie_type
from .pci_regs import (PCI_ERR_COR_MASK, PCI_ERR_COR_STATUS, PCI_ERR_ROOT_COR_RCV,
                       PCI_ERR_ROOT_ERR_SRC, PCI_ERR_ROOT_FATAL_RCV, PCI_ERR_ROOT_MULTI_COR_RCV,
                       PCI_ERR_ROOT_MULTI_UNCOR_RCV, PCI_ERR_ROOT_NONFATAL_RCV, PCI_ERR_ROOT_STATUS,
                       PCI_ERR_ROOT_UNCOR_RCV, PCI_ERR_UNCOR_MASK, PCI_ERR_UNCOR_STATUS,
                       PCI_EXP_TYPE_ROOT_PORT)

# One error of each severity, as the aer-inject tool's examples have them.
ERROR_BITS = {AER_CORRECTABLE: 0x40, AER_NONFATAL: 0x4000, AER_FATAL: 0x10}
FATALITY_BITS = {AER_NONFATAL: PCI_ERR_ROOT_NONFATAL_RCV, AER_FATAL: PCI_ERR_ROOT_FATAL_RCV}


class AerInject(Aerdrv):
    """The functions of drivers/pci/pcie/aer/aer_inject.c."""

    def aer_inject_init(self) -> None:
        """Set up error injection.

        Kernel: aer_inject_init(), drivers/pci/pcie/aer/aer_inject.c
        Locks:  none
        Called with: nothing running yet
        Returns: nothing
        Left out: the character device
        """
        self._inject_lock = threading.Lock()

    def aer_inject(self, dev: PciDev, severity: int) -> int:
        """Let *dev* report an error of *severity*, and raise its root port's interrupt.

        Kernel: aer_inject(), drivers/pci/pcie/aer/aer_inject.c
        Locks:  none (inject_lock is a spinlock)
        Called with: a reference on *dev*
        Returns: 0; -ENODEV, -EPROTONOSUPPORT without port, AER or service; -EINVAL if masked
        Left out: the look-up by address; a choice of bits (the severity register follows from it)
        """
        rpdev = self.pcie_find_root_port(dev)
        if rpdev is None:
            self.dev_err(dev, "aer_inject: Root port not found")
            return -errno.ENODEV
        if not dev.aer_cap or not rpdev.aer_cap:
            self.dev_err(dev, "aer_inject: Device doesn't support AER")
            return -errno.EPROTONOSUPPORT
        bits = ERROR_BITS[severity]
        correctable = severity == AER_CORRECTABLE
        mask = PCI_ERR_COR_MASK if correctable else PCI_ERR_UNCOR_MASK
        if not bits & ~self.pci_read_config_dword(dev, dev.aer_cap + mask):
            self.dev_warn(dev, "aer_inject: The error(s) is masked by device")
            return -errno.EINVAL

        status = PCI_ERR_COR_STATUS if correctable else PCI_ERR_UNCOR_STATUS
        dev.config.raise_bits(dev.aer_cap + status, bits)
        self._send_error_message(rpdev, dev, severity)
        if self.get_service_data(rpdev) is None:
            self.dev_warn(rpdev, "aer_inject: AER service is not initialized")
            return -errno.EPROTONOSUPPORT
        self.aer_irq(rpdev)
        return 0

    def pcie_find_root_port(self, dev: PciDev) -> PciDev | None:
        """Find the root port above *dev*.

        Kernel: pcie_find_root_port(), drivers/pci/pcie/aer/aer_inject.c
        Locks:  none
        Called with: a reference on *dev*
        Returns: the port without a reference; None above a virtual bus, which has no bridge
        Left out: conventional PCI
        """
        while dev is not None and pci_pcie_type(dev) != PCI_EXP_TYPE_ROOT_PORT:
            dev = dev.bus.self
        return dev

    def _send_error_message(self, rpdev: PciDev, dev: PciDev, severity: int) -> None:
        """Note a message from *dev* in the root port's status and source registers."""
        config, pos = rpdev.config, rpdev.aer_cap
        rid = dev.bus.number << 8 | dev.devfn
        with self._inject_lock:
            status = config.read(pos + PCI_ERR_ROOT_STATUS, 4)
            source = config.read(pos + PCI_ERR_ROOT_ERR_SRC, 4)
            if severity == AER_CORRECTABLE:
                bits = PCI_ERR_ROOT_COR_RCV
                bits |= PCI_ERR_ROOT_MULTI_COR_RCV if status & bits else 0
                source = source & 0xFFFF0000 | rid
            else:
                bits = PCI_ERR_ROOT_UNCOR_RCV
                bits |= PCI_ERR_ROOT_MULTI_UNCOR_RCV if status & bits else 0
                bits |= FATALITY_BITS[severity]
                source = source & 0x0000FFFF | rid << 16
            config.raise_bits(pos + PCI_ERR_ROOT_STATUS, bits)
            config.write(pos + PCI_ERR_ROOT_ERR_SRC, source)
