"""drivers/pci/pci-sysfs.c (v4.14): what user space does to devices by writing to their files.

A store function gets the text that was written and returns its length or a negative errno.

Lock order: sriov_numvfs takes the PF's device lock, then whatever enabling takes; remove and
rescan take pci_rescan_remove_lock, then device locks.  bind and unbind are in base_bus.py.
The active reference of a file, which makes its removal wait for a running call, is left out but for
one thing: the files of a device that is gone give -ENODEV.
"""

from __future__ import annotations

import errno

from .device import Device, device_lock
from .pci import PciDev
from .probe import Probe
from .remove import Remove


def kstrtoul(buf: str, limit: int) -> int:
    """Parse a number as user space writes it: decimal, 0x hexadecimal or 0 octal.

    Kernel: kstrtoul() and kstrtou16(), lib/kstrtox.c
    Locks:  none
    Called with: any locks
    Returns: the number, -EINVAL if it is none, -ERANGE above *limit*
    Left out: nothing
    """
    text = buf.removesuffix("\n").removeprefix("+")
    if text.lower().startswith("0x"):
        digits, base = text[2:], 16
    else:
        digits, base = text, 8 if text.startswith("0") else 10
    if not digits.isascii() or not digits.isalnum():
        return -errno.EINVAL
    try:
        value = int(digits, base)
    except ValueError:
        return -errno.EINVAL
    return value if value <= limit else -errno.ERANGE


def kstrtobool(buf: str) -> int:
    """Parse a yes or a no by its first letter, "on" and "off" by their first two.

    Kernel: kstrtobool(), lib/kstrtox.c
    Locks:  none
    Called with: any locks
    Returns: 1 or 0, -EINVAL if it is neither
    Left out: nothing
    """
    text = buf.lower()
    if text.startswith(("y", "1", "on")):
        return 1
    return 0 if text.startswith(("n", "0", "of")) else -errno.EINVAL


ULONG_MAX = (1 << 64) - 1
USHRT_MAX = (1 << 16) - 1


class Sysfs(Probe, Remove):
    """The functions of drivers/pci/pci-sysfs.c that add and remove devices."""

    def sriov_totalvfs_show(self, pdev: PciDev) -> str | int:
        """Show how many VFs may be asked for: a read of sriov_totalvfs.

        Kernel: sriov_totalvfs_show(), drivers/pci/pci-sysfs.c
        Locks:  none
        Called with: no lock required
        Returns: the number as text, or -ENODEV if the device is gone
        Left out: the file's active reference
        """
        if not self.device_is_registered(pdev):
            return -errno.ENODEV
        return f"{self.pci_sriov_get_totalvfs(pdev)}\n"

    def sriov_numvfs_show(self, pdev: PciDev) -> str | int:
        """Show how many VFs there are: a read of sriov_numvfs.

        The value may be old: the device lock is taken here only since v5.6.

        Kernel: sriov_numvfs_show(), drivers/pci/pci-sysfs.c
        Locks:  none
        Called with: no lock required
        Returns: the number as text, or -ENODEV if the device is gone
        Left out: the file's active reference
        """
        if not self.device_is_registered(pdev):
            return -errno.ENODEV
        return f"{pdev.sriov.num_VFs}\n"

    def sriov_numvfs_store(self, pdev: PciDev, buf: str) -> int:
        """Ask the PF's driver for that many VFs: a write to sriov_numvfs.

        Kernel: sriov_numvfs_store(), drivers/pci/pci-sysfs.c
        Locks:  &dev->mutex (mutex), of the PF, for all of sriov_configure (since v4.13);
                the driver's
        Called with: no device lock
        Returns: the length of *buf*; -EINVAL, -ERANGE, -ENOENT, -EBUSY, -ENODEV if the
            device is gone, or the driver's errno
        Left out: the file's active reference
        """
        if not self.device_is_registered(pdev):
            return -errno.ENODEV
        num_vfs = kstrtoul(buf, USHRT_MAX)
        if num_vfs < 0:
            return num_vfs
        if num_vfs > self.pci_sriov_get_totalvfs(pdev):
            return -errno.ERANGE
        with device_lock(pdev):
            ret = self.sriov_numvfs_configure(pdev, num_vfs)
        return ret if ret < 0 else len(buf)

    def sriov_numvfs_configure(self, pdev: PciDev, num_vfs: int) -> int:
        """Check that the PF's driver can be asked, and ask it.

        Kernel: sriov_numvfs_store(), drivers/pci/pci-sysfs.c (its part under the lock)
        Locks:  the driver's
        Called with: the PF's lock
        Returns: 0 or more, -ENOENT, -EBUSY, or the driver's errno
        Left out: nothing
        """
        if num_vfs == pdev.sriov.num_VFs:
            return 0
        if pdev.driver is None or pdev.driver.sriov_configure is None:
            self.dev_info(pdev, "Driver doesn't support SRIOV configuration via sysfs")
            return -errno.ENOENT
        if num_vfs == 0:
            return pdev.driver.sriov_configure(pdev, 0)
        if pdev.sriov.num_VFs:
            self.dev_warn(pdev, f"{pdev.sriov.num_VFs} VFs already enabled. "
                                f"Disable before enabling {num_vfs} VFs")
            return -errno.EBUSY
        ret = pdev.driver.sriov_configure(pdev, num_vfs)
        if ret >= 0 and ret != num_vfs:
            self.dev_warn(pdev, f"{num_vfs} VFs requested; only {ret} enabled")
        return ret

    def sriov_drivers_autoprobe_store(self, pdev: PciDev, buf: str) -> int:
        """Say whether drivers may have the VFs of the PF: a write to sriov_drivers_autoprobe.

        Kernel: sriov_drivers_autoprobe_store(), drivers/pci/pci-sysfs.c
        Locks:  none
        Called with: no lock required
        Returns: the length of *buf*, -EINVAL, or -ENODEV if the device is gone
        Left out: the file's active reference
        """
        if not self.device_is_registered(pdev):
            return -errno.ENODEV
        drivers_autoprobe = kstrtobool(buf)
        if drivers_autoprobe < 0:
            return -errno.EINVAL
        pdev.sriov.drivers_autoprobe = bool(drivers_autoprobe)
        return len(buf)

    def device_remove_file_self(self, dev: Device, name: str) -> bool:
        """Remove the file *name* of *dev* from inside a write to it.

        Kernel: device_remove_file_self(), drivers/base/core.c
        Locks:  none
        Called with: the file's active reference, which it gives up
        Returns: True for the first one only
        Left out: the active reference itself
        """
        with self._atomic:
            first = name not in dev.removed_files
            dev.removed_files.add(name)
        return first

    def remove_store(self, pdev: PciDev, buf: str) -> int:
        """Remove the device and everything below it: a write to remove.

        Kernel: remove_store(), drivers/pci/pci-sysfs.c
        Locks:  via pci_lock_rescan_remove: &pci_rescan_remove_lock (mutex), around all the rest;
                via device_release_driver_internal: &dev->mutex (mutex), of each, one at a time;
                via pci_destroy_dev: &pci_bus_sem (write), once for each;
                via pcie_aspm_exit_link_state: &pci_bus_sem (read);
                via pcie_aspm_exit_link_state: &aspm_lock (mutex);
                the driver's
        Called with: no device lock
        Returns: the length of *buf*, -EINVAL, or -ENODEV if the device is gone
        Left out: the file's active reference
        """
        if not self.device_is_registered(pdev):
            return -errno.ENODEV
        val = kstrtoul(buf, ULONG_MAX)
        if val < 0:
            return -errno.EINVAL
        if val and self.device_remove_file_self(pdev, "remove"):
            self.pci_stop_and_remove_bus_device_locked(pdev)
        return len(buf)

    def dev_rescan_store(self, pdev: PciDev, buf: str) -> int:
        """Look for new devices on the bus of *pdev*: a write to its file rescan.

        Kernel: dev_rescan_store(), drivers/pci/pci-sysfs.c
        Locks:  via pci_lock_rescan_remove: &pci_rescan_remove_lock (mutex), around all the rest;
                via pci_rescan_bus: as pci_rescan_bus
        Called with: no device lock
        Returns: the length of *buf*, -EINVAL, or -ENODEV if the device is gone
        Left out: the file's active reference
        """
        if not self.device_is_registered(pdev):
            return -errno.ENODEV
        val = kstrtoul(buf, ULONG_MAX)
        if val < 0:
            return -errno.EINVAL
        if val:
            with self.pci_lock_rescan_remove():
                self.pci_rescan_bus(pdev.bus)
        return len(buf)

    def bus_rescan_store(self, buf: str) -> int:
        """Look for new devices everywhere: a write to /sys/bus/pci/rescan.

        Kernel: bus_rescan_store(), drivers/pci/pci-sysfs.c
        Locks:  via pci_lock_rescan_remove: &pci_rescan_remove_lock (mutex), around all the rest;
                via pci_find_next_bus: &pci_bus_sem (read);
                via pci_rescan_bus: as pci_rescan_bus
        Called with: no device lock
        Returns: the length of *buf*, or -EINVAL
        Left out: the file's active reference
        """
        val = kstrtoul(buf, ULONG_MAX)
        if val < 0:
            return -errno.EINVAL
        if val:
            with self.pci_lock_rescan_remove():
                bus = self.pci_find_next_bus(None)
                while bus is not None:
                    self.pci_rescan_bus(bus)
                    bus = self.pci_find_next_bus(bus)
        return len(buf)
