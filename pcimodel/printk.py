"""kernel/printk/printk.c and the dev_*() macros (v4.14): the kernel's log.

The log is a ring: the oldest lines make room for new ones.

Lock order: none (logbuf_lock is a spinlock; appending to a deque is atomic).
"""

from __future__ import annotations

from collections import deque

from .device import Device
from .pci import PciDev

KERN_ERR = 3
KERN_WARNING = 4
KERN_INFO = 6
KERN_DEBUG = 7


class LogLine(str):
    """One line of the log; *level* is its KERN_ number."""

    level: int


class Printk:
    """The functions that write to the log."""

    dmesg: deque[LogLine]

    def setup_log_buf(self, lines: int) -> None:
        """Make a ring of *lines* lines.

        Kernel: setup_log_buf(), kernel/printk/printk.c
        Locks:  none
        Called with: nothing running yet
        Returns: nothing
        Left out: the ring is counted in lines, not in bytes
        """
        self.dmesg = deque(maxlen=lines)

    def printk(self, level: int, text: str) -> None:
        """Append a line to the log.

        Kernel: printk(), kernel/printk/printk.c
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: time stamps, consoles
        """
        line = LogLine(text)
        line.level = level
        self.dmesg.append(line)

    def dev_printk(self, level: int, dev: Device, text: str) -> None:
        """Append a line that begins with the driver and the name of *dev*.

        Kernel: dev_printk(), drivers/base/core.c
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: nothing
        """
        owner = dev.dev_driver.name if dev.dev_driver else "pci" if isinstance(dev, PciDev) else ""
        self.printk(level, f"{owner} {dev.name}: {text}".lstrip())

    def dev_err(self, dev: Device, text: str) -> None:
        """Log an error of *dev*.

        Kernel: dev_err(), drivers/base/core.c
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: nothing
        """
        self.dev_printk(KERN_ERR, dev, text)

    def dev_warn(self, dev: Device, text: str) -> None:
        """Log a warning about *dev*.

        Kernel: dev_warn(), drivers/base/core.c
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: nothing
        """
        self.dev_printk(KERN_WARNING, dev, text)

    def dev_info(self, dev: Device, text: str) -> None:
        """Log a fact about *dev*.

        Kernel: dev_info(), drivers/base/core.c
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: nothing
        """
        self.dev_printk(KERN_INFO, dev, text)

    def WARN(self, text: str) -> None:
        """Log that something is wrong that should never be, and go on.

        Kernel: WARN(), include/asm-generic/bug.h
        Locks:  none
        Called with: any locks
        Returns: nothing
        Left out: the stack trace, the taint
        """
        self.printk(KERN_WARNING, f"WARNING: {text}")
