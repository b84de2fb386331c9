"""drivers/pci/bus.c (v4.14): walking a hierarchy, and handing new devices to their drivers.

Lock order: pci_walk_bus holds pci_bus_sem for reading over every callback.  Recovery's callbacks
take device locks, so the order pci_bus_sem, device lock starts here.  pci_bus_add_device takes a
device lock of its own under whatever the caller holds: a VF's under its PF's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .dd import EPROBE_DEFER, DriverCore
from .locking import down_read
from .pci import PciBus, PciDev
from .pci_core import Pci


class Bus(DriverCore, Pci):
    """The functions of drivers/pci/bus.c."""

    def pci_walk_bus(self, top: PciBus, cb: Callable[[PciDev, Any], int | None],
                     userdata: Any) -> None:
        """Call *cb* on every device on and below *top* until it returns non-zero.

        A bridge comes before what is below it, siblings come in list order.  Only a bridge's
        ``subordinate`` leads down: the virtual bus of VFs, which no bridge points to, is not
        visited unless it is *top*.

        Kernel: pci_walk_bus(), drivers/pci/bus.c
        Locks:  &pci_bus_sem (read), held across every call of cb;
                the callback's
        Called with: not &pci_bus_sem; no lock that a writer of it may hold, if cb sleeps
        Returns: nothing; a non-zero value from cb ends the walk
        Left out: nothing
        """
        with down_read(self.pci_bus_sem):
            bus, at = top, 0
            while True:
                if at == len(bus.devices):
                    if bus is top:
                        return
                    # Up: go on behind the bridge that led here.
                    at = bus.self.bus.devices.index(bus.self) + 1
                    bus = bus.self.bus
                    continue
                dev = bus.devices[at]
                # The next place is found before cb is called, as in C.
                bus, at = (dev.subordinate, 0) if dev.subordinate else (bus, at + 1)
                if cb(dev, userdata):
                    return

    def pci_bus_add_device(self, dev: PciDev) -> None:
        """Let drivers have *dev*, and look for one now.

        Kernel: pci_bus_add_device(), drivers/pci/bus.c
        Locks:  via _device_attach: &dev->mutex (mutex), for all of the driver's probe;
                the driver's
        Called with: any device lock but that of *dev* (SR-IOV holds the PF's)
        Returns: nothing; a failed attach is logged and leaves is_added off
        Left out: fixups; files in sysfs and proc
        """
        dev.match_driver = True
        retval = self.device_attach(dev)
        if retval < 0 and retval != -EPROBE_DEFER:
            self.dev_warn(dev, f"device attach failed ({retval})")
            return
        dev.is_added = True

    def pci_bus_add_devices(self, bus: PciBus) -> None:
        """Let drivers have every new device on *bus* and below.

        Kernel: pci_bus_add_devices(), drivers/pci/bus.c
        Locks:  via _device_attach: &dev->mutex (mutex), of each new device, for all of its probe;
                the driver's
        Called with: &pci_rescan_remove_lock, which is what keeps the lists still
        Returns: nothing
        Left out: nothing
        """
        for dev in bus.devices:
            if not dev.is_added:
                self.pci_bus_add_device(dev)
        for dev in bus.devices:
            if dev.is_added and dev.subordinate:
                self.pci_bus_add_devices(dev.subordinate)

    def pci_bus_get(self, bus: PciBus) -> PciBus:
        """Take a reference on *bus*.

        Kernel: pci_bus_get(), drivers/pci/bus.c
        Locks:  none
        Called with: a reference held
        Returns: *bus*
        Left out: nothing
        """
        self.get_device(bus.dev)
        return bus

    def pci_bus_put(self, bus: PciBus) -> None:
        """Drop a reference on *bus*; the last one frees it.

        Kernel: pci_bus_put(), drivers/pci/bus.c
        Locks:  none
        Called with: a reference held
        Returns: nothing
        Left out: nothing
        """
        self.put_device(bus.dev)
