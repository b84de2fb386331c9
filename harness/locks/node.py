"""What a thread can wait for: the base of every lock, and how requests and waits begin and end.

Here is also what is said of a class of locks, for prediction. The file is long because what a lock
is called rests on what little is kept when it is made.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from typing import Any

from .arguments import expected, function, or_none, text
from .errors import ScenarioError
from .named_by_user import tame, text_of
from .origin import Origin, made_in, of_any
from .parking import park, unpark
from .task import Expired, Task, Unwind, current, this_thread

_getframe = sys._getframe
OUTSIDE = Task("a thread outside the run")
_tame: set[type] = set()    # classes of locks that were looked at


def nested_request(nested: int, why: str, acquire: Any, *args: Any) -> Any:
    """Call *acquire*, with the request marked as of subclass *nested* (see `Mutex.acquire`)."""
    if type(nested) is not int or not 0 < nested < 8:
        raise expected("nested", nested, "a subclass from 1 to 7")
    if not isinstance(why, str) or not why:
        raise expected("why", why, "a reason, which nested needs")
    task = current()
    before, task.nested = task.nested, (nested, why)
    try:
        return acquire(*args)
    finally:
        task.nested = before


def label(name: str, lock_class: str) -> str:
    """Return what reports call a lock: its class and name, or the one of them that says both."""
    if name.startswith(lock_class):
        return name
    return lock_class if lock_class.endswith(f"(&{name})") else f"{lock_class} ({name})"


class LockClass(str):
    """What all locks of one kind share, and what prediction is to know of it.

    A plain string will do where there is nothing to say.

    Args:
        name: as in lockdep, say ``&dev->mutex``.
        order: called with two locks of the class, one held and one asked for; returns whether that
            order is legal (lockdep's comparison function). Without it two locks of one class must
            not nest.
        exempt: why no finding is wanted for it; empty if it is checked.
        novalidate: why the kernel's own validator does not see it (`--lockdep` alone heeds that).
        why: the reason for *order*.
    """

    __slots__ = ("order", "exempt", "novalidate", "why")
    order: Callable[[Any, Any], bool] | None
    exempt: str
    novalidate: str
    why: str

    def __new__(cls, name: str, order: Callable[[Any, Any], bool] | None = None, exempt: str = "",
                novalidate: str = "", why: str = "") -> LockClass:
        for argument, value in (("name", name), ("exempt", exempt), ("novalidate", novalidate),
                                ("why", why)):
            text(argument, value)
        or_none(function)("order", order)
        if order is not None and not why:
            raise ScenarioError(f"lock class {name}: an order needs a reason (why=...)")
        lock_class = super().__new__(cls, name)
        lock_class.order, lock_class.why = order, why
        lock_class.exempt, lock_class.novalidate = exempt, novalidate
        return lock_class


class ImpliedClass(str):
    """The class of a lock of which nobody said one: what the variable, attribute or element is
    called that it was made for. Nothing is concluded from it of locks that are not the same.
    """

    __slots__ = ()
def _plain_class(lock_class: str) -> str:
    if isinstance(lock_class, LockClass):
        return lock_class
    return text_of(lock_class, "lock_class, the class of a lock,")


class Node:
    """What a task can wait for: a name, a class, and who must act before the wait can end.

    Attributes:
        nth: among the locks of its name and class that its maker made.
        maker: who made it.
        origin: where it was made, as a tuple of what `Origin` has; None if it was given a name.
    """

    __slots__ = ("_name", "_class", "nth", "maker", "origin", "__weakref__")
    _has_own_init = False    # of a subclass of one of our locks
    may_stay_held = False    # a thread may end holding it
    in_programs = True       # a program of lock operations can say what is done to it

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        ours = cls.__mro__[:cls.__mro__.index(Node) - 1]
        cls._has_own_init = any("__init__" in vars(base) for base in ours)

    def __init__(self, name: str | None, lock_class: str | None) -> None:
        if type(self) not in _tame:
            tame(type(self))
            _tame.add(type(self))
        if name is not None and type(name) is not str:
            name = text_of(name, "the name of a lock")
        if lock_class is not None and type(lock_class) is not str:
            lock_class = _plain_class(lock_class)
        self.maker = maker = this_thread.maker
        self._name = name
        self._class = lock_class
        if name is None:
            frame, more = _getframe(2), None    # who made the lock
            code = frame.f_code
            first = code.co_name[0]
            if first == "<" or first == "_" and (self._has_own_init or code.co_filename[0] == "<"):
                frame, more = made_in(frame, self)
                code = frame.f_code
            lasti, made = frame.f_lasti, maker.made
            key: Any = (id(code), lasti) if more is None else (id(code), lasti, more)
            number = made[key] = made.get(key, 0) + 1
            self.nth = 1
            self.origin: Any = code, lasti, number, more
        else:
            named = maker.named if maker.named is not None else {}
            named[name, lock_class] = self.nth = named.get((name, lock_class), 0) + 1
            self.origin = None

    @property
    def name(self) -> str:
        """What verbs print, as in ``device_lock(0000:01:00.0)``.

        Default: what a reader would call it: the variable, the attribute and its owner, the element
        of a list or a dict that it is; else kind and place of creation.
        """
        if self._name is None:
            # One that is older than the world is looked for in that of the run which uses it.
            scenario = getattr(this_thread.task.run, "scenario", None)
            world = self.maker.world or getattr(scenario, "lock_names", None)
            name = world.name_of(self) if world is not None else self.own_name()
            if self._name is None:    # a thread with the same question may have been faster
                self._name = name
        return self._name

    @property
    def lock_class(self) -> str:
        """What all locks of one kind share, as in lockdep. Default: the name, or of a lock that was
        given none, what all locks made by the same expression are called (an `ImpliedClass`), or if
        that says nothing, all that hang where it does.
        """
        if self._class is None and self.origin is not None:
            made = Origin(*self.origin)
            known = made.kept.text and not made.kept.is_handed_out
            self._class = ImpliedClass(made.text(self) if known else of_any(self.name))
        return self.name if self._class is None else self._class

    @property
    def is_classed(self) -> bool:
        """Whether somebody said what kind of lock it is, by a name or a class."""
        return not isinstance(self.lock_class, ImpliedClass)

    @property
    def lasts(self) -> bool:
        """Whether its name is known to mean the same lock in every run of a scenario.

        So it is with one that is made when the world is, in the one thread that makes it, or has
        a key of its own in a dict of the world. Which the second lock is that a role makes depends
        on the schedule.
        """
        world = self.maker.world
        if not self.maker.key:
            return world is None or self.name not in world.doubtful
        if self.origin is not None:
            return world is not None and self.name in world.sure
        return self.nth == 1

    def identity(self) -> Hashable:
        """Return what is equal for the same lock, and no other, in schedules that come to the same.

        What a role has done so far says which lock its n-th is.
        """
        if self.origin is None:
            return self.maker.key, self._name, self._class, self.nth
        said = None if isinstance(self._class, ImpliedClass) else self._class
        return self.maker.key, Origin(*self.origin).place(), said

    def own_name(self) -> str:
        """Return its name by the expression that made it alone."""
        return Origin(*self.origin).name(self)

    def set_class(self, lock_class: str) -> None:
        """Give it another class, or say more about the one it has (a `LockClass`)."""
        self._class = _plain_class(lock_class)

    def __reduce__(self) -> Any:
        raise TypeError(f"cannot copy or pickle a {type(self).__name__}: a copy would be another "
                        f"lock over the same state; make a new one, or share this one")

    def __str__(self) -> str:
        if self._class is self.origin is None and self._name is not None \
                and type(self).name is Node.name and type(self).lock_class is Node.lock_class:
            return self._name    # as below
        return label(self.name, self.lock_class) if self.is_classed else self.name

    def release_verb(self, mode: str) -> str:
        """Return what reports call the end of a `with` block."""
        return "release"

    def blockers(self, task: Task, mode: str) -> list[Task]:
        """Return the tasks that must act before *task* can have this in *mode*.

        The one answer to "who blocks this request?". Called with the guard held.
        """
        raise NotImplementedError

    @property
    def shares(self) -> Any:
        """Itself; or what nodes have in common one of which may let a role pass another.

        For the explorer: any object that is equal in each fresh world.
        """
        return self

    def is_free_for(self, task: Task, mode: str) -> bool:
        """Say whether *task* can have this in *mode* now. Called with the guard held."""
        return not self.blockers(task, mode)

    def held_outside(self) -> None:
        """Take note that the calling thread, which holds it, is in no run any more."""

    def _tell_look(self) -> None:
        """Let the run know that the caller looks at this: others may change what it sees."""
        task = this_thread.task
        if task.run is not None:
            task.run.look(task, self)


def unique_name(lock: Node) -> str:
    """Return what reports call *lock*, with a number if others are called the same."""
    return f"{lock}#{lock.nth}" if lock.nth > 1 else str(lock)


class Guard:
    """What a ``with`` statement is given for a lock that is taken already: leaving it releases."""

    __slots__ = ("_leave",)

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave

    def __enter__(self) -> Any:
        return None

    def __exit__(self, a: Any, b: Any, c: Any) -> None:
        self._leave()


def ask(task: Task, node: Node, mode: str, trylock: bool = False, timed: bool = False) -> bool:
    """Tell the run of *task* that it asks for *node*; False if its time is up before it does."""
    task.trylock, task.timed = trylock, timed
    try:
        for hook in task.run.on_acquire:
            hook(task, node, mode)
    except Expired:
        return False
    return True


def wait(task: Task, node: Node, mode: str, timeout: float, again: bool = False) -> bool:
    """Park *task* until it is granted *node*; the caller has queued it. Called with the guard held.

    Args:
        timeout: seconds; negative waits for ever.
        again: this wait goes on with a request whose `lock_contended` was told already.

    Returns:
        Whether it was granted. If not, the time is up, the run is being unwound, or
        `task.interrupt` holds what a signal handler raised.
    """
    run = task.run
    if run is not None:
        if task.interrupt is not None:
            return False
        task.waits_on, task.mode, task.timed = node, mode, timeout >= 0
        try:
            goes_on = run.contended(task, again)
        except BaseException:
            task.waits_on = None
            raise
        if not goes_on:
            task.waits_on = None
            return False
    woken = False
    try:
        woken = park(task, timeout)
    except BaseException as exc:
        task.interrupt = exc
    if run is None:
        return woken
    granted, task.waits_on = task.waits_on is None, None   # not granted: let go to unwind
    return granted


def grant(task: Task) -> None:
    """End the wait of *task*: it has what it asked for. Called with the guard held."""
    unpark(task)    # it goes on when the caller has left
    task.waits_on = None


def ended_wait(task: Task) -> bool:
    """Say False for a wait that ended without a grant, or raise what ended it."""
    if task.run is not None and task.run.unwinding:
        raise Unwind
    if task.interrupt is not None:
        exc, task.interrupt = task.interrupt, None
        raise exc
    return False


def refused(task: Task, node: Node, mode: str) -> bool:
    """Say False for a request that was not granted, and tell the run of *task*; or raise what ended
    its wait: see `ended_wait`.
    """
    ended_wait(task)
    for tell in task.run.on_refused:
        tell(task, node, mode)
    return False


def drop(task: Task, lock: Node) -> None:
    """Forget the latest hold of *lock* by *task*."""
    held = task.held
    if held and held[-1][0] is lock:
        del held[-1]
        return
    for hold in reversed(held[:]):
        if hold[0] is lock:
            held.remove(hold)    # in one call: the caller need not be the thread of *task*
            return
