"""Steps of lock operations: their kinds, which of them commute, what a request would come to.

A *step* is what one role does to one lock at one point of a schedule. Two steps are *dependent* if
they are of one role, or on one lock and not free to change places; two schedules that differ only
in the order of independent steps are equivalent. This file is pure: it knows no threads, no
schedules and no locks, only kinds and who has what.

- Exclusive locks: all steps are dependent, but two that look and take nothing (a trylock that
  failed, a wait that gave up).
- Semaphores: readers that enter and leave do not see each other, and a reader's failed trylock does
  not see them either: what it saw was a writer. Queueing and leaving the queue depend on
  everything: they change the answer to others.
- Completions: waits that pass after `complete_all` take nothing from each other.
- `harness.step`: those on one name are dependent, and one on no name is dependent on every other:
  it says that something is used, not what.
- Whatever else roles may wait for: all dependent, but looks.
- The start of a role, where it is a step, depends on steps of the roles that share something with
  what comes before its first operation (`Names.starts`): on no lock, but by role and operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..locks.task import EXCLUSIVE, SHARED
from ..locks.rwsem_policy import blocked_by

# What a step did. 0 is no step: whoever stands there cannot go on.
(LOCK, UNLOCK, BUSY, GIVE_UP,
 READ, WRITE, UP_READ, UP_WRITE, QUEUE_READ, QUEUE_WRITE, READ_BUSY, WRITE_BUSY,
 SEM_GIVE_UP, LEAVE_QUEUE, PASS, PASS_ALL, COMPLETE, COMPLETE_ALL, REINIT, LOOK, ANY,
 STEP, STEP_UNNAMED, START) = range(1, 25)

NAMES = dict(enumerate(
    ("lock", "unlock", "busy", "give up", "read", "write", "up_read", "up_write", "queue to read",
     "queue to write", "busy (read)", "busy (write)", "give up", "leave the queue", "pass", "pass",
     "complete", "complete_all", "reinit", "look", "pass or change", "step", "step", "start"), 1))

QUEUEING = (QUEUE_READ, QUEUE_WRITE)
STEPS = (STEP, STEP_UNNAMED)

# What a role asks for where it stands; what is neither of these is done as soon as it is chosen,
# and is called by the kind of its step.
(ASK_LOCK, ASK_TRY, ASK_READ, ASK_WRITE, ASK_TRY_READ, ASK_TRY_WRITE, ASK_WAIT, ASK_TRY_WAIT,
 ASK_ANY) = range(101, 110)

# ask -> (the step if it is free, the step if it is not, the step if it is not and the role is
# queued, the step of a timed request that gives up, the same when queued)
OUTCOMES = {
    ASK_LOCK: (LOCK, 0, 0, GIVE_UP, GIVE_UP),
    ASK_TRY: (LOCK, BUSY, BUSY, 0, 0),
    ASK_READ: (READ, QUEUE_READ, 0, SEM_GIVE_UP, LEAVE_QUEUE),
    ASK_WRITE: (WRITE, QUEUE_WRITE, 0, SEM_GIVE_UP, LEAVE_QUEUE),
    ASK_TRY_READ: (READ, READ_BUSY, READ_BUSY, 0, 0),
    ASK_TRY_WRITE: (WRITE, WRITE_BUSY, WRITE_BUSY, 0, 0),
    ASK_WAIT: (PASS, 0, 0, GIVE_UP, GIVE_UP),
    ASK_TRY_WAIT: (PASS, BUSY, BUSY, 0, 0),
    ASK_ANY: (ANY, 0, 0, GIVE_UP, GIVE_UP),
}

_LOOKING = (READ_BUSY, WRITE_BUSY, SEM_GIVE_UP)
_COMMUTING = (
    {(a, b) for a in (BUSY, GIVE_UP, LOOK) for b in (BUSY, GIVE_UP, LOOK)}
    | {(a, b) for a in _LOOKING for b in _LOOKING}
    | {(a, b) for a in (READ, UP_READ) for b in (READ, UP_READ)}
    | {pair for a in (READ, UP_READ) for pair in ((a, READ_BUSY), (READ_BUSY, a))}
    | {(PASS_ALL, PASS_ALL)})

# kind -> the kinds it depends on, on one lock
DEPENDS = tuple(frozenset(b for b in range(1, START + 1) if (a, b) not in _COMMUTING)
                for a in range(START + 1))
# kind -> the kinds it depends on, whatever each is on
DEPENDS_ANYWHERE = tuple(frozenset({STEP_UNNAMED: STEPS, STEP: (STEP_UNNAMED,)}.get(a, ()))
                         for a in range(START + 1))


def outcome(free: bool, ask: int, queued: bool, timed: bool) -> tuple[int, int]:
    """Return the step that a role asking so would do next, and the one to give up by; 0 if none."""
    if ask < ASK_LOCK:
        return ask, 0
    if free:
        return OUTCOMES[ask][0], 0
    return OUTCOMES[ask][2 if queued else 1], OUTCOMES[ask][4 if queued else 3] if timed else 0


_DONE: dict[int, Callable[[float], float]] = {
    PASS: lambda done: done - 1, COMPLETE: lambda done: done + 1,
    COMPLETE_ALL: lambda done: float("inf"), REINIT: lambda done: 0}


def outcome_after(steps: Iterable[tuple[int, int]], policy: str, done: float, role: int, ask: int,
                  timed: bool) -> tuple[int, int]:
    """Return `outcome` for a request of *role* on a semaphore, or on a completion.

    Args:
        steps: those on it so far, (role, kind) each, in order.
        policy: of the semaphore.
        done: how often one could pass the completion at the start.
    """
    writer: int | None = None
    readers: list[int] = []
    queue: list[tuple[int, str]] = []
    for who, kind in steps:
        if kind in QUEUEING:
            queue.append((who, SHARED if kind == QUEUE_READ else EXCLUSIVE))
        elif kind in (READ, WRITE, LEAVE_QUEUE):
            queue = [entry for entry in queue if entry[0] != who]
        if kind == READ:
            readers.append(who)
        elif kind == UP_READ:
            readers.remove(who)
        elif kind in (WRITE, UP_WRITE):
            writer = who if kind == WRITE else None
        elif kind in _DONE:
            done = _DONE[kind](done)
    if ask in (ASK_WAIT, ASK_TRY_WAIT):
        free = done > 0
    else:
        mode = SHARED if ask in (ASK_READ, ASK_TRY_READ) else EXCLUSIVE
        free = not blocked_by(policy, writer, readers, queue, role, mode)
    kind, give_up = outcome(free, ask, any(waiter == role for waiter, _ in queue), timed)
    return PASS_ALL if kind == PASS and done == float("inf") else kind, give_up
