"""The operations on locks, flags and threads: one table, for all who write down what threads do.

Lock programs are made of them (checker/program.py says what each means), and so is what was seen of
real threads. Whoever needs a set of operations takes it from here by what they do (`names`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .task import EXCLUSIVE, SHARED, WAIT

Of = Literal["mutex", "rwsem", "kernfs", "srcu", "flag", "completion", "thread"]
Does = Literal["take", "release", "await", "tell", "look"]
Busy = Literal["", "waits", "queues", "skips", "escapes", "strays"]


class Operation(NamedTuple):
    """What there is to know of an operation.

    Attributes:
        of: what it is about. Completions are of recordings only: flags that count.
        mode: in which it takes or releases a lock, or waits.
        busy: what becomes of it if it cannot go on at once: it waits; it queues, which others see,
            and waits; it goes on some operations further; it waits, but a flag lets it go too; it
            has left the recorded path, of which alone a program tells.
        counterpart: what releases what it takes; the wait that it tells.
    """

    name: str
    of: Of
    does: Does
    mode: str = ""
    busy: Busy = ""
    counterpart: str = ""


OPERATIONS = {operation.name: operation for operation in (
    Operation("lock", "mutex", "take", EXCLUSIVE, "waits", "unlock"),
    Operation("trylock", "mutex", "take", EXCLUSIVE, "skips", "unlock"),
    Operation("lock_unless", "mutex", "take", EXCLUSIVE, "escapes", "unlock"),
    Operation("take", "mutex", "take", EXCLUSIVE, "strays", "unlock"),
    Operation("unlock", "mutex", "release", EXCLUSIVE),
    Operation("down_read", "rwsem", "take", SHARED, "queues", "up_read"),
    Operation("down_read_trylock", "rwsem", "take", SHARED, "skips", "up_read"),
    Operation("take_read", "rwsem", "take", SHARED, "strays", "up_read"),
    Operation("up_read", "rwsem", "release", SHARED),
    Operation("down_write", "rwsem", "take", EXCLUSIVE, "queues", "up_write"),
    Operation("down_write_trylock", "rwsem", "take", EXCLUSIVE, "skips", "up_write"),
    Operation("take_write", "rwsem", "take", EXCLUSIVE, "strays", "up_write"),
    Operation("up_write", "rwsem", "release", EXCLUSIVE),
    Operation("kn_get", "kernfs", "take", SHARED, "", "kn_put"),
    Operation("kn_put", "kernfs", "release", SHARED),
    Operation("kn_drain", "kernfs", "await", WAIT, "queues"),
    Operation("srcu_read", "srcu", "take", SHARED, "", "srcu_unread"),
    Operation("srcu_unread", "srcu", "release", SHARED),
    Operation("srcu_sync", "srcu", "await", WAIT, "waits"),
    Operation("set", "flag", "tell", counterpart="wait"),
    Operation("clear", "flag", "tell", counterpart="wait_clear"),
    Operation("wait", "flag", "await", WAIT, "waits"),
    Operation("wait_clear", "flag", "await", WAIT, "waits"),
    Operation("jump_if", "flag", "look", "", "skips"),
    Operation("jump_unless", "flag", "look", "", "skips"),
    Operation("complete", "completion", "tell", counterpart="wait"),
    Operation("pass", "completion", "await", WAIT, "strays"),
    Operation("begin", "thread", "tell"),
    Operation("join", "thread", "await", WAIT, "waits"),
    Operation("sync", "thread", "await", WAIT, "waits"),
)}


def names(**having: str) -> frozenset[str]:
    """Return the operations whose attributes are these."""
    return frozenset(name for name, operation in OPERATIONS.items()
                     if all(getattr(operation, key) == value for key, value in having.items()))


TAKING, RELEASING = names(does="take"), names(does="release")
# Of recordings only: a trylock, or a wait with a time limit, that succeeded.
RECORDED = tuple(sorted(names(busy="strays")))
# All of recordings only. (No set: what a file says is looked for in it.)
ONLY_RECORDED = tuple(sorted({*RECORDED, *names(of="completion")}))
# a request -> the same as a trylock that succeeded
TAKEN = {name: taken for name in TAKING for taken in RECORDED
         if OPERATIONS[taken][1:4] == OPERATIONS[name][1:4]}
# What changes whether others can pass a wait, of what is seen of real threads.
TELLING = names(of="flag", does="tell") | names(of="completion", does="tell")
