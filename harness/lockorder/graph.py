"""The order in which locks are taken: one more observer.

`LockOrder` keeps, for each role, a tree of the stacks of held locks that were seen: a node is one
lock on top of those below it. An event costs one look into the node it stands at. Only a stack that
was never seen before adds edges: from every lock held, not only the last, to the lock asked for,
with modes, role and places. A trylock or a request with a time limit cannot wait for ever, so it
makes no edge into its lock, but the lock it gets makes edges out.

Beside the edges it keeps what each role did in order, as operations of program.py, each critical
section once however often it is repeated: from this predict.py judges whether a cycle can happen.

Memory grows with the distinct stacks and sections, not with the events. A section with a wait in it,
or the end of one, is kept each time, up to a bound on the operations of a role.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from ..checker.program import Op
from ..locks.callsite import Chain, first_line
from ..locks.completion import Completion
from ..locks.errors import ScenarioError
from ..locks.lock_class import LockClass
from ..locks.mutex import Mutex
from ..locks.node import unique_name
from ..locks.task import EXCLUSIVE, NOT_NESTED, SHARED, Task, WAIT
from ..runtime.observer import Observer
from ..runtime.thread_patch import ThreadEnd
from .held_stacks import TAKE, UP, Act, Role, Stack


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
        exempt, novalidate: class -> why nothing is said about it, by us or by the kernel's validator.
        asks: (role, lock, mode) -> the first request of that kind.
        excused: reason -> how often it made an order inside a class legal.
    """

    def __init__(self) -> None:
        self.edges: dict[Any, Edge] = {}
        self.nestings: dict[Any, Nesting] = {}
        self.unchecked: list[Edge] = []        # to or from a lock of an exempt class
        self.kinds: dict[str, str] = {}
        self.classes: dict[str, str] = {}      # lock -> class
        self.labels: dict[str, str] = {}       # lock -> what reports call it, which others may share
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
        self._names: dict[Any, str] = {}
        self._taken: Counter[str] = Counter()
        self._declared: dict[str, LockClass] = {}

    def attach(self, run: Any) -> None:
        self._declared = {str(each): each for each in run.scenario.lock_classes}

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
        task.stack = self._role(task).root

    def lock_acquire(self, task: Task, lock: Any, mode: str) -> None:
        stack = task.stack
        if task.nested is not NOT_NESTED:
            node = stack.others.get((lock, mode, task.nested))
        else:
            node = stack.exclusive.get(lock) if mode is EXCLUSIVE else stack.others.get((lock, mode))
        if node is None:
            node = self._new(task, stack, lock, mode)
        if not node.asked and not task.trylock and not task.timed:
            self._ask(task, node)
        elif not node.tried and (task.trylock or task.timed):
            node.tried = True
            self.tried.add(node.name)
        task.asked = node

    def lock_acquired(self, task: Task, lock: Any, mode: str) -> None:
        node = task.asked
        if mode is WAIT:
            if not task.timed:    # else it might have gone on without: it puts nothing in order
                node.append(node.acquire)
                node.role.plain = False
            return
        node.append(node.take if task.trylock or task.timed else node.acquire)
        task.stack = node

    def lock_release(self, task: Task, lock: Any, mode: str) -> None:
        stack = task.stack
        if mode is WAIT:
            stack.append(Act(task.tells, self._name(lock)))
            stack.role.plain = False
            return
        if stack.lock is lock:
            parent = stack.parent
            stack.append(stack.release)
        else:
            parent = self._without(stack, lock, mode)
        task.stack = parent
        if parent.parent is None:
            parent.role.end_section()
        elif len(parent.role.acts) > parent.role.bound:
            parent.role.trim()

    def thread_start(self, task: Task, thread: Task) -> None:
        if _of_a_pool(thread.thread):
            self.pooled.add(thread.name)
        role = self._role(task)
        role.acts.append(Act("set", started(thread.name)))
        role.plain = False
        self._role(thread).acts.append(Act("wait", started(thread.name)))

    def lock_contended(self, task: Task, lock: Any, mode: str) -> None:
        role = self._role(task)
        role.waits = len(role.acts), task.asked.acquire

    def role_end(self, task: Task) -> None:
        role = self._role(task)
        if role.waits is not None and role.waits[0] == len(role.acts):
            role.acts.append(role.waits[1])   # it never got what it waited for last

    # -- what was never seen before -------------------------------------------------------

    def _role(self, task: Task) -> Role:
        role = self._roles.get(task.name)
        if role is None:
            role = self._roles[task.name] = Role(task.name)
        return role

    def _name(self, lock: Any) -> str:
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

    def _class_of(self, lock: Any) -> LockClass | None:
        """Return what was said about the class of *lock*."""
        lock_class = lock.lock_class
        told = self._declared.get(lock_class)
        return told if told is not None else \
            lock_class if isinstance(lock_class, LockClass) else None

    def _new(self, task: Task, below: Stack, lock: Any, mode: str) -> Stack:
        nested = task.nested[0]
        name = self._name(lock)
        lock_class = f"{lock.lock_class}/{nested}" if nested else _class_name(lock)
        node = Stack(below.role, lock, name, lock_class, mode, below)
        node.chain = task.chain
        if isinstance(lock, ThreadEnd):
            node.acquire = Act("join", lock.task.name)
            self.joins[name] = lock.task.name
        elif mode is WAIT:
            node.acquire = Act("wait", name)
        elif isinstance(lock, Mutex):
            self.kinds[name] = "mutex"
            node.acquire = Act("lock", name)
        else:
            self.kinds[name] = "rwsem"
            self.policies[name] = getattr(lock, "policy", "writer")
            node.acquire = Act("down_read" if mode is SHARED else "down_write", name)
        verb = node.acquire.op.op
        node.take = node.acquire
        if mode is not WAIT:
            node.take, node.release = Act(TAKE[verb], name), Act(UP[verb], name)
        if nested:
            below.others[lock, mode, task.nested] = node
        elif mode is EXCLUSIVE:
            below.exclusive[lock] = node
        else:
            below.others[lock, mode] = node
        return node

    def _ask(self, task: Task, node: Stack) -> None:
        """Add the edges into *node* from every lock below it."""
        node.asked = True
        node.chain = task.chain
        told = self._class_of(node.lock)
        own = node.lock.lock_class
        for each in (told, own):
            if isinstance(each, LockClass) and each.novalidate:
                self.novalidate[str(each)] = each.novalidate
        if told is not None and told.exempt:
            self.exempt[str(told)] = told.exempt
        held = list(node.parent.below())
        recursive = node.mode == SHARED and getattr(node.lock, "policy", "") == "reader"
        wanted = Place(node.name, node.lock_class, node.mode, node.chain)
        if not self._is_exempt(node.lock):
            self.asks.setdefault((node.role.name, node.name, node.mode), wanted)
        for hold in held:
            gates = tuple([(other.name, other.mode) for other in held if other is not hold])
            edge = Edge(node.role.name, Place(hold.name, hold.lock_class, hold.mode, hold.chain),
                        wanted, gates, recursive)
            if self._is_exempt(hold.lock) or self._is_exempt(node.lock):
                self.unchecked.append(edge)
                continue
            self.edges.setdefault((edge.role, hold.name, hold.lock_class, hold.mode, node.name,
                                   node.lock_class, node.mode, gates), edge)
            if str(hold.lock.lock_class) == str(node.lock.lock_class) and node.mode is not WAIT:
                self._nest(task, edge, hold, node, told)

    def _nest(self, task: Task, edge: Edge, hold: Stack, node: Stack,
              told: LockClass | None) -> None:
        """Judge a request for a lock of a class that is held."""
        if hold.lock_class != node.lock_class:
            self.excused[task.nested[1] or "a lock of another subclass is held"] += 1
            return
        if edge.recursive and hold.mode == SHARED:
            return
        refused = ""
        if told is not None and told.order is not None and hold.lock is not node.lock:
            if _in_order(told, hold.lock, node.lock):
                self.excused[told.why] += 1
                return
            refused = told.why
        self.nestings.setdefault((edge.role, hold.name, node.name), Nesting(edge, refused))

    def _is_exempt(self, lock: Any) -> bool:
        told = self._class_of(lock)
        return told is not None and bool(told.exempt)

    def _without(self, stack: Stack, lock: Any, mode: str) -> Stack:
        """Return *stack* after the latest hold of *lock* left its middle."""
        above: list[Stack] = []
        node: Stack | None = stack
        while node is not None and not (node.lock is lock and node.mode == mode):
            above.append(node)
            node = node.parent
        if node is None:
            return stack   # a release of what is not held: the lock itself refuses it
        stack.append(node.release)
        at = node.parent
        assert at is not None
        for hold in reversed(above):
            found = at.exclusive.get(hold.lock) if hold.mode is EXCLUSIVE \
                else at.others.get((hold.lock, hold.mode))
            if found is None or found.lock_class != hold.lock_class:
                found = Stack(hold.role, hold.lock, hold.name, hold.lock_class, hold.mode, at)
                found.chain, found.acquire = hold.chain, hold.acquire
                found.take, found.release = hold.take, hold.release
                if hold.mode is EXCLUSIVE:
                    at.exclusive.setdefault(hold.lock, found)
                else:
                    at.others.setdefault((hold.lock, hold.mode), found)
            at = found
        return at


def _class_name(lock: Any) -> str:
    """Return the class of *lock*. What ends of threads have in common is nothing."""
    return f"end of {lock.task.name}" if isinstance(lock, ThreadEnd) else str(lock.lock_class)


def _in_order(told: LockClass, held: Any, wanted: Any) -> bool:
    try:
        return bool(told.order(held, wanted))
    except Exception as exc:
        raise ScenarioError(f"the order of lock class {told} raised {first_line(exc)}") from exc


def _of_a_pool(thread: Any) -> bool:
    """Say whether *thread* is a worker of the standard library's pools."""
    target = getattr(thread, "_target", None)
    return getattr(target, "__module__", None) in ("concurrent.futures.thread", "multiprocessing.pool")


def started(thread: str) -> str:
    """Return the flag that says that *thread* was started."""
    return f"start of {thread}"
