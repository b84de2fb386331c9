"""How things are measured, and what a measurement is.

Nanoseconds do not carry over from one machine to another, ratios do: what is compared is run in
turns, in short batches, and the median of the ratios of neighbours is taken, which whatever else
the machine does disturbs least. A rate is the median of its batches.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

BATCHES, LENGTH = 120, 500   # of a ratio at full scale: how many batches, of how many rounds

Rounds = Callable[[int], None]   # does something that many times


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        goal: None for what is only told.
        now: what was measured; None if it could not be, and `note` says why.
        spread: from where to where single measurements went.
        rate: more is better; else less is.
    """

    what: str
    unit: str
    goal: float | None
    now: float | None
    spread: tuple[float, float] | None = None
    note: str = ""
    rate: bool = False

    @property
    def ok(self) -> bool | None:
        """Whether the goal is met; None if there is none or nothing was measured."""
        if self.goal is None or self.now is None:
            return None
        return self.now >= self.goal if self.rate else self.now <= self.goal

    def as_dict(self) -> dict[str, Any]:
        """Return the form of the JSON output."""
        data = asdict(self)
        del data["rate"]
        return {**data, "ok": self.ok}


def scaled(number: int, scale: float, least: int = 1) -> int:
    """Return how many to do of what is done *number* times at full scale."""
    return max(least, round(number * scale))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that *percent* in a hundred are not above."""
    ordered = sorted(values)
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]


def ratio_row(what: str, goal: float | None, ours: Rounds, base: Rounds, scale: float) -> Row:
    """Run *ours* and *base* in turns; return the row of the ratio of what they cost."""
    batches, length = scaled(BATCHES, scale, 10), scaled(LENGTH, scale, 50)
    pairs = [(_time(ours, length), _time(base, length)) for _ in range(batches)]
    return ratio_row_of(what, goal, pairs, length)


def ratio_row_of(what: str, goal: float | None, pairs: Sequence[tuple[float, float]],
                 length: int) -> Row:
    """Return the row of a ratio, from what neighbouring batches of *length* rounds took, ours and
    the other.

    Its spread is the quartiles of the ratios of neighbours.
    """
    ratios = [one / other for one, other in pairs]
    return Row(what, "x", goal, statistics.median(ratios),
               (percentile(ratios, 25), percentile(ratios, 75)),
               f"{statistics.median(ours for ours, _ in pairs) / length * 1e9:,.0f} ns")


def rate_row(what: str, unit: str, goal: float | None, work: Callable[[int], None], number: int,
             times: int = 5, note: str = "") -> Row:
    """Do *work* of *number* pieces *times* times over; return the row of the median rate."""
    rates = [number / _time(work, number) for _ in range(times)]
    return Row(what, unit, goal, statistics.median(rates), (min(rates), max(rates)), note,
               rate=True)


def _time(work: Rounds, number: int) -> float:
    began = time.perf_counter()
    work(number)
    return time.perf_counter() - began
