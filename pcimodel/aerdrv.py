"""drivers/pci/pcie/aer/aerdrv.h (v4.14): the structs of the AER service, one for each root port.

Lock order: none of its own; aer_service.py and aer.py have it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from .device import NULL
from .locking import Mutex, mutex_init
from .pci import PciDev
from .pci_regs import (PCI_ERR_ROOT_CMD_COR_EN, PCI_ERR_ROOT_CMD_FATAL_EN,
                       PCI_ERR_ROOT_CMD_NONFATAL_EN)
from .workqueue import WorkStruct

AER_NONFATAL = 0
AER_FATAL = 1
AER_CORRECTABLE = 2

AER_ERROR_SOURCES_MAX = 100
AER_RECOVER_RING_SIZE = 16

ROOT_PORT_INTR_ON_MESG_MASK = (
    PCI_ERR_ROOT_CMD_COR_EN | PCI_ERR_ROOT_CMD_NONFATAL_EN | PCI_ERR_ROOT_CMD_FATAL_EN)


@dataclass
class AerErrSource:
    """struct aer_err_source: the root port's status and source id at one interrupt."""

    status: int = 0
    id: int = 0


@dataclass
class AerErrInfo:
    """struct aer_err_info: one error, and the devices that may have reported it.

    ``dev`` holds plain pointers, no references: a device that is removed after the search and
    before it is handled is used after it was freed (until v4.20).
    """

    dev: list[PciDev] = field(default_factory=list)
    id: int = 0
    severity: int = AER_NONFATAL
    multi_error_valid: bool = False
    status: int = 0
    mask: int = 0

    @property
    def error_dev_num(self) -> int:
        """The number of devices found."""
        return len(self.dev)


@dataclass
class AerRecoverEntry:
    """struct aer_recover_entry: an error that the firmware reports (ACPI APEI)."""

    domain: int
    bus: int
    devfn: int
    severity: int


class DpcHandler(WorkStruct):
    """The work item inside struct aer_rpc; *rpc* is what container_of() finds from it in C."""

    def __init__(self, rpc: AerRpc, func: Callable[[DpcHandler], None]) -> None:
        super().__init__("rpc->dpc_handler", func)
        self.rpc = rpc


class AerRpc:
    """struct aer_rpc: what the service keeps for one root port.

    Invariant: the entries from ``cons_idx`` up to ``prod_idx`` wait to be handled.  Equal means
    that none does, so that the ring of 100 holds 99.
    """

    def __init__(self, rpd: PciDev) -> None:
        self.rpd = rpd
        """The root port (in C its service device)."""
        self.dpc_handler: DpcHandler = NULL
        self.e_sources = [AerErrSource() for _ in range(AER_ERROR_SOURCES_MAX)]
        self.e_info = AerErrInfo()
        self.prod_idx = 0
        self.cons_idx = 0
        self.isr = False
        """Whether the interrupt is requested.  Changed under ``irq_lock``."""
        self.irq_lock = threading.Lock()
        """Stands for a running interrupt handler, for which free_irq() waits."""
        self.e_lock = threading.Lock()
        self.rpc_mutex: Mutex = mutex_init(f"&rpc->rpc_mutex ({rpd.name})", "&rpc->rpc_mutex")
        """Held over all that aer_isr() does: one port has one recovery at a time."""
