"""drivers/base/dd.c (v4.14): how devices and drivers find and leave each other.

A driver appears: driver_register tries it on every device.  A device appears: device_attach tries
every driver on it.  The driver's probe and remove run under the device's mutex from start to end.

Lock order: where a driver comes or goes, the parent's mutex, then the device's (v4.14 on every bus,
for the sake of USB); where a device comes or goes, the device's alone.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from .device import NULL, Device, DeviceDriver, device_lock
from .kobject import Kobject
from .printk import KERN_WARNING

EPROBE_DEFER = 517


class DriverCore(Kobject):
    """The functions of drivers/base/dd.c."""

    deferred_probe_pending: dict[Device, bool]

    if TYPE_CHECKING:
        # struct bus_type: its lists are in base_bus.py, its calls in pci_driver.py, which come
        # after this file and call it.
        def bus_for_each_dev(self) -> Iterator[Device]: ...
        def bus_for_each_drv(self, fn: Callable[[DeviceDriver], int]) -> int: ...
        def pci_bus_match(self, dev: Any, drv: Any) -> int: ...
        def pci_device_probe(self, dev: Any) -> int: ...
        def pci_device_remove(self, dev: Any) -> None: ...

    def deferred_probe_initcall(self) -> None:
        """Set up the list of devices whose driver asked to be tried later.

        Kernel: deferred_probe_initcall(), drivers/base/dd.c
        Locks:  none
        Called with: nothing running yet
        Returns: nothing
        Left out: the work item that tries again, and with it the deadlock reported from it in 2025
        """
        self.deferred_probe_pending = {}

    def driver_deferred_probe_add(self, dev: Device) -> None:
        """Note that the driver of *dev* asked to be tried later.

        Kernel: driver_deferred_probe_add(), drivers/base/dd.c
        Locks:  none (deferred_probe_mutex is held for the change of the list only)
        Called with: the device lock
        Returns: nothing; a device is on the list once
        Left out: nothing
        """
        with self._atomic:
            self.deferred_probe_pending.setdefault(dev, True)

    def driver_deferred_probe_del(self, dev: Device) -> None:
        """Forget that *dev* is to be tried later: it is bound now, or gone.

        Kernel: driver_deferred_probe_del(), drivers/base/dd.c
        Locks:  none (deferred_probe_mutex is held for the change of the list only)
        Called with: any locks
        Returns: nothing
        Left out: nothing
        """
        with self._atomic:
            self.deferred_probe_pending.pop(dev, None)

    def driver_match_device(self, drv: DeviceDriver, dev: Device) -> int:
        """Ask the bus whether *drv* is for *dev*.

        Kernel: driver_match_device(), drivers/base/base.h
        Locks:  none
        Called with: no lock required
        Returns: 1 or 0
        Left out: nothing
        """
        return self.pci_bus_match(dev, drv)

    def driver_attach(self, drv: DeviceDriver) -> int:
        """Try *drv* on every device of its bus.

        Kernel: driver_attach(), drivers/base/dd.c
        Locks:  via _driver_attach: &dev->mutex (mutex), of parent and device;
                via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: no device lock
        Returns: 0, whatever the probes said
        Left out: nothing
        """
        for dev in self.bus_for_each_dev():
            self._driver_attach(dev, drv)
        return 0

    def _driver_attach(self, dev: Device, drv: DeviceDriver) -> int:
        """Try *drv* on *dev* if the bus says that they match.

        Kernel: __driver_attach(), drivers/base/dd.c
        Locks:  &dev->mutex (mutex), of the parent, then of the device, for all of its probe;
                via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: no device lock
        Returns: 0, also if the probe failed: the next device has to be tried
        Left out: a match that asks for deferral
        """
        if not self.driver_match_device(drv, dev):
            return 0
        with device_lock(dev.parent) if dev.parent else nullcontext():
            with device_lock(dev):
                if dev.dev_driver is None:
                    self.driver_probe_device(drv, dev)
        return 0

    def device_attach(self, dev: Device) -> int:
        """Look for a driver for *dev*.

        Kernel: device_attach(), drivers/base/dd.c
        Locks:  via _device_attach: &dev->mutex (mutex), for all of its probe;
                the driver's
        Called with: no device lock of *dev*; its parent's is not taken
        Returns: 1 bound, 0 no driver, or a negative errno
        Left out: nothing
        """
        return self._device_attach(dev)

    def device_initial_probe(self, dev: Device) -> None:
        """Look for a driver for a device that was just added.

        Kernel: device_initial_probe(), drivers/base/dd.c
        Locks:  via _device_attach: &dev->mutex (mutex)
        Called with: no device lock of *dev*
        Returns: nothing
        Left out: asynchronous probing
        """
        self._device_attach(dev)

    def _device_attach(self, dev: Device) -> int:
        """Try each driver of the bus on *dev* until one binds.

        Kernel: __device_attach(), drivers/base/dd.c
        Locks:  &dev->mutex (mutex), for all of its probe;
                the driver's
        Called with: no device lock of *dev*
        Returns: 1 bound, 0 no driver, or a negative errno
        Left out: asynchronous probing, device_bind_driver
        """
        with device_lock(dev):
            if dev.dev_driver is not None:
                return 1
            return self.bus_for_each_drv(lambda drv: self._device_attach_driver(drv, dev))

    def _device_attach_driver(self, drv: DeviceDriver, dev: Device) -> int:
        """Try *drv* on *dev* if the bus says that they match.

        Kernel: __device_attach_driver(), drivers/base/dd.c
        Locks:  the driver's
        Called with: the device lock
        Returns: 1 bound, 0 not, or a negative errno
        Left out: asynchronous probing
        """
        if not self.driver_match_device(drv, dev):
            return 0
        return self.driver_probe_device(drv, dev)

    def driver_probe_device(self, drv: DeviceDriver, dev: Device) -> int:
        """Let *drv* probe *dev*, if it is still there.

        Kernel: driver_probe_device(), drivers/base/dd.c
        Locks:  via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: the device lock; the parent's too where the driver appeared
        Returns: 1 bound, 0 not, -ENODEV if *dev* is not registered
        Left out: runtime power management of parent and suppliers
        """
        if not self.device_is_registered(dev):
            return -errno.ENODEV
        return self.really_probe(dev, drv)

    def really_probe(self, dev: Device, drv: DeviceDriver) -> int:
        """Call the bus's probe and keep the driver if it likes *dev*.

        Kernel: really_probe(), drivers/base/dd.c
        Locks:  via flush_work: (work_completion)(&wfc.work) (wait), only with probe_on_worker;
                the driver's
        Called with: the device lock
        Returns: 1 bound; 0 on every failure, so that the next driver may try
        Left out: pins, DMA, power domains, managed resources
        """
        dev.dev_driver = drv
        ret = self.pci_device_probe(dev)
        if ret == 0:
            self.driver_bound(dev)
            return 1
        dev.dev_driver = NULL
        dev.driver_data = None
        if ret == -EPROBE_DEFER:
            self.dev_info(dev, f"Driver {drv.name} requests probe deferral")
            self.driver_deferred_probe_add(dev)
        elif ret not in (-errno.ENODEV, -errno.ENXIO):
            self.printk(KERN_WARNING, f"{drv.name}: probe of {dev.name} failed with error {ret}")
        return 0

    def driver_bound(self, dev: Device) -> None:
        """Note that *dev* has its driver now.

        Kernel: driver_bound(), drivers/base/dd.c
        Locks:  none
        Called with: the device lock
        Returns: nothing
        Left out: notifiers; the new try of deferred devices
        """
        dev.dev_driver.klist_devices.add_tail(dev)
        self.driver_deferred_probe_del(dev)
        self.kobject_uevent(dev, "bind")

    def device_release_driver(self, dev: Device) -> None:
        """Unbind *dev*, if it is bound.

        Kernel: device_release_driver(), drivers/base/dd.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), for all of its remove;
                the driver's
        Called with: no device lock of *dev*
        Returns: nothing
        Left out: nothing
        """
        self.device_release_driver_internal(dev, None, None)

    def device_release_driver_internal(self, dev: Device, drv: DeviceDriver | None,
                                       parent: Device | None) -> None:
        """Unbind *dev*; with *drv*, only if that is still its driver.

        Kernel: device_release_driver_internal(), drivers/base/dd.c
        Locks:  &dev->mutex (mutex), of *parent* if given, then of *dev*, for all of its remove;
                the driver's
        Called with: no device lock of *dev* or *parent*
        Returns: nothing
        Left out: nothing
        """
        with device_lock(parent) if parent else nullcontext():
            with device_lock(dev):
                if drv is None or drv is dev.dev_driver:
                    self._device_release_driver(dev)

    def _device_release_driver(self, dev: Device) -> None:
        """Call the bus's remove and forget the driver.

        Kernel: __device_release_driver(), drivers/base/dd.c
        Locks:  the driver's
        Called with: the device lock
        Returns: nothing
        Left out: consumers linked to the device, notifiers, managed resources
        """
        drv = dev.dev_driver
        if drv is None:
            return
        self.pci_device_remove(dev)
        dev.dev_driver = NULL
        dev.driver_data = None
        drv.klist_devices.remove(dev)
        self.kobject_uevent(dev, "unbind")

    def driver_detach(self, drv: DeviceDriver) -> None:
        """Unbind every device of *drv*, the last one bound first.

        Kernel: driver_detach(), drivers/base/dd.c
        Locks:  via device_release_driver_internal: &dev->mutex (mutex), of parent and device;
                the driver's
        Called with: no device lock
        Returns: nothing
        Left out: nothing
        """
        while (dev := drv.klist_devices.last(self.get_device)) is not None:
            self.device_release_driver_internal(dev, drv, dev.parent)
            self.put_device(dev)
