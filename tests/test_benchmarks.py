"""The benchmarks run and tell a number for every row. What the numbers are is no matter of a test."""

import json

import pytest

from benchmarks.__main__ import main


def test_quick_json_gives_every_row_with_a_number(capsys):
    assert main(["--scale", "0.005", "--json", "-"]) == 0
    measured = json.loads(capsys.readouterr().out)
    without = [row["what"] for row in measured["rows"]
               if not isinstance(row["now"], float) and not row["note"].startswith("not available")]
    assert (without, len(measured["rows"])) == ([], 13)
    assert {"what", "unit", "goal", "now", "ok", "spread"} <= set(measured["rows"][0])
    assert [look["tries"] > 0 for look in measured["honesty"]] == [True] * 5
    assert measured["python"] and measured["cpus"]


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
