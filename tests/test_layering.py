"""The rule of dependency, and the form that every model function has."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from pcimodel.fixes import FIXES
from pcimodel.trees import TREES

ROOT = Path(__file__).parent.parent
HARNESS = sorted((ROOT / "harness").rglob("*.py"))
PCIMODEL = sorted((ROOT / "pcimodel").rglob("*.py"))
LABELS = ("Kernel:", "Locks:", "Called with:", "Returns:", "Left out:")
LOCK_ITEM = re.compile(
    r"(?:(?:via (?P<callee>\w+): )?(?P<lock>\S.*?) \((?P<mode>mutex|read|write|wait)\)"
    r"|via (?P<whole>\w+): as (?P=whole)|the (?:driver|callback|work item)'s)(?:, .+)?")
# Names that Python or a dunder protocol gives.
PROTOCOL = re.compile(r"__\w+__")


def name_of(path):
    return str(path.relative_to(ROOT))


@cache
def parsed(path):
    """Return the syntax tree of a file; nobody changes it."""
    return ast.parse(path.read_text())


def imports(path):
    """Return the full dotted names of everything that a file imports, wherever it does so."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = list(package[:len(package) - node.level + 1]) if node.level else []
            base += [node.module] if node.module else []
            found |= {".".join([*base, alias.name]) for alias in node.names}
    return found


def of_package(names, package):
    return {name for name in names if (name + ".").startswith(package + ".")}


def is_model(path):
    """Tell whether a file belongs to the kernel model: not the laboratory, not the command line."""
    return "lab" not in path.parts and path.name != "__main__.py"


def model_functions():
    """Yield (where, function) for each function of the model's modules and of all its classes."""
    for path in filter(is_model, PCIMODEL):
        for node in ast.walk(parsed(path)):
            owners = [node] if isinstance(node, (ast.Module, ast.ClassDef)) else []
            for owner in owners:
                for child in owner.body:
                    if isinstance(child, ast.FunctionDef):
                        yield f"{name_of(path)}:{child.name}", child


def kernel_functions():
    """Yield (where, docstring) for each function that a tree or a fix gives to a Kernel."""
    classes = {cls for tree in TREES.values() for cls in tree.__mro__} | set(FIXES.values())
    for cls in sorted(classes - {object}, key=lambda cls: cls.__name__):
        for name, member in vars(cls).items():
            if callable(member) and not PROTOCOL.fullmatch(name):
                yield f"{cls.__name__}.{name}", member.__doc__ or ""


def is_helper(doc):
    """Tell whether it is a private helper without a kernel counterpart: it says one sentence."""
    return "\n" not in doc.strip()


def test_harness_knows_nothing_of_the_model():
    assert {name_of(path): found for path in HARNESS
            if (found := of_package(imports(path), "pcimodel"))} == {}


def test_model_knows_the_harness_through_one_file_and_the_laboratory_not_at_all():
    for path in filter(is_model, PCIMODEL):
        names = imports(path)
        assert path.name == "locking.py" or not of_package(names, "harness"), name_of(path)
        assert not of_package(names, "pcimodel.lab"), name_of(path)
        assert not of_package(names, "pcimodel.__main__"), name_of(path)


def test_the_rule_sees_relative_imports(tmp_path, monkeypatch):
    monkeypatch.setattr("test_layering.ROOT", tmp_path)
    file = tmp_path / "pcimodel" / "sub" / "x.py"
    file.parent.mkdir(parents=True)
    file.write_text("def f():\n    from .. import lab\n    from . import y\n    import harness.run")
    assert imports(file) == {"pcimodel.lab", "pcimodel.sub.y", "harness.run"}


def test_no_class_defines_a_name_that_python_would_mangle():
    mangled = []
    for path in PCIMODEL:
        for node in ast.walk(parsed(path)):
            name = getattr(node, "name", None) or getattr(node, "attr", None) or \
                getattr(node, "id", None) or getattr(node, "arg", None)
            if isinstance(name, str) and name.startswith("__") and not PROTOCOL.fullmatch(name):
                mangled.append((name_of(path), name))
    assert mangled == []


def test_no_model_function_swallows_the_exception_that_ends_a_thread():
    bad = []
    for path in filter(is_model, PCIMODEL):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.ExceptHandler):
                caught = "everything" if node.type is None else ast.unparse(node.type)
                if caught in ("everything", "BaseException"):
                    bad.append(f"{name_of(path)}:{node.lineno}")
    assert bad == []


def test_model_keeps_no_state_at_module_level():
    bad = []
    for path in filter(is_model, PCIMODEL):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Global):
                bad.append(f"{name_of(path)}:{node.lineno}")
    assert bad == []


@pytest.mark.parametrize("label", LABELS)
def test_every_kernel_function_has_the_documented_form(label):
    wrong = [where for where, doc in kernel_functions()
             if not is_helper(doc) and not re.search(rf"^\s*{label} +\S", doc, re.M)]
    assert wrong == []


def test_labels_come_in_their_order_and_once():
    wrong = [where for where, doc in kernel_functions() if not is_helper(doc)
             and re.findall(rf"^\s*({'|'.join(LABELS)})", doc, re.M) != list(LABELS)]
    assert wrong == []


def test_only_private_helpers_do_without_the_form():
    wrong = [where for where, doc in kernel_functions()
             if not doc or (is_helper(doc) and not where.split(".")[1].startswith("_"))]
    assert wrong == []


def test_kernel_line_names_a_function_and_a_file():
    wrong = []
    for where, doc in kernel_functions():
        line = re.search(r"Kernel: +(.*)", doc)
        if line and not line[1].startswith("none;") and \
                not re.match(r"\w+\(\).*, [\w./-]+\.[ch]\b", line[1]):
            wrong.append(f"{where}: {line[1]}")
    assert wrong == []


def test_locks_line_can_be_parsed():
    wrong = []
    for where, doc in kernel_functions():
        line = re.search(r"^\s*Locks: +(.*?)^\s*Called with:", doc, re.S | re.M)
        text = " ".join(line[1].split()) if line else "none"
        if not re.fullmatch(r"none( \(.+\))?", text):
            wrong += [f"{where}: {item}" for item in text.split("; ")
                      if not LOCK_ITEM.fullmatch(item)]
    assert wrong == []


def test_locks_line_names_callees_that_exist():
    names = {where.split(".")[1] for where, _ in kernel_functions()}
    wrong = [f"{where}: {callee}" for where, doc in kernel_functions()
             for callee in re.findall(r"\bvia (\w+):", doc) if callee not in names]
    assert wrong == []


def test_every_function_of_the_model_has_a_docstring_in_the_imperative():
    wrong = [where for where, function in model_functions()
             if not PROTOCOL.fullmatch(function.name)
             and not re.match(r"[A-Z]\w+\b(?<!s) ?", ast.get_docstring(function) or "")]
    assert wrong == []
