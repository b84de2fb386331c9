"""Removal: the order of stopping and removing, and what is left."""

from model_worlds import IGB, IGBVF, PF, PORT, boot, find, load, names, vfs

from pcimodel.hardware import Endpoint, Machine, RootPort, Switch
from pcimodel.trees.v4_14 import V4_14


class Telling(V4_14):
    """Notes what is stopped and what is destroyed."""

    def pci_stop_dev(self, dev):
        self.told.append(("stop", dev.name))
        super().pci_stop_dev(dev)

    def pci_destroy_dev(self, dev):
        self.told.append(("destroy", dev.name))
        super().pci_destroy_dev(dev)


def test_children_are_stopped_in_reverse_and_then_removed_forward():
    kernel = Telling(Machine({"03.0": RootPort({"00.0": Switch(
        {"00.0": Endpoint(), "00.1": Endpoint()}, {"00.0": Endpoint()})})}))
    kernel.told = []
    kernel.pci_stop_and_remove_bus_device_locked(find(kernel, PORT))
    assert kernel.told == [
        ("stop", name) for name in ("0000:04:00.0", "0000:02:01.0", "0000:03:00.1",
                                    "0000:03:00.0", "0000:02:00.0", "0000:01:00.0", PORT)] + [
        ("destroy", name) for name in ("0000:03:00.0", "0000:03:00.1", "0000:02:00.0",
                                       "0000:04:00.0", "0000:02:01.0", "0000:01:00.0", PORT)]
    assert names(kernel) == []


def test_vfs_lose_their_drivers_before_the_pf_does():
    kernel, gone = boot(), []
    load(kernel, "igbvf", IGBVF, remove=lambda dev: gone.append(dev.name))

    def remove(dev):
        gone.append(dev.name)
        kernel.pci_disable_sriov(dev)
    load(kernel, "igb", IGB, remove=remove,
         probe=lambda dev, id: kernel.pci_enable_sriov(dev, 2))
    kernel.pci_stop_and_remove_bus_device_locked(find(kernel, PORT))
    assert gone == ["0000:01:10.2", "0000:01:10.0", PF]
    assert names(kernel) == []


def test_everything_is_freed_when_it_is_removed():
    kernel = boot()
    port, pf, bus = find(kernel, PORT), find(kernel, PF), find(kernel, PF).bus
    load(kernel, "igb", IGB)
    kernel.pci_stop_and_remove_bus_device_locked(port)
    assert [thing.refcount for thing in (port, pf, bus)] == [0, 0, 0]
    assert port.freed and pf.freed and bus.dev.freed and port.subordinate is None
    assert kernel.pci_root_buses[0].devices == [] and kernel.pci_root_buses[0].children == []
    assert not [line for line in kernel.dmesg if "WARNING" in line]


def test_reference_keeps_the_memory_and_nothing_else():
    kernel = boot()
    pf = kernel.pci_dev_get(find(kernel, PF))
    kernel.pci_stop_and_remove_bus_device_locked(pf)
    assert not pf.freed and pf.refcount == 1 and pf.kobj_parent is None
    assert pf not in pf.bus.devices and find(kernel, PF) is None and pf.bus.refcount == 2
    kernel.pci_dev_put(pf)
    assert pf.freed and pf.bus.refcount == 1


def test_device_that_is_gone_is_not_removed_again():
    kernel = boot()
    pf = kernel.pci_dev_get(find(kernel, PF))
    for _ in range(2):
        kernel.pci_stop_and_remove_bus_device_locked(pf)
    assert pf.refcount == 1


def test_removing_a_vf_takes_its_lock_twice_and_the_semaphore_once_for_writing():
    taken = []

    class Noting(V4_14):
        def device_release_driver_internal(self, dev, drv, parent):
            taken.append((dev.name, dev.is_added, dev in dev.bus.devices))
            super().device_release_driver_internal(dev, drv, parent)
    kernel = boot(tree=Noting)
    kernel.pci_enable_sriov(find(kernel, PF), 1)
    kernel.pci_iov_remove_virtfn(find(kernel, PF), 0)
    assert taken == [("0000:01:10.0", True, True), ("0000:01:10.0", False, True)]


def test_locked_variant_holds_the_rescan_lock_and_the_plain_one_does_not():
    held = []

    class Noting(V4_14):
        def pci_stop_dev(self, dev):
            held.append(self.pci_rescan_remove_lock.locked())
            super().pci_stop_dev(dev)
    kernel = boot(tree=Noting)
    kernel.pci_enable_sriov(find(kernel, PF), 1)
    kernel.pci_disable_sriov(find(kernel, PF))
    kernel.pci_stop_and_remove_bus_device_locked(find(kernel, PF))
    assert held == [False, True] and not kernel.pci_rescan_remove_lock.locked()


def test_vfs_whose_driver_left_them_on_outlive_their_pf():
    kernel = boot()
    load(kernel, "igb", IGB, probe=lambda dev, id: kernel.pci_enable_sriov(dev, 1))
    pf = find(kernel, PF)
    kernel.pci_stop_and_remove_bus_device_locked(pf)
    assert vfs(kernel) == ["0000:01:10.0"] and not pf.freed and pf.refcount == 1


def test_link_is_forgotten_with_the_last_function_behind_it():
    kernel = boot(below={"00.1": Endpoint()})
    port = find(kernel, PORT)
    states = [port.link_state]
    for name in (PF, "0000:01:00.1"):
        kernel.pci_stop_and_remove_bus_device_locked(find(kernel, name))
        states.append(port.link_state)
    assert states == [True, True, False]
