"""drivers/pci/access.c (v4.14): reading and writing config space, and shutting user space out.

Nobody answers a read: all ones come back.

Lock order: none of its own (pci_lock, the spinlock around each access, is left out).
"""

from __future__ import annotations

from .locking import LockClass, MutexGuard, mutex_lock, vocabulary
from .pci import PciDev

BLOCK_CFG_ACCESS = LockClass(
    "dev->block_cfg_access",
    novalidate="it is a flag and a wait queue, which lockdep does not track")


@vocabulary
def pci_cfg_access_lock(dev: PciDev) -> MutexGuard:
    """Shut user space out of the config space of *dev*: pci_cfg_access_lock(), access.c.

    In C a flag and a wait queue; it sleeps and does not nest, like a mutex.
    """
    return mutex_lock(dev.cfg_lock)


class Access:
    """The functions of drivers/pci/access.c."""

    def pci_read_config_byte(self, dev: PciDev, where: int) -> int:
        """Read the byte at *where* in the config space of *dev*.

        Kernel: pci_read_config_byte(), drivers/pci/access.c
        Locks:  none
        Called with: any locks
        Returns: the value; all ones if nobody answers
        Left out: pci_lock, a spinlock
        """
        return 0xFF if dev.config is None else dev.config.read(where, 1)

    def pci_read_config_word(self, dev: PciDev, where: int) -> int:
        """Read the 16 bits at *where* in the config space of *dev*.

        Kernel: pci_read_config_word(), drivers/pci/access.c
        Locks:  none
        Called with: any locks
        Returns: the value; all ones if nobody answers
        Left out: pci_lock, a spinlock
        """
        return 0xFFFF if dev.config is None else dev.config.read(where, 2)

    def pci_read_config_dword(self, dev: PciDev, where: int) -> int:
        """Read the 32 bits at *where* in the config space of *dev*.

        Kernel: pci_read_config_dword(), drivers/pci/access.c
        Locks:  none
        Called with: any locks
        Returns: the value; all ones if nobody answers
        Left out: pci_lock, a spinlock
        """
        return 0xFFFFFFFF if dev.config is None else dev.config.read(where, 4)

    def pci_write_config_word(self, dev: PciDev, where: int, value: int) -> None:
        """Write the 16 bits at *where* in the config space of *dev*.

        Kernel: pci_write_config_word(), drivers/pci/access.c
        Locks:  none
        Called with: any locks
        Returns: nothing; a write that nobody takes is lost
        Left out: pci_lock, a spinlock
        """
        if dev.config is not None:
            dev.config.write(where, value)

    def pci_write_config_dword(self, dev: PciDev, where: int, value: int) -> None:
        """Write the 32 bits at *where* in the config space of *dev*.

        Kernel: pci_write_config_dword(), drivers/pci/access.c
        Locks:  none
        Called with: any locks
        Returns: nothing; a write that nobody takes is lost
        Left out: pci_lock, a spinlock
        """
        if dev.config is not None:
            dev.config.write(where, value)
