"""drivers/pci/pcie/aer/aerdrv_core.c (v4.14), first half: from the noted error to its source.

A kworker takes one noted error after the other off the port's ring, looks for the devices that
reported it, prints what they say, and hands the uncorrectable ones to do_recovery() (err.py).

Lock order: rpc_mutex, held over everything below aer_isr(); then pci_bus_sem for reading in each
walk, and inside the walks of the recovery each device's mutex.
"""

from __future__ import annotations

import errno
import threading
from collections import deque

from .aerdrv import (AER_CORRECTABLE, AER_ERROR_SOURCES_MAX, AER_FATAL, AER_NONFATAL,
                     AER_RECOVER_RING_SIZE, AerErrInfo, AerErrSource, AerRecoverEntry, AerRpc,
                     DpcHandler)
from .err import Err
from .locking import mutex_lock
from .pci import PCI_FUNC, PCI_SLOT, PciDev, pci_is_bridge
from .pci_regs import (PCI_ERR_COR_MASK, PCI_ERR_COR_STATUS, PCI_ERR_ROOT_COR_RCV,
                       PCI_ERR_ROOT_FATAL_RCV, PCI_ERR_ROOT_MULTI_COR_RCV,
                       PCI_ERR_ROOT_MULTI_UNCOR_RCV, PCI_ERR_ROOT_UNCOR_RCV, PCI_ERR_UNCOR_MASK,
                       PCI_ERR_UNCOR_STATUS, PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_CERE,
                       PCI_EXP_DEVCTL_FERE, PCI_EXP_DEVCTL_NFERE, PCI_EXP_DEVCTL_URRE)
from .printk import KERN_DEBUG, KERN_ERR
from .search import Search
from .workqueue import Workqueues, WorkStruct

AER_MAX_MULTI_ERR_DEVICES = 5
PCI_EXP_AER_FLAGS = (
    PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE | PCI_EXP_DEVCTL_URRE)

# Where each function has its PCI Express capability.
PCIE_POS = 0x40

SEVERITY = {
    AER_NONFATAL: "Uncorrected (Non-Fatal)", AER_FATAL: "Uncorrected (Fatal)",
    AER_CORRECTABLE: "Corrected"}


class Aer(Err, Search, Workqueues):
    """The functions of aerdrv_core.c that find out who reported what."""

    aer_recover_ring: deque[AerRecoverEntry]
    aer_recover_work: WorkStruct
    _aer_recover_ring_lock: threading.Lock

    def pci_enable_pcie_error_reporting(self, dev: PciDev) -> int:
        """Let *dev* send error messages to the root port.

        Kernel: pci_enable_pcie_error_reporting(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: the device lock, by convention (a driver's probe)
        Returns: 0, or -EIO without AER
        Left out: firmware that wants to see errors first
        """
        if not dev.aer_cap:
            return -errno.EIO
        control = self.pci_read_config_word(dev, PCIE_POS + PCI_EXP_DEVCTL)
        self.pci_write_config_word(dev, PCIE_POS + PCI_EXP_DEVCTL, control | PCI_EXP_AER_FLAGS)
        return 0

    def pci_disable_pcie_error_reporting(self, dev: PciDev) -> int:
        """Keep *dev* from sending error messages.

        Kernel: pci_disable_pcie_error_reporting(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: the device lock, by convention (a driver's remove)
        Returns: 0
        Left out: firmware that wants to see errors first
        """
        control = self.pci_read_config_word(dev, PCIE_POS + PCI_EXP_DEVCTL)
        self.pci_write_config_word(dev, PCIE_POS + PCI_EXP_DEVCTL, control & ~PCI_EXP_AER_FLAGS)
        return 0

    def aer_isr(self, work: DpcHandler) -> None:
        """Handle all errors that the interrupt of a root port has noted.

        Kernel: aer_isr(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  &rpc->rpc_mutex (mutex), held over all that follows;
                via pci_walk_bus: &pci_bus_sem (read);
                via report_error_detected: &dev->mutex (mutex), of each device, one at a time
        Called with: no lock required; in a kworker
        Returns: nothing, once the ring is empty
        Left out: nothing
        """
        rpc = work.rpc
        with mutex_lock(rpc.rpc_mutex):
            while (e_src := self.get_e_source(rpc)) is not None:
                self.aer_isr_one_error(rpc.rpd, e_src)

    def get_e_source(self, rpc: AerRpc) -> AerErrSource | None:
        """Take the oldest noted error off the ring.

        Kernel: get_e_source(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none (e_lock is a spinlock)
        Called with: &rpc->rpc_mutex
        Returns: the error source, or None if the ring is empty
        Left out: nothing
        """
        with rpc.e_lock:
            if rpc.prod_idx == rpc.cons_idx:
                return None
            e_src = rpc.e_sources[rpc.cons_idx]
            rpc.cons_idx = (rpc.cons_idx + 1) % AER_ERROR_SOURCES_MAX
            return e_src

    def aer_isr_one_error(self, port: PciDev, e_src: AerErrSource) -> None:
        """Handle what one interrupt of *port* noted: first correctable, then uncorrectable.

        Kernel: aer_isr_one_error(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), to find the source;
                via report_error_detected: &dev->mutex (mutex), of each device, one at a time
        Called with: &rpc->rpc_mutex
        Returns: nothing
        Left out: nothing
        """
        e_info = self.get_service_data(port).e_info
        if e_src.status & PCI_ERR_ROOT_COR_RCV:
            e_info.id = e_src.id & 0xFFFF
            e_info.severity = AER_CORRECTABLE
            e_info.multi_error_valid = bool(e_src.status & PCI_ERR_ROOT_MULTI_COR_RCV)
            self.aer_print_port_info(port, e_info)
            if self.find_source_device(port, e_info):
                self.aer_process_err_devices(port, e_info)

        if e_src.status & PCI_ERR_ROOT_UNCOR_RCV:
            e_info.id = e_src.id >> 16
            fatal = e_src.status & PCI_ERR_ROOT_FATAL_RCV
            e_info.severity = AER_FATAL if fatal else AER_NONFATAL
            e_info.multi_error_valid = bool(e_src.status & PCI_ERR_ROOT_MULTI_UNCOR_RCV)
            self.aer_print_port_info(port, e_info)
            if self.find_source_device(port, e_info):
                self.aer_process_err_devices(port, e_info)

    def find_source_device(self, parent: PciDev, e_info: AerErrInfo) -> bool:
        """Look for the devices that reported *e_info*: the port *parent*, or below it.

        Kernel: find_source_device(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), only if the port itself is not the source
        Called with: &rpc->rpc_mutex
        Returns: whether one was found; e_info.dev has up to 5
        Left out: nothing
        """
        e_info.dev = []
        if self.find_device_iter(parent, e_info):
            return True
        self.pci_walk_bus(parent.subordinate, self.find_device_iter, e_info)
        if not e_info.error_dev_num:
            self.dev_printk(KERN_DEBUG, parent, f"can't find device of ID{e_info.id:04x}")
            return False
        return True

    def find_device_iter(self, dev: PciDev, e_info: AerErrInfo) -> int:
        """Note *dev* if it is a source of the error.

        Kernel: find_device_iter(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: pci_bus_sem held for read, by pci_walk_bus()
        Returns: 1 if no other device need be looked at, else 0
        Left out: nothing
        """
        if not self.is_error_source(dev, e_info):
            return 0
        if self.add_error_device(e_info, dev):
            return 1
        return 0 if e_info.multi_error_valid else 1

    def is_error_source(self, dev: PciDev, e_info: AerErrInfo) -> bool:
        """Tell whether *dev* reported the error: by its id, or by what its registers say.

        Kernel: is_error_source(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: pci_bus_sem held for read, or a reference on *dev*
        Returns: whether it did
        Left out: buses known to send no id (PCI_BUS_FLAGS_NO_AERSID)
        """
        # Some ports lose the bus number of the id: then only the registers can tell.
        if e_info.id >> 8:
            if e_info.id == dev.bus.number << 8 | dev.devfn:
                return True
            if not e_info.multi_error_valid:
                return False
        if dev.enable_cnt == 0 or not dev.aer_cap:
            return False
        if not self.pci_read_config_word(dev, PCIE_POS + PCI_EXP_DEVCTL) & PCI_EXP_AER_FLAGS:
            return False
        status, mask = self._read_status_and_mask(dev, e_info.severity)
        return bool(status & ~mask)

    def add_error_device(self, e_info: AerErrInfo, dev: PciDev) -> int:
        """Note *dev* as a source of the error, without a reference.

        Kernel: add_error_device(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: pci_bus_sem held for read, which is all that keeps *dev* alive
        Returns: 0, or -ENOSPC if 5 are noted already
        Left out: nothing
        """
        if e_info.error_dev_num >= AER_MAX_MULTI_ERR_DEVICES:
            return -errno.ENOSPC
        e_info.dev.append(dev)
        return 0

    def aer_process_err_devices(self, port: PciDev, e_info: AerErrInfo) -> None:
        """Print what all sources say, then handle them one by one.

        Kernel: aer_process_err_devices(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), only if uncorrectable;
                via report_error_detected: &dev->mutex (mutex), of each device, one at a time
        Called with: &rpc->rpc_mutex
        Returns: nothing
        Left out: nothing
        """
        # All are printed first: handling one may reset another, and its records with it.
        for dev in e_info.dev:
            if self.get_device_error_info(dev, e_info):
                self.aer_print_error(dev, e_info)
        for dev in e_info.dev:
            if self.get_device_error_info(dev, e_info):
                self.handle_error_source(port, dev, e_info)

    def get_device_error_info(self, dev: PciDev, info: AerErrInfo) -> bool:
        """Read the error status of *dev* into *info*.

        Kernel: get_device_error_info(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: &rpc->rpc_mutex; nothing keeps *dev* alive
        Returns: False if *dev* has no unmasked error recorded
        Left out: the first error pointer and the header log
        """
        info.status = 0
        if not dev.aer_cap:
            return True
        # After a fatal error nothing beyond the link can be read: believe the port.
        if info.severity == AER_FATAL and not pci_is_bridge(dev):
            return True
        info.status, info.mask = self._read_status_and_mask(dev, info.severity)
        return bool(info.status & ~info.mask)

    def _read_status_and_mask(self, dev: PciDev, severity: int) -> tuple[int, int]:
        """Read the two registers of *dev* for errors of this severity."""
        correctable = severity == AER_CORRECTABLE
        status = PCI_ERR_COR_STATUS if correctable else PCI_ERR_UNCOR_STATUS
        mask = PCI_ERR_COR_MASK if correctable else PCI_ERR_UNCOR_MASK
        return (self.pci_read_config_dword(dev, dev.aer_cap + status),
                self.pci_read_config_dword(dev, dev.aer_cap + mask))

    def handle_error_source(self, port: PciDev, dev: PciDev, info: AerErrInfo) -> None:
        """Clear a correctable error of *dev*, or recover from an uncorrectable one.

        Kernel: handle_error_source(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), only if uncorrectable;
                via report_error_detected: &dev->mutex (mutex), of each device, one at a time
        Called with: &rpc->rpc_mutex
        Returns: nothing
        Left out: nothing
        """
        if info.severity != AER_CORRECTABLE:
            self.do_recovery(dev, info.severity)
        elif dev.aer_cap:
            self.pci_write_config_dword(dev, dev.aer_cap + PCI_ERR_COR_STATUS, info.status)

    def aer_print_port_info(self, dev: PciDev, info: AerErrInfo) -> None:
        """Log that the root port *dev* received an error message.

        Kernel: aer_print_port_info(), drivers/pci/pcie/aer/aerdrv_errprint.c
        Locks:  none
        Called with: &rpc->rpc_mutex
        Returns: nothing
        Left out: nothing
        """
        multi = "Multiple " if info.multi_error_valid else ""
        severity = SEVERITY[info.severity]
        self.dev_info(dev, f"AER: {multi}{severity} error received: id={info.id:04x}")

    def aer_print_error(self, dev: PciDev, info: AerErrInfo) -> None:
        """Log the error that *dev* has recorded.

        Kernel: aer_print_error(), drivers/pci/pcie/aer/aerdrv_errprint.c
        Locks:  none
        Called with: &rpc->rpc_mutex
        Returns: nothing
        Left out: the layer, the agent, the names of the bits, the header log
        """
        severity = SEVERITY[info.severity]
        registers = f"status={info.status:08x}, mask={info.mask:08x}"
        self.dev_err(dev, f"PCIe Bus Error: severity={severity}, {registers}")

    def aer_recover_queue(self, domain: int, bus: int, devfn: int, severity: int) -> None:
        """Queue the recovery from an error that the firmware reports.

        Kernel: aer_recover_queue(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none (aer_recover_ring_lock is a spinlock)
        Called with: any locks
        Returns: nothing; the log tells when the ring of 16 is full
        Left out: the registers that the firmware passes along
        """
        with self._aer_recover_ring_lock:
            full = len(self.aer_recover_ring) == AER_RECOVER_RING_SIZE
            if not full:
                self.aer_recover_ring.append(AerRecoverEntry(domain, bus, devfn, severity))
        where = f"{domain:04x}:{bus:02x}:{PCI_SLOT(devfn):02x}:{PCI_FUNC(devfn):x}"
        if full:
            self.printk(KERN_ERR, f"AER recover: Buffer overflow when recovering AER for {where}")
        else:
            self.schedule_work(self.aer_recover_work)

    def aer_recover_work_func(self, work: WorkStruct) -> None:
        """Recover from all errors that the firmware has reported.

        Kernel: aer_recover_work_func(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), once per broadcast;
                via report_error_detected: &dev->mutex (mutex), of each device, one at a time
        Called with: no lock required, not even a port's rpc_mutex
        Returns: nothing, once the ring is empty
        Left out: printing the registers that the firmware passed along
        """
        while self.aer_recover_ring:
            entry = self.aer_recover_ring.popleft()
            dev = self.pci_get_domain_bus_and_slot(entry.domain, entry.bus, entry.devfn)
            if dev is None:
                where = f"{entry.domain:04x}:{entry.bus:02x}:{PCI_SLOT(entry.devfn):02x}"
                where += f":{PCI_FUNC(entry.devfn):x}"
                self.printk(KERN_ERR, f"AER recover: Can not find pci_dev for {where}")
                continue
            self.do_recovery(dev, entry.severity)
            self.pci_dev_put(dev)
