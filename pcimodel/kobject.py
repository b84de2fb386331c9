"""lib/kobject.c, fs/sysfs and what drivers/base/core.c makes of them (v4.14): names, references.

A reference keeps the memory of a device, nothing else: not the place on a list, not the driver,
not the hardware.

Lock order: none (kernfs's own lock is held for a change of a directory only).
"""

from __future__ import annotations

import errno
import threading
from typing import TypeVar

from .device import Device
from .printk import Printk

D = TypeVar("D", bound=Device | None)


class Kobject(Printk):
    """The functions of lib/kobject.c and fs/sysfs, and those of core.c that need no other file."""

    devices_kset: dict[str, Device]
    uevents: list[tuple[str, str]]

    def devices_init(self) -> None:
        """Set up the set of all devices, which is empty.

        Kernel: devices_init(), drivers/base/core.c
        Locks:  none
        Called with: nothing running yet
        Returns: nothing
        Left out: /sys/dev and its kobjects
        """
        self.devices_kset = {}
        self.uevents = []
        # Stands in for the atomic operations of refcount_t and for kernfs's own lock.
        self._atomic = threading.Lock()

    def get_device(self, dev: D) -> D:
        """Take a reference on *dev*.

        Kernel: get_device(), drivers/base/core.c
        Locks:  none
        Called with: a reference held, or a lock that keeps *dev* on a list
        Returns: *dev*
        Left out: nothing
        """
        if dev is None:
            return dev
        with self._atomic:
            dead = dev.refcount <= 0
            if not dead:
                dev.refcount += 1
        if dead:
            self.WARN(f"refcount_t: increment on 0; use-after-free ({dev.name})")
        return dev

    def put_device(self, dev: Device | None) -> None:
        """Drop a reference on *dev*; the last one frees it.

        Kernel: put_device(), drivers/base/core.c
        Locks:  none
        Called with: a reference held
        Returns: nothing
        Left out: nothing
        """
        if dev is None:
            return
        with self._atomic:
            underflow = dev.refcount <= 0
            if not underflow:
                dev.refcount -= 1
            last = not underflow and dev.refcount == 0
        if underflow:
            self.WARN(f"refcount_t: underflow; use-after-free ({dev.name})")
        if last:
            dev.freed = True
            if dev.release is not None:
                dev.release(dev)

    def kobject_add(self, dev: Device) -> int:
        """Make the sysfs directory of *dev*.

        Kernel: kobject_add(), lib/kobject.c
        Locks:  none
        Called with: *dev* initialized
        Returns: 0, -EINVAL without a name, -EEXIST if the name is taken
        Left out: directories; the names of all devices are one set
        """
        if not dev.name:
            return -errno.EINVAL
        with self._atomic:
            if self.devices_kset.setdefault(dev.name, dev) is not dev:
                return -errno.EEXIST
        dev.kobj_parent = dev.parent or self.devices_kset
        return 0

    def device_is_registered(self, dev: Device) -> bool:
        """Tell whether *dev* is in sysfs.

        Kernel: device_is_registered(), include/linux/device.h
        Locks:  none
        Called with: a reference on *dev*
        Returns: True between device_add and device_del
        Left out: nothing
        """
        return dev.kobj_parent is not None

    def kobject_uevent(self, dev: Device, action: str) -> None:
        """Tell user space what happened to *dev*.

        Kernel: kobject_uevent(), lib/kobject_uevent.c
        Locks:  none
        Called with: a reference on *dev*
        Returns: nothing
        Left out: the environment of the event; listeners read Kernel.uevents
        """
        self.uevents.append((action, dev.name))

    def sysfs_create_link(self, dev: Device, target: Device, name: str) -> int:
        """Make the link *name* to *target* in the directory of *dev*.

        Kernel: sysfs_create_link(), fs/sysfs/symlink.c
        Locks:  none
        Called with: both in sysfs
        Returns: 0, -ENOENT without a target directory, -EEXIST if the name is taken
        Left out: nothing
        """
        if target.kobj_parent is None:
            return -errno.ENOENT
        with self._atomic:
            taken = name in dev.links
            dev.links.setdefault(name, target)
        return -errno.EEXIST if taken else 0

    def sysfs_remove_link(self, dev: Device, name: str) -> None:
        """Remove the link *name* from the directory of *dev*.

        Kernel: sysfs_remove_link(), fs/sysfs/symlink.c
        Locks:  none
        Called with: *dev* in sysfs
        Returns: nothing
        Left out: nothing
        """
        dev.links.pop(name, None)
