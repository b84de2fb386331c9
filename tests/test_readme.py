"""The README is true: its commands print what it says, its functions are in the files it names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pcimodel.__main__ import main
from pcimodel.fixes import FIXES

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.S | re.M)
BLOCKS = [match.groups() for match in BLOCK.finditer(README)]


def examples():
    """Yield (command, what it prints) of every console block; a line `...` stands for any lines."""
    for language, _, text in BLOCKS:
        if language == "console":
            command, _, output = text.partition("\n")
            yield command.removeprefix("$ "), output


def as_pattern(output):
    """Return *output* as a pattern: `...` alone on a line is anything, numbers of seconds and rates vary."""
    lines = [".*" if line.strip() == "..." else re.escape(line) for line in output.rstrip().splitlines()]
    return re.compile("\n".join(lines), re.S)


@pytest.mark.parametrize("command, output", list(examples()), ids=[c for c, _ in examples()])
def test_commands_print_what_the_readme_says(command, output, tmp_path, request):
    if command == "python -m pcimodel":    # it takes longest, and others look at the same table
        comparison = request.getfixturevalue("comparison")
        out, err = comparison.out, comparison.err
    else:
        out, err = printed(command, tmp_path)
    assert err == ""
    assert as_pattern(output).fullmatch(out.rstrip()), out


def printed(command, folder):
    """Return what *command* prints and complains of in *folder*, beside the README's files."""
    for _, name, text in BLOCKS:
        if name:
            (folder / name).write_text(text, encoding="utf-8")
    words = command.split()
    assert words[0] == "python"
    done = subprocess.run([sys.executable, *words[1:]], cwd=folder, text=True, capture_output=True,
                          env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
    return done.stdout, done.stderr


def inline_commands():
    """Return the commands that stand in the text, between back quotes."""
    text = BLOCK.sub("", README)
    found = re.findall(r"`python -m ((?:pcimodel|harness|benchmarks)[^`]*)`", text)
    return sorted({command for command in found if not re.search(r"my-fix|TOKEN|benchmarks", command)})


@pytest.mark.parametrize("command", inline_commands())
def test_commands_in_the_text_work(command, tmp_path):
    done = subprocess.run([sys.executable, "-m", *command.split()], cwd=tmp_path, text=True,
                          capture_output=True, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"})
    assert (done.returncode in (0, 1, 3), done.stderr) == (True, "")


def test_the_recipe_for_a_fix_makes_a_fix_that_is_compared(monkeypatch, capsys):
    recipe = next(text for _, _, text in BLOCKS if "class MyFix" in text)
    made = {}
    exec(recipe, made)
    monkeypatch.setitem(FIXES, made["MyFix"].name, made["MyFix"])
    assert main(["--fix", "my-fix", "--scenario", "probe-vs-aer"]) == 0
    assert re.search(r"^probe-vs-aer +deadlock +not-reached$", capsys.readouterr().out, re.M)


def test_python_blocks_are_python():
    for language, _, text in BLOCKS:
        if language == "python":
            ast.parse(text)


def test_files_and_functions_of_the_walk_exist():
    walk = README[README.index("## The deadlock of the mail"):README.index("## What a verdict")]
    files = {name: (ROOT / name).read_text(encoding="utf-8")
             for name in re.findall(r"`((?:pcimodel|harness)/\S+?\.py)`", walk)}
    assert len(files) >= 8
    names = {"_driver_attach", "driver_probe_device", "igb_probe", "pci_enable_sriov", "pci_iov_add_virtfn",
             "pci_device_add", "do_recovery", "broadcast_error_message", "pci_walk_bus", "report_error_detected",
             "find_cycle", "blockers"}
    assert names <= set(re.findall(r"`(\w+)`", walk))
    source = "\n".join(text for name, text in files.items())
    source += (ROOT / "pcimodel/pci_driver.py").read_text() + "".join(path.read_text() for path in (ROOT / "harness").rglob("*.py"))
    assert not [name for name in names if f"def {name}(" not in source]


def test_the_tour_has_at_most_200_lines():
    tour = README.partition("\n## Reference")[0]
    assert len(tour.splitlines()) <= 200


def test_the_two_commands_stand_in_the_readme_and_the_second_is_what_ci_runs():
    commands = [text for language, _, text in BLOCKS if language == "sh"][0].splitlines()
    assert commands[0].endswith("-m pcimodel") and commands[1].endswith("-m pytest")
    ci = (ROOT / ".ci/run").read_text()
    assert commands[1] in ci
