"""The last that is taken and the first that is not, of whatever is counted: numbers, slots, places.

v4.14's limits; what is refused is refused with its errno and takes nothing.
"""

import errno

import pytest
from model_worlds import IGB, PF, boot, find, load, vfs

from pcimodel.aerdrv import AER_CORRECTABLE, AER_FATAL, AER_NONFATAL, AerErrInfo
from pcimodel.device import NULL, Device, device_lock
from pcimodel.hardware import BUS_END, Endpoint, Machine, RootPort, Sriov, parse_devfn
from pcimodel.pci import PciBus, PciDev, PciSriov
from pcimodel.pci_regs import PCI_ERR_COR_MASK, PCI_ERR_UNCOR_MASK
from pcimodel.trees.v4_14 import V4_14
from pcimodel.workqueue import Worker, WorkStruct

EINVAL, ENOMEM, ERANGE = -errno.EINVAL, -errno.ENOMEM, -errno.ERANGE
ENOSPC = -errno.ENOSPC


def enable(kernel, number, name=PF):
    pf = find(kernel, name)
    with device_lock(pf):
        return kernel.pci_enable_sriov(pf, number)


def store(kernel, number):
    load(kernel, sriov_configure=lambda dev, number: kernel.pci_enable_sriov(dev, number) or number)
    return kernel.sriov_numvfs_store(find(kernel, PF), str(number))


def limit(kernel, number):
    return kernel.pci_sriov_set_totalvfs(find(kernel, PF), number)


def limited(kernel, number):
    limit(kernel, 3)
    return store(kernel, number)


# What is counted, in which world, what is called, the last that is taken (and the answer to it),
# the answer to the next one.
COUNTED = [
    ("VFs of a PF", Sriov(), 0, enable, 7, 0, EINVAL),
    ("VFs of a PF with one", Sriov(total_vfs=1), 0, enable, 1, 0, EINVAL),
    ("VFs where they may migrate",
     Sriov(total_vfs=4, initial_vfs=2, vf_migration=True), 0, enable, 4, 0, EINVAL),
    ("VFs on the bus of their PF", Sriov(offset=0xFD, stride=1), 0, enable, 3, 0, ENOMEM),
    ("VFs of every second devfn", Sriov(offset=0xFB, stride=2), 0, enable, 3, 0, ENOMEM),
    ("VFs on the next bus number", Sriov(offset=0x1FD, stride=1), 1, enable, 3, 0, ENOMEM),
    ("VFs with a bus number each", Sriov(offset=0x80, stride=0x100), 2, enable, 3, 0, ENOMEM),
    ("VFs of user space", Sriov(), 0, store, 7, 1, ERANGE),
    ("VFs of user space, limited", Sriov(), 0, limited, 3, 1, ERANGE),
    ("limit of a driver", Sriov(), 0, limit, 7, 0, EINVAL),
]


@pytest.mark.parametrize("sriov, spare, call, last, answer, refusal",
                         [row[1:] for row in COUNTED], ids=[row[0] for row in COUNTED])
def test_last_number_is_taken_and_the_next_is_refused(sriov, spare, call, last, answer, refusal):
    kernel = boot(sriov, spare_buses=spare)
    assert (call(kernel, last + 1), vfs(kernel), find(kernel, PF).sriov.ctrl) == (refusal, [], 0)
    kernel = boot(sriov, spare_buses=spare)
    assert call(kernel, last) == answer
    made = 0 if call is limit else min(last, find(kernel, PF).sriov.initial_VFs)
    assert len(vfs(kernel)) == made


@pytest.mark.parametrize("offset, stride, places", [
    (0xFE, 1, ["01:1f.6", "01:1f.7", "02:00.0"]), (1, 1, ["01:00.1", "01:00.2", "01:00.3"]),
    (0xFF, 0x100, ["01:1f.7", "02:1f.7", "03:1f.7"]),
    (0x100, 0xFF, ["02:00.0", "02:1f.7", "03:1f.6"])])
def test_vfs_are_on_each_side_of_the_end_of_a_bus_where_the_hardware_has_them(
        offset, stride, places):
    kernel = boot(Sriov(offset=offset, stride=stride), spare_buses=2)
    assert enable(kernel, 3) == 0
    assert vfs(kernel) == [f"0000:{place}" for place in places]
    assert [f"{rid >> 8:02x}:{rid >> 3 & 31:02x}.{rid & 7}"
            for rid in find(kernel, PF).config.vfs] == places


@pytest.mark.parametrize("number", [0, 1, 7])
def test_vfs_are_counted_as_they_were_enabled_and_none_can_be_added(number):
    kernel = boot()
    assert enable(kernel, number) == 0
    pf = find(kernel, PF)
    assert (kernel.pci_num_vf(pf), kernel.sriov_numvfs_show(pf)) == (number, f"{number}\n")
    assert enable(kernel, 1) == (EINVAL if number else 0)


@pytest.mark.parametrize("bars, without", [(2, 0), (2, 1), (2, 2), (6, 1)])
def test_each_bar_needs_room_and_address(bars, without):
    expected = ENOMEM if without else 0
    assert enable(boot(Sriov(bars=bars, bars_without_room=without)), 1) == expected
    assert enable(boot(Sriov(bars=bars, bars_without_address=without)), 1) == expected


def test_third_pf_of_a_card_refers_to_the_first_and_gives_its_reference_back():
    card = {f"00.{at}": Endpoint(*IGB, sriov=Sriov(offset=0x80 + at)) for at in (1, 2)}
    kernel = boot(below=card)
    first, *others = (find(kernel, f"0000:01:00.{at}") for at in range(3))
    assert [pf.sriov.dev for pf in others] == [first, first] and first.sriov.dev is first
    held = first.refcount
    for at, pf in enumerate(others, 1):
        kernel.pci_stop_and_remove_bus_device_locked(pf)
        assert first.refcount == held - at


def test_first_and_last_slot_and_function_are_scanned():
    slots = [f"{slot}.{fn}" for slot in ("00", "1f") for fn in (0, 1, 7)]
    kernel = V4_14(Machine({slot: Endpoint() for slot in slots}))
    assert [dev.name for dev in kernel.for_each_pci_dev()] == [f"0000:00:{slot}" for slot in slots]
    assert [dev.multifunction for dev in kernel.for_each_pci_dev()] == [True] * 6
    assert (parse_devfn("1f.7"), parse_devfn("00")) == (255, 0)


def test_bus_numbers_go_up_to_the_last():
    kernel = boot(spare_buses=BUS_END)
    bus = find(kernel, PF).bus
    assert (bus.number, bus.busn_res_end, kernel.pci_root_buses[0].busn_res_end) == (1, 255, 255)


@pytest.mark.parametrize("noted, answer, left", [(0, 0, 1), (4, 0, 5), (5, ENOSPC, 5)])
def test_five_devices_are_noted_for_one_error(noted, answer, left):
    kernel = boot()
    pf = find(kernel, PF)
    info = AerErrInfo([pf] * noted)
    assert (kernel.add_error_device(info, pf), len(info.dev)) == (answer, left)


@pytest.mark.parametrize("lines, said, first", [(1, 3, 2), (3, 3, 0), (3, 4, 1)])
def test_log_keeps_its_last_lines(lines, said, first):
    kernel = boot(dmesg_lines=lines)
    for number in range(said):
        kernel.printk(6, f"line {number}")
    assert list(kernel.dmesg) == [f"line {number}" for number in range(first, said)]


@pytest.mark.parametrize("queued, kept", [(0, 0), (1, 1), (15, 15), (16, 16), (17, 16)])
def test_firmware_has_sixteen_places_for_its_errors(queued, kept):
    kernel = boot()
    load(kernel)
    worker = kernel.create_worker(0)
    for _ in range(queued):
        kernel.aer_recover_queue(0, 1, 0, AER_NONFATAL)
    lost = sum("Buffer overflow" in line for line in kernel.dmesg)
    kernel.dmesg.clear()
    worker.worker_thread()
    asked = sum("broadcast error_detected message" in line for line in kernel.dmesg)
    assert (asked, lost) == (kept, queued - kept)


@pytest.mark.parametrize("raised, received", [(1, 1), (99, 99), (100, 99)])
def test_port_has_99_places_for_its_errors(raised, received):
    kernel = boot()
    worker = kernel.create_worker(0)
    for _ in range(raised):
        kernel.aer_inject(find(kernel, PF), AER_CORRECTABLE)
    worker.worker_thread()
    assert sum("error received" in line for line in kernel.dmesg) == received


def test_each_of_three_ports_has_its_own_below():
    kernel = V4_14(Machine({f"0{at}.0": RootPort({"00.0": Endpoint()}) for at in (1, 2, 3)}))
    found = [(port.devfn >> 3, port.subordinate.number, port.subordinate.busn_res_end,
              [dev.name for dev in port.subordinate.devices])
             for port in kernel.pci_root_buses[0].devices]
    assert found == [(at, at, at, [f"0000:0{at}:00.0"]) for at in (1, 2, 3)]


@pytest.mark.parametrize("answer", [-errno.EIO, 0, 1, 4, 5, 6])
def test_driver_that_enables_any_other_number_than_was_asked_for_is_warned_of(answer):
    kernel = boot()
    load(kernel, sriov_configure=lambda dev, number: answer)
    kernel.dmesg.clear()
    assert kernel.sriov_numvfs_store(find(kernel, PF), "5") == (answer if answer < 0 else 1)
    warning = [f"igb {PF}: 5 VFs requested; only {answer} enabled"]
    assert list(kernel.dmesg) == ([] if answer < 0 or answer == 5 else warning)


@pytest.mark.parametrize("mask, masked", [
    (PCI_ERR_COR_MASK, [AER_CORRECTABLE]), (PCI_ERR_UNCOR_MASK, [AER_NONFATAL, AER_FATAL])])
def test_error_is_masked_by_the_register_of_its_own_severity(mask, masked):
    kernel = boot()
    pf, worker = find(kernel, PF), kernel.create_worker(0)
    kernel.pci_write_config_dword(pf, pf.aer_cap + mask, 0xFFFFFFFF)
    assert [severity for severity in (AER_CORRECTABLE, AER_NONFATAL, AER_FATAL)
            if kernel.aer_inject(pf, severity) == EINVAL] == masked
    worker.worker_thread()


def test_what_is_only_allocated_has_no_reference_no_state_and_counts_nothing():
    bus = PciBus(3)
    for dev in Device("thing"), PciDev(bus), bus.dev:
        counted = {name: value for name, value in vars(dev).items()
                   if value and type(value) in (int, bool)}
        assert counted == ({"error_state": 1} if type(dev) is PciDev else {})
    assert (bus.number, bus.busn_res_end, bus.devices, bus.children) == (3, 3, [], [])
    assert {name for name, value in vars(PciSriov(0, NULL)).items() if value} \
        == {"drivers_autoprobe"}


def test_worker_that_has_done_its_item_takes_the_next_one():
    """Between the two it is idle: for one more item no other worker is started."""
    kernel, ran = V4_14(), []
    worker = Worker(kernel, kernel._pool(0))
    kernel.process_one_work(worker, WorkStruct("first", ran.append))
    next_one = WorkStruct("next", ran.append)
    kernel.schedule_work(next_one)
    assert (kernel.next_work(worker), len(ran), worker.pool.serial) == (next_one, 1, 0)
