"""The machines that scenarios run on, each with the error that it will report.

They differ in what the paths of the kernel depend on: where the walk of an error begins, which
devices it meets, which locks are taken above them. `stress` draws machines at random from the same
differences.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.locks.errors import unknown_name

DEFAULT = "two-ports"


@dataclass(frozen=True)
class Setup:
    """One machine.

    Attributes:
        summary: what it is, in a line.
        switch: PF and a disk sit behind two ports of one switch.
        shared_slot: a disk is the second function beside the PF.
        far_vfs: the VFs' routing ids spill over to a bus number of their own.
        port_reports: not the PF reports the error but the port above it.
        fatal: the error is fatal.
    """

    summary: str
    switch: bool = False
    shared_slot: bool = False
    far_vfs: bool = False
    port_reports: bool = False
    fatal: bool = False


MACHINES = {
    DEFAULT: Setup("a network card and a disk, each below a root port of its own"),
    "switch": Setup("the card behind a port of a switch, a disk behind another port", switch=True),
    "shared-slot": Setup("a disk as the second function beside the card", shared_slot=True),
    "far-vfs": Setup("the VFs on a bus number of their own, which walks do not reach",
                     far_vfs=True),
    "port-error": Setup("the port above the card reports the error", port_reports=True),
    "fatal-error": Setup("the error is fatal: the link is reset", fatal=True),
}
"""By name, the default one first."""


def setup_of(name: str | None) -> Setup:
    """Return the machine of that name; None is the default one.

    Raises:
        ScenarioError: there is none; the message names the nearest.
    """
    if name is None:
        name = DEFAULT
    if name not in MACHINES:
        raise unknown_name("unknown machine", name, list(MACHINES))
    return MACHINES[name]
