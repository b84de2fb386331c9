"""Controlled running: the roles of a scenario on real threads, one at a time, in an order that a
chooser decides.

A role runs until it comes to its next *stop*: a request for a lock, a release, a wait, a
`complete`, a `harness.step()`. There it says what it is about to do and asks the chooser, in its
own thread, who goes next; it hands over to that one directly and waits. So the threads are real and
the locks are taken for real, but nothing happens that was not chosen.

What can be chosen is what the locks' own account allows (`Node.is_free_for`): a role whose request
cannot be granted is not offered. On a semaphore it may be chosen once, to enter the queue, since
that changes the answer to others; it stays here then, not inside the package. When it is chosen
again it takes the real lock, which must not refuse. A timed request that cannot be granted may be
chosen to give up.

A schedule goes on until every role has ended or nobody can be chosen. The chooser is one object
with one method, `choose`; this file knows nothing of why it chooses.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from typing import Any

from ..locks.callsite import user_traceback
from ..locks.completion import Completion
from ..locks.mutex import Mutex
from ..locks.parking import EXCLUSIVE, Expired, Task, Unwind, WAIT, current, enter, leave
from ..locks.rwsem import RWSemaphore
from ..locks.waitgraph import blockers, find_cycle
from ..runtime import thread_patch
from ..runtime.observer import Observer
from ..runtime.process_state import aside
from ..runtime.run import Run, _unwind, said_of_invariant
from ..runtime.scenario import Scenario
from ..runtime.stacks import all_stacks
from ..runtime.verdict import Outcome, Verdict
from ..runtime.workers import GRACE
from .controlled_task import Chooser, ControlledTask, _NO_PIPE
from .dependency import (ANY, ASK_ANY, ASK_LOCK, ASK_READ, ASK_TRY, ASK_TRY_READ, ASK_TRY_WRITE,
                         ASK_WAIT, ASK_WRITE, COMPLETE, COMPLETE_ALL, LOCK, LOOK, PASS, PASS_ALL,
                         QUEUEING, READ, REINIT, STEP, UNLOCK, UP_READ, UP_WRITE, WRITE, outcome)
from .hands import Hands, park, wake
from .stable_ids import Names, Taken

_GAINS = {LOCK: 1, READ: 1, WRITE: 1, UNLOCK: -1, UP_READ: -1, UP_WRITE: -1}
_GAIN = tuple(_GAINS.get(kind, 0) for kind in range(STEP + 1))   # locks held more after a step
_NOT_LOOKED = -1
_TOO_LONG = -2
_NUMBERED = re.compile(r"Thread-\d+( \(|$)")    # the name of a thread that was given none
_new = tuple.__new__
_EXACT = (Mutex, RWSemaphore)    # of whose requests it is known what they come to
_MOST_STEPS = 10_000     # of one schedule; a role that spins on a trylock goes on for ever
_SPIN = 100              # steps of the same kind in a row that say so


class ControlledRun(Run):
    """One schedule of one scenario.

    Attributes:
        steps: what was taken, in order.
        cut: whether it was ended before its end: by the chooser, or for its length.
        late: whether it was ended by the deadline.
        stuck: the roles that could not go on at the end, if it is no clean end.
        deadlocked: those of them that wait for each other.
    """

    tasks: list[ControlledTask]   # type: ignore[assignment]

    def __init__(self, scenario: Scenario, chooser: Chooser, names: Names, timeout: float = 5.0,
                 deadline: float | None = None, full: bool = False,
                 to_the_end: bool = False) -> None:
        """Args:
            full: record events with their call chains, as for a report.
            to_the_end: a broken invariant does not end the schedule.
        """
        self.names = names
        self.steps: list[Taken] = []
        self.cut = self.late = False
        self.stuck: list[ControlledTask] = []
        self.deadlocked: tuple[ControlledTask, ...] = ()
        self._full = full
        self._to_the_end = to_the_end
        self.chooser: Any = chooser
        self._choose_label = chooser.choose
        self._lock_numbers: dict[Any, int] = {}
        self._seen_numbers: dict[int, Any] = {}
        self._by_label: dict[int, ControlledTask] = {}
        self._changed = -1                  # the lock of the last step
        self._last_task: Any = None
        self._completing: Completion | None = None
        self._unstarted: deque[ControlledTask] = deque()
        self.hands: Any = None
        super().__init__(scenario, [], "block", timeout, deadline)
        self._unstarted.extend(self.tasks)
        self._starting = 1

    def _new_task(self, name: str, thread: threading.Thread | None = None) -> ControlledTask:
        key = name
        parent: Any = None
        if thread is not None:
            parent = current()
            parent.children += 1
            key = f"{parent.key}/{parent.children}"
            while key in self.scenario.roles:
                key += "'"
            if _NUMBERED.match(name):
                name = key    # the interpreter's own number is another one in each schedule
        task = ControlledTask(name, self, thread, key, self.names.role(key))
        self._by_label[task.label] = task
        if thread is not None:
            task.birth, task.parent = len(self.steps) - 1, parent.key
            task.starter = parent
            task.fd = self.hands.pipe()
        return task

    def _connect(self) -> None:
        watch = [_Invariants(self, self.scenario.invariants)._look] if self.scenario.invariants \
            else []
        if self._full:
            recorder = self.recorder
            self.on_acquire = (recorder.lock_acquire, self._at_acquire, *watch)
            self.on_contended = (recorder.lock_contended,)
            self.on_acquired = (recorder.lock_acquired, *watch)
            self.on_release = (recorder.lock_release, self._at_release, *watch)
        else:
            self.on_acquire = (self._at_acquire, *watch)
            self.on_contended = ()
            self.on_acquired = (*watch,)
            self.on_release = (self._at_release, *watch)
        self._on_start = self._on_return = (*watch,)
        self._on_thread = self._on_end = self._on_idle = ()
        self._hold_back = self._on_standstill = ()

    # -- in the thread that called explore() ---------------------------------------------

    def play(self, crew: Hands) -> Outcome:   # type: ignore[override]
        """Run the schedule on the threads of *crew*; `threads.install` has been called."""
        began = time.perf_counter()
        self.hands = crew
        try:
            for task, function in zip(self.tasks, self.scenario.roles.values()):
                crew.assign(self, task, function)
            wake(self._unstarted.popleft())
            self._watch()
            stuck = self._stuck()
            crew.finish(self.tasks)
        except BaseException as exc:
            try:
                aside(lambda: self._abandon(crew))   # type: ignore[arg-type]
            except BaseException as again:
                exc = again
            exc.outcome = Outcome(self.findings, list(self.recorder.log))   # type: ignore
            raise exc
        if not self.findings and not self.cut and self.scenario.check is not None:
            self._check()
        return Outcome(self.findings, list(self.recorder.log), self.notes, stuck,
                       seconds=time.perf_counter() - began)

    def _watch(self) -> None:
        """Wait until every role has ended; judge when nothing has moved for the timeout."""
        last = -1
        moved = 0.0
        while not self._done.acquire(True, self._patience()):
            now = time.monotonic()
            if len(self.steps) != last:
                last, moved = len(self.steps), now
            if self.deadline is not None and now >= self.deadline and not self.findings:
                self.cut = self.late = True
                aside(self._cut_short)
                break
            if now - moved >= self.timeout:
                aside(self._judge_standstill)
                break
        else:
            return
        self._done.acquire(True, min(GRACE, self.timeout))

    def _cut_short(self) -> None:
        enter()
        if not self.unwinding and self.unfinished:
            self._let_all_go()
        leave()

    def _judge_standstill(self) -> None:
        """Name the role that does not come back: it waits, or works, outside our locks."""
        stacks = all_stacks(self.tasks)
        enter()
        if not self.unwinding and self.unfinished:
            verdict, text = self._standstill()
            self._show_waits()
            self._stop(self._finding(verdict, "timed out",
                                     f"nothing moved for {self.timeout:g} s{text}", stacks))
        leave()

    def _standstill(self) -> tuple[Verdict, str]:
        outside = next((task.name for task in self.tasks
                        if task is self._last_task and task.lock is None and not task.ended), "")
        able = [task.name for task in self.tasks if task.name != outside and self._is_able(task)]
        if not outside:
            return Verdict.HANG, " and no cycle explains it"
        if able:
            return Verdict.INCONCLUSIVE, (
                f": {outside} waits outside our locks, or computes, while {' and '.join(able)} "
                f"{'is' if len(able) == 1 else 'are'} held back; such waits cannot be explored")
        return Verdict.HANG, (f": {outside} waits outside our locks, or computes, and no other "
                              f"role can go on")

    def _is_able(self, task: ControlledTask) -> bool:
        """Say whether *task* could go on if it were its turn."""
        if task.ended or task.lock is None:
            return not task.ended     # it has not begun yet
        self._look(task)
        return bool(task.kind or task.give_up)

    def _show_waits(self) -> None:
        """Let it be seen who waits for what. Called with the guard held, before all are let go."""
        for task in self.tasks:
            if task.lock is not None and not task.kind and not task.ended:
                task.waits_on = task.lock

    def _abandon(self, crew: Hands) -> None:   # type: ignore[override]
        enter()
        self._show_waits()
        leave()
        super()._abandon(crew)   # type: ignore[arg-type]

    # -- in the roles' threads -----------------------------------------------------------

    def _begin(self, task: Task) -> None:
        """Begin *task*, whose turn to start has come."""
        self._last_task = task
        if self.unwinding:
            raise Unwind
        super()._begin(task)

    def started(self, task: Task) -> None:
        """Wait until the thread of *task*, just started, stands at its first stop or has ended."""
        park(current())   # type: ignore[arg-type]
        self._last_task = current()

    def disown(self, task: Task) -> None:
        """Forget a thread that could not be started."""
        enter()
        task.ended = True
        self.unfinished -= 1
        leave()

    def step(self, task: Task, on: str) -> None:
        """Stop *task* at a point of its own."""
        assert isinstance(task, ControlledTask)
        if self.unwinding:
            raise Unwind
        task.ask = STEP
        task.timed = False
        self._stop_at(task, f"step {on}")
        if self.unwinding:
            raise Unwind

    def look(self, task: Task, lock: Any) -> None:
        """Stop *task* before it looks: what it sees depends on who went before."""
        assert isinstance(task, ControlledTask)
        if self.unwinding:
            raise Unwind
        task.ask = LOOK
        task.mode, task.timed = WAIT, False
        self._stop_at(task, lock)
        if self.unwinding:
            raise Unwind

    def _at_acquire(self, task: Any, lock: Any, mode: str) -> None:
        if isinstance(lock, Mutex):
            task.ask = ASK_TRY if task.trylock else ASK_LOCK
        elif isinstance(lock, RWSemaphore):
            if mode is EXCLUSIVE:
                task.ask = ASK_TRY_WRITE if task.trylock else ASK_WRITE
            else:
                task.ask = ASK_TRY_READ if task.trylock else ASK_READ
        elif isinstance(lock, Completion):
            task.ask = LOOK if task.trylock else ASK_WAIT
        else:
            task.ask = ANY if task.trylock else ASK_ANY
        task.mode = mode
        self._stop_at(task, lock)
        if self.unwinding:
            raise Unwind
        if task.expired:
            task.expired = False
            raise Expired

    def _at_release(self, task: Any, lock: Any, mode: str) -> None:
        if mode is WAIT:
            task.ask = COMPLETE if isinstance(lock, Completion) else ANY
        elif isinstance(lock, RWSemaphore):
            task.ask = UP_WRITE if mode is EXCLUSIVE else UP_READ
        else:
            task.ask = UNLOCK if isinstance(lock, Mutex) else ANY
        task.mode, task.timed = mode, False
        self._stop_at(task, lock)
        if task.ask == COMPLETE:
            self._completing = lock

    def _stop_at(self, task: ControlledTask, lock: Any) -> None:
        """Hand over to whoever is chosen; return when *task* is."""
        if len(task.held) != task.due >= 0:
            self._refused(task)
        number = self._lock_numbers.get(lock)
        task.lock_number = self._number(lock) if number is None else number
        task.lock = lock
        task.kind = _NOT_LOOKED
        task.since = len(self.steps)
        heir = self._to_be_started(task) if self._starting or task.starter else self._next()
        if heir is task:
            return
        if heir is not None:
            wake(heir)
        if not self.unwinding:
            park(task)
        if self.unwinding:
            self._leave_queue(task)
        self._last_task = task

    def _to_be_started(self, task: ControlledTask) -> ControlledTask | None:
        """Return who goes on when *task* has come to its first stop, or has ended before."""
        starter, task.starter = task.starter, None
        if starter is not None:
            return starter
        if self._unstarted:
            return self._unstarted.popleft()
        self._starting = 0
        return self._next()

    def _number(self, lock: Any) -> int:
        """Return the number of a lock met for the first time in this schedule."""
        known = lock
        for task in self.tasks if isinstance(lock, Completion) else ():
            if thread_patch.adopted(task.thread) and thread_patch.end_of(task.thread) is lock:
                known = f"end of {task.key}"
        number = self._lock_numbers[lock] = self.names.lock(known)
        if self._seen_numbers.setdefault(number, lock) is not lock and not isinstance(lock, str):
            self.names.unknown.add(number)
        return number

    def _name_completion(self, lock: Completion) -> None:
        """Find out whether the last step was complete, complete_all or reinit."""
        self._completing = None
        kind = REINIT if not lock._done else COMPLETE
        if lock._done == float("inf"):
            kind = COMPLETE_ALL
        for i in range(len(self.steps) - 1, -1, -1):
            if self.steps[i].kind == COMPLETE:
                self.steps[i] = self.steps[i]._replace(kind=kind)
                break

    def _next(self) -> ControlledTask | None:
        """Let the chooser choose until a role can go on; None if it or nobody can.

        The hot path: one pass over the roles, in which those who have just stopped, and those at
        the lock of the last step, are looked at anew.
        """
        while True:
            moves = []
            changed, self._changed = self._changed, -1
            if self._completing is not None:
                self._name_completion(self._completing)
            for task in self.tasks:
                if task.lock is None:
                    continue
                if task.kind == _NOT_LOOKED or task.lock_number == changed:
                    if task.ask < ASK_LOCK:
                        task.kind = task.ask
                    else:
                        self._look(task)
                if task.kind:
                    moves.append(task.label)
                if task.give_up:
                    moves.append(task.label + 1)
            if not moves:
                if self._nobody():
                    return None
                continue
            label = self._choose_label(self, moves) if len(self.steps) < _MOST_STEPS else _TOO_LONG
            if label < 0:
                self._cut(label)
                return None
            heir = self._by_label[label & ~1]
            if self._grant(heir, label):
                return heir

    def _look(self, task: ControlledTask) -> None:
        """Find out what *task* could do next, as the account of the lock says."""
        lock = task.lock
        if task.ask == ASK_LOCK and not task.timed:
            task.kind = 0 if lock.blockers(task, EXCLUSIVE) else LOCK
            return
        enter()
        free = lock.is_free_for(task, task.mode)
        leave()
        task.kind, task.give_up = outcome(free, task.ask, task.queued, task.timed)
        if task.kind == PASS and lock._done == float("inf"):
            task.kind = PASS_ALL

    def would(self, label: int) -> Taken:
        """Return the step that *label*, one of the moves, would be."""
        task = self._by_label[label & ~1]
        kind = task.give_up if label & 1 else task.kind
        return Taken(label, task.lock_number, kind, task.ask, task.timed)

    def _grant(self, task: ControlledTask, label: int) -> bool:
        """Take a step; return whether *task* goes on with it, or has only been queued."""
        kind = task.give_up if label & 1 else task.kind
        lock = task.lock
        self._changed = number = task.lock_number
        self.steps.append(_new(Taken, (label, number, kind, task.ask, task.timed)))
        if kind in QUEUEING:
            enter()
            lock._queue.append((task, task.mode))
            task.queued = True
            self._tell(self.on_contended, task, lock, task.mode)
            leave()
            return False
        if task.queued:
            self._leave_queue(task)
        task.give_up = 0
        task.expired = label & 1 == 1
        task.due = len(task.held) + _GAIN[kind] if type(lock) in _EXACT else -1
        task.lock = None
        return True

    def _leave_queue(self, task: ControlledTask) -> None:
        if task.queued:
            enter()
            task.lock._queue.remove((task, task.mode))
            task.queued = False
            leave()

    def _refused(self, task: ControlledTask) -> None:
        """Say that what was granted was not so: the account and the real lock disagree."""
        task.due = len(task.held)
        if not self.unwinding:
            step = next(step for step in reversed(self.steps) if step.label == task.label)
            self._internal(f"{self.names.shown[step.lock]}: {task.name} was to do "
                           f"{step.kind} and the real lock did otherwise")

    def _internal(self, text: str) -> None:
        enter()
        self._stop(self._finding(Verdict.ERROR, "observed",
                                 f"internal error of the harness: {text}"))
        leave()

    def contended(self, task: Task, again: bool) -> bool:
        """See that a real lock made a granted request wait. Called with the guard held."""
        if not self.unwinding:
            self._stop(self._finding(
                Verdict.ERROR, "observed", "internal error of the harness: the account let "
                f"{task.name} have {task.waits_on}, but the real lock is taken"))
        return False

    def quiescent(self) -> None:
        """Nothing: who cannot go on is known here in another way."""

    # -- the end of roles and of the schedule ---------------------------------------------

    def _end(self, task: Task) -> None:
        assert isinstance(task, ControlledTask)
        if task.held:
            self._clean_up(task)
        adopted = task.thread is not None and thread_patch.adopted(task.thread)
        if adopted and not self.unwinding:
            task.ask, task.mode, task.timed = COMPLETE_ALL, WAIT, False
            self._stop_at(task, thread_patch.end_of(task.thread))
        if len(task.held) != task.due >= 0 and not self.unwinding:
            self._refused(task)
        enter()
        task.ended = True
        task.lock = None
        if adopted:
            thread_patch.ended(task)
        self.unfinished -= 1
        last = not self.unfinished
        leave()
        if last:
            if self._completing is not None:
                self._name_completion(self._completing)
            self._done.release()
        elif not self.unwinding or task.starter is not None:
            heir = self._to_be_started(task) if self._starting or task.starter else self._next()
            if heir is not None:
                wake(heir)

    def _nobody(self) -> bool:
        """Judge, and return True: nobody can go on. If a thread outside may still let one, wait for
        it; False if it did.
        """
        blocked = sorted((task for task in self.tasks if not task.ended),
                         key=lambda task: task.since)
        while not self.unwinding:
            enter()
            for task in blocked:
                task.waits_on = task.lock
            outside = any(blocker.run is not self for task in blocked for blocker in blockers(task))
            if not outside:
                break
            for task in blocked:
                task.waits_on = None
            leave()
            time.sleep(0.001)     # the timeout judges, if it comes to that
            if any(task.lock.is_free_for(task, task.mode) for task in blocked):
                for task in blocked:
                    task.kind = _NOT_LOOKED
                return False
        else:
            return True
        self.stuck = blocked
        if self._full:
            for task in blocked:
                if not task.queued:
                    self._tell(self.on_contended, task, task.lock, task.mode)
        self._judge_stuck(blocked)
        leave()
        return True

    def _judge_stuck(self, blocked: list[ControlledTask]) -> None:
        cycle: Any = next(filter(None, map(find_cycle, reversed(blocked))), None)
        if cycle:
            self.deadlocked = tuple(cycle)
            self._stop(self._deadlock(cycle, "observed"))
        else:
            many = len(blocked) > 1
            self._stop(self._finding(
                Verdict.HANG, "observed", f"{len(blocked)} role{'s' if many else ''} "
                f"wait{'' if many else 's'} for ever and no cycle explains it"))

    def _cut(self, label: int) -> None:
        """End the schedule: the chooser asks for it, or it is too long."""
        enter()
        self.cut = True
        if label == _TOO_LONG:
            self.findings.append(self._finding(
                Verdict.INCONCLUSIVE, "observed", f"stopped after {_MOST_STEPS:,} steps of one "
                f"schedule{self._spinning()}"))
        self._let_all_go()
        leave()

    def _spinning(self) -> str:
        """Say who takes the same step again and again, if somebody does."""
        last = self.steps[-_SPIN:]
        if len(last) < _SPIN or len({(step.label, step.kind, step.lock) for step in last}) > 2:
            return ""
        step = last[-1]
        return f": {self.names.roles[step.label >> 1]} asks for {self.names.shown[step.lock]} again " \
               f"and again, which may go on for ever"

    def _stop(self, finding: Any) -> None:
        self.findings.append(finding)
        self._let_all_go()

    def _let_all_go(self) -> None:
        """Unwind every role. Called with the guard held."""
        self.unwinding = True
        self.on_acquire = self.on_acquired = (_unwind,)
        self.on_contended = self.on_release = self._on_start = ()
        for task in self.tasks:
            task.waits_on = None
            if not task.ended and task.fd != _NO_PIPE:
                wake(task)


class _Invariants(Observer):
    """Call each invariant after each event; take note of the first that fails."""

    def __init__(self, run: ControlledRun, invariants: Any) -> None:
        self._run, self._invariants, self._broken = run, invariants, False

    def _look(self, task: Task, lock: Any = None, mode: str = "") -> None:
        if self._broken:
            return
        run = self._run
        for name, invariant in self._invariants.items():
            try:
                invariant()
            except Exception as exc:
                self._broken = True
                text = f"invariant {name!r} {said_of_invariant(exc)}"
                if run._to_the_end:
                    enter()
                    run.findings.append(run._finding(Verdict.VIOLATION, "observed", text,
                                                     user_traceback(exc)))
                    leave()
                    return
                run.violated(task, text, user_traceback(exc))
                raise Unwind from None
