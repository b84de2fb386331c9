"""Which CPU the threads of the calls of this process run on: one that none of our others uses.

Real-thread runs want all their threads on one CPU: a hand-over between two CPUs costs three to ten
times as much. Were it the same CPU in every process, two side by side would be slower than one. So
each claims one, by binding an abstract Unix socket named after it: nothing is ever sent there, it
is no file, and the kernel gives it back however the process ends. Where each CPU is claimed, the
one with the fewest claims is shared.

The calls of one process share its CPU. Threads that are left when the last of them ends are given
back the CPUs that they would have had. Where `os.sched_setaffinity` does not exist nothing is
changed.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress

from ..locks import afresh

_NAME = "\0pci-lock-laboratory-cpu-{}-{}"
_MOST = 64    # processes that share a CPU, after which they are not counted any more

_lock = afresh.module_lock()
_calls = 0                            # under way
_claim: socket.socket | None = None
_pinned: set[int] = set()             # the CPU of the process, alone
_allowed: set[int] = set()            # those that there were before
_spared: set[int] = set()             # threads that were on it alone before


def pin(thread: int) -> set[int]:
    """Put *thread*, by its native identifier, on the CPU of this process; return those that it had,
    none if nothing was changed. `unpin` undoes it in any case.
    """
    global _calls, _claim, _pinned, _allowed, _spared
    with _lock:
        _calls += 1
        try:    # a system may lack it, a sandbox forbid it: it is only slower then
            before = os.sched_getaffinity(thread)
            if _calls == 1:
                _allowed = before
                _claim, cpu = _claimed(sorted(before))
                _pinned = {cpu}
                _spared = set(_threads_on(_pinned))
            if before == _pinned or not _pinned <= before:
                return set()
            os.sched_setaffinity(thread, _pinned)
        except (AttributeError, OSError):
            return set()
        return before


def unpin(thread: int, before: set[int]) -> None:
    """Undo a `pin` of *thread*, which returned *before*."""
    global _calls, _claim
    with _lock:
        if not _calls:    # this process was forked in the middle of the call
            return
        _calls -= 1
        # A CPU may have been taken from the process meanwhile; the result is worth more.
        if before:
            _move(thread, before)
        if not _calls:
            if _pinned and _allowed != _pinned:
                while any([_move(left, _allowed) for left in _threads_on(_pinned)
                           if left not in _spared]):
                    pass    # one may have started another meanwhile
            if _claim is not None:
                _claim.close()
                _claim = None
            _pinned.clear()


def _claimed(cpus: list[int]) -> tuple[socket.socket | None, int]:
    """Return one of *cpus* that the fewest processes of ours have, and what claims it."""
    with suppress(AttributeError, OSError):    # no such sockets here, or no descriptor left
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        for level in range(_MOST):
            for cpu in cpus:
                try:
                    claim.bind(_NAME.format(cpu, level))
                except OSError as exc:
                    if exc.errno == errno.EADDRINUSE:
                        continue
                    claim.close()
                    raise
                return claim, cpu
        claim.close()
    return None, cpus[os.getpid() % len(cpus)]


def _threads_on(cpus: set[int]) -> list[int]:
    """Return the threads of this process that run on *cpus* and on no others."""
    found = []
    with suppress(OSError):
        for name in os.listdir("/proc/self/task"):
            with suppress(OSError):    # it has ended
                if os.sched_getaffinity(int(name)) == cpus:
                    found.append(int(name))
    return found


def _move(thread: int, cpus: set[int]) -> bool:
    """Let *thread* run on *cpus*, unless it has been moved or ended; say whether that was done."""
    with suppress(OSError):
        if os.sched_getaffinity(thread) == _pinned:
            os.sched_setaffinity(thread, cpus)
            return True
    return False


@afresh.in_child
def _forget() -> None:
    """Leave the claim to the process that has it; a process of ours goes on where that is."""
    global _calls, _claim
    if _claim is not None:
        _claim.close()
        _claim = None
    if _calls and not afresh.is_ours():
        _calls = 0
        _move(threading.get_native_id(), _allowed)
        _pinned.clear()
