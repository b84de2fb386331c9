"""How many deadlocks can be forced in a second, and how soon after the last block one is known."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from harness import At, Meet, Mutex, Observer, Scenario, Verdict, force
from harness.runtime import free_run
from harness.locks import waitgraph
from harness.meetings.one_by_one import Meetings
from harness.runtime.free_run import FreeRun
from harness.runtime.workers import Workers

from .measure import Row, percentile, rate_row, scaled

ROLES = (2, 4, 8)


def rows(scale: float) -> list[Row]:
    """Return the rows of this file; `force` pins itself to one CPU."""
    return [_abba(scale), _probe_vs_aer(scale), *_verdict(scale)]


def ring(n: int) -> Scenario:
    """Return *n* roles, each of which holds a lock and asks for its neighbour's; two are ABBA."""
    locks = [Mutex(f"lock{i}") for i in range(n)]

    def role(mine: Mutex, next_: Mutex) -> Callable[[], None]:
        def asks() -> None:
            with mine:
                with next_:
                    pass
        return asks

    around = list(zip(locks, locks[1:] + locks[:1]))
    return Scenario({f"CPU{i}": role(*pair) for i, pair in enumerate(around)},
                    meet=Meet(*(At(f"CPU{i}", next_, holding=(mine,))
                                for i, (mine, next_) in enumerate(around))))


def _forced(what: str, goal: float | None, scenario: Callable[[], Any], runs: int) -> Row:
    def work(number: int) -> None:
        result = force(scenario, runs=number)
        assert result.coverage.get("verdicts", {str(result.verdict): number}) == \
            {str(Verdict.DEADLOCK): number}, result

    return rate_row(what, "/s", goal, work, runs)


def _abba(scale: float) -> Row:
    return _forced("forced deadlocks, two roles ABBA", 5000, lambda: ring(2),
                   scaled(1000, scale, 20))


def _probe_vs_aer(scale: float) -> Row:
    what = "forced deadlocks, probe-vs-aer"
    try:
        from pcimodel.lab.scenarios import scenario
    except ImportError as exc:
        return Row(what, "/s", None, None, note=f"not available: {exc}")
    return _forced(what, None, scenario("probe-vs-aer"), scaled(100, scale, 3))


class _Closer(Observer):
    """Note who began to wait last, and when."""

    def lock_contended(self, task: Any, lock: Any, mode: str) -> None:
        self.role = task.name
        self.at = time.perf_counter_ns()


def _latency(n: int, workers: Workers) -> tuple[float, float]:
    """Force one deadlock of *n* roles.

    Returns:
        Microseconds from the last block until the cycle is known, and until its role, everything
        frozen, is let go.
    """
    closer, let_go, known = _Closer(), {}, []

    def stamped(name: str, role: Callable[[], Any]) -> Callable[[], Any]:
        def stamping() -> None:
            try:
                role()
            except BaseException:
                let_go[name] = time.perf_counter_ns()
                raise
        return stamping

    def deadlock_from(task: Any) -> Any:
        deadlock = waitgraph.deadlock_from(task)
        if deadlock:
            known.append(time.perf_counter_ns())
        return deadlock

    made = ring(n)
    made.roles = {name: stamped(name, role) for name, role in made.roles.items()}
    with _replaced(free_run, "deadlock_from", deadlock_from):
        outcome = FreeRun(made, [Meetings(made.meet, range(n)), closer]).play(workers)
    assert outcome.verdict is Verdict.DEADLOCK and len(known) == 1, outcome
    return (known[0] - closer.at) / 1000, (let_go[closer.role] - closer.at) / 1000


@contextmanager
def _replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def _verdict(scale: float) -> list[Row]:
    with Workers() as workers:
        times = {n: [_latency(n, workers) for _ in range(scaled(400, scale, 10))] for n in ROLES}
    return [
        _median("last block to verdict, up to 8 roles", 5.0,
                {n: [known for known, _ in each] for n, each in times.items()}),
        _median("last block to the role that closed the cycle let go", None,
                {n: [gone for _, gone in each] for n, each in times.items()}),
    ]


def _median(what: str, goal: float | None, times: dict[int, list[float]]) -> Row:
    """Return the row of the slowest of the medians."""
    medians = {n: statistics.median(each) for n, each in times.items()}
    everything = [one for each in times.values() for one in each]
    return Row(what, "us median", goal, max(medians.values()),
               (percentile(everything, 5), percentile(everything, 95)),
               "; ".join(f"{n} roles {median:.1f}" for n, median in medians.items()))
