"""Fixes that are wrong, but for a few: most of them keep recovery and SR-IOV from deadlocking by
leaving out what they are for.  The tests name them as a stranger would: FILE.py:NAME.
"""

from __future__ import annotations

import errno

from pcimodel.device import device_lock
from pcimodel.err import (PCI_ERS_RESULT_CAN_RECOVER, PCI_ERS_RESULT_DISCONNECT,
                          PCI_ERS_RESULT_NEED_RESET, PCI_ERS_RESULT_RECOVERED, AerBroadcastData,
                          Err)
from pcimodel.fixes.collect_then_lock import CollectThenLock
from pcimodel.fixes.defer_vf_add import DeferVfAdd
from pcimodel.locking import down_read
from pcimodel.pci import pci_channel_io_frozen, pci_channel_io_normal
from pcimodel.workqueue import WorkStruct


class DoesNothing(Err):
    def broadcast_error_message(self, dev, state, error_mesg, cb):
        return super().broadcast_error_message(dev, state, error_mesg, cb)


# -- recovery calls nobody, or not all ---------------------------------------------------------


class CallsNobody:
    def broadcast_error_message(self, dev, state, error_mesg, cb):
        self.dev_info(dev, f"broadcast {error_mesg} message")
        return PCI_ERS_RESULT_RECOVERED


class WalksNothing:
    def pci_walk_bus(self, top, cb, userdata):
        return None


class RecoversNothing:
    def do_recovery(self, dev, severity):
        self.dev_info(dev, "AER: Device recovery successful")


class FindsNobody:
    def find_source_device(self, parent, e_info):
        return False


class IgnoresTheInterrupt:
    def aer_irq(self, pdev):
        return 0


class Collects(CollectThenLock):
    """The mail's patch, with a list of one's own: what the next ones change."""

    def aer_pci_walk_bus(self, top, cb, data):
        devices = []
        self.pci_walk_bus(top, self.aer_get_pci_dev, devices)
        for dev in self.chosen(devices):
            self.tell(dev, cb, data)
        for dev in devices:
            self.put_device(dev)

    def chosen(self, devices):
        return devices

    def tell(self, dev, cb, data):
        cb(dev, data)


class SnapshotOnce(CollectThenLock):
    """Also right: one list for all stages."""

    def do_recovery(self, dev, severity):
        self.snapshot = []
        self.pci_walk_bus(dev.subordinate or dev.bus, self.aer_get_pci_dev, self.snapshot)
        super().do_recovery(dev, severity)
        for each in self.snapshot:
            self.put_device(each)

    def aer_pci_walk_bus(self, top, cb, data):
        for dev in self.snapshot:
            cb(dev, data)


class RecoversLater(CollectThenLock):
    """Also right: another work item recovers."""

    def do_recovery(self, dev, severity):
        self.get_device(dev)
        self.schedule_work(WorkStruct("recover", lambda work: self.recover(dev, severity)))

    def recover(self, dev, severity):
        super().do_recovery(dev, severity)
        self.put_device(dev)


class GivesUpWhenBusy(CollectThenLock):
    """Not wrong: the log says so."""

    def do_recovery(self, dev, severity):
        if dev.mutex.acquire(blocking=False):
            dev.mutex.release()
            super().do_recovery(dev, severity)
        else:
            self.dev_err(dev, "No aer recovery done")


class SaysNothing(CollectThenLock):
    """Also right: nobody has to write into the log that it failed for a reason."""

    def dev_info(self, dev, text):
        return None


class AlwaysGivesUp:
    def do_recovery(self, dev, severity):
        self.dev_err(dev, "No aer recovery done")


class FirstDeviceOnly(Collects):
    def chosen(self, devices):
        return devices[:1]


class LastDeviceOnly(Collects):
    def chosen(self, devices):
        return devices[-1:]


class NoVirtualFunctions(Collects):
    def chosen(self, devices):
        return [dev for dev in devices if not dev.is_virtfn]


class TellsTwice(Collects):
    def chosen(self, devices):
        return devices * 2


# -- stages ------------------------------------------------------------------------------------


class NoResume(Err):
    def report_resume(self, dev, data):
        with device_lock(dev):
            dev.error_state = pci_channel_io_normal
        return 0


class NoSlotReset(CollectThenLock):
    def report_slot_reset(self, dev, data):
        return 0


class NoMmioEnabled(CollectThenLock):
    def report_mmio_enabled(self, dev, data):
        return 0


class ResumesAtOnce(CollectThenLock):
    def do_recovery(self, dev, severity):
        state = pci_channel_io_frozen if severity else pci_channel_io_normal
        self.broadcast_error_message(dev, state, "error_detected", self.report_error_detected)
        self.broadcast_error_message(dev, state, "resume", self.report_resume)


class GivesUp(CollectThenLock):
    def merge_result(self, orig, new):
        return PCI_ERS_RESULT_DISCONNECT


class AlwaysResets(CollectThenLock):
    def merge_result(self, orig, new):
        if orig == PCI_ERS_RESULT_CAN_RECOVER:
            return PCI_ERS_RESULT_NEED_RESET
        return super().merge_result(orig, new)


class DeviceByDevice(CollectThenLock):
    def do_recovery(self, dev, severity):
        devices = []
        self.pci_walk_bus(dev.subordinate or dev.bus, self.aer_get_pci_dev, devices)
        for each in devices:
            data = AerBroadcastData(pci_channel_io_normal, PCI_ERS_RESULT_CAN_RECOVER)
            self.report_error_detected(each, data)
            self.report_slot_reset(each, data)
            self.report_resume(each, data)
            self.put_device(each)


class LinkIsNotReset(CollectThenLock):
    def reset_link(self, dev):
        return PCI_ERS_RESULT_RECOVERED


class NeverFrozen(CollectThenLock):
    def broadcast_error_message(self, dev, state, error_mesg, cb):
        return super().broadcast_error_message(dev, pci_channel_io_normal, error_mesg, cb)


# -- locks and references ----------------------------------------------------------------------


class WithoutTheDeviceLock(CollectThenLock):
    def report_resume(self, dev, data):
        dev.error_state = pci_channel_io_normal
        if dev.driver is not None and dev.driver.err_handler is not None:
            dev.driver.err_handler.resume(dev)
        return 0


class StaleHandlers(CollectThenLock):
    """Asks who the driver is while the list is made, and calls it when it may be gone."""

    def aer_pci_walk_bus(self, top, cb, data):
        devices = []
        self.pci_walk_bus(top, self.aer_get_pci_dev_and_driver, devices)
        for dev, driver in devices:
            if dev.driver is None and driver is not None:
                with device_lock(dev):
                    driver.err_handler.error_detected(dev, data.state)
            else:
                cb(dev, data)
            self.put_device(dev)

    def aer_get_pci_dev_and_driver(self, dev, devices):
        devices.append((self.get_device(dev), dev.driver))
        return 0


class NoReferences(CollectThenLock):
    def aer_pci_walk_bus(self, top, cb, data):
        devices = []
        self.pci_walk_bus(top, lambda dev, found: found.append(dev), devices)
        for dev in devices:
            cb(dev, data)


class OneReferenceTooFew(CollectThenLock):
    def aer_get_pci_dev(self, dev, devices):
        devices.append(dev)
        return 0


class OneReferenceTooMany(CollectThenLock):
    def aer_get_pci_dev(self, dev, devices):
        devices.append(self.get_device(self.get_device(dev)))
        return 0


# -- the lists of buses ------------------------------------------------------------------------


class AddsWithoutTheSemaphore:
    def pci_device_add(self, dev, bus):
        self.device_initialize(dev)
        dev.release = self.pci_release_dev
        dev.state_saved = False
        self.pci_init_capabilities(dev)
        bus.devices.append(dev)
        dev.match_driver = False
        self.device_add(dev)


class RemovesUnderTheSemaphoreForReaders:
    def pci_destroy_dev(self, dev):
        if dev.kobj_parent is not None:
            self.device_del(dev)
            with down_read(self.pci_bus_sem):
                dev.bus.devices.remove(dev)
            self.put_device(dev)


# -- SR-IOV ------------------------------------------------------------------------------------


class EnablesNothing:
    def sriov_enable(self, dev, nr_virtfn):
        return 0


class RefusesToEnable:
    def sriov_enable(self, dev, nr_virtfn):
        return -errno.EBUSY


class AddsNoVfs:
    def sriov_add_vfs(self, dev, num_vfs):
        return 0


class AddsOneVfTooFew(DeferVfAdd):
    def sriov_add_vfs(self, dev, num_vfs):
        return super().sriov_add_vfs(dev, num_vfs - 1)


class RefusesTheWrite:
    def sriov_numvfs_store(self, pdev, buf):
        return -errno.EAGAIN


class IgnoresTheWrite:
    def sriov_numvfs_store(self, pdev, buf):
        return len(buf)


class DisablesNothing:
    def sriov_disable(self, dev):
        return None


class LeavesVfs:
    def sriov_del_vfs(self, dev):
        return None


class BindsNoVfs(DeferVfAdd):
    def pci_bus_add_device(self, dev):
        if not dev.is_virtfn:
            super().pci_bus_add_device(dev)


# -- the driver core ---------------------------------------------------------------------------


class UnbindsNothing:
    def device_release_driver(self, dev):
        return None


class ProbesNothing:
    def _driver_attach(self, dev, drv):
        return 0


class RescansNothing:
    def pci_rescan_bus(self, bus):
        return 0
