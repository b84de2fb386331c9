"""pci_walk_bus and pci_bus_add_device(s)."""

import errno

from model_worlds import IGB, IGBVF, PF, PORT, boot, find, load

from pcimodel.hardware import Endpoint, Machine, RootPort, Sriov, Switch
from pcimodel.trees.v4_14 import V4_14

TWO_CARDS = Machine({
    "03.0": RootPort({"00.0": Switch({"00.0": Endpoint(sriov=Sriov())}, {"00.0": Endpoint()})}),
    "04.0": RootPort({"00.0": Endpoint()})})


def walk(kernel, top, stop_at=None):
    """Return the names of the devices visited."""
    visited = []

    def note(dev, userdata):
        visited.append(dev.name)
        return dev.name == stop_at
    kernel.pci_walk_bus(top, note, None)
    return visited


def test_walk_visits_bridges_before_what_is_below_and_siblings_in_list_order():
    kernel = V4_14(TWO_CARDS)
    assert walk(kernel, kernel.pci_root_buses[0]) == [
        "0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:02:01.0",
        "0000:04:00.0", "0000:00:04.0", "0000:05:00.0"]


def test_walk_ends_with_the_bus_it_began_on():
    kernel = V4_14(TWO_CARDS)
    assert walk(kernel, find(kernel, "0000:02:00.0").bus) == [
        "0000:02:00.0", "0000:03:00.0", "0000:02:01.0", "0000:04:00.0"]


def test_walk_stops_everywhere_when_callback_returns_nonzero():
    kernel = V4_14(TWO_CARDS)
    assert walk(kernel, kernel.pci_root_buses[0], stop_at="0000:03:00.0") == [
        "0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:03:00.0"]


def test_walk_visits_a_pf_before_its_vfs():
    kernel = boot()
    kernel.pci_enable_sriov(find(kernel, PF), 2)
    assert walk(kernel, find(kernel, PF).bus) == [PF, "0000:01:10.0", "0000:01:10.2"]


def test_walk_from_above_misses_the_vfs_on_a_virtual_bus():
    kernel = boot(Sriov(offset=0x100), spare_buses=1)
    kernel.pci_enable_sriov(find(kernel, PF), 1)
    assert walk(kernel, kernel.pci_root_buses[0]) == [PORT, PF]
    assert walk(kernel, find(kernel, "0000:02:00.0").bus) == ["0000:02:00.0"]


def test_walk_of_an_empty_bus_visits_nothing():
    kernel = V4_14(Machine())
    assert walk(kernel, kernel.pci_root_buses[0]) == []


def test_semaphore_is_held_for_reading_across_the_callback_and_free_afterwards():
    kernel, free = boot(), []
    kernel.pci_walk_bus(kernel.pci_root_buses[0], lambda dev, data: free.append(
        kernel.pci_bus_sem.down_write_trylock()), None)
    assert free == [False, False]
    assert kernel.pci_bus_sem.down_write_trylock()
    kernel.pci_bus_sem.up_write()


def test_walk_finds_its_next_place_before_the_callback():
    kernel = V4_14(TWO_CARDS)
    visited = []

    def lose_the_bus(dev, userdata):
        visited.append(dev.name)
        if dev.name == "0000:02:00.0":
            dev.subordinate = None
    kernel.pci_walk_bus(find(kernel, "0000:02:00.0").bus, lose_the_bus, None)
    assert visited[:2] == ["0000:02:00.0", "0000:03:00.0"]


def test_device_has_no_driver_before_it_is_added_for_drivers():
    kernel = boot()
    load(kernel, "igb", IGB)
    pf = find(kernel, PF)
    kernel.device_release_driver(pf)
    pf.match_driver = False
    assert kernel.device_attach(pf) == 0 and pf.driver is None
    kernel.pci_bus_add_device(pf)
    assert pf.driver.name == "igb" and pf.is_added


def test_attach_that_fails_is_logged_and_leaves_the_device_not_added():
    class Failing(V4_14):
        def device_attach(self, dev):
            return -errno.ENOMEM if getattr(dev, "is_virtfn", False) else super().device_attach(dev)
    kernel = boot(tree=Failing)
    assert kernel.pci_enable_sriov(find(kernel, PF), 1) == 0
    vf = find(kernel, "0000:01:10.0")
    assert not vf.is_added and vf.match_driver
    assert kernel.dmesg[-1] == "pci 0000:01:10.0: device attach failed (-12)"


def test_vf_driver_is_probed_under_the_locks_of_pf_and_vf():
    kernel, held = boot(), []

    def probe(dev, id):
        held.append([find(kernel, name).mutex.locked() for name in (PORT, PF, dev.name)])
        return 0
    load(kernel, "igbvf", IGBVF, probe=probe)
    load(kernel, "igb", IGB, sriov_configure=lambda dev, n: kernel.pci_enable_sriov(dev, n) or n)
    assert kernel.sriov_numvfs_store(find(kernel, PF), "1") == 1
    # A device that appears is attached without its parent's lock.
    assert held == [[False, True, True]]


def test_bus_references_are_counted():
    kernel = boot()
    bus = find(kernel, PF).bus
    assert bus.refcount == 2     # its creation, and the PF
    assert kernel.pci_bus_get(bus) is bus and bus.refcount == 3
    kernel.pci_bus_put(bus)
    assert bus.refcount == 2


def test_nothing_behind_a_bridge_that_could_not_be_added_is_added():
    class Failing(V4_14):
        def device_attach(self, dev):
            return -errno.EIO if dev.name == "0000:01:00.0" else super().device_attach(dev)
    kernel = Failing(Machine({"03.0": RootPort({"00.0": Switch({"00.0": Endpoint()})})}))
    added = {dev.name: dev.is_added for dev in kernel.for_each_pci_dev()}
    assert added == {"0000:00:03.0": True, "0000:01:00.0": False, "0000:02:00.0": False,
                     "0000:03:00.0": False}
