"""The scenarios: who does what on which machine, and where they must meet.

Names in brackets are those of the catalogue of real cases the model is built from: S1 the mail, S2
the same by sysfs, S4 a reader behind a queued writer, S5 a nested walk, S6 the disable path.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from harness import At, Meet, Scenario
from harness.locks.arguments import expected, or_none, text
from harness.locks.errors import unknown_name
from harness.locks.rwsem import check_policy
from harness.programs import for_tokens
from harness.programs.for_tokens import from_token

from ..fixes import apply
from ..kernel import Kernel
from ..trees import TREES
from . import worlds
from .docstrings import docstring
from .fix_files import fix_named, fixes_here
from .invariants import (at_rest, disk_is_back, error_is_recovered, pf_is_bound, pf_is_unbound,
                         vf_driver_is_bound, vfs_are_disabled, vfs_are_enabled, vfs_were_enabled)
from .machines import setup_of
from .worlds import World

PF = "0000:01:00.0"    # on the canonical machine; a meeting means the PF of the one it is held on
SEM = "&pci_bus_sem"


@dataclass(frozen=True)
class Entry:
    """A scenario of the laboratory.

    Attributes:
        roles: called with a booted, prepared world.
        ends: what must have been done when all roles have ended; each raises AssertionError.
        meet: where the roles must meet to deadlock; None for a control that must be clean.
        prepare: what is done before the roles start.
        settings: arguments of the world, on any machine.
    """

    summary: str
    roles: Callable[[World], dict[str, Callable[[], Any]]]
    ends: Sequence[Callable[[World], None]]
    meet: Meet | Sequence[Meet] | None = None
    prepare: Callable[[World], None] | None = None
    settings: Mapping[str, Any] | None = None
    titles: Mapping[str, str] | None = None

    @property
    def has_meeting(self) -> bool:
        """Whether the race can be forced; a control has nothing to force."""
        return self.meet is not None


SCENARIOS: dict[str, Entry] = {}


def _entry(name: str, **fields: Any) -> Callable[[Any], Any]:
    """Register the decorated function as the roles of scenario *name*; its docstring is the
    summary.
    """
    def register(roles: Any) -> Any:
        SCENARIOS[name] = Entry(" ".join(docstring(roles).split()), roles, **fields)
        return roles
    return register


@from_token(name=for_tokens.text, kernel=for_tokens.text, fixes=fixes_here,
            policy=for_tokens.text, machine=for_tokens.text)
def scenario(name: str, kernel: str = "v4.14", fixes: Sequence[str] = (),
             policy: str = "writer", machine: str | None = None) -> Callable[..., Scenario]:
    """Return the factory of a scenario on *kernel* with *fixes*, for the harness.

    Args:
        machine: the name of a machine; None: the default one, random ones under stress.

    Raises:
        ScenarioError, ValueError: unknown names, or fixes that do not fit or exclude each other.
    """
    for argument, value in (("name", name), ("kernel", kernel), ("machine", machine)):
        or_none(text)(argument, value)
    check_policy("policy", policy)
    if name not in SCENARIOS:
        raise unknown_name("unknown name of a scenario:", name, list(SCENARIOS))
    entry, tree = SCENARIOS[name], tree_with(kernel, fixes)
    setup_of(machine)
    names = _kernel_names(tree)    # type: ignore[arg-type]    # python/mypy#11469

    def build(rng: random.Random | None = None) -> Scenario:
        world = World(tree, policy, rng, machine=machine, **(entry.settings or {}))
        if entry.prepare is not None:
            entry.prepare(world)
        roles = entry.roles(world)

        def check() -> None:
            for holds in (at_rest, *entry.ends):
                holds(world)

        check.without_assert = True   # type: ignore[attr-defined]    # see `must`
        return Scenario(roles, meet=_meetings(entry.meet, world.pf.name), check=check,
                        inner_locks=True,
                        function_name=names, title=entry.titles or {},
                        lock_classes=world.lock_classes())

    words = [name, *([kernel] if kernel != "v4.14" else []), *fixes]
    where = f" on {machine}" if machine else ""
    build.function_name = names   # type: ignore[attr-defined]    # where no world comes of it
    build.scenario_name = " + ".join(words) + where   # type: ignore[attr-defined]
    arguments = {"name": name, "kernel": kernel, "fixes": list(fixes), "policy": policy,
                 **({"machine": machine} if machine else {})}
    build.reference = (f"{__name__}:scenario", arguments)   # type: ignore[attr-defined]
    return build


def tree_with(kernel: str, fixes: Sequence[str]) -> type[Kernel]:
    """Return the tree of that name with *fixes*, each by its name or as FILE.py:NAME.

    Raises:
        ScenarioError, ValueError: unknown names, or fixes that do not fit or exclude each other.
    """
    if kernel not in TREES:
        raise unknown_name("unknown kernel", kernel, list(TREES))
    if not isinstance(fixes, (list, tuple)) or not all(isinstance(name, str) for name in fixes):
        raise expected("fixes", fixes, "a list of names")
    for name in fixes:
        if fixes.count(name) > 1:
            raise ValueError(f"fix {name!r} is given twice")
    return apply(TREES[kernel], {name: fix_named(name) for name in fixes})


def _meetings(meet: Meet | Sequence[Meet] | None, pf: str) -> list[Meet]:
    """Return the declared meetings on a machine where the PF is called *pf*."""
    here = {PF: pf}
    return [Meet(*(replace(point, lock=here.get(point.lock, point.lock),
                           holding=[here.get(held, held) for held in point.holding])
                   for point in meeting.points), writers=meeting.writers)
            for meeting in ([meet] if isinstance(meet, Meet) else meet or ())]


@lru_cache(maxsize=32)
def _kernel_names(tree: type) -> Callable[[Any], str]:
    """Return what reports call a function of *tree*: the name of its docstring's `Kernel:` line.

    A function that C has as a part of another one, and one of the world's, is left out ("").
    """
    names: dict[int, str] = {}
    for cls in tree.__mro__:
        for function in vars(cls).values():
            code = getattr(function, "__code__", None)
            found = re.search(r"Kernel:\s*(\w+)\(\)", docstring(function))
            if code is not None and found:
                same = found[1].lstrip("_") == code.co_name.lstrip("_")
                names[id(code)] = found[1] if same else ""
    return lambda code: names.get(id(code), "" if code.co_name == "<lambda>" or
                                  code.co_filename == worlds.__file__ else code.co_name)


# -- the mail and its relatives -----------------------------------------------------------------

_ENABLE_MEETS_WALK = Meet(At("CPU0", SEM, "exclusive", holding=PF),
                          At("CPU1", PF, "exclusive", holding=SEM))


@_entry("probe-vs-aer", meet=_ENABLE_MEETS_WALK,
        ends=(pf_is_bound, vfs_are_enabled, error_is_recovered),
        titles={"CPU0": "modprobe igb max_vfs=2", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[S1] the mail: a PF driver enables SR-IOV in its probe while an error is recovered"""
    driver = world.igb(loads_vfs=True)

    def CPU0() -> None:
        world.kernel.pci_register_driver(driver)

    return {"CPU0": CPU0, "CPU1": world.recovery()}


@_entry("sysfs-enable-vs-aer", prepare=World.load_igb, meet=_ENABLE_MEETS_WALK,
        ends=(pf_is_bound, vfs_are_enabled, error_is_recovered),
        titles={"CPU0": "echo 2 > sriov_numvfs", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[S2] VFs are enabled through sysfs while an error is recovered"""
    return {"CPU0": world.numvfs(2), "CPU1": world.recovery()}


@_entry("sysfs-enable-vs-aer-resume", prepare=World.load_igb,
        meet=[Meet(At("CPU1", PF, "exclusive", holding=SEM, function="report_slot_reset"),
                   At("CPU0", PF, "exclusive")),
              Meet(At("CPU0", SEM, "exclusive", holding=PF),
                   At("CPU1", PF, "exclusive", holding=SEM, function="report_resume"))],
        ends=(pf_is_bound, vfs_are_enabled, error_is_recovered),
        titles={"CPU0": "echo 2 > sriov_numvfs", "CPU1": "aer_isr, fatal"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[S2] the store slips in while a fatal error resets the link: the last stage hangs (2019)"""
    return {"CPU0": world.numvfs(2), "CPU1": world.recovery(fatal=True)}


@_entry("disable-vs-aer", prepare=World.load_igb_with_vfs, meet=_ENABLE_MEETS_WALK,
        ends=(pf_is_bound, vfs_are_disabled, error_is_recovered),
        titles={"CPU0": "echo 0 > sriov_numvfs", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[S6] VFs are disabled through sysfs while an error is recovered"""
    return {"CPU0": world.numvfs(0), "CPU1": world.recovery()}


@_entry("unbind-vs-aer", prepare=World.load_igb_with_vfs, meet=_ENABLE_MEETS_WALK,
        ends=(pf_is_unbound, error_is_recovered),
        titles={"CPU0": "echo 0000:01:00.0 > unbind", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[S6] the PF's driver is unbound, and disables its VFs, while an error is recovered"""
    return {"CPU0": world.unbind, "CPU1": world.recovery()}


@_entry("reader-behind-writer", prepare=World.remove_disk,
        meet=Meet(At("CPU2", SEM, "exclusive"), At("CPU0", SEM, "shared", holding=PF),
                  At("CPU1", PF, "exclusive", holding=SEM)),
        ends=(pf_is_bound, disk_is_back, error_is_recovered),
        titles={"CPU0": "modprobe igb", "CPU1": "aer_isr", "CPU2": "echo 1 > rescan"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[S4] a probe that only reads the bus lists (pci_get_slot), behind the writer of a third
    task
    """
    driver = world.igb_that_looks_around()

    def CPU0() -> None:
        world.kernel.pci_register_driver(driver)

    return {"CPU0": CPU0, "CPU1": world.recovery(), "CPU2": world.rescan()}


@_entry("nested-walk", prepare=World.load_igb_that_looks_around,
        meet=Meet(At("CPU0", SEM, "exclusive"), At("CPU1", SEM, "shared", holding=SEM)),
        ends=(pf_is_bound, disk_is_back, error_is_recovered),
        titles={"CPU0": "echo 1 > rescan", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[S5] an error handler reads the bus lists again, with a writer queued in between"""
    return {"CPU0": world.rescan(), "CPU1": world.recovery()}


@_entry("unbind-vs-vf-add", prepare=World.load_igb, settings={"unreadable_vfs": {0}},
        meet=Meet(At("CPU0", "(work_completion)(&iov->add_work)", "wait", holding=PF),
                  At("kworker/0:0", PF, "exclusive")),
        ends=(vfs_were_enabled, pf_is_unbound),
        titles={"CPU0": "echo 2 > sriov_numvfs; unbind"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[deferral] VFs are enabled, one does not answer, the driver is unbound: the worker is waited
    for
    """
    return {"CPU0": _enable_then_unbind(world)}


@_entry("enable-unbind-vs-aer", prepare=World.load_igb,
        meet=Meet(At("kworker/0:0", SEM, "exclusive"),
                  At("CPU0", "(work_completion)(&iov->add_work)", "wait", holding=PF),
                  At("CPU1", PF, "exclusive", holding=SEM)),
        ends=(vfs_were_enabled, pf_is_unbound, error_is_recovered),
        titles={"CPU0": "echo 2 > sriov_numvfs; unbind", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[deferral] VFs are enabled and the driver is unbound while an error is recovered"""
    return {"CPU0": _enable_then_unbind(world), "CPU1": world.recovery()}


def _enable_then_unbind(world: World) -> Callable[[], None]:
    numvfs = world.numvfs(2)

    def CPU0() -> None:
        numvfs()
        world.unbind()

    return CPU0


# -- controls: these must be clean --------------------------------------------------------------


@_entry("aer-on-another-port",
        ends=(pf_is_bound, vfs_are_enabled, error_is_recovered),
        titles={"CPU0": "modprobe igb max_vfs=2", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[control] as the mail, but the error is below another root port"""
    driver = world.igb(loads_vfs=True)

    def CPU0() -> None:
        world.kernel.pci_register_driver(driver)

    return {"CPU0": CPU0, "CPU1": world.recovery(world.other)}


@_entry("aer-beside-the-pf", settings={"switch": True},
        ends=(pf_is_bound, vfs_are_enabled, error_is_recovered),
        titles={"CPU0": "modprobe igb max_vfs=2", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[control] as the mail, but the error is behind another port of the same switch"""
    driver = world.igb(loads_vfs=True)

    def CPU0() -> None:
        world.kernel.pci_register_driver(driver)

    return {"CPU0": CPU0, "CPU1": world.recovery(world.sibling)}


@_entry("vf-driver-load", prepare=World.load_igb_with_bare_vfs,
        ends=(pf_is_bound, vf_driver_is_bound, error_is_recovered),
        titles={"CPU0": "modprobe igbvf", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[control] only the VFs' driver is loaded while an error of the PF is recovered"""
    driver = world.igbvf()

    def CPU0() -> None:
        world.kernel.pci_register_driver(driver)

    return {"CPU0": CPU0, "CPU1": world.recovery()}


@_entry("aer-with-vfs", prepare=World.load_igb_with_vfs,
        ends=(pf_is_bound, vfs_are_enabled, error_is_recovered),
        titles={"CPU0": "echo 1 > rescan", "CPU1": "aer_isr"})
def _(world: World) -> dict[str, Callable[[], Any]]:
    """[control] an error of the PF is recovered while its VFs are bound and a rescan finds nothing
    """
    return {"CPU0": world.rescan(), "CPU1": world.recovery()}
