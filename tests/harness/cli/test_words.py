"""Bad usage of the command lines: the line blames what is wrong, and names the nearest right."""

import sys

import pytest

from harness.cli import main
from pcimodel.__main__ import main as pcimodel

OK = '''
from harness import Mutex

def ok():
    return {"one": Mutex("a").locked, "two": Mutex("a").locked}
'''


@pytest.fixture
def said(tmp_path, monkeypatch, capsys):
    """Run a command line beside some files; return status and what is said on standard error."""
    for name in ("mist_of_words.py", "folder/mist_inside.py", "with-dash/mist_x.py", "queue.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(OK)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mist_of_words", raising=False)    # of another test's folder

    def call(words, command=main):
        try:
            status = command(words.split())
        except SystemExit as exc:
            status = exc.code
        return status, capsys.readouterr().err

    return call


@pytest.mark.parametrize("words, line", [
    ("run --rnus 3 mist:ok", "harness run: unknown option --rnus: did you mean --runs?"),
    ("run mist:ok --rnus=3", "harness run: unknown option --rnus: did you mean --runs?"),
    ("run mist:ok --seed -5", "harness run: unknown option --seed: it is of explore, stress"),
    ("run mist:ok -q", "harness run: unknown option -q: --help lists those that there are"),
    ("--vresion", "harness: unknown option --vresion: did you mean --version?"),
    ("rnu mist:ok", "harness: unknown command 'rnu'; did you mean 'run'?"),
    ("run mist:ok --detect blok",
     "harness run: argument --detect: there is no 'blok'; did you mean 'block'?"),
    ("explore mist:ok --strategy dpro",
     "harness explore: argument --strategy: there is no 'dpro'; did you mean 'dpor'?"),
    ("run mist:ok --runs -1", "harness run: argument --runs: -1 is below 1"),
    ("run", "harness run: the following arguments are required: SCENARIO"),
    ("run -- -mist:ok", "harness: '-mist' is not the name of a module"),
    ("run .mist:ok", "harness: '.mist' is not the name of a module"),
    ("run mi-st:ok", "harness: 'mi-st' is not the name of a module"),
    ("run mist", "harness: 'mist' is not of the form MODULE:NAME, FILE.py:NAME or FILE.json"),
    ("run nowhere.py:ok", "harness: there is no Python file 'nowhere.py'"),
    ("run ./nowhere:ok", "harness: there is no Python file './nowhere'"),
    ("run with-dash/mist_x.py:ok", "harness: 'with-dash/mist_x.py' is no module of the current "
     "directory: go where it can be imported, and give MODULE:NAME"),
    ("run queue.py:ok", "harness: 'queue.py' cannot be imported: 'queue' is another module of "
     "Python's or on the path; give the file another name"),
    ("stress mist:ok --seed few", "harness stress: argument --seed: 'few' is not a whole number"),
    ("run mist_of_words.py:no", "harness: module 'mist_of_words' has no 'no'"),
    ("run mist_of_words.py", "harness: 'mist_of_words.py' is not of the form MODULE:NAME, "
     "FILE.py:NAME or FILE.json")])
def test_the_line_blames_what_is_wrong_and_names_the_nearest(said, words, line):
    assert said(words) == (2, f"{line}\n")


@pytest.mark.parametrize("words, line", [
    ("--knrel x", "pcimodel compare: unknown option --knrel: did you mean --kernel?"),
    ("force probe-vs-aer --lockdep", "pcimodel force: unknown option --lockdep: it is of predict"),
    ("comapre", "pcimodel: unknown command 'comapre'; did you mean 'compare'?")])
def test_the_command_line_of_the_model_does_so_too(said, words, line):
    assert said(words, pcimodel) == (2, f"{line}\n")


@pytest.mark.parametrize("words", ["mist_of_words:ok", "mist_of_words.py:ok",
                                   "./mist_of_words.py:ok", "folder/mist_inside.py:ok",
                                   "folder/../mist_of_words.py:ok"])
def test_a_scenario_may_be_named_by_the_path_of_its_file(said, words):
    assert said(f"run {words} --runs 1") == (0, "")


def test_a_module_may_be_called_py(said, tmp_path):
    (tmp_path / "mist_package").mkdir()
    (tmp_path / "mist_package" / "py.py").write_text(OK)
    assert said("run mist_package.py:ok --runs 1") == (0, "")


def test_without_a_command_the_commands_are_listed(said):
    status, listed = said("")
    assert status == 2 and listed.startswith("harness: a command is needed, one of\n")
    assert {line.split()[0] for line in listed.splitlines() if line.startswith("  ")} == {
        "run", "force", "predict", "explore", "stress", "replay", "cases", "help"}
