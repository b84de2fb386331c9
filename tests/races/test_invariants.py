"""Each thing that is asserted of a world at its end can fail, and says what is wrong: one table.

The file is long by that table.
"""

from __future__ import annotations

import ast
import random
import traceback
from functools import cache
from pathlib import Path

import pytest

from harness import Verdict, run
from pcimodel.device import device_lock
from pcimodel.err import PCI_ERS_RESULT_NEED_RESET
from pcimodel.fixes import apply
from pcimodel.lab import invariants
from pcimodel.lab.invariants import (at_rest, disk_is_back, error_is_recovered, pf_is_bound,
                                     pf_is_unbound, vf_driver_is_bound, vfs_are_disabled,
                                     vfs_are_enabled, vfs_were_enabled)
from pcimodel.lab.journal import Journal, Noted
from pcimodel.lab.machines import MACHINES
from pcimodel.lab.worlds import World, affected, unlocked_changes
from pcimodel.pci import PciDriver, pci_channel_io_frozen, pci_channel_io_normal
from pcimodel.pci_regs import PCI_SRIOV_CTRL, PCI_SRIOV_NUM_VF
from pcimodel.trees.v4_14 import V4_14

PF, VF, DISK = "0000:01:00.0", "0000:01:10.0", "0000:02:00.0"


# -- worlds in which all is well -------------------------------------------------------------------


def with_vfs():
    world = World(V4_14, "writer", None)
    world.load_igb_with_vfs()
    return world


def unbound():
    world = with_vfs()
    world.unbind()
    return world


def recovered(fatal=False):
    """An error of the PF; the VFs' drivers ask for a reset, so that all are told of one."""
    world = with_vfs()
    told = [world.pf, *world.vfs()]
    world.affected_before = told
    note(world, "error", world.pf, fatal)
    state = pci_channel_io_frozen if fatal else pci_channel_io_normal
    for dev in told:
        note(world, "error_detected", dev, (state, PCI_ERS_RESULT_NEED_RESET))
    for stage in ["reset"] * fatal + ["slot_reset"] * 3 + ["resume"] * 3:
        done = sum(noted.what == stage for noted in world.journal)
        note(world, stage, told[done])
    return world


def fatally_recovered():
    return recovered(fatal=True)


def note(world, what, dev=None, value=None, locked=True):
    world.journal.append(Noted(what, dev or world.pf, value, locked))


def forget(world, what, last=False):
    """Strike the first note of *what*, or the last."""
    noted = [each for each in world.journal if each.what == what][-1 if last else 0]
    world.journal.remove(noted)


def register(where, value):
    return lambda world: world.pf.config.registers.update({world.pf.sriov.pos + where: value})


def disabled(world):
    world.pf.sriov.num_VFs = 0
    register(PCI_SRIOV_NUM_VF, 0)(world)


# -- and what is done to them ----------------------------------------------------------------------

BROKEN = [
    (at_rest, with_vfs, lambda world: setattr(world.pf.sriov, "num_VFs", 1),
     "num_VFs is 1, the register NumVFs 2"),
    (at_rest, with_vfs, register(PCI_SRIOV_CTRL, 0), "num_VFs is 2, but VF Enable is False"),
    (at_rest, with_vfs, lambda world: world.kernel.pci_iov_remove_virtfn(world.pf, 1),
     "num_VFs is 2, but 1 VFs exist and 0 failures were logged"),
    (at_rest, with_vfs, lambda world: (setattr(world.pf.sriov, "num_VFs", 1),
                                       register(PCI_SRIOV_NUM_VF, 1)(world)),
     "num_VFs is 1, but 2 VFs exist"),
    (at_rest, with_vfs, lambda world: setattr(world.vfs()[0].config, "responds", False),
     f"{VF} is a device, but gone from the hardware"),
    (at_rest, with_vfs, lambda world: world.kernel.pci_dev_get(world.pf), f"{PF} has 5 references"),
    (at_rest, with_vfs, lambda world: world.kernel.pci_dev_get(world.vfs()[0]),
     f"{VF} has 3 references"),
    (at_rest, with_vfs, lambda world: world.kernel.pci_dev_put(world.other),
     f"{DISK} has 1 references"),
    (at_rest, with_vfs, lambda world: (world.kernel.pci_dev_get(world.other), world.remove_disk()),
     f"{DISK} was removed, but 1 references keep it"),
    (at_rest, with_vfs, lambda world: world.kernel.WARN("refcount_t: underflow"), "underflow"),
    (at_rest, with_vfs, lambda world: unlocked_changes(world.kernel).append("who changed it?"),
     "who changed it?"),
    (at_rest, unbound, lambda world: note(world, "remove"),
     f"the driver of {PF} was removed twice"),
    (at_rest, unbound, lambda world: note(world, "resume"),
     f"resume was called for {PF}, which had no driver any more"),
    (at_rest, with_vfs, lambda world: note(world, "resume", locked=False),
     f"resume was called for {PF} without its device lock"),
    (at_rest, recovered, lambda world: note(world, "mmio_enabled") or note(world, "mmio_enabled"),
     f"mmio_enabled was called twice for {PF}"),
    (pf_is_bound, with_vfs, lambda world: note(world, "probe", value=0), "was probed 2 times"),
    (pf_is_bound, with_vfs, lambda world: setattr(world, "pf_driver", PciDriver("another")),
     f"{PF} is not bound to its driver"),
    (pf_is_unbound, unbound, lambda world: note(world, "unbind", value=-19),
     "the write into unbind returned -19"),
    (pf_is_unbound, unbound, lambda world: setattr(world.pf, "driver", world.pf_driver),
     f"{PF} is still bound"),
    (pf_is_unbound, unbound, lambda world: note(world, "remove"), "was removed 2 times"),
    (pf_is_unbound, unbound, lambda world: world.kernel.pci_enable_sriov(world.pf, 1),
     f"VFs are left: {VF}"),
    (pf_is_unbound, unbound, lambda world: setattr(world.pf.sriov, "num_VFs", 1), "num_VFs is 1"),
    (vfs_are_enabled, with_vfs, lambda world: forget(world, "enable"),
     "never asked to enable VFs"),
    (vfs_were_enabled, with_vfs, lambda world: note(world, "enable", value=(2, -5)),
     "pci_enable_sriov(2) returned -5"),
    (vfs_were_enabled, with_vfs, lambda world: note(world, "sriov_numvfs", value=-16),
     "the write into sriov_numvfs returned -16"),
    (vfs_are_enabled, with_vfs, lambda world: note(world, "enable", value=(3, 0)),
     "3 VFs were enabled, and 2 exist"),
    (vfs_are_enabled, with_vfs, lambda world: setattr(world.vfs()[1], "driver", None),
     "0000:01:10.2 is not bound to its driver"),
    (vfs_are_enabled, with_vfs, lambda world: note(world, "probe", world.vfs()[0], 0),
     f"the driver of {VF} was probed 2 times"),
    (vf_driver_is_bound, with_vfs, lambda world: setattr(world, "vf_driver", None),
     "the VFs' driver was not loaded"),
    (vf_driver_is_bound, with_vfs, lambda world: setattr(world.vfs()[0], "driver", None),
     f"{VF} is not bound to its driver"),
    (vfs_are_disabled, unbound, lambda world: note(world, "sriov_numvfs", value=-16),
     "the write into sriov_numvfs returned -16"),
    (disk_is_back, with_vfs, World.remove_disk, f"{DISK} is there 0 times after the rescan"),
    (disk_is_back, with_vfs, lambda world: setattr(world.other, "driver", None),
     f"{DISK} was found, and has no driver"),
    (error_is_recovered, recovered, lambda world: forget(world, "resume", last=True),
     "0000:01:10.2 was bound all the time and got error_detected, slot_reset in the recovery"),
    (error_is_recovered, recovered, lambda world: setattr(world.vfs()[0], "error_state", 2),
     f"{VF} was resumed, and its channel is not normal"),
    (error_is_recovered, recovered, lambda world: world.journal.insert(-3, world.journal.pop(-3)),
     "resume was called before the last slot_reset"),
    (error_is_recovered, recovered, lambda world: world.journal.__setitem__(
        slice(None), [each._replace(value=(2, 3)) if each.what == "error_detected" else each
                      for each in world.journal]), "was told of channel state 2, not of 1"),
    (error_is_recovered, fatally_recovered, lambda world: forget(world, "reset"),
     "the link was not reset before drivers went on"),
]


@cache
def what_is_said(row):
    """Return what is said of the world of a row of BROKEN, and the line that says it."""
    rule, build, breaks, _ = BROKEN[row]
    world = build()
    rule(world)
    breaks(world)
    with pytest.raises(AssertionError) as told:
        rule(world)
    return str(told.value), next(
        frame.lineno for frame in reversed(traceback.extract_tb(told.tb))
        if frame.filename == invariants.__file__ and frame.name != "must")


@pytest.mark.parametrize("row", range(len(BROKEN)), ids=lambda row: BROKEN[row][-1])
def test_what_is_broken_is_said(row):
    assert BROKEN[row][-1] in what_is_said(row)[0]


def test_every_assertion_is_seen_to_fail():
    def says(node):
        called = isinstance(node, ast.Call) and getattr(node.func, "id", "") == "must"
        return called or isinstance(node, ast.Raise)

    tree = ast.parse(Path(invariants.__file__).read_text())
    lines = {node.lineno for node in ast.walk(tree) if says(node)}
    own = {node.lineno for function in tree.body if getattr(function, "name", "") == "must"
           for node in ast.walk(function) if says(node)}
    assert lines - own == {what_is_said(row)[1] for row in range(len(BROKEN))}


@pytest.mark.parametrize("fixes, exist", [([], 0), (["defer-vf-add"], 1)])
def test_vf_that_does_not_answer_is_not_missed(fixes, exist):
    """Enabling fails, or one is missing."""
    world = World(apply(V4_14, fixes), "writer", None, unreadable_vfs={1})
    world.load_igb_with_vfs()
    vfs_are_enabled(world)
    at_rest(world)
    assert len(world.vfs()) == exist


def test_driver_that_came_again_may_be_told_again():
    world = recovered()
    world.unbind()
    world.kernel.bind_store(world.pf_driver, PF)
    for stage in "error_detected", "slot_reset", "resume":
        note(world, stage)
    at_rest(world)


def test_world_with_vfs_is_ready_when_a_worker_has_added_them():
    world, waited = World(apply(V4_14, ["defer-vf-add"]), "writer", None), []
    flush_work = world.kernel.flush_work
    world.kernel.flush_work = lambda work: waited.append(work.name) or flush_work(work)
    world.load_igb_with_vfs()
    assert (waited, len(world.vfs())) == (["iov->add_work"], 2)


def test_note_says_whether_the_lock_of_its_own_device_was_held():
    world = with_vfs()
    world.journal.clear()

    def role():
        for held in world.pf, world.other:
            with device_lock(held):
                world.journal.note("probe", world.pf)
        world.journal.note("probe", world.pf)
    assert run(lambda: {"role": role}, runs=1).verdict is Verdict.CLEAN
    assert [noted.locked for noted in world.journal] == [True, False, False]


# -- what the worlds are ---------------------------------------------------------------------------


@pytest.mark.parametrize("machine, pf, vf_bus, error", [
    ("two-ports", PF, 1, (PF, False, [PF])),
    ("switch", "0000:03:00.0", 3, ("0000:03:00.0", False, ["0000:03:00.0"])),
    ("shared-slot", PF, 1, (PF, False, [PF, "0000:01:00.1"])),
    ("far-vfs", PF, 2, (PF, False, [PF])),
    ("port-error", PF, 1, ("0000:00:03.0", False, [PF])),
    ("fatal-error", PF, 1, (PF, True, [PF]))])
def test_machine_is_what_it_says(machine, pf, vf_bus, error):
    world = World(V4_14, "writer", None, machine=machine)
    world.load_igb()
    world.recovery()()
    noted = next(each for each in world.journal if each.what == "error")
    told = noted.dev.name, noted.value, [dev.name for dev in world.affected_before]
    world.kernel.sriov_numvfs_store(world.pf, "1")
    assert (world.pf.name, world.vfs()[0].bus.number, told) == (pf, vf_bus, error)
    assert machine in MACHINES


@pytest.mark.parametrize("machine", MACHINES)
def test_world_that_is_to_have_a_switch_has_one_on_any_machine(machine):
    world = World(V4_14, "writer", None, machine=machine, switch=True)
    port, other = world.pf.bus.self, world.sibling.bus.self
    assert port is not other and port.bus is other.bus and port.bus.self is not None


def test_error_of_a_port_affects_all_that_is_below_it():
    world = World(V4_14, "writer", None, machine="switch")
    port = world.kernel.pcie_find_root_port(world.pf)
    assert [dev.name for dev in affected(port)] == [
        "0000:01:00.0", "0000:02:00.0", "0000:03:00.0", "0000:02:01.0", "0000:04:00.0"]


def test_random_worlds_vary_in_each_way_that_machines_do():
    worlds = [World(V4_14, "writer", random.Random(seed)) for seed in range(60)]
    for world in worlds:
        world.recovery()()
        world.load_igb()
        assert world.kernel.sriov_numvfs_store(world.pf, "1") == 1, "there is room for VFs"
    errors = [next(each for each in world.journal if each.what == "error") for world in worlds]
    assert {world.pf.sriov.offset for world in worlds} == {0x80, 0x100}
    assert {len(list(world.kernel.for_each_pci_dev())) for world in worlds} == {5, 6, 9}
    assert {each.value for each in errors} == {False, True}
    assert len({each.dev is world.pf for each, world in zip(errors, worlds, strict=True)}) == 2


def test_last_note_is_the_last():
    journal = Journal([Noted("enable", None, 1, True), Noted("probe", None, 2, True),
                       Noted("enable", None, 3, True)])
    assert (journal.last("enable").value, journal.last("remove")) == (3, None)
