"""Linux 4.14, of November 2017: the kernel of the mail.

The mixins of the model are written after this version, so the tree has nothing to change.
"""

from __future__ import annotations

from ..kernel import Kernel


class V4_14(Kernel):
    """Linux 4.14.  What later versions changed and this one has:

    - a driver that appears takes the parent's device lock before the device's, on every bus;
    - sriov_numvfs is written under the device lock and read without one;
    - a failed pci_setup_device leaks the VF's struct;
    - recovery takes no references on the devices that reported an error.
    """

    name = "v4.14"
