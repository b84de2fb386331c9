"""Every operation in every engine: the same small world has the same answer.

The ends of each world are counted by hand, above it. dfs and the reduced search see all of them and
no other; schedules that are drawn see all if there are enough; a run sees one of them. What an
engine cannot say of an operation it must not pass over: the column `engine` is what the fast engine
says of the recorded roles, or why it was not asked.
"""

import threading
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import pytest
from explored import Explored

from harness import (Completion, Mutex, RWSemaphore, Scenario, Verdict, explore,
                     force, predict, run, step, stress)
from harness.checker.program import Program
from harness.checker.search import search
from harness.exploration.strategies import DepthFirst, Random
from harness.locks.node import Node
from harness.locks.operations import ONLY_RECORDED
from harness.programs.threads import scenario_of
from harness.runtime.workers import Workers

CLEAN, DEADLOCK, HANG = Verdict.CLEAN, Verdict.DEADLOCK, Verdict.HANG
LIMITED = "not asked: {} did what a program cannot say: a request with a time limit"
LOOKS = "not asked: {} did what a program cannot say: 'look'"
SAYS = "clean (all "


@dataclass
class World:
    """A world, and what is known of it.

    Attributes:
        make: is given what roles tell; returns them.
        ends: what they have told where all of them end, in order if it is told under a lock.
        covers: the operations it is about.
        stuck: what it is where not all of them end; "" if they do.
        always: whether that is so in each schedule.
        engine: see above; None if the first schedule is stuck already, so that it is not asked.
        program: the same as data, with the policy if it is not that of others; None if it asks
            with a limit, looks or steps: no data says that.
    """

    make: Any
    ends: set
    covers: tuple
    stuck: Verdict = CLEAN
    always: bool = False
    engine: str | None = SAYS
    program: Any = None
    seen: set = field(default_factory=set)

    def __call__(self):
        told = []
        made = self.make(told.append)
        made = made if isinstance(made, Scenario) else Scenario(made)

        def check():
            if made.check is not None:
                made.check()
            self.seen.add(tuple(told))

        return Scenario(made.roles, check=check)

    def by(self, tool, **options):
        """Return the verdict of *tool*, the ends that were seen, and the result."""
        self.seen = set()
        result = tool(self, **options)
        return result.verdict, self.seen, result


WORLDS = {}


def world(*covers, **known):
    def keep(make):
        WORLDS[make.__name__] = World(make, covers=covers, **known)
        return make
    return keep


def under(lock, tell, *words):
    """Return a role that tells each of *words* while it has *lock*, which it takes each time."""
    def role():
        for word in words:
            with lock() if callable(lock) else lock:
                tell(word)
    return role


# -- mutexes ---------------------------------------------------------------------------------------


# Who comes first tells first.
@world("Mutex.acquire", "Mutex.release", ends={("x", "y"), ("y", "x")},
       program={"x": [("lock", "a"), ("unlock", "a")], "y": [("lock", "a"), ("unlock", "a")]})
def one_mutex(tell):
    a = Mutex("a")
    return {name: under(a, tell, name) for name in "xy"}


# Both have both locks one after the other, or each has one.
@world("Mutex.acquire", stuck=DEADLOCK, ends={("x", "y"), ("y", "x")}, engine="deadlock (",
       program={"x": [("lock", "a"), ("lock", "b"), ("unlock", "b"), ("unlock", "a")],
                "y": [("lock", "b"), ("lock", "a"), ("unlock", "a"), ("unlock", "b")]})
def two_mutexes(tell):
    a, b = Mutex("a"), Mutex("b")

    def crosses(first, second, name):
        def role():
            with first, second:
                tell(name)
        return role

    return {"x": crosses(a, b, "x"), "y": crosses(b, a, "y")}


# The other has it while it is asked for, or it has not.
def asks_while_held(take, give, ask, tell):
    """One takes and gives back; the other asks once, tells the answer, and gives back a yes."""
    def holds():
        take()
        give()

    def asks():
        got = ask()
        tell(got)
        if got:
            give()

    return {"x": holds, "y": asks}


YES_OR_NO = {(True,), (False,)}


@world("Mutex.acquire try", ends=YES_OR_NO,
       program={"x": [("lock", "a"), ("unlock", "a")], "y": [("trylock", "a", 1), ("unlock", "a")]})
def tried_mutex(tell):
    a = Mutex("a")
    return asks_while_held(a.acquire, a.release, lambda: a.acquire(False), tell)


@world("Mutex.acquire timed", ends=YES_OR_NO, engine=LIMITED.format("y"))
def timed_mutex(tell):
    a = Mutex("a")
    return asks_while_held(a.acquire, a.release, lambda: a.acquire(timeout=1), tell)


@world("Mutex.locked", ends=YES_OR_NO, engine=LOOKS.format("y"))
def looked_at_mutex(tell):
    a = Mutex("a")
    return {"x": under(a, lambda word: None, ""), "y": lambda: tell(a.locked())}


# A limit lets one of two that crossed go on: he tells no, and the other has both.
@world("Mutex.acquire timed", engine=LIMITED.format("y"),
       ends={("x", True), (True, "x"), ("x", False), (False, "x")})
def limit_in_a_cycle(tell):
    a, b = Mutex("a"), Mutex("b")

    def x():
        with a, b:
            tell("x")

    def y():
        with b:
            got = a.acquire(timeout=1)
            tell(got)
            if got:
                a.release()

    return {"x": x, "y": y}


@world("Mutex.nested", stuck=DEADLOCK, always=True, ends=set(), engine=None)
def asks_again(tell):
    a = Mutex("a")

    def x():
        with a, a.nested(1, "it is not looked at"):
            tell("x")

    return {"x": x}


# -- semaphores ------------------------------------------------------------------------------------


# Readers tell in any order, before the writer or after him: of three each order, 3!.
@world("RWSemaphore.down_read", "RWSemaphore.up_read", "RWSemaphore.down_write",
       "RWSemaphore.up_write",
       ends={("r", "s", "w"), ("r", "w", "s"), ("s", "r", "w"), ("s", "w", "r"), ("w", "r", "s"),
             ("w", "s", "r")},
       program={"r": [("down_read", "s"), ("up_read", "s")], "s": [("down_read", "s"),
                ("up_read", "s")], "w": [("down_write", "s"), ("up_write", "s")]})
def readers_and_a_writer(tell):
    sem, order = RWSemaphore("sem"), Mutex("order")

    def reads(name):
        def role():
            with sem.down_read(), order:
                tell(name)
        return role

    return {"r": reads("r"), "s": reads("s"), "w": under(sem.down_write, tell, "w")}


def reads_again(policy):
    def make(tell):
        sem = RWSemaphore("sem", policy=policy)

        def reads():
            with sem.down_read():
                tell("r")
                with sem.down_read():
                    tell("r")

        return {"r": reads, "w": under(sem.down_write, tell, "w")}

    make.__name__ = f"reads_again_{policy}"
    return make


READS_AGAIN = {"r": [("down_read", "s"), ("down_read", "s"), ("up_read", "s"), ("up_read", "s")],
               "w": [("down_write", "s"), ("up_write", "s")]}
# A writer between two reads of one role cannot be; one that is queued there keeps it out but for
# one policy.
for policy in ("writer", "fair", "reader"):
    out = policy != "reader"
    world("RWSemaphore.down_read", ends={("r", "r", "w"), ("w", "r", "r")},
          stuck=DEADLOCK if out else CLEAN, engine="deadlock (" if out else SAYS,
          program=(READS_AGAIN, policy))(reads_again(policy))


def asked(how, holds):
    """Somebody *holds* the semaphore, and it is asked for as *how* says."""
    def make(tell):
        sem = RWSemaphore("sem")
        mode = how.split("_")[1]
        ask = getattr(sem, f"down_{mode}_{how.split('_')[2]}")
        give, limit = getattr(sem, f"up_{mode}"), (1,) if how.endswith("timeout") else ()

        def asks():
            got = ask(*limit)
            tell(got)
            if got:
                give()

        return {"x": under(getattr(sem, f"down_{holds}"), lambda word: None, ""), "y": asks}

    make.__name__ = f"{how}_beside_a_{holds[:4]}er"
    return make


# A reader keeps no reader out; all else do.
for mode in ("read", "write"):
    for holds in ("read", "write"):
        ends = {(True,)} if mode == holds == "read" else YES_OR_NO
        tried = {"x": [(f"down_{holds}", "s"), (f"up_{holds}", "s")],
                 "y": [(f"down_{mode}_trylock", "s", 1), (f"up_{mode}", "s")]}
        world(f"RWSemaphore.down_{mode}_trylock", ends=ends, program=tried)(
            asked(f"down_{mode}_trylock", holds))
        # A limit may run out where nothing keeps it out? It cannot: then it has it at once.
        world(f"RWSemaphore.down_{mode}_timeout", ends=ends, engine=LIMITED.format("y"))(
            asked(f"down_{mode}_timeout", holds))


# -- completions -----------------------------------------------------------------------------------


@world("Completion.complete", "Completion.wait", ends={("x",)},
       program={"x": [("wait", "f")], "y": [("set", "f")]})
def told_once(tell):
    done = Completion("done")
    return {"x": lambda: (done.wait(), tell("x")), "y": done.complete}


# Two completed, of which two wait; a third would not pass.
@world("Completion.complete", "Completion.wait", ends={("x", "x")},
       program={"x": [("wait", "f"), ("wait", "f")], "y": [("complete", "f"), ("complete", "f")]})
def counted(tell):
    done = Completion("done")

    def waits():
        for _ in range(2):
            done.wait()
            tell("x")

    return {"x": waits, "y": lambda: (done.complete(), done.complete())}


@world("Completion.complete", "Completion.wait", stuck=HANG, always=True, ends=set(),
       engine=None, program={"x": [("wait", "f"), ("wait", "f"), ("wait", "f")],
                           "y": [("complete", "f"), ("complete", "f")]})
def counted_too_few(tell):
    done = Completion("done")
    return {"x": lambda: [done.wait() for _ in range(3)],
            "y": lambda: (done.complete(), done.complete())}


@world("Completion.wait timed", ends=YES_OR_NO, engine=LIMITED.format("x"))
def told_in_time(tell):
    done = Completion("done")
    return {"x": lambda: tell(done.wait(timeout=1)), "y": done.complete}


@world("Completion.done", ends=YES_OR_NO, engine=LOOKS.format("x"))
def looked_at(tell):
    done = Completion("done")
    return {"x": lambda: tell(done.done()), "y": done.complete}


@world("Completion.complete_all", ends={("x", "x")},
       program={"x": [("wait", "f"), ("wait", "f")], "y": [("set", "f")]})
def told_for_ever(tell):
    done = Completion("done")

    def waits():
        for _ in range(2):
            done.wait()
            tell("x")

    return {"x": waits, "y": done.complete_all}


# The wait comes between, or behind: there it waits for ever.
@world("Completion.reinit", stuck=HANG, ends={("x",)}, engine=None,
       program={"x": [("wait", "f")], "y": [("set", "f"), ("clear", "f")]})
def taken_back(tell):
    done = Completion("done")
    return {"x": lambda: (done.wait(), tell("x")),
            "y": lambda: (done.complete_all(), done.reinit())}


# -- threads and steps -----------------------------------------------------------------------------


# Two take the lock once it was started, in either order.
@world("Thread.start", "Thread.join", ends={("x", "t"), ("t", "x")},
       program={"x": [("set", "go"), ("lock", "a"), ("unlock", "a"), ("join", "t")],
                "t": [("wait", "go"), ("lock", "a"), ("unlock", "a")]})
def started(tell):
    a = Mutex("a")

    def x():
        thread = threading.Thread(target=under(a, tell, "t"))
        thread.start()
        under(a, tell, "x")()
        thread.join()

    return {"x": x}


# It is waited for with the lock in hand: who was started has had it, or never gets it.
@world("Thread.join", stuck=DEADLOCK, ends={("t",)}, engine=None,
       program={"x": [("set", "go"), ("lock", "a"), ("join", "t"), ("unlock", "a")],
                "t": [("wait", "go"), ("lock", "a"), ("unlock", "a")]})
def joined_in_vain(tell):
    a = Mutex("a")

    def x():
        thread = threading.Thread(target=under(a, tell, "t"))
        thread.start()
        with a:
            thread.join()

    return {"x": x}


# Each reads, steps, and writes one more: both are counted, or one is lost.
@world("step", ends={(1,), (2,)})
def stepped(tell):
    a, count = Mutex("a"), [0]

    def adds():
        with a:
            pass
        step("count")
        before = count[0]
        step("count")
        count[0] = before + 1

    return Scenario({"x": adds, "y": adds}, check=lambda: tell(count[0]))


# -- engines ---------------------------------------------------------------------------------------

each = pytest.mark.parametrize("name", WORLDS)


# What is neither asked of a lock nor looked at: what it is, what others ask it, and who is told.
OTHERS = {
    Mutex: {"destroy"}, RWSemaphore: {"destroy", "holders"},
    Completion: {"expects", "finish", "given", "not_given"}}
OF_NODES = {"blockers", "held_outside", "is_free_for", "release_hold", "release_verb"}


def test_every_operation_has_a_world():
    """One that is new, of a lock or of a kind of step, needs its world here."""
    public = {f"{kind.__name__}.{name}" for kind, others in OTHERS.items()
              for base in kind.__mro__[:kind.__mro__.index(Node)]
              for name, value in vars(base).items()
              if not name.startswith("_") and callable(value) and name not in others | OF_NODES}
    covered = {operation.split()[0] for known in WORLDS.values() for operation in known.covers}
    assert covered == public | {"Thread.start", "Thread.join", "step"}


@each
def test_reduced_search_sees_every_end_and_no_other(name):
    known = WORLDS[name]
    verdict, seen, result = known.by(explore, all=True, engine=False)
    assert (verdict, seen, result.coverage["complete"]) == (known.stuck, known.ends, True)


@each
@pytest.mark.parametrize("strategy, most", [(DepthFirst(), 3000), (Random(1), 60)],
                         ids=["dfs", "random"])
def test_plain_searches_see_every_end_and_no_other(strategy, most, name):
    """Of those that are drawn there are enough."""
    known = WORLDS[name]
    known.seen = set()
    with Workers() as workers:
        found = Explored(known, deepcopy(strategy), workers, most)
    assert (known.seen, bool(found.stuck), found.problems) == (
        known.ends, known.stuck is not CLEAN, [])
    assert (found.tried == most) == (strategy.name == "random")


@each
def test_explore_says_what_the_fast_engine_was_asked(name):
    known = WORLDS[name]
    verdict, _, result = known.by(explore)
    said = result.coverage.get("engine")
    assert verdict is known.stuck
    assert said is known.engine if known.engine is None else said.startswith(known.engine)


@each
def test_what_can_get_stuck_is_predicted_and_forced_and_nothing_else(name):
    known = WORLDS[name]
    assert known.by(predict)[0] is known.stuck
    assert known.by(force)[0] is (Verdict.NOT_REACHED if known.stuck is CLEAN else known.stuck)


@each
@pytest.mark.parametrize("tool", [run, stress])
def test_a_race_has_one_of_the_ends(tool, name):
    known = WORLDS[name]
    verdict, seen, _ = known.by(tool, runs=3)
    assert seen <= known.ends and verdict in {known.stuck, known.stuck if known.always else CLEAN}
    assert seen or verdict is not CLEAN


@pytest.mark.parametrize("name", [name for name, known in WORLDS.items() if known.program])
def test_the_same_as_data_comes_to_the_same(name):
    known = WORLDS[name]
    threads, policy = known.program if isinstance(known.program, tuple) else \
        (known.program, "writer")
    program = Program({}, threads, policy=policy)
    answer = search(program)
    assert (answer.verdict, answer.complete) == (known.stuck, True)
    if not any(op.op in ONLY_RECORDED for ops in program.threads.values() for op in ops):
        result = explore(scenario_of(program), engine=False, all=True)
        assert (result.verdict, result.coverage["complete"]) == (known.stuck, True)
