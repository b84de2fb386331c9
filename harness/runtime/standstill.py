"""Whether threads stand still: judged by what they could have done, not by the clock on the wall.

A process may be stopped, a laptop suspended, a machine busy: that time passed then says nothing of
its threads. So whoever watches looks again and again. A look counts for one slice of the time
limit at most, however late it comes; not for the time that a thread was kept from a processor; and
where one wants a processor, only for the time that it had one. What a thread does is told by the
processor time it has used, by where it stands, and, on Linux, by what it waits for in the kernel: a
thread waits if twice it was seen at one instruction, used nothing in between, and its wait has no
end of its own.

`Standstill` is fed with what was seen, and does no looking; `readings` looks.
"""

from __future__ import annotations

import linecache
import platform
import re
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from itertools import islice
from types import FrameType
from typing import Any, NamedTuple

from ..locks import afresh
from ..locks.callsite import caller_at, frames_of_threads
from ..locks.task import Task

SLICES = 4       # how finely a watcher looks within the time limit
COMPUTES = "computes"    # or would, if it were given a processor
LONGEST = 0.5    # seconds between looks at most: of a signal that arrives just before the wait for
#                  the next look begins, Python hears after it only


class Reading(NamedTuple):
    """What was seen of one thread.

    Attributes:
        cpu: seconds of a processor that it has used so far.
        kept: seconds that it wanted a processor so far and got none.
        at: where it stands.
        does: what it does that will end by itself, in words; "" if it waits, as far as is known.
        place: "file:line" of the user's function in which that is, "" if there is none.
    """

    cpu: float
    kept: float
    at: Hashable
    does: str = ""
    place: str = ""


_Read = Callable[[Mapping[Any, Reading]], Mapping[Any, Reading]]


class Standstill:
    """What the looks so far come to.

    Args:
        limit: seconds that count as a standstill.
        now: when the watch begins.

    Attributes:
        moves: how often something had moved, at the last look.
        silence: seconds, as far as they count, since something moved.
        quiet: seconds, as far as they count, for which all that is at large waits.
        running: who does not, as of the last look.
    """

    def __init__(self, limit: float, now: float) -> None:
        self.limit, self.slice = limit, min(limit / SLICES, LONGEST)
        self.silence = self.quiet = 0.0
        self.running: dict[Any, Reading] = {}
        self.moves, self._last = -1, now
        self._seen: Mapping[Any, Reading] = {}

    def look(self, now: float, moves: int, read: _Read) -> None:
        """Take in a look.

        Args:
            moves: how often something has moved.
            read: returns what is seen of each thread that does not wait for what others at large
                do, given what was seen before; it is not called where something has moved.
        """
        passed, self._last = now - self._last, now
        if moves != self.moves:
            self.moves = moves
            self.begin_again()
            return
        before, after = self._seen, read(self._seen)
        self._seen = after
        passed = min(_counted(passed, before, after), self.slice)
        self.running = {}
        for who, reading in after.items():
            stands = _stands(before.get(who), reading)
            if reading.does or not stands:    # what is known of it if it stands
                self.running[who] = reading if stands else reading._replace(does="")
        self.silence += passed
        self.quiet = 0.0 if self.running else self.quiet + passed

    def begin_again(self) -> None:
        """Take it that something has moved."""
        self._seen, self.running = {}, {}
        self.silence = self.quiet = 0.0

    @property
    def hangs(self) -> bool:
        """Whether for the whole limit all have waited."""
        return self.quiet >= self.limit

    @property
    def still_runs(self) -> bool:
        """Whether nothing has moved for the limit, and not because all wait."""
        return self.silence >= self.limit and bool(self.running)

    def reading(self, who: Any) -> Reading | None:
        """Return what was seen of *who* last."""
        return self._seen.get(who)

    def __str__(self) -> str:
        """Say who still runs, what each does and where."""
        some = [f"{who.name} still runs{reading.does and f': it {reading.does}'}"
                f"{reading.place and f', at {reading.place}'}"
                for who, reading in islice(self.running.items(), 3)]
        more = len(self.running) - len(some)
        return "; ".join([*some, *([f"and {more} more"] if more else [])])


def _stands(before: Reading | None, now: Reading) -> bool:
    """Say whether a thread did nothing between two looks."""
    return before is not None and (before.cpu, before.at) == (now.cpu, now.at)


def _counted(passed: float, before: Mapping[Any, Reading], after: Mapping[Any, Reading]) -> float:
    """Return how many of the seconds that *passed* between two looks count."""
    known = [(before[who], now) for who, now in after.items() if who in before]
    if any(now.does == COMPUTES for now in after.values()):
        # How long it wants it is told when it gets it.
        return min(passed, sum(now.cpu - then.cpu for then, now in known))
    return max(0.0, passed - max((now.kept - then.kept for then, now in known), default=0.0))


# -- looking ---------------------------------------------------------------------------------------

# Calls of the kernel that may have a limit: which argument it is, and what says that there is none.
_NONE, _MINUS_ONE, _SLEEP = 0, 2**32 - 1, (-1, 0)
_LIMITS: dict[str, dict[int, tuple[int, int]]] = {
    "x86_64": {202: (3, _NONE), 35: _SLEEP, 230: _SLEEP, 7: (2, _MINUS_ONE), 271: (2, _NONE),
               23: (4, _NONE), 270: (4, _NONE), 232: (3, _MINUS_ONE), 281: (3, _MINUS_ONE)},
    "aarch64": {98: (3, _NONE), 101: _SLEEP, 115: _SLEEP, 73: (2, _NONE), 72: (4, _NONE),
                22: (3, _MINUS_ONE)}}
_SLEEPING, _ASKING = re.compile(r"\bsleep\("), re.compile(r"\binput\(|\bstdin\b")
_DEBUGGER = "bdb", "pdb"


@afresh.in_child
def _know_the_main_thread() -> None:
    """Have it known by its number in this process: it has the old one, of which the kernel says
    nothing, and whatever it did would be a wait.
    """
    thread: Any = threading.main_thread()
    if hasattr(thread, "_set_native_id"):
        thread._set_native_id()


def readings(tasks: Iterable[Task], before: Mapping[Task, Reading]) -> dict[Task, Reading]:
    """Return what is seen of the threads of *tasks*; who did nothing since *before* does the same.
    """
    frames = frames_of_threads()
    seen = {}
    for task in tasks:
        thread = task.thread
        frame = frames.get(thread.ident or 0) if thread is not None else None
        if thread is not None and frame is not None:
            seen[task] = read_thread(thread.native_id or 0, frame, before.get(task))
    return seen


def read_thread(number: int, frame: FrameType, before: Reading | None = None,
                of_the_user: bool = False) -> Reading:
    """Return what is seen of the thread that the kernel knows by *number*, given what was seen of
    it *before*; *of_the_user*: see `caller_at`.
    """
    if before is not None and before.does != COMPUTES and (before.cpu, before.at) == (
            _cpu(number), (frame.f_code, frame.f_lasti)):
        return before
    kept = _proc(number, "schedstat").split()[1:2]
    return Reading(_cpu(number), int(kept[0]) / 1e9 if kept else 0.0,
                   (frame.f_code, frame.f_lasti), _does(number, frame),
                   caller_at(frame, of_the_user))


def _cpu(number: int) -> float:
    """Return what a thread has used of a processor; where that cannot be told, what the process
    has, but not so finely that the looks themselves are seen.
    """
    if sys.platform == "linux":
        try:    # the clock that pthread_getcpuclockid returns, which is fatal for an ended thread
            return time.clock_gettime(~number << 3 | 6)
        except OSError:
            return -1.0    # it has ended
    return time.process_time() // 0.05 * 0.05


def _does(number: int, frame: FrameType) -> str:
    """Say what a thread does that will end by itself, or by whom sits before it."""
    call = _proc(number, "syscall").split()
    text = _text(frame)
    if _ASKING.search(text) or any(each.f_globals.get("__name__") in _DEBUGGER
                                 for each in _callers(frame)):
        return "waits for input"
    if _SLEEPING.search(text):
        return "sleeps"
    return COMPUTES if call[:1] == ["running"] else _limit_of(call)


def _limit_of(call: list[str]) -> str:
    """Say what a call of the kernel, number and arguments, is if that ends by itself."""
    known = _LIMITS.get(platform.machine(), {}).get(int(call[0])) if len(call) > 6 else None
    if known is None or known is _SLEEP:
        return "sleeps" if known else ""
    which, none = known
    limit = int(call[1 + which], 16)
    return "" if limit in (none, none and 2**64 - 1) else "waits with a time limit"


def _callers(frame: FrameType | None) -> Iterable[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _text(frame: FrameType) -> str:
    """Return the source, of one line, of what *frame* does."""
    line, end, first, last = next(islice(frame.f_code.co_positions(), frame.f_lasti // 2, None))
    if line is None:
        return ""
    text = linecache.getline(frame.f_code.co_filename, line)
    return text.encode()[first:last].decode(errors="replace") if line == end else text


def _proc(number: int, name: str) -> str:
    """Return what the kernel says of a thread, "" if it says nothing."""
    try:
        with open(f"/proc/self/task/{number}/{name}", encoding="ascii") as file:
            return file.read()
    except (OSError, ValueError):
        return ""
