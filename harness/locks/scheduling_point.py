"""`step`: a point at which threads may be switched, where no lock is asked for.

A thread that reads or writes what others write calls it just before; in an exploration the
operations that follow are then tried in every order. Outside one it does nothing. This file knows
nothing of how schedules are chosen.
"""

from __future__ import annotations


from .task import current


def step(on: str = "") -> None:
    """Let another role go first here, in some schedule.

    Args:
        on: name of what is about to be used. Steps on different things need not be tried in both
            orders.
    """
    task = current()
    if task.run is not None:
        task.run.step(task, on)
