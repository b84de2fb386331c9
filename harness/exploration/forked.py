"""Schedules whose world is the first of its process: each in a child forked from a parent that ran
none.

`Apart` forks that parent, the *keeper*, before the caller builds its first world. It blocks on a
pipe, and forks a child for each schedule that it is sent. What goes there and back is plain data
(seen_run.py): the chooser, the numbers of roles and locks, and of the run what is looked at
afterwards. The keeper ends, and kills and reaps the child under way, when it is told to or the
caller is gone; so none outlives the call.
"""

from __future__ import annotations

import errno
import mmap
import os
import select
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..locks.callsite import first_line
from ..locks.errors import ScenarioError
from ..runtime import end_signals
from ..runtime.our_thread import other_threads
from ..runtime.scenario import Scenario
from ..runtime.solo_run import Unfinished
from ..runtime.verdict import Finding, Outcome, Verdict
from .beginning import LOOK, Beginning, fork_unwarned
from .keeper import BEGINS, HEAD, PAGE, Maker, ending, keep, read, write
from .scheduled_run import TimeUp
from .seen_run import dumps, loads
from .stable_ids import Names


class World(Protocol):
    """What a schedule is a schedule of."""

    scenario: Callable[..., Any]
    name: str
    names: Names
    timeout: float
    deadline: float | None    # by time.monotonic()


class Died(Exception):
    """A process ended in the middle of its schedule; `str()` says how, and when.

    Args:
        verdict: what that comes to.
    """

    def __init__(self, text: str, verdict: Verdict = Verdict.ERROR) -> None:
        super().__init__(text)
        self.verdict = verdict


def _timed_out(outcome: Outcome) -> Finding | None:
    """Return the gravest finding if it came of a standstill."""
    return outcome.gravest if outcome.gravest and outcome.gravest.how == "timed out" else None


_LACKS = "a process of its own does not have the other threads of this one"
_STUCK = "it waits for what another thread had when it was forked"
_FORKS = 5    # of which each began to wait for that


@dataclass
class Apart:
    """Worlds of one scenario, each the first of its process, in place of `Workers`.

    Attributes:
        why_not: why there are none, or "".
        alone: the forked processes have every thread that this one had; if not, that one waits
            there says nothing.
    """

    scenario: Callable[..., Any]
    why_not: str = ""
    alone: bool = True
    _keeper: int = 0
    _begun: bool = False
    _requests: int = -1
    _results: int = -1
    _page: Any = field(default=None, repr=False)

    def __enter__(self) -> Apart:
        """Fork the keeper."""
        if not hasattr(os, "fork"):
            self.why_not = "this platform cannot fork a process"
            return self
        for stream in (sys.stdout, sys.stderr):    # lest a child writes it once more
            with suppress(Exception):
                stream.flush()
        try:
            handlers = end_signals.of_a_child()
            for _ in range(_FORKS):
                with end_signals.later():    # else a process or descriptor would be forgotten
                    self._fork(handlers)
                if self.why_not or self._begins():
                    return self
                self.__exit__()
            self.why_not = f"no process of its own begins: {_STUCK}"
        except BaseException:
            self.__exit__()
            raise
        return self

    def _fork(self, handlers: dict[int, Any]) -> None:
        self.alone = not other_threads()
        page = mmap.mmap(-1, PAGE.size)
        requests, results = os.pipe(), os.pipe()
        try:
            pid = fork_unwarned()
        except OSError as exc:
            self.why_not = f"no process could be forked: {exc.strerror}"
            page.close()
            for fd in (*requests, *results):
                os.close(fd)
            return
        if not pid:
            with ending(1):
                os.close(requests[1])
                os.close(results[0])
                keep(requests[0], results[1], page, self.scenario, handlers)
        self._keeper, self._page, self._begun = pid, page, False
        self._requests, self._results = requests[1], results[0]
        os.close(requests[0])
        os.close(results[1])

    def _begins(self) -> bool:
        """Say whether the keeper begins, or ended before: `_ask` says how."""
        poll, beginning = select.poll(), Beginning(self._keeper)
        poll.register(self._results, select.POLLIN)
        while not (begun := bool(poll.poll(LOOK))) and not self._has_ended():
            if beginning.stands():
                return False
        self._begun = True
        if begun:
            read(self._results, len(BEGINS))
        return True

    def __exit__(self, *exc: object) -> None:
        if self._keeper:
            with end_signals.later():    # it ends at once: it kills a child under way
                try:
                    with suppress(OSError):
                        if not self._begun:
                            os.kill(self._keeper, signal.SIGKILL)
                        os.write(self._requests, HEAD.pack(0))
                    with suppress(OSError):
                        os.waitpid(self._keeper, 0)
                finally:
                    os.close(self._requests)
                    os.close(self._results)
                    self._page.close()
                    self._keeper = 0

    def play(self, world: World, make: Maker, *, full: bool = False, to_the_end: bool = False,
             deadline: float | None = None,
             traced: bool = False) -> tuple[Any, Any, Outcome]:
        """Run the schedule of the chooser that *make* returns in a process of its own, *traced* if
        it is to show which starts are points.

        The numbers in *world.names* become those that the other process knows.

        Returns:
            The chooser as it is after it, the run as a `SeenRun`, and the outcome.

        Raises:
            Died: the process ended before the schedule did, or waits for a thread it does not have.
            ScenarioError: its world could not be built.
            TimeUp: the deadline was met while it was looked at.
        """
        chooser, run, outcome = self._ask(world, make, full, to_the_end, deadline, traced)
        if not self.alone and (finding := _timed_out(outcome)) is not None:
            raise Died(f"{_LACKS}: {finding.text}", Verdict.INCONCLUSIVE)
        world.names = run.names
        return chooser, run, outcome

    def describe(self, world: World) -> Scenario:
        """Return what there is to know of the scenario, of a world that is built in a process of
        its own: roles, invariants and the rest do nothing but be there.

        Raises:
            Died, ScenarioError: as `play`.
        """
        described: Scenario = self._ask(world, None)
        return described

    def _ask(self, world: World, *request: Any) -> Any:
        try:
            data = dumps((world.names, world.name, world.timeout, *request))
        except Exception as exc:
            raise Died(f"a schedule could not be told to a process of its own: "
                       f"{first_line(exc)}") from exc
        try:
            write(self._requests, data)
            length, = HEAD.unpack(self._receive(HEAD.size))
            answer = loads(self._receive(length))
        except (EOFError, BrokenPipeError, struct.error):
            raise self._how(world.names) from None
        if isinstance(answer, Unfinished) and not self.alone and _timed_out(answer.outcome):
            self.why_not = f"{_LACKS}: {answer}"
            raise Died(self.why_not, Verdict.INCONCLUSIVE)
        if isinstance(answer, ScenarioError | TimeUp):
            raise answer
        if isinstance(answer, str):
            raise Died(f"a schedule could not be run in a process of its own: {answer}")
        return answer

    def _receive(self, length: int) -> bytes:
        # By no clock: the process judges itself, and may be stopped, as this one may.
        poll, parts = select.poll(), []
        poll.register(self._results, select.POLLIN)
        while length:
            while not poll.poll(LOOK):
                # A process that a role has left behind may keep the pipe open.
                if self._has_ended() and not poll.poll(0):
                    raise EOFError
            part = os.read(self._results, min(length, 1 << 20))
            if not part:
                raise EOFError
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _has_ended(self) -> bool:
        try:
            return os.waitpid(self._keeper, os.WNOHANG)[0] != 0
        except OSError:    # the process does not care for its children
            return True

    def _how(self, names: Names) -> Died:
        """Return how the child ended."""
        with suppress(OSError):
            os.waitpid(self._keeper, 0)
        label, status, told = PAGE.unpack(self._page[:])
        if told < 0:
            why = _STUCK if told == -errno.EDEADLK else os.strerror(-told)
            return Died(f"no process could be forked: {why}", Verdict.INCONCLUSIVE)
        role = label - 1 >> 1
        who = f"{names.roles[role]}'s" if 0 <= role < len(names.roles) else "a new thread's"
        when = f"when it was {who} turn" if label > 0 else "before it began"
        how = f"exit status {os.waitstatus_to_exitcode(status)}" if os.WIFEXITED(status) \
            else f"signal {os.WTERMSIG(status)}"
        return Died(f"the process ended in the middle of a schedule, {when} ({how})")
