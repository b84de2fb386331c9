"""The strategies by name."""

from __future__ import annotations

from collections.abc import Callable

from ..locks.errors import ScenarioError
from .dpor import Reduced
from .strategies import PCT, DepthFirst, PreemptionBounded, Random, Strategy

STRATEGIES = {
    "dpor": "depth first, one schedule of each class of equivalent ones",
    "dfs": "depth first, every schedule",
    "bounded": "depth first, every schedule with few preemptions",
    "random": "any move at each stop",
    "pct": "random priorities that change at a few steps",
}


def way_of(name: str, seed: int, preemptions: int, depth: int) -> Callable[[], Strategy]:
    """Return what makes the strategy called *name*; the rest are arguments of `explore`.

    Raises:
        ScenarioError: there is none, or an argument makes no sense.
    """
    if preemptions < 0:
        raise ScenarioError(f"preemptions is {preemptions}, expected at least 0")
    if depth < 1:
        raise ScenarioError(f"depth is {depth}, expected at least 1")
    makers: dict[str, Callable[[], Strategy]] = {
        "dpor": Reduced, "dfs": DepthFirst, "bounded": lambda: PreemptionBounded(preemptions),
        "random": lambda: Random(seed), "pct": lambda: PCT(seed, depth)}
    if name not in makers:
        raise ScenarioError(f"unknown strategy {name!r}; one of {', '.join(STRATEGIES)}")
    return makers[name]
