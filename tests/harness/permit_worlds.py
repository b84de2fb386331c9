"""Random Python worlds whose roles take permits beside locks: what prediction is held against.

A permit is a `Completion` that was completed some times at the start; a role waits for it before a
section and completes it after, or waits, or completes. Roles also try, give up after a time, start
threads and join them, and branch on flags that change only under a lock of their own. The truth is
exploration's, over all schedules of real threads.
"""

import random
import threading
from dataclasses import dataclass

from harness import Completion, Mutex, RWSemaphore, Verdict, explore, predict

STUCK = Verdict.DEADLOCK, Verdict.HANG
PERMITS, FLAGS = ("p", "q"), ("f",)
PLAIN = ("lock",) * 6 + ("read", "write") + ("permit",) * 6
LOOSE = ("complete", "complete", "complete_all", "wait")    # permits that are not given back
BRANCHES = "if", "try", "timed", "timed permit"
BRANCHING = ("try", "timed", "timed permit", "set", "set", "if", "if", "if", "start")


class World:
    """What the roles of one world share."""

    def __init__(self, permits):
        self.locks = {"a": Mutex("a"), "b": Mutex("b"), "s": RWSemaphore("s")}
        self.permits = {name: Completion(name) for name in permits}
        for name, count in permits.items():
            for _ in range(count):
                self.permits[name].complete()
        self.guard = Mutex("guard")
        self.flags = dict.fromkeys(FLAGS, False)

    def perform(self, statements):
        for kind, name, *bodies in statements:
            getattr(self, "do_" + kind.replace(" ", "_"))(name, *bodies)

    def do_lock(self, name, body):
        with self.locks[name]:
            self.perform(body)

    def do_read(self, name, body):
        with self.locks[name].down_read():
            self.perform(body)

    def do_write(self, name, body):
        with self.locks[name].down_write():
            self.perform(body)

    def do_permit(self, name, body):
        self.permits[name].wait()
        self.perform(body)
        self.permits[name].complete()

    def do_wait(self, name):
        self.permits[name].wait()

    def do_complete(self, name):
        self.permits[name].complete()

    def do_complete_all(self, name):
        self.permits[name].complete_all()

    def _try(self, name, body, other, **how):
        if self.locks[name].acquire(**how):
            self.perform(body)
            self.locks[name].release()
        else:
            self.perform(other)

    def do_try(self, name, body, other):
        self._try(name, body, other, blocking=False)

    def do_timed(self, name, body, other):
        self._try(name, body, other, timeout=0.001)

    def do_timed_permit(self, name, body, other):
        if self.permits[name].wait(0.001):
            self.perform(body)
            self.permits[name].complete()
        else:
            self.perform(other)

    def do_set(self, name):
        with self.guard:
            self.flags[name] = not self.flags[name]

    def do_if(self, name, body, other):
        with self.guard:
            flag = self.flags[name]
        self.perform(body if flag else other)

    def do_start(self, name, body):
        thread = threading.Thread(target=self.perform, args=(body,), name=name)
        thread.start()
        thread.join()


def _statements(rng, kinds, room, depth=0, held=""):
    """Return what a role does in turn, two or three deep; it asks for nothing that it has."""
    statements = []
    for _ in range(room):
        kind = rng.choice(kinds)
        name = rng.choice(_NAMES.get(kind, "ab"))
        if name not in held:
            bodies = [_inside(rng, kinds, depth, held + name) for _ in range(_BODIES.get(kind, 1))]
            name = f"thread {rng.randrange(10**6)}" if kind == "start" else name
            statements.append((kind, name, *bodies))
    return statements


def _inside(rng, kinds, depth, held):
    if depth == 2 or rng.random() < .2:
        return []
    kinds = [kind for kind in kinds if kind != "start"]
    return _statements(rng, kinds, rng.randrange(1, 3), depth + 1, held)


_NAMES = {"read": "s", "write": "s", "if": "f", "set": "f",
          **dict.fromkeys(("permit", "timed permit", *LOOSE), "pq")}
_BODIES = {**dict.fromkeys(LOOSE, 0), "set": 0, **dict.fromkeys(BRANCHES, 2)}


def random_world(seed, branches=None):
    """Return the factory of the world of that *seed*, and what its roles do.

    Args:
        branches: whether roles try, give up, start threads and branch on flags. Default: in every
            other world.
    """
    rng = random.Random(seed)
    branches = seed % 2 == 0 if branches is None else branches
    loose = rng.random() < .2
    kinds = PLAIN + BRANCHING * branches + LOOSE * loose
    permits = {name: rng.choice((0, 1, 1, 2) if loose else (1, 1, 1, 1, 2)) for name in PERMITS}
    roles = {f"T{i}": _statements(rng, kinds, rng.randrange(1, 4))
             for i in range(rng.choice((2, 2, 2, 3)))}

    def factory():
        world = World(permits)
        return {name: lambda body=body: world.perform(body) for name, body in roles.items()}

    factory.scenario_name = f"world {seed}"
    return factory, (permits, roles)


@dataclass(frozen=True)
class Compared:
    """What exploration and prediction say of one world, and what it is made of."""

    seed: int
    truth: Verdict
    predicted: Verdict
    statuses: tuple[str, ...]
    schedules: int
    branches: bool

    @property
    def stuck(self):
        """Whether some schedule hangs."""
        return self.truth in STUCK

    @property
    def wrong(self):
        """What prediction says that is not so, or ""."""
        if self.stuck and self.predicted is Verdict.CLEAN:
            return f"{self.truth}, but predicted clean ({', '.join(self.statuses) or 'nothing'})"
        if not self.stuck and self.predicted in STUCK:
            return f"predicted {self.predicted}, but {self.truth} in all {self.schedules} schedules"
        return ""


def compare(seed, most=1_500, predict=predict):
    """Return what is said of the world of that *seed*; None if it has more than *most* schedules
    and none of those hangs, or fails before it hangs.
    """
    factory, _ = random_world(seed)
    explored = explore(factory, engine=False, max_schedules=most)
    if explored.verdict not in (*STUCK, Verdict.CLEAN):
        return None
    predicted = predict(factory)
    return Compared(seed, explored.verdict, predicted.verdict,
                    tuple(each.status for each in predicted.predictions),
                    explored.coverage["schedules"], seed % 2 == 0)
