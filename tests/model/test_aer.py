"""From a root port's interrupt to the devices that reported (aerdrv.py, aer.py, aer_inject.py)."""

from __future__ import annotations

import errno
import traceback

import pytest

from pcimodel.aerdrv import AER_CORRECTABLE, AER_FATAL, AER_NONFATAL, AerErrInfo
from pcimodel.err import PCI_ERS_RESULT_CAN_RECOVER
from pcimodel.hardware import Endpoint, Machine, RootPort
from pcimodel.pci import PciDriver, PciErrorHandlers
from pcimodel.pci_regs import (PCI_ERR_COR_MASK, PCI_ERR_COR_STATUS, PCI_ERR_ROOT_STATUS,
                               PCI_ERR_UNCOR_MASK, PCI_ERR_UNCOR_STATUS)
from pcimodel.trees.v4_14 import V4_14

PORT, NIC = "0000:00:03.0", "0000:01:00.0"
ONE_NIC = Machine({"03.0": RootPort({"00.0": Endpoint(device=0x10)})})
SEVEN_FUNCTIONS = Machine({"03.0": RootPort(
    {f"00.{fn}": Endpoint(device=0x10) for fn in range(7)})})


class World:
    """A kernel whose kworker is the thread of the test, and what its devices were told."""

    def __init__(self, machine=ONE_NIC):
        self.kernel = V4_14(machine)
        self.worker = self.kernel.create_worker(0)
        self.port, self.nic = self.find(PORT), self.find(NIC)
        self.log = []

    def find(self, name):
        dev = self.kernel.bus_find_device_by_name(name)
        self.kernel.pci_dev_put(dev)
        return dev

    def load_driver(self, error_detected=None):
        def note(dev, state):
            self.log.append(dev.name)
            return PCI_ERS_RESULT_CAN_RECOVER

        def probe(dev, id):
            self.kernel.pci_enable_device(dev)
            return self.kernel.pci_enable_pcie_error_reporting(dev)
        handlers = PciErrorHandlers(error_detected or note)
        self.kernel.pci_register_driver(
            PciDriver("nic", [(0x8086, 0x10)], probe=probe, err_handler=handlers))

    def status(self, dev, register):
        return self.kernel.pci_read_config_dword(dev, dev.aer_cap + register)


def test_chain_from_the_work_item_to_the_driver_is_that_of_the_mail():
    world, chain = World(), []

    def error_detected(dev, state):
        chain.extend(frame.name for frame in traceback.extract_stack())
        return PCI_ERS_RESULT_CAN_RECOVER
    world.load_driver(error_detected)
    world.kernel.aer_inject(world.nic, AER_NONFATAL)
    world.worker.worker_thread()
    assert chain[chain.index("aer_isr"):-1] == [
        "aer_isr", "aer_isr_one_error", "aer_process_err_devices", "handle_error_source",
        "do_recovery", "broadcast_error_message", "pci_walk_bus", "report_error_detected"]


def test_interrupt_only_notes_the_error():
    world = World()
    world.load_driver()
    assert world.kernel.aer_inject(world.nic, AER_NONFATAL) == 0
    assert world.log == []
    assert world.status(world.port, PCI_ERR_ROOT_STATUS) == 0
    world.worker.worker_thread()
    assert world.log == [NIC]


def test_interrupt_without_error_is_not_ours():
    world = World()
    assert world.kernel.aer_irq(world.port) is False
    assert not world.kernel.get_service_data(world.port).dpc_handler.pending


def test_full_ring_of_100_keeps_99_errors_and_drops_the_rest_silently():
    world = World()
    world.load_driver()
    world.kernel.setup_log_buf(1000)
    for _ in range(120):
        assert world.kernel.aer_inject(world.nic, AER_CORRECTABLE) == 0
    assert not world.kernel.dmesg
    world.worker.worker_thread()
    received = [line for line in world.kernel.dmesg if "error received" in line]
    assert len(received) == 99


def test_handling_runs_under_the_mutex_of_the_port():
    world, locked = World(), []
    mutex = world.kernel.get_service_data(world.port).rpc_mutex
    world.load_driver(lambda dev, state: locked.append(mutex.locked()) or 2)
    world.kernel.aer_inject(world.nic, AER_NONFATAL)
    world.worker.worker_thread()
    assert (locked, mutex.locked()) == ([True], False)


def test_correctable_error_is_cleared_and_no_driver_is_told():
    world = World()
    world.load_driver()
    world.kernel.aer_inject(world.nic, AER_CORRECTABLE)
    assert world.status(world.nic, PCI_ERR_COR_STATUS) != 0
    world.worker.worker_thread()
    assert world.status(world.nic, PCI_ERR_COR_STATUS) == 0
    assert world.log == []


def test_uncorrectable_status_is_left_to_the_driver():
    world = World()
    world.load_driver()
    world.kernel.aer_inject(world.nic, AER_NONFATAL)
    world.worker.worker_thread()
    assert world.status(world.nic, PCI_ERR_UNCOR_STATUS) != 0
    assert world.kernel.pci_cleanup_aer_uncorrect_error_status(world.nic) == 0
    assert world.status(world.nic, PCI_ERR_UNCOR_STATUS) == 0


def test_correctable_error_is_handled_before_an_uncorrectable_one_of_the_same_interrupt():
    world = World()
    world.load_driver()
    world.kernel._send_error_message(world.port, world.nic, AER_NONFATAL)
    world.kernel.aer_inject(world.nic, AER_CORRECTABLE)
    world.worker.worker_thread()
    received = [line for line in world.kernel.dmesg if "error received" in line]
    assert [line.split(" error")[0].split("AER: ")[1] for line in received] == [
        "Corrected", "Uncorrected (Non-Fatal)"]


@pytest.mark.parametrize("severity, said", [
    (AER_CORRECTABLE, "Corrected"), (AER_NONFATAL, "Uncorrected (Non-Fatal)"),
    (AER_FATAL, "Uncorrected (Fatal)")])
def test_error_of_one_severity_is_received_as_that_alone(severity, said):
    world = World()
    world.load_driver()
    world.kernel.aer_inject(world.nic, severity)
    world.worker.worker_thread()
    assert [line for line in world.kernel.dmesg if "error received" in line] == [
        f"pcieport {PORT}: AER: {said} error received: id=0100"]


@pytest.mark.parametrize("severity, status, mask", [
    (AER_CORRECTABLE, PCI_ERR_COR_STATUS, PCI_ERR_COR_MASK),
    (AER_NONFATAL, PCI_ERR_UNCOR_STATUS, PCI_ERR_UNCOR_MASK)])
def test_error_that_is_masked_is_neither_printed_nor_handled(severity, status, mask):
    world = World()
    world.load_driver()
    world.nic.config.raise_bits(world.nic.aer_cap + status, 0x40)
    world.kernel.pci_write_config_dword(world.nic, world.nic.aer_cap + mask, 0x40)
    world.kernel._send_error_message(world.port, world.nic, severity)
    world.kernel.aer_irq(world.port)
    world.worker.worker_thread()
    assert (world.log, world.status(world.nic, status)) == ([], 0x40)
    assert not any("PCIe Bus Error" in line for line in world.kernel.dmesg)


@pytest.mark.parametrize("first, second", [(AER_CORRECTABLE, AER_FATAL),
                                           (AER_FATAL, AER_CORRECTABLE)])
def test_two_severities_of_one_interrupt_have_a_source_each(first, second):
    world = World(SEVEN_FUNCTIONS)
    world.load_driver()
    sources = {first: world.find("0000:01:00.2"), second: world.find("0000:01:00.5")}
    for dev in sources.values():    # so that their ids alone tell
        world.kernel.pci_disable_pcie_error_reporting(dev)
    sources[first].config.raise_bits(
        sources[first].aer_cap + (PCI_ERR_COR_STATUS if first == AER_CORRECTABLE
                                  else PCI_ERR_UNCOR_STATUS), 0x40)
    world.kernel._send_error_message(world.port, sources[first], first)
    world.kernel.aer_inject(sources[second], second)
    world.worker.worker_thread()
    reports = [line.split(": ")[0] for line in world.kernel.dmesg if "PCIe Bus Error" in line]
    assert reports == [f"nic {sources[severity].name}" for severity in (AER_CORRECTABLE, AER_FATAL)]
    assert not any("Multiple" in line for line in world.kernel.dmesg)


@pytest.mark.parametrize("severity, told", [(AER_NONFATAL, []), (AER_FATAL, [NIC])])
def test_fatal_error_is_believed_without_reading_the_device(severity, told):
    world = World()
    world.load_driver()
    world.kernel._send_error_message(world.port, world.nic, severity)
    world.kernel.aer_irq(world.port)
    world.worker.worker_thread()
    assert world.log == told


def test_error_of_the_port_itself_is_told_to_everything_below():
    world = World(SEVEN_FUNCTIONS)
    world.load_driver()
    world.kernel.aer_inject(world.port, AER_NONFATAL)
    world.worker.worker_thread()
    assert world.log == [f"0000:01:00.{fn}" for fn in range(7)]
    assert world.status(world.port, PCI_ERR_UNCOR_STATUS) == 0


def test_id_of_no_device_is_logged_and_registers_are_not_asked():
    world = World()
    world.load_driver()
    world.nic.config.raise_bits(world.nic.aer_cap + PCI_ERR_UNCOR_STATUS, 0x10)
    assert world.kernel.find_source_device(world.port, AerErrInfo(id=0x0508)) is False
    assert world.kernel.dmesg[-1] == f"pcieport {PORT}: can't find device of ID0508"


def test_single_error_without_bus_number_is_found_by_the_registers():
    world = World(SEVEN_FUNCTIONS)
    world.load_driver()
    for fn in (2, 4):
        dev = world.find(f"0000:01:00.{fn}")
        dev.config.raise_bits(dev.aer_cap + PCI_ERR_UNCOR_STATUS, 0x10)
    info = AerErrInfo(id=0x0000)
    assert world.kernel.find_source_device(world.port, info) is True
    assert [dev.name for dev in info.dev] == ["0000:01:00.2"]


@pytest.mark.parametrize("break_it", ["disabled", "not reporting", "masked"])
def test_registers_of_a_device_that_cannot_have_reported_do_not_count(break_it):
    world = World()
    world.load_driver()
    world.nic.config.raise_bits(world.nic.aer_cap + PCI_ERR_UNCOR_STATUS, 0x10)
    assert world.kernel.is_error_source(world.nic, AerErrInfo(id=0)) is True
    if break_it == "disabled":
        world.kernel.pci_disable_device(world.nic)
    elif break_it == "not reporting":
        world.kernel.pci_disable_pcie_error_reporting(world.nic)
    else:
        mask = world.nic.aer_cap + PCI_ERR_UNCOR_MASK
        world.kernel.pci_write_config_dword(world.nic, mask, 0x10)
    assert world.kernel.is_error_source(world.nic, AerErrInfo(id=0)) is False


def test_multiple_errors_note_five_devices_and_take_no_reference():
    world = World(SEVEN_FUNCTIONS)
    world.load_driver()
    functions = [world.find(f"0000:01:00.{fn}") for fn in range(7)]
    for dev in functions:
        dev.config.raise_bits(dev.aer_cap + PCI_ERR_UNCOR_STATUS, 0x10)
    before = [dev.refcount for dev in functions]
    info = AerErrInfo(id=0x0103, multi_error_valid=True)
    assert world.kernel.find_source_device(world.port, info) is True
    assert info.dev == functions[:5]
    assert world.kernel.find_device_iter(functions[5], info) == 1
    assert [dev.refcount for dev in functions] == before


def test_each_noted_error_has_a_search_of_its_own():
    world = World(SEVEN_FUNCTIONS)
    for fn in (1, 2):
        world.kernel.aer_inject(world.find(f"0000:01:00.{fn}"), AER_NONFATAL)
    world.worker.worker_thread()
    reports = [line.split(": ")[0] for line in world.kernel.dmesg if "PCIe Bus Error" in line]
    assert reports == ["pci 0000:01:00.1", "pci 0000:01:00.2"]


@pytest.mark.parametrize("severity, said", [(AER_NONFATAL, "Uncorrected (Non-Fatal)"),
                                            (AER_CORRECTABLE, "Corrected")])
def test_second_message_before_the_interrupt_is_marked_as_multiple(severity, said):
    world = World()
    world.load_driver()
    world.kernel._send_error_message(world.port, world.nic, severity)
    world.kernel.aer_inject(world.nic, severity)
    world.worker.worker_thread()
    assert any(f"AER: Multiple {said} error" in x for x in world.kernel.dmesg)


def test_remove_waits_for_the_work_that_was_queued_before_it_goes(monkeypatch):
    world, flushed = World(), []

    def flush_work(work):
        flushed.append(work.name)
        world.worker.worker_thread()
    monkeypatch.setattr(world.kernel, "flush_work", flush_work)
    world.kernel.aer_inject(world.port, AER_CORRECTABLE)
    world.kernel.aer_remove(world.port)
    assert flushed == ["rpc->dpc_handler"]
    assert any("error received" in line for line in world.kernel.dmesg)
    assert world.kernel.get_service_data(world.port) is None


def test_port_without_the_service_reports_nothing():
    world = World()
    world.kernel.aer_remove(world.port)
    assert world.kernel.aer_inject(world.nic, AER_FATAL) == -errno.EPROTONOSUPPORT


def test_injection_is_refused_where_no_error_could_come_from():
    world = World(Machine({"03.0": RootPort({"00.0": Endpoint(device=0x10, aer=False)})}))
    assert world.kernel.aer_inject(world.nic, AER_FATAL) == -errno.EPROTONOSUPPORT
    world = World()
    mask = world.nic.aer_cap + PCI_ERR_UNCOR_MASK
    world.kernel.pci_write_config_dword(world.nic, mask, 0xFFFFFFFF)
    assert world.kernel.aer_inject(world.nic, AER_FATAL) == -errno.EINVAL
    assert world.status(world.nic, PCI_ERR_UNCOR_STATUS) == 0
    assert world.status(world.port, PCI_ERR_ROOT_STATUS) == 0


def test_firmware_error_is_recovered_without_the_mutex_of_the_port():
    world, locked = World(), []
    mutex = world.kernel.get_service_data(world.port).rpc_mutex
    world.load_driver(lambda dev, state: locked.append(mutex.locked()) or 2)
    before = world.nic.refcount
    world.kernel.aer_recover_queue(0, 1, 0, AER_NONFATAL)
    world.worker.worker_thread()
    assert (locked, world.nic.refcount) == ([False], before)


def test_firmware_errors_beyond_sixteen_are_logged_and_lost():
    world = World()
    world.load_driver()
    for _ in range(17):
        world.kernel.aer_recover_queue(0, 1, 0, AER_NONFATAL)
    assert world.kernel.dmesg[-1] == (
        "AER recover: Buffer overflow when recovering AER for 0000:01:00:0")
    world.worker.worker_thread()
    assert len(world.log) == 16


def test_firmware_error_of_an_absent_device_is_logged_and_the_next_one_handled():
    world = World()
    world.load_driver()
    world.kernel.aer_recover_queue(0, 9, 0, AER_FATAL)
    world.kernel.aer_recover_queue(0, 1, 0, AER_NONFATAL)
    world.worker.worker_thread()
    assert "AER recover: Can not find pci_dev for 0000:09:00:0" in world.kernel.dmesg
    assert world.log == [NIC]


def test_ring_has_a_hundred_places():
    world = World()
    assert len(world.kernel.get_service_data(world.port).e_sources) == 100


def test_all_devices_are_printed_before_the_first_is_handled():
    world, calls = World(SEVEN_FUNCTIONS), []
    devices = [world.find(f"0000:01:00.{fn}") for fn in range(3)]
    for dev in devices:
        dev.config.raise_bits(dev.aer_cap + PCI_ERR_UNCOR_STATUS, 0x10)

    def handle(port, dev, info):
        calls.append(("handle", dev.devfn))
        # What this does to its neighbour is seen: each is read again before it is handled.
        world.kernel.pci_cleanup_aer_uncorrect_error_status(devices[1])
    world.kernel.handle_error_source = handle
    world.kernel.aer_print_error = lambda dev, info: calls.append(("print", dev.devfn))
    world.kernel.aer_process_err_devices(world.port, AerErrInfo(dev=devices))
    assert calls == [("print", 0), ("print", 1), ("print", 2), ("handle", 0), ("handle", 2)]
