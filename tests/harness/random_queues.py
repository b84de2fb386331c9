"""Random worlds over the queues of `harness.queue`: what each role saw is all they tell.

A role does some of what can be done to one queue, or two, with limits and without. So the order of
operations decides what each gets, who finds no room, who waits for ever and who raises.
"""

import queue as standard
import random

from random_scenarios import endings

from harness import Scenario, queue
from harness.exploration.dpor import Reduced
from harness.exploration.strategies import DepthFirst

MOST = 1500      # schedules of the plain search that a world may have
SIZES = (2, 2), (3, 3), (4, 2), (2, 2, 2), (3, 2, 1), (1, 1, 1, 1)
MADE = {
    "one": lambda: queue.Queue(1), "two": lambda: queue.Queue(2), "any": queue.Queue,
    "lifo": lambda: queue.LifoQueue(2), "least": lambda: queue.PriorityQueue(2),
    "simple": queue.SimpleQueue,
}
KINDS = (*MADE, "one simple")
COMMON = {
    "put": 6, "get": 6, "get(timeout=1)": 2, "get(False)": 2, "get_nowait": 1, "qsize": 1,
    "empty": 1,
}
MORE = {"put(timeout=1)": 2, "put(False)": 2, "full": 1, "task_done": 3, "join": 1, "look in": .3}
SHUT = {"shutdown": .5, "shutdown(True)": .5} if hasattr(standard, "ShutDown") else {}
REFUSED = (queue.Empty, queue.Full, ValueError, *([standard.ShutDown] if SHUT else []))


def act(made, what, item):
    """Do *what* to a queue; return what it says."""
    name, _, how = what.partition("(")
    if name == "look in":
        with made.mutex:
            return list(made.queue)
    given = [item] if name == "put" else []
    if how == "timeout=1)":
        return getattr(made, name)(*given, timeout=1)
    return getattr(made, name)(*given, *([how == "True)"] if how else []))


def factory(seed):
    """Return a factory of the world of *seed*; its `state` tells of its last world."""
    rng = random.Random(f"queues {seed}")
    names = rng.choice(KINDS).split()
    plans = {}
    for number, size in enumerate(rng.choice(SIZES)):
        plan = plans[f"r{number}"] = []
        for i in range(size):
            name = rng.choice(names)
            acts = COMMON if name == "simple" else {**COMMON, **MORE, **SHUT}
            [what] = rng.choices(list(acts), list(acts.values()))
            plan.append((name, what, 10 * (2 - i) + number))
    filled = rng.random() < .3

    def role(world, seen, plan):
        def body():
            for name, what, item in plan:
                try:
                    seen.append(act(world[name], what, item))
                except REFUSED as exc:
                    seen.append(type(exc).__name__)
        return body

    def make():
        world = {name: MADE[name]() for name in names}
        told = {name: [] for name in plans}
        if filled:
            world[names[0]].put(7)

        def state():
            left = {name: (list(getattr(made, "queue", None) or getattr(made, "_items", ())),
                           getattr(made, "unfinished_tasks", 0)) for name, made in world.items()}
            return repr((sorted(told.items()), sorted(left.items())))
        make.state = state
        return Scenario({name: role(world, told[name], plan) for name, plan in plans.items()})

    make.scenario_name = f"queues {seed}"
    make.about = names, plans
    return make


def compare(seed, workers, most=MOST):
    """Return a line for each thing in which the searches differ on the world of *seed*, with the
    number of ways in which it may end, and of schedules of both; None if it has more than *most*.
    """
    made = factory(seed)
    plain = endings(made, DepthFirst(), workers, most)
    if plain is None:
        return None
    reduced = endings(made, Reduced(), workers, 3 * most)
    if reduced is None:
        return [f"the reduced search begins more than {3 * most}"], len(plain[0]), 0, 0
    wrong = [f"missed: {ending}" for ending in sorted(set(plain[0]) - set(reduced[0]), key=str)]
    wrong += [f"not there: {ending}" for ending in sorted(set(reduced[0]) - set(plain[0]), key=str)]
    return wrong, len(plain[0]), plain[1], reduced[1]
