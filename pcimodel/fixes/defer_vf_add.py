"""The question of the reply: can VFs be added later, where no device lock is held? (October 2017)

Lock order with the proposal: enabling takes the PF's mutex and queues; the worker takes
pci_bus_sem (write) and each VF's mutex, but not the PF's.  Disabling still holds the PF's mutex
while it waits for the worker, and while it takes pci_bus_sem (write).
"""

from __future__ import annotations

from collections.abc import Callable

from ..iov import Iov
from ..pci import PciDev
from ..workqueue import Workqueues, WorkStruct


class VfAddWork(WorkStruct):
    """The VFs of one enable that are still to be added; it holds a reference on its PF."""

    def __init__(self, pf: PciDev, num_vfs: int, func: Callable[[VfAddWork], None]) -> None:
        super().__init__("iov->add_work", func)
        self.pf = pf
        self.num_vfs = num_vfs


class DeferVfAdd(Iov, Workqueues):
    """Bjorn Helgaas's question: "queuing up the pci_iov_add_virtfn() part to be done later".

    sriov_enable() turns the VFs on in the hardware, queues their enumeration and returns; all of
    its own errors still reach the driver.  A worker that holds no device lock adds the VFs.  One
    that cannot be added is logged and the next one is tried, as in any other enumeration, so a VF
    may be enabled in hardware and have no device.  What it costs: pci_enable_sriov() returns, user
    space's write to sriov_numvfs returns, and the PF's uevent is sent, before any VF exists.
    Disabling cannot be deferred, because a driver's remove must not leave VFs behind: it stops the
    worker with cancel_work_sync(), under the PF's device lock.  The worker takes no PF's lock, so
    that these two alone cannot deadlock.  But the wait is an edge from the PF's lock to the
    worker, and the worker may sit in down_write(pci_bus_sem) behind a recovery that wants the
    PF's lock; and removing VFs takes pci_bus_sem for writing under the PF's lock as it always did.
    The worker holds a reference on the PF.  When the PF itself goes, pci_stop_dev() cancels what
    its driver left queued.  One thing stays: a PF without a single VF device, because all of them
    failed, is freed with VFs enabled if its driver leaves them on: a BUG that the tree, where VFs
    hold references on their PF, cannot reach.
    """

    name = "defer-vf-add"

    def sriov_add_vfs(self, dev: PciDev, num_vfs: int) -> int:
        """Queue the enumeration of the VFs of *dev*, and do not wait for it.

        Kernel: sriov_add_vfs(), drivers/pci/iov.c, as the mail proposes it
        Locks:  none
        Called with: the PF's device lock
        Returns: 0
        Left out: nothing
        """
        work = VfAddWork(self.pci_dev_get(dev), num_vfs, self.sriov_add_vfs_work)
        vars(dev.sriov)["add_work"] = work    # a new field of struct pci_sriov
        self.schedule_work(work)
        return 0

    def sriov_add_vfs_work(self, work: VfAddWork) -> None:
        """Add the VFs of one enable; what fails leaves a hole.

        Kernel: none; the work item that the mail proposes, for drivers/pci/iov.c
        Locks:  via pci_device_add: &pci_bus_sem (write), once for each VF;
                via _device_attach: &dev->mutex (mutex), of each VF, for all of its probe;
                via pci_iov_add_virtfn: as pci_iov_add_virtfn
        Called with: no lock; in a kworker
        Returns: nothing
        Left out: nothing
        """
        for vf_id in range(work.num_vfs):
            err = self.pci_iov_add_virtfn(work.pf, vf_id)
            if err:
                self.sriov_virtfn_failed(work.pf, vf_id, err)
        self.pci_dev_put(work.pf)

    def sriov_virtfn_failed(self, pf: PciDev, vf_id: int, err: int) -> None:
        """Log that VF *vf_id* is on in the hardware and has no device.

        Kernel: none; what the mail proposes instead of an error, for drivers/pci/iov.c
        Locks:  none
        Called with: no lock; in a kworker
        Returns: nothing
        Left out: nothing
        """
        self.dev_err(pf, f"VF {vf_id} enabled but not added (error {err})")

    def sriov_del_vfs(self, dev: PciDev) -> None:
        """Stop a worker that still adds VFs of *dev*, then remove those that exist.

        Kernel: sriov_del_vfs(), drivers/pci/iov.c, as the mail's proposal needs it
        Locks:  via cancel_work_sync: (work_completion)(&iov->add_work) (wait), only if it runs;
                via pci_destroy_dev: &pci_bus_sem (write), once for each VF that exists;
                via pci_iov_remove_virtfn: as pci_iov_remove_virtfn
        Called with: the PF's device lock
        Returns: nothing
        Left out: nothing
        """
        self.sriov_cancel_add(dev)
        super().sriov_del_vfs(dev)

    def pci_stop_dev(self, dev: PciDev) -> None:
        """Take the driver off *dev*; if it is a PF, no VFs are added from here on.

        Kernel: pci_stop_dev(), drivers/pci/remove.c, as the mail's proposal needs it
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), for all of its remove;
                via cancel_work_sync: (work_completion)(&iov->add_work) (wait), only if it runs;
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex);
                the driver's
        Called with: &pci_rescan_remove_lock, which the worker does not take
        Returns: nothing
        Left out: nothing
        """
        super().pci_stop_dev(dev)
        # Drivers may leave their VFs on when they go; those that are not there yet never come.
        if dev.is_physfn and self.sriov_cancel_add(dev):
            self.sriov_turn_off(dev)

    def sriov_cancel_add(self, dev: PciDev) -> bool:
        """Make sure that nobody adds VFs of *dev* any more.

        Kernel: none; the other end of the work item, for drivers/pci/iov.c
        Locks:  via cancel_work_sync: (work_completion)(&iov->add_work) (wait), only if it runs
        Called with: nothing that enables VFs beside it (the PF's device lock, or no driver)
        Returns: True if the worker had not begun, so that no VF was added
        Left out: nothing
        """
        work = getattr(dev.sriov, "add_work", None)
        if work is None or not self.cancel_work_sync(work):
            return False
        # It was taken off the queue and will not run: its reference is ours to drop.
        self.pci_dev_put(work.pf)
        return True
