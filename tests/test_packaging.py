"""What an installed package has: its types, its license, its files; all that can be seen here."""

import ast
import importlib
import re
import tomllib
from pathlib import Path

import check_style
import harness

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLUGIN = "harness/pytest_plugin"    # a folder with a package, not a package
FACE = ast.parse((ROOT / "harness/__init__.py").read_text())


def declared():
    """Return what harness/__init__.py shows to type checkers alone: name -> module of harness."""
    guarded, = (node for node in FACE.body
                if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {alias.name: node.module for node in guarded.body for alias in node.names}


def test_every_public_name_is_declared_to_type_checkers_where_it_comes_from():
    assert declared() == harness._HOME
    assert sorted(declared()) == sorted(harness.__all__)
    for name, module in declared().items():
        home = importlib.import_module(f"harness.{module}")
        assert getattr(home, name).__module__ == home.__name__
        assert getattr(harness, name) is getattr(home, name)


def test_import_of_harness_imports_no_part_of_it_and_binds_no_module_that_would_hide_one(
        in_another_process):
    """`harness.threading` may become a package; the standard module of that name would hide it."""
    code = "import sys, harness; print([m for m in sys.modules if m.startswith('harness.')], " \
           "[name for name, value in vars(harness).items() if type(value) is type(sys)])"
    assert in_another_process("-c", code).stdout == "[] ['importlib']\n"


def test_types_are_part_of_the_package():
    assert (ROOT / "harness/py.typed").read_text() == ""
    assert "py.typed" in PYPROJECT["tool"]["setuptools"]["package-data"]["harness"]
    assert "Typing :: Typed" in PYPROJECT["project"]["classifiers"]


def test_license_text_is_part_of_the_package():
    file, = PYPROJECT["project"]["license-files"]
    assert (ROOT / file).read_text().startswith(f"{PYPROJECT['project']['license']} License\n")


def test_every_folder_of_code_is_a_package_and_the_plugin_is_installed_once():
    files = [file for top in ("harness", "pcimodel") for file in (ROOT / top).rglob("*.py")]
    assert {file.parent for file in files} == {
        file.parent for file in files if file.name == "__init__.py"} - {ROOT / PLUGIN}
    found = PYPROJECT["tool"]["setuptools"]["packages"]["find"]
    assert found["where"] == [".", PLUGIN]
    assert found["exclude"] == [PLUGIN.replace("/", ".") + "*"]


def test_versions_agree():
    assert harness.__version__ == PYPROJECT["project"]["version"]


def test_check_of_style_says_what_it_had_to_skip(monkeypatch, capsys):
    monkeypatch.setattr(check_style.importlib.util, "find_spec", lambda name: None)
    assert check_style.main() == 0
    assert capsys.readouterr().out == "".join(f"skipped: {tool} is not installed\n"
                                              for tool in ("mypy", "ruff"))


def test_file_of_the_user_is_python_that_uses_the_public_names_alone():
    names = re.findall(r"^from harness import (.*)$", check_style.USER, re.M)[0].split(", ")
    assert {"Mutex", "Result", "Verdict", "run"} <= set(names) <= set(harness.__all__)
    assert len(check_style.USER.splitlines()) >= 20
    compile(check_style.USER, "user.py", "exec")
