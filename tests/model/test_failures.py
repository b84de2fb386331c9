"""Whatever can fail is let fail, at each call of it, in operations that lead everywhere: what they
answer, what is left, and that they succeed afterwards.  A function that is new has to be placed.

The table is judged by what C does (KERNEL.md 1 and 12): each error path gives back what it took,
but for what v4.14 itself forgets, which is written where it is left.  The file is long because it
is one table.
"""

import ast
import errno
import re
from functools import cache
from pathlib import Path

import pytest
from model_failures import broken, changes, failing, remembering, state_of
from model_operations import (SECOND, Bind, Enable, Firmware, Load, Recover, RecoverFatal, Rescan,
                              RescanSecond, Store, Unbind, pair, world)
from model_worlds import PF, PORT, find

import pcimodel
from pcimodel.aerdrv import AER_FATAL, AerErrInfo
from pcimodel.dd import EPROBE_DEFER
from pcimodel.device import Device, KernelOops
from pcimodel.err import PCI_ERS_RESULT_DISCONNECT, AerBroadcastData
from pcimodel.hardware import Endpoint, Machine, RootPort, Sriov
from pcimodel.pci import PciDriver, Resource, pci_domain_nr

EDOM = -errno.EDOM    # nobody's own: who answers so was answered so
EIO, ENODEV, ENOENT, ENOMEM = -errno.EIO, -errno.ENODEV, -errno.ENOENT, -errno.ENOMEM
EBUSY, EINVAL, ENOSYS, ERANGE = -errno.EBUSY, -errno.EINVAL, -errno.ENOSYS, -errno.ERANGE
NEAR, FAR = "0000:01:1f.6", "0000:02:00.0"    # VFs 0 and 1


# -- what comes of it ------------------------------------------------------------------------------


class Oopses(str):
    """What is different; undoing it dies."""


def unbound(dev, more="", also=""):
    return f"{dev}: dev_driver, driver, enable_cnt -1, {more}refcount -1{also}; {dev} registers: 4"


def not_added(dev):
    return unbound(dev, "is_added, ")


def not_bound_again(dev, more=""):
    return unbound(dev, more, ", state_saved")


SERVICE = "kernel aer_services 0000:00:03.0: dpc_handler, isr, rpc_mutex, rpd"
NO_PORT_DRIVER = not_bound_again(PORT).replace("registers: 4", "registers: 300, 4, 72") \
    + f"; {SERVICE}"
NOTHING_BELOW = f"no 0000:01; no {PF}; no bus 01; {PORT}: link_state, refcount -1, subordinate; " \
    "bus 00: children"
NO_PORT = f"no {PORT}; no 0000:01; no {PF}; no bus 01; 0000:00: refcount -1; " \
    f"bus 00: children, devices; {SERVICE}"
NO_PF = f"no {PF}; {PORT}: link_state; 0000:01: refcount -1; bus 01: devices"
NO_SECOND = f"no {SECOND}; 0000:01: refcount -1; {PF}: refcount -1; bus 01: devices"
NO_SRIOV = "{0}: is_physfn; {0} sriov: dev, drivers_autoprobe, initial_VFs, {1}max_VF_buses, " \
    "nres, pos, total_VFs; {0} sriov resource 0: has_parent; {0} sriov resource 1: has_parent"
# v4.14 forgets the struct of a VF whose header makes no sense, and so its reference on its bus; and
# a VF whose device_add failed stays on the list, where its PF's reference is gone.
FORGOTTEN_VF = ["0000:01: refcount +1", "new 0000:02; new bus 02"]
STALE_VF = [f"new {NEAR}; 0000:01: refcount +1; bus 01: devices",
            f"new 0000:02; new {FAR}; new bus 02; bus 01: children"]
PROBES = "pci_device_probe _pci_device_probe pci_call_probe local_pci_probe"

# Operation, functions, what they answer; then for each of their calls: the answer where the world
# is as before; that and what is different from before; or what is different from success.
ROWS = [
    (Enable, "sriov_enable sriov_check sriov_add_dep_link pcibios_sriov_enable sriov_add_vfs",
     EDOM, [EDOM]),
    (Enable, "pci_iov_add_virtfn pci_iov_link_virtfn", EDOM, [EDOM, EDOM]),
    (Enable, "sysfs_create_link", EDOM, [EDOM] * 5),
    (Enable, "pci_enable_resources", EDOM, [ENOMEM]),
    (Enable, "pci_get_slot", None, [ENODEV]),
    (Enable, "virtfn_add_bus pci_alloc_dev", None, [ENOMEM, ENOMEM]),
    (Enable, "pci_add_new_bus pci_alloc_child_bus pci_alloc_bus", None, [ENOMEM]),
    (Enable, "pci_setup_device", EDOM, [(EDOM, left) for left in FORGOTTEN_VF]),
    (Enable, "pci_read_config_byte", 0xFF, [(EIO, left) for left in FORGOTTEN_VF]),
    (Enable, "pci_iov_init", EDOM, ["", ""]),
    (Enable, "device_add kobject_add", EDOM,
     [(ENOENT, STALE_VF[0]), Oopses("0000:02: kobj_parent"), (ENOENT, STALE_VF[1])]),
    (Enable, "device_register", EDOM, [Oopses("no 0000:02")]),
    (Enable, "device_attach driver_probe_device", EDOM, [not_added(NEAR), not_added(FAR)]),
    (Enable, "device_attach", -EPROBE_DEFER, [unbound(NEAR), unbound(FAR)]),
    (Enable, "_device_attach", EDOM, ["", not_added(NEAR), "", not_added(FAR)]),
    (Enable, "_device_attach_driver", EDOM,
     [*[""] * 3, *[not_added(NEAR)] * 2, *[""] * 3, *[not_added(FAR)] * 2]),
    (Enable, f"{PROBES} igbvf.probe", EDOM, [unbound(NEAR), unbound(FAR)]),
    (Store, "sriov_numvfs_configure igb.sriov_configure pci_enable_sriov", EDOM, [EDOM]),
    (Store, "virtfn_add_bus", None, [ENOMEM, ENOMEM]),
    (Load, "driver_register", EDOM, [EDOM]),
    (Load, f"driver_probe_device {PROBES}", EDOM, [unbound(PF)]),
    (Load, "pci_match_device", None, ["", unbound(PF), unbound(PF)]),
    (Bind, "bus_find_device_by_name bus_find_device", None, [ENODEV]),
    (Bind, "driver_probe_device", EDOM, [EDOM]),
    (Bind, f"{PROBES} igb.probe", EDOM, [ENODEV]),
    (Unbind, "bus_find_device_by_name bus_find_device", None, [ENODEV]),
    (Rescan, "pci_add_new_bus pci_alloc_child_bus pci_alloc_bus", None, [NOTHING_BELOW]),
    (Rescan, "pci_alloc_dev", None, [NO_PORT, NO_PF]),
    (Rescan, "pci_setup_device", EDOM, [NO_PORT, NO_PF]),
    (Rescan, "device_register", EDOM, [Oopses("no 0000:01")]),
    (Rescan, "sriov_init compute_max_vf_buses", EDOM, [NO_SRIOV.format(PF, "")]),
    (Rescan, "pci_enable_pcie_error_reporting", EDOM, [f"{PORT} registers: 72"]),
    (Rescan, "aer_probe pcie_port_device_register pcieport.probe", EDOM, [NO_PORT_DRIVER]),
    (Rescan, PROBES, EDOM, [NO_PORT_DRIVER, not_bound_again(PF)]),
    (Rescan, "igb.probe", EDOM, [not_bound_again(PF)]),
    (RescanSecond, "pci_alloc_dev", None, [NO_SECOND]),
    (RescanSecond, "pci_setup_device", EDOM, [NO_SECOND]),
    (RescanSecond, "sriov_init pci_iov_init", EDOM,
     [f"{PF}: refcount -1; {NO_SRIOV.format(SECOND, 'link, ')}"]),
    (RescanSecond, "device_attach driver_probe_device", EDOM,
     [not_bound_again(SECOND, "is_added, ")]),
    (Recover, "pcie_find_root_port", None, [ENODEV]),
    (Recover, "add_error_device", -errno.ENOSPC, [("can't find device of ID0100", "")]),
    (Recover, "igb.error_detected igb.mmio_enabled", PCI_ERS_RESULT_DISCONNECT,
     [("Device recovery failed", "")]),
    (RecoverFatal, "reset_link igb.error_detected igb.slot_reset", PCI_ERS_RESULT_DISCONNECT,
     [("Device recovery failed", f"{PF}: error_state")]),
    (Firmware, "pci_get_domain_bus_and_slot", None,
     [("Can not find pci_dev for 0000:01:00:0", "")]),
]


@pytest.mark.parametrize("operation, name, answer, outcomes", [
    pytest.param(operation, name, answer, outcomes, id=f"{operation.__name__}-{name}")
    for operation, names, answer, outcomes in ROWS for name in names.split()])
def test_failure_gives_back_what_was_taken_and_the_same_succeeds_afterwards(
        operation, name, answer, outcomes):
    success, done, undone = without_failure(operation)
    kernel = operation.build()
    with failing(kernel, name, 0, answer) as calls:
        operation.act(kernel)
    assert len(calls) == len(outcomes)
    for at, outcome in enumerate(outcomes, 1):
        kernel = operation.build()
        before = state_of(kernel)
        with failing(kernel, name, at, answer):
            answered = operation.act(kernel)
        fails = isinstance(answered, int) and answered < 0
        different = changes(before if fails else done, state_of(kernel))
        came_to = different if answered == success else answered if different == "" and fails \
            else (answered, different)
        assert (at, came_to, broken(kernel)) == (at, outcome, [])
        if isinstance(outcome, Oopses):
            with pytest.raises(KernelOops, match="was not added"):
                operation.undo(kernel)
            continue
        if not fails and operation.undo is not Recover.undo:
            operation.undo(kernel)
            assert (at, changes(undone, state_of(kernel))) == (at, "")
        assert (at, operation.act(kernel), broken(kernel)) == (at, success, [])
        if not fails or "new" not in different:
            assert (at, changes(done, state_of(kernel))) == (at, different if fails else "")


@cache
def without_failure(operation):
    """Return what the operation answers, and the states after it and after it was undone."""
    kernel = operation.build()
    success, done = operation.act(kernel), state_of(kernel)
    operation.undo(kernel)
    assert broken(kernel) == []
    return success, done, state_of(kernel)


# -- what is refused at once -----------------------------------------------------------------------


def test_pf_whose_capability_makes_no_sense_is_none_and_keeps_the_first_one_in_memory():
    """v4.14 forgets its reference on the first PF: fail_max_buses does not put it."""
    kernel = RescanSecond.build()
    with failing(kernel, "compute_max_vf_buses", 1, EIO):
        RescanSecond.act(kernel)
    second = find(kernel, SECOND)
    assert (second.is_physfn, second.sriov, find(kernel, PF).refcount) == (False, None, 3)
    RescanSecond.undo(kernel)
    assert (find(kernel, PF).refcount, broken(kernel)) == (3, [])


def test_bus_that_could_not_be_registered_is_a_warning():
    kernel = Enable.build()
    with failing(kernel, "device_register", 1, EDOM):
        assert Enable.act(kernel) == 0
    assert f"WARNING: device_register of bus 0000:02 failed ({EDOM})" in kernel.dmesg


def test_reference_on_the_pf_is_put_before_the_vf_is_removed_whose_link_failed():
    kernel, seen = pair(), []
    plain = kernel.pci_stop_and_remove_bus_device
    kernel.pci_stop_and_remove_bus_device = lambda dev: (
        seen.append(find(kernel, PF).refcount), plain(dev))
    before = find(kernel, PF).refcount
    with failing(kernel, "pci_iov_link_virtfn", 1, EDOM):
        Enable.act(kernel)
    assert seen == [before]


def test_error_below_a_port_without_aer_cannot_be_injected_and_sets_no_register():
    kernel = remembering()(Machine({"03.0": RootPort({"00.0": Endpoint()}, aer=False)}))
    before = state_of(kernel)
    assert kernel.aer_inject(find(kernel, PF), AER_FATAL) == -errno.EPROTONOSUPPORT
    assert changes(before, state_of(kernel)) == ""


REFUSED = [    # what is called of a PF that is bound and has no VFs, and what it answers
    ("driver_register", EBUSY, lambda k, pf: k.driver_register(PciDriver("igb"))),
    ("pci_register_driver", EBUSY, lambda k, pf: k.pci_register_driver(PciDriver("igb"))),
    ("aer_probe", EBUSY, lambda k, pf: k.aer_probe(find(k, PORT))),
    ("pcie_portdrv_probe", ENODEV, lambda k, pf: k.pcie_portdrv_probe(pf, None)),
    ("pci_enable_pcie_error_reporting", EIO,
     lambda k, pf: k.pci_enable_pcie_error_reporting(find(k, SECOND))),
    ("pci_cleanup_aer_uncorrect_error_status", EIO,
     lambda k, pf: k.pci_cleanup_aer_uncorrect_error_status(find(k, SECOND))),
    ("aer_inject", -errno.EPROTONOSUPPORT, lambda k, pf: k.aer_inject(find(k, SECOND), AER_FATAL)),
    ("add_error_device", -errno.ENOSPC, lambda k, pf: k.add_error_device(AerErrInfo([pf] * 5), pf)),
    ("pci_iov_init", ENODEV, lambda k, pf: k.pci_iov_init(find(k, PORT))),
    ("pci_iov_virtfn_bus", EINVAL, lambda k, pf: k.pci_iov_virtfn_bus(find(k, PORT), 0)),
    ("pci_iov_virtfn_devfn", EINVAL, lambda k, pf: k.pci_iov_virtfn_devfn(find(k, PORT), 0)),
    ("pci_sriov_set_totalvfs", ENOSYS, lambda k, pf: k.pci_sriov_set_totalvfs(find(k, PORT), 1)),
    ("pci_sriov_set_totalvfs", EINVAL, lambda k, pf: k.pci_sriov_set_totalvfs(pf, 8)),
    ("pci_enable_sriov", ENOSYS, lambda k, pf: k.pci_enable_sriov(find(k, PORT), 1)),
    ("sriov_enable", EINVAL, lambda k, pf: k.sriov_enable(pf, 8)),
    ("sriov_check", EINVAL, lambda k, pf: k.sriov_check(pf, -1)),
    ("pci_enable_resources", EINVAL, lambda k, pf: k.pci_enable_resources(pf, [Resource(False)])),
    ("sysfs_create_link", ENOENT,
     lambda k, pf: k.sysfs_create_link(pf, Device("not in sysfs"), "to")),
    ("sriov_numvfs_store", EINVAL, lambda k, pf: k.sriov_numvfs_store(pf, "-1")),
    ("sriov_numvfs_store", ERANGE, lambda k, pf: k.sriov_numvfs_store(pf, "8")),
    ("sriov_numvfs_configure", ENOENT,
     lambda k, pf: k.sriov_numvfs_configure(find(k, SECOND), 1)),
    ("sriov_drivers_autoprobe_store", EINVAL,
     lambda k, pf: k.sriov_drivers_autoprobe_store(pf, "x")),
    ("remove_store", EINVAL, lambda k, pf: k.remove_store(pf, "x")),
    ("dev_rescan_store", EINVAL, lambda k, pf: k.dev_rescan_store(pf, "x")),
    ("bus_rescan_store", EINVAL, lambda k, pf: k.bus_rescan_store("x")),
    ("bind_store", ENODEV, lambda k, pf: k.bind_store(k.igb, PF)),
    ("bind_store", ENODEV, lambda k, pf: k.bind_store(k.pcie_portdriver, SECOND)),
    ("unbind_store", ENODEV, lambda k, pf: k.unbind_store(k.pcie_portdriver, PF)),
]


@pytest.mark.parametrize("name, answer, call", REFUSED)
def test_what_is_refused_changes_nothing(name, answer, call):
    kernel = world(Endpoint(0x8086, 0x1234, sriov=Sriov(offset=0x90), aer=False))
    before = state_of(kernel)
    assert call(kernel, find(kernel, PF)) == answer
    assert (changes(before, state_of(kernel)), broken(kernel)) == ("", [])


SUCCEEDS = [    # what answers 0 if all is well, whoever looks at it or not
    ("pci_enable_pcie_error_reporting", lambda k, pf: k.pci_enable_pcie_error_reporting(pf)),
    ("pci_disable_pcie_error_reporting", lambda k, pf: k.pci_disable_pcie_error_reporting(pf)),
    ("pci_cleanup_aer_uncorrect_error_status",
     lambda k, pf: k.pci_cleanup_aer_uncorrect_error_status(pf)),
    ("set_device_error_reporting", lambda k, pf: k.set_device_error_reporting(find(k, PORT), True)),
    ("set_device_error_reporting", lambda k, pf: k.set_device_error_reporting(pf, True)),
    ("add_error_device", lambda k, pf: k.add_error_device(AerErrInfo(), pf)),
    ("find_device_iter", lambda k, pf: k.find_device_iter(pf, AerErrInfo(id=0x0500))),
    ("find_device_iter",
     lambda k, pf: k.find_device_iter(pf, AerErrInfo(id=0x0100, multi_error_valid=True))),
    ("report_error_detected", lambda k, pf: k.report_error_detected(pf, AerBroadcastData(1, 2))),
    ("report_mmio_enabled", lambda k, pf: k.report_mmio_enabled(pf, AerBroadcastData(1, 5))),
    ("report_slot_reset", lambda k, pf: k.report_slot_reset(pf, AerBroadcastData(1, 5))),
    ("report_resume", lambda k, pf: k.report_resume(pf, AerBroadcastData(1, 5))),
    ("driver_attach", lambda k, pf: k.driver_attach(k.igb)),
    ("_driver_attach", lambda k, pf: k._driver_attach(pf, k.igb)),
    ("_driver_attach", lambda k, pf: k._driver_attach(pf, k.pcie_portdriver)),
    ("bus_for_each_drv", lambda k, pf: k.bus_for_each_drv(lambda drv: 0)),
    ("bus_add_driver", lambda k, pf: k.bus_add_driver(PciDriver("nobody's"))),
    ("driver_match_device", lambda k, pf: k.driver_match_device(k.pcie_portdriver, pf)),
    ("_device_attach", lambda k, pf: k._device_attach(find(k, SECOND))),
    ("pci_enable_device", lambda k, pf: k.pci_enable_device(pf)),
    ("pci_save_state", lambda k, pf: k.pci_save_state(pf)),
    ("pci_enable_resources", lambda k, pf: k.pci_enable_resources(pf, pf.sriov.resource)),
    ("pcibios_sriov_enable", lambda k, pf: k.pcibios_sriov_enable(pf, 1)),
    ("pcibios_sriov_disable", lambda k, pf: k.pcibios_sriov_disable(pf)),
    ("sriov_check", lambda k, pf: k.sriov_check(pf, 1)),
    ("sriov_add_dep_link", lambda k, pf: k.sriov_add_dep_link(pf)),
    ("sriov_add_vfs", lambda k, pf: k.sriov_add_vfs(pf, 0)),
    ("pci_iov_init", lambda k, pf: k.pci_iov_init(pf)),
    ("pci_sriov_set_totalvfs", lambda k, pf: k.pci_sriov_set_totalvfs(pf, 7)),
    ("pci_num_vf", lambda k, pf: k.pci_num_vf(find(k, PORT))),
    ("pci_sriov_get_totalvfs", lambda k, pf: k.pci_sriov_get_totalvfs(find(k, PORT))),
    ("sriov_numvfs_configure", lambda k, pf: k.sriov_numvfs_configure(pf, 0)),
    ("pci_scan_slot", lambda k, pf: k.pci_scan_slot(pf.bus, 8)),
    ("pci_domain_nr", lambda k, pf: pci_domain_nr(pf.bus)),
    ("smp_processor_id", lambda k, pf: k.smp_processor_id()),
]


@pytest.mark.parametrize("name, call", SUCCEEDS)
def test_success_is_0(name, call):
    kernel = world(Endpoint(0x8086, 0x1234, sriov=Sriov(offset=0x90)))
    answer = call(kernel, find(kernel, PF))
    assert (answer, type(answer)) == (0, int)


# -- each function has its place -------------------------------------------------------------------

LOOKUPS = {    # None says that there is none: no failure of theirs
    "bus_find_device", "bus_find_device_by_name", "pci_find_next_bus", "pci_do_find_bus",
    "pci_find_bus", "pci_get_slot", "pci_get_domain_bus_and_slot", "pci_match_device",
    "get_service_data", "get_e_source", "next_work", "pcie_find_root_port", "pci_scan_device",
    "pci_scan_single_device"}
OF_A_DEVICE_THAT_IS_GONE = {    # -ENODEV: test_files_of_a_device_that_is_gone_give_enodev
    "sriov_totalvfs_show", "sriov_numvfs_show"}


def test_every_function_that_can_fail_is_let_fail():
    found = set()
    for path in Path(pcimodel.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and ast.unparse(node.args).startswith("self"):
                returns = re.search(r"Returns:(.*?)Left out:", ast.get_docstring(node) or "", re.S)
                if returns and re.search(r"-E[A-Z]|errno|None|platform|DISCONNECT", returns[1]):
                    found.add(node.name)
    placed = {name for _, names, _, _ in ROWS for name in names.split()}
    placed |= {name for name, *_ in REFUSED} | LOOKUPS | OF_A_DEVICE_THAT_IS_GONE
    assert found - placed == set()
    assert {name for name in placed - found if "." not in name} == {"pci_read_config_byte"}
