"""What is said of schedules that go round."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..locks.callsite import frames_of_threads, is_verb, place_of
from ..runtime.endless import goes_on
from ..runtime.verdict import Verdict, for_ever

_SPIN = 100    # steps of the same kind in a row that say so


def judged(run: Any, tasks: Sequence[Any], goes_round: bool) -> tuple[Verdict, str, str]:
    """Return the verdict on *tasks*, of *run*, none of which can go on, or only as before in the
    same state; how it is known, and in words. Whether it is a hang is not known of those that go
    round; it is none if only daemon threads are left.
    """
    if not goes_round:
        return Verdict.HANG, "observed", for_ever(len(tasks))
    if run.left:
        return Verdict.INCONCLUSIVE, "observed", \
            f"{goes_on(run.scenario.roles, run.tasks)}, and nothing changes"
    words, rest = [], []
    for task in tasks:
        if task.give_up:
            words.append(f"the limit of {task.name}'s wait for {task.lock} runs out again and "
                         f"again{_at(task)}")
        elif task.kind:
            words.append(f"{task.name} asks for {task.lock} again and again{_at(task)}")
        else:
            rest.append(task.name)
    also = f"; {' and '.join(rest)} wait{'s' if len(rest) == 1 else ''} for ever" if rest else ""
    text = f"{' and '.join(words)}, and nothing changes{also}"
    return Verdict.INCONCLUSIVE, "observed", text


def _at(task: Any) -> str:
    frame: Any = frames_of_threads().get(task.thread.ident)
    while frame is not None and is_verb(frame.f_code):
        frame = frame.f_back
    return f" at {place_of(frame.f_code, frame.f_lasti)}" if frame is not None else ""


def words_of_spin(run: Any) -> str:
    """Say who takes the same step again and again at the end of *run*, if somebody does."""
    last = run.steps[-_SPIN:]
    if len(last) < _SPIN or len({(step.label, step.kind, step.lock) for step in last}) > 2:
        return ""
    role, lock = run.names.roles[last[-1].label >> 1], run.names.shown[last[-1].lock]
    return f": {role} asks for {lock} again and again, which may go on for ever"
