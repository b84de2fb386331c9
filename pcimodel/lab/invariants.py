"""What holds of a world when all roles have ended, read from outside the model.

`at_rest` holds in every scenario. What else a scenario must have done it names itself, with the
other functions here: a fix that keeps its roles from deadlocking by doing nothing leaves them
unfulfilled. Each asks no more than the plain kernel does in every order of events, so that a right
fix fulfils it too, whatever it calls and where. All raise AssertionError.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..err import PCI_ERS_RESULT_NEED_RESET
from ..pci import PciDev, pci_channel_io_frozen, pci_channel_io_normal, pci_is_bridge
from ..pci_regs import PCI_SRIOV_CTRL, PCI_SRIOV_CTRL_VFE, PCI_SRIOV_NUM_VF
from .journal import STAGES, Journal
from .worlds import World, affected, unlocked_changes


def must(hold: object, text: str) -> None:
    """Assert; an assert statement would not with `python -O`, and everything would be clean."""
    if not hold:
        raise AssertionError(text)


def at_rest(world: World) -> None:
    """Assert what holds of the PF and its registers, of references, of every callback, and of the
    lists of buses (KERNEL.md 10: I1 for changes, I2, I6, I12 to I16).
    """
    for change in unlocked_changes(world.kernel):
        raise AssertionError(change)
    _pf_is_consistent(world)
    _references_are_balanced(world)
    for line in world.kernel.dmesg:
        must("WARNING: refcount_t" not in str(line), str(line))
    _callbacks_are_legal(world.journal)


def _pf_is_consistent(world: World) -> None:
    pf, sriov = world.pf, world.pf.sriov
    if pf not in pf.bus.devices:
        return   # removed with all it had
    vfs = world.vfs()
    failed = sum("enabled but not added" in str(line) for line in world.kernel.dmesg)
    enabled = bool(pf.config.read(sriov.pos + PCI_SRIOV_CTRL, 2) & PCI_SRIOV_CTRL_VFE)
    register = pf.config.read(sriov.pos + PCI_SRIOV_NUM_VF, 2)
    number = sriov.num_VFs
    must(number == register, f"num_VFs is {number}, the register NumVFs {register}")
    must(enabled == bool(number), f"num_VFs is {number}, but VF Enable is {enabled}")
    must(len(vfs) <= number <= len(vfs) + failed,
         f"num_VFs is {number}, but {len(vfs)} VFs exist and {failed} failures were logged")
    for vf in vfs:
        must(vf.config.responds, f"{vf.name} is a device, but gone from the hardware")
    expected = 1 + (pf.driver is not None) + len(vfs)
    must(pf.refcount == expected,
         f"{pf.name} has {pf.refcount} references: expected 1 for its creation, "
         f"{int(pf.driver is not None)} for its driver, {len(vfs)} for its VFs")


def _references_are_balanced(world: World) -> None:
    listed = list(world.kernel.for_each_pci_dev())
    for dev in listed:
        if not pci_is_bridge(dev) and dev is not world.pf:
            expected = 1 + (dev.driver is not None)
            must(dev.refcount == expected,
                 f"{dev.name} has {dev.refcount} references: expected 1 for its creation, "
                 f"{int(dev.driver is not None)} for its driver")
    for gone in world.devices():
        if isinstance(gone, PciDev) and gone not in listed:
            must(gone.freed, f"{gone.name} was removed, but {gone.refcount} references keep it")


def _callbacks_are_legal(journal: Journal) -> None:
    """Assert that each callback came to a bound driver, under its device's lock, once."""
    bound: set[PciDev] = set()
    had: set[tuple[PciDev, str]] = set()
    for what, dev, value, locked in journal:
        if what == "probe" and value == 0:
            bound.add(dev)
        elif what == "remove":
            must(dev in bound, f"the driver of {dev.name} was removed twice")
            bound.remove(dev)
            had -= {(dev, stage) for stage in STAGES}
        elif what in STAGES:
            must(dev in bound, f"{what} was called for {dev.name}, which had no driver any more")
            must(locked, f"{what} was called for {dev.name} without its device lock")
            must((dev, what) not in had, f"{what} was called twice for {dev.name}")
            had.add((dev, what))


# -- what scenarios name ----------------------------------------------------------------------


def pf_is_bound(world: World) -> None:
    """The driver that was loaded for the PF was probed once, and has it."""
    pf = world.pf
    probes = [noted.value for noted in world.journal.about(pf) if noted.what == "probe"]
    must(probes == [0], f"the PF's driver was probed {len(probes)} times (returned {probes})")
    must(pf.driver is world.pf_driver, f"{pf.name} is not bound to its driver")


def pf_is_unbound(world: World) -> None:
    """The write into unbind succeeded: the PF has no driver, which was asked to remove once, and no
    VFs.
    """
    _write_succeeded(world, "unbind")
    removed = [noted for noted in world.journal.about(world.pf) if noted.what == "remove"]
    must(world.pf.driver is None, f"{world.pf.name} is still bound")
    must(len(removed) == 1, f"the PF's driver was removed {len(removed)} times")
    _no_vf_is_left(world)


def vfs_are_enabled(world: World) -> None:
    """As many VFs exist as were asked for, but for those that do not answer, and the drivers there
    are have them. If one does not answer, enabling may fail instead, and then no VF is left.
    """
    number = _enabled(world)
    if number is None:
        _no_vf_is_left(world)
        return
    vfs, expected = world.vfs(), number - len(world.unreadable_vfs)
    must(len(vfs) == expected, f"{number} VFs were enabled, and {len(vfs)} exist")
    _vfs_are_bound(world)


def vfs_were_enabled(world: World) -> None:
    """The VFs that were asked for could be enabled."""
    _enabled(world)


def vfs_are_disabled(world: World) -> None:
    """The write of 0 into sriov_numvfs succeeded, and no VF is left."""
    _write_succeeded(world, "sriov_numvfs")
    _no_vf_is_left(world)


def vf_driver_is_bound(world: World) -> None:
    """Each VF is bound to the driver that was loaded."""
    must(world.vf_driver is not None, "the VFs' driver was not loaded")
    _vfs_are_bound(world)


def disk_is_back(world: World) -> None:
    """The rescan found the disk that was taken out, and its driver has it."""
    name = world.other_name
    found = [dev for dev in world.kernel.for_each_pci_dev() if dev.name == name]
    must(len(found) == 1, f"{name} is there {len(found)} times after the rescan")
    must(found[0].driver is not None, f"{name} was found, and has no driver")


def _enabled(world: World) -> int | None:
    """Return how many VFs the driver was to enable; None if that rightly failed."""
    asked = world.journal.last("enable")
    if asked is None:
        raise AssertionError("the PF's driver was never asked to enable VFs")
    number, err = asked.value
    if err and world.unreadable_vfs:
        return None
    must(err == 0, f"pci_enable_sriov({number}) returned {err}")
    _write_succeeded(world, "sriov_numvfs")
    return int(number)


def _write_succeeded(world: World, file: str) -> None:
    for what, _, value, _ in world.journal:
        if what == file:
            must(value > 0, f"the write into {file} returned {value}")


def _no_vf_is_left(world: World) -> None:
    left = [vf.name for vf in world.vfs()]
    must(not left, f"VFs are left: {', '.join(left)}")
    must(world.pf.sriov.num_VFs == 0, f"num_VFs is {world.pf.sriov.num_VFs}")


def _vfs_are_bound(world: World) -> None:
    for vf in world.vfs() if world.vf_driver is not None else ():
        must(vf.driver is world.vf_driver, f"{vf.name} is not bound to its driver")
        probes = sum(noted.what == "probe" for noted in world.journal.about(vf))
        must(probes == 1, f"the driver of {vf.name} was probed {probes} times")


# -- recovery ---------------------------------------------------------------------------------


def error_is_recovered(world: World) -> None:
    """Each device of the subtree that was bound all the time was told of each stage, in their
    order, or recovery failed for a reason.

    A reason is a device of the subtree that was not bound all the time: nobody prepares it. If the
    PF reported the error and was not, the error may have found nobody (it is read from a device
    that its driver has enabled) and recovery need not begin. And where the subtree was busy with
    something else recovery may be given up at any stage, if the log says so.
    """
    error = next(noted for noted in world.journal if noted.what == "error")
    reporter, fatal = error.dev, error.value
    steady = set(_bound_all_the_time(world.journal, world.affected_before))
    after = [dev for dev in affected(reporter) if not pci_is_bridge(dev)]
    told = [noted for noted in world.journal if noted.what in STAGES]
    if not told and reporter not in steady and not pci_is_bridge(reporter):
        return
    may_fail = steady != {*world.affected_before, *after}
    votes = [noted.value[1] for noted in told if noted.what == "error_detected"]
    middle = "slot_reset" if PCI_ERS_RESULT_NEED_RESET in votes else "mmio_enabled"
    complete = ["error_detected", middle, "resume"]
    resumed = any(noted.what == "resume" for noted in told)
    may_give_up = not resumed and _says_that_it_gave_up(world) and _is_busy(world, after)
    for dev in sorted(steady, key=lambda dev: dev.name):
        calls = [noted.what for noted in told if noted.dev is dev]
        expected = ["error_detected"] if may_fail and not resumed else complete
        must(calls == expected or may_give_up and calls == complete[:len(calls)],
             f"{dev.name} was bound all the time and got {', '.join(calls) or 'no call'} in the "
             f"recovery; expected {', '.join(expected)}")
        must(calls != complete or dev.error_state == pci_channel_io_normal,
             f"{dev.name} was resumed, and its channel is not normal")
    _stages_follow_each_other([noted.what for noted in told])
    state = pci_channel_io_frozen if fatal else pci_channel_io_normal
    for noted in told:
        if noted.what == "error_detected":
            must(noted.value[0] == state,
                 f"{noted.dev.name} was told of channel state {noted.value[0]}, not of {state}")
    if fatal and resumed:
        _link_was_reset(world.journal)


def _says_that_it_gave_up(world: World) -> bool:
    return any("recovery failed" in str(line) or "No aer recovery done" in str(line)
               for line in world.kernel.dmesg)


def _is_busy(world: World, after: list[PciDev]) -> bool:
    """Say whether something else than recovery went on in the subtree after the error."""
    whats = [noted.what for noted in world.journal]
    here = {*world.affected_before, *after}
    return any(noted.dev in here and noted.what not in (*STAGES, "error")
               for noted in world.journal[whats.index("error"):])


def _bound_all_the_time(journal: Journal, devices: list[PciDev]) -> Iterator[PciDev]:
    """Yield those of *devices* that were bound when the error came, and to the end."""
    whats = [noted.what for noted in journal]
    for dev in devices:
        bound = False
        for what, about, value, _ in journal[:whats.index("error")]:
            if about is dev and what in ("probe", "remove"):
                bound = what == "probe" and value == 0
        if bound and not any(noted.dev is dev and noted.what in ("probe", "remove")
                             for noted in journal[whats.index("error"):]):
            yield dev


def _stages_follow_each_other(whats: list[str]) -> None:
    for earlier, later in zip(whats, whats[1:], strict=False):
        must(STAGES.index(earlier) <= STAGES.index(later),
             f"{earlier} was called before the last {later} of the recovery")


def _link_was_reset(journal: Journal) -> None:
    whats = [noted.what for noted in journal]
    first_after = min(whats.index(stage) for stage in STAGES[1:] if stage in whats)
    last_told = max(i for i, what in enumerate(whats) if what == "error_detected")
    must("reset" in whats[last_told:first_after],
         "the error was fatal, and the link was not reset before drivers went on")
