"""drivers/base/core.c (v4.14): struct device, its life and its references.

A device is made with one reference (device_initialize), becomes visible (device_add), disappears
(device_del) and is freed when the last reference is put.  A reference keeps the memory, nothing
else: not the place on a list, not the driver, not the hardware.

Static data of a file of the kernel is set up by one function of its mixin that bears the name of
the kernel's initcall; Kernel calls them in boot order (kernel.py).

Lock order: device_add and device_del take the device's own mutex for a moment, inside whatever
the caller holds; an ancestor's mutex always comes before a descendant's.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any

from .klist import Klist
from .locking import (
    Mutex, MutexGuard, lockdep_set_novalidate_class, mutex_init, mutex_lock, vocabulary,
)


class KernelOops(Exception):
    """The kernel would have died here: a NULL pointer was followed, or BUG() was reached."""


class DeviceDriver:
    """struct device_driver: what the driver core knows of a driver."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.klist_devices: Klist[Device] = Klist()
        """The devices bound to this driver, in the order in which they were bound."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class Device:
    """struct device.  States, in order:

    - allocated: ``refcount`` 0, no mutex; only its maker knows it
    - initialized: ``refcount`` 1 (the creation reference), has a mutex
    - added: ``kobj_parent`` is set; it is in sysfs and on its bus's klist
    - deleted: ``kobj_parent`` is None again; only references keep it
    - freed: ``refcount`` 0 and ``freed``; nobody may look at it
    """

    def __init__(self, name: str = "", parent: Device | None = None) -> None:
        self.name = name
        self.parent = parent
        self.mutex: Mutex | None = None
        self.dev_driver: DeviceDriver | None = None
        """dev->driver: set before the bus's probe is called.  Written under device_lock."""
        self.driver_data: Any = None
        self.refcount = 0
        self.release: Callable[[Any], None] | None = None
        self.kobj_parent: object | None = None
        """kobj.parent: None before device_add and after device_del."""
        self.links: dict[str, Device] = {}
        """The symbolic links in the device's sysfs directory."""
        self.removed_files: set[str] = set()
        """Attributes that removed themselves (device_remove_file_self)."""
        self.freed = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


@vocabulary
def device_lock(dev: Device) -> MutexGuard:
    """Take the mutex of *dev*: device_lock(), include/linux/device.h."""
    return mutex_lock(dev.mutex)


class DeviceCore:
    """The functions of drivers/base/core.c."""

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

    def get_device(self, dev: Device | None) -> Device | None:
        """Take a reference on *dev*.

        Kernel: get_device(), drivers/base/core.c
        Locks:  none
        Called with: a reference held, or a lock that keeps *dev* on a list
        Returns: *dev*
        Left out: nothing
        """
        if dev is None:
            return None
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

    def device_initialize(self, dev: Device) -> None:
        """Give *dev* its mutex and its first reference.

        Kernel: device_initialize(), drivers/base/core.c
        Locks:  none
        Called with: the only pointer to *dev*
        Returns: nothing
        Left out: power management
        """
        dev.mutex = mutex_init(dev.name, "&dev->mutex")
        lockdep_set_novalidate_class(dev.mutex)
        dev.refcount = 1

    def device_add(self, dev: Device) -> int:
        """Make *dev* visible: sysfs, the klist of its bus, a uevent, a first look for a driver.

        Kernel: device_add(), drivers/base/core.c
        Locks:  via _device_attach: &dev->mutex (mutex), for a moment, only if *dev* is on a bus
        Called with: any locks; *dev* is initialized
        Returns: 0, -EINVAL without a name, -EEXIST if the name is taken
        Left out: the reference on the parent, power management, classes
        """
        self.get_device(dev)
        error = self.kobject_add(dev)
        if not error:
            self.bus_add_device(dev)
            self.kobject_uevent(dev, "add")
            self.bus_probe_device(dev)
        self.put_device(dev)
        return error

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

    def device_register(self, dev: Device) -> int:
        """Initialize and add *dev*.

        Kernel: device_register(), drivers/base/core.c
        Locks:  none
        Called with: any locks; *dev* is on no bus (a PCI device is added in two steps)
        Returns: 0 or the errno of device_add
        Left out: nothing
        """
        self.device_initialize(dev)
        return self.device_add(dev)

    def device_del(self, dev: Device) -> None:
        """Take *dev* away from everybody who could still find it, and unbind it if need be.

        Kernel: device_del(), drivers/base/core.c
        Locks:  via device_release_driver: &dev->mutex (mutex), only if *dev* is on a bus
        Called with: no device lock of *dev*
        Returns: nothing
        Left out: the wait for running sysfs calls (kernfs active references)
        """
        self.bus_remove_device(dev)
        self.driver_deferred_probe_del(dev)
        self.kobject_uevent(dev, "remove")
        del self.devices_kset[dev.name]
        dev.links.clear()
        dev.kobj_parent = None

    def device_unregister(self, dev: Device) -> None:
        """Delete *dev* and drop the creation reference.

        Kernel: device_unregister(), drivers/base/core.c
        Locks:  none
        Called with: any locks; *dev* is on no bus
        Returns: nothing
        Left out: nothing
        """
        self.device_del(dev)
        self.put_device(dev)

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
