"""The benchmarks run and tell a number for every row; the long checks tell right from wrong. What
the numbers are is no matter of a test.
"""

import io
import json
import os
import random
import sys
import threading
from contextlib import redirect_stdout
from importlib.util import find_spec
from itertools import count, islice
from types import SimpleNamespace

import pytest

from benchmarks import (beside, checking, exploring, forcing, growing, honesty, killing, locking,
                        measure, oracle, peers, predicting, primitives)
from benchmarks.__main__ import Before, _text, _where, main
from benchmarks.measure import Row
from benchmarks.worlds import recovery
from harness import Verdict
from harness.locks.policies import POLICIES


@pytest.fixture(scope="module")
def measured():
    """What the quickest of all measurements writes."""
    with redirect_stdout(io.StringIO()) as out:
        assert main(["--scale", "0.002", "--json", "-"]) == 0
    return json.loads(out.getvalue())


def test_quick_json_gives_every_row_with_a_number(measured):
    without = [row["what"] for row in measured["rows"]
               if not isinstance(row["now"], float)
               and not row["note"].startswith("not available")]
    assert (without, len(measured["rows"])) == ([], 59)
    assert {"what", "unit", "goal", "now", "ok", "spread"} <= set(measured["rows"][0])
    ways = 5 + (find_spec("pytest_run_parallel") is not None)
    assert [look["tries"] > 0 for look in measured["honesty"]] == [True] * ways
    table = measured["peers"]
    rows = [*table["ours"].values(), *table["theirs"].values()]
    assert {len(row) for row in rows} == {len(table["cases"])}
    assert measured["python"] and measured["cpus"]


def test_table_of_peers_has_a_line_for_each_tool_within_its_columns(measured):
    beside_us = {"one": ["1 / 0.1"] * 6, "other": "not installed"}
    lines = peers.text({**measured["peers"], "beside": beside_us})
    assert len(lines) == 2 + 3 + 2 + len(peers.THEIRS) + len(peers.REMARKS)
    assert lines.pop(6) == "other, now: not installed"
    assert {len(line) for line in lines[1:-len(peers.REMARKS)]} == {120}


@pytest.mark.parametrize("package, under, said", [
    ("no_such_package", [], "not installed"), ("json", [], "ended with status 1: "),
    ("json", ["no-such-command"], "could not be run: ")])
def test_tool_that_is_not_there_or_fails_is_a_line_of_words(package, under, said):
    assert beside._cells("no such tool", package, under).startswith(said)


def test_tools_are_run_on_the_cases_that_ours_are():
    assert list(beside.CASES) == list(peers.CASES)
    for case, program in peers.CASES.items():
        assert len(beside.CASES[case]) == len(program.threads)


@pytest.mark.parametrize("arguments, named", [
    (["--json", "no/such/directory/x.json"], "no/such/directory/x.json"),
    (["--scale", "huge"], "huge"),
    (["--scale", "0"], "--scale"),
])
def test_bad_input_is_one_line_and_status_2(arguments, named, capsys):
    try:
        status = main(arguments)
    except SystemExit as exc:
        status = exc.code
    error = capsys.readouterr().err
    assert (status, error.count("\n"), named in error) == (2, 1, True)


# -- what is measured ------------------------------------------------------------------------------


@pytest.mark.parametrize("goal, now, rate, ok", [
    (5.0, 4.0, False, True), (5.0, 5.0, False, True), (5.0, 6.0, False, False),
    (5.0, 4.0, True, False), (5.0, 5.0, True, True), (5.0, 6.0, True, True),
    (None, 6.0, True, None), (5.0, None, True, None)])
def test_goal_is_a_bound_from_above_for_costs_and_from_below_for_rates(goal, now, rate, ok):
    assert measure.Row("what", "x", goal, now, rate=rate).ok is ok


@pytest.mark.parametrize("percent, value", [(0, 1), (10, 2), (25, 3), (50, 6), (90, 10), (100, 10)])
def test_percentile_is_a_value_that_so_many_in_a_hundred_are_not_above(percent, value):
    assert measure.percentile([10, 2, 3, 9, 5, 6, 7, 8, 4, 1], percent) == value


def test_ratio_is_the_median_of_those_of_neighbours_and_its_spread_their_quartiles():
    pairs = [(2.0, 1.0)] * 5 + [(4.0, 1.0)] * 3 + [(2.0, 8.0)] * 4
    row = measure.ratio_row_of("what", 3.0, pairs, 4)
    assert (row.now, row.spread, row.note, row.ok) == (2.0, (0.25, 4.0), "500,000,000 ns", True)


def test_rate_is_the_median_of_rounds_of_all_pieces(monkeypatch):
    times, done = iter([1.0, 2.0, 4.0, 8.0, 16.0]), []
    monkeypatch.setattr(measure, "_time", lambda work, number: (work(number), next(times))[1])
    row = measure.rate_row("what", "/s", 3.0, done.append, 16)
    assert (row.now, row.spread, row.ok, done) == (4.0, (1.0, 16.0), True, [16] * 5)


@pytest.mark.parametrize("module, tool, row", [
    (exploring, "explore", lambda: exploring._drawn(0.01, exploring.one)),
    (exploring, "explore", lambda: exploring._driven(0.01)),
    (exploring, "explore", lambda: exploring._visited(None, recovery())),
    (exploring, "search", lambda: exploring._rate(recovery(), 1)),
    (forcing, "force", lambda: forcing._abba(0.01)),
    (predicting, "predict", lambda: predicting._predict(0.01)),
    (predicting, "run", lambda: predicting._order(0.01)),
    (locking, "run", lambda: locking._in_run("what", None, 0.01)),
    (primitives, "run", lambda: primitives._in_run("what", primitives._event, 0.01)),
    (growing, "force", lambda: growing._ring(2, told=False)),
    (growing, "run", lambda: growing._named(1)),
    (peers, "explore", lambda: peers._explored("mail", True)),
    (peers, "explore", lambda: peers._explored("fixed", False)),
    (peers, "search", lambda: peers._searched("mail"))])
def test_tool_that_does_not_do_what_is_measured_is_no_row(module, tool, row, monkeypatch):
    nothing = SimpleNamespace(verdict=Verdict.INCONCLUSIVE, states=1, complete=False,
                              coverage={"schedules": 0, "complete": False})
    monkeypatch.setattr(module, tool, lambda *given, **options: nothing)
    with pytest.raises(AssertionError):
        row()


def test_worst_case_is_the_row_and_the_best_is_in_its_spread():
    row = exploring._worst("what", 1.1, [(6, 5), (5, 5), (9, 8)], "")
    assert (row.now, row.spread, row.ok) == (1.2, (1.0, 1.2), False)


def test_paths_of_the_mail_hang_where_both_have_their_first_lock_and_not_one_after_the_other():
    mail = honesty._Mail()
    mail.probe()
    mail.recover()
    assert (mail.hung, honesty._one_try(start=False, middle=True)) == (False, True)


def test_loop_goes_on_until_it_hangs():
    calls = []
    mail = SimpleNamespace(hung=False, recover=lambda: calls.append("recover"))

    def probe():
        calls.append("probe")
        mail.hung = calls.count("probe") == 3
    mail.probe = probe
    honesty._loop_until_hung(mail)
    assert calls.count("probe") == 3


def test_random_programs_with_a_semaphore_come_under_every_policy():
    made = list(islice(oracle.random_programs(1), 12))
    has_semaphore = ["rwsem" in programs[0].locks.values() for programs in made]
    assert {True, False} == {*has_semaphore}
    assert [[each.policy for each in programs] for programs in made] == [
        list(POLICIES) if has else [programs[0].policy]
        for has, programs in zip(has_semaphore, made, strict=True)]


# -- the long checks -------------------------------------------------------------------------------


SAMPLES = {    # check -> where its sample begins, and what is in it that could be judged wrongly
    "programs": (8, "3 deadlock, in 3 a trylock's failure matters"), "scenarios": (26, "2 fail"),
    "oracle": (1, "1 deadlock, 3 hang"), "permits": (41, "2 hang"),
    "starts": (8, "in 2 the order decides"),
    "limits": (6, "1 fail; "), "races": (1, "3 of 118"), "pairs": (1, "5 of 3,081"),
    "stops": (1, "2 stopped"), "tokens": (1, " refused, "), "files": (1, " refused, "),
    "kills": (1, "1 killed"), "stdlib": (1, "1 of test_queue "),
    "gc": (1, "3 explore deadlock"), "side-by-side": (1, "2 pinned"), "one-call": (1, "10; memory"),
    "calls": (1, "5; memory")}


@pytest.mark.parametrize("name", checking.CHECKS)
def test_check_says_in_a_line_what_was_in_its_sample_and_passes(name, capsys, tmp_path):
    file, (seed, told) = tmp_path / "check.json", SAMPLES[name]
    arguments = ["--check", name, "--scale", "0.001", "--seed", str(seed), "--json", str(file)]
    assert main(arguments) == 0
    done, [line] = json.loads(file.read_text()), capsys.readouterr().out.splitlines()
    assert (line[:3], told in line, done["passed"], done["failed"]) == ("ok ", True, 1, 0), line
    assert [check["ok"] for check in done["checks"]] == [True]


def test_check_without_names_does_all(monkeypatch, capsys):
    monkeypatch.setattr(checking, "CHECKS", {
        name: (name, lambda amount: ("nothing", [])) for name in ("one", "other")})
    assert main(["--check"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["one:", "other:"]


@pytest.mark.parametrize("amount, cases", [
    (checking.Amount(), 20), (checking.Amount(0.5), 10), (checking.Amount(0.001), 3),
    (checking.Amount(seconds=2.5), 2), (checking.Amount(0.001, seconds=1e-9), 0)])
def test_cases_are_as_many_as_the_scale_says_or_the_time_allows(amount, cases, monkeypatch):
    clock = count()    # a second for each look
    monkeypatch.setattr(checking.time, "monotonic", lambda: float(next(clock)))
    assert list(amount.cases(20, 3)) == list(range(1, cases + 1))


def test_check_that_fails_is_status_1_and_shows_what_differs(monkeypatch, capsys):
    failed = checking.Check("lines", "two compared", ["one is longer"], 0.0)
    monkeypatch.setattr(checking, "checks", lambda *_: iter([failed]))
    assert main(["--check"]) == 1
    assert capsys.readouterr().out == \
        "FAILED lines: two compared (0.0 s)\n       one is longer\n"


@pytest.mark.parametrize("text, status, beside, left, named", [
    (killing.OLD, 143, False, False, None), ('{"verdict": "clean"}', 0, False, False, None),
    ('{"interrupted": true}', 143, False, False, None), (killing.OLD, -9, True, False, None),
    ("", 143, False, False, "the file is broken"), ('{"verdict', 0, False, False, "broken"),
    (killing.OLD, 0, False, False, "the file is older"), (None, 0, False, False, "is none"),
    ('{"interrupted": true}', 0, False, False, "the file is so far"),
    (killing.OLD, 1, False, False, "status 1"), (killing.OLD, 143, True, False, "left .harness-"),
    (killing.OLD, 143, False, True, "processes are left")])
@pytest.mark.parametrize("printed", ["", "Traceback (most recent call last):", "ignored in: f"])
def test_what_a_killed_command_leaves_and_prints_is_judged(
        tmp_path, text, status, beside, left, named, printed):
    killed = killing.Killed(tmp_path, random.Random(1))
    file = tmp_path / "0.json"
    if text is not None:
        file.write_text(text)
    if beside:
        (tmp_path / killing.TEMPORARY.format("x")).touch()
    killed._judge("it", status, {143, 0, -9}, 0, file, printed, left)
    named = [*[named] * (named is not None), *[f"printed {printed!r}"] * (printed != "")]
    assert [[each in line for each in named] for line in killed.wrong] == (
        [[True] * len(named)] if named else [])
    assert sorted(os.listdir(tmp_path)) == ["program.json", "worlds.py"]


def test_what_deadlocks_leave_is_named():
    """A thread, a descriptor, some memory for each, and a deadlock too few."""
    kept, ends = [], os.pipe()
    left = threading.Thread(target=lambda: os.read(ends[0], 1), name="forgotten")

    def work(watch):
        watch.weigh(1)
        kept.append(bytearray(checking.AT_LEAST + 1))
        watch.weigh(4)
        kept.extend(os.pipe())
        left.start()
        return 4

    try:
        _, wrong = checking._watched(work, 5)
    finally:
        os.write(ends[1], b"x")
        left.join()
        for fd in (*ends, *kept[1:]):
            os.close(fd)
    assert [line.split(" by ")[0] for line in wrong if "descriptors" not in line] == [
        "thread forgotten is left", "memory grew", "4 deadlocks were found, expected 5"]
    assert any("descriptors" in line for line in wrong) == os.path.exists(checking.FDS)


def test_without_the_tests_the_checks_are_refused_in_one_line(monkeypatch, tmp_path, capsys):
    for name in ("brute", "explored", "test_explore_random"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(oracle, "TESTS", tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if not path.endswith("harness")])
    assert main(["--check"]) == 2
    error = capsys.readouterr().err
    assert (error.count("\n"), "needs the tests" in error) == (1, True)


# -- beside what was measured before ---------------------------------------------------------------


def test_each_row_is_shown_beside_what_it_was_before_and_what_is_gone_is_named(tmp_path):
    old = {**_where(1.0), "rows": [{"what": "a", "now": 2.0}, {"what": "b", "now": None},
                                   {"what": "c", "now": 4.0}]}
    (tmp_path / "old.json").write_text(json.dumps(old))
    before = Before.read(str(tmp_path / "old.json"))
    nobody = {"cases": [], "ours": {}, "beside": {}, "theirs": {}, "remarks": []}
    measured = {**_where(1.0), "honesty": [], "peers": nobody,
                "rows": [Row("a", "x", 2.5, 3.0), Row("b", "x", None, 1.0)]}
    lines = [line.split() for line in _text(measured, before).splitlines()]
    assert ["a", "2.50", "3.00", "behind", "2.00,", "1.50"] in lines    # 3 / 2
    assert ["b", "-", "1.00"] in lines
    assert ["no", "longer", "measured:", "c"] in lines


@pytest.mark.parametrize("text", ["[]", "{}", '{"rows": [{"what": 1, "now": 2}]}', "{"])
def test_what_is_no_measurement_is_one_line_and_status_2(text, tmp_path, capsys):
    (tmp_path / "old.json").write_text(text)
    assert main(["--compare", str(tmp_path / "old.json")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
