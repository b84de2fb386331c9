"""collect-then-lock: what the patch of the mail does, and what it breaks."""

from __future__ import annotations

import pytest

from pcimodel.aerdrv import AER_FATAL, AER_NONFATAL
from pcimodel.err import PCI_ERS_RESULT_CAN_RECOVER, PCI_ERS_RESULT_RECOVERED
from pcimodel.fixes import apply
from pcimodel.hardware import Endpoint, Machine, RootPort
from pcimodel.pci import PciDriver, PciErrorHandlers, pci_channel_io_frozen, pci_channel_io_normal
from pcimodel.trees.v4_14 import V4_14

FUNCTIONS = [f"0000:01:00.{fn}" for fn in range(3)]
MACHINE = Machine({"03.0": RootPort({f"00.{fn}": Endpoint(device=0x10) for fn in range(3)})})
Patched = apply(V4_14, ["collect-then-lock"])


def boot(tree, error_detected, **handlers):
    """Boot *tree* with a driver on all three functions; return it and the first function."""
    kernel = tree(MACHINE)
    kernel.pci_register_driver(PciDriver(
        "nic", [(0x8086, 0x10)], probe=lambda dev, id: 0,
        err_handler=PciErrorHandlers(error_detected, **handlers)))
    return kernel, find(kernel, FUNCTIONS[0])


def find(kernel, name):
    """Return the device called *name*."""
    dev = kernel.bus_find_device_by_name(name)
    kernel.pci_dev_put(dev)
    return dev


def semaphore_is_free(kernel):
    """Say whether somebody could have pci_bus_sem for writing now."""
    free = kernel.pci_bus_sem.down_write_trylock()
    if free:
        kernel.pci_bus_sem.up_write()
    return free


@pytest.mark.parametrize("tree, free", [(V4_14, False), (Patched, True)])
def test_callbacks_run_without_the_semaphore(tree, free):
    seen = []
    kernel, nic = boot(tree, lambda dev, state: seen.append(
        (semaphore_is_free(kernel), dev.mutex.locked())) or PCI_ERS_RESULT_CAN_RECOVER)
    kernel.do_recovery(nic, AER_NONFATAL)
    assert seen == [(free, True)] * 3


@pytest.mark.parametrize("severity", [AER_NONFATAL, AER_FATAL])
def test_devices_are_told_the_same_in_the_same_order_as_without_it(severity):
    def story(tree):
        log = []
        kernel, nic = boot(
            tree, lambda dev, state: log.append((dev.name, state)) or 2,
            mmio_enabled=lambda dev: log.append((dev.name, "mmio")) or PCI_ERS_RESULT_RECOVERED,
            resume=lambda dev: log.append((dev.name, "resume")))
        kernel.do_recovery(nic, severity)
        return log, list(kernel.dmesg)
    assert story(Patched) == story(V4_14)


def test_error_of_a_port_goes_through_the_list_too():
    log = []
    kernel, nic = boot(Patched, lambda dev, state: log.append((dev.name, port.error_state)) or 2)
    port = nic.bus.self
    kernel.do_recovery(port, AER_FATAL)
    assert log == [(name, pci_channel_io_frozen) for name in FUNCTIONS]
    assert port.error_state == pci_channel_io_normal


def test_list_keeps_the_devices_alive_and_lets_go_of_them():
    seen = []
    kernel, nic = boot(Patched, lambda dev, state: seen.append(dev.refcount) or 2)
    before = nic.refcount
    kernel.do_recovery(nic, AER_NONFATAL)
    assert seen == [before + 1] * 3
    assert nic.refcount == before


@pytest.mark.parametrize("removed, ends", [(None, "successful"), (FUNCTIONS[1], "failed")])
def test_device_removed_before_its_turn_fails_the_recovery_of_the_others(removed, ends):
    def error_detected(dev, state):
        if removed and dev is nic:
            kernel.pci_stop_and_remove_bus_device_locked(find(kernel, removed))
        return PCI_ERS_RESULT_CAN_RECOVER
    kernel, nic = boot(Patched, error_detected)
    kernel.do_recovery(nic, AER_NONFATAL)
    assert kernel.dmesg[-1].endswith(f"Device recovery {ends}")
    assert len(nic.bus.devices) == (2 if removed else 3)


def test_device_added_between_two_stages_is_resumed_without_having_been_told():
    log = []

    def error_detected(dev, state):
        log.append(f"{dev.name} error_detected")
        return PCI_ERS_RESULT_CAN_RECOVER
    kernel, nic = boot(Patched, error_detected,
                       resume=lambda dev: log.append(f"{dev.name} resume"),
                       mmio_enabled=lambda dev: kernel.pci_rescan_bus(nic.bus) and 5 or 5)
    kernel.pci_stop_and_remove_bus_device_locked(find(kernel, FUNCTIONS[2]))
    kernel.do_recovery(nic, AER_NONFATAL)
    assert f"{FUNCTIONS[2]} resume" in log
    assert f"{FUNCTIONS[2]} error_detected" not in log


def test_pushing_at_the_head_of_the_list_would_reverse_the_order():
    class AuthorsTree(Patched):
        def aer_get_pci_dev(self, dev, devices):
            devices.insert(0, self.get_device(dev))
            return 0
    log = []
    kernel, nic = boot(AuthorsTree, lambda dev, state: log.append(dev.name) or 2)
    kernel.do_recovery(nic, AER_NONFATAL)
    assert log == FUNCTIONS[::-1]
