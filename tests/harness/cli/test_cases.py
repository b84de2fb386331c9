"""The command `cases`: each case of a file against what it expects."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Mutex, explore
from harness.cli import cases, main
from harness.programs.format import File
from harness.report.result import Result
from harness.runtime.verdict import Outcome, Verdict

DATA = Path(__file__).parents[2] / "data"
CORPUS, SELFTEST = str(DATA / "pci-deadlocks.json"), str(DATA / "locking-selftest.json")
AB = [["lock", "A"], ["lock", "B"], ["unlock", "B"], ["unlock", "A"]]
BA = [["lock", "B"], ["lock", "A"], ["unlock", "A"], ["unlock", "B"]]


@pytest.fixture
def judged(tmp_path, capsys):
    """Return a function that calls the command on some cases; it returns the status, the output and
    the JSON's cases.
    """
    def judged(*some, **more):
        file, out = tmp_path / "f.json", tmp_path / "out.json"
        file.write_text(json.dumps({"cases": some}))
        status = main(["cases", str(file), "--json", str(out)])
        data = json.loads(out.read_text())
        assert data["passed"] + data["failed"] == len(data["cases"])
        assert status == (1 if data["failed"] else 0)
        return status, capsys.readouterr().out, data["cases"]

    return judged


def a_program(expected="deadlock", q=BA, **more):
    return {"id": "c", "locks": {}, "threads_before": {"p": AB, "q": q}, "expect_before": expected,
            **more}


def a_sequence(expected="splat", report="possible recursive locking detected"):
    return {"name": "v", "locks": {"X": {"type": "mutex", "class": "X"},
                                   "Y": {"type": "mutex", "class": "X"}},
            "threads_or_sequence": [["W", "X"], ["W", "Y"]], "expected": expected,
            "expected_report": report}


# -- the files there are ---------------------------------------------------------------------------


def test_every_version_of_the_corpus_is_as_expected():
    rows = list(cases.judge_all(list(File(CORPUS).cases())))
    assert [row for row in rows if not row["ok"]] == [] and len(rows) == 53
    assert {row["expected"] for row in rows} == {"deadlock", "ok"}


def test_every_case_of_the_validator_is_as_expected_with_its_kind_of_report(capsys):
    status = main(["cases", SELFTEST])
    lines = capsys.readouterr().out.splitlines()
    assert (status, lines[-1]) == (0, f"{SELFTEST}: 52 cases, 52 as expected, 0 differ")
    assert [line for line in lines if line.startswith("rsem_AA3 ")] == [
        "rsem_AA3                splat     splat     ok       possible recursive locking detected"]


def test_vfio_igate_triangle_with_its_three_threads_needs_a_writer():
    case = File(CORPUS).case("vfio-igate-triangle")
    row = cases.judge_version(case, case.versions["three-threads-only"])
    assert (row["ok"], row["predicted"], row["statuses"]) == (True, "predicted", ["needs-writer"])


# -- what is ok and what differs -------------------------------------------------------------------


@pytest.mark.parametrize("case, got, ok", [
    (a_program("deadlock"), "deadlock", True),
    (a_program("ok"), "deadlock", False),
    (a_program("ok", q=AB), "ok", True),
    (a_program("deadlock", q=AB), "ok", False),
    (a_program("deadlock", q=[["wait", "never"]]), "hang", True),
    # q ends with what p wants, who would wait for ever if it were kept; or with what nobody wants
    (a_program("deadlock", q=[["lock", "A"]]), "violation", True),
    (a_program("deadlock", q=[["lock", "C"]]), "violation", False),
    (a_program("ok", q=[["lock", "C"]]), "violation", False),
    (a_program("ok", q=[["unlock", "C"]]), "violation", False),
    (a_sequence(), "splat", True),
    (a_sequence(report=None), "splat", True),
    (a_sequence("clean", None), "splat", False),
    (a_sequence(report="bad unlock balance detected!"), "splat", False),
])
def test_a_case_is_ok_if_the_answer_is_the_one_expected(case, got, ok, judged):
    _, out, (row,) = judged(case)
    assert (row["got"], row["ok"], "DIFFERS" in out) == (got, ok, not ok)


def test_a_report_of_another_kind_is_said(judged):
    _, out, _ = judged(a_sequence(report="held lock freed!"))
    assert "expected 'held lock freed!', got 'possible recursive locking detected'" in out


def test_there_is_a_line_for_each_version_and_one_of_totals(judged):
    status, out, rows = judged(
        a_program(threads_after={"p": AB}, variants=[{"name": "w", "threads": {"p": AB, "q": BA},
                                                      "expect": "ok"}]), a_sequence())
    assert [line.split()[0] for line in out.splitlines()[:-2]] == [
        row["name"] for row in rows] == ["c:before", "c:after", "c:w", "v"]
    assert out.splitlines()[-1].endswith("f.json: 4 cases, 3 as expected, 1 differ")


def test_judges_that_contradict_each_other_differ_whatever_is_expected(judged, monkeypatch):
    """An engine made to see nothing, and prediction made to see nothing."""
    search = cases.search
    monkeypatch.setattr(cases, "search",
                        lambda program, **more: replace(search(program, **more), verdict="clean"))
    blind_engine = judged(a_program("deadlock")), judged(a_program("ok"))
    monkeypatch.undo()
    monkeypatch.setattr(cases, "predict", lambda scenario, timeout: _result(Verdict.CLEAN))
    blind_prediction = judged(a_program("deadlock")), judged(a_program("ok"))
    for status, _, (row,) in blind_engine + blind_prediction:
        assert status == 1 and "the judges CONTRADICT each other" in row["why"] and not row["ok"]


@pytest.mark.parametrize("judge", ["search", "explore", "predict"])
def test_judges_that_call_one_end_by_two_words_differ(judge, judged, monkeypatch):
    plain = getattr(cases, judge)

    def hangs(what, **more):
        answer = plain(what, **more)
        if judge == "search":
            return replace(answer, verdict="hang")
        answer.verdict = Verdict.HANG
        return answer

    monkeypatch.setattr(cases, judge, hangs)
    status, _, (row, *_) = judged(a_program("deadlock"))
    assert (status, row["ok"], "CONTRADICT" in row["why"]) == (1, False, True)


def _result(verdict, *statuses):
    result = Result("x", verdict, "predicted", {"runs": 1}, Outcome([], []), 0.0)
    result.predictions = [_Found(status) for status in statuses]
    return result


class _Found:
    def __init__(self, status):
        self.status = status


@pytest.mark.parametrize("verdict, statuses, ok", [
    (Verdict.CLEAN, [], True), (Verdict.CLEAN, ["guarded", "one-role"], True),
    (Verdict.PREDICTED, ["needs-writer", "guarded"], True),
    (Verdict.PREDICTED, ["unconfirmed", "guarded"], False), (Verdict.ERROR, [], False),
    (Verdict.INCONCLUSIVE, [], False), (Verdict.VIOLATION, [], False)])
def test_ok_is_met_by_findings_that_cannot_hang_with_these_threads(
        verdict, statuses, ok, judged, monkeypatch):
    monkeypatch.setattr(cases, "predict",
                        lambda scenario, timeout: _result(verdict, *statuses))
    _, _, (row,) = judged(a_program("ok", q=AB))
    assert (row["ok"], row["predicted"], row["statuses"]) == (ok, str(verdict), statuses)


def test_a_search_that_met_its_bound_is_no_answer(judged, monkeypatch):
    search = cases.search
    monkeypatch.setattr(cases, "search", lambda program: search(program, max_states=3))
    _, _, (row,) = judged(a_program("ok", q=AB))
    assert (row["got"], row["complete"], row["ok"]) == ("inconclusive", False, False)
    assert "engine inconclusive (3 states)" in row["why"]


def test_an_exploration_that_contradicts_the_engine_differs(judged, monkeypatch):
    monkeypatch.setattr(cases, "explore", lambda scenario, **how: explore(
        lambda: {"p": Mutex("a").locked, "q": lambda: None}, engine=False))   # no two locks: clean
    _, _, (row, *_) = judged(a_program("deadlock"))
    assert (row["ok"], row["explored"], "CONTRADICT" in row["why"]) == (False, "clean", True)


@pytest.mark.parametrize("bound, most", [("MOST_SCHEDULES", 1), ("MOST_SECONDS", 1e-6)])
def test_an_exploration_that_met_its_bound_abstains_and_says_so(bound, most, judged, monkeypatch):
    monkeypatch.setattr(cases, bound, most)
    _, _, (row,) = judged(a_program("ok", q=AB))
    assert (row["ok"], row["explored"], row["all_schedules"]) == (True, "inconclusive", False)
    assert f"explored inconclusive ({row['schedules']} schedule" in row["why"]


# -- bad input -------------------------------------------------------------------------------------


def test_nothing_is_judged_if_one_case_is_wrong(tmp_path, capsys):
    file, out = tmp_path / "f.json", tmp_path / "out.json"
    file.write_text(json.dumps([a_program(), {**a_program(), "id": "d", "threads_before": {}}]))
    status = main(["cases", str(file), "--json", str(out)])
    said = capsys.readouterr()
    assert (status, said.out, said.err.count("\n"), "case 'd', before" in said.err,
            out.exists()) == (2, "", 1, True, False)


@pytest.mark.parametrize("argv", [
    ["cases"], ["cases", "no-such.json"], ["cases", "."], ["cases", __file__],
    ["cases", CORPUS, "--policy", "fair"], ["run", CORPUS], ["force", f"{CORPUS}:no-such-case"],
    ["run", f"{CORPUS}:pm-async-fallback-recursive", "--policy", "first"],
    ["stress", "small_worlds:abba", "--policy", "fair"]])
def test_bad_input_is_one_clear_line_and_status_2(argv, capsys):
    try:
        status = main(argv)
    except SystemExit as exc:
        status = exc.code
    out, err = capsys.readouterr()
    assert (status, out, err.count("\n"), err.startswith("harness")) == (2, "", 1, True), err


# -- programs on the command line ------------------------------------------------------------------


@pytest.mark.parametrize("command, reference, status, word", [
    ("run", "pm-async-fallback-recursive", 1, "DEADLOCK"),
    ("run", "pm-async-fallback-recursive:after", 0, "CLEAN (100 runs, no proof)"),
    ("force", "aer-walk-vs-sriov-probe", 1, "DEADLOCK"),
    ("force", "aer-walk-vs-sriov-probe:aer-trylock", 3, "NOT REACHED"),
    ("stress", "vfio-remove-waits-for-user:after", 0, "CLEAN (20 runs, no proof)")])
def test_a_case_is_run_forced_and_stressed(command, reference, status, word, capsys):
    more = ["--runs", "20", "--seed", "1"] if command == "stress" else []
    assert main([command, f"{CORPUS}:{reference}", *more]) == status
    assert capsys.readouterr().out.startswith(f"{word}: ")


def test_the_policy_is_part_of_the_command_that_shows_it_again(capsys):
    reference = f"{CORPUS}:aspm-power-state-recursive-read"
    assert main(["force", reference, "--policy", "fair"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == \
        f"Again: python -m harness force {reference} --policy fair"


def test_interrupt_keeps_the_cases_that_were_judged(capsys, monkeypatch, tmp_path):
    file, rows = tmp_path / "x.json", iter([{"name": "one", "expected": "ok", "got": "ok",
                                             "ok": True, "why": ""}])

    def judge(*_):
        yield from rows
        raise KeyboardInterrupt

    monkeypatch.setattr(cases, "judge_all", judge)
    assert main(["cases", SELFTEST, "--json", str(file)]) == 130
    data = json.loads(file.read_text())
    assert ([row["name"] for row in data["cases"]], data["passed"], data["interrupted"]) == (
        ["one"], 1, True)
    assert capsys.readouterr().out.startswith("one")


def test_json_to_standard_output_is_one_object_and_nothing_else(capsys):
    assert main(["cases", SELFTEST, "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["file"], data["passed"], data["failed"]) == (SELFTEST, 52, 0)
    assert data["cases"][0] == {
        "name": "ABBCCA_mutex", "expected": "splat", "got": "splat", "ok": True,
        "why": "possible circular locking dependency detected",
        "expected_report": "possible circular locking dependency detected",
        "report": "possible circular locking dependency detected"}


def test_a_case_is_replayed_in_another_process(in_another_process, capsys):
    reference = f"{CORPUS}:aer-walk-vs-sriov-probe"
    assert main(["stress", reference, "--runs", "100", "--seed", "1", "--json", "-"]) == 1
    token = json.loads(capsys.readouterr().out)["replay"]
    done = in_another_process("-m", "harness", "replay", token)
    assert (done.returncode, done.stdout.startswith("DEADLOCK: 2 threads"), done.stderr) == (
        1, True, "")


def test_one_state_is_one_state(judged):
    waits = {"p": [["wait", "nobody_sets_it"]]}
    _, out, _ = judged({"id": "c", "locks": {}, "threads_before": waits,
                        "expect_before": "deadlock"})
    assert "(all 1 state)" in out
