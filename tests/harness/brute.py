"""A second opinion on programs of lock operations, written for plainness: no bits, no cleverness.

`World` is one state, spelled out; `World.step` says what one thread does next. From it come all
schedules of a program, how many of them end stuck, and how many equivalence classes they fall into.
Nothing here is shared with harness/checker but the programs themselves, and `blocked_by`, the one
rule of a semaphore.

Steps. Every operation is one step, a release too, and nothing is merged with its neighbour. A
request on a semaphore that cannot be granted is queued by a step of its own, for a reader as for a
writer; once granted, it is acquired by a second step. A request for a taken mutex is no step: the
thread is not enabled until it is free. `kn_drain` begins by one step and ends by another, unless
there is nothing to wait for. A schedule is maximal: it ends where no thread has a step.

Which steps commute. Two steps of one thread never do, nor two that touch the same thing, except
(`COMMUTING`) where the order cannot be seen:

- two of {a reader enters, a reader leaves}: neither lets the other in or keeps it out;
- two failed trylocks; a reader's failed trylock and another reader's coming or going: what it saw
  was a writer, holding or queued, which stays;
- setting one flag twice, clearing it twice, looking at it twice.

Queueing on a semaphore, by a reader or a writer, commutes with nothing that touches that semaphore:
not with a request, whose answer it may change (a writer's queueing turns a reader's entry into a
queueing), and not with a release, which would have made the queueing unnecessary. So "queued, then
the last reader left" and "the last reader left, then entered at once" are two classes.
"""

from collections import Counter
from typing import Any, NamedTuple

from harness.checker.program import Op, Program
from harness.locks.rwsem_policy import blocked_by
from harness.locks.task import EXCLUSIVE, SHARED

TAKING = ("take", "take_read", "take_write")
COMMUTING = {frozenset(pair) for pair in (
    ("read",), ("see",), ("see readers",), ("set",), ("clear",),
    ("see", "see readers"), ("read", "see readers"))}


class Event(NamedTuple):
    """A step that was taken: whose, what kind, at which operation, and what it touched and how."""

    thread: str
    kind: str
    op: int
    touches: tuple[tuple[tuple[str, str], str], ...]


def dependent(one: Event, other: Event) -> bool:
    """Return whether the order of two steps matters."""
    if one.thread == other.thread:
        return True
    return any(thing == thing2 and frozenset((how, how2)) not in COMMUTING
               for thing, how in one.touches for thing2, how2 in other.touches)


class World:
    """One state of a program: everything in it by name."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.at = dict.fromkeys(program.threads, 0)      # thread -> index of its next operation
        self.queued: set[str] = set()                    # threads whose operation is half done
        self.owner: dict[str, str] = {}
        self.depth: Counter[str] = Counter()             # lock -> how often its owner holds it
        self.readers: Counter[tuple[str, str]] = Counter()      # (lock, thread) -> holds
        self.queue: dict[str, tuple[tuple[str, str], ...]] = {}   # lock -> (thread, mode), ...
        self.draining: set[str] = set()
        self.flags = set(program.flags)
        self.begun: set[str] = set()

    def copy(self) -> "World":
        new = object.__new__(World)
        for name, value in vars(self).items():
            setattr(new, name, value if name == "program" else value.copy())
        return new

    @property
    def key(self) -> Any:
        """What makes two states the same. The queue's order counts where the policy looks at it."""
        order = tuple if self.program.policy == "fair" else frozenset
        return (tuple(self.at.values()), frozenset(self.queued), frozenset(self.owner.items()),
                frozenset(self.depth.items()), frozenset(self.readers.items()),
                frozenset((lock, order(queue)) for lock, queue in self.queue.items() if queue),
                frozenset(self.draining), frozenset(self.flags), frozenset(self.begun))

    def ended(self, thread: str) -> bool:
        return self.at[thread] == len(self.program.threads[thread])

    def next_op(self, thread: str) -> Op:
        return self.program.threads[thread][self.at[thread]]

    def holders(self, lock: str) -> list[str]:
        return [thread for (held, thread), count in self.readers.items() if held == lock and count]

    def events(self) -> "list[tuple[Event, World]]":
        """Every step that can be taken now, with the state after it: None after a misuse."""
        return [found for thread in self.at if (found := self.step(thread)) is not None]

    def stuck(self) -> bool:
        """Whether this state, from which nobody goes on, is one of threads that wait for ever."""
        waiting = [thread for thread in self.at if not self.ended(thread)]
        return bool(waiting) and not any(self.next_op(thread).op in TAKING for thread in waiting)

    def step(self, thread: str) -> "tuple[Event, World | None] | None":
        """Return the one step that *thread* can take, and the state after it; None if it waits."""
        if self.ended(thread):
            return None
        new, index, op = self.copy(), self.at[thread], self.next_op(thread)
        done = getattr(new, "do_" + op.op)(thread, op)
        if done is None:
            return None
        kind, *touches = done
        if kind == "refused":
            new.at[thread] = len(self.program.threads[thread])
        elif kind not in ("queue", "cancel") or op.target != thread and kind == "cancel":
            new.at[thread] += 1 + (op.skip if kind in ("busy", "jump over") else 0)
        touches.append((("life", thread), "see"))
        if new.ended(thread):
            touches.append((("end", thread), "write"))
        event = Event(thread, kind.split()[0], index, tuple(touches))
        return event, None if kind == "misuse" else new

    # -- operations: change the state (self is the new one); kind and what was touched ------

    def do_lock(self, thread, op):
        thing = ("lock", op.target)
        again = self.owner.get(op.target) == thread and self.program.locks[op.target] == "mutex_re"
        if op.target in self.owner and not again:
            return None
        self.owner[op.target] = thread
        self.depth[op.target] += 1
        return "acquire", (thing, "write")

    do_take = do_lock

    def do_trylock(self, thread, op):
        return self.do_lock(thread, op) or ("busy", (("lock", op.target), "see"))

    def do_lock_unless(self, thread, op):
        if taken := self.do_lock(thread, op):
            return taken
        if op.flag in self.flags:
            return "busy", (("lock", op.target), "see"), (("flag", op.flag), "see")
        return None

    def do_unlock(self, thread, op):
        if self.owner.get(op.target) != thread:
            return "misuse", (("lock", op.target), "write")
        self.depth[op.target] -= 1
        if not self.depth[op.target]:
            del self.owner[op.target], self.depth[op.target]
        return "release", (("lock", op.target), "write")

    def semaphore(self, thread, op, mode):
        """Enter it if nobody is in the way."""
        lock = op.target
        queue = self.queue.get(lock, ())
        if blocked_by(self.program.policy, self.owner.get(lock), self.holders(lock), queue, thread,
                      mode):
            return None
        self.queue[lock] = tuple(entry for entry in queue if entry[0] != thread)
        self.queued.discard(thread)
        if mode == EXCLUSIVE:
            self.owner[lock] = thread
            return "acquire", (("lock", lock), "write")
        self.readers[lock, thread] += 1
        return "acquire", (("lock", lock), "read")

    def down(self, thread, op, mode):
        if entered := self.semaphore(thread, op, mode):
            return entered
        if thread in self.queued:
            return None
        self.queued.add(thread)
        self.queue[op.target] = (*self.queue.get(op.target, ()), (thread, mode))
        return "queue", (("lock", op.target), "write")

    def do_down_read(self, thread, op):
        return self.down(thread, op, SHARED)

    def do_down_write(self, thread, op):
        return self.down(thread, op, EXCLUSIVE)

    def do_down_read_trylock(self, thread, op):
        return self.semaphore(thread, op, SHARED) or ("busy", (("lock", op.target), "see readers"))

    def do_down_write_trylock(self, thread, op):
        return self.semaphore(thread, op, EXCLUSIVE) or ("busy", (("lock", op.target), "see"))

    def do_take_read(self, thread, op):
        return self.semaphore(thread, op, SHARED)

    def do_take_write(self, thread, op):
        return self.semaphore(thread, op, EXCLUSIVE)

    def do_up_read(self, thread, op):
        if not self.readers[op.target, thread]:
            return "misuse", (("lock", op.target), "write")
        self.readers[op.target, thread] -= 1
        if not self.readers[op.target, thread]:
            del self.readers[op.target, thread]
        return "release", (("lock", op.target), "read")

    def do_up_write(self, thread, op):
        if self.owner.get(op.target) != thread:
            return "misuse", (("lock", op.target), "write")
        del self.owner[op.target]
        return "release", (("lock", op.target), "write")

    def do_kn_get(self, thread, op):
        if op.target in self.draining:
            return "refused", (("lock", op.target), "see readers")
        return self.do_srcu_read(thread, op)

    def do_kn_drain(self, thread, op):
        self.draining.add(op.target)
        if not self.holders(op.target):
            self.queued.discard(thread)
            return "pass", (("lock", op.target), "write")
        if thread in self.queued:
            return None
        self.queued.add(thread)
        return "queue", (("lock", op.target), "write")

    def do_srcu_read(self, thread, op):
        self.readers[op.target, thread] += 1
        return "acquire", (("lock", op.target), "read")

    do_srcu_unread = do_kn_put = do_up_read

    def do_srcu_sync(self, thread, op):
        return None if self.holders(op.target) else ("pass", (("lock", op.target), "write"))

    def do_set(self, thread, op):
        self.flags.add(op.target)
        return "tell", (("flag", op.target), "set")

    def do_clear(self, thread, op):
        self.flags.discard(op.target)
        return "tell", (("flag", op.target), "clear")

    def do_wait(self, thread, op):
        return ("pass", (("flag", op.target), "see")) if op.target in self.flags else None

    def do_wait_clear(self, thread, op):
        return ("pass", (("flag", op.target), "see")) if op.target not in self.flags else None

    def do_jump_if(self, thread, op):
        return "jump over" if op.target in self.flags else "jump", (("flag", op.target), "see")

    def do_jump_unless(self, thread, op):
        return "jump over" if op.target not in self.flags else "jump", (("flag", op.target), "see")

    def do_begin(self, thread, op):
        self.begun.add(thread if op.target == "-" else op.target)
        return "tell", (("begun", thread if op.target == "-" else op.target), "set")

    def do_join(self, thread, op):
        return ("pass", (("end", op.target), "see")) if self.ended(op.target) else None

    def do_sync(self, thread, op):
        other = op.target
        looked = (("end", other), "see"), (("begun", other), "see")
        if self.ended(other):
            return "pass", *looked
        if other in self.begun:
            return None
        self.at[other] = len(self.program.threads[other])
        self.queued.discard(other)
        left = []
        for lock, queue in self.queue.items():
            if other in dict(queue):
                left.append((("lock", lock), "write"))
                self.queue[lock] = tuple(entry for entry in queue if entry[0] != other)
        return "cancel", *looked, *left, (("life", other), "write"), (("end", other), "write")


def schedules(program):
    """Give every maximal schedule, with the state it ends in (None after a misuse)."""
    taken = []

    def explore(world):
        events = world.events() if world is not None else []
        if not events:
            yield tuple(taken), world
        for event, after in events:
            taken.append(event)
            yield from explore(after)
            taken.pop()

    return explore(World(program))


def count_schedules(program):
    """Return how many maximal schedules there are and how many end stuck.

    The same numbers as by enumerating `schedules`, in less time: what can follow on a state is
    counted once.
    """
    counted = {None: (1, 0)}

    def explore(world):
        key = world.key if world is not None else None
        if key not in counted:
            events = world.events()
            below = [explore(after) for _, after in events]
            counted[key] = ((sum(total for total, _ in below), sum(stuck for _, stuck in below))
                            if events else (1, int(world.stuck())))
        return counted[key]

    return explore(World(program))


def normal_form(schedule):
    """Return what the equivalent schedules, and no others, have in common.

    Each step's layer is one above the highest of the earlier steps that it depends on (Foata's
    normal form): swapping two neighbours that commute moves no step to another layer.
    """
    layers = []
    for i, event in enumerate(schedule):
        below = [layers[j] for j in range(i) if dependent(schedule[j], event)]
        layers.append(1 + max(below, default=-1))
    return frozenset(zip(layers, schedule))


def classes(program):
    """Return the normal form of each equivalence class of schedules."""
    return {normal_form(schedule) for schedule, _ in schedules(program)}


def count_classes(program):
    """Return how many equivalence classes there are, by a complete search with sleep sets alone.

    For programs with too many schedules for `classes`. A thread that was followed before sleeps
    until a step depends on the one it would take: then no class is visited twice and none is
    missed, as long as the dependence is right. (A schedule in which all who could go on sleep is
    cut short, and is of a class visited before.)
    """
    def explore(world, asleep):
        events = world.events() if world is not None else []
        if not events:
            return 1
        found = 0
        done = list(asleep)
        for event, after in events:
            if event not in done:
                found += explore(after, [other for other in done if not dependent(other, event)])
                done.append(event)
        return found

    return explore(World(program), [])


def states(program):
    """Give every reachable state once."""
    seen, todo = set(), [World(program)]
    while todo:
        world = todo.pop()
        if world.key not in seen:
            seen.add(world.key)
            yield world
            todo += [after for _, after in world.events() if after is not None]


def stuck_states(program):
    """Return the states in which threads wait for ever: who waits at which operation, who holds
    what.
    """
    return {account(world) for world in states(program) if not world.events() and world.stuck()}


def account(world):
    """Return who has not ended, and where, and every hold in *world*."""
    return (frozenset((thread, at) for thread, at in world.at.items() if not world.ended(thread)),
            frozenset(world.owner.items()), frozenset(+world.readers))


def random_program(rng, policy="writer", every_op=False, most=2000):
    """Return a random program of nested sections with at most *most* schedules.

    Two to four threads, two mutexes and two semaphores; a failed trylock skips its section. With
    *every_op*, flags, references, threads that wait for threads and a re-entrant mutex too.
    """
    while True:
        names = [f"T{i}" for i in range(rng.choice((2, 2, 3, 3, 4)))]
        room = {2: 8, 3: 5, 4: 4}[len(names)]
        threads = {name: _sections(rng, rng.randint(2, room), names, every_op) for name in names}
        kinds = {"m": "mutex", "n": "mutex_re" if every_op else "mutex"}
        program = Program(kinds, threads, frozenset("f" if rng.random() < .3 else ""), policy)
        if count_schedules(program)[0] <= most:
            return program


def _sections(rng, room, names, every_op):
    """Return operations: sections after and within each other, *room* operations or one more."""
    ops = []
    while room > 0:
        if every_op and rng.random() < .4:
            ops.append(_single(rng, names))
            room -= 1
            continue
        inside = _sections(rng, rng.randint(0, room - 2) if room > 2 else 0, names, every_op)
        ops += _section(rng, inside, every_op)
        room -= 2 + len(inside)
    return ops


def _section(rng, inside, every_op):
    skip = len(inside) + 1
    mutex, semaphore = rng.choice("mn"), rng.choice("sst")
    kinds = [(("lock", mutex), ("unlock", mutex))] * 3 + [
        (("down_read", semaphore), ("up_read", semaphore)),
        (("down_read", semaphore), ("up_read", semaphore)),
        (("down_write", semaphore), ("up_write", semaphore)),
        (("down_write", semaphore), ("up_write", semaphore)),
        (("trylock", mutex, skip), ("unlock", mutex)),
        (("down_read_trylock", semaphore, skip), ("up_read", semaphore)),
        (("down_write_trylock", semaphore, skip), ("up_write", semaphore))]
    if every_op:
        kinds += [(("kn_get", "k"), ("kn_put", "k")), (("srcu_read", "u"), ("srcu_unread", "u")),
                  (("lock_unless", mutex, f"f:{skip}"), ("unlock", mutex))]
    enter, leave = rng.choice(kinds)
    return [enter, *inside, leave]


def _single(rng, names):
    """Return an operation that needs no counterpart."""
    single = [("set", "f"), ("clear", "f"), ("wait", "f"), ("wait_clear", "f"), ("jump_if", "f", 0),
              ("jump_unless", "f", 0), ("kn_drain", "k"), ("srcu_sync", "u"), ("begin", "-"),
              ("begin", rng.choice(names)), ("join", rng.choice(names)),
              ("sync", rng.choice(names))]
    return ("unlock", "m") if rng.random() < .04 else rng.choice(single)
