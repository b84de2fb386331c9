"""Enabling VFs: each check of sriov_enable, each step of pci_iov_add_virtfn, and what is undone."""

import errno

import pytest
from model_worlds import IGBVF, PF, PORT, boot, find, load, names, sriov_state, vfs

from pcimodel.device import KernelOops, device_lock
from pcimodel.hardware import SRIOV_POS, Endpoint, Sriov
from pcimodel.pci_regs import PCI_SRIOV_INITIAL_VF, PCI_SRIOV_NUM_VF
from pcimodel.trees.v4_14 import V4_14

OFF = (0, 0, False)


def enable(kernel, number, name=PF):
    """Enable VFs as a driver does, with the PF's lock held."""
    pf = find(kernel, name)
    with device_lock(pf):
        return kernel.pci_enable_sriov(pf, number)


def disable(kernel):
    with device_lock(find(kernel, PF)):
        kernel.pci_disable_sriov(find(kernel, PF))


def initial_vfs(kernel, number):
    """Let the hardware change its mind about InitialVFs after enumeration."""
    pf = find(kernel, PF)
    pf.config.registers[pf.sriov.pos + PCI_SRIOV_INITIAL_VF] = number


def assert_untouched(kernel, references):
    """I18: nothing of a failed attempt remains."""
    pf = find(kernel, PF)
    assert sriov_state(kernel, pf) == OFF and vfs(kernel) == [] and pf.links == {}
    assert (pf.refcount, pf.bus.refcount) == references
    assert pf.bus.children == [] and not pf.cfg_lock.locked()


def refused(kernel, number):
    """Enable, see that nothing remains, and return the errno."""
    pf = find(kernel, PF)
    references = pf.refcount, pf.bus.refcount
    err = -enable(kernel, number)
    assert_untouched(kernel, references)
    return err


# -- the checks, in the order of sriov_enable ----------------------------------------------------

def test_device_without_sriov_gives_enosys():
    assert enable(boot(), 1, PORT) == -errno.ENOSYS


def test_enabling_no_vfs_succeeds_and_does_nothing():
    assert refused(boot(), 0) == 0


def test_enabling_twice_gives_einval_and_leaves_the_first():
    kernel = boot()
    assert (enable(kernel, 2), enable(kernel, 3)) == (0, -errno.EINVAL)
    assert sriov_state(kernel, find(kernel, PF)) == (2, 2, True)


@pytest.mark.parametrize("sriov, initial", [
    (Sriov(total_vfs=4), 5), (Sriov(total_vfs=4), 3), (Sriov(total_vfs=4, vf_migration=True), 5)])
def test_initial_vfs_out_of_order_gives_eio(sriov, initial):
    kernel = boot(sriov)
    initial_vfs(kernel, initial)
    assert refused(kernel, 1) == errno.EIO


def test_with_migration_initial_vfs_may_be_below_total():
    kernel = boot(Sriov(total_vfs=4, initial_vfs=2, vf_migration=True))
    assert enable(kernel, 3) == 0
    assert len(vfs(kernel)) == 2 and sriov_state(kernel, find(kernel, PF)) == (3, 3, True)


@pytest.mark.parametrize("number", [-1, 8])
def test_number_out_of_range_gives_einval(number):
    assert refused(boot(), number) == errno.EINVAL


def test_vf_bars_without_room_give_enomem_and_say_so():
    kernel = boot(Sriov(bars_without_room=1))
    assert refused(kernel, 1) == errno.ENOMEM
    assert kernel.dmesg[-1] == f"pci {PF}: not enough MMIO resources for SR-IOV"


def test_vfs_beyond_the_bus_numbers_of_the_bridge_give_enomem_and_say_so():
    kernel = boot(Sriov(offset=0xFE, stride=2))
    assert refused(kernel, 2) == errno.ENOMEM
    assert kernel.dmesg[-1] == \
        f"pci {PF}: can't enable 2 VFs (bus 02 out of range of [bus 01-01])"
    assert enable(kernel, 1) == 0 and vfs(kernel) == ["0000:01:1f.6"]


def test_vf_bars_without_address_give_enomem_and_say_so():
    kernel = boot(Sriov(bars_without_address=1))
    assert refused(kernel, 1) == errno.ENOMEM
    assert kernel.dmesg[-1] == f"pci {PF}: SR-IOV: IOV BARS not allocated"


def test_dependency_on_a_function_that_is_not_there_gives_enodev():
    assert refused(boot(Sriov(link=3)), 1) == errno.ENODEV


def test_dependency_on_a_function_without_vfs_gives_enosys():
    kernel = boot(Sriov(link=1), below={"00.1": Endpoint()})
    assert refused(kernel, 1) == errno.ENOSYS
    assert find(kernel, "0000:01:00.1").refcount == 1


def test_dependency_link_that_is_taken_gives_eexist():
    kernel = boot(Sriov(link=1), below={"00.1": Endpoint(sriov=Sriov())})
    pf, other = find(kernel, PF), find(kernel, "0000:01:00.1")
    kernel.sysfs_create_link(pf, other, "dep_link")
    before = other.refcount
    assert (enable(kernel, 1), other.refcount) == (-errno.EEXIST, before)


def test_dependency_link_lives_as_long_as_the_vfs():
    kernel = boot(Sriov(link=1), below={"00.1": Endpoint(sriov=Sriov(offset=0x90))})
    pf, other = find(kernel, PF), find(kernel, "0000:01:00.1")
    assert enable(kernel, 1) == 0 and pf.links["dep_link"] is other
    disable(kernel)
    assert pf.links == {}


def test_error_of_the_platform_reaches_the_driver_and_is_undone():
    kernel = boot(Sriov(arch_error=-errno.EBUSY, link=1), below={"00.1": Endpoint(sriov=Sriov())})
    assert refused(kernel, 1) == errno.EBUSY
    assert kernel.dmesg[-1] == f"pci {PF}: failure -16 from pcibios_sriov_enable()"


def test_checks_come_in_the_order_of_the_kernel():
    wrong = dict(bars_without_room=1, bars_without_address=2, link=3, arch_error=-errno.EBUSY)
    kernel = boot(Sriov(offset=0xFF, **wrong))
    initial_vfs(kernel, 9)
    answers = [-enable(kernel, 9)]
    initial_vfs(kernel, 7)
    answers += [-enable(kernel, 9), -enable(kernel, 2)]
    assert answers == [errno.EIO, errno.EINVAL, errno.ENOMEM]
    assert kernel.dmesg[-1].endswith("not enough MMIO resources for SR-IOV")


# -- errors of single VFs ------------------------------------------------------------------------

def test_vf_that_does_not_answer_fails_all_and_leaks_its_struct():
    kernel = boot(Sriov(unreadable_vfs=frozenset({1})))
    pf = find(kernel, PF)
    bus_references = pf.bus.refcount
    assert enable(kernel, 3) == -errno.EIO
    assert sriov_state(kernel, pf) == OFF and vfs(kernel) == [] and pf.links == {}
    # v4.14 forgets the struct of VF 1, and with it a reference on the bus; not one on the PF.
    assert (pf.refcount, pf.bus.refcount) == (1, bus_references + 1)
    assert "0000:01:10.2: unknown header type 7f, ignoring device" in kernel.dmesg[-1]


def test_bus_that_cannot_be_added_gives_enomem():
    kernel = boot(Sriov(offset=0xFE, stride=2), spare_buses=1, no_room_for_bus=[2])
    assert refused(kernel, 2) == errno.ENOMEM


def test_no_memory_for_a_vf_gives_enomem_and_removes_its_empty_bus():
    class NoMemoryOnBus2(V4_14):
        def pci_alloc_dev(self, bus):
            return None if bus.number == 2 else super().pci_alloc_dev(bus)
    kernel = boot(Sriov(offset=0xFE, stride=2), NoMemoryOnBus2, spare_buses=1)
    assert refused(kernel, 2) == errno.ENOMEM
    assert "0000:02" not in kernel.devices_kset


def test_vf_whose_link_is_taken_is_removed_again():
    kernel = boot()
    pf = find(kernel, PF)
    kernel.sysfs_create_link(pf, pf, "virtfn1")
    assert enable(kernel, 2) == -errno.EEXIST
    assert vfs(kernel) == [] and pf.refcount == 1 and list(pf.links) == ["virtfn1"]


def test_failed_physfn_link_removes_the_other_one():
    class TakenPhysfn(V4_14):
        def pci_device_add(self, dev, bus):
            super().pci_device_add(dev, bus)
            dev.links.update({"physfn": dev} if dev.is_virtfn else {})
    assert refused(boot(tree=TakenPhysfn), 1) == errno.EEXIST


def test_vf_driver_that_fails_is_no_error():
    kernel = boot()
    load(kernel, "igbvf", IGBVF, probe=lambda dev, id: -errno.ENOMEM)
    assert enable(kernel, 1) == 0
    assert vfs(kernel) == ["0000:01:10.0"] and find(kernel, "0000:01:10.0").is_added


# -- what enabling and disabling do --------------------------------------------------------------

def test_num_vfs_is_set_after_the_vfs_exist_and_user_space_was_told():
    kernel, seen = boot(), []

    def probe(dev, id):
        seen.append((dev.name, dev.physfn.sriov.num_VFs, sriov_state(kernel, dev.physfn)[1]))
        return 0
    load(kernel, "igbvf", IGBVF, probe=probe)
    kernel.kobject_uevent = lambda dev, action: (
        action == "change" and seen.append((action, dev.name, find(kernel, PF).sriov.num_VFs)))
    assert enable(kernel, 2) == 0
    assert seen == [("change", "0000:01:10.0", 0), ("0000:01:10.0", 0, 2),
                    ("change", "0000:01:10.2", 0), ("0000:01:10.2", 0, 2), ("change", PF, 0)]


def test_vf_is_on_the_list_before_it_may_have_a_driver():
    class Looking(V4_14):
        def device_add(self, dev):
            if getattr(dev, "is_virtfn", False):
                seen.append((dev in dev.bus.devices, dev.match_driver, dict(dev.links)))
            return super().device_add(dev)
    seen = []
    kernel = boot(tree=Looking)
    load(kernel, "igbvf", IGBVF,
         probe=lambda dev, id: seen.append((dev.match_driver, list(dev.links))) or 0)
    assert enable(kernel, 1) == 0
    assert seen == [(True, False, {}), (True, ["physfn"])]


def test_vfs_take_vendor_and_parent_from_their_pf():
    kernel = boot()
    enable(kernel, 1)
    vf, pf = find(kernel, "0000:01:10.0"), find(kernel, PF)
    assert (vf.vendor, vf.device) == IGBVF
    assert vf.parent is pf.parent is find(kernel, PORT) and vf.physfn is pf


def test_each_vf_holds_a_reference_on_its_pf_and_its_bus():
    kernel = boot()
    pf = find(kernel, PF)
    before = pf.refcount, pf.bus.refcount
    enable(kernel, 3)
    assert (pf.refcount, pf.bus.refcount) == (before[0] + 3, before[1] + 3)
    disable(kernel)
    assert_untouched(kernel, before)


def test_vfs_that_leave_the_bus_number_hang_on_a_virtual_bus_that_no_bridge_knows():
    kernel = boot(Sriov(offset=0xFE, stride=2), spare_buses=1)
    enable(kernel, 3)
    assert vfs(kernel) == ["0000:01:1f.6", "0000:02:00.0", "0000:02:00.2"]
    virtual = find(kernel, "0000:02:00.0").bus
    pf_bus = find(kernel, PF).bus
    assert virtual.self is None and virtual.parent is pf_bus and pf_bus.children == [virtual]
    assert virtual.refcount == 3 and find(kernel, "0000:02:00.0").parent is find(kernel, PORT)


def test_virtual_bus_goes_with_its_last_vf():
    kernel = boot(Sriov(offset=0xFE, stride=2), spare_buses=1)
    enable(kernel, 3)
    virtual = find(kernel, "0000:02:00.0").bus
    disable(kernel)
    assert find(kernel, PF).bus.children == [] and virtual.refcount == 0 and virtual.dev.freed


def test_vfs_are_removed_in_ascending_order_while_they_are_still_on():
    kernel, seen = boot(), []
    load(kernel, "igbvf", IGBVF, remove=lambda dev: seen.append(
        (dev.name, sriov_state(kernel, dev.physfn)[2])))
    enable(kernel, 2)
    disable(kernel)
    assert seen == [("0000:01:10.0", True), ("0000:01:10.2", True)]


def test_disable_tolerates_a_vf_that_is_gone():
    kernel = boot()
    enable(kernel, 3)
    references = find(kernel, PF).refcount
    kernel.pci_iov_remove_virtfn(find(kernel, PF), 1)
    assert find(kernel, PF).refcount == references - 1
    disable(kernel)
    assert (vfs(kernel), find(kernel, PF).refcount) == ([], 1)


def test_disable_without_vfs_does_nothing():
    kernel = boot()
    disable(kernel)
    kernel.pci_disable_sriov(find(kernel, PORT))
    assert sriov_state(kernel, find(kernel, PF)) == OFF


def test_vfs_can_be_enabled_after_they_were_disabled():
    kernel = boot()
    for number in (2, 4):
        assert enable(kernel, number) == 0 and len(vfs(kernel)) == number
        disable(kernel)
    assert names(kernel) == [PORT, PF]


def test_hardware_forgets_its_vfs_when_they_are_turned_off():
    kernel = boot()
    enable(kernel, 1)
    config = find(kernel, "0000:01:10.0").config
    disable(kernel)
    assert config.read(0x04, 2) == 0xFFFF and kernel.hardware.config(1, 0x80) is None


def test_enabling_sleeps_for_100_ms_and_turning_off_for_a_second():
    kernel, slept = boot(), []
    kernel.msleep = lambda ms: slept.append((ms, find(kernel, PF).cfg_lock.locked()))
    enable(kernel, 1)
    disable(kernel)
    assert slept == [(100, True), (1000, True)]


def test_other_pfs_of_a_card_refer_to_the_first():
    kernel = boot(below={f"00.{at}": Endpoint(sriov=Sriov(offset=0x90 * at)) for at in (1, 2)})
    first, second, third = (find(kernel, f"0000:01:00.{at}") for at in range(3))
    assert second.sriov.dev is third.sriov.dev is first and first.refcount == 3
    for at, each in enumerate((second, third), 1):
        kernel.pci_stop_and_remove_bus_device_locked(each)
        assert first.refcount == 3 - at


def test_capability_without_a_stride_makes_no_pf():
    pf = find(boot(Sriov(stride=0)), PF)
    assert not pf.is_physfn and pf.sriov is None
    assert pf.config.read(SRIOV_POS + PCI_SRIOV_NUM_VF, 2) == 0


def test_pf_that_is_freed_with_vfs_on_is_a_bug():
    kernel = boot()
    pf = find(kernel, PF)
    pf.sriov.num_VFs = 1
    with pytest.raises(KernelOops, match="0000:01:00.0 is freed with VFs on"):
        kernel.pci_stop_and_remove_bus_device_locked(pf)


def test_driver_may_limit_the_vfs_while_they_are_off():
    kernel = boot()
    pf, port = find(kernel, PF), find(kernel, PORT)
    answers = [kernel.pci_sriov_set_totalvfs(pf, n) for n in (3, 8)]
    answers += [kernel.pci_sriov_get_totalvfs(pf), kernel.pci_sriov_set_totalvfs(port, 1)]
    enable(kernel, 1)
    answers += [kernel.pci_sriov_set_totalvfs(pf, 2)]
    answers += [kernel.pci_num_vf(dev) for dev in (pf, port)]
    assert answers == [0, -errno.EINVAL, 3, -errno.ENOSYS, -errno.EBUSY, 1, 0]


def test_vf_holds_its_pf_before_anybody_can_see_it():
    class Looking(V4_14):
        def pci_device_add(self, dev, bus):
            if dev.is_virtfn:
                seen.append((dev.physfn.name, dev.physfn.refcount, dev.parent.name))
            super().pci_device_add(dev, bus)
    seen = []
    assert enable(boot(tree=Looking), 2) == 0
    assert seen == [(PF, 2, PORT), (PF, 3, PORT)]


def test_vfs_before_the_one_that_failed_are_removed_the_last_first():
    class Noting(V4_14):
        def pci_iov_remove_virtfn(self, dev, vf_id, reset=0):
            removed.append(vf_id)
            super().pci_iov_remove_virtfn(dev, vf_id, reset)
    removed = []
    assert enable(boot(Sriov(unreadable_vfs=frozenset({3})), Noting), 5) == -errno.EIO
    assert removed == [2, 1, 0]


@pytest.mark.parametrize("unreadable, at_the_hook", [((), (2, 2, False)), ((1,), (0, 2, False))])
def test_platform_cleans_up_after_vf_enable_was_cleared_and_before_the_number_is(
        unreadable, at_the_hook):
    class Noting(V4_14):
        def pcibios_sriov_disable(self, dev):
            seen.append((*sriov_state(self, dev), dev.cfg_lock.locked()))
            return super().pcibios_sriov_disable(dev)
    seen = []
    kernel = boot(Sriov(unreadable_vfs=frozenset(unreadable)), Noting)
    enable(kernel, 2)
    disable(kernel)
    assert seen == [(*at_the_hook, False)]
