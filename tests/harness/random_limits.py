"""Random Python scenarios whose roles wait with a limit, in loops: what may never end.

Loops that wait until something is done, or give up after some tries (counted in a local variable,
an attribute, a closure's variable, a list, a dict), polls of a flag under a lock, locks that are
given back and tried again, and after it the locks in either order. Data that roles share is looked
at under one lock. What the plain search comes to, with the rule that no limit runs out twice in one
state, is compared with the reduced one's; with all schedules in which each role's limits run out at
most a few times, which needs no rule; and with the graph of all states, each gone on from once.
"""

import linecache
import random
from collections import Counter
from dataclasses import dataclass, field

from harness import Scenario
from harness.exploration.controlled_run import ControlledRun
from harness.exploration.dpor import Reduced
from harness.exploration.rounds import Ways, way_out
from harness.exploration.stable_ids import Names
from harness.exploration.strategies import DepthFirst
from harness.runtime.building import build
from harness.runtime.workers import Workers

MOST = 300       # schedules of the plain search, and of that without the rule, at most
LIMITS = 4       # times that limits of a role run out in the search without the rule
NEVER = ("hang",), (), ""    # it goes round for ever
COUNTERS = {     # how it is made; whether it is less than two; how it is counted
    "local": ("tries = 0", "tries < 2", "tries += 1"),
    "attribute": ("box = Box()", "box.tries < 2", "box.tries += 1"),
    "shared attribute": ("pass", "shared.{role} < 2", "shared.{role} += 1"),
    "cell": ("pass", "tries_{role} < 2", "tries_{role} += 1"),
    "list": ("tries = []", "len(tries) < 2", "tries.append(1)"),
    "dict": ("tries = {{}}", "len(tries) < 2", "tries[len(tries)] = 1"),
    "iterator": ("tries = iter(range(2))", "next(tries, None) is not None", "pass"),
    "loop": ("pass", "for", "pass"),
}


class Text:
    """Source text under construction, and which kinds of things are in it."""

    def __init__(self, rng):
        self.rng, self.lines, self.has = rng, [], Counter()

    def put(self, depth, line):
        self.lines.append("    " * depth + line)


def source(seed):
    """Return the text of a module whose `world` returns roles and what tells the state; and what
    is in it.
    """
    rng = random.Random(f"limits {seed}")
    text = Text(rng)
    put = text.put
    roles = ["r1", "r2", "r3"][:rng.choice([2, 2, 2, 2, 3])]
    put(0, "class Box:")
    put(1, "tries = r1 = r2 = r3 = 0")
    put(0, "def world():")
    put(1, "a, b, c = Mutex('a'), Mutex('b'), Mutex('c')")
    put(1, "done, tick = Completion('done'), Completion('tick')")
    put(1, "flag, shared = [], Box()")
    for role in roles:
        put(1, f"tries_{role} = 0")
        put(1, f"seen_{role} = []")
    waiting = (0,) if len(roles) == 3 else (0, rng.choice([0, 0, 1]))
    for number, role in enumerate(roles):
        put(1, f"def {role}():")
        put(2, f"nonlocal tries_{role}")
        if number in waiting:
            _waits(text, role)
        else:
            _moves(text, role, number)
        if rng.random() < (.8 if len(roles) == 2 else .4):
            _sections(text, role, 2)
        put(2, f"seen_{role}.append('end')")
    rng.shuffle(roles)
    names = "".join(f"seen_{role}, " for role in sorted(roles))
    put(1, f"def state(): return repr((flag, {names}))")
    put(1, f"return {{{', '.join(f'{role!r}: {role}' for role in roles)}}}, state")
    return "\n".join(text.lines) + "\n", text.has


def _waits(text, role):
    """Put a loop that waits with a limit."""
    kind = text.rng.choice(["until done", "gives up", "gives up", "gives up", "polls", "polls",
                            "backs off", "backs off", "asks once"])
    text.has[kind] += 1
    {"until done": _until_done, "gives up": _gives_up, "polls": _polls, "backs off": _backs_off,
     "asks once": _asks_once}[kind](text, role, 2)


def _until_done(text, role, depth):
    text.put(depth, f"while not {text.rng.choice(['done', 'done', 'tick'])}.wait(.1):")
    if text.rng.random() < .4:
        text.put(depth + 1, f"with {text.rng.choice('abc')}:")
        depth += 1
    text.put(depth + 1, "pass")


def _gives_up(text, role, depth):
    counter = text.rng.choice(list(COUNTERS))
    text.has[f"counts in a {counter}"] += 1
    made, goes_on, counts = (part.format(role=role) for part in COUNTERS[counter])
    text.put(depth, made)
    text.put(depth, "for _ in range(2):" if goes_on == "for" else f"while {goes_on}:")
    request = text.rng.choice(["done.wait(.1)", "a.acquire(timeout=.1)", "done.wait(.1)"])
    text.put(depth + 1, f"if {request}:")
    if request.startswith("a"):
        text.put(depth + 2, "a.release()")
    text.put(depth + 2, f"seen_{role}.append('got')")
    text.put(depth + 2, "break")
    text.put(depth + 1, counts)


def _polls(text, role, depth):
    text.put(depth, "while True:")
    text.put(depth + 1, "with c:")
    text.put(depth + 2, "if flag:")
    text.put(depth + 3, "break")
    text.put(depth + 1, "tick.wait(.1)")


def _backs_off(text, role, depth):
    one, other = text.rng.sample("ab", 2)
    text.put(depth, "while True:")
    text.put(depth + 1, f"with {one}:")
    how = text.rng.choice(["timeout=.1", "timeout=.1", "False"])
    text.put(depth + 2, f"if {other}.acquire({how}):")
    text.put(depth + 3, f"{other}.release()")
    text.put(depth + 3, "break")
    if how == "False":
        text.put(depth + 1, "tick.wait(.1)")


def _asks_once(text, role, depth):
    lock = text.rng.choice("ab")
    text.put(depth, f"if {lock}.acquire(timeout=.1):")
    text.put(depth + 1, f"{lock}.release()")
    text.put(depth, "else:")
    text.put(depth + 1, f"seen_{role}.append('late')")


def _moves(text, role, number):
    """Put what others wait for, or may."""
    for kind in text.rng.sample(["done", "flag", "section", "one"], text.rng.choice([1, 1, 2])):
        if kind == "done":
            text.put(2, "done.complete_all()")
        elif kind == "one":
            text.put(2, "done.complete()")
        elif kind == "flag":
            text.put(2, "with c:")
            text.put(3, "flag.append(1)")
        elif kind == "section":
            _sections(text, role, 2)


def _sections(text, role, depth):
    locks = text.rng.sample("ab", text.rng.choice([1, 2, 2]))
    for lock in locks:
        if lock == locks[-1] and text.rng.random() < .2:
            text.has["try"] += 1
            text.put(depth, f"if {lock}.acquire(False):")
            text.put(depth + 1, f"seen_{role}.append('free')")
            text.put(depth + 1, f"{lock}.release()")
            return
        text.put(depth, f"with {lock}:")
        depth += 1
    text.put(depth, "pass")


def scenario(seed):
    """Return the factory of the scenario of *seed*; `state` of it tells of its last world."""
    text, has = source(seed)
    file = f"<limits {seed}>"
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    import harness
    space = {"Mutex": harness.Mutex, "Completion": harness.Completion, "__name__": file}
    exec(compile(text, file, "exec"), space)

    def factory():
        roles, factory.state = state_of = space["world"]()
        return Scenario(roles, check=lambda: bool(state_of[1]()))

    factory.scenario_name, factory.text, factory.has = file, text, has
    return factory


class Few(DepthFirst):
    """All schedules in which limits of a role run out at most so often, without the rule."""

    own_rule = True

    def choose(self, run, moves):
        gone = Counter(step.label for step in run.steps if step.label & 1)
        left = [label for label in moves if not label & 1 or gone[label] < LIMITS]
        return super().choose(run, left) if left else -1


class Graph(DepthFirst):
    """All states, each gone on from once."""

    own_rule = watches = True
    looked = 1 << 30

    def __init__(self):
        super().__init__()
        self.before, self.seen, self.way, self.ends = {}, set(), [], set()

    def choose(self, run, moves):
        depth = len(run.steps)
        if depth == len(self._path):
            state = run.again.states[-1].value
            self.way[depth:] = [state]
            if depth:
                self.before.setdefault(state, set()).add(self.way[depth - 1])
            if state in self.seen:
                return -1
            self.seen.add(state)
        return super().choose(run, moves)

    def advance(self, run):
        if not run.cut:
            self.ends.add(self.way[len(run.steps) - 1])
        return super().advance(run)

    def some_never_end(self):
        """Say whether there is a state from which no end can be reached."""
        todo = list(self.ends)
        leads = set(todo)
        for state in todo:
            new = self.before.get(state, set()) - leads
            leads |= new
            todo += new
        return not self.seen <= leads


@dataclass
class Search:
    """What the schedules of a strategy come to.

    Attributes:
        endings: verdict, who could not go on, and the state, each.
        begun: how many schedules were begun.
        rounds: how many go round, and are no hang.
        over: there are more than were allowed.
    """

    endings: set = field(default_factory=set)
    begun: int = 0
    rounds: int = 0
    over: bool = False


def search(factory, strategy, workers, most):
    """Return what the schedules of *strategy* come to."""
    names, found, known = Names(), Search(), {}

    def play(strategy):
        run = ControlledRun(build(factory, "random"), strategy, names)
        play.outcome = run.play(workers)
        return strategy, run

    while True:
        strategy.begin()
        _, run = play(strategy)
        outcome, state = play.outcome, factory.state()
        found.begun += 1
        told = tuple(sorted({str(each.verdict) for each in outcome.findings}))
        if run.round:
            ways = Ways([step.label for step in run.steps], known)
            leads_out, known = way_out(play, ways, None)
            assert leads_out is not None, factory.text
            found.rounds += leads_out
            if not leads_out:
                found.endings.add(NEVER)
        elif outcome.findings or not run.cut:
            stuck = tuple(sorted(task.name for task in run.stuck))
            found.endings.add((told, stuck, "" if stuck else state))
        if found.begun > most:
            found.over = True
            return found
        if strategy.hopeless or not strategy.advance(run):
            return found


@dataclass
class Compared:
    """What one scenario came to; `differs`: a line for each thing that disagrees."""

    seed: int
    has: Counter
    graph: Search
    plain: Search
    few: Search
    reduced: Search
    strategy: Reduced
    differs: list = field(default_factory=list)

    @property
    def fails(self):
        """Whether some schedule ends in a finding."""
        return any(told for told, *_ in self.graph.endings)

    @property
    def is_reduced(self):
        """Whether the reduced search was gone on with to its end."""
        return not self.strategy.hopeless


def compare(seed, most=MOST):
    """Compare the searches on the scenario of *seed*; return None if it is too large."""
    factory = scenario(seed)
    with Workers() as workers:
        every, strategy = Graph(), Reduced()
        graph = search(factory, every, workers, most)
        if graph.over:
            return None
        if every.some_never_end():
            graph.endings.add(NEVER)
        reduced = search(factory, strategy, workers, most)
        plain = search(factory, DepthFirst(), workers, most)
        few = search(factory, Few(), workers, most)
    case = Compared(seed, factory.has, graph, plain, few, reduced, strategy)
    searches = [("reduced", reduced)] if case.is_reduced else []
    for name, one in searches + ([] if plain.over else [("plain", plain)]):
        if one.endings != graph.endings:
            case.differs.append(f"the {name} search alone finds {one.endings - graph.endings}, it "
                                f"does not find {graph.endings - one.endings}")
    for name, one in (("plain search", plain), ("search without the rule", few)):
        if not one.endings <= graph.endings:
            case.differs.append(f"only the {name} finds {one.endings - graph.endings}")
    if not few.over and any(not told for told, *_ in graph.endings - few.endings):
        case.differs.append(f"the search without the rule lacks {graph.endings - few.endings}")
    if case.is_reduced and not strategy.complete:
        case.differs.append(f"the reduced search leaves out: {strategy.bound}")
    return case
