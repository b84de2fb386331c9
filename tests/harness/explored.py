"""What tests of the explorer share: every schedule of a scenario, and the oracle's word on it."""

import brute

from harness.exploration.controlled_run import ControlledRun
from harness.runtime.workers import Workers
from harness.exploration.stable_ids import Names
from harness.runtime.building import build


class Explored:
    """All schedules that one strategy visits.

    Attributes:
        orders: of each schedule, the role of each step.
        cut: how many were cut short (all that could be done was asleep).
        problems: findings other than deadlocks and hangs.
    """

    def __init__(self, factory, strategy, workers, most=3000):
        self.strategy = strategy
        self.names = Names()
        self.orders = []
        self.stuck = 0
        self.cut = 0
        self.problems = []
        while True:
            strategy.begin()
            run = ControlledRun(build(factory, "explored"), strategy, self.names)
            self._take(run, run.play(workers))
            if not strategy.advance(run) or len(self.orders) + self.cut >= most:
                break

    def _take(self, run, outcome):
        if run.cut:
            self.cut += 1
            return
        self.stuck += bool(run.stuck)
        self.orders.append(tuple(self.names.roles[step.label >> 1] for step in run.steps))
        self.problems += [found.text for found in outcome.findings
                          if str(found.verdict) not in ("deadlock", "hang")]

    @property
    def tried(self):
        """How many schedules were begun."""
        return len(self.orders) + self.cut


def explored(factory, strategy):
    """Return what *strategy* visits of one scenario."""
    with Workers() as workers:
        return Explored(factory, strategy, workers)


def as_steps(program, order):
    """Return the steps of a schedule as the oracle takes them, and the state they end in.

    Raises:
        ValueError: the oracle says that somebody in it cannot take his step.
    """
    world, steps = brute.World(program), []
    for thread in order:
        taken = world.step(thread)
        if taken is None:
            raise ValueError(f"{thread} cannot go on after {steps}")
        steps.append(taken[0])
        world = taken[1]
    return tuple(steps), world


def meaning(program, orders):
    """Return what schedules come to by the oracle's account: the classes they belong to, the
    deadlocked states they end in, and the results of every trylock.
    """
    classes, stuck, tried = set(), set(), set()
    for order in orders:
        steps, world = as_steps(program, order)
        classes.add(brute.normal_form(steps))
        if world.events():
            raise ValueError(f"it ends too early: {order}")
        if world.stuck():
            stuck.add(brute.account(world))
        tried.add(tuple(sorted((step.thread, step.op, step.kind) for step in steps
                               if "trylock" in program.threads[step.thread][step.op].op)))
    return classes, stuck, tried
