"""What the tests of the model share: one card with VFs, its drivers, and what is at rest."""

import threading

from pcimodel.hardware import Endpoint, Machine, RootPort, Sriov
from pcimodel.pci import PciDriver
from pcimodel.pci_regs import PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE, PCI_SRIOV_NUM_VF
from pcimodel.trees.v4_14 import V4_14

PORT, PF = "0000:00:03.0", "0000:01:00.0"
IGB, IGBVF = (0x8086, 0x10C9), (0x8086, 0x1520)


def boot(sriov=None, tree=V4_14, spare_buses=0, no_room_for_bus=(), below=None, **options):
    """Boot a machine with one root port and one network card below it."""
    card = {"00.0": Endpoint(*IGB, sriov=sriov or Sriov()), **(below or {})}
    machine = Machine({"03.0": RootPort(card, spare_buses=spare_buses)},
                      frozenset(no_room_for_bus))
    return tree(machine, **options)


def find(kernel, name):
    """Return a device by name, without a reference; None if there is none."""
    dev = kernel.bus_find_device_by_name(name)
    kernel.pci_dev_put(dev)
    return dev


def load(kernel, name="igb", ids=IGB, **callbacks):
    """Register a driver with the callbacks given; its probe accepts everything by default."""
    callbacks.setdefault("probe", lambda dev, id: 0)
    driver = PciDriver(name, [ids], **callbacks)
    kernel.pci_register_driver(driver)
    return driver


def names(kernel):
    """Return the names of all PCI devices in the order in which they were added."""
    return [dev.name for dev in kernel.klist_devices.items()]


def vfs(kernel):
    """Return the names of all VFs."""
    return [dev.name for dev in kernel.klist_devices.items() if dev.is_virtfn]


def sriov_state(kernel, pf):
    """Return (num_VFs, the NumVFs register, whether VF Enable is set)."""
    control = kernel.pci_read_config_word(pf, pf.sriov.pos + PCI_SRIOV_CTRL)
    number = kernel.pci_read_config_word(pf, pf.sriov.pos + PCI_SRIOV_NUM_VF)
    return pf.sriov.num_VFs, number, bool(control & PCI_SRIOV_CTRL_VFE)


def join_kworkers():
    """Wait until all kworkers have run out of work; flush_work returns a little earlier."""
    for thread in threading.enumerate():
        if thread.name.startswith("kworker/"):
            thread.join()
