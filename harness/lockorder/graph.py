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
from typing import Any, NamedTuple

from ..checker.program import Op
from ..exploration.extract_program import started
from ..locks.callsite import Chain, first_line
from ..locks.completion import Completion
from ..locks.errors import ScenarioError
from ..locks.mutex import Mutex
from ..locks.node import LockClass, Node, unique_name
from ..locks.task import EXCLUSIVE, NOT_NESTED, SHARED, WAIT, Task
from ..locks.operations import OPERATIONS, TAKEN
from ..runtime.observer import Observer
from ..runtime.thread_patch import ThreadEnd
from .held_stacks import Act, Position, Role, Stack


class Place(NamedTuple):
    """A lock as one role held it or asked for it."""

    name: str
    lock_class: str       # with /n for a subclass, as lockdep writes it
    mode: str
    chain: Chain


class Edge(NamedTuple):
    """*role* held `held` when it asked for `wanted`.

    `gates`: the other locks it held then, with their modes. `recursive`: the request was for a read
    that no queued writer keeps out.
    """

    role: str
    held: Place
    wanted: Place
    gates: tuple[tuple[str, str], ...]
    recursive: bool = False


class Nesting(NamedTuple):
    """Two locks of one class, one inside the other, and nothing said that this is legal."""

    edge: Edge
    refused: str     # "" or the reason of the order that was broken


class LockOrder(Observer):
    """Record the lock order of one run.

    Attributes:
        edges: one of each kind, the first that was seen.
        nestings: requests for a lock of a class that is held, unless that was said to be legal.
        operations: role -> what it did.
        kinds, classes, policies, labels: of each lock, by name; kinds as program.py has them.
        joins: wait for the end of a thread -> the thread.
        exempt, novalidate: class -> why nothing is said about it, by us or by the validator of the
            kernel.
        asks: (role, lock, mode) -> the first request of that kind.
        excused: reason -> how often it made an order inside a class legal.
    """

    def __init__(self) -> None:
        self.edges: dict[tuple[object, ...], Edge] = {}
        self.nestings: dict[tuple[str, str, str], Nesting] = {}
        self.unchecked: list[Edge] = []        # to or from a lock of an exempt class
        self.kinds: dict[str, str] = {}
        self.classes: dict[str, str] = {}      # lock -> class
        self.labels: dict[str, str] = {}       # lock -> what reports call it, not it alone
        self.exempt: dict[str, str] = {}
        self.novalidate: dict[str, str] = {}
        self.excused: Counter[str] = Counter()
        self.asks: dict[tuple[str, str, str], Place] = {}   # (role, lock, mode): the first request
        self.joins: dict[str, str] = {}        # wait for the end of a thread -> the thread
        self.pooled: set[str] = set()          # threads that take their work from a queue
        self.done: dict[str, float] = {}       # wait -> how many would have passed from the start
        self.tried: set[str] = set()           # locks that were asked for with a way out
        self.policies: dict[str, str] = {}     # semaphore -> policy
        self._roles: dict[str, Role] = {}
        self._positions: dict[Task, Position] = {}
        self._names: dict[Node, str] = {}
        self._taken: Counter[str] = Counter()
        self._declared: dict[str, LockClass] = {}

    def attach(self, run: Any) -> None:
        self._declared = {str(declared): declared for declared in run.scenario.lock_classes}

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
        self._positions[task] = Position(self._role(task).root)

    def lock_acquire(self, task: Task, lock: Node, mode: str) -> None:
        position = self._positions[task]
        nested = task.nested
        key = lock if mode is EXCLUSIVE and nested is NOT_NESTED else (lock, mode, nested)
        try:
            node = position.stack.above[key]
        except KeyError:
            node = self._new(task, position.stack, lock, mode, key)
        if task.trylock or task.timed:
            if not node.tried:
                node.tried = True
                self.tried.add(node.name)
        elif not node.asked:
            self._ask(task, node)
        position.asked = node

    def lock_acquired(self, task: Task, lock: Node, mode: str) -> None:
        position = self._positions[task]
        node = position.asked
        if mode is WAIT:
            if not task.timed:    # else it might have gone on without: it puts nothing in order
                node.append(node.acquire)
                node.role.plain = False
            return
        node.append(node.take if task.trylock or task.timed else node.acquire)
        position.stack = node

    def lock_release(self, task: Task, lock: Node, mode: str) -> None:
        position = self._positions[task]
        stack = position.stack
        if mode is WAIT:
            stack.append(Act(task.tells, self._name(lock)))
            stack.role.plain = False
            return
        if stack.lock is lock:
            parent = stack.parent
            stack.append(stack.release)
        else:
            parent = self._without(stack, lock, mode)
        position.stack = parent
        role = parent.role
        if parent is role.root:
            role.end_section()
        elif len(role.acts) > role.bound:
            role.trim()

    def thread_start(self, task: Task, thread: Task) -> None:
        if _of_a_pool(thread.thread):
            self.pooled.add(thread.name)
        role = self._role(task)
        role.acts.append(Act("set", started(thread.name)))
        role.plain = False
        self._role(thread).acts.append(Act("wait", started(thread.name)))

    def lock_contended(self, task: Task, lock: Node, mode: str) -> None:
        role = self._role(task)
        role.waits = len(role.acts), self._positions[task].asked.acquire

    def role_end(self, task: Task) -> None:
        self._positions.pop(task, None)
        role = self._role(task)
        if role.waits is not None and role.waits[0] == len(role.acts):
            role.acts.append(role.waits[1])   # it never got what it waited for last

    # -- what was never seen before -------------------------------------------------------

    def _role(self, task: Task) -> Role:
        role = self._roles.get(task.name)
        if role is None:
            role = self._roles[task.name] = Role(task.name)
        return role

    def _name(self, lock: Node) -> str:
        name = self._names.get(lock)
        if name is None:
            name = unique_name(lock)
            self._taken[name] += 1
            if self._taken[name] > 1:   # made by different threads, say
                name = f"{name}#{self._taken[name]}"
            self._names[lock] = name
            self.labels[name] = str(lock)
            self.classes[name] = _class_name(lock)
            if isinstance(lock, Completion) and lock.passes:
                self.done[name] = lock.passes
        return name

    def _class_of(self, lock: Node) -> LockClass | None:
        """Return what was said about the class of *lock*: by the scenario, else with the lock."""
        own = lock.lock_class
        return self._declared.get(own, own if isinstance(own, LockClass) else None)

    def _new(self, task: Task, below: Stack, lock: Node, mode: str, key: object) -> Stack:
        nested = task.nested[0]
        name = self._name(lock)
        lock_class = f"{lock.lock_class}/{nested}" if nested else _class_name(lock)
        node = below.above[key] = Stack(below.role, lock, name, lock_class, mode, key, below)
        node.chain = task.chain
        if isinstance(lock, ThreadEnd):
            node.acquire = Act("join", lock.task.name)
            self.joins[name] = lock.task.name
        elif mode is WAIT:
            node.acquire = Act("wait", name)
        else:
            verb = "lock" if isinstance(lock, Mutex) else \
                "down_read" if mode is SHARED else "down_write"
            self.kinds[name] = OPERATIONS[verb].of
            if verb != "lock":
                self.policies[name] = getattr(lock, "policy", "writer")
            node.acquire, node.take = Act(verb, name), Act(TAKEN[verb], name)
            node.release = Act(OPERATIONS[verb].counterpart, name)
        return node

    def _ask(self, task: Task, node: Stack) -> None:
        """Add the edges into *node* from every lock below it."""
        node.asked = True
        node.chain = task.chain
        known = self._class_of(node.lock)
        for said in (known, node.lock.lock_class):
            if isinstance(said, LockClass) and said.novalidate:
                self.novalidate[str(said)] = said.novalidate
        if known is not None and known.exempt:
            self.exempt[str(known)] = known.exempt
        _, *held = node.below()
        recursive = node.mode == SHARED and getattr(node.lock, "policy", "") == "reader"
        wanted = _place(node)
        if not self._is_exempt(node.lock):
            self.asks.setdefault((node.role.name, node.name, node.mode), wanted)
        for hold in held:
            gates = tuple([(other.name, other.mode) for other in held if other is not hold])
            edge = Edge(node.role.name, _place(hold), wanted, gates, recursive)
            if self._is_exempt(hold.lock) or self._is_exempt(node.lock):
                self.unchecked.append(edge)
                continue
            self.edges.setdefault((edge.role, hold.name, hold.lock_class, hold.mode, node.name,
                                   node.lock_class, node.mode, gates), edge)
            if str(hold.lock.lock_class) == str(node.lock.lock_class) and node.mode is not WAIT:
                self._nest(task, edge, hold, node, known)

    def _nest(self, task: Task, edge: Edge, hold: Stack, node: Stack,
              known: LockClass | None) -> None:
        """Judge a request for a lock of a class that is held."""
        if hold.lock_class != node.lock_class:
            self.excused[task.nested[1] or "a lock of another subclass is held"] += 1
            return
        if edge.recursive and hold.mode == SHARED:
            return
        refused = ""
        if known is not None and known.order is not None and hold.lock is not node.lock:
            if _in_order(known, hold.lock, node.lock):
                self.excused[known.why] += 1
                return
            refused = known.why
        self.nestings.setdefault((edge.role, hold.name, node.name), Nesting(edge, refused))

    def _is_exempt(self, lock: Node) -> bool:
        known = self._class_of(lock)
        return known is not None and bool(known.exempt)

    def _without(self, stack: Stack, lock: Node, mode: str) -> Stack:
        """Return *stack* after the latest hold of *lock* left its middle."""
        above: list[Stack] = []
        node = stack
        while not (node.lock is lock and node.mode == mode):
            if node.parent is node:
                return stack   # a release of what is not held: the lock itself refuses it
            above.append(node)
            node = node.parent
        stack.append(node.release)
        at = node.parent
        for hold in reversed(above):
            moved = at.above.get(hold.key)
            if moved is None:
                moved = at.above[hold.key] = Stack(hold.role, hold.lock, hold.name,
                                                   hold.lock_class, hold.mode, hold.key, at)
                moved.chain, moved.acquire = hold.chain, hold.acquire
                moved.take, moved.release = hold.take, hold.release
            at = moved
        return at


def _place(node: Stack) -> Place:
    return Place(node.name, node.lock_class, node.mode, node.chain)


def _class_name(lock: Node) -> str:
    """Return the class of *lock*. What ends of threads have in common is nothing."""
    return f"end of {lock.task.name}" if isinstance(lock, ThreadEnd) else str(lock.lock_class)


def _in_order(known: LockClass, held: Node, wanted: Node) -> bool:
    try:
        return bool(known.order(held, wanted))
    except Exception as exc:
        raise ScenarioError(f"the order of lock class {known} raised {first_line(exc)}") from exc


def _of_a_pool(thread: object) -> bool:
    """Say whether *thread* is a worker of the standard library's pools."""
    module = getattr(getattr(thread, "_target", None), "__module__", None)
    return module in ("concurrent.futures.thread", "multiprocessing.pool")
