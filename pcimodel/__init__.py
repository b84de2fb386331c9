"""The PCI core of Linux in Python: kernel names, kernel order of statements, kernel locks.

What the author of a driver or of a fix needs is here; the rest is named as its kernel file is.
"""

from __future__ import annotations

from .device import Device, KernelOops
from .hardware import Endpoint, Machine, Port, RootPort, Sriov, Switch
from .kernel import Kernel
from .pci import (PciBus, PciDev, PciDriver, PciErrorHandlers, pci_channel_io_frozen,
                  pci_channel_io_normal, pci_channel_io_perm_failure)
from .workqueue import WorkStruct

__all__ = [
    "Device", "Endpoint", "Kernel", "KernelOops", "Machine", "PciBus", "PciDev", "PciDriver",
    "PciErrorHandlers", "Port", "RootPort", "Sriov", "Switch", "WorkStruct",
    "pci_channel_io_frozen", "pci_channel_io_normal", "pci_channel_io_perm_failure",
]
