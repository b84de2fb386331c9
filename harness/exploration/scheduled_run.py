"""Who goes next in a controlled run, and how the turn is handed over.

Each role stands at a *stop*, where it has said what it is about to do. What can be chosen is what
the locks' own account allows (`Node.is_free_for`): a role whose request cannot be granted is not
offered. On a semaphore it may be chosen once, to enter the queue, since that changes the answer to
others; it stays here then, not inside the package. When it is chosen again it takes the real lock,
which must not refuse. A timed request that cannot be granted may be chosen to give up.

The chooser is one object; nothing here knows why it chooses. The file is long
because it is the hot path: one pass over the roles a step, in one place.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from ..locks.completion import Completion
from ..locks.counted import Counted
from ..locks.mutex import Mutex
from ..locks.parking import guarded
from ..locks.rwsem import RWSemaphore
from ..locks.task import EXCLUSIVE, Task, Unwind
from ..runtime import thread_patch
from ..runtime.played_run import PlayedRun
from ..runtime.run import unwind
from ..runtime.scenario import Scenario
from ..runtime.verdict import Finding, Verdict
from .again import Again
from .chooser import ROUND, Chooser
from .controlled_task import ControlledTask
from .dependency import (ASK_LOCK, COMPLETE, COMPLETE_ALL, LOCK, NAMES, PASS, PASS_ALL, QUEUEING,
                         READ, REINIT, START, UNLOCK, UP_READ, UP_WRITE, WRITE, outcome)
from .round_words import words_of_spin
from .stable_ids import Names, Taken

MOST_STEPS = 10_000      # of one schedule; a role that spins on a trylock goes on for ever
_NOT_LOOKED = -1
_GAINS = {LOCK: 1, READ: 1, WRITE: 1, UNLOCK: -1, UP_READ: -1, UP_WRITE: -1}
_GAIN = tuple(_GAINS.get(kind, 0) for kind in range(START + 1))   # locks held more after a step
_EXACT = (Mutex, RWSemaphore)    # of whose requests it is known what they come to
_new = tuple.__new__


class TimeUp(Exception):
    """The time given was up in the middle of what cannot be used half done."""


class ScheduledRun(PlayedRun):
    """A run in which one role goes at a time, by the word of a chooser.

    Attributes:
        names: numbers for roles and locks that mean the same in every schedule.
        steps: what was taken, in order.
        reported: whether a report may show it.
        expires: some limit can run out where the next step is chosen.
        goes_round: it was long and came back to a state, though no limit ran out.
    """

    tasks: list[ControlledTask]   # type: ignore[assignment]
    reported = False
    scheduled = True

    def __init__(self, scenario: Scenario, chooser: Chooser, names: Names, timeout: float,
                 deadline: float | None, to_the_end: bool) -> None:
        self.names = names
        self.steps: list[Taken] = []
        self.by_label: dict[int, ControlledTask] = {}
        self.last_task: Any = None          # the one that goes, or went last
        self.completing: Counted | None = None    # changed by a step whose kind is not known yet
        self.chooser = chooser
        self._choose_label = chooser.choose
        self._lock_numbers: dict[Any, int] = {}
        self._seen_numbers: dict[int, Any] = {}
        self._changed = -1                  # the lock of the last step
        self.again = Again(self, chooser)
        self.expires = self.goes_round = False
        self.arriving = 0                   # roles that began together and have not stopped yet
        super().__init__(scenario, (), timeout, deadline, to_the_end)
        self.unstarted = deque(self.tasks)

    # -- stops ----------------------------------------------------------------------------

    def stop_at(self, task: ControlledTask, lock: Any) -> None:
        """Hand over to whoever is chosen; return when *task* is."""
        if len(task.held) != task.due >= 0:
            self.refused(task)
        number = self._lock_numbers.get(lock)
        task.lock_number = self._number(lock) if number is None else number
        task.lock = lock
        task.kind = _NOT_LOOKED
        task.since = len(self.steps)
        begins = self.unstarted or self.arriving or task.starter is not None
        try:
            heir = self.heir_of(task) if begins else self._next()
            if heir is task:
                return
            if heir is not None:
                task.turn.pass_to(heir.turn)    # when it unwinds all, this is handed over, too
            elif not self.unwinding:
                task.turn.wait()
        except BaseException as exc:    # at the edge of the stack, say: who goes next is not known
            self.failed(task, exc)
            self.end_here("")
            raise Unwind from None
        if self.unwinding:
            self._leave_queue(task)
        self.last_task = task

    def heir_of(self, task: ControlledTask) -> ControlledTask | None:
        """Return who goes on when *task* has come to a stop or has ended; None if nobody can."""
        if task.starter is not None:    # this is its first stop, or it has ended before
            starter, task.starter = task.starter, None
            return None if starter.ended else starter
        if self.arriving:    # roles that began together come to their first stops
            with guarded:
                self.arriving -= 1
                is_last = not self.arriving
            return self._next() if is_last else None
        return self.unstarted.popleft() if self.unstarted else self._next()

    def name_completion(self) -> None:
        """Find out whether the step on `completing` was complete, complete_all or reinit."""
        lock, self.completing = self.completing, None
        if lock is None:
            return
        if lock.leaps:
            self.names.unknown.add(self._lock_numbers[lock])
        kind = COMPLETE_ALL if lock.passes == float("inf") else COMPLETE if lock.passes else REINIT
        for i in reversed(range(len(self.steps))):
            if self.steps[i].kind == COMPLETE:
                self.steps[i] = self.steps[i]._replace(kind=kind)
                break

    def _number(self, lock: Any) -> int:
        """Return the number of a lock met for the first time in this schedule."""
        if type(lock) is Mutex and not self.arriving and not self.reported:
            number = self.names.known_mutex(lock)    # then nobody is asked for its name
            if number >= 0:
                return self._keep_number(lock, number)
        with guarded:    # roles that began together may both be here
            return self._new_number(lock)

    def _new_number(self, lock: Any) -> int:
        names = self.names
        if type(lock) is Mutex:
            number = names.mutex(lock)
        else:
            known = lock
            for task in self.tasks if isinstance(lock, Completion) else ():
                if thread_patch.end_of(task.thread) is lock:
                    known = f"end of {task.key}"
            number = names.lock(known)
        if self.reported:
            str(lock)    # it has its name from the first on, as in a replay of the schedule
        return self._keep_number(lock, number)

    def _keep_number(self, lock: Any, number: int) -> int:
        self._lock_numbers[lock] = number
        known = self._seen_numbers.setdefault(number, lock)
        if known is not lock and not isinstance(lock, str):
            self.names.unknown.add(number)
        return number

    def lock_of(self, number: int) -> Any:
        """Return the lock that has *number* in this schedule."""
        return self._seen_numbers[number]

    def locks_used(self) -> Iterable[Any]:
        return self._lock_numbers

    # -- choosing -------------------------------------------------------------------------

    def _next(self) -> ControlledTask | None:
        """Let the chooser choose until a role can go on; None if it or nobody can.

        The hot path: one pass over the roles, in which those who have just stopped, and those at
        the lock of the last step, are looked at anew.
        """
        again, watches, steps = self.again, self.chooser.watches, self.steps
        while True:
            moves = []
            expires = False
            changed, self._changed = self._changed, -1
            if self.completing is not None:
                self.name_completion()
            for task in self.tasks:
                lock = task.lock
                if lock is None:
                    continue
                if task.kind == _NOT_LOOKED or task.lock_number == changed:
                    if task.ask < ASK_LOCK:
                        task.kind = task.ask
                    elif type(lock) is Mutex and lock._owner is None and task.ask == ASK_LOCK \
                            and not task.timed and task.interrupt is None \
                            and task.waits_on is None:
                        task.kind = LOCK    # as `look_again` finds, with some calls
                    else:
                        self.look_again(task)
                if task.kind:
                    moves.append(task.label)
                if task.give_up:
                    moves.append(task.label + 1)
                    expires = True
            if not moves:
                if self.nobody():
                    return None
                continue
            if len(steps) >= again.look_at and self._look():
                return None
            if watches:
                again.watch()
            self.expires = expires
            if expires or again.every:
                moves = again.open(moves)
            label = self._choose_label(self, moves) if moves else ROUND
            if label < 0:
                if label == ROUND and not self.nobody(goes_round=True):
                    continue
                if label != ROUND:
                    self.end_here("")
                return None
            heir = self.by_label[label & ~1]
            if label & 1 or again.every:
                again.took(label)
            kind, lock = heir.give_up if label & 1 else heir.kind, heir.lock
            self._changed = number = heir.lock_number
            steps.append(_new(Taken, (label, number, kind, heir.ask, heir.timed)))
            if kind in QUEUEING:
                self._enter_queue(heir)
                continue
            if heir.queued:
                self._leave_queue(heir)
            heir.give_up, heir.waits, heir.expired = 0, False, label & 1 == 1
            heir.due = len(heir.held) + _GAIN[kind] if type(lock) in _EXACT else -1
            heir.lock = None
            return heir

    def _look(self) -> bool:
        """Look whether this schedule, which is long, has an end; say whether it is ended here."""
        if len(self.steps) >= MOST_STEPS:
            self.end_here(f"stopped after {MOST_STEPS:,} steps of one schedule")
            return True
        self.again.look()
        self.again.look_at = min(self.again.look_at, MOST_STEPS)
        return False

    def enders(self, lock: Any) -> list[Task]:
        if not self.names.enders:
            return []
        keys = self.names.enders.still(*self.names.ends_of_waits(lock, self.steps))
        return [task for task in self.tasks if task.key in keys and not task.ended]

    def why_nobody(self, lock: Any) -> str:
        return self.names.enders.why_nobody(
            *self.names.ends_of_waits(lock, self.steps),
            [task.key for task in self.tasks if task.ended]) if self.names.enders else ""

    def look_again(self, task: ControlledTask) -> None:
        """Find out what *task* could do next, as the account of the lock says."""
        lock = task.lock
        gives_up = task.timed or task.interrupt is not None
        if task.ask == ASK_LOCK and not gives_up:
            task.kind = LOCK if lock.is_free_for(task, EXCLUSIVE) else 0
            return
        with guarded:
            free = lock.is_free_for(task, task.mode)
        task.kind, task.give_up = outcome(free, task.ask, task.queued, gives_up)
        if task.kind == PASS and lock.passes == float("inf"):
            task.kind = PASS_ALL

    def would(self, label: int) -> Taken:
        """Return the step that *label*, one of the moves, would be."""
        task = self.by_label[label & ~1]
        kind = task.give_up if label & 1 else task.kind
        return _new(Taken, (label, task.lock_number, kind, task.ask, task.timed))

    def _enter_queue(self, task: ControlledTask) -> None:
        with guarded:
            task.lock.queue.append((task, task.mode))
            task.queued = True
            self.note_wait(task)

    def note_wait(self, task: ControlledTask) -> None:
        """Tell observers, once, that the request of *task* waits. Called with the guard held."""
        if not task.waits:
            task.waits = True
            self.tell(self.on_contended, task, task.lock, task.mode)

    def _leave_queue(self, task: ControlledTask) -> None:
        if task.queued:
            with guarded:
                task.lock.queue.remove((task, task.mode))
                task.queued = False

    def refused(self, task: ControlledTask) -> None:
        """Say that what was granted was not so: the account and the real lock disagree."""
        task.due = len(task.held)
        if not self.unwinding:
            step = next(step for step in reversed(self.steps) if step.label == task.label)
            with guarded:
                lock = next(lock for lock, n in self._lock_numbers.items() if n == step.lock)
                self.stop_for_disagreement(task, lock, f"{task.name} was to do "
                                           f"'{NAMES[step.kind]}' and the real lock did otherwise")

    def stop_for_disagreement(self, task: Any, lock: Any, text: str) -> None:
        """Stop: the account of a lock and the real lock are at odds. Called with the guard held."""
        who = self.outsiders.who_used(lock)
        if who:    # and did so between the choice of the step and the step
            self.stop(self.finding(Verdict.INCONCLUSIVE, "observed", f"{who}, outside the run, had "
                                   f"{lock} when {task.name} was to take it"))
            return
        self.stop(self.finding(Verdict.ERROR, "observed",
                               f"internal error of the harness: {lock}: {text}"))

    def nobody(self, goes_round: bool = False) -> bool:
        """Judge that nobody can go on; return False if a thread outside let one after all.

        Args:
            goes_round: some can, but by what was done before in the same state.
        """
        raise NotImplementedError

    def end_here(self, why: str) -> None:
        """End the schedule: the chooser asks for it (*why* is ""), or it is too long."""
        with guarded:
            self.cut = True
            if why:
                self.findings.append(self.finding(Verdict.INCONCLUSIVE, "observed",
                                                  f"{why}{words_of_spin(self)}"))
            self._let_all_go()

    def stop(self, finding: Finding) -> None:
        """Keep *finding* and let every role go. Called with the guard held."""
        self.findings.append(finding)
        self._let_all_go()

    def _let_all_go(self) -> None:
        """Unwind every role. Called with the guard held."""
        self.unwinding = True
        self.on_acquire = self.on_acquired = (unwind,)
        self.ask_in_turn = None
        self.on_contended = self.on_release = self.on_start = ()
        for task in self.tasks:
            task.waits_on = None
            if not task.ended and task.turn is not None:
                task.turn.hand_over()
