"""Programs of lock operations: what the threads of a scenario do with locks, as data.

A `Program` says which operations each thread performs, in order; jumps go forward only, so that it
always comes to an end or to a standstill. It says nothing of how it is run: search.py searches its
states. It is checked when it is made, so that nobody who runs one has to.

The operations, with what each needs of its target:

- exclusive locks (`mutex`, `mutex_re`, `spin`, `cfg`): ``lock L``, ``unlock L``, ``trylock L n``
  (busy: skip the next n), ``lock_unless L "flag:n"`` (free: take it; else, flag set: skip the next
  n; else wait for either). Only `mutex_re` may be taken again by its holder; a holder that takes
  another kind again waits for ever.
- reader/writer locks (`rwsem`, `percpu_rwsem`): ``down_read``, ``up_read``, ``down_write``,
  ``up_write``; ``down_read_trylock L n``, ``down_write_trylock L n`` (busy: skip the next n).
- active references (`kernfs`): ``kn_get`` (once a drain has begun it fails and its thread ends),
  ``kn_put``, ``kn_drain`` (begins to drain, then waits for all references).
- `srcu`: ``srcu_read``, ``srcu_unread``, ``srcu_sync`` (waits for readers; none waits for it).
- flags: ``set F``, ``clear F``, ``wait F``, ``wait_clear F``, ``jump_if F n``, ``jump_unless F n``.
- threads: ``begin T`` (``-``: the own thread), ``join T`` (wait for its end), ``sync T`` (T has
  begun: wait for its end; else cancel it: it goes no further).
- of a recording only, a trylock that succeeded: ``take L``, ``take_read L``, ``take_write L``. They
  never wait. A thread at one that would fail has left the recorded path, of which alone the
  program tells.
- of a recording only, flags that count, as completions do: ``complete F`` lets one ``wait F`` pass,
  and is used up by it; after ``set F`` every one passes; ``clear F`` takes back both. ``pass F`` is
  a wait with a time limit that succeeded: to it applies what is said of ``take``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ..locks.errors import ScenarioError
from ..locks.one_line import one_line
from ..locks.operations import ONLY_RECORDED, OPERATIONS, Operation, names
from ..locks.policies import POLICIES

MUTEXES = ("mutex", "mutex_re", "spin", "cfg")
SEMAPHORES = ("rwsem", "percpu_rwsem", "percpu_ref")    # the last is an older word for the second
KINDS = (*MUTEXES, *SEMAPHORES, "kernfs", "srcu")

# operation -> the kinds of locks it goes with
LOCK_OPS: dict[str, tuple[str, ...]] = {
    name: kinds for kinds in (MUTEXES, SEMAPHORES, ("kernfs",), ("srcu",))
    for name in names(of=kinds[0])}
COUNTING = names(of="completion")
FLAG_OPS, THREAD_OPS = names(of="flag") | COUNTING, names(of="thread")
SKIPPING = names(busy="skips")
OPS = frozenset((*LOCK_OPS, *FLAG_OPS, *THREAD_OPS))


class Op(NamedTuple):
    """One operation: its name, the lock, flag or thread it is about, and its argument or None."""

    op: str
    target: str
    arg: int | str | None = None

    @property
    def operation(self) -> Operation:
        """What there is to know of it, whatever it is about."""
        return OPERATIONS[self.op]

    @property
    def skip(self) -> int:
        """How many operations it may skip."""
        if self.op == "lock_unless":
            return int(str(self.arg).rpartition(":")[2])
        return self.arg if isinstance(self.arg, int) else 0

    @property
    def flag(self) -> str | None:
        """The flag it sets, clears, or looks at."""
        if self.op == "lock_unless":
            return str(self.arg).rpartition(":")[0]
        return self.target if self.op in FLAG_OPS else None

    def __str__(self) -> str:
        return " ".join(str(part) for part in self if part is not None)


@dataclass(frozen=True)
class Program:
    """What each thread does, checked.

    Args:
        locks: name -> kind, one of `KINDS`. A lock that is not named here is of the kind its
            operations need: mutex, rwsem, kernfs or srcu. Afterwards it names every lock.
        threads: name -> its operations, in order: `Op`, or any sequence that makes one.
        flags: those set at the start.
        policy: of its reader/writer locks, as for `RWSemaphore`.
        policies: lock -> its policy, where that is another.
        passes: flag that counts -> how many waits would pass from the start.

    Raises:
        ScenarioError: it makes no sense; the text says where.
    """

    locks: Mapping[str, str]
    threads: Mapping[str, tuple[Op, ...]]
    flags: frozenset[str] = field(default_factory=frozenset)
    policy: str = "writer"
    policies: Mapping[str, str] = field(default_factory=dict)
    passes: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for policy in (self.policy, *self.policies.values()):
            if policy not in POLICIES:
                raise ScenarioError(f"unknown policy {policy!r}; one of {', '.join(POLICIES)}")
        if not isinstance(self.threads, Mapping) or not self.threads:
            raise ScenarioError("a program needs threads, name -> operations, not "
                                f"{self.threads!r}")
        threads = {name: tuple(_ops(name, ops)) for name, ops in self.threads.items()}
        if not isinstance(self.locks, Mapping):
            raise ScenarioError(f"locks are a mapping from name to kind, not {self.locks!r}")
        locks = dict(self.locks)
        for name, kind in locks.items():
            if kind not in KINDS:
                raise ScenarioError(f"lock {name} is of unknown kind {kind!r}; one of "
                                    f"{', '.join(KINDS)}")
        for thread, ops in threads.items():
            for index, op in enumerate(ops):
                where, left = f"thread {thread}, operation {index}", len(ops) - index - 1
                _check(where, op, left, locks, threads)
        object.__setattr__(self, "threads", threads)
        object.__setattr__(self, "locks", locks)
        object.__setattr__(self, "flags", frozenset(self.flags))

    def __repr__(self) -> str:
        return one_line(self, f"of {', '.join(map(str, self.threads))}")

    def policy_of(self, lock: str) -> str:
        """Return the policy of a reader/writer lock."""
        return self.policies.get(lock, self.policy)


def _ops(thread: str, ops: object) -> Iterator[Op]:
    if isinstance(ops, str) or not isinstance(ops, Iterable):
        raise ScenarioError(f"thread {thread}: expected a list of operations, got {ops!r}")
    for index, op in enumerate(ops):
        if isinstance(op, str) or not isinstance(op, Iterable):
            raise ScenarioError(f"thread {thread}, operation {index}: {op!r} is no operation")
        parts = tuple(op)
        if not 2 <= len(parts) <= 3 or not all(isinstance(part, str) for part in parts[:2]):
            raise ScenarioError(f"thread {thread}, operation {index}: {list(parts)!r} is not "
                                f"[operation, target] or [operation, target, argument]")
        yield Op(*parts)


def _check(where: str, op: Op, left: int, locks: dict[str, str],
           threads: Mapping[str, object]) -> None:
    """Check one operation, which *left* follow; take note of the kind of a lock not declared."""
    if op.op not in OPS:
        raise unknown_operation(where, op.op)
    if not op.target:
        raise ScenarioError(f"{where}: {op.op} of what?")
    if op.op in LOCK_OPS:
        kinds = LOCK_OPS[op.op]
        kind = locks.setdefault(op.target, kinds[0])
        if kind not in kinds:
            raise ScenarioError(f"{where}: {op.op} does not go with {op.target}, a lock of kind "
                                f"{kind}")
    elif op.op in THREAD_OPS and op.target not in threads and op[:2] != ("begin", "-"):
        raise ScenarioError(f"{where}: {op.op} of {op.target!r}, which is no thread")
    if op.op == "lock_unless":
        flag, _, number = str(op.arg).rpartition(":")
        if not flag or not (number.isascii() and number.isdigit()):
            raise ScenarioError(f"{where}: lock_unless needs \"flag:n\", not {op.arg!r}")
    elif op.op in SKIPPING:
        if type(op.arg) is not int or op.arg < 0:
            raise ScenarioError(f"{where}: {op.op} needs how many operations to skip, not "
                                f"{op.arg!r}")
    elif op.arg is not None:
        raise ScenarioError(f"{where}: {op.op} takes no argument, but has {op.arg!r}")
    if op.skip > left:
        raise ScenarioError(f"{where}: {op.op} skips {op.skip} operations where {left} are left")


def unknown_operation(where: str, name: str) -> ScenarioError:
    """Return the refusal of an operation that nobody can write, with those that one can."""
    return ScenarioError(f"{where}: unknown operation {name!r}; one of "
                         f"{', '.join(sorted(OPS.difference(ONLY_RECORDED)))}")
