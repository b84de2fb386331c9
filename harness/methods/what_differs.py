"""What was done in a schedule, with places, and where two worlds differ in it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from ..exploration.dependency import NAMES
from ..exploration.follower import Follower, following, play
from ..exploration.forked import Apart, World
from ..locks.callsite import frames_of_threads, is_verb, place_of
from ..runtime.workers import Workers


class Done(NamedTuple):
    """What was done in a schedule: role, operation, place, each; and who waits at its end."""

    steps: list[tuple[str, str, str]]
    waits: dict[str, tuple[str, str, str]]


def done(world: World, where: Workers | Apart, labels: Sequence[int]) -> Done:
    """Return what is done in a schedule of *world* that is run by *where*."""
    placed, _, outcome = play(world, where, following(world.names, labels, False, _Placed), True)
    states = outcome.gravest.roles if outcome.gravest is not None else ()
    return Done(placed.done, {state.role: (state.role, f"request of {state.wants}", state.at)
                              for state in states if state.wants})


class _Placed(Follower):
    """Follows a schedule, and keeps what was done, in words, and where."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.done: list[tuple[str, str, str]] = []

    def choose(self, run: Any, moves: list[int]) -> int:
        label = super().choose(run, moves)
        step, names = run.would(label), run.names
        what = f"{NAMES[step.kind]} {names.shown[step.lock]}".rstrip()
        self.done.append((names.roles[label >> 1], what, _place(run.by_label[label & ~1])))
        return label


def _place(task: Any) -> str:
    """Return where the thread of *task* stands in the user's code, "" if it is nowhere there."""
    frame: Any = frames_of_threads().get(task.thread.ident)
    while frame is not None and is_verb(frame.f_code):
        frame = frame.f_back
    return place_of(frame.f_code, frame.f_lasti) if frame is not None else ""


def difference(before: Done, after: Done, first: str, then: str) -> str:
    """Say where two lists of what was done differ first, or "" if they do not."""
    for number, (one, other) in enumerate(zip_longest(before.steps, after.steps), 1):
        if one != other:
            role = (one or other)[0]
            ended = role, "end", ""
            return f"step {number} is {_said(one or before.waits.get(role, ended))} {first}, " \
                   f"and {_said(other or after.waits.get(role, ended))} {then}"
    return ""


def _said(step: tuple[str, str, str]) -> str:
    role, what, place = step
    return f"{role}'s {what}{place and f' at {place}'}"
