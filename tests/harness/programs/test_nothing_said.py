"""null says as much as no key at all; whatever else is empty or false says something."""

import json

import pytest

from harness import ScenarioError
from harness.programs.format import File

THREADS = {"p": [["lock", "A"], ["unlock", "A"]]}
CASE = {"id": "c", "locks": {"A": "mutex"}, "threads_before": THREADS, "threads_after": THREADS}
WRONG = {"policy": ["", 0, False, [], {}], "variants": [{}, 0, False, ""],
         "locks": [[], 0, False, ""], "init_flags_before": [{}, 0, False, ""],
         "init_flags_after": [{}, 0, False, ""], "kinds_after": [[], 0, False, ""]}


@pytest.fixture
def read(tmp_path):
    def read(**more):
        path = tmp_path / "f.json"
        path.write_text(json.dumps({"cases": [CASE | more]}))
        return File(str(path)).case("c")
    return read


@pytest.mark.parametrize("key, value", [(key, value) for key in WRONG for value in WRONG[key]])
def test_empty_value_of_another_type_is_refused(key, value, read):
    with pytest.raises(ScenarioError, match="case 'c'"):
        read(**{key: value})


@pytest.mark.parametrize("key", [key for key in WRONG if key != "locks"])
def test_null_is_as_good_as_nothing(key, read):
    assert {name: (version.expected, version.program) for name, version in
            read(**{key: None}).versions.items()} == {
        name: (version.expected, version.program) for name, version in read().versions.items()}
