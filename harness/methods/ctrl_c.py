"""How Ctrl-C ends a call: with what there was so far."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..report.result import Result
    from ..runtime.verdict import Outcome


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a call; `result` says who waited for whom at that moment."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"interrupted during {result.scenario}")
        self.result = result


@contextmanager
def told_at_ctrl_c(so_far: Callable[[Outcome | None], Result]) -> Iterator[None]:
    """Turn Ctrl-C in the block into `Interrupted`.

    Args:
        so_far: returns the result then, given where the run under way stood, if one was.
    """
    try:
        yield
    except KeyboardInterrupt as exc:
        raise Interrupted(so_far(getattr(exc, "outcome", None))) from None
