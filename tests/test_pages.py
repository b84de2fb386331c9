"""The pages of `help` are true: their commands print what they say, and they leave nothing out."""

import ast
import inspect
import json
import re
import tomllib
from fnmatch import fnmatch

import pytest
from documented import BLOCK, ROOT, Document, as_pattern

import harness
import harness.programs.format as notation
from harness.programs import json_file
from harness import Verdict, explore, force, predict, stress
from harness.checker.program import KINDS, OPS
from harness.locks.operations import ONLY_RECORDED
from harness.cli import command_line
from harness.lockorder.lockdep import TYPES
from harness.programs.threads import OPERATIONS
from pcimodel import __main__ as pcimodel

PATHS = sorted([*ROOT.glob("harness/pages/*"), *ROOT.glob("pcimodel/pages/*")])
PAGES = {document.name: document for document in map(Document, PATHS)}
EXAMPLES = [(name, command, output) for name, page in PAGES.items()
            for command, output in page.examples()]
INLINE = [(name, command) for name, page in PAGES.items() for command in page.inline_commands()]


def words(page):
    """Return each word that stands between back quotes in the text of a page."""
    return {word for quoted in re.findall(r"`([^`]+)`", BLOCK.sub("", PAGES[page].text))
            for word in re.findall(r"[\w-]+", quoted)}


def call(main, capsys, *argv):
    """Run a command line in this process; return status, standard output and standard error."""
    try:
        status = main(argv)
    except SystemExit as exc:
        status = exc.code
    out, err = capsys.readouterr()
    return status, out, err


# -- their form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS, ids=str)
def test_a_page_fits_a_terminal(path):
    page = path.read_text(encoding="utf-8")
    assert re.match(rf"# {path.stem}: \S", page) and page.isascii() and page.endswith("\n")
    assert [line for line in page.splitlines() if len(line) > 100] == []
    assert len(page.splitlines()) <= 150


@pytest.mark.parametrize("name", PAGES)
def test_files_on_a_page_are_what_they_say(name):
    readers = {"python": ast.parse, "json": json.loads}
    for language, _, text in PAGES[name].blocks:
        readers.get(language, str)(text)


def test_there_are_files_on_pages():
    assert {"python", "json"} <= {language for page in PAGES.values()
                                  for language, _, _ in page.blocks}


def test_every_page_is_linked_from_the_readme_and_every_link_leads_to_one():
    links = re.findall(r"\]\(((?:harness|pcimodel)/pages/[^)]*)\)",
                       (ROOT / "README.md").read_text(encoding="utf-8"))
    assert sorted(links) == [str(path.relative_to(ROOT)) for path in PATHS]


@pytest.mark.parametrize("name", PAGES)
def test_every_page_that_a_page_names_exists(name):
    package = name.partition("-")[0]
    named = re.findall(r"\bpage `(\w+)`", PAGES[name].text)
    elsewhere = re.findall(r"python -m (harness|pcimodel) help (\w+)", PAGES[name].text)
    assert {f"{package}-{topic}" for topic in named} | {
        f"{where}-{topic}" for where, topic in elsewhere if topic != "TOPIC"} <= set(PAGES)


def test_every_page_is_in_the_package_that_is_installed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    patterns = project["tool"]["setuptools"]["package-data"]
    left_out = [path for path in PATHS if not any(
        fnmatch(str(path.relative_to(ROOT / package)), pattern)
        for package in ("harness", "pcimodel") if path.is_relative_to(ROOT / package)
        for pattern in patterns.get(package, ()))]
    assert len(PATHS) > 10 and left_out == []


# -- their commands --------------------------------------------------------------------------------


@pytest.mark.parametrize("name, command, output", EXAMPLES,
                         ids=[f"{name}: {command}" for name, command, _ in EXAMPLES])
def test_commands_print_what_the_page_says(name, command, output, tmp_path):
    printed = PAGES[name].perform(command, tmp_path).stdout
    assert as_pattern(output).fullmatch(printed.rstrip()), printed


@pytest.mark.parametrize("name, command", INLINE,
                         ids=[f"{name}: {command}" for name, command in INLINE])
def test_commands_in_the_text_work(name, command, tmp_path, request):
    if command == "python -m pcimodel":
        assert request.getfixturevalue("comparison").status == 0
        return
    done = PAGES[name].perform(command, tmp_path)
    assert done.returncode in (0, 1, 3), done.stdout


def test_the_recipe_for_a_fix_makes_one_that_does_what_the_scenarios_are_for(tmp_path, capsys,
                                                                             monkeypatch):
    [recipe] = [text for _, name, text in PAGES["pcimodel-fixes"].blocks if name == "my_fix.py"]
    (tmp_path / "my_fix.py").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    argv = [word for name in ("probe-vs-aer", "aer-with-vfs") for word in ("--scenario", name)]
    assert pcimodel.main(["--fix", "my_fix.py:MyFix", *argv]) == 0
    found = capsys.readouterr().out
    assert re.search(r"^probe-vs-aer +deadlock +not-reached$", found, re.M)
    assert re.search(r"^aer-with-vfs +clean +clean$", found, re.M)


# -- the command help ------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("main, package",
                               [(command_line.main, "harness"), (pcimodel.main, "pcimodel")])


@BOTH
def test_help_lists_every_page_with_what_it_is_about(main, package, capsys):
    status, out, err = call(main, capsys, "help")
    for path in PATHS:
        if path.parents[1].name == package:
            title = path.read_text(encoding="utf-8").splitlines()[0].partition(": ")[2]
            assert re.search(rf"^  {path.stem} +{re.escape(title)}$", out, re.M)
    assert (status, err) == (0, "")


@BOTH
def test_help_prints_a_page_as_it_stands(main, package, capsys):
    assert call(main, capsys, "help", "results") == (
        0, (ROOT / package / "pages/results.md").read_text(encoding="utf-8"), "")


@BOTH
@pytest.mark.parametrize("topic, hint", [
    ("reslts", "did you mean 'results'?"), ("../harness", "there are "), ("", "there are "),
    ("results.md", "did you mean 'results'?")])
def test_a_topic_that_is_not_there_is_one_line_with_the_nearest(main, package, topic, hint, capsys):
    status, out, err = call(main, capsys, "help", topic)
    assert (status, out, err.count("\n"), f"there is no page {topic!r}; {hint}" in err) == (
        2, "", 1, True), err


@BOTH
def test_help_takes_one_topic(main, package, capsys):
    status, out, err = call(main, capsys, "help", "results", "results")
    assert (status, out, err.count("\n")) == (2, "", 1)


# -- nothing is left out ---------------------------------------------------------------------------


def test_the_page_on_programs_names_every_key_kind_and_operation():
    keys = {*notation.KEYS_OF_A_CASE, *notation.KEYS_OF_A_VARIANT, *notation.KEYS_OF_A_LOCK,
            *json_file.REMARKS, *notation.REMARKS_ON_A_CASE, *notation.REMARKS_ON_A_FILE}
    assert {*keys, *KINDS, *OPS.difference(ONLY_RECORDED)} - words("harness-programs") == set()


def test_the_page_on_cases_names_every_key_type_and_operation_of_a_validator():
    keys = {*notation.KEYS_OF_A_VALIDATOR_CASE, *notation.KEYS_OF_A_VALIDATOR_LOCK,
            *notation.REMARKS_ON_A_VALIDATOR_CASE}
    assert {*keys, *TYPES, *OPERATIONS} - words("harness-cases") == set()


def test_the_page_on_verdicts_has_every_verdict_and_its_exit_status():
    text = PAGES["harness-verdicts"].text
    listed = re.findall(r"^- `([\w-]+)`:", text.partition("## ")[0], re.M)
    assert listed == [str(verdict) for verdict in Verdict]    # the gravest first
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", text, re.M)
    statuses = {word: int(status) for status, row in rows
                for word in re.findall(r"`([\w-]+)`", row)}
    assert statuses == {str(verdict): verdict.exit_status for verdict in Verdict}


def options_of(parser):
    """Return every option of a parser and of its commands."""
    found = {option for action in parser._actions for option in action.option_strings}
    for action in parser._actions:
        for command in action.choices.values() if isinstance(action.choices, dict) else ():
            found |= options_of(command)
    return found - {"-h", "--help", "--version"}


def commands_of(parser):
    """Return the parser of each command, by name."""
    return next(action.choices for action in parser._actions if isinstance(action.choices, dict))


def test_the_page_on_options_names_every_command_and_option():
    parser = command_line._parser()
    assert {*commands_of(parser), *options_of(parser)} - words("harness-options") == set()


def test_the_pages_of_the_model_name_every_option_that_it_adds():
    added = options_of(pcimodel._parser()) - options_of(command_line._parser())
    assert {"--kernel", "--fix", "--scenario", "--machine"} == added
    assert added - words("pcimodel-fixes") == set()


def test_the_page_on_python_has_the_functions_as_they_are():
    block = next(text for _, _, text in PAGES["harness-python"].blocks if text.startswith("def "))
    told = {}
    exec(block, told)
    for name in ("run", "force", "predict", "explore", "stress", "replay"):
        parameters = [[(each.name, each.kind, each.default) for each in
                       inspect.signature(function).parameters.values()]
                      for function in (told[name], getattr(harness, name))]
        assert parameters[0] == parameters[1]


def test_the_page_on_pytest_names_every_option_setting_and_marker(in_another_process, tmp_path):
    told = in_another_process("-m", "pytest", "--help", cwd=tmp_path).stdout
    told += in_another_process("-m", "pytest", "--markers", cwd=tmp_path).stdout
    names = set(re.findall(r"--(?:harness-\w+|predict|replay)|\bharness_\w+", told))
    marker = re.search(r"@pytest.mark.lock_harness\((.*?)\)", told)[1]
    names |= {f"HARNESS_{name[8:].upper()}" for name in names if name.startswith("harness_")}
    assert {*names, *re.findall(r"(\w+)=", marker)} - words("harness-pytest") == set()
    assert len(names) > 12


def keys_of(value):
    """Return every key of a JSON value that is a name of ours, at any depth."""
    if isinstance(value, list):
        return {key for each in value for key in keys_of(each)}
    if not isinstance(value, dict):
        return set()
    return set(value) | {key for name, each in value.items() if name != "verdicts"
                         for key in keys_of(each)}


def test_the_page_on_results_names_every_field(capsys, tmp_path):
    for _, name, text in PAGES["harness-programs"].blocks:
        if name:
            (tmp_path / name).write_text(text)
    before = notation.load_case(str(tmp_path / "bank.json"))
    results = [force(before), predict(before, lockdep=True), explore(before, all=True),
               explore(before, strategy="pct", seed=1), stress(before, runs=100, seed=1)]
    fields = keys_of([result.as_dict() for result in results])
    (tmp_path / "validator.json").write_text(next(
        text for _, name, text in PAGES["harness-cases"].blocks if name == "validator.json"))
    for name in ("bank.json", "validator.json"):
        _, out, _ = call(command_line.main, capsys, "cases", str(tmp_path / name), "--json", "-")
        fields |= keys_of(json.loads(out))
    assert fields - words("harness-results") == set() and len(fields) > 40


def test_the_page_of_the_model_on_results_names_every_field_that_it_adds(comparison, capsys):
    told = words("harness-results") | words("pcimodel-results")
    assert keys_of([cell.as_dict() for cell in comparison.cells.values()]) - told == set()
    for argv in (["--scenario", "vf-driver-load", "--fix", "defer-vf-add"], ["list"]):
        status, out, _ = call(pcimodel.main, capsys, *argv, "--json", "-")
        assert status == 0 and set(json.loads(out)) - told == set()


def test_json_options_are_on_every_command_but_help():
    for module in (command_line, pcimodel):
        assert [name for name, command in commands_of(module._parser()).items()
                if "--json" not in options_of(command)] == ["help"]
