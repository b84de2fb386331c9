"""Enumeration: what is found, and where it is put."""

import errno

import pytest
from model_worlds import IGB, PF, PORT, boot, find, load, names

from pcimodel.hardware import Endpoint, Machine, Port, RootPort, Sriov, Switch, parse_devfn
from pcimodel.pci import PCI_DEVFN, PCI_FUNC, PCI_SLOT, pci_is_bridge, pci_is_root_bus
from pcimodel.pci_regs import (PCI_HEADER_TYPE, PCI_SRIOV_CTRL, PCI_SRIOV_INITIAL_VF,
                               PCI_SUBORDINATE_BUS)
from pcimodel.trees.v4_14 import V4_14


def test_switch_is_enumerated_depth_first():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Switch(
        {"00.0": Endpoint(device=1)}, {"00.0": Endpoint(device=2)})})}))
    assert names(kernel) == ["0000:00:03.0", "0000:01:00.0", "0000:02:00.0", "0000:02:01.0",
                             "0000:03:00.0", "0000:04:00.0"]
    assert [pci_is_bridge(find(kernel, name)) for name in names(kernel)] == [True] * 4 + [False] * 2


def test_bus_numbers_end_where_the_bridge_says():
    kernel = V4_14(Machine({
        "03.0": RootPort({"00.0": Endpoint()}, spare_buses=2), "04.0": RootPort({})}))
    first, second = (find(kernel, name).subordinate for name in ("0000:00:03.0", "0000:00:04.0"))
    assert [(bus.number, bus.busn_res_end) for bus in (first, second)] == [(1, 3), (4, 4)]
    assert kernel.pci_root_buses[0].busn_res_end == 0xFF


def test_bus_numbers_that_are_kept_free_end_with_the_last_there_is():
    kernel = V4_14(Machine({"03.0": RootPort({}, spare_buses=0x100)}))
    port = find(kernel, "0000:00:03.0")
    assert kernel.pci_read_config_byte(port, PCI_SUBORDINATE_BUS) == 0xFF
    assert kernel.hardware.root_bus_end == 0xFF


def test_as_many_functions_answer_as_were_enabled():
    kernel = boot()
    kernel.pci_enable_sriov(find(kernel, PF), 3)
    answering = [devfn for devfn in range(0x100) if kernel.hardware.config(1, devfn)]
    assert answering == [0, 0x80, 0x82, 0x84]


def test_bus_of_a_bridge_knows_its_bridge_and_its_parent():
    kernel = boot()
    port = find(kernel, PORT)
    bus, root = port.subordinate, kernel.pci_root_buses[0]
    assert bus.self is port and bus.parent is root and root.children == [bus]
    assert find(kernel, PF).parent is port and port.parent is root.bridge
    assert pci_is_root_bus(root) and not pci_is_root_bus(bus)


def test_functions_of_a_slot_are_all_found():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Endpoint(), "00.3": Endpoint()})}))
    assert names(kernel)[1:] == ["0000:01:00.0", "0000:01:00.3"]
    functions = [find(kernel, name) for name in names(kernel)[1:]]
    assert [dev.multifunction for dev in functions] == [True, True]
    assert [kernel.pci_read_config_byte(dev, PCI_HEADER_TYPE) for dev in functions] == [0x80] * 2


def test_only_slot_0_is_looked_at_behind_a_link():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Endpoint(), "05.0": Endpoint()})}))
    assert names(kernel) == [PORT, PF]


@pytest.mark.parametrize("functions, asked", [(["00.0"], [0]), (["00.0", "00.3"], [*range(8)])])
def test_other_functions_are_asked_for_where_the_first_says_that_there_are_some(functions, asked):
    kernel, seen = V4_14(Machine({"03.0": RootPort(dict.fromkeys(functions, Endpoint()))})), []
    scan = kernel.pci_scan_single_device
    kernel.pci_scan_single_device = lambda bus, devfn: seen.append(devfn) or scan(bus, devfn)
    kernel.pci_scan_slot(find(kernel, PORT).subordinate, 0)
    assert seen == asked


def test_capability_without_any_vf_makes_no_pf_and_is_no_failure():
    kernel = boot(Sriov(total_vfs=0))
    pf = find(kernel, PF)
    assert (kernel.pci_iov_init(pf), pf.is_physfn, pf.sriov) == (0, False, None)


def test_scan_of_a_slot_counts_what_is_new_in_it():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Endpoint(), "00.3": Endpoint()}),
                            "04.0": RootPort({})}))
    bus, empty = (find(kernel, name).subordinate for name in (PORT, "0000:00:04.0"))
    counts = [kernel.pci_scan_slot(bus, 0), kernel.pci_scan_slot(empty, 0)]
    kernel.remove_store(find(kernel, "0000:01:00.3"), "1")
    counts += [kernel.pci_scan_slot(bus, devfn) for devfn in (0, 8)]
    kernel.remove_store(find(kernel, PF), "1")
    kernel.remove_store(find(kernel, "0000:01:00.3"), "1")
    assert [*counts, kernel.pci_scan_slot(bus, 0)] == [0, 0, 1, 0, 2]


@pytest.mark.parametrize("offset, stride, there", [
    (0x80, 4, ["0000:01:10.0", "0000:01:10.4", "0000:01:11.0"]),
    (0xF8, 8, ["0000:01:1f.0", "0000:02:00.0", "0000:02:01.0"])])
def test_vfs_are_where_offset_and_stride_say(offset, stride, there):
    kernel = boot(Sriov(offset=offset, stride=stride, total_vfs=3), spare_buses=1)
    assert kernel.pci_enable_sriov(find(kernel, PF), 3) == 0
    assert [dev.name for dev in kernel.for_each_pci_dev() if dev.is_virtfn] == there


def test_initial_vfs_are_read_anew_when_vfs_are_enabled():
    kernel = boot(Sriov(total_vfs=4, initial_vfs=1, vf_migration=True))
    pf = find(kernel, PF)
    pf.config.registers[pf.sriov.pos + PCI_SRIOV_INITIAL_VF] = 3
    assert (kernel.pci_enable_sriov(pf, 4), pf.sriov.initial_VFs) == (0, 3)
    assert sum(dev.is_virtfn for dev in kernel.for_each_pci_dev()) == 3


def test_vfs_that_are_on_stay_as_they_are_when_they_are_turned_on_again():
    kernel = boot()
    pf = find(kernel, PF)
    kernel.pci_enable_sriov(pf, 1)
    before = kernel.hardware.config(1, 0x80)
    kernel.pci_write_config_word(pf, pf.sriov.pos + PCI_SRIOV_CTRL, pf.sriov.ctrl)
    assert kernel.hardware.config(1, 0x80) is before and before.responds


@pytest.mark.parametrize("aer", [True, False])
def test_vfs_have_aer_if_their_capability_says_so(aer):
    kernel = boot(Sriov(aer=aer))
    kernel.pci_enable_sriov(find(kernel, PF), 1)
    assert bool(find(kernel, "0000:01:10.0").aer_cap) is aer and find(kernel, PF).aer_cap


def test_function_without_function_0_is_not_found():
    assert names(V4_14(Machine({"03.0": RootPort({"00.1": Endpoint()})}))) == [PORT]


def test_bridge_without_a_bus_number_to_spare_has_nothing_below():
    kernel = boot(no_room_for_bus=[1])
    assert names(kernel) == [PORT] and find(kernel, PORT).subordinate is None
    assert kernel.pci_rescan_bus(kernel.pci_root_buses[0]) == 1    # as the firmware left it


def test_function_with_a_header_that_makes_no_sense_is_left_out():
    kernel = boot()
    bus = find(kernel, PF).bus
    find(kernel, PF).config.registers[PCI_HEADER_TYPE] = 2
    kernel.remove_store(find(kernel, PF), "1")
    kernel.bus_rescan_store("1")
    assert names(kernel) == [PORT] and bus.devices == [] and bus.refcount == 1
    assert kernel.dmesg[-1] == f"pci {PF}: unknown header type 02, ignoring device"


def test_aer_is_found_where_it_is():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Endpoint(aer=False)}),
                            "04.0": RootPort({}, aer=False)}))
    assert [bool(find(kernel, name).aer_cap) for name in names(kernel)] == [True, False, False]
    assert list(kernel.aer_services) == [find(kernel, PORT)]


def test_rescan_finds_what_was_removed_and_probes_it_under_the_rescan_lock():
    kernel, held = boot(), []
    load(kernel, "igb", IGB,
         probe=lambda dev, id: held.append(kernel.pci_rescan_remove_lock.locked()) or 0)
    kernel.pci_stop_and_remove_bus_device_locked(find(kernel, PF))
    with kernel.pci_lock_rescan_remove():
        kernel.pci_rescan_bus(kernel.pci_root_buses[0])
    assert names(kernel) == [PORT, PF] and held == [False, True]


def test_rescan_leaves_known_devices_alone():
    kernel = boot()
    kernel.pci_enable_sriov(find(kernel, PF), 2)
    before = [(dev, dev.refcount) for dev in kernel.klist_devices.items()]
    kernel.pci_rescan_bus(kernel.pci_root_buses[0])
    assert [(dev, dev.refcount) for dev in kernel.klist_devices.items()] == before


def test_pf_that_comes_back_has_its_vfs_off():
    kernel = boot()
    load(kernel, "igb", IGB, probe=lambda dev, id: kernel.pci_enable_sriov(dev, 1),
         remove=kernel.pci_disable_sriov)
    kernel.pci_stop_and_remove_bus_device_locked(find(kernel, PF))
    kernel.pci_rescan_bus(kernel.pci_root_buses[0])
    assert find(kernel, PF).sriov.num_VFs == 1 and find(kernel, "0000:01:10.0") is not None


def test_device_of_a_name_that_is_taken_is_a_warning_only():
    kernel = boot()
    kernel.devices_kset["0000:01:10.0"] = find(kernel, PF)
    kernel.pci_enable_sriov(find(kernel, PF), 1)
    assert f"WARNING: device_add of 0000:01:10.0 failed (-{errno.EEXIST})" in kernel.dmesg


@pytest.mark.parametrize("offset, buses", [(0x80, 0), (0x100, 1), (0xF6, 1), (0xF2, 0)])
def test_bus_numbers_that_vfs_may_need_are_counted(offset, buses):
    """Seven VFs, two routing ids from one to the next."""
    kernel = boot(Sriov(offset=offset), spare_buses=1)
    bus = find(kernel, PF).bus
    assert (kernel.pci_iov_bus_range(bus), kernel.pci_scan_child_bus(bus)) == (buses, 1 + buses)
    assert kernel.pci_iov_bus_range(kernel.pci_root_buses[0]) == 0


def test_highest_bus_number_of_a_scan_is_that_behind_the_last_bridge():
    kernel = V4_14(Machine({"03.0": RootPort({}, spare_buses=2), "04.0": RootPort({})}))
    assert kernel.pci_rescan_bus(kernel.pci_root_buses[0]) == 4


def test_bus_is_found_by_number_also_below_a_virtual_one():
    kernel = boot(Sriov(offset=0x100), spare_buses=1)
    assert kernel.pci_find_bus(0, 2) is None and kernel.pci_find_bus(1, 1) is None
    kernel.pci_enable_sriov(find(kernel, PF), 1)
    assert [kernel.pci_find_bus(0, number).number for number in (0, 1, 2)] == [0, 1, 2]


def test_bus_is_looked_for_below_each_bridge():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Switch({}, {})}), "04.0": RootPort({})}))
    assert [kernel.pci_find_bus(0, number).number for number in range(6)] == list(range(6))
    assert kernel.pci_find_bus(0, 6) is None


def test_bus_is_looked_for_below_each_host_bridge():
    kernel = boot()
    first, second = kernel.pci_root_buses[0], kernel.pci_register_host_bridge(0x80)
    assert [kernel.pci_find_bus(0, number) for number in (0, 0x80, 0x81)] == [first, second, None]
    assert [kernel.pci_find_next_bus(bus) for bus in (None, first, second)] == [first, second, None]
    assert (second.dev.parent, second.dev.kobj_parent) == (second.bridge,) * 2
    assert (second.bridge.name, second.busn_res_end, second.refcount) == ("pci0000:80", 0xFF, 1)


def test_device_that_is_added_has_no_saved_state_and_no_driver_may_have_it():
    kernel = boot()
    bus = find(kernel, PF).bus
    kernel.remove_store(find(kernel, PF), "1")
    dev = kernel.pci_scan_device(bus, 0)
    dev.state_saved = dev.match_driver = True
    kernel.pci_device_add(dev, bus)
    assert (dev.state_saved, dev.match_driver, dev.is_added) == (False, False, False)


def test_lookups_take_a_reference():
    kernel = boot()
    pf = find(kernel, PF)
    found = [kernel.pci_get_slot(pf.bus, 0), kernel.pci_get_domain_bus_and_slot(0, 1, 0)]
    assert found == [pf, pf] and pf.refcount == 3
    assert kernel.pci_get_slot(pf.bus, 8) is None
    assert kernel.pci_get_domain_bus_and_slot(0, 1, 8) is None


def test_devfn_is_a_slot_and_a_function():
    assert PCI_DEVFN(0x10, 2) == parse_devfn("10.2") == 0x82
    assert (PCI_SLOT(0x82), PCI_FUNC(0x82), parse_devfn("3")) == (0x10, 2, 0x18)


@pytest.mark.parametrize("text", ["20.0", "00.8", "x"])
def test_devfn_out_of_range_is_refused(text):
    with pytest.raises(ValueError):
        parse_devfn(text)


def test_two_worlds_on_one_machine_know_nothing_of_each_other():
    machine = Machine({"03.0": Port({"00.0": Endpoint(sriov=Sriov())})})
    one, other = V4_14(machine), V4_14(machine)
    one.pci_enable_sriov(find(one, PF), 2)
    assert (len(names(one)), len(names(other))) == (4, 2)
