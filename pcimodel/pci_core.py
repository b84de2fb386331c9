"""drivers/pci/pci.c (v4.14): enabling a device; and the variables that all of drivers/pci share.

Lock order: none; enabling a device is called under its device lock.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from .access import Access
from .kobject import D, Kobject
from .locking import RWSemaphore
from .pci import PciBus, PciDev, Resource
from .pci_regs import PCI_COMMAND, PCI_COMMAND_MEMORY


class Pci(Access, Kobject):
    """The functions of drivers/pci/pci.c that SR-IOV and recovery need."""

    pci_bus_sem: RWSemaphore
    pci_root_buses: list[PciBus]

    def pci_find_ext_capability(self, dev: PciDev, cap: int) -> int:
        """Find an extended capability of *dev*.

        Kernel: pci_find_ext_capability(), drivers/pci/pci.c
        Locks:  none
        Called with: any locks
        Returns: its position in config space, 0 if there is none
        Left out: the walk along the chain of capabilities
        """
        if dev.config is None or not dev.config.responds:
            return 0
        return dev.config.capabilities.get(cap, 0)

    def pci_enable_device(self, dev: PciDev) -> int:
        """Let *dev* decode its addresses; count the callers.

        Kernel: pci_enable_device(), drivers/pci/pci.c
        Locks:  none
        Called with: the device lock, by convention (a driver's probe)
        Returns: 0
        Left out: the bridges above it, power states, interrupts
        """
        dev.enable_cnt += 1
        if dev.enable_cnt == 1:
            self._set_memory_decode(dev, True)
        return 0

    def pci_disable_device(self, dev: PciDev) -> None:
        """Undo one pci_enable_device; the last one stops *dev*.

        Kernel: pci_disable_device(), drivers/pci/pci.c
        Locks:  none
        Called with: the device lock, by convention (a driver's remove)
        Returns: nothing
        Left out: bus mastering, devres
        """
        dev.enable_cnt -= 1
        if dev.enable_cnt == 0:
            self._set_memory_decode(dev, False)

    def _set_memory_decode(self, dev: PciDev, on: bool) -> None:
        """Set or clear Memory Space Enable in the command register."""
        command = self.pci_read_config_word(dev, PCI_COMMAND) & ~PCI_COMMAND_MEMORY
        self.pci_write_config_word(dev, PCI_COMMAND, command | (PCI_COMMAND_MEMORY if on else 0))

    def pci_enable_resources(self, dev: PciDev, bars: Sequence[Resource]) -> int:
        """Check that *bars* have addresses and turn on memory decoding.

        Kernel: pci_enable_resources(), drivers/pci/setup-res.c
        Locks:  none
        Called with: the device lock
        Returns: 0 or -EINVAL
        Left out: I/O ports
        """
        for res in bars:
            if res.unset or not res.has_parent:
                self.dev_err(dev, "can't enable device: BAR not assigned")
                return -errno.EINVAL
        self._set_memory_decode(dev, True)
        return 0

    def pci_save_state(self, dev: PciDev) -> int:
        """Remember the config space of *dev*.

        Kernel: pci_save_state(), drivers/pci/pci.c
        Locks:  none
        Called with: the device lock, by convention
        Returns: 0
        Left out: the contents; only the flag is kept
        """
        dev.state_saved = True
        return 0

    def pci_restore_state(self, dev: PciDev) -> None:
        """Write the remembered config space back.

        Kernel: pci_restore_state(), drivers/pci/pci.c
        Locks:  none
        Called with: the device lock, by convention
        Returns: nothing
        Left out: the contents; only the flag is kept
        """
        dev.state_saved = False

    def pci_dev_get(self, dev: D) -> D:
        """Take a reference on *dev*.

        Kernel: pci_dev_get(), drivers/pci/pci-driver.c
        Locks:  none
        Called with: a reference held, or a lock that keeps *dev* on a list
        Returns: *dev*
        Left out: nothing
        """
        return self.get_device(dev)

    def pci_dev_put(self, dev: PciDev | None) -> None:
        """Drop a reference on *dev*; the last one frees it.

        Kernel: pci_dev_put(), drivers/pci/pci-driver.c
        Locks:  none
        Called with: a reference held
        Returns: nothing
        Left out: nothing
        """
        self.put_device(dev)
