"""The floors of harness: its packages import downward only, in no circle, and no file is long
without saying why.
"""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = (    # bottom up; packages of one floor do not know each other
    ("pages",), ("locks",), ("standard",), ("runtime",), ("checker",), ("report",),
    ("exploration", "meetings"), ("lockorder",), ("programs",), ("threading", "queue"),
    ("patching",), ("methods",), ("cli", "pytest_support"), ("pytest_plugin",))
FACE = len(FLOORS)    # harness/__init__.py and __main__.py stand on top of all
AMBIGUOUS = "harness", "harness.threading", "harness.queue"
BY_NAME = re.compile(r"\b(importlib|pkgutil|__import__)\b")    # a file that may import by strings
BY_NAME_CALLED = re.compile(r"(import_module|__import__|resolve_name)$")
# The plugin is installed under a name of its own.
PLUGIN = "pytest_lock_harness", "harness.pytest_plugin.pytest_lock_harness"
LONG, TOO_LONG = 250, 350


def files(root):
    return sorted((root / "harness").rglob("*.py"))


def module_of(path, root):
    """Return the dotted name of the module that a file is."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_used(path, root):
    """Yield (line, dotted name, whether that must be a module) of whatever a file may import, in
    whatever way, wherever it stands.

    A string, or a part of one, counts as a name in a file that knows importlib: up to a colon, as
    it is, below the package that the file is in, and below harness. The bare word "harness" is
    many things (an entry point, a command), "threading" and "queue" are standard modules: they
    count as what a call imports alone.
    """
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    package = list(path.relative_to(root).parent.parts)
    imports_by_name = BY_NAME.search(text)
    imported = {argument for node in ast.walk(tree) if isinstance(node, ast.Call)
                and BY_NAME_CALLED.search(ast.unparse(node.func)) for argument in node.args}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, False
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            base = [*base, *(node.module.split(".") if node.module else [])]
            for alias in node.names:
                yield node.lineno, ".".join([*base, alias.name]), False
        elif imports_by_name and isinstance(node, ast.Constant) and isinstance(node.value, str) \
                and re.fullmatch(r"\.*\w+(\.\w+)*\.?(:\w*)?", node.value):
            name = node.value.partition(":")[0].strip(".")
            for prefix in ("", ".".join(package) + ".", "harness."):
                if prefix + name not in AMBIGUOUS or node in imported:
                    yield node.lineno, prefix + name, True


def arrows(root):
    """Yield (importing file, line, importing module, imported module), of modules of harness."""
    modules = {module_of(path, root): path for path in files(root)}
    for module, path in modules.items():
        for line, name, is_module in set(names_used(path, root)):
            while not is_module and name and name not in (*modules, PLUGIN[0]):    # defined in one
                name = name.rpartition(".")[0]
            name = PLUGIN[1] if name == PLUGIN[0] else name
            if name in modules and name != module:
                yield path, line, module, name


def floor_of(module):
    """Return on which floor a module stands; the face is on top of all."""
    package = module.split(".")[1] if module.count(".") else ""
    return next((number for number, packages in enumerate(FLOORS) if package in packages), FACE)


def broken(root):
    """Return a line for each import that does not lead downward."""
    lines = []
    for path, line, module, name in arrows(root):
        here, there = floor_of(module), floor_of(name)
        same_package = module.split(".")[1:2] == name.split(".")[1:2]
        if there >= here and not same_package:
            lines.append(f"{path.relative_to(root)}:{line}: {module} (floor {here}) imports {name} "
                         f"(floor {there})")
    return sorted(lines)


def circles(root):
    """Return the modules that lie on a circle of imports, of whatever kind."""
    out = {}
    for _, _, module, name in arrows(root):
        out.setdefault(module, set()).add(name)
    on_circle = []
    for start in out:
        reached, todo = set(), list(out[start])
        while todo:
            module = todo.pop()
            if module not in reached:
                reached.add(module)
                todo += out.get(module, ())
        if start in reached:
            on_circle.append(start)
    return sorted(on_circle)


def test_packages_import_downward_only():
    assert broken(ROOT) == []


def test_no_import_lies_on_a_circle():
    assert circles(ROOT) == []


def test_every_package_has_its_floor():
    named = {package for packages in FLOORS for package in packages}
    there = {path.stem for path in (ROOT / "harness").iterdir()
             if path.is_dir() and path.name != "__pycache__"
             or path.suffix == ".py" and not path.name.startswith("__")}
    assert there == named


def too_long(root):
    """Yield path and number of lines of each file that is, or is without saying why."""
    for path in files(root):
        text = path.read_text(encoding="utf-8")
        lines = len(text.splitlines())
        if lines > TOO_LONG or lines > LONG and not re.search(
                r"\blong\b|[Oo]ver 250 lines", ast.get_docstring(ast.parse(text)) or ""):
            yield str(path.relative_to(root)), lines


def test_no_file_is_long_without_saying_why():
    assert list(too_long(ROOT)) == []


@pytest.mark.parametrize("lines, why, found", [
    (LONG, "", False), (LONG + 1, "", True), (LONG + 1, "It is long: a table.", False),
    (TOO_LONG, "Over 250 lines: a table.", False), (TOO_LONG + 1, "Over 250 lines.", True)])
def test_a_long_file_is_noticed(lines, why, found, tmp_path):
    a_tree(tmp_path, "locks/low.py", f'"""{why}"""' + "\npass" * (lines - 1))
    assert ("harness/locks/low.py", lines) in too_long(tmp_path) if found else \
        list(too_long(tmp_path)) == []


# -- the rules notice what they forbid -------------------------------------------------------------

UPWARD = {
    "relative": ("locks/low.py", "from ..report import high"),
    "absolute": ("locks/low.py", "import harness.report.high"),
    "absolute, a name of it": ("locks/low.py", "from harness.report.high import thing"),
    "for type checkers alone": (
        "locks/low.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
                        "    from ..report.high import thing"),
    "in a function": ("locks/low.py", "def f():\n    from ..report.high import thing"),
    "in an __init__.py": ("locks/__init__.py", "from ..report.high import thing"),
    "importlib": ("locks/low.py", "import importlib\n"
                                  "importlib.import_module('harness.report.high')"),
    "importlib, relative": ("locks/low.py", "import importlib\n"
                            "importlib.import_module('..report.high', __package__)"),
    "importlib, from a table": ("locks/low.py", "import importlib\n"
                                "TABLE = {'thing': 'report.high'}\n"
                                "importlib.import_module('harness.' + TABLE['thing'])"),
    "importlib by another name": (
        "locks/low.py", "from importlib import import_module as load\nload('harness.report.high')"),
    "importlib, a part of a string": (
        "locks/low.py", "import importlib\ndef f(x):\n"
                        "    importlib.import_module(f'..report.{x}', __package__)"),
    "importlib, put together": ("locks/low.py", "import importlib\ndef f(x):\n"
                                "    importlib.import_module('harness.report.' + x)"),
    "pkgutil": (
        "locks/low.py", "import pkgutil\npkgutil.resolve_name('harness.report.high:thing')"),
    "the face, by importlib": (
        "locks/low.py", "import importlib\nimportlib.import_module('harness')"),
    "the plugin's own name": ("locks/low.py", "import pytest_lock_harness"),
    "the face": ("locks/low.py", "import harness"),
    "a name of the face": ("locks/low.py", "from harness import thing"),
    "a package of the same floor": ("meetings/m.py", "from ..exploration import x"),
}


def a_tree(root, file, text):
    """Make a small harness in which *file* says *text*."""
    for name in ("__init__.py", "locks/__init__.py", "locks/low.py", "report/__init__.py",
                 "report/high.py", "exploration/__init__.py", "exploration/x.py",
                 "meetings/__init__.py", "meetings/m.py",
                 "pytest_plugin/pytest_lock_harness/__init__.py"):
        path = root / "harness" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text if name == file else "", encoding="utf-8")


@pytest.mark.parametrize("kind", UPWARD)
def test_an_import_that_is_not_downward_is_noticed(kind, tmp_path):
    file, text = UPWARD[kind]
    a_tree(tmp_path, file, text)
    line, *_ = broken(tmp_path)
    assert line.startswith(f"harness/{file}:") and "(floor " in line


@pytest.mark.parametrize("text", [
    "from ..locks import low", "import harness.locks.low",
    "def f():\n    from ..locks.low import x", "NAME = 'report.high'", "from . import x"])
def test_an_import_downward_or_beside_and_a_mere_string_are_none(text, tmp_path):
    file = "__init__.py" if "import x" in text else "x.py"
    a_tree(tmp_path, f"exploration/{file}", text)
    assert broken(tmp_path) == []


@pytest.mark.parametrize("back", [
    "from . import low", "from .low import x", "def f():\n    from . import low",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .low import x"])
def test_a_circle_is_noticed(back, tmp_path):
    a_tree(tmp_path, "locks/low.py", "from . import other")
    (tmp_path / "harness/locks/other.py").write_text(back, encoding="utf-8")
    assert circles(tmp_path) == ["harness.locks.low", "harness.locks.other"]
