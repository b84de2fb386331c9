"""Whole sequences of locks: what a function takes and gives back, and what it does when."""

from model_traces import around, traced
from model_worlds import IGB, PF, PORT, boot, find, load

from pcimodel.aerdrv import AER_CORRECTABLE
from pcimodel.device import device_lock
from pcimodel.err import PCI_ERS_RESULT_CAN_RECOVER, AerBroadcastData
from pcimodel.pci import PciDev, PciDriver, PciErrorHandlers, PciSriov, pci_channel_io_frozen

READ, WRITE = "&pci_bus_sem (read)", "&pci_bus_sem (write)"
ASPM = around(READ, *around("&aspm_lock"))


def saying(trace, text, result=0):
    """Return a function that puts *text* into the trace."""
    return lambda *args: trace.say(text) or result


def telling_driver(trace, **callbacks):
    return PciDriver("igb", [IGB], probe=saying(trace, "probe"), remove=saying(trace, "remove"),
                     **callbacks)


def test_driver_attach_takes_parent_then_device_and_gives_back_in_reverse():
    def act(kernel, trace):
        kernel._driver_attach(find(kernel, PF), telling_driver(trace))
        kernel._driver_attach(find(kernel, PORT), telling_driver(trace))
    assert traced(act, boot) == around(PORT, *around(PF, "probe"))


def test_bind_and_unbind_take_parent_then_device_and_give_back_in_reverse():
    def act(kernel, trace):
        driver = telling_driver(trace)
        kernel.bind_store(driver, PF)
        kernel.unbind_store(driver, PF)
        kernel.unbind_store(driver, PF)
    assert traced(act, boot) == [*around(PORT, *around(PF, "probe")),
                                 *around(PORT, *around(PF, "remove"))]


def test_device_that_appears_or_goes_takes_its_own_lock_only():
    def act(kernel, trace):
        kernel.klist_drivers.add_tail(telling_driver(trace))
        kernel.device_attach(find(kernel, PF))
        kernel.device_release_driver(find(kernel, PF))
    assert traced(act, boot) == around(PF, "probe") + around(PF, "remove")


def test_device_is_on_the_list_first_and_looked_at_by_the_driver_core_after():
    def world():
        kernel = boot()
        kernel.remove_store(find(kernel, PF), "1")
        return kernel

    def act(kernel, trace):
        bus = find(kernel, PORT).subordinate
        dev = kernel.pci_scan_device(bus, 0)
        device_add, uevent = kernel.device_add, kernel.kobject_uevent
        kernel.device_add = lambda dev: trace.say("device_add") or device_add(dev)
        kernel.kobject_uevent = lambda dev, action: trace.say(action) or uevent(dev, action)
        kernel.pci_device_add(dev, bus)
    assert traced(act, world) == [*around("&pci_slot_mutex"), *around(WRITE), "device_add", "add",
                                  *around(PF)]


def test_device_is_deleted_first_then_taken_off_the_list_then_put():
    def act(kernel, trace):
        pf, device_del, put = find(kernel, PF), kernel.device_del, kernel.put_device
        kernel.device_del = lambda dev: trace.say("device_del") or device_del(dev)
        kernel.put_device = lambda dev: dev is pf and trace.say("put") or put(dev)
        kernel.pci_destroy_dev(pf)
    assert traced(act, boot) == ["device_del", *around(PF), *around(WRITE), "put"]


def test_link_is_looked_at_under_the_semaphore_and_changed_under_the_lock_inside():
    def act(kernel, trace):
        port, found = find(kernel, PORT), []
        for state in (True, False):
            port.link_state = state
            kernel.pcie_aspm_init_link_state(port)
            found.append(port.link_state)
        port.link_state, port.subordinate.devices[:] = False, []
        kernel.pcie_aspm_init_link_state(port)
        assert [*found, port.link_state] == [True, True, False]
    assert traced(act, boot) == [*ASPM, *around(READ)]


def test_bus_leaves_the_list_under_the_semaphore_and_is_unregistered_outside():
    def act(kernel, trace):
        bus = find(kernel, PORT).subordinate
        kernel.device_unregister = saying(trace, "device_unregister")
        kernel.pci_remove_bus(bus)
    assert traced(act, boot) == [*around(WRITE), "device_unregister"]


def test_removal_stops_under_the_devices_lock_and_destroys_under_no_other():
    def act(kernel, trace):
        kernel.pci_register_driver(telling_driver(trace))
        trace.lines.clear()
        kernel.remove_store(find(kernel, PF), "1")
    assert traced(act, boot) == around(
        "&pci_rescan_remove_lock", *around(PF, "remove"), *ASPM, *around(PF), *around(WRITE))


def test_port_mutex_is_held_over_all_errors_that_are_noted():
    def act(kernel, trace):
        port = find(kernel, PORT)
        kernel.schedule_work = saying(trace, "queued")
        one_error = kernel.aer_isr_one_error
        kernel.aer_isr_one_error = lambda *args: (trace.say("error"), one_error(*args))
        for _ in range(2):
            kernel.aer_inject(port, AER_CORRECTABLE)
        kernel.aer_isr(kernel.get_service_data(port).dpc_handler)
    rpc = f"&rpc->rpc_mutex ({PORT})"
    # The first handling clears the port's status, so the second has to look below the port.
    assert traced(act, boot) == ["queued", "queued", *around(rpc, "error", "error", *around(READ))]


def test_error_state_is_written_under_the_lock_of_the_device():
    class Telling(PciDev):
        error_state = property(lambda dev: 1, lambda dev, state: trace_of.say(f"state {state}"))

    def act(kernel, trace):
        nonlocal trace_of
        trace_of = trace
        pf = find(kernel, PF)
        pf.__class__ = Telling
        handlers = PciErrorHandlers(saying(trace, "detected", PCI_ERS_RESULT_CAN_RECOVER),
                                    resume=saying(trace, "resume"))
        pf.driver = PciDriver("igb", err_handler=handlers)
        data = AerBroadcastData(pci_channel_io_frozen, PCI_ERS_RESULT_CAN_RECOVER)
        kernel.report_error_detected(pf, data)
        kernel.report_resume(pf, data)
    trace_of = None
    assert traced(act, boot) == [*around(PF, "state 2", "detected"),
                                 *around(PF, "state 1", "resume")]


def test_text_that_makes_no_sense_is_refused_without_a_lock():
    def act(kernel, trace):
        pf = find(kernel, PF)
        for store in (kernel.sriov_numvfs_store, kernel.remove_store, kernel.dev_rescan_store,
                      kernel.sriov_drivers_autoprobe_store):
            assert store(pf, "x") < 0
        assert kernel.sriov_numvfs_store(pf, "8") < 0 and kernel.bus_rescan_store("x") < 0
        assert kernel.remove_store(pf, "0") == kernel.bus_rescan_store("0") == 1
        assert kernel.unbind_store(kernel.pcie_portdriver, PF) < 0
        assert kernel.bind_store(kernel.pcie_portdriver, PF) < 0
        with device_lock(pf):    # a run without any lock would be no run
            pass
    assert traced(act, boot) == around(PF)


def test_number_of_vfs_is_compared_under_the_lock_of_the_pf():
    class Telling(PciSriov):
        num_VFs = property(lambda iov: trace_of.say("num_VFs") or 0)

    def act(kernel, trace):
        nonlocal trace_of
        trace_of = trace
        pf = find(kernel, PF)
        pf.sriov.__class__ = Telling
        assert kernel.sriov_numvfs_store(pf, "0") == 1
        pf.sriov.__class__ = PciSriov
    trace_of = None
    assert traced(act, boot) == around(PF, "num_VFs")


def test_two_vfs_are_made_and_removed_under_the_lock_of_their_pf():
    def configure(kernel):
        def sriov_configure(dev, number):
            if number:
                return kernel.pci_enable_sriov(dev, number) or number
            kernel.pci_disable_sriov(dev)
            return 0
        return sriov_configure

    def act(kernel, trace):
        load(kernel, sriov_configure=configure(kernel))
        trace.lines.clear()
        for number in "10":
            kernel.sriov_numvfs_store(find(kernel, PF), number)
    vf, cfg = "0000:01:10.0", around(f"block_cfg_access({PF})")
    made = [*around("&pci_slot_mutex"), *around(WRITE), *around(vf), *around(vf)]
    removed = [*around(vf), *ASPM, *around(vf), *around(WRITE)]
    assert traced(act, boot) == around(PF, *cfg, *made) + around(PF, *removed, *cfg)
