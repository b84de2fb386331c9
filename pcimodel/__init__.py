"""The PCI core of Linux in Python: kernel names, kernel order of statements, kernel locks.

What the author of a driver or of a fix needs is here; the rest is named as its kernel file is.
Each name is imported when it is first asked for: a command is to say something before that.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
_HOME = {
    "Device": "device", "KernelOops": "device", "Kernel": "kernel", "WorkStruct": "workqueue",
    **dict.fromkeys(("Endpoint", "Machine", "Port", "RootPort", "Sriov", "Switch"), "hardware"),
    **dict.fromkeys(("PciBus", "PciDev", "PciDriver", "PciErrorHandlers", "pci_channel_io_frozen",
                     "pci_channel_io_normal", "pci_channel_io_perm_failure"), "pci"),
}


if not TYPE_CHECKING:   # to which every name would exist
    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
