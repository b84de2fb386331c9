"""drivers/base/core.c (v4.14): the life of a device.

A device is made with one reference (device_initialize), becomes visible (device_add), disappears
(device_del) and is freed when the last reference is put.

Lock order: device_add and device_del take the device's own mutex for a moment, inside whatever
the caller holds.
"""

from __future__ import annotations

from .base_bus import BaseBus
from .device import Device, KernelOops
from .locking import lockdep_set_novalidate_class, mutex_init


class DeviceCore(BaseBus):
    """The functions of drivers/base/core.c that bring a device in and take it out."""

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
        Returns: nothing; oopses for a device whose device_add failed, which has lost dev->p
        Left out: the wait for running sysfs calls (kernfs active references)
        """
        if dev.kobj_parent is None:
            raise KernelOops(f"NULL pointer dereference in device_del: {dev.name} was not added")
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
