"""What is asked of the user where no run is under way and nobody watches: a name, for a report."""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Any

from . import raw
from .callsite import caller_at, frames_of_threads
from .user_code import Quiet

_SLICE = 0.25    # seconds that a look counts for at most: the process may be stopped meanwhile
limit = [5.0]    # seconds that what is asked where nobody watches has: the timeout of the last call


class NotBack(Exception):
    """What was called where nobody watches has not come back."""


class InTime:
    """Calls of one function *what*, in words, where no run is under way and nobody watches.

    Each is made in a thread of its own. One that does not come back is left there, and the last.
    """

    def __init__(self, what: str) -> None:
        self._what, self._lost = what, ""

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Return what *function* returns.

        Raises:
            NotBack: it does not, or one before did not; else as `Quiet.call`.
        """
        if self._lost:
            raise NotBack(self._lost)
        answers: list[Any] = []
        errors: list[BaseException] = []
        ended = raw.Lock()
        ended.acquire()

        def body() -> None:
            try:
                answers.append(Quiet().call(self._what, function, *args))
            except BaseException as exc:
                errors.append(exc)
            ended.release()

        thread = _thread.start_new_thread(body, ())
        left = most = limit[0]
        while not ended.acquire(True, min(_SLICE, most)):
            left -= min(_SLICE, most)
            if left <= 0:
                at = caller_at(frames_of_threads().get(thread), of_the_user=True)
                self._lost = f"has not come back for {most:g} s{at and f', at {at}'}"
                raise NotBack(self._lost)
        if errors:
            raise errors[0]
        return answers[0]
