"""What a token may name, and that nothing else is imported or called for it."""

import os
import sys

import pytest

from harness import ScenarioError, Verdict, replay
from harness.exploration.token import encode
from harness.methods.replay import again
from harness.programs.named import may_be_named, scenario_named
from pcimodel.lab.fix_files import fixes_here

HERE = '''
import functools
from os import abort, system
from os.path import join
from elsewhere import stranger
from harness.programs.for_tokens import from_token, text

def scenario():
    return {"role": print}

def make():
    def made():
        return {"role": print}
    return made

bound = make()
short = lambda: {"role": print}
part = functools.partial(print, "called")
twice = functools.partial(scenario)
again = stranger
def shadowed():
    pass

from elsewhere import stranger as shadowed
alias = functools.lru_cache(stranger)

class Worlds:
    @staticmethod
    def one():
        return {"role": print}

    @property
    def two(self):
        raise SystemExit

@from_token(name=text)
def named(name):
    return lambda: {name: print}
'''
TRAP = '''
import os
os.environ["TRAPPED"] = __name__
def scenario():
    os.environ["TRAPPED"] = "called"
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Go to a folder with modules; beside it is another one that is on the path, too."""
    here, path = tmp_path / "here", tmp_path / "path"
    for name, text in {"here/worlds.py": HERE, "path/elsewhere.py": "def stranger(): pass",
                       "path/trap.py": TRAP, "here/script.py": TRAP.replace("scenario", "_main"),
                       "here/package/__init__.py": "from .inner import scenario",
                       "here/package/inner.py": HERE, "here/plain/folder/inner.py": HERE,
                       "here/os.py": HERE, "here/antigravity.py": HERE}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (here / "linked.py").symlink_to(path / "trap.py")
    (here / "shared").symlink_to(path)
    monkeypatch.setattr(sys, "path", [str(path), *sys.path])
    monkeypatch.chdir(here)
    monkeypatch.delenv("TRAPPED", raising=False)
    yield here
    for name, module in list(sys.modules.items()):
        if str(tmp_path) in f"{getattr(module, '__file__', '')}{getattr(module, '__path__', '')}":
            del sys.modules[name]


@pytest.mark.parametrize("reference", [
    "worlds:scenario", "worlds:bound", "worlds:Worlds.one", "package.inner:scenario",
    "plain.folder.inner:scenario", "antigravity:scenario"])
def test_a_token_may_name_what_a_file_of_the_current_directory_defines(folder, reference):
    assert may_be_named(reference)
    assert list(scenario_named(reference, {})()) == ["role"]


REFUSED_UNSEEN = [    # before anything is imported
    "os:abort", "os:system", "posixpath:join", "os.path:join", "builtins:exec", "this:d",
    "os:scenario",                       # a file of that name is here, but Python has another
    "trap:scenario", "linked:scenario", "shared.trap:scenario",   # elsewhere on the path
    "script:scenario",                   # here, and without such a function
    "worlds:system", "worlds:join", "worlds:stranger", "worlds:again", "worlds:short",
    "package:scenario", "package.__init__:scenario", "__main__:main", "pytest:main",
    "harness.__main__:main", "worlds.py:scenario", "worlds:", ":scenario", "worlds", "x:y:z",
    "a b:c",
    ".worlds:scenario", "worlds..x:y", "/etc/passwd:x", "worlds:scenario.__globals__", "plain:x",
    "worlds:__builtins__.exec", "no_such:thing", "worlds\0:x", "plain.folder:x", "wörlds:ß"]


@pytest.mark.parametrize("reference", REFUSED_UNSEEN)
def test_a_token_that_names_anything_else_is_refused_and_nothing_is_imported(folder, reference):
    before = set(sys.modules)
    with pytest.raises(ScenarioError, match="^this token names [^\n]*$"):
        replay(encode((reference, {}), "1/0", ["role"]))
    assert (set(sys.modules) - before, os.environ.get("TRAPPED")) == (set(), None)
    assert not may_be_named(reference)


@pytest.mark.parametrize("reference", [
    "worlds:part", "worlds:twice", "worlds:alias", "worlds:shadowed", "worlds:Worlds",
    "worlds:Worlds.two",
    "worlds:Worlds.three", "harness.cli:main", "harness.cli.command_line:main",
    "harness.methods.stress:stress", "harness.programs.format:load_case",
    "pcimodel.lab.table:render"])
def test_a_token_that_names_what_is_no_function_of_its_module_is_refused(folder, reference):
    why = "no function that was defined there" if reference.startswith("worlds") else \
        "none of what a token may name"
    with pytest.raises(ScenarioError, match=why):
        scenario_named(reference, {})


@pytest.mark.parametrize("reference, arguments", [
    ("worlds:scenario", {"rng": 1}), ("worlds:named", {"name": 5}),
    ("worlds:named", {"other": "x"}),
    ("harness.programs:scenario", {"file": "/dev/zero", "case": "x"}),
    ("harness.programs:scenario", {"file": ["x.json"], "case": "x"}),
    ("pcimodel.lab.scenarios:scenario", {"name": []}),
    ("pcimodel.lab.scenarios:scenario", {"name": "probe-vs-aer", "fixes": "x"}),
    ("pcimodel.lab.scenarios:scenario", {"name": "probe-vs-aer", "fixes": [["x"]]}),
    ("pcimodel.lab.scenarios:scenario", {"name": "probe-vs-aer", "fixes": ["trap:scenario"]}),
    ("pcimodel.lab.scenarios:scenario", {"name": "probe-vs-aer", "fixes": ["../path/trap.py:x"]}),
    ("pcimodel.lab.scenarios:scenario", {"name": "probe-vs-aer", "fixes": ["script.py:Fix"]})])
def test_arguments_are_for_functions_that_are_marked_and_of_their_types(
        folder, reference, arguments):
    with pytest.raises(ScenarioError, match="^this token gives [^\n]*$"):
        scenario_named(reference, arguments)
    assert "TRAPPED" not in os.environ


def test_a_marked_function_makes_the_scenario(folder):
    assert list(scenario_named("worlds:named", {"name": "x"})()) == ["x"]


def test_a_token_may_name_a_fix_in_a_file_of_the_current_directory(folder):
    (folder / "mine.py").write_text("class Fix:\n    def pci_dev_get(self, dev): return dev\n")
    made = scenario_named("pcimodel.lab.scenarios:scenario",
                          {"name": "probe-vs-aer", "fixes": ["mine.py:Fix"]})
    assert made.scenario_name == "probe-vs-aer + mine.py:Fix"


def test_no_token_names_what_is_installed_though_one_stands_in_its_folder(folder, monkeypatch):
    monkeypatch.chdir(os.path.dirname(os.__file__))
    before = set(sys.modules)
    assert not may_be_named("antigravity:geohash") and not may_be_named("webbrowser:open")
    monkeypatch.chdir(os.path.dirname(os.path.dirname(pytest.__file__)))
    assert not may_be_named("pytest:main") and not may_be_named("iniconfig:IniConfig")
    assert set(sys.modules) == before


def test_no_token_names_a_fix_in_what_is_installed(monkeypatch):
    monkeypatch.chdir(os.path.dirname(os.__file__))
    assert fixes_here(["antigravity.py:geohash"]) and fixes_here(["antigravity:geohash"])
    assert fixes_here(["collect-then-lock"]) == ""


def test_a_report_names_the_scenario_where_its_token_may_not(folder):
    assert again("T", "worlds:scenario") == "python -m harness replay T"
    assert again("T", "harness.programs:scenario") == "python -m harness replay T"
    assert again("T", "elsewhere:stranger") == "python -m harness replay T elsewhere:stranger"


def test_whoever_names_the_scenario_himself_may_replay_what_a_token_may_not_name(folder):
    def crossed():
        from harness import Mutex
        a, b = Mutex("a"), Mutex("b")

        def takes(*locks):
            with locks[0], locks[1]:
                pass
        return {"left": lambda: takes(a, b), "right": lambda: takes(b, a)}

    token = encode(("os:abort", {}), "1/0", ["left", "right", "left", "right"])
    assert replay(token, crossed).verdict is Verdict.DEADLOCK
