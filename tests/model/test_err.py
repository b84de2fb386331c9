"""Recovery of uncorrectable errors: votes, stages, subtrees, resets (pcimodel/err.py)."""

from __future__ import annotations

import itertools

import pytest

from pcimodel import err
from pcimodel.aerdrv import AER_FATAL, AER_NONFATAL
from pcimodel.device import KernelOops
from pcimodel.hardware import Endpoint, Machine, RootPort, Sriov, Switch
from pcimodel.pci import PciDriver, PciErrorHandlers, pci_channel_io_frozen, pci_channel_io_normal
from pcimodel.pci_regs import (PCI_ERR_ROOT_COMMAND, PCI_ERR_ROOT_NONFATAL_RCV, PCI_ERR_ROOT_STATUS,
                               PCI_ERR_UNCOR_STATUS)
from pcimodel.trees.v4_14 import V4_14

NONE, CAN, REC = (
    err.PCI_ERS_RESULT_NONE, err.PCI_ERS_RESULT_CAN_RECOVER, err.PCI_ERS_RESULT_RECOVERED)
RESET, DISC, NOAER = (
    err.PCI_ERS_RESULT_NEED_RESET, err.PCI_ERS_RESULT_DISCONNECT, err.PCI_ERS_RESULT_NO_AER_DRIVER)
VOTES = (NONE, CAN, REC, RESET, DISC, NOAER)
MERGED = {
    CAN: (CAN, CAN, REC, RESET, DISC, NOAER),
    REC: (REC, CAN, REC, RESET, DISC, NOAER),
    RESET: (RESET, RESET, RESET, RESET, RESET, NOAER),
    DISC: (DISC, DISC, DISC, RESET, DISC, NOAER),
    NOAER: (NOAER,) * 6,
    NONE: (NONE, NONE, NONE, NONE, NONE, NOAER),
}

PORT, NIC_0, NIC_1, DISK = "0000:00:03.0", "0000:01:00.0", "0000:01:00.1", "0000:02:00.0"
TWO_PORTS = Machine({
    "03.0": RootPort({"00.0": Endpoint(device=0x10), "00.1": Endpoint(device=0x11)}),
    "04.0": RootPort({"00.0": Endpoint(device=0x12)}),
})


def load_driver(kernel, device, log, error_detected=CAN, mmio_enabled=REC, slot_reset=REC):
    """Load a driver that writes each call into *log* and votes as told."""
    def handler(stage, vote):
        def call(dev, *state):
            log.append(f"{dev.name} {stage}")
            return vote
        return call
    handlers = PciErrorHandlers(
        handler("error_detected", error_detected), handler("mmio_enabled", mmio_enabled),
        handler("slot_reset", slot_reset), handler("resume", None))
    driver = PciDriver(f"driver-{device:x}", [(0x8086, device)], err_handler=handlers,
                       probe=lambda dev, id: 0)
    assert kernel.pci_register_driver(driver) == 0
    return driver


def find(kernel, name):
    """Return the device called *name*."""
    dev = kernel.bus_find_device_by_name(name)
    kernel.pci_dev_put(dev)
    return dev


def last_line(kernel):
    """Return the last line of the log."""
    return kernel.dmesg[-1]


@pytest.mark.parametrize("orig, at", [(orig, at) for orig in MERGED for at in range(6)])
def test_merge_result_follows_the_table(orig, at):
    assert err.Err().merge_result(orig, VOTES[at]) == MERGED[orig][at]


@pytest.mark.parametrize("start", [CAN, REC])
def test_only_can_recover_and_recovered_depend_on_the_order_of_votes(start):
    def fold(*votes):
        result = start
        for vote in votes:
            result = err.Err().merge_result(result, vote)
        return result
    pairs = itertools.combinations(VOTES, 2)
    assert [pair for pair in pairs if fold(*pair) != fold(*pair[::-1])] == [(CAN, REC)]


def test_devices_that_can_recover_get_mmio_enabled_and_resume():
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x10, log)
    load_driver(kernel, 0x11, log)
    kernel.do_recovery(find(kernel, NIC_0), AER_NONFATAL)
    assert log == [
        f"{NIC_0} error_detected", f"{NIC_1} error_detected",
        f"{NIC_0} mmio_enabled", f"{NIC_1} mmio_enabled",
        f"{NIC_0} resume", f"{NIC_1} resume"]
    assert last_line(kernel) == f"driver-10 {NIC_0}: AER: Device recovery successful"


def test_one_vote_for_a_reset_takes_all_to_slot_reset_without_mmio_enabled():
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x10, log)
    load_driver(kernel, 0x11, log, error_detected=RESET)
    kernel.do_recovery(find(kernel, NIC_0), AER_NONFATAL)
    assert [call for call in log if NIC_0 in call] == [
        f"{NIC_0} error_detected", f"{NIC_0} slot_reset", f"{NIC_0} resume"]


def test_nonfatal_slot_reset_resets_nothing():
    kernel = V4_14(TWO_PORTS)
    load_driver(kernel, 0x10, [], error_detected=RESET)
    load_driver(kernel, 0x11, [])
    kernel.do_recovery(find(kernel, NIC_0), AER_NONFATAL)
    assert not any("has been reset" in line for line in kernel.dmesg)


def test_mmio_enabled_can_still_ask_for_a_reset():
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x12, log, mmio_enabled=RESET)
    kernel.do_recovery(find(kernel, DISK), AER_NONFATAL)
    assert log == [f"{DISK} {stage}" for stage in
                   ("error_detected", "mmio_enabled", "slot_reset", "resume")]


def test_device_without_an_opinion_gets_mmio_enabled():
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x12, log, error_detected=NONE)
    kernel.do_recovery(find(kernel, DISK), AER_NONFATAL)
    assert log == [f"{DISK} {stage}" for stage in ("error_detected", "mmio_enabled", "resume")]


def test_fatal_error_resets_the_link_and_still_calls_mmio_enabled():
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x12, log)
    kernel.do_recovery(find(kernel, DISK), AER_FATAL)
    assert log == [f"{DISK} {stage}" for stage in ("error_detected", "mmio_enabled", "resume")]
    assert "pcieport 0000:00:04.0: Root Port link has been reset" in kernel.dmesg


@pytest.mark.parametrize("vote", [DISC, NOAER, NONE])
def test_other_votes_end_the_recovery(vote):
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x12, log, error_detected=CAN, mmio_enabled=vote)
    kernel.do_recovery(find(kernel, DISK), AER_NONFATAL)
    ends_well = vote == NONE
    assert (f"{DISK} resume" in log) == ends_well
    assert last_line(kernel).endswith("successful" if ends_well else "failed")


def test_device_without_driver_fails_the_recovery_of_its_neighbour():
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x10, log)
    kernel.do_recovery(find(kernel, NIC_0), AER_FATAL)
    assert log == [f"{NIC_0} error_detected"]
    assert f"pci {NIC_1}: device has no driver" in kernel.dmesg
    assert last_line(kernel) == f"driver-10 {NIC_0}: AER: Device recovery failed"


@pytest.mark.parametrize("handlers", [None, PciErrorHandlers(resume=lambda dev: None)])
@pytest.mark.parametrize("severity, said", [(AER_NONFATAL, False), (AER_FATAL, True)])
def test_driver_that_cannot_be_told_fails_the_recovery_of_its_neighbour(handlers, severity, said):
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x10, log)
    load_driver(kernel, 0x11, log).err_handler = handlers
    kernel.do_recovery(find(kernel, NIC_0), severity)
    assert log == [f"{NIC_0} error_detected"] and last_line(kernel).endswith("recovery failed")
    assert (f"driver-11 {NIC_1}: device has no AER-aware driver" in kernel.dmesg) == said


def test_handler_that_is_not_there_has_no_vote():
    kernel, log = V4_14(TWO_PORTS), []
    load_driver(kernel, 0x10, log, error_detected=RESET)
    load_driver(kernel, 0x11, log).err_handler.slot_reset = None
    for vote in (REC, DISC):
        kernel.klist_drivers.items()[1].err_handler.slot_reset = lambda dev, vote=vote: vote
        kernel.do_recovery(find(kernel, NIC_0), AER_NONFATAL)
    assert [line.split()[-1] for line in kernel.dmesg if "recovery" in line] == [
        "successful", "failed"]


def test_failed_recovery_leaves_error_state_as_it_is():
    kernel = V4_14(TWO_PORTS)
    load_driver(kernel, 0x12, [], error_detected=DISC)
    disk = find(kernel, DISK)
    kernel.do_recovery(disk, AER_FATAL)
    assert disk.error_state == pci_channel_io_frozen


def test_driver_sees_the_state_and_resume_restores_it():
    kernel, seen = V4_14(TWO_PORTS), []
    handlers = PciErrorHandlers(
        lambda dev, state: seen.append((state, dev.error_state)) or CAN)
    kernel.pci_register_driver(PciDriver("disk", [(0x8086, 0x12)], err_handler=handlers,
                                         probe=lambda dev, id: 0))
    disk = find(kernel, DISK)
    kernel.do_recovery(disk, AER_FATAL)
    assert seen == [(pci_channel_io_frozen, pci_channel_io_frozen)]
    assert disk.error_state == pci_channel_io_normal


def test_callbacks_run_under_the_lock_of_their_device_alone():
    kernel, held = V4_14(TWO_PORTS), []
    nics = [find(kernel, NIC_0), find(kernel, NIC_1)]

    def error_detected(dev, state):
        held.append([nic.name for nic in nics if nic.mutex.locked()])
        return CAN
    handlers = PciErrorHandlers(error_detected)
    kernel.pci_register_driver(PciDriver("nic", [(0x8086, 0x10), (0x8086, 0x11)],
                                         err_handler=handlers, probe=lambda dev, id: 0))
    kernel.do_recovery(nics[0], AER_NONFATAL)
    assert held == [[NIC_0], [NIC_1]]


def test_port_that_reports_is_not_asked_but_its_state_and_status_are_kept():
    kernel, log, states = V4_14(TWO_PORTS), [], []
    port = find(kernel, "0000:00:04.0")
    load_driver(kernel, 0x12, log, error_detected=RESET).err_handler.slot_reset = (
        lambda dev: states.append(port.error_state) or REC)
    status = port.aer_cap + PCI_ERR_UNCOR_STATUS
    port.config.raise_bits(status, 0x10)
    kernel.do_recovery(port, AER_FATAL)
    assert log == [f"{DISK} error_detected", f"{DISK} resume"]
    assert states == [pci_channel_io_frozen]
    assert port.error_state == pci_channel_io_normal
    assert kernel.pci_read_config_dword(port, status) == 0


def test_devices_behind_another_port_are_not_told():
    kernel, log = V4_14(TWO_PORTS), []
    for device in (0x10, 0x11, 0x12):
        load_driver(kernel, device, log)
    kernel.do_recovery(find(kernel, PORT), AER_FATAL)
    assert {line.split()[0] for line in log} == {NIC_0, NIC_1}


def boot_switch(log):
    """Boot a switch with one endpoint behind each of its two downstream ports."""
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Switch(
        {"00.0": Endpoint(device=0x10)}, {"00.0": Endpoint(device=0x11)})})}))
    load_driver(kernel, 0x10, log)
    load_driver(kernel, 0x11, log)
    return kernel


def test_bridges_without_driver_do_not_vote():
    log = []
    kernel = boot_switch(log)
    kernel.do_recovery(find(kernel, PORT), AER_NONFATAL)
    assert last_line(kernel).endswith("successful")
    assert [line for line in log if "resume" in line] == [
        "0000:03:00.0 resume", "0000:04:00.0 resume"]


def test_downstream_port_is_reset_without_the_aer_service():
    log = []
    kernel = boot_switch(log)
    kernel.do_recovery(find(kernel, "0000:03:00.0"), AER_FATAL)
    assert "pcieport 0000:02:00.0: downstream link has been reset" in kernel.dmesg
    assert {line.split()[0] for line in log} == {"0000:03:00.0"}


def test_fatal_error_of_an_upstream_port_fails_for_lack_of_a_link_to_reset():
    log = []
    kernel = boot_switch(log)
    kernel.do_recovery(find(kernel, "0000:01:00.0"), AER_FATAL)
    assert [line.split()[1] for line in log] == ["error_detected"] * 2
    assert "no link-reset support at upstream device 0000:01:00.0" in kernel.dmesg[-2]
    assert last_line(kernel).endswith("failed")


def test_link_that_could_not_be_reset_is_a_disconnect_whoever_was_to_reset_it():
    kernel = boot_switch([])
    root, upstream, downstream = (find(kernel, name) for name in (
        PORT, "0000:01:00.0", "0000:02:00.0"))
    answers = [kernel.reset_link(port) for port in (root, downstream, upstream)]
    kernel.aer_root_reset = kernel.default_reset_link = lambda dev: NONE
    answers += [kernel.reset_link(port) for port in (root, downstream)]
    assert answers == [REC, REC, DISC, DISC, DISC]
    assert list(kernel.dmesg)[-2:] == [
        f"pcieport {port.name}: link reset at upstream device {port.name} failed"
        for port in (root, downstream)]


def boot_with_vfs(log, **sriov):
    """Boot a PF with 2 VFs whose drivers take part in recovery."""
    machine = Machine({"03.0": RootPort({"00.0": Endpoint(device=0x10, sriov=Sriov(**sriov))},
                                        spare_buses=1)})
    kernel = V4_14(machine)
    load_driver(kernel, 0x1520, log)
    driver = load_driver(kernel, 0x10, log)
    driver.sriov_configure = lambda pf, nr: kernel.pci_enable_sriov(pf, nr) or nr
    pf = find(kernel, NIC_0)
    assert kernel.sriov_numvfs_store(pf, "2") > 0
    return kernel, pf


def test_pf_is_told_before_its_vfs():
    log = []
    kernel, pf = boot_with_vfs(log)
    kernel.do_recovery(pf, AER_NONFATAL)
    assert log[:3] == [f"0000:01:{fn} error_detected" for fn in ("00.0", "10.0", "10.2")]


def test_vfs_on_a_virtual_bus_are_never_told():
    log = []
    kernel, pf = boot_with_vfs(log, offset=0x100)
    assert find(kernel, "0000:02:00.0").physfn is pf
    kernel.do_recovery(pf, AER_NONFATAL)
    assert {line.split()[0] for line in log} == {NIC_0}


def test_fatal_error_of_a_vf_on_a_virtual_bus_is_a_null_pointer():
    kernel, pf = boot_with_vfs([], offset=0x100)
    with pytest.raises(KernelOops, match="NULL pointer"):
        kernel.do_recovery(find(kernel, "0000:02:00.0"), AER_FATAL)


def test_root_port_reports_no_errors_while_its_link_is_reset_and_forgets_those_of_the_reset():
    kernel, during = V4_14(TWO_PORTS), []
    port = find(kernel, PORT)

    def register(where):
        return kernel.pci_read_config_dword(port, port.aer_cap + where)

    def reset(dev):
        during.append(register(PCI_ERR_ROOT_COMMAND))
        dev.config.raise_bits(dev.aer_cap + PCI_ERR_ROOT_STATUS, PCI_ERR_ROOT_NONFATAL_RCV)
    kernel.pci_reset_bridge_secondary_bus = reset
    assert kernel.aer_root_reset(port) == REC
    assert (during, register(PCI_ERR_ROOT_COMMAND), register(PCI_ERR_ROOT_STATUS)) == ([0], 7, 0)
