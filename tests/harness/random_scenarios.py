"""Random Python scenarios, as source text: what a program of lock operations cannot say.

Roles branch on flags, count in loops, append to lists, all of it under a lock that every access
shares, or right after a `harness.step` that names it, or names nothing; they take turns by permits
(counting completions), start and join threads, make locks on first use, and try. So the order of
lock operations and steps decides everything, and the plain search, which goes through every order,
is the truth. What it comes to is compared as *endings*: how a schedule ended, who could not go on,
and what every variable held then, with what each role saw on its way.

For the benchmarks: with this folder on the path, `compare` judges one seed.
"""

import linecache
import random
from collections import Counter
from dataclasses import dataclass, field

from harness import Scenario, explore, predict
from harness.exploration.controlled_run import ControlledRun
from harness.exploration.dpor import Reduced
from harness.exploration.stable_ids import Names
from harness.exploration.strategies import DepthFirst
from harness.runtime.building import build
from harness.runtime.workers import Workers

MOST = 2500      # schedules of the plain search that a scenario may have
# stops for each role, about
ROOM = (6, 6), (8, 4), (8, 6), (8, 8), (4, 4, 2), (4, 4, 4), (6, 4, 4)
VARIABLES = {    # how it is made; how it is changed, and looked at
    "flag": ("flag = False", "flag = True", "flag"),
    "items": ("items = []", "items.append(%d)", "len(items)"),
    "table": ("table = {}", "table[%d] = table.get(%d, 0) + 1", "%d in table"),
    "count": ("count = 0", "count += 1", "count > 1"),
}
STEPPED = {      # as above; each access follows a step
    "late": ("late = False", "late = True", "late"),
    "trail": ("trail = []", "trail.append(%d)", "len(trail) > 1"),
}
LEANS = {        # what some have more of, and less
    "everything": {},
    "branches": {"branch": 6, "change": 3, "step": 0, "branch on a step": 0, "signal": 0},
    "steps": {"step": 3, "branch on a step": 3},
    "permits": {"permit": 8, "step": 0, "branch on a step": 0, "signal": 0},
    "threads": {"thread": 8, "made": 3},
}
STUCK = ("deadlock", "hang")


class _Text:
    """Source text under construction, and which kinds of things are in it."""

    def __init__(self, rng, early):
        self.rng, self.lines, self.has, self.early = rng, [], Counter(), early
        self.threads = 0
        self.pool = rng.sample(["a", "b", "c", "sem"], rng.choice([2, 2, 3]))
        self.guard = {name: rng.choice(["a", "b"]) for name in VARIABLES}

        leans = LEANS[rng.choice(list(LEANS))]
        self.weights = {kind: weight * leans.get(kind, 1)
                        for kind, (_, weight, _) in _STATEMENTS.items()}

    def put(self, depth, line):
        self.lines.append("    " * depth + line)


def source(seed, early=""):
    """Return the text of a module whose `world` returns roles and what tells the state; and what
    is in it.

    Args:
        early: "bare": what a role does before its first operation, and a parent between starting a
            thread and its next, also looks at what others change at any time without a lock, once
            between two operations; "stepped": the same, each after a step of its own, which makes
            it the truth about "bare".
    """
    rng = random.Random(f"scenario {seed}")
    text = _Text(rng, early)
    put = text.put
    put(0, "def world():")
    put(1, rng.choice(["a = Mutex()\n    b = Mutex()\n    c = Mutex()",
                       "a, b, c = Mutex(), Mutex(), Mutex()",
                       "a, b, c = [Mutex() for _ in range(3)]",
                       "a, b, c = Mutex('a'), Mutex('b'), Mutex('c')"]))
    put(1, f"sem = RWSemaphore('sem', policy={rng.choice(['writer', 'fair', 'reader'])!r})")
    put(1, "permit, done = Completion('permit'), Completion('done')")
    put(1, "permit.complete()")
    put(1, "made = {}")
    for made, *_ in (*VARIABLES.values(), *STEPPED.values()):
        put(1, made)
    rooms = rng.choice(ROOM)
    roles = [f"r{i}" for i in range(1, len(rooms) + 1)]
    everybody = *roles, *(f"{role}_child" for role in roles)
    shared = [f"early_{each}" for each in everybody]
    own = [f"seen_{each}" for each in everybody]
    for each in own + shared:
        put(1, f"{each} = []")
    for role, room in zip(roles, rooms):
        put(1, f"def {role}():")
        put(2, "nonlocal flag, count, late")
        _early(text, role, 2, .8, [other for other in everybody if other != role])
        if rng.random() < .85 and room >= 4:
            text.has["nested"] += 1
            room -= _nested(text, role, 2, room, frozenset())
        _block(text, role, 2, room, frozenset())
        put(2, f"seen_{role}.append('end')")
    rng.shuffle(roles)
    put(1, f"def state(): return repr(({', '.join([*VARIABLES, *STEPPED, *shared])}, "
           f"{', '.join(own)}))")
    put(1, f"return {{{', '.join(f'{role!r}: {role}' for role in roles)}}}, state")
    return "\n".join(text.lines) + "\n", text.has


def _block(text, role, depth, room, held):
    """Put statements that take about *room* stops."""
    text.put(depth, "pass")
    while room > 0:
        kinds = [kind for kind in _STATEMENTS
                 if room >= _STATEMENTS[kind][0] and text.weights[kind]]
        if not kinds:
            return
        kind = text.rng.choices(kinds, [text.weights[kind] for kind in kinds])[0]
        used = _STATEMENTS[kind][2](text, role, depth, room, held)
        text.has[kind] += bool(used)
        room -= used or 1


def _early(text, role, depth, likely, others=()):
    """Put a change of what this role shares without a lock, or a look at what *others* share."""
    if not text.early or text.rng.random() > likely:
        return
    whose = text.rng.choice([role, *others, *others])
    if text.early == "stepped":
        text.put(depth, f"step('early {whose}')")
    if whose == role:
        text.put(depth, f"early_{role}.append(1)")
        return
    text.put(depth, f"saw = len(early_{whose})")
    text.put(depth, f"seen_{role}.append(saw)")
    if text.rng.random() < .5:
        text.put(depth, "if saw:")
        _nested(text, role, depth + 1, 4, frozenset())


def _inside(text, role, depth, room, held):
    """Put the inside of a section; return what it takes."""
    inside = text.rng.choice([room, room, text.rng.randint(0, max(room, 0))]) if room > 0 else 0
    _block(text, role, depth, inside, held)
    return inside


def _free(text, held, names):
    free = [name for name in names if name not in held]
    return text.rng.choice(free) if free else None


def _section(text, role, depth, room, held):
    lock = _free(text, held, "abc")
    if lock is None:
        return 0
    text.put(depth, f"with {lock}:")
    _early(text, role, depth + 1, .4)
    return 2 + _inside(text, role, depth + 1, room - 2, held | {lock})


def _nested(text, role, depth, room, held):
    one, other = text.rng.sample(text.pool, 2)
    if {one, other} & held:
        return 0
    for each in (one, other):
        mode = text.rng.choice(["down_read", "down_write"])
        text.put(depth, f"with {each}:" if each != "sem" else f"with sem.{mode}():")
        depth += 1
    return 4 + _inside(text, role, depth, room - 4, held | {one, other})


def _semaphore(text, role, depth, room, held):
    if "sem" in held:
        return 0
    text.put(depth, f"with sem.{text.rng.choice(['down_read', 'down_write'])}():")
    return 2 + _inside(text, role, depth + 1, room - 2, held | {"sem"})


def _try(text, role, depth, room, held):
    lock = _free(text, held, "abc")
    if lock is None:
        return 0
    text.put(depth, f"if {lock}.acquire(False):")
    used = 2 + _inside(text, role, depth + 1, room - 2, held | {lock})
    text.put(depth + 1, f"{lock}.release()")
    text.put(depth, "else:")
    text.put(depth + 1, f"seen_{role}.append('busy')")
    return used


def _try_semaphore(text, role, depth, room, held):
    if "sem" in held:
        return 0
    mode = text.rng.choice(["read", "write"])
    text.put(depth, f"if sem.down_{mode}_trylock():")
    used = 2 + _inside(text, role, depth + 1, room - 2, held | {"sem"})
    text.put(depth + 1, f"sem.up_{mode}()")
    text.put(depth, "else:")
    text.put(depth + 1, f"seen_{role}.append('busy')")
    return used


def _look(text, role, depth, room, held):
    look = text.rng.choice(["a.locked()", "b.locked()", "permit.done()"])
    text.put(depth, f"saw = {look}")
    text.put(depth, f"seen_{role}.append(saw)")
    return 1 + _both_ways(text, role, depth, room - 1, held)


def _guarded(text, depth, name, held):
    """Put what guards an access of *name*; return the depth of the access, and what it takes."""
    guard = text.guard[name]
    if guard in held:
        return depth, 0
    text.put(depth, f"with {guard}:")
    return depth + 1, 2


def _filled(text, form):
    return form.replace("%d", str(text.rng.randint(1, 2)))


def _change(text, role, depth, room, held):
    name = text.rng.choice(list(VARIABLES))
    depth, used = _guarded(text, depth, name, held)
    text.put(depth, _filled(text, VARIABLES[name][1]))
    return used + (not used)


def _branch(text, role, depth, room, held):
    name = text.rng.choice(list(VARIABLES))
    inner, used = _guarded(text, depth, name, held)
    text.put(inner, f"saw = {_filled(text, VARIABLES[name][2])}")
    text.put(inner, f"seen_{role}.append(saw)")
    return used + _both_ways(text, role, depth, room - used, held)


def _both_ways(text, role, depth, room, held):
    text.put(depth, "if saw:")
    one = _inside(text, role, depth + 1, room, held)
    text.put(depth, "else:")
    return max(one, _inside(text, role, depth + 1, room, held), 1)


def _loop(text, role, depth, room, held):
    text.put(depth, "for _ in range(2):")
    return 2 * _inside(text, role, depth + 1, room // 2, held) or 1


def _permit(text, role, depth, room, held):
    if "permit" in held:
        return 0
    text.put(depth, "permit.wait()")
    used = 2 + _inside(text, role, depth, room - 2, held | {"permit"})
    text.put(depth, "permit.complete()")
    return used


def _signal(text, role, depth, room, held):
    text.put(depth, "done.complete_all()" if role.startswith("r1") else "done.wait()")
    return 1


def _stepped(text, name):
    """Return a step before an access of *name*."""
    return text.rng.choice([f"step({name!r})", "step()"])


def _step_change(text, role, depth, room, held):
    name = text.rng.choice(list(STEPPED))
    text.put(depth, _stepped(text, name))
    text.put(depth, _filled(text, STEPPED[name][1]))
    return 1


def _step_branch(text, role, depth, room, held):
    name = text.rng.choice(list(STEPPED))
    text.put(depth, _stepped(text, name))
    text.put(depth, f"saw = {STEPPED[name][2]}")
    text.put(depth, f"seen_{role}.append(saw)")
    return 1 + _both_ways(text, role, depth, room - 1, held)


def _thread(text, role, depth, room, held):
    if text.threads:
        return 0
    text.threads += 1
    text.put(depth, "def child():")
    text.put(depth + 1, "nonlocal flag, count, late")
    _early(text, f"{role}_child", depth + 1, .8, [role])
    inside = text.rng.randint(1, max(room - 2, 1))
    _block(text, f"{role}_child", depth + 1, inside, frozenset())
    text.put(depth, "thread = Thread(target=child, name='child')")
    text.put(depth, "thread.start()")
    _early(text, role, depth, .5, [f"{role}_child"])
    used = _inside(text, role, depth, room - 2 - inside, held)
    text.put(depth, "thread.join()")
    return used + inside + 2


def _made(text, role, depth, room, held):
    if "made" in held:
        return 0
    guard, key = "c", text.rng.randint(1, 2)
    if guard in held:
        text.put(depth, f"lock = made.get({key}) or made.setdefault({key}, Mutex())")
    else:
        text.put(depth, f"with {guard}:")
        text.put(depth + 1, f"lock = made.get({key}) or made.setdefault({key}, Mutex())")
    text.put(depth, "with lock:")
    return 4 + _inside(text, role, depth + 1, room - 4, held | {"made"})


# kind -> the stops it takes at least, its weight, what puts it
_STATEMENTS = {
    "section": (2, 4, _section), "nested": (4, 12, _nested), "semaphore": (2, 2, _semaphore),
    "try": (2, 2, _try), "change": (2, 4, _change), "branch": (2, 4, _branch),
    "loop": (2, 1, _loop), "permit": (2, 2, _permit), "signal": (1, .3, _signal),
    "step": (1, 1, _step_change), "branch on a step": (1, 1, _step_branch),
    "thread": (3, 2, _thread), "made": (4, 4, _made),
    "try the semaphore": (2, 1, _try_semaphore), "look": (1, .5, _look)}
BRANCHES = ("branch", "branch on a step", "look")


def scenario(seed, early=""):
    """Return the factory of the scenario of *seed*; `state` of it tells of its last world."""
    text, has = source(seed, early)
    file = f"<scenario {seed}{early and ' '}{early}>"
    linecache.cache[file] = len(text), None, text.splitlines(True), file
    import threading

    import harness
    space = {"Mutex": harness.Mutex, "RWSemaphore": harness.RWSemaphore, "step": harness.step,
             "Completion": harness.Completion, "Thread": threading.Thread, "__name__": file}
    exec(compile(text, file, "exec"), space)

    def factory():
        roles, factory.state = space["world"]()
        return Scenario(roles)

    factory.scenario_name, factory.text, factory.has = file, text, has
    return factory


def endings(factory, strategy, workers, most=None):
    """Return how often the schedules of *strategy* ended how, and how many were begun; None if
    there are more than *most*.
    """
    names, found, begun = Names(), Counter(), 0
    while True:
        strategy.begin()
        run = ControlledRun(build(factory, "random"), strategy, names)
        outcome = run.play(workers)
        begun += 1
        if outcome.findings or not run.cut:
            told = tuple(sorted({str(each.verdict) for each in outcome.findings}))
            if "error" in told or "inconclusive" in told:
                told += tuple(each.text for each in outcome.findings)
            stuck = tuple(sorted(task.name for task in run.stuck))
            found[told, stuck, factory.state()] += 1
        if most is not None and begun > most:
            return None
        if not strategy.advance(run):
            return found, begun


@dataclass
class Compared:
    """What one scenario came to.

    Attributes:
        fails: some schedule ends in a finding.
        differs: a line for each thing that disagrees.
    """

    seed: int
    has: Counter
    plain: int
    reduced: int
    fails: bool
    stuck: bool
    predicted: str
    differs: list[str] = field(default_factory=list)

    @property
    def branches(self):
        """Whether a role branches on data."""
        return any(self.has[kind] for kind in BRANCHES)


def compare(seed, most=MOST):
    """Compare the plain search, the reduced one, `explore` and `predict` on the scenario of *seed*;
    None if it has more than *most* schedules.
    """
    factory = scenario(seed)
    with Workers() as workers:
        plain = endings(factory, DepthFirst(), workers, most)
        if plain is None:
            return None
        reduced = endings(factory, Reduced(), workers, 2 * most)
    kinds = {word for told, _, _ in plain[0] for word in told}
    stuck = any(word in STUCK for word in kinds)
    result = predict(factory)
    case = Compared(seed, factory.has, plain[1], reduced and reduced[1], bool(kinds), stuck,
                    str(result.verdict))
    differs = case.differs
    if reduced is None:
        differs.append(f"the reduced search begins more than {2 * most} schedules, the plain one "
                       f"{plain[1]}")
    elif set(plain[0]) != set(reduced[0]):
        for ending in list(set(plain[0]) - set(reduced[0]))[:3]:
            differs.append(f"the reduced search misses {ending}")
        for ending in list(set(reduced[0]) - set(plain[0]))[:3]:
            differs.append(f"the reduced search goes where the plain one does not: {ending}")
    explored = explore(factory)
    wrong = {True: explored.verdict.value not in kinds, False: explored.verdict.value != "clean"}
    if wrong[bool(kinds)]:
        differs.append(f"explore says {explored.verdict}, the plain search "
                       f"{sorted(kinds) or 'clean'}: "
                       f"{explored.finding.text if explored.finding else explored.coverage}")
    if stuck and result.verdict.value == "clean":
        differs.append(f"predict says clean, the plain search {sorted(kinds)}: "
                       f"{[(each.status, each.reason) for each in result.predictions]}")
    if not kinds and result.verdict.value in ("deadlock", "hang", "violation", "error"):
        differs.append(f"predict says {result.verdict}, the plain search clean")
    return case


def all_endings(factory, **options):
    """Return every state that a world of *factory* was left in by `explore`, and its result."""
    found = set()

    def made():
        if hasattr(factory, "state"):
            found.add(factory.state())
        return factory()

    made.scenario_name = factory.scenario_name
    result = explore(made, all=True, engine=False, **options)
    found.add(factory.state())
    return found, result


def compare_early(seed, most=MOST):
    """Compare what explore makes of data shared before the first operation with the same scenario
    in which a step stands before each access; None if it has more than *most* schedules.

    Returns:
        How many schedules, in how many states they end, and a line for each thing that disagrees.
    """
    truth, result = all_endings(scenario(seed, "stepped"), max_schedules=most)
    if not result.coverage["complete"]:
        return None
    differs, number = [], 0
    for strategy in ("dfs", "dpor"):
        found, result = all_endings(scenario(seed, "bare"), strategy=strategy,
                                    max_schedules=10 * most)
        number = result.coverage["schedules"]
        if not result.coverage["complete"]:
            if strategy == "dpor":
                differs.append(f"dpor does not come to an end: {result.coverage}")
            continue
        differs += [f"{strategy} misses {ending}" for ending in sorted(truth - found)[:3]]
        differs += [f"{strategy} goes where no order leads: {ending}"
                    for ending in sorted(found - truth)[:3]]
    return number, len(truth), differs
