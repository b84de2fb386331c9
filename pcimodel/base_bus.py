"""drivers/base/bus.c and driver.c (v4.14): the lists of devices and of drivers of one bus type.

There is one bus type here, pci_bus_type; other devices (host bridge, buses) have none.  The lists
are klists: a driver's probe runs in the middle of a walk, with no lock of the list held.

Lock order: bind and unbind through sysfs take the parent's mutex, then the device's (v4.14 on
every bus; later kernels only where the bus asks for it).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext

from .dd import DriverCore
from .device import Device, DeviceDriver, device_lock
from .klist import Klist
from .pci import PciDev


class BaseBus(DriverCore):
    """The functions of drivers/base/bus.c and driver.c."""

    klist_devices: Klist[PciDev]
    klist_drivers: Klist[DeviceDriver]

    def bus_register(self) -> None:
        """Set up the lists of pci_bus_type, which are empty.

        Kernel: bus_register(), drivers/base/bus.c
        Locks:  none
        Called with: nothing running yet
        Returns: nothing
        Left out: bus types other than PCI; drivers_autoprobe of the bus is always on
        """
        self.klist_devices = Klist()
        self.klist_drivers = Klist()

    def bus_for_each_dev(self) -> Generator[PciDev, None, None]:
        """Walk the devices of the bus.

        Kernel: bus_for_each_dev(), drivers/base/bus.c
        Locks:  none
        Called with: any locks
        Returns: an iterator that holds a reference on its current device
        Left out: nothing
        """
        return self.klist_devices.walk(self.get_device, self.put_device)

    def bus_find_device(self, match: Callable[[PciDev], bool]) -> PciDev | None:
        """Find the first device of the bus that *match* likes.

        Kernel: bus_find_device(), drivers/base/bus.c
        Locks:  none
        Called with: any locks
        Returns: the device with a reference, or None
        Left out: nothing
        """
        with closing(self.bus_for_each_dev()) as devices:
            for dev in devices:
                if match(dev):
                    return self.get_device(dev)
        return None

    def bus_find_device_by_name(self, name: str) -> PciDev | None:
        """Find a device of the bus by its name.

        Kernel: bus_find_device_by_name(), drivers/base/bus.c
        Locks:  none
        Called with: any locks
        Returns: the device with a reference, or None
        Left out: nothing
        """
        return self.bus_find_device(lambda dev: dev.name == name)

    def bus_for_each_drv(self, fn: Callable[[DeviceDriver], int]) -> int:
        """Call *fn* on every driver of the bus until it returns non-zero.

        Kernel: bus_for_each_drv(), drivers/base/bus.c
        Locks:  the callback's
        Called with: any locks
        Returns: what *fn* returned last, 0 without drivers
        Left out: the references on drivers
        """
        def nothing(drv: DeviceDriver) -> None:
            return None
        with closing(self.klist_drivers.walk(nothing, nothing)) as drivers:
            for drv in drivers:
                error = fn(drv)
                if error:
                    return error
        return 0

    def bus_add_device(self, dev: Device) -> None:
        """Put *dev* on the klist of its bus.

        Kernel: bus_add_device(), drivers/base/bus.c
        Locks:  none
        Called with: *dev* in sysfs
        Returns: nothing
        Left out: the links in sysfs; the klist's own reference
        """
        if isinstance(dev, PciDev):
            self.klist_devices.add_tail(dev)

    def bus_probe_device(self, dev: Device) -> None:
        """Look for a driver for a device that was just added.

        Kernel: bus_probe_device(), drivers/base/bus.c
        Locks:  via _device_attach: &dev->mutex (mutex), of *dev*, only if it is on a bus
        Called with: no device lock of *dev*
        Returns: nothing; a PCI device finds none yet, since match_driver is off
        Left out: asynchronous probing
        """
        if isinstance(dev, PciDev):
            self.device_initial_probe(dev)

    def bus_remove_device(self, dev: Device) -> None:
        """Take *dev* off the klist of its bus and unbind it.

        Kernel: bus_remove_device(), drivers/base/bus.c
        Locks:  via device_release_driver: &dev->mutex (mutex), of *dev*, only if it is on a bus
        Called with: no device lock of *dev*
        Returns: nothing
        Left out: the links in sysfs
        """
        if not isinstance(dev, PciDev):
            return
        self.klist_devices.remove(dev)
        self.device_release_driver(dev)

    def bus_add_driver(self, drv: DeviceDriver) -> int:
        """Put *drv* on the klist of its bus and try it on every device.

        Kernel: bus_add_driver(), drivers/base/bus.c
        Locks:  via _driver_attach: &dev->mutex (mutex), of parent and device;
                via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: no device lock
        Returns: 0
        Left out: sysfs files of the driver
        """
        self.klist_drivers.add_tail(drv)
        return self.driver_attach(drv)

    def bus_remove_driver(self, drv: DeviceDriver) -> None:
        """Take *drv* off the klist of its bus and away from every device.

        Kernel: bus_remove_driver(), drivers/base/bus.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), of parent and device;
                the driver's
        Called with: no device lock
        Returns: nothing
        Left out: sysfs files of the driver
        """
        self.klist_drivers.remove(drv)
        self.driver_detach(drv)

    def driver_register(self, drv: DeviceDriver) -> int:
        """Add *drv* to its bus and try it on every device there.

        Kernel: driver_register(), drivers/base/driver.c
        Locks:  via _driver_attach: &dev->mutex (mutex), of parent and device;
                via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: no device lock
        Returns: 0, or -EBUSY if the bus has a driver of that name
        Left out: sysfs groups
        """
        if any(other.name == drv.name for other in self.klist_drivers.items()):
            return -errno.EBUSY
        return self.bus_add_driver(drv)

    def driver_unregister(self, drv: DeviceDriver) -> None:
        """Take *drv* off its bus and away from every device.

        Kernel: driver_unregister(), drivers/base/driver.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), of parent and device;
                the driver's
        Called with: no device lock
        Returns: nothing
        Left out: sysfs groups
        """
        self.bus_remove_driver(drv)

    def bind_store(self, drv: DeviceDriver, buf: str) -> int:
        """Bind the device named in *buf* to *drv*: a write to the driver's file ``bind``.

        Kernel: bind_store(), drivers/base/bus.c
        Locks:  &dev->mutex (mutex), of the parent, then of the device, for all of its probe;
                the driver's
        Called with: no device lock
        Returns: the length of *buf*, -ENODEV, or the errno of the probe
        Left out: the file's active reference
        """
        dev = self.bus_find_device_by_name(buf.strip())
        err = -errno.ENODEV
        if dev is not None and dev.dev_driver is None and self.driver_match_device(drv, dev):
            with device_lock(dev.parent) if dev.parent else nullcontext():
                with device_lock(dev):
                    err = self.driver_probe_device(drv, dev)
            if err > 0:
                err = len(buf)
            elif err == 0:
                err = -errno.ENODEV
        self.put_device(dev)
        return err

    def unbind_store(self, drv: DeviceDriver, buf: str) -> int:
        """Unbind the device named in *buf* from *drv*: a write to the driver's file ``unbind``.

        Kernel: unbind_store(), drivers/base/bus.c
        Locks:  &dev->mutex (mutex), of the parent;
                via device_release_driver: &dev->mutex (mutex), for all of its remove;
                the driver's
        Called with: no device lock
        Returns: the length of *buf*, or -ENODEV if *drv* does not have the device
        Left out: the file's active reference
        """
        dev = self.bus_find_device_by_name(buf.strip())
        err = -errno.ENODEV
        # The driver is compared without the device's lock, as in C.
        if dev is not None and dev.dev_driver is drv:
            with device_lock(dev.parent) if dev.parent else nullcontext():
                self.device_release_driver(dev)
            err = len(buf)
        self.put_device(dev)
        return err
