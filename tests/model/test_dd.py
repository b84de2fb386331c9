"""The driver core: drivers that appear, devices that appear, and how they part."""

import errno
import threading

import pytest
from model_worlds import IGB, IGBVF, PF, PORT, boot, find, join_kworkers, load

from pcimodel.dd import EPROBE_DEFER
from pcimodel.device import device_lock
from pcimodel.hardware import Endpoint
from pcimodel.pci import PciDriver

OTHER = "0000:01:00.1"


def two_functions():
    return boot(below={"00.1": Endpoint(*IGB)})


def held_by(kernel, held):
    """Return a callback that notes which of port and device are locked."""
    def note(dev, *rest):
        held.append((find(kernel, PORT).mutex.locked(), dev.mutex.locked()))
        return 0
    return note


def test_driver_that_appears_is_probed_under_the_locks_of_parent_and_device():
    kernel, held = boot(), []
    load(kernel, probe=held_by(kernel, held))
    assert held == [(True, True)]


def test_device_that_appears_is_probed_under_its_own_lock_only():
    kernel, held = boot(), []
    kernel.pci_stop_and_remove_bus_device_locked(find(kernel, PF))
    load(kernel, probe=held_by(kernel, held))
    kernel.bus_rescan_store("1")
    assert held == [(False, True)]


def test_driver_that_goes_is_removed_under_the_locks_of_parent_and_device():
    kernel, held = boot(), []
    kernel.pci_unregister_driver(load(kernel, remove=held_by(kernel, held)))
    assert held == [(True, True)] and find(kernel, PF).driver is None


def test_device_that_goes_is_removed_under_its_own_lock_only():
    kernel, held = boot(), []
    load(kernel, remove=held_by(kernel, held))
    kernel.remove_store(find(kernel, PF), "1")
    assert held == [(False, True)]


def test_bound_device_has_one_reference_more_and_loses_it_again():
    kernel = boot()
    pf = find(kernel, PF)
    driver = load(kernel)
    assert (pf.refcount, pf.driver, pf.dev_driver) == (2, driver, driver)
    kernel.pci_unregister_driver(driver)
    assert (pf.refcount, pf.driver, pf.dev_driver) == (1, None, None)


@pytest.mark.parametrize("err, logged", [(errno.ENOMEM, True), (errno.ENODEV, False),
                                         (errno.ENXIO, False)])
def test_probe_that_fails_leaves_the_device_free_and_registration_succeeds(err, logged):
    kernel = boot()
    driver = PciDriver("igb", [IGB], probe=lambda dev, id: -err)
    assert kernel.pci_register_driver(driver) == 0
    pf = find(kernel, PF)
    assert (pf.refcount, pf.driver, pf.dev_driver) == (1, None, None)
    assert (f"igb: probe of {PF} failed with error -{err}" in kernel.dmesg) is logged


def test_failed_probe_lets_the_next_driver_try():
    kernel = boot()
    kernel.pci_stop_and_remove_bus_device_locked(find(kernel, PF))
    load(kernel, "first", probe=lambda dev, id: -errno.EIO)
    load(kernel, "second")
    load(kernel, "third")
    kernel.bus_rescan_store("1")
    assert find(kernel, PF).driver.name == "second"


def test_probe_that_wants_to_be_tried_later_is_remembered():
    kernel = boot()
    load(kernel, probe=lambda dev, id: -EPROBE_DEFER)
    assert list(kernel.deferred_probe_pending) == [find(kernel, PF)]
    load(kernel, "second")
    assert list(kernel.deferred_probe_pending) == []


def test_device_is_on_the_list_of_deferred_ones_once_and_not_after_its_removal():
    kernel = boot()
    for name in "first", "second":
        load(kernel, name, probe=lambda dev, id: -EPROBE_DEFER)
    assert list(kernel.deferred_probe_pending) == [find(kernel, PF)]
    kernel.remove_store(find(kernel, PF), "1")
    assert list(kernel.deferred_probe_pending) == []


def test_probe_that_returns_more_than_0_counts_as_success_with_a_warning():
    kernel = boot()
    load(kernel, probe=lambda dev, id: 7)
    assert find(kernel, PF).driver is not None
    assert kernel.dmesg[-1] == f"igb {PF}: Driver probe function unexpectedly returned 7"


def test_bound_device_is_not_probed_again():
    kernel, probed = boot(), []
    load(kernel)
    load(kernel, "second", probe=lambda dev, id: probed.append(dev) or 0)
    assert probed == [] and kernel.device_attach(find(kernel, PF)) == 1


def test_look_for_a_driver_leaves_a_bound_device_to_the_one_it_has():
    kernel, refuses = boot(), [-errno.EIO]
    load(kernel, "first", probe=lambda dev, id: refuses.pop() if refuses else 0)
    second, pf = load(kernel, "second"), find(kernel, PF)
    assert kernel.device_attach(pf) == 1
    assert (pf.driver, pf.dev_driver, pf.refcount) == (second, second, 2)
    assert second.klist_devices.items() == [pf]


def test_driver_sees_its_pointer_in_the_device_while_it_probes():
    kernel, seen = boot(), []
    load(kernel, probe=lambda dev, id: seen.append(
        (dev.driver.name, dev.dev_driver.name, id[:2])) or 0)
    assert seen == [("igb", "igb", IGB)]


def test_driver_without_a_probe_has_the_device_and_is_not_asked():
    kernel = boot()
    driver, pf = PciDriver("idle", [IGB]), find(kernel, PF)
    assert kernel.pci_register_driver(driver) == 0
    assert (pf.dev_driver, pf.driver, pf.refcount) == (driver, None, 2)
    kernel.pci_unregister_driver(driver)
    assert (pf.dev_driver, pf.refcount) == (None, 1)


def test_driver_name_is_given_once():
    kernel = boot()
    load(kernel)
    assert kernel.pci_register_driver(PciDriver("igb")) == -errno.EBUSY


def test_devices_leave_a_driver_the_last_bound_first():
    kernel, gone = two_functions(), []
    kernel.pci_unregister_driver(load(kernel, remove=lambda dev: gone.append(dev.name)))
    assert gone == [OTHER, PF]


def test_vf_is_bound_to_a_driver_that_is_not_asked_while_its_pf_forbids_it():
    kernel, asked = boot(), []
    driver = load(kernel, "igbvf", IGBVF, probe=lambda dev, id: asked.append("probe") or 0,
                  remove=lambda dev: asked.append("remove"))
    find(kernel, PF).sriov.drivers_autoprobe = False
    kernel.pci_enable_sriov(find(kernel, PF), 1)
    vf = kernel.pci_dev_get(find(kernel, "0000:01:10.0"))
    assert (vf.driver, vf.dev_driver, vf.refcount, vf.is_added) == (None, driver, 3, True)
    kernel.pci_unregister_driver(driver)
    assert (vf.dev_driver, vf.refcount, asked) == (None, 2, [])


def test_removed_device_is_not_probed():
    kernel = boot()
    pf = kernel.pci_dev_get(find(kernel, PF))
    kernel.pci_stop_and_remove_bus_device_locked(pf)
    with device_lock(pf):
        assert kernel.driver_probe_device(PciDriver("igb", [IGB]), pf) == -errno.ENODEV


def test_bind_takes_the_locks_of_parent_and_device_and_tells_the_length():
    kernel, held = boot(), []
    driver = load(kernel, probe=held_by(kernel, held))
    assert kernel.unbind_store(driver, PF) == len(PF)
    assert kernel.bind_store(driver, PF + "\n") == len(PF) + 1
    assert held == [(True, True)] * 2 and find(kernel, PF).refcount == 2


def test_bind_refuses_what_is_bound_or_does_not_match_or_is_not_there():
    kernel = boot()
    driver = load(kernel)
    other = load(kernel, "other", IGBVF)
    assert [kernel.bind_store(driver, PF), kernel.bind_store(other, PF),
            kernel.bind_store(driver, "0000:77:00.0")] == [-errno.ENODEV] * 3
    assert find(kernel, PF).refcount == 2


def test_bind_refuses_a_device_that_drivers_may_not_have_yet():
    kernel = boot()
    driver, pf = load(kernel), find(kernel, PF)
    kernel.unbind_store(driver, PF)
    pf.match_driver = False
    assert (kernel.bind_store(driver, PF), pf.dev_driver) == (-errno.ENODEV, None)


@pytest.mark.parametrize("line, fits", [
    ((), True), (IGB, True), ((IGB[0],), True), (IGBVF, False), ((0x1234, IGB[1]), False),
    ((*IGB, 0x020000, 0xFFFFFF), True), ((*IGB, 0x020001, 0xFFFFFF), False),
    ((*IGB, 0x000000, 0xFFFFFF), False), ((*IGB, 0x020001, 0xFFFF00), True),
    ((*IGB, 0x030000, 0xFF0000), False), ((*IGB, 0x030000, 0), True)])
def test_line_of_a_driver_fits_in_ids_and_in_the_bits_of_the_class_that_count(line, fits):
    kernel = boot()
    pf = find(kernel, PF)
    pf.class_ = 0x020000
    driver = PciDriver("driver", [(0x9999,), line, (0x9999,)])
    assert kernel.pci_match_device(driver, pf) is (driver.id_table[1] if fits else None)
    assert kernel.pci_bus_match(pf, driver) == fits


def test_bind_tells_that_the_probe_failed_with_enodev():
    kernel = boot()
    driver = load(kernel, probe=lambda dev, id: -errno.ENOMEM)
    assert kernel.bind_store(driver, PF) == -errno.ENODEV


def test_unbind_takes_the_locks_of_parent_and_device():
    kernel, held = boot(), []
    driver = load(kernel, remove=held_by(kernel, held))
    assert kernel.unbind_store(driver, PF) == len(PF)
    assert held == [(True, True)] and find(kernel, PF).refcount == 1


def test_unbind_refuses_another_drivers_device():
    kernel = boot()
    load(kernel)
    assert kernel.unbind_store(load(kernel, "other", IGBVF), PF) == -errno.ENODEV
    assert find(kernel, PF).driver.name == "igb"


def test_pf_is_marked_while_its_probe_runs():
    kernel, marks = boot(), []
    load(kernel, probe=lambda dev, id: marks.append(dev.is_probed) or 0)
    assert marks == [True] and not find(kernel, PF).is_probed


def test_probe_on_a_worker_runs_on_another_thread_that_is_not_the_locks_owner():
    kernel, threads = boot(probe_on_worker=True), []
    load(kernel, probe=worker_probe(kernel, threads))
    join_kworkers()
    assert len(threads) == 1 and threads[0].startswith("kworker/0:")
    assert find(kernel, PF).driver is not None


def test_vf_is_probed_on_the_worker_that_probes_its_pf():
    kernel, threads = boot(probe_on_worker=True), []
    load(kernel, "igbvf", IGBVF, probe=worker_probe(kernel, threads))
    load(kernel, probe=lambda dev, id: worker_probe(kernel, threads)(dev, id)
         or kernel.pci_enable_sriov(dev, 1))
    join_kworkers()
    assert len(threads) == 2 and threads[0] == threads[1]


def worker_probe(kernel, threads):
    """Return a probe that notes the name of its thread."""
    def probe(dev, id):
        threads.append(threading.current_thread().name)
        return 0
    return probe


def test_driver_that_comes_second_does_not_touch_a_bound_device():
    kernel = boot()
    first, second = load(kernel), load(kernel, "second")
    pf = find(kernel, PF)
    assert (pf.driver, pf.dev_driver, pf.refcount) == (first, first, 2)
    assert (first.klist_devices.items(), second.klist_devices.items()) == ([pf], [])


def test_device_is_not_unbound_from_a_driver_that_it_has_no_more():
    kernel = boot()
    driver, other = load(kernel), PciDriver("other", [IGB])
    pf = find(kernel, PF)
    kernel.device_release_driver_internal(pf, other, pf.parent)
    assert pf.driver is driver
    kernel.device_release_driver_internal(pf, driver, pf.parent)
    assert pf.driver is None


def test_driver_is_forgotten_after_its_remove_and_before_the_reference_goes():
    kernel, seen = boot(), []
    pf = find(kernel, PF)
    put = kernel.pci_dev_put

    def note(dev):
        seen.append((dev.driver is not None, dev.dev_driver is not None, dev.refcount,
                     [user.name for user in driver.klist_devices.items()]))
    driver = load(kernel, remove=note)
    kernel.pci_dev_put = lambda dev: (note(dev), put(dev))
    kernel.device_release_driver(pf)
    assert seen == [(True, True, 2, [PF]), (False, True, 2, [PF])]


def test_user_space_hears_of_binding_and_unbinding_when_they_are_complete():
    kernel, seen = boot(), []
    pf = find(kernel, PF)
    driver = PciDriver("igb", [IGB], probe=lambda dev, id: setattr(dev, "driver_data", 1) or 0)
    kernel.kobject_uevent = lambda dev, action: seen.append(
        (action, dev.dev_driver, dev.driver_data, driver.klist_devices.items()))
    kernel.pci_register_driver(driver)
    kernel.pci_unregister_driver(driver)
    assert seen == [("bind", driver, 1, [pf]), ("unbind", None, None, [])]


def test_user_space_hears_of_a_removal_when_the_driver_is_gone_but_not_the_directory():
    kernel, seen = boot(), []
    pf = find(kernel, PF)
    load(kernel)
    kernel.kobject_uevent = lambda dev, action: seen.append((
        action, dev.dev_driver, dev in kernel.klist_devices.items(),
        dev.name in kernel.devices_kset))
    kernel.device_del(pf)
    assert seen == [("unbind", None, False, True), ("remove", None, False, True)]
