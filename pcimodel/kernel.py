"""One booted world: a machine, and a kernel that runs on it.

Each C file is a mixin that inherits from those whose functions it calls, so that ``self.f`` leads
to the file of ``f``; headers (device.py, pci.py, aerdrv.py) hold the structs.  A tree (trees/) is a
Kernel, a fix (fixes/) overrides some of its functions.

All state is in the object and its structs; two worlds know nothing of each other.  Static data of a
C file is set up by a function that bears the name of the kernel's initcall, called in boot order.

Lock order, as this version of the kernel has it: pci_rescan_remove_lock; then device locks, a
parent's before a child's and a PF's before its VFs'; and then pci_bus_sem, or pci_bus_sem first and
then device locks.  The last two contradict each other.
"""

from __future__ import annotations

from .aer_inject import AerInject
from .hardware import Hardware, Machine
from .iov import Iov
from .locking import init_rwsem, mutex_init
from .portdrv import Portdrv
from .sysfs import Sysfs


class Kernel(Sysfs, Iov, Portdrv, AerInject):
    """A kernel that has booted on *machine*: enumerated, ports bound, no other drivers.

    Args:
        machine: what enumeration finds; the default is an empty machine.
        policy: what pci_bus_sem prefers: "writer", "fair" (as the kernel) or "reader".
        time_scale: how long a second of the kernel's sleeps lasts; 0 lets others run, no more.
        dmesg_lines: how many lines the log keeps.
        probe_on_worker: whether drivers probe on a worker thread (a machine with NUMA nodes).
    """

    name = ""

    def __init__(self, machine: Machine | None = None, *, policy: str = "writer",
                 time_scale: float = 0.0, dmesg_lines: int = 1000,
                 probe_on_worker: bool = False) -> None:
        self.hardware = Hardware(machine or Machine())
        self.time_scale = time_scale
        self.probe_on_worker = probe_on_worker
        self.pci_bus_sem = init_rwsem("&pci_bus_sem", policy=policy)
        self.pci_rescan_remove_lock = mutex_init("&pci_rescan_remove_lock")
        self.pci_slot_mutex = mutex_init("&pci_slot_mutex")
        self.aspm_lock = mutex_init("&aspm_lock")
        self.pci_root_buses = []
        self.setup_log_buf(dmesg_lines)
        self.workqueue_init()
        self.start_kernel()

    def __repr__(self) -> str:
        return f"<Kernel {self.name}>"

    def start_kernel(self) -> None:
        """Run the initcalls, enumerate, bind the port driver to the ports.

        Kernel: start_kernel(), init/main.c
        Locks:  via pci_scan_root_bus: as pci_scan_root_bus;
                via pci_bus_add_devices: as pci_bus_add_devices;
                via pcie_portdrv_init: as pcie_portdrv_init
        Called with: nothing else running
        Returns: nothing
        Left out: everything else
        """
        self.devices_init()
        self.bus_register()
        self.deferred_probe_initcall()
        self.aer_service_init()
        self.aer_inject_init()
        root = self.pci_scan_root_bus(0)
        self.pci_bus_add_devices(root)
        self.pcie_portdrv_init()
