"""include/linux/device.h (v4.14): struct device, its driver, its lock.

Lock order: an ancestor's mutex always comes before a descendant's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .klist import Klist
from .locking import Mutex, MutexGuard, mutex_lock, vocabulary

NULL: Any = None
"""No struct.  As in C, the type of a field does not tell whether it points to one yet; following it
too early is an oops.  ``X | None`` is for what everybody asks before following it."""


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
        self.mutex: Mutex = NULL
        self.dev_driver: DeviceDriver = NULL
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
