"""What every run is: tasks, observers, findings. Three kinds of runs stand on it.

- `FreeRun` (free_run.py): roles start together and race; a deadlock is found as it closes.
- `ControlledRun` (exploration/controlled_run.py): one role at a time, in a chosen order.
- `WatchedRun` (pytest_support/watched_run.py): a test that uses locks by itself.

Here is what they have in common: how threads join and are found, how observers are told, and how
what went wrong becomes a finding. `RunOfTask` (locks/task.py) says what locks ask of a run. The
file is long because all of it is the same in each of the three.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable
from contextlib import suppress
from difflib import get_close_matches
from typing import Any

from ..locks.callsite import first_line, is_a, pass_signal, raised, raised_at, user_traceback
from ..locks.completion import Completion
from ..locks.errors import HeldAtEnd, LockMisuse, ProcessExit
from ..locks.node import OUTSIDE
from ..locks.outsiders import Outsiders, by_ident
from ..locks.parking import guarded
from ..locks.task import WAIT, RunOfTask, Task, Unwind, current
from ..locks.user_code import told
from ..locks.waitgraph import NOBODY, Deadlock
from . import thread_patch
from .observer import Observer, hooks
from .recorder import EVENT, Recorder, freeze, place
from .scenario import Scenario
from .verdict import Finding, Verdict

_BROKE = "broke a rule of locks"
_NUMBERED = re.compile(r"(Thread|ThreadPoolExecutor)-(\d+)((?:_\d+)?(?: \(.*\))?)$", re.DOTALL)


def unwind(task: Task, lock: Any = None, mode: str = "") -> None:
    """Be what a lock event, a step or a look calls once there is a verdict."""
    raise Unwind


class Run(RunOfTask):
    """One run: its tasks, its observers, what was found. See `RunOfTask` for the rest."""

    watched = over = alone = in_turns = scheduled = False
    note: Any = None      # see `RunOfTask`
    ask_in_turn: Any = None
    noting: Any = None    # what that is as long as whoever goes on is alone, or none waits his turn
    timeout = 5.0     # seconds of a standstill, after which what there is is judged
    left = False      # the end came when only daemon threads were left
    looked = False    # a role looked, or was at a step, which nobody records
    gave_up = False   # on a thread whose user code had the guard and did not come back

    def __init__(self, scenario: Scenario, observers: Iterable[Observer]) -> None:
        self.scenario = scenario
        self.recorder = Recorder()
        self.observers: list[Observer] = [self.recorder, *observers]
        self.tasks: list[Task] = []
        self._by_name: dict[str, Task] = {}
        for name in scenario.roles:
            task = self._by_name[name] = self.new_task(name)
            self.tasks.append(task)
        self._by_thread: dict[int, Task] = {}    # `id` of the thread, which a role started
        self._called_alike: dict[str, int] = {}  # the last number that one of that name was given
        self.unwinding = False
        self.running = len(self.tasks)
        self.timed = 0
        self.unfinished = len(self.tasks)     # how many have not ended
        self.findings: list[Finding] = []     # what went wrong so far, in order
        self.notes: list[str] = []            # sentences for the end of the report
        self.misnamed: dict[str, BaseException] = {}    # what asking locks for names raised
        self.outsiders = Outsiders(scenario.family, self.timeout)
        self._numbers: dict[str, dict[str, int]] = {}   # of threads that nobody named
        for observer in self.observers[1:]:    # the recorder need not know
            observer.attach(self)
        self.connect()

    def new_task(self, name: str, thread: threading.Thread | None = None) -> Task:
        """Return the task of a role, or of *thread*, which a role is about to start."""
        return Task(name, self, thread)

    def connect(self) -> None:
        """Look up whom to tell of what."""
        (self.on_acquire, self.on_contended, self.on_acquired, self.on_release, self.on_start,
         self.on_thread, self.on_end, self.on_idle) = hooks(self.observers)
        self.on_refused: tuple[Any, ...] = (self.recorder.lock_refused,)

    def tell_of_all(self) -> None:
        """See that from now on hooks are called for every operation, plain ones too."""
        self.note = self.noting = None

    # -- tasks ----------------------------------------------------------------------------

    def adopt(self, thread: threading.Thread, name: str) -> Task:
        """Make a thread that a role is about to start part of the run."""
        with guarded:
            task = self.new_task(self.unique(self._stable(name)), thread)
            parent = current()
            # What a thread that is no daemon starts is none unless somebody says so; but what
            # `start` made one hands that on, whoever wanted it.
            task.daemon = thread.daemon and (
                parent.daemon or not getattr(parent.thread, "daemon", False))
            self.tell(self.on_thread, parent, task)
            self.tasks.append(task)
            self._by_name[task.name] = self._by_thread[id(thread)] = task
            self.running += 1
            if self.in_turns:
                self.note = None    # as where one is woken: see unpark
            self.unfinished += 1
        return task

    def unique(self, name: str) -> str:
        """Return *name*, or with a number if a task is called so already."""
        alone, number = name, self._called_alike.get(name, 1)
        while alone in self._by_name:
            number += 1
            alone = f"{name}#{number}"
        self._called_alike[name] = number
        return alone

    def forget(self, task: Task) -> None:
        """Have *task*, which has ended, as none of this run. Called with the guard held."""
        self.tasks.remove(task)
        if self._by_name.get(task.name) is task:
            del self._by_name[task.name]
        self._by_thread.pop(id(task.thread), None)

    def _stable(self, name: str) -> str:
        """Return *name*; the interpreter's own are numbered by run: the same in every world."""
        numbered = _NUMBERED.match(name)
        if numbered is None:
            return name
        kind, number, rest = numbered.groups()
        numbers = self._numbers.setdefault(kind, {})
        return f"{kind}-{numbers.setdefault(number, len(numbers) + 1)}{rest}"

    def has_left_daemons(self) -> bool:
        """Say whether all that have not ended are daemon threads, for which no program waits."""
        return all(task.ended or task.daemon for task in self.tasks)    # one of the first lasts

    def is_left_waiting(self) -> bool:
        """Say whether who has not ended is a daemon thread, or an idle worker of a pool, and waits
        to be told something: that is how such threads are left, and no hang; take note of it.
        Called with the guard held.
        """
        left = [task for task in self.tasks if not task.ended]
        if not all(task.waits_on is not None and task.mode == WAIT and (
                task.daemon or thread_patch.is_idle_worker(task.thread)) for task in left):
            return False
        self.left = True
        self.notes += [f"{task.name}, {'a daemon thread' if task.daemon else 'a worker of a pool'},"
                       f" was left waiting for {task.waits_on}"
                       f"{task.chain and f' at {place(task.chain)}'}." for task in left]
        return True

    def started(self, task: Task) -> None:
        """See that the thread of *task*, which `adopt` made part of the run, runs."""

    def find(self, who: Any) -> Task | None:
        """Return the task of a role name, a thread or a task; None if it is not in this run."""
        if isinstance(who, str):
            return self._by_name.get(who)
        if id(who) in self._by_thread:
            return self._by_thread[id(who)]
        roles = self.tasks[:len(self.scenario.roles)] if not isinstance(who, Task) else self.tasks
        for task in roles:    # whose threads were there before
            if who is task or who is not None and who is task.thread:
                return task
        if not isinstance(who, threading.Thread) or who.ident is not None and not who.is_alive():
            return None
        return by_ident.get(who.ident or 0, OUTSIDE)

    def enders(self, lock: Any) -> list[Task]:
        """Return who was seen to end waits for *lock* and has not ended."""
        return []

    def why_nobody(self, lock: Any) -> str:
        """Say why nobody comes to end waits for *lock*; "" if it is not known who would."""
        return ""

    def leave_run(self, task: Task) -> None:
        """Take note that *task* has ended. Called with the guard held."""
        task.ended = True
        self.running -= 1
        self.unfinished -= 1
        if self.on_end:
            self.tell(self.on_end, task)
        thread_end = thread_patch.end_of(task.thread)
        if thread_end is not None:
            thread_end.finish()   # those who join the thread go on

    # -- what tasks tell ------------------------------------------------------------------

    def step(self, task: Task, on: str) -> None:
        """See *task* at a point of its own: see `step` of locks/task.py."""
        self.looked = True

    def look(self, task: Task, lock: Any) -> None:
        """See *task* look whether *lock* is free, or a wait is over, without asking for it."""
        self.looked = True

    def saw_operation(self) -> bool:
        """Say whether a role did anything that is ours: on a lock, a wait, a look, a step.

        The threads of a role that start and end are none.
        """
        if self.looked:
            return True
        for note in list(self.recorder.notes):
            if len(note) != EVENT or not isinstance(note[2], thread_patch.ThreadEnd):
                return True
        return False

    def tell(self, hooks: tuple[Any, ...], *what: Any) -> Any:
        """Call hooks that run with the guard held; one that raises must not keep it."""
        answer = None
        try:
            for hook in hooks:
                answer = hook(*what)
        except BaseException as exc:
            pass_signal(exc)
            if not self.unwinding:
                words, detail = told(exc)
                self.stop(self.finding(Verdict.ERROR, "observed", f"an observer {words}", detail))
        return answer

    def complain(self, text: str, exc: BaseException) -> None:
        """Take note of an error in what a scenario has us call. Called with the guard held."""
        words, detail = told(exc)
        self.findings.append(self.finding(Verdict.ERROR, "observed", f"{text} {words}", detail))

    def violated(self, text: str, detail: str = "", goes_on: bool = False,
                 verdict: Verdict = Verdict.VIOLATION) -> None:
        """Take note of a broken rule or invariant, and end the run unless it *goes_on*.

        Args:
            verdict: ERROR if it cannot be said whether it is broken.
        """
        with guarded:
            if not self.unwinding:
                note = self.findings.append if goes_on else self.stop
                note(self.finding(verdict, "observed", text, detail))

    def failed(self, task: Task, exc: BaseException) -> None:
        """Take note that *task* raised."""
        if self.unwinding or is_a(exc, ProcessExit) and exc.told:
            return
        if is_a(exc, ProcessExit):
            exc.told = True
        verdict, text, headline = Verdict.ERROR, f"{task.name} {raised(exc)}", ""
        if is_a(exc, LockMisuse):
            verdict, headline = Verdict.VIOLATION, type(exc).headline
            text = f"{task.name} {_BROKE}: {first_line(exc)}, at {raised_at(exc)}"
        detail = user_traceback(exc)    # it may ask *exc*: not with the guard held
        with guarded:
            self.findings.append(self.finding(verdict, "observed", text, detail,
                                              headline=headline))

    def release_held(self, task: Task) -> None:
        """Release what *task*, the caller's, holds at its end; if it just returned, blame it."""
        held = [hold for hold in task.held if self.unwinding or not hold[0].may_stay_held]
        if not held:
            return
        left = " and ".join(f"{lock} (taken at {place(chain)})" for lock, _, chain in held)
        text = f"{task.name} {_BROKE}: {HeldAtEnd.__name__}: it ended holding {left}"
        with guarded:
            blamed = any(finding.text.startswith(f"{task.name} ") for finding in self.findings)
            if not blamed and not self.unwinding:
                self.findings.append(self.finding(Verdict.VIOLATION, "observed", text,
                                                  headline=HeldAtEnd.headline))
        for lock, mode, _ in reversed(held):
            try:
                lock.release_hold(mode)
            except BaseException as exc:   # of an observer; the lock is held still
                self.failed(task, exc)
                self.tell_of_all()
                self.on_release = ()
                with suppress(BaseException):    # of a lock whose class has a release of its own
                    lock.release_hold(mode)

    def lose(self, task: Task, exc: BaseException) -> None:
        """End the run, and *task* with it: what we did for it in this thread raised *exc*."""
        raise NotImplementedError

    # -- findings; called with the guard held ---------------------------------------------

    def stop(self, finding: Finding) -> None:
        """Keep *finding*, and let go who waits for what it ends."""
        raise NotImplementedError

    def finding(self, verdict: Verdict, how: str, text: str, detail: str = "",
                deadlock: Deadlock = NOBODY, headline: str = "") -> Finding:
        """Return a finding, with where every task of the run stands now."""
        if verdict is Verdict.HANG:
            self.notes += filter(None, map(self._expected_in_vain, self.tasks))
        states = {task: freeze(task) for task in self.tasks}
        # It may lead through another run that uses the same locks.
        cycle, others, behind = [
            tuple([states.get(task) or freeze(task) for task in tasks]) if tasks else ()
            for tasks in deadlock]
        return Finding(verdict, how, text, cycle, tuple(states.values()), detail,
                       self.recorder.events, headline, others=others, behind=behind)

    def _expected_in_vain(self, task: Task) -> str:
        """Say that *task* waits for what is to be ended by somebody who is nowhere in this run."""
        lock = task.waits_on
        by = lock.expects(task) if isinstance(lock, Completion) else None
        if by is None or callable(by) or self.find(by) is not None:
            return ""
        near = get_close_matches(str(by), [other.name for other in self.tasks], 1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        return f"{task.name} waits for {lock} by {by!r}, and no role or thread is called so{hint}."

    def deadlock(self, found: Deadlock, how: str, detail: str = "") -> Finding:
        """Return the finding that the tasks of *found* wait for each other."""
        cycle = found.cycle
        first = next((cycle.index(task) for task in self.tasks if task in cycle), 0)
        cycle = cycle[first:] + cycle[:first]
        number = len(cycle) + len(found.others)
        text = f"{cycle[0].name} waits for itself" if number == 1 \
            else f"{number} threads wait for each other"
        if found.behind:
            text += f", and {len(found.behind)} more for them"
        return self.finding(Verdict.DEADLOCK, how, text, detail, found._replace(cycle=cycle))
