"""What is done in a world and how it is undone, for tests of what fails on the way: each operation
has a function that builds the world, one that acts and one that undoes it.
"""

from model_failures import remembering
from model_worlds import IGB, PF, PORT, boot, find

from pcimodel.aerdrv import AER_FATAL, AER_NONFATAL
from pcimodel.device import device_lock
from pcimodel.hardware import Endpoint, Sriov
from pcimodel.lab import drivers

SECOND = "0000:01:00.1"


def world(second=None, igb=True, **sriov):
    """Boot with a PF whose VF 0 is on its own bus number and VF 1 on the next; load drivers."""
    kernel = boot(Sriov(offset=0xFE, stride=2, **sriov), remembering(), spare_buses=1,
                  below={"00.1": second} if second else {})
    kernel.igb = drivers.igb(kernel)
    for driver in [drivers.igbvf(kernel)] + [kernel.igb] * igb:
        kernel.pci_register_driver(driver)
    for dev in kernel.for_each_pci_dev():
        dev.state_saved = True    # a driver that goes does not take it along
    return kernel


def pair(igb=True):
    return world(Endpoint(*IGB, sriov=Sriov(offset=0x90)), igb, link=1)


class Enable:
    build = staticmethod(pair)

    def act(kernel):
        with device_lock(find(kernel, PF)):
            return kernel.pci_enable_sriov(find(kernel, PF), 2)

    def undo(kernel):
        with device_lock(find(kernel, PF)):
            kernel.pci_disable_sriov(find(kernel, PF))


class Store:
    build = staticmethod(world)

    def act(kernel):
        return kernel.sriov_numvfs_store(find(kernel, PF), "2")

    def undo(kernel):
        assert kernel.sriov_numvfs_store(find(kernel, PF), "0") == 1


class Load:
    def build():
        return world(igb=False)

    def act(kernel):
        return kernel.pci_register_driver(kernel.igb)

    def undo(kernel):
        kernel.pci_unregister_driver(kernel.igb)


class Unbind:
    build = staticmethod(world)

    def act(kernel):
        return kernel.unbind_store(kernel.igb, PF)

    def undo(kernel):
        return kernel.bind_store(kernel.igb, PF)


class Bind:
    act, undo = Unbind.undo, Unbind.act

    def build():
        kernel = world()
        kernel.unbind_store(kernel.igb, PF)
        return kernel


class Rescan:
    """The root port and all below it come back."""

    def build():
        kernel = world()
        kernel.remove_store(find(kernel, PORT), "1")
        return kernel

    def act(kernel):
        return kernel.bus_rescan_store("1")

    def undo(kernel):
        if find(kernel, PORT) is not None:
            kernel.remove_store(find(kernel, PORT), "1")


class RescanSecond:
    """The second PF of a card comes back; it refers to the first."""

    act = Rescan.act

    def build():
        kernel = pair()
        kernel.remove_store(find(kernel, SECOND), "1")
        return kernel

    def undo(kernel):
        if find(kernel, SECOND) is not None:
            kernel.remove_store(find(kernel, SECOND), "1")


class Recover:
    def build():
        kernel = world()
        kernel.worker = kernel.create_worker(0)
        kernel.pci_enable_pcie_error_reporting(find(kernel, PF))
        return kernel

    def act(kernel, severity=AER_NONFATAL):
        answer = kernel.aer_inject(find(kernel, PF), severity)
        kernel.worker.worker_thread()
        return answer or kernel.dmesg[-1].split(": ")[-1]

    def undo(kernel):
        return None


class RecoverFatal:
    build, undo = Recover.build, Recover.undo

    def act(kernel):
        return Recover.act(kernel, AER_FATAL)


class Firmware:
    build, undo = Recover.build, Recover.undo

    def act(kernel):
        kernel.aer_recover_queue(0, 1, 0, AER_NONFATAL)
        kernel.worker.worker_thread()
        return kernel.dmesg[-1].split(": ")[-1]
