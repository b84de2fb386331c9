"""The small worlds that explorers are measured on, as programs of lock operations.

Those that peers were measured on too are written the way they were there. Each can be explored on
real threads (`on_threads`) and searched by the fast engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

from harness import Scenario
from harness.programs.threads import scenario_of
from harness.checker.program import Program

Operations = list[tuple[str, str]]


def holding(mutex: str, *inside: Operations) -> Operations:
    """Return: take *mutex*, do what is *inside*, give it back."""
    return [("lock", mutex), *chain(*inside), ("unlock", mutex)]


def reading(semaphore: str, *inside: Operations) -> Operations:
    """Return: enter *semaphore* as a reader, do what is *inside*, leave."""
    return [("down_read", semaphore), *chain(*inside), ("up_read", semaphore)]


def writing(semaphore: str, *inside: Operations) -> Operations:
    """Return: take *semaphore* as the writer, do what is *inside*, give it back."""
    return [("down_write", semaphore), *chain(*inside), ("up_write", semaphore)]


def recovery(devices: int = 1, collected: bool = False) -> Program:
    """Return the mail's two paths: recovery, which reads the bus and locks each device; and for
    each device a probe, which locks it and writes to the bus.

    Args:
        collected: recovery makes its list first and leaves the bus: the fix.
    """
    names = [f"device{i}" for i in range(devices)]
    walk = list(chain(*map(holding, names)))
    return Program({}, {
        **{f"probe{i}": holding(name, writing("bus")) for i, name in enumerate(names)},
        "recovery": reading("bus") + walk if collected else reading("bus", walk)})


def dining(philosophers: int, ordered: bool = False) -> Program:
    """Return *philosophers* who take the left fork first; *ordered*: the lower one."""
    threads = {}
    for i in range(philosophers):
        forks = [i, (i + 1) % philosophers]
        first, second = (f"fork{fork}" for fork in (sorted(forks) if ordered else forks))
        threads[f"philosopher{i}"] = holding(first, holding(second))
    return Program({}, threads)


def recread() -> Program:
    """Return a reader that reads again, perhaps behind a writer that has come in between."""
    return Program({}, {"reader": reading("sem", reading("sem")), "writer": writing("sem")})


def handoff() -> Program:
    """Return: reader 1 enters, reader 2 joins, reader 1 leaves; then reader 2 and the writer lock
    crosswise. Who takes the first reader for the owner cannot see it.
    """
    return Program({}, {
        "reader1": reading("sem", [("set", "entered"), ("wait", "joined")]) + [("set", "left")],
        "reader2": [("wait", "entered"),
                    *reading("sem", [("set", "joined"), ("wait", "left")], holding("lock"))],
        "writer": [("wait", "left"), *holding("lock", writing("sem"))]})


NAMED = {   # those for which the reduction is judged
    "mail": recovery(), "collected": recovery(collected=True),
    "dining3": dining(3), "dining3 ordered": dining(3, ordered=True),
    "dining4": dining(4), "dining4 ordered": dining(4, ordered=True),
    "dining5 ordered": dining(5, ordered=True), "recread": recread(),
    "two PFs": recovery(2), "two PFs collected": recovery(2, collected=True)}


def on_threads(program: Program) -> Callable[[], Scenario]:
    """Return the scenario that performs *program* on real threads and does not say that it is one:
    what is known of it is what is seen, as of any code.
    """
    world: Callable[..., Any] = scenario_of(program)

    def unknown() -> Scenario:
        return replace(world(), program=None)

    return unknown
