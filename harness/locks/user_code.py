"""Calling what a user wrote in the middle of things: a factory, an invariant, the hook of an
observer, `by=`, an order of locks, a name.

It must come back whatever it does, and what it does wrong must be told with its place. Most of it
must take no lock: it is called where the account is half way, or with the guard held, and its
operations would be taken for those of the role in whose thread it runs. While it runs, the task of
its thread is therefore one of its own, whose run refuses every operation (`Quiet`).
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

from .away import Call, NotAsked, has_guard
from .callsite import caller_at, frames_of_threads, pass_signal, raised, user_traceback
from .errors import LockTaken, ScenarioError
from .parking import recover
from .task import WAIT, Task, become
from .waitgraph import flat


def call(what: str, function: Callable[..., Any], *args: Any, **more: Any) -> Any:
    """Return what *function*, called *what* in words, returns, in the thread that called us.

    Raises:
        ScenarioError: it raised, whatever it was; but what a signal handler raised passes.
    """
    try:
        return function(*args, **more)
    except ScenarioError:
        raise
    except BaseException as exc:
        pass_signal(exc)
        raise ScenarioError(f"{what} {raised(exc)}") from exc


class _Refusing:
    """The run of a task that must take no lock: see `RunOfTask`. Looking is free."""

    watched = unwinding = over = alone = False
    in_turns = scheduled = False
    ask_in_turn: Callable[[Any, Any, str], bool] | None = None
    note: Callable[[tuple[Any, ...]], None] | None = None
    running = timed = 0
    on_acquire: tuple[Callable[..., None], ...]
    on_acquired: tuple[Callable[..., None], ...] = ()
    on_refused: tuple[Callable[..., None], ...] = ()
    on_release: tuple[Callable[..., None], ...]

    outer: Task    # of the thread, otherwise

    def __init__(self) -> None:
        self.refused: BaseException | None = None    # kept: it may be swallowed
        self.on_acquire, self.on_release = (self._acquire,), (self._release,)

    def refuse(self, did: str, must: str = "take no lock") -> NoReturn:
        self.refused = LockTaken(f"{did} at {caller_at(sys._getframe(1))}; it must {must}")
        raise self.refused

    def _acquire(self, task: Task, lock: Any, mode: str) -> None:
        self.refuse(f"waited for {lock}" if mode is WAIT else f"took lock {lock}")

    def _release(self, task: Task, lock: Any, mode: str) -> None:
        self.refuse(f"let others pass {lock}" if mode is WAIT else f"released lock {lock}")

    def step(self, task: Task, on: str) -> None:
        self.refuse("called harness.step", "be no point of a schedule")

    def enders(self, lock: Any) -> list[Task]:
        return []

    def why_nobody(self, lock: Any) -> str:
        return ""

    def adopt(self, thread: threading.Thread, name: str) -> Task:
        self.refuse(f"started thread {name}", "start none")

    def failed(self, task: Task, exc: BaseException) -> None:
        self.refused = exc

    def perform(self, task: Task, function: Callable[[], Any]) -> None:
        function()

    def lose(self, task: Task, exc: BaseException) -> None: ...

    def contended(self, task: Task, again: bool) -> bool: return False
    def find(self, who: Any) -> Task | None: return None
    def look(self, task: Task, lock: Any) -> None: ...
    def quiescent(self) -> None: ...
    def complain(self, text: str, exc: BaseException) -> None: ...
    def started(self, task: Task) -> None: ...
    def disown(self, task: Task) -> None: ...


class _AtRest(_Refusing):
    """The run of what is asked when every role has ended: it may take locks and start threads, but
    what roles were to let pass will not come.
    """

    watched = True    # its threads are its own

    def __init__(self) -> None:
        self.refused = None
        self.on_acquire = self.on_release = ()

    def step(self, task: Task, on: str) -> None: ...

    def adopt(self, thread: threading.Thread, name: str) -> Task:
        return Task(name, thread=thread)

    def contended(self, task: Task, again: bool) -> bool:
        """Refuse to wait for ever, but for a thread outside the run. Called with the guard held."""
        lock = task.waits_on
        alive = frames_of_threads().keys() - {threading.get_ident()}
        owner = getattr(lock, "_owner", None)    # of a mutex: a thread outside by its identifier
        if task.timed or any(
                blocker.run is None and (owner in alive if isinstance(owner, int) else
                                         blocker.thread is None or blocker.thread.is_alive())
                for blocker in flat(lock.blockers(task, task.mode))):
            return True
        self.refused = LockTaken(f"waits for {lock} at {caller_at(sys._getframe(1))}, which "
                                 f"nobody lets it have any more: every role has ended")
        self.unwinding = True
        return False


class Quiet:
    """Calls, in one thread at a time, what must take no lock."""

    __slots__ = ("_run", "_task")

    def __init__(self, run: _Refusing | None = None) -> None:
        self._run = run or _Refusing()
        self._task = Task("", self._run)

    def _renew(self) -> None:
        """Have no more to do with the call under way, whose thread is given up."""
        self._run = type(self._run)()
        self._task = Task("", self._run)

    def call(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """Return what *function*, called *what* in words, returns.

        It is the one door through which user code is called with the guard held.

        Raises:
            LockTaken: it used a lock, whatever became of that; else what it raises.
            NotAsked: other such code of this run did not come back.
        """
        run, task = self._run, self._task
        task.name = what
        before = become(task)
        run.outer = before.run.outer if isinstance(before.run, _Refusing) else before
        try:
            if has_guard():
                answer = Call(what, run.outer, self._renew).perform(function, args)
            else:
                answer = function(*args)
        except BaseException:
            if run.refused is None:
                raise
        finally:
            become(before)
            if task.run is None:    # a process that *function* forked, outside any run
                task.run = run
                before.run = None
        if run.refused is not None:
            refused, run.refused = run.refused, None
            raise refused
        return answer


def told(exc: BaseException) -> tuple[str, str]:
    """Return what is to be said of *exc*, which user code raised: words, and a traceback.

    It is asked for its text, which is user code, too; the guard may be held.
    """
    try:
        words: tuple[str, str] = Quiet().call("the text of an exception", _words, exc)
        return words
    except (LockTaken, NotAsked):
        return f"raised {type.__dict__['__name__'].__get__(type(exc))}", ""


def _words(exc: BaseException) -> tuple[str, str]:
    return raised(exc), user_traceback(exc)


def call_at_rest(what: str, function: Callable[..., Any], *args: Any) -> Any:
    """Return what *function* returns, called when every role has ended, in whatever thread.

    Raises:
        LockTaken: it waits for what will not come; else what it raises.
    """
    asked = Quiet(_AtRest())
    asked._task.signals = threading.get_ident() == threading.main_thread().ident
    try:
        return asked.call(what, function, *args)
    finally:
        recover()
