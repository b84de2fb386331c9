"""Each long check has controls: what it looks at is made wrong, and it must say so.

A control breaks the subject of a check, never the comparison: with the comparison taken out, or
emptied, its control fails. A check without a control fails, too.
"""

import gc
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import (checking, garbage, killing, laboratory, limits, mutating, oracle, permits,
                        side_by_side, stdlib, stopping, words)
from benchmarks.worlds import dining, recovery
from harness import ScenarioError, Verdict, explore
from harness.exploration.dpor import Reduced
from harness.exploration.strategies import DepthFirst

FULL, LITTLE = 1, 0.001


def says(verdict, **more):
    """Return a tool that says *verdict* of whatever it is given."""
    return lambda *given, **options: SimpleNamespace(
        **{"verdict": verdict, "finding": None, "predictions": [], "coverage": {}} | more)


def raises(exc):
    def call(*given, **options):
        raise exc
    return call


def recovery_alone(patch):
    patch.setattr(oracle, "random_programs", lambda seed: iter([[recovery()]]))


def blind_engine(patch):
    recovery_alone(patch)
    plain = checking.search
    patch.setattr(checking, "search", lambda program: replace(plain(program), deadlocks=()))


def engine_that_sees_a_part(patch):
    recovery_alone(patch)
    plain = checking.search
    patch.setattr(checking, "search", lambda program: replace(plain(program), complete=False))


def engine_of_other_places(patch):
    """It says that somebody waits, as is true, and not where."""
    recovery_alone(patch)
    elsewhere = SimpleNamespace(places=frozenset({("nobody", 0)}))
    plain = checking.search
    patch.setattr(checking, "search",
                  lambda program: replace(plain(program), deadlocks=(elsewhere,)))


def engine_of_another_word(patch):
    recovery_alone(patch)
    plain = checking.search
    patch.setattr(checking, "search", lambda program: replace(plain(program), verdict="clean"))


def oracle_that_counts_otherwise(patch):
    recovery_alone(patch)
    patch.setattr(oracle.module("brute"), "count_schedules", lambda program: (1, 0))


def reduced_not_at_all(patch):
    recovery_alone(patch)
    patch.setattr(checking, "Reduced", DepthFirst)


def programs_without_deadlocks(patch):
    patch.setattr(oracle, "random_programs", lambda seed: iter([[dining(2, ordered=True)]] * 2))
    patch.setattr(checking, "PROGRAMS", 1)


def cases_alike(where, name, constant, **case):
    """Have all cases of a check come to the same."""
    def control(patch):
        patch.setattr(oracle.module(name), "compare" if "early" not in case else "compare_early",
                      lambda seed: case.get("early") or SimpleNamespace(seed=seed, **case))
        patch.setattr(where, constant, 1)
    return control


COUNTS = SimpleNamespace(begun=1, rounds=0)
NO_DIFFERENCE = {"differs": [], "has": {}, "stuck": 0, "plain": 1}


def requests_at_the_end_overlooked(patch):
    """Of the mail's five classes three are found."""
    recovery_alone(patch)
    patch.setattr(Reduced, "_pending", lambda self: [])


def reduced_to_one(patch):
    """The reduced search ends with its first schedule."""
    patch.setattr(Reduced, "advance", lambda self, run: False)


def tools_of_scenarios(verdict):
    def control(patch):
        for tool in ("predict", "explore"):
            patch.setattr(oracle.module("random_scenarios"), tool, says(verdict))
    return control


def ends_of_starts(patch):
    """The reduced search misses an end that there is, and comes to one that there is not."""
    ends = {None: {"left", "right"}, "dfs": {"left", "right"}, "dpor": {"left", "nowhere"}}
    patch.setattr(oracle.module("random_scenarios"), "all_endings", lambda factory, strategy=None,
                  **_: (ends[strategy], says(None, coverage={"complete": True, "schedules": 2})()))


def predicts_of_permits(verdict):
    compare = oracle.module("permit_worlds").compare
    return lambda patch: patch.setattr(compare, "__defaults__", (1_500, says(verdict)))


def predicts_of_pairs(verdict):
    return lambda patch: patch.setattr(oracle.module("differential"), "predict", says(verdict))


def wrong_of_all_pairs(patch):
    """The 15 s of all pairs are spared; what they come to is handed on."""
    patch.setattr(oracle.module("differential"), "check_all", lambda: ["pairs are wrong"])


def every_stopped_call(patch):
    patch.setattr(stopping, "_TOOLS", dict.fromkeys(stopping._TOOLS, says(Verdict.HANG)))


def every_crowded_call(patch):
    patch.setattr(checking.stopping, "stops", lambda cases, seed: ("none", []))
    patch.setattr(checking, "CROWDS", FULL / LITTLE)
    patch.setattr(stopping, "SIDE_BY_SIDE", 1)
    patch.setattr(stopping, "run", says(Verdict.HANG))


def replays(exc, printed="", **constants):
    """Have each replay print and raise that."""
    def replay(*given, **options):
        print(printed, end="")
        raise exc

    def control(patch):
        token = explore(oracle.module("small_worlds").abba).replay
        patch.setattr(mutating, "_good_tokens", lambda: [token])
        patch.setattr(mutating, "replay", replay)
        for name, value in constants.items():
            patch.setattr(mutating, name, value)
    return control


def ends_with_no_status_of_ours(patch):
    replays(RuntimeError())(patch)
    patch.setattr(mutating.output, "guarded", lambda program, body: print("all is well") or 7)


def process_left(patch):
    patch.setattr(killing, "COMMANDS", (("harness help", 0),))
    patch.setattr(killing.Killed, "_life", lambda self, command: 0.0)
    patch.setattr(killing.Killed, "_left", lambda self, group: True)


def collected(call):
    """Have *call* in place of each tool, of which the check knows what it must say."""
    return lambda patch: patch.setattr(garbage, "_TOOLS", {
        name: (call, clean) for name, (_, clean) in garbage._TOOLS.items()})


def leaves_the_collector_off(world, runs):
    gc.disable()
    return says(Verdict.CLEAN)()


def on_one_cpu(patch):
    patch.setattr(side_by_side.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    patch.setattr(side_by_side, "together", lambda number, how, seconds: (number, ["0"] * number))


def rates(pinned):
    def control(patch):
        patch.setattr(side_by_side.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
        patch.setattr(side_by_side, "together", lambda number, how, seconds: (
            1000 * (pinned[number - 1] if how == "pinned" else number),
            [str(cpu) for cpu in range(number)]))
    return control


def word_on_a_race(way):
    """One who tells of a race is wrong: prediction, its command, exploration."""
    def command(words):
        Path(words[-1]).write_text('{"verdict": "error"}', encoding="utf-8")

    def control(patch):
        wrong = says(Verdict.ERROR, coverage={"complete": True, "verdicts": {"error": 1}})
        for name, other in (("predict", wrong), ("explore", wrong), ("main", command)):
            patch.setattr(laboratory, name, other)
        patch.setattr(laboratory, "WAYS", {way: [("unbind-vs-vf-add", laboratory.MAIL)]})
    return control


def finds(verdict):
    return lambda patch: patch.setattr(checking, "explore", lambda world, **options: (
        [world() for _ in range(200)] if "max_schedules" in options else None,
        says(verdict)())[1])


# check -> how much of it, from which seed, what is made wrong, and what it must say of that
def says_of_waits(name):
    """One of the three says of every program what none of the first five comes to."""
    def control(patch):
        patch.setattr(oracle.module("random_waits"), name,
                      says(Verdict.VIOLATION, coverage={"complete": True}))
    return control


def many_of_waits(word):
    """All programs come to the same."""
    def control(patch):
        patch.setattr(oracle.module("random_waits"), "answers", lambda number: SimpleNamespace(
            engine=word, explored=word, differs=""))
        patch.setattr(words, "PROGRAMS", 1)
    return control


class Unordered(stdlib.queue.Queue):
    """Gives what was put last first: `test_basic` sees it; it is apart, as it has a hook."""

    def _get(self):
        return self.queue.pop()


def queue_without_order(patch):
    patch.setattr(stdlib, "queue", SimpleNamespace(**{
        name: getattr(stdlib.queue, name) for name in stdlib.queue.__all__} | {
            "Queue": Unordered}))
    only(patch, "test_queue")
    patch.setattr(stdlib, "QUEUES", ("QueueTest",))


def run_that_hangs(patch):
    only(patch, "test_queue")
    patch.setattr(stdlib, "QUEUES", ("QueueTest",))
    patch.setattr(stdlib, "run", says(Verdict.HANG))


class LetsEverybodyIn(stdlib.threading.Lock):
    """`test_acquire_contended`, the first case, sees it."""

    def acquire(self, blocking=True, timeout=-1):
        return True

    def release(self):
        pass


def lock_that_locks_nothing(patch):
    only(patch, "lock_tests")
    patch.setattr(stdlib, "LOCKS", {"LockTests": stdlib.LOCKS["LockTests"]})
    patch.setattr(stdlib.threading, "Lock", LetsEverybodyIn)


def only(patch, suite):
    patch.setattr(stdlib, "SUITES", {suite: stdlib.SUITES[suite]})


CONTROLS = {
    "stdlib": [(LITTLE, None, queue_without_order, ["outside a run", "in a run"]),
               (LITTLE, None, lock_that_locks_nothing, [
                   "test_acquire_contended of OurLockTests, outside a run",
                   "test_acquire_contended of OurLockTests, in a run"]),
               (LITTLE, None, run_that_hangs, ["in a run: hang"])],
    "programs": [(LITTLE, 8, blind_engine, ["the engine says"]),
                 (LITTLE, 8, engine_that_sees_a_part, ["the engine says"]),
                 (LITTLE, 8, engine_of_other_places, ["the engine says"]),
                 (LITTLE, 8, engine_of_another_word, ["the engine says clean"]),
                 (LITTLE, 8, oracle_that_counts_otherwise, ["the oracle (1, 0)"]),
                 (LITTLE, 8, reduced_not_at_all, ["the reduced search begins"]),
                 (LITTLE, 8, programs_without_deadlocks, ["too few deadlock"]),
                 (LITTLE, 8, requests_at_the_end_overlooked,
                  ["the reduced search finds other classes"])],
    "scenarios": [(LITTLE, 26, tools_of_scenarios(Verdict.CLEAN),
                   ["predict says clean", "explore says clean"]),
                  (LITTLE, 26, tools_of_scenarios(Verdict.DEADLOCK),
                   ["predict says deadlock", "explore says deadlock"]),
                  (LITTLE, 26, cases_alike(checking, "random_scenarios", "SCENARIOS", reduced=1,
                                           fails=False, branches=True, **NO_DIFFERENCE),
                   ["too few fail"]),
                  (LITTLE, 26, cases_alike(checking, "random_scenarios", "SCENARIOS", reduced=1,
                                           fails=True, branches=False, **NO_DIFFERENCE),
                   ["too few fail, or too few branch"]),
                  (LITTLE, 26, reduced_to_one, ["the reduced search misses"])],
    "oracle": [(LITTLE, 1, says_of_waits(name), ["'violation'"])
               for name in ("search", "explore", "predict")]
              + [(FULL, 1, many_of_waits(word), ["too few are deadlocks, or too few hangs"])
                 for word in ("deadlock", "hang")],
    "permits": [(LITTLE, 41, predicts_of_permits(Verdict.CLEAN), ["but predicted clean"]),
                (LITTLE, 41, cases_alike(permits, "permit_worlds", "WORLDS", stuck=False,
                                         branches=True, wrong="", statuses=[], predicted="clean"),
                 ["too few hang"]),
                (LITTLE, 41, cases_alike(permits, "permit_worlds", "WORLDS", stuck=True,
                                         branches=False, wrong="", statuses=[], predicted="clean"),
                 ["too few hang, or too few may branch"]),
                (LITTLE, 41, predicts_of_permits(Verdict.DEADLOCK), ["predicted deadlock, but"])],
    "starts": [(LITTLE, 8, cases_alike(checking, "random_scenarios", "SCENARIOS",
                                       early=(1, 1, [])), ["in too few the order matters"]),
               (LITTLE, 8, ends_of_starts,
                ["dpor misses right", "dpor goes where no order leads"])],
    "limits": [(LITTLE, 6, cases_alike(limits, "random_limits", "SCENARIOS", differs=[], has={},
                                       is_reduced=True, fails=False, graph=COUNTS, reduced=COUNTS),
                ["too few are searched"]),
               (LITTLE, 6, cases_alike(limits, "random_limits", "SCENARIOS", differs=[], has={},
                                       is_reduced=False, fails=True, graph=COUNTS, reduced=COUNTS),
                ["too few are searched"]),
               (LITTLE, 6, reduced_to_one, ["the reduced search alone finds"])],
    "races": [(LITTLE, 1, word_on_a_race(way), [f"unbind-vs-vf-add with collect-then-lock: {told}"])
              for way, told in ((laboratory.predicted, "predicted error"),
                                (laboratory.shown_again, "not-reached in the table"),
                                (laboratory.whole, "explored error"),
                                (laboratory.begun, "the first schedules: error"))],
    "pairs": [(LITTLE, 1, predicts_of_pairs(Verdict.CLEAN), ["predicted clean"]),
              (LITTLE, 1, predicts_of_pairs(Verdict.DEADLOCK), ["predicted deadlock"]),
              (FULL, 1, wrong_of_all_pairs, ["pairs are wrong"])],
    "stops": [(LITTLE, 1, every_stopped_call, ["hang, expected"]),
              (LITTLE, 1, every_crowded_call, ["hang, not clean"])],
    "tokens": [(LITTLE, 1, replays(RuntimeError("broken")), ["RuntimeError: broken"]),
               (LITTLE, 1, replays(ScenarioError("no"), "\x1b[2J"), ["what is no character"]),
               (LITTLE, 1, replays(ScenarioError("no"), "more"), ["status 2"]),
               (LITTLE, 1, ends_with_no_status_of_ours, ["status 7, 'all is well"]),
               (LITTLE, 1, replays(ScenarioError("no"), LONGEST=-1.0, MEMORY=-1),
                ["0 s: ", "the process grew"])],
    "files": [(LITTLE, 1, lambda patch: patch.setattr(
        mutating, "load", raises(RuntimeError("broken"))), ["RuntimeError: broken"])],
    "kills": [(LITTLE, 1, process_left, ["processes are left"])],
    "gc": [(LITTLE, 1, collected(says(Verdict.HANG)), ["hang, expected"]),
           (LITTLE, 1, collected(leaves_the_collector_off), ["the collector is left off"])],
    "side-by-side": [(LITTLE, 1, on_one_cpu, ["2 processes shared CPUs"]),
                     (FULL, 1, rates([1, 1, 2, 4]), ["two run less than 1.5 times what one does",
                                                     "3 pinned are slower than 3 that are not"])],
    "one-call": [(LITTLE, 1, finds(Verdict.CLEAN), ["0 deadlocks were found, expected 10"])],
    "calls": [(LITTLE, 1, finds(Verdict.HANG), ["0 deadlocks were found, expected 5"])],
}


def test_each_check_has_a_control():
    assert {*CONTROLS} == {*checking.CHECKS} and all(CONTROLS.values())


@pytest.mark.parametrize("name, scale, seed, control, told", [
    (name, *control) for name, controls in CONTROLS.items() for control in controls])
def test_check_says_what_is_wrong_with_its_subject(name, scale, seed, control, told, monkeypatch):
    control(monkeypatch)
    _, differs = checking.CHECKS[name][1](checking.Amount(scale, seed))
    assert [words for words in told if any(words in line for line in differs)] == told, differs
