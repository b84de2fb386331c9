"""Timer: the standard library's, whose wait is seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .event import Event


class Timer(threading.Timer):
    """`threading.Timer`: its thread waits with a limit for an event that `cancel` sets."""

    def __init__(self, interval: float, function: Callable[..., Any],
                 args: Iterable[Any] | None = None, kwargs: Mapping[str, Any] | None = None
                 ) -> None:
        super().__init__(interval, function, args, kwargs)
        self.finished: Any = Event()
