"""Every option at every door: it is there and does something, or its absence is argued here.

The doors are the commands of both packages, the functions, the fixture's tools, and the settings of
the plugin. What each takes is read off the parsers and signatures: an option that is new at one
door must be placed, or argued, at all others.
"""

import functools
import inspect
import io
import json
import threading
from contextlib import redirect_stderr
from fnmatch import fnmatchcase
from importlib import import_module
from types import SimpleNamespace

import pytest
import pytest_lock_harness as plugin
import small_worlds

import harness
from harness import (Mutex, Observer, Scenario, Verdict, explore, force,
                     predict, replay, run, stress)
from harness.cli import command_line, commands
from harness.pytest_support import fixture
from pcimodel import __main__ as pcimodel

TOOLS = ("run", "force", "predict", "explore", "stress")
SPELLED = {"no_engine": "engine", "fixes": "fix", "scenarios": "scenario"}


def options_of(parser):
    """Return command -> the options and arguments it takes, named as in Python."""
    listed = next(action.choices for action in parser._actions if isinstance(action.choices, dict))
    return {name: {SPELLED.get(action.dest, action.dest) for action in command._actions} - {"help"}
            for name, command in listed.items()}


def doors():
    """Return what each door takes."""
    found = {f"{package} {name}": taken for package, parser in (
        ("harness", command_line._parser()), ("pcimodel", pcimodel._parser()))
        for name, taken in options_of(parser).items()}
    for name in (*TOOLS, "replay"):
        found[f"function {name}"] = {*inspect.signature(getattr(harness, name)).parameters}
    for name in TOOLS:
        function = run if name == "run" else fixture._TOOLS[name][0]
        found[f"fixture {name}"] = {*inspect.signature(function).parameters, "expect"}
    for door in ("option", "ini", "environment"):
        found[f"pytest {door}"] = {*plugin._SETTINGS}
    found["pytest option"].add("replay")
    found["pytest marker"] = {*plugin._MARKED}
    return found


DOORS = doors()
# No option of a kind makes sense there.
NONE = {"* help": "it prints a page", "pcimodel list": "it runs nothing",
        "pytest *": "what a test asks of its scenario stands in its calls"}
ONE_RUN = {"* replay": "a token is one run"}
JUDGED = {"harness cases": "each case is judged by all its states, orders and predictions"}
CELLS = {"pcimodel compare": "each cell is forced, and then drawn, in a fixed number of ways"}
SEARCH = {"* run": "nobody chooses", "* force": "the meeting chooses", "* stress": "noise chooses",
          "* predict": "its own exploration has bounds of its own", **ONE_RUN, **JUDGED, **CELLS,
          **NONE}
MODEL = {"harness *": "of the model", "function *": "its scenario() takes it",
         "fixture *": "so is it for a test", **NONE}

# option -> door, as a pattern -> why it is not there
ABSENT = {
    "runs": {"* explore": "schedules are counted: max_schedules", **ONE_RUN, **JUDGED, **CELLS,
             **{door: why for door, why in NONE.items() if not door.startswith("pytest")}},
    "seconds": {**ONE_RUN, **JUDGED, "pcimodel compare": "a table that the clock cuts is no table",
                **NONE, "pytest *": "how long a test may take is for pytest-timeout to say"},
    "seed": {"* run": "nothing is drawn that a seed would repeat: threads race",
             "* force": "nothing is drawn", "* predict": "nothing is drawn", **ONE_RUN, **JUDGED,
             "pcimodel compare": "the seed of the table is the same for ever", "* help": "a page",
             "pcimodel list": "it runs nothing"},
    "timeout": {"* help": "a page", "pcimodel list": "it runs nothing"},
    "detect": {"* explore": "one role at a time: who blocks is known without a look",
               **ONE_RUN, **JUDGED, "pcimodel compare": "both ways agree, and a test says so",
               **NONE},
    "baseline": {"* run": "it is of cycles that are predicted", "* force": "so it is",
                 "* explore": "so it is", "* stress": "so it is", **ONE_RUN, **JUDGED, **CELLS,
                 "* help": "a page", "pcimodel list": "it runs nothing",
                 "pytest marker": "a session has one, and a call may have its own"},
    "lockdep": {"* run": "the validator judges what prediction records", "* force": "so it does",
                "* explore": "so it does", "* stress": "so it does", **ONE_RUN, **CELLS, **NONE,
                "harness cases": "cases of a validator are judged by it alone"},
    **dict.fromkeys(("strategy", "max_schedules", "all", "check_determinism", "fresh",
                     "trust_locks", "engine", "preemptions", "depth"), SEARCH),
    "progress": {"harness *": "a terminal is seen", "pcimodel *": "a terminal is seen",
                 "* run": "it ends within seconds", "* force": "so does it", **NONE,
                 "* predict": "so does it", **ONE_RUN},
    "observers": {"harness *": "they are objects", "pcimodel *": "they are objects", **NONE,
                  "* force": "the meetings are its observers, in an order of their own",
                  "* predict": "so is what it records", "* explore": "an event is a step: "
                  "invariants look at it", "* stress": "the noise is one", **ONE_RUN},
    "policy": {"harness replay": "the token has it", "harness cases": "each case has its own",
               "function *": "the scenario makes its semaphores", "fixture *": "so it does",
               **NONE},
    "patch": {"harness cases": "the threads of a case are ours", "pcimodel *": "so are the model's",
              "function *": "harness.patched() is around the call", "fixture *": "so it is",
              "harness help": "a page", "pytest *": "it is of the session"},
    "json": {"* help": "a page", "function *": "a result has as_dict()", "fixture *": "so it has",
             "pytest *": "pytest writes junit, with the verdicts"},
    "full": {"harness cases": "a line each", "pcimodel compare": "a table", **NONE,
             "function *": "a result has `full`", "fixture *": "so it has"},
    "kernel": MODEL, "fix": MODEL, "machine": MODEL,
    "scenario": {"harness cases": "a file of them", "* help": "a page",
                 "pcimodel list": "it runs nothing", "pytest *": "a test is called with none"},
    "token": {door: "it is of replay" for door in (
        *(f"* {tool}" for tool in TOOLS), "* cases", "* compare", "* list", "* help")}
             | {"pytest *": "--replay has one"},
    "replay": {"harness *": "a command of its own", "pcimodel *": "harness replay shows it",
               "function *": "a function of its own", "fixture *": "the session has one",
               **{f"pytest {door}": "a token is of one session"
                  for door in ("ini", "environment", "marker")}},
    "file": {"harness [!ch]*": "it is of cases", "* help": "a page", "pcimodel *": "so it is",
             "function *": "so it is", "fixture *": "so it is", "pytest *": "so it is"},
    "topic": {"* [!h]*": "it is of help"},
    "expect": {"harness *": "the exit status says what came of it", "pcimodel *": "so it does",
               "function *": "the result is compared with a word", "pytest *": "each call says"},
    "predict": {"harness *": "a command of its own", "pcimodel *": "so it is",
                "function *": "a function of its own", "fixture *": "a tool of its own"},
}


def test_every_option_is_at_every_door_or_argued():
    assert {*ABSENT} == set().union(*DOORS.values())
    missing = [(option, door) for option, argued in ABSENT.items() for door in DOORS
               if option not in DOORS[door]
               and not any(fnmatchcase(door, pattern) for pattern in argued)]
    assert missing == []


def test_nothing_is_argued_away_that_is_there_and_nothing_for_no_door():
    for option, argued in ABSENT.items():
        for pattern, why in argued.items():
            meant = [door for door in DOORS if fnmatchcase(door, pattern)]
            assert meant and why, (option, pattern)
            assert not [door for door in meant if option in DOORS[door]], (option, pattern)


# -- commands: what is given reaches the function --------------------------------------------------

# option -> how it is written, and what the function is given then; none of them a default.
GIVEN = {
    "runs": (["--runs", "7"], 7), "seconds": (["--seconds", "3"], 3.0),
    "seed": (["--seed", "5"], 5), "timeout": (["--timeout", "1.5"], 1.5),
    "detect": (["--detect", "timeout"], "timeout"),
    "baseline": (["--baseline", "known.txt"], "known.txt"), "lockdep": (["--lockdep"], True),
    "strategy": (["--strategy", "pct"], "pct"), "max_schedules": (["--max-schedules", "9"], 9),
    "all": (["--all"], True), "check_determinism": (["--check-determinism"], True),
    "fresh": (["--fresh"], True), "trust_locks": (["--trust-locks"], True),
    "engine": (["--no-engine"], False), "preemptions": (["--preemptions", "1"], 1),
    "depth": (["--depth", "4"], 4)}
MAINS = {"harness": (command_line.main, "case.json"),
         "pcimodel": (pcimodel.main, "vf-driver-load")}
CASE = [{"name": "it", "locks": {"s": {"kind": "rwsem"}}, "expect_before": "ok",
         "threads_before": {"reader": [["down_read", "s"], ["up_read", "s"]]}}]


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Return a function that runs a command and returns what its function was given, with the
    scenario and the result that it was answered with.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "case.json").write_text(json.dumps(CASE))

    def call(package, tool, *words):
        answer, got = run(small_worlds.in_order, runs=1), {}

        def function(scenario, **options):
            got.update(options, scenario=scenario, result=answer)
            return answer

        monkeypatch.setitem(commands.COMMANDS, tool,
                            commands.COMMANDS[tool]._replace(function=function))
        main, name = MAINS[package]
        assert main([tool, name, *words]) == 0
        return got

    return call


@pytest.mark.parametrize("package, tool, option", [
    (package, tool, option) for package in MAINS for tool in TOOLS
    for option in sorted(DOORS[f"{package} {tool}"] & {*GIVEN})])
def test_command_hands_on_what_it_is_given(package, tool, option, asked, capsys):
    words, value = GIVEN[option]
    drawn = ["--strategy", "random"] if (tool, option) == ("explore", "seed") else []
    assert asked(package, tool, *drawn)[option] != value
    assert asked(package, tool, *drawn, *words)[option] == value


@pytest.mark.parametrize("package, tool", [(package, tool) for package in MAINS for tool in TOOLS])
def test_command_does_by_itself_what_is_no_argument_of_the_function(package, tool, asked, capsys):
    left = DOORS[f"{package} {tool}"] - {*GIVEN}
    assert left == {"scenario", "policy", "json", "full"} | (
        {"kernel", "fix", "machine"} if package == "pcimodel" else {"patch"})
    words = ["--policy", "fair", "--json", "it.json", "--full"]
    words += ["--fix", "defer-vf-add", "--machine", "switch", "--kernel", "v4.14"] \
        if package == "pcimodel" else []
    got = asked(package, tool, *words)
    assert got["result"].full
    with open("it.json", encoding="utf-8") as file:
        assert json.load(file)["verdict"] == "clean"
    if package == "pcimodel":
        assert got["scenario"].reference[1] == {
            "name": "vf-driver-load", "kernel": "v4.14", "fixes": ["defer-vf-add"],
            "policy": "fair", "machine": "switch"}
    else:
        assert got["scenario"].program.policy == "fair"


@pytest.mark.parametrize("main, spied, words", [
    (command_line.main, "harness.methods.replay.replay", ["replay", "TOKEN"]),
    (command_line.main, "harness.cli.cases.show_cases", ["cases", "FILE"]),
    (pcimodel.main, "pcimodel.__main__.compare", ["compare"])])
def test_other_commands_hand_on_their_timeout(main, spied, words, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    given = []

    def spy(*got, **options):
        given.append(options["timeout"] if options else got[-1])
        raise ValueError("it is enough")

    module, _, name = spied.rpartition(".")
    monkeypatch.setattr(import_module(module), name, spy)
    with pytest.raises(ValueError, match="enough"):
        main([*words, "--timeout", "1.5"])
    assert given == [1.5]


@pytest.mark.parametrize("option, words, value", [
    ("policy", ["--policy", "fair"], "fair"), ("machine", ["--machine", "switch"], "switch"),
    ("names", ["--scenario", "unbind-vs-aer"], ["unbind-vs-aer"]),
    ("fixes", ["--fix", "defer-vf-add"], ["defer-vf-add"]), ("kernel", [], "v4.14")])
def test_the_table_is_of_what_it_is_asked_for(option, words, value, monkeypatch):
    parameters, given = inspect.signature(pcimodel.compare), {}

    def spy(*got, **options):
        given.update(parameters.bind(*got, **options).arguments)
        raise ValueError("it is enough")

    monkeypatch.setattr(pcimodel, "compare", spy)
    with pytest.raises(ValueError, match="enough"):
        pcimodel.main(["compare", *words])
    assert given[option] == value


# -- the fixture: what is given reaches the tool ---------------------------------------------------


@pytest.mark.parametrize("tool, option", [
    (tool, option) for tool in TOOLS for option in sorted(DOORS[f"fixture {tool}"])
    if option not in ("scenario", "expect")])
def test_fixture_hands_on_what_it_is_given(tool, option, request, monkeypatch):
    function, settings = fixture._TOOLS[tool]
    given = {}

    @functools.wraps(function)
    def spy(scenario, **options):
        given.update(options)
        return run(scenario, runs=1)

    monkeypatch.setitem(fixture._TOOLS, tool, (spy, settings))
    item = SimpleNamespace(nodeid=request.node.nodeid, user_properties=[], warn=print,
                           config=request.config, path=request.node.path)
    value = GIVEN[option][1] if option in GIVEN else object()
    getattr(fixture.LockHarness(item, {}), tool)(small_worlds.in_order, **{option: value})
    assert given[option] == value


# -- settings of the plugin: from wherever they come -----------------------------------------------

SET = {"timeout": ("3", 3.0), "runs": ("4", 4), "seed": ("5", 5), "predict": ("yes", True),
       "baseline": ("known.txt", {"a -> b -> a": "a ticket"})}


@pytest.mark.parametrize("door, setting", [
    (door, setting) for door in ("option", "ini", "environment")
    for setting in sorted(DOORS[f"pytest {door}"] - {"replay"})])
def test_setting_is_heard_from_each_source(door, setting, tmp_path, monkeypatch):
    text, value = SET[setting]
    (tmp_path / "known.txt").write_text("a -> b -> a  # a ticket\n")
    at = {f"harness_{setting}": text}
    if door == "environment":
        monkeypatch.setenv(f"HARNESS_{setting.upper()}", text)
    config = SimpleNamespace(
        invocation_params=SimpleNamespace(dir=tmp_path), inipath=tmp_path / "pytest.ini",
        getini=(at if door == "ini" else {}).get, stash=pytest.Stash(),
        getoption=(at if door == "option" else {}).get)
    assert plugin._values(config)[setting] == value


@pytest.mark.parametrize("setting", sorted(DOORS["pytest marker"]))
def test_setting_is_heard_from_a_marker(setting):
    text, value = SET[setting]
    marker = pytest.mark.lock_harness(**{setting: text}).mark
    item = SimpleNamespace(nodeid="it", iter_markers=lambda name: [marker])
    assert plugin._marked(item) == {setting: value}


@pytest.mark.parametrize("tool", TOOLS)
def test_setting_reaches_every_tool_that_takes_it(tool, request, monkeypatch):
    """Of force the usual number of runs is one: more are asked for by a call or a setting."""
    values = {setting: value for setting, (_, value) in SET.items() if setting != "predict"}
    asked = fixture.LockHarness(request.node, values)._with_settings(tool, {})
    assert {setting: asked[setting] for setting in values if setting in asked} == {
        setting: value for setting, value in values.items()
        if setting in DOORS[f"fixture {tool}"]}


# -- functions: what is given does something -------------------------------------------------------


def hangs_for(tool, seconds):
    """Return what *tool* says of a role that waits outside our locks, let go afterwards."""
    go, before = threading.Event(), {*threading.enumerate()}
    try:
        return str(tool(lambda: {"role": go.wait}, timeout=seconds))
    finally:
        go.set()
        for thread in {*threading.enumerate()} - before:
            thread.join()


def waits_by_timeout(tool):
    """The time that is given is that after which it is judged, and how it is judged is said."""
    result = tool(small_worlds.waits_for_nobody, runs=1, timeout=0.04, detect="timeout")
    assert result.how == "timed out" and "nothing moved for 0.04 s" in str(result)
    assert tool(small_worlds.waits_for_nobody, runs=1).how == "observed"


def bounded(tool, **options):
    """A microsecond is not enough for what else is done."""
    few, many = (tool(small_worlds.in_order, **options, **more)
                 for more in ({"seconds": 1e-6}, {}))
    number = "schedules" if "schedules" in many.coverage else "runs"
    assert few.coverage[number] < many.coverage[number]


def counts(tool, runs=3):
    assert tool(small_worlds.in_order, runs=runs).coverage["runs"] == runs


def known():
    key = predict(small_worlds.abba_bare).predictions[0].key
    result = predict(small_worlds.abba_bare, baseline={key: "a ticket"})
    assert (result.verdict, result.predictions[0].reason) == (Verdict.CLEAN, "a ticket")


def says_what_the_validator_would():
    for wanted in (True, False):
        result = predict(small_worlds.abba_bare, lockdep=wanted)
        assert ("validator would have said" in str(result)) is wanted


def observed():
    seen = []

    class Sees(Observer):
        def role_start(self, task):
            seen.append(task.name)

    run(small_worlds.in_order, runs=1, observers=lambda: [Sees()])
    assert sorted(seen) == ["first", "second"]


def shows_progress(tool, **options):
    for progress in (True, False):
        with redirect_stderr(io.StringIO()) as err:
            tool(small_worlds.in_order, progress=progress, **options)
        assert bool(err.getvalue()) is progress


def explored(world=small_worlds.in_order, **options):
    return explore(world, **options).coverage


def differs():
    """A role that does something else each time: noticed at once where each is run twice."""
    turns = iter(range(100))

    def world():
        locks, turn = [Mutex("a"), Mutex("b")], next(turns)

        def role():
            with locks[turn % 2]:
                pass

        return {"role": role}

    result = explore(world, check_determinism=True, engine=False, max_schedules=1)
    assert (result.verdict, "differently" in str(result)) == (Verdict.ERROR, True)


def trusted():
    """Two locks that have nothing to do with each other: one class of 6 orders, 3 of one role."""
    def world():
        locks = Mutex("a"), Mutex("b")

        def takes(lock):
            def role():
                with lock:
                    pass
            return role

        return Scenario({"one": takes(locks[0]), "two": takes(locks[1])},
                        invariants={"it holds": lambda: True})

    assert explored(world, trust_locks=True)["schedules"] == 1
    assert explored(world)["schedules"] == 6


def seeded(tool, **options):
    coverage = [tool(small_worlds.in_order, seed=seed, **options).coverage["seed"]
                for seed in (5, 6)]
    assert coverage == [5, 6]


def replays_another():
    token = explore(small_worlds.abba).replay
    assert replay(token, small_worlds.abba).verdict is Verdict.DEADLOCK
    assert replay(token, small_worlds.in_order).verdict is not Verdict.DEADLOCK


def replay_waits(timeout):
    token = explore(small_worlds.abba).replay
    said = hangs_for(lambda world, **options: replay(token, world, **options), timeout)
    assert f"nothing moved for {timeout} s" in said


EFFECTS = {
    **{(tool, "runs"): functools.partial(counts, tool) for tool in (run, force, stress)},
    (predict, "runs"): functools.partial(counts, predict, runs=1),
    **{(tool, option): functools.partial(waits_by_timeout, tool)
       for tool in (run, force, predict, stress) for option in ("timeout", "detect")},
    **{(tool, "seconds"): functools.partial(bounded, tool, runs=3)
       for tool in (run, force, predict, stress)},
    (run, "observers"): observed,
    (predict, "baseline"): known,
    (predict, "lockdep"): says_what_the_validator_would,
    (stress, "seed"): functools.partial(seeded, stress, runs=1),
    (stress, "progress"): functools.partial(shows_progress, stress, runs=1),
    (explore, "seed"): functools.partial(seeded, explore, strategy="random", max_schedules=1),
    (explore, "progress"): functools.partial(shows_progress, explore),
    (explore, "seconds"): functools.partial(bounded, explore),
    (explore, "timeout"): lambda: "for 0.05 s" in hangs_for(explore, 0.05) or pytest.fail(),
    (explore, "check_determinism"): differs,
    (explore, "trust_locks"): trusted,
    (replay, "scenario"): replays_another,
    (replay, "timeout"): functools.partial(replay_waits, 0.05),
}
# What is read off the coverage, with what is given and without.
COVERED = {
    "strategy": ({"strategy": "dfs"}, {}, lambda it: it["strategy"]),
    "max_schedules": ({"max_schedules": 1}, {}, lambda it: it["complete"]),
    "all": ({"engine": False, "all": True}, {"engine": False}, lambda it: it["schedules"]),
    "engine": ({"engine": False}, {}, lambda it: "engine" in it),
    "fresh": ({"fresh": True}, {}, lambda it: it.get("worlds")),
    "preemptions": ({"strategy": "bounded", "preemptions": 0}, {"strategy": "bounded"},
                    lambda it: it["schedules"]),
    "depth": ({"strategy": "pct", "seed": 1, "depth": 2, "max_schedules": 1},
              {"strategy": "pct", "seed": 1, "max_schedules": 1}, lambda it: it["depth"]),
}


def test_every_option_of_a_function_has_its_effect_here():
    taken = {(tool, option) for tool in (run, force, predict, explore, stress, replay)
             for option in DOORS[f"function {tool.__name__}"] - {"token"}}
    named = {(tool, "scenario") for tool in (run, force, predict, explore, stress)}
    assert taken - named == {*EFFECTS} | {(explore, option) for option in COVERED}


@pytest.mark.parametrize("tool, option", EFFECTS, ids=lambda it: getattr(it, "__name__", it))
def test_option_of_a_function_does_something(tool, option, monkeypatch):
    EFFECTS[tool, option]()


@pytest.mark.parametrize("option", COVERED)
def test_option_of_explore_is_seen_in_what_was_covered(option):
    given, without, read = COVERED[option]
    world = small_worlds.abba if option == "all" else small_worlds.nested_read \
        if option == "preemptions" else small_worlds.in_order
    assert read(explored(world, **given)) != read(explored(world, **without))
