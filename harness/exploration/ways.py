"""The strategies by name, and which of their arguments each heeds."""

from __future__ import annotations

from collections.abc import Callable

from typing import TYPE_CHECKING

from ..locks.errors import ScenarioError

if TYPE_CHECKING:
    from .strategies import Strategy

STRATEGIES = {
    "dpor": "depth first, one schedule of each class of equivalent ones",
    "dfs": "depth first, every schedule",
    "bounded": "depth first, every schedule with few preemptions",
    "random": "any move at each stop",
    "pct": "random priorities that change at a few steps",
}
# argument -> the strategies that heed it
_HEEDED_BY = {"seed": ("random", "pct"), "preemptions": ("bounded",), "depth": ("pct",),
              "trust_locks": ("dpor",)}
PREEMPTIONS, DEPTH = 2, 3    # of those two where they are not given


def heeds(strategy: str, argument: str) -> bool:
    """Say whether *strategy* heeds *argument*, or it is none of a strategy."""
    return strategy in _HEEDED_BY.get(argument, (strategy,))


def way_of(name: str, seed: int, preemptions: int | None,
           depth: int | None) -> Callable[[], Strategy]:
    """Return what makes the strategy called *name*; the rest are arguments of `explore`.

    Raises:
        ScenarioError: an argument makes no sense.
    """
    from .dpor import Reduced    # a command line that only knows their names imports none
    from .strategies import PCT, DepthFirst, PreemptionBounded, Random

    preemptions = PREEMPTIONS if preemptions is None else preemptions
    depth = DEPTH if depth is None else depth
    makers: dict[str, Callable[[], Strategy]] = {
        "dpor": Reduced, "dfs": DepthFirst, "bounded": lambda: PreemptionBounded(preemptions),
        "random": lambda: Random(seed), "pct": lambda: PCT(seed, depth)}
    return makers[name]


def check_strategy(name: str, **given: int | None) -> None:
    """Refuse a strategy that there is not, and what is *given* (not None) that it would ignore.

    Raises:
        ScenarioError: see above.
    """
    for argument, value in given.items():
        if value is not None and not heeds(name, argument):
            raise ScenarioError(f"{argument} is of strategy {' and '.join(_HEEDED_BY[argument])}: "
                                f"{name} would ignore it")
