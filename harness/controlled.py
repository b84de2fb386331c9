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

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from . import threads
from .aside import aside
from .crew import GRACE
from .dependence import (ASK_LOCK, ASK_READ, ASK_TRY, ASK_TRY_READ, ASK_TRY_WRITE, ASK_WAIT,
                         ASK_WRITE, COMPLETE, COMPLETE_ALL, LOCK, PASS, PASS_ALL, QUEUEING, READ,
                         REINIT, STEP, UNLOCK, UP_READ, UP_WRITE, WRITE, outcome)
from .errors import ScenarioError
from .events import Observer
from .locks import Completion, Node
from .runner import Run, _perform, _said, _unwind
from .rwsem import RWSemaphore
from .scenario import Scenario
from .place import user_traceback
from .task import (EXCLUSIVE, WAIT, Expired, Task, Unwind, _local, become, current, enter, leave)
from .trace import Recorder
from .verdict import Outcome, Verdict
from .waitgraph import blockers, find_cycle

_ONE = (1).to_bytes(8, "little")
_GAINS = {LOCK: 1, READ: 1, WRITE: 1, UNLOCK: -1, UP_READ: -1, UP_WRITE: -1}
_MOST_STEPS = 100_000    # of one schedule; a role that spins on a trylock goes on for ever


class Taken(NamedTuple):
    """One step of a schedule that was taken.

    Attributes:
        label: who, and whether by giving up: twice the number of the role, plus 1 if so.
        lock: number of the lock (see `Names`).
        kind: what was done, see dependence.py.
        ask: what was asked for.
    """

    label: int
    lock: int
    kind: int
    ask: int
    timed: bool = False


class Chooser(Protocol):
    """Decides who goes next."""

    def choose(self, run: ControlledRun, moves: list[int]) -> int:
        """Return one of *moves*, the labels that can be chosen; -1 to end the schedule here."""


class Names:
    """Numbers for roles and locks that mean the same in every schedule of one scenario.

    A role is known by its name, a thread that a role starts by its parent and which of its threads
    it is, a lock by its class and name. Two locks of one world that share class and name share the
    number too: `ambiguous` has it.
    """

    def __init__(self) -> None:
        self.roles: list[str] = []
        self.locks: list[Any] = []
        self.policies: dict[int, str] = {}
        self.shown: dict[int, str] = {}
        self.ambiguous: set[int] = set()
        self._role_numbers: dict[str, int] = {}
        self._lock_numbers: dict[Any, int] = {}

    def role(self, key: str) -> int:
        """Return the number of a role."""
        number = self._role_numbers.get(key)
        if number is None:
            number = self._role_numbers[key] = len(self.roles)
            self.roles.append(key)
        return number

    def lock(self, lock: Any) -> int:
        """Return the number of a lock, or of what `harness.step` names (a string)."""
        if isinstance(lock, str):
            key: Any = lock
        else:
            name = lock._name
            if not isinstance(name, str):
                name = id(name[0]), *name[1:]   # a code object hashes slowly
            key = type(lock), name, lock._class
        number = self._lock_numbers.get(key)
        if number is None:
            number = self._lock_numbers[key] = len(self.locks)
            self.locks.append(key)
            self.policies[number] = getattr(lock, "policy", "")
            self.shown[number] = str(lock)
        return number


class ControlledTask(Task):
    """A role, or a thread that a role started, under control.

    Attributes:
        key: what it is called in a token.
        label: twice its number in `Names`.
        lock: what it is about to do something to, at a stop.
        ask: what it asks for there.
        kind, give_up: the step it would do next, and the one by which it would give up; 0 if it
            cannot do that now, or does not stand at a stop.
        queued: whether it is in the queue of the semaphore.
        since: how many steps had been taken when it stopped.
        birth: number of the step in which it was started, -1 if at the start.
        starter: who waits until it has come to its first stop.
    """

    __slots__ = ("key", "label", "lock", "lock_number", "ask", "kind", "give_up", "queued", "since",
                 "birth", "starter", "children", "fd", "go", "expired", "due")

    def __init__(self, name: str, run: Any, thread: threading.Thread | None, key: str,
                 number: int) -> None:
        super().__init__(name, run, thread)
        self.key = key
        self.label = 2 * number
        self.lock: Any = None
        self.lock_number = self.ask = self.kind = self.give_up = self.since = self.children = 0
        self.queued = self.go = self.expired = False
        self.birth = -1
        self.starter: ControlledTask | None = None
        self.fd: tuple[int, int] = (-1, -1)
        self.due = 0    # how many locks it must hold at its next stop


class ControlledRun(Run):
    """One schedule of one scenario.

    Attributes:
        steps: what was taken, in order.
        cut: whether the chooser ended it.
        stuck: the roles that could not go on at the end, if it is no clean end.
    """

    tasks: list[ControlledTask]   # type: ignore[assignment]

    def __init__(self, scenario: Scenario, chooser: Chooser, names: Names, timeout: float = 5.0,
                 deadline: float | None = None, full: bool = False, to_the_end: bool = False) -> None:
        """Args:
            full: record events with their call chains, as for a report.
            to_the_end: a broken invariant does not end the schedule.
        """
        self.names = names
        self.steps: list[Taken] = []
        self.cut = False
        self.stuck: list[ControlledTask] = []
        self.deadlocked: tuple[ControlledTask, ...] = ()
        self._full = full
        self._to_the_end = to_the_end
        self._choose_label = chooser.choose
        self._lock_numbers: dict[Any, int] = {}
        self._seen_numbers: dict[int, Any] = {}
        self._last: Any = None              # the lock of the last step
        self._last_task: Any = None
        self._completing: tuple[Completion, float] | None = None
        self._unstarted: deque[ControlledTask] = deque()
        self._crew: Any = None
        super().__init__(scenario, [], "block", timeout, deadline)
        self._unstarted.extend(self.tasks)

    def _new_task(self, name: str, thread: threading.Thread | None = None) -> ControlledTask:
        key = name
        parent: Any = None
        if thread is not None:
            parent = current()
            parent.children += 1
            key = f"{parent.key}/{parent.children}"
        task = ControlledTask(name, self, thread, key, self.names.role(key))
        if thread is not None:
            task.birth = len(self.steps) - 1
            task.starter = parent
            task.fd = self._crew.pipe()
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
        self._on_start = (*watch,)
        self._on_thread = self._on_end = self._on_idle = ()
        self._hold_back = self._on_standstill = ()

    # -- in the thread that called explore() ---------------------------------------------

    def play(self, crew: Hands) -> Outcome:   # type: ignore[override]
        """Run the schedule on the threads of *crew*; `threads.install` has been called."""
        began = time.perf_counter()
        self._crew = crew
        try:
            for task, function in zip(self.tasks, self.scenario.roles.values()):
                crew.assign(self, task, function)
            _wake(self._unstarted.popleft())
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
                       time.perf_counter() - began)

    def _watch(self) -> None:
        """Wait until every role has ended; judge when nothing has moved for the timeout."""
        last = -1
        moved = 0.0
        while not self._done.acquire(True, self._patience()):
            now = time.monotonic()
            if len(self.steps) != last:
                last, moved = len(self.steps), now
            if self.deadline is not None and now >= self.deadline and not self.findings:
                self.cut = True
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
        enter()
        outside = [task for task in self.tasks if not task.ended and task is self._last_task]
        able = [task.name for task in self.tasks if task.kind or task.give_up]
        leave()
        what = f"nothing moved for {self.timeout:g} s"
        if not outside:
            self._judge(Verdict.HANG, f"{what} and no cycle explains it")
        elif able:
            self._judge(Verdict.INCONCLUSIVE,
                        f"{what}: {outside[0].name} waits outside our locks, or computes, while "
                        f"{' and '.join(able)} {'is' if len(able) == 1 else 'are'} held back; such "
                        f"waits cannot be explored")
        else:
            self._judge(Verdict.HANG, f"{what}: {outside[0].name} waits outside our locks, or "
                                      f"computes, and no other role can go on")

    # -- in the roles' threads -----------------------------------------------------------

    def perform(self, task: Task, function: Callable[[], Any]) -> None:
        """Run one role in the calling thread; its turn to start has come."""
        assert isinstance(task, ControlledTask)
        before = become(task)
        _local.created = {}
        self._last_task = task
        try:
            if self.unwinding:
                raise Unwind
            for hook in self._on_start:
                hook(task)
            _perform(task, function)
        except Unwind:
            pass
        except BaseException as exc:
            self._failed(task, exc)
        finally:
            self._end(task)
            become(before)

    def started(self, task: Task) -> None:
        """Wait until the thread of *task*, just started, stands at its first stop or has ended."""
        _park(current())   # type: ignore[arg-type]
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
        self._stop_at(task, on)
        if self.unwinding:
            raise Unwind

    def _at_acquire(self, task: Any, lock: Any, mode: str) -> None:
        if mode is WAIT:
            task.ask = ASK_WAIT
        elif isinstance(lock, RWSemaphore):
            if mode is EXCLUSIVE:
                task.ask = ASK_TRY_WRITE if task.trylock else ASK_WRITE
            else:
                task.ask = ASK_TRY_READ if task.trylock else ASK_READ
        else:
            task.ask = ASK_TRY if task.trylock else ASK_LOCK
        task.mode = mode
        self._stop_at(task, lock)
        if self.unwinding:
            raise Unwind
        if task.expired:
            task.expired = False
            raise Expired

    def _at_release(self, task: Any, lock: Any, mode: str) -> None:
        if mode is WAIT:
            task.ask = COMPLETE
        elif isinstance(lock, RWSemaphore):
            task.ask = UP_WRITE if mode is EXCLUSIVE else UP_READ
        else:
            task.ask = UNLOCK
        task.mode, task.timed = mode, False
        self._stop_at(task, lock)
        if mode is WAIT:
            self._completing = lock, lock._done

    def _stop_at(self, task: ControlledTask, lock: Any) -> None:
        """Hand over to whoever is chosen; return when *task* is."""
        if len(task.held) != task.due:
            self._refused(task)
        task.lock = lock
        number = self._lock_numbers.get(lock)
        task.lock_number = self._number(lock) if number is None else number
        task.since = len(self.steps)
        task.queued = False
        self._look_again()
        self._account(task)
        if task.starter is not None:
            heir: ControlledTask | None = task.starter
            task.starter = None
        elif self._unstarted:
            heir = self._unstarted.popleft()
        else:
            heir = self._next()
        if heir is task:
            return
        if heir is not None:
            _wake(heir)
        if not self.unwinding:
            _park(task)
        if self.unwinding:
            self._leave_queue(task)
        self._last_task = task

    def _number(self, lock: Any) -> int:
        """Return the number of a lock met for the first time in this schedule."""
        number = self._lock_numbers[lock] = self.names.lock(lock)
        if self._seen_numbers.setdefault(number, lock) is not lock and not isinstance(lock, str):
            self.names.ambiguous.add(number)
        return number

    def _look_again(self) -> None:
        """See what the last step has changed for those who stand at its lock."""
        last = self._last
        if last is None:
            return
        self._last = None
        if self._completing is not None:
            self._name_completion(*self._completing)
            self._completing = None
        for task in self.tasks:
            if task.lock is last:
                self._account(task)

    def _name_completion(self, lock: Completion, before: float) -> None:
        """Find out whether the last step was complete, complete_all or reinit."""
        kind = REINIT if not lock._done else COMPLETE
        if lock._done == float("inf"):
            kind = COMPLETE_ALL
        for i in range(len(self.steps) - 1, -1, -1):
            if self.steps[i].kind == COMPLETE:
                self.steps[i] = self.steps[i]._replace(kind=kind)
                break

    def _account(self, task: ControlledTask) -> None:
        """Find out what *task* could do next, as the account of the lock says."""
        ask = task.ask
        if ask < ASK_LOCK:
            task.kind = ask
            return
        lock = task.lock
        if ask == ASK_LOCK:
            task.kind = LOCK if lock.is_free_for(task, EXCLUSIVE) else 0
            task.give_up = 0
            if not task.timed:
                return
        enter()
        free = lock.is_free_for(task, task.mode)
        leave()
        task.kind, task.give_up = outcome(free, ask, task.queued, task.timed)
        if task.kind == PASS and lock._done == float("inf"):
            task.kind = PASS_ALL

    def _next(self) -> ControlledTask | None:
        """Let the chooser choose until a role can go on; None if it or nobody can."""
        while True:
            moves = []
            for task in self.tasks:
                if task.kind:
                    moves.append(task.label)
                if task.give_up:
                    moves.append(task.label + 1)
            if not moves:
                self._nobody()
                return None
            label = self._choose_label(self, moves)
            if label < 0 or len(self.steps) >= _MOST_STEPS:
                self._cut(label)
                return None
            heir = self.by_label(label)
            if self._grant(heir, label):
                return heir

    def by_label(self, label: int) -> ControlledTask:
        """Return the role of a label."""
        label &= ~1
        for task in self.tasks:
            if task.label == label:
                return task
        raise KeyError(label)

    def would(self, label: int) -> Taken:
        """Return the step that *label*, one of the moves, would be."""
        task = self.by_label(label)
        kind = task.give_up if label & 1 else task.kind
        return Taken(label, task.lock_number, kind, task.ask, task.timed)

    def _grant(self, task: ControlledTask, label: int) -> bool:
        """Take a step; return whether *task* goes on with it, or has only been queued."""
        kind = task.give_up if label & 1 else task.kind
        lock = task.lock
        self.steps.append(Taken(label, task.lock_number, kind, task.ask, task.timed))
        if kind in QUEUEING:
            enter()
            lock._queue.append((task, task.mode))
            task.queued = True
            self._tell(self.on_contended, task, lock, task.mode)
            leave()
            for other in self.tasks:
                if other.lock is lock:
                    self._account(other)
            return False
        if task.queued:
            self._leave_queue(task)
        task.kind = task.give_up = 0
        task.expired = label & 1 == 1
        task.due = len(task.held) + _GAINS.get(kind, 0)
        task.lock = None
        self._last = lock
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
        self._stop(self._finding(Verdict.ERROR, "observed", f"internal error of the harness: {text}"))
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
        adopted = task.thread is not None and threads.adopted(task.thread)
        if adopted and not self.unwinding:
            task.ask, task.mode, task.timed = COMPLETE_ALL, WAIT, False
            self._stop_at(task, threads.end_of(task.thread))
        if len(task.held) != task.due and not self.unwinding:
            self._refused(task)
        enter()
        task.ended = True
        task.lock = None
        if adopted:
            threads.ended(task)
        self.unfinished -= 1
        last = not self.unfinished
        leave()
        starter, task.starter = task.starter, None
        if last:
            self._done.release()
        elif starter is not None:
            _wake(starter)
        elif not self.unwinding:
            self._look_again()
            heir = self._unstarted.popleft() if self._unstarted else self._next()
            if heir is not None:
                _wake(heir)

    def _nobody(self) -> None:
        """Judge: nobody can go on. If a thread outside may still let one, wait for it."""
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
            for task in blocked:
                self._account(task)
            if any(task.kind for task in blocked):
                return
        else:
            return
        self.stuck = blocked
        if self._full:
            for task in blocked:
                if not task.queued:
                    self._tell(self.on_contended, task, task.lock, task.mode)
        self._judge_stuck(blocked)
        leave()

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
        if label >= 0:
            self.findings.append(self._finding(
                Verdict.INCONCLUSIVE, "observed", f"stopped after {_MOST_STEPS:,} steps of one "
                f"schedule"))
        self._let_all_go()
        leave()

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
            if not task.ended:
                _wake(task)


def _wake(task: ControlledTask) -> None:
    task.go = True
    os.write(task.fd[1], _ONE)


def _park(task: ControlledTask) -> None:
    """Wait until *task*, the caller's, is woken. A wake-up meant for an earlier wait does not
    count.
    """
    fd = task.fd[0]
    while not task.go:
        os.read(fd, 8)
    task.go = False


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
            except AssertionError as exc:
                self._broken = True
                text = f"invariant {name!r} is broken: {_said(exc)}"
                if run._to_the_end:
                    enter()
                    run.findings.append(run._finding(Verdict.VIOLATION, "observed", text,
                                                     user_traceback(exc)))
                    leave()
                    return
                run.violated(task, text, user_traceback(exc))
                raise Unwind from None


# -- the threads -------------------------------------------------------------------------------


def _pipe() -> tuple[int, int]:
    """Return what one thread waits in and others wake it by: half the cost of a lock, since writing
    gives up the interpreter before it wakes.
    """
    if hasattr(os, "eventfd"):
        fd = os.eventfd(0, os.EFD_CLOEXEC)
        return fd, fd
    return os.pipe()


def _close(fd: tuple[int, int]) -> None:
    for end in set(fd):
        with suppress(OSError):
            os.close(end)


class _Hand:
    """A daemon thread that performs one role after another until told to end."""

    def __init__(self) -> None:
        self.fd = _pipe()
        self.job: Any = None
        self._quit = False
        self.thread = threading.Thread(target=self._loop, name="harness worker", daemon=True)
        self.thread.start()

    def _loop(self) -> None:
        fd = self.fd[0]
        while True:
            while self.job is None or not self.job[1].go:
                if self._quit:
                    _close(self.fd)
                    return
                os.read(fd, 8)
            run, task, function = self.job
            self.job = None
            task.go = False
            run.perform(task, function)
            del run, task, function   # keep nothing of the world alive

    def quit(self) -> None:
        self._quit = True
        os.write(self.fd[1], _ONE)


class Hands:
    """The workers of one call: reused from schedule to schedule, ended when the call returns or
    raises.
    """

    def __init__(self) -> None:
        self._hands: list[_Hand] = []
        self._busy: list[tuple[ControlledTask, _Hand]] = []
        self._pipes: list[tuple[int, int]] = []
        self._lent: list[tuple[int, int]] = []

    def __enter__(self) -> Hands:
        threads.install()
        return self

    def __exit__(self, *exc: Any) -> None:
        threads.uninstall()
        for hand in self._hands:
            hand.quit()
        for hand in self._hands:
            hand.thread.join()
        for fd in self._pipes:
            _close(fd)

    def assign(self, run: ControlledRun, task: ControlledTask, function: Any) -> None:
        """Let a free worker perform *function* as *task*, when *task* is woken."""
        if len(self._busy) == len(self._hands):
            self._hands.append(_Hand())
        hand = self._hands[len(self._busy)]
        task.thread, task.fd = hand.thread, hand.fd
        if run._full:
            hand.thread.name = task.name
        self._busy.append((task, hand))
        hand.job = run, task, function

    def pipe(self) -> tuple[int, int]:
        """Return what a thread that a role starts waits in."""
        fd = self._pipes.pop() if self._pipes else _pipe()
        self._lent.append(fd)
        return fd

    def finish(self, tasks: list[ControlledTask]) -> None:
        """Take back the workers whose roles have ended; give up on the rest."""
        for task, hand in self._busy:
            if not task.ended:
                self._hands.remove(hand)
                hand.quit()   # it ends, should its role ever do so
        self._busy.clear()
        for task in tasks:
            if task.ended and task.thread is not None and threads.adopted(task.thread):
                threads.plain_join(task.thread)
        if all(task.ended for task in tasks):
            self._pipes += self._lent
        self._lent.clear()


__all__ = ["Chooser", "ControlledRun", "ControlledTask", "Hands", "Names", "Taken", "ScenarioError",
           "Recorder", "Node"]
