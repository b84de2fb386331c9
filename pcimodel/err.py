"""drivers/pci/pcie/aer/aerdrv_core.c (v4.14), second half: recovery of an uncorrectable error.

do_recovery() tells the drivers of the affected subtree in up to four broadcasts, each a walk of
its own. Lock order established here: pci_bus_sem (read), then each device's mutex in turn. The
semaphore is dropped between two broadcasts, so devices and drivers may change in the gaps.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from .aerdrv import AER_FATAL, ROOT_PORT_INTR_ON_MESG_MASK, AerRpc
from .bus import Bus
from .device import NULL, KernelOops, device_lock
from .pci import (PciDev, PciErrorHandlers, pci_channel_io_frozen, pci_channel_io_normal,
                  pci_pcie_type)
from .pci_regs import (PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET, PCI_ERR_ROOT_COMMAND,
                       PCI_ERR_ROOT_STATUS, PCI_ERR_UNCOR_STATUS, PCI_EXP_TYPE_DOWNSTREAM,
                       PCI_EXP_TYPE_ROOT_PORT, PCI_HEADER_TYPE_BRIDGE)
from .printk import KERN_DEBUG
from .timer import Timer

PCI_ERS_RESULT_NONE = 1
PCI_ERS_RESULT_CAN_RECOVER = 2
PCI_ERS_RESULT_NEED_RESET = 3
PCI_ERS_RESULT_DISCONNECT = 4
PCI_ERS_RESULT_RECOVERED = 5
PCI_ERS_RESULT_NO_AER_DRIVER = 6


@dataclass
class AerBroadcastData:
    """struct aer_broadcast_data: what one broadcast hands to each device, and collects."""

    state: int
    result: int


def _err_handler(dev: PciDev) -> PciErrorHandlers | None:
    """Return the error handlers of the driver bound to *dev*; the caller has the device lock."""
    return dev.driver.err_handler if dev.driver is not None else None


class Err(Bus, Timer):
    """The functions of aerdrv_core.c that recover; the four broadcasts, the vote, the reset."""

    aer_services: dict[PciDev, AerRpc]

    def pci_cleanup_aer_uncorrect_error_status(self, dev: PciDev) -> int:
        """Clear the uncorrectable errors that *dev* has recorded.

        Kernel: pci_cleanup_aer_uncorrect_error_status(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: any locks; drivers call it from slot_reset or resume
        Returns: 0, or -EIO without AER
        Left out: nothing
        """
        if not dev.aer_cap:
            return -errno.EIO
        status = self.pci_read_config_dword(dev, dev.aer_cap + PCI_ERR_UNCOR_STATUS)
        if status:
            self.pci_write_config_dword(dev, dev.aer_cap + PCI_ERR_UNCOR_STATUS, status)
        return 0

    def get_service_data(self, port: PciDev) -> AerRpc:
        """Return what the AER service keeps for *port*.

        Kernel: get_service_data(), include/linux/pcieport_if.h
        Locks:  none
        Called with: a reference on *port*
        Returns: its struct aer_rpc; None if the service is not bound to it
        Left out: nothing
        """
        return self.aer_services.get(port) or NULL

    def merge_result(self, orig: int, new: int) -> int:
        """Combine the vote *new* of one device with the result *orig* so far.

        Kernel: merge_result(), drivers/pci/pcie/aer/aerdrv.h
        Locks:  none
        Called with: no lock required
        Returns: the new PCI_ERS_RESULT_* value
        Left out: nothing
        """
        if new == PCI_ERS_RESULT_NO_AER_DRIVER:
            return PCI_ERS_RESULT_NO_AER_DRIVER
        if new == PCI_ERS_RESULT_NONE:
            return orig
        if orig in (PCI_ERS_RESULT_CAN_RECOVER, PCI_ERS_RESULT_RECOVERED):
            return new
        if orig == PCI_ERS_RESULT_DISCONNECT and new == PCI_ERS_RESULT_NEED_RESET:
            return PCI_ERS_RESULT_NEED_RESET
        return orig

    def report_error_detected(self, dev: PciDev, data: AerBroadcastData) -> int:
        """Tell the driver of *dev* that an error happened, and merge its vote.

        Kernel: report_error_detected(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  &dev->mutex (mutex), held across the driver's error_detected
        Called with: pci_bus_sem held for read, by pci_walk_bus()
        Returns: 0, the walk goes on
        Left out: nothing
        """
        with device_lock(dev):
            dev.error_state = data.state
            handler = _err_handler(dev)
            if handler is None or handler.error_detected is None:
                vote = PCI_ERS_RESULT_NONE
                # A function that nobody can prepare spoils the recovery of its whole subtree.
                if dev.hdr_type != PCI_HEADER_TYPE_BRIDGE:
                    vote = PCI_ERS_RESULT_NO_AER_DRIVER
                    if data.state == pci_channel_io_frozen:
                        what = "no AER-aware driver" if dev.driver else "no driver"
                        self.dev_printk(KERN_DEBUG, dev, f"device has {what}")
            else:
                vote = handler.error_detected(dev, data.state)
            data.result = self.merge_result(data.result, vote)
        return 0

    def report_mmio_enabled(self, dev: PciDev, data: AerBroadcastData) -> int:
        """Tell the driver of *dev* that registers can be read again, and merge its vote.

        Kernel: report_mmio_enabled(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  &dev->mutex (mutex), held across the driver's mmio_enabled
        Called with: pci_bus_sem held for read, by pci_walk_bus()
        Returns: 0, the walk goes on
        Left out: nothing
        """
        with device_lock(dev):
            handler = _err_handler(dev)
            if handler is not None and handler.mmio_enabled is not None:
                data.result = self.merge_result(data.result, handler.mmio_enabled(dev))
        return 0

    def report_slot_reset(self, dev: PciDev, data: AerBroadcastData) -> int:
        """Tell the driver of *dev* that the slot was reset, and merge its vote.

        Kernel: report_slot_reset(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  &dev->mutex (mutex), held across the driver's slot_reset
        Called with: pci_bus_sem held for read, by pci_walk_bus()
        Returns: 0, the walk goes on
        Left out: nothing
        """
        with device_lock(dev):
            handler = _err_handler(dev)
            if handler is not None and handler.slot_reset is not None:
                data.result = self.merge_result(data.result, handler.slot_reset(dev))
        return 0

    def report_resume(self, dev: PciDev, data: AerBroadcastData) -> int:
        """Tell the driver of *dev* that it may use the device again.

        Kernel: report_resume(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  &dev->mutex (mutex), held across the driver's resume
        Called with: pci_bus_sem held for read, by pci_walk_bus()
        Returns: 0, the walk goes on
        Left out: nothing
        """
        with device_lock(dev):
            dev.error_state = pci_channel_io_normal
            handler = _err_handler(dev)
            if handler is not None and handler.resume is not None:
                handler.resume(dev)
        return 0

    def broadcast_error_message(self, dev: PciDev, state: int, error_mesg: str,
                                cb: Callable[[PciDev, AerBroadcastData], int]) -> int:
        """Call *cb* on every device that the error reported by *dev* affects.

        Kernel: broadcast_error_message(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), held across every call of cb;
                via report_error_detected: &dev->mutex (mutex), of each device, one at a time
        Called with: no device lock
        Returns: the merged votes, a PCI_ERS_RESULT_* value
        Left out: nothing
        """
        self.dev_printk(KERN_DEBUG, dev, f"broadcast {error_mesg} message")
        data = AerBroadcastData(state, PCI_ERS_RESULT_RECOVERED)
        if cb == self.report_error_detected:
            data.result = PCI_ERS_RESULT_CAN_RECOVER

        if dev.hdr_type == PCI_HEADER_TYPE_BRIDGE:
            # A bridge reports for the link below it: its own driver is not asked.
            if cb == self.report_error_detected:
                dev.error_state = state
            self.pci_walk_bus(dev.subordinate, cb, data)
            if cb == self.report_resume:
                self.pci_cleanup_aer_uncorrect_error_status(dev)
                dev.error_state = pci_channel_io_normal
        else:
            # An endpoint reports for the link above it, which all functions on its bus share.
            self.pci_walk_bus(dev.bus, cb, data)
        return data.result

    def do_recovery(self, dev: PciDev, severity: int) -> None:
        """Lead the drivers of the affected subtree through recovery from an error of *dev*.

        Kernel: do_recovery(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  via pci_walk_bus: &pci_bus_sem (read), once per broadcast;
                via report_error_detected: &dev->mutex (mutex), of each device, one at a time
        Called with: no device lock; from aer_isr() with the port's rpc_mutex held
        Returns: nothing; the log says whether the device recovered
        Left out: nothing
        """
        state = pci_channel_io_frozen if severity == AER_FATAL else pci_channel_io_normal
        broadcast = self.broadcast_error_message
        status = broadcast(dev, state, "error_detected", self.report_error_detected)

        if severity == AER_FATAL and self.reset_link(dev) != PCI_ERS_RESULT_RECOVERED:
            status = PCI_ERS_RESULT_DISCONNECT
        if status == PCI_ERS_RESULT_CAN_RECOVER:
            status = broadcast(dev, state, "mmio_enabled", self.report_mmio_enabled)
        # Nothing resets the slot of a non-fatal error here, although drivers are told so.
        if status == PCI_ERS_RESULT_NEED_RESET:
            status = broadcast(dev, state, "slot_reset", self.report_slot_reset)
        # A failed recovery calls no driver, and error_state stays what the first broadcast set.
        if status != PCI_ERS_RESULT_RECOVERED:
            self.dev_info(dev, "AER: Device recovery failed")
            return

        broadcast(dev, state, "resume", self.report_resume)
        self.dev_info(dev, "AER: Device recovery successful")

    def find_aer_service(self, dev: PciDev) -> bool:
        """Say whether the AER service driver is bound to the port *dev*.

        Kernel: find_aer_service(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: no lock required
        Returns: whether the port resets its link through aer_root_reset()
        Left out: other service drivers; the driver structure itself (there is only one)
        """
        if dev is None:
            raise KernelOops("NULL pointer dereference in find_aer_service: bus without a bridge")
        return self.get_service_data(dev) is not None

    def reset_link(self, dev: PciDev) -> int:
        """Reset the link that the fatal error reported by *dev* is about.

        Kernel: reset_link(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: no device lock, pci_bus_sem not held
        Returns: PCI_ERS_RESULT_RECOVERED, or PCI_ERS_RESULT_DISCONNECT if it could not be reset
        Left out: nothing; a VF on a virtual bus has no bridge above it, which oopses as in C
        """
        udev = dev if dev.hdr_type == PCI_HEADER_TYPE_BRIDGE else dev.bus.self
        if self.find_aer_service(udev):
            status = self.aer_root_reset(udev)
        elif pci_pcie_type(udev) in (PCI_EXP_TYPE_ROOT_PORT, PCI_EXP_TYPE_DOWNSTREAM):
            status = self.default_reset_link(udev)
        else:
            text = f"no link-reset support at upstream device {udev.name}"
            self.dev_printk(KERN_DEBUG, dev, text)
            return PCI_ERS_RESULT_DISCONNECT
        if status != PCI_ERS_RESULT_RECOVERED:
            text = f"link reset at upstream device {udev.name} failed"
            self.dev_printk(KERN_DEBUG, dev, text)
            return PCI_ERS_RESULT_DISCONNECT
        return status

    def default_reset_link(self, dev: PciDev) -> int:
        """Reset the link below *dev*, a port without an AER service driver.

        Kernel: default_reset_link(), drivers/pci/pcie/aer/aerdrv_core.c
        Locks:  none
        Called with: no device lock, pci_bus_sem not held
        Returns: PCI_ERS_RESULT_RECOVERED
        Left out: nothing
        """
        self.pci_reset_bridge_secondary_bus(dev)
        self.dev_printk(KERN_DEBUG, dev, "downstream link has been reset")
        return PCI_ERS_RESULT_RECOVERED

    def aer_root_reset(self, dev: PciDev) -> int:
        """Reset the link below the root port *dev* while it reports no errors.

        Kernel: aer_root_reset(), drivers/pci/pcie/aer/aerdrv.c
        Locks:  none
        Called with: no device lock, pci_bus_sem not held
        Returns: PCI_ERS_RESULT_RECOVERED
        Left out: nothing
        """
        pos = dev.aer_cap
        command = self.pci_read_config_dword(dev, pos + PCI_ERR_ROOT_COMMAND)
        masked = command & ~ROOT_PORT_INTR_ON_MESG_MASK
        self.pci_write_config_dword(dev, pos + PCI_ERR_ROOT_COMMAND, masked)

        self.pci_reset_bridge_secondary_bus(dev)
        self.dev_printk(KERN_DEBUG, dev, "Root Port link has been reset")

        # The reset itself may have raised errors: forget them before interrupts are on again.
        status = self.pci_read_config_dword(dev, pos + PCI_ERR_ROOT_STATUS)
        self.pci_write_config_dword(dev, pos + PCI_ERR_ROOT_STATUS, status)
        self.pci_write_config_dword(dev, pos + PCI_ERR_ROOT_COMMAND, command)
        return PCI_ERS_RESULT_RECOVERED

    def pci_reset_bridge_secondary_bus(self, dev: PciDev) -> None:
        """Pulse the reset bit of the bridge *dev* and wait for what is below it to come back.

        Kernel: pci_reset_bridge_secondary_bus(), drivers/pci/pci.c
        Locks:  none
        Called with: no lock required
        Returns: nothing
        Left out: the architecture's hook; the loss of configuration of the devices below
        """
        ctrl = self.pci_read_config_word(dev, PCI_BRIDGE_CONTROL)
        reset = ctrl | PCI_BRIDGE_CTL_BUS_RESET
        self.pci_write_config_word(dev, PCI_BRIDGE_CONTROL, reset)
        self.msleep(2)
        self.pci_write_config_word(dev, PCI_BRIDGE_CONTROL, reset & ~PCI_BRIDGE_CTL_BUS_RESET)
        self.msleep(1000)
