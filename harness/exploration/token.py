"""Tokens: a schedule in characters that are safe in a shell and in a mail.

A recorded schedule is the order in which the roles passed their lock operations (requests and
releases); it counts operations, not instructions, so it holds in another process and on another
Python. One of `explore` has every step. A token carries it with the reference of the scenario and
the seed of its world.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..locks.task import Task
from ..runtime.recorder import Event
from ..runtime.scenario import reference_of
from .controlled_run import ControlledRun
from .dependency import ASK_WAIT, STEP
from .token_data import ENDS, EXPLORED, RECORDED, STARTS, Data, pack, unpack

Schedule = list[str]   # role names, one for each lock operation passed
_RENAMED = {"harness.notation:scenario": "harness.programs:scenario"}   # in older tokens


@dataclass(frozen=True)
class Moves:
    """The schedule of an exploration: every step, queueing and giving up included.

    Attributes:
        steps: (role, whether by giving up a timed request) each.
        digest: of the kinds of all steps, of what locks they were, and of what is asked for at the
            end; another one says that the code has changed.
        points: the starts that are steps (`Names.points`).
        ends: who was seen to end waits (`Names.enders`), of what those of a deadlock wait for.
    """

    steps: tuple[tuple[str, bool], ...]
    digest: int
    points: tuple[str, ...] = ()
    ends: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, run: ControlledRun) -> Moves:
        """Return the schedule of *run*."""
        roles = run.names.roles
        # What a lock is called that was given no name depends on where it hangs then.
        shown = {lock: "" if lock in run.names.unnamed else name
                 for lock, name in run.names.shown.items()}
        steps = tuple([(roles[step.label >> 1], step.label & 1 == 1) for step in run.steps])
        # A step on no name is told by the name: once it was of the same kind.
        kinds = [(min(step.kind, STEP), shown[step.lock]) for step in run.steps]
        asked = [(task.key, task.ask, shown[task.lock_number])
                 for task in run.deadlocked or run.stuck]
        waited = {run.names.shown[task.lock_number] for task in run.stuck
                  if task.ask == ASK_WAIT}
        return cls(steps, zlib.crc32(repr((kinds, asked)).encode()), run.names.points,
                   tuple(map(tuple, run.names.enders.told(waited))))


def schedule_of(events: Sequence[Event]) -> Schedule:
    """Return the order in which the roles passed their operations.

    A request stands where its outcome was recorded, be it a refusal. A thread may record that it
    had to wait, or was refused, before the one that was faster has recorded that it has the lock:
    such a request is moved behind the one that it lost to.
    """
    schedule: Schedule = []
    asking: dict[Task, Any] = {}        # their requests, each for this lock, have no outcome yet
    held: dict[Any, int] = {}
    lost: list[tuple[str, Any]] = []    # requests that found taken a lock nobody had recorded
    for event in events:
        task, lock = event.task, event.lock
        if task in asking and event.event in ("lock_acquire", "lock_release"):
            schedule.append(task.name)  # a look at a program's flag: no outcome was recorded
            del asking[task]
        if event.event == "lock_acquire":
            asking[task] = lock
        elif event.event == "lock_release":
            held[lock] = held.get(lock, 1) - 1
            schedule.append(task.name)
        elif task in asking:
            del asking[task]
            found_taken = event.event == "lock_contended" or (
                event.event == "lock_refused" and lock in asking.values())
            if found_taken and event.mode != "wait" and not held.get(lock):
                lost.append((task.name, lock))
                continue
            schedule.append(task.name)
        if event.event == "lock_acquired" and event.mode != "wait":
            held[lock] = held.get(lock, 0) + 1
            schedule += [name for name, wanted in lost if wanted is lock]
            lost = [entry for entry in lost if entry[1] is not lock]
    return schedule + [name for name, _ in lost]


def encode(reference: tuple[str, dict[str, Any]], seed: str, schedule: Schedule | Moves) -> str:
    """Return the token of one run, "" if it is too long for one; *seed* is that of a recorded
    one.
    """
    points, ends = [], []
    if isinstance(schedule, Moves):
        points, ends = [*schedule.points], [[*names] for names in schedule.ends]
        seed = str(schedule.digest)
        roles = list(dict.fromkeys(role for role, _ in schedule.steps))
        order = [2 * roles.index(role) + gives_up for role, gives_up in schedule.steps]
        version = ENDS if ends else STARTS if points else EXPLORED
    else:
        version, roles = RECORDED, list(dict.fromkeys(schedule))
        order = [roles.index(role) for role in schedule]
    return pack(Data(version, *reference, seed, roles, order, points, ends))


def decode(token: str) -> tuple[tuple[str, dict[str, Any]], str, Schedule | Moves]:
    """Return the reference, the seed ("" of an explored one) and the schedule of a token.

    Raises:
        ScenarioError: it is no token, or one of another version.
    """
    data = unpack(token)
    reference = _RENAMED.get(data.name, data.name), data.arguments
    if data.version == RECORDED:
        return reference, data.seed, [data.roles[i] for i in data.order]
    steps = tuple([(data.roles[i >> 1], i & 1 == 1) for i in data.order])
    return reference, "", Moves(steps, int(data.seed), tuple(data.points),
                                tuple(map(tuple, data.ends)))


def token_of(scenario: Any, seed: str, events: Sequence[Event]) -> str:
    """Return the token that shows a run again, or "" if *scenario* has no importable name."""
    reference = reference_of(scenario)
    return encode(reference, seed, schedule_of(events)) if reference else ""
