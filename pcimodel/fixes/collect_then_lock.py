"""The patch of the mail: "[PATCH V2] PCI: AER: fix deadlock in do_recovery" (September 2017).

Lock order with the patch: pci_bus_sem (read) alone, then each device's mutex, one after another.
"""

from __future__ import annotations

from collections.abc import Callable

from ..err import PCI_ERS_RESULT_CAN_RECOVER, PCI_ERS_RESULT_RECOVERED, AerBroadcastData, Err
from ..pci import PciBus, PciDev, pci_channel_io_normal, pci_is_bridge
from ..printk import KERN_DEBUG


class CollectThenLock(Err):
    """Govindarajulu Varadarajan's proposal: first collect the devices, then lock each of them.

    A broadcast walks the subtree with pci_bus_sem held for reading, but only to put each device,
    with a reference, on a list.  After up_read the report functions run on the devices of the
    list, each under its device lock, so that recovery never holds both locks.  What it costs: the
    semaphore kept the subtree still during a broadcast, and nothing does now.  A device removed
    between the walk and its turn has no driver any more, votes NO_AER_DRIVER and fails the
    recovery of all others; callbacks run while devices come and go beside them.  As before, each
    stage walks anew, so a device added between two stages is told of a reset without having been
    told of the error.  The order of the calls is a question of one word: here devices are
    appended and so called in the order of the walk, a bridge before what is below it and a PF
    before its VFs; the author's own tree pushed them at the head of the list, which reverses that
    (and can change the result: the later of the votes CAN_RECOVER and RECOVERED wins).
    """

    name = "collect-then-lock"

    def broadcast_error_message(self, dev: PciDev, state: int, error_mesg: str,
                                cb: Callable[[PciDev, AerBroadcastData], int]) -> int:
        """Call *cb* on every device that the error reported by *dev* affects.

        Kernel: broadcast_error_message(), drivers/pci/pcie/aer/aerdrv_core.c, with the patch
        Locks:  via pci_walk_bus: &pci_bus_sem (read), released before the first call of cb;
                via report_error_detected: &dev->mutex (mutex), or another report function
        Called with: no device lock
        Returns: the merged votes, a PCI_ERS_RESULT_* value
        Left out: nothing
        """
        self.dev_printk(KERN_DEBUG, dev, f"broadcast {error_mesg} message")
        data = AerBroadcastData(state, PCI_ERS_RESULT_RECOVERED)
        if cb == self.report_error_detected:
            data.result = PCI_ERS_RESULT_CAN_RECOVER

        if pci_is_bridge(dev):
            if cb == self.report_error_detected:
                dev.error_state = state
            self.aer_pci_walk_bus(dev.subordinate, cb, data)
            if cb == self.report_resume:
                self.pci_cleanup_aer_uncorrect_error_status(dev)
                dev.error_state = pci_channel_io_normal
        else:
            self.aer_pci_walk_bus(dev.bus, cb, data)
        return data.result

    def aer_pci_walk_bus(self, top: PciBus, cb: Callable[[PciDev, AerBroadcastData], int],
                         data: AerBroadcastData) -> None:
        """Call *cb* on every device that is on or below *top* now, without pci_bus_sem.

        Kernel: aer_pci_walk_bus(), drivers/pci/pcie/aer/aerdrv_core.c, in the author's tree
        Locks:  via pci_walk_bus: &pci_bus_sem (read), released before the first call of cb;
                the callback's, for each device, after that
        Called with: no device lock
        Returns: nothing; *cb* is called on all of them, whatever it returns
        Left out: nothing
        """
        devices: list[PciDev] = []
        self.pci_walk_bus(top, self.aer_get_pci_dev, devices)
        for dev in devices:
            cb(dev, data)
            self.put_device(dev)

    def aer_get_pci_dev(self, dev: PciDev, devices: list[PciDev]) -> int:
        """Put *dev* on the list, with a reference that keeps it until its turn.

        Kernel: aer_get_pci_dev(), drivers/pci/pcie/aer/aerdrv_core.c, in the author's tree
        Locks:  none
        Called with: pci_bus_sem held for read, by pci_walk_bus()
        Returns: 0, the walk goes on
        Left out: lack of memory for the entry, which silently left the device out
        """
        devices.append(self.get_device(dev))
        return 0
