"""Linux 4.14, of November 2017: the kernel of the mail.

The mixins of the model are written after this version, so the tree has nothing to change.
"""

from __future__ import annotations

from ..kernel import Kernel


class V4_14(Kernel):
    """Linux 4.14 is the kernel of the mail: recovery takes device locks inside pci_bus_sem.

    What later versions changed and this one has:

    - a driver that appears takes the parent's device lock before the device's, on every bus;
    - sriov_numvfs is written under the device lock and read without one;
    - a failed pci_setup_device leaks the VF's struct, and a failed sriov_init a reference;
    - a VF whose PF has sriov_drivers_autoprobe off is bound to a driver that is not asked;
    - recovery takes no references on the devices that reported an error.

    Where the model is in doubt about 4.14:

    - unbind_store() compares the driver without the device's lock and does not compare it again;
    - the link's power state is dropped with the last function behind the port, VFs included.
    """

    name = "v4.14"
