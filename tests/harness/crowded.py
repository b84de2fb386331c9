"""Random programs in which many threads want few locks, their worlds, and what is known of them."""

import random
from dataclasses import dataclass

from explored import Explored, as_steps

from harness import Mutex, RWSemaphore
from harness.checker.program import Program

POLICIES = ("writer", "fair", "reader")


def random_program(seed):
    """Return two to four threads of nested sections, on two mutexes and a semaphore; four threads
    on one of them. A failed trylock skips its section.
    """
    rng = random.Random(seed)
    room = rng.choice([(4, 4), (6, 4), (4, 4, 2), (4, 2, 2), (2, 4, 4), (2, 2, 2, 2), (4, 2, 2, 2)])
    locks = "mns" if len(room) < 4 else rng.choice("ms")
    return Program({}, {f"T{i}": _sections(rng, n, locks) for i, n in enumerate(room)},
                   policy=POLICIES[seed % 3])


def _sections(rng, room, locks):
    ops = []
    while room > 1:
        inside = _sections(rng, room - 2, locks) if rng.random() < .8 else []
        room -= 2 + len(inside)
        lock, skip = rng.choice(locks), len(inside) + 1
        enter, leave = rng.choice([
            (("lock", lock), ("unlock", lock)), (("lock", lock), ("unlock", lock)),
            (("trylock", lock, skip), ("unlock", lock)),
        ] if lock != "s" else [
            (("down_read", "s"), ("up_read", "s")), (("down_read", "s"), ("up_read", "s")),
            (("down_write", "s"), ("up_write", "s")), (("down_write", "s"), ("up_write", "s")),
            (("down_read_trylock", "s", skip), ("up_read", "s")),
            (("down_write_trylock", "s", skip), ("up_write", "s"))])
        ops += [enter, *inside, leave]
    return ops


def world_of(program):
    """Return the factory that performs *program* on real locks, with nothing in between."""
    def factory():
        locks = {name: RWSemaphore(name, policy=program.policy) if kind == "rwsem" else Mutex(name)
                 for name, kind in program.locks.items()}

        def role(ops):
            def perform():
                at = 0
                while at < len(ops):
                    took = _OPERATIONS[ops[at].op](locks[ops[at].target])
                    at += 1 + (ops[at].skip if took is False else 0)
            return perform

        return {name: role(ops) for name, ops in program.threads.items()}

    return factory


_OPERATIONS = {
    "lock": lambda lock: lock.acquire(), "unlock": lambda lock: lock.release(),
    "trylock": lambda lock: lock.acquire(False),
    **{op: lambda lock, op=op: getattr(lock, op)() for op in (
        "down_read", "up_read", "down_read_trylock",
        "down_write", "up_write", "down_write_trylock")}}


@dataclass
class Case:
    """A program, and what the plain search found."""

    program: Program
    factory: object
    plain: Explored
    meaning: object


def a_trylock_matters(case):
    """Say whether some trylock that guards operations fails, but in some schedules only."""
    matters = {(thread, i) for thread, ops in case.program.threads.items()
               for i, op in enumerate(ops) if "trylock" in op.op and op.skip > 1}
    kinds = {}
    for order in case.plain.orders:
        for step in as_steps(case.program, order)[0]:
            if (step.thread, step.op) in matters:
                kinds.setdefault((step.thread, step.op), set()).add(step.kind)
    return any(len(found) > 1 for found in kinds.values())
