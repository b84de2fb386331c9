"""Locks of a class that a user wrote: whatever they say when they are asked for their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .away import NotAsked, has_guard
from .callsite import pass_signal, raised, shown
from .exits import Refused
from .in_time import InTime, NotBack
from .task import current
from .user_code import Quiet

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
    asked = InTime(what)

    def guarded(lock: Any) -> str:
        try:
            with Refused():
                if current().run is None and not has_guard():
                    return text_of(asked.call(own, lock))    # for a report: nobody watches
                return text_of(Quiet().call(what, own, lock))
        except NotAsked:
            return f"<{what}>"
        except BaseException as exc:
            pass_signal(exc)
            # The guard may be held: the run takes note of it later.
            noted = getattr(current().run, "misnamed", None)
            text = f"{what} {exc if type(exc) is NotBack else raised(exc)}"
            if noted is not None:
                noted.setdefault(text, exc)
            return f"<{text}>"

    guarded.tamed = True    # type: ignore[attr-defined]
    return guarded
