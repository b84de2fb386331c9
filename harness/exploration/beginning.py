"""The first moments of a forked process: until it comes to a line of ours."""

from __future__ import annotations

import warnings

from ..locks import afresh

LOOK = 50      # milliseconds between looks at a process
STANDS = 20    # looks in a row after which one that waits is taken to wait for ever

_filters_lock = afresh.module_lock()


def fork_unwarned() -> int:
    """Fork, without the warning that other threads may hold locks: ours they do not."""
    pid = -1
    _filters_lock.acquire()    # filters are the process's: two at once would put back each other's
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = afresh.fork()
    finally:
        if pid:    # in the child it is a new one
            _filters_lock.release()
    return pid


class Beginning:
    """Looks at a process that was forked and has yet to begin.

    What another thread had at the fork, of a lock that the interpreter or a C library keeps, is
    never given back in the child, which may wait for that before it comes to a line of ours (with
    `tracemalloc` on, a thread that just ends is enough: CPython, Modules/_tracemalloc.c). Until it
    begins it has nothing else to wait for.
    """

    def __init__(self, pid: int) -> None:
        self._stat, self._before, self._looks = f"/proc/{pid}/stat", [""], 0

    def stands(self) -> bool:
        """Look once more; say whether it is taken to wait for ever. Without `/proc` that is said
        by the number of looks alone.
        """
        try:
            with open(self._stat) as file:
                fields = file.read().rpartition(")")[2].split()
            state, used = fields[0], fields[11:13]
        except OSError:
            state, used = "S", self._before
        self._looks = self._looks + 1 if (state, used) == ("S", self._before) else 0
        self._before = used
        return self._looks >= STANDS
