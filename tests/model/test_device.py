"""struct device: its life, its references, its name; the klist; the log."""

import errno
import threading

import pytest
from model_worlds import PF, boot, find

from pcimodel.device import Device
from pcimodel.klist import Klist
from pcimodel.pci_regs import PCI_COMMAND, PCI_COMMAND_MEMORY, PCI_EXT_CAP_ID_ERR
from pcimodel.trees import TREES, tree
from pcimodel.trees.v4_14 import V4_14


@pytest.fixture
def kernel():
    return V4_14()


def test_device_lives_from_its_first_to_its_last_reference(kernel):
    freed, dev = [], Device("thing")
    dev.release = freed.append
    assert (kernel.device_register(dev), dev.refcount) == (0, 1)
    kernel.get_device(dev)
    kernel.device_unregister(dev)
    assert (freed, dev.refcount, kernel.device_is_registered(dev)) == ([], 1, False)
    kernel.put_device(dev)
    assert freed == [dev] and dev.freed


def test_reference_on_a_freed_device_is_a_warning(kernel):
    dev = Device("thing")
    kernel.device_initialize(dev)
    kernel.put_device(dev)
    kernel.get_device(dev)
    kernel.put_device(dev)
    assert dev.refcount == 0 and list(kernel.dmesg) == [
        "WARNING: refcount_t: increment on 0; use-after-free (thing)",
        "WARNING: refcount_t: underflow; use-after-free (thing)"]


def test_no_device_has_no_references(kernel):
    assert kernel.get_device(None) is None and kernel.put_device(None) is None


def test_name_is_needed_and_given_once(kernel):
    devices = [Device("thing"), Device("thing"), Device()]
    assert [kernel.device_register(dev) for dev in devices] == [0, -errno.EEXIST, -errno.EINVAL]
    assert [kernel.device_is_registered(dev) for dev in devices] == [True, False, False]


def test_link_needs_a_target_and_a_free_name(kernel):
    dev, target = Device("dev"), Device("target")
    kernel.device_register(dev)
    answers = [kernel.sysfs_create_link(dev, target, "to")]
    kernel.device_register(target)
    answers += [kernel.sysfs_create_link(dev, other, "to") for other in (target, dev)]
    assert answers == [-errno.ENOENT, 0, -errno.EEXIST] and dev.links == {"to": target}
    kernel.sysfs_remove_link(dev, "to")
    assert dev.links == {}


def test_user_space_hears_of_devices_that_come_and_go(kernel):
    dev = Device("thing")
    kernel.device_register(dev)
    kernel.device_unregister(dev)
    assert kernel.uevents[-2:] == [("add", "thing"), ("remove", "thing")]


def test_references_are_counted_by_many_threads(kernel):
    dev = Device("thing")
    kernel.device_initialize(dev)

    def churn():
        for _ in range(2000):
            kernel.get_device(dev)
            kernel.put_device(dev)
    threads = [threading.Thread(target=churn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert dev.refcount == 1 and not kernel.dmesg


def test_mutex_of_a_device_has_its_name_and_the_class_of_all(kernel):
    kernel = boot()
    mutex = find(kernel, PF).mutex
    assert (mutex.name, mutex.lock_class) == (PF, "&dev->mutex")
    assert mutex.lock_class.novalidate == "lockdep_set_novalidate_class() exempts it"
    assert find(kernel, PF).cfg_lock.lock_class == "dev->block_cfg_access"


def walk(klist, counts):
    """Walk *klist* with references that are counted in *counts*."""
    def change(by):
        return lambda item: counts.__setitem__(item, counts.get(item, 0) + by)
    return klist.walk(change(+1), change(-1))


def test_klist_walk_goes_on_behind_an_entry_that_was_deleted_under_it():
    klist, counts, seen = Klist(), {}, []
    a, b, c, d, e = (Device(name) for name in "abcde")
    for item in (a, b, c, d):
        klist.add_tail(item)
    for item in walk(klist, counts):
        seen.append(item)
        if item is b:
            klist.remove(b)
            klist.remove(c)
            klist.add_tail(e)
    assert seen == [a, b, d, e] and klist.items() == [a, d, e]
    assert set(counts.values()) == {0} and len(klist.nodes) == 3


def test_klist_walk_that_ends_early_lets_go_of_its_entry():
    klist, counts = Klist(), {}
    dev = Device("a")
    klist.add_tail(dev)
    iterator = walk(klist, counts)
    assert (next(iterator), counts) == (dev, {dev: 1})
    klist.remove(dev)
    assert klist.items() == [] and len(klist.nodes) == 1
    iterator.close()
    assert (counts, klist.nodes) == ({dev: 0}, [])


def test_klist_finds_its_last_live_entry_and_takes_the_reference_under_its_lock():
    klist, taken = Klist(), []
    for item in "abc":
        klist.add_tail(item)
    walks = [klist.walk(lambda item: None, lambda item: None) for _ in "bc"]
    assert [next(walks[0]) for _ in "abc"] == ["a", "b", "c"]
    assert [next(walks[1]) for _ in "ab"] == ["a", "b"]

    def get(item):
        taken.append((item, klist.k_lock.locked()))

    for gone in "", "c", "b", "a":    # the last two of these stay linked, dead
        klist.remove(gone)
        klist.last(get)
    assert (taken, klist.last(get)) == ([("c", True), ("b", True), ("a", True)], None)
    assert [node.dead for node in klist.nodes] == [True, True]
    assert [list(walk) for walk in walks] == [[], []] and klist.nodes == []


def test_klist_entry_that_was_added_twice_is_deleted_once_the_first_time_first():
    klist, seen = Klist(), []
    for item in "aba":
        klist.add_tail(item)
    for _ in range(3):
        klist.remove("a")
        seen.append(klist.items())
    assert seen == [["b", "a"], ["b"], ["b"]]


def test_log_is_a_ring_whose_lines_have_levels():
    kernel = V4_14(dmesg_lines=2)
    for number in range(3):
        kernel.printk(6, f"line {number}")
    assert list(kernel.dmesg) == ["line 1", "line 2"] and kernel.dmesg[0].level == 6


def test_lines_of_a_device_begin_with_its_driver_or_its_bus():
    kernel = boot()
    pf = find(kernel, PF)
    kernel.dev_info(pf, "without")
    pf.dev_driver = type("Driver", (), {"name": "igb"})
    kernel.dev_err(pf, "with")
    kernel.dev_warn(Device("thing"), "neither")
    kernel.WARN("of the kernel's own")
    assert [(line, line.level) for line in kernel.dmesg] == [
        (f"pci {PF}: without", 6), (f"igb {PF}: with", 3), ("thing: neither", 4),
        ("WARNING: of the kernel's own", 4)]


def test_config_space_is_all_ones_where_nobody_answers():
    kernel = boot()
    pf = find(kernel, PF)
    pf.config.responds = False
    reads = [kernel.pci_read_config_byte, kernel.pci_read_config_word, kernel.pci_read_config_dword]
    assert [read(pf, 0) for read in reads] == [0xFF, 0xFFFF, 0xFFFFFFFF]
    kernel.pci_write_config_word(pf, PCI_COMMAND, 1)
    pf.config.responds = True
    assert kernel.pci_read_config_word(pf, PCI_COMMAND) == 0


def test_function_without_a_config_space_reads_as_all_ones_and_loses_writes():
    kernel = boot()
    pf = find(kernel, PF)
    pf.config = None
    reads = [kernel.pci_read_config_byte, kernel.pci_read_config_word, kernel.pci_read_config_dword]
    writes = [kernel.pci_write_config_word, kernel.pci_write_config_dword]
    assert [read(pf, 0) for read in reads] == [0xFF, 0xFFFF, 0xFFFFFFFF]
    assert [write(pf, 0, 1) for write in writes] == [None, None]
    assert kernel.pci_find_ext_capability(pf, PCI_EXT_CAP_ID_ERR) == 0


@pytest.mark.parametrize("size, shown", [(1, 0x78), (2, 0x5678), (4, 0x12345678)])
def test_register_is_read_in_the_width_that_was_asked_for(size, shown):
    kernel = boot()
    find(kernel, PF).config.write(0x80, 0x12345678)
    read = {1: kernel.pci_read_config_byte, 2: kernel.pci_read_config_word,
            4: kernel.pci_read_config_dword}[size]
    assert read(find(kernel, PF), 0x80) == shown


def test_links_go_with_the_directory_of_their_device(kernel):
    dev = Device("thing")
    kernel.device_register(dev)
    kernel.sysfs_create_link(dev, dev, "self")
    kernel.device_del(dev)
    assert dev.links == {}


def test_state_is_saved_until_it_is_restored():
    kernel, states = boot(), []
    pf = find(kernel, PF)
    for call in kernel.pci_save_state, kernel.pci_restore_state:
        call(pf)
        states.append(pf.state_saved)
    assert states == [True, False]


def test_device_decodes_from_its_first_enable_to_its_last_disable():
    kernel = boot()
    pf, states = find(kernel, PF), []
    for call in (kernel.pci_enable_device, kernel.pci_enable_device, kernel.pci_disable_device,
                 kernel.pci_disable_device):
        call(pf)
        states.append((pf.enable_cnt, kernel.pci_read_config_word(pf, PCI_COMMAND)))
    on = PCI_COMMAND_MEMORY
    assert states == [(1, on), (2, on), (1, on), (0, 0)]


def test_status_bits_are_cleared_by_writing_1():
    kernel = boot()
    pf = find(kernel, PF)
    pf.config.raise_bits(pf.aer_cap + 4, 0b111)
    kernel.pci_write_config_dword(pf, pf.aer_cap + 4, 0b010)
    assert kernel.pci_read_config_dword(pf, pf.aer_cap + 4) == 0b101


def test_tree_is_found_by_name_and_unknown_ones_are_refused():
    assert tree("v4.14") is TREES["v4.14"] is V4_14
    with pytest.raises(ValueError, match=r"^unknown kernel tree 'v1.0' \(there are: v4.14\)$"):
        tree("v1.0")


def test_sleeps_last_as_long_as_the_world_says(monkeypatch):
    kernel, slept = V4_14(time_scale=0.5), []
    monkeypatch.setattr("pcimodel.locking.time.sleep", slept.append)
    kernel.msleep(100)
    assert slept == [0.05]
