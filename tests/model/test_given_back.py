"""What must be put, cleared, kept in order or refused, where one line left out would not be seen
elsewhere: references, bits of resets and of VFs, rings, lists, work that runs again.
"""

import errno
import threading

import pytest
from model_worlds import IGBVF, PF, PORT, boot, find, join_kworkers, load, sriov_state

from pcimodel.aerdrv import AER_CORRECTABLE, AER_NONFATAL
from pcimodel.device import Device, device_lock
from pcimodel.err import PCI_ERS_RESULT_CAN_RECOVER, PCI_ERS_RESULT_RECOVERED
from pcimodel.fixes import apply
from pcimodel.hardware import Sriov
from pcimodel.klist import Klist
from pcimodel.lab.worlds import may_nest
from pcimodel.pci import PciErrorHandlers
from pcimodel.pci_regs import (PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET, PCI_ERR_ROOT_COMMAND,
                               PCI_ERR_ROOT_STATUS, PCI_ERR_UNCOR_STATUS, PCI_SRIOV_CTRL,
                               PCI_SRIOV_CTRL_VFE, PCI_SRIOV_VF_OFFSET, PCI_SRIOV_VF_STRIDE)
from pcimodel.trees.v4_14 import V4_14
from pcimodel.workqueue import WorkStruct


def test_device_put_once_too_often_is_released_once():
    kernel, freed, dev = V4_14(), [], Device("thing")
    dev.release = freed.append
    kernel.device_initialize(dev)
    kernel.put_device(dev)
    kernel.put_device(dev)
    assert freed == [dev]


def test_ring_of_errors_goes_round():
    """It has room for 100 at a time (AER_ERROR_SOURCES_MAX); 205 come, one by one."""
    kernel = boot()
    pf = find(kernel, PF)
    load(kernel)
    worker = kernel.create_worker(0)
    for _ in range(205):
        kernel.aer_inject(pf, AER_CORRECTABLE)
        worker.worker_thread()
    assert sum("Corrected error received" in str(line) for line in kernel.dmesg) == 205


def test_bridge_is_let_out_of_its_secondary_reset():
    kernel, seen = boot(), []
    port = find(kernel, PORT)

    def resets():
        control = kernel.pci_read_config_word(port, PCI_BRIDGE_CONTROL)
        return bool(control & PCI_BRIDGE_CTL_BUS_RESET)
    kernel.msleep = lambda milliseconds: seen.append((milliseconds, resets()))
    kernel.pci_reset_bridge_secondary_bus(port)
    assert (seen, resets()) == ([(2, True), (1000, False)], False)


def test_root_port_tells_nothing_while_it_is_reset():
    """Interrupts off, the link reset, the status cleared, interrupts on again."""
    kernel = boot()
    port, written = find(kernel, PORT), []
    plain = kernel.pci_write_config_dword

    def noted(dev, where, value):
        written.append(where - dev.aer_cap)
        plain(dev, where, value)

    kernel.pci_write_config_dword = noted
    kernel.aer_root_reset(port)
    assert written == [PCI_ERR_ROOT_COMMAND, PCI_ERR_ROOT_STATUS, PCI_ERR_ROOT_COMMAND]


def test_vfs_that_the_firmware_left_on_are_off_after_the_scan():
    kernel = boot()
    pf = find(kernel, PF)
    pf.config.write(pf.sriov.pos + PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE)
    kernel.pci_stop_and_remove_bus_device_locked(pf)
    slept = []
    kernel.msleep = slept.append
    kernel.bus_rescan_store("1")
    assert (sriov_state(kernel, find(kernel, PF))[2], slept) == (False, [1000])


def test_offset_and_stride_are_read_anew_with_each_number_of_vfs():
    """They may depend on it."""
    kernel = boot()
    pf = find(kernel, PF)
    pf.config.registers |= {pf.sriov.pos + PCI_SRIOV_VF_OFFSET: 0x40,
                            pf.sriov.pos + PCI_SRIOV_VF_STRIDE: 3}
    kernel.pci_iov_set_numvfs(pf, 2)
    assert (pf.sriov.offset, pf.sriov.stride, sriov_state(kernel, pf)[1]) == (0x40, 3, 2)


def test_more_vfs_than_there_are_at_first_are_refused_beyond_the_total():
    """Where VFs may migrate the total is the limit, and a limit all the same."""
    kernel = boot(Sriov(total_vfs=4, initial_vfs=2, vf_migration=True))
    with device_lock(find(kernel, PF)):
        assert kernel.pci_enable_sriov(find(kernel, PF), 5) == -errno.EINVAL


def test_data_of_a_driver_whose_probe_failed_is_dropped():
    kernel = boot()

    def probe(dev, id):
        dev.driver_data = "mine"
        return -errno.EIO

    load(kernel, probe=probe)
    assert find(kernel, PF).driver_data is None


def test_entry_that_was_removed_is_not_met_though_another_walk_stands_on_it():
    klist, items = Klist(), list("abc")
    for item in items:
        klist.add_tail(item)
    walk = klist.walk(lambda item: None, lambda item: None)
    assert [next(walk), next(walk)] == ["a", "b"]
    klist.remove(items[1])
    assert list(klist.walk(lambda item: None, lambda item: None)) == ["a", "c"]
    walk.close()


def test_entry_that_was_removed_and_added_again_under_a_walk_can_be_removed():
    klist = Klist()
    klist.add_tail("a")
    walk = klist.walk(lambda item: None, lambda item: None)
    next(walk)
    for change in klist.remove, klist.add_tail, klist.remove:
        change("a")
    assert (klist.items(), list(walk), klist.nodes) == ([], [], [])


def test_links_between_pf_and_vf_are_gone_before_the_driver_of_the_vf_is():
    kernel, seen = boot(), []
    load(kernel, "igbvf", IGBVF,
         remove=lambda dev: seen.append((dict(dev.links), dict(dev.physfn.links))))
    with device_lock(find(kernel, PF)):
        kernel.pci_enable_sriov(find(kernel, PF), 1)
        kernel.pci_disable_sriov(find(kernel, PF))
    assert seen == [({}, {})]


def test_command_register_is_written_by_the_first_enable_and_the_last_disable():
    kernel, written = boot(), []
    pf, plain = find(kernel, PF), kernel.pci_write_config_word
    kernel.pci_write_config_word = lambda dev, *rest: (written.append(dev.enable_cnt),
                                                       plain(dev, *rest))
    for call in [kernel.pci_enable_device] * 2 + [kernel.pci_disable_device] * 2:
        call(pf)
    assert written == [1, 0]


def test_slot_is_found_with_its_reference_taken_under_the_semaphore():
    kernel = boot()
    pf, held = find(kernel, PF), []
    plain = kernel.pci_dev_get

    def noted(dev):
        held.append(bool(kernel.pci_bus_sem.holders()))
        return plain(dev)

    kernel.pci_dev_get = noted
    kernel.pci_dev_put(kernel.pci_get_slot(pf.bus, pf.devfn))
    assert held == [True]


def test_flush_waits_for_work_that_is_queued_again_while_it_runs():
    """It returns after the second time, for which it began to wait; not after the first."""
    kernel = V4_14()
    begun, go, story = threading.Semaphore(0), threading.Semaphore(0), []

    def func(work):
        story.append("begins")
        begun.release()
        go.acquire()
        story.append("ends")

    work = WorkStruct("work", func)
    kernel.schedule_work(work)
    begun.acquire()
    kernel.schedule_work(work)
    flush = threading.Thread(target=lambda: (kernel.flush_work(work), story.append("flushed")))
    flush.start()
    while not (work.pending_barriers or work.running_barriers):
        pass
    barriers = len(work.pending_barriers), len(work.running_barriers)
    go.release()
    begun.acquire()
    go.release()
    flush.join()
    join_kworkers()
    assert (barriers, story) == ((1, 0), ["begins", "ends", "begins", "ends", "flushed"])


def test_vf_nests_in_its_own_pf_alone():
    pf, other, vf = Device("pf"), Device("other"), Device("vf")
    vf.is_virtfn, vf.physfn = True, pf
    assert (may_nest(pf, vf), may_nest(other, vf), may_nest(vf, pf)) == (True, False, False)


# -- with fixes ------------------------------------------------------------------------------------


def test_driver_of_a_pf_goes_first_where_adding_is_deferred():
    kernel, seen = boot(tree=apply(V4_14, ["defer-vf-add"])), []
    load(kernel, remove=lambda dev: seen.append(dev in dev.bus.devices
                                                and dev.kobj_parent is not None))
    pf = find(kernel, PF)
    kernel.pci_stop_dev(pf)
    assert (seen, pf.dev_driver) == ([True], None)


@pytest.fixture
def collecting():
    return boot(tree=apply(V4_14, ["collect-then-lock"]))


def test_walk_over_what_was_collected_goes_on_after_a_vote(collecting):
    """Votes are no errors: the PF and its two VFs are asked."""
    kernel, seen = collecting, []
    load(kernel)
    pf = find(kernel, PF)
    with device_lock(pf):
        kernel.pci_enable_sriov(pf, 2)
    kernel.aer_pci_walk_bus(pf.bus, lambda dev, data: seen.append(dev.name) or 1, None)
    assert len(seen) == 3


def test_status_of_the_port_is_cleared_after_a_recovery_of_what_was_collected(collecting):
    kernel = collecting
    load(kernel, err_handler=PciErrorHandlers(
        lambda dev, state: PCI_ERS_RESULT_CAN_RECOVER, lambda dev: PCI_ERS_RESULT_RECOVERED,
        lambda dev: PCI_ERS_RESULT_RECOVERED, lambda dev: None))
    port, worker = find(kernel, PORT), kernel.create_worker(0)
    kernel.aer_inject(port, AER_NONFATAL)
    worker.worker_thread()
    assert "AER: Device recovery successful" in "\n".join(map(str, kernel.dmesg))
    assert kernel.pci_read_config_dword(port, port.aer_cap + PCI_ERR_UNCOR_STATUS) == 0
