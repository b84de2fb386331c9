"""What decided which way a role went: what it was refused, and points at which it asks for nothing.

A trylock that was not granted, a wait whose time ran out, a step, a look: none leaves a lock in a
role's hands. Who held the lock when a request was refused is told by the events before it: to ask
then would cost a look under the guard.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..locks.task import EXCLUSIVE, SHARED, WAIT
from ..runtime.recorder import Event, RoleState, place

WORDS = {"lock_refused": "refused", "lock_timed_out": "timed out"}


def whys(events: Sequence[Event]) -> dict[int, str]:
    """Return what to say of each refusal among *events*, by its index: that it is one, and why."""
    said: dict[int, str] = {}
    if not any(event.event in WORDS for event in events):
        return said
    holds: dict[Any, list[tuple[str, str]]] = defaultdict(list)    # lock -> (role, mode)
    queue: dict[Any, list[str]] = defaultdict(list)    # lock -> roles that wait to write
    last: dict[Any, str] = {}                          # lock -> who released it last
    for i, (task, event, lock, mode, _) in enumerate(events):
        if event in WORDS:
            _forget(queue[lock], task.name)
            why = _why(task.name, mode, holds[lock], queue[lock], last.get(lock, ""))
            said[i] = ", ".join(filter(None, [WORDS[event], why]))
        elif event == "lock_contended" and mode == EXCLUSIVE:
            queue[lock].append(task.name)
        elif event == "lock_acquired":
            _forget(queue[lock], task.name)
            holds[lock].append((task.name, mode))
        elif event == "lock_release":
            _forget(holds[lock], (task.name, mode))
            last[lock] = task.name
    return said


def _forget(entries: list[Any], entry: Any) -> None:
    if entry in entries:
        entries.remove(entry)


def _why(role: str, mode: str, holders: list[tuple[str, str]], queue: list[str],
         last: str) -> str:
    """Say who kept *role* from having a lock in *mode*; "" if no event tells."""
    if mode == WAIT:
        return ""
    against = [(name, how) for name, how in dict.fromkeys(holders)
               if mode == EXCLUSIVE or how == EXCLUSIVE]
    if against:
        return ", ".join(f"{'it itself' if name == role else name} "
                         f"{'holds it for read' if how == SHARED else 'holds it'}"
                         for name, how in against)
    if queue:
        return ", ".join(f"{name} is queued for it before" for name in queue)
    # The release is told before the lock is free: somebody may have tried in between.
    return f"{last} held it" if last else ""


def telling(events: Iterable[tuple[int, Event]], shown: Mapping[str, RoleState]) -> set[int]:
    """Return the indices of what matters to how the roles *shown* came to stand: of each role the
    last refusal, its last for each lock that one of them holds or waits for, and the last time it
    passed each point.
    """
    matter = {state.wants for state in shown.values()} | {
        hold.lock for state in shown.values() for hold in state.holds}
    kept: dict[tuple[str, str, str], int] = {}
    for i, event in events:
        role, lock = event.task.name, str(event.lock)
        if role not in shown:
            continue
        if event.event in WORDS:
            kept[role, event.event, ""] = i
            if lock in matter:
                kept[role, event.event, lock] = i
        elif not event.mode:
            kept[role, event.event, place(event.chain)] = i
    return set(kept.values())
