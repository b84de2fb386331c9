"""kernel/time/timer.c (v4.14): sleeping by the clock of the world.

Lock order: none.
"""

from __future__ import annotations

from .locking import msleep


class Timer:
    """The function of kernel/time/timer.c that drivers/pci calls."""

    time_scale: float

    def msleep(self, milliseconds: float) -> None:
        """Sleep by the clock of this world.

        Kernel: msleep(), kernel/time/timer.c
        Locks:  none
        Called with: no spinlock
        Returns: nothing
        Left out: the time itself, at the default scale
        """
        msleep(milliseconds, self.time_scale)
