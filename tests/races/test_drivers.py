"""The laboratory's own drivers vote as those of real machines did, and note what they see."""

from __future__ import annotations

import errno

import pytest

from pcimodel import err
from pcimodel.lab import compare, drivers
from pcimodel.lab.journal import Noted
from pcimodel.lab.machines import MACHINES
from pcimodel.lab.worlds import World
from pcimodel.pci import pci_channel_io_frozen, pci_channel_io_normal
from pcimodel.trees.v4_14 import V4_14

CAN_RECOVER, NEED_RESET = err.PCI_ERS_RESULT_CAN_RECOVER, err.PCI_ERS_RESULT_NEED_RESET


@pytest.mark.parametrize("driver, normal", [
    (drivers.igb, CAN_RECOVER), (drivers.igbvf, NEED_RESET), (drivers.nvme, CAN_RECOVER)])
def test_driver_asks_for_a_reset_of_a_frozen_channel_and_igbvf_always(driver, normal):
    world = World(V4_14, "writer", None)
    handlers = driver(world.kernel, journal=world.journal).err_handler
    votes = [handlers.error_detected(world.pf, state)
             for state in (pci_channel_io_normal, pci_channel_io_frozen)]
    assert votes == [normal, NEED_RESET]
    assert [noted.value for noted in world.journal if noted.what == "error_detected"] == [
        (pci_channel_io_normal, normal), (pci_channel_io_frozen, NEED_RESET)]
    assert [handlers.mmio_enabled(world.pf), handlers.slot_reset(world.pf)] == [
        err.PCI_ERS_RESULT_RECOVERED] * 2


def test_pf_driver_goes_on_without_vfs_and_takes_them_along_when_it_goes():
    world = World(V4_14, "writer", None, unreadable_vfs={0})
    world.kernel.pci_register_driver(world.igb(loads_vfs=True))
    assert world.pf.driver is world.pf_driver
    assert world.journal.last("enable") == Noted("enable", world.pf, (2, -errno.EIO), False)
    assert world.kernel.sriov_numvfs_store(world.pf, "2") == -errno.EIO
    world.pf.config.sriov = World(V4_14, "writer", None).pf.config.sriov    # now they answer
    assert world.kernel.sriov_numvfs_store(world.pf, "2") == 1
    world.kernel.unbind_store(world.pf_driver, world.pf.name)
    assert (world.vfs(), world.pf.enable_cnt) == ([], 0)


@pytest.mark.parametrize("machine, tried", [(None, list(MACHINES)), ("switch", ["switch"])])
def test_comparison_is_made_on_all_machines_or_on_the_one_that_was_named(
        machine, tried, monkeypatch):
    monkeypatch.setattr(compare, "judge", lambda question, machines: (question.fix, machines))
    cells = compare.compare(["vf-driver-load"], "v4.14", ["a-fix"], timeout=5, policy="writer",
                            machine=machine)
    assert cells == [(None, tried), ("a-fix", tried)]
