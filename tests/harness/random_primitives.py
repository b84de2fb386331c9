"""Random worlds over the primitives of `harness.threading`: what each role saw is all they tell.

A role does some of what can be done to a lock, a recursive lock, two conditions (one over that
lock), two semaphores and an event, with limits and without; it may release what another has, and be
refused. So the order of operations decides what each sees, who waits for ever and who raises.
"""

import random

from random_scenarios import endings

from harness import Scenario, threading
from harness.exploration.dpor import Reduced
from harness.exploration.strategies import DepthFirst

MOST = 1500      # schedules of the plain search that a world may have
ROOM = (4, 4), (5, 3), (5, 5), (2, 2, 2), (3, 2, 2), (3, 3, 1), (4, 2, 1)


class World:
    """One world: its primitives, and what its roles saw."""

    def __init__(self, rng):
        self.lock, self.rlock = threading.Lock(), threading.RLock()
        self.over, self.own = threading.Condition(self.lock), threading.Condition()
        self.permits, self.bounded = threading.Semaphore(rng.randrange(3)), \
            threading.BoundedSemaphore(rng.randrange(1, 3))
        self.event, self.barrier = threading.Event(), threading.Barrier(2)
        if rng.random() < .3:
            self.lock.acquire()
        self.seen = {}

    def state(self):
        return repr((sorted(self.seen.items()), self.lock.locked(), self.permits._value,
                     self.bounded._value, self.event._flag))


def _section(lock, *inside):
    def act(world):
        with getattr(world, lock):
            return [each(world) for each in inside]
    return 2, act, lock


def _plain(cost, text):
    code = compile(f"world.{text}", text, "eval")
    return cost, lambda world: eval(code), text.partition(".")[0]


def _wait(cond, timeout):
    def act(world):
        with getattr(world, cond):
            return getattr(world, cond).wait(timeout)
    return 4, act, cond


def _notify(cond, how):
    def act(world):
        with getattr(world, cond):
            getattr(getattr(world, cond), how)()
    return 3, act, cond


def _taken(text, release):
    code = compile(f"world.{text}", text, "eval")

    def act(world):
        got = eval(code)
        if got:
            getattr(world, release).release()
        return got
    return 2, act, release


ACTS = [
    _plain(1, "lock.acquire()"), _plain(1, "lock.acquire(timeout=1)"), _plain(1, "lock.release()"),
    _plain(1, "lock.acquire(False)"), _plain(1, "lock.locked()"),
    _taken("lock.acquire()", "lock"), _taken("lock.acquire(timeout=1)", "lock"),
    _taken("lock.acquire(False)", "lock"),
    _section("lock"), _section("rlock", lambda world: world.rlock.acquire(),
                               lambda world: world.rlock.release()),
    _section("rlock"), _section("own"), _section("over"), _section("permits"), _section("bounded"),
    _wait("over", None), _wait("over", 1), _wait("own", None), _wait("own", 1), _wait("own", 0),
    _notify("over", "notify"), _notify("own", "notify"), _notify("own", "notify_all"),
    _plain(1, "permits.acquire()"), _plain(1, "permits.acquire(timeout=1)"),
    _plain(1, "permits.acquire(False)"), _plain(1, "permits.release()"),
    _plain(1, "permits.release(2)"), _plain(1, "bounded.release()"),
    _plain(1, "bounded.acquire(False)"),
    _plain(1, "event.set()"), _plain(1, "event.clear()"), _plain(1, "event.wait()"),
    _plain(1, "event.wait(1)"), _plain(5, "barrier.wait()"), _plain(5, "barrier.wait(1)"),
    _plain(3, "barrier.abort()"), _plain(3, "barrier.reset()"), _plain(1, "event.is_set()"),
]
ABOUT = (("lock",), ("lock", "over"), ("own",), ("own", "event"), ("permits",),
         ("bounded", "event"), ("permits", "lock"), ("rlock", "permits"), ("event",),
         ("event", "lock"),
         ("barrier",), ("barrier", "lock"))


def factory(seed, acts=ACTS):
    """Return a factory of the world of *seed*; its `state` tells of its last world."""
    rng = random.Random(f"primitives {seed}")
    about = rng.choice(ABOUT)    # few primitives, so that roles meet
    pool = [act for act in acts if act[2] in about]
    plans = {}
    for number, room in enumerate(rng.choice(ROOM)):
        plan = plans[f"r{number}"] = []
        while room > 0:
            cost, act, _ = rng.choice(pool)
            plan.append(act)
            room -= cost

    def role(world, name, plan):
        def body():
            seen = world.seen[name] = []
            for act in plan:
                try:
                    seen.append(act(world))
                except (RuntimeError, ValueError) as exc:
                    seen.append(str(exc))
        return body

    def make():
        world = World(random.Random(f"start {seed}"))
        make.state = world.state
        return Scenario({name: role(world, name, plan) for name, plan in plans.items()})

    make.scenario_name = f"primitives {seed}"
    return make


def compare(seed, workers, most=MOST, acts=ACTS):
    """Return a line for each thing in which the searches differ on the world of *seed*, with the
    number of ways in which it may end; None if it has more than *most* schedules.
    """
    made = factory(seed, acts)
    plain = endings(made, DepthFirst(), workers, most)
    if plain is None:
        return None
    reduced = endings(made, Reduced(), workers, 3 * most)
    if reduced is None:
        return [f"the reduced search begins more than {3 * most}"], len(plain[0])
    wrong = [f"missed: {ending}" for ending in sorted(set(plain[0]) - set(reduced[0]), key=str)]
    wrong += [f"not there: {ending}" for ending in sorted(set(reduced[0]) - set(plain[0]), key=str)]
    return wrong, len(plain[0])
