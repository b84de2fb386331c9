"""The question behind the reply: how does a PF driver learn that a VF could not be added?

Lock order with the proposal: as with defer-vf-add, and the worker takes the PF's mutex, alone.
"""

from __future__ import annotations

from ..device import device_lock
from ..pci import PciDev
from .defer_vf_add import DeferVfAdd


class DeferVfAddNotify(DeferVfAdd):
    """Wei Yang's question: "how would we handle the error path? Add a notification?"

    The deferral of defer-vf-add, and a new optional callback of a PF driver,
    ``virtfn_failed(pf, vf_id, err)``, called for each VF that could not be added.  It runs under
    the PF's device lock: without it the driver could be unbound in the middle of its callback.
    What it costs: the worker now takes the lock under which it is waited for.  Disabling VFs, or
    unbinding the driver, while a failure is about to be told holds the PF's lock and waits for the
    worker (cancel_work_sync), which waits for the PF's lock: a deadlock of two threads that needs
    no error recovery at all.  And every PF driver has to learn the callback, to be told of
    something that it cannot do anything about.
    """

    name = "defer-vf-add-notify"

    def sriov_virtfn_failed(self, pf: PciDev, vf_id: int, err: int) -> None:
        """Log that VF *vf_id* is on in the hardware and has no device, and tell the PF's driver.

        Kernel: none; the notification that the mail asks about, for drivers/pci/iov.c
        Locks:  &dev->mutex (mutex), of the PF, held across the driver's virtfn_failed
        Called with: no lock; in a kworker
        Returns: nothing
        Left out: nothing
        """
        super().sriov_virtfn_failed(pf, vf_id, err)
        with device_lock(pf):
            virtfn_failed = getattr(pf.driver, "virtfn_failed", None)
            if virtfn_failed is not None:
                virtfn_failed(pf, vf_id, err)
