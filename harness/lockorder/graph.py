"""The order in which locks are taken: one more observer.

`LockOrder` keeps, for each role, a tree of the stacks of held locks that were seen: a node is one
lock on top of those below it. An event costs one look into the node it stands at. Only a stack that
was never seen before adds edges: from every lock held, not only the last, to the lock asked for,
with modes, role and places. A trylock or a request with a time limit cannot wait for ever, so it
makes no edge into its lock, but the lock it gets makes edges out.

Beside the edges it keeps what each role did in order, as operations of program.py, each critical
section once however often it is repeated: from this feasibility.py judges whether a cycle can
happen.

Memory grows with the distinct stacks and sections, not with the events. A section with a wait in
it, or the end of one, is kept each time, up to a bound on the operations of a role.

The file is long because what an event costs and what it leaves must be read together: each hook has
a short way, for what was seen before, which rests on what the long way below it kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..checker.program import Op
from ..exploration.extract_program import started
from ..locks.exclusive import Exclusive
from ..locks.node import LockClass, Node, unique_name
from ..locks.one_line import one_line
from ..locks.task import EXCLUSIVE, NOT_NESTED, SHARED, WAIT, Task
from ..locks.operations import OPERATIONS, TAKEN
from ..runtime.observer import Observer
from ..runtime.thread_patch import ThreadEnd
from .held_stacks import UNTOLD, Act, Held, NOTHING, Place, Position, Role, Stack, in_order
from .same_lock import LocksOfRun
from .signals import passes_now

_POOLS = "concurrent.futures.thread", "multiprocessing.pool"    # what their workers run is in these


class Leg(NamedTuple):
    """*role* held `held` when it asked for `wanted`.

    `recursive`: the request was for a read that no queued writer keeps out. `brings`: what is
    `held` is a wait that the role is to end, which it does after it had `wanted`. `among`: all that
    it held then, and which of it is `held`.
    """

    role: str
    held: Place
    wanted: Place
    recursive: bool = False
    brings: bool = False
    among: tuple[Held, Held] | None = None

    @property
    def gates(self) -> tuple[tuple[str, str], ...]:
        """The other locks it held then, with their modes, the last first."""
        if self.among is None:
            return ()
        last, this = self.among
        return tuple([(held.name, held.mode) for held in last if held is not this])

    @property
    def kind(self) -> tuple[str, bool, str, bool]:
        """What makes it an edge of the graph of classes."""
        return (self.held.lock_class, self.held.mode == SHARED, self.wanted.lock_class,
                self.recursive)

    def __repr__(self) -> str:
        return one_line(self, f"{self.role} {'is to end' if self.brings else 'holds'} "
                              f"{self.held.name} and asks for {self.wanted.name}")


class Recorded:
    """What was recorded of the order of locks: in one run, or in several, put together.

    Attributes:
        edges: a leg of each kind, the first that was seen.
        nestings: requests for a lock of a class that is held, unless that was said to be legal.
        refused: class -> the reason of its order, if that was broken.
        unchecked: legs to or from a lock of an exempt class.
        asks: (role, lock, mode) -> the first request of that kind.
        kinds, classes, policies: of each lock, by name; kinds as program.py has them.
        labels: lock -> what reports call it, not it alone.
        loose: locks that are not known to be the same as any of another run.
        joins: wait for the end of a thread -> the thread.
        signals: locks that a thread released which did not have them: see signals.py.
        done: wait -> how many would have passed from the start.
        pooled: threads that take their work from a queue.
        choosing: roles that asked with a way out: what they do next may depend on the answer.
        declared: the classes of which the scenario says something.
        exempt, novalidate: class -> why nothing is said about it, by us or by the validator of the
            kernel.
        excused: reason -> how often it made an order inside a class legal.
    """

    def __init__(self) -> None:
        self.edges: dict[tuple[object, ...], Leg] = {}
        self.nestings: dict[tuple[str, str, str], Leg] = {}
        self.refused: dict[str, str] = {}
        self.unchecked: list[Leg] = []
        self.asks: dict[tuple[str, str, str], Place] = {}
        self.kinds: dict[str, str] = {}
        self.classes: dict[str, str] = {}
        self.policies: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.loose: set[str] = set()
        self.joins: dict[str, str] = {}
        self.signals: set[str] = set()
        self.done: dict[str, float] = {}
        self.pooled: set[str] = set()
        self.choosing: set[str] = set()
        self.declared: set[str] = set()
        self.exempt: dict[str, str] = {}
        self.novalidate: dict[str, str] = {}
        self.excused: Counter[str] = Counter()


class LockOrder(Recorded, Observer):
    """Record the lock order of one run.

    What was seen before, `Mutex` takes down by itself: see `Position`.

    Args:
        earlier: of other runs of the scenario: see `LocksOfRun`.

    Attributes:
        tried: locks that were asked for with a way out.
    """

    spares = follows = True

    def __init__(self, earlier: Sequence[LockOrder] = ()) -> None:
        super().__init__()
        self.tried: set[str] = set()
        self._locks: LocksOfRun = LocksOfRun([order._locks for order in earlier])
        self.loose = self._locks.loose
        self._roles: dict[str, Role] = {}
        self._positions: dict[Task, Position] = {}
        self._declared: dict[str, LockClass] = {}
        self._rationed = True    # somebody else says how much a task does untold

    def attach(self, run: Any) -> None:
        self._declared = {str(declared): declared for declared in run.scenario.lock_classes}
        self.declared = set(self._declared)
        self._rationed = getattr(run, "rationed", True)

    @property
    def operations(self) -> dict[str, tuple[Op, ...]]:
        """What each role did, each section once; of a role that was cut, whole sections only."""
        return {name: tuple([act.op for act in role.acts[:role.began if role.cut else None]])
                for name, role in self._roles.items()}

    @property
    def cut(self) -> list[str]:
        """The roles of which more was done than is kept."""
        return [name for name, role in self._roles.items() if role.cut]

    # -- the six events -------------------------------------------------------------------

    def role_start(self, task: Task) -> None:
        root = self._role(task).root
        self._positions[task] = task.seen = Position(root, root)

    def lock_acquire(self, task: Task, lock: Node, mode: str) -> None:
        position = self._positions[task]
        if position.lost:
            position.give_up_lost()
        nested = task.nested
        key = lock if mode is EXCLUSIVE and nested is NOT_NESTED else (lock, mode, nested)
        stack = position.stack if position.broken is None else position.mended()
        try:
            node = stack.above[key]
        except KeyError:
            node = self._new(task, stack, lock, mode, key)
        if task.trylock or task.timed:
            if not node.tried:
                node.tried = True
                self.tried.add(unique_name(lock))
                self.choosing.add(node.role.name)
        elif not node.asked:
            self._ask(task, node)
        position.asked = node

    def lock_acquired(self, task: Task, lock: Node, mode: str) -> None:
        position = self._positions[task]
        node = position.asked
        if mode is WAIT:
            # With a time limit it might have gone on without: that puts nothing in order.
            act = node.take if task.timed else node.acquire
            if act is not NOTHING:
                node.append(act)
                node.role.plain = False
            return
        node.append(node.take if task.trylock or task.timed else node.acquire)
        position.stack = node
        if len(node.role.acts) > node.role.bound:
            node.role.trim()
        if not self._rationed:
            task.enough = task.untold + UNTOLD

    def lock_release(self, task: Task, lock: Node, mode: str) -> None:
        position = self._positions[task]
        if position.lost:
            position.give_up_lost()
        stack = position.stack
        if mode is WAIT:
            act = Act(Op(task.tells, self._name(lock)))
            for _ in range(task.times):
                stack.append(act)
            stack.role.plain = False
            if isinstance(lock, Exclusive):
                self._signal(lock)
            return
        if stack.lock is lock:
            parent = stack.parent
            stack.append(stack.release)
        else:
            position.release_below(lock, mode)
            return
        position.stack = parent
        if parent.end is not None:
            parent.end()

    def thread_start(self, task: Task, thread: Task) -> None:
        if getattr(getattr(thread.thread, "_target", None), "__module__", None) in _POOLS:
            self.pooled.add(thread.name)
        role = self._role(task)
        role.acts.append(Act(Op("set", started(thread.name))))
        role.plain = False
        self._role(thread).acts.append(Act(Op("wait", started(thread.name))))

    def lock_contended(self, task: Task, lock: Node, mode: str) -> None:
        if task.timed:
            return    # it may give up, and was not waiting for it at its end then
        role = self._role(task)
        role.waits = len(role.acts), self._positions[task].asked.acquire

    def role_end(self, task: Task) -> None:
        self._positions.pop(task, None)
        task.seen = None
        role = self._role(task)
        if role.waits is not None and role.waits[0] == len(role.acts):
            role.acts.append(role.waits[1])   # it never got what it waited for last

    def _signal(self, lock: Node) -> None:
        """See a thread release *lock* that did not have it, or after one did."""
        self.signals.add(self._name(lock))
        for position in list(self._positions.values()):
            position.lose(lock)

    # -- what was never seen before -------------------------------------------------------

    def _role(self, task: Task) -> Role:
        role = self._roles.get(task.name)
        if role is None:
            role = self._roles[task.name] = Role(task.name)
        return role

    def _name(self, lock: Node) -> str:
        name = self._locks.name(lock)
        if name not in self.labels:
            self.labels[name] = str(lock)
            self.classes[name] = _class_name(lock)
            if passes := passes_now(lock):
                self.done[name] = passes
        return name

    def _is_classed(self, lock: Node) -> bool:
        """Say whether somebody said what kind of lock it is, so that others are of it too."""
        return lock.is_classed or lock.lock_class in self._declared

    def _class_of(self, lock: Node) -> LockClass:
        """Return what was said about the class of *lock*: by the scenario, else with the lock."""
        own = lock.lock_class
        return self._declared.get(own, own if isinstance(own, LockClass) else LockClass(own))

    def _new(self, task: Task, below: Stack, lock: Node, mode: str, key: object) -> Stack:
        nested = task.nested[0]
        name = self._name(lock)
        lock_class = f"{lock.lock_class}/{nested}" if nested else _class_name(lock)
        if not self._is_classed(lock):
            lock_class = name    # a class of its own
        take = release = NOTHING
        if isinstance(lock, ThreadEnd):
            acquire = Act(Op("join", lock.task.name))
            self.joins[name] = lock.task.name
        elif mode is WAIT:
            acquire, take = Act(Op("wait", name)), Act(Op("pass", name))
        else:
            verb = "lock" if isinstance(lock, Exclusive) else \
                "down_read" if mode is SHARED else "down_write"
            self.kinds[name] = OPERATIONS[verb].of
            if verb != "lock":
                self.policies[name] = getattr(lock, "policy", "writer")
            acquire, take, release = [Act(Op(operation, name)) for operation in (
                verb, TAKEN[verb], OPERATIONS[verb].counterpart)]
        place = Place(name, lock_class, mode, task.chain)
        node = below.above[key] = Stack(
            below.role, below.append, lock, place, self._class_of(lock),
            Held(name, mode, below.held), key, below, acquire, take, release)
        return node

    def _ask(self, task: Task, node: Stack) -> None:
        """Add the edges into *node* from every lock below it."""
        node.asked = True
        wanted = node.place = node.place._replace(chain=task.chain)
        known = node.known
        for said in (known, node.lock.lock_class):
            if isinstance(said, LockClass) and said.novalidate:
                self.novalidate[str(said)] = said.novalidate
        if known.exempt:
            self.exempt[str(known)] = known.exempt
        else:
            self.asks.setdefault((node.role.name, wanted.name, wanted.mode), wanted)
        recursive = wanted.mode == SHARED and getattr(node.lock, "policy", "") == "reader"
        stack = node.parent
        for hold in stack.below():
            leg = Leg(node.role.name, hold.place, wanted, recursive, False,
                      (stack.held, hold.held))
            if known.exempt or hold.known.exempt:
                self.unchecked.append(leg)
                continue
            # What else is held is the same if all that is held is.
            self.edges.setdefault((leg.role, hold.place[:3], wanted[:3], stack.held.key), leg)
            if hold.known == known and wanted.mode is not WAIT and (
                    hold.lock is node.lock or self._is_classed(node.lock)):
                self._nest(task, leg, hold.lock, node.lock, known)

    def _nest(self, task: Task, leg: Leg, held: Node, wanted: Node, known: LockClass) -> None:
        """Judge a request for a lock of a class that is held."""
        if leg.held.lock_class != leg.wanted.lock_class:
            self.excused[task.nested[1] or "a lock of another subclass is held"] += 1
        elif not leg.recursive or leg.held.mode != SHARED:
            ordered = known.order is not None and held is not wanted
            if ordered and in_order(task, known, held, wanted):
                self.excused[known.why] += 1
                return
            self.nestings.setdefault((leg.role, leg.held.name, leg.wanted.name), leg)
            if ordered:
                self.refused[self.classes[leg.held.name]] = known.why


def _class_name(lock: Node) -> str:
    """Return the class of *lock*. What ends of threads have in common is nothing."""
    if isinstance(lock, ThreadEnd):
        return f"end of {lock.task.name}"
    return str(lock.lock_class) if lock.is_classed else lock.lock_class
