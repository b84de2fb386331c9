"""The watch over the thread that called, while it does what a scenario asks for and no role runs:
builds a world, asks for observers, checks at the end.

What waits for ever on our locks there is found as it begins to wait (solo_run.py). What waits
outside them, and what has no end, is ended from here. In the main thread a signal does that, whose
handler raises `Unwind`: nothing else gets a thread out of a bare lock. No other thread can be got
out of one, so there the work is done in a thread of its own, which is left behind.

Each call has a watcher of its own, which ends with it. The file is long because it tells apart, in
one place, the thread that a signal gets out and the thread that nothing does.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ..locks import raw
from ..locks.away import InPlaceOf, give_up, under_way
from ..locks.calls import call_role
from ..locks.callsite import by_signal, caller_at, frames_of_threads, raised_at
from ..locks.parking import guarded
from ..locks.task import Unwind
from .finalizers import Finalizers
from .our_thread import begin, main_thread, our_thread, see_end
from .process_state import aside, surely
from .recorder import all_stacks
from .solo_run import SoloRun, Unfinished
from .standstill import LONGEST as LONGEST_SLICE
from .standstill import SLICES, Standstill, readings
from .verdict import Finding, Outcome, Verdict

LONGEST = 12      # timeouts after which what computes, or sleeps, is ended
GRACE = 1.0       # seconds that what is ended gets before it is left behind
# One that nobody uses, and that does nothing where no handler is left.
_SIGNAL: int = getattr(signal, "SIGURG", 0) if hasattr(signal, "pthread_kill") else 0


class _Calls(threading.local):
    """The watchers of the calls under way in the calling thread, the innermost last."""

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []


_calls = _Calls()


def alone(name: str, function: Callable[[], Any], run: SoloRun | None = None) -> Any:
    """Return what *function*, called *name* in words, returns, called while no role runs.

    Args:
        run: in which it is called, if its locks are to be seen.

    Raises:
        Unfinished: it came to no good end; else what it raises.
    """
    if not _calls.watchers:
        return function() if run is None else run.perform_alone(function)
    if run is None:
        return _calls.watchers[-1].over(SoloRun(name), partial(call_role, function))
    return _calls.watchers[-1].over(run, partial(run.perform_alone, function))


class Watcher:
    """Ends what the thread that called does, when it has waited or worked too long.

    Args:
        timeout: seconds without any work after which that is a hang.
        deadline: when it is cut short, by time.monotonic(); None for never.
    """

    def __init__(self, timeout: float, deadline: float | None) -> None:
        self._timeout, self._deadline = timeout, deadline
        self._watched: SoloRun | None = None
        self._ident = threading.get_ident()
        self._is_main = self._ident == threading.main_thread().ident and _SIGNAL != 0
        self._ended = raw.Lock()
        self._ended.acquire()
        self._thread: threading.Thread | None = None
        self._handler: Any = None
        self._finalizers = Finalizers(timeout, LONGEST)

    def __enter__(self) -> Watcher:
        _calls.watchers.append(self)
        return self

    def __exit__(self, *exc: object) -> None:
        surely(self._end)

    def _end(self) -> None:
        if self in _calls.watchers:
            _calls.watchers.remove(self)
        if self._thread is not None:
            if self._ended.locked():
                self._ended.release()
            see_end(self._thread)
            with suppress(TypeError):    # the handler before was none of Python's
                signal.signal(_SIGNAL, self._handler)

    def over(self, run: SoloRun, call: Callable[[], Any]) -> Any:
        """Return what *call* returns; *run* is what is ended when it takes too long."""
        if not self._is_main:
            return self._aside(run, call)
        if self._thread is None:
            self._begin()
        if self._finalizers.findings:
            self.tell_of_finalizers()
        run.task.thread = main_thread()
        self._watched = run
        try:
            answer = call()
        except Unwind:
            raise Unfinished(run.outcome()) from None
        except BaseException as exc:
            if by_signal(exc):
                exc.outcome = Outcome([Finding(    # type: ignore[attr-defined]
                    Verdict.INCONCLUSIVE, "observed",
                    f"interrupted during {run.task.name}, at {raised_at(exc)}")], [])
            raise
        finally:
            self._watched = None
        if run.findings:    # what ended it was swallowed
            raise Unfinished(run.outcome())
        return answer

    def tell_of_finalizers(self) -> None:
        """Raise Unfinished if a finalizer had to be ended since this was called last."""
        findings = self._finalizers.findings
        if findings:
            self._finalizers.findings = []
            raise Unfinished(Outcome(findings, []))

    def _begin(self) -> None:
        self._thread = our_thread(self._loop, "harness watcher")
        self._handler = signal.signal(_SIGNAL, self._signalled)
        begin(self._thread)

    def _signalled(self, number: int, frame: Any) -> None:
        run = self._watched
        if run is not None and run.unwinding and run.inside \
                or self._finalizers.is_to_end(frame):
            raise Unwind
        if callable(self._handler):
            self._handler(number, frame)

    def _loop(self) -> None:
        """Look again and again what the main thread does, until the call has ended."""
        run, looks = None, Standstill(self._timeout, time.monotonic())
        while not self._ended.acquire(True, self._patience(looks)):
            before, run = run, self._watched
            if run is None:
                if self._finalizers.look():
                    signal.pthread_kill(self._ident, _SIGNAL)
                continue
            if run is not before:
                looks = Standstill(self._timeout, time.monotonic())
            # Once more each time: it may swallow what the handler raises.
            if run.unwinding or self._judge(run, looks):
                signal.pthread_kill(self._ident, _SIGNAL)

    def _aside(self, run: SoloRun, call: Callable[[], Any]) -> Any:
        """Return what *call* returns, in a thread that can be left behind."""
        answers: list[Any] = []
        errors: list[BaseException] = []
        ended = raw.Lock()
        ended.acquire()

        def body() -> None:
            try:
                answers.append(call())
            except BaseException as exc:
                errors.append(exc)
            ended.release()

        run.task.thread = thread = our_thread(body, "harness builder")
        begin(thread)
        looks = Standstill(self._timeout, time.monotonic())
        while not ended.acquire(True, self._patience(looks)):
            if not run.unwinding and self._judge(run, looks):
                looks = Standstill(GRACE, time.monotonic())
            elif run.unwinding:
                looks.look(time.monotonic(), 0, partial(readings, [run.task]))
                if looks.silence >= looks.limit:
                    outcome = run.outcome()
                    outcome.stuck = (f"{run.task.name}{_place(run)}",)
                    raise Unfinished(outcome)
        thread.join()
        if run.findings or errors and type(errors[0]) is Unwind:
            raise Unfinished(run.outcome())
        if errors:
            raise errors[0]
        return answers[0]

    def _patience(self, looks: Standstill) -> float:
        left = looks.slice if self._deadline is None else self._deadline - time.monotonic()
        return min(looks.slice, left) if left > 0 else looks.slice

    def _judge(self, run: SoloRun, looks: Standstill) -> bool:
        """Look; end what takes too long. Say whether that was done."""
        now, name, limit = time.monotonic(), run.task.name, f"{self._timeout:g} s"
        looks.look(now, 0, partial(readings, [run.task]))
        if looks.hangs:
            verdict, text = Verdict.HANG, f"{name} has not moved for {limit}"
        elif self._deadline is not None and now >= self._deadline:
            verdict, text = Verdict.INCONCLUSIVE, f"the time given was up during {name}"
        elif looks.silence >= LONGEST * self._timeout:    # it computes, sleeps, ...
            verdict, text = Verdict.INCONCLUSIVE, f"{name} was not ready in {LONGEST} times {limit}"
        else:
            return False
        stacks, call, thread = all_stacks([run.task]), under_way(), run.task.thread
        if call is not None and thread is not None and call.ident == thread.ident:
            text += f", asked for {call.what}"
        text += _place(run)

        def judge() -> None:
            if run is self._watched or not self._is_main:
                run.judge(verdict, text, stacks)

        def with_guard() -> None:
            with guarded:
                judge()

        aside(with_guard, _InPlace(run, judge, self._is_main))
        return run.unwinding


class _InPlace:
    """Does what needs the guard in place of the thread of *run*, if that is what has it: user code
    that it called there does not come back.

    Args:
        is_main: a signal will bring it back.
    """

    def __init__(self, run: SoloRun, judge: Callable[[], None], is_main: bool) -> None:
        self._run, self._judge, self._is_main = run, judge, is_main
        self.slice = min(run.timeout / SLICES, LONGEST_SLICE)
        self.helpers: set[int] = set()
        self.lost: set[int] = set()

    def look(self, now: float) -> bool:
        call, thread = under_way(), self._run.task.thread
        if call is None or thread is None or call.ident != thread.ident:
            return False
        with InPlaceOf(call, lend=self._is_main) as mine:
            if mine:
                if call.given_up and call.task.run is self._run:
                    give_up(call.task)
                self._run.gave_up = True
                self._judge()
                self.lost |= self.helpers    # who waits for the guard finds nothing to do
        return mine


def _place(run: SoloRun) -> str:
    """Say where the thread of *run* stands in the user's code."""
    thread = run.task.thread
    frame = frames_of_threads().get(thread.ident or 0) if thread is not None else None
    at = caller_at(frame, of_the_user=True)
    return f", at {at}" if at else ""
