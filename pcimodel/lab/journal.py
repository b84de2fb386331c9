"""What the scenarios' own drivers, and whoever writes into sysfs, saw happen, in order.

Nothing of the model knows of it: the drivers are the laboratory's, and the kernel calls them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from harness.locks.task import current

from ..pci import PciDev

STAGES = ("error_detected", "mmio_enabled", "slot_reset", "resume")
"""The callbacks of an error, in the order in which recovery makes them."""


class Noted(NamedTuple):
    """One thing that happened.

    Attributes:
        what: a callback, a call of the driver's, a write; "error": the error was reported.
        dev: the device it is about.
        value: what was returned, or what the callback was told.
        locked: whether the calling thread held the device's lock.
    """

    what: str
    dev: PciDev
    value: Any
    locked: bool


class Journal(list[Noted]):
    """The notes of one run."""

    def note(self, what: str, dev: PciDev, value: Any = None) -> None:
        """Note that *what* happened to *dev*."""
        locked = any(lock is dev.mutex for lock, _, _ in current().held)
        self.append(Noted(what, dev, value, locked))

    def about(self, dev: PciDev) -> list[Noted]:
        """Return the notes about *dev*."""
        return [noted for noted in self if noted.dev is dev]

    def last(self, what: str) -> Noted | None:
        """Return the last note of *what*."""
        return next((noted for noted in reversed(self) if noted.what == what), None)
