"""Ways into the model, each a function of a kernel class, run as a role: together they take every
lock the model documents.
"""

from __future__ import annotations

import threading

from pcimodel.aerdrv import AER_CORRECTABLE, AER_FATAL, AER_NONFATAL
from pcimodel.hardware import Endpoint, Machine, RootPort, Sriov, Switch
from pcimodel.lab import drivers
from pcimodel.workqueue import WorkStruct

PF = "0000:01:00.0"


def boot(tree, sriov=None, second=None, awaits=(), **world):
    """Boot a machine with a network card, a disk and a switch; its kworkers stay until they are
    waited for.
    """

    class Observable(tree):
        awaited = frozenset(awaits)    # names of work items that end once someone waits for them

        def process_one_work(self, worker, work):
            func = work.func

            def linger(item):
                func(item)
                while item.name in self.awaited and not item.running_barriers:
                    pass    # the interpreter lets the others run by itself
            work.func = linger
            try:
                super().process_one_work(worker, work)
            finally:
                work.func = func

    card = Endpoint(*drivers.IGB, sriov=sriov or Sriov())
    disk = Endpoint(*drivers.NVME)
    below = {"00.0": card} if second is None else {"00.0": card, "00.1": second}
    ports = {"03.0": RootPort(below, spare_buses=1),
             "04.0": RootPort({"00.0": Switch({"00.0": disk}, {"00.0": disk})})}
    kernel = Observable(Machine(ports), **world)
    kernel.pci_register_driver(drivers.nvme(kernel))
    kernel.pci_register_driver(drivers.igbvf(kernel))
    return kernel


def find(kernel, name):
    """Return the device of that name, without a reference."""
    return next(dev for dev in kernel.for_each_pci_dev() if dev.name == name)


def until_it_runs(work):
    """Let the other threads go on until a kworker has *work*."""
    while work.worker is None:
        pass


def settle():
    """Wait for the kworkers that are busy."""
    for thread in threading.enumerate():
        if thread.name.startswith("kworker/"):
            thread.join()


def module_load_and_unload(tree):
    kernel = boot(tree)
    igb = drivers.igb(kernel, max_vfs=2)
    kernel.pci_register_driver(igb)
    settle()
    kernel.pci_unregister_driver(igb)


def sysfs(tree):
    kernel = boot(tree)
    igb = drivers.igb(kernel)
    kernel.pci_register_driver(igb)
    pf = find(kernel, PF)
    for number in "2", "0":
        kernel.sriov_numvfs_store(pf, number)
        settle()
    kernel.unbind_store(igb, PF)
    kernel.bind_store(igb, PF)
    disk = find(kernel, "0000:05:00.0")
    port = disk.bus.self
    kernel.remove_store(disk, "1")
    kernel.bus_rescan_store("1")
    kernel.remove_store(find(kernel, "0000:05:00.0"), "1")
    kernel.dev_rescan_store(port, "1")
    kernel.remove_store(pf, "1")


def probes_that_enable_vfs(tree):
    kernel = boot(tree)
    igb = drivers.igb(kernel, max_vfs=1)
    kernel.pci_register_driver(igb)
    settle()
    kernel.unbind_store(igb, PF)
    kernel.bind_store(igb, PF)
    settle()
    for rescan in (kernel.bus_rescan_store,
                   lambda buf: kernel.dev_rescan_store(find(kernel, "0000:00:04.0"), buf)):
        kernel.remove_store(find(kernel, PF).bus.self, "1")
        rescan("1")
        settle()


def functions_that_depend_on_each_other(tree):
    kernel = boot(tree, Sriov(link=1), second=Endpoint(*drivers.IGB, sriov=Sriov()))
    kernel.pci_register_driver(drivers.igb(kernel))
    kernel.sriov_numvfs_store(find(kernel, PF), "1")
    settle()


def vfs_on_another_bus(tree):
    kernel = boot(tree, Sriov(offset=0x100))
    kernel.pci_register_driver(drivers.igb(kernel))
    pf = find(kernel, PF)
    kernel.sriov_numvfs_store(pf, "2")
    settle()
    kernel.sriov_numvfs_store(pf, "0")


def vfs_that_fail(tree):
    kernel = boot(tree, Sriov(unreadable_vfs=frozenset({1})))
    igb = drivers.igb(kernel)
    igb.virtfn_failed = lambda pf, id, err: None
    kernel.pci_register_driver(igb)
    kernel.sriov_numvfs_store(find(kernel, PF), "3")
    settle()


def turn_on_until_vfs_are_added(kernel):
    """Turn two VFs on; where a kworker adds them, it is about to, and ends when it is waited for:
    one that has not begun is taken off its list, and nobody waits.
    """
    pf = find(kernel, PF)
    kernel.sriov_numvfs_store(pf, "2")
    if hasattr(pf.sriov, "add_work"):
        until_it_runs(pf.sriov.add_work)


def disable_while_vfs_are_added(tree):
    kernel = boot(tree)
    kernel.awaited = {"iov->add_work"}
    kernel.pci_register_driver(drivers.igb(kernel))
    turn_on_until_vfs_are_added(kernel)
    kernel.sriov_numvfs_store(find(kernel, PF), "0")
    settle()


def unplug_while_vfs_are_added(tree):
    kernel = boot(tree)
    igb = drivers.igb(kernel)
    igb.remove = lambda pdev: None     # a driver that leaves its VFs on
    kernel.awaited = {"iov->add_work"}
    kernel.pci_register_driver(igb)
    turn_on_until_vfs_are_added(kernel)
    kernel.remove_store(find(kernel, PF), "1")
    settle()


def recovery(tree):
    kernel = boot(tree)
    kernel.pci_register_driver(drivers.igb(kernel, max_vfs=2))
    settle()
    pf = find(kernel, PF)
    for severity in AER_CORRECTABLE, AER_NONFATAL, AER_FATAL:
        for dev in pf, kernel.pcie_find_root_port(pf):
            kernel.aer_inject(dev, severity)
            settle()
    kernel.awaited = {"rpc->dpc_handler"}
    kernel.aer_inject(pf, AER_NONFATAL)
    kernel.unbind_store(kernel.pcie_portdriver, kernel.pcie_find_root_port(pf).name)
    settle()


def recovery_by_firmware(tree):
    kernel = boot(tree)
    kernel.pci_register_driver(drivers.igb(kernel))
    kernel.aer_recover_queue(0, 1, 0, AER_NONFATAL)
    settle()


def probe_on_a_worker(tree):
    kernel = boot(tree, awaits={"wfc.work"}, probe_on_worker=True)
    kernel.pci_register_driver(drivers.igb(kernel, max_vfs=1))
    settle()


def work_items(tree):
    kernel = boot(tree)
    work = WorkStruct("work", lambda work: None)
    kernel.awaited = {"work"}
    for wait in kernel.flush_work, kernel.cancel_work_sync:
        kernel.schedule_work(work)
        until_it_runs(work)
        wait(work)
    settle()


PATHS = [module_load_and_unload, sysfs, probes_that_enable_vfs, functions_that_depend_on_each_other,
         vfs_on_another_bus, vfs_that_fail, disable_while_vfs_are_added, unplug_while_vfs_are_added,
         recovery, recovery_by_firmware, probe_on_a_worker, work_items]
