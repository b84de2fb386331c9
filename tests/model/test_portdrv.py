"""The driver of the ports, and the AER service that comes and goes with it (portdrv.py)."""

import pytest
from model_traces import around, traced
from model_worlds import PF, PORT, boot, find, join_kworkers, load, names

from pcimodel.aer import PCI_EXP_AER_FLAGS, PCIE_POS
from pcimodel.aerdrv import AER_CORRECTABLE, AER_NONFATAL
from pcimodel.err import PCI_ERS_RESULT_CAN_RECOVER
from pcimodel.hardware import Endpoint, Machine, RootPort, Switch
from pcimodel.pci import PciErrorHandlers
from pcimodel.pci_regs import (PCI_ERR_COR_STATUS, PCI_ERR_ROOT_COMMAND, PCI_ERR_ROOT_STATUS,
                               PCI_ERR_ROOT_UNCOR_RCV, PCI_ERR_UNCOR_STATUS, PCI_EXP_DEVCTL)
from pcimodel.trees.v4_14 import V4_14

READ = "&pci_bus_sem (read)"


def command(kernel):
    port = find(kernel, PORT)
    return kernel.pci_read_config_dword(port, port.aer_cap + PCI_ERR_ROOT_COMMAND)


def test_all_ports_have_the_driver_and_root_ports_with_aer_the_service():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Switch({})}),
                            "04.0": RootPort(aer=False)}))
    ports = [find(kernel, name) for name in names(kernel)]
    assert [dev.driver for dev in ports] == [kernel.pcie_portdriver] * 4
    assert [dev.enable_cnt for dev in ports] == [1] * 4
    assert list(kernel.aer_services) == [find(kernel, PORT)]


def test_other_devices_are_not_the_port_drivers():
    kernel = boot()
    assert find(kernel, PF).driver is None and find(kernel, PF).match_driver


def test_service_goes_with_its_port_and_comes_back_with_a_rescan():
    kernel = boot()
    port = kernel.pci_dev_get(find(kernel, PORT))
    kernel.remove_store(port, "1")
    assert kernel.aer_services == {} and port.enable_cnt == 0
    kernel.bus_rescan_store("1")
    assert list(kernel.aer_services) == [find(kernel, PORT)] and find(kernel, PORT) is not port


def test_unbinding_the_port_turns_its_interrupt_off_and_binding_on_again():
    kernel, seen = boot(), []
    for store in kernel.unbind_store, kernel.bind_store:
        store(kernel.pcie_portdriver, PORT)
        seen.append((command(kernel), find(kernel, PORT).enable_cnt))
    assert seen == [(0, 0), (7, 1)]


@pytest.mark.parametrize("register", [PCI_ERR_ROOT_STATUS, PCI_ERR_COR_STATUS,
                                      PCI_ERR_UNCOR_STATUS])
def test_errors_from_before_are_forgotten_when_the_service_comes(register):
    kernel = boot()
    port = find(kernel, PORT)
    kernel.unbind_store(kernel.pcie_portdriver, PORT)
    port.config.raise_bits(port.aer_cap + register, 0x5)
    kernel.bind_store(kernel.pcie_portdriver, PORT)
    assert kernel.pci_read_config_dword(port, port.aer_cap + register) == 0


def test_errors_that_are_not_handled_are_forgotten_when_the_service_goes():
    kernel = boot()
    port = find(kernel, PORT)
    status = port.aer_cap + PCI_ERR_ROOT_STATUS
    port.config.raise_bits(status, PCI_ERR_ROOT_UNCOR_RCV)
    kernel.unbind_store(kernel.pcie_portdriver, PORT)
    assert kernel.pci_read_config_dword(port, status) == 0


def test_error_of_a_device_without_aer_is_believed_by_its_id():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Endpoint(aer=False)})}))
    worker, port, told = kernel.create_worker(0), find(kernel, PORT), []
    load(kernel, err_handler=PciErrorHandlers(
        lambda dev, state: told.append(dev.name) or PCI_ERS_RESULT_CAN_RECOVER))
    kernel._send_error_message(port, find(kernel, PF), AER_NONFATAL)
    kernel.aer_irq(port)
    worker.worker_thread()
    assert told == [PF]


def reporting(kernel):
    """Return which devices report errors to their root port."""
    return [dev.name for dev in kernel.for_each_pci_dev()
            if kernel.pci_read_config_word(dev, PCIE_POS + PCI_EXP_DEVCTL) & PCI_EXP_AER_FLAGS]


def test_ports_report_errors_while_their_root_port_has_the_service():
    kernel = V4_14(Machine({"03.0": RootPort({"00.0": Switch({"00.0": Endpoint()}, {})})}))
    ports = [PORT, "0000:01:00.0", "0000:02:00.0", "0000:02:01.0"]
    seen = [reporting(kernel)]
    for store in kernel.unbind_store, kernel.bind_store:
        store(kernel.pcie_portdriver, PORT)
        seen.append(reporting(kernel))
    assert seen == [ports, [], ports]


def test_interrupt_after_free_irq_notes_nothing_and_queues_nothing():
    kernel, queued = boot(), []
    port = find(kernel, PORT)
    rpc = kernel.get_service_data(port)
    kernel.schedule_work = lambda work: queued.append(work.name)
    port.config.raise_bits(port.aer_cap + PCI_ERR_ROOT_STATUS, PCI_ERR_ROOT_UNCOR_RCV)
    rpc.isr = False
    assert kernel.aer_irq(port) is False
    kernel.unbind_store(kernel.pcie_portdriver, PORT)
    assert (kernel.aer_irq(port), queued, rpc.prod_idx) == (False, [], 0)


def test_interrupt_while_the_service_waits_for_its_work_queues_nothing_more():
    kernel, answers = boot(), []
    port = find(kernel, PORT)

    def flush_work(work):
        port.config.raise_bits(port.aer_cap + PCI_ERR_ROOT_STATUS, PCI_ERR_ROOT_UNCOR_RCV)
        answers.append((kernel.aer_irq(port), work.pending))
    kernel.flush_work = flush_work
    kernel.unbind_store(kernel.pcie_portdriver, PORT)
    assert answers == [(False, False)]


def test_port_that_is_removed_waits_for_its_errors_with_rescan_lock_and_port_lock_held():
    def world():
        kernel = boot()
        kernel.worker = kernel.create_worker(1)
        return kernel

    def act(kernel, trace):
        kernel.flush_work = lambda work: (trace.say(f"wait {work.name}, {work.pending}"),
                                          kernel.worker.worker_thread())
        kernel.set_cpu(1)
        kernel.aer_inject(find(kernel, PORT), AER_CORRECTABLE)
        kernel.set_cpu(0)
        kernel.remove_store(find(kernel, PORT), "1")
    trace = traced(act, world)
    wait = trace.index("wait rpc->dpc_handler, True")
    stopped = around(PF) + around(READ, *around("&aspm_lock"))
    assert trace[:wait] == ["+&pci_rescan_remove_lock", *stopped, f"+{PORT}"]
    rpc = around(f"&rpc->rpc_mutex ({PORT})")
    assert trace[wait + 1:wait + 6] == [*rpc, *around(READ), f"-{PORT}"]


def test_port_that_is_unbound_waits_for_a_recovery_and_the_wait_is_seen():
    waits = []

    def act(kernel, trace):
        flush_work = kernel.flush_work
        kernel.flush_work = lambda work: (waits.append(work.name), flush_work(work))
        kernel.aer_inject(find(kernel, PORT), AER_NONFATAL)
        kernel.unbind_store(kernel.pcie_portdriver, PORT)
        join_kworkers()
    trace = traced(act, boot)
    assert waits == ["rpc->dpc_handler"] and trace[:2] == ["+pci0000:00", f"+{PORT}"]


def test_port_has_no_vote_of_its_own():
    assert boot().pcie_portdriver.err_handler is None
