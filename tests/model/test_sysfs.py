"""The files that user space writes to: each check, in order, and the lock around the driver."""

import errno

import pytest
from model_worlds import IGB, PF, PORT, boot, find, load, names, sriov_state, vfs

from pcimodel.hardware import Sriov
from pcimodel.sysfs import kstrtoul


def with_driver(**options):
    """Boot with a PF driver that enables as many VFs as it is told to."""
    kernel = boot(**options)
    calls = []

    def sriov_configure(dev, num_vfs):
        calls.append((num_vfs, dev.mutex.locked()))
        if num_vfs == 0:
            kernel.pci_disable_sriov(dev)
            return 0
        return kernel.pci_enable_sriov(dev, num_vfs) or num_vfs
    load(kernel, "igb", IGB, sriov_configure=sriov_configure)
    return kernel, find(kernel, PF), calls


@pytest.mark.parametrize("text, number", [
    ("7", 7), ("7\n", 7), ("0x1f", 31), ("010", 8), ("0", 0), ("+3", 3), ("65535", 65535),
    ("65536", -errno.ERANGE), ("", -errno.EINVAL), ("x", -errno.EINVAL), ("-1", -errno.EINVAL),
    ("1 2", -errno.EINVAL), ("1_0", -errno.EINVAL), ("08", -errno.EINVAL), ("0x", -errno.EINVAL),
    ("++1", -errno.EINVAL), (" 1", -errno.EINVAL)])
def test_number_is_parsed_as_the_kernel_does(text, number):
    assert kstrtoul(text, 0xFFFF) == number


def test_driver_is_asked_under_the_lock_of_the_pf():
    kernel, pf, calls = with_driver()
    assert kernel.sriov_numvfs_store(pf, "2\n") == 2
    assert calls == [(2, True)] and not pf.mutex.locked()
    assert (len(vfs(kernel)), kernel.sriov_numvfs_show(pf)) == (2, "2\n")


def test_number_that_is_none_gives_einval():
    kernel, pf, calls = with_driver()
    assert (kernel.sriov_numvfs_store(pf, "two"), calls) == (-errno.EINVAL, [])


def test_more_than_total_vfs_gives_erange_also_without_a_driver():
    kernel = boot()
    assert kernel.sriov_numvfs_store(find(kernel, PF), "8") == -errno.ERANGE


def test_limit_of_the_driver_counts_for_user_space():
    kernel, pf, calls = with_driver()
    kernel.pci_sriov_set_totalvfs(pf, 3)
    assert [kernel.sriov_numvfs_store(pf, n) for n in "43"] == [-errno.ERANGE, 1]
    assert kernel.sriov_totalvfs_show(pf) == "3\n"


def test_total_counts_for_user_space_where_vfs_may_migrate():
    kernel = boot(Sriov(total_vfs=4, initial_vfs=2, vf_migration=True))
    pf = find(kernel, PF)
    shown = [kernel.sriov_totalvfs_show(pf)]
    for limit in (3, 0):
        kernel.pci_sriov_set_totalvfs(pf, limit)
        shown.append(kernel.sriov_totalvfs_show(pf))
    assert shown == ["4\n", "3\n", "4\n"]


def test_same_number_succeeds_without_asking_the_driver():
    kernel, pf, calls = with_driver()
    assert [kernel.sriov_numvfs_store(pf, n) for n in "022"] == [1, 1, 1]
    assert calls == [(2, True)]


def test_same_number_succeeds_also_without_a_driver():
    kernel = boot()
    assert kernel.sriov_numvfs_store(find(kernel, PF), "0") == 1


def test_without_a_driver_it_gives_enoent():
    kernel = boot()
    assert kernel.sriov_numvfs_store(find(kernel, PF), "1") == -errno.ENOENT


def test_driver_without_sriov_configure_gives_enoent():
    kernel = boot()
    load(kernel)
    assert kernel.sriov_numvfs_store(find(kernel, PF), "1") == -errno.ENOENT
    assert "Driver doesn't support SRIOV configuration via sysfs" in kernel.dmesg[-1]


def test_another_number_while_enabled_gives_ebusy_until_it_was_0():
    kernel, pf, calls = with_driver()
    kernel.sriov_numvfs_store(pf, "2")
    assert kernel.sriov_numvfs_store(pf, "3") == -errno.EBUSY
    assert kernel.dmesg[-1] == \
        f"igb {PF}: 2 VFs already enabled. Disable before enabling 3 VFs"
    assert [kernel.sriov_numvfs_store(pf, n) for n in "03"] == [1, 1]
    assert [number for number, _ in calls] == [2, 0, 3]


def test_error_of_the_driver_reaches_user_space():
    kernel, pf, _ = with_driver(sriov=Sriov(unreadable_vfs=frozenset({0})))
    assert kernel.sriov_numvfs_store(pf, "1") == -errno.EIO
    assert not any("requested" in line for line in kernel.dmesg)
    assert sriov_state(kernel, pf) == (0, 0, False) and not pf.mutex.locked()


def test_driver_that_enables_what_was_asked_for_is_no_warning():
    kernel, pf, _ = with_driver()
    assert kernel.sriov_numvfs_store(pf, "2") == 1
    assert not any("requested" in line for line in kernel.dmesg)


def test_driver_that_enables_fewer_is_a_warning_and_success():
    kernel = boot()
    load(kernel, sriov_configure=lambda dev, num_vfs: 1)
    assert kernel.sriov_numvfs_store(find(kernel, PF), "5") == 1
    assert kernel.dmesg[-1] == f"igb {PF}: 5 VFs requested; only 1 enabled"


def test_numvfs_is_shown_without_a_lock():
    kernel, pf, _ = with_driver()
    shown = []
    kernel.kobject_uevent = lambda dev, action: dev is pf and shown.append(
        (pf.mutex.locked(), kernel.sriov_numvfs_show(pf)))
    kernel.sriov_numvfs_store(pf, "1")
    assert shown == [(True, "0\n")]


def test_autoprobe_is_a_yes_or_a_no():
    kernel = boot()
    pf = find(kernel, PF)
    answers = [(kernel.sriov_drivers_autoprobe_store(pf, text), pf.sriov.drivers_autoprobe)
               for text in ("0\n", "1", "off", "Yes", "No", "on", "2", "o", "")]
    assert answers == [(2, False), (1, True), (3, False), (3, True), (2, False), (2, True)] + [
        (-errno.EINVAL, True)] * 3


def test_remove_removes_the_device_and_what_is_below():
    kernel = boot()
    assert kernel.remove_store(find(kernel, PORT), "1\n") == 2
    assert names(kernel) == []


def test_remove_happens_once():
    kernel = boot()
    pf = kernel.pci_dev_get(find(kernel, PF))
    assert [kernel.remove_store(pf, "1") for _ in range(2)] == [1, -errno.ENODEV]
    assert pf.refcount == 1 and not [line for line in kernel.dmesg if "WARNING" in line]


@pytest.mark.parametrize("text, answer", [("0", 1), ("x", -errno.EINVAL)])
def test_remove_and_rescan_do_nothing_unless_told_to(text, answer):
    kernel = boot()
    pf, port = find(kernel, PF), find(kernel, PORT)
    assert kernel.remove_store(pf, text) == answer and names(kernel) == [PORT, PF]
    kernel.remove_store(pf, "1")
    assert kernel.bus_rescan_store(text) == kernel.dev_rescan_store(port, text) == answer
    assert names(kernel) == [PORT]


def test_rescan_of_a_device_looks_at_its_bus():
    kernel = boot()
    kernel.remove_store(find(kernel, PF), "1")
    assert kernel.dev_rescan_store(find(kernel, PORT), "1") == 1
    assert names(kernel) == [PORT, PF] and not kernel.pci_rescan_remove_lock.locked()


def test_error_of_a_driver_that_cannot_disable_reaches_user_space():
    kernel = boot()
    load(kernel, sriov_configure=lambda dev, num_vfs: num_vfs or -errno.EBUSY)
    pf = find(kernel, PF)
    pf.sriov.num_VFs = 2
    assert kernel.sriov_numvfs_store(pf, "0") == -errno.EBUSY
    pf.sriov.num_VFs = 0


def test_second_write_to_remove_that_is_already_running_does_nothing():
    kernel = boot()
    pf = find(kernel, PF)
    assert kernel.device_remove_file_self(pf, "remove") is True
    assert kernel.remove_store(pf, "1") == 1 and names(kernel) == [PORT, PF]


def test_files_of_a_device_that_is_gone_give_enodev():
    kernel, pf, calls = with_driver()
    kernel.pci_dev_get(pf)
    kernel.remove_store(pf, "1")
    kernel.pci_dev_get(pf)
    answers = [kernel.sriov_numvfs_show(pf), kernel.sriov_totalvfs_show(pf)]
    answers += [store(pf, "1") for store in (
        kernel.sriov_numvfs_store, kernel.sriov_drivers_autoprobe_store, kernel.remove_store,
        kernel.dev_rescan_store)]
    assert answers == [-errno.ENODEV] * 6 and calls == [] and names(kernel) == [PORT]
