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

from .callsite import caller_at, frames_of_threads, pass_signal, raised, shown
from .errors import LockTaken, ScenarioError
from .exits import Refused
from .parking import recover
from .task import WAIT, Task, become, current


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
    running = timed = 0
    on_acquire: tuple[Callable[..., None], ...]
    on_acquired: tuple[Callable[..., None], ...] = ()
    on_refused: tuple[Callable[..., None], ...] = ()
    on_release: tuple[Callable[..., None], ...]

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
                for blocker in lock.blockers(task, task.mode)):
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

    def call(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """Return what *function*, called *what* in words, returns.

        Raises:
            LockTaken: it used a lock, whatever became of that; else what it raises.
        """
        run, self._task.name = self._run, what
        before = become(self._task)
        try:
            answer = function(*args)
        except BaseException:
            if run.refused is None:
                raise
        finally:
            become(before)
            if self._task.run is None:    # a process that *function* forked, outside any run
                self._task.run = run
                before.run = None
        if run.refused is not None:
            refused, run.refused = run.refused, None
            raise refused
        return answer


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


# -- locks of a class that a user wrote ------------------------------------------------------------

_OURS = f"{__name__.partition('.')[0]}."
_TEXTS = "name", "lock_class", "__str__"    # what reports ask a lock for, perhaps with the guard


def text_of(text: Any, what: str = "it") -> str:
    """Return *text* as a string that compares and prints as any other.

    Raises:
        TypeError: it, *what* in words, is no string.
    """
    if not isinstance(text, str):
        raise TypeError(f"{what} is {shown(text)}, expected a string")
    return str.__str__(text)


def tame(lock_type: type) -> None:
    """Let the names of locks of a class be texts, whatever a method of it does when it is asked.

    Raises:
        TypeError: it compares in its own way: two locks would be taken for one; or what is read of
            it may be anything.
    """
    for cls in lock_type.__mro__[:-1]:
        if f"{cls.__module__}.".startswith(_OURS):
            continue
        for method in ("__eq__", "__hash__"):
            if vars(cls).get(method, getattr(object, method)) is not getattr(object, method):
                raise TypeError(f"{cls.__qualname__} defines {method}, but a lock is equal to "
                                f"itself alone")
        if "__getattribute__" in vars(cls):
            raise TypeError(f"{cls.__qualname__} defines __getattribute__, but what a lock is made "
                            f"of is read as it is")
        for name in _TEXTS:
            own = vars(cls).get(name)
            if callable(own) and not hasattr(own, "tamed"):
                setattr(cls, name, _guarded(own, f"{name} of {cls.__qualname__}"))
            elif isinstance(own, property) and own.fget and not hasattr(own.fget, "tamed"):
                setattr(cls, name, property(_guarded(own.fget, f"{name} of {cls.__qualname__}"),
                                            own.fset, own.fdel))


def _guarded(own: Callable[[Any], Any], what: str) -> Callable[[Any], str]:
    def guarded(lock: Any) -> str:
        try:
            with Refused():
                return text_of(Quiet().call(what, own, lock))
        except BaseException as exc:
            pass_signal(exc)
            # The guard may be held: the run takes note of it later.
            noted = getattr(current().run, "misnamed", None)
            text = f"{what} {raised(exc)}"
            if noted is not None:
                noted.setdefault(text, exc)
            return f"<{text}>"

    guarded.tamed = True    # type: ignore[attr-defined]
    return guarded
